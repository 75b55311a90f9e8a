#!/usr/bin/python3
"""What `mqassay decode --format json` says, against what was sent.

read_json.py made FILE.pcap FILE.jsonl   write a capture of packets of every type with every property, and what they say
read_json.py huge FILE.pcap              write one of a client that announces 256 MB and leaves
read_json.py several FILE.pcap           write one of clients of three brokers, two of the first
read_json.py compare OUTPUT FILE.jsonl   the packets in OUTPUT say the same, value by value
read_json.py schema SCHEMA OUTPUT        every line is one that the schema describes, and changed lines are not

The packets are encoded here, from the standard, so that no mistake of ours is made twice."""
import base64
import json
import random
import struct
import sys

U8, U16, U32, VARINT, STR, BIN, PAIR = range(7)
EVERY = 'CONNECT CONNACK PUBLISH PUBACK PUBREC PUBREL PUBCOMP SUBSCRIBE SUBACK UNSUBSCRIBE UNSUBACK DISCONNECT AUTH will'.split()
ACKS = 'PUBACK PUBREC PUBREL PUBCOMP SUBACK UNSUBACK'.split()
PROPERTIES = {
    'payload_format_indicator': (1, U8, ['PUBLISH', 'will']),
    'message_expiry_interval': (2, U32, ['PUBLISH', 'will']),
    'content_type': (3, STR, ['PUBLISH', 'will']),
    'response_topic': (8, STR, ['PUBLISH', 'will']),
    'correlation_data': (9, BIN, ['PUBLISH', 'will']),
    'subscription_identifier': (11, VARINT, ['PUBLISH', 'SUBSCRIBE']),
    'session_expiry_interval': (17, U32, ['CONNECT', 'CONNACK', 'DISCONNECT']),
    'assigned_client_identifier': (18, STR, ['CONNACK']),
    'server_keep_alive': (19, U16, ['CONNACK']),
    'authentication_method': (21, STR, ['CONNECT', 'CONNACK', 'AUTH']),
    'authentication_data': (22, BIN, ['CONNECT', 'CONNACK', 'AUTH']),
    'request_problem_information': (23, U8, ['CONNECT']),
    'delay_interval': (24, U32, ['will']),
    'request_response_information': (25, U8, ['CONNECT']),
    'response_information': (26, STR, ['CONNACK']),
    'server_reference': (28, STR, ['CONNACK', 'DISCONNECT']),
    'reason_string': (31, STR, ['CONNACK', 'DISCONNECT', 'AUTH'] + ACKS),
    'receive_maximum': (33, U16, ['CONNECT', 'CONNACK']),
    'topic_alias_maximum': (34, U16, ['CONNECT', 'CONNACK']),
    'topic_alias': (35, U16, ['PUBLISH']),
    'maximum_qos': (36, U8, ['CONNACK']),
    'retain_available': (37, U8, ['CONNACK']),
    'user_property': (38, PAIR, EVERY),
    'maximum_packet_size': (39, U32, ['CONNECT', 'CONNACK']),
    'wildcard_subscription_available': (40, U8, ['CONNACK']),
    'subscription_identifier_available': (41, U8, ['CONNACK']),
    'shared_subscription_available': (42, U8, ['CONNACK']),
}
TYPES = ('RESERVED CONNECT CONNACK PUBLISH PUBACK PUBREC PUBREL PUBCOMP SUBSCRIBE SUBACK UNSUBSCRIBE UNSUBACK '
         'PINGREQ PINGRESP DISCONNECT AUTH').split()
HOSTILE = ['plain', '', 'quote " back \\ slash / tab \t line \n return \r', 'bell \x07 escape \x1b[31m delete \x7f c1 \x9b',
           'bidi \u202e\u2066 zero \u200b\u200d\ufeff separator \u2028 none \ufffe \ufdd0 \U0001ffff tag \U000e0041',
           'caf\xe9 \u6771\u4eac \U0001f41d', '12345678' * 40 + '"' + 'x' * 7 + '\\' + 'y' * 9 + '\xe9' * 5000, '{"a":[1,"b"]}', '\\u0041 $(topic) ' * 9]
rng = random.Random(7)


def varint(n):
    out = b''
    while n > 127:
        out += bytes([n & 127 | 128])
        n >>= 7
    return out + bytes([n])


def binary(b):
    return struct.pack('>H', len(b)) + b


def bytes_member(said, name, b):
    """How the JSON says bytes: as text where they are UTF-8."""
    try:
        said[name] = b.decode('utf-8')
    except UnicodeDecodeError:
        said[name + '_base64'] = base64.b64encode(b).decode()


def some_text():
    s = rng.choice(HOSTILE) if rng.random() < .6 else ''.join(rng.choice(HOSTILE) or '-' for _ in range(2))
    return s.encode()[:60000]


def some_bytes():
    return rng.choice([b'', bytes(range(256)), b'\xff', b'\xed\xa0\x80', b'abc\xc3', rng.randbytes(rng.randrange(9)), 'd\xe9j\xe0'.encode()])


def properties(place, said, version):
    if version < 5:
        return b''
    out = b''
    names = [n for n, row in PROPERTIES.items() if place in row[2]]
    rng.shuffle(names)
    for name in names:
        if rng.random() < .4:
            continue
        number, kind, _ = PROPERTIES[name]
        repeats = rng.randrange(1, 4) if name in ('user_property', 'subscription_identifier') else 1
        if name == 'subscription_identifier':
            values = [rng.choice([1, 127, 128, 16384, 268435455]) for _ in range(repeats)]
            said[name] = values
            out += b''.join(bytes([number]) + varint(v) for v in values)
        elif kind == PAIR:
            values = [(some_text(), some_text()) for _ in range(repeats)]
            said[name] = [[k.decode(), v.decode()] for k, v in values]
            out += b''.join(bytes([number]) + binary(k) + binary(v) for k, v in values)
        elif kind in (STR, BIN):
            value = some_text() if kind == STR else some_bytes()
            bytes_member(said, name, value)
            out += bytes([number]) + binary(value)
        else:
            form, most = {U8: ('>B', 1), U16: ('>H', 65535), U32: ('>I', 2**32 - 1)}[kind]
            said[name] = rng.choice([most, 1, rng.randrange(1, most + 1)])
            out += bytes([number]) + struct.pack(form, said[name])
    return varint(len(out)) + out


def connect(version, said):
    will, user, password = True, rng.random() < .8, rng.random() < .8
    clean, qos, retain = rng.randrange(2), rng.randrange(3), rng.randrange(2)
    name = b'MQIsdp' if version == 3 else b'MQTT'
    flags = user << 7 | password << 6 | retain << 5 | qos << 3 | will << 2 | clean << 1
    keep_alive = rng.randrange(65536)
    client = ('client "%d" \u202e' % version).encode()
    said.update(protocol_name=name.decode(), protocol_version=version, connect_flags=flags, clean_start=bool(clean), keep_alive=keep_alive)
    body = binary(name) + bytes([version, flags]) + struct.pack('>H', keep_alive) + properties('CONNECT', said, version) + binary(client)
    said['client_id'] = client.decode()
    if will:
        of_will = {'qos': qos, 'retain': bool(retain)}
        topic, payload = b'will/' + some_text()[:100].replace(b'\0', b'').decode(errors='ignore').encode(), some_bytes()
        body += properties('will', of_will, version) + binary(topic) + binary(payload)
        bytes_member(of_will, 'topic', topic)
        bytes_member(of_will, 'payload', payload)
        said['will'] = of_will
    for there, field in ((user, 'user_name'), (password, 'password')):
        if there:
            value = some_text() if field == 'user_name' else some_bytes()
            body += binary(value)
            bytes_member(said, field, value)
    return 0, body


def publish(version, said):
    qos, dup, retain, packet_id = rng.randrange(3), rng.randrange(2), rng.randrange(2), rng.randrange(1, 65536)
    topic = b't/' + some_text()[:2000].decode(errors='ignore').encode()
    payload = some_bytes() if rng.random() < .5 else some_text()
    bytes_member(said, 'topic', topic)
    said.update(qos=qos, dup=bool(dup), retain=bool(retain), payload_size=len(payload))
    body = binary(topic)
    if qos:
        said['packet_id'] = packet_id
        body += struct.pack('>H', packet_id)
    body += properties('PUBLISH', said, version) + payload
    bytes_member(said, 'payload', payload)
    return dup << 3 | qos << 1 | retain, body


def listing(kind, version, said):
    said['packet_id'] = rng.randrange(1, 65536)
    body = struct.pack('>H', said['packet_id']) + properties(kind, said, version)
    n = rng.randrange(1, 5)
    if kind in ('SUBSCRIBE', 'UNSUBSCRIBE'):
        said['filters'] = []
        for _ in range(n):
            text = rng.choice(['a/#', '+/"x"', '$share/g/\u6771/+', 'x' * 300])
            one = {'filter': text}
            body += binary(text.encode())
            if kind == 'SUBSCRIBE':
                one['qos'] = rng.randrange(3)
                options = one['qos']
                if version == 5:
                    one.update(no_local=rng.random() < .5, retain_as_published=rng.random() < .5, retain_handling=rng.randrange(3))
                    options |= one['no_local'] << 2 | one['retain_as_published'] << 3 | one['retain_handling'] << 4
                one['options'] = options
                body += bytes([options])
            said['filters'].append(one)
    elif kind == 'SUBACK' or version == 5:
        names = {0: 'Granted_QoS_0', 1: 'Granted_QoS_1', 2: 'Granted_QoS_2', 0x80: 'Unspecified_error'} if kind == 'SUBACK' else \
                {0: 'Success', 17: 'No_subscription_existed', 0x87: 'Not_authorized'}
        said['reasons'] = [rng.choice(list(names)) for _ in range(n)]
        said['reason_names'] = [names[r] for r in said['reasons']]
        body += bytes(said['reasons'])
    return 2 if kind.endswith('SCRIBE') else 0, body


def packet(kind, version):
    said = {'kind': 'packet', 'type': kind, 'version': {3: '3.1', 4: '3.1.1', 5: '5'}[version]}
    if kind == 'CONNECT':
        flags, body = connect(version, said)
    elif kind == 'PUBLISH':
        flags, body = publish(version, said)
    elif kind == 'CONNACK':
        present = rng.randrange(2) if version > 3 else 0
        said.update(ack_flags=present, reason=0, reason_name='Success')
        if version > 3:
            said['session_present'] = bool(present)
        flags, body = 0, bytes([present, 0]) + properties(kind, said, version)
    elif kind in ('SUBSCRIBE', 'SUBACK', 'UNSUBSCRIBE', 'UNSUBACK'):
        flags, body = listing(kind, version, said)
    elif kind in ('PUBACK', 'PUBREC', 'PUBREL', 'PUBCOMP', 'DISCONNECT', 'AUTH'):
        flags, body = 2 if kind == 'PUBREL' else 0, b''
        if kind.startswith('PUB'):
            said['packet_id'] = rng.randrange(1, 65536)
            body = struct.pack('>H', said['packet_id'])
        if version == 5:
            said.update(reason=0, reason_name='Normal_disconnection' if kind == 'DISCONNECT' else 'Success')
            if rng.random() < .8:
                if kind in ('PUBREL', 'PUBCOMP'):
                    said.update(reason=0x92, reason_name='Packet_Identifier_not_found')
                elif kind == 'AUTH':
                    said.update(reason=0x18, reason_name='Continue_authentication')
                else:
                    said.update(reason=0x97, reason_name='Quota_exceeded')
                body += bytes([said['reason']]) + properties(kind, said, version)
    else:
        flags, body = 0, b''
    raw = bytes([TYPES.index(kind) << 4 | flags]) + varint(len(body)) + body
    said.update(size=len(raw), remaining_length=len(body), flags=flags)
    return raw, said


def by_alias(alias, topic):
    """A PUBLISH without a topic: it is the one that the alias had last in that direction."""
    body = struct.pack('>HBBH', 0, 3, 35, alias) + b'again'
    raw = bytes([0x30]) + varint(len(body)) + body
    said = {'kind': 'packet', 'type': 'PUBLISH', 'version': '5', 'topic_by_alias': True, 'qos': 0, 'dup': False, 'retain': False, 'topic_alias': alias,
            'payload_size': 5, 'payload': 'again', 'size': len(raw), 'remaining_length': len(body), 'flags': 0}
    if topic:
        said.update(topic)
    else:
        said['topic'] = None
    return raw, said


class Capture:
    def __init__(self, path):
        self.f = open(path, 'wb')
        self.f.write(struct.pack('<IHHiIII', 0xa1b23c4d, 2, 4, 0, 0, 262144, 101))
        self.frames = 0

    def segment(self, side, port, seq, ack, flags, payload=b'', broker=2):
        ends = [(b'\x0a\0\0\1', port), (bytes([10, 0, 0, broker]), 1883)]
        (src, sport), (dst, dport) = ends[side], ends[1 - side]
        tcp = struct.pack('>HHIIBBHHH', sport, dport, seq & 0xffffffff, ack & 0xffffffff, 0x50, flags, 65535, 0, 0) + payload
        ip = struct.pack('>BBHHHBBH', 0x45, 0, 20 + len(tcp), self.frames & 0xffff, 0, 64, 6, 0) + src + dst + tcp
        ns = 1700000000 * 10**9 + self.frames * 1234567
        self.f.write(struct.pack('<IIII', ns // 10**9, ns % 10**9, len(ip), len(ip)) + ip)
        self.frames += 1


def make(path, truth):
    capture, said_all = Capture(path), open(truth, 'w')
    for port, version in ((50003, 3), (50004, 4), (50005, 5)):
        seq = [1000, 0xfffff000]
        capture.segment(0, port, 999, 0, 2)
        capture.segment(1, port, 0xffffefff, 1000, 18)
        aliases = {}
        kinds = ['CONNECT', 'CONNACK'] + [k for k in TYPES[3:] if version == 5 or k != 'AUTH'] * 12
        for kind in [k for k in kinds if k != 'DISCONNECT'] + ['by alias'] * 20 + ['DISCONNECT']:
            side = 1 if kind in ('CONNACK', 'SUBACK', 'UNSUBACK', 'PINGRESP') else 0 if kind in ('CONNECT', 'SUBSCRIBE', 'UNSUBSCRIBE', 'PINGREQ', 'DISCONNECT') \
                else rng.randrange(2)
            if kind == 'by alias':
                if not aliases:
                    continue
                alias = rng.choice(sorted(aliases))[1]
                raw, said = by_alias(alias, aliases.get((side, alias)))
            else:
                raw, said = packet(kind, version)
            if kind == 'PUBLISH' and 'topic_alias' in said:
                aliases[side, said['topic_alias']] = {k: v for k, v in said.items() if k.startswith('topic') and k != 'topic_alias'}
            said.update({'from': ['client', 'broker'][side], 'frame': capture.frames + 1, 'first_frame': capture.frames + 1, 'sure': True, 'confidence': 100})
            capture.segment(side, port, seq[side], seq[1 - side], 24, raw)
            seq[side] += len(raw)
            said_all.write(json.dumps(said) + '\n')


CONNECT_A = bytes.fromhex('100d00044d5154540402003c000161')


def huge(path):
    capture = Capture(path)
    capture.segment(0, 50003, 999, 0, 2)
    capture.segment(1, 50003, 1999, 1000, 18)
    seq = 1000
    for raw in (CONNECT_A, b'\x30\xff\xff\xff\x7f\0\1t', b'0123456789', b'01234'):
        capture.segment(0, 50003, seq, 2000, 24, raw)
        seq += len(raw)
    capture.segment(0, 50003, seq, 2000, 17)


def several(path):
    capture = Capture(path)
    for port, broker in ((50003, 2), (50004, 3), (50005, 4), (50006, 2)):
        capture.segment(0, port, 999, 0, 2, b'', broker)
        capture.segment(1, port, 1999, 1000, 18, b'', broker)
        capture.segment(0, port, 1000, 2000, 24, CONNECT_A, broker)
        capture.segment(1, port, 2000, 1000 + len(CONNECT_A), 24, bytes.fromhex('20020000'), broker)


# ---- reading ----

def unique(pairs):
    if len(dict(pairs)) != len(pairs):
        raise ValueError('a key stands twice: %s' % [k for k, _ in pairs])
    return dict(pairs)


def lines(path):
    with open(path, encoding='utf-8') as f:		# not UTF-8: an error
        for line in f:
            for c in line[:-1]:
                if ord(c) < 32 or 0x7f <= ord(c) < 0xa0 or c in '\u2028\u2029\u202e\u2066\u200b\ufeff\ufffe':
                    raise ValueError('U+%04X stands unescaped' % ord(c))
            yield json.loads(line, object_pairs_hook=unique)


HEAD = ('time', 'epoch', 'connection', 'stream', 'client', 'version_known', 'way', 'client_address', 'broker_address', 'roles_known')


def compare(output, truth):
    events = list(lines(output))
    assert events[0]['kind'] == 'capture' and events[0]['schema'] == {'name': 'mqassay-decode', 'version': 1}, events[0]
    assert events[0]['epoch'] == '1700000000.000000000', events[0]
    assert events[-1]['kind'] == 'finished', events[-1]
    found = [e for e in events if e['kind'] == 'packet']
    wanted = list(lines(truth))
    assert len(found) == len(wanted) == events[-1]['packets'], '%d packets for %d' % (len(found), len(wanted))
    assert [e['kind'] for e in events if e['kind'] != 'packet'] == ['capture'] + ['opened'] * 3 + ['ended'] * 3 + ['finished']
    for f, w in zip(found, wanted):
        ns = (f['frame'] - 1) * 1234567
        assert f['epoch'] == '%d.%09d' % (1700000000 + ns // 10**9, ns % 10**9), f
        assert abs(f['time'] - ns / 1e9) < 1e-9, f
        assert f['client'].startswith('client "') and f['client_address'].startswith('10.0.0.1:5000') and f['broker_address'] == '10.0.0.2:1883', f
        rest = {k: v for k, v in f.items() if k not in HEAD}
        for key in sorted(set(rest) | set(w)):
            assert rest.get(key) == w.get(key), '%s of frame %d: %.300r, not %.300r' % (key, w['frame'], rest.get(key), w.get(key))
    print('%d packets' % len(found))


def schema(path, output):
    import jsonschema
    with open(path) as f:
        text = json.load(f)
    validator = jsonschema.Draft202012Validator
    validator.check_schema(text)
    kinds = {k: validator({**text, 'oneOf': [{'$ref': '#/$defs/' + k}]}) for k in [r['$ref'].split('/')[-1] for r in text['oneOf']]}
    n = spoilt = 0
    for event in lines(output):
        own = kinds[event['kind']]
        for error in own.iter_errors(event):
            inner = min(error.context, key=lambda e: -len(e.path), default=error) if error.context else error
            raise AssertionError('%.200s: %.300s' % (json.dumps(event), inner.message))
        n += 1
        if n % 11 == 1:		# the schema says no to what is wrong
            key = 'epoch' if 'epoch' in event else 'summary'
            for wrong in ({**event, 'unheard_of': 1}, {k: v for k, v in event.items() if k != key}, {**event, key: 1.5}):
                assert not own.is_valid(wrong), 'the schema takes %.200s' % json.dumps(wrong)
                spoilt += 1
    print('%d lines, %d spoilt ones' % (n, spoilt))


if __name__ == '__main__':
    {'made': make, 'huge': huge, 'several': several, 'compare': compare, 'schema': schema}[sys.argv[1]](*sys.argv[2:])

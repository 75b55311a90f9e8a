#!/usr/bin/python3
"""What `mqassay decode --view ... --format json` says.

read_views.py made FILE.pcap            write a capture in which something of every kind happens
read_views.py schema SCHEMA OUTPUT...   every line is one that the schema describes, changed lines are not, and every kind occurs
read_views.py both VIEWS DECODE OUTPUT... of --check beside a view: every line is one that just one of the schemas describes, behind its capture line"""
import json
import struct
import sys

from read_json import Capture, binary, lines, varint

NEVER = {'qos_others', 'topic_others', 'delivery_others'}	# only when a table is full


class Client:
    """A connection of 5, packet by packet; each is a frame."""

    def __init__(self, capture, port, client_id, clean=True, expiry=0, will=None, present=0, reason=0, keep_alive=60):
        self.capture, self.port, self.seq = capture, port, [1000, 5000]
        capture.segment(0, port, 999, 0, 2)
        capture.segment(1, port, 4999, 1000, 18)
        props = b'\x11' + struct.pack('>I', expiry) if expiry else b''
        body = binary(b'MQTT') + bytes([5, (2 if clean else 0) | (0x0c if will else 0) | 0xc0]) + struct.pack('>H', keep_alive) + varint(len(props)) + props
        body += binary(client_id) + (b'\0' + binary(will[0]) + binary(will[1]) if will else b'') + binary(b'user') + binary(b'secret')
        self.send(0, 0x10, body)
        self.send(1, 0x20, bytes([present, reason, 0]))

    def send(self, side, first, body):
        raw = bytes([first]) + varint(len(body)) + body
        self.capture.segment(side, self.port, self.seq[side], self.seq[1 - side], 24, raw)
        self.seq[side] += len(raw)

    def ack(self, side, kind, packet_id, reason=0):
        self.send(side, kind, struct.pack('>HB', packet_id, reason))

    def publish(self, side, topic, payload, qos=0, packet_id=0, flags=0, alias=0):
        props = b'\x23' + struct.pack('>H', alias) if alias else b''
        self.send(side, 0x30 | qos << 1 | flags, binary(topic) + (struct.pack('>H', packet_id) if qos else b'') + varint(len(props)) + props + payload)

    def subscribe(self, packet_id, *filters):
        self.send(0, 0x82, struct.pack('>H', packet_id) + b'\0' + b''.join(binary(f) + bytes([q]) for f, q in filters))
        self.send(1, 0x90, struct.pack('>H', packet_id) + b'\0' + bytes(q & 3 for _, q in filters))

    def close(self, side, flags=0x11):
        self.capture.segment(side, self.port, self.seq[side], self.seq[1 - side], flags)
        self.capture.segment(1 - side, self.port, self.seq[1 - side], self.seq[side] + 1, 0x11)


def made(path):
    c = Capture(path)
    pub = Client(c, 50001, b'pub', will=(b'w/pub', b'gone'))
    sub = Client(c, 50002, b'sub \xe2\x80\xae"', expiry=60)
    other = Client(c, 50003, b'')
    sub.subscribe(1, (b'a/+', 2), (b'$share/g/b', 1), (b'w/#', 0))
    for n in range(20):
        text = b'%d' % n
        pub.publish(0, b'a/b', text, 1, n + 1)
        pub.ack(1, 0x40, n + 1)
        if n != 7:
            sub.publish(1, b'a/b', text, 1, n + 1)
            sub.ack(0, 0x40, n + 1)
    pub.publish(0, b'b', b'x', 2, 30)
    pub.ack(1, 0x50, 30)
    pub.ack(0, 0x62, 30)
    pub.ack(1, 0x70, 30)
    sub.publish(1, b'b', b'x', 1, 40)
    sub.publish(1, b'b', b'x', 1, 40, flags=8)
    pub.publish(0, b'a/c', b'once')
    sub.publish(1, b'a/c', b'once')
    sub.publish(1, b'a/c', b'once')
    pub.publish(0, b'a/\xff', b'?')
    pub.publish(0, b'no', b'quota', 1, 31)
    pub.ack(1, 0x40, 31, 0x97)
    other.publish(0, b'', b'?', alias=3)
    other.ack(1, 0x40, 99)
    for _ in range(2500):	# three seconds
        other.send(0, 0xc0, b'')
    sub.send(0, 0xa2, struct.pack('>H', 9) + b'\0' + binary(b'a/+'))
    sub.send(1, 0xb0, struct.pack('>H', 9) + b'\0\0')
    pub.close(0, 0x14)
    sub.publish(1, b'w/pub', b'gone')
    Client(c, 50004, b'bad', reason=0x87).close(1)
    Client(c, 50005, b'sub \xe2\x80\xae"', clean=False, present=1)
    sub.send(1, 0xe0, b'\x8e')
    sub.close(1)


def schema(path, *outputs):
    import jsonschema
    with open(path) as f:
        text = json.load(f)
    validator = jsonschema.Draft202012Validator
    validator.check_schema(text)
    kinds = {k: validator({**text, 'oneOf': [{'$ref': '#/$defs/' + k}]}) for k in [r['$ref'].split('/')[-1] for r in text['oneOf']]}
    seen = set()
    for output in outputs:
        for n, row in enumerate(lines(output)):
            assert (n == 0) == (row['kind'] == 'capture'), row
            own = kinds[row['kind']]
            for error in own.iter_errors(row):
                inner = min(error.context, key=lambda e: -len(e.path), default=error) if error.context else error
                raise AssertionError('%.300s: %.300s' % (json.dumps(row), inner.message))
            must = next(k for k in text['$defs'][row['kind']]['required'] if k != 'kind')
            for wrong in ({**row, 'unheard_of': 1}, {k: v for k, v in row.items() if k != must}, {**row, must: [[]]}):
                assert not own.is_valid(wrong), 'the schema takes %.300s' % json.dumps(wrong)
            seen.add(row['kind'])
            if row['kind'].startswith('delivery') and 'due' in row:
                assert row['due'] == row['came'] + sum(row['lost']) + row['open'] + row['not_observable'], row
            if row['kind'] == 'qos_all':
                assert row['count'] == row['completed'] + row['hanging'] + row['unknown'], row
    assert seen == set(kinds) - NEVER, 'only %s' % seen
    print('%d kinds' % len(seen))


def both(views, decode, *outputs):
    import jsonschema
    texts = []
    for path in views, decode:
        with open(path) as f:
            texts.append(json.load(f))
    kinds = [{r['$ref'].split('/')[-1] for r in text['oneOf']} for text in texts]
    assert kinds[0] & kinds[1] == {'capture'}, kinds[0] & kinds[1]
    valid = [jsonschema.Draft202012Validator(text) for text in texts]
    names = [text['$defs']['capture']['properties']['schema']['properties']['name']['const'] for text in texts]
    for output in outputs:
        begun, seen = [], set()
        for row in lines(output):
            if row['kind'] == 'capture':
                of = names.index(row['schema']['name'])
                assert of not in begun, 'a second line %r' % row
                begun.append(of)
            else:
                of = 0 if row['kind'] in kinds[0] else 1
                assert of in begun, 'no capture line before %.300r' % row
            assert [v.is_valid(row) for v in valid] == [of == 0, of == 1], '%.300r' % row
            seen.add(row['kind'])
        assert sorted(begun) == [0, 1] and {'violation', 'clause'} < seen and len(seen & kinds[0]) > 1, '%s: only %s' % (output, seen)


if __name__ == '__main__':
    {'made': made, 'schema': schema, 'both': both}[sys.argv[1]](*sys.argv[2:])

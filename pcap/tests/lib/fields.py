"""
fields.py jsonl OURS EXPECTED          `decode --secrets --format json` says the same as EXPECTED, field by field: a line for each MQTT packet in
                                       the form that is beside the captures in pcap/tests/captures/third-party
fields.py tshark NAME OURS PDML TABLE  and the same as tshark's PDML, property values, filters and payloads too; every difference stands in TABLE
                                       (capture, field, tshark's value, ours, how often, why), and each of NAME's rows there is seen
fields.py websocket OURS PDML          over WebSocket, which tshark does not take for MQTT: the payloads that it unmasks hold the same packets (3.1.1)
Prints what was compared; exit 1 with the first differences.
"""
import base64
import json
import sys
import xml.etree.ElementTree as ElementTree

TYPES = ("RESERVED CONNECT CONNACK PUBLISH PUBACK PUBREC PUBREL PUBCOMP SUBSCRIBE SUBACK UNSUBSCRIBE UNSUBACK "
         "PINGREQ PINGRESP DISCONNECT AUTH").split()
PROPERTIES = {
    "payload_format_indicator": 1, "message_expiry_interval": 2, "content_type": 3, "response_topic": 8, "correlation_data": 9,
    "subscription_identifier": 11, "session_expiry_interval": 17, "assigned_client_identifier": 18, "server_keep_alive": 19,
    "authentication_method": 21, "authentication_data": 22, "request_problem_information": 23, "delay_interval": 24,
    "request_response_information": 25, "response_information": 26, "server_reference": 28, "reason_string": 31, "receive_maximum": 33,
    "topic_alias_maximum": 34, "topic_alias": 35, "maximum_qos": 36, "retain_available": 37, "user_property": 38, "maximum_packet_size": 39,
    "wildcard_subscription_available": 40, "subscription_identifier_available": 41, "shared_subscription_available": 42,
}


def octets(packet, name):
    """A string or binary value of ours, as bytes; None: it is not there."""
    if name + "_base64" in packet:
        return base64.b64decode(packet[name + "_base64"])
    value = packet.get(name)
    return value.encode() if isinstance(value, str) else None


def values_of(packet):
    """Property ids, and their values as text, in no order: JSON has a name once."""
    found = []
    for name, number in PROPERTIES.items():
        if name + "_base64" in packet or isinstance(packet.get(name), str):
            found.append((number, octets(packet, name).hex()))
        elif name == "user_property":
            found += [(number, k.encode().hex() + "=" + v.encode().hex()) for k, v in packet.get(name, [])]
        elif isinstance(packet.get(name), list):
            found += [(number, str(v)) for v in packet[name]]
        elif name in packet:
            found.append((number, str(packet[name])))
    return sorted(found)


def of_ours(p):
    ends = p["client_address"], p["broker_address"]
    source, target = ends if p["from"] == "client" else ends[::-1]
    row = {
        "frame": p["frame"], "t": p["epoch"][:-3], "stream": p["stream"], "dir": source + "->" + target,
        "hdr": "0x%02x" % (TYPES.index(p["type"]) << 4 | p["flags"]), "type": p["type"], "remlen": p["remaining_length"],
    }
    for theirs, name in (("msgid", "packet_id"), ("keepalive", "keep_alive"), ("ver", "protocol_version"), ("proto", "protocol_name"),
                         ("client_id", "client_id"), ("username", "user_name"), ("payload_len", "payload_size"), ("qos", "qos")):
        if name in p:
            row[theirs] = p[name]
    for theirs, name in (("dup", "dup"), ("retain", "retain"), ("session_present", "session_present")):
        if name in p:
            row[theirs] = int(p[name])
    if "connect_flags" in p:
        row["conflags"] = "0x%02x" % p["connect_flags"]
    if octets(p, "password") is not None:
        row["password_len"] = len(octets(p, "password"))
    if p["type"] == "PUBLISH":
        row["topic"] = p.get("topic") or ""		# an alias resolved, which both do
        row["payload"] = octets(p, "payload").hex()
    if "filters" in p:
        row["topic"] = [f["filter"] for f in p["filters"]]
    if p["type"] == "SUBSCRIBE":
        row["sub"] = [f["qos"] for f in p["filters"]]
        row["options"] = [f["options"] for f in p["filters"]]
    # In 5, a reason that is 0 may be left out: then none is on the wire
    if ("reason" in p or "reasons" in p) and p["remaining_length"] > (2 if p["type"][:3] == "PUB" else 0):
        row["codes"] = p["reasons"] if "reasons" in p else [p["reason"]]
    row["values"] = values_of(p)
    if "will" in p:
        row["will"] = p["will"]["topic"], octets(p["will"], "payload").hex(), values_of(p["will"])
    row["props"] = sorted(number for number, _ in row["values"])
    return row


def ours(path):
    with open(path, encoding="utf-8") as file:
        packets = [p for p in map(json.loads, file) if p["kind"] == "packet"]
    return sorted(map(of_ours, packets), key=lambda row: row["frame"])	# what waited to be recognised is told later


# ---- tshark's ----

def properties_of(element):
    found, number = [], None
    for f in element.findall("field"):
        name, show, value = f.get("name"), f.get("show"), f.get("value") or ""
        if name == "mqtt.property_id":
            number = int(value, 16)
        elif name == "mqtt.prop_key":
            key = value
        elif name == "mqtt.prop_value":
            found.append((number, key + "=" + value))
        elif name == "mqtt.prop_key_len" and show == "0":
            key = ""
        elif name in ("mqtt.prop_number", "mqtt.property.topic_alias"):
            found.append((number, show))
        elif name in ("mqtt.prop_string", "mqtt.prop_bytes"):
            found.append((number, value))
        elif name.startswith("mqtt.property."):		# with its length before it
            found.append((number, value[4:]))
    return sorted(found)


def of_tshark(frame, time, stream, direction, proto):
    row = {"frame": frame, "t": time[:-3], "stream": stream, "dir": direction, "values": []}
    will = [None, None, []]
    for f in proto.iter("field"):
        name, show, value = f.get("name"), f.get("show"), f.get("value") or ""
        if name == "mqtt.hdrflags":
            row["hdr"] = show
            row["type"] = TYPES[int(show, 16) >> 4]
        elif name == "mqtt.len":
            row["remlen"] = int(show)
        elif name in ("mqtt.msgid", "mqtt.kalive", "mqtt.ver", "mqtt.qos"):
            row[{"mqtt.msgid": "msgid", "mqtt.kalive": "keepalive", "mqtt.ver": "ver", "mqtt.qos": "qos"}[name]] = int(show)
        elif name in ("mqtt.dupflag", "mqtt.retain", "mqtt.conack.flags.sp"):
            row[{"mqtt.dupflag": "dup", "mqtt.retain": "retain", "mqtt.conack.flags.sp": "session_present"}[name]] = int(show)
        elif name in ("mqtt.protoname", "mqtt.clientid", "mqtt.username"):
            row[{"mqtt.protoname": "proto", "mqtt.clientid": "client_id", "mqtt.username": "username"}[name]] = bytes.fromhex(value).decode()
        elif name == "mqtt.conflags":
            row["conflags"] = show
        elif name == "mqtt.passwd_len":
            row["password_len"] = int(show)
        elif name == "mqtt.properties":
            row["values"] = properties_of(f)
        elif name == "mqtt.will_properties":
            will[2] = properties_of(f)
        elif name == "mqtt.willtopic":
            will[0] = show
        elif name == "mqtt.willmsg":
            will[1] = value
        elif name == "mqtt.topic":
            row.setdefault("topic", []).append(show)
        elif name == "mqtt.msg":
            row["payload"] = value
        elif name == "mqtt.subscription_options":
            row.setdefault("options", []).append(int(value, 16))
        elif name == "mqtt.sub.qos":
            row.setdefault("options", []).append(int(value, 16))
        elif name in ("mqtt.suback.qos", "mqtt.suback.reason_code", "mqtt.unsuback.reason_code", "mqtt.conack.val", "mqtt.connack.reason_code",
                      "mqtt.puback.reason_code", "mqtt.pubrec.reason_code", "mqtt.pubrel.reason_code", "mqtt.pubcomp.reason_code",
                      "mqtt.disconnect.reason_code", "mqtt.auth.reason_code"):
            row.setdefault("codes", []).append(int(show))
    if row["type"] == "PUBLISH":
        row["topic"] = "".join(row.get("topic", []))
        row.setdefault("payload", "")
    if row["type"] == "CONNECT":
        row.setdefault("client_id", "")
    if will[0] is not None:
        row["will"] = will[0], will[1] or "", will[2]
    return row


def tshark(path):
    rows = []
    for _, packet in ElementTree.iterparse(path):
        if packet.tag != "packet":
            continue
        fields = {f.get("name"): f.get("show") for f in packet.iter("field")
                  if f.get("name") in ("frame.number", "frame.time_epoch", "tcp.stream", "tcp.srcport", "tcp.dstport", "ip.src", "ip.dst", "ipv6.src", "ipv6.dst")}
        form, ip = ("%s:%s->%s:%s", "ip") if "ip.src" in fields else ("[%s]:%s->[%s]:%s", "ipv6")
        end = form % (fields[ip + ".src"], fields["tcp.srcport"], fields[ip + ".dst"], fields["tcp.dstport"])
        for proto in packet.findall("proto"):
            if proto.get("name") == "mqtt" and proto.find("field") is not None:
                rows.append(of_tshark(int(fields["frame.number"]), fields["frame.time_epoch"], int(fields["tcp.stream"]), end, proto))
        packet.clear()
    return rows


# ---- comparing ----

def against_jsonl(found, path):
    with open(path, encoding="utf-8") as file:
        expected = [json.loads(line) for line in file]
    n = 0
    for i, (a, b) in enumerate(zip(found, expected)):
        for name, value in b.items():
            if name in ("n", "expert"):		# n: their order, which is compared as such
                continue
            mine = a.get(name, [] if name in ("codes", "props") else None)
            if name == "props":
                value = sorted(value)
            n += 1
            if mine != value:
                sys.exit("packet %d, frame %d: %s is %r, not %r" % (i, b["frame"], name, mine, value))
    if len(found) != len(expected):
        sys.exit("%d packets, not %d" % (len(found), len(expected)))
    print("%d packets, %d fields" % (len(found), n))


def against_tshark(name, found, expected, table):
    explained = {}
    with open(table, encoding="utf-8") as file:
        for line in file:
            if line.strip() and not line.startswith("#"):
                capture, field, theirs, mine, times, why = line.rstrip("\n").split("\t")
                if capture == name:
                    explained[field, theirs, mine] = int(times)
    differences, n = {}, 0

    def differs(field, theirs, mine):
        key = field, json.dumps(theirs), json.dumps(mine)
        differences[key] = differences.get(key, 0) + 1

    # Packets are the same where frame, direction and header are; there may be several in a row that one side lacks.
    def place(row):
        return row["frame"], row["dir"], row["hdr"], row["remlen"], row.get("msgid")

    theirs, mine = {}, {}
    for rows, places in ((expected, theirs), (found, mine)):
        for row in rows:
            places.setdefault(place(row), []).append(row)
    for key in theirs.keys() | mine.keys():
        a, b = theirs.get(key, []), mine.get(key, [])
        for row in a[len(b):]:
            differs("packet", row["type"], None)
        for row in b[len(a):]:
            differs("packet", None, row["type"])
        for x, y in zip(a, b):
            for field in x.keys() | (y.keys() - {"props", "sub", "payload_len"}):
                n += 1
                left, right = x.get(field), y.get(field)
                if json.dumps(left) != json.dumps(right):
                    differs(field, left, right)
    wrong = ["%s: tshark says %s, we say %s, %d times" % (*key, times) for key, times in differences.items() if explained.get(key) != times]
    wrong += ["%s: that tshark says %s and we say %s, %d times, is explained and not seen" % (*key, times) for key, times in explained.items()
              if key not in differences]
    order = [place(row) for row in found if place(row) in theirs], [place(row) for row in expected if place(row) in mine]
    if order[0] != order[1]:
        wrong.append("they come in another order")
    if wrong or not found:
        sys.exit("\n".join(wrong) or "no packets")
    print("%d packets, %d fields, %d differences, each explained" % (len(found), n, sum(differences.values())))


def packets_in(data):
    """Header byte, remaining length, packet id, topic and payload of each packet of MQTT 3.1.1."""
    at = 0
    while at < len(data):
        header, length, shift = data[at], 0, 0
        at += 1
        while True:
            length |= (data[at] & 127) << shift
            shift, at = shift + 7, at + 1
            if data[at - 1] < 128:
                break
        body, at = data[at:at + length], at + length
        row = {"hdr": "0x%02x" % header, "remlen": length}
        if header >> 4 == 3:
            end = 2 + int.from_bytes(body[:2], "big")
            row["topic"], body = body[2:end].decode(), body[end:]
            row["payload"] = (body[2:] if header & 6 else body).hex()
        if header >> 4 in range(4, 12) or (header >> 4 == 3 and header & 6):
            row["msgid"] = int.from_bytes(body[:2], "big")
        yield row


def against_websocket(found, path):
    ends = {}
    for _, packet in ElementTree.iterparse(path):
        if packet.tag != "packet":
            continue
        ports = {f.get("name"): f.get("show") for f in packet.iter("field") if f.get("name") in ("tcp.srcport", "tcp.dstport")}
        data = "".join(f.get("value") for f in packet.iter("field") if f.get("name") == "data.data")
        key = ports["tcp.srcport"], ports["tcp.dstport"]
        ends[key] = ends.get(key, b"") + bytes.fromhex(data)
        packet.clear()
    n = 0
    for key, data in ends.items():
        mine = [row for row in found if tuple(end.rsplit(":", 1)[1] for end in row["dir"].split("->")) == key]
        theirs = list(packets_in(data))
        for x, y in zip(theirs, mine):
            for name, value in x.items():
                n += 1
                if y.get(name) != value:
                    sys.exit("frame %d: %s is %r, not %r" % (y["frame"], name, y.get(name), value))
        if len(theirs) != len(mine):
            sys.exit("%s: %d packets, not %d" % (key, len(mine), len(theirs)))
    if not n:
        sys.exit("no packets")
    print("%d packets, %d fields" % (len(found), n))


if sys.argv[1] == "jsonl":
    against_jsonl(ours(sys.argv[2]), sys.argv[3])
elif sys.argv[1] == "websocket":
    against_websocket(ours(sys.argv[2]), sys.argv[3])
else:
    against_tshark(sys.argv[2], ours(sys.argv[3]), tshark(sys.argv[4]), sys.argv[5])

"""
recut_compare.py same ORIGINAL VARIANT: two outputs of `decode --format json` have the same packets, each end's of each connection in order.
recut_compare.py lost ORIGINAL VARIANT LOST: of the packets that LOST (of recut.py) left whole, how many are in VARIANT; and how many
are in VARIANT that nobody sent. Prints one line with the numbers; exit 1 unless they are as they must be.
"""
import json
import socket
import sys

# What depends on where a segment ends or what was guessed, not on what was sent
OF_THE_CUT = {"frame", "first_frame", "time", "epoch", "connection", "stream", "client", "sure", "confidence", "version_known", "from_start", "roles_known",
              "nth", "holed"}


def read(path):
    """{(client, broker, from): [packet]}"""
    ends = {}
    with open(path, encoding="utf-8") as file:
        for line in file:
            p = json.loads(line)
            if p["kind"] == "packet":
                key = p["client_address"], p["broker_address"], p["from"]
                ends.setdefault(key, []).append({k: v for k, v in p.items() if k not in OF_THE_CUT})
    return ends


def text(packet):
    return json.dumps(packet, sort_keys=True)


def same(original, variant):
    a, b = read(original), read(variant)
    n = 0
    for key in a.keys() | b.keys():
        for i, (p, q) in enumerate(zip(a.get(key, []), b.get(key, []))):
            if p != q:
                sys.exit("%s, packet %d: %s in the original, %s in the variant" % (key, i, text(p), text(q)))
        if len(a.get(key, [])) != len(b.get(key, [])):
            sys.exit("%s: %d packets in the original, %d in the variant" % (key, len(a.get(key, [])), len(b.get(key, []))))
        n += len(a[key])
    if not n:
        sys.exit("no packets")
    print("%d packets, all the same" % n)


def address(hexadecimal):
    raw = bytes.fromhex(hexadecimal)
    family, ip = (socket.AF_INET, "%s:%d") if len(raw) == 6 else (socket.AF_INET6, "[%s]:%d")
    return ip % (socket.inet_ntop(family, raw[:-2]), int.from_bytes(raw[-2:], "big"))


def lost(original, variant, log):
    a, b = read(original), read(variant)
    gone = {}
    with open(log, encoding="ascii") as file:
        for line in file:
            stream, start, end = line.split()
            source, target = map(address, stream.split(">"))
            gone.setdefault((source, target), []).append((int(start), int(end)))
    intact = found = invented = hurt = segments = 0
    examples = []
    for key in a.keys() | b.keys():
        client, broker, who = key
        ranges = gone.get((client, broker) if who == "client" else (broker, client), [])
        segments += len(ranges)
        at, sent = 0, []
        for p in a.get(key, []):
            whole = not any(start < at + p["size"] and at < end for start, end in ranges)
            sent.append((text(p), whole))
            at += p["size"]
            intact += whole
            hurt += not whole
        # Each packet found stands for the next one alike that was sent: nearly all differ by their ids or payloads
        i = 0
        for p in b.get(key, []):
            j = next((j for j in range(i, min(i + 1000, len(sent))) if sent[j][0] == text(p)), None)
            if j is None:
                invented += 1
                examples.append(text(p)[:300])
                continue
            found += sent[j][1]
            i = j + 1
    print("%d segments lost: %d packets intact, %d of them found (%.2f %%), %d hurt, %d invented" %
          (segments, intact, found, 100 * found / max(intact, 1), hurt, invented))
    if not intact or found < 0.99 * intact or invented > intact / 2000:
        sys.exit("\n".join(examples[:3]) or 1)


{"same": same, "lost": lost}[sys.argv[1]](*sys.argv[2:])

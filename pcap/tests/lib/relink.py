"""relink.py vlan|qinq|raw IN OUT: a capture in pcap of Ethernet with other link layers, the rest as it was."""
import struct
import sys


def frames(path):
    with open(path, "rb") as f:
        head = f.read(24)
        order = "<" if head[:4] in (b"\xd4\xc3\xb2\xa1", b"\x4d\x3c\xb2\xa1") else ">"
        yield order, head
        while True:
            record = f.read(16)
            if len(record) < 16:
                return
            sec, frac, captured, length = struct.unpack(order + "IIII", record)
            yield (sec, frac, length), f.read(captured)


def main(how, source, target):
    rows = frames(source)
    order, head = next(rows)
    link = {"raw": 101}.get(how, 1)
    with open(target, "wb") as f:
        f.write(head[:20] + struct.pack(order + "I", link))
        for (sec, frac, length), frame in rows:
            before = len(frame)
            if how == "vlan":
                frame = frame[:12] + b"\x81\x00\x20\x2a" + frame[12:]
            elif how == "qinq":
                frame = frame[:12] + b"\x88\xa8\x00\x64\x81\x00\x60\x07" + frame[12:]
            else:
                frame = frame[14:]
            f.write(struct.pack(order + "IIII", sec, frac, len(frame), length + len(frame) - before) + frame)


main(*sys.argv[1:])

"""
recut.py HOW[:SEED] IN OUT [LOST]: a capture in pcap with its TCP segments cut otherwise, the bytes of every connection the same.

  cut        into segments of 60 to 536 bytes
  bytes      one byte a segment
  reorder    segments change places within a window of 4 (of one connection and direction)
  duplicate  every fifth twice, some of them a little later
  overlap    every fifth retransmitted with another cut, over its neighbours
  lose       1 % of the segments that carry data are left out, after a cut at 60 to 536; LOST tells which:
             stream of bytes (both ends, as text), from, to
  lose-whole the same without a cut before it

Ethernet, Linux cooked and raw IP; IPv4 and IPv6 without extensions. Times stay in order. Deterministic: the same seed, the same file.
"""
import random
import struct
import sys

FIN, SYN, RST = 1, 2, 4


class Frame:
    """One of the capture: what stands before TCP's payload, and where in it lengths and sequence numbers stand."""

    def __init__(self, time, data, link, original):
        self.time, self.data, self.original = time, data, original
        self.tcp = None
        ip = {1: 14, 113: 16, 276: 20, 101: 0}.get(link)
        if ip is None:
            return
        if link == 1:
            while data[ip - 2:ip] in (b"\x81\x00", b"\x88\xa8"):
                ip += 4
        version = data[ip] >> 4 if len(data) > ip else 0
        if version == 4 and data[ip + 9] == 6:
            tcp, end = ip + (data[ip] & 15) * 4, ip + struct.unpack_from(">H", data, ip + 2)[0]
            ends = data[ip + 12:ip + 16], data[ip + 16:ip + 20]
        elif version == 6 and data[ip + 6] == 6:
            tcp, end = ip + 40, ip + 40 + struct.unpack_from(">H", data, ip + 4)[0]
            ends = data[ip + 8:ip + 24], data[ip + 24:ip + 40]
        else:
            return
        self.ip, self.tcp, self.version = ip, tcp, version
        self.payload_at = tcp + (data[tcp + 12] >> 4) * 4
        self.payload = data[self.payload_at:end]
        self.seq = struct.unpack_from(">I", data, tcp + 4)[0]
        self.flags = data[tcp + 13]
        ports = data[tcp:tcp + 2], data[tcp + 2:tcp + 4]
        self.stream = ends[0] + ports[0], ends[1] + ports[1]

    def part(self, start, end):
        """The same frame with a part of its payload; a FIN stays on the last one."""
        head = bytearray(self.data[:self.payload_at])
        struct.pack_into(">I", head, self.tcp + 4, (self.seq + start) & 0xffffffff)
        if end < len(self.payload):
            head[self.tcp + 13] &= ~FIN
        length = len(head) - self.ip + end - start
        if self.version == 4:
            struct.pack_into(">H", head, self.ip + 2, length)
            struct.pack_into(">H", head, self.ip + 10, 0)
        else:
            struct.pack_into(">H", head, self.ip + 4, length - 40)
        f = Frame.__new__(Frame)
        f.__dict__.update(self.__dict__)
        f.data = bytes(head) + self.payload[start:end]
        f.original = len(f.data)
        f.seq = self.seq + start
        f.payload = self.payload[start:end]
        f.flags = head[self.tcp + 13]
        return f


def read(path):
    with open(path, "rb") as file:
        data = file.read()
    order = "<" if data[:4] in (b"\xd4\xc3\xb2\xa1", b"\x4d\x3c\xb2\xa1") else ">"
    link = struct.unpack_from(order + "I", data, 20)[0]
    at, frames = 24, []
    while at < len(data):
        sec, frac, captured, length = struct.unpack_from(order + "IIII", data, at)
        frames.append(Frame((sec, frac), data[at + 16:at + 16 + captured], link, length))
        at += 16 + captured
    return order, data[:24], frames


def recut(frame, sizes):
    at = 0
    while at < len(frame.payload):
        n = next(sizes)
        yield frame.part(at, min(at + n, len(frame.payload)))
        at += n


def has_data(frame):
    return frame.tcp is not None and len(frame.payload) > 0


def cut(frames, sizes):
    for frame in frames:
        if has_data(frame):
            yield from recut(frame, sizes)
        else:
            yield frame


def reorder(frames, dice):
    frames = list(frames)
    for i in range(len(frames) - 3):
        if dice.random() < 0.3 and has_data(frames[i]):
            for j in range(i + 1, min(i + 4, len(frames))):
                if has_data(frames[j]) and frames[j].stream == frames[i].stream and frames[j].time == frames[i].time:
                    frames[i], frames[j] = frames[j], frames[i]
                    break
                if frames[j].tcp is not None and frames[j].stream == frames[i].stream[::-1]:
                    break
    return frames


def duplicate(frames, dice):
    later = []
    for i, frame in enumerate(frames):
        yield frame
        while later and later[0][0] <= i:
            yield later.pop(0)[1]
        if has_data(frame) and i % 5 == 2:
            if dice.random() < 0.5:
                yield frame
            else:
                later.append((i + dice.randrange(1, 4), frame))
    for _, frame in later:
        yield frame


def overlap(frames, dice):
    """What was sent before is sent again together with what follows, and once more in other pieces."""
    before = {}
    for i, frame in enumerate(frames):
        last = before.get(frame.stream) if frame.tcp is not None else None
        if has_data(frame) and last is not None and last.seq + len(last.payload) == frame.seq and i % 5 == 0:
            n = dice.randrange(1, len(last.payload) + 1)
            joined = frame.part(0, len(frame.payload))
            joined.payload = last.payload[-n:] + frame.payload
            joined.data = frame.data[:frame.payload_at] + joined.payload
            joined.seq = frame.seq - n
            yield joined.part(0, len(joined.payload))
            if len(frame.payload) > 2:
                middle = dice.randrange(1, len(frame.payload) - 1)
                yield frame.part(middle, len(frame.payload))
        else:
            yield frame
        if has_data(frame):
            before[frame.stream] = frame


def name(stream):
    return ">".join(end.hex() for end in stream)


def lose(frames, dice, log):
    """Not the ends of a connection: what is missing there is not missing in the middle."""
    starts = {}
    for frame in frames:
        if frame.tcp is not None and frame.stream not in starts:
            starts[frame.stream] = frame.seq + (1 if frame.flags & SYN else 0)
        if has_data(frame) and dice.random() < 0.01:
            at = (frame.seq - starts[frame.stream]) & 0xffffffff
            log.write("%s %d %d\n" % (name(frame.stream), at, at + len(frame.payload)))
        else:
            yield frame


def main(how, source, target, lost=None):
    how, _, seed = how.partition(":")
    dice = random.Random(int(seed or 1))
    order, head, frames = read(source)
    sizes = iter(lambda: dice.randrange(60, 537), None)
    ones = iter(lambda: 1, None)
    log = open(lost or "/dev/null", "w")
    frames = {
        "cut": lambda: cut(frames, sizes),
        "bytes": lambda: cut(frames, ones),
        "reorder": lambda: reorder(cut(frames, sizes), dice),
        "duplicate": lambda: duplicate(frames, dice),
        "overlap": lambda: overlap(cut(frames, sizes), dice),
        "lose": lambda: lose(cut(frames, sizes), dice, log),
        "lose-whole": lambda: lose(frames, dice, log),
    }[how]()
    with open(target, "wb") as file:
        file.write(head)
        last = (0, 0)
        for frame in frames:
            last = max(last, frame.time)
            file.write(struct.pack(order + "IIII", last[0], last[1], len(frame.data), frame.original) + frame.data)
    log.close()


if __name__ == "__main__":
    main(*sys.argv[1:])

"""A toy broker that misbehaves on demand, for targets.sh. Standard library only.

    bad_broker.py PORT MODE [TEXT]

    ok            serves 3.1, 3.1.1 and 5: enough for a plain scenario
    dies-on       by SIGSEGV when a packet contains TEXT
    exits-on      with code 7 when a packet contains TEXT, and says so on stderr
    kills-itself  by SIGKILL when a packet contains TEXT: as if from outside
    ends          with code 3 at once        never-serves  listens nowhere
    silent        takes connections and says nothing
    garbage       answers what is no MQTT    closes        takes connections and closes them
    floods        sends PINGRESPs for ever   drips         sends one long packet, a byte a second
    huge          announces 268,435,455 bytes and sends what it can
    slow-start    listens only after a second
    opens-late    takes connections and closes them for half a second, then says for as long that it is unavailable
    grows         by 64 MB when a packet contains TEXT
    burns         computes for ever when a packet contains TEXT, and serves
    reports       says on stderr, as a sanitizer does, that a packet contains TEXT, and serves
    dies          by SIGSEGV
    stalls        when a packet contains TEXT: nobody is answered any more, and 1.35 s later it dies by SIGSEGV
    dies-late     when a packet contains TEXT: all connections are closed, and 300 ms later it exits with code 7
    expires       exits with code 7 at its 12th CONNECT, as many times as the file TEXT says
    hangs         when a packet contains TEXT: nobody is answered any more, though connections are taken
    escapes       serves, but all text that it chooses is hostile to a terminal
    forges        the same to every format of a report; payloads are replaced; a packet that contains TEXT ends it with last words
                  of that kind
    forges-bytes  the same, with NUL and what is not UTF-8 in strings
    refuses       every CONNECT, with such a reason string

Behind MODE, `@SUBSCRIBE`: all is well until a client subscribes (`silent@SUBSCRIBE`).
"""
import os
import signal
import socket
import struct
import sys
import threading
import time

PORT, MODE = int(sys.argv[1]), sys.argv[2]
TEXT = sys.argv[3].encode() if len(sys.argv) > 3 else None
MODE, _, BEGINS = MODE.partition("@")
BEGINS = {"": 1, "CONNECT": 1, "SUBSCRIBE": 8}[BEGINS]
STARTED, STALLED, GROWN, CONNECTS = time.monotonic(), threading.Event(), [], []
HOSTILE = "\x1b[31mred\x1b]0;title\x07 \u202egnp.exe\u2066 \u200b \x9b2J \x7f".encode()
FORGED = ("\x1b[31m\u202e\u2066]]><script>alert(1)</script>&\"'`$(id)\\ # SKIP # TODO \u2028\u061c\n"
          "ok 1 - forged\nnot ok 2 - forged # TODO\n  ---\n  ...\nBail out!\r</failure>{\"verdict\": \"pass\"}\x7f\u009b2J").encode()
FORGES = MODE.startswith("forges") or MODE == "refuses"
if FORGES:
    HOSTILE = FORGED + (b"\0\xff\xed\xa0\x80\xc0\xaf" if MODE == "forges-bytes" else b"")
CHOOSES = FORGES or MODE == "escapes"
clients, lock = [], threading.RLock()


def die(number):
    os.kill(os.getpid(), number)
    time.sleep(60)              # another thread may be the one that the kernel interrupts


def expires():
    with open(TEXT) as f:
        left = int(f.read())
    with open(TEXT, "w") as f:
        f.write(str(max(left - 1, 0)))
    return left > 0


def varint(n):
    out = b""
    while True:
        out += bytes([n % 128 | (128 if n > 127 else 0)])
        n //= 128
        if not n:
            return out


def packet(first, body):
    return bytes([first]) + varint(len(body)) + body


def text(b):
    return struct.pack(">H", len(b)) + b


def at_client_id(body, n):
    """In a CONNECT whose protocol name has n bytes."""
    at = 2 + n + 1 + 1 + 2
    return at if body[2 + n] < 5 else at + 1 + body[at]


def matches(filters, topic):
    best = None
    for f, qos in filters.items():
        levels, i, t = f.split(b"/"), 0, topic.split(b"/")
        while i < len(levels) and levels[i] != b"#" and i < len(t) and levels[i] in (b"+", t[i]):
            i += 1
        if (i < len(levels) and levels[i] == b"#") or i == len(levels) == len(t):
            best = max(qos, best if best is not None else 0)
    return best


class Client(threading.Thread):
    def __init__(self, sock):
        super().__init__(daemon=True)
        self.sock, self.version, self.filters, self.next_id, self.held = sock, 4, {}, 1, {}

    def send(self, data):
        with lock:
            self.sock.sendall(data)

    def bytes(self, n):
        out = b""
        while len(out) < n:
            more = self.sock.recv(n - len(out))
            if not more:
                raise OSError
            out += more
        return out

    def read(self):
        first, n, shift = self.bytes(1)[0], 0, 0
        while True:
            b = self.bytes(1)[0]
            n |= (b & 127) << shift
            shift += 7
            if b < 128:
                return first, self.bytes(n)

    def properties(self, body, at):
        """Skips them, in 5."""
        if self.version < 5:
            return at
        n, shift = 0, 0
        while True:
            b = body[at]
            at += 1
            n |= (b & 127) << shift
            shift += 7
            if b < 128:
                return at + n

    def deliver(self, topic, payload, qos):
        if FORGES:
            payload = HOSTILE + payload
        with lock:
            for c in clients:
                granted = matches(c.filters, topic)
                if granted is None:
                    continue
                q, body = min(qos, granted), text(topic)
                if q:
                    body += struct.pack(">H", c.next_id)
                    c.next_id = c.next_id % 65535 + 1
                props = b"\x26" + text(HOSTILE) + text(HOSTILE) if CHOOSES else b""
                body += (varint(len(props)) + props if c.version == 5 else b"") + payload
                try:
                    c.send(packet(0x30 | q << 1, body))
                except OSError:
                    pass

    def take(self, first, body):
        kind, ack = first >> 4, b"\0" if self.version == 5 else b""
        if kind == 1:
            n = struct.unpack_from(">H", body)[0]
            self.version = body[2 + n]
            if MODE == "expires":
                CONNECTS.append(1)
                if len(CONNECTS) == 12 and expires():
                    os._exit(7)
            if MODE == "opens-late" and time.monotonic() < STARTED + 1:
                if time.monotonic() > STARTED + 0.5:
                    self.send(packet(0x20, b"\0\x88\0" if self.version == 5 else b"\0\x03"))
                return False
            props = b"\x1f" + text(HOSTILE) + b"\x26" + text(HOSTILE) + text(HOSTILE) if CHOOSES else b""
            if CHOOSES and not body[at_client_id(body, n):at_client_id(body, n) + 2].strip(b"\0"):
                props += b"\x12" + text(HOSTILE)        # an assigned client id
            if MODE == "refuses":
                self.send(packet(0x20, b"\0\x87" + varint(len(props)) + props if self.version == 5 else b"\0\5"))
                return False
            self.send(packet(0x20, b"\0\0" + (varint(len(props)) + props if self.version == 5 else b"")))
        elif kind == 3:
            n = struct.unpack_from(">H", body)[0]
            topic, at, qos = body[2:2 + n], 2 + n, first >> 1 & 3
            pid = body[at:at + 2]
            at = self.properties(body, at + (2 if qos else 0))
            if qos == 2:
                self.held[pid] = (topic, body[at:])
                self.send(packet(0x50, pid))
                return True
            if qos:
                self.send(packet(0x40, pid))
            self.deliver(topic, body[at:], qos)
        elif kind == 5:
            self.send(packet(0x62, body[:2]))
        elif kind == 6:
            self.send(packet(0x70, body[:2]))
            if body[:2] in self.held:
                self.deliver(*self.held.pop(body[:2]), 2)
        elif kind in (8, 10):
            at, codes = self.properties(body, 2), b""
            while at < len(body):
                n = struct.unpack_from(">H", body, at)[0]
                f = body[at + 2:at + 2 + n]
                at += 2 + n
                if kind == 8:
                    self.filters[f] = body[at] & 3
                    codes += bytes([body[at] & 3])
                    at += 1
                else:
                    self.filters.pop(f, None)
                    codes += b"\0" if self.version == 5 else b""
            self.send(packet(0x90 if kind == 8 else 0xb0, body[:2] + ack + codes))
            if kind == 8 and CHOOSES:
                self.send(packet(0x30, text(b"x/" + HOSTILE) + ack + HOSTILE))
        elif kind == 12:
            self.send(b"\xd0\0")
        return kind != 14

    def misbehave(self):
        """For the rest of the connection; False: in this mode it does not."""
        if MODE == "silent":
            while self.sock.recv(4096):
                pass
        elif MODE == "garbage":
            self.send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n" + HOSTILE)
        elif MODE == "floods":
            while True:
                self.sock.sendall(b"\xd0\0" * 4096)
        elif MODE == "drips":
            for b in b"\x30\xff\xff\x7f" + b"\0" * 4000:
                self.sock.sendall(bytes([b]))
                time.sleep(1)
        elif MODE == "dies":
            die(signal.SIGSEGV)
        elif MODE == "huge":
            self.sock.sendall(b"\x30\xff\xff\xff\x7f\0\1a")
            while True:
                self.sock.sendall(b"x" * 65536)
        elif MODE != "closes":
            return False
        return True

    def run(self):
        try:
            while True:
                first, body = self.read()
                if TEXT and TEXT in body:
                    if MODE == "dies-on":
                        die(signal.SIGSEGV)
                    elif MODE == "kills-itself":
                        die(signal.SIGKILL)
                    elif MODE == "grows":
                        GROWN.append(bytearray(b"x" * (64 << 20)))
                    elif MODE == "burns":
                        if not os.fork():
                            while True:
                                pass
                    elif MODE == "reports":
                        os.write(2, b"==1==ERROR: AddressSanitizer: toy\nSUMMARY: AddressSanitizer: heap-use-after-free toy.c:7:3 in take\n" + b"." * 2000)
                    elif MODE == "stalls" and not STALLED.is_set():
                        STALLED.set()
                        time.sleep(1.35)
                        die(signal.SIGSEGV)
                    elif MODE == "dies-late":
                        with lock:
                            for c in clients:
                                c.sock.shutdown(socket.SHUT_RDWR)
                        time.sleep(0.3)
                        os._exit(7)
                    elif MODE == "hangs":
                        STALLED.set()
                    elif FORGES:
                        os.write(2, HOSTILE)
                        os._exit(7)
                    elif MODE == "exits-on":
                        os.write(2, b"assertion failed: \x1b[31m" + TEXT + b"\n")
                        os._exit(7)
                if STALLED.is_set():
                    continue
                if first >> 4 == BEGINS and self.misbehave():
                    break
                if not self.take(first, body):
                    break
        except OSError:
            pass
        with lock:
            if self in clients:
                clients.remove(self)
        self.sock.close()


def main():
    if MODE == "ends":
        sys.exit("no such file: /etc/toy.conf")
    if MODE == "never-serves":
        signal.pause()
    if MODE == "slow-start":
        time.sleep(1)
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("127.0.0.1", PORT))
    s.listen(128)
    print(s.getsockname()[1], flush=True)        # for who asked for port 0
    while True:
        client = Client(s.accept()[0])
        client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with lock:
            clients.append(client)
        client.start()


main()

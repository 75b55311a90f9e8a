"""
record.py OUT FROM_PORT TO_PORT: passes connections to 127.0.0.1:FROM_PORT on to TO_PORT until it is told to stop (SIGTERM), and writes what they carry
as a capture in pcap, where no one may capture for real: segments of at most 1460 bytes, each acknowledged. Prints a line when it listens.
"""
import signal
import socket
import struct
import sys
import threading
import time

FIN, SYN, PSH, ACK = 1, 2, 8, 16


class Capture:
    def __init__(self, path):
        self.file = open(path, "wb")
        self.file.write(struct.pack("<IHHiIII", 0xa1b2c3d4, 2, 4, 0, 0, 65535, 101))
        self.lock = threading.Lock()

    def packet(self, ports, seq, ack, flags, payload=b""):
        now = time.time()
        tcp = struct.pack(">HHIIBBHHH", ports[0], ports[1], seq & 0xffffffff, ack & 0xffffffff, 5 << 4, flags, 65000, 0, 0) + payload
        ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(tcp), 0, 0, 64, 6, 0, b"\x7f\0\0\1", b"\x7f\0\0\1") + tcp
        self.file.write(struct.pack("<IIII", int(now), int(now % 1 * 1e6), len(ip), len(ip)) + ip)


class Connection:
    def __init__(self, capture, client, server, ports):
        self.capture, self.sockets, self.ports = capture, (client, server), ports
        self.seq = [1000, 2000]
        with capture.lock:
            capture.packet(ports, 1000, 0, SYN)
            capture.packet(ports[::-1], 2000, 1001, SYN | ACK)
            capture.packet(ports, 1001, 2001, ACK)
        self.seq = [1001, 2001]

    def said(self, end, payload, flags=0):
        ports = self.ports if end == 0 else self.ports[::-1]
        with self.capture.lock:
            for at in range(0, len(payload) or 1, 1460):
                part = payload[at:at + 1460]
                self.capture.packet(ports, self.seq[end], self.seq[1 - end], ACK | PSH | flags, part)
                self.seq[end] += len(part) + (1 if flags & FIN else 0)
                self.capture.packet(ports[::-1], self.seq[1 - end], self.seq[end], ACK)

    def carry(self, end):
        try:
            while data := self.sockets[end].recv(65536):
                self.said(end, data)
                self.sockets[1 - end].sendall(data)
        except OSError:
            pass
        self.said(end, b"", FIN)
        try:
            self.sockets[1 - end].shutdown(socket.SHUT_WR)
        except OSError:
            pass


def main(path, from_port, to_port):
    capture = Capture(path)
    listener = socket.create_server(("127.0.0.1", int(from_port)))

    def stop(*_):
        with capture.lock:
            capture.file.flush()
            listener.close()
            sys.stdout.flush()
            import os
            os._exit(0)

    signal.signal(signal.SIGTERM, stop)
    print("listens", listener.getsockname()[1], flush=True)
    while True:
        client, address = listener.accept()
        server = socket.create_connection(("127.0.0.1", int(to_port)))
        for s in (client, server):
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = Connection(capture, client, server, (address[1], 1883))
        for end in (0, 1):
            threading.Thread(target=connection.carry, args=(end,), daemon=True).start()


main(*sys.argv[1:])

#!/usr/bin/env python3
"""Relays TCP to a port of this machine and writes what went through as a capture, for where nobody may capture packets.

relay.py PORT FILE: takes connections on a free port, which is printed, until SIGTERM. Packets are made up from what was read, in
the order in which it came; each acknowledges all that went the other way before it and is known to have been written.
"""
import os
import selectors
import signal
import socket
import struct
import sys
import time

SYN, FIN, RST, ACK = 2, 1, 4, 16
SEGMENT = 1400


class Capture:
    def __init__(self, path):
        self.file = open(path, "wb")
        self.file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 101))

    def segment(self, way, flags, payload=b""):
        tcp = struct.pack("!HHIIBBHHH", way.port, way.other.port, way.seq & 0xFFFFFFFF,
                          way.other.seq & 0xFFFFFFFF if flags & ACK else 0, 5 << 4, flags, 65535, 0, 0)
        ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 40 + len(payload), 0, 0x4000, 64, 6, 0, way.address, way.other.address)
        now = time.time_ns()
        size = 40 + len(payload)
        self.file.write(struct.pack("<IIII", now // 10**9, now % 10**9 // 1000, size, size) + ip + tcp + payload)
        way.seq += len(payload) + (1 if flags & (SYN | FIN) else 0)


class Way:
    """One direction of a connection: read from `source`, written to other.source."""

    def __init__(self, source, address, port):
        self.source, self.address, self.port, self.seq, self.open, self.other = source, address, port, 1000, True, None


def relay(broker_port, path):
    capture = Capture(path)
    selector = selectors.DefaultSelector()
    server = socket.create_server(("127.0.0.1", 0))
    selector.register(server, selectors.EVENT_READ)
    print(server.getsockname()[1], flush=True)
    going = [True]
    signal.signal(signal.SIGTERM, lambda *_: going.clear())
    local = bytes([127, 0, 0, 1])

    def accept():
        client, peer = server.accept()
        broker = socket.create_connection(("127.0.0.1", broker_port))
        ways = [Way(client, local, peer[1]), Way(broker, local, broker_port)]
        for way, other in zip(ways, reversed(ways)):
            way.other = other
            way.source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            selector.register(way.source, selectors.EVENT_READ, way)
        capture.segment(ways[0], SYN)
        capture.segment(ways[1], SYN | ACK)
        capture.segment(ways[0], ACK)

    def end(way, flags):
        capture.segment(way, flags | ACK)
        way.open = False
        selector.unregister(way.source)
        if flags & RST or not way.other.open:
            if way.other.open:
                selector.unregister(way.other.source)
            for both in (way, way.other):
                both.open = False
            if flags & RST:
                way.other.source.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            way.source.close()
            way.other.source.close()
        else:
            way.other.source.shutdown(socket.SHUT_WR)

    def move(way):
        try:
            data = way.source.recv(65536)
            if data:
                for i in range(0, len(data), SEGMENT):
                    capture.segment(way, ACK, data[i:i + SEGMENT])
                way.other.source.sendall(data)
                return
        except OSError:
            end(way, RST)
            return
        end(way, FIN)

    while going:
        for key, _ in selector.select(0.1):
            if key.fileobj is server:
                accept()
            elif key.data.open:
                move(key.data)
        capture.file.flush()


relay(int(sys.argv[1]), sys.argv[2])
os._exit(0)

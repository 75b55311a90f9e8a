#!/usr/bin/env python3
"""ports.py N: N ports of 127.0.0.1 on one line that nobody has, and that the kernel gives to no outgoing connection meanwhile."""
import random
import socket
import sys

sockets = []
while len(sockets) < int(sys.argv[1]):
    try:
        sockets.append(socket.create_server(("127.0.0.1", random.randrange(10240, 32768))))
    except OSError:
        continue
print(*(s.getsockname()[1] for s in sockets))

#!/usr/bin/env python3
"""Captures from the loopback interface while MQTT goes over it: how soon a packet is printed, and what the program may still do.

live.py PROGRAM [tcpdump]    prints `ok NAME`, `not ok NAME: why` or `skip NAME: why`
With tcpdump, its output comes through a pipe instead.
"""
import os
import select
import socket
import subprocess
import sys
import time

CONNECT = bytes.fromhex("100d00044d5154540402003c000161")
CONNACK = bytes.fromhex("20020000")
PINGREQ, PINGRESP = b"\xc0\x00", b"\xd0\x00"
LIMIT_S = 0.1
failed = False


def tell(good, name, why=""):
    global failed
    failed = failed or not good
    print(f"ok {name}" if good else f"not ok {name}: {why}", flush=True)


def talk(listener, port, decoder):
    """The seconds from sending a packet to its line, for each of several packets."""
    client = socket.create_connection(("127.0.0.1", port))
    broker, _ = listener.accept()
    waits = []
    for sender, packet in [(client, CONNECT), (broker, CONNACK)] + [(client, PINGREQ), (broker, PINGRESP)] * 4:
        time.sleep(0.15)
        start = time.monotonic()
        sender.sendall(packet)
        if select.select([decoder.stdout], [], [], 5)[0]:
            os.read(decoder.stdout.fileno(), 65536)
            waits.append(time.monotonic() - start)
    client.close()
    broker.close()
    return waits


def status(pid):
    with open(f"/proc/{pid}/status") as f:
        return dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)


def main():
    program, piped = sys.argv[1], len(sys.argv) > 2
    what = "a pipe from tcpdump" if piped else "an interface"
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    source = None
    if piped:
        source = subprocess.Popen(["tcpdump", "-i", "lo", "-U", "--immediate-mode", "-w", "-", f"tcp port {port}"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        command = [program, "decode", "-"]
    else:
        command = [program, "decode", "-i", "lo", "--filter", f"tcp port {port}"]
    env = {k: v for k, v in os.environ.items() if not k.startswith("SUDO_")}
    decoder = subprocess.Popen(command, stdin=source.stdout if piped else None, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env)
    time.sleep(1)
    if decoder.poll() is not None or (piped and source.poll() is not None):
        print(f"skip {what}: {decoder.communicate()[1].decode().strip() if decoder.poll() is not None else 'tcpdump may not'}")
        return
    now = status(decoder.pid)
    waits = talk(listener, port, decoder)
    if piped:
        source.terminate()
    else:
        tell(now["Uid"].split()[0] != "0" or os.getuid() != 0, "root is given up", now["Uid"])
        tell(all(int(now[c], 16) == 0 for c in ("CapInh", "CapPrm", "CapEff", "CapAmb")), "capabilities are given up", now["CapEff"])
        tell(now["NoNewPrivs"] == "1", "no new privileges", now["NoNewPrivs"])
        decoder.terminate()
    errors = decoder.communicate(timeout=10)[1].decode()
    tell(len(waits) == 10, f"{what}: all packets are printed", f"{len(waits)} of 10: {errors}")
    # The machine may be busy with other tests: half of them must have been in time.
    tell(len(waits) == 10 and sorted(waits)[4] <= LIMIT_S, f"{what}: printed within 100 ms", str([round(w, 3) for w in waits]))
    tell(decoder.returncode == 0, f"{what}: ends well", f"exit {decoder.returncode}: {errors}")


main()
sys.exit(failed)

#!/usr/bin/env python3
"""cuts.py MQASSAY CAPTURE [FIRST] [OPTION...]: a capture that begins later shows nothing that was not there.

CAPTURE (pcap or pcapng) is cut in front of each of its first 60 frames from FIRST on. Every packet decoded then must be one of the whole capture's, at its
place; which are not found is counted. Prints: cuts, packets that should be there, not found, invented."""
import json
import subprocess
import sys
import tempfile

# Without the CONNECT a few packets may fit either version, and be read by the wrong one: what they are, not what they say.
FIELDS = ("type", "from", "packet_id", "size")


def packets(mqassay, path, options):
    run = subprocess.run([mqassay, "decode", "-q", "--format", "json", path] + options, capture_output=True, timeout=20)
    if run.returncode not in (0, 3):
        sys.exit("decode %s: exit %d: %s" % (path, run.returncode, run.stderr.decode()[:300]))
    for line in run.stdout.decode().splitlines():
        o = json.loads(line)
        if o["kind"] == "packet":
            yield o["frame"], o["first_frame"], json.dumps({f: o.get(f) for f in FIELDS}, sort_keys=True)


def main():
    mqassay, capture = sys.argv[1:3]
    first = int(sys.argv[3]) if len(sys.argv) > 3 else 2
    options = sys.argv[4:]
    whole = list(packets(mqassay, capture, options))
    cuts = expected = missing = invented = 0
    last = max(frame for frame, _, _ in whole)
    with tempfile.NamedTemporaryFile(suffix=".pcapng") as cut:
        for n in range(first, min(first + 60, last)):
            subprocess.run(["editcap", "-r", capture, cut.name, "%d-1000000" % n], check=True, capture_output=True)
            should = [(frame, text) for frame, begun, text in whole if begun >= n]
            for frame, _, text in packets(mqassay, cut.name, options):
                if (frame + n - 1, text) in should:
                    should.remove((frame + n - 1, text))
                else:
                    invented += 1
                    print("cut at %d: frame %d: %s" % (n, frame + n - 1, text))
            cuts += 1
            expected += sum(1 for _, begun, _ in whole if begun >= n)
            missing += len(should)
    print("%d cuts: %d packets, %d not found, %d invented" % (cuts, expected, missing, invented))
    return 1 if invented or not cuts or missing * 10 > expected else 0


sys.exit(main())

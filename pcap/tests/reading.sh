#!/bin/sh
# What decode reads: one capture in every form and packing, whole, in sections, cut, through pipes, and from an interface; what it says
# of what it cannot read; and --format pcapng, which reads and writes.

cd "$(dirname "$0")/../.." || exit 3
LC_ALL=C
PATH=$PATH:/usr/sbin
export LC_ALL PATH
tmp=$(mktemp -d) || exit 3
trap 'rm -rf "$tmp"' EXIT
trap 'exit 3' HUP INT TERM
MQASSAY=${MQASSAY:-$PWD/build/mqassay}
failed=0

ok() { printf 'ok %s\n' "$1"; }
not_ok() { printf 'not ok %s: %s\n' "$1" "$2"; failed=1; }
json() { timeout 60 "$MQASSAY" decode -q --format json "$@"; }
said() { head -c 300 "$1" | tr '\n' '|'; }

# same NAME [BASE]: what is in out is what was decoded of the capture itself
same() {
	if cmp -s "$tmp/out" "$tmp/${2:-base}"; then
		ok "$1"
	else
		not_ok "$1" "$(diff "$tmp/out" "$tmp/${2:-base}" | head -n 2 | cut -c 1-200 | tr '\n' '|') $(said "$tmp/err")"
	fi
}

# reads NAME FILE
reads() {
	json "$2" >"$tmp/out" 2>"$tmp/err"
	same "$1"
}

# refuses NAME EXIT PATTERN ARGUMENTS...: one line, which begins with the program's name
refuses() {
	name=$1 expected=$2 pattern=$3
	shift 3
	timeout 20 "$MQASSAY" decode -q "$@" >"$tmp/out" 2>"$tmp/err"
	code=$?
	if [ $code -ne "$expected" ]; then
		not_ok "$name" "exit $code: $(said "$tmp/err")"
	elif [ "$(grep -c '' "$tmp/err")" -ne 1 ] || ! grep -q "$pattern" "$tmp/err"; then
		not_ok "$name" "said: $(said "$tmp/err")"
	else
		ok "$name"
	fi
}

have() { command -v "$1" >/dev/null 2>&1; }

a=$tmp/a.pcapng
"$MQASSAY" conform --mqtt 5 --select common/qos --pcap "$a" >"$tmp/log" 2>&1 || { not_ok 'a capture to read' "$(said "$tmp/log")"; exit 1; }
json "$a" >"$tmp/base" 2>"$tmp/err" || { not_ok 'a capture is read' "$(said "$tmp/err")"; exit 1; }
n=$(grep -c '"kind":"packet"' "$tmp/base")
if [ "$n" -gt 500 ]; then ok "a capture is read"; else not_ok "a capture is read" "$n packets"; fi

# ---- forms ----

gzip -c "$a" >"$tmp/a.gz"
reads 'gzip' "$tmp/a.gz"
{ head -c 5000 "$a" | gzip -c; tail -c +5001 "$a" | gzip -c; } >"$tmp/members.gz"
reads 'gzip, two members' "$tmp/members.gz"
zstd -q -c "$a" >"$tmp/a.zst"
reads 'zstd' "$tmp/a.zst"
{ head -c 5000 "$a" | zstd -q -c; tail -c +5001 "$a" | zstd -q -c; } >"$tmp/frames.zst"
reads 'zstd, two frames' "$tmp/frames.zst"
zstd -q -c -19 "$a" >"$tmp/best.zst"
reads 'zstd -19' "$tmp/best.zst"
if have editcap; then
	editcap -F nsecpcap "$a" "$tmp/a.nsec" && reads 'pcap with nanoseconds' "$tmp/a.nsec"
	editcap -F pcap "$a" "$tmp/a.pcap"
	json "$tmp/a.pcap" >"$tmp/out.whole" 2>"$tmp/err"
	sed 's/"time":[^,]*,"epoch":"[^"]*"//; s/"epoch":"[^"]*"//' "$tmp/out.whole" >"$tmp/out"
	sed 's/"time":[^,]*,"epoch":"[^"]*"//; s/"epoch":"[^"]*"//' "$tmp/base" >"$tmp/timeless"
	same 'pcap with microseconds' timeless
else
	echo 'skip pcap with nanoseconds: no editcap'
	echo 'skip pcap with microseconds: no editcap'
fi
# The same packets at the same time on another interface: they are copies.
cat "$a" "$a" >"$tmp/twice.pcapng"
json "$tmp/twice.pcapng" >"$tmp/out.all" 2>"$tmp/err"
grep '"kind":"packet"' "$tmp/out.all" >"$tmp/out"
grep '"kind":"packet"' "$tmp/base" >"$tmp/packets"
same 'the same section twice' packets

# ---- copies ----

# tcpdump -i any on a host whose broker is behind a bridge: Mosquitto and two of its clients, every packet seen on the bridge and on its port.
# Cooked v1 does not tell the interfaces apart, so the two SYN-ACKs, which have no id, count as sent again.
for row in 1:26 2:28; do
	capture=pcap/tests/reading/any-bridge-cooked${row%:*}.pcap
	json "$capture" >"$tmp/out" 2>"$tmp/err"
	timeout 20 "$MQASSAY" decode "$capture" >/dev/null 2>"$tmp/err"
	got=$(grep -c '"kind":"packet"' "$tmp/out")
	if [ "$got" -eq 12 ] && grep -q "^ *${row#*:} .*cop" "$tmp/err"; then
		ok "copies on \"any\", cooked v${row%:*}"
	else
		not_ok "copies on \"any\", cooked v${row%:*}" "$got of 12 packets; $(said "$tmp/err")"
	fi
done

# ---- pipes ----

cat "$a" | json - >"$tmp/out" 2>"$tmp/err"
same 'standard input, a pipe'
json - <"$a" >"$tmp/out" 2>"$tmp/err"
same 'standard input, a file'
cat "$tmp/a.gz" | json - >"$tmp/out" 2>"$tmp/err"
same 'standard input, gzip through a pipe'
head -c 20000 "$a" >"$tmp/part.pcapng"
json "$tmp/part.pcapng" >"$tmp/part" 2>/dev/null
head -c 20000 "$a" | dd bs=1 2>/dev/null | json - >"$tmp/out" 2>"$tmp/err"
same 'a pipe that gives one byte at a time' part

# ---- what cannot be read ----

refuses 'a file that is not there' 3 'open: No such file' "$tmp/nowhere"
refuses 'a folder' 3 'is a folder' "$tmp"
: >"$tmp/empty"
refuses 'an empty file' 3 'is empty' "$tmp/empty"
printf 'GET / HTTP/1.1\r\n' >"$tmp/http"
refuses 'no capture' 3 'neither pcap nor pcapng.*"GET / HT"' "$tmp/http"
printf '\033[2J\033[31m' >"$tmp/terminal"
refuses 'no capture, but a terminal is spared' 3 '\\x1b\[2J' "$tmp/terminal"
printf 'BZh91AY&SY' >"$tmp/bzip2"
refuses 'packed by bzip2' 3 'bzip2 -dc' "$tmp/bzip2"
head -c 20000 "$tmp/a.gz" | head -c 3000 >"$tmp/cut.gz"
refuses 'gzip, cut' 3 'the compressed data ends early' "$tmp/cut.gz"
head -c 3000 "$tmp/a.zst" >"$tmp/cut.zst"
refuses 'zstd, cut' 3 'the compressed data ends early' "$tmp/cut.zst"
refuses 'pcapng, cut' 3 'behind frame [0-9]* at byte [0-9]*: the last block is cut' "$tmp/part.pcapng"
if grep -q '"kind":"packet"' "$tmp/part"; then ok 'and what was before is read'; else not_ok 'and what was before is read' 'nothing'; fi
if [ -s "$tmp/a.pcap" ]; then
	head -c 20001 "$tmp/a.pcap" >"$tmp/cut.pcap"
	refuses 'pcap, cut' 3 'frame [0-9]* at byte [0-9]*: the last record is cut' "$tmp/cut.pcap"
	head -c 20 "$tmp/a.pcap" >"$tmp/head.pcap"
	refuses 'pcap, cut in its header' 3 'cut within the file header' "$tmp/head.pcap"
	{ head -c 20000 "$tmp/a.pcap"; head -c 4000 /dev/zero | tr '\0' '\377'; } >"$tmp/rubbish.pcap"
	refuses 'pcap with rubbish in it' 3 'frame [0-9]* at byte [0-9]*: ' "$tmp/rubbish.pcap"
fi
{ head -c 20000 "$a"; head -c 4000 /dev/zero; } >"$tmp/rubbish.pcapng"
refuses 'pcapng with rubbish in it' 3 'behind frame [0-9]* at byte [0-9]*: ' "$tmp/rubbish.pcapng"

# ---- filters ----

refuses 'a filter that is none' 2 'filter "tcp prot 1883": ' --filter 'tcp prot 1883' "$a"
refuses 'a filter that nothing passes' 3 'no MQTT in it; no frame matches --filter' --filter 'tcp port 1' "$a"
json --filter 'tcp port 1883' "$a" >"$tmp/out" 2>"$tmp/err"
same 'a filter that all passes'

# ---- --format pcapng ----

"$MQASSAY" decode -q --format pcapng "$a" >"$tmp/only.pcapng" 2>"$tmp/err"
reads '--format pcapng: all of a capture that holds nothing else' "$tmp/only.pcapng"
cat "$a" | "$MQASSAY" decode -q --format pcapng - >"$tmp/piped.pcapng" 2>"$tmp/err"
reads '--format pcapng: through a pipe' "$tmp/piped.pcapng"
refuses '--format pcapng with a view' 2 'pcapng writes frames' --format pcapng --view qos "$a"
cut_time() { sed 's/"time":[^,]*,//; s/"epoch":"[^"]*",*//; s/"\(frame\|first_frame\|stream\)":[0-9]*,//g' "$1"; }
# A section of other traffic before it, with a key log that must come along; the second packet is an HTTP request.
python3 - "$tmp/other.pcapng" <<'PYTHON'
import struct, sys
def block(kind, body):
    body += bytes(-len(body) % 4)
    return struct.pack("<II", kind, len(body) + 12) + body + struct.pack("<I", len(body) + 12)
def frame(flags, seq, data):
    tcp = struct.pack(">HHIIHHHH", 40000, 80, seq, 1, 0x5000 | flags, 4096, 0, 0) + data
    return struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(tcp), seq, 0x4000, 64, 6, 0) + bytes([10, 9, 9, 1, 10, 9, 9, 2]) + tcp
out = block(0x0a0d0d0a, struct.pack("<IHHq", 0x1a2b3c4d, 1, 0, -1)) + block(1, struct.pack("<HHI", 101, 0, 0))
out += block(10, struct.pack("<II", 0x544c534b, 4) + b"# x\n")
for flags, seq, data in (2, 1, b""), (24, 2, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"), (17, 29, b""):
    f = frame(flags, seq, data)
    out += block(6, struct.pack("<IIIII", 0, *divmod(1577836800 * 10**6, 2**32), len(f), len(f)) + f)
open(sys.argv[1], "wb").write(out)
PYTHON
cat "$tmp/other.pcapng" "$a" >"$tmp/mixed.pcapng"
"$MQASSAY" decode -q --format pcapng -o "$tmp/only.pcapng" "$tmp/mixed.pcapng" 2>"$tmp/err"
json "$tmp/only.pcapng" 2>"$tmp/err" >"$tmp/out.whole"
cut_time "$tmp/out.whole" >"$tmp/out"
cut_time "$tmp/base" >"$tmp/timeless"
same '--format pcapng: the MQTT of a mixed capture' timeless
if grep -q 'HTTP/1.1' "$tmp/only.pcapng"; then not_ok '--format pcapng: no frame of others' 'HTTP is in it'; else ok '--format pcapng: no frame of others'; fi
if grep -q '# x' "$tmp/only.pcapng"; then ok '--format pcapng: the key log comes along'; else not_ok '--format pcapng: the key log comes along' 'it is not there'; fi
if have tshark; then
	if tshark -r "$tmp/only.pcapng" >/dev/null 2>"$tmp/err"; then ok 'and tshark reads it'; else not_ok 'and tshark reads it' "$(said "$tmp/err")"; fi
else
	echo 'skip and tshark reads it: no tshark'
fi

# ---- interfaces ----

refuses 'an interface that is not there' 3 'no such interface; there are: .*lo' -i nosuch0
python3 pcap/tests/live.py "$MQASSAY" || failed=1
# In a folder of our own, into which nobody else may write.
timeout -s INT 1 "$MQASSAY" decode -i lo --filter 'tcp port 1' -o "$tmp/live.txt" >"$tmp/out" 2>"$tmp/err"
if grep -q 'no permission' "$tmp/err"; then
	echo 'skip what root captures goes where root may write: may not capture'
elif [ -f "$tmp/live.txt" ] && grep -q 'no MQTT in it' "$tmp/err"; then
	ok 'what root captures goes where root may write'
else
	not_ok 'what root captures goes where root may write' "$(said "$tmp/err")"
fi
if have tcpdump; then
	python3 pcap/tests/live.py "$MQASSAY" tcpdump || failed=1
else
	echo 'skip a pipe from tcpdump: no tcpdump'
fi
exit $failed

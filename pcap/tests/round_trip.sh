#!/bin/sh
# A capture becomes a file in the notation, the file is played against another broker, and what was captured then is the same
# conversation again: two clients side by side, QoS 2, a session that comes back, a capture that begins in mid-stream, one that
# lacks the publisher.

cd "$(dirname "$0")/../.." || exit 3
LC_ALL=C
export LC_ALL
tmp=$(mktemp -d) || exit 3
trap 'rm -rf "$tmp"' EXIT
trap 'exit 3' HUP INT TERM
MQASSAY=${MQASSAY:-$PWD/build/mqassay}
HOME=$tmp
export HOME
failed=0

ok() { printf 'ok %s\n' "$1"; }
not_ok() { printf 'not ok %s: %s\n' "$1" "$2"; failed=1; }
said() { tr '\n' '|' <"$1" | head -c 1500; }

# runs NAME EXIT COMMAND...
runs() {
	name=$1 expected=$2
	shift 2
	timeout 60 "$@" >"$tmp/out" 2>&1
	code=$?
	if [ $code -eq "$expected" ]; then ok "$name"; else not_ok "$name" "exit $code: $(said "$tmp/out")"; fi
}

# decoded CAPTURE: CAPTURE.jsonl, and CAPTURE.scn, which lint accepts
decoded() {
	runs "${1##*/}: decode" 0 "$MQASSAY" decode -q --secrets --format json -o "$1.jsonl" "$1"
	runs "${1##*/}: decode --format scenario" 0 "$MQASSAY" decode -q --secrets --format scenario -o "$1.scn" "$1"
	runs "${1##*/}: lint" 0 "$MQASSAY" lint "$1.scn"
}

# again CAPTURE TARGET-NAME ARGUMENTS...: replayed, captured and compared
again() {
	capture=$1 target=$2
	shift 2
	runs "${capture##*/}: replay on $target" 0 "$MQASSAY" replay "$capture.scn" --pcap "$tmp/again.pcapng" "$@"
	"$MQASSAY" decode -q --secrets --format json -o "$tmp/again.jsonl" "$tmp/again.pcapng" 2>"$tmp/err" ||
		not_ok "${capture##*/}: decode what came on $target" "$(said "$tmp/err")"
	runs "${capture##*/}: the same conversation on $target" 0 python3 pcap/tests/lib/alike.py "$capture.jsonl" "$tmp/again.jsonl"
}

everywhere() {
	decoded "$1"
	again "$1" 'the built-in broker'
	again "$1" 'the built-in broker, which chooses narrow limits' --broker 'receive-maximum=2 topic-alias-maximum=0'
	again "$1" 'Mosquitto' --exec 'mosquitto -p {port}'
}

# ---- the captures ----

runs 'traffic for a round trip' 0 "$MQASSAY" conform --scenarios pcap/tests/round_trip/two.scn --pcap "$tmp/all.pcapng"
runs 'only its own connections' 0 "$MQASSAY" decode -q --where 'client~"#" && client present' --format json -o /dev/null "$tmp/all.pcapng"

everywhere "$tmp/all.pcapng"

exit $failed

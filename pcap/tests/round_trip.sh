#!/bin/sh
# A capture becomes a file in the notation, the file is played against another broker, and what was captured then is the same
# conversation again: two clients side by side, QoS 2, a session that comes back, a capture that begins in mid-stream, one that
# lacks the publisher, two clients whose QoS 2 messages cross, one that uses limits which the other broker does not grant.

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
alike=
again() {
	capture=$1 target=$2
	shift 2
	runs "${capture##*/}: replay on $target" 0 "$MQASSAY" replay "$capture.scn" --pcap "$tmp/again.pcapng" "$@"
	"$MQASSAY" decode -q --secrets --format json -o "$tmp/again.jsonl" "$tmp/again.pcapng" 2>"$tmp/err" ||
		not_ok "${capture##*/}: decode what came on $target" "$(said "$tmp/err")"
	runs "${capture##*/}: the same conversation on $target" 0 python3 pcap/tests/lib/alike.py $alike "$capture.jsonl" "$tmp/again.jsonl"
}

# same TARGET-NAME: the replay just made differs in nothing
same() {
	if grep -q '^  no difference from the capture$' "$tmp/out"; then ok "$1"; else not_ok "$1" "$(said "$tmp/out")"; fi
}

# ---- the captures ----

runs 'traffic of two clients' 0 "$MQASSAY" conform --scenarios pcap/tests/round_trip/two.scn --pcap "$tmp/two.pcapng"
decoded "$tmp/two.pcapng"
again "$tmp/two.pcapng" 'the built-in broker'
again "$tmp/two.pcapng" 'Mosquitto' --exec 'mosquitto -p {port}'

runs 'the same in 5' 0 "$MQASSAY" conform --scenarios pcap/tests/round_trip/two.scn --mqtt 5 --pcap "$tmp/two-5.pcapng"
decoded "$tmp/two-5.pcapng"
again "$tmp/two-5.pcapng" 'a broker that takes one message at a time' --broker narrow

# What one is to receive before it releases its own comes elsewhere only when the other has released.
for version in 3.1.1 5; do
	crossing=$tmp/crossing-$version.pcapng
	runs "QoS 2 that crosses, $version" 0 "$MQASSAY" conform --scenarios pcap/tests/round_trip/crossing.scn --mqtt $version --pcap "$crossing"
	decoded "$crossing"
	again "$crossing" 'the built-in broker'
	again "$crossing" 'Mosquitto' --exec 'mosquitto -p {port}'
	runs "QoS 2 that crosses, $version: soon" 0 timeout 3 "$MQASSAY" replay "$crossing.scn" --exec 'mosquitto -p {port}'
	same "QoS 2 that crosses, $version: all comes"
done

# Topic aliases, and many messages open at a time.
runs 'limits' 0 "$MQASSAY" conform --scenarios pcap/tests/round_trip/limits.scn --mqtt 5 --pcap "$tmp/limits.pcapng"
decoded "$tmp/limits.pcapng"
again "$tmp/limits.pcapng" 'the built-in broker'
alike=--limits
again "$tmp/limits.pcapng" 'a broker that takes one message at a time and no aliases' --broker narrow
again "$tmp/limits.pcapng" 'Mosquitto' --exec 'mosquitto -p {port}'
again "$tmp/limits.pcapng" 'Mosquitto with less' --exec "printf 'listener {port}\nallow_anonymous true\nmax_inflight_messages 2\nmax_topic_alias 2\n' >'$tmp/mosquitto.conf'; exec mosquitto -c '$tmp/mosquitto.conf'"
alike=

# Only the subscriber was captured: the file has to publish what it received.
runs 'one side only' 0 "$MQASSAY" decode -q --secrets --where 'client == "dash-q1000000000001"' --format scenario -o "$tmp/dash.scn" "$tmp/two-5.pcapng"
runs 'one side only: lint' 0 "$MQASSAY" lint "$tmp/dash.scn"
runs 'one side only: replay' 0 "$MQASSAY" replay "$tmp/dash.scn" --pcap "$tmp/again.pcapng"
"$MQASSAY" decode -q --secrets --where 'client == "dash-q1000000000001"' --format json -o "$tmp/dash.jsonl" "$tmp/two-5.pcapng"
"$MQASSAY" decode -q --secrets --format json -o "$tmp/again.jsonl" "$tmp/again.pcapng"
runs 'one side only: the same conversation' 0 python3 pcap/tests/lib/alike.py "$tmp/dash.jsonl" "$tmp/again.jsonl"

# The capture begins in the middle: whoever was there already has to be made first.
for version in 3.1.1 5; do
	middle=$tmp/middle-$version.pcapng
	runs "traffic to be cut, $version" 0 "$MQASSAY" conform --scenarios pcap/tests/round_trip/middle.scn --mqtt $version --pcap "$tmp/whole.pcapng"
	frame=$("$MQASSAY" decode -q --format json --where 'payload == "begins here" && from == client' "$tmp/whole.pcapng" |
		sed -n 's/^{"kind":"packet","frame":\([0-9]*\),.*/\1/p' | head -n 1)
	runs "mid-stream, $version" 0 editcap -r "$tmp/whole.pcapng" "$middle" "$frame-100000"
	decoded "$middle"
	again "$middle" 'the built-in broker'
	again "$middle" 'Mosquitto' --exec 'mosquitto -p {port}'
done

# A password stands in no file, whatever its packet is.
cat >"$tmp/secret.scn" <<'SCN'
scenario "A password in a CONNECT that the standard allows, and in one that it does not"
mqtt     5
cites    5 MQTT-3.1.2-3
a connects user_name="u" password="hunter2"
a disconnects
b -> CONNECT user_name="u" password="hunter2" !connect_flags=0xc3
b <- closed
SCN
runs 'a secret: played' 0 "$MQASSAY" conform -q --scenarios "$tmp/secret.scn" --pcap "$tmp/secret.pcapng"
"$MQASSAY" decode -q --format scenario -o "$tmp/masked.scn" "$tmp/secret.pcapng"
"$MQASSAY" decode -q --secrets --format scenario -o "$tmp/open.scn" "$tmp/secret.pcapng"
runs 'a secret: lint' 0 "$MQASSAY" lint "$tmp/masked.scn"
runs 'a secret: left out' 1 grep -e hunter2 -e '68 75 6e 74 65 72 32' "$tmp/masked.scn"
runs 'a secret: asked for' 0 grep -e 'password="hunter2"' "$tmp/open.scn"
runs 'a secret: asked for, in bytes' 0 grep -e '68 75 6e 74 65 72 32' "$tmp/open.scn"

# All that the suite says, as one capture of thousands of connections, legal and not.
runs 'the suite is captured' 0 "$MQASSAY" conform -q --pcap "$tmp/suite.pcapng"
runs 'the suite: decode --format scenario' 0 "$MQASSAY" decode -q --format scenario -o "$tmp/suite.scn" "$tmp/suite.pcapng"
runs 'the suite: lint' 0 "$MQASSAY" lint "$tmp/suite.scn"
runs 'the suite: replay, and no rule is broken' 0 "$MQASSAY" replay "$tmp/suite.scn"

exit $failed

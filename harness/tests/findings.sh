#!/bin/sh
# `mqassay replay` of findings written by hand (findings/*.scn): they show on targets that are broken, by the right oracle and every time,
# and on none that is well.

cd "$(dirname "$0")/../.." || exit 3
LC_ALL=C
export LC_ALL
tmp=$(mktemp -d) || exit 3
target_pid=
trap 'kill -KILL $target_pid 2>/dev/null; rm -rf "$tmp"' EXIT
trap 'exit 3' HUP INT TERM
ulimit -c 0
MQASSAY=${MQASSAY:-$PWD/build/mqassay}
PATH=$PATH:/usr/sbin
findings=harness/tests/findings
bad="/usr/bin/python3 $PWD/harness/tests/bad_broker.py"
failed=0

ok() { printf 'ok %s\n' "$1"; }
not_ok() { printf 'not ok %s: %s\n' "$1" "$2"; failed=1; }
is() {
	if [ "$2" = "$3" ]; then ok "$1"; else not_ok "$1" "expected '$2', received '$3': $(tail -n 8 "$tmp/out" "$tmp/err" | cut -c 1-300 | tr '\n' '|')"; fi
}
says() {	# NAME PATTERN
	if grep -a -q -E -e "$2" "$tmp/out"; then ok "$1"; else not_ok "$1" "no '$2' in: $(head -c 900 "$tmp/out" | tr '\n' '|')"; fi
}
lacks() {
	if grep -a -q -E -e "$2" "$tmp/out"; then not_ok "$1" "$(grep -a -E -m 1 -e "$2" "$tmp/out" | head -c 300)"; else ok "$1"; fi
}
one_line() {	# NAME CODE PATTERN: that exit code, nothing on stdout, one line on stderr that says so
	is "$1: exit $2" "$2" "$code"
	is "$1: one line" 1 "$(wc -l <"$tmp/err")"
	if grep -q -E -e "$3" "$tmp/err"; then ok "$1"; else not_ok "$1" "no '$3' in: $(cat "$tmp/err")"; fi
}
replay() {
	timeout 60 "$MQASSAY" replay "$@" >"$tmp/out" 2>"$tmp/err" </dev/null
	code=$?
}

"$MQASSAY" lint $findings >"$tmp/out" 2>"$tmp/err"
is 'lint: exit 0' 0 $?
says 'lint: neither errors nor warnings' ' 0 errors, 0 warnings$'

# ---- on brokers that are well, none shows ----

brokers='built-in loopback mosquitto'
command -v mosquitto >/dev/null || { echo 'skip mosquitto: not installed'; brokers='built-in loopback'; }
for broker in $brokers; do
	for name in takeover wild watched other bystander poison lost unsent twice removed served taken endures; do
		case $broker in
		built-in) [ $name = poison ] && continue; replay $findings/$name.scn ;;
		loopback) replay $findings/$name.scn --exec "'$MQASSAY' broker --listen tcp://127.0.0.1:{port}" ;;
		*)        replay $findings/$name.scn --exec 'mosquitto -p {port}' ;;
		esac
		is "$broker, $name: exit 0" 0 $code
		says "$broker, $name: does not show" '^  does not show$'
	done
done
replay $findings/nobody.scn
is 'long waits: exit 0' 0 $code
is 'long waits: in both versions' 2 "$(grep -c '^  does not show$' "$tmp/out")"
replay $findings/idle.scn --exec "'$MQASSAY' broker --listen tcp://127.0.0.1:{port}"
is 'no client at all: exit 0' 0 $code
replay $findings/wild.scn
says 'passed over: never connected' '^    note +z has no connection: its steps from line 7 on are passed over$'
says 'passed over: no CONNECT yet' '^    note +a has no connection: its steps from line 10 on are passed over$'
says 'passed over: a second CONNECT opens nothing' '^    note +the connection of b is gone \(closed by the broker .*\): its steps from line 42 on are passed over$'
says 'passed over: closed by us' '^    note +the connection of e is gone \(closed by us \(FIN\)\): its steps from line 53 on are passed over$'
is 'passed over: each connection once' 5 "$(grep -c '^    note ' "$tmp/out")"
replay $findings/wild.scn -v
says 'answers: PUBREC, as QoS 2 asks' 'b +-> PUBREC packet_id=1$'
says 'answers: PUBCOMP' 'b +-> PUBCOMP packet_id=1$'
is 'answers: nothing where nothing is left' 1 "$(grep -c 'b *-> PUBCOMP' "$tmp/out")"
says 'no defaults' 'e -> CONNECT clean_start keep_alive=60 client_id="fz-e"'
says 'no defaults of sends' 'b -> CONNECT clean_start keep_alive=0 client_id="fz-b"'
lacks 'passed over: nothing is sent' 'z +->'

# ---- a broken rule ----

replay $findings/watched.scn --break 3.1.1:MQTT-2.3.1-6 --repeat 10
is 'a rule: exit 1' 1 $code
says 'a rule: by its clause' '^  SHOWS rule: PUBACK 10, .*\[3\.1\.1:MQTT-2\.3\.1-6\]$'
says 'a rule: every time' '^  shows 10 of 10$'
is 'a rule: told once' 1 "$(grep -c SHOWS "$tmp/out")"
replay $findings/watched.scn --repeat 10
is 'a rule that holds: exit 0' 0 $code
says 'a rule that holds: never' '^  shows 0 of 10$'
replay $findings/watched.scn --break 3.1.1:MQTT-2.2.2-1/PINGRESP
is 'another rule: exit 0' 0 $code
replay $findings/takeover.scn --break 5:MQTT-3.2.2-2
is 'a rule that is not watched: exit 0' 0 $code
sed 's/MQTT-2.3.1-6/MQTT-3.8.4-1/' $findings/watched.scn >"$tmp/unwatched.scn"
replay "$tmp/unwatched.scn" --break 3.1.1:MQTT-2.3.1-6
is 'a rule that is not watched: does not show' 0 $code
says 'a rule that is not watched: a note' '^    note +a also broke MQTT-2.3.1-6: PUBACK 10'
replay $findings/other.scn --break 5:MQTT-3.8.4-2 --repeat 10
is 'a rule of another version: exit 1' 1 $code
says 'a rule of another version: by its clause' '\[5:MQTT-3\.8\.4-2\]$'
says 'a rule of another version: every time' '^  shows 10 of 10$'
for format in json junit tap; do
	replay $findings/watched.scn --break 3.1.1:MQTT-2.3.1-6 --format $format
	is "as $format: exit 1" 1 $code
	says "as $format" 'rule: PUBACK 10'
done

# ---- what subscribers are owed ----

breaks() {	# NAME FAULT RULE
	replay $findings/$1.scn --break "$2" --repeat 10
	is "$1: exit 1" 1 $code
	says "$1: by its clause" "^  SHOWS rule: .*\\[$3\\]\$"
	says "$1: every time" '^  shows 10 of 10$'
}
breaks lost 5:MQTT-4.5.0-1/offline 5:MQTT-4.5.0-1
breaks unsent 3.1.1:MQTT-4.4.0-1 3.1.1:MQTT-4.4.0-1
breaks twice 3.1.1:MQTT-4.3.3-2 3.1.1:MQTT-4.3.3-2
breaks removed 5:MQTT-3.3.1-6 5:MQTT-3.3.1-6

# ---- what must not be served ----

breaks served 3.1.1:MQTT-3.8.1-1 3.1.1:MQTT-3.8.1-1
breaks taken 5:topic-alias-unknown 5:topic-alias-unknown
breaks endures 5:packet-type-forbidden 5:packet-type-forbidden

# ---- what its steps judge ----

replay $findings/bystander.scn --break 5:MQTT-4.5.0-1
is 'a bystander: exit 1' 1 $code
says 'a bystander: what it did not get' '^  SHOWS expectation: no PUBLISH came in time$'
says 'a bystander: where' "^    at +$findings/bystander.scn:[0-9]+:1$"

# ---- a target that is not well ----

poison() {	# MODE PATTERN OPTIONS...
	mode=$1
	pattern=$2
	shift 2
	replay $findings/poison.scn --exec "$bad {port} $mode poison" --timeout 500ms "$@"
	is "$mode: exit 1" 1 $code
	says "$mode: by its oracle" "^  SHOWS $pattern"
}
poison dies-on 'death: the target died of signal 11 .*\[5:survives\]$' --repeat 5
says 'dies-on: every time' '^  shows 5 of 5$'
poison exits-on 'death: the target exited with 7; it last said: .*assertion failed: \\x1b\[31mpoison'
poison dies-late 'death: the target exited with 7'
poison hangs 'liveness: a fresh CONNECT was not answered in time$' --repeat 2
says 'hangs: every time' '^  shows 2 of 2$'
poison grows 'memory: it grew by [0-9]{8} bytes$'
poison burns 'cpu: in a second in which nothing was sent it wanted [0-9.]+ m?s of CPU time$'
poison reports 'sanitizer: SUMMARY: AddressSanitizer: heap-use-after-free toy\.c:7:3 in take \[5:survives\]$'
replay $findings/poison.scn --exec "$bad {port} ok poison" --timeout 500ms
is 'ok: exit 0' 0 $code
replay $findings/poison.scn --exec "$bad {port} kills-itself poison" --timeout 500ms
is 'killed from outside: exit 3' 3 $code
says 'killed from outside: says so' '^  inconclusive: was killed from outside by SIGKILL'
grep -v 'target lives' $findings/poison.scn >"$tmp/unjudged.scn"
sed -i 's/^mqtt .*/&\nwatches 5 MQTT-3.8.4-2/' "$tmp/unjudged.scn"
replay "$tmp/unjudged.scn" --exec "$bad {port} dies-on poison" --timeout 500ms
is 'a death that is not judged: exit 3' 3 $code
says 'a death that is not judged' '^  inconclusive: the target died of signal 11 .*, which this finding does not judge; `target lives` does$'

# ---- one that runs already ----

target() {	# MODE: sets target_pid, port
	mkfifo "$tmp/port"
	$bad 0 "$1" poison >"$tmp/port" 2>"$tmp/target.err" &
	target_pid=$!
	read -r port <"$tmp/port"
	rm "$tmp/port"
}
end_target() {
	kill -KILL $target_pid
	wait $target_pid 2>/dev/null
	target_pid=
}
target grows
replay $findings/poison.scn "localhost:$port" --timeout 500ms
is 'a process that is not known: exit 3' 3 $code
says 'a process that is not known: the remedy' '^  inconclusive: the process is not known: --exec or --pid$'
replay $findings/poison.scn "localhost:$port" --pid $target_pid --timeout 500ms
is '--pid: exit 1' 1 $code
says '--pid: it grew' '^  SHOWS memory: it grew by'
end_target
replay $findings/poison.scn "localhost:$port"
one_line 'nobody there' 3 'localhost:'
target dies-on
replay $findings/poison.scn "localhost:$port" --pid $target_pid --timeout 500ms --repeat 3
is 'it dies, and nobody starts it again: exit 1' 1 $code
says 'it dies, and nobody starts it again: shows' '^  SHOWS death: the target ended'
says 'it dies, and nobody starts it again: the others were not played' '^  2 of 3 times it was not played$'
wait $target_pid 2>/dev/null
target_pid=
target hangs
replay $findings/poison.scn "localhost:$port" --timeout 500ms
is 'it hangs: exit 1' 1 $code
says 'it hangs' '^  SHOWS liveness: '
replay $findings/poison.scn "localhost:$port" --timeout 500ms
is 'it hung before: exit 3' 3 $code
end_target

# ---- set-up ----

printf 'finding "f"\nmqtt 5\nby connects\nby subscribes ("x" qos=2)\na -> CONNECT client_id="f"\nby publishes topic="x" payload="1"\nby receives payload="1" within 1s\n' >"$tmp/setup.scn"
replay "$tmp/setup.scn" --broker qos-0
is 'who never got what it needs judges nothing: exit 3' 3 $code
says 'who never got what it needs: says so' 'note +line 4: `by subscribes .*` is passed over: .*not granted as asked'
printf 'x\n' >"$tmp/password"
printf 'finding "f"\nmqtt 5\nwatches 5 MQTT-3.8.4-2\na -> CONNECT client_id="f"\na <- CONNACK user_name as $u\n' >"$tmp/bad.scn"
replay "$tmp/bad.scn"
is 'a mistake in the file: exit 2' 2 $code

# ---- what is kept, and other commands ----

replay $findings/takeover.scn --pcap "$tmp/t.pcapng"
"$MQASSAY" decode "$tmp/t.pcapng" >"$tmp/out" 2>"$tmp/err"
is '--pcap: can be decoded' 0 $?
says '--pcap: the stimulus' 'PUBREL.*packet_id=1'
"$MQASSAY" conform --scenarios $findings/takeover.scn >"$tmp/out" 2>"$tmp/err"
code=$?
one_line 'conform' 2 'takeover\.scn is a finding: `mqassay replay FILE` plays it$'
"$MQASSAY" load $findings/takeover.scn localhost >"$tmp/out" 2>"$tmp/err"
code=$?
one_line 'load' 2 'is no workload but a finding: `mqassay replay FILE` plays it$'
mkdir "$tmp/all"
cp $findings/*.scn "$tmp/all"
printf 'scenario "s"\nmqtt 5\ncites 5 MQTT-3.12.4-1\na connects\na -> PINGREQ\na <- PINGRESP\n' >"$tmp/all/s.scn"
"$MQASSAY" conform --scenarios "$tmp/all" >"$tmp/out" 2>"$tmp/err"
is 'conform, a folder: exit 0' 0 $?
says 'conform, a folder: findings are passed over' ' 1 tests on '
replay $findings/takeover.scn --artifacts "$tmp/x"
one_line '--artifacts' 2 'pcap FILE keeps all'
replay $findings/takeover.scn --pid 1
one_line '--pid without a target' 2 '--pid is about one target that runs already; name it'
exit $failed

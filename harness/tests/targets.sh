#!/bin/sh
# `mqassay conform` against targets that die, hang, lie and flood (bad_broker.py), and its exit codes one by one.
# Every run has a deadline and 1 GB of address space; afterwards nothing of it may be left running.

cd "$(dirname "$0")/../.." || exit 3
LC_ALL=C
export LC_ALL
tmp=$(mktemp -d) || exit 3
target_pid= run_pid=
trap 'kill -KILL $target_pid $run_pid 2>/dev/null; rm -rf "$tmp"' EXIT
trap 'exit 3' HUP INT TERM
ulimit -c 0			# what dies here dies on purpose
MQASSAY=${MQASSAY:-$PWD/build/mqassay}
failed=0

ok() { printf 'ok %s\n' "$1"; }
not_ok() { printf 'not ok %s: %s\n' "$1" "$2"; failed=1; }
is() {
	if [ "$2" = "$3" ]; then ok "$1"; else not_ok "$1" "expected '$2', received '$3': $(tail -n 4 "$tmp/out" "$tmp/err" | cut -c 1-300 | tr '\n' '|')"; fi
}
shows() {	# NAME PATTERN FILE
	if grep -a -q -E -e "$2" "$3"; then ok "$1"; else not_ok "$1" "no '$2' in: $(head -c 600 "$3" | tr '\n' '|')"; fi
}
lacks() {
	if grep -a -q -E -e "$2" "$3"; then not_ok "$1" "$(grep -a -E -m 1 -e "$2" "$3" | head -c 300 | cat -v)"; else ok "$1"; fi
}

python=/usr/bin/python3
$python -c '' || { not_ok python3 'not found; make deps installs it with python3-paho-mqtt'; exit 1; }
bad="$python $PWD/harness/tests/bad_broker.py"

# ---- a small suite ----

mkdir "$tmp/s" "$tmp/home"
for n in 1 2 3; do
	cat >"$tmp/s/plain$n.scn" <<-SCN
		scenario "Message number $n arrives"
		mqtt     3.1.1 5
		cites    3.1.1 MQTT-4.3.2-1
		cites    5     MQTT-4.3.2-1
		tags     plain

		sub connects
		sub subscribes (\$topic qos=1)
		pub connects
		pub publishes topic=\$topic qos=1 payload="m$n"
		sub receives payload="m$n"
	SCN
done
cat >"$tmp/s/killer.scn" <<'SCN'
scenario "A packet that kills"
mqtt     5
cites    5 MQTT-3.12.4-1

a connects
a -> PUBLISH topic=$topic payload="poison"
a -> PINGREQ
a <- PINGRESP
SCN
echo 'scenario "t' >"$tmp/mistake.scn"

# conform ARGUMENTS...: sets code
conform() {
	( ulimit -v 1000000; exec timeout 30 "$MQASSAY" conform "$@" ) >"$tmp/out" 2>"$tmp/err" </dev/null
	code=$?
}
suite() { conform --scenarios "$tmp/s" "$@"; }
exec_suite() {	# MODE ARGUMENTS...
	mode=$1
	shift
	suite --exec "$bad {port} $mode $tmp" "$@"		# $tmp tells our processes from others'
}
nothing_left() {
	is "$1: nothing is left running" '' "$(printf '%s\n' "$tmp" | grep -l -a -F -f - /proc/[0-9]*/cmdline 2>/dev/null)"
}

# ---- a target that dies ----

for how in 'dies-on SIGSEGV|signal.11' 'exits-on exited.with.7'; do
	mode=${how%% *}
	exec_suite "$mode poison"
	is "$mode: exit 1" 1 $code
	shows "$mode: its test fails, by survives" 'killer\.scn.*FAIL \[5:survives\]' "$tmp/out"
	shows "$mode: says how" "received +the target.*(${how#* })" "$tmp/out"
	shows "$mode: the others have their own verdicts" '7 tests .* 6 pass, 1 fail$' "$tmp/out"
	nothing_left "$mode"
done
lacks 'last words: nothing raw reaches the terminal' "$(printf '\033')" "$tmp/out"
shows 'last words: escaped' 'x1b\[31mpoison' "$tmp/out"

exec_suite 'kills-itself poison' --jobs 1
is 'killed from outside: exit 3' 3 $code
shows 'killed from outside: the test in flight is inconclusive' 'killer\.scn.*INCONCLUSIVE' "$tmp/out"
shows 'killed from outside: says so' 'killed from outside by SIGKILL' "$tmp/out"
shows 'killed from outside: the run goes on' ' [56] pass, 0 fail, [12] inconclusive' "$tmp/out"
nothing_left 'killed from outside'

# The probe that asks whether anybody is there is under way when the process dies.
exec_suite 'stalls poison' --timeout 500ms
is 'stalls, then dies: exit 1' 1 $code
shows 'stalls, then dies: the test fails, by survives' 'killer\.scn.*FAIL \[5:survives\]' "$tmp/out"
shows 'stalls, then dies: the others have their own verdicts' '7 tests .* 6 pass, 1 fail$' "$tmp/out"
nothing_left 'stalls, then dies'

# Its death is told after its test has ended.
exec_suite 'dies-late poison'
is 'dies late: exit 1' 1 $code
shows 'dies late: its test fails, by survives' 'killer\.scn.*FAIL \[5:survives\]' "$tmp/out"
shows 'dies late: the others have their own verdicts' '7 tests .* 6 pass, 1 fail$' "$tmp/out"
nothing_left 'dies late'

# Nobody kills it: whoever is played at that moment, also by itself, is not to blame.
for jobs in 64 1; do
	echo 2 >"$tmp/deaths"
	exec_suite "expires $tmp/deaths" --jobs $jobs
	is "expires, --jobs $jobs: exit 3" 3 $code
	shows "expires, --jobs $jobs: all have their own verdicts" '7 tests .* 7 pass' "$tmp/out"
	shows "expires, --jobs $jobs: survives is unstable" '\[survives\] the target died \(exited with 7' "$tmp/out"
	is "expires, --jobs $jobs: it did, twice" 0 "$(cat "$tmp/deaths")"
	nothing_left "expires, --jobs $jobs"
done

# It lives and takes connections, but that is all.
exec_suite 'hangs poison' --timeout 200ms
is 'hangs: exit 1' 1 $code
shows 'hangs: its test fails, by survives' 'killer\.scn.*FAIL \[5:survives\]' "$tmp/out"
shows 'hangs: says so' 'received +the target hung and was killed' "$tmp/out"
shows 'hangs: the others have their own verdicts' '7 tests .* 6 pass, 1 fail$' "$tmp/out"
nothing_left 'hangs'

# ---- a target that grows ----

mkdir "$tmp/grows"
cat >"$tmp/grows/any.scn" <<'SCN'
scenario "What is published is not kept for ever"
mqtt     5
cites    5 MQTT-3.3.2-1

a connects
a publishes topic=$topic qos=1 payload="poison"
target lives grows<16M
SCN
for mode in grows ok; do
	conform --scenarios "$tmp/grows" --exec "true; $bad {port} $mode poison $tmp"	# behind a shell
	case $mode in
	grows) is 'grows: exit 1' 1 $code; shows 'grows: says so' 'it grew by [0-9]{8} bytes' "$tmp/out" ;;
	ok) is 'grows not: exit 0' 0 $code ;;
	esac
done
nothing_left 'grows'

# ---- a target that never serves ----

one_line() { is "$1: exit 3" 3 $code; is "$1: one line" 1 "$(wc -l <"$tmp/err")"; is "$1: no report" 0 "$(wc -l <"$tmp/out")"; nothing_left "$1"; }
exec_suite ends
one_line 'ends at once'
shows 'ends at once: its last words' 'exited with 1 before.*no such file: /etc/toy.conf' "$tmp/err"
suite --exec '/nonexistent/broker {port}'
one_line 'no such command'
shows 'no such command: says so' 'exited with 127 \(no such command\?\)' "$tmp/err"
exec_suite never-serves --start-timeout 300ms
one_line 'never serves'
shows 'never serves: the remedy' 'no CONNECT on tcp://127.0.0.1:[0-9]+ within 0.3 s.*--start-timeout' "$tmp/err"
for mode in slow-start opens-late; do
	exec_suite $mode
	is "$mode: exit 0" 0 $code
done
suite --exec 'exit 0'
one_line 'a daemon'
shows 'a daemon: the remedy' 'exited with 0 .*must stay in the foreground' "$tmp/err"
exec_suite dies@SUBSCRIBE		# the probe's
one_line 'dies of the probe'
shows 'dies of the probe: says so' 'ended 11 times and is not started again.* died of signal 11' "$tmp/err"

for mode in silent garbage closes floods drips huge; do
	start=$(date +%s%N)
	exec_suite $mode --timeout 300ms --start-timeout 300ms
	took_ms=$((($(date +%s%N) - start) / 1000000))
	one_line "--exec $mode"
	if [ $took_ms -lt 1700 ]; then ok "--exec $mode: in time"; else not_ok "--exec $mode: in time" "took $took_ms ms"; fi
done
shows '--exec huge: what it did' 'larger than' "$tmp/err"

# ---- a target that runs already ----

# target MODE: sets target_pid, port
target() {
	mkfifo "$tmp/port"
	$bad 0 "$1" "$tmp" >"$tmp/port" 2>"$tmp/target.err" &
	target_pid=$!
	read -r port <"$tmp/port"
	rm "$tmp/port"
}
end_target() {
	kill -KILL $target_pid
	wait $target_pid 2>/dev/null
	target_pid=
}
for mode in silent garbage closes floods drips huge; do
	target $mode
	suite "127.0.0.1:$port" --timeout 300ms
	end_target
	one_line "$mode"
	shows "$mode: names the target" "127.0.0.1:$port" "$tmp/err"
done
suite "127.0.0.1:$port" --timeout 300ms
one_line 'nobody listens'
shows 'nobody listens: says so' 'refused' "$tmp/err"
for mode in silent closes floods drips huge garbage; do		# well until a client subscribes
	target $mode@SUBSCRIBE
	suite "127.0.0.1:$port" --timeout 100ms
	end_target
	if [ $code = 1 ] || [ $code = 3 ]; then ok "$mode from SUBSCRIBE on: exit $code, in time"; else not_ok "$mode from SUBSCRIBE on" "exit $code"; fi
done

# Text of a hostile broker: in reasons, topics, payloads, properties.
target escapes
suite "127.0.0.1:$port" -v
end_target
foreign=$(printf '[\001-\010\013-\037\177]|\342\200[\213-\217\252-\256]|\342\201[\246-\251]|\302[\200-\237]')
lacks 'hostile text: nothing raw in the report' "$foreign" "$tmp/out"
lacks 'hostile text: nothing raw on stderr' "$foreign" "$tmp/err"
shows 'hostile text: shown escaped' 'x1b\[31mred|u001b\[31mred' "$tmp/out"

# ---- what tests store is removed ----

mkdir "$tmp/stores" "$tmp/looks"
for n in 1 2 3 4 5 6 7 8; do
	cat >"$tmp/stores/$n.scn" <<-SCN
		scenario "Number $n leaves a retained message and a session"
		mqtt     3.1.1 5
		cites    3.1.1 MQTT-3.3.1-5
		cites    5     MQTT-3.3.1-5

		a connects clean_start=0 session_expiry_interval=1000
		a publishes topic=\$topic retain payload="kept"
		b connects
		b -> SUBSCRIBE (\$topic)
		b receives retain=1
	SCN
done
cat >"$tmp/stores/names.scn" <<'SCN'
scenario "One actor leaves two sessions"
mqtt     3.1.1
cites    3.1.1 MQTT-3.12.4-1

a connects client_id="mqassayFirst" clean_start=0
a drops
a connects client_id="mqassaySecond" clean_start=0
a drops
a connects
a -> PINGREQ
a <- PINGRESP
SCN
cat >"$tmp/looks/names.scn" <<'SCN'
scenario "No session is left"
mqtt     3.1.1
cites    3.1.1 MQTT-3.2.2-3
alone
case "first"  id="mqassayFirst"
case "second" id="mqassaySecond"

a connects client_id=$id clean_start=0 gets session_present=0
SCN
cat >"$tmp/looks/any.scn" <<'SCN'
scenario "Nothing is retained"
mqtt     5
cites    5 MQTT-3.3.1-5
alone

a connects
a subscribes ("#")
a <- nothing for 100ms
SCN
: >"$tmp/broker.out"
"$MQASSAY" broker --listen tcp://127.0.0.1:0 >"$tmp/broker.out" 2>&1 &
target_pid=$!
tries=0
until port=$(sed -n 's/.*tcp:\/\/127.0.0.1:\([0-9]*\).*/\1/p' "$tmp/broker.out" | head -n 1); [ -n "$port" ] || [ $tries -gt 500 ]; do
	tries=$((tries + 1))
	sleep 0.01
done
conform --scenarios "$tmp/stores" "127.0.0.1:$port"
is 'stored by tests side by side: exit 0' 0 $code
conform --scenarios "$tmp/looks" "127.0.0.1:$port"
end_target
is 'all of it is removed' 0 $code

# ---- exit codes and options, on a good target ----

target ok
suite "127.0.0.1:$port"
is 'conformant: exit 0' 0 $code
suite "there=127.0.0.1:$port"
shows 'a label names the target' '7 tests on there: 7 pass' "$tmp/out"
end_target
( timeout 30 "$MQASSAY" conform --scenarios "$tmp/s" --exec "$bad {port} ok $tmp" <&- >&- 2>&- )
is 'without standard streams: exit 0' 0 $?
for split in 1 7 random; do
	conform --scenarios "$tmp/s" --split $split
	is "--split $split: exit 0" 0 $code
done
suite --repeat 3
shows '--repeat 3: each three times' '21 tests .* 21 pass' "$tmp/out"
shows '--repeat 3: how many change' 'no test changed its verdict' "$tmp/out"
suite --seed 5
is '--seed: exit 0' 0 $code
conform --broker qos-0 --broker qos-0 --select 5:MQTT-3.12.4-1
shows '--broker, twice the same: played once' '^ *[0-9]+ tests on the built-in broker, qos-0' "$tmp/out"
is '--broker, twice the same: one report' 1 "$(grep -c ' tests on ' "$tmp/out")"
conform --break 5:MQTT-3.1.2-8
is '--break: exit 1' 1 $code
shows '--break: the rule is named' 'FAIL \[5:MQTT-3.1.2-8\]' "$tmp/out"

suite --list
is '--list: exit 0' 0 $code
is '--list: each test' 7 "$(wc -l <"$tmp/out")"
for form in "*plain1.scn 2" "number\ 2 2" "plain 6" "5:MQTT-3.12.4-1 1" "MQTT-4.3.2-1 6" "$tmp/s/killer.scn 1"; do
	pattern=$(printf %s "${form% *}" | tr -d '\\')
	suite --list --select "$pattern"
	is "--select $(printf %s "$pattern" | sed "s|$tmp|TMP|")" "${form##* }" "$(wc -l <"$tmp/out")"
done
suite --mqtt 5 --list
is '--mqtt 5: only those' 4 "$(wc -l <"$tmp/out")"

suite --select nothing-like-this
is 'nothing selected: exit 3' 3 $code
suite --no-such-option
is 'an unknown option: exit 2' 2 $code
is 'an unknown option: one line' 1 "$(wc -l <"$tmp/err")"
for wrong in '--timeout 5x' '--jobs 0' '--repeat -1' '--split 0' '--mqtt 4' '--slack 0.5' '--break 5:MQTT-9.9.9-9' '--define x' 'tcp://' '127.0.0.1:99999' 'http://localhost'; do
	suite $wrong
	is "$wrong: exit 2" 2 $code
	is "$wrong: one line" 1 "$(wc -l <"$tmp/err")"
done
conform --scenarios "$tmp/mistake.scn"
is 'a mistake in a scenario: exit 2' 2 $code
shows 'a mistake in a scenario: file:line:column' 'mistake.scn:1:[0-9]+: ' "$tmp/err"
conform --scenarios "$tmp/none.scn"
is 'a missing scenario: exit 3' 3 $code
is 'a missing scenario: one line' 1 "$(wc -l <"$tmp/err")"
conform --password-file "$tmp/none" 127.0.0.1:1
is 'a missing password file: exit 3' 3 $code

# ---- from anywhere ----

chmod 555 "$tmp/home"
( cd / && HOME=$tmp/home timeout 30 "$MQASSAY" conform -q ) >"$tmp/out" 2>"$tmp/err"
is 'from another folder, with a HOME that cannot be written: exit 0' 0 $?
chmod 755 "$tmp/home"
is 'and says nothing else' '' "$(cat "$tmp/err")"
exit $failed

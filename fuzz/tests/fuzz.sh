#!/bin/sh
# `mqassay fuzz` and `fuzz score` as commands: their mistakes, targets that cannot be reached or break the rules, what they say, what they leave behind, signals; and that
# `replay` shows what was found. Brokers that are broken in deeper ways are those of planted.sh. Campaigns of a few hundred cases run beside each other: a baseline is mostly waiting.

cd "$(dirname "$0")/../.." || exit 3
LC_ALL=C
export LC_ALL
tmp=$(mktemp -d) || exit 3
broker_pid= other_pid= fuzz_pid=
clean() {
	kill -KILL $broker_pid $other_pid $fuzz_pid 2>/dev/null
	rm -rf "$tmp"
}
trap clean EXIT
trap 'exit 3' HUP INT TERM
ulimit -c 0
MQASSAY=${MQASSAY:-$PWD/build/mqassay}
python=/usr/bin/python3
broker="'$MQASSAY' broker --listen tcp://127.0.0.1:{port}"
failed=0

ok() { printf 'ok %s\n' "$1"; }
not_ok() { printf 'not ok %s: %s\n' "$1" "$2"; failed=1; }
is() {
	if [ "$2" = "$3" ]; then ok "$1"; else not_ok "$1" "expected '$2', received '$3': $(tail -n 4 "$tmp/$at.out" "$tmp/$at.err" | cut -c 1-300 | tr '\n' '|')"; fi
}
says() {	# NAME PATTERN [FILE]
	if grep -a -q -E -e "$2" "${3-$tmp/$at.out}"; then ok "$1"; else not_ok "$1" "no '$2' in: $(head -c 900 "${3-$tmp/$at.out}" | tr '\n' '|')"; fi
}
lacks() {
	if grep -a -q -E -e "$2" "${3-$tmp/$at.out}"; then not_ok "$1" "$(grep -a -E -m 1 -e "$2" "${3-$tmp/$at.out}" | cut -c 1-300)"; else ok "$1"; fi
}
# play AT ARGUMENTS...: what it says is in AT.out and AT.err, its exit code in AT.code
play() {
	at=$1
	shift
	timeout -s KILL 60 "$MQASSAY" "$@" >"$tmp/$at.out" 2>"$tmp/$at.err" </dev/null
	code=$?
	echo $code >"$tmp/$at.code"
}
fuzz() { at=$1; shift; play "$at" fuzz --findings "$tmp/$at" "$@"; }
# taken AT: of those that were played beside each other
taken() { at=$1 code=$(cat "$tmp/$1.code"); }
one_line() {	# NAME CODE PATTERN
	is "$1: exit $2" "$2" "$code"
	is "$1: one line" 1 "$(wc -l <"$tmp/$at.err")"
	says "$1: says so" "$3" "$tmp/$at.err"
	is "$1: nothing else" 0 "$(wc -c <"$tmp/$at.out")"
}
finding() { ls -d "$tmp/$1"/$2*/finding.scn 2>/dev/null | head -n 1; }
until_so() {	# COMMAND...: waits for it to succeed, for 10 s at most
	tries=0
	until "$@" || [ $tries -gt 500 ]; do tries=$((tries + 1)); sleep 0.02; done
}
port_of() {	# FILE: of a broker that writes there
	until_so grep -s -q 'listening on .*:[0-9]' "$1"
	sed -n 's/^listening on .*:\([0-9]*\)$/\1/p' "$1" | head -n 1
}

# ---- mistakes: before anything is started ----

while IFS='|' read -r name args pattern; do
	[ -n "$name" ] || continue
	play mistake fuzz --findings "$tmp/none" $args
	one_line "$name" 2 "$pattern"
done <<'ROWS'
no target||name a TARGET, or say with --exec
two targets|localhost:1 localhost:2|expected one TARGET
a target and a command|localhost:1 --exec true|--exec starts the target; name no other
two commands|--exec true --exec true|several targets are for
an empty command|--exec=|expected a command
a wrong URL|http://localhost|expected tcp://
somebody else's host|example.com|say --allow-host example.com
a host mistyped|example.com --allow-host example.org|the target's host is example.com
this host allowed|localhost:1 --allow-host localhost|on this machine; leave it out
a process elsewhere|example.com --allow-host example.com --pid 1|on another machine
no such process|localhost:1 --pid 4194304|there is no such process
a process of a command|--exec true --pid 1|knows its process
no time|localhost:1 --for 0|--for: expected more than 0
no patience|localhost:1 --timeout 0s|--timeout: expected more than 0
no cases|localhost:1 --cases 0|--cases: expected at least 1
no jobs|localhost:1 --jobs 0|--jobs: expected 1 to 256
no case|localhost:1 --case nonsense|expected a number of a case
a case of nothing|localhost:1 --case 7/|expected a number of a case
a case of a later one|localhost:1 --case 5/7|cannot come from 7
a case and a time|localhost:1 --case 5 --for 1m|goes with neither
a transport twice|localhost:1 --transport ws|says it in its URL
an option of score|localhost:1 --seeds 3|is about .fuzz score
a report|localhost:1 --report x|is about .fuzz score
score of nothing|score|at least one target
score without a label|score --exec true|1 --exec and 0 --label
score with a label twice|score --exec true --exec true --label a --label a|two targets are labelled a
score of a target|score localhost:1|takes its targets as
ROWS

# ---- what cannot be played ----

"$MQASSAY" broker --listen tcp://127.0.0.1:0 >"$tmp/plain.broker" 2>&1 &
broker_pid=$!
port=$(port_of "$tmp/plain.broker")
: >"$tmp/file"
mkdir "$tmp/away"
touch "$tmp/acl"
echo 'deny both #' >"$tmp/acl"
fuzz refused 127.0.0.1:1 --cases 5 & fuzz exits --exec false --cases 5 & fuzz never --exec 'sleep 20' --start-timeout 200ms --cases 5 &
fuzz tls "tls://127.0.0.1:$port" --cases 5 & fuzz version --exec "$broker --mqtt 5" --mqtt 3.1.1 --cases 5 &
play file fuzz --exec "$broker" --findings "$tmp/file" & play deep fuzz --exec "$broker" --findings "$tmp/no/such" &
fuzz known "127.0.0.1:$port" --known "$tmp/no-such" --cases 5 &
while [ "$(ls "$tmp"/refused.code "$tmp"/exits.code "$tmp"/never.code "$tmp"/tls.code "$tmp"/version.code "$tmp"/file.code "$tmp"/deep.code "$tmp"/known.code 2>/dev/null | wc -l)" -lt 8 ]; do sleep 0.05; done
for row in 'refused:Connection refused' 'exits:exited with 1 before it answered' 'never:answered no CONNECT .* does CMD use .port' 'tls:not well before a single case|TLS' \
	'version:does not serve the version that --mqtt names' 'file:there is a file of that name' 'deep:No such file' 'known:no-such: No such file'; do
	taken "${row%%:*}"
	one_line "$at" 3 "${row#*:}"
done

# ---- campaigns, beside each other ----

r1='5:MQTT-3.8.4-6' r2='5:MQTT-2.1.3-1/PINGRESP' r3='3.1.1:MQTT-3.8.4-5'
printf 'rule\tversion\ttest\ttarget\treason\n5:MQTT-3.8.4-6\t5\t*\t*\tas of old\n' >"$tmp/known.tsv"
echo secret >"$tmp/password"
"$MQASSAY" broker --make-verifier joe <"$tmp/password" >"$tmp/users" 2>"$tmp/users.err"
campaigns='right valid two silenced first older slow ws login same again odd score unwritable'
score() { at=$1; shift; play "$at" fuzz score --findings "$tmp/of-$at" --report "$tmp/$at.json" -q "$@"; }
{ fuzz right --exec "$broker" --cases 3000; fuzz first --exec "$broker --break $r1 --break $r3" --cases 2500 --first; fuzz ws --exec "'$MQASSAY' broker --listen ws://127.0.0.1:{ws_port} --break $r2" --transport ws --cases 400 --first; fuzz same --exec "$broker" --seed 7 --cases 60 --jobs 1 -q; } &
{ fuzz two --exec "$broker --break $r1 --break $r2" --cases 1500; fuzz older --exec "$broker --break $r1 --break $r3" --cases 400 --mqtt 3.1.1; fuzz again --exec "$broker" --seed 7 --cases 60 --jobs 1 -q; } &
{ fuzz silenced --exec "$broker --break $r1" --cases 1500 --known "$tmp/known.tsv"; fuzz slow --exec "$broker" --for 1s --rate 40 -q; } &
{ fuzz login --exec "$broker --break $r2 --users '$tmp/users'" --user joe --password-file "$tmp/password" --cases 1500 --first; fuzz valid --exec "$broker --break 5:MQTT-2.2.1-3" --cases 1000 --valid; } &
{ score odd --exec "$broker" --label right-1 --exec "$broker --no-such-option" --label odd --for 300ms --seeds 1; play unwritable fuzz score --exec "$broker" --label a --for 200ms --seeds 1 --report "$tmp/no/such.json" --findings "$tmp/scores" -q; } &
score score --exec "$broker" --label right-1 --exec "$broker --break $r2" --label 'broken/2 x' --for 700ms --seeds 3 &
all_there() { for name in $campaigns; do [ -s "$tmp/$name.code" ] || return 1; done; }
tries=0
until all_there || [ $tries -gt 1200 ]; do tries=$((tries + 1)); sleep 0.05; done

taken right
is 'a right broker: exit 0' 0 "$code"
says 'a right broker: cases are exact' '^3000 cases, '
says 'a right broker: nothing found' '^0 findings, 0 hits$'
is 'a right broker: no folders left' 0 "$(ls -A "$tmp/right" | wc -l)"
says 'the head' 'serves 3.1 3.1.1 5; a whole exchange takes .* resident' "$tmp/right.err"
lacks 'no progress in a pipe' "$(printf '\033|\r')" "$tmp/right.err"

taken two
is 'two bugs: exit 1' 1 "$code"
is 'two bugs: two findings' 2 "$(ls "$tmp/two" | wc -l)"
says 'two bugs: hits are counted' '^ +[0-9][0-9]+ hits  rule 5:MQTT-2.1.3-1 PINGRESP$'
says 'two bugs: where they lie' "^2 findings, [0-9]+ hits; see .*/two$"
says 'two bugs: shows each time' 'shows 10 of 10$'
is 'two bugs: lines can be read' 0 "$(cut -c 320- "$tmp/two.out" | grep -c .)"
for name in finding.scn report.txt wire.hex wire.pcapng; do
	is "files: $name" 2 "$(ls "$tmp"/two/*/$name | wc -l)"
done
f1=$(finding two rule-5_MQTT-3.8.4-6) f2=$(finding two rule-5_MQTT-2.1.3-1)
is 'the least: CONNECT and SUBSCRIBE' 'least     2 packets of 1 client' "$(sed -n 's/^\(least.*client\),.*/\1/p' "${f1%/*}/report.txt")"
# The ping that ends each case shows it; one before that may stay.
is 'the least: CONNECT, perhaps PINGREQ' 'of 1 client' "$(sed -n 's/^least  *[12] packets* \(of 1 client\),.*/\1/p' "${f2%/*}/report.txt")"
play lint lint "$f1" "$f2"
says 'lint: nothing to say' ' 0 errors, 0 warnings$'
play shows replay "$f1" --exec "$broker --break $r1" --repeat 10
is 'replay: exit 1' 1 "$code"
says 'replay: each time' '^  shows 10 of 10$'
play well replay "$f1" --exec "$broker" --repeat 3
is 'replay, a right broker: exit 0' 0 "$code"
says 'replay, a right broker: never' '^  shows 0 of 3$'
play other replay "$f1" --exec "$broker --break $r2"
is 'replay, another bug: exit 0' 0 "$code"
play decoded decode "${f1%/*}/wire.pcapng"
is 'the capture: decoded' 0 "$code"
says 'the capture: has it' '<- SUBACK '
if command -v xxd >/dev/null; then
	sed -n '/^# c0$/,/^# c/{/^#/!p}' "${f2%/*}/wire.hex" | xxd -r -p >"$tmp/bytes"
	is 'wire.hex: what was sent' '10' "$(head -c 1 "$tmp/bytes" | od -A n -t x1 | tr -d ' ')"
	cat >"$tmp/send.py" <<'PY'
import socket, sys
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
s.sendall(open(sys.argv[2], "rb").read())
print(s.recv(2).hex()[:2])
PY
	is 'wire.hex: is answered by CONNACK' 20 "$($python "$tmp/send.py" "$port" "$tmp/bytes" 2>&1)"
else
	echo 'skip wire.hex: no xxd here'
fi
lineage=$(sed -n '1s/.*# case \([0-9/]*\), seed 1,.*/\1/p' "$f1")
fuzz once --exec "$broker --break $r1" --case "$lineage"
is '--case: exit 1' 1 "$code"
says '--case: the same bucket' '^  bucket   rule 5:MQTT-3.8.4-6 SUBACK$'
says '--case: one case' '^1 case, '
fuzz not_there --exec "$broker" --case "$lineage"
is '--case, a right broker: exit 0' 0 "$code"

taken silenced
is '--known: exit 0' 0 "$code"
taken first
is '--first: exit 1' 1 "$code"
is '--first: one finding' 1 "$(ls "$tmp/first" | wc -l)"
says '--first: singular' '^1 finding, 1 hit; see '
taken older
is '--mqtt 3.1.1: exit 1' 1 "$code"
is '--mqtt 3.1.1: of that version only' "rule-3.1.1_MQTT-3.8.4-5-SUBACK" "$(ls "$tmp/older" | sed 's/-[0-9a-f]*$//' | tr '\n' ' ' | tr -d ' ')"
taken valid
is '--valid: what only offenders see is not found' 0 "$code"
taken slow
is '--rate: exit 0' 0 "$code"
n=$(sed -n 's/^\([0-9]*\) cases\{0,1\}, .*/\1/p' "$tmp/slow.out")
if [ "$n" -ge 1 ] && [ "$n" -le 60 ]; then ok '--rate: holds'; else not_ok '--rate: holds' "$n cases in 1 s"; fi
is '-q: no word of it' 0 "$(wc -c <"$tmp/slow.err")"
taken same
cases_of() { sed -n 's/^\([0-9]* cases, [0-9]* packets\) .*; \([0-9]* answers seen\).*/\1 \2/p' "$tmp/$1.out"; }
is '--seed: the same cases' "$(cases_of same)" "$(cases_of again)"
says '--seed: all were played' '^60 cases, '

taken ws
is 'WebSocket: exit 1' 1 "$code"
says 'WebSocket: how to repeat it' "mqassay replay .* --transport ws$"
play ws_again replay "$(finding ws rule)" --exec "'$MQASSAY' broker --listen ws://127.0.0.1:{ws_port} --break $r2" --transport ws
is 'WebSocket: replay shows it' 1 "$code"

taken login
is 'login: exit 1' 1 "$code"
says 'login: how to repeat it' "mqassay replay .* --user joe --password-file .*/password$"
lacks 'login: no password is told' secret
is 'login: nor written' 0 "$(grep -l -r -a secret "$tmp/login" | wc -l)"
play login_again replay "$(finding login rule)" --exec "$broker --break $r2 --users '$tmp/users'" --user joe --password-file "$tmp/password"
is 'login: replay shows it' 1 "$code"

# ---- a target that somebody else has started, and that ends for good ----

"$MQASSAY" broker --listen tcp://127.0.0.1:0 --break "$r2" >"$tmp/other.broker" 2>&1 &
other_pid=$!
other_port=$(port_of "$tmp/other.broker")
fuzz foreign "127.0.0.1:$other_port" --pid $other_pid --cases 300
is 'a TARGET: exit 1' 1 "$code"
says 'a TARGET: how to repeat it' "mqassay replay .*/finding.scn 127.0.0.1:$other_port --pid $other_pid$"
play foreign_again replay "$(finding foreign rule)" "127.0.0.1:$other_port" --repeat 2
says 'a TARGET: replay shows it' '^  shows 2 of 2$'
kill -TERM $other_pid
wait $other_pid 2>/dev/null
"$MQASSAY" broker --listen tcp://127.0.0.1:0 >"$tmp/third.broker" 2>&1 &
other_pid=$!
other_port=$(port_of "$tmp/third.broker")
"$MQASSAY" fuzz "127.0.0.1:$other_port" --pid $other_pid --findings "$tmp/gone" --for 1m >"$tmp/gone.out" 2>"$tmp/gone.err" &
fuzz_pid=$!
until_so grep -s -q seed "$tmp/gone.err"
sleep 0.2	# into its cases; later is as good
kill -KILL $other_pid
wait $other_pid 2>/dev/null
other_pid=
wait $fuzz_pid
code=$? at=gone fuzz_pid=
is 'a TARGET that dies: exit 1' 1 $code
says 'a TARGET that dies: told' '^ended early: the target is gone: '
says 'a TARGET that dies: nobody is blamed' 'a guess: the target was gone before it could be tried$'
is 'a TARGET that dies: written' 1 "$(ls "$tmp"/gone/*/finding.scn | wc -l)"

# ---- signals ----

for signal in INT TERM; do
	at=signal-$signal
	"$MQASSAY" fuzz --exec "echo \$\$ >'$tmp/group'; exec $broker --break $r2" --findings "$tmp/$at" --for 1m >"$tmp/$at.out" 2>"$tmp/$at.err" &
	fuzz_pid=$!
	until_so grep -s -q '  again ' "$tmp/$at.out"
	kill -$signal $fuzz_pid
	wait $fuzz_pid
	code=$? fuzz_pid=
	is "SIG$signal: exit 1, as something was found" 1 $code
	says "SIG$signal: says so" '^ended early: interrupted$'
	says "SIG$signal: the sum" '^1 finding, '
	if kill -0 "$(cat "$tmp/group")" 2>/dev/null; then not_ok "SIG$signal: the broker is ended" 'it lives'; else ok "SIG$signal: the broker is ended"; fi
done
"$MQASSAY" fuzz --exec 'exec sleep 30' --findings "$tmp/start" >"$tmp/start.out" 2>"$tmp/start.err" &
fuzz_pid=$! at=start
until_so pgrep -P $fuzz_pid >/dev/null 2>&1
kill -INT $fuzz_pid
wait $fuzz_pid
code=$? fuzz_pid=
is 'SIGINT while it starts: exit 3' 3 $code
is 'SIGINT while it starts: one line' 1 "$(wc -l <"$tmp/start.err")"

# ---- score ----

taken odd
is 'score, one cannot be started: exit 3' 3 "$code"
is 'score, one cannot be started: what there is is written' right-1 "$($python -c 'import json, sys; print(json.load(open(sys.argv[1]))["targets"][0]["label"])' "$tmp/odd.json" 2>&1)"
taken score
is 'score: exit 0' 0 "$code"
cat >"$tmp/judge.py" <<'PY'
import json, statistics, sys
report = json.load(open(sys.argv[1]))
try:
	import jsonschema
	jsonschema.validate(report, json.load(open("fuzz/docs/score.schema.json")))
	print("ok score: as the schema says")
except ImportError:
	print("skip score's schema: no python3-jsonschema here")
right, broken = report["targets"]
def is_(name, expected, received):
	print("ok " + name if expected == received else "not ok %s: expected %r, received %r" % (name, expected, received))
is_("score: nothing of a right broker", [], right["buckets"])
is_("score: campaigns", [1, 2, 3], [c["seed"] for c in broken["campaigns"]])
is_("score: one bucket", ["rule 5:MQTT-2.1.3-1 PINGRESP"], [b["bucket"] for b in broken["buckets"]])
times = [c["found"][0]["first_s"] for c in broken["campaigns"] if c["found"]]
is_("score: found each time", 3, len(times))
is_("score: the median", statistics.median(times), broken["buckets"][0]["median_s"])
PY
$python "$tmp/judge.py" "$tmp/score.json" >"$tmp/judged" 2>&1 || echo "not ok score: $(tail -n 1 "$tmp/judged")"
cat "$tmp/judged"
grep -q '^not ok' "$tmp/judged" && failed=1
taken unwritable
is 'score, a report that cannot be written: exit 3' 3 "$code"
says 'score, a report that cannot be written: says so' '^mqassay: write .*/no/such.json: No such file' "$tmp/unwritable.err"
"$MQASSAY" fuzz score --exec "$broker --break $r2" --label a --for 1m --seeds 3 --report "$tmp/cut.json" --findings "$tmp/cut" >"$tmp/cut.out" 2>"$tmp/cut.err" &
fuzz_pid=$! at=cut
until_so grep -s -q '  again ' "$tmp/cut.err"
kill -INT $fuzz_pid
wait $fuzz_pid
code=$? fuzz_pid=
is 'score, interrupted: exit 3' 3 $code
is 'score, interrupted: what was found is written' '1 interrupted' "$($python -c 'import json, sys; c = json.load(open(sys.argv[1]))["targets"][0]["campaigns"]; print(len(c[0]["found"]), c[0]["ended_early"])' "$tmp/cut.json" 2>&1)"

exit $failed

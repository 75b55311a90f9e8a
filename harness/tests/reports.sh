#!/bin/sh
# Reports in every format, of runs against a target whose strings are made to forge them, read by other programs than ours
# (read_reports.py, xmllint, prove); --report, --known and --write-known as commands; files that cannot be written.

cd "$(dirname "$0")/../.." || exit 3
LC_ALL=C
export LC_ALL
tmp=$(mktemp -d) || exit 3
target_pid=
trap 'kill -KILL $target_pid 2>/dev/null; rm -rf "$tmp"' EXIT
trap 'exit 3' HUP INT TERM
ulimit -c 0
MQASSAY=${MQASSAY:-$PWD/build/mqassay}
python=/usr/bin/python3
failed=0

ok() { printf 'ok %s\n' "$1"; }
not_ok() { printf 'not ok %s: %s\n' "$1" "$2" | cat -v; failed=1; }
is() {
	if [ "$2" = "$3" ]; then ok "$1"; else not_ok "$1" "expected '$2', received '$3': $(tail -n 4 "$tmp/out" "$tmp/err" | cut -c 1-300 | tr '\n' '|')"; fi
}
shows() {	# NAME PATTERN FILE
	if grep -a -q -E -e "$2" "$3"; then ok "$1"; else not_ok "$1" "no '$2' in: $(head -c 600 "$3" | tr '\n' '|')"; fi
}
conform() {
	timeout 60 "$MQASSAY" conform "$@" >"$tmp/out" 2>"$tmp/err" </dev/null
	code=$?
}
well() {	# NAME FORMAT FILE
	if said=$($python harness/tests/read_reports.py "$2" "$3" 2>&1); then ok "$1"; else not_ok "$1" "$(printf %s "$said" | head -n 5 | tr '\n' '|')"; fi
}
ill() {
	if $python harness/tests/read_reports.py "$2" "$3" >/dev/null 2>&1; then not_ok "$1" 'the reader did not mind'; else ok "$1"; fi
}

for p in xmllint prove; do
	command -v $p >/dev/null || { not_ok "$p" 'not found; make deps installs it'; exit 1; }
done

# ---- the readers can see ----

for format in text json junit tap; do
	well "golden $format is well" $format harness/tests/golden/report.$format
done
golden=harness/tests/golden/report
sed '3s/$/\x1b/' $golden.text >"$tmp/bad"; ill 'the reader sees ESC in text' text "$tmp/bad"
sed '2s/$/\xe2\x80\xae/' $golden.text >"$tmp/bad"; ill 'the reader sees a bidi control in text' text "$tmp/bad"
sed '4s/$/\xff/' $golden.text >"$tmp/bad"; ill 'the reader sees what is no UTF-8' text "$tmp/bad"
sed 's/"because "/"because \\u001b"/; s/"reason": "ours"/"reason": "\\u202e"/' $golden.json >"$tmp/bad"; ill 'the reader sees an escaped bidi control in JSON' json "$tmp/bad"
sed 's/"verdict": "known"/"verdict": "well"/' $golden.json >"$tmp/bad"; ill 'the reader sees another verdict in JSON' json "$tmp/bad"
sed 's/&gt;&lt;script/]]><script/' $golden.junit >"$tmp/bad"; ill 'the reader sees ]]> in JUnit' junit "$tmp/bad"
sed 's/ours/\&#x202e;/' $golden.junit >"$tmp/bad"; ill 'the reader sees a bidi control in JUnit' junit "$tmp/bad"
sed 's/failures="1"/failures="2"/' $golden.junit >"$tmp/bad"; ill 'the reader sees a wrong count in JUnit' junit "$tmp/bad"
sed 's/\\# SKIP/# SKIP/' $golden.tap >"$tmp/bad"; ill 'the reader sees a forged directive in TAP' tap "$tmp/bad"
sed '/^ok 8/d' $golden.tap >"$tmp/bad"; ill 'the reader sees a test point missing in TAP' tap "$tmp/bad"

# ---- hostile targets ----

mkdir "$tmp/s"
cat >"$tmp/s/payload.scn" <<'SCN'
scenario "A payload arrives, # TODO ]]> <script> as it was sent"
mqtt     3.1.1 5
cites    3.1.1 MQTT-4.3.2-1
cites    5     MQTT-4.3.2-1

sub connects
sub subscribes ("$(topic)/]]>" qos=1)
pub connects
pub publishes topic="$(topic)/]]>" qos=1 payload="m"
sub receives payload="m"
SCN
sed 's|/]]>" qos=1)|/+" qos=1)|; s|sub receives payload="m"|sub receives|' "$tmp/s/payload.scn" >"$tmp/s/passes.scn"
cat >"$tmp/s/assigned.scn" <<'SCN'
scenario "An assigned client id is another"
mqtt     5
cites    5 MQTT-3.1.3-7

a -> CONNECT client_id=""
a <- CONNACK assigned_client_identifier="mine"
SCN
mkdir "$tmp/dies"
cat >"$tmp/dies/dies.scn" <<'SCN'
scenario "A packet that ends it"
mqtt     5
cites    5 MQTT-3.12.4-1

a connects
a -> PUBLISH topic=$topic payload="poison"
a -> PINGREQ
a <- PINGRESP
SCN
cat >"$tmp/s/needs.scn" <<'SCN'
scenario "What is not offered"
mqtt     5
cites    5 MQTT-3.12.4-1
needs    receive_maximum<10

a connects
a -> PINGREQ
a <- PINGRESP
SCN
evil_name=$(printf 'e\033[31m\342\200\256]]><script>&"#SKIP')
cp "$tmp/s/payload.scn" "$tmp/s/$evil_name.scn"
mkdir "$tmp/bin"
printf '#!/bin/sh\nexec %s %s/harness/tests/bad_broker.py "$@"\n' "$python" "$PWD" >"$tmp/bin/$evil_name"
chmod +x "$tmp/bin/$evil_name"

reports() {	# NAME ARGUMENTS...: one run, all formats, and each of them read
	name=$1
	shift
	conform --scenarios "$suite" --report text="$tmp/r.text" --report json="$tmp/r.json" --report junit="$tmp/r.junit" --report tap="$tmp/r.tap" \
		--write-known "$tmp/r.known" "$@"
	well "$name: stdout" text "$tmp/out"
	well "$name: stderr" text "$tmp/err"
	for format in text json junit tap; do
		well "$name: $format" $format "$tmp/r.$format"
	done
	said=$(xmllint --noout --schema harness/tests/junit.xsd "$tmp/r.junit" 2>&1) && ok "$name: junit keeps to the schema" || not_ok "$name: junit keeps to the schema" "$said"
	# Debian's prove knows version 13 only; what we write means the same in both.
	sed 1s/14/13/ "$tmp/r.tap" >"$tmp/r.13"
	prove -e cat "$tmp/r.13" >"$tmp/prove" 2>&1
	if grep -q 'Parse errors\|No plan' "$tmp/prove"; then not_ok "$name: prove reads the TAP" "$(tail -n 5 "$tmp/prove" | tr '\n' '|')"; else ok "$name: prove reads the TAP"; fi
}
counts() {	# of failures that prove and JUnit see
	tap=$(sed -n 's/.*Tests: [0-9]* Failed: \([0-9]*\).*/\1/p' "$tmp/prove")
	junit=$($python -c 'import sys, xml.etree.ElementTree as e; r = e.parse(sys.argv[1]).getroot(); print(len(r.findall(".//failure")) + len(r.findall(".//error")))' "$tmp/r.junit")
	echo "${tap:-0} $junit"
}

suite=$tmp/s
for mode in forges forges-bytes; do
	reports "$mode" --exec "'$tmp/bin/$evil_name' {port} $mode poison" -v --artifacts "$tmp/artifacts"
	is "$mode: names of files are plain" 0 "$(find "$tmp/artifacts" -mindepth 1 -printf '%P\n' | grep -c '[^a-zA-Z0-9/._=+,-]')"
	is "$mode: there are such files" yes "$([ "$(find "$tmp/artifacts" -type f | wc -l)" -ge 5 ] && echo yes)"
	for file in $(find "$tmp/artifacts" -name 'transcript*' -o -name 'report*.txt' | head -n 4); do
		well "$mode: artifacts: ${file##*/}" text "$file"
	done
	rm -rf "$tmp/artifacts"
	is "$mode: exit 1" 1 $code
	shows "$mode: escaped" 'x1b\[31m' "$tmp/out"
	is "$mode: prove and JUnit count the same" "$(counts | awk '{ print $2, $2 }')" "$(counts)"
	well "$mode: --write-known" known "$tmp/r.known"
	mv "$tmp/r.known" "$tmp/known"
	reports "$mode, known" --exec "'$tmp/bin/$evil_name' {port} $mode poison" --known "$tmp/known"
	shows "$mode: what was written is known" ' 0 fail, .*known' "$tmp/out"
done
suite=$tmp/dies
for mode in forges forges-bytes; do
	reports "$mode, dies" --exec "'$tmp/bin/$evil_name' {port} $mode poison"
	is "$mode, dies: exit 1" 1 $code
	shows "$mode, dies: its last words" 'received.*exited with 7.*Bail out.*x7f' "$tmp/r.text"
done
suite=$tmp/s
reports 'refuses' --exec "$python $PWD/harness/tests/bad_broker.py {port} refuses" --start-timeout 1s
is 'refuses: exit 3' 3 $code
is 'refuses: one line' 2 "$(wc -l <"$tmp/err")"		# and that --write-known was not written
is 'refuses: JUnit has it as an error' '1 1' "$(counts)"

# ---- several targets ----

mkfifo "$tmp/port"
$python harness/tests/bad_broker.py 0 forges nothing >"$tmp/port" 2>/dev/null &
target_pid=$!
read -r port <"$tmp/port"
reports 'two targets' --select payload.scn "one=127.0.0.1:$port" "two=127.0.0.1:$port" nobody=127.0.0.1:1 --timeout 1s
is 'two targets: exit 1, though the third cannot be reached' 1 $code
is 'two targets: all in one document' 'one two nobody' "$($python -c 'import json, sys; print(*[t["label"] for t in json.load(open(sys.argv[1]))["targets"]])' "$tmp/r.json")"
shows 'two targets: who could not be tested' 'not ok [0-9]+ - nobody: can be tested' "$tmp/r.tap"
kill -KILL $target_pid
wait $target_pid 2>/dev/null
target_pid=

# ---- secrets ----

echo hunter2secret >"$tmp/password"
secret='hunter2secret|68 75 6e 74 65 72'
cat >"$tmp/secret.scn" <<'SCN'
scenario "A password goes out in a CONNECT that can be read, and in one that cannot"
mqtt     5
cites    5 MQTT-3.12.4-1
case     "read"     flags={ }
case     "not read" flags={ !omit=keep_alive }

a -> CONNECT $flags
a <- PINGRESP
SCN
for format in text json junit tap; do
	conform --scenarios "$tmp/secret.scn" --exec "$python $PWD/harness/tests/bad_broker.py {port} ok" --user bob --password-file "$tmp/password" --timeout 300ms -v --format $format
	is "a password is in no $format" 0 "$(grep -c -E "$secret" "$tmp/out")"
	shows "it is masked in $format" '[*]{3}' "$tmp/out"
	shows "and where a packet cannot be read, in $format" 'the password among them' "$tmp/out"
done
conform --scenarios "$tmp/secret.scn" --exec "$python $PWD/harness/tests/bad_broker.py {port} ok" --user bob --password-file "$tmp/password" --timeout 300ms -v --secrets
shows '--secrets shows it' 'password="hunter2secret"' "$tmp/out"

# ---- stdout ----

for format in text json junit tap; do
	conform --scenarios "$tmp/s/passes.scn" --format $format
	is "--format $format: exit 0" 0 $code
	well "--format $format: nothing else on stdout" $format "$tmp/out"
	is "--format $format: nothing on stderr" '' "$(cat "$tmp/err")"
done
conform --scenarios "$tmp/s/passes.scn" --color always
shows '--color always: colours' "$(printf '\033')" "$tmp/out"
conform --scenarios "$tmp/s/passes.scn" --color always --report json="$tmp/r.json" --format junit
well '--color always: not in JUnit' junit "$tmp/out"
well '--color always: not in JSON' json "$tmp/r.json"
conform --scenarios "$tmp/s/passes.scn" --format json -q
well '-q: JSON is whole' json "$tmp/out"

# ---- files ----

conform --report json="$tmp/no/such/folder/r.json"
is 'a folder that is not there: exit 3' 3 $code
is 'a folder that is not there: one line' 1 "$(wc -l <"$tmp/err")"
is 'a folder that is not there: found out before anything is played' 0 "$(wc -c <"$tmp/out")"
conform --report json="$tmp"
is 'a folder: exit 3' 3 $code
conform --report pdf="$tmp/r"
is 'no such format: exit 2' 2 $code
shows 'no such format: which there are' 'text, json, junit, tap' "$tmp/err"
for wrong in json json= =x; do
	conform --report "$wrong"
	is "--report $wrong: exit 2" 2 $code
done
conform --write-known "$tmp/no/known"
is '--write-known where there is no folder: exit 3' 3 $code
conform --scenarios "$tmp/s/passes.scn" --report json=/dev/full --report tap="$tmp/kept.tap"
is 'no room: exit 3' 3 $code
shows 'no room: says so' 'write /dev/full: No space left' "$tmp/err"
well 'no room: the other report is there' tap "$tmp/kept.tap"
shows 'no room: and so is the text' ' tests on ' "$tmp/out"
echo before >"$tmp/target.json"
ln -s target.json "$tmp/link.json"
chmod 640 "$tmp/target.json"
conform --scenarios "$tmp/s/passes.scn" --report json="$tmp/link.json"
[ -L "$tmp/link.json" ] && ok 'a link stays a link' || not_ok 'a link stays a link' "$(ls -l "$tmp/link.json")"
well 'what it points to is replaced' json "$tmp/target.json"
is 'and keeps its mode' 640 "$(stat -c %a "$tmp/target.json")"
mkdir "$tmp/r"
conform --scenarios "$tmp/s/passes.scn" --report json="$tmp/r/r.json"
is 'nothing is left beside a report' r.json "$(ls "$tmp/r")"

( timeout 60 "$MQASSAY" conform -v --report json="$tmp/closed.json" 2>"$tmp/err" ) | head -n 1 >"$tmp/out"
well 'stdout is closed: the report is there' json "$tmp/closed.json"

# ---- what is known ----

head='rule	version	test	target	reason'
known() { { printf '%s\n' "$head"; printf '%b\n' "$@"; } >"$tmp/known"; }
broken='--break 5:MQTT-3.1.2-8 --select 5/will/disconnect.scn'
conform $broken
is 'a fail: exit 1' 1 $code
known '5:MQTT-3.1.2-8\t5\t5/will/disconnect.scn\t*\twhy not'
conform $broken --known "$tmp/known"
is 'known: exit 0' 0 $code
shows 'known: the reason once, with how many' '^known +[0-9]+ of MQTT 5: why not$' "$tmp/out"
conform --select 5/will/disconnect.scn --known "$tmp/known"
is 'fixed: exit 1' 1 $code
shows 'fixed: where, and the remedy' 'known:2 lists a deviation from 5:MQTT-3.1.2-8 that no longer happens: delete the line' "$tmp/out"
conform --select 5/connect --known "$tmp/known"
is 'not selected: says nothing' 0 $code
printf '# mine\n' >"$tmp/list"
cat "$tmp/known" >>"$tmp/list"
conform --break 5:MQTT-3.3.1-3 --select 5 --known "$tmp/list" --write-known "$tmp/list"
shows '--write-known: comments stay' '^# mine$' "$tmp/list"
is '--write-known: what is fixed goes' 0 "$(grep -c 'why not' "$tmp/list")"
conform --break 5:MQTT-3.3.1-3 --select 5 --known "$tmp/list"
is '--write-known: then all is known' 0 $code
for wrong in '5:MQTT-3.1.2-8\t5\t5/wil/disconnect.scn\t*\twhy' '5:MQTT-3.1.2-8\t3.1.1\t5/will/disconnect.scn\t*\twhy' '5:MQTT-3.1.2-8\t5\tx' '5:x\t5\t*\t*\twhy'; do
	known "$wrong"
	conform --known "$tmp/known"
	is "$(printf %s "$wrong" | tr '\\' '/'): exit 2" 2 $code
	is "$(printf %s "$wrong" | tr '\\' '/'): one line" 1 "$(wc -l <"$tmp/err")"
	shows "$(printf %s "$wrong" | tr '\\' '/'): its line" 'known:2: ' "$tmp/err"
done
conform --known "$tmp/none"
is 'no such list: exit 3' 3 $code
conform --prove --known "$tmp/list"
is '--prove takes none: exit 2' 2 $code
exit $failed

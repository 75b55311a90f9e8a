#!/bin/sh
# `conform --artifacts` and `mqassay replay`: what a failing test leaves behind, that it can be played again, and that neither
# names in it nor a folder from a stranger do harm.

cd "$(dirname "$0")/../.." || exit 3
LC_ALL=C
export LC_ALL
tmp=$(mktemp -d) || exit 3
trap 'rm -rf "$tmp"' EXIT
trap 'exit 3' HUP INT TERM
ulimit -c 0
MQASSAY=${MQASSAY:-$PWD/build/mqassay}
PATH=$PATH:/usr/sbin HOME=$tmp
export PATH HOME
failed=0

ok() { printf 'ok %s\n' "$1"; }
not_ok() { printf 'not ok %s: %s\n' "$1" "$2"; failed=1; }
is() {
	if [ "$2" = "$3" ]; then ok "$1"; else not_ok "$1" "expected '$2', received '$3': $(tail -n 4 "$tmp/out" "$tmp/err" | cut -c 1-300 | tr '\n' '|')"; fi
}
shows() { if grep -a -q -E -e "$2" "$3"; then ok "$1"; else not_ok "$1" "no '$2' in: $(head -c 600 "$3" | tr '\n' '|')"; fi; }
mqassay() { timeout 60 "$MQASSAY" "$@" >"$tmp/out" 2>"$tmp/err" </dev/null; code=$?; }
one_line() { is "$1: exit $2" "$2" $code; is "$1: one line" 1 "$(wc -l <"$tmp/err")"; is "$1: no report" 0 "$(wc -l <"$tmp/out")"; shows "$1: says so" "$3" "$tmp/err"; }
only() { ls -d "$1"/*; }		# the one folder in it

# ---- a broker that breaks a rule ----

broken='--break 5:MQTT-3.3.1-6 --select common/retain/cleared.scn --mqtt 5'
mqassay conform $broken --artifacts "$tmp/a" --seed 7 --timeout 2s
is 'a broken rule: exit 1' 1 $code
shows 'a broken rule: says where the folder is' "1 folder in $tmp/a" "$tmp/err"
folder=$(only "$tmp/a")
is 'a broken rule: what is in it' 'command conversation.pcapng first-try.pcapng replay.options report.txt scenario test.json transcript.txt' \
	"$(ls "$folder" | paste -sd ' ')"
cmp -s scenarios/common/retain/cleared.scn "$folder/scenario/common/retain/cleared.scn" && ok 'the scenario as it was' || not_ok 'the scenario' differs
shows 'the report' 'cleared.scn:[0-9]+:[0-9]+: FAIL \[5:MQTT-3.3.1-6\] MQTT 5' "$folder/report.txt"
shows 'the transcript' 'pub +-> PUBLISH .*retain' "$folder/transcript.txt"
shows 'the transcript: the first try, too' '^# the first try' "$folder/transcript.txt"
python3 -c 'import json, sys; t = json.load(open(sys.argv[1]))["tests"]; assert len(t) == 1 and t[0]["verdict"] == "fail"' "$folder/test.json" 2>"$tmp/err" \
	&& ok 'the test as JSON' || not_ok 'the test as JSON' "$(tail -n 1 "$tmp/err")"
for capture in conversation first-try; do
	tshark -n -r "$folder/$capture.pcapng" -Y 'mqtt.msgtype == 3' -T fields -e frame.number >"$tmp/publishes" 2>"$tmp/tshark.err"
	is "$capture.pcapng: this test's PUBLISH packets" 3 "$(wc -l <"$tmp/publishes")"
	is "$capture.pcapng: no other test's connections" 2 "$(tshark -n -r "$folder/$capture.pcapng" -Y frame.comment 2>/dev/null | wc -l)"
done
shows 'how it was played' '^seed=7$' "$folder/replay.options"
shows 'how it was played: the fault' '^break=5:MQTT-3.3.1-6$' "$folder/replay.options"

mqassay replay "$folder"
is 'replay: exit 1' 1 $code
shows 'replay: fails as it did' 'FAIL \[5:MQTT-3.3.1-6\] MQTT 5' "$tmp/out"
mqassay replay "$folder" --format json
python3 -c 'import json, sys; json.load(open(sys.argv[1]))' "$tmp/out" && ok 'replay: reports like conform' || not_ok 'replay --format json' 'no JSON'
( cd / && PATH=$(dirname "$MQASSAY"):$PATH timeout 60 "$folder/command" -q ) >"$tmp/out" 2>"$tmp/err"
is 'its command: exit 1' 1 $?

sed '/^break=/d' "$folder/replay.options" >"$tmp/fixed" && cp "$tmp/fixed" "$folder/replay.options"
mqassay replay "$folder"
is 'the rule kept: exit 0' 0 $code

# ---- a second run, an existing folder ----

before=$(cd "$folder" && find . -type f -exec cksum {} + | sort)
mqassay conform $broken --artifacts "$tmp/a"
is 'a second run: a folder beside the first' 2 "$(ls "$tmp/a" | wc -l)"
is 'a second run: the first is as it was' "$before" "$(cd "$folder" && find . -type f -exec cksum {} + | sort)"
mqassay conform --select common/retain/cleared.scn --artifacts "$tmp/none"
is 'all pass: exit 0' 0 $code
is 'all pass: nothing is left' '' "$(ls -A "$tmp/none")"
is 'all pass: nothing is said' '' "$(cat "$tmp/err")"
printf 'rule\tversion\ttest\ttarget\treason\n5:MQTT-3.3.1-6\t5\tcommon/retain/cleared.scn\t*\taccepted\n' >"$tmp/known"
mqassay conform $broken --known "$tmp/known" --artifacts "$tmp/none"
is 'known: exit 3, since nothing passed' 3 $code
is 'known: no news' '' "$(ls -A "$tmp/none")"
mqassay conform $broken --repeat 2 --artifacts "$tmp/twice"
is '--repeat 2: one of each turn' 2 "$(ls "$tmp/twice" | grep -c -e 'turn2' -e 'mqtt5')"

# ---- several at once, and what does not fit into memory ----

cat >"$tmp/large.scn" <<'SCN'
scenario "A large message, and then what never comes"
mqtt     5
cites    5 MQTT-4.3.1-1
tags     large
case     "one" n=1
case     "two" n=2
a connects
a subscribes ($topic qos=0)
repeat 3 { a publishes qos=0 payload=fill(200000); a receives payload=fill(200000) }
a receives payload="$(n)" [MQTT-4.3.1-1]
SCN
mqassay conform --scenarios "$tmp/large.scn" --artifacts "$tmp/large"
is 'large messages: exit 1' 1 $code
for folder in "$tmp"/large/*; do
	is 'large messages: the conversation is whole' 6 "$(tshark -n -r "$folder/conversation.pcapng" -Y 'mqtt.len > 200000' -T fields -E aggregator=' ' -e mqtt.len 2>/dev/null |
		tr ' ' '\n' | awk '$1 > 200000' | wc -l)"
done
is 'large messages: no spool is left' 2 "$(ls -A "$tmp/large" | wc -l)"

# ---- Mosquitto ----

mqassay conform --exec 'mosquitto -p {port}' --mqtt 3.1.1 --select 'common/malformed/pingreq-body.scn#bytes/1' --artifacts "$tmp/m"
is 'Mosquitto: exit 1' 1 $code
folder=$(only "$tmp/m")
shows 'Mosquitto: its command is noted' '^exec=mosquitto -p \{port\}$' "$folder/replay.options"
mqassay replay "$folder"
one_line 'a folder starts no program' 2 "starts no program; .*--exec 'mosquitto -p \{port\}'"
mqassay replay "$folder" --exec 'mosquitto -p {port}'
is 'the command given again: exit 1' 1 $code
shows 'the command given again: one test, that one' '^ +1 tests on mosquitto: 0 pass, 1 fail' "$tmp/out"
( cd "$tmp" && PATH=$(dirname "$MQASSAY"):$PATH timeout 60 "$folder/command" ) >"$tmp/out" 2>"$tmp/err"
is 'its command: exit 1' 1 $?
mqassay replay "$folder" --exec "'$MQASSAY' broker --listen tcp://127.0.0.1:{port}"
is 'another broker, which keeps the rule: exit 0' 0 $code
mqassay replay "$folder" 127.0.0.1:1
is 'a TARGET: exit 3 when nobody is there' 3 $code
shows 'a TARGET: says so' '127.0.0.1:1: .*refused' "$tmp/err"

# ---- hostile names ----

mkdir "$tmp/h"
printf 'scenario "Names"\nmqtt 5\ncites 5 MQTT-3.12.4-1\ncase "../../../../x" p="a"\ncase "/etc/x" p="b"\ncase "\\x1b]0;pwned\\x07" p="c"\ncase ".." p="d"\ncase "a b;touch %s/pwned;`id`" p="e"\na connects\na subscribes ($topic qos=0)\na receives payload=$p [MQTT-3.12.4-1]\n' \
	"$tmp" >"$tmp/h/n.scn"
cp "$tmp/h/n.scn" "$tmp/h/$(printf 'x\033[31m\n;.scn')"
mkdir "$tmp/cage"
mqassay conform --scenarios "$tmp/h" --artifacts "$tmp/cage/d" --mqtt 5
is 'hostile names: exit 1' 1 $code
is 'hostile names: a folder each' 10 "$(ls "$tmp/cage/d" | wc -l)"
is 'hostile names: nothing beside it' d "$(ls -A "$tmp/cage")"
is 'hostile names: only plain ones' '' "$(find "$tmp/cage" | LC_ALL=C grep -v -x '[a-zA-Z0-9._+=,/-]*')"
is 'hostile names: no link, nothing but files and folders' '' "$(find "$tmp/cage" ! -type f ! -type d)"
for folder in "$tmp"/cage/d/*; do
	mqassay replay "$folder" -q
	is 'hostile names: each is played again, alone' '1 1' "$code $(sed -n 's/^ *\([0-9]*\) tests on.*/\1/p' "$tmp/out")"
done
is 'hostile names: nothing was run' '' "$(ls -d "$tmp/pwned" 2>/dev/null)"

# ---- over another transport ----

mqassay conform $broken --transport wss --artifacts "$tmp/w"
shows 'over wss: how it was played' '^transport=wss$' "$(only "$tmp/w")/replay.options"
mqassay replay "$(only "$tmp/w")"
is 'over wss: replay: exit 1' 1 $code

# ---- a folder from a stranger ----

stranger() {	# LINES of replay.options; the scenario is there
	rm -rf "$tmp/s" && mkdir -p "$tmp/s/scenario" && cp scenarios/common/retain/cleared.scn "$tmp/s/scenario/c.scn"
	printf '%s\n' "$@" >"$tmp/s/replay.options"
	mqassay replay "$tmp/s"
}
stranger scenario=scenario/c.scn mqtt=5
is 'the least that can be played: exit 0' 0 $code
stranger scenario=scenario/c.scn mqtt=5 "exec=touch $tmp/pwned; sleep 9"
one_line 'a command' 2 'starts no program'
stranger scenario=/etc/passwd mqtt=5
one_line 'an absolute path' 2 'replay.options:1: scenario: expected a path below'
stranger scenario=../../etc/passwd mqtt=5
one_line 'a path out of it' 2 'replay.options:1: '
stranger scenario=scenario/none.scn mqtt=5
one_line 'a scenario that is not there' 3 'scenario/none.scn: No such file'
stranger scenario=scenario/c.scn mqtt=5 password
one_line 'a password' 2 'keeps no password; .*--password-file'
stranger scenario=scenario/c.scn mqtt=5 password-file=/etc/passwd
one_line 'a password file' 2 'replay.options:3: unknown key'
stranger scenario=scenario/c.scn mqtt=5 'tls=ca insecure'
one_line 'trust' 2 'played with --ca; a folder keeps nothing of TLS, give it again'
stranger scenario=scenario/c.scn mqtt=5 ca=/etc/passwd
one_line 'authorities' 2 'replay.options:3: unknown key ca'
stranger scenario=scenario/c.scn mqtt=5 transport=wss
is 'another transport: exit 0' 0 $code
stranger scenario=scenario/c.scn mqtt=5 transport=carrier
one_line 'a transport that is none' 2 '--transport: .*carrier'
stranger scenario=scenario/c.scn mqtt=5 'broker=--users /etc/passwd'
one_line 'options of the broker' 2 '--broker'
stranger scenario=scenario/c.scn mqtt=5 seed=many
one_line 'a value that is none' 2 'replay.options: --seed: expected .*many'
stranger scenario=scenario/c.scn mqtt=5 'case=none'
one_line 'no such case' 3 'no test fits'
stranger 'target=evil' "$(printf '\033[31m')"
one_line 'no text' 2 'replay.options:2: '
is 'no text: shown escaped' '' "$(grep -a "$(printf '\033')" "$tmp/err")"
ln -sf /etc/passwd "$tmp/s/scenario/c.scn"
printf 'scenario=scenario/c.scn\nmqtt=5\n' >"$tmp/s/replay.options"
mqassay replay "$tmp/s"
one_line 'a link out of it' 3 'c.scn: leads out of the folder'
rm "$tmp/s/replay.options" && ln -s /etc/passwd "$tmp/s/replay.options"
mqassay replay "$tmp/s"
one_line 'options that lead out of it' 3 'replay.options: leads out of the folder'
rm "$tmp/s/replay.options" && mkfifo "$tmp/s/replay.options"
mqassay replay "$tmp/s"
one_line 'options that are a pipe' 3 'replay.options: not a regular file'
rm "$tmp/s/replay.options" && head -c 300000 /dev/zero >"$tmp/s/replay.options"
mqassay replay "$tmp/s"
one_line 'options that have no end' 2 'replay.options: larger than 256 kB'
rm "$tmp/s/replay.options"
mqassay replay "$tmp/s"
one_line 'no options' 3 'replay.options: No such file'
is 'a stranger: nothing was run' '' "$(ls -d "$tmp/pwned" 2>/dev/null)"

# ---- what is no folder ----

printf '# a\n\ncapture "x.pcap"\nmqtt 5\n' >"$tmp/c.scn"
mqassay replay "$tmp/c.scn"
one_line 'a capture without steps' 2 'there are no steps'
mqassay replay scenarios/common/retain/cleared.scn
one_line 'a scenario' 2 'mqassay conform --scenarios'
mqassay replay "$tmp/large/$(ls "$tmp/large" | head -n 1)/conversation.pcapng"
one_line 'anything else' 2 'expected a finding, a capture, or a folder that --artifacts made'
mqassay replay "$tmp/none/such"
one_line 'nothing' 3 'No such file'
mqassay replay
is 'no PATH: exit 2' 2 $code

# ---- when it cannot be written ----

mqassay conform $broken --artifacts /proc/none
one_line 'no such place' 3 'write /proc/none: '
mqassay conform $broken --artifacts "$tmp/known"
one_line 'a file is there' 3 'write .*known: Not a directory'
said=$(ulimit -f 0; trap '' XFSZ; timeout 60 "$MQASSAY" conform $broken --artifacts "$tmp/full" -q 2>&1; echo "exit $?")
echo "$said" >"$tmp/out"
shows 'a full disk: says so' 'write .*full/.*/report.txt: File too large' "$tmp/out"
shows 'a full disk: the verdict is there' '^ +1 tests on the built-in broker: 0 pass, 1 fail' "$tmp/out"
shows 'a full disk: exit 1' '^exit 1$' "$tmp/out"
mqassay conform $broken --artifacts "$tmp/x" --prove
is '--prove: exit 2' 2 $code
exit $failed

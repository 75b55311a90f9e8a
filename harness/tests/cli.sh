#!/bin/sh
# The command line as a user meets it: every mistake is one line that names place and remedy, with the documented exit
# code; the manual page and the completion scripts fit the program. Run from the top folder with the program in $MQASSAY.

mqassay=${MQASSAY:-build/mqassay}
dir=$(mktemp -d) || exit 3
trap 'rm -rf "$dir"' EXIT

ok() {			# NAME COMMAND...
	name=$1
	shift
	if "$@" >"$dir/out" 2>&1; then echo "ok $name"; else echo "not ok $name: $(head -c 500 "$dir/out" | tr '\n' ' ')"; fi
}

# mistake CODE WORDS ARGUMENT...: exits with the code, says one line on stderr with those words, and nothing on stdout
mistake() {
	code=$1 words=$2
	shift 2
	timeout 60 "$mqassay" "$@" >"$dir/out" 2>"$dir/err" </dev/null
	found=$?
	line=$(cat "$dir/err")
	case $found:$(wc -l <"$dir/err" | tr -d ' '):$line in
	"$code:1:"*"$words"*) [ -s "$dir/out" ] && echo "not ok $*: something on stdout" || echo "ok mistake: $*" ;;
	*) echo "not ok mistake: $*: exit $found: $line" ;;
	esac
}

# A command's summary says what it does, as one would ask for it.
ok 'summaries begin with a verb' sh -c '"$1" --help | awk "/^  [a-z]+ +[a-z]/ { n++; if (\$2 ~ /^(the|a|an|what|which|how)\$/) { print; bad = 1 } } END { exit bad || n < 5 }"' - "$mqassay"
ok 'no option is repeatable twice' sh -c 'for c in conform lint broker explain replay; do "$1" $c --help; done | tr -s " \n" " " | grep -q "repeatable; repeatable" && exit 1; exit 0' - "$mqassay"

# ---- mistakes ----

printf 'scenario "t"\n' >"$dir/short.scn"
: >"$dir/empty.scn"
: >"$dir/empty"
head -c 65536 /dev/zero | tr '\0' x >"$dir/long"
echo secret >"$dir/password"
head -c 3000 "$mqassay" >"$dir/binary.scn"
mkdir "$dir/folder"

mistake 2 'did you mean conform?'             confrom
mistake 2 'see mqassay --help'                xyzzy
mistake 2 'expected a command before -v'      -v
mistake 2 'did you mean --select?'            conform --selct x
mistake 2 'unknown option -Z'                 conform -Z
mistake 2 '--timeout needs a value'           conform --timeout
mistake 2 '--mqtt needs a value: 3.1, 3.1.1, 5 or all' conform --mqtt
mistake 2 'expected 3.1, 3.1.1, 5 or all'     conform --mqtt 4
mistake 2 "--jobs: expected"                  conform --jobs 10x
mistake 2 "--jobs: expected 1 to 10k"         conform --jobs 0
mistake 2 "--timeout: expected"               conform --timeout 5
mistake 2 '--slack: expected'                 conform --slack 0.5
mistake 2 '--slack: expected'                 conform --slack nan
mistake 2 'takes no value'                    conform --list=yes
mistake 2 'NAME=VALUE'                        conform -D x
mistake 2 'no scenario has a `param` of that name; did you mean other_user?' conform -D other_usr=1
mistake 2 'two targets are named there: tell them apart' conform there=127.0.0.1:1 there=127.0.0.1:2
mistake 2 'more than the 65535 bytes that a user name' conform --user "$(head -c 65536 /dev/zero | tr '\0' x)" 127.0.0.1:1
mistake 2 'more than the 65535 bytes that a password' conform --user u --password-file "$dir/long" 127.0.0.1:1
mistake 3 "only with --broker '--users FILE'"      conform --user X --password-file "$dir/password" --mqtt 5
mistake 2 'name no target'                    conform --break 5:MQTT-3.3.1-2 localhost
mistake 2 'name no target'                    conform --real localhost
mistake 2 'expected a file glob'              conform --select ''
mistake 2 'expected a file glob'              conform --select '!'
mistake 2 '--timeout: expected more than 0'   conform --timeout 0s
mistake 2 'expected a host'                   conform ''
mistake 2 'expected a RULE'                   explain ''
mistake 2 'unknown command xyz'               help xyz
mistake 2 'too few arguments: expected PATH'  replay
mistake 3 'No such file'                      replay "$dir/missing"
mistake 2 'expected a finding, a capture, or a folder'   replay "$dir/empty"
mistake 3 'No such file'                      replay "$dir/folder"
mistake 2 'need --cert and --key'              broker --listen tls://localhost
mistake 3 'No such file'                      broker --users "$dir/missing"
mistake 3 'Is a directory'                    broker --users "$dir/folder"
mistake 3 'Not a directory'                   conform --artifacts "$dir/empty"
mistake 2 'no such fault'                     conform --break 5:MQTT-9.9.9-9
mistake 2 'name no other'                     conform --exec true localhost
mistake 2 'only ws and wss have a path'        conform tls://localhost/path
mistake 2 'a TARGET says it in its URL'        conform localhost --transport ws
mistake 2 'expected tcp, tls, ws or wss'         conform --transport quic
mistake 2 'tcp://'                            conform http://localhost
mistake 2 'port'                              conform localhost:99999
mistake 2 'port'                              conform localhost:
mistake 2 'F=FILE'                            conform --report json
mistake 2 'expected'                          conform --split 0
mistake 2 "--completion: expected bash, zsh or fish" --completion csh
mistake 2 '--completion needs a value'        --completion
mistake 2 'unexpected argument'               broker localhost
mistake 2 'expected a RULE'                   explain
mistake 2 'unknown rule'                      explain 5:MQTT-9.9.9-9
mistake 2 'did you mean 5:property-repeated?' explain 5:property-repeatd
mistake 2 'did you mean'                      explain inconclusiv
mistake 3 'No such file'                      conform --scenarios "$dir/missing"
mistake 3 'there is no *.scn file there'      conform --scenarios "$dir/folder"
mistake 3 'no test fits the selection'        conform --select xyzzy
mistake 2 'empty.scn:1:1: error'              conform --scenarios "$dir/empty.scn"
mistake 2 'short.scn:'                        conform --scenarios "$dir/short.scn"
mistake 2 'binary.scn:1:1: error'             conform --scenarios "$dir/binary.scn"
mistake 3 'No such file'                      conform --known "$dir/missing"
mistake 3 'Is a directory'                    conform --known "$dir/folder"
mistake 3 'Is a directory'                    conform --report "json=$dir/folder"
mistake 3 'No such file'                      conform --pcap "$dir/missing/x.pcapng"
mistake 3 'No such file'                      conform --password-file "$dir/missing" --user u
mistake 3 'no password in it'                 conform --password-file "$dir/empty" --user u
mistake 3 'Is a directory'                    conform --password-file "$dir/folder" --user u
mistake 3 'No such file'                      lint "$dir/missing"
mistake 3 'no *.scn file there'               lint "$dir/folder"
mistake 3 'refused'                           conform 127.0.0.1:1 --mqtt 5 -q
mistake 3 'No such file'                      conform "unix:$dir/missing" -q

printf 'name x\nwithuot login\n' >"$dir/wrong.profile"
mistake 2 'wrong.profile:2:1: unknown key '   conform --profile "$dir/wrong.profile" localhost
mistake 3 'No such file'                      conform --profile "$dir/missing" localhost
mistake 3 'Is a directory'                    conform --profile "$dir/folder" localhost
mistake 2 'binary.scn:1:1: a control character' conform --profile "$dir/binary.scn" localhost
mistake 2 'name it'                           conform --profile "$dir/empty"
mistake 2 'name no other'                     conform --profile "$dir/empty" localhost 127.0.0.1
mistake 2 'did you mean retain_available?'    conform --without retain_availabel localhost

# ---- a profile ----

{ echo 'name assayed'; echo 'without retain_available   # says its manual'; echo 'timer-tolerance 3s'; } >"$dir/a.profile"
"$mqassay" conform --exec "'$mqassay' broker --listen tcp://127.0.0.1:{port}" --profile "$dir/a.profile" --format json \
	--select 3.1.1:MQTT-3.3.1-10 --mqtt 3.1.1 >"$dir/json" 2>/dev/null
ok 'a profile names the target and its line is the evidence' python3 - "$dir/json" "$dir/a.profile" <<'PY'
import json, sys
doc = json.load(open(sys.argv[1]))
assert doc["targets"][0]["label"] == "assayed", doc["targets"][0]["label"]
assert doc["targets"][0]["again"].count("--profile") == 1
tests = [t for t in doc["tests"] if t["verdict"] == "skip"]
assert tests and all(t["reason"].endswith(sys.argv[2] + ":2: says its manual") for t in tests), doc["tests"]
PY

# The test asks for an end after 1 s, the broker ends a silent connection after one and a half times its keep alive.
cat >"$dir/late.scn" <<'SCN'
scenario "t"
mqtt 3.1.1
cites 3.1.1 MQTT-3.1.2-24

a connects keep_alive=1
a <- closed within 1s
SCN
exec="'$mqassay' broker --listen tcp://127.0.0.1:{port}"
echo 'timer-tolerance 4s' >"$dir/late.profile"
( "$mqassay" conform --exec "$exec" --scenarios "$dir/late.scn" --profile "$dir/late.profile" >"$dir/late.1" 2>&1; echo $? >>"$dir/late.1" ) &
"$mqassay" conform --exec "$exec" --scenarios "$dir/late.scn" >"$dir/late.2" 2>&1; echo $? >>"$dir/late.2"
wait
ok 'a timer within the tolerance passes' sh -c "tail -n 1 '$dir/late.1' | grep -qx 0 || { cat '$dir/late.1'; exit 1; }"
ok 'without it the same is a fail' sh -c "tail -n 1 '$dir/late.2' | grep -qx 1 || { cat '$dir/late.2'; exit 1; }"

# ---- the README ----

# Its table of verdicts says what `explain` says.
sed -n '/^| verdict | meaning |$/,/^$/p' README.md | sed -n 's/^| `\([a-z]*\)` | \(.*\) |$/\1: \2./p' | tr -d '`' >"$dir/verdicts"
for verdict in pass fail warn skip inconclusive unstable known fixed error; do
	"$mqassay" explain $verdict | head -n 1 >"$dir/meaning"
	ok "the README explains $verdict as the program does" grep -x -F -f "$dir/meaning" "$dir/verdicts"
done
ok 'the README has a row for each verdict' test "$(wc -l <"$dir/verdicts")" = 9

# ---- the manual page ----

ok 'the manual page' sh -c "'$mqassay' --man >'$dir/mqassay.1'"
ok 'mandoc finds nothing' sh -c "mandoc -T lint -W warning '$dir/mqassay.1'"
mandoc -T ascii "$dir/mqassay.1" 2>/dev/null | sed 's/.\x08//g' >"$dir/manual"
for section in NAME SYNOPSIS DESCRIPTION COMMANDS VERDICTS 'EXIT STATUS' EXAMPLES; do
	ok "it has $section" grep -qx "$section" "$dir/manual"
done
"$mqassay" --help | sed -n 's/^  \([a-z][a-z]*\) .*/\1/p' >"$dir/commands"
ok 'there are commands' test -s "$dir/commands"
while read -r command; do
	"$mqassay" "$command" --help | sed -n 's/^  ...  *--\([a-z-]*\).*/\1/p; s/^  -., --\([a-z-]*\).*/\1/p' | sort -u >"$dir/options"
	ok "the manual has $command and its options" sh -c "grep -qx '   $command' '$dir/manual' && [ -s '$dir/options' ] &&
		while read -r o; do grep -q -e \" --\$o\\\\( \\\\|\$\\\\)\" '$dir/manual' || { echo \$o; exit 1; }; done <'$dir/options'"
done <"$dir/commands"

# ---- completion ----

for shell in bash zsh fish; do
	"$mqassay" --completion $shell >"$dir/$shell"
	if command -v $shell >/dev/null; then ok "$shell reads it" $shell -n "$dir/$shell"; else echo "skip $shell reads it: no $shell here"; fi
	while read -r command; do
		ok "$shell knows $command" grep -q "$command" "$dir/$shell"
	done <"$dir/commands"
done

# completes NAME OFFERED LINE WORD...: bash, which has cut the line into these words, is offered that among others
completes() {
	name=$1 offered=$2
	shift 2
	found=$(bash -c '. "$1"; program=$2; COMP_LINE=$3; shift 3; COMP_POINT=${#COMP_LINE} COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
		_mqassay "$program"; printf "%s\n" "${COMPREPLY[@]}"' bash "$dir/bash" "$mqassay" "$@" 2>&1)
	if printf '%s\n' "$found" | grep -qxF -e "$offered"; then
		echo "ok completes $name"
	else
		echo "not ok completes $name: expected $offered, got $(printf %s "$found" | head -c 200 | tr '\n' ' ')"
	fi
}

completes 'a command'            conform      'mqassay con' mqassay con
completes 'commands'             explain      'mqassay ' mqassay ''
completes 'after help'           lint         'mqassay help l' mqassay help l
completes 'an option'            --select     'mqassay conform --se' mqassay conform --se
completes 'a choice'             3.1.1        'mqassay conform --mqtt 3' mqassay conform --mqtt 3
completes 'a choice behind ='    3.1.1        'mqassay conform --mqtt=3' mqassay conform --mqtt = 3
completes 'a choice, nothing yet' all         'mqassay conform --mqtt=' mqassay conform --mqtt =
completes 'a rule'               MQTT-3.3.1-2 'mqassay explain 5:MQTT-3.3.1-' mqassay explain 5 : MQTT-3.3.1-
completes 'a rule from its version' MQTT-3.3.1-2 'mqassay explain 5:' mqassay explain 5 :
completes 'a fault'              MQTT-4.3.3-8/PUBREC 'mqassay conform --break 5:MQTT-4.3.3-8' mqassay conform --break 5 : MQTT-4.3.3-8
completes 'a test'               common/qos/qos2-repeated.scn 'mqassay conform -s common/qos/qos2-rep' mqassay conform -s common/qos/qos2-rep
completes 'a capability'       retain_available 'mqassay conform --without retain' mqassay conform --without retain
completes 'a file'               Makefile     'mqassay lint Makef' mqassay lint Makef
completes 'a file of an option'  README.md    'mqassay conform --known=READ' mqassay conform --known = READ

#!/bin/sh
# The broker with an access list, as others see it: mosquitto's clients with different rights, our own suite with a profile that
# names what is denied, SIGHUP, and what a list that is wrong comes to.

cd "$(dirname "$0")/../.." || exit 3
LC_ALL=C
export LC_ALL
MQASSAY=${MQASSAY:-$PWD/build/mqassay}
tmp=$(mktemp -d) || exit 3
broker_pid=
sub_pid=
trap 'kill $broker_pid $sub_pid 2>/dev/null; rm -rf "$tmp"' EXIT
trap 'exit 3' HUP INT TERM
failed=0

ok() { echo "ok $1"; }
not_ok() { echo "not ok $1: $2"; failed=1; }
is() {			# NAME EXPECTED RECEIVED
	if [ "$2" = "$3" ]; then ok "$1"; else not_ok "$1" "expected '$2', received '$3'"; fi
}
contains() {		# NAME TEXT FILE
	if grep -q -F -e "$2" "$3"; then ok "$1"; else not_ok "$1" "no '$2' in: $(head -c 400 "$3" | tr '\n' '|')"; fi
}

# refuses NAME CODE TEXT OPTION...: one line on stderr that has the text, nothing on stdout
refuses() {
	name=$1 expected=$2 text=$3
	shift 3
	timeout 10 "$MQASSAY" broker "$@" >"$tmp/out" 2>"$tmp/err"
	is "$name: exit $expected" "$expected" $?
	is "$name: one line" 1 "$(wc -l <"$tmp/err")"
	contains "$name: says what is wrong" "$text" "$tmp/err"
	is "$name: nothing else" '' "$(cat "$tmp/out")"
}

start() {		# OPTION...: sets broker_pid and port; what it says later is read from 4
	mkfifo "$tmp/broker.out"
	"$MQASSAY" broker --listen tcp://127.0.0.1:0 "$@" >"$tmp/broker.out" 2>"$tmp/broker.err" &
	broker_pid=$!
	exec 4<"$tmp/broker.out"
	read -r line <&4
	rm "$tmp/broker.out"
	port=${line##*:}
}

stop() {
	kill "$broker_pid"
	wait "$broker_pid"
	is "$1: the broker's end" 0 $?
	broker_pid=
	exec 4<&-
}

pub() {			# USER OPTION...
	user=$1
	shift
	timeout 10 mosquitto_pub -h 127.0.0.1 -p "$port" -u "$user" -P "secret of $user" "$@"
}
sub() {
	user=$1
	shift
	timeout 10 mosquitto_sub -h 127.0.0.1 -p "$port" -u "$user" -P "secret of $user" "$@"
}

# ---- clients ----

for user in alice bob 'a+b' '+'; do
	printf 'secret of %s\n' "$user" | "$MQASSAY" broker --make-verifier "$user"
done >"$tmp/users"
cat >"$tmp/acl" <<'END'
# what is measured is everybody's to read
deny   subscribe  plant/secret/#
allow  subscribe  plant/#
allow  publish    plant/line1/#   user alice
allow  both       home/%u/#
allow  both       dev/%c
allow  subscribe  $SYS/#          user alice
END
start --users "$tmp/users" --acl "$tmp/acl"
for version in mqttv311 mqttv5; do
	# a subscriber stays, with a marker for the end; what a denied publisher sends is not among what it gets
	mkfifo "$tmp/sub.out"
	timeout 20 stdbuf -oL mosquitto_sub -h 127.0.0.1 -p "$port" -u bob -P 'secret of bob' -V $version -d -q 1 -t 'plant/line1/#' -v >"$tmp/sub.out" 2>&1 &
	sub_pid=$!
	exec 3<"$tmp/sub.out"
	rm "$tmp/sub.out"
	while read -r line <&3; do case $line in *SUBACK*) break ;; esac; done
	pub bob -V $version -t plant/line1/t -q 1 -m "from bob" >"$tmp/pub" 2>&1
	is "$version: who may not publish is told, or is not" 0 $?
	[ $version = mqttv311 ] || contains 'mqttv5: with a reason code' 'Not authorized' "$tmp/pub"
	pub bob -V $version -t plant/line1/t -q 0 -m "from bob"
	pub bob -V $version -t plant/line1/t -q 2 -m "from bob" >/dev/null 2>&1
	pub alice -V $version -t plant/line1/t -q 1 -m "from alice"
	is "$version: who may publish can" 0 $?
	while read -r line <&3; do case $line in plant*) break ;; esac; done
	is "$version: the first that comes is from who may publish" 'plant/line1/t from alice' "$line"
	exec 3<&-
	kill "$sub_pid"
	wait "$sub_pid" 2>/dev/null
	sub_pid=

	pub alice -V $version -t home/alice/x -r -q 1 -m 'of alice'
	is "$version: a user reads what is hers" 'of alice' "$(sub alice -V $version -t 'home/alice/#' -C 1 -W 5)"
	for denied in 'home/alice/x' 'home/+/x' 'home/#' '#' 'plant/secret/x' 'plant/#' '$SYS/#'; do
		sub bob -V $version -t "$denied" -E -W 2 >"$tmp/sub" 2>&1
		contains "$version: bob may not subscribe to $denied" 'denied' "$tmp/sub"
	done
	for user in 'a+b' '+'; do
		sub "$user" -V $version -t "home/$user/x" -E -W 2 >"$tmp/sub" 2>&1
		[ "$user" = + ] || [ -s "$tmp/sub" ] || not_ok "$version: a name with a wildcard" 'granted'
		[ "$user" != + ] || contains "$version: whose name is a wildcard gets nothing by it" 'denied' "$tmp/sub"
	done
	sub alice -V $version -t '$SYS/x' -E -W 2 >"$tmp/sub" 2>&1
	is "$version: \$SYS by a rule of its own" '' "$(cat "$tmp/sub")"
	timeout 10 mosquitto_pub -h 127.0.0.1 -p "$port" -u bob -P 'secret of bob' -V $version -t x -m x \
		--will-topic plant/line1/t --will-payload w >"$tmp/pub" 2>&1
	case $version in mqttv311) words='not authorised' ;; *) words='Not authorized' ;; esac
	contains "$version: a will that may not be published is refused" "$words" "$tmp/pub"
	sub bob -V $version -i c7 -t dev/c7 -E -W 2 >"$tmp/sub" 2>&1
	is "$version: a topic of its client id" '' "$(cat "$tmp/sub")"
	sub bob -V $version -i c7 -t dev/c8 -E -W 2 >"$tmp/sub" 2>&1
	contains "$version: no topic of another client id" 'denied' "$tmp/sub"
done
timeout 10 mosquitto_sub -h 127.0.0.1 -p "$port" -u bob -P 'secret of bob' -V mqttv31 -t '#' -E -W 2 >"$tmp/sub" 2>&1
is '3.1 has no code that says no' 0 $?

# ---- the files are read again ----

sub bob -V mqttv311 -i later -c -t 'plant/line1/#' -t home/bob/x -q 1 -E
echo 'allow both a#' >"$tmp/wrong"
printf 'secret of carol\n' | "$MQASSAY" broker --make-verifier carol >>"$tmp/users"
cp "$tmp/acl" "$tmp/acl.good"
cp "$tmp/wrong" "$tmp/acl"
kill -HUP "$broker_pid"
deadline=100
while ! grep -q 'stays in force' "$tmp/broker.err" && [ $deadline -gt 0 ]; do deadline=$((deadline - 1)); sleep 0.05; done
contains 'a wrong list: its place' "$tmp/acl:1:12: expected a topic filter" "$tmp/broker.err"
contains 'a wrong list: what stays in force' 'what was read before stays in force' "$tmp/broker.err"
pub alice -V mqttv5 -t plant/line1/t -q 1 -m 'still allowed'
is 'a wrong list: alice may still publish' 0 $?
pub carol -V mqttv5 -t home/carol/x -m x >"$tmp/pub" 2>&1
contains 'a wrong list: nor is another user let in' 'Bad User Name or Password' "$tmp/pub"
{ echo 'deny both plant/#'; echo 'allow both #'; } >"$tmp/acl"
kill -HUP "$broker_pid"
read -r line <&4
is 'a right list: is said' 'read again: --users, --acl' "$line"
pub carol -V mqttv5 -t home/carol/x -m x
is 'a right list: and a new user is let in' 0 $?
pub bob -V mqttv5 -t home/bob/x -q 1 -m 'allowed now'
is 'what waited and is denied now does not come' 'allowed now' "$(sub bob -V mqttv311 -i later -c -t home/bob/x -q 1 -C 1 -W 5)"
stop 'with an access list'

# ---- our own suite, as any user would play it ----

{ echo 'deny publish closed/#'; echo 'deny subscribe unseen/#'; echo 'allow both #'; } >"$tmp/acl"
{ echo 'name listed'; echo 'denies publish closed/#'; echo 'denies subscribe unseen/#'; } >"$tmp/profile"
start --acl "$tmp/acl"
"$MQASSAY" conform "localhost:$port" --profile "$tmp/profile" --select '*/acl/*' >"$tmp/suite" 2>&1
is 'conform with a profile: exit 0' 0 $?
contains 'conform with a profile: all pass' '60 tests on listed: 60 pass, 0 fail' "$tmp/suite"
"$MQASSAY" conform "localhost:$port" --select common/acl/will.scn --select common/ping/answered.scn >"$tmp/suite" 2>&1
contains 'conform without one: skipped with the reason' 'needs denied_publish: no --profile says `denies publish LEVEL/#`' "$tmp/suite"
sed 's/closed/open/' "$tmp/profile" >"$tmp/untrue"
"$MQASSAY" conform "localhost:$port" --profile "$tmp/untrue" --select common/acl/publish-reaches-nobody.scn --artifacts "$tmp/artifacts" >"$tmp/suite" 2>&1
is 'a profile that is not true: exit 1' 1 $?
contains 'a profile that is not true: by which rule' 'denied-publish' "$tmp/suite"
stop 'with a profile'

# Mosquitto has access lists of its own kind, in which whatever is not named is denied.
PATH=$PATH:/usr/sbin
if command -v mosquitto >/dev/null; then
	{ echo 'topic read closed/#'; echo 'topic write unseen/#'; echo 'topic readwrite +'; echo 'topic readwrite +/a'; } >"$tmp/mosquitto.acl"
	{ echo "user $(id -un)"; echo 'allow_anonymous true'; echo "acl_file $tmp/mosquitto.acl"; echo 'listener PORT 127.0.0.1'; } >"$tmp/mosquitto.conf"
	"$MQASSAY" conform --exec "sed s/PORT/{port}/ $tmp/mosquitto.conf >{dir}/conf; exec mosquitto -c {dir}/conf" \
		--profile "$tmp/profile" --select '*/acl/*' >"$tmp/suite" 2>&1
	is 'Mosquitto with an access list: exit 0' 0 $?
	contains 'Mosquitto with an access list' '60 tests on listed: 56 pass, 0 fail, 4 skip' "$tmp/suite"
else
	echo 'skip Mosquitto with an access list: it is not installed'
fi

# ---- lists that are wrong ----

refuses 'no such file' 3 'No such file' --acl "$tmp/none"
refuses 'a folder' 3 'directory' --acl "$tmp"
refuses 'a filter that is none' 2 "$tmp/wrong:1:12: expected a topic filter" --acl "$tmp/wrong"
refuses 'rules about users that nobody checks' 2 "$tmp/acl.good:4:1: a rule about a user, but anybody can take any name: check them by --users FILE" --acl "$tmp/acl.good"
{ echo 'allow both #'; echo 'deny publish plant/#'; } >"$tmp/late"
refuses 'a rule that comes too late' 2 "$tmp/late:2:1: line 1 decides first" --acl "$tmp/late"
printf 'allow both a\033[2J\n' >"$tmp/escape"
refuses 'an escape' 2 'a control character' --acl "$tmp/escape"
is 'an escape: none on stderr' '' "$(grep -a -F "$(printf '\033')" "$tmp/err")"
exit $failed

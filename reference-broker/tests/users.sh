#!/bin/sh
# The broker with a users file, as others see it: mosquitto's clients with right and wrong logins, our own suite with one,
# and what a file or an option that is wrong comes to.

cd "$(dirname "$0")/../.." || exit 3
LC_ALL=C
export LC_ALL
MQASSAY=${MQASSAY:-$PWD/build/mqassay}
tmp=$(mktemp -d) || exit 3
broker_pid=
trap 'kill $broker_pid 2>/dev/null; rm -rf "$tmp"' EXIT
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

start() {		# OPTION...: sets broker_pid and port
	mkfifo "$tmp/broker.out"
	"$MQASSAY" broker --listen tcp://127.0.0.1:0 "$@" >"$tmp/broker.out" 2>"$tmp/broker.err" &
	broker_pid=$!
	read -r line <"$tmp/broker.out"
	rm "$tmp/broker.out"
	port=${line##*:}
}

stop() {
	kill "$broker_pid"
	wait "$broker_pid"
	is "$1: the broker's end" 0 $?
	is "$1: nothing on its stderr" '' "$(cat "$tmp/broker.err")"
	broker_pid=
}

# ---- making a file ----

printf 'secret of alice\n' | "$MQASSAY" broker --make-verifier alice >"$tmp/users" 2>"$tmp/err"
is 'a verifier: exit 0' 0 $?
is 'a verifier: nothing on stderr' '' "$(cat "$tmp/err")"
printf 'secret of bob' | "$MQASSAY" broker --make-verifier bob >>"$tmp/users"
is 'two users' 2 "$(grep -c -E '^(alice|bob):SCRAM-SHA-256\$4096:[A-Za-z0-9+/=]{24}\$[A-Za-z0-9+/=]{44}:[A-Za-z0-9+/=]{44}$' "$tmp/users")"
is 'no password in the file' '' "$(grep secret "$tmp/users")"
refuses 'no password' 3 'password' --make-verifier carol
head -c 3000 /dev/zero | tr '\0' x >"$tmp/long"
timeout 10 "$MQASSAY" broker --make-verifier carol <"$tmp/long" >"$tmp/out" 2>"$tmp/err"
is 'a password that is too long: exit 3' 3 $?
is 'a password that is too long: no verifier' '' "$(cat "$tmp/out")"
refuses 'a name with a colon' 2 '255 bytes' --make-verifier a:b

# ---- clients ----

start --users "$tmp/users"
mosquitto_version() {
	case $1 in 3.1) echo mqttv31 ;; 3.1.1) echo mqttv311 ;; *) echo mqttv5 ;; esac
}
# logs_in NAME EXPECTED VERSION OPTION...
logs_in() {
	name=$1 expected=$2 version=$3
	shift 3
	timeout 10 mosquitto_pub -h 127.0.0.1 -p "$port" -V "$(mosquitto_version "$version")" -t users/x -m x -q 1 "$@" >"$tmp/pub" 2>&1
	code=$?
	case $expected in
	yes) is "mosquitto_pub $version, $name: let in" 0 $code ;;
	*) [ $code -ne 0 ] || not_ok "mosquitto_pub $version, $name" 'let in'
	   contains "mosquitto_pub $version, $name: refused" "$expected" "$tmp/pub" ;;
	esac
}
for version in 3.1 3.1.1 5; do
	wrong='bad user name or password' nobody='not authorised'
	[ $version = 5 ] && wrong='Bad User Name or Password' nobody='Not authorized'
	logs_in 'alice' yes $version -u alice -P 'secret of alice'
	logs_in 'alice again' yes $version -u alice -P 'secret of alice'
	logs_in 'bob' yes $version -u bob -P 'secret of bob'
	logs_in "alice with bob's password" "$wrong" $version -u alice -P 'secret of bob'
	logs_in 'alice without a password' "$wrong" $version -u alice
	logs_in 'a stranger' "$wrong" $version -u carol -P 'secret of alice'
	logs_in 'nobody' "$nobody" $version
done

# A session of alice, and bob with its client id.
timeout 10 mosquitto_sub -h 127.0.0.1 -p "$port" -V mqttv311 -u alice -P 'secret of alice' -i kept -c -t users/kept -q 1 -E
is "alice's session" 0 $?
timeout 10 mosquitto_pub -h 127.0.0.1 -p "$port" -u bob -P 'secret of bob' -t users/kept -q 1 -m 'for alice'
timeout 10 mosquitto_sub -h 127.0.0.1 -p "$port" -V mqttv311 -u bob -P 'secret of bob' -i kept -c -t users/kept -q 1 -C 1 -W 3 >"$tmp/sub" 2>&1
contains 'bob with its client id: refused' 'identifier rejected' "$tmp/sub"
is "alice's session is there with what waited" 'for alice' \
	"$(timeout 10 mosquitto_sub -h 127.0.0.1 -p "$port" -V mqttv311 -u alice -P 'secret of alice' -i kept -c -t users/kept -q 1 -C 1)"

# ---- our own suite, as any user would play it ----

printf 'secret of alice\n' >"$tmp/password"
"$MQASSAY" conform "localhost:$port" --user alice --password-file "$tmp/password" --scenarios scenarios/common/login \
	-D 'other_user="bob"' -D 'other_password="secret of bob"' >"$tmp/suite" 2>&1
is 'conform with a login: exit 0' 0 $?
contains 'conform with a login: all pass' '29 pass, 0 fail' "$tmp/suite"
"$MQASSAY" conform "localhost:$port" --user alice --password-file "$tmp/password" --select '5/auth/*' >"$tmp/suite" 2>&1
is 'SCRAM-SHA-256: exit 0' 0 $?
contains 'SCRAM-SHA-256: all pass' '61 pass, 0 fail' "$tmp/suite"
"$MQASSAY" conform "localhost:$port" --user alice --select '5/auth/scram*' >"$tmp/suite" 2>&1
is 'SCRAM-SHA-256 without a password: exit 3' 3 $?
"$MQASSAY" conform "localhost:$port" --select common/ping/answered.scn >"$tmp/suite" 2>&1
is 'conform without a login: exit 3' 3 $?
contains 'conform without a login: says why' 'Not_authorized' "$tmp/suite"
stop 'with users'

start --users "$tmp/users" --break 5:MQTT-4.12.1-1/refused
printf 'secret of alice\n' >"$tmp/password"
"$MQASSAY" conform "localhost:$port" --user alice --password-file "$tmp/password" --select '5/auth/reauthenticate.scn#success' >"$tmp/suite" 2>&1
is 'a transcript: exit 1' 1 $?
contains 'a transcript: no proof' ',p=***"' "$tmp/suite"
contains 'a transcript: no signature' '"v=***"' "$tmp/suite"
"$MQASSAY" conform "localhost:$port" --user alice --password-file "$tmp/password" --secrets --select '5/auth/reauthenticate.scn#success' >"$tmp/suite" 2>&1
is 'a transcript with --secrets' '' "$(grep -F '***' "$tmp/suite")"
stop 'with a fault'

# What scram() cannot do is a mistake of the scenario, and a target without the method is told apart.
mkdir "$tmp/own"
misuse() {		# NAME TEXT STEP
	printf 'scenario "x"\nmqtt 5\ncites 5 MQTT-4.12.0-2\nneeds auth=SCRAM-SHA-256\nactor a authentication_method="SCRAM-SHA-256"\n%s\na <- AUTH\n' "$3" >"$tmp/own/x.scn"
	[ "$1" != 'another method' ] || sed -i 's/auth=SCRAM-SHA-256/auth="x-none"/' "$tmp/own/x.scn"
	timeout 10 "$MQASSAY" conform --scenarios "$tmp/own" >"$tmp/suite" 2>&1
	is "$1: exit 3" 3 $?
	contains "$1: says why" "$2" "$tmp/suite"
}
misuse 'a spoilt proof without a challenge' 'no challenge has come' 'a -> CONNECT authentication_data=scram(wrong)'
misuse 'scram() elsewhere' 'scram() is what authentication_data is' 'a -> CONNECT authentication_data="x" user_property=["k":scram()]'
misuse 'scram() without a name' '1 to 1024 bytes' 'a -> CONNECT user_name="" authentication_data=scram()'
misuse 'another method' 'does not offer this' 'a -> CONNECT authentication_data=scram()'
start
"$MQASSAY" conform "localhost:$port" --user alice --password-file "$tmp/password" --select '5/auth/scram.scn' >"$tmp/suite" 2>&1
is 'without the method: exit 3' 3 $?
contains 'without the method: says what came' 'the target says: CONNACK reason=Bad_authentication_method' "$tmp/suite"
stop 'without users'

# ---- who may be reached ----

start --users "$tmp/users" --listen tcp://0.0.0.0:0
stop 'a public address with users'
refuses 'a public address without users' 2 'say by --users FILE who may' --listen tcp://0.0.0.0:0

# ---- another server ----

start --redirect mqtt.example:1884
timeout 10 mosquitto_pub -h 127.0.0.1 -p "$port" -V mqttv5 -t x -m x >"$tmp/pub" 2>&1
contains 'a client of 5 is sent elsewhere' 'Use another server' "$tmp/pub"
timeout 10 mosquitto_pub -h 127.0.0.1 -p "$port" -V mqttv311 -t x -m x >"$tmp/pub" 2>&1
contains 'a client of 3.1.1 is told that nobody serves here' 'broker unavailable' "$tmp/pub"
stop 'another server'
start --successor mqtt.example
mkfifo "$tmp/sub.out"
timeout 10 stdbuf -oL mosquitto_sub -h 127.0.0.1 -p "$port" -V mqttv5 -d -t x >"$tmp/sub.out" 2>&1 &
sub_pid=$!
exec 3<"$tmp/sub.out"
while read -r line <&3; do
	case $line in *SUBACK*) break ;; esac
done
stop 'a broker with a successor'
while read -r line <&3; do
	case $line in *DISCONNECT*) break ;; esac
done
exec 3<&-
kill "$sub_pid" 2>/dev/null		# it would try to connect again
wait "$sub_pid" 2>/dev/null
is 'a client of 5 is sent to the successor' 'Received DISCONNECT (156)' "$line"
refuses 'no host' 2 '--redirect: expected HOST' --redirect ''
refuses 'two of them' 2 'only one' --redirect a --redirect-for-good b
refuses 'an information with an escape' 2 'printable' --response-information "$(printf 'a\033b')"

# ---- files that are wrong ----

refuses 'no such file' 3 'No such file' --users "$tmp/none"
refuses 'a folder' 3 'directory' --users "$tmp"
printf '# mine\nbob:secret\n' >"$tmp/plain"
refuses 'a password as it is' 2 "mqassay: $tmp/plain:2:5: expected NAME:SCRAM-SHA-256" --users "$tmp/plain"
cat "$tmp/users" "$tmp/users" >"$tmp/twice"
refuses 'a user twice' 2 "mqassay: $tmp/twice:3:1: this user stands in line 1 already" --users "$tmp/twice"
sed 's/4096/1000000/' "$tmp/users" >"$tmp/slow"
refuses 'too many iterations' 2 '4096 to 100000 iterations' --users "$tmp/slow"
printf 'al\033ice:x\n' >"$tmp/escape"
refuses 'an escape in a name' 2 'no control characters' --users "$tmp/escape"
is 'an escape in a name: none on stderr' '' "$(grep -a -F "$(printf '\033')" "$tmp/err")"

# ---- configurations of the one in process ----

"$MQASSAY" conform --broker list >"$tmp/out" 2>"$tmp/err"
is 'the configurations: exit 0' 0 $?
contains 'the configurations have names' 'limited ' "$tmp/out"
for options in nonsense --no-retan '--no-retain x' '--maximum-qos 3' "--users $tmp/plain"; do
	"$MQASSAY" conform --broker "$options" --select common/ping/answered.scn >"$tmp/out" 2>"$tmp/err"
	is "conform --broker '${options%% /*}': exit 2" 2 $?
	is "conform --broker '${options%% /*}': one line" 1 "$(wc -l <"$tmp/err")"
done
"$MQASSAY" conform --broker limited --select 5/capability/retain.scn --select common/retain/dollar.scn >"$tmp/out" 2>"$tmp/err"
is 'limited: exit 0' 0 $?
contains 'limited: the feature that is not there is tested as such' '2 pass, 0 fail' "$tmp/out"
contains 'limited: what it cannot serve is skipped' 'needs retain_available; CONNACK says 0' "$tmp/out"
"$MQASSAY" conform --broker "--users $tmp/users" --user bob --password-file "$tmp/password" --select common/ping/answered.scn >"$tmp/out" 2>"$tmp/err"
is "bob with alice's password: exit 3" 3 $?
exit $failed

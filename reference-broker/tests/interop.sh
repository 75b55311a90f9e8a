#!/bin/sh
# The reference broker among clients that others wrote: mosquitto's, Paho C, Paho Python, each as publisher and as
# subscriber, in 3.1, 3.1.1 and 5. Then the broker as a command: its end, its exit codes.
# The broker is the variant with sanitizers, so that its end shows leaks too.
#
# A subscriber writes into a FIFO and lives under `timeout`: reading its next line waits for the event, with a deadline.

cd "$(dirname "$0")/../.." || exit 3
LC_ALL=C
export LC_ALL
tmp=$(mktemp -d) || exit 3
broker_pid= sub_pid= will_pid=
trap 'kill $broker_pid $sub_pid $will_pid 2>/dev/null; rm -rf "$tmp"' EXIT
trap 'exit 3' HUP INT TERM
failed=0

ok() { echo "ok $1"; }
not_ok() { echo "not ok $1: $2"; failed=1; }
# is NAME EXPECTED RECEIVED
is() {
	if [ "$2" = "$3" ]; then ok "$1"; else not_ok "$1" "expected '$(printf %.300s "$2")', received '$(printf %.300s "$3")'"; fi
}
# contains NAME TEXT FILE
contains() {
	if grep -q -F -e "$2" "$3"; then ok "$1"; else not_ok "$1" "no '$2' in: $(head -c 400 "$3" | tr '\n' '|')"; fi
}

# ---- what is needed ----

MQASSAY=${MQASSAY:-$PWD/build/mqassay}
san=$PWD/build/san/mqassay
python=/usr/bin/python3		# the one that Debian's python3-paho-mqtt is for
if ! make -s -j"$(nproc)" SAN=address,undefined "build/san/mqassay" >"$tmp/make" 2>&1; then
	cat "$tmp/make"
	not_ok 'the broker with sanitizers' 'does not build'
	exit 1
fi
if ! ${CC:-cc} -std=c11 -D_GNU_SOURCE -Wall -Wextra -O1 -o "$tmp/paho_client" reference-broker/tests/paho_client.c -lpaho-mqtt3c; then
	not_ok 'Paho C' 'does not build; make deps installs libpaho-mqtt-dev'
	exit 1
fi
if ! $python -c 'import paho.mqtt.client'; then
	not_ok 'Paho Python' "$python has no paho.mqtt; make deps installs python3-paho-mqtt"
	exit 1
fi
if ! command -v mosquitto_sub >/dev/null; then
	not_ok 'mosquitto_sub' 'not found; make deps installs mosquitto-clients'
	exit 1
fi

# ---- the broker ----

# start PROGRAM: sets broker_pid and port; its stderr goes to $tmp/broker.err
start() {
	mkfifo "$tmp/broker.out"
	"$1" broker --listen tcp://127.0.0.1:0 >"$tmp/broker.out" 2>"$tmp/broker.err" &
	broker_pid=$!
	read -r line <"$tmp/broker.out"
	rm "$tmp/broker.out"
	port=${line##*:}
}

# stop SIGNAL: sets code
stop() {
	kill -"$1" "$broker_pid"
	wait "$broker_pid"
	code=$?
	broker_pid=
}

# ---- the clients ----

paho_c="$tmp/paho_client"
paho_python="$python reference-broker/tests/paho_client.py"
mosquitto_version() {
	case $1 in 3.1) echo mqttv31 ;; 3.1.1) echo mqttv311 ;; *) echo mqttv5 ;; esac
}

# publish CLIENT VERSION TOPIC QOS RETAIN FILE
publish() {
	case $1 in
	mosquitto)
		retain=; [ "$5" = 1 ] && retain=-r
		timeout 12 mosquitto_pub -h 127.0.0.1 -p "$port" -V "$(mosquitto_version "$2")" -t "$3" -q "$4" $retain -f "$6" ;;
	*)
		eval "program=\$$1"
		timeout 12 $program "$port" "$2" pub "$3" "$4" "$5" <"$6" >/dev/null ;;
	esac
}

# subscribe CLIENT VERSION FILTER QOS N [ID]: the lines `message QOS RETAIN TOPIC LENGTH PAYLOAD`, and one when subscribed.
# In a subshell that becomes the client: who ends it ends the client.
subscribe() (
	case $1 in
	mosquitto)
		version=$(mosquitto_version "$2")
		session=; [ -n "$6" ] && session="-c -i $6"
		[ -n "$6" ] && [ "$2" = 5 ] && session="$session -x 300"
		count="-C $5"; [ "$5" = 0 ] && count=-E
		exec timeout 12 stdbuf -oL mosquitto_sub -h 127.0.0.1 -p "$port" -V "$version" -t "$3" -q "$4" $session $count \
			-d -F 'message %q %r %t %l %p' ;;
	*)
		eval "program=\$$1"
		exec timeout 12 $program "$port" "$2" sub "$3" "$4" "$5" $6 ;;
	esac
)

# Starts a subscriber, and waits until it is subscribed; its messages are read by messages().
subscriber() {
	mkfifo "$tmp/sub"
	subscribe "$@" >"$tmp/sub" &
	sub_pid=$!
	exec 3<"$tmp/sub"
	rm "$tmp/sub"
	while read -r line <&3; do
		case $line in Subscribed* | subscribed*) return 0 ;; esac
	done
	return 1
}

messages() {		# all until the subscriber ends, sorted: two topics have no order
	grep -a '^message ' <&3 | sort
	exec 3<&-
	wait "$sub_pid"
	sub_pid=
}

# ---- what clients do ----

clients='mosquitto paho_c paho_python'
start "$san"
n=0
for q in 0 1 2; do printf 'payload %s, "quoted" \303\274' $q >"$tmp/payload$q"; done
head -c 150000 /dev/urandom | base64 -w 0 | head -c 200000 >"$tmp/large"

expected_messages() {	# TOPIC
	for q in 0 1 2; do
		printf 'message %s 0 %s/%s %s %s\n' $q "$1" $q "$(wc -c <"$tmp/payload$q")" "$(cat "$tmp/payload$q")"
	done
}

# passes PUBLISHER VERSION SUBSCRIBER VERSION
passes() {
	n=$((n + 1))
	topic=interop/$n
	subscriber "$3" "$4" "$topic/+" 2 3 || { not_ok "$1 $2 to $3 $4" 'not subscribed'; return; }
	for q in 0 1 2; do
		publish "$1" "$2" $topic/$q $q 0 "$tmp/payload$q" || not_ok "$1 $2 publishes at QoS $q" "exit $?"
	done
	is "$1 $2 to $3 $4: QoS 0, 1 and 2" "$(expected_messages $topic)" "$(messages)"
}

for from in $clients; do
	for to in $clients; do
		for version in 3.1 3.1.1 5; do
			passes $from $version $to $version
		done
	done
done
passes paho_c 3.1 mosquitto 5
passes mosquitto 5 paho_python 3.1.1
passes paho_python 3.1.1 paho_c 5
passes paho_c 5 paho_python 3.1

for client in $clients; do
	for version in 3.1 3.1.1 5; do
		name="$client $version"
		topic=interop/$client/$version

		publish $client $version $topic/retained 1 1 "$tmp/payload1"
		is "$name: a retained message" "message 1 1 $topic/retained $(wc -c <"$tmp/payload1") $(cat "$tmp/payload1")" \
			"$(subscribe $client $version "$topic/#" 2 1 | grep -a '^message ')"
		publish mosquitto $version $topic/retained 0 1 /dev/null

		subscriber $client $version $topic/large 1 1
		publish $client $version $topic/large 1 0 "$tmp/large"
		is "$name: 200 kB" "$(printf 'message 1 0 %s 200000 ' $topic/large | cat - "$tmp/large" | cksum)" "$(messages | tr -d '\n' | cksum)"

		id=kept$client$version
		id=$(printf %s "$id" | tr -d '._')
		subscribe $client $version $topic/kept 2 0 $id >/dev/null
		publish mosquitto $version $topic/kept 1 0 "$tmp/payload1"
		publish paho_c $version $topic/kept 2 0 "$tmp/payload2"
		is "$name: a session resumed with what was queued" "message 1 0 $topic/kept $(wc -c <"$tmp/payload1") $(cat "$tmp/payload1")
message 2 0 $topic/kept $(wc -c <"$tmp/payload2") $(cat "$tmp/payload2")" \
			"$(subscribe $client $version $topic/kept 2 2 $id | grep -a '^message ')"
	done
done

# A will, of a client that is killed.
for version in 3.1 3.1.1 5; do
	for client in $clients; do
		topic=interop/will/$client/$version
		subscriber paho_c $version $topic 2 1
		mkfifo "$tmp/will"
		case $client in
		mosquitto)	# waits for its stdin, connected
			mkfifo "$tmp/never"
			stdbuf -oL mosquitto_pub -h 127.0.0.1 -p "$port" -V "$(mosquitto_version $version)" -d -t $topic/x -l \
				--will-topic $topic --will-qos 1 --will-payload gone <"$tmp/never" >"$tmp/will" 2>&1 &
			will_pid=$!
			exec 4>"$tmp/never"
			rm "$tmp/never" ;;
		*)
			eval "program=\$$client"
			$program "$port" $version will $topic 1 gone >"$tmp/will" &
			will_pid=$! ;;
		esac
		while read -r line; do
			case $line in *CONNACK* | connected*) break ;; esac
		done <"$tmp/will"
		kill -KILL $will_pid
		wait $will_pid 2>/dev/null
		will_pid=
		exec 4>&-
		rm "$tmp/will"
		is "$client $version: the will of a killed client" "message 1 0 $topic 4 gone" "$(messages)"
	done
done

# ---- the broker as a command ----

"$MQASSAY" broker --listen "tcp://127.0.0.1:$port" >"$tmp/out" 2>"$tmp/err"
is 'a port in use: exit 3' 3 $?
is 'a port in use: one line' 1 "$(wc -l <"$tmp/err")"
contains 'a port in use: the line names it' "127.0.0.1:$port" "$tmp/err"

subscriber mosquitto 5 interop/end 2 1		# a client that is there when the end comes
stop TERM
is 'SIGTERM: exit 0, no leak' 0 $code
is 'nothing on stderr, in all this time' '' "$(cat "$tmp/broker.err")"
messages >/dev/null
start "$MQASSAY"
stop INT
is 'SIGINT: exit 0' 0 $code

for url in tcp://0.0.0.0:0 tcp://192.0.2.1:0 'tcp://[::]:0'; do
	timeout 10 "$MQASSAY" broker --listen $url >"$tmp/out" 2>"$tmp/err"
	is "$url: exit 2" 2 $?
	contains "$url: says why" 'say by --users FILE who may' "$tmp/err"
done
timeout 10 "$MQASSAY" broker --break 5:MQTT-9.9.9-9 >"$tmp/out" 2>"$tmp/err"
is 'an unknown fault: exit 2' 2 $?
contains 'an unknown fault: where to find those there are' '--break list' "$tmp/err"
timeout 10 "$MQASSAY" broker --break list >"$tmp/out" 2>"$tmp/err"
is '--break list: exit 0' 0 $?
contains '--break list: names rules' '5:MQTT-3.3.1-2' "$tmp/out"
is '--break list: nothing on stderr' '' "$(cat "$tmp/err")"
is '--break list: each line says what is broken' 0 "$(grep -c -v -E '^(3\.1|3\.1\.1|5):[^ ]+ +[^ ]' "$tmp/out")"
exit $failed

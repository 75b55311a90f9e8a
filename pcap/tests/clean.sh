#!/bin/sh
# mqassay decode --check on clean traffic: Mosquitto's broker with its own clients and Paho's, in 3.1, 3.1.1 and 5. Nobody breaks
# a rule, so none may be named. What goes through is captured by a relay (lib/relay.py). Then what `conform --pcap` wrote of
# the whole suite against the built-in broker, which breaks no rule either.
# Run from the top folder with the program in $MQASSAY.

here=$(dirname "$0")
mqassay=${MQASSAY:-build/mqassay}
python=/usr/bin/python3		# the one that Debian's python3-paho-mqtt is for
PATH=$PATH:/usr/sbin
dir=$(mktemp -d) || exit 3
pids=
trap 'kill $pids 2>/dev/null; rm -rf "$dir"' EXIT
trap 'exit 3' HUP INT TERM
failed=0

ok() { echo "ok $1"; }
not_ok() { echo "not ok $1: $2"; failed=1; }

# judged NAME FILE: no violation of WHO (both when empty) in it
judged() {
	"$mqassay" decode --check --view clauses --format json "$2" >"$dir/judged" 2>"$dir/err"
	code=$?
	found=$(grep '"kind":"violation"' "$dir/judged" | grep -e "${3:-.}" | head -n 5)
	packets=$(sed -n 's/.* frames: \([0-9,]*\) MQTT packets.*/\1/p' "$dir/err")
	if [ -n "$found" ]; then
		not_ok "$1" "$found"
	elif [ $code -gt 1 ] || { [ -z "$3" ] && [ $code -ne 0 ]; } || [ -z "$packets" ]; then
		not_ok "$1" "exit $code: $(head -c 300 "$dir/err")"
	else
		ok "$1 ($packets packets)"
	fi
}

# ---- the suite against the built-in broker ----

if "$mqassay" conform --quiet --pcap "$dir/suite.pcapng" >"$dir/out" 2>&1; then
	judged 'the built-in broker breaks no rule in the whole suite' "$dir/suite.pcapng" '"side":"broker"'
else
	not_ok 'the suite' "$(tail -n 3 "$dir/out")"
fi

# ---- the broker and the relay ----

for needed in mosquitto mosquitto_pub mosquitto_sub mosquitto_rr; do
	if ! command -v $needed >/dev/null; then
		echo "skip clean traffic: $needed is missing; make deps installs it"
		exit $failed
	fi
done
broker_port=$($python pcap/tests/lib/ports.py 1)
cat >"$dir/mosquitto.conf" <<EOF
listener $broker_port 127.0.0.1
allow_anonymous true
max_queued_messages 10000
log_type all
EOF
mosquitto -c "$dir/mosquitto.conf" >"$dir/mosquitto.log" 2>&1 &
pids=$!
tries=0
until mosquitto_pub -p "$broker_port" -t up -n 2>/dev/null; do
	tries=$((tries + 1))
	if [ $tries -gt 100 ]; then
		not_ok 'mosquitto' "does not serve: $(cat "$dir/mosquitto.log")"
		exit 1
	fi
	sleep 0.05
done
mkfifo "$dir/port"
"$here/lib/relay.py" "$broker_port" "$dir/clean.pcap" >"$dir/port" 2>"$dir/relay.log" &
relay=$!
pids="$pids $relay"
read -r port <"$dir/port"

# ---- the traffic ----

sub() { timeout 8 mosquitto_sub -p "$port" "$@"; }
pub() { timeout 20 mosquitto_pub -p "$port" "$@"; }

# subscribed ID: waits until the broker has that subscriber's SUBSCRIBE
subscribed() {
	tries=0
	until grep -q "Sending SUBACK to $1\$" "$dir/mosquitto.log" || [ $tries -gt 100 ]; do
		tries=$((tries + 1))
		sleep 0.02
	done
}

# Mosquitto's broker exceeds Receive Maximum now and then, which its mosquitto_sub -C N sets to N: no more than N messages come.

# A subscriber with nothing to hear keeps itself alive.
sub -V mqttv5 -i idle -k 5 -t idle -W 7 >/dev/null 2>&1 &
idle=$!

for v in mqttv31 mqttv311 mqttv5; do
	for q in 0 1 2; do
		id=s$v$q
		sub -V $v -i $id -q $q -t "$v/$q/#" -C 10 >/dev/null &
		one=$!
		sub -V $v -i x$id -q 2 -t "$v/$q/b" -t "$v/$q/c" -C 9 >/dev/null &
		two=$!
		subscribed $id
		subscribed x$id
		pub -V $v -q $q -t "$v/$q/a" -m retained -r
		seq 8 | pub -V $v -q $q -t "$v/$q/b" -l
		pub -V $v -q $q -t "$v/$q/c" -n
		wait $one $two
		sub -V $v -q $q -t "$v/$q/a" -C 1 >/dev/null
		pub -V $v -q $q -t "$v/$q/a" -r -n
	done
	# a will, by a client that vanishes
	sub -V $v -i w$v -t "will/$v" -C 1 >/dev/null &
	watcher=$!
	mosquitto_sub -p "$port" -V $v -i d$v -t none --will-topic "will/$v" --will-payload gone --will-qos 2 --will-retain >/dev/null 2>&1 &
	dies=$!
	subscribed w$v
	subscribed d$v
	kill -9 $dies
	wait $watcher
	pub -V $v -t "will/$v" -r -n
	# a session that is resumed, with messages waiting: fewer than its Receive Maximum, which Mosquitto exceeds
	kept='-c' some='-C 5'
	[ $v = mqttv5 ] && kept='-c -x 600' some='-W 1'
	sub -V $v $kept -i p$v -q 2 -t "kept/$v" -E
	seq 9 | pub -V $v -q 2 -t "kept/$v" -l
	seq 9 | pub -V $v -q 1 -t "kept/$v" -l
	sub -V $v $kept -i p$v -q 2 -t "kept/$v" $some >/dev/null 2>&1
	sub -V $v $kept -i p$v -q 2 -t "kept/$v" -W 1 >/dev/null 2>&1
	# taken over
	timeout 20 mosquitto_sub -p "$port" -V $v -i t$v -t takeover >/dev/null 2>&1 &
	first=$!
	subscribed t$v
	sub -V $v -i t$v -t takeover -E >/dev/null 2>&1
	kill $first 2>/dev/null
done

# properties, aliases, identifiers, shared subscriptions, request and response
sub -V mqttv5 -i props -q 1 -t 'props/#' -C 7 -D subscribe subscription-identifier 7 -D connect topic-alias-maximum 4 >/dev/null &
props=$!
subscribed props
pub -V mqttv5 -q 1 -t props/a -m x -D publish content-type text/plain -D publish user-property k v -D publish user-property k w \
	-D publish message-expiry-interval 60 -D publish payload-format-indicator 1 -D publish correlation-data c -D publish response-topic r
pub -V mqttv5 -q 2 -t props/b -m x -D publish topic-alias 3 --repeat 3
pub -V mqttv5 -q 0 -t props/b -m x -D publish topic-alias 1 --repeat 3
wait $props
sub -V mqttv5 -i share1 -q 1 -t '$share/g/shared' -W 1 >/dev/null 2>&1 &
one=$!
sub -V mqttv5 -i share2 -q 2 -t '$share/g/shared' -W 1 >/dev/null 2>&1 &
two=$!
subscribed share1
subscribed share2
seq 18 | pub -V mqttv5 -q 2 -t shared -l
wait $one $two
sub -V mqttv5 -i answers -t ask -C 1 >/dev/null &
answers=$!
subscribed answers
timeout 5 mosquitto_rr -p "$port" -V mqttv5 -t ask -e reply -m question -W 1 >/dev/null 2>&1
wait $answers

# ---- Paho ----

clients=
if ${CC:-cc} -D_GNU_SOURCE -O1 -o "$dir/paho_client" "$here/../../reference-broker/tests/paho_client.c" -lpaho-mqtt3c 2>"$dir/cc"; then
	clients=$dir/paho_client
else
	echo 'skip Paho C: make deps installs libpaho-mqtt-dev'
fi
if $python -c 'import paho.mqtt.client' 2>/dev/null; then
	clients="$clients|$python $here/../../reference-broker/tests/paho_client.py"
else
	echo 'skip Paho Python: make deps installs python3-paho-mqtt'
fi
IFS='|'
for client in $clients; do
	unset IFS
	for v in 3.1 3.1.1 5; do
		for q in 0 1 2; do
			id=paho$v$q
			timeout 20 $client "$port" $v sub "paho/$v/$q" $q 2 $id >"$dir/paho" 2>&1 &
			one=$!
			tries=0
			until grep -q subscribed "$dir/paho" || [ $tries -gt 200 ]; do tries=$((tries + 1)); sleep 0.02; done
			echo one | timeout 20 $client "$port" $v pub "paho/$v/$q" $q 0
			head -c 5000 /dev/zero | timeout 20 $client "$port" $v pub "paho/$v/$q" $q 1
			wait $one
			echo three | timeout 20 $client "$port" $v pub "paho/$v/$q" $q 0
			[ $q = 0 ] || timeout 3 $client "$port" $v sub "paho/$v/$q" $q 1 $id
			pub -t "paho/$v/$q" -r -n
		done
	done >/dev/null 2>&1
done
wait $idle

kill $relay
wait $relay 2>/dev/null
judged 'nobody breaks a rule' "$dir/clean.pcap"
[ -z "$KEEP" ] || cp "$dir/clean.pcap" "$KEEP"
exit $failed

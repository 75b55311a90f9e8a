#!/bin/sh
# What the tool counts is what programs count that have nothing of ours: Mosquitto's own $SYS counters, mosquitto_sub, and Paho behind TLS
# and WebSocket. Exactly, for each QoS.

cd "$(dirname "$0")/../../.." || exit 3
LC_ALL=C
PATH=$PATH:/usr/sbin
export LC_ALL PATH
MQASSAY=${MQASSAY:-$PWD/build/mqassay}
. harness/tests/lib/certificates
tmp=$(mktemp -d) || exit 3
trap 'kill $broker $reader 2>/dev/null; rm -rf "$tmp"' EXIT
trap 'exit 3' HUP INT TERM
broker= reader=
failed=0

ok() { printf 'ok %s\n' "$1"; }
not_ok() { printf 'not ok %s: %s\n' "$1" "$2"; failed=1; }
same() {		# NAME OURS THEIRS
	if [ -n "$2" ] && [ "$2" = "$3" ] && [ "$2" != 0 ]; then ok "$1 ($2)"; else not_ok "$1" "we count '$2', they '$3'"; fi
}

# figure NAME: ROLE.COUNTER of the last run
figure() {
	python3 -c 'import json, sys
role, counter = sys.argv[2].split(".")
print(next(r for r in json.load(open(sys.argv[1]))["roles"] if r["name"] == role)["counts"][counter])' "$tmp/run.json" "$1"
}

load() {		# WORKLOAD URL OPTION...
	timeout 60 "$MQASSAY" load "$@" --quiet --report json="$tmp/run.json" >"$tmp/out" 2>"$tmp/err" ||
		not_ok "load $*" "exit $?: $(tail -n 3 "$tmp/err")"
}

certificates "$tmp" || { not_ok certificates 'openssl could not make them'; exit 1; }
set -- $(python3 pcap/tests/lib/ports.py 4)
tcp=$1 tls=$2 ws=$3 wss=$4
cat >"$tmp/mosquitto.conf" <<END
allow_anonymous true
persistence false
sys_interval 1
max_queued_messages 0
max_inflight_messages 0
listener $tcp 127.0.0.1
listener $tls 127.0.0.1
certfile $tmp/server.pem
keyfile $tmp/server.key
listener $ws 127.0.0.1
protocol websockets
listener $wss 127.0.0.1
protocol websockets
certfile $tmp/server.pem
keyfile $tmp/server.key
END
chmod -R a+rX "$tmp"
mosquitto -c "$tmp/mosquitto.conf" >"$tmp/broker.log" 2>&1 &
broker=$!
until mosquitto_pub -p "$tcp" -t up -n 2>/dev/null; do
	kill -0 "$broker" 2>/dev/null || { not_ok mosquitto "$(tail -n 2 "$tmp/broker.log")"; exit 1; }
done

# mosquitto_sub counts: one line for each message.
for qos in 0 1 2; do
	mkfifo "$tmp/said"
	mosquitto_sub -p "$tcp" -q $qos -t '+/#' -d -F '%x' >"$tmp/said" 2>&1 &
	reader=$!
	exec 3<"$tmp/said"
	while read -r line <&3; do case $line in *SUBACK*) break ;; esac; done
	cat <&3 >"$tmp/lines" &
	lines=$!
	exec 3<&-
	load fan-in "tcp://127.0.0.1:$tcp" -D sensors=50 -D period=10ms -D qos=$qos -D size=64 --for 500ms --drain 200ms
	# What is published last comes last: Mosquitto keeps one order for a reader, whoever publishes.
	mosquitto_pub -p "$tcp" -q $qos -t 'end/of' -m over
	until grep -q '^6f766572$' "$tmp/lines"; do kill -0 $reader || break; done
	kill $reader
	wait $lines
	rm "$tmp/said"
	theirs=$(grep -c -E '^[0-9a-f]{128}$' "$tmp/lines")
	same "mosquitto_sub, QoS $qos: sent" "$(figure sensor.sent)" "$theirs"
	same "mosquitto_sub, QoS $qos: delivered" "$(figure collector.delivered)" "$theirs"
done

# Paho counts, over what lies on TCP.
paho() {		# TRANSPORT PORT QOS
	rm -f "$tmp/to" "$tmp/from"
	mkfifo "$tmp/to" "$tmp/from"
	/usr/bin/python3 harness/load/tests/lib/count_paho.py "$1" localhost "$2" "$3" '+/#' <"$tmp/to" >"$tmp/from" &
	reader=$!
	exec 4>"$tmp/to" 5<"$tmp/from"
	read -r line <&5
	load fan-in "$1://127.0.0.1:$2" --insecure -D sensors=20 -D period=10ms -D qos="$3" -D size=100 --for 300ms --drain 500ms
	exec 4>&-
	read -r count again <&5
	exec 5<&-
	wait "$reader"
	same "Paho over $1, QoS $3: sent" "$(figure sensor.sent)" "$count"
	same "Paho over $1, QoS $3: delivered" "$(figure collector.delivered)" "$count"
	[ "$again" = 0 ] || [ "$3" = 1 ] || not_ok "Paho over $1, QoS $3" "$again came twice"
}
paho tls "$tls" 2
paho ws "$ws" 1
paho wss "$wss" 0

# Mosquitto's own counters, of a run as fast as it goes.
sys() {
	mosquitto_sub -p "$tcp" -t "\$SYS/broker/publish/messages/$1" -C "$2" | tail -n 1
}
before=$(sys received 1)
load qos1-flood "tcp://127.0.0.1:$tcp" -D publishers=4 -D subscribers=2 --for 500ms --drain 300ms
sent=$(figure publisher.sent)
after=$(sys received 3)		# the retained value, and two that are newer than the run
same '$SYS, a flood with QoS 1: sent' "$sent" $((after - before))
same 'a flood with QoS 1: acknowledged' "$sent" "$(figure publisher.acknowledged)"
same 'a flood with QoS 1: delivered' "$sent" "$(figure subscriber.delivered)"

exit $failed

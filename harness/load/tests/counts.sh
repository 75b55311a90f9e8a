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

# figure ROLE.COUNTER: of the last run
figure() { sed -n "s/^$1 //p" "$tmp/figures"; }

until_so() {		# NAME COMMAND...: waits for it to succeed, for 20 s at most
	name=$1 tries=0
	shift
	until "$@"; do
		tries=$((tries + 1))
		[ $tries -lt 1000 ] || { not_ok "$name" "waited in vain: $(tail -n 2 "$tmp/sub.err" "$tmp/broker.log" | tr '\n' '|')"; exit 1; }
		sleep 0.02
	done
}

load() {		# WORKLOAD URL OPTION...
	timeout 60 "$MQASSAY" load "$@" --quiet --report json="$tmp/run.json" >"$tmp/out" 2>"$tmp/err" ||
		not_ok "load $*" "exit $?: $(tail -n 3 "$tmp/err")"
	python3 -c 'import json, sys
for role in json.load(open(sys.argv[1]))["roles"]:
    for counter, n in role["counts"].items():
        print("%s.%s %d" % (role["name"], counter, n))' "$tmp/run.json" >"$tmp/figures"
	case $* in *qos=2*) ;; *) ours=$((ours + $(figure '[^ ]*\.sent' | paste -s -d +))) ;; esac
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
: >"$tmp/sub.err"
until_so mosquitto mosquitto_pub -p "$tcp" -t up -n 2>/dev/null


# published TOPIC OPTION...: one message of somebody else's. Those of QoS 2, and retained ones, Mosquitto does not count in $SYS.
theirs=1 ours=0		# the one above was taken
published() {
	mosquitto_pub -p "$tcp" -t "$@" || not_ok mosquitto_pub "exit $?"
	case $* in *'-q 2'*|*' -r '*) ;; *) theirs=$((theirs + 1)) ;; esac
}

# mosquitto_sub counts: a line for each message. What is published last comes last: Mosquitto keeps one order for a reader of one QoS, whoever publishes.
published start/of -r -m ready
for qos in 0 1 2; do
	: >"$tmp/lines"
	stdbuf -oL mosquitto_sub -p "$tcp" -q $qos -t '+/#' -F '%x' >"$tmp/lines" 2>"$tmp/sub.err" &
	reader=$!
	until_so "mosquitto_sub, QoS $qos" grep -q '^7265616479$' "$tmp/lines"
	load fan-in "tcp://127.0.0.1:$tcp" -D sensors=50 -D period=10ms -D qos=$qos -D size=64 --for 500ms
	published end/of -q $qos -m over
	until_so "mosquitto_sub, QoS $qos" grep -q '^6f766572$' "$tmp/lines"
	kill $reader
	wait $reader
	lines=$(grep -c -E '^[0-9a-f]{128}$' "$tmp/lines")
	same "mosquitto_sub, QoS $qos: sent" "$(figure sensor.sent)" "$lines"
	same "mosquitto_sub, QoS $qos: delivered" "$(figure collector.delivered)" "$lines"
done

# Paho counts, over what lies on TCP.
paho() {		# TRANSPORT PORT QOS
	/usr/bin/python3 harness/load/tests/lib/count_paho.py "$1" localhost "$2" "$3" '+/#' end/of >"$tmp/paho" 2>"$tmp/sub.err" &
	reader=$!
	until_so "Paho over $1" grep -q ready "$tmp/paho"
	load fan-in "$1://127.0.0.1:$2" --insecure -D sensors=20 -D period=10ms -D qos="$3" -D size=100 --for 300ms
	published end/of -q "$3" -m over
	wait $reader || not_ok "Paho over $1" "$(tail -n 1 "$tmp/sub.err")"
	{ read -r _; read -r count again; } <"$tmp/paho"
	same "Paho over $1, QoS $3: sent" "$(figure sensor.sent)" "$((count - 1))"
	same "Paho over $1, QoS $3: delivered" "$(figure collector.delivered)" "$((count - 1))"
	[ "$again" = 0 ] || not_ok "Paho over $1, QoS $3" "$again came twice"
}
paho tls "$tls" 2
paho ws "$ws" 1
paho wss "$wss" 0

# A run as fast as it goes; and Mosquitto's own counter, which it tells each second, of all of them.
load qos1-flood "tcp://127.0.0.1:$tcp" -D publishers=4 -D subscribers=2 --for 300ms
same 'a flood with QoS 1: acknowledged' "$(figure publisher.sent)" "$(figure publisher.acknowledged)"
same 'a flood with QoS 1: delivered' "$(figure publisher.sent)" "$(figure subscriber.delivered)"
published end/of -m over
received() {
	received=$(timeout 5 mosquitto_sub -p "$tcp" -t '$SYS/broker/publish/messages/received' -C 1)
	[ "$received" = $((ours + theirs)) ]
}
until_so '$SYS' received
same '$SYS, of all runs with QoS 0 and 1: sent' "$ours" "$((received - theirs))"

exit $failed

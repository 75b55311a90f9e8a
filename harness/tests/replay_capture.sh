#!/bin/sh
# `mqassay replay` of captures written by hand (captures/*.scn): against the built-in broker, the reference broker over loopback, and
# Mosquitto. What a broker does otherwise is listed; only a broken rule is a failure.

cd "$(dirname "$0")/../.." || exit 3
LC_ALL=C
export LC_ALL
tmp=$(mktemp -d) || exit 3
broker_pid=
trap 'kill -KILL $broker_pid 2>/dev/null; rm -rf "$tmp"' EXIT
trap 'exit 3' HUP INT TERM
ulimit -c 0
MQASSAY=${MQASSAY:-$PWD/build/mqassay}
PATH=$PATH:/usr/sbin
captures=harness/tests/captures
failed=0

ok() { printf 'ok %s\n' "$1"; }
not_ok() { printf 'not ok %s: %s\n' "$1" "$2"; failed=1; }
is() {
	if [ "$2" = "$3" ]; then ok "$1"; else not_ok "$1" "expected '$2', received '$3': $(tail -n 8 "$tmp/out" "$tmp/err" | cut -c 1-300 | tr '\n' '|')"; fi
}
shows() {	# NAME PATTERN
	if grep -a -q -E -e "$2" "$tmp/out"; then ok "$1"; else not_ok "$1" "no '$2' in: $(head -c 900 "$tmp/out" | tr '\n' '|')"; fi
}
lacks() {
	if grep -a -q -E -e "$2" "$tmp/out"; then not_ok "$1" "$(grep -a -E -m 1 -e "$2" "$tmp/out" | head -c 300)"; else ok "$1"; fi
}
one_line() {	# NAME CODE PATTERN: that exit code, nothing on stdout, one line on stderr that says so
	is "$1: exit $2" "$2" "$code"
	is "$1: one line" 1 "$(wc -l <"$tmp/err")"
	if grep -q -E -e "$3" "$tmp/err"; then ok "$1"; else not_ok "$1" "no '$3' in: $(cat "$tmp/err")"; fi
}
replay() {
	timeout 60 "$MQASSAY" replay "$@" >"$tmp/out" 2>"$tmp/err" </dev/null
	code=$?
}

# ---- no two brokers do the same, and none of these differs from what was captured ----

brokers='built-in loopback mosquitto'
command -v mosquitto >/dev/null || { echo 'skip mosquitto: not installed'; brokers='built-in loopback'; }
on() {		# BROKER FILE ARGUMENTS...
	broker=$1
	file=$2
	shift 2
	case $broker in
	built-in) replay "$file" "$@" ;;
	loopback) replay "$file" --exec "'$MQASSAY' broker --listen tcp://127.0.0.1:{port}" "$@" ;;
	*)        replay "$file" --exec 'mosquitto -p {port}' "$@" ;;
	esac
}
for broker in $brokers; do
	for name in two order held midstream illegal takeover crossing limits; do
		on $broker $captures/$name.scn
		is "$broker, $name: exit 0" 0 $code
		shows "$broker, $name: no difference" '^  no difference from the capture$'
		shows "$broker, $name: no rule broken" '^  the target broke no rule$'
	done
	on $broker $captures/lost.scn --timeout 1s
	is "$broker, lost: exit 0" 0 $code
	shows "$broker, lost: what differs, with its place" "^  $captures/lost.scn:8:1: differs from the capture"
	shows "$broker, lost: expected" '^    expected  s <- PUBLISH topic="lost/1" qos=1 retain packet_id as \$p1 payload="1"$'
	shows "$broker, lost: received" '^    received  PUBLISH topic="lost/1" qos=1 packet_id=[0-9]+ payload="1"$'
	shows "$broker, lost: because" '^    because   retain: expected 1, received 0$'
	shows "$broker, lost: what did not come" '^    received  nothing that fits within 1 s; unread: 1 other$'
	shows "$broker, lost: what follows upon it" 'lost.scn:11:1: `s -> PUBACK packet_id=\$p2` is passed over: what \$p2 stands for \(line 10\) did not come'
	shows "$broker, lost: what was not asked for" 's: 1 packet came that the capture does not have, the first of them PUBLISH topic="lost/2"'
	shows "$broker, lost: in all" '^  4 differences from the capture$'
	on $broker $captures/refused.scn
	is "$broker, refused: exit 0" 0 $code
	shows "$broker, refused: why" 'because   reason: expected 0, received Client_Identifier_not_valid'
	shows "$broker, refused: its other steps" 'the connection of c1 is gone \(closed by the broker .*\): its steps from here on are passed over'
	shows "$broker, refused: no more than that" '^  2 differences from the capture$'
done

# ---- limits that the broker which was captured did not have ----

note() { shows "$1" "^  $captures/limits.scn:[0-9]+:1: p: $2\$"; }
differences() { shows "$1: no more than that" "^  $2 differences? from the capture$"; shows "$1: no rule broken" '^  the target broke no rule$'; }
replay $captures/limits.scn --broker narrow
is 'narrow: exit 0' 0 $code
note 'narrow: aliases' 'topic aliases are sent as topics: the target takes none'
note 'narrow: packet size' "packets of more than 2048 bytes are not sent: the target's Maximum Packet Size"
differences narrow 2
replay $captures/limits.scn --broker limited
note 'limited: QoS' 'messages above QoS 1 are sent with it: the target takes no higher'
note 'limited: RETAIN' 'retained messages are sent without RETAIN: the target retains none'
differences limited 2
replay $captures/limits.scn --broker qos-0
note 'qos-0: QoS' 'messages above QoS 0 are sent with it: the target takes no higher'
differences qos-0 1
if command -v mosquitto >/dev/null; then
	printf 'allow_anonymous true\nmax_inflight_messages 1\nmax_topic_alias 3\nmax_packet_size 2000\n' >"$tmp/small.conf"
	replay $captures/limits.scn --exec "{ echo listener {port}; cat '$tmp/small.conf'; } >'$tmp/mosquitto.conf'; exec mosquitto -c '$tmp/mosquitto.conf'"
	is 'Mosquitto with less: exit 0' 0 $code
	note 'Mosquitto with less: packet size' "packets of more than 2000 bytes are not sent: the target's Maximum Packet Size"
	differences 'Mosquitto with less' 1
fi
# A delivery that comes with less QoS is acknowledged as it came.
printf 'capture "q"
mqtt 5
s connects
s -> SUBSCRIBE packet_id=1 ("q/a" qos=2)
s <- SUBACK packet_id=1 reason=[Granted_QoS_2]
p connects
p publishes topic="q/a" qos=2 payload="x"
s <- PUBLISH topic="q/a" qos=2 packet_id as $p payload="x"
s -> PUBREC packet_id=$p
s <- PUBREL packet_id=$p
s -> PUBCOMP packet_id=$p
s -> PINGREQ
s <- PINGRESP
' >"$tmp/q.scn"
for less in limited qos-0; do
	replay "$tmp/q.scn" --broker $less
	is "less QoS, $less: exit 0" 0 $code
	shows "less QoS, $less: what differs" 'because   qos: expected 2, received [01]$'
	differences "less QoS, $less" 3
done

# What the client did wrong stays wrong: the capture's own broker closed here, too.
printf 'capture "i"\nmqtt 5\na -> CONNECT client_id="i"\na <- CONNACK reason=0\na -> PUBLISH topic="i" !topic_alias=9 payload="x"\na <- DISCONNECT\na <- closed\n' >"$tmp/i.scn"
replay "$tmp/i.scn" --broker narrow
shows 'an alias that was wrong: stays so' '^  no difference from the capture$'

# ---- an answer does not overtake its request, even where something else is to be acknowledged ----

printf 'capture "late"
mqtt 3.1.1
r connects; r subscribes ("late/q" qos=2); q connects; q subscribes ("late/a" qos=1); o connects
o -> PUBLISH topic="late/q" qos=2 packet_id=1 payload="other"
r -> PUBLISH topic="late/o" qos=2 packet_id=7 payload="own"
r <- PUBREC packet_id=7
o <- PUBREC packet_id=1
r <- PUBLISH topic="late/q" qos=2 packet_id as $p payload="other"
r -> PUBLISH topic="late/a" qos=1 packet_id=8 payload="answer"
r <- PUBACK packet_id=8
q <- PUBLISH topic="late/a" qos=1 packet_id as $a payload="answer"
q -> PUBACK packet_id=$a
wait 700ms
r -> PUBREC packet_id=$p
r <- PUBREL packet_id=$p
r -> PUBCOMP packet_id=$p
r -> PUBREL packet_id=7
r <- PUBCOMP packet_id=7
o -> PUBREL packet_id=1
o <- PUBCOMP packet_id=1
' >"$tmp/late.scn"
for broker in $brokers; do
	on $broker "$tmp/late.scn" -v
	shows "$broker, an answer: no difference" '^  no difference from the capture$'
	answered=$(grep -a -n 'r -> PUBLISH topic="late/a"' "$tmp/out" | cut -d: -f1)
	asked=$(grep -a -n 'r <- PUBLISH topic="late/q"' "$tmp/out" | cut -d: -f1)
	[ "${asked:-99}" -lt "${answered:-0}" ] && ok "$broker, an answer: after its request" || not_ok "$broker, an answer: after its request" "line ${answered:-none}, not after ${asked:-none}"
done

# ---- a broken rule is a failure ----

replay $captures/two.scn --break 3.1.1:MQTT-2.3.1-6
is 'a broken rule: exit 1' 1 $code
shows 'a broken rule: its clause, where and who' '^  3.1.1:MQTT-2.3.1-6 .*\((seed|c2), near line [0-9]+(; [0-9]+ times)?\)$'
replay $captures/two.scn --break 3.1.1:MQTT-2.3.1-6 --format json
is 'as JSON: exit 1' 1 $code
/usr/bin/python3 -c 'import json, sys; t = json.load(open(sys.argv[1]))["tests"]; assert len(t) == 1 and t[0]["verdict"] == "fail", t' "$tmp/out" 2>>"$tmp/err" \
	&& ok 'as JSON' || not_ok 'as JSON' "$(tail -n 1 "$tmp/err")"

# ---- what is shown and kept ----

replay $captures/two.scn -v
shows '-v: the transcript' 'c1 +<- PUBLISH topic="plant/7/temp" qos=1 retain packet_id=[0-9]+ payload="20.5"$'

printf 'capture "p"\nmqtt 5\na -> CONNECT client_id="p" user_name="u" password="hunter2"\na <- CONNACK reason=0\n' >"$tmp/p.scn"
replay "$tmp/p.scn" -v --pcap "$tmp/p.pcapng"
is 'a password: exit 0' 0 $code
lacks 'a password: not shown' hunter2
shows 'a password: there was one' 'password="\*\*\*"'
if grep -q hunter2 "$tmp/p.pcapng"; then not_ok 'a password: in no capture' 'it is there'; else ok 'a password: in no capture'; fi
replay "$tmp/p.scn" -v --secrets
shows 'a password: --secrets' hunter2

# What is played can be captured, decoded and played again; so can what scenarios say, wrong ids and all.
again() {	# NAME: of $tmp/NAME.pcapng
	if "$MQASSAY" decode "$tmp/$1.pcapng" --format scenario >"$tmp/$1.scn" 2>"$tmp/err"; then
		replay "$tmp/$1.scn"
		is "$1, decoded and replayed: exit 0" 0 $code
		shows "$1, decoded and replayed: no difference" '^  no difference from the capture$'
		shows "$1, decoded and replayed: no rule broken" '^  the target broke no rule$'
	else
		not_ok "$1: can be decoded" "$(tail -n 1 "$tmp/err")"
	fi
}
replay $captures/two.scn --pcap "$tmp/two.pcapng"
again two
for part in qos session will; do
	timeout 60 "$MQASSAY" conform --mqtt 3.1.1 --select "common/$part/*" --pcap "$tmp/$part.pcapng" -q >"$tmp/out" 2>"$tmp/err"
	is "$part: captured" 0 $?
	again $part
done
replay $captures/lost.scn --timeout 1s -q
lacks '-q: differences are counted only' 'expected'
shows '-q: differences are counted' '^  4 differences from the capture$'

# ---- a broker that goes on when the replay is over, and one that dies in it ----

serve() {	# sets port, broker_pid
	"$MQASSAY" broker --listen tcp://127.0.0.1:0 >"$tmp/broker.out" 2>&1 &
	broker_pid=$!
	for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
		port=$(sed -n 's/.*127\.0\.0\.1:\([1-9][0-9]*\).*/\1/p' "$tmp/broker.out" | head -n 1)
		[ -n "$port" ] && return
		sleep 0.1
	done
	not_ok 'mqassay broker' "$(cat "$tmp/broker.out")"
	exit 1
}
serve
printf 'capture "r"\nmqtt 3.1.1\nc connects clean_start=0 client_id="left"; c subscribes ("left/#" qos=1)\nc publishes topic="left/1" retain payload="x"\n' >"$tmp/r.scn"
replay "$tmp/r.scn" "localhost:$port"
is 'a capture that leaves something: exit 0' 0 $code
printf 'capture "s"\nmqtt 3.1.1\nc -> CONNECT client_id="left" clean_start=0\nc <- CONNACK session_present=0 reason=0\nd connects; d subscribes ("left/#" qos=1); d pings\n' >"$tmp/s.scn"
replay "$tmp/s.scn" "localhost:$port"
shows 'nothing is left behind: neither session nor retained message' '^  no difference from the capture$'
printf 'capture "d"\nmqtt 3.1.1\na connects\nwait 3s\na pings\nb connects\n' >"$tmp/dies.scn"
timeout 60 "$MQASSAY" replay "$tmp/dies.scn" "localhost:$port" >"$tmp/out" 2>"$tmp/err" &
replay_pid=$!
sleep 1
kill -KILL $broker_pid
wait $replay_pid
is 'the broker dies: exit 3' 3 $?
is 'the broker dies: one line' 1 "$(wc -l <"$tmp/err")"
if grep -q 'the target is gone' "$tmp/err"; then ok 'the broker dies'; else not_ok 'the broker dies' "$(cat "$tmp/err")"; fi

# ---- time ----

{
	printf 'capture "nothing comes"\nmqtt 3.1.1\na connects; b connects\n'
	i=0
	while [ $i -lt 500 ]; do
		i=$((i + 1))
		echo "a <- PUBLISH topic=\"never/$i\" payload=\"x\""
	done
	echo 'a -> SUBSCRIBE packet_id=1 ("never/own")'
	echo 'a <- SUBACK packet_id=1 reason=[0]'
	echo 'b publishes topic="never/own" payload="y"'
	echo 'a <- PUBLISH topic="never/own" payload="y"'
} >"$tmp/never.scn"
before=$(date +%s)
replay "$tmp/never.scn" --exec "'$MQASSAY' broker --listen tcp://127.0.0.1:{port}" --timeout 1s
after=$(date +%s)
is 'nothing comes: exit 0' 0 $code
[ $((after - before)) -le 15 ] && ok 'nothing comes: patience ends' || not_ok 'nothing comes: patience ends' "$((after - before)) s"
shows 'nothing comes: all is noted' '^  50[01] differences from the capture$'

{
	printf 'capture "all is nearly right"\nmqtt 3.1.1\na connects; a subscribes ("near/#" qos=0); b connects\n'
	i=0
	while [ $i -lt 500 ]; do
		i=$((i + 1))
		echo "b -> PUBLISH topic=\"near/$i\" payload=\"x\""
		echo "a <- PUBLISH topic=\"near/$i\" payload=\"x\" retain"
	done
} >"$tmp/near.scn"
before=$(date +%s)
replay "$tmp/near.scn" --exec "'$MQASSAY' broker --listen tcp://127.0.0.1:{port}"
after=$(date +%s)
shows 'all is nearly right: all is noted' '^  500 differences from the capture$'
[ $((after - before)) -le 10 ] && ok 'all is nearly right: soon' || not_ok 'all is nearly right: soon' "$((after - before)) s"

/usr/bin/python3 - >"$tmp/large.scn" <<'PY'
print('capture "large"\nmqtt 3.1.1')
n = 1200
for i in range(n):
    print(f'c{i} -> CONNECT client_id="large-{i}"\nc{i} <- CONNACK session_present=0 reason=0')
    print(f'c{i} -> SUBSCRIBE packet_id=1 ("large/{i}" qos=1)\nc{i} <- SUBACK packet_id=1 reason=[1]')
for k in range(12000):
    a, b = k % n, k * 7 % n
    print(f'c{a} -> PUBLISH topic="large/{b}" qos=1 packet_id={k // n + 2} payload="{k}"')
    print(f'c{b} <- PUBLISH topic="large/{b}" qos=1 packet_id as $p{k} payload="{k}"')
    print(f'c{a} <- PUBACK packet_id={k // n + 2}\nc{b} -> PUBACK packet_id=$p{k}')
PY
replay "$tmp/large.scn"
is 'large: exit 0' 0 $code
shows 'large: all of it' '^  1200 connections, 26400 packets sent, 26400 came'
shows 'large: no difference' '^  no difference from the capture$'
on loopback "$tmp/large.scn"
shows 'large, over loopback' '^  no difference from the capture$'

# ---- what cannot be played ----

replay $captures/two.scn localhost:1
one_line 'nobody there' 3 'localhost:1: .*refused'
printf 'capture "x"\nmqtt 3.1.1\na connects\na publishs topic="x"\n' >"$tmp/m.scn"
replay "$tmp/m.scn"
one_line 'a mistake' 2 'm.scn:4:3: error: unknown verb `publishs`.*did you mean `publishes`'
{ printf 'capture "x"\nmqtt 3.1.1\n'; awk 'BEGIN { for (i = 0; i < 70000; i++) print "c" i " opens" }'; } >"$tmp/over.scn"
replay "$tmp/over.scn"
one_line 'too many actors' 2 'over.scn:65538:1: error: more than 65535 actors; take a part of it: `mqassay decode --where'
replay $captures/two.scn --artifacts "$tmp/none"
one_line 'artifacts' 2 'of one file, --pcap FILE keeps all'
replay $captures/two.scn localhost:1 --broker limited
one_line 'the built-in broker beside a target' 2 'name no target'
exit $failed

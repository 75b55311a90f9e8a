#!/bin/sh
# `mqassay load` as a command: its mistakes, targets that cannot be reached, refuse, or die in the middle, limits of the machine, signals, reports, and that nothing is
# left in the broker. What it counts and times is tested elsewhere. Runs take tenths of a second each.

cd "$(dirname "$0")/../../.." || exit 3
LC_ALL=C
export LC_ALL
unset JOB_COMPLETION_INDEX SLURM_ARRAY_TASK_ID OMPI_COMM_WORLD_RANK PARALLEL_SEQ
tmp=$(mktemp -d) || exit 3
broker_pid= load_pid= netns=
clean() {
	kill -KILL $broker_pid $load_pid 2>/dev/null
	[ -z "$netns" ] || ip netns del "$netns" 2>/dev/null
	rm -rf "$tmp"
}
trap clean EXIT
trap 'exit 3' HUP INT TERM
ulimit -c 0
MQASSAY=${MQASSAY:-$PWD/build/mqassay}
python=/usr/bin/python3
failed=0

ok() { printf 'ok %s\n' "$1"; }
not_ok() { printf 'not ok %s: %s\n' "$1" "$2"; failed=1; }
is() {
	if [ "$2" = "$3" ]; then ok "$1"; else not_ok "$1" "expected '$2', received '$3': $(tail -n 4 "$tmp/out" "$tmp/err" | cut -c 1-300 | tr '\n' '|')"; fi
}
shows() {	# NAME PATTERN FILE
	if grep -a -q -E -e "$2" "$3"; then ok "$1"; else not_ok "$1" "no '$2' in: $(head -c 900 "$3" | tr '\n' '|')"; fi
}
load() {	# ARGUMENTS...: sets code
	timeout -k 1 30 "$MQASSAY" load "$@" >"$tmp/out" 2>"$tmp/err" </dev/null
	code=$?
}
one_line() {	# NAME CODE PATTERN
	is "$1: exit $2" "$2" $code
	is "$1: one line" 1 "$(wc -l <"$tmp/err")"
	shows "$1: says so" "$3" "$tmp/err"
	is "$1: no report" 0 "$(wc -c <"$tmp/out")"
}
# figure FILE EXPRESSION: of a JSON report in `r`
figure() {
	$python -c 'import json, sys; r = json.load(open(sys.argv[1])); print(eval(sys.argv[2]))' "$1" "$2" 2>&1
}
until_so() {	# COMMAND...: waits for it to succeed, for 10 s at most
	tries=0
	until "$@" || [ $tries -gt 500 ]; do tries=$((tries + 1)); sleep 0.02; done
}
start_broker() {	# OPTIONS...: sets broker_pid, port
	: >"$tmp/broker.out"
	"$MQASSAY" broker --listen tcp://127.0.0.1:0 "$@" >"$tmp/broker.out" 2>&1 &
	broker_pid=$!
	until_so grep -q 'tcp://127.0.0.1:[0-9]' "$tmp/broker.out"
	port=$(sed -n 's/.*tcp:\/\/127.0.0.1:\([0-9]*\).*/\1/p' "$tmp/broker.out" | head -n 1)
}
end_broker() {
	kill -TERM $broker_pid 2>/dev/null
	wait $broker_pid 2>/dev/null
	broker_pid=
}
has_connections() {	# PORT N: so many clients are connected to it here
	[ "$(awk -v port="$(printf :%04X "$1")" '$3 ~ port "$" && $4 == "01"' /proc/net/tcp | wc -l)" -ge "$2" ]
}

# ---- workloads ----

cat >"$tmp/w.scn" <<'SCN'
workload "Sensors that report to a collector"
mqtt     3.1.1 5
param    sensors = 20
param    period = 20ms
param    qos = 1
role collector x 1 {
    whenever collector receives topic~"$(topic)/+" { }
    collector connects
    collector subscribes ("$(topic)/#" qos=$qos)
    meet "ready"
}
role sensor x $sensors {
    sensor connects
    meet "ready"
    every $period { sensor publishes topic="$(topic)/$(n)" qos=$qos payload=stamp(64) in flight 20 }
}
SCN
cat >"$tmp/ends.scn" <<'SCN'
workload "Each sends ten and goes"
mqtt     3.1.1 5
role pub x 8 {
    pub connects
    repeat 10 { pub publishes topic="$(topic)/$(n)" qos=1 payload=stamp(64) }
    pub disconnects
}
SCN
cat >"$tmp/s.scn" <<'SCN'
scenario "A message arrives"
mqtt     3.1.1 5
cites    3.1.1 MQTT-4.3.2-1
cites    5     MQTT-4.3.2-1

sub connects
sub subscribes ($topic qos=1)
pub connects
pub publishes topic=$topic qos=1 payload="m"
sub receives payload="m"
SCN

# ---- mistakes ----

while IFS='|' read -r name args pattern; do
	[ -n "$name" ] || continue
	load $(printf %s "$args" | sed "s|TMP|$tmp|g")
	one_line "$name" 2 "$pattern"
done <<'ROWS'
no workload||name a workload
no such workload|fan-inn|no ready workload fan-inn
a scenario|TMP/s.scn|--clients N
an unknown option|TMP/w.scn --no-such|unknown option
an unknown parameter|TMP/w.scn -D sensor=5|no .param. of that name; did you mean sensors
a parameter without a value|TMP/w.scn -D sensors|NAME=VALUE
a version that it has not|TMP/w.scn --mqtt 3.1|not written for that version
a wrong shard|TMP/w.scn --shard 2/2|from 0 to N - 1
more shards than clients|TMP/w.scn --shard 0/40|.
a time that is over|TMP/w.scn 127.0.0.1:1 --start-at 1700000000|s ago
a time of its own|TMP/w.scn --start-at +1s|simulated time
a wrong expectation|TMP/w.scn --expect sensor.ack.p99|.
an expectation of nobody|TMP/w.scn --expect nobody.sent>0|no role nobody
a wrong source|TMP/w.scn 127.0.0.1:1 --source-ip 300.1.1.1|source-ip
a wrong target|TMP/w.scn http://localhost|.
a wrong report|TMP/w.scn --report xml=x|F=FILE
a name with blanks|TMP/w.scn --name a_b|letters and digits
two targets|TMP/w.scn --exec true 127.0.0.1:1|name no other
one too many|TMP/w.scn 127.0.0.1:1 127.0.0.1:2|unexpected argument
merge of nothing|merge|name the files
merge of no result|merge TMP/w.scn|w.scn
compare of one|compare TMP/w.scn|two files
a sink nowhere|sink|--listen
a sink with TLS|sink --listen tls://127.0.0.1:0|no TLS
clients of a workload|TMP/w.scn --clients 5 127.0.0.1:1|is a workload
shards of scenarios|TMP/s.scn --clients 5 --shard 0/2 127.0.0.1:1|not played in shards
ROWS
load "$tmp/none.scn"
one_line 'a missing file' 3 'none.scn: No such file'
load "$tmp/w.scn" --report json=/nonexistent/x
one_line 'a report that cannot be written' 3 '/nonexistent/x'
JOB_COMPLETION_INDEX=1 load "$tmp/w.scn"
one_line 'a shard of how many?' 2 'give --shards N'
load --list
is '--list: exit 0' 0 $code

# ---- a rehearsal ----

load "$tmp/w.scn" --for 2s --report json="$tmp/a.json"
is 'a rehearsal: exit 0' 0 $code
shows 'a rehearsal: says what it is' 'simulated time' "$tmp/out"
is 'a rehearsal: nothing on stderr' 0 "$(wc -c <"$tmp/err")"
is 'a rehearsal: all was sent' 2000 "$(figure "$tmp/a.json" 'r["roles"][1]["counts"]["sent"]')"
is 'a rehearsal: and delivered' 2000 "$(figure "$tmp/a.json" 'r["roles"][0]["counts"]["delivered"]')"
load "$tmp/w.scn" --for 2s --report json="$tmp/b.json"
is 'a rehearsal: the same each time' "$(figure "$tmp/a.json" '[r["roles"], r.get("losses")]' | cksum)" "$(figure "$tmp/b.json" '[r["roles"], r.get("losses")]' | cksum)"
is 'a rehearsal: the drain ends when nothing is owed' True "$(figure "$tmp/a.json" 'r["duration_ns"] - r["drain_ns"] < 500e6')"
load slow-consumer --for 1s --drain 3s --report json="$tmp/b.json"
is 'a rehearsal: the drain is whole when something is' True "$(figure "$tmp/b.json" 'r["duration_ns"] - r["drain_ns"] >= 3e9')"
is 'who reads slowly: is told as such' "['subscriber_slow'] True" "$(figure "$tmp/b.json" '[l["cause"] for l in r["losses"]]') $(figure "$tmp/b.json" \
	'0 < sum(l["n"] for l in r["losses"]) == sum(x["counts"]["lost"] for x in r["roles"])')"
load "$tmp/w.scn" --for 1s --expect 'sensor.sent<10' --expect 'collector.lost==0'
is 'a missed expectation: exit 1' 1 $code
shows 'a missed expectation: is named' 'sensor\.sent<10' "$tmp/out"
load "$tmp/w.scn" --for 1s --format json
is '--format json: exit 0' 0 $code
is '--format json: all of stdout' 1000 "$(figure "$tmp/out" 'r["roles"][1]["counts"]["sent"]')"
load compare "$tmp/a.json" "$tmp/b.json"
is 'compare: exit 0' 0 $code
# Clients that have come to the end of their steps stay for as long as was asked for; and what one rule's violations are told with is one line.
load connect-storm -D clients=20 --for 5s --report json="$tmp/r.json"
is 'who is done stays for --for' 5 "$(figure "$tmp/r.json" 'round((r["drain_ns"] - r["steady_ns"]) / 1e9)')"
sed 's/collector connects/& receive_maximum=2/' scenarios/load/fan-in.scn >"$tmp/few.scn"
load "$tmp/few.scn" -D sensors=50 -D period=5ms -D qos=2 --for 100ms --break 5:MQTT-3.3.4-9 --report json="$tmp/r.json"
is 'a rule broken often: exit 1' 1 $code
is 'a rule broken often: one reason' 1 "$(figure "$tmp/r.json" 'len(r["reasons"])')"

printf 'workload "w"\nmqtt 5\nrole lone x 2 {\n    lone connects\n    lone receives within 60s\n}\n' >"$tmp/waits.scn"
load "$tmp/waits.scn" --for 1s
is 'who still waits: exit 3' 3 $code
shows 'who still waits: at which line' 'line 5: it still waited here' "$tmp/out"
printf 'workload "w"\nmqtt 5\nrole lone x 2 {\n    lone connects\n    lone -> bytes hex"f100"\n    every 1s { lone publishes qos=1 payload=stamp(32) in flight 5 }\n}\n' >"$tmp/closed.scn"
load "$tmp/closed.scn" --for 2s
is 'who loses the connection: exit 3' 3 $code
load "$tmp/s.scn" --clients 4 --for 1s
is 'scenarios rehearsed: exit 0' 0 $code

# ---- shards ----

sed 's/role collector x 1 {/role collector x 4 {/; s|subscribes ("$(topic)/#"|subscribes ("$(topic)/$(n)/#"|; s|"$(topic)/+"|"$(topic)/+/+"|; s|="$(topic)/$(n)"|="$(topic)/$(n * 4 / sensors)/$(n)"|' "$tmp/w.scn" >"$tmp/cells.scn"
load "$tmp/cells.scn" --for 2s --report json="$tmp/whole.json"
for i in 0 1 2 3; do load "$tmp/cells.scn" --for 2s --shard $i/4 --report json="$tmp/shard$i.json"; is "shard $i of 4: exit 0" 0 $code; done
load merge "$tmp"/shard?.json --format json --expect all.lost==0
is 'four shards: exit 0' 0 $code
counts='[[x[k] for k in ("name", "clients", "counts", "timings", "uncorrected", "lateness_share")] for x in r["roles"]]'	# with the histograms as they are written
is 'four shards: count what the whole does' "$(figure "$tmp/whole.json" "$counts")" "$(figure "$tmp/out" "$counts")"
for i in 0 1 2 3; do load fan-in -D collectors=4 -D sensors=203 -D period=310ms -D qos=2 --for 3s --shard $i/4 --report json="$tmp/shard$i.json"; done
load fan-in -D collectors=4 -D sensors=203 -D period=310ms -D qos=2 --for 3s --report json="$tmp/whole.json"
load merge "$tmp"/shard?.json --format json
all='{k: v for k, v in r.items() if k not in ("command", "began", "cpu", "shards")}'
is 'four shards of fan-in: the same, bit for bit' "$(figure "$tmp/whole.json" "$all" | tr , '\n' | cksum)" "$(figure "$tmp/out" "$all" | tr , '\n' | cksum)"
load merge "$tmp/shard0.json" "$tmp/shard0.json"
one_line 'the same shard twice' 2 'shard0.json'
load merge "$tmp/shard0.json" "$tmp/a.json"
one_line 'shards of two workloads' 2 'a.json'

# ---- targets ----

start_broker
closed=$port
load "$tmp/ends.scn" "127.0.0.1:$port" --report json="$tmp/r.json"
is 'a broker: exit 0' 0 $code
is 'a broker: all is acknowledged' 80 "$(figure "$tmp/r.json" 'r["roles"][0]["counts"]["acknowledged"]')"
load "$tmp/ends.scn" "127.0.0.1:$port" --threads 3 --mqtt 3.1.1 --report json="$tmp/r.json"
is 'three threads: exit 0' 0 $code
is 'three threads: all is acknowledged' 80 "$(figure "$tmp/r.json" 'r["roles"][0]["counts"]["acknowledged"]')"
load "$tmp/w.scn" "127.0.0.1:$port" --for 300ms --drain 100ms --start-at +300ms --source-ip 127.0.0.2-127.0.0.5 --report json="$tmp/r.json" --report html="$tmp/r.html" \
	--report hdr="$tmp/r.hdr" --report percentiles="$tmp/r.txt"
is 'a start at its time: exit 0' 0 $code
is 'a start at its time: nothing is lost' 0 "$(figure "$tmp/r.json" 'r["roles"][0]["counts"]["lost"]')"
for f in html hdr txt; do is "a report as $f" yes "$([ -s "$tmp/r.$f" ] && echo yes)"; done
load "$tmp/s.scn" "127.0.0.1:$port" --clients 8 --for 300ms --drain 100ms --report json="$tmp/r.json"
is 'scenarios: exit 0' 0 $code
is 'scenarios: were played again and again' True "$(figure "$tmp/r.json" 'r["roles"][0]["counts"]["finished"] > 16')"

# What is stored in it is gone afterwards, unless it is to stay.
cat >"$tmp/stores.scn" <<'SCN'
workload "Leaves sessions and retained messages"
mqtt     5
role dev x 50 {
    dev connects client_id="loadtest$(n)" clean_start=0 session_expiry_interval=1000
    dev publishes topic="$(topic)/$(n)" qos=1 retain payload=stamp(32)
}
SCN
cat >"$tmp/looks.scn" <<'SCN'
scenario "Nothing is left"
mqtt     5
cites    5 MQTT-3.3.1-5
case "first" id="loadtest0"
case "last"  id="loadtest49"

a connects client_id=$id clean_start=0 gets session_present=0
a subscribes ("#")
a <- nothing for 50ms
SCN
load "$tmp/stores.scn" "127.0.0.1:$port" --drain 100ms --leave
"$MQASSAY" conform --scenarios "$tmp/looks.scn" "127.0.0.1:$port" >"$tmp/out" 2>"$tmp/err"
is '--leave: it stays' 1 $?
load "$tmp/stores.scn" "127.0.0.1:$port" --drain 100ms --name again
is 'sessions and retained messages: exit 0' 0 $code
end_broker
start_broker
load "$tmp/stores.scn" "127.0.0.1:$port" --drain 100ms
"$MQASSAY" conform --scenarios "$tmp/looks.scn" "127.0.0.1:$port" >"$tmp/out" 2>"$tmp/err"
is 'sessions and retained messages: are removed' 0 $?
end_broker

# What the workload needs and the broker has not is one line, and not thousands of refusals.
start_broker --maximum-qos 1 --no-retain --no-shared
for row in 'qos2-flood|maximum_qos>=2; CONNACK says 1' 'retained-storm|retain_available; CONNACK says 0' 'shared-workers|shared_subscription_available; CONNACK says 0'; do
	load ${row%%|*} "127.0.0.1:$port" --for 1s
	one_line "${row%%|*} where it cannot be played" 3 "the workload needs ${row#*|}"
done
end_broker
start_broker --mqtt 3.1.1
load connect-storm "127.0.0.1:$port"
one_line 'a version that is not served' 3 'does not serve MQTT 5: CONNACK: Unsupported.Protocol.Version'
end_broker

load "$tmp/w.scn" "127.0.0.1:$closed" --report json="$tmp/r.json"
one_line 'nobody listens' 3 "127.0.0.1:$closed: .*refused"
is 'nobody listens: the report is there' "3 True" "$(figure "$tmp/r.json" 'str(r["exit_code"]) + " " + str("refused" in r["unable"])')"
load "$tmp/s.scn" --clients 4 "127.0.0.1:$closed"
one_line 'nobody listens, scenarios' 3 "127.0.0.1:$closed: .*refused"
load "$tmp/w.scn" --exec 'exit 7'
one_line 'a broker that does not start' 3 'exited with 7'
load "$tmp/w.scn" --for 300ms --drain 100ms --exec "'$MQASSAY' broker --listen tcp://127.0.0.1:{port}" --report json="$tmp/r.json"
is '--exec: exit 0' 0 $code
shows '--exec: its CPU is known' '"broker' "$tmp/r.json"

: >"$tmp/users"
start_broker --users "$tmp/users"
load "$tmp/ends.scn" "127.0.0.1:$port" --report json="$tmp/r.json"
is 'refused clients: exit 3' 3 $code
shows 'refused clients: why' '8 .*(Not_?authorized|Not authorized)' "$tmp/out"
is 'refused clients: counted' 8 "$(figure "$tmp/r.json" 'r["roles"][0]["counts"]["refused"]')"
end_broker

# What Mosquitto drops, since a queue is full, is named as such.
PATH=$PATH:/usr/sbin
if command -v mosquitto >/dev/null; then
	cat >"$tmp/slow.scn" <<-'SCN'
		workload "A subscriber that does not read"
		mqtt     3.1.1
		role sub x 1 {
		    whenever sub receives topic~"$(topic)/#" { }
		    sub connects
		    sub subscribes ("$(topic)/#" qos=1)
		    sub reads nothing
		    meet "ready"
		    meet "sent"
		    sub reads freely
		}
		role pub x 5 {
		    pub connects
		    meet "ready"
		    repeat 100 { pub publishes topic="$(topic)/$(n)" qos=1 payload=stamp(2000) in flight 20 }
		    pub -> PINGREQ
		    pub <- PINGRESP
		    meet "sent"
		}
	SCN
	printf 'allow_anonymous true\npersistence false\nsys_interval 1\nmax_queued_messages 10\nmax_inflight_messages 5\n' >"$tmp/mosquitto.conf"
	load "$tmp/slow.scn" --exec "printf 'listener {port} 127.0.0.1\n' >>'$tmp/mosquitto.conf'; exec mosquitto -c '$tmp/mosquitto.conf'" --drain 1s --report json="$tmp/r.json"
	is 'a full queue: exit 0' 0 $code
	is 'a full queue: 5 under way and 10 queued come' 15 "$(figure "$tmp/r.json" 'r["roles"][0]["counts"]["delivered"]')"
	is 'a full queue: the rest is lost by it' "[485, 485, 'broker_dropped']" \
		"$(figure "$tmp/r.json" '[r["broker_drops"]["n"], sum(l["n"] for l in r["losses"]), r["losses"][0]["cause"]]')"
	is 'a full queue: no loss without a cause' True "$(figure "$tmp/r.json" 'sum(l["n"] for l in r["losses"]) == sum(x["counts"]["lost"] for x in r["roles"])')"
	load slow-consumer --exec "printf 'listener {port} 127.0.0.1\n' >>'$tmp/mosquitto.conf'; exec mosquitto -c '$tmp/mosquitto.conf'" -D publishers=2 --for 300ms --drain 300ms \
		--report json="$tmp/r.json"
	is 'who reads slowly: has not left' False "$(figure "$tmp/r.json" '"subscriber_left" in [l["cause"] for l in r["losses"]]')"
	is 'who reads slowly: no loss without a cause' True "$(figure "$tmp/r.json" '0 < sum(l["n"] for l in r["losses"]) == sum(x["counts"]["lost"] for x in r["roles"])')"
else
	echo 'skip a full queue: no mosquitto'
fi

# ---- limits of the machine ----

start_broker
( ulimit -n 64; exec timeout -k 1 30 "$MQASSAY" load "$tmp/w.scn" "127.0.0.1:$port" -D sensors=500 --report json="$tmp/r.json" ) >"$tmp/out" 2>"$tmp/err"
code=$?
one_line 'too few descriptors' 3 'ulimit -n'
is 'too few descriptors: the report is there' "3 True" "$(figure "$tmp/r.json" 'str(r["exit_code"]) + " " + str("ulimit" in r["unable"])')"
end_broker
netns=mqassay$$
if [ "$(id -u)" = 0 ] && ip netns add "$netns" 2>/dev/null; then
	ip netns exec "$netns" sh -c 'ip link set lo up; echo "40000 40049" >/proc/sys/net/ipv4/ip_local_port_range'
	ip netns exec "$netns" timeout -k 1 30 "$MQASSAY" load "$tmp/w.scn" --exec "'$MQASSAY' broker --listen tcp://127.0.0.1:{port}" -D sensors=500 >"$tmp/out" 2>"$tmp/err"
	code=$?
	one_line 'too few ports' 3 'ip_local_port_range|--source-ip'
	ip netns exec "$netns" timeout -k 1 30 "$MQASSAY" load "$tmp/w.scn" --exec "'$MQASSAY' broker --listen tcp://127.0.0.1:{port}" -D sensors=60 --for 200ms --drain 100ms \
		--source-ip 127.0.0.2-127.0.0.5 >"$tmp/out" 2>"$tmp/err"
	is 'enough with more addresses: exit 0' 0 $?
	ip netns del "$netns"
else
	echo 'skip too few ports: network namespaces are for root'
fi
netns=

# ---- ended in the middle ----

run_load() {	# ARGUMENTS...: in the background, until its clients are connected
	rm -f "$tmp/r.json"
	timeout -k 1 30 "$MQASSAY" load "$@" --report json="$tmp/r.json" >"$tmp/out" 2>"$tmp/err" </dev/null &
	load_pid=$!
	until_so has_connections "$port" 21
}
signal_load() {		# of timeout's child: timeout passes signals on once only
	pkill "-$1" -P $load_pid
}
wait_load() {
	wait $load_pid
	code=$?
	load_pid=
}

start_broker
run_load "$tmp/w.scn" "127.0.0.1:$port" --drain 200ms
signal_load INT
wait_load
is 'Ctrl-C: exit 3' 3 $code
shows 'Ctrl-C: the report says so' 'interrupted' "$tmp/out"
is 'Ctrl-C: what was under way came' 0 "$(figure "$tmp/r.json" 'r["roles"][0]["counts"]["lost"]')"
run_load "$tmp/w.scn" "127.0.0.1:$port" --drain 25s
signal_load TERM
signal_load INT
sleep 0.2
signal_load INT
wait_load
is 'twice: exit 3' 3 $code
is 'twice: the report is there' interrupted "$(figure "$tmp/r.json" 'r["why"]')"

run_load "$tmp/w.scn" "127.0.0.1:$port" --drain 200ms
kill -KILL $broker_pid
wait $broker_pid 2>/dev/null
wait_load
is 'a broker killed in the middle: exit 3' 3 $code
shows 'a broker killed in the middle: says so' 'the target is gone: .*refused' "$tmp/out"
shows 'a broker killed in the middle: the report is there' 'the target is gone' "$tmp/r.json"

sed 's/^    sensor connects/    again after 10ms..100ms {\n    sensor connects/; s/^\(    every.*\)/\1\n    }/' "$tmp/w.scn" >"$tmp/again.scn"
start_broker
run_load "$tmp/again.scn" "127.0.0.1:$port" --patience 300ms --drain 200ms
kill -KILL $broker_pid
wait $broker_pid 2>/dev/null
wait_load
is 'killed for good, clients that try again: exit 3' 3 $code
shows 'killed for good, clients that try again: says so' 'the target is gone: .*refused' "$tmp/out"

# ---- the sink ----

"$MQASSAY" load sink --listen tcp://127.0.0.1:0 >"$tmp/sink" 2>&1 &
broker_pid=$!
until_so grep -q listening "$tmp/sink"
port=$(sed -n 's/.*127.0.0.1:\([0-9]*\).*/\1/p' "$tmp/sink")
load "$tmp/ends.scn" "127.0.0.1:$port"
is 'the sink: exit 0' 0 $code
end_broker
shows 'the sink: counts for itself' '^publishes qos 1 80$' "$tmp/sink"
exit $failed

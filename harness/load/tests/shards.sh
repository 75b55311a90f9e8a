#!/bin/sh
# One workload in four shards, each a process, in two network namespaces of their own, against a broker in a third: what they count, merged, is what the whole workload comes to, and what a subscriber
# of somebody else's sees. Needs root, mosquitto and mosquitto_sub.

cd "$(dirname "$0")/../../.." || exit 3
LC_ALL=C
PATH=$PATH:/usr/sbin
export LC_ALL PATH
unset JOB_COMPLETION_INDEX JOB_COMPLETIONS SLURM_ARRAY_TASK_ID OMPI_COMM_WORLD_RANK PARALLEL_SEQ
tmp=$(mktemp -d) || exit 3
MQASSAY=${MQASSAY:-$PWD/build/mqassay}
python=/usr/bin/python3
failed=0 pids=
hub=mqa$$h left=mqa$$l right=mqa$$r
clean() {
	kill -KILL $pids 2>/dev/null
	for ns in $hub $left $right; do ip netns del $ns 2>/dev/null; done
	rm -rf "$tmp"
}
trap clean EXIT
trap 'exit 3' HUP INT TERM
ulimit -c 0

ok() { printf 'ok %s\n' "$1"; }
not_ok() { printf 'not ok %s: %s\n' "$1" "$2"; failed=1; }
is() { if [ "$2" = "$3" ]; then ok "$1"; else not_ok "$1" "expected '$2', received '$3': $(tail -n 3 "$tmp"/*.err | cut -c 1-300 | tr '\n' '|')"; fi; }
figure() { $python -c 'import json, sys; r = json.load(open(sys.argv[1])); print(eval(sys.argv[2]))' "$1" "$2" 2>&1; }

[ "$(id -u)" = 0 ] || { echo 'skip shards in network namespaces: they are for root'; exit 0; }
ip netns add $hub 2>/dev/null || { echo 'skip shards in network namespaces: none can be made here'; exit 0; }
ip netns add $left && ip netns add $right || exit 3

# ---- two machines, and one that they reach by a line each ----

connect() {	# NAMESPACE NUMBER
	ip link add "v$2-$$" netns $hub type veth peer name eth0 netns "$1" || exit 3
	ip -n $hub addr add "10.231.$2.1/24" dev "v$2-$$" && ip -n $hub link set "v$2-$$" up
	ip -n "$1" addr add "10.231.$2.2/24" dev eth0 && ip -n "$1" link set eth0 up && ip -n "$1" link set lo up
}
ip -n $hub link set lo up
connect $left 1
connect $right 2

printf 'listener 1883 0.0.0.0\nallow_anonymous true\npersistence false\nset_tcp_nodelay true\nmax_queued_messages 0\n' >"$tmp/mosquitto.conf"
ip netns exec $hub mosquitto -c "$tmp/mosquitto.conf" >"$tmp/mosquitto.err" 2>&1 &
pids="$pids $!"
tries=0
until ip netns exec $hub mosquitto_pub -t ready -m x 2>/dev/null || [ $tries -gt 200 ]; do tries=$((tries + 1)); sleep 0.02; done
: >"$tmp/seen"
ip netns exec $hub stdbuf -oL mosquitto_sub -q 1 -t 'shards/#' -F %t >"$tmp/seen" 2>"$tmp/sub.err" &
sub=$!
pids="$pids $sub"

# ---- the workload ----

cat >"$tmp/w.scn" <<'SCN'
workload "Cells of sensors, each with its collector"
mqtt     5 3.1.1
param    cells = 8
param    sensors = 200
role collector x $cells {
    whenever collector receives topic~"shards/+/+" { }
    collector connects
    collector subscribes ("shards/$(n)/+" qos=1)
    meet "ready"
    wait 400ms
}
role sensor x $sensors over 100ms with "fleet.csv" {
    sensor connects client_id=$client_id
    meet "ready"
    repeat 20 { sensor publishes topic="shards/$(n * cells / sensors)/$(n)" qos=1 payload=stamp(64) in flight 5 }
    sensor disconnects
}
SCN
{ echo client_id; seq -f 'sensor-%g' 1 200; } >"$tmp/fleet.csv"

# ---- four processes ----

start=$($python -c 'import time; print("%.3f" % (time.time() + 0.7))')
shards=
for i in 0 1 2 3; do
	case $i in [01]) ns=$left net=1 ;; *) ns=$right net=2 ;; esac
	JOB_COMPLETION_INDEX=$i JOB_COMPLETIONS=4 ip netns exec $ns timeout -k 1 30 "$MQASSAY" load "$tmp/w.scn" "10.231.$net.1:1883" --start-at "$start" \
		--report json="$tmp/$i.json" >"$tmp/$i.out" 2>"$tmp/$i.err" </dev/null &
	shards="$shards $!"
done
pids="$pids $shards"
i=0
for pid in $shards; do
	wait "$pid"
	is "shard $i: exit 0" 0 $?
	i=$((i + 1))
done
# What is published last comes last.
ip netns exec $hub mosquitto_pub -q 1 -t shards/over -m x
tries=0
until grep -q '^shards/over$' "$tmp/seen" || [ $tries -gt 1000 ]; do tries=$((tries + 1)); sleep 0.02; done
kill $sub
wait $sub 2>/dev/null
sed -i '/^shards\/over$/d' "$tmp/seen"

"$MQASSAY" load merge "$tmp"/?.json --format json --expect all.lost==0 --expect collector.delivered==4000 >"$tmp/all.json" 2>"$tmp/merge.err"
is 'merged: every expectation is met' 0 $?
is 'merged: four shards' 4 "$(figure "$tmp/all.json" 'r["shards"]["merged"]')"
is 'merged: all clients' "[8, 200]" "$(figure "$tmp/all.json" '[x["clients"] for x in r["roles"]]')"
is 'merged: all was sent and acknowledged' "[4000, 4000]" "$(figure "$tmp/all.json" '[r["roles"][1]["counts"][c] for c in ("sent", "acknowledged")]')"
is 'merged: all was delivered, once and in order' "[4000, 0, 0, 0]" \
	"$(figure "$tmp/all.json" '[r["roles"][0]["counts"].get(c, 0) for c in ("delivered", "duplicated", "reordered", "foreign")]')"
is 'mosquitto_sub saw as many' 4000 "$(wc -l <"$tmp/seen")"
is 'of as many publishers' 200 "$(sort -u "$tmp/seen" | wc -l)"
is 'they began together' True "$(figure "$tmp/all.json" "abs(r['began_unix_ns'] / 1e9 - $start) < 0.5")"
exit $failed

#!/bin/sh
# However a capture's segments are cut, reordered, doubled or sent again, the packets are the same; where some are lost, those that
# are whole are found, and none is invented. Every capture in pcap/tests/captures that is whole, and a large one made here.
# Run from the top folder.

mqassay=${MQASSAY:-build/mqassay}
PATH=$PATH:/usr/sbin
captures=pcap/tests/captures
lib=pcap/tests/lib
tmp=$(mktemp -d) || exit 3
pids=
trap '[ -z "$pids" ] || kill $pids 2>/dev/null; rm -rf "$tmp"' EXIT
trap 'exit 3' HUP INT TERM

json() { timeout 120 "$mqassay" decode --quiet --format json "$@" 2>>"$tmp/err"; }

# judged NAME COMMAND...: its last line is shown
judged() {
	judging=$1
	shift
	if "$@" >"$tmp/said" 2>&1; then
		echo "ok $judging: $(tail -n 1 "$tmp/said")"
	else
		echo "not ok $judging: $(tr '\n' ' ' <"$tmp/said" | cut -c1-700)"
	fi
}

for file in $captures/*.pcap $captures/large.pcap.zst; do
	name=$(basename "${file%%.*}")
	case $name in
	snaplen*) continue ;;		# what was cut off cannot be cut otherwise
	tls13-no-keys) continue ;;	# nothing to read
	large) zstd -q -d -f "$file" -o "$tmp/$name.pcap" ; file=$tmp/$name.pcap ;;
	esac
	(cd $captures && cat "$name.options" 2>/dev/null) | sed "s|--keylog |--keylog $captures/|" >"$tmp/options"
	json $(cat "$tmp/options") "$file" >"$tmp/original"
	for how in cut bytes reorder duplicate overlap; do
		case $name:$how in large:bytes) continue ;; esac	# 4 million frames
		python3 $lib/recut.py $how "$file" "$tmp/variant.pcap" || exit 3
		json $(cat "$tmp/options") "$tmp/variant.pcap" >"$tmp/variant"
		judged "$name $how" python3 $lib/recut_compare.py same "$tmp/original" "$tmp/variant"
	done
done

# ---- 1 % lost ----

if ! command -v mosquitto >/dev/null || ! command -v mosquitto_pub >/dev/null; then
	echo 'skip 1 % lost: mosquitto and its clients are not installed'
	exit
fi
python3 $lib/ports.py 2 >"$tmp/ports"
read -r broker proxy <"$tmp/ports"
printf 'listener %s 127.0.0.1\nallow_anonymous true\nmax_inflight_messages 0\nmax_queued_messages 0\n' "$broker" >"$tmp/mosquitto.conf"
mosquitto -c "$tmp/mosquitto.conf" >"$tmp/mosquitto.log" 2>&1 &
pids=$!
python3 $lib/record.py "$tmp/large.pcap" "$proxy" "$broker" >"$tmp/proxy" 2>&1 &
recorder=$!
pids="$pids $recorder"
for i in 1 2 3 4 5 6 7 8 9 10; do
	grep -q listens "$tmp/proxy" && mosquitto_pub -p "$broker" -t x -n 2>/dev/null && break
	sleep 0.3
done
for version in mqttv311 mqttv5; do
	timeout 60 mosquitto_sub -p "$proxy" -V $version -q 1 -t 'lines/#' -C 2000 >/dev/null &
	subscribers="$subscribers $!"
done
timeout 60 mosquitto_sub -p "$proxy" -V mqttv5 -q 2 -t 'lines/two' -C 600 >/dev/null &
subscribers="$subscribers $!"
sleep 0.7
lines() { awk -v n="$1" -v most="$2" 'BEGIN { srand(5); for (i = 0; i < n; i++) { s = sprintf("line %d of %s ", i, n); l = int(rand() * most); while (length(s) < l) s = s "." i; print s } }'; }
lines 1000 40 | timeout 60 mosquitto_pub -p "$proxy" -V mqttv311 -q 1 -t lines/one -l
lines 600 300 | timeout 60 mosquitto_pub -p "$proxy" -V mqttv5 -q 2 -t lines/two -l
lines 400 2000 | timeout 60 mosquitto_pub -p "$proxy" -V mqttv5 -q 1 -t lines/three -l
wait $subscribers
kill $recorder
wait $recorder 2>/dev/null
json "$tmp/large.pcap" >"$tmp/original"
n=$(grep -c '"kind":"packet"' "$tmp/original")
[ "$n" -ge 10000 ] && echo "ok a large capture: $n packets" || echo "not ok a large capture: $n packets, not 10000"
for how in cut bytes reorder duplicate overlap; do
	python3 $lib/recut.py $how "$tmp/large.pcap" "$tmp/variant.pcap" || exit 3
	json "$tmp/variant.pcap" >"$tmp/variant"
	judged "large $how" python3 $lib/recut_compare.py same "$tmp/original" "$tmp/variant"
done
for how in lose lose-whole; do
	for seed in 1 2 3; do
		python3 $lib/recut.py $how:$seed "$tmp/large.pcap" "$tmp/variant.pcap" "$tmp/lost" || exit 3
		json "$tmp/variant.pcap" >"$tmp/variant"
		judged "1 % lost, $how, seed $seed" python3 $lib/recut_compare.py lost "$tmp/original" "$tmp/variant" "$tmp/lost"
	done
done

#!/bin/sh
# Every ready workload is played to its end against the built-in broker on simulated time, where nothing may be lost; and README names it.

cd "$(dirname "$0")/../../.." || exit 3
MQASSAY=${MQASSAY:-$PWD/build/mqassay}
tmp=$(mktemp -d) || exit 3
trap 'rm -rf "$tmp"' EXIT
failed=0

play() {		# WORKLOAD OPTION...
	name=$1
	shift
	if "$MQASSAY" load "$name" --for 5s -q "$@" --report json="$tmp/run.json" >"$tmp/out" 2>"$tmp/err" &&
		said=$(python3 - "$tmp/run.json" 2>&1 <<'END'
import json, sys
run = json.load(open(sys.argv[1]))
total = {}
for role in run["roles"]:
    for counter, n in role["counts"].items():
        total[counter] = total.get(counter, 0) + n
    if role["clients"] != role["counts"]["finished"]:
        sys.exit("%s: %d of %d clients came to their end" % (role["name"], role["counts"]["finished"], role["clients"]))
for counter in "lost", "duplicated", "reordered", "foreign", "stopped", "refused", "violations", "unacknowledged":
    if total[counter]:
        sys.exit("%s: %d" % (counter, total[counter]))
if total["sent"] and total["owed"] != total["delivered"] - total["early"] + total["returned"]:
    sys.exit("owed %(owed)d, delivered %(delivered)d, early %(early)d, returned %(returned)d" % total)
print("%(connected)d connections, %(sent)d messages, %(delivered)d deliveries" % total)
END
		); then
		echo "ok $name: $said"
	else
		echo "not ok $name: $said $(tail -n 3 "$tmp/err")"
		failed=1
	fi
}

for file in scenarios/load/*.scn; do
	name=$(basename "$file" .scn)
	grep -q "\`$name[ \`]" README.md || { echo "not ok README: says nothing of $name"; failed=1; }
	case $name in
	*-1M-*) play "$name" -D clients=2000 ;;
	*-fanout-*) play "$name" -D subscribers=100 ;;
	*-p2p-*) play "$name" -D pairs=500 ;;
	*-sharesub-*) play "$name" -D publishers=500 -D subscribers=5 ;;
	qos0-flood) play "$name" --for 1s ;;	# to subscribers who are slower the broker may drop
	qos*) play "$name" -D subscribers=2 --for 1s ;;
	slow-consumer) play "$name" -D rate=1M/s ;;
	*) play "$name" ;;
	esac
done
exit $failed

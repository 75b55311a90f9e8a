#!/bin/sh
# Each oracle of `mqassay fuzz`, against a broker that does the one thing which that oracle is there to see: it is seen and told under its
# bucket, its finding shows each time it is replayed ($TIMES times), and does not on a broker that does nothing wrong, which is not blamed either.

MQASSAY=${MQASSAY-build/mqassay}
fake=build/plain/fuzz/network/tests/fake_broker
dir=$(mktemp -d) || exit 3
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' HUP INT TERM
ulimit -c 0

san=build/san/fuzz/network/tests/fake_broker	# some deeds only a sanitizer sees
[ -x $san ] || make --no-print-directory -s SAN=address,undefined $san || exit 3
[ -x $fake ] || make --no-print-directory -s $fake || exit 3

# replays DEED TIMES: how often the finding in $dir/DEED.1 shows
replays() {
	shows=0
	for i in $(seq "$2"); do
		timeout -s KILL 60 "$MQASSAY" replay "$(find "$dir/$deed.1" -name finding.scn | head -n 1)" --exec "$broker --port {port} --when qos2 --does $1" >/dev/null 2>&1
		[ $? = 1 ] && shows=$((shows + 1))
	done
	echo $shows
}

# oracle DEED BUCKET [OPTION...]
oracle() {
	deed=$1 bucket=$2 broker=$fake
	shift 2
	case $deed in leaks|overruns) broker=$san ;; esac
	timeout -s KILL 100 "$MQASSAY" fuzz --exec "$broker --port {port} --when qos2 --does $deed" --cases 150 --jobs 1 --first --timeout 1s --triage 6s --findings "$dir/$deed.1" -q "$@" \
		>"$dir/$deed.out" 2>"$dir/$deed.err" </dev/null
	code=$?
	if [ -z "$bucket" ]; then
		if [ $code = 0 ]; then echo "ok $deed: no finding"; else echo "not ok $deed: exit $code: $(grep -m1 bucket "$dir/$deed.out")"; fi
	elif [ $code = 1 ] && grep -q "^  bucket   $bucket" "$dir/$deed.out"; then
		case $deed in
		grows|late|leaks)	# the least case of the first two takes longer than this: each trial plays for seconds; a leak is told when the broker ends, which no replay waits for
			echo "ok $deed: $bucket (flagged)"
			return ;;
		esac
		shows=$(replays "$deed" $TIMES) other=$(replays nothing 1)
		if [ "$shows" = $TIMES ] && [ "$other" = 0 ]; then
			echo "ok $deed: $bucket"
		else
			echo "not ok $deed: $bucket: replayed, it shows $shows of $TIMES times, and $other of 1 on a broker that is right:" \
				$(grep -m1 "^  case" "$dir/$deed.out")
		fi
	else
		echo "not ok $deed: exit $code, expected $bucket: $(grep bucket "$dir/$deed.out" | tr '\n' ' ') $(head -n 1 "$dir/$deed.err")"
	fi
}

TIMES=${TIMES-1}

# Side by side: most of their time is waiting.
{
	oracle late      'latency'           --timeout 5s
} &
{
	oracle grows     'memory'            --grows 1M
	oracle malforms  'rule .*SUBACK'
	oracle overruns  'sanitizer .* overrun<act'
} &
{
	oracle hangs     'liveness'
	oracle closes    'bystander closed'
	oracle doubles   'bystander doubled'
	oracle leaks     'sanitizer leak'
	oracle nothing   ''
} &
{
	oracle spins     'cpu'               --cases 8 --triage 25s	# each trial looks for seconds
	oracle aborts    'death signal 6'
	oracle exits     'death exit 7'
	oracle reports   'sanitizer heap-buffer-overflow read_alias<handle_publish<main'
	oracle drops     'bystander lost'
}
wait

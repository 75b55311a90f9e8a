#!/bin/sh
# Each oracle of `mqassay fuzz`, against a broker that does the one thing which that oracle is there to see: it is seen, and told under its
# bucket. One that does nothing wrong is not blamed. (Idle CPU is not asked for here: on a machine that is busy nobody can say who computes.)

MQASSAY=${MQASSAY-build/mqassay}
fake=build/plain/fuzz/network/tests/fake_broker
dir=$(mktemp -d) || exit 3
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM

[ -x $fake ] || make --no-print-directory -s $fake || exit 3

# oracle DEED BUCKET [OPTION...]
oracle() {
	deed=$1 bucket=$2
	shift 2
	timeout 60 "$MQASSAY" fuzz --exec "$fake --port {port} --when alias --does $deed" --for 8s --timeout 1s --triage 2s --findings "$dir/$deed" -q "$@" >"$dir/out" 2>"$dir/err"
	code=$?
	if [ -z "$bucket" ]; then
		if [ $code = 0 ]; then echo "ok $deed: no finding"; else echo "not ok $deed: exit $code: $(grep -m1 bucket "$dir/out")"; fi
	elif [ $code = 1 ] && grep -q "^  bucket   $bucket" "$dir/out"; then
		echo "ok $deed: $bucket"
	else
		echo "not ok $deed: exit $code, expected $bucket: $(grep bucket "$dir/out" | tr '\n' ' ') $(head -n 1 "$dir/err")"
	fi
}

oracle nothing   ''                  --cases 1900
oracle aborts    'death signal 6'    --first
oracle exits     'death exit 7'      --first
oracle malforms  'rule 5:MQTT-2.1.3-1 SUBACK' --first
oracle reports   'sanitizer heap-buffer-overflow read_alias<handle_publish<main' --first
oracle hangs     'liveness'          --first
oracle closes    'bystander closed'  --first
oracle drops     'bystander lost'    --first
oracle doubles   'bystander doubled' --cases 2100
oracle grows     'memory'            --first --grows 2M

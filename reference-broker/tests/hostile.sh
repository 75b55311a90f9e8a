#!/bin/sh
# Twenty hostile clients against the reference broker as a process: its memory stays within its bound, and a bystander is
# served. The figures are in the output; only a clear breach is a failure.

make -s all build/plain/reference-broker/bench/bench_hostile || exit 1
out=$(mktemp) || exit 1
timeout 120 build/plain/reference-broker/bench/bench_hostile 6 >"$out" 2>&1
code=$?
cat "$out"
rm -f "$out"
if [ $code -eq 0 ]; then
	echo 'ok memory within its bound, and the bystander served'
else
	echo "not ok memory within its bound, and the bystander served: exit $code"
fi

#!/bin/sh
# Every planted bug applies and compiles, and a few of them are found again in a moment: fuzz/planted/run.sh does not rot. That all
# of them are found is `make planted`, which takes its time.

run=fuzz/planted/run.sh
few='takeover-stale-session alias-one-too-far retained-leaked-when-replaced filter-without-options match-one-past websocket-length-sign'

sh $run --check

if [ ! -x build/fuzz/fuzz_broker ]; then
	echo 'skip planted bugs are found: make fuzz has not built its targets here'
	exit 0
fi
sh $run --for 30 $few | awk -F '\t' '
	NR > 1 && NF == 5 { print $4 == "-" ? "not ok planted " $1 ": " $2 " did not find it in 30 s" : "ok found " $1 " after " $4 " s" }
	{ last = $0 }
	END { if (last !~ / found of [1-9]/) print "not ok planted: run.sh came to no end: " last }'

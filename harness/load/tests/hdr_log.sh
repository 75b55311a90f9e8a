#!/bin/sh
# HdrHistogram's own tool (Debian's libhdrhistogram-java) reads what hdr_log.c writes, and both make the same of what Java wrote:
# every percentile, every count, the mean, the longest.

cd "$(dirname "$0")/../../.." || exit 3
LC_ALL=C
export LC_ALL
jar=/usr/share/java/hdrhistogram.jar
java_log=harness/load/tests/histograms/by_java.hlog
tmp=$(mktemp -d) || exit 3
trap 'rm -rf "$tmp"' EXIT
trap 'exit 3' HUP INT TERM
failed=0

ok() { printf 'ok %s\n' "$1"; }
not_ok() { printf 'not ok %s: %s\n' "$1" "$2"; failed=1; }
is() {
	if [ "$2" = "$3" ]; then ok "$1"; else not_ok "$1" "expected '$2', received '$3'"; fi
}

command -v java >/dev/null && [ -r $jar ] || { not_ok 'java and HdrHistogram' 'not found; make deps installs them'; exit 1; }
make -s build/plain/harness/load/tests/hdr_tool >/dev/null || { not_ok 'hdr_tool' 'could not be built'; exit 1; }
tool=build/plain/harness/load/tests/hdr_tool

by_java() {	# LOG [TAG]: percentiles of all its intervals
	java -XX:TieredStopAtLevel=1 -cp $jar org.HdrHistogram.HistogramLogProcessor -i "$1" -o "$tmp/out" ${2:+-tag "$2"} >"$tmp/err" 2>&1 ||
		{ cat "$tmp/err"; return 1; }
	grep -v -E '^#\[(Overall|StartTime)' "$tmp/out.hgrm"	# of the log, not of the histogram
}

same() {	# NAME LOG TAG LINES
	by_java "$2" "$3" >"$tmp/theirs"
	$tool percentiles "$3" <"$2" >"$tmp/ours" 2>&1
	if [ "$(wc -l <"$tmp/ours")" -lt "$4" ]; then
		not_ok "$1" "too little: $(head -n 5 "$tmp/ours")"
	elif cmp -s "$tmp/theirs" "$tmp/ours"; then
		ok "$1"
	else
		not_ok "$1" "$(diff "$tmp/theirs" "$tmp/ours" | head -n 6 | tr '\n' '|')"
	fi
}

$tool write 11 >"$tmp/log"
is 'java finds the tags' '[NO TAG (default)] empty one-value robot.ack robot.ack.uncorrected' \
	"$(java -cp $jar org.HdrHistogram.HistogramLogProcessor -i "$tmp/log" -listtags 2>&1 | grep -v -i '^tags found' | sed 's/[[:space:]]*$//' | sort | tr '\n' ' ' | sed 's/ $//')"
same 'our log, no tag'            "$tmp/log" '' 100
same 'our log, a tag'             "$tmp/log" robot.ack 100
same 'our log, a single value'    "$tmp/log" one-value 5
same 'our log, empty histograms'  "$tmp/log" empty 5
same 'a log of java'              $java_log '' 100
same 'a log of java, a tag'       $java_log robot.ack 100

# What is written of two runs that are merged.
MQASSAY=${MQASSAY:-$PWD/build/mqassay}
for i in 0 1; do
	"$MQASSAY" load fan-in -D collectors=2 -D sensors=100 -D period=70ms --for 3s --shard $i/2 --report json="$tmp/$i.json" >/dev/null || not_ok 'a run' "exit $?"
done
"$MQASSAY" load merge "$tmp/0.json" "$tmp/1.json" --report hdr="$tmp/runs.hdr" >/dev/null || not_ok 'runs merged' "exit $?"
same 'the log of two runs merged' "$tmp/runs.hdr" collector.delivery 10

# The test can see: one count less in one interval is another text.
sed '$d' "$tmp/log" | sed '/^Tag=robot.ack,19/d' >"$tmp/less"
$tool percentiles robot.ack <"$tmp/less" >"$tmp/ours"
by_java "$tmp/log" robot.ack >"$tmp/theirs"
if cmp -s "$tmp/ours" "$tmp/theirs"; then not_ok 'an interval less is seen' 'it is not'; else ok 'an interval less is seen'; fi
exit $failed

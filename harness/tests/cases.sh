#!/bin/sh
# codec/tests/cases.tsv on the wire: each packet of a client is sent to the reference broker, over loopback, and to
# Debian's Mosquitto. Each must treat it as the row's verdict says, or as its own column says, for the reason given there.
# One test a row and broker. Run from the top folder with the program in $MQASSAY.

mqassay=${MQASSAY:-build/mqassay}
cases=codec/tests/cases.tsv
dir=$(mktemp -d) || exit 3
trap 'rm -rf "$dir"' EXIT
mkdir "$dir/scenarios"
awk -v to="$dir/scenarios" -f harness/tests/cases_to_scenarios.awk "$cases" || exit 3

# judge COLUMN COMMAND: one at a time, since many rows have the same client id
judge() {
	"$mqassay" conform -v --jobs 1 --scenarios "$dir/scenarios" --exec "$2" >"$dir/report" 2>&1
	code=$?
	[ $code -eq 0 ] || sed 's/^/    /' "$dir/report"
	awk -F '\t' -v broker="$1" -v code="$code" '
		FNR == NR && /^pass .*\/[0-9]+\.scn / {
			sub(/^.*\//, ""); sub(/\.scn.*/, "")
			seen[$0] = "-"
		}
		FNR == NR && /^skip .*: [0-9]+ [a-z]+$/ {
			sub(/^.*: /, "")
			split($0, word, " ")
			seen[word[1]] = word[2]
		}
		FNR == NR || /^#/ { next }
		$1 == "hex" {
			for (i = 1; i <= NF; i++)
				if ($i == broker)
					column = i
			next
		}
		$3 == "c" {
			expected = $column == "" ? "-" : $column
			why = expected
			sub(/:.*/, "", expected)
			sub(/^[a-z]+: */, "", why)
			observed = FNR in seen ? seen[FNR] : "no verdict"
			name = broker ", line " FNR ", " $2 ", " $4 ", " $6
			if (observed != expected)
				wrong(name ": " observed ", the file says " expected)
			else if (observed != "-" && why !~ / /)
				wrong(name ": " observed ", without a reason")
			else
				print "ok " name
		}
		END {
			if (!column || code != 0)
				wrong(broker ": exit " code)
			exit bad
		}
		function wrong(what) { print "not ok " what; bad = 1 }' "$dir/report" "$cases" || failed=1
}

failed=0
judge reference "'$mqassay' broker --listen tcp://127.0.0.1:{port}"
version=$(mosquitto -h 2>/dev/null | sed -n '1s/mosquitto version //p')
if [ "$version" = 2.0.11 ]; then
	judge mosquitto 'mosquitto -p {port}'
else
	echo "skip mosquitto: the column is for 2.0.11, this is ${version:-not installed}"
fi
exit $failed

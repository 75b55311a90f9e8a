#!/bin/sh
# coverage.sh BUILD CODEC CORE: lines of these files that inputs reach, by programs built for it in BUILD. `make coverage` calls it.
# Ends with 1 where it is less than 90 %.
build=$1 codec=$2 core=$3 least=90 code=0
out=build/coverage
rm -rf "$out"
mkdir -p "$out" || exit 3

# the package names its tools by clang's version; the plain names are another package's
tool() {
	command -v "$1" || command -v "$1-$(clang -dumpversion | cut -d. -f1)" || { echo "coverage: there is no $1: install llvm" >&2; exit 3; }
}
profdata=$(tool llvm-profdata) && cov=$(tool llvm-cov) || exit 3

play() {		# WHAT TARGET FOLDER...
	what=$1 target=$2
	shift 2
	LLVM_PROFILE_FILE="$out/$what.$target.profraw" "$build/fuzz/replay_$target" "$@" >/dev/null || exit 1
}

report() {		# WHAT TITLE FILES TARGET...
	what=$1 title=$2 files=$3 program=$build/fuzz/replay_$4
	shift 4
	objects=
	for target; do
		objects="$objects -object $build/fuzz/replay_$target"
	done
	"$profdata" merge -sparse -o "$out/$what.profdata" "$out/$what".*.profraw || exit 1
	"$cov" report "$program" $objects -instr-profile="$out/$what.profdata" $files >"$out/$what.txt" || exit 1
	"$cov" show "$program" $objects -instr-profile="$out/$what.profdata" $files >"$out/$what.lines" || exit 1
	awk -v title="$title" -v least="$least" '
		$1 ~ /\.c$/ { n = split($1, path, "/"); printf "  %-14s %5d of %5d  %6.2f%%\n", path[n], $8 - $9, $8, 100 * ($8 - $9) / $8 }
		$1 == "TOTAL" { share = 100 * ($8 - $9) / $8; printf "%s: %d of %d lines, %.2f%% (at least %d%%)\n", title, $8 - $9, $8, share, least }
		END { exit !(share >= least) }' "$out/$what.txt" || code=1
}

for target in roundtrip text websocket broker mutate scenario; do
	seeds=$target
	[ $target != roundtrip ] || seeds=decode
	play codec $target build/seeds/$seeds
done
report codec 'codec, from the seeds alone' "$codec" roundtrip text websocket broker mutate scenario

play core broker build/seeds/broker fuzz/corpus/broker
play core link fuzz/corpus/link
play core alloc fuzz/corpus/alloc
report core "the broker's core, from seeds and corpora" "$core" broker link alloc
exit $code

#!/bin/sh
# coverage.sh BUILD CODEC CORE: lines of these files that inputs reach, by programs built for it in BUILD. `make coverage` calls it.
build=$1 codec=$2 core=$3
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
	awk -v title="$title" '$1 == "TOTAL" { printf "%s: %s of %s lines, %s\n", title, $8 - $9, $8, $10 }' "$out/$what.txt"
}

play codec roundtrip build/seeds/decode
play codec broker build/seeds/broker
play codec scenario build/seeds/scenario
report codec 'codec, from the seeds alone' "$codec" roundtrip broker scenario

play core broker build/seeds/broker fuzz/corpus/broker
play core link fuzz/corpus/link
play core alloc fuzz/corpus/alloc
report core "the broker's core, from seeds and corpora" "$core" broker link alloc

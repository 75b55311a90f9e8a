#!/bin/sh
# Runs the build script of OSS-Fuzz as its image does, with two targets, and looks at what it leaves: names, seeds, dictionary, options, libraries, and that each
# runs where ours are not: an empty input, the seeds.

top=$PWD
work=$(mktemp -d) || exit 3
trap 'rm -rf "$work"' EXIT

ok() { echo "ok $1"; }
not_ok() { echo "not ok $1: $2"; }
is() { if eval "$2"; then ok "$1"; else not_ok "$1" "$2"; fi; }

# Every target has a line of its own, and every dictionary is there.
for name in $(make -s list-fuzz); do
	dict=$(awk -v name="$name" '$1 == name { print $2 }' fuzz/dictionaries)
	is "fuzz/dictionaries: $name" "[ -n '$dict' ] && { [ '$dict' = - ] || [ -s 'fuzz/$dict.dict' ]; }"
done
is 'fuzz/dictionaries: no other' "[ \$(grep -v '^#' fuzz/dictionaries | wc -l) -eq \$(make -s list-fuzz | wc -w) ]"

# $SRC/mqassay is this tree; $WORK stays from run to run, as objects of all of it take a minute.
mkdir -p "$work/src" "$work/out" build/oss-fuzz
ln -s "$top" "$work/src/mqassay"
flags='-O1 -gline-tables-only -fno-omit-frame-pointer -fsanitize=address -fsanitize-address-use-after-scope -fsanitize=fuzzer-no-link'
if ! SRC=$work/src OUT=$work/out WORK=$top/build/oss-fuzz CC=clang CXX=clang++ CFLAGS="$flags" CXXFLAGS="$flags" LIB_FUZZING_ENGINE=-fsanitize=fuzzer \
	TARGETS='decode link' LIBRARY=libbroker.a bash "$top/.clusterfuzzlite/build.sh" >"$work/log" 2>&1; then
	not_ok 'build.sh' "$(tail -n 3 "$work/log" | tr '\n' ' ')"
	exit 1
fi
ok 'build.sh'

cd "$work/out" || exit 3
is 'names' "[ -z \"\$(ls | grep -v -x -E 'lib|[A-Za-z0-9_-]+(|_seed_corpus\.zip|\.dict|\.options)')\" ]"
for target in fuzz_decode fuzz_link; do
	is "$target: a program" "[ -x $target ]"
	is "$target: seeds, flat" "unzip -l ${target}_seed_corpus.zip | awk 'NR > 3 && NF == 4 { n++; if (\$4 ~ /\\//) bad = 1 } END { exit !(n > 5 && !bad) }'"
	is "$target: options name a dictionary that is there" "grep -q '^\[libfuzzer\]' $target.options && [ -s \"\$(sed -n 's/^dict = //p' $target.options)\" ]"
	strange=$(ldd $target | awk '/not found/ || $2 == "=>" { print $1, $3 }' | grep -v -E "$work/out/(\./)?lib/|^(libc|libm|libdl|libpthread|librt|libgcc_s|libstdc\+\+)\.so")
	is "$target: its libraries" "[ -z '$strange' ]"
	: >"$work/empty"
	is "$target: an empty input" "timeout 20 ./$target '$work/empty' >/dev/null 2>&1"
	mkdir -p "$work/$target" && unzip -q -o "${target}_seed_corpus.zip" -d "$work/$target"
	is "$target: its seeds" "timeout 100 ./$target -runs=0 -timeout=10 -dict=\$(sed -n 's/^dict = //p' $target.options) '$work/$target' >/dev/null 2>&1"
done

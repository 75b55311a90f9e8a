#!/bin/sh
# The planted bugs: each *.patch here breaks the codec or the broker in one way that brokers were broken in before. They are
# applied one at a time to a copy of the tree, never to the tree, and a fuzzer has to find them.
#
#	run.sh [OPTION...] [PATCH...]      PATCH: part of a name, 07 or takeover; all of them when none is given
#	  --libfuzzer      the target that the patch names, from the corpus that is checked in; this is what is done by default
#	  --network        mqassay fuzz against the broker with sanitizers, for patches that show outside
#	  --seeds N        how often, with seeds 1 to N (1); with more than one the median is a row of its own
#	  --for SECONDS    after which a bug counts as not found (60; --network 120)
#	  --triage D       what mqassay fuzz may take to make a finding smaller and to repeat it (30s)
#	  --work DIR       where the copy, the logs and the table are (build/planted); another for each of those that run side by side
#	  --check          only whether each patch applies and compiles without warnings
#
# Prints a table with tabs between patch, fuzzer, seed, seconds ("-": not found) and what was seen, and `N found of M` at last: a bug
# is found when its median is a number. Once most of its seeds have found it, or most have not, the others are passed over: the median
# is what was printed then, or less. Exit code 0: all of them were found. Logs and inputs stay in DIR/found/.

cd "$(dirname "$0")/../.." || exit 3
unset MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES CDPATH
LC_ALL=C
export LC_ALL
top=$PWD
work=$top/build/planted
san=address,undefined
ASAN_OPTIONS=${ASAN_OPTIONS-abort_on_error=0:detect_stack_use_after_return=1}
UBSAN_OPTIONS=${UBSAN_OPTIONS-print_stacktrace=1}
export ASAN_OPTIONS UBSAN_OPTIONS
ulimit -c 0

mode=libfuzzer seeds=1 limit= triage=30s
usage() {
	sed -n '5,13s/^# \{0,1\}//p' "$0" >&2
	exit 2
}
number() {
	case $1 in '' | *[!0-9]* | 0*) usage ;; esac
	echo "$1"
}
while [ $# -gt 0 ]; do
	case $1 in
	--libfuzzer) mode=libfuzzer ;;
	--network) mode=network ;;
	--check) mode=check ;;
	--seeds) seeds=$(number "$2") || exit 2; shift ;;
	--for) limit=$(number "$2") || exit 2; shift ;;
	--triage) triage=${2:?}; shift ;;
	--work) mkdir -p "$2" && work=$(realpath "$2") || exit 2; shift ;;
	-*) usage ;;
	*) break ;;
	esac
	shift
done
tree=$work/tree
found=$work/found
GIT_CEILING_DIRECTORIES=$work		# the copy is no part of the repository that it lies in
export GIT_CEILING_DIRECTORIES
if [ -z "$limit" ]; then
	[ $mode = network ] && limit=120 || limit=60
fi

patches=
for file in fuzz/planted/*.patch; do
	name=$(basename "$file" .patch)
	[ $# -gt 0 ] || patches="$patches $name"
	for part; do
		case $name in *"$part"*) patches="$patches $name"; break ;; esac
	done
done
[ -n "$patches" ] || { echo "run.sh: no patch has such a name: $*" >&2; exit 2; }

# said NAME KEY: what the head of a patch says
said() {
	sed -n "/^diff /q; s/^$2: *//p" "fuzz/planted/$1.patch"
}

touched() {		# NAME: files that it changes
	sed -n 's|^+++ b/||p' "fuzz/planted/$1.patch"
}

# ---- the copy ----

# Times stay as they are, so that make takes objects that are up to date here as up to date there.
copy_tree() {
	rm -rf "$tree"
	mkdir -p "$tree/build" "$found" || exit 3
	if git -C "$top" rev-parse --git-dir >/dev/null 2>&1; then
		git ls-files -z
	else
		find . -path ./build -prune -o -type f -print0
	fi | xargs -0 cp -p --parents -t "$tree" || exit 3
}

copy_objects() {	# FOLDER below build
	[ ! -d "build/$1" ] || cp -rp "build/$1" "$tree/build/" || exit 3
}

plant() {		# NAME
	: >"$work/planted"
	(cd "$tree" && git apply -p1 "$top/fuzz/planted/$1.patch") || return 1
	for file in $(touched "$1"); do
		touch "$tree/$file"		# behind $work/planted, on file systems of coarse times as well
	done
}

# Sources as they were, and objects: taken from here where they are, else made anew.
weed() {		# NAME
	for file in $(touched "$1"); do
		cp -p "$file" "$tree/$file" || exit 3
	done
	(cd "$tree" && find build ! -type d -newer "$work/planted") | while read -r file; do
		if [ -e "$file" ]; then
			cp -p "$file" "$tree/$file"
		else
			rm -f "$tree/$file"
		fi
	done
}

# ---- whether they apply and compile ----

compiles() {		# NAME
	for file in $(touched "$1"); do
		case $file in
		*.h) echo codec/decode.c; echo codec/encode.c ;;	# which read and write by them
		*) echo "$file" ;;
		esac
	done | sort -u | while read -r file; do
		(cd "$tree" && eval "$flags -Werror -fsyntax-only -O0 $file") || echo "$file does not compile"
	done
}

check() {		# NAME: a line about it
	(cd "$top" && git apply --check -p1 "fuzz/planted/$1.patch") >"$work/why" 2>&1 || {
		echo "not ok planted $1: does not apply: $(head -n 1 "$work/why")"
		return
	}
	for key in class visible oracle minimal target; do
		[ -n "$(said "$1" $key)" ] || { echo "not ok planted $1: its head does not say its $key"; return; }
	done
	plant "$1" || { echo "not ok planted $1: does not apply to the copy"; return; }
	compiles "$1" >"$work/why" 2>&1
	weed "$1"
	if [ -s "$work/why" ]; then
		echo "not ok planted $1: $(grep -m 1 -e error: -e warning: -e 'not compile' "$work/why")"
	else
		echo "ok planted $1"
	fi
}

if [ $mode = check ]; then
	copy_tree
	make -s WERROR=1 build/werror/.flags || exit 3
	flags=$(sed 's/-DMQASSAY_DATE=[^-]*-/-/' build/werror/.flags)	# has blanks, and quotes no more
	for name in $patches; do
		check "$name"
	done | tee "$work/checked"
	! grep -q '^not ok' "$work/checked"
	exit
fi

# ---- what finds them ----

# what LOG: in a word or two what the sanitizer or the fuzzer saw
what() {
	sed -n -e 's/.*ERROR: AddressSanitizer: \([a-zA-Z-]*\).*/\1/p' -e 's/.*ERROR: LeakSanitizer.*/leak/p' -e 's/.*runtime error: \(.*\)/\1/p' \
		-e 's/.*Assertion .\(.*\). failed.*/assertion \1/p' -e 's/.*ERROR: libFuzzer: \([a-z-]* *[a-z-]*\).*/\1/p' "$1" | head -n 1 | cut -c 1-60
}

where() {		# LOG: the innermost function of ours
	sed -n 's#^ *[\#][0-9]* 0x.* in \([a-z_0-9]*\) .*/\(codec\|reference-broker\|fuzz\)/\([a-z_0-9./]*\):\([0-9]*\).*#\1 \3:\4#p' "$1" | head -n 1
}

build() {		# LOG VARIABLE=... GOAL
	log=$1
	shift
	(cd "$tree" && make -s -j"$(nproc)" "$@") >"$log" 2>&1 && ! grep -q 'warning:' "$log"
}

# Each prints seconds and what was seen; a dash and nothing when nothing was. -entropic=0: to weigh its corpus takes libFuzzer more time than to play it.
by_libfuzzer() {	# NAME TARGET SEED
	log=$found/$1-$3.log
	corpus=$found/$1-$3.corpus
	rm -rf "$corpus"
	mkdir -p "$corpus"
	dictionary=$(awk -v target="$2" '$1 == target && $2 != "-" { print "-dict=fuzz/" $2 ".dict" }' fuzz/dictionaries)
	started=$(date +%s.%N)
	(cd "$tree" && timeout $((limit + 60)) "build/fuzz/fuzz_$2" -seed="$3" -entropic=0 -max_total_time="$limit" -timeout=10 -rss_limit_mb=2048 $dictionary \
		-artifact_prefix="$found/$1-$3-" "$corpus" "$top/fuzz/corpus/$2") >"$log" 2>&1
	code=$?
	rm -rf "$corpus"
	if [ $code -eq 0 ]; then
		printf -- '-\t\n'
	else
		seen "$started" "$log"
	fi
}

seen() {		# STARTED LOG
	printf '%s\t%s %s\n' "$(echo "$(date +%s.%N) $1" | awk '{ printf "%.1f", $1 - $2 }')" "$(what "$2")" "$(where "$2")"
}

# Seconds with the making smaller in them. What was seen: bucket, size beside that of the one made by hand, and how often it shows.
by_network() {		# NAME TARGET SEED
	log=$found/$1-network-$3.log
	rm -rf "$found/$1-network-$3"
	started=$(date +%s.%N)
	timeout -s KILL $((limit + 180)) build/mqassay fuzz --exec "'$tree/build/san/mqassay' broker --listen tcp://127.0.0.1:{port}" --for "${limit}s" --seed "$3" \
		--triage "$triage" --first --findings "$found/$1-network-$3" >"$log" 2>&1
	code=$?
	if [ $code -eq 1 ]; then
		printf '%s\t%s\n' "$(echo "$(date +%s.%N) $started" | awk '{ printf "%.1f", $1 - $2 }')" \
			"$(awk -v hand="$(said "$1" minimal)" -f fuzz/planted/found.awk "$log")"
	elif [ $code -eq 0 ]; then
		printf -- '-\t\n'
	else
		printf -- '-\texit %s: %s\n' $code "$(tail -n 1 "$log")"
	fi
}

# That many seconds, or fewer, took more than half of the seeds; a dash, if they did not find it.
median() {
	grep -v '^-$' | sort -n | awk -v seeds="$seeds" '{ at[NR] = $1 } END { m = int(seeds / 2) + 1; print m in at ? at[m] : "-" }'
}

decided() {		# more than half of the seeds say the same
	[ $(($(grep -c '^-$' "$work/seconds") * 2)) -gt "$seeds" ] || [ $(($(grep -vc '^-$' "$work/seconds") * 2)) -gt "$seeds" ]
}

if [ $mode = network ]; then
	make -s -j"$(nproc)" all && make -s -j"$(nproc)" SAN=$san all || exit 3
	objects=san
else
	goals=
	for name in $patches; do
		goal=$(said "$name" target)
		[ ! -f "fuzz/fuzz_$goal.c" ] || goals="$goals build/fuzz/fuzz_$goal"
	done
	[ -z "$goals" ] || make -s -j"$(nproc)" CC=clang FUZZ=1 SAN=$san $(printf '%s\n' $goals | sort -u) || exit 3
	objects=san-fuzz-clang
fi
copy_tree
copy_objects $objects

table=$work/$mode.tsv
printf 'patch\tfuzzer\tseed\tseconds\tseen\n' | tee "$table"
for name in $patches; do
	goal=$(said "$name" target)
	fuzzer=$mode
	[ $mode = network ] || fuzzer=fuzz_$goal
	if [ $mode = network ] && [ "$(said "$name" visible)" != network ]; then
		continue
	elif [ $mode = libfuzzer ] && [ ! -f "fuzz/fuzz_$goal.c" ]; then
		printf '%s\t%s\tmedian\t-\tthere is no such target\n' "$name" "$fuzzer"
		continue
	fi
	plant "$name" || { printf '%s\t%s\tmedian\t-\tdoes not apply\n' "$name" "$fuzzer"; continue; }
	if [ $mode = network ]; then
		build "$work/build.log" SAN=$san build/san/mqassay
	else
		build "$work/build.log" CC=clang FUZZ=1 SAN=$san "build/fuzz/fuzz_$goal"
	fi || { printf '%s\t%s\tmedian\t-\tdoes not build: see %s\n' "$name" "$fuzzer" "$work/build.log"; weed "$name"; continue; }
	: >"$work/seconds"
	seed=1
	while [ $seed -le "$seeds" ] && ! decided; do
		result=$(by_$mode "$name" "$goal" $seed)
		printf '%s\t%s\t%s\t%s\n' "$name" "$fuzzer" $seed "$result"
		printf '%s\n' "$result" | cut -f 1 >>"$work/seconds"
		seed=$((seed + 1))
	done
	[ "$seeds" -eq 1 ] || printf '%s\t%s\tmedian\t%s\t\n' "$name" "$fuzzer" "$(median <"$work/seconds")"
	weed "$name"
done | tee -a "$table"

if [ "$seeds" -gt 1 ]; then
	awk -F '\t' '$3 == "median" { n++; f += $4 != "-" } END { printf "%d found of %d\n", f, n; exit f != n }' "$table"
else
	awk -F '\t' 'NR > 1 { n++; f += $4 != "-" } END { printf "%d found of %d\n", f, n; exit f != n }' "$table"
fi

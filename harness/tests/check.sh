#!/bin/sh
# Everything that proves this tree: `make check` runs it from the top folder. Each part says what it runs and how
# long it took; its whole output is kept in build/check/. The last line counts the tests.
#
# A new part is one function and one `part` line at the end. What counts as a test in a part's output:
#   cmocka's summary lines · lines `ok NAME`, `not ok NAME: why`, `skip NAME: why`
# A part that ends with another code than 0 and has shown no failed test is a failed test itself; one that shows no test
# at all is one test.
# Any other */tests/*.sh or harness/load/tests/*.sh is a part by itself: run from the top folder, with the program in $MQASSAY.
# (brokers.sh belongs to the part `suite in real time`.)
#
# check.sh [PATTERN...]: only parts whose name contains one of them.

cd "$(dirname "$0")/../.." || exit 3
unset MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES CDPATH
LC_ALL=C
PATH=$PATH:/usr/sbin	# where mosquitto is, and users' shells do not look
export LC_ALL PATH
jobs=$(nproc)
logs=$PWD/build/check
MQASSAY=$PWD/build/mqassay
export MQASSAY
san=address,undefined
ASAN_OPTIONS=${ASAN_OPTIONS-abort_on_error=0:detect_stack_use_after_return=1}
UBSAN_OPTIONS=${UBSAN_OPTIONS-print_stacktrace=1}
export ASAN_OPTIONS UBSAN_OPTIONS

passed=0 failed=0 skipped=0
only=$*

# ---- the machinery ----

# count FILE: sets n_passed n_failed n_skipped
count() {
	set -- $(awk '
		/^\[  PASSED  \] [0-9]+ test\(s\)/ { p += $4; next }
		/^\[  FAILED  \] [0-9]+ test\(s\)/ { f += $4; next }
		/^\[  SKIPPED \] [0-9]+ test\(s\)/ { s += $4; next }
		/^ok / { p++ }
		/^not ok / { f++ }
		/^skip / { s++ }
		END { print p + 0, f + 0, s + 0 }' "$1")
	n_passed=$1 n_failed=$2 n_skipped=$3
}

wanted() {
	[ -n "$only" ] || return 0
	for pattern in $only; do
		case $1 in *"$pattern"*) return 0 ;; esac
	done
	return 1
}

# perform COMMAND...: the part $name; sets log, code and seconds
perform() {
	log=$logs/$(printf %s "$name" | tr -c 'a-zA-Z0-9.\n-' _).log
	start=$(date +%s)
	( "$@" ) >"$log" 2>&1 </dev/null
	code=$?
	seconds=$(($(date +%s) - start))
}

# tell: what has come of the part $name, by log, code and seconds
tell() {
	count "$log"
	if [ $code -ne 0 ] && [ "$n_failed" -eq 0 ]; then
		n_failed=1
	elif [ $((n_passed + n_failed + n_skipped)) -eq 0 ]; then
		n_passed=1
	fi
	if [ "$n_failed" -gt 0 ]; then
		grep -a -E '^not ok |^\[  FAILED  \] |^\[   LINE   \]|error:|ERROR: |warning:' "$log" | head -n 40 | sed 's/^/   /'
		echo "   exit $code; the last lines of $log:"
		tail -n 15 "$log" | sed 's/^/   | /'
	fi
	printf '   %s passed, %s failed, %s skipped in %s s\n' "$n_passed" "$n_failed" "$n_skipped" "$seconds"
	passed=$((passed + n_passed))
	failed=$((failed + n_failed))
	skipped=$((skipped + n_skipped))
}

# part NAME COMMAND...
part() {
	name=$1
	shift
	wanted "$name" || return 0
	printf '== %s\n' "$name"
	perform "$@"
	tell
}

# run NAME COMMAND...: one test that is a command's exit code; what it prints is not counted
run() {
	name=$1
	shift
	own=$logs/run-$(printf %s "$name" | tr -c 'a-zA-Z0-9.' _).log	# several may run side by side
	"$@" >"$own" 2>&1
	code=$?
	sed 's/^/    /' "$own"
	rm -f "$own"
	if [ $code -eq 0 ]; then
		echo "ok $name"
	else
		echo "not ok $name: exit $code: $*"
	fi
}

# side_by_side FUNCTION ITEM...: the function is called for each, as many at a time as there are cores; their outputs come in order
side_by_side() {
	function=$1
	shift
	strand=0
	rm -rf "$logs"/claim.*
	while [ $strand -lt "${strands:-$jobs}" ]; do
		(
			n=0
			for item; do
				! mkdir "$logs/claim.$n" 2>/dev/null || "$function" "$item" >"$logs/side.$n" 2>&1	# whoever is free takes the next
				n=$((n + 1))
			done
		) &
		strand=$((strand + 1))
	done
	wait
	n=0
	for item; do
		cat "$logs/side.$n"
		rm -rf "$logs/side.$n" "$logs/claim.$n"
		n=$((n + 1))
	done
}

# ---- the parts ----

build() {		# what users build, from whatever state the folder is in
	run 'make' make -j"$jobs" all
	run 'the program runs' build/mqassay --version
}

build_strictly() {	# gcc or clang: programs, tests, benches and fuzz targets, every warning an error
	run "$1 -Werror" make -k -j"$jobs" CC="$1" WERROR=1 everything
}

unit_test() {		# PROGRAM
	echo "-- $1"
	own=$logs/unit-$(basename "$1").log
	timeout 300 "$1" >"$own" 2>&1
	code=$?
	cat "$own"
	# One that counts its own failures has told them; a crash, a leak or a timeout has not.
	[ $code -eq 0 ] || grep -a -q '^\[  FAILED  \] [0-9]' "$own" || echo "not ok $1: exit $code"
	rm -f "$own"
}

unit_tests() {		# every test program, even after one has failed
	make -j"$jobs" SAN=$san tests || return 1
	side_by_side unit_test $(make -s SAN=$san list-tests)
}

replay_corpus() {	# TARGET
	run "corpus of $1" timeout 300 "build/san/fuzz/replay_$1" "fuzz/corpus/$1"
}

fuzz_corpus() {
	make -j"$jobs" SAN=$san fuzz-replays || return 1
	side_by_side replay_corpus $(make -s list-fuzz)
}

live_target() {		# TARGET
	rm -rf "$logs/live_$1"
	mkdir -p "$logs/live_$1" "fuzz/corpus/$1"
	run "live $1" timeout 120 "build/fuzz/fuzz_$1" -max_total_time=1 -timeout=5 -rss_limit_mb=2048 \
		-print_final_stats=1 -artifact_prefix="$logs/live_$1-" "$logs/live_$1" "fuzz/corpus/$1"
}

fuzz_live() {		# a few seconds each: enough to see that the targets work, and for what is near
	make -j"$jobs" fuzz || return 1
	side_by_side live_target $(make -s list-fuzz)
}

# AFL++ runs the same functions; that they start and find nothing at once is seen with one that reads files, with the broker, and with the one that sees leaks.
afl_plays() {		# TARGET
	out=$logs/afl_$1
	rm -rf "$out"
	ASAN_OPTIONS=abort_on_error=1:symbolize=0:detect_leaks=0 UBSAN_OPTIONS= AFL_I_DONT_CARE_ABOUT_MISSING_CRASHES=1 AFL_SKIP_CPUFREQ=1 \
		AFL_NO_UI=1 AFL_NO_AFFINITY=1 AFL_FAST_CAL=1 \
		timeout 120 afl-fuzz -i "fuzz/corpus/${1#*_}" -o "$out" -V 4 -m none -t 5000 -- "build/afl/$1" || return 1
	grep -E '^(execs_done|saved_crashes|saved_hangs) ' "$out/default/fuzzer_stats"
	grep -q '^saved_crashes *: 0$' "$out/default/fuzzer_stats" && grep -q '^execs_done *: [1-9][0-9]' "$out/default/fuzzer_stats"
}

afl_target() {		# TARGET
	run "AFL++ $1" afl_plays "$1"
}

fuzz_afl() {		# the one that sees leaks is made of little; with all the others the whole library is compiled once more (make fuzz-afl)
	make build/afl/engine.so && AFL_QUIET=1 AFL_USE_LSAN=1 make -j"$jobs" CC=afl-clang-fast SAN=leak build/afl/leaks_broker || return 1
	afl_target leaks_broker
}

make_help() {
	for target in all conform check fuzz bench install uninstall clean; do
		run "make help lists $target" sh -c "make help | grep -q '^  make $target '"
	done
}

install_uninstall() {
	make -j"$jobs" all || return 1
	dest=$(mktemp -d) || return 1
	run 'install' make DESTDIR="$dest" PREFIX=/usr install
	run 'the program is there' test -x "$dest/usr/bin/mqassay"
	run 'runs from another folder' sh -c "cd / && '$dest/usr/bin/mqassay' --version"
	run 'help from another folder' sh -c "cd / && '$dest/usr/bin/mqassay' --help"
	if "$dest/usr/bin/mqassay" --help | grep -q '^  conform '; then
		run 'plays the suite from another folder' sh -c "cd / && '$dest/usr/bin/mqassay' conform"
	fi
	run 'uninstall' make DESTDIR="$dest" PREFIX=/usr uninstall
	run 'nothing is left' sh -c "[ -z \"\$(find '$dest' ! -type d)\" ]"
	rm -rf "$dest"
}

lint_all() {
	run 'every scenario' "$MQASSAY" lint $(find scenarios -name '*.scn')
}

suite_in_process() {
	make -j"$jobs" SAN=$san all || return 1
	run 'in process, all configurations' "$MQASSAY" conform --broker all
	run 'in random pieces' "$MQASSAY" conform --split random
	for transport in tls ws wss; do
		run "in process, over $transport" "$MQASSAY" conform --transport $transport
	done
	run 'with sanitizers, over wss, in random pieces' build/san/mqassay conform --transport wss --split random --mqtt 5
	run 'with sanitizers, all configurations' build/san/mqassay conform --broker all
	run 'with sanitizers, in random pieces' build/san/mqassay conform --broker all --split random
	run 'cases.tsv on the wire, with sanitizers' env MQASSAY="$PWD/build/san/mqassay" sh harness/tests/cases.sh
}

# The tests of a protocol about time wait side by side, and so do these; their outputs come one after the other.
suite_in_real_time() {
	run 'in process, in real time' "$MQASSAY" conform --real >"$logs/apart.1" &
	run 'a process, over loopback' "$MQASSAY" conform --exec "'$MQASSAY' broker --listen tcp://127.0.0.1:{port} --listen ws://127.0.0.1:{ws_port}" >"$logs/apart.2" &
	sh harness/tests/brokers.sh >"$logs/apart.3" 2>&1 &
	wait
	cat "$logs"/apart.[123]
	rm -f "$logs"/apart.[123]
}

proof() {
	run 'every fault is caught' "$MQASSAY" conform --prove
}

shell_test() {		# FILE
	timeout 600 sh "$1"
}

aside() {		# FILE
	name=$1
	perform shell_test "$1"
	echo "$code $seconds" >"$log.end"
}

# Most of their time they wait for a broker or for a tool that has one thread.
shell_tests() {		# FILE...
	chosen=
	for name; do
		! wanted "$name" || chosen="$chosen $name"
	done
	[ -n "$chosen" ] || return 0
	echo '-- side by side:'
	strands=$((jobs + 1)) side_by_side aside $chosen
	for name in $chosen; do
		log=$logs/$(printf %s "$name" | tr -c 'a-zA-Z0-9.\n-' _).log
		read -r code seconds <"$log.end"
		rm -f "$log.end"
		printf '== %s\n' "$name"
		tell
	done
}

# ---- what is run ----

mkdir -p "$logs"
whole_start=$(date +%s)

part 'build'                      build
part 'gcc -Werror'                build_strictly gcc
part 'clang -Werror'              build_strictly clang
part 'unit tests with sanitizers' unit_tests
part 'fuzz corpus'                fuzz_corpus
part 'fuzz live'                  fuzz_live
part 'fuzz AFL++'                 fuzz_afl
part 'make help'                  make_help
part 'install'                    install_uninstall
part 'lint'                       lint_all
part 'suite'                      suite_in_process
part 'suite in real time'         suite_in_real_time
part 'proof'                      proof
shell_tests $(ls */tests/*.sh | grep -v -e '^harness/tests/check.sh$' -e '^harness/tests/brokers.sh$')
for file in harness/load/tests/*.sh; do		# alone: they look at what a processor is used for
	part "$file" shell_test "$file"
done

printf 'all parts took %s s\n' $(($(date +%s) - whole_start))
printf '%s passed, %s failed, %s skipped\n' $passed $failed $skipped
[ $failed -eq 0 ] && [ $passed -gt 0 ]

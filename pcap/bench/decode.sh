#!/bin/sh
# What decoding costs: CPU time (user and system) and peak memory of each output on a capture of 1.5 million MQTT packets, of JSON
# also on the same repeated ten times, and of tshark on a part of it. `make bench` runs it from the top folder.
#
# decode.sh [FOLDER_OF_THE_BUILD]
# BENCH_PACKETS=N    MQTT packets in the capture (1500000: 200 MB)
# BENCH_REPEATS=N    how often they are repeated through a pipe (10)
# TSHARK_FRAMES=N    how many frames tshark reads, 0 for all (100000); its figures are scaled up to the whole

build=${1:-build/plain}
program=build/mqassay
packets=${BENCH_PACKETS:-1500000}
repeats=${BENCH_REPEATS:-10}
frames=${TSHARK_FRAMES:-100000}
make_capture=$build/pcap/bench/make_capture

folder=$(mktemp -d "${TMPDIR:-/tmp}/mqassay-bench.XXXXXX") || exit 3
trap 'rm -rf "$folder"' EXIT
trap 'exit 3' INT TERM HUP
capture=$folder/capture.pcap

# measure COMMAND...: prints seconds of CPU time and peak kB; exit 1 is --check's verdict and no failure
measure() {
	python3 -c '
import os, sys
pid = os.fork()
if not pid:
    null = os.open("/dev/null", os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(os.open(os.environ["BENCH_LOG"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
    os.execvp(sys.argv[1], sys.argv[1:])
_, status, use = os.wait4(pid, 0)
print("%.2f %d" % (use.ru_utime + use.ru_stime, use.ru_maxrss))
sys.exit(0 if os.WIFEXITED(status) and os.WEXITSTATUS(status) < 2 else 3)' "$@"
}
export BENCH_LOG="$folder/log"

# figure NAME SECONDS KILOBYTES [REMARK]
figure() {
	awk -v what="$1" -v s="$2" -v kb="$3" -v remark="${4-}" -v n="$packets" \
		'BEGIN { printf "%-40s %8.2f s CPU %8.2f us per packet %7.1f MB peak%s\n", what, s, s * 1e6 / n, kb / 1024, remark }'
}

# run NAME OPTION...: sets cpu
run() {
	name=$1
	shift
	if ! got=$(measure "$program" decode "$@" "$capture"); then
		echo "$name: failed: $(tail -n 1 "$folder/log")"
		failed=1
		return
	fi
	cpu=${got% *}
	figure "$name" "$cpu" "${got#* }" "${json:+$(awk -v a="$cpu" -v b="$json" 'BEGIN { if (b > 0) printf "  %.2f of JSON", a / b }')}"
}

failed=
json=
made=$("$make_capture" "$capture" "$packets" 2>&1) || { echo "$made"; exit 3; }
echo "the capture: $made"
n_frames=$(echo "$made" | sed 's/.* in \([0-9]*\) frames.*/\1/')

run 'decode --format json' --format json
json=$cpu
run 'decode' --format text
for view in connections qos topics deliveries clauses; do
	run "decode --view $view" --view $view
done
run 'decode --check' --check

# The same again and again, through a pipe: what is kept must not grow with the capture.
packets=$((packets * repeats))
for how in json check; do
	case $how in json) options='--format json' ;; check) options=--check ;; esac
	mkfifo "$folder/pipe"
	"$make_capture" - $((packets / repeats)) "$repeats" 2>/dev/null >"$folder/pipe" &
	# shellcheck disable=SC2086 # options are words
	if got=$(measure "$program" decode $options - <"$folder/pipe"); then
		figure "decode $options, repeated $repeats times" "${got% *}" "${got#* }"
	else
		echo "decode $options, repeated: failed: $(tail -n 1 "$folder/log")"
		failed=1
	fi
	wait
	rm -f "$folder/pipe"
done
packets=$((packets / repeats))

if command -v tshark >/dev/null; then
	count=
	[ "$frames" -eq 0 ] || count="-c $frames"
	# shellcheck disable=SC2086 # two words or none
	if got=$(measure tshark -r "$capture" $count -T ek); then
		cpu=$(awk -v s="${got% *}" -v part="$frames" -v whole="$n_frames" \
			'BEGIN { if (part > 0 && part < whole) s *= whole / part; printf "%.2f", s }')
		ratio=$(awk -v s="$cpu" -v json="$json" 'BEGIN { printf "%.0f", (json > 0 ? s / json : 0) }')
		remark="  $ratio times JSON"
		[ "$frames" -eq 0 ] || [ "$frames" -ge "$n_frames" ] || remark="$remark (time scaled up from $frames frames)"
		figure 'tshark -T ek' "$cpu" "${got#* }" "$remark"
	fi
fi
[ -z "$failed" ]

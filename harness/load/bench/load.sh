#!/bin/sh
# What `mqassay load` costs, each figure with its limit, beside a bare client (bench_floor.c) and other tools where they are installed; one after
# the other, as they would be each other's load. `make bench-load` runs it from the top folder.
#
# load.sh [FOLDER_OF_THE_BUILD [CASE...]]    cases: flood window receive paced connect idle stall broker; all of them without
# BENCH_SECONDS=N    how long each run lasts (5)
# BENCH_PAIRS=N      pairs of runs of the bare client and of ours, one after the other (3; of the case broker 7)
# BENCH_UNDISTURBED=1  as root, on two processors or more: clients have one for themselves, with real-time priority, and servers another. Rates are those of
#                    a quiet machine then, but who waits is woken at once: a message that is waited for costs more than where several come together
#
# CPU per message is the figure to compare between machines: user and system time of the whole process, its start and end included. Messages are
# counted by the null sink, or by mosquitto ($SYS), and not by who sends them.

build=${1:-build/plain}
[ $# -gt 0 ] && shift
exec python3 harness/load/bench/load.py "$build" "$@"

#!/bin/sh
# The dictionaries that are checked in are what the tables and the parser say today.

work=$(mktemp -d) || exit 3
trap 'rm -rf "$work"' EXIT

ok() { echo "ok $1"; }
not_ok() { echo "not ok $1: $2"; failed=1; }

failed=0
make -s fuzz-dict DICTS="$work" >"$work/log" 2>&1 || not_ok 'fuzz-dict' "$(tail -n 1 "$work/log")"
for name in mqtt scenario; do
	if cmp -s "$work/$name.dict" "fuzz/$name.dict"; then
		ok "fuzz/$name.dict"
	else
		not_ok "fuzz/$name.dict" "it is not what make fuzz-dict writes: run that, and commit it"
	fi
done
# Every entry is of the form that both fuzzers read: nothing, a comment, or a name and a value of characters and \xHH.
bad=$(grep -n -v -E '^(#.*|([a-z0-9_]+=)?"([^"\\]|\\["\\]|\\x[0-9a-f][0-9a-f])+")?$' fuzz/*.dict | head -n 1)
if [ -z "$bad" ]; then ok 'entries'; else not_ok 'entries' "$bad"; fi
exit $failed

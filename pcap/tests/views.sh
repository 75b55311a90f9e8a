#!/bin/sh
# The views of `decode`, as a user meets them: JSON against its schema, text that fits a terminal and holds nothing foreign,
# and, where mosquitto is installed, what they say of its traffic. Run from the top folder with the program in $MQASSAY.

mqassay=${MQASSAY:-build/mqassay}
here=pcap/tests
failed=0
dir=$(mktemp -d) || exit 3
trap 'rm -rf "$dir"' EXIT
views='connections qos topics deliveries'

ok() {			# NAME COMMAND...
	name=$1
	shift
	if "$@" >"$dir/said" 2>&1; then echo "ok $name"; else failed=1; echo "not ok $name: $(tail -n 1 "$dir/said" | head -c 500)"; fi
}

has() {			# NAME VIEW PATTERN
	if grep -q -E -e "$3" "$dir/$2.json"; then echo "ok $1"; else failed=1; echo "not ok $1: no $3 in $(tail -n 3 "$dir/$2.json" | head -c 400 | tr '\n' '|')"; fi
}

ok 'a capture' python3 $here/read_views.py made "$dir/all.pcap"
for view in $views; do
	timeout 60 "$mqassay" decode -q --view $view --format json "$dir/all.pcap" >"$dir/$view.json" 2>"$dir/err" || { failed=1; echo "not ok $view as JSON: $(cat "$dir/err")"; }
	timeout 60 "$mqassay" decode -q --view $view "$dir/all.pcap" >"$dir/$view.text" 2>"$dir/err" || { failed=1; echo "not ok $view as text: $(cat "$dir/err")"; }
	ok "$view fits 120 columns" python3 -c 'import sys
for line in open(sys.argv[1], encoding="utf-8"):
    assert len(line) <= 121, line
    assert all(c == "\n" or 32 <= ord(c) < 127 for c in line), repr(line)
' "$dir/$view.text"
	ok "$view shows something" test "$(wc -l <"$dir/$view.text")" -gt 5
done
if python3 -c 'import jsonschema' 2>/dev/null; then
	ok 'every line is as the schema says' python3 $here/read_views.py schema pcap/docs/views.schema.json $(for v in $views; do echo "$dir/$v.json"; done)
	for view in $views; do
		timeout 60 "$mqassay" decode -q --view $view --check --format json "$dir/all.pcap" >"$dir/$view.both"
	done
	ok 'with --check every line is as one of two schemas says' python3 $here/read_views.py both pcap/docs/views.schema.json pcap/docs/decode.schema.json \
		$(for v in $views; do echo "$dir/$v.both"; done)
else
	echo 'skip every line is as the schema says: python3-jsonschema is not installed'
fi
ok 'no secret is shown' sh -c '! grep -q secret "$1"/*.json "$1"/*.text' - "$dir"
has 'who was refused' connections '"client":"bad".*"how":"refused","by":"broker".*"reason_name":"Not_authorized"'
has 'who was taken over' connections '"how":"taken_over","by":"broker","derived":false.*"taken_over_by":5'
has 'who reset' connections '"client":"pub".*"how":"reset","by":"client"'
has 'one lost' deliveries '"kind":"delivery_lost","publisher":"pub".*"topic":"a/b","qos":1'
has 'one came twice' deliveries '"kind":"delivery_twice".*"topic":"a/c","qos":0'
has 'and that is all' deliveries '"kind":"delivery_all".*"lost":\[0,1,0\],"twice":\[1,0,0\]'
decode() {		# NAME OPTION...
	to=$dir/$1
	shift
	timeout 60 "$mqassay" decode -q "$@" "$dir/all.pcap" >"$to" 2>"$dir/err" || echo "not ok decode $*: $(cat "$dir/err")"
}

decode shown.json --view deliveries --format json --where 'payload=="7"'
has 'the lost one alone' shown '"kind":"delivery_all","published":1,"delivered":0,"due":1,"came":0,"lost":\[0,1,0\],"twice":\[0,0,0\]'
ok 'and none of the rest' test "$(grep -c '"kind":"delivery' "$dir/shown.json")" = 3
decode shown.text --view deliveries --where 'topic=="a/b" && client=="pub"'
ok 'what is shown of how many' grep -q '^20 of [0-9]* messages published match, 19 deliveries of them$' "$dir/shown.text"
has 'the will' deliveries '"wills":1'
has 'what hangs' qos '"kind":"qos_hanging".*"packet_id":40,"waits_for":"PUBACK"'
exit $failed

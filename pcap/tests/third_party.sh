#!/bin/sh
# The captures of other projects agree field by field with the lines beside them, which are tshark's. Run from the top folder.

mqassay=${MQASSAY:-build/mqassay}
tmp=$(mktemp -d) || exit 3
trap 'rm -rf "$tmp"' EXIT

for file in pcap/tests/captures/third-party/*.pcap; do
	name=$(basename "$file" .pcap)
	timeout 60 "$mqassay" decode --secrets --quiet --format json "$file" >"$tmp/ours" 2>"$tmp/err"
	if python3 pcap/tests/lib/fields.py jsonl "$tmp/ours" "${file%.pcap}.jsonl" >"$tmp/said" 2>&1; then
		echo "ok $name: $(cat "$tmp/said")"
	else
		echo "not ok $name: $(tail -n 1 "$tmp/said")"
	fi
done

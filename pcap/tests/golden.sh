#!/bin/sh
# Every capture in pcap/tests/captures decodes to what was read and found right: NAME.txt, and NAME.jsonl for JSON. NAME.options has
# more options for it. golden.sh --write [NAME...] writes those files anew: then read what changed. Run from the top folder.

mqassay=$(readlink -f "${MQASSAY:-build/mqassay}")
write=
[ "$1" = --write ] && { write=1; shift; }
only=$*
here=$PWD/pcap/tests/captures
tmp=$(mktemp -d) || exit 3
trap 'rm -rf "$tmp"' EXIT

same() {		# NAME EXPECTED FOUND
	if [ -n "$write" ]; then
		cp "$3" "$2"
	elif cmp -s "$2" "$3"; then
		echo "ok $1"
	else
		echo "not ok $1: $(diff "$2" "$3" 2>&1 | sed -n 2p | cut -c1-300)"
	fi
}

cd "$here" || exit 3
for file in *.pcap *.pcapng *.pcap.zst *.pcap.gz third-party/*.pcap; do
	[ -f "$file" ] || continue
	name=${file%%.*}
	[ -z "$only" ] || case " $only " in *" $name "*) ;; *) continue ;; esac
	options=$(cat "$name.options" 2>/dev/null)
	# Lines of a large payload are cut: the number of bytes stands in them before it.
	timeout 60 "$mqassay" decode $options "$file" 2>&1 | cut -b 1-3000 >"$tmp/text"
	timeout 60 "$mqassay" decode --quiet --format json $options "$file" 2>/dev/null | cut -b 1-3000 >"$tmp/json"
	same "$file as text" "$name.txt" "$tmp/text"
	case $file in third-party/*) ;; *) same "$file as JSON" "$name.jsonl" "$tmp/json" ;; esac
done
# The same conversation in the clear and in either TLS, told alike but for ids that the broker draws and the times

#!/bin/sh
# What tshark reads in our captures is what `decode` reads: the same packets, types, ids, topics, lengths, payloads, property values. Each
# difference is explained in pcap/tests/captures/tshark.tsv. Over WebSocket tshark 4.0 shows bytes: those are compared.
# Run from the top folder.

mqassay=${MQASSAY:-build/mqassay}
captures=pcap/tests/captures
tmp=$(mktemp -d) || exit 3
trap 'rm -rf "$tmp"' EXIT
HOME=$tmp			# no preferences of whoever runs this
export HOME

command -v tshark >/dev/null || { echo 'skip tshark: not installed'; exit 0; }
# Ports of the brokers in the captures: tshark knows 1883 and 8883 alone
ports='18831 18836 18837 18838 18839'
for port in $ports; do as="$as -d tcp.port==$port,mqtt"; done
as="$as -d tcp.port==18835,tls -d tls.port==18835,http"
for port in 18832 18833; do as="$as -d tcp.port==$port,tls -d tls.port==$port,mqtt"; done

for file in $captures/*.pcap $captures/large.pcap.zst $captures/third-party/*.pcap; do
	name=$(basename "${file%%.*}")
	what=mqtt
	case $name in
	snaplen* | tls13-no-keys) continue ;;
	ws | wss) what='websocket.opcode == 2' ;;
	esac
	options=$(cd $captures && cat "$name.options" 2>/dev/null) keys=
	case $options in *--keylog*) keys="-o tls.keylog_file:$captures/$name.keylog" options="--keylog $captures/$name.keylog" ;; esac
	timeout 60 "$mqassay" decode --secrets --quiet --format json $options "$file" >"$tmp/ours" 2>"$tmp/err"
	timeout 120 tshark -n -r "$file" $as $keys -o tcp.reassemble_out_of_order:TRUE -Y "$what" -T pdml >"$tmp/pdml" 2>"$tmp/err"
	case $what in
	mqtt) set -- tshark "$name" "$tmp/ours" "$tmp/pdml" $captures/tshark.tsv ;;
	*) set -- websocket "$tmp/ours" "$tmp/pdml" ;;
	esac
	if python3 pcap/tests/lib/fields.py "$@" >"$tmp/said" 2>&1; then
		echo "ok $name: $(tail -n 1 "$tmp/said")"
	else
		echo "not ok $name: $(tr '\n' ' ' <"$tmp/said" | cut -c1-900)"
	fi
done

# The captures that `conform --pcap` writes, of tests in which nobody breaks a rule.
for version in 3.1.1 5; do
	name=conform-$version
	set --
	for area in common/qos common/retain common/session common/takeover common/ordering 5/alias 5/expiry 5/retain 5/shared 5/acks 5/will 3.1.1/will; do
		set -- "$@" --select $area
	done
	timeout 60 "$mqassay" conform -q --mqtt $version "$@" --pcap "$tmp/conform.pcapng" >/dev/null 2>"$tmp/err"
	timeout 60 "$mqassay" decode --secrets --quiet --format json "$tmp/conform.pcapng" >"$tmp/ours" 2>>"$tmp/err"
	timeout 120 tshark -n -r "$tmp/conform.pcapng" -Y mqtt -T pdml >"$tmp/pdml" 2>>"$tmp/err"
	if python3 pcap/tests/lib/fields.py tshark $name "$tmp/ours" "$tmp/pdml" $captures/tshark.tsv >"$tmp/said" 2>&1; then
		echo "ok $name: $(tail -n 1 "$tmp/said")"
	else
		echo "not ok $name: $(tr '\n' ' ' <"$tmp/said" | cut -c1-900)"
	fi
done

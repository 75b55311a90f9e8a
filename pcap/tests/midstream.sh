#!/bin/sh
# Captures of real brokers and clients, cut in front of every frame in turn: what is found behind the cut was there, at its place.

cd "$(dirname "$0")/../.." || exit 3
LC_ALL=C
export LC_ALL
MQASSAY=${MQASSAY:-$PWD/build/mqassay}
failed=0

for capture in mqtt31 mqtt311 mqtt5 paho-python paho-python-5 aliases-both-ways ejabberd ws; do
	first=2
	[ $capture = ws ] && first=25		# behind the upgrade
	said=$(timeout 120 python3 pcap/tests/lib/cuts.py "$MQASSAY" pcap/tests/captures/$capture.pcap $first 2>&1)
	if [ $? -eq 0 ]; then
		echo "ok $capture, cut anywhere: $said"
	else
		echo "not ok $capture, cut anywhere: $(echo "$said" | tail -n 5 | tr '\n' '|')"
		failed=1
	fi
done
exit $failed

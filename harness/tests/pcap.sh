#!/bin/sh
# `conform --pcap`: what tshark reads in it is what was played, and it has nothing to complain about.

cd "$(dirname "$0")/../.." || exit 3
LC_ALL=C
export LC_ALL
tmp=$(mktemp -d) || exit 3
trap 'rm -rf "$tmp"' EXIT
trap 'exit 3' HUP INT TERM
MQASSAY=${MQASSAY:-$PWD/build/mqassay}
HOME=$tmp			# no preferences of whoever runs this
export HOME
failed=0

ok() { printf 'ok %s\n' "$1"; }
not_ok() { printf 'not ok %s: %s\n' "$1" "$2"; failed=1; }
is() { if [ "$2" = "$3" ]; then ok "$1"; else not_ok "$1" "expected '$2', received '$3'"; fi; }
shows() { if grep -a -q -e "$2" "$3"; then ok "$1"; else not_ok "$1" "no '$2' in: $(head -c 600 "$3" | tr '\n' '|')"; fi; }

command -v tshark >/dev/null || { not_ok tshark 'not found; make deps installs it'; exit 1; }

read_capture() { timeout 60 tshark -n -r "$@" -o tcp.check_checksum:TRUE -o ip.check_checksum:TRUE 2>>"$tmp/tshark.err"; }
# Once for each capture, a line each packet: stream, comment, types of its MQTT packets, their largest length, length of the TCP
# segment, SYN, FIN, RST, source, port, time; and what tshark has to say about it.
read_all() {
	read_capture "$1" -T fields -E aggregator=' ' -e tcp.stream -e frame.comment -e mqtt.msgtype -e mqtt.len -e tcp.len -e tcp.flags.syn \
		-e tcp.flags.fin -e tcp.flags.reset -e ip.src -e tcp.srcport -e frame.time_epoch -z expert,note >"$tmp/all"
	grep -E '^[0-9]+	' "$tmp/all" >"$tmp/packets"
	grep -v -E '^[0-9]+	' "$tmp/all" >"$tmp/expert"
}
# Anything above a note: retransmissions, checksums, gaps, malformed packets
complaints() { awk '/^(Errors|Warns|Notes|Chats) \(/ { bad = /^[EW]/; next } bad && NF && !/^===|Frequency/' "$tmp/expert"; }
# Those connections only whose comment has it: the target is probed, too
of_tests() { awk -F '\t' -v name="$1" 'index($2, name) { ours[$1] = 1 } ours[$1]' "$tmp/packets"; }

cat >"$tmp/clean.scn" <<'SCN'
scenario "A conversation without a fault"
mqtt     3.1.1 5
cites    3.1.1 MQTT-4.3.3-2
cites    5     MQTT-4.3.3-10

sub connects
sub subscribes ($topic qos=2)
pub connects
pub publishes topic=$topic qos=2 payload=fill(300000)
sub receives payload=fill(300000)
pub publishes topic=$topic qos=1 payload="last"
sub receives payload="last"
sub disconnects
pub disconnects
SCN

clean() {	# NAME ARGUMENTS...
	name=$1
	shift
	timeout 60 "$MQASSAY" conform --scenarios "$tmp/clean.scn" --pcap "$tmp/$name.pcapng" "$@" >"$tmp/out" 2>&1
	is "$name: exit 0" 0 $?
	read_all "$tmp/$name.pcapng"
	is "$name: tshark has no complaint" '' "$(complaints | tr '\n' '|')"
	of_tests clean.scn >"$tmp/ours"
	is "$name: a connection of each actor in each version" 4 "$(awk -F '\t' '$6 == 1 && $2' "$tmp/ours" | wc -l)"
	is "$name: named after the test and the actor" "$tmp/clean.scn, MQTT 3.1.1, pub" "$(cut -f 2 "$tmp/ours" | sed '/^$/d' | sort | head -n 1)"
	# Of each test: 2 CONNECT, SUBSCRIBE, 2 PUBLISH to the broker and from it with their acknowledgements, 2 DISCONNECT
	for row in '1 4' '8 2' '3 8' '4 4' '5 4' '6 4' '7 4' '14 4'; do
		is "$name: packets of type ${row% *}" "${row#* }" "$(cut -f 3 "$tmp/ours" | tr ' ' '\n' | grep -c -x "${row% *}")"
	done
	is "$name: the large message is whole" 4 "$(cut -f 4 "$tmp/ours" | tr ' ' '\n' | awk '$1 > 300000' | wc -l)"
	is "$name: no segment is larger than an Ethernet takes" '' "$(awk -F '\t' '$5 > 1460' "$tmp/packets")"
}

clean in-process
is 'in process: simulated time' 1577836801.000000000 "$(head -n 1 "$tmp/packets" | cut -f 11)"
cp "$tmp/in-process.pcapng" "$tmp/before.pcapng"
timeout 60 "$MQASSAY" conform --scenarios "$tmp/clean.scn" --pcap "$tmp/in-process.pcapng" >"$tmp/out" 2>&1
if cmp -s "$tmp/before.pcapng" "$tmp/in-process.pcapng"; then ok 'in process: the same to the last byte'; else not_ok 'in process' 'a second run writes another capture'; fi
clean in-pieces --split random
clean over-loopback --exec "'$MQASSAY' broker --listen tcp://127.0.0.1:{port}"
clean real-time --real
now=$(date +%s) first=$(head -n 1 "$tmp/packets" | cut -f 11 | cut -d . -f 1)
if [ "${first:-0}" -le "$now" ] && [ "${first:-0}" -gt $((now - 120)) ]; then ok 'real time: the time of day'; else not_ok 'real time' "$first is not $now"; fi

# ---- the whole suite: every rule of TCP is kept, whatever MQTT rules are broken ----

timeout 60 "$MQASSAY" conform --pcap "$tmp/suite.pcapng" -q >"$tmp/out" 2>&1
is 'the suite: exit 0' 0 $?
read_all "$tmp/suite.pcapng"
is 'the suite: no gap, no repetition, no false checksum' '' \
	"$(grep -E ' (TCP|IPv4) ' "$tmp/expert" | grep -v -E 'Connection reset|connection closing' | tr '\n' '|')"
shows 'the suite: what is malformed on purpose is seen' 'Malformed Packet' "$tmp/expert"
is 'the suite: each connection has its own address' '' "$(awk -F '\t' '$6 == 1 && $2 { print $9, $10 }' "$tmp/packets" | sort | uniq -d | head -n 3)"

# ---- how it ends ----

cat >"$tmp/ends.scn" <<'SCN'
scenario "Three ways to end"
mqtt     5
cites    5 MQTT-3.1.0-2

drop connects
drop drops
second connects
second -> !CONNECT
second <- closed
gone connects
gone disconnects
SCN
timeout 60 "$MQASSAY" conform --scenarios "$tmp/ends.scn" --pcap "$tmp/ends.pcapng" -q >"$tmp/out" 2>&1
read_all "$tmp/ends.pcapng"
ends() { of_tests ", $1" | awk -F '\t' '$7 || $8 { print $9 ~ /^192/ ? "broker" : "client", $8 }' | paste -sd ' '; }
is 'dropped: a reset of the client' 'client 1' "$(ends drop)"
is 'closed by the broker: its FIN comes first' 'broker 0 client 0' "$(ends second)"

# ---- the password ----

secret='open sesame 7'
echo "$secret" >"$tmp/password"
echo "$secret" | "$MQASSAY" broker --make-verifier ali >"$tmp/users"
cat >"$tmp/logins.scn" <<'SCN'
scenario "Whoever logs in in pieces, with others, or wrongly"
mqtt     3.1.1 5
cites    3.1.1 MQTT-3.12.4-1
cites    5     MQTT-3.12.4-1

a connects
b opens
together { b -> CONNECT; b -> PINGREQ }
b <- CONNACK
b <- PINGRESP
c -> CONNECT in pieces of 3
c <- CONNACK
d -> CONNECT !ends_after=client_id
d <- closed
a -> PINGREQ
a <- PINGRESP
SCN
logs_in() {	# NAME none|some ARGUMENTS...: whether the secret is in what clients sent
	name=$1 times=$2
	shift 2
	timeout 60 "$MQASSAY" conform --scenarios "$tmp/logins.scn" --exec "'$MQASSAY' broker --listen tcp://127.0.0.1:{port} --users '$tmp/users'" \
		--user ali --password-file "$tmp/password" --pcap "$tmp/logins.pcapng" "$@" >"$tmp/out" 2>&1
	is "$name: exit 0" 0 $?
	# Over the cuts: all that clients sent, as one row of hex
	sent=$(read_capture "$tmp/logins.pcapng" -Y 'tcp.dstport == 1883' -T fields -e tcp.stream -e tcp.payload | sort -s -n -k 1,1 | cut -f 2 | tr -d '\n:')
	hex=$(printf %s "$secret" | od -An -tx1 | tr -d ' \n') stars=$(printf %s "$secret" | tr -c '' '*' | od -An -tx1 | tr -d ' \n')
	n_secret=$(printf %s "$sent" | grep -o "$hex" | wc -l) n_stars=$(printf %s "$sent" | grep -o "$stars" | wc -l)
	case $times in
	none) is "$name: nowhere" 0 "$n_secret"; if [ "$n_stars" -ge 9 ]; then ok "$name: masked"; else not_ok "$name: masked" "$n_stars times only"; fi ;;
	some) if [ "$n_secret" -ge 9 ]; then ok "$name: it is there"; else not_ok "$name: it is there" "$n_secret times only"; fi ;;
	esac
}
logs_in 'a password' none
logs_in 'a password, byte by byte' none --split 1
logs_in 'a password, cut at random' none --split random
logs_in 'a password with --secrets' some --secrets

cat >"$tmp/fails.scn" <<'SCN'
scenario "No answer is expected where one comes"
mqtt     5
cites    5 MQTT-3.12.4-1

a connects
a -> PINGREQ
a <- nothing
SCN
timeout 60 "$MQASSAY" conform --scenarios "$tmp/fails.scn" --exec "'$MQASSAY' broker --listen tcp://127.0.0.1:{port} --users '$tmp/users'" \
	--user ali --password-file "$tmp/password" --artifacts "$tmp/folders" >"$tmp/out" 2>&1
is 'a password in --artifacts: the test fails' 1 $?
is 'a password in --artifacts: both tries are there' 2 "$(find "$tmp/folders" -name '*.pcapng' | wc -l)"
is 'a password in --artifacts: nowhere' '' "$(grep -r -a -l -F -e "$secret" "$tmp/folders" "$tmp/out")"

# ---- when it cannot be written ----

cannot() {	# NAME CODE LINE ARGUMENTS...
	name=$1 code=$2 line=$3
	shift 3
	timeout 60 "$MQASSAY" conform --scenarios "$tmp/clean.scn" "$@" >"$tmp/out" 2>"$tmp/err"
	is "$name: exit $code" "$code" $?
	is "$name: one line" 1 "$(wc -l <"$tmp/err")"
	shows "$name: says so" "$line" "$tmp/err"
}
cannot 'no such folder' 3 'write /nonexistent/x: No such file' --pcap /nonexistent/x
is 'no such folder: nothing was played' 0 "$(wc -l <"$tmp/out")"
cannot 'a full disk' 3 'write /dev/full: No space left' --pcap /dev/full
shows 'a full disk: the verdicts are there' '2 pass, 0 fail' "$tmp/out"
cannot 'a full disk: a fail outweighs it' 1 'No space left' --pcap /dev/full --break 5:MQTT-3.2.2-2
cannot 'with --prove' 2 'pcap is about one run' --pcap "$tmp/x" --prove
exit $failed

#!/bin/sh
# make.sh FOLDER [NAME...]: makes the captures of this folder anew, with real brokers and clients on the loopback interface; all, or those
# named. Needs what `make deps` installs, and tcpdump, which must be allowed to capture. Run from the top folder.

here=pcap/tests/captures
[ $# -gt 0 ] && [ -f $here/make.sh ] || { echo "usage: $here/make.sh FOLDER [NAME...], from the top folder" >&2; exit 2; }
PATH=$PATH:/usr/sbin:/sbin
python=/usr/bin/python3
NODE_PATH=/usr/share/nodejs
export NODE_PATH
out=$1
shift
only=$*
work=$(mktemp -d) && mkdir -p "$out" || exit 3
chmod 755 "$work"
pids=
stop() { for pid in $pids; do kill "$pid" 2>/dev/null; done; wait 2>/dev/null; pids=; }
trap 'stop; rm -rf "$work"' EXIT
trap 'exit 3' HUP INT TERM
. harness/tests/lib/certificates
certificates "$work" && chmod 644 "$work"/* || exit 3
cc -o "$work/talk" $here/clients/talk.c -lpaho-mqtt3c || exit 3

P=18831 TLS12=18832 TLS13=18833 WS=18834 WSS=18835	# mosquitto's
cat >"$work/mosquitto.conf" <<CONF
per_listener_settings true
listener $P
allow_anonymous true
max_topic_alias 10
listener $TLS12
allow_anonymous true
certfile $work/server.pem
keyfile $work/server.key
tls_version tlsv1.2
listener $TLS13
allow_anonymous true
certfile $work/server.pem
keyfile $work/server.key
tls_version tlsv1.3
listener $WS
allow_anonymous true
protocol websockets
listener $WSS
allow_anonymous true
protocol websockets
certfile $work/server.pem
keyfile $work/server.key
listener 18836
allow_anonymous false
password_file $work/passwords
CONF
: >"$work/passwords" && mosquitto_passwd -b "$work/passwords" user right && chmod 644 "$work/passwords"

wait_for() {		# PORT
	n=0
	until $python -c "import socket; socket.create_connection(('127.0.0.1', $1), 1)" 2>/dev/null; do
		n=$((n + 1)); [ $n -lt 100 ] || { echo "nobody listens on $1" >&2; exit 3; }
		sleep 0.1
	done
}

# sniff FILE PORTS [OPTIONS...]: tcpdump until rest(); one frame of each port at least is awaited by whoever talks
sniff() {
	file=$1 filter=$(printf ' or tcp port %s' $2)
	shift 2
	interface=lo
	case $1 in any) interface=any; shift ;; esac
	# -w to a pipe: not its own root, which may not write there
	tcpdump -i $interface --immediate-mode -U -B 20000 "$@" -w - "${filter# or }" 2>"$work/tcpdump.log" >"$file" &
	sniffer=$!
	n=0
	until grep -q 'listening on' "$work/tcpdump.log"; do n=$((n + 1)); [ $n -lt 50 ] || exit 3; sleep 0.1; done
	sleep 0.3
}
rest() {
	sleep 0.7
	kill -INT $sniffer
	wait $sniffer 2>/dev/null
}

broker() {
	mosquitto -c "$work/mosquitto.conf" >"$work/mosquitto.log" 2>&1 &
	pids="$pids $!"
	wait_for $P
}
pub() { mosquitto_pub -h 127.0.0.1 "$@"; }
# sub N ARGUMENTS...: until N messages came
sub() { n=$1; shift; mosquitto_sub -h 127.0.0.1 -W 8 -C "$n" "$@" >/dev/null 2>&1; }
subscribed() { sleep 0.4; }

# ---- one function for each capture ----

mqtt31() {		# mosquitto's clients in 3.1
	sniff "$1" $P
	sub 3 -p $P -V mqttv31 -i sub31 -q 2 -t 'old/#' & s=$!
	subscribed
	for q in 0 1 2; do pub -p $P -V mqttv31 -i "pub31-$q" -q $q -t old/topic -m "quality $q"; done
	wait $s
	rest
}
mqtt311() {		# mosquitto's clients in 3.1.1: QoS 0 to 2, retained, an id that the broker makes up, a null message, several subscriptions
	sniff "$1" $P
	pub -p $P -V mqttv311 -i keeper -q 1 -r -t house/kept -m 'stays here'
	sub 5 -p $P -V mqttv311 -i listener -q 2 -t 'house/#' -t '+/light' -U never & s=$!
	subscribed
	for q in 0 1 2; do pub -p $P -V mqttv311 -q $q -t house/light -m "on $q"; done
	pub -p $P -V mqttv311 -i keeper -q 2 -r -n -t house/kept
	wait $s
	rest
}
mqtt5() {		# mosquitto's clients in 5, every property that they can send
	sniff "$1" $P
	sub 3 -p $P -V mqttv5 -i five -q 2 -t 'five/#' -t '$share/g/five/shared' -k 30 -x 60 \
		-D connect receive-maximum 20 -D connect maximum-packet-size 5000 -D connect topic-alias-maximum 3 \
		-D connect request-problem-information 1 -D connect request-response-information 1 -D connect user-property c 1 \
		-D subscribe subscription-identifier 42 -D subscribe user-property s 2 -D disconnect user-property d 3 \
		-D disconnect session-expiry-interval 5 --will-topic five/will --will-payload gone --will-qos 1 \
		-D will will-delay-interval 4 -D will message-expiry-interval 9 -D will content-type text -D will response-topic r/w \
		-D will correlation-data xyz -D will payload-format-indicator 1 -D will user-property w 4 & s=$!
	subscribed
	for q in 0 1 2; do
		pub -p $P -V mqttv5 -i "five-$q" -q $q -t five/topic -m "quality $q" -D publish content-type text/plain -D publish correlation-data "$q" \
			-D publish message-expiry-interval 100 -D publish payload-format-indicator 1 -D publish response-topic five/answer \
			-D publish user-property key value -D publish user-property key again -D connect session-expiry-interval 10
	done
	pub -p $P -V mqttv5 -q 1 -t nobody/is/there -m 'no subscribers'
	wait $s
	rest
}
paho_python() { sniff "$1" $P; $python $here/clients/talk.py itself $P; rest; }
paho_python5() { sniff "$1" $P; $python $here/clients/talk.py version5 $P; rest; }
paho_c5() { sniff "$1" $P; "$work/talk" 127.0.0.1 $P; rest; }
node_ws() { sniff "$1" $WS; node $here/clients/talk.js ws ws://127.0.0.1:$WS; rest; }
aliases_both_ways() {	# MQTT.js and our own reference broker, which uses aliases where the client lets it
	build/mqassay broker --listen tcp://127.0.0.1:18837 --seed 1 >/dev/null 2>&1 & b=$!
	wait_for 18837
	sniff "$1" 18837
	node $here/clients/talk.js aliases mqtt://127.0.0.1:18837 & s=$!
	sleep 1
	pub -p 18837 -V mqttv5 -i other -t alias/zero -m 'from another'
	wait $s
	rest
	kill $b
}
large() { sniff "$work/large.pcap" $P; $python $here/clients/talk.py large $P; rest; zstd -q -19 -f "$work/large.pcap" -o "$1"; }
tls12() { sniff "$1" $TLS12; SSLKEYLOGFILE=${1%.pcap}.keylog $python $here/clients/talk.py tls12 $TLS12 "$work/ca.pem"; rest; }
tls13() { sniff "$1" $TLS13; SSLKEYLOGFILE=${1%.pcap}.keylog $python $here/clients/talk.py itself $TLS13 "$work/ca.pem"; rest; }
tls13_nokeys() { sniff "$1" $TLS13; $python $here/clients/talk.py itself $TLS13 "$work/ca.pem"; rest; }
wss() {			# the key log beside it, and once more in a block of the file
	sniff "$1" $WSS
	node --tls-keylog="${1%.pcap}.keylog" $here/clients/talk.js wss wss://localhost:$WSS "$work/ca.pem"
	rest
}
wss_embedded() { editcap --inject-secrets "tls,$out/wss.keylog" "$out/wss.pcap" "$1"; }
ipv6() {
	sniff "$1" $P
	mosquitto_sub -h ::1 -p $P -W 8 -C 1 -i six -t six -q 1 >/dev/null & s=$!
	subscribed
	mosquitto_pub -h ::1 -p $P -q 1 -t six -m '::1'
	wait $s
	rest
}
cooked() {		# "any": Linux cooked; on other kernels each packet may be there twice
	sniff "$1" $P any -y LINUX_SLL
	sub 1 -p $P -i sll -t sll -q 1 & s=$!
	subscribed
	pub -p $P -q 1 -t sll -m cooked
	wait $s
	rest
}
cooked2() {
	sniff "$1" $P any -y LINUX_SLL2
	sub 1 -p $P -i sll2 -t sll2 -q 1 & s=$!
	subscribed
	pub -p $P -q 1 -t sll2 -m 'cooked again'
	wait $s
	rest
}
vlan() { $python pcap/tests/lib/relink.py vlan "$out/ipv6.pcap" "$1"; }
qinq() { $python pcap/tests/lib/relink.py qinq "$out/mqtt31.pcap" "$1"; }
raw_ip() { $python pcap/tests/lib/relink.py raw "$out/mqtt31.pcap" "$1"; }
snaplen() {		# payloads of 600 bytes, of each frame 200 captured
	sniff "$1" $P -s 200
	sub 3 -p $P -i cut -t cut/# -q 1 & s=$!
	subscribed
	for i in 1 2 3; do pub -p $P -q 1 -t "cut/$i" -m "$(printf '%0600d' $i)"; done
	wait $s
	rest
}
midstream() {		# from the middle of connections that go on
	mosquitto_sub -h 127.0.0.1 -p $P -V mqttv5 -i old5 -t 'mid/#' -q 2 -D connect topic-alias-maximum 2 -C 6 -W 12 >/dev/null & s=$!
	mosquitto_sub -h 127.0.0.1 -p $P -V mqttv311 -i old311 -t 'mid/#' -q 2 -C 6 -W 12 >/dev/null & s="$s $!"
	subscribed
	pub -p $P -q 2 -t mid/before -m 'not captured'
	sniff "$1" $P
	for i in 1 2 3 4 5; do pub -p $P -q $((i % 3)) -t mid/after -m "captured $i"; done
	wait $s
	rest
}
will() {		# a client that is killed, its will, and one that leaves orderly
	sniff "$1" $P
	sub 1 -p $P -i heir -t 'will/#' -q 1 & s=$!
	mosquitto_sub -h 127.0.0.1 -p $P -i victim -t x --will-topic will/victim --will-payload 'I am gone' --will-qos 1 --will-retain & v=$!
	subscribed
	kill -9 $v
	wait $s
	pub -p $P -q 1 -r -n -t will/victim
	rest
}
takeover() {		# a second client with the same id: in 3.1.1 the first is cut off, in 5 told so
	sniff "$1" $P
	for v in mqttv311 mqttv5; do
		timeout 2 mosquitto_sub -h 127.0.0.1 -p $P -V $v -i twin -t x >/dev/null 2>&1 & first=$!
		subscribed
		mosquitto_sub -h 127.0.0.1 -p $P -V $v -i twin -t x -W 1 >/dev/null 2>&1
		kill $first 2>/dev/null
		wait $first 2>/dev/null
	done
	rest
}
refused() {		# a wrong password in 3.1.1 and 5
	sniff "$1" 18836
	for v in mqttv311 mqttv5; do
		pub -p 18836 -V $v -i refused -u user -P wrong -t x -m x 2>/dev/null
		pub -p 18836 -V $v -i let-in -u user -P right -q 1 -t x -m x
	done
	rest
}
keep_alive() {		# pings, and a client that is stopped: the broker waits one and a half times its keep alive
	sniff "$1" $P
	mosquitto_sub -h 127.0.0.1 -p $P -i sleeper -t x -k 5 >/dev/null 2>&1 & v=$!
	sleep 6
	kill -STOP $v
	sleep 10
	kill -9 $v
	rest
}
ejabberd() {
	mkdir -p "$work/ejabberd"
	sh harness/tests/brokers/ejabberd 18838 "$work/ejabberd" 18841 >/dev/null 2>&1 & b=$!
	wait_for 18838
	sniff "$1" 18838
	mosquitto_sub -h 127.0.0.1 -p 18838 -V mqttv5 -i erlang -u a -P b -q 2 -t 'e/#' -C 6 -W 10 -D connect topic-alias-maximum 5 >/dev/null & s=$!
	sleep 1
	for q in 0 1 2; do for n in 1 2; do pub -p 18838 -V mqttv5 -u c -P d -q $q -t e/topic -m "$q $n" -D publish user-property u v; done; done
	wait $s
	rest
	kill $b
}
nats() {
	mkdir -p "$work/nats"
	printf 'server_name: t\nhost: 127.0.0.1\nport: 18840\njetstream { store_dir: "%s" }\nmqtt { host: 127.0.0.1, port: 18839 }\n' "$work/nats" >"$work/nats.conf"
	nats-server -c "$work/nats.conf" >/dev/null 2>&1 & b=$!
	wait_for 18839
	sleep 1
	sniff "$1" 18839
	sub 2 -p 18839 -V mqttv311 -i nats -q 1 -t 'n/+' & s=$!
	sleep 1
	for q in 0 1; do pub -p 18839 -V mqttv311 -q $q -t n/topic -m "quality $q"; done
	wait $s
	rest
	kill $b
}

# ---- all of them ----

make_one() {		# FUNCTION FILE
	name=${2%%.*}
	[ -z "$only" ] || case " $only " in *" $name "*) ;; *) return ;; esac
	rm -f "$out/$name.keylog"
	$1 "$out/$2"
	printf '%-28s %s bytes\n' "$2" "$(wc -c <"$out/$2")"
}

broker
make_one mqtt31 mqtt31.pcap
make_one mqtt311 mqtt311.pcap
make_one mqtt5 mqtt5.pcap
make_one paho_python paho-python.pcap
make_one paho_python5 paho-python-5.pcap
make_one paho_c5 paho-c-5.pcap
make_one aliases_both_ways aliases-both-ways.pcap
make_one large large.pcap.zst
make_one node_ws ws.pcap
make_one tls12 tls12.pcap
make_one tls13 tls13.pcap
make_one tls13_nokeys tls13-no-keys.pcap
make_one wss wss.pcap
make_one wss_embedded wss-embedded.pcapng
make_one ipv6 ipv6.pcap
make_one cooked cooked.pcap
make_one cooked2 cooked2.pcap
make_one vlan vlan.pcap
make_one qinq qinq.pcap
make_one raw_ip raw-ip.pcap
make_one snaplen snaplen-200.pcap
make_one midstream midstream.pcap
make_one will will.pcap
make_one takeover takeover.pcap
make_one refused refused.pcap
make_one keep_alive keep-alive.pcap
make_one ejabberd ejabberd.pcap
make_one nats nats.pcap

#!/bin/sh
# The broker over TLS and WebSocket, as others see it: mosquitto's clients with --cafile and --cert, MQTT.js over ws and wss.

cd "$(dirname "$0")/../.." || exit 3
LC_ALL=C
NODE_PATH=/usr/share/nodejs	# where Debian keeps node-mqtt, and another node does not look
export LC_ALL NODE_PATH
MQASSAY=${MQASSAY:-$PWD/build/mqassay}
. harness/tests/lib/certificates
tmp=$(mktemp -d) || exit 3
broker_pid=
trap 'kill $broker_pid 2>/dev/null; rm -rf "$tmp"' EXIT
trap 'exit 3' HUP INT TERM
failed=0

ok() { printf 'ok %s\n' "$1"; }
not_ok() { printf 'not ok %s: %s\n' "$1" "$2"; failed=1; }

certificates "$tmp" || { not_ok certificates 'openssl could not make them'; exit 1; }

start() {		# URL OPTION...: sets broker_pid, url and port
	mkfifo "$tmp/broker.out"
	"$MQASSAY" broker --listen "$@" >"$tmp/broker.out" 2>"$tmp/broker.err" &
	broker_pid=$!
	read -r line <"$tmp/broker.out"
	rm "$tmp/broker.out"
	url=${line#listening on } port=${line##*:}
}

stop() {
	kill "$broker_pid"
	wait "$broker_pid" || not_ok "$1: the broker's end" "exit $?: $(cat "$tmp/broker.err")"
	broker_pid=
}

# ---- mosquitto's clients ----

head -c 100000 /dev/zero | tr '\0' x >"$tmp/large"

exchange() {		# NAME OPTION...: a subscriber gets what a publisher sends, retained, large and small
	name=$1
	shift
	for version in 311 5; do
		for qos in 0 1 2; do
			timeout 10 mosquitto_pub -h localhost -p "$port" "$@" -V "$version" -q "$qos" -r -t "t/$version/$qos" -f "$tmp/large" 2>"$tmp/err" &&
			timeout 10 mosquitto_sub -h localhost -p "$port" "$@" -V "$version" -q "$qos" -C 1 -t "t/$version/$qos" -N >"$tmp/got" 2>>"$tmp/err"
			if cmp -s "$tmp/large" "$tmp/got"; then ok "$name, $version, QoS $qos"; else not_ok "$name, $version, QoS $qos" "$(cat "$tmp/err")"; fi
		done
	done
}

refused() {		# NAME OPTION...
	name=$1
	shift
	if timeout 10 mosquitto_pub -h localhost -p "$port" "$@" -t t -m x >/dev/null 2>&1; then not_ok "$name" 'it was let in'; else ok "$name"; fi
}

pair="--cert $tmp/server.pem --key $tmp/server.key"
start tls://localhost:0 $pair
exchange 'mosquitto_pub --cafile' --cafile "$tmp/ca.pem"
refused 'mosquitto_pub with another authority' --cafile "$tmp/stranger.pem"
refused 'mosquitto_pub without TLS'
stop 'tls'
start tls://localhost:0 $pair --ca "$tmp/ca.pem"
exchange 'mosquitto_pub --cert' --cafile "$tmp/ca.pem" --cert "$tmp/client.pem" --key "$tmp/client.key"
refused 'mosquitto_pub without --cert' --cafile "$tmp/ca.pem"
stop 'tls with client certificates'

# ---- who is in the certificate ----

(cd "$tmp" && serial=100 && certificate bob bob 2 'extendedKeyUsage=clientAuth' && certificate two 'bob/CN=alice' 2 'extendedKeyUsage=clientAuth' &&
 certificate nobody '' 2 'extendedKeyUsage=clientAuth') || not_ok certificates 'openssl could not make them'

says() {		# NAME STATUS OPTION...: mosquitto_pub with the certificate of NAME ends so; 0: let in, 4 and 5: as CONNACK says
	name=$1 status=$2 who=$3
	shift 3
	timeout 10 mosquitto_sub -h localhost -p "$port" --cafile "$tmp/ca.pem" --cert "$tmp/$who.pem" --key "$tmp/$who.key" -V 311 "$@" -t t -E >/dev/null 2>"$tmp/err"
	code=$?
	if [ $code -eq "$status" ]; then ok "identity: $name"; else not_ok "identity: $name" "exit $code, expected $status: $(cat "$tmp/err")"; fi
}

start tls://localhost:0 $pair --ca "$tmp/ca.pem" --identity certificate
says 'no user name' 0 client
says 'the user name in the certificate' 0 client -u alice
says 'and any password' 0 client -u alice -P wrong
says 'the user name of another' 4 client -u bob
says 'a session is kept' 0 client -c -i shared
says 'its user comes back' 0 client -c -i shared -u alice
says 'another user with its client id' 2 bob -c -i shared
says 'two names are none' 5 two -u bob
says 'an empty name' 5 nobody
stop 'identity'
start wss://localhost:0 $pair --ca "$tmp/ca.pem" --identity certificate
for user in alice bob; do
	timeout 30 "$MQASSAY" conform "wss://localhost:$port" --ca "$tmp/ca.pem" --cert "$tmp/client.pem" --key "$tmp/client.key" --user $user \
		--select common/connect/accepted.scn --mqtt 5 -q >/dev/null 2>"$tmp/err"
	code=$?
	if [ $code -eq $([ $user = alice ] && echo 0 || echo 3) ]; then ok "identity over wss: $user"; else not_ok "identity over wss: $user" "exit $code: $(cat "$tmp/err")"; fi
done
stop 'identity over wss'
echo 'allow both %u/#' >"$tmp/acl"
start tls://localhost:0 $pair --ca "$tmp/ca.pem" --identity certificate --acl "$tmp/acl"
for who in client bob; do
	timeout 10 mosquitto_sub -h localhost -p "$port" --cafile "$tmp/ca.pem" --cert "$tmp/$who.pem" --key "$tmp/$who.key" -V 311 -t 'alice/#' -E >"$tmp/out" 2>&1
	if grep -q denied "$tmp/out"; then answer=denied; else answer=granted; fi
	if [ $answer = $([ $who = bob ] && echo denied || echo granted) ]; then ok "identity in the access list: $who"; else not_ok "identity in the access list: $who" "$(cat "$tmp/out")"; fi
done
stop 'identity in the access list'
start tcp://localhost:0 --listen tls://localhost:0 $pair --ca "$tmp/ca.pem" --identity certificate
refused 'identity: who cannot show a certificate' -u alice
stop 'identity beside tcp'
"$MQASSAY" broker --identity certificate --listen tls://localhost:0 $pair >"$tmp/out" 2>"$tmp/err"
if [ $? -eq 2 ] && grep -q -e '--ca' "$tmp/err"; then ok 'identity without --ca'; else not_ok 'identity without --ca' "$(cat "$tmp/err")"; fi

# ---- MQTT.js ----

cat >"$tmp/client.js" <<'JS'
const mqtt = require('mqtt'), fs = require('fs');
const [, , url, version, ca] = process.argv;
const options = { protocolVersion: +version, reconnectPeriod: 0, connectTimeout: 5000 };
if (ca) options.ca = fs.readFileSync(ca);
const client = mqtt.connect(url, options), got = [];
const fail = why => { console.error(String(why)); process.exit(1); };
client.on('error', fail);
client.on('connect', () => client.subscribe('js/#', { qos: 2 }, e => {
	if (e) fail(e);
	for (const qos of [0, 1, 2])
		for (const size of [0, 1, 125, 126, 65535, 65536, 200000])
			client.publish(`js/${qos}/${size}`, Buffer.alloc(size, qos), { qos });
}));
client.on('message', (topic, payload) => {
	const [, qos, size] = topic.split('/').map(Number);
	if (payload.length !== size || payload.some(byte => byte !== qos)) fail(`${topic}: ${payload.length} bytes`);
	if (got.push(topic) === 21) client.end(false, {}, () => process.exit(new Set(got).size === 21 ? 0 : 1));
});
setTimeout(() => fail(`${got.length} of 21 came`), 20000).unref();
JS

mqtt_js() {		# NAME [CA]
	for version in 4 5; do
		if timeout 30 node "$tmp/client.js" "$url/mqtt" "$version" $2 2>"$tmp/err"; then ok "$1, version $version"; else not_ok "$1, version $version" "$(head -c 400 "$tmp/err" | tr '\n' '|')"; fi
	done
}

start ws://localhost:0
mqtt_js 'MQTT.js over ws'
stop 'ws'
start wss://localhost:0 $pair
mqtt_js 'MQTT.js over wss' "$tmp/ca.pem"
stop 'wss'
exit $failed

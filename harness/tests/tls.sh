#!/bin/sh
# Misuse of TLS and WebSocket, each kind: one line that says which, for whom and what to do, and exit 3; and each kind of use
# beside it, so that no line is right by accident.

cd "$(dirname "$0")/../.." || exit 3
LC_ALL=C
export LC_ALL
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
pair() { printf '%s' "--cert $tmp/$1.pem --key $tmp/$1.key"; }

serve() {		# URL OPTION...: sets port
	mkfifo "$tmp/broker.out"
	"$MQASSAY" broker --listen "$@" >"$tmp/broker.out" 2>"$tmp/broker.err" &
	broker_pid=$!
	read -r line <"$tmp/broker.out"
	rm "$tmp/broker.out"
	port=${line##*:}
}

end() {
	kill "$broker_pid"
	wait "$broker_pid"
	broker_pid=
}

play() {		# URL OPTION...
	timeout 30 "$MQASSAY" conform --select common/connect/accepted.scn --mqtt 5 -q "$@" >"$tmp/out" 2>"$tmp/err"
	code=$?
}

works() {		# NAME URL OPTION...
	name=$1
	shift
	play "$@"
	if [ $code -eq 0 ]; then ok "$name"; else not_ok "$name" "exit $code: $(cat "$tmp/err")"; fi
}

fails() {		# NAME TEXT URL OPTION...
	name=$1 text=$2
	shift 2
	play "$@"
	if [ $code -ne 3 ]; then not_ok "$name" "exit $code: $(cat "$tmp/err")"
	elif [ "$(wc -l <"$tmp/err")" -ne 1 ] || [ -s "$tmp/out" ]; then not_ok "$name" "not one line: $(cat "$tmp/out" "$tmp/err")"
	elif ! grep -q -F -e "$text" "$tmp/err"; then not_ok "$name" "no '$text' in: $(cat "$tmp/err")"
	else ok "$name"
	fi
}

ca="--ca $tmp/ca.pem"

serve tls://localhost:0 $(pair server)
works 'tls'                            "tls://localhost:$port" $ca
works 'tls, by number'                 "tls://127.0.0.1:$port" $ca
works 'tls, unchecked'                 "tls://localhost:$port" --insecure
fails 'unknown authority'              'from an authority that we do not know: name its file with --ca' "tls://localhost:$port"
fails 'another authority'              'from an authority that we do not know' "tls://localhost:$port" --ca "$tmp/stranger.pem"
fails 'plain client on a TLS port'     'does it speak TLS there (tls://)?' "tcp://localhost:$port"
fails 'WebSocket client on a TLS port' 'is this a WebSocket port?' "ws://localhost:$port"
fails 'wss client on a tls port'       'is this a WebSocket port?' "wss://localhost:$port" $ca
end
serve tls://localhost:0 $(pair expired)
fails 'expired'                        'has expired on 20' "tls://localhost:$port" $ca
works 'expired, unchecked'             "tls://localhost:$port" --insecure
end
serve tls://localhost:0 $(pair other)
fails 'wrong name'                     'is for other.example, not for localhost' "tls://localhost:$port" $ca
end
serve tls://localhost:0 $(pair server) --ca "$tmp/ca.pem"
works 'client certificate'             "tls://localhost:$port" $ca $(pair client)
fails 'no client certificate'          'asks for a client certificate: name it with --cert and --key' "tls://localhost:$port" $ca
end
serve tls://localhost:0 $(pair server) --alpn mqtt
works 'alpn'                           "tls://localhost:$port" $ca --alpn x,mqtt
works 'no alpn'                        "tls://localhost:$port" $ca
fails 'another alpn'                   'takes none of the protocols that we offer' "tls://localhost:$port" $ca --alpn x
end
serve wss://localhost:0 $(pair server)
works 'wss'                            "wss://localhost:$port/mqtt" $ca
fails 'wss, unknown authority'         'from an authority that we do not know' "wss://localhost:$port"
fails 'tls client on a wss port'       'speaks HTTP on this port' "tls://localhost:$port" $ca
end
serve tcp://localhost:0
fails 'TLS client on a plain port'     'does it speak TLS on this port?' "tls://localhost:$port" $ca
fails 'WebSocket client on an MQTT port' 'is this a WebSocket port?' "ws://localhost:$port"
end
serve ws://localhost:0
works 'ws'                             "ws://localhost:$port"
works 'ws, with a path'                "ws://localhost:$port/some/where?x=1"
fails 'plain client on a WebSocket port' 'speaks HTTP on this port: try ws://' "tcp://localhost:$port"
end

cat >"$tmp/long.scn" <<'SCN'
scenario "A ping of 126 bytes is nothing that we can send"
mqtt 5
cites 5 MQTT-6.0.0-2
actor w transport=ws
w connects
w -> bytes fill(126) frame=ping
w -> PINGREQ
w <- PINGRESP
SCN
timeout 30 "$MQASSAY" conform --scenarios "$tmp/long.scn" >"$tmp/out" 2>&1
if [ $? -eq 3 ] && grep -q 'a control frame of 126 bytes: at most 125' "$tmp/out"; then ok 'a long control frame'; else not_ok 'a long control frame' "$(cat "$tmp/out")"; fi

# ---- what is left behind of a test is played again, with the same trust, which is given again ----

serve tls://localhost:0 $(pair server) --ca "$tmp/ca.pem" --break 5:MQTT-3.3.1-6
again() {		# NAME EXIT OPTION...
	name=$1 expected=$2
	shift 2
	timeout 30 "$MQASSAY" replay "$tmp"/left/* -q "$@" >"$tmp/out" 2>"$tmp/err"
	code=$?
	if [ $code -eq "$expected" ]; then ok "replay $name"; else not_ok "replay $name" "exit $code: $(cat "$tmp/out" "$tmp/err")"; fi
}
timeout 30 "$MQASSAY" conform "tls://localhost:$port" $ca $(pair client) --select common/retain/cleared.scn --mqtt 5 --artifacts "$tmp/left" >"$tmp/out" 2>&1
if [ "$(ls "$tmp/left" | wc -l)" -eq 1 ]; then ok 'artifacts over tls'; else not_ok 'artifacts over tls' "$(cat "$tmp/out")"; fi
if grep -q -e "$tmp" "$tmp"/left/*/replay.options; then not_ok 'artifacts over tls: no file is named' "$(cat "$tmp"/left/*/replay.options)"; else ok 'artifacts over tls: no file is named'; fi
again 'without the authorities' 2
again 'without the certificate' 2 $ca
again 'with all of it' 1 $ca $(pair client)
again 'elsewhere' 3 "tcp://localhost:1"
(PATH=${MQASSAY%/*}:$PATH; export PATH; timeout 30 sh -c 'exec "$0"' "$(ls "$tmp"/left/*/command)" >"$tmp/out" 2>&1)
if [ $? -eq 1 ]; then ok 'artifacts over tls: the command'; else not_ok 'artifacts over tls: the command' "$(cat "$tmp/out")"; fi
end

# ---- a web server that is none of ours ----

cat >"$tmp/web.py" <<'PY'
import http.server, sys
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        code = int(self.path[1:4])
        self.send_response(code)
        if code == 301: self.send_header("Location", "/mqtt")
        self.end_headers()
    def log_message(self, *a): pass
s = http.server.HTTPServer(("127.0.0.1", 0), H)
print(s.server_port, flush=True)
s.serve_forever()
PY
mkfifo "$tmp/web.out"
/usr/bin/python3 "$tmp/web.py" >"$tmp/web.out" &
broker_pid=$!
read -r port <"$tmp/web.out"
fails 'HTTP 404' 'answers HTTP 404 Not Found: is this the path of its WebSocket?' "ws://127.0.0.1:$port/404"
fails 'HTTP 301' 'try /mqtt' "ws://127.0.0.1:$port/301"
fails 'HTTP 403' 'answers HTTP 403' "ws://127.0.0.1:$port/403"
fails 'HTTP 200' 'answers HTTP 200 OK instead of WebSocket' "ws://127.0.0.1:$port/200"
kill "$broker_pid"; wait "$broker_pid" 2>/dev/null; broker_pid=

# ---- files ----

nowhere=tls://localhost:1
echo 'not PEM' >"$tmp/text"
fails 'authority file missing'   "--ca $tmp/none: No such file" $nowhere --ca "$tmp/none"
fails 'authority file is no PEM' "--ca $tmp/text: no " $nowhere --ca "$tmp/text"
fails 'key of another'           'is not the key of the certificate' $nowhere --cert "$tmp/client.pem" --key "$tmp/server.key"
fails 'certificate without key'  'no private key in it' $nowhere --cert "$tmp/client.pem"
fails 'key without certificate'  'its certificate is missing' $nowhere --key "$tmp/client.key"
exit $failed

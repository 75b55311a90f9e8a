#!/bin/sh
# Debian's Mosquitto, ejabberd and nats-server show exactly the deviations that scenarios/known lists: no other fail, no
# listed one that no longer happens, nothing that could not be judged. Each deviation is a test of its own.
# check.sh runs this from the top folder, with the program in $MQASSAY, beside others that wait as much.

PATH=$PATH:/usr/sbin
logs=build/check
folder=$(mktemp -d) && mkdir -p "$logs" || exit 3
trap 'rm -rf "$folder"' EXIT
trap 'exit 3' INT TERM
echo secret >"$folder/password"

# adjudicated NAME KNOWN PACKAGE CMD [OPTION...]: KNOWN is a file of scenarios/known, and ends in the version that it is about
adjudicated() {
	name=$1 known=$2 package=$3 command=$4 version=${2##*-}
	shift 4
	installed=$(dpkg-query -W -f '${Version}' "$package" 2>/dev/null)
	case $installed in
	"$version" | "$version"-*) ;;
	*)
		echo "skip $name: $version is listed, installed is ${installed:-none}"
		return
		;;
	esac
	rm -f "$logs/$name.json"
	"$MQASSAY" conform --exec "$command" --known "scenarios/known/$known.tsv" --report json="$logs/$name.json" "$@" \
		>"$folder/$name.report" 2>&1
	code=$?
	sed 's/^/    /' "$folder/$name.report"
	if [ $code -eq 0 ]; then
		echo "ok $name: exit 0"
	else
		echo "not ok $name: exit $code"
	fi
	/usr/bin/python3 - "$name" "$logs/$name.json" <<-'PY'
		import json, sys
		for t in json.load(open(sys.argv[2]))["tests"]:
		    if t["verdict"] not in ("pass", "warn", "skip"):
		        print("ok" if t["verdict"] == "known" else "not ok", sys.argv[1] + ":", t["rule"], t["version"], t["id"] + ":", t["verdict"])
	PY
}

started=harness/tests/brokers
mosquitto="$started/mosquitto {port} {tls_port} {ws_port} {dir}"
adjudicated mosquitto mosquitto-2.0.11 mosquitto 'mosquitto -p {port}' >"$folder/1" 2>&1 &
adjudicated mosquitto-tls mosquitto-2.0.11 mosquitto "$mosquitto" --transport tls --insecure >"$folder/2" 2>&1 &
adjudicated mosquitto-ws mosquitto-2.0.11 mosquitto "$mosquitto" --transport ws --insecure >"$folder/3" 2>&1 &
adjudicated mosquitto-wss mosquitto-2.0.11 mosquitto "$mosquitto wss" --transport wss --insecure >"$folder/4" 2>&1 &
adjudicated ejabberd ejabberd-23.01 ejabberd "$started/ejabberd {port} {dir} {ws_port}" --user u --password-file "$folder/password" >"$folder/5" 2>&1 &
adjudicated ejabberd-ws ejabberd-23.01 ejabberd "$started/ejabberd {port} {dir} {ws_port}" --transport ws --known scenarios/known/ejabberd-23.01-ws.tsv --user u --password-file "$folder/password" >"$folder/6" 2>&1 &
adjudicated nats nats-2.9.10 nats-server "$started/nats-server {port} {dir}" >"$folder/7" 2>&1 &
wait
cat "$folder"/[1-7]
! grep -q '^not ok ' "$folder"/[1-7]

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

# adjudicated NAME VERSION PACKAGE CMD [OPTION...]
adjudicated() {
	name=$1 version=$2 package=$3 command=$4
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
	"$MQASSAY" conform --exec "$command" --known "scenarios/known/$name-$version.tsv" --report json="$logs/$name.json" "$@" \
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
adjudicated mosquitto 2.0.11 mosquitto 'mosquitto -p {port}' >"$folder/1" 2>&1 &
adjudicated ejabberd 23.01 ejabberd "$started/ejabberd {port} {dir}" --user u --password-file "$folder/password" >"$folder/2" 2>&1 &
adjudicated nats 2.9.10 nats-server "$started/nats-server {port} {dir}" >"$folder/3" 2>&1 &
wait
cat "$folder"/[123]
! grep -q '^not ok ' "$folder"/[123]

#!/bin/sh
# The JSON of a result, as test_figures_forms proves it is written, against its schema, by another program than ours; the schema against
# counters.def; and the schema sees what is wrong.

cd "$(dirname "$0")/../../.." || exit 3
LC_ALL=C
export LC_ALL
golden=harness/load/tests/golden/figures.json
tmp=$(mktemp -d) || exit 3
trap 'rm -rf "$tmp"' EXIT
trap 'exit 3' HUP INT TERM
failed=0

ok() { printf 'ok %s\n' "$1"; }
not_ok() { printf 'not ok %s: %s\n' "$1" "$2" | cut -c 1-400; failed=1; }
valid() {	# FILE
	/usr/bin/python3 - "$1" <<'PYTHON'
import json, jsonschema, sys
schema = json.load(open("harness/docs/load.schema.json"))
jsonschema.Draft202012Validator.check_schema(schema)
found = [f"{e.json_path}: {e.message[:200]}" for e in jsonschema.Draft202012Validator(schema).iter_errors(json.load(open(sys.argv[1])))]
print("\n".join(found))
sys.exit(bool(found))
PYTHON
}
well() { if said=$(valid "$2" 2>&1); then ok "$1"; else not_ok "$1" "$(printf %s "$said" | head -n 3 | tr '\n' '|')"; fi; }
ill() {		# NAME SED-SCRIPT
	sed "$2" $golden >"$tmp/bad"
	if cmp -s $golden "$tmp/bad"; then not_ok "$1" 'nothing was changed'; elif valid "$tmp/bad" >/dev/null 2>&1; then not_ok "$1" 'the schema did not mind'; else ok "$1"; fi
}

well 'the golden result keeps to the schema' $golden
ill 'a member too many'     's/"seed":/"sead": 1, "seed":/'
ill 'a member too few'      's/, "lateness_share": 0.00175//'
ill 'a counter of no name'  's/"started": 1000, "connected": 1001/"begun": 1000, "connected": 1001/'
ill 'another cause'         's/"cause": "unknown"/"cause": "fate"/'
ill 'a negative count'      's/"owed": 4000/"owed": -1/'
ill 'no histogram'          's/"hdr": "HISTF/"hdr": "hist/'
counters=$(sed -n 's/^X(\([a-z_]*\),.*/"\1"/p' harness/load/counters.def | paste -s -d, | sed 's/,/, /g')
if grep -q -F "\"enum\": [$counters]" harness/docs/load.schema.json; then ok 'the schema has the counters of counters.def'; else not_ok 'the schema has the counters of counters.def' "they are $counters"; fi
exit $failed

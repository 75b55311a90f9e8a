#!/bin/sh
# mqassay conform --coverage: every clause has a test or a reason, and text and JSON say the same. Run from the top
# folder with the program in $MQASSAY.

mqassay=${MQASSAY:-build/mqassay}
dir=$(mktemp -d) || exit 3
trap 'rm -rf "$dir"' EXIT

check() {		# NAME COMMAND...
	name=$1
	shift
	if "$@" >"$dir/why" 2>&1; then echo "ok $name"; else echo "not ok $name: $(head -c 400 "$dir/why" | tr '\n' ' ')"; fi
}

"$mqassay" conform --coverage >"$dir/text"; text=$?
"$mqassay" conform --coverage --format json >"$dir/json"; json=$?
check 'exit code' test "$text$json" = 00
check 'each clause has a test or a reason' sh -c "! grep -B 3 -A 1 'neither a test nor a reason' '$dir/text'"
check 'clauses are there, and in the totals' python3 - "$dir/json" "$dir/text" <<'PY'
import json, re, sys
doc = json.load(open(sys.argv[1]))
text = open(sys.argv[2]).read()
clauses = doc["clauses"]
assert doc["schema"] == {"name": "mqassay-coverage", "version": 1}
assert sum(c["version"] == "5" and c["chapter"] is not None for c in clauses) == 251
assert sum(c["version"] == "3.1.1" and c["chapter"] is not None for c in clauses) == 141
assert len({c["rule"] for c in clauses}) == len(clauses)
for c in clauses:
    assert re.search("^" + re.escape(c["rule"]) + "  ", text, re.M), c["rule"]
    assert c["status"] == ("judged" if c["cited_by"] or c["watched_by"] else "untested"), c["rule"]
    assert (c["untested"] is None) == (c["status"] == "judged"), c["rule"]
for status in ("judged", "untested", "missing", "not_chosen"):
    assert sum(t[status] for t in doc["totals"]) == sum(c["status"] == status for c in clauses), status
assert sum(t["clauses"] for t in doc["totals"]) == len(clauses)
assert sum(t["with_faults"] for t in doc["totals"]) == sum(bool(c["faults"]) for c in clauses)
PY
keeps_to_schema() {
	python3 - "$1" <<'PY'
import json, sys, jsonschema
schema = json.load(open("harness/docs/coverage.schema.json"))
jsonschema.Draft202012Validator.check_schema(schema)
wrong = [f"{list(e.absolute_path)}: {e.message[:200]}" for e in jsonschema.Draft202012Validator(schema).iter_errors(json.load(open(sys.argv[1])))]
sys.exit("; ".join(wrong[:5]) or 0)
PY
}
check 'it keeps to the schema' keeps_to_schema "$dir/json"
"$mqassay" conform --coverage --mqtt 5 --select common/qos/qos2-repeated.scn --format json >"$dir/json"
check 'a selection' python3 - "$dir/json" <<'PY'
import json, sys
doc = json.load(open(sys.argv[1]))
judged = [c for c in doc["clauses"] if c["status"] == "judged"]
assert judged and all(c["version"] == "5" for c in doc["clauses"])
assert "5:MQTT-4.3.3-10" in [c["rule"] for c in judged]
assert all(t["id"].startswith("common/qos/qos2-repeated.scn") for c in judged for t in c["cited_by"] + c["watched_by"])
assert not any(c["status"] == "missing" for c in doc["clauses"])
PY
check 'a selection keeps to the schema' keeps_to_schema "$dir/json"
check 'no target' sh -c "'$mqassay' conform --coverage localhost 2>&1 | grep -q 'plays nothing'"
check 'text or JSON only' sh -c "'$mqassay' conform --coverage --format tap 2>&1 | grep -q 'as text or'"

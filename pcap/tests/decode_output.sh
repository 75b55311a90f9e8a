#!/bin/sh
# What `decode` prints, as a user meets it: JSON against what was sent and against its schema, the text, the field map,
# and filters with their mistakes. Run from the top folder with the program in $MQASSAY.

mqassay=${MQASSAY:-build/mqassay}
here=pcap/tests
dir=$(mktemp -d) || exit 3
trap 'rm -rf "$dir"' EXIT

ok() {			# NAME COMMAND...
	name=$1
	shift
	if "$@" >"$dir/said" 2>&1; then echo "ok $name"; else echo "not ok $name: $(tail -n 1 "$dir/said" | head -c 500)"; fi
}

decode() {
	timeout 60 "$mqassay" decode -q "$@"
}

# mistake COLUMN WORDS EXPRESSION: one line on stderr that names the column and says so, nothing on stdout, exit 2
mistake() {
	timeout 60 "$mqassay" decode --where "$3" "$dir/all.pcap" >"$dir/out" 2>"$dir/err"
	found=$?
	case $found:$(wc -l <"$dir/err" | tr -d ' '):$(cat "$dir/err") in
	2:1:*"--where: column $1: "*"$2"*) [ -s "$dir/out" ] && echo "not ok --where '$3': something on stdout" || echo "ok mistake: $3" ;;
	*) echo "not ok mistake: $3: exit $found: $(cat "$dir/err")" ;;
	esac
}

# shown EXPRESSION COUNT: so many packets match
shown() {
	n=$(decode --format json --where "$1" "$dir/all.pcap" 2>&1 | grep -c '"kind":"packet"')
	[ "$n" = "$2" ] && echo "ok $1" || echo "not ok $1: $n packets, not $2"
}

python3 $here/read_json.py made "$dir/all.pcap" "$dir/all.jsonl" || exit 1
decode --secrets --format json "$dir/all.pcap" >"$dir/all.json"

# ---- JSON ----

ok 'JSON says what was sent, value by value' python3 $here/read_json.py compare "$dir/all.json" "$dir/all.jsonl"
if python3 -c 'import jsonschema' 2>/dev/null; then
	ok 'every line is as the schema says' python3 $here/read_json.py schema pcap/docs/decode.schema.json "$dir/all.json"
	decode --format json "$dir/all.pcap" >"$dir/masked.json"
	ok 'with secrets masked, too' python3 $here/read_json.py schema pcap/docs/decode.schema.json "$dir/masked.json"
	decode --check --format json "$dir/all.pcap" >"$dir/judged.json"
	ok 'with the verdicts of --check, too' python3 $here/read_json.py schema pcap/docs/decode.schema.json "$dir/judged.json"
	ok 'of which there are some' grep -q '"kind":"violation".*"rule":"5:' "$dir/judged.json"
else
	echo 'skip every line is as the schema says: python3-jsonschema is not installed'
fi
ok 'passwords are null' sh -c '[ "$(grep -c "\"password\":null" "$1/masked.json")" = "$(grep -c "\"password" "$1/all.json")" ] && grep -q "\"password" "$1/all.json"' - "$dir"
ok 'authentication data are null' sh -c '! grep -q "authentication_data\(_base64\)\?\":\"" "$1/masked.json" && grep -q "authentication_data\":null" "$1/masked.json"' - "$dir"

# ---- text ----

decode "$dir/all.pcap" >"$dir/all.text"
decode --check "$dir/all.pcap" >"$dir/judged.text"
decode --check -v "$dir/all.pcap" >"$dir/judged.all"
decode --view clauses "$dir/all.pcap" >"$dir/clauses.text"
ok "--check's table says what was violated, and counts the rest" sh -c '
	grep -B 1 "^clauses: [1-9]" "$1/judged.text" | head -n 1 | grep -qx "" && grep -q "^clauses: .* held, .*: -v lists them$" "$1/judged.text" &&
	grep -q "^violated:$" "$1/judged.text" && ! grep -q "^held:$\|^not observable:$" "$1/judged.text"' - "$dir"
for text in judged.all clauses.text; do
	ok "and all is in $text" sh -c '[ "$(grep -c "^held:$\|^not observable:$" "$1")" = 2 ] && grep -q "MQTT-3.1.0-1  *client  *[0-9]* x   " "$1" && ! grep -q "lists them" "$1"' - "$dir/$text"
done
ok 'a line for each packet and event' [ "$(grep -c . "$dir/all.text")" = $(($(grep -c . "$dir/all.json") - 2)) ]
ok 'nothing of a stranger reaches the terminal' python3 -c '
import sys
for line in open(sys.argv[1], encoding="utf-8"):
    for c in line[:-1]:
        assert not (ord(c) < 32 or 0x7f <= ord(c) < 0xa0 or c in "\u202e\u2066\u200b\u2028\ufeff\ufffe"), ascii(line)' "$dir/all.text"
ok 'passwords are masked' sh -c 'grep -c "CONNECT .* password=\"\*\*\*\"" "$1/all.text" | grep -qv "^0$"' - "$dir"
ok 'times have the places that the capture has' grep -q '^  0\.013580237  *f12  ' "$dir/all.text"
ok 'lines are not endless' [ "$(awk '{ if (length > n) n = length } END { print n < 4000 }' "$dir/all.text")" = 1 ]

# Of the field map: offsets go on without a gap, and the bytes are those of the packet.
decode -v --secrets --where 'type!=PUBLISH' "$dir/all.pcap" >"$dir/map"
ok 'the field map names every byte' python3 -c '
import re, sys
at = named = 0
for line in open(sys.argv[1], encoding="utf-8"):
    row = re.match(r" {12}([0-9a-f]{4})  (?:\.\.\. ([0-9]+) more bytes of |(?=[0-9a-f]{2}))", line)
    if not row:
        assert at == 0 or at == size, "a packet of %d bytes, %d of them in the map" % (size, at)
        at = 0
        continue
    assert int(row[1], 16) == at, (line, at)
    at += int(row[2]) if row[2] else len(line[18:42].split())
    name = line[43:].split(" ")[0].strip()
    if name == "remaining_length":
        size = at + int(line.split()[-1])
    named += name != ""
assert named > 1000, named' "$dir/map"
decode -v "$dir/all.pcap" >"$dir/map"
ok 'and hides what is secret' sh -c 'grep -q "^  *[0-9a-f]*  \*\* \*\*.* authentication_data  *\*\*\*$" "$1/map" && ! grep "authentication_data" "$1/map" | grep -q "  [0-9a-f][0-9a-f] "' - "$dir"

# ---- filters ----

count() {
	python3 -c 'import json, sys; print(sum(1 for l in open(sys.argv[1]) for p in [json.loads(l)] if eval(sys.argv[2])))' "$dir/all.jsonl" "$1"
}

shown 'type==PUBLISH'                            "$(count 'p["type"] == "PUBLISH"')"
shown 'qos==2 && from==broker'                   "$(count 'p.get("qos") == 2 and p["from"] == "broker"')"
shown 'type==PUBLISH && (qos==0 || retain)'      "$(count 'p["type"] == "PUBLISH" and (p["qos"] == 0 or p["retain"])')"
shown 'topic~"t/#" && !dup'                      "$(count 'p["type"] == "PUBLISH" and not p["dup"] and p["topic"]')"
shown 'topic absent && type==PUBLISH'            "$(count 'p["type"] == "PUBLISH" and p["topic"] is None')"
shown 'version==5 && type!=PINGREQ'              "$(count 'p["version"] == "5" and p["type"] != "PINGREQ"')"
shown 'user_property present'                    "$(count '"user_property" in p')"
shown 'user_property.plain present'              "$(count 'any(k == "plain" for k, v in p.get("user_property", []))')"
shown 'user_property["{\"a\":[1,\"b\"]}"] != ""' "$(count 'any(k == "{\"a\":[1,\"b\"]}" for k, v in p.get("user_property", [])) and not any(k == "{\"a\":[1,\"b\"]}" and v == "" for k, v in p.get("user_property", []))')"
shown 'reason>=0x80'                             "$(count 'p.get("reason", 0) >= 128 or any(r >= 128 for r in p.get("reasons", []))')"
shown 'reason==Quota_exceeded'                   "$(count 'p.get("reason") == 0x97')"
shown 'reason==Success && type==PUBACK'          "$(count 'p.get("reason") == 0 and p["type"] == "PUBACK"')"
shown 'will.qos==1 || will.delay_interval>1'     "$(count '"will" in p and (p["will"]["qos"] == 1 or p["will"].get("delay_interval", 0) > 1)')"
shown 'filters~"a/#" && retain_handling>=1'      "$(count 'any(f["filter"] == "a/#" for f in p.get("filters", [])) and any(f.get("retain_handling", 0) >= 1 for f in p.get("filters", []))')"
shown 'subscription_identifier==127'             "$(count '127 in p.get("subscription_identifier", [])')"
shown 'frame<=40 && size>1k'                     "$(count 'p["frame"] <= 40 and p["size"] > 1024')"
shown 'connection==2 && packet_id absent'        "$(count 'p["version"] == "3.1.1" and "packet_id" not in p')"
shown 'client=="client \"5\" \u{202e}"'          "$(count 'p["version"] == "5"')"
shown 'payload==hex"ed a0 80"'                   "$(count 'p.get("payload_base64") == "7aCA"')"
shown 'time>0.1 && time<=100ms'                  0
shown 'time<=100ms'                              "$(count '(p["frame"] - 1) * 1234567 <= 100000000')"
shown 'sure && way==tcp && confidence==100'      "$(count True)"
shown '!sure || unreadable || clause present'    0

mistake 1  'no field is called `tpic`; did you mean `topic`?'          'tpic=="x"'
mistake 7  'did you mean `PUBLISH`?'                                   'type==PUBLSH'
mistake 9  'no reason code is called `Succes`; did you mean `Success`' 'reason==Succes'
mistake 4  'expected =='                                               'qos=1'
mistake 10 'found the end'                                             'qos==1 &&'
mistake 5  'expected &&, || or )'                                      '(qos'
mistake 6  'expected == or !='                                         'topic<"a"'
mistake 4  'no text that a topic filter could match'                   'qos~"a"'
mistake 7  'in quotes'                                                 'topic~a/#'
mistake 14 'user_property.KEY'                                         'user_property=="a"'
mistake 10 'expected 3.1, 3.1.1 or 5'                                  'version==4'
mistake 7  'a time such as 1.5s'                                       'time> 5k'
mistake 1  'expected a field'                                          ''
mistake 7  'not closed'                                                'topic~"a'
mistake 5  'or absent'                                                  'dup absen'
mistake 5  'no such sign'                                              "dup $(printf '\033')"
mistake 65 'nested too deep'                                           "$(printf '%080d' 0 | tr 0 '(')dup"

# A conversation is heard of from its first match on, with what is needed to know which it is.
decode --where 'type==PUBLISH && version==5' "$dir/all.pcap" >"$dir/out"
ok 'only conversations that match' sh -c '[ "$(grep -c " opened: " "$1/out")" = 1 ] && head -n 1 "$1/out" | grep -q "c3 .*opened: 10.0.0.1:50005" && tail -n 1 "$1/out" | grep -q "still open"' - "$dir"

# ---- what never came ----

# A packet larger than is shown counts for what came of it, not for what it announces.
python3 $here/read_json.py huge "$dir/huge.pcap" || exit 1
timeout 60 "$mqassay" decode "$dir/huge.pcap" >"$dir/out" 2>"$dir/err"
ok 'what was announced is not missing' sh -c 'grep -q -e "-- 8 bytes of the client are passed over" "$1/out" && grep -q -e "-- 15 bytes of the client are passed over" "$1/out"' - "$dir"
ok 'nor in the summary' grep -q '^  2 holes: 23 bytes of MQTT are missing or unreadable$' "$dir/err"
timeout 60 "$mqassay" decode --max-packet 268435460 "$dir/huge.pcap" >"$dir/out" 2>"$dir/err"
ok 'nor where it could have been shown' grep -q '^  1 hole: 23 bytes of MQTT are missing or unreadable$' "$dir/err"

# ---- the key log ----

# With --secrets what is written can be read by itself; without it is said that it cannot.
timeout 60 "$mqassay" decode --format pcapng --keylog $here/captures/tls13.keylog -o "$dir/closed.pcapng" $here/captures/tls13.pcap 2>"$dir/err"
ok 'pcapng without keys says so' grep -q 'tls13.pcap: TLS stays encrypted in what is written, and the key log is not in it; --secrets' "$dir/err"
ok 'and has none' sh -c '! grep -q -a SECRET "$1/closed.pcapng" && grep -q SECRET "$2/captures/tls13.keylog"' - "$dir" $here
for how in file pipe; do
	[ $how = file ] && from=$here/captures/tls13.pcap || from=-
	timeout 60 "$mqassay" decode --format pcapng --keylog $here/captures/tls13.keylog --secrets "$from" <$here/captures/tls13.pcap >"$dir/open.pcapng" 2>"$dir/err"
	ok "nothing is said with --secrets ($how)" sh -c '! grep -q "TLS stays" "$1"' - "$dir/err"
	decode --keylog $here/captures/tls13.keylog $here/captures/tls13.pcap >"$dir/with"
	decode "$dir/open.pcapng" >"$dir/alone"
	ok "pcapng with keys is read by itself ($how)" sh -c 'grep -q PUBLISH "$1/alone" && grep -o -e "-> [A-Z]* .*\|<- [A-Z]* .*" "$1/with" >"$1/a" && grep -o -e "-> [A-Z]* .*\|<- [A-Z]* .*" "$1/alone" | diff "$1/a" -' - "$dir"
done
# One that does not fit into a block comes in several.
awk '{ print } NR == 1 { for (i = 0; i < 20000; i++) printf "CLIENT_RANDOM %064x %096x\n", i, i }' $here/captures/tls13.keylog >"$dir/large.keylog"
decode --format pcapng --keylog "$dir/large.keylog" --secrets -o "$dir/open.pcapng" $here/captures/tls13.pcap
ok 'a large key log, too' sh -c '"$1" decode "$2/open.pcapng" 2>"$2/err" | grep -q PUBLISH && [ "$(wc -c <"$2/open.pcapng")" -gt 3000000 ]' - "$mqassay" "$dir"

# ---- several brokers ----

python3 $here/read_json.py several "$dir/several.pcap" || exit 1
timeout 60 "$mqassay" decode --format scenario "$dir/several.pcap" >"$dir/several.scn" 2>"$dir/err"
ok 'a scenario of several brokers says so' grep -q -F "several.pcap: 3 brokers in it (10.0.0.2:1883, 10.0.0.3:1883, 10.0.0.4:1883), and a replay has one: one file for each by --where 'broker==\"10.0.0.2:1883\"'" "$dir/err"
ok 'and is written' "$mqassay" lint "$dir/several.scn"
timeout 60 "$mqassay" decode --format scenario --where 'broker=="10.0.0.2:1883"' "$dir/several.pcap" >"$dir/one.scn" 2>"$dir/err"
ok 'one of them is two of four conversations' sh -c '[ "$(grep -c "CONNECT " "$1/several.scn"):$(grep -c "CONNECT " "$1/one.scn")" = 4:2 ] && ! grep -q brokers "$1/err"' - "$dir"
for view in connections qos; do
	ok "--view $view takes addresses" decode --view $view --where 'broker!="10.0.0.3:1883" && client_address=="10.0.0.1:50006"' "$dir/several.pcap"
done

# ---- options that do not go together ----

# refused WORDS OPTION...: one line on stderr that says so, nothing on stdout, exit 2
refused() {
	words=$1
	shift
	timeout 60 "$mqassay" decode "$@" "$dir/all.pcap" >"$dir/out" 2>"$dir/err"
	found=$?
	case $found:$(wc -l <"$dir/err" | tr -d ' '):$(cat "$dir/err") in
	2:1:*"$words"*) [ -s "$dir/out" ] && echo "not ok refused: $*: something on stdout" || echo "ok refused: $*" ;;
	*) echo "not ok refused: $*: exit $found: $(cat "$dir/err")" ;;
	esac
}

for view in connections qos; do
	refused "--view $view shows whole connections" --view $view --where 'topic~"a/#"'
	ok "--view $view takes whole connections" decode --view $view --where 'client present && !(version==3.1 || way==ws) && stream>=0 && connection<100' "$dir/all.pcap"
done
refused '--format scenario shows whole connections' --format scenario --where 'type==PUBLISH'
refused 'no --where with it'  --view clauses --where 'client=="a"'
refused 'no --check, --where' --format pcapng --where 'client=="a"'
refused 'no --check, --where' --format pcapng --check
refused 'no --check or --view' --format scenario --check
refused 'no --check or --view' --format scenario --view qos
for format in json scenario pcapng; do
	refused '-v is for text' -v --format $format
done
for view in connections qos topics deliveries; do
	refused 'no other --view' -v --view $view
done
refused '--snaplen is for -i'  --snaplen 100
refused 'not both'             -i lo
refused 'larger than 256M'     --max-packet 5G
ln -s all.pcap "$dir/link.pcap"
refused 'overwrite the capture' -o "$dir/all.pcap"
refused 'overwrite the capture' -o "$dir/link.pcap"

n=$(decode --format json --where 'qos==1' "$dir/all.pcap" | grep -c '"kind":"packet"')
timeout 60 "$mqassay" decode --where 'qos==1' "$dir/all.pcap" >"$dir/out" 2>"$dir/err"
ok 'the summary says how many match' grep -q "^  $n packets match --where" "$dir/err"

# Whoever reads what it prints may have seen enough: no message, no signal. More than a pipe holds.
python3 -c 'import sys; d = open(sys.argv[1], "rb").read(); sys.stdout.buffer.write(d[:24] + d[24:] * 400)' "$dir/all.pcap" >"$dir/long.pcap"
for format in text json; do
	rm -f "$dir/code"
	{ timeout 60 "$mqassay" decode --format $format "$dir/long.pcap" 2>"$dir/err"; echo $? >"$dir/code"; } | head -n 1 >"$dir/out"
	ok "a closed pipe ends $format quietly" sh -c '[ "$(cat "$1/code")" = 0 ] && [ ! -s "$1/err" ] && [ -s "$1/out" ]' - "$dir"
done
ok 'a full disk does not' sh -c '"$1" decode -q "$2/long.pcap" >/dev/full 2>"$2/err"; [ $? = 3 ] && grep -q "write to standard output: No space" "$2/err"' - "$mqassay" "$dir"

# A key log that does not fit is not asked for again.
sed 's/^\([A-Z_0-9]* \)....../\1000000/' $here/captures/tls13.keylog >"$dir/other.keylog"
encrypted() {		# WORDS OPTION...
	words=$1
	shift
	timeout 60 "$mqassay" decode "$@" $here/captures/tls13.pcap >"$dir/out" 2>"$dir/err"
	found=$?
	ok "encrypted: $words" sh -c '[ "$1" = 3 ] && grep -q -e "$2" "$3/err"' - $found "$words" "$dir"
}
encrypted '--keylog FILE gives the secrets'
encrypted 'the key log has no secrets that fit' --keylog "$dir/other.keylog"

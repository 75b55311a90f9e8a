#!/bin/sh
# mqassay lint as a user meets it: each mistake is one line with file:line:column, and exit 2. Run from the top
# folder with the program in $MQASSAY.

lint=${MQASSAY:-build/mqassay}
dir=$(mktemp -d) || exit 3
trap 'rm -rf "$dir"' EXIT
file=$dir/t.scn

# header VERSION: a header of three lines, so that steps begin in line 4
header() {
	printf 'scenario "t"\nmqtt %s\nwatches %s MQTT-3.3.1-2\n' "$1" "$1"
}

# mistake NAME LINE:COLUMN WORDS: $file has that mistake, told at that place with these words
mistake() {
	out=$("$lint" lint "$file" 2>&1)
	code=$?
	case $code:$out in
	"2:$file:$2: error: "*"$3"*) echo "ok $1" ;;
	*) echo "not ok $1: exit $code: $out" ;;
	esac
}

# step NAME LINE:COLUMN WORDS TEXT: the same, TEXT being the steps
step() {
	{ header 5; printf '%s\n' "$4"; } >"$file"
	mistake "$1" "$2" "$3"
}

step 'unknown packet'            5:6  'unknown packet `PUBLSH`; did you mean `PUBLISH`?' 'a connects
a -> PUBLSH'
step 'unknown field'             5:13 'did you mean `packet_id`?' 'a connects
a -> PUBREL pakcet_id=1'
step 'wrong type'                4:23 'keep_alive takes a number' 'a connects keep_alive="x"'
step 'rubbish after a number'    4:25 'rubbish behind a number' 'a connects keep_alive=60x'
step 'out of range'              4:23 'keep_alive is 0 to 65535, found 65536' 'a connects keep_alive=65536'
step 'illegal send without !'    5:14 'write `!topic`' 'a connects
a -> PUBLISH topic="a/#"'
step 'property in the wrong packet' 5:25 'receive_maximum does not belong in PUBREL' 'a connects
a -> PUBREL packet_id=1 receive_maximum=5'
step 'unbound name'              5:23 '`$p` is not bound here' 'a connects
a -> PUBACK packet_id=$p'
step 'unclosed string'           4:22 'the string is not closed' 'a connects client_id="x'
step 'unclosed block'            5:10 'this bracket is not closed' 'a connects
repeat 2 {
a pings'
step 'bad hex'                   4:20 'two hexadecimal digits' 'a -> bytes hex"c0 0"'
step 'bad duration'              5:7  'rubbish behind a number' 'a connects
wait 5sx'
step 'duration without a unit'   5:6  'expected a duration' 'a connects
wait 5'
step 'unknown need'              4:7  'unknown need `maximum_qs`' 'needs maximum_qs>=2
a connects'
step 'header behind a step'      5:1  'belongs in the header' 'a connects
needs tls'
step 'first step receives'       4:1  'has no connection yet' 'a receives payload="x"'
step 'arms alike'                5:23 'expected `or {`' 'a connects
either { a <- PUBACK }'
step 'false length'              6:1  'owes no reaction' 'a connects
a -> PINGREQ !remaining_length=9
a <- closed'

printf 'scenario "t"\nmqtt 6\nwatches 5 MQTT-3.3.1-2\na connects\n' >"$file"
mistake 'unknown version' 2:6 'expected a version: 3.1, 3.1.1 or 5'
printf 'scenario "t"\nmqtt 5\ncites 5 MQTT-9.9.9-9\na connects; a <- nothing\n' >"$file"
mistake 'unknown clause' 3:9 'unknown clause `MQTT-9.9.9-9` of 5'
printf 'scenario "t"\nmqtt 3.1.1\ncites 3.1.1 MQTT-1.5.5-1\na connects; a <- nothing\n' >"$file"
mistake 'clause of another version' 3:13 'is no clause of 3.1.1; it is one of 5'
printf 'mqtt 5\n' >"$file"
mistake 'title missing' 1:1 'expected `scenario "title"`'
{ header 5; printf 'case "x" k=1\ncase "x" k=2\na connects keep_alive=$k\n'; } >"$file"
mistake 'duplicate case' 5:6 'stands twice'
printf 'workload "w"\nmqtt 5\n' >"$file"
mistake 'workload' 1:1 'there are no roles'
printf '\033[2J\377"\001' >"$file"
mistake 'foreign bytes' 1:1 '\x1b'
printf '\033[2J\377"\000' >"$file"
mistake 'no text' 1:1 'no text file'

# ---- the files of a workload ----

printf 'workload "w"\nmqtt 5\nparam clients = 2\nrole r x $clients with "data/f.csv" {\nr connects client_id=$id user_name=$user_name\n}\n' >"$file"
mkdir "$dir/data"
printf 'id;user_name\na;b\nc;d\n' >"$dir/data/f.csv"
mistake 'a file with other commas' 5:22 'no column `id`: its values are to be separated by `,`'
printf 'id,username\na,b\nc,d\n' >"$dir/data/f.csv"
mistake 'a column misspelt' 5:36 'no column `user_name`; did you mean `username`?'
printf 'id,user_name\na,b\nc\n' >"$dir/data/f.csv"
mistake 'a short row' 4:6 'data/f.csv:3:1: this row has 1 value, the first has 2'
printf 'id,user_name\na,b\n' >"$dir/data/f.csv"
mistake 'too few rows' 3:17 'role `r` has 2 clients, and data/f.csv rows for 1'
rm "$dir/data/f.csv"
mkdir "$dir/data/f.csv"
mistake 'a folder for a file' 4:6 'read data/f.csv: it is no regular file'
rmdir "$dir/data/f.csv"

# ---- exit codes and the summary ----

check() {	# NAME WANTED-CODE WANTED-TEXT: the last run
	case $code:$out in
	"$2:"*"$3"*) echo "ok $1" ;;
	*) echo "not ok $1: exit $code: $out" ;;
	esac
}

{ header 5; echo 'a connects'; } >"$file"
out=$("$lint" lint "$file" 2>&1); code=$?
check 'a good file' 0 '1 file, 1 test: 0 errors, 0 warnings'
{ header 5; echo 'a connects; a -> PUBLISH !payload="x"'; } >"$file"
out=$("$lint" lint "$file" 2>&1); code=$?
check 'a warning does not fail' 0 'warning: nothing is wrong with this packet'
out=$("$lint" lint "$dir/none.scn" 2>&1); code=$?
check 'a missing file' 3 'No such file'
printf 'workload "w"\nmqtt 5\nrole r x 1 with "f.csv" { r connects client_id=$id }\n' >"$file"
out=$("$lint" lint "$file" 2>&1); code=$?
check 'a role file that is not there yet' 0 'warning: read f.csv: No such file or directory'
out=$("$lint" conform --scenarios "$file" 2>&1); code=$?
check 'a workload is no scenario' 2 'is a workload: `mqassay load FILE TARGET` plays it'
mkdir "$dir/empty"
out=$("$lint" lint "$dir/empty" 2>&1); code=$?
check 'an empty folder' 3 'nothing to check'
mkdir "$dir/some"
cp "$file" "$dir/some/one.scn"
{ header 5; echo 'a conects'; } >"$dir/some/two.scn"
echo rubbish >"$dir/some/other.txt"
out=$("$lint" lint "$dir/some" 2>&1); code=$?
check 'a folder' 2 '2 files, 1 test: 1 error, 1 warning'
{ header 5; printf 'param k = 5\na connects keep_alive=$k\n'; } >"$file"
out=$("$lint" lint -D k=x1 "$file" 2>&1); code=$?
check 'a parameter of the wrong type' 2 'keep_alive takes a number'
out=$("$lint" lint 2>&1); code=$?
check 'the built-in scenarios' 0 ' 0 errors'
out=$("$lint" explain 5:MQTT-3.3.1-2 2>&1); code=$?
check 'explain' 0 'A QoS 0 PUBLISH always has DUP 0'
out=$("$lint" explain MQTT-3.3.1-2 2>&1); code=$?
check 'explain tells of every version' 0 '5:MQTT-3.3.1-2'
out=$("$lint" explain 5:propertyrepeated 2>&1); code=$?
check 'explain names the nearest' 2 'did you mean 5:property-repeated?'

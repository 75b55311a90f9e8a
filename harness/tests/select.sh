#!/bin/sh
# Which tests --select chooses. Run from the top folder with the program in $MQASSAY.

mqassay=${MQASSAY:-build/mqassay}
dir=$(mktemp -d) || exit 3
trap 'rm -rf "$dir"' EXIT

# scenario FILE TITLE TAGS CLAUSE
scenario() {
	printf 'scenario "%s"\nmqtt 5\ncites 5 %s\ntags %s\na connects\na -> PINGREQ\na <- PINGRESP\n' "$2" "$4" "$3" >"$dir/$1"
}
scenario one.scn   'The first'  'quick odd' MQTT-3.12.4-1
scenario two.scn   'The second' 'slow even' MQTT-3.12.4-1
scenario three.scn 'The third'  'slow odd'  pipelined

# chooses NAME 'FILES' PATTERN...: these tests and no others, in the order of their names
chooses() {
	name=$1 files=$2
	shift 2
	for pattern; do
		set -- "$@" --select "$pattern"
		shift
	done
	out=$("$mqassay" conform --scenarios "$dir" --list "$@" 2>"$dir/err" | awk '{ n = split($2, path, "/"); printf "%s ", path[n] }')
	[ "$out" = "$files${files:+ }" ] && echo "ok $name" || echo "not ok $name: chose $out"
}

chooses 'all without a pattern'            'one.scn three.scn two.scn'
chooses 'by tag'                           'three.scn two.scn'           slow
chooses 'all but those with a tag'         'one.scn'                     '!slow'
chooses 'all but those of several'         ''                            '!slow' '!quick'
chooses 'some of those that fit'           'one.scn'                     odd '!slow'
chooses 'the order of patterns is nothing' 'one.scn'                     '!slow' odd
chooses 'two that fit'                     'one.scn two.scn'             one.scn even
chooses 'all but a file'                   'one.scn two.scn'             '!three.scn'
chooses 'all but part of a title'          'one.scn three.scn'           '!second'
chooses 'all but a rule'                   'three.scn'                   '!5:MQTT-3.12.4-1'
chooses 'a rule but a file'                'two.scn'                     MQTT-3.12.4-1 '!one.scn'

"$mqassay" conform --scenarios "$dir" --select '!scn*' --select '!*.scn' >/dev/null 2>"$dir/err"
[ $? -eq 3 ] && grep -q 'no test fits' "$dir/err" && echo 'ok nothing left: exit 3' || echo "not ok nothing left: $(cat "$dir/err")"

#!/bin/sh
# mqassay decode --check on deliberate violations of both sides: each row of violations.tsv is played and captured, and must be
# named by its clause and side, and nothing beside it. Run from the top folder with the program in $MQASSAY.

here=$(dirname "$0")
dir=$(mktemp -d) || exit 3
trap 'rm -rf "$dir"' EXIT
"$here/violations.py" "${MQASSAY:-build/mqassay}" "$here/violations.tsv" "$dir"

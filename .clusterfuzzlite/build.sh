#!/bin/bash -eu
exec "$SRC/mqassay/fuzz/oss-fuzz/build.sh"

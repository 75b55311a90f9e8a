#!/bin/bash -eu
# Builds the fuzz targets as OSS-Fuzz and ClusterFuzzLite want them: with $CC $CXX $CFLAGS $CXXFLAGS $LIB_FUZZING_ENGINE as they are given, from $SRC/mqassay,
# objects in $WORK, and in $OUT for each target NAME: NAME, NAME_seed_corpus.zip, NAME.options and, where there is one, NAME.dict.
# The images that run them have no libraries of ours. What can be is linked statically; libpcap, whose archive wants D-Bus, comes along in $OUT/lib.

cd "$SRC/mqassay"
build=$WORK/mqassay
list=${TARGETS:-$(make -s list-fuzz)}	# TARGETS="broker decode": only these
library=$build/${LIBRARY:-libmqassay.a}	# LIBRARY=libbroker.a: for targets that need no more, compiled in a third of the time
objects=$(printf "$build/fuzz/fuzz_%s.o " $list)
jobs=$(nproc)

make -j"$jobs" B="$build" CC="$CC" CFLAGS="$CFLAGS" FUZZ= SAN= COV= WERROR= $objects "$build/fuzz/mutator/engine.o" "$library"

mkdir -p "$OUT/lib"
for name in $list; do
	target=$OUT/fuzz_$name
	engine=
	grep -q '^const enum engine_shape' "fuzz/fuzz_$name.c" && engine=$build/fuzz/mutator/engine.o
	wraps=			# as in the Makefile
	[ "$name" = alloc ] && wraps=-Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc
	$CXX $CXXFLAGS $wraps -pthread -o "$target" "$build/fuzz/fuzz_$name.o" $engine "$library" $LIB_FUZZING_ENGINE \
		-Wl,-Bstatic -lssl -lcrypto -lz -lzstd -ljson-c -Wl,-Bdynamic,--as-needed -lpcap -lm -ldl -Wl,--disable-new-dtags,-rpath,'$ORIGIN/lib'
	rm -f "${target}_seed_corpus.zip"
	(cd "fuzz/corpus/$name" && find . -type f | LC_ALL=C sort | zip -q -X "${target}_seed_corpus.zip" -@)
	{
		echo '[libfuzzer]'
		echo 'max_len = 65536'
		echo 'timeout = 10'
		dict=$(awk -v name="$name" '$1 == name { print $2 }' fuzz/dictionaries)
		if [ "${dict:--}" != - ]; then
			cp "fuzz/$dict.dict" "$target.dict"
			echo "dict = fuzz_$name.dict"
		fi
	} >"$target.options"
done

# libpcap and what it needs itself.
for name in $list; do
	ldd "$OUT/fuzz_$name"
done | awk '$2 == "=>" && $3 ~ /^\// { print $3 }' | sort -u | grep -v -E '/(libc|libm|libdl|libpthread|librt|libgcc_s|libstdc\+\+)\.so' | while read -r library; do
	cp -L "$library" "$OUT/lib/"
done

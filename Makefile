# mqassay. `make help` lists what can be made.
#
# CC, CFLAGS, CPPFLAGS, LDFLAGS, PREFIX and DESTDIR belong to whoever builds; ours are lower case.
# One short line a file; V=1 shows the commands.
# Variants live side by side: make SAN=address,undefined   make CC=clang FUZZ=1   make COV=1   make WERROR=1

version := 0.1.0
dated   := November 21, 2026
PREFIX  ?= /usr/local
MAKEFLAGS += --no-builtin-rules
ifeq ($(origin CC),default)
CC := gcc
endif

Q        := $(if $(filter-out 0,$(V)),,@)
say       = $(if $(Q),$(if $(findstring s,$(firstword -$(MAKEFLAGS))),,@printf '  %-4s %s\n' $(1) $(2)))

variant := $(subst $() ,-,$(strip $(if $(SAN),$(if $(filter leak,$(SAN)),lsan,san)) $(COV:%=cov) $(PROFILE:%=profile) $(FUZZ:%=fuzz) $(filter-out gcc cc,$(notdir $(CC))) $(WERROR:%=werror)))
B       := build/$(or $(variant),plain)
comma   := ,

cflags  := -std=c11 -D_GNU_SOURCE -iquote . -g -O2 -fno-strict-aliasing -pthread -DMQASSAY_VERSION='"$(version)"' -DMQASSAY_DATE='"$(dated)"' \
           -Wall -Wextra -Wno-missing-field-initializers -Wshadow -Wvla -Wmissing-prototypes -Wpointer-arith -Wstrict-prototypes \
           $(if $(SAN),-fsanitize=$(SAN) -fno-sanitize-recover=all -fno-omit-frame-pointer) \
           $(if $(COV),--coverage) $(if $(PROFILE),-fprofile-instr-generate -fcoverage-mapping) $(if $(FUZZ),-fsanitize=fuzzer-no-link -fno-sanitize=null$(comma)alignment$(comma)object-size) $(if $(WERROR),-Werror)
ldflags := -pthread $(if $(SAN),-fsanitize=$(SAN)) $(if $(COV),--coverage) $(if $(PROFILE),-fprofile-instr-generate)
libs    := -lssl -lcrypto -lpcap -lz -lzstd -ljson-c -lm

codec   := $(wildcard codec/*.c)
harness := $(filter-out harness/main.c,$(wildcard harness/*.c harness/load/*.c))
broker  := $(wildcard reference-broker/*.c)
pcap    := $(wildcard pcap/*.c)
engines := fuzz/mutator/engine.c fuzz/mutator/engine_afl.c
fuzz    := $(filter-out $(engines),$(wildcard fuzz/mutator/*.c fuzz/network/*.c))
tests   := $(wildcard codec/tests/test_*.c harness/tests/test_*.c harness/load/tests/test_*.c reference-broker/tests/test_*.c pcap/tests/test_*.c \
           fuzz/mutator/tests/test_*.c fuzz/network/tests/test_*.c)
benches := $(wildcard codec/bench/*.c harness/bench/*.c harness/load/bench/*.c reference-broker/bench/*.c pcap/bench/*.c fuzz/bench/*.c)
targets := $(wildcard fuzz/fuzz_*.c)
TARGETS ?= decode broker
data    := $(shell find scenarios -path scenarios/known -prune -o '(' -name '*.scn' -o -name '*.tsv' -o -name '*.csv' ')' -print 2>/dev/null | LC_ALL=C sort)

obj      = $(patsubst %.c,$B/%.o,$(1))
lib     := $(call obj,$(codec) $(harness) $(broker) $(pcap) $(fuzz))
objs    := $(lib) $(call obj,harness/main.c $(engines) $(tests) $(benches) $(targets) $(wildcard fuzz/replay.c fuzz/write_seeds.c fuzz/seeds_packets.c fuzz/write_dict.c fuzz/network/tests/fake_broker.c))

.PHONY: all help tests everything deps deps-build deps-check conform check test list-tests bench bench-load \
        fuzz planted fuzz-targets fuzz-afl fuzz-afl-targets fuzz-replays fuzz-check fuzz-replay-all fuzz-speed fuzz-replay-speed coverage fuzz-coverage fuzz-seeds fuzz-dict list-fuzz install uninstall clean FORCE
.DELETE_ON_ERROR:

share   := build/share/man/man1/mqassay.1 build/share/bash-completion/completions/mqassay \
           build/share/zsh/site-functions/_mqassay build/share/fish/vendor_completions.d/mqassay.fish

all: build/mqassay $(if $(variant),$B/mqassay,$(share))	## build the program (build/mqassay)

help:	## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# ---- building ----

ifeq ($(variant),)
build/mqassay: $B/mqassay
	@ln -sfn plain/mqassay $@
else
build/mqassay: FORCE
	@$(MAKE) --no-print-directory SAN= COV= FUZZ= PROFILE= WERROR= CC=gcc $@
endif

# The manual page and the completion scripts are what the program says of itself.
build/share/man/%: pages := --man
build/share/bash-completion/%: pages := --completion=bash
build/share/zsh/%: pages := --completion=zsh
build/share/fish/%: pages := --completion=fish
$(share): build/mqassay
	@mkdir -p $(@D)
	$(call say,GEN,$@)
	$(Q)build/mqassay $(pages) > $@

# What deals with packets compares with few values, and the dictionary has them: to record each comparison would cost its targets a fifth to a quarter of their speed.
packets := $(codec) $(broker) $(wildcard fuzz/mutator/*.c harness/monitor*.c harness/dues*.c harness/offences.c) fuzz/fuzz_decode.c fuzz/fuzz_roundtrip.c fuzz/fuzz_broker.c fuzz/fuzz_link.c
$(call obj,$(packets)): cflags += $(if $(FUZZ),-fno-sanitize-coverage=trace-cmp)

$B/.flags: FORCE
	@mkdir -p $(@D)
	@echo '$(CC) $(cflags) $(CPPFLAGS) $(CFLAGS)' | cmp -s - $@ || echo '$(CC) $(cflags) $(CPPFLAGS) $(CFLAGS)' > $@

$B/%.o: %.c $B/.flags
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(cflags) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

# Scenarios and clause tables, compiled in: one symbol pair a file, a table of them all.
$B/embedded.c: $(data) $B/.data
	@mkdir -p $(@D)
	@printf '%s\n' $(data) | awk 'BEGIN { print "#include \"harness/embedded.h\"" } \
	  NF { printf "__asm__(\".section .rodata\\nembedded_%d: .incbin \\\"%s\\\"\\nembedded_%d_end: .byte 0\\n.previous\");\n", NR, $$1, NR; \
	    printf "extern const char embedded_%d[], embedded_%d_end[];\n", NR, NR; names[NR] = $$1 } \
	  END { print "const struct embedded embedded[] = {"; \
	    for (i = 1; i <= NR; i++) printf "\t{ \"%s\", embedded_%d, embedded_%d_end },\n", names[i], i, i; \
	    print "\t{ 0, 0, 0 }\n};" }' > $@
$B/.data: FORCE
	@mkdir -p $(@D)
	@echo '$(data)' | cmp -s - $@ || echo '$(data)' > $@
$B/embedded.o: $B/embedded.c $B/.flags
	$(call say,CC,$<)
	$(Q)$(CC) $(cflags) -Wno-overlength-strings $(CPPFLAGS) $(CFLAGS) -c -o $@ $<

$B/libmqassay.a: $(lib) $B/embedded.o
	@rm -f $@
	$(call say,AR,$@)
	$(Q)ar rcs $@ $^

$B/mqassay: $B/harness/main.o $B/libmqassay.a
	$(call say,LINK,$@)
	$(Q)$(CC) $(ldflags) $(LDFLAGS) -o $@ $^ $(libs) $(LDLIBS)

$B/%: $B/%.o $B/libmqassay.a
	$(call say,LINK,$@)
	$(Q)$(CC) $(ldflags) $(LDFLAGS) -o $@ $^ $(if $(findstring /tests/,$@),-lcmocka) $(if $(findstring wslay,$@),-lwslay) $(libs) $(LDLIBS)

test_programs  := $(patsubst %.c,$B/%,$(tests))
bench_programs := $(patsubst %.c,$B/%,$(benches))
replays        := $(patsubst fuzz/fuzz_%.c,$B/fuzz/replay_%,$(targets))
.SECONDARY: $(objs)

tests: $(test_programs) $B/fuzz/network/tests/fake_broker
everything: $B/mqassay $(objs) $(test_programs) $(bench_programs) $(replays) $B/fuzz/write_seeds $B/fuzz/write_dict $B/fuzz/network/tests/fake_broker

$B/harness/tests/test_play $B/fuzz/network/tests/test_player: $B/harness/tests/puppet.o
$B/harness/tests/test_monitor $B/harness/tests/test_client_monitor $B/pcap/tests/test_check: $B/harness/tests/shorthand.o

# ---- what they need (Debian) ----

build_needs := gcc libc6-dev libssl-dev libpcap-dev zlib1g-dev libzstd-dev libjson-c-dev pkg-config
check_needs := $(build_needs) clang afl++ libcmocka-dev mosquitto mosquitto-clients ejabberd nats-server \
               libpaho-mqtt-dev python3-paho-mqtt python3-jsonschema libwslay-dev openssl nodejs node-mqtt libxml2-utils mandoc perl tshark tcpdump gzip zstd zip unzip g++ \
               default-jre-headless libhdrhistogram-java

# Brokers are installed to be started by tests: no package may start its service now.
define install_missing
@missing=$$(for p in $(1); do dpkg-query -W -f '$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || echo $$p; done); \
if [ -n "$$missing" ]; then \
	sudo=; [ "$$(id -u)" = 0 ] || sudo=sudo; \
	echo "installing" $$missing; \
	policy=/usr/sbin/policy-rc.d; \
	if ! [ -e $$policy ]; then \
		trap "$$sudo rm -f $$policy" EXIT; trap 'exit 1' INT TERM; \
		printf '#!/bin/sh\nexit 101\n' | $$sudo tee $$policy >/dev/null; $$sudo chmod 755 $$policy; \
	fi; \
	$$sudo apt-get update -qq && $$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null \
	|| { echo "make deps: could not install" $$missing "- install them by hand and run make again" >&2; exit 1; }; \
fi
endef

deps: deps-check	## install what building and testing need (apt; sudo only when not root)
deps-build:
	$(call install_missing,$(build_needs))
deps-check:
	$(call install_missing,$(check_needs))
	$(call install_missing,libclang-rt-$$(clang -dumpversion | cut -d. -f1)-dev)

# ---- running ----

conform: deps-build	## build, and play the suite against the built-in reference broker, in each of its configurations
	@$(MAKE) --no-print-directory -j$$(nproc) all
	build/mqassay conform --broker all

check: deps-check	## build and run all tests
	@harness/tests/check.sh

test: tests	## the unit tests of this variant
	@for t in $(test_programs); do echo "== $$t"; $$t || exit 1; done

list-tests:
	@echo $(test_programs)

bench: all $(bench_programs)	## print what things cost
	@for b in $(filter-out %/make_capture %/bench_floor,$(bench_programs)); do $$b || exit 1; done
	@pcap/bench/decode.sh $B

bench-load: all $B/harness/load/bench/bench_floor	## print what load costs, beside a bare client and other tools; CASE= for some
	@harness/load/bench/load.sh $B $(CASE)

# ---- fuzzing ----

fuzz:	## build the libFuzzer targets (clang) into build/fuzz/
	@$(MAKE) --no-print-directory CC=clang FUZZ=1 SAN=address,undefined fuzz-targets
fuzz-targets: $(patsubst fuzz/%.c,build/fuzz/%,$(targets))
# Targets that say what their input is made of (fuzz/mutator/engine.h) have it mutated as that.
$(patsubst fuzz/%.c,build/fuzz/%,$(shell grep -l '^const enum engine_shape' $(targets))): $B/fuzz/mutator/engine.o
build/fuzz/%: $B/fuzz/%.o $B/libmqassay.a
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(CC) -fsanitize=fuzzer,$(SAN) $(ldflags) $(LDFLAGS) -o $@ $(filter %.o,$^) $(filter %.a,$^) $(libs) $(LDLIBS)

# The same functions as AFL++ runs them: persistent, with shared memory. One of them, build/afl/leaks_broker, is built to see leaks: with ASan AFL++ sees none.
fuzz-afl: build/afl/engine.so	## build the AFL++ targets (afl-clang-fast) into build/afl/; AFL_TARGETS= for some
	@AFL_QUIET=1 $(MAKE) --no-print-directory CC=afl-clang-fast SAN=address fuzz-afl-targets
	@AFL_QUIET=1 AFL_USE_LSAN=1 $(MAKE) --no-print-directory CC=afl-clang-fast SAN=leak build/afl/leaks_broker
fuzz-afl-targets: $(if $(AFL_TARGETS),$(AFL_TARGETS:%=build/afl/fuzz_%),$(patsubst fuzz/%.c,build/afl/%,$(targets)))
build/afl/%: $B/fuzz/%.o $B/fuzz/afl.o $B/libmqassay.a
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(CC) $(ldflags) $(LDFLAGS) -o $@ $^ $(libs) $(LDLIBS)
# What a target of the broker is made of, for the build that looks for leaks: nothing else is compiled once more.
$B/libbroker.a: $(call obj,$(codec) $(broker) $(filter fuzz/mutator/%,$(fuzz)) $(wildcard harness/monitor*.c harness/dues*.c harness/offences.c harness/console.c harness/escape.c))
	@rm -f $@
	$(call say,AR,$@)
	$(Q)ar rcs $@ $^
build/afl/leaks_%: $B/fuzz/fuzz_%.o $B/fuzz/afl.o $B/libbroker.a
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(CC) $(ldflags) $(LDFLAGS) -o $@ $^ $(libs) $(LDLIBS)
# AFL_CUSTOM_MUTATOR_LIBRARY=build/afl/engine.so ENGINE_SHAPE=moves: as the target's engine_shape says.
engine_sources := fuzz/mutator/engine_afl.c fuzz/mutator/anomalies.c fuzz/mutator/moves.c fuzz/mutator/steer.c fuzz/mutator/words.c \
                  $(wildcard fuzz/mutator/mutate*.c) $(codec)
build/afl/engine.so: $(engine_sources) $(wildcard fuzz/mutator/*.h codec/*.h)
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)gcc $(filter-out -fsanitize=%,$(cflags)) -fPIC -shared -o $@ $(engine_sources)	# afl-fuzz itself has no sanitizer

fuzz-speed:	## print what a second of one core does with the corpora, in the build of `make fuzz`; TARGETS= for some
	@$(MAKE) --no-print-directory CC=clang FUZZ=1 SAN=address,undefined fuzz-replay-speed
fuzz-replay-speed: $(TARGETS:%=$B/fuzz/replay_%)
	@for t in $(TARGETS); do $B/fuzz/replay_$$t -r 20 fuzz/corpus/$$t || exit 1; done

build/fuzz/fuzz_alloc build/afl/fuzz_alloc $B/fuzz/replay_alloc: ldflags += -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc

# Of the codec from the seeds alone, and of the broker's core from seeds and corpora: lines, as clang counts them. In build/coverage/ they stand line by line.
core       := $(addprefix reference-broker/,audit.c auth.c broker.c buffer.c connect.c deadlines.c deliver.c hash.c link.c message.c publish.c reasons.c retain.c rights.c session.c \
              subscribe.c topic_tree.c)
coverage: fuzz-seeds	## print how much of the codec the seeds reach, and of the broker's core seeds and corpora
	@$(MAKE) --no-print-directory CC=clang PROFILE=1 fuzz-coverage
fuzz-coverage: $(patsubst %,$B/fuzz/replay_%,roundtrip text websocket mutate broker scenario link alloc)
	@fuzz/coverage.sh $B '$(codec)' '$(core)'

# Those that take longest come first, so that what runs side by side ends together.
slowest    := conversations load workload alloc check scenario
in_order   := $(slowest) $(filter-out $(slowest),$(patsubst fuzz/fuzz_%.c,%,$(targets)))
list-fuzz:
	@echo $(in_order)
$B/fuzz/write_seeds: $B/fuzz/seeds_packets.o
fuzz-replays: $(replays)
sanitizers := address,undefined
fuzz-check:	## replay every corpus under the sanitizers, side by side, without a fuzzer
	@$(MAKE) --no-print-directory SAN=$(or $(SAN),$(sanitizers)) fuzz-replay-all
fuzz-replay-all: fuzz-replays
	@printf '%s\n' $(in_order) | xargs -P "$$(nproc)" -n 1 sh -c 'exec "$$0/replay_$$1" "fuzz/corpus/$$1"' $B/fuzz
fuzz-seeds: $B/fuzz/write_seeds	## write seeds, out of scenarios and tables, into build/seeds/TARGET/
	@rm -rf build/seeds && mkdir -p build
	@$< build/seeds
fuzz-dict: $B/fuzz/write_dict	## write the fuzzers' dictionaries, out of tables and the parser's words, into fuzz/ (or DICTS=)
	@$< mqtt > $(DICTS)/mqtt.dict && LC_ALL=C $< scenario harness/parse*.c > $(DICTS)/scenario.dict
DICTS := fuzz
$B/fuzz/replay_%: $B/fuzz/fuzz_%.o $B/fuzz/replay.o $B/libmqassay.a
	$(call say,LINK,$@)
	$(Q)$(CC) $(ldflags) $(LDFLAGS) -o $@ $^ $(libs) $(LDLIBS)

planted: all	## plant each bug of fuzz/planted in a copy, and see which of them the fuzzers find, and how soon
	@fuzz/planted/run.sh; fuzz/planted/run.sh --network

# ---- installing ----

install: all	## into $(DESTDIR)$(PREFIX)
	install -d $(DESTDIR)$(PREFIX)/bin
	install -m 755 build/plain/mqassay $(DESTDIR)$(PREFIX)/bin/mqassay
	for f in $(share:build/share/%=%); do install -D -m 644 build/share/$$f $(DESTDIR)$(PREFIX)/share/$$f || exit 1; done
uninstall:	## take it away again
	rm -f $(DESTDIR)$(PREFIX)/bin/mqassay $(share:build/share/%=$(DESTDIR)$(PREFIX)/share/%)
clean:	## remove build/
	rm -rf build

-include $(objs:.o=.d)

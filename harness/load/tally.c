#include "harness/load/tally.h"

#include <stdio.h>
#include <stdlib.h>

#define CLIENT     OF_CLIENT
#define PUBLISHER  OF_PUBLISHER
#define SUBSCRIBER OF_SUBSCRIBER
#define WIRE       OF_WIRE

const struct counter_row counter_rows[N_COUNTERS] = {
#define X(name, whose, meaning) { #name, meaning, whose },
#include "harness/load/counters.def"
#undef X
};

const char *const timing_names[N_TIMINGS + 1] = { "connect", "ack", "delivery", "lateness", "play", NULL };

static void record(struct hdr *h, uint64_t from_ns, uint64_t to_ns)
{
	if (!hdr_record(h, to_ns > from_ns ? to_ns - from_ns : 0)) {
		fputs("mqassay: out of memory\n", stderr);
		abort();
	}
}

void tally_time(struct tally *t, enum timing timing, uint64_t due_ns, uint64_t begun_ns, uint64_t now_ns)
{
	record(&t->timings[timing], due_ns, now_ns);
	if (timing != TIME_LATENESS)
		record(&t->uncorrected[timing], begun_ns, now_ns);
}

void tally_add(struct tally *to, const struct tally *from)
{
	for (unsigned i = 0; i < N_COUNTERS; i++)
		to->counts[i] += from->counts[i];
	for (unsigned i = 0; i < N_TIMINGS; i++)
		if (!hdr_add(&to->timings[i], &from->timings[i]) || !hdr_add(&to->uncorrected[i], &from->uncorrected[i])) {
			fputs("mqassay: out of memory\n", stderr);
			abort();
		}
}

void tally_reset(struct tally *t)
{
	for (unsigned i = 0; i < N_COUNTERS; i++)
		t->counts[i] = 0;
	for (unsigned i = 0; i < N_TIMINGS; i++) {
		hdr_reset(&t->timings[i]);
		hdr_reset(&t->uncorrected[i]);
	}
}

void tally_release(struct tally *t)
{
	for (unsigned i = 0; i < N_TIMINGS; i++) {
		hdr_release(&t->timings[i]);
		hdr_release(&t->uncorrected[i]);
	}
}

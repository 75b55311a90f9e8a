#include <stdlib.h>

#include "fuzz/must.h"
#include "pcap/tls_stage.h"

/*
 * A TLS connection, and a key log: the first byte says when the key log comes and how the connection is cut, then the log up to a zero byte,
 * then what happens: a byte (end, and what), two of length, and so many bytes. Not more comes out than went in, and holes are not longer than
 * what was missing and the rest of a record; and what comes out does not depend on the cut, where nothing is missing.
 */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MOST = 1 << 17, RECORD = 5 + 16384 + 2048 };

struct sum {			/* above the stage */
	struct stage stage;
	uint64_t hash[2], bytes[2], missing[2], holes;
	bool ended;
};

static void take_bytes(struct stage *stage, unsigned end, struct span bytes, const struct when *when)
{
	struct sum *s = (struct sum *)stage;

	(void)when;
	MUST(end < 2 && bytes.len && !s->ended);
	for (size_t i = 0; i < bytes.len; i++)
		s->hash[end] = (s->hash[end] ^ bytes.at[i]) * UINT64_C(0x100000001b3);
	s->bytes[end] += bytes.len;
}

static void take_hole(struct stage *stage, unsigned end, uint64_t len, enum hole_why why, const struct when *when)
{
	struct sum *s = (struct sum *)stage;

	(void)why, (void)when;
	MUST(end < 2 && !s->ended);
	s->missing[end] += len;
	s->holes++;
}

static void take_closed(struct stage *stage, unsigned end, bool reset, const struct when *when)
{
	(void)reset, (void)when;
	MUST(end < 2 && !((struct sum *)stage)->ended);
}

static void take_end(struct stage *stage, const struct when *when)
{
	(void)when;
	((struct sum *)stage)->ended = true;
}

static const struct stage_ops ops = { take_bytes, take_hole, take_closed, take_end };

static void give(struct stage *tls, unsigned end, const uint8_t *bytes, size_t len, size_t piece, const struct when *when)
{
	while (len) {
		size_t n = len < piece ? len : piece;
		uint8_t *exact = malloc(n);		/* reading past a piece is seen */

		if (!exact)
			abort();
		memcpy(exact, bytes, n);
		tls->ops->bytes(tls, end, span_of(exact, n), when);
		free(exact);
		bytes += n;
		len -= n;
	}
}

static struct sum play(struct span keylog, unsigned late, struct span events, size_t piece)
{
	struct sum sum = { .stage.ops = &ops };
	struct keylog *log = keylog_new();
	struct tls_shared *shared = log ? tls_shared_new(log) : NULL;
	struct tls_notes notes;
	struct stage *tls = shared ? tls_stage_new(shared, &sum.stage, &notes) : NULL;
	struct when when = { 0 };
	uint64_t in[2] = { 0 };

	if (!tls)
		abort();
	for (; events.len >= 3; when.frame++) {
		unsigned what = events.at[0] >> 1 & 3, end = events.at[0] & 1;
		size_t len = (size_t)(events.at[1] << 8 | events.at[2]);

		if (when.frame == late)
			keylog_add(log, keylog);
		events.at += 3, events.len -= 3;
		if (what == 1) {
			in[end] += len;
			tls->ops->hole(tls, end, len, HOLE_LOST, &when);
		} else if (what == 2) {
			tls->ops->closed(tls, end, events.at[-2], &when);
		} else {
			len = len < events.len ? len : events.len;
			in[end] += len;
			give(tls, end, events.at, len, piece, &when);
			events.at += len, events.len -= len;
		}
	}
	tls->ops->ended(tls, &when);
	MUST(sum.ended && (notes.readable || notes.why_not));
	for (unsigned end = 0; end < 2; end++)
		MUST(sum.bytes[end] <= in[end] && sum.bytes[end] + sum.missing[end] <= in[end] + sum.holes * RECORD);
	tls_shared_free(shared);
	keylog_free(log);
	return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2 || size > MOST)
		return 0;
	unsigned late = *data >> 6, piece = 1 + (*data & 63);
	const uint8_t *zero = memchr(data + 1, 0, size - 1);
	if (!zero)
		return 0;
	struct span keylog = span_of(data + 1, (size_t)(zero - data - 1)), events = span_of(zero + 1, (size_t)(data + size - zero - 1));
	struct sum whole = play(keylog, late, events, SIZE_MAX), cut = play(keylog, late, events, piece);
	if (!whole.holes && !cut.holes && !late)
		MUST(whole.hash[0] == cut.hash[0] && whole.hash[1] == cut.hash[1]);
	return 0;
}

#include <stdlib.h>

#include "fuzz/must.h"
#include "pcap/capture.h"
#include "pcap/capture_internal.h"
#include "pcap/ip.h"

/*
 * Any bytes as a capture file, also packed: read to its end, each record as a TCP segment. The first byte says whether a filter is
 * on. Reading ends, frames are counted up, a segment lies within what was captured or put together, and what is wrong is one line.
 */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
	MOST = 1 << 16,
	MOST_UNPACKED = 1 << 20,	/* of what a few bytes can be unpacked to; and records that hold nothing */
	MOST_RECORDS = 20000,
	IP_ROOM = 1 << 18,		/* a few packets' fragments */
};

static volatile uint8_t sink;

static void take_secrets(void *owner, struct span text)
{
	(void)owner;
	for (size_t i = 0; i < text.len; i++)
		sink ^= text.at[i];
}

static void judge_line(const struct capture_error *error)
{
	size_t len = strnlen(error->text, sizeof(error->text));

	MUST(len && len < sizeof(error->text));
	for (size_t i = 0; i < len; i++)
		MUST((uint8_t)error->text[i] >= 0x20 && error->text[i] != 0x7f);
}

static void judge_segment(const struct segment *s, const struct record *r)
{
	MUST(s->when.frame == r->when.frame && s->bytes.len <= s->len);
	MUST((s->from.family == 4 || s->from.family == 6) && s->from.family == s->to.family);
	for (size_t i = 0; i < s->bytes.len; i++)
		sink ^= s->bytes.at[i];
}

static void read_all(struct capture *c)
{
	struct ip *ip = ip_new(IP_ROOM);
	struct capture_error why = { 0 };
	struct record r;
	struct segment s;
	enum capture_status status = CAPTURE_RECORD;
	uint64_t frame = 0, n[IP_UNKNOWN_LINK + 1] = { 0 };

	for (int i = 0; i < MOST_RECORDS && capture_bytes(c) < MOST_UNPACKED && (status = capture_next(c, &r, &why)) == CAPTURE_RECORD; i++) {
		MUST(r.when.frame > frame && r.original_len >= r.bytes.len);
		frame = r.when.frame;
		enum ip_status got = ip_read(ip, &r, &s);
		n[got]++;
		if (got == IP_SEGMENT)
			judge_segment(&s, &r);
	}
	if (status == CAPTURE_BROKEN) {
		judge_line(&why);
		MUST(capture_next(c, &r, &why) == CAPTURE_END);
	}
	MUST(status != CAPTURE_IDLE);
	const struct ip_counts *counts = ip_counts(ip);
	MUST(counts->segments == n[IP_SEGMENT] && counts->copies == n[IP_COPY] && counts->unknown_link == n[IP_UNKNOWN_LINK]);
	ip_free(ip);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct capture_error error;
	struct source *source;
	struct capture *c;

	if (!size || size > MOST)
		return 0;
	source = source_of_memory(span_of(data + 1, size - 1), &error);
	c = source ? capture_of_source(source, &error) : NULL;
	if (!c) {
		judge_line(&error);
		return 0;
	}
	capture_on_secrets(c, take_secrets, NULL);
	if (data[0] & 1 && !capture_filter(c, "tcp port 1883 or ip6", &error))
		judge_line(&error);
	read_all(c);
	capture_close(c);
	return 0;
}

#include <assert.h>

#include "pcap/tcp_internal.h"

/*
 * One ring for all connections: each piece handed over is copied to it, behind a record that leads to the one before of the
 * same direction. An offset counts from the beginning of time, so a record that was overwritten is known by its age alone.
 */

enum { ALIGN = 8, STEPS_MOST = 256 };

static bool intact(const struct tcp *tcp, uint64_t offset)
{
	return offset && offset + RECENT_ROOM >= tcp->recent_head;
}

static struct recent *record_at(const struct tcp *tcp, uint64_t offset)
{
	return (struct recent *)(void *)(tcp->recent + offset % RECENT_ROOM);
}

static void add(struct tcp *tcp, struct half *h, struct recent r, const void *bytes)
{
	size_t size = (sizeof(r) + r.kept + ALIGN - 1) / ALIGN * ALIGN;
	uint64_t offset = tcp->recent_head;

	if (RECENT_ROOM - offset % RECENT_ROOM < size)
		offset += RECENT_ROOM - offset % RECENT_ROOM;
	r.before = h->recent;
	*record_at(tcp, offset) = r;
	if (r.kept)
		memcpy(record_at(tcp, offset) + 1, bytes, r.kept);
	h->recent = offset;
	tcp->recent_head = offset + size;
}

void tcp_recent_add(struct tcp *tcp, struct half *h, uint64_t at, struct span bytes)
{
	add(tcp, h, (struct recent){ .at = at, .len = (uint32_t)bytes.len,
	                             .kept = (uint32_t)(bytes.len < RECENT_KEPT ? bytes.len : RECENT_KEPT) }, bytes.at);
}

void tcp_recent_hole(struct tcp *tcp, struct half *h, uint64_t at, uint64_t len)
{
	add(tcp, h, (struct recent){ .at = at, .len = len < UINT32_MAX ? (uint32_t)len : UINT32_MAX, .hole = true }, "");
}

/* What is older than the ring is taken to be the same. */
void tcp_recent_compare(const struct tcp *tcp, const struct half *h, uint64_t at, struct span bytes, struct overlap *overlap)
{
	uint64_t offset = h->recent, end = at + bytes.len, judged = 0;
	unsigned steps = 0;

	while (intact(tcp, offset) && steps++ < STEPS_MOST) {
		const struct recent *r = record_at(tcp, offset);
		uint64_t from = r->at > at ? r->at : at, to = r->at + r->len < end ? r->at + r->len : end;

		if (from < to) {
			uint32_t n = (uint32_t)(to - from);
			uint64_t kept_to = r->at + r->kept < to ? r->at + r->kept : to;

			judged += n;
			if (r->hole)
				overlap->belated += n;
			else if (kept_to > from && memcmp((const uint8_t *)(r + 1) + (from - r->at), bytes.at + (from - at), kept_to - from) != 0)
				overlap->other += n;
			else
				overlap->same += n;
		}
		if (r->at <= at)
			break;
		offset = r->before;
	}
	assert(judged <= bytes.len);
	overlap->same += (uint32_t)(bytes.len - judged);
}

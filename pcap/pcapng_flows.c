#include "pcap/pcapng_flows.h"

#include <stdio.h>
#include <stdlib.h>

enum {
	ROOM = 16 << 20,		/* for frames that wait */
	N_INTERFACES = 4096,		/* whose numbers are remembered; one whose place another took is described again */
	MAX_STREAMS = 64 << 20,		/* two bits each. Of later ones nothing is written */
};

static const uint64_t patience_ns = 10 * UINT64_C(1000000000);

enum verdict { UNDECIDED, OTHER, MQTT };

struct waiting {			/* a frame in the ring; its bytes stand behind it */
	size_t size;			/* of it and its bytes, up to the next one */
	uint32_t len;			/* of its bytes; LAST: none, the next one is at the ring's beginning */
	uint32_t original_len, link_type, interface;
	int64_t stream;
	uint64_t time_ns, fragmented;
};

enum { LAST = UINT32_MAX };

struct interface {
	bool used, described;		/* described: in the file, by number */
	uint32_t interface, link_type, number;
	char name[INTERFACE_NAME];
};

struct pcapng_flows {
	struct out *out;
	bool begun;
	uint8_t *verdicts;		/* four of them in a byte */
	size_t cap_verdicts;		/* bytes */
	uint8_t *ring;			/* made when something has to wait */
	size_t head, tail, used;	/* used: bytes from head to tail, what is left at the end included */
	uint64_t now_ns;
	struct interface interfaces[N_INTERFACES];
	uint32_t n_interfaces;
	uint64_t n_written, n_left_out;
};

struct pcapng_flows *pcapng_flows_new(struct out *out)
{
	struct pcapng_flows *f = calloc(1, sizeof(*f));

	if (!f)
		abort();
	f->out = out;
	return f;
}

/* ---- verdicts ---- */

static enum verdict verdict_of(const struct pcapng_flows *f, int64_t stream)
{
	if ((uint64_t)stream / 4 < f->cap_verdicts)
		return f->verdicts[stream / 4] >> stream % 4 * 2 & 3;
	return stream < MAX_STREAMS ? UNDECIDED : OTHER;
}

static bool make_room(struct pcapng_flows *f, size_t bytes)
{
	size_t cap = f->cap_verdicts ? f->cap_verdicts : 4096;

	if (bytes <= f->cap_verdicts)
		return true;
	while (cap < bytes)
		cap *= 2;
	uint8_t *more = realloc(f->verdicts, cap);
	if (!more)
		return false;
	memset(more + f->cap_verdicts, 0, cap - f->cap_verdicts);
	f->verdicts = more;
	f->cap_verdicts = cap;
	return true;
}

/* ---- blocks ---- */

enum block_type { SECTION_HEADER = 0x0a0d0d0a, INTERFACE = 1, ENHANCED_PACKET = 6, DECRYPTION_SECRETS = 10 };
enum { BYTE_ORDER_MAGIC = 0x1a2b3c4d, TLS_KEY_LOG = 0x544c534b, IF_NAME = 2, IF_TSRESOL = 9, NANOSECONDS = 9 };

/* In the byte order of here: that is what the section's magic is for. */
static void put16(struct out *out, uint16_t v)
{
	out_bytes(out, &v, sizeof(v));
}

static void put32(struct out *out, uint32_t v)
{
	out_bytes(out, &v, sizeof(v));
}

static void put_padded(struct out *out, const void *bytes, size_t len)
{
	out_bytes(out, bytes, len);
	out_bytes(out, "\0\0\0", -len & 3);
}

static void begin_file(struct pcapng_flows *f)
{
	static const char name[] = "mqassay";
	static const uint64_t unknown = UINT64_MAX;
	enum { SIZE = 28 + 4 + 8 + 4 };

	if (f->begun)
		return;
	f->begun = true;
	put32(f->out, SECTION_HEADER);
	put32(f->out, SIZE);
	put32(f->out, BYTE_ORDER_MAGIC);
	put16(f->out, 1);
	put16(f->out, 0);
	out_bytes(f->out, &unknown, sizeof(unknown));	/* the section's length */
	put16(f->out, 4);				/* shb_userappl */
	put16(f->out, sizeof(name) - 1);
	put_padded(f->out, name, sizeof(name) - 1);
	put32(f->out, 0);
	put32(f->out, SIZE);
}

/* Of a frame that has waited the name may have been forgotten: NULL. */
static struct interface *interface_of(struct pcapng_flows *f, uint32_t interface, uint32_t link_type, const char *name)
{
	struct interface *i = &f->interfaces[interface % N_INTERFACES];

	if (i->used && i->interface == interface && i->link_type == link_type)
		return i;
	*i = (struct interface){ .used = true, .interface = interface, .link_type = link_type };
	if (name)
		snprintf(i->name, sizeof(i->name), "%s", name);
	return i;
}

static void describe(struct pcapng_flows *f, struct interface *i)
{
	const uint8_t resolution = NANOSECONDS;
	uint32_t len = (uint32_t)strlen(i->name), size = 20 + (len ? 4 + ((len + 3) & ~3u) : 0) + 8 + 4;

	if (i->described)
		return;
	i->described = true;
	i->number = f->n_interfaces++;
	put32(f->out, INTERFACE);
	put32(f->out, size);
	put16(f->out, (uint16_t)i->link_type);
	put16(f->out, 0);
	put32(f->out, 0);				/* no limit */
	if (len) {
		put16(f->out, IF_NAME);
		put16(f->out, (uint16_t)len);
		put_padded(f->out, i->name, len);
	}
	put16(f->out, IF_TSRESOL);
	put16(f->out, 1);
	put_padded(f->out, &resolution, 1);
	put32(f->out, 0);
	put32(f->out, size);
}

static void write_frame(struct pcapng_flows *f, const struct waiting *w, const uint8_t *bytes)
{
	uint32_t padded = (w->len + 3) & ~3u, size = 32 + padded;
	struct interface *i = interface_of(f, w->interface, w->link_type, NULL);

	begin_file(f);
	describe(f, i);
	put32(f->out, ENHANCED_PACKET);
	put32(f->out, size);
	put32(f->out, i->number);
	put32(f->out, (uint32_t)(w->time_ns >> 32));
	put32(f->out, (uint32_t)w->time_ns);
	put32(f->out, w->len);
	put32(f->out, w->original_len);
	put_padded(f->out, bytes, w->len);
	put32(f->out, size);
	f->n_written++;
}

void pcapng_flows_secrets(struct pcapng_flows *f, struct span text)
{
	uint32_t size = 20 + (((uint32_t)text.len + 3) & ~3u);

	if (!text.len)
		return;
	begin_file(f);
	put32(f->out, DECRYPTION_SECRETS);
	put32(f->out, size);
	put32(f->out, TLS_KEY_LOG);
	put32(f->out, (uint32_t)text.len);
	put_padded(f->out, text.at, text.len);
	put32(f->out, size);
}

/* ---- what waits ---- */

static struct waiting *first_of(struct pcapng_flows *f)
{
	struct waiting *w;

	if (!f->used)
		return NULL;
	w = (struct waiting *)(void *)(f->ring + f->head);
	if (ROOM - f->head < sizeof(*w) || w->len == LAST) {
		f->used -= ROOM - f->head;
		f->head = 0;
		return first_of(f);
	}
	return w;
}

static void drop_first(struct pcapng_flows *f, const struct waiting *w)
{
	f->used -= w->size;
	f->head += w->size;
	if (f->head == ROOM)
		f->head = 0;
	if (!f->used)
		f->head = f->tail = 0;
}

/* The first is over: written, or not. A fragment of a packet that is not whole yet has no stream. */
static bool settle_first(struct pcapng_flows *f, struct waiting *w, bool must)
{
	enum verdict verdict = w->stream == TCP_NO_STREAM ? UNDECIDED : verdict_of(f, w->stream);

	if (verdict == UNDECIDED && !must)
		return false;
	if (verdict == MQTT)
		write_frame(f, w, (const uint8_t *)(w + 1));
	f->n_left_out += verdict == UNDECIDED;
	drop_first(f, w);
	return true;
}

static void settle(struct pcapng_flows *f)
{
	struct waiting *w;

	while ((w = first_of(f)) && settle_first(f, w, f->now_ns > w->time_ns && f->now_ns - w->time_ns > patience_ns))
		;
}

/* Where size bytes are free in a row: behind the tail, else at the beginning. The first ones make way. */
static struct waiting *place_for(struct pcapng_flows *f, size_t size)
{
	struct waiting *w;

	while (ROOM - f->tail < size && f->used > f->tail)	/* what stands behind the tail */
		settle_first(f, first_of(f), true);
	if (ROOM - f->tail < size) {
		if (ROOM - f->tail >= sizeof(*w))
			((struct waiting *)(void *)(f->ring + f->tail))->len = LAST;
		f->used += ROOM - f->tail;
		f->tail = 0;
	}
	while (ROOM - f->used < size)
		settle_first(f, first_of(f), true);
	w = (struct waiting *)(void *)(f->ring + f->tail);
	f->tail += size;
	f->used += size;
	if (f->tail == ROOM)
		f->tail = 0;
	return w;
}

static void wait_for_verdict(struct pcapng_flows *f, struct waiting *frame, const uint8_t *bytes)
{
	struct waiting *w;

	frame->size = (sizeof(*frame) + frame->len + 7) & ~(size_t)7;
	if (!f->ring)
		f->ring = malloc(ROOM);
	if (!f->ring || frame->size > ROOM / 2) {
		f->n_left_out++;
		return;
	}
	w = place_for(f, frame->size);
	*w = *frame;
	if (frame->len)
		memcpy(w + 1, bytes, frame->len);
}

/* A packet has become whole: now it is known whose its other fragments are. */
static void claim_fragments(struct pcapng_flows *f, uint64_t fragmented, int64_t stream)
{
	size_t at = f->head, left = f->used;

	while (left) {
		struct waiting *w = (struct waiting *)(void *)(f->ring + at);

		if (ROOM - at < sizeof(*w) || w->len == LAST) {
			left -= ROOM - at;
			at = 0;
			continue;
		}
		if (w->fragmented == fragmented)
			w->stream = stream;
		left -= w->size;
		at = at + w->size == ROOM ? 0 : at + w->size;
	}
}

/* ---- in ---- */

void pcapng_flows_verdict(void *flows, uint32_t stream, bool mqtt)
{
	struct pcapng_flows *f = flows;

	if (stream >= MAX_STREAMS || verdict_of(f, stream) == MQTT || !make_room(f, stream / 4 + 1))
		return;
	f->verdicts[stream / 4] &= (uint8_t)~(3 << stream % 4 * 2);
	f->verdicts[stream / 4] |= (uint8_t)((mqtt ? MQTT : OTHER) << stream % 4 * 2);
}

void pcapng_flows_frame(struct pcapng_flows *f, const struct record *r, const struct decoder_frame *frame)
{
	struct waiting w = {
		.len = (uint32_t)r->bytes.len, .original_len = r->original_len, .stream = frame->stream, .link_type = r->link_type,
		.interface = r->interface, .time_ns = r->when.time_ns, .fragmented = frame->fragmented,
	};
	enum verdict verdict = UNDECIDED;

	f->now_ns = r->when.time_ns;
	if (frame->stream != TCP_NO_STREAM) {
		verdict = verdict_of(f, frame->stream);
		if (frame->fragmented)
			claim_fragments(f, frame->fragmented, frame->stream);
	} else if (!frame->fragmented) {
		verdict = OTHER;
	}
	if (f->used)
		settle(f);
	if (verdict == OTHER)
		return;
	interface_of(f, r->interface, r->link_type, r->interface_name);
	if (verdict == MQTT && !f->used)
		write_frame(f, &w, r->bytes.at);
	else
		wait_for_verdict(f, &w, r->bytes.at);
}

void pcapng_flows_idle(struct pcapng_flows *f, uint64_t now_ns)
{
	f->now_ns = now_ns;
	settle(f);
}

void pcapng_flows_finish(struct pcapng_flows *f)
{
	struct waiting *w;

	while ((w = first_of(f)))
		settle_first(f, w, true);
	begin_file(f);
}

uint64_t pcapng_flows_written(const struct pcapng_flows *f)
{
	return f->n_written;
}

uint64_t pcapng_flows_left_out(const struct pcapng_flows *f)
{
	return f->n_left_out;
}

void pcapng_flows_free(struct pcapng_flows *f)
{
	if (!f)
		return;
	free(f->verdicts);
	free(f->ring);
	free(f);
}

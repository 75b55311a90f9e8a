#include "pcap/pcapng_reader.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum block_type {
	SECTION_HEADER = 0x0a0d0d0a,	/* the same in either byte order */
	INTERFACE = 1,
	OLD_PACKET = 2,
	SIMPLE_PACKET = 3,
	ENHANCED_PACKET = 6,
	DECRYPTION_SECRETS = 10,
};

enum { IF_NAME = 2, IF_TSRESOL = 9, IF_TSOFFSET = 14 };

enum {
	FRAME = 12,			/* of a block: type, length, and the length again at its end */
	ORDER_MARK = 0x1a2b3c4d,
	TLS_KEY_LOG = 0x544c534b,
	MAX_INTERFACES = 65536,		/* of a section */
	SECRETS_PIECE = 64 * 1024,
};

struct interface {
	uint32_t link_type, snaplen;
	uint64_t multiply, divide;	/* units to nanoseconds; one of them is 1. divide 0: a power of two, shift */
	unsigned shift;
	int64_t offset_s;
	char name[INTERFACE_NAME];	/* "": it has none */
};

struct pcapng {
	struct source *source;
	bool swapped;			/* the section is in the other byte order */
	bool ended;
	uint32_t first_interface;	/* the number of this section's interface 0 */
	uint32_t n_interfaces, cap_interfaces;
	struct interface *interfaces;
	struct when last;		/* of the packet before: a simple packet block has no time */
	uint64_t n_left_out;
	char left_out[160];		/* the first of them */
	void (*secrets)(void *owner, struct span text);
	void *owner;
};

struct block {
	uint64_t offset;
	uint32_t type, len;		/* len: of its body */
	const uint8_t *body;
};

static uint16_t get16(const struct pcapng *ng, const uint8_t *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof(v));
	return ng->swapped ? __builtin_bswap16(v) : v;
}

static uint32_t get32(const struct pcapng *ng, const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return ng->swapped ? __builtin_bswap32(v) : v;
}

static uint64_t get64(const struct pcapng *ng, const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return ng->swapped ? __builtin_bswap64(v) : v;
}

/* ---- what cannot be read ---- */

__attribute__((format(printf, 3, 4)))
static enum capture_status broken(struct pcapng *ng, struct capture_error *why, const char *format, ...)
{
	va_list args;

	*why = (struct capture_error){ .world = true };
	va_start(args, format);
	vsnprintf(why->text, sizeof(why->text), format, args);
	va_end(args);
	ng->ended = true;
	return CAPTURE_BROKEN;
}

__attribute__((format(printf, 3, 4)))
static void leave_out(struct pcapng *ng, const struct block *b, const char *format, ...)
{
	char what[100];
	va_list args;

	if (ng->n_left_out++)
		return;
	va_start(args, format);
	vsnprintf(what, sizeof(what), format, args);
	va_end(args);
	snprintf(ng->left_out, sizeof(ng->left_out), "frame %llu at byte %llu: %s", (unsigned long long)ng->last.frame,
	         (unsigned long long)b->offset, what);
}

/* Nothing more comes. Where a block was begun, it is cut. */
static enum capture_status at_end(struct pcapng *ng, uint64_t offset, bool begun, struct capture_error *why)
{
	unsigned long long frame = ng->last.frame, at = offset;

	if (*ng->source->failure)
		return broken(ng, why, "behind frame %llu at byte %llu: %s", frame, at, ng->source->failure);
	if (begun)
		return broken(ng, why, "behind frame %llu at byte %llu: the last block is cut", frame, at);
	if (ng->n_left_out)
		return broken(ng, why, "%s%s", ng->left_out, ng->n_left_out > 1 ? "; it and others like it were left out" : "; it was left out");
	ng->ended = true;
	return CAPTURE_END;
}

/* ---- sections and interfaces ---- */

static bool read_section(struct pcapng *ng, const struct block *b, struct capture_error *why)
{
	unsigned major = b->len >= 16 ? get16(ng, b->body + 4) : 0;

	if (major != 1) {
		broken(ng, why, "byte %llu: a section of pcapng version %u, only 1 can be read", (unsigned long long)b->offset, major);
		return false;
	}
	ng->first_interface += ng->n_interfaces;
	ng->n_interfaces = 0;
	return true;
}

/* What if_tsresol says. Of powers beyond 10^-28 s, which nobody's clock has, only the order is kept. */
static void set_resolution(struct interface *i, uint8_t resolution)
{
	unsigned exponent = resolution & 0x7f;

	i->multiply = i->divide = 1;
	if (resolution & 0x80) {
		i->divide = 0;
		i->shift = exponent;
		return;
	}
	for (; exponent < 9; exponent++)
		i->multiply *= 10;
	for (; exponent > 9 && i->divide < UINT64_MAX / 10; exponent--)
		i->divide *= 10;
}

static void read_options(struct pcapng *ng, struct interface *i, const uint8_t *at, const uint8_t *end)
{
	while (end - at >= 4) {
		unsigned code = get16(ng, at), len = get16(ng, at + 2), padded = (len + 3u) & ~3u;

		at += 4;
		if (!code || (size_t)(end - at) < len)
			return;
		if (code == IF_NAME)
			snprintf(i->name, sizeof(i->name), "%.*s", (int)len, (const char *)at);
		else if (code == IF_TSRESOL && len == 1)
			set_resolution(i, *at);
		else if (code == IF_TSOFFSET && len == 8)
			i->offset_s = (int64_t)get64(ng, at);
		if ((size_t)(end - at) < padded)
			return;
		at += padded;
	}
}

static bool read_interface(struct pcapng *ng, const struct block *b)
{
	struct interface i = { .multiply = 1000, .divide = 1 };

	if (b->len < 8) {
		leave_out(ng, b, "an interface is described in %u bytes", b->len);
		return true;
	}
	if (ng->n_interfaces == MAX_INTERFACES)
		return false;
	if (ng->n_interfaces == ng->cap_interfaces) {
		uint32_t cap = ng->cap_interfaces ? 2 * ng->cap_interfaces : 8;
		struct interface *more = realloc(ng->interfaces, cap * sizeof(*more));

		if (!more)
			abort();
		ng->interfaces = more;
		ng->cap_interfaces = cap;
	}
	i.link_type = get16(ng, b->body);
	i.snaplen = get32(ng, b->body + 4);
	read_options(ng, &i, b->body + 8, b->body + b->len);
	ng->interfaces[ng->n_interfaces++] = i;
	return true;
}

/* ---- packets ---- */

static uint64_t time_of(const struct interface *i, uint64_t units)
{
	uint64_t ns = units * i->multiply;

	if (i->divide > 1)
		ns = units / i->divide;
	else if (!i->divide)
		ns = (uint64_t)((unsigned __int128)units * 1000000000u >> i->shift);
	return ns + (uint64_t)i->offset_s * 1000000000u;
}

static bool give(struct pcapng *ng, const struct block *b, uint32_t interface, uint32_t captured, uint32_t original, size_t head,
                 const uint8_t *time, struct record *record)
{
	ng->last.frame++;
	if (interface >= ng->n_interfaces) {
		leave_out(ng, b, "a packet of interface %u, which is not described", interface);
		return false;
	}
	if (captured > b->len - head) {
		leave_out(ng, b, "a packet of %u bytes in a block of %u", captured, b->len + FRAME);
		return false;
	}
	const struct interface *i = ng->interfaces + interface;
	if (time)
		ng->last.time_ns = time_of(i, (uint64_t)get32(ng, time) << 32 | get32(ng, time + 4));
	*record = (struct record){
		.when = ng->last, .link_type = i->link_type, .interface = ng->first_interface + interface, .interface_name = *i->name ? i->name : NULL,
		.bytes = span_of(b->body + head, captured), .original_len = original > captured ? original : captured,
	};
	return true;
}

static bool read_packet(struct pcapng *ng, const struct block *b, struct record *record)
{
	const uint8_t *p = b->body;
	size_t head = b->type == SIMPLE_PACKET ? 4 : 20;

	if (b->len < head) {
		ng->last.frame++;
		leave_out(ng, b, "a packet in a block of %u bytes", b->len + FRAME);
		return false;
	}
	if (b->type != SIMPLE_PACKET)
		return give(ng, b, b->type == ENHANCED_PACKET ? get32(ng, p) : get16(ng, p), get32(ng, p + 12), get32(ng, p + 16), head, p + 4, record);

	/* Its captured length is not told: the packet, cut at the interface's snap length. */
	uint32_t original = get32(ng, p), captured = original, snaplen = ng->n_interfaces ? ng->interfaces[0].snaplen : 0;
	if (snaplen && captured > snaplen)
		captured = snaplen;
	return give(ng, b, 0, captured, original, head, NULL, record);
}

/* ---- secrets ---- */

/* A key log of any length goes on in pieces of whole lines. Source stands behind the block's type and length. */
static bool read_secrets(struct pcapng *ng, uint32_t len)
{
	struct source *s = ng->source;

	if (len < 8 || !source_need(s, 8))
		return source_skip(s, len);
	uint32_t type = get32(ng, s->at), left = get32(ng, s->at + 4), behind;
	source_take(s, 8);
	len -= 8;
	if (left > len)
		left = len;
	behind = len - left;
	while (left && type == TLS_KEY_LOG && ng->secrets) {
		uint32_t piece = left < SECRETS_PIECE ? left : SECRETS_PIECE;

		if (!source_need(s, piece))
			return false;
		const uint8_t *line_end = piece < left ? memrchr(s->at, '\n', piece) : NULL;
		if (line_end)
			piece = (uint32_t)(line_end - s->at) + 1;
		ng->secrets(ng->owner, span_of(s->at, piece));
		source_take(s, piece);
		left -= piece;
	}
	return source_skip(s, (uint64_t)left + behind);
}

/* ---- blocks ---- */

static bool is_read_whole(uint32_t type)
{
	return type == ENHANCED_PACKET || type == SIMPLE_PACKET || type == OLD_PACKET || type == INTERFACE || type == SECTION_HEADER;
}

/* A section says its byte order before its own length can be read. */
static bool find_byte_order(struct pcapng *ng)
{
	uint32_t order;

	memcpy(&order, ng->source->at + 8, sizeof(order));
	ng->swapped = order == __builtin_bswap32(ORDER_MARK);
	return ng->swapped || order == ORDER_MARK;
}

/*
 * The next block that is read whole: 1, with its body borrowed, and the source behind it. 0: some other was passed over.
 * -1: reading has come to an end, *status.
 */
static int next_block(struct pcapng *ng, struct block *b, enum capture_status *status, struct capture_error *why)
{
	struct source *s = ng->source;
	bool sound, whole;

	b->offset = s->offset;
	if (!source_need(s, FRAME)) {
		*status = at_end(ng, b->offset, s->at != s->end, why);
		return -1;
	}
	b->type = get32(ng, s->at);
	if (b->type == SECTION_HEADER && !find_byte_order(ng)) {
		*status = broken(ng, why, "byte %llu: a section without a byte order", (unsigned long long)b->offset);
		return -1;
	}
	uint32_t len = get32(ng, s->at + 4);
	if (len < FRAME || len % 4 || (len > SOURCE_MOST && is_read_whole(b->type))) {
		*status = broken(ng, why, "behind frame %llu at byte %llu: a block of %u bytes cannot be; nothing behind it can be found",
		                 (unsigned long long)ng->last.frame, (unsigned long long)b->offset, len);
		return -1;
	}
	b->len = len - FRAME;
	whole = is_read_whole(b->type);
	if (whole) {
		if (!source_need(s, len))
			goto cut;
		b->body = s->at + 8;
		sound = get32(ng, b->body + b->len) == len;
		source_take(s, len);
	} else {
		source_take(s, 8);
		if (!(b->type == DECRYPTION_SECRETS ? read_secrets(ng, b->len) : source_skip(s, b->len)) || !source_need(s, 4))
			goto cut;
		sound = get32(ng, s->at) == len;
		source_take(s, 4);
	}
	if (sound)
		return whole;
	*status = broken(ng, why, "behind frame %llu at byte %llu: a block whose two lengths differ; nothing behind it can be found",
	                 (unsigned long long)ng->last.frame, (unsigned long long)b->offset);
	return -1;
cut:
	*status = at_end(ng, b->offset, true, why);
	return -1;
}

enum capture_status pcapng_next(struct pcapng *ng, int idle_ms, struct record *record, struct capture_error *why)
{
	enum capture_status status = CAPTURE_END;
	struct block b;

	while (!ng->ended) {
		if (source_idle(ng->source, idle_ms))
			return CAPTURE_IDLE;
		int got = next_block(ng, &b, &status, why);
		if (got < 0)
			return status;
		if (!got)
			continue;
		if (b.type == SECTION_HEADER) {
			if (!read_section(ng, &b, why))
				return CAPTURE_BROKEN;
		} else if (b.type == INTERFACE) {
			if (!read_interface(ng, &b))
				return broken(ng, why, "byte %llu: more than %d interfaces", (unsigned long long)b.offset, MAX_INTERFACES);
		} else if (read_packet(ng, &b, record)) {
			return CAPTURE_RECORD;
		}
	}
	return status;
}

struct pcapng *pcapng_new(struct source *source)
{
	struct pcapng *ng = calloc(1, sizeof(*ng));

	if (!ng)
		abort();
	ng->source = source;
	return ng;
}

void pcapng_on_secrets(struct pcapng *ng, void (*secrets)(void *owner, struct span text), void *owner)
{
	ng->secrets = secrets;
	ng->owner = owner;
}

void pcapng_free(struct pcapng *ng)
{
	if (!ng)
		return;
	free(ng->interfaces);
	free(ng);
}

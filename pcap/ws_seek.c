#include "pcap/ws_parts.h"

/*
 * Where the next frame begins, behind a hole or in a connection joined midway. A header says little by itself: what counts is
 * that a packet begins in the payload, that the next header follows, and that all of it ends where a piece ends.
 */

enum { FOUND_AT_PIECE = 16, FOUND_ANYWHERE = 28 };	/* bits, as in mqtt_parts.h */

struct head {
	size_t size;
	uint64_t payload;
	bool masked;
	uint8_t mask[4];
};

/* 1: a header that may stand there, 0: none, -1: more is needed. */
static int read_head(const uint8_t *at, size_t len, struct head *h)
{
	if (!len)
		return -1;
	unsigned opcode = at[0] & 0xf;
	if (at[0] & 0x70 || (opcode > WS_BINARY && opcode < WS_CLOSE) || opcode > WS_PONG || (opcode >= WS_CLOSE && !(at[0] & 0x80)))
		return 0;
	if (len < 2)
		return -1;
	unsigned n = at[1] & 0x7f;
	if (opcode >= WS_CLOSE && n > WS_CONTROL_MAX)
		return 0;
	h->masked = at[1] & 0x80;
	h->size = 2 + (n == 126 ? 2u : n == 127 ? 8u : 0);
	if (len < h->size + (h->masked ? 4u : 0))
		return -1;
	h->payload = n < 126 ? n : 0;
	for (size_t i = 2; i < h->size; i++)
		h->payload = h->payload << 8 | at[i];
	if ((n == 126 && h->payload < 126) || (n == 127 && (h->payload < 65536 || h->payload >> 28)))
		return 0;
	if (!h->payload && opcode < WS_CLOSE)
		return 0;		/* allowed, but zeros are rather zeros than frames */
	if (h->masked) {
		memcpy(h->mask, at + h->size, 4);
		h->size += 4;
	}
	return 1;
}

/* What the payload's beginning is worth: it need not be a packet's, but mostly is. */
static unsigned payload_bits(const struct head *h, const uint8_t *at, size_t len)
{
	uint8_t front[8];
	struct frame frame;
	struct finding finding;

	if (len > sizeof(front))
		len = sizeof(front);
	if (len > h->payload)
		len = (size_t)h->payload;
	if (len < 2)
		return 0;
	memcpy(front, at, len);
	if (h->masked)
		ws_mask(front, len, h->mask, 0);
	unsigned type = front[0] >> 4, flags = front[0] & 0xf;
	if (!type || (type != PUBLISH && flags != (type == PUBREL || type == SUBSCRIBE || type == UNSUBSCRIBE ? 2u : 0u)) || (type == PUBLISH && (flags & 6) == 6) ||
	    frame_next(front, len, &frame, &finding) == FRAME_BAD || !frame.size)
		return 0;
	unsigned bits = 4 + (frame.size == h->payload ? 9 : frame.size < h->payload ? 3 : 0);
	if (type == PUBLISH && frame.header_size + 2u <= len && !front[frame.header_size])
		bits += 6;
	return bits;
}

static bool masks_rightly(const struct ws_stage *s, unsigned end, const struct head *h)
{
	return !s->client_known || h->masked == (end == s->notes->client_end);
}

static bool is_edge(const struct ws_window *w, size_t at)
{
	if (at == w->len)
		return true;
	for (uint32_t i = 0; i < w->n; i++)
		if (w->pieces[i].at == at)
			return true;
	return false;
}

static bool begins_piece(const struct ws_window *w, size_t at)
{
	return at < w->len && is_edge(w, at);
}

/* Evidence of a chain of frames that begins at `from`; -1: contradicted. */
static int chain_bits(const struct ws_stage *s, unsigned end, const struct ws_window *w, size_t from)
{
	unsigned bits = 0, each = w->len / w->n;
	unsigned edge = each >= 4 ? 6 : each >= 2 ? 3 : 0;

	for (size_t at = from; at < w->len && bits < FOUND_ANYWHERE;) {
		struct head h;
		int seems = read_head(w->bytes + at, w->len - at, &h);

		if (seems < 0)
			break;
		if (!seems || !masks_rightly(s, end, &h))
			return -1;
		bits += w->bytes[at] == 0x82 ? 8 : 5;
		at += h.size;
		if ((w->bytes[at - h.size] & 0xf) < WS_CLOSE)
			bits += payload_bits(&h, w->bytes + at, w->len - at);
		if (h.payload > w->len - at)
			break;
		at += (size_t)h.payload;
		bits += is_edge(w, at) ? edge : 0;
	}
	return (int)bits;
}

static void drop_live(struct ws_window *w, uint32_t i)
{
	memmove(&w->live[i], &w->live[i + 1], (--w->n_live - i) * sizeof(*w->live));
}

/* The older half goes, pieces with it. */
static void slide(struct ws_window *w)
{
	uint32_t n = w->len / 2, kept = 0;

	memmove(w->bytes, w->bytes + n, w->len - n);
	w->len -= n;
	w->scanned = w->scanned > n ? w->scanned - n : 0;
	for (uint32_t i = 0; i < w->n; i++)
		if (w->pieces[i].at >= n || i + 1 == w->n || w->pieces[i + 1].at > n)
			w->pieces[kept++] = (struct ws_piece){ w->pieces[i].at > n ? w->pieces[i].at - n : 0, w->pieces[i].when };
	w->n = kept;
	for (uint32_t i = 0; i < w->n_live;)
		if (w->live[i] < n)
			drop_live(w, i);
		else
			w->live[i++] -= (uint16_t)n;
}

/* 1: frames begin there, as far as can be said; -1: they do not; 0: open. */
static int judge(const struct ws_stage *s, unsigned end, const struct ws_window *w, uint32_t at)
{
	int bits = chain_bits(s, end, w, at);

	return bits < 0 ? -1 : bits >= (begins_piece(w, at) ? FOUND_AT_PIECE : FOUND_ANYWHERE);
}

static bool find(const struct ws_stage *s, unsigned end, struct ws_window *w, uint32_t *from)
{
	for (uint32_t i = 0; i < w->n_live;) {
		int is = judge(s, end, w, *from = w->live[i]);

		if (is > 0)
			return true;
		if (is < 0)
			drop_live(w, i);
		else
			i++;
	}
	for (; w->scanned < w->len; w->scanned++) {
		int is = judge(s, end, w, *from = w->scanned);

		if (is > 0)
			return true;
		if (is < 0)
			continue;
		if (w->n_live == WS_LIVE)	/* the oldest, where no piece begins, has had its time */
			for (uint32_t i = 0; i < WS_LIVE; i++)
				if (i + 1 == WS_LIVE || !begins_piece(w, w->live[i])) {
					drop_live(w, i);
					break;
				}
		w->live[w->n_live++] = (uint16_t)w->scanned;
	}
	return false;
}

bool ws_seek(struct ws_stage *s, unsigned end, struct span bytes, const struct when *when, uint32_t *from)
{
	struct ws_lane *lane = &s->lanes[end];

	if (!lane->window)
		lane->window = ws_take_room(s, sizeof(*lane->window));
	struct ws_window *w = lane->window;
	if (!w)
		return false;
	if (w->len + bytes.len > WS_WINDOW)
		slide(w);
	if (w->n < WS_PIECES)
		w->pieces[w->n++] = (struct ws_piece){ w->len, *when };
	else
		w->pieces[w->n - 1].when = *when;
	memcpy(w->bytes + w->len, bytes.at, bytes.len);
	w->len += (uint32_t)bytes.len;
	return find(s, end, w, from);
}

#include "pcap/mqtt_parts.h"

#include <stdlib.h>

/*
 * Where does the next packet begin? Every offset of a window is a candidate until bytes contradict it: a packet must be legal there, and the
 * next one behind it, and so on. Candidates gather evidence, and the first that has enough is taken.
 */

void mqtt_seek(struct mqtt_stage *s, unsigned end, enum hole_why why)
{
	struct lane *lane = &s->lanes[end];

	mqtt_alias_forget(s, &lane->aliases);
	mqtt_give_back(s, lane);
	lane->sure = false;
	lane->bits = lane->counted = lane->bad_in_a_row = 0;
	lane->pass = 0;
	lane->why = (uint8_t)why;
	if (mqtt_hold(s, sizeof(*lane->seek))) {
		lane->seek = calloc(1, sizeof(*lane->seek));
		if (!lane->seek)
			mqtt_let_go(s, sizeof(*lane->seek));
	}
	if (!lane->seek)
		lane->pass = UINT64_MAX;	/* no room to seek in: nothing more of this end */
}

void mqtt_seek_free(struct mqtt_stage *s, unsigned end)
{
	struct lane *lane = &s->lanes[end];

	if (!lane->seek)
		return;
	mqtt_free_marks(s, &lane->seek->marks);
	free(lane->seek);
	lane->seek = NULL;
	mqtt_let_go(s, sizeof(*lane->seek));
}

/* ---- evidence ---- */

/* What it is worth that a packet begins or ends where a piece does: little where many pieces are tiny. */
static unsigned edge_bits(const struct lane *lane)
{
	uint32_t n = lane->seek->marks.n, each = lane->len / (n ? n : 1);

	return each >= 4 || (each >= 2 && n <= 2) ? 6 : each >= 2 ? 3 : 0;
}

/* A piece begins there, or the last one ends. The marks are in order. */
static bool is_edge(const struct lane *lane, uint32_t at)
{
	const struct marks *m = &lane->seek->marks;
	uint32_t low = 0, high = m->n;

	if (at == lane->len)
		return !lane->seek->cut;
	while (low < high) {
		uint32_t middle = (low + high) / 2;

		if (m->at[middle].at < at)
			low = middle + 1;
		else
			high = middle;
	}
	return low < m->n && m->at[low].at == at;
}

static unsigned score(const struct lane *lane, const struct candidate *c)
{
	return c->bits + c->ahead + (c->at_segment ? edge_bits(lane) : 0u);
}

static unsigned enough(const struct lane *lane, const struct candidate *c, bool last)
{
	unsigned bits = last ? BITS_FOUND_LAST : BITS_FOUND;

	if (!c->bits)
		bits += 2;		/* nothing is whole yet */
	if (!c->at_segment)		/* the more places are tried, the likelier one looks well by chance */
		for (uint64_t n = lane->seek->tried; n > 1 && bits < BITS_FOUND + 10; n /= 2)
			bits++;
	return bits;
}

/* Judge on from the first byte not judged; false: contradicted. */
static bool advance(struct mqtt_stage *s, unsigned end, struct candidate *c)
{
	const struct lane *lane = &s->lanes[end];

	c->ahead = 0;
	while (c->next < lane->len) {
		struct sight sight;
		enum look seems = mqtt_look(s, end, span_of(lane->buf + c->next, lane->len - c->next), &sight);

		if (seems == LOOK_DEAD)
			return false;
		if (seems == LOOK_WAIT) {
			c->ahead = (uint16_t)sight.bits;
			return true;
		}
		c->next += (uint32_t)sight.size;
		unsigned bits = c->bits + sight.bits + (is_edge(lane, c->next) ? edge_bits(lane) : 0);
		c->bits = (uint16_t)(bits > 1000 ? 1000 : bits);
	}
	return true;
}

static void drop(struct seek *seek, uint32_t i)
{
	memmove(&seek->live[i], &seek->live[i + 1], (--seek->n - i) * sizeof(*seek->live));
}

/* One more, in order of their starts; the least likely goes when there are too many. */
static void add(struct lane *lane, const struct candidate *c)
{
	struct seek *seek = lane->seek;

	for (uint32_t i = 0; i < seek->n; i++)
		if (seek->live[i].next == c->next)
			return;		/* it lies on the way of one that began before */
	if (seek->n == MAX_CANDIDATES) {
		uint32_t least = 0;

		for (uint32_t i = 1; i < seek->n; i++)
			if (score(lane, &seek->live[i]) < score(lane, &seek->live[least]))
				least = i;
		if (score(lane, c) < score(lane, &seek->live[least]))
			return;
		drop(seek, least);
	}
	seek->live[seek->n++] = *c;
}

/* First bytes that some packet has, in some version, from some end: most offsets end here. */
static bool may_begin(uint8_t first)
{
	static const uint16_t flags[16] = {
		[CONNECT] = 1, [CONNACK] = 1, [PUBLISH] = 0x3c3f, [PUBACK] = 1, [PUBREC] = 1, [PUBREL] = 4, [PUBCOMP] = 1, [SUBSCRIBE] = 4,
		[SUBACK] = 1, [UNSUBSCRIBE] = 4, [UNSUBACK] = 1, [PINGREQ] = 1, [PINGRESP] = 1, [DISCONNECT] = 1, [AUTH] = 1,
	};

	return flags[first >> 4] >> (first & 15) & 1;
}

/* The first candidate that is good enough, copied out. */
static bool search(struct mqtt_stage *s, unsigned end, bool last, struct candidate *found)
{
	struct lane *lane = &s->lanes[end];
	struct seek *seek = lane->seek;

	for (uint32_t i = 0; i < seek->n;) {
		bool alive = advance(s, end, &seek->live[i]);

		*found = seek->live[i];
		if (score(lane, found) >= enough(lane, found, last) && (alive || found->bits))
			return true;
		if (alive)
			i++;
		else
			drop(seek, i);
	}
	for (; seek->scanned < lane->len; seek->scanned++) {
		if (!may_begin(lane->buf[seek->scanned])) {
			seek->tried++;
			continue;
		}
		struct candidate c = { .start = seek->scanned, .next = seek->scanned, .at_segment = is_edge(lane, seek->scanned) };
		bool alive = advance(s, end, &c);

		seek->tried += !c.at_segment;
		if (score(lane, &c) >= enough(lane, &c, last) && (alive || c.bits)) {
			*found = c;
			return true;
		}
		if (alive)
			add(lane, &c);
	}
	return false;
}

/* ---- found ---- */

void mqtt_seek_tell(struct mqtt_stage *s, unsigned end, const struct when *when)
{
	struct lane *lane = &s->lanes[end];
	uint64_t over = lane->seek->dropped + lane->len;

	if (over > lane->seek->told)
		mqtt_tell_hole(s, end, lane->fresh ? HOLE_UNREADABLE : (enum hole_why)lane->why, 0, over - lane->seek->told, when);
	lane->seek->told = over;
}

/*
 * Behind a place that no piece begins at, a packet that may as well be chance is rather missed than invented, since the ones behind it
 * are what spoke for it.
 */
static void mistrust(const struct mqtt_stage *s, unsigned end, struct candidate *c)
{
	const struct lane *lane = &s->lanes[end];
	struct sight sight;

	while (!c->at_segment && c->start < c->next &&
	       mqtt_look(s, end, span_of(lane->buf + c->start, lane->len - c->start), &sight) == LOOK_WHOLE &&
	       sight.bits < 16 && !is_edge(lane, c->start + (uint32_t)sight.size)) {
		c->start += (uint32_t)sight.size;
		c->at_segment = is_edge(lane, c->start);
	}
}

/* What is in the window is read from there on, each piece at its time. */
static void settle_at(struct mqtt_stage *s, unsigned end, struct candidate c)
{
	struct lane *lane = &s->lanes[end], held;
	struct marks marks = lane->seek->marks;
	unsigned bits = score(lane, &c);
	enum hole_why why = (enum hole_why)lane->why;

	mistrust(s, end, &c);
	uint64_t over = lane->seek->dropped + c.start;
	uint64_t skipped = over > lane->seek->told ? over - lane->seek->told : 0;
	lane->seek->marks = (struct marks){ 0 };
	mqtt_seek_free(s, end);
	held = *lane;
	lane->buf = NULL;
	lane->len = lane->cap = lane->size = 0;
	lane->bits = (uint16_t)bits;
	lane->counted = c.bits;
	lane->replaying = true;
	lane->fresh = false;
	for (uint32_t i = 0; i < marks.n; i++) {
		uint32_t from = marks.at[i].at < c.start ? c.start : marks.at[i].at;
		uint32_t to = i + 1 < marks.n ? marks.at[i + 1].at : held.len;

		if (from >= to)
			continue;
		if (skipped)
			mqtt_tell_hole(s, end, why, 0, skipped, &marks.at[i].when);
		skipped = 0;
		mqtt_read(s, end, span_of(held.buf + from, to - from), &marks.at[i].when);
	}
	lane->replaying = false;
	lane->counted = 0;
	mqtt_give_back(s, &held);
	mqtt_free_marks(s, &marks);
}

/* ---- the window ---- */

/* Its first n bytes go. */
static void slide(struct lane *lane, uint32_t n)
{
	struct seek *seek = lane->seek;
	struct marks *m = &seek->marks;
	uint32_t gone = 0;

	memmove(lane->buf, lane->buf + n, lane->len - n);
	lane->len -= n;
	seek->dropped += n;
	seek->scanned = seek->scanned > n ? seek->scanned - n : 0;
	while (gone + 1 < m->n && m->at[gone + 1].at <= n)
		gone++;
	memmove(m->at, m->at + gone, (m->n -= gone) * sizeof(*m->at));
	for (uint32_t i = 0; i < m->n; i++)
		m->at[i].at = m->at[i].at > n ? m->at[i].at - n : 0;
	for (uint32_t i = 0; i < seek->n;) {
		if (seek->live[i].start < n) {
			drop(seek, i);
		} else {
			seek->live[i].start -= n;
			seek->live[i++].next -= n;
		}
	}
}

/*
 * The window is full. A PUBLISH that does not fit in it may be at its front: it is believed when a piece begins there and its topic looks
 * like one. Else at least half of the window goes.
 */
static bool make_room(struct lane *lane, struct candidate *found)
{
	struct seek *seek = lane->seek;
	uint32_t n = lane->len;

	for (uint32_t i = 0; i < seek->n; i++)
		if (seek->live[i].at_segment && seek->live[i].start < SEEK_WINDOW / 2 && score(lane, &seek->live[i]) >= BITS_FOUND - 2) {
			*found = seek->live[i];
			return true;
		}
	for (uint32_t i = 0; i < seek->n; i++)
		if (seek->live[i].start >= SEEK_WINDOW / 2 && seek->live[i].start < n)
			n = seek->live[i].start;
	slide(lane, n);
	return false;
}

/* A piece that cannot be kept. */
static void let_pass(struct lane *lane, size_t n)
{
	slide(lane, lane->len);
	lane->seek->dropped += n;
	lane->seek->marks.n = 0;
}

static bool append(struct mqtt_stage *s, unsigned end, const uint8_t *at, size_t n, const struct when *when, bool begins)
{
	struct lane *lane = &s->lanes[end];
	struct marks *m = &lane->seek->marks;

	if (!mqtt_reserve(s, lane, lane->len + n))
		return false;
	struct mark *mark = begins || !m->n ? mqtt_mark(s, m) : NULL;
	if (mark)
		*mark = (struct mark){ .at = lane->len, .when = *when };
	else if (m->n)
		m->at[m->n - 1].when = *when;
	else
		return false;
	memcpy(lane->buf + lane->len, at, n);
	lane->len += (uint32_t)n;
	return true;
}

size_t mqtt_seek_bytes(struct mqtt_stage *s, unsigned end, struct span bytes, const struct when *when)
{
	struct lane *lane = &s->lanes[end];
	struct candidate found;
	size_t taken = 0;

	while (taken < bytes.len) {
		size_t room = SEEK_WINDOW - lane->len, n = bytes.len - taken < room ? bytes.len - taken : room;

		if (!n || !append(s, end, bytes.at + taken, n, when, !taken)) {
			let_pass(lane, bytes.len - taken);
			return bytes.len;
		}
		taken += n;
		lane->seek->cut = taken < bytes.len;
		if (lane->replaying)
			continue;
		while (lane->seek && search(s, end, false, &found))
			settle_at(s, end, found);
		if (lane->seek && lane->len == SEEK_WINDOW && make_room(lane, &found))
			settle_at(s, end, found);
		if (!lane->seek)
			return taken;
	}
	return taken;
}

/* Whether one of the candidate's whole packets has that id. */
static bool holds_id(const struct mqtt_stage *s, const struct lane *lane, const struct candidate *c, unsigned id)
{
	struct frame frame;
	struct finding finding;
	struct packet packet;

	for (uint32_t at = c->start; at < c->next; at += (uint32_t)frame.size) {
		if (frame_next(lane->buf + at, c->next - at, &frame, &finding) != FRAME_OK)
			return false;
		if (decode(lane->buf + at, frame.size, (enum version)s->version, &packet, &finding) == CODEC_OK && packet.packet_id == id)
			return true;
	}
	return false;
}

void mqtt_seek_confirmed(struct mqtt_stage *s, unsigned end, unsigned id)
{
	struct lane *lane = &s->lanes[end];
	struct candidate found;
	bool any = false;

	for (uint32_t i = 0; i < lane->seek->n; i++) {
		struct candidate *c = &lane->seek->live[i];

		if (!holds_id(s, lane, c, id))
			continue;
		c->bits += BITS_CONFIRMED;
		any = true;
	}
	while (any && lane->seek && search(s, end, false, &found))
		settle_at(s, end, found);
}

void mqtt_seek_last(struct mqtt_stage *s, unsigned end, const struct when *when)
{
	struct lane *lane = &s->lanes[end];
	struct candidate found;

	while (lane->seek && search(s, end, true, &found))
		settle_at(s, end, found);
	if (!lane->seek)
		return;
	mqtt_seek_tell(s, end, when);
	mqtt_seek_free(s, end);
	mqtt_seek(s, end, (enum hole_why)lane->why);
}

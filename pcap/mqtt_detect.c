#include "pcap/mqtt_parts.h"

/* Is this MQTT? The first bytes of both ends wait until that is known, in few kilobytes. */

int mqtt_looks_like(struct span bytes)
{
	static const char *const names[] = { "\0\4MQTT", "\0\6MQIsdp" };
	size_t at = 1;

	if (!bytes.len)
		return -1;
	if (bytes.at[0] >> 4 != CONNECT)
		return 0;
	while (at < bytes.len && at < 4 && bytes.at[at] & 0x80)
		at++;
	if (at >= bytes.len)
		return -1;
	if (bytes.at[at++] & 0x80)
		return 0;		/* a remaining length of more than four bytes */
	for (unsigned i = 0; i < 2; i++) {
		size_t len = i ? 8 : 6, here = bytes.len - at < len ? bytes.len - at : len;

		if (!memcmp(bytes.at + at, names[i], here))
			return here == len ? 1 : -1;
	}
	return 0;
}

/* A CONNECT that is wrong on purpose, where nothing else than MQTT is to be expected. */
static bool much_like_connect(struct span bytes)
{
	struct frame frame;
	struct finding finding;

	if (!bytes.len || bytes.at[0] >> 4 != CONNECT)
		return false;
	if (frame_next(bytes.at, bytes.len, &frame, &finding) == FRAME_OK && frame.size == bytes.len && frame.size > 8)
		return true;
	size_t front = bytes.len < 16 ? bytes.len : 16;
	return memmem(bytes.at, front, "MQTT", 4) || memmem(bytes.at, front, "MQIs", 4);
}

unsigned mqtt_client_by_ports(const struct mqtt_stage *s)
{
	const struct decoder_options *o = s->options.decoder;

	if (s->options.from_start)
		return 0;		/* it opened the connection */
	for (unsigned end = 0; end < 2; end++) {
		uint16_t port = s->options.ends[end].port;

		for (size_t i = 0; o && i < o->n_ports; i++)
			if (o->ports[i] == port)
				return !end;
		if (port == 1883 || port == 8883)
			return !end;
	}
	return s->options.ends[0].port < s->options.ends[1].port;
}

/* ---- evidence ---- */

struct evidence {
	unsigned bits, packets, lanes;	/* lanes: in how many something was legal */
	unsigned edges;			/* packets that begin or end where a piece does */
	bool dead;			/* a connection's first bytes are no packets */
};

static bool is_edge(const struct marks *marks, uint32_t at, uint32_t len)
{
	if (at == len)
		return true;
	for (uint32_t i = 0; i < marks->n; i++)
		if (marks->at[i].at == at)
			return true;
	return false;
}

/* Packets from `at` on, all of them legal, up to `to`. False: one is not. */
static bool follow(struct mqtt_stage *s, unsigned end, enum version version, enum sender from, uint32_t at, uint32_t to, struct evidence *e)
{
	const struct lane *lane = &s->lanes[end];

	*e = (struct evidence){ .edges = 1, .lanes = 1 };
	while (at < to) {
		struct sight sight;

		switch (mqtt_look_as(span_of(lane->buf + at, to - at), version, from, s->max_packet, NULL, NULL, &sight)) {
		case LOOK_DEAD:
			return false;
		case LOOK_WAIT:
			e->bits += sight.bits;
			e->lanes = e->bits > 0;
			e->packets += sight.bits && to - at >= 2048;	/* so large a one is judged by its beginning */
			return true;
		case LOOK_WHOLE:
			e->bits += sight.bits;
			e->packets++;
			at += (uint32_t)sight.size;
			e->edges += e->edges < 2 && is_edge(&s->waiting[end], at, lane->len);
		}
	}
	return true;
}

/* The best that one end's bytes can be; pieces are where packets are likely to begin. */
static struct evidence best_of(struct mqtt_stage *s, unsigned end, enum version version, enum sender from)
{
	const struct marks *m = &s->waiting[end];
	struct lane *lane = &s->lanes[end];
	struct evidence best = { 0 }, e;
	uint32_t to = lane->len;

	for (uint32_t i = m->n; i--;) {
		if (m->at[i].kind == MARK_HOLE)
			to = m->at[i].at;
		if (m->at[i].kind != MARK_BYTES || (lane->whole && i) || m->at[i].at == to)
			continue;
		bool well = follow(s, end, version, from, m->at[i].at, to, &e);
		if (well && e.bits > best.bits)
			best = e;
		best.dead = lane->whole && !well;
	}
	return best;
}

static unsigned wanted(const struct mqtt_stage *s)
{
	const struct lane *l = s->lanes;

	if (!s->options.likely && !s->options.forced)
		return BITS_ANYWHERE;
	return l[0].whole && l[1].whole ? BITS_BY_CONNECT : BITS_LIKELY;
}

static bool is_enough(const struct mqtt_stage *s, const struct evidence *e)
{
	bool likely = s->options.likely || s->options.forced;

	if (e->bits + (likely ? 6 * e->edges : 0) < wanted(s))
		return false;
	return (likely && e->packets) || e->packets >= 3 || (e->packets == 2 && e->lanes == 2);
}

/* Both ends in all the ways they can be taken; opens when one of them is convincing. */
static void judge(struct mqtt_stage *s, const struct when *when)
{
	static const enum version versions[] = { MQTT_3_1_1, MQTT_5 };
	struct evidence best = { 0 };
	unsigned first = mqtt_client_by_ports(s), client = first;
	enum version version = s->version;
	bool all_dead = true;

	for (unsigned turn = 0; turn < 4; turn++) {
		unsigned as = turn & 1 ? !first : first;
		enum version by = s->forced_by_version ? (enum version)s->version : versions[turn >> 1];
		struct evidence e[2] = { best_of(s, 0, by, as == 0 ? FROM_CLIENT : FROM_SERVER), best_of(s, 1, by, as == 1 ? FROM_CLIENT : FROM_SERVER) };
		struct evidence both = { e[0].bits + e[1].bits, e[0].packets + e[1].packets, e[0].lanes + e[1].lanes, e[0].edges + e[1].edges, false };

		all_dead = all_dead && (e[0].dead || e[1].dead);
		if (e[0].dead || e[1].dead)
			continue;
		if (both.bits > best.bits) {
			best = both;
			client = as;
			version = by;
		}
	}
	if (is_enough(s, &best))
		mqtt_open(s, client, version, BY_EVIDENCE, when);
	else if (all_dead && !s->options.forced)
		mqtt_give_up(s);
}

/* ---- waiting ---- */

/* No more can wait. What there is is MQTT by order, or not, or another look is taken at what comes next. */
static void overflow(struct mqtt_stage *s, unsigned end, const struct when *when)
{
	struct lane *lane = &s->lanes[end];

	if (s->options.forced) {
		mqtt_open(s, mqtt_client_by_ports(s), (enum version)s->version, BY_ORDER, when);
		return;
	}
	s->passed[end] += lane->len;
	lane->whole = false;
	if (!s->options.likely || s->passed[end] > WAIT_LIKELY) {
		mqtt_give_up(s);
		return;
	}
	mqtt_free_marks(s, &s->waiting[end]);
	mqtt_give_back(s, lane);
}

static bool put(struct mqtt_stage *s, unsigned end, struct span bytes, const struct when *when)
{
	struct lane *lane = &s->lanes[end];

	if (lane->len + bytes.len > (s->waiting[end].n ? WAIT_BYTES : 2 * 65536) || !mqtt_reserve(s, lane, lane->len + bytes.len))
		return false;
	struct mark *mark = mqtt_mark(s, &s->waiting[end]);
	if (!mark)
		return false;
	*mark = (struct mark){ .at = lane->len, .nth = s->nth++, .kind = MARK_BYTES, .when = *when };
	memcpy(lane->buf + lane->len, bytes.at, bytes.len);
	lane->len += (uint32_t)bytes.len;
	return true;
}

void mqtt_wait(struct mqtt_stage *s, unsigned end, struct span bytes, const struct when *when)
{
	struct lane *lane = &s->lanes[end];
	bool likely = s->options.likely || s->options.forced, first = !lane->started;

	lane->started = true;
	if (first)
		lane->whole = s->options.from_start;
	if (!put(s, end, bytes, when)) {
		overflow(s, end, when);
		if (s->conversation)
			mqtt_read(s, end, bytes, when);
		else if (!s->gave_up && put(s, end, bytes, when))
			judge(s, when);
		return;
	}
	if (lane->whole || s->waiting[end].at[0].kind == MARK_BYTES) {
		int connect = mqtt_looks_like(span_of(lane->buf, lane->len));

		if (connect < 0 && !first && !lane->whole)
			connect = 0;
		if (connect > 0 || (lane->whole && likely && much_like_connect(span_of(lane->buf, lane->len)))) {
			mqtt_open(s, end, (enum version)s->version, BY_CONNECT, when);
			return;
		}
		if (connect < 0)
			return;
		if (lane->whole && !likely) {
			mqtt_give_up(s);	/* [MQTT-3.1.0-1] */
			return;
		}
		if (lane->whole && s->options.forced) {
			mqtt_open(s, mqtt_client_by_ports(s), (enum version)s->version, BY_ORDER, when);
			return;
		}
	}
	if (s->waiting[end].n <= 16 || s->waiting[end].n % 8 == 0)
		judge(s, when);
}

void mqtt_wait_mark(struct mqtt_stage *s, unsigned end, enum mark_kind kind, uint64_t missing, enum hole_why why, const struct when *when)
{
	struct lane *lane = &s->lanes[end];
	struct mark *mark = mqtt_mark(s, &s->waiting[end]);

	if (kind == MARK_HOLE && !lane->started)
		s->lanes[0].whole = s->lanes[1].whole = s->options.from_start = false;
	lane->started = true;
	if (mark)
		*mark = (struct mark){ .at = lane->len, .nth = s->nth++, .kind = (uint8_t)kind, .why = (uint8_t)why, .missing = missing, .when = *when };
	else
		overflow(s, end, when);
	if (mark || !s->conversation)
		return;
	if (kind == MARK_HOLE)
		mqtt_gap(s, end, missing, why, when);
	else
		mqtt_close(s, end, kind == MARK_RESET, when);
}

void mqtt_wait_last(struct mqtt_stage *s, const struct when *when)
{
	if (!s->lanes[0].len && !s->lanes[1].len)
		return;
	judge(s, when);
	if (!s->conversation && !s->gave_up && s->options.forced)
		mqtt_open(s, mqtt_client_by_ports(s), (enum version)s->version, BY_ORDER, when);
}

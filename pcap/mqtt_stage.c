#include "pcap/mqtt_parts.h"

#include <stdlib.h>

/* ---- the conversation ---- */

void mqtt_set_client(struct mqtt_stage *s, unsigned end, bool known)
{
	struct conversation *c = s->conversation;

	s->client = (uint8_t)end;
	s->roles_known = s->roles_known || known;
	c->client = s->options.ends[end];
	c->broker = s->options.ends[!end];
	c->roles_known = s->roles_known;
}

void mqtt_introduce(struct mqtt_stage *s, const struct when *when)
{
	if (s->introduced)
		return;
	s->introduced = true;
	s->listener->introduced(s->listener, s->conversation, when);
}

void mqtt_close(struct mqtt_stage *s, unsigned end, bool reset, const struct when *when)
{
	mqtt_finish(s, end, when);
	mqtt_introduce(s, when);
	s->listener->closed(s->listener, s->conversation, sender_of(s, end), reset, when);
}

/* Nothing of that end was missed, so that its first byte begins a packet. */
static bool is_whole(const struct mqtt_stage *s, unsigned end, enum why_open why)
{
	const struct lane *lane = &s->lanes[end];

	if (why == BY_CONNECT && !s->options.from_start)	/* nor was the handshake's CONNECT, if nothing stands before it */
		return end == s->client || !lane->started;
	return s->options.from_start && (!lane->started || lane->whole);
}

/* How each end is read from here on. */
static void start_lanes(struct mqtt_stage *s, enum why_open why)
{
	for (unsigned end = 0; end < 2; end++) {
		struct lane *lane = &s->lanes[end];
		bool whole = is_whole(s, end, why);

		if (whole && why != BY_ORDER) {
			lane->sure = true;
			lane->bits = BITS_SURE;
		} else if (!whole) {
			lane->fresh = true;
			mqtt_seek(s, end, HOLE_LOST);
		}
	}
}

/* What waited, in the order in which it came. */
static void replay(struct mqtt_stage *s, struct lane held[2], struct marks marks[2])
{
	uint32_t at[2] = { 0 };

	while (at[0] < marks[0].n || at[1] < marks[1].n) {
		unsigned end = at[1] == marks[1].n || (at[0] < marks[0].n && marks[0].at[at[0]].nth < marks[1].at[at[1]].nth) ? 0 : 1;
		const struct mark *m = &marks[end].at[at[end]++];
		uint32_t to = at[end] < marks[end].n ? m[1].at : held[end].len;

		if (m->kind == MARK_BYTES)
			mqtt_read(s, end, span_of(held[end].buf + m->at, to - m->at), &m->when);
		else if (m->kind == MARK_HOLE)
			mqtt_gap(s, end, m->missing, (enum hole_why)m->why, &m->when);
		else
			mqtt_close(s, end, m->kind == MARK_RESET, &m->when);
	}
}

void mqtt_open(struct mqtt_stage *s, unsigned client, enum version version, enum why_open why, const struct when *when)
{
	struct conversation *c = s->listener->opened(s->listener, when);
	struct lane held[2] = { s->lanes[0], s->lanes[1] };
	struct marks marks[2] = { s->waiting[0], s->waiting[1] };

	if (!c) {
		mqtt_give_up(s);
		return;
	}
	s->conversation = c;
	s->version = (uint8_t)version;
	c->version = version;
	c->via = s->options.via;
	c->first = s->options.first;
	mqtt_set_client(s, client, s->options.from_start && client == 0);
	c->from_start = is_whole(s, client, why) && (s->options.from_start || !s->lanes[!client].started);
	for (unsigned end = 0; end < 2; end++) {
		s->waiting[end] = (struct marks){ 0 };
		s->lanes[end].buf = NULL;
		s->lanes[end].len = s->lanes[end].cap = 0;
	}
	start_lanes(s, why);
	for (unsigned end = 0; end < 2; end++)
		if (s->passed[end])
			mqtt_tell_hole(s, end, HOLE_UNREADABLE, 0, s->passed[end], when);
	replay(s, held, marks);
	for (unsigned end = 0; end < 2; end++) {
		mqtt_give_back(s, &held[end]);
		mqtt_free_marks(s, &marks[end]);
	}
}

void mqtt_give_up(struct mqtt_stage *s)
{
	s->gave_up = true;
	for (unsigned end = 0; end < 2; end++) {
		mqtt_free_marks(s, &s->waiting[end]);
		mqtt_give_back(s, &s->lanes[end]);
	}
}

/* ---- the stage ---- */

static struct mqtt_stage *own(struct stage *stage)
{
	return (struct mqtt_stage *)stage;
}

static void take_bytes(struct stage *stage, unsigned end, struct span bytes, const struct when *when)
{
	struct mqtt_stage *s = own(stage);

	if (s->gave_up || !bytes.len)
		return;
	if (s->conversation)
		mqtt_read(s, end, bytes, when);
	else
		mqtt_wait(s, end, bytes, when);
}

static void take_hole(struct stage *stage, unsigned end, uint64_t len, enum hole_why why, const struct when *when)
{
	struct mqtt_stage *s = own(stage);

	if (s->gave_up)
		return;
	if (s->conversation)
		mqtt_gap(s, end, len, why, when);
	else
		mqtt_wait_mark(s, end, MARK_HOLE, len, why, when);
}

static void take_closed(struct stage *stage, unsigned end, bool reset, const struct when *when)
{
	struct mqtt_stage *s = own(stage);

	if (s->gave_up)
		return;
	if (s->conversation)
		mqtt_close(s, end, reset, when);
	else
		mqtt_wait_mark(s, end, reset ? MARK_RESET : MARK_CLOSED, 0, 0, when);
}

static void take_end(struct stage *stage, const struct when *when)
{
	struct mqtt_stage *s = own(stage);

	if (!s->gave_up && !s->conversation)
		mqtt_wait_last(s, when);
	if (s->conversation) {
		for (unsigned end = 0; end < 2; end++)
			mqtt_finish(s, end, when);
		mqtt_introduce(s, when);
		uint8_t *id = s->client_id;	/* until observers are told the end */
		size_t len = s->conversation->client_id.len + 1;
		s->listener->ended(s->listener, s->conversation, when);
		if (id)
			mqtt_let_go(s, len);
		free(id);
	} else {
		mqtt_give_up(s);
	}
	for (unsigned end = 0; end < 2; end++) {
		mqtt_seek_free(s, end);
		mqtt_alias_forget(s, &s->lanes[end].aliases);
	}
	free(s);
}

static const struct stage_ops ops = { take_bytes, take_hole, take_closed, take_end };

struct stage *mqtt_stage_new(struct mqtt_listener *listener, const struct mqtt_options *options)
{
	struct mqtt_stage *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->stage.ops = &ops;
	s->listener = listener;
	s->options = *options;
	s->max_packet = options->decoder && options->decoder->max_packet ? options->decoder->max_packet : DEFAULT_MAX_PACKET;
	s->version = MQTT_3_1_1;
	if (options->decoder && options->decoder->version) {
		s->version = (uint8_t)options->decoder->version;
		s->forced_by_version = true;
	}
	return &s->stage;
}

bool mqtt_stage_is_open(const struct stage *stage)
{
	return ((const struct mqtt_stage *)stage)->conversation;
}

void mqtt_stage_give_up(struct stage *stage)
{
	if (!mqtt_stage_is_open(stage))
		mqtt_give_up(own(stage));
}

bool mqtt_stage_gave_up(const struct stage *stage)
{
	return ((const struct mqtt_stage *)stage)->gave_up;
}

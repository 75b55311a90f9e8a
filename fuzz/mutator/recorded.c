#include "fuzz/mutator/recorded.h"

#include <stdlib.h>

#include "fuzz/mutator/steer.h"
#include "harness/client_monitor.h"

/* ---- seeing ---- */

enum { SEEN_OPEN, SEEN_SENT, SEEN_CAME, SEEN_FINISHED, SEEN_CLOSED, SEEN_DROPPED, SEEN_ENDED, SEEN_STOP, SEEN_READ };

struct wire {			/* one connection */
	struct tapped tapped;	/* first */
	struct recorded *recorded;
	uint8_t client;
	bool finished;
};

static void add(struct recorded *r, uint64_t now_ns, unsigned what, uint8_t client, struct span bytes)
{
	if (r->over || r->too_much)
		return;
	if (r->n_events == RECORDED_EVENTS || bytes.len > RECORDED_BYTES - r->n_bytes) {
		r->too_much = true;
		return;
	}
	r->events[r->n_events++] = (struct recorded_event){ now_ns, (uint8_t)what, client, r->n_bytes, (uint32_t)bytes.len };
	if (bytes.len)
		memcpy(r->bytes + r->n_bytes, bytes.at, bytes.len);
	r->n_bytes += (uint32_t)bytes.len;
}

static void on_opened(struct tapped *tapped, uint64_t now_ns)
{
	(void)tapped, (void)now_ns;
}

static void on_bytes(struct tapped *tapped, uint64_t now_ns, enum tap_side from, struct span bytes)
{
	const struct wire *wire = (const struct wire *)tapped;

	add(wire->recorded, now_ns, from == TAP_CLIENT ? SEEN_SENT : SEEN_CAME, wire->client, bytes);
}

static void on_finished(struct tapped *tapped, uint64_t now_ns)
{
	struct wire *wire = (struct wire *)tapped;

	wire->finished = true;
	add(wire->recorded, now_ns, SEEN_FINISHED, wire->client, (struct span){ 0 });
}

static void on_ended(struct tapped *tapped, uint64_t now_ns, enum tap_end how)
{
	struct wire *wire = (struct wire *)tapped;
	unsigned what = how == TAP_DROPPED ? SEEN_DROPPED : how == TAP_CLOSED ? SEEN_CLOSED : SEEN_ENDED;

	if (what != SEEN_CLOSED || !wire->finished)
		add(wire->recorded, now_ns, what, wire->client, (struct span){ 0 });
	free(wire);
}

static void on_reads(struct tapped *tapped, uint64_t now_ns, bool reads)
{
	const struct wire *wire = (const struct wire *)tapped;

	add(wire->recorded, now_ns, reads ? SEEN_READ : SEEN_STOP, wire->client, (struct span){ 0 });
}

/* Whose the connection is: taps are told "FILE, MQTT 5, ACTOR". */
static uint8_t client_of(struct recorded *r, const char *who)
{
	const char *comma = strrchr(who, ','), *actor = comma ? comma + 2 : who;

	for (uint32_t i = 0; i < r->n_clients; i++)
		if (!strncmp(r->actors[i], actor, sizeof(r->actors[i]) - 1))
			return (uint8_t)i;
	if (r->n_clients == MOVES_CLIENTS) {
		r->too_much = !r->over;
		return 0;
	}
	strncpy(r->actors[r->n_clients], actor, sizeof(r->actors[0]) - 1);
	return (uint8_t)r->n_clients++;
}

static struct tapped *connecting(struct tap *tap, uint64_t now_ns, const char *who)
{
	static const struct tap_ops ops = { on_opened, on_bytes, on_finished, on_ended, on_reads };
	struct recorded *r = (struct recorded *)tap;
	struct wire *wire = calloc(1, sizeof(*wire));

	if (!wire)
		abort();
	wire->tapped.ops = &ops;
	wire->recorded = r;
	wire->client = client_of(r, who);
	add(r, now_ns, SEEN_OPEN, wire->client, (struct span){ 0 });
	return &wire->tapped;
}

void recorded_begin(struct recorded *r, uint64_t now_ns)
{
	memset(r->actors, 0, sizeof(r->actors));
	r->tap = (struct tap){ .connecting = connecting };
	r->n_events = r->n_bytes = r->n_clients = 0;
	r->began_ns = now_ns;
	r->over = r->too_much = false;
}

/* ---- telling ---- */

enum {
	STEP_NS = 100000, HALF_SECOND_NS = 500000000,
	SHORT_NS = 255 * STEP_NS,	/* the longest PAUSE */
	AFTER_ARRIVAL = 5,		/* steps; time for what somebody else caused to arrive */
	STREAM = 1 << 18,
};

struct stream {				/* what one end has sent and was no whole packet yet */
	uint8_t *at;
	size_t len;
};

struct side {				/* a client, its connection, and what its broker sends */
	struct steered steered;
	struct client_monitor monitor;
	struct stream sent, came;
	uint64_t began_ns;		/* of what is in `sent` */
	uint32_t cut;			/* 1 + the number of the move that sent it, which is still the last one */
	bool open, level_known;
	bool asks;			/* sent something that is to be answered, and has not been waited for */
	bool came_since, other_came;	/* something has come since: of the connection that asks, or of one that does not */
};

struct teller {
	const struct recorded *recorded;
	struct moves *moves;
	struct packet_sink *sink;
	struct side sides[MOVES_CLIENTS];
	struct client_world *world;
	struct client_log log;
	uint64_t last_ns, wait_ns;	/* of the last event; that have passed and stand in no move */
	bool fits, offends;
};

static void violated(void *owner, struct client_monitor *client, const struct violation *violation)
{
	struct teller *t = owner;

	(void)client, (void)violation;
	t->offends = true;
}

static void append(struct teller *t, struct move move)
{
	t->fits &= moves_insert(t->moves, t->moves->n, move);
}

/* The time that has passed, before something is done. */
static void pass_time(struct teller *t, uint8_t client)
{
	uint64_t ns = t->wait_ns, n;

	t->wait_ns = 0;
	if (!ns)
		return;
	if (ns <= SHORT_NS) {
		append(t, (struct move){ .kind = MOVE_PAUSE, .client = client, .value = (uint8_t)((ns + STEP_NS - 1) / STEP_NS) });
		return;
	}
	n = (ns + HALF_SECOND_NS / 2) / HALF_SECOND_NS;
	append(t, (struct move){ .kind = MOVE_WAIT, .client = client, .value = (uint8_t)(n < 1 ? 1 : n > 255 ? 255 : n) });
}

/* What has come may be the reason for what is done now, by that client; waits: time passes anyhow. */
static void await_what_came(struct teller *t, uint8_t client, bool waits)
{
	bool pause = false;

	for (uint8_t i = 0; i < MOVES_CLIENTS; i++) {
		struct side *side = &t->sides[i];

		if (side->asks && side->came_since) {
			pass_time(t, i);
			append(t, (struct move){ .kind = MOVE_AWAIT, .client = i });
			side->asks = false;
		}
		pause |= side->other_came;
		side->came_since = side->other_came = false;
	}
	if (!pause || waits)
		return;
	pass_time(t, client);
	append(t, (struct move){ .kind = MOVE_PAUSE, .client = client, .value = AFTER_ARRIVAL });
}

static void act(struct teller *t, struct move move)
{
	await_what_came(t, move.client, false);
	pass_time(t, move.client);
	append(t, move);
}

static void close_side(struct side *side)
{
	if (side->open)
		client_close(&side->monitor, true);
	side->open = false;
	side->sent.len = side->came.len = 0;
	side->cut = 0;
}

static void open_side(struct teller *t, struct side *side)
{
	close_side(side);
	if (!side->sent.at)
		side->sent.at = malloc(STREAM);
	if (!side->came.at)
		side->came.at = malloc(STREAM);
	if (!side->sent.at || !side->came.at)
		abort();
	client_open(&side->monitor, t->world, &t->log);
	side->open = true;
	side->asks = side->came_since = side->other_came = side->level_known = false;
	steered_reset(&side->steered);
	side->steered.version = MQTT_3_1_1;
}

/* The next whole packet, which stays where it is until it is taken; false: not all of it is here, or it can never be (*bad). */
static bool next_packet(const struct stream *stream, struct frame *frame, struct finding *finding, bool *bad)
{
	enum frame_status status = frame_next(stream->at, stream->len, frame, finding);

	*bad = status == FRAME_BAD;
	return status == FRAME_OK;
}

static void take(struct stream *stream, size_t n)
{
	stream->len -= n;
	memmove(stream->at, stream->at + n, stream->len);
}

static bool put(struct stream *stream, struct span bytes)
{
	if (bytes.len > STREAM - stream->len)
		return false;
	memcpy(stream->at + stream->len, bytes.at, bytes.len);
	stream->len += bytes.len;
	return true;
}

static bool is_asked(const struct packet *p)
{
	return p->type == CONNECT || (p->type == PUBLISH && publish_qos(p)) || p->type == PUBREL || p->type == SUBSCRIBE ||
	       p->type == UNSUBSCRIBE || p->type == PINGREQ || p->type == DISCONNECT || p->type == AUTH;
}

static void judge_sent(struct teller *t, struct side *side, uint64_t now_ns)
{
	struct frame frame;
	struct finding finding = { 0 };
	struct packet packet;
	bool bad;

	while (next_packet(&side->sent, &frame, &finding, &bad)) {
		struct span bytes = span_of(side->sent.at, frame.size);
		bool readable = decode(bytes.at, bytes.len, side->steered.version, &packet, &finding) == CODEC_OK;

		client_sent(&side->monitor, &(struct client_packet){ bytes, &frame, readable ? &packet : NULL, &finding, side->began_ns, now_ns, false });
		if (readable && packet.type == CONNECT && !side->level_known) {
			side->level_known = true;
			side->steered.version = packet.version;
		}
		if (t->sink)
			t->sink->packet(t->sink, (uint8_t)(side - t->sides), FROM_CLIENT, side->steered.version, bytes);
		if (readable)
			steered_sent(&side->steered, &packet);
		t->offends |= !readable;
		side->asks |= !readable || is_asked(&packet);
		take(&side->sent, frame.size);
		side->began_ns = now_ns;
	}
	if (bad)
		t->offends = side->asks = true;
}

/* Bytes that go on where the last move was cut short: one move, in writes of as many bytes as its first had. */
static bool goes_on(struct teller *t, struct side *side, struct span bytes)
{
	struct moves *m = t->moves;
	struct move *last = m->n ? &m->at[m->n - 1] : NULL;
	struct span more;
	size_t piece;

	if (!last || side->cut != m->n || !side->sent.len || side->came_since || t->wait_ns >= HALF_SECOND_NS / 2)
		return false;
	piece = last->kind == MOVE_SEND_CUT ? last->value : last->bytes.len;
	if (piece > UINT8_MAX || last->bytes.len % piece || bytes.len > piece || last->bytes.len + bytes.len > UINT16_MAX)
		return false;
	if (!moves_keep(m, bytes, &more) || more.at != last->bytes.at + last->bytes.len)
		return false;
	last->kind = MOVE_SEND_CUT;
	last->value = (uint8_t)piece;
	last->bytes.len += bytes.len;
	t->wait_ns = 0;
	return true;
}

/* Whether it acknowledges, in the shortest form, what the client owes an answer to for longest. */
static bool is_answer(const struct side *side, struct span bytes)
{
	struct steered copy = side->steered;
	uint8_t room[64];
	struct writer w = writer_to(room, sizeof(room));

	return !side->sent.len && steered_answer(&copy, ANSWER_RIGHT, &w) && wr_fits(&w) && span_equal(wr_span(&w), bytes);
}

static void tell_sent(struct teller *t, uint8_t client, struct span bytes, uint64_t now_ns)
{
	struct side *side = &t->sides[client];
	struct move move = { .kind = bytes.len > UINT8_MAX ? MOVE_SEND_LONG : MOVE_SEND, .client = client };

	if (is_answer(side, bytes)) {
		act(t, (struct move){ .kind = MOVE_ANSWER, .client = client, .value = ANSWER_RIGHT });
	} else if (!goes_on(t, side, bytes)) {
		await_what_came(t, client, false);
		pass_time(t, client);
		t->fits &= bytes.len <= UINT16_MAX && moves_keep(t->moves, bytes, &move.bytes);
		append(t, move);
	}
	if (!side->sent.len)
		side->began_ns = now_ns;
	t->fits &= put(&side->sent, bytes);
	if (t->fits)
		judge_sent(t, side, now_ns);
	side->cut = side->sent.len ? t->moves->n : 0;
}

static void tell_came(struct teller *t, struct side *side, struct span bytes, uint64_t now_ns)
{
	struct frame frame;
	struct finding finding;
	struct packet packet;
	bool bad;

	t->fits &= put(&side->came, bytes);
	while (next_packet(&side->came, &frame, &finding, &bad)) {
		struct span whole = span_of(side->came.at, frame.size);

		if (decode(whole.at, whole.len, side->steered.version, &packet, &finding) == CODEC_OK) {
			client_received(&side->monitor, &packet, now_ns);
			steered_received(&side->steered, &packet);
		}
		if (t->sink)
			t->sink->packet(t->sink, (uint8_t)(side - t->sides), FROM_SERVER, side->steered.version, whole);
		take(&side->came, frame.size);
	}
	side->came_since = true;
	side->other_came |= !side->asks;
}

static void tell(struct teller *t, const struct recorded_event *event)
{
	struct side *side = &t->sides[event->client];
	struct span bytes = span_of(t->recorded->bytes + event->from, event->len);

	if (event->at_ns > t->last_ns) {
		await_what_came(t, event->client, true);
		t->wait_ns += event->at_ns - t->last_ns;
		t->last_ns = event->at_ns;
	}
	switch (event->what) {
	case SEEN_OPEN:
		act(t, (struct move){ .kind = MOVE_OPEN, .client = event->client });
		open_side(t, side);
		break;
	case SEEN_SENT:
		tell_sent(t, event->client, bytes, event->at_ns);
		break;
	case SEEN_CAME:
		tell_came(t, side, bytes, event->at_ns);
		break;
	case SEEN_FINISHED: case SEEN_CLOSED:
		act(t, (struct move){ .kind = MOVE_CLOSE, .client = event->client });
		client_hung_up(&side->monitor, FROM_CLIENT, event->at_ns);
		break;
	case SEEN_DROPPED:
		act(t, (struct move){ .kind = MOVE_DROP, .client = event->client });
		break;
	case SEEN_STOP:
		act(t, (struct move){ .kind = MOVE_STOP_READING, .client = event->client });
		break;
	case SEEN_READ:
		act(t, (struct move){ .kind = MOVE_READ, .client = event->client });
		break;
	case SEEN_ENDED:
		client_hung_up(&side->monitor, FROM_SERVER, event->at_ns);
		side->came_since = true;
		side->other_came |= !side->asks;
		break;
	}
}

bool recorded_moves(const struct recorded *recorded, struct moves *moves, bool *offends, struct packet_sink *sink)
{
	struct teller t = { .recorded = recorded, .moves = moves, .sink = sink, .world = client_world_new(1 << 20, 1000),
	                     .log = { .violated = violated, .owner = &t }, .last_ns = recorded->began_ns, .fits = !recorded->too_much };

	if (!t.world)
		abort();
	if (sink)
		sink->began(sink);
	moves->n = moves->used = 0;
	for (uint32_t i = 0; i < recorded->n_events && t.fits; i++)
		tell(&t, &recorded->events[i]);
	await_what_came(&t, 0, false);
	while (moves->n && moves->at[moves->n - 1].kind == MOVE_CLOSE)	/* the end of a case ends its connections */
		moves->n--;
	for (uint8_t i = 0; i < MOVES_CLIENTS; i++) {
		close_side(&t.sides[i]);
		free(t.sides[i].sent.at);
		free(t.sides[i].came.at);
	}
	client_world_free(t.world);
	*offends = t.offends;
	return t.fits;
}

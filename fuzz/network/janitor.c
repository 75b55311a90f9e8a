#include "fuzz/network/janitor.h"

#include "codec/arena.h"
#include "codec/build.h"
#include "codec/fields.h"

/* Far more than a case leaves, unless it was doubled many times: what is over stays with the broker, as sessions of lost clients do. */
enum { MOST_SESSIONS = 16, MOST_TOPICS = 32, ROOM = 4096 };

struct left {
	struct moves *after;
	struct span sessions[MOST_SESSIONS], topics[MOST_TOPICS];
	uint8_t version[MOST_SESSIONS];		/* of each session */
	size_t n_sessions, n_topics;
	uint8_t of_topics;			/* a version that was spoken */
};

static void add_session(struct left *left, const struct packet *p)
{
	for (size_t i = 0; i < left->n_sessions; i++)
		if (span_equal(left->sessions[i], p->client_id) && left->version[i] == p->version)
			return;
	if (left->n_sessions == MOST_SESSIONS)
		return;
	left->version[left->n_sessions] = p->version;
	left->sessions[left->n_sessions++] = p->client_id;
}

static void add_topic(struct left *left, struct span topic)
{
	for (size_t i = 0; i < left->n_topics; i++)
		if (span_equal(left->topics[i], topic))
			return;
	if (topic.len && left->n_topics < MOST_TOPICS)
		left->topics[left->n_topics++] = topic;
}

static void see_packet(struct left *left, const struct packet *p)
{
	if (p->type == CONNECT) {
		left->of_topics = p->version;
		if (p->version == MQTT_5 ? property_number(p->properties, PROP_session_expiry_interval, 0) != 0 : !(p->connect_flags & CONNECT_CLEAN_START))
			add_session(left, p);
		if (p->connect_flags & CONNECT_WILL && p->connect_flags & CONNECT_WILL_RETAIN)
			add_topic(left, p->will_topic);
	} else if (p->type == PUBLISH && p->flags & PUBLISH_RETAIN && p->payload.len) {
		add_topic(left, p->topic);
	}
}

/* A move may hold several packets. */
static void see_move(struct left *left, const struct moves *moves, uint32_t at)
{
	struct span bytes = moves->at[at].bytes;
	enum version version = moves_version(moves, at, moves->at[at].client);
	struct frame frame;
	struct finding finding;
	struct packet p;

	while (frame_next(bytes.at, bytes.len, &frame, &finding) == FRAME_OK) {
		unsigned type = frame.first >> 4;

		if ((type == CONNECT || type == PUBLISH) && decode(bytes.at, frame.size, version, &p, &finding) == CODEC_OK)
			see_packet(left, &p);
		bytes.at += frame.size;
		bytes.len -= frame.size;
	}
}

/* ---- clearing up ---- */

static void add(struct left *left, enum move_kind kind, struct span bytes)
{
	struct move move = { .kind = (uint8_t)kind };

	if (bytes.len && !moves_keep(left->after, bytes, &move.bytes))
		return;
	moves_insert(left->after, left->after->n, move);
}

static void add_packet(struct left *left, const struct packet *p)
{
	uint8_t bytes[ROOM];
	struct writer w = writer_to(bytes, sizeof(bytes));

	if (encode(p, NULL, &w) == CODEC_OK && wr_fits(&w))
		add(left, MOVE_SEND_LONG, wr_span(&w));
}

static void add_connect(struct left *left, enum version version, struct span client_id)
{
	uint8_t bytes[ROOM];
	struct arena arena;
	struct builder b;

	arena_init(&arena, bytes, sizeof(bytes));
	builder_start(&b, CONNECT, version, &arena);
	b.packet.connect_flags = CONNECT_CLEAN_START;
	b.packet.keep_alive = 60;
	b.packet.client_id = client_id;
	add(left, MOVE_OPEN, (struct span){ 0 });
	add_packet(left, &b.packet);
	add(left, MOVE_AWAIT, (struct span){ 0 });
}

static void add_end(struct left *left, enum version version)
{
	add_packet(left, &(struct packet){ .type = DISCONNECT, .version = (uint8_t)version });
	add(left, MOVE_AWAIT, (struct span){ 0 });
}

bool janitor_follow(const struct moves *moves, struct moves *after)
{
	struct left left = { .after = after, .of_topics = MQTT_3_1_1 };

	for (uint32_t i = 0; i < moves->n; i++)
		if (move_sends(&moves->at[i]))
			see_move(&left, moves, i);
	if (!left.n_sessions && !left.n_topics)
		return false;
	after->n = after->used = 0;
	for (size_t i = 0; i < left.n_sessions; i++) {
		add_connect(&left, left.version[i], left.sessions[i]);
		add_end(&left, left.version[i]);
	}
	if (left.n_topics)
		add_connect(&left, left.of_topics, span_text(MOVES_NAME "z"));
	for (size_t i = 0; i < left.n_topics; i++)
		add_packet(&left, &(struct packet){ .type = PUBLISH, .version = left.of_topics, .flags = PUBLISH_RETAIN, .topic = left.topics[i] });
	if (left.n_topics)
		add_end(&left, left.of_topics);
	return true;
}

/* As when it is over: all that is open is dropped. */
static bool drop_open(struct moves *moves)
{
	unsigned open = 0;
	bool fits = true;

	for (uint32_t i = 0; i < moves->n; i++) {
		unsigned bit = 1u << moves->at[i].client % MOVES_CLIENTS;

		open = moves->at[i].kind == MOVE_OPEN ? open | bit : moves->at[i].kind == MOVE_DROP ? open & ~bit : open;
	}
	for (uint8_t client = 0; client < MOVES_CLIENTS; client++)
		if (open >> client & 1)
			fits &= moves_insert(moves, moves->n, (struct move){ .kind = MOVE_DROP, .client = client });
	return fits;
}

void janitor_leave(struct moves *moves, uint8_t half_seconds)
{
	uint32_t n = moves->n;

	if (!drop_open(moves) || !moves_insert(moves, moves->n, (struct move){ .kind = MOVE_WAIT, .value = half_seconds }))
		moves->n = n;
}

void janitor_join(struct moves *moves)
{
	static struct moves after;
	uint32_t n = moves->n, used = moves->used;
	bool fits = janitor_follow(moves, &after) && drop_open(moves);

	for (uint32_t i = 0; i < after.n && fits; i++) {
		struct move move = after.at[i];

		fits = moves_keep(moves, move.bytes, &move.bytes) && moves_insert(moves, moves->n, move);
	}
	if (!fits) {
		moves->n = n;
		moves->used = used;
	}
}

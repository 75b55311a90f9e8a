#include "fuzz/mutator/sequence.h"

#include "codec/generate.h"
#include "fuzz/mutator/steer.h"

/* A sequence, by order. */

/* ---- order ---- */

static bool remove_some(struct sequence *s)
{
	struct moves *m = s->moves;
	uint32_t n = one_in(s->random, 2) ? 1 : one_in(s->random, 8) ? 1 + pick(s, m->n) : 2 + pick(s, 6), at;

	if (m->n < 2)
		return false;
	at = pick(s, m->n);
	if (n > m->n - at)
		n = m->n - at;
	say_moves(s, n == 1 ? ANOMALY_MOVE_REMOVED : ANOMALY_MOVES_REMOVED, at, at + n - 1);
	moves_remove(m, at, n);
	return true;
}

/* at..at+n once more, `times` times, behind themselves. */
static bool repeat(struct sequence *s, enum anomaly_kind kind, uint32_t at, uint32_t n, uint32_t times)
{
	struct move more[MOVES_MAX];
	uint32_t room = MOVES_MAX - s->moves->n;

	if (times > room / n)
		times = room / n;
	if (!times)
		return false;
	for (uint32_t i = 0; i < times * n; i++)
		more[i] = s->moves->at[at + i % n];
	say_moves(s, kind, at, at + n - 1);
	return insert_many(s->moves, at + n, more, times * n);
}

static bool repeat_one(struct sequence *s)
{
	bool much = one_in(s->random, 3);
	uint32_t at, times;

	if (!s->moves->n)
		return false;
	at = pick(s, s->moves->n);
	times = much ? 5 + pick(s, 45) : 1 + pick(s, 4);
	return repeat(s, much ? ANOMALY_MOVE_REPEATED_MUCH : ANOMALY_MOVE_REPEATED, at, 1, times);
}

static bool repeat_several(struct sequence *s)
{
	struct moves *m = s->moves;
	uint32_t n = 2 + pick(s, 9), at;

	if (m->n < 2)
		return false;
	if (n > m->n)
		n = m->n;
	at = pick(s, m->n - n + 1);
	return repeat(s, ANOMALY_MOVES_REPEATED, at, n, one_in(s->random, 4) ? 2 + pick(s, 20) : 1);
}

/* A suffix that tells the copies of a name apart; in place of a '#', which must stand last. */
static struct span numbered(struct sequence *s, struct span name, uint32_t number)
{
	size_t len = name.len < 60000 ? name.len : 60000;
	uint8_t *at = arena_take(s->arena, len + 3);

	if (!at)
		return name;
	if (len && name.at[len - 1] == '#')
		len -= len > 1 ? 2 : 1;
	if (len)
		memcpy(at, name.at, len);
	at[len] = '/';
	at[len + 1] = (uint8_t)('a' + number / 26 % 26);
	at[len + 2] = (uint8_t)('a' + number % 26);
	return span_of(at, len + 3);
}

static void rename_packet(struct sequence *s, struct packet *p, uint32_t number)
{
	struct filter_walk walk = filters_of(p);
	struct span filter;
	struct writer w;
	uint8_t options;

	p->packet_id = (uint16_t)(p->packet_id + number);
	p->packet_id += !p->packet_id;
	switch (p->type) {
	case CONNECT:
		p->client_id = numbered(s, p->client_id, number);
		break;
	case PUBLISH:
		if (p->topic.len)
			p->topic = numbered(s, p->topic, number);
		break;
	case SUBSCRIBE: case UNSUBSCRIBE:
		if (!filter_next(&walk, &filter, &options))
			break;
		filter = numbered(s, filter, number);
		w = writer_to(arena_take(s->arena, filter.len + 3), filter.len + 3);
		wr_binary(&w, filter);
		if (p->type == SUBSCRIBE)
			wr_u8(&w, options);
		p->list = wr_span(&w);
		break;
	default:
		break;
	}
}

/* Repeated so that each leaves something of its own behind: another topic, filter, packet id or client. */
static bool repeat_anew(struct sequence *s)
{
	struct moves *m = s->moves;
	int at = pick_send(s, ON(CONNECT) | ON(PUBLISH) | ON(SUBSCRIBE) | ON(UNSUBSCRIBE));
	uint32_t times = 2 + pick(s, one_in(s->random, 3) ? 48 : 6), n = 0;
	struct move more[2 * 50], move;
	struct packet p;
	struct finding finding;
	bool names = !one_in(s->random, 3);

	if (at < 0)
		return false;
	move = m->at[at];
	if (decode(move.bytes.at, move.bytes.len, moves_version(m, (uint32_t)at, move.client), &p, &finding) != CODEC_OK)
		return false;
	for (uint32_t i = 1; i <= times && n + 2 <= MOVES_MAX - m->n; i++) {
		struct packet again = p;

		arena_reset(s->arena);
		rename_packet(s, &again, i);
		if (!names && p.type == PUBLISH)
			again.topic = p.topic;
		if (!keep_packet(s, &again, &move.bytes))
			break;
		if (p.type == CONNECT)
			more[n++] = (struct move){ .kind = MOVE_OPEN, .client = move.client };
		more[n++] = move;
	}
	if (!n)
		return false;
	say_moves(s, ANOMALY_REPEATED_ANEW, (uint32_t)at, (uint32_t)at);
	return insert_many(m, (uint32_t)at + 1, more, n);
}

static bool swap(struct sequence *s)
{
	struct moves *m = s->moves;
	uint32_t a, b;
	struct move move;

	if (m->n < 2)
		return false;
	a = pick(s, m->n - 1);
	b = one_in(s->random, 2) ? a + 1 : a + 1 + pick(s, m->n - a - 1);
	say_moves(s, ANOMALY_MOVES_SWAPPED, a, b);
	move = m->at[a];
	m->at[a] = m->at[b];
	m->at[b] = move;
	return true;
}

static bool move_elsewhere(struct sequence *s)
{
	struct moves *m = s->moves;
	struct move moved[4];
	uint32_t n = 1 + pick(s, 4), from, to;

	if (m->n < 2)
		return false;
	if (n > m->n - 1)
		n = m->n - 1;
	from = pick(s, m->n - n + 1);
	to = pick(s, m->n - n + 1);
	if (to == from)
		return false;
	say_moves(s, ANOMALY_MOVE_ELSEWHERE, from, from + n - 1);
	memcpy(moved, m->at + from, n * sizeof(*moved));
	moves_remove(m, from, n);
	return insert_many(m, to, moved, n);
}

/* A client that has just come: the least that makes it one. */
static bool arrival(struct sequence *s, uint8_t client, enum version version, struct move *more, uint32_t *n)
{
	char id[MOVES_NAME_LEN + 2] = MOVES_NAME "0";
	struct packet p = { .type = CONNECT, .version = (uint8_t)version, .protocol_version = (uint8_t)version, .keep_alive = 60,
	                    .protocol_name = span_text(version == MQTT_3_1 ? "MQIsdp" : "MQTT"), .client_id = span_text(id) };

	id[MOVES_NAME_LEN] = (char)('0' + client);
	if (!one_in(s->random, 3))
		p.connect_flags = CONNECT_CLEAN_START;
	if (version == MQTT_5 && one_in(s->random, 2)) {
		unsigned property = one_in(s->random, 2) ? PROP_topic_alias_maximum : PROP_session_expiry_interval;

		p.properties = with_number(s->arena, p.properties, property, 1 + pick(s, 100));
	}
	more[0] = (struct move){ .kind = MOVE_OPEN, .client = client };
	more[1] = (struct move){ .kind = MOVE_SEND, .client = client };
	*n = 2;
	return keep_packet(s, &p, &more[1].bytes);
}

static bool add_client(struct sequence *s)
{
	struct moves *m = s->moves;
	uint8_t before, client;
	uint32_t at = pick_place(s, &before), n;
	enum version version = one_in(s->random, 3) ? MQTT_3_1 + pick(s, 3) : m->n ? moves_version(m, at, before) : MQTT_5;
	struct move more[4];

	client = m->n ? pick_other_client(s, before) : 0;
	if (!arrival(s, client, version, more, &n))
		return false;
	if (one_in(s->random, 2)) {
		uint8_t list[300];
		struct writer w = writer_to(list, sizeof(list));
		struct span topic = pick_topic(s);
		struct packet p = { .type = SUBSCRIBE, .flags = 2, .version = (uint8_t)version, .packet_id = 1 };

		wr_binary(&w, one_in(s->random, 3) || topic.len > 200 ? span_text("#") : topic);
		wr_u8(&w, pick(s, 3));
		p.list = wr_span(&w);
		more[n] = (struct move){ .kind = MOVE_SEND, .client = client };
		if (!keep_packet(s, &p, &more[n].bytes))
			return false;
		n++;
	}
	if (one_in(s->random, 2))
		more[n++] = (struct move){ .kind = MOVE_AWAIT, .client = client };
	if (!insert_many(m, at, more, n))
		return false;
	say_moves(s, ANOMALY_CLIENT_ADDED, at, at + n - 1);
	return true;
}

/* One in the direction in which the tables know it: of what a server sends this is all that makes sense of its codes. */
static enum sender sender_of(enum packet_type type)
{
	static const uint8_t senders[N_PACKET_TYPES] = {
#define X(name, number, flags, sender, since) [number] = sender,
		PACKETS(X)
#undef X
	};

	return senders[type] & FROM_CLIENT ? FROM_CLIENT : FROM_SERVER;
}

/* A legal packet of any type drawn from the tables, or one that fits what the sequence is about. */
static bool add_packet(struct sequence *s)
{
	struct moves *m = s->moves;
	uint8_t client;
	uint32_t at = pick_place(s, &client);
	enum version version = moves_version(m, at, client);
	enum packet_type type = 1 + pick(s, version == MQTT_5 ? 15 : 14);
	struct move move = { .kind = MOVE_SEND, .client = client };
	struct writer w = room_for_send(s);
	struct packet p;

	if (!m->n)
		return false;
	if (one_in(s->random, 2)) {
		struct steered state;
		struct span topic = pick_topic(s);

		steered_reset(&state);
		state.version = (uint8_t)version;
		state.connecting = state.connected = true;
		if (topic.len < sizeof(state.topic))
			memcpy(state.topic, topic.at, topic.len);
		steered_next(&state, (uint8_t)pick(s, 256), &w);
		if (!keep_room(s, &w, &move.bytes))
			return false;
	} else if (generate(type, version, sender_of(type), s->random, s->arena, &p) != CODEC_OK ||
	           !keep_packet(s, &p, &move.bytes)) {
		return false;
	}
	if (!moves_insert(m, at, move))
		return false;
	say_moves(s, ANOMALY_PACKET_ADDED, at, at);
	return true;
}

/* ---- another case ---- */

/* Moves of the other case, their bytes kept, their clients moved on by `shift`. */
static uint32_t take_from(struct sequence *s, uint32_t from, uint32_t n, uint8_t shift, struct move *to)
{
	uint32_t taken = 0;

	if (n > MOVES_MAX - s->moves->n)
		n = MOVES_MAX - s->moves->n;
	for (; taken < n; taken++) {
		struct move move = s->other->at[from + taken];

		if (move.bytes.len > s->most || !moves_keep(s->moves, move.bytes, &move.bytes))
			break;
		move.client = (uint8_t)((move.client + shift) % MOVES_CLIENTS);
		to[taken] = move;
	}
	return taken;
}

/* They meet on the same connections, or they do not. */
static uint8_t a_shift(struct sequence *s)
{
	return one_in(s->random, 2) ? 0 : (uint8_t)pick(s, MOVES_CLIENTS);
}

static bool take_packet(struct sequence *s)
{
	struct sequence of_other = *s;
	struct move move;
	uint8_t client;
	uint32_t at = pick_place(s, &client);
	int from;

	if (!s->other || s->moves->n == MOVES_MAX)
		return false;
	of_other.moves = (struct moves *)s->other;	/* to pick of only */
	from = pick_send(&of_other, 0);
	if (from < 0 || !take_from(s, (uint32_t)from, 1, 0, &move))
		return false;
	move.client = client;
	moves_insert(s->moves, at, move);
	say_moves(s, ANOMALY_PACKET_OF_OTHER, at, at);
	return true;
}

static bool splice(struct sequence *s)
{
	struct move more[MOVES_MAX];
	uint32_t n, from, at = pick(s, s->moves->n + 1);

	if (!s->other || !s->other->n)
		return false;
	n = 1 + pick(s, s->other->n < 20 ? s->other->n : 20);
	from = pick(s, s->other->n - n + 1);
	n = take_from(s, from, n, a_shift(s), more);
	if (!n || !insert_many(s->moves, at, more, n))
		return false;
	say_moves(s, ANOMALY_SPLICED, at, at + n - 1);
	return true;
}

static bool splice_tail(struct sequence *s)
{
	struct moves *m = s->moves;
	struct move more[MOVES_MAX];
	uint32_t n, from, at = pick(s, m->n + 1), before = m->n;

	if (!s->other || !s->other->n)
		return false;
	from = pick(s, s->other->n);
	m->n = at;
	n = take_from(s, from, s->other->n - from, a_shift(s), more);
	if (!n) {
		m->n = before;
		return false;
	}
	insert_many(m, at, more, n);
	say_moves(s, ANOMALY_SPLICED_TAIL, at, at + n - 1);
	return true;
}

/* All of the other case at the same time, by clients of its own. */
static bool play_beside(struct sequence *s)
{
	struct moves *m = s->moves;
	struct move theirs[MOVES_MAX], both[MOVES_MAX];
	uint32_t n, i = 0, k = 0;
	unsigned most = 0;

	if (!s->other || !s->other->n)
		return false;
	for (i = 0; i < m->n; i++)
		most = m->at[i].client > most ? m->at[i].client : most;
	n = take_from(s, 0, s->other->n, (uint8_t)((most + 1) % MOVES_CLIENTS), theirs);
	if (!n)
		return false;
	for (i = 0; i < m->n || k < n;) {
		bool ours = k == n || (i < m->n && random_below(s->random, m->n - i + n - k) < m->n - i);

		both[i + k] = ours ? m->at[i] : theirs[k];
		i += ours;
		k += !ours;
	}
	memcpy(m->at, both, (i + k) * sizeof(*both));
	m->n = i + k;
	say_moves(s, ANOMALY_BESIDE_OTHER, 0, m->n - 1);
	return true;
}

/* ---- steered ---- */

static bool add_steer(struct sequence *s)
{
	struct move move = { .kind = MOVE_STEER, .value = (uint8_t)pick(s, 256) };
	uint32_t at = pick_place(s, &move.client);

	return s->moves->n && put_move(s, ANOMALY_STEERED, at, move);
}

static bool add_answer(struct sequence *s)
{
	struct move move = { .kind = MOVE_ANSWER, .value = (uint8_t)(one_in(s->random, 3) ? ANSWER_RIGHT : 1 + pick(s, N_ANSWERS - 1)) };
	uint32_t at = pick_place(s, &move.client);

	return s->moves->n && put_move(s, move.value == ANSWER_RIGHT ? ANOMALY_ANSWERED : ANOMALY_ANSWERED_WRONG, at, move);
}

static bool change_value(struct sequence *s)
{
	struct moves *m = s->moves;
	struct move *move;
	uint32_t at;

	if (!m->n)
		return false;
	for (at = pick(s, m->n); at < m->n && m->at[at].kind != MOVE_ANSWER && m->at[at].kind != MOVE_LIMITS;)
		at++;
	if (at == m->n)
		return false;
	move = &m->at[at];
	if (move->kind == MOVE_LIMITS)
		move->value ^= (uint8_t)(1u << pick(s, 8));
	else
		move->value = (uint8_t)((move->value + 1 + pick(s, N_ANSWERS - 1)) % N_ANSWERS);
	say_moves(s, move->kind == MOVE_LIMITS ? ANOMALY_LIMITS_CHANGED : ANOMALY_ANSWER_CHANGED, at, at);
	return true;
}

const struct sequence_choice order_choices[] = {
	{ remove_some, 4 }, { repeat_one, 4 }, { repeat_several, 2 }, { repeat_anew, 3 }, { swap, 2 }, { move_elsewhere, 2 },
	{ add_packet, 5 }, { add_client, 2 }, { take_packet, 3 }, { splice, 4 }, { splice_tail, 2 }, { play_beside, 2 },
	{ add_steer, 5 }, { add_answer, 3 }, { change_value, 1 }, { NULL, 0 },
};

const struct sequence_choice splice_choices[] = { { take_packet, 1 }, { splice, 3 }, { splice_tail, 2 }, { play_beside, 1 }, { NULL, 0 } };

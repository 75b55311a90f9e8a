#include "fuzz/mutator/sequence.h"

/* A sequence, by timing: pauses, what is waited for, and how writes are divided. */

static bool add_pause(struct sequence *s)
{
	bool long_one = one_in(s->random, 3);
	struct move move = { .kind = long_one ? MOVE_WAIT : MOVE_PAUSE, .value = (uint8_t)(1 + pick(s, one_in(s->random, 4) ? 255 : 8)) };
	uint32_t at = pick_place(s, &move.client);

	return s->moves->n && put_move(s, long_one ? ANOMALY_WAIT_ADDED : ANOMALY_PAUSE_ADDED, at, move);
}

static bool add_await(struct sequence *s)
{
	struct move move = { .kind = MOVE_AWAIT };
	uint32_t at = pick_place(s, &move.client);

	return s->moves->n && put_move(s, ANOMALY_AWAIT_ADDED, at, move);
}

static bool is_waiting(const struct move *move)
{
	return move->kind == MOVE_PAUSE || move->kind == MOVE_WAIT || move->kind == MOVE_AWAIT;
}

static bool remove_pauses(struct sequence *s)
{
	struct moves *m = s->moves;
	uint32_t kept = 0, from = pick(s, m->n + 1), to = one_in(s->random, 2) ? m->n : from + 1 + pick(s, 10), before = m->n;

	if (to > m->n)
		to = m->n;
	if (one_in(s->random, 2))
		from = 0;
	for (uint32_t i = 0; i < m->n; i++)
		if (i < from || i >= to || !is_waiting(&m->at[i]))
			m->at[kept++] = m->at[i];
	m->n = kept;
	if (kept == before)
		return false;
	say_moves(s, ANOMALY_PAUSES_REMOVED, from, to > from ? to - 1 : from);
	return true;
}

static bool cut_write(struct sequence *s)
{
	int at = pick_send(s, 0);
	struct move *move = at >= 0 ? &s->moves->at[at] : NULL;
	uint32_t most;

	if (!move || move->bytes.len < 2)
		return false;
	most = move->bytes.len < 255 ? (uint32_t)move->bytes.len - 1 : 255;
	move->kind = MOVE_SEND_CUT;
	move->value = (uint8_t)(1 + pick(s, one_in(s->random, 2) || most < 4 ? most : 4));
	say_moves(s, ANOMALY_WRITE_CUT, (uint32_t)at, (uint32_t)at);
	return true;
}

/* What the client sends next goes into the same write: what it waits for in between it does not wait for. */
static bool join_writes(struct sequence *s)
{
	struct moves *m = s->moves;
	int at = pick_send(s, 0);
	uint32_t n = 1 + pick(s, one_in(s->random, 3) ? 40 : 4), kept, last;
	struct writer w = room_for_send(s);
	uint8_t client;

	if (at < 0)
		return false;
	client = m->at[at].client;
	last = kept = (uint32_t)at;
	wr_bytes(&w, m->at[at].bytes);
	for (uint32_t i = last + 1; i < m->n && n; i++) {
		const struct move *move = &m->at[i];

		if (move->client != client || is_waiting(move))
			continue;
		if (!move_sends(move) || w.len + move->bytes.len > w.cap)
			break;
		wr_bytes(&w, move->bytes);
		last = i;
		n--;
	}
	if (last == (uint32_t)at || !keep_room(s, &w, &m->at[at].bytes))
		return false;
	m->at[at].kind = w.len > UINT8_MAX ? MOVE_SEND_LONG : MOVE_SEND;
	m->at[at].value = 0;
	say_moves(s, ANOMALY_WRITES_JOINED, (uint32_t)at, last);
	for (uint32_t i = kept++ + 1; i < m->n; i++)
		if (i > last || m->at[i].client != client)
			m->at[kept++] = m->at[i];
	m->n = kept;
	return true;
}

static bool crowd_write(struct sequence *s)
{
	int at = pick_send(s, 0);
	size_t n = 2 + pick(s, one_in(s->random, 3) ? 200 : 10);
	struct writer w = room_for_send(s);
	struct move *move = at >= 0 ? &s->moves->at[at] : NULL;

	if (!move || !move->bytes.len)
		return false;
	if (n > w.cap / move->bytes.len)
		n = w.cap / move->bytes.len;
	if (n < 2)
		return false;
	while (n--)
		wr_bytes(&w, move->bytes);
	move->kind = move->kind == MOVE_SEND_CUT ? MOVE_SEND_CUT : w.len > UINT8_MAX ? MOVE_SEND_LONG : MOVE_SEND;
	say_moves(s, ANOMALY_WRITE_CROWDED, (uint32_t)at, (uint32_t)at);
	return keep_room(s, &w, &move->bytes);
}

const struct sequence_choice timing_choices[] = {
	{ add_pause, 2 }, { add_await, 2 }, { remove_pauses, 2 }, { cut_write, 2 }, { join_writes, 3 }, { crowd_write, 2 }, { mutate_interval, 3 }, { NULL, 0 },
};

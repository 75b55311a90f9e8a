#ifndef FUZZ_JUDGED_MOVES_H
#define FUZZ_JUDGED_MOVES_H

#include "fuzz/judged_broker.h"
#include "fuzz/mutator/moves.h"
#include "fuzz/mutator/steer.h"

/* What moves say is done to the judged broker. A move that steers makes its packet of what the client has seen. */
static struct steered steered[N_ENDS];
static struct dues *dues_kept;		/* given by who wants what subscribers are owed judged; NULL */

_Static_assert((int)N_ENDS == (int)MOVES_CLIENTS, "a connection for every client");

static void on_sent(unsigned end, const struct packet *packet)
{
	steered_sent(&steered[end], packet);
}

static void on_received(unsigned end, const struct packet *packet)
{
	steered_received(&steered[end], packet);
}

static void send_made(struct end *e, const struct move *move)
{
	static uint8_t room[STEER_MOST];
	struct writer w = writer_to(room, sizeof(room));
	struct steered *s = &steered[move->client];

	if (move->kind == MOVE_STEER)
		steered_next(s, move->value, &w);
	else if (!steered_answer(s, (enum answer_how)(move->value % N_ANSWERS), &w))
		return;
	if (wr_fits(&w))
		send_piece(e, room, w.len);
}

static void send_cut(struct end *e, const struct move *move)
{
	size_t piece = move->value ? move->value : 1;

	for (size_t at = 0; at < move->bytes.len; at += piece) {
		send_piece(e, move->bytes.at + at, piece < move->bytes.len - at ? piece : move->bytes.len - at);
		settle();
	}
}

static void act(const struct move *move)
{
	struct end *e = &judged.ends[move->client];

	switch ((enum move_kind)move->kind) {
	case MOVE_OPEN:
		open_end(e);
		steered_reset(&steered[move->client]);
		break;
	case MOVE_SEND:
	case MOVE_SEND_LONG:
		send_piece(e, move->bytes.at, move->bytes.len);
		break;
	case MOVE_SEND_CUT:
		send_cut(e, move);
		break;
	case MOVE_DROP:
	case MOVE_CLOSE:		/* the broker reads the end of the stream, and ends its own side */
		lose(e, DUES_LOST);
		break;
	case MOVE_WAIT:
		wait_for(move->value * UINT64_C(500000000));
		break;
	case MOVE_PAUSE:
		wait_for(move->value * UINT64_C(100000));
		break;
	case MOVE_STOP_READING:
		e->reading = false;
		break;
	case MOVE_READ:
		e->reading = true;
		take_output(e);
		break;
	case MOVE_ANSWER:
	case MOVE_STEER:
		send_made(e, move);
		break;
	case MOVE_AWAIT:		/* it has answered */
	case MOVE_LIMITS:		/* means something at the front only */
	case N_MOVE_KINDS:
		return;
	}
	settle();
	wait_for(1);			/* a turn for what could not be done at once */
}

/* ---- what is owed in the end ---- */

enum { MOST_ROUNDS = 400, MOST_ANSWERS_AT_ONCE = STEER_IDS };

/* Those that serve answer what they owe. */
static bool answer_all(uint32_t waiting)
{
	const struct move right = { .kind = MOVE_ANSWER };
	bool some = false;

	for (uint8_t i = 0; i < N_ENDS; i++)
		for (unsigned n = 0; waiting & 1u << i && judged.ends[i].link && steered[i].n_owed && n < MOST_ANSWERS_AT_ONCE; n++) {
			struct move move = right;

			move.client = i;
			send_made(&judged.ends[i], &move);
			some = true;
		}
	return some;
}

/* Only then is it known that what has not come is lost. */
static bool is_served(unsigned end)
{
	const struct end *e = &judged.ends[end];

	return e->link && e->reading && !e->done && !e->len && !e->garbled && !steered[end].n_owed && !link_output(e->link).len;
}

/* No virtual time passes but that of turns: nothing here is late. A broker that had to drop something says so. */
static void judge_dues(void)
{
	struct broker_stats stats;
	struct due_breach breach;
	uint32_t waiting;

	for (unsigned n = 0; (waiting = dues_waiting(judged.dues)) && n < MOST_ROUNDS; n++) {
		bool some = answer_all(waiting);

		settle();
		wait_for(1);
		if (!some && broker_deadline(judged.broker) > judged.now_ns + 1)
			break;
	}
	broker_stats(judged.broker, &stats);
	for (unsigned i = 0; waiting && !stats.dropped && i < N_ENDS; i++)
		if (is_served(i) && !dues_judge(judged.dues, i, &breach))
			judged_owes(&breach);
}

/* With these nobody is owed anything. */
enum { LIMITS_OF_DUES = 1 | 2 | 64 };

/* False: there is no broker. */
static bool play_moves(const struct moves *moves)
{
	unsigned limits = moves->n && moves->at[0].kind == MOVE_LIMITS ? moves->at[0].value : 0;

	judged.dues = judged.starved ? NULL : dues_kept;
	judged.bounded = limits & LIMITS_OF_DUES;
	if (judged.dues)
		dues_begin(judged.dues, (struct span){ 0 });
	if (!judged_start(limits))
		return false;
	judged.sent = on_sent;
	judged.received = on_received;
	for (uint32_t i = 0; i < moves->n; i++) {
		act(&moves->at[i]);
		if (i % 8 == 7)
			check_memory();
	}
	if (judged.dues && !judged.bounded)
		judge_dues();
	judged.dues = NULL;		/* who is let go loses nothing */
	judged_end();
	return true;
}

#endif

#include "fuzz/network/player.h"

#include <stdlib.h>

#include "fuzz/network/player_internal.h"

/*
 * Cases are small programs without threads: play_run() goes on with one until a move has to wait, and comes back to that very move whenever anything has happened to the case.
 */

enum { MAX_PACKET = 2 << 20, WORLD_ROOM = 64 << 20, WORLD_SESSIONS = 1 << 14, MOST_PENDING = 64 };

#define HALF_SECOND_NS UINT64_C(500000000)
#define PAUSE_NS UINT64_C(100000)
#define MOMENT_NS UINT64_C(500000)
#define OPENS_NS UINT64_C(1500000000)	/* a SYN that met a full backlog is sent again after a second */

static void *must(void *p)
{
	if (!p)
		abort();	/* out of memory: nothing here can go on without */
	return p;
}

uint8_t *room_for(struct room *room, size_t len)
{
	if (len > room->cap) {
		room->cap = 2 * len;
		free(room->at);
		room->at = must(malloc(room->cap));
	}
	return room->at;
}

/* ---- time ---- */

static uint64_t now_ns(const struct play *p)
{
	return p->player->options.loop->now_ns;
}

/* How long something may still come that need not come: what the target takes to answer, and as much again. */
static uint64_t moment_ns(const struct play *p)
{
	uint64_t moment = MOMENT_NS + 2 * p->player->answer_ns;

	return moment < p->player->options.patience_ns ? moment : p->player->options.patience_ns;
}

/* What has every reason to be closed is waited for longer: few targets leave it open, and it would be seen at one time and at another not. */
static uint64_t moment_of(const struct play *p, const struct client *c)
{
	uint64_t moment = moment_ns(p) * (c->must_end || c->last_sent == UNREADABLE || c->last_sent == DISCONNECT || c->conn.finished ? 8 : 1);

	return moment < p->player->options.patience_ns ? moment : p->player->options.patience_ns;
}

/* A target that lets one wait again and again is not waited for any more. */
static uint64_t patience_ns(const struct play *p)
{
	return p->n_late < MOST_LATE ? p->player->options.patience_ns : moment_ns(p);
}

/* Whether that time has come; if not, the case is woken then. */
static bool is_past(struct play *p, uint64_t deadline_ns)
{
	if (now_ns(p) >= deadline_ns)
		return true;
	loop_timer(p->player->options.loop, &p->timer, deadline_ns);
	return false;
}

static void on_timer(struct timer *timer, struct loop *loop)
{
	(void)loop;
	play_wake((struct play *)((char *)timer - offsetof(struct play, timer)));
}

/* ---- waiting for the target ---- */

static bool waits_for_answer(const struct client *c)
{
	return !c->given_up && steered_waits(&c->steered);
}

/*
 * Whether nothing is expected for this client any more: all that must come has come, and something was heard since it last sent, or somebody else of the case
 * did what may concern it. Else *deadline_ns is until when it may.
 */
static bool has_settled(const struct play *p, const struct client *c, uint64_t *deadline_ns)
{
	uint64_t since_ns = c->active_ns;
	uint32_t at = c->sent_at;

	if (!client_lives(c) || !c->conn.open || !conn_reads(&c->conn))
		return true;
	*deadline_ns = p->wait_ns + patience_ns(p);
	if (waits_for_answer(c))
		return false;
	if (c->has_connected && p->stirred_at > at) {
		at = p->stirred_at;
		since_ns = p->stirred_ns > since_ns ? p->stirred_ns : since_ns;
	}
	if (c->heard_at >= at && !c->must_end)
		return true;
	if (since_ns + moment_of(p, c) < *deadline_ns)
		*deadline_ns = since_ns + moment_of(p, c);
	return false;
}

static void give_up(struct play *p, struct client *c)
{
	c->given_up = true;
	play_answer(p, c, SILENCE, 0);
}

/* Of one client; true: on with the next move. */
static bool await(struct play *p, struct client *c)
{
	uint64_t deadline_ns = 0;

	play_tell_parts(p);
	if (!steered_waits(&c->steered))
		c->given_up = false;
	if (has_settled(p, c, &deadline_ns))
		return true;
	if (!is_past(p, deadline_ns))
		return false;
	if (waits_for_answer(c)) {
		p->played.n_unanswered++;
		p->n_late++;
		give_up(p, c);
	}
	return true;
}

/* Of all of them, when the moves are over. */
static bool await_all(struct play *p)
{
	uint64_t latest_ns = 0;
	bool late = false;

	play_tell_parts(p);
	for (struct client *c = p->clients; c < p->clients + MOVES_CLIENTS; c++) {
		uint64_t deadline_ns;

		if (!has_settled(p, c, &deadline_ns) && deadline_ns > latest_ns)
			latest_ns = deadline_ns;
	}
	if (latest_ns && !is_past(p, latest_ns))
		return false;
	for (struct client *c = p->clients; latest_ns && c < p->clients + MOVES_CLIENTS; c++)
		if (client_lives(c) && c->conn.open && conn_reads(&c->conn) && waits_for_answer(c)) {
			give_up(p, c);
			late = true;
		}
	p->played.n_unanswered += late;
	return true;
}

static void close_client(struct client *c, bool reset)
{
	if (c->pending)
		client_is_heard(c);
	conn_close(&c->conn, reset);
	if (c->play && c->play->judges_dues)
		dues_ended(c->play->dues, number_of(c), DUES_LOST);
}

/* Its connection is open, or there is none (any more); false: not yet. */
static bool has_opened(struct play *p, struct client *c)
{
	if (!client_lives(c) || c->conn.open)
		return true;
	if (!is_past(p, p->wait_ns + (!p->n_late && patience_ns(p) < OPENS_NS ? OPENS_NS : patience_ns(p))))
		return false;
	close_client(c, true);
	p->played.n_refused++;
	p->n_late++;
	return true;
}

/* ---- moves ---- */

static void open_client(struct play *p, struct client *c)
{
	struct player *player = p->player;
	const char who[] = { 'c', (char)('0' + (c - p->clients)), '\0' };

	if (client_lives(c)) {
		close_client(c, true);
		client_stirs(c);
	}
	client_forget_part(c);
	*c = (struct client){ .play = p, .version = MQTT_3_1_1 };
	steered_reset(&c->steered);
	offences_open(&c->offences);
	if (conn_open(&c->conn, player->options.loop, player->options.address, &client_events, &player->limits, player->world, &player->log) < 0) {
		p->played.n_refused++;
		return;
	}
	c->pending = true;
	player->n_pending++;
	if (p->tap)
		conn_tap(&c->conn, p->tap, who);
}

static void send_move(struct play *p, struct client *c, const struct move *move)
{
	if (!move->bytes.len)
		return;
	memcpy(room_for(&p->player->bytes, move->bytes.len), move->bytes.at, move->bytes.len);
	play_did(p, move, move->bytes, false);
	client_send(c, move->bytes.len, move->kind == MOVE_SEND_CUT ? move->value : 0);
}

/* What was made of the client's state has this case's names already. */
void play_sends_made(struct play *p, struct client *c, const struct move *move, const struct writer *w)
{
	struct move did = { .kind = w->len > UINT8_MAX ? MOVE_SEND_LONG : MOVE_SEND, .client = move->client };

	if (!w->len || !wr_fits(w))
		return;
	if (move->kind == MOVE_ANSWER && move->value % N_ANSWERS == ANSWER_RIGHT)
		did = *move;
	play_did(p, &did, wr_span(w), true);
	client_send(c, w->len, 0);
}

static struct writer made_room(struct play *p)
{
	return writer_to(room_for(&p->player->bytes, MOVES_BYTES), MOVES_BYTES);
}

/* What it owes may be on its way. */
static bool answer(struct play *p, struct client *c, const struct move *move)
{
	struct writer w = made_room(p);
	uint64_t deadline_ns;

	if (steered_answer(&c->steered, move->value % N_ANSWERS, &w))
		play_sends_made(p, c, move, &w);
	else if (!has_settled(p, c, &deadline_ns) && !is_past(p, deadline_ns))
		return false;
	return true;
}

static bool wait_for(struct play *p, const struct move *move, uint64_t ns)
{
	if (!is_past(p, p->wait_ns + ns))
		return false;
	play_did(p, move, (struct span){ 0 }, false);
	return true;
}

/* On a connection that is open. False: not done yet. */
static bool move_client(struct play *p, struct client *c, const struct move *move)
{
	struct writer w;

	switch ((enum move_kind)move->kind) {
	case MOVE_SEND:
	case MOVE_SEND_LONG:
	case MOVE_SEND_CUT:
		if (!c->conn.finished)
			send_move(p, c, move);
		return true;
	case MOVE_STEER:
		w = made_room(p);
		if (!c->conn.finished) {
			steered_next(&c->steered, move->value, &w);
			play_sends_made(p, c, move, &w);
		}
		return true;
	case MOVE_ANSWER:
		return c->conn.finished || answer(p, c, move);
	case MOVE_AWAIT:
		if (!await(p, c))
			return false;
		break;
	case MOVE_CLOSE:
		if (c->conn.finished)
			return true;
		conn_finish(&c->conn);
		if (p->judges_dues)
			dues_ended(p->dues, number_of(c), DUES_FINISHED);
		client_stirs(c);
		break;
	case MOVE_STOP_READING:
		conn_read_rate(&c->conn, 0);
		break;
	case MOVE_READ:
		conn_read_rate(&c->conn, UINT64_MAX);
		break;
	default:
		return true;
	}
	play_did(p, move, (struct span){ 0 }, false);
	return true;
}

static bool make_move(struct play *p, const struct move *move)
{
	struct client *c = &p->clients[move->client % MOVES_CLIENTS];
	uint64_t longest_ns = p->player->options.longest_wait_ns, ns = move->value * HALF_SECOND_NS;

	switch ((enum move_kind)move->kind) {
	case MOVE_WAIT:
		return wait_for(p, move, ns < longest_ns ? ns : longest_ns);
	case MOVE_PAUSE:
		return wait_for(p, move, move->value * PAUSE_NS);
	case MOVE_OPEN:
		/* more than the backlogs of most take are only dropped there */
		if (p->player->n_pending >= MOST_PENDING && !is_past(p, p->wait_ns + moment_ns(p)))
			return false;
		play_did(p, move, (struct span){ 0 }, false);
		open_client(p, c);
		return true;
	case MOVE_DROP:
		if (client_lives(c)) {
			play_did(p, move, (struct span){ 0 }, false);
			close_client(c, true);
			client_stirs(c);
		}
		return true;
	default:
		if (!has_opened(p, c))
			return false;
		return !client_lives(c) || move_client(p, c, move);
	}
}

/* ---- cases ---- */

static void forget_sessions(struct play *p)
{
	for (unsigned i = 0; i < p->n_ids; i++)
		monitor_world_forget(p->player->world, span_of(p->ids[i].at, p->ids[i].len));
	p->n_ids = 0;
}

/* Drops what is open. What it is stays as it is. */
static void release(struct play *p)
{
	struct player *player = p->player;

	loop_timer_stop(player->options.loop, &p->timer);
	for (struct client *c = p->clients; c < p->clients + MOVES_CLIENTS; c++) {
		close_client(c, !c->conn.finished);
		client_forget_part(c);
	}
	forget_sessions(p);
	player->n_held -= p->held;
	p->held = false;
	if (p->prev)
		p->prev->next = p->next;
	else
		player->busy = p->next;
	if (p->next)
		p->next->prev = p->prev;
	player->n_busy--;
}

static void put_by(struct player *player, struct play *p)
{
	p->next = player->idle;
	player->idle = p;
}

static void free_play(struct play *p)
{
	dues_free(p->dues);
	free(p);
}

static void finish(struct play *p)
{
	struct player *player = p->player;

	p->played.took_ns = now_ns(p) - p->begun_ns;
	release(p);
	p->done(p->context, &p->played);
	if (player->closed)
		free_play(p);
	else
		put_by(player, p);
}

bool client_serves(const struct client *c)
{
	return client_lives(c) && c->conn.open && !c->conn.finished && conn_reads(&c->conn) && c->steered.connected && !c->part && !c->astray && !c->given_up;
}

void play_pings(struct client *c)
{
	memcpy(room_for(&c->play->player->bytes, 2), "\xc0", 2);
	client_send(c, 2, 0);
}

/*
 * Before they are dropped the connections are asked whether all that was sent to them has come: the answer to a ping stands behind it. Where there are several, once more: what the
 * first pings waited behind has been sent on to the others by then. So what the last move leads to, for whomever, is seen however slow the target is.
 */
static bool ping_all(struct play *p)
{
	unsigned n = 0;

	for (struct client *c = p->clients; p->n_pinged < 2 && c < p->clients + MOVES_CLIENTS; c++) {
		if (!client_serves(c) || (!p->n_pinged && c->last_sent == PINGREQ && c->heard_at >= p->clock))
			continue;
		play_pings(c);
		n++;
	}
	p->n_pinged += n > 1 ? 1 : 2;
	return n;
}

/* What the moves have led to has come. False: not yet. */
static bool is_over(struct play *p)
{
	uint64_t deadline_ns;

	while (p->pinged_all && !play_offences_settled(p, &deadline_ns))
		if (!is_past(p, deadline_ns))
			return false;
	if (p->pinged_all)
		return true;
	if (!p->n_pinged || !p->judges_dues)
		return await_all(p);
	while (!play_dues_settled(p, &deadline_ns))
		if (!is_past(p, deadline_ns))
			return false;
	return true;
}

/* Its moves are over, and it is not to end yet. */
static bool holds(struct play *p)
{
	struct player *player = p->player;

	if (p->held == player->holds)
		return p->held;
	p->held = player->holds;
	p->waiting = false;
	if (p->held) {
		player->n_held++;
		play_tell_parts(p);
	} else {
		player->n_held--;
	}
	return p->held;
}

static void play_run(struct play *p)
{
	for (;;) {
		bool over = p->at >= p->moves->n;

		if (over && !p->n_pinged && holds(p))
			return;
		if (!p->waiting)
			p->wait_ns = now_ns(p);
		p->waiting = over ? !is_over(p) : !make_move(p, &p->moves->at[p->at]);
		if (p->waiting) {
			play_tell_parts(p);
			return;
		}
		if (!over)
			p->at++;
		else if (p->pinged_all)
			break;
		else
			p->pinged_all = !ping_all(p);
	}
	finish(p);
}

void play_wake(struct play *p)
{
	struct player *player = p->player;

	if (p->queued)
		return;
	p->queued = true;
	p->next_ready = NULL;
	*player->last_ready = p;
	player->last_ready = &p->next_ready;
	player->n_ready++;
	loop_post(player->options.loop, &player->task);
}

/* Those that were woken up to now; what their owners do in done() may add to them, or end all. */
static void run_ready(struct task *task, struct loop *loop)
{
	struct player *player = (struct player *)((char *)task - offsetof(struct player, task));

	(void)loop;
	for (size_t n = player->n_ready; n && player->ready; n--) {
		struct play *p = player->ready;

		player->ready = p->next_ready;
		if (!player->ready)
			player->last_ready = &player->ready;
		player->n_ready--;
		p->queued = false;
		play_run(p);
	}
	if (player->ready)
		loop_post(player->options.loop, &player->task);
}

static struct play *new_play(struct player *player)
{
	struct play *p = player->idle;

	if (p)
		player->idle = p->next;
	else
		p = must(calloc(1, sizeof(*p)));
	p->player = player;
	p->timer.fire = on_timer;
	p->at = p->clock = p->stirred_at = 0;
	p->n_late = p->last_client = 0;
	p->waiting = p->asked_last = false;
	p->n_pinged = 0;
	p->pinged_all = false;
	p->owed_since_ns = 0;
	p->accused = NULL;
	memset(&p->played, 0, offsetof(struct played, symptom));
	p->played.symptom.oracle = ORACLE_NONE;
	p->played.symptom.bucket[0] = p->played.symptom.text[0] = p->played.symptom.clause[0] = p->played.symptom.detail[0] = '\0';
	return p;
}

void player_play(struct player *player, const struct moves *moves, uint64_t number, struct tap *tap, struct moves *did,
                 void (*done)(void *context, const struct played *played), void *context)
{
	struct play *p = new_play(player);

	p->moves = moves;
	p->tap = tap;
	p->did = did;
	p->done = done;
	p->context = context;
	p->played.number = number;
	p->begun_ns = now_ns(p);
	moves_name(p->name, number);
	p->judges_dues = player->options.owed_ns != 0;
	if (p->judges_dues) {
		p->dues = must(p->dues ? p->dues : dues_new());
		dues_begin(p->dues, span_of(p->name, MOVES_NAME_LEN));
	}
	if (did)
		did->n = did->used = 0;
	p->prev = NULL;
	p->next = player->busy;
	if (p->next)
		p->next->prev = p;
	player->busy = p;
	player->n_busy++;
	play_wake(p);
}

/* ---- players ---- */

static void reap_player(struct task *task, struct loop *loop)
{
	(void)loop;
	free((char *)task - offsetof(struct player, reaper));
}

struct player *player_new(const struct player_options *options)
{
	struct player *player = must(calloc(1, sizeof(*player)));

	player->options = *options;
	player->world = must(monitor_world_new());
	monitor_world_bound(player->world, WORLD_ROOM, WORLD_SESSIONS);
	player->log.violated = play_violated;
	player->log.owner = player;
	player->limits = (struct conn_limits){ .max_packet = MAX_PACKET, .secret = options->password };
	player->task.run = run_ready;
	player->reaper.run = reap_player;
	player->last_ready = &player->ready;
	player->answer_ns = options->patience_ns / 16;
	return player;
}

void player_abandon(struct player *player)
{
	while (player->busy) {
		struct play *p = player->busy;

		release(p);
		p->queued = false;
		put_by(player, p);
	}
	player->ready = NULL;
	player->last_ready = &player->ready;
	player->n_ready = 0;
}

void player_free(struct player *player)
{
	if (!player)
		return;
	player_abandon(player);
	while (player->idle) {
		struct play *p = player->idle;

		player->idle = p->next;
		free_play(p);
	}
	monitor_world_free(player->world);
	free(player->bytes.at);
	free(player->dressed.at);
	player->closed = true;
	loop_reap(player->options.loop, &player->reaper);	/* its task may be posted, or be running just now */
}

void player_patience(struct player *player, uint64_t patience_ns)
{
	player->options.patience_ns = patience_ns;
}

void player_address(struct player *player, const struct address *address)
{
	player->options.address = address;
}

size_t player_busy(const struct player *player)
{
	return player->n_busy;
}

void player_hold(struct player *player, bool holds)
{
	player->holds = holds;
	for (struct play *p = player->busy; p && !holds; p = p->next)
		if (p->held)
			play_wake(p);
}

size_t player_held(const struct player *player)
{
	return player->n_held;
}

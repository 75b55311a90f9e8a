#include "harness/load/leftovers.h"

#include <stdio.h>
#include <stdlib.h>

#include "harness/hello.h"

enum { AT_ONCE = 64, MAX_TOPICS = 100000, MAX_PACKET = 16 << 20 };
#define PATIENCE_NS 10000000000u
#define QUIET_NS 100000000u		/* so long no retained message must have come before the last of them is believed to have */

struct sweeper;

struct broom {				/* a connection that clears one thing away */
	struct link link;		/* first */
	struct sweeper *sweeper;
	bool busy;
	enum { SWEEPS_SESSION, ASKS_RETAINED, TAKES_RETAINED } what;
};

struct sweeper {
	struct run *run;
	struct loop *loop;
	struct link_hub hub;
	struct monitor_log log;
	struct broom brooms[AT_ONCE];
	struct task more;
	struct timer timer, quiet;
	unsigned worker, n_busy;
	uint32_t client;		/* of that worker, who is next */
	uint64_t n_failed, n_unknown, n_left_over;
	bool sessions_done, retained_done, timed_out;
	struct region region;
	struct span *topics;		/* that hold retained messages */
	size_t n_topics, n_cleared;
};

static void ignore(void *owner, struct monitor *monitor, const struct violation *violation)
{
	(void)owner, (void)monitor, (void)violation;
}

/* ---- sending ---- */

static bool send_packet(struct broom *b, const struct packet *p)
{
	struct writer w = writer_to(NULL, 0);
	uint8_t *room;

	if (encode(p, NULL, &w) != CODEC_OK || !(room = link_room(&b->link, w.len)))
		return false;
	size_t len = w.len;
	w = writer_to(room, len);
	encode(p, NULL, &w);
	monitor_sent(&b->link.monitor, room, len, p);
	link_commit(&b->link, len);
	return true;
}

static bool send_plain(struct broom *b, enum packet_type type)
{
	return send_packet(b, &(struct packet){ .version = b->sweeper->run->o->plan->script->version, .type = (uint8_t)type });
}

static void subscribe(struct broom *b)
{
	const struct plan *plan = b->sweeper->run->o->plan;
	uint8_t bytes[64];
	struct writer w = writer_to(bytes, sizeof(bytes));
	char filter[20];

	snprintf(filter, sizeof(filter), "%.16s/#", plan->name);
	wr_binary(&w, span_text(filter));
	wr_u8(&w, 0);
	send_packet(b, &(struct packet){ .version = plan->script->version, .type = SUBSCRIBE, .flags = 2, .packet_id = 1, .list = span_of(bytes, w.len) });
	send_plain(b, PINGREQ);
}

/* As many as there is room for; room() goes on. */
static void clear_topics(struct broom *b)
{
	struct sweeper *s = b->sweeper;

	for (; s->n_cleared < s->n_topics; s->n_cleared++)
		if (!send_packet(b, &(struct packet){ .version = s->run->o->plan->script->version, .type = PUBLISH, .flags = PUBLISH_RETAIN, .topic = s->topics[s->n_cleared] }))
			return;
	if (s->n_cleared == s->n_topics) {
		s->n_cleared++;		/* once */
		send_plain(b, PINGREQ);	/* its answer says that all before it is done */
	}
}

/* ---- what comes ---- */

static void done(struct broom *b)
{
	struct sweeper *s = b->sweeper;

	if (!b->busy)
		return;
	b->busy = false;
	s->n_busy--;
	if (b->what != SWEEPS_SESSION) {
		loop_timer_stop(s->loop, &s->quiet);
		s->retained_done = true;
	}
	loop_post(s->loop, &s->more);
}

static void leave(struct broom *b)
{
	send_plain(b, DISCONNECT);
	link_finish(&b->link);
}

static void on_retained(struct broom *b, const struct packet *p)
{
	struct sweeper *s = b->sweeper;

	loop_timer(s->loop, &s->quiet, s->loop->now_ns + QUIET_NS);
	if (!(p->flags & PUBLISH_RETAIN) || !p->topic.len)
		return;
	if (s->n_topics == MAX_TOPICS) {
		s->n_left_over++;
		return;
	}
	if (!s->topics && !(s->topics = malloc(MAX_TOPICS * sizeof(*s->topics))))
		abort();
	s->topics[s->n_topics++] = region_copy(&s->region, p->topic);
}

static void on_packet(struct link *link, const uint8_t *bytes, size_t len, const struct packet *p)
{
	struct broom *b = (struct broom *)link;

	(void)bytes, (void)len;
	if (!p)
		return;
	if (p->type == CONNACK && p->reason) {
		b->sweeper->n_failed++;
		link_close(link, false);
		done(b);
	} else if (p->type == CONNACK && b->what == SWEEPS_SESSION) {
		leave(b);
	} else if (p->type == CONNACK) {
		subscribe(b);
	} else if (p->type == PUBLISH && b->what == ASKS_RETAINED) {
		on_retained(b, p);
	} else if (p->type == PINGRESP && b->what == ASKS_RETAINED) {
		loop_timer(b->sweeper->loop, &b->sweeper->quiet, b->sweeper->loop->now_ns + QUIET_NS);
	} else if (p->type == PINGRESP && b->what == TAKES_RETAINED) {
		leave(b);
	}
}

static void on_quiet(struct timer *timer, struct loop *loop)
{
	struct sweeper *s = (struct sweeper *)((char *)timer - offsetof(struct sweeper, quiet));

	(void)loop;
	for (unsigned i = 0; i < AT_ONCE; i++)
		if (s->brooms[i].busy && s->brooms[i].what == ASKS_RETAINED) {
			s->brooms[i].what = TAKES_RETAINED;
			clear_topics(&s->brooms[i]);
		}
}

static void on_ended(struct link *link, enum link_end how)
{
	struct broom *b = (struct broom *)link;

	b->sweeper->n_failed += how == LINK_REFUSED;
	done(b);
}

static void on_room(struct link *link)
{
	struct broom *b = (struct broom *)link;

	if (b->what == TAKES_RETAINED)
		clear_topics(b);
}

static void on_opened(struct link *link) { (void)link; }

static const struct link_events events = { on_opened, on_packet, on_ended, on_room };

/* ---- one after the other ---- */

static void begin(struct broom *b, const struct packet *connect)
{
	struct sweeper *s = b->sweeper;

	b->busy = true;
	s->n_busy++;
	link_open(&b->link, &s->hub, s->run->o->address, &s->log);
	send_packet(b, connect);
}

/* The next client that may have left a session; false: there is none. */
static bool next_session(struct sweeper *s, struct packet *connect)
{
	for (; s->worker < s->run->n_workers; s->worker++, s->client = 0) {
		struct engine *engine = s->run->workers[s->worker].engine;

		while (s->client < engine_clients(engine)) {
			enum left left = engine_left(engine, s->client++, connect);

			s->n_unknown += left == LEFT_UNKNOWN;
			if (left == LEFT_SESSION)
				return true;
		}
	}
	return false;
}

static void on_more(struct task *task, struct loop *loop)
{
	struct sweeper *s = (struct sweeper *)((char *)task - offsetof(struct sweeper, more));
	struct packet connect;

	for (unsigned i = 0; i < AT_ONCE && !s->sessions_done && !s->timed_out; i++) {
		if (s->brooms[i].busy)
			continue;
		if (next_session(s, &connect)) {
			s->brooms[i].what = SWEEPS_SESSION;
			begin(&s->brooms[i], &connect);
		} else {
			s->sessions_done = true;
		}
	}
	if (s->sessions_done && !s->retained_done && !s->n_busy) {
		const struct plan *plan = s->run->o->plan;
		struct writer w = writer_to(NULL, 0);
		char id[40];

		snprintf(id, sizeof(id), "%.16sSweep", plan->name);
		hello((enum version)plan->script->version, span_text(id), plan->user_name, plan->password, &connect, &w);
		s->brooms[0].what = ASKS_RETAINED;
		begin(&s->brooms[0], &connect);
	}
	if (!s->n_busy)
		loop_stop(loop);
}

static void on_time(struct timer *timer, struct loop *loop)
{
	struct sweeper *s = (struct sweeper *)((char *)timer - offsetof(struct sweeper, timer));

	s->timed_out = true;
	loop_stop(loop);
}

/* ---- what there may be ---- */

static bool is_own_topic(const struct expr *topic)
{
	return topic->kind == EXPR_TOPIC || (topic->kind == EXPR_TEMPLATE && topic->n_items && topic->items[0]->kind == EXPR_TOPIC);
}

/* Bits: 1, messages are retained below $topic; 2, elsewhere. */
static unsigned retains(const struct step *steps)
{
	unsigned found = 0;

	for (const struct step *s = steps; s; s = s->next) {
		const struct expr *topic = NULL;
		bool retain = false;

		for (uint32_t i = 0; i < s->n_assigns && (s->kind == STEP_PUBLISHES || s->kind == STEP_SEND); i++) {
			const struct assign *a = &s->assigns[i];

			if (a->field && !strcmp(a->field->name, "retain") && !(a->value && a->value->kind == EXPR_NUMBER && !a->value->number))
				retain = true;
			if (a->field && !strcmp(a->field->name, "topic"))
				topic = a->value;
		}
		if (retain)
			found |= !topic || is_own_topic(topic) ? 1 : 2;
		found |= retains(s->children);
	}
	return found;
}

static void tell_rest(struct sweeper *s, unsigned retained)
{
	struct figures *f = s->run->figures;

	if (s->timed_out || s->n_failed)
		figures_note(f, "not everything that the run left in the broker could be removed: some sessions or retained messages stay");
	if (s->n_unknown)
		figures_note(f, "sessions whose client ids depended on what happened stay in the broker");
	if (retained & 2)
		figures_note(f, "retained messages on topics that do not begin with $topic stay in the broker");
	if (s->n_left_over)
		figures_note(f, figures_say(f, "%llu retained messages stay in the broker, beyond the first %d", (unsigned long long)s->n_left_over, MAX_TOPICS));
}

void clear_leftovers(struct run *r)
{
	struct sweeper *s = calloc(1, sizeof(*s));
	unsigned retained = 0;

	if (!s)
		abort();
	for (uint32_t i = 0; i < r->o->plan->n_roles; i++)
		retained |= retains(r->o->plan->roles[i].role->steps);
	*s = (struct sweeper){
		.run = r, .loop = r->o->loop, .log.violated = ignore, .more.run = on_more, .timer.fire = on_time, .quiet.fire = on_quiet, .retained_done = !(retained & 1),
		.hub = { .loop = r->o->loop, .events = &events, .max_packet = MAX_PACKET, .sources = r->o->sources, .n_sources = r->o->n_sources },
	};
	s->hub.pool = pool_new();
	if (!(s->hub.world = monitor_world_new()))
		abort();
	link_hub_init(&s->hub);
	for (unsigned i = 0; i < AT_ONCE; i++)
		s->brooms[i].sweeper = s;
	loop_timer(s->loop, &s->timer, s->loop->now_ns + PATIENCE_NS);
	loop_post(s->loop, &s->more);
	while ((!s->sessions_done || !s->retained_done || s->n_busy) && !s->timed_out && !run_interrupted_again(r))
		if (!loop_run(s->loop))
			break;
	loop_timer_stop(s->loop, &s->timer);
	loop_timer_stop(s->loop, &s->quiet);
	for (unsigned i = 0; i < AT_ONCE; i++)
		link_close(&s->brooms[i].link, true);
	loop_settle(s->loop);
	tell_rest(s, retained);
	link_hub_release(&s->hub);
	monitor_world_free(s->hub.world);
	pool_free(s->hub.pool);
	region_release(&s->region);
	free(s->topics);
	free(s);
}

#ifndef LOAD_LONE_CLIENT_H
#define LOAD_LONE_CLIENT_H

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "harness/load/client.h"

/* One client of a workload without the rest of an engine: its link is a piece of memory. For tests and benchmarks. */

struct lone {
	struct engine engine;			/* first */
	struct plan plan;
	struct plan_role roles[4];
	struct role_code codes[4];
	struct tally tallies[4];
	struct client clients[4];
	struct loop loop;
	struct scenario *scenario;
	uint8_t scratch[1 << 16];
};

struct lone_seen {
	uint8_t room[1 << 17];
	size_t len;			/* of what was committed last */
	bool full;			/* link_room() has none */
	char stopped[300];		/* why client_stop() was called; "" */
	unsigned stamps, echoes, streams;
	char topic[80];			/* of the last stream or echo */
};
extern struct lone_seen lone_seen;

/* The stand-ins, once in each program. */
#define LONE_CLIENT \
struct lone_seen lone_seen; \
uint8_t *link_room(struct link *link, size_t len) { (void)link; return lone_seen.full || len > sizeof(lone_seen.room) ? NULL : lone_seen.room; } \
void link_commit(struct link *link, size_t len) { (void)link; lone_seen.len = len; } \
void client_stop(struct client *c, const struct step *step, bool judged, const char *format, ...) \
{ \
	va_list args; \
	size_t at = (size_t)snprintf(lone_seen.stopped, sizeof(lone_seen.stopped), "line %u: ", step ? step->at.line : 0); \
	(void)c; (void)judged; \
	va_start(args, format); \
	vsnprintf(lone_seen.stopped + at, sizeof(lone_seen.stopped) - at, format, args); \
	va_end(args); \
}

/* Connected, by the version of the workload's first role, to a server that limits nothing. */
static inline void lone_connect(struct client *c, struct monitor_world *world, enum version version, uint8_t id)
{
	uint8_t connect[] = { 0x10, 13, 0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0, 60, 0, 1, id };
	uint8_t connect_5[] = { 0x10, 14, 0, 4, 'M', 'Q', 'T', 'T', 5, 2, 0, 60, 0, 0, 1, id };
	uint8_t connack[] = { 0x20, 2, 0, 0 }, connack_5[] = { 0x20, 3, 0, 0, 0 };
	bool is_5 = version == MQTT_5;
	struct packet packet;
	struct finding finding;
	struct frame frame;

	monitor_open(&c->link.monitor, world, NULL);
	if (is_5) {
		decode(connect_5, sizeof(connect_5), version, &packet, &finding);
		monitor_sent(&c->link.monitor, connect_5, sizeof(connect_5), &packet);
		frame_next(connack_5, 5, &frame, &finding);
		monitor_received(&c->link.monitor, connack_5, 5, &frame, &packet);
	} else {
		decode(connect, sizeof(connect), version, &packet, &finding);
		monitor_sent(&c->link.monitor, connect, sizeof(connect), &packet);
		frame_next(connack, 4, &frame, &finding);
		monitor_received(&c->link.monitor, connack, 4, &frame, &packet);
	}
	assert(!monitor_is_lenient(&c->link.monitor));
}

/* All clients play the first role; the others are there to be picked from. Each role has a hundred. */
static inline struct lone *lone_new(const char *text)
{
	struct lone *l = calloc(1, sizeof(*l));
	struct engine *e = &l->engine;
	static struct diagnostics d;

	if (!l)
		abort();
	d = (struct diagnostics){ 0 };
	l->scenario = scenario_parse("test.scn", span_text(text), NULL, 0, &d);
	for (uint32_t i = 0; i < d.n && !l->scenario; i++)
		fprintf(stderr, "%u:%u: %s\n", d.list[i].at.line, d.list[i].at.column, d.list[i].text);
	assert(l->scenario);
	l->plan = (struct plan){ .script = &l->scenario->scripts[0], .roles = l->roles, .n_roles = l->scenario->scripts[0].n_roles, .name = "run7" };
	e->options.plan = &l->plan;
	e->options.run = 99;
	e->loop = &l->loop;
	e->roles = l->codes;
	e->n_roles = l->plan.n_roles;
	e->clients = l->clients;
	e->n_clients = 4;
	e->random = 1;
	e->start_ns = 1000000000;
	l->loop.now_ns = 2000000000;
	arena_init(&e->scratch, l->scratch, sizeof(l->scratch));
	e->world = monitor_world_new();
	e->pool = pool_new();
	for (uint32_t i = 0; i < l->plan.n_roles; i++) {
		l->roles[i] = (struct plan_role){ .role = &l->plan.script->roles[i], .n = 100, .first = 0, .end = 100 };
		l->codes[i] = (struct role_code){
			.plan = &l->roles[i], .role = l->roles[i].role, .now = &l->tallies[i], .tally = &l->tallies[i],
			.max_depth = 8, .n_slots = l->plan.script->n_slots,
		};
	}
	for (uint32_t i = 0; i < 4; i++) {
		l->clients[i].engine = e;
		l->clients[i].number = i ? 40 + i : 7;
		l->clients[i].due_ns = 999000000;
		lone_connect(&l->clients[i], e->world, (enum version)l->plan.script->actors[0].version, (uint8_t)('a' + i));
	}
	e->posts = posts_new(e);
	memset(&lone_seen, 0, sizeof(lone_seen));
	return l;
}

/* Returns how much of its pool was not given back. */
static inline size_t lone_free(struct lone *l)
{
	size_t left;

	for (uint32_t i = 0; i < 4; i++) {
		registers_free(&l->clients[i]);
		monitor_close(&l->clients[i].link.monitor);
	}
	for (uint32_t i = 0; i < l->plan.n_roles; i++)
		tally_release(&l->tallies[i]);
	posts_free(l->engine.posts);
	left = pool_in_use(l->engine.pool);
	pool_free(l->engine.pool);
	monitor_world_free(l->engine.world);
	scenario_free(l->scenario);
	free(l);
	return left;
}

/* The n-th step of the first role, from 0. */
static inline const struct step *lone_step(const struct lone *l, unsigned n)
{
	const struct step *s = l->roles[0].role->steps;

	while (n--)
		s = s->next;
	return s;
}

#endif

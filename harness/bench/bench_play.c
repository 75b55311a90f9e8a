#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>

#include "codec/bench/bench.h"
#include "harness/play.h"

/* What the engine costs: a step, an exchange over a pipe in memory, and a client that does nothing. */

enum { STEPS = 60000, CLIENTS = 2000 };

/* ---- a peer that answers CONNECT and PINGREQ and keeps nothing ---- */

static void on_event(struct transport *t, unsigned events)
{
	static const uint8_t connack[] = { 0x20, 2, 0, 0 }, pingresp[] = { 0xd0, 0 };
	uint8_t in[4096];
	ssize_t n;

	if (!(events & TRANSPORT_READABLE))
		return;
	while ((n = t->ops->recv(t, in, sizeof(in))) > 0)
		for (size_t at = 0; at < (size_t)n; at += in[at + 1] + 2u) {	/* our packets are short, and come whole */
			if (in[at] >> 4 == CONNECT)
				t->ops->send(t, connack, sizeof(connack));
			else
				t->ops->send(t, pingresp, sizeof(pingresp));
		}
	if (n != -EAGAIN)
		t->ops->close(t, false);
}

static void accepted(struct service *service, struct transport *t)
{
	(void)service;
	t->event = on_event;
}

/* ---- the stage ---- */

static struct loop loop;
static struct service service = { .accepted = accepted };
static struct address address = { .kind = ADDRESS_MEMORY, .service = &service };
static struct arena scratch;
static struct monitor_log shared_log;
static struct stage stage = {
	.loop = &loop, .address = &address, .limits.max_packet = 1 << 20, .timeout_ns = 5000000000u, .slack = 1, .patience = 1,
	.scratch = &scratch,
};

static unsigned n_ended;

static void on_ended(struct timeline *t, void *owner)
{
	(void)t, (void)owner;
	n_ended++;
}

static struct scenario *parse(const char *text)
{
	static struct diagnostics found;
	struct scenario *s = scenario_parse("bench.scn", span_text(text), NULL, 0, &found);

	if (!s) {
		fprintf(stderr, "%u:%u: %s\n", found.list[0].at.line, found.list[0].at.column, found.list[0].text);
		exit(1);
	}
	return s;
}

static void play_once(const char *what, const char *text, double steps)
{
	struct scenario *s = parse(text);
	struct result result;
	struct timeline *t;

	result_init(&result, loop.now_ns);
	t = timeline_new(&stage, s->scripts, "bench", 1, &result, on_ended, NULL);
	double from = bench_ns();
	timeline_start(t);
	loop_run(&loop);
	double took = bench_ns() - from;
	bench_figure(what, took / steps, "ns", result.verdict == VERDICT_PASS ? NULL : "(it did not pass: %s)", result.reason);
	timeline_free(t);
	loop_settle(&loop);
	result_release(&result);
	scenario_free(s);
}

static void idle_clients(void)
{
	static struct timeline *clients[CLIENTS];
	static struct result results[CLIENTS];
	struct scenario *s = parse("scenario \"idle\"\nmqtt 3.1.1\ncites 3.1.1 MQTT-3.12.4-1\na connects\na -> PINGREQ\na <- PINGRESP\nwait 1h\n");
	size_t before = mallinfo2().uordblks;

	stage.log = &shared_log;
	for (unsigned i = 0; i < CLIENTS; i++) {
		char name[24];

		snprintf(name, sizeof(name), "idle%u", i);
		result_init(&results[i], loop.now_ns);
		clients[i] = timeline_new(&stage, s->scripts, name, i, &results[i], on_ended, NULL);
		timeline_start(clients[i]);
	}
	loop_settle(&loop);	/* time stands still, and all of them wait for their hour to pass */
	double each = (double)(mallinfo2().uordblks - before) / CLIENTS;
	bench_figure("idle client, with its end of a pipe in memory", each, "bytes",
	             "(timeline %zu, actor %zu of which connection %zu and monitor %zu)",
	             sizeof(struct timeline), sizeof(struct actor_state), sizeof(struct conn), sizeof(struct monitor));
	for (unsigned i = 0; i < CLIENTS; i++) {
		timeline_free(clients[i]);
		result_release(&results[i]);
	}
	loop_settle(&loop);
	scenario_free(s);
	stage.log = NULL;
}

int main(void)
{
	char text[400];

	if (loop_init(&loop, true))
		return 1;
	arena_init(&scratch, malloc(SCRATCH_SIZE), SCRATCH_SIZE);
	stage.packet = malloc(SCRATCH_SIZE);
	stage.packet_size = SCRATCH_SIZE;
	stage.world = monitor_world_new();

	snprintf(text, sizeof(text), "scenario \"steps\"\nmqtt 3.1.1\ncites 3.1.1 MQTT-3.12.4-1\nrepeat %d { note \"x\" }\na connects\na -> PINGREQ\na <- PINGRESP\n", STEPS);
	play_once("step of a script, control alone", text, STEPS);
	snprintf(text, sizeof(text), "scenario \"steps\"\nmqtt 3.1.1\ncites 3.1.1 MQTT-3.12.4-1\na connects\nrepeat %d { a -> PINGREQ; a <- PINGRESP }\n", STEPS);
	play_once("step that sends or awaits a packet, over memory, monitored", text, 2.0 * STEPS);
	idle_clients();
	monitor_world_free(stage.world);
	loop_release(&loop);
	free(scratch.base);
	free(stage.packet);
	return 0;
}

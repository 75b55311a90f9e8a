#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness/load/reckon.h"
#include "harness/load/engine.h"
#include "reference-broker/local.h"

/* Whole workloads, played by the load engine against the reference broker: in memory and on simulated time, so that every count is exact. */

#define S UINT64_C(1000000000)
#define MAX_ENGINES 4

static char folder[] = "/tmp/engine-XXXXXX";

struct row {
	const char *name, *text;	/* behind the version */
	const char *expected;		/* "role.counter=n ..."; `reason:TEXT` is found among the reasons, _ for a blank; `why:TEXT` ended it; `loss:CAUSE=n` were lost by it */
	const char *fault;		/* of the broker; NULL: none */
	const char *broker;		/* its options; NULL: the usual */
	unsigned for_s;			/* 0: as long as somebody has something to do */
	enum version version;		/* 0: 5 */
	unsigned engines;		/* 0: one */
	unsigned shards;		/* 0: one; else all of them are played, one after the other, and added up */
	const char *fleet;		/* what stands in fleet.csv */
	bool needs_denial;		/* the broker denies locked/# */
	unsigned drain_ms;		/* 0: 2 s */
	unsigned halted_ms;		/* when its loop is left; 0: at its end */
	bool freezes;			/* from second 3 to 4 nothing comes through, either way */
};

struct played {
	struct scenario *scenario;
	struct tally tallies[8];
	uint64_t held_to[8];		/* by role: engine_held_to() */
	char why[300];
	char reasons[20000];
	struct reckoning *reckoning;
};

struct run {
	struct loop *loop;
	struct engine *engines[MAX_ENGINES];
	unsigned n, n_idle;
};

static void on_idle(struct engine *engine, void *context)
{
	struct run *run = context;

	(void)engine;
	if (++run->n_idle == run->n)
		loop_stop(run->loop);
}

static struct scenario *parse(const struct row *row, enum version version)
{
	static struct diagnostics found;
	char text[8000];

	snprintf(text, sizeof(text), "workload \"w\"\nmqtt %s\n%s", version == MQTT_5 ? "5" : version == MQTT_3_1_1 ? "3.1.1" : "3.1", row->text);
	struct scenario *s = scenario_parse("w.scn", span_text(text), NULL, 0, &found);
	if (!s)
		fail_msg("%u:%u: %s", found.list[0].at.line, found.list[0].at.column, found.list[0].text);
	return s;
}

static struct plan plan_for(const struct row *row, unsigned shard)
{
	return (struct plan){
		.name = "w", .seed = 7, .shard = shard, .n_shards = row->shards ? row->shards : 1, .for_ns = row->for_s * S, .drain_ns = row->drain_ms ? row->drain_ms * (S / 1000) : 2 * S,
		.timeout_ns = 5 * S, .meet_patience_ns = 10 * S,
	};
}

static void note_reasons(struct played *played, const struct reason *r)
{
	for (; r; r = r->next) {
		size_t at = strlen(played->reasons);

		snprintf(played->reasons + at, sizeof(played->reasons) - at, "%s\n", r->text);
	}
}

static void gather(struct played *played, struct run *run, struct audience *audience, uint32_t n_roles)
{
	struct ledger *ledgers[MAX_ENGINES];
	struct broker_drops drops = { 0 };

	for (unsigned i = 0; i < run->n; i++) {
		struct second *s, *next;

		ledgers[i] = engine_ledger(run->engines[i]);
		for (uint32_t r = 0; r < n_roles; r++)
			tally_add(&played->tallies[r], &engine_tallies(run->engines[i])[r]);
		for (uint32_t r = 0; r < n_roles; r++)
			played->held_to[r] = engine_held_to(run->engines[i], r);
		note_reasons(played, engine_reasons(run->engines[i]));
		for (s = engine_seconds(run->engines[i]); s; s = next) {
			next = s->next;
			second_free(s, n_roles);
		}
	}
	reckoning_free(played->reckoning);
	played->reckoning = reckon(ledgers, run->n, audience, &drops, played->tallies, n_roles);
}

struct freeze {
	struct timer timer;
	struct service *service;
};

static void on_freeze(struct timer *timer, struct loop *loop)
{
	struct freeze *f = (struct freeze *)((char *)timer - offsetof(struct freeze, timer));

	if (f->service->options.delay_ns == S) {
		f->service->options.delay_ns = 1;
		return;
	}
	f->service->options.delay_ns = S;
	loop_timer(loop, timer, loop->now_ns + S);
}

static void on_halt(struct timer *timer, struct loop *loop)
{
	(void)timer;
	loop_stop(loop);
}

static void play_shard(const struct row *row, unsigned shard, struct played *played)
{
	struct plan plan = plan_for(row, shard);
	struct fault fault;
	struct loop loop;
	struct local_service service = { 0 };
	struct address address = { .kind = ADDRESS_MEMORY };
	struct run run = { .loop = &loop, .n = row->engines ? row->engines : 1 };
	unsigned faults[8];
	const char *why = NULL;
	int n_faults = row->fault ? reference_broker.faults_named(row->fault, faults, 8) : 0;

	assert_true(n_faults > 0 || !row->fault);
	assert_int_equal(reference_broker.configure(row->broker), 0);
	assert_int_equal(loop_init(&loop, true), 0);
	const struct need denial = { .name = "denied_publish", .text = "denied_publish", .op = PATTERN_PRESENT };
	void *broker = reference_broker.start(&loop, &denial, row->needs_denial, faults, (size_t)n_faults, 1, &service, &why);
	assert_non_null(broker);
	address.service = service.services[WAY_TCP];
	if (!plan_make(&plan, played->scenario->scripts, row->fleet ? folder : NULL, &fault))
		fail_msg("%u:%u: %s", fault.line, fault.column, fault.text);
	struct freeze freeze = { .timer.fire = on_freeze, .service = address.service };
	if (row->freezes) {
		address.service->options.delay_ns = 1;
		loop_timer(&loop, &freeze.timer, loop.now_ns + 3 * S);
	}
	struct audience *audience = audience_new(plan.n_roles);
	struct course *course = course_new(&plan, loop.now_ns, true);
	for (unsigned i = 0; i < run.n; i++)
		run.engines[i] = engine_new(&loop, &(struct engine_options){
			.plan = &plan, .course = course, .audience = audience, .address = &address, .thread = i, .n_threads = run.n, .run = 4711,
			.idle = on_idle, .context = &run,
		});
	struct timer halt = { .fire = on_halt };
	if (row->halted_ms)
		loop_timer(&loop, &halt, loop.now_ns + row->halted_ms * (S / 1000));
	loop_run(&loop);
	for (unsigned i = 0; i < run.n && row->halted_ms; i++)
		engine_halt(run.engines[i]);
	assert_int_equal(run.n_idle, run.n);
	if (!row->halted_ms)
		assert_int_equal(course_phase(course), PHASE_OVER);
	if (course_why(course))
		snprintf(played->why, sizeof(played->why), "%s", course_why(course));
	gather(played, &run, audience, plan.n_roles);
	for (unsigned i = 0; i < run.n; i++)
		engine_free(run.engines[i]);
	course_free(course);
	audience_free(audience);
	plan_release(&plan);
	reference_broker.stop(broker);
	loop_settle(&loop);
	loop_release(&loop);
	reference_broker.configure(NULL);
}

static int counter_named(const char *name, size_t len)
{
	for (int i = 0; i < N_COUNTERS; i++)
		if (strlen(counter_rows[i].name) == len && !memcmp(counter_rows[i].name, name, len))
			return i;
	if (len == 7 && !memcmp(name, "held_to", len))
		return -1;
	fail_msg("no counter %.*s", (int)len, name);
	return 0;
}

static uint64_t counted(const struct played *played, const char *role, size_t role_len, int counter)
{
	const struct script *script = played->scenario->scripts;

	for (uint32_t i = 0; i < script->n_roles; i++)
		if (strlen(script->roles[i].name) == role_len && !memcmp(script->roles[i].name, role, role_len))
			return counter < 0 ? played->held_to[i] : played->tallies[i].counts[counter];
	fail_msg("no role %.*s", (int)role_len, role);
	return 0;
}

static void expect_text(const char *where, const char *text, const char *all)
{
	char blanked[200];

	snprintf(blanked, sizeof(blanked), "%s", text);
	for (char *p = blanked; *p; p++)
		if (*p == '_')
			*p = ' ';
	if (!strstr(all, blanked))
		fail_msg("%s: expected \"%s\", but it is\n%s", where, blanked, all);
}

/* "unknown=20": so many were lost by that cause. */
static void judge_loss(const struct row *row, const struct played *played, const char *expected)
{
	size_t len = strcspn(expected, "=");
	uint64_t n = 0;

	for (uint32_t i = 0; i < played->reckoning->n_losses; i++)
		if (strlen(loss_names[played->reckoning->losses[i].cause]) == len && !memcmp(loss_names[played->reckoning->losses[i].cause], expected, len))
			n += played->reckoning->losses[i].n;
	if (n != strtoull(expected + len + 1, NULL, 10))
		fail_msg("%s: expected a loss of %s, but it is %" PRIu64, row->name, expected, n);
}

static void judge(const struct row *row, const struct played *played)
{
	char expected[2000], *save = NULL;

	snprintf(expected, sizeof(expected), "%s", row->expected);
	for (char *word = strtok_r(expected, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
		char *dot = strchr(word, '.'), *equals = strchr(word, '=');

		if (!strncmp(word, "reason:", 7)) {
			expect_text(row->name, word + 7, played->reasons);
			continue;
		}
		if (!strncmp(word, "loss:", 5)) {
			judge_loss(row, played, word + 5);
			continue;
		}
		if (!strncmp(word, "why:", 4)) {
			expect_text(row->name, word + 4, played->why);
			continue;
		}
		if (!dot || !equals)
			fail_msg("what is %s?", word);
		uint64_t is = counted(played, word, (size_t)(dot - word), counter_named(dot + 1, (size_t)(equals - dot - 1)));
		if (is != strtoull(equals + 1, NULL, 10))
			fail_msg("%s: expected %s, but it is %" PRIu64 "; reasons:\n%s%s", row->name, word, is, played->reasons, played->why);
	}
	if (!strstr(row->expected, "reason:") && played->reasons[0])
		fail_msg("%s: no reason was expected, but there is\n%s", row->name, played->reasons);
	if (!strstr(row->expected, "why:") && played->why[0])
		fail_msg("%s: it was not to be ended, but %s", row->name, played->why);
}

static void write_fleet(const char *text)
{
	char path[sizeof(folder) + 20];
	FILE *f;

	snprintf(path, sizeof(path), "%s/fleet.csv", folder);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	assert_int_equal(fclose(f), 0);
}

static void play(const struct row *row, struct played *played)
{
	if (row->fleet)
		write_fleet(row->fleet);
	*played = (struct played){ .scenario = parse(row, row->version ? row->version : MQTT_5) };
	for (unsigned i = 0; i < (row->shards ? row->shards : 1); i++)
		play_shard(row, i, played);
}

static void played_release(struct played *played)
{
	reckoning_free(played->reckoning);
	for (size_t i = 0; i < 8; i++)
		tally_release(&played->tallies[i]);
	scenario_free(played->scenario);
}

static void comes_to_what_is_expected(void **state)
{
	const struct row *row = *state;
	struct played played;

	play(row, &played);
	judge(row, &played);
	played_release(&played);
}

#define COLLECTOR(filter) "role sub x 2 { whenever sub receives { }\n sub connects\n sub subscribes (" filter ")\n meet \"ready\" }\n"

#define AWAY \
	"role sub x 1 { whenever sub receives { }\n sub connects clean_start=0 session_expiry_interval=100; sub subscribes (\"t\" qos=1); meet \"ready\"\n" \
	" sub drops; wait 2s; sub connects clean_start=0 session_expiry_interval=100 }\n" \
	"role pub x 1 { pub connects; meet \"ready\"; wait 1s; repeat 10 { pub publishes topic=\"t\" qos=1 payload=stamp(40) } }"

static const struct row rows[] = {
	{ "QoS 0: what is sent is delivered to each", COLLECTOR("\"t/#\" qos=2")
	  "role pub x 3 { pub connects; meet \"ready\"\n repeat 100 { pub publishes topic=\"t/$(n)\" payload=stamp(40) in flight 1 } }",
	  "pub.started=3 pub.connected=3 pub.sent=300 pub.finished=3 sub.owed=600 sub.delivered=600 sub.lost=0 sub.duplicated=0 sub.unexpected=0 sub.finished=2" },
	{ "QoS 1, each waited for", COLLECTOR("\"t/#\" qos=2")
	  "role pub x 3 { pub connects; meet \"ready\"\n repeat 50 { pub publishes topic=\"t/$(n)\" qos=1 payload=stamp(40) } }",
	  "pub.sent=150 pub.acknowledged=150 pub.unacknowledged=0 pub.finished=3 sub.owed=300 sub.delivered=300 sub.lost=0 sub.reordered=0" },
	{ "QoS 2, each waited for, and delivered by QoS 2", COLLECTOR("\"t/#\" qos=2")
	  "role pub x 3 { pub connects; meet \"ready\"\n repeat 50 { pub publishes topic=\"t/$(n)\" qos=2 payload=stamp(40) } }",
	  "pub.sent=150 pub.acknowledged=150 pub.unacknowledged=0 sub.owed=300 sub.delivered=300 sub.lost=0 sub.duplicated=0 sub.violations=0 pub.violations=0" },
	{ "QoS 2 in a window, under 3.1.1", COLLECTOR("\"t/#\" qos=2")
	  "role pub x 3 { pub connects; meet \"ready\"\n repeat 500 { pub publishes topic=\"t/$(n)\" qos=2 payload=stamp(40) in flight 20 } }",
	  "pub.sent=1500 pub.acknowledged=1500 sub.owed=3000 sub.delivered=3000 sub.lost=0 sub.duplicated=0", .version = MQTT_3_1_1 },
	{ "QoS 1 in a window of 1000, under 3.1", COLLECTOR("\"t/#\" qos=1")
	  "role pub x 1 { pub connects; meet \"ready\"\n repeat 3000 { pub publishes topic=\"t/$(n)\" qos=1 payload=stamp(40) in flight 1000 } }",
	  "pub.sent=3000 pub.acknowledged=3000 sub.owed=6000 sub.delivered=6000 sub.lost=0", .version = MQTT_3_1 },
	{ "a window is no wider than the broker's Receive Maximum", COLLECTOR("\"t/#\" qos=0")
	  "role pub x 2 { pub connects; meet \"ready\"\n repeat 200 { pub publishes topic=\"t/$(n)\" qos=1 payload=stamp(40) in flight 100 } }",
	  "pub.sent=400 pub.acknowledged=400 pub.ended=0 pub.held_to=3 sub.held_to=0 sub.delivered=800", .broker = "--receive-maximum 3" },
	{ "a window that is not wider than it is not said to be held to it",
	  "role pub x 2 { pub connects; repeat 20 { pub publishes topic=\"t/$(n)\" qos=1 payload=stamp(40) in flight 3 } }",
	  "pub.sent=40 pub.acknowledged=40 pub.held_to=0", .broker = "--receive-maximum 3" },
	{ "what was counted when a run is halted is all of it",
	  "role pub x 1 { pub connects; every 100ms { pub publishes qos=1 payload=stamp(40) in flight 9 } }",
	  "pub.started=1 pub.connected=1 pub.sent=26 pub.acknowledged=26 pub.unacknowledged=0", .halted_ms = 2550 },
	{ "a turn is every D, spread over the clients",
	  "role pub x 10 { pub connects; every 1s { pub publishes payload=stamp(40) in flight 1 } }",
	  "pub.sent=100 pub.late=0 pub.finished=10", .for_s = 10 },
	{ "loops end, and what stands behind them is played",
	  "role pub x 4 over 1s { pub connects\n forever { wait 100ms; pub publishes payload=stamp(40) }\n pub disconnects }",
	  "pub.finished=4 pub.ended=0 pub.stopped=0", .for_s = 3 },
	{ "receives takes and acknowledges, and what was early waits",
	  "role sub x 1 { sub connects; sub subscribes (\"t\" qos=2); meet \"ready\"; wait 1s\n repeat 30 { sub receives topic=\"t\" } }\n"
	  "role pub x 3 { pub connects; meet \"ready\"\n repeat 10 { pub publishes topic=\"t\" qos=2 payload=stamp(40) in flight 5 } }",
	  "sub.delivered=30 sub.lost=0 sub.finished=1 sub.unexpected=0 pub.acknowledged=30" },
	{ "a loop that receives goes on in the drain",
	  "role sub x 1 { sub connects; sub subscribes (\"t\" qos=1); meet \"ready\"\n forever { sub receives topic=\"t\" } }\n"
	  "role pub x 1 { pub connects; meet \"ready\"\n every 10ms { pub publishes topic=\"t\" qos=1 payload=stamp(40) in flight 5 } }",
	  "pub.sent=300 sub.delivered=300 sub.lost=0 sub.unexpected=0", .for_s = 3 },
	{ "command and response come back to who asked",
	  "role device x 5 { whenever device receives topic=\"cmd/$(n)\" payload as $p { device publishes topic=\"rsp/$(n)\" qos=1 payload=$p }\n"
	  " device connects; device subscribes (\"cmd/$(n)\" qos=1); meet \"ready\" }\n"
	  "role app x 1 { whenever app receives topic~\"rsp/+\" { }\n app connects; app subscribes (\"rsp/+\" qos=1); meet \"ready\"\n"
	  " repeat 50 { app publishes topic=\"cmd/$(pick(device))\" qos=1 payload=stamp(64) in flight 20 } }",
	  "app.sent=50 app.acknowledged=50 device.delivered=50 device.sent=50 device.acknowledged=50 app.returned=50 app.unexpected=0" },
	{ "answers that wait for the window do not keep it from opening, and none is left out",
	  "role device x 1 { whenever device receives topic=\"cmd\" payload as $p { device publishes topic=\"rsp\" qos=1 payload=$p\n device publishes topic=\"log\" qos=2 payload=$p }\n"
	  " device connects; device subscribes (\"cmd\" qos=0); meet \"ready\" }\n"
	  "role app x 1 { whenever app receives topic=\"rsp\" { }\n app connects; app subscribes (\"rsp\" qos=1); meet \"ready\"\n"
	  " repeat 500 { app publishes topic=\"cmd\" payload=stamp(64) in flight 20 }\n wait 1s }",
	  "app.sent=500 device.delivered=500 device.sent=1000 device.acknowledged=1000 app.returned=500 app.lost=0 device.unacknowledged=0 device.stopped=0",
	  .broker = "--receive-maximum 3" },
	{ "an answer that waits for the window goes on when a publish that is waited for ends",
	  "role device x 1 { whenever device receives topic=\"cmd\" { device publishes topic=\"rsp\" qos=1 payload=stamp(40) }\n"
	  " device connects; device subscribes (\"cmd\" qos=0); meet \"ready\"; wait 3500ms; device publishes topic=\"own\" qos=1 payload=stamp(40); wait 1s }\n"
	  "role app x 1 { app connects; meet \"ready\"; wait 3050ms; app publishes topic=\"cmd\" payload=stamp(40) in flight 1; wait 3s }",
	  "device.delivered=1 device.sent=2 device.acknowledged=2 device.finished=1", .broker = "--receive-maximum 1", .freezes = true },
	{ "what comes behind a DISCONNECT is not acknowledged",
	  "role sub x 1 { whenever sub receives { }\n sub connects; sub subscribes (\"t\" qos=1); meet \"ready\"; wait 3550ms; sub disconnects }\n"
	  "role pub x 1 { pub connects; meet \"ready\"\n every 100ms { pub publishes topic=\"t\" qos=1 payload=stamp(40) in flight 99 } }",
	  "sub.packets_sent=33 sub.delivered=36 sub.unexpected=0 sub.finished=1", .for_s = 6, .freezes = true },
	{ "a PUBREL that is sent again when all is done is answered again",
	  "role sub x 1 { sub connects clean_start=0 session_expiry_interval=60; sub subscribes (\"t\" qos=2); meet \"ready\"\n"
	  " sub <- PUBLISH qos=2 packet_id as $p; sub -> PUBREC packet_id=$p; sub closes; wait 1s\n"
	  " whenever sub receives { }\n sub connects clean_start=0 session_expiry_interval=60; wait 1s; sub disconnects session_expiry_interval=0 }\n"
	  "role pub x 1 { pub connects; meet \"ready\"; pub publishes topic=\"t\" qos=2 payload=stamp(40) }",
	  "sub.connected=2 sub.resumed=1 sub.delivered=1 sub.unexpected=0 sub.packets_sent=6 sub.finished=1 sub.violations=0" },
	{ "explicit sends are counted like others: acknowledged, or refused and not owed", COLLECTOR("\"t\" qos=1")
	  "role pub x 1 { pub connects; meet \"ready\"; pub -> PUBLISH topic=\"t\" qos=1 packet_id=9 payload=stamp(40); pub <- PUBACK packet_id=9\n"
	  " pub -> PUBLISH topic=\"t\" qos=2 packet_id=9 payload=stamp(40); pub <- PUBREC packet_id=9; pub -> PUBREL packet_id=9; pub <- PUBCOMP packet_id=9\n"
	  " pub -> PUBLISH topic=\"locked/t\" qos=1 packet_id=9 payload=stamp(40); pub <- PUBACK packet_id=9 reason=0x87 }",
	  "pub.sent=3 pub.acknowledged=3 pub.refused_messages=1 pub.unacknowledged=0 pub.finished=1 sub.delivered=4 sub.owed=4 sub.lost=0 reason:PUBACK:_Not_authorized", .needs_denial = true },
	{ "who reads slowly does not blame the target for what it has not read yet",
	  "role slow x 1 { whenever slow receives { }\n slow connects keep_alive=2; slow subscribes (\"t\" qos=0); meet \"ready\"; slow reads 200/s\n"
	  " every 1s { slow publishes topic=\"own\" qos=1 payload=stamp(40) in flight 1 } }\n"
	  "role pub x 1 { pub connects; meet \"ready\"\n every 100ms { pub publishes topic=\"t\" payload=stamp(200) in flight 1 } }",
	  "slow.ended=0 slow.stopped=0 slow.started=1 pub.sent=300", .for_s = 30 },
	{ "what comes behind a FIN is there for a later step",
	  "role sub x 1 { sub connects; sub subscribes (\"t\" qos=0); meet \"ready\"; wait 3550ms; sub closes; wait 100ms; sub receives topic=\"t\" }\n"
	  "role pub x 1 { pub connects; meet \"ready\"\n every 100ms { pub publishes topic=\"t\" payload=stamp(40) in flight 99 } }",
	  "sub.stopped=0 sub.finished=1", .for_s = 6, .freezes = true },
	{ "at its end a client stays in the blocks that end there",
	  "role sub x 2 { again after 1s..2s { whenever sub receives { }\n sub connects; sub subscribes (\"t/#\" qos=1); meet \"ready\" } }\n"
	  "role pub x 3 { pub connects; meet \"ready\"\n every 100ms { pub publishes topic=\"t/$(n)\" qos=1 payload=stamp(40) in flight 5 } }",
	  "pub.sent=150 sub.finished=2 sub.delivered=300 sub.unexpected=0 sub.lost=0", .for_s = 5, .broker = "--receive-maximum 3" },
	{ "what ends behind the end begins anew",
	  "role first x 1 { again after 1s..2s { whenever first receives { }\n first connects client_id=\"it\"; first subscribes (\"t\" qos=1) } }\n"
	  "role second x 1 { wait 3s; second connects client_id=\"it\"; forever { wait 1s } }\n"
	  "role pub x 1 { pub connects; wait 8s; pub publishes topic=\"t\" qos=1 payload=stamp(40) }",
	  "first.connected=2 first.ended=1 first.finished=1 first.stopped=0 first.delivered=1 second.ended=1 pub.sent=1 reason:Session_taken_over", .for_s = 10 },
	{ "roles that start apart lose nothing by it", COLLECTOR("\"t/#\" qos=1")
	  "role slow x 5 over 10s { slow connects; slow subscribes (\"t/1\" qos=1); meet \"ready\"; whenever slow receives { } }\n"
	  "role pub x 2 { pub connects; meet \"ready\"\n repeat 20 { pub publishes topic=\"t/$(n)\" qos=1 payload=stamp(40) in flight 5 } }",
	  "pub.sent=40 sub.delivered=80 slow.owed=100 slow.delivered=100 slow.lost=0" },
	{ "a client that fails does not hold up a meeting",
	  "role pub x 3 { pub connects; meet \"ready\"; pub publishes payload=stamp(40) }\n"
	  "role bad x 2 { bad connects; bad <- PUBLISH within 1s; meet \"ready\" }",
	  "pub.sent=3 pub.finished=3 bad.stopped=2 reason:line_4:_no_PUBLISH_came_in_time" },
	{ "a meeting to which nobody comes is given up",
	  "role pub x 3 { pub connects; meet \"ready\"; pub publishes payload=stamp(40) }\n"
	  "role bad x 2 { bad connects; wait 1000s; meet \"ready\" }",
	  "pub.sent=3 why:the_meeting_\"ready\"_was_given_up:_2_of_5_clients_did_not_come" },
	{ "keep alive is kept", "role idle x 3 { idle connects keep_alive=2; wait 60s; idle pings; idle disconnects }", "idle.finished=3 idle.ended=0" },
	{ "who does not keep it is thrown out", "role idle x 1 { idle connects keep_alive=2; idle <- closed within 10s }", "idle.finished=0 idle.stopped=1 reason:still_open" },
	{ "refused clients are counted by reason", "role pub x 3 { pub connects; pub publishes payload=stamp(40) }",
	  "pub.started=3 pub.refused=3 pub.stopped=3 pub.connected=0 reason:CONNACK:_Not_authorized", .broker = "users" },
	{ "a client that is thrown out begins anew, with its back-off",
	  "role a x 1 { again after 1s..4s { a connects client_id=\"x\"; wait 100s } }\n"
	  "role b x 1 { wait 5s; b connects client_id=\"x\"; b disconnects }",
	  "a.started=1 a.connected=2 a.ended=1 a.retried=1 a.stopped=0 reason:DISCONNECT:_Session_taken_over", .for_s = 20 },
	{ "one that is thrown out and has no `again` stops",
	  "role a x 1 { a connects client_id=\"x\"; wait 100s }\nrole b x 1 { wait 5s; b connects client_id=\"x\"; b disconnects }",
	  "a.connected=1 a.ended=1 a.retried=0 a.finished=0 b.finished=1 reason:DISCONNECT:_Session_taken_over" },
	{ "back-off doubles while it is refused", "role a x 1 { again after 1s..8s { a connects; wait 1000s } }",
	  "a.connected=0 a.stopped=0 reason:CONNACK:_Not_authorized", .broker = "users", .for_s = 60 },
	{ "a broken-off QoS 2 exchange is resumed, with DUP, and delivered once", COLLECTOR("\"t\" qos=2")
	  "role pub x 3 { pub connects clean_start=0 session_expiry_interval=100; meet \"ready\"\n"
	  " repeat 5 { pub publishes topic=\"t\" qos=2 payload=stamp(40) in flight 10 }\n"
	  " pub drops; wait 1s; pub connects clean_start=0 session_expiry_interval=100\n"
	  " repeat 5 { pub publishes topic=\"t\" qos=2 payload=stamp(40) } }",
	  "pub.sent=30 pub.acknowledged=30 pub.resumed=3 pub.resent=15 pub.unacknowledged=0 sub.owed=60 sub.delivered=60 sub.lost=0 sub.duplicated=0 "
	  "pub.violations=0" },
	{ "a broken-off exchange whose session is gone stays unacknowledged", COLLECTOR("\"t\" qos=1")
	  "role pub x 1 { pub connects; meet \"ready\"; repeat 5 { pub publishes topic=\"t\" qos=1 payload=stamp(40) in flight 10 }\n"
	  " pub drops; wait 1s; pub connects; pub publishes topic=\"t\" qos=1 payload=stamp(40) }",
	  "pub.sent=6 pub.acknowledged=1 pub.unacknowledged=5 pub.resent=0 pub.resumed=0" },
	{ "subscriptions outlive a connection with their session",
	  "role sub x 1 { whenever sub receives { }\n sub connects clean_start=0 session_expiry_interval=100; sub subscribes (\"t\" qos=1); meet \"ready\"\n"
	  " sub drops; wait 2s; sub connects clean_start=0 session_expiry_interval=100 gets session_present=1 }\n"
	  "role pub x 1 { pub connects; meet \"ready\"; wait 1s; repeat 10 { pub publishes topic=\"t\" qos=1 payload=stamp(40) } }",
	  "sub.resumed=1 sub.owed=10 sub.delivered=10 sub.lost=0" },
	{ "without it they are gone, and nothing is owed meanwhile",
	  "role sub x 1 { whenever sub receives { }\n sub connects; sub subscribes (\"t\" qos=1); meet \"ready\"; sub drops; wait 2s; sub connects }\n"
	  "role pub x 1 { pub connects; meet \"ready\"; wait 1s; repeat 10 { pub publishes topic=\"t\" qos=1 payload=stamp(40) } }",
	  "sub.resumed=0 sub.owed=0 sub.delivered=0 sub.lost=0" },
	{ "what is owed to nobody any more after UNSUBSCRIBE",
	  "role sub x 1 { whenever sub receives { }\n sub connects; sub subscribes (\"t\" qos=1); meet \"a\"; meet \"b\"; sub unsubscribes (\"t\"); meet \"c\" }\n"
	  "role pub x 1 { pub connects; meet \"a\"; pub publishes topic=\"t\" qos=1 payload=stamp(40); wait 1s; meet \"b\"; meet \"c\"\n"
	  " pub publishes topic=\"t\" qos=1 payload=stamp(40) }",
	  "pub.sent=2 sub.owed=1 sub.delivered=1 sub.lost=0 sub.unexpected=0" },
	{ "a negative acknowledgement is counted, and nothing is owed", COLLECTOR("\"b\" qos=1")
	  "role pub x 1 { pub connects; meet \"ready\"; repeat 3 { pub publishes topic=\"locked/a\" qos=1 payload=stamp(40) in flight 2 }\n"
	  " pub publishes topic=\"b\" qos=1 payload=stamp(40) }",
	  "pub.sent=4 pub.acknowledged=4 pub.refused_messages=3 sub.owed=2 sub.delivered=2 sub.lost=0 reason:PUBACK:_Not_authorized", .needs_denial = true },
	{ "a `publishes` that is waited for and refused stops its client",
	  "role pub x 2 { pub connects; pub publishes topic=\"locked/a\" qos=2 payload=stamp(40) }",
	  "pub.sent=2 pub.refused_messages=2 pub.stopped=2 pub.finished=0 reason:line_3:_PUBREC:_Not_authorized", .needs_denial = true },
	{ "a subscription that is not granted stops its client", "role sub x 2 { sub connects; sub subscribes (\"a\" qos=2) }",
	  "sub.stopped=2 reason:SUBACK:_the_subscription_was_not_granted_as_asked", .broker = "--maximum-qos 1" },
	{ "`gets` is judged", "role a x 2 { a connects gets receive_maximum=7 }", "a.stopped=2 reason:expected_7,_received_none" },
	{ "explicit sends and expectations", "role a x 2 { a connects; a -> SUBSCRIBE packet_id=9 (\"t/$(n)\" qos=1); a <- SUBACK packet_id=9 reason=[1]\n"
	  " a -> PUBLISH topic=\"t/$(n)\" qos=1 packet_id=3 payload=stamp(40); a -> PUBLISH topic=\"t/$(n)\" qos=2 packet_id=4 payload=\"x\"\n"
	  " a <- PUBREC packet_id=4; a <- PUBACK packet_id=3; a -> PUBREL packet_id=4; a <- PUBCOMP packet_id=4\n"
	  " a <- PUBLISH packet_id as $p; a -> PUBACK packet_id=$p; a receives payload=\"x\"; a -> DISCONNECT; a <- closed }",
	  "a.finished=2 a.stopped=0 a.violations=0 a.delivered=2 a.foreign=2 a.unexpected=0" },
	{ "silence is judged", "role a x 2 { a connects; a subscribes (\"t\" qos=0); a <- nothing for 2s; meet \"x\"; a -> PUBLISH topic=\"t\" payload=\"x\"; a <- nothing for 2s }",
	  "a.finished=0 a.stopped=2 reason:line_3:_nothing_was_to_come,_but_PUBLISH_did" },
	{ "topic aliases of the broker are resolved",
	  "role sub x 1 { whenever sub receives topic=\"a/long/topic\" { }\n sub connects topic_alias_maximum=4; sub subscribes (\"a/#\" qos=0); meet \"x\" }\n"
	  "role pub x 1 { pub connects; meet \"x\"; repeat 5 { pub publishes topic=\"a/long/topic\" payload=stamp(40) } }",
	  "sub.delivered=5 sub.unexpected=0 sub.returned=0 sub.lost=0 sub.violations=0" },
	{ "a fleet's columns are each client's own",
	  "role a x 3 with \"fleet.csv\" { a connects client_id=$id; a subscribes (\"$(place)\" qos=1)\n"
	  " a publishes topic=\"$(place)\" qos=1 payload=\"$(id)\"; a receives topic=\"$(place)\" payload=\"$(id)\" }",
	  "a.finished=3 a.connected=3 a.foreign=3", .fleet = "place,id\nhall,one\nyard,two\n\"attic, left\",three\n" },
	{ "the broker tells one of several subscribers only", COLLECTOR("\"t/#\" qos=1")
	  "role pub x 3 { pub connects; meet \"ready\"\n repeat 20 { pub publishes topic=\"t/$(n)\" qos=1 payload=stamp(40) in flight 5 } }",
	  "pub.sent=60 sub.owed=120 sub.delivered=60 sub.lost=60 sub.duplicated=0", .fault = "5:MQTT-4.5.0-1" },
	{ "what was acknowledged was not lost with its publisher's connection", COLLECTOR("\"t/#\" qos=1")
	  "role pub x 1 { pub connects; meet \"ready\"\n repeat 20 { pub publishes topic=\"t/$(n)\" qos=1 payload=stamp(40) in flight 5 }\n wait 100ms; pub drops }",
	  "pub.sent=20 pub.acknowledged=20 sub.owed=40 sub.lost=20 loss:publisher_gone=0 loss:unknown=20", .fault = "5:MQTT-4.5.0-1" },
	{ "a subscriber that is there to the end of the run has not left", COLLECTOR("\"t/#\" qos=1")
	  "role pub x 1 { pub connects; meet \"ready\"\n repeat 20 { pub publishes topic=\"t/$(n)\" qos=1 payload=stamp(40) } }",
	  "sub.owed=40 sub.lost=20 loss:subscriber_left=0 loss:unknown=20", .fault = "5:MQTT-4.5.0-1", .drain_ms = 100 },
	{ "the broker sends no PUBACK", "role pub x 2 { pub connects; repeat 20 { pub publishes qos=1 payload=stamp(40) in flight 5 } }",
	  "pub.sent=10 pub.acknowledged=0 pub.unacknowledged=10 pub.stopped=2 reason:no_answer_came_in_time_to_any_of_5_exchanges", .fault = "5:MQTT-4.3.2-4" },
	{ "explicit sends, more than there are packet ids",
	  "role pub x 1 { pub connects; repeat 70000 { pub -> PUBLISH topic=\"t\" qos=1 payload=stamp(32) } }",
	  "pub.sent=65535 pub.unacknowledged=65535 pub.stopped=1 reason:no_answer_came_in_time_to_any_of_65535_exchanges", .fault = "5:MQTT-4.3.2-4" },
	{ "broken rules are counted by clause", "role pub x 2 { pub connects; pub publishes qos=1 payload=stamp(40) }",
	  "pub.stopped=2 reason:5:MQTT-2.2.1-5:", .fault = "5:MQTT-2.2.1-5" },
	{ "the broker delivers a message twice that was sent again", COLLECTOR("\"t\" qos=2")
	  "role pub x 3 { pub connects clean_start=0 session_expiry_interval=100; meet \"ready\"; pub reads nothing\n"
	  " repeat 5 { pub publishes topic=\"t\" qos=2 payload=stamp(40) in flight 10 }\n"
	  " wait 1s; pub drops; wait 1s; pub connects clean_start=0 session_expiry_interval=100; pub publishes topic=\"t\" qos=2 payload=stamp(40) }",
	  "pub.sent=18 pub.acknowledged=18 pub.resent=15 sub.owed=36 sub.delivered=36 sub.lost=0 sub.duplicated=30", .fault = "5:MQTT-4.3.3-10" },
	{ "the broker turns a queue round",
	  "role sub x 1 { whenever sub receives { }\n sub connects receive_maximum=1; sub subscribes (\"t\" qos=1); meet \"ready\" }\n"
	  "role pub x 1 { pub connects; meet \"ready\"; repeat 10 { pub publishes topic=\"t\" qos=1 payload=stamp(40) in flight 10 } }",
	  "sub.owed=10 sub.delivered=10 sub.lost=0 sub.reordered=8 sub.duplicated=0", .fault = "5:MQTT-4.6.0-5" },
	{ "the broker keeps nothing for who is away", AWAY, "sub.owed=10 sub.delivered=0 sub.lost=10", .fault = "5:MQTT-4.5.0-1/offline" },
	{ "the innermost `whenever` takes it",
	  "role a x 1 { whenever a receives topic=\"t\" payload as $p { a publishes topic=\"outer\" payload=$p }\n"
	  " a connects; a subscribes (\"t\" qos=1, \"outer\" qos=0, \"inner\" qos=0)\n"
	  " repeat 2 { whenever a receives topic=\"t\" payload=\"2\" { a publishes topic=\"inner\" payload=\"i\" }\n"
	  "  a publishes topic=\"t\" qos=1 payload=\"2\"; a receives topic=\"inner\" }\n"
	  " a publishes topic=\"t\" qos=1 payload=\"2\"; a receives topic=\"outer\" payload=\"2\" }",
	  "a.finished=1 a.stopped=0" },
	{ "moments, within and after", "role a x 2 { a connects; a subscribes (\"t\" qos=0) as $then; wait 2s; a -> PUBLISH topic=\"t\" payload=\"x\"\n"
	  " a receives after 1s of $then within 3s of $then; a -> PUBLISH topic=\"t\" payload=\"x\"; a receives after 1s }",
	  "a.finished=0 a.stopped=2 reason:PUBLISH_came_1.000_s_too_early" },
	{ "in pieces, together, raw, and orderly ends",
	  "role a x 2 { a opens; a -> CONNECT in pieces of 3 every 100ms; a <- CONNACK\n together { a -> PINGREQ; a -> bytes hex\"c0 00\" }\n"
	  " a <- PINGRESP; a <- PINGRESP; a closes; a <- closed; a connects; a disconnects; a connects; a drops }",
	  "a.connected=6 a.finished=2 a.ended=0 a.violations=0" },
	{ "who reads slowly is sent slowly, and all of it in the end",
	  "role sub x 1 { whenever sub receives { }\n sub connects; sub subscribes (\"t\" qos=0); sub reads 1k/s; meet \"x\"; wait 2s; sub reads freely; wait 10s }\n"
	  "role pub x 1 { pub connects; meet \"x\"; repeat 100 { pub publishes topic=\"t\" payload=stamp(200) in flight 1 } }",
	  "sub.delivered=100 sub.lost=0" },
	{ "a client that does not read at all is sent nothing it takes",
	  "role sub x 1 { whenever sub receives { }\n sub connects; sub subscribes (\"t\" qos=0); sub reads nothing; meet \"x\"; wait 100s }\n"
	  "role pub x 1 { pub connects; meet \"x\"; repeat 100 { pub publishes topic=\"t\" payload=stamp(200) in flight 1 } }",
	  "sub.owed=100 sub.delivered=0 sub.lost=100", .for_s = 5 },
	{ "a body that finds no room waits for it, and nothing is lost",
	  "role echo x 1 { whenever echo receives topic=\"in\" { echo publishes topic=\"out\" qos=1 payload=stamp(30000) }\n"
	  " echo connects; echo subscribes (\"in\" qos=1); meet \"x\" }\n"
	  "role sub x 1 { whenever sub receives { }\n sub connects; sub subscribes (\"out\" qos=1); meet \"x\" }\n"
	  "role pub x 1 { pub connects; meet \"x\"; repeat 300 { pub publishes topic=\"in\" qos=1 payload=stamp(40) in flight 100 } }",
	  "pub.acknowledged=300 echo.delivered=300 echo.sent=300 echo.acknowledged=300 sub.owed=300 sub.delivered=300 sub.lost=0", .broker = "--receive-maximum 100" },
	{ "two engines are as one", COLLECTOR("\"t/#\" qos=1")
	  "role pub x 7 over 3s { pub connects; meet \"ready\"\n every 100ms { pub publishes topic=\"t/$(n)\" qos=1 payload=stamp(40) in flight 5 } }",
	  "pub.started=7 pub.sent=730 pub.acknowledged=730 sub.owed=1460 sub.delivered=1460 sub.lost=0", .for_s = 10, .engines = 2 },
	{ "roles that start apart lose nothing by it, as they meet",
	  "role sub x 4 over 3s { whenever sub receives { }\n sub connects; sub subscribes (\"t/#\" qos=1); meet \"ready\" }\n"
	  "role pub x 5 { pub connects; meet \"ready\"\n every 100ms { pub publishes topic=\"t/$(n)\" qos=1 payload=stamp(40) in flight 5 } }",
	  "pub.sent=538 sub.owed=2152 sub.delivered=2152 sub.early=0 sub.lost=0 sub.duplicated=0", .for_s = 10 },
	{ "nor without, since they are owed what is sent from then on",
	  "role sub x 4 over 3s { whenever sub receives { }\n sub connects; sub subscribes (\"t/#\" qos=1) }\n"
	  "role pub x 5 { pub connects\n every 100ms { pub publishes topic=\"t/$(n)\" qos=1 payload=stamp(40) in flight 5 } }",
	  "pub.sent=650 sub.lost=0 sub.duplicated=0 sub.early=0 sub.owed=2372 sub.delivered=2372", .for_s = 10 },
	{ "what is retained was sent before, and told as early",
	  "role sub x 4 over 3s { whenever sub receives { }\n sub connects; sub subscribes (\"t/#\" qos=1) }\n"
	  "role pub x 5 { pub connects\n repeat 10 { pub publishes topic=\"t/$(n)\" retain=1 qos=1 payload=stamp(40) } }",
	  "pub.sent=50 sub.owed=0 sub.delivered=20 sub.early=20 sub.lost=0 sub.duplicated=0" },
	{ "four shards are as one",
	  "role pub x 8 { pub connects; meet \"ready\"\n every 700ms { pub publishes topic=\"t/$(n)\" qos=1 payload=stamp(40) in flight 5 } }",
	  "pub.started=8 pub.sent=115 pub.acknowledged=115", .for_s = 10, .shards = 4 },
	{ "the unsharded run",
	  "role pub x 8 { pub connects; meet \"ready\"\n every 700ms { pub publishes topic=\"t/$(n)\" qos=1 payload=stamp(40) in flight 5 } }",
	  "pub.started=8 pub.sent=115 pub.acknowledged=115", .for_s = 10 },
};

#define N_ROWS (sizeof(rows) / sizeof(*rows))

/* A broker that stands still for a second: what would have been sent meanwhile is made up for, and waited as long as it did. */
static void a_stall_shows_in_latencies(void **state)
{
	static const struct row row = {
		"a stall", "role pub x 1 { pub connects; meet \"ready\"\n every 1ms { pub publishes qos=1 payload=stamp(40) in flight 1 } }",
		"pub.sent=10000 pub.acknowledged=10000 pub.finished=1", .for_s = 10, .freezes = true,
	};
	struct played played;

	(void)state;
	play(&row, &played);
	judge(&row, &played);
	const struct tally *t = &played.tallies[0];
	assert_in_range(t->timings[TIME_ACK].max, S, 2 * S + S / 10);
	assert_in_range(t->counts[COUNT_late], 990, 2100);
	assert_in_range(hdr_quantile(&t->timings[TIME_ACK], 950000), S / 4, 2 * S);
	assert_in_range(hdr_quantile(&t->uncorrected[TIME_ACK], 950000), 0, S / 1000);	/* one message only saw it */
	assert_in_range(hdr_quantile(&t->timings[TIME_LATENESS], 950000), S / 4, 2 * S);
	played_release(&played);
}

/* A thousand messages a second, from publishers that wait for each answer: a tenth of all were due in the stall, of which few saw it by themselves. */
static void a_stall_of_a_second_in_ten(void **state)
{
	static const struct row row = {
		"a stall of a second in ten", "role pub x 10 { pub connects; meet \"ready\"\n every 10ms { pub publishes qos=1 payload=stamp(40) in flight 1 } }",
		"pub.sent=10000 pub.acknowledged=10000 pub.finished=10", .for_s = 10, .freezes = true,
	};
	struct played played;

	(void)state;
	play(&row, &played);
	judge(&row, &played);
	const struct tally *t = &played.tallies[0];
	assert_in_range(hdr_quantile(&t->timings[TIME_ACK], 990000), 850 * (S / 1000), S);
	assert_in_range(hdr_quantile(&t->uncorrected[TIME_ACK], 990000), 0, 3 * (S / 1000));
	assert_in_range(t->uncorrected[TIME_ACK].max, 900 * (S / 1000), S + S / 100);
	played_release(&played);
}

/* ---- over loopback, in threads of their own ---- */

struct thread {
	struct engine_options options;
	struct loop loop;
	struct engine *engine;
	pthread_t thread;
	_Atomic unsigned *n_over;
};

static void on_thread_idle(struct engine *engine, void *context)
{
	(void)engine;
	loop_stop(context);
}

static void *run_thread(void *context)
{
	struct thread *t = context;

	loop_init(&t->loop, false);
	t->options.idle = on_thread_idle;
	t->options.context = &t->loop;
	t->engine = engine_new(&t->loop, &t->options);
	loop_run(&t->loop);
	++*t->n_over;
	return NULL;
}

static void on_accepted(void *context, struct transport *t)
{
	struct service *service = context;

	service->accepted(service, t);
}

struct watchman {
	struct timer timer;
	_Atomic unsigned n_over;
	unsigned n;
};

static void on_watch(struct timer *timer, struct loop *loop)
{
	struct watchman *w = (struct watchman *)((char *)timer - offsetof(struct watchman, timer));

	if (w->n_over == w->n)
		loop_stop(loop);
	else
		loop_timer(loop, timer, loop->now_ns + S / 100);
}

static void two_threads_meet(void **state)
{
	static const struct row row = {
		"threads", "role sub x 2 { whenever sub receives { }\n sub connects; sub subscribes (\"t/#\" qos=2); meet \"ready\"; meet \"done\"; wait 100ms; sub disconnects }\n"
		"role pub x 4 { pub connects; meet \"ready\"; repeat 200 { pub publishes topic=\"t/$(n)\" qos=2 payload=stamp(40) in flight 20 }\n"
		" pub publishes topic=\"t/$(n)\" qos=1 payload=stamp(40); pub disconnects; meet \"done\" }",
		"pub.sent=804 pub.acknowledged=804 pub.finished=4 sub.owed=1608 sub.delivered=1608 sub.lost=0 sub.finished=2 sub.ended=0 pub.ended=0",
	};
	struct played played = { .scenario = parse(&row, MQTT_5) };
	struct plan plan = plan_for(&row, 0);
	struct fault fault;
	struct loop loop;
	struct local_service service = { 0 };
	struct address listen = { .kind = ADDRESS_TCP, .host = "127.0.0.1" };
	struct watchman watchman = { .timer.fire = on_watch, .n = 2 };
	struct thread threads[2] = { 0 };
	struct run run = { .n = 2 };
	const char *why;

	(void)state;
	assert_int_equal(loop_init(&loop, false), 0);
	void *broker = reference_broker.start(&loop, NULL, 0, NULL, 0, 1, &service, &why);
	assert_non_null(broker);
	struct listener *listener = transport_listen(&loop, &listen, on_accepted, service.services[WAY_TCP]);
	assert_non_null(listener);
	listen.port = listener_port(listener);
	assert_true(plan_make(&plan, played.scenario->scripts, NULL, &fault));
	struct audience *audience = audience_new(plan.n_roles);
	struct course *course = course_new(&plan, loop.now_ns, false);
	for (unsigned i = 0; i < 2; i++) {
		threads[i].n_over = &watchman.n_over;
		threads[i].options = (struct engine_options){
			.plan = &plan, .course = course, .audience = audience, .address = &listen, .thread = i, .n_threads = 2, .run = 4711,
		};
		assert_int_equal(pthread_create(&threads[i].thread, NULL, run_thread, &threads[i]), 0);
	}
	loop_timer(&loop, &watchman.timer, loop.now_ns);
	loop_run(&loop);
	for (unsigned i = 0; i < 2; i++) {
		pthread_join(threads[i].thread, NULL);
		run.engines[i] = threads[i].engine;
	}
	gather(&played, &run, audience, plan.n_roles);
	judge(&row, &played);
	for (unsigned i = 0; i < 2; i++) {
		engine_free(threads[i].engine);
		loop_settle(&threads[i].loop);
		loop_release(&threads[i].loop);
	}
	course_free(course);
	audience_free(audience);
	plan_release(&plan);
	listener_free(listener);
	reference_broker.stop(broker);
	loop_settle(&loop);
	loop_release(&loop);
	played_release(&played);
}

int main(void)
{
	struct CMUnitTest tests[N_ROWS + 3] = {
		[N_ROWS] = { .name = "a stall shows in latencies", .test_func = a_stall_shows_in_latencies },
		[N_ROWS + 1] = { .name = "two threads meet", .test_func = two_threads_meet },
		[N_ROWS + 2] = { .name = "a stall of a second in ten", .test_func = a_stall_of_a_second_in_ten },
	};
	char path[sizeof(folder) + 20];
	int failed;

	if (!mkdtemp(folder))
		return 1;
	for (size_t i = 0; i < N_ROWS; i++)
		tests[i] = (struct CMUnitTest){ .name = rows[i].name, .test_func = comes_to_what_is_expected, .initial_state = (void *)(uintptr_t)&rows[i] };
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	snprintf(path, sizeof(path), "%s/fleet.csv", folder);
	unlink(path);
	rmdir(folder);
	return failed;
}

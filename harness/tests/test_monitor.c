#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "codec/codec.h"
#include "harness/monitor.h"
#include "harness/tests/shorthand.h"

/*
 * Conversations in a shorthand: steps separated by ';', each "[b]>packet words" (we send) or "[b]<packet words" (the broker
 * sends), "[b]drop" (the connection ends), on connection a unless another letter stands first. The words: shorthand.h.
 */

struct conversation {
	const char *name, *script;
	const char *in_311, *in_5;	/* the clause that is broken; "" for none; NULL: not of that version */
};

#define CON ">connect clean;<connack;"
#define STORED ">connect expiry=60;<connack;"
#define AGAIN "drop;>connect expiry=60;<connack sp;"

#define LEGAL(name, script)	{ name, script, "", "" },
#define LEGAL_311(name, script)	{ name, script, "", NULL },
#define LEGAL_5(name, script)	{ name, script, NULL, "" },
#define WRONG(name, script, in_311, in_5)	{ name, script, in_311, in_5 },
#define WRONG_311(name, script, in_311)	{ name, script, in_311, NULL },
#define WRONG_5(name, script, in_5)	{ name, script, NULL, in_5 },

static const struct conversation conversations[] = {
#include "harness/tests/conversations.def"
};

#define N_CONVERSATIONS (sizeof(conversations) / sizeof(*conversations))

/* ---- playing ---- */

struct outcome {
	unsigned n;
	char clause[64], text[300];
};

static void note(void *owner, struct monitor *monitor, const struct violation *violation)
{
	struct outcome *outcome = owner;

	(void)monitor;
	assert_non_null(violation->text);
	if (!outcome->n++) {
		snprintf(outcome->clause, sizeof(outcome->clause), "%s", violation->clause);
		snprintf(outcome->text, sizeof(outcome->text), "%s", violation->text);
	}
}

struct stage {
	struct monitor_world *world;
	struct monitor_log log;
	struct outcome outcome;
	struct monitor monitors[4];
	bool open[4];
	uint8_t version;
};

static void stage_open(struct stage *stage, uint8_t version)
{
	*stage = (struct stage){ .version = version };
	stage->world = monitor_world_new();
	assert_non_null(stage->world);
	stage->log.violated = note;
	stage->log.owner = &stage->outcome;
	monitor_world_subscriptions_are_ours(stage->world, true);
}

static void stage_close(struct stage *stage)
{
	for (unsigned i = 0; i < 4; i++)
		if (stage->open[i])
			monitor_close(&stage->monitors[i]);
	monitor_world_free(stage->world);
}

static void play_packet(struct stage *stage, struct monitor *m, bool ours, char *text)
{
	uint8_t bytes[2200], *copy;
	size_t len = shorthand_bytes(text, stage->version, bytes, sizeof(bytes));
	struct packet packet;
	struct finding finding;
	struct frame frame;

	copy = malloc(len);		/* so that a sanitizer sees a read behind the packet */
	assert_non_null(copy);
	memcpy(copy, bytes, len);
	if (ours) {
		bool readable = decode(copy, len, stage->version, &packet, &finding) == CODEC_OK;

		monitor_sent(m, copy, len, readable ? &packet : NULL);
	} else if (frame_next(copy, len, &frame, &finding) == FRAME_OK) {
		assert_int_equal(frame.size, len);
		monitor_received(m, copy, len, &frame, &packet);
	} else {
		monitor_bad_frame(m, &finding);
	}
	free(copy);
}

static void play_step(struct stage *stage, char *step)
{
	unsigned i = 0;

	if (*step >= 'a' && *step <= 'd' && (step[1] == '<' || step[1] == '>' || !strcmp(step + 1, "drop")))
		i = (unsigned)(*step++ - 'a');
	if (!strcmp(step, "drop")) {
		monitor_close(&stage->monitors[i]);
		stage->open[i] = false;
		return;
	}
	if (!strcmp(step, "foreign")) {
		monitor_world_subscriptions_are_ours(stage->world, false);
		return;
	}
	if (!strcmp(step, "forget")) {
		monitor_world_forget(stage->world, span_text("me"));
		return;
	}
	if (!stage->open[i]) {
		monitor_open(&stage->monitors[i], stage->world, &stage->log);
		stage->open[i] = true;
	}
	play_packet(stage, &stage->monitors[i], *step == '>', step + 1);
}

static void play(struct stage *stage, const char *script)
{
	char *copy = strdup(script), *at = NULL;

	assert_non_null(copy);
	for (char *step = strtok_r(copy, ";", &at); step; step = strtok_r(NULL, ";", &at))
		play_step(stage, step);
	free(copy);
}

static void judge(const struct conversation *c, uint8_t version, const char *expected)
{
	struct stage stage;

	if (!expected)
		return;
	stage_open(&stage, version);
	play(&stage, c->script);
	if (stage.outcome.n != (*expected != 0) || strcmp(stage.outcome.clause, expected) != 0)
		print_error("%s in %d: expected '%s', %u reported, first '%s': %s\n", c->name, version, expected,
		            stage.outcome.n, stage.outcome.clause, stage.outcome.text);
	assert_string_equal(stage.outcome.clause, expected);
	assert_int_equal(stage.outcome.n, *expected != 0);
	stage_close(&stage);
}

static void is_judged_as_written(void **state)
{
	const struct conversation *c = *state;

	judge(c, MQTT_3_1_1, c->in_311);
	judge(c, MQTT_5, c->in_5);
}

/* ---- what is counted ---- */

static const struct {
	const char *script, *clause;
	uint8_t version;
	int64_t least, most;
} counts[] = {
	{ CON, "MQTT-3.2.0-1", 5, 1, 1 },
	{ CON, "MQTT-3.2.2-2", 5, 1, 1 },
	{ CON, "MQTT-3.2.2-1", 5, 1, 1 },
	{ CON, "MQTT-3.2.2-1", 4, 1, 1 },
	{ CON, "MQTT-2.1.3-1", 5, 1, 1 },
	{ CON, "MQTT-2.2.2-1", 4, 1, 1 },
	{ CON, "MQTT-1.5.5-1", 5, 1, 9 },
	{ CON, "MQTT-3.2.2-8", 5, 1, 1 },
	{ CON, "MQTT-4.12.0-6", 5, 1, 1 },
	{ CON, "MQTT-3.3.4-9", 5, 0, 0 },
	{ CON, "MQTT-3.3.2-8", 5, 0, 0 },
	{ CON, "MQTT-3.1.2-24", 5, 0, 0 },
	{ CON, "MQTT-9.9.9-9", 5, -1, -1 },
	{ CON, "MQTT-3.3.4-9", 4, -1, -1 },
	{ CON, "MQTT-3.1.2-24", 4, -1, -1 },
	{ CON, "MQTT-3.1.2-22", 5, -1, -1 },
	{ CON, "MQTT-3.3.2-8", 4, -1, -1 },
	{ CON, "MQTT-3.14.1-1", 4, -1, -1 },
	{ CON, "MQTT-3.14.1-1", 5, 0, 0 },
	{ CON, "MQTT-4.13.1-1", 5, -1, -1 },
	{ CON, "MQTT-3.8.3-1", 5, -1, -1 },
	{ CON, "property-unknown", 5, 1, 1 },
	{ CON, "property-unknown", 4, -1, -1 },
	{ CON, "connack-flags", 4, 1, 1 },
	{ CON, "MQTT-4.3.3-6", 4, -1, -1 },
	{ CON ">sub f=a/b:2;<suback c=2;<pub q2;>pubrec;<pubrel;>pubcomp", "MQTT-4.3.3-6", 5, 1, 1 },
	{ CON ">sub f=a/b:2;<suback c=2;<pub q2;>pubrec;<pubrel;>pubcomp", "MQTT-4.3.3-4", 5, 1, 1 },
	{ CON ">sub f=a/b:2;<suback c=2;<pub q2;>pubrec;<pubrel;>pubcomp", "MQTT-3.6.2-1", 5, 1, 1 },
	{ CON ">pub q2 id=9;<pubrec id=9;>pubrel id=9;<pubcomp id=9;", "MQTT-2.2.1-5", 5, 2, 2 },
	{ CON ">pub q1 id=9;<puback id=9;", "MQTT-3.3.4-1", 4, 1, 1 },
	{ CON ">unsub f=a;<unsuback c=0;", "MQTT-3.10.4-4", 4, 1, 1 },
	{ CON ">sub f=a/b:1;<suback c=1;", "MQTT-3.8.4-7", 5, 1, 1 },
	{ CON ">sub f=a/b:1;<suback c=1;", "MQTT-3.8.4-2", 4, 1, 1 },
	{ CON ">sub f=a/b:1;<suback c=1;<pub;", "MQTT-3.8.4-8", 5, 1, 1 },
	{ CON ">sub f=a/b:1;<suback c=1;<pub q1;", "MQTT-2.2.1-4", 5, 1, 1 },
	{ CON ">sub f=a/b:1;<suback c=1;<pub q1;", "MQTT-4.4.0-1", 5, 0, 0 },
	{ CON ">sub f=a/b:1;<suback c=1;<pub q1;>ping;<pong;", "MQTT-4.4.0-1", 5, 1, 1 },
	{ CON ">sub f=a/b:1;<suback c=1;<pub q1;", "MQTT-2.3.1-4", 4, 1, 1 },
	{ CON ">sub f=a/b:1;<suback c=1;<pub;", "MQTT-3.1.2-27", 5, 1, 1 },
	{ CON ">sub f=a/b:1;<suback c=1;<pub;", "MQTT-3.1.2-26", 5, 0, 0 },
	{ ">connect clean tam=3;<connack;>sub f=a/b;<suback c=0;<pub alias=3;", "MQTT-3.1.2-26", 5, 1, 1 },
	{ ">connect clean tam=3;<connack;>sub f=a/b;<suback c=0;<pub alias=3;", "MQTT-3.3.2-11", 5, 1, 1 },
	{ ">connect clean tam=3;<connack;>sub f=a/b;<suback c=0;<pub alias=3;", "MQTT-3.3.2-8", 5, 1, 1 },
	{ ">connect clean mps=99;<connack;>sub f=a/b;<suback c=0;<pub;", "MQTT-3.1.2-24", 5, 3, 3 },
	{ ">connect clean mps=99;<connack;>pub q1 id=4;<puback id=4 code=80 rs=no;", "MQTT-3.4.2-2", 5, 1, 1 },
	{ ">connect clean rm=1;<connack;>sub f=a/b:1;<suback c=1;<pub q1;", "MQTT-3.3.4-9", 5, 1, 1 },
	{ ">connect clean rm=1;<connack;>sub f=a/b:1;<suback c=1;<pub q1;", "MQTT-4.9.0-2", 5, 1, 1 },
	{ ">connect clean rm=2;<connack;>sub f=a/b:1;<suback c=1;<pub q1;", "MQTT-4.9.0-2", 5, 0, 0 },
	{ ">connect clean rpi=0;<connack;>sub f=a/b:1;<suback c=1;", "MQTT-3.1.2-29", 5, 1, 1 },
};

static void occasions_are_counted(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(counts) / sizeof(*counts); i++) {
		struct span clause = span_text(counts[i].clause);
		struct stage stage;
		int64_t n;

		stage_open(&stage, counts[i].version);
		play(&stage, counts[i].script);
		assert_int_equal(stage.outcome.n, 0);
		n = monitor_held(&stage.log, counts[i].version, clause);
		if (n < counts[i].least || n > counts[i].most)
			fail_msg("row %zu, %s: counted %d", i, counts[i].clause, (int)n);
		assert_int_equal(monitor_held(NULL, counts[i].version, clause), n < 0 ? -1 : 0);
		stage_close(&stage);
	}
}

/* A rule that was broken is not counted as held on that occasion. */
static void a_broken_rule_is_not_counted(void **state)
{
	struct stage stage;

	(void)state;
	stage_open(&stage, MQTT_5);
	play(&stage, CON "<pong;");
	assert_int_equal(monitor_held(&stage.log, MQTT_5, span_text("MQTT-3.12.4-1")), 0);
	stage_close(&stage);
}

/* ---- leniency ---- */

static const char *const misdeeds[] = {
	">ping;",					/* nothing but CONNECT comes first */
	">connect clean;<connack;>connect clean;",
	">connect clean flags=1;",
	CON ">pub q1 id=1;>pub q1 id=1;",
	CON ">sub id=5 f=a;>unsub id=5 f=a;",
	CON ">pub q1 id=0;",
	CON ">pubrel id=0;",
	CON ">pub q2 id=3;>pubrel id=3;",
	CON ">sub f=a/b:2;<suback c=2;<pub q1 id=2;>pubrec id=2;",
	CON ">sub f=a/b:2;<suback c=2;<pub q2 id=2;>puback id=2;",
	CON ">sub f=a/b:2;<suback c=2;<pub q2 id=2;>pubrec id=2;>pubcomp id=2;",
	CON ">hex=c08000;",
	CON ">hex=c00100;",
	CON ">disconnect;>ping;",
};

static const char *const misdeeds_5[] = {
	">connect clean;<connack rm=1;>pub q1 id=1;>pub q1 id=2;",
	">connect clean;<connack mq=1;>pub q2 id=1;",
	">connect clean;<connack ra=0;>pub retain;",
	">connect clean;<connack mps=10;>pub p=0123456789;",
	">connect clean;<connack;>pub alias=1;",
	">connect clean;<connack tam=2;>pub alias=3;",
	">connect clean;<connack tam=2;>pub t= alias=1;",
	">connect clean;<connack wsa=0;>sub f=a/#;",
	">connect clean;<connack ssa=0;>sub f=$share/g/a;",
	">connect clean;<connack sia=0;>sub sid=1 f=a;",
	">connect clean;<connack;>auth code=19 method=m;",
	">connect clean method=m;>pub;",
	">connect clean;<connack;>disconnect code=0 expiry=5;",
	CON ">pub q1 id=1;>pub q1 id=1 dup;",
};

static void after_a_misdeed_only_form_is_judged(void **state)
{
	(void)state;
	for (unsigned version = MQTT_3_1_1; version <= MQTT_5; version++) {
		size_t n = sizeof(misdeeds) / sizeof(*misdeeds), n_5 = sizeof(misdeeds_5) / sizeof(*misdeeds_5);

		for (size_t i = 0; i < n + (version == MQTT_5 ? n_5 : 0); i++) {
			const char *script = i < n ? misdeeds[i] : misdeeds_5[i - n];
			struct stage stage;

			stage_open(&stage, (uint8_t)version);
			play(&stage, script);
			if (!monitor_is_lenient(&stage.monitors[0]))
				fail_msg("not lenient after %s", script);
			/* what would be a violation otherwise */
			play(&stage, "<pong;<puback id=77;<pub q1 id=9 dup;<suback id=70 c=0;");
			assert_int_equal(stage.outcome.n, 0);
			/* form still is */
			play(&stage, "<pub q2 id=0;");
			assert_int_equal(stage.outcome.n, 1);
			stage_close(&stage);
		}
	}
}

/* ---- what is in force, and what it costs ---- */

static void limits_are_in_force(void **state)
{
	struct stage stage;
	struct monitor *m = &stage.monitors[0];

	(void)state;
	stage_open(&stage, MQTT_5);
	play(&stage, ">connect expiry=9;<connack rm=7 mq=1 ra=0 mps=1000 tam=5 ka=3 wsa=0;");
	assert_int_equal(monitor_version(m), MQTT_5);
	assert_int_equal(monitor_in_force(m, PROP_receive_maximum), 7);
	assert_int_equal(monitor_in_force(m, PROP_maximum_qos), 1);
	assert_int_equal(monitor_in_force(m, PROP_retain_available), 0);
	assert_int_equal(monitor_in_force(m, PROP_maximum_packet_size), 1000);
	assert_int_equal(monitor_in_force(m, PROP_topic_alias_maximum), 5);
	assert_int_equal(monitor_in_force(m, PROP_server_keep_alive), 3);
	assert_int_equal(monitor_in_force(m, PROP_session_expiry_interval), 9);
	assert_int_equal(monitor_in_force(m, PROP_wildcard_subscription_available), 0);
	assert_int_equal(monitor_in_force(m, PROP_shared_subscription_available), 1);
	play(&stage, "drop;>connect expiry=9;<connack expiry=4;");
	assert_int_equal(monitor_in_force(m, PROP_session_expiry_interval), 4);
	assert_int_equal(monitor_in_force(m, PROP_server_keep_alive), 60);
	assert_int_equal(monitor_in_force(m, PROP_receive_maximum), 65535);
	assert_int_equal(monitor_in_force(m, PROP_maximum_qos), 2);
	stage_close(&stage);
}

static void an_idle_client_costs_the_struct_alone(void **state)
{
	struct stage stage;

	(void)state;
	assert_true(sizeof(struct monitor) <= 96);
	stage_open(&stage, MQTT_5);
	play(&stage, CON ">ping;<pong;");
	assert_null(stage.monitors[0].session);
	assert_null(stage.monitors[0].aliases);
	stage_close(&stage);
}

/* Every id at once, so that the tables grow, then all freed in another order. */
static void all_ids_may_be_open(void **state)
{
	struct stage stage;
	char step[64];

	(void)state;
	stage_open(&stage, MQTT_5);
	play(&stage, CON ">sub f=a/b:2;<suback c=2;");
	for (unsigned id = 1; id <= 65535; id++) {
		snprintf(step, sizeof(step), "<pub q%u id=%u;", 1 + id % 2, id);
		play(&stage, step);
	}
	assert_int_equal(stage.outcome.n, 0);
	for (unsigned i = 0; i < 65535; i++) {
		unsigned id = 1 + (unsigned)(i * 7919ul % 65535);

		snprintf(step, sizeof(step), id % 2 ? ">pubrec id=%u;" : ">puback id=%u;", id);
		play(&stage, step);
		if (id % 2) {
			snprintf(step, sizeof(step), "<pubrel id=%u;>pubcomp id=%u;", id, id);
			play(&stage, step);
		}
	}
	assert_false(monitor_is_lenient(&stage.monitors[0]));
	assert_int_equal(stage.outcome.n, 0);
	play(&stage, "<pub q1 id=7;<pub q1 id=7;");
	assert_int_equal(stage.outcome.n, 1);
	stage_close(&stage);
}

/* More filters than are kept: its subscriptions are unknown from then on. */
static void too_many_filters_end_the_judgement(void **state)
{
	struct stage stage;
	char step[64];

	(void)state;
	stage_open(&stage, MQTT_5);
	play(&stage, CON);
	for (unsigned i = 0; i < 5000; i++) {
		snprintf(step, sizeof(step), ">sub f=t/%u;<suback c=0;", i);
		play(&stage, step);
	}
	play(&stage, "<pub t=other;<pub q1 t=t/1;");
	assert_int_equal(stage.outcome.n, 0);
	stage_close(&stage);
}

static void joined_midway_only_form_is_judged(void **state)
{
	struct stage stage;

	(void)state;
	stage_open(&stage, MQTT_5);
	monitor_open(&stage.monitors[0], stage.world, &stage.log);
	stage.open[0] = true;
	monitor_assume(&stage.monitors[0], MQTT_5);
	play(&stage, "<pub q1 id=9 dup;<pong;>pub q1 id=4;<puback id=5;>sub f=a;");
	assert_int_equal(stage.outcome.n, 0);
	play(&stage, "<pubrel id=9 flags=0;");
	assert_int_equal(stage.outcome.n, 1);
	stage_close(&stage);
}

/* Its CONNACK does not say whether a session was there, so nothing of one may be held against the server. */
static void version_3_1_has_no_session_present(void **state)
{
	struct stage stage;

	(void)state;
	stage_open(&stage, MQTT_3_1);
	play(&stage, ">connect;<connack;>sub f=a/b:1;<suback c=1;<pub q1 id=1;drop;>connect;<connack;<pub q1 id=1;<pub q2 t=z id=2");
	assert_int_equal(stage.outcome.n, 0);
	play(&stage, "drop;" CON ">sub f=a/b:1;<suback c=1;<pub q2 id=1");
	assert_int_equal(stage.outcome.n, 1);
	assert_string_equal(stage.outcome.clause, "MQTT-3.8.4-6");
	stage_close(&stage);
}

/* Endlessly many clients, each with something open: what is kept stays within the bound, and what was forgotten is not judged. */
static void a_bounded_world_forgets_sessions(void **state)
{
	struct stage stage;
	char script[160];

	(void)state;
	stage_open(&stage, MQTT_5);
	monitor_world_bound(stage.world, 256 << 10, 100);
	for (unsigned i = 0; i < 5000; i++) {
		snprintf(script, sizeof(script), ">connect as=c%u expiry=60;<connack;>sub f=a/b:1;<suback c=1;<pub q1 id=5;drop", i);
		play(&stage, script);
	}
	for (unsigned i = 0; i < 5000; i += 100) {
		snprintf(script, sizeof(script), ">connect as=c%u expiry=60;<connack sp;<pub q1 id=5 dup;drop", i);
		play(&stage, script);
	}
	assert_int_equal(stage.outcome.n, 0);
	play(&stage, STORED ">sub f=a/b:1;<suback c=1;<pub q1 id=5;" AGAIN "<pub q1 id=5");
	assert_string_equal(stage.outcome.clause, "MQTT-3.3.1-1");
	stage_close(&stage);
}

/* The same client id at two brokers is two sessions. */
static void realms_are_apart(void **state)
{
	struct stage stage;

	(void)state;
	stage_open(&stage, MQTT_5);
	play(&stage, STORED ">sub f=a/b:1;<suback c=1;<pub q1 id=5;drop");
	monitor_open(&stage.monitors[0], stage.world, &stage.log);
	stage.open[0] = true;
	monitor_realm(&stage.monitors[0], 7);
	play(&stage, ">connect expiry=60;<connack sp;<pub q1 id=5;drop");
	assert_int_equal(stage.outcome.n, 0);
	monitor_world_distrust(stage.world, 0, span_text("me"));
	play(&stage, ">connect expiry=60;<connack sp;<pub q1 id=5");
	assert_int_equal(stage.outcome.n, 0);
	stage_close(&stage);
}

int main(void)
{
	static const struct CMUnitTest others[] = {
		cmocka_unit_test(a_bounded_world_forgets_sessions),
		cmocka_unit_test(realms_are_apart),
		cmocka_unit_test(occasions_are_counted),
		cmocka_unit_test(a_broken_rule_is_not_counted),
		cmocka_unit_test(after_a_misdeed_only_form_is_judged),
		cmocka_unit_test(limits_are_in_force),
		cmocka_unit_test(an_idle_client_costs_the_struct_alone),
		cmocka_unit_test(all_ids_may_be_open),
		cmocka_unit_test(too_many_filters_end_the_judgement),
		cmocka_unit_test(joined_midway_only_form_is_judged),
		cmocka_unit_test(version_3_1_has_no_session_present),
	};
	static struct CMUnitTest tests[N_CONVERSATIONS];
	int failed;

	for (size_t i = 0; i < N_CONVERSATIONS; i++)
		tests[i] = (struct CMUnitTest){ .name = conversations[i].name, .test_func = is_judged_as_written,
		                                .initial_state = (void *)(uintptr_t)&conversations[i] };
	failed = cmocka_run_group_tests_name("conversations", tests, NULL, NULL);
	return failed + cmocka_run_group_tests_name("monitor", others, NULL, NULL);
}

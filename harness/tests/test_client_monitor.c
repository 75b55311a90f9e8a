#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "harness/client_monitor.h"
#include "harness/script.h"
#include "harness/tests/shorthand.h"

/*
 * Conversations in a shorthand: steps separated by ';', each "[b]>packet words" (the client sends), ">crossed packet words",
 * "[b]<packet words" (the broker sends), on connection a unless another letter stands first; "drop", "vanish" (it ends, seen or
 * not), "excuse", "assume", "distrust", "wait=SECONDS", ">close", "<close". The words: shorthand.h.
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
#include "harness/tests/client_conversations.def"
};

#define N_CONVERSATIONS (sizeof(conversations) / sizeof(*conversations))

/* ---- playing ---- */

struct outcome {
	unsigned n;
	char clause[64], text[300];
};

static void note(void *owner, struct client_monitor *client, const struct violation *violation)
{
	struct outcome *outcome = owner;

	assert_non_null(client);
	assert_non_null(violation->text);
	if (!outcome->n++) {
		snprintf(outcome->clause, sizeof(outcome->clause), "%s", violation->clause);
		snprintf(outcome->text, sizeof(outcome->text), "%s", violation->text);
	}
}

struct stage {
	struct client_world *world;
	struct client_log log;
	struct outcome outcome;
	struct client_monitor clients[2];
	bool open[2];
	uint8_t version;
	uint64_t now_ns;
};

static void stage_open(struct stage *stage, uint8_t version)
{
	*stage = (struct stage){ .version = version, .now_ns = 1000000000 };
	stage->world = client_world_new(1 << 20, 100);
	assert_non_null(stage->world);
	stage->log.violated = note;
	stage->log.owner = &stage->outcome;
}

static void stage_close(struct stage *stage)
{
	for (unsigned i = 0; i < 2; i++)
		if (stage->open[i])
			client_close(&stage->clients[i], true);
	client_world_free(stage->world);
}

static void play_packet(struct stage *stage, struct client_monitor *c, bool sent, char *text)
{
	bool crossed = !strncmp(text, "crossed ", 8);
	uint8_t bytes[2200], *copy;
	size_t len = shorthand_bytes(text + (crossed ? 8 : 0), stage->version, bytes, sizeof(bytes));
	struct packet packet;
	struct finding finding;
	struct frame frame;

	copy = malloc(len);		/* so that a sanitizer sees a read behind the packet */
	assert_non_null(copy);
	memcpy(copy, bytes, len);
	assert_int_equal(frame_next(copy, len, &frame, &finding), FRAME_OK);
	bool readable = decode(copy, len, stage->version, &packet, &finding) == CODEC_OK;
	if (sent) {
		struct client_packet p = { .bytes = { copy, len }, .frame = &frame, .packet = readable ? &packet : NULL, .finding = &finding,
		                           .began_ns = stage->now_ns, .time_ns = stage->now_ns, .crossed = crossed };

		client_sent(c, &p);
	} else {
		assert_true(readable);
		client_received(c, &packet, stage->now_ns);
	}
	free(copy);
}

static void play_step(struct stage *stage, char *step)
{
	unsigned i = 0;
	struct client_monitor *c;

	if (*step == 'b' && (step[1] == '<' || step[1] == '>')) {
		i = 1;
		step++;
	}
	c = &stage->clients[i];
	if (!strncmp(step, "wait=", 5)) {
		stage->now_ns += (uint64_t)atoi(step + 5) * 1000000000;
		return;
	}
	if (!strcmp(step, "distrust")) {
		client_world_distrust(stage->world, 7, span_text("me"));
		return;
	}
	if (!strcmp(step, "drop") || !strcmp(step, "vanish")) {
		client_close(c, *step == 'd');
		stage->open[i] = false;
		return;
	}
	if (!stage->open[i]) {
		client_open(c, stage->world, &stage->log);
		c->realm = 7;
		c->version = stage->version;
		stage->open[i] = true;
	}
	if (!strcmp(step, "excuse"))
		client_excuse(c);
	else if (!strcmp(step, "assume"))
		client_assume(c, stage->version);
	else if (!strcmp(step + 1, "close"))
		client_hung_up(c, *step == '>' ? FROM_CLIENT : FROM_SERVER, stage->now_ns);
	else
		play_packet(stage, c, *step == '>', step + 1);
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
	int64_t n;
} counts[] = {
	{ CON, "MQTT-3.1.0-1", 5, 1 },
	{ CON, "MQTT-3.1.0-1", 4, 1 },
	{ CON, "MQTT-3.1.2-3", 4, 1 },
	{ CON, "MQTT-2.2.1-3", 5, 0 },
	{ CON, "MQTT-3.2.2-17", 5, 0 },
	{ CON, "MQTT-3.2.2-17", 4, -1 },
	{ CON, "MQTT-3.3.4-9", 5, -1 },
	{ CON, "MQTT-9.9.9-9", 5, -1 },
	{ CON ">pub q1 id=1;", "MQTT-2.3.1-2", 4, 1 },
	{ CON ">pub q1 id=1;", "MQTT-4.3.2-2", 5, 1 },
	{ CON ">pub q1 id=1;", "MQTT-3.2.2-18", 5, 1 },
	{ CON ">pub q1 id=1;", "MQTT-3.3.2-2", 5, 1 },
	{ CON ">sub f=a/b:1;<suback c=1;<pub q1;>puback;", "MQTT-3.3.4-1", 4, 1 },
	{ CON ">sub f=a/b:1;<suback c=1;<pub q1;>puback;", "MQTT-2.2.1-5", 5, 1 },
	{ CON ">sub f=a/b:1;<suback c=1;<pub q1 id=1;<pub q1 id=2;>puback id=1;>puback id=2;", "MQTT-4.6.0-2", 5, 1 },
	{ CON ">pub q2 id=1;<pubrec id=1;>pubrel id=1;", "MQTT-4.3.3-4", 5, 1 },
	{ ">connect clean;<connack tam=4;>pub alias=3;", "MQTT-3.2.2-17", 5, 1 },
	{ ">connect clean;<connack tam=4;>pub alias=3;", "MQTT-3.3.2-9", 5, 1 },
	{ ">connect clean;<connack rm=1;>pub q1 id=3;", "MQTT-3.3.4-7", 5, 1 },
	{ ">connect clean;<connack rm=2;>pub q1 id=3;", "MQTT-3.3.4-7", 5, 0 },
	{ ">connect clean;<connack mps=90;>disconnect code=80 rs=x;", "MQTT-3.14.2-3", 5, 1 },
	{ STORED ">pub q1 id=5;" AGAIN ">pub q1 id=5 dup;", "MQTT-3.3.1-1", 4, 1 },
	{ CON ">ping;", "MQTT-3.1.2-23", 4, 1 },
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
		n = client_held(&stage.log, counts[i].version, clause);
		if (n != counts[i].n)
			fail_msg("row %zu, %s: counted %d", i, counts[i].clause, (int)n);
		assert_int_equal(client_held(NULL, counts[i].version, clause), n < 0 ? -1 : 0);
		stage_close(&stage);
	}
}

/* Whatever can be reported is something that `explain` knows, and that a client can break. */
static void every_rule_is_a_clause(void **state)
{
	static const struct {
		const char *name, *id[2];
	} rules[] = {
#define X(name, id_311, id_5, asks) { #name, { id_311, id_5 } },
#include "harness/client_monitor.def"
#undef X
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rules) / sizeof(*rules); i++)
		for (unsigned five = 0; five < 2; five++) {
			const char *id = rules[i].id[five], *other;
			enum version version = five ? MQTT_5 : MQTT_3_1_1;

			if (id && !clause_find(version, span_text(id)))
				fail_msg("%s: there is no clause %s", rules[i].name, id);
			for (size_t k = 0; id && (other = client_also(version, id, k)); k++)
				if (!clause_find(version, span_text(other)))
					fail_msg("%s: there is no clause %s", rules[i].name, other);
			if (id && client_held(NULL, version, span_text(id)) < 0)
				fail_msg("%s is not counted", id);
		}
}

static void one_violation_breaks_what_it_implies(void **state)
{
	(void)state;
	assert_true(client_implies(MQTT_5, "MQTT-3.2.2-17", "MQTT-3.2.2-17"));
	assert_true(client_implies(MQTT_5, "MQTT-3.2.2-17", "MQTT-3.3.2-9"));
	assert_false(client_implies(MQTT_5, "MQTT-3.2.2-17", "MQTT-3.3.2-8"));
	assert_false(client_implies(MQTT_3_1_1, "MQTT-3.2.2-17", "MQTT-3.3.2-9"));
}

/* Sessions of endlessly many clients, each with something open: the room is enough, and what was forgotten is not judged. */
static void sessions_are_bounded(void **state)
{
	struct stage stage;
	char script[160];

	(void)state;
	stage_open(&stage, MQTT_5);
	for (unsigned i = 0; i < 5000; i++) {
		snprintf(script, sizeof(script), ">connect as=c%u expiry=60;<connack;>pub q1 id=5;drop", i);
		play(&stage, script);
	}
	for (unsigned i = 0; i < 5000; i += 100) {
		snprintf(script, sizeof(script), ">connect as=c%u expiry=60;<connack sp;>pub q1 id=5 dup;drop", i);
		play(&stage, script);
	}
	assert_int_equal(stage.outcome.n, 0);
	stage_close(&stage);
}

/* More packet ids in use than there is room for: nothing is judged any more, and nothing breaks. */
static void flows_are_bounded(void **state)
{
	struct stage stage;
	char script[160];

	(void)state;
	stage_open(&stage, MQTT_5);
	play(&stage, CON);
	for (unsigned i = 1; i < 65536; i++) {
		snprintf(script, sizeof(script), ">pub q1 id=%u", i);
		play(&stage, script);
	}
	assert_int_equal(stage.outcome.n, 0);
	assert_true(client_is_excused(&stage.clients[0]));
	stage_close(&stage);
}

int main(void)
{
	static struct CMUnitTest tests[N_CONVERSATIONS];
	static const struct CMUnitTest others[] = {
		cmocka_unit_test(occasions_are_counted),
		cmocka_unit_test(every_rule_is_a_clause),
		cmocka_unit_test(one_violation_breaks_what_it_implies),
		cmocka_unit_test(sessions_are_bounded),
		cmocka_unit_test(flows_are_bounded),
	};

	for (size_t i = 0; i < N_CONVERSATIONS; i++)
		tests[i] = (struct CMUnitTest){ .name = conversations[i].name, .test_func = is_judged_as_written,
		                                .initial_state = (void *)&conversations[i] };
	int failed = _cmocka_run_group_tests("conversations", tests, N_CONVERSATIONS, NULL, NULL);
	return failed | cmocka_run_group_tests(others, NULL, NULL);
}

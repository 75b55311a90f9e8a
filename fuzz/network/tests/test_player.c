#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "codec/text.h"
#include "fuzz/network/player.h"
#include "harness/tests/puppet.h"
#include "reference-broker/local.h"
#include "reference-broker/server.h"

/*
 * Cases against the reference broker, and against a broker on strings that does what brokers do not, both in this process on simulated time. What goes over the
 * wire is written down by a tap: "c0 > " and the bytes, "c0 < " and what came.
 */

#define MS UINT64_C(1000000)

enum { PATIENCE_MS = 100, LONGEST_MS = 1200 };

static struct loop loop;
static const struct local_broker *side;
static void *broker;
static struct local_service service;
static struct address address;
static struct player *player;
static struct player_options options;
static struct played last;
static unsigned n_done;
static struct moves moves, did;

/* ---- stage ---- */

static void start(const struct local_broker *which, const unsigned *faults, size_t n_faults)
{
	const char *why = "";

	side = which;
	loop_init(&loop, true);
	broker = side->start(&loop, NULL, 0, faults, n_faults, 1, &service, &why);
	assert_non_null(broker);
	address = (struct address){ .kind = ADDRESS_MEMORY, .service = service.services[WAY_TCP] };
	options = (struct player_options){ .loop = &loop, .address = &address, .patience_ns = PATIENCE_MS * MS, .longest_wait_ns = LONGEST_MS * MS };
	player = player_new(&options);
	moves.n = moves.used = 0;
	n_done = 0;
}

static void start_again(void)
{
	player_free(player);
	player = player_new(&options);
}

static void stop(void)
{
	player_free(player);
	side->stop(broker);
	loop_settle(&loop);
	loop_release(&loop);
}

static void start_reference(void)
{
	start(&reference_broker, NULL, 0);
}

static void start_broken(const char *rule)
{
	unsigned faults[8];
	int n = reference_broker.faults_named(rule, faults, 8);

	assert_true(n > 0);
	start(&reference_broker, faults, (size_t)n);
}

static void start_puppet(const struct puppet_row *rows)
{
	puppet_play(rows);
	start(&puppet_broker, NULL, 0);
}

/* ---- cases ---- */

static void move(enum move_kind kind, unsigned client, unsigned value)
{
	assert_true(moves_insert(&moves, moves.n, (struct move){ .kind = (uint8_t)kind, .client = (uint8_t)client, .value = (uint8_t)value }));
}

static void send_bytes(unsigned client, const void *bytes, size_t len)
{
	struct move m = { .kind = len > 255 ? MOVE_SEND_LONG : MOVE_SEND, .client = (uint8_t)client };

	assert_true(moves_keep(&moves, span_of(bytes, len), &m.bytes));
	assert_true(moves_insert(&moves, moves.n, m));
}

static size_t bytes_of(const char *text, enum version version, uint8_t *bytes, size_t cap)
{
	static uint8_t room[70000];
	struct arena arena;
	struct builder b;
	struct fault fault;
	struct writer w = writer_to(bytes, cap);

	arena_init(&arena, room, sizeof(room));
	if (packet_parse(span_text(text), version, &arena, &b, &fault) != CODEC_OK)
		fail_msg("%s: %s", text, fault.text);
	assert_int_equal(builder_encode(&b, &w), CODEC_OK);
	assert_true(wr_fits(&w));
	return w.len;
}

static void say(unsigned client, enum version version, const char *text)
{
	uint8_t bytes[1000];

	send_bytes(client, bytes, bytes_of(text, version, bytes, sizeof(bytes)));
}

static void ask(unsigned client, enum version version, const char *text)
{
	say(client, version, text);
	move(MOVE_AWAIT, client, 0);
}

static void open_client(unsigned client, enum version version, const char *connect)
{
	move(MOVE_OPEN, client, 0);
	ask(client, version, connect);
}

#define CONNECT_A "CONNECT client_id=\"fz000000a\" clean_start keep_alive=60"
#define CONNECT_B "CONNECT client_id=\"fz000000b\" clean_start keep_alive=60"

static void make_session(enum version version)
{
	moves.n = moves.used = 0;
	open_client(0, version, CONNECT_A);
	ask(0, version, "SUBSCRIBE packet_id=1 (\"fz000000/t\" qos=1)");
	ask(0, version, "PUBLISH topic=\"fz000000/t\" qos=1 packet_id=2 payload=\"x\"");
	move(MOVE_ANSWER, 0, ANSWER_RIGHT);
	ask(0, version, "PINGREQ");
	say(0, version, "DISCONNECT");
}

static void on_done(void *context, const struct played *played)
{
	(void)context;
	last = *played;
	n_done++;
	if (!player_busy(player))
		loop_stop(&loop);
}

/* Leaves `last` as it is. */
static void on_first_done(void *context, const struct played *played)
{
	(void)context;
	assert_int_equal(played->symptom.oracle, ORACLE_NONE);
	loop_stop(&loop);
}

static void play_as(uint64_t number, struct tap *tap)
{
	player_play(player, &moves, number, tap, &did, on_done, NULL);
	assert_int_equal(player_busy(player), 1);
	assert_true(loop_run(&loop));
	assert_int_equal(player_busy(player), 0);
	assert_int_equal(last.number, number);
}

static void play(void)
{
	play_as(1, NULL);
}

static void assert_clean(void)
{
	if (last.symptom.oracle != ORACLE_NONE)
		fail_msg("%s: %s", last.symptom.bucket, last.symptom.text);
	assert_int_equal(last.n_unanswered, 0);
	assert_int_equal(last.n_refused, 0);
}

/* ---- a tap ---- */

static char wire[400000];

struct line {
	struct tapped tapped;
	char who[8];
};

static void note(const struct line *line, char how, struct span bytes)
{
	size_t len = strlen(wire);

	assert_true(len + 2 * bytes.len + 40 < sizeof(wire));
	len += (size_t)sprintf(wire + len, "%s %c ", line->who, how);
	for (size_t i = 0; i < bytes.len; i++)
		len += (size_t)sprintf(wire + len, "%02x", bytes.at[i]);
	strcpy(wire + len, "\n");
}

static void on_tap_opened(struct tapped *tapped, uint64_t now_ns)
{
	(void)now_ns;
	note((struct line *)tapped, 'o', (struct span){ 0 });
}

static void on_tap_bytes(struct tapped *tapped, uint64_t now_ns, enum tap_side from, struct span bytes)
{
	(void)now_ns;
	note((struct line *)tapped, from == TAP_CLIENT ? '>' : '<', bytes);
}

static void on_tap_finished(struct tapped *tapped, uint64_t now_ns)
{
	(void)now_ns;
	note((struct line *)tapped, 'f', (struct span){ 0 });
}

static void on_tap_ended(struct tapped *tapped, uint64_t now_ns, enum tap_end how)
{
	(void)now_ns;
	note((struct line *)tapped, how == TAP_DROPPED ? 'R' : how == TAP_CLOSED ? 'F' : how == TAP_BROKER_CLOSED ? 'e' : 'r', (struct span){ 0 });
	free(tapped);
}

static const struct tap_ops tap_ops = { .opened = on_tap_opened, .bytes = on_tap_bytes, .finished = on_tap_finished, .ended = on_tap_ended };

static struct tapped *connecting(struct tap *tap, uint64_t now_ns, const char *who)
{
	struct line *line = calloc(1, sizeof(*line));

	(void)tap, (void)now_ns;
	assert_non_null(line);
	line->tapped.ops = &tap_ops;
	snprintf(line->who, sizeof(line->who), "%s", who);
	return &line->tapped;
}

static struct tap tap = { connecting };

static void play_tapped(uint64_t number)
{
	*wire = '\0';
	play_as(number, &tap);
}

/* ---- what is expected of it ---- */

static void assert_wire(const char *expected)
{
	if (!strstr(wire, expected))
		fail_msg("expected %s in\n%s", expected, wire);
}

static void plays_a_session(void **state)
{
	static const enum version versions[] = { MQTT_3_1, MQTT_3_1_1, MQTT_5 };

	(void)state;
	start_reference();
	for (unsigned i = 0; i < 3; i++) {
		make_session(versions[i]);
		play();
		assert_clean();
		assert_int_equal(last.n_sent, 6);
		assert_int_equal(last.n_received, 5);
		assert_int_equal(last.n_answers, 6);	/* CONNACK, SUBACK, PUBACK, the delivery, PINGRESP, the end */
		assert_true(last.took_ns < PATIENCE_MS * MS);
	}
	stop();
}

static void same_answers_are_the_same_set(void **state)
{
	struct played before;

	(void)state;
	start_reference();
	make_session(MQTT_5);
	play_as(3, NULL);
	before = last;
	play_as(70, NULL);
	assert_int_equal(last.n_answers, before.n_answers);
	assert_memory_equal(last.answers, before.answers, sizeof(last.answers));
	make_session(MQTT_3_1_1);
	play_as(71, NULL);
	assert_memory_not_equal(last.answers, before.answers, sizeof(last.answers));

	/* another reason code, another QoS of a delivery */
	moves.n = moves.used = 0;
	open_client(0, MQTT_5, CONNECT_A);
	ask(0, MQTT_5, "UNSUBSCRIBE packet_id=1 (\"a\")");
	play_as(72, NULL);
	before = last;
	moves.n = moves.used = 0;
	open_client(0, MQTT_5, CONNECT_A);
	ask(0, MQTT_5, "SUBSCRIBE packet_id=9 (\"a\")");
	play_as(73, NULL);
	assert_int_equal(last.n_answers, 3);	/* the ping's at the end, too */
	assert_memory_not_equal(last.answers, before.answers, sizeof(last.answers));
	stop();
}

static void cases_have_names(void **state)
{
	(void)state;
	start_reference();
	make_session(MQTT_3_1_1);
	play_tapped(35 + 36 * 10);
	assert_wire("667a303030306" "17a61");		/* fz0000aza */
	assert_null(strstr(wire, "667a303030303030"));

	/* With one name they would take each other's session. */
	for (uint64_t n = 100; n < 140; n++)
		player_play(player, &moves, n, NULL, NULL, on_done, NULL);
	n_done = 0;
	assert_int_equal(player_busy(player), 40);
	while (n_done < 40) {
		assert_true(loop_run(&loop));
		assert_clean();
		assert_int_equal(last.n_received, 5);
	}
	stop();
}

static void a_takeover_is_seen(void **state)
{
	(void)state;
	start_reference();
	open_client(0, MQTT_5, CONNECT_A);
	open_client(1, MQTT_5, CONNECT_A);
	move(MOVE_AWAIT, 0, 0);
	ask(0, MQTT_5, "PINGREQ");		/* passed over: the connection is gone */
	ask(1, MQTT_5, "PINGREQ");
	play_tapped(1);
	assert_clean();
	assert_int_equal(last.n_sent, 3);
	assert_int_equal(last.n_received, 4);	/* two CONNACKs, DISCONNECT, PINGRESP */
	assert_int_equal(last.n_answers, 4);
	assert_wire("c0 e");
	assert_int_equal(did.n, moves.n - 3);	/* nor is it awaited */
	stop();
}

static void a_delivery_is_awaited_that_another_sent(void **state)
{
	(void)state;
	start_reference();
	open_client(0, MQTT_3_1_1, CONNECT_A);
	ask(0, MQTT_3_1_1, "SUBSCRIBE packet_id=1 (\"fz000000/t\" qos=2)");
	open_client(1, MQTT_3_1_1, CONNECT_B);
	say(1, MQTT_3_1_1, "PUBLISH topic=\"fz000000/t\" qos=2 packet_id=2 payload=\"x\"");
	move(MOVE_AWAIT, 1, 0);
	move(MOVE_ANSWER, 1, ANSWER_RIGHT);	/* PUBREL */
	for (unsigned i = 0; i < 2; i++)
		move(MOVE_ANSWER, 0, ANSWER_RIGHT);	/* PUBREC, PUBCOMP: each waits for what it answers */
	play_tapped(1);
	assert_clean();
	assert_wire("c1 > 62020002\n");
	assert_wire("c0 > 50020001\n");
	assert_wire("c0 > 70020001\n");
	stop();
}

static void the_moves_do_what_they_say(void **state)
{
	uint64_t began;

	(void)state;
	start_reference();
	move(MOVE_LIMITS, 0, 255);		/* means nothing here */
	move(MOVE_SEND, 3, 0);
	move(MOVE_DROP, 3, 0);
	open_client(0, MQTT_3_1_1, CONNECT_A);
	move(MOVE_STOP_READING, 0, 0);
	ask(0, MQTT_3_1_1, "PINGREQ");
	play_tapped(1);
	assert_null(strstr(wire, "d000"));	/* an answer that is not read is not waited for */
	assert_true(last.took_ns < MS);
	assert_int_equal(last.n_unanswered, 0);

	move(MOVE_READ, 0, 0);
	move(MOVE_AWAIT, 0, 0);
	play_tapped(1);
	assert_wire("c0 < d000\n");
	assert_wire("c0 R");			/* at the end it is reset */

	began = loop.now_ns;
	move(MOVE_PAUSE, 0, 200);		/* 20 ms */
	move(MOVE_WAIT, 0, 1);
	move(MOVE_WAIT, 0, 255);		/* cut */
	play();
	assert_true(loop.now_ns - began >= (520 + LONGEST_MS) * MS && loop.now_ns - began < (540 + LONGEST_MS) * MS);

	move(MOVE_CLOSE, 0, 0);
	ask(0, MQTT_3_1_1, "PINGREQ");		/* nothing can be sent any more */
	play_tapped(1);
	assert_wire("c0 f \n");
	assert_wire("c0 e \n");
	assert_int_equal(last.n_sent, 2);
	assert_clean();

	moves.n = moves.used = 0;
	open_client(0, MQTT_3_1_1, CONNECT_A);
	move(MOVE_DROP, 0, 0);
	ask(0, MQTT_3_1_1, "PINGREQ");
	open_client(0, MQTT_3_1_1, CONNECT_A);
	move(MOVE_OPEN, 0, 0);
	play_tapped(1);
	assert_wire("c0 R \nc0 o \n");
	assert_int_equal(last.n_sent, 2);
	assert_int_equal(did.n, moves.n - 2);
	assert_clean();

	moves.n = moves.used = 0;
	move(MOVE_OPEN, 0, 0);
	say(0, MQTT_3_1_1, CONNECT_A);
	moves.at[1].kind = MOVE_SEND_CUT;
	moves.at[1].value = 5;
	play_tapped(1);
	assert_wire("c0 > 1015000" "44d\nc0 > 5154540402\n");
	assert_wire("c0 < 20020000\n");
	assert_clean();
	stop();
}

/* A conversation with all that is made of the state, and then what was done instead of it. */
static void what_was_done_can_be_done_again(void **state)
{
	static char first[sizeof(wire)];
	static struct moves again;

	(void)state;
	start_reference();
	move(MOVE_OPEN, 0, 0);
	move(MOVE_STEER, 0, 1);		/* CONNECT, in 5 */
	move(MOVE_AWAIT, 0, 0);
	move(MOVE_AWAIT, 5, 0);
	ask(0, MQTT_5, "SUBSCRIBE packet_id=1 (\"fz000000/t\" qos=1)");
	ask(0, MQTT_5, "PUBLISH topic=\"fz000000/t\" qos=1 packet_id=2 payload=\"fz000000\"");
	move(MOVE_ANSWER, 0, ANSWER_RIGHT);
	move(MOVE_ANSWER, 0, ANSWER_RIGHT);	/* nothing is owed */
	ask(0, MQTT_5, "PUBLISH topic=\"fz000000/t\" qos=1 packet_id=2 payload=\"y\"");
	move(MOVE_ANSWER, 0, ANSWER_WRONG_ID);
	move(MOVE_STEER, 0, 0);
	move(MOVE_PAUSE, 0, 3);
	play_tapped(77);
	strcpy(first, wire);
	assert_int_equal(did.n, moves.n - 2);
	for (uint32_t i = 0; i < did.n; i++) {
		assert_int_not_equal(did.at[i].kind, MOVE_STEER);
		if (did.at[i].kind == MOVE_ANSWER) {
			assert_int_equal(did.at[i].value, ANSWER_RIGHT);
			assert_int_equal(did.at[i].bytes.len, 4);
			assert_memory_equal(did.at[i].bytes.at, "\x40\x02\0\1", 4);
		}
	}
	assert_int_equal(did.at[1].kind, MOVE_SEND);
	assert_non_null(memmem(did.at[1].bytes.at, did.at[1].bytes.len, MOVES_NAME, MOVES_NAME_LEN));
	again = did;
	assert_true(moves_copy(&moves, &again));
	play_tapped(77);
	assert_string_equal(wire, first);
	stop();
}

static void who_names_no_user_gets_ours(void **state)
{
	(void)state;
	start_reference();
	options.user_name = span_text("us");
	options.password = span_text("pw");
	start_again();
	move(MOVE_OPEN, 0, 0);
	say(0, MQTT_5, CONNECT_A " user_name=\"own\"");
	move(MOVE_OPEN, 1, 0);
	say(1, MQTT_5, CONNECT_B);
	move(MOVE_OPEN, 2, 0);
	send_bytes(2, "\x10\x04\0\4MQ", 6);		/* cannot be read */
	play_tapped(1);
	assert_wire("c0 > 101b00044d5154540582003c000009667a30303030303161" "00036f776e\n");
	assert_wire("c1 > 101e00044d51545405c2003c000009667a30303030303162" "00027573" "00022a2a\n");	/* taps see no password */
	assert_wire("c2 > 100400044d51\n");
	assert_int_equal(did.at[3].bytes.len, 24);	/* it is not taken down */
	stop();
}

static void patience_ends(void **state)
{
	static const struct puppet_row silent[] = { { PUPPET_SAY, CONNECT, "" }, { PUPPET_END } };

	(void)state;
	start_puppet(silent);
	open_client(0, MQTT_5, CONNECT_A);
	move(MOVE_AWAIT, 0, 0);			/* once is enough */
	move(MOVE_AWAIT, 0, 0);
	play();
	assert_int_equal(last.n_unanswered, 1);
	assert_int_equal(last.n_received, 0);
	assert_int_equal(last.n_answers, 1);
	assert_true(last.took_ns >= PATIENCE_MS * MS && last.took_ns < 2 * PATIENCE_MS * MS);

	moves.n = moves.used = 0;		/* unanswered at the end: awaited once */
	move(MOVE_OPEN, 0, 0);
	say(0, MQTT_5, CONNECT_A);
	move(MOVE_OPEN, 1, 0);
	say(1, MQTT_5, CONNECT_B);
	play();
	assert_int_equal(last.n_unanswered, 1);
	assert_true(last.took_ns >= PATIENCE_MS * MS && last.took_ns < PATIENCE_MS * MS + 5 * MS);

	moves.n = moves.used = 0;		/* again and again: not for long */
	for (unsigned i = 0; i < 60; i++)
		open_client(i % 8, MQTT_5, CONNECT_A);
	play();
	assert_int_equal(last.n_unanswered, 60);
	assert_true(last.took_ns < 20 * PATIENCE_MS * MS);
	stop();
}

static void ours_are_told_apart_from_theirs(void **state)
{
	static const struct puppet_row odd[] = { { PUPPET_SAY, PINGREQ, "d001 00" }, { PUPPET_END } };

	(void)state;
	start_puppet(odd);
	open_client(0, MQTT_3_1_1, CONNECT_A);
	ask(0, MQTT_3_1_1, "PINGREQ");
	play();
	assert_int_equal(last.symptom.oracle, ORACLE_RULE);
	assert_int_equal(last.symptom.version, MQTT_3_1_1);
	assert_memory_equal(last.symptom.bucket, "rule 3.1.1:", 11);
	assert_non_null(strstr(last.symptom.bucket, " PINGRESP"));
	assert_non_null(strstr(last.symptom.text, "to c0 came"));
	stop();
}

static unsigned n_accepted;

static bool accepts_all(void *context, uint8_t version, const char *clause)
{
	assert_ptr_equal(context, &n_accepted);
	assert_int_equal(version, MQTT_5);
	assert_string_equal(clause, last.symptom.clause);
	n_accepted++;
	return true;
}

static void what_is_known_is_no_symptom(void **state)
{
	static const struct puppet_row pong[] = { { PUPPET_ALSO, CONNECT, "d000" }, { PUPPET_END } };

	(void)state;
	start_puppet(pong);
	open_client(0, MQTT_5, CONNECT_A);
	play();
	assert_int_equal(last.symptom.oracle, ORACLE_RULE);
	assert_non_null(strstr(last.symptom.bucket, " PINGRESP"));
	assert_non_null(strstr(last.symptom.text, "; to c0 came PINGRESP"));
	options.accepted = accepts_all;
	options.context = &n_accepted;
	start_again();
	n_accepted = 0;
	player_play(player, &moves, 1, NULL, NULL, on_first_done, NULL);
	assert_true(loop_run(&loop));
	assert_int_equal(n_accepted, 1);
	stop();
}

static void a_rule_that_the_broker_breaks_is_a_symptom(void **state)
{
	(void)state;
	start_broken("5:MQTT-4.12.0-6");	/* names an Authentication Method in CONNACK unasked */
	open_client(0, MQTT_5, CONNECT_A);
	play();
	assert_string_equal(last.symptom.bucket, "rule 5:MQTT-4.12.0-6 CONNACK");
	assert_string_equal(last.symptom.clause, "MQTT-4.12.0-6");
	stop();
}

/* Each is told by the clause that it breaks, which the broker is made to break. */
static void who_serves_offenders_breaks_a_rule(void **state)
{
	static const struct {
		enum version version;
		const char *offence, *fault, *bucket;
	} rows[] = {
		{ MQTT_5, "PUBLISH topic=\"\" topic_alias=3 qos=2 packet_id=1", "5:topic-alias-unknown", "rule 5:topic-alias-unknown PUBLISH" },
		{ MQTT_5, "PUBLISH topic=\"fz000000/+\" qos=1 packet_id=1", "5:MQTT-3.3.2-2", "rule 5:MQTT-3.3.2-2 PUBLISH" },
		{ MQTT_3_1_1, "PUBLISH topic=\"fz000000/+\"", "3.1.1:MQTT-3.3.2-2", "rule 3.1.1:MQTT-3.3.2-2 PUBLISH" },
		{ MQTT_3_1_1, "PINGREQ flags=0x3", "3.1.1:MQTT-2.2.2-2", "rule 3.1.1:MQTT-2.2.2-2 PINGREQ" },
		{ MQTT_3_1_1, "SUBSCRIBE packet_id=1 (\"a\") flags=0x3", "3.1.1:MQTT-3.8.1-1", "rule 3.1.1:MQTT-3.8.1-1 SUBSCRIBE" },
		{ MQTT_5, "SUBSCRIBE packet_id=1 (\"a\" options=0x40)", "5:MQTT-3.8.3-5", "rule 5:MQTT-3.8.3-5 SUBSCRIBE" },
		{ MQTT_5, CONNECT_A, "5:MQTT-3.1.0-2", "rule 5:MQTT-3.1.0-2 CONNECT" },
		{ MQTT_3_1_1, CONNECT_A, "3.1.1:MQTT-3.1.0-2", "rule 3.1.1:MQTT-3.1.0-2 CONNECT" },
		{ MQTT_3_1_1, "PINGRESP", "3.1.1:direction", "rule 3.1.1:direction PINGRESP" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		start_broken(rows[i].fault);
		moves.n = moves.used = 0;
		open_client(0, rows[i].version, CONNECT_A);
		say(0, rows[i].version, rows[i].offence);
		play();
		assert_int_equal(last.symptom.oracle, ORACLE_RULE);
		assert_string_equal(last.symptom.bucket, rows[i].bucket);
		play();					/* and again, though it is known by now */
		assert_string_equal(last.symptom.bucket, rows[i].bucket);
		stop();
		start_reference();
		play();
		assert_int_equal(last.symptom.oracle, ORACLE_NONE);
		stop();
	}
}

static void what_we_do_wrong_is_no_symptom(void **state)
{
	static const char *const wrong[] = {
		"SUBSCRIBE packet_id=0 (\"a\")", "PUBLISH topic=\"a/#\"", "PUBLISH topic=\"\"", CONNECT_A, "PUBREL packet_id=9", "PUBACK packet_id=3", "AUTH reason=0x18",
		"PINGREQ flags=0x3", "CONNACK", "SUBSCRIBE packet_id=1 ()",
	};

	(void)state;
	start_reference();
	for (unsigned v = MQTT_3_1; v <= MQTT_5; v++)
		for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
			if (!strncmp(wrong[i], "AUTH", 4) && v < MQTT_5)
				continue;
			moves.n = moves.used = 0;
			open_client(0, v, CONNECT_A);
			ask(0, v, wrong[i]);
			ask(0, v, "PINGREQ");
			play();
			assert_int_equal(last.symptom.oracle, ORACLE_NONE);
			moves.n = moves.used = 0;		/* and before CONNECT */
			move(MOVE_OPEN, 0, 0);
			if (strcmp(wrong[i], CONNECT_A))
				ask(0, v, wrong[i]);
			ask(0, v, CONNECT_A);
			play();
			assert_int_equal(last.symptom.oracle, ORACLE_NONE);
		}
	stop();
}

/* The broker takes these for answers to what it has just sent; we had not seen it. */
static void what_is_acknowledged_before_it_came_is_no_symptom(void **state)
{
	static const char *const early[] = { "PUBREC packet_id=1", "PUBACK packet_id=1" };

	(void)state;
	start_reference();
	for (unsigned v = MQTT_3_1_1; v <= MQTT_5; v++)
		for (unsigned qos = 1; qos <= 2; qos++) {
			char subscribe[80];

			snprintf(subscribe, sizeof(subscribe), "SUBSCRIBE packet_id=1 (\"fz000000/t\" qos=%u)", qos);
			moves.n = moves.used = 0;
			open_client(0, v, CONNECT_A);
			ask(0, v, subscribe);
			for (unsigned i = 0; i < 3; i++) {
				say(0, v, "PUBLISH topic=\"fz000000/t\" qos=2 packet_id=5 payload=\"x\"");
				say(0, v, "PUBREL packet_id=5");
				say(0, v, early[2 - qos]);
				if (qos == 2)
					say(0, v, "PUBCOMP packet_id=1");
			}
			move(MOVE_AWAIT, 0, 0);
			play();
			assert_clean();
			assert_true(last.n_received > 8);
		}
	stop();
}

static void packets_come_in_any_pieces(void **state)
{
	uint8_t bytes[200];
	size_t len = bytes_of(CONNECT_A, MQTT_5, bytes, sizeof(bytes));

	(void)state;
	start_reference();
	for (unsigned pause = 0; pause < 2; pause++)
		for (size_t i = 1; i < len; i++) {
			moves.n = moves.used = 0;
			move(MOVE_OPEN, 0, 0);
			send_bytes(0, bytes, i);
			if (pause)
				move(MOVE_PAUSE, 0, 1);
			send_bytes(0, bytes + i, len - i);
			move(MOVE_AWAIT, 0, 0);
			ask(0, MQTT_5, "PINGREQ");
			play();
			assert_clean();
			assert_int_equal(last.n_received, 2);
			assert_int_equal(last.n_sent, 2 + pause);
		}
	/* several at once, and the rest of a packet that lies about its length */
	moves.n = moves.used = 0;
	move(MOVE_OPEN, 0, 0);
	len += bytes_of("SUBSCRIBE packet_id=1 (\"a\")", MQTT_5, bytes + len, sizeof(bytes) - len);
	memcpy(bytes + len, "\xc0\0\x30\x7f\0", 5);
	send_bytes(0, bytes, len + 5);
	move(MOVE_AWAIT, 0, 0);
	play();
	assert_clean();
	assert_int_equal(last.n_received, 3);
	assert_int_equal(last.n_sent, 4);
	/* what cannot be framed, and what comes behind it */
	ask(0, MQTT_5, "PINGREQ");
	send_bytes(1, "x", 1);
	moves.at[1].bytes.len -= 2;
	send_bytes(0, "\x30\xff\xff\xff\xff\xff", 6);
	ask(0, MQTT_5, "PINGREQ");
	play();
	assert_int_equal(last.symptom.oracle, ORACLE_NONE);
	stop();
}

static void what_comes_may_be_anything(void **state)
{
	static const struct {
		struct puppet_row row;
		const char *bucket;		/* the end of it; NULL: no symptom */
	} rows[] = {
		{ { PUPPET_SAY, CONNECT, "20ffffffffff" }, " bytes" },
		{ { PUPPET_SAY, CONNECT, "2f0500000000ff" }, " CONNACK" },
		{ { PUPPET_SAY, CONNECT, "30ffffff7f 0001" }, NULL },	/* larger than we take */
		{ { PUPPET_SAY, CONNECT, "00" }, NULL },
		{ { PUPPET_SAY, CONNECT, "0000" }, " packet type 0" },
		{ { PUPPET_CLOSE, CONNECT, "2003" }, NULL },
		{ { PUPPET_RESET, CONNECT, "" }, NULL },
		{ { PUPPET_RESET, 0, "" }, NULL },
		{ { PUPPET_SAY, 0, "4854 5450 2f31 2e31" }, NULL },
		{ { PUPPET_FLOOD, CONNECT, "2003000000" }, " CONNACK" },
		{ { PUPPET_LATER, CONNECT, "2003000000", 50 }, NULL },
		{ { PUPPET_DEAF, CONNECT, "" }, NULL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct puppet_row part[2] = { rows[i].row, { PUPPET_END } };

		start_puppet(part);
		open_client(0, MQTT_5, CONNECT_A);
		ask(0, MQTT_5, "PINGREQ");
		play();
		assert_true(last.took_ns < 3 * PATIENCE_MS * MS);
		assert_int_equal(last.symptom.oracle, rows[i].bucket ? ORACLE_RULE : ORACLE_NONE);
		if (rows[i].bucket) {
			size_t len = strlen(last.symptom.bucket), end = strlen(rows[i].bucket);

			assert_true(len > end);
			assert_string_equal(last.symptom.bucket + len - end, rows[i].bucket);
		}
		stop();
	}
}

static void who_is_refused_goes_on(void **state)
{
	static const struct puppet_row silent[] = { { PUPPET_SAY, 0, "" }, { PUPPET_END } };
	struct service none = { 0 };

	(void)state;
	start_puppet(silent);
	address.service = &none;
	make_session(MQTT_5);
	play();
	assert_int_equal(last.n_refused, 1);
	assert_int_equal(last.n_sent, 0);
	assert_int_equal(did.n, 1);
	assert_true(last.took_ns < PATIENCE_MS * MS);

	address.service = service.services[WAY_TCP];	/* which does not answer the handshake */
	address.layers.websocket = true;
	play();
	assert_int_equal(last.n_refused, 1);
	assert_int_equal(last.n_sent, 0);
	assert_true(last.took_ns >= 1500 * MS && last.took_ns < 1510 * MS);
	stop();
}

/* Stops the loop after so many of its batches. */
struct countdown {
	struct task task;
	unsigned left;
};

static void count_down(struct task *task, struct loop *l)
{
	struct countdown *countdown = (struct countdown *)task;

	if (countdown->left--)
		loop_post(l, task);
	else
		loop_stop(l);
}

static void on_pause(struct timer *timer, struct loop *l)
{
	(void)timer;
	loop_stop(l);
}

static void pause_for(uint64_t ms)
{
	static struct timer timer;

	timer.fire = on_pause;
	loop_timer(&loop, &timer, clock_now(&loop.clock) + ms * MS);
	assert_true(loop_run(&loop));
	loop_timer_stop(&loop, &timer);
}

static void whoever_is_held_stays(void **state)
{
	(void)state;
	start_reference();
	make_session(MQTT_5);
	play();
	uint32_t n_received = last.n_received;

	n_done = 0;
	player_hold(player, true);
	for (uint64_t n = 0; n < 3; n++)
		player_play(player, &moves, n, NULL, NULL, on_done, NULL);
	while (player_held(player) < 3)
		pause_for(1);
	pause_for(10000);		/* however long it takes */
	assert_int_equal(n_done, 0);
	assert_int_equal(player_busy(player), 3);
	player_hold(player, false);
	while (n_done < 3)
		pause_for(1);
	assert_int_equal(player_held(player), 0);
	assert_int_equal(last.n_received, n_received);	/* nothing was late for it */
	assert_int_equal(last.n_unanswered, 0);
	assert_clean();

	player_hold(player, true);			/* and can be abandoned then */
	player_play(player, &moves, 4, NULL, NULL, on_done, NULL);
	while (!player_held(player))
		pause_for(1);
	player_abandon(player);
	assert_int_equal(player_held(player), 0);
	stop();
}

static void a_case_can_be_abandoned(void **state)
{
	unsigned n_abandoned = 0;

	(void)state;
	start_reference();
	make_session(MQTT_5);
	for (unsigned batches = 0; batches < 40; batches++) {
		static struct countdown countdown;

		countdown = (struct countdown){ { .run = count_down }, batches };
		n_done = 0;
		for (uint64_t n = 0; n < 3; n++)
			player_play(player, &moves, n, NULL, NULL, on_done, NULL);
		loop_post(&loop, &countdown.task);
		assert_true(loop_run(&loop));
		unsigned before = n_done;
		n_abandoned += player_busy(player) > 0;
		assert_int_equal(before + player_busy(player), 3);
		player_abandon(player);
		assert_int_equal(player_busy(player), 0);
		loop_settle(&loop);
		assert_int_equal(n_done, before);
		loop_stop(&loop);		/* the countdown may have gone on, and have said so already */
		loop_run(&loop);
	}
	assert_true(n_abandoned > 5);
	play();
	assert_clean();
	assert_int_equal(last.n_received, 5);
	stop();
}

static unsigned left;

static void on_done_again(void *context, const struct played *played)
{
	last = *played;
	if (context && --left)
		player_play(player, &moves, left, NULL, NULL, on_done_again, context);
	else if (context)
		player_abandon(player);
	if (!left)
		loop_stop(&loop);
}

static void in_done_anything_may_be_done(void **state)
{
	(void)state;
	start_reference();
	make_session(MQTT_3_1_1);
	left = 20;
	player_play(player, &moves, 1000, NULL, NULL, on_done_again, &left);
	assert_true(loop_run(&loop));
	assert_int_equal(left, 0);
	assert_int_equal(player_busy(player), 0);
	assert_clean();
	stop();
}

static void on_done_free(void *context, const struct played *played)
{
	(void)context, (void)played;
	player_free(player);
	player = NULL;
	loop_stop(&loop);
}

static void in_done_the_player_may_be_freed(void **state)
{
	(void)state;
	start_reference();
	make_session(MQTT_3_1_1);
	for (uint64_t n = 0; n < 3; n++)
		player_play(player, &moves, n, NULL, NULL, on_done_free, NULL);
	assert_true(loop_run(&loop));
	assert_null(player);
	stop();
}

static void it_plays_over_websocket(void **state)
{
	(void)state;
	start_reference();
	address.service = service.services[WAY_WS];
	address.layers.websocket = true;
	make_session(MQTT_5);
	play();
	assert_clean();
	assert_int_equal(last.n_received, 5);
	stop();
}

/* On sockets, in real time. */
static void it_plays_over_tcp(void **state)
{
	struct broker_config config;
	struct server *server;
	struct address where = { .kind = ADDRESS_TCP, .host = "127.0.0.1" };
	struct listener *listener;

	(void)state;
	loop_init(&loop, false);
	broker_defaults(&config);
	server = server_new(&loop, &config);
	assert_non_null(server);
	listener = server_listen(server, &where);
	assert_non_null(listener);
	where.port = listener_port(listener);
	options = (struct player_options){ .loop = &loop, .address = &where, .patience_ns = 20000 * MS, .longest_wait_ns = MS };
	player = player_new(&options);
	make_session(MQTT_5);
	move(MOVE_OPEN, 1, 0);
	move(MOVE_WAIT, 0, 1);
	play();
	assert_clean();
	assert_int_equal(last.n_received, 5);
	player_free(player);
	server_free(server);
	loop_settle(&loop);
	loop_release(&loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plays_a_session),
		cmocka_unit_test(same_answers_are_the_same_set),
		cmocka_unit_test(cases_have_names),
		cmocka_unit_test(a_takeover_is_seen),
		cmocka_unit_test(a_delivery_is_awaited_that_another_sent),
		cmocka_unit_test(the_moves_do_what_they_say),
		cmocka_unit_test(what_was_done_can_be_done_again),
		cmocka_unit_test(who_names_no_user_gets_ours),
		cmocka_unit_test(patience_ends),
		cmocka_unit_test(ours_are_told_apart_from_theirs),
		cmocka_unit_test(what_is_known_is_no_symptom),
		cmocka_unit_test(a_rule_that_the_broker_breaks_is_a_symptom),
		cmocka_unit_test(who_serves_offenders_breaks_a_rule),
		cmocka_unit_test(what_we_do_wrong_is_no_symptom),
		cmocka_unit_test(what_is_acknowledged_before_it_came_is_no_symptom),
		cmocka_unit_test(packets_come_in_any_pieces),
		cmocka_unit_test(what_comes_may_be_anything),
		cmocka_unit_test(who_is_refused_goes_on),
		cmocka_unit_test(whoever_is_held_stays), cmocka_unit_test(a_case_can_be_abandoned),
		cmocka_unit_test(in_done_anything_may_be_done),
		cmocka_unit_test(in_done_the_player_may_be_freed),
		cmocka_unit_test(it_plays_over_websocket),
		cmocka_unit_test(it_plays_over_tcp),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

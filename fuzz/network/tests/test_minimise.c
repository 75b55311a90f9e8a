#include "fuzz/network/minimise.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "codec/generate.h"
#include "fuzz/network/tests/say.h"

/*
 * Bugs as predicates over moves: a trial decides in no time what shows. Each begins as a long case in which most is noise, and must come out
 * as what a person would have written.
 */

struct world {
	struct trial trial;
	bool (*shows)(const struct moves *const *cases, size_t n);
	unsigned percent;		/* how often it shows when it does */
	unsigned hurried;		/* the same without AWAIT before another client's turn; 0: as often */
	unsigned gone;			/* the trial from which on there is no target; 0: none */
	struct random random;
	uint64_t now_ns;
};

static const struct symptom death = { .oracle = ORACLE_DEATH, .bucket = "death signal 11" };

/* Whether a client goes on before another has its answer. */
static bool hurries(const struct moves *m)
{
	for (uint32_t i = 0; i + 1 < m->n; i++)
		if (move_sends(&m->at[i]) && m->at[i + 1].client != m->at[i].client)
			return true;
	return false;
}

static bool run(struct trial *trial, const struct moves *const *cases, size_t n, struct tap *tap, struct moves *did, struct symptom *symptom)
{
	struct world *w = (struct world *)trial;

	(void)tap;
	trial->n_run++;
	w->now_ns += 50000000;
	*symptom = (struct symptom){ 0 };
	if (w->shows(cases, n) && random_below(&w->random, 100) < (w->hurried && hurries(cases[n - 1]) ? w->hurried : w->percent))
		*symptom = death;
	if (did) {
		moves_copy(did, cases[n - 1]);
		for (uint32_t i = 0; i < did->n; i++)
			if (did->at[i].kind == MOVE_STEER)
				did->at[i] = (struct move){ .kind = MOVE_SEND, .client = did->at[i].client, .bytes = span_of("\xc0\x00", 2) };
	}
	return !w->gone || trial->n_run < w->gone;
}

static uint64_t now_ns(struct trial *trial)
{
	return ((struct world *)trial)->now_ns;
}

static struct world world_of(bool (*shows)(const struct moves *const *cases, size_t n))
{
	struct world w = { .shows = shows, .percent = 100, .now_ns = 1000 };

	w.trial.run = run;
	w.trial.now_ns = now_ns;
	w.trial.give_up_ns = UINT64_C(600000000000);
	random_seed(&w.random, 1);
	return w;
}

/* ---- cases ---- */

static struct moves *fresh(void)
{
	struct moves *m = calloc(1, sizeof(*m));

	assert_non_null(m);
	return m;
}

static void connects(struct moves *m, uint8_t client, const char *id, const char *more)
{
	char text[400];

	snprintf(text, sizeof(text), "CONNECT client_id=\"%s\" %s", id, more);
	add(m, MOVE_OPEN, client, 0, (struct span){ 0 });
	say(m, client, MQTT_5, text);
	hear(m, client);
}

/* n random packets of clients that are none of the bug's. */
static void noise(struct moves *m, unsigned n, uint64_t seed)
{
	static const uint8_t types[] = { PUBLISH, SUBSCRIBE, UNSUBSCRIBE, PUBACK, PINGREQ, PUBREL, DISCONNECT, CONNECT };
	static uint8_t room[1 << 16], wire[1 << 16];
	struct random random;
	struct arena arena;
	struct packet p;

	random_seed(&random, seed);
	arena_init(&arena, room, sizeof(room));
	for (unsigned i = 0; i < n; i++) {
		struct writer w = writer_to(wire, sizeof(wire));
		uint8_t client = (uint8_t)(3 + random_below(&random, 4)), kind = (uint8_t)random_below(&random, 8);

		arena_reset(&arena);
		if (kind == 0)
			add(m, MOVE_OPEN, client, 0, (struct span){ 0 });
		else if (kind == 1)
			add(m, MOVE_WAIT, client, 2, (struct span){ 0 });
		else if (generate(types[random_below(&random, sizeof(types))], MQTT_5, FROM_CLIENT, &random, &arena, &p) == CODEC_OK &&
		         encode(&p, NULL, &w) == CODEC_OK && w.len < 600)
			add(m, MOVE_SEND, client, 0, wr_span(&w));
		if (kind > 4)
			hear(m, client);
	}
}

static unsigned n_sends(const struct moves *m)
{
	unsigned n = 0;

	for (uint32_t i = 0; i < m->n; i++)
		n += move_sends(&m->at[i]);
	return n;
}

/* As text, one a line, to be compared. */
static const char *told(const struct moves *m)
{
	static char text[8192];
	static const char *const kinds[N_MOVE_KINDS] = {
		[MOVE_OPEN] = "opens", [MOVE_DROP] = "drops", [MOVE_WAIT] = "waits", [MOVE_STOP_READING] = "stops reading", [MOVE_READ] = "reads",
		[MOVE_LIMITS] = "limits", [MOVE_ANSWER] = "answers", [MOVE_STEER] = "steers", [MOVE_AWAIT] = "awaits", [MOVE_CLOSE] = "closes", [MOVE_PAUSE] = "pauses",
	};
	struct writer w = writer_to(text, sizeof(text) - 1);

	for (uint32_t i = 0; i < m->n; i++) {
		const struct move *at = &m->at[i];
		struct packet p;
		struct finding finding;
		char head[40];

		snprintf(head, sizeof(head), "%u %s", at->client, move_sends(at) ? at->kind == MOVE_SEND_CUT ? "cut " : "" : kinds[at->kind]);
		wr_text(&w, head);
		snprintf(head, sizeof(head), " %u", at->value);
		if (!move_sends(at) && at->value)
			wr_text(&w, head);
		if (move_sends(at) && decode(at->bytes.at, at->bytes.len, moves_version(m, i, at->client), &p, &finding) == CODEC_OK)
			packet_print(&p, FROM_CLIENT, &w);
		else if (move_sends(at))
			text_print_hex(at->bytes, &w);
		wr_u8(&w, '\n');
	}
	text[wr_fits(&w) ? w.len : sizeof(text) - 1] = '\0';
	return text;
}

/* Minimises, and compares; returns what it took. */
static struct minimised becomes(struct world *w, const struct moves *m, const char *text)
{
	struct moves *least = fresh();
	struct minimised result;

	assert_true(minimise(&w->trial, &m, 1, &death, least, &result));
	print_message("%u moves, %u packets: %u trials\n", m->n, n_sends(m), result.n_trials);
	assert_int_equal(result.n_trials, w->trial.n_run);
	assert_string_equal(told(least), text);
	free(least);
	return result;
}

/* ---- what a broker would see ---- */

struct seen {
	uint8_t client;
	bool opens;
	struct packet packet;
};

struct sight {
	uint32_t n;
	struct seen at[2000];
};

/* Packets as they are complete, of connections that are open and whose first packet is a CONNECT. */
static const struct sight *look(const struct moves *m)
{
	static struct sight sight;
	static uint8_t rooms[MOVES_CLIENTS][1 << 17];
	size_t used[MOVES_CLIENTS] = { 0 }, read[MOVES_CLIENTS] = { 0 };
	bool open[MOVES_CLIENTS] = { 0 };
	uint8_t version[MOVES_CLIENTS] = { 0 };

	sight.n = 0;
	for (uint32_t i = 0; i < m->n; i++) {
		const struct move *at = &m->at[i];
		uint8_t c = at->client;
		struct frame frame;
		struct finding finding;

		if (at->kind == MOVE_OPEN) {
			open[c] = true;
			version[c] = 0;
			read[c] = used[c];
			sight.at[sight.n++] = (struct seen){ .client = c, .opens = true };
		}
		if (at->kind == MOVE_DROP)
			open[c] = false;
		if (!move_sends(at) || !open[c])
			continue;
		memcpy(rooms[c] + used[c], at->bytes.at, at->bytes.len);
		used[c] += at->bytes.len;
		for (; frame_next(rooms[c] + read[c], used[c] - read[c], &frame, &finding) == FRAME_OK; read[c] += frame.size) {
			struct seen *seen = &sight.at[sight.n];
			bool first = !version[c];

			*seen = (struct seen){ .client = c };
			if (decode(rooms[c] + read[c], frame.size, version[c] ? version[c] : MQTT_3_1_1, &seen->packet, &finding) != CODEC_OK)
				continue;
			if (first && seen->packet.type != CONNECT)
				continue;
			version[c] = seen->packet.version;
			sight.n++;
		}
	}
	return &sight;
}

/* ---- a takeover inside an open flow ---- */

/* A client sends PUBREL that nobody expects, when another has connected by its client id. */
static bool takeover(const struct moves *const *cases, size_t n)
{
	const struct sight *seen = look(cases[n - 1]);
	struct span ids[MOVES_CLIENTS] = { 0 };
	bool connected[MOVES_CLIENTS] = { 0 }, taken[MOVES_CLIENTS] = { 0 };

	for (uint32_t i = 0; i < seen->n; i++) {
		uint8_t c = seen->at[i].client;
		struct packet p = seen->at[i].packet;

		if (seen->at[i].opens)
			connected[c] = taken[c] = false;
		if (p.type == CONNECT) {
			for (unsigned k = 0; k < MOVES_CLIENTS; k++)
				if (k != c && connected[k] && span_equal(ids[k], p.client_id))
					taken[c] = true;
			connected[c] = true;
			ids[c] = p.client_id;
		}
		if (p.type == PUBREL && connected[c] && taken[c])
			return true;
	}
	return false;
}

static void takeover_and_PUBREL(void **state)
{
	struct world w = world_of(takeover);
	struct moves *m = fresh();
	struct minimised result;

	(void)state;
	noise(m, 20, 1);
	connects(m, 1, MOVES_NAME "/one", "keep_alive=17 session_expiry_interval=60 user_name=\"u\" password=\"p\"");
	say(m, 1, MQTT_5, "SUBSCRIBE packet_id=3 (\"" MOVES_NAME "/#\" qos=2)");
	noise(m, 15, 2);
	say(m, 1, MQTT_5, "PUBLISH topic=\"" MOVES_NAME "/t\" qos=2 packet_id=4 payload=\"x\"");
	connects(m, 2, MOVES_NAME "/one", "keep_alive=17 will.topic=\"w\" will.payload=\"gone\" user_property=[\"a\":\"b\"]");
	noise(m, 10, 3);
	say(m, 2, MQTT_5, "PUBREL packet_id=4 reason=0 user_property=[\"a\":\"b\"]");
	noise(m, 20, 4);
	result = becomes(&w, m,
	                 "0 opens\n0 CONNECT clean_start keep_alive=60 client_id=\"fz000000\"\n0 awaits\n"
	                 "1 opens\n1 CONNECT clean_start keep_alive=60 client_id=\"fz000000\"\n1 PUBREL packet_id=1\n");
	assert_true(result.complete && result.shows == 10 && result.of == 10);
	assert_true(result.n_trials < 130);
	free(m);
}

/* ---- the third of its kind ---- */

static bool third(const struct moves *const *cases, size_t n)
{
	const struct sight *seen = look(cases[n - 1]);
	unsigned same[MOVES_CLIENTS] = { 0 };
	uint16_t ids[MOVES_CLIENTS] = { 0 };

	for (uint32_t i = 0; i < seen->n; i++) {
		uint8_t c = seen->at[i].client;
		struct packet p = seen->at[i].packet;

		if (seen->at[i].opens)
			same[c] = 0;
		if (p.type != PUBLISH || publish_qos(&p) != 2)
			continue;
		same[c] = p.packet_id == ids[c] ? same[c] + 1 : 1;
		ids[c] = p.packet_id;
		if (same[c] == 3)
			return true;
	}
	return false;
}

static void third_PUBLISH_of_the_same_id(void **state)
{
	struct world w = world_of(third);
	struct moves *m = fresh();
	struct minimised result;
	uint8_t room[512];
	size_t len;

	(void)state;
	noise(m, 30, 5);
	connects(m, 0, MOVES_NAME "/c", "keep_alive=5");
	say(m, 0, MQTT_5, "PUBLISH topic=\"" MOVES_NAME "/t\" qos=2 packet_id=300 payload=\"once\"");
	noise(m, 10, 6);
	/* The second and a ping in one write, the third in pieces. */
	len = bytes_of("PUBLISH topic=\"" MOVES_NAME "/t\" qos=2 dup packet_id=300 payload=\"twice\"", MQTT_5, room, sizeof(room));
	len += bytes_of("PINGREQ", MQTT_5, room + len, sizeof(room) - len);
	add(m, MOVE_SEND, 0, 0, span_of(room, len));
	noise(m, 10, 7);
	len = bytes_of("PUBLISH topic=\"" MOVES_NAME "/other\" qos=2 dup retain packet_id=300 message_expiry_interval=9 payload=\"thrice\"", MQTT_5, room, sizeof(room));
	add(m, MOVE_SEND_CUT, 0, 3, span_of(room, 10));
	add(m, MOVE_PAUSE, 0, 20, (struct span){ 0 });
	add(m, MOVE_SEND, 0, 0, span_of(room + 10, len - 10));
	noise(m, 10, 8);
	result = becomes(&w, m,
	                 "0 opens\n0 CONNECT clean_start keep_alive=60 client_id=\"fz000000\"\n"
	                 "0 PUBLISH topic=\"fz000000\" qos=2 packet_id=1 payload=\"\"\n"
	                 "0 PUBLISH topic=\"fz000000\" qos=2 packet_id=1 payload=\"\"\n"
	                 "0 PUBLISH topic=\"fz000000\" qos=2 packet_id=1 payload=\"\"\n");
	assert_true(result.complete && result.n_trials < 130);
	free(m);
}

/* ---- one packet, of which much is needed ---- */

static bool many_filters(const struct moves *const *cases, size_t n)
{
	const struct sight *seen = look(cases[n - 1]);

	for (uint32_t i = 0; i < seen->n; i++) {
		struct packet p = seen->at[i].packet;
		struct filter_walk walk;
		struct span filter;
		uint8_t options;
		unsigned k = 0;

		if (p.type != SUBSCRIBE)
			continue;
		for (walk = filters_of(&p); filter_next(&walk, &filter, &options); k++)
			;
		if (k > 20)
			return true;
	}
	return false;
}

static void SUBSCRIBE_with_many_filters(void **state)
{
	struct world w = world_of(many_filters);
	struct moves *m = fresh(), *least = fresh();
	char text[8192] = "SUBSCRIBE packet_id=77 subscription_identifier=5 (";
	struct filter_walk walk;
	struct minimised result;
	struct span filter;
	uint8_t options;
	unsigned k = 0;

	(void)state;
	noise(m, 25, 9);
	connects(m, 0, MOVES_NAME "/c", "keep_alive=5");
	for (unsigned i = 0; i < 200; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s\"" MOVES_NAME "/%u\" qos=%u no_local", i ? ", " : "", i, i % 3);
	strcat(text, ")");
	say(m, 0, MQTT_5, text);
	hear(m, 0);
	noise(m, 25, 10);
	assert_true(minimise(&w.trial, (const struct moves *const *)&m, 1, &death, least, &result));
	print_message("%u trials\n", result.n_trials);
	assert_int_equal(least->n, 3);
	struct packet p = look(least)->at[2].packet;
	for (walk = filters_of(&p); filter_next(&walk, &filter, &options); k++)
		assert_true(span_is(filter, MOVES_NAME) && options == 0);
	assert_int_equal(k, 21);
	assert_int_equal(p.properties.len, 0);
	assert_int_equal(p.packet_id, 1);
	assert_true(result.complete && result.n_trials < 150);
	free(m);
	free(least);
}

static bool alias(const struct moves *const *cases, size_t n)
{
	const struct sight *seen = look(cases[n - 1]);

	for (uint32_t i = 0; i < seen->n; i++) {
		struct packet p = seen->at[i].packet;
		struct value v;

		if (p.type == PUBLISH && property_find(p.properties, PROP_topic_alias, &v) && v.number > 10 && p.payload.len > 100)
			return true;
	}
	return false;
}

static void alias_past_its_maximum_and_a_long_payload(void **state)
{
	struct world w = world_of(alias);
	struct moves *m = fresh();
	char text[4000] = "PUBLISH topic=\"" MOVES_NAME "/long/topic\" qos=1 retain packet_id=9 payload_format_indicator=1 message_expiry_interval=100 "
	                  "topic_alias=65000 response_topic=\"r\" correlation_data=\"c\" user_property=[\"a\":\"b\" \"c\":\"d\"] content_type=\"text/plain\" payload=\"";
	struct minimised result;

	(void)state;
	noise(m, 25, 11);
	connects(m, 0, MOVES_NAME "/c", "keep_alive=5");
	for (unsigned i = 0; i < 300; i++)
		strcat(text, "payload ");
	strcat(text, "\"");
	say(m, 0, MQTT_5, text);
	noise(m, 25, 12);
	result = becomes(&w, m,
	                 "0 opens\n0 CONNECT clean_start keep_alive=60 client_id=\"fz000000\"\n"
	                 "0 PUBLISH topic=\"fz000000\" topic_alias=65000 payload=\"abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz"
	                 "abcdefghijklmnopqrstuvw\"\n");
	assert_true(result.complete && result.n_trials < 150);
	free(m);
}

/* ---- what shows at times, or not by itself ---- */

static void takeover_case(struct moves *m)
{
	noise(m, 8, 13);
	connects(m, 1, MOVES_NAME "/one", "keep_alive=17");
	noise(m, 8, 14);
	connects(m, 2, MOVES_NAME "/one", "keep_alive=17");
	say(m, 2, MQTT_5, "PUBREL packet_id=4");
	noise(m, 8, 15);
}

static const char least_takeover[] =
	"0 opens\n0 CONNECT clean_start keep_alive=60 client_id=\"fz000000\"\n0 awaits\n"
	"1 opens\n1 CONNECT clean_start keep_alive=60 client_id=\"fz000000\"\n1 PUBREL packet_id=1\n";

static void one_that_shows_at_times(void **state)
{
	struct world w = world_of(takeover);
	struct moves *m = fresh(), *least = fresh();
	struct minimised result;

	(void)state;
	takeover_case(m);
	w.percent = 60;
	assert_true(minimise(&w.trial, (const struct moves *const *)&m, 1, &death, least, &result));
	print_message("%u trials, shows %u of %u\n", result.n_trials, result.shows, result.of);
	assert_int_equal(n_sends(least), 3);
	assert_int_equal(result.of, 10);
	assert_in_range(result.shows, 3, 9);
	free(m);
	free(least);
}

static void one_that_needs_the_answer_first(void **state)
{
	struct world w = world_of(takeover);
	struct moves *m = fresh();
	struct minimised result;

	(void)state;
	takeover_case(m);
	for (uint32_t i = 0; i < m->n; i++)
		if (m->at[i].kind == MOVE_AWAIT)
			moves_remove(m, i--, 1);
	w.hurried = 70;
	result = becomes(&w, m, least_takeover);
	assert_int_equal(result.shows, 10);
	free(m);
}

static bool never(const struct moves *const *cases, size_t n)
{
	(void)cases, (void)n;
	return false;
}

static void one_that_never_shows(void **state)
{
	struct world w = world_of(never);
	struct moves *m[2] = { fresh(), fresh() }, *least = fresh();
	struct minimised result;

	(void)state;
	say(m[0], 0, MQTT_5, "PINGREQ");
	takeover_case(m[1]);
	assert_false(minimise(&w.trial, (const struct moves *const *)m, 2, &death, least, &result));
	assert_int_equal(result.shows, 0);
	assert_int_equal(result.n_trials, 13);
	assert_false(result.complete);
	assert_string_equal(told(least), told(m[1]));

	/* Nor does it when the target goes away, whatever else shows. */
	w = world_of(takeover);
	w.gone = 1;
	assert_false(minimise(&w.trial, (const struct moves *const *)m, 2, &death, least, &result));
	assert_int_equal(result.n_trials, 1);
	free(m[0]);
	free(m[1]);
	free(least);
}

/* In an earlier case or in this one: three things in all. */
static bool over_cases(const struct moves *const *cases, size_t n)
{
	unsigned n_retained = 0;

	for (size_t k = 0; k < n; k++) {
		const struct sight *seen = look(cases[k]);

		for (uint32_t i = 0; i < seen->n; i++)
			n_retained += seen->at[i].packet.type == PUBLISH && seen->at[i].packet.flags & PUBLISH_RETAIN && seen->at[i].packet.payload.len == 6;
	}
	return n_retained >= 3;
}

static void retain(struct moves *m, uint64_t seed, unsigned n)
{
	noise(m, n, seed);
	connects(m, 0, MOVES_NAME "/r", "");
	say(m, 0, MQTT_5, "PUBLISH topic=\"" MOVES_NAME "\" retain payload=\"retain\"");
	noise(m, n, seed + 1);
}

static bool third_in_any(const struct moves *const *cases, size_t n)
{
	bool any = false;

	for (size_t k = 0; k < n; k++)
		any |= third(&cases[k], 1);
	return any;
}

static void several_cases_become_one(void **state)
{
	struct world w = world_of(over_cases);
	struct moves *m[20], *least = fresh();
	struct minimised result;

	(void)state;
	for (unsigned k = 0; k < 20; k++) {
		m[k] = fresh();
		if (k == 3 || k == 11 || k == 18)
			retain(m[k], 20 + k, 4);
		else
			noise(m[k], 10, 20 + k);
	}
	assert_true(minimise(&w.trial, (const struct moves *const *)m, 20, &death, least, &result));
	print_message("20 cases: %u trials\n", result.n_trials);
	assert_true(result.complete);
	assert_int_equal(n_sends(least), 4);	/* all by one client, in one connection */
	for (unsigned k = 0; k < 20; k++)
		free(m[k]);

	/* Too large to be one at first. */
	w = world_of(over_cases);
	for (unsigned k = 0; k < 3; k++) {
		m[k] = fresh();
		retain(m[k], 90 + k, 40);
	}
	assert_true(m[0]->n + m[1]->n + m[2]->n > MOVES_MAX);
	assert_true(minimise(&w.trial, (const struct moves *const *)m, 3, &death, least, &result));
	print_message("3 large cases: %u trials\n", result.n_trials);
	assert_true(result.complete);
	assert_int_equal(n_sends(least), 4);
	for (unsigned k = 0; k < 3; k++)
		free(m[k]);

	/* The suspect is in the middle. */
	w = world_of(third_in_any);
	for (unsigned k = 0; k < 20; k++) {
		m[k] = fresh();
		noise(m[k], 10, 50 + k);
		connects(m[k], 0, MOVES_NAME, "");
		for (unsigned i = 0; k == 7 && i < 3; i++)
			say(m[k], 0, MQTT_5, "PUBLISH topic=\"" MOVES_NAME "\" qos=2 packet_id=1 payload=\"\"");
	}
	assert_true(minimise(&w.trial, (const struct moves *const *)m, 20, &death, least, &result));
	print_message("one of 20 cases: %u trials\n", result.n_trials);
	assert_int_equal(n_sends(least), 4);
	for (unsigned k = 0; k < 20; k++)
		free(m[k]);
	free(least);
}

/* ---- form and time ---- */

/* An offence: SUBSCRIBE's flags are wrong, and it is cut, and some time before it has passed. */
static bool cut_offence(const struct moves *const *cases, size_t n)
{
	const struct moves *m = cases[n - 1];
	unsigned waited = 0;

	for (uint32_t i = 0; i < m->n; i++) {
		waited += m->at[i].kind == MOVE_WAIT ? m->at[i].value : 0;
		if (m->at[i].kind == MOVE_SEND_CUT && m->at[i].bytes.len && m->at[i].bytes.at[0] == 0x80 && waited >= 5)
			return true;
	}
	return false;
}

static void what_cannot_be_mended_stays(void **state)
{
	struct world w = world_of(cut_offence);
	struct moves *m = fresh();
	uint8_t room[200];
	size_t len = bytes_of("SUBSCRIBE packet_id=1 (\"" MOVES_NAME "\" qos=1) flags=0x0", MQTT_3_1_1, room, sizeof(room));

	(void)state;
	noise(m, 10, 16);
	connects(m, 0, MOVES_NAME "/r", "!protocol_name=\"MQTX\" flags=0x3");
	add(m, MOVE_WAIT, 0, 40, (struct span){ 0 });
	add(m, MOVE_SEND_CUT, 0, 3, span_of(room, len));
	becomes(&w, m, "0 waits 5\n0 cut SUBSCRIBE packet_id=1 (\"fz000000\") !flags=0x00\n");
	free(m);
}

/* The third ping of a client; one of them is steered. */
static bool pings(const struct moves *const *cases, size_t n)
{
	unsigned pinged = 0;

	for (uint32_t i = 0; i < cases[n - 1]->n; i++) {
		const struct move *at = &cases[n - 1]->at[i];

		pinged += at->client == 0 && (at->kind == MOVE_STEER || (move_sends(at) && at->bytes.at[0] == 0xc0));
	}
	return pinged >= 3;
}

static void what_the_state_steered_is_written_out(void **state)
{
	struct world w = world_of(pings);
	struct moves *m = fresh();

	(void)state;
	noise(m, 10, 17);
	for (uint8_t value = 0; value < 7; value++)
		add(m, MOVE_STEER, 0, value, (struct span){ 0 });
	noise(m, 10, 18);
	becomes(&w, m, "0 PINGREQ\n0 PINGREQ\n0 PINGREQ\n");
	free(m);
}

static void time_that_is_over_ends_it(void **state)
{
	struct world w = world_of(takeover);
	struct moves *m = fresh(), *least = fresh();
	struct minimised result;
	const struct moves *one[] = { least };

	(void)state;
	takeover_case(m);
	w.trial.give_up_ns = w.now_ns + UINT64_C(1000000000);	/* twenty trials */
	assert_true(minimise(&w.trial, (const struct moves *const *)&m, 1, &death, least, &result));
	assert_false(result.complete);
	assert_in_range(result.n_trials, 10, 21);
	assert_true(result.of > 0 && result.shows == result.of);
	assert_true(takeover(one, 1) && least->n < m->n);
	free(m);
	free(least);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takeover_and_PUBREL),
		cmocka_unit_test(third_PUBLISH_of_the_same_id),
		cmocka_unit_test(SUBSCRIBE_with_many_filters),
		cmocka_unit_test(alias_past_its_maximum_and_a_long_payload),
		cmocka_unit_test(one_that_shows_at_times),
		cmocka_unit_test(one_that_needs_the_answer_first),
		cmocka_unit_test(one_that_never_shows),
		cmocka_unit_test(several_cases_become_one),
		cmocka_unit_test(what_cannot_be_mended_stays),
		cmocka_unit_test(what_the_state_steered_is_written_out),
		cmocka_unit_test(time_that_is_over_ends_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

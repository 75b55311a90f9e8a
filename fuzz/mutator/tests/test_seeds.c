#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/codec.h"
#include "codec/fields.h"
#include "fuzz/mutator/recorded.h"
#include "fuzz/mutator/seeds.h"

static const unsigned all_versions = 1u << MQTT_3_1 | 1u << MQTT_3_1_1 | 1u << MQTT_5;
static struct seeds seeds;
static struct moves moves;

/* Every packet that a client sent in some seed: which properties were seen in which type, in seeds that break no rule. */
static bool seen_type[MQTT_5 + 1][N_PACKET_TYPES];
static bool seen_property[N_PACKET_TYPES][PROPERTY_ID_MAX + 1];
static uint64_t came[N_PACKET_TYPES];		/* from the broker, in what was played */

static void on_began(struct packet_sink *sink)
{
	(void)sink;
}

static void on_packet(struct packet_sink *sink, uint8_t client, enum sender from, enum version version, struct span bytes)
{
	struct frame frame;
	struct finding finding;

	(void)sink, (void)version;
	assert_true(client < MOVES_CLIENTS);
	assert_int_equal(frame_next(bytes.at, bytes.len, &frame, &finding), FRAME_OK);
	assert_int_equal(frame.size, bytes.len);
	came[bytes.at[0] >> 4] += from == FROM_SERVER;
}

static void note_properties(unsigned type, struct span list)
{
	struct property_walk walk = properties_of(list);
	struct property property;

	while (property_next(&walk, &property))
		seen_property[type][property.id] = true;
}

static void note_packets(void)
{
	for (size_t i = 0; i < seeds.n; i++) {
		moves_read(&moves, seeds.at[i].bytes);
		for (uint32_t k = 0; k < moves.n && !seeds.at[i].offends; k++) {
			const struct move *m = &moves.at[k];
			struct packet packet;
			struct finding finding;
			enum version version = moves_version(&moves, k, m->client);

			if (!move_sends(m) || decode(m->bytes.at, m->bytes.len, version, &packet, &finding) != CODEC_OK)
				continue;	/* in pieces, or several */
			seen_type[packet.version][packet.type] = true;
			note_properties(packet.type, packet.properties);
			note_properties(WILL, packet.will_properties);
		}
	}
}

static int make(void **state)
{
	struct packet_sink sink = { on_began, on_packet };

	(void)state;
	if (!seeds_make_telling(&seeds, all_versions, &sink))
		return -1;
	note_packets();
	return 0;
}

static int release(void **state)
{
	(void)state;
	seeds_release(&seeds);
	return 0;
}

static const struct seed *seed_named(const char *name)
{
	for (size_t i = 0; i < seeds.n; i++)
		if (!strcmp(seeds.at[i].name, name))
			return &seeds.at[i];
	fail_msg("no seed is named %s", name);
	return NULL;
}

/* What clients do, packets by their names: "0open 0CONNECT 0await". */
static const char *told(const char *name)
{
	static const char *const names[N_MOVE_KINDS] = {
		"open", "", "", "drop", "wait", "stop", "read", "limits", "answer", "steer", "await", "close", "cut ", "pause",
	};
	static char text[4096];
	size_t len = 0;

	moves_read(&moves, seed_named(name)->bytes);
	for (uint32_t i = 0; i < moves.n; i++) {
		const struct move *m = &moves.at[i];

		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%u%s", i ? " " : "", m->client, names[m->kind]);
		if (m->value)
			len += (size_t)snprintf(text + len, sizeof(text) - len, "=%u", m->value);
		if (m->bytes.len)
			len += (size_t)snprintf(text + len, sizeof(text) - len, "%s", packet_name(m->bytes.at[0] >> 4));
	}
	return text;
}

/* ---- each ---- */

static void there_are_many(void **state)
{
	size_t n_offend = 0, n_table = 0;

	(void)state;
	for (size_t i = 0; i < seeds.n; i++) {
		n_offend += seeds.at[i].offends;
		n_table += !strncmp(seeds.at[i].name, "table: ", 7);
	}
	assert_true(seeds.n > 1500 && n_table > 200);
	assert_true(n_offend > 300 && n_offend < seeds.n / 2);
}

static void each_begins_with_a_connection_and_fits(void **state)
{
	static uint8_t room[MOVES_BYTES * 2];

	(void)state;
	for (size_t i = 0; i < seeds.n; i++) {
		const struct seed *seed = &seeds.at[i];
		struct writer w = writer_to(room, sizeof(room));

		moves_read(&moves, seed->bytes);
		assert_true(moves.n > 1 && moves.at[0].kind == MOVE_OPEN);
		assert_true(seed->version >= MQTT_3_1 && seed->version <= MQTT_5);
		moves_write(&moves, &w);
		assert_true(span_equal(wr_span(&w), seed->bytes));
	}
}

static int by_bytes(const void *a, const void *b)
{
	const struct seed *s = a, *t = b;
	size_t len = s->bytes.len < t->bytes.len ? s->bytes.len : t->bytes.len;
	int order = memcmp(s->bytes.at, t->bytes.at, len);

	return order ? order : s->bytes.len < t->bytes.len ? -1 : s->bytes.len > t->bytes.len;
}

static void each_is_there_once_and_comes_again(void **state)
{
	struct seeds again;

	(void)state;
	assert_true(seeds_make(&again, all_versions));
	assert_int_equal(again.n, seeds.n);
	for (size_t i = 0; i < seeds.n; i++) {
		assert_string_equal(again.at[i].name, seeds.at[i].name);
		assert_true(span_equal(again.at[i].bytes, seeds.at[i].bytes));
		assert_int_equal(again.at[i].offends, seeds.at[i].offends);
	}
	qsort(again.at, again.n, sizeof(*again.at), by_bytes);
	for (size_t i = 1; i < again.n; i++)
		assert_true(by_bytes(&again.at[i - 1], &again.at[i]) < 0);
	seeds_release(&again);
}

static void names_are_the_token(void **state)
{
	size_t n_named = 0;

	(void)state;
	for (size_t i = 0; i < seeds.n; i++)
		n_named += memmem(seeds.at[i].bytes.at, seeds.at[i].bytes.len, MOVES_NAME, MOVES_NAME_LEN) != NULL;
	assert_true(n_named > seeds.n * 9 / 10);
}

static void only_versions_that_are_asked_for(void **state)
{
	struct seeds some;
	size_t n = 0;

	(void)state;
	assert_true(seeds_make(&some, 1u << MQTT_3_1));
	for (size_t i = 0; i < some.n; i++) {
		assert_int_equal(some.at[i].version, MQTT_3_1);
		moves_read(&moves, some.at[i].bytes);
		for (uint32_t k = 0; k < moves.n; k++)
			n += move_sends(&moves.at[k]) && moves_version(&moves, k + 1, moves.at[k].client) == MQTT_5 && !some.at[i].offends;
	}
	assert_int_equal(n, 0);
	seeds_release(&some);
}

/* ---- all together ---- */

static void every_packet_of_every_version_is_sent(void **state)
{
	(void)state;
#define X(name, number, flags, sender, since) \
	for (enum version v = since; v <= MQTT_5; v++) \
		if ((sender) & FROM_CLIENT && !((v != MQTT_5) && name == AUTH)) \
			assert_true(seen_type[v][name] || name == PUBREL || name == PUBCOMP || name == PUBACK || name == PUBREC);
	PACKETS(X)
#undef X
	for (unsigned type = PUBACK; type <= PUBCOMP; type++)	/* mostly told as answers, but for those with a reason or properties */
		assert_true(seen_type[MQTT_5][type]);
}

static void every_property_is_sent(void **state)
{
	(void)state;
#define X(id, name, kind, carried, limit) \
	for (unsigned type = 0; type < N_PACKET_TYPES; type++) { \
		bool servers = type == CONNACK || type == SUBACK || type == UNSUBACK || (type == PUBLISH && id == PROP_subscription_identifier) || \
			(type == DISCONNECT && id == PROP_server_reference); \
		if ((carried) & ON(type) && !servers && !seen_property[type][id]) \
			fail_msg("no seed that is within the rules has " #name " in %s", type ? packet_name(type) : "a will"); \
	}
	PROPERTIES(X)
#undef X
}

static void the_broker_answers(void **state)
{
	(void)state;
	for (unsigned type = CONNACK; type <= AUTH; type++)
		if (type != SUBSCRIBE && type != UNSUBSCRIBE && type != PINGREQ)
			assert_true(came[type] > 2);
}

/* ---- what was done, move by move ---- */

static void moves_are_those_of_the_scenario(void **state)
{
	(void)state;
	assert_string_equal(told("common/qos/qos2-repeated.scn#DUP 1 in 3.1.1"),
	                    "0open 0CONNECT 0await 0SUBSCRIBE 0await 1open 1CONNECT 1await 1PUBLISH 1await 1pause=5 1PUBLISH 1await 1answer 1await 1PUBLISH "
	                    "1await 1pause=5 1answer 1await 0answer 0pause=5 0PUBCOMP 0answer 0pause=5 0answer");	/* PUBCOMP: not what is oldest */
	assert_false(seed_named("common/qos/qos2-repeated.scn#DUP 1 in 3.1.1")->offends);
	assert_true(seed_named("common/qos/qos2-repeated.scn#DUP 1 in 5")->offends);	/* which resends on a new connection only */
}

static void acknowledgements_with_more_than_an_id_are_sends(void **state)
{
	(void)state;
	assert_string_equal(told("table: PUBACK reason=0x87 in 5"),
	                    "0open 0CONNECT 0await 0SUBSCRIBE 0await 0PUBLISH 0await 0PUBACK 0PUBLISH 0await 0answer 0DISCONNECT 0await");
}

static void time_passes(void **state)
{
	(void)state;
	assert_non_null(strstr(told("table: CONNECT will.delay_interval=1 in 5"), "1drop 0wait=2 0pause=5 0answer"));
}

static void pieces_are_one_move(void **state)
{
	bool found = false;

	(void)state;
	for (size_t i = 0; i < seeds.n; i++) {
		moves_read(&moves, seeds.at[i].bytes);
		for (uint32_t k = 0; k < moves.n; k++)
			found |= moves.at[k].kind == MOVE_SEND_CUT && moves.at[k].value == 1 && moves.at[k].bytes.len > 20;
	}
	assert_true(found);
}

static void reading_stops(void **state)
{
	const char *text = told("table: reading stops, qos=1 in 3.1.1");

	(void)state;
	assert_memory_equal(text, "0open 0CONNECT 0await 0SUBSCRIBE 0await 0stop 1open", 50);
	assert_non_null(strstr(text, "PUBLISH 1await 0read"));
}

static void offences_are_marked(void **state)
{
	(void)state;
	assert_true(seed_named("table: SUBSCRIBE !retain_handling=3 in 5")->offends);		/* by form */
	assert_true(seed_named("table: PUBLISH dup=1 in 3.1.1")->offends);			/* by the flow */
	assert_true(seed_named("common/connect/protocol-name.scn#not MQTT/5 in 3.1.1")->offends);
	assert_false(seed_named("table: PUBLISH qos=2 in 5")->offends);
	assert_false(seed_named("table: PUBREL reason=0x92 in 5")->offends);
	assert_false(seed_named("common/ping/answered.scn in 5")->offends);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(there_are_many),
		cmocka_unit_test(each_begins_with_a_connection_and_fits),
		cmocka_unit_test(each_is_there_once_and_comes_again),
		cmocka_unit_test(names_are_the_token),
		cmocka_unit_test(only_versions_that_are_asked_for),
		cmocka_unit_test(every_packet_of_every_version_is_sent),
		cmocka_unit_test(every_property_is_sent),
		cmocka_unit_test(the_broker_answers),
		cmocka_unit_test(moves_are_those_of_the_scenario),
		cmocka_unit_test(acknowledgements_with_more_than_an_id_are_sends),
		cmocka_unit_test(time_passes),
		cmocka_unit_test(pieces_are_one_move),
		cmocka_unit_test(reading_stops),
		cmocka_unit_test(offences_are_marked),
	};

	return cmocka_run_group_tests(tests, make, release);
}

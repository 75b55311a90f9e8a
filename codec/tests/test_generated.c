#include <stdio.h>

#include "codec/tests/whole.h"

#include "codec/generate.h"

/*
 * A million packets drawn from the tables, of every type, version and sender: each is legal by check, comes back
 * from bytes and from text, is laid out without gaps, and a cut one is never read past its end.
 */

enum { N_PACKETS = 1000000 };

struct sort {
	enum packet_type type;
	enum version version;
	enum sender from;
	unsigned n;
	char name[48];
};

static struct guard guard;

/* Whether there is a '!' outside the strings. */
static bool marked(const char *text)
{
	for (bool inside = false; *text; text++) {
		if (inside && *text == '\\')
			text++;
		else if (*text == '"')
			inside = !inside;
		else if (*text == '!' && !inside)
			return true;
	}
	return false;
}

/* What decode_plain() must take. */
static bool is_plain(const struct packet *p)
{
	bool ascii = true;

	if (p->type >= PUBACK && p->type <= PUBCOMP)
		return !p->written && (p->version != MQTT_3_1 || p->type != PUBREL || p->flags == 2) && (p->version != MQTT_3_1 || p->type == PUBREL || !p->flags);
	for (size_t i = 0; i < p->topic.len; i++)
		ascii = ascii && p->topic.at[i] < 0x80;
	return p->type == PUBLISH && p->topic.len && ascii && !p->properties.len;
}

static void comes_back(void **state)
{
	static uint8_t room[1 << 16], bytes[WHOLE_MAX];
	static char text[2 * WHOLE_MAX];
	const struct sort *sort = *state;
	struct random random;

	random_seed(&random, (uint64_t)sort->type << 16 | (uint64_t)sort->version << 8 | sort->from);
	for (unsigned i = 0; i < sort->n; i++) {
		struct writer w = writer_to(bytes, sizeof bytes);
		struct packet packet, decoded;
		struct finding finding;
		struct arena arena;

		arena_init(&arena, room, sizeof room);
		assert_int_equal(generate(sort->type, sort->version, sort->from, &random, &arena, &packet), CODEC_OK);
		assert_int_equal(encode(&packet, NULL, &w), CODEC_OK);
		assert_true(wr_fits(&w));
		if (decode(bytes, w.len, sort->version, &decoded, &finding) != CODEC_OK || check(&decoded, sort->from, &finding) != CODEC_OK)
			fail_msg("packet %u: %s at %u: %s", i, rule_id(finding.rule, sort->version), finding.offset, finding.why);
		assert_null(packet_differs(&packet, &decoded));
		if (decode_plain(bytes, w.len, sort->version, &packet))
			assert_memory_equal(&packet, &decoded, sizeof(packet));
		else
			assert_false(is_plain(&decoded));
		assert_comes_back(&guard, bytes, w.len, sort->version, sort->from, text, sizeof text);
		if (marked(text))
			fail_msg("legal, and yet marked: %s", text);
		assert_laid_out(bytes, w.len, sort->version);
		if (i % 512 == 0) {
			assert_framed(&guard, bytes, w.len);
			assert_survives_cuts(&guard, bytes, w.len, sort->version);
		}
	}
}

/* Every pair of different packets of a type differs in some field, and no packet from itself. */
static void differences_are_seen(void **state)
{
	static uint8_t rooms[2][1 << 16], bytes[2][WHOLE_MAX];
	const struct sort *sort = *state;
	struct random random;

	random_seed(&random, sort->type);
	for (unsigned i = 0; i < 200; i++) {
		struct packet packets[2];
		struct writer w[2];

		for (int k = 0; k < 2; k++) {
			struct arena arena;

			arena_init(&arena, rooms[k], sizeof rooms[k]);
			assert_int_equal(generate(sort->type, sort->version, sort->from, &random, &arena, &packets[k]), CODEC_OK);
			w[k] = writer_to(bytes[k], sizeof bytes[k]);
			assert_int_equal(encode(&packets[k], NULL, &w[k]), CODEC_OK);
		}
		bool same = span_equal(wr_span(&w[0]), wr_span(&w[1]));
		assert_int_equal(!packet_differs(&packets[0], &packets[1]), same);
	}
}

int main(void)
{
	static const struct { uint8_t by, since; } types[] = {
		{ 0, 0 },
#define X(name, number, flags, sender, since) { sender, since },
		PACKETS(X)
#undef X
	};
	static const enum version versions[] = { MQTT_3_1, MQTT_3_1_1, MQTT_5 };
	static struct sort sorts[128];
	static struct CMUnitTest tests[256];
	unsigned n = 0, n_rich = 0;

	for (unsigned v = 0; v < 3; v++)
		for (unsigned type = 1; type < N_PACKET_TYPES; type++)
			for (unsigned from = FROM_CLIENT; from <= FROM_SERVER; from++) {
				bool server_only_5 = type == DISCONNECT && from == FROM_SERVER && versions[v] != MQTT_5;

				if (!(types[type].by & from) || types[type].since > versions[v] || server_only_5)
					continue;
				sorts[n] = (struct sort){ type, versions[v], from, 0, "" };
				snprintf(sorts[n].name, sizeof sorts[n].name, "%s of %s by %s", packet_name(type),
				         versions[v] == MQTT_5 ? "5" : versions[v] == MQTT_3_1 ? "3.1" : "3.1.1", from == FROM_CLIENT ? "client" : "server");
				n_rich += type != PINGREQ && type != PINGRESP;
				n++;
			}
	for (unsigned i = 0; i < n; i++) {
		/* there is but one PINGREQ */
		sorts[i].n = sorts[i].type == PINGREQ || sorts[i].type == PINGRESP ? 1 : (N_PACKETS + n_rich - 1) / n_rich;
		tests[2 * i] = (struct CMUnitTest){ .name = sorts[i].name, .test_func = comes_back, .initial_state = &sorts[i] };
		tests[2 * i + 1] = (struct CMUnitTest){ .name = sorts[i].name, .test_func = differences_are_seen, .initial_state = &sorts[i] };
	}
	guard = guard_new(WHOLE_MAX);
	return _cmocka_run_group_tests("generated packets", tests, 2 * n, NULL, NULL);
}

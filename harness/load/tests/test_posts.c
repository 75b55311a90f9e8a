#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "codec/text.h"
#include "harness/load/tests/lone_client.h"

/* Packets of a client's PUBLISH steps: what stands in them, who is told, and that the template's are what the long way builds. */

LONE_CLIENT

struct stream {
	unsigned n;
};
static struct stream streams[8];

static void remember(struct span topic)
{
	snprintf(lone_seen.topic, sizeof(lone_seen.topic), "%.*s", (int)topic.len, topic.at);
}

struct stream *ledger_stream(struct ledger *ledger, struct listener publisher, struct span topic, unsigned qos)
{
	(void)ledger, (void)publisher, (void)qos;
	remember(topic);
	return &streams[lone_seen.streams++ % 8];
}

void ledger_send(struct ledger *ledger, struct listener publisher, struct stream *stream, uint64_t due_ns, uint64_t now_ns, struct stamp *stamp)
{
	(void)ledger, (void)publisher;
	lone_seen.stamps++;
	*stamp = (struct stamp){ .run = 99, .number = stream->n++, .due_ns = due_ns, .sent_ns = now_ns };
}

void ledger_echo(struct ledger *ledger, struct listener publisher, struct span topic, unsigned qos)
{
	(void)ledger, (void)publisher, (void)qos;
	lone_seen.echoes++;
	remember(topic);
}

static int publish(struct lone *l, unsigned client, unsigned step, uint16_t id)
{
	struct stream *stream;
	uint32_t number;

	return post(&l->clients[client], lone_step(l, step), id, &stream, &number, NULL, NULL);
}

/* The packet in the notation, its payload cut. */
static const char *sent_text(const struct lone *l)
{
	static char text[600];
	struct packet packet;
	struct finding finding;
	struct writer w = writer_to(text, sizeof(text) - 1);

	assert_int_equal(decode(lone_seen.room, lone_seen.len, (enum version)l->plan.script->actors[0].version, &packet, &finding), CODEC_OK);
	packet.payload = span_of(packet.payload.at, packet.payload.len < 10 ? packet.payload.len : 10);
	packet_print(&packet, FROM_CLIENT, &w);
	text[w.len < w.cap ? w.len : w.cap] = 0;
	return text;
}

#define HEAD "workload \"w\"\nmqtt 5\n"

static void says_what_the_step_says(void **state)
{
	static const struct {
		const char *step, *packet;
	} rows[] = {
		{ "publishes", "PUBLISH topic=\"run7\" payload=\"\"" },
		{ "publishes topic=\"t/$(n)/x\" payload=fill(4)", "PUBLISH topic=\"t/7/x\" payload=\"abcd\"" },
		{ "publishes topic=\"$(topic)/$(n + 1)-$(n * 1000)\" qos=1 retain payload=\"\\x01z\"", "PUBLISH topic=\"run7/8-7000\" qos=1 retain packet_id=3 payload=\"\\x01z\"" },
		{ "publishes topic=\"t\" qos=2 payload=fill(40)", "PUBLISH topic=\"t\" qos=2 packet_id=3 payload=\"abcdefghij\"" },
		{ "publishes topic=\"t/$(n)\" message_expiry_interval=9 user_property=[\"k\":\"v\" \"l\":\"w\"] payload=\"x\"",
		  "PUBLISH topic=\"t/7\" message_expiry_interval=9 user_property=[\"k\":\"v\" \"l\":\"w\"] payload=\"x\"" },
		{ "publishes topic=\"t\" correlation_data=\"c$(n)\" payload=\"x\"", "PUBLISH topic=\"t\" correlation_data=\"c7\" payload=\"x\"" },
		{ "publishes topic=\"t\" size=30 payload=\"x\"", "PUBLISH topic=\"t\" payload=\"xbcdefghij\"" },
		{ "-> PUBLISH topic=\"t\" qos=1 packet_id=900 payload=\"x\"", "PUBLISH topic=\"t\" qos=1 packet_id=900 payload=\"x\"" },
		{ "-> PUBLISH !topic=\"a/#\" payload=\"x\"", "PUBLISH !topic=\"a/#\" payload=\"x\"" },
	};
	char text[400];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		snprintf(text, sizeof(text), HEAD "role c x 1 {\nc connects\nc %s\n}\n", rows[i].step);
		struct lone *l = lone_new(text);
		const struct tally *t = &l->tallies[0];

		assert_int_equal(publish(l, 0, 1, 3), 1);
		assert_string_equal(sent_text(l), rows[i].packet);
		assert_int_equal(t->counts[COUNT_sent], 1);
		assert_int_equal(t->counts[COUNT_late], 0);
		assert_int_equal(t->counts[COUNT_packets_sent], 1);
		assert_int_equal(t->counts[COUNT_bytes_sent], lone_seen.len);
		assert_int_equal(t->timings[TIME_LATENESS].count, 1);
		assert_int_equal(t->timings[TIME_LATENESS].max, 1000000);
		assert_int_equal(l->clients[0].sent_ms, 1000);
		assert_int_equal(lone_free(l), 0);
	}
}

/* The same monitor told by a template and told by decoding: no difference afterwards. */
static void the_monitor_is_told_the_same(void **state)
{
	static const char *const steps[] = {
		"topic=\"t/$(n)\" payload=stamp(200)", "topic=\"t\" qos=1 payload=\"x\"", "topic=\"t\" qos=2 retain", "topic=\"t\" qos=1 dup",
	};
	char text[300];

	(void)state;
	for (size_t i = 0; i < sizeof(steps) / sizeof(*steps); i++)
		for (unsigned limit = 0; limit < 5; limit++) {
			snprintf(text, sizeof(text), HEAD "role c x 1 {\nc connects\nc publishes %s\n}\n", steps[i]);
			struct lone *l = lone_new(text);
			struct client *fast = &l->clients[1], *slow = &l->clients[2];
			struct packet packet;
			struct finding finding;

			for (int k = 1; k < 3; k++) {
				struct monitor *m = &l->clients[k].link.monitor;

				if (limit == 1)
					m->features = (uint8_t)(m->features & ~3u);
				if (limit == 2)
					m->features = (uint8_t)(m->features & ~4u);
				if (limit == 3)
					m->maximum_packet_size = 8;
				if (limit == 4)
					m->receive_maximum = 1;
			}
			for (uint16_t id = 1; id <= 3; id++) {
				assert_int_equal(publish(l, 1, 1, id), 1);
				assert_int_equal(decode(lone_seen.room, lone_seen.len, MQTT_5, &packet, &finding), CODEC_OK);
				monitor_sent(&slow->link.monitor, lone_seen.room, lone_seen.len, &packet);
				assert_int_equal(monitor_is_lenient(&fast->link.monitor), monitor_is_lenient(&slow->link.monitor));
				struct monitor a = fast->link.monitor, b = slow->link.monitor;
				assert_int_equal(!a.session, !b.session);
				a.session = b.session = NULL;
				a.key = b.key = 0;
				assert_memory_equal(&a, &b, sizeof(a));
			}
			assert_int_equal(lone_free(l), 0);
		}
}

static void stamps_are_of_the_clients_stream(void **state)
{
	struct lone *l = lone_new(HEAD "role c x 1 {\nc connects\nc publishes topic=\"t/$(n)\" payload=stamp(40)\n"
	                          "c publishes topic=\"p/$(pick(d))\" payload=stamp(32)\nc publishes topic=\"q\" payload=stamp(32) size=60\n}\n"
	                          "role d x 5 { d connects }\n");
	struct stamp stamp;

	(void)state;
	memset(streams, 0, sizeof(streams));
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(publish(l, 0, 1, 0), 1);
		assert_true(stamp_read(span_of(lone_seen.room + lone_seen.len - 40, 40), 99, &stamp));
		assert_int_equal(stamp.number, i);
		assert_int_equal(stamp.due_ns, 999000000);
		assert_int_equal(stamp.sent_ns, 1000000000);
		assert_memory_equal(lone_seen.room + lone_seen.len - 8, "ghijklmn", 8);
	}
	assert_int_equal(lone_seen.streams, 1);			/* asked for once */
	assert_string_equal(lone_seen.topic, "t/7");
	assert_int_equal(publish(l, 1, 1, 0), 1);			/* another client has its own */
	assert_string_equal(lone_seen.topic, "t/41");
	assert_int_equal(publish(l, 0, 2, 0), 1);
	assert_int_equal(publish(l, 0, 2, 0), 1);
	assert_int_equal(lone_seen.streams, 4);			/* a topic that is drawn is asked for each time */
	assert_memory_equal(lone_seen.topic, "p/", 2);
	assert_int_equal(publish(l, 0, 3, 0), 1);			/* the long way, padded behind the stamp */
	assert_int_equal(lone_seen.len, 60);
	assert_true(stamp_read(span_of(lone_seen.room + 6, 54), 99, &stamp));
	assert_int_equal(lone_seen.stamps, 7);
	assert_int_equal(l->tallies[0].counts[COUNT_sent], 0);	/* the ledger counts these */
	assert_int_equal(l->tallies[0].counts[COUNT_packets_sent], 7);
	assert_int_equal(lone_free(l), 0);
}

static void a_stamp_that_came_is_an_echo(void **state)
{
	struct lone *l = lone_new(HEAD "role c x 1 {\nc connects\nc receives payload as $p\nc publishes topic=\"r/$(n)\" qos=1 payload=$p\n}\n");
	uint8_t payload[48] = { 0 };
	struct packet packet = { .type = PUBLISH, .version = MQTT_5, .topic = span_text("x"), .payload = span_of(payload, sizeof(payload)) };
	const struct step *receives = lone_step(l, 1);
	struct client *c = &l->clients[0];

	(void)state;
	assert_int_equal(publish(l, 0, 2, 1), -1);
	assert_string_equal(lone_seen.stopped, "line 6: the name is not bound here");
	stamp_write(payload, STAMP_SIZE, &(struct stamp){ .run = 99, .number = 5 });
	packet_binds(c, receives->matches, receives->n_matches, &packet);
	assert_int_equal(publish(l, 0, 2, 1), 1);
	assert_memory_equal(lone_seen.room + lone_seen.len - 48, payload, 48);
	assert_int_equal(lone_seen.echoes, 1);
	assert_string_equal(lone_seen.topic, "r/7");
	stamp_write(payload, STAMP_SIZE, &(struct stamp){ .run = 98 });	/* of another run */
	packet_binds(c, receives->matches, receives->n_matches, &packet);
	assert_int_equal(publish(l, 0, 2, 2), 1);
	assert_int_equal(lone_seen.echoes, 1);
	assert_int_equal(l->tallies[0].counts[COUNT_sent], 1);	/* an echo is the ledger's to count */
	assert_int_equal(lone_free(l), 0);
}

static void no_room_counts_nothing(void **state)
{
	struct lone *l = lone_new(HEAD "role c x 1 {\nc connects\nc publishes topic=\"t\" qos=1 payload=stamp(40)\nc publishes topic=\"t\" qos=1 correlation_data=\"$(n)\" payload=stamp(40)\n}\n");
	struct stream *stream;
	uint32_t number, kept_len;
	uint8_t *kept;

	(void)state;
	lone_seen.full = true;
	for (unsigned step = 1; step <= 2; step++) {
		assert_int_equal(publish(l, 0, step, 1), 0);
		assert_int_equal(lone_seen.stamps, 0);
		assert_int_equal(l->tallies[0].counts[COUNT_packets_sent], 0);
	}
	lone_seen.full = false;
	for (unsigned step = 1; step <= 2; step++) {
		assert_int_equal(post_qos(&l->clients[0], lone_step(l, step)), 1);
		assert_int_equal(post(&l->clients[0], lone_step(l, step), (uint16_t)step, &stream, &number, &kept, &kept_len), 1);
		assert_non_null(stream);
		assert_int_equal(kept_len, lone_seen.len);
		assert_memory_equal(kept, lone_seen.room, kept_len);
		pool_give(l->engine.pool, kept, kept_len);
	}
	assert_int_equal(lone_free(l), 0);
}

static void a_bound_topic_is_looked_at(void **state)
{
	static const struct {
		const char *topic;
		bool lenient;
	} rows[] = { { "a/b", false }, { "a/#", true }, { "", true }, { "\xff", true } };

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct lone *l = lone_new(HEAD "role c x 1 {\nc connects\nc receives payload as $t\nc publishes topic=$t payload=\"x\"\n}\n");
		struct packet packet = { .type = PUBLISH, .version = MQTT_5, .topic = span_text("x"), .payload = span_text(rows[i].topic) };
		const struct step *receives = lone_step(l, 1);

		packet_binds(&l->clients[0], receives->matches, receives->n_matches, &packet);
		assert_int_equal(publish(l, 0, 2, 0), 1);
		assert_int_equal(monitor_is_lenient(&l->clients[0].link.monitor), rows[i].lenient);
		assert_int_equal(lone_free(l), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(says_what_the_step_says),
		cmocka_unit_test(the_monitor_is_told_the_same),
		cmocka_unit_test(stamps_are_of_the_clients_stream),
		cmocka_unit_test(a_stamp_that_came_is_an_echo),
		cmocka_unit_test(no_room_counts_nothing),
		cmocka_unit_test(a_bound_topic_is_looked_at),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

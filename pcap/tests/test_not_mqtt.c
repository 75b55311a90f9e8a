#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "pcap/tests/talk.h"

/* Streams of other protocols, from their beginning and midway, on MQTT's ports and on others: none of them is MQTT. */

struct out {
	struct random random;
	uint8_t bytes[1 << 16];
	size_t len;
};

static void byte(struct out *o, unsigned b)
{
	if (o->len < sizeof(o->bytes))
		o->bytes[o->len++] = (uint8_t)b;
}

static void number(struct out *o, uint64_t n, unsigned size, bool little)
{
	for (unsigned i = 0; i < size; i++)
		byte(o, (unsigned)(n >> 8 * (little ? i : size - 1 - i)) & 0xff);
}

static uint64_t below(struct out *o, uint64_t n)
{
	return random_below(&o->random, n);
}

static void text(struct out *o, const char *s)
{
	while (*s)
		byte(o, (unsigned char)*s++);
}

static void word(struct out *o)
{
	for (uint64_t n = 1 + below(o, 12); n--;)
		byte(o, 'a' + (unsigned)below(o, 26));
}

static void noise(struct out *o, uint64_t n)
{
	while (n--)
		byte(o, (unsigned)below(o, 256));
}

/* ---- one message each; end 0 asks ---- */

static void is_noise(struct out *o, unsigned end)
{
	(void)end;
	noise(o, 1 + below(o, 1448));
}

static void is_zeros(struct out *o, unsigned end)
{
	(void)end;
	for (uint64_t n = 1 + below(o, 600); n--;)
		byte(o, 0);
}

static void is_ones(struct out *o, unsigned end)
{
	(void)end;
	for (uint64_t n = 1 + below(o, 600); n--;)
		byte(o, 0xff);
}

static void is_text(struct out *o, unsigned end)
{
	(void)end;
	for (uint64_t n = 1 + below(o, 1000); n--;)
		byte(o, below(o, 40) ? ' ' + (unsigned)below(o, 95) : '\n');
}

static void is_dns(struct out *o, unsigned end)
{
	size_t at = o->len;

	number(o, 0, 2, false);
	number(o, below(o, 65536), 2, false);
	number(o, end ? 0x8180 : 0x0100, 2, false);
	number(o, 1, 2, false), number(o, end, 2, false), number(o, 0, 4, false);
	for (uint64_t n = 1 + below(o, 4); n--;) {
		uint64_t len = 1 + below(o, 20);

		byte(o, (unsigned)len);
		while (len--)
			byte(o, 'a' + (unsigned)below(o, 26));
	}
	byte(o, 0);
	number(o, 1, 2, false), number(o, 1, 2, false);
	if (end)
		number(o, 0xc00c, 2, false), number(o, 16, 2, false), number(o, 1, 2, false), number(o, 300, 4, false), noise(o, 4 + below(o, 200));
	o->bytes[at] = (uint8_t)((o->len - at - 2) >> 8);
	o->bytes[at + 1] = (uint8_t)(o->len - at - 2);
}

static void is_http(struct out *o, unsigned end)
{
	text(o, end ? "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n\r\n" : "GET /");
	if (end)
		noise(o, below(o, 1300));
	else
		word(o), text(o, " HTTP/1.1\r\nHost: example.org\r\n\r\n");
}

static void is_http2(struct out *o, unsigned end)
{
	uint64_t len = below(o, 400);

	(void)end;
	number(o, len, 3, false), byte(o, (unsigned)below(o, 10)), byte(o, (unsigned)below(o, 6)), number(o, below(o, 50), 4, false);
	noise(o, len);
}

static void is_tls(struct out *o, unsigned end)
{
	uint64_t len = 20 + below(o, 1300);

	(void)end;
	byte(o, 0x17), number(o, 0x0303, 2, false), number(o, len, 2, false);
	noise(o, len);
}

static void is_ssh(struct out *o, unsigned end)
{
	if (!below(o, 10))
		text(o, end ? "SSH-2.0-server\r\n" : "SSH-2.0-client\r\n");
	number(o, 28 + 8 * below(o, 30), 4, false);
	noise(o, 40 + below(o, 300));
}

static void is_coap(struct out *o, unsigned end)
{
	static const uint8_t codes[] = { 0x01, 0x02, 0x03, 0x04, 0x45, 0x44, 0x41, 0xe1, 0xe2, 0xe3, 0x00 };
	unsigned len = (unsigned)below(o, 13), token = (unsigned)below(o, 5);

	(void)end;
	byte(o, len << 4 | token), byte(o, codes[below(o, sizeof(codes))]);
	noise(o, token);
	while (len--)
		byte(o, below(o, 2) ? 0xb0 + (unsigned)below(o, 8) : 'a' + (unsigned)below(o, 26));
}

static void is_amqp(struct out *o, unsigned end)
{
	uint64_t len = below(o, 200);

	(void)end;
	if (!below(o, 10))
		text(o, "AMQP"), number(o, 0x00000901, 4, false);
	byte(o, 1 + (unsigned)below(o, 3)), number(o, below(o, 3), 2, false), number(o, len, 4, false), noise(o, len), byte(o, 0xce);
}

static void is_redis(struct out *o, unsigned end)
{
	char line[64];

	(void)end;
	snprintf(line, sizeof(line), "*%u\r\n$%u\r\n", (unsigned)below(o, 5), (unsigned)below(o, 50));
	text(o, line), word(o), text(o, "\r\n:");
	word(o), text(o, "\r\n+OK\r\n");
}

static void is_ldap(struct out *o, unsigned end)
{
	unsigned len = (unsigned)below(o, 100);

	(void)end;
	byte(o, 0x30);
	if (below(o, 3))
		byte(o, len + 5);
	else
		byte(o, 0x84), number(o, len + 5, 4, false);
	byte(o, 2), byte(o, 1), byte(o, 1 + (unsigned)below(o, 100)), byte(o, 0x60 + (unsigned)below(o, 8)), byte(o, len);
	while (len--)
		byte(o, below(o, 4) ? 'a' + (unsigned)below(o, 26) : (unsigned)below(o, 8));
}

static void is_mysql(struct out *o, unsigned end)
{
	uint64_t len = 1 + below(o, 300);

	number(o, len, 3, true), byte(o, end), byte(o, end ? 0 : 3);
	while (--len)
		byte(o, ' ' + (unsigned)below(o, 95));
}

static void is_postgres(struct out *o, unsigned end)
{
	static const char kinds[] = "QPBDESCHXpRKZTDCEIN123tns";
	uint64_t len = below(o, 200);

	(void)end;
	byte(o, (unsigned char)kinds[below(o, sizeof(kinds) - 1)]), number(o, len + 4, 4, false);
	while (len--)
		byte(o, below(o, 5) ? 'a' + (unsigned)below(o, 26) : 0);
}

static void is_mongo(struct out *o, unsigned end)
{
	uint64_t len = below(o, 700);

	number(o, len + 16, 4, true), number(o, below(o, 1000), 4, true), number(o, end ? below(o, 1000) : 0, 4, true), number(o, 2013, 4, true);
	while (len--)
		byte(o, below(o, 3) ? (unsigned)below(o, 26) + 'a' : (unsigned)below(o, 20));
}

static void is_modbus(struct out *o, unsigned end)
{
	unsigned n = (unsigned)below(o, 60);

	(void)end;
	number(o, below(o, 65536), 2, false), number(o, 0, 2, false), number(o, n + 3, 2, false), byte(o, 1), byte(o, 3), byte(o, n);
	while (n--)
		byte(o, (unsigned)below(o, 70));
}

static void is_counters(struct out *o, unsigned end)
{
	(void)end;
	for (uint64_t n = 1 + below(o, 200), from = below(o, 100000); n--;)
		number(o, from++, 4, n & 1);
}

static void is_doubles(struct out *o, unsigned end)
{
	uint8_t fixed[5];

	(void)end;
	for (unsigned i = 0; i < sizeof(fixed); i++)
		fixed[i] = (uint8_t)below(o, 256);
	for (uint64_t n = 1 + below(o, 100); n--;) {
		byte(o, 0x3f + (unsigned)below(o, 2));
		for (unsigned i = 0; i < 7; i++)
			byte(o, i < 2 || !below(o, 2) ? fixed[i % 5] : (unsigned)below(o, 256));
	}
}

static void is_rtsp(struct out *o, unsigned end)
{
	uint64_t len = 12 + below(o, 200);

	(void)end;
	byte(o, '$'), byte(o, (unsigned)below(o, 2)), number(o, len, 2, false), byte(o, 0x80), noise(o, len - 1);
}

static const struct protocol {
	const char *name;
	void (*make)(struct out *o, unsigned end);
	unsigned streams;		/* of 16 kB, times 4 */
} all[] = {
	{ "noise", is_noise, 900 }, { "zeros", is_zeros, 50 }, { "ones", is_ones, 50 }, { "text", is_text, 100 }, { "DNS", is_dns, 100 }, { "HTTP", is_http, 100 },
	{ "HTTP/2", is_http2, 100 }, { "TLS", is_tls, 100 }, { "SSH", is_ssh, 100 }, { "CoAP", is_coap, 100 }, { "AMQP", is_amqp, 100 }, { "Redis", is_redis, 100 },
	{ "LDAP", is_ldap, 100 }, { "MySQL", is_mysql, 100 }, { "PostgreSQL", is_postgres, 100 }, { "MongoDB", is_mongo, 100 }, { "Modbus", is_modbus, 100 },
	{ "counters", is_counters, 100 }, { "doubles", is_doubles, 100 }, { "RTSP", is_rtsp, 100 },
};

static size_t bytes_fed;

/* One stream, until it was given up or all of it was fed. Whether a conversation was opened. */
static bool play(const struct protocol *kind, uint64_t seed, bool from_start, bool likely, size_t len)
{
	static struct out o;
	struct talk t;
	size_t kept = 0;
	struct mqtt_options options = talk_options(&kept);

	talk_init(&t, MQTT_3_1_1, seed);
	t.quiet = true;
	random_seed(&o.random, seed);
	options.from_start = from_start;
	options.likely = likely;
	struct stage *stage = mqtt_stage_new(&t.listener, &options);
	assert_non_null(stage);
	for (size_t fed = 0; fed < len && !mqtt_stage_gave_up(stage); fed += o.len) {
		struct when when = { .frame = ++t.frame };
		unsigned end = (unsigned)random_below(&o.random, 2);
		size_t at = 0;

		o.len = 0;
		for (uint64_t n = 1 + below(&o, 4); n--;)
			kind->make(&o, end);
		if (!from_start && !fed)
			at = below(&o, o.len);	/* the first segment begins anywhere */
		for (size_t n; at < o.len; at += n) {
			n = o.len - at < 1448 ? o.len - at : 1448;
			stage->ops->bytes(stage, end, span_of(o.bytes + at, n), &when);
			bytes_fed += n;
		}
		assert_true(kept <= 2 * (16384 + 256 * 48));
	}
	talk_end(&t, stage);
	assert_int_equal(kept, 0);
	talk_release(&t);
	return t.n_opened;
}

static void nothing_is_opened(void **state)
{
	(void)state;
	for (size_t k = 0; k < sizeof(all) / sizeof(*all); k++)
		for (unsigned how = 0; how < 4; how++) {
			unsigned opened = 0;

			for (uint64_t seed = 1; seed <= all[k].streams; seed++)
				opened += play(&all[k], seed * 8 + how, how & 1, how & 2, how & 2 ? 100000 : 16384);
			if (opened)
				printf("%s, %s, %s: %u of %u streams were taken to be MQTT\n", all[k].name, how & 1 ? "from the start" : "midway",
				       how & 2 ? "on 1883" : "on any port", opened, all[k].streams);
			assert_int_equal(opened, 0);
		}
	printf("%zu bytes of other protocols\n", bytes_fed);
}

/* Without giving up: every segment is the first of a connection joined midway. */
static void no_segment_is_taken_for_mqtt(void **state)
{
	(void)state;
	for (size_t k = 0; k < sizeof(all) / sizeof(*all); k++) {
		unsigned opened = 0, n = k ? 4000 : 60000;

		for (uint64_t seed = 1; seed <= n; seed++)
			opened += play(&all[k], seed << 20, false, true, 1);
		if (opened)
			printf("%s: %u of %u segments were taken to be MQTT\n", all[k].name, opened, n);
		assert_int_equal(opened, 0);
	}
	printf("%zu bytes of other protocols\n", bytes_fed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_opened),
		cmocka_unit_test(no_segment_is_taken_for_mqtt),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

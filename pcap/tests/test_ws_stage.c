#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "codec/http.h"
#include "codec/ws.h"
#include "pcap/tests/talk.h"
#include "pcap/ws_stage.h"

/* ---- by hand: what is passed up, as text ---- */

struct table {
	struct stage above;		/* what it is told */
	struct stage *stage;
	struct ws_notes notes;
	size_t kept;
	char log[4096];
	size_t len;
	bool ended;
};

__attribute__((format(printf, 2, 3)))
static void note(struct table *t, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	int n = vsnprintf(t->log + t->len, sizeof(t->log) - t->len, format, args);
	va_end(args);
	assert_true(n >= 0 && (size_t)n < sizeof(t->log) - t->len);
	t->len += (size_t)n;
}

static void above_bytes(struct stage *stage, unsigned end, struct span bytes, const struct when *when)
{
	note((struct table *)stage, "%u:%.*s f%u\n", end, (int)bytes.len, bytes.at, (unsigned)when->frame);
}

static void above_hole(struct stage *stage, unsigned end, uint64_t len, enum hole_why why, const struct when *when)
{
	(void)when;
	note((struct table *)stage, "%u hole %u %s\n", end, (unsigned)len, why == HOLE_LOST ? "lost" : why == HOLE_UNREADABLE ? "unreadable" : "other");
}

static void above_closed(struct stage *stage, unsigned end, bool reset, const struct when *when)
{
	(void)when, (void)reset;
	note((struct table *)stage, "%u closed\n", end);
}

static void above_ended(struct stage *stage, const struct when *when)
{
	(void)when;
	((struct table *)stage)->ended = true;
}

static const struct stage_ops above_ops = { above_bytes, above_hole, above_closed, above_ended };

static uint64_t frame;

static void lay(struct table *t)
{
	*t = (struct table){ .above = { &above_ops } };
	t->notes.kept = &t->kept;
	t->stage = ws_stage_new(&t->above, &t->notes);
	assert_non_null(t->stage);
	frame = 0;
}

static void says_bytes(struct table *t, unsigned end, const void *bytes, size_t n)
{
	struct when when = { .frame = ++frame };
	uint8_t *exact = malloc(n ? n : 1);

	assert_non_null(exact);
	memcpy(exact, bytes, n);
	t->stage->ops->bytes(t->stage, end, span_of(exact, n), &when);
	free(exact);
}

static void says(struct table *t, unsigned end, const char *text)
{
	says_bytes(t, end, text, strlen(text));
}

static void misses(struct table *t, unsigned end, uint64_t n)
{
	struct when when = { .frame = ++frame };

	t->stage->ops->hole(t->stage, end, n, HOLE_LOST, &when);
}

/* A frame of that payload as a segment, of which the first `from` and the last `less` bytes are left out. */
static void frames(struct table *t, unsigned end, enum ws_opcode opcode, const char *payload, size_t from, size_t less)
{
	static const uint8_t mask[4] = { 0x11, 0x92, 0x33, 0xf4 };
	uint8_t bytes[512];
	size_t n = strlen(payload), head = ws_head(bytes, opcode, true, n, end ? NULL : mask);

	memcpy(bytes + head, payload, n);
	if (!end)
		ws_mask(bytes + head, n, mask, 0);
	says_bytes(t, end, bytes + from, head + n - from - less);
}

static void told(struct table *t, const char *log)
{
	struct when when = { .frame = ++frame };

	t->stage->ops->ended(t->stage, &when);
	assert_true(t->ended);
	assert_string_equal(t->log, log);
	assert_int_equal(t->kept, 0);
}

#define REQUEST "GET /mqtt HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" \
                "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: mqtt\r\nSec-WebSocket-Version: 13\r\n\r\n"
#define RESPONSE "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: any\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n"

static void upgraded(struct table *t)
{
	says(t, 0, REQUEST);
	says(t, 1, RESPONSE);
}

static void an_upgrade(void **state)
{
	struct table t;

	(void)state;
	lay(&t);
	says(&t, 0, "GET /m");
	says(&t, 0, &REQUEST[6]);
	says(&t, 1, RESPONSE "\x82\x03""abc");
	assert_true(t.notes.upgraded && t.notes.offers_mqtt && t.notes.selects_mqtt && t.notes.client_end == 0);
	assert_string_equal(t.notes.path, "/mqtt");
	frames(&t, 0, WS_BINARY, "hello", 0, 0);
	frames(&t, 0, WS_PING, "ping", 0, 0);
	frames(&t, 1, WS_TEXT, "as text", 0, 0);
	frames(&t, 0, WS_CLOSE, "\x03\xe8", 0, 0);
	told(&t, "1:abc f3\n0:hello f4\n1:as text f6\n");
}

static void a_refusal(void **state)
{
	struct table t;

	(void)state;
	lay(&t);
	says(&t, 0, REQUEST);
	says(&t, 1, "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\n\x82\x01x");
	frames(&t, 0, WS_BINARY, "hello", 0, 0);
	assert_false(t.notes.upgraded);
	told(&t, "");
}

static void a_hole_in_a_payload(void **state)
{
	struct table t;

	(void)state;
	lay(&t);
	upgraded(&t);
	frames(&t, 0, WS_BINARY, "0123456789", 0, 7);
	misses(&t, 0, 2);
	frames(&t, 0, WS_BINARY, "0123456789", 6 + 5, 0);
	frames(&t, 0, WS_BINARY, "abc", 0, 1);
	misses(&t, 0, 1);
	frames(&t, 0, WS_PING, "abc", 0, 2);
	misses(&t, 0, 2);
	frames(&t, 0, WS_BINARY, "next", 0, 0);
	told(&t, "0:012 f3\n0 hole 2 lost\n0:56789 f5\n0:ab f6\n0 hole 1 lost\n0:next f10\n");
}

static void a_hole_elsewhere(void **state)
{
	struct table t;

	(void)state;
	lay(&t);
	upgraded(&t);
	frames(&t, 0, WS_BINARY, "0123456789", 0, 7);
	misses(&t, 0, 8);
	says(&t, 0, "the rest of something");
	frames(&t, 0, WS_BINARY, "\xc0", 0, 0);			/* says too little by itself */
	frames(&t, 0, WS_BINARY, "\x30\x05\x01\x01ta!", 0, 0);
	told(&t, "0:012 f3\n0 hole 0 lost\n0:\xc0 f6\n0:\x30\x05\x01\x01ta! f7\n");
}

static void no_frames(void **state)
{
	struct table t;

	(void)state;
	lay(&t);
	upgraded(&t);
	says(&t, 1, "\xff\xff\xff\xff");
	frames(&t, 1, WS_BINARY, "\x30\x05\x01\x01ta!", 0, 0);
	told(&t, "1 hole 0 unreadable\n1:\x30\x05\x01\x01ta! f4\n");
}

static void joined_midway(void **state)
{
	struct table t;

	(void)state;
	lay(&t);
	says(&t, 1, "tail of a payload");
	frames(&t, 1, WS_BINARY, "\x40\x02\x01\x01", 0, 0);
	frames(&t, 0, WS_BINARY, "\x40\x02\x01\x01", 0, 0);
	assert_true(!t.notes.upgraded && t.notes.client_end == 0);
	told(&t, "1:\x40\x02\x01\x01 f2\n0:\x40\x02\x01\x01 f3\n");
}

static void what_an_upgrade_looks_like(void **state)
{
	static const struct { const char *text; int is; } rows[] = {
		{ "", -1 }, { "G", -1 }, { "GET ", -1 }, { "GET /", -1 }, { "GET /a HTTP/1.1\r\nHost: a\r\n", -1 }, { "POST / HTTP/1.1\r\n", 0 },
		{ "GET /a HTTP/1.1\r\nHost: a\r\n\r\n", 0 }, { "GET /a HTTP/1.1\r\nUpgrade: h2c\r\n\r\n", 0 }, { "GET /\x01", 0 }, { "\x10", 0 },
		{ "GET /a HTTP/1.1\r\nupgrade: WebSocket\r\nHo", 1 }, { REQUEST, 1 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		assert_int_equal(ws_looks_like(span_text(rows[i].text)), rows[i].is);
}

/* ---- whole conversations, with an MQTT stage above ---- */

struct chunk {			/* one frame, or a head: where in the WebSocket's stream, and what of MQTT's it carries */
	size_t at, head, payload, carries;
};

struct socket {
	struct talk talk;		/* what MQTT says; the listener */
	struct talk carrier;		/* its frames */
	struct chunk *chunks[2];
	size_t n[2], cap[2];
};

static void carry(struct socket *s, unsigned end, const void *head, size_t head_len, const uint8_t *payload, size_t len, size_t carries, const uint8_t *mask)
{
	static uint8_t bytes[1 << 17];

	memcpy(bytes, head, head_len);
	if (len)
		memcpy(bytes + head_len, payload, len);
	if (mask)
		ws_mask(bytes + head_len, len, mask, 0);
	s->chunks[end] = grown(s->chunks[end], s->n[end], &s->cap[end], sizeof(struct chunk));
	s->chunks[end][s->n[end]++] = (struct chunk){ s->carrier.sides[end].len, head_len, carries == SIZE_MAX ? 0 : len, carries };
	talk_says(&s->carrier, end, bytes, head_len + len);
}

/* Packets of a step in frames of any size; some packets share one. */
static void wrap(struct socket *s)
{
	size_t at[2] = { 0 }, waiting = 0;
	struct random *random = &s->carrier.random;

	carry(s, 0, REQUEST, strlen(REQUEST), NULL, 0, SIZE_MAX, NULL);
	carry(s, 1, RESPONSE, strlen(RESPONSE), NULL, 0, SIZE_MAX, NULL);
	for (size_t i = 0; i < s->talk.n_steps; i++) {
		unsigned end = s->talk.steps[i].end;

		waiting += s->talk.steps[i].len;
		if (i + 1 < s->talk.n_steps && s->talk.steps[i + 1].end == end && random_below(random, 2))
			continue;
		while (waiting) {
			uint8_t head[WS_HEAD_MAX], mask[4];
			size_t n = random_below(random, 3) ? waiting : 1 + random_below(random, waiting);

			for (unsigned k = 0; k < 4; k++)
				mask[k] = (uint8_t)random_next(random);
			if (!random_below(random, 30))
				carry(s, end, head, ws_head(head, WS_PING, true, 5, end ? NULL : mask), (const uint8_t *)"12345", 5, SIZE_MAX, end ? NULL : mask);
			size_t head_len = ws_head(head, WS_BINARY, true, n, end ? NULL : mask);
			carry(s, end, head, head_len, s->talk.sides[end].bytes + at[end], n, at[end], end ? NULL : mask);
			at[end] += n;
			waiting -= n;
		}
	}
}

static void lose(struct socket *s, unsigned end, size_t from, size_t to)
{
	for (size_t i = 0; i < s->n[end]; i++) {
		const struct chunk *c = &s->chunks[end][i];
		size_t payload = c->at + c->head;

		if (!c->payload || payload + c->payload <= from || c->at >= to)
			continue;
		if (from < payload)
			mark_lost(&s->talk.sides[end], c->carries, c->carries + c->payload);
		else
			mark_lost(&s->talk.sides[end], c->carries + (from - payload), c->carries + (to < payload + c->payload ? to - payload : c->payload));
	}
}

struct sum {
	size_t intact, found, invented, opened;
};

static struct socket *feeding;	/* whom a hole is told */
static const struct stage_ops *real;

static void hole_between(struct stage *stage, unsigned end, uint64_t len, enum hole_why why, const struct when *when)
{
	struct side *side = &feeding->carrier.sides[end];

	lose(feeding, end, side->fed - len, side->fed);
	feeding->talk.frame = when->frame;
	real->hole(stage, end, len, why, when);
}

static void bytes_between(struct stage *stage, unsigned end, struct span bytes, const struct when *when)
{
	feeding->talk.frame = when->frame;
	real->bytes(stage, end, bytes, when);
}

static void play(struct sum *sum, enum version version, uint64_t seed, const struct feeding *how, bool from_start)
{
	static struct socket s;
	struct ws_notes notes = { 0 };
	size_t kept = 0;
	struct mqtt_options options = talk_options(&kept);

	s = (struct socket){ 0 };
	talk_init(&s.talk, version, seed);
	talk_init(&s.carrier, version, seed);
	talk_fill(&s.talk, 500);
	wrap(&s);
	for (unsigned end = 0; end < 2; end++)
		s.talk.sides[end].fed = s.talk.sides[end].len;
	options.from_start = from_start;
	options.likely = false;
	options.via = VIA_WS;
	notes.kept = &kept;
	struct stage *mqtt = mqtt_stage_new(&s.talk.listener, &options), *ws = ws_stage_new(mqtt, &notes);
	assert_true(mqtt && ws);
	feeding = &s;
	real = ws->ops;
	struct stage_ops between = *real;
	between.hole = hole_between;
	between.bytes = bytes_between;
	ws->ops = &between;
	if (how->skip)
		for (unsigned end = 0; end < 2; end++) {
			size_t skipped = 0;

			for (size_t i = 0; i < how->skip; i++)
				skipped += s.carrier.steps[i].end == end ? s.carrier.steps[i].len : 0;
			lose(&s, end, 0, skipped);
		}
	talk_feed(&s.carrier, ws, how);
	s.talk.frame = ++s.carrier.frame;
	ws->ops->ended(ws, &(struct when){ s.talk.frame, 0 });
	assert_int_equal(kept, 0);
	sum->intact += talk_intact(&s.talk);
	sum->found += s.talk.n_found;
	sum->invented += s.talk.n_invented;
	sum->opened += s.talk.n_opened;
	for (unsigned end = 0; end < 2; end++)
		free(s.chunks[end]);
	talk_release(&s.talk);
	talk_release(&s.carrier);
}

static void conversations(const char *what, struct feeding how, bool from_start, double least)
{
	struct sum sum = { 0 };

	for (uint64_t seed = 1; seed <= 40; seed++)
		play(&sum, seed & 1 ? MQTT_3_1_1 : MQTT_5, seed, &how, from_start);
	printf("%-36s %zu intact, %zu not found (%.3f %%), %zu invented\n", what, sum.intact, sum.intact - sum.found,
	       100.0 * (double)(sum.intact - sum.found) / (double)sum.intact, sum.invented);
	assert_int_equal(sum.opened, 40);
	assert_true((double)sum.found >= least * (double)sum.intact);
	assert_true(sum.invented * 10000 <= sum.found);
}

static void every_packet_once(void **state)
{
	(void)state;
	conversations("all of it, a frame a segment", (struct feeding){ CUT_PACKETS }, true, 1);
	conversations("all of it, pieces", (struct feeding){ CUT_PIECES }, true, 1);
	conversations("all of it, full segments", (struct feeding){ CUT_SEGMENTS }, true, 1);
	conversations("all of it, single bytes", (struct feeding){ CUT_BYTES }, true, 1);
}

static void with_loss(void **state)
{
	(void)state;
	conversations("1 % of segments, a frame each, lost", (struct feeding){ CUT_PACKETS, .lose_one_in = 100 }, true, 0.99);
	conversations("1 % of pieces lost", (struct feeding){ CUT_PIECES, .lose_one_in = 100 }, true, 0.98);
	conversations("1 % of full segments lost", (struct feeding){ CUT_SEGMENTS, .lose_one_in = 100 }, true, 0.98);
	conversations("10 % of pieces lost", (struct feeding){ CUT_PIECES, .lose_one_in = 10 }, true, 0.9);
}

static void from_the_middle(void **state)
{
	(void)state;
	conversations("joined midway, a frame a segment", (struct feeding){ CUT_PACKETS, .skip = 40 }, false, 0.98);
	conversations("joined midway, pieces", (struct feeding){ CUT_PIECES, .skip = 40 }, false, 0.97);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_upgrade),
		cmocka_unit_test(a_refusal),
		cmocka_unit_test(a_hole_in_a_payload),
		cmocka_unit_test(a_hole_elsewhere),
		cmocka_unit_test(no_frames),
		cmocka_unit_test(joined_midway),
		cmocka_unit_test(what_an_upgrade_looks_like),
		cmocka_unit_test(every_packet_once),
		cmocka_unit_test(with_loss),
		cmocka_unit_test(from_the_middle),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/generate.h"
#include "fuzz/mutator/moves.h"

static struct moves a, b;		/* large */
static uint8_t room[1 << 17];

/* Moves as text: "0open 1send(10 00) 2wait=3". */
static const char *said(const struct moves *moves)
{
	static const char *const names[N_MOVE_KINDS] = {
		"open", "send", "long", "drop", "wait", "stop", "read", "limits", "answer", "steer", "await", "close", "cut", "pause",
	};
	static char text[4096];
	size_t len = 0;

	text[0] = '\0';
	for (uint32_t i = 0; i < moves->n; i++) {
		const struct move *m = &moves->at[i];

		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%u%s", i ? " " : "", m->client, names[m->kind]);
		if (m->value)
			len += (size_t)snprintf(text + len, sizeof(text) - len, "=%u", m->value);
		if (!m->bytes.len)
			continue;
		for (size_t k = 0; k < m->bytes.len; k++)
			len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%02x", k ? " " : "(", m->bytes.at[k]);
		len += (size_t)snprintf(text + len, sizeof(text) - len, ")");
	}
	return text;
}

static size_t unhex(const char *hex, uint8_t *bytes)
{
	size_t n = 0;
	unsigned byte;

	for (; sscanf(hex, "%2x", &byte) == 1; hex += hex[2] ? 3 : 2)
		bytes[n++] = (uint8_t)byte;
	return n;
}

/* The bytes, what they say, and the bytes that are written of it, where they differ. */
static const struct row {
	const char *name, *bytes, *says, *written;
} rows[] = {
	{ "nothing", "", "", NULL },
	{ "the kinds of old", "00 09 02 c0 00 12 00 01 ff 1b 24 03 2d 36", "0open 1send(c0 00) 2long(ff) 3drop 4wait=3 5stop 6read", NULL },
	{ "limits first", "07 3f 00", "0limits=63 0open", NULL },
	{ "limits have a value wherever they stand", "00 3f 40 40 01", "0open 7limits=64 0answer=1", NULL },
	{ "the kinds of new", "40 02 49 ff 52 5b 64 05 00 02 aa bb 7d 07", "0answer=2 1steer=255 2await 3close 4cut=5(aa bb) 7pause=7", NULL },
	{ "kinds that are none", "46 80 c7 00", "0open", "00" },
	{ "a send of nothing", "01 00 02 00 00 44 01 00 00", "0send 0long 0cut=1", NULL },
	{ "a length past the end", "01 05 aa bb", "0send(aa bb)", "01 02 aa bb" },
	{ "a long length past the end", "02 ff ff aa", "0long(aa)", "02 00 01 aa" },
	{ "no length", "01", "0send", "01 00" },
	{ "half a length", "02 01", "0long", "02 00 00" },
	{ "no value: pieces of a byte", "44", "0cut=1", "44 01 00 00" },
	{ "no value of a wait", "04", "0wait", "04 00" },
};

static void reads_as_written(void **state)
{
	const struct row *row = *state;
	uint8_t bytes[64], written[64];
	size_t len = unhex(row->bytes, bytes), n;
	struct writer w = writer_to(room, sizeof(room));

	moves_read(&a, span_of(bytes, len));
	assert_string_equal(said(&a), row->says);
	moves_write(&a, &w);
	n = unhex(row->written ? row->written : row->bytes, written);
	assert_int_equal(w.len, n);
	assert_memory_equal(room, written, n);
}

static void borrows_what_it_reads(void **state)
{
	static const uint8_t bytes[] = { 0x00, 0x01, 0x02, 0xc0, 0x00 };

	(void)state;
	moves_read(&a, span_of(bytes, sizeof(bytes)));
	assert_ptr_equal(a.at[1].bytes.at, bytes + 3);
	assert_int_equal(a.used, 0);
}

static void reads_no_more_than_fits(void **state)
{
	static uint8_t opens[MOVES_MAX + 9];

	(void)state;
	moves_read(&a, span_of(opens, sizeof(opens)));
	assert_int_equal(a.n, MOVES_MAX);
}

/* Whatever is read is written so that it reads the same; and no read looks past the end of a block of the exact size. */
static void any_bytes_are_moves(void **state)
{
	struct random random;

	(void)state;
	random_seed(&random, 7);
	for (unsigned i = 0; i < 3000; i++) {
		size_t len = random_below(&random, i % 10 ? 40 : 700);
		uint8_t *bytes = malloc(len ? len : 1);
		struct writer w = writer_to(room, sizeof(room));

		assert_non_null(bytes);
		for (size_t k = 0; k < len; k++)
			bytes[k] = (uint8_t)random_next(&random);
		moves_read(&a, span_of(bytes, len));
		moves_write(&a, &w);
		assert_true(wr_fits(&w));
		moves_read(&b, wr_span(&w));
		assert_int_equal(a.n, b.n);
		for (uint32_t k = 0; k < a.n; k++) {
			assert_int_equal(a.at[k].kind, b.at[k].kind);
			assert_int_equal(a.at[k].client, b.at[k].client);
			assert_int_equal(a.at[k].value, b.at[k].value);
			assert_true(span_equal(a.at[k].bytes, b.at[k].bytes));
		}
		free(bytes);
	}
}

static void long_sends_are_written_as_such(void **state)
{
	static uint8_t much[70000];
	struct writer w = writer_to(room, sizeof(room));

	(void)state;
	memset(much, 'x', sizeof(much));
	a.n = 0;
	assert_true(moves_insert(&a, 0, (struct move){ .kind = MOVE_SEND, .client = 1, .bytes = span_of(much, 300) }));
	assert_true(moves_insert(&a, 1, (struct move){ .kind = MOVE_SEND_CUT, .client = 2, .value = 9, .bytes = span_of(much, sizeof(much)) }));
	moves_write(&a, &w);
	moves_read(&b, wr_span(&w));
	assert_int_equal(b.n, 3);	/* what no length can say is two */
	assert_int_equal(b.at[0].kind, MOVE_SEND_LONG);
	assert_int_equal(b.at[0].bytes.len, 300);
	assert_int_equal(b.at[1].bytes.len + b.at[2].bytes.len, sizeof(much));
	assert_int_equal(b.at[2].value, 9);
}

static void inserts_and_removes(void **state)
{
	static const uint8_t bytes[] = { 0x00, 0x08, 0x10, 0x18, 0x20 };

	(void)state;
	moves_read(&a, span_of(bytes, sizeof(bytes)));
	moves_remove(&a, 1, 2);
	assert_string_equal(said(&a), "0open 3open 4open");
	assert_true(moves_insert(&a, 0, (struct move){ .kind = MOVE_DROP, .client = 7 }));
	assert_true(moves_insert(&a, 4, (struct move){ .kind = MOVE_WAIT, .client = 6, .value = 1 }));
	assert_string_equal(said(&a), "7drop 0open 3open 4open 6wait=1");
	moves_remove(&a, 3, 99);
	assert_string_equal(said(&a), "7drop 0open 3open");
	moves_remove(&a, 3, 1);
	assert_int_equal(a.n, 3);
	while (a.n < MOVES_MAX)
		assert_true(moves_insert(&a, 1, (struct move){ .kind = MOVE_READ }));
	assert_false(moves_insert(&a, 1, (struct move){ .kind = MOVE_READ }));
	assert_int_equal(a.at[0].kind, MOVE_DROP);
	assert_int_equal(a.at[MOVES_MAX - 1].client, 3);
}

static void keep(struct moves *moves, uint8_t client, const char *text)
{
	struct move move = { .kind = MOVE_SEND, .client = client };

	assert_true(moves_keep(moves, span_text(text), &move.bytes));
	assert_true(moves_insert(moves, moves->n, move));
}

static void a_copy_borrows_nothing(void **state)
{
	char text[] = "abc";

	(void)state;
	a.n = a.used = 0;
	assert_true(moves_insert(&a, 0, (struct move){ .kind = MOVE_SEND, .bytes = span_text(text) }));
	keep(&a, 1, "kept");
	assert_true(moves_copy(&b, &a));
	text[0] = 'x';
	memset(a.room, 0, 16);
	assert_true(span_is(b.at[0].bytes, "abc"));
	assert_true(span_is(b.at[1].bytes, "kept"));
	assert_int_equal(b.used, 7);
}

static void a_copy_is_cut_where_it_does_not_fit(void **state)
{
	static uint8_t half[MOVES_BYTES / 2 + 1];
	struct span span = { half, 1 };

	(void)state;
	a.n = a.used = 0;
	for (unsigned i = 0; i < 3; i++)
		assert_true(moves_insert(&a, i, (struct move){ .kind = MOVE_SEND_LONG, .client = (uint8_t)i, .bytes = span_of(half, sizeof(half) - i) }));
	assert_false(moves_copy(&b, &a));
	assert_int_equal(b.n, 1);
	assert_false(moves_keep(&b, span_of(half, sizeof(half)), &span));
	assert_int_equal(span.len, 0);
	assert_null(span.at);
}

static void room_is_given_back(void **state)
{
	struct move part;

	(void)state;
	a.n = a.used = 0;
	keep(&a, 0, "first");
	keep(&a, 1, "second");
	keep(&a, 2, "third");
	keep(&a, 3, "fourth");
	assert_true(moves_insert(&a, 4, a.at[3]));		/* the same bytes twice */
	part = a.at[1];
	part.bytes = span_of(part.bytes.at + 2, 8);		/* "condthir": past its end into the next */
	assert_true(moves_insert(&a, 0, part));
	assert_true(moves_insert(&a, 0, (struct move){ .kind = MOVE_SEND, .bytes = span_text("elsewhere") }));
	moves_remove(&a, 2, 2);					/* "first", "second" */
	moves_compact(&a);
	assert_int_equal(a.n, 5);
	assert_true(span_is(a.at[0].bytes, "elsewhere"));
	assert_true(span_is(a.at[1].bytes, "condthir"));
	assert_true(span_is(a.at[2].bytes, "third"));
	assert_true(span_is(a.at[3].bytes, "fourth"));
	assert_ptr_equal(a.at[3].bytes.at, a.at[4].bytes.at);
	assert_int_equal(a.used, 4 + 5 + 6);
	a.n = 1;
	moves_compact(&a);
	assert_int_equal(a.used, 0);
}

/* Moves without their bytes' meaning changing, whatever was removed, and never more room than before. */
static void compacting_changes_nothing(void **state)
{
	struct random random;

	(void)state;
	random_seed(&random, 3);
	for (unsigned i = 0; i < 300; i++) {
		struct writer before = writer_to(room, sizeof(room) / 2), after = writer_to(room + sizeof(room) / 2, sizeof(room) / 2);
		uint32_t used;

		a.n = a.used = 0;
		for (unsigned k = 0; k < 40; k++) {
			struct move move = { .kind = MOVE_SEND };
			uint8_t bytes[30];

			for (size_t m = 0; m < sizeof(bytes); m++)
				bytes[m] = (uint8_t)random_next(&random);
			if (random_below(&random, 3) && a.used > 60) {
				size_t from = random_below(&random, a.used - 30);

				move.bytes = span_of(a.room + from, 1 + random_below(&random, 30));
			} else {
				assert_true(moves_keep(&a, span_of(bytes, random_below(&random, sizeof(bytes))), &move.bytes));
			}
			assert_true(moves_insert(&a, (uint32_t)random_below(&random, a.n + 1), move));
		}
		moves_remove(&a, (uint32_t)random_below(&random, 20), (uint32_t)random_below(&random, 30));
		moves_write(&a, &before);
		used = a.used;
		moves_compact(&a);
		moves_write(&a, &after);
		assert_true(a.used <= used);
		assert_true(span_equal(wr_span(&before), wr_span(&after)));
	}
}

static const uint8_t connect_5[] = { 0x10, 0x0d, 0, 4, 'M', 'Q', 'T', 'T', 5, 2, 0, 60, 0, 0, 0 },
	connect_31[] = { 0x10, 0x0e, 0, 6, 'M', 'Q', 'I', 's', 'd', 'p', 3, 2, 0, 60, 0, 0 },
	connect_long[] = { 0x10, 0x80, 0x80, 0x00, 0, 4, 'M', 'Q', 'T', 'T', 5 },
	connect_9[] = { 0x10, 0x0c, 0, 4, 'M', 'Q', 'T', 'T', 9, 2, 0, 60, 0, 0 },
	publish[] = { 0x30, 0x03, 0, 1, 'a' };

static void add(uint8_t client, enum move_kind kind, struct span bytes)
{
	assert_true(moves_insert(&a, a.n, (struct move){ .kind = (uint8_t)kind, .client = client, .bytes = bytes }));
}

static void versions_are_those_of_connects(void **state)
{
	struct span none = { 0 };

	(void)state;
	a.n = a.used = 0;
	add(0, MOVE_OPEN, none);						/* 0 */
	add(1, MOVE_OPEN, none);						/* 1 */
	add(0, MOVE_SEND, span_of(connect_5, sizeof(connect_5)));		/* 2 */
	add(1, MOVE_SEND, span_of(connect_31, sizeof(connect_31)));		/* 3 */
	add(0, MOVE_SEND, span_of(publish, sizeof(publish)));			/* 4 */
	add(0, MOVE_OPEN, none);						/* 5 */
	add(0, MOVE_SEND_CUT, span_of(connect_31, 5));				/* 6 */
	add(1, MOVE_SEND, span_of(connect_9, sizeof(connect_9)));		/* 7 */
	add(0, MOVE_SEND_LONG, span_of(connect_31 + 5, 11));			/* 8 */
	add(2, MOVE_OPEN, none);						/* 9 */
	add(2, MOVE_SEND, span_of(connect_long, sizeof(connect_long)));		/* 10 */
	assert_int_equal(moves_version(&a, 2, 0), MQTT_3_1_1);	/* nothing is sent yet */
	assert_int_equal(moves_version(&a, 3, 0), MQTT_5);
	assert_int_equal(moves_version(&a, 4, 1), MQTT_3_1);
	assert_int_equal(moves_version(&a, 5, 0), MQTT_5);
	assert_int_equal(moves_version(&a, 6, 0), MQTT_3_1_1);	/* opened anew */
	assert_int_equal(moves_version(&a, 8, 0), MQTT_3_1_1);	/* not all of it is there */
	assert_int_equal(moves_version(&a, 8, 1), MQTT_3_1);	/* a level that none has says nothing */
	assert_int_equal(moves_version(&a, 9, 0), MQTT_3_1);	/* in two pieces */
	assert_int_equal(moves_version(&a, a.n, 2), MQTT_5);
	assert_int_equal(moves_version(&a, 999, 2), MQTT_5);
	assert_int_equal(moves_version(&a, a.n, 7), MQTT_3_1_1);
}

static void names_have_one_length(void **state)
{
	char name[MOVES_NAME_LEN + 1];
	uint8_t bytes[] = "xfz000000/fz00000/fz000000fz000000fz0000";

	(void)state;
	moves_name(name, 0);
	assert_string_equal(name, MOVES_NAME);
	moves_name(name, 36 * 36 - 1);
	assert_string_equal(name, "fz0000zz");
	moves_name(name, UINT64_C(2176782336) + 11);	/* 36^6 and a little: from the front again */
	assert_string_equal(name, "fz00000b");
	moves_rename(bytes, sizeof(bytes) - 1, name);
	assert_string_equal((char *)bytes, "xfz00000b/fz00000/fz00000bfz00000bfz0000");
	moves_rename(bytes, 0, name);
	moves_rename(bytes, 3, name);
	assert_string_equal((char *)bytes, "xfz00000b/fz00000/fz00000bfz00000bfz0000");
}

enum { N_ROWS = sizeof(rows) / sizeof(rows[0]) };

int main(void)
{
	static const struct CMUnitTest others[] = {
		cmocka_unit_test(borrows_what_it_reads),
		cmocka_unit_test(reads_no_more_than_fits),
		cmocka_unit_test(any_bytes_are_moves),
		cmocka_unit_test(long_sends_are_written_as_such),
		cmocka_unit_test(inserts_and_removes),
		cmocka_unit_test(a_copy_borrows_nothing),
		cmocka_unit_test(a_copy_is_cut_where_it_does_not_fit),
		cmocka_unit_test(room_is_given_back),
		cmocka_unit_test(compacting_changes_nothing),
		cmocka_unit_test(versions_are_those_of_connects),
		cmocka_unit_test(names_have_one_length),
	};
	struct CMUnitTest tests[N_ROWS];
	int failed = 0;

	for (size_t i = 0; i < N_ROWS; i++)
		tests[i] = (struct CMUnitTest){ .name = rows[i].name, .test_func = reads_as_written, .initial_state = (void *)(uintptr_t)&rows[i] };
	failed += cmocka_run_group_tests_name("binary form", tests, NULL, NULL);
	failed += cmocka_run_group_tests_name("moves", others, NULL, NULL);
	return failed != 0;
}

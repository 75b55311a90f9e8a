#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "pcap/keylog.h"

#define RANDOM "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define SECRET_32 "a0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebf"
#define SECRET_48 SECRET_32 "c0c1c2c3c4c5c6c7c8c9cacbcccdcecf"

static const uint8_t known[32] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31 };

static const struct row {
	const char *name, *text;
	size_t taken, rejected;
	int label;			/* found under this one; -1: nothing */
	size_t len;			/* of the secret */
} rows[] = {
	{ "a master secret", "CLIENT_RANDOM " RANDOM " " SECRET_48 "\n", 1, 0, KEYLOG_MASTER, 48 },
	{ "without a newline", "CLIENT_RANDOM " RANDOM " " SECRET_48, 1, 0, KEYLOG_MASTER, 48 },
	{ "with CR LF", "CLIENT_RANDOM " RANDOM " " SECRET_48 "\r\n", 1, 0, KEYLOG_MASTER, 48 },
	{ "in capitals", "CLIENT_RANDOM 000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F " SECRET_48 "\n", 1, 0, KEYLOG_MASTER, 48 },
	{ "the client's handshake", "CLIENT_HANDSHAKE_TRAFFIC_SECRET " RANDOM " " SECRET_32 "\n", 1, 0, KEYLOG_CLIENT_HANDSHAKE, 32 },
	{ "the server's handshake", "SERVER_HANDSHAKE_TRAFFIC_SECRET " RANDOM " " SECRET_48 "\n", 1, 0, KEYLOG_SERVER_HANDSHAKE, 48 },
	{ "the client's traffic", "CLIENT_TRAFFIC_SECRET_0 " RANDOM " " SECRET_32 "\n", 1, 0, KEYLOG_CLIENT_TRAFFIC, 32 },
	{ "the server's traffic", "SERVER_TRAFFIC_SECRET_0 " RANDOM " " SECRET_32 "\n", 1, 0, KEYLOG_SERVER_TRAFFIC, 32 },
	{ "a comment and empty lines", "# hello\n\n\r\nSERVER_TRAFFIC_SECRET_0 " RANDOM " " SECRET_32 "\n", 1, 0, KEYLOG_SERVER_TRAFFIC, 32 },
	{ "twice the same", "CLIENT_RANDOM " RANDOM " " SECRET_48 "\nCLIENT_RANDOM " RANDOM " " SECRET_48 "\n", 2, 0, KEYLOG_MASTER, 48 },
	{ "labels of no use", "EXPORTER_SECRET " RANDOM " " SECRET_32 "\nCLIENT_EARLY_TRAFFIC_SECRET " RANDOM " " SECRET_32 "\nRSA 0011223344556677 " SECRET_48 "\n", 0, 0, -1, 0 },
	{ "an unknown label", "CLIENT_RANDOMS " RANDOM " " SECRET_48 "\n", 0, 1, -1, 0 },
	{ "a word alone", "CLIENT_RANDOM\n", 0, 1, -1, 0 },
	{ "no secret", "CLIENT_RANDOM " RANDOM "\n", 0, 1, -1, 0 },
	{ "half a byte", "CLIENT_RANDOM " RANDOM " abc\n", 0, 1, -1, 0 },
	{ "no hexadecimal", "CLIENT_RANDOM " RANDOM " zz\n", 0, 1, -1, 0 },
	{ "a short random", "CLIENT_RANDOM 0011 " SECRET_48 "\n", 0, 1, -1, 0 },
	{ "a long random", "CLIENT_RANDOM " RANDOM "20 " SECRET_48 "\n", 0, 1, -1, 0 },
	{ "a long secret", "CLIENT_RANDOM " RANDOM " " SECRET_48 "d0\n", 0, 1, -1, 0 },
	{ "a word too many", "CLIENT_RANDOM " RANDOM " " SECRET_48 " x\n", 0, 1, -1, 0 },
	{ "bytes", "\x16\x03\x01\nCLIENT_RANDOM " RANDOM " " SECRET_48 "\n\xff\xfe", 1, 2, KEYLOG_MASTER, 48 },
	{ "nothing", "", 0, 0, -1, 0 },
};

enum { N_ROWS = sizeof(rows) / sizeof(*rows) };

static void reads(void **state)
{
	const struct row *row = *state;
	struct keylog *k = keylog_new();
	size_t len = strlen(row->text);
	char *exact = malloc(len ? len : 1);

	assert_non_null(k);
	memcpy(exact, row->text, len);
	assert_int_equal(keylog_add(k, span_of(exact, len)), row->taken);
	free(exact);
	assert_int_equal(keylog_rejected(k), row->rejected);
	assert_int_equal(keylog_taken(k), row->taken);
	for (int label = 0; label < N_KEYLOG_LABELS; label++) {
		struct span secret = { 0 };

		assert_int_equal(keylog_find(k, known, label, &secret), label == row->label);
		if (label != row->label)
			continue;
		assert_int_equal(secret.len, row->len);
		for (size_t i = 0; i < secret.len; i++)
			assert_int_equal(secret.at[i], 0xa0 + i);
	}
	keylog_free(k);
}

static void the_later_line_counts(void **state)
{
	struct keylog *k = keylog_new();
	struct span secret;

	(void)state;
	keylog_add(k, span_text("CLIENT_RANDOM " RANDOM " 0102\n"));
	keylog_add(k, span_text("CLIENT_RANDOM " RANDOM " 030405\n"));
	assert_true(keylog_find(k, known, KEYLOG_MASTER, &secret));
	assert_true(span_equal(secret, span_of("\x03\x04\x05", 3)));
	keylog_free(k);
}

static void number(uint32_t n, uint8_t random[32])
{
	memset(random, 0, 32);
	for (unsigned i = 0; i < 4; i++)
		random[28 + i] = (uint8_t)(n >> (24 - 8 * i));
}

static void add_number(struct keylog *k, uint32_t n)
{
	char line[160];

	snprintf(line, sizeof(line), "CLIENT_RANDOM %064x %08x\n", n, n);
	assert_int_equal(keylog_add(k, span_text(line)), 1);
}

/* More lines than are kept: all of the newest are there, with their own secrets, and none of the oldest. */
static void the_oldest_go(void **state)
{
	enum { OVER = 1000 };
	struct keylog *k = keylog_new();
	uint8_t random[32];
	struct span secret;

	(void)state;
	for (uint32_t n = 0; n < KEYLOG_MOST + OVER; n++)
		add_number(k, n);
	for (uint32_t n = 0; n < KEYLOG_MOST + OVER; n++) {
		number(n, random);
		assert_int_equal(keylog_find(k, random, KEYLOG_MASTER, &secret), n >= OVER);
		if (n >= OVER)
			assert_memory_equal(secret.at, random + 28, 4);
	}
	keylog_free(k);
}

static void an_empty_one_has_nothing(void **state)
{
	struct keylog *k = keylog_new();
	struct span secret;

	(void)state;
	assert_false(keylog_find(k, known, KEYLOG_MASTER, &secret));
	keylog_free(k);
	keylog_free(NULL);
}

int main(void)
{
	struct CMUnitTest tests[N_ROWS + 3] = {
		cmocka_unit_test(the_later_line_counts),
		cmocka_unit_test(the_oldest_go),
		cmocka_unit_test(an_empty_one_has_nothing),
	};

	for (size_t i = 0; i < N_ROWS; i++)
		tests[3 + i] = (struct CMUnitTest){ .name = rows[i].name, .test_func = reads, .initial_state = (void *)&rows[i] };
	return cmocka_run_group_tests(tests, NULL, NULL);
}

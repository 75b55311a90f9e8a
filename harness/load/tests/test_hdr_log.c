#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include <cmocka.h>

#include "codec/span.h"
#include "harness/load/hdr_log.h"
#include "harness/load/tests/random_times.h"

#include <openssl/evp.h>

static void assert_same_counts(const struct hdr *a, const struct hdr *b)
{
	for (unsigned i = 0; i < HDR_BUCKETS; i++)
		assert_int_equal(hdr_bucket_count(a, i), hdr_bucket_count(b, i));
	assert_int_equal(a->count, b->count);
}

static void fill(struct hdr *h, uint64_t seed, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		assert_true(hdr_record_n(h, random_time(&seed), random_u64(&seed) % 20 ? 1 : random_u64(&seed) >> 20));
}

/* ---- payloads ---- */

static void a_payload_is_read_as_it_was(void **state)
{
	static const unsigned sizes[] = { 0, 1, 2, 100, 5000 };

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct hdr h = { 0 }, read = { 0 };
		const char *why = "";

		fill(&h, 100 + i, sizes[i]);
		char *payload = hdr_payload(&h);
		assert_non_null(payload);
		assert_true(hdr_add_payload(&read, span_text(payload), &why));
		assert_same_counts(&h, &read);
		char *again = hdr_payload(&read);
		assert_string_equal(payload, again);
		free(again);
		free(payload);
		hdr_release(&h);
		hdr_release(&read);
	}
}

/* By hand: what HdrHistogram's V2 encoding of 0, 1 and twice 3 ns is. */
static void a_payload_is_what_the_format_says(void **state)
{
	static const uint8_t by_hand[] = {
		0x1c, 0x84, 0x93, 0x13, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 3, 0x46, 0x30, 0xb8, 0xa0, 0,
		0x3f, 0xf0, 0, 0, 0, 0, 0, 0, 2, 2, 0, 4,	/* ZigZag: 1, 1, none, 2 */
	};
	struct hdr h = { 0 };
	uint8_t packed[256], plain[256];
	uLongf len = sizeof(plain);

	(void)state;
	assert_true(hdr_record(&h, 0) && hdr_record(&h, 1) && hdr_record_n(&h, 3, 2));
	char *payload = hdr_payload(&h);
	int n = EVP_DecodeBlock(packed, (uint8_t *)payload, (int)strlen(payload));
	assert_true(n > 8 && !memcmp(packed, "\x1c\x84\x93\x14", 4));
	assert_int_equal(uncompress(plain, &len, packed + 8, (uLong)n - 8), Z_OK);
	assert_int_equal(len, sizeof(by_hand));
	assert_memory_equal(plain, by_hand, sizeof(by_hand));
	free(payload);
	hdr_release(&h);
}

/* A payload of these bytes, which need not be right. */
static void pack(const uint8_t *plain, size_t len, char *text)
{
	uint8_t packed[400] = { 0x1c, 0x84, 0x93, 0x14 };
	uLongf n = sizeof(packed) - 8;

	assert_int_equal(compress(packed + 8, &n, plain, len), Z_OK);
	packed[7] = (uint8_t)n;
	packed[6] = (uint8_t)(n >> 8);
	EVP_EncodeBlock((uint8_t *)text, packed, (int)n + 8);
}

static const uint8_t head[40] = {
	0x1c, 0x84, 0x93, 0x13, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 3, 0x46, 0x30, 0xb8, 0xa0, 0, 0x3f, 0xf0,
};

static const struct refused {
	const char *why;
	unsigned at;			/* in the head: set to value. 40: nothing */
	uint8_t value;
	uint8_t counts[24];
	unsigned n;
} refused[] = {
	{ "is not HdrHistogram's V2 encoding", 3, 0x03, { 2 }, 1 },
	{ "has other buckets: not from 1 ns to an hour with three digits", 15, 2, { 2 }, 1 },
	{ "has other buckets: not from 1 ns to an hour with three digits", 23, 2, { 2 }, 1 },
	{ "has other buckets: not from 1 ns to an hour with three digits", 31, 1, { 2 }, 1 },
	{ "has a length that is not its own", 7, 9, { 2 }, 1 },
	{ "has a length that is not its own", 11, 1, { 2 }, 1 },
	{ "ends within a count", 40, 0, { 0x80 }, 1 },
	{ "ends within a count", 40, 0, { 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80 }, 8 },
	{ "counts something longer than an hour", 40, 0, { 0x99, 0x8a, 0x04, 2 }, 4 },			/* behind 33421 empty buckets */
	{ "counts something longer than an hour", 40, 0, { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2 }, 10 },	/* behind 2^63 empty ones */
	{ "counts something longer than an hour", 40, 0, { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
	                                                   0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2 }, 19 },
	{ "counts more than 2^53", 40, 0, { 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff }, 9 },
	{ "counts more than 2^53", 40, 0, { 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x20, 2 }, 9 },	/* 2^53, and one more */
};

static void a_wrong_payload_is_refused(void **state)
{
	const struct refused *row = *state;
	uint8_t plain[64];
	char text[600];
	struct hdr h = { 0 };
	const char *why = NULL;

	memcpy(plain, head, 40);
	memcpy(plain + 40, row->counts, sizeof(row->counts));
	plain[7] = (uint8_t)row->n;
	plain[row->at < 40 ? row->at : 63] = row->value;
	pack(plain, 40 + row->n, text);
	assert_true(hdr_record(&h, 5));
	assert_false(hdr_add_payload(&h, span_text(text), &why));
	assert_string_equal(why, row->why);
	assert_true(h.count == 1 && h.max == 5);	/* nothing was added */
	hdr_release(&h);
}

/* The last bucket, and 2^53, are still right. */
static void the_most_that_can_be(void **state)
{
	static const uint8_t counts[] = { 0x97 /* 33420 empty buckets */, 0x8a, 0x04, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x20 };
	uint8_t plain[64];
	char text[600];
	struct hdr h = { 0 };
	const char *why = NULL;

	(void)state;
	memcpy(plain, head, 40);
	memcpy(plain + 40, counts, sizeof(counts));
	plain[7] = sizeof(counts);
	pack(plain, 40 + sizeof(counts), text);
	assert_true(hdr_add_payload(&h, span_text(text), &why));
	assert_int_equal(hdr_bucket_count(&h, hdr_bucket(HDR_HIGHEST)), 1ull << 53);
	hdr_release(&h);
}

static void what_is_no_payload(void **state)
{
	static const struct { const char *text, *why; } rows[] = {
		{ "", "is no base64" }, { "AAA", "is no base64" }, { "AAAA", "is no base64" }, { "HIST", "is no base64" }, { "====", "is no base64" },
		{ "HIST=AAAABAAAAAA", "is no base64" }, { " HISTFAAAABAAAAA", "is no base64" }, { "HISTFAAAAB\tAAAAA", "is no base64" },
		{ "HISTEwAAABAAAAAA", "is not HdrHistogram's compressed V2 encoding" }, { "HISTFAAAABAAAAAA", "is not HdrHistogram's compressed V2 encoding" },
		{ "HISTFAAAAAQAAAAA", "cannot be uncompressed" },
	};
	struct hdr h = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *why = NULL;

		assert_false(hdr_add_payload(&h, span_text(rows[i].text), &why));
		assert_string_equal(why, rows[i].why);
	}
	assert_int_equal(h.count, 0);
}

/* ---- logs ---- */

/* Reads the whole log; *all has what stands under that tag. */
static unsigned read_log(struct span text, const char *tag, struct hdr *all)
{
	unsigned n = 0;
	enum hdr_line_kind kind;
	struct hdr_line line;
	struct fault fault = { 0 };

	do {
		struct hdr h = { 0 };

		kind = hdr_log_read(&text, &line, &h, &fault);
		if (kind == HDR_LINE_BAD)
			fail_msg("%s", fault.text);
		if (kind == HDR_LINE_INTERVAL && span_is(line.tag, tag)) {
			assert_true(hdr_add(all, &h));
			n++;
		}
		hdr_release(&h);
	} while (kind != HDR_LINE_END);
	return n;
}

static void logs_of_shards_add_up_to_their_values(void **state)
{
	struct hdr raw = { 0 }, merged = { 0 };
	uint64_t seed = 3;

	(void)state;
	for (unsigned shard = 0; shard < 4; shard++) {
		char *text = NULL;
		size_t len = 0;
		FILE *log = open_memstream(&text, &len);

		hdr_log_begin(log, 1763750037123000000);
		for (unsigned second = 0; second < 5; second++) {
			struct hdr h = { 0 };

			for (unsigned i = 0; i < 300; i++) {
				uint64_t ns = random_time(&seed);

				assert_true(hdr_record(&raw, ns) && hdr_record(&h, ns));
			}
			assert_true(hdr_log_write(log, "role.ack", second * 1000000000ull, 1000000000, &h));
			assert_true(hdr_log_write(log, "role.other", second * 1000000000ull, 1000000000, &h));
			hdr_release(&h);
		}
		assert_int_equal(fclose(log), 0);
		assert_int_equal(read_log(span_of(text, len), "role.ack", &merged), 5);
		free(text);
	}
	assert_same_counts(&raw, &merged);
	hdr_release(&raw);
	hdr_release(&merged);
}

static void times_and_tags_of_a_line(void **state)
{
	static const struct { const char *tag; uint64_t start, length; const char *begins; } rows[] = {
		{ "", 0, 1000000000, "0.000,1.000,0.000,HIST" },
		{ "a.b-c_1", 61500000000, 1500000000, "Tag=a.b-c_1,61.500,1.500,0.000,HIST" },
		{ "x", 1, 999999999, "Tag=x,0.000000001,0.999999999,0.000,HIST" },
		{ "x", 86400000000000, 250000000, "Tag=x,86400.000,0.250,0.000,HIST" },
	};
	struct hdr h = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char *text = NULL;
		size_t len = 0;
		FILE *log = open_memstream(&text, &len);
		struct hdr_line line;
		struct fault fault;

		assert_true(hdr_log_write(log, rows[i].tag, rows[i].start, rows[i].length, &h));
		fclose(log);
		assert_memory_equal(text, rows[i].begins, strlen(rows[i].begins));
		struct span left = span_of(text, len);
		assert_int_equal(hdr_log_read(&left, &line, &h, &fault), HDR_LINE_INTERVAL);
		assert_true(span_is(line.tag, rows[i].tag) && line.start_ns == rows[i].start && line.length_ns == rows[i].length && !left.len);
		assert_int_equal(hdr_log_read(&left, &line, &h, &fault), HDR_LINE_END);
		free(text);
	}
	hdr_release(&h);
}

static void lines_that_are_none(void **state)
{
	static const struct { const char *text; enum hdr_line_kind kind; const char *why; } rows[] = {
		{ "", HDR_LINE_END, NULL }, { "\n", HDR_LINE_OTHER, NULL }, { "\r\n", HDR_LINE_OTHER, NULL }, { "#[x]", HDR_LINE_OTHER, NULL },
		{ "\"StartTimestamp\"\n", HDR_LINE_OTHER, NULL }, { "Tag=x", HDR_LINE_BAD, "expected a comma behind the tag" },
		{ "Tag=x,", HDR_LINE_BAD, "expected the interval's start in seconds" }, { "x,1,1,H", HDR_LINE_BAD, "expected the interval's start in seconds" },
		{ ",1,1,H", HDR_LINE_BAD, "expected the interval's start in seconds" }, { ".5,1,1,H", HDR_LINE_BAD, "expected the interval's start in seconds" },
		{ "-1,1,1,H", HDR_LINE_BAD, "expected the interval's start in seconds" }, { "1e3,1,1,H", HDR_LINE_BAD, "expected the interval's start in seconds" },
		{ "99999999999,1,1,H", HDR_LINE_BAD, "expected the interval's start in seconds" },
		{ "1.0,1 ,1,H", HDR_LINE_BAD, "expected the interval's length in seconds" }, { "1.0,1.0.0,1,H", HDR_LINE_BAD, "expected the interval's length in seconds" },
		{ "1.0,1.0,1", HDR_LINE_BAD, "expected the interval's longest, then the histogram" }, { "1.0,1.0,1,HIST", HDR_LINE_BAD, "the histogram is no base64" },
	};
	struct hdr h = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct span text = span_text(rows[i].text);
		struct hdr_line line;
		struct fault fault = { 0 };

		assert_int_equal(hdr_log_read(&text, &line, &h, &fault), rows[i].kind);
		if (rows[i].why)
			assert_string_equal(fault.text, rows[i].why);
		assert_int_equal(text.len, 0);
	}
	assert_int_equal(h.count, 0);
}

/* Written by ByJava.java from these very numbers. */
static void a_log_of_java(void **state)
{
	static char text[1 << 16];
	struct hdr expected = { 0 }, read = { 0 };
	FILE *file = fopen("harness/load/tests/histograms/by_java.hlog", "r");

	(void)state;
	assert_non_null(file);
	size_t len = fread(text, 1, sizeof(text), file);
	fclose(file);
	for (uint64_t i = 0; i < 1000; i++)
		assert_true(hdr_record(&expected, i * i * i * 7919 % 3600000000001));
	assert_true(hdr_record_n(&expected, 1234567, 5000000000));
	assert_int_equal(read_log(span_of(text, len), "robot.ack", &read), 3);
	assert_same_counts(&expected, &read);
	hdr_release(&read);
	assert_int_equal(read_log(span_of(text, len), "", &read), 3);
	assert_same_counts(&expected, &read);
	hdr_release(&expected);
	hdr_release(&read);
}

/* ---- percentiles ---- */

static void percentiles_as_text(void **state)
{
	static const char expected[] =
		"       Value     Percentile TotalCount 1/(1-Percentile)\n"
		"\n"
		"       1.000 0.000000000000          1           1.00\n"
		"       1.000 0.100000000000          1           1.11\n"
		"       1.000 0.200000000000          1           1.25\n"
		"       2.001 0.300000000000          2           1.43\n"
		"       2.001 0.400000000000          2           1.67\n"
		"       2.001 0.500000000000          2           2.00\n"
		"    3001.025 0.550000000000          4           2.22\n"
		"    3001.025 1.000000000000          4\n"
		"#[Mean    =     1500.738, StdDeviation   =     1499.238]\n"
		"#[Max     =     3001.025, Total count    =            4]\n"
		"#[Buckets =           32, SubBuckets     =         2048]\n";
	struct hdr h = { 0 };
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	(void)state;
	assert_true(hdr_record(&h, 1000000) && hdr_record(&h, 2000000) && hdr_record_n(&h, 2999000000, 2));
	hdr_print_percentiles(out, &h);
	fclose(out);
	assert_string_equal(text, expected);
	free(text);
	hdr_release(&h);
}

int main(void)
{
	enum { N = sizeof(refused) / sizeof(refused[0]) };
	static struct CMUnitTest tests[N + 20] = {
		cmocka_unit_test(a_payload_is_read_as_it_was), cmocka_unit_test(a_payload_is_what_the_format_says), cmocka_unit_test(the_most_that_can_be),
		cmocka_unit_test(what_is_no_payload), cmocka_unit_test(logs_of_shards_add_up_to_their_values), cmocka_unit_test(times_and_tags_of_a_line),
		cmocka_unit_test(lines_that_are_none), cmocka_unit_test(a_log_of_java), cmocka_unit_test(percentiles_as_text),
	};
	size_t n = 9;

	for (size_t i = 0; i < N; i++)
		tests[n++] = (struct CMUnitTest){ .name = refused[i].why, .test_func = a_wrong_payload_is_refused, .initial_state = (void *)&refused[i] };
	return _cmocka_run_group_tests("hdr_log", tests, n, NULL, NULL);
}

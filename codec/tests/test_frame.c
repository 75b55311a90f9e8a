#include "codec/tests/whole.h"

/* What a stream's first bytes are taken for. */
static const struct row {
	const char *hex;
	enum frame_status status;
	size_t size;		/* of the packet, 0 while unknown */
	unsigned header;
	bool overlong;
} rows[] = {
	{ "", FRAME_MORE, 0, 0, false },
	{ "c0", FRAME_MORE, 0, 0, false },
	{ "c0 00", FRAME_OK, 2, 2, false },
	{ "c0 00 c0", FRAME_OK, 2, 2, false },
	{ "30 7f", FRAME_MORE, 129, 2, false },
	{ "30 80", FRAME_MORE, 0, 0, false },
	{ "30 80 01", FRAME_MORE, 131, 3, false },
	{ "30 ff 7f", FRAME_MORE, 16386, 3, false },
	{ "30 80 80 01", FRAME_MORE, 16388, 4, false },
	{ "30 ff ff 7f", FRAME_MORE, 2097155, 4, false },
	{ "30 80 80 80 01", FRAME_MORE, 2097157, 5, false },	/* the range that the standard's first pseudo-code refuses */
	{ "30 ff ff ff", FRAME_MORE, 0, 0, false },
	{ "30 ff ff ff 7f", FRAME_MORE, 268435460, 5, false },
	{ "30 ff ff ff ff", FRAME_BAD, 0, 0, false },
	{ "30 ff ff ff ff 00", FRAME_BAD, 0, 0, false },
	{ "30 80 80 80 80", FRAME_BAD, 0, 0, false },
	{ "c0 80 00", FRAME_OK, 3, 3, true },
	{ "c0 80 80 00", FRAME_OK, 4, 4, true },
	{ "c0 80 80 80 00", FRAME_OK, 5, 5, true },
	{ "40 82 00 00 01", FRAME_OK, 5, 3, true },
	{ "00 00", FRAME_OK, 2, 2, false },			/* a reserved type is decode's to refuse */
};

static struct guard guard;

static void framed_as_written(void **state)
{
	const struct row *row = *state;
	uint8_t bytes[16];
	size_t len = bytes_of_hex(row->hex, bytes, sizeof bytes);
	struct frame frame;
	struct finding finding = { .why = NULL };

	assert_int_equal(frame_next(guard_copy(&guard, bytes, len), len, &frame, &finding), row->status);
	assert_int_equal(frame.size, row->size);
	if (row->status == FRAME_BAD) {
		assert_int_equal(finding.rule, RULE_REMAINING_LENGTH);
		assert_non_null(finding.why);
	}
	if (row->size) {
		assert_int_equal(frame.first, bytes[0]);
		assert_int_equal(frame.header_size, row->header);
		assert_int_equal(frame.overlong, row->overlong);
	}
}

int main(void)
{
	static struct CMUnitTest tests[sizeof rows / sizeof *rows];

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		tests[i] = (struct CMUnitTest){ .name = rows[i].hex, .test_func = framed_as_written, .initial_state = (void *)&rows[i] };
	guard = guard_new(4096);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* What bounds reassembly: memory, connections, time, and readers who have no use for a connection. */
#include "pcap/tests/tcp_script.h"

static struct script s;

static bool begins(const char *text, const char *with)
{
	return strncmp(text, with, strlen(with)) == 0;
}

static void limits_of_one(void **state)
{
	struct tcp_limits limits = { .flow_bytes = 1024 };

	(void)state;
	script_begin(&s, &limits);
	handshake(&s);
	for (int i = 1; i <= 4; i++)
		seg(&s, 'A', "A", 10 * i, 0, "x");
	SAYS(&s, "o");
	assert_int_equal(tcp_counts(s.tcp)->bytes_now, 1024);
	seg(&s, 'A', "A", 50, 0, "y");
	SAYS(&s, "A[10 no room] A\"x\"");
	assert_int_equal(tcp_counts(s.tcp)->bytes_now, 1024);
	/* One that no limit lets in is handed over behind everything before it. */
	char large[2000];

	memset(large, 'z', sizeof(large) - 1);
	large[sizeof(large) - 1] = 0;
	seg(&s, 'A', "A", 60, 0, large);
	assert_true(begins(s.log, "A[9 no room] A\"x\" A[9 no room] A\"x\" A[9 no room] A\"x\" A[9 no room] A\"y\" A[9 no room] A\"zz"));
	assert_int_equal(tcp_counts(s.tcp)->bytes_now, 0);
	assert_int_equal(tcp_counts(s.tcp)->bytes_most, 1024);
	s.len = 0;
	/* The same where the other direction is what it waits for. */
	seg(&s, 'A', "A", 60 + 1999, 7, large);
	assert_true(begins(s.log, "B[7 no room] A\"zz"));
	script_end(&s);
}

static void limits_of_all(void **state)
{
	struct tcp_limits limits = { .all_bytes = 512 };

	(void)state;
	script_begin(&s, &limits);
	s.numbered = true;
	for (s.port = 1; s.port <= 3; s.port++) {
		handshake(&s);
		seg(&s, 'A', "A", 1, 0, "x");
	}
	/* The one that waited longest gives way. */
	SAYS(&s, "0:o 1:o 2:o 0:A[1 no room] 0:A\"x\"");
	assert_int_equal(tcp_counts(s.tcp)->bytes_most, 512);
	script_end(&s);
}

/* Who waits and holds nothing has no room to give: still somebody's waiting ends. */
static void room_is_made_by_who_holds_nothing(void **state)
{
	struct tcp_limits limits = { .all_bytes = 512 };

	(void)state;
	script_begin(&s, &limits);
	s.numbered = true;
	s.port = 1;
	handshake(&s);
	seg(&s, 'B', "A", 0, 10, "");
	s.port = 2;
	handshake(&s);
	for (int i = 1; i <= 3; i++)
		seg(&s, 'A', "A", 10 * i, 0, "x");
	SAYS(&s, "0:o 1:o 0:A[10 no room] 1:A[10 no room] 1:A\"x\"");
	assert_int_equal(tcp_counts(s.tcp)->bytes_most, 512);
	script_end(&s);
}

/* It comes next, before all that waits, and there is no room for it to wait for the other direction. */
static void no_room_for_the_next(void **state)
{
	struct tcp_limits limits = { .flow_bytes = 1024 };

	(void)state;
	script_begin(&s, &limits);
	handshake(&s);
	for (int i = 1; i <= 4; i++)
		seg(&s, 'A', "A", i, 0, "x");
	seg(&s, 'A', "A", 0, 5, "a");
	SAYS(&s, "o A(late 1) B[5 no room] A\"a\" A\"x\" A\"x\" A\"x\" A\"x\"");
	/* The same, and what the other direction has waits for it. */
	for (int i = 6; i <= 8; i++)
		seg(&s, 'A', "A", i, 5, "x");
	seg(&s, 'B', "A", 5, 6, "1");
	SAYS(&s, "");
	seg(&s, 'A', "A", 5, 6, "a");
	SAYS(&s, "A(late 1) A\"a\" A\"x\" A\"x\" A\"x\" B\"1\"");
	script_end(&s);
}

static void flows_are_bounded(void **state)
{
	struct tcp_limits limits = { .flows = 2, .idle_ns = UINT64_C(10000000000) };

	(void)state;
	script_begin(&s, &limits);
	s.numbered = true;
	for (s.port = 1; s.port <= 2; s.port++)
		handshake(&s);
	SAYS(&s, "0:o 1:o");
	script_wait(&s, 2000);
	s.port = 1;
	seg(&s, 'A', "A", 0, 0, "a");
	seg(&s, 'A', "A", 1, 0, "b");
	s.port = 3;
	handshake(&s);
	SAYS(&s, "0:A\"a\" 0:A\"b\" 1:end:forgotten 2:o");
	assert_int_equal(tcp_counts(s.tcp)->flows_most, 2);
	/* Silence. The clock takes two segments to believe in a jump. */
	script_wait(&s, 9000);
	s.port = 1;
	seg(&s, 'A', "A", 2, 0, "c");
	script_wait(&s, 3000);
	seg(&s, 'A', "A", 3, 0, "d");
	seg(&s, 'A', "A", 4, 0, "e");
	SAYS(&s, "0:A\"c\" 0:A\"d\" 0:A\"e\" 2:end:forgotten");
	script_end(&s);
}

static void a_wrong_time_stamp_ends_nothing(void **state)
{
	uint64_t kept;

	(void)state;
	script_begin(&s, NULL);
	handshake(&s);
	seg(&s, 'A', "A", 3, 0, "b");
	kept = s.when.time_ns;
	s.when.time_ns += UINT64_C(1000000000000000);
	seg(&s, 'B', "A", 0, 0, "");
	s.when.time_ns = 5;
	seg(&s, 'B', "A", 0, 0, "");
	s.when.time_ns = kept;
	seg(&s, 'B', "A", 0, 0, "");
	seg(&s, 'A', "A", 0, 0, "abc");
	SAYS(&s, "o A(late 3) A\"abc\" A\"b\"");
	/* Where time goes back for good, waiting goes on from there. */
	s.when.time_ns -= UINT64_C(1000000000000);
	seg(&s, 'B', "A", 0, 5, "x");
	others(&s, 30);
	SAYS(&s, "A[1 lost] B\"x\"");
	script_end(&s);
}

/* The clock believes in a jump at the second segment; what the first one belongs to is not old by then. */
static void a_jump_ends_nothing_new(void **state)
{
	(void)state;
	script_begin(&s, NULL);
	s.numbered = true;
	handshake(&s);
	seg(&s, 'A', "F", 0, 0, "");
	seg(&s, 'B', "FA", 0, 1, "");
	SAYS(&s, "0:o 0:A.fin 0:B.fin 0:end:finished");
	script_wait(&s, 2000000000);
	script_wait(&s, 2000000000);
	s.port = 2;
	seg(&s, 'A', "S", -1, 0, "");
	s.port = 3;
	seg(&s, 'A', "S", -1, 0, "");
	s.port = 2;
	seg(&s, 'B', "SA", -1, 0, "");
	seg(&s, 'A', "A", 0, 0, "a");
	s.port = 3;
	seg(&s, 'B', "SA", -1, 0, "");
	seg(&s, 'A', "A", 0, 0, "b");
	SAYS(&s, "1:o 2:o 1:A\"a\" 2:A\"b\"");
	script_end(&s);
}

/* A time stamp of the far future, alone, keeps a silent connection no longer than the others. */
static void a_wrong_time_stamp_keeps_nothing(void **state)
{
	struct tcp_limits limits = { .idle_ns = UINT64_C(10000000000) };

	(void)state;
	script_begin(&s, &limits);
	s.numbered = true;
	handshake(&s);
	s.when.time_ns += UINT64_C(1000000000000000);
	seg(&s, 'A', "A", 0, 0, "a");
	s.when.time_ns -= UINT64_C(1000000000000000);
	s.port = 2;
	handshake(&s);
	script_wait(&s, 6000);
	seg(&s, 'A', "A", 0, 0, "b");
	script_wait(&s, 6000);
	seg(&s, 'A', "A", 1, 0, "c");
	seg(&s, 'A', "A", 2, 0, "d");
	SAYS(&s, "0:o 0:A\"a\" 1:o 1:A\"b\" 1:A\"c\" 1:A\"d\" 0:end:forgotten");
	script_end(&s);
}

static void nobody_reads(void **state)
{
	(void)state;
	script_begin(&s, NULL);
	s.ignore_after = 2;
	handshake(&s);
	seg(&s, 'A', "A", 2, 0, "c");
	seg(&s, 'A', "A", 4, 0, "e");
	seg(&s, 'A', "A", 0, 0, "ab");
	SAYS(&s, "o A(late 2) A\"ab\" A\"c\"");
	assert_int_equal(tcp_counts(s.tcp)->bytes_now, 0);
	seg(&s, 'A', "A", 100, 7, "zz");
	seg(&s, 'A', "A", 3, 7, "zz");
	seg(&s, 'B', "A", 50, 1, "yy");
	seg(&s, 'A', "FA", 200, 7, "");
	SAYS(&s, "A.fin");
	seg(&s, 'B', "R", 52, 0, "");
	SAYS(&s, "B.rst end:reset");
	assert_int_equal(tcp_counts(s.tcp)->holes, 0);
	script_end(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(limits_of_one),
		cmocka_unit_test(limits_of_all),
		cmocka_unit_test(room_is_made_by_who_holds_nothing),
		cmocka_unit_test(no_room_for_the_next),
		cmocka_unit_test(a_jump_ends_nothing_new),
		cmocka_unit_test(a_wrong_time_stamp_keeps_nothing),
		cmocka_unit_test(flows_are_bounded),
		cmocka_unit_test(a_wrong_time_stamp_ends_nothing),
		cmocka_unit_test(nobody_reads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

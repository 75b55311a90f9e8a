/* What is missing: how long it is waited for, and what is said of it. */
#include "pcap/tests/tcp_script.h"

static struct script s;

static void lost(void **state)
{
	(void)state;
	script_begin(&s, NULL);
	handshake(&s);
	seg(&s, 'A', "A", 0, 0, "abc");
	seg(&s, 'A', "A", 6, 0, "ghi");
	others(&s, 100);
	SAYS(&s, "o A\"abc\"");		/* not acknowledged: it will be sent again */
	seg(&s, 'B', "A", 0, 9, "1");
	others(&s, 10);
	SAYS(&s, "");
	others(&s, 15);
	SAYS(&s, "A[3 lost] A\"ghi\" B\"1\"");
	seg(&s, 'A', "A", 3, 0, "def");
	SAYS(&s, "A(belated 3)");
	seg(&s, 'A', "A", 0, 0, "abcdefghi");
	SAYS(&s, "A(again 6) A(belated 3)");
	assert_int_equal(tcp_counts(s.tcp)->holes, 1);
	assert_int_equal(tcp_counts(s.tcp)->hole_bytes, 3);
	script_end(&s);
}

static void lost_at_the_end(void **state)
{
	(void)state;
	script_begin(&s, NULL);
	handshake(&s);
	seg(&s, 'A', "A", 3, 0, "def");
	seg(&s, 'B', "FA", 0, 8, "");
	s.numbered = true;
	script_end(&s);
	assert_string_equal(s.log, "o 0:A[3 lost] 0:A\"def\" 0:A[2 lost] 0:B.fin 0:end:capture");
	script_begin(&s, NULL);
	handshake(&s);
	seg(&s, 'A', "A", 3, 0, "def");
	seg(&s, 'A', "FA", 8, 0, "");
	script_end(&s);
	assert_string_equal(s.log, "o A[3 unfinished] A\"def\" A[2 unfinished] A.fin end:capture");
}

static void a_quiet_capture_waits_no_longer(void **state)
{
	(void)state;
	script_begin(&s, NULL);
	handshake(&s);
	seg(&s, 'B', "A", 0, 2, "1");
	script_wait(&s, 45);
	tcp_idle(s.tcp, s.when.time_ns);
	SAYS(&s, "o");
	script_wait(&s, 10);
	tcp_idle(s.tcp, s.when.time_ns);
	SAYS(&s, "A[2 lost] B\"1\"");
	script_end(&s);
}

/* Several losses in a row do not wait one after the other. */
static void losses_do_not_add_up(void **state)
{
	(void)state;
	script_begin(&s, NULL);
	handshake(&s);
	for (int i = 1; i < 20; i += 2)
		seg(&s, 'A', "A", i, 0, "x");
	seg(&s, 'B', "A", 0, 20, "");
	others(&s, 30);
	SAYS(&s, "o A[1 lost] A\"x\" A[1 lost] A\"x\" A[1 lost] A\"x\" A[1 lost] A\"x\" A[1 lost] A\"x\" "
	         "A[1 lost] A\"x\" A[1 lost] A\"x\" A[1 lost] A\"x\" A[1 lost] A\"x\" A[1 lost] A\"x\"");
	script_end(&s);
}

/* Losses with something behind them, however many at once, are no sign that nothing more will come; acknowledgements without any segment are. */
static void losses_do_not_silence(void **state)
{
	(void)state;
	script_begin(&s, NULL);
	handshake(&s);
	for (int i = 1; i < 8; i += 2)
		seg(&s, 'A', "A", i, 0, "x");
	seg(&s, 'B', "A", 0, 8, "");
	others(&s, 30);
	SAYS(&s, "o A[1 lost] A\"x\" A[1 lost] A\"x\" A[1 lost] A\"x\" A[1 lost] A\"x\"");
	/* Captured before what it acknowledges. */
	seg(&s, 'B', "A", 0, 11, "");
	seg(&s, 'A', "A", 8, 0, "abc");
	SAYS(&s, "A(late 3) A\"abc\"");
	for (int i = 1; i <= 4; i++) {
		seg(&s, 'B', "A", 0, 11 + i, "");
		others(&s, 30);
	}
	SAYS(&s, "A[1 lost] A[1 lost] A[1 lost] A[1 lost]");
	seg(&s, 'B', "A", 0, 20, "1");
	SAYS(&s, "A[5 lost] B\"1\"");
	/* It is there again, and so is waited for. */
	seg(&s, 'A', "A", 20, 1, "d");
	seg(&s, 'B', "A", 1, 22, "2");
	seg(&s, 'A', "A", 21, 1, "e");
	SAYS(&s, "A\"d\" A(late 1) A\"e\" B\"2\"");
	script_end(&s);
}

static void cut_by_the_snap_length(void **state)
{
	(void)state;
	script_begin(&s, NULL);
	handshake(&s);
	s.cut = 2 + 1;
	seg(&s, 'A', "A", 0, 0, "abcdef");
	s.cut = 0 + 1;
	seg(&s, 'A', "A", 6, 0, "ghi");
	seg(&s, 'A', "A", 9, 0, "jkl");
	SAYS(&s, "o A\"ab\" A[4 cut] A[3 cut] A\"jkl\"");
	/* One that waits, too. */
	s.cut = 1 + 1;
	seg(&s, 'A', "A", 15, 0, "pqr");
	seg(&s, 'A', "A", 12, 0, "mno");
	SAYS(&s, "A(late 3) A\"mno\" A\"p\" A[2 cut]");
	script_end(&s);
}

static void one_direction_only(void **state)
{
	(void)state;
	script_begin(&s, NULL);
	seg(&s, 'A', "S", -1, 0, "");
	seg(&s, 'A', "A", 0, 0, "");
	seg(&s, 'A', "A", 0, 0, "a");
	SAYS(&s, "o A\"a\"");
	seg(&s, 'A', "A", 1, 4, "b");
	SAYS(&s, "");
	script_wait(&s, 60);
	others(&s, 2);
	SAYS(&s, "B[4 lost] A\"b\"");
	/* From now on nothing waits for B. */
	seg(&s, 'A', "A", 2, 9, "c");
	seg(&s, 'A', "A", 3, 12, "d");
	SAYS(&s, "A\"c\" A\"d\"");
	/* Holes in A, which nobody acknowledges. */
	seg(&s, 'A', "A", 9, 12, "x");
	others(&s, 900);
	SAYS(&s, "");
	script_wait(&s, 100);
	others(&s, 3);
	SAYS(&s, "A[5 lost] A\"x\"");
	for (int i = 0; i < 256; i++)
		seg(&s, 'A', "A", 100 + i, 12, "y");
	SAYS(&s, "");
	seg(&s, 'A', "A", 100 + 256, 12, "z");
	assert_non_null(strstr(s.log, "A[90 no room] A\"y\""));
	assert_non_null(strstr(s.log, "A\"z\""));
	s.len = 0;
	/* B comes back. */
	seg(&s, 'B', "A", 12, 357, "w");
	SAYS(&s, "B[8 lost] B\"w\"");
	script_end(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lost),
		cmocka_unit_test(lost_at_the_end),
		cmocka_unit_test(a_quiet_capture_waits_no_longer),
		cmocka_unit_test(losses_do_not_add_up),
		cmocka_unit_test(losses_do_not_silence),
		cmocka_unit_test(cut_by_the_snap_length),
		cmocka_unit_test(one_direction_only),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

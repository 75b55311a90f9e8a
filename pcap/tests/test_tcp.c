#include "pcap/tests/tcp_script.h"

static struct script s;

static void in_order(void **state)
{
	(void)state;
	script_begin(&s, NULL);
	handshake(&s);
	seg(&s, 'A', "A", 0, 0, "hello");
	seg(&s, 'B', "A", 0, 5, "");
	seg(&s, 'B', "A", 0, 5, "world");
	seg(&s, 'A', "A", 5, 5, "!");
	SAYS(&s, "o A\"hello\" B\"world\" A\"!\"");
	seg(&s, 'A', "FA", 6, 5, "bye");
	seg(&s, 'B', "A", 5, 10, "");
	SAYS(&s, "A\"bye\" A.fin");
	seg(&s, 'B', "A", 5, 10, "more");
	seg(&s, 'B', "FA", 9, 10, "");
	SAYS(&s, "B\"more\" B.fin end:finished");
	/* What belongs to it may still come. */
	seg(&s, 'A', "A", 10, 10, "");
	seg(&s, 'B', "FA", 9, 10, "");
	seg(&s, 'A', "FA", 6, 5, "bye");
	seg(&s, 'A', "R", 10, 0, "");
	SAYS(&s, "");
	assert_int_equal(tcp_counts(s.tcp)->flows, 1);
	script_end(&s);
}

static void fins_cross(void **state)
{
	(void)state;
	script_begin(&s, NULL);
	handshake(&s);
	seg(&s, 'A', "FA", 0, 0, "");
	seg(&s, 'B', "FA", 0, 0, "");
	seg(&s, 'A', "A", 1, 1, "");
	seg(&s, 'B', "A", 1, 1, "");
	SAYS(&s, "o A.fin B.fin end:finished");
	script_end(&s);
}

static void reordered(void **state)
{
	(void)state;
	script_begin(&s, NULL);
	handshake(&s);
	seg(&s, 'A', "A", 6, 0, "ghi");
	seg(&s, 'A', "A", 3, 0, "def");
	SAYS(&s, "o A(late 3)");
	assert_int_equal(tcp_counts(s.tcp)->bytes_now, 512);
	seg(&s, 'A', "A", 0, 0, "abc");
	SAYS(&s, "A(late 3) A\"abc\" A\"def\" A\"ghi\"");
	assert_int_equal(tcp_counts(s.tcp)->bytes_now, 0);
	assert_int_equal(tcp_counts(s.tcp)->bytes_most, 512);
	script_end(&s);
}

static void an_answer_waits_for_its_question(void **state)
{
	(void)state;
	script_begin(&s, NULL);
	handshake(&s);
	seg(&s, 'B', "A", 0, 2, "1");
	seg(&s, 'A', "A", 2, 1, "c");
	SAYS(&s, "o");
	seg(&s, 'A', "A", 0, 0, "ab");
	SAYS(&s, "A(late 2) A\"ab\" B\"1\" A\"c\"");
	/* The FIN too. */
	seg(&s, 'B', "FA", 1, 5, "");
	SAYS(&s, "");
	seg(&s, 'A', "A", 3, 1, "de");
	SAYS(&s, "A(late 2) A\"de\" B.fin");
	script_end(&s);
}

static void what_crossed_is_said(void **state)
{
	(void)state;
	script_begin(&s, NULL);
	s.shows_crossed = true;
	handshake(&s);
	seg(&s, 'A', "A", 0, 0, "a");
	seg(&s, 'B', "A", 0, 0, "1");
	seg(&s, 'A', "A", 1, 0, "b");
	seg(&s, 'A', "A", 2, 1, "c");
	SAYS(&s, "o A\"a\" B\"1\"x A\"b\"x A\"c\"");
	seg(&s, 'A', "A", 4, 1, "e");
	seg(&s, 'A', "A", 3, 1, "d");
	SAYS(&s, "A(late 1) A\"d\"x A\"e\"");
	script_end(&s);
}

static void sent_again(void **state)
{
	(void)state;
	script_begin(&s, NULL);
	handshake(&s);
	seg(&s, 'A', "A", 0, 0, "abc");
	seg(&s, 'A', "A", 3, 0, "def");
	SAYS(&s, "o A\"abc\" A\"def\"");
	seg(&s, 'A', "A", 0, 0, "abc");
	seg(&s, 'A', "A", 1, 0, "bcde");
	seg(&s, 'A', "A", 0, 0, "abcdefghi");
	SAYS(&s, "A(again 3) A(again 4) A\"ghi\" A(again 6)");
	seg(&s, 'A', "A", 2, 0, "cdEfgh");
	SAYS(&s, "A(again 3) A(other 3)");
	seg(&s, 'A', "A", 7, 0, "HIJ");
	SAYS(&s, "A\"J\" A(other 2)");
	script_end(&s);
}

static void overlaps_among_the_waiting(void **state)
{
	(void)state;
	script_begin(&s, NULL);
	handshake(&s);
	seg(&s, 'A', "A", 2, 0, "cd");
	seg(&s, 'A', "A", 6, 0, "gh");
	SAYS(&s, "o");
	seg(&s, 'A', "A", 1, 0, "bcdefghi");		/* three new pieces between and around */
	SAYS(&s, "A(late 8) A(again 4)");
	assert_int_equal(tcp_counts(s.tcp)->bytes_now, 5 * 256);
	seg(&s, 'A', "A", 2, 0, "CdEF");
	SAYS(&s, "A(other 4)");
	seg(&s, 'A', "A", 0, 0, "aXcd");
	SAYS(&s, "A(late 4) A\"a\" A(again 2) A(other 1) A\"b\" A\"cd\" A\"ef\" A\"gh\" A\"i\"");
	script_end(&s);
}

static void probes(void **state)
{
	(void)state;
	script_begin(&s, NULL);
	handshake(&s);
	seg(&s, 'A', "A", 0, 0, "abc");
	seg(&s, 'B', "A", 0, 3, "");
	SAYS(&s, "o A\"abc\"");
	seg(&s, 'A', "A", 2, 0, "");
	seg(&s, 'B', "A", 0, 3, "");
	seg(&s, 'A', "A", 2, 0, "\x01");		/* a byte that was never sent so */
	seg(&s, 'B', "A", -1, 3, "");
	SAYS(&s, "A(alive 0) A(alive 1) B(alive 0)");
	/* Zero-window probes carry the next byte, which then comes again. */
	seg(&s, 'A', "A", 3, 0, "d");
	seg(&s, 'A', "A", 3, 0, "def");
	SAYS(&s, "A\"d\" A\"ef\" A(again 1)");
	script_end(&s);
}

static void sequence_numbers_wrap(void **state)
{
	(void)state;
	script_begin(&s, NULL);
	s.isn[0] = 0xfffffffe;
	s.isn[1] = 0xfffffff8;
	handshake(&s);
	seg(&s, 'A', "A", 0, 0, "abc");
	seg(&s, 'A', "A", 6, 0, "ghi");
	seg(&s, 'A', "A", 3, 0, "def");
	seg(&s, 'B', "A", 0, 9, "0123456789");
	seg(&s, 'A', "A", 9, 10, "j");
	SAYS(&s, "o A\"abc\" A(late 3) A\"def\" A\"ghi\" B\"0123456789\" A\"j\"");
	script_end(&s);
}

static void mid_stream(void **state)
{
	(void)state;
	script_begin(&s, NULL);
	seg(&s, 'B', "A", 10, 20, "world");
	seg(&s, 'A', "A", 20, 15, "hi");
	SAYS(&s, "o~ A\"world\" B\"hi\"");		/* the first seen is end 0 */
	script_end(&s);
	script_begin(&s, NULL);
	seg(&s, 'A', "A", 20, 10, "");
	seg(&s, 'B', "A", 10, 20, "x");
	SAYS(&s, "o~ B\"x\"");
	script_end(&s);
	/* The answer first: the SYN is known to have come from the other end. */
	script_begin(&s, NULL);
	seg(&s, 'B', "SA", -1, 0, "");
	seg(&s, 'A', "A", 0, 0, "a");
	seg(&s, 'B', "A", 0, 1, "b");
	seg(&s, 'A', "S", -1, 0, "");
	SAYS(&s, "o A\"a\" B\"b\"");
	script_end(&s);
	/* A keep-alive probe first. */
	script_begin(&s, NULL);
	seg(&s, 'A', "A", 19, 10, "");
	seg(&s, 'B', "A", 10, 20, "");
	seg(&s, 'B', "A", 10, 20, "x");
	seg(&s, 'A', "A", 20, 11, "y");
	SAYS(&s, "o~ B\"x\" A\"y\"");
	script_end(&s);
	/* What looks like one: the first byte of what is lost is acknowledged alone. The hole is a byte short, the bytes stand where they belong. */
	script_begin(&s, NULL);
	seg(&s, 'A', "A", 20, 10, "");
	seg(&s, 'B', "A", 10, 21, "");
	seg(&s, 'A', "A", 25, 10, "y");
	seg(&s, 'B', "A", 10, 26, "x");
	others(&s, 30);
	SAYS(&s, "o~ A[4 lost] A\"y\" B\"x\"");
	script_end(&s);
	/* The same, and it was only late. */
	script_begin(&s, NULL);
	seg(&s, 'A', "A", 20, 10, "");
	seg(&s, 'B', "A", 10, 21, "");
	seg(&s, 'A', "A", 20, 10, "uvwxy");
	SAYS(&s, "o~ A(late 5) A\"uvwxy\"");
	script_end(&s);
	/* The first two in the wrong order. */
	script_begin(&s, NULL);
	seg(&s, 'A', "A", 20, 10, "b");
	seg(&s, 'B', "A", 13, 20, "2");
	seg(&s, 'B', "A", 10, 20, "1");
	others(&s, 5);
	SAYS(&s, "o~ A\"b\" B(late 1) B\"1\"");
	script_end(&s);
}

static void resets(void **state)
{
	(void)state;
	script_begin(&s, NULL);
	handshake(&s);
	seg(&s, 'A', "A", 0, 0, "abc");
	seg(&s, 'B', "A", 0, 3, "1");
	SAYS(&s, "o A\"abc\" B\"1\"");
	/* Strays: before what was acknowledged, far ahead, anywhere. */
	seg(&s, 'A', "R", 1, 0, "");
	seg(&s, 'A', "R", 3000000, 0, "");
	seg(&s, 'B', "RA", 0x40000000, 3, "");
	SAYS(&s, "");
	assert_int_equal(tcp_counts(s.tcp)->bad, 3);
	seg(&s, 'A', "R", 3, 0, "");
	SAYS(&s, "A.rst end:reset");
	seg(&s, 'B', "A", 1, 3, "late");
	seg(&s, 'A', "R", 3, 0, "");
	SAYS(&s, "");
	script_end(&s);
	/* Refused. */
	script_begin(&s, NULL);
	seg(&s, 'A', "S", -1, 0, "");
	s.isn[1] = 0;
	seg(&s, 'B', "RA", -1, 7, "");			/* not of this SYN */
	SAYS(&s, "o");
	seg(&s, 'B', "RA", -1, 0, "");
	SAYS(&s, "B.rst end:reset");
	script_end(&s);
	/* What waits is given first; what is missing may still come, for a moment. */
	script_begin(&s, NULL);
	handshake(&s);
	seg(&s, 'A', "A", 3, 0, "def");
	seg(&s, 'A', "R", 6, 0, "");
	SAYS(&s, "o");
	seg(&s, 'A', "A", 0, 0, "abc");
	SAYS(&s, "A(late 3) A\"abc\" A\"def\" A.rst end:reset");
	script_end(&s);
	script_begin(&s, NULL);
	handshake(&s);
	seg(&s, 'A', "A", 3, 0, "def");
	seg(&s, 'A', "R", 6, 0, "");
	others(&s, 25);
	SAYS(&s, "o A[3 unfinished] A\"def\" A.rst end:reset");
	script_end(&s);
	/* Behind a FIN of the same end. */
	script_begin(&s, NULL);
	handshake(&s);
	seg(&s, 'A', "FA", 0, 0, "");
	seg(&s, 'B', "A", 0, 1, "data");
	seg(&s, 'A', "R", 1, 0, "");
	SAYS(&s, "o A.fin B\"data\" end:reset");
	script_end(&s);
}

static void ports_used_again(void **state)
{
	(void)state;
	script_begin(&s, NULL);
	s.numbered = true;
	handshake(&s);
	seg(&s, 'A', "A", 0, 0, "a");
	SAYS(&s, "0:o 0:A\"a\"");
	seg(&s, 'A', "S", -1, 0, "");			/* the same SYN again */
	SAYS(&s, "");
	s.isn[0] += 100000;
	s.isn[1] += 700000;
	handshake(&s);
	seg(&s, 'A', "A", 0, 0, "b");
	SAYS(&s, "0:end:replaced 1:o 1:A\"b\"");
	/* Closed, and a SYN soon after. */
	seg(&s, 'A', "FA", 1, 0, "");
	seg(&s, 'B', "FA", 0, 2, "");
	SAYS(&s, "1:A.fin 1:B.fin 1:end:finished");
	s.isn[0] += 100;
	s.isn[1] += 100;
	handshake(&s);
	seg(&s, 'A', "A", 0, 0, "c");
	SAYS(&s, "2:o 2:A\"c\"");
	/* Closed, and no SYN captured. */
	seg(&s, 'A', "R", 1, 0, "");
	SAYS(&s, "2:A.rst 2:end:reset");
	s.isn[0] += 0x30000000;
	s.isn[1] += 0x30000000;
	seg(&s, 'A', "A", 0, 0, "d");
	SAYS(&s, "3:o~ 3:A\"d\"");
	/* Not closed: one segment is a stray, the next that goes on from it is a new connection. */
	s.isn[0] += 0x30000000;
	s.isn[1] += 0x30000000;
	seg(&s, 'A', "A", 0, 0, "e");
	SAYS(&s, "");
	seg(&s, 'B', "A", 0, 1, "1");
	seg(&s, 'A', "A", 1, 1, "f");
	SAYS(&s, "3:end:replaced 4:o~ 4:A\"1\" 4:B\"f\"");
	/* A SYN with ACK, its SYN not captured. */
	s.isn[0] += 0x30000000;
	s.isn[1] += 0x30000000;
	seg(&s, 'B', "SA", -1, 0, "");
	seg(&s, 'A', "A", 0, 0, "g");
	SAYS(&s, "4:end:replaced 5:o 5:A\"g\"");
	assert_int_equal(tcp_counts(s.tcp)->flows, 6);
	assert_int_equal(tcp_counts(s.tcp)->flows_most, 1);
	script_end(&s);
}

static void behind_the_fin_is_nothing(void **state)
{
	(void)state;
	script_begin(&s, NULL);
	handshake(&s);
	seg(&s, 'A', "A", 9, 0, "junk");
	seg(&s, 'A', "FA", 3, 0, "d");
	seg(&s, 'A', "A", 2, 0, "cdE");
	seg(&s, 'A', "A", 0, 0, "ab");
	SAYS(&s, "o A(late 1) A(late 2) A(again 1) A(late 2) A\"ab\" A\"c\" A\"d\" A.fin");
	seg(&s, 'A', "A", 5, 0, "junk");
	seg(&s, 'B', "A", 0, 9, "x");		/* acknowledges what cannot be */
	SAYS(&s, "B\"x\"");
	assert_int_equal(tcp_counts(s.tcp)->bad, 2);
	assert_int_equal(tcp_counts(s.tcp)->bytes_now, 0);
	script_end(&s);
}

/* Each waits for the other. The later one must be a copy of a segment that is not in the capture: nothing is missing, it goes on. */
static void a_circle_is_broken(void **state)
{
	(void)state;
	script_begin(&s, NULL);
	handshake(&s);
	seg(&s, 'B', "A", 0, 3, "123");
	SAYS(&s, "o");
	seg(&s, 'A', "A", 0, 3, "abc");
	SAYS(&s, "A(late 3) A\"abc\" B\"123\"");
	script_end(&s);
}

static void syn_with_data(void **state)
{
	(void)state;
	script_begin(&s, NULL);
	seg(&s, 'A', "S", -1, 0, "fast");
	seg(&s, 'B', "SA", -1, 4, "");
	seg(&s, 'A', "A", 4, 0, "er");
	SAYS(&s, "o A\"fast\" A\"er\"");
	script_end(&s);
	/* Both at once. */
	script_begin(&s, NULL);
	seg(&s, 'A', "S", -1, 0, "");
	seg(&s, 'B', "S", -1, 0, "");
	seg(&s, 'A', "SA", -1, 0, "");
	seg(&s, 'B', "SA", -1, 0, "");
	seg(&s, 'A', "A", 0, 0, "a");
	seg(&s, 'B', "A", 0, 1, "b");
	SAYS(&s, "o A\"a\" B\"b\"");
	script_end(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(in_order),
		cmocka_unit_test(fins_cross),
		cmocka_unit_test(reordered),
		cmocka_unit_test(an_answer_waits_for_its_question),
		cmocka_unit_test(what_crossed_is_said),
		cmocka_unit_test(sent_again),
		cmocka_unit_test(overlaps_among_the_waiting),
		cmocka_unit_test(probes),
		cmocka_unit_test(sequence_numbers_wrap),
		cmocka_unit_test(mid_stream),
		cmocka_unit_test(resets),
		cmocka_unit_test(ports_used_again),
		cmocka_unit_test(behind_the_fin_is_nothing),
		cmocka_unit_test(a_circle_is_broken),
		cmocka_unit_test(syn_with_data),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

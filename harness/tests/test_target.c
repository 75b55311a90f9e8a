#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "harness/target.h"

#define LONG "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"

static const struct row {
	const char *text;
	const char *label, *url;	/* when it is one */
	const char *fault;		/* else: a part of the message */
} rows[] = {
	{ "localhost", "localhost:1883", "tcp://localhost:1883", NULL },
	{ "localhost:1884", "localhost:1884", "tcp://localhost:1884", NULL },
	{ "tcp://broker.example", "broker.example:1883", "tcp://broker.example:1883", NULL },
	{ "tcp://127.0.0.1:65535", "127.0.0.1:65535", "tcp://127.0.0.1:65535", NULL },
	{ "tcp://host:1/", "host:1", "tcp://host:1", NULL },
	{ "TCP://host:1", "host:1", "tcp://host:1", NULL },
	{ "mqtt://host", "host:1883", "tcp://host:1883", NULL },
	{ "[::1]", "[::1]:1883", "tcp://[::1]:1883", NULL },
	{ "tcp://[fe80::1%eth0]:5", "[fe80::1%eth0]:5", "tcp://[fe80::1%eth0]:5", NULL },
	{ "tls://host", "host:8883", "tls://host:8883", NULL },
	{ "mqtts://host:1", "host:1", "tls://host:1", NULL },
	{ "ws://host/mqtt", "host:80", "ws://host:80/mqtt", NULL },
	{ "ws://[::1]:8080/a?b=c", "[::1]:8080", "ws://[::1]:8080/a?b=c", NULL },
	{ "ws://host:8080/", "host:8080", "ws://host:8080", NULL },
	{ "wss://host", "host:443", "wss://host:443", NULL },
	{ "unix:/run/b.sock", "/run/b.sock", "unix:/run/b.sock", NULL },
	{ "unix:///run/b.sock", "/run/b.sock", "unix:/run/b.sock", NULL },
	{ "unix:/run/a=b", "/run/a=b", "unix:/run/a=b", NULL },
	{ "mine=localhost:1", "mine", "tcp://localhost:1", NULL },
	{ "a.b_c-2=unix:/x", "a.b_c-2", "unix:/x", NULL },

	{ "", NULL, NULL, "expected a host" },
	{ ":1883", NULL, NULL, "expected a host" },
	{ "x=", NULL, NULL, "expected a host" },
	{ "=host", NULL, NULL, "expected a label" },
	{ "my broker=host", NULL, NULL, "expected a label" },
	{ LONG "=host", NULL, NULL, "at most 64" },
	{ "host:", NULL, NULL, "expected a port from 1 to 65535" },
	{ "host:0", NULL, NULL, "expected a port from 1 to 65535" },
	{ "host:65536", NULL, NULL, "expected a port" },
	{ "host:99999999999", NULL, NULL, "expected a port" },
	{ "host:+1", NULL, NULL, "expected a port" },
	{ "host:1883x", NULL, NULL, "expected a port" },
	{ "host:1883 ", NULL, NULL, "expected a port" },
	{ "ho st", NULL, NULL, "expected host[:port]" },
	{ "host/path", NULL, NULL, "expected host[:port]" },
	{ "tcp://host/path", NULL, NULL, "only ws and wss have a path" },
	{ "tcp://", NULL, NULL, "expected a host" },
	{ "tcp://u:p@host", NULL, NULL, "--user" },
	{ "::1", NULL, NULL, "in brackets" },
	{ "fe80::1:1883", NULL, NULL, "in brackets" },
	{ "[::1", NULL, NULL, "closing ]" },
	{ "[::1]1883", NULL, NULL, "expected :PORT" },
	{ "[localhost]:1883", NULL, NULL, "expected an IPv6 address" },
	{ "[]:1883", NULL, NULL, "expected a host" },
	{ "tls://host/path", NULL, NULL, "only ws and wss have a path" },
	{ "ws://u:p@host/mqtt", NULL, NULL, "--user" },
	{ "ws://host/a b", NULL, NULL, "path without spaces" },
	{ "ws://host/a#b", NULL, NULL, "path without spaces" },
	{ "wss:///mqtt", NULL, NULL, "expected a host" },
	{ "http://host", NULL, NULL, "expected tcp://, tls://" },
	{ "unix:relative", NULL, NULL, "absolute path" },
	{ "unix:", NULL, NULL, "absolute path" },
	{ "unix:/" LONG, NULL, NULL, "can have 107 characters" },
	{ LONG LONG LONG, NULL, NULL, "at most 255" },
	{ "\033[2J:1", NULL, NULL, "\\x1b" },
};

static void reads_as_written(void **state)
{
	const struct row *row = *state;
	struct target target;
	struct address again;
	struct fault fault;
	char url[300];

	if (row->fault) {
		assert_false(target_parse(row->text, &target, &fault));
		if (!strstr(fault.text, row->fault))
			fail_msg("'%s' is not in '%s'", row->fault, fault.text);
		assert_null(strpbrk(fault.text, "\n\033"));
		return;
	}
	if (!target_parse(row->text, &target, &fault))
		fail_msg("%s", fault.text);
	assert_string_equal(target.label, row->label);
	assert_string_equal(address_print(&target.address, url, sizeof(url)), row->url);
	assert_true(address_parse(url, ADDRESS_TO_CONNECT, &again, &fault));
	assert_memory_equal(&again, &target.address, sizeof(again));
}

static void port_0_is_for_listening(void **state)
{
	struct address address;
	struct fault fault;

	(void)state;
	assert_true(address_parse("tcp://127.0.0.1:0", ADDRESS_TO_LISTEN, &address, &fault));
	assert_int_equal(address.port, 0);
	assert_false(address_parse("tcp://127.0.0.1:0", ADDRESS_TO_CONNECT, &address, &fault));
}

static void loopback(void **state)
{
	static const struct {
		const char *url;
		bool is;
	} cases[] = {
		{ "localhost", true }, { "127.0.0.1", true }, { "127.9.9.9", true }, { "[::1]", true }, { "unix:/x", true },
		{ "128.0.0.1", false }, { "127.0.0.1.example", false }, { "example", false }, { "[::2]", false }, { "0.0.0.0", false },
	};
	struct address address;
	struct fault fault;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_true(address_parse(cases[i].url, ADDRESS_TO_CONNECT, &address, &fault));
		assert_int_equal(address_is_loopback(&address), cases[i].is);
	}
}

#define N_ROWS (sizeof(rows) / sizeof(rows[0]))

int main(void)
{
	static struct CMUnitTest tests[N_ROWS + 2];
	static char names[N_ROWS][50];

	for (size_t i = 0; i < N_ROWS; i++) {
		snprintf(names[i], sizeof(names[i]), "target '%.35s'", *rows[i].text == '\033' ? "an escape sequence" : rows[i].text);
		tests[i] = (struct CMUnitTest){ .name = names[i], .test_func = reads_as_written, .initial_state = (void *)&rows[i] };
	}
	tests[N_ROWS] = (struct CMUnitTest)cmocka_unit_test(port_0_is_for_listening);
	tests[N_ROWS + 1] = (struct CMUnitTest)cmocka_unit_test(loopback);
	return _cmocka_run_group_tests("target", tests, N_ROWS + 2, NULL, NULL);
}

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

#include "harness/tests/shorthand.h"
#include "pcap/tests/seen.h"

/*
 * What --check asserts of conversations, and what not: steps separated by ';', each "[b]>packet words" (the client sends),
 * "[b]<packet words" (the broker does), on conversation a unless b stands first. Before a packet: "unsure ", "crossed ". Others, of a:
 * "hole", "fin", "reset", "forgotten", "wait=SECONDS"; before its first packet: "midway", "inferred", "port=N". shorthand.h has the words.
 */

#define LEVEL_9 "hex=100f00044d5154540902003c0000026d65"
#define CON ">connect clean;<connack;"
#define STORED ">connect expiry=60;<connack;"
#define RESUMED ">connect expiry=60;<connack sp;"
#define OPEN_1 STORED ">pub q1 id=1;fin;"
#define AGAIN RESUMED ">pub q1 id=1;"

static const struct {
	const char *name, *script, *found;	/* "client RULE", "broker RULE", with ", " between */
} rows[] = {
	{ "nothing is wrong", CON ">ping;<pong;fin", "" },
	{ "a client's form", CON ">pub dup", "client 5:MQTT-3.3.1-2" },
	{ "a client's flow", CON ">pub q1 id=1;>pub q1 id=1", "client 5:MQTT-2.2.1-3" },
	{ "a broker's form", CON "<pub dup", "broker 5:MQTT-3.3.1-2" },
	{ "a broker's flow", CON "<pong", "broker 5:MQTT-3.12.4-1" },
	{ "both are named, each its own", CON ">ping;<pong;b>connect clean as=b;b<connack;b<pong;>pub dup", "broker 5:MQTT-3.12.4-1, client 5:MQTT-3.3.1-2" },
	{ "a packet that cannot be read", CON ">hex=8204000100ff", "client 5:MQTT-3.8.3-1" },
	{ "a broker's packet that cannot be read", CON "<hex=90020001", "broker 5:MQTT-2.2.2-1" },
	{ "after the client's breach the broker's flow is its own affair", CON ">pub dup;<pong;<pong", "client 5:MQTT-3.3.1-2" },
	{ "but not its form", CON ">pub dup;<pub dup", "client 5:MQTT-3.3.1-2, broker 5:MQTT-3.3.1-2" },
	{ "after the broker's breach the client's flow is its own affair", CON "<pong;>puback id=9;>pubrel id=8", "broker 5:MQTT-3.12.4-1" },
	{ "the id of an acknowledgement is the broker's", CON ">sub f=a/b:1;<suback c=1;<pub q1 id=0;>puback id=0", "broker 5:MQTT-2.2.1-4" },

	/* what the server has to refuse is no fault of the client's */
	{ "a protocol level of the future", ">" LEVEL_9 ";<connack code=84;fin", "note" },
	{ "by which it goes on", ">" LEVEL_9 ";<connack;>hex=8204000100ff;<pong;<hex=90020001;>pub dup;wait=200;fin", "note" },
	{ "and is laid out", ">hex=100700044d51545409;<connack code=84", "note" },
	{ "the broker's answer is judged", ">" LEVEL_9 ";<hex=20030900ff", "note, broker 5:property-length" },
	{ "a bridge's level is that of its version", ">hex=100f00044d5154548502003c0000026d65;<connack;>pub dup", "client 5:MQTT-3.3.1-2" },
	{ "another protocol", ">hex=10100005414d51504109" "02003c0000026d65;<connack code=84", "note" },
	{ "but MQTT 5 is called MQTT", ">hex=101000054d5154545805" "02003c0000026d65;<connack code=84", "client 5:MQTT-3.1.2-1" },
	{ "an old name with a new level", ">hex=101100064d51497364700402003c0000026d65", "note" },
	{ "a second CONNECT is one, whatever it names", CON ">" LEVEL_9, "client 5:MQTT-3.1.0-2" },
	{ "bytes behind CONNECT", ">hex=101000044d5154540502003c0000026d6500", "client 5:trailing-bytes" },
	{ "CONNECT whose fields run past its end", ">hex=100f00044d5154540502003c0000096d65", "client 5:truncated" },

	/* what is missing */
	{ "behind a hole only form is judged", CON "hole;>puback id=9;<pong;<suback id=7 c=1", "" },
	{ "and that is", CON "hole;>pub dup;<pub dup", "client 5:MQTT-3.3.1-2, broker 5:MQTT-3.3.1-2" },
	{ "an unsure packet is judged by nothing", CON ">unsure pub dup;<unsure pub dup", "" },
	{ "nor is the flow behind it", CON ">unsure ping;>puback id=9;<pong", "" },
	{ "joined midway only form is judged", "midway;>puback id=9;<pong;>pub dup", "client 5:MQTT-3.3.1-2" },
	{ "where the version is inferred, only what is wrong by all", "midway;inferred;>pub q1 id=0;>pub dup;<suback id=1 c=a2", "client 5:MQTT-2.2.1-3, client 5:MQTT-3.3.1-2" },
	{ "first bytes that are no CONNECT", ">ping", "client 5:MQTT-3.1.0-1" },
	{ "first bytes that are likely no CONNECT", "inferred;>unsure pub t=a/b/c/d", "client 5:MQTT-3.1.0-1" },
	{ "packets joined midway need no CONNECT", "midway;>unsure pub t=a/b/c/d", "" },

	/* what was on its way */
	{ "a limit that the client knows", ">connect clean;<connack ra=0;>pub retain", "client 5:MQTT-3.2.2-14" },
	{ "a limit that crossed the packet", ">connect clean;<connack ra=0;>crossed pub retain", "" },
	{ "and that the client knows later", ">connect clean;<connack ra=0;>crossed ping;<pong;>pub retain", "client 5:MQTT-3.2.2-14" },

	/* sessions */
	{ "a session seen whole", OPEN_1 AGAIN, "client 5:MQTT-3.3.1-1" },
	{ "by another port in between", OPEN_1 "port=1884;" STORED "fin;" AGAIN, "" },
	{ "by another port of its own", "port=1884;" OPEN_1 "port=1884;" AGAIN, "client 5:MQTT-3.3.1-1" },
	{ "another port has sessions of its own", OPEN_1 "port=1884;" AGAIN, "" },
	{ "a connection joined midway may have been the session's", OPEN_1 "midway;b>ping;" AGAIN, "" },
	{ "a session that ended in a hole", STORED ">pub q1 id=1;hole;fin;" AGAIN, "" },
	{ "a connection that was forgotten", STORED ">pub q1 id=1;forgotten;" AGAIN, "" },
	{ "a connection that was reset", STORED ">pub q1 id=1;reset;" AGAIN, "client 5:MQTT-3.3.1-1" },
	{ "a broker's session seen whole", STORED ">sub f=a/b:1;<suback c=1;<pub q1 id=1;fin;" RESUMED "<pub q1 id=1", "broker 5:MQTT-3.3.1-1" },
	{ "a broker's session, by another port in between", STORED ">sub f=a/b:1;<suback c=1;<pub q1 id=1;fin;port=1884;" STORED "fin;" RESUMED "<pub q1 id=1", "" },

	/* what nobody asked for */
	{ "subscriptions that we have not seen", CON "<pub t=news;<pub q2 id=3;<pub t=news;<pub t=news/x", "note, note, note" },
	{ "a leading wildcard and $", CON ">sub f=#:1;<suback c=1;<pub t=$SYS/x;<pub t=a;<pub t=$SYS/y", "note" },
	{ "what was asked for once may come later", CON ">sub f=a/b:1;<suback c=1;>unsub f=a/b;<unsuback c=0;<pub", "" },
	{ "of a session that was not seen whole", RESUMED "<pub t=news", "" },
	{ "behind a hole", CON "hole;<pub t=news", "" },
	{ "of a connection joined midway", "midway;<pub t=news", "" },
	{ "behind the client's breach", CON ">pub dup;<pub t=news", "client 5:MQTT-3.3.1-2" },
	{ "many topics", CON "<pub t=a;<pub t=b;<pub t=c;<pub t=d;<pub t=e;<pub t=f", "note, note, note, note, note" },

	/* silence */
	{ "silence, then a packet", CON "wait=92;>ping", "client 5:MQTT-3.1.2-20" },
	{ "silence until both close", CON "wait=90;fin", "client 5:MQTT-3.1.2-20" },
	{ "silence until a reset proves nothing", CON "wait=90;reset", "" },
};

#define N_ROWS (sizeof(rows) / sizeof(*rows))

struct stage {
	struct paper paper;
	struct observer *check;
	struct conversation conversations[2];
	bool open[2];
	bool midway, inferred;
	uint16_t port;
	struct when now;
	char found[2000];
};

static void open_it(struct stage *s, unsigned i)
{
	struct conversation *c = &s->conversations[i];

	*c = seen_conversation(i + 1, MQTT_5);
	c->broker.port = s->port;
	c->from_start = !s->midway;
	c->version_known = !s->inferred;
	c->client_id = span_text("me");
	s->check->ops->opened(s->check, c, &s->now);
	s->open[i] = true;
	s->midway = s->inferred = false;
	s->port = 1883;
}

static void end_it(struct stage *s, unsigned i, bool reset, enum conversation_end how)
{
	struct conversation *c = &s->conversations[i];

	if (how != ENDED_FORGOTTEN) {
		s->check->ops->closed(s->check, c, FROM_SERVER, reset, &s->now);
		s->check->ops->closed(s->check, c, FROM_CLIENT, reset, &s->now);
	}
	s->check->ops->ended(s->check, c, how, &s->now);
	s->open[i] = false;
}

static bool takes(char **at, const char *word)
{
	size_t len = strlen(word);

	if (strncmp(*at, word, len) != 0)
		return false;
	*at += len;
	return true;
}

static void pass(struct stage *s, unsigned i, enum sender from, char *text)
{
	bool unsure = takes(&text, "unsure "), crossed = takes(&text, "crossed ");
	uint8_t bytes[2200];
	size_t len = shorthand_bytes(text, MQTT_5, bytes, sizeof(bytes));
	struct seen_packet seen;

	if (!s->open[i])
		open_it(s, i);
	seen = seen_packet(&s->conversations[i], from, span_of(bytes, len), s->now);
	seen.when.crossed = seen.first.crossed = crossed;
	seen.sure = !unsure;
	seen.confidence = unsure ? 70 : 100;
	s->check->ops->packet(s->check, &seen);
}

static void step(struct stage *s, char *at)
{
	struct hole hole = { .from = FROM_CLIENT, .why = HOLE_LOST, .bytes = 10, .when = s->now };
	unsigned i = *at == 'b' && (at[1] == '<' || at[1] == '>') ? at++, 1 : 0;

	s->now.frame++;
	if (takes(&at, ">")) {
		pass(s, i, FROM_CLIENT, at);
	} else if (takes(&at, "<")) {
		pass(s, i, FROM_SERVER, at);
	} else if (takes(&at, "hole")) {
		s->conversations[0].holed = true;
		s->check->ops->hole(s->check, &s->conversations[0], &hole);
	} else if (takes(&at, "wait=")) {
		s->now.time_ns += strtoull(at, NULL, 10) * 1000000000;
	} else if (takes(&at, "port=")) {
		s->port = (uint16_t)strtoul(at, NULL, 10);
	} else if (takes(&at, "midway")) {
		s->midway = true;
	} else if (takes(&at, "inferred")) {
		s->inferred = true;
	} else if (takes(&at, "forgotten")) {
		end_it(s, 0, false, ENDED_FORGOTTEN);
	} else if (takes(&at, "reset")) {
		end_it(s, 0, true, ENDED_BY_RESET);
	} else if (takes(&at, "fin")) {
		end_it(s, 0, false, ENDED_BY_FIN);
	} else {
		fail_msg("no such step: %s", at);
	}
}

static void play(struct stage *s, const char *script, const struct view_options *options, bool inline_notes, bool table)
{
	char *copy = strdup(script), *at = NULL;

	*s = (struct stage){ .port = 1883, .now = seen_at(1, 0) };
	paper_init(&s->paper);
	s->check = check_new(&s->paper.out, options, inline_notes, table);
	s->check->ops->started(s->check, &s->now);
	for (char *word = strtok_r(copy, ";", &at); word; word = strtok_r(NULL, ";", &at))
		step(s, word);
	for (unsigned i = 0; i < 2; i++)
		if (s->open[i])
			end_it(s, i, false, ENDED_FORGOTTEN);
	s->check->ops->finish(s->check, &s->now);
	free(copy);
}

static void leave(struct stage *s)
{
	view_free(s->check);
	paper_release(&s->paper);
}

/* The value of "NAME":"..." in the line. */
static size_t value_of(const char *line, const char *name, char *to, size_t cap)
{
	const char *at = strstr(line, name);
	size_t len;

	assert_non_null(at);
	at += strlen(name);
	len = strcspn(at, "\"");
	assert_true(len < cap);
	memcpy(to, at, len);
	to[len] = 0;
	return len;
}

static void is_asserted_as_written(void **state)
{
	const size_t row = (size_t)*state;
	struct view_options json = { .json = true };
	struct stage s;
	char *text, *at = NULL, side[16], rule[64];
	unsigned long n = 0;

	play(&s, rows[row].script, &json, true, false);
	text = strdup(paper_take(&s.paper));
	for (char *line = strtok_r(text, "\n", &at); line; line = strtok_r(NULL, "\n", &at)) {
		size_t len = strlen(s.found);

		if (!strncmp(line, "{\"kind\":\"note\"", 14)) {
			snprintf(s.found + len, sizeof(s.found) - len, "%snote", len ? ", " : "");
			continue;
		}
		n++;
		value_of(line, "\"side\":\"", side, sizeof(side));
		value_of(line, "\"rule\":\"", rule, sizeof(rule));
		snprintf(s.found + len, sizeof(s.found) - len, "%s%s %s", len ? ", " : "", side, rule);
	}
	assert_string_equal(s.found, rows[row].found);
	assert_int_equal(check_violations(s.check), n);
	free(text);
	leave(&s);
}

/* ---- what is written ---- */

#define WRONG ">connect clean method=m data=secret;<connack method=m tam=10;>pub t=x alias=12;<pong"

static void a_violation_is_a_line_below_its_packet(void **state)
{
	struct view_options options = { 0 };
	struct stage s;

	(void)state;
	play(&s, WRONG, &options, true, false);
	assert_string_equal(paper_take(&s.paper),
	                    "    f4  c1 \"me\" (client) 5:MQTT-3.2.2-17: topic alias 12 is above the 10 that CONNACK allowed; a topic alias is within the"
	                    " server's Topic Alias Maximum [byte 6]\n"
	                    "    from here on only the form of what the broker sends on c1 is judged\n");
	leave(&s);
}

static void without_packets_it_shows_its_own(void **state)
{
	struct view_options options = { 0 };
	struct stage s;

	(void)state;
	play(&s, ">connect as= clean method=m data=secret;>connect clean data=secret method=m", &options, false, false);
	const char *text = paper_take(&s.paper);
	assert_non_null(strstr(text, "(client) 5:MQTT-3.1.0-2: a second CONNECT"));
	assert_non_null(strstr(text, "\n    CONNECT clean_start"));
	assert_null(strstr(text, "secret"));
	leave(&s);
}

static void the_monitor_speaks_of_the_client(void **state)
{
	struct view_options options = { 0 };
	struct stage s;

	(void)state;
	play(&s, CON ">pub q2 id=1;<pubrec id=1;<pubcomp id=1", &options, true, false);
	const char *text = paper_take(&s.paper);
	assert_non_null(strstr(text, "(broker) 5:MQTT-4.3.3-11: PUBCOMP 1 before the client's PUBREL"));
	leave(&s);
}

static void what_nobody_asked_for_is_said_once(void **state)
{
	struct view_options options = { 0 };
	struct stage s;

	(void)state;
	play(&s, CON ">sub f=#:1;<suback c=1;<pub t=$JS/API/x;<pub t=$JS/y;<pub t=$JS/API/x", &options, true, false);
	assert_string_equal(paper_take(&s.paper),
	                    "    f6  c1 \"me\" note: 3 messages that no subscription seen here asks for, the first of them \"$JS/API/x\":"
	                    " the broker subscribed c1 by itself, or breaks 5:MQTT-3.3.2-3 or 5:MQTT-4.7.2-1\n");
	assert_int_equal(check_violations(s.check), 0);
	leave(&s);
}

static void the_table_counts(void **state)
{
	struct view_options text = { .clauses = true }, json = { .json = true };
	struct stage s;

	(void)state;
	play(&s, CON ">pub dup;>pub dup;>unsure ping", &text, true, true);
	const char *out = paper_take(&s.paper);
	assert_non_null(strstr(out, "\n\nclauses: 1 violated, "));
	assert_non_null(strstr(out, "5:MQTT-3.3.1-2             client         2 x f4 f5 "));
	assert_non_null(strstr(out, "5:MQTT-3.1.0-1             client         1 x   "));
	assert_non_null(strstr(out, "5:MQTT-3.2.0-1             broker         1 x   "));
	assert_non_null(strstr(out, "\nnot observable:\n"));
	assert_null(strstr(out, "3.1.1:"));
	leave(&s);
	play(&s, CON ">pub dup;>ping;<pong", &json, false, true);
	out = paper_take(&s.paper);
	assert_true(!strncmp(out, "{\"kind\":\"capture\"", 17));
	assert_non_null(strstr(out, "\n{\"kind\":\"clause\",\"rule\":\"5:MQTT-3.3.1-2\",\"outcome\":\"violated\",\"client\":{\"violated\":1,\"held\":0,\"frames\":[4]}"));
	assert_non_null(strstr(out, "\n{\"kind\":\"clause\",\"rule\":\"5:MQTT-4.6.0-2\",\"outcome\":\"not observable\""));
	leave(&s);
}

static void the_table_is_short(void **state)
{
	struct view_options text = { 0 };
	struct stage s;

	(void)state;
	play(&s, CON ">pub dup", &text, true, true);
	const char *out = paper_take(&s.paper);
	const char *table = strstr(out, "\n\nclauses: 1 violated, ");
	assert_non_null(table);
	assert_non_null(strstr(table, " not observable in this capture: -v lists them\nviolated:\n  5:MQTT-3.3.1-2             client         1 x f4   "));
	assert_null(strstr(table, "held:"));
	assert_null(strstr(table, "observable:"));
	leave(&s);
	play(&s, CON ">ping;<pong", &text, false, true);
	assert_true(!strncmp(paper_take(&s.paper), "clauses: 0 violated, ", 21));	/* nothing is above it */
	leave(&s);
}

int main(void)
{
	static struct CMUnitTest tests[N_ROWS];
	static const struct CMUnitTest others[] = {
		cmocka_unit_test(a_violation_is_a_line_below_its_packet),
		cmocka_unit_test(without_packets_it_shows_its_own),
		cmocka_unit_test(the_monitor_speaks_of_the_client),
		cmocka_unit_test(what_nobody_asked_for_is_said_once),
		cmocka_unit_test(the_table_counts),
		cmocka_unit_test(the_table_is_short),
	};

	for (size_t i = 0; i < N_ROWS; i++)
		tests[i] = (struct CMUnitTest){ .name = rows[i].name, .test_func = is_asserted_as_written, .initial_state = (void *)i };
	int failed = _cmocka_run_group_tests("conversations", tests, N_ROWS, NULL, NULL);
	return failed | cmocka_run_group_tests(others, NULL, NULL);
}

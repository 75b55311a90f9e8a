#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "pcap/connections.h"
#include "pcap/tests/seen_script.h"

/* The views of connections, QoS flows and topics: what rows say of scripts. */

typedef struct observer *make_view(struct out *out, const struct view_options *options);

static const char *play(struct paper *paper, make_view *make, bool json, const char *script)
{
	struct view_options options = { .json = json };

	paper_init(paper);
	struct observer *view = make(&paper->out, &options);
	assert_non_null(view);
	script_play(view, script);
	view_free(view);
	return paper_take(paper);
}

#define CLIENT(n, id) "0 c" n " opens 5\n1 c" n " -> CONNECT clean_start client_id=\"" id "\"\n2 c" n " <- CONNACK session_present=0 reason=0\n"
#define OLD(n, id) "0 c" n " opens 3.1.1\n1 c" n " -> CONNECT keep_alive=10 client_id=\"" id "\"\n2 c" n " <- CONNACK session_present=0 reason=0\n"

static const struct row {
	make_view *make;
	const char *name, *script, *says[5];	/* one that begins with '!' must not be there */
} rows[] = {
	/* ---- connections ---- */
	{ connections_view_new, "who it was", "0 c1 opens 5\n1 c1 -> CONNECT clean_start keep_alive=60 session_expiry_interval=30 client_id=\"a\" user_name=\"u\" password=\"p\" "
	  "will.topic=\"w\" will.qos=1 will.retain=1 will.delay_interval=5 will.payload=\"bye\"\n3 c1 <- CONNACK session_present=0 reason=0 server_keep_alive=20 session_expiry_interval=10\n",
	  { "\"client\":\"a\",\"client_address\":\"10.0.0.1:50001\"", "\"keep_alive\":60,\"session_expiry_interval\":30,\"user_name\":true,\"password\":true",
	    "\"will\":{\"topic\":\"w\",\"qos\":1,\"retain\":true,\"delay_interval\":5,\"payload_bytes\":3}",
	    "\"after\":0.002000000,\"reason\":0,\"reason_name\":\"Success\",\"session_present\":false,\"server_keep_alive\":20,\"session_expiry_interval\":10",
	    "\"ended\":{\"how\":\"capture_ended\",\"by\":null,\"derived\":false" } },
	{ connections_view_new, "an assigned client id", "0 c1 opens 5\n1 c1 -> CONNECT clean_start\n3 c1 <- CONNACK session_present=0 reason=0 assigned_client_identifier=\"srv-1\"\n",
	  { "\"client\":\"srv-1\"", "\"client_id_assigned\":true" } },
	{ connections_view_new, "no CONNECT", "0 c1 opens 5 unseen\n1 c1 -> PINGREQ\n", { "\"version_known\":false,\"from_start\":false", "\"connect\":null,\"connack\":null" } },
	{ connections_view_new, "refused", "0 c1 opens 5\n1 c1 -> CONNECT clean_start client_id=\"a\"\n2 c1 <- CONNACK session_present=0 reason=0x87\n3 c1 closed broker\n3 c1 ends fin\n",
	  { "\"how\":\"refused\",\"by\":\"broker\",\"derived\":false", "\"reason\":135,\"reason_name\":\"Not_authorized\"", "\"broker_fin\":{" } },
	{ connections_view_new, "refused by a return code", "0 c1 opens 3.1.1\n1 c1 -> CONNECT clean_start client_id=\"a\"\n2 c1 <- CONNACK session_present=0 reason=5\n",
	  { "\"how\":\"refused\"", "\"reason\":5,\"reason_name\":\"Not_authorized\"" } },
	{ connections_view_new, "the client disconnects", CLIENT("1", "a") "5 c1 -> DISCONNECT reason=0x04\n6 c1 closed client\n6 c1 closed broker\n6 c1 ends fin\n",
	  { "\"how\":\"disconnect\",\"by\":\"client\"", "\"reason\":4,\"reason_name\":\"Disconnect_with_Will_Message\"", "\"client_fin\":{" } },
	{ connections_view_new, "the broker disconnects", CLIENT("1", "a") "5 c1 <- DISCONNECT reason=0x8b\n6 c1 closed broker\n6 c1 ends fin\n",
	  { "\"how\":\"disconnect\",\"by\":\"broker\"", "\"reason_name\":\"Server_shutting_down\"" } },
	{ connections_view_new, "DISCONNECT of 3.1.1 has no reason", OLD("1", "a") "5 c1 -> DISCONNECT\n6 c1 ends fin\n", { "\"how\":\"disconnect\",\"by\":\"client\",\"derived\":false,\"at\":{\"frame\":4,\"time\":0.005000000}}" } },
	{ connections_view_new, "who closed first", OLD("1", "a") "5 c1 closed broker\n6 c1 closed client\n6 c1 ends fin\n", { "\"how\":\"fin\",\"by\":\"broker\"" } },
	{ connections_view_new, "reset by the client", OLD("1", "a") "5 c1 closed client reset\n6 c1 ends reset\n", { "\"how\":\"reset\",\"by\":\"client\"", "\"client_reset\":{" } },
	{ connections_view_new, "silent for one and a half keep alives", OLD("1", "a") "5000 c1 -> PINGREQ\n5001 c1 <- PINGRESP\n20001 c1 closed broker\n20002 c1 ends fin\n",
	  { "\"how\":\"keep_alive_expired\",\"by\":\"broker\",\"derived\":true" } },
	{ connections_view_new, "not silent enough", OLD("1", "a") "5000 c1 -> PINGREQ\n5001 c1 <- PINGRESP\n18000 c1 closed broker\n20002 c1 ends fin\n", { "\"how\":\"fin\",\"by\":\"broker\"" } },
	{ connections_view_new, "silent, but the client closes", OLD("1", "a") "20001 c1 closed client\n20002 c1 ends fin\n", { "\"how\":\"fin\",\"by\":\"client\"" } },
	{ connections_view_new, "silent behind a hole", OLD("1", "a") "5 c1 hole client\n20001 c1 closed broker\n20002 c1 ends fin\n", { "\"how\":\"fin\",\"by\":\"broker\"", "\"holes\":{\"count\":1,\"missing_bytes\":10" } },
	{ connections_view_new, "the broker's keep alive counts", "0 c1 opens 5\n1 c1 -> CONNECT clean_start keep_alive=0 client_id=\"a\"\n2 c1 <- CONNACK session_present=0 reason=0 server_keep_alive=4\n"
	  "6003 c1 closed broker\n6003 c1 ends fin\n", { "\"how\":\"keep_alive_expired\"" } },
	{ connections_view_new, "keep alive 0 never expires", "0 c1 opens 5\n1 c1 -> CONNECT clean_start keep_alive=0 client_id=\"a\"\n2 c1 <- CONNACK session_present=0 reason=0\n"
	  "90000 c1 closed broker\n90000 c1 ends fin\n", { "\"how\":\"fin\"" } },
	{ connections_view_new, "taken over", OLD("1", "a") "9 c2 opens 3.1.1\n10 c2 -> CONNECT client_id=\"a\"\n11 c1 closed broker\n11 c1 ends fin\n12 c2 <- CONNACK session_present=1 reason=0\n",
	  { "\"how\":\"taken_over\",\"by\":\"broker\",\"derived\":true", "\"taken_over_by\":2", "\"session_present\":true" } },
	{ connections_view_new, "the client comes back after the broker closed", OLD("1", "a") "5 c1 -> PINGREQ\n9 c1 closed broker\n9 c2 opens 3.1.1\n10 c2 -> CONNECT client_id=\"a\"\n11 c1 ends fin\n",
	  { "!\"taken_over\",\"by\"", "\"how\":\"fin\",\"by\":\"broker\"" } },
	{ connections_view_new, "and after it was silent for too long", OLD("1", "a") "20001 c1 closed broker\n20002 c2 opens 3.1.1\n20002 c2 -> CONNECT client_id=\"a\"\n20003 c1 ends fin\n",
	  { "!\"taken_over\",\"by\"", "\"how\":\"keep_alive_expired\",\"by\":\"broker\",\"derived\":true" } },
	{ connections_view_new, "taken over, and told", CLIENT("1", "a") "9 c2 opens 5\n10 c2 -> CONNECT client_id=\"a\"\n11 c1 <- DISCONNECT reason=0x8e\n11 c1 ends fin\n",
	  { "\"how\":\"taken_over\",\"by\":\"broker\",\"derived\":false", "\"reason_name\":\"Session_taken_over\",\"taken_over_by\":2" } },
	{ connections_view_new, "the same client id at another broker", OLD("1", "a") "9 c2 opens 3.1.1 at 1884\n10 c2 -> CONNECT client_id=\"a\"\n11 c1 closed broker\n11 c1 ends fin\n",
	  { "!taken_over\",\"by\":\"broker\"", "\"how\":\"fin\",\"by\":\"broker\"" } },
	{ connections_view_new, "ports used anew", OLD("1", "a") "9 c1 ends replaced\n", { "\"how\":\"ports_reused\",\"by\":null" } },
	{ connections_view_new, "subscriptions", CLIENT("1", "a") "3 c1 -> SUBSCRIBE packet_id=1 (\"x\" qos=2 no_local, \"y\" qos=1, \"z\")\n4 c1 <- SUBACK packet_id=1 reason=[1 0x87 0]\n"
	  "5 c1 -> UNSUBSCRIBE packet_id=2 (\"z\")\n6 c1 <- UNSUBACK packet_id=2 reason=[0]\n7 c1 -> SUBSCRIBE packet_id=3 (\"w\", \"x\" qos=2)\n8 c1 <- SUBACK packet_id=3 reason=[0 2]\n",
	  { "{\"filter\":\"x\",\"qos\":2,\"code\":2,\"granted\":true,\"no_local\":false", "{\"filter\":\"y\",\"qos\":1,\"code\":135,\"granted\":false",
	    "{\"filter\":\"z\",\"qos\":0,\"code\":0,\"granted\":true,\"no_local\":false,\"retain_as_published\":false,\"unsubscribed\":true}", "{\"filter\":\"w\",\"qos\":0,\"code\":0", "\"subscriptions_seen\":4" } },
	{ connections_view_new, "packets and bytes each way", CLIENT("1", "a") "5 c1 -> PINGREQ\n6 c1 <- PINGRESP\n7 c1 -> PINGREQ\n",
	  { "\"sent\":{\"packets\":3,\"bytes\":20},\"received\":{\"packets\":2,\"bytes\":7}", "\"lasted\":0.007000000" } },

	/* ---- QoS flows ---- */
	{ qos_view_new, "QoS 1 from a client", CLIENT("1", "a") "3 c1 -> PUBLISH topic=\"t\" qos=1 packet_id=7\n5 c1 <- PUBACK packet_id=7\n",
	  { "{\"kind\":\"qos\",\"connection\":1,\"client\":\"a\",\"packet\":\"PUBLISH\",\"from\":\"client\",\"qos\":1,\"count\":1,\"completed\":1,\"failed\":0,\"resent\":0,\"resumed\":0,\"hanging\":0,\"unknown\":0,"
	    "\"took\":{\"count\":1,\"min\":0.002000000", "\"took\":{\"puback\":{\"count\":1", "!qos_hanging" } },
	{ qos_view_new, "the same packet id both ways", CLIENT("1", "a") "3 c1 -> PUBLISH topic=\"t\" qos=1 packet_id=7\n3 c1 <- PUBLISH topic=\"t\" qos=1 packet_id=7\n4 c1 -> PUBACK packet_id=7\n5 c1 <- PUBACK packet_id=7\n",
	  { "\"from\":\"client\",\"qos\":1,\"count\":1,\"completed\":1", "\"from\":\"broker\",\"qos\":1,\"count\":1,\"completed\":1", "\"strays\":0" } },
	{ qos_view_new, "QoS 2, each of its times", CLIENT("1", "a") "3 c1 <- PUBLISH topic=\"t\" qos=2 packet_id=7\n4 c1 -> PUBREC packet_id=7\n6 c1 <- PUBREL packet_id=7\n10 c1 -> PUBCOMP packet_id=7\n",
	  { "\"pubrec\":{\"count\":1,\"min\":0.001000000", "\"pubrel\":{\"count\":1,\"min\":0.002000000", "\"pubrel_to_pubcomp\":{\"count\":1,\"min\":0.004000000", "\"pubcomp\":{\"count\":1,\"min\":0.007000000" } },
	{ qos_view_new, "hanging in each state", CLIENT("1", "a") "3 c1 <- PUBLISH topic=\"t\" qos=2 packet_id=1\n3 c1 <- PUBLISH topic=\"t\" qos=2 packet_id=2\n3 c1 <- PUBLISH topic=\"t\" qos=2 packet_id=3\n"
	  "4 c1 -> PUBREC packet_id=2\n4 c1 -> PUBREC packet_id=3\n5 c1 <- PUBREL packet_id=3\n",
	  { "\"state\":\"published\",\"packet_id\":1,\"waits_for\":\"PUBREC\",\"began\":{\"frame\":4,\"time\":0.003000000}", "\"state\":\"received\",\"packet_id\":2,\"waits_for\":\"PUBREL\"",
	    "\"state\":\"released\",\"packet_id\":3,\"waits_for\":\"PUBCOMP\"", "\"until\":\"capture_over\"", "\"count\":3,\"completed\":0,\"failed\":0,\"resent\":0,\"resumed\":0,\"hanging\":3" } },
	{ qos_view_new, "resent", CLIENT("1", "a") "3 c1 -> PUBLISH topic=\"t\" qos=1 packet_id=7\n4 c1 -> PUBLISH topic=\"t\" dup qos=1 packet_id=7\n6 c1 <- PUBACK packet_id=7\n",
	  { "\"count\":1,\"completed\":1,\"failed\":0,\"resent\":1", "\"min\":0.003000000" } },
	{ qos_view_new, "goes on in the same session", "0 c1 opens 5\n1 c1 -> CONNECT session_expiry_interval=9 client_id=\"a\"\n2 c1 <- CONNACK session_present=0 reason=0\n3 c1 -> PUBLISH topic=\"t\" qos=1 packet_id=7\n"
	  "4 c1 closed client\n4 c1 ends fin\n5 c2 opens 5\n6 c2 -> CONNECT session_expiry_interval=9 client_id=\"a\"\n7 c2 <- CONNACK session_present=1 reason=0\n8 c2 -> PUBLISH topic=\"t\" dup qos=1 packet_id=7\n"
	  "9 c2 <- PUBACK packet_id=7\n", { "\"connection\":1,\"client\":\"a\",\"packet\":\"PUBLISH\",\"from\":\"client\",\"qos\":1,\"count\":1,\"completed\":1,\"failed\":0,\"resent\":1,\"resumed\":1", "!qos_hanging" } },
	{ qos_view_new, "the session is gone", "0 c1 opens 5\n1 c1 -> CONNECT session_expiry_interval=9 client_id=\"a\"\n2 c1 <- CONNACK session_present=0 reason=0\n3 c1 -> PUBLISH topic=\"t\" qos=1 packet_id=7\n"
	  "4 c1 ends fin\n5 c2 opens 5\n6 c2 -> CONNECT session_expiry_interval=9 client_id=\"a\"\n7 c2 <- CONNACK session_present=0 reason=0\n", { "\"kind\":\"qos_hanging\",\"connection\":1", "\"until\":\"session_over\"" } },
	{ qos_view_new, "a session that ends with its connection", CLIENT("1", "a") "3 c1 -> PUBLISH topic=\"t\" qos=1 packet_id=7\n4 c1 ends fin\n", { "\"until\":\"session_over\"" } },
	{ qos_view_new, "nothing is said across a hole", CLIENT("1", "a") "3 c1 -> PUBLISH topic=\"t\" qos=1 packet_id=7\n4 c1 hole broker\n", { "\"hanging\":0,\"unknown\":1", "!qos_hanging" } },
	{ qos_view_new, "nor timed", CLIENT("1", "a") "3 c1 -> PUBLISH topic=\"t\" qos=1 packet_id=7\n4 c1 hole client\n5 c1 <- PUBACK packet_id=7\n", { "\"completed\":1", "\"took\":null" } },
	{ qos_view_new, "an id used again too early", CLIENT("1", "a") "3 c1 -> PUBLISH topic=\"t\" qos=1 packet_id=7\n4 c1 -> PUBLISH topic=\"u\" qos=1 packet_id=7\n5 c1 <- PUBACK packet_id=7\n",
	  { "\"until\":\"id_reused\"", "\"count\":2,\"completed\":1" } },
	{ qos_view_new, "an error ends the exchange", CLIENT("1", "a") "3 c1 -> PUBLISH topic=\"t\" qos=2 packet_id=7\n4 c1 <- PUBREC packet_id=7 reason=0x97\n",
	  { "\"completed\":1,\"failed\":1", "{\"kind\":\"qos_failure\",\"packet\":\"PUBREC\",\"reason\":151,\"reason_name\":\"Quota_exceeded\",\"count\":1}", "!qos_hanging" } },
	{ qos_view_new, "acknowledgements of what was not seen", "0 c1 opens 5 unseen\n3 c1 <- PUBACK packet_id=7\n3 c1 -> PUBCOMP packet_id=7\n", { "\"strays\":2" } },
	{ qos_view_new, "the wrong kind of acknowledgement", CLIENT("1", "a") "3 c1 -> PUBLISH topic=\"t\" qos=2 packet_id=7\n4 c1 <- PUBACK packet_id=7\n", { "\"strays\":1", "\"waits_for\":\"PUBREC\"" } },
	{ qos_view_new, "requests", CLIENT("1", "a") "3 c1 -> SUBSCRIBE packet_id=1 (\"x\")\n5 c1 <- SUBACK packet_id=1 reason=[0]\n6 c1 -> UNSUBSCRIBE packet_id=1 (\"x\")\n",
	  { "\"packet\":\"SUBSCRIBE\",\"from\":\"client\",\"count\":1,\"completed\":1", "\"suback\":{\"count\":1,\"min\":0.002000000", "\"packet\":\"UNSUBSCRIBE\",\"from\":\"client\",\"packet_id\":1,\"waits_for\":\"UNSUBACK\"" } },

	/* ---- topics ---- */
	{ topics_view_new, "both directions apart", CLIENT("1", "a") "1000 c1 -> PUBLISH topic=\"t\" retain payload=\"xyz\"\n3000 c1 -> PUBLISH topic=\"t\" dup qos=1 packet_id=1 payload=\"x\"\n3000 c1 <- PUBLISH topic=\"t\" qos=2 packet_id=1\n",
	  { "{\"kind\":\"topic\",\"from\":\"client\",\"topic\":\"t\",\"count\":2,\"payload_bytes\":4,\"per_second\":0.500000000,\"qos\":[1,1,0],\"retain\":1,\"resent\":1,\"connections\":1,\"connections_exact\":true",
	    "{\"kind\":\"topic\",\"from\":\"broker\",\"topic\":\"t\",\"count\":1,\"payload_bytes\":0,\"per_second\":null,\"qos\":[0,0,1]" } },
	{ topics_view_new, "an alias without its topic", CLIENT("1", "a") "1 c1 -> PUBLISH topic=\"\" topic_alias=1\n", { "{\"kind\":\"topic_unresolved\",\"from\":\"client\",\"count\":1", "!\"kind\":\"topic\"" } },
	{ topics_view_new, "a topic that is no UTF-8", CLIENT("1", "a") "1 c1 -> PUBLISH topic=hex\"61 ff\"\n", { "\"topic_base64\":\"Yf8=\"" } },
};

static void says(void **state)
{
	const struct row *row = *state;
	struct paper paper;
	const char *text = play(&paper, row->make, true, row->script);

	for (size_t i = 0; i < sizeof(row->says) / sizeof(row->says[0]) && row->says[i]; i++) {
		bool not = row->says[i][0] == '!';

		if (not == !!strstr(text, row->says[i] + not))
			fail_msg("%s %s in %s", not ? "found" : "no", row->says[i] + not, text);
	}
	paper_release(&paper);
}

static void connections_as_text(void **state)
{
	struct paper paper;

	(void)state;
	assert_string_equal(play(&paper, connections_view_new, false,
		"0 c1 opens 5\n1 c1 -> CONNECT clean_start keep_alive=60 client_id=\"dash\\x1b-1\" user_name=\"u\" will.topic=\"w\" will.qos=1 will.payload=\"b\"\n"
		"3 c1 <- CONNACK session_present=0 reason=0\n4 c2 opens 3.1.1 unseen\n5 c2 -> PINGREQ\n"
		"6 c1 -> SUBSCRIBE packet_id=1 (\"plant/+/temp\" qos=2)\n7 c1 <- SUBACK packet_id=1 reason=[1]\n8 c1 -> DISCONNECT\n9 c1 ends fin\n"),
		"NAME         OPENED  CLIENT ID               MQTT     KEEP    SENT  BYTES  RECEIVED  BYTES  LASTED  ENDED BY\n"
		"c1         0.000000  dash\\x1b-1              5          60       3     54         2     11  8.00ms  client, DISCONNECT\n"
		"       tcp 10.0.0.1:50001 -> [::1]:1883, frame 1; CONNACK after 2.00ms\n"
		"       clean start, with user name\n"
		"       will qos 1, 1 byte: w\n"
		"       subscribed qos 2 granted 1: plant/+/temp\n"
		"       DISCONNECT Normal_disconnection, frame 8\n"
		"c2         0.004000  -                       3.1.1?      -       1      2         0      0  1.00ms  the capture\n"
		"       tcp 10.0.0.1:50002 -> [::1]:1883, frame 4; CONNECT not captured\n");
	paper_release(&paper);
}

/* As a client of 5 gets it from a broker of 3.1.1. */
static void names_a_connack_that_cannot_be_read(void **state)
{
	static const uint8_t connack[] = { 0x20, 0x02, 0x00, 0x01 };
	struct paper paper;
	struct view_options options = { 0 };
	struct seen_script s;

	(void)state;
	paper_init(&paper);
	struct observer *view = connections_view_new(&paper.out, &options);
	script_start(&s, view);
	script_line(&s, "0 c1 opens 5");
	script_line(&s, "1 c1 -> CONNECT clean_start client_id=\"a\"");
	struct seen_packet seen = seen_packet(&s.conversations[1], FROM_SERVER, span_of(connack, sizeof(connack)), seen_at(7, 2000000));
	view->ops->packet(view, &seen);
	script_finish(&s);
	const char *text = paper_take(&paper);
	if (!strstr(text, "; CONNACK unreadable, frame 7\n"))
		fail_msg("%s", text);
	view_free(view);
	paper_release(&paper);
}

/* Who sends and gets the most, whatever the order of their ends; of equals the first. Of no more than are listed the rows say it. */
static void ranks_connections(void **state)
{
	static const char *const ends[] = { "c5 ends fin", "c2 ends fin", "c7 ends reset" };
	struct paper paper;
	struct seen_script s;
	char line[64];

	(void)state;
	for (unsigned n = MOST_RANKED; n <= MOST_RANKED + 2; n++) {
		struct view_options options = { .live = n == MOST_RANKED + 2 };

		paper_init(&paper);
		struct observer *view = connections_view_new(&paper.out, &options);
		script_start(&s, view);
		for (unsigned c = 1; c <= n; c++) {
			snprintf(line, sizeof(line), "0 c%u opens 5%s", c, c == 6 ? " unseen" : "");
			script_line(&s, line);
			snprintf(line, sizeof(line), c == 6 ? "1 c%u -> PINGREQ" : "1 c%u -> CONNECT client_id=\"id%u\"", c, c);
			script_line(&s, line);
			for (unsigned i = 0; i < c % 4; i++) {
				snprintf(line, sizeof(line), "2 c%u -> PINGREQ", c);
				script_line(&s, line);
			}
		}
		script_line(&s, "3 c2 -> PUBLISH topic=\"a\" payload=\"0123456789012345678901234567890123456789\"");
		script_line(&s, "3 c4 <- PINGRESP");
		for (unsigned i = 0; i < 3 && n == MOST_RANKED + 2; i++) {
			snprintf(line, sizeof(line), "4 %s", ends[i]);
			script_line(&s, line);
		}
		script_finish(&s);
		view_free(view);
		const char *ranks = strstr(paper_take(&paper), "\nMOST ");
		if (n == MOST_RANKED)
			assert_null(ranks);
		else
			assert_string_equal(ranks, n == MOST_RANKED + 1 ?
				"\nMOST PACKETS SENT  MOST BYTES SENT  MOST PACKETS RECEIVED  MOST BYTES RECEIVED\n"
				"4 c2 id2           68 c2 id2        1 c4 id4               2 c4 id4\n"
				"4 c3 id3           24 c3 id3        -                      -\n"
				"3 c6 -             20 c1 id1        -                      -\n"
				"2 c1 id1           20 c5 id5        -                      -\n"
				"2 c5 id5           18 c4 id4        -                      -\n" :
				"\nMOST PACKETS SENT  MOST BYTES SENT  MOST PACKETS RECEIVED  MOST BYTES RECEIVED\n"
				"4 c2 id2           68 c2 id2        1 c4 id4               2 c4 id4\n"
				"4 c3 id3           24 c3 id3        -                      -\n"
				"4 c7 id7           24 c7 id7        -                      -\n"
				"3 c6 -             20 c1 id1        -                      -\n"
				"2 c1 id1           20 c5 id5        -                      -\n");
		paper_release(&paper);
	}
}

static void live_rows_come_at_once(void **state)
{
	struct paper paper;
	struct view_options options = { .live = true };
	struct seen_script s;

	(void)state;
	paper_init(&paper);
	struct observer *view = connections_view_new(&paper.out, &options);
	script_start(&s, view);
	script_line(&s, "0 c1 opens 5");
	script_line(&s, "0 c2 opens 5");
	script_line(&s, "1 c2 ends fin");
	assert_non_null(strstr(paper_take(&paper), "c2 "));
	script_finish(&s);
	const char *rest = paper_take(&paper);
	assert_non_null(strstr(rest, "c1 "));
	assert_null(strstr(rest, "c2 "));
	view_free(view);
	paper_release(&paper);
}

static void qos_as_text(void **state)
{
	struct paper paper;

	(void)state;
	assert_string_equal(play(&paper, qos_view_new, false,
		CLIENT("1", "a") "3 c1 -> PUBLISH topic=\"t\" qos=1 packet_id=7\n5 c1 <- PUBACK packet_id=7\n6 c1 <- PUBLISH topic=\"t/2\" qos=2 packet_id=9\n7 c1 <- PUBLISH topic=\"t/2\" dup qos=2 packet_id=9\n"),
		"NAME  CLIENT ID  EXCHANGE      COUNT  DONE  FAILED  RESENT  OPEN  ?     P50     P99     MAX\n"
		"c1    a          client QoS 1      1     1       0       0     0  0  2.00ms  2.00ms  2.00ms\n"
		"c1    a          broker QoS 2      1     0       0       1     1  0       -       -       -\n"
		"\n"
		"All connections\n"
		"EXCHANGE      TIME FROM          COUNT     MIN     P50     P99     MAX\n"
		"client QoS 1  PUBLISH to PUBACK      1  2.00ms  2.00ms  2.00ms  2.00ms\n"
		"\n"
		"Not completed\n"
		"NAME  CLIENT ID  EXCHANGE      ID  WAITS FOR     BEGAN  FRAME  LAST  RESENT  UNTIL          TOPIC\n"
		"c1    a          broker QoS 2   9  PUBREC     0.006000      6     7       1  capture's end  t/2\n");
	paper_release(&paper);
}

static void topics_as_text(void **state)
{
	struct paper paper;

	(void)state;
	assert_string_equal(play(&paper, topics_view_new, false,
		CLIENT("1", "a") "1000 c1 -> PUBLISH topic=\"t/1\" payload=\"xyz\"\n2000 c1 -> PUBLISH topic=\"t/2\" payload=\"xyz\"\n3000 c1 -> PUBLISH topic=\"t/2\" retain payload=\"x\"\n"),
		"Published by clients\n"
		"COUNT  PER SECOND  PAYLOAD  QOS 0  QOS 1  QOS 2  RETAIN  RESENT  BY      LAST  TOPIC\n"
		"    2        1.00        4      2      0      0       1       0   1  3.000000  t/2\n"
		"    1           -        3      1      0      0       0       0   1  1.000000  t/1\n"
		"    3        1.00        7      3      0      0       1       0   1  3.000000  (all)\n"
		"\n"
		"Delivered by brokers\n"
		"none\n");
	paper_release(&paper);
}

/* More topics than have room: none is forgotten in the sum, and the table says that it is not whole. */
static void topics_are_bounded(void **state)
{
	enum { MANY = 50200 };
	struct paper paper;
	struct view_options options = { .json = true };
	struct seen_script s;
	unsigned rows_shown = 0;

	(void)state;
	paper_init(&paper);
	struct observer *view = topics_view_new(&paper.out, &options);
	script_start(&s, view);
	script_line(&s, "0 c1 opens 5");
	for (unsigned i = 0; i < MANY; i++) {
		char topic[16];
		uint8_t bytes[32] = { 0x30 };
		size_t n = (size_t)snprintf(topic, sizeof(topic), "t/%u", i);

		bytes[1] = (uint8_t)(3 + n);
		bytes[3] = (uint8_t)n;
		memcpy(bytes + 4, topic, n);
		struct seen_packet seen = seen_packet(&s.conversations[1], FROM_CLIENT, span_of(bytes, 5 + n), s.now);
		view->ops->packet(view, &seen);
	}
	script_finish(&s);
	view_free(view);
	const char *text = paper_take(&paper);
	for (const char *at = text; at; at = (at = strchr(at, '\n')) ? at + 1 : NULL)
		rows_shown += !strncmp(at, "{\"kind\":\"topic\"", 15);
	assert_int_equal(rows_shown, 50000);
	assert_non_null(strstr(text, "{\"kind\":\"topic_others\",\"from\":\"client\",\"count\":200,"));
	assert_non_null(strstr(text, "{\"kind\":\"topic_all\",\"from\":\"client\",\"count\":50200,"));
	paper_release(&paper);
}

/* Whatever comes, an exchange was completed, hangs, or cannot be judged; every connection has a row. */
static void anything_adds_up(void **state)
{
	static make_view *const views[] = { connections_view_new, qos_view_new, topics_view_new };
	unsigned long long count, completed, hanging, unknown, all, n_all = 0, n_rows;

	(void)state;
	for (size_t i = 0; i < 6; i++) {
		struct paper paper;
		struct view_options options = { .json = i % 2 };

		paper_init(&paper);
		struct observer *view = views[i / 2](&paper.out, &options);
		assert_non_null(view);
		script_anything(view, 30000);
		view_free(view);
		n_rows = 0;
		for (const char *at = paper_take(&paper), *end; options.json && (end = strchr(at, '\n')); at = end + 1) {
			char line[16384] = "";

			memcpy(line, at, (size_t)(end - at) < sizeof(line) ? (size_t)(end - at) : sizeof(line) - 1);
			n_rows += !strncmp(line, "{\"kind\":\"connection\",", 21);
			if (sscanf(line, "{\"kind\":\"connection_all\",\"count\":%llu", &all) == 1)
				assert_int_equal(all, n_rows);
			if (strncmp(line, "{\"kind\":\"qos_all\",", 18))
				continue;
			n_all++;
			assert_int_equal(sscanf(strstr(line, "\"count\""), "\"count\":%llu,\"completed\":%llu", &count, &completed), 2);
			assert_int_equal(sscanf(strstr(line, "\"hanging\""), "\"hanging\":%llu,\"unknown\":%llu", &hanging, &unknown), 2);
			assert_int_equal(count, completed + hanging + unknown);
		}
		paper_release(&paper);
	}
	assert_int_equal(n_all, 6);
}

int main(void)
{
	enum { N = sizeof(rows) / sizeof(rows[0]), MORE = 8 };
	struct CMUnitTest tests[N + MORE], more[MORE] = {
		cmocka_unit_test(connections_as_text), cmocka_unit_test(names_a_connack_that_cannot_be_read), cmocka_unit_test(ranks_connections),
		cmocka_unit_test(live_rows_come_at_once), cmocka_unit_test(qos_as_text), cmocka_unit_test(topics_as_text),
		cmocka_unit_test(topics_are_bounded), cmocka_unit_test(anything_adds_up),
	};

	for (size_t i = 0; i < N; i++)
		tests[i] = (struct CMUnitTest){ .name = rows[i].name, .test_func = says, .initial_state = (void *)(uintptr_t)&rows[i] };
	memcpy(tests + N, more, sizeof(more));
	return cmocka_run_group_tests_name("views", tests, NULL, NULL);
}

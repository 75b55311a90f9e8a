#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "harness/conduct.h"
#include "harness/tests/puppet.h"

/* What the engine makes of a scenario, a target and their course: a row is scenario, part of the puppet, verdict. */

#define HEAD "scenario \"a test\"\nmqtt 3.1.1\ncites 3.1.1 MQTT-3.12.4-1\n"
#define HEAD5 "scenario \"a test\"\nmqtt 5\ncites 5 MQTT-3.12.4-1\n"
#define TWO "scenario \"a test\"\nmqtt 3.1.1\ncites 3.1.1 MQTT-3.12.4-1 MQTT-3.3.4-1\n"

/* A delivery of "m" on topic t, QoS 0 and 1 (id 1, then 2). */
#define M0 "30 04 00 01 74 6d"
#define M1 "32 06 00 01 74 00 01 6d"
#define M2 "32 06 00 01 74 00 02 6e"

/* A PUBLISH of 64 bytes. */
#define EIGHT "78 78 78 78 78 78 78 78"
#define BIG "30 3e 00 01 74 78 78 78" EIGHT EIGHT EIGHT EIGHT EIGHT EIGHT EIGHT

struct row {
	const char *name, *scenario;
	enum verdict verdict;
	const char *rule;		/* NULL: none */
	unsigned line;			/* of the step that decided; 0: not looked at */
	const char *because;		/* stands in because, received or reason; NULL: not looked at */
	struct puppet_row part[6];
};

static const struct row rows[] = {
	{ "a step that judges and fits passes", HEAD "a connects\na -> PINGREQ\na <- PINGRESP\n", VERDICT_PASS },
	{ "another packet of the kind fails at once", HEAD "a connects\na -> PUBLISH qos=1 packet_id=7\na <- PUBREC packet_id=7\n",
	  VERDICT_FAIL, "MQTT-3.12.4-1", 6, "expected PUBREC" },
	{ "another value fails and is named", HEAD "a connects\na -> PUBLISH qos=1 packet_id=7\na <- PUBACK packet_id=(8 | 9)\n",
	  VERDICT_FAIL, "MQTT-3.12.4-1", 6, "packet_id: expected (8 | 9), received 7" },
	{ "an answer for an id that is not open fails at once", HEAD "a connects\na -> PUBLISH qos=1 packet_id=7\na <- PUBACK packet_id=7\n",
	  VERDICT_FAIL, "MQTT-3.12.4-1", 6, "not one that waits", { { PUPPET_SAY, PUBLISH, "40 02 00 08" } } },
	{ "an answer for another open id waits for its step",
	  HEAD "a connects\na -> PUBLISH qos=1 packet_id=1\na -> PUBLISH qos=1 packet_id=2\na <- PUBACK packet_id=2\na <- PUBACK packet_id=1\n",
	  VERDICT_PASS },
	{ "silence fails when the target answers a ping", HEAD "a connects\na -> PUBLISH qos=1 packet_id=7\na <- PUBACK packet_id=7\n",
	  VERDICT_FAIL, "MQTT-3.12.4-1", 6, "no PUBACK came in time", { { PUPPET_SAY, PUBLISH, "" } } },
	{ "silence is not proof when nothing answers", HEAD "a connects\na -> PUBLISH qos=1 packet_id=7\na <- PUBACK packet_id=7\n",
	  VERDICT_INCONCLUSIVE, NULL, 6, "stalled", { { PUPPET_SAY, PUBLISH, "" }, { PUPPET_SAY, PINGREQ, "" } } },
	{ "a missing PINGRESP is asked about on a fresh connection", HEAD "a connects\na -> PINGREQ\na <- PINGRESP\n",
	  VERDICT_FAIL, "MQTT-3.12.4-1", 6, "no PINGRESP", { { PUPPET_SAY, PINGREQ, "" } } },
	{ "a late answer fails a step with `within`",
	  HEAD "a connects\na -> PINGREQ\na <- PINGRESP within 200ms\n",
	  VERDICT_FAIL, "MQTT-3.12.4-1", 6, NULL, { { PUPPET_LATER, PINGREQ, "d0 00", 1000 } } },
	{ "an early answer fails a step with `after`",
	  HEAD "a connects\na -> PINGREQ\na <- PINGRESP after 1s within 3s\n", VERDICT_FAIL, "MQTT-3.12.4-1", 6, "early" },
	{ "`after` and `within` hold in time", HEAD "a connects\na -> PINGREQ\na <- PINGRESP after 1s within 3s\n", VERDICT_PASS,
	  NULL, 0, NULL, { { PUPPET_LATER, PINGREQ, "d0 00", 1500 } } },
	{ "the broker ends the connection too soon", HEAD "a connects\na -> PINGREQ\na <- PINGRESP\n",
	  VERDICT_FAIL, "MQTT-3.12.4-1", 6, "the connection ended first", { { PUPPET_CLOSE, PINGREQ, "" } } },

	{ "set-up that is refused is inconclusive", HEAD "a connects\na -> PINGREQ\na <- PINGRESP\n",
	  VERDICT_INCONCLUSIVE, NULL, 4, "refused", { { PUPPET_SAY, CONNECT, "20 02 00 00", 0, 1 }, { PUPPET_SAY, CONNECT, "20 02 00 05" } } },
	{ "a subscription that is granted less is inconclusive", HEAD "a connects\na subscribes ($topic qos=2)\na -> PINGREQ\na <- PINGRESP\n",
	  VERDICT_INCONCLUSIVE, NULL, 5, "not granted", { { PUPPET_SAY, SUBSCRIBE, "90 03 00 01 02", 0, 1 }, { PUPPET_SAY, SUBSCRIBE, "90 03 00 01 01" } } },
	{ "what stands behind `gets` is judged", HEAD "a connects gets session_present\n",
	  VERDICT_FAIL, "MQTT-3.12.4-1", 4, "session_present: expected 1, received 0" },
	{ "a step without a mark sets up where two clauses are cited",
	  TWO "a connects\na -> PINGREQ\na <- PINGRESP [MQTT-3.12.4-1]\na -> PUBLISH qos=1 packet_id=3\na <- PUBREC packet_id=3\n"
	      "a -> PUBLISH qos=1 packet_id=4\na <- PUBACK packet_id=4 [MQTT-3.3.4-1]\n",
	  VERDICT_INCONCLUSIVE, NULL, 8, "expected PUBREC" },
	{ "a clause whose step is not reached is inconclusive, the other has failed",
	  TWO "a connects\na -> PINGREQ\na <- PINGRESP [MQTT-3.12.4-1]\na -> PUBLISH qos=1 packet_id=4\na <- PUBACK packet_id=4 [MQTT-3.3.4-1]\n",
	  VERDICT_FAIL, "MQTT-3.12.4-1", 6, NULL, { { PUPPET_CLOSE, PINGREQ, "" } } },

	{ "closed: an answer that accepts the offence is undetected", HEAD "a connects\na -> PUBLISH !topic=\"a/#\" qos=1 packet_id=3\na <- closed\n",
	  VERDICT_FAIL, "MQTT-3.12.4-1", 6, "answers what was wrong" },
	{ "closed: a connection that stays open is undetected", HEAD "a connects\na -> PUBLISH !topic=\"a/#\"\na <- closed\n",
	  VERDICT_FAIL, "MQTT-3.12.4-1", 6, "still open" },
	{ "closed: in 5 undetected is a warn unless the clause forces the check",
	  "scenario \"t\"\nmqtt 5\ncites 5 MQTT-4.7.0-1\na connects\na -> PUBLISH !topic=\"a/#\"\na <- closed\n",
	  VERDICT_WARN, "MQTT-4.7.0-1", 6, "still open" },
	{ "a connection that ends right behind CONNACK is set-up", HEAD "a connects\na subscribes ($topic qos=1)\na -> PINGREQ\na <- PINGRESP\n",
	  VERDICT_INCONCLUSIVE, NULL, 5, "the connection ended first", { { PUPPET_CLOSE, CONNECT, "20 02 00 00" } } },
	{ "closed: the CONNACK of the first CONNECT does not answer the second",
	  HEAD "together { a -> CONNECT; a -> !CONNECT }\na <- closed\n", VERDICT_PASS, NULL, 0, NULL,
	  { { PUPPET_SAY, CONNECT, "20 02 00 00", 0, 2 }, { PUPPET_CLOSE, CONNECT, "" } } },
	{ "closed: a CONNACK for the second CONNECT does",
	  HEAD "together { a -> CONNECT; a -> !CONNECT }\na <- closed\n", VERDICT_FAIL, "MQTT-3.12.4-1", 5, "answers what was wrong" },
	{ "closed: FIN passes", HEAD "a connects\na -> PUBLISH !topic=\"a/#\"\na <- closed\n", VERDICT_PASS, NULL, 0, NULL, { { PUPPET_CLOSE, PUBLISH, "" } } },
	{ "closed: RST passes", HEAD "a connects\na -> PUBLISH !topic=\"a/#\"\na <- closed\n", VERDICT_PASS, NULL, 0, NULL, { { PUPPET_RESET, PUBLISH, "" } } },
	{ "closed: unread deliveries do not matter", HEAD "a connects\na -> PUBLISH !topic=\"a/#\"\na <- closed\n", VERDICT_PASS, NULL, 0, NULL,
	  { { PUPPET_CLOSE, PUBLISH, M0 } } },
	{ "closed: a DISCONNECT of 5 may precede, another code is a note",
	  HEAD5 "a connects\na -> PUBLISH !topic=\"a/#\"\na <- closed reason=Malformed_Packet\n", VERDICT_PASS, NULL, 0, NULL,
	  { { PUPPET_CLOSE, PUBLISH, "e0 01 82" } } },
	{ "closed: a DISCONNECT without the close is no close",
	  HEAD5 "a connects\na -> PUBLISH !topic=\"a/#\"\na <- closed\n", VERDICT_FAIL, "MQTT-3.12.4-1", 6, "not closed", { { PUPPET_SAY, PUBLISH, "e0 01 82" } } },
	{ "closed or nacked: a refusal will do", HEAD5 "a connects\na -> PUBLISH !topic=\"a/#\" qos=1 packet_id=3\na <- closed or nacked\n", VERDICT_PASS,
	  NULL, 0, NULL, { { PUPPET_SAY, PUBLISH, "40 03 00 03 90" } } },

	{ "nothing: an arrival fails", HEAD "a connects\na subscribes (\"t\")\na <- nothing\n", VERDICT_FAIL, "MQTT-3.12.4-1", 6, "nothing was to come",
	  { { PUPPET_ALSO, SUBSCRIBE, M0 } } },
	{ "nothing: silence passes", HEAD "a connects\na <- nothing for 2s\n", VERDICT_PASS },
	{ "nothing: a target that stalls proves nothing", HEAD "a connects\na <- nothing\n", VERDICT_INCONCLUSIVE, NULL, 5, "stalled", { { PUPPET_SAY, PINGREQ, "" } } },

	{ "receives acknowledges by QoS", HEAD "a connects\na subscribes (\"t\" qos=1)\na receives payload=\"m\"\n", VERDICT_PASS, NULL, 0, NULL,
	  { { PUPPET_ALSO, SUBSCRIBE, M1 } } },
	{ "receives plays all of QoS 2", HEAD "a connects\na subscribes (\"t\" qos=2)\na receives payload=\"m\" qos=2\na pings\n", VERDICT_PASS, NULL, 0, NULL,
	  { { PUPPET_ALSO, SUBSCRIBE, "34 06 00 01 74 00 01 6d" } } },
	{ "receives goes by its own PUBREL", HEAD "a connects\na subscribes (\"t\" qos=2)\na <- PUBLISH payload=\"m\" packet_id as $p\na -> PUBREC packet_id=$p\na receives payload=\"n\"\na <- PUBREL packet_id=$p\na pings\n",
	  VERDICT_PASS, NULL, 0, NULL, { { PUPPET_ALSO, SUBSCRIBE, "34 06 00 01 74 00 01 6d" "34 06 00 01 74 00 02 6e" } } },
	{ "no order is asked between kinds", HEAD "a connects\na -> SUBSCRIBE (\"t\" qos=1) packet_id=1\na <- SUBACK packet_id=1\na receives payload=\"m\"\n",
	  VERDICT_PASS, NULL, 0, NULL, { { PUPPET_SAY, SUBSCRIBE, M1 " 90 03 00 01 01" } } },
	{ "within a kind the order is asserted", HEAD "a connects\na subscribes (\"t\" qos=1)\na receives payload=\"m\"\na receives payload=\"n\"\n",
	  VERDICT_FAIL, "MQTT-3.12.4-1", 6, "payload: expected \"m\", received \"n\"", { { PUPPET_ALSO, SUBSCRIBE, M2 M1 } } },
	{ "unordered takes any order", HEAD "a connects\na subscribes (\"t\" qos=1)\nunordered { a receives payload=\"m\"; a receives payload=\"n\" }\n",
	  VERDICT_PASS, NULL, 0, NULL, { { PUPPET_ALSO, SUBSCRIBE, M2 M1 } } },
	{ "unordered names what fits none", HEAD "a connects\na subscribes (\"t\" qos=1)\nunordered { a receives payload=\"x\"; a receives payload=\"n\" }\n",
	  VERDICT_FAIL, "MQTT-3.12.4-1", 0, "fits none of them", { { PUPPET_ALSO, SUBSCRIBE, M1 M2 } } },
	{ "a block in unordered keeps its own order",
	  HEAD "a connects\na subscribes (\"t\" qos=1)\nunordered { { a receives payload=\"m\"; a receives payload=\"n\" }; a <- PINGRESP }\n",
	  VERDICT_FAIL, "MQTT-3.12.4-1", 0, NULL, { { PUPPET_ALSO, SUBSCRIBE, M2 M1 } } },
	{ "the first arrival chooses the arm", HEAD "a connects\na -> PUBLISH qos=1 packet_id=3\neither { a <- PUBREC packet_id=3 } or { a <- PUBACK packet_id=3; a pings }\n",
	  VERDICT_PASS },
	{ "silence chooses an arm", HEAD "a connects\neither { a <- nothing for 2s; a pings } or { a <- PUBLISH }\n", VERDICT_PASS },
	{ "an arrival chooses before silence does", HEAD "a connects\na -> PUBLISH qos=1 packet_id=3\neither { a <- nothing for 2s } or { a <- PUBACK packet_id=3; a pings }\n",
	  VERDICT_PASS },
	{ "the end chooses an arm", HEAD "a connects\na -> PUBLISH qos=1 packet_id=3\neither { a <- closed } or { a <- PUBACK packet_id=3; a pings }\n",
	  VERDICT_PASS, NULL, 0, NULL, { { PUPPET_CLOSE, PUBLISH, "" } } },
	{ "maybe takes what comes", HEAD "a connects\na subscribes (\"t\" qos=1)\nmaybe a receives payload=\"m\"\na receives payload=\"n\"\n",
	  VERDICT_PASS, NULL, 0, NULL, { { PUPPET_ALSO, SUBSCRIBE, M1 M2 } } },
	{ "maybe lets go what does not", HEAD "a connects\na subscribes (\"t\" qos=1)\nmaybe a receives payload=\"m\"\na receives payload=\"n\"\n",
	  VERDICT_PASS, NULL, 0, NULL, { { PUPPET_ALSO, SUBSCRIBE, M2 } } },

	{ "a bound name is compared and sent", HEAD "a connects\na subscribes (\"t\" qos=1)\na <- PUBLISH packet_id as $p\na -> PUBACK packet_id=$p\na <- PUBLISH packet_id=$p\n",
	  VERDICT_FAIL, "MQTT-3.12.4-1", 8, "packet_id: expected $p (1), received 2", { { PUPPET_ALSO, SUBSCRIBE, M1 M2 } } },
	{ "repeat counts", HEAD "a connects\nrepeat 3..5 as $i { a -> PUBLISH qos=1 packet_id=$i; a <- PUBACK packet_id=$(i + 0) }\n", VERDICT_PASS },
	{ "repeat fails in its turn", HEAD "a connects\nrepeat 3 as $i { a -> PUBLISH qos=1 packet_id=$(i + 1); a <- PUBACK packet_id=$(i * 2) }\n",
	  VERDICT_FAIL, "MQTT-3.12.4-1", 5, NULL },
	{ "together is one write", HEAD "a connects\ntogether { a -> PINGREQ; a -> PINGREQ; a -> PINGREQ }\nrepeat 3 { a <- PINGRESP }\n", VERDICT_PASS },
	{ "pieces arrive as a whole", HEAD "a connects\na -> PUBLISH qos=1 packet_id=3 payload=fill(100) in pieces of 7 every 10ms\na <- PUBACK packet_id=3\n", VERDICT_PASS },

	{ "skip ends with its reason", HEAD "a connects\na subscribes (\"t\")\neither { a <- closed } or { a <- PUBLISH; skip \"why not\" }\n", VERDICT_SKIP, NULL, 0, "why not",
	  { { PUPPET_ALSO, SUBSCRIBE, M0 } } },
	{ "warn lowers the verdict", HEAD "a connects\na pings\na -> PINGREQ\na <- PINGRESP\nwarn \"a bit odd\"\n", VERDICT_WARN, NULL, 0, "a bit odd" },
	{ "a need that is not met skips with the evidence", "scenario \"t\"\nmqtt 5\ncites 5 MQTT-3.12.4-1\nneeds maximum_qos>=2\na connects\na -> PINGREQ\na <- PINGRESP\n",
	  VERDICT_SKIP, NULL, 0, "needs maximum_qos>=2; CONNACK says 1", { { PUPPET_SAY, CONNECT, "20 05 00 00 02 24 01" } } },

	{ "0x10 is success", HEAD5 "a connects\na -> PUBLISH qos=1 packet_id=3\na <- PUBACK packet_id=3 reason=Success\n", VERDICT_PASS, NULL, 0, NULL,
	  { { PUPPET_SAY, PUBLISH, "40 03 00 03 10" } } },
	{ "3.1.1 may send a PUBLISH again on a live connection",
	  HEAD "a connects\na subscribes (\"t\" qos=1)\na <- PUBLISH payload=\"m\" packet_id as $p\na <- PUBLISH payload=\"n\"\na -> PUBACK packet_id=$p\n",
	  VERDICT_PASS, NULL, 0, NULL, { { PUPPET_ALSO, SUBSCRIBE, M1 "3a 06 00 01 74 00 01 6d" M2 } } },
	{ "the monitor judges what no step looks at", HEAD "a connects\na -> PINGREQ\na <- PINGRESP\n", VERDICT_FAIL, "MQTT-2.2.2-1", 0, NULL,
	  { { PUPPET_SAY, PINGREQ, "d1 00" } } },
	{ "a failure that does not come again is unstable", HEAD "a connects\na -> PUBLISH qos=1 packet_id=7\na <- PUBACK packet_id=7\n",
	  VERDICT_UNSTABLE, "MQTT-3.12.4-1", 0, "failed once", { { PUPPET_CLOSE, PUBLISH, "", 0, 1 } } },
	{ "what is watched and never occurs is a skip", "scenario \"t\"\nmqtt 5\nwatches 5 MQTT-3.1.2-24\na connects\na pings\n", VERDICT_SKIP },

	/* found by reading the engine against its description */
	{ "target lives holds while a fresh connection is served", HEAD "a connects\ntarget lives\n", VERDICT_PASS },
	{ "a `maybe` outlives the arm that it stands in",
	  HEAD "a connects\na subscribes (\"t\" qos=1)\na -> PUBLISH qos=1 packet_id=3\n"
	       "either { a <- PUBACK packet_id=3; maybe a receives payload=\"m\" } or { a <- closed }\nwait 1s\na receives payload=\"n\"\n",
	  VERDICT_PASS, NULL, 0, NULL, { { PUPPET_LATER, PUBACK, M2, 100 }, { PUPPET_ALSO, PUBLISH, M1 } } },
	{ "a `maybe` of the last turn keeps the turn's number",
	  HEAD "a connects\na subscribes (\"t\" qos=1)\na <- PUBLISH packet_id=1\na -> PUBACK packet_id=1\n"
	       "repeat 2 as $i { maybe a receives payload=\"$(i)\"; wait 10ms }\na receives payload=\"n\"\n",
	  VERDICT_PASS, NULL, 0, NULL, { { PUPPET_ALSO, SUBSCRIBE, M1 }, { PUPPET_LATER, PUBACK, M2, 100, 1 }, { PUPPET_SAY, PUBACK, "" } } },
	{ "a `maybe` stays open while nothing but the clock moves",
	  HEAD "a connects\na subscribes (\"t\" qos=1)\na <- PUBLISH packet_id=1\na -> PUBACK packet_id=1\n"
	       "maybe a receives payload=\"n\"\nwait 10ms\nnote \"so far\"\na <- nothing\n",
	  VERDICT_PASS, NULL, 0, NULL, { { PUPPET_ALSO, SUBSCRIBE, M1 }, { PUPPET_LATER, PUBACK, M2, 100, 1 }, { PUPPET_SAY, PUBACK, "" } } },
	{ "what a fresh connection was answered once says nothing about later",
	  HEAD "a connects\na -> PINGREQ\na <- PINGRESP\ntarget lives\na -> PINGREQ\na <- PINGRESP\n",
	  VERDICT_INCONCLUSIVE, NULL, 9, "stalled",
	  { { PUPPET_ALSO, CONNECT, "", 0, 3 }, { PUPPET_SAY, CONNECT, "" }, { PUPPET_ALSO, PINGREQ, "", 0, 1 }, { PUPPET_SAY, PINGREQ, "" } } },
	{ "nothing before CONNACK: a target that stalls proves nothing", HEAD "a opens\na <- nothing\n", VERDICT_INCONCLUSIVE, NULL, 5, "stalled",
	  { { PUPPET_ALSO, CONNECT, "", 0, 1 }, { PUPPET_SAY, CONNECT, "" } } },
	{ "closed `after`: a close too soon fails", HEAD "a connects\na -> PUBLISH !topic=\"a/#\"\na <- closed after 1s within 3s\n",
	  VERDICT_FAIL, "MQTT-3.12.4-1", 6, "early", { { PUPPET_CLOSE, PUBLISH, "" } } },
	{ "an arm whose time is up waits for the others'",
	  HEAD "a connects\na subscribes (\"t\")\na -> PUBLISH qos=1 packet_id=3\neither { a <- PUBACK packet_id=3 within 1s } or { a <- PUBLISH within 3s }\n",
	  VERDICT_PASS, NULL, 0, NULL, { { PUPPET_LATER, PUBLISH, M0, 2000 } } },
	{ "no packet id is free", HEAD "a connects\nrepeat 65536 { a -> PUBLISH qos=1 }\na <- PUBACK\n", VERDICT_ERROR, NULL, 5, "no packet id is free",
	  { { PUPPET_SAY, PUBLISH, "" } } },
	{ "a target that does not read holds up nobody who leaves",
	  HEAD "a connects\na -> PINGREQ\na <- PINGRESP\na -> PUBLISH payload=fill(1000000)\na drops\n", VERDICT_PASS, NULL, 0, NULL,
	  { { PUPPET_DEAF, PINGREQ, "" } } },
	{ "unordered over no turns", HEAD5 "a connects\na -> PINGREQ\nunordered { repeat $(a.receive_maximum - 65535) { a <- PUBACK }; a <- PINGRESP }\n", VERDICT_PASS },

	/* one row that passes and one that does not for what the tables above leave out */
	{ "one of several actors receives", HEAD "a connects\na subscribes (\"t\")\nb connects\na|b receives payload=\"m\"\n", VERDICT_PASS, NULL, 0, NULL,
	  { { PUPPET_ALSO, SUBSCRIBE, M0 } } },
	{ "none of several actors receives", HEAD "a connects\na subscribes (\"t\")\nb connects\na|b receives payload=\"m\"\n",
	  VERDICT_FAIL, "MQTT-3.12.4-1", 7, "no PUBLISH came in time" },
	{ "closed or nacked: an acknowledgement will not do", HEAD "a connects\na -> PUBLISH !topic=\"a/#\" qos=1 packet_id=3\na <- closed or nacked\n",
	  VERDICT_FAIL, "MQTT-3.12.4-1", 6, "answers what was wrong" },
	{ "closed: what was sent right is no offence",
	  HEAD "a connects\na -> PUBLISH qos=1 packet_id=5\na -> bytes hex\"32 08 00 03 61 2f 23 00 07 78\"\na <- closed\n", VERDICT_PASS, NULL, 0, NULL,
	  { { PUPPET_ALSO, PUBLISH, "", 0, 1 }, { PUPPET_CLOSE, PUBLISH, "" } } },
	{ "closed: bytes that are acknowledged by their id are undetected",
	  HEAD "a connects\na -> bytes hex\"32 08 00 03 61 2f 23 00 07 78\"\na <- closed\n", VERDICT_FAIL, "MQTT-3.12.4-1", 6, "answers what was wrong",
	  { { PUPPET_SAY, PUBLISH, "40 02 00 07" } } },
	{ "closed: an offence without an id, and an answer that is owed",
	  HEAD "a connects\na -> SUBSCRIBE (\"t\") packet_id=4\na -> bytes hex\"82 01 00\"\na <- closed\n", VERDICT_PASS, NULL, 0, NULL,
	  { { PUPPET_ALSO, SUBSCRIBE, "", 0, 1 }, { PUPPET_CLOSE, SUBSCRIBE, "" } } },
	{ "closed `within`: the time that was given is named", HEAD "a connects\na -> PUBLISH !topic=\"a/#\"\na <- closed within 2s\n",
	  VERDICT_FAIL, "MQTT-3.12.4-1", 6, "still open after 2 s" },
	{ "nothing: what comes in its time fails", HEAD "a connects\na subscribes (\"t\")\na -> PUBLISH\na <- nothing for 2s\n",
	  VERDICT_FAIL, "MQTT-3.12.4-1", 7, "nothing was to come", { { PUPPET_LATER, PUBLISH, M0, 1500 } } },
	{ "nothing: what comes later is not looked at", HEAD "a connects\na subscribes (\"t\")\na -> PUBLISH\na <- nothing for 1s\n",
	  VERDICT_PASS, NULL, 0, NULL, { { PUPPET_LATER, PUBLISH, M0, 1500 } } },
	{ "subscribes, unsubscribes, publishes, pings and disconnects",
	  HEAD "a connects\na subscribes (\"t\" qos=2)\na unsubscribes (\"t\")\na publishes qos=0\na publishes qos=1\na publishes qos=2\na pings\n"
	       "a -> PINGREQ\na <- PINGRESP\na disconnects\n", VERDICT_PASS, NULL, 0, NULL, { { PUPPET_CLOSE, DISCONNECT, "" } } },
	{ "unsubscribes: a refusal is inconclusive", HEAD5 "a connects\na unsubscribes (\"t\")\na -> PINGREQ\na <- PINGRESP\n",
	  VERDICT_INCONCLUSIVE, NULL, 5, "refused", { { PUPPET_SAY, UNSUBSCRIBE, "b0 04 00 01 00 87" } } },
	{ "publishes: a refusal is inconclusive", HEAD5 "a connects\na publishes qos=1\na -> PINGREQ\na <- PINGRESP\n",
	  VERDICT_INCONCLUSIVE, NULL, 5, "refused", { { PUPPET_SAY, PUBLISH, "40 03 00 01 87" } } },
	{ "publishes: QoS 2 without PUBCOMP is inconclusive", HEAD "a connects\na publishes qos=2\na -> PINGREQ\na <- PINGRESP\n",
	  VERDICT_INCONCLUSIVE, NULL, 5, "no PUBCOMP", { { PUPPET_SAY, PUBREL, "" } } },
	{ "pings: silence is inconclusive", HEAD "a connects\na pings\na -> PINGREQ\na <- PINGRESP\n",
	  VERDICT_INCONCLUSIVE, NULL, 5, "no PINGRESP", { { PUPPET_SAY, PINGREQ, "" } } },
	{ "disconnects: a broker that leaves the connection open", HEAD "a connects\na -> PINGREQ\na <- PINGRESP\na disconnects\n", VERDICT_PASS },
	{ "disconnects: what comes in place of the close is judged", HEAD5 "a connects\na -> PINGREQ\na <- PINGRESP\na disconnects\n",
	  VERDICT_FAIL, NULL, 0, NULL, { { PUPPET_SAY, DISCONNECT, "20 03 00 00 00" } } },
	{ "closes: the broker is heard to its end", HEAD "a connects\na -> PINGREQ\na closes\na <- PINGRESP\n", VERDICT_PASS },
	{ "drops: the next step needs a new connection", HEAD "a connects\na drops\na connects\na -> PINGREQ\na <- PINGRESP\n", VERDICT_PASS },
	{ "reads nothing: what came is there when it reads again",
	  HEAD "a connects\na reads nothing\na -> SUBSCRIBE (\"t\") packet_id=1\nwait 1s\na reads freely\na <- SUBACK packet_id=1\na <- PUBLISH within 100ms\n",
	  VERDICT_PASS, NULL, 0, NULL, { { PUPPET_ALSO, SUBSCRIBE, M0 } } },
	{ "reads slowly: an answer takes its time", HEAD "a connects\na reads 100/s\na -> SUBSCRIBE (\"t\") packet_id=1\na <- SUBACK packet_id=1\na <- PUBLISH after 300ms within 2s\n",
	  VERDICT_PASS, NULL, 0, NULL, { { PUPPET_ALSO, SUBSCRIBE, BIG } } },
	{ "reads slowly: an answer takes no longer", HEAD "a connects\na reads 100/s\na -> SUBSCRIBE (\"t\") packet_id=1\na <- SUBACK packet_id=1\na <- PUBLISH after 2s\n",
	  VERDICT_FAIL, "MQTT-3.12.4-1", 8, "early", { { PUPPET_ALSO, SUBSCRIBE, BIG } } },
	{ "reads slowly while it writes slowly: neither drives the other",
	  HEAD "a connects\na reads 100/s\na -> SUBSCRIBE (\"t\") packet_id=1 as $s\na -> PUBLISH payload=fill(300) in pieces of 3 every 5ms\n"
	       "a <- SUBACK packet_id=1\na <- PUBLISH after 600ms within 1s of $s\n",
	  VERDICT_PASS, NULL, 0, NULL, { { PUPPET_ALSO, SUBSCRIBE, BIG } } },
	{ "either: an arrival that fits no arm fails", HEAD "a connects\na subscribes (\"t\")\neither { a receives payload=\"x\" } or { a receives payload=\"n\" }\n",
	  VERDICT_FAIL, "MQTT-3.12.4-1", 6, "fits none of them", { { PUPPET_ALSO, SUBSCRIBE, M0 } } },
	{ "either: what came and fits no arm is told when nothing closed either",
	  HEAD "a -> CONNECT\neither { a <- CONNACK reason=5 } or { a <- closed }\n",
	  VERDICT_FAIL, "MQTT-3.12.4-1", 5, "reason: expected ", { { PUPPET_SAY, CONNECT, "20 02 00 00" } } },
	{ "a time of more than a second is told in seconds", HEAD "a connects\na -> PUBLISH !topic=\"a/#\"\na <- closed within 2600ms\n",
	  VERDICT_FAIL, "MQTT-3.12.4-1", 6, "still open after 2.6 s" },
	{ "either: a strand inside an arm that waits in vain ends its arm",
	  HEAD "a connects\na -> PUBLISH qos=1 packet_id=3\neither { unordered { a <- PUBACK packet_id=3; a <- PINGRESP } } or { a <- closed }\n",
	  VERDICT_PASS, NULL, 0, NULL, { { PUPPET_CLOSE, PUBLISH, "" } } },
	{ "either: a strand inside an arm whose time is up waits for the other arms",
	  HEAD "a connects\na subscribes (\"t\")\na -> PUBLISH qos=1 packet_id=3\n"
	       "either { unordered { a <- PUBACK packet_id=3 within 1s; a <- PINGRESP within 1s } } or { a <- PUBLISH within 3s }\n",
	  VERDICT_PASS, NULL, 0, NULL, { { PUPPET_LATER, PUBLISH, M0, 2000 } } },
	{ "either: in vain in the last arm fails",
	  HEAD "a connects\na -> PUBLISH qos=1 packet_id=3\neither { unordered { a <- PUBACK packet_id=3; a <- PINGRESP } } or { a <- PUBLISH }\n",
	  VERDICT_FAIL, "MQTT-3.12.4-1", 6, "the connection ended first", { { PUPPET_CLOSE, PUBLISH, "" } } },
	{ "`within` of a moment that was named", HEAD "a connects\na -> PINGREQ as $t\nwait 1s\na <- PINGRESP within 2s of $t\n", VERDICT_PASS },
	{ "`after` a moment that was named", HEAD "a connects\na -> PINGREQ as $t\nwait 1s\na <- PINGRESP after 500ms within 2s of $t\n",
	  VERDICT_FAIL, "MQTT-3.12.4-1", 7, "early" },
	{ "wait: what comes meanwhile is there", HEAD "a connects\na -> PINGREQ\nwait 9s\na <- PINGRESP after 8s\n", VERDICT_PASS, NULL, 0, NULL,
	  { { PUPPET_LATER, PINGREQ, "d0 00", 8500 } } },
	{ "wait: `within` goes on counting, since it is no actor's step", HEAD "a connects\na -> PINGREQ\nwait 2s\na <- PINGRESP within 100ms\n",
	  VERDICT_FAIL, "MQTT-3.12.4-1", 7, "late", { { PUPPET_LATER, PINGREQ, "d0 00", 1900 } } },
	{ "target lives fails when a fresh connection is refused", HEAD "a connects\na -> PINGREQ\na <- PINGRESP\ntarget lives\n",
	  VERDICT_FAIL, "MQTT-3.12.4-1", 7, "does not serve",
	  { { PUPPET_ALSO, CONNECT, "", 0, 2 }, { PUPPET_SAY, CONNECT, "20 02 00 03", 0, 1 }, { PUPPET_ALSO, CONNECT, "", 0, 1 }, { PUPPET_SAY, CONNECT, "20 02 00 03" } } },
	{ "a long loop of groups that wait for nothing", HEAD "a connects\nrepeat 100000 { unordered { note \"x\"; note \"y\" } }\na -> PINGREQ\na <- PINGRESP\n",
	  VERDICT_PASS },
	{ "unordered over many turns", HEAD "a connects\nrepeat 1..5000 as $i { a -> PUBLISH qos=1 packet_id=$i }\nunordered { repeat 1..5000 as $i { a <- PUBACK packet_id=$i } }\n",
	  VERDICT_PASS },

	/* targets that mean harm: bounded, and said clearly */
	{ "a flood behind an answer", HEAD "a connects\na subscribes (\"t\")\na -> PINGREQ\na <- PINGRESP\na <- nothing\n", VERDICT_INCONCLUSIVE, NULL, 0, "floods",
	  { { PUPPET_FLOOD, PINGREQ, M0, 0, 1 } } },
	{ "a target that does not read what we send without end",
	  HEAD "a connects\nrepeat 5000 { a -> PUBLISH payload=fill(1000) }\na -> PINGREQ\na <- PINGRESP\n", VERDICT_INCONCLUSIVE, NULL, 5, "does not read",
	  { { PUPPET_DEAF, PUBLISH, "" } } },
	{ "a packet that is announced and far too large", HEAD "a connects\na -> PINGREQ\na <- PINGRESP\n", VERDICT_INCONCLUSIVE, NULL, 0, "larger than",
	  { { PUPPET_SAY, PINGREQ, "30 ff ff ff 7f 00" } } },
	{ "garbage that cannot be framed", HEAD "a connects\na -> PINGREQ\na <- PINGRESP\n", VERDICT_FAIL, "remaining-length", 0, NULL,
	  { { PUPPET_SAY, PINGREQ, "30 ff ff ff ff 7f" } } },
	{ "a packet that never ends", HEAD "a connects\na -> PINGREQ\na <- PINGRESP\n", VERDICT_INCONCLUSIVE, NULL, 0, NULL,
	  { { PUPPET_SAY, PINGREQ, "30 40 00" }, { PUPPET_SAY, CONNECT, "20 02 00 00", 0, 2 }, { PUPPET_SAY, CONNECT, "" } } },
};

static void plays_as_written(void **state)
{
	const struct row *row = *state;
	static struct diagnostics diagnostics;
	struct scenario *scenario = scenario_parse("test.scn", span_text(row->scenario), NULL, 0, &diagnostics);

	for (uint32_t i = 0; i < diagnostics.n; i++)
		if (!diagnostics.list[i].warning)
			print_error("%u:%u: %s\n", diagnostics.list[i].at.line, diagnostics.list[i].at.column, diagnostics.list[i].text);
	assert_non_null(scenario);

	const struct script *tests[] = { &scenario->scripts[0] };
	struct suite suite = { .tests = tests, .n_tests = 1 };
	struct conduct_options o = {
		.label = "puppet", .versions = 1u << scenario->scripts[0].version, .timeout_ns = 5000000000u, .slack = 1, .jobs = 1, .repeat = 1, .seed = 7,
		.simulated = true, .replay_failures = true, .transcripts = true, .local = &puppet_broker,
	};
	struct conducted done;

	puppet_play(row->part);
	conduct(&suite, &o, &done);
	const struct result *r = &done.outcomes[0].result;
	if (done.unable[0])
		print_error("unable: %s\n", done.unable);
	if (r->verdict != row->verdict)
		print_error("came to %s [%s] at line %u: %s\n", verdict_names[r->verdict], r->rule ? r->rule : "", r->at.line, r->reason ? r->reason : "");
	assert_string_equal(verdict_names[r->verdict], verdict_names[row->verdict]);
	if (row->rule)
		assert_string_equal(r->rule, row->rule);
	else if (row->verdict != VERDICT_FAIL)
		assert_null(r->rule);
	if (row->line)
		assert_int_equal(r->at.line, row->line);
	if (row->because) {
		bool said = (r->because && strstr(r->because, row->because)) || (r->received && strstr(r->received, row->because)) ||
		            (r->reason && strstr(r->reason, row->because));

		if (!said)
			print_error("because: %s\nreceived: %s\nreason: %s\n", r->because, r->received, r->reason);
		assert_true(said);
	}
	conducted_release(&done);
	scenario_free(scenario);
}

/* The target is hostile from the first byte: no test is played, and one line says what it did. */
struct refusal {
	const char *name, *why;
	struct puppet_row part[3];
};

static const struct refusal refusals[] = {
	{ "accepts and never answers", "no answer to CONNECT within", { { PUPPET_SAY, CONNECT, "" } } },
	{ "closes at once", "closed by the broker", { { PUPPET_CLOSE, 0, "" } } },
	{ "resets at CONNECT", "RST", { { PUPPET_RESET, CONNECT, "" } } },
	{ "answers garbage", "cannot be framed", { { PUPPET_SAY, CONNECT, "ff ff ff ff ff ff" } } },
	{ "answers something else", "no answer to CONNECT", { { PUPPET_SAY, CONNECT, "d0 00" } } },
	{ "drips", "no answer to CONNECT", { { PUPPET_LATER, CONNECT, "20", 1000 } } },
	{ "announces 268,435,455 bytes", "larger than", { { PUPPET_SAY, CONNECT, "30 ff ff ff 7f 00 00 00" } } },
	{ "floods", "floods", { { PUPPET_FLOOD, CONNECT, M0 } } },
	{ "refuses our credentials", "Not_authorized", { { PUPPET_SAY, CONNECT, "20 02 00 05" } } },
};

static void refuses_as_written(void **state)
{
	const struct refusal *row = *state;
	static struct diagnostics diagnostics;
	struct scenario *scenario = scenario_parse("test.scn", span_text(HEAD "a connects\na -> PINGREQ\na <- PINGRESP\n"), NULL, 0, &diagnostics);
	const struct script *tests[] = { &scenario->scripts[0] };
	struct suite suite = { .tests = tests, .n_tests = 1 };
	struct conduct_options o = {
		.label = "puppet", .versions = 1u << MQTT_3_1_1, .timeout_ns = 5000000000u, .slack = 1, .jobs = 1, .repeat = 1, .simulated = true,
		.local = &puppet_broker,
	};
	struct conducted done;

	puppet_play(row->part);
	assert_int_not_equal(conduct(&suite, &o, &done), 0);
	if (!strstr(done.unable, row->why))
		print_error("unable: %s\n", done.unable);
	assert_non_null(strstr(done.unable, row->why));
	assert_false(done.outcomes[0].played);
	conducted_release(&done);
	scenario_free(scenario);
}

int main(void)
{
	enum { N_ROWS = sizeof(rows) / sizeof(*rows), N_REFUSALS = sizeof(refusals) / sizeof(*refusals) };
	static struct CMUnitTest tests[N_ROWS + N_REFUSALS];

	for (size_t i = 0; i < N_ROWS; i++)
		tests[i] = (struct CMUnitTest){ .name = rows[i].name, .test_func = plays_as_written, .initial_state = (void *)&rows[i] };
	for (size_t i = 0; i < N_REFUSALS; i++)
		tests[N_ROWS + i] = (struct CMUnitTest){ .name = refusals[i].name, .test_func = refuses_as_written, .initial_state = (void *)&refusals[i] };
	return cmocka_run_group_tests(tests, NULL, NULL);
}

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "pcap/tests/seen_script.h"
#include "pcap/where.h"

/* What may be said of deliveries, and what may not: a row each. A false loss is the worst. */

#define CLIENT(n, id) "0 c" n " opens 5\n0 c" n " -> CONNECT clean_start client_id=\"" id "\"\n0 c" n " <- CONNACK session_present=0 reason=0\n"
#define SUB(n, filters) "1 c" n " -> SUBSCRIBE packet_id=1 (" filters ")\n"
#define GRANT(n, codes) "2 c" n " <- SUBACK packet_id=1 reason=[" codes "]\n"
#define PUB_AND_SUB CLIENT("1", "p") CLIENT("2", "s") SUB("2", "\"a/+\" qos=2") GRANT("2", "2")
#define ALL(due, came, lost, twice, open, unobservable, away, reordered, not_due) \
	"\"due\":" #due ",\"came\":" #came ",\"lost\":" lost ",\"twice\":" twice ",\"open\":" #open ",\"not_observable\":" #unobservable \
	",\"away\":" #away ",\"reordered\":" #reordered ",\"not_due\":" #not_due ","
#define NONE "[0,0,0]"
#define U5 "\"u\", \"u\", \"u\", \"u\", \"u\", "
#define U20 U5 U5 U5 U5			/* filters */
#define LATER "9000 c1 -> PINGREQ\n"	/* so that what is late can be called lost */

static const struct row {
	const char *name, *script, *says[4];	/* in the row of all */
} rows[] = {
	{ "one message, delivered", PUB_AND_SUB "10 c1 -> PUBLISH topic=\"a/b\" payload=\"1\"\n13 c2 <- PUBLISH topic=\"a/b\" payload=\"1\"\n",
	  { ALL(1, 1, NONE, NONE, 0, 0, 0, 0, 0), "\"max\":0.003000000", "\"published\":1,\"delivered\":1" } },
	{ "a lost one", PUB_AND_SUB "10 c1 -> PUBLISH topic=\"a/b\" payload=\"1\"\n11 c1 -> PUBLISH topic=\"a/b\" payload=\"2\"\n"
	  "13 c2 <- PUBLISH topic=\"a/b\" payload=\"2\"\n" LATER,
	  { ALL(2, 1, "[1,0,0]", NONE, 0, 0, 0, 0, 0) } },
	{ "the capture ends too soon to tell", PUB_AND_SUB "10 c1 -> PUBLISH topic=\"a/b\" payload=\"1\"\n11 c1 -> PUBLISH topic=\"a/b\" payload=\"2\"\n"
	  "13 c2 <- PUBLISH topic=\"a/b\" payload=\"2\"\n1900 c1 -> PINGREQ\n",
	  { ALL(2, 1, NONE, NONE, 1, 0, 0, 0, 0) } },
	{ "late, not lost", PUB_AND_SUB "10 c1 -> PUBLISH topic=\"a/b\" payload=\"1\"\n11 c1 -> PUBLISH topic=\"a/b\" payload=\"2\"\n"
	  "13 c2 <- PUBLISH topic=\"a/b\" payload=\"2\"\n1500 c2 <- PUBLISH topic=\"a/b\" payload=\"1\"\n" LATER,
	  { ALL(2, 2, NONE, NONE, 0, 0, 0, 1, 0) } },
	{ "another topic proves nothing", PUB_AND_SUB "10 c1 -> PUBLISH topic=\"a/b\" payload=\"1\"\n11 c1 -> PUBLISH topic=\"a/c\" payload=\"2\"\n"
	  "13 c2 <- PUBLISH topic=\"a/c\" payload=\"2\"\n" LATER,
	  { ALL(2, 1, NONE, NONE, 1, 0, 0, 0, 0) } },
	{ "nor another publisher", PUB_AND_SUB CLIENT("3", "q") "10 c1 -> PUBLISH topic=\"a/b\" payload=\"1\"\n11 c3 -> PUBLISH topic=\"a/b\" payload=\"2\"\n"
	  "13 c2 <- PUBLISH topic=\"a/b\" payload=\"2\"\n" LATER,
	  { ALL(2, 1, NONE, NONE, 1, 0, 0, 0, 0) } },
	{ "nor another QoS", PUB_AND_SUB "10 c1 -> PUBLISH topic=\"a/b\" payload=\"1\"\n11 c1 -> PUBLISH topic=\"a/b\" qos=1 packet_id=1 payload=\"2\"\n"
	  "12 c1 <- PUBACK packet_id=1\n13 c2 <- PUBLISH topic=\"a/b\" qos=1 packet_id=1 payload=\"2\"\n" LATER,
	  { ALL(2, 1, NONE, NONE, 1, 0, 0, 0, 0) } },
	{ "at QoS 0 on another connection it may not have arrived", PUB_AND_SUB "10 c1 -> PUBLISH topic=\"a/b\" payload=\"1\"\n"
	  "11 c1 closed client reset\n11 c1 ends reset\n12 c3 opens 5\n12 c3 -> CONNECT clean_start client_id=\"p\"\n12 c3 <- CONNACK session_present=0 reason=0\n"
	  "13 c3 -> PUBLISH topic=\"a/b\" payload=\"2\"\n13 c2 <- PUBLISH topic=\"a/b\" payload=\"2\"\n9000 c3 -> PINGREQ\n",
	  { ALL(2, 1, NONE, NONE, 1, 0, 0, 0, 0) } },
	{ "a hole of the subscriber's", PUB_AND_SUB "10 c1 -> PUBLISH topic=\"a/b\" payload=\"1\"\n11 c1 -> PUBLISH topic=\"a/b\" payload=\"2\"\n"
	  "12 c2 hole broker\n13 c2 <- PUBLISH topic=\"a/b\" payload=\"2\"\n" LATER,
	  { ALL(2, 0, NONE, NONE, 0, 2, 0, 0, 1) } },
	{ "its subscriptions behind a hole of its own", PUB_AND_SUB "9 c2 hole client\n10 c1 -> PUBLISH topic=\"a/b\" payload=\"1\"\n" LATER,
	  { ALL(0, 0, NONE, NONE, 0, 0, 0, 0, 0) } },
	{ "it leaves", PUB_AND_SUB "10 c1 -> PUBLISH topic=\"a/b\" payload=\"1\"\n11 c1 -> PUBLISH topic=\"a/b\" payload=\"2\"\n"
	  "12 c2 <- PUBLISH topic=\"a/b\" payload=\"2\"\n13 c2 -> DISCONNECT\n" LATER,
	  { ALL(2, 1, NONE, NONE, 0, 1, 0, 0, 0) } },
	{ "it is closed", PUB_AND_SUB "10 c1 -> PUBLISH topic=\"a/b\" payload=\"1\"\n12 c2 closed broker\n20 c1 -> PUBLISH topic=\"a/b\" payload=\"2\"\n" LATER,
	  { ALL(1, 0, NONE, NONE, 0, 1, 0, 0, 0) } },
	{ "QoS 1 without its PUBACK", PUB_AND_SUB "10 c1 -> PUBLISH topic=\"a/b\" qos=1 packet_id=1 payload=\"1\"\n11 c1 -> PUBLISH topic=\"a/b\" qos=1 packet_id=2 payload=\"2\"\n"
	  "12 c1 <- PUBACK packet_id=2\n13 c2 <- PUBLISH topic=\"a/b\" qos=1 packet_id=1 payload=\"2\"\n" LATER,
	  { ALL(2, 1, NONE, NONE, 1, 0, 0, 0, 0) } },
	{ "QoS 1 with its PUBACK is lost", PUB_AND_SUB "10 c1 -> PUBLISH topic=\"a/b\" qos=1 packet_id=1 payload=\"1\"\n11 c1 -> PUBLISH topic=\"a/b\" qos=1 packet_id=2 payload=\"2\"\n"
	  "12 c1 <- PUBACK packet_id=1\n12 c1 <- PUBACK packet_id=2\n13 c2 <- PUBLISH topic=\"a/b\" qos=1 packet_id=1 payload=\"2\"\n" LATER,
	  { ALL(2, 1, "[0,1,0]", NONE, 0, 0, 0, 0, 0) } },
	{ "QoS 2 that was not released", PUB_AND_SUB "10 c1 -> PUBLISH topic=\"a/b\" qos=2 packet_id=1 payload=\"1\"\n11 c1 -> PUBLISH topic=\"a/b\" qos=2 packet_id=2 payload=\"2\"\n"
	  "12 c1 <- PUBREC packet_id=1\n12 c1 <- PUBREC packet_id=2\n12 c1 -> PUBREL packet_id=2\n13 c2 <- PUBLISH topic=\"a/b\" qos=2 packet_id=1 payload=\"2\"\n" LATER,
	  { ALL(2, 1, NONE, NONE, 1, 0, 0, 0, 0) } },
	{ "QoS 2, released and lost", PUB_AND_SUB "10 c1 -> PUBLISH topic=\"a/b\" qos=2 packet_id=1 payload=\"1\"\n11 c1 -> PUBLISH topic=\"a/b\" qos=2 packet_id=2 payload=\"2\"\n"
	  "12 c1 -> PUBREL packet_id=1\n12 c1 -> PUBREL packet_id=2\n13 c2 <- PUBLISH topic=\"a/b\" qos=2 packet_id=1 payload=\"2\"\n" LATER,
	  { ALL(2, 1, "[0,0,1]", NONE, 0, 0, 0, 0, 0) } },
	{ "refused by the broker", PUB_AND_SUB "10 c1 -> PUBLISH topic=\"a/b\" qos=1 packet_id=1 payload=\"1\"\n11 c1 -> PUBLISH topic=\"a/b\" qos=1 packet_id=2 payload=\"2\"\n"
	  "12 c1 <- PUBACK packet_id=1 reason=Not_authorized\n12 c1 <- PUBACK packet_id=2\n13 c2 <- PUBLISH topic=\"a/b\" qos=1 packet_id=1 payload=\"2\"\n" LATER,
	  { ALL(1, 1, NONE, NONE, 0, 0, 0, 0, 0), "\"refused\":1" } },
	{ "published before SUBACK", CLIENT("1", "p") CLIENT("2", "s") SUB("2", "\"a/+\" qos=2") "2 c1 -> PUBLISH topic=\"a/b\" payload=\"1\"\n" GRANT("2", "2")
	  "3 c1 -> PUBLISH topic=\"a/b\" payload=\"2\"\n4 c2 <- PUBLISH topic=\"a/b\" payload=\"2\"\n" LATER,
	  { ALL(1, 1, NONE, NONE, 0, 0, 0, 0, 0) } },
	{ "delivered before SUBACK", CLIENT("1", "p") CLIENT("2", "s") SUB("2", "\"a/+\" qos=2") "2 c1 -> PUBLISH topic=\"a/b\" payload=\"1\"\n"
	  "2 c2 <- PUBLISH topic=\"a/b\" payload=\"1\"\n" GRANT("2", "2"),
	  { ALL(0, 0, NONE, NONE, 0, 0, 0, 0, 1), "\"latency\":{\"count\":1," } },
	{ "a subscription that was refused", CLIENT("1", "p") CLIENT("2", "s") SUB("2", "\"b\", \"a/+\"") GRANT("2", "0 0x87") "3 c1 -> PUBLISH topic=\"a/b\" payload=\"1\"\n"
	  "3 c1 -> PUBLISH topic=\"b\" payload=\"1\"\n", { ALL(1, 0, NONE, NONE, 1, 0, 0, 0, 0) } },
	{ "codes stand in the order of this SUBSCRIBE", CLIENT("1", "p") CLIENT("2", "s") SUB("2", "\"x\", \"a/+\"") GRANT("2", "0 0") SUB("2", "\"a/+\", \"x\"") GRANT("2", "0x87 0")
	  "3 c1 -> PUBLISH topic=\"a/b\" payload=\"1\"\n", { ALL(0, 0, NONE, NONE, 0, 0, 0, 0, 0) } },
	{ "so much unsubscribed that nobody looks", PUB_AND_SUB "10 c1 -> PUBLISH topic=\"a/b\" payload=\"1\"\n"
	  "12 c2 -> UNSUBSCRIBE packet_id=2 (" U20 U20 U20 U20 "\"u\")\n13 c1 -> PUBLISH topic=\"a/b\" payload=\"2\"\n"
	  "14 c2 <- PUBLISH topic=\"a/b\" payload=\"2\"\n" LATER,
	  { ALL(2, 1, NONE, NONE, 0, 1, 0, 0, 0) } },
	{ "unsubscribed meanwhile", PUB_AND_SUB "10 c1 -> PUBLISH topic=\"a/b\" payload=\"1\"\n11 c1 -> PUBLISH topic=\"a/b\" payload=\"2\"\n"
	  "12 c2 -> UNSUBSCRIBE packet_id=2 (\"a/+\")\n13 c2 <- PUBLISH topic=\"a/b\" payload=\"2\"\n14 c2 <- UNSUBACK packet_id=2 reason=[0]\n15 c1 -> PUBLISH topic=\"a/b\" payload=\"3\"\n" LATER,
	  { ALL(2, 0, NONE, NONE, 0, 2, 0, 0, 1) } },
	{ "overlapping subscriptions, one copy", CLIENT("1", "p") CLIENT("2", "s") SUB("2", "\"a/+\" qos=1, \"#\"") GRANT("2", "1 0")
	  "10 c1 -> PUBLISH topic=\"a/b\" payload=\"1\"\n13 c2 <- PUBLISH topic=\"a/b\" payload=\"1\"\n", { ALL(1, 1, NONE, NONE, 0, 0, 0, 0, 0) } },
	{ "overlapping subscriptions, a copy each", CLIENT("1", "p") CLIENT("2", "s") SUB("2", "\"a/+\" qos=1, \"#\"") GRANT("2", "1 0")
	  "10 c1 -> PUBLISH topic=\"a/b\" payload=\"1\"\n10 c1 -> PUBLISH topic=\"a/b\" payload=\"1\"\n13 c2 <- PUBLISH topic=\"a/b\" payload=\"1\"\n14 c2 <- PUBLISH topic=\"a/b\" payload=\"1\"\n"
	  "15 c2 <- PUBLISH topic=\"a/b\" payload=\"1\"\n16 c2 <- PUBLISH topic=\"a/b\" payload=\"1\"\n",
	  { ALL(2, 2, NONE, NONE, 0, 0, 0, 0, 0), "\"copies\":2" } },
	{ "and one too many", CLIENT("1", "p") CLIENT("2", "s") SUB("2", "\"a/+\" qos=1, \"#\"") GRANT("2", "1 0")
	  "10 c1 -> PUBLISH topic=\"a/b\" payload=\"1\"\n13 c2 <- PUBLISH topic=\"a/b\" payload=\"1\"\n14 c2 <- PUBLISH topic=\"a/b\" payload=\"1\"\n"
	  "15 c2 <- PUBLISH topic=\"a/b\" payload=\"1\"\n",
	  { ALL(1, 1, NONE, "[1,0,0]", 0, 0, 0, 0, 0), "\"copies\":1" } },
	{ "twice at QoS 2", PUB_AND_SUB "10 c1 -> PUBLISH topic=\"a/b\" qos=2 packet_id=1 payload=\"1\"\n13 c2 <- PUBLISH topic=\"a/b\" qos=2 packet_id=1 payload=\"1\"\n"
	  "14 c2 <- PUBLISH topic=\"a/b\" qos=2 packet_id=2 payload=\"1\"\n", { ALL(1, 1, NONE, "[0,0,1]", 0, 0, 0, 0, 0) } },
	{ "what was given up may come all the same", PUB_AND_SUB "10 c1 -> PUBLISH topic=\"a/b\" payload=\"1\"\n10 c1 -> PUBLISH topic=\"a/b\" payload=\"1\"\n"
	  "11 c2 -> UNSUBSCRIBE packet_id=2 (\"a/+\")\n12 c2 <- UNSUBACK packet_id=2 reason=[0]\n" "13 c2 -> SUBSCRIBE packet_id=1 (\"a/+\")\n14 c2 <- SUBACK packet_id=1 reason=[0]\n"
	  "15 c1 -> PUBLISH topic=\"a/b\" payload=\"1\"\n16 c2 <- PUBLISH topic=\"a/b\" payload=\"1\"\n17 c2 <- PUBLISH topic=\"a/b\" payload=\"1\"\n18 c2 <- PUBLISH topic=\"a/b\" payload=\"1\"\n"
	  "19 c2 <- PUBLISH topic=\"a/b\" payload=\"1\"\n",
	  { ALL(3, 1, NONE, "[1,0,0]", 0, 2, 0, 0, 0), "\"unmatched\":2" } },
	{ "resent is not twice", PUB_AND_SUB "10 c1 -> PUBLISH topic=\"a/b\" qos=2 packet_id=1 payload=\"1\"\n13 c2 <- PUBLISH topic=\"a/b\" qos=2 packet_id=1 payload=\"1\"\n"
	  "14 c2 <- PUBLISH topic=\"a/b\" dup qos=2 packet_id=1 payload=\"1\"\n", { ALL(1, 1, NONE, NONE, 0, 0, 0, 0, 0), "\"resent\":1" } },
	{ "the publisher's resending may come twice", PUB_AND_SUB "10 c1 -> PUBLISH topic=\"a/b\" qos=1 packet_id=1 payload=\"1\"\n13 c2 <- PUBLISH topic=\"a/b\" qos=1 packet_id=1 payload=\"1\"\n"
	  "14 c1 -> PUBLISH topic=\"a/b\" dup qos=1 packet_id=1 payload=\"1\"\n15 c2 <- PUBLISH topic=\"a/b\" qos=1 packet_id=2 payload=\"1\"\n",
	  { ALL(1, 1, NONE, NONE, 0, 0, 0, 0, 0), "\"published\":2", "\"copies\":1" } },
	{ "twice, where another publisher was missed before", PUB_AND_SUB "9 c2 <- PUBLISH topic=\"a/b\" payload=\"0\"\n10 c1 -> PUBLISH topic=\"a/b\" payload=\"1\"\n"
	  "13 c2 <- PUBLISH topic=\"a/b\" payload=\"1\"\n14 c2 <- PUBLISH topic=\"a/b\" payload=\"1\"\n",
	  { ALL(1, 1, NONE, NONE, 0, 0, 0, 0, 0), "\"unmatched\":2" } },
	{ "twice, behind a publisher's hole", PUB_AND_SUB "10 c1 -> PUBLISH topic=\"a/b\" payload=\"1\"\n13 c2 <- PUBLISH topic=\"a/b\" payload=\"1\"\n13 c1 hole client\n"
	  "14 c2 <- PUBLISH topic=\"a/b\" payload=\"1\"\n", { ALL(1, 1, NONE, NONE, 0, 0, 0, 0, 0), "\"unmatched\":1" } },
	{ "the same payload again and again", PUB_AND_SUB "10 c1 -> PUBLISH topic=\"a/b\" payload=\"1\"\n11 c1 -> PUBLISH topic=\"a/b\" payload=\"1\"\n12 c2 <- PUBLISH topic=\"a/b\" payload=\"1\"\n"
	  "13 c2 <- PUBLISH topic=\"a/b\" payload=\"1\"\n14 c1 -> PUBLISH topic=\"a/b\" payload=\"1\"\n16 c2 <- PUBLISH topic=\"a/b\" payload=\"1\"\n" LATER,
	  { ALL(3, 3, NONE, NONE, 0, 0, 0, 0, 0), "\"min\":0.002000000", "\"max\":0.002000000" } },
	{ "shared: one of the group", CLIENT("1", "p") CLIENT("2", "s") CLIENT("3", "t") SUB("2", "\"$share/g/a/+\"") GRANT("2", "0") SUB("3", "\"$share/g/a/+\"") GRANT("3", "0")
	  "10 c1 -> PUBLISH topic=\"a/b\" payload=\"1\"\n11 c1 -> PUBLISH topic=\"a/b\" payload=\"2\"\n12 c2 <- PUBLISH topic=\"a/b\" payload=\"1\"\n13 c3 <- PUBLISH topic=\"a/b\" payload=\"2\"\n",
	  { ALL(2, 2, NONE, NONE, 0, 0, 0, 0, 0) } },
	{ "shared: nobody that is seen", CLIENT("1", "p") CLIENT("2", "s") SUB("2", "\"$share/g/a/+\"") GRANT("2", "0")
	  "10 c1 -> PUBLISH topic=\"a/b\" payload=\"1\"\n11 c1 -> PUBLISH topic=\"a/b\" payload=\"2\"\n12 c2 <- PUBLISH topic=\"a/b\" payload=\"2\"\n" LATER,
	  { ALL(2, 1, NONE, NONE, 1, 0, 0, 0, 0) } },
	{ "shared: two of the group", CLIENT("1", "p") CLIENT("2", "s") CLIENT("3", "t") SUB("2", "\"$share/g/a/+\"") GRANT("2", "0") SUB("3", "\"$share/g/a/+\"") GRANT("3", "0")
	  "10 c1 -> PUBLISH topic=\"a/b\" payload=\"1\"\n12 c2 <- PUBLISH topic=\"a/b\" payload=\"1\"\n13 c3 <- PUBLISH topic=\"a/b\" payload=\"1\"\n",
	  { ALL(1, 1, NONE, "[1,0,0]", 0, 0, 0, 0, 0) } },
	{ "shared: the other one after the first has left", CLIENT("1", "p") CLIENT("2", "s") CLIENT("3", "t") SUB("2", "\"$share/g/a/+\" qos=1") GRANT("2", "1") SUB("3", "\"$share/g/a/+\" qos=1") GRANT("3", "1")
	  "10 c1 -> PUBLISH topic=\"a/b\" qos=1 packet_id=1 payload=\"1\"\n12 c2 <- PUBLISH topic=\"a/b\" qos=1 packet_id=1 payload=\"1\"\n13 c2 closed client reset\n"
	  "14 c3 <- PUBLISH topic=\"a/b\" qos=1 packet_id=1 payload=\"1\"\n",
	  { ALL(1, 1, NONE, NONE, 0, 0, 0, 0, 0), "\"resent\":1" } },
	{ "shared and not", CLIENT("1", "p") CLIENT("2", "s") SUB("2", "\"$share/g/a/+\", \"a/#\"") GRANT("2", "0 0")
	  "10 c1 -> PUBLISH topic=\"a/b\" payload=\"1\"\n12 c2 <- PUBLISH topic=\"a/b\" payload=\"1\"\n13 c2 <- PUBLISH topic=\"a/b\" payload=\"1\"\n",
	  { ALL(2, 2, NONE, NONE, 0, 0, 0, 0, 0) } },
	{ "no local", CLIENT("1", "p") SUB("1", "\"a/+\" no_local") GRANT("1", "0") "10 c1 -> PUBLISH topic=\"a/b\" payload=\"1\"\n", { ALL(0, 0, NONE, NONE, 0, 0, 0, 0, 0) } },
	{ "to itself", CLIENT("1", "p") SUB("1", "\"a/+\"") GRANT("1", "0") "10 c1 -> PUBLISH topic=\"a/b\" payload=\"1\"\n12 c1 <- PUBLISH topic=\"a/b\" payload=\"1\"\n", { ALL(1, 1, NONE, NONE, 0, 0, 0, 0, 0) } },
	{ "stored and sent on SUBSCRIBE", CLIENT("1", "p") "1 c1 -> PUBLISH topic=\"a/b\" retain payload=\"1\"\n" CLIENT("2", "s") SUB("2", "\"a/+\"") "2 c2 <- PUBLISH topic=\"a/b\" retain payload=\"1\"\n" GRANT("2", "0"),
	  { ALL(0, 0, NONE, NONE, 0, 0, 0, 0, 0), "\"retained\":1", "\"unmatched\":0" } },
	{ "retain as published, live", CLIENT("1", "p") CLIENT("2", "s") SUB("2", "\"a/+\" retain_as_published") GRANT("2", "0")
	  "10 c1 -> PUBLISH topic=\"a/b\" retain payload=\"1\"\n12 c2 <- PUBLISH topic=\"a/b\" retain payload=\"1\"\n", { ALL(1, 1, NONE, NONE, 0, 0, 0, 0, 0), "\"retained\":0" } },
	{ "the retain flag where it should not be", PUB_AND_SUB "10 c1 -> PUBLISH topic=\"a/b\" retain payload=\"1\"\n12 c2 <- PUBLISH topic=\"a/b\" retain payload=\"1\"\n",
	  { ALL(1, 0, NONE, NONE, 0, 1, 0, 0, 0), "\"retained\":1" } },
	{ "an empty retained message", PUB_AND_SUB "10 c1 -> PUBLISH topic=\"a/b\" retain\n", { ALL(0, 0, NONE, NONE, 0, 0, 0, 0, 0) } },
	{ "may have expired", PUB_AND_SUB "10 c1 -> PUBLISH topic=\"a/b\" message_expiry_interval=1 payload=\"1\"\n3011 c1 -> PUBLISH topic=\"a/b\" payload=\"2\"\n"
	  "3013 c2 <- PUBLISH topic=\"a/b\" payload=\"2\"\n" LATER, { ALL(2, 1, NONE, NONE, 1, 0, 0, 0, 0) } },
	{ "larger than the subscriber takes", CLIENT("1", "p") "0 c2 opens 5\n0 c2 -> CONNECT clean_start client_id=\"s\" maximum_packet_size=70\n0 c2 <- CONNACK session_present=0 reason=0\n"
	  SUB("2", "\"a/+\"") GRANT("2", "0") "10 c1 -> PUBLISH topic=\"a/b\" payload=\"12345678\"\n", { ALL(0, 0, NONE, NONE, 0, 0, 0, 0, 0) } },
	{ "has not expired when the capture ends", PUB_AND_SUB "10 c1 -> PUBLISH topic=\"a/b\" message_expiry_interval=9 payload=\"1\"\n9009 c1 -> PINGREQ\n",
	  { ALL(1, 0, NONE, NONE, 1, 0, 0, 0, 0), "\"may_have_expired\":0," } },
	{ "may have, when it ends", PUB_AND_SUB "10 c1 -> PUBLISH topic=\"a/b\" message_expiry_interval=9 payload=\"1\"\n9010 c1 -> PINGREQ\n",
	  { ALL(1, 0, NONE, NONE, 1, 0, 0, 0, 0), "\"may_have_expired\":1," } },
	{ "only what is open may have", PUB_AND_SUB "10 c1 -> PUBLISH topic=\"a/b\" message_expiry_interval=1 payload=\"1\"\n10 c1 -> PUBLISH topic=\"a/b\" message_expiry_interval=1 payload=\"2\"\n"
	  "11 c1 -> PUBLISH topic=\"a/b\" payload=\"3\"\n12 c2 <- PUBLISH topic=\"a/b\" payload=\"1\"\n600000 c1 -> PINGREQ\n",
	  { ALL(3, 1, NONE, NONE, 2, 0, 0, 0, 0), "\"may_have_expired\":1," } },
	{ "a session that was away", CLIENT("1", "p") "0 c2 opens 5\n0 c2 -> CONNECT client_id=\"s\" session_expiry_interval=60\n0 c2 <- CONNACK session_present=0 reason=0\n"
	  SUB("2", "\"a/+\" qos=1") GRANT("2", "1") "5 c2 -> DISCONNECT\n5 c2 closed client\n5 c2 ends fin\n"
	  "10 c1 -> PUBLISH topic=\"a/b\" qos=1 packet_id=1 payload=\"1\"\n10 c1 -> PUBLISH topic=\"a/b\" payload=\"0\"\n10 c1 <- PUBACK packet_id=1\n"
	  "5000 c3 opens 5\n5000 c3 -> CONNECT client_id=\"s\" session_expiry_interval=60\n5000 c3 <- CONNACK session_present=1 reason=0\n"
	  "5001 c3 <- PUBLISH topic=\"a/b\" qos=1 packet_id=1 payload=\"1\"\n" LATER,
	  { ALL(1, 1, NONE, NONE, 0, 0, 1, 0, 0), "\"latency\":null" } },
	{ "a session that was discarded", CLIENT("1", "p") "0 c2 opens 5\n0 c2 -> CONNECT client_id=\"s\" session_expiry_interval=60\n0 c2 <- CONNACK session_present=0 reason=0\n"
	  SUB("2", "\"a/+\" qos=1") GRANT("2", "1") "5 c2 -> DISCONNECT\n5 c2 ends fin\n"
	  "10 c1 -> PUBLISH topic=\"a/b\" qos=1 packet_id=1 payload=\"1\"\n10 c1 <- PUBACK packet_id=1\n"
	  "5000 c3 opens 5\n5000 c3 -> CONNECT client_id=\"s\"\n5000 c3 <- CONNACK session_present=0 reason=0\n5001 c1 -> PUBLISH topic=\"a/b\" qos=1 packet_id=2 payload=\"2\"\n" LATER,
	  { ALL(1, 0, NONE, NONE, 0, 1, 1, 0, 0) } },
	{ "a session whose beginning was not seen", CLIENT("1", "p") "0 c2 opens 3.1.1\n0 c2 -> CONNECT client_id=\"s\"\n0 c2 <- CONNACK session_present=1 reason=0\n"
	  "10 c1 -> PUBLISH topic=\"a/b\" payload=\"1\"\n11 c2 <- PUBLISH topic=\"a/b\" payload=\"1\"\n12 c2 <- PUBLISH topic=\"a/b\" payload=\"1\"\n",
	  { ALL(0, 0, NONE, NONE, 0, 0, 0, 0, 1), "\"unmatched\":1" } },
	{ "a connection joined midway", CLIENT("1", "p") "0 c2 opens 5 unseen\n" SUB("2", "\"a/+\"") GRANT("2", "0")
	  "10 c1 -> PUBLISH topic=\"a/b\" payload=\"1\"\n11 c2 <- PUBLISH topic=\"a/b\" payload=\"1\"\n12 c1 -> PUBLISH topic=\"a/b\" payload=\"2\"\n" LATER,
	  { ALL(0, 0, NONE, NONE, 0, 0, 0, 0, 1) } },
	{ "another broker on the same host", CLIENT("1", "p") "0 c2 opens 5 at 1884\n0 c2 -> CONNECT clean_start client_id=\"s\"\n0 c2 <- CONNACK session_present=0 reason=0\n"
	  SUB("2", "\"a/+\"") GRANT("2", "0") "10 c1 -> PUBLISH topic=\"a/b\" payload=\"1\"\n", { ALL(0, 0, NONE, NONE, 0, 0, 0, 0, 0) } },
	{ "an alias of the broker's that cannot be resolved", PUB_AND_SUB "10 c1 -> PUBLISH topic=\"a/b\" payload=\"1\"\n11 c2 <- PUBLISH topic=\"\" topic_alias=1 payload=\"1\"\n",
	  { ALL(1, 0, NONE, NONE, 0, 1, 0, 0, 0), "\"unresolved_alias\":1" } },
	{ "a will", "0 c1 opens 5\n0 c1 -> CONNECT clean_start client_id=\"p\" will.topic=\"a/w\" will.payload=\"gone\"\n0 c1 <- CONNACK session_present=0 reason=0\n"
	  CLIENT("2", "s") SUB("2", "\"a/+\"") GRANT("2", "0") "10 c1 closed client reset\n10 c1 ends reset\n11 c2 <- PUBLISH topic=\"a/w\" payload=\"gone\"\n",
	  { "\"wills\":1", "\"unmatched\":0" } },
	{ "the broker's own", CLIENT("2", "s") SUB("2", "\"$SYS/#\"") GRANT("2", "0") "11 c2 <- PUBLISH topic=\"$SYS/uptime\" payload=\"1\"\n", { "\"brokers_own\":1", "\"unmatched\":0" } },
	{ "a leading wildcard does not match $", CLIENT("1", "p") CLIENT("2", "s") SUB("2", "\"#\", \"+/x\"") GRANT("2", "0 0") "11 c1 -> PUBLISH topic=\"$a/x\" payload=\"1\"\n",
	  { ALL(0, 0, NONE, NONE, 0, 0, 0, 0, 0) } },
	{ "taken over", PUB_AND_SUB "10 c1 -> PUBLISH topic=\"a/b\" payload=\"1\"\n11 c3 opens 5\n11 c3 -> CONNECT client_id=\"s\"\n12 c2 <- DISCONNECT reason=0x8e\n"
	  "12 c3 <- CONNACK session_present=0 reason=0\n13 c1 -> PUBLISH topic=\"a/b\" payload=\"2\"\n" LATER, { ALL(1, 0, NONE, NONE, 0, 1, 0, 0, 0) } },
	{ "3.1 with a session it says nothing of", CLIENT("1", "p") "0 c2 opens 3.1\n0 c2 -> CONNECT client_id=\"s\"\n0 c2 <- CONNACK reason=0\n"
	  "1 c2 -> SUBSCRIBE packet_id=1 (\"a/+\")\n2 c2 <- SUBACK packet_id=1 reason=[0]\n"
	  "10 c1 -> PUBLISH topic=\"a/b\" payload=\"1\"\n11 c2 <- PUBLISH topic=\"a/b\" payload=\"1\"\n12 c2 <- PUBLISH topic=\"a/b\" payload=\"1\"\n",
	  { ALL(1, 1, NONE, NONE, 0, 0, 0, 0, 0), "\"unmatched\":1" } },
	{ "an hour later", PUB_AND_SUB "10 c1 -> PUBLISH topic=\"a/b\" payload=\"1\"\n3600000 c2 <- PUBLISH topic=\"a/b\" payload=\"1\"\n", { ALL(1, 0, NONE, NONE, 1, 0, 0, 0, 0), "\"unmatched\":1" } },
};

static void says(void **state)
{
	const struct row *row = *state;
	struct paper paper;
	struct view_options options = { .json = true };

	paper_init(&paper);
	struct observer *view = deliveries_view_new(&paper.out, &options);
	assert_non_null(view);
	script_play(view, row->script);
	view_free(view);
	const char *text = paper_take(&paper), *all = strstr(text, "{\"kind\":\"delivery_all\"");
	assert_non_null(all);
	for (size_t i = 0; i < sizeof(row->says) / sizeof(row->says[0]) && row->says[i]; i++)
		if (!strstr(all, row->says[i]))
			fail_msg("no %s in %s", row->says[i], all);
	paper_release(&paper);
}

static void shows_rows_and_losses(void **state)
{
	struct paper paper;
	struct view_options options = { 0 };

	(void)state;
	paper_init(&paper);
	struct observer *view = deliveries_view_new(&paper.out, &options);
	script_play(view, PUB_AND_SUB
	            "10 c1 -> PUBLISH topic=\"a/b\" payload=\"1\"\n11 c1 -> PUBLISH topic=\"a/b\" payload=\"2\"\n13 c2 <- PUBLISH topic=\"a/b\" payload=\"2\"\n"
	            "14 c2 <- PUBLISH topic=\"a/b\" payload=\"2\"\n15 c1 -> PUBLISH topic=\"a/c\" message_expiry_interval=2 payload=\"3\"\n" LATER);
	view_free(view);
	assert_string_equal(paper_take(&paper),
		"3 messages published, 2 delivered\n"
		"PUBLISHER  SUBSCRIBER  DUE  CAME  LOST  TWICE  OPEN  ?  NOT DUE     P50     P99     MAX\n"
		"p          s             3     1     1      1     1  0        0  2.00ms  2.00ms  2.00ms\n"
		"(all)                    3     1     1      1     1  0        0  2.00ms  2.00ms  2.00ms\n"
		"\n"
		"twice qos 0  f10 at 0.011000  p -> s; again in f12  a/b\n"
		"lost  qos 0  f9 at 0.010000  p -> s; a later one came in f11  a/b\n"
		"1 delivery is open: due and not seen, but nothing proves that it is lost\n"
		"1 of what is open may have expired: its message expiry interval was over before it was seen\n");
	paper_release(&paper);
}

/* Two losses, two that came twice, a copy, one that nobody published, and all kinds of senders. */
#define MIXED PUB_AND_SUB CLIENT("3", "q") \
	"10 c1 -> PUBLISH topic=\"a/b\" payload=\"1\"\n11 c1 -> PUBLISH topic=\"a/b\" payload=\"2\"\n13 c2 <- PUBLISH topic=\"a/b\" payload=\"2\"\n" \
	"14 c2 <- PUBLISH topic=\"a/b\" payload=\"2\"\n15 c3 -> PUBLISH topic=\"a/c\" qos=1 packet_id=1 payload=\"3\"\n16 c3 <- PUBACK packet_id=1\n" \
	"17 c3 -> PUBLISH topic=\"a/c\" qos=1 packet_id=2 payload=\"4\"\n18 c3 <- PUBACK packet_id=2\n19 c2 <- PUBLISH topic=\"a/c\" qos=1 packet_id=1 payload=\"4\"\n" \
	"20 c2 <- PUBLISH topic=\"a/c\" dup qos=1 packet_id=1 payload=\"4\"\n21 c3 -> PUBLISH topic=\"a/d\" qos=2 packet_id=3 payload=\"5\"\n" \
	"22 c3 <- PUBREC packet_id=3 reason=0x97\n23 c2 <- PUBLISH topic=\"a/x\" payload=\"0\"\n24 c2 <- PUBLISH topic=\"a/y\" retain payload=\"0\"\n" LATER

/* What a message is judged by is never left out: it is overtaken by one that is not shown, and nothing seems to come from nowhere. */
static const struct shown_row {
	const char *name, *where, *all, *rest[3];	/* rest: of the whole text; "!x": x is not in it */
} shown_rows[] = {
	{ "where: everything", "type==PUBLISH", ALL(4, 2, "[1,1,0]", "[1,0,0]", 0, 0, 0, 0, 0), { "\"published\":5,\"delivered\":4,", "\"resent\":1,", "\"refused\":1," } },
	{ "where: a publisher", "client==\"p\"", ALL(2, 1, "[1,0,0]", "[1,0,0]", 0, 0, 0, 0, 0), { "\"published\":2,\"delivered\":2,", "!\"publisher\":\"q\"", "\"refused\":0," } },
	{ "where: only the lost one", "payload==\"1\"", ALL(1, 0, "[1,0,0]", NONE, 0, 0, 0, 0, 0), { "\"published\":1,\"delivered\":0,", "\"delivery_lost\"", "!\"delivery_twice\"" } },
	{ "where: only the one that came twice", "payload==\"2\"", ALL(1, 1, NONE, "[1,0,0]", 0, 0, 0, 0, 0), { "\"published\":1,\"delivered\":2,", "!\"delivery_lost\"", "\"delivery_twice\"" } },
	{ "where: a QoS", "qos==1", ALL(2, 1, "[0,1,0]", NONE, 0, 0, 0, 0, 0), { "\"published\":2,\"delivered\":2,", "\"resent\":1,", "!\"topic\":\"a/b\"" } },
	{ "where: a topic", "topic~\"+/d\"", ALL(0, 0, NONE, NONE, 0, 0, 0, 0, 0), { "\"published\":1,\"delivered\":0,", "\"refused\":1,", "\"unmatched\":0," } },
	{ "where: a time", "time>=15ms", ALL(2, 1, "[0,1,0]", NONE, 0, 0, 0, 0, 0), { "\"published\":3," } },
	{ "where: the subscriber publishes nothing", "client==\"s\"", ALL(0, 0, NONE, NONE, 0, 0, 0, 0, 0), { "\"published\":0,\"delivered\":0,", "!\"kind\":\"delivery\"" } },
};

static void shows_what_matches(void **state)
{
	const struct shown_row *row = *state;
	struct fault fault;
	struct where *where = where_parse(span_text(row->where), &fault);
	struct view_options options = { .json = true, .where = where };
	struct paper paper;

	assert_non_null(where);
	paper_init(&paper);
	struct observer *view = deliveries_view_new(&paper.out, &options);
	script_play(view, MIXED);
	const char *text = paper_take(&paper), *all = strstr(text, "{\"kind\":\"delivery_all\"");
	char published[32];
	snprintf(published, sizeof(published), "\"published\":%llu,", (unsigned long long)deliveries_view_matched(view));
	view_free(view);
	assert_non_null(all);
	assert_non_null(strstr(all, published));
	if (!strstr(all, row->all))
		fail_msg("no %s in %s", row->all, all);
	for (size_t i = 0; i < sizeof(row->rest) / sizeof(row->rest[0]) && row->rest[i]; i++)
		if (row->rest[i][0] == '!' ? strstr(text, row->rest[i] + 1) != NULL : !strstr(text, row->rest[i]))
			fail_msg("%s: %s", row->rest[i], text);
	paper_release(&paper);
	where_free(where);
}

/* Whatever comes, what was due came, was lost, or is said to be open or not observable. */
static void adds_up(void **state)
{
	struct paper paper;
	struct view_options options = { .json = true };
	unsigned long long due, came, lost[3], open, unobservable;

	(void)state;
	paper_init(&paper);
	struct observer *view = deliveries_view_new(&paper.out, &options);
	assert_non_null(view);
	script_anything(view, 120000);
	view_free(view);
	const char *all = strstr(paper_take(&paper), "{\"kind\":\"delivery_all\"");
	assert_non_null(all);
	assert_int_equal(sscanf(strstr(all, "\"due\""), "\"due\":%llu,\"came\":%llu,\"lost\":[%llu,%llu,%llu],\"twice\":[%*u,%*u,%*u],\"open\":%llu,\"not_observable\":%llu",
	                        &due, &came, &lost[0], &lost[1], &lost[2], &open, &unobservable), 7);
	assert_int_equal(due, came + lost[0] + lost[1] + lost[2] + open + unobservable);
	if (due < 500 || came < 100 || !open || !unobservable)
		fail_msg("too little happened: %.200s", strstr(all, "\"due\""));
	paper_release(&paper);
}

/* More is under way than there is room for, all of it says the same, and all of it comes: nothing came twice, nothing is lost, nothing open. */
static void accuses_nobody_for_lack_of_room(void **state)
{
	enum { N = 15000 };
	struct paper paper;
	struct view_options options = { .json = true };
	static const char set_up[] = PUB_AND_SUB, publish[] = "10 c1 -> PUBLISH topic=\"a/b\" payload=\"1\"\n", deliver[] = "20 c2 <- PUBLISH topic=\"a/b\" payload=\"1\"\n";
	char *script = malloc(sizeof(set_up) + N * (sizeof(publish) + sizeof(deliver))), *to = script;

	(void)state;
	assert_non_null(script);
	to = stpcpy(to, set_up);
	for (unsigned i = 0; i < N; i++)
		to = stpcpy(to, publish);
	for (unsigned i = 0; i < N; i++)
		to = stpcpy(to, deliver);
	paper_init(&paper);
	struct observer *view = deliveries_view_new(&paper.out, &options);
	assert_non_null(view);
	script_play(view, script);
	view_free(view);
	const char *all = strstr(paper_take(&paper), "{\"kind\":\"delivery_all\"");
	assert_non_null(all);
	if (!strstr(all, "\"due\":15000,\"came\":12288,\"lost\":[0,0,0],\"twice\":[0,0,0],\"open\":0,\"not_observable\":2712,") ||
	    !strstr(all, "\"unmatched\":2712,") || !strstr(all, "\"no_room\":2712"))
		fail_msg("%s", all);
	paper_release(&paper);
	free(script);
}

/* A backlog: what is due to eight subscribers is some thousands of messages behind. All of it is followed. */
static void follows_a_backlog(void **state)
{
	enum { N = 3500, SUBSCRIBERS = 8 };
	struct view_options options = { .json = true };
	struct paper paper;
	struct seen_script s;
	char line[256];

	(void)state;
	paper_init(&paper);
	struct observer *view = deliveries_view_new(&paper.out, &options);
	assert_non_null(view);
	script_start(&s, view);
	for (unsigned c = 1; c <= 1 + SUBSCRIBERS; c++) {
		static const char *const steps[] = { "opens 5", "-> CONNECT clean_start client_id=\"\"", "<- CONNACK session_present=0 reason=0",
		                                     "-> SUBSCRIBE packet_id=1 (\"a/+\")", "<- SUBACK packet_id=1 reason=[0]" };

		for (unsigned i = 0; i < (c == 1 ? 3 : 5); i++) {
			snprintf(line, sizeof(line), "0 c%u %s", c, steps[i]);
			script_line(&s, line);
		}
	}
	for (unsigned i = 0; i < N; i++) {
		snprintf(line, sizeof(line), "10 c1 -> PUBLISH topic=\"a/b\" payload=\"%u\"", i);
		script_line(&s, line);
	}
	for (unsigned i = 0; i < N * SUBSCRIBERS; i++) {
		snprintf(line, sizeof(line), "4000 c%u <- PUBLISH topic=\"a/b\" payload=\"%u\"", 2 + i % SUBSCRIBERS, i / SUBSCRIBERS);
		script_line(&s, line);
	}
	script_finish(&s);
	view_free(view);
	const char *all = strstr(paper_take(&paper), "{\"kind\":\"delivery_all\"");
	assert_non_null(all);
	if (!strstr(all, ALL(28000, 28000, NONE, NONE, 0, 0, 0, 0, 0)) || !strstr(all, "\"no_room\":0"))
		fail_msg("%s", all);
	paper_release(&paper);
}

int main(void)
{
	enum { N = sizeof(rows) / sizeof(rows[0]), SHOWN = sizeof(shown_rows) / sizeof(shown_rows[0]) };
	struct CMUnitTest tests[N + 4 + SHOWN];

	for (size_t i = 0; i < N; i++)
		tests[i] = (struct CMUnitTest){ .name = rows[i].name, .test_func = says, .initial_state = (void *)(uintptr_t)&rows[i] };
	tests[N] = (struct CMUnitTest)cmocka_unit_test(shows_rows_and_losses);
	tests[N + 1] = (struct CMUnitTest)cmocka_unit_test(adds_up);
	tests[N + 2] = (struct CMUnitTest)cmocka_unit_test(accuses_nobody_for_lack_of_room);
	tests[N + 3] = (struct CMUnitTest)cmocka_unit_test(follows_a_backlog);
	for (size_t i = 0; i < SHOWN; i++)
		tests[N + 4 + i] = (struct CMUnitTest){ .name = shown_rows[i].name, .test_func = shows_what_matches,
		                                        .initial_state = (void *)(uintptr_t)&shown_rows[i] };
	return cmocka_run_group_tests_name("view_deliveries", tests, NULL, NULL);
}

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/tests/script_dump.h"

/* Workloads: what they become, and every mistake with its place. */

#define HEAD "workload \"w\"\nmqtt 5\n"
#define R HEAD "role r x 3 {\nr connects\n"	/* steps begin in line 5 */

static const struct row {
	const char *name, *text, *want;
} rows[] = {
	/* ---- roles ---- */
	{ "a role", HEAD "role r x 3 { r connects }", "role r x 3 { r connects }" },
	{ "over and with", HEAD "role r x 10000000 with \"f.csv\" over 2s {\n r connects client_id=$id user_name=$user password=$id\n}",
	  "role r x 10000000 over 2000000000 with f.csv { r connects client_id=$id of f.csv user_name=$user of f.csv password=$id of f.csv }" },
	{ "how many by parameters", HEAD "param n_cells = 4\nrole r x $(n_cells * 25) { r connects }", "role r x 100 { r connects }" },
	{ "two roles", HEAD "role a x 1 { a connects }\n\nrole b x 2 { b connects }", "role a x 1 { a connects }; role b x 2 { b connects }" },
	{ "roles on one line", HEAD "role a x 1 { a connects }; role b x 2 { b connects }", "role a x 1 { a connects }; role b x 2 { b connects }" },
	{ "needs, tags and parameters", HEAD "needs maximum_qos>=1\ntags slow\nparam size = 100\nrole r x 1 { r connects; r publishes qos=1 payload=stamp($size) }",
	  "role r x 1 { r connects; r publishes qos=1 payload=stamp 100 }" },

	/* ---- values ---- */
	{ "the client's number", R "r publishes topic=\"t/$(n % 10)\" payload=\"$(n)\" topic_alias=$n }",
	  "role r x 3 { r connects; r publishes topic=<\"t/\" ($n%10)> payload=<$n> topic_alias=$n }" },
	{ "some client of a role", HEAD "role a x 1 {\na connects; a publishes topic=\"t/$(pick(b))/$(pick(a) + 1)\" topic_alias=pick(b) }\nrole b x 9 { b connects }",
	  "role a x 1 { a connects; a publishes topic=<\"t/\" pick b \"/\" (pick a+1)> topic_alias=pick b }; role b x 9 { b connects }" },
	{ "columns in strings", HEAD "role r x 3 with \"f.csv\" {\nr connects client_id=\"c-$(id)\" }", "role r x 3 with f.csv { r connects client_id=<\"c-\" $id of f.csv> }" },
	{ "what is in force", R "wait $(r.keep_alive * 1s); r publishes payload=$r.client_id }",
	  "role r x 3 { r connects; wait for ($r.keep_alive*1000000000); r publishes payload=$r.client_id }" },
	{ "names are the client's own", R "r receives payload as $p; r publishes payload=$p }\nrole s x 1 { s connects; s receives payload as $p; s publishes payload=$p }",
	  "role r x 3 { r connects; r receives payload any as p; r publishes payload=$p }; role s x 1 { s connects; s receives payload any as p; s publishes payload=$p }" },

	/* ---- steps ---- */
	{ "every", R "every 100ms { r publishes qos=1 in flight 20 } }", "role r x 3 { r connects; every for 100000000 { r publishes qos=1 flight 20 } }" },
	{ "every so long as a parameter says", HEAD "param rate = 50\nrole r x 3 {\nr connects; every $(1s / rate) { r pings } }",
	  "role r x 3 { r connects; every for 20000000 { r pings } }" },
	{ "forever, and what stands behind", R "forever { r publishes in flight 100 }\nr disconnects }",
	  "role r x 3 { r connects; forever { r publishes flight 100 }; r disconnects }" },
	{ "meetings", R "meet \"all\" }\nrole s x 1 { meet \"some\"; s connects; meet \"all\" }\nrole t x 1 { t connects; meet \"some\" }",
	  "role r x 3 { r connects; meet all }; role s x 1 { meet some; s connects; meet all }; role t x 1 { t connects; meet some }" },
	{ "whenever before connecting", HEAD "role r x 3 {\nwhenever r receives topic~\"a/+\" payload as $p { r publishes topic=\"b\" qos=1 payload=$p }\nr connects }",
	  "role r x 3 { whenever { r receives topic ~\"a/+\" payload any as p; block { r publishes topic=\"b\" qos=1 payload=$p } }; r connects }" },
	{ "whenever without a body's steps", R "whenever r receives { }\nforever { wait 1s } }", "role r x 3 { r connects; whenever { r receives; block }; forever { wait for 1000000000 } }" },
	{ "whenever acknowledges by itself", R "whenever r <- PUBLISH qos=1 packet_id as $p { note \"held\"; r -> PUBACK packet_id=$p } }",
	  "role r x 3 { r connects; whenever { r <- PUBLISH qos 1 packet_id any as p; block { note held; r -> PUBACK packet_id=$p } } }" },
	{ "again", HEAD "role r x 3 {\nagain after 500ms..1m { r connects clean_start=0; meet \"ready\"; r drops }\nr connects }",
	  "role r x 3 { again from 500000000 to 60000000000 { r connects clean_start=0; meet ready; r drops }; r connects }" },
	{ "connections that come and go", HEAD "role r x 3 {\nforever { again after 1s..2s { r connects; r disconnects } } }",
	  "role r x 3 { forever { again from 1000000000 to 2000000000 { r connects; r disconnects } } }" },
	{ "a loop that connects", HEAD "role r x 3 {\nrepeat 10 { r connects; r disconnects }\nevery 1s { r opens; r closes } }",
	  "role r x 3 { repeat from 0 to 9 { r connects; r disconnects }; every for 1000000000 { r opens; r closes } }" },
	{ "all the rest", R "r reads 1k/s; together { r -> PINGREQ; r -> PINGREQ }; r <- PINGRESP; note \"n\"; warn \"w\"; r -> PUBLISH qos=0 in pieces of 1 every 1ms; r <- nothing; r <- closed within 1s; skip \"s\" }",
	  "role r x 3 { r connects; r reads 1024; r together { r -> PINGREQ; r -> PINGREQ }; r <- PINGRESP; note n; warn w; r -> PUBLISH qos=0 pieces 1 every 1000000; r nothing; r closed within 1000000000; skip s }" },

	/* ---- mistakes of the file ---- */
	{ "no roles", HEAD, "1:1: there are no roles; a workload's steps stand in `role NAME x N { }`" },
	{ "no version", "workload \"w\"\nrole r x 1 { r connects }", "1:1: no `mqtt` line before the first role; say for which versions, such as `mqtt 3.1.1 5`" },
	{ "no title", "workload \"\"\nmqtt 5\nrole r x 1 { r connects }", "1:10: the title is empty; say what is played" },
	{ "cites", HEAD "cites 5 MQTT-3.3.1-2\nrole r x 1 { r connects }", "3:1: a workload judges nothing by clause; what it is to reach is said by `--expect`" },
	{ "watches", HEAD "watches 5 MQTT-3.3.1-2\nrole r x 1 { r connects }", "3:1: a workload judges nothing by clause; every broken rule that is seen is reported" },
	{ "a case", HEAD "case \"x\" k=1\nrole r x $k { r connects }", "3:1: a workload has no cases; `param` gives it a value that -D can change" },
	{ "an actor", HEAD "actor r keep_alive=9\nrole r x 1 { r connects }", "3:1: a workload has roles; what an actor's CONNECT says stands behind `connects`" },
	{ "alone", HEAD "alone\nrole r x 1 { r connects }", "3:1: a workload is played by itself; take `alone` out" },
	{ "a parameter named n", HEAD "param n = 5\nrole r x $n { r connects }", "3:7: `n` is the client's number in its role; choose another name" },
	{ "a parameter that nobody uses", HEAD "param k = 5\nrole r x 1 { r connects }", "3:7: parameter `k` is used by no step" },
	{ "a parameter behind a role", HEAD "role r x 1 { r connects }\nparam k = 5", "4:1: `param` belongs in the header, before the first step" },
	{ "a role without a title", "role r x 1 { r connects }", "1:1: expected `workload \"title\"` as the first line, found `role`" },
	{ "a step outside", HEAD "role r x 1 { r connects }\nr connects", "4:1: expected `role NAME x N { }`, in which a workload's steps stand" },
	{ "a loop outside", HEAD "every 1s { r connects }", "3:1: `every` stands in a role: `role NAME x N { }`" },
	{ "a mark", R "r receives [MQTT-3.3.1-2] }", "5:12: a workload judges nothing by clause; take the mark out" },

	/* ---- mistakes of roles ---- */
	{ "a role without a name", HEAD "role { }", "3:6: expected the role's name, found `{`" },
	{ "a role that is a word", HEAD "role wait x 1 { wait connects }", "3:6: `wait` is a word of the notation and names no role" },
	{ "a role with a hyphen", HEAD "role my-role x 1 { r connects }", "3:6: `my-role`: a name has neither `.` nor `-`" },
	{ "a role twice", HEAD "role r x 1 { r connects }\nrole r x 2 { r connects }", "4:6: role `r` stands twice" },
	{ "a role in a role", R "role s x 1 { s connects } }", "5:1: a role stands by itself, not in another" },
	{ "how many", HEAD "role r 5 { r connects }", "3:8: expected `x` and how many, `x 100`, found `5`" },
	{ "none", HEAD "role r x 0 { r connects }\nrole s x 1 { s connects }", "role r x 0 { r connects }; role s x 1 { s connects }" },
	{ "none at all", HEAD "role r x 0 { r connects }", "3:10: there are no clients in any role" },
	{ "none to pick from", HEAD "role r x 0 { r connects }\nrole s x 1 { s connects; s publishes topic=\"$(pick(r))\" }", "4:52: role `r` has no clients to pick from" },
	{ "too many", HEAD "role r x 10000001 { r connects }", "3:10: a role has at most 10000000 clients, found 10000001" },
	{ "as many as chance says", HEAD "role r x $(pick(r)) { r connects }", "3:12: how many clients is fixed when the run begins: a number, or `param`s and numbers in $( )" },
	{ "a ramp that is no time", HEAD "role r x 3 over 30 { r connects }", "3:17: expected a duration such as 500ms, 2s or 1m, found `30`" },
	{ "over twice", HEAD "role r x 3 over 1s over 2s { r connects }", "3:20: `over` stands twice" },
	{ "a file without quotes", HEAD "role r x 3 with fleet.csv { r connects }", "3:17: expected a file's name in quotes, with \"fleet.csv\", found `fleet.csv`" },
	{ "a file above", HEAD "role r x 3 with \"data/../../f.csv\" { r connects }", "3:17: a workload reads files below its own folder only, \"fleet.csv\" or \"data/fleet.csv\"" },
	{ "a file from the top", HEAD "role r x 3 with \"/f.csv\" { r connects }", "3:17: a workload reads files below its own folder only, \"fleet.csv\" or \"data/fleet.csv\"" },
	{ "a file of two dots", HEAD "role r x 3 with \"a/..b..\" { r connects }", "role r x 3 with a/..b.. { r connects }" },
	{ "a file without a name", HEAD "role r x 3 with \"\" { r connects }", "3:17: a workload reads files below its own folder only, \"fleet.csv\" or \"data/fleet.csv\"" },
	{ "a bracket on the next line", HEAD "role r x 3\n{\nr connects\n}", "3:11: expected `{` on the line of the role, found the end of the line" },
	{ "something else", HEAD "role r x 3 in 3s { r connects }", "3:12: expected `over D`, `with \"file.csv\"` or `{`, found `in`" },
	{ "a role that does nothing", HEAD "role r x 1 { }", "3:6: role `r` does nothing" },
	{ "another role's step", HEAD "role r x 1 {\ns connects }\nrole s x 1 { s connects }", "4:1: `s` is another role; in role `r` each step is done by `r` itself" },
	{ "a misspelt step", R "forver { r pings } }", "5:1: expected a step of role `r`, such as `r connects`, found `forver`; did you mean `forever`?" },
	{ "a misspelt role", HEAD "role sensor x 1 {\nsenor connects }", "4:1: expected a step of role `sensor`, such as `sensor connects`, found `senor`; did you mean `sensor`?" },
	{ "several", HEAD "role r x 1 {\nr connects\nr|s receives }\nrole s x 1 { s connects }", "5:3: `s` is another role; in role `r` each step is done by `r` itself" },
	{ "unordered", R "unordered { r receives } }", "5:1: `unordered` does not stand in a role; what may come in any order, or not at all, is taken by `whenever r receives { }`" },
	{ "either", R "either { r receives } or { r <- PUBREL } }", "5:1: `either` does not stand in a role; what may come in any order, or not at all, is taken by `whenever r receives { }`" },
	{ "maybe", R "maybe r receives }", "5:1: `maybe` does not stand in a role; what may come in any order, or not at all, is taken by `whenever r receives { }`" },
	{ "target lives", R "target lives }", "5:1: `target lives` does not stand in a role: a run tells by itself when the target ends" },
	{ "pass", R "pass }", "5:1: `pass` stands in faults only" },

	/* ---- mistakes of values ---- */
	{ "a name that nothing binds", R "r publishes payload=$cliend_id }", "5:21: `$cliend_id` is not bound here" },
	{ "a column without a file", HEAD "role r x 3 {\nr connects client_id=$client_id }", "4:22: `$client_id` is not bound here" },
	{ "a name that is a column", HEAD "role r x 3 with \"f.csv\" {\nr connects client_id=$id\nr receives payload as $id }", "5:23: `$id` stands for a column of f.csv in line 4; choose another name" },
	{ "a name that is the number", R "r receives payload as $n; r publishes payload=$n }", "5:23: `$n` is the client's number in its role; choose another name" },
	{ "a name that is a role", R "r receives payload as $r; r publishes payload=$r }", "5:23: `r` is a role; choose another name" },
	{ "an unused name", R "r receives payload as $p }", "5:23: `$p` is bound and never used; take `as $p` out" },
	{ "a number as text", R "r publishes payload=$n }", "5:21: payload takes a string; write \"...\" or \"$( )\"" },
	{ "text as a number", HEAD "role r x 3 with \"f.csv\" {\nr connects keep_alive=$k }", "4:23: keep_alive takes a number, and what stands in a column is text" },
	{ "a sum of text", HEAD "role r x 3 with \"f.csv\" {\nr connects keep_alive=$(k + 1) }", "4:25: expected a number for `+`, found a column, which is text" },
	{ "how often is text", HEAD "role r x 3 with \"f.csv\" {\nr connects; repeat $k { r pings } }", "4:20: expected how often, such as 3 or 1..5" },
	{ "how long is text", HEAD "role r x 3 with \"f.csv\" {\nr connects; wait $(k) }", "4:18: expected a duration" },
	{ "no such role to pick from", R "r publishes topic=\"t/$(pick(s))\" }", "5:29: no role `s` to pick from; did you mean `r`?" },
	{ "a role misspelt to pick from", HEAD "role device x 3 {\ndevice connects; device publishes topic=\"t/$(pick(devise))\" }", "4:51: no role `devise` to pick from; did you mean `device`?" },
	{ "another role's client id", HEAD "role r x 3 {\nr connects; r publishes payload=$s.client_id }\nrole s x 1 { s connects }",
	  "4:33: `$s.client_id`: a client knows what is in force for itself only, `$r.client_id`" },
	{ "a small stamp", R "r publishes qos=1 payload=stamp(15) }", "5:33: a workload's stamp takes 16 bytes or more, found stamp(15)" },

	/* ---- mistakes of steps ---- */
	{ "turns no time apart", R "every 0s { r pings } }", "5:7: turns that are no time apart are `forever`" },
	{ "turns without a unit", R "every 10 { r pings } }", "5:7: expected a duration such as 500ms, 2s or 1m, found `10`" },
	{ "turns by their rate", R "every 100/s { r pings } }", "5:7: expected the time between two turns, such as 10ms for 100 in a second, found `100/s`" },
	{ "every behind a step", R "r publishes topic=\"x\" every 1s }", "5:23: unknown field `every` of PUBLISH; `every 1s { }` stands around what is done again" },
	{ "in flight in one word", R "r publishes inflight=20 }", "5:13: unknown field `inflight` of PUBLISH; did you mean `in flight N`?" },
	{ "filters without brackets", R "r subscribes \"a/b\" qos=1 }", "5:14: expected the filters in brackets, `(\"a/b\" qos=1)`, found `\"a/b\"`" },
	{ "a loop of nothing", R "forever { } }", "5:1: nothing is sent or awaited in this loop" },
	{ "a loop of remarks", R "every 1s { note \"x\"; whenever r receives { } } }", "5:1: nothing is sent or awaited in this loop" },
	{ "meet in a loop", R "repeat 2 { meet \"x\" } }", "5:12: a meeting is held once; `meet` stands before the loop" },
	{ "meet in a whenever", R "whenever r receives { meet \"x\" } }", "5:23: a `whenever` only sends: `meet` stands outside" },
	{ "a meeting without a name", R "meet \"\" }", "5:6: a meeting's name is not empty" },
	{ "a meeting without quotes", R "meet ready }", "5:6: expected the meeting's name in quotes, found `ready`" },
	{ "whenever waits", R "whenever r receives { r receives } }", "5:23: a `whenever` only sends: `->`, `publishes` and `note` stand in it; what waits or ends the connection stands outside" },
	{ "whenever disconnects", R "whenever r receives { r disconnects } }", "5:23: a `whenever` only sends: `->`, `publishes` and `note` stand in it; what waits or ends the connection stands outside" },
	{ "whenever in whenever", R "whenever r receives { whenever r receives { } } }", "5:23: a `whenever` only sends: `whenever` stands outside" },
	{ "whenever in flight", R "whenever r receives { r publishes qos=1 in flight 3 } }", "5:23: nothing in a `whenever` waits: take `in flight` out" },
	{ "whenever gets", R "whenever r receives { r publishes qos=1 gets reason=0 } }", "5:23: nothing in a `whenever` waits: `gets` has nothing to look at" },
	{ "whenever in pieces", R "whenever r receives { r -> PINGREQ in pieces of 1 } }", "5:23: `in pieces of` does not stand in a `whenever`, which sends at once" },
	{ "whenever closed", R "whenever r <- closed { } }", "5:10: `whenever` stands before what comes, `r receives` or `r <- PACKET`" },
	{ "whenever sent", R "whenever r -> PINGREQ { } }", "5:10: `whenever` stands before what comes, `r receives` or `r <- PACKET`" },
	{ "whenever CONNACK", R "whenever r <- CONNACK { } }", "5:10: CONNACK comes once to whom asked for it: await it where it is asked for" },
	{ "whenever within", R "whenever r receives within 2s { } }", "5:10: `whenever` has no time limit" },
	{ "whenever once", R "whenever r receives once { } }", "5:21: `once` stands in faults; a role's `whenever` holds for the rest of its block" },
	{ "whenever's names end with it", R "whenever r receives payload as $p { r publishes payload=$p }\nr publishes payload=$p }", "6:21: `$p` is not bound here" },
	{ "again without after", HEAD "role r x 3 {\nagain { r connects } }", "4:7: expected `after 1s..60s`, found `{`" },
	{ "again without a longest wait", HEAD "role r x 3 {\nagain after 1s { r connects } }", "4:16: expected `..` and the longest wait, found `{`" },
	{ "again the wrong way round", HEAD "role r x 3 {\nagain after 60s..1s { r connects } }", "4:13: the shortest wait is above the longest" },
	{ "again at once", HEAD "role r x 3 {\nagain after 0s..1s { r connects } }", "4:13: a wait of no time is never doubled, and a broker that refuses is asked without end; begin with 100ms or so" },
	{ "again with a connection", R "again after 1s..2s { r subscribes (\"x\") } }", "5:1: `again` begins anew without a connection; put `r connects` into its block" },
	{ "none in flight", R "r publishes qos=1 in flight 0 }", "5:29: 1 to 65535 exchanges are in flight" },
	{ "a ping in flight", R "r pings in flight 2 }", "5:1: `in flight` stands behind `publishes`" },
	{ "in flight and judged", R "r publishes qos=1 gets reason=0 in flight 2 }", "5:1: nobody waits for an exchange in flight, so that `gets` has nothing to look at" },
	{ "in flight and timed", R "r publishes qos=1 in flight 2 within 1s }", "5:31: nobody waits for an exchange in flight; take `within` out" },
	{ "in flight in a scenario", "scenario \"s\"\nmqtt 5\nwatches 5 MQTT-3.3.1-2\na connects; a publishes in flight 2", "4:13: `in flight` stands in workloads only; a scenario waits for each exchange" },

	/* ---- what is certain of the connection ---- */
	{ "no connection", HEAD "role r x 1 {\nr subscribes (\"x\") }", "4:1: `r` has no connection yet; `r connects` first" },
	{ "connected twice", R "r connects }", "5:1: `r` is connected already; end that connection first, or write `-> !CONNECT`" },
	{ "connected in each turn", HEAD "role r x 1 {\nevery 1s {\nr connects; r pings } }", "5:1: `r` is connected already in the second turn; end that connection first, or write `-> !CONNECT`" },
	{ "connected in each turn of again", HEAD "role r x 1 {\nforever { again after 1s..2s {\nr connects; r pings } } }", "5:1: `r` is connected already in the second turn; end that connection first, or write `-> !CONNECT`" },
	{ "ended in the first turn", R "every 1s {\nr pings; r disconnects } }", "6:1: the connection of `r` has ended in the second turn; `opens`, `connects` or a CONNECT opens it again" },
	{ "ended in the first of several", R "repeat 2 { r pings; r drops } }", "5:12: the connection of `r` has ended in the second turn; `opens`, `connects` or a CONNECT opens it again" },
	{ "a loop may have no turn", R "every 1s { r disconnects; r connects }\nforever { r drops; r connects }\nr disconnects }",
	  "role r x 3 { r connects; every for 1000000000 { r disconnects; r connects }; forever { r drops; r connects }; r disconnects }" },
	{ "behind a loop nothing is certain", HEAD "role r x 1 {\nevery 1s { again after 1s..2s { r connects; r disconnects } }\nr connects }",
	  "role r x 1 { every for 1000000000 { again from 1000000000 to 2000000000 { r connects; r disconnects } }; r connects }" },
	{ "a wrong packet", R "r -> PUBLISH topic=\"a/#\" }", "5:14: " },
	{ "a wrong packet of a setup step", R "r publishes topic=\"a/#\" }", "5:13: " },
	{ "a wrong packet, meant", R "r -> PUBLISH !topic=\"a/#\" }", "role r x 3 { r connects; r -> !PUBLISH !topic=\"a/#\" }" },
	{ "a version's own", "workload \"w\"\nmqtt 3.1.1\nrole r x 1 { r connects\nr -> AUTH }", "4:6: AUTH exists in 5 only, not in 3.1.1" },

	/* ---- advice ---- */
	{ "pings in a loop", R "every 1s { r publishes payload=\"x\" } }", "5:12: warning: each of these waits for a ping, as QoS 0 has no answer; `in flight 1` goes on at once" },
	{ "a ping once", R "r publishes payload=\"x\" }", "role r x 3 { r connects; r publishes payload=\"x\" }" },
	{ "a window that fills up", HEAD "role r x 1 {\nr connects; r subscribes (\"a\" qos=1)\nforever { wait 1s } }",
	  "3:6: warning: role `r` subscribes with QoS above 0 and acknowledges nothing, so that the broker soon stops sending; `whenever r receives { }` takes what comes" },
	{ "a window that is meant to fill up", R "r subscribes (\"a\" qos=1); r reads nothing; forever { wait 1s } }",
	  "role r x 3 { r connects; r subscribes (\"a\" qos=1); r reads 0; forever { wait for 1000000000 } }" },
	{ "one id for all", HEAD "role r x 2 {\nr connects client_id=\"$(topic)-x\" }", "4:22: warning: all 2 clients have this id, so that each takes over the one before it; write \"...$(n)\", or leave client_id out" },
	{ "an id for the only one", HEAD "role r x 1 {\nr connects client_id=\"x\" }", "role r x 1 { r connects client_id=\"x\" }" },
	{ "sent too early", R "every 1s { r publishes topic=\"tele/$(n)\" qos=1 } }\nrole s x 1 { s connects; s subscribes (\"tele/+\") }",
	  "5:12: warning: what is sent before `s` has subscribed goes nowhere; `meet \"ready\"` in both roles waits until all are there" },
	{ "sent too early to a group", R "every 1s { r publishes qos=1 } }\nrole s x 1 { s connects; s subscribes (\"$share/g/$(topic)\") }",
	  "5:12: warning: what is sent before `s` has subscribed goes nowhere; `meet \"ready\"` in both roles waits until all are there" },
	{ "sent when all are there", R "meet \"x\"; every 1s { r publishes topic=\"tele/$(n)\" qos=1 payload=stamp(32) } }\nrole s x 1 { s connects; s subscribes (\"tele/+\"); meet \"x\" }",
	  "role r x 3 { r connects; meet x; every for 1000000000 { r publishes topic=<\"tele/\" $n> qos=1 payload=stamp 32 } }; role s x 1 { s connects; s subscribes (\"tele/+\"); meet x }" },
	{ "sent elsewhere", R "every 1s { r publishes topic=\"tele/$(n)\" qos=1 } }\nrole s x 1 { s connects; s subscribes (\"cmd/+\") }",
	  "role r x 3 { r connects; every for 1000000000 { r publishes topic=<\"tele/\" $n> qos=1 } }; role s x 1 { s connects; s subscribes (\"cmd/+\") }" },
	{ "sent without a stamp", R "r subscribes ($topic)\nevery 1s { r publishes qos=1 payload=\"x\" } }",
	  "6:12: warning: which of these are lost, doubled or late can only be told with `payload=stamp(N)`" },
	{ "a will with a stamp", R "r disconnects; r connects will.topic=\"t\" will.payload=stamp(32) }",
	  "5:16: warning: the stamp of a will tells nothing: the broker decides whether and when it is sent; wills are counted as `foreign`" },
	{ "order between topics", R "r receives topic=\"a\"; r receives topic=\"b\" }", "5:23: warning: no order is promised between two topics; take what comes by `whenever`" },
	{ "a dollar in a string", R "r publishes topic=\"t/$n\" }", "5:19: warning: `$n` in a string is no value: write `$(n)`, or `\\$n` if it is meant as it stands" },
	{ "a bound name in a string", R "r receives payload as $load; r publishes payload=\"$load\"; r publishes payload=$load }",
	  "5:50: warning: `$load` in a string is no value: write `$(load)`, or `\\$load` if it is meant as it stands" },
	{ "other dollars in strings", R "r subscribes (\"$SYS/#\", \"$share/n/\\$n\", \"$\", \"$name\") }",
	  "role r x 3 { r connects; r subscribes (\"$SYS/#\", \"$share/n/$n\", \"$\", \"$name\") }" },
	{ "a meeting misspelt", R "meet \"ready\" }\nrole s x 1 { s connects\nmeet \"redy\" }", "5:6: warning: only one role meets here; did you mean `redy`?" },
	{ "a meeting twice", R "meet \"x\"\nmeet \"x\" }", "6:6: warning: this role has met here before; a meeting is held once" },
	{ "a loop in a loop", R "repeat 3 { every 1s { r pings } } }", "5:12: warning: `every` ends only with the run, so that the loop around it has one turn" },
};

/* The first that was said, or the roles. */
static void reads_as_written(void **state)
{
	const struct row *row = *state;
	size_t len = strlen(row->text);
	uint8_t *exact = malloc(len);
	struct diagnostics found;
	struct scenario *scenario;
	struct dump dump = { .n = 0 };

	memcpy(exact, row->text, len);
	scenario = scenario_parse("w.scn", span_of(exact, len), NULL, 0, &found);
	free(exact);		/* nothing may borrow from it */
	if (found.n) {
		put(&dump, "%u:%u: %s%s", found.list[0].at.line, found.list[0].at.column, found.list[0].warning ? "warning: " : "", found.list[0].text);
	} else {
		assert_non_null(scenario);
		assert_null(scenario->scripts->steps);
		dump.script = scenario->scripts;
		dump_roles(&dump);
	}
	if (row->want[strlen(row->want) - 1] == ' ')	/* only the place is fixed; the text is the codec's */
		dump.text[strlen(row->want)] = '\0';
	assert_string_equal(dump.text, row->want);
	assert_true(!scenario == (found.n_errors > 0));
	scenario_free(scenario);
}

/* ---- the whole file ---- */

static const char command_response[] =
	"workload \"Commands to devices on their own topics, answered, beside telemetry\"\n"
	"mqtt     3.1.1 5\n"
	"needs    shared_subscription_available\n"
	"param    devices = 5000\n"
	"role device x $devices over 30s with \"fleet.csv\" {\n"
	"    again after 1s..60s {\n"
	"        whenever device receives topic=\"cmd/$(n)\" payload as $p { device publishes topic=\"rsp/$(n)\" qos=1 payload=$p }\n"
	"        device connects client_id=$client_id user_name=$user_name password=$password clean_start=0 session_expiry_interval=600\n"
	"        device subscribes (\"cmd/$(n)\" qos=1)\n"
	"        meet \"ready\"\n"
	"        every 10s { device publishes topic=\"tele/$(n)\" qos=1 payload=stamp(200) in flight 20 }\n"
	"    }\n"
	"}\n"
	"role app x 50 {\n"
	"    whenever app receives topic~\"rsp/+\" { }\n"
	"    app connects\n"
	"    app subscribes (\"$share/apps/rsp/+\" qos=1)\n"
	"    meet \"ready\"\n"
	"    every 10ms { app publishes topic=\"cmd/$(pick(device))\" qos=1 payload=stamp(64) in flight 20 }\n"
	"}\n";

static void a_script_for_each_version(void **state)
{
	static const struct param given[] = { { "devices", "7" } };
	struct diagnostics found;
	struct scenario *s = scenario_parse("w.scn", span_text(command_response), given, 1, &found);
	struct dump dump = { .n = 0 };

	(void)state;
	assert_int_equal(found.n, 0);
	assert_int_equal(s->n_scripts, 2);
	assert_int_equal(s->n_params, 1);
	for (unsigned i = 0; i < 2; i++) {
		const struct script *script = &s->scripts[i];

		assert_int_equal(script->version, i ? MQTT_5 : MQTT_3_1_1);
		assert_string_equal(script->id, "w.scn");
		assert_true(script->n_roles == 2 && script->n_actors == 2 && script->n_meetings == 1 && script->n_needs == 1);
		assert_string_equal(script->actors[1].name, script->roles[1].name);
		assert_true(script->actors[1].version == script->version && script->actors[1].way == N_WAYS);
		assert_int_equal(script->roles[0].count->number, 7);
		assert_int_equal(script->roles[0].n_columns, 3);
		assert_int_equal(script->roles[0].columns[1].at.line, 8);
		assert_int_equal(script->roles[0].columns[1].at.column, 56);
		assert_int_equal(script->roles[1].steps->actor, 1);
	}
	dump.script = &s->scripts[1];
	dump_roles(&dump);
	assert_string_equal(dump.text,
	                    "role device x 7 over 30000000000 with fleet.csv { again from 1000000000 to 60000000000 { "
	                    "whenever { device receives topic <\"cmd/\" $n> payload any as p; block { device publishes topic=<\"rsp/\" $n> qos=1 payload=$p } }; "
	                    "device connects client_id=$client_id of fleet.csv user_name=$user_name of fleet.csv password=$password of fleet.csv clean_start=0 session_expiry_interval=600; "
	                    "device subscribes (<\"cmd/\" $n> qos=1); meet ready; "
	                    "every for 10000000000 { device publishes topic=<\"tele/\" $n> qos=1 payload=stamp 200 flight 20 } } }; "
	                    "role app x 50 { whenever { app receives topic ~\"rsp/+\"; block }; app connects; app subscribes (\"$share/apps/rsp/+\" qos=1); meet ready; "
	                    "every for 10000000 { app publishes topic=<\"cmd/\" pick device> qos=1 payload=stamp 64 flight 20 } }");
	scenario_free(s);
}

static void a_step_keeps_its_text(void **state)
{
	struct diagnostics found;
	struct scenario *s = scenario_parse("w.scn", span_text(command_response), NULL, 0, &found);
	const struct step *step = s->scripts->roles[0].steps;

	(void)state;
	assert_string_equal(step->text, "again after 1s..60s");
	step = step->children;
	assert_string_equal(step->text, "whenever device receives topic=\"cmd/$(n)\" payload as $p");
	step = step->next->next->next;
	assert_string_equal(step->text, "meet \"ready\"");
	assert_string_equal(step->next->text, "every 10s");
	scenario_free(s);
}

/* One mistake is no reason to tell of others that are none. */
static void every_mistake_is_told_once(void **state)
{
	struct diagnostics found;

	(void)state;
	assert_null(scenario_parse("w.scn", span_text("workload \"w\"\nmqtt 3.1.1 5\nrole a x 3 {\nwhenever a receives { a pigns }\nevery 1s { a connets; a pings }\nmeet \"x\"\n}\n"
	                                              "role b y 3 { b pings }\nrole c x 1 {\nc connects; b pings\nforever { c conects }\nmeet \"x\"\nevery { c pings }\n}\n"), NULL, 0, &found));
	static const unsigned lines[] = { 4, 5, 8, 10, 11, 13 };
	assert_int_equal(found.n, sizeof lines / sizeof *lines);
	for (unsigned i = 0; i < found.n; i++)
		assert_int_equal(found.list[i].at.line, lines[i]);
}

static void growth_is_bounded(void **state)
{
	static char text[1 << 18];
	struct diagnostics found;
	size_t n;

	(void)state;
	n = (size_t)sprintf(text, HEAD);
	for (unsigned i = 0; i < MAX_ACTORS + 1; i++)
		n += (size_t)sprintf(text + n, "role r%u x 1 { r%u connects }\n", i, i);
	assert_null(scenario_parse("w.scn", span_text(text), NULL, 0, &found));
	assert_string_equal(found.list[0].text, "more than 32 roles");
	assert_int_equal(found.list[0].at.line, 3 + MAX_ACTORS);

	n = (size_t)sprintf(text, R);
	for (unsigned i = 0; i < 33; i++)
		n += (size_t)sprintf(text + n, "meet \"meeting %u\"\n", i * 7919);
	sprintf(text + n, "}");
	assert_null(scenario_parse("w.scn", span_text(text), NULL, 0, &found));
	assert_string_equal(found.list[0].text, "more than 32 meetings");

	n = (size_t)sprintf(text, HEAD "role r x 1 with \"f.csv\" {\nr connects client_id=\"");
	for (unsigned i = 0; i < 30; i++)
		n += (size_t)sprintf(text + n, "$(c%u)", i);
	n += (size_t)sprintf(text + n, "\"\nr publishes payload=\"");
	for (unsigned i = 30; i < 60; i++)
		n += (size_t)sprintf(text + n, "$(c%u)", i);
	n += (size_t)sprintf(text + n, "\" topic=\"");
	for (unsigned i = 60; i < 65; i++)
		n += (size_t)sprintf(text + n, "$(c%u)", i);
	sprintf(text + n, "\"\n}");
	assert_null(scenario_parse("w.scn", span_text(text), NULL, 0, &found));
	assert_string_equal(found.list[0].text, "more than 64 columns of one file");
}

int main(void)
{
	enum { N = sizeof rows / sizeof *rows, M = 4 };
	struct CMUnitTest tests[N + M] = {
		cmocka_unit_test(a_script_for_each_version),
		cmocka_unit_test(a_step_keeps_its_text),
		cmocka_unit_test(every_mistake_is_told_once),
		cmocka_unit_test(growth_is_bounded),
	};

	for (size_t i = 0; i < N; i++)
		tests[M + i] = (struct CMUnitTest){ .name = rows[i].name, .test_func = reads_as_written, .initial_state = (void *)&rows[i] };
	return cmocka_run_group_tests(tests, NULL, NULL);
}

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/capture_script.h"
#include "harness/tests/script_dump.h"

/* Steps are tested behind this header; they begin in line 4. */
#define HEAD "scenario \"t\"\nmqtt 5\nwatches 5 MQTT-3.3.1-2\n"
#define FIND "finding \"f\"\nmqtt 5\n"
#define CAP "capture \"c\"\nmqtt 5\n"
#define HEAD_311 "scenario \"t\"\nmqtt 3.1.1\nwatches 3.1.1 MQTT-3.3.1-2\n"

static const struct row {
	const char *name, *text, *want;
} rows[] = {
	/* ---- what steps become ---- */
	{ "set up", HEAD "a connects keep_alive=10; a subscribes ($topic qos=1); a publishes qos=1 payload=\"x\"; a pings; a unsubscribes ($topic); a disconnects",
	  "a connects keep_alive=10; a subscribes ($topic qos=1); a publishes qos=1 payload=\"x\"; a pings; a unsubscribes ($topic); a disconnects" },
	{ "gets", HEAD "a connects clean_start=0 gets session_present=0 receive_maximum>=1", "a connects clean_start=0 gets session_present 0 receive_maximum >=1" },
	{ "gets of an acknowledgement", HEAD "a connects; a publishes qos=2 gets reason=Success", "a connects; a publishes qos=2 gets reason 0" },
	{ "send", HEAD "a connects; a -> PUBLISH topic=\"x/y\" qos=1 packet_id=7 dup retain payload=hex\"00 ff\"",
	  "a connects; a -> PUBLISH topic=\"x/y\" qos=1 packet_id=7 dup=1 retain=1 payload=hex\"00 ff\"" },
	{ "an actor's default dropped", HEAD "a -> !CONNECT client_id=absent", "a -> !CONNECT client_id=absent" },
	{ "reason names", HEAD "a connects; a -> DISCONNECT reason=Disconnect_with_Will_Message", "a connects; a -> DISCONNECT reason=4" },
	{ "filters", HEAD "a connects; a -> SUBSCRIBE (\"x\" qos=1 no_local, $topic retain_handling=2,\n\"$(topic)/+\") packet_id=3",
	  "a connects; a -> SUBSCRIBE packet_id=3 (\"x\" qos=1 no_local=1, $topic retain_handling=2, <$topic \"/+\">)" },
	{ "user properties", HEAD "a connects; a publishes user_property=[\"k\":\"v\" \"k\":\"w\"]", "a connects; a publishes user_property=[\"k\":\"v\" \"k\":\"w\"]" },
	{ "made payloads", HEAD "a connects; a publishes payload=fill(2k); a publishes payload=random(3); a publishes payload=stamp(64)",
	  "a connects; a publishes payload=fill 2048; a publishes payload=random 3; a publishes payload=stamp 64" },
	{ "size", HEAD "a connects; a publishes size=100", "a connects; a publishes size=100" },
	{ "arithmetic folds", HEAD "a connects; a -> !PUBREL packet_id=$(2 + 3 * 4 - (6 / 2) % 2)", "a connects; a -> !PUBREL packet_id=13" },
	{ "what is in force", HEAD "a connects; wait $(a.keep_alive * 1500ms); a -> PUBLISH topic_alias=$a.topic_alias_maximum payload=$a.client_id",
	  "a connects; wait for ($a.keep_alive*1500000000); a -> PUBLISH topic_alias=$a.topic_alias_maximum payload=$a.client_id" },
	{ "expectations", HEAD "a connects; a <- PUBLISH topic~\"a/+\" qos=0..1 retain payload=(\"x\" | \"y\") topic_alias=absent content_type=present message_expiry_interval<=60",
	  "a connects; a <- PUBLISH topic ~\"a/+\" qos 0..1 retain 1 payload (\"x\"|\"y\") topic_alias absent content_type present message_expiry_interval <=60" },
	{ "not, lists, pairs", HEAD "a connects; a <- PUBLISH payload=not \"x\" subscription_identifier=[1 >=2] user_property=[\"k\":\"v\" \"k\":present]",
	  "a connects; a <- PUBLISH payload not \"x\" subscription_identifier [1 >=2] user_property [\"k\":\"v\" \"k\":present]" },
	{ "codes", HEAD "a connects; a <- SUBACK packet_id=1 reason=[Granted_QoS_1 (0x80..0xff | 2)]", "a connects; a <- SUBACK packet_id 1 reason [1 (128..255|2)]" },
	{ "names", HEAD "a connects; a <- PUBLISH packet_id as $p; a -> PUBACK packet_id=$p; a -> !PUBREL packet_id=$(p + 1)",
	  "a connects; a <- PUBLISH packet_id any as p; a -> PUBACK packet_id=$p; a -> !PUBREL packet_id=($p+1)" },
	{ "a pattern that binds", HEAD "a connects; a <- PUBLISH packet_id=1..9 as $p; a -> PUBACK packet_id=$p", "a connects; a <- PUBLISH packet_id 1..9 as p; a -> PUBACK packet_id=$p" },
	{ "closed", HEAD "a connects; a <- closed reason=Malformed_Packet or nacked within 10s", "a connects; a closed reason 129 or nacked within 10000000000" },
	{ "nothing", HEAD "a connects; a <- nothing; a <- nothing for 1s", "a connects; a nothing; a nothing for 1000000000" },
	{ "several", HEAD "a connects; b connects; a|b receives payload=\"x\"", "a connects; b connects; a|b receives payload \"x\"" },
	{ "connections", HEAD "a opens; a reads nothing; a reads 1k/s; a reads freely; a closes; a opens; a drops",
	  "a opens; a reads 0; a reads 1024; a reads 18446744073709551615; a closes; a opens; a drops" },
	{ "unordered", HEAD "a connects\nunordered {\n  { a receives payload=\"1\"; a receives payload=\"2\" }\n  a receives payload=\"3\"\n}",
	  "a connects; unordered { block { a receives payload \"1\"; a receives payload \"2\" }; a receives payload \"3\" }" },
	{ "either", HEAD "a connects; either { a <- PUBACK packet_id=1 } or { a <- closed } or { }", "4:70: an arm of `either` begins with the arrival that chooses it" },
	{ "either of two", HEAD "a connects\neither {\n a <- PUBACK packet_id=1\n} or {\n a <- closed\n}", "a connects; either { block { a <- PUBACK packet_id 1 }; block { a closed } }" },
	{ "maybe", HEAD "a connects; maybe a receives payload=\"x\"; a receives payload=\"y\"", "a connects; a maybe { a receives payload \"x\" }; a receives payload \"y\"" },
	{ "repeat", HEAD "a connects; repeat 3 as $i { a publishes payload=\"$(i)\" }", "a connects; repeat from 0 to 2 as i { a publishes payload=<$i> }" },
	{ "repeat a range", HEAD "a connects; repeat 2..5 { a pings }", "a connects; repeat from 2 to 5 { a pings }" },
	{ "repeat what is in force", HEAD "a connects; repeat $a.receive_maximum as $i { a publishes payload=\"$(i)\" }",
	  "a connects; repeat from 0 to ($a.receive_maximum-1) as i { a publishes payload=<$i> }" },
	{ "together", HEAD "together { a -> CONNECT; a -> PINGREQ } in pieces of 1 every 2ms; a <- PINGRESP", "a together pieces 1 every 2000000 { a -> CONNECT; a -> PINGREQ }; a <- PINGRESP" },
	{ "pieces", HEAD "a -> CONNECT in pieces of 3", "a -> CONNECT pieces 3" },
	{ "moments", HEAD "b connects; a connects; a drops as $cut; b receives payload=\"w\" after 1s within 10s of $cut",
	  "b connects; a connects; a drops moment cut; b receives payload \"w\" within 10000000000 after 1000000000 of cut" },
	{ "a moment of an arrival", HEAD "a connects; a <- PUBLISH as $t payload=\"x\"; a receives payload=\"y\" within 1s of $t",
	  "a connects; a <- PUBLISH payload \"x\" moment t; a receives payload \"y\" within 1000000000 of t" },
	{ "remarks", HEAD "a connects; note \"n\"; warn \"w\"; skip \"s\"", "a connects; note n; warn w; skip s" },
	{ "target lives", HEAD "a connects; target lives within 2s grows<64M", "a connects; lives within 2000000000 grows 67108864" },
	{ "bytes", HEAD "a -> bytes hex\"c0 00\" in pieces of 1", "a bytes  hex\"c0 00\" pieces 1" },
	{ "lies", HEAD "a -> CONNECT !omit=client_id; a -> !CONNECT !ends_after=keep_alive; a <- closed",
	  "a -> !CONNECT !omit client_id; a -> !CONNECT !ends_after keep_alive; a closed" },
	{ "more lies", HEAD "a connects; a -> PUBLISH !again topic_alias=1 !property=hex\"ff\" !trailing=hex\"00\" !property_length=3; a <- closed",
	  "a connects; a -> !PUBLISH !again topic_alias=1 !property=hex\"ff\" !trailing=hex\"00\" !property_length=3; a closed" },
	{ "strings", HEAD "a connects; a publishes payload=\"\\x01\\u00e9\\\"\"; a publishes topic=\"$SYS/x\"", "a connects; a publishes payload=hex\"01 c3 a9 22\"; a publishes topic=\"$SYS/x\"" },
	{ "names in two arms", HEAD "a connects; either { a <- PUBACK packet_id as $p; a -> !PUBREL packet_id=$p } or { a <- PUBREC packet_id as $p; a -> PUBREL packet_id=$p }",
	  "a connects; either { block { a <- PUBACK packet_id any as p; a -> !PUBREL packet_id=$p }; block { a <- PUBREC packet_id any as p; a -> PUBREL packet_id=$p } }" },

	/* ---- versions ---- */
	{ "3.1.1 leaves properties out", HEAD_311 "a connects receive_maximum=2 gets topic_alias_maximum=0 session_present=0; a -> DISCONNECT reason=0x04",
	  "a connects gets session_present 0; a -> DISCONNECT" },
	{ "3.1.1 leaves reasons out", HEAD_311 "a connects; a publishes qos=1 gets packet_id=1 reason=Success; a <- closed reason=Protocol_Error",
	  "a connects; a publishes qos=1 gets packet_id 1; a closed" },
	{ "3.1.1 has CONNACK's codes", HEAD_311 "a opens; a -> CONNECT; a <- CONNACK reason=Not_authorized; a <- SUBACK reason=[Unspecified_error]",
	  "a opens; a -> CONNECT; a <- CONNACK reason 5; a <- SUBACK reason [128]" },
	{ "a reason that 3.1.1 lacks among others", HEAD_311 "a -> CONNECT; a <- CONNACK reason=(Banned | Not_authorized)", "a -> CONNECT; a <- CONNACK reason (5)" },
	{ "an actor of another version", HEAD "actor o mqtt=3.1.1\no connects; o -> SUBSCRIBE (\"x\" qos=1)", "o connects; o -> SUBSCRIBE (\"x\" qos=1)" },

	/* ---- marks ---- */
	{ "one clause: every judging step", "scenario \"t\"\nmqtt 5\ncites 5 MQTT-3.3.1-2\na connects; a pings; a receives payload=\"x\"; a <- nothing",
	  "a connects; a pings; a receives payload \"x\" [MQTT-3.3.1-2]; a nothing [MQTT-3.3.1-2]" },
	{ "marks", "scenario \"t\"\nmqtt 5\ncites 5 MQTT-3.3.1-2 MQTT-3.3.1-3\na connects; a receives payload=\"x\" [MQTT-3.3.1-3]; a receives payload=\"y\"; a <- nothing [MQTT-3.3.1-2 MQTT-3.3.1-3]",
	  "a connects; a receives payload \"x\" [MQTT-3.3.1-3]; a receives payload \"y\"; a nothing [MQTT-3.3.1-3] [MQTT-3.3.1-2]" },
	{ "a mark behind a block", "scenario \"t\"\nmqtt 5\ncites 5 MQTT-3.3.1-2 MQTT-3.3.1-3\na connects\nrepeat 2 { a receives payload=\"x\" } [MQTT-3.3.1-2]\na <- nothing [MQTT-3.3.1-3]",
	  "a connects; repeat from 0 to 1 { a receives payload \"x\" [MQTT-3.3.1-2] }; a nothing [MQTT-3.3.1-3]" },
	{ "3.1 is judged by 3.1.1", "scenario \"t\"\nmqtt 3.1\ncites 3.1.1 MQTT-3.3.1-2\na connects; a receives payload=\"x\"", "a connects; a receives payload \"x\" [MQTT-3.3.1-2]" },

	/* ---- mistakes in the header ---- */
	{ "empty file", "", "1:1: expected `scenario \"title\"` as the first line, found the end of the file" },
	{ "no title", "scenario\nmqtt 5", "1:9: expected the title in quotes, found the end of the line" },
	{ "empty title", "scenario \"\"\nmqtt 5", "1:10: the title is empty; say what holds when the test passes" },
	{ "no mqtt line", "scenario \"t\"\nwatches 5 MQTT-3.3.1-2\na connects", "1:1: no `mqtt` line before the first step; say for which versions, such as `mqtt 3.1.1 5`" },
	{ "unknown version", "scenario \"t\"\nmqtt 4\nwatches 5 MQTT-3.3.1-2\na connects", "2:6: expected a version: 3.1, 3.1.1 or 5, found `4`" },
	{ "version twice", "scenario \"t\"\nmqtt 5 5\nwatches 5 MQTT-3.3.1-2\na connects", "2:8: version 5 stands twice" },
	{ "unknown clause", "scenario \"t\"\nmqtt 5\ncites 5 MQTT-3.3.1-22\na connects", "3:9: unknown clause `MQTT-3.3.1-22` of 5; did you mean `MQTT-3.3.1-2`?" },
	{ "clause of another version", "scenario \"t\"\nmqtt 3.1.1\ncites 3.1.1 MQTT-1.5.5-1\na connects", "3:13: MQTT-1.5.5-1 is no clause of 3.1.1; it is one of 5" },
	{ "version cited and not played", "scenario \"t\"\nmqtt 5\ncites 3.1.1 MQTT-3.3.1-2\ncites 5 MQTT-3.3.1-2\na connects; a <- nothing", "3:13: version 3.1.1 is cited and not played; put it into the `mqtt` line" },
	{ "nothing cited", "scenario \"t\"\nmqtt 3.1.1 5\ncites 5 MQTT-3.3.1-2\na connects; a <- nothing", "1:1: nothing is judged in 3.1.1; say what by `cites 3.1.1 CLAUSE` or `watches 3.1.1 CLAUSE`" },
	{ "unknown need", HEAD "needs maximum_qoss>=2\na connects", "4:7: unknown need `maximum_qoss`; expected what CONNACK announces, or tls websocket auth=METHOD login denied_publish denied_subscribe; did you mean `maximum_qos`?" },
	{ "need without a number", HEAD "needs maximum_qos>=\na connects", "4:20: expected a number, found the end of the line" },
	{ "needs", HEAD "needs maximum_qos>=2 retain_available auth=SCRAM-SHA-256\na connects", "a connects" },
	{ "actor twice", HEAD "actor a keep_alive=5\nactor a keep_alive=6\na connects", "5:7: actor `a` stands twice" },
	{ "reserved actor", HEAD "actor wait keep_alive=5\na connects", "4:7: `wait` is a word of the notation and names no actor" },
	{ "server", HEAD "server s\na connects", "4:1: `server` is not yet played" },
	{ "transport", HEAD "actor a transport=ws\na connects", "a connects" },
	{ "unknown transport", HEAD "actor a transport=quic\na connects", "4:19: unknown transport `quic`; expected tcp, tls, ws or wss" },
	{ "a frame without WebSocket", HEAD "a connects\na -> PINGREQ !frame=text", "5:14: `frame` is about WebSocket: `actor a transport=ws` says that it speaks it" },
	{ "a text frame unmarked", HEAD "actor a transport=ws\na connects\na -> PINGREQ frame=text", "6:14: MQTT travels in binary frames [MQTT-6.0.0-1]; write `!frame=text` if that is meant" },
	{ "a Ping marked", HEAD "actor a transport=ws\na connects\na -> bytes \"x\" !frame=ping", "6:16: a control frame may come at any time; take the `!` out" },
	{ "a packet in a Ping", HEAD "actor a transport=ws\na connects\na -> PINGREQ frame=ping", "6:14: a packet does not travel in a control frame; send `bytes`" },
	{ "an unknown frame", HEAD "actor a transport=ws\na connects\na -> bytes \"x\" frame=pang", "6:22: expected text, ping or pong, found `pang`" },
	{ "header behind a step", HEAD "a connects\nneeds tls", "5:1: `needs` belongs in the header, before the first step" },
	{ "case twice", HEAD "case \"x\" v=1\ncase \"x\" v=2\na connects keep_alive=$v", "5:6: case \"x\" stands twice; each needs a name of its own" },
	{ "case value unused", HEAD "case \"x\" v=1\na connects", "4:10: `v` is used by no step" },
	{ "case value missing", HEAD "case \"x\" v=1\ncase \"y\"\na connects keep_alive=$v", "6:23: `$v` is not bound here" },
	{ "parameter unused", HEAD "param v = 1\na connects", "4:7: parameter `v` is used by no step" },
	{ "a case and no steps", HEAD "case \"x\"", "4:6: there are no steps" },
	{ "no steps", HEAD, "1:1: there are no steps" },

	/* ---- mistakes in steps ---- */
	{ "unknown packet", HEAD "a connects\na -> PUBLSH", "5:6: unknown packet `PUBLSH`; did you mean `PUBLISH`?" },
	{ "unknown field", HEAD "a connects\na -> PUBREL pakcet_id=1", "5:13: unknown field `pakcet_id` of PUBREL; did you mean `packet_id`?" },
	{ "unknown verb", HEAD "a connect", "4:3: unknown verb `connect`; expected `->`, `<-` or a verb such as connects; did you mean `connects`?" },
	{ "unknown reason", HEAD "a connects; a -> DISCONNECT reason=Malformed_Paket", "4:36: unknown reason `Malformed_Paket` for DISCONNECT; did you mean `Malformed_Packet`?" },
	{ "reason of 5 in 3.1.1", HEAD_311 "a -> CONNECT; a <- CONNACK reason=Banned", "4:35: 3.1.1 has no reason `Banned` for CONNACK" },
	{ "AUTH in 3.1.1", HEAD_311 "a connects; a -> AUTH", "4:18: AUTH exists in 5 only, not in 3.1.1" },
	{ "no broker sends it", HEAD "a connects; a <- SUBSCRIBE", "4:18: no broker sends SUBSCRIBE in 5" },
	{ "wrong type: string for number", HEAD "a connects keep_alive=\"x\"", "4:23: keep_alive takes a number" },
	{ "wrong type: number for string", HEAD "a connects client_id=5", "4:22: client_id takes a string; write \"...\" or \"$( )\"" },
	{ "wrong type: word for string", HEAD "a connects client_id=me", "4:22: client_id takes a string: write \"me\"" },
	{ "wrong type: pair", HEAD "a connects user_property=\"x\"", "4:26: user_property takes \"name\":\"value\"" },
	{ "wrong type: duration for number", HEAD "a connects keep_alive=60s", "4:23: expected a value, found the duration `60s`" },
	{ "wrong type: number for duration", HEAD "wait 5\na connects", "4:6: expected a duration such as 500ms, 2s or 1m, found `5`" },
	{ "rubbish after a number", HEAD "a connects keep_alive=60sec", "4:25: rubbish behind a number; expected a blank or one of ns us ms s m h, k M G, k/s M/s G/s: `60sec`" },
	{ "bad duration", HEAD "wait 5sx", "4:7: rubbish behind a number; expected a blank or one of ns us ms s m h, k M G, k/s M/s G/s: `5sx`" },
	{ "out of range", HEAD "a connects keep_alive=65536", "4:23: keep_alive is 0 to 65535, found 65536" },
	{ "out of range: bits", HEAD "a connects; a -> PUBLISH !qos=4", "4:31: qos is 0 to 3, found 4" },
	{ "value missing", HEAD "a connects keep_alive=", "4:23: expected a value, found the end of the file" },
	{ "= missing", HEAD "a connects keep_alive", "4:22: expected `=` and a value, found the end of the file" },
	{ "list for one value", HEAD "a connects keep_alive=[1 2]", "4:23: keep_alive takes one value, no list" },
	{ "bad hex", HEAD "a -> bytes hex\"c0 0\"", "4:20: expected two hexadecimal digits for each byte: `hex\"c0 0\"`" },
	{ "unclosed string", HEAD "a connects client_id=\"x", "4:22: the string is not closed; expected \" before the end of the line: `\"x`" },
	{ "unclosed block", HEAD "a connects\nrepeat 3 {\na pings", "5:10: this bracket is not closed; expected `}` before the end of the file" },
	{ "unclosed filters", HEAD "a connects\na subscribes (\"x\" qos=1\na pings", "5:14: this bracket is not closed; expected `)` before the end of the file" },
	{ "crossed brackets", HEAD "a connects\nrepeat 3 { a subscribes (\"x\" }", "5:25: this bracket is not closed; expected `)` before the `}` of line 5" },
	{ "closed twice", HEAD "a connects }", "4:12: `}` closes nothing" },
	{ "rubbish behind a step", HEAD "a pings now\na connects", "4:9: unknown field `now` of PINGREQ" },
	{ "unbound name", HEAD "a connects; a -> PUBACK packet_id=$p", "4:35: `$p` is not bound here" },
	{ "unbound name in a string", HEAD "a connects; a publishes payload=\"x$(topc)\"", "4:37: `$topc` is not bound here; did you mean `topic`?" },
	{ "name out of its scope", HEAD "a connects; repeat 2 { a <- PUBLISH packet_id as $p; a -> PUBACK packet_id=$p }; a -> PUBACK packet_id=$p", "4:104: `$p` is not bound here" },
	{ "name bound twice", HEAD "a connects; a <- PUBLISH packet_id as $p; a <- PUBLISH packet_id as $p; a -> PUBACK packet_id=$p", "4:69: `$p` is bound already, in line 4; choose another name" },
	{ "name unused", HEAD "a connects; a <- PUBLISH packet_id as $p", "4:39: `$p` is bound and never used; take `as $p` out" },
	{ "value as moment", HEAD "a connects; a <- PUBLISH packet_id as $p; a <- closed within 1s of $p", "4:68: `$p` is a value; expected a moment, bound by `a drops as $cut`" },
	{ "moment as value", HEAD "a connects; a drops as $cut; a connects keep_alive=$cut", "4:52: `$cut` is a moment; it stands behind `of` only" },
	{ "unknown actor's value", HEAD "a connects keep_alive=$b.keep_alive", "4:23: `$b.keep_alive`: no actor `b` before this step" },
	{ "division by zero", HEAD "a connects keep_alive=$(1 / 0)", "4:27: the result is below 0, above 64 bits, or divided by 0" },
	{ "$ inside $( )", HEAD "a connects keep_alive=$($x + 1)", "4:25: inside $( ) names stand without `$`: write `x`" },
	{ "property in the wrong packet", HEAD "a connects; a -> PUBREL packet_id=1 receive_maximum=5", "4:37: receive_maximum does not belong in PUBREL; write `!receive_maximum` if that is meant" },
	{ "property expected in the wrong packet", HEAD "a connects; a <- PUBACK topic_alias=5", "4:25: topic_alias does not belong in PUBACK and cannot be expected there" },
	{ "! on an expectation", HEAD "a connects; a <- PUBACK !packet_id=5", "4:25: `!` marks what we send; an expectation has none" },
	{ "lie without !", HEAD "a connects; a -> PINGREQ remaining_length=1", "4:26: `remaining_length` makes a packet that is wrong on purpose; write `!remaining_length`" },
	{ "again without !", HEAD "a connects; a -> PUBLISH topic_alias=1 again topic_alias=1", "4:40: a field given `again` is wrong on purpose; write `!again`" },
	{ "! in a set-up step", HEAD "a connects !keep_alive=1", "4:1: `connects` sets up and must be legal; write `-> CONNECT` for a wrong packet" },
	{ "filters missing", HEAD "a connects; a subscribes", "4:25: expected the filters, `(\"a/b\" qos=1)`, found the end of the file" },
	{ "filters in the wrong packet", HEAD "a connects; a -> PUBLISH (\"x\")", "4:26: PUBLISH has no filters" },
	{ "options in UNSUBSCRIBE", HEAD "a connects; a unsubscribes (\"x\" qos=1)", "4:33: expected `,` or `)`: the filters of UNSUBSCRIBE have no options" },
	{ "nothing to get", HEAD "a connects; a publishes gets reason=0", "4:25: nothing comes back that `gets` could judge" },
	{ "within behind a send", HEAD "a connects; a -> PINGREQ within 1s", "4:26: `within` stands behind a step that waits for the broker" },
	{ "after beyond within", HEAD "a connects; a <- closed after 5s within 2s", "4:34: nothing can come `after` this time and `within` that one" },
	{ "of without within", HEAD "a connects; a drops as $t; a connects; a <- PINGRESP of $t", "4:57: `of` stands behind `within D` or `after D`" },
	{ "first step receives", HEAD "a receives payload=\"x\"", "4:1: `a` has no connection yet; `a connects` first" },
	{ "misspelt actor", HEAD "sub connects\nsbu receives payload=\"x\"", "5:1: `sbu` has no connection yet; `sbu connects` first; did you mean `sub`?" },
	{ "send after the end", HEAD "a connects; a drops; a pings", "4:22: the connection of `a` has ended; `opens`, `connects` or a CONNECT opens it again" },
	{ "second CONNECT", HEAD "a connects; a -> CONNECT", "4:13: a second CONNECT on one connection is wrong; write `-> !CONNECT` if that is meant" },
	{ "connects twice", HEAD "a connects; a connects", "4:13: `a` is connected already; end that connection first, or write `-> !CONNECT`" },
	{ "several actors send", HEAD "a connects; b connects; a|b -> PINGREQ", "4:29: several actors can only `receives`" },
	{ "arms alike", HEAD "a connects; either { a receives payload=\"x\" } or { a receives qos=1 }", "4:52: the same arrival could choose this arm and the one of line 4; name a field in which they differ" },
	{ "arm that silence chooses", HEAD "a connects; either { a <- nothing } or { a receives payload=\"x\" }", "a connects; either { block { a nothing }; block { a receives payload \"x\" } }" },
	{ "arms that silence chooses", HEAD "a connects; either { a <- nothing } or { a <- nothing for 2s }", "4:42: the same arrival could choose this arm and the one of line 4; name a field in which they differ" },
	{ "one arm", HEAD "a connects; either { a receives payload=\"x\" }", "4:46: expected `or {` on the line of the `}`, found the end of the file" },
	{ "maybe a send", HEAD "a connects; maybe a -> PINGREQ", "4:19: `maybe` stands before one receiving step" },
	{ "together of two", HEAD "a connects; b connects; together { a -> PINGREQ; b -> PINGREQ }", "4:50: `together` is one write of one actor" },
	{ "together receives", HEAD "a connects; together { a <- PINGRESP }", "4:24: `together` holds sends only: `a -> PACKET`" },
	{ "repeat nothing", HEAD "a connects; repeat 0 { a pings }", "4:20: nothing is repeated 0 times" },
	{ "repeat too often", HEAD "a connects; repeat 2000000 { a pings }", "4:20: at most 1000000 turns" },
	{ "empty range", HEAD "a connects; repeat 5..1 { a pings }", "4:20: the range is empty: its low end is above its high end" },
	{ "workload's word", HEAD "a connects; every 1s { a pings }", "4:13: `every` stands in workloads only, whose first line is `workload \"title\"`" },
	{ "function", HEAD "a connects; a publishes payload=fil(3)", "4:33: unknown function `fil`; expected fill random stamp scram; did you mean `fill`?" },
	{ "reason of a close", HEAD "a connects; a <- closed reason=0", "4:32: a broker that ends the connection says why with a reason of 0x80 or more" },

	/* ---- mistakes with marks ---- */
	{ "clause that no step judges", "scenario \"t\"\nmqtt 5\ncites 5 MQTT-3.3.1-2 MQTT-3.3.1-3\na connects; a <- nothing [MQTT-3.3.1-2]",
	  "3:22: no step judges 5:MQTT-3.3.1-3; put [MQTT-3.3.1-3] behind the step that does, or take it out of `cites`" },
	{ "mark that is not cited", "scenario \"t\"\nmqtt 5\ncites 5 MQTT-3.3.1-2 MQTT-3.3.1-3\na connects; a <- nothing [MQTT-3.3.1-4]",
	  "4:27: MQTT-3.3.1-4 is not in this file's `cites`; did you mean `MQTT-3.3.1-2`?" },
	{ "mark behind a set-up step", "scenario \"t\"\nmqtt 5\ncites 5 MQTT-3.3.1-2 MQTT-3.3.1-3\na connects [MQTT-3.3.1-2]; a <- nothing [MQTT-3.3.1-3]",
	  "4:12: this step judges nothing; a mark stands behind a step that does" },
	{ "mark of two versions", "scenario \"t\"\nmqtt 3.1.1 5\ncites 3.1.1 MQTT-3.3.1-2 MQTT-3.3.1-3\ncites 5 MQTT-3.3.1-2 MQTT-3.3.1-3\na connects; a <- nothing [MQTT-3.3.1-2]",
	  "5:27: MQTT-3.3.1-2 is cited for several versions; write `3.1.1:MQTT-3.3.1-2`" },
	{ "nothing marked", "scenario \"t\"\nmqtt 5\ncites 5 MQTT-3.3.1-2 MQTT-3.3.1-3\na connects; a <- nothing", "1:1: no step judges anything in 5; put [CLAUSE] behind the steps that do" },
	{ "judges nothing in 3.1.1", "scenario \"t\"\nmqtt 3.1.1\ncites 3.1.1 MQTT-3.3.1-2\na connects; a receives content_type=\"x\"; a <- nothing",
	  "4:13: in 3.1.1 this step judges nothing: what it expects exists in 5 only" },

	/* ---- wrong packets ---- */
	{ "illegal topic", HEAD "a connects; a -> PUBLISH topic=\"a/#\"", "4:26: " },
	{ "illegal topic, meant", HEAD "a connects; a -> PUBLISH !topic=\"a/#\"", "a connects; a -> !PUBLISH !topic=\"a/#\"" },
	{ "illegal QoS", HEAD "a connects; a -> PUBLISH qos=3", "4:26: " },
	{ "illegal filter", HEAD "a connects; a subscribes (\"a#\" qos=1)", "4:13: " },
	{ "no filters", HEAD "a connects; a -> SUBSCRIBE packet_id=1", "4:13: " },
	{ "no filters, meant", HEAD "a connects; a -> !SUBSCRIBE packet_id=1", "a connects; a -> !SUBSCRIBE packet_id=1" },
	{ "packet only a server sends", HEAD "a connects; a -> PINGRESP", "4:13: " },
	{ "illegal value", HEAD "a -> CONNECT receive_maximum=0", "4:14: " },
	{ "acknowledgement without its id", HEAD "a connects; a -> PUBACK", "4:13: " },
	{ "a value that stands for itself", HEAD "case \"x\" v=$v\na connects keep_alive=$v", "4:12: `$v` stands for itself" },
	{ "a value that is made of itself", HEAD "case \"x\" v=$(v + 1)\na connects keep_alive=$(v)", "4:" },
	{ "needless !", HEAD "a connects; a -> PUBLISH !payload=\"x\"", "4:26: warning: nothing is wrong with this packet; take the `!` out" },
	{ "what only the flow makes wrong", HEAD "a connects; a -> PUBREL packet_id=9; a -> !PUBREL packet_id=8", "a connects; a -> PUBREL packet_id=9; a -> !PUBREL packet_id=8" },
	{ "false length", HEAD "a connects; a -> PINGREQ !remaining_length=5; a <- closed", "4:47: the packet of line 4 is not whole, so the broker waits for the rest and owes no reaction; send it, or say `within D` where a time limit ends the connection" },
	{ "half a packet", HEAD "a connects; a -> bytes hex\"c0\"; a <- closed", "4:33: the packet of line 4 is not whole, so the broker waits for the rest and owes no reaction; send it, or say `within D` where a time limit ends the connection" },
	{ "half a packet, then the rest", HEAD "a connects; a -> bytes hex\"c0\"; a -> bytes hex\"00\"; a <- PINGRESP", "a connects; a bytes  hex\"c0\"; a bytes  hex\"00\"; a <- PINGRESP" },

	/* ---- advice ---- */
	{ "order between topics", HEAD "a connects; a receives topic=\"$(topic)/1\"; a receives topic=\"$(topic)/2\"", "4:44: warning: no order is promised between two topics; put the two into `unordered { }`" },
	{ "not this and this", HEAD "a -> CONNECT\neither { a <- CONNACK receive_maximum=not (absent | 10) } or { a <- CONNACK receive_maximum=(10 | absent) }",
	  "a -> CONNECT; either { block { a <- CONNACK receive_maximum not (absent|10) }; block { a <- CONNACK receive_maximum (10|absent) } }" },
	{ "not a range and part of it", HEAD "a -> CONNECT\neither { a <- CONNACK reason=not 0x80..0xff } or { a <- CONNACK reason=0x84..0x90 }",
	  "a -> CONNECT; either { block { a <- CONNACK reason not 128..255 }; block { a <- CONNACK reason 132..144 } }" },
	{ "not one of them and another", HEAD "a -> CONNECT\neither { a <- CONNACK receive_maximum=not (absent | 10) } or { a <- CONNACK receive_maximum=(11 | absent) }",
	  "5:64: the same arrival could choose this arm and the one of line 5; name a field in which they differ" },
	{ "order between QoS", HEAD "a connects; a receives qos=1; a receives qos=2", "4:31: warning: no order is promised between two QoS; put the two into `unordered { }`" },
	{ "slow and not tagged", HEAD "a connects; wait 1500ms; a <- nothing", "1:1: warning: waits for more than 2 s by itself; write `tags slow`, by which it can be left out" },
	{ "slow in a loop", HEAD "a connects; repeat 3 { wait 1s }; a <- nothing for 1ms", "1:1: warning: waits for more than 2 s by itself; write `tags slow`, by which it can be left out" },
	{ "slow and tagged", "scenario \"t\"\nmqtt 5\ncites 5 MQTT-3.3.1-2\ntags slow\na connects; wait 3s; a <- nothing", "a connects; wait for 3000000000; a nothing [MQTT-3.3.1-2]" },

	/* ---- captures ---- */
	{ "capture", "capture \"x.pcap\"\nmqtt 3.1.1  # default\nactor c2 mqtt=5 receive_maximum=7\n\nc1 connects; c2 -> CONNECT  # 0.1 f4\nc2 <- CONNACK reason=Success\nwait 10ms\nc1 drops",
	  "c1 connects; c2 -> CONNECT; c2 <- CONNACK reason 0; wait for 10000000; c1 drops" },
	{ "a capture's names", CAP "a connects\na <- PUBLISH packet_id as $p1 payload=\"\\xff\"\na <- PUBLISH packet_id as $unused\na -> PUBACK packet_id=$p1",
	  "a connects; a <- PUBLISH packet_id any as p1 payload hex\"ff\"; a <- PUBLISH packet_id any as unused; a -> PUBACK packet_id=$p1" },
	{ "a capture's mistakes of clients", CAP "a -> CONNECT !will.topic=\"#\"; a -> bytes hex\"f0\"; a -> !CONNECT; a <- closed within 3s",
	  "a -> !CONNECT !will.topic=\"#\"; a bytes  hex\"f0\"; a -> !CONNECT; a closed within 3000000000" },
	{ "a capture over lines", CAP "a connects; a -> SUBSCRIBE packet_id=1 (\"x\",\n  \"y\" qos=1); together {\n a -> PINGREQ\n a -> PINGREQ\n}\na <- SUBACK packet_id=1 reason=[0\n1]; note \"n\"",
	  "a connects; a -> SUBSCRIBE packet_id=1 (\"x\", \"y\" qos=1); a together { a -> PINGREQ; a -> PINGREQ }; a <- SUBACK packet_id 1 reason [0 1]; note n" },
	{ "no steps in a capture", CAP "", "1:1: there are no steps" },
	{ "no version of a capture", "capture \"c\"\na connects", "1:1: no `mqtt` line before the first step; say in which version, such as `mqtt 3.1.1`" },
	{ "two versions of a capture", "capture \"c\"\nmqtt 3.1.1 5\na connects", "2:1: a capture has one version; `actor c2 mqtt=5` says who spoke another" },
	{ "actor before mqtt", "capture \"c\"\nactor a mqtt=5\nmqtt 3.1.1\na connects", "2:1: expected `mqtt` before `actor`" },
	{ "a case of a capture", "capture \"c\"\nmqtt 5\ncase \"x\" y=1\na connects", "3:1: `case` does not stand in a capture, which has `mqtt`, `actor` and `tags`" },
	{ "a loop in a capture", CAP "a connects\nrepeat 3 { a pings }", "4:1: `repeat` does not stand in a capture: what was seen is one step after the other" },
	{ "a verdict in a capture", CAP "a connects\nskip \"x\"", "4:1: `skip` does not stand in a capture: what was seen is one step after the other" },
	{ "a role in a capture", CAP "a connects\nrole r x 3 { r connects }", "4:1: `role` stands in workloads only, whose first line is `workload \"title\"`" },
	{ "nothing in a capture", CAP "a connects\na <- nothing", "4:1: `nothing` does not stand in a capture: what did not come was not seen" },
	{ "after in a capture", CAP "a connects\na <- closed after 2s", "4:1: `after` and `of` do not stand in a capture: it is played as fast as it goes" },
	{ "a moment in a capture", CAP "a connects\na drops as $cut", "4:12: a capture names no moments" },
	{ "several in a capture", CAP "a connects; b connects\na|b receives payload=\"x\"", "4:2: `a|b` does not stand in a capture: a packet was seen on one connection" },
	{ "no connection in a capture", CAP "a connects\nb <- PUBLISH payload=\"x\"", "4:1: `b` has no connection yet; `b connects` first" },
	{ "unbound in a capture", CAP "a connects\na -> PUBACK packet_id=$p1", "4:23: `$p1` is not bound here" },
	{ "bound twice in a capture", CAP "a connects\na <- PUBLISH packet_id as $p\na <- PUBLISH packet_id as $p", "5:27: `$p` is bound already, in line 4; choose another name" },
	{ "wrong in a capture, unmarked", CAP "a connects\na -> PUBLISH topic=\"a/#\"", "4:14: topic " },
	{ "a broker's packet in a capture", CAP "a connects\na <- SUBSCRIBE packet_id=1", "4:6: no broker sends SUBSCRIBE in 5" },
	{ "brackets in a capture", CAP "a connects\na -> SUBSCRIBE (\"x\"\na pings", "4:16: this bracket is not closed; expected `)` before the end of the file" },
	{ "mistakes in two lines of a capture", CAP "a connets\na connects\na pngs", "3:3: " },

	/* ---- other kinds of file ---- */
	{ "workload", "workload \"w\"\nmqtt 5\nrole r x 3 over 2s with \"f.csv\" {\n again after 1s..60s {\n  r connects client_id=$client_id\n  meet \"ready\"\n  every 1s { r publishes topic=\"t/$(n)\" in flight 2 }\n }\n}",
	  "role r x 3 over 2000000000 with f.csv { again from 1000000000 to 60000000000 { r connects client_id=$client_id of f.csv; meet ready; "
	  "every for 1000000000 { r publishes topic=<\"t/\" $n> flight 2 } } }" },
	{ "finding", FIND "actor b mqtt=3.1.1\nwatches 3.1.1 MQTT-2.3.1-6\na opens; a -> PUBLISH !topic=\"a/#\"; a -> !CONNACK; a -> !CONNACK; a settles within 2s; b connects; b answers; "
	  "repeat 3 { b -> PINGREQ }; b settles; target lives within 2s grows<64M busy<500ms",
	  "a opens; a -> !PUBLISH !topic=\"a/#\"; a -> !CONNACK; a -> !CONNACK; a settles within 2000000000; b connects; b answers; "
	  "repeat from 0 to 2 { b -> PINGREQ }; b settles; lives within 2000000000 grows 67108864 busy 500000000" },
	{ "nothing is judged in a finding", FIND "a connects", "1:1: nothing tells whether it shows; end with `target lives`, or name the broken rule by `watches VERSION CLAUSE`" },
	{ "no steps in a finding", FIND, "1:1: there are no steps" },
	{ "a finding cites", FIND "cites 5 MQTT-2.2.1-2\na connects; target lives", "3:1: a finding cites nothing: it shows by `target lives`, by what an actor is to receive, or by a rule that it `watches`" },
	{ "a finding with cases", FIND "case \"x\" y=1\na connects; target lives", "3:1: a finding is one course of events; write a file for each" },
	{ "maybe in a finding", FIND "a connects\nmaybe a receives\ntarget lives", "4:1: `maybe` does not stand in a finding: what is not judged need not be taken" },
	{ "a finding that nobody speaks", FIND "watches 3.1.1 MQTT-2.3.1-6\na connects", "3:15: nobody speaks 3.1.1 here; put it into the `mqtt` line, or give the version to an actor, `actor a mqtt=3.1.1`" },
	{ "who judges was never there", FIND "by connects\nbz receives payload=\"x\"", "4:1: `bz` never has a connection; `bz connects`, `bz opens` or a CONNECT opens one; did you mean `by`?" },
	{ "what is wrong in a finding is marked", FIND "a -> PUBLISH topic=\"a/#\"\ntarget lives", "3:14: topic the topic name holds a wildcard [5:MQTT-3.3.2-2]; write `!topic` if that is meant" },
	{ "busy without a time", FIND "target lives busy<3", "3:19: expected how much CPU time it may use in a second, such as 500ms, found `3`" },
	{ "settles has no moment", FIND "a connects\na drops as $t\na settles within 1s of $t\ntarget lives", "5:24: the time of this step counts from when it begins; take `of` out" },
	{ "settles in a scenario", HEAD "a connects\na settles", "5:3: `settles` stands in findings only; say what is to come, `a <- PUBACK`, and it is waited for" },
	{ "answers in a scenario", HEAD "a connects\na answers", "5:3: `answers` stands in findings only; `a receives` acknowledges what it takes" },
	{ "fault", "fault \"f\"\nwhenever client -> PUBREL once { }\nwhenever broker -> PUBACK packet_id as $p { pass packet_id=$(p + 1) }\nwhenever client closes { wait 2s; pass }", "1:1: a fault is not yet played" },
};

/* "line:column: text" of the first diagnostic. */
static void first_said(const struct diagnostics *found, char *text, size_t size)
{
	snprintf(text, size, "%u:%u: %s%s", found->list[0].at.line, found->list[0].at.column, found->list[0].warning ? "warning: " : "",
	         found->list[0].text);
}

static struct scenario *parse(const char *text, const struct param *params, size_t n_params, struct diagnostics *found)
{
	size_t len = strlen(text);
	uint8_t *exact = malloc(len ? len : 1);
	struct scenario *scenario;

	memcpy(exact, text, len);
	scenario = scenario_parse("t.scn", span_of(exact, len), params, n_params, found);
	free(exact);		/* nothing may borrow from it */
	return scenario;
}

/* All steps of a capture in the file's order, each read again by itself. */
static void dump_capture(struct dump *d, struct scenario *scenario, const char *text)
{
	const struct script *script = &scenario->scripts[0];
	struct script named = *script;
	struct region region = { 0 }, names = { 0 };
	const char **slots = region_alloc(&names, (script->n_slots + 1) * sizeof *slots);
	struct capture_reader *reader;

	scenario->text = span_text(text);
	for (uint32_t i = 0; i < script->n_slots; i++)
		slots[i] = region_string(&names, span_of(text + script->capture->names[i].at, script->capture->names[i].len));
	named.slots = slots;
	d->script = &named;
	reader = capture_reader_new(script);
	for (uint32_t i = 0; i < script->capture->n_steps; i++) {
		put(d, i ? "; " : "");
		dump_steps(d, capture_read(reader, i, &region));
		region_release(&region);
	}
	capture_reader_free(reader);
	region_release(&names);
}

static void reads_as_written(void **state)
{
	const struct row *row = *state;
	struct diagnostics found;
	struct scenario *scenario = parse(row->text, NULL, 0, &found);
	bool prefix = strchr(" :", row->want[strlen(row->want) - 1]);	/* only the place is fixed; the text is the codec's */
	struct dump dump = { .n = 0 };

	if (found.n) {
		first_said(&found, dump.text, sizeof dump.text);
		if (!found.n_errors && row->want[0] >= 'a')
			fail_msg("%s", dump.text);
	} else {
		assert_non_null(scenario);
		dump.script = &scenario->scripts[0];
		if (scenario->scripts[0].roles)
			dump_roles(&dump);
		else if (scenario->scripts[0].capture)
			dump_capture(&dump, scenario, row->text);
		else
			dump_steps(&dump, scenario->scripts[0].steps);
	}
	if (prefix)
		dump.text[strlen(row->want)] = '\0';
	assert_string_equal(dump.text, row->want);
	assert_true(!scenario == (found.n_errors > 0));
	scenario_free(scenario);
}

/* ---- what holds for the whole file ---- */

static void cases_multiply_in_order(void **state)
{
	static const char *const ids[] = { "t.scn#x/1", "t.scn#x/1", "t.scn#x/2", "t.scn#x/2", "t.scn#x/3", "t.scn#x/3", "t.scn#x/4", "t.scn#x/4",
	                                   "t.scn#y", "t.scn#y" };
	static const struct { unsigned keep_alive, qos; } values[] = { { 1, 0 }, { 1, 1 }, { 2, 0 }, { 2, 1 }, { 3, 2 } };
	struct diagnostics found;
	struct scenario *s = parse("scenario \"t\"\nmqtt 3.1.1 5\nwatches 3.1.1 MQTT-3.3.1-2\nwatches 5 MQTT-3.3.1-2\n"
	                           "case \"x\" k=[1 2] q=[0 1]\ncase \"y\" k=3 q=2\na connects keep_alive=$k\na publishes qos=$q\n", NULL, 0, &found);

	(void)state;
	assert_non_null(s);
	assert_int_equal(s->n_scripts, 10);
	for (unsigned i = 0; i < 10; i++) {
		const struct script *script = &s->scripts[i];

		assert_string_equal(script->id, ids[i]);
		assert_int_equal(script->version, i % 2 ? MQTT_5 : MQTT_3_1_1);
		assert_int_equal(script->steps->assigns[0].value->number, values[i / 2].keep_alive);
		assert_int_equal(script->steps->next->assigns[0].value->number, values[i / 2].qos);
		assert_ptr_equal(script->scenario, s);
	}
	scenario_free(s);
}

static void values_are_put_in_as_tokens(void **state)
{
	struct diagnostics found;
	struct scenario *s = parse(HEAD "case \"c\" send={ PUBLISH qos=$q } q=1 nothing={ } rest={ a pings; a drops } text=\"v\" list=[[\"k\":\"v\" \"k\":\"w\"]]\n"
	                           "a connects user_property=$list\na -> $send payload=\"<$(text)>\"\n$nothing\n$rest\n", NULL, 0, &found);
	struct dump dump = { .n = 0 };

	(void)state;
	assert_non_null(s);
	dump.script = s->scripts;
	dump_steps(&dump, s->scripts->steps);
	assert_string_equal(dump.text, "a connects user_property=[\"k\":\"v\" \"k\":\"w\"]; a -> PUBLISH qos=1 payload=<\"<\" \"v\" \">\">; a pings; a drops");
	assert_string_equal(s->scripts->steps->next->text, "a -> PUBLISH qos=1 payload=\"<$(text)>\"");
	scenario_free(s);
}

static void a_step_keeps_its_text(void **state)
{
	struct diagnostics found;
	struct scenario *s = parse("scenario \"t\"\nmqtt 5\ncites 5 MQTT-3.3.1-2\na connects  \t keep_alive=5   # why\na receives payload=\"a  b\"   [MQTT-3.3.1-2] # x\n"
	                           "repeat 1..2 as $i { a publishes payload=\"$(i)\" }", NULL, 0, &found);
	const struct step *step;

	(void)state;
	assert_non_null(s);
	step = s->scripts->steps;
	assert_string_equal(step->text, "a connects keep_alive=5");
	step = step->next;
	assert_string_equal(step->text, "a receives payload=\"a  b\"");
	assert_string_equal(step->matches[0].text, "payload=\"a  b\"");
	assert_int_equal(step->at.line, 5);
	assert_string_equal(step->next->text, "repeat 1..2 as $i");
	scenario_free(s);
}

static void a_test_cites_what_its_case_marks(void **state)
{
	struct diagnostics found;
	struct scenario *s = parse("scenario \"t\"\nmqtt 5\ncites 5 MQTT-3.3.1-2 MQTT-3.3.1-3\ncase \"x\" do={ a <- nothing [MQTT-3.3.1-2] }\n"
	                           "case \"y\" do={ a <- nothing [MQTT-3.3.1-3] }\na connects\n$do\n", NULL, 0, &found);

	(void)state;
	assert_non_null(s);
	assert_int_equal(s->scripts[0].n_cites, 1);
	assert_string_equal(s->scripts[0].cites[0], "MQTT-3.3.1-2");
	assert_int_equal(s->scripts[1].n_cites, 1);
	assert_string_equal(s->scripts[1].cites[0], "MQTT-3.3.1-3");
	scenario_free(s);
}

static void the_header_is_kept(void **state)
{
	struct diagnostics found;
	struct scenario *s = parse("# a comment first\n\nscenario \"t\"\nmqtt 5\nwatches 5 MQTT-3.3.1-2 survives\nneeds maximum_qos>=2 tls auth=SCRAM-SHA-256\n"
	                           "tags one two\nalone\nbulk\nactor a mqtt=3.1.1 keep_alive=9\nactor b receive_maximum=3\na connects; b connects", NULL, 0, &found);
	const struct script *script;

	(void)state;
	assert_non_null(s);
	script = s->scripts;
	assert_true(s->alone && s->bulk && s->n_tags == 2);
	assert_string_equal(s->tags[1], "two");
	assert_int_equal(script->n_watches, 2);
	assert_int_equal(script->n_needs, 3);
	assert_string_equal(script->needs[0].name, "maximum_qos");
	assert_string_equal(script->needs[0].text, "maximum_qos>=2");
	assert_true(script->needs[0].op == PATTERN_AT_LEAST && script->needs[0].number == 2);
	assert_true(script->needs[1].op == PATTERN_PRESENT);
	assert_string_equal(script->needs[2].string, "SCRAM-SHA-256");
	assert_int_equal(script->actors[0].version, MQTT_3_1_1);
	assert_int_equal(script->actors[0].connect[0].value->number, 9);
	assert_int_equal(script->actors[1].version, MQTT_5);
	scenario_free(s);
}

static void parameters_can_be_given(void **state)
{
	static const struct param given[] = { { "k", "20" } }, bad[] = { { "k", "20x" } }, empty[] = { { "k", "" } };
	const char *text = HEAD "param k = 5\na connects keep_alive=$k\n";
	struct diagnostics found;
	struct scenario *s = parse(text, NULL, 0, &found);

	(void)state;
	assert_int_equal(s->scripts->steps->assigns[0].value->number, 5);
	scenario_free(s);
	s = parse(text, given, 1, &found);
	assert_int_equal(s->scripts->steps->assigns[0].value->number, 20);
	scenario_free(s);
	assert_null(parse(text, bad, 1, &found));
	assert_int_equal(found.list[0].at.line, 4);
	assert_null(parse(text, empty, 1, &found));
	assert_string_equal(found.list[0].text, "-D k=: expected one value");
}

static void every_mistake_is_told(void **state)
{
	struct diagnostics found;

	(void)state;
	assert_null(parse(HEAD "a conects\na -> PUBLSH\nrepeat 2 {\n a -> PUBREL pid=1\n}\na connects keep_alive=70000\n", NULL, 0, &found));
	assert_int_equal(found.n, 4);
	assert_int_equal(found.list[0].at.line, 4);
	assert_int_equal(found.list[1].at.line, 5);
	assert_int_equal(found.list[2].at.line, 7);
	assert_int_equal(found.list[3].at.line, 9);
}

static void a_mistake_is_told_once(void **state)
{
	struct diagnostics found;

	(void)state;
	assert_null(parse("scenario \"t\"\nmqtt 3.1.1 5\nwatches 3.1.1 MQTT-3.3.1-2\nwatches 5 MQTT-3.3.1-2\ncase \"x\" k=[1 2 3]\na connects keep_alive=$k kep=1\n",
	                  NULL, 0, &found));
	assert_int_equal(found.n, 1);
}

/* What a file can demand is bounded, and the bound has a place. */
static void growth_is_bounded(void **state)
{
	static char text[1 << 19];
	struct diagnostics found;
	size_t n;

	(void)state;
	n = (size_t)sprintf(text, HEAD "a connects\n");
	for (unsigned i = 0; i < 5000; i++)
		n += (size_t)sprintf(text + n, "a pings\n");
	assert_null(parse(text, NULL, 0, &found));
	assert_int_equal(found.list[0].at.line, 4 + MAX_STEPS);

	sprintf(text, HEAD "case \"x\" a=[1 2 3 4 5 6 7 8 9 10] b=[1 2 3 4 5 6 7 8 9 10] c=[1 2 3 4 5 6 7 8 9 10] d=[1 2 3 4 5 6 7 8 9 10]\n"
	        "a connects keep_alive=$a; a publishes payload=\"$(b)$(c)$(d)\"");
	assert_null(parse(text, NULL, 0, &found));
	assert_int_equal(found.list[0].at.line, 4);

	sprintf(text, HEAD "case \"x\" a={ $b $b $b $b $b $b $b $b } b={ $c $c $c $c $c $c $c $c } c={ $d $d $d $d $d $d $d $d } "
	        "d={ $e $e $e $e $e $e $e $e } e={ $f $f $f $f $f $f $f $f } f={ $g $g $g $g $g $g } g={ $h $h $h $h $h $h } h={ $i $i $i $i } i={ $i }\na connects\n$a");
	assert_null(parse(text, NULL, 0, &found));

	n = (size_t)sprintf(text, HEAD "a connects\n");
	for (unsigned i = 0; i < 60; i++)
		n += (size_t)sprintf(text + n, "repeat 2 { ");
	for (unsigned i = 0; i < 60; i++)
		n += (size_t)sprintf(text + n, "}");
	assert_null(parse(text, NULL, 0, &found));
	assert_int_equal(found.list[0].at.line, 5);
}

int main(void)
{
	enum { N = sizeof rows / sizeof *rows };
	struct CMUnitTest tests[N + 9] = {
		cmocka_unit_test(cases_multiply_in_order),
		cmocka_unit_test(values_are_put_in_as_tokens),
		cmocka_unit_test(a_step_keeps_its_text),
		cmocka_unit_test(a_test_cites_what_its_case_marks),
		cmocka_unit_test(the_header_is_kept),
		cmocka_unit_test(parameters_can_be_given),
		cmocka_unit_test(every_mistake_is_told),
		cmocka_unit_test(a_mistake_is_told_once),
		cmocka_unit_test(growth_is_bounded),
	};

	for (size_t i = 0; i < N; i++)
		tests[9 + i] = (struct CMUnitTest){ .name = rows[i].name, .test_func = reads_as_written, .initial_state = (void *)&rows[i] };
	return cmocka_run_group_tests(tests, NULL, NULL);
}

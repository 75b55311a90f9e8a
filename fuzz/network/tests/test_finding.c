#include "fuzz/network/finding.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "fuzz/network/tests/say.h"
#include "harness/script.h"

/* ---- findings of all kinds, as they are to be read ---- */

static struct moves moves;
static struct symptom symptom;
static const struct anomaly anomaly = { "value past its range", "2 c1 PUBLISH.topic_alias" };

static struct finding_file file_of(enum oracle oracle, const char *bucket, const char *text)
{
	symptom = (struct symptom){ .oracle = oracle };
	snprintf(symptom.bucket, sizeof(symptom.bucket), "%s", bucket);
	snprintf(symptom.text, sizeof(symptom.text), "%s", text);
	moves.n = moves.used = 0;
	return (struct finding_file){
		.symptom = &symptom, .moves = &moves, .name = "fz00c2xt", .lineage = "88213/5120", .seed = 7, .anomaly = &anomaly,
		.seed_name = "common/qos/qos2-repeated.scn in 5", .minimised = { 10, 10, 51, true }, .target = "mosquitto 2.0.11",
		.command = "mqassay fuzz --seed 7 --case 88213/5120 --exec 'broker -p {port}'",
	};
}

static const char *written(const struct finding_file *f, void (*write)(FILE *, const struct finding_file *))
{
	static char room[1 << 16];
	FILE *out = fmemopen(room, sizeof(room), "w");

	assert_non_null(out);
	write(out, f);
	assert_int_equal(fclose(out), 0);
	return room;
}

static void is_written(const struct finding_file *f, const char *expected)
{
	static struct diagnostics diagnostics;
	const char *text = written(f, finding_write);

	assert_string_equal(text, expected);
	memset(&diagnostics, 0, sizeof(diagnostics));
	struct scenario *scenario = scenario_parse("finding.scn", span_text(text), NULL, 0, &diagnostics);
	if (diagnostics.n)
		fail_msg("%u: %s", diagnostics.list[0].at.line, diagnostics.list[0].text);
	assert_non_null(scenario);
	scenario_free(scenario);
}

#define ORIGIN \
	"# made from common/qos/qos2-repeated.scn in 5 by: value past its range (2 c1 PUBLISH.topic_alias)\n" \
	"# mqassay replay finding.scn TARGET\n" \
	"# mqassay fuzz --seed 7 --case 88213/5120 --exec 'broker -p {port}'\n" \
	"# seen with mosquitto 2.0.11\n"

static void death_after_a_takeover(void **state)
{
	struct finding_file f = file_of(ORACLE_DEATH, "death signal 11", "the process ended by signal 11");

	(void)state;
	add(&moves, MOVE_OPEN, 3, 0, (struct span){ 0 });
	say(&moves, 3, MQTT_5, "CONNECT client_id=\"" MOVES_NAME "\" session_expiry_interval=60");
	hear(&moves, 3);
	say(&moves, 3, MQTT_5, "PUBLISH topic=\"" MOVES_NAME "/t\" qos=2 packet_id=1 payload=\"x\"");
	hear(&moves, 3);
	add(&moves, MOVE_OPEN, 0, 0, (struct span){ 0 });
	say(&moves, 0, MQTT_5, "CONNECT client_id=\"" MOVES_NAME "\" session_expiry_interval=60");
	hear(&moves, 0);
	add(&moves, MOVE_PAUSE, 0, 2, (struct span){ 0 });
	say(&moves, 0, MQTT_5, "PUBREL packet_id=1");
	is_written(&f,
	           "finding \"Death after a takeover inside an open QoS 2 flow, then PUBREL, 2 clients\""
	           "    # case 88213/5120, seed 7, replays 10 of 10, oracle: death\n"
	           "# the process ended by signal 11\n" ORIGIN
	           "mqtt 5\n"
	           "\n"
	           "a -> CONNECT keep_alive=0 session_expiry_interval=60 client_id=\"fz00c2xt\"\n"
	           "a settles\n"
	           "a -> PUBLISH topic=\"fz00c2xt/t\" qos=2 packet_id=1 payload=\"x\"\n"
	           "a settles\n"
	           "b -> CONNECT keep_alive=0 session_expiry_interval=60 client_id=\"fz00c2xt\"\n"
	           "b settles\n"
	           "wait 200us\n"
	           "b -> PUBREL packet_id=1\n"
	           "b settles\n"
	           "wait 20ms\n"
	           "a drops\n"
	           "b drops\n"
	           "target lives\n");
}

static void what_is_wrong_is_marked(void **state)
{
	struct finding_file f = file_of(ORACLE_SANITIZER, "sanitizer heap-buffer-overflow read_topic<handle_publish<loop", "heap-buffer-overflow in read_topic");
	static const uint8_t cut[] = { 0x30, 0x10, 0x00, 0x20, 'a' }, lie[] = { 0x30, 0x84, 0x00, 0x00, 0x01, 'a', 'b' };

	(void)state;
	f.anomaly = NULL;
	f.seed_name = f.target = f.command = NULL;
	f.minimised.complete = false;
	f.minimised.shows = 8;
	add(&moves, MOVE_OPEN, 0, 0, (struct span){ 0 });
	say(&moves, 0, MQTT_3_1_1, "CONNECT clean_start client_id=\"" MOVES_NAME "\"");
	say(&moves, 0, MQTT_3_1_1, "CONNECT clean_start client_id=\"\\x01\\x1b[2J\"");
	say(&moves, 0, MQTT_3_1_1, "SUBSCRIBE packet_id=1 (\"a/#/b\" qos=1) flags=0x0");
	add(&moves, MOVE_SEND, 0, 0, span_of(lie, sizeof(lie)));
	add(&moves, MOVE_SEND_CUT, 0, 2, span_of(cut, sizeof(cut)));
	is_written(&f,
	           "finding \"Sanitizer heap-buffer-overflow read_topic after bytes that are no whole packet, the last of 4 packets\""
	           "    # case 88213/5120, seed 7, replays 8 of 10, oracle: sanitizer\n"
	           "# heap-buffer-overflow in read_topic\n"
	           "# not the least: the time for making it smaller was over first\n"
	           "# mqassay replay finding.scn TARGET\n"
	           "mqtt 3.1.1\n"
	           "\n"
	           "a -> CONNECT clean_start keep_alive=0 client_id=\"fz00c2xt\"\n"
	           "a -> !CONNECT clean_start keep_alive=0 client_id=\"\\x01\\x1b[2J\"\n"
	           "a -> SUBSCRIBE packet_id=1 (\"a/#/b\" qos=1) !flags=0x00\n"
	           "a -> PUBLISH topic=\"a\" payload=\"b\" !remaining_length=hex\"84 00\"\n"
	           "a -> bytes hex\"30 10 00 20 61\" in pieces of 2    # PUBLISH, not whole\n"
	           "a settles\n"
	           "wait 20ms\n"
	           "a drops\n"
	           "target lives\n");
}

static void a_rule_is_watched(void **state)
{
	struct finding_file f = file_of(ORACLE_RULE, "rule 3.1.1:MQTT-3.3.1-2 PUBLISH", "PUBLISH with DUP at QoS 0");
	uint8_t two[200];
	size_t len;

	(void)state;
	symptom.version = MQTT_3_1_1;
	strcpy(symptom.clause, "MQTT-3.3.1-2");
	f.anomaly = NULL;
	f.seed_name = f.target = f.command = NULL;
	add(&moves, MOVE_OPEN, 1, 0, (struct span){ 0 });
	say(&moves, 1, MQTT_5, "CONNECT clean_start client_id=\"" MOVES_NAME "\"");
	add(&moves, MOVE_OPEN, 2, 0, (struct span){ 0 });
	len = bytes_of("CONNECT clean_start client_id=\"" MOVES_NAME "2\"", MQTT_3_1_1, two, sizeof(two));
	len += bytes_of("SUBSCRIBE packet_id=1 (\"" MOVES_NAME "\" qos=1)", MQTT_3_1_1, two + len, sizeof(two) - len);
	add(&moves, MOVE_SEND, 2, 0, span_of(two, len));
	hear(&moves, 2);
	say(&moves, 1, MQTT_5, "PUBLISH topic=\"" MOVES_NAME "\" qos=1 packet_id=1 user_property=[\"k\":\"v\"] payload=\"\"");
	hear(&moves, 1);
	add(&moves, MOVE_ANSWER, 2, ANSWER_RIGHT, span_of("\x40\x02\x00\x01", 4));
	add(&moves, MOVE_OPEN, 2, 0, (struct span){ 0 });
	say(&moves, 2, MQTT_5, "CONNECT client_id=\"" MOVES_NAME "2\"");
	hear(&moves, 2);
	is_written(&f,
	           "finding \"Rule 3.1.1:MQTT-3.3.1-2 broken after SUBSCRIBE, then PUBLISH of QoS 1 with user_property, 2 clients\""
	           "    # case 88213/5120, seed 7, replays 10 of 10, oracle: rule\n"
	           "# PUBLISH with DUP at QoS 0\n"
	           "# mqassay replay finding.scn TARGET\n"
	           "mqtt 3.1.1\n"
	           "actor a mqtt=5\n"
	           "actor c mqtt=5\n"
	           "watches 3.1.1 MQTT-3.3.1-2\n"
	           "\n"
	           "a -> CONNECT clean_start keep_alive=0 client_id=\"fz00c2xt\"\n"
	           "b opens\n"
	           "together { b -> CONNECT clean_start keep_alive=0 client_id=\"fz00c2xt2\"; b -> SUBSCRIBE packet_id=1 (\"fz00c2xt\" qos=1) }\n"
	           "b settles\n"
	           "a -> PUBLISH topic=\"fz00c2xt\" qos=1 packet_id=1 user_property=[\"k\":\"v\"] payload=\"\"\n"
	           "a settles\n"
	           "b answers\n"
	           "b drops\n"
	           "c -> CONNECT keep_alive=0 client_id=\"fz00c2xt2\"\n"
	           "c settles\n"
	           "a -> PINGREQ\n"
	           "a settles\n"
	           "c -> PINGREQ\n"
	           "c settles\n"
	           "a -> PINGREQ\n"
	           "a settles\n"
	           "a drops\n"
	           "c drops\n");
}

static void a_bystander_is_played(void **state)
{
	struct finding_file f = file_of(ORACLE_BYSTANDER, "bystander lost", "message 12 did not come within 2 s");

	(void)state;
	f.anomaly = NULL;
	f.seed_name = f.target = f.command = NULL;
	f.within_ns = 2000000000;
	f.bystander_version = MQTT_3_1_1;
	add(&moves, MOVE_OPEN, 0, 0, (struct span){ 0 });
	say(&moves, 0, MQTT_5, "CONNECT clean_start client_id=\"\"");
	for (unsigned i = 0; i < 40; i++)
		say(&moves, 0, MQTT_5, "PUBLISH topic=\"abcdefghijklmnopqrstuvwxyzabcdef\" payload=\"\"");
	add(&moves, MOVE_STOP_READING, 0, 0, (struct span){ 0 });
	is_written(&f,
	           "finding \"A bystander noticed (lost) after PUBLISH sent 40 times\"    # case 88213/5120, seed 7, replays 10 of 10, oracle: bystander\n"
	           "# message 12 did not come within 2 s\n"
	           "# mqassay replay finding.scn TARGET\n"
	           "mqtt 5\n"
	           "actor by mqtt=3.1.1\n"
	           "\n"
	           "by connects\n"
	           "by subscribes (\"by/fz00c2xt\" qos=1)\n"
	           "a -> CONNECT clean_start keep_alive=0 client_id=\"\"\n"
	           "repeat 13 {\n"
	           "    a -> PUBLISH topic=fill(32) payload=\"\"\n"
	           "}\n"
	           "by publishes topic=\"by/fz00c2xt\" qos=1 payload=\"1\"\n"
	           "repeat 14 {\n"
	           "    a -> PUBLISH topic=fill(32) payload=\"\"\n"
	           "}\n"
	           "by publishes topic=\"by/fz00c2xt\" qos=1 payload=\"2\"\n"
	           "repeat 13 {\n"
	           "    a -> PUBLISH topic=fill(32) payload=\"\"\n"
	           "}\n"
	           "a reads nothing\n"
	           "a drops\n"
	           "by publishes topic=\"by/fz00c2xt\" qos=1 payload=\"3\"\n"
	           "by receives topic=\"by/fz00c2xt\" payload=\"1\" within 2s\n"
	           "by receives topic=\"by/fz00c2xt\" payload=\"2\" within 2s\n"
	           "by receives topic=\"by/fz00c2xt\" payload=\"3\" within 2s\n"
	           "by <- nothing\n");
}

static void what_the_process_uses_is_judged(void **state)
{
	static const struct {
		enum oracle oracle;
		const char *bucket, *title, *before, *after;
		unsigned repeats;
	} rows[] = {
		{ ORACLE_MEMORY, "memory", "Memory that stays taken after CONNECT", "repeat 50 {\n    a -> ", "    a drops\n}\ntarget lives grows<32M\n", 50 },
		{ ORACLE_CPU, "cpu", "Busy without being asked after CONNECT", "a -> ", "a drops\ntarget lives busy<500ms\n", 0 },
		{ ORACLE_LIVENESS, "liveness", "No service after CONNECT", "a -> ", "a drops\ntarget lives within 3s\n", 1 },
		{ ORACLE_LATENCY, "latency", "Slow answers after CONNECT", "by connects\na -> ",
		  "a drops\nby -> PINGREQ\nby <- PINGRESP within 3s\ntarget lives within 3s\n", 1 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct finding_file f = file_of(rows[i].oracle, rows[i].bucket, "");
		char title[200];

		f.grows = 32 << 20;
		f.within_ns = 3000000000;
		f.repeats = rows[i].repeats;
		add(&moves, MOVE_OPEN, 0, 0, (struct span){ 0 });
		say(&moves, 0, MQTT_5, "CONNECT clean_start client_id=\"" MOVES_NAME "\"");
		hear(&moves, 0);
		finding_title(&f, title, sizeof(title));
		assert_string_equal(title, rows[i].title);
		const char *steps = strstr(written(&f, finding_write), "\n\n");
		assert_non_null(steps);
		steps += 2;
		assert_memory_equal(steps, rows[i].before, strlen(rows[i].before));
		assert_true(strlen(steps) > strlen(rows[i].after));
		assert_string_equal(steps + strlen(steps) - strlen(rows[i].after), rows[i].after);
		}
}

static void bytes_for_other_tools(void **state)
{
	struct finding_file f = file_of(ORACLE_DEATH, "death exit 1", "");

	(void)state;
	add(&moves, MOVE_OPEN, 0, 0, (struct span){ 0 });
	say(&moves, 0, MQTT_3_1_1, "CONNECT clean_start client_id=\"" MOVES_NAME "\"");
	add(&moves, MOVE_OPEN, 1, 0, (struct span){ 0 });
	say(&moves, 1, MQTT_3_1_1, "PINGREQ");
	add(&moves, MOVE_OPEN, 0, 0, (struct span){ 0 });
	add(&moves, MOVE_ANSWER, 0, ANSWER_RIGHT, span_of("\x40\x02\x00\x01", 4));
	assert_string_equal(strstr(written(&f, finding_hex), "\n# c0\n"), "\n# c0\n10 14 00 04 4d 51 54 54 04 02 00 00 00 08 66 7a 30 30 63 32 78 74\n"
	                    "# c0, connection 2\n40 02 00 01\n# c1\nc0 00\n");
}

/* ---- the folder ---- */

static void file_is(const char *path, const char *part)
{
	static char text[1 << 16];
	FILE *in = fopen(path, "r");

	assert_non_null(in);
	text[fread(text, 1, sizeof(text) - 1, in)] = '\0';
	fclose(in);
	if (!strstr(text, part))
		fail_msg("%s lacks %s: %s", path, part, text);
}

static void a_bucket_is_kept_once(void **state)
{
	struct finding_file f = file_of(ORACLE_DEATH, "death signal 11", "the process ended\nby \x1b[2Jsignal 11");
	char folder[] = "/tmp/mqassay-findings-XXXXXX", path[300], other[300], pcap[300];

	(void)state;
	assert_non_null(mkdtemp(folder));
	snprintf(pcap, sizeof(pcap), "%s/trial.pcapng", folder);
	FILE *out = fopen(pcap, "w");
	assert_non_null(out);
	fputs("bytes", out);
	fclose(out);
	strcpy(symptom.detail, "SUMMARY: one\n\x1b[0m two");
	add(&moves, MOVE_OPEN, 0, 0, (struct span){ 0 });
	say(&moves, 0, MQTT_5, "PINGREQ");

	assert_int_equal(finding_keep(folder, &f, pcap, path, sizeof(path)), 0);
	snprintf(other, sizeof(other), "%s/death-signal-11/finding.scn", folder);
	assert_string_equal(path, other);
	file_is(path, "a -> PINGREQ\n");
	file_is(path, "# the process ended\\nby \\x1b[2Jsignal 11\n");
	snprintf(other, sizeof(other), "%s/death-signal-11/report.txt", folder);
	file_is(other, "\nhits      1\n");
	file_is(other, "    SUMMARY: one\n    \\x1b[0m two\n");
	snprintf(other, sizeof(other), "%s/death-signal-11/wire.pcapng", folder);
	file_is(other, "bytes");
	snprintf(other, sizeof(other), "%s/death-signal-11/wire.hex", folder);
	file_is(other, "c0 00\n");

	/* Hit again, by another case: the first stays. */
	say(&moves, 0, MQTT_5, "PINGREQ");
	assert_int_equal(finding_keep(folder, &f, NULL, path, sizeof(path)), 0);
	assert_int_equal(finding_keep(folder, &f, NULL, path, sizeof(path)), 0);
	snprintf(other, sizeof(other), "%s/death-signal-11/report.txt", folder);
	file_is(other, "\nhits      3\n");
	file_is(path, "a -> PINGREQ\na settles\n");

	/* Another bucket, with what no file name has. */
	strcpy(symptom.bucket, "rule 5:MQTT-3.3.1-2 PUBLISH");
	assert_int_equal(finding_keep(folder, &f, NULL, path, sizeof(path)), 0);
	assert_non_null(strstr(path, "/rule-5_MQTT-3.3.1-2-PUBLISH-"));

	/* What cannot be written is named. */
	strcpy(symptom.bucket, "liveness");
	assert_int_equal(finding_keep(folder, &f, "/nowhere/at/all", path, sizeof(path)), -ENOENT);
	assert_non_null(strstr(path, "/liveness/wire.pcapng"));
	assert_int_equal(finding_keep(pcap, &f, NULL, path, sizeof(path)), -ENOTDIR);
	assert_string_equal(path, pcap);

	snprintf(path, sizeof(path), "rm -r %s", folder);
	assert_int_equal(system(path), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(death_after_a_takeover),
		cmocka_unit_test(what_is_wrong_is_marked),
		cmocka_unit_test(a_rule_is_watched),
		cmocka_unit_test(a_bystander_is_played),
		cmocka_unit_test(what_the_process_uses_is_judged),
		cmocka_unit_test(bytes_for_other_tools),
		cmocka_unit_test(a_bucket_is_kept_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

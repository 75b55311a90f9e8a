#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "codec/tests/whole.h"

/*
 * Every row of cases.tsv, judged by frame, decode and check: the same verdict, by one of the rules it names.
 * And every row that can be read at all comes back from the codec, and from its text, byte for byte.
 */

#define PATH "codec/tests/cases.tsv"

enum { HEX, VERSION, DIRECTION, VERDICT, RULE, NOTE, N_COLUMNS };

struct row {
	unsigned line;
	char *column[N_COLUMNS];
	char name[128], back_name[144];
};

static enum version version_of(const char *text)
{
	return !strcmp(text, "3.1") ? MQTT_3_1 : !strcmp(text, "3.1.1") ? MQTT_3_1_1 : MQTT_5;
}

/* What a receiver does with the bytes, step by step; false when one of them refuses. */
static bool accepted(const uint8_t *bytes, size_t len, enum version version, enum sender from, struct finding *finding)
{
	struct frame frame;
	struct packet packet;

	switch (frame_next(bytes, len, &frame, finding)) {
	case FRAME_BAD:  return false;
	case FRAME_MORE: fail_msg("the row's bytes are no whole packet"); return false;
	case FRAME_OK:   break;
	}
	if (frame.overlong && version == MQTT_5) {
		*finding = (struct finding){ .rule = RULE_OVERLONG, .version = MQTT_5, .why = "overlong remaining length" };
		return false;
	}
	if (frame.size != len)
		fail_msg("the row holds more than one packet");
	return decode(bytes, len, version, &packet, finding) == CODEC_OK && check(&packet, from, finding) == CODEC_OK;
}

static bool among(const char *id, const char *list)
{
	size_t n = strlen(id);

	for (const char *p = list; p; p = strchr(p, '|') ? strchr(p, '|') + 1 : NULL) {
		const char *unnumbered = "unnumbered:";

		if (!strncmp(p, unnumbered, strlen(unnumbered)))
			p += strlen(unnumbered);
		if (!strncmp(p, id, n) && (!p[n] || p[n] == '|'))
			return true;
	}
	return false;
}

static struct guard guard;

static void judged_as_written(void **state)
{
	const struct row *row = *state;
	enum version version = version_of(row->column[VERSION]);
	enum sender from = row->column[DIRECTION][0] == 'c' ? FROM_CLIENT : FROM_SERVER;
	static uint8_t bytes[8192];
	size_t len = bytes_of_hex(row->column[HEX], bytes, sizeof bytes);
	struct finding finding;
	bool ok = accepted(guard_copy(&guard, bytes, len), len, version, from, &finding);

	if (ok != !strcmp(row->column[VERDICT], "ok"))
		fail_msg("%s:%u: is %s, judged %s%s: %s (%s)", PATH, row->line, row->column[VERDICT], ok ? "ok" : "bad by ",
		         ok ? "" : rule_id(finding.rule, finding.version), ok ? "" : finding.why, row->column[NOTE]);
	if (!ok && !among(rule_id(finding.rule, finding.version), row->column[RULE]))
		fail_msg("%s:%u: breaks %s, judged by %s: %s (%s)", PATH, row->line, row->column[RULE],
		         rule_id(finding.rule, finding.version), finding.why, row->column[NOTE]);
	if (!ok)
		assert_true(finding.offset <= len);
}

static void comes_back(void **state)
{
	const struct row *row = *state;
	enum version version = version_of(row->column[VERSION]);
	static uint8_t bytes[8192];
	char text[65536];
	size_t len = bytes_of_hex(row->column[HEX], bytes, sizeof bytes);
	struct frame frame;
	struct finding finding;
	struct packet packet;

	if (frame_next(bytes, len, &frame, &finding) == FRAME_OK) {
		assert_framed(&guard, bytes, len);
		assert_survives_cuts(&guard, bytes, len, version);
	}
	assert_laid_out(guard_copy(&guard, bytes, len), len, version);
	if (decode(bytes, len, version, &packet, &finding) == CODEC_OK && !frame.overlong)
		assert_comes_back(&guard, bytes, len, version, row->column[DIRECTION][0] == 'c' ? FROM_CLIENT : FROM_SERVER, text, sizeof text);
}

static bool split(char *line, struct row *row)
{
	for (int i = 0; i < N_COLUMNS; i++) {
		row->column[i] = line;
		if (!line)
			return false;
		line = strchr(line, '\t');
		if (line)
			*line++ = '\0';
	}
	return true;
}

int main(void)
{
	static struct row rows[4096];
	static struct CMUnitTest tests[2 * 4096];
	FILE *f = fopen(PATH, "r");
	char *line = NULL;
	size_t cap = 0, n = 0;
	bool header = true;

	if (!f) {
		perror(PATH);
		return 3;
	}
	for (unsigned at = 1; getline(&line, &cap, f) > 0; at++) {
		line[strcspn(line, "\n")] = '\0';
		if (line[0] == '#' || !line[0])
			continue;
		if (header) {
			header = false;
			continue;
		}
		if (n == sizeof rows / sizeof *rows || !split(strdup(line), &rows[n])) {
			fprintf(stderr, "%s:%u: not a row of %d columns, or too many rows\n", PATH, at, N_COLUMNS);
			return 3;
		}
		rows[n].line = at;
		snprintf(rows[n].name, sizeof rows[n].name, "%u %s %s %.80s", at, rows[n].column[VERSION], rows[n].column[DIRECTION], rows[n].column[NOTE]);
		snprintf(rows[n].back_name, sizeof rows[n].back_name, "%u %s %s %.80s, and back", at, rows[n].column[VERSION], rows[n].column[DIRECTION], rows[n].column[NOTE]);
		tests[2 * n] = (struct CMUnitTest){ .name = rows[n].name, .test_func = judged_as_written, .initial_state = &rows[n] };
		tests[2 * n + 1] = (struct CMUnitTest){ .name = rows[n].back_name, .test_func = comes_back, .initial_state = &rows[n] };
		n++;
	}
	free(line);
	fclose(f);
	guard = guard_new(WHOLE_MAX);
	return _cmocka_run_group_tests("cases.tsv", tests, 2 * n, NULL, NULL);
}

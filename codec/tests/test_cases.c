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

/* ---- every row of the property table has its cases ---- */

static struct {
	uint8_t id;
	const char *name;
	uint32_t carried;		/* by packets of these types; bit 0 for a will's list */
	uint32_t accepted;		/* of these, those of which a row says that it is right */
	bool refused;			/* some row is wrong because of this property */
} properties[] = {
#define X(id, name, kind, carried, limit) { id, #name, carried, 0, false },
	PROPERTIES(X)
#undef X
};

enum { N_PROPERTIES = sizeof properties / sizeof *properties };

static void note_properties(struct span list, const struct span whole, unsigned bit, const struct finding *finding)
{
	struct property_walk walk = properties_of(list);
	struct property p;

	while (property_next(&walk, &p))
		for (size_t i = 0; i < N_PROPERTIES; i++) {
			size_t at = (size_t)(p.at - whole.at);

			if (properties[i].id != p.id)
				continue;
			if (!finding)
				properties[i].accepted |= 1u << bit;
			else if (finding->offset >= at && finding->offset < at + p.size)
				properties[i].refused = true;
		}
}

static void note_row(const struct row *row)
{
	enum version version = version_of(row->column[VERSION]);
	enum sender from = row->column[DIRECTION][0] == 'c' ? FROM_CLIENT : FROM_SERVER;
	static uint8_t bytes[8192];
	struct span whole = { bytes, bytes_of_hex(row->column[HEX], bytes, sizeof bytes) };
	struct finding finding;
	struct packet packet;
	bool right = !strcmp(row->column[VERDICT], "ok");

	if (version != MQTT_5 || decode(whole.at, whole.len, version, &packet, &finding) != CODEC_OK)
		return;
	if (!right && check(&packet, from, &finding) == CODEC_OK)
		return;
	note_properties(packet.properties, whole, packet.type, right ? NULL : &finding);
	if (packet.type == CONNECT)
		note_properties(packet.will_properties, whole, WILL, right ? NULL : &finding);
}

/* Who adds a property adds its cases: one for each packet that may carry it, and one that is wrong because of it. */
static void every_property_has_its_cases(void **state)
{
	const struct row *rows = *state;
	unsigned missing = 0;

	for (const struct row *row = rows; row->line; row++)
		note_row(row);
	for (size_t i = 0; i < N_PROPERTIES; i++) {
		for (unsigned type = 0; type < N_PACKET_TYPES; type++)
			if (properties[i].carried & ~properties[i].accepted & 1u << type) {
				print_error("%s has no row with %s in %s that is ok\n", PATH, properties[i].name, type == WILL ? "a will" : packet_name((enum packet_type)type));
				missing++;
			}
		if (!properties[i].refused) {
			print_error("%s has no row that is bad because of %s\n", PATH, properties[i].name);
			missing++;
		}
	}
	assert_int_equal(missing, 0);
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
	static struct CMUnitTest tests[2 * 4096 + 1];
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
		if (n == sizeof rows / sizeof *rows - 1 || !split(strdup(line), &rows[n])) {
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
	tests[2 * n] = (struct CMUnitTest){ .name = "every property has its cases", .test_func = every_property_has_its_cases, .initial_state = rows };
	return _cmocka_run_group_tests("cases.tsv", tests, 2 * n + 1, NULL, NULL);
}

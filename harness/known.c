#include "harness/known.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdarg.h>
#include <stdlib.h>

#include "harness/cli.h"
#include "harness/console.h"

/* Reading the file, and which tests a row is about. */

enum { C_RULE, C_VERSION, C_TEST, C_TARGET, C_REASON, N_COLUMNS, MAX_STARS = 8 };

static const char *const column_names[N_COLUMNS] = { "rule", "version", "test", "target", "reason" };

static bool wrong(struct fault *fault, unsigned line, const char *format, ...) __attribute__((format(printf, 3, 4)));
static bool wrong(struct fault *fault, unsigned line, const char *format, ...)
{
	va_list args;

	*fault = (struct fault){ .line = line };
	va_start(args, format);
	vsnprintf(fault->text, sizeof(fault->text), format, args);
	va_end(args);
	return false;
}

static void *grown(void *list, size_t *cap, size_t n, size_t size)
{
	if (n < *cap)
		return list;
	*cap = *cap ? *cap * 2 : 64;
	list = realloc(list, *cap * size);
	if (!list)
		abort();
	return list;
}

/* Shown in a message: never long. */
static const char *shown(const char *text)
{
	char cut[61];

	snprintf(cut, sizeof(cut), "%s", text);
	return console_safe(cut);
}

/* ---- a row ---- */

static unsigned version_bits(const char *text)
{
	unsigned all = 0;

	for (unsigned v = MQTT_3_1; v <= MQTT_5; v++) {
		all |= 1u << v;
		if (!strcmp(text, version_text(v)))
			return 1u << v;
	}
	return strcmp(text, "*") ? 0 : all;
}

static bool is_rule(const char *text)
{
	size_t len = strcspn(text, ":");

	if (!strcmp(text, "-"))
		return true;
	for (unsigned v = MQTT_3_1; v <= MQTT_5; v++)
		if (len == strlen(version_text(v)) && !strncmp(text, version_text(v), len))
			return text[len] && clause_find(v, span_text(text + len + 1));
	return false;
}

/* Many stars make fnmatch() try for ever. */
static unsigned stars(const char *text)
{
	unsigned n = 0;

	for (; *text; text++)
		n += *text == '*';
	return n;
}

static bool check_row(const struct known_row *row, const char *version, unsigned line, struct fault *fault)
{
	if (!is_rule(row->rule))
		return wrong(fault, line, "unknown rule '%s'; expected one such as 5:MQTT-3.3.1-2, or -", shown(row->rule));
	if (!row->versions)
		return wrong(fault, line, "unknown version '%s'; expected 3.1, 3.1.1, 5 or *", shown(version));
	if (!*row->test)
		return wrong(fault, line, "no test; expected file.scn#case, file.scn or a glob");
	if (stars(row->test) > MAX_STARS)
		return wrong(fault, line, "more than %d stars in the test's glob", MAX_STARS);
	if (!*row->target)
		return wrong(fault, line, "no target; expected its label, or *");
	if (!row->reason[strspn(row->reason, " ")])
		return wrong(fault, line, "no reason; expected why the deviation is accepted");
	return true;
}

static bool take_row(struct known *known, const char *name, unsigned line, char *text, struct fault *fault)
{
	const char *column[N_COLUMNS];
	char *at = text;

	for (unsigned i = 0; i < N_COLUMNS; i++) {
		if (!at)
			return wrong(fault, line, "%u columns; expected rule, version, test, target and reason with tabs between", i);
		column[i] = at;
		at = strchr(at, '\t');
		if (at)
			*at++ = 0;
	}
	if (at)
		return wrong(fault, line, "more than 5 columns; expected rule, version, test, target and reason with tabs between");
	struct known_row row = {
		.rule = column[C_RULE], .versions = version_bits(column[C_VERSION]), .test = column[C_TEST], .target = column[C_TARGET],
		.reason = column[C_REASON], .glob = strpbrk(column[C_TEST], "*?[") != NULL,
	};
	if (!check_row(&row, column[C_VERSION], line, fault))
		return false;
	if (known->n_rows == KNOWN_MAX_ROWS)
		return wrong(fault, line, "more than %d rows", KNOWN_MAX_ROWS);
	char place[512];
	snprintf(place, sizeof(place), "%.480s:%u", console_safe(name), line);
	row.at = region_string(&known->region, span_text(place));
	known->rows = grown(known->rows, &known->cap_rows, known->n_rows, sizeof(*known->rows));
	known->rows[known->n_rows++] = row;
	return true;
}

/* ---- a file ---- */

static bool is_header(const char *text)
{
	for (unsigned i = 0; i < N_COLUMNS; i++) {
		size_t len = strlen(column_names[i]);

		if (strncmp(text, column_names[i], len) || text[len] != (i + 1 < N_COLUMNS ? '\t' : 0))
			return false;
		text += len + 1;
	}
	return true;
}

static bool is_text(struct span line)
{
	for (size_t i = 0; i < line.len; i++)
		if ((line.at[i] < 0x20 && line.at[i] != '\t') || line.at[i] == 0x7f)
			return false;
	return true;
}

static bool take_line(struct known *known, const char *name, unsigned number, struct span line, bool *headed, struct fault *fault)
{
	if (line.len && line.at[line.len - 1] == '\r')
		line.len--;
	if (line.len > KNOWN_MAX_LINE)
		return wrong(fault, number, "a line of more than %d bytes", KNOWN_MAX_LINE);
	if (!is_text(line))
		return wrong(fault, number, "a control character; expected text with tabs between columns");
	struct known_line kept = { .text = region_string(&known->region, line), .row = NO_ROW };
	if (*kept.text && *kept.text != '#') {
		if (!*headed && !is_header(kept.text))
			return wrong(fault, number, "expected the columns' names first: rule, version, test, target, reason, with tabs between");
		if (!*headed) {
			*headed = true;
			return true;
		}
		kept.row = known->n_rows;
		if (!take_row(known, name, number, region_string(&known->region, line), fault))
			return false;
	}
	known->lines = grown(known->lines, &known->cap_lines, known->n_lines, sizeof(*known->lines));
	known->lines[known->n_lines++] = kept;
	return true;
}

bool known_parse(struct known *known, const char *name, struct span text, struct fault *fault)
{
	bool headed = false;

	if (text.len > KNOWN_MAX_FILE)
		return wrong(fault, 1, "a file of more than 1 MB");
	for (unsigned number = 1; text.len; number++) {
		const uint8_t *end = memchr(text.at, '\n', text.len);
		size_t len = end ? (size_t)(end - text.at) : text.len;

		if (!take_line(known, name, number, span_of(text.at, len), &headed, fault))
			return false;
		text.at += len + (end != NULL);
		text.len -= len + (end != NULL);
	}
	return true;
}

int known_read(struct known *known, const char *path)
{
	char *text = malloc(KNOWN_MAX_FILE + 1);
	struct fault fault;
	int status = 0;

	if (!text)
		abort();
	FILE *f = fopen(path, "rb");
	size_t len = f ? fread(text, 1, KNOWN_MAX_FILE + 1, f) : 0;
	if (!f || ferror(f)) {
		console_error("read %s: %s", console_safe(path), strerror(errno));
		status = EXIT_UNABLE;
	} else if (!known_parse(known, path, span_of(text, len), &fault)) {
		console_error("%s:%u: %s", console_safe(path), fault.line, fault.text);
		status = EXIT_USAGE;
	}
	if (f)
		fclose(f);
	free(text);
	return status;
}

void known_release(struct known *known)
{
	free(known->rows);
	free(known->lines);
	region_release(&known->region);
	*known = (struct known){ 0 };
}

/* ---- which tests ---- */

static bool fits_test(const struct known_row *row, const struct script *script)
{
	const char *file = script->scenario->file;

	if (!(row->versions & 1u << script->version))
		return false;
	if (!strcmp(row->test, script->id) || !strcmp(row->test, file))
		return true;
	return row->glob && (!fnmatch(row->test, script->id, 0) || !fnmatch(row->test, file, 0));
}

static bool fits_some(const struct known_row *row, const struct suite *suite)
{
	for (size_t i = 0; i < suite->n_scenarios; i++)
		for (uint32_t k = 0; k < suite->scenarios[i]->n_scripts; k++)
			if (fits_test(row, &suite->scenarios[i]->scripts[k]))
				return true;
	return false;
}

const struct known_row *known_stray(const struct known *known, const struct suite *suite, const struct suite *other)
{
	for (size_t i = 0; i < known->n_rows; i++)
		if (!fits_some(&known->rows[i], suite) && !(other && fits_some(&known->rows[i], other)))
			return &known->rows[i];
	return NULL;
}

/* ---- verdicts ---- */

static bool still_so(const struct known_row *row, const struct outcome *o)
{
	enum verdict v = o->result.verdict;
	char rule[128];

	if (!strcmp(row->rule, "-"))
		return v == VERDICT_INCONCLUSIVE || v == VERDICT_UNSTABLE;
	return (v == VERDICT_FAIL || v == VERDICT_UNSTABLE) && o->result.rule && !strcmp(row->rule, outcome_rule(o, rule, sizeof(rule)));
}

static bool judged(const struct outcome *o)
{
	enum verdict v = o->result.verdict;

	return o->played && (v == VERDICT_PASS || v == VERDICT_WARN || v == VERDICT_FAIL || v == VERDICT_FIXED);
}

static void make_known(struct outcome *o, const struct known_row *row)
{
	struct result *r = &o->result;

	r->verdict = VERDICT_KNOWN;
	for (uint32_t i = 0; i < r->n_clauses; i++)
		if (r->clauses[i].verdict == VERDICT_FAIL || r->clauses[i].verdict == VERDICT_UNSTABLE)
			r->clauses[i].verdict = VERDICT_KNOWN;
	o->known_reason = result_text(r, "%s", row->reason);
	o->known_at = result_text(r, "%s", row->at);
}

static void make_fixed(struct outcome *o, const struct known_row *row)
{
	struct result *r = &o->result;

	if (r->verdict == VERDICT_FAIL || r->verdict == VERDICT_FIXED) {
		result_note(r, result_text(r, "%s lists %s, by which this test no longer fails: delete the line", row->at, row->rule));
		return;
	}
	r->reason = result_text(r, "%s lists a deviation from %s that no longer happens%s: delete the line", row->at, row->rule,
	                        r->verdict == VERDICT_WARN ? " as a fail" : "");
	r->verdict = VERDICT_FIXED;
	r->rule = result_text(r, "%s", strchr(row->rule, ':') + 1);
	r->rule_version = (uint8_t)(*row->rule == '5' ? MQTT_5 : o->script->version == MQTT_5 ? MQTT_3_1_1 : o->script->version);
	r->expected = r->received = r->because = NULL;
	o->known_reason = result_text(r, "%s", row->reason);
	o->known_at = result_text(r, "%s", row->at);
}

static bool is_about(const struct known_row *row, const char *label)
{
	return !strcmp(row->target, "*") || !strcmp(row->target, label);
}

bool known_holds(const struct known *known, const struct outcome *o, const char *label)
{
	for (size_t k = 0; k < known->n_rows; k++)
		if (is_about(&known->rows[k], label) && still_so(&known->rows[k], o) && fits_test(&known->rows[k], o->script))
			return true;
	return false;
}

/* Tells each outcome on the target that the row is about; returns how many it took. */
static size_t each(const struct known_row *row, struct conducted *conducted, const char *label,
                   bool (*take)(const struct known_row *row, struct outcome *o))
{
	const struct script *last = NULL;
	bool fits = false;
	size_t n = 0;

	for (size_t i = 0; i < conducted->n && is_about(row, label); i++) {
		struct outcome *o = &conducted->outcomes[i];

		if (o->script != last)
			fits = fits_test(row, o->script);
		last = o->script;
		n += fits && o->played && take(row, o);
	}
	return n;
}

static bool take_same(const struct known_row *row, struct outcome *o)
{
	if (o->known_reason)
		return false;
	if (still_so(row, o))
		make_known(o, row);
	return o->known_reason != NULL;
}

static bool take_fixed(const struct known_row *row, struct outcome *o)
{
	if (!judged(o))
		return false;
	make_fixed(o, row);
	return true;
}

void known_apply(struct known *known, struct conducted *conducted, const char *label)
{
	bool *held = calloc(known->n_rows + 1, sizeof(*held));

	if (!held)
		abort();
	/* Who fails by some row's rule must be known before anybody is said to be fixed. */
	for (size_t k = 0; k < known->n_rows; k++) {
		held[k] = each(&known->rows[k], conducted, label, take_same) > 0;
		known->rows[k].held |= held[k];
	}
	for (size_t k = 0; k < known->n_rows; k++)
		if (!held[k] && strcmp(known->rows[k].rule, "-") && each(&known->rows[k], conducted, label, take_fixed))
			known->rows[k].fixed = true;
	free(held);
}

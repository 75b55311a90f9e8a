#include "harness/parse.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- diagnostics ---- */

struct place place_of(const struct token *token)
{
	return (struct place){ token->line, token->column };
}

/* A ring of short-lived texts: diagnostics are built by one call each, of few parts. */
static char *lend(void)
{
	static _Thread_local char room[5][128];
	static _Thread_local unsigned next;

	return room[next++ % 5];
}

const char *shown(struct span text)
{
	char *at = lend();
	size_t n = 0;

	for (size_t i = 0; i < text.len; i++) {
		if (n > 60) {
			n += (size_t)snprintf(at + n, 8, "...");
			break;
		}
		if (text.at[i] >= ' ' && text.at[i] < 0x7f)
			at[n++] = (char)text.at[i];
		else
			n += (size_t)snprintf(at + n, 8, "\\x%02x", text.at[i]);
	}
	at[n] = '\0';
	return at;
}

const char *version_name(unsigned version)
{
	return version == MQTT_3_1 ? "3.1" : version == MQTT_3_1_1 ? "3.1.1" : "5";
}

/* One error a place: cases and versions repeat each other's. */
static void report(struct parser *p, struct place at, bool warning, const char *format, va_list args)
{
	struct diagnostics *d = p->diagnostics;
	struct diagnostic *new;

	for (uint32_t i = 0; i < d->n; i++)
		if (d->list[i].at.line == at.line && d->list[i].at.column == at.column && d->list[i].warning == warning)
			return;
	d->n_errors += !warning;
	if (d->n == sizeof d->list / sizeof *d->list) {
		d->dropped++;
		return;
	}
	new = &d->list[d->n++];
	new->at = at;
	new->warning = warning;
	vsnprintf(new->text, sizeof new->text, format, args);
}

bool fail_at(struct parser *p, struct place at, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	report(p, at, false, format, args);
	va_end(args);
	p->failed = true;
	return false;
}

bool has_memory(struct parser *p, struct place at)
{
	return p->region->total + p->scratch.total <= MAX_MEMORY ||
	       fail_at(p, at, "this file's tests need more than %d MB", MAX_MEMORY >> 20);
}

void warn_at(struct parser *p, struct place at, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	report(p, at, true, format, args);
	va_end(args);
}

static const char *described(const struct token *t)
{
	char *at;

	if (t->kind == TOKEN_END)
		return "the end of the file";
	if (t->kind == TOKEN_LINE)
		return t->text.len && t->text.at[0] == ';' ? "`;`" : "the end of the line";
	at = lend();
	snprintf(at, 128, "`%s%s`", t->kind == TOKEN_NAME ? "$" : "", shown(t->text));
	return at;
}

bool expected(struct parser *p, const char *what)
{
	return fail_at(p, place_of(now(p)), "expected %s, found %s", what, described(now(p)));
}

/* ---- the nearest name ---- */

const char *did_you_mean(const struct nearest *nearest)
{
	char *at;

	if (!nearest->best)
		return "";
	at = lend();
	snprintf(at, 128, "; did you mean `%s`?", nearest->best);
	return at;
}

/* ---- the cursor ---- */

bool take_word_if(struct parser *p, const char *word)
{
	if (!token_word(now(p), word))
		return false;
	take(p);
	return true;
}

bool take_sign_if(struct parser *p, char sign)
{
	if (!token_is(now(p), sign))
		return false;
	take(p);
	return true;
}

bool need_sign(struct parser *p, char sign)
{
	char what[8] = { '`', sign, '`' };

	return take_sign_if(p, sign) || expected(p, what);
}

bool at_line_end(const struct parser *p)
{
	return now(p)->kind == TOKEN_LINE || now(p)->kind == TOKEN_END || token_is(now(p), '}');
}

const char *text_between(struct parser *p, uint32_t from, uint32_t to)
{
	size_t len = 0, n = 0;
	char *text;

	for (uint32_t i = from; i < to; i++)
		len += p->tokens[i].text.len + 2;
	text = region_alloc(p->region, len + 1);
	for (uint32_t i = from; i < to; i++) {
		const struct token *t = &p->tokens[i];

		if (t->space && n)
			text[n++] = ' ';
		if (t->kind == TOKEN_NAME)
			text[n++] = '$';
		if (t->text.len)
			memcpy(text + n, t->text.at, t->text.len);
		n += t->text.len;
	}
	return text;
}

/* ---- the whole file ---- */

int bracket(struct parser *p, struct brackets *b, const struct token *t)
{
	if (t->kind == TOKEN_EXPR || token_is(t, '(') || token_is(t, '[') || token_is(t, '{')) {
		if (b->depth < LEX_DEPTH) {
			b->open[b->depth].at = place_of(t);
			b->open[b->depth++].sign = t->kind == TOKEN_EXPR || token_is(t, '(') ? ')' : token_is(t, '[') ? ']' : '}';
		}
		return 1;
	}
	if (t->kind != TOKEN_SIGN || !strchr(")]}", t->sign))
		return 1;
	if (!b->depth)
		return fail_at(p, place_of(t), "`%c` closes nothing", t->sign);
	if (b->open[b->depth - 1].sign != t->sign) {
		fail_at(p, b->open[b->depth - 1].at, "this bracket is not closed; expected `%c` before the `%c` of line %u",
		        b->open[b->depth - 1].sign, t->sign, t->line);
		return -1;
	}
	b->depth--;
	return 1;
}

bool brackets_closed(struct parser *p, const struct brackets *b)
{
	return !b->depth || fail_at(p, b->open[b->depth - 1].at, "this bracket is not closed; expected `%c` before the end of the file",
	                            b->open[b->depth - 1].sign);
}

/* Every token of the text; false when the file cannot be parsed at all. */
static bool lex_all(struct parser *p, struct span text)
{
	struct lexer lexer;
	struct token *tokens = NULL, t;
	struct brackets brackets = { .depth = 0 };
	size_t n = 0, cap = 0;
	bool well = true;
	int closes;

	lex_init(&lexer, text);
	do {
		t = lex_next(&lexer);
		if (n == cap) {
			struct token *more = region_alloc(&p->scratch, (cap ? 2 * cap : 1024) * sizeof *more);

			if (n)
				memcpy(more, tokens, n * sizeof *more);
			tokens = more;
			cap = cap ? 2 * cap : 1024;
		}
		if (t.kind == TOKEN_BAD)
			well = fail_at(p, place_of(&t), "%s: `%s`", t.why, shown(t.text));
		closes = bracket(p, &brackets, &t);
		if (closes < 0)
			return false;
		well &= closes;
		tokens[n++] = t;
	} while (t.kind != TOKEN_END && n < MAX_TOKENS);
	if (t.kind != TOKEN_END)
		return fail_at(p, place_of(&t), "the file has more than %d words and signs", MAX_TOKENS);
	well &= brackets_closed(p, &brackets);
	p->all = (struct tokens){ tokens, (uint32_t)n };
	p->tokens = tokens;
	p->n_tokens = (uint32_t)n;
	return well;
}

static const void *keep(struct parser *p, const void *at, size_t size)
{
	void *copy = region_alloc(p->region, size ? size : 1);

	if (size)
		memcpy(copy, at, size);
	return copy;
}

static const char *script_id(struct parser *p)
{
	size_t size = strlen(p->file) + (p->case_name ? strlen(p->case_name) : 0) + 2;
	char *id = region_alloc(p->region, size);

	snprintf(id, size, "%s%s%s", p->file, p->case_name ? "#" : "", p->case_name ? p->case_name : "");
	return id;
}

static uint32_t watched(struct parser *p, const char **ids)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < p->n_watches && n < MAX_CITES; i++)
		if (p->watches[i].version == p->version || (p->version == MQTT_3_1 && p->watches[i].version == MQTT_3_1_1))
			ids[n++] = p->watches[i].id;
	return n;
}

static const char *const *keep_meetings(struct parser *p)
{
	const char **names = region_alloc(p->region, p->n_meetings * sizeof *names + 1);

	for (uint32_t i = 0; i < p->n_meetings; i++)
		names[i] = p->meetings[i].name;
	return names;
}

/* The case at hand in p->version. */
static void parse_script(struct parser *p, struct script *script)
{
	const char *watches[MAX_CITES];
	uint8_t versions[MAX_CITES];
	const struct step *steps;
	bool failed_before = p->failed;

	p->at = p->n_needs = p->n_actors = p->n_slots = p->n_names = p->n_marked = 0;
	p->n_steps = p->depth = p->expr_depth = p->n_candidates = 0;
	p->failed = false;
	memset(p->waiting, 0, sizeof p->waiting);
	for (uint32_t i = 0; i < p->n_cites; i++)
		p->n_candidates += p->cites[i].version == p->version ||
		                   (p->version == MQTT_3_1 && p->cites[i].version == MQTT_3_1_1);
	parse_case_header(p);
	p->n_roles = p->n_meetings = 0;
	if (p->kind == FILE_WORKLOAD)
		collect_roles(p);
	steps = parse_block(p, false, false);
	if (p->kind == FILE_WORKLOAD)
		check_workload(p);
	else if (p->kind == FILE_FINDING)
		check_finding(p, steps);
	else
		check_script(p, steps);
	*script = (struct script){
		.id = script_id(p),
		.case_name = p->case_name,
		.version = p->version,
		.cites = keep(p, p->marked, p->n_marked * sizeof *p->marked),
		.n_cites = p->n_marked,
		.needs = keep(p, p->needs, p->n_needs * sizeof *p->needs),
		.n_needs = p->n_needs,
		.actors = keep(p, p->actors, p->n_actors * sizeof *p->actors),
		.n_actors = p->n_actors,
		.slots = keep(p, p->slots, p->n_slots * sizeof *p->slots),
		.n_slots = p->n_slots,
		.steps = p->kind == FILE_WORKLOAD ? NULL : steps,
		.roles = p->kind == FILE_WORKLOAD ? keep(p, p->roles, p->n_roles * sizeof *p->roles) : NULL,
		.n_roles = p->n_roles,
		.meetings = keep_meetings(p),
		.n_meetings = p->n_meetings,
	};
	script->finding = p->kind == FILE_FINDING;
	script->n_watches = script->finding ? finding_watches(p, watches, versions) : watched(p, watches);
	if (script->finding)
		script->watch_versions = keep(p, versions, script->n_watches);
	script->watches = keep(p, watches, script->n_watches * sizeof *watches);
	p->failed |= failed_before;
}

static void parse_case(struct parser *p)
{
	for (uint32_t i = 0; i < p->n_versions; i++) {
		if (!has_memory(p, p->case_at))
			return;
		if (p->n_scripts == MAX_SCRIPTS) {
			fail_at(p, p->case_at, "the cases of this file, multiplied, are more than %d tests", MAX_SCRIPTS);
			return;
		}
		if (p->n_scripts == p->cap_scripts) {
			uint32_t cap = p->cap_scripts ? 2 * p->cap_scripts : 16;
			struct script *more = region_alloc(&p->scratch, cap * sizeof *more);

			if (p->n_scripts)
				memcpy(more, p->scripts, p->n_scripts * sizeof *more);
			p->scripts = more;
			p->cap_scripts = cap;
		}
		p->version = p->versions[i];
		parse_script(p, &p->scripts[p->n_scripts++]);
	}
}

static void check_citations(struct parser *p)
{
	for (uint32_t i = 0; i < p->n_cites; i++)
		if (!p->cites[i].marked)
			fail_at(p, p->cites[i].at, "no step judges %s:%s; put [%s] behind the step that does, or take it out of `cites`",
			        version_name(p->cites[i].version), p->cites[i].id, p->cites[i].id);
}

static int by_place(const void *a, const void *b)
{
	const struct diagnostic *x = a, *y = b;

	return x->at.line != y->at.line ? (x->at.line > y->at.line ? 1 : -1) :
	       x->at.column != y->at.column ? (x->at.column > y->at.column ? 1 : -1) : 0;
}

static const char *kind_name(enum file_kind kind)
{
	static const char *const names[] = { "scenario", "workload", "capture", "finding", "fault" };

	return names[kind];
}

static bool is_capture(struct span text)
{
	struct lexer lexer;
	struct token t;

	lex_init(&lexer, text);
	do
		t = lex_next(&lexer);
	while (t.kind == TOKEN_LINE);
	return token_word(&t, "capture");
}

static void parse_file(struct parser *p, struct span text)
{
	bool capture = is_capture(text);

	if (text.len > (capture ? MAX_CAPTURE_TEXT : MAX_TEXT)) {
		fail_at(p, (struct place){ 1, 1 }, capture ? "the capture has more than %d bytes; %s" : "the file has more than %d bytes",
		        capture ? MAX_CAPTURE_TEXT : MAX_TEXT, take_a_part);
		return;
	}
	if (text.len && memchr(text.at, 0, text.len)) {		/* else each of its bytes would be a mistake */
		fail_at(p, (struct place){ 1, 1 }, "this is no text file: it holds bytes of 0");
		return;
	}
	if (capture) {
		parse_capture(p, text);
		return;
	}
	if (!lex_all(p, text))
		return;
	if (!parse_file_header(p))
		return;
	p->header_failed = p->failed;
	if (!for_each_case(p, parse_case))
		return;
	if (p->failed)
		return;		/* what follows would only repeat it */
	if (p->kind != FILE_SCENARIO && p->kind != FILE_WORKLOAD && p->kind != FILE_FINDING) {
		fail_at(p, place_of(&p->all.at[0]), "a %s is not yet played", kind_name(p->kind));
		return;
	}
	check_citations(p);
	if (p->kind == FILE_FINDING)
		check_watches(p);
	check_bindings(p);
}

static const char *const *keep_param_names(struct parser *p)
{
	const char **names = region_alloc(p->region, p->n_defaults * sizeof *names + 1);

	for (uint32_t i = 0; i < p->n_defaults; i++)
		names[i] = region_string(p->region, p->defaults[i].name);
	return names;
}

struct scenario *scenario_parse(const char *name, struct span text, const struct param *params, size_t n_params,
                                struct diagnostics *diagnostics)
{
	struct scenario *scenario = calloc(1, sizeof *scenario);
	struct parser *p = calloc(1, sizeof *p);
	struct script *scripts;

	if (!scenario || !p)
		abort();
	*diagnostics = (struct diagnostics){ .n = 0 };
	*p = (struct parser){ .region = &scenario->region, .lasting = &scenario->region, .diagnostics = diagnostics, .params = params, .n_params = n_params };
	p->file = region_string(&scenario->region, span_text(name));
	p->actors = region_alloc(&p->scratch, MAX_ACTORS * sizeof *p->actors);
	parse_file(p, text);
	qsort(diagnostics->list, diagnostics->n, sizeof *diagnostics->list, by_place);
	if (diagnostics->n_errors) {
		release_capture(p);
		region_release(&p->scratch);
		free(p);
		scenario_free(scenario);
		return NULL;
	}
	scripts = region_alloc(&scenario->region, p->n_scripts * sizeof *scripts + 1);
	if (p->n_scripts)
		memcpy(scripts, p->scripts, p->n_scripts * sizeof *scripts);
	for (uint32_t i = 0; i < p->n_scripts; i++)
		scripts[i].scenario = scenario;
	scenario->file = p->file;
	scenario->title = p->title;
	scenario->tags = keep(p, p->tags, p->n_tags * sizeof *p->tags);
	scenario->n_tags = p->n_tags;
	scenario->params = keep_param_names(p);
	scenario->n_params = p->n_defaults;
	scenario->alone = p->alone;
	scenario->bulk = p->bulk;
	scenario->scripts = scripts;
	scenario->n_scripts = p->n_scripts;
	release_capture(p);
	region_release(&p->scratch);
	free(p);
	return scenario;
}

void scenario_free(struct scenario *scenario)
{
	if (!scenario)
		return;
	region_release(&scenario->region);
	free(scenario);
}

#include "harness/coverage.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "codec/codec.h"
#include "harness/console.h"
#include "harness/escape.h"
#include "harness/report.h"

enum { SCHEMA_VERSION = 1, MAX_CHAPTERS = 64, SHOWN_FILES = 3 };

/* ---- chapters ---- */

/*
 * "1", "3.2", "4.7": where a numbered clause stands. Chapters 3 and 4, which hold nearly all, are told apart by section.
 * "-": unnumbered.
 */
static void chapter_of(const struct clause *clause, char chapter[8])
{
	unsigned major, minor;

	if (sscanf(clause->id, "MQTT-%2u.%2u.", &major, &minor) != 2)
		strcpy(chapter, "-");
	else if (major == 3 || major == 4)
		snprintf(chapter, 8, "%u.%u", major, minor);
	else
		snprintf(chapter, 8, "%u", major);
}

/* The section of chapter 3 has the number of its packet's type. */
static const char *chapter_title(const char *chapter, unsigned version)
{
	static const struct {
		const char *chapter, *title, *title_5;	/* title_5 where 5 gives it another */
	} titles[] = {
		{ "1", "Introduction", NULL },
		{ "2", "Control Packet format", NULL },
		{ "4.1", "Storing state", "Session State" },
		{ "4.2", "Network Connections", NULL },
		{ "4.3", "Quality of Service levels and protocol flows", NULL },
		{ "4.4", "Message delivery retry", NULL },
		{ "4.5", "Message receipt", NULL },
		{ "4.6", "Message ordering", NULL },
		{ "4.7", "Topic Names and Topic Filters", NULL },
		{ "4.8", "Handling errors", "Subscriptions" },
		{ "4.9", NULL, "Flow Control" },
		{ "4.10", NULL, "Request / Response" },
		{ "4.11", NULL, "Server redirection" },
		{ "4.12", NULL, "Enhanced authentication" },
		{ "4.13", NULL, "Handling errors" },
		{ "5", "Security", NULL },
		{ "6", "Using WebSocket as a network transport", NULL },
		{ "7", "Conformance", NULL },
		{ "-", "without a number", NULL },
	};

	if (!strncmp(chapter, "3.", 2)) {
		const char *name = packet_name((enum packet_type)atoi(chapter + 2));

		return name ? name : "";
	}
	for (size_t i = 0; i < sizeof(titles) / sizeof(*titles); i++)
		if (!strcmp(titles[i].chapter, chapter))
			return version == MQTT_5 && titles[i].title_5 ? titles[i].title_5 : titles[i].title ? titles[i].title : "";
	return "";
}

struct chapter {
	char name[8];
	unsigned version;
	unsigned n, status[N_COVERAGE], broken;	/* clauses: all, by how they stand, with a fault */
};

struct chapters {
	struct chapter at[MAX_CHAPTERS];	/* in the order of the standards: 3.1, 3.1.1, 5 */
	size_t n;
};

static bool is_shown(const struct coverage *coverage, const struct coverage_row *row, unsigned version)
{
	return row->clause->version == version && coverage->versions & 1u << version;
}

static void count_row(struct chapters *all, const struct coverage *coverage, const struct coverage_row *row)
{
	unsigned version = row->clause->version;
	char name[8];
	size_t i = 0;

	chapter_of(row->clause, name);
	while (i < all->n && (all->at[i].version != version || strcmp(all->at[i].name, name)))
		i++;
	if (i == all->n) {
		if (all->n == MAX_CHAPTERS)
			abort();	/* our own tables */
		all->at[all->n].version = version;
		strcpy(all->at[all->n++].name, name);
	}
	all->at[i].n++;
	all->at[i].status[coverage_status(coverage, row)]++;
	all->at[i].broken += row->n_faults > 0;
}

static void count_chapters(const struct coverage *coverage, struct chapters *all)
{
	*all = (struct chapters){ 0 };
	for (unsigned version = MQTT_3_1; version <= MQTT_5; version++)
		for (size_t i = 0; i < coverage->n; i++)
			if (is_shown(coverage, &coverage->rows[i], version))
				count_row(all, coverage, &coverage->rows[i]);
}

static void add_up(struct chapter *sum, const struct chapter *one)
{
	sum->n += one->n;
	sum->broken += one->broken;
	for (unsigned s = 0; s < N_COVERAGE; s++)
		sum->status[s] += one->status[s];
}

/* ---- text ---- */

void coverage_files(FILE *out, const char *indent, const char *how, const struct test_list *tests, unsigned most)
{
	unsigned n_files = 0, shown = 0, left = 0;

	for (size_t i = 0; i < tests->n; i++)
		n_files += !i || tests->at[i]->scenario != tests->at[i - 1]->scenario;
	if (most && n_files > most + 1)		/* "and 1 more" would take the same line */
		left = n_files - most;
	for (size_t i = 0, next; i < tests->n && shown < n_files - left; i = next, shown++) {
		const struct scenario *s = tests->at[i]->scenario;

		for (next = i + 1; next < tests->n && tests->at[next]->scenario == s; )
			next++;
		fprintf(out, "%s%-11s %s (%zu test%s): %s\n", indent, how, console_safe(s->file), next - i, next - i == 1 ? "" : "s",
		        console_safe(s->title));
	}
	if (left)
		fprintf(out, "%s%-11s %u more files (-v lists them)\n", indent, how, left);
}

static void print_row(FILE *out, const struct coverage *coverage, const struct coverage_row *row, bool verbose)
{
	enum coverage_status status = coverage_status(coverage, row);
	char rule[160];

	if (status == COVERAGE_NOT_CHOSEN)
		return;
	fprintf(out, "%s%s%s  %s\n", console_style(out, STYLE_BOLD), clause_rule(row->clause, rule, sizeof(rule)),
	        console_style(out, STYLE_PLAIN), row->clause->summary);
	coverage_files(out, "  ", "judged by", &row->cited, verbose ? 0 : SHOWN_FILES);
	coverage_files(out, "  ", "watched by", &row->watched, verbose ? 0 : SHOWN_FILES);
	if (status == COVERAGE_UNTESTED)
		fprintf(out, "  %-11s %s\n", "no test:", row->clause->untested);
	if (status == COVERAGE_MISSING)
		fprintf(out, "  %sneither a test nor a reason in clauses/untested.tsv%s\n", console_style(out, STYLE_RED), console_style(out, STYLE_PLAIN));
	for (size_t i = 0; i < row->n_faults; i++)
		fprintf(out, "  %-11s %s%s%s: %s\n", "broken by", row->faults[i].rule, *row->faults[i].name ? "/" : "", row->faults[i].name,
		        row->faults[i].breaks);
}

static void print_chapter(FILE *out, const struct coverage *coverage, const struct chapter *c, const char *name, const char *title)
{
	fprintf(out, "%-5s %-46s %7u %7u %9u", name, title, c->n, c->status[COVERAGE_JUDGED], c->status[COVERAGE_UNTESTED]);
	if (!coverage->whole)
		fprintf(out, " %11u", c->status[COVERAGE_NOT_CHOSEN]);
	fprintf(out, " %7u", c->broken);
	if (c->status[COVERAGE_MISSING])
		fprintf(out, "  %u with neither", c->status[COVERAGE_MISSING]);
	fputc('\n', out);
}

static void print_totals(FILE *out, const struct coverage *coverage, const struct chapters *all)
{
	for (size_t i = 0, next; i < all->n; i = next) {
		unsigned version = all->at[i].version;
		struct chapter sum = { .version = version };
		char head[16];

		snprintf(head, sizeof(head), "MQTT %s", version_text(version));
		fprintf(out, "%s%-52s%s clauses  judged  untested%s  faults\n", console_style(out, STYLE_BOLD), head, console_style(out, STYLE_PLAIN),
		        coverage->whole ? "" : "  not chosen");
		for (next = i; next < all->n && all->at[next].version == version; next++) {
			print_chapter(out, coverage, &all->at[next], all->at[next].name, chapter_title(all->at[next].name, version));
			add_up(&sum, &all->at[next]);
		}
		print_chapter(out, coverage, &sum, "", "all");
	}
}

void coverage_text(FILE *out, const struct coverage *coverage, bool verbose, bool quiet)
{
	struct chapters all;

	count_chapters(coverage, &all);
	for (size_t k = 0; !quiet && k < all.n; k++) {
		unsigned version = all.at[k].version;
		bool headed = false;
		char name[8];

		for (size_t i = 0; i < coverage->n; i++) {
			const struct coverage_row *row = &coverage->rows[i];

			if (!is_shown(coverage, row, version))
				continue;
			chapter_of(row->clause, name);
			if (strcmp(name, all.at[k].name) || coverage_status(coverage, row) == COVERAGE_NOT_CHOSEN)
				continue;
			if (!headed)
				fprintf(out, "%s---- MQTT %s, %s%s%s%s\n", k ? "\n" : "", version_text(version), *name == '-' ? "" : name,
				        *name == '-' ? "" : " ", chapter_title(name, version), " ----");
			headed = true;
			print_row(out, coverage, row, verbose);
		}
	}
	if (!quiet && all.n)
		fputc('\n', out);
	print_totals(out, coverage, &all);
}

/* ---- JSON ---- */

static const char *const status_names[N_COVERAGE] = { "judged", "untested", "not_chosen", "missing" };

static void text_member(FILE *out, const char *name, const char *text)
{
	fprintf(out, ", \"%s\": ", name);
	escape_json(out, text);
}

static void put_tests(FILE *out, const char *name, const struct test_list *tests)
{
	fprintf(out, ", \"%s\": [", name);
	for (size_t i = 0; i < tests->n; i++) {
		fputs(i ? ", {\"id\": " : "{\"id\": ", out);
		escape_json(out, tests->at[i]->id);
		text_member(out, "version", version_text(tests->at[i]->version));
		fputc('}', out);
	}
	fputc(']', out);
}

static void put_row(FILE *out, const struct coverage *coverage, const struct coverage_row *row)
{
	const struct clause *c = row->clause;
	char rule[160], chapter[8];

	chapter_of(c, chapter);
	fputs("\n    {\"rule\": ", out);
	escape_json(out, clause_rule(c, rule, sizeof(rule)));
	text_member(out, "version", version_text(c->version));
	text_member(out, "chapter", *chapter == '-' ? NULL : chapter);
	text_member(out, "summary", c->summary);
	text_member(out, "applies", c->applies);
	text_member(out, "observable", c->observable);
	text_member(out, "undetected", c->undetected_fails ? "fail" : "warn");
	text_member(out, "status", status_names[coverage_status(coverage, row)]);
	text_member(out, "untested", coverage_status(coverage, row) == COVERAGE_UNTESTED ? c->untested : NULL);
	put_tests(out, "cited_by", &row->cited);
	put_tests(out, "watched_by", &row->watched);
	fputs(", \"faults\": [", out);
	for (size_t i = 0; i < row->n_faults; i++) {
		char name[200];

		snprintf(name, sizeof(name), "%s%s%s", row->faults[i].rule, *row->faults[i].name ? "/" : "", row->faults[i].name);
		fputs(i ? ", " : "", out);
		escape_json(out, name);
	}
	fputs("]}", out);
}

static void put_chapter(FILE *out, const struct chapter *c)
{
	fputs("\n    {\"version\": ", out);
	escape_json(out, version_text(c->version));
	text_member(out, "chapter", *c->name == '-' ? NULL : c->name);
	text_member(out, "title", chapter_title(c->name, c->version));
	fprintf(out, ", \"clauses\": %u", c->n);
	for (unsigned s = 0; s < N_COVERAGE; s++)
		fprintf(out, ", \"%s\": %u", status_names[s], c->status[s]);
	fprintf(out, ", \"with_faults\": %u}", c->broken);
}

void coverage_json(FILE *out, const struct coverage *coverage)
{
	struct chapters all;
	bool first = true;

	count_chapters(coverage, &all);
	fprintf(out, "{\n  \"schema\": {\"name\": \"mqassay-coverage\", \"version\": %d},\n", SCHEMA_VERSION);
	fputs("  \"tool\": {\"name\": \"mqassay\", \"version\": \"" MQASSAY_VERSION "\"},\n  \"totals\": [", out);
	for (size_t i = 0; i < all.n; i++) {
		fputs(i ? "," : "", out);
		put_chapter(out, &all.at[i]);
	}
	fputs("],\n  \"clauses\": [", out);
	for (unsigned version = MQTT_3_1; version <= MQTT_5; version++)
		for (size_t i = 0; i < coverage->n; i++) {
			if (!is_shown(coverage, &coverage->rows[i], version))
				continue;
			fputs(first ? "" : ",", out);
			put_row(out, coverage, &coverage->rows[i]);
			first = false;
		}
	fputs("]\n}\n", out);
}

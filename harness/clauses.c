#include "harness/script.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>

#include "harness/embedded.h"

/*
 * The clause tables are read once, at the first question, and stay. They were compiled in, so a
 * table that cannot be read is our own mistake and ends the program.
 */

enum { COLUMNS_NUMBERED = 5, COLUMNS_UNNUMBERED = 6, COLUMNS_UNTESTED = 3 };

static struct {
	pthread_once_t once;
	struct region region;
	struct clause *rows;
	size_t n, cap;
} table = { .once = PTHREAD_ONCE_INIT };

static uint8_t version_named(struct span name)
{
	return span_is(name, "5") ? MQTT_5 : span_is(name, "3.1.1") ? MQTT_3_1_1 : span_is(name, "3.1") ? MQTT_3_1 : 0;
}

/* The part of *rest up to the separator or the end; *rest goes behind it. */
static struct span cut(struct span *rest, char separator)
{
	const uint8_t *at = rest->len ? memchr(rest->at, separator, rest->len) : NULL;
	struct span part = { rest->at, at ? (size_t)(at - rest->at) : rest->len };
	size_t used = part.len + (at ? 1 : 0);

	*rest = span_of(rest->len ? rest->at + used : rest->at, rest->len - used);
	return part;
}

static void add(uint8_t version, const struct span *column)
{
	assert(version && column[0].len && column[4].len);
	assert(span_is(column[3], "fail") || span_is(column[3], "warn"));
	if (table.n == table.cap) {
		table.cap = table.cap ? 2 * table.cap : 512;
		table.rows = realloc(table.rows, table.cap * sizeof *table.rows);
		if (!table.rows)
			abort();
	}
	table.rows[table.n++] = (struct clause){
		.version = version,
		.id = region_string(&table.region, column[0]),
		.applies = region_string(&table.region, column[1]),
		.observable = region_string(&table.region, column[2]),
		.undetected_fails = span_is(column[3], "fail"),
		.summary = region_string(&table.region, column[4]),
	};
}

/* A file of one version, or, with version 0, the one whose first column lists the versions. */
static void read_table(struct span text, uint8_t version)
{
	size_t n_columns = version ? COLUMNS_NUMBERED : COLUMNS_UNNUMBERED;

	cut(&text, '\n');	/* the header */
	while (text.len) {
		struct span line = cut(&text, '\n'), column[COLUMNS_UNNUMBERED] = { { 0 } };

		for (size_t i = 0; i < n_columns; i++)
			column[i] = cut(&line, '\t');
		assert(!line.len);
		if (version) {
			add(version, column);
			continue;
		}
		while (column[0].len)
			add(version_named(cut(&column[0], ' ')), column + 1);
	}
}

static struct clause *find(uint8_t version, struct span id)
{
	for (size_t i = 0; i < table.n; i++)
		if (table.rows[i].version == version && span_is(id, table.rows[i].id))
			return &table.rows[i];
	return NULL;
}

/* Versions, id, and why no test judges it. */
static void read_untested(struct span text)
{
	cut(&text, '\n');	/* the header */
	while (text.len) {
		struct span line = cut(&text, '\n'), column[COLUMNS_UNTESTED];

		for (size_t i = 0; i < COLUMNS_UNTESTED; i++)
			column[i] = cut(&line, '\t');
		assert(!line.len && column[2].len);
		while (column[0].len) {
			struct clause *clause = find(version_named(cut(&column[0], ' ')), column[1]);

			assert(clause && !clause->untested);
			clause->untested = region_string(&table.region, column[2]);
		}
	}
}

static void read_tables(void)
{
	static const struct {
		const char *name;
		uint8_t version;
	} files[] = {
		{ "scenarios/clauses/3.1.1.tsv", MQTT_3_1_1 },
		{ "scenarios/clauses/5.tsv", MQTT_5 },
		{ "scenarios/clauses/unnumbered.tsv", 0 },
	};

	for (size_t i = 0; i < sizeof files / sizeof *files; i++)
		for (const struct embedded *e = embedded; e->name; e++)
			if (!strcmp(e->name, files[i].name))
				read_table(span_of(e->start, (size_t)(e->end - e->start)), files[i].version);
	for (const struct embedded *e = embedded; e->name; e++)
		if (!strcmp(e->name, "scenarios/clauses/untested.tsv"))
			read_untested(span_of(e->start, (size_t)(e->end - e->start)));
}

const struct clause *clause_at(size_t i)
{
	pthread_once(&table.once, read_tables);
	return i < table.n ? &table.rows[i] : NULL;
}

const struct clause *clause_find(enum version version, struct span id)
{
	const struct clause *clause;

	for (size_t i = 0; (clause = clause_at(i)); i++)
		if (clause->version == version && span_is(id, clause->id))
			return clause;
	return version == MQTT_3_1 ? clause_find(MQTT_3_1_1, id) : NULL;
}

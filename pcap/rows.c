#include "pcap/rows.h"

#include <stdio.h>

#include "codec/topic.h"
#include "harness/escape.h"
#include "pcap/json.h"

/* ---- JSON ---- */

static void name_it(struct json *json, const char *name)
{
	if (json->more)
		out_byte(json->out, ',');
	json->more = true;
	if (name) {
		out_byte(json->out, '"');
		out_text(json->out, name);
		OUT_LITERAL(json->out, "\":");
	}
}

void json_begin(struct json *json, struct out *out, const char *kind, uint64_t start_ns)
{
	*json = (struct json){ .out = out, .start_ns = start_ns };
	out_byte(out, '{');
	json_word(json, "kind", kind);
}

void json_end(struct json *json)
{
	OUT_LITERAL(json->out, "}\n");
}

void json_open(struct json *json, const char *name, char bracket)
{
	name_it(json, name);
	out_byte(json->out, bracket);
	json->more = false;
}

void json_close(struct json *json, char bracket)
{
	out_byte(json->out, bracket);
	json->more = true;
}

void json_text(struct json *json, const char *name, struct span text)
{
	char as_base64[64];

	if (!text.at) {
		json_null(json, name);
	} else if (utf8_valid(text)) {
		name_it(json, name);
		json_string(json->out, text);
	} else {
		snprintf(as_base64, sizeof(as_base64), "%s_base64", name);
		name_it(json, as_base64);
		json_base64(json->out, text);
	}
}

void json_word(struct json *json, const char *name, const char *text)
{
	json_text(json, name, text ? span_text(text) : (struct span){ 0 });
}

void json_number(struct json *json, const char *name, uint64_t number)
{
	name_it(json, name);
	out_number(json->out, number);
}

void json_flag(struct json *json, const char *name, bool value)
{
	name_it(json, name);
	out_text(json->out, value ? "true" : "false");
}

void json_null(struct json *json, const char *name)
{
	name_it(json, name);
	OUT_LITERAL(json->out, "null");
}

void json_duration(struct json *json, const char *name, uint64_t ns)
{
	name_it(json, name);
	json_seconds(json->out, (int64_t)ns);
}

void json_when(struct json *json, const char *name, const struct when *when)
{
	if (!when->frame) {
		json_null(json, name);
		return;
	}
	json_open(json, name, '{');
	json_number(json, "frame", when->frame);
	name_it(json, "time");
	json_seconds(json->out, (int64_t)(when->time_ns - json->start_ns));
	json_close(json, '}');
}

void json_histogram(struct json *json, const char *name, const struct histogram *h)
{
	if (!h->count) {
		json_null(json, name);
		return;
	}
	json_open(json, name, '{');
	json_number(json, "count", h->count);
	json_duration(json, "min", h->min);
	json_duration(json, "mean", h->sum / h->count);
	json_duration(json, "p50", histogram_quantile(h, 500));
	json_duration(json, "p90", histogram_quantile(h, 900));
	json_duration(json, "p99", histogram_quantile(h, 990));
	json_duration(json, "max", h->max);
	json_close(json, '}');
}

void json_capture(struct out *out, const char *view, const struct when *start)
{
	struct json json;

	json_begin(&json, out, "capture", start->time_ns);
	json_open(&json, "schema", '{');
	json_word(&json, "name", "mqassay-views");
	json_number(&json, "version", 1);
	json_close(&json, '}');
	json_word(&json, "view", view);
	name_it(&json, "epoch");
	out_byte(out, '"');
	json_seconds(out, (int64_t)start->time_ns);
	out_byte(out, '"');
	json_end(&json);
}

/* ---- quantities ---- */

static char *print_unit(double value, const char *unit, char room[QUANTITY])
{
	snprintf(room, QUANTITY, value < 9.995 ? "%.2f%s" : value < 99.95 ? "%.1f%s" : "%.0f%s", value, unit);
	return room;
}

char *print_duration(uint64_t ns, char room[QUANTITY])
{
	if (ns < 1000)
		snprintf(room, QUANTITY, "%uns", (unsigned)ns);
	else if (ns < 1000000)
		print_unit((double)ns / 1e3, "us", room);
	else if (ns < 1000000000)
		print_unit((double)ns / 1e6, "ms", room);
	else
		print_unit((double)ns / 1e9, "s", room);
	return room;
}

char *print_bytes(uint64_t bytes, char room[QUANTITY])
{
	static const char *const units[] = { "k", "M", "G", "T" };
	double value = (double)bytes;
	unsigned i = 0;

	if (bytes < 1000) {
		snprintf(room, QUANTITY, "%u", (unsigned)bytes);
		return room;
	}
	for (value /= 1024; value >= 1000 && i + 1 < sizeof(units) / sizeof(units[0]); i++)
		value /= 1024;
	return print_unit(value, units[i], room);
}

char *print_since(uint64_t start_ns, uint64_t ns, char room[QUANTITY])
{
	bool before = ns < start_ns;
	uint64_t us = (before ? start_ns - ns : ns - start_ns) / 1000;

	snprintf(room, QUANTITY, "%s%llu.%06llu", before ? "-" : "", (unsigned long long)(us / 1000000), (unsigned long long)(us % 1000000));
	return room;
}

char *print_name(const struct conversation *c, char room[QUANTITY])
{
	snprintf(room, QUANTITY, "c%u", c->number);
	return room;
}

/* ---- tables ---- */

size_t whole_characters(struct span text, size_t most)
{
	size_t n = text.len < most ? text.len : most;

	for (unsigned back = 0; n < text.len && n && back < 3 && (text.at[n] & 0xc0) == 0x80; back++)
		n--;
	return n;
}

void out_escaped(struct out *out, struct span text)
{
	char room[256];

	while (text.len) {	/* by pieces that end between characters */
		size_t n = whole_characters(text, 48);

		escape_bytes(text.at, n, room, sizeof(room));
		out_text(out, room);
		text.at += n;
		text.len -= n;
	}
}

void cell_text(char cell[CELL], struct span text, const char *without)
{
	if (!text.at)
		snprintf(cell, CELL, "%s", without);
	else if (!text.len)
		snprintf(cell, CELL, "\"\"");
	else if (escape_bytes(text.at, text.len, cell, CELL - 2) > strlen(cell))
		strcat(cell, "..");
}

static unsigned width_of(const char *text)
{
	unsigned n = 0;

	for (; *text; text++)
		n += ((uint8_t)*text & 0xc0) != 0x80;
	return n;
}

/* Cut to `most` characters, of which the last two say so. */
static void cut(char *text, unsigned most)
{
	char *at = text;

	if (!most || width_of(text) <= most)
		return;
	for (unsigned n = 0; *at; at++)
		if (((uint8_t)*at & 0xc0) != 0x80 && n++ == most - 2)
			break;
	strcpy(at, "..");
}

static void pad(struct out *out, unsigned n)
{
	while (n--)
		out_byte(out, ' ');
}

void cells_print(struct out *out, const struct column *columns, unsigned n, const unsigned *widths, struct cells *cells)
{
	for (unsigned i = 0; i < n; i++) {
		cut(cells->text[i], columns[i].most);
		unsigned width = width_of(cells->text[i]), left = widths[i] > width ? widths[i] - width : 0;

		if (columns[i].right)
			pad(out, left);
		out_text(out, cells->text[i]);
		if (i + 1 < n || cells->rest.len)
			pad(out, 2 + (columns[i].right ? 0 : left));
	}
	out_escaped(out, cells->rest);
	out_byte(out, '\n');
}

void table_print(struct out *out, const struct table *table)
{
	unsigned widths[MAX_CELLS];
	struct cells cells;

	for (unsigned i = 0; i < table->n_columns; i++)
		widths[i] = width_of(table->columns[i].title);
	for (size_t row = 0; row < table->n_rows; row++) {
		memset(&cells, 0, sizeof(cells));
		table->fill(table->owner, row, &cells);
		for (unsigned i = 0; i < table->n_columns; i++) {
			cut(cells.text[i], table->columns[i].most);
			unsigned width = width_of(cells.text[i]);

			if (width > widths[i])
				widths[i] = width;
		}
	}
	memset(&cells, 0, sizeof(cells));
	for (unsigned i = 0; i < table->n_columns; i++)
		snprintf(cells.text[i], CELL, "%s", table->columns[i].title);
	cells.rest = table->rest ? span_text(table->rest) : (struct span){ 0 };
	cells_print(out, table->columns, table->n_columns, widths, &cells);
	for (size_t row = 0; row < table->n_rows; row++) {
		memset(&cells, 0, sizeof(cells));
		table->fill(table->owner, row, &cells);
		cells_print(out, table->columns, table->n_columns, widths, &cells);
	}
}

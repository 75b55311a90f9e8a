#include "pcap/rows.h"

#include <stdio.h>

#include "codec/topic.h"
#include "harness/escape.h"

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

/* What a terminal could take for more than text is escaped although JSON lets it stand: controls, bidi controls, what cannot be seen. */
static void put_utf8(struct out *out, struct span text)
{
	char escaped[24];

	for (size_t i = 0; i < text.len;) {
		uint8_t c = text.at[i];
		size_t n = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;

		if (c == '"' || c == '\\') {
			out_byte(out, '\\');
			out_byte(out, (char)c);
		} else if (n == 1 && c >= 0x20 && c < 0x7f) {
			out_byte(out, (char)c);
		} else if (escape_bytes(text.at + i, n, escaped, sizeof(escaped)) == n) {
			out_bytes(out, text.at + i, n);
		} else {
			uint32_t code = n == 1 ? c : c & (0x7fu >> n);

			for (size_t k = 1; k < n; k++)
				code = code << 6 | (text.at[i + k] & 0x3f);
			if (code >= 0x10000)
				out_format(out, "\\u%04x\\u%04x", 0xd800 + ((code - 0x10000) >> 10), 0xdc00 + (code & 0x3ff));
			else
				out_format(out, "\\u%04x", code);
		}
		i += n;
	}
}

static void put_bytes(struct out *out, struct span text)
{
	char one[16], *p;

	for (size_t i = 0; i < text.len; i++) {
		escape_bytes(text.at + i, 1, one, sizeof(one));
		for (p = one; *p; p++) {
			if (*p == '\\' || *p == '"')
				out_byte(out, '\\');
			out_byte(out, *p);
		}
	}
}

void json_text(struct json *json, const char *name, struct span text)
{
	if (!text.at) {
		json_null(json, name);
		return;
	}
	name_it(json, name);
	out_byte(json->out, '"');
	if (utf8_valid(text))
		put_utf8(json->out, text);
	else
		put_bytes(json->out, text);
	out_byte(json->out, '"');
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

static void put_seconds(struct out *out, uint64_t ns)
{
	out_format(out, "%llu.%09llu", (unsigned long long)(ns / 1000000000), (unsigned long long)(ns % 1000000000));
}

void json_duration(struct json *json, const char *name, uint64_t ns)
{
	name_it(json, name);
	put_seconds(json->out, ns);
}

void json_when(struct json *json, const char *name, const struct when *when)
{
	if (!when->frame) {
		json_null(json, name);
		return;
	}
	json_open(json, name, '{');
	json_number(json, "frame", when->frame);
	if (when->time_ns < json->start_ns) {
		name_it(json, "time");
		out_byte(json->out, '-');
		put_seconds(json->out, json->start_ns - when->time_ns);
	} else {
		json_duration(json, "time", when->time_ns - json->start_ns);
	}
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
	put_seconds(out, start->time_ns);
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

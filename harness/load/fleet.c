#include "harness/load/plan.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "codec/topic.h"
#include "harness/console.h"

/*
 * A CSV file as clients look things up in it. Its bytes are rewritten in place: quotes and separators go, and each value
 * ends in a zero byte, so that there is one offset a row to keep and no value has to be unquoted when it is asked for.
 */

enum { MAX_FLEET = 256 << 20, MAX_ROWS = 10000000, MAX_COLUMNS_OF_FLEET = 256 };

struct fleet {
	uint8_t *bytes;
	uint32_t *rows;			/* where each begins; the first names the columns */
	uint32_t n_rows, cap_rows;
	unsigned n_columns;
};

struct reader_of_csv {
	uint8_t *at, *end;		/* what is left */
	uint8_t *out;			/* never ahead of at */
	const uint8_t *line_start;
	unsigned line;
	bool row_ends;			/* the value that was read is its row's last */
};

__attribute__((format(printf, 4, 5))) static bool wrong(struct fault *fault, unsigned line, size_t column, const char *format, ...)
{
	va_list args;

	fault->line = line;
	fault->column = (unsigned)column;
	va_start(args, format);
	vsnprintf(fault->text, sizeof fault->text, format, args);
	va_end(args);
	return false;
}

static bool wrong_here(const struct reader_of_csv *r, struct fault *fault, const char *what)
{
	return wrong(fault, r->line, (size_t)(r->at - r->line_start) + 1, "%s", what);
}

/* ---- one value ---- */

static void next_line(struct reader_of_csv *r)
{
	r->at++;
	r->line++;
	r->line_start = r->at;
}

static bool at_newline(const struct reader_of_csv *r)
{
	return *r->at == '\n' || (*r->at == '\r' && r->at + 1 < r->end && r->at[1] == '\n');
}

static bool read_quoted(struct reader_of_csv *r, struct fault *fault)
{
	struct reader_of_csv opening = *r;

	for (r->at++; r->at < r->end;) {
		if (*r->at == '"' && !(r->at + 1 < r->end && r->at[1] == '"')) {
			r->at++;
			return r->at == r->end || *r->at == ',' || at_newline(r) ||
			       wrong_here(r, fault, "expected `,` or the end of the line behind the closing quote; a quote in a value is doubled");
		}
		r->at += *r->at == '"';
		*r->out++ = *r->at;
		if (*r->at == '\n')
			next_line(r);
		else
			r->at++;
	}
	return wrong_here(&opening, fault, "this quote is not closed");
}

static bool read_plain(struct reader_of_csv *r, struct fault *fault)
{
	while (r->at < r->end && *r->at != ',' && !at_newline(r)) {
		if (*r->at == '"')
			return wrong_here(r, fault, "a quote in a value that does not begin with one; write \"...\"\"...\"");
		*r->out++ = *r->at++;
	}
	return true;
}

/* And what separates it from the next. */
static bool read_value(struct reader_of_csv *r, struct fault *fault)
{
	if (r->at < r->end && *r->at == '"' ? !read_quoted(r, fault) : !read_plain(r, fault))
		return false;
	r->row_ends = r->at == r->end || *r->at != ',';
	if (!r->row_ends) {
		r->at++;
	} else if (r->at < r->end) {
		r->at += *r->at == '\r';
		next_line(r);
	}
	return true;
}

/* ---- rows ---- */

static void add_row(struct fleet *fleet, const struct reader_of_csv *r)
{
	if (fleet->n_rows == fleet->cap_rows) {
		fleet->cap_rows = fleet->cap_rows ? 2 * fleet->cap_rows : 256;
		fleet->rows = realloc(fleet->rows, fleet->cap_rows * sizeof *fleet->rows);
		if (!fleet->rows)
			abort();
	}
	fleet->rows[fleet->n_rows++] = (uint32_t)(r->out - fleet->bytes);
}

/* Blanks around the name of a column are no part of it. */
static void trim(struct reader_of_csv *r, uint8_t *start)
{
	uint8_t *first = start;

	while (r->out > start && r->out[-1] == ' ')
		r->out--;
	while (first < r->out && *first == ' ')
		first++;
	memmove(start, first, (size_t)(r->out - first));
	r->out -= first - start;
}

static bool read_row(struct fleet *fleet, struct reader_of_csv *r, struct fault *fault)
{
	unsigned line = r->line, n = 0;
	uint8_t *start;

	if (fleet->n_rows > MAX_ROWS)
		return wrong(fault, line, 1, "more than %d rows", MAX_ROWS);
	add_row(fleet, r);
	do {
		if (n == MAX_COLUMNS_OF_FLEET)
			return wrong(fault, line, 1, "more than %d columns", MAX_COLUMNS_OF_FLEET);
		start = r->out;
		if (!read_value(r, fault))
			return false;
		if (fleet->n_rows == 1)
			trim(r, start);
		*r->out++ = 0;		/* in place of the separator, or of the byte behind the text */
		n++;
	} while (!r->row_ends);
	if (fleet->n_rows == 1)
		fleet->n_columns = n;
	return n == fleet->n_columns ||
	       wrong(fault, line, 1, "this row has %u value%s, the first has %u", n, n == 1 ? "" : "s", fleet->n_columns);
}

static bool check_names(const struct fleet *fleet, struct fault *fault)
{
	for (unsigned i = 0; i < fleet->n_columns; i++)
		for (unsigned k = 0; k < i; k++)
			if (*fleet_name(fleet, i) && !strcmp(fleet_name(fleet, i), fleet_name(fleet, k)))
				return wrong(fault, 1, 1, "column `%s` stands twice", console_safe(fleet_name(fleet, i)));
	return true;
}

static bool check_text(struct span text, struct fault *fault)
{
	const uint8_t *zero = text.len ? memchr(text.at, 0, text.len) : NULL, *line = text.at, *end = text.at + text.len;
	bool well = utf8_valid(text);

	for (unsigned n = 1; (zero || !well) && line < end; n++) {
		const uint8_t *newline = memchr(line, '\n', (size_t)(end - line)), *next = newline ? newline + 1 : end;

		if (zero && zero < next)
			return wrong(fault, n, (size_t)(zero - line) + 1, "a byte of 0: this is no text file");
		if (!utf8_valid(span_of(line, (size_t)(next - line))))
			return wrong(fault, n, 1, "this line is not UTF-8; save the file as UTF-8");
		line = next;
	}
	return true;
}

/* Takes bytes, of which there are len and room for one more. */
static struct fleet *fleet_of(uint8_t *bytes, size_t len, struct fault *fault)
{
	struct fleet *fleet = calloc(1, sizeof *fleet);
	size_t mark = len >= 3 && !memcmp(bytes, "\xef\xbb\xbf", 3) ? 3 : 0;	/* byte order mark */
	struct reader_of_csv r = { .at = bytes + mark, .end = bytes + len, .out = bytes, .line_start = bytes + mark, .line = 1 };
	bool well = true;

	if (!fleet)
		abort();
	fleet->bytes = bytes;
	well = check_text(span_of(bytes, len), fault);
	while (well && r.at < r.end) {
		if (at_newline(&r)) {		/* a line of nothing is no row */
			r.at += *r.at == '\r';
			next_line(&r);
		} else {
			well = read_row(fleet, &r, fault);
		}
	}
	if (well && !fleet->n_rows)
		well = wrong(fault, 1, 1, "the file is empty; its first line names the columns");
	if (well && fleet->n_rows == 1)
		well = wrong(fault, 1, 1, "there is no row behind the first line, which names the columns");
	if (well && check_names(fleet, fault))
		return fleet;
	fleet_free(fleet);
	return NULL;
}

struct fleet *fleet_parse(struct span text, struct fault *fault)
{
	uint8_t *bytes;

	if (text.len > MAX_FLEET) {
		wrong(fault, 1, 1, "more than %d MB", MAX_FLEET >> 20);
		return NULL;
	}
	bytes = malloc(text.len + 1);
	if (!bytes)
		abort();
	if (text.len)
		memcpy(bytes, text.at, text.len);
	return fleet_of(bytes, text.len, fault);
}

void fleet_free(struct fleet *fleet)
{
	if (!fleet)
		return;
	free(fleet->bytes);
	free(fleet->rows);
	free(fleet);
}

/* ---- files ---- */

static bool climbs(const char *path)
{
	for (const char *part = path; part; part = strchr(part, '/') ? strchr(part, '/') + 1 : NULL)
		if (!strncmp(part, "..", 2) && (part[2] == '/' || !part[2]))
			return true;
	return false;
}

/* The file as it is called in the end, below the folder as it is called in the end; else 0, after saying why. */
static bool find_below(const char *folder, const char *file, char *path, struct fault *fault)
{
	char top[PATH_MAX], below[PATH_MAX];
	size_t len;

	if (*file == '/' || climbs(file))
		return wrong(fault, 0, 0, "a workload reads files below its own folder only: a name like \"fleet.csv\" or \"data/fleet.csv\"");
	if (!*folder)
		folder = ".";
	if ((size_t)snprintf(below, sizeof below, "%s/%s", folder, file) >= sizeof below)
		return wrong(fault, 0, 0, "%s", strerror(ENAMETOOLONG));
	if (!realpath(folder, top) || !realpath(below, path))
		return wrong(fault, 0, 0, "%s", strerror(errno));
	len = strcmp(top, "/") ? strlen(top) : 0;
	return (!strncmp(path, top, len) && path[len] == '/') ||
	       wrong(fault, 0, 0, "it is a link to a file outside the workload's folder; copy it there");
}

static bool read_all(int fd, size_t size, uint8_t *bytes, size_t *len)
{
	*len = 0;
	while (*len < size) {
		ssize_t n = read(fd, bytes + *len, size - *len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return false;
		if (!n)
			break;
		*len += (size_t)n;
	}
	return true;
}

static struct fleet *read_fleet(int fd, struct fault *fault)
{
	struct stat st;
	uint8_t *bytes;
	size_t len;

	if (fstat(fd, &st)) {
		wrong(fault, 0, 0, "%s", strerror(errno));
		return NULL;
	}
	if (!S_ISREG(st.st_mode)) {
		wrong(fault, 0, 0, "it is no regular file");
		return NULL;
	}
	if (st.st_size > MAX_FLEET) {
		wrong(fault, 0, 0, "it has more than %d MB", MAX_FLEET >> 20);
		return NULL;
	}
	bytes = malloc((size_t)st.st_size + 1);
	if (!bytes)
		abort();
	if (read_all(fd, (size_t)st.st_size, bytes, &len))
		return fleet_of(bytes, len, fault);
	wrong(fault, 0, 0, "%s", strerror(errno));
	free(bytes);
	return NULL;
}

struct fleet *fleet_read(const char *folder, const char *file, struct fault *fault)
{
	char path[PATH_MAX];
	struct fleet *fleet;
	int fd;

	if (!find_below(folder, file, path, fault))
		return NULL;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0) {
		wrong(fault, 0, 0, "%s", strerror(errno));
		return NULL;
	}
	fleet = read_fleet(fd, fault);
	close(fd);
	return fleet;
}

/* ---- looking up ---- */

uint32_t fleet_rows(const struct fleet *fleet)
{
	return fleet->n_rows - 1;
}

static const char *cell(const struct fleet *fleet, uint32_t row, unsigned column)
{
	const char *at = (const char *)fleet->bytes + fleet->rows[row];

	while (column--)
		at += strlen(at) + 1;
	return at;
}

const char *fleet_name(const struct fleet *fleet, unsigned column)
{
	return column < fleet->n_columns ? cell(fleet, 0, column) : NULL;
}

int fleet_column(const struct fleet *fleet, struct span name)
{
	for (unsigned i = 0; i < fleet->n_columns; i++)
		if (span_is(name, fleet_name(fleet, i)))
			return (int)i;
	return -1;
}

struct span fleet_value(const struct fleet *fleet, uint32_t row, unsigned column)
{
	return span_text(cell(fleet, row + 1, column));
}

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness/load/plan.h"

/* CSV files, as text and as files. */

static const struct row {
	const char *name, *text;
	const char *want;		/* [names] and values, or "line:column: text" */
} rows[] = {
	{ "plain", "id,user\n1,ann\n2,bob\n", "[id|user] 1|ann 2|bob" },
	{ "no newline at the end", "id\n1\n2", "[id] 1 2" },
	{ "carriage returns", "id,user\r\n1,ann\r\n", "[id|user] 1|ann" },
	{ "quotes", "a,b\n\"x,y\",\"say \"\"hi\"\"\"\n\"\",\"\"\n", "[a|b] x,y|say \"hi\" |" },
	{ "lines in a value", "a,b\n\"1\n2\r\n3\",x\n", "[a|b] 1\n2\r\n3|x" },
	{ "empty values", "a,b,\n,,\n1,,3\n", "[a|b|] || 1||3" },
	{ "blanks", " a , b\n 1 , 2\n", "[a|b]  1 | 2" },
	{ "lines of nothing", "\n\na\n\n1\r\n\r\n2\n\n", "[a] 1 2" },
	{ "byte order mark", "\xef\xbb\xbfid\n1\n", "[id] 1" },
	{ "not ASCII", "id\n\xc3\xa4\n", "[id] \xc3\xa4" },
	{ "a return in a value", "id\na\rb\n", "[id] a\rb" },
	{ "nothing", "", "1:1: the file is empty; its first line names the columns" },
	{ "no rows", "id,user\n\n", "1:1: there is no row behind the first line, which names the columns" },
	{ "short row", "a,b\n1,2\n3\n", "3:1: this row has 1 value, the first has 2" },
	{ "long row", "a,b\n1,2,3\n", "2:1: this row has 3 values, the first has 2" },
	{ "short row behind lines in a value", "a,b\n\"1\n2\",3\n4\n", "4:1: this row has 1 value, the first has 2" },
	{ "open quote", "a,b\n1,\"2\n3,4\n", "2:3: this quote is not closed" },
	{ "behind a quote", "a,b\n1,\"2\"3\n", "2:6: expected `,` or the end of the line behind the closing quote; a quote in a value is doubled" },
	{ "quote inside", "a,b\n1,2\"3\n", "2:4: a quote in a value that does not begin with one; write \"...\"\"...\"" },
	{ "twice", "a,b, a\n1,2,3\n", "1:1: column `a` stands twice" },
	{ "Latin 1", "id,name\n1,ann\n2,J\xf6rg\n", "3:1: this line is not UTF-8; save the file as UTF-8" },
};

static void dump(const struct fleet *fleet, char *text, size_t size)
{
	size_t n = 0;

	for (unsigned i = 0; fleet_name(fleet, i); i++)
		n += (size_t)snprintf(text + n, size - n, "%s%s", i ? "|" : "[", fleet_name(fleet, i));
	n += (size_t)snprintf(text + n, size - n, "]");
	for (uint32_t row = 0; row < fleet_rows(fleet); row++)
		for (unsigned i = 0; fleet_name(fleet, i); i++) {
			struct span value = fleet_value(fleet, row, i);

			n += (size_t)snprintf(text + n, size - n, "%s%.*s", i ? "|" : " ", (int)value.len, (const char *)value.at);
		}
}

static void reads_as_written(void **state)
{
	const struct row *row = *state;
	size_t len = strlen(row->text);
	char *exact = malloc(len ? len : 1), text[512];		/* nothing is read behind the text, nothing borrowed from it */
	struct fault fault;
	struct fleet *fleet;

	memcpy(exact, row->text, len);
	fleet = fleet_parse(span_of(exact, len), &fault);
	free(exact);
	if (fleet)
		dump(fleet, text, sizeof text);
	else
		snprintf(text, sizeof text, "%u:%u: %s", fault.line, fault.column, fault.text);
	fleet_free(fleet);
	assert_string_equal(text, row->want);
}

static void zero_bytes_are_refused(void **state)
{
	struct fault fault;

	(void)state;
	assert_null(fleet_parse(span_of("a\n1\0\n", 5), &fault));
	assert_int_equal(fault.line, 2);
	assert_int_equal(fault.column, 2);
}

static void columns_are_found_by_name(void **state)
{
	struct fault fault;
	struct fleet *fleet = fleet_parse(span_text("a,b,,ab\n1,2,3,4\n"), &fault);

	(void)state;
	assert_int_equal(fleet_column(fleet, span_text("a")), 0);
	assert_int_equal(fleet_column(fleet, span_text("ab")), 3);
	assert_int_equal(fleet_column(fleet, span_text("c")), -1);
	fleet_free(fleet);
}

static void size_is_bounded(void **state)
{
	struct fault fault;
	char text[1024];

	(void)state;
	memset(text, ',', sizeof text);
	assert_null(fleet_parse(span_of(text, 256), &fault));
	assert_non_null(strstr(fault.text, "more than 256 columns"));
	text[255] = '\n';
	assert_null(fleet_parse(span_of(text, 256), &fault));
	assert_non_null(strstr(fault.text, "no row"));
	assert_null(fleet_parse(span_of(text, ((size_t)256 << 20) + 1), &fault));	/* not looked at */
	assert_string_equal(fault.text, "more than 256 MB");
}

/* ---- files ---- */

static char folder[] = "/tmp/fleet-XXXXXX";

static void write_file(const char *name, const char *text)
{
	char path[256];
	FILE *f;

	snprintf(path, sizeof path, "%s/%s", folder, name);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static int make_folder(void **state)
{
	char path[256], target[256];

	(void)state;
	if (!mkdtemp(folder))
		return -1;
	snprintf(path, sizeof path, "%s/base", folder);
	mkdir(path, 0700);
	snprintf(path, sizeof path, "%s/base/data", folder);
	mkdir(path, 0700);
	write_file("outside.csv", "a\n1\n");
	write_file("base/fleet.csv", "a\n2\n");
	write_file("base/data/fleet.csv", "a\n3\n");
	snprintf(path, sizeof path, "%s/base/pipe", folder);
	mkfifo(path, 0600);
	snprintf(path, sizeof path, "%s/base/out", folder);
	snprintf(target, sizeof target, "%s/outside.csv", folder);
	return symlink(target, path) || (snprintf(path, sizeof path, "%s/base/in", folder), symlink("data/fleet.csv", path));
}

static int remove_folder(void **state)
{
	static const char *const names[] = { "base/in", "base/out", "base/pipe", "base/data/fleet.csv", "base/fleet.csv", "outside.csv", "base/data", "base", "" };
	char path[256];

	(void)state;
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		snprintf(path, sizeof path, "%s/%s", folder, names[i]);
		remove(path);
	}
	return 0;
}

static const struct { const char *name, *says; } files[] = {		/* says "1": what the first value is */
	{ "fleet.csv", "2" },
	{ "./data/../fleet.csv", "below its own folder only" },
	{ "data/fleet.csv", "3" },
	{ "in", "3" },
	{ "out", "a link to a file outside" },
	{ "../outside.csv", "below its own folder only" },
	{ "/etc/passwd", "below its own folder only" },
	{ "none.csv", "No such file" },
	{ "data", "no regular file" },
	{ "pipe", "no regular file" },
};

static void files_lie_below_the_folder(void **state)
{
	char work[256];

	(void)state;
	snprintf(work, sizeof work, "%s/base", folder);
	for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
		struct fault fault = { .line = 9 };
		struct fleet *fleet = fleet_read(work, files[i].name, &fault);

		if (fleet) {
			assert_true(span_is(fleet_value(fleet, 0, 0), files[i].says));
		} else {
			assert_int_equal(fault.line, 0);
			if (!strstr(fault.text, files[i].says))
				fail_msg("%s: %s", files[i].name, fault.text);
		}
		fleet_free(fleet);
	}
}

int main(void)
{
	enum { N = sizeof rows / sizeof *rows, M = 4 };
	struct CMUnitTest tests[N + M] = {
		cmocka_unit_test(zero_bytes_are_refused),
		cmocka_unit_test(columns_are_found_by_name),
		cmocka_unit_test(size_is_bounded),
		cmocka_unit_test(files_lie_below_the_folder),
	};

	for (size_t i = 0; i < N; i++)
		tests[M + i] = (struct CMUnitTest){ .name = rows[i].name, .test_func = reads_as_written, .initial_state = (void *)&rows[i] };
	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}

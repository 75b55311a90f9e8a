#include <stdio.h>
#include <string.h>

#include "harness/console.h"
#include "harness/load/load_options.h"
#include "harness/outfile.h"

struct format {
	const char *name;
	void (*write)(FILE *out, const struct figures *figures);
};

static void write_json(FILE *out, const struct figures *figures)
{
	figures_json(out, figures);
}

static void write_html(FILE *out, const struct figures *figures)
{
	figures_html(out, &figures, 1);
}

static const struct format formats[] = {		/* in the order of --format's choices */
	{ "text", figures_print }, { "json", write_json }, { "html", write_html }, { "hdr", figures_hdr_log }, { "percentiles", figures_percentiles },
};

enum { N_FORMATS = sizeof(formats) / sizeof(*formats) };

/* F=FILE: the format, or NULL; *path is what stands behind the sign. */
static const struct format *split(const char *text, const char **path)
{
	const char *equals = strchr(text, '=');

	if (!equals || !equals[1])
		return NULL;
	*path = equals + 1;
	for (size_t i = 0; i < N_FORMATS; i++)
		if (strlen(formats[i].name) == (size_t)(equals - text) && !strncmp(formats[i].name, text, strlen(formats[i].name)))
			return &formats[i];
	return NULL;
}

static int unwritable(const char *path, int error)
{
	console_error("write %s: %s", console_safe(path), strerror(-error));
	return EXIT_UNABLE;
}

int load_output_check(void)
{
	const struct string_list *reports = &load_options.reports;
	const char *path;
	int error;

	for (size_t i = 0; i < reports->n; i++)
		if (!split(reports->at[i], &path))
			return cli_usage(&load_command, "--report %s: expected F=FILE, where F is one of text, json, html, hdr, percentiles",
			                 console_safe(reports->at[i]));
	for (size_t i = 0; i < reports->n; i++) {
		split(reports->at[i], &path);
		if ((error = outfile_check(path)))
			return unwritable(path, error);
	}
	return 0;
}

static int write_report(const char *text, const struct figures *figures)
{
	struct outfile file;
	const char *path;
	const struct format *format = split(text, &path);
	int error = outfile_open(&file, path);

	if (!error) {
		format->write(file.stream, figures);
		error = outfile_close(&file);
	}
	return error ? unwritable(path, error) : 0;
}

int load_output_write(const struct figures *figures)
{
	int status = 0, one;

	/* Files first: who reads stdout may close it, and that ends us. */
	for (size_t i = 0; i < load_options.reports.n; i++)
		if ((one = write_report(load_options.reports.at[i], figures)))
			status = one;
	/* What could not be played has nothing to print; who reads JSON reads that there. */
	if (!figures->unable || formats[load_options.format].write == write_json)
		formats[load_options.format].write(stdout, figures);
	fflush(stdout);			/* cli_main() looks whether it could be written */
	return status;
}

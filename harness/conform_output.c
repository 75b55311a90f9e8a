#include "harness/conform_output.h"

#include "harness/conform_options.h"
#include "harness/console.h"
#include "harness/outfile.h"

/* F=FILE: the format, or NULL; *path is what stands behind the sign. */
static const struct report_format *split(const char *text, const char **path)
{
	const char *equals = strchr(text, '=');

	if (!equals || !equals[1])
		return NULL;
	*path = equals + 1;
	for (const struct report_format *f = report_formats; f->name; f++)
		if (strlen(f->name) == (size_t)(equals - text) && !strncmp(f->name, text, strlen(f->name)))
			return f;
	return NULL;
}

static int unwritable(const char *path, int error)
{
	console_error("write %s: %s", console_safe(path), strerror(-error));
	return EXIT_UNABLE;
}

static int wrong_report(const char *text)
{
	char names[80] = "";

	for (const struct report_format *f = report_formats; f->name; f++)
		snprintf(names + strlen(names), sizeof(names) - strlen(names), "%s%s", *names ? ", " : "", f->name);
	return cli_usage(&conform_command, "--report %s: expected F=FILE, where F is one of %s", console_safe(text), names);
}

int conform_output_check(void)
{
	const struct conform_options *conf = &conform_options;
	const char *path;
	int error;

	for (size_t i = 0; i < conf->reports.n; i++)
		if (!split(conf->reports.at[i], &path))
			return wrong_report(conf->reports.at[i]);
	for (size_t i = 0; i < conf->reports.n; i++) {
		split(conf->reports.at[i], &path);
		if ((error = outfile_check(path)))
			return unwritable(path, error);
	}
	if (conf->write_known && (error = outfile_check(conf->write_known)))
		return unwritable(conf->write_known, error);
	return 0;
}

static int write_report(const char *text, const struct run *run)
{
	struct outfile file;
	const char *path;
	const struct report_format *format = split(text, &path);
	int error = outfile_open(&file, path);

	if (!error) {
		format->write(file.stream, run);
		error = outfile_close(&file);
	}
	return error ? unwritable(path, error) : 0;
}

/* Of a run that could not be played to its end the file would be short of rows: what is there is worth more. */
static int write_known(const char *path, const struct run *run, const struct known *known)
{
	struct outfile file;

	for (size_t i = 0; i < run->n_targets; i++)
		if (run->targets[i].conducted.unable[0]) {
			console_error("write %s: not written, since not all tests could be played", console_safe(path));
			return EXIT_UNABLE;
		}
	int error = outfile_open(&file, path);
	if (!error) {
		known_write(file.stream, known, run);
		error = outfile_close(&file);
	}
	return error ? unwritable(path, error) : 0;
}

int conform_output_write(const struct run *run, const struct known *known)
{
	const struct conform_options *conf = &conform_options;
	int status = 0, one;

	/* Files first: who reads stdout may close it, and that ends us. */
	for (size_t i = 0; i < conf->reports.n; i++)
		if ((one = write_report(conf->reports.at[i], run)))
			status = one;
	if (conf->write_known && (one = write_known(conf->write_known, run, known)))
		status = one;
	report_formats[conf->format].write(stdout, run);
	fflush(stdout);			/* cli_main() looks whether it could be written */
	for (size_t i = 0; i < run->n_targets; i++)
		if (run->targets[i].conducted.unable[0])
			console_error("%s", run->targets[i].conducted.unable);
	return status;
}

#include "harness/artifacts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness/escape.h"
#include "harness/recording.h"
#include "harness/shell.h"
#include "harness/tls_options.h"
#include "harness/transcript.h"

enum { MAX_SAME = 100000 };		/* folders of one name */

bool artifacts_wanted(const struct outcome *o)
{
	switch (o->result.verdict) {
	case VERDICT_ERROR: case VERDICT_FAIL: case VERDICT_UNSTABLE: case VERDICT_INCONCLUSIVE: case VERDICT_WARN:
		return o->played;
	default:
		return false;		/* fixed is a pass; of what is known there is nothing new to say */
	}
}

/* ---- names ---- */

char *artifacts_name(const struct outcome *o, const char *label, char *name)
{
	char text[4096], turn[24] = "";

	if (o->repetition)
		snprintf(turn, sizeof(turn), ".turn%u", o->repetition + 1);
	snprintf(text, sizeof(text), "%.3000s.mqtt%s.%.1000s%s", o->script->id, version_text(o->script->version), label, turn);
	return escape_file_name(text, name);
}

char *artifacts_scenario(const char *file, char *path, size_t cap)
{
	const char *last = strrchr(file, '/');
	size_t n = (size_t)snprintf(path, cap, "scenario");

	/* Of a path that leads elsewhere only the file is kept. */
	if (file[0] == '/' || strstr(file, "./"))
		file = last ? last + 1 : file;
	while (*file && cap - n > ESCAPE_FILE_NAME + 1) {
		size_t len = strcspn(file, "/");
		char *part = strndup(file, len), name[ESCAPE_FILE_NAME];

		if (!part)
			abort();
		if (len)
			n += (size_t)snprintf(path + n, cap - n, "/%s", escape_file_name(part, name));
		free(part);
		file += len + (file[len] == '/');
	}
	return path;
}

/* ---- files ---- */

struct folder {
	const struct run *run;
	const struct run_target *target;
	const struct outcome *outcome;
	const struct replay_file *how;
	const char *password_file;
	const char *scenario;
	int fd;
	int error;			/* negative errno: the first of any */
	char *failed;
	size_t cap;
	const char *dir, *name;
};

static void failed(struct folder *f, const char *file, int error)
{
	if (f->error)
		return;
	f->error = error;
	snprintf(f->failed, f->cap, "%s/%s%s%s", f->dir, f->name, *file ? "/" : "", file);
}

static void write_file(struct folder *f, const char *file, mode_t mode, void (*write)(FILE *out, struct folder *f))
{
	if (f->error)
		return;
	int fd = openat(f->fd, file, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
	FILE *out = fd < 0 ? NULL : fdopen(fd, "w");

	if (!out) {
		failed(f, file, -errno);
		if (fd >= 0)
			close(fd);
		return;
	}
	errno = 0;
	write(out, f);
	int error = ferror(out) ? -(errno ? errno : EIO) : 0;
	if (fclose(out) && !error)
		error = -errno;
	if (error)
		failed(f, file, error);
}

static struct run run_of_one(const struct folder *f, struct run_target *target, struct outcome *outcome)
{
	struct run run = *f->run;

	*outcome = *f->outcome;
	*target = *f->target;
	target->conducted.outcomes = outcome;
	target->conducted.n = 1;
	target->conducted.survives[0] = target->conducted.unable[0] = 0;
	run.targets = target;
	run.n_targets = 1;
	run.verbose = true;
	run.quiet = false;
	return run;
}

static void write_report(FILE *out, struct folder *f)
{
	struct run_target target;
	struct outcome outcome;
	struct run run = run_of_one(f, &target, &outcome);
	const struct result *r = &f->outcome->result;

	report_text(out, &run);
	if (r->recording && recording_cut(r->recording))
		fprintf(out, "conversation.pcapng ends after %d MB: there was more\n", RECORDING_MAX >> 20);
	if (r->before && r->before->recording && recording_cut(r->before->recording))
		fprintf(out, "first-try.pcapng ends after %d MB: there was more\n", RECORDING_MAX >> 20);
}

static void write_json(FILE *out, struct folder *f)
{
	struct run_target target;
	struct outcome outcome;
	struct run run = run_of_one(f, &target, &outcome);

	report_json(out, &run);
}

static void write_transcript(FILE *out, struct folder *f)
{
	const struct result *r = &f->outcome->result;

	if (r->before)
		fputs("# the repetition\n", out);
	transcript_print(out, f->outcome->script, r, "");
	if (!r->before)
		return;
	fputs("\n# the first try\n", out);
	transcript_print(out, f->outcome->script, r->before, "");
}

static void copy(FILE *out, struct folder *f, const char *file, struct recording *recording)
{
	int error = recording_copy(recording, out);

	if (error)
		failed(f, file, -error);
}

static void write_conversation(FILE *out, struct folder *f)
{
	copy(out, f, "conversation.pcapng", f->outcome->result.recording);
}

static void write_first_try(FILE *out, struct folder *f)
{
	copy(out, f, "first-try.pcapng", f->outcome->result.before->recording);
}

static void write_scenario(FILE *out, struct folder *f)
{
	const struct span text = f->outcome->script->scenario->text;

	fwrite(text.at, 1, text.len, out);
}

static void write_options(FILE *out, struct folder *f)
{
	const struct script *script = f->outcome->script;
	struct replay_file how = *f->how;
	size_t len = strlen(script->scenario->file);

	how.scenario = f->scenario;
	how.case_name = script->id[len] == '#' ? script->id + len + 1 : NULL;
	how.version = version_text(script->version);
	fputs("# How this test was played: `mqassay replay` reads it.\n", out);
	replay_write(out, &how);
}

static void write_command(FILE *out, struct folder *f)
{
	fputs("#!/usr/bin/env bash\n# Plays this test again, with the scenario that lies beside this file.\nexec mqassay replay \"$(dirname -- \"$0\")\"", out);
	if (f->how->exec) {
		fputs(" --exec ", out);
		shell_word(out, f->how->exec);
	}
	if (f->password_file) {
		fputs(" --password-file ", out);
		shell_word(out, f->password_file);
	}
	tls_options_print(out);
	fputs(" \"$@\"\n", out);
}

static void make_folders(struct folder *f, const char *path)
{
	char prefix[4096];

	for (const char *at = strchr(path, '/'); at && !f->error; at = strchr(at + 1, '/')) {
		snprintf(prefix, sizeof(prefix), "%.*s", (int)(at - path), path);
		if (mkdirat(f->fd, prefix, 0777) && errno != EEXIST)
			failed(f, prefix, -errno);
	}
}

static void fill(struct folder *f)
{
	const struct result *r = &f->outcome->result;

	write_file(f, "report.txt", 0666, write_report);
	write_file(f, "test.json", 0666, write_json);
	write_file(f, "transcript.txt", 0666, write_transcript);
	if (r->recording)
		write_file(f, "conversation.pcapng", 0666, write_conversation);
	if (r->before && r->before->recording)
		write_file(f, "first-try.pcapng", 0666, write_first_try);
	make_folders(f, f->scenario);
	write_file(f, f->scenario, 0666, write_scenario);
	write_file(f, "replay.options", 0666, write_options);
	write_file(f, "command", 0777, write_command);
}

/* ---- folders ---- */

/* One that was not there: mkdir() says so, whoever else makes folders. The name becomes NAME-2, NAME-3 ... */
static int make_folder(int dir, char *name, size_t cap)
{
	size_t len = strlen(name);

	for (unsigned i = 2; mkdirat(dir, name, 0777); i++) {
		if (errno != EEXIST || i > MAX_SAME)
			return -errno;
		snprintf(name + len, cap - len, "-%u", i);
	}
	int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int artifacts_prepare(const char *dir)
{
	struct stat st;

	if (mkdir(dir, 0777) && errno != EEXIST)
		return -errno;
	if (stat(dir, &st))
		return -errno;
	if (!S_ISDIR(st.st_mode))
		return -ENOTDIR;
	return access(dir, W_OK | X_OK) ? -errno : 0;
}

int artifacts_write(const char *dir, const struct run *run, const struct run_target *target, const struct replay_file *how,
                    const char *password_file, unsigned *n, char *failed_at, size_t cap)
{
	struct folder f = { .run = run, .target = target, .how = how, .password_file = password_file, .dir = dir, .failed = failed_at, .cap = cap };
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0) {
		snprintf(failed_at, cap, "%s", dir);
		return -errno;
	}
	for (size_t i = 0; i < target->conducted.n && !f.error; i++) {
		const struct outcome *o = &target->conducted.outcomes[i];
		char name[ESCAPE_FILE_NAME + 12], scenario[2048];

		if (!artifacts_wanted(o))
			continue;
		f.outcome = o;
		f.name = artifacts_name(o, target->label, name);
		f.scenario = artifacts_scenario(o->script->scenario->file, scenario, sizeof(scenario));
		f.fd = make_folder(fd, name, sizeof(name));
		if (f.fd < 0) {
			failed(&f, "", f.fd);
			break;
		}
		fill(&f);
		close(f.fd);
		*n += !f.error;
	}
	close(fd);
	return f.error;
}

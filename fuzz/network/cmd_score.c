#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fuzz/network/fuzz_options.h"
#include "fuzz/network/score.h"
#include "harness/console.h"
#include "harness/escape.h"

/* mqassay fuzz score: campaigns against a list of targets, and how long each bug took to be found. */

static const struct fuzz_options *const o = &fuzz_options;

static uint64_t n_seeds(void)
{
	return o->seeds ? o->seeds : 5;
}

static int check(int n_args)
{
	if (n_args)
		return cli_usage(&fuzz_command, "score takes its targets as --exec CMD --label NAME-VERSION");
	if (!o->exec.n)
		return cli_usage(&fuzz_command, "score: name at least one target, --exec CMD --label NAME-VERSION");
	if (o->labels.n != o->exec.n)
		return cli_usage(&fuzz_command, "score: there are %zu --exec and %zu --label; each target has one of both", o->exec.n, o->labels.n);
	for (size_t i = 0; i < o->labels.n; i++)
		for (size_t k = 0; k < i; k++)
			if (!strcmp(o->labels.at[i], o->labels.at[k]))
				return cli_usage(&fuzz_command, "score: two targets are labelled %s", console_safe(o->labels.at[i]));
	if (o->only || o->pid || o->allow_host)
		return cli_usage(&fuzz_command, "--%s is not for `fuzz score`", o->only ? "case" : o->pid ? "pid" : "allow-host");
	return 0;
}

/* Findings of each campaign in a folder of its own: FINDINGS/LABEL/SEED. */
static int make_folder(const char *label, uint64_t seed, char *path, size_t cap)
{
	char name[ESCAPE_FILE_NAME];

	escape_file_name(label, name);
	if (mkdir(o->findings, 0777) && errno != EEXIST)
		goto failed;
	snprintf(path, cap, "%s/%s", o->findings, name);
	if (mkdir(path, 0777) && errno != EEXIST)
		goto failed;
	snprintf(path, cap, "%s/%s/%llu", o->findings, name, (unsigned long long)seed);
	return 0;
failed:
	console_error("make a folder in %s: %s", console_safe(o->findings), strerror(errno));
	return EXIT_UNABLE;
}

static int score_one(struct score_target *target, size_t n)
{
	struct campaign_options campaign;
	char folder[4096];
	int code;

	*target = (struct score_target){ .label = o->labels.at[n], .campaigns = calloc(n_seeds(), sizeof(*target->campaigns)) };
	if (!target->campaigns)
		abort();
	for (; target->n < n_seeds(); target->n++) {
		struct score_campaign *c = &target->campaigns[target->n];

		c->seed = o->seed + target->n;
		if ((code = fuzz_options_campaign(&campaign)) || (code = fuzz_choose_exec(&campaign, n)) || (code = make_folder(target->label, c->seed, folder, sizeof(folder))))
			return code;
		campaign.seed = c->seed;
		campaign.folder = folder;
		campaign.tells_to = stderr;
		code = campaign_run(&campaign, &c->result);
		if (code == EXIT_UNABLE || code == EXIT_USAGE)
			return code;
		if (!strcmp(c->result.ended, "interrupted")) {
			target->n++;
			return EXIT_UNABLE;
		}
	}
	return 0;
}

static int write_report(const struct score_target *targets, size_t n)
{
	FILE *out = o->report ? fopen(o->report, "w") : stdout;
	int error = out ? score_write(out, o->for_ns ? o->for_ns : 60000000000u, targets, n) : -errno;

	if (out && (o->report ? fclose(out) : fflush(out)) && !error)
		error = -errno;
	if (error)
		console_error("write %s: %s", o->report ? console_safe(o->report) : "the report", strerror(-error));
	return error ? EXIT_UNABLE : 0;
}

int score_run(int n_args, char **args)
{
	struct score_target *targets;
	size_t n = 0;
	int code = check(n_args), written;

	(void)args;
	if (code)
		return code;
	targets = calloc(o->exec.n, sizeof(*targets));
	if (!targets)
		abort();
	for (; n < o->exec.n && !code; n++)
		code = score_one(&targets[n], n);
	/* What was found before it could not go on is not lost. */
	written = code == EXIT_USAGE ? 0 : write_report(targets, n);
	for (size_t i = 0; i < n; i++) {
		for (size_t k = 0; k < targets[i].n; k++)
			free(targets[i].campaigns[k].result.buckets);
		free(targets[i].campaigns);
	}
	free(targets);
	return code ? code : written;
}

#ifndef FUZZ_NETWORK_FUZZ_OPTIONS_H
#define FUZZ_NETWORK_FUZZ_OPTIONS_H

#include "fuzz/network/campaign.h"
#include "harness/cli.h"

/* The command line of `mqassay fuzz`. */
struct fuzz_options {
	struct string_list exec, labels, known;
	uint64_t for_ns, cases, seed, jobs, rate, pid, grows, timeout_ns, start_timeout_ns, triage_ns;
	int mqtt, way;
	const char *only, *allow_host, *findings, *user, *password_file, *password;
	bool valid, first, quiet;
	/* fuzz score */
	uint64_t seeds;
	const char *report;
};

extern struct fuzz_options fuzz_options;
extern const struct cli_option fuzz_option_rows[];
extern const struct command fuzz_command;

/* What options say of a campaign; the target is the caller's to fill in. 0, or an exit code after one line on stderr. */
int fuzz_options_campaign(struct campaign_options *campaign);

/* The n-th --exec as the target, with its label. 0, or an exit code after one line on stderr. */
int fuzz_choose_exec(struct campaign_options *campaign, size_t n);

/* Fills in its `reach`: what is written of --exec or, where url is not NULL, of that TARGET to be typed again. Lives until the next call. */
void fuzz_reach(struct campaign_options *campaign, const char *url);

/* cmd_score.c */
int score_run(int n_args, char **args);

#endif

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz/network/fuzz_options.h"
#include "harness/console.h"
#include "harness/target.h"
#include "harness/tls_options.h"

/* mqassay fuzz: looks for bugs in a broker, over the network. */

static const struct fuzz_options *const o = &fuzz_options;

/* Breaking what runs elsewhere needs a second word: a host mistyped, or taken from a shell's history, is somebody else's. */
static int check_host(const struct target *target)
{
	if (address_is_loopback(&target->address)) {
		if (o->allow_host)
			return cli_usage(&fuzz_command, "--allow-host: the target is on this machine; leave it out");
		return 0;
	}
	if (!o->allow_host)
		return cli_usage(&fuzz_command, "%s is not this machine: if it is yours to break, say --allow-host %s", console_safe(target->address.host), console_safe(target->address.host));
	if (strcmp(o->allow_host, target->address.host))
		return cli_usage(&fuzz_command, "--allow-host %s: the target's host is %s", console_safe(o->allow_host), console_safe(target->address.host));
	if (o->pid)
		return cli_usage(&fuzz_command, "--pid: the target is on another machine, whose processes cannot be looked at from here");
	return 0;
}

static int choose_url(struct campaign_options *campaign, const char *url)
{
	static struct target target;
	struct fault fault;
	int code;

	if (!target_parse(url, &target, &fault))
		return cli_usage(&fuzz_command, "%s", fault.text);
	if ((code = check_host(&target)))
		return code;
	if (target.address.layers.tls && !(target.address.layers.context = tls_from_options(&fuzz_command, &code)))
		return code;
	if (o->pid && kill((pid_t)o->pid, 0) && errno == ESRCH)
		return cli_usage(&fuzz_command, "--pid %llu: there is no such process", (unsigned long long)o->pid);
	campaign->label = target.label;
	campaign->target.address = target.address;
	fuzz_reach(campaign, url);
	return 0;
}

static int choose_target(struct campaign_options *campaign, int n_args, char **args)
{
	if (o->exec.n && n_args)
		return cli_usage(&fuzz_command, "--exec starts the target; name no other");
	if (!o->exec.n && !n_args)
		return cli_usage(&fuzz_command, "name a TARGET, or say with --exec how to start one");
	if (o->exec.n > 1)
		return cli_usage(&fuzz_command, "several targets are for `fuzz score`");
	if (o->exec.n && (o->pid || o->allow_host))
		return cli_usage(&fuzz_command, "--%s is about a TARGET; --exec starts one here and knows its process", o->pid ? "pid" : "allow-host");
	if (n_args && o->way)
		return cli_usage(&fuzz_command, "--transport: a TARGET says it in its URL, as in %s://host:port", way_names[o->way]);
	return o->exec.n ? fuzz_choose_exec(campaign, 0) : choose_url(campaign, args[0]);
}

static int run(int n_args, char **args)
{
	struct campaign_options campaign;
	struct campaign_result result;
	int code = fuzz_options_campaign(&campaign);

	if (code)
		return code;
	if (n_args && !strcmp(args[0], "score"))
		return score_run(n_args - 1, args + 1);
	if (n_args > 1)
		return cli_usage(&fuzz_command, "expected one TARGET");
	if (o->report || o->seeds || o->labels.n)
		return cli_usage(&fuzz_command, "--%s is about `fuzz score`", o->report ? "report" : o->seeds ? "seeds" : "label");
	if ((code = choose_target(&campaign, n_args, args)))
		return code;
	code = campaign_run(&campaign, &result);
	free(result.buckets);
	return code;
}

const struct command fuzz_command = {
	.name = "fuzz",
	.arguments = "TARGET | score",
	.summary = "break a broker",
	.details = "Plays conversations of several clients, taken from the scenarios and the tables and mutated by field, order, timing and connection, and\n"
	           "watches: does the broker live, answer, answer as fast as before, stay as small and as idle, keep the rules, and spare those who mind their\n"
	           "own business. What shows is minimised, played ten times more, and written down as a file that `mqassay replay` plays.\n"
	           "Only what is on this machine is a TARGET, unless --allow-host names it. With --exec findings are minimised on a target that is new each time.\n"
	           "SIGINT or SIGTERM once ends it in order: what has shown is still made smaller and written. Twice: that as well is cut short.\n"
	           "Exit code 0: nothing was found; 1: something was; 2: a mistake on the command line; 3: it could not be played: the target\n"
	           "was not reached, or not well before the first case.\n"
	           "`fuzz score` runs campaigns against several targets and tells how long each bug took to be found.",
	.example = "mqassay fuzz --exec 'mosquitto -p {port}' --for 10m\n"
	           "mqassay fuzz localhost:1883 --pid $(pidof mosquitto) --rate 500\n"
	           "mqassay fuzz score --exec './mosquitto-2.0.7 -p {port}' --label mosquitto-2.0.7 --for 2m --report score.json",
	.options = fuzz_option_rows,
	.min_args = 0,
	.max_args = CLI_ANY,
	.run = run,
};

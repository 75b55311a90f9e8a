#include "fuzz/network/fuzz_options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz/network/cases.h"
#include "harness/console.h"
#include "harness/known.h"
#include "harness/password.h"
#include "harness/shell.h"
#include "harness/tls_options.h"

static const char *const mqtt_choices[] = { "all", "3.1", "3.1.1", "5", NULL };

#define SECOND UINT64_C(1000000000)

struct fuzz_options fuzz_options = {
	.timeout_ns = 5 * SECOND, .start_timeout_ns = 60 * SECOND, .triage_ns = 30 * SECOND, .seed = 1, .jobs = 64, .findings = "findings", .grows = 64 << 20,
};

const struct cli_option fuzz_option_rows[] = {
	OPT_HEADING("The target"),
	OPT_LIST(0, "exec", fuzz_options.exec, "CMD", "start the target, restart it when it dies, end it: {port} {tls_port} {ws_port} {dir} are filled in"),
	OPT_SOME_TIME(0, "start-timeout", fuzz_options.start_timeout_ns, "D", "how long it may take until it answers a CONNECT"),
	OPT_ENUM(0, "transport", fuzz_options.way, way_names, "over which one that --exec starts is played against"),
	OPT_COUNT(0, "pid", fuzz_options.pid, 1, 4194304, "PID", "the process of a TARGET that runs on this machine: its memory, CPU and death are looked at"),
	OPT_STRING(0, "allow-host", fuzz_options.allow_host, "NAME", "of a TARGET that is not on this machine: its host once more, to say that you may break it"),
	OPT_STRING('u', "user", fuzz_options.user, "NAME", "user name given in every CONNECT that names none"),
	OPT_STRING(0, "password-file", fuzz_options.password_file, "FILE", "file whose first line is the password"),
	OPT_GROUP(tls_option_rows),
	OPT_HEADING("What is played"),
	OPT_SOME_TIME(0, "for", fuzz_options.for_ns, "D", "how long, triage not counted; 1m where --cases is not given either"),
	OPT_COUNT(0, "cases", fuzz_options.cases, 1, 0, "N", "how many cases at most"),
	OPT_COUNT(0, "seed", fuzz_options.seed, 0, 0, "N", "of everything random"),
	OPT_STRING(0, "case", fuzz_options.only, "LINEAGE", "one case, as a finding names it: 88213, or 88213/5120 with those that it comes from"),
	OPT_ENUM(0, "mqtt", fuzz_options.mqtt, mqtt_choices, "seeds in that version only"),
	OPT_FLAG(0, "valid", fuzz_options.valid, "only what a client may do, nothing mutated: whatever is found then, no client did wrong"),
	OPT_COUNT('j', "jobs", fuzz_options.jobs, 1, 256, "N", "cases at once"),
	OPT_COUNT(0, "rate", fuzz_options.rate, 1, 0, "N", "cases per second at most; unset: as fast as the target answers"),
	OPT_HEADING("What is a finding"),
	OPT_SOME_TIME(0, "timeout", fuzz_options.timeout_ns, "D", "a target that has not served a fresh connection for so long hangs; what a bystander's message may take"),
	OPT_SIZE(0, "grows", fuzz_options.grows, "SIZE", "resident memory over the baseline that makes it worth looking for a leak"),
	OPT_LIST(0, "known", fuzz_options.known, "FILE", "accepted deviations, as of `conform --known`: their rules are no findings on that target"),
	OPT_FLAG(0, "first", fuzz_options.first, "end with the first finding"),
	OPT_SOME_TIME(0, "triage", fuzz_options.triage_ns, "D", "how long the least that shows a finding is looked for"),
	OPT_STRING(0, "findings", fuzz_options.findings, "DIR", "folder for findings: each a file in the notation, a capture, hex and a report"),
	OPT_FLAG('q', "quiet", fuzz_options.quiet, "no progress"),
	OPT_HEADING("fuzz score"),
	OPT_LIST(0, "label", fuzz_options.labels, "NAME-VERSION", "of the --exec of the same place"),
	OPT_COUNT(0, "seeds", fuzz_options.seeds, 1, 1000, "N", "campaigns for each, with as many seeds from --seed on; unset: 5"),
	OPT_STRING(0, "report", fuzz_options.report, "FILE", "where the JSON goes; unset: stdout"),
	OPT_END
};

static int read_known(struct campaign_options *campaign)
{
	static struct known known;

	for (size_t i = 0; i < fuzz_options.known.n; i++) {
		int code = known_read(&known, fuzz_options.known.at[i]);

		if (code)
			return code;
	}
	campaign->known = &known;
	return 0;
}

int fuzz_options_campaign(struct campaign_options *campaign)
{
	static const unsigned versions[] = { 0, 1 << MQTT_3_1, 1 << MQTT_3_1_1, 1 << MQTT_5 };
	struct fuzz_options *o = &fuzz_options;
	int code;

	struct fault fault;

	if (o->only && (o->cases || o->for_ns))
		return cli_usage(&fuzz_command, "--case plays one case; it goes with neither --cases nor --for");
	if (o->only && !case_lineage_check(o->only, &fault))
		return cli_usage(&fuzz_command, "--case %s", fault.text);
	if (o->user && strlen(o->user) > MAX_CREDENTIAL)
		return cli_usage(&fuzz_command, "--user: has more than the %d bytes that a user name may have", MAX_CREDENTIAL);
	if (o->password_file && (code = password_read(o->password_file, &o->password)))
		return code;
	*campaign = (struct campaign_options){
		.versions = versions[o->mqtt], .seed = o->seed, .cases = o->cases, .for_ns = o->for_ns || o->cases ? o->for_ns : 60 * SECOND, .jobs = (unsigned)o->jobs, .rate = o->rate,
		.folder = o->findings, .only = o->only, .valid_only = o->valid, .stop_at_first = o->first, .triage_s = (unsigned)((o->triage_ns + SECOND - 1) / SECOND), .quiet = o->quiet,
		.target = { .start_timeout_ns = o->start_timeout_ns, .timeout_ns = o->timeout_ns, .grows = o->grows, .pid = (int)o->pid },
	};
	if (o->user)
		campaign->target.user_name = span_text(o->user);
	if (o->password)
		campaign->target.password = span_text(o->password);
	return read_known(campaign);
}

/* A password is no word of a command line, but the file that it stands in is. */
void fuzz_reach(struct campaign_options *campaign, const char *url)
{
	static char *text;
	size_t size;
	FILE *out;

	free(text);
	if (!(out = open_memstream(&text, &size)))
		abort();
	if (!url)
		fputs("--exec ", out);
	shell_word(out, url ? url : campaign->target.exec);
	if (fuzz_options.way)
		fprintf(out, " --transport %s", way_names[fuzz_options.way]);
	if (fuzz_options.user) {
		fputs(" --user ", out);
		shell_word(out, fuzz_options.user);
	}
	if (fuzz_options.password_file) {
		fputs(" --password-file ", out);
		shell_word(out, fuzz_options.password_file);
	}
	if (fuzz_options.pid)
		fprintf(out, " --pid %llu", (unsigned long long)fuzz_options.pid);
	tls_options_print(out);
	if (fclose(out))
		abort();
	campaign->reach = text;
}

int fuzz_choose_exec(struct campaign_options *campaign, size_t n)
{
	static char label[100];
	const char *exec = fuzz_options.exec.at[n], *command = exec + strspn(exec, " \t\n'\""), *slash;
	int len = (int)strcspn(command, " \t\n'\""), code;

	if (!len)
		return cli_usage(&fuzz_command, "--exec: expected a command that starts the target");
	snprintf(label, sizeof(label), "%.*s", len > 80 ? 80 : len, command);
	if ((slash = strrchr(label, '/')))
		memmove(label, slash + 1, strlen(slash));
	campaign->label = n < fuzz_options.labels.n ? fuzz_options.labels.at[n] : label;
	campaign->target.exec = exec;
	fuzz_reach(campaign, NULL);
	campaign->target.address.layers = (struct layers){ .tls = fuzz_options.way & WAY_TLS, .websocket = fuzz_options.way & WAY_WS };
	if (fuzz_options.way & WAY_TLS && !(campaign->target.address.layers.context = tls_from_options(&fuzz_command, &code)))
		return code;
	return 0;
}

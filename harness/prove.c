#include "harness/prove.h"

#include <stdlib.h>
#include <string.h>

#include "harness/cli.h"
#include "harness/console.h"
#include "harness/report.h"

enum { MAX_FAULTS = 512, SHOWN_TESTS = 3 };

struct proof {
	const struct suite *suite;
	struct conduct_options options;
	bool *catches;			/* per test of the suite: it caught some fault */
	unsigned n_caught, n_survived, n_elsewhere;
	FILE *out;
	bool verbose;
};

/* "5:MQTT-3.3.1-2" names that clause in that version. */
static bool names_rule(const char *rule, unsigned version, const char *clause)
{
	const char *colon = strchr(rule, ':');
	const char *v = version_text(version);
	size_t len = colon ? (size_t)(colon - rule) : 0;

	if (!colon || strcmp(colon + 1, clause))
		return false;
	return (len == strlen(v) && !strncmp(rule, v, len)) || (version == MQTT_3_1 && !strncmp(rule, "3.1.1:", 6));
}

static bool caught_by(const struct outcome *o, const char *rule)
{
	const struct result *r = &o->result;

	if (r->verdict != VERDICT_FAIL && r->verdict != VERDICT_WARN)
		return false;
	if (r->rule && names_rule(rule, o->script->version, r->rule))
		return true;
	for (uint32_t i = 0; i < r->n_clauses; i++)
		if ((r->clauses[i].verdict == VERDICT_FAIL || r->clauses[i].verdict == VERDICT_WARN) &&
		    names_rule(rule, o->script->version, r->clauses[i].clause))
			return true;
	return false;
}

static void play_fault(struct proof *p, unsigned number, const struct local_fault *fault)
{
	struct conducted done;
	const char *shown[SHOWN_TESTS];
	unsigned n = 0, others = 0;
	char name[160];

	snprintf(name, sizeof(name), "%s%s%s", fault->rule, fault->name[0] ? "/" : "", fault->name);
	p->options.faults = &number;
	p->options.n_faults = 1;
	console_progress("%s", name);
	conduct(p->suite, &p->options, &done);
	for (size_t i = 0; i < done.n; i++) {
		const struct outcome *o = &done.outcomes[i];

		if (caught_by(o, fault->rule)) {
			if (n < SHOWN_TESTS)
				shown[n] = o->script->id;
			n++;
			p->catches[i] = true;
		} else if (o->result.verdict == VERDICT_FAIL || o->result.verdict == VERDICT_WARN) {
			others++;
			p->catches[i] = true;
		}
	}
	if (n)
		p->n_caught++;
	else
		p->n_survived++;
	p->n_elsewhere += !n && others;
	if (!n || p->verbose) {
		console_print(p->out, "%-9s %-36s %s\n", n ? "caught" : "SURVIVED", name, fault->breaks);
		for (unsigned i = 0; i < n && i < SHOWN_TESTS; i++)
			fprintf(p->out, "%10s%s%s\n", "", shown[i], i + 1 == SHOWN_TESTS && n > SHOWN_TESTS ? ", ..." : "");
		if (!n && others)
			fprintf(p->out, "%10s%u tests fail, but by other clauses\n", "", others);
	}
	conducted_release(&done);
}

static bool wanted(const struct local_broker *local, unsigned number, const char *const *patterns, size_t n)
{
	if (!n)
		return true;
	for (size_t i = 0; i < n; i++) {
		unsigned numbers[MAX_FAULTS];
		int found = local->faults_named(patterns[i], numbers, MAX_FAULTS);

		for (int k = 0; k < found; k++)
			if (numbers[k] == number)
				return true;
	}
	return false;
}

static unsigned sound_without_faults(struct proof *p)
{
	struct conducted done;
	unsigned bad = 0;

	conduct(p->suite, &p->options, &done);
	for (size_t i = 0; i < done.n; i++)
		if (done.outcomes[i].result.verdict < VERDICT_PASS) {
			fprintf(p->out, "%s MQTT %s comes to %s without any fault: %s\n", done.outcomes[i].script->id,
			        version_text(done.outcomes[i].script->version), verdict_names[done.outcomes[i].result.verdict],
			        done.outcomes[i].result.reason ? done.outcomes[i].result.reason : "");
			bad++;
		}
	conducted_release(&done);
	return bad;
}

int prove(const struct suite *suite, const struct conduct_options *base, const char *const *patterns, size_t n_patterns,
          FILE *out, bool verbose)
{
	struct proof p = { .suite = suite, .options = *base, .out = out, .verbose = verbose };
	struct local_fault fault;
	unsigned idle = 0;

	p.options.replay_failures = p.options.transcripts = false;
	p.options.repeat = 1;
	p.options.progress = NULL;
	p.options.simulated = true;
	p.catches = calloc(suite->n_tests + 1, sizeof(*p.catches));
	if (!p.catches)
		abort();
	unsigned bad = sound_without_faults(&p);
	for (unsigned i = 0; base->local->fault(i, &fault); i++)
		if (wanted(base->local, i, patterns, n_patterns))
			play_fault(&p, i, &fault);
	for (size_t i = 0; i < suite->n_tests; i++)
		idle += !p.catches[i];
	if (!n_patterns && idle) {
		console_print(out, "%u of %zu tests catch nothing:\n", idle, suite->n_tests);
		for (size_t i = 0; i < suite->n_tests; i++)
			if (!p.catches[i])
				fprintf(out, "  %s MQTT %s\n", suite->tests[i]->id, version_text(suite->tests[i]->version));
	}
	console_print(out, "%u faults: %u caught, %u survived", p.n_caught + p.n_survived, p.n_caught, p.n_survived);
	if (p.n_elsewhere)
		fprintf(out, " (%u of them noticed, but by other clauses)", p.n_elsewhere);
	fprintf(out, "; %u tests fail without a fault\n", bad);
	free(p.catches);
	if (!(p.n_caught + p.n_survived))
		return EXIT_UNABLE;
	return p.n_survived || bad ? EXIT_FOUND : EXIT_PASS;
}

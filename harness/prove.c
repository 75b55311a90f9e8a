#include "harness/prove.h"

#include <stdlib.h>
#include <string.h>

#include "harness/cli.h"
#include "harness/console.h"
#include "harness/embedded.h"
#include "harness/report.h"

enum { SHOWN_TESTS = 3 };

struct proof {
	const struct suite *suite;
	struct conduct_options options;
	bool *catches;			/* per test of the suite: it caught some fault */
	unsigned n_caught, n_survived, n_elsewhere;
	uint64_t kinds[LOCAL_MAX_FAULTS];	/* which clause, caught by which tests: faults that agree in both count once */
	unsigned n_kinds;
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

static uint64_t mix(uint64_t hash, const void *bytes, size_t len)	/* FNV-1a */
{
	const uint8_t *at = bytes;

	while (len--)
		hash = (hash ^ *at++) * UINT64_C(0x100000001b3);
	return hash;
}

static void count_kind(struct proof *p, uint64_t kind)
{
	for (unsigned i = 0; i < p->n_kinds; i++)
		if (p->kinds[i] == kind)
			return;
	if (p->n_kinds < LOCAL_MAX_FAULTS)
		p->kinds[p->n_kinds++] = kind;
}

static void play_fault(struct proof *p, unsigned number, const struct local_fault *fault)
{
	struct conducted done;
	const char *shown[SHOWN_TESTS];
	unsigned n = 0, others = 0;
	uint64_t kind = mix(UINT64_C(0xcbf29ce484222325), fault->rule, strlen(fault->rule));
	char name[160];

	snprintf(name, sizeof(name), "%s%s%s", fault->rule, fault->name[0] ? "/" : "", fault->name);
	p->options.faults = &number;
	p->options.n_faults = 1;
	console_progress("%s", name);
	conduct(p->suite, &p->options, &done);
	if (done.unable[0])
		console_print(p->out, "with %s the run could not go on: %s\n", name, done.unable);
	for (size_t i = 0; i < done.n; i++) {
		const struct outcome *o = &done.outcomes[i];

		if (caught_by(o, fault->rule)) {
			if (n < SHOWN_TESTS)
				shown[n] = o->script->id;
			n++;
			kind = mix(kind, &i, sizeof(i));
			p->catches[i] = true;
		} else if (o->result.verdict == VERDICT_FAIL || o->result.verdict == VERDICT_WARN) {
			others++;
			p->catches[i] = true;
		}
	}
	if (n) {
		p->n_caught++;
		count_kind(p, kind);
	} else {
		p->n_survived++;
	}
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
		unsigned numbers[LOCAL_MAX_FAULTS];
		int found = local->faults_named(patterns[i], numbers, LOCAL_MAX_FAULTS);

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

/* ---- tests that catch nothing: each has its reason in clauses/uncaught.tsv ---- */

struct excuse {
	struct span version, test, why;
};

static struct span cut(struct span *rest, char separator)
{
	const uint8_t *at = rest->len ? memchr(rest->at, separator, rest->len) : NULL;
	struct span part = { rest->at, at ? (size_t)(at - rest->at) : rest->len };

	*rest = span_of(rest->at + part.len + (at != NULL), rest->len - part.len - (at != NULL));
	return part;
}

static bool next_excuse(struct span *rest, struct excuse *excuse)
{
	struct span line = cut(rest, '\n');

	excuse->version = cut(&line, '\t');
	excuse->test = cut(&line, '\t');
	excuse->why = line;
	return excuse->test.len != 0;
}

static struct span excuses(void)
{
	for (const struct embedded *e = embedded; e->name; e++)
		if (!strcmp(e->name, "scenarios/clauses/uncaught.tsv")) {
			struct span text = span_of(e->start, (size_t)(e->end - e->start));

			cut(&text, '\n');	/* the header */
			return text;
		}
	return (struct span){ 0 };
}

static bool excuse_of(const struct script *script, struct excuse *excuse)
{
	struct span rest = excuses();

	while (next_excuse(&rest, excuse))
		if (span_is(excuse->version, version_text(script->version)) && span_is(excuse->test, script->id))
			return true;
	return false;
}

/* Names the tests that caught no fault. Returns how many have no reason for it, or have one and did catch something. */
static unsigned tell_idle(const struct proof *p)
{
	unsigned wrong = 0;

	for (size_t i = 0; i < p->suite->n_tests; i++) {
		const struct script *script = p->suite->tests[i];
		struct excuse excuse;
		bool excused = excuse_of(script, &excuse);

		if (excused && p->catches[i])
			console_print(p->out, "%s MQTT %s catches something; take it out of clauses/uncaught.tsv\n", script->id, version_text(script->version));
		else if (excused)
			console_print(p->out, "catches nothing, with a reason: %s MQTT %s: %.*s\n", script->id, version_text(script->version),
			              (int)excuse.why.len, (const char *)excuse.why.at);
		else if (!p->catches[i])
			console_print(p->out, "CATCHES NOTHING: %s MQTT %s\n", script->id, version_text(script->version));
		wrong += excused == p->catches[i];
	}
	return wrong;
}

int prove(const struct suite *suite, const struct conduct_options *base, const char *const *patterns, size_t n_patterns,
          FILE *out, bool verbose)
{
	struct proof p = { .suite = suite, .options = *base, .out = out, .verbose = verbose };
	struct local_fault fault;

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
	unsigned idle = n_patterns ? 0 : tell_idle(&p);
	console_print(out, "%u faults: %u caught, %u survived", p.n_caught + p.n_survived, p.n_caught, p.n_survived);
	if (p.n_elsewhere)
		fprintf(out, " (%u of them noticed, but by other clauses)", p.n_elsewhere);
	fprintf(out, "; %u clauses and sets of tests that catch their faults\n%zu tests: %u fail without a fault", p.n_kinds, suite->n_tests, bad);
	if (!n_patterns)
		fprintf(out, ", %u catch nothing without a reason", idle);
	fprintf(out, "\n");
	free(p.catches);
	if (!(p.n_caught + p.n_survived))
		return EXIT_UNABLE;
	return p.n_survived || bad || idle ? EXIT_FOUND : EXIT_PASS;
}

#include "harness/parse.h"

/*
 * Findings: what a fuzzer sent, and the steps by which it shows. Most of what others are checked for has no place here: a stimulus is often
 * illegal, out of place, and sent on connections that are gone.
 */

bool not_in_finding(struct parser *p, const struct token *word)
{
	static const struct { const char *word, *why; } lines[] = {
		{ "cites", "a finding cites nothing: it shows by `target lives`, by what an actor is to receive, or by a rule that it `watches`" },
		{ "case", "a finding is one course of events; write a file for each" },
		{ "param", "a finding has no parameters: each value stands in it" },
		{ "alone", "a finding is played by itself; take `alone` out" },
		{ "bulk", "a finding is played by itself; take `bulk` out" },
		{ "warn", "a finding shows or does not; take `warn` out, or say it by `note`" },
		{ "skip", "a finding is played to its end; take `skip` out" },
		{ "unordered", "`unordered` does not stand in a finding, whose steps are one after the other" },
		{ "either", "`either` does not stand in a finding, whose steps are one after the other" },
		{ "maybe", "`maybe` does not stand in a finding: what is not judged need not be taken" },
	};

	if (ahead(p, 1)->kind == TOKEN_SEND || ahead(p, 1)->kind == TOKEN_TAKE)
		return false;
	for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
		if (token_word(word, lines[i].word)) {
			fail_at(p, place_of(word), "%s", lines[i].why);
			return true;
		}
	return false;
}

/* ---- the script ---- */

static bool judges(const struct step *s)
{
	return s->kind == STEP_EXPECT || s->kind == STEP_RECEIVES || s->kind == STEP_CLOSED || s->kind == STEP_NOTHING ||
	       s->kind == STEP_TARGET_LIVES || (s->kind >= STEP_CONNECTS && s->kind <= STEP_DISCONNECTS && s->n_matches);
}

static uint32_t openers(const struct step *s)
{
	uint32_t actors = 0;

	for (; s; s = s->next) {
		if (s->kind == STEP_OPENS || s->kind == STEP_CONNECTS || (s->kind == STEP_SEND && s->type == CONNECT))
			actors |= s->actors;
		actors |= openers(s->children);
	}
	return actors;
}

/* How many steps judge; one whose actor has no connection at any time is a slip of the pen. */
static uint32_t check_judges(struct parser *p, const struct step *s, uint32_t open)
{
	uint32_t n = 0;

	for (; s; s = s->next) {
		n += judges(s) + check_judges(p, s->children, open);
		for (uint32_t i = 0; judges(s) && i < p->n_actors; i++)
			if (s->actors & ~open & 1u << i) {
				struct nearest nearest = { .word = span_text(p->actors[i].name) };

				for (uint32_t k = 0; k < p->n_actors; k++)
					if (open & 1u << k)
						nearest_try(&nearest, p->actors[k].name);
				fail_at(p, s->at, "`%s` never has a connection; `%s connects`, `%s opens` or a CONNECT opens one%s", p->actors[i].name,
				        p->actors[i].name, p->actors[i].name, did_you_mean(&nearest));
			}
	}
	return n;
}

static bool spoken(const struct parser *p, unsigned version)
{
	for (uint32_t i = 0; i <= p->n_actors; i++) {
		unsigned own = i < p->n_actors ? p->actors[i].version : p->version;

		if (own == version || (own == MQTT_3_1 && version == MQTT_3_1_1))
			return true;
	}
	return false;
}

uint32_t finding_watches(struct parser *p, const char **ids, uint8_t *versions)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < p->n_watches; i++) {
		if (!spoken(p, p->watches[i].version))
			continue;
		p->watches[i].marked = true;
		if (n == MAX_CITES) {
			fail_at(p, p->watches[i].at, "more than %d clauses are watched", MAX_CITES);
			break;
		}
		versions[n] = p->watches[i].version;
		ids[n++] = p->watches[i].id;
	}
	return n;
}

void check_watches(struct parser *p)
{
	for (uint32_t i = 0; i < p->n_watches; i++)
		if (!p->watches[i].marked)
			fail_at(p, p->watches[i].at, "nobody speaks %s here; put it into the `mqtt` line, or give the version to an actor, `actor a mqtt=%s`",
			        version_name(p->watches[i].version), version_name(p->watches[i].version));
}

void check_finding(struct parser *p, const struct step *steps)
{
	struct place at = place_of(&p->all.at[0]);

	if (p->failed)
		return;
	if (!steps)
		fail_at(p, at, "there are no steps");
	else if (!check_judges(p, steps, openers(steps)) && !p->n_watches)
		fail_at(p, at, "nothing tells whether it shows; end with `target lives`, or name the broken rule by `watches VERSION CLAUSE`");
}

#include "harness/conduct_internal.h"

#include <stdio.h>

#include "harness/child.h"

/* Findings: each repetition on a target as new, where it can be made so; its death is what some of them are about. */

enum {
	MOST_RESTARTS = 10,		/* beside one for each repetition */
	GRACE_NS = 500000000,		/* between SIGTERM and SIGKILL */
};

void conductor_health(void *context, bool usage, struct health *h)
{
	struct conductor *c = context;
	char said[CHILD_OUTPUT + 1];
	const struct child *child;

	*h = (struct health){ 0 };
	if (!c->process) {
		h->lives = usage_of((struct subject){ (pid_t)c->o->pid, false }, &h->usage) && h->usage.began == c->pid_began;
		snprintf(h->how, sizeof(h->how), "%s", h->lives ? "" : "ended");
		return;
	}
	child = process_child(c->process);
	h->lives = child->runs;
	if (child->runs && usage)
		usage_of((struct subject){ child->pid, true }, &h->usage);
	if (!h->lives)
		snprintf(h->how, sizeof(h->how), "%s", c->end);
	health_find_report(said, child_output(child, 0, said, sizeof(said)), h->sanitizer, sizeof(h->sanitizer));
}

static void begin_anew(struct conductor *c)
{
	c->served = false;
	if (c->done->restarts++ < c->n_jobs + MOST_RESTARTS)
		process_restart(c->process);
	else
		conductor_unable(c, "the target ends again and again");
}

void finding_ended(struct conductor *c, struct job *job)
{
	job_tell(c, job);
	if (c->stopped || c->n_verdicts == c->n_jobs)
		return;
	if (c->process) {
		c->waiting = true;
		if (process_lives(c->process, NULL))
			process_end(c->process, GRACE_NS);	/* finding_process() follows */
		else
			begin_anew(c);
	} else {
		target_check(c);
	}
}

void finding_process(struct conductor *c, enum process_event event, const char *how)
{
	static const char outside[] = "was killed from outside";
	bool by_others = event == PROCESS_KILLED && !strncmp(how, outside, sizeof(outside) - 1);

	snprintf(c->end, sizeof(c->end), "%s", how);
	target_probe_drop(c, c->instances);
	if (c->n_running) {		/* it learns of it when it asks */
		if (by_others)
			timeline_abort(c->running[0]->timeline, VERDICT_INCONCLUSIVE, how);
		return;
	}
	if (!c->stopped) {
		c->waiting = true;
		begin_anew(c);
	}
}

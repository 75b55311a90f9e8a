#ifndef HARNESS_CONDUCT_INTERNAL_H
#define HARNESS_CONDUCT_INTERNAL_H

#include "harness/cleanup.h"
#include "harness/conduct.h"
#include "harness/process.h"

/* The inside of a conductor, shared by conduct*.c and by nobody else. */

/* A target as tests with the same needs see it: the one that was named, or a built-in broker started for them. */
struct instance {
	struct instance *next;
	struct conductor *conductor;
	const struct need *needs;
	size_t n_needs;
	struct address address, ways[N_WAYS];
	unsigned reached;		/* which of the ways there are, bits */
	struct stage stage, patient;	/* patient: for repeated failures */
	struct offers offers;
	struct probe *probe;
	void *broker;			/* a local one */
	bool probing, ready;
};

enum turn { TURN_TOGETHER, TURN_ALONE, TURN_BULK, TURN_SUSPECT, TURN_REPLAY, N_TURNS };

struct job {
	struct job *next;
	struct conductor *conductor;
	struct outcome *outcome;
	struct instance *instance;
	struct timeline *timeline;
	bool suspect;			/* in flight when the target died */
	bool accused;			/* the only one in flight when it died: twice makes it the cause */
	bool deadly;			/* a suspect that on_gone() ends, for the target died of it, as it seems */
	bool replay;
	uint64_t settles_ns;		/* of one that has ended: when its verdict stands, unless the target dies before */
};

struct queue {
	struct job *first, **last;
};

struct conductor {
	const struct conduct_options *o;
	struct conducted *done;
	unsigned versions;		/* that the tests speak, bits */
	struct methods methods;		/* that they need, of a target that is not built in */
	struct loop loop;
	struct instance *instances;
	struct queue queue[N_TURNS], ended;
	struct job *jobs;
	size_t n_jobs, n_verdicts;
	struct job **running;
	unsigned n_running, n_probing;
	bool exclusive, waiting, stopped;
	bool refused;			/* one of `ended` could not connect: to begin others now would be in vain */
	struct task pump;
	struct timer quiet;		/* when a replay that only waits lets the next one begin */
	struct timer settle;		/* when the oldest of `ended` gets its verdict */
	struct timer gone;		/* when a probe counts whose connections were cut: no death was told */
	struct cleaner cleaner;
	struct process *process;	/* an exec target, or NULL */
	uint64_t names;			/* distinguish this run's topics and ids from any other's */
	unsigned n_names;
	struct arena scratch;
	uint8_t *packet;
	unsigned n_suspects;		/* of the last death */
	struct job *stalled;		/* a suspect that has ended, while it is asked whether anybody is there still */
	unsigned n_dying;		/* waits for the death of who listens no more */
	unsigned n_stalls;		/* suspects in a row that stalled again */
	bool killer_found;
	bool served;			/* this start of the target: a probe found it well */
	char death[300], end[900];	/* how it ended last; of findings in full */
	uint64_t pid_began;		/* of the process that --pid names */
};

/* conduct_jobs.c */
void job_append(struct queue *q, struct job *job);
void job_enqueue(struct conductor *c, enum turn turn, struct job *job);
void job_push_front(struct conductor *c, enum turn turn, struct job *job);
struct job *job_take_first(struct queue *q);
struct job *job_dequeue(struct conductor *c, enum turn turn);
void job_tell(struct conductor *c, struct job *job);			/* its verdict stands */
void job_forget(struct conductor *c, struct job *job);			/* what its last try came to, but not what its failure before came to */
void job_skip(struct conductor *c, struct job *job, const char *why);
void job_settle(struct conductor *c, struct job *job);			/* it has ended: its verdict stands, or it is played again */
void job_conclude(struct conductor *c, struct job *job);		/* the same, where the target is known to serve, or given up */
void conductor_name(struct conductor *c, char name[24]);		/* one that no other run, and no other test of this one, has */
void conductor_unable(struct conductor *c, const char *why);		/* ends the run */

/* conduct_finding.c */
void conductor_health(void *context, bool usage, struct health *health);	/* as stage.target_health */
void finding_ended(struct conductor *c, struct job *job);
void finding_process(struct conductor *c, enum process_event event, const char *how);	/* its process has ended */

/* conduct_target.c */
void target_probe(struct conductor *c, struct instance *in);
void target_probe_drop(struct conductor *c, struct instance *in);	/* its answer is not wanted any more */
void target_on_gone(struct timer *timer, struct loop *loop);
void target_check(struct conductor *c);		/* a connection was refused or nothing answers: is anybody there? */
void target_on_process(void *context, enum process_event event, const char *how);
void target_on_settle(struct timer *timer, struct loop *loop);
void target_settle_all(struct conductor *c);
void target_hold(struct conductor *c, struct job *job);	/* its verdict waits: the target may have died of it */
void target_accuse(struct conductor *c, struct job *job, const char *how);	/* it died while the suspect was played alone */
void target_acquit(struct conductor *c, struct job *job);	/* an accused test has ended, and it lives */

#endif

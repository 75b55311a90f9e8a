#ifndef HARNESS_CONDUCT_H
#define HARNESS_CONDUCT_H

#include "harness/local.h"
#include "harness/probe.h"
#include "harness/suite.h"

/*
 * Conducting: plays chosen tests against one target, side by side where they allow it, and
 * comes to a verdict for each by the rules of a conformance run: failures are played once more
 * alone, a target that dies is restarted and the tests in flight are repeated one at a time.
 */
struct outcome {
	const struct script *script;
	unsigned repetition;		/* from 0, with repeat > 1 */
	struct result result;
	bool played;			/* false: skipped before it began, or never come to */
	const char *known_reason, *known_at;	/* of the row of --known that it fits, "FILE:LINE"; NULL: none */
};

struct conduct_options {
	const char *label;		/* of the target, for reports */
	unsigned versions;		/* bits */
	uint64_t timeout_ns;
	double slack;
	uint64_t timer_tolerance_ns;	/* as in struct stage */
	size_t split;			/* as in conn_limits */
	unsigned jobs, repeat;
	uint64_t seed;
	bool simulated;			/* time; only with a local target */
	bool replay_failures, transcripts;
	const char *user_name, *password;	/* NULL for none */
	bool masks_all;			/* as in conn_limits: passwords are the scenario's own */
	bool secrets;			/* the password may be seen in what tap and recorder make */
	bool denies_publish, denies_subscribe;	/* as in struct stage */
	struct tap *tap;		/* sees every connection; NULL for none */
	struct recorder *recorder;	/* records each test that does not pass; NULL: nothing is recorded */
	const struct absent *without;
	size_t n_without;

	/* The target: one of these. */
	const struct address *address;
	enum way way;			/* over which one that we start ourselves is played against */
	struct tls_context *tls;	/* for TLS with one that a command starts; NULL: none is spoken */
	const struct address *also;	/* other ways to it, for actors that ask for one */
	size_t n_also;
	const struct local_broker *local;
	int pid;			/* of the target's process, where address names one of this machine; 0: not known */
	bool findings;			/* the tests are: one after the other, each on a target as new where a command starts it */
	bool configured;		/* the local one is the same for all tests, rather than one for each set of needs */
	const unsigned *faults;		/* that a local target commits */
	size_t n_faults;
	const char *exec;		/* a command that starts one */
	uint64_t start_timeout_ns;

	/* After each verdict; outcome->result may still change when a failure is repeated, and is told again. May be NULL. */
	void (*progress)(void *context, const struct outcome *outcome, size_t done, size_t all);
	void *context;
};

struct conducted {
	struct outcome *outcomes;	/* in the order of the suite, repetitions of a test side by side */
	size_t n;
	unsigned restarts;		/* of an exec target */
	char unable[400];		/* why the run could not begin or go on; empty when it could. One line */
	char survives[400];		/* the target died and no single test made it die again; empty otherwise */
	uint64_t wall_ns, simulated_ns;
	struct offers offers;		/* what the probe found; of built-in brokers, in the one that no test asked to offer less or more */
};

/* 0, or EXIT_UNABLE with conducted->unable. The outcomes come in either case. Release what it wrote. */
int conduct(const struct suite *suite, const struct conduct_options *options, struct conducted *conducted);
void conducted_release(struct conducted *conducted);

#endif

#ifndef HARNESS_LOCAL_H
#define HARNESS_LOCAL_H

#include "harness/script.h"
#include "harness/transport.h"

/*
 * The target in this very process, behind in-memory pipes: what the composition root
 * hands to whoever plays against the reference broker. The harness knows it by this shape only.
 */
struct local_fault {
	const char *rule, *name, *breaks;	/* "5:MQTT-3.3.1-2", "late", what it then does */
};

struct local_broker {
	/*
	 * Starts one that offers what all the needs ask, committing the faults (by number). NULL: some need
	 * cannot be met, *why (static) says which. *service takes connections until stop().
	 */
	void *(*start)(struct loop *loop, const struct need *needs, size_t n_needs, const unsigned *faults, size_t n_faults,
	               uint64_t seed, struct service **service, const char **why);
	void (*stop)(void *broker);
	bool (*fault)(size_t number, struct local_fault *fault);	/* false behind the last */
	/* Numbers of the faults that "RULE[/NAME]" names, at most cap of them written. How many, 0: none, -1: names a version too few. */
	int (*faults_named)(const char *text, unsigned *numbers, size_t cap);
};

#endif

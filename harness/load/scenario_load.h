#ifndef LOAD_SCENARIO_LOAD_H
#define LOAD_SCENARIO_LOAD_H

#include "harness/load/control.h"
#include "harness/suite.h"

/*
 * The scenarios of `conform` as a load: so many clients play them at once, each one test after the other and again
 * from the beginning, until the time is over. A role is a scenario, its `play` timing is what a whole test took, and
 * what failed is a reason.
 *
 * What it is not: a test's messages are not accounted for one by one (the test judges them itself), its steps have no
 * schedule (a client begins anew when it is through), and each client costs what a test of `conform` costs, some
 * hundred kilobytes at worst: it is for hundreds or thousands of clients, not for tens of thousands. A test that says
 * `alone` is left out, and so is one whose needs the target does not meet.
 */
struct scenario_load_options {
	struct loop *loop;			/* the control thread's; under a simulated clock all clients are on it */
	const struct suite *suite;		/* its chosen tests */
	const struct address *address;
	const char *user_name, *password;	/* NULL: none */
	unsigned clients, threads;
	uint64_t for_ns, timeout_ns, seed;	/* for_ns 0: each test once by some client */
	int broker_pid;
	const char *const *died;
	bool leave;
	void (*tick)(void *context, const struct figures *so_far);
	void *context;
};

/* As run_load(). */
bool scenario_load(const struct scenario_load_options *options, struct figures *figures);

#endif

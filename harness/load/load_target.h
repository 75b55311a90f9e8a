#ifndef LOAD_LOAD_TARGET_H
#define LOAD_LOAD_TARGET_H

#include "harness/local.h"
#include "harness/process.h"
#include "harness/transport.h"

/* Whom a load is played against: a TARGET, a broker that --exec starts, or the built-in one on simulated time. */
struct load_target {
	char label[300];
	struct address address;
	const char *user_name, *password;	/* NULL: none */
	bool simulated;
	/* ours */
	struct loop *loop;
	struct process *process;
	const struct local_broker *local;
	void *broker;
	enum { TARGET_STARTS, TARGET_SERVES, TARGET_NOT } state;
	char how[400];
	const char *died;			/* how a broker that we started ended; NULL while it lives */
};

/* The built-in broker; before the command runs. */
void load_use(const struct local_broker *broker);

/*
 * By the command line: url NULL and no --exec is the built-in broker. Says whether it is to be simulated, so that a
 * loop can be made. 0, or an exit code after one line on stderr.
 */
int load_target_choose(struct load_target *t, const char *url);

/* Starts what has to be started, for these needs of a workload. 0, or an exit code after one line on stderr. */
int load_target_open(struct load_target *t, struct loop *loop, const struct need *needs, size_t n_needs);
void load_target_close(struct load_target *t);

#endif

#ifndef HARNESS_PROCESS_H
#define HARNESS_PROCESS_H

#include "codec/span.h"
#include "harness/transport.h"

/*
 * A target that we start ourselves (--exec): a command, run in its own process group, that serves once it
 * answers a CONNECT. What becomes of it is told as events; who listens decides about restarting.
 */
struct process;
struct child;

enum process_event {
	PROCESS_READY,			/* it answers */
	PROCESS_STARTED_NOT,		/* it ended, or did not answer, before it ever served: `how` says which */
	PROCESS_DIED,			/* by itself, or by process_kill() */
	PROCESS_KILLED,			/* from outside: SIGTERM, SIGINT, SIGKILL; or it was asked to, by process_end() */
};

/* Where the command is to speak these layers: on the port of {port}, {tls_port} or {ws_port}. False: it does not name that port. */
bool process_way(const struct process *process, enum way way, struct address *address);

/*
 * Given. It is asked over the layers that *address has, with the credentials (borrowed; .at NULL for none), in one version after another. Who closes without
 * a word may not speak that version, or not be up yet, and is asked until the time is over; then it counts as READY,
 * and what it does with a CONNECT is its listener's to find out. *address becomes where it will serve. `how` is one
 * line, with its exit status or signal and last words; borrowed.
 */
struct process *process_new(struct loop *loop, const char *command, uint64_t start_timeout_ns, struct span user_name,
                            struct span password, struct address *address,
                            void (*event)(void *context, enum process_event event, const char *how), void *context);
void process_start(struct process *process);
void process_restart(struct process *process);		/* after it has ended; PROCESS_READY follows */
void process_kill(struct process *process, const char *why);	/* it hangs: PROCESS_DIED follows, and its `how` says why */
void process_end(struct process *process, uint64_t grace_ns);	/* SIGTERM, and SIGKILL when that is over; PROCESS_KILLED follows. Harmless when it has ended */
struct child *process_child(struct process *process);	/* its environment, how it ended, and all that it said */
bool process_lives(void *process, uint64_t *rss);	/* rss: bytes resident in the whole group, 0 unknown; NULL: not asked, it takes ms */
bool process_listens(const struct process *process);	/* false: its port refuses connections; opens one to see */
void process_free(struct process *process);		/* ends the whole group; harmless with NULL */

#endif

#ifndef HARNESS_CHILD_H
#define HARNESS_CHILD_H

#include <sys/types.h>

#include "codec/fault.h"
#include "harness/free_port.h"
#include "harness/loop.h"

#define CHILD_OUTPUT 4096	/* that is kept, unless child_keep() asks for more */

/*
 * --exec 'CMD': a broker under test that we start, watch, restart and end. CMD is run by /bin/sh -c in a process group
 * of its own, on the loop of a real clock. In CMD {port}, {tls_port} and {ws_port} are free ports, the same at
 * every start, {dir} a fresh folder that child_release() removes with all that is in it, {{ a brace.
 * Whatever way we end ourselves, SIGKILL included, the whole group is killed and the folder removed.
 */
struct child {
	unsigned port, tls_port, ws_port;
	char dir[64];			/* "" when CMD does not name it */
	unsigned n_starts;
	bool runs;

	/* How it ended, when `ended` is called. */
	bool asked;			/* by child_stop() */
	bool outside;			/* by SIGTERM, SIGINT or SIGKILL from elsewhere, or in order (exit status 0, as brokers
					 * do on SIGTERM): says nothing about the broker */
	int exit_status;		/* -1: by a signal */
	int signal;			/* 0: by itself; a shell that reports 128+N for its child is taken at its word */

	/* ours */
	struct free_port ports[3];	/* held until child_release() */
	struct loop *loop;
	char *command;			/* filled in */
	void (*ended)(struct child *child, void *context);
	void *context;
	pid_t pid;			/* leader of the group; 0 when there is none */
	pid_t guard;			/* kills the group when we are gone */
	int guard_pipe;
	struct watch death, output;
	struct timer poll;		/* where there is no pidfd; and while the group is ending */
	uint64_t kill_at_ns;		/* while stopping */
	bool stopping, leader_gone;
	char **environment;		/* NULL: ours */
	char *ring;			/* the last it wrote to stdout and stderr */
	size_t kept;			/* its size */
	size_t n_written;		/* since the last start */
};

/*
 * Prepares, starts nothing. False: fault->text says why. ended() is called from the loop whenever the child has
 * ended, by itself or by child_stop(), and nothing of its group is left; child_start() is allowed in it.
 */
bool child_init(struct child *child, struct loop *loop, const char *command,
                void (*ended)(struct child *child, void *context), void *context, struct fault *fault);

/* Before the first start: that much of its output is kept. */
void child_keep(struct child *child, size_t bytes);

/* Before a start: it gets our environment with `name` set to value. */
void child_environment(struct child *child, const char *name, const char *value);

/* While it does not run: whatever is in {dir} is removed, so that the next start finds it as the first did. */
void child_empty_dir(struct child *child);

/* Only while it does not run. 0 or negative errno; that CMD itself cannot be run is told by ended(), exit status 127. */
int child_start(struct child *child);

/* SIGTERM to the group, SIGKILL to what is left of it after grace_ns; ended() follows. Harmless when nothing runs. */
void child_stop(struct child *child, uint64_t grace_ns);

/* Ends what runs with SIGKILL, waits for it, removes the folder. No ended(). */
void child_release(struct child *child);

/* "exited with 3", "died of signal 11 (Segmentation fault)", "was killed from outside by SIGTERM"; returns buf. */
char *child_how(const struct child *child, char *buf, size_t cap);

/*
 * The last n_lines it wrote since its last start (0: all that is kept), without the last newline, as bytes: escape
 * them. At most cap - 1, from the end; terminated. Returns their length.
 */
size_t child_output(const struct child *child, unsigned n_lines, char *buf, size_t cap);

/*
 * What it wrote since its last start behind the first `from` bytes, as far as it is kept and cap allows: the oldest of it. *from is moved behind what is told. Its length; not terminated.
 */
size_t child_output_since(const struct child *child, size_t *from, char *buf, size_t cap);

#endif

#ifndef LOAD_CONTROL_H
#define LOAD_CONTROL_H

#include "harness/load/engine.h"
#include "harness/load/figures.h"
#include "harness/local.h"
#include "harness/target.h"

/*
 * What stands around the engines: preflight, calibration, threads, the clock that everybody starts by, what the
 * processes cost, progress, signals, and what is made of it in the end.
 */

/* ---- preflight.c: what the machine must have, computed before the first SYN ---- */

struct demand {				/* of one run in this process */
	uint64_t clients;		/* connections at once */
	bool tls, websocket, loopback;
	size_t n_sources;		/* 0: the kernel chooses, one */
	uint64_t streams;		/* about so many publishers with a topic of their own */
	const struct address *address;
};

struct shortage {
	bool fatal;			/* else a warning */
	char text[400];			/* "20,000 clients need 20,040 file descriptors; 1,024 are allowed: `ulimit -n 20040`, as root or with a hard limit that allows it" */
};

/*
 * Raises the soft limit of descriptors as far as the hard one allows first. How many were written, at most cap: fatal
 * ones first. root: "" is the machine's; tests have a folder of their own with proc/sys/... in it.
 */
size_t preflight(const struct demand *demand, const char *root, struct shortage *shortages, size_t cap);

/* ---- cost.c: CPU of a process ---- */

struct cost {				/* of a process and its children */
	uint64_t cpu_ns, rss_bytes, anon_bytes;	/* RssAnon */
};
bool cost_of(int pid, struct cost *cost);			/* false: it is gone, or not ours to see */
uint64_t cost_of_thread_ns(void);				/* CLOCK_THREAD_CPUTIME_ID */
/*
 * The process that listens where the target is, when that is on this machine (/proc/net/tcp, unix): its pid and name;
 * 0: unknown. Its container or shell does not count: the one that has the socket.
 */
int cost_find_listener(const struct address *address, char *name, size_t cap);

/* ---- sink.c: a broker that takes everything and routes nothing ---- */

/*
 * The fastest that any broker could be: CONNECT, SUBSCRIBE, UNSUBSCRIBE, PINGREQ and PUBLISH of every QoS are
 * answered at once, many answers in one write, nothing is kept or routed. To calibrate the tool, and for benchmarks:
 * it counts by itself. What cannot be read, and packets other than PUBLISH of more than 64 kB, end a connection;
 * rules beyond that are not its matter.
 *
 * flood: to each client that subscribes, PUBLISHes of that many bytes on a topic that its first filter matches, as
 * fast as it takes them; with QoS 1 and 2 at most 1000 unacknowledged, or its Receive Maximum. reflect: what a
 * subscriber publishes comes back to it, whatever its filters, with QoS 0, if it has no more than 64 kB.
 */
struct sink_options {
	struct address listen;		/* port 0: any; ADDRESS_MEMORY: nowhere, sink_take() hands connections over */
	size_t flood;			/* payload bytes; 0: none */
	unsigned flood_qos;		/* at most; less where less was asked for */
	uint64_t flood_each;		/* messages to each subscriber; 0: without end */
	bool reflect;
};
struct sink_counts {
	uint64_t connects, publishes[3], publish_bytes;	/* received whole, by QoS; bytes of whole packets */
	uint64_t subscribes, pings;	/* filters; PINGREQs */
	uint64_t acks;			/* PUBACK, PUBREC, PUBREL and PUBCOMP that came */
	uint64_t sent;			/* PUBLISHes given to be sent */
	uint64_t closed;		/* connections that have ended */
};
struct sink;
struct sink *sink_new(struct loop *loop, const struct sink_options *options, struct fault *fault);	/* NULL: *fault */
unsigned sink_port(const struct sink *sink);
void sink_take(struct sink *sink, struct transport *accepted);		/* as if it had come by the listener */
const struct sink_counts *sink_counts(const struct sink *sink);
void sink_free(struct sink *sink);		/* and all its connections; what it was lives until loop_settle() */

/* ---- calibrate.c ---- */

/*
 * Plays a second of PUBLISHes of that QoS and size through an engine of one thread against a sink in a process of its
 * own on loopback. False: *fault.
 */
bool calibrate(unsigned qos, size_t payload, struct figures_calibration *calibration, struct fault *fault);

/* ---- run.c ---- */

struct run_options {
	struct loop *loop;			/* the control thread's; under a simulated clock that of the engines, too */
	struct plan *plan;
	const struct address *address;		/* of the target; in memory under a simulated clock */
	const struct source *sources;
	size_t n_sources;
	unsigned threads, max_pending;
	uint64_t start_at_unix_ns;		/* 0: now */
	int broker_pid;				/* whose CPU is the broker's; 0: found by where it listens, when that is here */
	const char *const *died;		/* *died: how the broker that we started died, NULL while it lives. NULL: we started none */
	bool leave;				/* sessions and retained messages stay in the broker */
	void (*tick)(void *context, const struct figures *so_far);	/* each second, with what is known: progress, metrics. NULL */
	void *context;
};

/*
 * Plays it to its end. Fills in all that it knows of *figures: what it was called by (workload, title, target, mqtt,
 * version, command) is the caller's. True: played, whatever came of it. False: figures->unable says why not.
 */
bool run_load(const struct run_options *options, struct figures *figures);

/* Of a signal's handler: the first ends the loops of the run that is on, and it drains; the second ends it at once. */
void run_interrupt(void);
bool run_interrupted(void);

/* ---- progress.c, metrics.c: for tick() ---- */

/* Where a run is that is not over. */
static inline enum phase phase_of(const struct figures *so_far)
{
	return so_far->drain_ns ? PHASE_DRAIN : so_far->steady_ns ? PHASE_STEADY : PHASE_RAMP;
}

struct progress;
struct progress *progress_new(bool quiet);	/* a small table that is drawn anew on a terminal; elsewhere a line every 10 s, on stderr */
void progress_show(struct progress *progress, const struct figures *so_far);
void progress_end(struct progress *progress);

/*
 * Prometheus text over HTTP, GET /metrics, in the control thread's loop: "9100" (on loopback), "HOST:PORT",
 * "[::]:9100"; port 0 is any. NULL: *fault. The loop does not run out of events while it is there.
 */
struct metrics;
struct metrics *metrics_new(struct loop *loop, const char *listen, struct fault *fault);
unsigned metrics_port(const struct metrics *metrics);
void metrics_show(struct metrics *metrics, const struct figures *so_far);	/* what is told from now on; copied as text */
void metrics_free(struct metrics *metrics);	/* what is on its way is cut off; freed by the loop, or loop_settle(). Harmless with NULL */

#endif

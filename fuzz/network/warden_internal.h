#ifndef FUZZ_NETWORK_WARDEN_INTERNAL_H
#define FUZZ_NETWORK_WARDEN_INTERNAL_H

#include "fuzz/network/health.h"
#include "fuzz/network/resources.h"
#include "fuzz/network/sanitizer.h"
#include "fuzz/network/warden.h"
#include "harness/child.h"
#include "harness/process.h"

#define MS UINT64_C(1000000)
#define TICK_NS (20 * MS)

enum {
	MOST_FILES = 64,		/* of reports, that one process and its children have written */
	MOST_KNOWN = 64,		/* reports that benign clients bring about */
	MOST_PENDING = 4,
	KEPT_OUTPUT = 256 << 10,
	WARM_UP_VISITS = 8,		/* at once */
};

/* ---- warden_reports.c: what the sanitizers and the process itself write ---- */

/* Something that grows, and how far it has been read. */
struct source {
	char name[80];			/* of a file in the folder; "" : the output of the command */
	uint64_t changed_ns, began_ns;	/* when it grew last; when an unfinished report was seen first, 0 none */
	size_t size, taken;
	bool there;
};

struct known_report {
	char kind[48], frames[160];
};

struct reports {
	char folder[512];		/* of ours alone, absolute; "": none */
	struct source files[MOST_FILES];
	struct source output;
	char *tail;			/* of the output: from output.taken on */
	size_t tail_len, output_read;
	struct known_report known[MOST_KNOWN];
	unsigned n_known;
};

struct warden;

void reports_init(struct warden *warden, const char *folder);	/* in a folder of its own in there */
void reports_release(struct warden *warden);
void reports_forget(struct warden *warden);		/* those of a process that is gone: the files are removed */
/*
 * Looks at once; found() for each new report that no benign client brings about. over: the process has ended, and what stands there is all there will be. False: some report is still being written.
 */
bool reports_look(struct warden *warden, bool over, void (*found)(struct warden *warden, const struct sanitizer_report *report));
void reports_symptom(const struct sanitizer_report *report, struct symptom *symptom);
void reports_know(struct warden *warden, const struct sanitizer_report *report);

/* ---- warden.c ---- */

/* How long it looks, and lets the target settle. */
struct patience {
	uint64_t warm_up_ns, timed_ns;		/* benign visits before the baseline; those that it is made of: at most */
	uint64_t idle_ns;			/* a look at the CPU time of an idle target */
	uint64_t glance_ns;			/* a short one, by which most are found to be idle */
	uint64_t tidy_ns;			/* CPU time that it may need to tidy up */
	uint64_t settle_ns;			/* before whatever looks wrong is looked at again */
	uint64_t memory_ns;			/* between looks at memory */
	uint64_t late_ns;			/* an exchange that takes less is never late */
	uint64_t stall_ns;			/* who makes others wait for so long, and computes all the while, stalls them; in a trial half of it will do */
};
extern const struct patience warden_patience;

enum state {
	STATE_STARTING,
	STATE_SERVES,
	STATE_ENDED,			/* since we asked */
	STATE_GONE,			/* by itself */
	STATE_TAKEN,			/* by somebody from outside: no symptom */
};

struct warden {
	struct loop *loop;
	struct address address;
	bool (*interrupted)(void);
	struct timer ask;		/* it, while the command starts */
	uint64_t timeout_ns, patience_ns, grows;	/* of an exchange: at present; but in haste */
	bool haste;
	struct patience patience;
	bool (*usage)(struct subject subject, struct usage *usage);	/* usage_of() */
	struct warden_baseline baseline;
	enum state state;
	bool waiting;			/* in a loop of our own: whatever changes stops it */

	/* the process */
	struct process *process;	/* NULL without --exec */
	struct watch pidfd;		/* of --pid; fd -1: none */
	int pid;
	char how[1600];			/* it ended */
	struct symptom death;		/* ORACLE_NONE: it lives, or its end was none */
	struct reports reports;
	struct symptom reported;	/* the last report of this process, and when it was found; 0: none */
	uint64_t reported_ns;
	uint64_t oom_kills;		/* before */
	unsigned restarts;

	/* health */
	struct health health;
	enum health_manner manner[MQTT_5 + 1];
	unsigned turn;			/* versions take turns */
	struct inquiry inquiry;
	bool inquiring;
	struct usage asked;		/* when the inquiry began */
	uint64_t asked_ns;
	struct visit visits[WARM_UP_VISITS];
	uint64_t *took;			/* of the visits of a round */
	size_t n_took, cap_took, n_failed, n_to_start, n_under_way;
	uint64_t visits_until_ns;
	char trouble[300];		/* of the last visit that failed */
	char words[300];		/* its last, before it ended */
	struct timer pause;
	bool paused;

	/* the watch */
	struct timer tick;
	uint64_t every_ns, health_due_ns, rss_due_ns, rss_alarm;
	void (*alarmed)(void *context, const struct symptom *symptom);
	void *context;
	struct symptom pending[MOST_PENDING];
	unsigned n_pending;
};

struct subject warden_subject(const struct warden *warden);
bool warden_interrupted(const struct warden *warden);
void warden_wait(struct warden *warden, bool (*until)(struct warden *warden));
void warden_pause(struct warden *warden, uint64_t for_ns);
void warden_wake(struct warden *warden);

enum version warden_next_version(struct warden *warden);

/* n visits, at_once at a time, until until_ns at the latest; took[] and n_failed say how it went. */
void warden_visits(struct warden *warden, size_t n, size_t at_once, uint64_t until_ns);

/* ---- warden_baseline.c ---- */

bool warden_measure(struct warden *warden, char *why, size_t cap);
int warden_by_size(const void *a, const void *b);	/* of uint64_t, for qsort() */

/* ---- warden_watch.c ---- */

void warden_gone(struct warden *warden);		/* the process has ended by itself: finds out why */
void warden_bring_back(struct warden *warden);
void warden_inquire(struct warden *warden, void (*done)(struct inquiry *inquiry, void *context));
bool warden_stalls(const struct warden *warden, uint64_t for_ns, struct symptom *symptom);	/* nobody is answered since the inquiry began, or was meanwhile */
void warden_hangs(const struct warden *warden, struct symptom *symptom);	/* what the inquiry found */
bool warden_look(struct warden *warden);		/* at the reports; false: some is still being written */
void warden_symptom(struct symptom *symptom, enum oracle oracle, const char *bucket, const char *format, ...) __attribute__((format(printf, 4, 5)));

#endif

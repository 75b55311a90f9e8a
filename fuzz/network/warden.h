#ifndef FUZZ_NETWORK_WARDEN_H
#define FUZZ_NETWORK_WARDEN_H

#include "codec/span.h"
#include "fuzz/network/symptom.h"
#include "harness/loop.h"
#include "harness/target.h"

/*
 * Keeps watch over the target: is it alive, well, as quick, as small and as idle as it was before anybody harmed it? It starts and restarts the process (--exec), or looks at one (--pid), or knows
 * an address only; what cannot be seen then is not judged. No alarm without a baseline of this very target on this machine.
 */
struct warden;

struct warden_options {
	struct loop *loop;
	const char *exec;			/* --exec 'CMD'; NULL */
	int pid;				/* --pid N; 0 */
	struct address address;			/* with exec only its layers, which are spoken at {port}, {tls_port} or {ws_port} */
	struct span user_name, password;
	uint64_t start_timeout_ns, timeout_ns;	/* timeout_ns: after which a target that does not answer hangs */
	uint64_t grows;				/* bytes of resident memory over the baseline that are a symptom once they stay; 0: 64 MiB */
	/*
	 * Where the sanitizers' reports are to go, in a folder of its own that is removed in the end; exists. Of the *SAN_OPTIONS of the command log_path is ours, print_stacktrace=1, handle_abort=1 and quarantine_size_mb=1 and
	 * allocator_release_to_os_interval_ms=500 (so that memory stays flat) are added where the user's environment does not say otherwise.
	 */
	const char *folder;
	bool (*interrupted)(void);		/* asked while it starts: true and it is given up; NULL: never */
};

struct warden_baseline {
	unsigned versions;			/* served, bits 1 << version */
	uint64_t p50_ns, p99_ns, worst_ns;	/* of a valid exchange on a fresh connection: CONNECT, SUBSCRIBE, PUBLISH QoS 1, its delivery, DISCONNECT */
	uint64_t rss, cpu_idle_permille;	/* 0 unknown; of one core while nobody asks anything */
	unsigned denied;			/* bits: versions in which it lets us not publish to ourselves; there PINGREQ is all of the exchange */
	char denied_why[300];			/* "" when none */
	unsigned n_leaks;			/* reports at the end of a benign run: their stacks are no symptom later */
	unsigned n_reports;			/* others that benign clients brought about; neither */
	char cpu[32], server[80];		/* what is known of it, for the report; "" */
};

/*
 * Given. Starts the command if there is one, checks the target's health by valid exchanges in every version, measures the baseline (with a command also: ends it in order, takes its leak
 * reports, starts it again). Runs the loop until that is done. NULL: *why is one line that says what is wrong with the target before a single case was played.
 */
struct warden *warden_new(const struct warden_options *options, char *why, size_t cap);
void warden_free(struct warden *warden);		/* ends the command */
const struct warden_baseline *warden_baseline(const struct warden *warden);
const struct address *warden_address(const struct warden *warden);

/*
 * Watches from now on, in the background: the process, new reports, a health exchange every `every_ns`, and the resources. alarmed() is called from the loop, at most once for each
 * warden_watch(); whoever gets it stops playing and asks warden_check() what remains: that tells a death and a report again, and has the last word about all else. every_ns 0: no more.
 * With ORACLE_NONE somebody has ended the target from outside (SIGTERM, SIGINT, SIGKILL), which is no symptom; it is started again by the next warden_check() or warden_watch(), which run the loop for that.
 */
void warden_watch(struct warden *warden, uint64_t every_ns, void (*alarmed)(void *context, const struct symptom *symptom), void *context);

/*
 * Now, with nobody playing: process, reports, a health exchange, its latency against the baseline, and where `resources` is set, after a pause to settle, memory and idle CPU. Runs the loop until it knows. ORACLE_NONE:
 * it is well, and if it has a text, somebody has ended it from outside. A report is told by one alarm and one check, a death until warden_restart(). Milliseconds without resources, up to a few seconds with. Latency, memory and CPU are confirmed by looking again before they are called a symptom.
 */
void warden_check(struct warden *warden, bool resources, struct symptom *symptom);

/*
 * Now, with clients that are connected and say nothing: memory against rss_before, which is what it took before they came (0: not judged), and CPU. Whoever watches goes on meanwhile. Runs the loop until it knows;
 * a symptom is `held`. ORACLE_NONE: it keeps no more and computes no more for them than it should.
 */
void warden_look_held(struct warden *warden, uint64_t rss_before, struct symptom *symptom);

/* A valid exchange on a fresh connection, now: whether that is stalled by what others have sent. Of trials: half of what makes an alarm will do. */
void warden_look_stalled(struct warden *warden, struct symptom *symptom);

/* Runs the loop for so long. */
void warden_rest(struct warden *warden, uint64_t for_ns);

/* Whether it can be made as new: there is a command. Restarts it, with an empty {dir} (ending the old one in order first where `leaks` is set, so that leaks are reported: a new one is a symptom). What does not come up is started again, twice. False: it does not come up any more; symptom says so. */
bool warden_can_restart(const struct warden *warden);
bool warden_restart(struct warden *warden, bool leaks, struct symptom *symptom);
unsigned warden_restarts(const struct warden *warden);

/* From now on, or no more: trials of what is known to be there ask for less patience than a campaign, which must not cry wolf: who is silent or busy is so sooner. */
void warden_haste(struct warden *warden, bool haste);
uint64_t warden_hasty_ns(const struct warden *warden);	/* who does not answer for so long is silent then */

/* Its process has a sanitizer's shadow, so that its end may bring leak reports: worth ending it in order now and then. */
bool warden_sees_leaks(const struct warden *warden);

uint64_t warden_rss(const struct warden *warden);	/* now; 0 unknown */

#endif

#ifndef HARNESS_PROBE_H
#define HARNESS_PROBE_H

#include "harness/timeline.h"

/*
 * What a target offers, asked before anything is judged: one CONNECT in each version, and a SUBSCRIBE at QoS 2
 * where it is served. A feature is missing only where the standard lets a server say so and it did.
 */
struct offer {
	bool asked, served;
	uint8_t reason;			/* CONNACK's, when one came */
	bool answered;			/* a CONNACK came */
	uint8_t granted;		/* the QoS granted in the probe's SUBACK; 2 where it was not asked */
	uint64_t in_force[64];		/* CONNACK's properties and defaults, by property id */
	bool said[64];			/* the property stood in CONNACK */
	char evidence[200];		/* what came instead of service, or what CONNACK said */
};

enum { MAX_METHODS = 4 };	/* Authentication Methods that are asked about */

struct offers {
	struct offer version[MQTT_5 + 1];	/* by enum version */
	bool reachable;				/* some connection opened */
	bool cut;				/* one was ended, or refused, before all was asked */
	unsigned ways;				/* over which it is reached, bits 1 << enum way */
	bool login, password;			/* we have credentials for it; a password, too */
	bool denies_publish, denies_subscribe;	/* some topic, which we know */
	struct method_offer {
		const char *name;		/* NULL behind the last */
		bool offered;
		char evidence[200];		/* what came instead */
	} methods[MAX_METHODS];
	char why[240];				/* when no version is served: one line */
};

struct probe;

/*
 * What needs `auth=METHOD` ask about, by a CONNECT with that method: it is offered where the answer is AUTH or a
 * success. NULL behind the last; of the strings, borrowed.
 */
struct methods {
	const char *names[MAX_METHODS];
};

/* Takes up the needs' methods, as far as there is room; each once. */
void methods_add(struct methods *methods, const struct need *needs, size_t n_needs);

/* Asks in the background; done() is called once, from the loop, unless probe_free() comes first. Given. */
struct probe *probe_start(const struct stage *stage, unsigned versions, const struct methods *methods, const char *name, struct offers *offers,
                          void (*done)(void *context), void *context);
void probe_free(struct probe *probe);

/* What the target documents as absent, and who says so: "--without login", "ejabberd.profile:4: see its manual". */
struct absent {
	const char *capability, *by;
};

/*
 * Whether the target offers what the need asks in that version; if not, why[cap] is the evidence.
 * without: what the target documents as absent, by name, or with the comparison, as the need is written.
 */
bool need_met(const struct need *need, enum version version, const struct offers *offers, const struct absent *without,
              size_t n_without, char *why, size_t cap);

#endif

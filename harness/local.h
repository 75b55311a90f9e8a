#ifndef HARNESS_LOCAL_H
#define HARNESS_LOCAL_H

#include "harness/script.h"
#include "harness/transport.h"

/*
 * The target in this very process, behind in-memory pipes: what the composition root
 * hands to whoever plays against the reference broker. The harness knows it by this shape only.
 */
enum { LOCAL_MAX_FAULTS = 1024 };	/* that a local target can have */

struct local_fault {
	const char *rule, *name, *breaks;	/* "5:MQTT-3.3.1-2", "late", what it then does */
};

struct local_service {
	struct service *services[N_WAYS];	/* take connections until stop() */
	struct tls_context *tls;	/* with which clients of this process speak TLS to it; borrowed */
	const char *user_name, *password;	/* that it asks for, static; NULL: none */
	bool denies;			/* what scenarios have as defaults of denied_publish and denied_subscribe */
};

struct local_configuration {
	const char *name, *options;	/* "limited", "--mqtt 5 --maximum-qos 1 ..." */
};

struct local_broker {
	/*
	 * Starts one that offers what all the needs ask, or what configure() said, committing the faults (by number). NULL:
	 * some need cannot be met, *why (static) says which.
	 */
	void *(*start)(struct loop *loop, const struct need *needs, size_t n_needs, const unsigned *faults, size_t n_faults,
	               uint64_t seed, struct local_service *service, const char **why);
	/*
	 * What start() starts from now on, whatever the needs: options as `mqassay broker` takes them, or the name of a
	 * configuration. 0, or an exit code after one line on stderr. NULL: again as the needs ask.
	 */
	int (*configure)(const char *options);
	bool (*configuration)(size_t number, struct local_configuration *configuration);	/* false behind the last */
	void (*stop)(void *broker);
	bool (*fault)(size_t number, struct local_fault *fault);	/* false behind the last */
	/* Numbers, below LOCAL_MAX_FAULTS, of the faults that "RULE[/NAME]" names, at most cap of them written. How many, 0: none, -1: names a version too few. */
	int (*faults_named)(const char *text, unsigned *numbers, size_t cap);
};

#endif

#ifndef HARNESS_CMD_EXPLAIN_H
#define HARNESS_CMD_EXPLAIN_H

#include <stdbool.h>
#include <stddef.h>

/* A way to break a rule that some broker of ours can be told to take. */
struct known_fault {
	const char *rule;	/* "5:MQTT-3.3.1-2" */
	const char *name;	/* "late", or "" */
	const char *breaks;	/* what then happens */
};

/* Which faults `explain` lists: the i-th one in *fault, false behind the last. Set by main.c; without it none are listed. */
extern bool (*explain_fault_at)(size_t i, struct known_fault *fault);

#endif

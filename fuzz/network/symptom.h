#ifndef FUZZ_NETWORK_SYMPTOM_H
#define FUZZ_NETWORK_SYMPTOM_H

#include <stdbool.h>
#include <stdint.h>

/* What an oracle saw. Two symptoms are hits of one bug when their buckets are equal. */
enum oracle {
	ORACLE_NONE,
	ORACLE_DEATH,		/* the process ended: exit status or signal */
	ORACLE_SANITIZER,	/* it reported: kind and top frames */
	ORACLE_LIVENESS,	/* no valid exchange on a fresh connection within the time-out, though it lives or cannot be looked at */
	ORACLE_LATENCY,		/* it answers, but later than its baseline by far */
	ORACLE_MEMORY,		/* resident memory grew and stayed after all clients had gone, or grew out of all proportion to what those who are there have sent; or a leak report at its end */
	ORACLE_CPU,		/* it computes though nobody asks anything */
	ORACLE_RULE,		/* the monitor: a clause, and the packet type that broke it */
	ORACLE_BYSTANDER,	/* somebody else's connection noticed: closed, a message lost, doubled, out of order, not its own */
	N_ORACLES
};
extern const char *const oracle_names[N_ORACLES];	/* "none", "death", "sanitizer", ... */

struct symptom {
	enum oracle oracle;
	char bucket[160];	/* "death signal 11", "sanitizer heap-buffer-overflow read_topic<handle_publish<loop", "rule 5:MQTT-3.3.1-2 PUBLISH", "liveness", "bystander lost" */
	char text[480];		/* one line for people, foreign bytes escaped */
	bool held;		/* ORACLE_MEMORY, ORACLE_CPU, ORACLE_LATENCY: while its clients are connected, and say nothing */
	bool computes;		/* ORACLE_LIVENESS: it used CPU time all the while, and may be done with it some day */
	uint8_t version;	/* ORACLE_RULE: of the connection */
	char clause[48];	/* ORACLE_RULE: without the version */
	char detail[6000];	/* the report of a sanitizer, last words of a process; several lines, as they came; "" */
};

#endif

#ifndef PCAP_CHECK_INTERNAL_H
#define PCAP_CHECK_INTERNAL_H

#include "harness/client_monitor.h"
#include "harness/script.h"
#include "pcap/views.h"

/* What the files of the check share: check.c judges, check_report.c writes, check_unasked.c counts what nobody asked for. */

enum { FIRST_FRAMES = 5 };

struct tally {				/* of a clause, on one side */
	uint64_t violated;
	uint64_t frames[FIRST_FRAMES];	/* of the first violations */
};

struct check {
	struct observer observer;
	struct out *out;
	struct view_options options;
	bool inline_notes, table, begun;
	uint64_t base_ns;
	unsigned long violations;
	uint64_t unjudged;		/* packets of which only form, or nothing, could be judged */
	bool seen[2];			/* packets below 5, of 5 */
	bool seen_3_1;
	struct tally *tallies[2];	/* of FROM_CLIENT, FROM_SERVER; by the clause's index; NULL while there are none */

	struct monitor_world *brokers;
	struct client_world *clients;
	struct monitor_log broker_log;
	struct client_log client_log;
	struct port_of *ports;		/* where client ids were seen last */
	uint32_t strangers;		/* connections joined midway so far */

	/* What is being judged at this moment: */
	struct judged *judged;
	struct conversation *conversation;
	const struct seen_packet *packet;	/* NULL for the end of a connection */
	struct when when;
	bool broken;
	bool excuses;			/* who receives it was judged by the flow's rules until now */
};

/* A violation; packet and conversation are the check's. excused: whom it lets off the flow's rules from here on, 0 for nobody. */
void check_report(struct check *check, enum sender side, const struct violation *violation, enum sender excused);
/* What is worth knowing, and breaks no rule by itself; no exit code comes of it. */
void check_note(struct check *check, const char *text);
void check_table(struct check *check);

/* Messages that nobody asked for, of one connection. *list is NULL at first; unasked_say() frees it, and takes NULL. */
struct unasked;
void unasked_count(struct unasked **list, struct span topic, const struct when *when);
void unasked_say(struct check *check, struct unasked *list, enum version version);	/* a note for each first level of a topic */
void check_tally(struct check *check, enum sender side, enum version version, const char *clause, uint64_t frame);

#endif

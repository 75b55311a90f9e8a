#ifndef PCAP_SCENARIO_PREFACE_H
#define PCAP_SCENARIO_PREFACE_H

#include "pcap/out.h"
#include "pcap/scenario_lines.h"
#include "pcap/scenario_memory.h"
#include "pcap/spool.h"

/*
 * What stands in a `capture` file before the first step that was seen: the head, and by verbs what the capture lacks and a
 * replay needs to begin with. It is known when the capture has ended.
 */
struct preface {		/* zeroed to begin with */
	struct line before;		/* steps: the last of them */
	struct spool spool;		/* and those before */
	uint8_t *versions;		/* by number of the conversation, from 1; 0: it was never heard of */
	uint32_t n_versions, cap_versions;
	uint32_t *resumed;		/* numbers of those before which a session is made */
	uint32_t n_resumed;
	bool seeds;			/* somebody called `seed` has to publish */
};

void preface_settle(struct preface *p);	/* after whole lines were added to before: many of them are not kept in memory */
void preface_version(struct preface *p, const struct conversation *c, enum version version);	/* may be told again: the last one counts */

/* A connection that the capture joined midway. lacking: filters that it holds without having been seen to subscribe; their numbers are QoS. */
void preface_joined(struct preface *p, const struct conversation *c, struct strings *lacking);

/* A session that was there before the capture. session_expiry_interval: in 5, as its client asks for. */
void preface_session(struct preface *p, const struct conversation *c, struct span client_id, uint32_t session_expiry_interval, struct strings *lacking);

void preface_write(struct preface *p, const char *title, struct out *out);	/* nothing, when nothing was told */
void preface_release(struct preface *p);

#endif

#ifndef HARNESS_MONITOR_H
#define HARNESS_MONITOR_H

#include "codec/codec.h"

/*
 * The monitor: every byte a broker sends, in whichever part of the tool, is judged here
 * against every rule that what was seen so far allows to judge. It knows nothing of scenarios.
 *
 * It keeps the session's part per client id in a world and carries it over when CONNACK says
 * Session Present; what it has not seen from the start is unknown, and unknown things are not judged.
 * Once our side broke a rule on a connection, only the form of what comes is judged there.
 * Form alone (decode, check) is always judged. Order, loss and duplicates are not its matter.
 */

struct monitor;
struct monitor_world;			/* sessions by client id, and pools; one per target and thread */
struct monitor_world *monitor_world_new(void);	/* given */
void monitor_world_free(struct monitor_world *world);
/* Forget a session: the run that used that client id is over. Harmless when unknown. */
void monitor_world_forget(struct monitor_world *world, struct span client_id);

/* A rule broken by the broker. All text is static or lives until the report call returns. */
struct violation {
	uint8_t version;
	const char *clause;		/* "MQTT-3.3.1-2" or an unnumbered name */
	const char *text;		/* what came and why it may not; one line, foreign bytes escaped */
	uint32_t offset;		/* in the packet, of the offending field; 0 when it has none */
	const char *field;		/* may be NULL */
};

/*
 * What one run saw: violations go to `violated`; `held` counts the occasions on which a rule of the
 * monitor's table could have been broken and was not. The owner zeroes it. Shared by all connections of a run.
 */
struct monitor_log {
	void (*violated)(void *owner, struct monitor *monitor, const struct violation *violation);
	void *owner;
	uint32_t held[64];		/* by row of the monitor's rule table; see monitor_held() */
};

/* How often the rule was observed to hold; -1: the monitor does not judge that clause (lint asks). */
int64_t monitor_held(const struct monitor_log *log, enum version version, struct span clause);

/* One connection. Small: an idle client costs what stands here; sets come from the world's pools on first use. */
struct monitor {
	struct monitor_world *world;
	struct monitor_log *log;
	struct monitor_session *session;	/* NULL until CONNACK */
	struct monitor_flows *flows;		/* NULL until something is open */
	uint64_t unspecified[4];		/* the monitor's own: state, limits in force; monitor.c lays it out */
};

void monitor_open(struct monitor *m, struct monitor_world *world, struct monitor_log *log);
void monitor_close(struct monitor *m);		/* the connection is over, however it ended */

/*
 * Our side sent these bytes, a whole packet as framed by us; packet is its decoding, NULL when it has none
 * (then, and when check() or the flow finds fault with it, our side broke a rule).
 */
void monitor_sent(struct monitor *m, const uint8_t *bytes, size_t len, const struct packet *packet);
void monitor_misbehaved(struct monitor *m);	/* our side broke a rule in some other way */
bool monitor_is_lenient(const struct monitor *m);	/* form only from here on */

/*
 * The broker sent this whole packet. Decodes it by the version in force; *packet borrows from bytes.
 * CODEC_OK: readable (violations, if any, are reported). CODEC_BAD: not readable, reported; *packet is void.
 */
enum status monitor_received(struct monitor *m, const uint8_t *bytes, size_t len, const struct frame *frame,
                             struct packet *packet);
void monitor_bad_frame(struct monitor *m, const struct finding *finding);	/* framing failed: nothing follows */

/* What is in force on the connection after CONNACK, by CONNACK's names and defaults (receive_maximum 65535, ...);
 * keep_alive and session_expiry_interval after the server's override. */
uint64_t monitor_in_force(const struct monitor *m, enum property_id property);
enum version monitor_version(const struct monitor *m);

#endif

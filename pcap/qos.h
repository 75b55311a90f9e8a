#ifndef PCAP_QOS_H
#define PCAP_QOS_H

#include "pcap/conversation.h"
#include "pcap/histogram.h"
#include "pcap/map.h"
#include "pcap/out.h"

/* What the view of QoS flows keeps; view_qos.c follows packets and sessions, qos_flows.c the exchanges, qos_print.c writes the rows. */

enum exchange { CLIENT_QOS_1, CLIENT_QOS_2, BROKER_QOS_1, BROKER_QOS_2, SUBSCRIBES, UNSUBSCRIBES, N_EXCHANGES };
enum state { PUBLISHED, RECEIVED /* PUBREC was seen */, RELEASED /* PUBREL, too */ };
enum phase { TO_ANSWER /* PUBACK, PUBREC, SUBACK, UNSUBACK */, TO_RELEASE, TO_COMPLETE /* from PUBREL */, WHOLE /* QoS 2: to PUBCOMP */, N_PHASES };

struct exchange_stats {
	uint64_t count, completed, failed /* completed with a reason of 0x80 or more */, resent, hanging, unknown /* a hole, or the beginning was not seen */;
	uint64_t resumed;		/* completed on a later connection of the session */
};

enum { ID_SHOWN = 30, TOPIC_SHOWN = 64 };

struct qos_row {		/* one conversation's */
	struct qos_row *next;
	uint32_t conversation;
	uint8_t id_len;			/* of its client id, as far as it is kept; 0xff: not known */
	uint8_t id[ID_SHOWN];
	struct exchange_stats stats[N_EXCHANGES];
	struct histogram took[N_EXCHANGES];	/* the whole exchange */
};

struct qos_flow {			/* an exchange that is not complete */
	struct map_entry entry;
	struct qos_flow *before, *after;	/* of its session */
	struct qos_session *session;
	struct qos_row *row;		/* of the conversation in which it began */
	uint32_t conversation, holes;	/* holes: the session's count when it began */
	uint16_t packet_id;
	uint8_t exchange, state;
	bool begun;			/* its first packet was seen */
	bool topic_known;
	uint32_t resent;
	struct when at[3];		/* of each state */
	struct when last;
	uint8_t topic_len;
	uint8_t topic[TOPIC_SHOWN];
};

enum why_hanging { CAPTURE_OVER, SESSION_OVER, ID_REUSED };

struct hanging {
	struct qos_flow flow;
	enum why_hanging why;
};

struct qos_totals {
	struct exchange_stats stats[N_EXCHANGES];
	struct histogram phases[N_EXCHANGES][N_PHASES];
	uint64_t reasons[3][256];	/* PUBACK, PUBREC and the rest; of 0x80 and more */
	uint64_t strays;		/* acknowledgements of what was not seen */
	uint64_t no_room;		/* exchanges that were not followed */
};

enum { MOST_FLOWS = 30000, MOST_SESSIONS = 40000, MOST_ROWS = 3000, MOST_HANGING = 500, MOST_HANGING_JSON = 10000 };

struct qos_session {
	struct map_entry entry;		/* by client id, when it is known */
	bool known;
	uint8_t broker[19];
	uint16_t id_len;
	uint8_t id_shown;		/* how much of it is whole characters */
	uint8_t id[ID_SHOWN];
	struct qos_flow *flows;
	struct party *party;		/* its connection of now */
	uint32_t holes;
};

struct party {			/* a conversation */
	struct qos_session *session;	/* NULL: none (no room), or another connection has it now */
	struct qos_row *row;
	uint32_t number;
	bool connect, connack, clean, present, disconnected, outlives;
	uint8_t version;
	uint32_t expiry;
};

struct qos_view {
	struct observer observer;
	struct out *out;
	bool json;
	uint64_t start_ns;
	struct map flows, sessions;
	struct slab flow_room, session_room, party_room, row_room;
	struct qos_row *rows, **last_row, others;
	size_t n_others, n_hanging;
	struct hanging *hanging;
	struct qos_totals totals;
};

/*
 * Requests and the client's publishing share packet ids, by the standard; a client that mixes them up is followed all
 * the same.
 */
static inline unsigned side_of(unsigned exchange)
{
	return exchange / 2;
}

struct qos_flow *qos_flow_find(struct qos_view *v, const struct qos_session *s, unsigned side, uint16_t packet_id);
struct qos_flow *qos_flow_new(struct qos_view *v, struct party *party, enum exchange exchange, const struct seen_packet *p);	/* NULL: no room */
void qos_flow_phase(struct qos_view *v, const struct qos_flow *f, enum phase phase, const struct when *from, const struct when *to);
void qos_flow_complete(struct qos_view *v, struct party *party, struct qos_flow *f, const struct seen_packet *p, bool failed);	/* frees f */
void qos_flow_hang(struct qos_view *v, struct qos_flow *f, enum why_hanging why);	/* frees f */
/* All flows of the session but those that began on the connection `but` hang. */
void qos_session_hang(struct qos_view *v, struct qos_session *s, uint32_t but, enum why_hanging why);

void qos_print(struct out *out, const struct qos_row *rows, const struct qos_row *others, size_t n_others,
               const struct qos_totals *totals, const struct hanging *hanging, size_t n_hanging, uint64_t start_ns, uint64_t end_ns);
void qos_json(struct out *out, const struct qos_row *rows, const struct qos_row *others, size_t n_others,
              const struct qos_totals *totals, uint64_t start_ns);
void qos_json_hanging(struct out *out, const struct hanging *hanging, uint64_t start_ns);

#endif

#ifndef PCAP_QOS_H
#define PCAP_QOS_H

#include "pcap/conversation.h"
#include "pcap/histogram.h"
#include "pcap/map.h"
#include "pcap/out.h"

/* What the view of QoS flows keeps; view_qos.c follows the packets, qos_print.c writes the rows. */

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

struct flow {			/* an exchange that is not complete */
	struct map_entry entry;
	struct flow *before, *after;	/* of its session */
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
	struct flow flow;
	enum why_hanging why;
};

struct qos_totals {
	struct exchange_stats stats[N_EXCHANGES];
	struct histogram phases[N_EXCHANGES][N_PHASES];
	uint64_t reasons[3][256];	/* PUBACK, PUBREC and the rest; of 0x80 and more */
	uint64_t strays;		/* acknowledgements of what was not seen */
	uint64_t no_room;		/* exchanges that were not followed */
};

void qos_print(struct out *out, const struct qos_row *rows, const struct qos_row *others, size_t n_others,
               const struct qos_totals *totals, const struct hanging *hanging, size_t n_hanging, uint64_t start_ns, uint64_t end_ns);
void qos_json(struct out *out, const struct qos_row *rows, const struct qos_row *others, size_t n_others,
              const struct qos_totals *totals, uint64_t start_ns);
void qos_json_hanging(struct out *out, const struct hanging *hanging, uint64_t start_ns);

#endif

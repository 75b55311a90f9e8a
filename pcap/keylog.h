#ifndef PCAP_KEYLOG_H
#define PCAP_KEYLOG_H

#include "codec/span.h"

/* TLS secrets by client random, in the format of SSLKEYLOGFILE. Bounded: the oldest go when there are more than 262144 lines (24 MiB). */
struct keylog;

enum keylog_label { KEYLOG_MASTER, KEYLOG_CLIENT_HANDSHAKE, KEYLOG_SERVER_HANDSHAKE, KEYLOG_CLIENT_TRAFFIC, KEYLOG_SERVER_TRAFFIC, N_KEYLOG_LABELS };
enum { KEYLOG_MOST = 262144, KEYLOG_SECRET_MAX = 48 };

struct keylog *keylog_new(void);
/* Whole lines; what is no line of a key log is passed over and counted. Returns how many secrets were taken. */
size_t keylog_add(struct keylog *keylog, struct span text);
size_t keylog_rejected(const struct keylog *keylog);	/* lines that were none */
uint64_t keylog_taken(const struct keylog *keylog);	/* secrets, ever: who missed one looks again when this has changed */
bool keylog_find(const struct keylog *keylog, const uint8_t client_random[32], enum keylog_label label, struct span *secret);	/* borrowed until lines are added */
void keylog_free(struct keylog *keylog);		/* harmless with NULL */

#endif

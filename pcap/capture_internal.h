#ifndef PCAP_CAPTURE_INTERNAL_H
#define PCAP_CAPTURE_INTERNAL_H

#include "pcap/source.h"

enum { IDLE_MS = 10 };			/* so long is waited for a packet before CAPTURE_IDLE is said */

/* A capture of these bytes, which the capture takes. Path is for nobody but the error. NULL with *error: source is closed. */
struct capture *capture_of_source(struct source *source, struct capture_error *error);

/* ---- live.c ---- */

/* An interface, opened, privileges dropped; a pcap_t, given. NULL with *error. */
struct pcap;
struct pcap *live_open(const char *interface, const char *filter, uint32_t snaplen, struct capture_error *error);
/* Waits until there is something to read, at most IDLE_MS; false: there is nothing. */
bool live_wait(struct pcap *pcap);

/* ---- both ---- */

/* error->text: one line of at most that size, foreign bytes escaped */
__attribute__((format(printf, 2, 3)))
void capture_error_set(struct capture_error *error, const char *format, ...);

#endif

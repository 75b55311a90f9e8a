#ifndef PCAP_PCAPNG_READER_H
#define PCAP_PCAPNG_READER_H

#include "pcap/source.h"

/*
 * The records of a pcapng file (draft-ietf-opsawg-pcapng): any number of sections, each in its own byte order and with its own
 * interfaces, which are counted on through the file. Blocks that are not read are passed over. A block whose
 * frame is sound but whose content is not (a packet of an interface that does not exist) is left out, and told at the end; behind
 * a block whose length cannot be true nothing can be found any more, so reading ends there.
 */
struct pcapng;

struct pcapng *pcapng_new(struct source *source);	/* given; source is borrowed and stands at the first byte */
void pcapng_on_secrets(struct pcapng *ng, void (*secrets)(void *owner, struct span text), void *owner);
/* As capture_next(); CAPTURE_IDLE when a pipe gave nothing for idle_ms. A packet that is left out counts as a frame too. */
enum capture_status pcapng_next(struct pcapng *ng, int idle_ms, struct record *record, struct capture_error *why);
void pcapng_free(struct pcapng *ng);			/* harmless with NULL */

#endif

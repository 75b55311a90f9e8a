#ifndef PCAP_LABEL_H
#define PCAP_LABEL_H

#include "pcap/conversation.h"

/*
 * What a conversation is called in front of each of its lines: its client id, quoted where it could be taken for something
 * else; with /c7 behind it where another conversation had that id before; c7 while there is none.
 */
enum { LABEL = 88 };

struct label {
	struct span client_id;		/* that it was made of; .at NULL: none yet */
	uint8_t version;		/* the user's from here on: what was said of the conversation last */
	bool version_known, explained, closed[2];
	uint8_t len, columns;
	char text[LABEL];
};

struct labels {			/* of one view */
	unsigned width;			/* of the column: of the widest so far, within reason */
	uint64_t *ids;			/* hashes of client ids; 0: free */
	uint32_t n_ids;
};

void labels_init(struct labels *labels);
void labels_release(struct labels *labels);

/* The label kept at *own, made or made anew where the client id has become known; then not explained. NULL: no memory. */
struct label *label_of(struct labels *labels, void **own, const struct conversation *c);
void label_free(struct label *label);

#endif

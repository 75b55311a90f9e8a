#ifndef PCAP_SOURCE_H
#define PCAP_SOURCE_H

#include "pcap/capture.h"

/*
 * The bytes of a capture file, in order, unpacked: of a regular file, a pipe, or memory; what gzip or zstd compressed is
 * recognised by its first bytes. Never waits for more bytes than were asked for.
 */
struct source {
	const uint8_t *at, *end;	/* what is here; borrowed until the next source_need() that finds too little */
	uint64_t offset;		/* of at, in what was unpacked */
	bool may_wait;			/* a pipe or terminal: reading may have to wait for more */
	bool compressed;
	bool ended;			/* nothing more comes: the end, an error, or stopped */
	char failure[200];		/* "", or why no more could be read or unpacked; one line */
};

enum { SOURCE_MOST = 4 << 20 };		/* bytes that can be asked for at once */

/* Given; NULL with *error. "-" is standard input, which stays open. */
struct source *source_open(const char *path, struct capture_error *error);
struct source *source_of_memory(struct span bytes, struct capture_error *error);	/* bytes are borrowed */

bool source_fill(struct source *source, size_t n);	/* the slow half of source_need() */

/* At least n bytes stand at source->at, n <= SOURCE_MOST. False: fewer are left, and source->ended says that no more come. */
static inline bool source_need(struct source *source, size_t n)
{
	return (size_t)(source->end - source->at) >= n || source_fill(source, n);
}

static inline void source_take(struct source *source, size_t n)
{
	source->at += n;
	source->offset += n;
}

bool source_skip(struct source *source, uint64_t n);	/* n bytes are passed over; false: there were fewer */

/* Nothing is here, and nothing has come for wait_ms. Never of a file. */
bool source_idle(struct source *source, int wait_ms);

/* The same bytes from the first one on. False: they are gone, as those of a pipe are; or they cannot be read again, source->failure. */
bool source_rewind(struct source *source);

void source_stop(struct source *source);		/* safe in a signal handler: a read that waits ends within 100 ms, the next at once */
void source_close(struct source *source);		/* harmless with NULL */

#endif

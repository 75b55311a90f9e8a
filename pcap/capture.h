#ifndef PCAP_CAPTURE_H
#define PCAP_CAPTURE_H

#include "codec/span.h"
#include "pcap/when.h"

/*
 * Where captured packets come from: a file (pcap, pcapng, either compressed by gzip or zstd), standard input ("-", as a pipe
 * from `tcpdump -w -`), or an interface. One record after the other, in constant memory.
 */
struct capture;

enum { INTERFACE_NAME = 64 };		/* with its end; longer ones are cut */

struct record {			/* one captured packet; bytes and name borrowed until the next call */
	struct when when;
	uint32_t link_type;		/* LINKTYPE_..., as in files */
	uint32_t interface;		/* 0, 1...: counted through all sections of the file */
	const char *interface_name;	/* as the file or the system calls it, not escaped; NULL: not known */
	struct span bytes;
	uint32_t original_len;		/* more than bytes.len where the snap length cut it */
};

enum capture_status {
	CAPTURE_RECORD,
	CAPTURE_IDLE,			/* live, or a pipe: nothing came for a few milliseconds. record->when.time_ns is what the capture's clock shows now */
	CAPTURE_END,			/* of the file; or capture_stop() was called */
	CAPTURE_BROKEN,			/* the rest cannot be read: *why (one line, names the offset or frame). Then CAPTURE_END */
};

struct capture_error {
	char text[240];			/* one line, escaped, without the file's name */
	bool world;			/* the world's (errno, permission: exit 3), else what the file holds (exit 3 too), */
	bool usage;			/* or the user's mistake: a filter that does not compile (exit 2) */
};

/* NULL with *error. path "-" is standard input. */
struct capture *capture_open_file(const char *path, struct capture_error *error);

/*
 * filter: in the language of tcpdump, NULL for none. Root and capabilities are dropped once it is open.
 * An unknown interface's error lists those there are.
 */
struct capture *capture_open_live(const char *interface, const char *filter, uint32_t snaplen, struct capture_error *error);

/* The filter for a file: only records that match are given (they keep their frame numbers). False with *error. */
bool capture_filter(struct capture *capture, const char *filter, struct capture_error *error);

enum capture_status capture_next(struct capture *capture, struct record *record, struct capture_error *why);

/* Key log lines embedded in the file (pcapng's decryption secrets block, TLS): called before the records behind it. */
void capture_on_secrets(struct capture *capture, void (*secrets)(void *owner, struct span text), void *owner);

/*
 * From the first record on again, with the same filter and the same reader of secrets; frames are counted anew. False: that cannot be. A pipe
 * or an interface stays where it is; a file that has become another since has come to its end.
 */
bool capture_rewind(struct capture *capture);

uint64_t capture_dropped(const struct capture *capture);	/* live: packets that the kernel had no room for */
uint64_t capture_bytes(const struct capture *capture);		/* of records given, as captured */
void capture_stop(struct capture *capture);			/* safe in a signal handler */
void capture_close(struct capture *capture);			/* harmless with NULL */

#endif

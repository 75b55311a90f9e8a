#ifndef HARNESS_PCAP_WRITER_H
#define HARNESS_PCAP_WRITER_H

#include <stdbool.h>

#include "harness/tap.h"

/*
 * Writes what connections carried as a capture that Wireshark, tshark and tcpdump read: each connection's MQTT bytes as TCP to
 * port 1883, with handshake, sequence numbers, checksums and the end that it had. pcapng rather than pcap: it holds
 * nanoseconds, the target's name (an interface each), and whose connection it is (a comment on its first packet).
 *
 * The packets are made up from the bytes: cut as they were written and read, and at 1460 bytes; acknowledged only
 * when something goes the other way or 64 kB are open. Link type RAW. The broker of the n-th target is 192.0.2.n; a connection is
 * its own address and port in 10.0.0.0/8, never used twice. Nothing is kept but a few words for each connection that is open.
 * The bytes are as the taps get them: tap.h says what is masked.
 */
struct pcap_writer;

/* What was written goes where the owner wants it. Called with whole blocks. */
struct pcap_output {
	void (*write)(struct pcap_output *output, const void *bytes, size_t len);
};

/* Given; output is borrowed. Writes the section's header. */
struct pcap_writer *pcap_writer_new(struct pcap_output *output);

/*
 * What follows is on this target; to be called before the first connection, and again for the next target. label is any text.
 * A time of the loop is epoch_ns later than 1970.
 */
void pcap_writer_target(struct pcap_writer *writer, const char *label, uint64_t epoch_ns);

/* The epoch of a loop's clock: of a simulated one fixed, so that a run takes the same course to the last byte. */
uint64_t pcap_epoch_ns(bool simulated);

struct tap *pcap_writer_tap(struct pcap_writer *writer);

/* All its connections must have ended. Harmless with NULL. */
void pcap_writer_free(struct pcap_writer *writer);

/*
 * A file as the output. It is created, or emptied, at once: NULL with errno set when it cannot be. A failing write does
 * not disturb who taps: the rest is passed over, and closing says so.
 */
struct pcap_file;
struct pcap_file *pcap_file_create(const char *path);
struct pcap_output *pcap_file_output(struct pcap_file *file);
int pcap_file_close(struct pcap_file *file);	/* 0, or the positive errno of what failed first; frees it */

#endif

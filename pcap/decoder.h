#ifndef PCAP_DECODER_H
#define PCAP_DECODER_H

#include "pcap/capture.h"
#include "pcap/conversation.h"
#include "pcap/tcp.h"

/* The whole way from captured frames to observers; what `decode` and the fuzz targets run. */
struct decoder;

struct decoder_options {	/* zero: the defaults */
	struct tcp_limits tcp;
	uint32_t max_packet;		/* an MQTT packet larger than this is passed over as a hole: 1 MiB; at most 256 MiB */
	const uint16_t *ports;		/* --port: connections to these are MQTT whatever they look like */
	size_t n_ports;
	enum version version;		/* --mqtt: by which to read where no CONNECT was seen; 0: infer */
};

struct decoder_counts {
	uint64_t frames, packets;	/* captured; MQTT */
	uint32_t conversations;
	uint32_t encrypted, encrypted_likely_mqtt;	/* connections in TLS without keys; those of them on MQTT's ports or with ALPN mqtt */
	struct decoder_reason {
		char text[96];
		uint32_t n;
	} reasons[6];			/* why they cannot be read, the first six that there are; n 0: no more */
	uint32_t other;			/* connections that carry no MQTT */
	uint64_t holes, hole_bytes;
};

struct decoder *decoder_new(const struct decoder_options *options);	/* given; options borrowed */
void decoder_observe(struct decoder *decoder, struct observer *observer);	/* before the first record; at most MAX_OBSERVERS */
bool decoder_keylog(struct decoder *decoder, struct span text);	/* more lines of a key log; any time */
void decoder_record(struct decoder *decoder, const struct record *record);

struct decoder_frame {		/* where the record given last belongs */
	int64_t stream;		/* the connection's number, as conversation.stream; TCP_NO_STREAM: to none */
	uint64_t fragmented;	/* as ip_fragmented() */
};
void decoder_frame(const struct decoder *decoder, struct decoder_frame *frame);

/* Told once of each connection, at the latest in decoder_finish(): it is MQTT, or nothing will come of it. */
void decoder_on_verdict(struct decoder *decoder, void (*verdict)(void *owner, uint32_t stream, bool mqtt), void *owner);

void decoder_idle(struct decoder *decoder, uint64_t now_ns);
void decoder_finish(struct decoder *decoder);			/* once; then observers are told finish */
void decoder_counts(const struct decoder *decoder, struct decoder_counts *counts);
const struct ip_counts *decoder_ip_counts(const struct decoder *decoder);
const struct tcp_counts *decoder_tcp_counts(const struct decoder *decoder);
void decoder_free(struct decoder *decoder);			/* after decoder_finish(); observers stay their owners' */

#endif

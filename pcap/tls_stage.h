#ifndef PCAP_TLS_STAGE_H
#define PCAP_TLS_STAGE_H

#include "pcap/keylog.h"
#include "pcap/stage.h"

/*
 * TLS 1.2 and 1.3 read with a key log: AES-128-GCM, AES-256-GCM, AES-CCM where OpenSSL has it, ChaCha20-Poly1305. Application data goes to `above`.
 * Without a hole every record is read; across a hole the next record boundary is sought, and the sequence number tried forward (bounded).
 */
struct tls_notes {		/* what is known of the connection; text is the stage's, or static */
	bool client_hello, server_hello;
	bool readable;			/* application data was decrypted */
	const char *why_not;		/* NULL, or why it cannot be read: "no keys", "TLS 1.1", "cipher suite 0x1301 ..." ... */
	char alpn[32], server_name[128];	/* as offered or selected; "" when not seen */
	unsigned client_end;		/* which end sent ClientHello */
};

/* Whether these first bytes of a connection's end are a TLS record of a handshake: yes 1, no 0, more needed -1. */
int tls_looks_like(struct span bytes);

/* keylog is borrowed; lines added later are found. NULL when memory is short. */
struct stage *tls_stage_new(const struct keylog *keylog, struct stage *above, struct tls_notes *notes);

#endif

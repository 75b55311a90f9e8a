#ifndef PCAP_TLS_STAGE_H
#define PCAP_TLS_STAGE_H

#include "pcap/keylog.h"
#include "pcap/stage.h"

/*
 * TLS 1.2 and 1.3 read with a key log: AES-GCM, AES-CCM and ChaCha20-Poly1305. Application data goes to `above`, and nothing
 * that has not authenticated. Without a hole every record is read; across a hole the next record is sought, and sequence
 * numbers tried forward (bounded). A hole goes up with its exact length where that is known.
 */
struct tls_notes {		/* what is known of the connection; valid as long as they are */
	bool client_hello, server_hello;
	bool readable;			/* application data was decrypted */
	const char *why_not;		/* NULL, or why it cannot be read (any more): "no keys", "TLS 1.1", "cipher suite ..." ...; static, or room */
	char alpn[32], server_name[32];	/* as offered first or selected, escaped, cut; "" when not seen */
	unsigned client_end;		/* which end sent ClientHello */
	char room[96];
};

/* Whether these first bytes of a connection's end are a TLS record of a handshake: yes 1, no 0, more needed -1. */
int tls_looks_like(struct span bytes);

/*
 * What all connections share: the key log (borrowed; lines added later are found), the ciphers' contexts, and room for what waits
 * for its secrets: 64 KiB per connection, 8 MiB in all. What passes that cannot be read: "no keys".
 */
struct tls_shared;

struct tls_shared *tls_shared_new(const struct keylog *keylog);	/* given; NULL: no memory */
void tls_shared_free(struct tls_shared *shared);		/* after its stages; harmless with NULL */

/* shared and notes are borrowed as long as the stage lives; notes are zeroed here. NULL when memory is short: above is still the caller's. */
struct stage *tls_stage_new(struct tls_shared *shared, struct stage *above, struct tls_notes *notes);

#endif

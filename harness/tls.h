#ifndef HARNESS_TLS_H
#define HARNESS_TLS_H

#include "codec/fault.h"
#include "harness/transport.h"

/* TLS 1.2 and 1.3 over another transport, by OpenSSL. */

struct tls_settings {
	const char *ca;			/* file of authorities to trust; NULL: a client takes the system's, a server asks for no certificate */
	const char *cert, *key;		/* files in PEM; a server needs both, a client may have them */
	const char *alpn;		/* protocol names between commas; NULL: none */
	bool insecure;			/* a client: takes any certificate */
};

/* What connections share: certificates and trust. A client's may be released while they live, a server's lives longer. */
struct tls_context;

/* NULL: fault->text says which file is wrong, and how; one line. */
struct tls_context *tls_client_context(const struct tls_settings *settings, struct fault *fault);
struct tls_context *tls_server_context(const struct tls_settings *settings, struct fault *fault);

/*
 * For a server and its clients in one process: an authority that is made up on the spot, and certificates of it for
 * "localhost". Given both, or false: OpenSSL cannot.
 */
bool tls_contexts_for_us(struct tls_context **client, struct tls_context **server);
void tls_context_release(struct tls_context *context);	/* harmless with NULL */

/* Both take `below`; NULL: out of memory, below is closed. name: who must show a certificate, by name or number. */
struct transport *tls_client(struct transport *below, struct tls_context *context, const char *name);
struct transport *tls_server(struct transport *below, struct tls_context *context);

/*
 * The common name in the certificate that the peer has shown and the context trusts: into name[cap], UTF-8. False: t is no TLS,
 * there is no such certificate, or none, more than one, an empty or too long name, or control characters in it.
 */
bool tls_peer_name(const struct transport *t, char *name, size_t cap);

bool tls_is(const struct transport *t);

/* What one keeps at most: 17 kB between records, one each way that is worked on, and one that waits to go out. */
enum { TLS_MEMORY = 68 * 1024 };

#endif

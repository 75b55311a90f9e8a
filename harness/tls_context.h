#ifndef HARNESS_TLS_CONTEXT_H
#define HARNESS_TLS_CONTEXT_H

#include <openssl/ssl.h>

#include "harness/tls.h"

/* Between tls.c, which moves bytes, and tls_context.c, which reads certificates. */
struct tls_context {
	SSL_CTX *ctx;
	unsigned char alpn[256];	/* a server's, in the form of the wire */
	unsigned alpn_len;
};

/* OpenSSL's callback for each certificate of a chain; refuses none that OpenSSL takes. */
int tls_verified(int good, X509_STORE_CTX *store);

#endif

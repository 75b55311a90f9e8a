#include "harness/tls_context.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/console.h"

static bool wrong(struct fault *fault, const char *format, ...) __attribute__((format(printf, 2, 3)));
static bool wrong(struct fault *fault, const char *format, ...)
{
	va_list args;

	*fault = (struct fault){ 0 };
	va_start(args, format);
	vsnprintf(fault->text, sizeof(fault->text), format, args);
	va_end(args);
	return false;
}

/* OpenSSL's words for why a file could not be used; empties its queue. */
static const char *why(void)
{
	unsigned long code = ERR_peek_last_error();
	const char *text = ERR_reason_error_string(code);

	if (ERR_GET_LIB(code) == ERR_LIB_SYS)
		text = strerror(ERR_GET_REASON(code));
	else if (ERR_GET_LIB(ERR_peek_error()) == ERR_LIB_SYS)
		text = strerror(ERR_GET_REASON(ERR_peek_error()));
	else if (ERR_GET_REASON(code) == PEM_R_NO_START_LINE)
		text = "no PEM in it (-----BEGIN ...)";
	ERR_clear_error();
	return text ? text : "cannot be read";
}

static struct tls_context *context_new(const SSL_METHOD *method)
{
	struct tls_context *c = calloc(1, sizeof(*c));

	if (!c || !(c->ctx = SSL_CTX_new(method)))
		abort();
	SSL_CTX_set_min_proto_version(c->ctx, TLS1_2_VERSION);
	/* Between records no buffers are kept: what an idle connection costs. */
	SSL_CTX_set_mode(c->ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	/* A FIN without close_notify ends the stream as one with it: what an MQTT packet lacks the codec notices. Nobody resumes. */
	SSL_CTX_set_options(c->ctx, SSL_OP_IGNORE_UNEXPECTED_EOF | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_NO_TICKET);
	return c;
}

void tls_context_release(struct tls_context *c)
{
	if (!c)
		return;
	SSL_CTX_free(c->ctx);
	free(c);
}

/* ---- files ---- */

static bool use_own(struct tls_context *c, const struct tls_settings *s, struct fault *fault)
{
	if (!s->cert && !s->key)
		return true;
	if (!s->cert)
		return wrong(fault, "--key %s: its certificate is missing; name it with --cert", console_safe(s->key));
	if (SSL_CTX_use_certificate_chain_file(c->ctx, s->cert) != 1)
		return wrong(fault, "--cert %s: %s", console_safe(s->cert), why());
	const char *key = s->key ? s->key : s->cert;	/* one file may hold both */
	if (SSL_CTX_use_PrivateKey_file(c->ctx, key, SSL_FILETYPE_PEM) != 1) {
		if (ERR_GET_REASON(ERR_peek_last_error()) == X509_R_KEY_VALUES_MISMATCH) {
			ERR_clear_error();
			return wrong(fault, "--key %s: it is not the key of the certificate %s", console_safe(key), console_safe(s->cert));
		}
		return s->key ? wrong(fault, "--key %s: %s", console_safe(key), why())
		              : wrong(fault, "--cert %s: no private key in it; name its file with --key", console_safe(key));
	}
	if (SSL_CTX_check_private_key(c->ctx) != 1) {
		ERR_clear_error();
		return wrong(fault, "--key %s: it is not the key of the certificate %s", console_safe(key), console_safe(s->cert));
	}
	return true;
}

static bool trust(struct tls_context *c, const char *ca, struct fault *fault)
{
	if (!ca)
		return true;
	if (SSL_CTX_load_verify_file(c->ctx, ca) != 1)
		return wrong(fault, "--ca %s: %s", console_safe(ca), why());
	return true;
}

/* "mqtt,x" as the wire has it: each name behind its length. */
static bool parse_alpn(struct tls_context *c, const char *text, struct fault *fault)
{
	if (!text)
		return true;
	for (const char *at = text;; at++) {
		size_t len = strcspn(at, ",");

		if (!len || len > 255 || c->alpn_len + len + 1 > sizeof(c->alpn))
			return wrong(fault, "--alpn %s: expected protocol names between commas", console_safe(text));
		c->alpn[c->alpn_len++] = (unsigned char)len;
		memcpy(c->alpn + c->alpn_len, at, len);
		c->alpn_len += (unsigned)len;
		at += len;
		if (!*at)
			return true;
	}
}

struct tls_context *tls_client_context(const struct tls_settings *s, struct fault *fault)
{
	struct tls_context *c = context_new(TLS_client_method());

	SSL_CTX_set_verify(c->ctx, s->insecure ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, s->insecure ? NULL : tls_verified);
	if (!s->ca && !s->insecure)
		SSL_CTX_set_default_verify_paths(c->ctx);
	if (!trust(c, s->ca, fault) || !use_own(c, s, fault) || !parse_alpn(c, s->alpn, fault)) {
		tls_context_release(c);
		return NULL;
	}
	if (c->alpn_len)
		SSL_CTX_set_alpn_protos(c->ctx, c->alpn, c->alpn_len);
	ERR_clear_error();
	return c;
}

static int choose_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len, const unsigned char *in, unsigned in_len, void *arg)
{
	struct tls_context *c = arg;

	(void)ssl;
	return SSL_select_next_proto((unsigned char **)(uintptr_t)out, out_len, c->alpn, c->alpn_len, in, in_len) == OPENSSL_NPN_NEGOTIATED
	       ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

static void be_server(struct tls_context *c)
{
	static const unsigned char id[] = "mqassay";

	SSL_CTX_set_session_id_context(c->ctx, id, sizeof(id) - 1);
	SSL_CTX_set_session_cache_mode(c->ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_num_tickets(c->ctx, 0);		/* nor in TLS 1.3: each would cost a segment */
}

struct tls_context *tls_server_context(const struct tls_settings *s, struct fault *fault)
{
	struct tls_context *c = context_new(TLS_server_method());

	be_server(c);
	if (!s->cert) {
		wrong(fault, "tls:// and wss:// need --cert and --key");
		tls_context_release(c);
		return NULL;
	}
	if (!trust(c, s->ca, fault) || !use_own(c, s, fault) || !parse_alpn(c, s->alpn, fault)) {
		tls_context_release(c);
		return NULL;
	}
	if (s->ca) {
		SSL_CTX_set_verify(c->ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, tls_verified);
		SSL_CTX_set_client_CA_list(c->ctx, SSL_load_client_CA_file(s->ca));
	}
	if (c->alpn_len)
		SSL_CTX_set_alpn_select_cb(c->ctx, choose_alpn, c);
	ERR_clear_error();
	return c;
}

/* ---- made up on the spot ---- */

static bool add_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX ctx;
	X509_EXTENSION *extension;
	bool added;

	X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
	extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	added = extension && X509_add_ext(cert, extension, -1);
	X509_EXTENSION_free(extension);
	return added;
}

/* Signed by issuer, or by itself. */
static X509 *make_certificate(EVP_PKEY *key, const char *name, X509 *issuer, EVP_PKEY *issuer_key)
{
	X509 *cert = X509_new();
	X509_NAME *subject = cert ? X509_get_subject_name(cert) : NULL;

	if (!cert || !X509_set_version(cert, 2) || !ASN1_INTEGER_set(X509_get_serialNumber(cert), issuer ? 2 : 1) ||
	    !X509_gmtime_adj(X509_getm_notBefore(cert), -3600) || !X509_gmtime_adj(X509_getm_notAfter(cert), 7 * 86400) ||
	    !X509_set_pubkey(cert, key) ||
	    !X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0) ||
	    !X509_set_issuer_name(cert, issuer ? X509_get_subject_name(issuer) : subject) ||
	    !(issuer ? add_extension(cert, issuer, NID_subject_alt_name, "DNS:localhost,IP:127.0.0.1,IP:::1")
	             : add_extension(cert, cert, NID_basic_constraints, "critical,CA:TRUE")) ||
	    !X509_sign(cert, issuer_key, EVP_sha256())) {
		X509_free(cert);
		return NULL;
	}
	return cert;
}

bool tls_contexts_for_us(struct tls_context **client, struct tls_context **server)
{
	EVP_PKEY *authority_key = EVP_EC_gen("P-256"), *key = EVP_EC_gen("P-256");
	X509 *authority = authority_key ? make_certificate(authority_key, "mqassay", NULL, authority_key) : NULL;
	X509 *cert = authority && key ? make_certificate(key, "localhost", authority, authority_key) : NULL;
	bool made = false;

	*client = context_new(TLS_client_method());
	*server = context_new(TLS_server_method());
	be_server(*server);
	SSL_CTX_set_verify((*client)->ctx, SSL_VERIFY_PEER, tls_verified);
	if (cert)
		made = X509_STORE_add_cert(SSL_CTX_get_cert_store((*client)->ctx), authority) == 1 &&
		       SSL_CTX_use_certificate((*server)->ctx, cert) == 1 && SSL_CTX_use_PrivateKey((*server)->ctx, key) == 1;
	if (!made) {
		tls_context_release(*client);
		tls_context_release(*server);
		*client = *server = NULL;
	}
	X509_free(cert);
	X509_free(authority);
	EVP_PKEY_free(key);
	EVP_PKEY_free(authority_key);
	ERR_clear_error();
	return made;
}

#include "harness/tls.h"

#include <assert.h>
#include <errno.h>
#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/topic.h"
#include "harness/layer.h"
#include "harness/tls_context.h"

/*
 * A layer that reads and writes the transport below through a BIO of our own, so that OpenSSL keeps no more than
 * the record it is working on, and nothing between records.
 */
struct tls {
	struct layer l;			/* first; its `out` is plain text that waits for a record to go out */
	SSL *ssl;
	char *name;			/* of the peer, a client's */
	bool held;			/* nothing is read below: OpenSSL has to write first */
	bool below_ended;		/* by a FIN */
	int below_error;		/* or by an errno */
	int refused;			/* what is wrong with the peer's certificate */
};

enum { RECORD = 16384 };

static const struct transport_ops tls_ops;

static struct tls *tls_of(const struct layer *l)
{
	return (struct tls *)l;
}

/* ---- the BIO ---- */

static int bio_read(BIO *bio, char *bytes, int len)
{
	struct tls *s = BIO_get_data(bio);
	ssize_t n = s->l.below->ops->recv(s->l.below, bytes, (size_t)len);

	BIO_clear_retry_flags(bio);
	if (n == -EAGAIN) {
		BIO_set_retry_read(bio);
		return -1;
	}
	if (n < 0)
		s->below_error = (int)-n;
	s->below_ended |= n == 0;
	return n < 0 ? -1 : (int)n;
}

static int bio_write(BIO *bio, const char *bytes, int len)
{
	struct tls *s = BIO_get_data(bio);
	ssize_t n = s->l.below->ops->send(s->l.below, bytes, (size_t)len);

	BIO_clear_retry_flags(bio);
	if (n == -EAGAIN) {
		BIO_set_retry_write(bio);
		return -1;
	}
	if (n < 0)
		s->below_error = (int)-n;
	return n < 0 ? -1 : (int)n;
}

static long bio_ctrl(BIO *bio, int command, long number, void *pointer)
{
	struct tls *s = BIO_get_data(bio);

	(void)number;
	(void)pointer;
	return command == BIO_CTRL_FLUSH || (command == BIO_CTRL_EOF && s->below_ended);
}

static BIO_METHOD *method;

static void make_method(void)
{
	method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "transport");
	if (!method)
		abort();
	BIO_meth_set_read(method, bio_read);
	BIO_meth_set_write(method, bio_write);
	BIO_meth_set_ctrl(method, bio_ctrl);
}

/* From any thread. */
static BIO_METHOD *bio_method(void)
{
	static CRYPTO_ONCE once = CRYPTO_ONCE_STATIC_INIT;

	if (!CRYPTO_THREAD_run_once(&once, make_method))
		abort();
	return method;
}

/* ---- what went wrong, for whom, and what to do ---- */

/* Whom it is for: the first DNS name, else the common name. */
static void name_in(X509 *cert, char *text, size_t cap)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
	bool found = false;

	for (int i = 0; i < sk_GENERAL_NAME_num(names) && !found; i++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);

		if (name->type != GEN_DNS)
			continue;
		snprintf(text, cap, "%.*s", ASN1_STRING_length(name->d.dNSName), (const char *)ASN1_STRING_get0_data(name->d.dNSName));
		found = true;
	}
	if (!found)
		X509_NAME_get_text_by_NID(X509_get_subject_name(cert), NID_commonName, text, (int)cap);
	GENERAL_NAMES_free(names);
}

/* A certificate's time, as a day. */
static void day_of(const ASN1_TIME *time, char text[16])
{
	struct tm tm;

	if (!time || !ASN1_TIME_to_tm(time, &tm) || !strftime(text, 16, "%Y-%m-%d", &tm))
		strcpy(text, "an unknown day");
}

static int bad_certificate(const struct tls *s, int verdict, X509 *cert)
{
	const char *peer = s->name ? s->name : "the client";
	char shown[256] = "nobody", from[16], until[16];

	day_of(cert ? X509_get0_notBefore(cert) : NULL, from);
	day_of(cert ? X509_get0_notAfter(cert) : NULL, until);
	if (cert)
		name_in(cert, shown, sizeof(shown));
	switch (verdict) {
	case X509_V_ERR_CERT_HAS_EXPIRED:
		return transport_error("the certificate of %s has expired on %s: it must be renewed (--insecure takes it as it is)", peer, until);
	case X509_V_ERR_CERT_NOT_YET_VALID:
		return transport_error("the certificate of %s is valid from %s only: is a clock wrong? (--insecure takes it as it is)", peer, from);
	case X509_V_ERR_HOSTNAME_MISMATCH: case X509_V_ERR_IP_ADDRESS_MISMATCH:
		return transport_error("the certificate is for %s, not for %s: connect by the name in it (--insecure takes it as it is)", shown, peer);
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY: case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT: case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
	case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT: case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
		return transport_error("the certificate of %s is from an authority that we do not know: name its file with --ca (--insecure takes it as it is)", peer);
	default:
		return transport_error("the certificate of %s is refused: %s (--insecure takes it as it is)", peer, X509_verify_cert_error_string(verdict));
	}
}

/* OpenSSL forgets the certificate that it refuses: what is wrong with it is said while it is at hand. */
int tls_verified(int good, X509_STORE_CTX *store)
{
	SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
	struct tls *s = SSL_get_app_data(ssl);

	if (!good && !s->refused)
		s->refused = bad_certificate(s, X509_STORE_CTX_get_error(store), X509_STORE_CTX_get_current_cert(store));
	return good;
}

/* An alert of the peer's, by its number in the error's reason; 0: none that needs explaining. */
static int told_by_alert(const struct tls *s, int reason)
{
	switch (reason - SSL_AD_REASON_OFFSET) {
	case SSL_AD_CERTIFICATE_REQUIRED:
		return transport_error("the server asks for a client certificate: name it with --cert and --key");
	case SSL_AD_HANDSHAKE_FAILURE:
		return transport_error("the %s cannot agree with us on how to speak TLS%s", s->name ? "server" : "client",
		              s->name ? ", or asks for a client certificate (--cert and --key)" : "");
	case SSL_AD_UNKNOWN_CA: case SSL_AD_BAD_CERTIFICATE: case SSL_AD_CERTIFICATE_EXPIRED: case SSL_AD_CERTIFICATE_REVOKED:
	case SSL_AD_CERTIFICATE_UNKNOWN: case SSL_AD_UNSUPPORTED_CERTIFICATE: case SSL_AD_ACCESS_DENIED: case SSL_AD_DECRYPT_ERROR:
		return transport_error("the %s does not accept our certificate (%s)%s", s->name ? "server" : "client",
		              SSL_alert_desc_string_long(reason - SSL_AD_REASON_OFFSET), s->name ? ": --cert and --key name another" : "");
	case SSL_AD_NO_APPLICATION_PROTOCOL:
		return transport_error("the server takes none of the protocols that we offer: --alpn names them");
	case SSL_AD_PROTOCOL_VERSION:
		return transport_error("the %s speaks no version of TLS that we do (1.2, 1.3)", s->name ? "server" : "client");
	case SSL_AD_UNRECOGNIZED_NAME:
		return transport_error("the server does not serve the name %s", s->name ? s->name : "");
	default:
		return 0;
	}
}

/* From OpenSSL's queue of errors, which is emptied, and from what was met below: an error for transport_strerror(). */
static int explain(struct tls *s)
{
	unsigned long code = ERR_peek_error();
	int reason = ERR_GET_LIB(code) == ERR_LIB_SSL ? ERR_GET_REASON(code) : 0, told = told_by_alert(s, reason);
	bool shaking = !(s->l.t.state & LAYER_OPEN), gone = s->below_ended || s->below_error;
	const char *said = ERR_reason_error_string(code), *who = s->name ? "server" : "client";

	ERR_clear_error();
	if (reason == SSL_R_CERTIFICATE_VERIFY_FAILED)
		return s->refused ? s->refused : bad_certificate(s, (int)SSL_get_verify_result(s->ssl), NULL);
	if (told)
		return told;
	if (shaking && (reason == SSL_R_WRONG_VERSION_NUMBER || reason == SSL_R_PACKET_LENGTH_TOO_LONG || reason == SSL_R_HTTP_REQUEST))
		return s->name ? transport_error("the server speaks no TLS on this port: try tcp:// or ws://, or another port")
		               : transport_error("the client speaks no TLS on this TLS port");
	if (reason == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE)
		return transport_error("the client shows no certificate");
	if (shaking && gone)
		return transport_error("the %s ended the connection in the TLS handshake%s", who, s->name ? ": does it speak TLS on this port?" : "");
	return s->below_error ? s->below_error : transport_error("TLS: %s", said ? said : "failed");
}

/* ---- sending ---- */

/*
 * A handshake, or a KeyUpdate to be answered, has to write before it reads on. What comes meanwhile would be told, and not
 * read, again and again: who asks for keys and takes none could have us turn in a circle.
 */
static void hold(struct tls *s, bool held)
{
	unsigned state = s->l.t.state;

	s->held = held;
	s->l.below->ops->pause(s->l.below, held || state & LAYER_ENDED || (state & (LAYER_OPEN | LAYER_PAUSED)) == (LAYER_OPEN | LAYER_PAUSED));
}

/* What waits goes out, record by record. 0, -EAGAIN or -EPIPE. */
static int flush(struct tls *s)
{
	struct layer *l = &s->l;

	while (l->out) {
		ERR_clear_error();
		int n = SSL_write(s->ssl, l->out + l->out_at, (int)(l->out_len - l->out_at));

		if (n <= 0)
			return SSL_get_error(s->ssl, n) == SSL_ERROR_WANT_WRITE ? -EAGAIN : -EPIPE;
		l->out_at += (size_t)n;
		if (l->out_at == l->out_len) {
			free(l->out);
			l->out = NULL;
			l->out_at = l->out_len = 0;
		}
	}
	if ((l->t.state & (LAYER_FINISH | LAYER_FINISHED)) == LAYER_FINISH && l->t.state & LAYER_OPEN) {
		ERR_clear_error();
		int n = SSL_shutdown(s->ssl);

		if (n < 0 && SSL_get_error(s->ssl, n) == SSL_ERROR_WANT_WRITE)
			return -EAGAIN;
		l->t.state |= LAYER_FINISHED;
		l->below->ops->finish(l->below);
	}
	return 0;
}

/* A record that is half out is taken: OpenSSL wants these very bytes again. */
static ssize_t keep(struct tls *s, const uint8_t *bytes, size_t len)
{
	s->l.out = malloc(len);
	if (!s->l.out)
		return -ENOMEM;
	memcpy(s->l.out, bytes, len);
	s->l.out_len = len;
	s->l.t.state |= LAYER_WANTS_ROOM;
	return (ssize_t)len;
}

static ssize_t tls_send(struct transport *t, const void *bytes, size_t len)
{
	struct tls *s = tls_of((struct layer *)t);
	size_t done = 0;

	assert(!(t->state & LAYER_CLOSED));
	if (t->state & LAYER_ENDED && !(t->state & LAYER_OPEN))
		return -ENOTCONN;
	if (!(t->state & LAYER_OPEN) || (s->l.out && flush(s) == -EAGAIN)) {
		t->state |= LAYER_WANTS_ROOM;
		return -EAGAIN;
	}
	if (s->l.out || t->state & LAYER_FINISH)
		return -EPIPE;
	while (done < len) {
		const uint8_t *at = (const uint8_t *)bytes + done;
		int want = len - done < RECORD ? (int)(len - done) : RECORD, n;

		ERR_clear_error();
		n = SSL_write(s->ssl, at, want);
		if (n <= 0) {
			ssize_t kept = SSL_get_error(s->ssl, n) == SSL_ERROR_WANT_WRITE ? keep(s, at, (size_t)want) : -EPIPE;

			return kept > 0 ? (ssize_t)done + kept : kept;	/* an error is told at once: no room would follow */
		}
		done += (size_t)n;
	}
	return (ssize_t)done;
}

/* ---- receiving ---- */

static bool tls_waits(const struct layer *l)
{
	return l->t.state & LAYER_OPEN && !tls_of(l)->held && SSL_pending(tls_of(l)->ssl);	/* whole records only: there is no read-ahead */
}

static ssize_t tls_recv(struct transport *t, void *bytes, size_t len)
{
	struct tls *s = tls_of((struct layer *)t);
	int n;

	assert(!(t->state & LAYER_CLOSED));
	if (t->state & LAYER_ENDED)
		return layer_end(&s->l, t->error);
	if (!(t->state & LAYER_OPEN))
		return -EAGAIN;
	ERR_clear_error();
	n = SSL_read(s->ssl, bytes, len < INT32_MAX ? (int)len : INT32_MAX);
	if (n > 0) {
		layer_look(&s->l);
		return n;
	}
	switch (SSL_get_error(s->ssl, n)) {
	case SSL_ERROR_WANT_WRITE:
		hold(s, true);
		return -EAGAIN;
	case SSL_ERROR_WANT_READ:
		return -EAGAIN;
	case SSL_ERROR_ZERO_RETURN:
		return layer_end(&s->l, 0);
	}
	return layer_end(&s->l, explain(s));
}

/* ---- the handshake ---- */

static void shake(struct tls *s)
{
	struct layer *l = &s->l;
	int n, error;

	if (l->t.state & (LAYER_OPEN | LAYER_ENDED))
		return;
	ERR_clear_error();
	n = SSL_do_handshake(s->ssl);
	if (n == 1) {
		layer_opened(l);
		return;
	}
	error = SSL_get_error(s->ssl, n);
	if (error == SSL_ERROR_WANT_WRITE)
		hold(s, true);
	if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE)
		return;
	layer_fail(l, explain(s));
}

/* ---- events ---- */

static void on_below(struct transport *below, unsigned events)
{
	struct layer *l = below->owner;
	struct tls *s = tls_of(l);

	if (events & TRANSPORT_FAILED) {
		layer_failed_below(l);
		return;
	}
	if (events & TRANSPORT_WRITABLE && s->held) {
		hold(s, false);
		events |= TRANSPORT_READABLE;
	}
	if (!(l->t.state & LAYER_OPEN)) {
		shake(s);
		return;
	}
	/* An error is told as room: the next send says what it is. */
	if (events & TRANSPORT_WRITABLE && flush(s) != -EAGAIN && l->t.state & LAYER_WANTS_ROOM) {
		l->t.state &= ~(unsigned)LAYER_WANTS_ROOM;
		l->t.event(&l->t, TRANSPORT_WRITABLE);
		if (l->t.state & LAYER_CLOSED)
			return;
	}
	if (events & TRANSPORT_READABLE && !(l->t.state & (LAYER_PAUSED | LAYER_TOLD_END))) {
		l->t.event(&l->t, TRANSPORT_READABLE);
		if (!(l->t.state & LAYER_CLOSED))
			layer_look(l);
	}
}

/* ---- its end ---- */

static void tls_finish(struct transport *t)
{
	struct tls *s = tls_of((struct layer *)t);

	t->state |= LAYER_FINISH;
	if (t->state & LAYER_OPEN)
		flush(s);
	else if (s->l.accepted)			/* it has waited for long enough */
		s->l.below->ops->finish(s->l.below);
}

static void tls_pause(struct transport *t, bool pause)
{
	struct tls *s = tls_of((struct layer *)t);

	layer_pause(t, pause);
	if (s->held)
		hold(s, true);
}

static void tls_close(struct transport *t, bool reset)
{
	struct tls *s = tls_of((struct layer *)t);

	if (!(t->state & (LAYER_CLOSED | LAYER_FINISHED)) && !reset && t->state & LAYER_OPEN && !s->l.out) {
		ERR_clear_error();
		SSL_shutdown(s->ssl);		/* says goodbye; nobody waits for the answer */
	}
	layer_close(&s->l, reset);
}

static void tls_release(struct layer *l)
{
	struct tls *s = tls_of(l);

	SSL_free(s->ssl);
	s->ssl = NULL;
	free(s->name);
	s->name = NULL;
	ERR_clear_error();
}

static const struct transport_ops tls_ops = {
	.send = tls_send,
	.recv = tls_recv,
	.pause = tls_pause,
	.finish = tls_finish,
	.close = tls_close,
};

/* ---- making them ---- */

static struct tls *tls_new(struct transport *below, struct tls_context *context)
{
	struct tls *s = calloc(1, sizeof(*s));
	BIO *bio = s ? BIO_new(bio_method()) : NULL;

	if (bio)
		s->ssl = SSL_new(context->ctx);
	if (!bio || !s->ssl) {
		BIO_free(bio);
		free(s);
		below->ops->close(below, true);
		return NULL;
	}
	BIO_set_data(bio, s);
	BIO_set_init(bio, 1);
	SSL_set_bio(s->ssl, bio, bio);
	SSL_set_app_data(s->ssl, s);
	layer_init(&s->l, below, &tls_ops, on_below);
	s->l.waits = tls_waits;
	s->l.release = tls_release;
	return s;
}

struct transport *tls_client(struct transport *below, struct tls_context *context, const char *name)
{
	struct tls *s = tls_new(below, context);
	X509_VERIFY_PARAM *param;

	if (!s)
		return NULL;
	s->name = strdup(name);
	if (!s->name)
		abort();
	SSL_set_connect_state(s->ssl);
	param = SSL_get0_param(s->ssl);
	if (!X509_VERIFY_PARAM_set1_ip_asc(param, name)) {	/* a name, then */
		X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
		if (!X509_VERIFY_PARAM_set1_host(param, name, 0) || !SSL_set_tlsext_host_name(s->ssl, name))
			abort();		/* rather than to trust any name */
	}
	ERR_clear_error();
	return &s->l.t;
}

struct transport *tls_server(struct transport *below, struct tls_context *context)
{
	struct tls *s = tls_new(below, context);

	if (!s)
		return NULL;
	s->l.accepted = true;
	SSL_set_accept_state(s->ssl);
	return &s->l.t;
}

/* ---- what TLS has beside ---- */

/* Into text[cap]; whatever could be read differently by somebody else is refused. */
static bool only_common_name(X509_NAME *subject, char *text, size_t cap)
{
	int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1), len;
	unsigned char *utf8 = NULL;
	bool fits;

	if (at < 0 || X509_NAME_get_index_by_NID(subject, NID_commonName, at) >= 0)
		return false;
	len = ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
	fits = len > 0 && (size_t)len < cap && utf8_valid(span_of(utf8, (size_t)len));
	for (int i = 0; fits && i < len; i++)
		fits = utf8[i] >= ' ' && utf8[i] != 0x7f;
	if (fits) {
		memcpy(text, utf8, (size_t)len);
		text[len] = '\0';
	}
	OPENSSL_free(utf8);
	ERR_clear_error();
	return fits;
}

bool tls_peer_name(const struct transport *t, char *name, size_t cap)
{
	X509 *cert;
	bool named;

	if (t->ops != &tls_ops || SSL_get_verify_result(((const struct tls *)t)->ssl) != X509_V_OK)
		return false;
	cert = SSL_get1_peer_certificate(((const struct tls *)t)->ssl);
	named = cert && only_common_name(X509_get_subject_name(cert), name, cap);
	X509_free(cert);
	return named;
}

bool tls_is(const struct transport *t)
{
	return t->ops == &tls_ops;
}

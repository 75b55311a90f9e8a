/* What OpenSSL's two ends say to each other is the tape; what they meant to say is what must come out of the stage. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include "pcap/tls_stage.h"

enum { CLIENT, SERVER };

/* ---- what is said ---- */

struct chunk {			/* what one end sent at one go */
	unsigned end;
	uint8_t *bytes;
	size_t len;
	bool data;			/* nothing but one record of application data: */
	size_t plain, plain_len;	/* its place in what that end meant to say */
};

struct tape {
	struct chunk chunks[512];
	size_t n, n_handshake;		/* chunks; those before the first application data */
	char keylog[8192];
	struct { uint8_t *bytes; size_t len; } said[2];
};

enum feature {
	RESUMED = 1, RETRY = 2, UPDATES = 4, EARLY_TAKEN = 8, EARLY_REFUSED = 16, SMALL = 32, PADDED = 64, RENEGOTIATES = 128, RSA_CERT = 256, PSK = 512,
	MUTUAL = 1024, REFUSED = 2048, TICKETS_OFF = 4096,
};

static const struct row {
	const char *name;
	int version;
	const char *suite;		/* of TLS 1.2 and before, or of 1.3 */
	unsigned features;
	const char *why_not;		/* NULL: it is read */
} rows[] = {
	{ "1.2 ECDHE-ECDSA-AES128-GCM-SHA256", TLS1_2_VERSION, "ECDHE-ECDSA-AES128-GCM-SHA256", 0, NULL },
	{ "1.2 ECDHE-ECDSA-AES256-GCM-SHA384", TLS1_2_VERSION, "ECDHE-ECDSA-AES256-GCM-SHA384", 0, NULL },
	{ "1.2 ECDHE-ECDSA-CHACHA20-POLY1305", TLS1_2_VERSION, "ECDHE-ECDSA-CHACHA20-POLY1305", 0, NULL },
	{ "1.2 ECDHE-ECDSA-AES128-CCM", TLS1_2_VERSION, "ECDHE-ECDSA-AES128-CCM", 0, NULL },
	{ "1.2 ECDHE-ECDSA-AES256-CCM", TLS1_2_VERSION, "ECDHE-ECDSA-AES256-CCM", 0, NULL },
	{ "1.2 ECDHE-ECDSA-AES128-CCM8", TLS1_2_VERSION, "ECDHE-ECDSA-AES128-CCM8", 0, NULL },
	{ "1.2 ECDHE-ECDSA-AES256-CCM8", TLS1_2_VERSION, "ECDHE-ECDSA-AES256-CCM8", 0, NULL },
	{ "1.2 ECDHE-RSA-AES128-GCM-SHA256", TLS1_2_VERSION, "ECDHE-RSA-AES128-GCM-SHA256", RSA_CERT, NULL },
	{ "1.2 ECDHE-RSA-AES256-GCM-SHA384", TLS1_2_VERSION, "ECDHE-RSA-AES256-GCM-SHA384", RSA_CERT, NULL },
	{ "1.2 ECDHE-RSA-CHACHA20-POLY1305", TLS1_2_VERSION, "ECDHE-RSA-CHACHA20-POLY1305", RSA_CERT, NULL },
	{ "1.2 DHE-RSA-AES128-GCM-SHA256", TLS1_2_VERSION, "DHE-RSA-AES128-GCM-SHA256", RSA_CERT, NULL },
	{ "1.2 DHE-RSA-AES256-CCM", TLS1_2_VERSION, "DHE-RSA-AES256-CCM", RSA_CERT, NULL },
	{ "1.2 DHE-RSA-AES128-CCM8", TLS1_2_VERSION, "DHE-RSA-AES128-CCM8", RSA_CERT, NULL },
	{ "1.2 AES128-GCM-SHA256", TLS1_2_VERSION, "AES128-GCM-SHA256", RSA_CERT, NULL },
	{ "1.2 AES256-GCM-SHA384", TLS1_2_VERSION, "AES256-GCM-SHA384", RSA_CERT, NULL },
	{ "1.2 AES128-CCM", TLS1_2_VERSION, "AES128-CCM", RSA_CERT, NULL },
	{ "1.2 AES256-CCM8", TLS1_2_VERSION, "AES256-CCM8", RSA_CERT, NULL },
	{ "1.2 PSK-AES128-GCM-SHA256", TLS1_2_VERSION, "PSK-AES128-GCM-SHA256", PSK, NULL },
	{ "1.2 PSK-AES256-GCM-SHA384", TLS1_2_VERSION, "PSK-AES256-GCM-SHA384", PSK, NULL },
	{ "1.2 PSK-AES128-CCM8", TLS1_2_VERSION, "PSK-AES128-CCM8", PSK, NULL },
	{ "1.2 DHE-PSK-AES256-CCM", TLS1_2_VERSION, "DHE-PSK-AES256-CCM", PSK, NULL },
	{ "1.2 ECDHE-PSK-CHACHA20-POLY1305", TLS1_2_VERSION, "ECDHE-PSK-CHACHA20-POLY1305", PSK, NULL },
	{ "1.2 resumed by ticket", TLS1_2_VERSION, "ECDHE-ECDSA-AES128-GCM-SHA256", RESUMED, NULL },
	{ "1.2 resumed by session id", TLS1_2_VERSION, "ECDHE-ECDSA-AES256-GCM-SHA384", RESUMED | TICKETS_OFF, NULL },
	{ "1.2 with both ends' certificates", TLS1_2_VERSION, "ECDHE-ECDSA-AES128-GCM-SHA256", MUTUAL, NULL },
	{ "1.2 messages across records", TLS1_2_VERSION, "ECDHE-RSA-AES128-GCM-SHA256", RSA_CERT | SMALL | MUTUAL, NULL },
	{ "1.2 renegotiated", TLS1_2_VERSION, "ECDHE-ECDSA-AES128-GCM-SHA256", RENEGOTIATES, "its keys were renegotiated, which is not read" },
	{ "1.2 CBC", TLS1_2_VERSION, "ECDHE-ECDSA-AES256-SHA384", 0, "cipher suite 0xc024 (TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA384) is not read" },
	{ "1.2 CBC of RSA", TLS1_2_VERSION, "AES128-SHA", RSA_CERT, "cipher suite 0x002f (TLS_RSA_WITH_AES_128_CBC_SHA) is not read" },
	{ "1.2 another cipher", TLS1_2_VERSION, "ECDHE-ECDSA-ARIA128-GCM-SHA256", 0, "cipher suite 0xc05c is not read" },
	{ "1.2 refused", TLS1_2_VERSION, "ECDHE-ECDSA-AES128-GCM-SHA256", REFUSED, "its handshake failed: alert 40, handshake failure" },
	{ "1.1", TLS1_1_VERSION, "ECDHE-ECDSA-AES128-SHA", 0, "TLS 1.1 is not read" },
	{ "1.0", TLS1_VERSION, "ECDHE-ECDSA-AES128-SHA", 0, "TLS 1.0 is not read" },
	{ "1.3 TLS_AES_128_GCM_SHA256", TLS1_3_VERSION, "TLS_AES_128_GCM_SHA256", 0, NULL },
	{ "1.3 TLS_AES_256_GCM_SHA384", TLS1_3_VERSION, "TLS_AES_256_GCM_SHA384", 0, NULL },
	{ "1.3 TLS_CHACHA20_POLY1305_SHA256", TLS1_3_VERSION, "TLS_CHACHA20_POLY1305_SHA256", 0, NULL },
	{ "1.3 TLS_AES_128_CCM_SHA256", TLS1_3_VERSION, "TLS_AES_128_CCM_SHA256", 0, NULL },
	{ "1.3 TLS_AES_128_CCM_8_SHA256", TLS1_3_VERSION, "TLS_AES_128_CCM_8_SHA256", 0, NULL },
	{ "1.3 with an RSA certificate", TLS1_3_VERSION, "TLS_AES_256_GCM_SHA384", RSA_CERT, NULL },
	{ "1.3 resumed", TLS1_3_VERSION, "TLS_AES_256_GCM_SHA384", RESUMED, NULL },
	{ "1.3 HelloRetryRequest", TLS1_3_VERSION, "TLS_AES_128_GCM_SHA256", RETRY, NULL },
	{ "1.3 key updates", TLS1_3_VERSION, "TLS_AES_128_GCM_SHA256", UPDATES, NULL },
	{ "1.3 key updates, SHA-384", TLS1_3_VERSION, "TLS_AES_256_GCM_SHA384", UPDATES, NULL },
	{ "1.3 early data", TLS1_3_VERSION, "TLS_AES_128_GCM_SHA256", RESUMED | EARLY_TAKEN, NULL },
	{ "1.3 early data that is refused", TLS1_3_VERSION, "TLS_AES_128_GCM_SHA256", RESUMED | EARLY_REFUSED, NULL },
	{ "1.3 with both ends' certificates", TLS1_3_VERSION, "TLS_CHACHA20_POLY1305_SHA256", MUTUAL, NULL },
	{ "1.3 messages across records", TLS1_3_VERSION, "TLS_AES_128_GCM_SHA256", RSA_CERT | SMALL | MUTUAL, NULL },
	{ "1.3 padded", TLS1_3_VERSION, "TLS_AES_128_GCM_SHA256", PADDED, NULL },
	{ "1.3 refused", TLS1_3_VERSION, "TLS_AES_128_GCM_SHA256", REFUSED, "its handshake failed: alert 40, handshake failure" },
};

enum { N_ROWS = sizeof(rows) / sizeof(*rows) };

static struct tape tapes[N_ROWS];
static struct tape *recording;	/* whose key log is written; NULL: nobody's */

static uint64_t dice(uint64_t *state)
{
	*state ^= *state << 13, *state ^= *state >> 7, *state ^= *state << 17;
	return *state;
}

/* ---- OpenSSL's ends ---- */

static void logs(const SSL *ssl, const char *line)
{
	(void)ssl;
	if (!recording)
		return;
	size_t len = strlen(recording->keylog);
	assert_true(len + strlen(line) + 2 < sizeof(recording->keylog));
	snprintf(recording->keylog + len, sizeof(recording->keylog) - len, "%s\n", line);
}

static void certify(SSL_CTX *ctx, bool rsa)
{
	static EVP_PKEY *keys[2];
	static X509 *certificates[2];

	if (!keys[rsa]) {
		X509 *x = certificates[rsa] = X509_new();

		keys[rsa] = rsa ? EVP_RSA_gen(2048) : EVP_EC_gen("P-256");
		assert_non_null(keys[rsa]);
		X509_set_version(x, 2);
		ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
		X509_gmtime_adj(X509_getm_notBefore(x), -60);
		X509_gmtime_adj(X509_getm_notAfter(x), 3600);
		X509_set_pubkey(x, keys[rsa]);
		X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC, (const uint8_t *)"localhost", -1, -1, 0);
		X509_set_issuer_name(x, X509_get_subject_name(x));
		assert_true(X509_sign(x, keys[rsa], EVP_sha256()) > 0);
	}
	assert_int_equal(SSL_CTX_use_certificate(ctx, certificates[rsa]), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey(ctx, keys[rsa]), 1);
}

static unsigned psk_of_client(SSL *ssl, const char *hint, char *identity, unsigned cap, unsigned char *psk, unsigned psk_cap)
{
	(void)ssl, (void)hint, (void)psk_cap;
	snprintf(identity, cap, "me");
	memset(psk, 7, 16);
	return 16;
}

static unsigned psk_of_server(SSL *ssl, const char *identity, unsigned char *psk, unsigned cap)
{
	(void)ssl, (void)identity, (void)cap;
	memset(psk, 7, 16);
	return 16;
}

static int any_certificate(int ok, X509_STORE_CTX *ctx)
{
	(void)ok, (void)ctx;
	return 1;
}

static int selects(SSL *ssl, const unsigned char **out, unsigned char *len, const unsigned char *in, unsigned in_len, void *arg)
{
	(void)ssl, (void)arg;
	return SSL_select_next_proto((unsigned char **)out, len, (const unsigned char *)"\4mqtt", 5, in, in_len) == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK
	                                                                                                                                  : SSL_TLSEXT_ERR_NOACK;
}

static SSL_CTX *context(const struct row *row, bool server)
{
	SSL_CTX *ctx = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());
	char list[128];

	snprintf(list, sizeof(list), "%s:@SECLEVEL=0", server && row->features & REFUSED ? "ECDHE-ECDSA-AES256-GCM-SHA384" : row->suite);
	SSL_CTX_set_min_proto_version(ctx, row->version);
	SSL_CTX_set_max_proto_version(ctx, row->version);
	if (row->version == TLS1_3_VERSION)
		assert_int_equal(SSL_CTX_set_ciphersuites(ctx, server && row->features & REFUSED ? "TLS_AES_256_GCM_SHA384" : row->suite), 1);
	else
		assert_int_equal(SSL_CTX_set_cipher_list(ctx, list), 1);
	SSL_CTX_set_keylog_callback(ctx, server ? NULL : logs);
	SSL_CTX_set_dh_auto(ctx, 1);
	if (row->features & RETRY)
		assert_int_equal(SSL_CTX_set1_groups_list(ctx, server ? "P-384" : "X25519:P-384"), 1);
	if (row->features & PSK) {
		SSL_CTX_set_psk_client_callback(ctx, psk_of_client);
		SSL_CTX_set_psk_server_callback(ctx, psk_of_server);
	} else if (server || row->features & MUTUAL) {
		certify(ctx, row->features & RSA_CERT);
	}
	if (server && row->features & MUTUAL)
		SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, any_certificate);
	if (server)
		SSL_CTX_set_alpn_select_cb(ctx, selects, NULL);
	else
		SSL_CTX_set_alpn_protos(ctx, (const uint8_t *)"\2x1\4mqtt", 8);
	if (row->features & SMALL)
		SSL_CTX_set_max_send_fragment(ctx, 512);
	if (row->features & PADDED)
		SSL_CTX_set_block_padding(ctx, 256);
	if (row->features & RENEGOTIATES)
		SSL_CTX_set_options(ctx, SSL_OP_ALLOW_CLIENT_RENEGOTIATION);
	if (row->features & TICKETS_OFF)
		SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
	SSL_CTX_set_session_id_context(ctx, (const uint8_t *)"t", 1);
	SSL_CTX_set_max_early_data(ctx, row->features & (EARLY_TAKEN | EARLY_REFUSED) ? 16384 : 0);
	return ctx;
}

/* What ssl has written goes to the other one, and onto the tape. */
static bool carry(struct tape *tape, SSL *const ends[2], unsigned from)
{
	uint8_t *bytes;
	long len = BIO_get_mem_data(SSL_get_wbio(ends[from]), &bytes);

	if (len <= 0)
		return false;
	BIO_write(SSL_get_rbio(ends[!from]), bytes, (int)len);
	if (tape) {
		assert_true(tape->n < sizeof(tape->chunks) / sizeof(*tape->chunks));
		struct chunk *chunk = &tape->chunks[tape->n++];
		*chunk = (struct chunk){ .end = from, .bytes = malloc((size_t)len), .len = (size_t)len };
		memcpy(chunk->bytes, bytes, (size_t)len);
	}
	BIO_reset(SSL_get_wbio(ends[from]));
	return true;
}

static void work(SSL *ssl, bool early)
{
	static uint8_t sink[65536];
	size_t n;

	if (early && SSL_is_server(ssl) && SSL_in_init(ssl) && SSL_get_early_data_status(ssl) != SSL_EARLY_DATA_REJECTED)
		while (SSL_read_early_data(ssl, sink, sizeof(sink), &n) == SSL_READ_EARLY_DATA_SUCCESS)
			;
	else if (SSL_in_init(ssl))
		SSL_do_handshake(ssl);
	while (!SSL_in_init(ssl) && SSL_read(ssl, sink, sizeof(sink)) > 0)
		;
	ERR_clear_error();
}

static void pump(struct tape *tape, SSL *const ends[2], bool early)
{
	for (bool moved = true; moved;) {
		work(ends[CLIENT], early);
		moved = carry(tape, ends, CLIENT);
		work(ends[SERVER], early);
		moved |= carry(tape, ends, SERVER);
	}
}

/* Text in which every place is told from every other. */
static void says(struct tape *tape, SSL *const ends[2], unsigned end, size_t len, bool early)
{
	size_t from = tape->said[end].len, before = tape->n;
	uint8_t *bytes = tape->said[end].bytes = realloc(tape->said[end].bytes, from + len + 16);

	while (tape->said[end].len < from + len)
		tape->said[end].len += (size_t)sprintf((char *)bytes + tape->said[end].len, "%c%06zx", "CS"[end], tape->said[end].len);
	tape->said[end].len = from + len;
	assert_int_equal(SSL_write(ends[end], bytes + from, (int)len), len);
	assert_true(carry(tape, ends, end));
	struct chunk *chunk = &tape->chunks[before];
	chunk->data = chunk->len == 5 + (size_t)(chunk->bytes[3] << 8 | chunk->bytes[4]);	/* and no key update before it */
	chunk->plain = from;
	chunk->plain_len = len;
	pump(tape, ends, early);
}

static void ends_new(SSL_CTX *const ctx[2], SSL *ends[2])
{
	for (unsigned i = 0; i < 2; i++) {
		ends[i] = SSL_new(ctx[i]);
		BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
		SSL_set_bio(ends[i], in, out);
	}
	SSL_set_connect_state(ends[CLIENT]);
	SSL_set_accept_state(ends[SERVER]);
	SSL_set_tlsext_host_name(ends[CLIENT], "broker.example");
}

static void record(const struct row *row, struct tape *tape)
{
	SSL_CTX *ctx[2] = { context(row, false), context(row, true) };
	SSL_SESSION *session = NULL;
	SSL *ends[2];
	uint64_t seed = 88172645463325252u;
	bool early = row->features & (EARLY_TAKEN | EARLY_REFUSED), taken = row->features & EARLY_TAKEN;

	if (row->features & RESUMED) {
		ends_new(ctx, ends);
		pump(NULL, ends, false);
		session = SSL_get1_session(ends[CLIENT]);
		SSL_set_shutdown(ends[0], SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);	/* or it would not count */
		SSL_set_shutdown(ends[1], SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
		SSL_free(ends[0]);
		SSL_free(ends[1]);
	}
	recording = tape;
	ends_new(ctx, ends);
	if (session) {
		SSL_set_session(ends[CLIENT], session);
		SSL_SESSION_free(session);
	}
	if (early) {
		size_t n;

		assert_int_equal(SSL_write_early_data(ends[CLIENT], "early and short", 15, &n), 1);
		carry(tape, ends, CLIENT);
	}
	pump(tape, ends, taken);
	tape->n_handshake = tape->n;
	if (!(row->features & REFUSED)) {
		assert_true(SSL_is_init_finished(ends[CLIENT]) && SSL_is_init_finished(ends[SERVER]));
		assert_int_equal(SSL_session_reused(ends[CLIENT]), (row->features & RESUMED) != 0);
		for (unsigned i = 0; i < 60; i++) {
			unsigned end = i ? dice(&seed) % 3 == 0 : CLIENT;

			if (row->features & UPDATES && i % 12 == 11) {
				SSL_key_update(ends[i % 24 == 11], i % 36 == 11 ? SSL_KEY_UPDATE_REQUESTED : SSL_KEY_UPDATE_NOT_REQUESTED);
				SSL_do_handshake(ends[i % 24 == 11]);
				pump(tape, ends, false);
			}
			if (row->features & RENEGOTIATES && i == 30) {
				assert_int_equal(SSL_renegotiate(ends[CLIENT]), 1);
				pump(tape, ends, false);
				assert_true(SSL_num_renegotiations(ends[CLIENT]) == 1);
				break;
			}
			says(tape, ends, end, i % 20 == 19 ? 40000 : 1 + dice(&seed) % (i % 7 ? 300 : 6000), false);
		}
		SSL_shutdown(ends[CLIENT]);
		pump(tape, ends, false);
	}
	recording = NULL;
	for (unsigned i = 0; i < 2; i++) {
		SSL_free(ends[i]);
		SSL_CTX_free(ctx[i]);
	}
}

static const struct tape *tape_of(const struct row *row)
{
	struct tape *tape = &tapes[row - rows];

	if (!tape->n)
		record(row, tape);
	return tape;
}

static const struct tape *tape_named(const char *name)
{
	for (size_t i = 0; i < N_ROWS; i++)
		if (!strcmp(rows[i].name, name))
			return tape_of(&rows[i]);
	fail_msg("no row %s", name);
	return NULL;
}

/* ---- what comes out ---- */

struct piece {
	bool hole;
	uint64_t len;			/* of a hole; 0: nobody knows */
	size_t from, n;			/* of bytes: in got[] */
};

struct sink {			/* above the stage */
	struct stage stage;
	uint8_t *got[2];
	size_t n_got[2], cap[2];
	struct piece pieces[2][1024];
	size_t n_pieces[2];
	unsigned closed, ended;
};

static struct piece *add_piece(struct sink *s, unsigned end)
{
	assert_true(end < 2 && s->n_pieces[end] < 1024 && !s->ended);
	return &s->pieces[end][s->n_pieces[end]++];
}

static void sink_bytes(struct stage *stage, unsigned end, struct span bytes, const struct when *when)
{
	struct sink *s = (struct sink *)stage;

	assert_true(bytes.len > 0 && when->frame > 0);
	if (s->n_got[end] + bytes.len > s->cap[end])
		s->got[end] = realloc(s->got[end], s->cap[end] = 2 * (s->n_got[end] + bytes.len));
	memcpy(s->got[end] + s->n_got[end], bytes.at, bytes.len);
	*add_piece(s, end) = (struct piece){ .from = s->n_got[end], .n = bytes.len };
	s->n_got[end] += bytes.len;
}

static void sink_hole(struct stage *stage, unsigned end, uint64_t len, enum hole_why why, const struct when *when)
{
	(void)why;
	assert_true(when->frame > 0);
	*add_piece((struct sink *)stage, end) = (struct piece){ .hole = true, .len = len };
}

static void sink_closed(struct stage *stage, unsigned end, bool reset, const struct when *when)
{
	(void)end, (void)reset, (void)when;
	((struct sink *)stage)->closed++;
}

static void sink_ended(struct stage *stage, const struct when *when)
{
	(void)when;
	((struct sink *)stage)->ended++;
}

static const struct stage_ops sink_ops = { sink_bytes, sink_hole, sink_closed, sink_ended };

struct play {			/* one reading of a tape */
	const struct tape *tape;
	struct sink sink;
	struct tls_notes notes;
	struct keylog *keylog;
	struct tls_shared *shared;
	struct stage *stage;
	struct when when;
};

static void play_begin(struct play *p, const struct tape *tape, const char *keylog)
{
	memset(p, 0, sizeof(*p));
	p->tape = tape;
	p->sink.stage.ops = &sink_ops;
	p->keylog = keylog_new();
	if (keylog)
		keylog_add(p->keylog, span_text(keylog));
	p->shared = tls_shared_new(p->keylog);
	p->stage = tls_stage_new(p->shared, &p->sink.stage, &p->notes);
	assert_non_null(p->stage);
}

/* From memory of the exact size, so that a sanitizer sees the first byte too far. */
static void play_bytes(struct play *p, unsigned end, const uint8_t *bytes, size_t len)
{
	uint8_t *exact = malloc(len ? len : 1);

	memcpy(exact, bytes, len);
	p->when.frame++;
	p->stage->ops->bytes(p->stage, end, span_of(exact, len), &p->when);
	free(exact);
}

static void play_cut(struct play *p, unsigned end, const uint8_t *bytes, size_t len, size_t piece, uint64_t *seed)
{
	while (len) {
		size_t n = piece ? piece : 1 + dice(seed) % 2000;

		n = n < len ? n : len;
		play_bytes(p, end, bytes, n);
		bytes += n;
		len -= n;
	}
}

static void play_hole(struct play *p, unsigned end, uint64_t len)
{
	p->when.frame++;
	p->stage->ops->hole(p->stage, end, len, HOLE_LOST, &p->when);
}

static void play_end(struct play *p)
{
	p->when.frame++;
	p->stage->ops->closed(p->stage, 0, false, &p->when);
	p->stage->ops->closed(p->stage, 1, false, &p->when);
	p->stage->ops->ended(p->stage, &p->when);
	assert_int_equal(p->sink.ended, 1);
	assert_int_equal(p->sink.closed, 2);
}

static void play_release(struct play *p)
{
	tls_shared_free(p->shared);
	keylog_free(p->keylog);
	free(p->sink.got[0]);
	free(p->sink.got[1]);
}

static void is_whole(const struct play *p)
{
	for (unsigned end = 0; end < 2; end++) {
		assert_int_equal(p->sink.n_got[end], p->tape->said[end].len);
		assert_memory_equal(p->sink.got[end], p->tape->said[end].bytes, p->sink.n_got[end]);
		for (size_t i = 0; i < p->sink.n_pieces[end]; i++)
			assert_false(p->sink.pieces[end][i].hole);
	}
}

/* Everything that came out was said, at the place where it came out; found[] marks those bytes. */
static void is_true(const struct play *p, unsigned end, uint8_t *found)
{
	const uint8_t *said = p->tape->said[end].bytes;
	size_t at = 0, len = p->tape->said[end].len;
	bool sure = true;

	for (size_t i = 0; i < p->sink.n_pieces[end]; i++) {
		const struct piece *piece = &p->sink.pieces[end][i];

		if (piece->hole) {
			at += piece->len;
			sure &= piece->len != 0;
			continue;
		}
		const uint8_t *bytes = p->sink.got[end] + piece->from;
		if (!sure && piece->n >= 14) {	/* long enough to be there once */
			const uint8_t *there = memmem(said + at, len - at, bytes, piece->n);

			assert_non_null(there);
			at = (size_t)(there - said);
			sure = true;
		}
		if (sure) {
			assert_true(at + piece->n <= len);
			assert_memory_equal(bytes, said + at, piece->n);
			memset(found + at, 1, piece->n);
			at += piece->n;
		}
	}
}

/* ---- the tests ---- */

static void reads(const struct row *row, size_t piece)
{
	const struct tape *tape = tape_of(row);
	struct play p;
	uint64_t seed = 1 + piece;

	play_begin(&p, tape, tape->keylog);
	for (size_t i = 0; i < tape->n; i++)
		if (piece == SIZE_MAX)
			play_bytes(&p, tape->chunks[i].end, tape->chunks[i].bytes, tape->chunks[i].len);
		else
			play_cut(&p, tape->chunks[i].end, tape->chunks[i].bytes, tape->chunks[i].len, piece, &seed);
	play_end(&p);
	assert_true(p.notes.client_hello);
	assert_int_equal(p.notes.client_end, 0);
	assert_string_equal(p.notes.server_name, "broker.example");
	if (row->why_not) {
		assert_non_null(p.notes.why_not);
		assert_string_equal(p.notes.why_not, row->why_not);
		assert_int_equal(p.notes.readable, (row->features & RENEGOTIATES) != 0);
		assert_int_equal(p.sink.n_got[0] > 0, (row->features & RENEGOTIATES) != 0);
	} else {
		assert_true(p.notes.readable && !p.notes.why_not);
		assert_string_equal(p.notes.alpn, "mqtt");
		if (row->features & EARLY_TAKEN) {		/* said, and not read: a hole before the rest */
			assert_true(p.sink.pieces[0][0].hole);
			memmove(&p.sink.pieces[0][0], &p.sink.pieces[0][1], --p.sink.n_pieces[0] * sizeof(struct piece));
		}
		is_whole(&p);
	}
	play_release(&p);
}

static void reads_in_any_pieces(void **state)
{
	static const size_t pieces[] = { SIZE_MAX, 1, 5, 61, 536, 1460, 0 };

	for (size_t i = 0; i < sizeof(pieces) / sizeof(*pieces); i++)
		reads(*state, pieces[i]);
}

/* The server's end may be end 0 of the flow. */
static void ends_the_other_way_round(void **state)
{
	const struct tape *tape = tape_named("1.3 resumed");
	struct play p;

	(void)state;
	play_begin(&p, tape, tape->keylog);
	for (size_t i = 0; i < tape->n; i++)
		play_bytes(&p, !tape->chunks[i].end, tape->chunks[i].bytes, tape->chunks[i].len);
	play_end(&p);
	assert_int_equal(p.notes.client_end, 1);
	assert_int_equal(p.sink.n_got[0], tape->said[1].len);
	assert_memory_equal(p.sink.got[1], tape->said[0].bytes, tape->said[0].len);
	play_release(&p);
}

static const char *const both[] = { "1.2 ECDHE-ECDSA-AES128-GCM-SHA256", "1.2 ECDHE-ECDSA-CHACHA20-POLY1305", "1.3 TLS_AES_256_GCM_SHA384", "1.3 key updates" };

enum { N_BOTH = sizeof(both) / sizeof(*both) };

/* Lines that come after the packets: all is read as soon as they are there, and bytes keep their frames. */
static void late_keys(void **state)
{
	(void)state;
	for (size_t row = 0; row < N_BOTH; row++)
		for (size_t late = 1; late < 12; late++) {
			const struct tape *tape = tape_named(both[row]);
			struct play p;
			uint64_t seed = late;

			play_begin(&p, tape, NULL);
			for (size_t i = 0; i < tape->n; i++) {
				if (i == late)
					keylog_add(p.keylog, span_text(tape->keylog));
				play_cut(&p, tape->chunks[i].end, tape->chunks[i].bytes, tape->chunks[i].len, late % 2 ? 700 : 0, &seed);
			}
			play_end(&p);
			is_whole(&p);
			play_release(&p);
		}
}

/* Lines in the order and one by one, as a program writes them while it talks. */
static void keys_line_by_line(void **state)
{
	const struct tape *tape = tape_named("1.3 TLS_AES_128_GCM_SHA256");
	struct play p;
	const char *line = tape->keylog;

	(void)state;
	play_begin(&p, tape, NULL);
	for (size_t i = 0; i < tape->n; i++) {
		size_t len = strcspn(line, "\n");

		play_bytes(&p, tape->chunks[i].end, tape->chunks[i].bytes, tape->chunks[i].len);
		keylog_add(p.keylog, span_of(line, len));
		line += line[len] ? len + 1 : len;
	}
	play_end(&p);
	is_whole(&p);
	play_release(&p);
}

/* Lines that come at the very last moment, and those that never come; what waits is bounded. */
static void keys_at_the_end(void **state)
{
	(void)state;
	for (size_t row = 0; row < N_BOTH; row++)
		for (unsigned come = 0; come < 2; come++) {
			const struct tape *tape = tape_named(both[row]);
			struct play p;
			size_t bytes = 0;

			play_begin(&p, tape, NULL);
			for (size_t i = 0; i < tape->n && bytes + tape->chunks[i].len < 40000; i++) {
				play_bytes(&p, tape->chunks[i].end, tape->chunks[i].bytes, tape->chunks[i].len);
				bytes += tape->chunks[i].len;
			}
			assert_true(!p.notes.readable && !p.notes.why_not);
			if (come)
				keylog_add(p.keylog, span_text(tape->keylog));
			play_end(&p);
			assert_int_equal(p.notes.readable, come);
			if (come)
				assert_null(p.notes.why_not);
			else
				assert_string_equal(p.notes.why_not, "no keys");
			assert_memory_equal(p.sink.got[0] ? p.sink.got[0] : tape->said[0].bytes, tape->said[0].bytes, p.sink.n_got[0]);
			play_release(&p);
		}
}

static void too_late_keys(void **state)
{
	(void)state;
	for (size_t row = 0; row < N_BOTH; row++) {
		const struct tape *tape = tape_named(both[row]);
		struct play p;
		size_t bytes = 0;

		play_begin(&p, tape, NULL);
		for (size_t i = 0; i < tape->n; i++) {
			play_bytes(&p, tape->chunks[i].end, tape->chunks[i].bytes, tape->chunks[i].len);
			bytes += tape->chunks[i].len;
			assert_true(bytes < 70000 || p.notes.why_not);
		}
		assert_string_equal(p.notes.why_not, "no keys");
		keylog_add(p.keylog, span_text(tape->keylog));
		play_bytes(&p, 0, (const uint8_t *)"more", 4);
		play_end(&p);
		assert_false(p.notes.readable);
		assert_int_equal(p.sink.n_pieces[0] + p.sink.n_pieces[1], 0);
		play_release(&p);
	}
}

/* The secrets of another connection under this one's random; secrets of a wrong length. */
static void wrong_keys(void **state)
{
	(void)state;
	for (size_t row = 0; row < N_BOTH; row++)
		for (unsigned cut = 0; cut < 2; cut++) {
			const struct tape *tape = tape_named(both[row]);
			struct play p;
			char keylog[sizeof(tape->keylog)];

			memcpy(keylog, tape->keylog, sizeof(keylog));
			for (char *newline = strchr(keylog, '\n'); newline; newline = strchr(newline + 1, '\n')) {
				if (cut)
					newline[-1] = newline[-2] = ' ';
				else
					newline[-1] = newline[-1] == '0' ? '1' : '0';
			}
			play_begin(&p, tape, keylog);
			for (size_t i = 0; i < tape->n; i++)
				play_bytes(&p, tape->chunks[i].end, tape->chunks[i].bytes, tape->chunks[i].len);
			play_end(&p);
			assert_false(p.notes.readable);
			assert_string_equal(p.notes.why_not, cut ? "its secret in the key log has the wrong length" : "its keys in the key log do not fit");
			assert_int_equal(p.sink.n_got[0] + p.sink.n_got[1], 0);
			play_release(&p);
		}
}

/* The traffic secrets alone are enough to read the traffic. */
static void without_handshake_secrets(void **state)
{
	const struct tape *tape = tape_named("1.3 TLS_AES_128_GCM_SHA256");
	struct play p;

	(void)state;
	play_begin(&p, tape, NULL);
	for (const char *line = tape->keylog; *line;) {
		size_t len = strcspn(line, "\n");

		if (!strstr((char[32]){ line[7], line[8], line[9], line[10], line[11], line[12], line[13] }, "HAND"))
			keylog_add(p.keylog, span_of(line, len));
		line += line[len] ? len + 1 : len;
	}
	for (size_t i = 0; i < tape->n; i++)
		play_bytes(&p, tape->chunks[i].end, tape->chunks[i].bytes, tape->chunks[i].len);
	play_end(&p);
	assert_true(p.notes.readable);
	is_whole(&p);
	play_release(&p);
}

/* What is no TLS, or was joined midway, says so and passes nothing. */
static void not_tls(void **state)
{
	static const struct { const char *bytes; size_t len; const char *why; } cases[] = {
		{ "\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00junk and more of it", 29, "its ClientHello is malformed" },
		{ "\x10\x0e\x00\x04MQTT\x04\x02\x00\x3c\x00\x02me", 16, "it is not TLS after all" },
		{ "\x17\x03\x03\x00\x05hello", 10, "its ClientHello was not captured" },
		{ "\x16\x03\x03\x00\x30\x02\x00\x00\x2c\x03\x03" "0123456789abcdef0123456789abcdef" "\x00\xc0\x2b\x00\x00\x04" "abcd", 53, "its ClientHello was not captured" },
		{ "\x16\x03", 2, "its ClientHello was not captured" },
		{ "", 0, "its ClientHello was not captured" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct play p;

		play_begin(&p, NULL, NULL);
		play_bytes(&p, 1, (const uint8_t *)cases[i].bytes, cases[i].len);
		play_bytes(&p, 0, (const uint8_t *)"\x17\x03\x03\x00\x05hello", 10);
		play_end(&p);
		assert_string_equal(p.notes.why_not, cases[i].why);
		assert_int_equal(p.sink.n_pieces[0] + p.sink.n_pieces[1], 0);
		play_release(&p);
	}
}

static void looks(void **state)
{
	(void)state;
	const struct tape *tape = tape_named("1.3 TLS_AES_128_GCM_SHA256");

	for (size_t i = 0; i < 6; i++)
		assert_int_equal(tls_looks_like(span_of(tape->chunks[0].bytes, i)), -1);
	assert_int_equal(tls_looks_like(span_of(tape->chunks[0].bytes, 6)), 1);
	assert_int_equal(tls_looks_like(span_of(tape->chunks[1].bytes, tape->chunks[1].len)), 1);
	assert_int_equal(tls_looks_like(span_text("\x10")), 0);
	assert_int_equal(tls_looks_like(span_text("\x16\x04")), 0);
	assert_int_equal(tls_looks_like(span_of("\x16\x03\x01\xff\xff\x01", 6)), 0);
	assert_int_equal(tls_looks_like(span_of("\x16\x03\x01\x01\x00\x0b", 6)), 0);
	assert_int_equal(tls_looks_like(span_of("\x17\x03\x03\x01\x00\x01", 6)), 0);
}

/* ---- with losses ---- */

/*
 * Of every so many chunks a part is lost, from `first` on. Nothing wrong comes out; every record behind the handshake that was captured
 * whole does, and where only the inside of records is missing the length of each hole is exact.
 */
static void loses(const char *name, size_t first, unsigned every, bool tell_len, bool inside, uint64_t seed)
{
	const struct tape *tape = tape_named(name);
	bool *hurt = calloc(tape->n, sizeof(*hurt));
	struct play p;

	play_begin(&p, tape, tape->keylog);
	for (size_t i = 0; i < tape->n; i++) {
		const struct chunk *c = &tape->chunks[i];
		bool lose = i >= first && dice(&seed) % every == 0 && (!inside || (c->data && c->len > 40));

		if (!lose) {
			play_cut(&p, c->end, c->bytes, c->len, 0, &seed);
			continue;
		}
		size_t from = inside ? 5 + dice(&seed) % (c->len - 10) : dice(&seed) % c->len, n = 1 + dice(&seed) % (c->len - from);
		hurt[i] = true;
		play_cut(&p, c->end, c->bytes, from, 0, &seed);
		play_hole(&p, c->end, tell_len ? n : 0);
		play_cut(&p, c->end, c->bytes + from + n, c->len - from - n, 0, &seed);
	}
	play_end(&p);
	for (unsigned end = 0; end < 2; end++) {
		uint8_t *found = calloc(1, tape->said[end].len + 1);

		is_true(&p, end, found);
		for (size_t i = 0, data = 0; inside && i < p.sink.n_pieces[end]; i++) {
			assert_true(!p.sink.pieces[end][i].hole || p.sink.pieces[end][i].len || !data);
			data |= !p.sink.pieces[end][i].hole;
		}
		for (size_t i = 0; first >= tape->n_handshake && i < tape->n; i++) {
			const struct chunk *c = &tape->chunks[i];

			/* Shorter ones cannot be told apart by their text, but the next long one must stand at its place. */
			if (c->end == end && c->data && !hurt[i] && c->plain_len >= 14)
				assert_null(memchr(found + c->plain, 0, c->plain_len));
		}
		free(found);
	}
	play_release(&p);
	free(hurt);
}

static void holes_inside_records(void **state)
{
	(void)state;
	for (size_t row = 0; row < N_BOTH; row++)
		for (uint64_t seed = 1; seed <= 20; seed++)
			loses(both[row], tape_named(both[row])->n_handshake, 4, true, true, seed * 7919);
}

static void holes_anywhere_in_the_data(void **state)
{
	(void)state;
	for (size_t row = 0; row < N_BOTH; row++)
		for (uint64_t seed = 1; seed <= 20; seed++)
			loses(both[row], tape_named(both[row])->n_handshake, 5, seed % 2, false, seed * 104729);
}

static void holes_in_the_handshake(void **state)
{
	(void)state;
	for (size_t row = 0; row < N_ROWS; row++)
		for (uint64_t seed = 1; !rows[row].why_not && !(rows[row].features & EARLY_TAKEN) && seed <= 10; seed++)
			loses(rows[row].name, 0, 3, seed % 2, false, seed * 15485863);
}

/* Hundreds of records that are missing in one hole of known length; and what was lost of the handshake does not matter behind it. */
static void a_long_hole(void **state)
{
	static const char *const names[] = { "1.2 ECDHE-ECDSA-AES128-GCM-SHA256", "1.2 ECDHE-ECDSA-CHACHA20-POLY1305", "1.3 TLS_AES_256_GCM_SHA384" };

	(void)state;
	for (size_t row = 0; row < 3; row++) {
		const struct tape *tape = tape_named(names[row]);
		size_t cut = tape->n / 2, lost[2] = { 0 };
		struct play p;

		play_begin(&p, tape, tape->keylog);
		for (size_t i = 0; i < tape->n; i++) {
			const struct chunk *c = &tape->chunks[i];

			if (i < tape->n_handshake)
				play_bytes(&p, c->end, c->bytes, c->len);
			else if (i < cut)
				lost[c->end] += c->len;
			else if (i == cut)
				for (unsigned end = 0; end < 2; end++)
					play_hole(&p, end, lost[end] + (c->end == end ? c->len : 0));
			else
				play_bytes(&p, c->end, c->bytes, c->len);
		}
		play_end(&p);
		for (unsigned end = 0; end < 2; end++) {
			uint8_t *found = calloc(1, tape->said[end].len + 1);

			is_true(&p, end, found);
			for (size_t i = cut + 1; i < tape->n; i++)
				if (tape->chunks[i].end == end && tape->chunks[i].data && tape->chunks[i].plain_len >= 14)
					assert_int_equal(found[tape->chunks[i].plain], 1);
			free(found);
		}
		play_release(&p);
	}
}

/* A record that was changed on its way is not passed up, and the next one is. */
static void a_corrupt_record(void **state)
{
	(void)state;
	for (size_t row = 0; row < N_BOTH; row++) {
		const struct tape *tape = tape_named(both[row]);
		size_t victim = tape->n_handshake;
		struct play p;

		while (!tape->chunks[victim].data || tape->chunks[victim].plain_len < 100 || !tape->chunks[victim].plain)
			victim++;
		play_begin(&p, tape, tape->keylog);
		for (size_t i = 0; i < tape->n; i++) {
			const struct chunk *c = &tape->chunks[i];
			uint8_t *bytes = malloc(c->len);

			memcpy(bytes, c->bytes, c->len);
			bytes[c->len / 2] ^= i == victim;
			play_bytes(&p, c->end, bytes, c->len);
			free(bytes);
		}
		play_end(&p);
		unsigned end = tape->chunks[victim].end;
		assert_int_equal(p.sink.n_got[end], tape->said[end].len - tape->chunks[victim].plain_len);
		assert_int_equal(p.sink.n_got[!end], tape->said[!end].len);
		uint8_t *found = calloc(1, tape->said[end].len + 1);
		is_true(&p, end, found);
		assert_int_equal(found[tape->chunks[victim].plain], 0);
		free(found);
		play_release(&p);
	}
}

int main(void)
{
	struct CMUnitTest tests[N_ROWS + 14] = {
		cmocka_unit_test(ends_the_other_way_round),
		cmocka_unit_test(late_keys),
		cmocka_unit_test(keys_line_by_line),
		cmocka_unit_test(keys_at_the_end),
		cmocka_unit_test(too_late_keys),
		cmocka_unit_test(wrong_keys),
		cmocka_unit_test(without_handshake_secrets),
		cmocka_unit_test(not_tls),
		cmocka_unit_test(looks),
		cmocka_unit_test(holes_inside_records),
		cmocka_unit_test(holes_anywhere_in_the_data),
		cmocka_unit_test(holes_in_the_handshake),
		cmocka_unit_test(a_long_hole),
		cmocka_unit_test(a_corrupt_record),
	};


	for (size_t i = 0; i < N_ROWS; i++)
		tests[14 + i] = (struct CMUnitTest){ .name = rows[i].name, .test_func = reads_in_any_pieces, .initial_state = (void *)&rows[i] };
	return cmocka_run_group_tests(tests, NULL, NULL);
}

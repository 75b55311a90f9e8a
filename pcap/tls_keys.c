#include <stdlib.h>
#include <openssl/hmac.h>

#include "pcap/tls_internal.h"

enum { WAITING_MOST = 8 << 20 };

struct tls_shared *tls_shared_new(const struct keylog *keylog)
{
	struct tls_shared *shared = calloc(1, sizeof(*shared));

	if (shared) {
		shared->keylog = keylog;
		shared->room = WAITING_MOST;
	}
	return shared;
}

void tls_shared_free(struct tls_shared *shared)
{
	if (!shared)
		return;
	for (unsigned i = 0; i < N_TLS_AEADS; i++)
		EVP_CIPHER_CTX_free(shared->ciphers[i].context);
	OPENSSL_cleanse(shared->ciphers, sizeof(shared->ciphers));
	free(shared);
}

/* ---- key derivation ---- */

static bool hmac(unsigned hash_len, struct span key, const uint8_t *bytes, size_t len, uint8_t *sum)
{
	return HMAC(hash_len == 48 ? EVP_sha384() : EVP_sha256(), key.at, (int)key.len, bytes, len, sum, NULL);
}

/* [RFC 5246, 5] the PRF's key block: key and write IV of the client, and of the server behind each */
bool tls_keys_12(const struct tls_suite *suite, struct span master, const uint8_t client_random[TLS_RANDOM], const uint8_t server_random[TLS_RANDOM],
                 bool of_client, struct tls_keys *keys)
{
	static const char label[] = "key expansion";
	enum { SEED = sizeof(label) - 1 + 2 * TLS_RANDOM };
	const struct tls_aead_facts *aead = &tls_aeads[suite->aead];
	size_t iv_len = TLS_NONCE - aead->explicit_nonce, hash_len = suite->hash_len;
	uint8_t a[TLS_SECRET_MOST + SEED], block[2 * (TLS_KEY_MOST + TLS_NONCE) + TLS_SECRET_MOST];

	memcpy(a + hash_len, label, sizeof(label) - 1);
	memcpy(a + hash_len + sizeof(label) - 1, server_random, TLS_RANDOM);
	memcpy(a + hash_len + sizeof(label) - 1 + TLS_RANDOM, client_random, TLS_RANDOM);
	if (master.len != 48 || !hmac(suite->hash_len, master, a + hash_len, SEED, a))
		return false;
	for (size_t n = 0; n < 2 * (aead->key_len + iv_len); n += hash_len) {
		uint8_t next[TLS_SECRET_MOST];

		if (!hmac(suite->hash_len, master, a, hash_len + SEED, block + n) || !hmac(suite->hash_len, master, a, hash_len, next))
			return false;
		memcpy(a, next, hash_len);
	}
	memcpy(keys->key, block + (of_client ? 0 : aead->key_len), aead->key_len);
	memcpy(keys->iv, block + 2 * aead->key_len + (of_client ? 0 : iv_len), iv_len);
	OPENSSL_cleanse(block, sizeof(block));
	return true;
}

/* [RFC 8446, 7.1] with an empty context, and never longer than one hash: so HKDF-Expand is one HMAC */
static bool expand_label(unsigned hash_len, struct span secret, const char *label, uint8_t *out, size_t len)
{
	uint8_t info[64] = { 0, (uint8_t)len, (uint8_t)(6 + strlen(label)) }, sum[EVP_MAX_MD_SIZE];
	size_t n = 3;

	memcpy(info + n, "tls13 ", 6);
	memcpy(info + n + 6, label, strlen(label));
	n += 6 + strlen(label);
	info[n++] = 0;
	info[n++] = 1;
	if (!hmac(hash_len, secret, info, n, sum))
		return false;
	memcpy(out, sum, len);
	return true;
}

bool tls_keys_13(const struct tls_suite *suite, struct span secret, struct tls_keys *keys)
{
	if (secret.len != suite->hash_len)
		return false;
	memmove(keys->secret, secret.at, secret.len);
	secret.at = keys->secret;
	return expand_label(suite->hash_len, secret, "key", keys->key, tls_aeads[suite->aead].key_len) &&
	       expand_label(suite->hash_len, secret, "iv", keys->iv, TLS_NONCE);
}

bool tls_keys_update(const struct tls_suite *suite, const struct tls_keys *keys, struct tls_keys *next)
{
	uint8_t secret[TLS_SECRET_MOST];

	return expand_label(suite->hash_len, span_of(keys->secret, suite->hash_len), "traffic upd", secret, suite->hash_len) &&
	       tls_keys_13(suite, span_of(secret, suite->hash_len), next);
}

/* ---- decryption ---- */

static bool fetch(struct tls_cipher *cipher, const struct tls_aead_facts *facts)
{
	EVP_CIPHER *kind = EVP_CIPHER_fetch(NULL, facts->name, NULL);

	cipher->context = kind ? EVP_CIPHER_CTX_new() : NULL;
	if (cipher->context && EVP_DecryptInit_ex(cipher->context, kind, NULL, NULL, NULL) != 1) {
		EVP_CIPHER_CTX_free(cipher->context);
		cipher->context = NULL;
	}
	EVP_CIPHER_free(kind);
	return cipher->context;
}

/* CCM is told all lengths first, and gives no byte before it knows that they are authentic. */
static bool open_ccm(EVP_CIPHER_CTX *c, const struct tls_aead_facts *facts, const uint8_t *key, const uint8_t *nonce, struct span additional,
                     struct span sealed, uint8_t *plain)
{
	int len = (int)(sealed.len - facts->tag_len), n;

	return EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_SET_IVLEN, TLS_NONCE, NULL) == 1 &&
	       EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_SET_TAG, facts->tag_len, (void *)(sealed.at + len)) == 1 &&
	       EVP_DecryptInit_ex(c, NULL, NULL, key, nonce) == 1 &&
	       EVP_DecryptUpdate(c, NULL, &n, NULL, len) == 1 &&
	       EVP_DecryptUpdate(c, NULL, &n, additional.at, (int)additional.len) == 1 &&
	       EVP_DecryptUpdate(c, plain, &n, sealed.at, len) == 1;
}

bool tls_open(struct tls_shared *shared, enum tls_aead aead, const uint8_t *key, const uint8_t nonce[TLS_NONCE], struct span additional,
              struct span sealed, uint8_t *plain)
{
	const struct tls_aead_facts *facts = &tls_aeads[aead];
	struct tls_cipher *cipher = &shared->ciphers[aead];
	int n = 0, rest = 0;

	if (sealed.len < facts->tag_len || (!cipher->context && !fetch(cipher, facts)))
		return false;
	if (facts->ccm)
		return open_ccm(cipher->context, facts, key, nonce, additional, sealed, plain);
	/* The context keeps the last key: records of one connection, and numbers that are tried, come in rows. */
	bool same = cipher->keyed && !memcmp(cipher->key, key, facts->key_len);
	int len = (int)(sealed.len - facts->tag_len);
	if (EVP_DecryptInit_ex(cipher->context, NULL, NULL, same ? NULL : key, nonce) != 1) {
		cipher->keyed = false;
		return false;
	}
	memcpy(cipher->key, key, facts->key_len);
	cipher->keyed = true;
	return EVP_DecryptUpdate(cipher->context, NULL, &n, additional.at, (int)additional.len) == 1 &&
	       (!len || EVP_DecryptUpdate(cipher->context, plain, &n, sealed.at, len) == 1) &&
	       EVP_CIPHER_CTX_ctrl(cipher->context, EVP_CTRL_AEAD_SET_TAG, facts->tag_len, (void *)(sealed.at + len)) == 1 &&
	       EVP_DecryptFinal_ex(cipher->context, plain + n, &rest) == 1;
}

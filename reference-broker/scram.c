#include "reference-broker/scram.h"

#include <stdio.h>
#include <stdlib.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

enum { KEY = USERS_KEY };

/* ---- messages: attributes with commas between, RFC 5802 section 7 ---- */

struct attributes {
	struct span rest;
	bool more;			/* there is another, perhaps empty */
};

/* The next one: a letter, an equals sign and at least one byte. False: there is none, or it is ill-formed. */
static bool next(struct attributes *a, char *name, struct span *value)
{
	const uint8_t *comma = a->rest.len ? memchr(a->rest.at, ',', a->rest.len) : NULL;
	size_t len = comma ? (size_t)(comma - a->rest.at) : a->rest.len;
	const uint8_t *at = a->rest.at;

	if (!a->more || len < 3 || at[1] != '=' || !((at[0] >= 'a' && at[0] <= 'z') || (at[0] >= 'A' && at[0] <= 'Z')) ||
	    memchr(at, 0, len))
		return false;
	*name = (char)at[0];
	*value = span_of(at + 2, len - 2);
	a->more = comma;
	a->rest = span_of(at + len + (comma != NULL), a->rest.len - len - (comma != NULL));
	return true;
}

static bool wants(struct attributes *a, char name, struct span *value)
{
	char found;

	return next(a, &found, value) && found == name;
}

/* What may follow is for whoever knows it; "m" is for those who may not go on without knowing it, and we know none. */
static bool only_extensions(struct attributes *a)
{
	struct span value;
	char name;

	while (a->more)
		if (!next(a, &name, &value) || name == 'm')
			return false;
	return true;
}

static bool is_nonce(struct span s)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.at[i] < 0x21 || s.at[i] > 0x7e)
			return false;
	return s.len && s.len <= SCRAM_NONCE_MAX;
}

/* "=2C" is a comma and "=3D" an equals sign, which stands for nothing else. */
static bool unescape(struct scram *s, struct span escaped)
{
	s->name_len = 0;
	for (size_t i = 0; i < escaped.len; i++) {
		uint8_t c = escaped.at[i];

		if (c == '=') {
			struct span code = span_of(escaped.at + i, escaped.len - i < 3 ? escaped.len - i : 3);

			if (!span_is(code, "=2C") && !span_is(code, "=3D"))
				return false;
			c = code.at[2] == 'C' ? ',' : '=';
			i += 2;
		}
		if (s->name_len == sizeof(s->name))
			return false;
		s->name[s->name_len++] = c;
	}
	return true;
}

bool scram_client_first(struct scram *s, struct span message)
{
	struct attributes a;
	struct span name, nonce;

	if (s->state != SCRAM_NEW)
		return false;
	s->state = SCRAM_OVER;
	/* "y": it would bind the channel if we could. Who binds it, or wants to act for another, is not served. */
	if (message.len <= 3 || message.len > SCRAM_MESSAGE_MAX ||
	    !(span_is(span_of(message.at, 3), "n,,") || span_is(span_of(message.at, 3), "y,,")))
		return false;
	memcpy(s->header, message.at, 3);
	a = (struct attributes){ span_of(message.at + 3, message.len - 3), true };
	s->bare_len = s->said_len = a.rest.len;
	memcpy(s->said, a.rest.at, a.rest.len);
	if (!wants(&a, 'n', &name) || !unescape(s, name) || !wants(&a, 'r', &nonce) || !is_nonce(nonce) || !only_extensions(&a))
		return false;
	s->nonce_at = (size_t)(nonce.at - (message.at + 3));
	s->nonce_len = nonce.len;
	s->state = SCRAM_NAMED;
	return true;
}

struct span scram_name(const struct scram *s)
{
	return span_of(s->name, s->name_len);
}

struct span scram_server_first(struct scram *s, const struct verifier *verifier, struct span nonce)
{
	char salt[4 * ((USERS_SALT_MAX + 2) / 3) + 1], text[SCRAM_SERVER_FIRST_MAX];
	int len;

	EVP_EncodeBlock((unsigned char *)salt, verifier->salt, (int)verifier->salt_len);
	len = snprintf(text, sizeof(text), "r=%.*s%.*s,s=%s,i=%u", (int)s->nonce_len, (const char *)s->said + s->nonce_at,
	               (int)nonce.len, (const char *)nonce.at, salt, verifier->iterations);
	if (s->state != SCRAM_NAMED || nonce.len > SCRAM_OURS_MAX || len < 0 || (size_t)len >= sizeof(text))
		abort();
	s->said[s->said_len++] = ',';
	s->nonce_at = s->said_len + 2;
	s->nonce_len += nonce.len;
	memcpy(s->said + s->said_len, text, (size_t)len);
	s->said_len += (size_t)len;
	s->verifier = *verifier;
	s->state = SCRAM_CHALLENGED;
	return span_of(s->said + s->bare_len + 1, (size_t)len);
}

/* ---- the proof ---- */

static void hmac(const uint8_t key[KEY], struct span text, uint8_t out[KEY])
{
	unsigned len = KEY;

	if (!HMAC(EVP_sha256(), key, KEY, text.at, text.len, out, &len))
		abort();		/* only when out of memory */
}

/* StoredKey is the hash of ClientKey, which is the proof with its signature taken off. */
static bool proves(const struct verifier *v, struct span auth_message, const uint8_t proof[KEY])
{
	uint8_t client_key[KEY], stored_key[KEY];
	unsigned len = KEY;
	bool right;

	hmac(v->stored_key, auth_message, client_key);
	for (size_t i = 0; i < KEY; i++)
		client_key[i] ^= proof[i];
	if (!EVP_Digest(client_key, KEY, stored_key, &len, EVP_sha256(), NULL))
		abort();
	right = !CRYPTO_memcmp(stored_key, v->stored_key, KEY);
	OPENSSL_cleanse(client_key, sizeof(client_key));
	return right & v->known;
}

static void sign(struct scram *s, struct span auth_message)
{
	uint8_t signature[KEY];

	hmac(s->verifier.server_key, auth_message, signature);
	memcpy(s->signature, "v=", 2);
	EVP_EncodeBlock((unsigned char *)s->signature + 2, signature, KEY);
}

/* c= repeats the header that the first message began with. */
static bool repeats_header(const struct scram *s, struct span c)
{
	char header[5];

	EVP_EncodeBlock((unsigned char *)header, (const unsigned char *)s->header, 3);
	return span_is(c, header);
}

bool scram_client_final(struct scram *s, struct span message, struct span *signature)
{
	static const char proof_is[] = ",p=";
	uint8_t said[sizeof(s->said) + 1 + SCRAM_MESSAGE_MAX], proof[KEY];
	size_t proof_len = sizeof(proof_is) - 1 + 44, without;
	struct attributes a;
	struct span c, r, auth_message;

	if (s->state != SCRAM_CHALLENGED)
		return false;
	s->state = SCRAM_OVER;
	if (message.len <= proof_len || message.len > SCRAM_MESSAGE_MAX)
		return false;
	without = message.len - proof_len;
	if (memcmp(message.at + without, proof_is, sizeof(proof_is) - 1) != 0 ||
	    users_from_base64(span_of(message.at + message.len - 44, 44), proof, KEY) != KEY)
		return false;
	a = (struct attributes){ span_of(message.at, without), true };
	if (!wants(&a, 'c', &c) || !repeats_header(s, c) || !wants(&a, 'r', &r) ||
	    !span_equal(r, span_of(s->said + s->nonce_at, s->nonce_len)) || !only_extensions(&a))
		return false;
	memcpy(said, s->said, s->said_len);
	said[s->said_len] = ',';
	memcpy(said + s->said_len + 1, message.at, without);
	auth_message = span_of(said, s->said_len + 1 + without);
	sign(s, auth_message);
	*signature = span_text(s->signature);
	return proves(&s->verifier, auth_message, proof);
}

/* ---- as the core's method ---- */

static enum authenticated step(void *users, void *state, struct span data, struct span *answer, struct span *user_name)
{
	struct scram *s = state;
	struct verifier verifier;
	char nonce[USERS_NONCE + 1];

	if (s->state == SCRAM_NEW) {
		if (!scram_client_first(s, data))
			return AUTHENTICATION_WRONG;
		users_verifier(users, scram_name(s), &verifier);
		users_nonce(users, nonce);
		*answer = scram_server_first(s, &verifier, span_text(nonce));
		return AUTHENTICATION_GOES_ON;
	}
	*user_name = scram_name(s);
	return scram_client_final(s, data, answer) ? AUTHENTICATION_RIGHT : AUTHENTICATION_WRONG;
}

const struct authentication scram_sha_256 = {
	.method = { (const uint8_t *)"SCRAM-SHA-256", 13 }, .state_size = sizeof(struct scram), .step = step,
};

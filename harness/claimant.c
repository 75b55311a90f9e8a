#include "harness/claimant.h"

#include <assert.h>
#include <stdlib.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

enum { KEY = 32 };

static const char header[] = "n,,", header_again[] = "c=biws";	/* no channel binding, nobody else's identity */

struct challenge {
	struct span nonce;		/* both */
	uint8_t salt[CLAIMANT_CHALLENGE_MAX];
	size_t salt_len;
	uint32_t iterations;
};

/* ---- base64 ---- */

/* How many bytes; -1: not in whole groups of four of its alphabet. */
static int decode64(struct span text, uint8_t *out)
{
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	size_t padding = 0;
	uint32_t bits = 0;
	int n = 0;

	if (text.len % 4)
		return -1;
	while (padding < 2 && padding < text.len && text.at[text.len - 1 - padding] == '=')
		padding++;
	for (size_t i = 0; i < text.len; i++) {
		const char *digit = i < text.len - padding && text.at[i] ? strchr(alphabet, text.at[i]) : alphabet;

		if (!digit)
			return -1;
		bits = bits << 6 | (uint32_t)(digit - alphabet);
		for (int k = 16; i % 4 == 3 && k >= 0; k -= 8)
			out[n++] = (uint8_t)(bits >> k);
	}
	return n - (int)padding;
}

static void put64(struct writer *w, const uint8_t key[KEY])
{
	char text[4 * ((KEY + 2) / 3) + 1];

	EVP_EncodeBlock((unsigned char *)text, key, KEY);
	wr_text(w, text);
}

/* ---- keys ---- */

static void hmac(const uint8_t key[KEY], struct span text, uint8_t out[KEY])
{
	unsigned len = KEY;

	if (!HMAC(EVP_sha256(), key, KEY, text.at, text.len, out, &len))
		abort();
}

static void hash(struct span text, uint8_t out[KEY])
{
	unsigned len = KEY;

	if (!EVP_Digest(text.at, text.len, out, &len, EVP_sha256(), NULL))
		abort();
}

/* Slow on purpose, and the same for a user as long as its verifier is: what was derived lately is remembered. */
static void salted_password(struct span password, const struct challenge *c, uint8_t out[KEY])
{
	enum { N = 8 };
	static _Thread_local struct remembered {
		uint8_t of[KEY], salted[KEY];
		bool used;
	} remembered[N];
	static _Thread_local unsigned next;
	uint8_t parts[2 * KEY + sizeof(c->iterations)], of[KEY];
	const char *text = password.len ? (const char *)password.at : "";

	hash(span_of(text, password.len), parts);
	hash(span_of(c->salt, c->salt_len), parts + KEY);
	memcpy(parts + 2 * KEY, &c->iterations, sizeof(c->iterations));
	hash(span_of(parts, sizeof(parts)), of);
	for (unsigned i = 0; i < N; i++)
		if (remembered[i].used && !memcmp(remembered[i].of, of, KEY)) {
			memcpy(out, remembered[i].salted, KEY);
			return;
		}
	if (!PKCS5_PBKDF2_HMAC(text, (int)password.len, c->salt, (int)c->salt_len, (int)c->iterations, EVP_sha256(), KEY, out))
		abort();
	memcpy(remembered[next].of, of, KEY);
	memcpy(remembered[next].salted, out, KEY);
	remembered[next].used = true;
	next = (next + 1) % N;
}

/* ---- what the server says ---- */

/* NAME=VALUE up to a comma or the end. */
static bool take(struct span *rest, char name, struct span *value)
{
	const uint8_t *comma = rest->len ? memchr(rest->at, ',', rest->len) : NULL;
	size_t len = comma ? (size_t)(comma - rest->at) : rest->len;

	if (len < 3 || rest->at[0] != (uint8_t)name || rest->at[1] != '=')
		return false;
	*value = span_of(rest->at + 2, len - 2);
	*rest = span_of(rest->at + len + (comma != NULL), rest->len - len - (comma != NULL));
	return true;
}

static const char *read_challenge(const struct claimant *c, struct span data, struct challenge *out)
{
	struct span salt, iterations;
	int len;

	if (data.len > CLAIMANT_CHALLENGE_MAX)
		return "the challenge is longer than 4096 bytes";
	if (!take(&data, 'r', &out->nonce) || !take(&data, 's', &salt) || !take(&data, 'i', &iterations))
		return "expected a challenge, r=NONCE,s=SALT,i=ITERATIONS";
	if (out->nonce.len < c->first_len - c->nonce_at || memcmp(out->nonce.at, c->first + c->nonce_at, c->first_len - c->nonce_at) != 0)
		return "its nonce does not begin with ours";
	if (out->nonce.len == c->first_len - c->nonce_at)
		return "it adds nothing to our nonce";
	len = decode64(salt, out->salt);
	if (len < 1)
		return "its salt is not in base64";
	out->salt_len = (size_t)len;
	out->iterations = 0;
	for (size_t i = 0; i < iterations.len; i++) {
		if (iterations.at[i] < '0' || iterations.at[i] > '9')
			return "its iterations are not a number";
		out->iterations = 10 * out->iterations + (iterations.at[i] - '0');
		if (out->iterations > CLAIMANT_ITERATIONS_MAX)
			return "it asks for more than 1000000 iterations";
	}
	return out->iterations ? NULL : "it asks for no iterations";
}

void claimant_challenged(struct claimant *c, struct span data)
{
	if (c->phase != CLAIMANT_ASKED)
		return;
	c->phase = CLAIMANT_CHALLENGED;
	c->challenge_len = data.len <= sizeof(c->challenge) ? data.len : 0;
	if (c->challenge_len)
		memcpy(c->challenge, data.at, c->challenge_len);
}

const char *claimant_check(const struct claimant *c, struct span data)
{
	struct challenge challenge;
	struct span v;
	uint8_t signature[CLAIMANT_CHALLENGE_MAX];

	if (c->phase == CLAIMANT_CHALLENGED)
		return read_challenge(c, data, &challenge);
	if (c->phase != CLAIMANT_PROVED)
		return "the client has asked for nothing yet";
	if (!take(&data, 'v', &v))
		return "expected the server's signature, v=SIGNATURE";
	if (v.len > CLAIMANT_CHALLENGE_MAX || decode64(v, signature) != KEY || memcmp(signature, c->signature, KEY) != 0)
		return "the signature is not that of a server which has the user's verifier";
	return NULL;
}

/* ---- what we say ---- */

void claimant_first(struct claimant *c, struct span user_name, struct span password, struct span nonce, struct writer *w)
{
	struct writer first = writer_to(c->first, sizeof(c->first));

	c->user_name = user_name;
	c->password = password;
	wr_text(&first, "n=");
	for (size_t i = 0; i < user_name.len; i++) {
		uint8_t byte = user_name.at[i];

		if (byte == ',' || byte == '=')
			wr_text(&first, byte == ',' ? "=2C" : "=3D");
		else
			wr_u8(&first, byte);
	}
	wr_text(&first, ",r=");
	c->nonce_at = first.len;
	wr_bytes(&first, nonce);
	assert(wr_fits(&first));
	c->first_len = first.len;
	c->phase = CLAIMANT_ASKED;
	wr_text(w, header);
	wr_bytes(w, wr_span(&first));
}

const char *claimant_final(struct claimant *c, bool spoilt, struct writer *w)
{
	size_t cap = c->first_len + c->challenge_len + sizeof(header_again) + CLAIMANT_CHALLENGE_MAX + 16;
	uint8_t salted[KEY], client_key[KEY], key[KEY], proof[KEY], *room;
	struct challenge challenge;
	struct writer said;
	const char *why = read_challenge(c, span_of(c->challenge, c->challenge_len), &challenge);
	size_t final_at;

	if (why)
		return why;
	room = malloc(cap);
	if (!room)
		abort();
	said = writer_to(room, cap);
	wr_bytes(&said, span_of(c->first, c->first_len));
	wr_u8(&said, ',');
	wr_bytes(&said, span_of(c->challenge, c->challenge_len));
	wr_u8(&said, ',');
	final_at = said.len;
	wr_text(&said, header_again);
	wr_text(&said, ",r=");
	wr_bytes(&said, challenge.nonce);

	salted_password(c->password, &challenge, salted);
	hmac(salted, span_text("Client Key"), client_key);
	hash(span_of(client_key, KEY), key);
	hmac(key, wr_span(&said), proof);
	for (size_t i = 0; i < KEY; i++)
		proof[i] ^= client_key[i];
	proof[0] ^= spoilt;
	hmac(salted, span_text("Server Key"), key);
	hmac(key, wr_span(&said), c->signature);
	OPENSSL_cleanse(salted, sizeof(salted));

	wr_bytes(w, span_of(room + final_at, said.len - final_at));
	wr_text(w, ",p=");
	put64(w, proof);
	c->phase = CLAIMANT_PROVED;
	free(room);
	return NULL;
}

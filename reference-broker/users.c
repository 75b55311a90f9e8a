#include "reference-broker/users.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

#include "reference-broker/text_file.h"

enum {
	KEY = USERS_KEY,
	N_WRONG = 16,			/* logins that were wrong lately: clients repeat themselves */
};

static const char mechanism[] = "SCRAM-SHA-256";

struct user {
	struct span name;		/* in users->names */
	unsigned line;
	struct verifier verifier;
	bool remembers;			/* the digest of a password that was right */
	uint8_t remembered[KEY];
};

struct users {
	struct user *at;		/* by name */
	size_t n;
	uint8_t *names;
	uint8_t process_key[KEY];
	uint8_t file_key[KEY];		/* of what only who has the file knows */
	uint8_t nonce_key[KEY];
	uint64_t n_nonces;
	uint8_t wrong[N_WRONG][KEY];	/* digests */
	unsigned n_wrong;		/* ever; the place of the next one, modulo N_WRONG */
	uint64_t spent_ns;		/* the budget is whole again from here on: each iteration moves it on */
};

/* ---- SCRAM's keys, RFC 5802 section 3 ---- */

static void hmac(const uint8_t key[KEY], struct span text, uint8_t out[KEY])
{
	unsigned len = KEY;

	if (!HMAC(EVP_sha256(), key, KEY, text.at ? text.at : key, text.len, out, &len))
		abort();		/* only when out of memory */
}

static void salted_password(struct span password, const struct verifier *v, uint8_t out[KEY])
{
	static const char empty[1] = "";

	if (!PKCS5_PBKDF2_HMAC(password.len ? (const char *)password.at : empty, (int)password.len, v->salt, (int)v->salt_len,
	                       (int)v->iterations, EVP_sha256(), KEY, out))
		abort();
}

static void stored_key(const uint8_t salted[KEY], uint8_t out[KEY])
{
	uint8_t client_key[KEY];
	unsigned len = KEY;

	hmac(salted, span_text("Client Key"), client_key);
	if (!EVP_Digest(client_key, KEY, out, &len, EVP_sha256(), NULL))
		abort();
	OPENSSL_cleanse(client_key, sizeof(client_key));
}

/* ---- who is there ---- */

static int compare_spans(struct span a, struct span b)
{
	size_t len = a.len < b.len ? a.len : b.len;
	int order = len ? memcmp(a.at, b.at, len) : 0;

	return order ? order : (a.len > b.len) - (a.len < b.len);
}

static int by_name(const void *a, const void *b)
{
	const struct user *ua = a, *ub = b;
	int order = compare_spans(ua->name, ub->name);

	return order ? order : (ua->line > ub->line) - (ua->line < ub->line);
}

static struct user *find(const struct users *users, struct span name)
{
	size_t low = 0, high = users->n;

	while (low < high) {
		size_t middle = (low + high) / 2;
		int order = compare_spans(name, users->at[middle].name);

		if (!order)
			return &users->at[middle];
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return NULL;
}

/* Under a key that nobody outside knows, so that it tells nothing and cannot be made to collide. */
static void digest(const struct users *users, struct span name, struct span password, uint8_t out[KEY])
{
	uint8_t halves[2 * KEY];

	hmac(users->process_key, name, halves);
	hmac(users->process_key, password, halves + KEY);
	hmac(users->process_key, span_of(halves, sizeof(halves)), out);
	OPENSSL_cleanse(halves, sizeof(halves));
}

/*
 * Whose salt and iterations a name that nobody has is measured with: always the same user's for the same name, so
 * that it takes as long as that user's would, as often as one asks.
 */
static struct user *stand_in(const struct users *users, struct span name)
{
	uint8_t pick[KEY];
	uint64_t n;

	hmac(users->file_key, name, pick);	/* the one whose iterations an exchange names as well */
	memcpy(&n, pick, sizeof(n));
	return &users->at[n % users->n];
}

static bool wrong_before(const struct users *users, const uint8_t seen[KEY])
{
	unsigned n = users->n_wrong < N_WRONG ? users->n_wrong : N_WRONG;
	bool found = false;

	for (unsigned i = 0; i < n; i++)
		found |= !CRYPTO_memcmp(seen, users->wrong[i], KEY);
	return found;
}

/* Whether that many iterations may be done now; they are counted then. */
static bool spend(struct users *users, uint32_t iterations, uint64_t now_ns)
{
	const uint64_t second_ns = 1000000000, cost_ns = iterations * second_ns / USERS_ITERATIONS_A_SECOND;

	if (users->spent_ns < now_ns || users->spent_ns > now_ns + second_ns)	/* or it is another clock's */
		users->spent_ns = now_ns;
	if (users->spent_ns + cost_ns > now_ns + second_ns)
		return false;
	users->spent_ns += cost_ns;
	return true;
}

enum login users_login(struct users *users, struct span name, struct span password, uint64_t now_ns)
{
	uint8_t seen[KEY], salted[KEY], key[KEY];
	struct user *u = find(users, name), *other = users->n ? stand_in(users, name) : NULL;
	bool known = u, right;

	if (!users->n || password.len > INT32_MAX)
		return LOGIN_WRONG;
	if (!known)
		u = other;
	digest(users, name, password, seen);
	if (known && u->remembers && !CRYPTO_memcmp(seen, u->remembered, KEY))
		return LOGIN_RIGHT;
	if (wrong_before(users, seen))
		return LOGIN_WRONG;
	if (!spend(users, u->verifier.iterations, now_ns))
		return LOGIN_BUSY;
	salted_password(password, &u->verifier, salted);
	stored_key(salted, key);
	right = !CRYPTO_memcmp(key, u->verifier.stored_key, KEY) && known;
	OPENSSL_cleanse(salted, sizeof(salted));
	if (right) {
		memcpy(u->remembered, seen, KEY);
		u->remembers = true;
	} else {
		memcpy(users->wrong[users->n_wrong++ % N_WRONG], seen, KEY);
	}
	return right ? LOGIN_RIGHT : LOGIN_WRONG;
}

/* ---- for exchanges ---- */

/*
 * The salt and the keys of a name that nobody has come from the secrets of those that there are, so that they are the
 * same when the broker is started again; how long the salt is, and how many iterations there are, is one of theirs.
 */
static void made_up(const struct users *users, struct span name, struct verifier *v)
{
	static const struct verifier usual = { .iterations = USERS_ITERATIONS_MIN, .salt_len = 16 };
	uint8_t pick[KEY], half[KEY];
	uint64_t n;

	hmac(users->file_key, name, pick);
	memcpy(&n, pick, sizeof(n));
	*v = users->n ? users->at[n % users->n].verifier : usual;
	v->known = false;
	for (size_t at = 0; at < v->salt_len; at += KEY) {
		hmac(pick, span_text(at ? "more salt" : "salt"), half);
		memcpy(v->salt + at, half, v->salt_len - at < KEY ? v->salt_len - at : KEY);
	}
	hmac(pick, span_text("stored key"), v->stored_key);
	hmac(pick, span_text("server key"), v->server_key);
}

void users_verifier(const struct users *users, struct span name, struct verifier *v)
{
	const struct user *u = find(users, name);

	made_up(users, name, v);	/* either way, so that it takes as long */
	if (u)
		*v = u->verifier;
}

void users_nonce(struct users *users, char nonce[USERS_NONCE + 1])
{
	uint8_t bytes[KEY];

	users->n_nonces++;
	hmac(users->nonce_key, span_of(&users->n_nonces, sizeof(users->n_nonces)), bytes);
	EVP_EncodeBlock((unsigned char *)nonce, bytes, USERS_NONCE / 4 * 3);
}

void users_foretell(struct users *users, uint64_t seed)
{
	memset(users->nonce_key, 0, KEY);
	memcpy(users->nonce_key, &seed, sizeof(seed));
	users->n_nonces = 0;
}

static void make_file_key(struct users *users)
{
	hmac(users->process_key, span_text("nonces"), users->nonce_key);
	if (!users->n)
		memcpy(users->file_key, users->process_key, KEY);
	for (size_t i = 0; i < users->n; i++) {
		uint8_t both[2 * KEY];

		memcpy(both, users->file_key, KEY);
		memcpy(both + KEY, users->at[i].verifier.server_key, KEY);
		hmac(users->at[i].verifier.stored_key, span_of(both, sizeof(both)), users->file_key);
	}
}

/* ---- reading ---- */

struct reading {
	struct users *users;
	struct fault *fault;
	struct span line;		/* without its end */
	size_t at;			/* in the line */
	size_t cap, names_len;
};

static bool wrong(struct reading *r, const char *format, ...) __attribute__((format(printf, 2, 3)));
static bool wrong(struct reading *r, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(r->fault->text, sizeof(r->fault->text), format, args);
	va_end(args);
	r->fault->column = (unsigned)r->at + 1;
	return false;
}

/* What stands before the next c, which is passed over. False: there is none. */
static bool until(struct reading *r, char c, struct span *out)
{
	struct span rest = span_of(r->line.at + r->at, r->line.len - r->at);
	const uint8_t *end = rest.len ? memchr(rest.at, c, rest.len) : NULL;

	if (!end)
		return false;
	*out = span_of(rest.at, (size_t)(end - rest.at));
	r->at += out->len + 1;
	return true;
}

static int base64_digit(uint8_t c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* EVP_DecodeBlock would pass over blanks and count the padding. */
int users_from_base64(struct span text, uint8_t *out, size_t cap)
{
	size_t n = 0, padding = 0;

	if (!text.len || text.len % 4)
		return -1;
	while (padding < 2 && text.at[text.len - 1 - padding] == '=')
		padding++;
	if (text.len / 4 * 3 - padding > cap)
		return -1;
	for (size_t i = 0; i < text.len; i += 4) {
		uint32_t bits = 0;

		for (size_t k = 0; k < 4; k++) {
			int digit = i + k >= text.len - padding ? 0 : base64_digit(text.at[i + k]);

			if (digit < 0)
				return -1;
			bits = bits << 6 | (uint32_t)digit;
		}
		for (size_t k = 0; k < 3 && (i + 4 < text.len || k < 3 - padding); k++)
			out[n++] = (uint8_t)(bits >> (16 - 8 * k));
	}
	return (int)n;
}

static bool read_key(struct reading *r, struct span text, size_t at, uint8_t key[KEY], const char *what)
{
	r->at = at;
	return users_from_base64(text, key, KEY) == KEY ||
	       wrong(r, "expected %s, 32 bytes in base64 (44 characters); `mqassay broker --make-verifier NAME` writes a whole line", what);
}

static bool read_iterations(struct reading *r, struct span text, size_t at, uint32_t *out)
{
	uint32_t n = 0;

	for (size_t i = 0; i < text.len; i++) {
		if (text.at[i] < '0' || text.at[i] > '9' || n > USERS_ITERATIONS_MAX) {
			n = 0;
			break;
		}
		n = 10 * n + (text.at[i] - '0');
	}
	*out = n;
	r->at = at;
	return (n >= USERS_ITERATIONS_MIN && n <= USERS_ITERATIONS_MAX) ||
	       wrong(r, "expected %d to %d iterations: fewer are guessed too fast, more let clients keep the broker busy",
	             USERS_ITERATIONS_MIN, USERS_ITERATIONS_MAX);
}

static bool fits_in_a_name(uint8_t c)
{
	return c >= ' ' && c != 0x7f && c != ':';
}

static bool read_verifier(struct reading *r, struct verifier *u)
{
	static const char form[] = "expected NAME:SCRAM-SHA-256$ITERATIONS:SALT$STOREDKEY:SERVERKEY; `mqassay broker --make-verifier NAME` writes it";
	struct span method, iterations, salt, stored, server;
	size_t at_iterations, at_salt, at_stored, at_server;
	int len;

	if (!until(r, '$', &method) || !span_is(method, mechanism))
		return wrong(r, "%s", form);
	at_iterations = r->at;
	if (!until(r, ':', &iterations))
		return wrong(r, "%s", form);
	at_salt = r->at;
	if (!until(r, '$', &salt))
		return wrong(r, "%s", form);
	at_stored = r->at;
	if (!until(r, ':', &stored))
		return wrong(r, "%s", form);
	at_server = r->at;
	server = span_of(r->line.at + at_server, r->line.len - at_server);
	if (!read_iterations(r, iterations, at_iterations, &u->iterations))
		return false;
	r->at = at_salt;
	len = users_from_base64(salt, u->salt, sizeof(u->salt));
	if (len < 1)
		return wrong(r, "expected a salt of 1 to %d bytes in base64", USERS_SALT_MAX);
	u->salt_len = (size_t)len;
	return read_key(r, stored, at_stored, u->stored_key, "the stored key") &&
	       read_key(r, server, at_server, u->server_key, "the server key");
}

static bool read_line(struct reading *r)
{
	struct users *users = r->users;
	struct user u = { .line = r->fault->line, .verifier.known = true };
	struct span name;

	r->at = 0;
	if (!r->line.len || r->line.at[0] == '#')
		return true;
	if (r->line.len > USERS_LINE_MAX)
		return wrong(r, "longer than %d bytes", USERS_LINE_MAX);
	if (!until(r, ':', &name) || !name.len || name.len > USERS_NAME_MAX) {
		r->at = 0;
		return wrong(r, "expected a user name of 1 to %d bytes and a colon", USERS_NAME_MAX);
	}
	for (size_t i = 0; i < name.len; i++)
		if (!fits_in_a_name(name.at[i])) {
			r->at = i;
			return wrong(r, "a user name has no control characters");
		}
	if (!read_verifier(r, &u.verifier))
		return false;
	if (users->n == USERS_MAX)
		return wrong(r, "more than %d users", USERS_MAX);
	if (users->n == r->cap) {
		r->cap = r->cap ? 2 * r->cap : 16;
		users->at = realloc(users->at, r->cap * sizeof(*users->at));
		if (!users->at)
			abort();
	}
	memcpy(users->names + r->names_len, name.at, name.len);
	u.name = span_of(users->names + r->names_len, name.len);
	r->names_len += name.len;
	users->at[users->n++] = u;
	return true;
}

static bool read_lines(struct reading *r, struct span text)
{
	while (text.len) {
		const uint8_t *end = memchr(text.at, '\n', text.len);
		size_t len = end ? (size_t)(end - text.at) : text.len;

		r->fault->line++;
		r->line = span_of(text.at, len);
		if (len && text.at[len - 1] == '\r')
			r->line.len--;
		if (!read_line(r))
			return false;
		len += end != NULL;
		text = span_of(text.at + len, text.len - len);
	}
	return true;
}

static bool names_differ(struct reading *r)
{
	struct users *users = r->users;

	if (users->n)
		qsort(users->at, users->n, sizeof(*users->at), by_name);
	for (size_t i = 1; i < users->n; i++)
		if (span_equal(users->at[i - 1].name, users->at[i].name)) {
			r->fault->line = users->at[i].line;
			r->at = 0;
			return wrong(r, "this user stands in line %u already", users->at[i - 1].line);
		}
	return true;
}

struct users *users_parse(struct span text, struct fault *fault)
{
	struct users *users = calloc(1, sizeof(*users));
	struct reading r = { .users = users, .fault = fault };

	*fault = (struct fault){ 0 };
	if (!users)
		abort();
	users->names = malloc(text.len + 1);	/* names are shorter than their lines */
	if (!users->names || RAND_bytes(users->process_key, KEY) != 1)
		abort();
	if (read_lines(&r, text) && names_differ(&r)) {
		make_file_key(users);
		return users;
	}
	users_free(users);
	return NULL;
}

struct users *users_read(const char *path, struct fault *fault)
{
	struct span text;
	struct users *users;

	if (!text_file_read(path, USERS_FILE_MAX, &text, fault))
		return NULL;
	users = users_parse(text, fault);
	free((void *)text.at);
	return users;
}

void users_replace(struct users *users, struct users *fresh)
{
	struct users old = *users;

	*users = *fresh;
	users->spent_ns = old.spent_ns;
	memcpy(users->file_key, old.file_key, KEY);	/* a salt that changes with others' lines would tell that nobody has the name */
	*fresh = old;
	users_free(fresh);
}

void users_free(struct users *users)
{
	if (!users)
		return;
	OPENSSL_cleanse(users->process_key, KEY);
	OPENSSL_cleanse(users->file_key, KEY);
	OPENSSL_cleanse(users->nonce_key, KEY);
	free(users->at);
	free(users->names);
	free(users);
}

/* ---- writing ---- */

static const char *base64(const uint8_t *bytes, size_t len, char out[2 * USERS_SALT_MAX])
{
	EVP_EncodeBlock((unsigned char *)out, bytes, (int)len);
	return out;
}

bool users_name_fits(struct span name)
{
	for (size_t i = 0; i < name.len; i++)
		if (!fits_in_a_name(name.at[i]))
			return false;
	return name.len && name.len <= USERS_NAME_MAX && name.at[0] != '#';
}

static bool refused(struct fault *fault, const char *why)
{
	*fault = (struct fault){ 0 };
	snprintf(fault->text, sizeof(fault->text), "%s", why);
	return false;
}

bool users_line(struct span name, struct span password, char line[USERS_LINE_MAX], struct fault *fault)
{
	struct verifier u = { .iterations = USERS_ITERATIONS_MIN, .salt_len = 16 };
	char salt[2 * USERS_SALT_MAX], stored[2 * USERS_SALT_MAX], server[2 * USERS_SALT_MAX];
	uint8_t salted[KEY];

	if (!users_name_fits(name))
		return refused(fault, "a user name has 1 to 255 bytes without `:` and control characters, and does not begin with #");
	if (RAND_bytes(u.salt, (int)u.salt_len) != 1)
		return refused(fault, "no randomness for a salt");
	salted_password(password, &u, salted);
	stored_key(salted, u.stored_key);
	hmac(salted, span_text("Server Key"), u.server_key);
	OPENSSL_cleanse(salted, sizeof(salted));
	snprintf(line, USERS_LINE_MAX, "%.*s:%s$%u:%s$%s:%s\n", (int)name.len, (const char *)name.at, mechanism, u.iterations,
	         base64(u.salt, u.salt_len, salt), base64(u.stored_key, KEY, stored), base64(u.server_key, KEY, server));
	return true;
}

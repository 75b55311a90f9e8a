#ifndef REFERENCE_BROKER_USERS_H
#define REFERENCE_BROKER_USERS_H

#include <stdbool.h>

#include "codec/fault.h"
#include "codec/span.h"
#include "reference-broker/broker.h"

/*
 * Who may use the broker: names and verifiers, from which nobody can tell the passwords. A line of the file is
 *
 *	NAME:SCRAM-SHA-256$ITERATIONS:SALT$STOREDKEY:SERVERKEY
 *
 * with the last three in base64: RFC 5803's values in the order that PostgreSQL stores them in. Blank lines, and
 * lines that begin with #, are passed over. A password is bytes, taken as they come.
 *
 * Deriving a key is slow on purpose, so whoever may send a CONNECT can make us work for ITERATIONS of SHA-256. What
 * bounds it: a file may ask for USERS_ITERATIONS_MAX at most, and what was right once for a user, and the last few
 * logins that were wrong, are remembered as digests under a key of this process: a client that comes back, rightly or
 * not, costs a few HMACs. Who guesses shares USERS_ITERATIONS_A_SECOND with all others that were not here lately: a
 * tenth of a processor, and some hundred guesses a second at 4096 iterations. Whoever comes beyond that is to try later;
 * those that are connected, and those that come back, notice nothing. A guess by SCRAM costs a few HMACs only, and is held
 * back by nothing but the connection that each takes.
 */
enum {
	USERS_MAX = 10000,
	USERS_NAME_MAX = 255,		/* bytes */
	USERS_LINE_MAX = 1024,
	USERS_FILE_MAX = 4 << 20,
	USERS_SALT_MAX = 64,
	USERS_ITERATIONS_MIN = 4096,	/* RFC 7677, section 4 */
	USERS_ITERATIONS_MAX = 100000,
	USERS_ITERATIONS_A_SECOND = 500000,
	USERS_KEY = 32,			/* bytes of SHA-256 */
	USERS_NONCE = 24,		/* characters */
};

struct users;

/* Given; NULL with what is wrong and where. Borrows nothing. */
struct users *users_parse(struct span text, struct fault *fault);

/* The same from a file. A fault of the file itself has line 0: fault->text then says what failed. */
struct users *users_read(const char *path, struct fault *fault);

/*
 * From now on they are those of fresh, which is taken. Who is known to guess too fast still is, and names that nobody
 * has keep their salts, as those do whose lines have not changed, where all salts are of one length.
 */
void users_replace(struct users *users, struct users *fresh);

void users_free(struct users *users);	/* NULL is harmless */

/*
 * Whether this user has that password. Takes as long for a name that nobody has as for a wrong password, and compares
 * in constant time. now_ns is any clock's.
 */
enum login users_login(struct users *users, struct span name, struct span password, uint64_t now_ns);

/*
 * What SCRAM proves a password with. A name that nobody has gets one too, always the same for the same name and users,
 * with which no proof is right.
 */
struct verifier {
	bool known;
	uint32_t iterations;
	uint8_t salt[USERS_SALT_MAX];
	size_t salt_len;
	uint8_t stored_key[USERS_KEY], server_key[USERS_KEY];
};

void users_verifier(const struct users *users, struct span name, struct verifier *verifier);

/* Text that nobody can foretell, never the same twice. */
void users_nonce(struct users *users, char nonce[USERS_NONCE + 1]);

/* From here on its nonces are always the same ones in turn, for who wants one course every time. Not for a server. */
void users_foretell(struct users *users, uint64_t seed);

/* Whole groups of four, padded, and nothing else. How many bytes, at most cap of them; -1: it is not base64, or longer. */
int users_from_base64(struct span text, uint8_t *out, size_t cap);

/* Whether a line can begin with it: 1 to USERS_NAME_MAX bytes, no `:`, no control characters, no # in front. */
bool users_name_fits(struct span name);

/* Writes the line, with a new salt and an end of line. False: the name does not fit, or no randomness; *fault says so. */
bool users_line(struct span name, struct span password, char line[USERS_LINE_MAX], struct fault *fault);

#endif

#ifndef HARNESS_CLAIMANT_H
#define HARNESS_CLAIMANT_H

#include "codec/writer.h"

/*
 * Who proves by SCRAM-SHA-256 that it knows a password, and has the server prove the same (RFC 5802, 7677): what
 * `scram()` stands for in a scenario. It knows nothing of packets: data goes in and comes out.
 */
enum {
	CLAIMANT_NAME_MAX = 1024,		/* bytes of a user name */
	CLAIMANT_NONCE = 24,			/* and of our nonce */
	CLAIMANT_CHALLENGE_MAX = 4096,		/* bytes of a server's message that are looked at */
	CLAIMANT_ITERATIONS_MAX = 1000000,	/* more would hold up everything else */
};

struct claimant {
	enum { CLAIMANT_IDLE, CLAIMANT_ASKED, CLAIMANT_CHALLENGED, CLAIMANT_PROVED } phase;
	struct span user_name, password;	/* borrowed while the exchange lasts */
	uint8_t first[2 + 3 * CLAIMANT_NAME_MAX + 3 + CLAIMANT_NONCE];	/* our first message without its header */
	size_t first_len, nonce_at;
	uint8_t challenge[CLAIMANT_CHALLENGE_MAX];
	size_t challenge_len;
	uint8_t signature[32];			/* that only who has the verifier can make */
};

/* A new exchange: its first message to w. The nonce is printable, without commas; user_name.len <= CLAIMANT_NAME_MAX. */
void claimant_first(struct claimant *c, struct span user_name, struct span password, struct span nonce, struct writer *w);

/* The server's answer to it. */
void claimant_challenged(struct claimant *c, struct span data);

/* Our last message to w; spoilt: with a wrong proof. NULL, or what is wrong with the challenge. */
const char *claimant_final(struct claimant *c, bool spoilt, struct writer *w);

/* Whether data is what the server must say in this phase: a challenge, or its signature. NULL, or what is wrong with it. */
const char *claimant_check(const struct claimant *c, struct span data);

#endif

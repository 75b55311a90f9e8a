#ifndef REFERENCE_BROKER_SCRAM_H
#define REFERENCE_BROKER_SCRAM_H

#include "reference-broker/users.h"

/*
 * SCRAM-SHA-256 without channel binding, the server's side (RFC 5802, 7677): four messages, of which the client sends
 * the first. It knows no user and draws no random number: the caller looks up the one and brings the other, so that an
 * exchange can be played again. The server's part costs a few HMACs; what is slow on purpose is the client's.
 *
 *	client  n,,n=NAME,r=NONCE
 *	server  r=NONCE+OURS,s=SALT,i=ITERATIONS
 *	client  c=biws,r=NONCE+OURS,p=PROOF
 *	server  v=SIGNATURE
 */
enum {
	SCRAM_MESSAGE_MAX = 1100,	/* bytes of a client's message: a name of which each byte is escaped, and a nonce */
	SCRAM_NONCE_MAX = 128,		/* of the client's nonce */
	SCRAM_OURS_MAX = 32,		/* of ours */
	SCRAM_SERVER_FIRST_MAX = 320,
};

struct scram {				/* zero before the first message */
	enum { SCRAM_NEW, SCRAM_NAMED, SCRAM_CHALLENGED, SCRAM_OVER } state;
	uint8_t name[USERS_NAME_MAX];
	size_t name_len;
	char header[3 + 1];		/* "n,," or "y,," */
	uint8_t said[SCRAM_MESSAGE_MAX + 1 + SCRAM_SERVER_FIRST_MAX];	/* client-first-message-bare "," server-first-message */
	size_t said_len, bare_len;
	size_t nonce_at, nonce_len;	/* the client's, then both */
	struct verifier verifier;
	char signature[2 + 44 + 1];
};

/* The client's first message. False: it is not one, or asks for what we do not have (channel binding, another identity). */
bool scram_client_first(struct scram *s, struct span message);

/* Who it says it is; after scram_client_first(), as long as *s lives. */
struct span scram_name(const struct scram *s);

/* The challenge, in *s. nonce is ours: printable, without commas, at most SCRAM_OURS_MAX bytes. */
struct span scram_server_first(struct scram *s, const struct verifier *verifier, struct span nonce);

/* Whether the client's final message proves that it knows the password. *signature, in *s, is our last message then. */
bool scram_client_final(struct scram *s, struct span message, struct span *signature);

/* The same as the core's method, for config.authentication with a `struct users` as config.users. */
extern const struct authentication scram_sha_256;

#endif

#ifndef HARNESS_TARGET_H
#define HARNESS_TARGET_H

#include "codec/fault.h"
#include "harness/transport.h"

/* A broker under test, as the user names it: [LABEL=]URL. */
struct target {
	char label[280];		/* LABEL, or host:port, or the path: unique enough to be a column's head */
	struct address address;
	const char *user_name, *password;	/* --user and --password-file; borrowed, NULL: none */
};

/*
 * URL is tcp://host[:1883], tls://host[:8883], ws://host[:80][/path], wss://host[:443][/path], bare host[:1883], or
 * unix:/path; IPv6 numbers stand in brackets. The context of TLS is left to the caller. LABEL has letters, digits and . _ - only.
 * False: fault->text is one line that says what was expected (line and column are 0); *target is undefined.
 */
bool target_parse(const char *text, struct target *target, struct fault *fault);

enum address_use { ADDRESS_TO_CONNECT, ADDRESS_TO_LISTEN };	/* to listen, port 0 is any free one */

/* The URL alone. */
bool address_parse(const char *url, enum address_use use, struct address *address, struct fault *fault);

/* As a URL that address_parse() reads; returns buf. */
char *address_print(const struct address *address, char *buf, size_t cap);

/* localhost, 127.x.x.x, ::1, a unix socket, memory: nobody else's machine. */
bool address_is_loopback(const struct address *address);

#endif

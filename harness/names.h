#ifndef HARNESS_NAMES_H
#define HARNESS_NAMES_H

#include <stdbool.h>
#include <sys/socket.h>

/* The socket addresses of one host and port, in the resolver's order. */
struct names {
	unsigned n;
	struct name {
		socklen_t len;
		struct sockaddr_storage at;
	} name[];
};

/*
 * Looks up host (a name or number; "" is every local interface when listening) and remembers the answer for
 * the life of the program: *names stays valid. Blocks; may be called from any thread.
 * 0, or an error for transport_strerror(); failures are not remembered.
 */
int names_find(const char *host, unsigned port, bool to_listen, const struct names **names);

#endif

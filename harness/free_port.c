#include "harness/free_port.h"

#include <errno.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <stdint.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { FIRST = 10240, LAST = 65535, ENOUGH = 1024, TRIES = 2000 };

/* What lies below or above the ports of outgoing connections; all of them, where the system leaves too little. */
static void range(unsigned *first, unsigned *last)
{
	FILE *f = fopen("/proc/sys/net/ipv4/ip_local_port_range", "r");
	unsigned low = 32768, high = 60999;

	if (f) {
		if (fscanf(f, "%u %u", &low, &high) != 2)
			low = 32768, high = 60999;
		fclose(f);
	}
	*first = FIRST;
	*last = LAST;
	if (low >= FIRST + ENOUGH && low <= LAST)
		*last = low - 1;
	else if (high >= FIRST && high <= LAST - ENOUGH)
		*first = high + 1;
}

/* A name that is gone with us, however we end. */
static int reserve(unsigned port)
{
	struct sockaddr_un name = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int len = snprintf(name.sun_path + 1, sizeof(name.sun_path) - 1, "mqassay-port-%u", port);

	if (fd < 0)
		return -errno;
	if (bind(fd, (struct sockaddr *)&name, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)len)) == 0)
		return fd;
	int error = errno;
	close(fd);
	return -error;
}

/* Nobody listens on it, on no address, and no connection is left of who did. */
static int try_port(unsigned port)
{
	struct sockaddr_in any = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_ANY) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	int error = bind(fd, (struct sockaddr *)&any, sizeof(any)) == 0 ? 0 : -errno;
	close(fd);
	return error;
}

int free_port_take(struct free_port *port)
{
	unsigned first, last, random;
	int error = -EADDRINUSE;

	port->held = -1;
	range(&first, &last);
	for (int i = 0; i < TRIES; i++) {
		if (getrandom(&random, sizeof(random), 0) != (ssize_t)sizeof(random))
			return -errno;
		port->port = first + random % (last - first + 1);
		int held = reserve(port->port);
		if (held < 0) {
			if (held != -EADDRINUSE)
				return held;
			continue;
		}
		error = try_port(port->port);
		if (!error) {
			port->held = held;
			return 0;
		}
		close(held);
		if (error != -EADDRINUSE && error != -EACCES)
			return error;
	}
	return error;
}

void free_port_release(struct free_port *port)
{
	if (port->held >= 0)
		close(port->held);
	port->held = -1;
}

#include "harness/names.h"

#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/transport.h"

struct known {
	struct known *next;
	char *host;
	unsigned port;
	bool to_listen;
	struct names names;		/* last: it ends in an array */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct known *all_known;

static const struct known *find(const char *host, unsigned port, bool to_listen)
{
	for (const struct known *k = all_known; k; k = k->next)
		if (k->port == port && k->to_listen == to_listen && strcmp(k->host, host) == 0)
			return k;
	return NULL;
}

static struct known *remember(const char *host, unsigned port, bool to_listen, const struct addrinfo *list)
{
	struct known *k;
	unsigned n = 0;

	for (const struct addrinfo *a = list; a; a = a->ai_next)
		n++;
	k = calloc(1, sizeof(*k) + n * sizeof(k->names.name[0]));
	if (!k)
		return NULL;
	k->host = strdup(host);
	if (!k->host) {
		free(k);
		return NULL;
	}
	k->port = port;
	k->to_listen = to_listen;
	for (const struct addrinfo *a = list; a; a = a->ai_next) {
		struct name *name = &k->names.name[k->names.n++];

		name->len = a->ai_addrlen;
		memcpy(&name->at, a->ai_addr, a->ai_addrlen);
	}
	k->next = all_known;
	all_known = k;
	return k;
}

static int look_up(const char *host, unsigned port, bool to_listen, const struct known **known)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV | (to_listen ? AI_PASSIVE : 0) };
	struct addrinfo *list;
	char service[12];
	int rc;

	snprintf(service, sizeof(service), "%u", port);
	rc = getaddrinfo(*host ? host : NULL, service, &hints, &list);
	if (rc == EAI_SYSTEM)
		return errno ? errno : EIO;
	if (rc == EAI_MEMORY)
		return ENOMEM;
	if (rc)
		return transport_error("%s", rc == EAI_NONAME || rc == EAI_NODATA ? "no such host" : gai_strerror(rc));
	*known = remember(host, port, to_listen, list);
	freeaddrinfo(list);
	return *known ? 0 : ENOMEM;
}

int names_find(const char *host, unsigned port, bool to_listen, const struct names **names)
{
	const struct known *known;
	int error = 0;

	pthread_mutex_lock(&lock);
	known = find(host, port, to_listen);
	if (!known)
		error = look_up(host, port, to_listen, &known);
	pthread_mutex_unlock(&lock);
	if (!error)
		*names = &known->names;
	return error;
}

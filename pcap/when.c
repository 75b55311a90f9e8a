#include "pcap/when.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

const char *endpoint_print(const struct endpoint *e, char room[ENDPOINT_TEXT])
{
	char address[INET6_ADDRSTRLEN];

	if (!inet_ntop(e->family == 6 ? AF_INET6 : AF_INET, e->address, address, sizeof(address)))
		address[0] = 0;
	snprintf(room, ENDPOINT_TEXT, e->family == 6 ? "[%s]:%u" : "%s:%u", address, e->port);
	return room;
}

bool endpoint_equal(const struct endpoint *a, const struct endpoint *b)
{
	return a->family == b->family && a->port == b->port && !memcmp(a->address, b->address, sizeof(a->address));
}

#ifndef HARNESS_SOCKET_H
#define HARNESS_SOCKET_H

#include "harness/transport.h"

/* Between transport.c, which knows every kind of transport, and the files that implement one. */

struct transport *socket_connect(struct loop *loop, const struct address *address, const struct departure *departure,
                                 void (*event)(struct transport *t, unsigned events), void *owner);
void socket_acknowledge(struct transport *t);		/* harmless when it is no TCP socket */
struct transport *mem_connect(struct loop *loop, const struct address *address,
                              void (*event)(struct transport *t, unsigned events), void *owner);

/* A transport for an accepted, non-blocking descriptor, which it takes; NULL: out of memory, fd is closed. */
struct transport *socket_adopt(struct loop *loop, int fd, bool unix_socket);
/* Puts a server's layers over an accepted transport, which it takes; NULL: out of memory, it is closed. */
struct transport *transport_server_layers(struct transport *t, const struct layers *layers);
/* Starts the events of an adopted transport, unless it was closed. */
void socket_begin(struct transport *t);

struct sockaddr_un;
/* 0 or ENAMETOOLONG. */
int socket_unix_name(const char *path, struct sockaddr_un *name);

#endif

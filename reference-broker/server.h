#ifndef REFERENCE_BROKER_SERVER_H
#define REFERENCE_BROKER_SERVER_H

#include "harness/transport.h"
#include "reference-broker/broker.h"

/*
 * The broker behind transports: sockets that listeners hand over and in-memory pipes
 * alike. What the broker has to say to a client is collected and sent once per round of the
 * loop. A client that does not read is not read from either; one that was told to go gets a
 * little time to read what explains it.
 */
struct server;

/* Given; NULL when out of memory. The loop outlives it; *config is copied, but for `broken`. */
struct server *server_new(struct loop *loop, const struct broker_config *config);

/* Closes every connection at once; what the loop still knows of it is freed when its batch is over (loop_settle()). */
void server_free(struct server *server);

/*
 * Connections to it by in-memory pipes, over these layers; the caller may set its options. tls: with which it speaks TLS there,
 * NULL for the ways without. Lives as long as the server.
 */
struct service *server_service(struct server *server, enum way way, struct tls_context *tls);

/* Listens, also in several places; freed with the server. NULL: errno says why. */
struct listener *server_listen(struct server *server, const struct address *address);

/* Says goodbye to everybody, takes no more connections, and calls stopped() once all are gone, within seconds. */
void server_shutdown(struct server *server, void (*stopped)(void *context), void *context);

#endif

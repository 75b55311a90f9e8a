#include "harness/transport.h"

#include <errno.h>
#include <stdio.h>

#include "harness/layer.h"
#include "harness/socket.h"
#include "harness/tls.h"
#include "harness/websocket.h"

const char *const way_names[N_WAYS + 1] = { "tcp", "tls", "ws", "wss", NULL };

/* The field Host of the request that opens a WebSocket: the port where it is not the scheme's own. */
static void host_field(const struct address *address, char *text, size_t cap)
{
	bool number = strchr(address->host, ':') != NULL;
	const char *host = address->kind == ADDRESS_TCP && *address->host ? address->host : "localhost";

	snprintf(text, cap, number ? "[%s]" : "%s", host);
	if (address->kind == ADDRESS_TCP && address->port != (address->layers.tls ? 443 : 80))
		snprintf(text + strlen(text), cap - strlen(text), ":%u", address->port);
}

static struct transport *put_client_layers(struct transport *t, const struct address *address)
{
	const struct layers *layers = &address->layers;
	char host[300];

	if (layers->tls && t)
		t = tls_client(t, layers->context, address->kind == ADDRESS_TCP && *address->host ? address->host : "localhost");
	if (layers->websocket && t) {
		host_field(address, host, sizeof(host));
		t = ws_client(t, &(struct ws_settings){ host, *layers->path ? layers->path : "/mqtt", layers->protocol ? layers->protocol : "mqtt" });
	}
	return t;
}

struct transport *transport_depart(struct loop *loop, const struct address *address, const struct departure *departure,
                                   void (*event)(struct transport *t, unsigned events), void *owner)
{
	struct transport *t = address->kind == ADDRESS_MEMORY ? mem_connect(loop, address, event, owner)
	                                                      : socket_connect(loop, address, departure, event, owner);

	if (!t || !(address->layers.tls || address->layers.websocket))
		return t;
	t = put_client_layers(t, address);
	if (!t) {
		errno = ENOMEM;
		return NULL;
	}
	t->event = event;
	t->owner = owner;
	return t;
}

struct transport *transport_connect(struct loop *loop, const struct address *address,
                                    void (*event)(struct transport *t, unsigned events), void *owner)
{
	return transport_depart(loop, address, &(struct departure){ 0 }, event, owner);
}

void transport_acknowledge(struct transport *t)
{
	while (ws_below(t) || tls_is(t))
		t = ((struct layer *)t)->below;
	socket_acknowledge(t);
}

struct transport *transport_server_layers(struct transport *t, const struct layers *layers)
{
	if (layers->tls && t)
		t = tls_server(t, layers->context);
	if (layers->websocket && t)
		t = ws_server(t, layers->broken);
	return t;
}

bool transport_peer_name(const struct transport *t, char *name, size_t cap)
{
	const struct transport *below = ws_below(t);

	return tls_peer_name(below ? below : t, name, cap);
}

size_t transport_memory(const struct transport *t)
{
	const struct transport *below = ws_below(t);

	return (below ? WS_MEMORY : 0) + (tls_is(below ? below : t) ? TLS_MEMORY : 0);
}

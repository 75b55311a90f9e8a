#include "harness/transport.h"

#include "harness/socket.h"

struct transport *transport_connect(struct loop *loop, const struct address *address,
                                    void (*event)(struct transport *t, unsigned events), void *owner)
{
	if (address->kind == ADDRESS_MEMORY)
		return mem_connect(loop, address, event, owner);
	return socket_connect(loop, address, event, owner);
}

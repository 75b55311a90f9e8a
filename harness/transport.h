#ifndef HARNESS_TRANSPORT_H
#define HARNESS_TRANSPORT_H

#include <stddef.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "harness/loop.h"

/*
 * One end of a byte stream: a TCP or unix socket (tcp.c), an in-memory pipe (mem.c), or a
 * layer over another transport (TLS and WebSocket take this same shape). Short reads and
 * writes are normal. Nothing here blocks.
 */
struct transport;

/*
 * TRANSPORT_READABLE comes again as long as something waits that was not read: whoever does not want to read pauses.
 * Once the end of the stream or an error has been read it comes no more.
 */
enum transport_event {			/* bits */
	TRANSPORT_OPEN = 1,		/* connected: may be sent to; once. An accepted one with layers tells it too, late */
	TRANSPORT_READABLE = 2,		/* bytes, end of stream or an error wait to be read */
	TRANSPORT_WRITABLE = 4,		/* after a short or refused send: room again */
	TRANSPORT_FAILED = 8,		/* could not connect; transport->error says why; last event */
};

struct transport_ops {
	/* How many bytes were taken, at least 1; -EAGAIN: none now, TRANSPORT_WRITABLE follows; else negative errno. */
	ssize_t (*send)(struct transport *t, const void *bytes, size_t len);
	/* At least 1 byte; 0 at the end of the stream; -EAGAIN: TRANSPORT_READABLE follows; -ECONNRESET and others. */
	ssize_t (*recv)(struct transport *t, void *bytes, size_t len);	/* an end or error is returned by every further call */
	void (*pause)(struct transport *t, bool pause);	/* no TRANSPORT_READABLE while paused, whatever waits */
	void (*finish)(struct transport *t);		/* FIN: nothing more will be sent; reading goes on */
	void (*close)(struct transport *t, bool reset);	/* ends it; no event comes any more; freed when the batch is over */
};

struct transport {
	const struct transport_ops *ops;
	struct loop *loop;
	void (*event)(struct transport *t, unsigned events);	/* the owner's */
	void *owner;
	int error;			/* after TRANSPORT_FAILED: what transport_strerror() tells in words */
	unsigned state;			/* the implementation's own */
};

/*
 * An error is one number wherever it travels, also as the negative result of recv: a positive errno, or, where none says it
 * (a failed look-up; what a layer met in its handshake), the number of a text. One line, foreign bytes escaped, cut to
 * 239 bytes; kept for the life of the program, equal ones once, at most 256 of them. From any thread.
 */
int transport_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
const char *transport_strerror(int error);	/* in words; static */

enum layer_fault {
	WS_TAKES_TEXT = 1,		/* text frames for binary ones */
	WS_SENDS_TEXT = 2,
	WS_ALIGNS = 4,			/* takes each frame for one packet: what else is in it is lost, and a part of one too */
	WS_SELECTS_OTHER = 8,		/* a subprotocol that was not offered */
	WS_SELECTS_NONE = 16,
};

/* What is spoken over the bare transport: TLS next to it, WebSocket on top. */
struct layers {
	bool tls, websocket;
	struct tls_context *context;	/* with tls; borrowed, see tls.h */
	char path[200];			/* of a client's WebSocket; "" is /mqtt */
	unsigned broken;		/* what a server does wrong on purpose, bits of enum layer_fault */
	const char *protocol;		/* the subprotocol that it offers; NULL is "mqtt", "" none. Static */
};

/* Ways to one broker, by the layers that are spoken there. */
enum way { WAY_TCP, WAY_TLS, WAY_WS, WAY_WSS, N_WAYS };
extern const char *const way_names[N_WAYS + 1];		/* "tcp", "tls", "ws", "wss", NULL */

static inline enum way way_of(const struct layers *layers)
{
	return (enum way)(layers->tls * WAY_TLS + layers->websocket * WAY_WS);
}

/* Where to connect or listen: a parsed URL (target.h parses). */
struct address {
	enum { ADDRESS_TCP, ADDRESS_UNIX, ADDRESS_MEMORY } kind;
	char host[256];			/* name or number, without brackets; or the unix socket's path. To listen: "" is every interface */
	unsigned port;
	struct service *service;	/* ADDRESS_MEMORY */
	struct layers layers;
};

/*
 * Connects in the background (names are looked up before, blocking, and cached per host); the outcome comes as
 * TRANSPORT_OPEN or TRANSPORT_FAILED, never from inside this call. NULL only when out of memory or descriptors: errno.
 * Sockets have TCP_NODELAY, and TCP_QUICKACK around reads: a delayed ACK against the broker's Nagle algorithm
 * would make 23 five-packet sessions a second of thousands. Accepted ones have TCP_NODELAY only.
 */
struct transport *transport_connect(struct loop *loop, const struct address *address,
                                    void (*event)(struct transport *t, unsigned events), void *owner);

/* How a connection sets out; zeroed, it is as transport_connect() makes it. Only TCP heeds it. */
struct departure {
	/*
	 * A local sockaddr_in or sockaddr_in6 with port 0, borrowed until the outcome is told; NULL: the kernel's choice. The port is chosen when the peer is known (IP_BIND_ADDRESS_NO_PORT), so that
	 * each source has all of net.ipv4.ip_local_port_range to each peer; EADDRNOTAVAIL says that none was left. Names of the other family are not tried.
	 */
	const struct sockaddr *from;
	bool acks_when_told;		/* no TCP_QUICKACK around reads, a system call each: the owner calls transport_acknowledge() where it sends no answer */
};

struct transport *transport_depart(struct loop *loop, const struct address *address, const struct departure *departure,
                                   void (*event)(struct transport *t, unsigned events), void *owner);

/* What was read is acknowledged now, not up to 40 ms later. Through all layers; harmless where there is nothing to acknowledge. Not after close(). */
void transport_acknowledge(struct transport *t);

/* Whom the peer has proven to be by a certificate, whatever lies over its TLS: as tls_peer_name(). False: nobody we could name. */
bool transport_peer_name(const struct transport *t, char *name, size_t cap);

/* What a server's end keeps at most in its layers, in bytes: a handshake, records and frames half here or half gone. 0 without. */
size_t transport_memory(const struct transport *t);

/* ---- listening ---- */

/*
 * Hands over each accepted transport, already open (with layers their handshake is still to come: what goes wrong
 * there ends the stream that is read): the callee sets event and owner, or closes it, before it returns.
 * A name with several addresses is listened to on each, on one port. A unix socket that nobody serves any more is
 * replaced, and removed by listener_free(). A shortage of descriptors leaves clients in the kernel's queue for a while.
 */
struct listener;
struct listener *transport_listen(struct loop *loop, const struct address *address,	/* NULL: errno says why */
                                  void (*accepted)(void *context, struct transport *t), void *context);
unsigned listener_port(const struct listener *listener);	/* the bound one, when port 0 was asked for */
void listener_free(struct listener *listener);		/* freed when the batch is over; accepted transports live on */

/*
 * ---- in memory ----
 * A service takes the server ends of in-memory pipes. A pipe has finite room each way, half-close,
 * and a reset that discards unread bytes, as a socket has; closing with bytes unread resets after what was
 * sent, as Linux does. Both ends live on one loop; the clock may be simulated. Nothing recurses: whatever one
 * end does, the other learns from a posted task. A service without accepted() refuses connections.
 */
struct service {
	void (*accepted)(struct service *service, struct transport *t);
	struct mem_options {
		size_t room;		/* bytes each way before send is refused; 0: 256 kB */
		uint64_t delay_ns;	/* of each write until it can be read; a reset does not wait */
		uint64_t split_seed;	/* not 0: recv yields random short pieces, and delays are random up to delay_ns */
	} options;
	uint64_t n_connections;		/* made so far; each draws its own pieces from the seed */
	struct layers layers;		/* that it speaks */
};

/* How a send is cut into single sends: 0 not at all, 1 every byte, N, or SPLIT_RANDOM by the seed. */
#define SPLIT_RANDOM ((size_t)-1)

#endif

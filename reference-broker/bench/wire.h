#ifndef REFERENCE_BROKER_BENCH_WIRE_H
#define REFERENCE_BROKER_BENCH_WIRE_H

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "codec/codec.h"
#include "codec/fields.h"

/*
 * A connection as a hostile client has one: a socket, packets that are sent without asking what comes back. What comes is
 * thrown away, unless the client is deaf: then it stays in the socket, and soon in the broker.
 */
struct wire {
	int fd;				/* -1: none */
	bool deaf;
	uint16_t last_id;
};

enum { WIRE_ROOM = 1 << 18, WIRE_PATIENCE_MS = 200 };

static atomic_bool wire_over;		/* the attack is: everybody comes to an end */
static atomic_ullong wire_sent, wire_connections;
static uint16_t wire_port;

/* False: refused, or the attack is over. */
static inline bool wire_open(struct wire *w, bool deaf)
{
	struct sockaddr_in name = { .sin_family = AF_INET, .sin_port = htons(wire_port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	const int small = 16384;

	*w = (struct wire){ .fd = -1, .deaf = deaf };
	if (wire_over)
		return false;
	w->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (w->fd < 0)
		return false;
	if (deaf)			/* the kernel's buffers are not what is tested */
		setsockopt(w->fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	if (connect(w->fd, (struct sockaddr *)&name, sizeof(name)) < 0) {
		close(w->fd);
		w->fd = -1;
		return false;
	}
	wire_connections++;
	return true;
}

static inline void wire_close(struct wire *w)
{
	if (w->fd >= 0)
		close(w->fd);
	w->fd = -1;
}

/* An end without DISCONNECT and without a FIN: the will is due. */
static inline void wire_reset(struct wire *w)
{
	const struct linger now = { 1, 0 };

	if (w->fd >= 0)
		setsockopt(w->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	wire_close(w);
}

/* False: the broker has ended it. */
static inline bool wire_drain(struct wire *w)
{
	char away[65536];
	ssize_t n;

	while ((n = recv(w->fd, away, sizeof(away), MSG_DONTWAIT)) > 0)
		;
	return n < 0 && errno == EAGAIN;
}

/* All of it; false when the connection has ended, the broker stopped reading, or the attack is over. */
static inline bool wire_put(struct wire *w, const void *bytes, size_t len)
{
	const char *at = bytes;

	while (len) {
		ssize_t n = w->fd < 0 || wire_over ? -1 : send(w->fd, at, len, MSG_DONTWAIT | MSG_NOSIGNAL);
		struct pollfd ask = { .fd = w->fd, .events = (short)(POLLOUT | (w->deaf ? 0 : POLLIN)) };

		if (n > 0) {
			wire_sent += (unsigned long long)n;
			at += n;
			len -= (size_t)n;
			continue;
		}
		if (w->fd < 0 || wire_over || errno != EAGAIN || poll(&ask, 1, WIRE_PATIENCE_MS) <= 0)
			return false;
		if (ask.revents & POLLIN && !wire_drain(w))
			return false;
	}
	return w->deaf || wire_drain(w);
}

static inline bool wire_packet(struct wire *w, struct packet p)
{
	static _Thread_local uint8_t room[WIRE_ROOM];
	struct writer to = writer_to(room, sizeof(room));

	if (!p.version)
		p.version = MQTT_5;
	if (p.type == SUBSCRIBE || p.type == PUBREL)
		p.flags = 2;
	if (!p.packet_id && (p.type == SUBSCRIBE || (p.type == PUBLISH && publish_qos(&p)))) {
		if (!++w->last_id)
			w->last_id = 1;
		p.packet_id = w->last_id;
	}
	if (encode(&p, NULL, &to) != CODEC_OK || !wr_fits(&to))
		abort();
	return wire_put(w, room, to.len);
}

struct hello {				/* a CONNECT */
	const char *id;
	uint32_t expiry;
	bool resume;
	struct span properties, will_topic, will_payload, will_properties;
	uint8_t version;
};

static inline bool wire_connect(struct wire *w, struct hello h)
{
	uint8_t room[32];
	struct writer to = writer_to(room, sizeof(room));
	struct packet p = {
		.type = CONNECT, .version = h.version ? h.version : MQTT_5, .protocol_name = span_text("MQTT"),
		.connect_flags = (uint8_t)(h.resume ? 0 : CONNECT_CLEAN_START), .client_id = span_text(h.id), .properties = h.properties,
	};

	p.protocol_version = p.version;
	if (h.expiry && p.version == MQTT_5 && !h.properties.len) {
		property_write_number(&to, PROP_session_expiry_interval, h.expiry);
		p.properties = wr_span(&to);
	}
	if (h.will_topic.len) {
		p.connect_flags |= CONNECT_WILL | 1 << CONNECT_WILL_QOS_SHIFT;
		p.will_topic = h.will_topic;
		p.will_payload = h.will_payload;
		p.will_properties = h.will_properties;
	}
	return wire_packet(w, p);
}

/* Opens and says CONNECT. */
static inline bool wire_login(struct wire *w, bool deaf, struct hello h)
{
	return wire_open(w, deaf) && wire_connect(w, h);
}

static inline void wire_filter(struct writer *to, struct span filter, unsigned options)
{
	wr_u16(to, (unsigned)filter.len);
	wr_bytes(to, filter);
	wr_u8(to, options);
}

static inline bool wire_subscribe(struct wire *w, const char *filter, unsigned options)
{
	static _Thread_local uint8_t room[66000];
	struct writer to = writer_to(room, sizeof(room));

	wire_filter(&to, span_text(filter), options);
	return wire_packet(w, (struct packet){ .type = SUBSCRIBE, .list = wr_span(&to) });
}

static inline bool wire_publish(struct wire *w, struct span topic, struct span payload, unsigned qos, bool retain)
{
	return wire_packet(w, (struct packet){
		.type = PUBLISH, .topic = topic, .payload = payload,
		.flags = (uint8_t)(qos << PUBLISH_QOS_SHIFT | (retain ? PUBLISH_RETAIN : 0)),
	});
}

#endif

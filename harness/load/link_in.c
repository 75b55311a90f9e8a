#include "harness/load/link_internal.h"

#include <errno.h>
#include <string.h>

#include "harness/websocket.h"

void link_pause(struct link *link, bool pause)
{
	if (!link->hub || link->end || link->paused == pause)
		return;
	link->paused = pause;
	if (!link->transport)
		return;
	link->transport->ops->pause(link->transport, pause);
	if (link->open && (link->in_len || link->broken))
		link_touch(link);
}

/* ---- packets ---- */

/* What else may answer on that port: a server that takes our CONNECT for a mistake of its own protocol. */
static int other_protocol(const uint8_t *bytes, size_t len)
{
	if (len >= 3 && bytes[0] == 0x15 && bytes[1] == 3 && bytes[2] <= 4)
		return transport_error("it speaks TLS on this port: try tls:// or wss://");
	if (len >= 5 && !memcmp(bytes, "HTTP/", 5))
		return transport_error("it speaks HTTP on this port: try ws:// or wss://");
	return 0;
}

/* The first packet, or what should be one. False: the link has ended. */
static bool first_heard(struct link *link, const uint8_t *bytes, size_t len)
{
	const char *protocol = link->address->layers.protocol ? NULL : ws_protocol(link->transport);

	link->error = other_protocol(bytes, len);
	if (link->error) {
		link_ended(link, LINK_GARBAGE);
		return false;
	}
	if (protocol)
		monitor_subprotocol(&link->monitor, protocol);
	link->heard = true;
	return true;
}

/* Hands over every whole packet in bytes[0..len), unless the owner pauses it or ends it; returns how much was used up. */
static size_t deliver(struct link *link, const uint8_t *bytes, size_t len)
{
	struct link_hub *hub = link->hub;
	struct transport *t = link->transport;
	size_t used = 0;

	while (used < len && link->transport == t && !link->paused) {
		struct frame frame = { 0 };
		struct finding finding;
		struct packet packet;
		enum frame_status status = frame_next(bytes + used, len - used, &frame, &finding);

		if (!link->heard && (status != FRAME_MORE || len >= 5) && !first_heard(link, bytes, len))
			break;
		if (status == FRAME_BAD) {
			monitor_bad_frame(&link->monitor, &finding);
			link_ended(link, LINK_GARBAGE);
			break;
		}
		if (frame.size > hub->max_packet) {
			link_ended(link, LINK_TOO_LARGE);
			break;
		}
		if (status == FRAME_MORE)
			break;
		bool readable = monitor_received(&link->monitor, bytes + used, frame.size, &frame, &packet) == CODEC_OK;
		used += frame.size;
		hub->events->packet(link, bytes + used - frame.size, frame.size, readable ? &packet : NULL);
	}
	return used;
}

static void keep(struct link *link, const uint8_t *bytes, size_t len)
{
	link->in = pool_take(link->hub->pool, len);
	link->in_cap = link->in_len = (uint32_t)len;
	memcpy(link->in, bytes, len);
}

void link_deliver_kept(struct link *link)
{
	struct transport *t = link->transport;
	struct pool *pool = link->hub->pool;
	/* The owner may end the link from inside, and so give back what it holds: the bytes are ours meanwhile. */
	uint8_t *in = link->in;
	uint32_t len = link->in_len, cap = link->in_cap;

	link->in = NULL;
	link->in_len = link->in_cap = 0;
	size_t used = deliver(link, in, len);
	if (link->transport == t && used == 0) {
		link->in = in;
		link->in_len = len;
		link->in_cap = cap;
		return;
	}
	if (link->transport == t && used < len)
		keep(link, in + used, len - used);
	pool_give(pool, in, cap);
}

/* ---- reading ---- */

/* False: nothing has come. */
static bool receive(struct link *link, uint8_t *room, size_t cap, size_t *len)
{
	ssize_t n = link->transport->ops->recv(link->transport, room, cap);

	link->hub->counts.receives++;
	if (n == -EAGAIN)
		return false;
	if (n <= 0) {
		if (n < 0)
			link->error = (int)-n;
		link_ended(link, n < 0 ? LINK_RESET : LINK_FIN);
		return false;
	}
	link->hub->counts.bytes_received += (uint64_t)n;
	*len = (size_t)n;
	link->unacknowledged = true;
	link_touch(link);
	link_came_through(link);
	return true;
}

/* Of an unfinished packet more than SMALL bytes are here: it grows where it is, as fast as it comes, up to its own size. */
static void read_large(struct link *link)
{
	struct frame frame = { 0 };
	struct finding finding;
	size_t len, cap = 4 * (size_t)link->in_len + READ_SIZE;

	if (frame_next(link->in, link->in_len, &frame, &finding) != FRAME_MORE) {	/* kept while paused */
		link_deliver_kept(link);
		return;
	}
	if (cap > frame.size)
		cap = frame.size;
	if (link->in_cap == link->in_len) {
		uint8_t *in = pool_take(link->hub->pool, cap);

		memcpy(in, link->in, link->in_len);
		pool_give(link->hub->pool, link->in, link->in_cap);
		link->in = in;
		link->in_cap = (uint32_t)cap;
	}
	if (!receive(link, link->in + link->in_len, link->in_cap - link->in_len, &len))
		return;
	link->in_len += (uint32_t)len;
	if (link->in_len == frame.size)
		link_deliver_kept(link);
}

/* One read an event: what it left makes the transport readable again, and nobody else waits for a flood to end. */
void link_take(struct link *link)
{
	struct transport *t = link->transport;
	uint8_t *at = link->hub->in + SMALL;
	size_t len, before = link->in_len, used;

	if (before > SMALL) {
		read_large(link);
		return;
	}
	if (!receive(link, at, READ_SIZE, &len))
		return;
	if (before) {
		at -= before;
		memcpy(at, link->in, before);
		pool_give(link->hub->pool, link->in, link->in_cap);
		link->in = NULL;
		link->in_len = link->in_cap = 0;
		len += before;
	}
	used = deliver(link, at, len);
	if (link->transport == t && used < len)
		keep(link, at + used, len - used);
}

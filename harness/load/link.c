#include "harness/load/link_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>

#include "harness/websocket.h"

#define MAX_PACKET (16u * 1024 * 1024)
#define MAX_UNSENT (64u * 1024)
#define MAX_PENDING 64
#define STALL_NS UINT64_C(5000000000)

/* ---- rings ---- */

static void ring_init(struct link_ring *ring)
{
	ring->next = ring->prev = ring;
}

static bool ring_is_empty(const struct link_ring *ring)
{
	return ring->next == ring;
}

static void ring_append(struct link_ring *ring, struct link *link)
{
	link->ring = (struct link_ring){ .next = ring, .prev = ring->prev };
	ring->prev->next = &link->ring;
	ring->prev = &link->ring;
}

static void ring_remove(struct link *link)
{
	if (!link->ring.next)
		return;
	link->ring.prev->next = link->ring.next;
	link->ring.next->prev = link->ring.prev;
	link->ring = (struct link_ring){ 0 };
}

static struct link *ring_first(struct link_ring *ring)
{
	struct link *link = (struct link *)((char *)ring->next - offsetof(struct link, ring));

	ring_remove(link);
	return link;
}

/* ---- the hub ---- */

void link_touch(struct link *link)
{
	if (link->ring.next)
		return;
	ring_append(&link->hub->touched, link);
	loop_post(link->hub->loop, &link->hub->flush);
}

/* What the batch left to be done for one link. Its transport may be another one, or none, after each call to the owner. */
static void flush_one(struct link *link)
{
	bool sends = link_unsent(link) > 0 && !link->blocked;

	if (!link->transport) {			/* not even the attempt could be made */
		link_ended(link, LINK_REFUSED);
		return;
	}
	if (!link->open)
		return;
	if (!link->blocked)
		link_put(link);
	if (link->unacknowledged) {
		link->unacknowledged = false;
		if (!sends)
			transport_acknowledge(link->transport);
	}
	if (link->broken && link->paused) {	/* nobody would read that it has ended */
		link_ended(link, LINK_RESET);
		return;
	}
	struct transport *t = link->transport;
	link_tell_room(link);
	if (link->transport == t && link->in_len && !link->paused)
		link_deliver_kept(link);
}

static void flush(struct task *task, struct loop *loop)
{
	struct link_hub *hub = (struct link_hub *)((char *)task - offsetof(struct link_hub, flush));
	struct link_ring now;

	(void)loop;
	if (ring_is_empty(&hub->touched))
		return;
	now = hub->touched;			/* who is touched from now on has his turn in the next batch */
	now.next->prev = now.prev->next = &now;
	ring_init(&hub->touched);
	while (!ring_is_empty(&now))
		flush_one(ring_first(&now));
}

static void begin_waiting(struct link_hub *hub);

static void stalled(struct timer *timer, struct loop *loop)
{
	struct link_hub *hub = (struct link_hub *)((char *)timer - offsetof(struct link_hub, stalled));

	(void)loop;
	hub->n_pending = 0;			/* those that come through late find nothing to subtract from, at worst */
	begin_waiting(hub);
}

void link_hub_init(struct link_hub *hub)
{
	hub->max_packet = hub->max_packet ? hub->max_packet : MAX_PACKET;
	hub->max_unsent = hub->max_unsent ? hub->max_unsent : MAX_UNSENT;
	hub->max_pending = hub->max_pending ? hub->max_pending : MAX_PENDING;
	hub->counts = (struct link_counts){ 0 };
	hub->n_pending = 0;
	hub->next_source = 0;
	hub->flush = (struct task){ .run = flush };
	hub->stalled = (struct timer){ .fire = stalled };
	hub->in = pool_take(hub->pool, IN_SIZE);
	ring_init(&hub->touched);
	ring_init(&hub->waiting);
}

void link_hub_release(struct link_hub *hub)
{
	assert(ring_is_empty(&hub->touched) && ring_is_empty(&hub->waiting));
	loop_timer_stop(hub->loop, &hub->stalled);
	pool_give(hub->pool, hub->in, IN_SIZE);
	hub->in = NULL;
}

/* ---- ends ---- */

/* Gives back all that an open link has. */
static void release(struct link *link, bool reset)
{
	struct link_hub *hub = link->hub;

	ring_remove(link);
	if (link->transport)
		link->transport->ops->close(link->transport, reset);
	link->transport = NULL;
	link->open = false;
	link_drop_unsent(link);
	pool_give(hub->pool, link->in, link->in_cap);
	link->in = NULL;
	link->in_len = link->in_cap = 0;
	monitor_close(&link->monitor);
	link_came_through(link);
}

void link_ended(struct link *link, enum link_end how)
{
	if (link->end)
		return;
	link->end = (uint8_t)how;
	if (link->transport && ws_sent_text(link->transport))
		monitor_text_frame(&link->monitor);
	release(link, how == LINK_GARBAGE || how == LINK_TOO_LARGE);
	link->hub->events->ended(link, how);
}

void link_close(struct link *link, bool reset)
{
	if (!link->hub || link->end)
		return;
	if (link->open && !link->blocked && !reset)
		link_put(link);
	link->end = LINK_OURS;
	release(link, reset);
}

/* ---- beginnings ---- */

void link_came_through(struct link *link)
{
	struct link_hub *hub = link->hub;

	if (!link->pending)
		return;
	link->pending = false;
	if (hub->n_pending)
		hub->n_pending--;
	if (!ring_is_empty(&hub->waiting))
		begin_waiting(hub);
}

static void opened(struct link *link)
{
	struct link_hub *hub = link->hub;
	struct transport *t = link->transport;
	bool layers = link->address->layers.tls || link->address->layers.websocket;

	link->open = true;
	hub->counts.opened++;
	hub->events->opened(link);
	if (link->transport != t)
		return;
	if (layers || !link_unsent(link))
		link_came_through(link);
	if (link_unsent(link) || link->finishing)
		link_touch(link);
}

static void on_transport(struct transport *t, unsigned events)
{
	struct link *link = t->owner;

	if (events & TRANSPORT_FAILED) {
		link->error = t->error;
		link_ended(link, LINK_REFUSED);
		return;
	}
	if (events & TRANSPORT_OPEN)
		opened(link);
	if (events & TRANSPORT_WRITABLE && link->transport == t && link->blocked) {
		link_put(link);
		link_tell_room(link);
	}
	if (events & TRANSPORT_READABLE && link->transport == t && !link->paused)
		link_take(link);
}

static void begin(struct link *link)
{
	struct link_hub *hub = link->hub;
	struct departure departure = { .acks_when_told = true };

	if (hub->n_sources)
		departure.from = &hub->sources[hub->next_source++ % hub->n_sources].at.any;
	if (hub->events->begun)
		hub->events->begun(link);
	link->transport = transport_depart(hub->loop, link->address, &departure, on_transport, link);
	if (!link->transport) {
		link->error = errno ? errno : ENOMEM;
		link_touch(link);
		return;
	}
	if (link->paused)
		link->transport->ops->pause(link->transport, true);
	link->pending = true;
	if (++hub->n_pending > hub->counts.pending_most)
		hub->counts.pending_most = hub->n_pending;
}

static void begin_waiting(struct link_hub *hub)
{
	while (hub->n_pending < hub->max_pending && !ring_is_empty(&hub->waiting))
		begin(ring_first(&hub->waiting));
	if (ring_is_empty(&hub->waiting))
		loop_timer_stop(hub->loop, &hub->stalled);
	else
		loop_timer(hub->loop, &hub->stalled, hub->loop->now_ns + STALL_NS);
}

void link_open(struct link *link, struct link_hub *hub, const struct address *address, struct monitor_log *log)
{
	assert(!link->transport && !link->ring.next);
	*link = (struct link){ .hub = hub, .address = address };
	monitor_open(&link->monitor, hub->world, log);
	ring_append(&hub->waiting, link);
	if (hub->n_pending < hub->max_pending)
		begin_waiting(hub);
	else if (!hub->stalled.slot)
		loop_timer(hub->loop, &hub->stalled, hub->loop->now_ns + STALL_NS);
}

char *link_end_text(const struct link *link, char *text, size_t cap)
{
	const char *error = transport_strerror(link->error);

	if (link->error == EADDRNOTAVAIL)
		error = "no local port is left to that address (net.ipv4.ip_local_port_range); more source addresses have more";
	switch ((enum link_end)link->end) {
	case LINK_OPEN_YET:  snprintf(text, cap, link->open ? "open" : "not open yet"); break;
	case LINK_FIN:       snprintf(text, cap, "closed by the broker (FIN)"); break;
	case LINK_RESET:     snprintf(text, cap, "closed by the broker (%s)", link->error == ECONNRESET ? "RST" : error); break;
	case LINK_REFUSED:   snprintf(text, cap, "could not connect: %s", error); break;
	case LINK_OURS:      snprintf(text, cap, "closed by us"); break;
	case LINK_GARBAGE:   snprintf(text, cap, "%s", link->error ? error : "what the broker sent cannot be framed"); break;
	case LINK_TOO_LARGE: snprintf(text, cap, "the broker announced a packet of more than %zu bytes", link->hub->max_packet); break;
	}
	return text;
}

#include "reference-broker/server.h"

#include <errno.h>
#include <stdlib.h>

#include "reference-broker/effects.h"
#include "reference-broker/faults.h"

#define LINGER_NS UINT64_C(2000000000)	/* for a client to read what we said last */
#define READ_SIZE 65536

struct peer {				/* a transport and the link it serves */
	struct server *server;
	struct transport *transport;
	struct link *link;
	struct peer *next, *prev;
	struct timer linger;		/* runs once the connection is to end */
	bool blocked;			/* the transport takes nothing just now */
	bool paused;
	bool finished;			/* FIN is sent */
	bool ended;			/* the client's end has come */
};

struct listening {
	struct listener *listener;
	struct listening *next;
};

struct server {
	struct door {			/* where in-memory pipes end, one for each way */
		struct service service;
		struct server *server;
	} doors[N_WAYS];
	struct loop *loop;
	struct broker *broker;
	struct peer *peers;
	struct listening *listening;
	unsigned broken;		/* bits of enum layer_fault */
	struct timer tick;
	struct task flush, corpse;
	void (*stopped)(void *context);
	void *stopped_context;
	bool stopping, identities;
	uint8_t room[READ_SIZE];
};

static struct server *server_of_service(struct service *service)
{
	return ((struct door *)((char *)service - offsetof(struct door, service)))->server;
}

static void check_stopped(struct server *s)
{
	void (*stopped)(void *context) = s->stopped;

	if (!s->stopping || s->peers || !stopped)
		return;
	s->stopped = NULL;
	stopped(s->stopped_context);
}

/* Frees the peer; its transport goes when the batch is over. */
static void drop(struct peer *p, bool reset)
{
	struct server *s = p->server;

	loop_timer_stop(s->loop, &p->linger);
	p->transport->ops->close(p->transport, reset);
	broker_forget(s->broker, p->link, s->loop->now_ns);
	if (p->prev)
		p->prev->next = p->next;
	else
		s->peers = p->next;
	if (p->next)
		p->next->prev = p->prev;
	free(p);
	loop_post(s->loop, &s->flush);		/* its will may be due to others */
}

static void lingered(struct timer *timer, struct loop *loop)
{
	struct peer *p = (struct peer *)((char *)timer - offsetof(struct peer, linger));

	(void)loop;
	drop(p, true);
}

/* The broker wants it ended: what is left goes out, then FIN, then we read on until the client's end comes. */
static bool wind_up(struct peer *p)
{
	struct server *s = p->server;

	if (!p->linger.slot)
		loop_timer(s->loop, &p->linger, s->loop->now_ns + LINGER_NS);
	if (link_output(p->link).len)
		return true;
	if (p->ended) {
		drop(p, false);
		return false;
	}
	if (!p->finished) {
		p->finished = true;
		p->transport->ops->finish(p->transport);
	}
	return true;
}

static void pace(struct peer *p)
{
	bool pause = link_paused(p->link);

	if (pause != p->paused) {
		p->paused = pause;
		p->transport->ops->pause(p->transport, pause);
	}
}

/* Sends what the transport takes. False when the peer is gone. */
static bool send_output(struct peer *p)
{
	struct server *s = p->server;

	while (!p->blocked) {
		struct span out = link_output(p->link);
		ssize_t n;

		if (!out.len)
			break;
		n = p->transport->ops->send(p->transport, out.at, out.len);
		if (n < 0 && n != -EAGAIN) {
			drop(p, true);
			return false;
		}
		p->blocked = n < 0 || (size_t)n < out.len;
		if (n > 0)
			link_sent(s->broker, p->link, (size_t)n, s->loop->now_ns);
	}
	pace(p);
	return !link_closing(p->link) || wind_up(p);
}

static void ticked(struct timer *timer, struct loop *loop)
{
	struct server *s = (struct server *)((char *)timer - offsetof(struct server, tick));

	broker_tick(s->broker, loop->now_ns);
	loop_post(loop, &s->flush);
}

/* Once per round of the loop: everything that the events of the round made the broker say. */
static void flush(struct task *task, struct loop *loop)
{
	struct server *s = (struct server *)((char *)task - offsetof(struct server, flush));
	struct link *link;
	uint64_t due;

	if (!s->broker)
		return;			/* freed while this was posted */
	while ((link = broker_ready(s->broker)))
		send_output(link_owner(link));
	due = broker_deadline(s->broker);
	if (due == UINT64_MAX)
		loop_timer_stop(loop, &s->tick);
	else if (!s->tick.slot || s->tick.due_ns != due)
		loop_timer(loop, &s->tick, due);
	check_stopped(s);
}

static void receive(struct peer *p)
{
	struct server *s = p->server;
	uint64_t now = s->loop->now_ns;
	ssize_t n = p->transport->ops->recv(p->transport, s->room, sizeof(s->room));

	if (n == -EAGAIN)
		return;
	loop_post(s->loop, &s->flush);
	if (n > 0) {
		broker_receive(s->broker, p->link, s->room, (size_t)n, now);
		return;
	}
	if (n < 0) {
		drop(p, n == -ECONNRESET);	/* a layer's handshake may have failed, and its refusal be on its way */
		return;
	}
	p->ended = true;
	if (link_closing(p->link)) {
		if (send_output(p))
			p->transport->ops->pause(p->transport, true);	/* only our own output is still to go */
		return;
	}
	if (send_output(p))		/* a client that shuts its side early may still read */
		drop(p, false);
}

/* The handshake is over, and nothing of MQTT was read yet. False when the peer is gone. */
static bool identify(struct peer *p)
{
	char name[BROKER_TEXT_MAX + 1];

	if (!p->server->identities || !transport_peer_name(p->transport, name, sizeof(name)) ||
	    broker_identify(p->server->broker, p->link, span_text(name)))
		return true;
	drop(p, true);
	return false;
}

static void happened(struct transport *t, unsigned events)
{
	struct peer *p = t->owner;

	if (events & TRANSPORT_OPEN && !identify(p))
		return;
	if (events & TRANSPORT_WRITABLE) {
		p->blocked = false;
		if (!send_output(p))
			return;
		loop_post(p->server->loop, &p->server->flush);
	}
	if (events & TRANSPORT_READABLE)
		receive(p);
}

static void take(struct server *s, struct transport *t)
{
	struct peer *p = s->stopping ? NULL : calloc(1, sizeof(*p));

	if (p)
		p->link = broker_accept(s->broker, p, s->loop->now_ns);
	if (p && p->link && !broker_charge(s->broker, p->link, transport_memory(t))) {
		broker_forget(s->broker, p->link, s->loop->now_ns);
		p->link = NULL;
	}
	if (!p || !p->link) {
		free(p);
		t->ops->close(t, true);
		return;
	}
	p->server = s;
	p->transport = t;
	p->linger.fire = lingered;
	p->next = s->peers;
	if (p->next)
		p->next->prev = p;
	s->peers = p;
	t->owner = p;
	t->event = happened;
	loop_post(s->loop, &s->flush);		/* the deadline for CONNECT */
}

static void accepted_by_listener(void *context, struct transport *t)
{
	take(context, t);
}

static void accepted_by_service(struct service *service, struct transport *t)
{
	take(server_of_service(service), t);
}

/* What the layers do wrong is told to them: the broker above them sees bytes only. */
static unsigned layer_faults(const struct broker_config *config)
{
	static const struct { enum effect effect; enum layer_fault fault; } faults[] = {
		{ TAKE_TEXT_FRAMES, WS_TAKES_TEXT }, { SEND_TEXT_FRAMES, WS_SENDS_TEXT }, { ALIGN_FRAMES, WS_ALIGNS },
		{ SELECT_OTHER_PROTOCOL, WS_SELECTS_OTHER }, { SELECT_NO_PROTOCOL, WS_SELECTS_NONE },
	};
	unsigned broken = 0;

	for (size_t i = 0; config->broken && i < n_fault_rows; i++)
		for (size_t k = 0; k < sizeof(faults) / sizeof(*faults); k++)
			if (fault_rows[i].effect == faults[k].effect && fault_set(config->broken, (unsigned)i))
				broken |= faults[k].fault;
	return broken;
}

struct server *server_new(struct loop *loop, const struct broker_config *config)
{
	struct server *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->broker = broker_new(config, loop->now_ns);
	if (!s->broker) {
		free(s);
		return NULL;
	}
	s->loop = loop;
	s->identities = config->identities;
	s->broken = layer_faults(config);
	for (unsigned way = 0; way < N_WAYS; way++) {
		struct service *service = &s->doors[way].service;

		s->doors[way].server = s;
		service->layers.tls = way & WAY_TLS;
		service->layers.websocket = way & WAY_WS;
		service->layers.broken = s->broken;
		service->accepted = way & WAY_TLS ? NULL : accepted_by_service;
	}
	s->tick.fire = ticked;
	s->flush.run = flush;
	return s;
}

struct service *server_service(struct server *server, enum way way, struct tls_context *tls)
{
	struct service *service = &server->doors[way].service;

	service->layers.context = tls;
	service->accepted = accepted_by_service;
	return service;
}

struct listener *server_listen(struct server *server, const struct address *address)
{
	struct listening *l = calloc(1, sizeof(*l));

	if (!l) {
		errno = ENOMEM;
		return NULL;
	}
	struct address layered = *address;
	layered.layers.broken = server->broken;
	l->listener = transport_listen(server->loop, &layered, accepted_by_listener, server);
	if (!l->listener) {
		int error = errno;

		free(l);
		errno = error;
		return NULL;
	}
	l->next = server->listening;
	server->listening = l;
	return l->listener;
}

static void stop_listening(struct server *s)
{
	struct listening *l;

	while ((l = s->listening)) {
		s->listening = l->next;
		listener_free(l->listener);
		free(l);
	}
	for (unsigned way = 0; way < N_WAYS; way++)
		s->doors[way].service.accepted = NULL;
}

void server_shutdown(struct server *server, void (*stopped)(void *context), void *context)
{
	server->stopping = true;
	server->stopped = stopped;
	server->stopped_context = context;
	stop_listening(server);
	broker_shutdown(server->broker, server->loop->now_ns);
	loop_post(server->loop, &server->flush);
}

static void bury(struct task *task, struct loop *loop)
{
	(void)loop;
	free((char *)task - offsetof(struct server, corpse));
}

void server_free(struct server *server)
{
	if (!server)
		return;
	stop_listening(server);
	while (server->peers)
		drop(server->peers, true);
	loop_timer_stop(server->loop, &server->tick);
	broker_free(server->broker);
	server->broker = NULL;
	server->corpse.run = bury;	/* a flush may be posted still */
	loop_reap(server->loop, &server->corpse);
}

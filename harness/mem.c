#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "harness/socket.h"

#define DEFAULT_ROOM (256u * 1024)
#define SMALLEST_BUFFER 256u

/*
 * A pair of ends in one piece of memory. Each end owns the bytes that wait for it to read them. What an end
 * has to be told is kept in its state and told by its task, so that nothing calls back from inside a call.
 */
struct end {
	struct transport t;		/* first */
	struct task task;
	uint8_t *bytes;			/* a ring of cap bytes, a power of two; none while empty */
	uint32_t start, len, cap;
	bool second;			/* which of the two this is */
};

/* Only with options.delay_ns: what each end's bytes wait for. */
struct late {
	struct timer timer;		/* armed for the first segment */
	struct end *end;
	uint64_t last_due_ns;		/* nothing overtakes */
	struct segment { uint64_t due_ns; uint32_t len; } *segments;	/* a ring */
	uint32_t start, n, cap;
	uint32_t arrived;		/* bytes that may be read */
	bool end_comes;			/* the FIN is due at last_due_ns */
};

struct pipe {
	struct end ends[2];		/* the client's, the service's */
	struct service *service;
	struct late *late;		/* NULL or one for each end */
	uint64_t random;		/* 0: no splits */
	uint32_t room;
};

enum {					/* transport.state */
	OPENING = 1,			/* the client's: its task knocks at the service */
	REFUSED = 2,
	PAUSED = 4,
	WANTS_ROOM = 8,			/* a send was short: WRITABLE is owed */
	FINISHED = 16,			/* we sent our end */
	PEER_ENDED = 32,		/* no more bytes come; t.error tells how it ended */
	TOLD_END = 64,			/* the owner has read the end */
	PEER_GONE = 128,		/* nobody reads what we send */
	CLOSED = 256,
	DONE = 512,			/* closed, and its task will not run again */
};

static const struct transport_ops mem_ops;

static struct end *end_of(struct transport *t)
{
	return (struct end *)t;
}

static struct pipe *pipe_of(struct end *e)
{
	return (struct pipe *)((char *)(e - e->second) - offsetof(struct pipe, ends));
}

static struct end *peer_of(struct end *e)
{
	return e->second ? e - 1 : e + 1;
}

static struct late *late_of(struct end *e)
{
	struct pipe *p = pipe_of(e);

	return p->late ? &p->late[e->second] : NULL;
}

static uint64_t random_below(struct pipe *p, uint64_t bound)
{
	uint64_t z = p->random += UINT64_C(0x9e3779b97f4a7c15);	/* splitmix64 */

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return (z ^ z >> 31) % bound;
}

/* ---- the bytes that wait for an end ---- */

static bool reserve(struct end *e, uint32_t more)
{
	uint32_t cap = e->cap ? e->cap : SMALLEST_BUFFER, first;
	uint8_t *bytes;

	while (cap - e->len < more)
		cap *= 2;
	if (cap == e->cap)
		return true;
	bytes = malloc(cap);
	if (!bytes)
		return false;
	if (e->len) {
		first = e->cap - e->start < e->len ? e->cap - e->start : e->len;
		memcpy(bytes, e->bytes + e->start, first);
		memcpy(bytes + first, e->bytes, e->len - first);
	}
	free(e->bytes);
	e->bytes = bytes;
	e->cap = cap;
	e->start = 0;
	return true;
}

static void put(struct end *e, const uint8_t *bytes, uint32_t len)
{
	uint32_t at = (e->start + e->len) & (e->cap - 1);
	uint32_t first = e->cap - at < len ? e->cap - at : len;

	memcpy(e->bytes + at, bytes, first);
	memcpy(e->bytes, bytes + first, len - first);
	e->len += len;
}

static void take(struct end *e, uint8_t *bytes, uint32_t len)
{
	uint32_t first = e->cap - e->start < len ? e->cap - e->start : len;

	memcpy(bytes, e->bytes + e->start, first);
	memcpy(bytes + first, e->bytes, len - first);
	e->start = (e->start + len) & (e->cap - 1);
	e->len -= len;
}

static void empty(struct end *e)
{
	free(e->bytes);
	e->bytes = NULL;
	e->start = e->len = e->cap = 0;
}

/* ---- delays ---- */

static void wake(struct end *e)
{
	if (!(e->t.state & CLOSED))
		loop_post(e->t.loop, &e->task);
}

static void arm(struct late *late)
{
	struct loop *loop = late->end->t.loop;

	if (late->n)
		loop_timer(loop, &late->timer, late->segments[late->start].due_ns);
	else if (late->end_comes)
		loop_timer(loop, &late->timer, late->last_due_ns);
	else
		loop_timer_stop(loop, &late->timer);
}

static void arrive(struct timer *timer, struct loop *loop)
{
	struct late *late = (struct late *)((char *)timer - offsetof(struct late, timer));

	while (late->n && late->segments[late->start].due_ns <= loop->now_ns) {
		late->arrived += late->segments[late->start].len;
		late->start = (late->start + 1) & (late->cap - 1);
		late->n--;
	}
	if (!late->n && late->end_comes && late->last_due_ns <= loop->now_ns) {
		late->end_comes = false;
		late->end->t.state |= PEER_ENDED;
	}
	arm(late);
	wake(late->end);
}

static uint64_t due(struct late *late)
{
	struct pipe *p = pipe_of(late->end);
	uint64_t delay_ns = p->service->options.delay_ns, due_ns;

	if (p->random)
		delay_ns = random_below(p, delay_ns + (delay_ns < UINT64_MAX));
	due_ns = late->end->t.loop->now_ns + delay_ns;
	if (due_ns > late->last_due_ns)
		late->last_due_ns = due_ns;
	return late->last_due_ns;
}

static bool reserve_segment(struct late *late)
{
	uint32_t cap = late->cap ? 2 * late->cap : 4;
	struct segment *segments;

	if (late->n < late->cap)
		return true;
	segments = malloc(cap * sizeof(*segments));
	if (!segments)
		return false;
	for (uint32_t i = 0; i < late->n; i++)
		segments[i] = late->segments[(late->start + i) & (late->cap - 1)];
	free(late->segments);
	late->segments = segments;
	late->start = 0;
	late->cap = cap;
	return true;
}

static void delay(struct late *late, uint32_t len)
{
	late->segments[(late->start + late->n++) & (late->cap - 1)] = (struct segment){ due(late), len };
	if (late->n == 1)
		arm(late);
}

static void forget_delays(struct late *late)
{
	loop_timer_stop(late->end->t.loop, &late->timer);
	free(late->segments);
	late->segments = NULL;
	late->start = late->n = late->cap = late->arrived = 0;
	late->end_comes = false;
}

/* ---- telling ---- */

static uint32_t available(struct end *e)
{
	struct late *late = late_of(e);

	return late ? late->arrived : e->len;
}

static bool readable(struct end *e)
{
	if (e->t.state & (PAUSED | TOLD_END | OPENING))
		return false;
	return available(e) || (e->t.state & PEER_ENDED);
}

static bool writable(struct end *e)
{
	struct end *peer = peer_of(e);

	if (!(e->t.state & WANTS_ROOM))
		return false;
	return (e->t.state & PEER_GONE) || peer->len <= pipe_of(e)->room / 2;
}

static void free_pipe(struct pipe *p)
{
	for (int i = 0; i < 2; i++) {
		if (p->late)
			forget_delays(&p->late[i]);
		free(p->ends[i].bytes);
	}
	free(p->late);
	free(p);
}

/* The client knocks: the service gets its end, and both know. */
static void open_pipe(struct end *client)
{
	struct pipe *p = pipe_of(client);
	struct end *server = peer_of(client);

	client->t.state &= ~(unsigned)OPENING;
	if (!p->service->accepted) {
		client->t.state |= REFUSED;
		client->t.error = ECONNREFUSED;
		client->t.event(&client->t, TRANSPORT_FAILED);
		return;
	}
	server->t.state &= ~(unsigned)(DONE | CLOSED);
	struct transport *t = transport_server_layers(&server->t, &p->service->layers);
	if (t)
		p->service->accepted(p->service, t);
	if (!(client->t.state & CLOSED))
		client->t.event(&client->t, TRANSPORT_OPEN);
	if (readable(client))
		wake(client);
	if (readable(server))			/* the client may have finished before it was let in */
		wake(server);
}

static void end_task(struct task *task, struct loop *loop)
{
	struct end *e = (struct end *)((char *)task - offsetof(struct end, task));
	unsigned events = 0;

	(void)loop;
	if (e->t.state & CLOSED) {
		e->t.state |= DONE;
		if (peer_of(e)->t.state & DONE)
			free_pipe(pipe_of(e));
		return;
	}
	if (e->t.state & OPENING) {
		open_pipe(e);
		return;
	}
	if (readable(e))
		events |= TRANSPORT_READABLE;
	if (writable(e)) {
		events |= TRANSPORT_WRITABLE;
		e->t.state &= ~(unsigned)WANTS_ROOM;
	}
	if (!events)
		return;
	e->t.event(&e->t, events);
	if (!(e->t.state & CLOSED) && readable(e))	/* an owner that read nothing is told again */
		wake(e);
}

/* ---- what the owner calls ---- */

static ssize_t mem_send(struct transport *t, const void *bytes, size_t len)
{
	struct end *e = end_of(t), *peer = peer_of(e);
	struct late *late = late_of(peer);
	uint32_t room = pipe_of(e)->room, n;

	assert(!(t->state & CLOSED));
	if (t->state & REFUSED)
		return -ENOTCONN;
	if (t->state & OPENING)
		return -EAGAIN;				/* TRANSPORT_OPEN follows */
	if (t->state & (FINISHED | PEER_GONE))
		return t->error ? -t->error : -EPIPE;
	n = room > peer->len ? room - peer->len : 0;
	if (n < len)
		t->state |= WANTS_ROOM;
	else
		n = (uint32_t)len;
	if (!n)
		return -EAGAIN;
	if (!reserve(peer, n) || (late && !reserve_segment(late)))
		return -ENOMEM;
	put(peer, bytes, n);
	if (late)
		delay(late, n);
	else if (readable(peer))
		wake(peer);
	return n;
}

static uint32_t piece(struct end *e, size_t len)
{
	struct pipe *p = pipe_of(e);
	uint32_t n = available(e);

	if (n > len)
		n = (uint32_t)len;
	if (p->random && n > 1) {
		uint32_t most = random_below(p, 2) && n > 8 ? 8 : n;	/* often a few bytes, else anything */

		n = 1 + (uint32_t)random_below(p, most);
	}
	return n;
}

static ssize_t mem_recv(struct transport *t, void *bytes, size_t len)
{
	struct end *e = end_of(t), *peer = peer_of(e);
	struct late *late = late_of(e);
	uint32_t n;

	assert(!(t->state & CLOSED));
	if (t->state & REFUSED)
		return -ENOTCONN;
	if (t->state & OPENING)
		return -EAGAIN;
	n = piece(e, len);
	if (!n) {
		if (!(t->state & PEER_ENDED))
			return -EAGAIN;
		t->state |= TOLD_END;
		return -t->error;
	}
	take(e, bytes, n);
	if (late)
		late->arrived -= n;
	if (!e->len)
		empty(e);
	if (writable(peer))
		wake(peer);
	if (readable(e))
		wake(e);
	return n;
}

static void mem_pause(struct transport *t, bool pause)
{
	struct end *e = end_of(t);

	if (pause)
		t->state |= PAUSED;
	else
		t->state &= ~(unsigned)PAUSED;
	if (readable(e))
		wake(e);
}

/* No more bytes come to e; those on their way still do. */
static void end_stream(struct end *e)
{
	struct late *late = late_of(e);

	if (late) {
		due(late);
		late->end_comes = true;
		if (!late->n)
			arm(late);
	} else {
		e->t.state |= PEER_ENDED;
		if (readable(e))
			wake(e);
	}
}

static void mem_finish(struct transport *t)
{
	if (t->state & (FINISHED | REFUSED))
		return;
	t->state |= FINISHED;
	if (!(peer_of(end_of(t))->t.state & CLOSED) || (t->state & OPENING))
		end_stream(peer_of(end_of(t)));
}

static void reset_stream(struct end *e)
{
	if (late_of(e))
		forget_delays(late_of(e));
	empty(e);
	e->t.state |= PEER_ENDED;
	e->t.error = ECONNRESET;
	wake(e);
}

static void mem_close(struct transport *t, bool reset)
{
	struct end *e = end_of(t), *peer = peer_of(e);
	bool unread = e->len > 0;

	if (t->state & CLOSED)
		return;
	t->state |= CLOSED;
	if (late_of(e))
		forget_delays(late_of(e));
	empty(e);
	loop_post(t->loop, &e->task);		/* frees, when the peer is done too */
	if (peer->t.state & CLOSED)
		return;
	peer->t.state |= PEER_GONE;
	if (reset) {
		reset_stream(peer);
		return;
	}
	if (unread && !(peer->t.state & TOLD_END))
		peer->t.error = ECONNRESET;	/* at the end of what is on its way */
	if (!(t->state & FINISHED))
		end_stream(peer);
	if (writable(peer))
		wake(peer);
}

static const struct transport_ops mem_ops = {
	.send = mem_send,
	.recv = mem_recv,
	.pause = mem_pause,
	.finish = mem_finish,
	.close = mem_close,
};

/* ---- making them ---- */

static void init_end(struct pipe *p, struct end *e, struct loop *loop)
{
	e->t.ops = &mem_ops;
	e->t.loop = loop;
	e->task.run = end_task;
	e->second = e == &p->ends[1];
	if (p->late) {
		late_of(e)->timer.fire = arrive;
		late_of(e)->end = e;
	}
}

struct transport *mem_connect(struct loop *loop, const struct address *address,
                              void (*event)(struct transport *t, unsigned events), void *owner)
{
	struct service *service = address->service;
	const struct mem_options *options = &service->options;
	struct pipe *p = calloc(1, sizeof(*p));

	if (p && options->delay_ns)
		p->late = calloc(2, sizeof(*p->late));
	if (!p || (options->delay_ns && !p->late)) {
		free(p);
		errno = ENOMEM;
		return NULL;
	}
	service->n_connections++;
	p->service = service;
	p->room = options->room == 0 ? DEFAULT_ROOM : options->room > UINT32_MAX / 4 ? UINT32_MAX / 4 : (uint32_t)options->room;
	if (options->split_seed)
		p->random = (options->split_seed ^ service->n_connections << 32) | 1;	/* never 0 at the start */
	init_end(p, &p->ends[0], loop);
	init_end(p, &p->ends[1], loop);
	p->ends[0].t.state = OPENING;
	p->ends[0].t.event = event;
	p->ends[0].t.owner = owner;
	p->ends[1].t.state = CLOSED | DONE;	/* nobody has it yet */
	loop_post(loop, &p->ends[0].task);
	return &p->ends[0].t;
}

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "harness/names.h"
#include "harness/socket.h"

/* TCP and unix sockets. There is one of these per client: keep it small. 72 bytes are what malloc() gives in 80. */
struct sock {
	struct transport t;		/* first */
	struct watch watch;
	union {
		struct task task;		/* tells a failure, frees */
		struct attempt *attempt;	/* while connecting to a name (NULL: to none), when there is nothing to be told */
	};
};

static_assert(sizeof(struct sock) <= 72, "one for each client");

struct attempt {
	const struct names *names;
	unsigned next;			/* of them to try */
	const struct sockaddr *from;	/* NULL: the kernel's choice */
};

enum {					/* transport.state */
	CONNECTING = 1,
	PAUSED = 2,
	WANTS_ROOM = 4,			/* a send was short: WRITABLE is owed */
	ENDED = 8,			/* the end of the stream (error 0) or an error was met */
	CLOSED = 16,
	FINISHED = 32,			/* FIN is sent, or to be sent once connected */
	DELAYS_ACK = 64,		/* not told to acknowledge at once: see sock_recv() */
	FAILED = 128,			/* could not connect; the task tells */
	IS_TCP = 256,
};

static const struct transport_ops socket_ops;

static struct sock *sock_of(struct transport *t)
{
	return (struct sock *)t;
}

/* ---- events ---- */

static void sock_task(struct task *task, struct loop *loop)
{
	struct sock *s = (struct sock *)((char *)task - offsetof(struct sock, task));

	(void)loop;
	if (s->t.state & CLOSED)
		free(s);
	else if (s->t.state & FAILED)
		s->t.event(&s->t, TRANSPORT_FAILED);
	else if (!(s->t.state & PAUSED))
		s->t.event(&s->t, TRANSPORT_READABLE);
}

/* It does not try any more: from now on it may have something to tell. */
static void attempt_over(struct sock *s)
{
	free(s->attempt);
	s->task = (struct task){ .run = sock_task };
}

static void fail(struct sock *s, int error)
{
	attempt_over(s);
	s->t.state |= FAILED;
	s->t.error = error;
	loop_post(s->t.loop, &s->task);
}

/* Ask the kernel for what is missing, and for nothing else. */
static void ask(struct sock *s)
{
	unsigned events = 0;
	int rc;

	if (s->t.state & (CLOSED | FAILED))
		return;
	if (!(s->t.state & (CONNECTING | PAUSED | ENDED)))
		events |= EPOLLIN;
	if (s->t.state & (CONNECTING | WANTS_ROOM))
		events |= EPOLLOUT;
	rc = loop_watch(s->t.loop, &s->watch, events);
	if (rc == 0)
		return;
	/* the kernel is out of memory or watches: the stream ends here */
	if (s->t.state & CONNECTING) {
		fail(s, -rc);
	} else {
		s->t.state |= ENDED;
		s->t.error = -rc;
		loop_post(s->t.loop, &s->task);
	}
}

static int try_next_name(struct sock *s, int error);

/* Of a connect that failed the kernel tells EPOLLERR and EPOLLHUP; asking about each of the others would be a system call for nothing. */
static void connected(struct sock *s, unsigned events)
{
	int error = 0;
	socklen_t len = sizeof(error);

	if (events & (EPOLLERR | EPOLLHUP) && getsockopt(s->watch.fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		error = errno;
	if (error) {
		loop_unwatch(s->t.loop, &s->watch);
		close(s->watch.fd);
		s->watch.fd = -1;
		error = try_next_name(s, error);
		if (error)
			fail(s, error);
		return;
	}
	s->t.state &= ~(unsigned)CONNECTING;
	attempt_over(s);
	if (s->t.state & FINISHED)
		shutdown(s->watch.fd, SHUT_WR);
	s->t.event(&s->t, TRANSPORT_OPEN);
	ask(s);
}

static void ready(struct watch *watch, unsigned events, struct loop *loop)
{
	struct sock *s = (struct sock *)((char *)watch - offsetof(struct sock, watch));
	unsigned tell = 0;

	(void)loop;
	if (s->t.state & CONNECTING) {
		connected(s, events);
		return;
	}
	if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) && !(s->t.state & (PAUSED | ENDED)))
		tell |= TRANSPORT_READABLE;
	if ((events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) && (s->t.state & WANTS_ROOM)) {
		tell |= TRANSPORT_WRITABLE;
		s->t.state &= ~(unsigned)WANTS_ROOM;
	}
	if (tell)
		s->t.event(&s->t, tell);
	ask(s);
}

/* ---- what the owner calls ---- */

static ssize_t sock_send(struct transport *t, const void *bytes, size_t len)
{
	struct sock *s = sock_of(t);
	ssize_t n;

	assert(!(t->state & CLOSED));
	if (t->state & CONNECTING)
		return t->state & FAILED ? -ENOTCONN : -EAGAIN;		/* TRANSPORT_OPEN follows */
	do
		n = send(s->watch.fd, bytes, len, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n < 0 && errno != EAGAIN)
		return -errno;
	if (n < (ssize_t)len) {
		t->state |= WANTS_ROOM;
		ask(s);
	}
	return n < 0 ? -EAGAIN : n;
}

static ssize_t sock_recv(struct transport *t, void *bytes, size_t len)
{
	struct sock *s = sock_of(t);
	ssize_t n;

	assert(!(t->state & CLOSED));
	if (t->state & ENDED)
		return -t->error;
	if (t->state & CONNECTING)
		return t->state & FAILED ? -ENOTCONN : -EAGAIN;
	do
		n = recv(s->watch.fd, bytes, len, 0);
	while (n < 0 && errno == EINTR);
	if (n > 0) {
		/*
		 * Acknowledge now: the kernel falls back to delayed ACKs by itself, so it must be told each time. Only
		 * the side that tests needs it: it meets brokers that leave Nagle's algorithm on. A server would pay a
		 * system call and a segment for each read, and its answer carries the ACK.
		 */
		if (!(t->state & DELAYS_ACK))
			socket_acknowledge(t);
		return n;
	}
	if (n < 0 && errno == EAGAIN)
		return -EAGAIN;
	t->state |= ENDED;
	t->error = n < 0 ? errno : 0;
	return -t->error;
}

void socket_acknowledge(struct transport *t)
{
	static const int on = 1;

	if (t->ops == &socket_ops && (t->state & (IS_TCP | CONNECTING | ENDED | CLOSED)) == IS_TCP)
		setsockopt(sock_of(t)->watch.fd, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof(on));
}

static void sock_pause(struct transport *t, bool pause)
{
	if (pause)
		t->state |= PAUSED;
	else
		t->state &= ~(unsigned)PAUSED;
	ask(sock_of(t));
}

static void sock_finish(struct transport *t)
{
	t->state |= FINISHED;
	if (!(t->state & CONNECTING))
		shutdown(sock_of(t)->watch.fd, SHUT_WR);
}

static void sock_close(struct transport *t, bool reset)
{
	static const struct linger at_once = { .l_onoff = 1, .l_linger = 0 };
	struct sock *s = sock_of(t);

	if (t->state & CLOSED)
		return;
	if ((t->state & (CONNECTING | FAILED)) == CONNECTING)
		attempt_over(s);
	t->state |= CLOSED;
	if (s->watch.fd >= 0) {
		loop_unwatch(t->loop, &s->watch);
		if (reset)
			setsockopt(s->watch.fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
		close(s->watch.fd);
	}
	loop_post(t->loop, &s->task);		/* runs after every event of this batch, and then frees */
}

static const struct transport_ops socket_ops = {
	.send = sock_send,
	.recv = sock_recv,
	.pause = sock_pause,
	.finish = sock_finish,
	.close = sock_close,
};

/* ---- making them ---- */

static struct sock *sock_new(struct loop *loop, int fd, unsigned state)
{
	struct sock *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->t.ops = &socket_ops;
	s->t.loop = loop;
	s->t.state = state;
	s->watch.fd = fd;
	s->watch.ready = ready;
	if (!(state & CONNECTING))
		s->task.run = sock_task;
	return s;
}

/* The address alone: its port is chosen with regard to the peer. 0 or an error. */
static int bind_source(int fd, const struct sockaddr *from)
{
	static const int on = 1;
	bool v6 = from->sa_family == AF_INET6;
	char text[INET6_ADDRSTRLEN] = "";

	setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
	if (bind(fd, from, v6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in)) == 0)
		return 0;
	if (errno != EADDRNOTAVAIL)
		return errno;
	inet_ntop(from->sa_family, v6 ? (const void *)&((const struct sockaddr_in6 *)from)->sin6_addr : &((const struct sockaddr_in *)from)->sin_addr,
	          text, sizeof(text));
	return transport_error("no interface of this machine has the source address %s", text);
}

/* 0: the watch tells the outcome. Else an error, and no descriptor is left open. */
static int begin_connect(struct sock *s, const struct sockaddr *from, const struct sockaddr *name, socklen_t len)
{
	static const int on = 1;
	int fd, rc, error;

	if (from && from->sa_family != name->sa_family)
		return EAFNOSUPPORT;
	fd = socket(name->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return errno;
	if (name->sa_family != AF_UNIX)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	error = from ? bind_source(fd, from) : 0;
	if (error) {
		close(fd);
		return error;
	}
	if (connect(fd, name, len) == 0 || errno == EINPROGRESS || errno == EINTR) {
		s->watch.fd = fd;
		rc = loop_watch(s->t.loop, &s->watch, EPOLLOUT);
		if (rc == 0)
			return 0;
		errno = -rc;
	}
	error = errno;
	s->watch.fd = -1;
	close(fd);
	return error;
}

/* Returns as begin_connect() does; error is what the one before met. */
static int try_next_name(struct sock *s, int error)
{
	struct attempt *a = s->attempt;

	while (a && a->next < a->names->n) {
		const struct name *name = &a->names->name[a->next++];

		error = begin_connect(s, a->from, (const struct sockaddr *)&name->at, name->len);
		if (!error)
			return 0;
	}
	return error;
}

int socket_unix_name(const char *path, struct sockaddr_un *name)
{
	*name = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (strlen(path) >= sizeof(name->sun_path))
		return ENAMETOOLONG;
	strcpy(name->sun_path, path);
	return 0;
}

static int begin(struct sock *s, const struct address *address, const struct departure *departure)
{
	struct sockaddr_un name;
	int error;

	if (address->kind == ADDRESS_UNIX) {
		s->t.state |= DELAYS_ACK;
		error = socket_unix_name(address->host, &name);
		return error ? error : begin_connect(s, NULL, (const struct sockaddr *)&name, sizeof(name));
	}
	s->t.state |= departure->acks_when_told ? IS_TCP | DELAYS_ACK : IS_TCP;
	s->attempt = calloc(1, sizeof(*s->attempt));
	if (!s->attempt)
		return ENOMEM;
	s->attempt->from = departure->from;
	error = names_find(*address->host ? address->host : "localhost", address->port, false, &s->attempt->names);
	return error ? error : try_next_name(s, EADDRNOTAVAIL);
}

struct transport *socket_connect(struct loop *loop, const struct address *address, const struct departure *departure,
                                 void (*event)(struct transport *t, unsigned events), void *owner)
{
	struct sock *s = sock_new(loop, -1, CONNECTING);
	int error;

	if (!s)
		return NULL;
	s->t.event = event;
	s->t.owner = owner;
	error = begin(s, address, departure);
	if (error == EMFILE || error == ENFILE || error == ENOMEM || error == ENOBUFS) {
		free(s->attempt);
		free(s);
		errno = error;
		return NULL;
	}
	if (error)
		fail(s, error);
	return &s->t;
}

struct transport *socket_adopt(struct loop *loop, int fd, bool unix_socket)
{
	static const int on = 1;
	struct sock *s = sock_new(loop, fd, DELAYS_ACK);

	if (!s) {
		close(fd);
		return NULL;
	}
	if (!unix_socket)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	return &s->t;
}

void socket_begin(struct transport *t)
{
	ask(sock_of(t));
}

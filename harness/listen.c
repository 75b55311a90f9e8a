#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "harness/names.h"
#include "harness/socket.h"

#define MAX_SOCKETS 8			/* addresses of one name */
#define ACCEPTS_A_BATCH 64		/* so that a flood of connections does not starve those we have */
#define SHORTAGE_NS UINT64_C(100000000)	/* how long to leave clients in the queue when descriptors have run out */

struct listener {
	struct loop *loop;
	void (*accepted)(void *context, struct transport *t);
	void *context;
	struct task task;		/* frees */
	struct timer shortage;
	char *path;			/* of a unix socket, to be removed */
	unsigned port;
	struct layers layers;
	bool closed;
	unsigned n_sockets;
	struct listening {
		struct watch watch;
		struct listener *listener;
	} sockets[MAX_SOCKETS];
};

static void discard(struct listener *l)
{
	free(l->path);
	free(l);
}

static void listener_task(struct task *task, struct loop *loop)
{
	(void)loop;
	discard((struct listener *)((char *)task - offsetof(struct listener, task)));
}

static void shut(struct listener *l)
{
	l->closed = true;
	loop_timer_stop(l->loop, &l->shortage);
	for (unsigned i = 0; i < l->n_sockets; i++) {
		loop_unwatch(l->loop, &l->sockets[i].watch);
		close(l->sockets[i].watch.fd);
	}
	if (l->path)
		unlink(l->path);
}

void listener_free(struct listener *l)
{
	if (!l || l->closed)
		return;
	shut(l);
	loop_post(l->loop, &l->task);
}

unsigned listener_port(const struct listener *l)
{
	return l->port;
}

/* ---- accepting ---- */

static void set_all(struct listener *l, unsigned events)
{
	for (unsigned i = 0; i < l->n_sockets; i++)
		if (loop_watch(l->loop, &l->sockets[i].watch, events) < 0)
			loop_timer(l->loop, &l->shortage, l->loop->now_ns + SHORTAGE_NS);
}

static void shortage_over(struct timer *timer, struct loop *loop)
{
	struct listener *l = (struct listener *)((char *)timer - offsetof(struct listener, shortage));

	(void)loop;
	set_all(l, EPOLLIN);
}

/* Of one waiting client; false when none is left. */
static bool accept_one(struct listener *l, int listening)
{
	int fd = accept4(listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	struct transport *t, *socket;

	if (fd < 0) {
		switch (errno) {
		case EAGAIN:
			return false;
		case EMFILE: case ENFILE: case ENOBUFS: case ENOMEM:
			set_all(l, 0);		/* the queue stays ready: watching on would spin */
			loop_timer(l->loop, &l->shortage, l->loop->now_ns + SHORTAGE_NS);
			return false;
		default:
			return true;		/* this client is gone, or its network: accept(2) */
		}
	}
	socket = socket_adopt(l->loop, fd, l->path != NULL);
	t = transport_server_layers(socket, &l->layers);
	if (t) {
		l->accepted(l->context, t);
		socket_begin(socket);
	}
	return true;
}

static void ready(struct watch *watch, unsigned events, struct loop *loop)
{
	struct listener *l = ((struct listening *)((char *)watch - offsetof(struct listening, watch)))->listener;

	(void)events;
	(void)loop;
	for (int i = 0; i < ACCEPTS_A_BATCH && !l->closed; i++)
		if (!accept_one(l, watch->fd))
			break;
}

/* ---- setting up; each returns 0 or positive errno ---- */

static int add_socket(struct listener *l, const struct sockaddr *name, socklen_t len)
{
	static const int on = 1;
	struct listening *s = &l->sockets[l->n_sockets];
	int fd = socket(name->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int error = 0;

	if (fd < 0)
		return errno;
	if (name->sa_family != AF_UNIX)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (name->sa_family == AF_INET6)	/* :: must not collide with 0.0.0.0, its neighbour in the list */
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	s->watch = (struct watch){ .fd = fd, .ready = ready };
	s->listener = l;
	if (bind(fd, name, len) < 0 || listen(fd, SOMAXCONN) < 0)
		error = errno;
	else
		error = -loop_watch(l->loop, &s->watch, EPOLLIN);
	if (error) {
		close(fd);
		return error;
	}
	l->n_sockets++;
	return 0;
}

static void set_port(struct sockaddr_storage *name, unsigned port)
{
	if (name->ss_family == AF_INET6)
		((struct sockaddr_in6 *)name)->sin6_port = htons((uint16_t)port);
	else
		((struct sockaddr_in *)name)->sin_port = htons((uint16_t)port);
}

static unsigned bound_port(int fd)
{
	struct sockaddr_storage name;
	socklen_t len = sizeof(name);

	if (getsockname(fd, (struct sockaddr *)&name, &len) < 0)
		return 0;
	return ntohs(name.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&name)->sin6_port
	                                        : ((struct sockaddr_in *)&name)->sin_port);
}

/* Every address of the name that this machine has, on one port: port 0 is what the first one got. */
static int listen_tcp(struct listener *l, const struct address *address)
{
	const struct names *names;
	int error = names_find(address->host, address->port, true, &names), first_error = EADDRNOTAVAIL;

	if (error)
		return error;
	l->port = address->port;
	for (unsigned i = 0; i < names->n && l->n_sockets < MAX_SOCKETS; i++) {
		struct sockaddr_storage name = names->name[i].at;

		set_port(&name, l->port);
		error = add_socket(l, (const struct sockaddr *)&name, names->name[i].len);
		if (!error)
			l->port = bound_port(l->sockets[l->n_sockets - 1].watch.fd);
		else if (error != EADDRNOTAVAIL && error != EAFNOSUPPORT)
			return error;			/* half a name would surprise whoever asks for the other half */
		else if (i == 0)
			first_error = error;
	}
	return l->n_sockets ? 0 : first_error;
}

/* Nobody answers there any more: left behind by a program that was killed. */
static bool is_stale(const struct sockaddr_un *name)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct stat st;
	bool stale;

	if (fd < 0)
		return false;
	stale = lstat(name->sun_path, &st) == 0 && S_ISSOCK(st.st_mode) &&
	        connect(fd, (const struct sockaddr *)name, sizeof(*name)) < 0 && errno == ECONNREFUSED;
	close(fd);
	return stale;
}

static int listen_unix(struct listener *l, const struct address *address)
{
	struct sockaddr_un name;
	int error = socket_unix_name(address->host, &name);
	char *path;

	if (error)
		return error;
	path = strdup(address->host);
	if (!path)
		return ENOMEM;
	error = add_socket(l, (const struct sockaddr *)&name, sizeof(name));
	if (error == EADDRINUSE && is_stale(&name) && unlink(path) == 0)
		error = add_socket(l, (const struct sockaddr *)&name, sizeof(name));
	if (error)
		free(path);
	else
		l->path = path;
	return error;
}

struct listener *transport_listen(struct loop *loop, const struct address *address,
                                  void (*accepted)(void *context, struct transport *t), void *context)
{
	struct listener *l;
	int error;

	if (address->kind == ADDRESS_MEMORY) {	/* its service is the listener */
		errno = EINVAL;
		return NULL;
	}
	l = calloc(1, sizeof(*l));
	if (!l)
		return NULL;
	l->loop = loop;
	l->accepted = accepted;
	l->context = context;
	l->layers = address->layers;
	l->task.run = listener_task;
	l->shortage.fire = shortage_over;
	error = address->kind == ADDRESS_UNIX ? listen_unix(l, address) : listen_tcp(l, address);
	if (error) {
		shut(l);
		discard(l);
		errno = error;
		return NULL;
	}
	return l;
}

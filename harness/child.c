#include "harness/child.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define POLL_NS UINT64_C(10000000)
#define REAP_NS UINT64_C(1000000)
#define SETTLE_NS UINT64_C(2000000000)	/* for what SIGKILL has hit to go */
#define PLAIN_CHARACTERS "/._-+0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

/* ---- the command ---- */

static bool wrong(struct fault *fault, const char *format, ...) __attribute__((format(printf, 2, 3)));
static bool wrong(struct fault *fault, const char *format, ...)
{
	va_list args;

	*fault = (struct fault){ 0 };
	va_start(args, format);
	vsnprintf(fault->text, sizeof(fault->text), format, args);
	va_end(args);
	return false;
}

static bool choose_ports(struct child *child, struct fault *fault)
{
	unsigned *ports[] = { &child->port, &child->tls_port, &child->ws_port };

	for (int n = 0; n < 3; n++) {
		int error = free_port_take(&child->ports[n]);

		if (error)
			return wrong(fault, "no free port for the broker: %s", strerror(-error));
		*ports[n] = child->ports[n].port;
	}
	return true;
}

static bool make_dir(struct child *child, struct fault *fault)
{
	const char *tmp = getenv("TMPDIR");

	/* Into CMD, and so into a shell, goes the path as it stands. */
	if (!tmp || *tmp != '/' || strlen(tmp) > 40 || tmp[strspn(tmp, PLAIN_CHARACTERS)])
		tmp = "/tmp";
	snprintf(child->dir, sizeof(child->dir), "%s/mqassay-XXXXXX", tmp);
	if (mkdtemp(child->dir))
		return true;
	wrong(fault, "no folder for the broker in %s: %s", tmp, strerror(errno));
	child->dir[0] = '\0';
	return false;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
	(void)st;
	(void)kind;
	(void)ftw;
	remove(path);			/* what cannot be removed makes its folder stay: the rest goes all the same */
	return 0;
}

static void remove_dir(const struct child *child)
{
	if (*child->dir)
		nftw(child->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

static int remove_below(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
	return ftw->level ? remove_one(path, st, kind, ftw) : 0;
}

void child_empty_dir(struct child *child)
{
	assert(!child->pid);
	if (*child->dir)
		nftw(child->dir, remove_below, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

/* The text for a {word} at `at`, and the word's length; NULL: none of ours, to be left to the shell. */
static const char *placeholder(const struct child *child, const char *at, size_t *len, char number[12])
{
	const struct { const char *word; unsigned port; } ports[] = {
		{ "{port}", child->port }, { "{tls_port}", child->tls_port }, { "{ws_port}", child->ws_port },
	};

	for (size_t i = 0; i < sizeof(ports) / sizeof(ports[0]); i++) {
		*len = strlen(ports[i].word);
		if (strncmp(at, ports[i].word, *len) == 0) {
			snprintf(number, 12, "%u", ports[i].port);
			return number;
		}
	}
	*len = strlen("{dir}");
	if (strncmp(at, "{dir}", *len) == 0)
		return child->dir;
	*len = 2;
	return strncmp(at, "{{", 2) == 0 ? "{" : NULL;
}

static char *fill_in(const struct child *child, const char *command)
{
	char *text = NULL, number[12];
	size_t size, len;
	FILE *f = open_memstream(&text, &size);

	if (!f)
		return NULL;
	while (*command) {
		const char *value = *command == '{' ? placeholder(child, command, &len, number) : NULL;

		if (value) {
			fputs(value, f);
			command += len;
		} else {
			putc(*command++, f);
		}
	}
	fclose(f);
	return text;
}

/* ---- output ---- */

static void read_output(struct child *child)
{
	char bytes[4096];
	ssize_t n;

	for (int i = 0; child->output.fd >= 0 && i < 64; i++) {	/* who floods its log does not stop the rest */
		n = read(child->output.fd, bytes, sizeof(bytes));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0) {
			loop_unwatch(child->loop, &child->output);
			close(child->output.fd);
			child->output.fd = -1;
			return;
		}
		for (ssize_t k = 0; k < n; k++)
			child->ring[child->n_written++ % child->kept] = bytes[k];
	}
}

static void output_ready(struct watch *watch, unsigned events, struct loop *loop)
{
	(void)events;
	(void)loop;
	read_output((struct child *)((char *)watch - offsetof(struct child, output)));
}

size_t child_output(const struct child *child, unsigned n_lines, char *buf, size_t cap)
{
	size_t end = child->n_written, start = end, oldest = end > child->kept ? end - child->kept : 0, len;

	while (end > oldest && child->ring[(end - 1) % child->kept] == '\n')
		end--;
	for (start = end; start > oldest && end - start < cap - 1; start--)
		if (child->ring[(start - 1) % child->kept] == '\n' && n_lines && --n_lines == 0)
			break;
	len = end - start;
	for (size_t i = 0; i < len; i++)
		buf[i] = child->ring[(start + i) % child->kept];
	buf[len] = '\0';
	return len;
}

size_t child_output_since(const struct child *child, size_t *from, char *buf, size_t cap)
{
	size_t len = 0;

	if (*from + child->kept < child->n_written)
		*from = child->n_written - child->kept;
	while (*from < child->n_written && len < cap)
		buf[len++] = child->ring[(*from)++ % child->kept];
	return len;
}

void child_keep(struct child *child, size_t bytes)
{
	assert(!child->n_starts && bytes);
	free(child->ring);
	child->kept = bytes;
	child->ring = malloc(bytes);
	if (!child->ring)
		abort();
}

/* ---- its environment ---- */

static void free_environment(char **environment)
{
	for (char **at = environment; at && *at; at++)
		free(*at);
	free(environment);
}

void child_environment(struct child *child, const char *name, const char *value)
{
	char **old = child->environment ? child->environment : environ, **set;
	size_t n = 0, len = strlen(name);

	while (old && old[n])
		n++;
	set = calloc(n + 2, sizeof(*set));
	if (!set || asprintf(&set[0], "%s=%s", name, value) < 0)
		abort();
	n = 1;
	for (char **at = old; at && *at; at++) {
		if (strncmp(*at, name, len) == 0 && (*at)[len] == '=')
			continue;
		set[n] = strdup(*at);
		if (!set[n++])
			abort();
	}
	free_environment(child->environment);
	child->environment = set;
}

/* ---- starting ---- */

/* In the new process, between fork and exec: nothing but system calls. */
static void become_broker(const struct child *child, int out, const int go[2], pid_t parent) __attribute__((noreturn));
static void become_broker(const struct child *child, int out, const int go[2], pid_t parent)
{
	static const int ignored_perhaps[] = { SIGPIPE, SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGCHLD };
	int in = open("/dev/null", O_RDONLY);
	sigset_t none;
	char byte;

	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	close(go[1]);
	while (read(go[0], &byte, 1) < 0 && errno == EINTR)	/* its end comes when the guard stands */
		;
	if (getppid() != parent)
		_exit(127);		/* it went before we could ask to be told */
	for (size_t i = 0; i < sizeof(ignored_perhaps) / sizeof(ignored_perhaps[0]); i++)
		signal(ignored_perhaps[i], SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);	/* a signalfd of ours has blocked some */
	dup2(in, STDIN_FILENO);
	dup2(out, STDOUT_FILENO);
	dup2(out, STDERR_FILENO);
	syscall(SYS_close_range, 3u, ~0u, 0u);	/* old kernels: what we open is close-on-exec anyway */
	execle("/bin/sh", "sh", "-c", child->command, (char *)NULL, child->environment ? child->environment : environ);
	_exit(127);
}

/* What is hit by SIGKILL writes no more once it is gone; a zombie that nobody collects counts as alive, hence the bound. */
static void await_group(pid_t group)
{
	const struct timespec pause = { .tv_nsec = POLL_NS };

	for (uint64_t waited_ns = 0; waited_ns < SETTLE_NS && kill(-group, 0) == 0; waited_ns += POLL_NS)
		nanosleep(&pause, NULL);
}

/*
 * A process that does nothing but wait for us to go: then the pipe ends, whatever has ended us, the group is killed
 * and the folder removed. PR_SET_PDEATHSIG alone reaches the leader only, not the broker that a shell has forked.
 */
static void become_guard(const struct child *child, int pipe_end) __attribute__((noreturn));
static void become_guard(const struct child *child, int pipe_end)
{
	sigset_t all;
	char byte;
	ssize_t n;

	setpgid(0, 0);		/* what is sent to our group, SIGKILL as well, is not meant for it */
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	dup2(pipe_end, 0);
	/* It must hold nothing else open: no connection, and not the pipe's other end. */
	if (syscall(SYS_close_range, 1u, ~0u, 0u) < 0)
		for (int fd = 1; fd < 65536; fd++)
			close(fd);
	do
		n = read(0, &byte, 1);
	while (n < 0 && errno == EINTR);
	if (n == 0) {
		kill(-child->pid, SIGKILL);
		if (*child->dir)
			await_group(child->pid);
		remove_dir(child);
	}
	_exit(0);
}

static int start_guard(struct child *child)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	child->guard = fork();
	if (child->guard == 0)
		become_guard(child, ends[0]);
	if (child->guard < 0) {
		int error = errno;

		close(ends[0]);
		close(ends[1]);
		child->guard = 0;
		return -error;
	}
	setpgid(child->guard, child->guard);	/* whoever comes first, it or we */
	close(ends[0]);
	child->guard_pipe = ends[1];
	return 0;
}

static void dismiss_guard(struct child *child)
{
	if (!child->guard)
		return;
	kill(child->guard, SIGKILL);
	close(child->guard_pipe);
	while (waitpid(child->guard, NULL, 0) < 0 && errno == EINTR)
		;
	child->guard = 0;
	child->guard_pipe = -1;
}

/* After SIGKILL: the leader, and what it leaves to us. What is stuck in the kernel is not waited for. */
static void reap_now(struct child *child)
{
	const struct timespec pause = { .tv_nsec = REAP_NS };

	for (uint64_t waited_ns = 0; waited_ns < SETTLE_NS; waited_ns += REAP_NS) {
		pid_t pid;

		do
			pid = waitpid(-child->pid, NULL, WNOHANG);
		while (pid > 0);
		if (pid < 0)
			return;
		nanosleep(&pause, NULL);
	}
}

static void forget(struct child *child)
{
	dismiss_guard(child);
	loop_timer_stop(child->loop, &child->poll);
	if (child->death.fd >= 0) {
		loop_unwatch(child->loop, &child->death);
		close(child->death.fd);
		child->death.fd = -1;
	}
	if (child->output.fd >= 0) {
		loop_unwatch(child->loop, &child->output);
		close(child->output.fd);
		child->output.fd = -1;
	}
	child->pid = 0;
	child->runs = false;
}

static int watch_it(struct child *child)
{
	int rc = loop_watch(child->loop, &child->output, EPOLLIN);

	if (rc == 0)
		rc = start_guard(child);
	if (rc < 0)
		return rc;
	child->death.fd = (int)syscall(SYS_pidfd_open, child->pid, 0u);
	if (child->death.fd >= 0) {
		fcntl(child->death.fd, F_SETFD, FD_CLOEXEC);
		return loop_watch(child->loop, &child->death, EPOLLIN);
	}
	loop_timer(child->loop, &child->poll, child->loop->now_ns + POLL_NS);
	return 0;
}

int child_start(struct child *child)
{
	pid_t parent = getpid();
	int ends[2], go[2], rc;

	assert(!child->pid && !child->loop->clock.simulated);
	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	if (pipe2(go, O_CLOEXEC) < 0) {
		rc = -errno;
		close(ends[0]);
		close(ends[1]);
		return rc;
	}
	fflush(NULL);
	child->pid = fork();
	if (child->pid == 0)
		become_broker(child, ends[1], go, parent);
	rc = -errno;
	close(ends[1]);
	close(go[0]);
	if (child->pid < 0) {
		close(go[1]);
		close(ends[0]);
		child->pid = 0;
		return rc;
	}
	setpgid(child->pid, child->pid);	/* whoever comes first, it or we */
	fcntl(ends[0], F_SETFL, O_NONBLOCK);
	child->output.fd = ends[0];
	child->n_written = 0;
	child->runs = true;
	child->asked = child->outside = child->stopping = child->leader_gone = false;
	child->exit_status = -1;
	child->signal = 0;
	child->n_starts++;
	rc = watch_it(child);
	close(go[1]);
	if (rc < 0) {
		kill(-child->pid, SIGKILL);
		reap_now(child);
		forget(child);
	}
	return rc;
}

/* ---- ending ---- */

static void judge(struct child *child, int status)
{
	int code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;

	child->exit_status = code;
	child->signal = WIFSIGNALED(status) ? WTERMSIG(status) : code > 128 && code <= 128 + 64 ? code - 128 : 0;
	if (child->signal)
		child->exit_status = -1;
	child->asked = child->stopping;
	child->outside = !child->asked && (code == 0 || child->signal == SIGTERM || child->signal == SIGINT || child->signal == SIGKILL);
}

static void finish(struct child *child)
{
	read_output(child);
	forget(child);
	child->ended(child, child->context);
}

/* The leader is gone: what is left of its group would hold the port. It is asked as long as we grace it, then killed. */
static void end_group(struct child *child)
{
	uint64_t now = child->loop->now_ns;

	while (waitpid(-child->pid, NULL, WNOHANG) > 0)
		;				/* orphans of the group are ours: see child_init() */
	if (kill(-child->pid, 0) < 0 && errno == ESRCH) {
		finish(child);
		return;
	}
	if (now >= child->kill_at_ns) {
		kill(-child->pid, SIGKILL);
		if (now >= child->kill_at_ns + SETTLE_NS) {	/* stuck in the kernel */
			finish(child);
			return;
		}
	}
	loop_timer(child->loop, &child->poll, now + POLL_NS);
}

static void look(struct child *child)
{
	int status;
	pid_t pid;

	do
		pid = waitpid(child->pid, &status, WNOHANG);
	while (pid < 0 && errno == EINTR);
	if (pid == child->pid) {
		child->leader_gone = true;
		judge(child, status);
		loop_unwatch(child->loop, &child->death);
		if (!child->stopping)
			child->kill_at_ns = child->loop->now_ns;
		end_group(child);
	} else if (child->stopping && child->loop->now_ns >= child->kill_at_ns) {
		kill(-child->pid, SIGKILL);	/* again and again: the leader may fork between two looks */
		loop_timer(child->loop, &child->poll, child->loop->now_ns + POLL_NS);
	} else if (child->stopping || child->death.fd < 0) {
		loop_timer(child->loop, &child->poll, child->loop->now_ns + POLL_NS);
	}
}

static void death_ready(struct watch *watch, unsigned events, struct loop *loop)
{
	(void)events;
	(void)loop;
	look((struct child *)((char *)watch - offsetof(struct child, death)));
}

static void poll_again(struct timer *timer, struct loop *loop)
{
	struct child *child = (struct child *)((char *)timer - offsetof(struct child, poll));

	(void)loop;
	if (child->leader_gone)
		end_group(child);
	else
		look(child);
}

void child_stop(struct child *child, uint64_t grace_ns)
{
	if (!child->pid || child->stopping)
		return;
	child->stopping = true;
	child->kill_at_ns = child->loop->now_ns + grace_ns;
	kill(-child->pid, SIGTERM);
	loop_timer(child->loop, &child->poll, child->loop->now_ns + POLL_NS);
}

/* ---- life ---- */

bool child_init(struct child *child, struct loop *loop, const char *command,
                void (*ended)(struct child *child, void *context), void *context, struct fault *fault)
{
	memset(child, 0, sizeof(*child));
	child->loop = loop;
	child->ended = ended;
	child->context = context;
	child->guard_pipe = child->death.fd = child->output.fd = -1;
	for (int n = 0; n < 3; n++)
		child->ports[n].held = -1;
	child->death.ready = death_ready;
	child->output.ready = output_ready;
	child->poll.fire = poll_again;
	child_keep(child, CHILD_OUTPUT);
	/* What the leader leaves behind becomes our child: in a container there may be no init that would reap it. */
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	signal(SIGCHLD, SIG_DFL);	/* inherited as ignored, the kernel would reap, and nobody learn how the child ended */
	if (!choose_ports(child, fault))
		return false;
	if (strstr(command, "{dir}") && !make_dir(child, fault))
		return false;
	child->command = fill_in(child, command);
	if (!child->command)
		abort();
	return true;
}

void child_release(struct child *child)
{
	if (child->pid) {
		kill(-child->pid, SIGKILL);
		reap_now(child);
		forget(child);
	}
	remove_dir(child);
	for (int n = 0; n < 3; n++)
		free_port_release(&child->ports[n]);
	free(child->command);
	free(child->ring);
	free_environment(child->environment);
	child->command = child->ring = NULL;
	child->environment = NULL;
	child->dir[0] = '\0';
}

char *child_how(const struct child *child, char *buf, size_t cap)
{
	const char *name = child->signal ? sigabbrev_np(child->signal) : NULL;

	if (child->signal && child->outside)
		snprintf(buf, cap, "was killed from outside by SIG%s", name ? name : "?");
	else if (child->signal && child->asked)
		snprintf(buf, cap, "was ended by SIG%s", name ? name : "?");
	else if (child->signal)
		snprintf(buf, cap, "died of signal %d (%s)", child->signal, strsignal(child->signal));
	else
		snprintf(buf, cap, child->exit_status == 127 ? "exited with %d (no such command?)" : "exited with %d", child->exit_status);
	return buf;
}

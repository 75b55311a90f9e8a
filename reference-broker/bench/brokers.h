#ifndef REFERENCE_BROKER_BENCH_BROKERS_H
#define REFERENCE_BROKER_BENCH_BROKERS_H

#include <arpa/inet.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "harness/child.h"
#include "harness/transport.h"

/* The brokers that are measured side by side, each a process of its own: ours, and Mosquitto where there is one. */

enum { OURS, MOSQUITTO, N_BROKERS };

#define BROKERS_PATH "PATH=$PATH:/usr/sbin:/usr/local/sbin; "

struct broker_process {
	char name[64];
	struct child child;
	struct address address;
	bool runs;
};

__attribute__((noreturn))
static inline void brokers_give_up(const char *what, const char *why)
{
	fprintf(stderr, "bench: %s: %s\n", what, why);
	exit(3);
}

static inline void brokers_ended(struct child *child, void *context)
{
	const struct broker_process *b = context;
	char how[128];

	if (!child->asked)
		brokers_give_up(b->name, child_how(child, how, sizeof(how)));
}

/* Serves once it can be connected to. */
static inline void brokers_await(struct broker_process *b)
{
	struct sockaddr_in name = { .sin_family = AF_INET, .sin_port = htons((uint16_t)b->child.port) };
	const struct timespec pause = { 0, 10000000 };

	name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	for (int i = 0; i < 500; i++) {
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		bool there = fd >= 0 && connect(fd, (struct sockaddr *)&name, sizeof(name)) == 0;

		if (fd >= 0)
			close(fd);
		if (there)
			return;
		nanosleep(&pause, NULL);
	}
	brokers_give_up(b->name, "did not begin to serve within 5 s");
}

static inline void brokers_start(struct broker_process *b, struct loop *loop, const char *command)
{
	struct fault fault;
	int error;

	if (!child_init(&b->child, loop, command, brokers_ended, b, &fault))
		brokers_give_up(b->name, fault.text);
	error = child_start(&b->child);
	if (error)
		brokers_give_up(b->name, strerror(-error));
	b->address = (struct address){ .kind = ADDRESS_TCP, .host = "127.0.0.1", .port = b->child.port };
	brokers_await(b);
	b->runs = true;
}

/* Writes the command for the program that was built along with this one. */
static inline void brokers_own(char *command, size_t cap)
{
	char path[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);

	if (n < 0)
		brokers_give_up("/proc/self/exe", "cannot be read");
	path[n] = 0;
	for (int up = 0; up < 3; up++) {		/* VARIANT/reference-broker/bench/PROGRAM */
		char *slash = strrchr(path, '/');

		if (slash)
			*slash = 0;
	}
	snprintf(command, cap, "exec '%s/mqassay' broker --listen tcp://127.0.0.1:{port}", path);
}

static inline void brokers_start_ours(struct broker_process *b, struct loop *loop)
{
	char command[PATH_MAX + 64];

	brokers_own(command, sizeof(command));
	snprintf(b->name, sizeof(b->name), "mqassay");
	brokers_start(b, loop, command);
}

/* False: it is not installed. */
static inline bool brokers_start_mosquitto(struct broker_process *b, struct loop *loop)
{
	FILE *help = popen(BROKERS_PATH "mosquitto -h 2>/dev/null", "r");
	char version[32] = "";
	bool there = help && fscanf(help, "mosquitto version %31s", version) == 1;

	if (help)
		pclose(help);
	if (!there)
		return false;
	snprintf(b->name, sizeof(b->name), "mosquitto %s", version);
	brokers_start(b, loop, BROKERS_PATH
	              "printf '%s\\n' 'listener {port} 127.0.0.1' 'allow_anonymous true' 'persistence false' 'log_type none' "
	              "'sys_interval 0' 'max_inflight_messages 0' 'max_queued_messages 0' >{dir}/conf && "
	              "exec mosquitto -c {dir}/conf");
	return true;
}

static inline void brokers_stop(struct broker_process *b)
{
	if (b->runs)
		child_release(&b->child);
	b->runs = false;
}

/* CPU time of the process so far. */
static inline double brokers_cpu_ns(const struct broker_process *b)
{
	struct timespec t;
	clockid_t clock;

	if (clock_getcpuclockid(b->child.pid, &clock) || clock_gettime(clock, &t))
		brokers_give_up(b->name, "its CPU time cannot be read");
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* Bytes resident; of ourselves with pid 0. */
static inline double brokers_resident(pid_t pid)
{
	char path[64];
	unsigned long pages = 0;
	FILE *f;

	if (pid)
		snprintf(path, sizeof(path), "/proc/%d/statm", (int)pid);
	else
		snprintf(path, sizeof(path), "/proc/self/statm");
	f = fopen(path, "r");
	if (!f || fscanf(f, "%*u %lu", &pages) != 1)
		brokers_give_up(path, "cannot be read");
	fclose(f);
	return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

/* As many descriptors as we may have, for us and our children; returns how many. */
static inline size_t brokers_raise_limit(void)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files))
		return 256;
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	return files.rlim_cur;
}

#endif

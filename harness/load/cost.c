#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <ifaddrs.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "harness/load/control.h"
#include "harness/load/procfs.h"
#include "harness/names.h"

/*
 * What the kernel says of processes. All of it is bounded: a machine with very many processes, threads or descriptors
 * gets an answer that may be "unknown", not a pause.
 */
enum {
	MOST_CHILDREN = 256,
	MOST_THREADS = 4096,
	MOST_SOCKETS = 16,		/* that listen on one port: several addresses, or SO_REUSEPORT */
	MOST_LINES = 200000,
	MOST_DESCRIPTORS = 500000,
	MOST_HOLDERS = 64,
};

/* ---- CPU and memory ---- */

uint64_t cost_of_thread_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* All of its threads, those that have ended too. */
static bool cpu_of(int pid, uint64_t *ns)
{
	clockid_t id;
	struct timespec t;

	if (clock_getcpuclockid(pid, &id) != 0 || clock_gettime(id, &t) < 0)
		return false;
	*ns = (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
	return true;
}

/* Behind the name of /proc/PID/stat, which may hold anything: "S 1 ..." from the state on. */
static const char *stat_fields(int pid, char *text, size_t cap)
{
	char path[40];
	const char *end;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	if (!procfs_text("", path, text, cap))
		return NULL;
	end = strrchr(text, ')');
	return end && end[1] == ' ' ? end + 2 : NULL;
}

/* What the children took that have ended and were waited for. */
static uint64_t cpu_of_dead_children(int pid)
{
	char text[1024];
	const char *at = stat_fields(pid, text, sizeof(text));
	unsigned long long user, system;
	long ticks = sysconf(_SC_CLK_TCK);

	/* state ppid pgrp session tty tpgid flags minflt cminflt majflt cmajflt utime stime cutime cstime */
	if (!at || ticks <= 0 || sscanf(at, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %llu %llu", &user, &system) != 2)
		return 0;
	return (user + system) * (1000000000u / (uint64_t)ticks);
}

/* Those that live, of each of its threads; into pids[n..MOST_CHILDREN). How many there are then. */
static size_t add_children(int pid, int *pids, size_t n)
{
	char path[300];
	struct dirent *entry;
	int left = MOST_THREADS;
	DIR *tasks;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	tasks = opendir(path);
	while (tasks && left-- && (entry = readdir(tasks))) {
		FILE *f;

		if (*entry->d_name == '.')
			continue;
		snprintf(path, sizeof(path), "/proc/%d/task/%.20s/children", pid, entry->d_name);
		f = procfs_open("", path);
		while (f && n < MOST_CHILDREN && fscanf(f, "%d", &pids[n]) == 1)
			n++;
		if (f)
			fclose(f);
	}
	if (tasks)
		closedir(tasks);
	return n;
}

static bool add_process(int pid, struct cost *cost)
{
	char path[40];
	uint64_t ns, kB = 0;

	if (!cpu_of(pid, &ns))
		return false;
	cost->cpu_ns += ns + cpu_of_dead_children(pid);
	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	if (procfs_line("", path, "VmRSS:", &kB))
		cost->rss_bytes += kB * 1024;
	if (procfs_line("", path, "RssAnon:", &kB))
		cost->anon_bytes += kB * 1024;
	return true;
}

bool cost_of(int pid, struct cost *cost)
{
	int pids[MOST_CHILDREN] = { pid };
	size_t n = 1;

	*cost = (struct cost){ 0 };
	if (!add_process(pid, cost))
		return false;
	for (size_t i = 0; i < n; i++) {	/* the list grows while it is walked: children of children */
		if (i)
			add_process(pids[i], cost);
		n = add_children(pids[i], pids, n);
	}
	return true;
}

/* ---- who listens ---- */

struct sockets {
	uint64_t inodes[MOST_SOCKETS];
	size_t n;
};

static void add_socket(struct sockets *sockets, uint64_t inode)
{
	if (inode && sockets->n < MOST_SOCKETS)
		sockets->inodes[sockets->n++] = inode;
}

/* An address as 16 bytes; an IPv4 one as IPv6 has it. False: neither. */
static bool sixteen(const struct sockaddr *name, uint8_t at[16])
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

	if (name && name->sa_family == AF_INET6) {
		memcpy(at, &((const struct sockaddr_in6 *)name)->sin6_addr, 16);
		return true;
	}
	if (!name || name->sa_family != AF_INET)
		return false;
	memcpy(at, mapped, 12);
	memcpy(at + 12, &((const struct sockaddr_in *)name)->sin_addr, 4);
	return true;
}

static bool is_ours(const uint8_t at[16])
{
	static const uint8_t loopback6[16] = { [15] = 1 }, mapped_loopback[13] = { [10] = 0xff, [11] = 0xff, [12] = 127 };
	struct ifaddrs *list, *i;
	uint8_t own[16];
	bool found = false;

	if (memcmp(at, loopback6, 16) == 0 || memcmp(at, mapped_loopback, 13) == 0)
		return true;
	if (getifaddrs(&list) < 0)
		return false;
	for (i = list; i && !found; i = i->ifa_next)
		found = sixteen(i->ifa_addr, own) && memcmp(own, at, 16) == 0;
	freeifaddrs(list);
	return found;
}

/* "0100007F" or 32 digits: words of four bytes, each as a number of this machine. */
static bool read_table_address(const char *hex, uint8_t at[16])
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	size_t words = strlen(hex) / 8;
	uint32_t word;

	if (words != 1 && words != 4)
		return false;
	memcpy(at, mapped, 12);
	for (size_t i = 0; i < words; i++) {
		if (sscanf(hex + 8 * i, "%8x", &word) != 1)
			return false;
		memcpy(at + (words == 1 ? 12 : 4 * i), &word, 4);
	}
	return true;
}

static bool takes(const uint8_t listens[16], const uint8_t wanted[16])
{
	static const uint8_t any6[16], any4[16] = { [10] = 0xff, [11] = 0xff };

	return memcmp(listens, wanted, 16) == 0 || memcmp(listens, any6, 16) == 0 || (memcmp(listens, any4, 16) == 0 && memcmp(wanted, any4, 12) == 0);
}

/* Sockets that listen come first in these tables, so that it costs the same however many connections there are. */
static void find_tcp(const char *table, const struct names *names, unsigned port, struct sockets *sockets)
{
	FILE *f = procfs_open("", table);
	char line[512], hex[40];

	if (!f || !fgets(line, sizeof(line), f)) {
		if (f)
			fclose(f);
		return;
	}
	for (unsigned left = MOST_LINES; left && fgets(line, sizeof(line), f); left--) {
		unsigned bound, state;
		unsigned long long inode;
		uint8_t listens[16], wanted[16];

		if (sscanf(line, " %*u: %32[0-9A-Fa-f]:%x %*[0-9A-Fa-f]:%*x %x %*x:%*x %*x:%*x %*x %*u %*u %llu", hex, &bound, &state, &inode) != 4)
			continue;
		if (state != 0x0a)
			break;
		if (bound != port || !read_table_address(hex, listens))
			continue;
		for (unsigned i = 0; i < names->n; i++)
			if (sixteen((const struct sockaddr *)&names->name[i].at, wanted) && is_ours(wanted) && takes(listens, wanted)) {
				add_socket(sockets, inode);
				break;
			}
	}
	fclose(f);
}

static void find_unix(const char *path, struct sockets *sockets)
{
	FILE *f = procfs_open("", "/proc/net/unix");
	char line[512], *name;

	for (unsigned left = MOST_LINES; f && left && fgets(line, sizeof(line), f); left--) {
		unsigned flags;
		unsigned long long inode;
		int at = 0;

		/* Num: RefCount Protocol Flags Type St Inode Path; the flag is that of a socket that accepts */
		if (sscanf(line, "%*[0-9a-fA-F]: %*x %*x %x %*x %*x %llu %n", &flags, &inode, &at) != 2 || !at || !(flags & 0x10000))
			continue;
		name = line + at;
		name[strcspn(name, "\n")] = 0;
		if (strcmp(name, path) == 0)
			add_socket(sockets, inode);
	}
	if (f)
		fclose(f);
}

/* ---- whose it is ---- */

static bool holds(int pid, const struct sockets *sockets, unsigned *left)
{
	char path[300], target[64];
	struct dirent *entry;
	bool found = false;
	DIR *folder;

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	folder = opendir(path);
	while (folder && !found && *left && (entry = readdir(folder))) {
		ssize_t len = readlinkat(dirfd(folder), entry->d_name, target, sizeof(target) - 1);
		unsigned long long inode;

		(*left)--;
		if (len <= 0)
			continue;
		target[len] = 0;
		if (sscanf(target, "socket:[%llu]", &inode) == 1)
			for (size_t i = 0; i < sockets->n; i++)
				found |= sockets->inodes[i] == inode;
	}
	if (folder)
		closedir(folder);
	return found;
}

static int parent_of(int pid)
{
	char text[1024];
	const char *at = stat_fields(pid, text, sizeof(text));
	int parent;

	return at && sscanf(at, "%*c %d", &parent) == 1 ? parent : 0;
}

static bool name_of(int pid, char *name, size_t cap)
{
	/* They pass on what others serve: their CPU is not the broker's. */
	static const char *const relays[] = { "docker-proxy", "rootlessport", "rootlesskit", "slirp4netns", "pasta", "kube-proxy", "haproxy", "systemd" };
	char path[40];

	snprintf(path, sizeof(path), "/proc/%d/comm", pid);
	if (!procfs_text("", path, name, cap))
		return false;
	name[strcspn(name, "\n")] = 0;
	for (size_t i = 0; i < sizeof(relays) / sizeof(*relays); i++)
		if (strncmp(name, relays[i], strlen(relays[i])) == 0)
			return false;
	return true;
}

/* Several have one socket when it was inherited: the one whose children the others are. */
static int eldest(const int *holders, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		int parent = parent_of(holders[i]);
		bool inherited = false;

		for (size_t k = 0; k < n; k++)
			inherited |= holders[k] == parent;
		if (!inherited)
			return holders[i];
	}
	return n ? holders[0] : 0;
}

static int find_holder(const struct sockets *sockets, char *name, size_t cap)
{
	int holders[MOST_HOLDERS];
	unsigned left = MOST_DESCRIPTORS;
	size_t n = 0;
	struct dirent *entry;
	DIR *proc = sockets->n ? opendir("/proc") : NULL;
	int pid;

	while (proc && n < MOST_HOLDERS && left && (entry = readdir(proc)))
		if ((pid = atoi(entry->d_name)) > 0 && holds(pid, sockets, &left) && name_of(pid, name, cap))
			holders[n++] = pid;
	if (proc)
		closedir(proc);
	pid = eldest(holders, n);
	return pid && name_of(pid, name, cap) ? pid : 0;
}

int cost_find_listener(const struct address *address, char *name, size_t cap)
{
	struct sockets sockets = { .n = 0 };
	const struct names *names;

	if (address->kind == ADDRESS_UNIX)
		find_unix(address->host, &sockets);
	else if (address->kind == ADDRESS_TCP && names_find(address->host, address->port, false, &names) == 0) {
		find_tcp("/proc/net/tcp", names, address->port, &sockets);
		find_tcp("/proc/net/tcp6", names, address->port, &sockets);
	}
	return find_holder(&sockets, name, cap);
}

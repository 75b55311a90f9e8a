#include <arpa/inet.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "harness/load/control.h"
#include "harness/load/procfs.h"
#include "harness/load/wording.h"

/*
 * A limit of the machine shows itself, far from its cause, as a client that cannot connect or a process that is
 * killed. All of them are known before, and arithmetic says whether they suffice.
 */

enum {
	SPARE_DESCRIPTORS = 40,		/* files, pipes, event loops: what we have beside connections */
	CLIENT_BYTES = 512, TLS_BYTES = 20000, WEBSOCKET_BYTES = 1000,
	SOCKET_BYTES = 4800,		/* that the kernel needs for one end of a TCP connection that is idle: all slabs */
	STREAM_BYTES = 200,		/* of a publisher's account */
	BASE_BYTES = 32000000,
	USUAL_PENDING = 64,		/* connects under way at once */
	ENOUGH_BACKLOG = 1024,
	MOST = 16,			/* shortages: more than there are checks */
};

#define MOST_CLIENTS UINT64_C(1000000000000)	/* beyond it figures need not be exact */

struct check {
	const struct demand *demand;
	const char *root;
	uint64_t clients;
	char need[48];			/* "20,000 clients need" */
	struct shortage found[MOST];
	size_t n;
};

static void lacks(struct check *c, bool fatal, const char *format, ...) __attribute__((format(printf, 3, 4)));

static void lacks(struct check *c, bool fatal, const char *format, ...)
{
	struct shortage *s = &c->found[c->n++];
	va_list args;

	s->fatal = fatal;
	va_start(args, format);
	vsnprintf(s->text, sizeof(s->text), format, args);
	va_end(args);
}

static bool is_tcp(const struct demand *demand)
{
	return !demand->address || demand->address->kind == ADDRESS_TCP;
}

/* ---- descriptors ---- */

/* As far as it may be had without asking; returns what it is then. */
static uint64_t raise_descriptors(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return UINT64_MAX;
	if (limit.rlim_cur < limit.rlim_max) {
		rlim_t before = limit.rlim_cur;

		limit.rlim_cur = limit.rlim_max;
		if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
			limit.rlim_cur = before;
	}
	return limit.rlim_cur == RLIM_INFINITY ? UINT64_MAX : limit.rlim_cur;
}

static void check_descriptors(struct check *c, uint64_t allowed)
{
	uint64_t need = c->clients + SPARE_DESCRIPTORS, ceiling = UINT64_MAX;
	char first[60] = "";

	procfs_number(c->root, "/proc/sys/fs/nr_open", &ceiling);
	if (need <= allowed && need <= ceiling)
		return;
	if (need > ceiling)
		snprintf(first, sizeof(first), "`sysctl -w fs.nr_open=%llu`, then ", (unsigned long long)need);
	lacks(c, true, "%s %s file descriptors; %s are allowed: %s`ulimit -n %llu`, as root or with a hard limit that allows it, or "
	      "several processes, each with its --shard I/N", c->need, say_count(need),
	      say_count(allowed < ceiling ? allowed : ceiling), first, (unsigned long long)need);
}

/* Of the whole machine. */
static void check_files(struct check *c)
{
	unsigned long long used, unused, most;
	uint64_t need = c->clients * (c->demand->loopback ? 2 : 1);
	char text[100];

	if (!procfs_text(c->root, "/proc/sys/fs/file-nr", text, sizeof(text)) || sscanf(text, "%llu %llu %llu", &used, &unused, &most) != 3)
		return;
	if (used > most || need > most - used)
		lacks(c, true, "%s connections need %s open files%s; %s of the machine's %s are free: `sysctl -w fs.file-max=%llu`", say_count(c->clients),
		      say_count(need), c->demand->loopback ? " at both ends" : "", say_count(used < most ? most - used : 0), say_count(most), used + need + SPARE_DESCRIPTORS);
}

/* The broker's own limit, when it is on this machine: connections beyond it are left waiting, and it looks as if it were slow. */
static void check_target_descriptors(struct check *c)
{
	uint64_t allowed;
	char name[64], path[40];
	int pid = !*c->root && c->demand->loopback && c->demand->address ? cost_find_listener(c->demand->address, name, sizeof(name)) : 0;

	if (!pid)
		return;
	snprintf(path, sizeof(path), "/proc/%d/limits", pid);
	if (procfs_line("", path, "Max open files", &allowed) && c->clients > allowed)
		lacks(c, false, "the target, %s (pid %d), may open %s files, and %s clients want a connection each: start it with `ulimit -n %llu` or more", name, pid,
		      say_count(allowed), say_count(c->clients), (unsigned long long)(c->clients + SPARE_DESCRIPTORS));
}

static void check_watches(struct check *c)
{
	uint64_t most, need = c->clients + SPARE_DESCRIPTORS;
	bool both = c->demand->loopback;

	if (!procfs_number(c->root, "/proc/sys/fs/epoll/max_user_watches", &most) || (both ? 2 : 1) * need <= most)
		return;
	lacks(c, need > most, "%s %s watches of epoll%s; %s are allowed to each user: `sysctl -w fs.epoll.max_user_watches=%llu`", c->need,
	      say_count((both ? 2 : 1) * need), both ? ", those of a target that runs as the same user counted" : "", say_count(most), (unsigned long long)(2 * need));
}

/* ---- ports ---- */

/* How many of low..high the kernel gives to nobody: "8080,9000-9010". */
static uint64_t reserved_ports(const struct check *c, unsigned low, unsigned high)
{
	FILE *f = procfs_open(c->root, "/proc/sys/net/ipv4/ip_local_reserved_ports");
	uint64_t n = 0;
	unsigned from, to;

	while (f && fscanf(f, "%u", &from) == 1) {
		int next = getc(f);

		to = from;
		if (next == '-' && fscanf(f, "%u", &to) == 1)
			next = getc(f);
		from = from < low ? low : from;
		to = to > high ? high : to;
		if (from <= to)
			n += to - from + 1;
		if (next != ',')
			break;
	}
	if (f)
		fclose(f);
	return n;
}

/* n addresses to connect from, as --source-ip takes them. */
static void name_sources(const struct check *c, uint64_t n, char *text, size_t cap)
{
	const struct address *address = c->demand->address;
	struct in_addr last = { .s_addr = htonl((uint32_t)(0x7f000001 + n)) };
	char number[INET_ADDRSTRLEN] = "";

	if (!c->demand->loopback || n > 0xfffffe - 1)
		snprintf(text, cap, "--source-ip with %s addresses of this machine", say_count(n));
	else {
		inet_ntop(AF_INET, &last, number, sizeof(number));
		snprintf(text, cap, "`--source-ip 127.0.0.2-%s`%s", number, address && strchr(address->host, ':') ? " and 127.0.0.1 as the target" : "");
	}
}

/* Ports that older connections still hold: who connects again and again runs out of them before the range says so. */
static void check_held_ports(struct check *c, uint64_t ports)
{
	uint64_t reuse = 0, held = 0;
	char line[200];
	FILE *f = procfs_open(c->root, "/proc/net/sockstat");
	const char *at;

	while (f && fgets(line, sizeof(line), f))
		if (strncmp(line, "TCP:", 4) == 0 && (at = strstr(line, " tw ")))
			held = strtoull(at + 4, NULL, 10);
	if (f)
		fclose(f);
	procfs_number(c->root, "/proc/sys/net/ipv4/tcp_tw_reuse", &reuse);
	if (reuse == 1 || (reuse == 2 && c->demand->loopback) || c->clients + held <= ports)
		return;
	lacks(c, false, "%s a port each of %s, and %s may be held for a minute by connections that have ended (TIME_WAIT): wait, or `sysctl -w net.ipv4.tcp_tw_reuse=1`",
	      c->need, say_count(ports), say_count(held));
}

static void check_ports(struct check *c)
{
	unsigned low = 32768, high = 60999;
	uint64_t each, wide, sources = c->demand->n_sources ? c->demand->n_sources : 1;
	char text[64], remedy[160];

	if (!is_tcp(c->demand))
		return;
	if (procfs_text(c->root, "/proc/sys/net/ipv4/ip_local_port_range", text, sizeof(text)) && (sscanf(text, "%u %u", &low, &high) != 2 || low > high || high > 65535))
		return;
	each = high - low + 1 - reserved_ports(c, low, high);
	if (c->clients <= sources * each) {
		check_held_ports(c, sources * each);
		return;
	}
	wide = 65535 - 1024 + 1 - reserved_ports(c, 1024, 65535);
	name_sources(c, (c->clients + (each ? each : wide) - 1) / (each ? each : wide), remedy, sizeof(remedy));
	if (c->clients <= sources * wide)
		lacks(c, true, "%s a port each; from %s address%s to one target there are %s: `sysctl -w net.ipv4.ip_local_port_range=\"1024 65535\"`%s%s",
		      c->need, say_count(sources), sources == 1 ? "" : "es", say_count(sources * each), each ? ", or " : "", each ? remedy : "");
	else
		lacks(c, true, "%s a port each; from %s address%s to one target there are %s (at most %s with net.ipv4.ip_local_port_range=\"1024 65535\"): %s",
		      c->need, say_count(sources), sources == 1 ? "" : "es", say_count(sources * each), say_count(sources * wide), remedy);
}

static void check_tracking(struct check *c)
{
	uint64_t most, used = 0;

	if (!is_tcp(c->demand) || !procfs_number(c->root, "/proc/sys/net/netfilter/nf_conntrack_max", &most))
		return;
	procfs_number(c->root, "/proc/sys/net/netfilter/nf_conntrack_count", &used);
	if (used <= most && c->clients <= most - used)
		return;
	/* The table is there once the module is loaded, but it only matters where a rule uses it: an empty one says that none does. */
	lacks(c, used > 0, "%s a place each in the table of tracked connections, which has %s, %s of them taken; what does not fit is dropped without a word: "
	      "`sysctl -w net.netfilter.nf_conntrack_max=%llu`", c->need, say_count(most), say_count(used), (unsigned long long)(used + 2 * c->clients));
}

static void check_backlog(struct check *c)
{
	static const struct {
		const char *path, *name;
	} rows[] = {
		{ "/proc/sys/net/core/somaxconn", "net.core.somaxconn" },
		{ "/proc/sys/net/ipv4/tcp_max_syn_backlog", "net.ipv4.tcp_max_syn_backlog" },
	};
	uint64_t most;

	if (!is_tcp(c->demand) || !c->demand->loopback || c->clients <= USUAL_PENDING)
		return;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		if (procfs_number(c->root, rows[i].path, &most) && most < ENOUGH_BACKLOG && most < c->clients)
			lacks(c, false, "%s is %s: a target here that is slow to accept drops what comes beyond, each a connect of a second: `sysctl -w %s=4096`, and start the target anew",
			      rows[i].name, say_count(most), rows[i].name);
}

/* ---- memory ---- */

struct memory {
	uint64_t bytes;
	bool of_group;			/* else the machine's */
};

static void less(struct memory *memory, uint64_t limit, uint64_t used, bool of_group)
{
	uint64_t left = used < limit ? limit - used : 0;

	if (left < memory->bytes)
		*memory = (struct memory){ left, of_group };
}

/* A control group and all above it: each may allow less. What files in memory take there is given back when asked for. */
static void group_memory(const struct check *c, const char *mount, char *group, const char *limit_name, const char *used_name, const char *stat_name, struct memory *memory)
{
	for (;;) {
		uint64_t limit, used = 0, cache = 0;
		char path[1200];
		char *slash;

		snprintf(path, sizeof(path), "%s%s/%s", mount, group, limit_name);
		if (procfs_number(c->root, path, &limit)) {
			snprintf(path, sizeof(path), "%s%s/%s", mount, group, used_name);
			procfs_number(c->root, path, &used);
			snprintf(path, sizeof(path), "%s%s/memory.stat", mount, group);
			procfs_line(c->root, path, stat_name, &cache);
			less(memory, limit, used > cache ? used - cache : 0, true);
		}
		slash = strrchr(group, '/');
		if (!slash)
			return;
		*slash = 0;
	}
}

static struct memory available_memory(const struct check *c)
{
	struct memory memory = { .bytes = UINT64_MAX };
	uint64_t kB;
	char line[1024];
	FILE *f = procfs_open(c->root, "/proc/self/cgroup");

	if (procfs_line(c->root, "/proc/meminfo", "MemAvailable:", &kB))
		less(&memory, kB * 1024, 0, false);
	while (f && fgets(line, sizeof(line), f)) {	/* "0::/user.slice" of version 2, "4:memory:/docker/1234" of version 1 */
		char *controllers = strchr(line, ':'), *group = controllers ? strchr(controllers + 1, ':') : NULL;

		if (!group)
			continue;
		*group++ = 0;
		group[strcspn(group, "\n")] = 0;
		if (!controllers[1])
			group_memory(c, "/sys/fs/cgroup", group, "memory.max", "memory.current", "inactive_file ", &memory);
		else if (strcmp(controllers + 1, "memory") == 0)
			group_memory(c, "/sys/fs/cgroup/memory", group, "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file ", &memory);
	}
	if (f)
		fclose(f);
	return memory;
}

static void check_memory(struct check *c)
{
	const struct demand *d = c->demand;
	uint64_t ours = CLIENT_BYTES + (d->tls ? TLS_BYTES : 0) + (d->websocket ? WEBSOCKET_BYTES : 0);
	uint64_t kernel = d->address && d->address->kind == ADDRESS_MEMORY ? 0 : SOCKET_BYTES * (d->loopback ? 2 : 1);
	uint64_t streams = d->streams < MOST_CLIENTS ? d->streams : MOST_CLIENTS;
	uint64_t need = BASE_BYTES + c->clients * (ours + kernel) + streams * STREAM_BYTES;
	struct memory memory = available_memory(c);

	if (need <= memory.bytes)
		return;
	lacks(c, true, "%s about %s of memory (each %s of ours and %s of the kernel's%s); %s %s left: %sfewer clients here, with --shard I/N on several machines",
	      c->need, say_bytes(need), say_bytes(ours), say_bytes(kernel), d->loopback && kernel ? " for both ends" : "",
	      memory.of_group ? "our control group has" : "the machine has", say_bytes(memory.bytes),
	      memory.of_group ? "a higher limit for it (memory.max; `docker run --memory`, resources.limits.memory of a pod), or " : "");
}

/* ---- all of it ---- */

size_t preflight(const struct demand *demand, const char *root, struct shortage *shortages, size_t cap)
{
	struct check c = { .demand = demand, .root = root, .clients = demand->clients < MOST_CLIENTS ? demand->clients : MOST_CLIENTS };
	uint64_t descriptors = raise_descriptors();
	size_t n = 0;

	snprintf(c.need, sizeof(c.need), "%s client%s", say_count(c.clients), c.clients == 1 ? " needs" : "s need");
	if (!demand->address || demand->address->kind != ADDRESS_MEMORY) {
		check_descriptors(&c, descriptors);
		check_files(&c);
		check_watches(&c);
		check_ports(&c);
		check_tracking(&c);
		check_target_descriptors(&c);
		check_backlog(&c);
	}
	check_memory(&c);
	for (int fatal = 1; fatal >= 0; fatal--)
		for (size_t i = 0; i < c.n && n < cap; i++)
			if (c.found[i].fatal == fatal)
				shortages[n++] = c.found[i];
	return n;
}

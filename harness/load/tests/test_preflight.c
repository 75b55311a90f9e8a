#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "harness/load/control.h"
#include "harness/load/wording.h"

/* A machine is a folder with what its kernel would say; one that has plenty, and what is different of it. */

struct file {
	const char *path, *text;	/* text NULL: the machine has no such file */
};

static const struct file plenty[] = {
	{ "/proc/sys/fs/nr_open", "1048576\n" },
	{ "/proc/sys/fs/file-nr", "593\t0\t9223372036854775807\n" },
	{ "/proc/sys/fs/epoll/max_user_watches", "5491511\n" },
	{ "/proc/sys/net/ipv4/ip_local_port_range", "32768\t60999\n" },
	{ "/proc/sys/net/ipv4/ip_local_reserved_ports", "\n" },
	{ "/proc/sys/net/ipv4/tcp_tw_reuse", "2\n" },
	{ "/proc/net/sockstat", "sockets: used 17\nTCP: inuse 1 orphan 0 tw 0 alloc 1 mem 0\n" },
	{ "/proc/sys/net/netfilter/nf_conntrack_max", "262144\n" },
	{ "/proc/sys/net/netfilter/nf_conntrack_count", "0\n" },
	{ "/proc/sys/net/core/somaxconn", "4096\n" },
	{ "/proc/sys/net/ipv4/tcp_max_syn_backlog", "2048\n" },
	{ "/proc/meminfo", "MemTotal:       24683520 kB\nMemFree:        16384000 kB\nMemAvailable:   16384000 kB\n" },
	{ "/proc/self/cgroup", "0::/user.slice/run\n" },
	{ "/sys/fs/cgroup/user.slice/run/memory.max", "max\n" },
	{ "/sys/fs/cgroup/user.slice/run/memory.current", "1000000\n" },
	{ "/sys/fs/cgroup/user.slice/memory.max", "max\n" },
};

static char root[] = "/tmp/preflight.XXXXXX";

static void put(const struct file *file)
{
	char path[400];
	FILE *f;

	snprintf(path, sizeof(path), "%s%s", root, file->path);
	if (!file->text) {
		unlink(path);
		return;
	}
	for (char *at = path + strlen(root) + 1; (at = strchr(at, '/')); *at++ = '/') {
		*at = 0;
		mkdir(path, 0777);
	}
	f = fopen(path, "w");
	assert_non_null(f);
	fputs(file->text, f);
	assert_int_equal(fclose(f), 0);
}

/* "" for an address of somebody else, else a URL. */
#define LOCAL .loopback = true, .clients

static const struct row {
	const char *name, *url;
	struct demand demand;
	struct file files[4];
	const char *expected[2];	/* whole texts; "!" in front: fatal */
} rows[] = {
	{ "plenty", "tcp://127.0.0.1:1883", { LOCAL = 10000 }, { { 0 } }, { 0 } },
	{ "plenty, elsewhere", "broker.example", { .clients = 10000, .tls = true, .websocket = true }, { { 0 } }, { 0 } },
	{ "a machine that says nothing", "127.0.0.1", { LOCAL = 1000 },
	  { { "/proc/sys/net/ipv4/ip_local_port_range", NULL }, { "/proc/meminfo", NULL }, { "/proc/self/cgroup", NULL }, { "/proc/sys/fs/nr_open", NULL } }, { 0 } },

	{ "descriptors: more than a process may ever have", "unix:/run/broker", { LOCAL = 5000 }, { { "/proc/sys/fs/nr_open", "2048\n" } },
	  { "!5,000 clients need 5,040 file descriptors; 2,048 are allowed: `sysctl -w fs.nr_open=5040`, then `ulimit -n 5040`, as root or with a hard limit that allows it, or several "
	    "processes, each with its --shard I/N" } },
	{ "files of the machine, both ends", "127.0.0.1", { LOCAL = 5000 }, { { "/proc/sys/fs/file-nr", "991\t0\t10000\n" } },
	  { "!5,000 connections need 10,000 open files at both ends; 9,009 of the machine's 10,000 are free: `sysctl -w fs.file-max=11031`" } },
	{ "files of the machine, one end", "broker.example", { .clients = 5000 }, { { "/proc/sys/fs/file-nr", "991\t0\t10000\n" } }, { 0 } },
	{ "watches", "broker.example", { .clients = 5000 }, { { "/proc/sys/fs/epoll/max_user_watches", "4096\n" } },
	  { "!5,000 clients need 5,040 watches of epoll; 4,096 are allowed to each user: `sysctl -w fs.epoll.max_user_watches=10080`" } },
	{ "watches of both ends", "127.0.0.1", { LOCAL = 5000 }, { { "/proc/sys/fs/epoll/max_user_watches", "8192\n" } },
	  { "5,000 clients need 10,080 watches of epoll, those of a target that runs as the same user counted; 8,192 are allowed to each user: "
	    "`sysctl -w fs.epoll.max_user_watches=10080`" } },

	{ "ports: just enough", "127.0.0.1", { LOCAL = 8232 }, { { "/proc/sys/net/ipv4/ip_local_port_range", "32768 40999\n" } }, { 0 } },
	{ "ports: one too few", "127.0.0.1", { LOCAL = 8233 }, { { "/proc/sys/net/ipv4/ip_local_port_range", "32768 40999\n" } },
	  { "!8,233 clients need a port each; from 1 address to one target there are 8,232: `sysctl -w net.ipv4.ip_local_port_range=\"1024 65535\"`, or "
	    "`--source-ip 127.0.0.2-127.0.0.3`" } },
	{ "ports: some are reserved", "127.0.0.1", { LOCAL = 8232 },
	  { { "/proc/sys/net/ipv4/ip_local_port_range", "32768 40999\n" }, { "/proc/sys/net/ipv4/ip_local_reserved_ports", "8080,32000-32769,40000,40999-50000\n" } },
	  { "!8,232 clients need a port each; from 1 address to one target there are 8,228: `sysctl -w net.ipv4.ip_local_port_range=\"1024 65535\"`, or "
	    "`--source-ip 127.0.0.2-127.0.0.3`" } },
	{ "ports: several addresses suffice", "127.0.0.1", { LOCAL = 16464, .n_sources = 2 }, { { "/proc/sys/net/ipv4/ip_local_port_range", "32768 40999\n" } }, { 0 } },
	{ "ports: two addresses do not", "127.0.0.1", { LOCAL = 16465, .n_sources = 2 }, { { "/proc/sys/net/ipv4/ip_local_port_range", "32768 40999\n" } },
	  { "!16,465 clients need a port each; from 2 addresses to one target there are 16,464: `sysctl -w net.ipv4.ip_local_port_range=\"1024 65535\"`, or "
	    "`--source-ip 127.0.0.2-127.0.0.4`" } },
	{ "ports: a port range does not suffice", "127.0.0.1", { LOCAL = 70000 },
	  { { "/proc/sys/net/ipv4/ip_local_port_range", "32768 60999\n" } },
	  { "!70,000 clients need a port each; from 1 address to one target there are 28,232 (at most 64,512 with net.ipv4.ip_local_port_range=\"1024 65535\"): "
	    "`--source-ip 127.0.0.2-127.0.0.4`" } },
	{ "ports: IPv6 has one loopback address", "tcp://[::1]:1883", { LOCAL = 30000 }, { { 0 } },
	  { "!30,000 clients need a port each; from 1 address to one target there are 28,232: `sysctl -w net.ipv4.ip_local_port_range=\"1024 65535\"`, or "
	    "`--source-ip 127.0.0.2-127.0.0.3` and 127.0.0.1 as the target" } },
	{ "ports: towards another machine", "broker.example", { .clients = 30000 }, { { 0 } },
	  { "!30,000 clients need a port each; from 1 address to one target there are 28,232: `sysctl -w net.ipv4.ip_local_port_range=\"1024 65535\"`, or "
	    "--source-ip with 2 addresses of this machine" } },
	{ "ports: more than 254 addresses", "127.0.0.1", { LOCAL = 40000 },
	  { { "/proc/sys/net/ipv4/ip_local_port_range", "50000 50099\n" } },
	  { "!40,000 clients need a port each; from 1 address to one target there are 100: `sysctl -w net.ipv4.ip_local_port_range=\"1024 65535\"`, or "
	    "`--source-ip 127.0.0.2-127.0.1.145`" } },
	{ "ports: a unix socket needs none", "unix:/run/broker", { LOCAL = 100000 }, { { 0 } }, { 0 } },
	{ "ports that are held", "broker.example", { .clients = 28000 }, { { "/proc/net/sockstat", "sockets: used 1\nTCP: inuse 1 orphan 0 tw 233 alloc 1 mem 0\n" } },
	  { "28,000 clients need a port each of 28,232, and 233 may be held for a minute by connections that have ended (TIME_WAIT): wait, or "
	    "`sysctl -w net.ipv4.tcp_tw_reuse=1`" } },
	{ "ports that are held, and used again", "127.0.0.1", { LOCAL = 28000 }, { { "/proc/net/sockstat", "TCP: inuse 1 orphan 0 tw 233 alloc 1 mem 0\n" } }, { 0 } },

	{ "tracked connections", "broker.example", { .clients = 10000 },
	  { { "/proc/sys/net/netfilter/nf_conntrack_max", "10001\n" }, { "/proc/sys/net/netfilter/nf_conntrack_count", "2\n" } },
	  { "!10,000 clients need a place each in the table of tracked connections, which has 10,001, 2 of them taken; what does not fit is dropped without a word: "
	    "`sysctl -w net.netfilter.nf_conntrack_max=20002`" } },
	{ "a table that seems not to be used", "broker.example", { .clients = 10000 }, { { "/proc/sys/net/netfilter/nf_conntrack_max", "9999\n" } },
	  { "10,000 clients need a place each in the table of tracked connections, which has 9,999, 0 of them taken; what does not fit is dropped without a word: "
	    "`sysctl -w net.netfilter.nf_conntrack_max=20000`" } },
	{ "no table", "broker.example", { .clients = 10000 }, { { "/proc/sys/net/netfilter/nf_conntrack_max", NULL } }, { 0 } },

	{ "backlog", "127.0.0.1", { LOCAL = 1000 }, { { "/proc/sys/net/core/somaxconn", "128\n" } },
	  { "net.core.somaxconn is 128: a target here that is slow to accept drops what comes beyond, each a connect of a second: `sysctl -w net.core.somaxconn=4096`, and start the "
	    "target anew" } },
	{ "backlog of SYNs", "127.0.0.1", { LOCAL = 1000 }, { { "/proc/sys/net/ipv4/tcp_max_syn_backlog", "256\n" } },
	  { "net.ipv4.tcp_max_syn_backlog is 256: a target here that is slow to accept drops what comes beyond, each a connect of a second: "
	    "`sysctl -w net.ipv4.tcp_max_syn_backlog=4096`, and start the target anew" } },
	{ "backlog that is not needed", "127.0.0.1", { LOCAL = 60 }, { { "/proc/sys/net/core/somaxconn", "1\n" } }, { 0 } },
	{ "backlog elsewhere", "broker.example", { .clients = 1000 }, { { "/proc/sys/net/core/somaxconn", "128\n" } }, { 0 } },

	{ "memory of the machine", "broker.example", { .clients = 10000 }, { { "/proc/meminfo", "MemTotal: 90000 kB\nMemAvailable: 82000 kB\n" } },
	  { "!10,000 clients need about 85.1 MB of memory (each 512 B of ours and 4.80 kB of the kernel's); the machine has 84.0 MB left: fewer clients here, with --shard I/N on "
	    "several machines" } },
	{ "memory, just enough", "broker.example", { .clients = 10000 }, { { "/proc/meminfo", "MemTotal: 90000 kB\nMemAvailable: 83125 kB\n" } }, { 0 } },
	{ "memory of both ends, with TLS", "127.0.0.1", { LOCAL = 10000, .tls = true }, { { "/proc/meminfo", "MemAvailable: 200000 kB\n" } },
	  { "!10,000 clients need about 333 MB of memory (each 20.5 kB of ours and 9.60 kB of the kernel's for both ends); the machine has 205 MB left: fewer clients here, with "
	    "--shard I/N on several machines" } },
	{ "memory of publishers' accounts", "broker.example", { .clients = 1, .streams = 1000000 }, { { "/proc/meminfo", "MemAvailable: 200000 kB\n" } },
	  { "!1 client needs about 232 MB of memory (each 512 B of ours and 4.80 kB of the kernel's); the machine has 205 MB left: fewer clients here, with --shard I/N on several "
	    "machines" } },
	{ "memory of a control group", "broker.example", { .clients = 10000 },
	  { { "/sys/fs/cgroup/user.slice/run/memory.max", "67108864\n" }, { "/sys/fs/cgroup/user.slice/run/memory.current", "60000000\n" },
	    { "/sys/fs/cgroup/user.slice/run/memory.stat", "anon 4096\nfile 50000000\ninactive_file 40000000\n" } },
	  { "!10,000 clients need about 85.1 MB of memory (each 512 B of ours and 4.80 kB of the kernel's); our control group has 47.1 MB left: a higher limit for it (memory.max; "
	    "`docker run --memory`, resources.limits.memory of a pod), or fewer clients here, with --shard I/N on several machines" } },
	{ "memory of a control group above", "broker.example", { .clients = 10000 },
	  { { "/sys/fs/cgroup/user.slice/memory.max", "67108864\n" }, { "/sys/fs/cgroup/user.slice/memory.current", "70000000\n" } },
	  { "!10,000 clients need about 85.1 MB of memory (each 512 B of ours and 4.80 kB of the kernel's); our control group has 0 B left: a higher limit for it (memory.max; "
	    "`docker run --memory`, resources.limits.memory of a pod), or fewer clients here, with --shard I/N on several machines" } },
	{ "memory of a control group of version 1", "broker.example", { .clients = 10000 },
	  { { "/proc/self/cgroup", "7:cpu:/\n4:memory:/docker/12\n0::/\n" }, { "/sys/fs/cgroup/memory/memory.limit_in_bytes", "67108864\n" },
	    { "/sys/fs/cgroup/memory/memory.usage_in_bytes", "27108864\n" } },
	  { "!10,000 clients need about 85.1 MB of memory (each 512 B of ours and 4.80 kB of the kernel's); our control group has 40.0 MB left: a higher limit for it (memory.max; "
	    "`docker run --memory`, resources.limits.memory of a pod), or fewer clients here, with --shard I/N on several machines" } },

	{ "what is fatal stands first", "127.0.0.1", { LOCAL = 30000 }, { { "/proc/sys/net/core/somaxconn", "128\n" }, { "/proc/meminfo", "MemAvailable: 200000 kB\n" },
	  { "/proc/sys/net/ipv4/ip_local_port_range", "1024 65535\n" } },
	  { "!30,000 clients need about 335 MB of memory (each 512 B of ours and 9.60 kB of the kernel's for both ends); the machine has 205 MB left: fewer clients here, with --shard "
	    "I/N on several machines",
	    "net.core.somaxconn is 128: a target here that is slow to accept drops what comes beyond, each a connect of a second: `sysctl -w net.core.somaxconn=4096`, and start the "
	    "target anew" } },
};

enum { N_ROWS = sizeof(rows) / sizeof(*rows) };

static void finds(void **state)
{
	const struct row *row = *state;
	struct rlimit limit;
	struct shortage found[16] = { 0 };
	struct address address;
	struct demand demand = row->demand;
	struct fault fault;
	size_t n, shown = 0;

	for (size_t i = 0; i < sizeof(plenty) / sizeof(*plenty); i++)
		put(&plenty[i]);
	for (size_t i = 0; i < 4 && row->files[i].path; i++)
		put(&row->files[i]);
	assert_true(address_parse(row->url, ADDRESS_TO_CONNECT, &address, &fault));
	demand.address = &address;
	n = preflight(&demand, root, found, 16);
	for (size_t i = 0; i < 4 && row->files[i].path; i++)
		put(&(struct file){ row->files[i].path, NULL });

	/* The limit of descriptors is that of this very process, whatever the folder says. */
	getrlimit(RLIMIT_NOFILE, &limit);
	for (size_t i = 0; i < n; i++) {
		const char *expected = shown < 2 ? row->expected[shown] : NULL;

		if (strstr(found[i].text, "file descriptors") && !strstr(found[i].text, "nr_open") && demand.clients + 40 > limit.rlim_cur)
			continue;
		if (!expected)
			fail_msg("not expected: %s", found[i].text);
		assert_int_equal(found[i].fatal, *expected == '!');
		assert_string_equal(found[i].text, expected + (*expected == '!'));
		shown++;
	}
	for (; shown < 2 && row->expected[shown]; shown++)
		fail_msg("missing: %s", row->expected[shown]);
}

static void raises_our_own_limit(void **state)
{
	struct rlimit before, lowered, after;
	struct shortage found[16];
	struct demand demand = { .clients = 10 };

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	lowered = before;
	lowered.rlim_cur = 48;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &lowered), 0);
	for (size_t i = 0; i < sizeof(plenty) / sizeof(*plenty); i++)
		put(&plenty[i]);
	assert_int_equal(preflight(&demand, root, found, 16), 0);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &after), 0);
	assert_true(after.rlim_cur == before.rlim_max);
}

static void says_what_our_own_limit_is(void **state)
{
	struct rlimit limit;
	struct shortage found[16];
	struct demand demand = { .address = &(struct address){ .kind = ADDRESS_UNIX, .host = "/run/broker" } };
	char begin[100];

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	if (limit.rlim_max >= 1000000)
		skip();
	demand.clients = limit.rlim_max - 39;
	assert_int_equal(preflight(&demand, root, found, 16), 1);
	assert_true(found[0].fatal);
	snprintf(begin, sizeof(begin), "%s clients need %s file descriptors; %s are allowed: `ulimit -n %" PRIu64 "`, as root", say_count(demand.clients),
	         say_count(limit.rlim_max + 1), say_count(limit.rlim_max), (uint64_t)limit.rlim_max + 1);
	assert_memory_equal(found[0].text, begin, strlen(begin));
	demand.clients--;
	assert_int_equal(preflight(&demand, root, found, 16), 0);
}

static void a_target_in_memory_needs_none(void **state)
{
	struct shortage found[16];
	struct demand demand = { .clients = 1000000, .loopback = true, .address = &(struct address){ .kind = ADDRESS_MEMORY } };

	(void)state;
	assert_int_equal(preflight(&demand, root, found, 16), 0);
	demand.clients = UINT64_MAX;	/* and no figure runs over */
	assert_int_equal(preflight(&demand, root, found, 16), 1);
	assert_non_null(strstr(found[0].text, "1,000,000,000,000 clients need about 512 TB"));
}

static void discard(void *context, struct transport *t)
{
	(void)context;
	t->ops->close(t, true);
}

static void says_what_the_target_may(void **state)
{
	struct rlimit limit;
	struct shortage found[16];
	struct address address = { .kind = ADDRESS_UNIX };
	struct demand demand = { .loopback = true, .address = &address };
	struct loop loop;
	struct listener *listener;
	char begin[200];
	size_t n, i;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	if (limit.rlim_max >= 1000000000)
		skip();
	snprintf(address.host, sizeof(address.host), "/tmp/test-preflight-%d.sock", getpid());
	assert_int_equal(loop_init(&loop, false), 0);
	listener = transport_listen(&loop, &address, discard, NULL);
	assert_non_null(listener);
	demand.clients = limit.rlim_max + 1;
	n = preflight(&demand, "", found, 16);
	snprintf(begin, sizeof(begin), "the target, test_preflight (pid %d), may open %s files, and %s clients want a connection each: start it with `ulimit -n %" PRIu64 "` or more",
	         getpid(), say_count(limit.rlim_max), say_count(demand.clients), demand.clients + 40);
	for (i = 0; i < n && strcmp(found[i].text, begin) != 0; i++)
		;
	assert_true(i < n);
	assert_false(found[i].fatal);
	listener_free(listener);
	loop_settle(&loop);
	loop_release(&loop);
}

static void fits_where_there_is_little_room(void **state)
{
	struct shortage found[1];
	struct demand demand = { .clients = UINT64_MAX, .loopback = true, .tls = true, .websocket = true };

	(void)state;
	assert_int_equal(preflight(&demand, root, found, 1), 1);
	assert_true(found[0].fatal);
	assert_int_equal(preflight(&demand, root, found, 0), 0);
}

static void says_figures(void **state)
{
	(void)state;
	assert_string_equal(say_count(0), "0");
	assert_string_equal(say_count(999), "999");
	assert_string_equal(say_count(1000), "1,000");
	assert_string_equal(say_count(UINT64_MAX), "18,446,744,073,709,551,615");
	assert_string_equal(say_rate(0.04), "0.0");
	assert_string_equal(say_rate(9.94), "9.9");
	assert_string_equal(say_rate(9.96), "10");
	assert_string_equal(say_rate(123456.5), "123,457");
	assert_string_equal(say_ns(0), "0");
	assert_string_equal(say_ns(999), "999 ns");
	assert_string_equal(say_ns(1000), "1.00 us");
	assert_string_equal(say_ns(12345), "12.3 us");
	assert_string_equal(say_ns(999499), "999 us");
	assert_string_equal(say_ns(999500), "1.00 ms");
	assert_string_equal(say_ns(9996000), "10.0 ms");
	assert_string_equal(say_ns(UINT64_C(90000000000)), "90.0 s");
	assert_string_equal(say_ns(UINT64_C(119990000000)), "120 s");
	assert_string_equal(say_ns(UINT64_C(120000000000)), "2.0 min");
	assert_string_equal(say_ns(UINT64_C(10800000000000)), "3.0 h");
	assert_string_equal(say_bytes(512), "512 B");
	assert_string_equal(say_bytes(4800), "4.80 kB");
	assert_string_equal(say_bytes(1000000), "1.00 MB");
	assert_string_equal(say_share(0), "0 %");
	assert_string_equal(say_share(0.0012), "0.12 %");
	assert_string_equal(say_share(0.5), "50.0 %");
	assert_string_equal(say_share(0.99999), "99.99 %");
	assert_string_equal(say_share(1), "100 %");
	assert_string_equal(say_share(1.25), "125.00 %");
}

static int make_root(void **state)
{
	(void)state;
	return mkdtemp(root) ? 0 : -1;
}

static int remove_root(void **state)
{
	char command[60];

	(void)state;
	snprintf(command, sizeof(command), "rm -r %s", root);
	return system(command);
}

int main(void)
{
	static const struct CMUnitTest others[] = {
		cmocka_unit_test(raises_our_own_limit),
		cmocka_unit_test(says_what_our_own_limit_is),
		cmocka_unit_test(a_target_in_memory_needs_none),
		cmocka_unit_test(says_what_the_target_may),
		cmocka_unit_test(fits_where_there_is_little_room),
		cmocka_unit_test(says_figures),
	};
	enum { N_OTHERS = sizeof(others) / sizeof(*others) };
	struct CMUnitTest tests[N_ROWS + N_OTHERS];

	for (size_t i = 0; i < N_ROWS; i++)
		tests[i] = (struct CMUnitTest){ .name = rows[i].name, .test_func = finds, .initial_state = (void *)&rows[i] };
	memcpy(tests + N_ROWS, others, sizeof(others));
	return cmocka_run_group_tests(tests, make_root, remove_root);
}

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "harness/load/control.h"

static void discard(void *context, struct transport *t)
{
	(void)context;
	t->ops->close(t, true);
}

/* CPU, as much of it as the thread's clock says. */
static void burn(uint64_t ns)
{
	uint64_t end = cost_of_thread_ns() + ns;

	while (cost_of_thread_ns() < end)
		;
}

static void of_this_process(void **state)
{
	struct cost before, after;
	size_t size = 8 << 20;
	char *memory;
	uint64_t thread = cost_of_thread_ns();

	(void)state;
	assert_true(cost_of(getpid(), &before));
	assert_true(before.cpu_ns > 0 && before.rss_bytes > 0 && before.anon_bytes > 0);
	memory = malloc(size);
	assert_non_null(memory);
	memset(memory, 1, size);
	burn(20000000);
	assert_true(cost_of(getpid(), &after));
	assert_true(after.cpu_ns >= before.cpu_ns + 20000000);
	assert_true(after.anon_bytes >= before.anon_bytes + size - size / 8);
	assert_true(after.rss_bytes >= after.anon_bytes);
	assert_true(cost_of_thread_ns() >= thread + 20000000);
	assert_int_equal(memory[size - 1], 1);
	free(memory);
}

/* What children take counts while they live, and when they have been waited for. */
static void of_children(void **state)
{
	struct cost before, alive, after;
	int told[2], go[2];
	char byte;
	pid_t child;

	(void)state;
	assert_true(pipe(told) == 0 && pipe(go) == 0);
	assert_true(cost_of(getpid(), &before));
	child = fork();
	assert_true(child >= 0);
	if (!child) {
		close(go[1]);
		burn(60000000);
		_exit(write(told[1], "x", 1) != 1 || read(go[0], &byte, 1) != 0);
	}
	assert_int_equal(read(told[0], &byte, 1), 1);
	assert_true(cost_of(getpid(), &alive));
	assert_true(alive.cpu_ns >= before.cpu_ns + 60000000);
	assert_true(alive.rss_bytes > before.rss_bytes);
	close(go[1]);
	assert_int_equal(waitpid(child, NULL, 0), child);
	assert_true(cost_of(getpid(), &after));
	assert_true(after.cpu_ns >= before.cpu_ns + 30000000);	/* in ticks, and rounded down: 10 ms each for user and system */
	assert_false(cost_of(child, &after));
	close(told[0]);
	close(told[1]);
	close(go[0]);
}

/* host "": listens on every interface. False: this machine cannot listen there. */
static bool find(int kind, const char *host)
{
	struct address address = { .kind = kind };
	struct loop loop;
	struct listener *listener;
	char name[64] = "";

	strcpy(address.host, host);
	assert_int_equal(loop_init(&loop, false), 0);
	listener = transport_listen(&loop, &address, discard, NULL);
	if (!listener) {
		loop_release(&loop);
		return false;
	}
	if (address.kind == ADDRESS_TCP)
		address.port = listener_port(listener);
	if (!*address.host)
		strcpy(address.host, "127.0.0.1");
	assert_int_equal(cost_find_listener(&address, name, sizeof(name)), getpid());
	assert_string_equal(name, "test_cost");
	listener_free(listener);
	loop_settle(&loop);
	assert_int_equal(cost_find_listener(&address, name, sizeof(name)), 0);
	loop_release(&loop);
	return true;
}

static void finds_who_listens(void **state)
{
	char path[80];

	(void)state;
	assert_true(find(ADDRESS_TCP, "127.0.0.1"));
	assert_true(find(ADDRESS_TCP, "localhost"));
	assert_true(find(ADDRESS_TCP, ""));
	snprintf(path, sizeof(path), "/tmp/test-cost-%d.sock", getpid());
	assert_true(find(ADDRESS_UNIX, path));
}

static void finds_who_listens_on_ipv6(void **state)
{
	(void)state;
	if (!find(ADDRESS_TCP, "::1"))
		skip();
}

/* Its neighbour has the socket too, since it was born with it: the parent is the one. */
static void finds_the_eldest(void **state)
{
	int go[2];
	char byte, name[64];
	pid_t child;
	struct address address = { .kind = ADDRESS_TCP, .host = "127.0.0.1" };
	struct loop loop;
	struct listener *listener;

	(void)state;
	assert_int_equal(pipe(go), 0);
	assert_int_equal(loop_init(&loop, false), 0);
	listener = transport_listen(&loop, &address, discard, NULL);
	assert_non_null(listener);
	address.port = listener_port(listener);
	child = fork();
	assert_true(child >= 0);
	if (!child) {
		close(go[1]);
		_exit(read(go[0], &byte, 1) != 0);
	}
	assert_int_equal(cost_find_listener(&address, name, sizeof(name)), getpid());
	close(go[1]);
	close(go[0]);
	assert_int_equal(waitpid(child, NULL, 0), child);
	listener_free(listener);
	loop_settle(&loop);
	loop_release(&loop);
}

/* The same port on another address is somebody else's. */
static void is_not_misled(void **state)
{
	struct address address = { .kind = ADDRESS_TCP, .host = "127.0.0.1" }, other = { .kind = ADDRESS_TCP, .host = "127.0.0.2" };
	struct address away = { .kind = ADDRESS_TCP, .host = "192.0.2.1" }, memory = { .kind = ADDRESS_MEMORY };
	struct loop loop;
	struct listener *listener;
	char name[64];

	(void)state;
	assert_int_equal(loop_init(&loop, false), 0);
	listener = transport_listen(&loop, &address, discard, NULL);
	assert_non_null(listener);
	other.port = away.port = listener_port(listener);
	assert_int_equal(cost_find_listener(&other, name, sizeof(name)), 0);
	assert_int_equal(cost_find_listener(&away, name, sizeof(name)), 0);
	assert_int_equal(cost_find_listener(&memory, name, sizeof(name)), 0);
	listener_free(listener);
	loop_settle(&loop);
	loop_release(&loop);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(of_this_process),
		cmocka_unit_test(of_children),
		cmocka_unit_test(finds_who_listens),
		cmocka_unit_test(finds_who_listens_on_ipv6),
		cmocka_unit_test(finds_the_eldest),
		cmocka_unit_test(is_not_misled),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

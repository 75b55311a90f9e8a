#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "harness/free_port.h"

enum { MANY = 60 };

static int listen_on(unsigned port)
{
	struct sockaddr_in name = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_ANY) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&name, sizeof(name)), 0);
	assert_int_equal(listen(fd, 1), 0);
	return fd;
}

static void all_differ_and_can_be_listened_on(void **state)
{
	struct free_port ports[MANY];
	int fds[MANY];
	unsigned low = 32768, high = 60999;
	FILE *f = fopen("/proc/sys/net/ipv4/ip_local_port_range", "r");

	(void)state;
	if (f) {
		assert_int_equal(fscanf(f, "%u %u", &low, &high), 2);
		fclose(f);
	}
	for (int i = 0; i < MANY; i++) {
		assert_int_equal(free_port_take(&ports[i]), 0);
		for (int k = 0; k < i; k++)
			assert_int_not_equal(ports[k].port, ports[i].port);
		if (low >= 20000)
			assert_true(ports[i].port < low);
		fds[i] = listen_on(ports[i].port);
	}
	for (int i = 0; i < MANY; i++) {
		close(fds[i]);
		free_port_release(&ports[i]);
		assert_int_equal(ports[i].held, -1);
		free_port_release(&ports[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(all_differ_and_can_be_listened_on) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}

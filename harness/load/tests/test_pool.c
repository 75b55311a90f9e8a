#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "harness/load/pool.h"

static void sizes_are_rounded_to_their_class(void **state)
{
	static const struct { size_t asked, taken; } rows[] = {
		{ 0, 16 }, { 1, 16 }, { 16, 16 }, { 17, 32 }, { 33, 48 }, { 49, 64 }, { 64, 64 }, { 65, 96 }, { 96, 96 }, { 97, 128 }, { 128, 128 },
		{ 129, 192 }, { 192, 192 }, { 193, 256 }, { 257, 384 }, { 385, 512 }, { 4096, 4096 }, { 4097, 6144 }, { 6145, 8192 },
		{ 32769, 49152 }, { 49153, 65536 }, { 65536, 65536 }, { 65537, 65537 }, { 1000003, 1000003 },
	};
	struct pool *pool = pool_new();

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		void *block = pool_take(pool, rows[i].asked);

		assert_int_equal(pool_in_use(pool), rows[i].taken);
		assert_int_equal((uintptr_t)block % 16, 0);
		memset(block, 0xee, rows[i].asked);
		pool_give(pool, block, rows[i].asked);
		assert_int_equal(pool_in_use(pool), 0);
	}
	pool_free(pool);
}

static void given_back_is_taken_again(void **state)
{
	struct pool *pool = pool_new();
	void *a = pool_take(pool, 100), *b = pool_take(pool, 100), *c = pool_take(pool, 5000);

	(void)state;
	assert_ptr_not_equal(a, b);
	pool_give(pool, a, 100);
	pool_give(pool, c, 5000);
	assert_ptr_equal(pool_take(pool, 120), a);	/* of the same class */
	assert_ptr_equal(pool_take(pool, 6000), c);
	pool_give(pool, b, 100);
	uint8_t *zeroed = pool_zeroed(pool, 97);
	assert_ptr_equal(zeroed, b);
	for (int i = 0; i < 97; i++)
		assert_int_equal(zeroed[i], 0);
	pool_give(pool, NULL, 100);
	pool_free(pool);		/* what was not given back, too: a leak would fail this test under ASan */
}

static uint64_t random_state = 1;

static size_t random_below(size_t n)
{
	random_state = random_state * 6364136223846793005u + 1442695040888963407u;
	return (size_t)(random_state >> 33) % n;
}

/* Blocks that are taken do not overlap: each is filled with its own byte and still has it when given back. */
static void blocks_do_not_overlap(void **state)
{
	enum { N = 300 };
	static struct { uint8_t *at; size_t size; } blocks[N];
	struct pool *pool = pool_new();

	(void)state;
	for (int round = 0; round < 6000; round++) {
		size_t i = random_below(N);

		if (blocks[i].at) {
			for (size_t k = 0; k < blocks[i].size; k++)
				if (blocks[i].at[k] != (uint8_t)i)
					fail_msg("block %zu of %zu bytes was overwritten at %zu", i, blocks[i].size, k);
			pool_give(pool, blocks[i].at, blocks[i].size);
			blocks[i].at = NULL;
			continue;
		}
		blocks[i].size = 1 + random_below(random_below(20) ? 600 : 80000);
		blocks[i].at = pool_take(pool, blocks[i].size);
		memset(blocks[i].at, (int)(uint8_t)i, blocks[i].size);
	}
	for (size_t i = 0; i < N; i++)
		pool_give(pool, blocks[i].at, blocks[i].size);
	assert_int_equal(pool_in_use(pool), 0);
	pool_free(pool);
}

static void the_end_of_memory_is_one_line(void **state)
{
	int fds[2], status;
	char text[4000] = "";
	size_t len = 0;
	ssize_t n;

	(void)state;
	assert_int_equal(pipe(fds), 0);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		static struct pool *volatile held;	/* no leak when exit() ends it */

		dup2(fds[1], 2);
		held = pool_new();
		pool_take(held, SIZE_MAX - 8);
		_exit(0);
	}
	close(fds[1]);
	while (len < sizeof(text) - 1 && (n = read(fds[0], text + len, sizeof(text) - 1 - len)) > 0)
		len += (size_t)n;
	close(fds[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 3)
		fail_msg("status %#x: %s", (unsigned)status, text);
	assert_non_null(strstr(text, "mqassay: out of memory\n"));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes_are_rounded_to_their_class),
		cmocka_unit_test(given_back_is_taken_again),
		cmocka_unit_test(blocks_do_not_overlap),
		cmocka_unit_test(the_end_of_memory_is_one_line),
	};

	return cmocka_run_group_tests_name("pool", tests, NULL, NULL);
}

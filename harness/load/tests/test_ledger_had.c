/* Sets of numbers, and what one subscriber had of a stream, against plain arrays. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "harness/load/ledger_had.h"

enum { NUMBERS = 20000 };

static uint64_t seed;

static uint32_t below(uint32_t n)
{
	uint64_t z = seed += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return (uint32_t)((z ^ z >> 31) % n);
}

/* ---- ranges ---- */

static void put_some(struct ranges *r, bool *plain, uint32_t n)
{
	for (uint32_t i = below(12); i > 0; i--) {
		uint32_t from = below(n), to = from + below(n - from < 9 ? n - from + 1 : 9);

		ranges_put(r, from, to);
		for (uint32_t k = from; k < to; k++)
			plain[k] = true;
	}
}

static void is_plain(const struct ranges *r, const bool *plain, uint32_t n)
{
	uint64_t count = 0, wrong = 0;
	size_t at = 0;

	for (size_t i = 0; i < r->n; i++) {
		assert_true(r->at[i].from < r->at[i].to);
		if (i)
			assert_true(r->at[i - 1].to < r->at[i].from);	/* apart: else they would be one */
	}
	for (uint32_t k = 0; k < n; k++) {
		while (at < r->n && r->at[at].to <= k)
			at++;
		wrong += (at < r->n && r->at[at].from <= k) != plain[k];
		count += plain[k];
	}
	assert_int_equal(wrong, 0);
	assert_int_equal(ranges_count(r), count);
}

static void sets_of_ranges(void **state)
{
	enum { N = 60 };

	(void)state;
	for (uint64_t round = 1; round <= 2000; round++) {
		bool a[N] = { 0 }, b[N] = { 0 }, both[N], either[N], only[N];
		struct ranges ra = { 0 }, rb = { 0 }, to = { 0 };

		seed = round;
		put_some(&ra, a, N);
		put_some(&rb, b, N);
		for (unsigned k = 0; k < N; k++) {
			both[k] = a[k] && b[k];
			either[k] = a[k] || b[k];
			only[k] = a[k] && !b[k];
		}
		is_plain(&ra, a, N);
		ranges_unite(&to, &ra, &rb);
		is_plain(&to, either, N);
		ranges_intersect(&to, &ra, &rb);
		is_plain(&to, both, N);
		ranges_subtract(&to, &ra, &rb);
		is_plain(&to, only, N);
		ranges_release(&ra);
		ranges_release(&rb);
		ranges_release(&to);
	}
}

/* ---- what was had ---- */

static bool has[NUMBERS];
static uint32_t behind_ms[NUMBERS];	/* when the highest so far passed it */
static struct had had;
static struct pool *pool;
static uint32_t next, now_ms;

static void begin(void)
{
	pool = pool_new();
	had = (struct had){ 0 };
	memset(has, 0, sizeof(has));
	next = 0;
	now_ms = 1000;
}

static void take(uint32_t number)
{
	enum had_as wanted = has[number] ? HAD_BEFORE : number < next ? HAD_BEHIND : HAD_NEXT;

	now_ms += below(3);
	assert_int_equal(had_take(pool, &had, number, now_ms), wanted);
	has[number] = true;
	if (wanted != HAD_NEXT)
		return;
	for (uint32_t k = next; k <= number; k++)
		behind_ms[k] = now_ms;
	next = number + 1;
}

static void is_same(void)
{
	struct ranges ranges = { 0 };
	uint64_t n = 0, wrong = 0;

	for (uint32_t k = 0; k < NUMBERS; k++) {
		n += has[k];
		wrong += had_has(&had, k) != has[k];
	}
	assert_int_equal(wrong, 0);
	assert_int_equal(had_count(&had), n);
	if (n)
		had_ranges(&had, &ranges);
	is_plain(&ranges, has, NUMBERS);
	ranges_release(&ranges);
}

/* What did not come lies in one hole with all that did not come beside it, or in a part of that, and the times hold between which it should have come. */
static void holes_are_told(void)
{
	for (uint32_t k = 0; k < NUMBERS; k++) {
		struct hole hole;
		bool right;

		if (has[k])
			continue;
		hole = had_hole(&had, k);
		right = hole.from <= k && k < hole.to;
		for (uint32_t i = k; right && i < hole.to && i < NUMBERS; i++)
			right = !has[i];
		if (k >= next)
			right = right && hole.until_ms == UINT32_MAX && hole.since_ms == (next ? had.last_ms : 0);
		else
			right = right && hole.until_ms >= behind_ms[k] && hole.since_ms <= behind_ms[k];
		assert_true(right);
		if (k >= next)
			break;
	}
}

static void end(void)
{
	is_same();
	holes_are_told();
	pool_free(pool);
}

static void in_order(void **state)
{
	(void)state;
	begin();
	end();
	begin();
	for (uint32_t k = 0; k < 1000; k++)
		take(k);
	assert_null(had.odd);
	assert_int_equal(pool_in_use(pool), 0);
	end();
}

static void from_the_middle_and_before(void **state)
{
	(void)state;
	begin();
	for (uint32_t k = 500; k < 600; k++)
		take(k);
	assert_null(had.odd);
	take(499);
	take(300);
	take(301);
	take(100);
	take(0);
	end();
}

static void backwards(void **state)
{
	(void)state;
	begin();
	for (uint32_t k = 5000; k > 0; k--)
		take(k - 1);
	assert_int_equal(had_count(&had), 5000);
	end();
}

/* A hole each time: pages of bits keep the memory to some bits a number. */
static void every_other(void **state)
{
	(void)state;
	begin();
	for (uint32_t k = 0; k < NUMBERS; k += 2)
		take(k);
	assert_true(pool_in_use(pool) < 16384);
	end();
	begin();
	for (uint32_t k = 0; k < NUMBERS; k += 2)
		take(k);
	for (uint32_t k = 1; k < NUMBERS; k += 2)
		take(k);
	assert_int_equal(had.odd->n_pages, 0);
	assert_int_equal(had.odd->n_holes, 0);
	end();
}

/* With loss, duplicates, reordering near and far, long gaps; from sparse to dense. */
static void anyhow(void **state)
{
	(void)state;
	for (uint64_t round = 1; round <= 24; round++) {
		uint32_t loss = 1 + (uint32_t)(round * 13 % 90), k = round % 3 ? 0 : below(9000);

		seed = round;
		begin();
		for (; k < NUMBERS; k++) {
			if (below(300) == 0)
				k += below(round % 4 ? 40 : 6000);
			if (k < NUMBERS && below(100) >= loss)
				take(k);
			if (k < NUMBERS && below(10) == 0)
				take(k - below(k < 20 ? k + 1 : 20));
			if (k < NUMBERS && below(50) == 0)
				take(below(k + 1));
			if (k < NUMBERS && below(2000) == 0)
				for (uint32_t far = below(k + 1), end_of_it = far + below(100); far < end_of_it && far <= k; far++)
					take(far);
		}
		end();
	}
}

/* What is cut off is given, what is left stays as it was. */
static void older_half(void **state)
{
	(void)state;
	for (uint64_t round = 1; round <= 20; round++) {
		struct ranges cut = { 0 };
		uint32_t line;

		seed = round;
		begin();
		for (uint32_t k = below(700); k < 3000 + round * 500; k += round % 5 ? 1 + below(round % 7 * 3 + 1) : 1 + below(2) * below(900))
			take(k);
		line = had_middle(&had);
		had_odd(pool, &had);
		assert_true(line > had.first && line < had.next && line % PAGE_NUMBERS == 0);
		had_cut(pool, &had, line, &cut);
		for (uint32_t k = 0, at = 0; k < line; k++) {
			while (at < cut.n && cut.at[at].to <= k)
				at++;
			if ((at < cut.n && cut.at[at].from <= k) != has[k])
				fail();
			has[k] = false;
		}
		assert_true(ranges_count(&cut) > 0 && cut.at[cut.n - 1].to <= line);
		ranges_release(&cut);
		is_same();
		for (uint32_t k = line; k < next + 100 && k < NUMBERS; k += 1 + below(4))
			take(k);
		end();
	}
}

static void the_last_number(void **state)
{
	struct ranges ranges = { 0 };
	struct had last = { 0 };

	(void)state;
	pool = pool_new();
	assert_int_equal(had_take(pool, &last, UINT32_MAX - 3, 1), HAD_NEXT);
	assert_int_equal(had_take(pool, &last, UINT32_MAX - 1, 2), HAD_NEXT);
	assert_int_equal(had_take(pool, &last, UINT32_MAX - 1, 2), HAD_BEFORE);
	assert_int_equal(had_take(pool, &last, 0, 2), HAD_BEHIND);
	assert_int_equal(had_count(&last), 3);
	had_ranges(&last, &ranges);
	assert_int_equal(ranges.n, 3);
	assert_int_equal(ranges.at[2].to, UINT32_MAX);
	ranges_release(&ranges);
	pool_free(pool);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sets_of_ranges),
		cmocka_unit_test(in_order),
		cmocka_unit_test(from_the_middle_and_before),
		cmocka_unit_test(backwards),
		cmocka_unit_test(every_other),
		cmocka_unit_test(anyhow),
		cmocka_unit_test(older_half),
		cmocka_unit_test(the_last_number),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

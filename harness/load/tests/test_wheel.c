/* The wheel against a list that is searched from end to end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "harness/load/wheel.h"

#define TICK_NS (UINT64_C(1) << WHEEL_TICK_SHIFT)
#define SECOND_NS UINT64_C(1000000000)

enum { N = 200 };

struct entry {
	struct wheel_timer timer;
	uint64_t due_ns;		/* as the list has it; 0: not set */
	uint64_t tick;			/* in which it is to fire: never the present one */
	uint64_t set;			/* its turn among those of one tick */
};

static struct loop loop;
static struct wheel wheel;
static struct entry entries[N];
static uint64_t n_set, n_fired, last_tick, last_set;
static int left;
static uint64_t random_state;
static char record[400];

static uint64_t random_below(uint64_t n)
{
	random_state = random_state * 6364136223846793005u + 1442695040888963407u;
	return (random_state >> 20) % n;
}

static uint64_t tick_of(uint64_t ns)
{
	return (ns + TICK_NS - 1) >> WHEEL_TICK_SHIFT;
}

static void set(struct entry *e, uint64_t due_ns)
{
	e->due_ns = due_ns;
	e->tick = (loop.now_ns >> WHEEL_TICK_SHIFT) + 1;
	e->tick = tick_of(due_ns) > e->tick ? tick_of(due_ns) : e->tick;
	e->set = ++n_set;
	wheel_set(&wheel, &e->timer, due_ns);
}

static void stop(struct entry *e)
{
	e->due_ns = 0;
	wheel_stop(&wheel, &e->timer);
}

/* Of all magnitudes, and now and then in the past. */
static uint64_t some_due(void)
{
	uint64_t apart = random_below(UINT64_C(1) << (10 + random_below(40)));

	return random_below(16) ? loop.now_ns + apart : loop.now_ns - random_below(loop.now_ns < apart ? loop.now_ns : apart + 1);
}

static size_t n_listed(void)
{
	size_t n = 0;

	for (int i = 0; i < N; i++)
		n += entries[i].due_ns != 0;
	return n;
}

static void fire_checked(struct wheel_timer *timer, void *context)
{
	struct entry *e = (struct entry *)timer;
	uint64_t tick = loop.now_ns >> WHEEL_TICK_SHIFT;

	assert_ptr_equal(context, &wheel);
	assert_true(e->due_ns != 0 && e->due_ns == timer->due_ns);
	assert_int_equal(tick, e->tick);
	assert_true(loop.now_ns >= e->due_ns);
	if (tick == last_tick)
		assert_true(e->set > last_set);
	for (int i = 0; i < N; i++)
		if (entries[i].due_ns && entries[i].tick < tick)
			fail_msg("%d, due in tick %ju, waits in tick %ju", i, (uintmax_t)entries[i].tick, (uintmax_t)tick);
	last_tick = tick;
	last_set = e->set;
	e->due_ns = 0;
	n_fired++;
	for (int k = 0; k < 3; k++) {		/* as it goes: others are set, stopped, set anew */
		struct entry *other = &entries[random_below(N)];

		if (left > 0 && random_below(3)) {
			left--;
			set(other, some_due());
		} else if (random_below(3) == 0)
			stop(other);
	}
}

static void as_the_list(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 20; seed++) {
		random_state = seed;
		left = 1500;
		n_fired = last_tick = last_set = 0;
		memset(entries, 0, sizeof(entries));
		assert_int_equal(loop_init(&loop, true), 0);
		loop.clock.simulated_ns = loop.now_ns = SECOND_NS + random_below(UINT64_C(1) << (30 + seed));
		wheel_init(&wheel, &loop, fire_checked, &wheel);
		for (int i = 0; i < N / 2; i++)
			set(&entries[i], some_due());
		assert_false(loop_run(&loop));		/* until nothing is left */
		assert_int_equal(n_listed(), 0);
		assert_int_equal(wheel.n, 0);
		assert_true(n_fired > 100);
		wheel_release(&wheel);
		loop_release(&loop);
	}
}

/* ---- by hand ---- */

static void fire_noted(struct wheel_timer *timer, void *context)
{
	size_t len = strlen(record);

	(void)context;
	snprintf(record + len, sizeof(record) - len, " %td@%ju", (struct entry *)timer - entries, (uintmax_t)(loop.now_ns - SECOND_NS));
}

static int set_up(void **state)
{
	(void)state;
	record[0] = '\0';
	memset(entries, 0, sizeof(entries));
	n_set = 0;
	loop_init(&loop, true);
	wheel_init(&wheel, &loop, fire_noted, NULL);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	wheel_release(&wheel);
	loop_release(&loop);
	return 0;
}

static void the_order_of_a_tick_is_that_of_setting(void **state)
{
	uint64_t far = SECOND_NS + UINT64_C(3600000000000);

	(void)state;
	for (int i = 0; i < 5; i++)
		set(&entries[i], far + 4 - (uint64_t)i);	/* all in one tick, dealt out through several levels */
	set(&entries[0], far);
	assert_false(loop_run(&loop));
	uint64_t at = (tick_of(far + 4) << WHEEL_TICK_SHIFT) - SECOND_NS;
	char expected[200];
	snprintf(expected, sizeof(expected), " 1@%ju 2@%ju 3@%ju 4@%ju 0@%ju", (uintmax_t)at, (uintmax_t)at, (uintmax_t)at, (uintmax_t)at, (uintmax_t)at);
	assert_string_equal(record, expected);
}

static void stopped_ones_do_not_fire(void **state)
{
	(void)state;
	for (int i = 0; i < 4; i++)
		set(&entries[i], SECOND_NS + (uint64_t)(i + 1) * TICK_NS * 1000);
	stop(&entries[0]);
	stop(&entries[2]);
	stop(&entries[2]);
	assert_int_equal(wheel.n, 2);
	assert_false(loop_run(&loop));
	assert_non_null(strstr(record, " 1@"));
	assert_non_null(strstr(record, " 3@"));
	assert_null(strstr(record, " 0@"));
	assert_null(strstr(record, " 2@"));
}

static void a_wheel_without_timers_leaves_the_clock_alone(void **state)
{
	(void)state;
	set(&entries[0], SECOND_NS + 90 * SECOND_NS);
	stop(&entries[0]);
	assert_false(loop_run(&loop));
	assert_int_equal(loop.now_ns, SECOND_NS);
}

static void never_is_far_away(void **state)
{
	(void)state;
	set(&entries[0], UINT64_MAX);
	set(&entries[1], SECOND_NS + (UINT64_C(1) << 60));	/* out of the wheel's reach */
	set(&entries[2], SECOND_NS + 5);
	stop(&entries[0]);
	assert_false(loop_run(&loop));
	assert_non_null(strstr(record, " 2@"));
	char expected[60];
	snprintf(expected, sizeof(expected), " 1@%ju", (uintmax_t)((tick_of(SECOND_NS + (UINT64_C(1) << 60)) << WHEEL_TICK_SHIFT) - SECOND_NS));
	assert_non_null(strstr(record, expected));
}

static void fire_again(struct wheel_timer *timer, void *context)
{
	struct entry *e = (struct entry *)timer;

	(void)context;
	if (++n_fired < 1000)
		set(e, loop.now_ns);
}

static void one_that_is_due_at_once_lets_others_in(void **state)
{
	(void)state;
	wheel.fire = fire_again;
	n_fired = 0;
	set(&entries[0], loop.now_ns);
	assert_false(loop_run(&loop));
	assert_int_equal(n_fired, 1000);
	assert_int_equal((loop.now_ns >> WHEEL_TICK_SHIFT) - (SECOND_NS >> WHEEL_TICK_SHIFT), 1000);	/* a tick each */
}

/* By hand on what is no simulated clock: nothing here waits. */
static void it_rests_when_it_has_fired(void **state)
{
	uint64_t now;

	(void)state;
	loop.clock.simulated = false;
	set(&entries[0], loop.now_ns + 5);
	now = wheel.timer.due_ns;
	assert_true(now - loop.now_ns <= TICK_NS);		/* at first it is as exact as it can be */
	loop.now_ns = now;
	loop_timer_stop(&loop, &wheel.timer);
	wheel.timer.fire(&wheel.timer, &loop);
	assert_non_null(strstr(record, " 0@"));
	set(&entries[1], now + 5 * WHEEL_REST_NS);
	assert_int_equal(wheel.timer.due_ns, (tick_of(now + 5 * WHEEL_REST_NS) << WHEEL_TICK_SHIFT));
	set(&entries[2], now + 10);
	set(&entries[3], now + WHEEL_REST_NS / 2);
	assert_int_equal(wheel.timer.due_ns, now + WHEEL_REST_NS);
	loop.now_ns = now + WHEEL_REST_NS;
	loop_timer_stop(&loop, &wheel.timer);
	wheel.timer.fire(&wheel.timer, &loop);
	assert_non_null(strstr(record, " 2@"));
	assert_non_null(strstr(record, " 3@"));
	assert_null(strstr(record, " 1@"));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(as_the_list),
		cmocka_unit_test_setup_teardown(it_rests_when_it_has_fired, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_order_of_a_tick_is_that_of_setting, set_up, tear_down),
		cmocka_unit_test_setup_teardown(stopped_ones_do_not_fire, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_wheel_without_timers_leaves_the_clock_alone, set_up, tear_down),
		cmocka_unit_test_setup_teardown(never_is_far_away, set_up, tear_down),
		cmocka_unit_test_setup_teardown(one_that_is_due_at_once_lets_others_in, set_up, tear_down),
	};

	return cmocka_run_group_tests_name("wheel", tests, NULL, NULL);
}

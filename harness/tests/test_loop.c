#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "harness/loop.h"

#define SECOND_NS UINT64_C(1000000000)

static struct loop loop;
static char record[200];

static int set_up_simulated(void **state)
{
	(void)state;
	record[0] = '\0';
	return loop_init(&loop, true);
}

static int set_up_real(void **state)
{
	(void)state;
	record[0] = '\0';
	return loop_init(&loop, false);
}

static int tear_down(void **state)
{
	(void)state;
	loop_release(&loop);
	return 0;
}

/* A task and a timer that write down a letter. */
struct noted {
	struct task task;
	struct timer timer;
	char letter;
	struct noted *posts, *arms;
	bool stops;
};

static void note(struct noted *n, struct loop *l)
{
	size_t len = strlen(record);

	record[len] = n->letter;
	record[len + 1] = '\0';
	if (n->posts)
		loop_post(l, &n->posts->task);
	if (n->arms)
		loop_timer(l, &n->arms->timer, l->now_ns);
	if (n->stops)
		loop_stop(l);
}

static void note_task(struct task *task, struct loop *l)
{
	note((struct noted *)((char *)task - offsetof(struct noted, task)), l);
}

static void note_timer(struct timer *timer, struct loop *l)
{
	note((struct noted *)((char *)timer - offsetof(struct noted, timer)), l);
}

#define NOTED(c) { .task.run = note_task, .timer.fire = note_timer, .letter = (c) }

/* ---- tasks ---- */

static void tasks_run_once_in_order(void **state)
{
	struct noted a = NOTED('a'), b = NOTED('b'), c = NOTED('c');

	(void)state;
	loop_post(&loop, &b.task);
	loop_post(&loop, &a.task);
	loop_post(&loop, &b.task);
	loop_post(&loop, &c.task);
	assert_false(loop_run(&loop));
	assert_string_equal(record, "bac");
	loop_post(&loop, &a.task);
	assert_false(loop_run(&loop));
	assert_string_equal(record, "baca");
}

static void what_a_batch_posts_is_the_next(void **state)
{
	struct noted a = NOTED('a'), b = NOTED('b'), t = NOTED('t'), stop = NOTED('!');

	(void)state;
	a.posts = &b;
	a.arms = &t;
	b.posts = &a;				/* for ever, but for the stop */
	stop.stops = true;
	loop_post(&loop, &a.task);
	loop_post(&loop, &stop.task);
	assert_true(loop_run(&loop));
	assert_string_equal(record, "a!");
	b.posts = NULL;
	assert_false(loop_run(&loop));
	assert_string_equal(record, "a!tb");	/* timers before tasks */
}

static void stop_before_the_run_counts(void **state)
{
	struct noted a = NOTED('a');

	(void)state;
	loop_post(&loop, &a.task);
	loop_stop(&loop);
	assert_true(loop_run(&loop));
	assert_string_equal(record, "");
	assert_false(loop_run(&loop));
	assert_string_equal(record, "a");
}

/* The reaper comes after every task posted before, even by a batch that came after the object's own end. */
static void reaper_comes_last(void **state)
{
	struct noted first = NOTED('1'), second = NOTED('2'), freed = NOTED('f');

	(void)state;
	first.posts = &second;
	loop_post(&loop, &first.task);
	loop_reap(&loop, &freed.task);
	loop_reap(&loop, &freed.task);
	assert_false(loop_run(&loop));
	assert_string_equal(record, "12f");
}

static void settle_runs_no_timers(void **state)
{
	struct noted a = NOTED('a'), b = NOTED('b'), f = NOTED('f'), t = NOTED('t');

	(void)state;
	a.posts = &b;
	loop_timer(&loop, &t.timer, loop.now_ns);
	loop_post(&loop, &a.task);
	loop_reap(&loop, &f.task);
	loop_settle(&loop);
	assert_string_equal(record, "abf");
	loop_timer_stop(&loop, &t.timer);
}

/* ---- timers ---- */

#define N_TIMERS 5000

static struct timer many[N_TIMERS];
static uint64_t last_due_ns, n_fired;

static void in_order(struct timer *timer, struct loop *l)
{
	assert_int_equal(timer->slot, 0);
	assert_true(timer->due_ns >= last_due_ns);
	assert_int_equal(l->now_ns, timer->due_ns);	/* simulated: neither early nor late */
	last_due_ns = timer->due_ns;
	n_fired++;
}

static uint64_t random_u64(void)
{
	static uint64_t x = 88172645463325252u;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return x;
}

/* Set, moved both ways and stopped at random; each fires at its last time, in order, or not at all. */
static void timers_fire_in_order(void **state)
{
	size_t n_set = 0;

	(void)state;
	last_due_ns = n_fired = 0;
	for (int i = 0; i < N_TIMERS; i++)
		many[i] = (struct timer){ .fire = in_order };
	for (int i = 0; i < 20 * N_TIMERS; i++) {
		struct timer *t = &many[random_u64() % N_TIMERS];

		if (random_u64() % 4 == 0)
			loop_timer_stop(&loop, t);
		else
			loop_timer(&loop, t, loop.now_ns + random_u64() % 10000 * SECOND_NS);
	}
	for (int i = 0; i < N_TIMERS; i++) {
		n_set += many[i].slot != 0;
		if (many[i].slot)
			assert_ptr_equal(loop.heap[many[i].slot], &many[i]);
	}
	assert_int_equal(loop.n_timers, n_set);
	assert_true(n_set > N_TIMERS / 2 && n_set < N_TIMERS);
	assert_false(loop_run(&loop));
	assert_int_equal(n_fired, n_set);
}

static void simulated_time_jumps(void **state)
{
	struct noted t = NOTED('t');
	uint64_t start_ns = loop.now_ns;

	(void)state;
	assert_true(start_ns > 0);
	loop_timer(&loop, &t.timer, start_ns + 90 * SECOND_NS);
	assert_false(loop_run(&loop));
	assert_string_equal(record, "t");
	assert_int_equal(loop.now_ns, start_ns + 90 * SECOND_NS);
}

static void simulated_time_waits_for_tasks(void **state)
{
	struct noted a = NOTED('a'), b = NOTED('b'), c = NOTED('c'), t = NOTED('t');

	(void)state;
	a.posts = &b;
	b.posts = &c;
	loop_timer(&loop, &t.timer, loop.now_ns + 1);
	loop_post(&loop, &a.task);
	assert_false(loop_run(&loop));
	assert_string_equal(record, "abct");
}

static void past_timer_fires_at_once(void **state)
{
	struct noted t = NOTED('t');

	(void)state;
	loop_timer(&loop, &t.timer, 1);
	assert_false(loop_run(&loop));
	assert_string_equal(record, "t");
}

static unsigned n_again;

static void arm_again(struct timer *timer, struct loop *l)
{
	if (++n_again < 1000)
		loop_timer(l, timer, l->now_ns);
}

/* A timer that is always due must not keep tasks from running. */
static void eager_timer_starves_nobody(void **state)
{
	struct timer eager = { .fire = arm_again };
	struct noted a = NOTED('a');

	(void)state;
	n_again = 0;
	a.stops = true;
	loop_timer(&loop, &eager, loop.now_ns);
	loop_post(&loop, &a.task);
	assert_true(loop_run(&loop));
	assert_true(n_again <= 2);
	loop_timer_stop(&loop, &eager);
	loop_timer_stop(&loop, &eager);		/* harmless */
}

static void real_time_is_never_early(void **state)
{
	struct noted t = NOTED('t');
	uint64_t due_ns = loop.now_ns + 3000000;

	(void)state;
	loop_timer(&loop, &t.timer, due_ns);
	assert_false(loop_run(&loop));
	assert_string_equal(record, "t");
	assert_true(loop.now_ns >= due_ns);
}

/* ---- descriptors ---- */

struct peer {
	struct watch watch;
	unsigned n_ready, events;
	struct watch *unwatches;
};

static void peer_ready(struct watch *watch, unsigned events, struct loop *l)
{
	struct peer *p = (struct peer *)((char *)watch - offsetof(struct peer, watch));

	p->n_ready++;
	p->events |= events;
	if (p->unwatches)
		loop_unwatch(l, p->unwatches);
	loop_stop(l);
}

static int pair[2];

static void make_pair(struct peer peers[2])
{
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
	for (int i = 0; i < 2; i++)
		peers[i] = (struct peer){ .watch = { .fd = pair[i], .ready = peer_ready } };
}

static void drop_pair(struct peer peers[2])
{
	for (int i = 0; i < 2; i++) {
		loop_unwatch(&loop, &peers[i].watch);
		close(pair[i]);
	}
}

static void watches_what_is_asked(void **state)
{
	struct peer peers[2];

	(void)state;
	make_pair(peers);
	assert_int_equal(loop_watch(&loop, &peers[0].watch, EPOLLIN), 0);
	assert_int_equal(write(pair[1], "x", 1), 1);
	assert_true(loop_run(&loop));
	assert_int_equal(peers[0].events, EPOLLIN);
	peers[0].events = 0;
	assert_int_equal(loop_watch(&loop, &peers[0].watch, EPOLLOUT), 0);
	assert_true(loop_run(&loop));
	assert_int_equal(peers[0].events, EPOLLOUT);
	drop_pair(peers);
	assert_int_equal(loop.n_watches, 0);
	assert_false(loop_run(&loop));
}

static void unwatched_in_the_same_batch(void **state)
{
	struct peer peers[2];

	(void)state;
	make_pair(peers);
	peers[0].unwatches = &peers[1].watch;
	peers[1].unwatches = &peers[0].watch;
	assert_int_equal(write(pair[0], "x", 1), 1);
	assert_int_equal(write(pair[1], "x", 1), 1);
	assert_int_equal(loop_watch(&loop, &peers[0].watch, EPOLLIN), 0);
	assert_int_equal(loop_watch(&loop, &peers[1].watch, EPOLLIN), 0);
	assert_true(loop_run(&loop));
	assert_int_equal(peers[0].n_ready + peers[1].n_ready, 1);
	drop_pair(peers);
}

/* The kernel reports a hang-up whether asked or not; a watch that asks for nothing must not turn the loop for it. */
static void asking_for_nothing_is_quiet(void **state)
{
	struct peer peers[2];
	struct noted t = NOTED('t');

	(void)state;
	make_pair(peers);
	assert_int_equal(loop_watch(&loop, &peers[0].watch, EPOLLIN), 0);
	assert_int_equal(loop_watch(&loop, &peers[0].watch, 0), 0);
	assert_int_equal(loop.n_watches, 0);
	shutdown(pair[1], SHUT_RDWR);
	close(pair[1]);
	loop_timer(&loop, &t.timer, loop.now_ns + 2000000);
	assert_int_equal(loop_watch(&loop, &peers[1].watch, 0), 0);
	assert_false(loop_run(&loop));
	assert_string_equal(record, "t");
	assert_int_equal(peers[0].n_ready, 0);
	assert_int_equal(loop_watch(&loop, &peers[0].watch, EPOLLIN), 0);	/* and it tells when asked again */
	assert_true(loop_run(&loop));
	assert_true(peers[0].events & EPOLLHUP);
	loop_unwatch(&loop, &peers[0].watch);
	close(pair[0]);
}

static void a_file_cannot_be_watched(void **state)
{
	FILE *f = tmpfile();
	struct peer peer = { .watch = { .fd = fileno(f), .ready = peer_ready } };

	(void)state;
	assert_int_equal(loop_watch(&loop, &peer.watch, EPOLLIN), -EPERM);
	assert_int_equal(loop.n_watches, 0);
	loop_unwatch(&loop, &peer.watch);
	fclose(f);
}

/* Descriptors come before time moves. */
static void simulated_time_waits_for_descriptors(void **state)
{
	struct peer peers[2];
	struct noted t = NOTED('t');

	(void)state;
	make_pair(peers);
	assert_int_equal(loop_watch(&loop, &peers[0].watch, EPOLLIN), 0);
	assert_int_equal(write(pair[1], "x", 1), 1);
	loop_timer(&loop, &t.timer, loop.now_ns + SECOND_NS);
	assert_true(loop_run(&loop));
	assert_int_equal(peers[0].n_ready, 1);
	assert_string_equal(record, "");
	drop_pair(peers);
	assert_false(loop_run(&loop));
	assert_string_equal(record, "t");
}

#define SIMULATED(f) cmocka_unit_test_setup_teardown(f, set_up_simulated, tear_down)
#define REAL(f) cmocka_unit_test_setup_teardown(f, set_up_real, tear_down)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		SIMULATED(tasks_run_once_in_order), REAL(tasks_run_once_in_order),
		SIMULATED(what_a_batch_posts_is_the_next), REAL(what_a_batch_posts_is_the_next),
		REAL(stop_before_the_run_counts), REAL(reaper_comes_last), REAL(settle_runs_no_timers),
		SIMULATED(timers_fire_in_order), SIMULATED(simulated_time_jumps), SIMULATED(simulated_time_waits_for_tasks),
		SIMULATED(past_timer_fires_at_once), REAL(past_timer_fires_at_once),
		SIMULATED(eager_timer_starves_nobody), REAL(eager_timer_starves_nobody), REAL(real_time_is_never_early),
		REAL(watches_what_is_asked), SIMULATED(watches_what_is_asked), REAL(unwatched_in_the_same_batch),
		REAL(asking_for_nothing_is_quiet), REAL(a_file_cannot_be_watched), SIMULATED(simulated_time_waits_for_descriptors),
	};

	return _cmocka_run_group_tests("loop", tests, sizeof(tests) / sizeof(tests[0]), NULL, NULL);
}

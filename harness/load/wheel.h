#ifndef LOAD_WHEEL_H
#define LOAD_WHEEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "harness/loop.h"

/*
 * Timers for very many clients: a hierarchical wheel, in which setting and stopping one costs the same however many
 * there are. A timer never fires before its time, and at most a tick (65.5 us) and the loop's own lateness after it;
 * the order among those of one tick is that in which they were set. Under a simulated clock the wheel moves the clock
 * to the tick's end, so runs are the same each time. One wheel a loop, which holds one timer of the loop.
 *
 * On real time a wheel that has fired rests for four ticks, so that in a dense schedule a timer may be that much
 * later: 10,000 wake-ups a second, each of which wakes whoever waits for the one message that is sent, cost a fifth
 * more for each message than 4,000.
 */
struct wheel_timer {			/* zeroed: not set */
	struct wheel_timer *next, **at;	/* at: what points to this one; NULL while not set */
	uint64_t due_ns;
};

#define WHEEL_TICK_SHIFT 16		/* a tick is 2^16 ns */
#define WHEEL_REST_NS (UINT64_C(4) << WHEEL_TICK_SHIFT)

enum { WHEEL_LEVELS = 7, WHEEL_SLOTS = 64 };	/* 2^(16 + 6 * 7) ns: nine years; what is due later comes round again */

struct wheel {
	struct loop *loop;
	struct timer timer;		/* of the loop */
	void (*fire)(struct wheel_timer *timer, void *context);	/* it is not set any more then, and may be set anew */
	void *context;
	uint64_t tick;			/* all before it have fired */
	uint64_t rests_until_ns;
	uint64_t used[WHEEL_LEVELS];	/* bit per slot that holds something */
	struct wheel_timer *slots[WHEEL_LEVELS][WHEEL_SLOTS];
	size_t n;			/* timers that are set */
	bool firing;
};

void wheel_init(struct wheel *wheel, struct loop *loop, void (*fire)(struct wheel_timer *timer, void *context), void *context);
void wheel_release(struct wheel *wheel);	/* its timers are their owners' */
void wheel_set(struct wheel *wheel, struct wheel_timer *timer, uint64_t due_ns);	/* anew, if it is set */
void wheel_stop(struct wheel *wheel, struct wheel_timer *timer);			/* harmless when not set */

#endif

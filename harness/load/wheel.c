#include "harness/load/wheel.h"

#include <assert.h>

/*
 * A timer lies in the lowest level whose slots tell its tick from the present one; when the present comes to a slot
 * of an upper level, what is in it is dealt out to the levels below. Lists are in reverse order of setting, and so
 * they stay when dealt out; they are turned round to be fired.
 */

enum { SLOT_BITS = 6, TOP = WHEEL_LEVELS - 1, TOP_SHIFT = SLOT_BITS * TOP };

#define NEVER UINT64_MAX

static void push(struct wheel_timer **at, struct wheel_timer *timer)
{
	timer->next = *at;
	timer->at = at;
	if (timer->next)
		timer->next->at = &timer->next;
	*at = timer;
}

static void unhook(struct wheel_timer *timer)
{
	*timer->at = timer->next;
	if (timer->next)
		timer->next->at = timer->at;
	timer->at = NULL;
}

/* Takes over a slot's list, the other way round. */
static void take(struct wheel *w, unsigned level, unsigned slot, struct wheel_timer **list)
{
	struct wheel_timer *next, *timer = w->slots[level][slot];

	w->slots[level][slot] = NULL;
	w->used[level] &= ~(UINT64_C(1) << slot);
	*list = NULL;
	for (; timer; timer = next) {
		next = timer->next;
		push(list, timer);
	}
}

static uint64_t tick_of(uint64_t due_ns)
{
	return (due_ns >> WHEEL_TICK_SHIFT) + !!(due_ns & ((UINT64_C(1) << WHEEL_TICK_SHIFT) - 1));
}

/* Returns the tick at which the present comes to its slot. */
static uint64_t insert(struct wheel *w, struct wheel_timer *timer)
{
	uint64_t tick = tick_of(timer->due_ns), apart;
	unsigned level, shift;

	if (tick < w->tick)
		tick = w->tick;
	if ((tick >> TOP_SHIFT) - (w->tick >> TOP_SHIFT) >= WHEEL_SLOTS)	/* out of reach: as far as it goes, and then anew */
		tick = ((w->tick >> TOP_SHIFT) + WHEEL_SLOTS - 1) << TOP_SHIFT;
	apart = tick ^ w->tick;
	level = apart ? (63 - (unsigned)__builtin_clzll(apart)) / SLOT_BITS : 0;
	if (level > TOP)
		level = TOP;
	shift = SLOT_BITS * level;

	unsigned slot = (unsigned)(tick >> shift) % WHEEL_SLOTS;
	push(&w->slots[level][slot], timer);
	w->used[level] |= UINT64_C(1) << slot;
	return tick >> shift << shift;
}

/* The tick of the next slot that holds something. */
static uint64_t next_tick(const struct wheel *w)
{
	for (unsigned level = 0, shift = 0; level < TOP; level++, shift += SLOT_BITS) {
		unsigned present = (unsigned)(w->tick >> shift) % WHEEL_SLOTS;
		uint64_t ahead = w->used[level] >> present;

		if (ahead)
			return ((w->tick >> shift) + (unsigned)__builtin_ctzll(ahead)) << shift;
	}
	if (!w->used[TOP])
		return NEVER;

	unsigned first = ((unsigned)(w->tick >> TOP_SHIFT) + 1) % WHEEL_SLOTS;	/* the uppermost is a circle */
	uint64_t ahead = w->used[TOP] >> first | (first ? w->used[TOP] << (WHEEL_SLOTS - first) : 0);
	return ((w->tick >> TOP_SHIFT) + 1 + (unsigned)__builtin_ctzll(ahead)) << TOP_SHIFT;
}

/* The present moves on; slots of upper levels that it enters by this are dealt out, from the top down. */
static void come_to(struct wheel *w, uint64_t tick)
{
	uint64_t passed = w->tick ^ tick;

	w->tick = tick;
	for (unsigned level = TOP; level > 0; level--) {
		unsigned slot = (unsigned)(tick >> (SLOT_BITS * level)) % WHEEL_SLOTS;
		struct wheel_timer *list;

		if (!(passed >> (SLOT_BITS * level)) || !(w->used[level] >> slot & 1))
			continue;
		take(w, level, slot, &list);
		while (list) {
			struct wheel_timer *timer = list;

			unhook(timer);
			insert(w, timer);
		}
	}
}

/* The loop's timer for that tick, or when the rest is over, if nothing is due before. */
static void arm(struct wheel *w, uint64_t tick)
{
	uint64_t due_ns = tick << WHEEL_TICK_SHIFT;

	if (due_ns < w->rests_until_ns)
		due_ns = w->rests_until_ns;
	if (!w->timer.slot || due_ns < w->timer.due_ns)
		loop_timer(w->loop, &w->timer, due_ns);
}

/* Of the present tick. */
static void fire_slot(struct wheel *w)
{
	struct wheel_timer *list;

	take(w, 0, (unsigned)w->tick % WHEEL_SLOTS, &list);
	come_to(w, w->tick + 1);		/* what is set from now on is due later */
	while (list) {
		struct wheel_timer *timer = list;

		unhook(timer);
		w->n--;
		w->fire(timer, w->context);
	}
}

static void on_timer(struct timer *timer, struct loop *loop)
{
	struct wheel *w = (struct wheel *)((char *)timer - offsetof(struct wheel, timer));
	uint64_t now = loop->now_ns >> WHEEL_TICK_SHIFT;

	w->firing = true;
	for (;;) {
		uint64_t tick = next_tick(w);

		if (tick > now)
			break;
		come_to(w, tick);
		if (w->used[0] >> tick % WHEEL_SLOTS & 1)
			fire_slot(w);
	}
	if (w->tick <= now)
		come_to(w, now + 1);
	w->firing = false;
	if (!loop->clock.simulated)
		w->rests_until_ns = loop->now_ns + WHEEL_REST_NS;
	if (w->n)
		arm(w, next_tick(w));
}

void wheel_init(struct wheel *wheel, struct loop *loop, void (*fire)(struct wheel_timer *timer, void *context), void *context)
{
	*wheel = (struct wheel){ .loop = loop, .fire = fire, .context = context, .timer.fire = on_timer };
	wheel->tick = (loop->now_ns >> WHEEL_TICK_SHIFT) + 1;
}

void wheel_release(struct wheel *wheel)
{
	if (wheel->loop)
		loop_timer_stop(wheel->loop, &wheel->timer);
}

void wheel_set(struct wheel *wheel, struct wheel_timer *timer, uint64_t due_ns)
{
	uint64_t now = (wheel->loop->now_ns >> WHEEL_TICK_SHIFT) + 1, tick;

	wheel_stop(wheel, timer);
	if (!wheel->n && wheel->tick < now && !wheel->firing)
		wheel->tick = now;		/* nothing was to be done meanwhile */
	timer->due_ns = due_ns;
	tick = insert(wheel, timer);
	wheel->n++;
	if (!wheel->firing)
		arm(wheel, tick);
}

void wheel_stop(struct wheel *wheel, struct wheel_timer *timer)
{
	struct wheel_timer **at = timer->at, **first = &wheel->slots[0][0];

	if (!at)
		return;
	assert(wheel->n > 0);
	unhook(timer);
	if (!*at && at >= first && at < first + WHEEL_LEVELS * WHEEL_SLOTS)
		wheel->used[(at - first) / WHEEL_SLOTS] &= ~(UINT64_C(1) << (at - first) % WHEEL_SLOTS);
	if (!--wheel->n && !wheel->firing)
		loop_timer_stop(wheel->loop, &wheel->timer);
}

#include <stdlib.h>

#include "pcap/tls_internal.h"

enum {
	HELD_MOST = 64 * 1024,		/* by one connection that waits for its secrets */
	FIRST_CREDIT = 64 * 1024,
};

/* What came behind a record whose secret is not there yet, in the order in which it came. */
struct waiting {
	struct waiting *next;
	enum { BYTES, HOLE, CLOSED } what;
	unsigned end;
	struct when when;
	uint64_t len;			/* HOLE */
	enum hole_why why;
	bool reset;			/* CLOSED */
	size_t from, n;			/* BYTES */
	uint8_t bytes[];
};

bool tls_is_client(const struct tls *t, unsigned end)
{
	return t->notes->client_hello && t->notes->client_end == end;
}

void tls_give_up(struct tls *t, const char *why, const struct when *when)
{
	if (t->gave_up)
		return;
	t->gave_up = true;
	t->blocked = t->sides[0].owed.owed = t->sides[1].owed.owed = false;
	if (t->notes->readable) {
		t->above->ops->hole(t->above, 0, 0, HOLE_ENCRYPTED, when);
		t->above->ops->hole(t->above, 1, 0, HOLE_ENCRYPTED, when);
	}
	if (!t->notes->why_not || t->notes->readable)
		t->notes->why_not = why;
}

/* ---- events as they come, or as they have waited ---- */

/* False: it waits, from the byte on that `done` says. */
static bool do_bytes(struct tls *t, unsigned end, struct span bytes, size_t *done, const struct when *when)
{
	*done = t->gave_up ? bytes.len : tls_records_read(t, end, bytes, when);
	return !t->blocked || t->gave_up;
}

static void do_hole(struct tls *t, unsigned end, uint64_t len, enum hole_why why, const struct when *when)
{
	if (!t->gave_up)
		tls_records_hole(t, end, len, why, when);
}

/* Nothing more comes of this end: what its last record still lacked was perhaps never sent. */
static void tell_the_last(struct tls *t, unsigned end)
{
	if (t->sides[end].passing)
		t->sides[end].owed.exact = false;
	tls_owed_tell(t, end);
}

static void do_closed(struct tls *t, unsigned end, bool reset, const struct when *when)
{
	tell_the_last(t, end);
	t->above->ops->closed(t->above, end, reset, when);
}

static void forget_first(struct tls *t)
{
	struct waiting *w = t->first;

	t->first = w->next;
	if (!t->first)
		t->last = &t->first;
	t->held -= sizeof(*w) + w->n;
	t->shared->room += sizeof(*w) + w->n;
	free(w);
}

/* Goes on where it stopped. False: the secret is still missing. */
static bool go_on(struct tls *t)
{
	struct when when = t->sides[t->blocked_end].kept_when;
	size_t done;

	if (!do_bytes(t, t->blocked_end, span_of(NULL, 0), &done, &when))
		return false;
	t->blocked = false;
	while (t->first) {
		struct waiting *w = t->first;

		if (w->what == BYTES) {
			bool all = do_bytes(t, w->end, span_of(w->bytes + w->from, w->n - w->from), &done, &w->when);

			w->from += done;
			if (!all)
				return false;
		} else if (w->what == HOLE) {
			do_hole(t, w->end, w->len, w->why, &w->when);
		} else {
			do_closed(t, w->end, w->reset, &w->when);
		}
		forget_first(t);
	}
	return true;
}

/* Whether nothing waits (any more). */
static bool is_free(struct tls *t)
{
	uint64_t taken = keylog_taken(t->shared->keylog);

	if (!t->blocked)
		return true;
	if (!t->impatient && taken == t->blocked_taken)
		return false;
	t->blocked_taken = taken;
	return go_on(t);
}

static void stop_waiting(struct tls *t)
{
	t->impatient = true;
	(void)is_free(t);		/* it is: whoever is impatient never waits */
}

/* False: there is no room, and nothing waits any more. */
static bool wait_with(struct tls *t, const struct waiting *event, struct span bytes)
{
	size_t cost = sizeof(*event) + bytes.len;
	struct waiting *w = cost <= HELD_MOST - t->held && cost <= t->shared->room ? malloc(cost) : NULL;

	if (!w) {
		stop_waiting(t);
		return false;
	}
	*w = *event;
	w->next = NULL;
	w->n = bytes.len;
	if (bytes.len)
		memcpy(w->bytes, bytes.at, bytes.len);
	*t->last = w;
	t->last = &w->next;
	t->held += cost;
	t->shared->room -= cost;
	return true;
}

/* ---- the stage ---- */

/* Behind whatever may have given up: nothing of it is on the stack. */
static void clear_up(struct tls *t)
{
	if (!t->gave_up)
		return;
	tls_records_release(t, 0);
	tls_records_release(t, 1);
}

static void take_bytes(struct stage *stage, unsigned end, struct span bytes, const struct when *when)
{
	struct tls *t = (struct tls *)stage;
	struct waiting event = { .what = BYTES, .end = end, .when = *when };

	if (t->gave_up)
		return;
	if (is_free(t)) {
		size_t done;

		if (!do_bytes(t, end, bytes, &done, when)) {
			t->blocked_taken = keylog_taken(t->shared->keylog);
			if (done < bytes.len && !wait_with(t, &event, span_of(bytes.at + done, bytes.len - done)))
				do_bytes(t, end, span_of(bytes.at + done, bytes.len - done), &done, when);
		}
	} else if (!wait_with(t, &event, bytes)) {
		size_t done;

		do_bytes(t, end, bytes, &done, when);
	}
	clear_up(t);
}

static void take_hole(struct stage *stage, unsigned end, uint64_t len, enum hole_why why, const struct when *when)
{
	struct tls *t = (struct tls *)stage;
	struct waiting event = { .what = HOLE, .end = end, .when = *when, .len = len, .why = why };

	if (t->gave_up)
		return;
	if (is_free(t) || !wait_with(t, &event, span_of(NULL, 0)))
		do_hole(t, end, len, why, when);
	clear_up(t);
}

static void take_closed(struct stage *stage, unsigned end, bool reset, const struct when *when)
{
	struct tls *t = (struct tls *)stage;
	struct waiting event = { .what = CLOSED, .end = end, .when = *when, .reset = reset };

	if (is_free(t) || !wait_with(t, &event, span_of(NULL, 0)))
		do_closed(t, end, reset, when);
	clear_up(t);
}

static void take_end(struct stage *stage, const struct when *when)
{
	struct tls *t = (struct tls *)stage;
	struct tls_notes *notes = t->notes;

	stop_waiting(t);
	for (unsigned end = 0; end < 2; end++) {
		tell_the_last(t, end);
		tls_records_release(t, end);
	}
	if (!notes->readable && !notes->why_not)
		notes->why_not = !notes->client_hello ? "its ClientHello was not captured" : !notes->server_hello ? "its ServerHello was not captured"
		                                                                           : "it carries no application data";
	t->above->ops->ended(t->above, when);
	OPENSSL_cleanse(t->sides, sizeof(t->sides));
	free(t);
}

static const struct stage_ops ops = { take_bytes, take_hole, take_closed, take_end };

struct stage *tls_stage_new(struct tls_shared *shared, struct stage *above, struct tls_notes *notes)
{
	struct tls *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	memset(notes, 0, sizeof(*notes));
	t->stage.ops = &ops;
	t->above = above;
	t->shared = shared;
	t->notes = notes;
	t->last = &t->first;
	t->sides[0].credit = t->sides[1].credit = FIRST_CREDIT;
	return &t->stage;
}

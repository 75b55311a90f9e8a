#include <stdlib.h>

#include "pcap/views.h"
#include "pcap/where.h"

/* Only packets that match reach the observer behind this one, and only conversations that have such packets. */

enum { MAX_HELD = 4 };		/* holes kept until something matches; further ones count with the last */

struct held {
	unsigned n;
	struct hole holes[MAX_HELD];
};

struct passage {			/* of one conversation */
	void *inner;			/* the inner observer's own, while it is not being called */
	struct when opened;
	bool open;			/* inner knows of it */
	struct held *held;
};

struct filter {
	struct observer observer;
	const struct where *where;
	struct observer *inner;
	uint64_t base_ns, matched;
	bool begun;
};

/* Inner finds its own at its place in the conversation, as always. */
#define TELL(filter, c, passage, event, ...) do { \
	struct observer *o_ = (filter)->inner; \
	if (o_->ops->event) { \
		(c)->of[(filter)->observer.slot] = (passage)->inner; \
		o_->ops->event(o_, __VA_ARGS__); \
		(passage)->inner = (c)->of[(filter)->observer.slot]; \
		(c)->of[(filter)->observer.slot] = (passage); \
	} \
} while (0)

static struct passage *passage_of(struct filter *f, struct conversation *c)
{
	return c->of[f->observer.slot];
}

static void note_time(struct filter *f, const struct when *when)
{
	if (!f->begun)
		f->base_ns = when->time_ns;
	f->begun = true;
	f->inner->slot = f->observer.slot;
}

static void started(struct observer *o, const struct when *when)
{
	struct filter *f = (struct filter *)o;

	note_time(f, when);
	if (f->inner->ops->started)
		f->inner->ops->started(f->inner, when);
}

static void opened(struct observer *o, struct conversation *c, const struct when *when)
{
	struct filter *f = (struct filter *)o;
	struct passage *passage = calloc(1, sizeof(*passage));

	note_time(f, when);
	c->of[f->observer.slot] = passage;
	if (passage)
		passage->opened = *when;
}

static void let_through(struct filter *f, struct conversation *c, struct passage *passage)
{
	passage->open = true;
	TELL(f, c, passage, opened, c, &passage->opened);
	for (unsigned i = 0; passage->held && i < passage->held->n; i++)
		TELL(f, c, passage, hole, c, &passage->held->holes[i]);
	free(passage->held);
	passage->held = NULL;
}

static void packet(struct observer *o, const struct seen_packet *packet)
{
	struct filter *f = (struct filter *)o;
	struct conversation *c = packet->conversation;
	struct passage *passage = passage_of(f, c);

	if (!passage || !where_matches(f->where, packet, f->base_ns))
		return;
	f->matched++;
	if (!passage->open)
		let_through(f, c, passage);
	TELL(f, c, passage, packet, packet);
}

static void hold(struct passage *passage, const struct hole *hole)
{
	struct held *held = passage->held;

	if (!held)
		held = passage->held = calloc(1, sizeof(*held));
	if (!held)
		return;
	if (held->n < MAX_HELD) {
		held->holes[held->n++] = *hole;
		return;
	}
	struct hole *last = &held->holes[MAX_HELD - 1];
	last->bytes = last->bytes && hole->bytes ? last->bytes + hole->bytes : 0;
	last->skipped += hole->skipped;
}

static void hole(struct observer *o, struct conversation *c, const struct hole *hole)
{
	struct filter *f = (struct filter *)o;
	struct passage *passage = passage_of(f, c);

	if (passage && passage->open)
		TELL(f, c, passage, hole, c, hole);
	else if (passage)
		hold(passage, hole);
}

static void closed(struct observer *o, struct conversation *c, enum sender from, bool reset, const struct when *when)
{
	struct filter *f = (struct filter *)o;
	struct passage *passage = passage_of(f, c);

	if (passage && passage->open)
		TELL(f, c, passage, closed, c, from, reset, when);
}

static void ended(struct observer *o, struct conversation *c, enum conversation_end how, const struct when *when)
{
	struct filter *f = (struct filter *)o;
	struct passage *passage = passage_of(f, c);

	if (!passage)
		return;
	if (passage->open)
		TELL(f, c, passage, ended, c, how, when);
	free(passage->held);
	free(passage);
	c->of[f->observer.slot] = NULL;
}

static void flush(struct observer *o)
{
	struct filter *f = (struct filter *)o;

	if (f->inner->ops->flush)
		f->inner->ops->flush(f->inner);
}

static void finish(struct observer *o, const struct when *when)
{
	struct filter *f = (struct filter *)o;

	if (f->inner->ops->finish)
		f->inner->ops->finish(f->inner, when);
}

static void filter_free(struct observer *o)
{
	view_free(((struct filter *)o)->inner);
	free(o);
}

uint64_t where_observer_matched(const struct observer *observer)
{
	return ((const struct filter *)observer)->matched;
}

struct observer *where_observer_new(const struct where *where, struct observer *inner)
{
	static const struct observer_ops ops = { started, opened, packet, hole, closed, ended, flush, finish, filter_free };
	struct filter *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	f->observer.ops = &ops;
	f->where = where;
	f->inner = inner;
	return &f->observer;
}

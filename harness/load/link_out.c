#include "harness/load/link_internal.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

enum { FIRST_CAP = 512, GROWTH = 8, USUAL_CAP = 64 * 1024 };	/* so that a batch is copied once at most, more or less */

void link_drop_unsent(struct link *link)
{
	pool_give(link->hub->pool, link->out, link->out_cap);
	link->out = NULL;
	link->out_len = link->out_cap = link->out_done = 0;
}

static void make_room(struct link *link, size_t len)
{
	struct pool *pool = link->hub->pool;
	size_t unsent = link_unsent(link), need = unsent + len, cap = FIRST_CAP;

	assert(need <= UINT32_MAX);
	if (need > link->out_cap) {
		while (cap < need)
			cap *= GROWTH;
		if (cap > USUAL_CAP)
			cap = need <= USUAL_CAP ? USUAL_CAP : link->out_cap < USUAL_CAP ? need : 2 * need;
		uint8_t *out = pool_take(pool, cap);
		if (unsent)
			memcpy(out, link->out + link->out_done, unsent);
		pool_give(pool, link->out, link->out_cap);
		link->out = out;
		link->out_cap = (uint32_t)cap;
	} else
		memmove(link->out, link->out + link->out_done, unsent);
	link->out_len = (uint32_t)unsent;
	link->out_done = 0;
}

uint8_t *link_room(struct link *link, size_t len)
{
	size_t unsent = link_unsent(link);

	if (!link->hub || link->end || link->finishing || link->broken)
		return NULL;
	if (unsent && unsent + len > link->hub->max_unsent) {
		link->wants_room = true;
		return NULL;
	}
	if (link->out_cap - link->out_len < len)
		make_room(link, len);
	return link->out + link->out_len;
}

void link_commit(struct link *link, size_t len)
{
	assert(len <= link->out_cap - link->out_len);
	link->out_len += (uint32_t)len;
	if (link->open)
		link_touch(link);
}

void link_put(struct link *link)
{
	struct link_counts *counts = &link->hub->counts;
	struct transport *t = link->transport;

	while (link->out_done < link->out_len) {
		ssize_t n = t->ops->send(t, link->out + link->out_done, link_unsent(link));

		counts->sends++;
		if (n < 0) {
			link->blocked = true;		/* when it is broken, for good */
			if (n == -EAGAIN)
				return;
			/* What the broker said before it ended is still to be read: reading ends the link. */
			link->broken = true;
			link->error = (int)-n;
			break;
		}
		link->out_done += (uint32_t)n;
		counts->bytes_sent += (uint64_t)n;
	}
	link_drop_unsent(link);
	if (link->broken)
		return;
	link->blocked = false;
	if (link->finishing && !link->finished) {
		link->finished = true;
		t->ops->finish(t);
	}
}

void link_tell_room(struct link *link)
{
	if (!link->wants_room || link->end || link->broken || link->finishing || link_unsent(link) > link->hub->max_unsent / 2)
		return;
	link->wants_room = false;
	link->hub->events->room(link);
}

void link_flush(struct link *link)
{
	if (!link->open || link->blocked)
		return;
	link_put(link);
	if (link->wants_room || link->broken)
		link_touch(link);
}

void link_finish(struct link *link)
{
	if (!link->hub || link->end || link->finishing)
		return;
	link->finishing = true;
	if (link->open)
		link_touch(link);
}

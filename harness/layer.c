#include "harness/layer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void layer_task(struct task *task, struct loop *loop)
{
	struct layer *l = (struct layer *)((char *)task - offsetof(struct layer, task));

	(void)loop;
	if (l->t.state & LAYER_CLOSED) {
		free(l);
		return;
	}
	if ((l->t.state & (LAYER_FAILED | LAYER_OPEN | LAYER_TOLD_END)) == LAYER_FAILED) {
		l->t.state |= LAYER_TOLD_END;
		l->t.event(&l->t, TRANSPORT_FAILED);
		return;
	}
	if (!(l->t.state & (LAYER_PAUSED | LAYER_TOLD_END)) && (l->t.state & LAYER_ENDED || l->waits(l))) {
		l->t.event(&l->t, TRANSPORT_READABLE);
		if (!(l->t.state & LAYER_CLOSED))
			layer_look(l);
	}
}

void layer_init(struct layer *l, struct transport *below, const struct transport_ops *ops, void (*event)(struct transport *below, unsigned events))
{
	l->t.ops = ops;
	l->t.loop = below->loop;
	l->below = below;
	l->task.run = layer_task;
	below->event = event;
	below->owner = l;
}

int layer_flush(struct layer *l)
{
	while (l->out) {
		ssize_t n = l->below->ops->send(l->below, l->out + l->out_at, l->out_len - l->out_at);

		if (n < 0)
			return (int)n;
		l->out_at += (size_t)n;
		if (l->out_at == l->out_len) {
			free(l->out);
			l->out = NULL;
			l->out_at = l->out_len = 0;
		}
	}
	if ((l->t.state & (LAYER_OPEN | LAYER_FINISH | LAYER_FINISHED)) == (LAYER_OPEN | LAYER_FINISH)) {
		l->t.state |= LAYER_FINISHED;
		l->below->ops->finish(l->below);
	}
	return 0;
}

int layer_put(struct layer *l, const uint8_t *bytes, size_t len)
{
	if (!l->out) {
		ssize_t n = len ? l->below->ops->send(l->below, bytes, len) : 0;

		if (n < 0 && n != -EAGAIN)
			return (int)n;
		if (n == (ssize_t)len)
			return 0;
		bytes += n > 0 ? n : 0;
		len -= n > 0 ? (size_t)n : 0;
	}
	uint8_t *more = realloc(l->out, l->out_len + len);
	if (!more)
		return -ENOMEM;
	memcpy(more + l->out_len, bytes, len);
	l->out = more;
	l->out_len += len;
	return 0;
}

void layer_opened(struct layer *l)
{
	unsigned room = l->t.state & LAYER_WANTS_ROOM ? TRANSPORT_WRITABLE : 0;

	l->t.state = (l->t.state | LAYER_OPEN) & ~(unsigned)LAYER_WANTS_ROOM;
	if (l->t.state & LAYER_PAUSED)
		l->below->ops->pause(l->below, true);
	l->t.event(&l->t, TRANSPORT_OPEN | room);
	if ((l->t.state & (LAYER_FINISH | LAYER_FINISHED | LAYER_CLOSED)) == LAYER_FINISH)
		l->t.ops->finish(&l->t);
	layer_look(l);
}

void layer_look(struct layer *l)
{
	if (l->t.state & (LAYER_PAUSED | LAYER_TOLD_END | LAYER_CLOSED))
		return;
	if (l->t.state & LAYER_ENDED || l->waits(l))
		loop_post(l->t.loop, &l->task);
}

/* What a client still had to say would turn our close into a reset, and that would destroy the refusal on its way. */
static void drain(struct transport *below)
{
	uint8_t bytes[4096];

	for (int i = 0; i < 16 && below->ops->recv(below, bytes, sizeof(bytes)) > 0; i++)
		;
}

void layer_ended(struct layer *l, int error)
{
	if (l->t.state & LAYER_ENDED)
		return;
	if (error && l->accepted)
		drain(l->below);
	l->t.state |= LAYER_ENDED;
	l->t.error = error;
	l->below->ops->pause(l->below, true);		/* what may still come there concerns nobody */
}

ssize_t layer_end(struct layer *l, int error)
{
	layer_ended(l, error);
	l->t.state |= LAYER_TOLD_END;
	return -l->t.error;
}

void layer_fail(struct layer *l, int error)
{
	if (l->t.state & LAYER_ENDED)
		return;
	layer_ended(l, error);
	if (!(l->t.state & LAYER_OPEN) && !l->accepted)
		l->t.state |= LAYER_FAILED;
	loop_post(l->t.loop, &l->task);
}

void layer_failed_below(struct layer *l)
{
	l->t.state |= LAYER_FAILED | LAYER_ENDED | LAYER_TOLD_END;
	l->t.error = l->below->error;
	l->t.event(&l->t, TRANSPORT_FAILED);
}

void layer_pause(struct transport *t, bool pause)
{
	struct layer *l = (struct layer *)t;

	if (pause)
		t->state |= LAYER_PAUSED;
	else
		t->state &= ~(unsigned)LAYER_PAUSED;
	if ((t->state & (LAYER_OPEN | LAYER_ENDED)) == LAYER_OPEN)		/* a handshake goes on reading */
		l->below->ops->pause(l->below, pause);
	layer_look(l);
}

void layer_close(struct layer *l, bool reset)
{
	if (l->t.state & LAYER_CLOSED)
		return;
	l->t.state |= LAYER_CLOSED;
	l->below->ops->close(l->below, reset);
	l->release(l);
	free(l->out);
	loop_post(l->t.loop, &l->task);
}

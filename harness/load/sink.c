#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/load/sink_internal.h"

enum { FLOOD_BATCH = 64 * 1024 };

static void *must(void *p)
{
	if (!p) {
		fputs("mqassay: out of memory\n", stderr);
		exit(3);
	}
	return p;
}

/* ---- connections ---- */

static void conn_task(struct task *task, struct loop *loop)
{
	(void)loop;
	free((char *)task - offsetof(struct sink_conn, task));
}

static void end(struct sink_conn *c, bool reset)
{
	if (c->ended)
		return;
	c->ended = true;
	c->sink->counts.closed++;
	*c->at = c->next;
	if (c->next)
		c->next->at = c->at;
	c->transport->ops->close(c->transport, reset);
	free(c->kept);
	free(c->out);
	free(c->message);
	c->kept = c->out = c->message = NULL;
	if (!c->in_flood_list)			/* else whoever takes it from there frees it */
		loop_post(c->sink->loop, &c->task);
}

/* What is in sink->out, or the rest of it later; nothing more is read until then. False: the connection has ended. */
static bool put(struct sink_conn *c)
{
	struct sink *sink = c->sink;
	const struct transport_ops *ops = c->transport->ops;
	size_t done = 0, len = sink->out_len;

	assert(!c->out);
	sink->out_len = 0;
	while (done < len) {
		ssize_t n = ops->send(c->transport, sink->out + done, len - done);

		if (n == -EAGAIN)
			break;
		if (n < 0) {
			end(c, true);
			return false;
		}
		done += (size_t)n;
	}
	if (done == len)
		return true;
	c->out = must(malloc(len - done));
	memcpy(c->out, sink->out + done, len - done);
	c->out_len = (uint32_t)(len - done);
	c->out_done = 0;
	ops->pause(c->transport, true);
	return true;
}

static void put_rest(struct sink_conn *c)
{
	const struct transport_ops *ops = c->transport->ops;

	while (c->out) {
		ssize_t n = ops->send(c->transport, c->out + c->out_done, c->out_len - c->out_done);

		if (n == -EAGAIN)
			return;
		if (n < 0) {
			end(c, true);
			return;
		}
		c->out_done += (uint32_t)n;
		if (c->out_done == c->out_len) {
			free(c->out);
			c->out = NULL;
		}
	}
	ops->pause(c->transport, false);
	sink_wants_flood(c);
}

static void read_in(struct sink_conn *c)
{
	struct sink *sink = c->sink;
	uint8_t *at = sink->in + SINK_WHOLE;
	ssize_t n = c->transport->ops->recv(c->transport, at, SINK_READ), used;
	size_t len;

	if (n == -EAGAIN)
		return;
	if (n <= 0) {
		end(c, false);
		return;
	}
	len = (size_t)n;
	if (c->kept) {
		at -= c->kept_len;
		len += c->kept_len;
		memcpy(at, c->kept, c->kept_len);
		free(c->kept);
		c->kept = NULL;
	}
	used = sink_parse(c, at, len);
	if (!put(c))
		return;
	if (used < 0) {
		end(c, false);
		return;
	}
	c->kept_len = (uint32_t)(len - (size_t)used);
	if (c->kept_len) {
		c->kept = must(malloc(c->kept_len));
		memcpy(c->kept, at + used, c->kept_len);
	}
}

static void on_event(struct transport *t, unsigned events)
{
	struct sink_conn *c = t->owner;

	if (events & TRANSPORT_WRITABLE && c->out)
		put_rest(c);
	if (events & TRANSPORT_READABLE && !c->ended && !c->out)
		read_in(c);
}

void sink_take(struct sink *sink, struct transport *accepted)
{
	struct sink_conn *c = must(calloc(1, sizeof(*c)));

	c->sink = sink;
	c->transport = accepted;
	c->task.run = conn_task;
	c->next = sink->conns;
	c->at = &sink->conns;
	if (c->next)
		c->next->at = &c->next;
	sink->conns = c;
	accepted->event = on_event;
	accepted->owner = c;
}

static void on_accepted(void *context, struct transport *t)
{
	sink_take(context, t);
}

/* ---- floods ---- */

/* A topic that the filter matches: its wildcards each a level named "x"; of a shared one, without its group. */
static size_t topic_for(struct span filter, uint8_t *at)
{
	size_t n = 0;

	if (filter.len > 7 && !memcmp(filter.at, "$share/", 7)) {
		const uint8_t *slash = memchr(filter.at + 7, '/', filter.len - 7);
		size_t cut = slash ? (size_t)(slash + 1 - filter.at) : 0;

		filter = span_of(filter.at + cut, filter.len - cut);
	}
	for (; n < filter.len; n++)
		at[n] = filter.at[n] == '+' || filter.at[n] == '#' ? 'x' : filter.at[n];
	if (!n)
		at[n++] = 'x';
	return n;
}

void sink_start_flood(struct sink_conn *c, struct span filter, unsigned granted)
{
	const struct sink_options *o = &c->sink->options;
	unsigned qos = granted < o->flood_qos ? granted : o->flood_qos;
	uint8_t *at;
	size_t body, topic;

	if (!o->flood || c->message)
		return;
	c->message = at = must(malloc(5 + 2 + filter.len + 1 + 2 + 1 + o->flood));
	topic = topic_for(filter, at + 7);
	body = 2 + topic + (qos ? 2 : 0) + (c->version == MQTT_5) + o->flood;
	*at++ = (uint8_t)(0x30 | qos << 1);
	for (size_t n = body; ; n >>= 7) {
		*at++ = (uint8_t)((n & 127) | (n > 127 ? 128 : 0));
		if (n <= 127)
			break;
	}
	memmove(at + 2, c->message + 7, topic);
	at[0] = (uint8_t)(topic >> 8);
	at[1] = (uint8_t)topic;
	at += 2 + topic;
	c->id_at = (uint32_t)(at - c->message);
	if (qos)
		at += 2;
	if (c->version == MQTT_5)
		*at++ = 0;
	memset(at, 'x', o->flood);
	c->message_len = (uint32_t)(at + o->flood - c->message);
	c->flood_qos = (uint8_t)qos;
	sink_wants_flood(c);
}

void sink_wants_flood(struct sink_conn *c)
{
	struct sink *sink = c->sink;

	if (c->in_flood_list || c->ended || !c->message || (sink->options.flood_each && c->flooded == sink->options.flood_each))
		return;
	c->in_flood_list = true;
	c->next_flood = NULL;
	*sink->last_flooding = c;
	sink->last_flooding = &c->next_flood;
	loop_post(sink->loop, &sink->flood);
}

static void flood_one(struct sink_conn *c)
{
	struct sink *sink = c->sink;
	size_t n = FLOOD_BATCH / c->message_len + 1;
	uint64_t each = sink->options.flood_each;
	uint8_t *at = sink->out;

	if (c->flood_qos && n > c->window - c->in_flight)
		n = c->window > c->in_flight ? c->window - c->in_flight : 0;
	if (each && n > each - c->flooded)
		n = (size_t)(each - c->flooded);
	if (!n)
		return;
	for (size_t i = 0; i < n; i++, at += c->message_len) {
		memcpy(at, c->message, c->message_len);
		if (!c->flood_qos)
			continue;
		if (++c->last_id == 0)
			c->last_id = 1;
		at[c->id_at] = (uint8_t)(c->last_id >> 8);
		at[c->id_at + 1] = (uint8_t)c->last_id;
	}
	if (c->flood_qos)
		c->in_flight += (uint32_t)n;
	c->flooded += n;
	sink->counts.sent += n;
	sink->out_len = (size_t)(at - sink->out);
	if (put(c) && !c->out)
		sink_wants_flood(c);
}

static void flood(struct task *task, struct loop *loop)
{
	struct sink *sink = (struct sink *)((char *)task - offsetof(struct sink, flood));
	struct sink_conn *list = sink->flooding;

	sink->flooding = NULL;
	sink->last_flooding = &sink->flooding;
	while (list) {
		struct sink_conn *c = list;

		list = c->next_flood;
		c->in_flood_list = false;
		if (c->ended)
			loop_post(loop, &c->task);
		else if (!c->out)
			flood_one(c);		/* else put_rest() goes on with it */
	}
}

/* ---- the sink ---- */

struct sink *sink_new(struct loop *loop, const struct sink_options *options, struct fault *fault)
{
	struct sink *sink;

	*fault = (struct fault){ 0 };
	if (options->flood > SINK_IN) {
		snprintf(fault->text, sizeof(fault->text), "a flood of more than %d bytes a message is more than the sink can make", SINK_IN);
		return NULL;
	}
	sink = must(calloc(1, sizeof(*sink)));
	sink->loop = loop;
	sink->options = *options;
	sink->last_flooding = &sink->flooding;
	sink->flood.run = flood;
	sink->in = must(malloc(SINK_IN));
	sink->out = must(malloc(SINK_OUT));
	if (options->listen.kind == ADDRESS_MEMORY)
		return sink;
	sink->listener = transport_listen(loop, &options->listen, on_accepted, sink);
	if (!sink->listener) {
		snprintf(fault->text, sizeof(fault->text), "the null sink cannot listen on port %u: %s", options->listen.port, strerror(errno));
		sink_free(sink);
		return NULL;
	}
	return sink;
}

unsigned sink_port(const struct sink *sink)
{
	return sink->listener ? listener_port(sink->listener) : 0;
}

const struct sink_counts *sink_counts(const struct sink *sink)
{
	return &sink->counts;
}

static void sink_task(struct task *task, struct loop *loop)
{
	struct sink *sink = (struct sink *)((char *)task - offsetof(struct sink, task));

	(void)loop;
	free(sink->in);
	free(sink->out);
	free(sink);
}

void sink_free(struct sink *sink)
{
	if (!sink)
		return;
	listener_free(sink->listener);
	while (sink->conns)
		end(sink->conns, false);
	sink->task.run = sink_task;
	loop_post(sink->loop, &sink->task);		/* behind flood, if that is posted: it frees who is in its list */
}

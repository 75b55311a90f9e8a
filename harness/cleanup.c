#include "harness/cleanup.h"

#include <stdio.h>
#include <stdlib.h>

#include "harness/hello.h"

enum { PATIENCE_NS = 2000000000, MAX_AT_ONCE = 64 };

struct cleaning {		/* one connection that clears up and goes */
	struct cleaning *next;
	struct cleaner *cleaner;
	const struct stage *stage;
	struct conn conn;
	struct timer timer;
	struct task reaper;
	struct monitor_log log;
	uint8_t version;
	uint8_t *bytes;
	size_t len, cap;
	bool over;
};

static void ignore(void *owner, struct monitor *monitor, const struct violation *violation)
{
	(void)owner, (void)monitor, (void)violation;
}

static void reap(struct task *task, struct loop *loop)
{
	struct cleaning *k = (struct cleaning *)((char *)task - offsetof(struct cleaning, reaper));

	(void)loop;
	free(k->bytes);
	free(k);
}

static void next_begins(struct cleaner *cleaner);

static void over(struct cleaning *k)
{
	struct cleaner *cleaner = k->cleaner;

	if (k->over)
		return;
	k->over = true;
	for (struct cleaning **at = &cleaner->first; *at; at = &(*at)->next)
		if (*at == k) {
			*at = k->next;
			break;
		}
	loop_timer_stop(k->stage->loop, &k->timer);
	conn_close(&k->conn, false);
	k->reaper.run = reap;
	loop_reap(k->stage->loop, &k->reaper);
	cleaner->n_begun--;
	next_begins(cleaner);
	if (!cleaner->first)
		cleaner->idle(cleaner->context);
}

static void on_opened(struct conn *c) { (void)c; }
static void on_sent(struct conn *c) { (void)c; }

static void on_packet(struct conn *c, const uint8_t *bytes, size_t len, const struct packet *packet)
{
	static const uint8_t goodbye[] = { DISCONNECT << 4, 0 };

	(void)bytes, (void)len;
	/* The last thing asked is a ping: its answer says that all before it is done. */
	if (packet && packet->type == PINGRESP) {
		conn_send(c, span_of(goodbye, sizeof(goodbye)), 0, 0);
		conn_finish(c);
	}
}

static void on_ended(struct conn *c, enum conn_end how)
{
	(void)how;
	over((struct cleaning *)((char *)c - offsetof(struct cleaning, conn)));
}

static void on_timer(struct timer *timer, struct loop *loop)
{
	(void)loop;
	over((struct cleaning *)((char *)timer - offsetof(struct cleaning, timer)));
}

static const struct conn_events events = { on_opened, on_packet, on_ended, on_sent };

/* Room for n more bytes at k->bytes + k->len. */
static struct writer room_for(struct cleaning *k, size_t n)
{
	if (k->len + n > k->cap) {
		k->cap = (k->len + n) * 2;
		k->bytes = realloc(k->bytes, k->cap);
		if (!k->bytes)
			abort();
	}
	return writer_to(k->bytes + k->len, k->cap - k->len);
}

static void append(struct cleaning *k, const struct packet *p)
{
	struct writer w = writer_to(NULL, 0);

	if (encode(p, NULL, &w) != CODEC_OK)
		return;
	w = room_for(k, w.len);
	encode(p, NULL, &w);
	k->len += w.len;
}

static struct cleaning *begin(struct cleaner *cleaner, const struct stage *stage, struct span client_id, enum version version)
{
	struct cleaning *k = calloc(1, sizeof(*k));
	struct packet packet;

	if (!k)
		abort();
	k->cleaner = cleaner;
	k->stage = stage;
	k->version = (uint8_t)version;
	k->timer.fire = on_timer;
	k->log.violated = ignore;
	struct writer w = room_for(k, client_id.len + stage->user_name.len + stage->password.len + 64);
	hello(version, client_id, stage->user_name, stage->password, &packet, &w);
	k->len += w.len;
	return k;
}

static void begin_cleaning(struct cleaning *k)
{
	k->next = k->cleaner->first;
	k->cleaner->first = k;
	k->cleaner->n_begun++;
	loop_timer(k->stage->loop, &k->timer, k->stage->loop->now_ns + PATIENCE_NS);
	if (conn_open(&k->conn, k->stage->loop, k->stage->address, &events, &k->stage->limits, k->stage->world, &k->log)) {
		over(k);
		return;
	}
	conn_tap(&k->conn, k->stage->tap, "clearing up after a test");
	monitor_misbehaved(&k->conn.monitor);	/* nobody judges what comes here */
	conn_send(&k->conn, span_of(k->bytes, k->len), 0, 0);
}

static void next_begins(struct cleaner *cleaner)
{
	if (cleaner->beginning)		/* one that could not even begin is over at once */
		return;
	cleaner->beginning = true;
	while (cleaner->waiting && cleaner->n_begun < MAX_AT_ONCE) {
		struct cleaning *k = cleaner->waiting;

		cleaner->waiting = k->next;
		if (!cleaner->waiting)
			cleaner->last_waiting = &cleaner->waiting;
		begin_cleaning(k);
	}
	cleaner->beginning = false;
}

static void go(struct cleaning *k)
{
	struct packet ping = { .version = k->version, .type = PINGREQ };

	append(k, &ping);
	if (k->cleaner->n_begun < MAX_AT_ONCE) {
		begin_cleaning(k);
		return;
	}
	k->next = NULL;
	*k->cleaner->last_waiting = k;
	k->cleaner->last_waiting = &k->next;
}

struct leaving {
	struct cleaner *cleaner;
	const struct stage *stage;
	const char *name;		/* of the run */
	struct cleaning *retained[MQTT_5 + 1];
};

static void on_session(void *context, struct span client_id, enum version version)
{
	struct leaving *l = context;

	go(begin(l->cleaner, l->stage, client_id, version));
}

static void on_retained(void *context, struct span topic, enum version version)
{
	struct leaving *l = context;
	struct packet p = { .version = (uint8_t)version, .type = PUBLISH, .flags = PUBLISH_RETAIN, .topic = topic };

	if (!l->retained[version]) {
		char id[24];

		snprintf(id, sizeof(id), "%.20sR%u", l->name, version);	/* nobody else's: who connects with it would end this */
		l->retained[version] = begin(l->cleaner, l->stage, span_text(id), version);
	}
	append(l->retained[version], &p);
}

void cleaner_init(struct cleaner *cleaner, void (*idle)(void *context), void *context)
{
	*cleaner = (struct cleaner){ .idle = idle, .context = context, .last_waiting = &cleaner->waiting };
}

void cleaner_add(struct cleaner *cleaner, const struct timeline *t, const struct stage *stage)
{
	struct leaving l = { .cleaner = cleaner, .stage = stage, .name = timeline_name(t) };

	timeline_left_behind(t, on_session, on_retained, &l);
	for (unsigned v = MQTT_3_1; v <= MQTT_5; v++)
		if (l.retained[v])
			go(l.retained[v]);
}

bool cleaner_busy(const struct cleaner *cleaner)
{
	return cleaner->first != NULL;
}

void cleaner_release(struct cleaner *cleaner)
{
	while (cleaner->waiting) {
		struct cleaning *k = cleaner->waiting;

		cleaner->waiting = k->next;
		free(k->bytes);
		free(k);
	}
	cleaner->last_waiting = &cleaner->waiting;
	while (cleaner->first)
		over(cleaner->first);
}

#include "pcap/views.h"

#include <stdio.h>
#include <stdlib.h>

#include "pcap/map.h"
#include "pcap/rows.h"

/*
 * What is published under which topic, by clients and by brokers apart. A row a topic, up to MOST_TOPICS and MOST_BYTES;
 * the messages of those that came later are summed in one row. A topic alias that was not seen set makes a row of its own.
 */

enum { MOST_TOPICS = 50000, MOST_BYTES = 12 << 20, SEEN = 256 };

struct traffic {
	uint64_t count, bytes, qos[3], retained, resent;
	struct when first, last;
	uint64_t seen[SEEN / 64];	/* conversations, by number modulo SEEN: how many bits stand is at least how many there are */
};

struct topic {
	struct map_entry entry;
	struct traffic traffic;
	uint32_t len;
	uint8_t name[];
};

struct side {			/* FROM_CLIENT, FROM_SERVER */
	struct map topics;
	struct traffic others, unresolved, all;
	uint64_t unsure;
	struct topic **sorted;
};

struct topics {
	struct observer observer;
	struct out *out;
	bool json;
	uint64_t start_ns;
	uint32_t conversations;
	size_t bytes;
	struct side sides[2];
};

static struct topics *of(struct observer *o)
{
	return (struct topics *)(void *)o;
}

static void add(struct traffic *t, const struct seen_packet *p)
{
	unsigned qos = publish_qos(&p->packet), bit = p->conversation->number % SEEN;

	if (!t->count)
		t->first = p->when;
	t->last = p->when;
	t->count++;
	t->bytes += p->packet.payload.len;
	if (qos < 3)
		t->qos[qos]++;
	t->retained += p->packet.flags & PUBLISH_RETAIN;
	t->resent += p->packet.flags & PUBLISH_DUP && qos;
	t->seen[bit / 64] |= UINT64_C(1) << bit % 64;
}

static struct topic *topic_of(struct topics *v, struct side *side, struct span name)
{
	uint64_t hash = map_hash(name.at, name.len, 0);
	size_t size = sizeof(struct topic) + name.len;
	struct topic *t;

	for (t = map_find(&side->topics, hash); t; t = map_more(t))
		if (t->len == name.len && !memcmp(t->name, name.at, name.len))
			return t;
	if (v->sides[0].topics.n + v->sides[1].topics.n >= MOST_TOPICS || v->bytes + size > MOST_BYTES)
		return NULL;
	t = calloc(1, size);
	if (!t || !map_add(&side->topics, &t->entry, hash)) {
		free(t);
		return NULL;
	}
	t->len = (uint32_t)name.len;
	if (name.len)
		memcpy(t->name, name.at, name.len);
	v->bytes += size;
	return t;
}

static void on_started(struct observer *o, const struct when *when)
{
	of(o)->start_ns = when->time_ns;
	if (of(o)->json)
		json_capture(of(o)->out, "topics", when);
}

static void on_packet(struct observer *o, const struct seen_packet *p)
{
	struct topics *v = of(o);
	struct side *side = &v->sides[p->from == FROM_SERVER];
	struct topic *topic;

	if (p->conversation->number > v->conversations)
		v->conversations = p->conversation->number;
	if (p->status != CODEC_OK || p->packet.type != PUBLISH)
		return;
	add(&side->all, p);
	side->unsure += !p->sure;
	if (!p->topic.at) {
		add(&side->unresolved, p);
		return;
	}
	topic = topic_of(v, side, p->topic);
	add(topic ? &topic->traffic : &side->others, p);
}

/* ---- showing ---- */

static int by_count(const void *a, const void *b)
{
	const struct topic *x = *(struct topic *const *)a, *y = *(struct topic *const *)b;

	if (x->traffic.count != y->traffic.count)
		return x->traffic.count < y->traffic.count ? 1 : -1;
	int order = memcmp(x->name, y->name, x->len < y->len ? x->len : y->len);
	return order ? order : x->len < y->len ? -1 : x->len > y->len;
}

static bool sort(struct side *side)
{
	size_t n = 0;

	side->sorted = malloc((side->topics.n + 1) * sizeof(*side->sorted));
	if (!side->sorted)
		return false;
	for (struct topic *t = map_any(&side->topics, NULL); t; t = map_any(&side->topics, t))
		side->sorted[n++] = t;
	qsort(side->sorted, n, sizeof(*side->sorted), by_count);
	return true;
}

static unsigned seen_by(const struct traffic *t)
{
	unsigned n = 0;

	for (size_t i = 0; i < SEEN / 64; i++)
		n += (unsigned)__builtin_popcountll(t->seen[i]);
	return n;
}

/* Messages per second from the first to the last: false when there are not two moments. */
static bool rate_of(const struct traffic *t, double *rate)
{
	uint64_t ns = elapsed(t->first.time_ns, t->last.time_ns);

	*rate = ns ? (double)(t->count - 1) * 1e9 / (double)ns : 0;
	if (*rate > 1e9)
		*rate = 1e9;
	return t->count > 1 && ns;
}

static const struct column columns[] = {
	{ "COUNT", true, 12 }, { "PER SECOND", true, 10 }, { "PAYLOAD", true, 7 }, { "QOS 0", true, 9 }, { "QOS 1", true, 9 }, { "QOS 2", true, 9 },
	{ "RETAIN", true, 8 }, { "RESENT", true, 7 }, { "BY", true, 5 }, { "LAST", true, 14 },
};

struct shown {
	const struct topics *view;
	const struct side *side;
	struct span extra[3];
	const struct traffic *extras[3];
	size_t n_extras;
};

static void fill_cells(const struct topics *v, const struct traffic *t, struct cells *cells)
{
	double rate;
	bool known = rate_of(t, &rate);

	snprintf(cells->text[0], CELL, "%llu", (unsigned long long)t->count);
	snprintf(cells->text[1], CELL, known ? rate < 10 ? "%.2f" : rate < 100 ? "%.1f" : "%.0f" : "-", rate);
	print_bytes(t->bytes, cells->text[2]);
	for (unsigned q = 0; q < 3; q++)
		snprintf(cells->text[3 + q], CELL, "%llu", (unsigned long long)t->qos[q]);
	snprintf(cells->text[6], CELL, "%llu", (unsigned long long)t->retained);
	snprintf(cells->text[7], CELL, "%llu", (unsigned long long)t->resent);
	snprintf(cells->text[8], CELL, "%u%s", seen_by(t), v->conversations > SEEN ? "+" : "");
	print_since(v->start_ns, t->last.time_ns, cells->text[9]);
}

static void fill(void *owner, size_t row, struct cells *cells)
{
	const struct shown *shown = owner;

	if (row < shown->side->topics.n) {
		const struct topic *t = shown->side->sorted[row];

		fill_cells(shown->view, &t->traffic, cells);
		cells->rest = t->len ? span_of(t->name, t->len) : span_text("\"\"");
		return;
	}
	fill_cells(shown->view, shown->extras[row - shown->side->topics.n], cells);
	cells->rest = shown->extra[row - shown->side->topics.n];
}

static void add_extra(struct shown *shown, const struct traffic *t, const char *name)
{
	if (!t->count)
		return;
	shown->extra[shown->n_extras] = span_text(name);
	shown->extras[shown->n_extras++] = t;
}

static void show_text(struct topics *v, struct side *side, const char *title, const char *others)
{
	struct shown shown = { .view = v, .side = side };

	out_text(v->out, title);
	out_byte(v->out, '\n');
	if (!side->all.count) {
		OUT_LITERAL(v->out, "none\n");
		return;
	}
	add_extra(&shown, &side->unresolved, "(a topic alias whose topic was not seen)");
	add_extra(&shown, &side->others, others);
	add_extra(&shown, &side->all, "(all)");
	table_print(v->out, &(struct table){ columns, sizeof(columns) / sizeof(columns[0]), side->topics.n + shown.n_extras, fill, &shown, "TOPIC" });
	if (side->unsure)
		out_format(v->out, "%llu of them stand behind a gap, where it is not certain that a packet begins\n", (unsigned long long)side->unsure);
}

static void show_json(struct topics *v, const struct traffic *t, const char *kind, bool from_client, const struct span *name)
{
	struct json json;
	double rate;

	if (!t->count)
		return;
	json_begin(&json, v->out, kind, v->start_ns);
	json_word(&json, "from", from_client ? "client" : "broker");
	if (name)
		json_text(&json, "topic", *name);
	json_number(&json, "count", t->count);
	json_number(&json, "payload_bytes", t->bytes);
	if (rate_of(t, &rate))
		json_duration(&json, "per_second", (uint64_t)(rate * 1e9));
	else
		json_null(&json, "per_second");
	json_open(&json, "qos", '[');
	for (unsigned q = 0; q < 3; q++)
		json_number(&json, NULL, t->qos[q]);
	json_close(&json, ']');
	json_number(&json, "retain", t->retained);
	json_number(&json, "resent", t->resent);
	json_number(&json, "connections", seen_by(t));
	json_flag(&json, "connections_exact", v->conversations <= SEEN);
	json_when(&json, "first", &t->first);
	json_when(&json, "last", &t->last);
	json_end(&json);
}

static void on_finish(struct observer *o, const struct when *when)
{
	struct topics *v = of(o);
	char others[128];

	(void)when;
	snprintf(others, sizeof(others), "(other topics: the table holds the first %zu)", v->sides[0].topics.n + v->sides[1].topics.n);
	for (unsigned i = 0; i < 2; i++) {
		struct side *side = &v->sides[i];

		if (!sort(side))
			continue;
		if (!v->json) {
			show_text(v, side, i ? "\nDelivered by brokers" : "Published by clients", others);
			continue;
		}
		for (size_t n = 0; n < side->topics.n; n++) {
			struct span name = span_of(side->sorted[n]->name, side->sorted[n]->len);

			show_json(v, &side->sorted[n]->traffic, "topic", !i, &name);
		}
		show_json(v, &side->unresolved, "topic_unresolved", !i, NULL);
		show_json(v, &side->others, "topic_others", !i, NULL);
		show_json(v, &side->all, "topic_all", !i, NULL);
	}
}

static void on_free(struct observer *o)
{
	struct topics *v = of(o);

	for (unsigned i = 0; i < 2; i++) {
		for (struct topic *t = map_any(&v->sides[i].topics, NULL), *next; t; t = next) {
			next = map_any(&v->sides[i].topics, t);
			free(t);
		}
		map_release(&v->sides[i].topics);
		free(v->sides[i].sorted);
	}
	free(v);
}

static const struct observer_ops ops = { .started = on_started, .packet = on_packet, .finish = on_finish, .free = on_free };

struct observer *topics_view_new(struct out *out, const struct view_options *options)
{
	struct topics *v = calloc(1, sizeof(*v));

	if (!v)
		return NULL;
	v->observer.ops = &ops;
	v->out = out;
	v->json = options->json;
	return &v->observer;
}

#include "pcap/deliveries.h"

#include <stdio.h>
#include <stdlib.h>

#include "pcap/rows.h"

static uint64_t three(const uint64_t by_qos[3])
{
	return by_qos[0] + by_qos[1] + by_qos[2];
}

static struct span name_of(bool named, const uint8_t *name, uint8_t len, uint32_t number, char room[QUANTITY])
{
	if (named)
		return span_of(name, len);
	snprintf(room, QUANTITY, "c%u", number);
	return span_text(room);
}

/* ---- in which order ---- */

static int by_interest(const void *a, const void *b)
{
	const struct pair *x = *(struct pair *const *)a, *y = *(struct pair *const *)b;
	uint64_t lost_x = three(x->lost), lost_y = three(y->lost), n_x = x->delivered + x->beyond, n_y = y->delivered + y->beyond;

	if (lost_x != lost_y)
		return lost_x < lost_y ? 1 : -1;
	if (n_x != n_y)
		return n_x < n_y ? 1 : -1;
	if (x->from_number != y->from_number)
		return x->from_number < y->from_number ? -1 : 1;
	return x->to_number < y->to_number ? -1 : x->to_number > y->to_number;
}

static struct pair **sorted(const struct deliveries *v, size_t *n)
{
	struct pair **all = malloc((v->pairs.n + 1) * sizeof(*all));

	*n = 0;
	for (struct pair *p = v->rows; p && all; p = p->next)
		all[(*n)++] = p;
	if (all)
		qsort(all, *n, sizeof(*all), by_interest);
	return all;
}

static void add(struct pair *sum, const struct pair *p)
{
	sum->expected += p->expected;
	sum->delivered += p->delivered;
	for (unsigned q = 0; q < 3; q++) {
		sum->lost[q] += p->lost[q];
		sum->again[q] += p->again[q];
	}
	sum->reordered += p->reordered;
	sum->unconfirmed += p->unconfirmed;
	sum->expired += p->expired;
	sum->unobservable += p->unobservable;
	sum->away += p->away;
	sum->beyond += p->beyond;
	histogram_merge(&sum->latency, &p->latency);
}

static void sum_up(const struct deliveries *v, struct pair *sum)
{
	*sum = (struct pair){ 0 };
	for (const struct pair *p = v->rows; p; p = p->next)
		add(sum, p);
	add(sum, &v->others);
}

/* ---- text ---- */

static const struct column columns[] = {
	{ "PUBLISHER", false, 18 }, { "SUBSCRIBER", false, 20 }, { "DUE", true, 8 }, { "CAME", true, 8 }, { "LOST", true, 6 }, { "TWICE", true, 6 },
	{ "OPEN", true, 6 }, { "?", true, 6 }, { "NOT DUE", true, 8 }, { "P50", true, 0 }, { "P99", true, 0 }, { "MAX", true, 0 },
};

struct shown {
	struct pair **rows;
	size_t n;
	const struct pair *extra[2];
	const char *names[2];
};

static void fill(void *owner, size_t row, struct cells *cells)
{
	const struct shown *shown = owner;
	const struct pair *p = row < shown->n ? shown->rows[row] : shown->extra[row - shown->n];
	char room[QUANTITY];

	if (row < shown->n) {
		cell_text(cells->text[0], name_of(p->from_named, p->from, p->from_len, p->from_number, room), "-");
		cell_text(cells->text[1], name_of(p->to_named, p->to, p->to_len, p->to_number, room), "-");
	} else {
		snprintf(cells->text[0], CELL, "%s", shown->names[row - shown->n]);
	}
	const uint64_t numbers[] = { p->expected, p->delivered, three(p->lost), three(p->again), p->unconfirmed, p->unobservable, p->beyond };
	for (unsigned i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		snprintf(cells->text[2 + i], CELL, "%llu", (unsigned long long)numbers[i]);
	for (unsigned i = 0; i < 3; i++) {
		if (p->latency.count)
			print_duration(i == 2 ? p->latency.max : histogram_quantile(&p->latency, i ? 990 : 500), cells->text[9 + i]);
		else
			snprintf(cells->text[9 + i], CELL, "-");
	}
}

static void print_incident(const struct deliveries *v, const struct incident *i)
{
	char from[QUANTITY], to[QUANTITY], at[QUANTITY];
	const struct pair *p = i->pair;
	bool others = p == &v->others;

	out_format(v->out, "%-5s qos %u  f%llu at %s  ", i->kind == LOST ? "lost" : "twice", i->qos, (unsigned long long)i->published.frame,
	           print_since(v->start_ns, i->published.time_ns, at));
	if (!others) {
		out_escaped(v->out, name_of(p->from_named, p->from, p->from_len, p->from_number, from));
		OUT_LITERAL(v->out, " -> ");
		out_escaped(v->out, name_of(p->to_named, p->to, p->to_len, p->to_number, to));
	}
	out_format(v->out, i->kind == LOST ? "; a later one came in f%llu  " : "; again in f%llu  ", (unsigned long long)i->seen.frame);
	out_escaped(v->out, span_of(i->topic, i->topic_len));
	out_byte(v->out, '\n');
}

static void print_note(struct out *out, uint64_t n, const char *one, const char *many)
{
	if (n)
		out_format(out, "%llu %s\n", (unsigned long long)n, n == 1 ? one : many);
}

static void print_notes(const struct deliveries *v, const struct pair *all)
{
	const struct delivery_totals *t = &v->totals;
	struct out *out = v->out;

	print_note(out, all->unconfirmed, "delivery is open: due and not seen, but nothing proves that it is lost",
	           "deliveries are open: due and not seen, but nothing proves that they are lost");
	print_note(out, all->expired, "of what is open may have expired: its message expiry interval was over before it was seen",
	           "of what is open may have expired: their message expiry interval was over before they were seen");
	print_note(out, all->unobservable, "delivery cannot be judged (column ?): a hole, no room, or the subscriber left or unsubscribed first",
	           "deliveries cannot be judged (column ?): a hole, no room, or the subscriber left or unsubscribed first");
	print_note(out, all->away, "delivery waited, or waits, for a subscriber that was away; it is not timed",
	           "deliveries waited, or wait, for subscribers that were away; they are not timed");
	print_note(out, all->reordered, "delivery came after a later one of the same publisher and topic", "deliveries came after a later one of the same publisher and topic");
	print_note(out, t->retained, "delivery was a retained message", "deliveries were retained messages");
	print_note(out, t->copies, "delivery was one more copy, by overlapping subscriptions", "deliveries were more copies, by overlapping subscriptions");
	print_note(out, t->resent, "delivery was resent", "deliveries were resent");
	print_note(out, t->wills, "delivery was a will", "deliveries were wills");
	print_note(out, t->brokers_own, "delivery was the broker's own ($)", "deliveries were the broker's own ($)");
	print_note(out, t->unmatched, "delivery is of no message that was followed: published outside of the capture, or given up before",
	           "deliveries are of no message that was followed: published outside of the capture, or given up before");
	print_note(out, t->unresolved, "PUBLISH has a topic alias whose topic was not seen", "PUBLISH have a topic alias whose topic was not seen");
	print_note(out, t->rejected, "message was refused by the broker", "messages were refused by the broker");
	print_note(out, t->unindexed, "subscription was not followed: no room", "subscriptions were not followed: no room");
	print_note(out, t->no_room, "message was not followed to its end: no room for so many at a time", "messages were not followed to their end: no room for so many at a time");
}

void deliveries_print(struct deliveries *v)
{
	struct shown shown = { 0 };
	struct pair all;
	size_t n_extra = 0;
	char others[CELL];

	sum_up(v, &all);
	if (v->where)
		out_format(v->out, "%llu of %llu messages published match, %llu deliver%s of them\n", (unsigned long long)v->totals.published,
		           (unsigned long long)v->n_published, (unsigned long long)v->totals.deliveries, v->totals.deliveries == 1 ? "y" : "ies");
	else
		out_format(v->out, "%llu messages published, %llu delivered\n", (unsigned long long)v->totals.published,
		           (unsigned long long)v->totals.deliveries);
	shown.rows = sorted(v, &shown.n);
	if (shown.n) {
		if (v->n_others) {
			snprintf(others, sizeof(others), "(others)");
			shown.names[n_extra] = others;
			shown.extra[n_extra++] = &v->others;
		}
		shown.names[n_extra] = "(all)";
		shown.extra[n_extra++] = &all;
		table_print(v->out, &(struct table){ columns, sizeof(columns) / sizeof(columns[0]), shown.n + n_extra, fill, &shown, NULL });
	}
	free(shown.rows);
	if (v->n_incidents)
		out_byte(v->out, '\n');
	for (size_t i = 0; v->incidents && i < v->n_incidents && i < MOST_INCIDENTS; i++)
		print_incident(v, &v->incidents[i]);
	if (v->n_incidents > MOST_INCIDENTS)
		out_format(v->out, "and %zu more\n", v->n_incidents - MOST_INCIDENTS);
	print_notes(v, &all);
	histogram_release(&all.latency);
}

/* ---- JSON ---- */

static void json_by_qos(struct json *j, const char *name, const uint64_t by_qos[3])
{
	json_open(j, name, '[');
	for (unsigned q = 0; q < 3; q++)
		json_number(j, NULL, by_qos[q]);
	json_close(j, ']');
}

static void json_ends(struct json *j, const struct pair *p)
{
	char from[QUANTITY], to[QUANTITY];

	json_text(j, "publisher", p->from_named ? name_of(true, p->from, p->from_len, 0, from) : (struct span){ 0 });
	json_number(j, "publisher_connection", p->from_number);
	json_text(j, "subscriber", p->to_named ? name_of(true, p->to, p->to_len, 0, to) : (struct span){ 0 });
	json_number(j, "subscriber_connection", p->to_number);
	json_flag(j, "shared", p->to_group);
}

static void json_pair(struct json *j, const struct pair *p)
{
	json_number(j, "due", p->expected);
	json_number(j, "came", p->delivered);
	json_by_qos(j, "lost", p->lost);
	json_by_qos(j, "twice", p->again);
	json_number(j, "open", p->unconfirmed);
	json_number(j, "not_observable", p->unobservable);
	json_number(j, "away", p->away);
	json_number(j, "reordered", p->reordered);
	json_number(j, "not_due", p->beyond);
	json_number(j, "may_have_expired", p->expired);
	json_histogram(j, "latency", &p->latency);
}

void incident_json(struct out *out, const struct incident *i, uint64_t start_ns)
{
	struct json j;

	json_begin(&j, out, i->kind == LOST ? "delivery_lost" : "delivery_twice", start_ns);
	json_ends(&j, i->pair);
	json_text(&j, "topic", span_of(i->topic, i->topic_len));
	json_number(&j, "qos", i->qos);
	json_when(&j, "published", &i->published);
	json_when(&j, i->kind == LOST ? "overtaken" : "again", &i->seen);
	json_end(&j);
}

void deliveries_json(struct deliveries *v)
{
	const struct delivery_totals *t = &v->totals;
	struct pair all, **rows;
	struct json j;
	size_t n;

	rows = sorted(v, &n);
	for (size_t i = 0; i < n; i++) {
		json_begin(&j, v->out, "delivery", v->start_ns);
		json_ends(&j, rows[i]);
		json_pair(&j, rows[i]);
		json_end(&j);
	}
	free(rows);
	if (v->n_others) {
		json_begin(&j, v->out, "delivery_others", v->start_ns);
		json_pair(&j, &v->others);
		json_end(&j);
	}
	sum_up(v, &all);
	json_begin(&j, v->out, "delivery_all", v->start_ns);
	json_number(&j, "published", t->published);
	json_number(&j, "delivered", t->deliveries);
	json_pair(&j, &all);
	json_number(&j, "retained", t->retained);
	json_number(&j, "copies", t->copies);
	json_number(&j, "resent", t->resent);
	json_number(&j, "wills", t->wills);
	json_number(&j, "brokers_own", t->brokers_own);
	json_number(&j, "unmatched", t->unmatched);
	json_number(&j, "unresolved_alias", t->unresolved);
	json_number(&j, "refused", t->rejected);
	json_number(&j, "no_room", t->no_room + t->unindexed);
	json_end(&j);
	histogram_release(&all.latency);
}

#include "pcap/qos.h"

#include <stdio.h>

#include "codec/fields.h"
#include "pcap/rows.h"

static const struct exchange_names {
	const char *text, *packet, *from;
	unsigned qos;
} exchanges[N_EXCHANGES] = {
	[CLIENT_QOS_1] = { "client QoS 1", "PUBLISH", "client", 1 },
	[CLIENT_QOS_2] = { "client QoS 2", "PUBLISH", "client", 2 },
	[BROKER_QOS_1] = { "broker QoS 1", "PUBLISH", "broker", 1 },
	[BROKER_QOS_2] = { "broker QoS 2", "PUBLISH", "broker", 2 },
	[SUBSCRIBES]   = { "SUBSCRIBE", "SUBSCRIBE", "client", 0 },
	[UNSUBSCRIBES] = { "UNSUBSCRIBE", "UNSUBSCRIBE", "client", 0 },
};

static bool is_there(unsigned exchange, enum phase phase)
{
	return phase == TO_ANSWER || exchange == CLIENT_QOS_2 || exchange == BROKER_QOS_2;
}

static const char *phase_text(unsigned exchange, enum phase phase)
{
	switch (phase) {
	case TO_ANSWER:
		return exchange == SUBSCRIBES ? "SUBSCRIBE to SUBACK" : exchange == UNSUBSCRIBES ? "UNSUBSCRIBE to UNSUBACK" :
		       exchange % 2 ? "PUBLISH to PUBREC" : "PUBLISH to PUBACK";
	case TO_RELEASE:
		return "PUBREC to PUBREL";
	case TO_COMPLETE:
		return "PUBREL to PUBCOMP";
	default:
		return "PUBLISH to PUBCOMP";
	}
}

static const char *phase_name(unsigned exchange, enum phase phase)
{
	switch (phase) {
	case TO_ANSWER:
		return exchange == SUBSCRIBES ? "suback" : exchange == UNSUBSCRIBES ? "unsuback" : exchange % 2 ? "pubrec" : "puback";
	case TO_RELEASE:
		return "pubrel";
	case TO_COMPLETE:
		return "pubrel_to_pubcomp";
	default:
		return "pubcomp";
	}
}

static const char *waits_for(const struct qos_flow *f)
{
	switch (f->exchange) {
	case SUBSCRIBES:
		return "SUBACK";
	case UNSUBSCRIBES:
		return "UNSUBACK";
	case CLIENT_QOS_1:
	case BROKER_QOS_1:
		return "PUBACK";
	default:
		return f->state == PUBLISHED ? "PUBREC" : f->state == RECEIVED ? "PUBREL" : "PUBCOMP";
	}
}

/* ---- text ---- */

static const struct column phase_columns[] = {
	{ "EXCHANGE", false, 0 }, { "TIME FROM", false, 0 }, { "COUNT", true, 0 }, { "MIN", true, 0 }, { "P50", true, 0 }, { "P99", true, 0 }, { "MAX", true, 0 },
};

static const struct column row_columns[] = {
	{ "NAME", false, 0 }, { "CLIENT ID", false, 22 }, { "EXCHANGE", false, 0 }, { "COUNT", true, 9 }, { "DONE", true, 9 }, { "FAILED", true, 7 },
	{ "RESENT", true, 7 }, { "OPEN", true, 7 }, { "?", true, 5 }, { "P50", true, 0 }, { "P99", true, 0 }, { "MAX", true, 0 },
};

struct listed {
	const struct qos_totals *totals;
	const struct qos_row *row;		/* with `exchange`: the one asked for last, so that a walk costs one step each */
	unsigned exchange;
	size_t at;
	const struct qos_row *first, *others;
	size_t n_others;
	const struct hanging *hanging;
	uint64_t start_ns, end_ns;
};

static void put_durations(struct cells *cells, unsigned first, const struct histogram *h)
{
	if (!h->count) {
		for (unsigned i = 0; i < 3; i++)
			snprintf(cells->text[first + i], CELL, "-");
		return;
	}
	print_duration(histogram_quantile(h, 500), cells->text[first]);
	print_duration(histogram_quantile(h, 990), cells->text[first + 1]);
	print_duration(h->max, cells->text[first + 2]);
}

/* The nth phase that anything was counted for; false behind the last. */
static bool nth_phase(const struct qos_totals *totals, size_t nth, unsigned *exchange, enum phase *phase)
{
	for (*exchange = 0; *exchange < N_EXCHANGES; ++*exchange)
		for (*phase = 0; *phase < N_PHASES; ++*phase)
			if (is_there(*exchange, *phase) && totals->phases[*exchange][*phase].count && !nth--)
				return true;
	return false;
}

static void fill_phase(void *owner, size_t row, struct cells *cells)
{
	const struct listed *l = owner;
	unsigned exchange;
	enum phase phase;

	if (!nth_phase(l->totals, row, &exchange, &phase))
		return;
	const struct histogram *h = &l->totals->phases[exchange][phase];
	snprintf(cells->text[0], CELL, "%s", exchanges[exchange].text);
	snprintf(cells->text[1], CELL, "%s", phase_text(exchange, phase));
	snprintf(cells->text[2], CELL, "%llu", (unsigned long long)h->count);
	print_duration(h->min, cells->text[3]);
	put_durations(cells, 4, h);
}

/* Goes on to the next exchange that a conversation had. False at the end; the rest of the conversations comes last. */
static bool step(struct listed *l)
{
	while (l->row) {
		while (++l->exchange < N_EXCHANGES)
			if (l->row->stats[l->exchange].count)
				return true;
		l->exchange = (unsigned)-1;
		l->row = l->row == l->others ? NULL : l->row->next ? l->row->next : l->n_others ? l->others : NULL;
	}
	return false;
}

static void rewind_rows(struct listed *l)
{
	l->row = l->first ? l->first : l->n_others ? l->others : NULL;
	l->exchange = (unsigned)-1;
	l->at = 0;
	step(l);
}

static void put_stats(struct cells *cells, unsigned first, const struct exchange_stats *s)
{
	const uint64_t numbers[] = { s->count, s->completed, s->failed, s->resent, s->hanging, s->unknown };

	for (unsigned i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		snprintf(cells->text[first + i], CELL, "%llu", (unsigned long long)numbers[i]);
}

static void fill_row(void *owner, size_t row, struct cells *cells)
{
	struct listed *l = owner;

	if (!row)
		rewind_rows(l);
	for (; l->at < row; l->at++)
		step(l);
	if (!l->row)
		return;
	if (l->row == l->others) {
		snprintf(cells->text[0], CELL, "+%zu", l->n_others);
		snprintf(cells->text[1], CELL, "(other connections)");
	} else {
		snprintf(cells->text[0], CELL, "c%u", l->row->conversation);
		cell_text(cells->text[1], l->row->id_len == 0xff ? (struct span){ 0 } : span_of(l->row->id, l->row->id_len), "-");
	}
	snprintf(cells->text[2], CELL, "%s", exchanges[l->exchange].text);
	put_stats(cells, 3, &l->row->stats[l->exchange]);
	put_durations(cells, 9, &l->row->took[l->exchange]);
}

static void print_failures(struct out *out, const struct qos_totals *totals)
{
	static const enum packet_type types[] = { PUBACK, PUBREC, PUBCOMP };

	for (unsigned i = 0; i < 3; i++) {
		for (unsigned code = 0x80; code < 0x100; code++) {
			const char *name = reason_name(types[i], MQTT_5, code);

			if (totals->reasons[i][code] && name)
				out_format(out, "%s %s: %llu\n", packet_name(types[i]), name, (unsigned long long)totals->reasons[i][code]);
			else if (totals->reasons[i][code])
				out_format(out, "%s 0x%02x: %llu\n", packet_name(types[i]), code, (unsigned long long)totals->reasons[i][code]);
		}
	}
}

static const struct column hanging_columns[] = {
	{ "NAME", false, 0 }, { "CLIENT ID", false, 20 }, { "EXCHANGE", false, 0 }, { "ID", true, 0 }, { "WAITS FOR", false, 0 }, { "BEGAN", true, 0 },
	{ "FRAME", true, 0 }, { "LAST", true, 0 }, { "RESENT", true, 0 }, { "UNTIL", false, 0 },
};

static void fill_hanging(void *owner, size_t row, struct cells *cells)
{
	static const char *const whys[] = { [CAPTURE_OVER] = "capture's end", [SESSION_OVER] = "session's end", [ID_REUSED] = "id used again" };
	const struct listed *l = owner;
	const struct hanging *h = &l->hanging[row];
	const struct qos_flow *f = &h->flow;

	snprintf(cells->text[0], CELL, "c%u", f->conversation);
	cell_text(cells->text[1], f->row->id_len == 0xff ? (struct span){ 0 } : span_of(f->row->id, f->row->id_len), "-");
	snprintf(cells->text[2], CELL, "%s", exchanges[f->exchange].text);
	snprintf(cells->text[3], CELL, "%u", f->packet_id);
	snprintf(cells->text[4], CELL, "%s", waits_for(f));
	print_since(l->start_ns, f->at[PUBLISHED].time_ns, cells->text[5]);
	snprintf(cells->text[6], CELL, "%llu", (unsigned long long)f->at[PUBLISHED].frame);
	snprintf(cells->text[7], CELL, "%llu", (unsigned long long)f->last.frame);
	snprintf(cells->text[8], CELL, "%u", f->resent);
	snprintf(cells->text[9], CELL, "%s", whys[h->why]);
	if (f->exchange < SUBSCRIBES)
		cells->rest = f->topic_known ? span_of(f->topic, f->topic_len) : span_text("-");
}

void qos_print(struct out *out, const struct qos_row *rows, const struct qos_row *others, size_t n_others,
               const struct qos_totals *totals, const struct hanging *hanging, size_t n_hanging, uint64_t start_ns, uint64_t end_ns)
{
	struct listed l = { .totals = totals, .first = rows, .others = others, .n_others = n_others, .hanging = hanging, .start_ns = start_ns, .end_ns = end_ns };
	uint64_t hang = 0, unknown = 0;
	size_t n_phases = 0, n_rows = 0;
	unsigned exchange;
	enum phase phase;

	for (rewind_rows(&l); l.row; step(&l))
		n_rows++;
	if (!n_rows && !totals->no_room) {
		OUT_LITERAL(out, "no PUBLISH at QoS 1 or 2, no SUBSCRIBE, no UNSUBSCRIBE\n");
		if (totals->strays)
			out_format(out, "%llu acknowledgements of exchanges that were not under way: their beginning was not seen, or they were over\n", (unsigned long long)totals->strays);
		return;
	}
	table_print(out, &(struct table){ row_columns, sizeof(row_columns) / sizeof(row_columns[0]), n_rows, fill_row, &l, NULL });
	while (nth_phase(totals, n_phases, &exchange, &phase))
		n_phases++;
	OUT_LITERAL(out, "\nAll connections\n");
	table_print(out, &(struct table){ phase_columns, sizeof(phase_columns) / sizeof(phase_columns[0]), n_phases, fill_phase, &l, NULL });
	print_failures(out, totals);
	for (unsigned i = 0; i < N_EXCHANGES; i++) {
		hang += totals->stats[i].hanging;
		unknown += totals->stats[i].unknown;
	}
	if (hang) {
		OUT_LITERAL(out, "\nNot completed\n");
		table_print(out, &(struct table){ hanging_columns, sizeof(hanging_columns) / sizeof(hanging_columns[0]), n_hanging, fill_hanging, &l, "TOPIC" });
		if (hang > n_hanging)
			out_format(out, "and %llu more\n", (unsigned long long)(hang - n_hanging));
	}
	if (unknown)
		out_format(out, "%llu cannot be judged (column ?): something is missing behind their beginning\n", (unsigned long long)unknown);
	if (totals->strays)
		out_format(out, "%llu acknowledgements of exchanges that were not under way: their beginning was not seen, or they were over\n", (unsigned long long)totals->strays);
	if (totals->no_room)
		out_format(out, "%llu exchanges were not followed: there was no room for so many at a time\n", (unsigned long long)totals->no_room);
}

/* ---- JSON ---- */

static void json_stats(struct json *j, unsigned exchange, const struct exchange_stats *s)
{
	json_word(j, "packet", exchanges[exchange].packet);
	json_word(j, "from", exchanges[exchange].from);
	if (exchange < SUBSCRIBES)
		json_number(j, "qos", exchanges[exchange].qos);
	json_number(j, "count", s->count);
	json_number(j, "completed", s->completed);
	json_number(j, "failed", s->failed);
	json_number(j, "resent", s->resent);
	json_number(j, "resumed", s->resumed);
	json_number(j, "hanging", s->hanging);
	json_number(j, "unknown", s->unknown);
}

static void json_row(struct out *out, const struct qos_row *row, size_t n_others, uint64_t start_ns)
{
	struct json j;

	for (unsigned i = 0; i < N_EXCHANGES; i++) {
		if (!row->stats[i].count)
			continue;
		json_begin(&j, out, n_others ? "qos_others" : "qos", start_ns);
		if (n_others) {
			json_number(&j, "connections", n_others);
		} else {
			json_number(&j, "connection", row->conversation);
			json_text(&j, "client", row->id_len == 0xff ? (struct span){ 0 } : span_of(row->id, row->id_len));
		}
		json_stats(&j, i, &row->stats[i]);
		json_histogram(&j, "took", &row->took[i]);
		json_end(&j);
	}
}

void qos_json(struct out *out, const struct qos_row *rows, const struct qos_row *others, size_t n_others,
              const struct qos_totals *totals, uint64_t start_ns)
{
	struct json j;

	for (const struct qos_row *r = rows; r; r = r->next)
		json_row(out, r, 0, start_ns);
	if (n_others)
		json_row(out, others, n_others, start_ns);
	for (unsigned i = 0; i < N_EXCHANGES; i++) {
		if (!totals->stats[i].count)
			continue;
		json_begin(&j, out, "qos_all", start_ns);
		json_stats(&j, i, &totals->stats[i]);
		json_open(&j, "took", '{');
		for (enum phase phase = 0; phase < N_PHASES; phase++)
			if (is_there(i, phase))
				json_histogram(&j, phase_name(i, phase), &totals->phases[i][phase]);
		json_close(&j, '}');
		json_end(&j);
	}
	static const enum packet_type types[] = { PUBACK, PUBREC, PUBCOMP };
	for (unsigned i = 0; i < 3; i++) {
		for (unsigned code = 0x80; code < 0x100; code++) {
			if (!totals->reasons[i][code])
				continue;
			json_begin(&j, out, "qos_failure", start_ns);
			json_word(&j, "packet", i < 2 ? packet_name(types[i]) : NULL);
			json_number(&j, "reason", code);
			json_word(&j, "reason_name", reason_name(types[i], MQTT_5, code));
			json_number(&j, "count", totals->reasons[i][code]);
			json_end(&j);
		}
	}
	json_begin(&j, out, "qos_notes", start_ns);
	json_number(&j, "strays", totals->strays);
	json_number(&j, "no_room", totals->no_room);
	json_end(&j);
}

void qos_json_hanging(struct out *out, const struct hanging *h, uint64_t start_ns)
{
	static const char *const whys[] = { [CAPTURE_OVER] = "capture_over", [SESSION_OVER] = "session_over", [ID_REUSED] = "id_reused" };
	static const char *const states[] = { [PUBLISHED] = "published", [RECEIVED] = "received", [RELEASED] = "released" };
	const struct qos_flow *f = &h->flow;
	struct json j;

	json_begin(&j, out, "qos_hanging", start_ns);
	json_number(&j, "connection", f->conversation);
	json_text(&j, "client", f->row->id_len == 0xff ? (struct span){ 0 } : span_of(f->row->id, f->row->id_len));
	json_word(&j, "packet", exchanges[f->exchange].packet);
	json_word(&j, "from", exchanges[f->exchange].from);
	if (f->exchange < SUBSCRIBES) {
		json_number(&j, "qos", exchanges[f->exchange].qos);
		json_text(&j, "topic", f->topic_known ? span_of(f->topic, f->topic_len) : (struct span){ 0 });
		json_word(&j, "state", states[f->state]);
	}
	json_number(&j, "packet_id", f->packet_id);
	json_word(&j, "waits_for", waits_for(f));
	json_when(&j, "began", &f->at[PUBLISHED]);
	json_when(&j, "last", &f->last);
	json_number(&j, "resent", f->resent);
	json_word(&j, "until", whys[h->why]);
	json_end(&j);
}

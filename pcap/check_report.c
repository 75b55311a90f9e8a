#include "pcap/check_internal.h"

#include <stdio.h>
#include <stdlib.h>

#include "codec/fields.h"
#include "codec/text.h"
#include "harness/parse.h"
#include "pcap/json.h"
#include "pcap/shorten.h"

/* What the check has to say: a line for each violation, and at the end what became of each clause. */

enum {
	MAX_ID = 40,			/* bytes of a client id */
	MAX_PAYLOAD = 120,
	MAX_LINE = 1200,		/* of a packet */
	MAX_BAD = 48,			/* bytes of a packet that cannot be read */
	COLUMNS = 118,			/* of the list of what was not observable */
};

static const char *name_of(enum sender side)
{
	return side == FROM_CLIENT ? "client" : "broker";
}

/* ---- counting ---- */

static size_t n_clauses(void)
{
	size_t n = 0;

	while (clause_at(n))
		n++;
	return n;
}

static bool find_clause(enum version version, const char *id, size_t *index)
{
	const struct clause *clause = clause_find(version, span_text(id));

	for (size_t i = 0; clause && clause_at(i); i++)
		if (clause_at(i) == clause) {
			*index = i;
			return true;
		}
	return false;
}

static struct tally *tally_of(struct check *check, enum sender side, size_t index)
{
	struct tally **all = &check->tallies[side == FROM_SERVER];

	if (!*all && !(*all = calloc(n_clauses(), sizeof(**all))))
		abort();
	return &(*all)[index];
}

void check_tally(struct check *check, enum sender side, enum version version, const char *id, uint64_t frame)
{
	struct tally *tally;
	size_t index;

	if (!find_clause(version, id, &index))
		return;
	tally = tally_of(check, side, index);
	if (tally->violated < FIRST_FRAMES)
		tally->frames[tally->violated] = frame;
	tally->violated++;
}

/* ---- one violation, as text ---- */

static void put_string(struct out *out, struct span s, size_t most)
{
	struct span shown = shorten(s, most);
	char room[MAX_ID * 8 + 8];
	struct writer w = writer_to(room, sizeof(room));

	text_print_string(shown, &w);
	out_bytes(out, room, wr_fits(&w) ? w.len : sizeof(room));
	if (shown.len < s.len)
		OUT_LITERAL(out, "...");
}

static void put_bad(struct out *out, struct span bytes)
{
	struct span shown = { bytes.at, bytes.len < MAX_BAD ? bytes.len : MAX_BAD };
	char room[MAX_BAD * 3 + 16];
	struct writer w = writer_to(room, sizeof(room));

	text_print_hex(shown, &w);
	OUT_LITERAL(out, "bytes ");
	out_bytes(out, room, w.len);
	if (shown.len < bytes.len)
		OUT_LITERAL(out, "...");
}

static void put_packet(struct check *check, const struct seen_packet *seen)
{
	struct packet p = seen->packet;
	char room[MAX_LINE];
	struct writer w = writer_to(room, sizeof(room));
	struct value value;

	if (seen->status != CODEC_OK) {
		put_bad(check->out, check->options.secrets ? seen->bytes : (struct span){ seen->bytes.at, seen->frame.header_size });
		return;
	}
	p.payload = shorten(p.payload, MAX_PAYLOAD);
	p.will_payload = shorten(p.will_payload, MAX_PAYLOAD);
	if (!check->options.secrets && p.password.len)
		p.password = span_text("***");
	if (!check->options.secrets && property_find(p.properties, PROP_authentication_data, &value))
		p.properties = (struct span){ 0 };
	packet_print(&p, seen->from, &w);
	out_bytes(check->out, room, wr_fits(&w) ? w.len : sizeof(room));
	if (!wr_fits(&w))
		OUT_LITERAL(check->out, "...");
}

static void put_place(struct check *check)
{
	struct out *out = check->out;
	const struct conversation *c = check->conversation;

	if (check->inline_notes)
		OUT_LITERAL(out, "    ");
	out_format(out, "f%llu  c%u ", (unsigned long long)check->when.frame, c->number);
	if (c->client_id.at) {
		put_string(out, c->client_id, MAX_ID);
		OUT_LITERAL(out, " ");
	}
}

static void write_text(struct check *check, enum sender side, const struct violation *v, enum sender excused)
{
	struct out *out = check->out;
	const struct conversation *c = check->conversation;

	put_place(check);
	out_format(out, "(%s) %s:%s: ", name_of(side), version_name(v->version), v->clause);
	out_text(out, v->text);
	if (v->offset)
		out_format(out, " [byte %u]", v->offset);
	OUT_LITERAL(out, "\n");
	if (!check->inline_notes && check->packet) {
		OUT_LITERAL(out, "    ");
		put_packet(check, check->packet);
		OUT_LITERAL(out, "\n");
	}
	if (excused)
		out_format(out, "    from here on only the form of what the %s sends on c%u is judged\n", name_of(excused), c->number);
}

/* ---- one violation, as JSON ---- */

static void key_text(struct out *out, const char *name, const char *text)
{
	json_key(out, name);
	json_string(out, span_text(text));
}

static void key_rule(struct out *out, const char *name, enum version version, const char *clause)
{
	char rule[96];

	snprintf(rule, sizeof(rule), "%s:%s", version_name(version), clause);
	if (*name)
		key_text(out, name, rule);
	else
		json_string(out, span_text(rule));
}

static void begin_json(struct check *check)
{
	struct out *out = check->out;

	if (check->begun || check->inline_notes)
		return;			/* the packets' view has done it */
	check->begun = true;
	OUT_LITERAL(out, "{\"kind\":\"capture\",\"schema\":{\"name\":\"mqassay-decode\",\"version\":1},\"epoch\":\"");
	json_seconds(out, (int64_t)check->base_ns);
	OUT_LITERAL(out, "\"}\n");
}

static void key_also(struct out *out, enum sender side, const struct violation *v)
{
	const char *other;
	size_t n = 0;

	if (side != FROM_CLIENT)
		return;
	for (; (other = client_also((enum version)v->version, v->clause, n)); n++) {
		out_text(out, n ? "," : ",\"also\":[");
		key_rule(out, "", (enum version)v->version, other);
	}
	if (n)
		OUT_LITERAL(out, "]");
}

static void put_json_place(struct check *check, const char *kind)
{
	struct out *out = check->out;
	const struct conversation *c = check->conversation;

	begin_json(check);
	out_format(out, "{\"kind\":\"%s\",\"frame\":%llu,\"time\":", kind, (unsigned long long)check->when.frame);
	json_seconds(out, (int64_t)(check->when.time_ns - check->base_ns));
	OUT_LITERAL(out, ",\"epoch\":\"");
	json_seconds(out, (int64_t)check->when.time_ns);
	out_format(out, "\",\"connection\":%u,\"stream\":%u", c->number, c->stream);
	if (c->client_id.at)
		json_bytes(out, "client", c->client_id);
	else
		OUT_LITERAL(out, ",\"client\":null");
}

static void write_json(struct check *check, enum sender side, const struct violation *v, enum sender excused)
{
	struct out *out = check->out;

	put_json_place(check, "violation");
	key_text(out, "side", name_of(side));
	key_rule(out, "rule", (enum version)v->version, v->clause);
	key_also(out, side, v);
	if (check->packet && check->packet->bytes.len)
		key_text(out, "type", packet_name(check->packet->bytes.at[0] >> 4));
	if (v->field)
		key_text(out, "field", v->field);
	if (v->offset)
		out_format(out, ",\"offset\":%u", v->offset);
	key_text(out, "text", v->text);
	if (excused)
		key_text(out, "excused", name_of(excused));
	OUT_LITERAL(out, "}\n");
}

void check_report(struct check *check, enum sender side, const struct violation *violation, enum sender excused)
{
	if (check->options.json)
		write_json(check, side, violation, excused);
	else
		write_text(check, side, violation, excused);
	if (check->options.live)
		out_show(check->out, check->when.time_ns);
}

void check_note(struct check *check, const char *text)
{
	struct out *out = check->out;

	if (check->options.json) {
		put_json_place(check, "note");
		key_text(out, "text", text);
		OUT_LITERAL(out, "}\n");
	} else {
		put_place(check);
		OUT_LITERAL(out, "note: ");
		out_text(out, text);
		OUT_LITERAL(out, "\n");
	}
}

/* ---- the table ---- */

struct clause_outcome {			/* of one clause */
	const struct clause *clause;
	const struct tally *client, *broker;	/* NULL: no violation on that side */
	int64_t client_held, broker_held;	/* -1: not judged */
};

static uint64_t violated(const struct tally *tally)
{
	return tally ? tally->violated : 0;
}

/* Of the i-th clause; false when there is none. */
static bool outcome_at(const struct check *check, size_t i, struct clause_outcome *o)
{
	const struct clause *clause = clause_at(i);

	if (!clause)
		return false;
	struct span id = span_text(clause->id);
	*o = (struct clause_outcome){
		.clause = clause,
		.client = check->tallies[0] ? &check->tallies[0][i] : NULL,
		.broker = check->tallies[1] ? &check->tallies[1][i] : NULL,
		.client_held = client_held(&check->client_log, (enum version)clause->version, id),
		.broker_held = monitor_held(&check->broker_log, (enum version)clause->version, id),
	};
	if (clause->version == MQTT_3_1) {	/* its own: no count is kept apart from 3.1.1's */
		o->client_held = -1;
		o->broker_held = -1;
	}
	return true;
}

/* Versions of which nothing was seen are not spoken of. */
static bool is_in_question(const struct check *check, const struct clause *clause)
{
	return clause->version == MQTT_3_1 ? check->seen_3_1 : check->seen[clause->version == MQTT_5];
}

static uint64_t held(const struct clause_outcome *o)
{
	return (uint64_t)(o->client_held > 0 ? o->client_held : 0) + (uint64_t)(o->broker_held > 0 ? o->broker_held : 0);
}

static void put_frames(struct out *out, const struct tally *tally)
{
	for (uint64_t i = 0; i < tally->violated && i < FIRST_FRAMES; i++)
		out_format(out, " f%llu", (unsigned long long)tally->frames[i]);
	if (tally->violated > FIRST_FRAMES)
		OUT_LITERAL(out, " ...");
}

static void put_violated(struct out *out, const struct clause_outcome *o, enum sender side, const struct tally *tally)
{
	char rule[64];

	if (!violated(tally))
		return;
	snprintf(rule, sizeof(rule), "%s:%s", version_name(o->clause->version), o->clause->id);
	out_format(out, "  %-26s %s  %8llu x", rule, name_of(side), (unsigned long long)tally->violated);
	put_frames(out, tally);
	out_format(out, "   %s\n", o->clause->summary);
}

static void put_held(struct out *out, const struct clause_outcome *o, enum sender side, int64_t n)
{
	char rule[64];

	if (n <= 0)
		return;
	snprintf(rule, sizeof(rule), "%s:%s", version_name(o->clause->version), o->clause->id);
	out_format(out, "  %-26s %s  %8lld x   %s\n", rule, name_of(side), (long long)n, o->clause->summary);
}

static void put_listed(struct out *out, const struct clause *clause, unsigned *column)
{
	char rule[64];
	int len = snprintf(rule, sizeof(rule), " %s:%s", version_name(clause->version), clause->id);

	if (*column + (unsigned)len > COLUMNS) {
		OUT_LITERAL(out, "\n ");
		*column = 1;
	} else if (!*column) {
		OUT_LITERAL(out, " ");
		*column = 1;
	}
	out_text(out, rule);
	*column += (unsigned)len;
}

static bool is_violated(const struct clause_outcome *o)
{
	return violated(o->client) || violated(o->broker);
}

static void list_held(struct check *check)
{
	struct clause_outcome o;

	OUT_LITERAL(check->out, "held:\n");
	for (size_t i = 0; outcome_at(check, i, &o); i++) {
		if (!is_in_question(check, o.clause) || is_violated(&o))
			continue;
		put_held(check->out, &o, FROM_CLIENT, o.client_held);
		put_held(check->out, &o, FROM_SERVER, o.broker_held);
	}
}

static void list_unseen(struct check *check)
{
	struct out *out = check->out;
	struct clause_outcome o;
	unsigned column = 0;

	OUT_LITERAL(out, "not observable:\n");
	for (size_t i = 0; outcome_at(check, i, &o); i++) {
		if (!is_in_question(check, o.clause) || is_violated(&o) || held(&o))
			continue;
		if (check->options.verbose)
			out_format(out, "  %s:%-22s %s\n", version_name(o.clause->version), o.clause->id, o.clause->summary);
		else
			put_listed(out, o.clause, &column);
	}
	if (!check->options.verbose)
		OUT_LITERAL(out, "\n");
}

static void table_text(struct check *check)
{
	struct out *out = check->out;
	struct clause_outcome o;
	uint64_t n_violated = 0, n_held = 0, n_unseen = 0;
	bool all = check->options.clauses;

	for (size_t i = 0; outcome_at(check, i, &o); i++) {
		if (!is_in_question(check, o.clause))
			continue;
		n_violated += is_violated(&o);
		n_held += !is_violated(&o) && held(&o);
		n_unseen += !is_violated(&o) && !held(&o);
	}
	if (out->written)
		OUT_LITERAL(out, "\n");
	out_format(out, "clauses: %llu violated, %llu held, %llu not observable in this capture%s\n", (unsigned long long)n_violated,
	           (unsigned long long)n_held, (unsigned long long)n_unseen, !all && n_held + n_unseen ? ": -v lists them" : "");
	if (check->unjudged)
		out_format(out, "  of %llu packets behind something missing nothing was judged\n", (unsigned long long)check->unjudged);
	if (n_violated)
		OUT_LITERAL(out, "violated:\n");
	for (size_t i = 0; outcome_at(check, i, &o); i++) {
		put_violated(out, &o, FROM_CLIENT, o.client);
		put_violated(out, &o, FROM_SERVER, o.broker);
	}
	if (all && n_held)
		list_held(check);
	if (all && n_unseen)
		list_unseen(check);
}

static void side_json(struct out *out, const char *name, const struct tally *tally, int64_t n)
{
	if (!violated(tally) && n < 0)
		return;
	json_key(out, name);
	out_format(out, "{\"violated\":%llu,\"held\":%lld", (unsigned long long)violated(tally), (long long)(n < 0 ? 0 : n));
	for (uint64_t i = 0; i < violated(tally) && i < FIRST_FRAMES; i++)
		out_format(out, "%s%llu", i ? "," : ",\"frames\":[", (unsigned long long)tally->frames[i]);
	out_text(out, violated(tally) ? "]}" : "}");
}

static void table_json(struct check *check)
{
	struct out *out = check->out;
	struct clause_outcome o;

	begin_json(check);
	for (size_t i = 0; outcome_at(check, i, &o); i++) {
		if (!is_in_question(check, o.clause))
			continue;
		OUT_LITERAL(out, "{\"kind\":\"clause\",\"rule\":");
		key_rule(out, "", (enum version)o.clause->version, o.clause->id);
		key_text(out, "outcome", is_violated(&o) ? "violated" : held(&o) ? "held" : "not observable");
		side_json(out, "client", o.client, o.client_held);
		side_json(out, "broker", o.broker, o.broker_held);
		key_text(out, "summary", o.clause->summary);
		OUT_LITERAL(out, "}\n");
	}
}

void check_table(struct check *check)
{
	if (check->options.json)
		table_json(check);
	else
		table_text(check);
}

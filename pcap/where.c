#include <stdlib.h>

#include "codec/topic.h"
#include "pcap/where_program.h"

struct looked {			/* at the values a field has */
	const struct where_test *test;
	bool present, fits;		/* fits: one of them; with WHERE_NE: one is equal */
};

static void number(struct looked *l, int64_t n)
{
	int64_t with = l->test->number;

	l->present = true;
	switch ((enum where_op)l->test->op) {
	case WHERE_EQ: case WHERE_NE: l->fits |= n == with; break;
	case WHERE_LT:  l->fits |= n < with; break;
	case WHERE_LE:  l->fits |= n <= with; break;
	case WHERE_GT:  l->fits |= n > with; break;
	case WHERE_GE:  l->fits |= n >= with; break;
	case WHERE_SET: l->fits |= n != 0; break;
	default: break;
	}
}

static void text(struct looked *l, struct span s)
{
	l->present = true;
	switch ((enum where_op)l->test->op) {
	case WHERE_EQ: case WHERE_NE: l->fits |= span_equal(s, l->test->bytes); break;
	case WHERE_MATCH: l->fits |= topic_matches(l->test->bytes, s); break;
	case WHERE_SET: l->fits = true; break;
	default: break;
	}
}

static void address(struct looked *l, const struct endpoint *e)
{
	l->present = true;
	l->fits |= l->test->op == WHERE_SET || endpoint_equal(e, &l->test->address);
}

static void code(struct looked *l, const struct packet *p, unsigned reason)
{
	if (!l->test->named)
		number(l, reason);
	else
		l->fits |= l->test->codes[p->version - MQTT_3_1][p->type] == (int)reason;
	l->present = true;
}

static void property(struct looked *l, const struct packet *p, const struct field *f)
{
	struct property_walk walk = properties_of(*(const struct span *)((const uint8_t *)p + f->member));
	struct property property;

	while (property_next(&walk, &property)) {
		if (property.id != f->property)
			continue;
		if (l->test->keyed && !span_equal(property.value.bytes, l->test->key))
			continue;
		if (property.kind == PAIR && !l->test->keyed)
			l->present = l->fits = true;
		else if (property.kind == PAIR)
			text(l, property.value.second);
		else if (property.value.kind == VALUE_BYTES)
			text(l, property.value.bytes);
		else
			number(l, (int64_t)property.value.number);
	}
}

/* The filters' text, or with an option's field that part of their options. */
static void filters(struct looked *l, const struct packet *p, const struct field *option)
{
	struct filter_walk walk = filters_of(p);
	struct span filter;
	uint8_t o;

	while (filter_next(&walk, &filter, &o)) {
		if (!option)
			text(l, filter);
		else if (option->width)
			number(l, o >> option->shift & ((1 << option->width) - 1));
		else
			number(l, o);
	}
}

static void field(struct looked *l, const struct packet *p)
{
	const struct field *f = l->test->by_type[p->type];
	struct value value;

	if (!f)
		return;
	if (f->property) {
		property(l, p, f);
	} else if (!f->member) {	/* no field of the packet begins there: a filter's option */
		filters(l, p, f);
	} else if (f->kind == FILTERS || f->kind == TOPICS) {
		filters(l, p, NULL);
	} else if (f->kind == CODES) {
		for (size_t i = 0; i < p->list.len && p->version >= f->since; i++)
			code(l, p, p->list.at[i]);
	} else if (f->limit == REASON) {	/* one that is left out means 0 */
		if (p->version >= f->since)
			code(l, p, p->reason);
	} else if (f->kind == PROPS) {
		l->present = l->fits = p->version == MQTT_5 && ((const struct span *)((const uint8_t *)p + f->member))->len;
	} else if (p->version >= f->since && packet_get(p, f, 0, &value)) {
		if (value.kind == VALUE_BYTES)
			text(l, value.bytes);
		else
			number(l, (int64_t)value.number);
	}
}

static void clause(struct looked *l, const struct seen_packet *seen)
{
	char room[64];
	struct writer w = writer_to(room, sizeof(room));

	if (seen->status != CODEC_BAD)
		return;
	finding_rule(&seen->finding, &w);
	text(l, wr_span(&w));
}

static void topic(struct looked *l, const struct seen_packet *seen)
{
	const struct packet *p = &seen->packet;

	if (seen->status != CODEC_OK || p->type != PUBLISH)
		return;
	if (p->topic.len || (!seen->topic.at && !property_number(p->properties, PROP_topic_alias, 0)))
		text(l, p->topic);
	else if (seen->topic.at)	/* else an alias that was not seen: nobody knows */
		text(l, seen->topic);
}

static bool run(const struct where_test *test, const struct seen_packet *seen, uint64_t base_ns)
{
	const struct conversation *c = seen->conversation;
	struct looked l = { .test = test };

	switch ((enum where_subject)test->subject) {
	case WHERE_FIELD:
		if (seen->status == CODEC_OK)
			field(&l, &seen->packet);
		break;
	case WHERE_TYPE:       number(&l, seen->frame.first >> 4); break;
	case WHERE_FROM:       number(&l, seen->from); break;
	case WHERE_CLIENT:
		if (c->client_id.at)
			text(&l, c->client_id);
		break;
	case WHERE_CONNECTION: number(&l, c->number); break;
	case WHERE_STREAM:     number(&l, c->stream); break;
	case WHERE_FRAME:      number(&l, (int64_t)seen->when.frame); break;
	case WHERE_TIME:       number(&l, (int64_t)(seen->when.time_ns - base_ns)); break;
	case WHERE_SIZE:       number(&l, (int64_t)seen->bytes.len); break;
	case WHERE_REMAINING_LENGTH: number(&l, (int64_t)seen->bytes.len - seen->frame.header_size); break;
	case WHERE_VERSION:    number(&l, seen->status == CODEC_OK ? seen->packet.version : c->version); break;
	case WHERE_WAY:        number(&l, c->via); break;
	case WHERE_SURE:       number(&l, seen->sure); break;
	case WHERE_CONFIDENCE: number(&l, seen->confidence); break;
	case WHERE_TOPIC:      topic(&l, seen); break;
	case WHERE_UNREADABLE: number(&l, seen->status == CODEC_BAD); break;
	case WHERE_CLAUSE:     clause(&l, seen); break;
	case WHERE_BROKER:     address(&l, &c->broker); break;
	case WHERE_CLIENT_ADDRESS: address(&l, &c->client); break;
	}
	switch ((enum where_op)test->op) {
	case WHERE_PRESENT: return l.present;
	case WHERE_ABSENT:  return !l.present;
	case WHERE_NE:      return l.present && !l.fits;
	default:            return l.fits;
	}
}

bool where_matches(const struct where *where, const struct seen_packet *seen, uint64_t base_ns)
{
	bool result = true;

	for (unsigned at = 0; at < where->n_steps;) {
		const struct where_step *step = &where->steps[at++];

		switch ((enum where_code)step->code) {
		case WHERE_RUN: result = run(&where->tests[step->to], seen, base_ns); break;
		case WHERE_NOT: result = !result; break;
		case WHERE_IF:  at = result ? step->to : at; break;
		case WHERE_UNLESS: at = result ? at : step->to; break;
		}
	}
	return result;
}

bool where_takes_whole_connections(const struct where *where)
{
	for (unsigned i = 0; i < where->n_tests; i++)
		switch ((enum where_subject)where->tests[i].subject) {
		case WHERE_CLIENT: case WHERE_CLIENT_ADDRESS: case WHERE_BROKER: case WHERE_CONNECTION: case WHERE_STREAM: case WHERE_VERSION:
		case WHERE_WAY:
			break;
		default:
			return false;
		}
	return true;
}

void where_free(struct where *where)
{
	if (where)
		free(where->tests);
	free(where);
}

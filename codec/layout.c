#include "codec/codec.h"
#include "codec/reader.h"
#include "codec/table.h"

struct plan {
	const uint8_t *start;
	struct part *parts;
	size_t cap, n;
};

static void part(struct plan *plan, const struct field *f, const char *name, const uint8_t *from, const uint8_t *to, uint32_t nth)
{
	if (from == to)
		return;
	if (plan->n < plan->cap)
		plan->parts[plan->n] = (struct part){ f, name, (uint32_t)(from - plan->start), (uint32_t)(to - from), nth };
	plan->n++;
}

static void property_parts(struct plan *plan, struct reader *r, const struct field *f)
{
	const uint8_t *from = r->pos;
	uint32_t count[PROPERTY_ID_MAX + 1] = { 0 };
	size_t len = rd_varint(r, NULL);
	struct property p;

	if (r->why || len > rd_left(r)) {
		rd_fail_at(r, from, "");
		return;
	}
	part(plan, f, f->will ? "will.property_length" : "property_length", from, r->pos, 0);
	struct span list = rd_bytes(r, len);
	struct property_walk walk = properties_of(list);
	from = list.at;
	while (property_next(&walk, &p)) {
		const struct field *own = field_of_property(p.id, f->will);

		part(plan, own, own->name, p.at, p.at + p.size, count[p.id]++);
		from = p.at + p.size;
	}
	if (list.len)
		part(plan, NULL, "unreadable", from, list.at + list.len, 0);
}

static void list_parts(struct plan *plan, struct reader *r, const struct field *f)
{
	for (uint32_t nth = 0; rd_left(r) && !r->why; nth++) {
		const uint8_t *from = r->pos;

		if (f->kind == CODES) {
			rd_u8(r);
		} else {
			rd_binary(r);
			if (f->kind == FILTERS)
				rd_u8(r);
		}
		if (r->why)
			r->error_at = from;
		else
			part(plan, f, f->name, from, r->pos, nth);
	}
}

size_t layout(const uint8_t *buf, size_t len, enum version version, struct part *parts, size_t cap)
{
	struct plan plan = { buf, parts, cap, 0 };
	struct reader r = reader_over(span_of(buf, len));
	struct packet p;
	struct finding finding;

	/* The packet tells which optional rows are there; what decode() could read of a bad one does as well. */
	bool readable = decode(buf, len, version, &p, &finding) == CODEC_OK || finding.rule != RULE_PACKET_TYPE;
	rd_u8(&r);
	part(&plan, NULL, "first_byte", buf, r.pos, 0);
	const uint8_t *from = r.pos;
	rd_varint(&r, NULL);
	if (!r.why)
		part(&plan, NULL, "remaining_length", from, r.pos, 0);
	for (const struct row *row = rows_of(p.type); row->field && !r.why && readable; row++) {
		if (!row_there(row, &p) || !rd_left(&r))
			continue;
		from = r.pos;
		switch (row->field->kind) {
		case PROPS: property_parts(&plan, &r, row->field); continue;
		case FILTERS: case TOPICS: case CODES: list_parts(&plan, &r, row->field); continue;
		case U8:  rd_u8(&r); break;
		case U16: rd_u16(&r); break;
		case REST: rd_bytes(&r, rd_left(&r)); break;
		default: rd_binary(&r);
		}
		if (r.why)
			r.error_at = from;
		else
			part(&plan, row->field, row->field->name, from, r.pos, 0);
	}
	if (len) {
		const uint8_t *end = buf + len, *at = r.why ? r.error_at : r.pos;

		part(&plan, NULL, r.why || !readable ? "unreadable" : "trailing", at, end, 0);
	}
	return plan.n;
}

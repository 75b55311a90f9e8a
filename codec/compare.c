#include "codec/codec.h"
#include "codec/table.h"

static bool same(const struct field *f, const void *a, const void *b)
{
	switch (f->kind) {
	case U8: case BITS: return *(const uint8_t *)a == *(const uint8_t *)b;
	case U16: return *(const uint16_t *)a == *(const uint16_t *)b;
	default:  return span_equal(*(const struct span *)a, *(const struct span *)b);
	}
}

const struct field *packet_differs(const struct packet *a, const struct packet *b)
{
	if (a->type != b->type || a->version != b->version || a->flags != b->flags)
		return field_find(CONNECT, span_text("flags"));	/* of every packet: its first byte */
	for (const struct row *row = rows_of(a->type); row->field; row++) {
		bool there = row_there(row, a);

		if (there != row_there(row, b))
			return row->field;
		if (there && !same(row->field, const_member_of(a, row->field), const_member_of(b, row->field)))
			return row->field;
	}
	return NULL;
}

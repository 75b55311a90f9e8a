#include "codec/codec.h"
#include "codec/table.h"

/* Writing a packet: the same rows as reading. */

static bool omitted(const struct lies *lies, const struct field *f)
{
	if (lies)
		for (size_t i = 0; i < sizeof(lies->omit) / sizeof(*lies->omit) && lies->omit[i]; i++)
			if (lies->omit[i] == f)
				return true;
	return false;
}

static enum status write_properties(struct writer *w, const struct field *f, const struct packet *p, struct span lie)
{
	struct span list = *(const struct span *)const_member_of(p, f);

	if (list.len > VARINT_MAX)
		return CODEC_LIMIT;
	if (lie.len)
		wr_bytes(w, lie);
	else
		wr_length(w, list.len, property_length_size(p, f));
	wr_bytes(w, list);
	return CODEC_OK;
}

static enum status write_field(struct writer *w, const struct field *f, const struct packet *p, const struct lies *lies)
{
	static const struct lies truth;
	const void *member = const_member_of(p, f);
	struct span s;

	switch (f->kind) {
	case U8:  wr_u8(w, *(const uint8_t *)member); return CODEC_OK;
	case U16: wr_u16(w, *(const uint16_t *)member); return CODEC_OK;
	case STR: case BIN:
		s = *(const struct span *)member;
		if (s.len > 65535)
			return CODEC_LIMIT;
		wr_binary(w, s);
		return CODEC_OK;
	case PROPS:
		lies = lies ? lies : &truth;
		return write_properties(w, f, p, f->will ? lies->will_property_length : lies->property_length);
	case REST: case CODES: case FILTERS: case TOPICS:
		wr_bytes(w, *(const struct span *)member);
		return CODEC_OK;
	default:
		return CODEC_OK;
	}
}

size_t row_size(const struct row *row, const struct packet *p)
{
	struct writer measure = writer_to(NULL, 0);

	return write_field(&measure, row->field, p, NULL) == CODEC_OK ? measure.len : 0;
}

static enum status write_body(struct writer *w, const struct packet *p, const struct lies *lies)
{
	for (const struct row *row = rows_of(p->type); row->field; row++) {
		if (row_there(row, p) && !omitted(lies, row->field)) {
			enum status status = write_field(w, row->field, p, lies);

			if (status != CODEC_OK)
				return status;
		}
		if (lies && lies->ends_after && lies->ends_after == row->field)
			break;
	}
	if (lies)
		wr_bytes(w, lies->trailing);
	return CODEC_OK;
}

enum status encode(const struct packet *p, const struct lies *lies, struct writer *w)
{
	struct writer measure = writer_to(NULL, 0);
	enum status status = write_body(&measure, p, lies);

	if (status != CODEC_OK || measure.len > VARINT_MAX)
		return CODEC_LIMIT;
	wr_u8(w, (unsigned)p->type << 4 | p->flags);
	if (lies && lies->remaining_length.len)
		wr_bytes(w, lies->remaining_length);
	else
		wr_varint(w, (uint32_t)measure.len);
	return write_body(w, p, lies);
}

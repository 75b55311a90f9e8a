#include "codec/codec.h"
#include "codec/reader.h"
#include "codec/table.h"

/* Reading a packet: one loop over its rows, one switch over how a field is written. */

static void properties(struct reader *r, struct span *list, bool *overlong)
{
	const uint8_t *from = r->pos;
	size_t len = rd_varint(r, overlong);

	if (len > rd_left(r)) {
		rd_fail_at(r, from, "property length runs past the end");
		return;
	}
	*list = rd_bytes(r, len);
	/* property_next() ends early where it cannot go on: the last good one tells where that was. */
	const uint8_t *reached = list->at;
	struct property_walk walk = properties_of(*list);
	struct property p;
	while (property_next(&walk, &p)) {
		reached = p.at + p.size;
		*overlong |= p.overlong;
	}
	if (list->len && reached != list->at + list->len)
		rd_fail_at(r, reached, property_kind(*reached) < 0 ? "unknown property identifier" : "property runs past the property length");
}

static void filters(struct reader *r, struct span *list, bool options)
{
	const uint8_t *from = r->pos;

	while (rd_left(r)) {
		rd_binary(r);
		if (options)
			rd_u8(r);
	}
	if (!r->why)
		*list = span_of(from, (size_t)(r->pos - from));
}

static void read_field(struct reader *r, const struct field *f, struct packet *p)
{
	void *member = member_of(p, f);

	switch (f->kind) {
	case U8:    *(uint8_t *)member = rd_u8(r); break;
	case U16:   *(uint16_t *)member = rd_u16(r); break;
	case STR: case BIN: *(struct span *)member = rd_binary(r); break;
	case PROPS: properties(r, member, &p->overlong); break;
	case REST: case CODES: *(struct span *)member = rd_bytes(r, rd_left(r)); break;
	case FILTERS: filters(r, member, true); break;
	case TOPICS:  filters(r, member, false); break;
	default: break;
	}
}

/* CONNECT says itself by which version it is to be read. */
static uint8_t version_of_connect(const struct packet *p, uint8_t otherwise)
{
	if (span_is(p->protocol_name, "MQIsdp"))
		return MQTT_3_1;
	switch (p->protocol_version) {
	case MQTT_3_1: case MQTT_3_1_1: case MQTT_5: return p->protocol_version;
	default: return otherwise;
	}
}

static enum rule unreadable(const struct packet *p, const struct field *f, const char *why)
{
	if (p->type == CONNECT)
		return RULE_CONNECT_FORM;
	if (f && f->kind == PROPS && why[0] == 'u')
		return RULE_PROPERTY_UNKNOWN;
	if (f && f->kind == PROPS)
		return RULE_PROPERTY_LENGTH;
	if (f && f->kind == STR && p->type == PUBLISH)
		return RULE_TOPIC_FORM;
	if (f && f->kind == FILTERS)
		return RULE_SUBSCRIBE_FILTER_FORM;
	if (f && f->kind == TOPICS)
		return RULE_UNSUBSCRIBE_FILTER_FORM;
	return RULE_TRUNCATED;
}

enum status decode(const uint8_t *buf, size_t len, enum version version, struct packet *p, struct finding *finding)
{
	struct reader r = reader_over(span_of(buf, len));
	const struct row *row = NULL;

	memset(p, 0, sizeof(*p));
	p->version = (uint8_t)version;
	uint8_t first = rd_u8(&r);
	p->type = first >> 4;
	p->flags = first & 0xf;
	rd_varint(&r, NULL);
	if (p->type == 0 || (p->type == AUTH && version != MQTT_5)) {
		*finding = (struct finding){ .rule = RULE_PACKET_TYPE, .version = p->version, .why = "this packet type is forbidden" };
		return CODEC_BAD;
	}
	for (row = rows_of(p->type); row->field && !r.why; row++) {
		switch (row->when) {
		case REASON_LEFT:
			if (version != MQTT_5 || !rd_left(&r))
				continue;
			p->written |= WRITTEN_REASON;
			break;
		case PROPERTIES_LEFT:
			if (version != MQTT_5 || !rd_left(&r))
				continue;
			p->written |= WRITTEN_PROPERTIES;
			break;
		default:
			if (!row_there(row, p))
				continue;
		}
		read_field(&r, row->field, p);
		if (p->type == CONNECT && row->field->kind == U8 && row->field->member == offsetof(struct packet, protocol_version)) {
			p->version = version_of_connect(p, (uint8_t)version);
			version = p->version;
		}
		if (r.why)
			break;
	}
	if (r.why) {
		*finding = (struct finding){
			.rule = unreadable(p, row->field, r.why), .version = p->version, .offset = (uint32_t)(r.error_at - buf),
			.field = row->field ? row->field->name : NULL, .why = r.why,
		};
		return CODEC_BAD;
	}
	if (rd_left(&r)) {
		*finding = (struct finding){
			.rule = p->type == CONNECT ? RULE_CONNECT_FORM : RULE_TRAILING_BYTES, .version = p->version,
			.offset = (uint32_t)(r.pos - buf), .why = "bytes are left behind the last field",
		};
		return CODEC_BAD;
	}
	return CODEC_OK;
}

#include "codec/codec.h"
#include "codec/reader.h"
#include "codec/table.h"

/* Reading a packet: one loop over its rows, one switch over how a field is written. */

static void properties(struct reader *r, struct span *list, uint8_t *size)
{
	const uint8_t *from = r->pos;
	bool overlong = false;
	size_t len = rd_varint(r, &overlong);

	if (len > rd_left(r)) {
		rd_fail_at(r, from, "property length runs past the end");
		return;
	}
	if (overlong)
		*size = (uint8_t)(r->pos - from);
	struct reader inside = rd_sub(r, len);
	struct property p;
	*list = span_of(inside.pos, len);
	while (rd_left(&inside))
		if (!property_read(&inside, &p))
			rd_fail_at(r, inside.error_at, inside.why);
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
	case PROPS: properties(r, member, f->will ? &p->will_property_length_size : &p->property_length_size); break;
	case REST: case CODES: *(struct span *)member = rd_bytes(r, rd_left(r)); break;
	case FILTERS: filters(r, member, true); break;
	case TOPICS:  filters(r, member, false); break;
	default: break;
	}
}

/* A memset of known size is a slow `rep stos` to gcc, dearer than all the rest of reading a PUBLISH: hide the size. */
static void clear(struct packet *p)
{
	size_t size = sizeof(*p);

	__asm__("" : "+r"(size));
	memset(p, 0, size);
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

/* The clause that asks for the field; missing when the packet ends before it, or before a filter's options. */
static enum rule unreadable(const struct field *f, bool missing, const char *why)
{
	switch (f->kind) {
	case PROPS:
		if (missing)
			return f->will ? RULE_WILL_FIELDS : RULE_PROPERTY_LENGTH_MISSING;
		return !strcmp(why, UNKNOWN_PROPERTY) ? RULE_PROPERTY_UNKNOWN : !strcmp(why, RD_FIVE_BYTES) ? RULE_OVERLONG : RULE_PROPERTY_LENGTH;
	case FILTERS: return missing ? RULE_TRUNCATED : RULE_SUBSCRIBE_FILTER_FORM;
	case TOPICS:  return RULE_UNSUBSCRIBE_FILTER_FORM;
	default: break;
	}
	switch (f->member) {
	case offsetof(struct packet, topic):        return RULE_TOPIC_FORM;
	case offsetof(struct packet, client_id):    return missing ? RULE_CLIENT_ID_MISSING : RULE_CONNECT_FORM;
	case offsetof(struct packet, will_topic):
	case offsetof(struct packet, will_payload): return missing ? RULE_WILL_FIELDS : RULE_CONNECT_FORM;
	case offsetof(struct packet, user_name):    return missing ? RULE_USER_NAME_MISSING : RULE_CONNECT_FORM;
	case offsetof(struct packet, password):     return missing ? RULE_PASSWORD_MISSING : RULE_CONNECT_FORM;
	default: return f->carried == ON(CONNECT) ? RULE_CONNECT_FORM : RULE_TRUNCATED;
	}
}

/* Whether the row is there, which for parts that may be left out depends on how many bytes are left. */
static bool row_left(const struct row *row, struct packet *p, size_t left)
{
	if (p->version == MQTT_5 && left) {
		if (row->when == REASON_LEFT)
			p->written |= WRITTEN_REASON;
		else if (row->when == PROPERTIES_LEFT)
			p->written |= WRITTEN_PROPERTIES;
	}
	if (p->version == MQTT_3_1 && !left && row_there(row, p)) {
		/* the remaining length takes precedence over these flags */
		if (row->when == USER_NAME_FLAG)
			p->written |= LEFT_OUT_USER_NAME;
		else if (row->when == PASSWORD_FLAG)
			p->written |= LEFT_OUT_PASSWORD;
	}
	return row_there(row, p);
}

enum status decode(const uint8_t *buf, size_t len, enum version version, struct packet *p, struct finding *finding)
{
	struct reader r = reader_over(span_of(buf, len));
	const struct row *row;
	const uint8_t *at = buf;

	clear(p);
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
		if (!row_left(row, p, rd_left(&r)))
			continue;
		at = r.pos;
		read_field(&r, row->field, p);
		if (p->type == CONNECT && row->field->kind == U8 && row->field->member == offsetof(struct packet, protocol_version)) {
			p->version = version_of_connect(p, (uint8_t)version);
		}
		if (r.why)
			break;
	}
	if (r.why) {
		bool missing = (row->field && row->field->kind == FILTERS ? r.error_at : at) == buf + len;

		*finding = (struct finding){
			.rule = row->field ? unreadable(row->field, missing, r.why) : RULE_TRUNCATED, .version = p->version,
			.offset = (uint32_t)(r.error_at - buf), .field = row->field ? row->field->name : NULL, .why = r.why,
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

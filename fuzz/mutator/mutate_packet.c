#include "fuzz/mutator/anomalies.h"

#include "codec/table.h"

/* One packet, at one of its fields: taken apart by decode(), put together by encode(), so that every length is right unless it is the length that lies. */

#define N(table) (sizeof(table) / sizeof(*(table)))

enum { TRIES = 12 };

static const struct row *some_row(struct edit *edit)
{
	const struct row *rows = rows_of(edit->packet.type);
	unsigned n = 0;

	while (rows[n].field)
		n++;
	return n ? &rows[random_below(edit->random, n)] : NULL;
}

/* Whether it is there, or may be: what acknowledgements leave out in 5 can be written down. */
static bool row_may(const struct row *row, const struct packet *p)
{
	return row_there(row, p) || (p->version == MQTT_5 && (row->when == REASON_LEFT || row->when == PROPERTIES_LEFT));
}

/* ---- fields ---- */

static bool edit_packet_id(struct edit *edit, uint64_t *id)
{
	uint64_t before = *id;

	switch (random_below(edit->random, 4)) {
	case 0:
		edit->kind = ANOMALY_ID_ZERO;
		*id = 0;
		break;
	case 1:
		edit->kind = ANOMALY_ID_IN_USE;	/* clients begin at 1 */
		*id = 1 + random_below(edit->random, 4);
		break;
	case 2:
		edit->kind = ANOMALY_ID_UNKNOWN;
		*id = 0x100 + random_below(edit->random, 0xff00);
		break;
	default:
		return edit_number(edit, U16, NONZERO, id);
	}
	return *id != before;
}

static bool edit_u8(struct edit *edit, const struct field *f)
{
	struct packet *p = &edit->packet;
	uint64_t number = *(uint8_t *)member_of(p, f);
	bool edited;

	if (f->limit == REASON) {
		edited = edit_reason(edit, &number) || (one_in(edit->random, 2) && edit_number(edit, U8, ANY, &number));
		p->written |= WRITTEN_REASON;
	} else {
		edited = edit_number(edit, U8, f->limit, &number);
	}
	if (f->member == offsetof(struct packet, protocol_version))
		edit->kind = ANOMALY_VERSION_CHANGED;
	*(uint8_t *)member_of(p, f) = (uint8_t)number;
	return edited;
}

static bool edit_u16(struct edit *edit, const struct field *f)
{
	uint16_t *member = member_of(&edit->packet, f);
	uint64_t number = *member;
	bool edited = f->member == offsetof(struct packet, packet_id) ? edit_packet_id(edit, &number) : edit_number(edit, U16, f->limit, &number);

	*member = (uint16_t)number;
	return edited;
}

static size_t body_size(const struct packet *p)
{
	size_t size = 0;

	for (const struct row *row = rows_of(p->type); row->field; row++)
		size += row_there(row, p) ? row_size(row, p) : 0;
	return size;
}

static bool edit_row(struct edit *edit, const struct row *row)
{
	const struct field *f = row->field;
	struct span *string = f->kind == STR || f->kind == BIN || f->kind == REST ? member_of(&edit->packet, f) : NULL;

	edit->field = f;
	edit->around = string ? body_size(&edit->packet) - string->len : 0;
	switch (f->kind) {
	case U8:    return edit_u8(edit, f);
	case U16:   return edit_u16(edit, f);
	case STR:   return edit_text(edit, f->limit == TOPIC_NAME || f->limit == TOPIC_NAME_OR_ALIAS, string);
	case BIN: case REST: return edit_bytes(edit, string);
	case PROPS: return edit_properties(edit, f);
	default:    return edit_elements(edit, f);
	}
}

/* ---- flags ---- */

/* The fields that a flag of CONNECT promises and that are not there are left out: the flag stands alone. */
static void without_fields(struct edit *edit, uint8_t before)
{
	unsigned n = 0;
	struct packet as_before = edit->packet;

	as_before.connect_flags = before;
	for (const struct row *row = rows_of(CONNECT); row->field && n < N(edit->lies.omit); row++)
		if (row_there(row, &edit->packet) && !row_there(row, &as_before))
			edit->lies.omit[n++] = row->field;
}

static bool edit_connect_flags(struct edit *edit)
{
	struct packet *p = &edit->packet;
	uint8_t before = p->connect_flags;
	bool promises;

	edit->field = field_find(CONNECT, span_text("connect_flags"));
	p->connect_flags ^= (uint8_t)(1u << random_below(edit->random, 8));
	promises = p->connect_flags & ~before & (CONNECT_WILL | CONNECT_USER_NAME | CONNECT_PASSWORD);
	if (p->connect_flags & CONNECT_RESERVED) {
		edit->kind = ANOMALY_FLAGS_RESERVED;
	} else if (promises && one_in(edit->random, 2)) {
		edit->kind = ANOMALY_FLAG_ALONE;
		without_fields(edit, before);
	} else if (promises && one_in(edit->random, 2)) {
		edit->kind = ANOMALY_FIELD_ADDED;
		p->will_topic = p->will_topic.len ? p->will_topic : span_text(MOVES_NAME "/will");
		p->user_name = p->user_name.len ? p->user_name : span_text("user");
		p->password = p->password.len ? p->password : span_text("password");
	} else if (one_in(edit->random, 3)) {
		edit->kind = ANOMALY_FLAG_FALSE;
		edit->flip_connect_flags = p->connect_flags ^ before;
		p->connect_flags = before;
	} else {
		edit->kind = ANOMALY_FLAG_CHANGED;
	}
	return true;
}

static bool edit_flags(struct edit *edit)
{
	struct packet *p = &edit->packet;
	uint8_t flip = (uint8_t)(1 + random_below(edit->random, 15));

	if (p->type == CONNECT && !one_in(edit->random, 4))
		return edit_connect_flags(edit);
	edit->field = field_find(p->type, span_text("flags"));
	if (p->type != PUBLISH) {
		p->flags ^= flip;
		edit->kind = ANOMALY_FLAGS_RESERVED;
	} else if (one_in(edit->random, 4)) {
		edit->flip_first = flip;	/* with the packet id that it had, or had not */
		edit->kind = ANOMALY_FLAG_FALSE;
	} else {
		bool had_id = publish_qos(p);

		p->flags ^= flip;
		if (!had_id && publish_qos(p))
			p->packet_id = (uint16_t)(1 + random_below(edit->random, 20));
		edit->kind = publish_qos(p) == 3 ? ANOMALY_VALUE_PAST_RANGE : ANOMALY_FLAG_CHANGED;
	}
	return true;
}

/* ---- the packet as a whole ---- */

static bool change_type(struct edit *edit)
{
	uint8_t type = (uint8_t)random_below(edit->random, 16);

	edit->kind = ANOMALY_TYPE_CHANGED;
	edit->part = "type";
	edit->flip_first = (uint8_t)((edit->packet.type ^ type) << 4);
	return edit->flip_first;
}

/* Written as another version writes it: the level alone is edit_u8()'s. */
static bool change_version(struct edit *edit)
{
	static const enum version versions[] = { MQTT_3_1, MQTT_3_1_1, MQTT_5 };
	struct packet *p = &edit->packet;
	enum version version = versions[random_below(edit->random, N(versions))];

	edit->kind = ANOMALY_VERSION_CHANGED;
	if (p->type != CONNECT || version == p->version)
		return false;
	edit->field = field_find(CONNECT, span_text("protocol_version"));
	p->version = p->protocol_version = (uint8_t)version;
	p->written &= (uint8_t)~(LEFT_OUT_USER_NAME | LEFT_OUT_PASSWORD);
	if (!one_in(edit->random, 4))
		p->protocol_name = span_text(version == MQTT_3_1 ? "MQIsdp" : "MQTT");
	return true;
}

static bool omit_field(struct edit *edit, const struct row *row)
{
	if (!row || !row_there(row, &edit->packet))
		return false;
	edit->kind = ANOMALY_FIELD_OMITTED;
	edit->field = row->field;
	edit->lies.omit[0] = row->field;
	return true;
}

static bool end_early(struct edit *edit, const struct row *row)
{
	if (!row || !row_may(row, &edit->packet) || !row[1].field)
		return false;
	edit->kind = ANOMALY_ENDS_EARLY;
	edit->field = row->field;
	edit->lies.ends_after = row->field;
	return true;
}

static struct span some_bytes(struct edit *edit, size_t most)
{
	size_t len = 1 + random_below(edit->random, most);
	uint8_t *at = arena_take(edit->arena, len);

	for (size_t i = 0; at && i < len; i++)
		at[i] = (uint8_t)random_next(edit->random);
	return span_of(at, at ? len : 0);
}

static bool trail(struct edit *edit)
{
	edit->kind = ANOMALY_TRAILING;
	edit->part = "trailing";
	edit->lies.trailing = some_bytes(edit, one_in(edit->random, 4) ? 200 : 4);
	return edit->lies.trailing.len;
}

static bool edit_whole(struct edit *edit)
{
	const struct row *row = some_row(edit);

	switch (random_below(edit->random, 6)) {
	case 0:  return change_type(edit);
	case 1:  return change_version(edit);
	case 2:  return omit_field(edit, row);
	case 3:  return end_early(edit, row);
	case 4:  return trail(edit);
	default:
		edit->kind = ANOMALY_SIZE_AT_BOUNDARY;
		edit->fills = true;
		return edit->packet.type == PUBLISH;
	}
}

/* ---- lies ---- */

/* A false length: near the truth, a limit, or more bytes than it may have. */
static struct span false_length(struct edit *edit, size_t truth, bool *overlong)
{
	static const char *const odd[] = { "\xff\xff\xff\xff\x7f", "\xff\xff\xff\xff", "\x80\x80\x80\x80\x00", "\x80\x80\x80\x80\x01", "\xff\xff\xff\x7f", "\x80\x80" };
	static const uint8_t odd_len[] = { 5, 4, 5, 5, 4, 2 };
	struct writer w = writer_to(arena_take(edit->arena, 4), 4);
	uint64_t length = truth;
	size_t i;

	*overlong = false;
	switch (random_below(edit->random, 4)) {
	case 0:
		i = random_below(edit->random, N(odd_len));
		return span_of(odd[i], odd_len[i]);
	case 1:
		i = varint_size((uint32_t)truth);
		*overlong = i < 4;
		wr_length(&w, truth, i + (i < 4 ? 1 + random_below(edit->random, 4 - i) : 0));
		return wr_span(&w);
	case 2:
		length = random_below(edit->random, truth + 1);
		break;
	default:
		edit_number(edit, VARINT, ANY, &length);
	}
	wr_varint(&w, (uint32_t)length);
	return wr_span(&w);
}

static bool false_property_length(struct edit *edit)
{
	struct packet *p = &edit->packet;
	bool of_will = p->type == CONNECT && p->connect_flags & CONNECT_WILL && one_in(edit->random, 2), overlong;

	if (p->version != MQTT_5 || p->type == PINGREQ || p->type == PINGRESP)
		return false;
	if (!of_will)
		p->written |= WRITTEN_REASON | WRITTEN_PROPERTIES;
	edit->kind = ANOMALY_PROPERTY_LENGTH_FALSE;
	edit->part = of_will ? "will.property_length" : "property_length";
	*(of_will ? &edit->lies.will_property_length : &edit->lies.property_length) =
		false_length(edit, of_will ? p->will_properties.len : p->properties.len, &overlong);
	edit->kind = overlong ? ANOMALY_LENGTH_OVERLONG : ANOMALY_PROPERTY_LENGTH_FALSE;
	return true;
}

static bool lie(struct edit *edit)
{
	const struct row *row = some_row(edit);
	bool overlong;

	switch (random_below(edit->random, 5)) {
	case 0:
		edit->kind = ANOMALY_PACKET_CUT;
		edit->cut = 1 + random_below(edit->random, 1 + body_size(&edit->packet));
		return true;
	case 1:
		return false_property_length(edit);
	case 2: case 3:
		if (row && row_there(row, &edit->packet) && (row->field->kind == STR || row->field->kind == BIN)) {
			edit->kind = ANOMALY_STRING_LENGTH_FALSE;
			edit->field = row->field;
			edit->false_length = row;
			return true;
		}
		return false;
	default:
		edit->lies.remaining_length = false_length(edit, body_size(&edit->packet), &overlong);
		edit->kind = overlong ? ANOMALY_LENGTH_OVERLONG : ANOMALY_REMAINING_LENGTH_FALSE;
		edit->part = "remaining_length";
		return true;
	}
}

/* ---- writing ---- */

static size_t header_size(const uint8_t *at, size_t len)
{
	size_t size = 1;

	while (size < len && size < 5 && at[size++] & 0x80)
		;
	return size;
}

/* Where the row's field stands in the packet as it was written; len when it does not. */
static size_t offset_of(const struct edit *edit, const struct field *f, const uint8_t *at, size_t len)
{
	const struct packet *p = &edit->packet;
	size_t offset = header_size(at, len);

	for (const struct row *row = rows_of(p->type); row->field; row++) {
		if (row->field == f)
			return offset < len ? offset : len;
		offset += row_there(row, p) ? row_size(row, p) : 0;
	}
	return len;
}

static bool alter(struct edit *edit, uint8_t *at, size_t len)
{
	at[0] ^= edit->flip_first;
	if (edit->flip_connect_flags) {
		size_t offset = offset_of(edit, field_find(CONNECT, span_text("connect_flags")), at, len);

		if (offset == len)
			return false;
		at[offset] ^= edit->flip_connect_flags;
	}
	if (edit->false_length) {
		size_t offset = offset_of(edit, edit->false_length->field, at, len);
		uint64_t length;

		if (len - offset < 2)
			return false;
		length = (uint64_t)at[offset] << 8 | at[offset + 1];
		edit_number(edit, U16, ANY, &length);
		edit->kind = ANOMALY_STRING_LENGTH_FALSE;
		at[offset] = (uint8_t)(length >> 8);
		at[offset + 1] = (uint8_t)length;
	}
	return true;
}

/* The payload makes the PUBLISH as large as wanted, by its remaining length or in all. */
static bool fill(struct edit *edit)
{
	static const uint32_t remaining[] = { 127, 128, 255, 256, 1024, 4096, 8192, 16383, 16384, 32768, 65535 };
	size_t body = body_size(&edit->packet), have = edit->packet.payload.len, want;
	uint8_t *at;

	if (edit->size) {	/* in all: what the header takes comes off */
		want = edit->size - 1 - varint_size((uint32_t)edit->size - 2);
	} else {
		want = remaining[random_below(edit->random, one_in(edit->random, 4) ? N(remaining) : 6)];
		want += random_below(edit->random, 3) - 1;
	}
	edit->field = field_find(PUBLISH, span_text("payload"));
	if (want == body || want < body - have || (want > body && want - body > edit->room))
		return false;
	have += want - body;
	at = arena_take(edit->arena, have ? have : 1);
	if (!at)
		return false;
	memset(at, 'x', have);
	edit->packet.payload = span_of(at, have);
	return true;
}

static bool write_edited(struct edit *edit, struct span before, struct writer *w)
{
	struct writer whole = writer_to(w->at + w->len, w->cap - w->len);

	if ((edit->fills && !fill(edit)) || edit->arena->full)
		return false;
	if (encode(&edit->packet, &edit->lies, &whole) != CODEC_OK || !wr_fits(&whole) || !alter(edit, whole.at, whole.len))
		return false;
	if (edit->cut >= whole.len || span_equal(span_of(whole.at, whole.len - edit->cut), before))
		return false;
	w->len += whole.len - edit->cut;
	return true;
}

static void say(const struct edit *edit, struct anomaly *anomaly)
{
	struct writer path = anomaly_begin(anomaly, edit->kind);

	wr_text(&path, packet_name(edit->packet.type));
	if (edit->part || edit->field) {
		wr_u8(&path, '.');
		wr_text(&path, edit->part ? edit->part : edit->field->name);
	}
	if (edit->nth >= 0) {
		wr_u8(&path, '[');
		path_number(&path, (uint32_t)edit->nth);
		wr_u8(&path, ']');
	}
	anomaly_end(anomaly, &path);
}

static void begin(struct edit *edit, const struct packet *packet, size_t size, const struct writer *w)
{
	size_t left = w->cap - w->len;

	edit->packet = *packet;
	memset(&edit->lies, 0, sizeof(edit->lies));
	edit->room = left > size + 16 ? left - size - 16 : 0;
	edit->false_length = NULL;
	edit->flip_first = edit->flip_connect_flags = 0;
	edit->cut = 0;
	edit->fills = false;
	edit->field = NULL;
	edit->part = NULL;
	edit->nth = -1;
	arena_reset(edit->arena);
}

static bool edit_once(struct edit *edit)
{
	const struct row *row;

	if (one_in(edit->random, 8))
		return lie(edit);
	switch (random_below(edit->random, 8)) {
	case 0:
		return edit_whole(edit);
	case 1:
		return edit_flags(edit);
	default:
		row = some_row(edit);
		return row ? row_may(row, &edit->packet) && edit_row(edit, row) : edit_whole(edit);
	}
}

bool mutate_packet(struct span bytes, enum version version, enum sender from, struct random *random, struct arena *arena, struct writer *w,
                   struct anomaly *anomaly)
{
	struct edit edit = { .random = random, .arena = arena, .from = from };
	struct packet packet;
	struct finding finding;

	if (!wr_fits(w) || decode(bytes.at, bytes.len, version, &packet, &finding) != CODEC_OK)
		return false;
	for (unsigned tries = 0; tries < TRIES; tries++) {
		begin(&edit, &packet, bytes.len, w);
		if (edit_once(&edit) && write_edited(&edit, bytes, w)) {
			say(&edit, anomaly);
			return true;
		}
	}
	return false;
}

bool mutate_publish_size(struct span bytes, enum version version, size_t size, struct arena *arena, struct writer *w)
{
	struct edit edit = { .arena = arena };
	struct packet packet;
	struct finding finding;

	if (!wr_fits(w) || size < 4 || decode(bytes.at, bytes.len, version, &packet, &finding) != CODEC_OK || packet.type != PUBLISH)
		return false;
	begin(&edit, &packet, bytes.len, w);
	edit.fills = true;
	edit.size = size;
	return write_edited(&edit, bytes, w);
}

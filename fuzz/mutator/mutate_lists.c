#include "fuzz/mutator/anomalies.h"

#include "codec/table.h"

/* Properties, filters and codes: lists that are wire bytes already, so that they are taken apart and put together as bytes. */

#define N(table) (sizeof(table) / sizeof(*(table)))

/* Where a piece of a list stands; the list when there are none. */
struct slice {
	size_t at, len;
	uint32_t nth;
};

static struct writer room_for(struct edit *edit, size_t len)
{
	uint8_t *room = arena_take(edit->arena, len ? len : 1);

	return writer_to(room, room ? len : 0);
}

/* list with `middle` in place of list[slice], n times. */
static bool rebuild(struct edit *edit, struct span *list, struct slice slice, struct span middle, size_t n)
{
	size_t len = list->len - slice.len + n * middle.len;
	struct writer w;

	if (len > list->len + edit->room)
		return false;
	w = room_for(edit, len);
	if (!w.at)
		return false;
	wr_bytes(&w, span_of(list->at, slice.at));
	while (n--)
		wr_bytes(&w, middle);
	if (slice.at + slice.len < list->len)
		wr_bytes(&w, span_of(list->at + slice.at + slice.len, list->len - slice.at - slice.len));
	*list = wr_span(&w);
	return true;
}

/* How often it is repeated: mostly a few times, now and then by the hundred, as far as there is room. */
static size_t times(struct edit *edit, size_t len, bool *many)
{
	size_t n = 1 + random_below(edit->random, 3);

	*many = one_in(edit->random, 4);
	if (*many)
		n = one_in(edit->random, 4) ? SIZE_MAX : 50 + random_below(edit->random, 400);
	if (len && n > edit->room / len)
		n = edit->room / len;
	return n;
}

/* ---- properties ---- */

static const uint8_t ids[] = {
#define X(id, name, kind, carried, limit) id,
	PROPERTIES(X)
#undef X
};

static bool some_property(struct span list, struct random *random, struct property *property, struct slice *slice)
{
	struct property_walk walk = properties_of(list);
	struct property before;
	uint32_t n = 0, nth = 0, wanted;

	while (property_next(&walk, property))
		n++;
	if (!n)
		return false;
	wanted = (uint32_t)random_below(random, n);
	walk = properties_of(list);
	do
		property_next(&walk, property);
	while (wanted--);
	for (walk = properties_of(list); property_next(&walk, &before) && before.at != property->at;)
		nth += before.id == property->id;
	*slice = (struct slice){ (size_t)(property->at - list.at), property->size, nth };
	return true;
}

/* Before any of its properties, or behind the last. */
static size_t a_boundary(struct span list, struct random *random)
{
	struct property property;
	struct slice slice;

	if (one_in(random, 2) || !some_property(list, random, &property, &slice))
		return list.len;
	return slice.at;
}

static struct value a_value(struct edit *edit, const struct field *f)
{
	static const char *const texts[] = { "", "a", "fz/1", MOVES_NAME, "PLAIN", "\0\1", "+", "$SYS/x" };
	struct value v = { .kind = VALUE_NUMBER, .number = 1 };

	switch (f->kind) {
	case PAIR:
		v.kind = VALUE_PAIR;
		v.second = span_text(texts[random_below(edit->random, N(texts))]);
		v.bytes = span_text(texts[random_below(edit->random, N(texts))]);
		break;
	case STR: case BIN:
		v.kind = VALUE_BYTES;
		v.bytes = span_text(texts[random_below(edit->random, N(texts))]);
		break;
	default:
		if (!one_in(edit->random, 3))
			edit_number(edit, f->kind, f->limit, &v.number);
	}
	return v;
}

static bool add_user_properties(struct edit *edit, const struct field *list, struct span *to)
{
	const struct field *f = field_of_property(PROP_user_property, list->will);
	uint8_t bytes[64];
	struct writer w = writer_to(bytes, sizeof(bytes));
	struct value v = a_value(edit, f);
	bool many;
	size_t n;

	property_write(&w, f->property, &v);
	n = times(edit, w.len, &many);
	edit->kind = many ? ANOMALY_PROPERTIES_MANY : ANOMALY_PROPERTY_ADDED;
	edit->field = f;
	return n && rebuild(edit, to, (struct slice){ a_boundary(*to, edit->random), 0, 0 }, wr_span(&w), n);
}

static bool add_property(struct edit *edit, const struct field *list, struct span *to)
{
	uint8_t bytes[64];
	struct writer w = writer_to(bytes, sizeof(bytes));
	bool misplaced = one_in(edit->random, 3), belongs = misplaced;
	const struct field *f = NULL;
	struct value v;

	if (one_in(edit->random, 4))		/* the only one that may stand there by the thousand */
		return add_user_properties(edit, list, to);
	for (unsigned tries = 0; belongs == misplaced && tries < 40; tries++) {
		f = field_of_property(ids[random_below(edit->random, N(ids))], list->will);
		belongs = f->carried & ON(edit->packet.type);
	}
	v = a_value(edit, f);
	property_write(&w, f->property, &v);
	edit->kind = belongs ? ANOMALY_PROPERTY_ADDED : ANOMALY_PROPERTY_MISPLACED;
	edit->field = f;
	return rebuild(edit, to, (struct slice){ a_boundary(*to, edit->random), 0, 0 }, wr_span(&w), 1);
}

/* What no table knows: identifiers that are none, of one byte and of two, and bytes that might be a value. */
static bool unknown_property(struct edit *edit, struct span *to)
{
	uint8_t bytes[8];
	size_t n = 0, more = random_below(edit->random, 5);

	do
		bytes[0] = (uint8_t)random_below(edit->random, 256);
	while (property_kind(bytes[0]) >= 0);
	n++;
	if (bytes[0] & 0x80)
		bytes[n++] = (uint8_t)random_below(edit->random, 0x80);
	while (more--)
		bytes[n++] = (uint8_t)random_next(edit->random);
	edit->kind = ANOMALY_PROPERTY_UNKNOWN;
	return rebuild(edit, to, (struct slice){ a_boundary(*to, edit->random), 0, 0 }, span_of(bytes, n), 1);
}

/* A variable byte integer in more bytes than it needs, or than there may be. */
static bool long_varint(struct edit *edit, const struct field *list, struct span *to)
{
	static const char *const forms[] = { "\x0b\x81\x80\x80\x80\x01", "\x0b\xff\xff\xff\xff\x7f", "\x0b\x81\x80\x80\x00", "\x0b\x80\x80\x80\x80", "\x0b\x81\x00" };
	static const uint8_t lens[] = { 6, 6, 5, 5, 3 };
	uint8_t *size = list->will ? &edit->packet.will_property_length_size : &edit->packet.property_length_size;
	size_t i = random_below(edit->random, N(lens) + 2);

	edit->kind = ANOMALY_VARINT_LONG;
	if (i < N(lens))
		return rebuild(edit, to, (struct slice){ a_boundary(*to, edit->random), 0, 0 }, span_of(forms[i], lens[i]), 1);
	edit->part = list->will ? "will.property_length" : "property_length";
	*size = (uint8_t)(2 + random_below(edit->random, 3));
	return *size > varint_size((uint32_t)to->len);
}

/* Another value for one of them. */
static bool edit_property(struct edit *edit, const struct field *f, const struct property *p, struct slice slice, struct span *to)
{
	struct value v = p->value;
	struct span *of = p->kind == PAIR && one_in(edit->random, 2) ? &v.second : &v.bytes;
	struct writer w;
	bool edited;

	edit->around = to->len - of->len;
	switch (p->kind) {
	case PAIR: edited = edit_text(edit, false, of); break;
	case STR:  edited = edit_text(edit, f->limit == TOPIC_NAME, &v.bytes); break;
	case BIN:  edited = edit_bytes(edit, &v.bytes); break;
	default:   edited = edit_number(edit, p->kind, f->limit, &v.number);
	}
	if (!edited || v.bytes.len > 65535 || v.second.len > 65535)
		return false;
	w = room_for(edit, v.bytes.len + v.second.len + 5);
	if (!w.at)
		return false;
	property_write(&w, p->id, &v);
	return rebuild(edit, to, slice, wr_span(&w), 1);
}

static bool edit_one_property(struct edit *edit, const struct field *list, struct span *to)
{
	struct property p;
	struct slice slice;
	size_t n, at;
	uint8_t *room, id;
	bool many;

	if (!some_property(*to, edit->random, &p, &slice))
		return false;
	edit->field = field_of_property(p.id, list->will);
	edit->nth = slice.nth ? (int32_t)slice.nth : -1;
	switch (random_below(edit->random, 8)) {
	case 0:
		edit->kind = ANOMALY_PROPERTY_REMOVED;
		return rebuild(edit, to, slice, span_of(NULL, 0), 0);
	case 1:
		n = times(edit, p.size, &many);
		edit->kind = many ? ANOMALY_PROPERTIES_MANY : ANOMALY_PROPERTY_REPEATED;
		return n && rebuild(edit, to, slice, span_of(p.at, p.size), n + 1);
	case 2:	/* the list ends within it, or it is cut out of its middle */
		at = random_below(edit->random, p.size - 1) + 1;
		edit->kind = ANOMALY_PROPERTY_CUT;
		if (one_in(edit->random, 2))
			slice.len = to->len - slice.at;
		return rebuild(edit, to, slice, span_of(p.at, at), 1);
	case 3:
		id = ids[random_below(edit->random, N(ids))];
		edit->kind = ANOMALY_PROPERTY_WRONG_KIND;
		if (property_kind(id) == p.kind || !(room = (uint8_t *)arena_copy(edit->arena, span_of(p.at, p.size)).at))
			return false;
		*room = id;
		return rebuild(edit, to, slice, span_of(room, p.size), 1);
	default:
		return edit_property(edit, edit->field, &p, slice, to);
	}
}

static bool turn_properties(struct edit *edit, struct span *list)
{
	size_t at = a_boundary(*list, edit->random);
	struct span front = span_of(list->at, at), back = list->len ? span_of(list->at + at, list->len - at) : front;
	struct writer w;

	edit->kind = ANOMALY_PROPERTIES_TURNED;
	if (!front.len || !back.len || span_equal(front, back))
		return false;
	w = room_for(edit, list->len);
	wr_bytes(&w, back);
	wr_bytes(&w, front);
	*list = wr_span(&w);
	return w.at;
}

/* A user property brings their length to where it takes another byte. */
static bool fill_properties(struct edit *edit, const struct field *list, struct span *to)
{
	static const uint16_t limits[] = { 127, 128, 127, 128, 16383, 16384 };
	size_t want = limits[random_below(edit->random, N(limits))], head = 1 + 2 + 1 + 2;	/* identifier, key, value */
	struct value pair = { .kind = VALUE_PAIR, .bytes = span_text("k") };
	struct writer w;
	uint8_t *value;

	if (want < to->len + head || want - to->len > edit->room || !(value = arena_take(edit->arena, want)))
		return false;
	pair.second = span_of(memset(value, 'x', want), want - to->len - head);
	w = room_for(edit, want - to->len);
	if (!w.at)
		return false;
	property_write(&w, PROP_user_property, &pair);
	edit->kind = ANOMALY_SIZE_AT_BOUNDARY;
	edit->part = list->will ? "will.property_length" : "property_length";
	return rebuild(edit, to, (struct slice){ to->len, 0, 0 }, wr_span(&w), 1);
}

bool edit_properties(struct edit *edit, const struct field *list)
{
	struct packet *p = &edit->packet;
	struct span *to = member_of(p, list);
	bool written = p->written & WRITTEN_PROPERTIES;
	size_t before = to->len;

	edit->field = list;
	if (!list->will && !written)	/* where they may be left out; in other packets it means nothing */
		p->written |= WRITTEN_REASON | WRITTEN_PROPERTIES;
	if (one_in(edit->random, 8))
		return fill_properties(edit, list, to);
	if (before && random_below(edit->random, 5) > 1)
		return edit_one_property(edit, list, to);
	switch (random_below(edit->random, 8)) {
	case 0:
		edit->kind = ANOMALY_PROPERTIES_EMPTIED;
		to->len = 0;
		return before;
	case 1:
		return turn_properties(edit, to);
	case 2: case 3:
		return unknown_property(edit, to);
	case 4:
		return long_varint(edit, list, to);
	default:
		return add_property(edit, list, to);
	}
}

/* ---- filters and codes ---- */

static uint32_t n_elements(const struct packet *p, const struct field *f)
{
	struct filter_walk walk = filters_of(p);
	struct span filter;
	uint8_t options;
	uint32_t n = 0;

	if (f->kind == CODES)
		return (uint32_t)p->list.len;
	while (filter_next(&walk, &filter, &options))
		n++;
	return n;
}

static struct slice some_element(struct edit *edit, const struct field *f, struct span *filter, uint8_t *options)
{
	const struct packet *p = &edit->packet;
	uint32_t nth = (uint32_t)random_below(edit->random, n_elements(p, f));
	struct filter_walk walk = filters_of(p);
	const uint8_t *at = walk.pos;

	edit->nth = (int32_t)nth;
	if (f->kind == CODES) {
		*options = p->list.at[nth];
		return (struct slice){ nth, 1, nth };
	}
	for (uint32_t i = 0; i <= nth; i++) {
		at = walk.pos;
		filter_next(&walk, filter, options);
	}
	return (struct slice){ (size_t)(at - p->list.at), (size_t)(walk.pos - at), nth };
}

static bool put_element(struct edit *edit, const struct field *f, struct slice slice, struct span filter, unsigned options)
{
	struct writer w;

	if (filter.len > 65535)
		return false;
	w = room_for(edit, filter.len + 3);
	if (!w.at)
		return false;
	if (f->kind != CODES)
		wr_binary(&w, filter);
	if (f->kind != TOPICS)
		wr_u8(&w, options);
	return rebuild(edit, &edit->packet.list, slice, wr_span(&w), 1);
}

static bool add_element(struct edit *edit, const struct field *f)
{
	static const char *const filters[] = { "#", "+", "$SYS/#", "+/#", "/", "fz/1", MOVES_NAME "/#", "$share/g/#", "$share/" MOVES_NAME "/+/+", "" };

	size_t at = one_in(edit->random, 2) ? 0 : edit->packet.list.len;
	struct span filter = span_text(filters[random_below(edit->random, N(filters))]);

	edit->kind = ANOMALY_ELEMENT_ADDED;
	return put_element(edit, f, (struct slice){ at, 0, 0 }, filter, (unsigned)random_below(edit->random, 3));
}

static bool change_options(struct edit *edit, const struct field *f, struct slice slice, struct span filter, uint8_t options)
{
	uint64_t code = options;

	if (f->kind == CODES) {
		if (!edit_reason(edit, &code))
			return false;
	} else if (f->kind == FILTERS) {
		edit->kind = ANOMALY_OPTIONS_CHANGED;
		code = one_in(edit->random, 4) ? random_below(edit->random, 256) : code ^ (1u << random_below(edit->random, 8));
	} else {
		return false;
	}
	return code != options && put_element(edit, f, slice, filter, (unsigned)code);
}

/* The length of one filter, as it is not. */
static bool false_length(struct edit *edit, struct slice slice, struct span filter)
{
	struct span *list = &edit->packet.list, copy = arena_copy(edit->arena, *list);
	uint64_t len = filter.len;
	uint8_t *at = (uint8_t *)copy.at;

	if (!copy.len || !edit_number(edit, U16, ANY, &len))
		return false;
	edit->kind = ANOMALY_STRING_LENGTH_FALSE;
	at[slice.at] = (uint8_t)(len >> 8);
	at[slice.at + 1] = (uint8_t)len;
	*list = copy;
	return true;
}

/* Hundreds of one filter, each with a number of its own: none replaces the one before. */
static bool number_filters(struct edit *edit, const struct field *f, struct span filter, unsigned options)
{
	size_t size = filter.len + 9, n = 50 + random_below(edit->random, 400);
	struct span *list = &edit->packet.list;
	struct writer w;

	if (n > edit->room / size)
		n = edit->room / size;
	if (!n || filter.len > 65000)
		return false;
	w = room_for(edit, list->len + n * size);
	if (!w.at)
		return false;
	wr_bytes(&w, *list);
	for (uint32_t i = 0; i < n; i++) {
		const uint8_t level[] = { 'a' + i / 676 % 26, 'a' + i / 26 % 26, 'a' + i % 26, '/' };

		wr_u16(&w, (unsigned)filter.len + 4);
		wr_bytes(&w, span_of(level, sizeof(level)));
		wr_bytes(&w, filter);
		if (f->kind == FILTERS)
			wr_u8(&w, options);
	}
	*list = wr_span(&w);
	return true;
}

static bool edit_one_element(struct edit *edit, const struct field *f)
{
	struct span *list = &edit->packet.list, filter = { 0 };
	uint8_t options = 0;
	struct slice slice = some_element(edit, f, &filter, &options);
	size_t n;
	bool many;

	switch (random_below(edit->random, 10)) {
	case 0:
		edit->kind = ANOMALY_ELEMENT_REMOVED;
		return rebuild(edit, list, slice, span_of(NULL, 0), 0);
	case 1:
		n = times(edit, slice.len, &many);
		edit->kind = many ? ANOMALY_LIST_LONG : ANOMALY_ELEMENT_REPEATED;
		return n && rebuild(edit, list, slice, span_of(list->at + slice.at, slice.len), n + 1);
	case 2:
		edit->kind = ANOMALY_LIST_LONG;
		return f->kind != CODES && number_filters(edit, f, filter, options);
	case 3: case 4:
		return change_options(edit, f, slice, filter, options);
	case 5:
		return f->kind != CODES && one_in(edit->random, 2) && false_length(edit, slice, filter);
	default:
		return f->kind != CODES && edit_text(edit, true, &filter) && put_element(edit, f, slice, filter, options);
	}
}

bool edit_elements(struct edit *edit, const struct field *f)
{
	struct span *list = &edit->packet.list;

	edit->field = f;
	if (list->len && !one_in(edit->random, 6))
		return edit_one_element(edit, f);
	if (list->len && one_in(edit->random, 2)) {
		edit->kind = ANOMALY_LIST_EMPTIED;
		list->len = 0;
		return true;
	}
	return add_element(edit, f);
}

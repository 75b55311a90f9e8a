#include "codec/table.h"
#include "fuzz/network/minimise_internal.h"

/* What is left of each packet: by the codec's tables, never making an offence that was not there. */

/* ---- one packet altered ---- */

struct opened {				/* a packet, as it stands in a move */
	struct packet packet;
	struct frame frame;
};

static bool open_packet(const struct moves *m, uint32_t i, struct opened *o)
{
	const struct move *at = &m->at[i];
	enum version version = moves_version(m, i, at->client);
	struct finding finding;

	return move_sends(at) && frame_next(at->bytes.at, at->bytes.len, &o->frame, &finding) == FRAME_OK && o->frame.size == at->bytes.len &&
	       decode(at->bytes.at, at->bytes.len, version, &o->packet, &finding) == CODEC_OK;
}

static bool is_right(const struct opened *o)
{
	struct finding finding;

	return !o->frame.overlong && check(&o->packet, FROM_CLIENT, &finding) == CODEC_OK;
}

bool packet_is_answered(struct span bytes, enum version version)
{
	struct packet p;
	struct finding finding;

	if (!bytes.len || decode(bytes.at, bytes.len, version, &p, &finding) != CODEC_OK)
		return bytes.len;	/* by its end, presumably */
	return p.type == PUBLISH ? publish_qos(&p) != 0 : p.type == CONNECT || p.type == PUBREL || p.type == SUBSCRIBE || p.type == UNSUBSCRIBE || p.type == PINGREQ ||
	       p.type == AUTH || p.type == DISCONNECT;
}

/* As it says; a remaining length that took more bytes than it needs goes on doing so. */
static bool encode_again(const struct opened *o, struct writer *w)
{
	struct writer measure = writer_to(NULL, 0);
	struct lies lies = { 0 };
	uint8_t room[4];
	size_t taken = o->frame.header_size - 1u;

	if (encode(&o->packet, NULL, &measure) != CODEC_OK)
		return false;
	if (o->frame.overlong) {
		struct frame frame = { 0 };
		size_t body = measure.len - 1;

		for (frame.header_size = 1; frame.header_size < 5 && measure.len - 1 - frame.header_size > 0; frame.header_size++)
			if (varint_size((uint32_t)(measure.len - 1 - frame.header_size)) == frame.header_size)
				break;
		body -= frame.header_size;
		if (taken > varint_size((uint32_t)body)) {
			struct writer length = writer_to(room, sizeof(room));

			wr_length(&length, body, taken);
			lies.remaining_length = wr_span(&length);
		}
	}
	return encode(&o->packet, &lies, w) == CODEC_OK;
}

static bool put_bytes(struct moves *m, uint32_t i, struct span bytes)
{
	struct span kept;

	if (bytes.len > sizeof(m->room) - m->used)
		moves_compact(m);
	if (!moves_keep(m, bytes, &kept))
		return false;
	m->at[i].bytes = kept;
	return true;
}

bool packet_alter(struct search *s, struct moves *m, uint32_t i, packet_edit change, const void *how)
{
	struct opened before, after;
	struct writer w;
	uint8_t *room;

	arena_reset(&s->arena);
	if (!open_packet(m, i, &before))
		return false;
	bool right = is_right(&before);
	if (!change(s, &before.packet, how))
		return false;
	room = arena_take(&s->arena, MOVES_BYTES);
	w = writer_to(room, room ? MOVES_BYTES : 0);
	if (!room || !encode_again(&before, &w) || !wr_fits(&w) || span_equal(wr_span(&w), m->at[i].bytes))
		return false;
	struct span old = m->at[i].bytes;
	m->at[i].bytes = wr_span(&w);
	bool well = !right || (open_packet(m, i, &after) && is_right(&after));
	m->at[i].bytes = old;
	return well && put_bytes(m, i, wr_span(&w));
}

static bool alter_one(struct search *s, uint32_t i, packet_edit change, const void *how)
{
	return packet_alter(s, search_begin(s), i, change, how) && search_try(s);
}

/* In all packets at once; if that is too much, in each. */
static void alter_all(struct search *s, packet_edit change, const void *how)
{
	struct moves *m = search_begin(s);
	unsigned n = 0;

	for (uint32_t i = 0; i < m->n; i++)
		n += packet_alter(s, m, i, change, how);
	if (!n || search_try(s) || n == 1)
		return;
	for (uint32_t i = 0; i < s->best->n && !s->over; i++)
		alter_one(s, i, change, how);
}

/* ---- what is optional, all of it ---- */

static bool write_filters(struct search *s, struct packet *p, bool (*each)(void *context, uint32_t nth, struct span *filter, uint8_t *options), void *context)
{
	struct filter_walk walk = filters_of(p);
	uint8_t *room = arena_take(&s->arena, MOVES_BYTES);
	struct writer w = writer_to(room, room ? MOVES_BYTES : 0);
	struct span filter;
	uint8_t options;

	for (uint32_t nth = 0; filter_next(&walk, &filter, &options); nth++) {
		if (!each(context, nth, &filter, &options))
			continue;
		wr_binary(&w, filter);
		if (p->type == SUBSCRIBE)
			wr_u8(&w, options);
	}
	p->list = wr_span(&w);
	return room && wr_fits(&w);
}

static bool keep_qos(void *context, uint32_t nth, struct span *filter, uint8_t *options)
{
	(void)context, (void)nth, (void)filter;
	*options &= SUBSCRIBE_QOS;
	return true;
}

static bool may_end_early(const struct packet *p)
{
	return (p->type >= PUBACK && p->type <= PUBCOMP) || p->type == DISCONNECT || p->type == AUTH;
}

static bool make_plain(struct search *s, struct packet *p, const void *how)
{
	(void)how;
	p->properties = p->will_properties = (struct span){ 0 };
	p->property_length_size = p->will_property_length_size = 0;
	if (may_end_early(p)) {
		p->written = 0;
		p->reason = 0;
	}
	if (p->type == CONNECT) {
		p->connect_flags = CONNECT_CLEAN_START;
		p->keep_alive = 60;
		p->written = 0;
	}
	if (p->type == PUBLISH) {
		p->flags &= (uint8_t)~(PUBLISH_DUP | PUBLISH_RETAIN);
		p->payload = (struct span){ 0 };
	}
	return p->type != SUBSCRIBE || write_filters(s, p, keep_qos, NULL);
}

/* ---- what is wrong and need not be ---- */

static bool put_right(struct search *s, struct packet *p, const void *how)
{
	struct builder right;

	(void)how;
	builder_start(&right, (enum packet_type)p->type, (enum version)p->version, &s->arena);
	if (p->type != PUBLISH)
		p->flags = right.packet.flags;
	else if (publish_qos(p) == 3)
		p->flags &= (uint8_t)~(1u << PUBLISH_QOS_SHIFT);
	p->protocol_name = right.packet.protocol_name;
	p->protocol_version = right.packet.protocol_version;
	p->connect_flags &= (uint8_t)~CONNECT_RESERVED;
	p->property_length_size = p->will_property_length_size = 0;
	p->written &= (uint8_t)~(LEFT_OUT_USER_NAME | LEFT_OUT_PASSWORD);
	if (!p->packet_id)
		p->packet_id = 1;
	return true;
}

/* An overlong remaining length, in its shortest form. */
static void shorten_length(struct search *s, uint32_t i)
{
	struct opened o;
	struct moves *m = search_begin(s);

	arena_reset(&s->arena);
	uint8_t *room = arena_take(&s->arena, MOVES_BYTES);
	struct writer w = writer_to(room, room ? MOVES_BYTES : 0);

	if (open_packet(m, i, &o) && o.frame.overlong && encode(&o.packet, NULL, &w) == CODEC_OK && wr_fits(&w) && put_bytes(m, i, wr_span(&w)))
		search_try(s);
}

/* ---- bits and numbers ---- */

static const struct bits {
	uint8_t type, clear, set;	/* of PUBLISH's flags or connect_flags */
} bits[] = {
	{ CONNECT, CONNECT_WILL | CONNECT_WILL_QOS | CONNECT_WILL_RETAIN, 0 },
	{ CONNECT, CONNECT_USER_NAME | CONNECT_PASSWORD, 0 },
	{ CONNECT, CONNECT_PASSWORD, 0 },
	{ CONNECT, CONNECT_WILL_RETAIN, 0 },
	{ CONNECT, CONNECT_WILL_QOS, 0 },
	{ CONNECT, 0, CONNECT_CLEAN_START },
	{ PUBLISH, PUBLISH_DUP, 0 },
	{ PUBLISH, PUBLISH_RETAIN, 0 },
	{ PUBLISH, 3 << PUBLISH_QOS_SHIFT, 0 },
	{ PUBLISH, 3 << PUBLISH_QOS_SHIFT, 1 << PUBLISH_QOS_SHIFT },
};

static bool set_bits(struct search *s, struct packet *p, const void *how)
{
	const struct bits *b = how;
	uint8_t *flags = p->type == PUBLISH ? &p->flags : &p->connect_flags;

	(void)s;
	if (p->type != b->type)
		return false;
	if (p->type == PUBLISH && b->set && publish_qos(p) <= 1)
		return false;		/* never a higher QoS */
	*flags = (uint8_t)((*flags & ~b->clear) | b->set);
	return true;
}

static bool keep_alive_60(struct search *s, struct packet *p, const void *how)
{
	(void)s, (void)how;
	if (p->type != CONNECT)
		return false;
	p->keep_alive = 60;
	return true;
}

static bool end_early(struct search *s, struct packet *p, const void *how)
{
	(void)s, (void)how;
	if (!may_end_early(p))
		return false;
	p->written = 0;
	p->reason = 0;
	p->properties = (struct span){ 0 };
	return true;
}

static bool no_properties(struct search *s, struct packet *p, const void *how)
{
	(void)s, (void)how;
	p->properties = p->will_properties = (struct span){ 0 };
	if (may_end_early(p))
		p->written &= (uint8_t)~WRITTEN_PROPERTIES;
	return true;
}

static bool no_options(void *context, uint32_t nth, struct span *filter, uint8_t *options)
{
	(void)context, (void)nth, (void)filter;
	*options = 0;
	return true;
}

static bool plain_options(struct search *s, struct packet *p, const void *how)
{
	const bool *with_qos = how;

	return p->type == SUBSCRIBE && write_filters(s, p, *with_qos ? keep_qos : no_options, NULL);
}

/* ---- lists ---- */

struct cut {
	uint32_t move, from, n;
	bool will;
	uint64_t number;
};

static struct span *list_of(struct packet *p, bool will)
{
	return will ? &p->will_properties : &p->properties;
}

static uint32_t count_properties(struct span list)
{
	struct property_walk walk = properties_of(list);
	struct property property;
	uint32_t n = 0;

	while (property_next(&walk, &property))
		n++;
	return n;
}

static bool cut_properties(struct search *s, struct packet *p, const void *how)
{
	const struct cut *cut = how;
	struct span *list = list_of(p, cut->will);
	struct property_walk walk = properties_of(*list);
	struct property property;
	uint8_t *room = arena_take(&s->arena, list->len ? list->len : 1);
	struct writer w = writer_to(room, room ? list->len : 0);

	for (uint32_t i = 0; property_next(&walk, &property); i++)
		if (i < cut->from || i >= cut->from + cut->n)
			wr_bytes(&w, span_of(property.at, property.size));
	*list = wr_span(&w);
	return room;
}

static bool without_properties(struct search *s, void *context, uint32_t from, uint32_t n)
{
	struct cut *cut = context;

	cut->from = from;
	cut->n = n;
	return alter_one(s, cut->move, cut_properties, cut);
}

static bool set_number(struct search *s, struct packet *p, const void *how)
{
	const struct cut *cut = how;
	struct span *list = list_of(p, cut->will);
	struct property_walk walk = properties_of(*list);
	struct property property;
	uint8_t *room = arena_take(&s->arena, list->len + 8);
	struct writer w = writer_to(room, room ? list->len + 8 : 0);

	for (uint32_t i = 0; property_next(&walk, &property); i++) {
		if (i != cut->from) {
			wr_bytes(&w, span_of(property.at, property.size));
			continue;
		}
		if (property.value.kind != VALUE_NUMBER || property.value.number <= cut->number)
			return false;
		property_write_number(&w, property.id, cut->number);
	}
	*list = wr_span(&w);
	return room;
}

static bool kept_filter(void *context, uint32_t nth, struct span *filter, uint8_t *options)
{
	const struct cut *cut = context;

	(void)filter, (void)options;
	return nth < cut->from || nth >= cut->from + cut->n;
}

static bool cut_filters(struct search *s, struct packet *p, const void *how)
{
	struct cut cut = *(const struct cut *)how;

	return write_filters(s, p, kept_filter, &cut);
}

static bool without_filters(struct search *s, void *context, uint32_t from, uint32_t n)
{
	struct cut *cut = context;

	cut->from = from;
	cut->n = n;
	return alter_one(s, cut->move, cut_filters, cut);
}

static bool lower_options(void *context, uint32_t nth, struct span *filter, uint8_t *options)
{
	const struct cut *cut = context;

	(void)filter;
	if (nth == cut->from && *options > cut->number)
		*options = (uint8_t)cut->number;
	return true;
}

static bool set_options(struct search *s, struct packet *p, const void *how)
{
	struct cut cut = *(const struct cut *)how;

	return write_filters(s, p, lower_options, &cut);
}

static bool cut_codes(struct search *s, struct packet *p, const void *how)
{
	const struct cut *cut = how;
	uint8_t *room = arena_take(&s->arena, p->list.len + 1);
	struct writer w = writer_to(room, room ? p->list.len : 0);

	wr_bytes(&w, span_of(p->list.at, cut->from));
	wr_bytes(&w, span_of(p->list.at + cut->from + cut->n, p->list.len - cut->from - cut->n));
	p->list = wr_span(&w);
	return room;
}

static bool without_codes(struct search *s, void *context, uint32_t from, uint32_t n)
{
	struct cut *cut = context;

	cut->from = from;
	cut->n = n;
	return alter_one(s, cut->move, cut_codes, cut);
}

static uint32_t count_filters(const struct packet *p)
{
	struct filter_walk walk = filters_of(p);
	struct span filter;
	uint8_t options;
	uint32_t n = 0;

	while (filter_next(&walk, &filter, &options))
		n++;
	return n;
}

static void shrink_lists(struct search *s, uint32_t i)
{
	struct cut cut = { .move = i };
	struct opened o;

	for (int will = 0; will < 2 && open_packet(s->best, i, &o); will++) {
		uint32_t n = count_properties(*list_of(&o.packet, will));

		cut.will = will;
		n = n ? search_reduce(s, n, true, without_properties, &cut) : 0;
		for (cut.from = 0; cut.from < n && cut.from < 16; cut.from++)
			for (cut.number = 0; cut.number < 2 && !alter_one(s, i, set_number, &cut); cut.number++)
				;
	}
	if (!open_packet(s->best, i, &o))
		return;
	if (o.packet.type == SUBSCRIBE || o.packet.type == UNSUBSCRIBE) {
		uint32_t n = count_filters(&o.packet);

		n = search_reduce(s, n, false, without_filters, &cut);
		for (cut.from = 0; cut.from < n && cut.from < 4; cut.from++)
			for (cut.number = 0; cut.number < 2 && !alter_one(s, i, set_options, &cut); cut.number++)
				;
	}
	if (o.packet.type == SUBACK || o.packet.type == UNSUBACK)
		search_reduce(s, (uint32_t)o.packet.list.len, false, without_codes, &cut);
}

/* ---- packet ids ---- */

struct ids {
	uint16_t from[MOVES_MAX];
	uint32_t n;
};

static bool renumber(struct search *s, struct packet *p, const void *how)
{
	const struct ids *ids = how;

	(void)s;
	for (uint32_t k = 0; k < ids->n && p->packet_id; k++)
		if (ids->from[k] == p->packet_id) {
			p->packet_id = (uint16_t)(k + 1);
			return true;
		}
	return false;
}

static void note_id(const struct moves *m, uint32_t i, struct ids *ids)
{
	struct opened o;
	uint32_t k = 0;

	if (!open_packet(m, i, &o) || !o.packet.packet_id)
		return;
	while (k < ids->n && ids->from[k] != o.packet.packet_id)
		k++;
	if (k == ids->n)
		ids->from[ids->n++] = o.packet.packet_id;
}

/* Ids from 1 on, in order of appearance, each client's alike. */
static bool renumber_ids(struct search *s, unsigned clients)
{
	struct moves *m = search_begin(s);
	bool altered = false;

	for (uint8_t c = 0; c < MOVES_CLIENTS; c++) {
		struct ids ids = { .n = 0 };

		for (uint32_t i = 0; i < m->n && clients >> c & 1; i++)
			if (m->at[i].client == c)
				note_id(s->best, i, &ids);
		for (uint32_t i = 0; i < m->n && ids.n; i++)
			if (m->at[i].client == c)
				altered |= packet_alter(s, m, i, renumber, &ids);
	}
	return !altered || search_try(s);
}

static void shrink_ids(struct search *s)
{
	if (renumber_ids(s, ~0u))
		return;
	for (unsigned c = 0; c < MOVES_CLIENTS; c++)
		renumber_ids(s, 1u << c);
}

/* ---- bytes that are no packet ---- */

static bool without_bytes(struct search *s, void *context, uint32_t from, uint32_t n)
{
	const struct cut *cut = context;
	struct moves *m = search_begin(s);
	struct span bytes = m->at[cut->move].bytes;
	size_t head = cut->number;
	struct writer w;
	uint8_t *room;

	arena_reset(&s->arena);
	room = arena_take(&s->arena, bytes.len + 4);
	w = writer_to(room, bytes.len + 4);
	wr_u8(&w, bytes.at[0]);
	if (cut->will)		/* its length was true and stays so */
		wr_varint(&w, (uint32_t)(bytes.len - head - n));
	else
		wr_bytes(&w, span_of(bytes.at + 1, head - 1));
	wr_bytes(&w, span_of(bytes.at + head, from));
	wr_bytes(&w, span_of(bytes.at + head + from + n, bytes.len - head - from - n));
	return put_bytes(m, cut->move, wr_span(&w)) && search_try(s);
}

/* By halves down to a sixteenth: what cannot be read has no fields to go by. */
static void shrink_raw(struct search *s, uint32_t i)
{
	struct span bytes = s->best->at[i].bytes;
	struct finding finding;
	struct frame frame = { 0 };
	enum frame_status status = frame_next(bytes.at, bytes.len, &frame, &finding);
	struct cut cut = { .move = i, .will = status == FRAME_OK && frame.size == bytes.len && !frame.overlong };
	size_t left;

	cut.number = frame.header_size ? frame.header_size : 1;
	if (bytes.len <= cut.number)
		return;
	left = bytes.len - cut.number;
	for (size_t chunk = (left + 1) / 2; chunk && chunk >= left / 16 && !s->over; chunk /= 2)
		for (size_t end = left; end && !s->over; end = end > chunk ? end - chunk : 0) {
			size_t from = end > chunk ? end - chunk : 0;

			if (without_bytes(s, &cut, (uint32_t)from, (uint32_t)(end - from)))
				left -= end - from;
		}
}

/* ---- all of it ---- */

static void shrink_one(struct search *s, uint32_t i)
{
	struct opened o;

	if (!move_sends(&s->best->at[i]))
		return;
	if (!open_packet(s->best, i, &o)) {
		shrink_raw(s, i);
		return;
	}
	if (o.frame.overlong)
		shorten_length(s, i);
	if (!alter_one(s, i, end_early, NULL))
		alter_one(s, i, no_properties, NULL);
	for (size_t k = 0; k < sizeof(bits) / sizeof(*bits) && !s->over; k++)
		alter_one(s, i, set_bits, &bits[k]);
	alter_one(s, i, keep_alive_60, NULL);
	if (!alter_one(s, i, plain_options, &(bool){ false }))
		alter_one(s, i, plain_options, &(bool){ true });
	shrink_lists(s, i);
}

void search_packets(struct search *s)
{
	alter_all(s, put_right, NULL);
	alter_all(s, make_plain, NULL);
	for (uint32_t i = 0; i < s->best->n && !s->over; i++)
		shrink_one(s, i);
	search_strings(s);
	shrink_ids(s);
}

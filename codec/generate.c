#include "codec/generate.h"

#include "codec/table.h"

static uint64_t rotl(uint64_t x, int k)
{
	return x << k | x >> (64 - k);
}

void random_seed(struct random *random, uint64_t seed)
{
	for (int i = 0; i < 4; i++) {	/* splitmix64 */
		uint64_t z = seed += 0x9e3779b97f4a7c15u;

		z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
		z = (z ^ z >> 27) * 0x94d049bb133111ebu;
		random->state[i] = z ^ z >> 31;
	}
}

uint64_t random_next(struct random *random)
{
	uint64_t *s = random->state, result = rotl(s[1] * 5, 7) * 9, t = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = rotl(s[3], 45);
	return result;
}

uint64_t random_below(struct random *random, uint64_t n)
{
	return (uint64_t)((unsigned __int128)random_next(random) * n >> 64);
}

/* ---- values ---- */

struct maker {
	struct random *random;
	struct builder *b;
	enum packet_type type;
	enum version version;
	enum sender from;
};

static bool chance(struct maker *m, unsigned one_in)
{
	return random_below(m->random, one_in) == 0;
}

static size_t some_length(struct maker *m)
{
	switch (random_below(m->random, 16)) {
	case 0:  return 0;
	case 1:  return random_below(m->random, 300);
	default: return 1 + random_below(m->random, 20);
	}
}

static struct span some_bytes(struct maker *m, size_t len)
{
	uint8_t *at = arena_take(m->b->arena, len ? len : 1);

	for (size_t i = 0; at && i < len; i++)
		at[i] = (uint8_t)random_next(m->random);
	return span_of(at, at ? len : 0);
}

/* Well-formed UTF-8 without U+0000, and without wildcards where a topic name is wanted. */
static struct span some_text(struct maker *m, size_t len, bool topic)
{
	static const char *const pieces[] = { "a", "B", "7", "/", " ", "\"", "\\", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x90\x9d", "\xef\xbb\xbf", "\x01", "$", "\xe2\x80\xae" };
	uint8_t *at = arena_take(m->b->arena, len + 4);
	size_t n = 0;

	if (!at)
		return span_of(NULL, 0);
	while (n < len) {
		struct span piece = span_text(pieces[random_below(m->random, sizeof(pieces) / sizeof(*pieces))]);

		if (!topic && chance(m, 8))
			piece = span_text(chance(m, 2) ? "+" : "#");
		memcpy(at + n, piece.at, piece.len);
		n += piece.len;
	}
	return span_of(at, n);
}

static struct span some_filter(struct maker *m)
{
	static const char *const filters[] = { "#", "+", "a/#", "+/b/+", "a/b", "/", "a//c", "$SYS/#", "\xc3\xa9/+", "x/+/#" };

	if (m->version == MQTT_5 && chance(m, 8))
		return span_text("$share/g/a/+");
	return chance(m, 3) ? some_text(m, 1 + random_below(m->random, 12), true) : span_text(filters[random_below(m->random, sizeof(filters) / sizeof(*filters))]);
}

static uint64_t some_number(struct maker *m, const struct field *f)
{
	static const uint64_t most[] = { [U8] = 0xff, [U16] = 0xffff, [U32] = 0xffffffff, [VARINT] = VARINT_MAX };
	uint64_t top = f->limit == BOOL ? 1 : most[f->kind], low = f->limit == NONZERO;

	switch (random_below(m->random, 4)) {
	case 0:  return low;
	case 1:  return top;
	default: return low + random_below(m->random, top - low + 1);
	}
}

static unsigned some_code(struct maker *m, enum packet_type type)
{
	unsigned code;

	do
		code = (unsigned)random_below(m->random, 0xa3);
	while (!reason_listed(type, m->version, code, m->from));
	return code;
}

static struct value some_value(struct maker *m, const struct field *f)
{
	struct value v = { .kind = VALUE_BYTES };

	switch (f->kind) {
	case STR:
		v.bytes = f->limit == TOPIC_NAME || f->limit == TOPIC_NAME_OR_ALIAS ? some_text(m, 1 + some_length(m), true) : some_text(m, some_length(m), false);
		break;
	case BIN: case REST:
		v.bytes = some_bytes(m, some_length(m));
		break;
	case PAIR:
		v.kind = VALUE_PAIR;
		v.bytes = some_text(m, some_length(m), false);
		v.second = some_text(m, some_length(m), false);
		break;
	default:
		v.kind = VALUE_NUMBER;
		v.number = f->limit == REASON ? some_code(m, m->type) : some_number(m, f);
	}
	return v;
}

static void set(struct maker *m, const char *name, uint64_t number)
{
	builder_set(m->b, field_find(m->type, span_text(name)), &(struct value){ .kind = VALUE_NUMBER, .number = number });
}

/* ---- properties ---- */

static bool may_have(const struct maker *m, const struct field *f)
{
	if (!(f->carried & ON(m->type)))
		return false;
	switch (f->property) {
	case PROP_subscription_identifier: return m->type == SUBSCRIBE || m->from == FROM_SERVER;
	case PROP_session_expiry_interval: return m->type != DISCONNECT || m->from == FROM_CLIENT;
	case PROP_server_reference:        return m->type != DISCONNECT || m->from == FROM_SERVER;
	case PROP_authentication_data:     return false;	/* goes with a method, below */
	default: return true;
	}
}

static void add(struct maker *m, const struct field *f)
{
	struct value v = some_value(m, f);

	builder_set(m->b, f, &v);
}

static void some_properties(struct maker *m, bool will)
{
	unsigned from = (unsigned)random_below(m->random, PROPERTY_ID_MAX), one_in = chance(m, 3) ? 2 : 6;

	for (unsigned i = 0; i <= PROPERTY_ID_MAX; i++) {	/* from anywhere, so that the order differs */
		const struct field *f = field_of_property((from + i) % (PROPERTY_ID_MAX + 1), will);

		if (!f || !may_have(m, f) || !chance(m, one_in))
			continue;
		add(m, f);
		while (f->property == PROP_user_property && chance(m, 2))
			add(m, f);
		if (f->property == PROP_authentication_method && chance(m, 2))
			add(m, field_of_property(PROP_authentication_data, false));
	}
}

/* ---- packets ---- */

static void some_connect(struct maker *m)
{
	bool clean = chance(m, 2), user = chance(m, 2);

	set(m, "clean_start", clean);
	set(m, "keep_alive", random_below(m->random, 65536));
	struct value id = { .kind = VALUE_BYTES, .bytes = some_text(m, 1 + random_below(m->random, 20), false) };
	if (m->version != MQTT_3_1 && chance(m, 8) && (clean || m->version == MQTT_5))
		id.bytes.len = 0;
	builder_set(m->b, field_find(CONNECT, span_text("client_id")), &id);
	if (chance(m, 2)) {
		add(m, field_find(CONNECT, span_text("will.topic")));
		add(m, field_find(CONNECT, span_text("will.payload")));
		set(m, "will.qos", random_below(m->random, 3));
		set(m, "will.retain", random_below(m->random, 2));
		if (m->version == MQTT_5)
			some_properties(m, true);
	}
	if (user)
		add(m, field_find(CONNECT, span_text("user_name")));
	if ((user || m->version == MQTT_5) && chance(m, 2))
		add(m, field_find(CONNECT, span_text("password")));
}

static void some_publish(struct maker *m)
{
	unsigned qos = (unsigned)random_below(m->random, 3);

	set(m, "qos", qos);
	set(m, "retain", random_below(m->random, 2));
	set(m, "dup", qos ? random_below(m->random, 2) : 0);
	add(m, field_find(PUBLISH, span_text("topic")));
	add(m, field_find(PUBLISH, span_text("payload")));
	if (m->version == MQTT_5 && chance(m, 8)) {
		set(m, "topic_alias", 1 + random_below(m->random, 65535));
		m->b->packet.topic.len = 0;
	}
}

static void some_list(struct maker *m)
{
	unsigned n = 1 + (unsigned)random_below(m->random, chance(m, 8) ? 40 : 3);

	while (n--) {
		struct value v = { .kind = VALUE_FILTER };

		if (m->type == SUBACK || m->type == UNSUBACK) {
			v = (struct value){ .kind = VALUE_NUMBER, .number = some_code(m, m->type) };
			builder_set(m->b, field_find(m->type, span_text("reason")), &v);
			continue;
		}
		v.bytes = some_filter(m);
		v.number = m->type == SUBSCRIBE ? random_below(m->random, 3) : 0;
		if (m->type == SUBSCRIBE && m->version == MQTT_5) {
			v.number |= random_below(m->random, 2) << 3;
			v.number |= random_below(m->random, 3) << 4;
			if (v.bytes.len < 7 || memcmp(v.bytes.at, "$share/", 7))
				v.number |= random_below(m->random, 2) << 2;
		}
		builder_set(m->b, field_find(m->type, span_text("filters")), &v);
	}
}

enum status generate(enum packet_type type, enum version version, enum sender from,
                     struct random *random, struct arena *arena, struct packet *packet)
{
	struct builder b;
	struct maker m = { random, &b, type, version, from };
	struct writer w = writer_to(NULL, 0);
	bool tail = type == DISCONNECT || type == AUTH || (type >= PUBACK && type <= PUBCOMP);

	builder_start(&b, type, version, arena);
	if (field_find(type, span_text("packet_id")))
		set(&m, "packet_id", 1 + random_below(random, 65535));
	switch (type) {
	case CONNECT: some_connect(&m); break;
	case PUBLISH: some_publish(&m); break;
	case SUBSCRIBE: case UNSUBSCRIBE: case SUBACK: case UNSUBACK:
		if (type != UNSUBACK || version == MQTT_5)
			some_list(&m);
		break;
	case CONNACK:
		set(&m, "reason", some_code(&m, type));
		set(&m, "session_present", version == MQTT_3_1 || b.packet.reason ? 0 : random_below(random, 2));
		break;
	default:
		if (tail && version == MQTT_5 && (type == AUTH || chance(&m, 2)))
			set(&m, "reason", some_code(&m, type));
	}
	if (version == MQTT_5 && type != PINGREQ && type != PINGRESP && (!tail || b.packet.written)) {
		if (type == AUTH) {
			add(&m, field_of_property(PROP_authentication_method, false));
		} else if (!tail || chance(&m, 2)) {
			some_properties(&m, false);
			b.packet.written |= tail ? WRITTEN_PROPERTIES : 0;
		}
	}
	if (builder_encode(&b, &w) != CODEC_OK || arena->full)
		return CODEC_LIMIT;
	*packet = b.packet;
	if (!tail)
		packet->written = 0;
	return CODEC_OK;
}

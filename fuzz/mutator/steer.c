#include "fuzz/mutator/steer.h"

#include "codec/codec.h"
#include "codec/fields.h"

#define N(table) (sizeof(table) / sizeof(*(table)))

void steered_reset(struct steered *s)
{
	memset(s, 0, sizeof(*s));
	s->version = MQTT_3_1_1;
	s->receive_maximum = 65535;
}

/* ---- what is unanswered ---- */

/* As text: up to its end or its first NUL. */
static void keep_text(char *to, size_t cap, struct span text)
{
	size_t len = text.len < cap - 1 ? text.len : 0;	/* cut it would be another name */

	if (len)
		memcpy(to, text.at, len);
	to[len] = '\0';
}

static bool is_sent(const struct steered *s, uint16_t id, unsigned types)
{
	for (unsigned i = 0; i < s->n_sent; i++)
		if (s->sent[i].id == id && types & ON(s->sent[i].type))
			return true;
	return false;
}

static void add_sent(struct steered *s, uint16_t id, uint8_t type)
{
	if (s->n_sent < STEER_IDS && !is_sent(s, id, ON(type)))
		s->sent[s->n_sent++] = (struct steer_id){ id, type };
}

static void answered(struct steered *s, uint16_t id, unsigned types)
{
	for (unsigned i = 0; i < s->n_sent; i++)
		if (s->sent[i].id == id && types & ON(s->sent[i].type)) {
			memmove(&s->sent[i], &s->sent[i + 1], (s->n_sent - i - 1) * sizeof(*s->sent));
			s->n_sent--;
			return;
		}
}

static void owe(struct steered *s, uint16_t id, uint8_t type, unsigned qos)
{
	for (unsigned i = 0; i < s->n_owed; i++)
		if (s->owed[i].id == id && s->owed[i].type == type)
			return;
	if (s->n_owed == STEER_IDS)
		return;
	s->owed_qos[s->n_owed] = (uint8_t)qos;
	s->owed[s->n_owed++] = (struct steer_id){ id, type };
}

static void take_off(struct steered *s, unsigned i)
{
	unsigned behind = s->n_owed - i - 1u;

	memmove(&s->owed[i], &s->owed[i + 1], behind * sizeof(*s->owed));
	memmove(&s->owed_qos[i], &s->owed_qos[i + 1], behind * sizeof(*s->owed_qos));
	s->n_owed--;
}

static void acknowledged(struct steered *s, uint16_t id, uint8_t type)
{
	for (unsigned i = 0; i < s->n_owed; i++)
		if (s->owed[i].id == id && s->owed[i].type == type) {
			take_off(s, i);
			return;
		}
}

bool steered_waits(const struct steered *s)
{
	return (s->connecting && !s->connected) || s->pings || s->n_sent;
}

void steered_sent(struct steered *s, const struct packet *p)
{
	struct filter_walk walk;
	struct span filter;
	uint8_t options;

	switch (p->type) {
	case CONNECT:
		if (s->connecting || s->connected)
			break;
		s->version = p->version;
		s->connecting = true;
		keep_text(s->client_id, sizeof(s->client_id), p->client_id);
		break;
	case PUBLISH:
		if (p->topic.len)
			keep_text(s->topic, sizeof(s->topic), p->topic);
		if (publish_qos(p))
			add_sent(s, p->packet_id, PUBLISH);
		break;
	case SUBSCRIBE: case UNSUBSCRIBE:
		walk = filters_of(p);
		if (filter_next(&walk, &filter, &options))
			keep_text(s->topic, sizeof(s->topic), filter);
		add_sent(s, p->packet_id, p->type);
		break;
	case PUBREL:
		acknowledged(s, p->packet_id, PUBREC);
		add_sent(s, p->packet_id, PUBREL);
		break;
	case PUBACK: case PUBREC:
		acknowledged(s, p->packet_id, PUBLISH);
		break;
	case PUBCOMP:
		acknowledged(s, p->packet_id, PUBREL);
		break;
	case PINGREQ:
		s->pings += s->pings < UINT8_MAX;
		break;
	default:
		break;
	}
}

static void accepted(struct steered *s, const struct packet *p)
{
	struct value id;

	s->connecting = false;
	s->connected = !p->reason;
	s->receive_maximum = (uint16_t)property_number(p->properties, PROP_receive_maximum, 65535);
	s->topic_alias_maximum = (uint16_t)property_number(p->properties, PROP_topic_alias_maximum, 0);
	s->maximum_packet_size = (uint32_t)property_number(p->properties, PROP_maximum_packet_size, 0);
	if (property_find(p->properties, PROP_assigned_client_identifier, &id))
		keep_text(s->client_id, sizeof(s->client_id), id.bytes);
}

void steered_received(struct steered *s, const struct packet *p)
{
	switch (p->type) {
	case CONNACK:
		accepted(s, p);
		break;
	case PUBLISH:
		if (publish_qos(p))
			owe(s, p->packet_id, PUBLISH, publish_qos(p));
		break;
	case PUBACK:
		answered(s, p->packet_id, ON(PUBLISH));
		break;
	case PUBREC:
		answered(s, p->packet_id, ON(PUBLISH));
		if (p->reason < 0x80)
			owe(s, p->packet_id, PUBREC, 2);
		break;
	case PUBREL:
		owe(s, p->packet_id, PUBREL, 2);
		break;
	case PUBCOMP:
		answered(s, p->packet_id, ON(PUBREL));
		break;
	case SUBACK:
		answered(s, p->packet_id, ON(SUBSCRIBE));
		break;
	case UNSUBACK:
		answered(s, p->packet_id, ON(UNSUBSCRIBE));
		break;
	case PINGRESP:
		s->pings -= s->pings > 0;
		break;
	default:
		break;
	}
}

/* ---- answers ---- */

static void write_ack(const struct steered *s, unsigned type, uint16_t id, uint8_t reason, struct writer *w)
{
	struct packet p = { .version = s->version, .type = (uint8_t)type, .flags = type == PUBREL ? 2 : 0, .packet_id = id };

	if (reason && s->version == MQTT_5) {
		p.reason = reason;
		p.written = WRITTEN_REASON;
	}
	encode(&p, NULL, w);
}

bool steered_answer(struct steered *s, enum answer_how how, struct writer *w)
{
	static const uint8_t wrong[] = { [PUBACK] = PUBREC, [PUBREC] = PUBACK, [PUBREL] = PUBCOMP, [PUBCOMP] = PUBREL };
	unsigned right;
	uint16_t id;

	if (!s->n_owed)
		return false;
	id = s->owed[0].id;
	switch (s->owed[0].type) {
	case PUBLISH: right = s->owed_qos[0] == 2 ? PUBREC : PUBACK; break;
	case PUBREC:  right = PUBREL; break;
	default:      right = PUBCOMP; break;
	}
	take_off(s, 0);
	switch (how) {
	case ANSWER_WRONG_TYPE:
		write_ack(s, wrong[right], id, 0, w);
		break;
	case ANSWER_WRONG_ID:	/* far from all that is in use */
		write_ack(s, right, id == 0x8000 ? 0x8001 : id ^ 0x8000, 0, w);
		break;
	case ANSWER_TWICE:
		write_ack(s, right, id, 0, w);
		write_ack(s, right, id, 0, w);
		break;
	case ANSWER_REFUSES:	/* in 5; there is no such answer before */
		write_ack(s, right, id, right == PUBACK || right == PUBREC ? 0x97 : 0x92, w);
		break;
	default:
		write_ack(s, right, id, 0, w);
	}
	return true;
}

/* ---- what is near to the state ---- */

/* One packet in the making; its lists lie in room. */
struct making {
	const struct steered *s;
	struct writer *w;
	unsigned n;			/* the rest of the value: which of several */
	struct packet packet;
	struct writer properties;
	uint8_t room[128];
	char topic[80];
};

static struct packet *begin(struct making *m, enum packet_type type)
{
	uint8_t flags = type == PUBREL || type == SUBSCRIBE || type == UNSUBSCRIBE ? 2 : 0;

	memset(&m->packet, 0, sizeof(m->packet));
	m->packet.version = m->s->version;
	m->packet.type = (uint8_t)type;
	m->packet.flags = flags;
	m->properties = writer_to(m->room, sizeof(m->room));
	return &m->packet;
}

static void property(struct making *m, unsigned id, uint64_t number)
{
	property_write_number(&m->properties, id, number);
}

static void give(struct making *m)
{
	m->packet.properties = wr_span(&m->properties);
	if (m->properties.len && m->packet.version == MQTT_5)
		m->packet.written |= WRITTEN_REASON | WRITTEN_PROPERTIES;
	encode(&m->packet, NULL, m->w);
}

/* What it publishes to and subscribes to: what it did last, without wildcards and shares where it has to be a name. */
static struct span a_filter(const struct making *m)
{
	return span_text(*m->s->topic ? m->s->topic : MOVES_NAME "/t");
}

static struct span a_topic(struct making *m)
{
	const char *from = *m->s->topic ? m->s->topic : MOVES_NAME "/t";
	size_t len = 0;

	if (!strncmp(from, "$share/", 7)) {
		const char *slash = strchr(from + 7, '/');

		from = slash ? slash + 1 : "t";
	}
	for (; *from; from++)
		m->topic[len++] = *from == '+' || *from == '#' ? 'w' : *from;
	if (!len)
		m->topic[len++] = 't';
	return span_of(m->topic, len);
}

/* An id that is in use for one of these packets, by n; or the next that is not. */
static uint16_t id_in_use(const struct making *m, unsigned types)
{
	const struct steered *s = m->s;

	for (unsigned i = 0; i < s->n_sent; i++) {
		const struct steer_id *sent = &s->sent[(m->n + i) % s->n_sent];

		if (types & ON(sent->type))
			return sent->id;
	}
	return (uint16_t)(1 + m->n % 4);
}

static uint16_t id_free(const struct making *m)
{
	uint16_t id = (uint16_t)(1 + m->n);

	while (is_sent(m->s, id, ~0u))
		id++;
	return id;
}

static struct packet *publish(struct making *m, unsigned qos, uint16_t id)
{
	struct packet *p = begin(m, PUBLISH);

	p->flags = (uint8_t)(qos << PUBLISH_QOS_SHIFT);
	p->topic = a_topic(m);
	p->packet_id = id;
	p->payload = span_text("steered");
	return p;
}

static void write_connect(struct making *m)
{
	static const uint8_t versions[] = { MQTT_5, MQTT_3_1_1, MQTT_5, MQTT_3_1 };
	struct packet *p = begin(m, CONNECT);

	p->version = p->protocol_version = m->s->connecting || m->s->connected ? m->s->version : versions[m->n % 4];
	p->protocol_name = span_text(p->version == MQTT_3_1 ? "MQIsdp" : "MQTT");
	p->client_id = span_text(*m->s->client_id ? m->s->client_id : MOVES_NAME);
	p->keep_alive = m->n & 16 ? 1 : 60;
	if (!(m->n & 4))
		p->connect_flags = CONNECT_CLEAN_START;
	if (m->n & 8 && p->version == MQTT_5)
		property(m, PROP_session_expiry_interval, 30);
	give(m);
}

static void write_publish(struct making *m)
{
	struct packet *p = publish(m, m->n % 3, id_free(m));

	if (m->n & 4)
		p->flags |= PUBLISH_RETAIN;
	if (m->n & 8)
		p->payload.len = 0;
	give(m);
}

/* The same again with DUP, or another message under an id that is in use. */
static void write_again(struct making *m)
{
	struct packet *p = publish(m, m->n & 1 ? 2 : 1, id_in_use(m, ON(PUBLISH) | ON(PUBREL)));

	if (m->n & 2)
		p->flags |= PUBLISH_DUP;
	give(m);
}

/* As many as the broker takes at once, where that is not too much to write, and one more. */
static void write_past_receive_maximum(struct making *m)
{
	unsigned n = m->s->receive_maximum < 40 ? m->s->receive_maximum + 1u : 2;
	uint16_t id = (uint16_t)(100 + m->n);

	while (n--) {
		publish(m, m->n & 1 ? 1 : 2, id++);
		give(m);
	}
}

static void write_alias(struct making *m)
{
	uint16_t most = m->s->topic_alias_maximum;
	const uint16_t aliases[] = { most, (uint16_t)(most + 1), 1, 0, 65535, (uint16_t)(most / 2 + 1) };
	struct packet *p = publish(m, 0, 0);

	if (m->n & 8)
		p->topic.len = 0;
	property(m, PROP_topic_alias, aliases[m->n % 8 % N(aliases)]);
	give(m);
}

/* more: what only 5 has, an identifier and No Local (which no shared subscription may ask for). */
static void subscribe(struct making *m, bool more)
{
	uint8_t list[128];
	struct writer w = writer_to(list, sizeof(list));
	struct packet *p = begin(m, m->n & 1 ? SUBSCRIBE : UNSUBSCRIBE);
	struct span filter = m->n & 2 ? span_text("#") : a_filter(m);
	bool plain = memcmp(filter.at, "$", 1), shares = m->n & 4 && filter.len < 60 && plain;

	p->packet_id = m->n & 8 ? id_in_use(m, ~0u) : id_free(m);
	wr_u16(&w, (unsigned)filter.len + (shares ? 9 : 0));
	wr_text(&w, shares ? "$share/g/" : "");
	wr_bytes(&w, filter);
	if (p->type == SUBSCRIBE)
		wr_u8(&w, m->n / 2 % 3 | (more && plain && !shares && p->version == MQTT_5 ? SUBSCRIBE_NO_LOCAL : 0));
	p->list = wr_span(&w);
	if (more && p->type == SUBSCRIBE)
		property(m, PROP_subscription_identifier, 1 + m->n);
	give(m);
}

static void write_subscribe(struct making *m)
{
	subscribe(m, false);
}

static void write_subscribe_more(struct making *m)
{
	subscribe(m, true);
}

/* The next of a handshake, one that is out of turn, or one that nobody began. */
static void write_handshake(struct making *m)
{
	static const uint8_t types[] = { PUBREL, PUBREC, PUBCOMP, PUBACK };
	const struct steered *s = m->s;
	unsigned type = types[m->n % 4];
	uint16_t id = m->n & 4 ? (uint16_t)(0x4000 + m->n) : type == PUBREL || !s->n_owed ? id_in_use(m, ON(PUBLISH) | ON(PUBREL)) : s->owed[m->n % s->n_owed].id;

	write_ack(s, type, id, m->n & 8 ? 0x92 : 0, m->w);
}

static void write_disconnect(struct making *m)
{
	static const uint8_t reasons[] = { 0x00, 0x04, 0x00, 0x81, 0x04, 0x00 };
	struct packet *p = begin(m, DISCONNECT);

	if (p->version == MQTT_5 && (p->reason = reasons[m->n % N(reasons)]))
		p->written |= WRITTEN_REASON;
	if (m->n % N(reasons) == 2)
		property(m, PROP_session_expiry_interval, m->n & 1 ? 0 : 60);
	give(m);
}

static void write_auth(struct making *m)
{
	static const uint8_t reasons[] = { 0x19, 0x18, 0x00 };
	struct packet *p = begin(m, AUTH);

	p->version = MQTT_5;
	p->reason = reasons[m->n % N(reasons)];
	p->written = WRITTEN_REASON;
	if (!(m->n & 4))
		property_write_bytes(&m->properties, PROP_authentication_method, span_text("A"));
	if (m->n & 8)
		property_write_bytes(&m->properties, PROP_authentication_data, span_text("y"));
	give(m);
}

/* As large as the broker takes, or a byte more; or large enough for most that have a limit and do not say so. */
static void write_large(struct making *m)
{
	static const uint8_t payload[4096];
	const size_t most = m->s->maximum_packet_size;
	struct packet *p = publish(m, 0, 0);
	struct writer measure = writer_to(NULL, 0);
	size_t size = most && most < sizeof(payload) ? most + m->n % 3 - 1 : sizeof(payload), besides;

	p->payload.len = 0;
	encode(p, NULL, &measure);
	besides = measure.len - 1 + (size > 129 ? 2 : 1);	/* the remaining length takes that many bytes */
	p->payload = span_of(payload, size > besides ? size - besides : 0);
	give(m);
}

static void write_ping(struct making *m)
{
	begin(m, PINGREQ);
	give(m);
}

/* What only a server may send. */
static void write_servers(struct making *m)
{
	static const uint8_t types[] = { CONNACK, SUBACK, UNSUBACK, PINGRESP };
	static const uint8_t granted;
	struct packet *p = begin(m, types[m->n % N(types)]);

	p->packet_id = id_in_use(m, ~0u);
	if (p->type == SUBACK || p->type == UNSUBACK)
		p->list = span_of(&granted, 1);
	give(m);
}

typedef void write_fn(struct making *m);

void steered_next(struct steered *s, uint8_t value, struct writer *w)
{
	static write_fn *const unconnected[] = { write_connect, write_connect, write_connect, write_connect, write_publish, write_auth, write_ping, write_servers };
	static write_fn *const connected[] = {
		write_publish, write_publish, write_again, write_past_receive_maximum, write_alias, write_subscribe, write_subscribe_more, write_handshake,
		write_handshake, write_connect, write_disconnect, write_auth, write_large, write_ping, write_servers,
	};
	struct making m = { .s = s, .w = w };

	if (!s->connecting && !s->connected) {
		m.n = value / N(unconnected);
		unconnected[value % N(unconnected)](&m);
		return;
	}
	m.n = value / (N(connected) + 1);
	if (value % (N(connected) + 1) == N(connected)) {	/* what it owes comes first */
		if (steered_answer(s, m.n % N_ANSWERS, w))
			return;
		value = 0;
	}
	connected[value % (N(connected) + 1)](&m);
}

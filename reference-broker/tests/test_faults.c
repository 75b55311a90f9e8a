#include "reference-broker/effects.h"
#include "reference-broker/tests/driver.h"

/*
 * Every fault shows: a battery of conversations is played against a sound broker and against one that commits
 * the fault, and what the clients saw must differ. And faults_named() finds what users name.
 */

#define N_CLIENTS 6

struct seen {
	uint64_t hash;			/* FNV-1a over client, bytes, closing */
};

static struct world w;
static struct client clients[N_CLIENTS];
static bool lazy[N_CLIENTS];		/* does not answer deliveries */
static bool next_is_lazy;
static bool closed[N_CLIENTS];
static struct seen seen;
static uint8_t version;

static void note(const void *bytes, size_t len)
{
	const uint8_t *at = bytes;

	for (size_t i = 0; i < len; i++)
		seen.hash = (seen.hash ^ at[i]) * UINT64_C(1099511628211);
}

static void note_number(uint64_t n)
{
	note(&n, sizeof(n));
}

static char assigned_id[64];

static void react(unsigned who);

/* Takes what came, notes it, and lets the client answer. */
static void look(void)
{
	bool any = true;

	while (any) {
		any = false;
		settle(&w);
		for (unsigned i = 0; i < N_CLIENTS; i++) {
			struct client *c = &clients[i];

			if (!c->link)
				continue;
			if (c->len > c->taken) {
				any = true;
				note_number(i);
				note(c->in + c->taken, c->len - c->taken);
				react(i);
			}
			if (link_closing(c->link) != closed[i]) {
				closed[i] = !closed[i];
				note_number(1000 + i);
			}
		}
	}
}

static void raw(unsigned who, const void *bytes, size_t len)
{
	if (clients[who].link)
		broker_receive(w.broker, clients[who].link, bytes, len, w.now_ns);
	look();
}

#define RAW(who, text) raw((who), (text), sizeof(text) - 1)

static void say_as(unsigned who, struct packet p, const struct lies *lies)
{
	uint8_t room[2048];
	struct writer out = writer_to(room, sizeof(room));

	p.version = version;
	if ((p.type == SUBSCRIBE || p.type == UNSUBSCRIBE || p.type == PUBREL) && !p.flags)
		p.flags = 2;
	assert_int_equal(encode(&p, lies, &out), CODEC_OK);
	assert_true(wr_fits(&out));
	raw(who, room, out.len);
}

static void say(unsigned who, struct packet p)
{
	say_as(who, p, NULL);
}

static void react(unsigned who)
{
	struct client *c = &clients[who];

	while (c->taken < c->len) {
		struct packet p, answer = { 0 };
		struct value id;
		struct frame frame;
		struct finding finding;

		if (frame_next(c->in + c->taken, c->len - c->taken, &frame, &finding) != FRAME_OK) {
			c->taken = c->len = 0;
			return;
		}
		if (decode(c->in + c->taken, frame.size, version, &p, &finding) != CODEC_OK)
			p.type = 0;
		answer.packet_id = p.packet_id;
		if (p.type == CONNACK && property_find(p.properties, PROP_assigned_client_identifier, &id) && id.bytes.len < sizeof(assigned_id)) {
			memcpy(assigned_id, id.bytes.at, id.bytes.len);
			assigned_id[id.bytes.len] = '\0';
		}
		c->taken += frame.size;
		if (c->taken == c->len)
			c->taken = c->len = 0;
		if (lazy[who])
			continue;
		if (p.type == PUBLISH && publish_qos(&p))
			answer.type = publish_qos(&p) == 1 ? PUBACK : PUBREC;
		else if (p.type == PUBREL)
			answer.type = PUBCOMP;
		else
			continue;
		say(who, answer);
		return;			/* look() comes back for the rest */
	}
}

/* ---- steps ---- */

static void opens(unsigned who)
{
	struct client *c = &clients[who];

	if (c->link)
		broker_forget(w.broker, c->link, w.now_ns);
	client_open(&w, c, version);
	closed[who] = false;
	lazy[who] = next_is_lazy;
	next_is_lazy = false;
	look();
}

static void drops(unsigned who)
{
	if (clients[who].link)
		broker_forget(w.broker, clients[who].link, w.now_ns);
	clients[who].link = NULL;
	look();
}

static void waits(uint64_t ns)
{
	pass(&w, ns);
	look();
	note_number(w.now_ns);
}

static struct packet connect_of(const char *id, bool clean)
{
	return (struct packet){
		.type = CONNECT, .protocol_name = span_text("MQTT"), .protocol_version = version, .client_id = span_text(id),
		.connect_flags = clean ? CONNECT_CLEAN_START : 0,
	};
}

static uint8_t room[1024];
static struct writer list;

static struct span props_of(unsigned id, uint64_t number)
{
	static uint8_t at[8][64];
	static unsigned turn;
	struct writer p = writer_to(at[turn++ % 8], sizeof(at[0]));

	property_write_number(&p, id, number);
	return wr_span(&p);
}

static void joins(unsigned who, const char *id, bool clean, uint32_t expiry)
{
	struct packet p = connect_of(id, clean);

	opens(who);
	if (expiry)
		p.properties = props_of(PROP_session_expiry_interval, expiry);
	say(who, p);
}

static void wants(unsigned who, const char *filter, unsigned options)
{
	struct packet p = { .type = SUBSCRIBE, .packet_id = 10 };

	if (version < MQTT_5)
		options &= SUBSCRIBE_QOS;
	list = writer_to(room, sizeof(room));
	wr_binary(&list, span_text(filter));
	wr_u8(&list, options);
	p.list = wr_span(&list);
	say(who, p);
}

static void posts(unsigned who, const char *topic, const char *payload, unsigned qos, unsigned flags)
{
	struct packet p = {
		.type = PUBLISH, .topic = span_text(topic), .payload = span_text(payload), .packet_id = 20,
		.flags = (uint8_t)(qos << PUBLISH_QOS_SHIFT | flags),
	};

	say(who, p);
	if (qos == 2)
		say(who, (struct packet){ .type = PUBREL, .packet_id = 20 });
}

static void ends(unsigned who, unsigned reason)
{
	say(who, (struct packet){ .type = DISCONNECT, .reason = (uint8_t)reason, .written = reason ? WRITTEN_REASON : 0 });
	drops(who);
}

/* ---- conversations ---- */

static void connects_badly(void)
{
	struct packet p, good = connect_of("bad", true);
	struct lies trailing = { .trailing = span_text("x") };

	opens(0); RAW(0, "\xc0\0");
	opens(0); p = good; p.protocol_name = span_text("mqtt"); say(0, p);
	opens(0); p = good; p.protocol_version = 6; say(0, p);
	opens(0); p = good; p.connect_flags |= CONNECT_RESERVED; say(0, p);
	opens(0); say_as(0, good, &trailing);
	opens(0); p = good; p.connect_flags |= 8; say(0, p);
	opens(0); p = good; p.connect_flags |= CONNECT_WILL_RETAIN; say(0, p);
	opens(0); p = good; p.connect_flags |= CONNECT_PASSWORD; say(0, p);
	opens(0); p = good; p.client_id = span_text("\xff"); say(0, p);
	opens(0); p = good; p.client_id = span_of("a\0b", 3); say(0, p);
	opens(0); p = good; p.client_id = span_text("01234567890123456789abc"); say(0, p);
	for (unsigned i = 0; i < 3; i++) {
		static const char *const topics[] = { "\xff", "a/#", "ok" };

		p = good;
		p.connect_flags |= (uint8_t)(CONNECT_WILL | (i == 2 ? CONNECT_WILL_QOS : 0));
		p.will_topic = span_text(topics[i]);
		opens(0); say(0, p);
	}
	opens(0); p = good; p.connect_flags |= CONNECT_USER_NAME; p.user_name = span_text("\xff"); say(0, p);
	opens(0); p = good; p.client_id = span_text(""); say(0, p);
	opens(1); say(1, p);
	opens(0); p.connect_flags = 0; say(0, p); wants(0, "x", 0);
	if (version == MQTT_5) {
		list = writer_to(room, sizeof(room));
		property_write_bytes(&list, PROP_authentication_method, span_text("none"));
		p = good; p.properties = wr_span(&list);
		opens(0); say(0, p); RAW(0, "\xc0\0");
		opens(0); p = good; p.properties = props_of(PROP_receive_maximum, 0); say(0, p);
	}
	joins(0, "good", true, 0); say(0, good); RAW(0, "\xc0\0");
	joins(0, "store", false, 60); drops(0);
	opens(0); p = connect_of("store", false); p.protocol_version = 6; say(0, p);
}

static void assigned(void)
{
	struct packet p = connect_of("", true);

	p.properties = version == MQTT_5 ? props_of(PROP_session_expiry_interval, 60) : (struct span){ 0 };
	opens(0); say(0, p);
	drops(0);
	if (version == MQTT_5)
		joins(0, assigned_id, false, 60);
	joins(1, "ID", false, 60);
	joins(2, "id", false, 60);
	joins(3, "id", false, 60);		/* takes over */
	RAW(2, "\xc0\0");
	RAW(3, "\xc0\0");
}

static void sends_badly(void)
{
	static const struct { const char *at; size_t len; uint8_t only; } bytes[] = {
#define B(text, only) { text, sizeof(text) - 1, only }
		B("\xc1\0", 0), B("\xc0\1x", 0), B("\x80\6\0\1\0\1t\0", 4), B("\xa0\5\0\1\0\1t", 4), B("\xe1\0", 0), B("\x60\2\0\1", 0),
		B("\x36\5\0\1t\0\1", 4), B("\x30\4\0\1\xffx", 4), B("\x30\4\0\1\0x", 4), B("\x30\4\0\1+x", 4), B("\x30\3\0\0x", 4),
		B("\x32\5\0\1t\0\0", 4), B("\x82\2\0\1", 4), B("\xa2\2\0\1", 4), B("\x82\6\0\1\0\1t\4", 4), B("\x82\7\0\1\0\2a#\0", 4),
		B("\x82\7\0\1\0\2a+\0", 4), B("\x82\6\0\1\0\1\xff\0", 4), B("\xa2\5\0\1\0\1\xff", 4), B("\x82\6\0\1\0\1\0\0", 4),
		B("\x82\5\0\1\0\0\0", 4), B("\x20\2\0\0", 4), B("\xd0\0", 0), B("\0\0", 0), B("\x82\6\0\1\0\1t\3", 4),
		B("\x40\3\0\1x", 4), B("\x30\4\0\x09xx", 0), B("\x40\1\0", 0),
		B("\x80\7\0\1\0\0\1t\0", 5), B("\xa0\6\0\1\0\0\1t", 5), B("\x36\6\0\1t\0\1\0", 5), B("\x30\5\0\1\xff\0x", 5),
		B("\x30\5\0\1\0\0x", 5), B("\x30\5\0\1+\0x", 5), B("\x30\4\0\0\0x", 5), B("\x32\6\0\1t\0\0\0", 5), B("\x82\3\0\1\0", 5),
		B("\xa2\3\0\1\0", 5), B("\x82\7\0\1\0\0\1t\x40", 5), B("\x82\x08\0\1\0\0\2a#\0", 5), B("\x82\x08\0\1\0\0\2a+\0", 5),
		B("\x82\7\0\1\0\0\1\xff\0", 5), B("\xa2\6\0\1\0\0\1\xff", 5), B("\x82\7\0\1\0\0\1\0\0", 5), B("\x82\6\0\1\0\0\0\0", 5),
		B("\x20\3\0\0\0", 5), B("\x82\7\0\1\0\0\1t\3", 5), B("\x82\7\0\1\0\0\1t\x30", 5), B("\x82\x0f\0\1\0\0\x09$share//t\0", 5),
		B("\x82\x10\0\1\0\0\x0a$share/#/t\0", 5), B("\x82\x10\0\1\0\0\x0a$share/g/t\4", 5), B("\xf1\0", 5), B("\xf0\0", 5),
		B("\xf0\2\x19\0", 5), B("\xf0\6\x19\4\x15\0\1x", 5), B("\x30\x08\0\1t\3\x23\0\0x", 5), B("\x30\x08\0\1t\3\x23\0\x7fx", 5), B("\x30\7\0\1t\2\x0b\7x", 5),
		B("\x30\7\0\1t\2\x7f\1x", 5), B("\x30\7\0\1t\2\x01\7x", 5), B("\x30\x09\0\1t\4\1\0\1\0x", 5), B("\x30\x08\0\1t\3\x21\0\1x", 5),
		B("\x40\3\0\7\1", 5), B("\xc0\x80\0", 5), B("\x30\x0b\0\1t\6\x26\0\1\xff\0\0x", 5), B("\x30\x09\0\1t\4\x08\0\1\xffx", 5),
		B("\x30\x09\0\1t\4\x08\0\1+x", 5), B("\x30\x09\0\1t\4\x03\0\1\xffx", 5), B("\x31\5\0\1t\0x\x30\x05\0\0\0xy", 5),
#undef B
	};

	joins(1, "all", true, 0);
	wants(1, "#", 2);
	for (size_t i = 0; i < sizeof(bytes) / sizeof(*bytes); i++) {
		if (bytes[i].only && bytes[i].only != version)
			continue;
		joins(0, "sender", true, 0);
		raw(0, bytes[i].at, bytes[i].len);
		RAW(0, "\xc0\0");
		posts(1, "+", "a", 0, 0);
	}
}

static void misc(void)
{
	struct packet p = { .type = SUBSCRIBE, .packet_id = 7 };

	joins(0, "m", true, 0);
	if (version == MQTT_5)
		p.list = span_of("\0\1t\0\0\1u\1\0\1t\2", 12);
	else
		p.list = span_of("\0\1t\0\0\1u\1\0\1t\2", 12);
	say(0, p);
	joins(1, "n", true, 0);
	wants(1, "A/B", 1); wants(1, "a//b", 1); wants(1, "t/#", 1); wants(1, "+", 1); wants(1, "t", 0); wants(1, "T", 0); wants(1, "a/b", 0); wants(1, "/+", 0);
	joins(3, "all", true, 0); wants(3, "#", 2);
	joins(2, "pub", true, 0);
	posts(2, "t", "1", 0, 0); posts(2, "t", "2", 1, PUBLISH_DUP); posts(2, "t", "3", 2, 0); posts(2, "t", "4", 1, PUBLISH_RETAIN);
	posts(2, "t", "5", 1, 0); posts(2, "a//b", "6", 1, 0); posts(2, "A/B", "7", 1, 0); posts(2, "/", "8", 1, 0);
	posts(2, "$x/y", "9", 1, 0); posts(2, "\xef\xbb\xbfx", "10", 1, 0); posts(2, "t/u", "11", 2, 0);
	p = (struct packet){ .type = PUBLISH, .topic = span_text("t"), .packet_id = 9, .flags = 4 };
	say(2, p); p.flags |= PUBLISH_DUP; say(2, p); say(2, (struct packet){ .type = PUBREL, .packet_id = 9 });
	say(2, p); say(2, (struct packet){ .type = PUBREL, .packet_id = 9 });
	p = (struct packet){ .type = UNSUBSCRIBE, .packet_id = 3, .list = span_of("\0\1t\0\1+\0\1x", 9) };
	say(1, p);
	posts(2, "t", "12", 1, 0); posts(2, "q", "13", 1, 0);
	p.list = span_of("\0\3a/#", 5);
	say(1, p); RAW(1, "\xc0\0");
	posts(2, "a/b", "14", 0, 0);
	if (version < MQTT_5)
		RAW(1, "\xe0\0\xc0\0");
	ends(1, 0);
}

static void retains(void)
{
	joins(0, "r", true, 0);
	joins(1, "s", true, 0);
	wants(1, "r/#", 1 | SUBSCRIBE_RETAIN_AS_PUBLISHED);
	joins(2, "s2", true, 0);
	wants(2, "r/+", 1);
	posts(0, "r/1", "a", 1, PUBLISH_RETAIN); posts(0, "r/1", "b", 2, PUBLISH_RETAIN); posts(0, "r/2", "c", 1, PUBLISH_RETAIN);
	posts(0, "r/2", "", 1, PUBLISH_RETAIN); posts(0, "r/3", "", 1, PUBLISH_RETAIN); posts(0, "r/4", "d", 0, 0);
	posts(0, "r/1", "e", 0, 0); posts(0, "r/5", "f", 1, PUBLISH_RETAIN); posts(0, "r/5", "g", 0, PUBLISH_RETAIN);
	drops(0);
	joins(3, "late", true, 0);
	wants(3, "r/+", 2); wants(3, "r/+", 2); wants(3, "r/#", 1 << 4); wants(3, "r/#", 1 << 4); wants(3, "r/1", 2 << 4);
	wants(3, "r/1", 0); wants(3, "r/1", 1);
	if (version == MQTT_5)
		wants(3, "$share/g/r/1", 1);
}

static void resumes(void)
{
	joins(0, "s", false, 60);
	wants(0, "a/#", 2);
	joins(1, "p", false, 60);
	lazy[0] = true;
	posts(1, "a/1", "1", 1, 0); posts(1, "a/1", "2", 2, 0); posts(1, "a/1", "3", 2, 0); posts(1, "a/1", "4", 1, 0);
	say(0, (struct packet){ .type = PUBREC, .packet_id = 2 });
	say(0, (struct packet){ .type = UNSUBSCRIBE, .packet_id = 3, .list = span_of("\0\1x", 3) });
	RAW(0, "\xc0\0");
	drops(0);
	posts(1, "a/1", "5", 1, 0); posts(1, "a/1", "6", 1, 0); posts(1, "a/1", "7", 2, 0);
	say(1, (struct packet){ .type = PUBLISH, .topic = span_text("a/2"), .packet_id = 30, .flags = 4 });
	drops(1); joins(1, "p", false, 60);
	say(1, (struct packet){ .type = PUBLISH, .topic = span_text("a/2"), .packet_id = 30, .flags = 12 });
	joins(0, "s", false, 60); posts(1, "a/1", "again", 1, 0); waits(S); drops(0);
	joins(0, "s", true, 60); posts(1, "a/1", "8", 1, 0); drops(0);
	joins(2, "never", false, 60); joins(0, "s", true, 60); drops(0); drops(2);
	waits(70 * S);
	joins(0, "s", false, 60); joins(2, "never", false, 60);
}

static void wills(void)
{
	static const struct { unsigned qos; bool retain; uint32_t delay, expiry; } rows[] = {
		{ 1, false, 0, 0 }, { 0, true, 0, 60 }, { 0, false, 3, 60 }, { 0, false, 30, 2 }, { 0, false, 30, 0 },
	};

	joins(1, "watch", true, 0);
	wants(1, "w/#", 2 | SUBSCRIBE_RETAIN_AS_PUBLISHED);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		for (unsigned end = 0; end < 6; end++) {
			struct packet p = connect_of("will", end == 3);
			uint8_t at[64];
			struct writer props = writer_to(at, sizeof(at));
			struct value pair = { .kind = VALUE_PAIR, .bytes = span_text("k"), .second = span_text("1") };

			if (rows[i].delay && version < MQTT_5)
				continue;
			p.connect_flags |= (uint8_t)(CONNECT_WILL | rows[i].qos << CONNECT_WILL_QOS_SHIFT | (rows[i].retain ? CONNECT_WILL_RETAIN : 0));
			p.will_topic = span_text("w/1");
			p.will_payload = span_text("gone");
			p.keep_alive = 2;
			if (rows[i].delay)
				property_write_number(&props, PROP_will_delay_interval, rows[i].delay);
			property_write(&props, PROP_user_property, &pair);
			pair.second = span_text("2");
			property_write(&props, PROP_user_property, &pair);
			p.will_properties = wr_span(&props);
			if (rows[i].expiry)
				p.properties = props_of(PROP_session_expiry_interval, rows[i].expiry);
			opens(0); say(0, p);
			if (end == 1)
				ends(0, 0);
			else if (end == 2)
				waits(4 * S);
			else if (end == 3)
				ends(0, 4);
			else if (end == 5)
				RAW(0, "\xe1\0");
			else
				drops(0);
			if (end == 4) {
				joins(0, "will", false, 60);
				waits(5 * S);
				drops(0);
			}
			waits(40 * S);
			joins(2, "late", true, 0);
			wants(2, "w/+", 0);
			posts(1, "w/1", "", 0, PUBLISH_RETAIN);
		}
	}
}

static void times(void)
{
	struct packet p = connect_of("k", true);

	p.keep_alive = 2;
	opens(0); say(0, p);
	for (int i = 0; i < 4; i++) {
		waits(2 * S);
		RAW(0, "\xc0\0");
	}
	waits(10 * S);
	joins(0, "z", true, 0);
	waits(20 * S);
	RAW(0, "\xc0\0");
	joins(0, "e", false, 5);
	say(0, (struct packet){ .type = DISCONNECT, .written = version == MQTT_5 ? WRITTEN_REASON | WRITTEN_PROPERTIES : 0,
	                        .properties = version == MQTT_5 ? props_of(PROP_session_expiry_interval, 1) : (struct span){ 0 } });
	drops(0);
	waits(3 * S);
	joins(0, "e", false, 5);
}

static void post_with(unsigned who, struct span properties, const char *topic, unsigned qos)
{
	say(who, (struct packet){ .type = PUBLISH, .topic = span_text(topic), .payload = span_text("p"), .packet_id = 5,
	                          .flags = (uint8_t)(qos << 1), .properties = properties });
	if (qos == 2)
		say(who, (struct packet){ .type = PUBREL, .packet_id = 5 });
}

static void fives(void)
{
	struct packet p;
	uint8_t at[256];
	struct writer props = writer_to(at, sizeof(at));
	struct value pair = { .kind = VALUE_PAIR, .bytes = span_text("a"), .second = span_text("1") };

	if (version < MQTT_5)
		return;
	joins(0, "five", false, 60);
	p = (struct packet){ .type = SUBSCRIBE, .packet_id = 1, .properties = props_of(PROP_subscription_identifier, 3), .list = span_of("\0\3f/#\2", 6) };
	say(0, p);
	p.properties = props_of(PROP_subscription_identifier, 4);
	p.list = span_of("\0\3f/1\1", 6);
	say(0, p);
	wants(0, "own", 1 | SUBSCRIBE_NO_LOCAL);
	posts(0, "own", "x", 0, 0);
	joins(1, "post", false, 60);
	property_write_number(&props, PROP_payload_format_indicator, 1);
	property_write_bytes(&props, PROP_content_type, span_text("ct"));
	property_write_bytes(&props, PROP_response_topic, span_text("rt"));
	property_write_bytes(&props, PROP_correlation_data, span_text("cd"));
	property_write(&props, PROP_user_property, &pair);
	pair.second = span_text("2");
	property_write(&props, PROP_user_property, &pair);
	post_with(1, wr_span(&props), "f/1", 2);
	post_with(1, props_of(PROP_topic_alias, 1), "f/a", 0); post_with(1, props_of(PROP_topic_alias, 1), "f/b", 0);
	post_with(1, props_of(PROP_topic_alias, 1), "", 0);
	joins(1, "post", false, 60);
	post_with(1, props_of(PROP_topic_alias, 1), "", 0);
	joins(1, "post", true, 0);
	lazy[0] = true;
	post_with(1, props_of(PROP_message_expiry_interval, 2), "f/2", 2);
	drops(0);
	post_with(1, props_of(PROP_message_expiry_interval, 20), "f/2", 1); post_with(1, props_of(PROP_message_expiry_interval, 2), "f/2", 1);
	waits(5 * S);
	joins(0, "five", false, 60);
	drops(0);
	/* windows and sizes */
	p = connect_of("five", false);
	props.len = 0;
	property_write_number(&props, PROP_session_expiry_interval, 60);
	property_write_number(&props, PROP_receive_maximum, 1);
	property_write_number(&props, PROP_maximum_packet_size, 60);
	property_write_number(&props, PROP_topic_alias_maximum, 2);
	property_write_number(&props, PROP_request_problem_information, 0);
	p.properties = wr_span(&props);
	opens(0); say(0, p); lazy[0] = true;
	posts(1, "f/3", "0123456789012345678901234567890123456789012345678901234567890123456789", 1, 0);
	posts(1, "f/3", "1", 1, 0); posts(1, "f/3", "2", 1, 0);
	RAW(0, "\xc0\0"); wants(0, "x", 0);
	say(0, (struct packet){ .type = PUBREL, .packet_id = 99 });
	for (uint16_t id = 1; id < 9; id++)
		say(0, (struct packet){ .type = PUBACK, .packet_id = id, .reason = 0x80, .written = WRITTEN_REASON });
	drops(0);
	opens(0); say(0, p);
	drops(0);
	post_with(1, wr_span(&(struct writer){ 0 }), "f/4", 1); post_with(1, wr_span(&(struct writer){ 0 }), "f/4", 1);
	next_is_lazy = true; joins(0, "five", false, 60); drops(0);
	next_is_lazy = true; opens(0); say(0, p);
	/* our own window, and size */
	joins(2, "flood", true, 0);
	for (uint16_t id = 1; id < 6; id++)
		say(2, (struct packet){ .type = PUBLISH, .topic = span_text("o"), .packet_id = id, .flags = 4 });
	joins(2, "big", true, 0);
	{
		static const char big[1100];

		raw(2, "\x30\xcc\x08\0\1t\0", 7);
		raw(2, big, sizeof(big) - 1);
	}
	/* shared */
	joins(2, "g1", true, 0); wants(2, "$share/g/f/s", 0);
	joins(3, "g2", true, 0); wants(3, "$share/g/f/s", 1);
	joins(4, "g3", true, 0); wants(4, "$share/g/f/s", 2);
	for (int i = 0; i < 4; i++)
		posts(1, "f/s", "s", 1, 0);
	joins(5, "s1", true, 0); joins(5, "s1", true, 0);
}

/* CONNECT that ends too soon, lengths of five bytes, and what else a client may get wrong or find altered. */
static void cut_short(void)
{
#define CUT(rest_311, rest_5) \
	do { \
		opens(0); \
		if (version == MQTT_5) \
			RAW(0, rest_5); \
		else \
			RAW(0, rest_311); \
		RAW(0, "\xc0\0"); \
	} while (0)
	opens(0); RAW(0, "\x10\6\0\4MQTT");
	CUT("\x10\xff\xff\xff\xff\1", "\x10\xff\xff\xff\xff\1");
	CUT("\x10\x0a\0\4MQTT\4\2\0\0", "\x10\x0b\0\4MQTT\5\2\0\0\0");
	CUT("\x10\x0d\0\4MQTT\4\6\0\0\0\1a", "\x10\x0e\0\4MQTT\5\6\0\0\0\0\1a");
	CUT("\x10\x0d\0\4MQTT\4\x82\0\0\0\1a", "\x10\x0e\0\4MQTT\5\x82\0\0\0\0\1a");
	CUT("\x10\x10\0\4MQTT\4\xc2\0\0\0\1a\0\1u", "\x10\x11\0\4MQTT\5\xc2\0\0\0\0\1a\0\1u");
	CUT("\x10\x0d\0\4MQTT\4\2\0\0\0\1p\xc0\0", "\x10\x0e\0\4MQTT\5\2\0\0\0\0\1p\xc0\0");
#undef CUT
	joins(0, "x", true, 0);
	RAW(0, "\xc0\x80\x80\x80\x80\0");
}

static void altered(void)
{
	static char large[601];
	uint8_t at[16];
	struct writer props = writer_to(at, sizeof(at));
	struct packet p = connect_of("data", true);

	memset(large, 'l', sizeof(large) - 1);
	joins(1, "all", true, 0);
	wants(1, "a/#", 0);
	posts(1, "a", large, 0, 0);
	if (version < MQTT_5)
		return;
	property_write_bytes(&props, PROP_authentication_data, span_text("x"));
	p.properties = wr_span(&props);
	opens(0); say(0, p); RAW(0, "\xc0\0");
	joins(0, "zero", true, 0);
	say(0, (struct packet){ .type = DISCONNECT, .written = WRITTEN_REASON | WRITTEN_PROPERTIES,
	                        .properties = props_of(PROP_session_expiry_interval, 60) });
	p = connect_of("slow", true);
	p.keep_alive = 60;
	opens(0); say(0, p);
	p = (struct packet){ .type = SUBSCRIBE, .packet_id = 1, .properties = props_of(PROP_subscription_identifier, 3), .list = span_of("\0\1b\0", 4) };
	say(0, p);
	p.properties = props_of(PROP_subscription_identifier, 4);
	say(0, p);
	posts(1, "b", "x", 0, 0);
	waits(4 * S);
}

/* Every user's password is his name. */
static enum login check_login(void *context, struct span user_name, struct span password, uint64_t now_ns)
{
	(void)context, (void)now_ns;
	return span_equal(user_name, password) ? LOGIN_RIGHT : LOGIN_WRONG;
}

static struct packet login(const char *id, const char *user, const char *password)
{
	struct packet p = connect_of(id, false);

	p.connect_flags |= CONNECT_USER_NAME | CONNECT_PASSWORD;
	p.user_name = span_text(user);
	p.password = span_text(password);
	return p;
}

static void logins(void)
{
	opens(0); say(0, login("kept", "alice", "alice"));
	opens(1); say(1, login("other", "bob", "alice"));
	opens(1); say(1, login("kept", "bob", "bob"));
	RAW(0, "\xc0\0");
}

/* A method of two steps: any data, then "yes". */
static enum authenticated ask(void *of, void *state, struct span data, struct span *answer, struct span *user_name)
{
	bool *begun = state;

	(void)of;
	*answer = span_text(*begun ? "welcome" : "really?");
	if (!*begun)
		return *begun = true, AUTHENTICATION_GOES_ON;
	*user_name = span_text("alice");
	return span_is(data, "yes") ? AUTHENTICATION_RIGHT : AUTHENTICATION_WRONG;
}

static const struct authentication asking = { { (const uint8_t *)"ASK", 3 }, sizeof(bool), ask };

static struct span method_of(const char *method, const char *data)
{
	list = writer_to(room, sizeof(room));
	property_write_bytes(&list, PROP_authentication_method, span_text(method));
	property_write_bytes(&list, PROP_authentication_data, span_text(data));
	return wr_span(&list);
}

static void auth(unsigned who, unsigned reason, const char *method, const char *data)
{
	say(who, (struct packet){ .type = AUTH, .reason = (uint8_t)reason, .written = WRITTEN_REASON | WRITTEN_PROPERTIES,
	                          .properties = method_of(method, data) });
}

static void begins(unsigned who)
{
	struct packet p = connect_of("asked", true);

	p.properties = method_of("ASK", "alice");
	opens(who); say(who, p);
}

static void authenticates(void)
{
	struct packet p = connect_of("narrow", true);

	if (version < MQTT_5)
		return;
	begins(0); auth(0, 0x18, "ASK", "yes");
	wants(0, "t", 0);
	auth(0, 0x19, "ASK", "alice"); posts(0, "t", "meanwhile", 0, 0); auth(0, 0x18, "ASK", "yes");
	auth(0, 0x19, "ASK", "alice"); auth(0, 0x18, "ASK", "no");
	begins(0); auth(0, 0x18, "ASK", "no");
	begins(0); auth(0, 0x18, "ASK2", "yes");
	begins(0); auth(0, 0x19, "ASK", "yes");
	begins(0); RAW(0, "\xc0\0"); auth(0, 0x18, "ASK", "yes");
	begins(0); auth(0, 0x18, "ASK", "yes"); auth(0, 0x18, "ASK", "yes");
	begins(0); RAW(0, "\xe0\0");
	p.properties = method_of("ASK", "alice");
	property_write_number(&list, PROP_maximum_packet_size, 100);
	p.properties = wr_span(&list);
	opens(0); say(0, p);
}

/* ---- what the suite's newer tests are about ---- */

static void wants_as(unsigned who, const char *filter, unsigned options, unsigned identifier)
{
	struct packet p = { .type = SUBSCRIBE, .packet_id = 10, .properties = props_of(PROP_subscription_identifier, identifier) };

	list = writer_to(room, sizeof(room));
	wr_binary(&list, span_text(filter));
	wr_u8(&list, options);
	p.list = wr_span(&list);
	say(who, p);
}

static void shares(void)
{
	if (version < MQTT_5)
		return;
	next_is_lazy = true; joins(0, "a", false, 60); wants_as(0, "$share/g/t", 2, 5);
	joins(2, "pub", true, 0);
	posts(2, "t", "begun", 2, 0); posts(2, "t", "refused", 1, 0); posts(2, "t", "left", 1, 0);
	next_is_lazy = true; joins(1, "b", false, 60); wants_as(1, "$share/g/t", 2, 6);
	say(0, (struct packet){ .type = PUBACK, .packet_id = 2, .reason = 0x80, .written = WRITTEN_REASON });
	posts(2, "t", "1", 0, 0); posts(2, "t", "2", 0, 0);
	joins(0, "a", true, 0);		/* its session ends: PUBREC of "begun" is missing, and PUBACK of "left" */
	posts(2, "t", "3", 0, 0);
}

static void at_limits(void)
{
	struct packet p = connect_of("will", true);

	joins(0, "sub", true, 0); wants(0, "t", 2); wants(0, "t/#", 1); posts(0, "t/x", "x", 0, 0);
	joins(0, "sub", true, 0); wants(0, "t", 1); RAW(0, "\xc0\0");
	joins(1, "pub", true, 0); posts(1, "t", "2", 2, 0); posts(1, "t", "1", 1, 0);
	joins(1, "pub", true, 0); posts(1, "t", "r", 1, PUBLISH_RETAIN); posts(1, "t", "1", 1, 0);
	p.connect_flags |= CONNECT_WILL | CONNECT_WILL_RETAIN;
	p.will_topic = span_text("t");
	opens(2); say(2, p); RAW(2, "\xc0\0");
	if (version == MQTT_5) {
		joins(0, "sub", true, 0); wants_as(0, "t", 1, 3); RAW(0, "\xc0\0");
		joins(0, "sub", true, 0); wants(0, "$share/g/t", 1); RAW(0, "\xc0\0");
	}
}

/* A client that takes 60 bytes has everything explained to it. */
static void small(void)
{
	struct packet p = connect_of("small", true), refused;

	if (version < MQTT_5)
		return;
	p.properties = props_of(PROP_maximum_packet_size, 60);
	opens(0); say(0, p);
	wants(0, "t", 2); posts(0, "t", "x", 2, 0); posts(0, "none", "x", 1, 0);
	say(0, (struct packet){ .type = UNSUBSCRIBE, .packet_id = 3, .list = span_of("\0\1t", 3) });
	RAW(0, "\xc0\0");
	opens(1); say(1, p);		/* takes over: DISCONNECT to the first */
	refused = (struct packet){ .type = PUBLISH, .topic = span_text("t"), .packet_id = 7, .flags = 4,
	                           .properties = props_of(PROP_payload_format_indicator, 1), .payload = span_text("\xff") };
	joins(2, "id", true, 0);
	say(2, refused);
	posts(2, "none", "x", 1, 0);
	refused.payload = span_text("new");
	say(2, refused);
}

static void wills_and_others(void)
{
	struct packet p = connect_of("peerA", true);

	joins(0, "peerB", true, 0); wants(0, "#", 1);
	p.connect_flags |= CONNECT_WILL;
	p.will_topic = span_text("w");
	if (version == MQTT_5)
		p.will_properties = props_of(PROP_message_expiry_interval, 60);
	opens(1); say(1, p);
	RAW(1, "\xd0\0");		/* a server's packet: its connection ends, with the will */
	RAW(0, "\xc0\0");
	joins(2, "odd /+#", true, 0); RAW(2, "\xc0\0");
	joins(2, "pieces", true, 0); RAW(2, "\xc0"); RAW(2, "\0");
	opens(3); waits(15 * S);
	RAW(3, "\xc0\0");
}

/* Nobody may publish to "no", nor read "hidden", whether he asks for it by name or by "+". */
static bool may(void *rules, struct span user_name, struct span client_id, enum act act, struct span topic)
{
	(void)rules, (void)user_name, (void)client_id;
	return !span_is(topic, act == ACT_PUBLISH ? "no" : "hidden") && (act == ACT_PUBLISH || !span_is(topic, "+"));
}

static void rights(void)
{
	struct packet p = connect_of("w", true);

	joins(0, "sub", true, 0); wants(0, "no", 2);
	joins(1, "pub", true, 0);
	for (unsigned qos = 0; qos < 3; qos++)
		posts(1, "no", "x", qos, 0);
	posts(1, "no", "x", 1, 1);
	posts(1, "hidden", "x", 1, 1);
	joins(2, "late", true, 0); wants(2, "no", 1); wants(2, "hidden", 1);
	joins(3, "wide", true, 0); wants(3, "+", 1);
	joins(4, "shared", true, 0); wants(4, "$share/g/hidden", 1);
	posts(1, "hidden", "y", 1, 0);
	p.connect_flags |= CONNECT_WILL;
	p.will_topic = span_text("no");
	opens(5); say(5, p);
	drops(5);
}

/* A subscriber of the version, and a publisher of another. */
static void mixed(void)
{
	uint8_t own = version;

	joins(0, "sub", true, 0); wants(0, "t", 1);
	version = own == MQTT_5 ? MQTT_3_1_1 : MQTT_5;
	joins(1, "pub", true, 0); posts(1, "t", "x", 0, 0);
	version = own;
}

static void in_3_1(void)
{
	struct packet p;

	if (version == MQTT_5)
		return;
	version = MQTT_3_1;
	p = connect_of("kept", false);
	p.protocol_name = span_text("MQIsdp");
	opens(0); say(0, p); wants(0, "t", 1);
	RAW(0, "\x8a\6\0\1\0\1t\0"); RAW(0, "\xaa\5\0\1\0\1t");
	drops(0);
	opens(0); say(0, p);
	p.client_id = span_text("0123456789012345678901234567890");
	opens(1); say(1, p);
	p = connect_of("four", true);
	p.protocol_name = span_text("MQIsdp");
	p.protocol_version = 4;
	opens(1); say(1, p);
	version = MQTT_3_1_1;
}

/* alone: without the conversation in which another version has its part */
static uint64_t battery(const char *fault, uint8_t of, bool alone)
{
	static void (*const conversations[])(void) = {
		connects_badly, assigned, sends_badly, misc, retains, resumes, wills, times, fives, cut_short, altered, logins, authenticates, shares, at_limits, small,
		wills_and_others, rights, mixed, in_3_1,
	};

	version = of;
	seen = (struct seen){ UINT64_C(14695981039346656037) };
	for (size_t i = 0; i < sizeof(conversations) / sizeof(*conversations); i++) {
		if (alone && conversations[i] == mixed)
			continue;
		world_open(&w);
		w.config.receive_maximum = 3;
		w.config.maximum_packet_size = 1000;
		w.config.server_keep_alive = conversations[i] == altered ? 2 : 0;
		if (conversations[i] == at_limits) {
			w.config.maximum_qos = 1;
			w.config.retain_available = w.config.wildcard_available = w.config.shared_available = false;
			w.config.subscription_identifiers_available = false;
		}
		w.config.login = conversations[i] == logins ? check_login : NULL;
		w.config.authentication = conversations[i] == authenticates ? &asking : NULL;
		w.config.may = conversations[i] == rights ? may : NULL;
		if (fault)
			world_break(&w, fault);
		world_start(&w);
		memset(clients, 0, sizeof(clients));
		memset(lazy, 0, sizeof(lazy));
		memset(closed, 0, sizeof(closed));
		conversations[i]();
		broker_free(w.broker);
	}
	return seen.hash;
}

static uint64_t sound[2], sound_alone[2];

static int play_sound(void **state)
{
	(void)state;
	for (int five = 0; five < 2; five++) {
		uint8_t of = five ? MQTT_5 : MQTT_3_1_1;

		sound[five] = battery(NULL, of, false);
		sound_alone[five] = battery(NULL, of, true);
		assert_int_equal(sound[five], battery(NULL, of, false));	/* the same course every time */
	}
	return 0;
}

/* What happens where the client's version is not known, or none of ours, or no client's affair. */
static bool before_version(unsigned effect)
{
	if (effect == WELCOME_BAD_CONNECT)	/* named without its name, and so with TAKE_NO_LEVEL */
		return true;
	return effect == TAKE_NO_LEVEL || effect == TAKE_FIVE_BYTES || effect == CONNACK_RESERVED_FLAG || effect == CONNACK_CODE_UNLISTED ||
	       effect == ANSWER_UNCONNECTED || effect == SERVE_ANY_LEVEL || effect == SERVE_AFTER_REFUSAL || effect == CONNECT_AWAITED || effect == REFUSE_ODD_ID_OPEN ||
	       effect == REFUSAL_PRESENT || effect == REFUSAL_KEEPS_OPEN || effect == CASE_FOLDED || effect == SLASHES_FILLED;
}

static void shows(void **state)
{
	const struct fault_row *row = *state;
	bool five = row->rule[0] == '5';
	char name[128];

	snprintf(name, sizeof(name), "%s%s%s", row->rule, *row->name ? "/" : "", row->name);
	assert_int_not_equal(battery(name, five ? MQTT_5 : MQTT_3_1_1, false), sound[five]);
	if (!before_version(row->effect))	/* and in its own version only */
		assert_int_equal(battery(name, five ? MQTT_3_1_1 : MQTT_5, true), sound_alone[!five]);
}

static void names(void **state)
{
	uint64_t bits[FAULT_WORDS] = { 0 };

	(void)state;
	assert_int_equal(faults_named(span_text("5:MQTT-3.3.1-2"), bits), 1);
	assert_int_equal(faults_named(span_text("5:MQTT-3.1.2-8"), bits), 5);
	assert_int_equal(faults_named(span_text("5:MQTT-3.1.2-8/late"), bits), 1);
	assert_int_equal(faults_named(span_text("MQTT-3.1.2-22/pings"), bits), 1);
	assert_int_equal(faults_named(span_text("MQTT-3.3.1-2"), bits), -1);
	assert_int_equal(faults_named(span_text("5:MQTT-3.3.1-2/no"), bits), 0);
	assert_int_equal(faults_named(span_text("property-repeated"), bits), 1);
	assert_int_equal(faults_named(span_text(""), bits), 0);
	assert_int_equal(faults_named(span_text("/"), bits), 0);
}

static void rows_are_distinct(void **state)
{
	(void)state;
	for (size_t i = 0; i < n_fault_rows; i++)
		for (size_t j = 0; j < i; j++)
			assert_false(!strcmp(fault_rows[i].rule, fault_rows[j].rule) && !strcmp(fault_rows[i].name, fault_rows[j].name));
}

int main(void)
{
	struct CMUnitTest *tests = calloc(n_fault_rows + 2, sizeof(*tests));
	size_t n = 2;
	int failed;

	if (!tests)
		return 1;
	tests[0] = (struct CMUnitTest)cmocka_unit_test(names);
	tests[1] = (struct CMUnitTest)cmocka_unit_test(rows_are_distinct);
	for (size_t i = 0; i < n_fault_rows; i++)
		if (fault_rows[i].effect < TAKE_TEXT_FRAMES)	/* what the layers do wrong is no matter of the core's: --prove plays it */
			tests[n++] = (struct CMUnitTest){ .name = fault_rows[i].breaks, .test_func = shows, .initial_state = (void *)&fault_rows[i] };
	failed = _cmocka_run_group_tests("reference-broker/faults", tests, n, play_sound, NULL);
	free(tests);
	return failed;
}

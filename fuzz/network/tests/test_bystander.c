#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "codec/codec.h"
#include "fuzz/network/bystander.h"
#include "reference-broker/local.h"

/*
 * A broker in memory, on simulated time, that hands on what is published and does one thing wrong, at its fifth message.
 */
enum wrong {
	NOTHING_WRONG,
	CLOSES_PUBLISHER, CLOSES_SUBSCRIBER, RESETS_SUBSCRIBER, DISCONNECTS_SUBSCRIBER,
	LOSES_ONE, LOSES_ALL, DOUBLES, DOUBLES_WITH_DUP, DISORDERS, ALTERS_PAYLOAD, CUTS_PAYLOAD, ALTERS_RETAIN, ALTERS_QOS, GARBLES, SENDS_STRANGERS, SENDS_PUBREC,
	IS_LATE, HANGS, REFUSES, REFUSES_CLIENTS, REFUSES_FILTER, GRANTS_QOS_0, GRANTS_AND_LOSES, GRANTS_AND_LOSES_ALL, CLOSES_AT_ONCE,
};

enum { AT = 5, WITHIN_MS = 1000, EVERY_MS = 50 };

struct side {			/* one connection, as the broker sees it */
	struct transport *t;
	struct fake *fake;
	struct task reaper;
	uint8_t in[4096];
	size_t len;
	uint8_t version;
};

struct fake {
	struct service service;	/* first */
	struct loop *loop;
	enum wrong wrong;
	struct side *sides[2];	/* the publisher's and the subscriber's, whichever is which */
	struct side *subscriber;
	unsigned n_sides, n_published, n_delivered;
	uint8_t held[256];	/* a message that is to come later */
	size_t n_held;
	struct timer later;
};

static void reap(struct task *task, struct loop *loop)
{
	(void)loop;
	free((char *)task - offsetof(struct side, reaper));
}

static void cut(struct side *s, bool reset)
{
	struct fake *f = s->fake;

	for (unsigned i = 0; i < f->n_sides; i++)
		if (f->sides[i] == s)
			f->sides[i] = NULL;
	if (f->subscriber == s)
		f->subscriber = NULL;
	s->t->ops->close(s->t, reset);
	s->reaper.run = reap;
	loop_reap(f->loop, &s->reaper);
}

static void say(struct side *s, const struct packet *packet)
{
	uint8_t room[512];
	struct writer w = writer_to(room, sizeof(room));

	if (!s)
		return;
	assert_int_equal(encode(packet, NULL, &w), CODEC_OK);
	s->t->ops->send(s->t, room, w.len);
}

static void deliver(struct fake *f, const struct packet *published)
{
	struct packet p = *published;

	p.packet_id = (uint16_t)(100 + f->n_delivered++);
	if (f->wrong >= GRANTS_QOS_0 && f->wrong <= GRANTS_AND_LOSES_ALL)
		p.flags = 0;
	say(f->subscriber, &p);
}

/* False: the message is not handed on in its turn. */
static bool goes_wrong(struct fake *f, struct packet *p)
{
	static uint8_t altered[256];
	struct packet other = *p;

	switch (f->wrong) {
	case CLOSES_SUBSCRIBER:      cut(f->subscriber, false); return false;
	case RESETS_SUBSCRIBER:      cut(f->subscriber, true); return false;
	case DISCONNECTS_SUBSCRIBER: say(f->subscriber, &(struct packet){ .version = p->version, .type = DISCONNECT, .reason = 0x8e, .written = WRITTEN_REASON }); return false;
	case LOSES_ONE: case GRANTS_AND_LOSES: return false;
	case DOUBLES:                deliver(f, p); return true;
	case DOUBLES_WITH_DUP:       deliver(f, p); p->flags |= PUBLISH_DUP; return true;
	case ALTERS_PAYLOAD:
		memcpy(altered, p->payload.at, p->payload.len);
		altered[p->payload.len - 1] ^= 1;
		p->payload.at = altered;
		return true;
	case CUTS_PAYLOAD:           p->payload.len -= 3; return true;
	case ALTERS_RETAIN:          p->flags |= PUBLISH_RETAIN; return true;
	case ALTERS_QOS:             p->flags = 0; return true;
	case GARBLES:                f->subscriber->t->ops->send(f->subscriber->t, "\x30\x02\x00\x09", 4); return true;
	case SENDS_STRANGERS:
		other.topic = span_text("fz000000/x");
		other.payload = span_text("not yours");
		deliver(f, &other);
		return true;
	case SENDS_PUBREC:           say(f->subscriber, &(struct packet){ .version = p->version, .type = PUBREC, .packet_id = 9 }); return true;
	default:                     return true;
	}
}

/* The one that is held comes when the next has, or when its time is up. */
static void hold(struct fake *f, const struct packet *p, uint64_t ms)
{
	struct writer w = writer_to(f->held, sizeof(f->held));

	assert_int_equal(encode(p, NULL, &w), CODEC_OK);
	f->n_held = w.len;
	if (ms)
		loop_timer(f->loop, &f->later, f->loop->now_ns + ms * 1000000);
}

static void release(struct fake *f)
{
	if (f->n_held && f->subscriber)
		f->subscriber->t->ops->send(f->subscriber->t, f->held, f->n_held);
	f->n_held = 0;
}

static void on_later(struct timer *timer, struct loop *loop)
{
	(void)loop;
	release((struct fake *)((char *)timer - offsetof(struct fake, later)));
}

static void on_publish(struct side *s, struct packet *p)
{
	struct fake *f = s->fake;
	bool now = ++f->n_published == AT;
	struct packet ack = { .version = s->version, .type = PUBACK, .packet_id = p->packet_id };

	if (f->wrong == HANGS && f->n_published >= AT)
		return;
	if (f->wrong == REFUSES && now) {
		ack.reason = 0x97;
		ack.written = WRITTEN_REASON;
	}
	say(s, &ack);
	if (((f->wrong == LOSES_ALL || f->wrong == GRANTS_AND_LOSES_ALL) && f->n_published >= AT) || (now && f->wrong == REFUSES))
		return;
	if (now && (f->wrong == DISORDERS || f->wrong == IS_LATE)) {
		hold(f, p, f->wrong == IS_LATE ? WITHIN_MS + 200 : 0);
		return;
	}
	if (f->n_held && f->wrong == IS_LATE)
		return;		/* behind it, so that it stays in order */
	if (!now || goes_wrong(f, p))
		deliver(f, p);
	if (now && f->wrong == CLOSES_PUBLISHER)
		cut(s, false);
	else
		release(f);
}

static void on_packet(struct side *s, struct packet *p)
{
	struct fake *f = s->fake;
	struct packet a = { .version = s->version, .packet_id = p->packet_id };
	uint8_t granted = f->wrong == REFUSES_FILTER ? 0x80 : f->wrong < GRANTS_QOS_0 ? 1 : 0;

	switch (p->type) {
	case CONNECT:
		s->version = a.version = p->version;
		a.type = CONNACK;
		a.reason = f->wrong == REFUSES_CLIENTS ? (p->version == MQTT_5 ? 0x88 : 3) : 0;
		say(s, &a);
		break;
	case SUBSCRIBE:
		f->subscriber = s;
		a.type = SUBACK;
		a.list = span_of(&granted, 1);
		say(s, &a);
		break;
	case PINGREQ:
		a.type = PINGRESP;
		say(s, &a);
		break;
	case PUBLISH:
		on_publish(s, p);
		break;
	default:
		assert_int_equal(p->type, PUBACK);
	}
}

static bool is_there(const struct fake *f, const struct side *s)
{
	return f->sides[0] == s || f->sides[1] == s;
}

static void on_event(struct transport *t, unsigned events)
{
	struct side *s = t->owner;
	struct fake *f = s->fake;
	struct frame frame;
	struct finding finding;
	ssize_t n;

	if (!(events & TRANSPORT_READABLE))
		return;
	n = t->ops->recv(t, s->in + s->len, sizeof(s->in) - s->len);
	if (n == -EAGAIN)
		return;
	if (n <= 0) {
		cut(s, false);
		return;
	}
	s->len += (size_t)n;
	while (frame_next(s->in, s->len, &frame, &finding) == FRAME_OK) {
		struct packet p;

		assert_int_equal(decode(s->in, frame.size, s->version, &p, &finding), CODEC_OK);
		assert_int_equal(check(&p, FROM_CLIENT, &finding), CODEC_OK);
		on_packet(s, &p);
		if (!is_there(f, s))
			return;
		s->len -= frame.size;
		memmove(s->in, s->in + frame.size, s->len);
	}
}

static void accepted(struct service *service, struct transport *t)
{
	struct fake *f = (struct fake *)service;
	struct side *s = calloc(1, sizeof(*s));

	assert_non_null(s);
	assert_true(f->n_sides < 2);
	s->t = t;
	s->fake = f;
	s->version = MQTT_3_1_1;
	t->owner = s;
	t->event = on_event;
	f->sides[f->n_sides++] = s;
	if (f->wrong == CLOSES_AT_ONCE)
		cut(s, false);
}

/* ---- what the bystander says of it ---- */

struct heard {
	unsigned n;
	struct symptom symptom;
	struct loop *loop;
};

static void noticed(void *context, const struct symptom *symptom)
{
	struct heard *heard = context;

	heard->n++;
	heard->symptom = *symptom;
	loop_stop(heard->loop);
}

static void on_end(struct timer *timer, struct loop *loop)
{
	(void)timer;
	loop_stop(loop);
}

static struct bystander *bystander_at(struct loop *loop, struct service *service, uint8_t version, struct heard *heard)
{
	struct address address = { .kind = ADDRESS_MEMORY, .service = service };

	*heard = (struct heard){ .loop = loop };
	return bystander_new(loop, &address, (struct span){ 0 }, (struct span){ 0 }, version, EVERY_MS * UINT64_C(1000000), WITHIN_MS * UINT64_C(1000000), noticed, heard);
}

static void clear_up(struct fake *f, struct loop *loop, struct bystander *b)
{
	bystander_free(b);
	for (unsigned i = 0; i < f->n_sides; i++)
		if (f->sides[i])
			cut(f->sides[i], false);
	loop_timer_stop(loop, &f->later);
	loop_settle(loop);
	loop_release(loop);
}

static const struct row {
	const char *name;
	enum wrong wrong;
	const char *bucket;		/* NULL: nothing is noticed */
	const char *text;		/* part of it */
	bool only_5;
} rows[] = {
	{ "nothing wrong", NOTHING_WRONG, NULL, NULL, false },
	{ "the publisher is closed", CLOSES_PUBLISHER, "bystander closed", "publisher", false },
	{ "the subscriber is closed", CLOSES_SUBSCRIBER, "bystander closed", "subscriber", false },
	{ "the subscriber is reset", RESETS_SUBSCRIBER, "bystander closed", "subscriber", false },
	{ "the subscriber is disconnected", DISCONNECTS_SUBSCRIBER, "bystander closed", "0x8e", true },
	{ "connections are closed at once", CLOSES_AT_ONCE, "bystander closed", "closed by the broker", false },
	{ "clients are refused", REFUSES_CLIENTS, "bystander closed", "refused", false },
	{ "one message is lost", LOSES_ONE, "bystander lost", "message 4", false },
	{ "all messages are lost", LOSES_ALL, "bystander lost", "message 4, acknowledged", false },
	{ "a message is refused", REFUSES, "bystander lost", "0x97", true },
	{ "the filter is refused", REFUSES_FILTER, "bystander lost", "0x80", false },
	{ "a message comes twice", DOUBLES, "bystander doubled", "message 4", false },
	{ "two messages change places", DISORDERS, "bystander disordered", "message 4", false },
	{ "a byte is altered", ALTERS_PAYLOAD, "bystander altered", "minds its own", false },
	{ "the payload is cut", CUTS_PAYLOAD, "bystander altered", "minds its own", false },
	{ "RETAIN is altered", ALTERS_RETAIN, "bystander altered", "RETAIN", false },
	{ "the QoS is altered", ALTERS_QOS, "bystander altered", "QoS", false },
	{ "the stream is garbled", GARBLES, "bystander altered", "read", false },
	{ "a stranger's message", SENDS_STRANGERS, "bystander stranger", "not yours", false },
	{ "a stranger's acknowledgement", SENDS_PUBREC, "bystander stranger", "PUBREC", false },
	{ "a message is late", IS_LATE, "bystander late", "message 4 came after 1200 ms", false },
	{ "nothing comes any more", HANGS, "bystander late", "neither message 4", false },
	{ "QoS 0 is granted", GRANTS_QOS_0, NULL, NULL, false },
	{ "QoS 0 is granted and one is lost", GRANTS_AND_LOSES, NULL, NULL, false },
	{ "QoS 0 is granted and all are lost", GRANTS_AND_LOSES_ALL, "bystander lost", "message", false },
};

static void is_noticed(const struct row *row, uint8_t version)
{
	struct fake fake = { .service.accepted = accepted, .wrong = row->wrong, .later.fire = on_later };
	struct timer end = { .fire = on_end };
	struct bystander *b;
	struct heard heard;
	struct loop loop;

	assert_int_equal(loop_init(&loop, true), 0);
	fake.loop = &loop;
	b = bystander_at(&loop, &fake.service, version, &heard);
	loop_timer(&loop, &end, loop.now_ns + UINT64_C(60000000000));
	while (!heard.n && end.slot)
		loop_run(&loop);
	loop_timer_stop(&loop, &end);
	if (!row->bucket) {
		assert_int_equal(heard.n, 0);
		assert_true(fake.n_published > 1000);
	} else {
		assert_int_equal(heard.n, 1);
		assert_int_equal(heard.symptom.oracle, ORACLE_BYSTANDER);
		assert_string_equal(heard.symptom.bucket, row->bucket);
		if (!strstr(heard.symptom.text, row->text))
			fail_msg("expected \"%s\" in: %s", row->text, heard.symptom.text);
	}
	clear_up(&fake, &loop, b);
}

static void what_goes_wrong_is_noticed(void **state)
{
	const struct row *row = *state;

	is_noticed(row, MQTT_5);
	if (!row->only_5) {
		is_noticed(row, MQTT_3_1_1);
		is_noticed(row, MQTT_3_1);
	}
}

/* Before 5 a message may be sent again while its acknowledgement is under way; in 5 only on a new connection. */
static void sent_again_with_dup(void **state)
{
	(void)state;
	is_noticed(&(struct row){ "", DOUBLES_WITH_DUP, NULL, NULL, false }, MQTT_3_1_1);
	is_noticed(&(struct row){ "", DOUBLES_WITH_DUP, "bystander doubled", "message 4", false }, MQTT_5);
}

static void settles(void **state)
{
	struct fake fake = { .service.accepted = accepted, .later.fire = on_later };
	struct symptom symptom;
	struct bystander *b;
	struct heard heard;
	struct loop loop;

	(void)state;
	assert_int_equal(loop_init(&loop, true), 0);
	fake.loop = &loop;
	b = bystander_at(&loop, &fake.service, MQTT_5, &heard);
	assert_true(bystander_settle(b, &symptom));		/* from nothing: both are there then, and one message came */
	assert_int_equal(symptom.oracle, ORACLE_NONE);
	assert_int_equal(fake.n_published, 1);
	assert_true(bystander_settle(b, &symptom));
	assert_int_equal(fake.n_published, 2);
	fake.n_published = AT - 1;
	fake.wrong = LOSES_ONE;
	assert_false(bystander_settle(b, &symptom));
	assert_string_equal(symptom.bucket, "bystander lost");
	assert_false(bystander_settle(b, &symptom));		/* it rests, and says the same */
	assert_string_equal(symptom.bucket, "bystander lost");
	clear_up(&fake, &loop, b);
}

/* While nobody ran the loop nothing was late. */
static void our_own_delay_is_nobodys_fault(void **state)
{
	struct fake fake = { .service.accepted = accepted, .later.fire = on_later };
	struct symptom symptom;
	struct bystander *b;
	struct heard heard;
	struct loop loop;

	(void)state;
	assert_int_equal(loop_init(&loop, true), 0);
	fake.loop = &loop;
	b = bystander_at(&loop, &fake.service, MQTT_3_1_1, &heard);
	for (unsigned i = 0; i < 20; i++) {
		assert_true(bystander_settle(b, &symptom));
		loop.clock.simulated_ns += WITHIN_MS * UINT64_C(5000000);
		loop.now_ns = loop.clock.simulated_ns;
	}
	assert_int_equal(heard.n, 0);
	clear_up(&fake, &loop, b);
}

static void two_have_different_topics(void **state)
{
	struct fake fakes[2] = { { .service.accepted = accepted }, { .service.accepted = accepted } };
	struct bystander *a, *b;
	struct heard heard;
	struct loop loop;

	(void)state;
	assert_int_equal(loop_init(&loop, true), 0);
	fakes[0].loop = fakes[1].loop = &loop;
	a = bystander_at(&loop, &fakes[0].service, MQTT_5, &heard);
	b = bystander_at(&loop, &fakes[1].service, MQTT_5, &heard);
	assert_string_not_equal(bystander_topic(a), bystander_topic(b));
	assert_int_equal(strlen(bystander_topic(a)), strlen(bystander_topic(b)));
	bystander_free(a);
	clear_up(&fakes[1], &loop, b);
}

/* A real one, in every version, for an hour of its time. */
static void a_right_broker_is_never_blamed(void **state)
{
	(void)state;
	for (uint8_t version = MQTT_3_1; version <= MQTT_5; version++) {
		struct timer end = { .fire = on_end };
		struct local_service service = { 0 };
		struct bystander *b;
		struct symptom symptom;
		struct heard heard;
		struct loop loop;
		const char *why;
		void *broker;

		assert_int_equal(loop_init(&loop, true), 0);
		broker = reference_broker.start(&loop, NULL, 0, NULL, 0, 1, &service, &why);
		b = bystander_at(&loop, service.services[WAY_TCP], version, &heard);
		loop_timer(&loop, &end, loop.now_ns + UINT64_C(600000000000));
		loop_run(&loop);
		assert_true(bystander_settle(b, &symptom));
		assert_int_equal(heard.n, 0);
		bystander_free(b);
		reference_broker.stop(broker);
		loop_settle(&loop);
		loop_release(&loop);
	}
}

enum { N_ROWS = sizeof(rows) / sizeof(rows[0]) };

int main(void)
{
	static const struct CMUnitTest others[] = {
		cmocka_unit_test(sent_again_with_dup),
		cmocka_unit_test(settles),
		cmocka_unit_test(our_own_delay_is_nobodys_fault),
		cmocka_unit_test(two_have_different_topics),
		cmocka_unit_test(a_right_broker_is_never_blamed),
	};
	struct CMUnitTest tests[N_ROWS];
	int failed = 0;

	for (size_t i = 0; i < N_ROWS; i++)
		tests[i] = (struct CMUnitTest){ .name = rows[i].name, .test_func = what_goes_wrong_is_noticed, .initial_state = (void *)(uintptr_t)&rows[i] };
	failed += cmocka_run_group_tests_name("what goes wrong", tests, NULL, NULL);
	failed += cmocka_run_group_tests_name("bystander", others, NULL, NULL);
	return failed != 0;
}

#ifndef REFERENCE_BROKER_BENCH_ATTACKS_H
#define REFERENCE_BROKER_BENCH_ATTACKS_H

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "reference-broker/bench/wire.h"

/* Twenty ways to make a broker grow; each is begun anew when it has come to its end. */

static uint8_t filler[1 << 17];		/* of 'x' */

static struct span fill(size_t len)
{
	return span_of(filler, len);
}

__attribute__((format(printf, 2, 3)))
static const char *name(char room[64], const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(room, 64, format, args);
	va_end(args);
	return room;
}

static unsigned turns(void)		/* a number that no other turn of any client has */
{
	static atomic_uint n;

	return n++;
}

static void sessions(void)		/* kept for ever, each with as long an id as there is */
{
	char id[64 + 60000] = "";

	memset(id, 'i', sizeof(id) - 1);
	for (int i = 0; i < 300; i++) {
		struct wire w;
		int n = snprintf(id, 64, "s%u-", turns());

		id[n] = 'i';
		id[i % 2 ? 60000 : 20] = 0;
		if (wire_login(&w, false, (struct hello){ .id = id, .expiry = UINT32_MAX }))
			wire_packet(&w, (struct packet){ .type = DISCONNECT });
		id[i % 2 ? 60000 : 20] = 'i';
		wire_close(&w);
	}
}

static void subscriptions(void)
{
	static _Thread_local uint8_t list[60000];
	struct wire w;
	char room[64];

	if (wire_login(&w, false, (struct hello){ .id = name(room, "subs%u", turns()), .expiry = 3600 })) {
		for (int i = 0; i < 200; i++) {
			struct writer to = writer_to(list, sizeof(list));

			for (int k = 0; k < 1000; k++)
				wire_filter(&to, span_text(name(room, "subs/%d/%d/%u", i, k, turns())), 2);
			if (!wire_packet(&w, (struct packet){ .type = SUBSCRIBE, .list = wr_span(&to) }))
				break;
		}
	}
	wire_close(&w);
}

static void long_filters(void)		/* 32,767 levels each, all different, all of wildcards */
{
	static _Thread_local char filter[65535];
	struct wire w;
	char room[64];

	if (wire_login(&w, false, (struct hello){ .id = name(room, "long%u", turns()), .expiry = 3600 })) {
		for (int i = 0; i < 40; i++) {
			for (size_t k = 0; k < sizeof(filter) - 1; k++)
				filter[k] = k % 2 ? '/' : (turns() + k * 7) % 13 < 9 ? '+' : 'a';
			if (!wire_subscribe(&w, filter, 1))
				break;
		}
	}
	wire_close(&w);
}

static void retained(void)
{
	struct wire w;
	char room[64];

	if (wire_login(&w, false, (struct hello){ .id = name(room, "ret%u", turns()) })) {
		for (int i = 0; i < 20000; i++) {
			name(room, "r/%u/x/%u", turns() % 1000, turns());
			if (!wire_publish(&w, span_text(room), fill(100), (unsigned)i & 1, true))
				break;
		}
	}
	wire_close(&w);
}

static void queued(void)		/* for a session that never comes back, and wants everything */
{
	struct wire w;
	char room[64];

	if (wire_login(&w, false, (struct hello){ .id = name(room, "queue%u", turns()), .expiry = UINT32_MAX })) {
		wire_subscribe(&w, "#", 2);
		wire_packet(&w, (struct packet){ .type = DISCONNECT });
	}
	wire_close(&w);
	if (wire_login(&w, false, (struct hello){ .id = name(room, "fill%u", turns()) }))
		for (int i = 0; i < 5000 && wire_publish(&w, span_text("q/q"), fill(1000), 1, false); i++)
			;
	wire_close(&w);
}

static void qos2_ids(void)		/* all of them open, never released */
{
	struct wire w;
	char room[64];

	if (wire_login(&w, false, (struct hello){ .id = name(room, "ids%u", turns()), .expiry = UINT32_MAX, .resume = true }))
		for (int i = 1; i <= 65535 && wire_publish(&w, span_text("ids"), fill(1), 2, false); i++)
			;
	wire_close(&w);
}

static void unanswered(void)		/* what it is sent at QoS 1 and 2 it does not acknowledge */
{
	struct wire w;
	char room[64];

	if (wire_login(&w, false, (struct hello){ .id = name(room, "open%u", turns()), .expiry = 3600 })) {
		wire_subscribe(&w, "un/#", 2);
		for (unsigned i = 0; i < 30000 && wire_publish(&w, span_text("un/answered"), fill(100), 1 + i % 2, false); i++)
			if (i % 2)
				wire_packet(&w, (struct packet){ .type = PUBREL, .packet_id = w.last_id });
	}
	wire_close(&w);
}

static void wills(void)			/* large ones, that wait for long */
{
	uint8_t properties[16], session[16];
	struct writer to = writer_to(properties, sizeof(properties)), long_lived = writer_to(session, sizeof(session));

	property_write_number(&to, PROP_will_delay_interval, 100000);
	property_write_number(&long_lived, PROP_session_expiry_interval, 200000);
	for (int i = 0; i < 200; i++) {
		struct wire w;
		char room[64];

		wire_login(&w, false, (struct hello){ .id = name(room, "will%u", turns()), .properties = wr_span(&long_lived),
		           .will_topic = span_text("w/w"), .will_payload = fill(60000), .will_properties = wr_span(&to) });
		wire_reset(&w);
	}
}

static void user_properties(void)	/* thousands of them in each retained message */
{
	static _Thread_local uint8_t properties[100000];
	struct writer to = writer_to(properties, sizeof(properties));
	struct wire w;
	char room[64];

	for (int i = 0; i < 4000; i++) {
		wr_u8(&to, PROP_user_property);
		wr_u16(&to, 4);
		wr_bytes(&to, fill(4));
		wr_u16(&to, 10);
		wr_bytes(&to, fill(10));
	}
	if (wire_login(&w, false, (struct hello){ .id = name(room, "user%u", turns()) })) {
		for (int i = 0; i < 300; i++) {
			name(room, "up/%u", turns());
			if (!wire_packet(&w, (struct packet){ .type = PUBLISH, .flags = PUBLISH_RETAIN | 1 << PUBLISH_QOS_SHIFT,
			                                      .topic = span_text(room), .properties = wr_span(&to) }))
				break;
		}
	}
	wire_close(&w);
}

static void topic_aliases(void)		/* as many and as long as are taken, on many connections */
{
	struct wire w[50];
	char room[64];

	for (size_t i = 0; i < 50; i++)
		wire_login(&w[i], false, (struct hello){ .id = name(room, "alias%u", turns()) });
	for (unsigned alias = 1; alias <= 32; alias++) {
		uint8_t properties[4];
		struct writer to = writer_to(properties, sizeof(properties));

		property_write_number(&to, PROP_topic_alias, alias);
		for (size_t i = 0; i < 50; i++)
			if (w[i].fd >= 0 && !wire_packet(&w[i], (struct packet){ .type = PUBLISH, .topic = fill(60000), .properties = wr_span(&to) }))
				wire_close(&w[i]);
	}
	for (size_t i = 0; i < 50; i++)
		wire_close(&w[i]);
}

static void half_packets(void)		/* announced with 200 MB, sent in part, never completed */
{
	static const uint8_t head[] = { 0x30, 0x80, 0x80, 0x80, 0x64, 0, 1, 't' };
	struct wire w[30];
	char room[64];

	for (size_t i = 0; i < 30; i++)
		if (wire_login(&w[i], false, (struct hello){ .id = name(room, "half%u", turns()) }))
			wire_put(&w[i], head, sizeof(head));
	for (int k = 0; k < 200; k++)
		for (size_t i = 0; i < 30; i++)
			if (w[i].fd >= 0 && !wire_put(&w[i], filler, sizeof(filler)))
				wire_close(&w[i]);
	for (size_t i = 0; i < 30; i++)
		wire_close(&w[i]);
}

static void never_reads(void)		/* what others and it itself make it be sent */
{
	struct wire w[20], from;
	char room[64];

	for (size_t i = 0; i < 20; i++)
		if (wire_login(&w[i], true, (struct hello){ .id = name(room, "deaf%u", turns()) }))
			wire_subscribe(&w[i], "deaf", (unsigned)i % 3);
	if (wire_login(&from, false, (struct hello){ .id = name(room, "loud%u", turns()) }))
		for (unsigned i = 0; i < 2000 && wire_publish(&from, span_text("deaf"), fill(60000), i % 2, false); i++)
			;
	wire_close(&from);
	for (size_t i = 0; i < 20; i++)
		wire_close(&w[i]);
}

static void answers_unread(void)	/* asks without end */
{
	static _Thread_local uint8_t pings[65536];
	struct wire w;
	char room[64];

	for (size_t i = 0; i < sizeof(pings); i += 2)
		pings[i] = 0xc0;
	if (wire_login(&w, true, (struct hello){ .id = name(room, "asks%u", turns()) }))
		while (wire_put(&w, pings, sizeof(pings)))
			;
	wire_close(&w);
}

static void half_open(void)		/* and says nothing; others come and go at once */
{
	struct wire w[150], churn;

	for (size_t i = 0; i < 150; i++) {
		wire_open(&w[i], false);
		if (wire_open(&churn, false))
			i % 2 ? wire_close(&churn) : wire_reset(&churn);
	}
	for (size_t i = 0; i < 150; i++)
		wire_close(&w[i]);
}

static void drips(void)			/* one byte at a time, on many connections */
{
	static const uint8_t head[] = { 0x30, 0x80, 0x10, 0, 1, 't' };
	struct wire w[40];
	char room[64];

	for (size_t i = 0; i < 40; i++)
		wire_login(&w[i], false, (struct hello){ .id = name(room, "drip%u", turns()) });
	for (size_t k = 0; k < 2000; k++)
		for (size_t i = 0; i < 40; i++)
			if (w[i].fd >= 0 && !wire_put(&w[i], k < sizeof(head) ? head + k : filler, 1))
				wire_close(&w[i]);
	for (size_t i = 0; i < 40; i++)
		wire_close(&w[i]);
}

/* Writes a filter that matches OVERLAPPED: its eight levels are kept, or "+", or the rest is "#", by the bits of n. */
#define OVERLAPPED "a/b/c/d/e/f/g/h/i/j/k/l/m"

static const char *overlapping(char room[64], unsigned n)
{
	size_t len = 0;

	for (unsigned level = 0; level < 13; level++) {
		room[len++] = n >> level & 1 ? '+' : (char)('a' + level);
		room[len++] = '/';
	}
	room[len - 1] = 0;
	if (n >> 13 & 1)
		memcpy(room + len - 1, "/#", 3);
	return room;
}

static void overlaps(void)		/* 10,000 filters that all match, and identifiers, for one small message after the other */
{
	static _Thread_local uint8_t list[60000];
	struct wire w, from;
	char room[64];

	if (!wire_login(&w, false, (struct hello){ .id = name(room, "lap%u", turns()) })) {
		wire_close(&w);
		return;
	}
	for (unsigned n = 0; n < 10000; n += 1000) {
		uint8_t properties[8];
		struct writer to = writer_to(list, sizeof(list)), id = writer_to(properties, sizeof(properties));

		property_write_number(&id, PROP_subscription_identifier, n + 200000000);
		for (unsigned k = n; k < n + 1000; k++)
			wire_filter(&to, span_text(overlapping(room, k)), 1);
		wire_packet(&w, (struct packet){ .type = SUBSCRIBE, .list = wr_span(&to), .properties = wr_span(&id) });
	}
	if (wire_login(&from, false, (struct hello){ .id = name(room, "over%u", turns()) }))
		for (int i = 0; i < 3000 && wire_publish(&from, span_text(OVERLAPPED), fill(1000), 1, false); i++)
			if (!wire_drain(&w))
				break;
	wire_close(&from);
	wire_close(&w);
}

static void levels(void)		/* 65,536 of them in a topic, and filters of `+` to match them */
{
	static _Thread_local char path[65536], filter[65536];
	struct wire w;
	char room[64];

	memset(path, '/', sizeof(path) - 1);
	if (wire_login(&w, false, (struct hello){ .id = name(room, "lev%u", turns()) })) {
		for (size_t n = 1; n < 32767; n += 3000) {
			for (size_t k = 0; k < n; k++)
				filter[k] = k % 2 ? '/' : '+';
			filter[n | 1] = 0;
			filter[(n | 1) - 1] = '#';
			wire_subscribe(&w, filter, 0);
		}
		wire_subscribe(&w, path, 0);
		for (int i = 0; i < 200 && wire_publish(&w, span_text(path), fill(1), (unsigned)i & 1, i % 8 == 0); i++)
			;
	}
	wire_close(&w);
}

static void shared_groups(void)		/* thousands of them at one filter: each gets a copy */
{
	static _Thread_local uint8_t list[60000];
	struct wire w;
	char room[64];

	if (wire_login(&w, false, (struct hello){ .id = name(room, "share%u", turns()) })) {
		for (int i = 0; i < 10; i++) {
			struct writer to = writer_to(list, sizeof(list));

			for (int k = 0; k < 1000; k++)
				wire_filter(&to, span_text(name(room, "$share/g%d/%d/t", i * 1000 + k, i % 2)), 1);
			wire_packet(&w, (struct packet){ .type = SUBSCRIBE, .list = wr_span(&to) });
		}
		for (int i = 0; i < 300 && wire_publish(&w, span_text("0/t"), fill(100), 1, false); i++)
			;
	}
	wire_close(&w);
}

static void retained_wanted(void)	/* by thousands of filters that each match all there is, and what begins with $ */
{
	static _Thread_local uint8_t list[60000];
	static const char *const filters[] = { "#", "+/#", "+/+/#", "+/+/+/+", "$SYS/#", "$SYS/+/+/#", "+/+/x/+", "+/+/+/+/#" };
	struct wire w;
	struct writer to = writer_to(list, sizeof(list));
	char room[64];

	for (size_t i = 0; i < 3000; i++)
		wire_filter(&to, span_text(filters[i % 8]), (unsigned)i % 3);
	if (wire_login(&w, false, (struct hello){ .id = name(room, "want%u", turns()) }))
		for (int i = 0; i < 20 && wire_packet(&w, (struct packet){ .type = SUBSCRIBE, .list = wr_span(&to) }); i++)
			;
	wire_close(&w);
}

static void takeovers(void)		/* of one client id, each leaving a will to many of the same */
{
	struct wire w[2] = { { .fd = -1 }, { .fd = -1 } };

	for (int i = 0; i < 300; i++) {
		wire_close(&w[i & 1]);
		if (wire_login(&w[i & 1], false, (struct hello){ .id = "taken", .expiry = 60, .resume = true, .will_topic = span_text("taken/will"),
		               .will_payload = fill(2000) }))
			wire_subscribe(&w[i & 1], i % 2 ? "taken/+" : "taken/#", 2);
	}
	wire_close(&w[0]);
	wire_close(&w[1]);
}

struct hostile {
	const char *grows;		/* what it makes grow */
	void (*attack)(void);
	unsigned n_turns;
	pthread_t thread;
};

static struct hostile hostile[] = {
	{ "sessions and client ids", sessions }, { "subscriptions", subscriptions }, { "filters of 32,767 levels", long_filters },
	{ "retained topics", retained }, { "messages queued for who is away", queued }, { "open QoS 2 ids", qos2_ids },
	{ "messages not acknowledged", unanswered }, { "wills that wait", wills }, { "user properties", user_properties },
	{ "topic aliases", topic_aliases }, { "packets never completed", half_packets }, { "messages not read", never_reads },
	{ "answers not read", answers_unread }, { "connections without CONNECT", half_open }, { "packets that drip in", drips },
	{ "10,000 overlapping filters", overlaps }, { "topics of 65,536 levels", levels }, { "10,000 shared groups", shared_groups },
	{ "retained messages wanted 3,000 times", retained_wanted }, { "takeovers with wills", takeovers },
};

enum { N_HOSTILE = sizeof(hostile) / sizeof(hostile[0]) };
_Static_assert(N_HOSTILE == 20, "that many are promised");

#endif

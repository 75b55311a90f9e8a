/* What reckon() says of losses, publishers and groups, case by case. test_ledger.c holds the sums to a model. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "harness/load/ledger_internal.h"
#include "harness/load/reckon.h"

enum { RUN = 7, MS = 1000000 };

static const struct listener publisher = { 1, 0 }, other_publisher = { 2, 0 }, reader = { 3, 1 }, worker_a = { 4, 1 }, worker_b = { 5, 2 };

static struct audience *audience;
static struct pool *pool;
static struct ledger *ledger;
static struct tally tallies[3];
static struct subscriber *subscribers[8];
static struct reckoning *reckoning;
static uint64_t now_ms;

static int begin(void **state)
{
	(void)state;
	audience = audience_new(3);
	pool = pool_new();
	ledger = ledger_new(audience, pool, 0, RUN, tallies, 3, 0);
	memset(subscribers, 0, sizeof(subscribers));
	reckoning = NULL;
	now_ms = 1000;
	return 0;
}

static int end(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		tally_release(&tallies[i]);
		tallies[i] = (struct tally){ 0 };
	}
	reckoning_free(reckoning);
	ledger_free(ledger);
	pool_free(pool);
	audience_free(audience);
	return 0;
}

static struct stream *stream_of(struct listener who, const char *topic)
{
	return ledger_stream(ledger, who, span_text(topic), 1);
}

static struct stamp send_from(struct listener who, const char *topic)
{
	struct stamp stamp;

	now_ms += 10;
	ledger_send(ledger, who, stream_of(who, topic), now_ms * MS, now_ms * MS, &stamp);
	return stamp;
}

static struct stamp send(void)
{
	return send_from(publisher, "t");
}

static enum delivered arrive_on(const char *topic, struct listener who, const struct stamp *stamp)
{
	uint8_t payload[STAMP_SIZE];
	struct delivery d = { .topic = span_text(topic), .payload = span_of(payload, sizeof(payload)) };

	now_ms += 10;
	d.now_ns = now_ms * MS;
	stamp_write(payload, STAMP_SIZE, stamp);
	return ledger_arrived(ledger, &subscribers[who.client], who, 1, &d);
}

static enum delivered arrive(struct listener who, struct stamp stamp)
{
	return arrive_on("t", who, &stamp);
}

static void add(struct listener who, const char *filter)
{
	audience_add(audience, who, span_text(filter), false);
}

static void close_books(const struct broker_drops *drops)
{
	reckoning = reckon(&ledger, 1, audience, drops, tallies, 3);
}

static void loss_is(uint32_t i, enum loss_cause cause, uint64_t n, const char *evidence)
{
	assert_true(i < reckoning->n_losses);
	assert_int_equal(reckoning->losses[i].cause, cause);
	assert_int_equal(reckoning->losses[i].n, n);
	assert_string_equal(reckoning->losses[i].evidence, evidence);
}

static void nothing_is_lost(void **state)
{
	(void)state;
	add(reader, "t");
	arrive(reader, send());
	close_books(NULL);
	assert_int_equal(reckoning->n_losses, 0);
	assert_int_equal(reckoning->n_publishers, 0);
	assert_int_equal(tallies[1].counts[COUNT_owed], 1);
	assert_int_equal(tallies[1].counts[COUNT_lost], 0);
}

static void nobody_knows_why(void **state)
{
	(void)state;
	add(reader, "t");
	arrive(reader, send());
	send();
	arrive(reader, send());
	close_books(NULL);
	assert_int_equal(reckoning->n_losses, 1);
	loss_is(0, LOST_UNKNOWN, 1, "what was sent later came");
	assert_int_equal(reckoning->losses[0].subscriber_role, 1);
	assert_int_equal(reckoning->losses[0].publisher_role, 0);
}

static void the_broker_says_that_it_dropped_some(void **state)
{
	struct broker_drops drops = { .known = true, .n = 1234, .topic = "$SYS/broker/publish/messages/dropped" };

	(void)state;
	add(reader, "t");
	for (unsigned i = 0; i < 2000; i++)
		send();
	close_books(&drops);
	assert_int_equal(reckoning->n_losses, 2);
	loss_is(0, LOST_BROKER_DROPPED, 1234, "$SYS/broker/publish/messages/dropped rose by 1,234");
	loss_is(1, LOST_UNKNOWN, 766, "it had not come when all was over");
}

/* What has a cause already is not laid to the broker. */
static void it_dropped_what_is_not_explained(void **state)
{
	struct broker_drops drops = { .known = true, .n = 10, .topic = "$SYS/d" };

	(void)state;
	add(reader, "t");
	send();
	send();
	send();
	ledger_stranded(ledger, stream_of(publisher, "t"), 1, LOST_PUBLISHER_GONE, "cut");
	close_books(&drops);
	assert_int_equal(reckoning->n_losses, 2);
	loss_is(0, LOST_PUBLISHER_GONE, 2, "cut");
	loss_is(1, LOST_BROKER_DROPPED, 1, "$SYS/d rose by 10");
}

/* It left with messages under way: fewer than it seemed, when the broker says that it dropped some of them. */
static void it_dropped_what_was_not_under_way(void **state)
{
	struct broker_drops drops = { .known = true, .n = 7, .topic = "$SYS/d" };

	(void)state;
	add(reader, "t");
	send();
	arrive(reader, send());
	for (unsigned i = 0; i < 10; i++)
		send();
	audience_leave(audience, reader);
	ledger_trouble(ledger, reader, LOST_SUBSCRIBER_LEFT, "it disconnected", now_ms * MS);
	close_books(&drops);
	assert_int_equal(tallies[1].counts[COUNT_lost], 11);
	assert_int_equal(reckoning->n_losses, 2);
	loss_is(0, LOST_BROKER_DROPPED, 7, "$SYS/d rose by 7");		/* the one that nothing explains, and six */
	loss_is(1, LOST_SUBSCRIBER_LEFT, 4, "it disconnected");
}

static void it_dropped_more_than_is_missing(void **state)
{
	struct broker_drops drops = { .known = true, .n = 5, .topic = "$SYS/d" };

	(void)state;
	add(reader, "t");
	send();
	close_books(&drops);
	assert_int_equal(reckoning->n_losses, 1);
	loss_is(0, LOST_BROKER_DROPPED, 1, "$SYS/d rose by 5");
}

/* The trouble explains the gap that it falls into, not those before and behind. */
static void a_gap_with_a_trouble_in_it(void **state)
{
	(void)state;
	add(reader, "t");
	arrive(reader, send());
	send();
	arrive(reader, send());
	send();
	send();
	ledger_trouble(ledger, reader, LOST_TAKEN_OVER, "DISCONNECT: Session taken over", now_ms * MS);
	arrive(reader, send());
	send();
	arrive(reader, send());
	close_books(NULL);
	assert_int_equal(reckoning->n_losses, 2);
	loss_is(0, LOST_TAKEN_OVER, 2, "DISCONNECT: Session taken over");
	loss_is(1, LOST_UNKNOWN, 2, "what was sent later came");
}

static void somebody_elses_trouble(void **state)
{
	(void)state;
	add(reader, "t");
	arrive(reader, send());
	send();
	ledger_trouble(ledger, worker_a, LOST_DISCONNECTED, "DISCONNECT", now_ms * MS);
	ledger_trouble(ledger, publisher, LOST_DISCONNECTED, "DISCONNECT", now_ms * MS);
	arrive(reader, send());
	close_books(NULL);
	loss_is(0, LOST_UNKNOWN, 1, "what was sent later came");
}

static void left_with_messages_under_way(void **state)
{
	(void)state;
	add(reader, "t");
	arrive(reader, send());
	send();
	audience_leave(audience, reader);
	ledger_trouble(ledger, reader, LOST_SUBSCRIBER_LEFT, "it disconnected", now_ms * MS);
	send();
	close_books(NULL);
	assert_int_equal(tallies[1].counts[COUNT_owed], 2);
	assert_int_equal(reckoning->n_losses, 1);
	loss_is(0, LOST_SUBSCRIBER_LEFT, 1, "it disconnected");
}

/* Leaving long after everything should have come explains nothing. */
static void left_when_nothing_was_under_way(void **state)
{
	(void)state;
	add(reader, "t");
	arrive(reader, send());
	send();
	now_ms += 5000;
	audience_leave(audience, reader);
	ledger_trouble(ledger, reader, LOST_SUBSCRIBER_LEFT, "it disconnected", now_ms * MS);
	close_books(NULL);
	loss_is(0, LOST_UNKNOWN, 1, "it had not come when all was over");
}

static void left_and_nobody_told(void **state)
{
	(void)state;
	add(reader, "t");
	arrive(reader, send());
	send();
	audience_remove(audience, reader, span_text("t"));
	send();
	close_books(NULL);
	assert_int_equal(reckoning->n_losses, 1);
	loss_is(0, LOST_SUBSCRIBER_LEFT, 1, "its subscription ended with messages under way");
}

static void stranded(void **state)
{
	(void)state;
	add(reader, "t");
	arrive(reader, send());
	send();
	arrive(reader, send());
	send();
	ledger_stranded(ledger, stream_of(publisher, "t"), 2, LOST_PUBLISHER_GONE, "its connection was cut");
	send();
	ledger_trouble(ledger, reader, LOST_DISCONNECTED, "both", now_ms * MS);
	close_books(NULL);
	assert_int_equal(reckoning->n_losses, 3);
	loss_is(0, LOST_DISCONNECTED, 1, "both");
	loss_is(1, LOST_PUBLISHER_GONE, 1, "its connection was cut");
	loss_is(2, LOST_UNKNOWN, 1, "what was sent later came");
}

/* A broker that reads no more: little of what it was sent is still with us. */
static void stuck(void **state)
{
	(void)state;
	add(reader, "t");
	for (unsigned i = 0; i < 9; i++)
		send();
	ledger_stuck(ledger, stream_of(publisher, "t"), 3, 2);
	close_books(NULL);
	assert_int_equal(reckoning->n_losses, 3);
	loss_is(0, LOST_PUBLISHER_GONE, 4, "the broker did not read it any more from its publisher's connection");
	loss_is(1, LOST_UNKNOWN, 3, "it had not come when all was over");
	loss_is(2, LOST_OUR_QUEUE, 2, "it waited in our queue when the run was over");
}

static void stuck_with_all_of_it(void **state)
{
	(void)state;
	ledger->numbers_end = 3;
	add(reader, "t");
	for (unsigned i = 0; i < 5; i++)
		send();
	ledger_stuck(ledger, stream_of(publisher, "t"), 2, 100);
	close_books(NULL);
	loss_is(0, LOST_OUR_QUEUE, 3, "it waited in our queue when the run was over");
	loss_is(1, LOST_UNKNOWN, 2, "it had not come when all was over");
}

static void stranded_across_a_renewed_stream(void **state)
{
	(void)state;
	ledger->numbers_end = 3;
	add(reader, "t");
	for (unsigned i = 0; i < 5; i++)
		send();
	ledger_stranded(ledger, stream_of(publisher, "t"), 2, LOST_OUR_QUEUE, "ours");
	close_books(NULL);
	assert_int_equal(tallies[1].counts[COUNT_owed], 5);
	loss_is(0, LOST_OUR_QUEUE, 3, "ours");
	loss_is(1, LOST_UNKNOWN, 2, "it had not come when all was over");
}

static void refused_is_not_owed(void **state)
{
	struct stamp stamp;

	(void)state;
	add(reader, "t");
	stamp = send();
	ledger_void(ledger, stream_of(publisher, "t"), stamp.number);
	assert_int_equal(arrive(reader, send()), DELIVERED_NEW);
	close_books(NULL);
	assert_int_equal(tallies[1].counts[COUNT_owed], 1);
	assert_int_equal(reckoning->n_losses, 0);
	assert_int_equal(reckoning->unowed, 0);
}

static void a_groups_loss(void **state)
{
	struct stamp first;

	(void)state;
	add(worker_b, "$share/g/t");
	add(worker_a, "$share/g/+");
	add(worker_a, "$share/g/t");
	audience_remove(audience, worker_a, span_text("$share/g/+"));
	first = send();
	arrive(worker_a, first);
	arrive(worker_b, send());
	send();
	assert_int_equal(arrive(worker_b, first), DELIVERED_NEW);	/* to the group it is one too many, which it cannot know */
	ledger_trouble(ledger, worker_a, LOST_DISCONNECTED, "the worker was cut off", now_ms * MS);
	close_books(NULL);
	assert_int_equal(tallies[2].counts[COUNT_owed], 3);		/* the first member's role */
	assert_int_equal(tallies[1].counts[COUNT_owed], 0);
	assert_int_equal(reckoning->shared_excess, 1);
	assert_int_equal(reckoning->n_losses, 1);
	loss_is(0, LOST_DISCONNECTED, 1, "the worker was cut off");
	assert_int_equal(reckoning->losses[0].subscriber_role, 2);
}

/* One debt of its own, one of the group's: two copies of a message are both due. */
static void a_member_that_subscribes_besides(void **state)
{
	struct stamp stamp;

	(void)state;
	add(worker_a, "$share/g/t");
	add(worker_a, "t");
	stamp = send();
	assert_int_equal(arrive(worker_a, stamp), DELIVERED_NEW);
	assert_int_equal(arrive(worker_a, stamp), DELIVERED_NEW);
	assert_int_equal(arrive(worker_a, stamp), DELIVERED_AGAIN);
	arrive(worker_a, send());
	close_books(NULL);
	assert_int_equal(tallies[1].counts[COUNT_owed], 4);
	assert_int_equal(tallies[1].counts[COUNT_lost], 1);
	assert_int_equal(tallies[1].counts[COUNT_delivered], 3);
	assert_int_equal(tallies[1].counts[COUNT_duplicated], 1);
}

static void overlapping_filters(void **state)
{
	struct stamp stamp;

	(void)state;
	add(reader, "t");
	add(reader, "+");
	stamp = send();
	assert_int_equal(arrive(reader, stamp), DELIVERED_NEW);
	assert_int_equal(arrive(reader, stamp), DELIVERED_COPY);
	assert_int_equal(arrive(reader, stamp), DELIVERED_AGAIN);
	close_books(NULL);
	assert_int_equal(tallies[1].counts[COUNT_owed], 1);
	assert_int_equal(tallies[1].counts[COUNT_copies], 1);
	assert_int_equal(tallies[1].counts[COUNT_duplicated], 1);
}

static void publishers_with_troubles(void **state)
{
	struct stamp a, b;

	(void)state;
	add(reader, "#");
	a = send();
	b = send();
	arrive(reader, b);
	arrive(reader, a);
	for (unsigned i = 0; i < 3; i++)
		send_from(other_publisher, "u");
	a = send_from(other_publisher, "u");
	arrive_on("u", reader, &a);
	arrive_on("u", reader, &a);
	send_from(worker_a, "v");		/* nobody misses it */
	ledger_void(ledger, stream_of(worker_a, "v"), 0);
	close_books(NULL);
	assert_int_equal(reckoning->n_publishers, 2);
	assert_int_equal(reckoning->n_publishers_afflicted, 2);
	assert_int_equal(reckoning->publishers[0].client, other_publisher.client);
	assert_int_equal(reckoning->publishers[0].sent, 4);
	assert_int_equal(reckoning->publishers[0].owed, 4);
	assert_int_equal(reckoning->publishers[0].delivered, 1);
	assert_int_equal(reckoning->publishers[0].lost, 3);
	assert_int_equal(reckoning->publishers[0].duplicated, 1);
	assert_int_equal(reckoning->publishers[1].client, publisher.client);
	assert_int_equal(reckoning->publishers[1].lost, 0);
	assert_int_equal(reckoning->publishers[1].reordered, 1);
}

/* Requests to two devices by an app that reads what they send back; one answer is lost, and one is told twice, which cannot be told. */
static void echoes(void **state)
{
	struct stamp a, b, c;

	(void)state;
	add(worker_a, "cmd/a");
	add(worker_b, "cmd/b");
	add(reader, "rsp/+");
	a = send_from(reader, "cmd/a");
	b = send_from(reader, "cmd/b");
	c = send_from(reader, "cmd/b");
	assert_int_equal(arrive_on("cmd/a", worker_a, &a), DELIVERED_NEW);
	ledger_echo(ledger, worker_a, span_text("rsp/a"), 1);
	assert_int_equal(arrive_on("cmd/b", worker_b, &b), DELIVERED_NEW);
	ledger_echo(ledger, worker_b, span_text("rsp/b"), 1);
	assert_int_equal(arrive_on("cmd/b", worker_b, &c), DELIVERED_NEW);
	ledger_echo(ledger, worker_b, span_text("rsp/b"), 1);
	assert_int_equal(arrive_on("rsp/a", reader, &a), DELIVERED_RETURNED);
	assert_int_equal(arrive_on("rsp/a", reader, &a), DELIVERED_RETURNED);
	assert_int_equal(arrive_on("rsp/b", reader, &c), DELIVERED_RETURNED);
	close_books(NULL);
	assert_int_equal(tallies[1].counts[COUNT_owed], 1 + 3);	/* the command to a, the answers */
	assert_int_equal(tallies[2].counts[COUNT_owed], 2);
	assert_int_equal(tallies[1].counts[COUNT_returned], 3);
	assert_int_equal(tallies[1].counts[COUNT_lost], 1);
	assert_int_equal(reckoning->n_losses, 1);
	assert_int_equal(reckoning->losses[0].publisher_role, 2);
	assert_int_equal(reckoning->publishers[0].client, worker_b.client);
	assert_int_equal(reckoning->publishers[0].lost, 1);
}

static void echoes_to_a_group(void **state)
{
	struct stamp stamp;

	(void)state;
	add(worker_a, "$share/apps/rsp/+");
	add(worker_b, "$share/apps/rsp/+");
	add(worker_b, "rsp/x");
	for (unsigned i = 0; i < 4; i++) {
		stamp = send_from(publisher, "cmd");
		ledger_echo(ledger, reader, span_text("rsp/x"), 0);
		if (i != 1)
			arrive_on("rsp/x", worker_b, &stamp);
		if (i < 3)
			arrive_on("rsp/x", i == 2 ? worker_b : worker_a, &stamp);
	}
	close_books(NULL);
	assert_int_equal(tallies[2].counts[COUNT_owed], 4);
	assert_int_equal(tallies[2].counts[COUNT_lost], 0);
	assert_int_equal(tallies[1].counts[COUNT_owed], 4);
	assert_int_equal(tallies[1].counts[COUNT_lost], 2);
}

static void evidence_without_end(void **state)
{
	char text[32];

	(void)state;
	add(reader, "t");
	for (unsigned i = 0; i < 200; i++) {
		arrive(reader, send());
		send();
		snprintf(text, sizeof(text), "cut off for the %uth time", i);
		ledger_trouble(ledger, reader, LOST_DISCONNECTED, text, now_ms * MS);
	}
	close_books(NULL);
	assert_int_equal(reckoning->n_losses, 100);
	loss_is(0, LOST_DISCONNECTED, 101, "cut off for the 99th time");
}

/* A ramp: what does not concern a topic leaves no trace in its streams, what does leaves one each. */
static void changes_of_the_audience(void **state)
{
	struct stream *stream = stream_of(publisher, "t");
	char filter[16];

	(void)state;
	for (unsigned i = 0; i < 1000; i++) {
		snprintf(filter, sizeof(filter), "t/%u", i);
		add(worker_a, filter);
		send();
	}
	assert_true(stream->n_scenes <= 16);
	for (unsigned i = 0; i < 100; i++) {
		audience_add(audience, (struct listener){ 100 + i, 1 }, span_text("t"), false);
		send();
	}
	assert_true(stream->n_scenes >= 100 && stream->n_scenes <= 116);
	close_books(NULL);
	assert_int_equal(tallies[1].counts[COUNT_owed], 100 * 101 / 2);
	assert_int_equal(tallies[1].counts[COUNT_lost], 100 * 101 / 2);
}

/*
 * A queue's work to three members in two threads, with loss, duplicates, what two of them get and what comes late: settled early and often it comes to what it does
 * when everything is remembered.
 */
static void work(uint32_t settle_at, uint64_t *in_use)
{
	static const struct listener members[] = { { 0x00000005, 1 }, { 0x01000006, 1 }, { 0x01000007, 1 } };
	struct subscriber *had[3] = { 0 };
	struct tally other_tallies[3] = { 0 };
	struct pool *other_pool = pool_new();
	struct ledger *ledgers[2] = { ledger, ledger_new(audience, other_pool, 1, RUN, other_tallies, 3, 0) };
	uint8_t old_payload[STAMP_SIZE], lost_payload[STAMP_SIZE];
	struct delivery old = { .topic = span_text("t"), .payload = span_of(old_payload, STAMP_SIZE) }, lost = old;
	struct stamp late = { 0 };
	uint64_t random = 5;

	lost.payload.at = lost_payload;
	ledgers[0]->settle_at = ledgers[1]->settle_at = settle_at;
	for (unsigned i = 0; i < 3; i++)
		add(members[i], "$share/g/t");
	for (unsigned i = 0; i < 60000; i++) {
		uint8_t payload[STAMP_SIZE];
		struct delivery d = { .topic = span_text("t"), .payload = span_of(payload, sizeof(payload)), .now_ns = i };
		struct stamp stamp = send();
		unsigned who;

		random = random * UINT64_C(6364136223846793005) + 1442695040888963407u;
		who = (unsigned)(random >> 40) % 3;
		if (i == 10) {
			stamp_write(old_payload, STAMP_SIZE, &stamp);
			ledger_arrived(ledgers[0], &had[0], members[0], 1, &old);
			continue;
		}
		if (i == 11)
			stamp_write(lost_payload, STAMP_SIZE, &stamp);
		if (random >> 57 == 1 || i == 11)
			continue;
		if (random >> 57 == 2) {
			late = stamp;
			continue;
		}
		for (unsigned times = random >> 57 == 3 ? 2 : 1; times > 0; times--) {
			stamp_write(payload, STAMP_SIZE, &stamp);
			ledger_arrived(ledgers[members[who].client >> 24], &had[who], members[who], 1, &d);
		}
		if (random >> 57 == 4) {
			who = (who + 1) % 3;
			ledger_arrived(ledgers[members[who].client >> 24], &had[who], members[who], 1, &d);
		}
		if (random >> 57 == 5 && late.run) {
			stamp_write(payload, STAMP_SIZE, &late);
			ledger_arrived(ledgers[members[who].client >> 24], &had[who], members[who], 1, &d);
			late.run = 0;
		}
	}
	assert_int_equal(ledger_arrived(ledgers[0], &had[0], members[0], 1, &old), DELIVERED_AGAIN);
	assert_int_equal(ledger_arrived(ledgers[0], &had[0], members[0], 1, &lost), DELIVERED_NEW);
	assert_int_equal(ledger_arrived(ledgers[0], &had[0], members[0], 1, &lost), DELIVERED_AGAIN);
	*in_use = pool_in_use(pool) + pool_in_use(other_pool);
	assert_int_equal(ledgers[0]->settled.n + ledgers[1]->settled.n, settle_at < 100 ? 2 : 0);
	tally_add(&tallies[1], &other_tallies[1]);
	reckoning = reckon(ledgers, 2, audience, NULL, tallies, 3);
	tally_release(&other_tallies[1]);
	ledger_free(ledgers[1]);
	pool_free(other_pool);
}

static void settled_or_not(void **state)
{
	uint64_t counts[N_COUNTERS], excess, unowed, in_use, less;
	struct publisher_account account;

	work(UINT32_MAX, &in_use);
	memcpy(counts, tallies[1].counts, sizeof(counts));
	excess = reckoning->shared_excess;
	unowed = reckoning->unowed;
	account = reckoning->publishers[0];
	assert_true(counts[COUNT_lost] > 300 && counts[COUNT_duplicated] > 300 && counts[COUNT_reordered] > 200 && excess > 300);
	end(state);
	begin(state);
	work(2, &less);
	for (unsigned i = 0; i < N_COUNTERS; i++)
		assert_int_equal(tallies[1].counts[i], counts[i]);
	assert_int_equal(reckoning->shared_excess, excess);
	assert_int_equal(reckoning->unowed, unowed);
	assert_int_equal(unowed, 0);
	assert_int_equal(reckoning->publishers[0].lost, account.lost);
	assert_int_equal(reckoning->publishers[0].delivered, account.delivered);
	assert_true(less < in_use);
}

/* ---- threads ---- */

enum { THREADS = 4, TURNS = 3000 };

struct thread {
	pthread_t id;
	unsigned number;
	struct pool *pool;
	struct ledger *ledger;
	struct tally tallies[3];
	uint64_t owed_at_least;
};

/* Comes, sends to itself and to who is there, goes. What it gets of its own, which is all of it, is in order. */
static void *play(void *context)
{
	struct thread *t = context;
	struct listener who = { t->number << 24, 0 };
	struct subscriber *subscriber = NULL;
	char topic[16];
	uint32_t joined;

	snprintf(topic, sizeof(topic), "t/%u", t->number);
	for (unsigned i = 0; i < TURNS; i++) {
		uint8_t payload[STAMP_SIZE];
		struct delivery d = { .topic = span_text(topic), .payload = span_of(payload, sizeof(payload)), .now_ns = i };
		struct stamp stamp;

		joined = audience_add(audience, who, span_text(topic), false);
		ledger_send(t->ledger, who, ledger_stream(t->ledger, who, span_text(topic), 0), i, i, &stamp);
		stamp_write(payload, STAMP_SIZE, &stamp);
		if (ledger_arrived(t->ledger, &subscriber, who, joined, &d) != DELIVERED_NEW)
			return "not new";
		if (i % 3 == 0)
			audience_remove(audience, who, span_text(topic));
		else if (i % 3 == 1)
			audience_leave(audience, who);
	}
	return NULL;
}

static void threads(void **state)
{
	struct thread all[THREADS] = { 0 };
	struct ledger *ledgers[THREADS];

	(void)state;
	for (unsigned i = 0; i < THREADS; i++) {
		all[i].number = i + 1;
		all[i].pool = pool_new();
		ledgers[i] = all[i].ledger = ledger_new(audience, all[i].pool, i + 1, RUN, all[i].tallies, 3, 0);
	}
	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&all[i].id, NULL, play, &all[i]), 0);
	for (unsigned i = 0; i < THREADS; i++) {
		void *wrong;

		pthread_join(all[i].id, &wrong);
		assert_null(wrong);
	}
	reckoning = reckon(ledgers, THREADS, audience, NULL, tallies, 3);
	assert_int_equal(tallies[0].counts[COUNT_owed], THREADS * TURNS);
	assert_int_equal(tallies[0].counts[COUNT_lost], 0);
	assert_int_equal(reckoning->unowed, 0);
	for (unsigned i = 0; i < THREADS; i++) {
		tally_release(&all[i].tallies[0]);
		ledger_free(all[i].ledger);
		pool_free(all[i].pool);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(nothing_is_lost),
		TEST(nobody_knows_why),
		TEST(the_broker_says_that_it_dropped_some),
		TEST(it_dropped_what_is_not_explained),
		TEST(it_dropped_what_was_not_under_way),
		TEST(it_dropped_more_than_is_missing),
		TEST(a_gap_with_a_trouble_in_it),
		TEST(somebody_elses_trouble),
		TEST(left_with_messages_under_way),
		TEST(left_when_nothing_was_under_way),
		TEST(left_and_nobody_told),
		TEST(stranded), TEST(stuck), TEST(stuck_with_all_of_it),
		TEST(stranded_across_a_renewed_stream),
		TEST(refused_is_not_owed),
		TEST(a_groups_loss),
		TEST(a_member_that_subscribes_besides),
		TEST(overlapping_filters),
		TEST(publishers_with_troubles),
		TEST(echoes),
		TEST(echoes_to_a_group),
		TEST(evidence_without_end),
		TEST(changes_of_the_audience),
		TEST(settled_or_not),
		TEST(threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Ledgers and their reckoning against a model that remembers everything and counts naively. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include "codec/topic.h"
#include "harness/load/ledger_internal.h"
#include "harness/load/reckon.h"

enum { RUN = 0x4d514159, MAX_LEDGERS = 3, MAX_CLIENTS = 6, N_ROLES = 3, MAX_MESSAGES = 120, MAX_GRANTS = 80, MAX_GROUPS = 8, MS = 1000000 };

static const char *const topics[] = { "a/b", "a/c", "b", "a", "a/b/c", "$x/b", "some/what/longer/topic/b" };
static const char *const filters[] = {
	"a/b", "a/+", "a/#", "#", "+/b", "+", "some/what/+/topic/#", "$x/b", "$share/g/a/+", "$share/g/a/b", "$share/h/a/b", "$share/h/#",
};
enum { N_TOPICS = sizeof(topics) / sizeof(*topics), N_FILTERS = sizeof(filters) / sizeof(*filters), N_OWN_FILTERS = 8 };

static uint64_t seed;

static uint32_t below(uint32_t n)
{
	uint64_t z = seed += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return (uint32_t)((z ^ z >> 31) % n);
}

/* ---- the model ---- */

struct model_grant {
	unsigned client, filter;
	bool no_local;
	uint32_t joined, left;
};

struct message {
	unsigned publisher, topic;
	uint32_t epoch;
	struct stamp stamp;
	uint8_t payload[STAMP_SIZE + 8];
	bool tracked, refused;
	unsigned times[MAX_CLIENTS];	/* that it came and stood for a subscription's copy */
	uint64_t order[MAX_CLIENTS][4];	/* when its n-th copy came */
};

struct echo {
	unsigned publisher, topic;
	uint32_t epoch;
};

struct world {
	struct audience *audience;
	unsigned n_ledgers, n_clients;
	struct pool *pools[MAX_LEDGERS];
	struct ledger *ledgers[MAX_LEDGERS];
	struct tally tallies[MAX_LEDGERS][N_ROLES];
	struct listener clients[MAX_CLIENTS];
	unsigned ledger_of[MAX_CLIENTS];
	struct subscriber *subscribers[MAX_CLIENTS];
	uint32_t joined[MAX_CLIENTS];
	struct model_grant grants[MAX_GRANTS];
	unsigned n_grants;
	struct message messages[MAX_MESSAGES];
	unsigned n_messages;
	struct echo echoes[MAX_MESSAGES];
	unsigned n_echoes, untracked_echoes;
	uint64_t returned[MAX_CLIENTS][N_TOPICS];
	uint16_t group_role[N_FILTERS];
	bool group_known[N_FILTERS];
	uint64_t expected[N_ROLES][N_COUNTERS], timed[N_ROLES];
	uint64_t now_ns, arrivals;
	bool shares;
};

static bool shared(unsigned filter)
{
	return filter >= N_OWN_FILTERS;
}

static bool fits(unsigned filter, unsigned topic)
{
	struct span text = span_text(filters[filter]), group;

	share_split(text, &group, &text);
	return topic_matches(text, span_text(topics[topic]));
}

static struct model_grant *model_find(struct world *w, unsigned client, unsigned filter)
{
	for (unsigned i = 0; i < w->n_grants; i++)
		if (w->grants[i].client == client && w->grants[i].filter == filter && w->grants[i].left == UINT32_MAX)
			return &w->grants[i];
	return NULL;
}

static bool owes_own(const struct world *w, unsigned client, uint32_t epoch, unsigned publisher, unsigned topic)
{
	for (unsigned i = 0; i < w->n_grants; i++) {
		const struct model_grant *g = &w->grants[i];

		if (g->client == client && !shared(g->filter) && fits(g->filter, topic) && g->joined <= epoch && epoch < g->left &&
		    !(g->no_local && client == publisher))
			return true;
	}
	return false;
}

static bool owes_group(const struct world *w, unsigned filter, uint32_t epoch, unsigned topic)
{
	for (unsigned i = 0; i < w->n_grants; i++) {
		const struct model_grant *g = &w->grants[i];

		if (g->filter == filter && fits(filter, topic) && g->joined <= epoch && epoch < g->left)
			return true;
	}
	return false;
}

/* Whether anything of the stream was sent while the client was in the group. */
static bool is_member(const struct world *w, unsigned client, unsigned filter, uint32_t stream)
{
	for (unsigned i = 0; i < w->n_grants; i++)
		for (unsigned m = 0; m < w->n_messages; m++) {
			const struct model_grant *g = &w->grants[i];
			const struct message *message = &w->messages[m];

			if (g->client == client && g->filter == filter && message->tracked && message->stamp.stream == stream && fits(filter, message->topic) &&
			    g->joined <= message->epoch && message->epoch < g->left)
				return true;
		}
	return false;
}

/* The most groups that can be served: by trying everything. */
static unsigned most_served(const struct world *w, const struct message *m, const bool *due, unsigned filter, unsigned *spare)
{
	unsigned best;

	while (filter < N_FILTERS && !due[filter])
		filter++;
	if (filter == N_FILTERS)
		return 0;
	best = most_served(w, m, due, filter + 1, spare);
	for (unsigned c = 0; c < w->n_clients; c++)
		if (spare[c] && is_member(w, c, filter, m->stamp.stream)) {
			unsigned n;

			spare[c]--;
			n = 1 + most_served(w, m, due, filter + 1, spare);
			spare[c]++;
			best = n > best ? n : best;
		}
	return best;
}

struct books {
	uint64_t owed[N_ROLES], lost[N_ROLES], group_owed, group_lost, excess, delivered, own_had;
};

static void reckon_message(const struct world *w, const struct message *m, struct books *b)
{
	unsigned spare[MAX_CLIENTS], n_due = 0, served, all_spare = 0;
	bool due[N_FILTERS] = { 0 };

	for (unsigned c = 0; c < w->n_clients; c++) {
		bool own = !m->refused && owes_own(w, c, m->epoch, m->publisher, m->topic);

		spare[c] = m->times[c] - (own && m->times[c] ? 1 : 0);
		if (!own)
			continue;
		b->owed[w->clients[c].role]++;
		if (m->times[c])
			b->own_had++;
		else
			b->lost[w->clients[c].role]++;
	}
	for (unsigned f = N_OWN_FILTERS; f < N_FILTERS; f++) {
		due[f] = !m->refused && owes_group(w, f, m->epoch, m->topic);
		n_due += due[f];
		b->group_owed += due[f];
	}
	if (!n_due)
		return;
	served = most_served(w, m, due, N_OWN_FILTERS, spare);
	for (unsigned c = 0; c < w->n_clients; c++) {
		unsigned of_groups = 0;

		for (unsigned f = N_OWN_FILTERS; f < N_FILTERS; f++)
			of_groups += due[f] && is_member(w, c, f, m->stamp.stream);
		all_spare += spare[c] < of_groups ? spare[c] : of_groups;
	}
	b->group_lost += n_due - served;
	b->excess += all_spare - served;
}

/* ---- what happens ---- */

static void begin(struct world *w, size_t max_streams, uint32_t numbers_end)
{
	memset(w, 0, sizeof(*w));
	w->audience = audience_new(N_ROLES);
	w->n_ledgers = 1 + below(MAX_LEDGERS);
	w->n_clients = 2 + below(MAX_CLIENTS - 1);
	for (unsigned i = 0; i < w->n_ledgers; i++) {
		w->pools[i] = pool_new();
		w->ledgers[i] = ledger_new(w->audience, w->pools[i], i * 77, RUN, w->tallies[i], N_ROLES, max_streams);
		if (numbers_end)
			w->ledgers[i]->numbers_end = numbers_end;
	}
	for (unsigned c = 0; c < w->n_clients; c++) {
		w->ledger_of[c] = below(w->n_ledgers);
		w->clients[c] = (struct listener){ (w->ledger_of[c] * 77) << 24 | c * 3, (uint16_t)below(N_ROLES) };
	}
}

static void end(struct world *w)
{
	for (unsigned i = 0; i < w->n_ledgers; i++) {
		for (unsigned r = 0; r < N_ROLES; r++)
			tally_release(&w->tallies[i][r]);
		ledger_free(w->ledgers[i]);
		pool_free(w->pools[i]);
	}
	audience_free(w->audience);
}

static void subscribe(struct world *w)
{
	unsigned client = below(w->n_clients), filter = below(w->shares ? N_FILTERS : N_OWN_FILTERS);
	struct model_grant *old = model_find(w, client, filter);
	bool no_local = below(4) == 0;
	uint32_t joined, before = audience_epoch(w->audience);

	if (w->n_grants == MAX_GRANTS)
		return;
	joined = audience_add(w->audience, w->clients[client], span_text(filters[filter]), no_local);
	if (old && (shared(filter) || old->no_local == no_local)) {
		assert_int_equal(joined, old->joined);
		assert_int_equal(audience_epoch(w->audience), before);
		return;
	}
	assert_int_equal(joined, before + 1);
	assert_int_equal(audience_epoch(w->audience), joined);
	if (old)
		old->left = joined;
	w->grants[w->n_grants++] = (struct model_grant){ client, filter, no_local && !shared(filter), joined, UINT32_MAX };
	if (!w->joined[client])
		w->joined[client] = joined;
	if (shared(filter) && !w->group_known[filter]) {
		w->group_known[filter] = true;
		w->group_role[filter] = w->clients[client].role;
	}
}

static void unsubscribe(struct world *w)
{
	unsigned client = below(w->n_clients), filter = below(N_FILTERS);
	struct model_grant *old = model_find(w, client, filter);
	uint32_t before = audience_epoch(w->audience);

	audience_remove(w->audience, w->clients[client], span_text(filters[filter]));
	assert_int_equal(audience_epoch(w->audience), before + (old != NULL));
	if (old)
		old->left = before + 1;
}

static void leave(struct world *w)
{
	unsigned client = below(w->n_clients);

	audience_leave(w->audience, w->clients[client]);
	for (unsigned i = 0; i < w->n_grants; i++)
		if (w->grants[i].client == client && w->grants[i].left == UINT32_MAX)
			w->grants[i].left = audience_epoch(w->audience);
}

static void send_message(struct world *w)
{
	struct message *m = &w->messages[w->n_messages];
	unsigned client = below(w->n_clients), topic = below(below(3) ? 2 : N_TOPICS), qos = below(8) == 0;
	struct ledger *l = w->ledgers[w->ledger_of[client]];
	uint16_t role = w->clients[client].role;
	struct stream *stream;
	uint64_t due_ns;

	if (w->n_messages == MAX_MESSAGES)
		return;
	stream = ledger_stream(l, w->clients[client], span_text(topics[topic]), qos);
	assert_ptr_equal(stream, ledger_stream(l, w->clients[client], span_text(topics[topic]), qos));
	w->now_ns += below(3 * MS);
	due_ns = w->now_ns - below(w->now_ns < 2 * MS ? (uint32_t)w->now_ns + 1 : 2 * MS);
	memset(m, 0, sizeof(*m));
	ledger_send(l, w->clients[client], stream, due_ns, w->now_ns, &m->stamp);
	assert_int_equal(m->stamp.epoch, audience_epoch(w->audience));
	assert_int_equal(m->stamp.due_ns, due_ns);
	assert_int_equal(m->stamp.sent_ns, w->now_ns);
	stamp_write(m->payload, STAMP_SIZE, &m->stamp);
	m->publisher = client;
	m->topic = topic;
	m->epoch = m->stamp.epoch;
	m->tracked = stream != NULL;
	w->expected[role][COUNT_sent]++;
	w->expected[role][COUNT_late] += w->now_ns - due_ns > MS;
	w->n_messages++;
	if (below(15) == 0) {
		ledger_void(l, stream, m->stamp.number);
		m->refused = true;
	}
}

static bool came_later(const struct world *w, const struct message *m, unsigned client, unsigned copy)
{
	for (unsigned i = 0; i < w->n_messages; i++) {
		const struct message *other = &w->messages[i];

		if (other->tracked && other->stamp.stream == m->stamp.stream && other->stamp.number > m->stamp.number && other->times[client] > copy)
			return true;
	}
	return false;
}

static void deliver(struct world *w)
{
	struct message *m;
	unsigned client = below(w->n_clients), own = 0, groups = 0, allowed, owed;
	uint16_t role = w->clients[client].role;
	struct delivery d = { 0 };
	enum delivered is, wanted;
	bool early, had = false, ordered = false;

	if (!w->n_messages)
		return;
	m = &w->messages[below(3) ? w->n_messages - 1 - below(w->n_messages < 6 ? w->n_messages : 6) : below(w->n_messages)];
	w->now_ns += below(MS);
	d = (struct delivery){ .topic = span_text(topics[m->topic]), .payload = span_of(m->payload, sizeof(m->payload)), .now_ns = w->now_ns,
	                       .retained = below(10) == 0, .dup = below(5) == 0 };
	for (unsigned f = 0; f < N_FILTERS; f++)
		for (unsigned i = 0; i < w->n_grants; i++)
			if (w->grants[i].client == client && w->grants[i].filter == f && fits(f, m->topic) && w->grants[i].left > m->epoch) {
				++*(shared(f) ? &groups : &own);
				break;
			}
	for (unsigned i = 0; i < w->n_grants; i++)
		had = had || (w->grants[i].client == client && fits(w->grants[i].filter, m->topic) && w->grants[i].joined <= m->epoch && w->grants[i].left > m->epoch);
	owed = groups + (own > 0);
	allowed = own + groups;
	early = !w->joined[client] || m->epoch < w->joined[client] || (d.retained && !had);
	if (m->tracked && m->times[client] && (d.retained || m->times[client] >= allowed)) {
		wanted = d.retained ? DELIVERED_COPY : DELIVERED_AGAIN;
	} else if (m->tracked && m->times[client] && m->times[client] >= owed) {
		wanted = DELIVERED_COPY;
		m->times[client]++;
	} else {
		wanted = early ? DELIVERED_EARLY : DELIVERED_NEW;
		ordered = m->tracked && came_later(w, m, client, m->times[client]) && !(m->times[client] == 0 && early && d.retained);
		m->times[client] += m->tracked;
		w->timed[role] += !early || !d.retained;
	}
	is = ledger_arrived(w->ledgers[w->ledger_of[client]], &w->subscribers[client], w->clients[client], w->joined[client], &d);
	assert_int_equal(is, wanted);
	w->expected[role][COUNT_delivered] += is == DELIVERED_NEW || is == DELIVERED_EARLY;
	w->expected[role][COUNT_early] += is == DELIVERED_EARLY;
	w->expected[role][COUNT_duplicated] += is == DELIVERED_AGAIN;
	w->expected[role][COUNT_copies] += is == DELIVERED_COPY;
	w->expected[role][COUNT_reordered] += ordered;
}

static void deliver_foreign(struct world *w)
{
	unsigned client = below(w->n_clients);
	struct stamp stamp = { .run = below(2) ? RUN : RUN + 1, .stream = 0xc8000001, .number = 3 };
	uint8_t payload[STAMP_SIZE];
	struct delivery d = { .topic = span_text("a/b"), .payload = span_of(payload, below(2) ? sizeof(payload) : below(STAMP_SHORT)) };

	stamp_write(payload, STAMP_SIZE, &stamp);
	assert_int_equal(ledger_arrived(w->ledgers[w->ledger_of[client]], &w->subscribers[client], w->clients[client], 0, &d), DELIVERED_FOREIGN);
	w->expected[w->clients[client].role][COUNT_foreign]++;
}

static void echo(struct world *w)
{
	unsigned client = below(w->n_clients), topic = below(2), reader = below(w->n_clients);
	struct message *m = w->n_messages ? &w->messages[below(w->n_messages)] : NULL;
	struct ledger *l = w->ledgers[w->ledger_of[client]];
	struct delivery d;
	uint64_t before;

	if (!m || !m->tracked || m->topic == topic || w->shares || w->n_echoes == MAX_MESSAGES)
		return;
	before = l->untracked;
	ledger_echo(l, w->clients[client], span_text(topics[topic]), 1);
	if (l->untracked == before)
		w->echoes[w->n_echoes++] = (struct echo){ client, topic, audience_epoch(w->audience) };
	else
		w->untracked_echoes++;
	w->expected[w->clients[client].role][COUNT_sent]++;
	if (below(3) == 0)
		return;
	d = (struct delivery){ .topic = span_text(topics[topic]), .payload = span_of(m->payload, STAMP_SIZE), .now_ns = w->now_ns };
	assert_int_equal(ledger_arrived(w->ledgers[w->ledger_of[reader]], &w->subscribers[reader], w->clients[reader], w->joined[reader], &d),
	                 DELIVERED_RETURNED);
	w->returned[reader][topic]++;
	w->expected[w->clients[reader].role][COUNT_returned]++;
	w->timed[w->clients[reader].role]++;
}

static void trouble(struct world *w)
{
	unsigned client = below(w->n_clients);

	ledger_trouble(w->ledgers[w->ledger_of[client]], w->clients[client], below(LOST_PUBLISHER_GONE), below(2) ? "this" : "that", w->now_ns);
}

/* ---- and what it comes to ---- */

static void reckon_echoes_of(const struct world *w, struct books *b)
{
	for (unsigned c = 0; c < w->n_clients; c++)
		for (unsigned t = 0; t < N_TOPICS; t++) {
			uint64_t owed = 0;

			for (unsigned i = 0; i < w->n_echoes; i++)
				owed += w->echoes[i].topic == t && owes_own(w, c, w->echoes[i].epoch, w->echoes[i].publisher, t);
			b->owed[w->clients[c].role] += owed;
			b->lost[w->clients[c].role] += owed > w->returned[c][t] ? owed - w->returned[c][t] : 0;
		}
}

static void compare(struct world *w)
{
	struct tally sum[N_ROLES] = { 0 };
	struct books b = { 0 };
	struct reckoning *reckoning;
	uint64_t untracked = w->untracked_echoes, group_owed = 0, group_lost = 0, causes = 0, lost = 0, delivered = 0, tracked_lost, tracked_owed = 0;
	struct broker_drops drops = { .known = below(2), .n = below(20), .topic = "$SYS/dropped" };

	for (unsigned i = 0; i < w->n_messages; i++) {
		if (w->messages[i].tracked)
			reckon_message(w, &w->messages[i], &b);
		else
			untracked++;
	}
	tracked_lost = b.lost[0] + b.lost[1] + b.lost[2] + b.group_lost;
	tracked_owed = b.owed[0] + b.owed[1] + b.owed[2] + b.group_owed;
	reckon_echoes_of(w, &b);
	for (unsigned i = 0; i < w->n_ledgers; i++)
		for (unsigned r = 0; r < N_ROLES; r++)
			tally_add(&sum[r], &w->tallies[i][r]);
	reckoning = reckon(w->ledgers, w->n_ledgers, w->audience, &drops, sum, N_ROLES);
	for (unsigned r = 0; r < N_ROLES; r++) {
		for (unsigned c = 0; c < N_COUNTERS; c++)
			if (c != COUNT_owed && c != COUNT_lost)
				assert_int_equal(sum[r].counts[c], w->expected[r][c]);
		assert_int_equal(sum[r].timings[TIME_DELIVERY].count, w->timed[r]);
		assert_true(sum[r].counts[COUNT_owed] >= b.owed[r]);	/* groups' are the role's of the first member */
		assert_true(sum[r].counts[COUNT_lost] >= b.lost[r]);
		group_owed += sum[r].counts[COUNT_owed] - b.owed[r];
		group_lost += sum[r].counts[COUNT_lost] - b.lost[r];
		lost += sum[r].counts[COUNT_lost];
		delivered += sum[r].counts[COUNT_delivered];
		tally_release(&sum[r]);
	}
	assert_int_equal(group_owed, b.group_owed);
	assert_int_equal(group_lost, b.group_lost);
	for (uint32_t i = 0; i < reckoning->n_losses; i++)
		causes += reckoning->losses[i].n;
	assert_int_equal(causes, lost);
	assert_int_equal(reckoning->untracked, untracked);
	assert_int_equal(reckoning->shared_excess, b.excess);
	if (!untracked) {
		uint64_t of_publishers = 0;

		assert_int_equal(delivered, tracked_owed - tracked_lost + reckoning->unowed + reckoning->shared_excess);
		for (uint32_t i = 0; i < reckoning->n_publishers; i++)
			of_publishers += reckoning->publishers[i].lost;
		assert_int_equal(of_publishers, lost);
	}
	reckoning_free(reckoning);
}

static void play(uint64_t history, bool shares, size_t max_streams, uint32_t numbers_end)
{
	static struct world w;
	unsigned n, churn;

	seed = history * 7919 + 1;
	begin(&w, max_streams, numbers_end);
	w.shares = shares;
	n = 20 + below(250);
	churn = 1 + below(30);
	for (unsigned i = below(8); i > 0; i--)
		subscribe(&w);
	for (unsigned i = 0; i < n; i++) {
		if (below(100) < churn)
			(below(3) ? subscribe : below(2) ? unsubscribe : leave)(&w);
		switch (below(20)) {
		case 0: deliver_foreign(&w); break;
		case 1: trouble(&w); break;
		case 2: case 3: echo(&w); break;
		case 4: case 5: case 6: case 7: case 8: case 9: send_message(&w); break;
		default: deliver(&w);
		}
	}
	compare(&w);
	end(&w);
}

static void histories(void **state)
{
	(void)state;
	for (uint64_t i = 0; i < 1000; i++)
		play(i, i & 1, 0, 0);
}

static void histories_with_few_numbers(void **state)
{
	(void)state;
	for (uint64_t i = 0; i < 200; i++)
		play(100000 + i, i & 1, 0, 1 + (uint32_t)i % 7);
}

static void histories_with_few_streams(void **state)
{
	(void)state;
	for (uint64_t i = 0; i < 200; i++)
		play(200000 + i, i & 1, 1 + i % 4, 0);
}

static void short_stamps(void **state)
{
	(void)state;
	for (unsigned size = STAMP_SHORT; size < STAMP_SIZE; size++) {
		struct stamp out, in = { .run = below(UINT32_MAX), .stream = below(UINT32_MAX), .number = below(UINT32_MAX), .due_ns = ((uint64_t)below(UINT32_MAX) << 20 | below(UINT32_MAX)) & ~63ull };
		uint8_t payload[STAMP_SIZE] = { 0 };

		stamp_write(payload, stamp_size(size), &in);
		assert_true(stamp_read(span_of(payload, size), in.run, &out));
		assert_int_equal(out.stream, in.stream);
		assert_int_equal(out.number, in.number);
		assert_int_equal(out.due_ns, in.due_ns);
		assert_int_equal(out.sent_ns, in.due_ns);
		assert_false(stamp_read(span_of(payload, size), in.run + 1, &out));
	}
	assert_int_equal(stamp_size(STAMP_SHORT - 1), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(short_stamps),
		cmocka_unit_test(histories),
		cmocka_unit_test(histories_with_few_numbers),
		cmocka_unit_test(histories_with_few_streams),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

#include <stdlib.h>
#include <sys/random.h>

#include "pcap/tcp_internal.h"

enum { CHAINS_LEAST = 1024 };

static uint64_t mix(uint64_t a, uint64_t b)
{
	__extension__ typedef unsigned __int128 wide;
	wide product = (wide)a * b;

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint64_t endpoint_hash(const uint64_t key[3], const struct endpoint *e)
{
	uint64_t a, b;

	memcpy(&a, e->address, 8);
	memcpy(&b, e->address + 8, 8);
	return mix(mix(a ^ key[0], b ^ key[1]) ^ e->port, key[2] ^ e->family);
}

/* endpoint_equal(), where its call would be seen in the time that a segment takes. */
static bool same(const struct endpoint *a, const struct endpoint *b)
{
	return a->port == b->port && a->family == b->family && memcmp(a->address, b->address, sizeof(a->address)) == 0;
}

static bool is_of(const struct connection *c, const struct segment *s, unsigned *from)
{
	*from = !same(&c->flow.ends[0], &s->from);
	return same(&c->flow.ends[*from], &s->from) && same(&c->flow.ends[!*from], &s->to);
}

/* A sum is the same for both orders of the endpoints; the key is random, so that a capture cannot be made to collide. */
struct connection *flow_find(struct tcp *tcp, const struct segment *s, uint64_t *hash, unsigned *from)
{
	if (tcp->found && is_of(tcp->found, s, from))
		return tcp->found;	/* question and answer often follow each other */
	uint64_t h = endpoint_hash(tcp->key, &s->from) + endpoint_hash(tcp->key, &s->to);

	*hash = h;
	for (struct connection *c = tcp->table[h & (tcp->n_chains - 1)]; c; c = c->chain)
		if (c->hash == h && is_of(c, s, from))
			return tcp->found = c;
	return NULL;
}

void tcp_list_push(struct list *list, struct connection *c)
{
	c->older = list->last;
	c->newer = NULL;
	*(list->last ? &list->last->newer : &list->first) = c;
	list->last = c;
}

void tcp_list_take(struct list *list, struct connection *c)
{
	*(c->older ? &c->older->newer : &list->first) = c->newer;
	*(c->newer ? &c->newer->older : &list->last) = c->older;
}

static void grow(struct tcp *tcp)
{
	size_t n = tcp->n_chains * 2;
	struct connection **table = calloc(n, sizeof(*table));

	if (!table)
		return;			/* longer chains then */
	for (size_t i = 0; i < tcp->n_chains; i++) {
		for (struct connection *c = tcp->table[i], *next; c; c = next) {
			next = c->chain;
			c->chain = table[c->hash & (n - 1)];
			table[c->hash & (n - 1)] = c;
		}
	}
	free(tcp->table);
	tcp->table = table;
	tcp->n_chains = n;
}

struct connection *flow_open(struct tcp *tcp, const struct endpoint ends[2], uint64_t hash)
{
	struct connection *c, **chain;

	while (tcp->counts.flows_now >= tcp->limits.flows)
		tcp_conclude(tcp->open.first, TCP_FORGOTTEN);
	c = calloc(1, sizeof(*c));
	if (!c)
		return NULL;
	if (tcp->n_connections * 2 >= tcp->n_chains)
		grow(tcp);
	c->tcp = tcp;
	c->hash = hash;
	c->flow = (struct flow){ .ends = { ends[0], ends[1] }, .number = (uint32_t)tcp->counts.flows++, .first = tcp->when };
	c->moved_ns = c->last_ns = tcp_stamp(tcp);
	chain = &tcp->table[hash & (tcp->n_chains - 1)];
	c->chain = *chain;
	*chain = c;
	tcp->n_connections++;
	tcp_list_push(&tcp->open, c);
	if (++tcp->counts.flows_now > tcp->counts.flows_most)
		tcp->counts.flows_most = tcp->counts.flows_now;
	return c;
}

/* Going to the list's end at each segment would touch its neighbours each time: now and then will do. */
void flow_touch(struct connection *c)
{
	struct tcp *tcp = c->tcp;

	c->last_ns = tcp_stamp(tcp);
	if (c->last_ns >= c->moved_ns && c->last_ns - c->moved_ns < tcp->stir_ns)
		return;
	c->moved_ns = c->last_ns;
	tcp_list_take(&tcp->open, c);
	tcp_list_push(&tcp->open, c);
}

void flow_linger(struct connection *c)
{
	struct tcp *tcp = c->tcp;

	tcp_list_take(&tcp->open, c);
	tcp_list_push(&tcp->lingering, c);
	c->lingers = true;
	c->moved_ns = tcp_stamp(tcp);
	if (++tcp->n_lingering > LINGERING_MOST)
		flow_free(tcp->lingering.first);
}

void flow_free(struct connection *c)
{
	struct tcp *tcp = c->tcp;
	struct connection **link = &tcp->table[c->hash & (tcp->n_chains - 1)];

	while (*link != c)
		link = &(*link)->chain;
	*link = c->chain;
	if (tcp->found == c)
		tcp->found = NULL;
	tcp->n_connections--;
	tcp_list_take(c->lingers ? &tcp->lingering : &tcp->open, c);
	tcp->n_lingering -= c->lingers;
	free(c);
}

/* What the last two segments may have stamped, which the clock does not believe yet but may with the next one. */
static uint64_t latest_stamp(const struct tcp *tcp)
{
	uint64_t time = tcp->times[0] > tcp->times[1] ? tcp->times[0] : tcp->times[1];

	return tcp->now_ns + (time > tcp->high_ns ? time - tcp->high_ns : 0);
}

static bool silent(const struct tcp *tcp, uint64_t *since_ns, uint64_t for_ns)
{
	if (*since_ns > latest_stamp(tcp) + for_ns)
		*since_ns = tcp->now_ns;	/* a wrong time stamp */
	return tcp->now_ns > *since_ns && tcp->now_ns - *since_ns >= for_ns;
}

void flow_tidy(struct tcp *tcp)
{
	while (tcp->open.first && silent(tcp, &tcp->open.first->last_ns, tcp->limits.idle_ns))
		tcp_conclude(tcp->open.first, TCP_FORGOTTEN);
	while (tcp->lingering.first && silent(tcp, &tcp->lingering.first->moved_ns, LINGER_NS))
		flow_free(tcp->lingering.first);
}

static uint64_t median(uint64_t a, uint64_t b, uint64_t c)
{
	uint64_t low = a < b ? a : b, high = a < b ? b : a;

	return c < low ? low : c > high ? high : c;
}

/*
 * A clock of our own, which never goes back: one wrong time stamp must not end all connections, nor stop the waiting for ever.
 * A single outlier is no median of three, so it is one segment behind; where the capture's time goes back by more than a
 * second, ours goes on from there. What begins with the segment at hand is stamped with that segment's own time: else the first one
 * behind a long silence would make it old at once.
 */
void tcp_clock(struct tcp *tcp, uint64_t time_ns)
{
	uint64_t t = median(tcp->times[0], tcp->times[1], time_ns);

	tcp->times[0] = tcp->times[1];
	tcp->times[1] = time_ns;
	if (t >= tcp->high_ns) {
		tcp->now_ns += t - tcp->high_ns;
		tcp->high_ns = t;
	} else if (tcp->high_ns - t > UINT64_C(1000000000)) {
		tcp->high_ns = t;
	}
}

uint64_t tcp_stamp(const struct tcp *tcp)
{
	return tcp->now_ns + (tcp->times[1] > tcp->high_ns ? tcp->times[1] - tcp->high_ns : 0);
}

bool flow_table_init(struct tcp *tcp)
{
	/* Without randomness the table still works, only not against who wants it slow. */
	if (getrandom(tcp->key, sizeof(tcp->key), GRND_NONBLOCK) != (ssize_t)sizeof(tcp->key))
		memcpy(tcp->key, "fractional parts: 0.5772", sizeof(tcp->key));
	tcp->n_chains = CHAINS_LEAST;
	tcp->table = calloc(tcp->n_chains, sizeof(*tcp->table));
	return tcp->table;
}

#include "reference-broker/broken.h"
#include "reference-broker/internal.h"

#include <stdlib.h>

void broker_defaults(struct broker_config *config)
{
	*config = (struct broker_config){
		.versions = 1 << MQTT_3_1 | 1 << MQTT_3_1_1 | 1 << MQTT_5,
		.maximum_qos = 2,
		.retain_available = true, .wildcard_available = true, .shared_available = true,
		.subscription_identifiers_available = true, .empty_client_id = true,
		.receive_maximum = 65535, .maximum_packet_size = VARINT_MAX + 5, .topic_alias_maximum = 32,
		.session_expiry_maximum = FOREVER,
		.connect_timeout_ns = 10 * SECOND_NS,
		.max_sessions = 1000000, .max_subscriptions_per_session = 100000, .max_queued_per_session = 100000,
		.max_retained = 1000000, .max_connections = 1000000, .work_at_once = 4000,
		.max_output = 1 << 20, .max_memory = (size_t)1 << 30,
	};
}

/* splitmix64 */
static uint64_t mix(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

/* Keyed: client ids that are assigned tell nothing of the keys that hash names. */
uint64_t broker_random(struct broker *broker)
{
	broker->n_random++;
	return hash_bytes(broker->random_key, &broker->n_random, sizeof(broker->n_random));
}

static bool take_below(struct broker *broker, size_t n, size_t bound)
{
	if (n && (n > bound || broker->stats.memory > bound - n))
		return false;
	broker->stats.memory += n;
	return true;
}

static size_t bound_of_kept(const struct broker *broker)
{
	return broker->config.max_memory - broker->config.max_memory / 8;
}

bool memory_take(struct broker *broker, size_t n)
{
	return take_below(broker, n, bound_of_kept(broker));
}

size_t memory_room(const struct broker *broker)
{
	size_t bound = bound_of_kept(broker);

	return broker->stats.memory < bound ? bound - broker->stats.memory : 0;
}

bool memory_is_scarce(const struct broker *broker)
{
	return broker->stats.memory > bound_of_kept(broker);
}

bool memory_take_passing(struct broker *broker, size_t n)
{
	return n <= PASSING_MAX ? take_below(broker, n, broker->config.max_memory) : memory_take(broker, n);
}

bool memory_left(const struct broker *broker, size_t n)
{
	return n <= broker->config.max_memory - broker->stats.memory;
}

void memory_give(struct broker *broker, size_t n)
{
	broker->stats.memory -= n;
}

struct broker *broker_new(const struct broker_config *config, uint64_t now_ns)
{
	struct broker *b = calloc(1, sizeof(*b));
	uint64_t seed = config->seed;

	if (!b)
		return NULL;
	b->config = *config;
	b->now_ns = now_ns;
	for (unsigned i = 0; i < 2; i++) {
		b->hash_key[i] = mix(&seed);
		b->random_key[i] = mix(&seed);
	}
	tree_init(&b->subscriptions, b->hash_key);
	tree_init(&b->retained, b->hash_key);
	b->subscriptions.work = b->retained.work = &b->work;
	b->sweep.of = OF_RETAINED;
	effects_init(b);
	if (!deadlines_reserve(&b->deadlines, 1)) {
		free(b);
		return NULL;
	}
	return b;
}

static void link_release(struct link *link)
{
	struct broker *b = link->broker;

	deadline_stop(&b->deadlines, &link->deadline);
	deadline_stop(&b->deadlines, &link->work);
	if (link->ready)
		link_take_ready(link);
	if (link->prev)
		link->prev->next = link->next;
	else
		b->links = link->next;
	if (link->next)
		link->next->prev = link->prev;
	link_release_buffers(link);
	memory_give(b, LINK_COST + IDENTITY_COST(link->identity.len) + link->charged);
	free((void *)(uintptr_t)link->identity.at);
	b->stats.links--;
	free(link);
}

void broker_free(struct broker *broker)
{
	if (!broker)
		return;
	while (broker->links) {
		struct link *link = broker->links;

		if (link->session)
			link->session->link = NULL;
		link_release(link);
	}
	for (size_t i = 0; broker->sessions.n; i++) {
		size_t at = i & (broker->sessions.cap - 1);	/* the table shrinks as they go */
		struct session *s = (struct session *)broker->sessions.buckets[at];

		if (s) {
			message_unref(broker, s->will);	/* nobody is left to read it */
			s->will = NULL;
			session_end(s);
			i--;
		}
	}
	retained_release(broker);
	tree_release(&broker->subscriptions);
	tree_release(&broker->retained);
	table_release(&broker->sessions);
	free(broker->deadlines.heap);
	buffer_release(&broker->scratch);
	buffer_release(&broker->codes);
	buffer_release(&broker->id_list);
	buffer_release(&broker->altered);
	buffer_release(&broker->folded);
	while (broker->n_spare)
		buffer_release(&broker->spare[--broker->n_spare]);
	free(broker);
}

/* ---- links ---- */

struct link *broker_accept(struct broker *broker, void *owner, uint64_t now_ns)
{
	struct link *link;

	broker->now_ns = now_ns;
	if (broker->stats.links >= broker->config.max_connections ||
	    !deadlines_reserve(&broker->deadlines, 2 * broker->stats.links + broker->stats.sessions + 3) ||
	    !memory_take(broker, LINK_COST))
		return NULL;
	link = calloc(1, sizeof(*link));
	if (!link) {
		memory_give(broker, LINK_COST);
		return NULL;
	}
	link->broker = broker;
	link->owner = owner;
	link->heard_ns = now_ns;
	link->work.of = OF_LINK_WORK;
	link->maximum_packet_size = UINT32_MAX;
	link->next = broker->links;
	if (link->next)
		link->next->prev = link;
	broker->links = link;
	broker->stats.links++;
	if (broker->config.connect_timeout_ns && !effect_any(broker, CONNECT_AWAITED))
		deadline_set(&broker->deadlines, &link->deadline, now_ns + broker->config.connect_timeout_ns);
	return link;
}

bool broker_charge(struct broker *broker, struct link *link, size_t size)
{
	if (link->charged || !memory_take(broker, size))
		return false;
	link->charged = size;
	return true;
}

bool broker_identify(struct broker *broker, struct link *link, struct span name)
{
	uint8_t *at;

	if (link->identity.at || !name.len || name.len > BROKER_TEXT_MAX || !memory_take(broker, IDENTITY_COST(name.len)))
		return false;
	at = malloc(name.len);
	if (!at) {
		memory_give(broker, IDENTITY_COST(name.len));
		return false;
	}
	memcpy(at, name.at, name.len);
	link->identity = span_of(at, name.len);
	return true;
}

void *link_owner(const struct link *link)
{
	return link->owner;
}

void link_ready(struct link *link)
{
	struct broker *b = link->broker;

	if (link->ready || link->lost)
		return;
	link->ready = true;
	link->next_ready = NULL;
	link->prev_ready = b->last_ready;
	if (b->last_ready)
		b->last_ready->next_ready = link;
	else
		b->first_ready = link;
	b->last_ready = link;
}

void link_take_ready(struct link *link)
{
	struct broker *b = link->broker;

	link->ready = false;
	if (link->prev_ready)
		link->prev_ready->next_ready = link->next_ready;
	else
		b->first_ready = link->next_ready;
	if (link->next_ready)
		link->next_ready->prev_ready = link->prev_ready;
	else
		b->last_ready = link->prev_ready;
}

struct link *broker_ready(struct broker *broker)
{
	struct link *link = broker->first_ready;

	if (link)
		link_take_ready(link);
	return link;
}

void broker_lost(struct broker *broker, struct link *link, uint64_t now_ns)
{
	broker->now_ns = now_ns;
	if (link->lost)
		return;
	link_end(link, true);
	link->lost = true;
	if (link->ready)
		link_take_ready(link);
}

void broker_forget(struct broker *broker, struct link *link, uint64_t now_ns)
{
	broker_lost(broker, link, now_ns);
	link_release(link);
}

/* ---- time ---- */

uint64_t broker_deadline(const struct broker *broker)
{
	return broker->deadlines.n ? broker->deadlines.heap[1]->due_ns : NEVER;
}

static void link_due(struct link *link)
{
	struct broker *b = link->broker;
	uint64_t quiet_ns = b->now_ns - link->heard_ns;

	if (link->state < CONNECTED) {
		link_end(link, true);
	} else if (link->keep_alive_ns && quiet_ns < link->keep_alive_ns) {
		deadline_set(&b->deadlines, &link->deadline, link->heard_ns + link->keep_alive_ns);
	} else if (link->keep_alive_ns) {
		link_timed_out(link);
	}
}

void broker_tick(struct broker *broker, uint64_t now_ns)
{
	uint64_t begun = broker->work;

	broker->now_ns = now_ns;
	while (broker_deadline(broker) <= now_ns && broker->work - begun < WORK_A_TICK(broker)) {
		struct deadline *due = broker->deadlines.heap[1];

		deadline_stop(&broker->deadlines, due);
		broker->work += 10;
		switch (due->of) {
		case OF_LINK:
			link_due((struct link *)((char *)due - offsetof(struct link, deadline)));
			break;
		case OF_LINK_WORK:
			link_work((struct link *)((char *)due - offsetof(struct link, work)));
			break;
		case OF_RETAINED:
			retained_due(broker);
			break;
		case OF_SESSION:
			session_due((struct session *)((char *)due - offsetof(struct session, deadline)));
			break;
		}
	}
}

/* With the successor's name, unless the client takes no packet of that size. */
static void say_goodbye(struct link *link, struct packet *bye)
{
	struct span successor = link->broker->config.successor;
	uint8_t room[BROKER_TEXT_MAX + 8];
	struct writer w = writer_to(room, sizeof(room));

	if (successor.len) {
		property_write_bytes(&w, PROP_server_reference, successor);
		bye->reason = 0x9c;
		bye->properties = wr_span(&w);
		bye->written = WRITTEN_REASON | WRITTEN_PROPERTIES;
		if (link_send(link, bye))
			return;
		bye->properties.len = 0;
		bye->written = WRITTEN_REASON;
	}
	link_answer(link, bye, "the broker stops");
}

void broker_shutdown(struct broker *broker, uint64_t now_ns)
{
	broker->now_ns = now_ns;
	for (struct link *link = broker->links; link; link = link->next) {
		struct packet bye = { .version = link->version, .type = DISCONNECT, .reason = 0x8b, .written = WRITTEN_REASON };

		if (link->state == CLOSING)
			continue;
		if (link->state == CONNECTED && link->version == MQTT_5)
			say_goodbye(link, &bye);
		if (link->session) {	/* the wills of those who stay stored are theirs to lose: nobody is left to read them */
			message_unref(broker, link->session->will);
			link->session->will = NULL;
		}
		link_end(link, false);
	}
}

void broker_stats(const struct broker *broker, struct broker_stats *stats)
{
	*stats = broker->stats;
}

size_t broker_idle_link_size(void)
{
	/* link, session with an id of 8, a bucket and two places in the heap, the allocator's words */
	return sizeof(struct link) + sizeof(struct session) + 8 + 3 * sizeof(void *) + 2 * 16;
}

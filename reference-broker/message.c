#include "reference-broker/internal.h"

#include <stdlib.h>

/* Whether a publisher's property goes on to subscribers as it stands. */
static bool forwarded(unsigned id)
{
	switch (id) {
	case PROP_message_expiry_interval:	/* written anew, with what is left of it */
	case PROP_topic_alias:			/* the connection's own */
	case PROP_subscription_identifier:	/* the subscriber's, never the publisher's */
	case PROP_will_delay_interval:
		return false;
	default:
		return true;
	}
}

static size_t copy_properties(struct span list, uint8_t *to)
{
	struct property_walk walk = properties_of(list);
	struct property p;
	size_t len = 0;

	while (property_next(&walk, &p)) {
		if (!forwarded(p.id))
			continue;
		if (to)
			memcpy(to + len, p.at, p.size);
		len += p.size;
	}
	return len;
}

size_t message_size(const struct message *m)
{
	return heap_size(sizeof(*m) + m->topic_len + m->publisher_len + m->properties_len + m->payload_len);
}

static struct message *make(struct broker *b, struct span topic, struct span publisher, struct span properties,
                            struct span payload, bool passing)
{
	size_t properties_len = copy_properties(properties, NULL);
	size_t size = sizeof(struct message) + topic.len + publisher.len + properties_len + payload.len;
	struct message *m;
	struct value expiry;

	if (!(passing ? memory_take_passing : memory_take)(b, heap_size(size)))
		return NULL;
	m = malloc(size);
	if (!m) {
		memory_give(b, heap_size(size));
		return NULL;
	}
	*m = (struct message){
		.received_ns = b->now_ns, .refs = 1,
		.properties_len = (uint32_t)properties_len, .payload_len = (uint32_t)payload.len,
		.topic_len = (uint16_t)topic.len, .publisher_len = (uint16_t)publisher.len,
	};
	if (property_find(properties, PROP_message_expiry_interval, &expiry)) {
		m->has_expiry = true;
		m->expiry_interval = (uint32_t)expiry.number;
	}

	struct writer w = writer_to(m->bytes, size - sizeof(*m));

	wr_bytes(&w, topic);
	wr_bytes(&w, publisher);
	if (properties_len)
		copy_properties(properties, m->bytes + w.len);
	w.len += properties_len;
	wr_bytes(&w, payload);
	return m;
}

struct message *message_new(struct broker *broker, const struct packet *publish, struct span topic, struct span publisher)
{
	struct message *m = make(broker, topic, publisher, publish->properties, publish->payload, true);

	if (m) {
		m->qos = (uint8_t)publish_qos(publish);
		m->retain = publish->flags & PUBLISH_RETAIN;
		m->version = publish->version;
		m->dup = publish->flags & PUBLISH_DUP;
	}
	return m;
}

struct message *will_new(struct broker *broker, const struct packet *connect, struct span publisher)
{
	struct message *m = make(broker, connect->will_topic, publisher, connect->will_properties, connect->will_payload, false);

	if (m) {
		m->version = connect->version;
		m->qos = (uint8_t)(will_qos(connect) > 2 ? 2 : will_qos(connect));	/* 3 by a fault only */
		m->retain = broker->config.retain_available && connect->connect_flags & CONNECT_WILL_RETAIN;
	}
	return m;
}

struct message *message_ref(struct message *m)
{
	m->refs++;
	return m;
}

void message_unref(struct broker *broker, struct message *m)
{
	if (!m || --m->refs)
		return;
	memory_give(broker, message_size(m));
	free(m);
}

/* An interval of 0 serves whoever can be served at once. [5 MQTT-3.3.2-5] */
bool message_expired(const struct message *m, uint64_t now_ns)
{
	return m->has_expiry && now_ns > m->received_ns &&
	       now_ns - m->received_ns >= m->expiry_interval * SECOND_NS;
}

/* [5 MQTT-3.3.2-6] what was received less the time it waited here */
uint32_t message_life(const struct message *m, uint64_t now_ns)
{
	uint64_t waited = (now_ns - m->received_ns) / SECOND_NS;

	return waited < m->expiry_interval ? m->expiry_interval - (uint32_t)waited : 0;
}

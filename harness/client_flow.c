#include "harness/client_monitor_internal.h"

#include "codec/fields.h"
#include "codec/topic.h"

/*
 * What a client does with packet ids, both ways. An id counts as in use until its acknowledgement was seen, which is no later
 * than the client read it; so what is reported was wrong for every observer on the way.
 */

static void up(uint8_t *n)
{
	*n += *n != UINT8_MAX;
}

/* That an id was never used is known only of a session that began here, and in whose beginning the client has no say. */
static bool is_fresh(const struct client_monitor *c)
{
	if (c->bits & (C_PARTIAL | C_RESUMED))
		return false;
	/* below 5 nothing tells a client to forget its session but that it asked for a clean one */
	return c->bits & C_CLEAN_START || (client_is_5(c) && c->state == C_CONNECTED);
}

/* ---- the client's PUBLISH ---- */

static uint32_t sample_of(const struct packet *p)
{
	uint64_t hash = monitor_hash_bytes((struct span){ p->payload.at, p->payload.len < 64 ? p->payload.len : 64 });

	return (uint32_t)(hash ^ hash >> 32) ^ (uint32_t)p->payload.len;
}

static uint16_t topic_sample_of(const struct packet *p)
{
	uint16_t sample = (uint16_t)monitor_hash_bytes(p->topic);

	return p->topic.len ? sample | 1 : 0;	/* an alias stands for it: any */
}

static bool is_same(const struct client_flow *f, const struct packet *p)
{
	uint16_t topic = topic_sample_of(p);

	return f->sample == sample_of(p) && (!f->topic || !topic || f->topic == topic) &&
	       (f->state == OURS_QOS1) == (publish_qos(p) == 1);
}

static enum client_row dup_row(const struct packet *p)
{
	return publish_qos(p) == 1 ? CROW_DUP_FIRST_1 : CROW_DUP_FIRST_2;
}

/* Of a session that the server said it has no more. */
static void sent_of_lost(struct client_seen *seen, const struct client_flow *f)
{
	if (client_is_5(seen->c) && seen->packet->flags & PUBLISH_DUP && is_same(f, seen->packet))
		client_violate(seen, CROW_RESENT_LOST, "dup", "PUBLISH %u of an earlier session sent again, after Session Present 0",
		               seen->packet->packet_id);
}

/* DUP 1 under an id that is in use. */
static void sent_again(struct client_seen *seen, struct client_flow *f)
{
	struct client_monitor *c = seen->c;
	unsigned id = seen->packet->packet_id;

	if (f->state == OURS_RELEASED) {
		client_violate(seen, CROW_AFTER_PUBREL, "packet_id", "PUBLISH %u sent again after its PUBREL", id);
	} else if (!is_same(f, seen->packet)) {
		client_violate(seen, CROW_ID_IN_USE, "packet_id", "another PUBLISH under id %u, which is not acknowledged", id);
	} else if (f->bits & F_HERE && client_is_5(c)) {
		client_violate(seen, CROW_RESENT_LIVE, "dup", "PUBLISH %u sent again on a live connection", id);
	} else {
		client_hold(c, CROW_DUP_AGAIN);
		if (f->bits & F_HERE || f->state == OURS_RECEIVED)
			return;
		if (f->order < c->resent)
			client_violate(seen, CROW_RESENT_ORDER, "packet_id", "PUBLISH %u sent again after one that was published later", id);
		else
			client_hold(c, CROW_RESENT_ORDER);
		c->resent = f->order > c->resent ? f->order : c->resent;
	}
}

/* DUP 0 under an id that is in use. */
static void sent_anew(struct client_seen *seen, struct client_flow *f)
{
	unsigned id = seen->packet->packet_id;
	bool same = f->state != OURS_RELEASED && f->state != OURS_REQUEST && is_same(f, seen->packet);

	if (same && (f->bits & F_HERE ? !client_is_5(seen->c) : !(seen->c->bits & C_FORGETFUL)))
		client_violate(seen, CROW_DUP_AGAIN, "dup", "PUBLISH %u sent again with DUP 0", id);
	else if (f->bits & F_HERE)
		client_violate(seen, CROW_ID_IN_USE, "packet_id", "PUBLISH under id %u, which is in use", id);
	/* else a client that has lost its session may not know */
}

static void sent_first(struct client_seen *seen)
{
	struct client_monitor *c = seen->c;
	const struct packet *p = seen->packet;

	if (c->bits & C_RESUMED)
		c->bits |= C_FORGETFUL;
	if (!(p->flags & PUBLISH_DUP)) {
		client_hold(c, CROW_ID_IN_USE);
		client_hold(c, dup_row(p));
	} else if (is_fresh(c) && (client_is_5(c) || p->packet_id > c->highest)) {
		/* below 5 one sent again may have crossed its acknowledgement, if the id was used before */
		client_violate(seen, dup_row(p), "dup", "the first PUBLISH %u has DUP 1", p->packet_id);
	}
}

static void count_publish(struct client_seen *seen, struct client_flow *f)
{
	struct client_monitor *c = seen->c;

	if (f->bits & F_COUNTED)
		return;
	f->bits |= F_COUNTED;
	c->opened += c->opened < UINT16_MAX;
	if (!client_is_5(c) || !client_is_limited(c))
		return;
	if (c->opened > c->receive_maximum)
		client_violate(seen, CROW_QUOTA, NULL, "%u PUBLISH unacknowledged, Receive Maximum is %u", c->opened, c->receive_maximum);
	else if (c->opened == c->receive_maximum)
		client_hold(c, CROW_QUOTA);
}

void client_sent_publish(struct client_seen *seen)
{
	struct client_monitor *c = seen->c;
	const struct packet *p = seen->packet;
	unsigned qos = publish_qos(p);
	struct client_flow *f;

	if ((qos != 1 && qos != 2) || !p->packet_id)
		return;
	f = client_flow_find(&c->ours, p->packet_id);
	if (f && f->bits & F_STRAY) {
		client_flow_remove(&c->ours, f);
		f = NULL;
	}
	if (f && f->bits & F_LOST) {
		sent_of_lost(seen, f);
	} else if (f && p->flags & PUBLISH_DUP && f->state != OURS_REQUEST) {
		sent_again(seen, f);
		if (f->state == OURS_RELEASED)
			return;
	} else if (f) {
		sent_anew(seen, f);
	} else {
		sent_first(seen);
		if (!(f = client_flow_add(c->world, &c->ours, p->packet_id))) {
			client_excuse(c);
			return;
		}
	}
	if (f->bits & F_LOST || !f->state || !(p->flags & PUBLISH_DUP))
		f->order = ++c->published;
	if (!(f->state == OURS_RECEIVED && qos == 2))
		f->state = qos == 1 ? OURS_QOS1 : OURS_QOS2;
	f->bits = (uint8_t)((f->bits & (F_COUNTED | F_RECEIVED_HERE)) | F_HERE);
	f->sample = sample_of(p);
	f->topic = topic_sample_of(p);
	count_publish(seen, f);
	c->highest = p->packet_id > c->highest ? p->packet_id : c->highest;
}

/* ---- the client's PUBREL ---- */

static void stray_pubrel(struct client_seen *seen)
{
	struct client_monitor *c = seen->c;
	unsigned id = seen->packet->packet_id;

	if (!is_fresh(c) || seen->packet->reason == 0x92)
		return;
	if (id > c->highest)
		client_violate(seen, CROW_PUBREL_ID, "packet_id", "PUBREL %u, under which no PUBLISH was sent", id);
	else if (client_is_5(c))
		client_violate(seen, CROW_PUBREL_EARLY, "packet_id", "PUBREL %u answers no PUBREC", id);
	/* below 5 it may be one sent again, which crossed PUBCOMP */
}

static void sent_pubrel(struct client_seen *seen)
{
	struct client_monitor *c = seen->c;
	unsigned id = seen->packet->packet_id;
	struct client_flow *f = client_flow_find(&c->ours, seen->packet->packet_id);

	if (!f) {
		stray_pubrel(seen);
		return;
	}
	if (f->bits & F_STRAY) {
		client_flow_remove(&c->ours, f);
		return;
	}
	if (f->bits & F_LOST) {
		if (client_is_5(c))
			client_violate(seen, CROW_RESENT_LOST, NULL, "PUBREL %u of an earlier session, after Session Present 0", id);
		return;
	}
	if (f->state == OURS_RELEASED) {
		if (client_is_5(c) && f->bits & F_RELEASED_HERE)
			client_violate(seen, CROW_RESENT_LIVE, NULL, "PUBREL %u sent again on a live connection", id);
	} else if (f->state != OURS_RECEIVED) {
		client_violate(seen, CROW_PUBREL_EARLY, NULL, "PUBREL %u before PUBREC", id);
		if (f->state != OURS_QOS2)
			return;
	} else {
		client_hold(c, CROW_PUBREL_EARLY);
		client_hold(c, CROW_PUBREL_ID);
		if (f->bits & F_RECEIVED_HERE) {
			if (f->order < c->released)
				client_violate(seen, CROW_PUBREL_ORDER, "packet_id", "PUBREL %u after one whose PUBREC came later", id);
			else
				client_hold(c, CROW_PUBREL_ORDER);
			c->released = f->order > c->released ? f->order : c->released;
		}
	}
	f->state = OURS_RELEASED;
	f->bits |= F_RELEASED_HERE;
}

/* ---- the client's acknowledgements ---- */

static void stray_ack(struct client_seen *seen, enum client_row row)
{
	struct client_monitor *c = seen->c;

	if (c->state == C_CONNECTED && !(c->bits & (C_PARTIAL | C_RESUMED)))
		client_violate(seen, row, "packet_id", "%s %u, an id under which nothing waits for it",
		               packet_name((enum packet_type)seen->packet->type), seen->packet->packet_id);
}

static void wrong_ack(struct client_seen *seen, struct client_flow *f)
{
	client_violate(seen, CROW_ACK_TYPE, NULL, "%s for a delivery at QoS %d", packet_name((enum packet_type)seen->packet->type),
	               f->state == THEIRS_QOS1 ? 1 : 2);
	client_flow_remove(&seen->c->theirs, f);
}

/* The first answer to a delivery: they go in the order in which PUBLISH packets came. which: 0 PUBACK, 1 PUBREC */
static void judge_order(struct client_seen *seen, const struct client_flow *f, unsigned which)
{
	struct client_monitor *c = seen->c;
	enum client_row row = which ? CROW_PUBREC_ORDER : CROW_PUBACK_ORDER;

	client_hold(c, CROW_ACK_ID);
	client_hold(c, CROW_ACK_TYPE);
	if (f->bits & F_AGAIN)
		return;
	if (f->order < c->acked[which])
		client_violate(seen, row, "packet_id", "%s %u after that for a PUBLISH which came later", which ? "PUBREC" : "PUBACK",
		               seen->packet->packet_id);
	else if (c->acked[which])
		client_hold(c, row);
	c->acked[which] = f->order > c->acked[which] ? f->order : c->acked[which];
}

static void sent_puback(struct client_seen *seen, struct client_flow *f)
{
	if (!f) {
		stray_ack(seen, CROW_ACK_ID);
	} else if (f->state != THEIRS_QOS1) {
		wrong_ack(seen, f);
	} else {
		judge_order(seen, f, 0);
		if (f->answers)
			f->answers--;
		if (!f->answers)
			client_flow_remove(&seen->c->theirs, f);
	}
}

static void sent_pubrec(struct client_seen *seen, struct client_flow *f)
{
	if (!f) {
		stray_ack(seen, CROW_ACK_ID);
	} else if (f->state == THEIRS_QOS1) {
		wrong_ack(seen, f);
	} else {
		if (f->state == THEIRS_QOS2)
			judge_order(seen, f, 1);
		if (client_is_5(seen->c) && seen->packet->reason >= 0x80)
			client_flow_remove(&seen->c->theirs, f);
		else if (f->state == THEIRS_QOS2)
			f->state = THEIRS_RECEIVED;
	}
}

static void sent_pubcomp(struct client_seen *seen, struct client_flow *f)
{
	struct client_monitor *c = seen->c;

	if (!f) {
		stray_ack(seen, CROW_PUBCOMP_ID);
	} else if (f->state == THEIRS_QOS1) {
		wrong_ack(seen, f);
	} else if (f->state != THEIRS_RELEASED) {
		client_violate(seen, CROW_PUBCOMP_EARLY, NULL, "PUBCOMP %u before PUBREL", seen->packet->packet_id);
		client_flow_remove(&c->theirs, f);
	} else {
		client_hold(c, CROW_PUBCOMP_ID);
		client_hold(c, CROW_PUBCOMP_EARLY);
		if (f->completions)
			f->completions--;
		if (!f->completions)
			client_flow_remove(&c->theirs, f);
	}
}

void client_sent_ack(struct client_seen *seen)
{
	struct client_flow *f;

	if (seen->packet->type == PUBREL) {
		sent_pubrel(seen);
		return;
	}
	f = client_flow_find(&seen->c->theirs, seen->packet->packet_id);
	if (seen->packet->type == PUBACK)
		sent_puback(seen, f);
	else if (seen->packet->type == PUBREC)
		sent_pubrec(seen, f);
	else
		sent_pubcomp(seen, f);
}

/* ---- SUBSCRIBE, UNSUBSCRIBE ---- */

static void judge_features(struct client_seen *seen)
{
	struct client_monitor *c = seen->c;
	struct filter_walk walk = filters_of(seen->packet);
	struct span text, group, inner;
	uint8_t options;

	if (!client_is_5(c) || !client_is_limited(c) || (c->features | C_MAXIMUM_QOS) == (C_ALL_FEATURES | C_MAXIMUM_QOS))
		return;
	if (!(c->features & C_IDENTIFIER) && property_number(seen->packet->properties, PROP_subscription_identifier, 0))
		client_violate(seen, CROW_FEATURE, "subscription_identifier",
		               "a Subscription Identifier, but CONNACK has Subscription Identifier Available 0");
	while (filter_next(&walk, &text, &options)) {
		if (!(c->features & C_SHARED) && share_split(text, &group, &inner))
			client_violate(seen, CROW_FEATURE, "filter", "a shared subscription, but CONNACK has Shared Subscription Available 0");
		else if (!(c->features & C_WILDCARD) && text.len && (memchr(text.at, '#', text.len) || memchr(text.at, '+', text.len)))
			client_violate(seen, CROW_FEATURE, "filter", "a wildcard, but CONNACK has Wildcard Subscription Available 0");
	}
	if (!seen->broken)
		client_hold(c, CROW_FEATURE);
}

void client_sent_request(struct client_seen *seen)
{
	struct client_monitor *c = seen->c;
	const struct packet *p = seen->packet;
	struct client_flow *f;

	if (p->type == SUBSCRIBE)
		judge_features(seen);
	if (!p->packet_id)
		return;
	f = client_flow_find(&c->ours, p->packet_id);
	if (f && f->bits & F_HERE)
		client_violate(seen, CROW_ID_IN_USE, "packet_id", "%s under id %u, which is in use",
		               packet_name((enum packet_type)p->type), p->packet_id);
	else
		client_hold(c, CROW_ID_IN_USE);
	if (f && f->bits & F_HERE && f->state != OURS_REQUEST)
		return;
	if (!f && !(f = client_flow_add(c->world, &c->ours, p->packet_id))) {
		client_excuse(c);
		return;
	}
	f->state = OURS_REQUEST;
	f->bits = F_HERE;
	c->highest = p->packet_id > c->highest ? p->packet_id : c->highest;
}

/* ---- DISCONNECT ---- */

/*
 * A client that leaves in good order has answered what it took in before it answered something later; and on a resumed session
 * has sent again what nobody acknowledged.
 */
void client_judge_leaving(struct client_seen *seen)
{
	struct client_monitor *c = seen->c;

	if (seen->packet->reason || c->state != C_CONNECTED)
		return;
	for (uint32_t i = 0; i < c->theirs.cap; i++) {
		const struct client_flow *f = &c->theirs.at[i];
		bool open = f->id && f->bits & F_HERE && !(f->bits & F_AGAIN);

		if (open && ((f->state == THEIRS_QOS1 && f->order < c->acked[0]) || (f->state == THEIRS_QOS2 && f->order < c->acked[1])))
			client_violate(seen, CROW_NOT_ACKED, NULL, "DISCONNECT, and PUBLISH %u was never answered, though a later one was", f->id);
	}
	if (c->delivered && !seen->broken)
		client_hold(c, CROW_NOT_ACKED);
	if (!(c->bits & C_RESUMED) || !(c->bits & C_ACTIVE) || !client_is_limited(c))
		return;
	for (uint32_t i = 0; i < c->ours.cap; i++) {
		const struct client_flow *f = &c->ours.at[i];
		bool due = f->state == OURS_QOS1 || f->state == OURS_QOS2 || f->state == OURS_RELEASED;

		if (f->id && due && !(f->bits & (F_HERE | F_RELEASED_HERE | F_LOST)))
			client_violate(seen, CROW_NOT_RESENT, NULL, "DISCONNECT, and %s %u was not sent again on this resumed session",
			               f->state == OURS_RELEASED ? "PUBREL" : "PUBLISH", f->id);
	}
	if (c->resent && !seen->broken)
		client_hold(c, CROW_NOT_RESENT);
}

/* ---- what the broker sends ---- */

static void got_publish(struct client_monitor *c, const struct packet *p)
{
	unsigned qos = publish_qos(p);
	struct client_flow *f;

	if (!qos || !p->packet_id)
		return;
	f = client_flow_find(&c->theirs, p->packet_id);
	if (f) {
		f->bits |= F_AGAIN;
	} else if ((f = client_flow_add(c->world, &c->theirs, p->packet_id))) {
		f->bits = F_HERE;
		f->order = ++c->delivered;
	} else {
		client_excuse(c);
		return;
	}
	up(&f->answers);
	if (qos == 1 || f->state != THEIRS_RECEIVED)
		f->state = qos == 1 ? THEIRS_QOS1 : THEIRS_QOS2;
}

static void got_pubrel(struct client_monitor *c, const struct packet *p)
{
	struct client_flow *f = client_flow_find(&c->theirs, p->packet_id);

	if (!f && !(f = client_flow_add(c->world, &c->theirs, p->packet_id))) {
		client_excuse(c);
		return;
	}
	f->state = THEIRS_RELEASED;
	up(&f->completions);
}

static void ours_done(struct client_monitor *c, struct client_flow *f)
{
	if (f->bits & F_COUNTED && c->opened)
		c->opened--;
	client_flow_remove(&c->ours, f);
}

static void got_pubrec(struct client_monitor *c, const struct packet *p)
{
	struct client_flow *f = client_flow_find(&c->ours, p->packet_id);

	if (!f) {			/* its PUBREL answers this one, whatever it belongs to */
		f = client_flow_add(c->world, &c->ours, p->packet_id);
		if (f) {
			f->state = OURS_RECEIVED;
			f->bits = F_STRAY;
		}
	} else if (f->state == OURS_QOS2 && client_is_5(c) && p->reason >= 0x80) {
		ours_done(c, f);
	} else if (f->state == OURS_QOS2) {
		f->state = OURS_RECEIVED;
		f->bits |= F_RECEIVED_HERE;
		f->order = ++c->recorded;
	}
}

void client_got(struct client_monitor *c, const struct packet *p)
{
	struct client_flow *f = client_flow_find(&c->ours, p->packet_id);

	switch (p->type) {
	case PUBLISH:
		got_publish(c, p);
		break;
	case PUBREL:
		got_pubrel(c, p);
		break;
	case PUBREC:
		got_pubrec(c, p);
		break;
	case PUBACK:
		if (f && f->state == OURS_QOS1)
			ours_done(c, f);
		break;
	case PUBCOMP:
		if (f && f->state == OURS_RELEASED)
			ours_done(c, f);
		break;
	case SUBACK:
	case UNSUBACK:
		if (f && f->state == OURS_REQUEST)
			client_flow_remove(&c->ours, f);
		break;
	}
}

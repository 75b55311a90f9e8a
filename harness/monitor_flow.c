#include "harness/monitor_internal.h"

#include "codec/fields.h"

/*
 * QoS 1 and 2, both ways, by packet id. Two things keep this fair to a correct broker. What it sent may
 * have been under way before it read ours: an id that our acknowledgement frees is free at once for
 * us, and what still belongs to it is let pass. And what a connection lost, nobody saw: after a
 * resumption an id that is new to us may come with DUP 1.
 */

static struct flow *their_flow(struct monitor *m, uint16_t id)
{
	return monitor_flow_find(theirs_of(m->session), id);
}

static struct flow *our_flow(struct monitor *m, uint16_t id)
{
	return monitor_flow_find(ours_of(m->session), id);
}

static void up(uint8_t *n)
{
	*n += *n != UINT8_MAX;
}

static struct flow *add_flow(struct monitor *m, bool ours, uint16_t id)
{
	struct monitor_session *s = monitor_session_of(m);
	struct traffic *t = s ? monitor_traffic_of(m->world, s) : NULL;
	struct flow *f = t ? monitor_flow_add(m->world, ours ? &t->ours : &t->theirs, id) : NULL;

	if (!f)
		m->bits |= PARTIAL | FLOWS_LOST;
	return f;
}

/* ---- what we send ---- */

void monitor_sent_publish(struct monitor *m, unsigned flags, uint16_t packet_id)
{
	unsigned qos = flags >> PUBLISH_QOS_SHIFT & 3;
	uint8_t published = qos == 1 ? OURS_QOS1 : OURS_QOS2;
	struct flow *f;
	bool counts;

	if (m->state == CONNECTED && is_5(m) &&
	    (qos > (m->features & MAXIMUM_QOS) || (flags & PUBLISH_RETAIN && !(m->features & RETAIN_AVAILABLE)))) {
		monitor_misbehaved(m);
		return;
	}
	if (!qos)
		return;
	f = our_flow(m, packet_id);
	if (f && f->state != OURS_DONE) {
		bool again = flags & PUBLISH_DUP && (f->state == published || (qos == 2 && f->state == OURS_RECEIVED && !is_5(m)));

		/* 5 forbids it on a live connection; below 5 any time before PUBREL will do */
		if (!again || (f->bits & HERE && is_5(m))) {
			monitor_misbehaved(m);
			return;
		}
	} else if (!(f = add_flow(m, true, packet_id))) {
		return;
	}
	counts = !(f->bits & HERE) || f->state == OURS_DONE;
	f->state = published;
	f->bits = HERE;
	up(&f->answers);
	/* last, since it may end all we keep: [5:MQTT-3.3.4-7] */
	if (counts && m->state == CONNECTED && is_5(m) && ++m->opened > m->receive_maximum)
		monitor_misbehaved(m);
}

/* A place in their window is free again; one that we never counted they may count all the same. */
static void slot_freed(struct monitor *m, bool counted)
{
	if (counted && m->open)
		m->open--;
	else if (m->extra < UINT16_MAX)
		m->extra++;
}

/* Their id is free again: whose message had it is kept for a while, if it was sent here. */
static void remember_freed(struct traffic *t, const struct flow *f)
{
	unsigned i = 0;

	if (!(f->bits & HERE))
		return;
	while (i < N_FREED && t->freed[i].id != f->id)
		i++;
	if (i == N_FREED) {
		i = t->next_freed;
		t->next_freed = (uint8_t)((i + 1) % N_FREED);
	}
	t->freed[i].id = f->id;
	t->freed[i].sample = f->sample;
}

static void sent_puback(struct monitor *m, uint16_t id)
{
	struct flow *f = their_flow(m, id);

	if (f && f->state != THEIRS_QOS1 && f->state != THEIRS_DONE) {
		monitor_misbehaved(m);
	} else if (f && f->state == THEIRS_QOS1) {
		slot_freed(m, f->bits & HERE);
		remember_freed(m->session->traffic, f);
		monitor_flow_remove(&m->session->traffic->theirs, f);
	} else {
		slot_freed(m, false);
	}
}

static void sent_pubrec(struct monitor *m, uint16_t id, bool refused)
{
	struct flow *f = their_flow(m, id);

	if (f && f->state == THEIRS_QOS1) {
		monitor_misbehaved(m);
		return;
	}
	if (refused && f && f->state == THEIRS_QOS2) {
		slot_freed(m, f->bits & HERE);
		monitor_flow_remove(&m->session->traffic->theirs, f);
		return;
	}
	if (refused) {
		slot_freed(m, false);
		if (f && f->state != THEIRS_DONE)
			monitor_misbehaved(m);	/* after a PUBREC that said otherwise */
		return;
	}
	if (!f) {			/* an id that we do not know: PUBREL will say so, and frees nothing */
		if (!(f = add_flow(m, false, id)))
			return;
		f->state = THEIRS_DONE;
		if (id > m->session->highest)
			m->session->highest = id;	/* nor is a PUBREL that comes only when the session is resumed a stray */
	}
	up(&f->answers);
	if (f->state == THEIRS_QOS2)
		f->state = THEIRS_RECEIVED;
}

static void sent_pubcomp(struct monitor *m, uint16_t id)
{
	struct flow *f = their_flow(m, id);

	if (!f || f->state == THEIRS_DONE) {
		slot_freed(m, false);
		return;
	}
	if (f->state != THEIRS_RELEASED) {
		monitor_misbehaved(m);
		return;
	}
	slot_freed(m, f->bits & HERE);
	remember_freed(m->session->traffic, f);
	monitor_hold(m, ROW_AFTER_PUBREL);
	f->state = THEIRS_DONE;
	f->bits = 0;
	if (!f->answers)
		monitor_flow_remove(&m->session->traffic->theirs, f);
}

static void sent_pubrel(struct monitor *m, uint16_t id)
{
	struct flow *f = our_flow(m, id);

	if (f && (f->state == OURS_QOS1 || f->state == OURS_QOS2 || f->state == OURS_REQUEST)) {
		monitor_misbehaved(m);		/* before PUBREC, or for what is not QoS 2 */
		return;
	}
	if (!f && !(f = add_flow(m, true, id)))
		return;
	f->state = OURS_RELEASED;
	up(&f->completions);
}

void monitor_sent_ack(struct monitor *m, const struct packet *p)
{
	bool refused = is_5(m) && p->reason >= 0x80;

	switch (p->type) {
	case PUBACK:
		sent_puback(m, p->packet_id);
		break;
	case PUBREC:
		sent_pubrec(m, p->packet_id, refused);
		break;
	case PUBREL:
		sent_pubrel(m, p->packet_id);
		break;
	default:
		sent_pubcomp(m, p->packet_id);
	}
}

/* ---- what they send: deliveries ---- */

/* Tells two messages apart well enough to choose between two clauses, both of them broken. */
static uint16_t sample_of(struct span topic, struct span payload)
{
	struct span head = { payload.at, payload.len < 16 ? payload.len : 16 };

	return (uint16_t)(monitor_hash_bytes(topic) ^ monitor_hash_bytes(head) << 1 ^ payload.len);
}

/* An id that is in use comes again. */
static void got_again(struct seen *seen, struct flow *f, const uint8_t *at)
{
	struct monitor *m = seen->m;
	const struct packet *p = seen->packet;
	bool dup = p->flags & PUBLISH_DUP;

	if (f->state == THEIRS_RELEASED) {
		if (dup)
			monitor_violate(seen, ROW_AFTER_PUBREL, seen->bytes, "packet_id",
			        "PUBLISH again under id %u, which PUBREL has released", p->packet_id);
		else
			monitor_violate(seen, ROW_ID_IN_USE, at, "packet_id",
			        "PUBLISH under id %u, which waits for our PUBCOMP", p->packet_id);
	} else if (f->bits & HERE) {
		bool other_qos = (f->state == THEIRS_QOS1) != (publish_qos(p) == 1);

		if (!dup || (other_qos && !is_5(m)))
			monitor_violate(seen, ROW_ID_IN_USE, at, "packet_id",
			        "PUBLISH under id %u, whose delivery is not finished", p->packet_id);
		else if (is_5(m))
			monitor_violate(seen, ROW_RESENT_LIVE, seen->bytes, "dup",
			        "PUBLISH %u sent again on a live connection", p->packet_id);
		else
			monitor_hold(m, ROW_DUP_AGAIN);
	} else if (dup) {
		monitor_hold(m, ROW_DUP_AGAIN);
	} else if (m->bits & SIZE_LIMITED) {
		/* what has become too large to resend counts as delivered [5:MQTT-3.1.2-25]: the id may be free */
	} else if (f->sample == sample_of(p->topic, p->payload)) {
		monitor_violate(seen, ROW_DUP_AGAIN, seen->bytes, "dup", "PUBLISH %u sent again with DUP 0", p->packet_id);
	} else {
		monitor_violate(seen, ROW_ID_IN_USE, at, "packet_id",
		        "another PUBLISH under id %u, which is not acknowledged yet", p->packet_id);
	}
}

/*
 * Below 5 a PUBLISH that is sent again may cross our acknowledgement of it. It is the same message then: another one under an id
 * that was used on this connection, and is free, was never sent before. In a session resumed, an id not used here tells nothing:
 * the server may have tried to send it on a connection that broke, of which not a byte need have come.
 */
static bool freed_by_another(const struct monitor *m, const struct packet *p)
{
	const struct monitor_session *s = m->session;

	if (is_5(m) || m->bits & PARTIAL || !s || !s->traffic || s->shared || s->opaque)
		return false;
	for (unsigned i = 0; i < N_FREED; i++)
		if (s->traffic->freed[i].id == p->packet_id)
			return s->traffic->freed[i].sample != sample_of(p->topic, p->payload);
	return false;
}

/* An id that is not in use, or that we cannot know to be. */
static void got_new(struct seen *seen)
{
	struct monitor *m = seen->m;
	const struct packet *p = seen->packet;
	bool fresh = !(m->bits & (PARTIAL | RESUMED)) && !(m->session && m->session->shared);
	bool never_seen = !m->session || p->packet_id > m->session->highest;

	if (!(p->flags & PUBLISH_DUP)) {
		monitor_hold(m, ROW_ID_IN_USE);
		monitor_hold(m, ROW_DUP_FIRST);
	} else if (fresh && (is_5(m) || never_seen)) {
		/* below 5 a resend and our acknowledgement may have crossed, if the id was used before */
		monitor_violate(seen, ROW_DUP_FIRST, seen->bytes, "dup", "the first PUBLISH %u has DUP 1", p->packet_id);
	} else if (freed_by_another(m, p)) {
		monitor_violate(seen, ROW_DUP_FIRST, seen->bytes, "dup", "DUP 1 on another message than id %u was used for", p->packet_id);
	}
}

static void judge_quota(struct seen *seen)
{
	struct monitor *m = seen->m;
	uint32_t limit = (uint32_t)m->own_receive_maximum + m->extra;

	if (!is_5(m))
		return;
	if (m->open > limit)
		monitor_violate(seen, m->bits & RESUMED ? ROW_QUOTA_RESUMED : ROW_QUOTA, seen->bytes, NULL,
		                "%u PUBLISH unacknowledged, Receive Maximum is %u", m->open, m->own_receive_maximum);
	else if (m->open == m->own_receive_maximum)
		monitor_hold(m, ROW_QUOTA);
}

static void got_acknowledged_publish(struct seen *seen, const uint8_t *id_at)
{
	struct monitor *m = seen->m;
	const struct packet *p = seen->packet;
	struct flow *f = their_flow(m, p->packet_id);
	uint8_t state = publish_qos(p) == 1 ? THEIRS_QOS1 : THEIRS_QOS2;

	if (f && f->state != THEIRS_DONE)
		got_again(seen, f, id_at);
	else
		got_new(seen);
	if (!f && !(f = add_flow(m, false, p->packet_id)))
		return;
	if (!(f->bits & HERE) && m->open < UINT16_MAX) {
		m->open++;
		judge_quota(seen);
	}
	/* below 5, one that crossed our PUBREC changes nothing: PUBREL will come. Nor does one that came after PUBREL, as reported */
	if (!(f->bits & HERE && f->state == THEIRS_RECEIVED && state == THEIRS_QOS2) &&
	    !(f->state == THEIRS_RELEASED && p->flags & PUBLISH_DUP))
		f->state = state;
	f->bits = HERE;
	f->sample = sample_of(p->topic, p->payload);
	if (p->packet_id > m->session->highest)
		m->session->highest = p->packet_id;
}

void monitor_got_publish(struct seen *seen)
{
	const struct packet *p = seen->packet;
	struct span topic = p->topic;
	bool readable = monitor_alias_resolve(seen, &topic);

	if (publish_qos(p))
		got_acknowledged_publish(seen, p->topic.at ? p->topic.at + p->topic.len : seen->bytes);
	if (readable)
		monitor_judge_delivery(seen, topic);
}

/* ---- what they send: acknowledgements ---- */

static const char *name_of(const struct seen *seen)
{
	return packet_name((enum packet_type)seen->packet->type);
}

static void unknown_ack(struct seen *seen, enum monitor_row row)
{
	if (!(seen->m->bits & PARTIAL))
		monitor_violate(seen, row, NULL, "packet_id", "%s %u, an id under which nothing of ours waits for it",
		        name_of(seen), seen->packet->packet_id);
}

static void our_flow_done(struct monitor *m, struct flow *f)
{
	f->state = OURS_DONE;
	if (m->opened)
		m->opened--;
	if (!f->answers && !f->completions)
		monitor_flow_remove(&m->session->traffic->ours, f);
}

/* An answer that is still due for an earlier use of the id; false when there is none. */
static bool answers_earlier(struct monitor *m, struct flow *f, uint8_t *due)
{
	if (f->state != OURS_DONE || !*due)
		return false;
	if (!--*due && !f->answers && !f->completions)
		monitor_flow_remove(&m->session->traffic->ours, f);
	return true;
}

static void wrong_ack(struct seen *seen)
{
	if (!(seen->m->bits & FLOWS_LOST))
		monitor_violate(seen, ROW_ACK_TYPE, NULL, NULL, "%s for id %u", name_of(seen), seen->packet->packet_id);
}

static void got_puback(struct seen *seen)
{
	struct monitor *m = seen->m;
	struct flow *f = our_flow(m, seen->packet->packet_id);

	if (!f || f->state == OURS_REQUEST) {
		unknown_ack(seen, ROW_ACK_ID);
	} else if (f->state == OURS_QOS1) {
		monitor_hold(m, ROW_ACK_ID);
		monitor_hold(m, ROW_ACK_TYPE);
		f->answers--;
		our_flow_done(m, f);
	} else if (f->state != OURS_DONE) {
		wrong_ack(seen);
	} else if (!answers_earlier(m, f, &f->answers)) {
		unknown_ack(seen, ROW_ACK_ID);
	}
}

static void got_pubrec(struct seen *seen)
{
	struct monitor *m = seen->m;
	struct flow *f = our_flow(m, seen->packet->packet_id);

	if (!f || f->state == OURS_REQUEST) {
		unknown_ack(seen, ROW_ACK_ID);
	} else if (f->state == OURS_QOS1) {
		wrong_ack(seen);
	} else if (f->state == OURS_DONE) {
		if (!answers_earlier(m, f, &f->answers))
			unknown_ack(seen, ROW_ACK_ID);
	} else {
		/* again while PUBREL or PUBCOMP is due: nothing forbids to repeat a PUBREC */
		monitor_hold(m, ROW_ACK_ID);
		monitor_hold(m, ROW_ACK_TYPE);
		if (f->answers)
			f->answers--;
		if (f->state == OURS_QOS2 && is_5(m) && seen->packet->reason >= 0x80)
			our_flow_done(m, f);
		else if (f->state == OURS_QOS2)
			f->state = OURS_RECEIVED;
	}
}

static void got_pubcomp(struct seen *seen)
{
	struct monitor *m = seen->m;
	struct flow *f = our_flow(m, seen->packet->packet_id);

	if (!f || f->state == OURS_REQUEST) {
		unknown_ack(seen, ROW_PUBCOMP_ID);
	} else if (f->state == OURS_QOS1) {
		wrong_ack(seen);
	} else if (f->state == OURS_QOS2 || f->state == OURS_RECEIVED) {
		if (f->completions)		/* of a PUBREL before this PUBLISH */
			f->completions--;
		else if (!(m->bits & FLOWS_LOST))
			monitor_violate(seen, ROW_PUBCOMP_EARLY, NULL, NULL, "PUBCOMP %u before our PUBREL", seen->packet->packet_id);
	} else if (f->state == OURS_RELEASED) {
		monitor_hold(m, ROW_PUBCOMP_ID);
		monitor_hold(m, ROW_PUBCOMP_EARLY);
		f->completions--;
		our_flow_done(m, f);
	} else if (!answers_earlier(m, f, &f->completions)) {
		unknown_ack(seen, ROW_PUBCOMP_ID);
	}
}

/* PUBREL for an id that is free for us. */
static void got_stray_pubrel(struct seen *seen)
{
	struct monitor *m = seen->m;
	uint16_t id = seen->packet->packet_id;

	if (m->bits & PARTIAL)
		return;
	if (!m->session || id > m->session->highest)
		monitor_violate(seen, ROW_PUBREL_ID, NULL, "packet_id", "PUBREL %u, under which no PUBLISH came", id);
	else if (is_5(m) && !(m->bits & RESUMED))
		monitor_violate(seen, ROW_PUBREL_EARLY, NULL, "packet_id", "PUBREL %u answers no PUBREC", id);
	/* else our PUBCOMP may be lost, or have crossed it */
}

static void got_pubrel(struct seen *seen)
{
	struct monitor *m = seen->m;
	uint16_t id = seen->packet->packet_id;
	struct flow *f = their_flow(m, id);

	if (!f) {
		got_stray_pubrel(seen);
		return;
	}
	switch (f->state == THEIRS_QOS2 && f->answers ? THEIRS_RECEIVED : f->state) {	/* our PUBREC was on its way when PUBLISH came again */
	case THEIRS_QOS1:
	case THEIRS_QOS2:
		monitor_violate(seen, ROW_PUBREL_EARLY, NULL, NULL, "PUBREL %u before our PUBREC", id);
		return;
	case THEIRS_DONE:
		if (!f->answers)
			got_stray_pubrel(seen);
		else if (!--f->answers)
			monitor_flow_remove(&m->session->traffic->theirs, f);
		return;
	case THEIRS_RELEASED:
		if (is_5(m) && !f->answers && f->bits & RELEASED_HERE)
			monitor_violate(seen, ROW_RESENT_LIVE, NULL, NULL, "PUBREL %u sent again on a live connection", id);
		break;
	default:
		monitor_hold(m, ROW_PUBREL_ID);
		monitor_hold(m, ROW_PUBREL_EARLY);
	}
	if (f->answers)
		f->answers--;
	f->state = THEIRS_RELEASED;
	f->bits |= RELEASED_HERE;
}

void monitor_got_ack(struct seen *seen)
{
	switch (seen->packet->type) {
	case PUBACK:
		got_puback(seen);
		break;
	case PUBREC:
		got_pubrec(seen);
		break;
	case PUBREL:
		got_pubrel(seen);
		break;
	default:
		got_pubcomp(seen);
	}
}

#include "harness/monitor_internal.h"

#include "codec/fields.h"
#include "codec/text.h"
#include "codec/topic.h"

/*
 * Subscriptions, and what may be delivered by them. A filter once subscribed to is kept for the whole
 * session with the highest QoS it was ever granted: the server may hold messages that it matched
 * earlier, and send them at the QoS of that time, after UNSUBACK or a later SUBACK. While a SUBSCRIBE is not answered
 * it may already be obeyed.
 */

#define MAX_FILTERS 4096		/* per session; beyond it its subscriptions are unknown */
#define MAX_TEXT (1u << 20)
#define MAX_REQUESTS 1024		/* open on a connection */
#define MAX_IDENTIFIERS 256		/* judged in one delivery: each costs a walk over the filters */

/* ---- filters ---- */

size_t monitor_filters_size(uint32_t cap, uint32_t text_cap)
{
	return sizeof(struct filters) + cap * sizeof(struct filter) + text_cap;
}

static uint8_t *texts_of(struct filters *filters)
{
	return (uint8_t *)(filters->at + filters->cap);
}

/* Room for one filter more, of that length. The first takes what it needs: most sessions have one. */
static bool filters_grow(struct monitor_world *world, struct monitor_session *s, uint32_t len)
{
	struct filters *old = s->filters, *new;
	uint32_t cap = old ? old->cap : 1, text_cap = old ? old->text_cap : len, text_len = old ? old->text_len : 0;

	if (old && s->n_filters < cap && text_len + len <= text_cap)
		return true;
	while (cap < s->n_filters + 1)
		cap *= 2;
	while (text_cap < text_len + len)
		text_cap = text_cap ? text_cap * 2 : len;
	text_cap += (uint32_t)(monitor_pool_size(monitor_filters_size(cap, text_cap)) - monitor_filters_size(cap, text_cap));
	new = monitor_pool_take(world, monitor_filters_size(cap, text_cap));
	if (!new)
		return false;
	new->cap = cap;
	new->text_cap = text_cap;
	new->text_len = text_len;
	if (old) {
		memcpy(new->at, old->at, s->n_filters * sizeof(struct filter));
		memcpy(texts_of(new), texts_of(old), text_len);
		monitor_pool_give(world, old, monitor_filters_size(old->cap, old->text_cap));
	}
	s->filters = new;
	return true;
}

static struct span text_of(const struct monitor_session *s, const struct filter *f)
{
	return span_of(texts_of(s->filters) + f->text, f->len);
}

/* Filters that begin with '$' and are not the standard's may mean whatever the vendor chose. */
static bool is_vendors(struct span filter)
{
	return filter.len && filter.at[0] == '$' && !(filter.len >= 4 && !memcmp(filter.at, "$SYS", 4));
}

static bool add_filter(struct monitor *m, struct monitor_session *s, struct span text, uint32_t identifier, uint32_t *index)
{
	uint32_t hash = (uint32_t)monitor_hash_bytes(text);
	struct span group, inner;
	struct filter *f;

	for (uint32_t i = 0; i < s->n_filters; i++) {
		f = &s->filters->at[i];
		if (f->hash == hash && f->identifier == identifier && span_equal(text_of(s, f), text)) {
			*index = i;
			return true;
		}
	}
	if (s->n_filters == MAX_FILTERS || (s->filters ? s->filters->text_len : 0) + text.len > MAX_TEXT || !filters_grow(m->world, s, (uint32_t)text.len))
		return false;
	if (text.len)
		memcpy(texts_of(s->filters) + s->filters->text_len, text.at, text.len);
	*index = s->n_filters;
	f = &s->filters->at[s->n_filters++];
	*f = (struct filter){ .hash = hash, .text = s->filters->text_len, .identifier = identifier, .len = (uint16_t)text.len,
	                      .granted = -1, .asked = -1 };
	s->filters->text_len += (uint32_t)text.len;
	if (share_split(text, &group, &inner)) {
		f->bits |= SHARED;
		s->shared = true;
		s->opaque |= is_vendors(inner);
	} else {
		s->opaque |= is_vendors(text);
	}
	s->identifiers |= identifier != 0;
	return true;
}

static bool covers(const struct monitor *m, const struct filter *f, struct span topic)
{
	struct span filter = text_of(m->session, f), group, inner;

	if (!(f->bits & SHARED))
		return topic_matches(filter, topic);
	if (!share_split(filter, &group, &inner))
		return false;
	/* below 5 "$share/" has no meaning, but many servers give it 5's */
	return topic_matches(inner, topic) || (!is_5(m) && topic_matches(filter, topic));
}

static int allowed_qos(const struct filter *f)
{
	return f->granted > f->asked ? f->granted : f->asked;
}

/* ---- SUBSCRIBE, UNSUBSCRIBE ---- */

static struct request *new_request(struct monitor *m, struct monitor_session *s, const struct packet *p, uint32_t n)
{
	uint32_t kept = p->type == SUBSCRIBE && n <= MAX_FILTERS ? n : 0;
	size_t size = sizeof(struct request) + kept * sizeof(uint32_t);
	struct traffic *t = monitor_traffic_of(m->world, s);
	struct request *r = t && t->n_requests < MAX_REQUESTS ? monitor_pool_take(m->world, size) : NULL;

	if (!r)
		return NULL;
	r->size = (uint32_t)size;
	r->n = n;
	r->n_kept = kept;
	r->id = p->packet_id;
	r->unsubscribe = p->type == UNSUBSCRIBE;
	if (t->requests)
		t->last_request->next = r;
	else
		t->requests = r;
	t->last_request = r;
	t->n_requests++;
	return r;
}

static bool not_available(const struct monitor *m, struct span text, uint32_t identifier)
{
	struct span group, inner;

	if (m->state != CONNECTED || !is_5(m))
		return false;
	if (share_split(text, &group, &inner) && !(m->features & SHARED_AVAILABLE))
		return true;
	if (identifier && !(m->features & IDENTIFIER_AVAILABLE))
		return true;
	return !(m->features & WILDCARD_AVAILABLE) && (memchr(text.at, '#', text.len) || memchr(text.at, '+', text.len));
}

static void note_asked(struct monitor *m, struct monitor_session *s, struct request *r, uint32_t nth,
                       struct span text, uint8_t options, uint32_t identifier)
{
	uint8_t qos = options & SUBSCRIBE_QOS;
	uint32_t index;
	struct filter *f;

	r->asked[nth] = NO_FILTER << 2 | qos;
	if (!add_filter(m, s, text, identifier, &index)) {
		m->bits |= PARTIAL;
		return;
	}
	r->asked[nth] = index << 2 | qos;
	f = &s->filters->at[index];
	f->open += f->open < UINT16_MAX;
	if (f->asked < (int8_t)qos)
		f->asked = (int8_t)qos;
	if (!is_5(m) || options & SUBSCRIBE_RETAIN_AS_PUBLISHED ||
	    (!(f->bits & SHARED) && (options & SUBSCRIBE_RETAIN_HANDLING) >> SUBSCRIBE_RETAIN_HANDLING_SHIFT != 2))
		f->bits |= MAY_RETAIN;
	else
		s->quiet = true;
}

void monitor_sent_request(struct monitor *m, const struct packet *p)
{
	uint32_t identifier = (uint32_t)property_number(p->properties, PROP_subscription_identifier, 0);
	struct monitor_session *s = monitor_session_of(m);
	struct filter_walk walk = filters_of(p);
	struct flow *f = monitor_flow_find(ours_of(s), p->packet_id);
	struct request *r;
	struct span text;
	uint8_t options = 0;
	uint32_t n = 0;

	if (f && f->state != OURS_DONE) {
		monitor_misbehaved(m);
		return;
	}
	while (filter_next(&walk, &text, &options)) {
		if (p->type == SUBSCRIBE && not_available(m, text, identifier)) {
			monitor_misbehaved(m);
			return;
		}
		n++;
	}
	r = s ? new_request(m, s, p, n) : NULL;
	if (!r) {
		m->bits |= REQUESTS_LOST | PARTIAL;
		return;
	}
	if (!(f = monitor_flow_add(m->world, &s->traffic->ours, p->packet_id)))
		m->bits |= PARTIAL;
	else
		f->state = OURS_REQUEST;
	if (p->type == UNSUBSCRIBE)
		return;
	if (!r->n_kept)
		m->bits |= PARTIAL;
	walk = filters_of(p);
	for (n = 0; n < r->n_kept && filter_next(&walk, &text, &options); n++)
		note_asked(m, s, r, n, text, options, identifier);
}

/* One filter of a SUBSCRIBE is answered; granted below 0: refused. */
static void settle_filter(struct monitor_session *s, uint32_t asked, int granted)
{
	struct filter *f;

	if (asked >> 2 == NO_FILTER)
		return;
	f = &s->filters->at[asked >> 2];
	if (granted > f->granted)
		f->granted = (int8_t)granted;
	if (f->open && --f->open == 0)
		f->asked = -1;
}

static void free_request(struct monitor_world *world, struct traffic *t, struct request *r)
{
	struct request **at = &t->requests, *before = NULL;

	while (*at != r) {
		before = *at;
		at = &before->next;
	}
	*at = r->next;
	if (t->last_request == r)
		t->last_request = before;
	t->n_requests--;
	monitor_pool_give(world, r, r->size);
}

void monitor_requests_drop(struct monitor_world *world, struct monitor_session *s)
{
	while (s->traffic && s->traffic->requests) {
		struct request *r = s->traffic->requests;

		for (uint32_t i = 0; i < r->n_kept; i++)
			settle_filter(s, r->asked[i], r->asked[i] & 3);
		free_request(world, s->traffic, r);
	}
}

static void settle_codes(struct seen *seen, struct request *r)
{
	const struct packet *p = seen->packet;

	for (uint32_t i = 0; i < r->n_kept; i++) {
		/* codes that are missing, which was reported, may have granted all that was asked for */
		uint8_t code = i < p->list.len ? p->list.at[i] : r->asked[i] & 3;

		if (code <= 2 && code > (r->asked[i] & 3))
			monitor_violate(seen, ROW_SUBACK_GRANT, p->list.at + i, "reason", "filter %u asked for QoS %u and is granted %u",
			        i, r->asked[i] & 3, code);
		settle_filter(seen->m->session, r->asked[i], code <= 2 ? code : -1);
	}
	if (!seen->broken)
		monitor_hold(seen->m, ROW_SUBACK_GRANT);
}

void monitor_got_request_ack(struct seen *seen)
{
	struct monitor *m = seen->m;
	const struct packet *p = seen->packet;
	bool unsubscribe = p->type == UNSUBACK;
	enum monitor_row id_row = unsubscribe ? ROW_UNSUBACK_ID : ROW_SUBACK_ID;
	enum monitor_row count_row = unsubscribe ? ROW_UNSUBACK_COUNT : ROW_SUBACK_COUNT;
	struct request *r = m->session && m->session->traffic ? m->session->traffic->requests : NULL;
	struct flow *f;

	while (r && (r->id != p->packet_id || r->unsubscribe != unsubscribe))
		r = r->next;
	if (!r) {
		if (!(m->bits & REQUESTS_LOST))
			monitor_violate(seen, id_row, NULL, "packet_id", "%s %u, an id under which no %s waits for it",
			        packet_name((enum packet_type)p->type), p->packet_id, unsubscribe ? "UNSUBSCRIBE" : "SUBSCRIBE");
		return;
	}
	monitor_hold(m, id_row);
	if (!unsubscribe || is_5(m)) {
		if (p->list.len != r->n)
			monitor_violate(seen, count_row, p->list.at, "reason", "%zu codes for %u filters", p->list.len, r->n);
		else
			monitor_hold(m, count_row);
	}
	if (!unsubscribe)
		settle_codes(seen, r);
	free_request(m->world, m->session->traffic, r);
	f = monitor_flow_find(ours_of(m->session), p->packet_id);
	if (f && f->state == OURS_REQUEST)
		f->state = OURS_DONE;
	if (f && f->state == OURS_DONE && !f->answers && !f->completions)
		monitor_flow_remove(&m->session->traffic->ours, f);
	monitor_traffic_rest(m->world, m->session);	/* who only listens rests after this */
}

/* ---- deliveries ---- */

/* A topic in a message: escaped, and cut where it is long. */
static const char *shown(struct span topic, char *room, size_t cap)
{
	bool cut = topic.len > 40;
	struct writer w = writer_to(room, cap - 4);

	text_print_string((struct span){ topic.at, cut ? 40 : topic.len }, &w);
	if (w.len > w.cap)
		w.len = w.cap;
	room[w.len] = 0;
	if (cut)
		memcpy(room + w.len, "...", 4);
	return room;
}

/* All filters that a delivery may have come by. */
struct match {
	int qos;			/* highest allowed; -1: none matches */
	bool unidentified, may_retain, plain;
};

static struct match match_all(struct monitor *m, struct span topic)
{
	struct monitor_session *s = m->session;
	struct match match = { .qos = -1 };

	for (uint32_t i = 0; s && i < s->n_filters; i++) {
		const struct filter *f = &s->filters->at[i];

		if (allowed_qos(f) < 0 || !covers(m, f, topic))
			continue;
		if (allowed_qos(f) > match.qos) {
			match.qos = allowed_qos(f);
			s->hint = i;
		}
		match.unidentified |= !f->identifier;
		match.may_retain |= f->bits & MAY_RETAIN;
		match.plain |= !(f->bits & SHARED);
	}
	return match;
}

/* The usual case without a walk over all filters: the one that matched last allows it. */
static bool hint_allows(const struct monitor *m, struct span topic, int qos)
{
	const struct monitor_session *s = m->session;

	return s->hint < s->n_filters && allowed_qos(&s->filters->at[s->hint]) >= qos && covers(m, &s->filters->at[s->hint], topic);
}

/* Identifiers tell by which subscription a delivery came: its topic must match that filter. */
static void judge_identifiers(struct seen *seen, struct span topic, const struct match *match)
{
	const struct packet *p = seen->packet;
	const struct monitor_session *s = seen->m->session;
	struct property_walk walk = properties_of(p->properties);
	struct property property;
	char room[80];
	unsigned n = 0;

	while (n < MAX_IDENTIFIERS && property_next(&walk, &property)) {
		bool known = false, matches = false;

		if (property.id != PROP_subscription_identifier)
			continue;
		n++;
		for (uint32_t i = 0; s && i < s->n_filters && !matches; i++) {
			if (s->filters->at[i].identifier != property.value.number || allowed_qos(&s->filters->at[i]) < 0)
				continue;
			known = true;
			matches = covers(seen->m, &s->filters->at[i], topic);
		}
		if (!known)
			monitor_violate(seen, ROW_IDENTIFIER_KNOWN, property.at, "subscription_identifier",
			        "Subscription Identifier %u, which no subscription of this session has", (unsigned)property.value.number);
		else if (!matches)
			monitor_violate(seen, ROW_DELIVERY_TOPIC, property.at, "topic", "topic %s does not match the subscription with identifier %u",
			        shown(topic, room, sizeof(room)), (unsigned)property.value.number);
		else
			monitor_hold(seen->m, ROW_IDENTIFIER_KNOWN);
	}
	if (n || match->qos < 0 || match->unidentified)
		return;
	monitor_violate(seen, ROW_IDENTIFIER_MISSING, seen->bytes, "subscription_identifier",
	        "a delivery without Subscription Identifier, but every matching subscription has one");
}

static void judge_retain(struct seen *seen, const struct match *match)
{
	if (match->qos < 0 || match->may_retain)
		return;
	if (!(seen->packet->flags & PUBLISH_RETAIN))
		monitor_hold(seen->m, match->plain ? ROW_RETAIN_NEVER : ROW_RETAIN_SHARED);
	else if (match->plain)
		monitor_violate(seen, ROW_RETAIN_NEVER, seen->bytes, "retain", "RETAIN 1 by a subscription that asked for no retained messages");
	else
		monitor_violate(seen, ROW_RETAIN_SHARED, seen->bytes, "retain", "RETAIN 1 by a shared subscription");
}

/* No filter of ours matches. */
static void judge_unmatched(struct seen *seen, struct span topic)
{
	const struct monitor_session *s = seen->m->session;
	char room[80];

	if (!monitor_world_is_ours(seen->m->world)) {
		struct monitor_log *log = seen->m->log;

		if (log && log->unasked && !seen->broken)
			log->unasked(log->owner, seen->m, topic);
		return;
	}
	for (uint32_t i = 0; s && i < s->n_filters && topic.len && topic.at[0] == '$'; i++) {
		struct span filter = text_of(s, &s->filters->at[i]), group, inner;

		if (share_split(filter, &group, &inner))
			filter = inner;
		/* would it match if '$' were any other character? Then the rest of both must match */
		if (allowed_qos(&s->filters->at[i]) >= 0 && filter.len && (filter.at[0] == '#' || filter.at[0] == '+')) {
			const uint8_t *slash = memchr(topic.at, '/', topic.len);
			size_t n_rest = slash ? (size_t)(topic.at + topic.len - slash) : 0;
			struct span topic_rest = span_of(topic.at + topic.len - n_rest, n_rest);
			struct span filter_rest = span_of(filter.at + 1, filter.len - 1);

			if (filter.at[0] == '#' || span_equal(filter_rest, topic_rest) ||
			    (filter_rest.len && topic_rest.len && topic_matches(filter_rest, topic_rest))) {
				monitor_violate(seen, ROW_DELIVERY_DOLLAR, seen->bytes, "topic", "topic %s by a filter that begins with a wildcard",
				        shown(topic, room, sizeof(room)));
				return;
			}
		}
	}
	monitor_violate(seen, ROW_DELIVERY_TOPIC, seen->bytes, "topic", "topic %s matches no filter subscribed to in this session",
	        shown(topic, room, sizeof(room)));
}

void monitor_judge_delivery(struct seen *seen, struct span topic)
{
	struct monitor *m = seen->m;
	const struct monitor_session *s = m->session;
	int qos = (int)publish_qos(seen->packet);
	bool careful = is_5(m) && s && (s->identifiers || s->quiet ||
	                                (seen->packet->properties.len && property_number(seen->packet->properties, PROP_subscription_identifier, 0)));
	struct match match;
	char room[80];

	if (m->bits & PARTIAL || (s && s->opaque))
		return;
	if (!careful && s && hint_allows(m, topic, qos)) {
		monitor_hold(m, ROW_DELIVERY_QOS);
		monitor_hold(m, ROW_DELIVERY_TOPIC);
		return;
	}
	match = match_all(m, topic);
	if (match.qos < 0) {
		judge_unmatched(seen, topic);
	} else if (qos > match.qos) {
		monitor_violate(seen, match.plain ? ROW_DELIVERY_QOS : is_5(m) ? ROW_SHARED_QOS : ROW_DELIVERY_QOS, seen->bytes, "qos",
		        "QoS %d, but no more than %d was granted for %s", qos, match.qos, shown(topic, room, sizeof(room)));
	} else {
		monitor_hold(m, match.plain || !is_5(m) ? ROW_DELIVERY_QOS : ROW_SHARED_QOS);
		monitor_hold(m, ROW_DELIVERY_TOPIC);
	}
	if (careful) {
		judge_identifiers(seen, topic, &match);
		judge_retain(seen, &match);
	}
}

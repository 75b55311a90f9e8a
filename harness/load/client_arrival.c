#include "harness/load/client_play.h"

#include <stdio.h>

#include "codec/fields.h"

/* What comes: counted in any case, then for the step that the client waits at, for a `whenever`, for a later step, or for nobody. */

enum { MAX_EARLY = 20000, MAX_EARLY_BYTES = 32 << 20 };	/* of one client */
#define MAX_POOL ((size_t)4 << 30)	/* of one thread: all that its clients have in memory */

struct arrival {
	const struct packet *packet;
	const uint8_t *bytes;
	size_t len;
	uint64_t at_ns;
	struct span topic;		/* of one that names it by an alias */
};

/* ---- the step that it waits at ---- */

static bool awaits(const struct client *c, enum arrival_kind kind, uint16_t id)
{
	const struct step *step = c->step;

	switch (step->kind) {
	case STEP_EXPECT:
		return arrival_kind_of((enum packet_type)step->type) == kind &&
		       (kind != ANSWER || !c->awaited_id || id == c->awaited_id || !exchange_find(c, id));
	case STEP_RECEIVES:
		return kind == DELIVERY && c->phase == 0;
	case STEP_CONNECTS:
		return kind == CONNECTION && c->phase == 0;
	case STEP_PINGS: case STEP_PUBLISHES:
		return kind == PONG;
	case STEP_CLOSED:
		return kind == ANSWER && step->or_nacked;
	default:
		return false;
	}
}

static bool came_in_time(struct client *c, const struct step *step, uint64_t at_ns)
{
	uint64_t earliest, latest;

	if (!step->within && !step->after)
		return true;
	if (!client_step_time(c, step, &earliest, &latest))
		return false;
	if (at_ns >= earliest && at_ns <= latest)
		return true;
	client_stop(c, step, true, "%s came %.3f s too %s", packet_name((enum packet_type)(step->kind == STEP_RECEIVES ? PUBLISH : step->type)),
	            (double)(at_ns < earliest ? earliest - at_ns : at_ns - latest) / 1e9, at_ns < earliest ? "early" : "late");
	return false;
}

static void acknowledge(struct client *c, const struct packet *p)
{
	unsigned qos = publish_qos(p);

	if (!qos)
		return;
	if (qos == 2)
		taken_add(c->engine->pool, &client_extras(c)->taken, p->packet_id);
	client_send_ack(c, qos == 1 ? PUBACK : PUBREC, p->packet_id);
}

static void judge(struct client *c, const struct arrival *in)
{
	const struct step *step = c->step;
	const struct packet *p = in->packet;
	enum packet_type type = step->kind == STEP_RECEIVES ? PUBLISH : (enum packet_type)step->type;
	const char *why;

	if (p->type != type) {
		client_stop(c, step, true, "expected %s, received %s", packet_name(type), packet_name((enum packet_type)p->type));
		return;
	}
	if (!packet_suits(c, step->matches, step->n_matches, p, &why)) {
		if (why)
			client_stop(c, step, true, "%s: %s", packet_name(type), why);
		return;
	}
	if (!came_in_time(c, step, in->at_ns))
		return;
	packet_binds(c, step->matches, step->n_matches, p);
	if (arrival_kind_of(type) == ANSWER)
		exchange_heard(c, p);
	if (!(c->flags & LINKED))
		return;			/* a body that waited for the window could not be played */
	if (step->kind == STEP_RECEIVES) {
		acknowledge(c, p);
		if (publish_qos(p) == 2) {		/* its exchange goes on until PUBREL */
			c->phase = 1;
			c->awaited_id = p->packet_id;
			client_expect_deadline(c, step);
			return;
		}
	}
	client_step_done(c);
}

static void connects(struct client *c, const struct arrival *in)
{
	const struct step *step = c->step;
	const struct packet *p = in->packet;
	const char *why;

	if (p->type != CONNACK) {
		client_stop(c, step, false, "expected CONNACK, received %s", packet_name((enum packet_type)p->type));
		return;
	}
	if (p->reason) {
		char text[100];

		snprintf(text, sizeof(text), "CONNACK: %s", reason_words(CONNACK, p->version, p->reason));
		tally_count(role_of(c)->now, COUNT_refused);
		engine_reason(c->engine, c->role, COUNT_refused, false, text);
		client_fails(c, COUNT_refused);
		return;
	}
	if (!packet_suits(c, step->matches, step->n_matches, p, &why)) {
		if (why)
			client_stop(c, step, true, "CONNACK: %s", why);
		return;
	}
	packet_binds(c, step->matches, step->n_matches, p);
	c->phase = 1;
	if (c->flags & RESUMING)
		c->wake_ns = NEVER;	/* what is sent again goes first, as fast as it goes */
	else
		client_step_done(c);
}

void client_resumed(struct client *c)
{
	if (c->state == CLIENT_AWAITS && c->step->kind == STEP_CONNECTS && c->phase == 1)
		client_step_done(c);
}

static void take(struct client *c, const struct arrival *in)
{
	const struct packet *p = in->packet;

	switch (c->step->kind) {
	case STEP_CONNECTS:
		connects(c, in);
		break;
	case STEP_CLOSED:
		if (p->reason >= 0x80 || (p->list.len && p->list.at[0] >= 0x80))
			client_step_done(c);
		break;
	case STEP_PUBLISHES: case STEP_PINGS: {
		const char *why;

		if (!packet_suits(c, c->step->kind == STEP_PINGS ? c->step->matches : NULL, c->step->kind == STEP_PINGS ? c->step->n_matches : 0, p, &why)) {
			if (why)
				client_stop(c, c->step, true, "PINGRESP: %s", why);
			break;
		}
		client_step_done(c);
		break;
	}
	default:
		judge(c, in);
	}
}

bool client_offer_end(struct client *c)
{
	if (c->state != CLIENT_AWAITS || (c->step->kind != STEP_CLOSED && c->step->kind != STEP_DISCONNECTS))
		return false;
	c->flags &= (uint16_t)~END_HELD;
	if (c->step->kind == STEP_CLOSED && !came_in_time(c, c->step, run_now(c->engine)))
		return true;
	client_early_clear(c);
	client_step_done(c);
	return true;
}

/* ---- `whenever` ---- */

static bool fits(struct client *c, const struct step *whenever, const struct packet *p)
{
	const struct step *trigger = whenever->children;

	if (p->type != (trigger->kind == STEP_RECEIVES ? PUBLISH : trigger->type))
		return false;
	return packet_suits(c, trigger->matches, trigger->n_matches, p, NULL);
}

static const struct step *fitting(struct client *c, const struct step *first, const struct step *position, const struct packet *p)
{
	for (const struct step *s = first; s && s != position; s = s->next)
		if (s->kind == STEP_WHENEVER && fits(c, s, p))
			return s;
	return NULL;
}

/* Those in force stand before the client's position in the blocks around it: the innermost block's come first. */
static const struct step *whenever_for(struct client *c, const struct packet *p)
{
	const struct registers *r = c->registers;
	const struct step *position = c->step, *found = NULL;
	unsigned depth = r ? r->depth : 0;

	if (depth && r->frames[depth - 1].owner == position)
		depth--;		/* between two turns of a loop: its body's are not in force */
	for (; depth && !found; depth--) {
		found = fitting(c, r->frames[depth - 1].owner->children, position, p);
		if (!(c->flags & LINKED))
			return NULL;	/* a match could not be evaluated */
		position = r->frames[depth - 1].owner;
	}
	return found ? found : fitting(c, role_of(c)->role->steps, position, p);
}

static void begin_body(struct client *c, const struct step *whenever, const struct packet *p)
{
	const struct step *trigger = whenever->children;

	packet_binds(c, trigger->matches, trigger->n_matches, p);
	if (trigger->kind == STEP_RECEIVES)
		acknowledge(c, p);
	if (trigger->next && trigger->next->children) {
		struct extras *x = client_extras(c);

		x->whenever = whenever;
		x->body = trigger->next->children;
		client_body_run(c);
	} else {
		slots_forget(c, trigger);
	}
}

/* ---- for a later step ---- */

static void client_early_put(struct client *c, const struct arrival *in, bool put_off)
{
	struct extras *x = client_extras(c);
	struct early *early;

	if (pool_in_use(c->engine->pool) > MAX_POOL) {
		client_stop(c, NULL, false, "what waits for later steps, of all clients, takes more than %u MB", (unsigned)(MAX_POOL >> 20));
		return;
	}
	if (x->n_early >= MAX_EARLY || x->early_bytes + in->len > MAX_EARLY_BYTES) {
		if (put_off)
			client_stop(c, x->whenever, false, "%u packets wait to be answered: the broker's Receive Maximum is %u, and it does not acknowledge as fast as it sends", x->n_early,
			            (unsigned)monitor_in_force(&c->link.monitor, PROP_receive_maximum));
		else
			client_stop(c, NULL, false, "the target floods: %u packets (%u bytes) wait that no step asked for", x->n_early, x->early_bytes);
		return;
	}
	early = pool_take(c->engine->pool, sizeof(*early) + in->len + in->topic.len);
	*early = (struct early){
		.at_ns = in->at_ns, .type = in->packet->type, .put_off = put_off, .packet_id = in->packet->packet_id, .len = (uint32_t)in->len, .topic_len = (uint32_t)in->topic.len,
	};
	memcpy(early->bytes, in->bytes, in->len);
	if (in->topic.len)
		memcpy(early->bytes + in->len, in->topic.at, in->topic.len);
	*x->last_early = early;
	x->last_early = &early->next;
	x->n_early++;
	x->early_bytes += early->len;
}

static struct early *client_early_unlink(struct client *c, struct early **at)
{
	struct extras *x = c->extras;
	struct early *early = *at;

	*at = early->next;
	if (x->last_early == &early->next)
		x->last_early = at;
	x->n_early--;
	x->early_bytes -= early->len;
	return early;
}

static void client_early_free(struct client *c, struct early *early)
{
	pool_give(c->engine->pool, early, sizeof(*early) + early->len + early->topic_len);
}

void client_early_clear(struct client *c)
{
	while (c->extras && c->extras->early)
		client_early_free(c, client_early_unlink(c, &c->extras->early));
}

bool client_early_offer(struct client *c)
{
	if (!c->extras)
		return false;
	for (struct early **at = &c->extras->early; *at; at = &(*at)->next) {
		enum version version = monitor_version(&c->link.monitor);
		struct packet packet;
		struct finding finding;

		if (c->step->kind == STEP_NOTHING) {
			client_stop(c, c->step, true, "nothing was to come, but %s did", packet_name((enum packet_type)(*at)->type));
			return true;
		}
		if (!awaits(c, arrival_kind_of((enum packet_type)(*at)->type), (*at)->packet_id))
			continue;
		struct early *early = client_early_unlink(c, at);
		if (decode(early->bytes, early->len, version, &packet, &finding) == CODEC_OK) {
			if (early->topic_len)
				packet.topic = span_of(early->bytes + early->len, early->topic_len);
			take(c, &(struct arrival){ .packet = &packet, .bytes = early->bytes, .len = early->len, .at_ns = early->at_ns });
		}
		client_early_free(c, early);
		return true;
	}
	return false;
}

/* ---- all of them ---- */

static void offer(struct client *c, enum arrival_kind kind, const struct arrival *in)
{
	const struct packet *p = in->packet;
	const struct role_code *role = role_of(c);
	const struct step *whenever;
	bool parting = kind == DELIVERY && c->flags & LEAVING;	/* it was under way when the client took its leave: nobody answers any more */

	if (c->state == CLIENT_AWAITS && awaits(c, kind, p->packet_id)) {
		take(c, in);
		return;
	}
	if (!parting && role->has_whenever && (whenever = whenever_for(c, p))) {
		begin_body(c, whenever, p);
		return;
	}
	if (!(c->flags & LINKED))
		return;
	if (c->state == CLIENT_AWAITS && c->step->kind == STEP_NOTHING) {
		client_stop(c, c->step, true, "nothing was to come, but %s did", packet_name((enum packet_type)p->type));
		return;
	}
	if (role->plan->keeps[kind] && c->state != CLIENT_AT_END) {
		client_early_put(c, in, false);
		return;
	}
	if (kind == ANSWER && exchange_heard(c, p))
		return;				/* of an explicit send whose answer nobody takes */
	if (kind == RELEASE && role->acknowledges)
		client_send_ack(c, PUBCOMP, p->packet_id);	/* sent again: the connection broke with our PUBCOMP [MQTT-4.3.3-11]; a stray one is the monitor's matter */
	else if (!parting && (kind != DELIVERY || publish_qos(p) || role->receives))
		tally_count(role->now, COUNT_unexpected);
}

static void delivered(struct client *c, struct arrival *in)
{
	const struct packet *p = in->packet;
	struct extras *x = client_extras(c);
	struct packet named;

	c->engine->delivered_ns = in->at_ns;
	if (publish_qos(p) == 2 && taken_has(x->taken, p->packet_id)) {
		client_send_ack(c, PUBREC, p->packet_id);	/* sent again before its PUBREL: the message that it was [MQTT-4.3.3-10] */
		return;
	}
	if (!p->topic.len && p->properties.len) {
		named = *p;
		if (monitor_topic(&c->link.monitor, p, &named.topic))
			in->topic = named.topic;
		in->packet = p = &named;
	}
	ledger_arrived(c->engine->ledger, &x->subscriber, listener_of(c), c->joined, &(struct delivery){
		.topic = p->topic, .payload = p->payload, .qos = (uint8_t)publish_qos(p), .retained = p->flags & PUBLISH_RETAIN, .dup = p->flags & PUBLISH_DUP,
		.now_ns = in->at_ns,
	});
	if (x->body)		/* what was before it has not been answered to the end */
		client_early_put(c, in, true);
	else
		offer(c, DELIVERY, in);
}

static void offer_put_off(struct client *c, struct early *early)
{
	struct packet packet;
	struct finding finding;

	if (decode(early->bytes, early->len, monitor_version(&c->link.monitor), &packet, &finding) == CODEC_OK) {
		struct arrival in = { .packet = &packet, .bytes = early->bytes, .len = early->len, .at_ns = early->at_ns };

		if (early->topic_len)
			packet.topic = in.topic = span_of(early->bytes + early->len, early->topic_len);
		offer(c, DELIVERY, &in);
	}
	client_early_free(c, early);
}

void client_offer_put_off(struct client *c)
{
	struct extras *x = c->extras;

	if (x->offering)		/* by a body that such an arrival began */
		return;
	x->offering = true;
	for (struct early **at = &x->early; *at && !x->body;) {
		if (!(*at)->put_off) {
			at = &(*at)->next;
			continue;
		}
		offer_put_off(c, client_early_unlink(c, at));
		at = &x->early;		/* what was offered may have gone on, and taken some */
	}
	x->offering = false;
}

static void released(struct client *c, const struct arrival *in)
{
	uint16_t id = in->packet->packet_id;

	if (!c->extras || !taken_remove(c->engine->pool, &c->extras->taken, id)) {
		offer(c, RELEASE, in);
		return;
	}
	client_send_ack(c, PUBCOMP, id);
	if (c->state == CLIENT_AWAITS && c->step->kind == STEP_RECEIVES && c->phase == 1 && c->awaited_id == id)
		client_step_done(c);
}

static void ponged(struct client *c, const struct arrival *in)
{
	if (!c->pings && c->own_pings) {
		c->own_pings--;
		if (c->flags & PROBING)
			client_probe_answered(c);
		return;
	}
	c->pings -= c->pings > 0;
	offer(c, PONG, in);
}

void client_arrived(struct client *c, const uint8_t *bytes, size_t len, const struct packet *p)
{
	struct arrival in = { .packet = p, .bytes = bytes, .len = len, .at_ns = run_now(c->engine) };
	struct exchange *ex;

	switch (p->type) {
	case PUBLISH:
		delivered(c, &in);
		break;
	case PUBREL:
		released(c, &in);
		break;
	case PUBACK: case PUBREC: case PUBCOMP: case SUBACK: case UNSUBACK:
		ex = exchange_find(c, p->packet_id);
		if (ex && !(ex->flags & EX_BARE)) {
			exchange_answered(c, p);
			break;
		}
		if (ex && (p->type == SUBACK || p->type == UNSUBACK))
			exchange_subscribed(c, p);
		offer(c, ANSWER, &in);
		break;
	case PINGRESP:
		ponged(c, &in);
		break;
	case CONNACK:
		client_connack(c, p);
		offer(c, CONNECTION, &in);
		break;
	case DISCONNECT:
		c->goodbye = p->reason;
		if (c->state == CLIENT_AWAITS && c->step->kind == STEP_EXPECT && arrival_kind_of((enum packet_type)c->step->type) == CONNECTION)
			offer(c, CONNECTION, &in);
		else
			client_told_to_leave(c);
		break;
	default:
		offer(c, CONNECTION, &in);
	}
}

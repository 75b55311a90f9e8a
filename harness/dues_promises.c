#include "harness/dues_promises.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "codec/fields.h"
#include "harness/monitor.h"

enum {
	SLACK_S = 2,			/* who reckons in whole seconds is a second off, at either end */
	EXPIRY_BEFORE_5_S = 7,		/* what has no end by the standard, a server may end when it likes: but hardly that soon */
	TIMED_OUT = 0x8d, TAKEN_OVER = 0x8e, NOT_FOUND = 0x92,
};

#define SECOND_NS UINT64_C(1000000000)

void promises_begin(struct promises *promises)
{
	memset(promises, 0, sizeof(*promises));
}

static bool breaks(struct due_breach *b, const struct packet *p, unsigned client, const char *clause, const char *format, ...) __attribute__((format(printf, 5, 6)));
static bool breaks(struct due_breach *b, const struct packet *p, unsigned client, const char *clause, const char *format, ...)
{
	va_list args;

	*b = (struct due_breach){ .version = p->version, .clause = clause, .client = client, .type = p->type };
	va_start(args, format);
	vsnprintf(b->text, sizeof(b->text), format, args);
	va_end(args);
	return false;
}

static unsigned long long ms(uint64_t ns)
{
	return ns / 1000000;
}

/* ---- sessions ---- */

static struct promised_session *session_of(struct promises *promises, uint64_t key)
{
	for (struct promised_session *s = promises->sessions; key && s < promises->sessions + PROMISES_SESSIONS; s++)
		if (s->key == key)
			return s;
	return NULL;
}

/* NULL: no room. Who had a client id that is not known does not matter: it is not judged before it was accepted once. */
static struct promised_session *take_session(struct promises *promises, uint64_t key)
{
	struct promised_session *s = session_of(promises, key);

	for (unsigned i = 0; !s && key && i < PROMISES_SESSIONS; i++)
		if (!promises->sessions[i].key) {
			s = &promises->sessions[i];
			*s = (struct promised_session){ .key = key, .client = -1 };
		}
	return s;
}

static void doubt(struct promises *promises, struct promised_client *c)
{
	struct promised_session *s = session_of(promises, c->key);

	c->broken = true;
	if (s)
		s->doubtful = true;
}

static uint64_t user_of(const struct packet *p)
{
	return monitor_hash_bytes(p->user_name) * 31 + monitor_hash_bytes(p->password);
}

/* Several at once: which of them the server takes last nobody knows. */
static void connects(struct promises *promises, uint64_t now_ns, struct promised_client *c, const struct packet *p, bool own)
{
	struct promised_session *s;

	*c = (struct promised_client){ .version = p->version, .begun_ns = now_ns, .key = p->client_id.len ? monitor_key_of(1, p->client_id) : 0, .user = user_of(p),
		.clean = p->connect_flags & CONNECT_CLEAN_START, .keep_alive = p->keep_alive };
	if (p->version == MQTT_5)
		c->expiry_s = (uint32_t)property_number(p->properties, PROP_session_expiry_interval, 0);
	else
		c->expiry_s = c->clean ? 0 : EXPIRY_BEFORE_5_S;
	s = take_session(promises, c->key);
	if (!s)
		return;
	s->doubtful |= !own || s->n_connecting || p->version == MQTT_3_1;
	s->n_connecting++;
}

static bool is_owed_session(const struct promised_session *s, const struct promised_client *c, uint64_t now_ns)
{
	return s && s->there && !s->doubtful && !c->clean && s->version == c->version && s->user == c->user &&
	       (now_ns - s->heard_ns) / SECOND_NS + SLACK_S < s->expiry_s;
}

static bool accepted(struct promises *promises, uint64_t now_ns, unsigned client, const struct packet *p, struct due_breach *b)
{
	struct promised_client *c = &promises->clients[client];
	struct promised_session *s = session_of(promises, c->key);
	bool kept = p->ack_flags & 1 || !is_owed_session(s, c, now_ns);
	uint64_t gone_ns = s ? now_ns - s->heard_ns : 0;
	uint32_t expiry_s = s ? s->expiry_s : 0;
	struct value value;

	c->answered = true;
	if (p->version == MQTT_5) {
		c->expiry_s = (uint32_t)property_number(p->properties, PROP_session_expiry_interval, c->expiry_s);
		c->server_keep_alive = property_find(p->properties, PROP_server_keep_alive, &value);
		c->keep_alive = c->server_keep_alive ? (uint16_t)value.number : c->keep_alive;
	}
	if (s)
		*s = (struct promised_session){ .key = s->key, .user = c->user, .heard_ns = now_ns, .expiry_s = c->expiry_s, .version = c->version, .client = (int8_t)client,
			.there = true, .doubtful = s->doubtful };
	return kept || breaks(b, p, client, p->version == MQTT_5 ? "MQTT-3.2.2-3" : "MQTT-3.2.2-2",
	                      "no session present, though the last connection was open %llu ms ago and the session outlives it by %u s at least", ms(gone_ns), expiry_s);
}

static bool connack(struct promises *promises, uint64_t now_ns, unsigned client, const struct packet *p, struct due_breach *b)
{
	struct promised_client *c = &promises->clients[client];
	struct promised_session *s = session_of(promises, c->key);

	if (!c->version || c->answered)
		return true;
	if (s && s->n_connecting)
		s->n_connecting--;
	if (p->reason || c->version != p->version) {
		doubt(promises, c);
		c->key = 0;
		return true;
	}
	return accepted(promises, now_ns, client, p, b);
}

void promises_ended(struct promises *promises, unsigned client, bool by_server)
{
	struct promised_client *c = &promises->clients[client];
	struct promised_session *s = session_of(promises, c->key);

	if (s && !c->answered)		/* it may be accepted later, unseen */
		s->doubtful = true;
	else if (s && s->client == (int)client) {
		/* Who was sent away for nothing that we did may have lost more; but not whose place somebody takes. */
		s->there &= c->expiry_s && (!by_server || s->n_connecting);
		s->client = -1;
	}
	memset(c, 0, offsetof(struct promised_client, flows));
}

/* What DISCONNECT sets may have come into force, or have been lost with the connection. */
static void disconnects(struct promises *promises, unsigned client, const struct packet *p)
{
	struct promised_client *c = &promises->clients[client];
	struct promised_session *s = session_of(promises, c->key);
	uint32_t expiry_s = p->version == MQTT_5 ? (uint32_t)property_number(p->properties, PROP_session_expiry_interval, c->expiry_s) : c->expiry_s;

	c->expiry_s = expiry_s < c->expiry_s ? expiry_s : c->expiry_s;
	if (s && s->client == (int)client)
		s->expiry_s = c->expiry_s;
	promises_ended(promises, client, false);
}

static void sent_away(struct promises *promises, unsigned client, const struct packet *p)
{
	struct promised_session *s = session_of(promises, promises->clients[client].key);

	if (s && s->client == (int)client && p->reason != TAKEN_OVER)
		s->there = false;
	promises_ended(promises, client, true);
}

/* ---- keep alive ---- */

/* No packet of the connection is older than itself. */
static bool disconnect(struct promises *promises, uint64_t now_ns, unsigned client, const struct packet *p, struct due_breach *b)
{
	const struct promised_client *c = &promises->clients[client];
	uint64_t age_ns = now_ns - c->begun_ns, keep_alive_ns = c->keep_alive * SECOND_NS;
	bool early = c->answered && !c->broken && p->reason == TIMED_OUT && keep_alive_ns && age_ns + SLACK_S * SECOND_NS < keep_alive_ns + keep_alive_ns / 2;
	const char *clause = c->server_keep_alive ? "MQTT-3.1.2-22" : "MQTT-3.2.2-22";

	sent_away(promises, client, p);
	return !early || breaks(b, p, client, clause, "Keep Alive timeout %llu ms after CONNECT, though the Keep Alive in force is %llu s", ms(age_ns), ms(keep_alive_ns) / 1000);
}

/* ---- exchanges ---- */

static struct promised_flow *flow_of(struct promised_client *c, uint16_t packet_id)
{
	for (unsigned i = 0; i < c->n_flows; i++)
		if (c->flows[i].packet_id == packet_id)
			return &c->flows[i];
	return NULL;
}

static void add_flow(struct promised_client *c, uint16_t packet_id, enum promised_state state)
{
	if (c->n_flows < PROMISES_FLOWS)
		c->flows[c->n_flows++] = (struct promised_flow){ packet_id, (uint8_t)state };
	else
		c->broken = true;	/* none is judged any more, as it may be this one */
}

/* An id that is used again while it is open, or released when it is not, is answered more than once: which answer is whose is not asked. */
static void flow_sent(struct promised_client *c, const struct packet *p)
{
	struct promised_flow *flow = flow_of(c, p->packet_id);
	bool opens = p->type == PUBLISH && publish_qos(p) == 2;

	if (p->type == PUBLISH && !publish_qos(p))
		return;
	if (!flow && (opens || p->type == PUBREL))
		add_flow(c, p->packet_id, opens ? PROMISED_SENT : PROMISED_NOTHING);
	else if (flow)
		flow->state = p->type == PUBREL && flow->state == PROMISED_RECEIVED ? PROMISED_RELEASED : PROMISED_NOTHING;
}

static bool flow_received(struct promised_client *c, unsigned client, const struct packet *p, struct due_breach *b)
{
	struct promised_flow *flow = flow_of(c, p->packet_id);
	bool released = flow && flow->state == PROMISED_RELEASED;

	if (!flow || flow->state == PROMISED_NOTHING)
		return true;
	if (p->type == PUBREC && p->reason < 0x80 && flow->state == PROMISED_SENT)
		flow->state = PROMISED_RECEIVED;
	else if ((p->type == PUBREC && p->reason >= 0x80 && flow->state == PROMISED_SENT) || (p->type == PUBCOMP && released))
		*flow = c->flows[--c->n_flows];
	else
		flow->state = PROMISED_NOTHING;
	return p->type != PUBCOMP || !released || p->reason != NOT_FOUND || c->broken ||
	       breaks(b, p, client, "MQTT-4.1.0-1", "PUBCOMP with reason 0x92 for packet id %u, which PUBREC has taken on this very connection", p->packet_id);
}

/* ---- the whole ---- */

void promises_sent(struct promises *promises, uint64_t now_ns, unsigned client, const struct packet *p, bool lawful, bool own)
{
	struct promised_client *c = &promises->clients[client];

	if (!p && !c->version)		/* it may have been a CONNECT, in anybody's name */
		for (unsigned i = 0; i < PROMISES_SESSIONS; i++)
			promises->sessions[i].doubtful |= promises->sessions[i].key != 0;
	if (p && p->type == CONNECT && !c->version)
		connects(promises, now_ns, c, p, own);
	else if (p && p->type == CONNECT)
		lawful = false;
	if (!p || !lawful) {
		doubt(promises, c);
		return;
	}
	if (p->type == DISCONNECT && c->answered)
		disconnects(promises, client, p);
	else if (p->type == PUBLISH || p->type == PUBREL)
		flow_sent(c, p);
}

bool promises_received(struct promises *promises, uint64_t now_ns, unsigned client, const struct packet *p, struct due_breach *b)
{
	struct promised_client *c = &promises->clients[client];
	struct promised_session *s = session_of(promises, c->key);

	if (p->type == CONNACK)
		return connack(promises, now_ns, client, p, b);
	if (s && s->client == (int)client)
		s->heard_ns = now_ns;
	if (p->type == DISCONNECT)
		return disconnect(promises, now_ns, client, p, b);
	return (p->type != PUBREC && p->type != PUBCOMP) || flow_received(c, client, p, b);
}

bool promises_judge(enum version version, const char *clause)
{
	static const char *const in_5[] = { "MQTT-3.2.2-3", "MQTT-3.2.2-22", "MQTT-3.1.2-22", "MQTT-4.1.0-1" };

	for (unsigned i = 0; version == MQTT_5 && i < sizeof(in_5) / sizeof(*in_5); i++)
		if (!strcmp(in_5[i], clause))
			return true;
	return version == MQTT_3_1_1 && !strcmp(clause, "MQTT-3.2.2-2");
}

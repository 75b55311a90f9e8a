#include "harness/offences.h"

#include <stdio.h>
#include <string.h>

#include "codec/fields.h"

/* ---- what is judged ---- */

enum judged { NOT, BY_ANSWER, BY_SERVICE };

/* [MQTT-3.1.4-1] its form is to be validated, whoever detects what; in 5 that is said of no string and of no value. */
static enum judged connect_judged(enum rule rule, enum version version)
{
	switch (rule) {
	case RULE_CONNECT_FORM: case RULE_TRUNCATED: case RULE_TRAILING_BYTES: case RULE_CONNECT_RESERVED: case RULE_CLIENT_ID_MISSING: case RULE_EMPTY_ID_KEPT:
	case RULE_WILL_FIELDS: case RULE_WILL_QOS_3: case RULE_WILL_QOS_WITHOUT_WILL: case RULE_WILL_RETAIN_WITHOUT_WILL: case RULE_WILL_TOPIC_WILDCARD: case RULE_TOPIC_EMPTY:
	case RULE_USER_NAME_MISSING: case RULE_PASSWORD_MISSING: case RULE_PASSWORD_WITHOUT_USER:
	case RULE_PROPERTY_LENGTH_MISSING: case RULE_PROPERTY_LENGTH: case RULE_PROPERTY_UNKNOWN: case RULE_PROPERTY_MISPLACED: case RULE_PROPERTY_REPEATED:
		return BY_ANSWER;
	case RULE_RESERVED_FLAGS: case RULE_UTF8: case RULE_NUL: case RULE_CLIENT_ID_UTF8: case RULE_WILL_TOPIC_UTF8: case RULE_USER_NAME_UTF8:
		return version == MQTT_5 ? NOT : BY_ANSWER;
	default:
		return NOT;
	}
}

/* [MQTT-4.8.0-1] any violation closes the connection, unless it is stated otherwise; SUBACK can refuse a filter. */
static enum judged judged_in_3_1_1(enum rule rule, unsigned type)
{
	switch (rule) {
	case RULE_DUP_QOS_0:		/* nobody is asked to look at it */
	case RULE_OVERLONG:
	case RULE_CONNACK_CODE: case RULE_ACK_FLAGS: case RULE_SESSION_REFUSED: case RULE_SUBACK_CODE: case RULE_NO_CODES:	/* a server's */
		return NOT;
	case RULE_FILTER_HASH: case RULE_FILTER_PLUS:
		return type == SUBSCRIBE ? BY_ANSWER : NOT;
	case RULE_TOPIC_EMPTY:
		return type == PUBLISH ? BY_SERVICE : type == SUBSCRIBE ? BY_ANSWER : NOT;
	case RULE_PACKET_ID_ZERO:	/* of an acknowledgement it is an unknown one */
		return type == PUBLISH || type == SUBSCRIBE || type == UNSUBSCRIBE ? BY_SERVICE : NOT;
	default:
		return BY_SERVICE;
	}
}

/* [MQTT-4.13.1-1] binds a server that detects what is wrong: it need not look. But where a clause says that it must, and to take what is wrong is no way to treat it. */
static enum judged judged_in_5(enum rule rule, unsigned type)
{
	switch (rule) {
	case RULE_PACKET_TYPE: case RULE_PUBREL_FLAGS: case RULE_SUBSCRIBE_FLAGS: case RULE_UNSUBSCRIBE_FLAGS: case RULE_DISCONNECT_FLAGS: case RULE_AUTH_FLAGS:
	case RULE_SUBSCRIBE_OPTIONS:
		return BY_SERVICE;
	case RULE_QOS_3: case RULE_TOPIC_WILDCARD: case RULE_ALIAS_ZERO: case RULE_SUBSCRIBE_EMPTY: case RULE_UNSUBSCRIBE_EMPTY: case RULE_SUBSCRIBE_QOS_3:
	case RULE_RETAIN_HANDLING_3: case RULE_SHARED_NO_LOCAL:
		return BY_ANSWER;
	case RULE_FILTER_HASH: case RULE_FILTER_PLUS:
		return type == SUBSCRIBE ? BY_ANSWER : NOT;
	case RULE_TOPIC_EMPTY:
		return type == PUBLISH || type == SUBSCRIBE ? BY_ANSWER : NOT;
	default:
		return NOT;
	}
}

static enum judged how_judged(enum rule rule, unsigned type, enum version version)
{
	if (version == MQTT_3_1)
		return NOT;
	if (type == CONNECT)
		return connect_judged(rule, version);
	return version == MQTT_5 ? judged_in_5(rule, type) : judged_in_3_1_1(rule, type);
}

/* The server's own, where it has one; rules that have no number are CONNECT's form. */
static const char *clause_of(enum rule rule, unsigned type, enum version version)
{
	const char *id = rule_id(rule, version);

	if (type == CONNECT && strncmp(id, "MQTT-", 5))
		return "MQTT-3.1.4-1";
	if (version != MQTT_5 && rule == RULE_EMPTY_ID_KEPT)
		return "MQTT-3.1.3-8";
	if (version != MQTT_5 && rule == RULE_RESERVED_FLAGS && type != CONNECT)
		return "MQTT-2.2.2-2";
	return id;
}

/* ---- what is sent ---- */

void offences_open(struct offences *o)
{
	*o = (struct offences){ .version = MQTT_3_1_1 };
}

/* Which packet answers it; PUBREC counts as PUBACK. */
static uint8_t answer_to(const struct packet *p)
{
	switch (p->type) {
	case CONNECT:     return CONNACK;
	case PUBLISH:     return publish_qos(p) ? PUBACK : 0;
	case PUBREL:      return PUBCOMP;
	case SUBSCRIBE:   return SUBACK;
	case UNSUBSCRIBE: return UNSUBACK;
	default:          return 0;
	}
}

/* Another packet has that id now: which of them an answer means cannot be said. */
static bool disputes(struct offences *o, uint8_t answer, uint16_t id)
{
	bool some = false;

	for (unsigned i = 0; i < o->n_taken;)
		if (o->taken[i].answer == answer && o->taken[i].id == id) {
			o->taken[i] = o->taken[--o->n_taken];
			some = true;
		} else {
			i++;
		}
	return some;
}

static void keep_open(struct offences *o, uint8_t answer, uint16_t id)
{
	for (unsigned i = 0; i < o->n_open; i++)
		if (o->open[i].answer == answer && o->open[i].id == id) {
			o->open[i].n += o->open[i].n < UINT8_MAX;
			return;
		}
	if (o->n_open == OFFENCES_OPEN)
		o->crowded = true;
	else
		o->open[o->n_open++] = (struct awaited){ id, answer, 1 };
}

static bool is_open(const struct offences *o, uint8_t answer, uint16_t id)
{
	for (unsigned i = 0; i < o->n_open; i++)
		if (o->open[i].answer == answer && o->open[i].id == id)
			return true;
	return false;
}

static void await(struct offences *o, uint8_t answer, uint16_t id)
{
	if (!answer || answer == CONNACK)
		return;
	if (disputes(o, answer, id))
		keep_open(o, answer, id);
	keep_open(o, answer, id);
}

static void offends(struct offences *o, enum judged how, struct offending what)
{
	if (how == BY_SERVICE && !o->served.clause)
		o->served = what;
	if (!what.answer)
		return;
	if (disputes(o, what.answer, what.id)) {
		keep_open(o, what.answer, what.id);
		how = NOT;
	}
	if (how == NOT || o->n_taken == OFFENCES_TAKEN || is_open(o, what.answer, what.id))
		await(o, what.answer, what.id);
	else
		o->taken[o->n_taken++] = what;
}

/* What the standard says of the version: only these two, by their own name. */
static enum version version_of(const uint8_t *bytes, const struct frame *frame)
{
	static const uint8_t name[] = { 0, 4, 'M', 'Q', 'T', 'T' };
	const uint8_t *level = bytes + frame->header_size + sizeof(name);

	if (frame->size <= frame->header_size + sizeof(name) || memcmp(level - sizeof(name), name, sizeof(name)))
		return 0;
	return *level == MQTT_5 || *level == MQTT_3_1_1 ? *level : 0;
}

static void connects(struct offences *o, const uint8_t *bytes, const struct frame *frame, const struct packet *p)
{
	o->n_connects += o->n_connects < UINT8_MAX;
	if (o->n_connects > 1)
		return;
	if (p)
		o->version = p->version;
	else if (version_of(bytes, frame))
		o->version = (uint8_t)version_of(bytes, frame);
	o->over |= o->version == MQTT_3_1 || !version_of(bytes, frame);
}

/* [5 MQTT-3.3.2-7] what it names is known to this connection only. */
static bool alias_is_unknown(struct offences *o, const struct packet *p)
{
	struct value alias;

	if (p->type != PUBLISH || p->version != MQTT_5 || !property_find(p->properties, PROP_topic_alias, &alias) || alias.number >= OFFENCES_ALIASES)
		return false;
	if (!p->topic.len)
		return !(o->aliases >> alias.number & 1);
	o->aliases |= UINT64_C(1) << alias.number;
	return false;
}

/* By what was sent before. fault: what is wrong with it by itself; NULL. */
static enum judged by_flow(struct offences *o, const struct packet *p, const struct finding *fault, struct offending *what)
{
	if (o->disconnected && o->version == MQTT_3_1_1) {
		what->clause = "MQTT-3.14.4-2";
		what->why = "it stands behind DISCONNECT";
		return BY_SERVICE;
	}
	if (what->type == CONNECT && o->n_connects > 1) {	/* whatever else is wrong with it */
		what->clause = "MQTT-3.1.0-2";
		what->why = "it is the second";
		return BY_SERVICE;
	}
	if (!fault && alias_is_unknown(o, p)) {
		what->clause = "topic-alias-unknown";
		what->why = "this connection has not mapped its alias";
		return BY_ANSWER;
	}
	return NOT;
}

static enum judged by_form(const struct offences *o, const struct finding *fault, struct offending *what)
{
	what->clause = clause_of(fault->rule, what->type, (enum version)o->version);
	what->why = fault->why;
	if (fault->rule == RULE_SHARED_NO_LOCAL && o->no_shared)
		return NOT;		/* it is a filter like others there */
	if (fault->rule == RULE_TOPIC_EMPTY && fault->field && strstr(fault->field, "response_topic"))
		return NOT;		/* which is forwarded, and no server's matter */
	return how_judged(fault->rule, what->type, (enum version)o->version);
}

/* Of what a client does not send at all that is what is wrong, whether it can be read or not. */
static bool is_servers(unsigned type)
{
	return type == CONNACK || type == SUBACK || type == UNSUBACK || type == PINGRESP;
}

static void note(struct offences *o, const struct packet *p, const struct finding *fault, struct offending what)
{
	enum judged how;
	struct finding finding = { .rule = RULE_DIRECTION, .why = "a client does not send this" };

	if (is_servers(what.type) || (p && check(p, FROM_CLIENT, &finding) != CODEC_OK))
		fault = &finding;
	how = by_flow(o, p, fault, &what);
	if (fault && !what.clause)
		how = by_form(o, fault, &what);
	if (what.clause && !o->over)
		offends(o, how, what);
	else
		await(o, what.answer, what.id);
	if (!o->why)
		o->why = p ? what.why : "it cannot be read";
	if (what.type == DISCONNECT && p) {
		o->disconnected = true;
		o->over |= o->version == MQTT_5 && !what.clause;	/* no reaction is spelled out to what follows */
	}
	o->crowded |= !p;		/* under which id it is answered, if it is, who knows */
}

void offences_sent(struct offences *o, const uint8_t *bytes, const struct frame *frame, const struct packet *p, const struct finding *unreadable)
{
	struct offending what = { .type = bytes[0] >> 4 };
	bool first = !o->n_connects;

	if (what.type == CONNECT)
		connects(o, bytes, frame, p);
	if (p) {
		what.answer = answer_to(p);
		what.id = p->packet_id;
	}
	if (what.type == CONNECT) {
		what.answer = CONNACK;
		what.id = o->n_connects;
	} else if (first) {			/* [MQTT-3.1.0-1] */
		o->why = o->why ? o->why : "no CONNECT yet";
		o->unasked = o->over = true;
	}
	if (what.type == PINGREQ)		/* any of them may be answered */
		o->pings += o->pings < UINT16_MAX;
	note(o, p, p ? NULL : unreadable, what);
	if (!o->why && frame->overlong && o->version == MQTT_5)
		o->why = "overlong Remaining Length";
}

void offences_unframed(struct offences *o)
{
	o->why = o->why ? o->why : "not framed as a packet";
	o->over = true;
}

/* ---- what comes ---- */

static bool tell(const struct offences *o, const struct offending *what, const char *how, struct offence_breach *breach)
{
	breach->version = o->version;
	breach->type = what->type;
	breach->clause = what->clause;
	snprintf(breach->text, sizeof(breach->text), "%s %s%s%s", how, what->type == AUTH && o->version != MQTT_5 ? "packet type 15" : packet_name((enum packet_type)what->type),
	         what->why ? ": " : "", what->why ? what->why : "");
	return false;
}

static bool says_taken(const struct packet *p)
{
	for (size_t i = 0; i < p->list.len; i++)
		if (p->list.at[i] >= 0x80)
			return false;
	return p->reason < 0x80;
}

static bool answered(struct offences *o, const struct packet *p, uint8_t answer, uint16_t id, struct offence_breach *breach)
{
	for (unsigned i = 0; i < o->n_open; i++)
		if (o->open[i].answer == answer && o->open[i].id == id) {
			if (!--o->open[i].n)
				o->open[i] = o->open[--o->n_open];
			return true;
		}
	for (unsigned i = 0; i < o->n_taken; i++)
		if (o->taken[i].answer == answer && o->taken[i].id == id) {
			struct offending what = o->taken[i];
			char how[40];

			o->taken[i] = o->taken[--o->n_taken];
			if (o->over || (o->crowded && answer != CONNACK) || (answer == CONNACK ? p->reason != 0 : !says_taken(p)))
				return true;
			snprintf(how, sizeof(how), "%s to", packet_name((enum packet_type)p->type));
			return tell(o, &what, how, breach);
		}
	return true;
}

static bool is_answer(unsigned type)
{
	return type >= PUBLISH && type != PUBREL && type != DISCONNECT && type != AUTH;
}

bool offences_received(struct offences *o, const struct packet *p, struct offence_breach *breach)
{
	const struct offending before = { .clause = "MQTT-3.2.0-1", .type = p->type };
	struct value shared;
	bool fine;

	if (o->unasked && !o->n_connacks && is_answer(p->type) && (!o->n_connects || o->version != MQTT_3_1)) {
		o->n_connacks = 1;		/* once is enough */
		return tell(o, &before, "no CONNACK came before", breach);
	}
	switch (p->type) {
	case CONNACK:
		o->n_connacks += o->n_connacks < UINT8_MAX;
		o->no_shared = property_find(p->properties, PROP_shared_subscription_available, &shared) && !shared.number;
		fine = answered(o, p, CONNACK, o->n_connacks, breach);
		o->over |= p->reason != 0;
		return fine;
	case PINGRESP:
		o->pings -= o->pings > 0;
		return true;
	case DISCONNECT:
		o->over = true;
		return true;
	case PUBACK: case PUBREC:
		return answered(o, p, PUBACK, p->packet_id, breach);
	case PUBCOMP: case SUBACK: case UNSUBACK:
		return answered(o, p, p->type, p->packet_id, breach);
	default:
		return true;
	}
}

/* ---- whether it is served on ---- */

enum { NOT_ASKED, ASKED, ANSWERED, ASKED_AGAIN, KNOWN };

enum offences_turn offences_turn(struct offences *o, uint64_t now_ns, uint64_t grace_ns, uint64_t patience_ns, uint64_t *deadline_ns, struct offence_breach *breach)
{
	if (!o->served.clause || o->over || o->phase == KNOWN)
		return OFFENCES_SETTLED;
	if ((o->phase == ASKED || o->phase == ASKED_AGAIN) && !o->pings) {
		o->phase++;
		o->since_ns = now_ns;
	}
	switch (o->phase) {
	case KNOWN:
		tell(o, &o->served, "the target goes on serving behind", breach);
		return OFFENCES_BREACH;
	case ANSWERED:
		*deadline_ns = o->since_ns + grace_ns;
		if (now_ns < *deadline_ns)
			return OFFENCES_WAIT;
		/* fall through */
	case NOT_ASKED:
		o->phase++;
		o->since_ns = now_ns;
		return OFFENCES_ASK;
	default:
		*deadline_ns = o->since_ns + patience_ns;
		if (now_ns < *deadline_ns)
			return OFFENCES_WAIT;
		o->phase = KNOWN;		/* nobody answers */
		return OFFENCES_SETTLED;
	}
}

/* ---- which clauses ---- */

bool offences_judge(enum version version, const char *clause)
{
	static const char *const others[] = { "MQTT-3.1.0-2", "MQTT-3.2.0-1", "MQTT-3.14.4-2", "topic-alias-unknown" };
	static const uint8_t types[] = { CONNECT, PUBLISH, PUBREL, SUBSCRIBE, UNSUBSCRIBE, PINGREQ };

	for (unsigned i = 0; i < sizeof(others) / sizeof(*others); i++)
		if (!strcmp(clause, others[i]))
			return version != MQTT_3_1;
	for (unsigned rule = 0; rule < N_RULES; rule++)
		for (unsigned i = 0; i < sizeof(types); i++)
			if (how_judged((enum rule)rule, types[i], version) != NOT && !strcmp(clause, clause_of((enum rule)rule, types[i], version)))
				return true;
	return false;
}

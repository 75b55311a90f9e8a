#include "reference-broker/broken.h"
#include "reference-broker/internal.h"

#include <stdlib.h>

#include "codec/reader.h"

/* ---- refusing ---- */

/* What 3.1 and 3.1.1 say for a reason of 5; 0: no code fits, so nothing is said. [3.1.1 MQTT-3.2.2-6] */
static unsigned return_code(unsigned reason)
{
	switch (reason) {
	case 0x84: return 1;
	case 0x85: return 2;
	case 0x88: case 0x89: case 0x97: case 0x9c: case 0x9d: return 3;
	case 0x86: return 4;
	case 0x87: return 5;
	default: return 0;
	}
}

/* With properties, unless the client does not take as much. */
static void refuse_with(struct link *link, unsigned reason, struct span properties, const char *why)
{
	struct packet answer = { .type = CONNACK, .reason = (uint8_t)reason, .properties = properties };

	if (link->version != MQTT_5)
		answer.reason = (uint8_t)return_code(reason);
	if (answer.reason && !link_answer(link, &answer, why) && properties.len) {
		answer.properties.len = 0;
		link_send(link, &answer);
	}
	if (!refused_by_fault(link))
		link_end(link, true);
}

void refuse_connect(struct link *link, uint8_t version, unsigned reason, const char *why)
{
	link->version = version;
	refuse_with(link, reason, (struct span){ 0 }, why);
}

/* ---- which version ---- */

static bool speaks(const struct broker *b, unsigned version)
{
	return b->config.versions >> version & 1;
}

/*
 * The version that name and level ask for. 0: none of ours, and refused already. The level must be known
 * before the rest can be read, since it says how.
 */
static unsigned choose_version(struct link *link, struct span bytes)
{
	const struct broker *b = link->broker;
	struct reader r = reader_over(bytes);
	unsigned old = speaks(b, MQTT_3_1_1) || speaks(b, MQTT_3_1) ? MQTT_3_1_1 : MQTT_5;

	rd_u8(&r);
	rd_varint(&r, NULL);

	struct span name = rd_binary(&r);
	unsigned level = rd_u8(&r);

	if (r.why) {
		if (!unreadable_by_fault(link, TAKE_NO_LEVEL))
			link_end(link, true);
		return 0;
	}
	if (span_is(name, "MQIsdp") && level == MQTT_3_1 && speaks(b, MQTT_3_1))
		return MQTT_3_1;
	if (span_is(name, "MQTT") && (level == MQTT_3_1_1 || level == MQTT_5) && speaks(b, level))
		return level;

	unsigned by_fault = version_by_fault(b, name, level);

	if (by_fault)
		return by_fault;
	/*
	 * [3.1.1 MQTT-3.1.2-2] a level that we do not speak is told so, in the oldest form that we do; [3.1.1
	 * MQTT-3.1.2-1] another protocol's client is not, but in 5, which has a code for that.
	 */
	if (level == MQTT_5 && speaks(b, MQTT_5))
		refuse_connect(link, MQTT_5, 0x84, "the protocol name is MQTT");
	else if (span_is(name, "MQTT") || span_is(name, "MQIsdp"))
		refuse_connect(link, (uint8_t)old, 0x84, NULL);
	else
		link_end(link, true);
	return 0;
}

/* ---- whether it may be served ---- */

static bool id_refused(const struct link *link, const struct packet *p)
{
	size_t characters = 0;

	if (not_welcome_by_fault(link, p))
		return true;
	if (link->version == MQTT_3_1) {	/* 1 to 23 characters */
		for (size_t i = 0; i < p->client_id.len; i++)
			characters += (p->client_id.at[i] & 0xc0) != 0x80;
		return (characters < 1 || characters > 23) && !broken(link, ANY_ID_3_1);
	}
	if (p->client_id.len || broken(link, TAKE_EMPTY_ID))
		return false;
	if (!link->broker->config.empty_client_id)
		return true;
	return link->version == MQTT_3_1_1 && !(p->connect_flags & CONNECT_CLEAN_START);	/* [3.1.1 MQTT-3.1.3-8] */
}

/* Who the client says it is; at NULL: it does not. */
static struct span user_of(const struct packet *p)
{
	return p->connect_flags & CONNECT_USER_NAME ? p->user_name : (struct span){ 0 };
}

/*
 * Who has shown a certificate is who stands in it, whether CONNECT names that user or none. One that names another is refused
 * rather than taken for what it does not claim to be. False when it was.
 */
static bool is_itself(struct link *link, struct packet *p)
{
	struct span user = user_of(p);

	if (!link->identity.len)
		return true;
	if (user.at && !span_equal(user, link->identity)) {
		refuse_connect(link, link->version, 0x86, "the certificate is another user's");
		return false;
	}
	p->connect_flags |= CONNECT_USER_NAME;
	p->user_name = link->identity;
	return true;
}

/* [5 MQTT-3.1.4-2] False when it was refused. */
static bool logged_in(struct link *link, const struct packet *p)
{
	const struct broker_config *config = &link->broker->config;
	struct span user = user_of(p);
	enum login verdict = LOGIN_RIGHT;

	if (link->identity.len || (!config->login && !config->identities))
		return true;
	if (!config->login) {
		refuse_connect(link, link->version, 0x87, "a certificate that names its client is asked for");
		return false;
	}
	if (!user.at) {
		refuse_connect(link, link->version, 0x87, "a user name and its password are asked for");
		return false;
	}
	if (!broken(link, ANY_LOGIN))
		verdict = config->login(config->users, user, p->connect_flags & CONNECT_PASSWORD ? p->password : (struct span){ 0 },
		                        link->broker->now_ns);
	if (verdict == LOGIN_WRONG)
		refuse_connect(link, link->version, 0x86, "no user has this name and password");
	else if (verdict == LOGIN_BUSY)
		refuse_connect(link, link->version, 0x89, "too many logins are being checked; try again later");
	return verdict == LOGIN_RIGHT;
}

/* True: it was sent elsewhere. 3.1 and 3.1.1 can only be told that nobody serves here. */
static bool redirected(struct link *link)
{
	const struct broker_config *config = &link->broker->config;
	uint8_t room[BROKER_TEXT_MAX + 8];
	struct writer w = writer_to(room, sizeof(room));

	if (!config->redirect.len)
		return false;
	property_write_bytes(&w, PROP_server_reference, config->redirect);
	refuse_with(link, config->redirect_for_good ? 0x9d : 0x9c, wr_span(&w), NULL);
	return true;
}

/* False when it was refused. */
static bool admissible(struct link *link, const struct packet *p, const struct finding *bad)
{
	if (bad && (bad->rule == RULE_EMPTY_ID_KEPT || bad->rule == RULE_CLIENT_ID_LENGTH_3_1))
		bad = NULL;		/* they have an answer of their own: return code 2 */
	if (bad) {
		refuse_connect(link, link->version, link->version == MQTT_5 ? reason_for(bad) : 0, bad->why);
		return false;
	}
	if (id_refused(link, p)) {
		refuse_connect(link, link->version, 0x85, "this client id is not served");
		return false;
	}
	return true;
}

/* Of who is let in. False when it was refused. */
static bool will_admissible(struct link *link, const struct packet *p)
{
	const struct broker_config *config = &link->broker->config;

	if (p->connect_flags & CONNECT_WILL && will_qos(p) > config->maximum_qos && !broken(link, TAKE_WILL_QOS_3)) {
		refuse_connect(link, link->version, 0x9b, "the will's QoS is above the maximum");	/* [5 MQTT-3.2.2-12] */
		return false;
	}
	if (link->version == MQTT_5 && p->connect_flags & CONNECT_WILL_RETAIN && !config->retain_available &&
	    !broken(link, WILL_RETAIN_TAKEN)) {
		refuse_connect(link, link->version, 0x9a, "nothing is retained here");		/* [5 MQTT-3.2.2-13] */
		return false;
	}
	return true;
}

/* ---- serving ---- */

#define ASSIGNED_LEN 22

static struct span assign_id(struct link *link, uint8_t room[ASSIGNED_LEN])
{
	static const char digits[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
	struct span id = { room, ASSIGNED_LEN };

	do {
		for (unsigned i = 0; i < ASSIGNED_LEN; i++)
			room[i] = (uint8_t)digits[broken(link, ASSIGNED_ID_SAME) ? i : broker_random(link->broker) % 62];
	} while (session_find(link->broker, id) && !broken(link, ASSIGNED_ID_SAME));
	return id;
}

static uint32_t at_most(uint32_t wish, uint32_t most)
{
	return wish < most ? wish : most;
}

static uint32_t wished_expiry(const struct link *link, const struct packet *p)
{
	if (link->version == MQTT_5)	/* absent means 0, whatever Clean Start says */
		return (uint32_t)property_number(p->properties, PROP_session_expiry_interval,
		                                 broken(link, EXPIRY_NEVER_BY_DEFAULT) ? FOREVER : 0);
	return p->connect_flags & CONNECT_CLEAN_START ? 0 : FOREVER;
}

/* What the client may and wants, for as long as this connection lasts. */
static void take_terms(struct link *link, const struct packet *p)
{
	const struct broker_config *config = &link->broker->config;
	unsigned keep_alive = p->keep_alive;

	link->expiry_was_zero = !wished_expiry(link, p) && !broken(link, EXPIRY_RAISED);
	link->receive_maximum = 65535;
	link->problem_information = true;
	if (link->version == MQTT_5) {
		link->receive_maximum = (uint16_t)property_number(p->properties, PROP_receive_maximum, 65535);
		link->alias_maximum = (uint16_t)property_number(p->properties, PROP_topic_alias_maximum, 0);
		link->problem_information = property_number(p->properties, PROP_request_problem_information, 1);
		if (config->server_keep_alive && !broken(link, KEEP_ALIVE_OF_CLIENT))
			keep_alive = config->server_keep_alive;
	}
	if (!keep_alive && broken(link, KEEP_ALIVE_ZERO_ENFORCED))
		keep_alive = 5;
	link->keep_alive_ns = keep_alive * SECOND_NS * 3 / 2;	/* [MQTT-3.1.2-24] [5 MQTT-3.1.2-22] */
	link->heard_ns = link->broker->now_ns;
	deadline_set(&link->broker->deadlines, &link->deadline,
	             link->keep_alive_ns ? link->heard_ns + link->keep_alive_ns : NEVER);
}

/* [MQTT-3.1.4-2] [5 MQTT-3.1.4-3] whoever has the client id now must go */
static struct session *take_over(struct link *link, struct span id)
{
	struct session *s = session_find(link->broker, id);
	struct packet bye = { .type = DISCONNECT, .reason = 0x8e, .written = WRITTEN_REASON };

	if (!s || !s->link || taken_over_by_fault(link, s))
		return s && s->taken_over ? NULL : s;
	if (s->link->version == MQTT_5)
		link_answer(s->link, &bye, "another connection has this client id");
	link_end(s->link, true);
	return session_find(link->broker, id);		/* it may have ended with its connection */
}

/*
 * A session is its user's: nobody else may end its connection, read what waits for it or send its will away. The
 * client id is what is wrong with such a CONNECT, with another one it would be served: hence 0x85, not 0x87. It comes
 * before the steps of [3.1.1 MQTT-3.1.4-2] [5 MQTT-3.1.4-3], which are for a CONNECT that has passed all checks.
 */
static bool belongs_to_another(const struct link *link, struct span user, struct span id)
{
	const struct session *s = session_find(link->broker, id);

	return s && !session_of(s, user) && !broken(link, SESSION_OF_ANYBODY);
}

/*
 * A client relies on its will, and nothing could tell it later that the will was not published: it hears so at once. What
 * is denied after that is kept back when it is due.
 */
static bool will_denied(const struct link *link, const struct packet *p, struct span user, struct span id)
{
	return p->connect_flags & CONNECT_WILL && !client_may(link->broker, user, id, ACT_PUBLISH, p->will_topic) &&
	       !broken(link, DENIED_WILL_SENT);
}

/* The session that this CONNECT is for, resumed or new; NULL when a bound forbids it. */
static struct session *open_session(struct link *link, const struct packet *p, struct span user, struct span id, bool *present)
{
	struct broker *b = link->broker;
	struct session *s = take_over(link, id);
	struct message *will = NULL;

	if (s && p->connect_flags & CONNECT_CLEAN_START && !broken(link, CLEAN_START_IGNORED)) {
		session_end(s);		/* [MQTT-3.1.2-6] [5 MQTT-3.1.2-4] */
		s = NULL;
	}
	*present = s;
	if (p->connect_flags & CONNECT_WILL) {
		will = will_new(b, p, id);
		if (!will)
			return NULL;
	}
	if (!s)
		s = session_new(b, id, user);
	if (!s) {
		message_unref(b, will);
		return NULL;
	}
	deadline_stop(&b->deadlines, &s->deadline);
	will = will_by_fault(link, s, will);
	message_unref(b, s->will);	/* [5 MQTT-3.1.3-9] came back in time */
	s->will = will;
	s->will_delay = (uint32_t)property_number(p->will_properties, PROP_will_delay_interval, 0);
	s->version = link->version;
	s->expiry_interval = at_most(wished_expiry(link, p), b->config.session_expiry_maximum);
	for (uint32_t i = 0; i < s->incoming.n; i++)
		s->incoming.ids[i] &= ~1u;
	s->link = link;
	link->session = s;
	link->state = CONNECTED;
	return s;
}

/* What we offer less of than the standard's default, and what we decided for the client. */
static void write_terms(struct writer *w, const struct link *link, const struct packet *p, struct span assigned, struct span data)
{
	const struct broker_config *c = &link->broker->config;
	uint32_t expiry = link->session->expiry_interval;
	struct value method;

	if (expiry != wished_expiry(link, p))
		property_write_number(w, PROP_session_expiry_interval, expiry);
	if (c->receive_maximum != 65535)
		property_write_number(w, PROP_receive_maximum, c->receive_maximum);
	if (c->maximum_qos < 2)		/* [5 MQTT-3.2.2-9] */
		property_write_number(w, PROP_maximum_qos, c->maximum_qos);
	if (!c->retain_available)
		property_write_number(w, PROP_retain_available, 0);
	if (c->maximum_packet_size < VARINT_MAX + 5)
		property_write_number(w, PROP_maximum_packet_size, c->maximum_packet_size);
	if (assigned.len && !broken(link, ASSIGNED_ID_HIDDEN))		/* [5 MQTT-3.2.2-16] */
		property_write_bytes(w, PROP_assigned_client_identifier, assigned);
	if (c->topic_alias_maximum)
		property_write_number(w, PROP_topic_alias_maximum, c->topic_alias_maximum);
	if (!c->wildcard_available)
		property_write_number(w, PROP_wildcard_subscription_available, 0);
	if (!c->subscription_identifiers_available)
		property_write_number(w, PROP_subscription_identifier_available, 0);
	if (!c->shared_available)
		property_write_number(w, PROP_shared_subscription_available, 0);
	if (broken(link, ANY_AUTHENTICATION) && property_find(p->properties, PROP_authentication_method, &method) &&
	    method.bytes.len < 32 && !link->authenticated)
		property_write_bytes(w, PROP_authentication_method, method.bytes);
	if (link->authenticated)		/* [5 MQTT-4.12.0-5] */
		property_write_bytes(w, PROP_authentication_method, c->authentication->method);
	if (link->authenticated && data.at)
		property_write_bytes(w, PROP_authentication_data, data);
	if (c->server_keep_alive)
		property_write_number(w, PROP_server_keep_alive, c->server_keep_alive);
}

static void welcome(struct link *link, const struct packet *p, struct span assigned, struct span data, bool present)
{
	uint8_t room[128 + 256 + BROKER_TEXT_MAX];	/* what is always short, the method and its data, a text of ours */
	struct writer w = writer_to(room, sizeof(room));
	struct packet answer = { .type = CONNACK, .ack_flags = present && !link->clean_start };
	struct span information = link->broker->config.response_information, terms;

	if (link->version == MQTT_5)
		write_terms(&w, link, p, assigned, data);
	if (link->version == MQTT_3_1 && !broken(link, PRESENT_IN_3_1))
		answer.ack_flags = 0;		/* it came with 3.1.1 */
	terms = wr_span(&w);
	/* [5 MQTT-3.1.2-28] only for who asks */
	if (link->version == MQTT_5 && information.len && property_number(p->properties, PROP_request_response_information, 0))
		property_write_bytes(&w, PROP_response_information, information);
	answer.properties = wr_span(&w);
	if (link_send(link, &answer))
		return;
	answer.properties = terms;		/* what is ours to leave out is left out where the client takes no more */
	if (!link_send(link, &answer))		/* one that cannot even take this was never accepted */
		link_end(link, false);
}

/* Who it is has been settled: user, at NULL for who named none. */
static void serve(struct link *link, const struct packet *p, struct span user, struct span data)
{
	uint8_t room[ASSIGNED_LEN];
	struct span assigned, id;
	bool present;

	if (redirected(link) || !will_admissible(link, p))
		return;
	assigned = p->client_id.len ? (struct span){ 0 } : assign_id(link, room);
	id = id_by_fault(link, p->client_id.len ? p->client_id : assigned, assigned.len != 0);
	if (belongs_to_another(link, user, id)) {
		refuse_connect(link, link->version, 0x85, "another user has this client id");
		return;
	}
	if (will_denied(link, p, user, id)) {
		refuse_connect(link, link->version, 0x87, "this client may not publish its will");
		return;
	}
	link->clean_start = p->connect_flags & CONNECT_CLEAN_START;
	if (!open_session(link, p, user, id, &present)) {
		refuse_connect(link, link->version, 0x97, "no room for another session");
		return;
	}
	take_terms(link, p);
	if (present && broken(link, CONNACK_LATE))
		deliver_resume(link);
	welcome(link, p, assigned, data, present);
	if (link->state == CONNECTED)
		resumed_by_fault(link, present);
	if (link->state == CONNECTED && present && !broken(link, CONNACK_LATE))
		deliver_resume(link);
}

void connect_authenticated(struct link *link, struct span bytes, struct span user_name, struct span data)
{
	struct packet p;
	struct finding finding;

	if (decode(bytes.at, bytes.len, link->version, &p, &finding) != CODEC_OK)
		abort();		/* it could be, before it was kept */
	serve(link, &p, user_name, data);
}

void handle_connect(struct link *link, struct span bytes, bool overlong)
{
	unsigned version = choose_version(link, bytes);
	struct packet p;
	struct finding finding;
	struct value v;
	bool bad;

	if (!version)
		return;
	link->version = (uint8_t)version;
	if (decode(bytes.at, bytes.len, version, &p, &finding) != CODEC_OK) {
		if (!bad_connect_by_fault(link, &finding))
			refuse_connect(link, link->version, version == MQTT_5 ? reason_for(&finding) : 0, finding.why);
		return;
	}
	p.version = (uint8_t)version;
	bad = !form_allowed(&p, overlong, &finding) &&
	      received_by_fault(link, bytes, &p, &finding) == REFUSED;
	if (bad && bad_connect_by_fault(link, &finding))
		return;
	if (version == MQTT_5 && property_find(p.properties, PROP_maximum_packet_size, &v) && v.number)
		link->maximum_packet_size = (uint32_t)v.number;
	if (!admissible(link, &p, bad ? &finding : NULL) || !is_itself(link, &p))
		return;
	if (version == MQTT_5 && property_find(p.properties, PROP_authentication_method, &v) && !broken(link, ANY_AUTHENTICATION))
		authentication_begin(link, &p, bytes);
	else if (logged_in(link, &p))
		serve(link, &p, user_of(&p), (struct span){ 0 });
}

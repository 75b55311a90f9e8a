#include "reference-broker/broken.h"
#include "reference-broker/internal.h"

#include <stdlib.h>

/*
 * Enhanced authentication [5 4.12]: an exchange of AUTH packets, before CONNACK or later on. What its data says is
 * config.authentication's affair.
 */

#define STEP_WORK 200		/* of cryptography, in the broker's steps */

struct exchange {
	void *state;			/* of the method, behind the CONNECT */
	size_t connect_len, cost;
	uint8_t connect[];		/* which waits for the outcome; none when the client is connected already */
};

size_t exchange_cost(const struct exchange *x)
{
	return x ? x->cost : 0;
}

void exchange_release(struct link *link)
{
	memory_give(link->broker, exchange_cost(link->exchange));
	free(link->exchange);
	link->exchange = NULL;
}

static bool exchange_begin(struct link *link, struct span connect)
{
	size_t at = (offsetof(struct exchange, connect) + connect.len + 15) / 16 * 16;
	size_t size = at + link->broker->config.authentication->state_size;
	struct exchange *x;

	if (!memory_take(link->broker, heap_size(size)))
		return false;
	x = calloc(1, size);
	if (!x) {
		memory_give(link->broker, heap_size(size));
		return false;
	}
	x->state = (uint8_t *)x + at;
	x->cost = heap_size(size);
	x->connect_len = connect.len;
	if (connect.len)
		memcpy(x->connect, connect.at, connect.len);
	link->exchange = x;
	return true;
}

/* As CONNACK says it before the client is connected, as DISCONNECT says it then. [5 MQTT-4.12.0-4, MQTT-4.12.1-2] */
static void reject(struct link *link, unsigned reason, const char *why)
{
	if (link->state == CONNECTED)
		link_fail(link, reason, why);
	else
		refuse_connect(link, link->version, reason, why);
}

/* [5 MQTT-4.12.0-5] every AUTH names the method. False: the client does not take a packet of that size. */
static bool send_auth(struct link *link, unsigned reason, struct span data, const char *why)
{
	uint8_t room[1024];
	struct writer w = writer_to(room, sizeof(room));
	struct packet auth = { .type = AUTH, .reason = (uint8_t)reason, .written = WRITTEN_REASON | WRITTEN_PROPERTIES };

	property_write_bytes(&w, PROP_authentication_method, link->broker->config.authentication->method);
	if (data.at)
		property_write_bytes(&w, PROP_authentication_data, data);
	auth.properties = wr_span(&w);
	return wr_fits(&w) && link_answer(link, &auth, why);
}

static void authenticated(struct link *link, struct span user_name, struct span answer)
{
	struct exchange *x = link->exchange;

	link->exchange = NULL;		/* the link may end on the way, and the answer lives in it */
	if (link->state != CONNECTED) {
		link->authenticated = true;
		connect_authenticated(link, span_of(x->connect, x->connect_len), user_name, answer);
	} else if (!session_of(link->session, user_name)) {
		link_fail(link, 0x87, "this is not who was authenticated before");
	} else if (!send_auth(link, 0x00, answer, "authenticated again")) {
		link_fail(link, 0x95, "the client takes no packet of that size");
	}
	memory_give(link->broker, x->cost);
	free(x);
}

static void take_data(struct link *link, struct span properties)
{
	const struct broker_config *config = &link->broker->config;
	struct span answer = { 0 }, user_name = { 0 };
	struct value data = { 0 };
	enum authenticated how;

	link->broker->work += STEP_WORK;
	property_find(properties, PROP_authentication_data, &data);
	how = config->authentication->step(config->users, link->exchange->state, data.bytes, &answer, &user_name);
	if (how == AUTHENTICATION_WRONG && user_name.at && broken(link, ANY_PROOF))
		how = AUTHENTICATION_RIGHT;
	if (how == AUTHENTICATION_RIGHT && link->state == CONNECTED && broken(link, NO_REAUTHENTICATION))
		how = AUTHENTICATION_WRONG;
	if (how == AUTHENTICATION_RIGHT && link->identity.len && !span_equal(user_name, link->identity))
		how = AUTHENTICATION_WRONG;		/* the certificate is another user's */
	if (how == AUTHENTICATION_WRONG)
		reject(link, 0x87, "the authentication failed");
	else if (how == AUTHENTICATION_RIGHT)
		authenticated(link, user_name, answer);
	else if (!send_auth(link, 0x18, answer, NULL))	/* [5 MQTT-4.12.0-2] */
		reject(link, 0x95, "the client takes no packet of that size");
}

static bool names_ours(const struct link *link, struct span properties)
{
	struct value method;

	return property_find(properties, PROP_authentication_method, &method) && link->broker->config.authentication &&
	       span_equal(method.bytes, link->broker->config.authentication->method);
}

void authentication_begin(struct link *link, const struct packet *connect, struct span bytes)
{
	if (!names_ours(link, connect->properties)) {
		refuse_connect(link, link->version, 0x8c, "this Authentication Method is not offered");	/* [5 MQTT-4.12.0-1] */
		return;
	}
	if (!exchange_begin(link, bytes)) {
		refuse_connect(link, link->version, 0x97, "no room to authenticate another client");
		return;
	}
	link->state = AUTHENTICATING;
	take_data(link, connect->properties);
}

/* An AUTH that belongs to an exchange, or begins one. */
static void take_auth(struct link *link, const struct packet *packet)
{
	bool again = packet->reason == 0x19 && link->state == CONNECTED;

	if (!names_ours(link, packet->properties) && !broken(link, METHOD_CHANGE_TAKEN)) {
		reject(link, 0x82, "AUTH names another Authentication Method than CONNECT");	/* [5 MQTT-4.12.0-5, MQTT-4.12.1-1] */
		return;
	}
	if (again && link->exchange) {
		reject(link, 0x82, "a re-authentication is under way already");
		return;
	}
	if (again && !exchange_begin(link, (struct span){ 0 })) {
		reject(link, 0x97, "no room to authenticate another client");
		return;
	}
	if (!again && packet->reason != 0x18 && !broken(link, ANY_AUTH_CODE)) {
		reject(link, 0x82, "AUTH goes on with 0x18");	/* [5 MQTT-4.12.0-3] */
		return;
	}
	if (!link->exchange) {
		if (!broken(link, STRAY_AUTH_IGNORED))
			reject(link, 0x82, "AUTH goes on with an authentication that nobody began");
		return;
	}
	take_data(link, packet->properties);
}

void handle_auth(struct link *link, const struct packet *packet)
{
	if (link->authenticated)
		take_auth(link, packet);
	else if (!broken(link, PLAIN_AUTH_IGNORED))
		link_fail(link, 0x82, "AUTH without an Authentication Method in CONNECT");	/* [5 MQTT-4.12.0-7] */
}

/* [5 MQTT-3.1.2-30] before CONNACK the client sends AUTH and DISCONNECT, nothing else */
void handle_authenticating(struct link *link, struct span bytes, bool overlong)
{
	struct packet packet;
	struct finding finding;

	if (decode(bytes.at, bytes.len, link->version, &packet, &finding) != CODEC_OK ||
	    (!form_allowed(&packet, overlong, &finding) &&
	     !(finding.rule == RULE_AUTH_CODE && broken(link, ANY_AUTH_CODE)))) {
		unsigned reason = reason_for(&finding);

		/* [5 MQTT-3.2.2-8] CONNACK has no codes for topics, filters and aliases; packets that have those are too early anyway */
		reject(link, reason == 0x81 ? reason : 0x82, finding.why);
	} else if (packet.type == DISCONNECT) {
		link_end(link, true);
		link->mute = broken(link, OPEN_AFTER_DISCONNECT);
	} else if (packet.type == AUTH) {
		take_auth(link, &packet);
	} else if (!broken(link, TAKEN_BEFORE_CONNACK)) {
		reject(link, 0x82, "before CONNACK there is only AUTH and DISCONNECT");
	}
}

#include "harness/load/client.h"

/* What a client has left in the broker, worked out from its role's steps when all is over: nothing is kept for it while the run is on. */

static const struct step *first_connect(const struct step *steps)
{
	for (const struct step *s = steps; s; s = s->next) {
		if (s->kind == STEP_CONNECTS || (s->kind == STEP_SEND && s->type == CONNECT))
			return s;
		const struct step *inside = first_connect(s->children);
		if (inside)
			return inside;
	}
	return NULL;
}

/* Whether the value is the same at the end as it was when it was sent. */
static bool stands(const struct expr *e)
{
	static const bool passing[] = {
		[EXPR_VAR] = true, [EXPR_ACTOR_FIELD] = true, [EXPR_RANDOM] = true, [EXPR_STAMP] = true, [EXPR_SCRAM] = true, [EXPR_PICK] = true, [EXPR_COLUMN] = false,
	};

	if (!e)
		return true;
	if (passing[e->kind])
		return false;
	for (uint32_t i = 0; i < e->n_items; i++)
		if (!stands(e->items[i]))
			return false;
	return stands(e->left) && stands(e->right);
}

static bool all_stand(const struct step *step)
{
	for (uint32_t i = 0; i < step->n_assigns; i++)
		if (!stands(step->assigns[i].value))
			return false;
	return true;
}

uint32_t engine_clients(const struct engine *e)
{
	return e->n_clients;
}

enum left engine_left(struct engine *e, uint32_t index, struct packet *packet)
{
	struct client *c = &e->clients[index];
	const struct step *connect = first_connect(role_of(c)->role->steps);
	struct builder b;

	if (!connect || connect->illegal)
		return LEFT_NONE;
	if (!all_stand(connect))
		return LEFT_UNKNOWN;
	if (!packet_of(c, connect, &b))
		return LEFT_UNKNOWN;
	b.packet.properties = span_of(b.properties.at, b.properties.len);
	bool kept = b.packet.version == MQTT_5 ? property_number(b.packet.properties, PROP_session_expiry_interval, 0) != 0
	                                       : !(b.packet.connect_flags & CONNECT_CLEAN_START);
	*packet = b.packet;
	packet->connect_flags = (uint8_t)((packet->connect_flags & (CONNECT_USER_NAME | CONNECT_PASSWORD)) | CONNECT_CLEAN_START);
	packet->properties = packet->will_properties = packet->will_topic = packet->will_payload = (struct span){ 0 };
	return kept ? LEFT_SESSION : LEFT_NONE;
}

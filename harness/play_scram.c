#include "harness/play.h"

#include <stdlib.h>

/*
 * scram(): what the client says next in its exchange. That is its proof when a challenge has come, and else the first
 * message of a new exchange, as the user whom the CONNECT names or --user gave.
 */

static bool begin(struct timeline *t, struct actor_state *a, const struct step *step, const struct packet *p, struct writer *w)
{
	static const char digits[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
	struct span user_name = t->stage->user_name, password = t->stage->password;
	uint8_t nonce[CLAIMANT_NONCE];
	struct random random;

	if (p->type == CONNECT && p->connect_flags & CONNECT_USER_NAME)
		user_name = region_copy(&t->region, p->user_name);
	else if (p->type == AUTH && a->claimant->user_name.at)
		user_name = a->claimant->user_name;
	if (p->type == CONNECT && p->connect_flags & CONNECT_PASSWORD)
		password = region_copy(&t->region, p->password);
	else if (p->type == AUTH && a->claimant->user_name.at)
		password = a->claimant->password;
	if (!user_name.at || !user_name.len || user_name.len > CLAIMANT_NAME_MAX) {
		give_up(t, VERDICT_ERROR, step, "scram() needs a user name of 1 to %d bytes, by --user or in the CONNECT", CLAIMANT_NAME_MAX);
		return false;
	}
	random_seed(&random, ++t->seed);
	for (size_t i = 0; i < sizeof(nonce); i++)
		nonce[i] = (uint8_t)digits[random_next(&random) % (sizeof(digits) - 1)];
	claimant_first(a->claimant, user_name, password, span_of(nonce, sizeof(nonce)), w);
	return true;
}

bool eval_scram(struct timeline *t, struct actor_state *a, const struct step *step, const struct expr *e,
                const struct packet *packet, struct value *value)
{
	enum { ROOM = 4 * CLAIMANT_NAME_MAX + CLAIMANT_CHALLENGE_MAX };
	uint8_t *room = arena_take(t->stage->scratch, ROOM);
	struct writer w = writer_to(room, ROOM);
	const char *why;

	if (!room) {
		give_up(t, VERDICT_ERROR, step, "scram() finds no room in this step");
		return false;
	}
	if (!a->claimant && !(a->claimant = calloc(1, sizeof(*a->claimant))))
		abort();
	if (packet->type == CONNECT || a->claimant->phase != CLAIMANT_CHALLENGED) {
		if (e->number) {
			give_up(t, VERDICT_ERROR, step, "scram(wrong) spoils the proof, and no challenge has come that asks for one");
			return false;
		}
		if (!begin(t, a, step, packet, &w))
			return false;
	} else if ((why = claimant_final(a->claimant, e->number, &w))) {
		give_up(t, VERDICT_INCONCLUSIVE, step, "the server's challenge is not one of SCRAM-SHA-256: %s", why);
		return false;
	}
	*value = (struct value){ .kind = VALUE_BYTES, .bytes = wr_span(&w) };
	return true;
}

bool scram_fits(const struct timeline *t, const struct value *v, const char **why)
{
	const struct claimant *c = t->offered ? t->offered->claimant : NULL;

	*why = v->kind != VALUE_BYTES ? "it is not there" : c ? claimant_check(c, v->bytes) : "the client has asked for nothing yet";
	return !*why;
}

void scram_received(struct actor_state *a, const struct packet *packet)
{
	struct value data;

	if (a->claimant && a->version == MQTT_5 && packet->type == AUTH && property_find(packet->properties, PROP_authentication_data, &data))
		claimant_challenged(a->claimant, data.bytes);
}

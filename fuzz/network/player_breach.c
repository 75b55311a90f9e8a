#include "fuzz/network/player_internal.h"

#include <stdio.h>

/* Breaches that the monitor does not see: what is not owed, and what must not be served. */

/* How long a broker may take to close after it has answered what lies behind the offence, when it is first seen to serve behind such a one: whether a machine that is busy closes late does not matter then. */
#define GRACE_NS UINT64_C(500000000)

static const char *const versions[] = { [MQTT_3_1] = "3.1", [MQTT_3_1_1] = "3.1.1", [MQTT_5] = "5" };

static bool is_accepted(const struct client *c, uint8_t version, const char *clause)
{
	const struct player_options *options = &c->play->player->options;

	return options->accepted && options->accepted(options->context, version, clause);
}

void play_breach(struct client *c, uint8_t version, const char *clause, enum packet_type type, const char *text)
{
	struct symptom *symptom = &c->play->played.symptom;

	if (symptom->oracle != ORACLE_NONE || is_accepted(c, version, clause))
		return;
	symptom->oracle = ORACLE_RULE;
	symptom->version = version;
	snprintf(symptom->clause, sizeof(symptom->clause), "%s", clause);
	snprintf(symptom->bucket, sizeof(symptom->bucket), "rule %s:%s %s", versions[version], clause, packet_name(type));
	snprintf(symptom->text, sizeof(symptom->text), "%s; to c%u", text, number_of(c));
}

/* ---- what must not be served ---- */

static void offended(struct client *c, const struct offence_breach *breach)
{
	play_breach(c, breach->version, breach->clause, (enum packet_type)breach->type, breach->text);
}

void play_note_offence(struct client *c, const struct packet *packet)
{
	struct offence_breach breach;

	if (!offences_received(&c->offences, packet, &breach))
		offended(c, &breach);
}

static bool is_proven(const struct player *player, const struct offences *o)
{
	for (unsigned i = 0; i < player->n_proven; i++)
		if (player->proven[i].clause == o->served.clause && player->proven[i].version == o->version)
			return true;
	return false;
}

static void prove(struct player *player, const struct offences *o)
{
	if (!is_proven(player, o) && player->n_proven < MOST_PROVEN)
		player->proven[player->n_proven++] = (struct known_offence){ o->served.clause, o->version };
}

static bool is_asked(const struct client *c)
{
	return c->offences.served.clause && client_serves(c) && c->play->played.symptom.oracle == ORACLE_NONE &&
	       !is_accepted(c, c->offences.version, c->offences.served.clause);
}

/* True: *deadline_ns is until when the client waits. */
static bool waits(struct client *c, uint64_t *deadline_ns)
{
	struct player *player = c->play->player;
	struct offence_breach breach;

	for (;;) {
		switch (offences_turn(&c->offences, player->options.loop->now_ns, is_proven(player, &c->offences) ? 0 : GRACE_NS,
		                      player->options.patience_ns, deadline_ns, &breach)) {
		case OFFENCES_ASK:
			play_pings(c);
			break;
		case OFFENCES_WAIT:
			return true;
		case OFFENCES_BREACH:
			prove(player, &c->offences);
			offended(c, &breach);
			return false;
		case OFFENCES_SETTLED:
			return false;
		}
	}
}

bool play_offences_settled(struct play *p, uint64_t *deadline_ns)
{
	uint64_t latest_ns = 0;

	for (struct client *c = p->clients; c < p->clients + MOVES_CLIENTS; c++) {
		uint64_t until_ns;

		if (is_asked(c) && waits(c, &until_ns) && until_ns > latest_ns)
			latest_ns = until_ns;
	}
	*deadline_ns = latest_ns;
	return !latest_ns;
}

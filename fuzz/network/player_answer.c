#include "fuzz/network/player_internal.h"

#include <stdio.h>

#include "codec/fields.h"
#include "codec/text.h"

/* What comes: the state kept, answers gathered and timed, and what the monitor says of it made a symptom. */

/* ---- states of answers ---- */

static uint32_t mix(uint32_t hash, unsigned value)
{
	hash = (hash ^ value) * 0x01000193u;
	return hash ^ hash >> 15;
}

/* In order of their numbers, each once; where there are too many the smallest stay, so that the order in which they came makes no difference. */
static void add_answer(struct played *played, uint32_t hash)
{
	unsigned n = played->n_answers, at = n;

	while (at && played->answers[at - 1] >= hash)
		at--;
	if (at < n && played->answers[at] == hash)
		return;
	if (n == MOST_ANSWERS) {
		if (at == n)
			return;
		n--;
	}
	memmove(&played->answers[at + 1], &played->answers[at], (n - at) * sizeof(played->answers[0]));
	played->answers[at] = hash;
	played->n_answers = (uint8_t)(n + 1);
}

/* These come when they come, whatever was sent since: with several packets under way that is a matter of chance. */
static bool comes_at_any_time(unsigned type)
{
	return type == CONNACK || type == SUBACK || type == UNSUBACK || type == PINGRESP || (type >= PUBLISH && type <= PUBCOMP);
}

void play_answer(struct play *p, const struct client *c, unsigned came, unsigned how)
{
	bool own = p->last_client == c - p->clients, reply = comes_at_any_time(came) && came != PUBLISH;
	uint32_t hash = 0x811c9dc5u;

	hash = mix(hash, c->version);
	hash = mix(hash, came);
	hash = mix(hash, how);
	hash = mix(hash, comes_at_any_time(came) ? NOTHING : c->last_sent);
	hash = mix(hash, reply || own);
	add_answer(&p->played, hash ? hash : 1);
}

static unsigned highest(struct span codes)
{
	unsigned code = 0;

	for (size_t i = 0; i < codes.len; i++)
		code = codes.at[i] > code ? codes.at[i] : code;
	return code;
}

static unsigned how_of(const struct packet *packet)
{
	switch ((enum packet_type)packet->type) {
	case PUBLISH:
		return packet->flags;
	case CONNACK:
		return packet->reason | (packet->ack_flags & 1u) << 8 | (unsigned)packet->version << 9;
	case SUBACK:
	case UNSUBACK:
		return highest(packet->list);
	default:
		return packet->reason;
	}
}

/* ---- how long answers take ---- */

static uint8_t answered_by(const struct packet *packet)
{
	switch ((enum packet_type)packet->type) {
	case CONNACK:  return CONNECT;
	case PUBACK:
	case PUBREC:   return PUBLISH;
	case PUBCOMP:  return PUBREL;
	case SUBACK:   return SUBSCRIBE;
	case UNSUBACK: return UNSUBSCRIBE;
	case PINGRESP: return PINGREQ;
	default:       return 0;
	}
}

static bool is_asked(const struct packet *packet)
{
	return packet->type == PUBLISH ? publish_qos(packet) > 0 :
	       packet->type == CONNECT || packet->type == PUBREL || packet->type == SUBSCRIBE || packet->type == UNSUBSCRIBE || packet->type == PINGREQ;
}

/* One too many takes the place of the oldest, which is timed no more. */
void client_asked(struct client *c, const struct packet *packet)
{
	struct asked *place = c->asked;

	if (!is_asked(packet))
		return;
	for (struct asked *a = c->asked; a < c->asked + ASKED; a++)
		if (!a->type || (place->type && a->sent_ns < place->sent_ns))
			place = a;
	*place = (struct asked){ .sent_ns = c->conn.loop->now_ns, .packet_id = packet->packet_id, .type = packet->type };
}

static void time_answer(struct client *c, const struct packet *packet)
{
	struct player *player = c->play->player;
	uint8_t type = answered_by(packet);

	for (struct asked *a = c->asked; type && a < c->asked + ASKED; a++) {
		uint64_t took_ns = c->conn.loop->now_ns - a->sent_ns;

		if (a->type != type || a->packet_id != packet->packet_id)
			continue;
		a->type = 0;
		if (took_ns > c->play->played.slowest_ns)
			c->play->played.slowest_ns = took_ns;
		player->answer_ns = player->answer_ns - player->answer_ns / 32 + took_ns / 32;
		return;
	}
}

/* ---- what is to be acknowledged ---- */

static void hear(struct client *c, const struct packet *packet)
{
	uint8_t answer = packet->type == PUBREL ? PUBCOMP : packet->type != PUBLISH || !publish_qos(packet) ? 0 : publish_qos(packet) == 1 ? PUBACK : PUBREC;

	if (!answer)
		return;
	for (struct heard *h = c->heard; h < c->heard + HEARD; h++)
		if (h->answer == answer && h->packet_id == packet->packet_id)
			return;
	c->heard[c->next_heard++ % HEARD] = (struct heard){ packet->packet_id, answer };
}

/*
 * What is acknowledged before it has come, or twice, may meet the very packet on its way here, or the next under its id: which of them the target takes it for cannot be known. The monitor
 * lets such acknowledgements pass, for it is told of conversations in which nothing crosses.
 */
bool client_answers(struct client *c, const struct packet *packet)
{
	if (packet->type != PUBACK && packet->type != PUBREC && packet->type != PUBCOMP)
		return true;
	for (struct heard *h = c->heard; h < c->heard + HEARD; h++)
		if (h->answer == packet->type && h->packet_id == packet->packet_id) {
			h->answer = 0;
			return true;
		}
	return false;
}

/* ---- what the monitor says ---- */

void play_note_id(struct play *p, struct span client_id)
{
	if (!client_id.len || client_id.len > CLIENT_ID_LEN || p->n_ids == CLIENT_IDS)
		return;
	for (unsigned i = 0; i < p->n_ids; i++)
		if (span_equal(client_id, span_of(p->ids[i].at, p->ids[i].len)))
			return;
	p->ids[p->n_ids].len = (uint8_t)client_id.len;
	memcpy(p->ids[p->n_ids++].at, client_id.at, client_id.len);
}

void play_violated(void *owner, struct monitor *monitor, const struct violation *violation)
{
	struct client *c = (struct client *)((char *)monitor - offsetof(struct client, conn.monitor));
	const struct player_options *options = &((struct player *)owner)->options;
	struct symptom *symptom = &c->play->played.symptom;

	if (symptom->oracle != ORACLE_NONE || (options->accepted && options->accepted(options->context, violation->version, violation->clause)))
		return;
	symptom->oracle = ORACLE_RULE;
	symptom->version = violation->version;
	snprintf(symptom->clause, sizeof(symptom->clause), "%s", violation->clause);
	snprintf(symptom->text, sizeof(symptom->text), "%s", violation->text);
	c->play->accused = c;
}

/* Which packet it was is known only now. */
static void name_accused(struct client *c, const char *type, const struct packet *packet)
{
	static const char *const versions[] = { [MQTT_3_1] = "3.1", [MQTT_3_1_1] = "3.1.1", [MQTT_5] = "5" };
	struct symptom *symptom = &c->play->played.symptom;
	char text[sizeof(symptom->text)], printed[240];
	struct writer w = writer_to(printed, sizeof(printed) - 1);
	size_t len;

	c->play->accused = NULL;
	if (packet)
		packet_print(packet, FROM_SERVER, &w);
	len = w.len < w.cap ? w.len : w.cap;
	while (w.len > w.cap && len && (printed[len - 1] & 0x80))
		len--;			/* not in the middle of a character */
	printed[len] = '\0';
	snprintf(text, sizeof(text), "%s", symptom->text);
	snprintf(symptom->bucket, sizeof(symptom->bucket), "rule %s:%s %s", versions[symptom->version], symptom->clause, type);
	snprintf(symptom->text, sizeof(symptom->text), "%.200s; to c%d came %s%s", text, (int)(c - c->play->clients), len ? printed : type, w.len > w.cap ? "..." : "");
}

static void note_due(struct client *c, const struct packet *packet)
{
	struct play *p = c->play;
	struct span topic = { 0 };
	struct due_breach breach;

	if (packet->type == PUBLISH && !monitor_topic(&c->conn.monitor, packet, &topic))
		topic = (struct span){ 0 };
	dues_time(p->dues, c->conn.loop->now_ns);
	if (!dues_received(p->dues, number_of(c), packet, topic, &breach))
		play_breach(c, breach.version, breach.clause, (enum packet_type)breach.type, breach.text);
}

/* ---- events ---- */

static void on_opened(struct conn *conn)
{
	struct client *c = (struct client *)conn;

	c->active_ns = conn->loop->now_ns;
	play_wake(c->play);
}

static void on_packet(struct conn *conn, const uint8_t *bytes, size_t len, const struct packet *packet)
{
	struct client *c = (struct client *)conn;
	struct play *p = c->play;
	struct value value;

	(void)len;
	client_is_heard(c);
	p->played.n_received++;
	if (p->accused == c)
		name_accused(c, packet_name((enum packet_type)(bytes[0] >> 4)), packet);
	play_answer(p, c, packet ? packet->type : UNREADABLE, packet ? how_of(packet) : bytes[0] >> 4);
	c->heard_at = p->clock;
	c->active_ns = conn->loop->now_ns;
	if (packet && p->judges_dues)
		note_due(c, packet);
	if (packet) {
		play_note_offence(c, packet);
		steered_received(&c->steered, packet);
		time_answer(c, packet);
		hear(c, packet);
		c->must_end = packet->type == DISCONNECT || (packet->type == CONNACK && packet->reason);
		if (packet->type == CONNACK && property_find(packet->properties, PROP_assigned_client_identifier, &value))
			play_note_id(p, value.bytes);
	}
	play_wake(p);
}

static void on_ended(struct conn *conn, enum conn_end how)
{
	struct client *c = (struct client *)conn;
	struct play *p = c->play;

	client_is_heard(c);
	if (p->judges_dues)
		dues_ended(p->dues, number_of(c), how == END_FIN ? DUES_CLOSED : DUES_BROKEN);
	if (p->accused == c)
		name_accused(c, how == END_GARBAGE ? "bytes" : "frame", NULL);
	if (how == END_REFUSED)
		p->played.n_refused++;
	else
		play_answer(p, c, ENDED, how);
	c->heard_at = p->clock;
	play_wake(p);
}

static void on_sent(struct conn *conn)
{
	(void)conn;
}

const struct conn_events client_events = { on_opened, on_packet, on_ended, on_sent };

#ifndef STEER_STAND_IN_H
#define STEER_STAND_IN_H
#include "fuzz/mutator/steer.h"
/* Until steer.c is there. */
void steered_reset(struct steered *s) { *s = (struct steered){ .version = MQTT_3_1_1 }; }
static void put_id(struct steered *s, unsigned type, unsigned id) { if (s->n_sent < STEER_IDS) s->sent[s->n_sent++] = (struct steer_id){ (uint16_t)id, (uint8_t)type }; }
static void drop_id(struct steered *s, unsigned type, unsigned id)
{
	for (unsigned i = 0; i < s->n_sent; i++)
		if (s->sent[i].type == type && s->sent[i].id == id) { s->sent[i] = s->sent[--s->n_sent]; return; }
}
void steered_sent(struct steered *s, const struct packet *p)
{
	switch (p->type) {
	case CONNECT: s->connecting = true; s->version = p->version; break;
	case PUBLISH: if (publish_qos(p)) put_id(s, PUBLISH, p->packet_id); break;
	case PUBREL: case SUBSCRIBE: case UNSUBSCRIBE: put_id(s, p->type, p->packet_id); break;
	case PINGREQ: s->pings++; break;
	}
}
static void owe(struct steered *s, const struct packet *p)
{
	if (s->n_owed < STEER_IDS) { s->owed_qos[s->n_owed] = (uint8_t)publish_qos(p); s->owed[s->n_owed++] = (struct steer_id){ p->packet_id, p->type }; }
}
void steered_received(struct steered *s, const struct packet *p)
{
	switch (p->type) {
	case CONNACK: s->connecting = false; s->connected = !p->reason; break;
	case PUBACK: drop_id(s, PUBLISH, p->packet_id); break;
	case PUBREC: drop_id(s, PUBLISH, p->packet_id); owe(s, p); break;
	case PUBCOMP: drop_id(s, PUBREL, p->packet_id); break;
	case SUBACK: drop_id(s, SUBSCRIBE, p->packet_id); break;
	case UNSUBACK: drop_id(s, UNSUBSCRIBE, p->packet_id); break;
	case PINGRESP: s->pings -= s->pings > 0; break;
	case PUBLISH: if (publish_qos(p)) owe(s, p); break;
	case PUBREL: owe(s, p); break;
	}
}
bool steered_waits(const struct steered *s) { return s->connecting || s->pings || s->n_sent; }
bool steered_answer(struct steered *s, enum answer_how how, struct writer *w)
{
	if (!s->n_owed)
		return false;
	uint8_t type = s->owed[0].type == PUBREC ? PUBREL : s->owed[0].type == PUBREL ? PUBCOMP : s->owed_qos[0] == 2 ? PUBREC : PUBACK;
	unsigned id = s->owed[0].id + (how == ANSWER_WRONG_ID ? 7u : 0u);
	for (int i = 0; i < (how == ANSWER_TWICE ? 2 : 1); i++) { wr_u8(w, (unsigned)type << 4 | (type == PUBREL ? 2 : 0)); wr_u8(w, 2); wr_u16(w, id); }
	s->n_owed--;
	memmove(s->owed, s->owed + 1, s->n_owed * sizeof(s->owed[0]));
	memmove(s->owed_qos, s->owed_qos + 1, s->n_owed);
	return true;
}
void steered_next(struct steered *s, uint8_t value, struct writer *w)
{
	if (value == 1) {	/* CONNECT with the client's name */
		static const uint8_t connect[] = "\x10\x14\0\4MQTT\4\2\0\x3c\0\x08" MOVES_NAME;
		wr_bytes(w, span_of(connect, 22));
		return;
	}
	(void)s;
	wr_u8(w, 0xc0); wr_u8(w, 0);
}
#endif

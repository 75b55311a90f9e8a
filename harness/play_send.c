#include "harness/play.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/reader.h"
#include "harness/websocket.h"

/* Sending: steps become packets. */

/* ---- building ---- */

static uint16_t next_packet_id(struct actor_state *a)
{
	if (a->n_open >= 65535)
		return 0;
	do
		a->last_id = a->last_id == 65535 ? 1 : (uint16_t)(a->last_id + 1);
	while (owed(a, a->last_id));
	return a->last_id;
}

static bool too_large(struct timeline *t, const struct step *step)
{
	give_up(t, VERDICT_ERROR, step, "the packet is larger than the room for one step (%zu bytes)", t->stage->scratch->cap);
	return false;
}

/* A client of a capture or a finding is given our password where it says our user name, or we know none. */
static bool is_ours(const struct timeline *t, const struct step *step)
{
	for (uint32_t i = 0; i < step->n_assigns; i++)
		if (step->assigns[i].field && !strcmp(step->assigns[i].field->name, "user_name"))
			return !t->stage->user_name.at || span_equal(step->assigns[i].value->bytes, t->stage->user_name);
	return false;
}

/* A CONNECT of a finding that names no user and can be read is given ours, as `fuzz` gave it one; what is wrong with another stays as it is. */
static bool takes_ours(const struct timeline *t, const struct step *step)
{
	if (!t->stage->user_name.at)
		return false;
	if (step_says(step, "user_name"))
		return !step_says(step, "password") && is_ours(t, step);
	for (uint32_t i = 0; i < step->n_assigns; i++)
		if (step->assigns[i].illegal || step->assigns[i].kind != ASSIGN_FIELD)
			return false;
	return true;
}

static void log_in(struct timeline *t, const struct step *step, struct packet *p)
{
	if (t->stage->user_name.at && !step_says(step, "user_name")) {
		p->connect_flags |= CONNECT_USER_NAME;
		p->user_name = t->stage->user_name;
	}
	if (t->stage->password.at && !step_says(step, "password") && (!t->capture || p->connect_flags & CONNECT_USER_NAME || step_says(step, "user_name"))) {
		p->connect_flags |= CONNECT_PASSWORD;
		p->password = t->stage->password;
	}
}

/* What a step need not say; what it says overrides it. */
static bool defaults(struct timeline *t, struct actor_state *a, const struct step *step, struct packet *p)
{
	char *id;

	if (t->finding && step->kind == STEP_SEND) {	/* all that it sends is said; but who we are need not stand in the file */
		if (p->type == CONNECT && takes_ours(t, step))
			log_in(t, step, p);
		return true;
	}
	switch (p->type) {
	case CONNECT:
		id = arena_take(t->stage->scratch, 32);
		if (!id)
			return too_large(t, step);
		if (a->number < MAX_ACTORS)
			snprintf(id, 32, "%s%c", t->name, a->number < 26 ? 'a' + a->number : 'A' + a->number - 26);
		else
			snprintf(id, 32, "%sn%u", t->name, a->number);
		p->client_id = span_text(id);
		p->keep_alive = t->finding ? t->finding->keep_alive : 60;
		p->connect_flags = CONNECT_CLEAN_START;
		if (step_says_scram(step))	/* the password is not to be told then */
			return true;
		if (t->capture && step_says(step, "user_name") && !is_ours(t, step))
			return true;
		log_in(t, step, p);
		return true;
	case PUBLISH:
		p->topic = span_text(t->name);
		return true;
	default:
		return true;
	}
}

static bool build(struct timeline *t, struct actor_state *a, const struct strand *s, const struct step *step, struct builder *b)
{
	struct play_scope here = play_scope(t, s, step);

	builder_start(b, step_sends(step), a->version, t->stage->scratch);
	if (!defaults(t, a, step, &b->packet))
		return false;
	if (!step_fields(&here.scope, &t->script->actors[a->number], b))
		return false;
	if (packet_needs_id(&b->packet) && !b->packet.packet_id && !step_says(step, "packet_id") && !(t->finding && step->kind == STEP_SEND)) {
		b->packet.packet_id = next_packet_id(a);
		if (!b->packet.packet_id) {
			give_up(t, VERDICT_ERROR, step, "no packet id is free: all 65535 await an answer");
			return false;
		}
	}
	return true;
}

/* ---- what a send means for the actor ---- */

/* In the table of what is left: its own place, or a free one; NULL: it is too crowded there to look on. */
static struct left_behind **left_place(const struct timeline *t, const struct left_behind *what)
{
	enum { LOOK_ON = 32 };
	uint64_t h = 14695981039346656037u ^ what->version ^ (uint64_t)what->session << 8;

	for (size_t i = 0; i < what->name.len; i++)
		h = (h ^ what->name.at[i]) * 1099511628211u;
	for (uint32_t i = 0; i < LOOK_ON; i++) {
		struct left_behind **place = &t->left[(h + i) & (t->cap_left - 1)];

		if (!*place || ((*place)->version == what->version && (*place)->session == what->session && span_equal((*place)->name, what->name)))
			return place;
	}
	return NULL;
}

static void grow_left(struct timeline *t)
{
	struct left_behind **old = t->left;
	uint32_t old_cap = t->cap_left;

	t->cap_left = old_cap ? 2 * old_cap : 32;
	t->left = calloc(t->cap_left, sizeof(*t->left));
	if (!t->left)
		abort();
	for (uint32_t i = 0; i < old_cap; i++) {
		struct left_behind **place = old[i] ? left_place(t, old[i]) : NULL;

		if (place)
			*place = old[i];
	}
	free(old);
}

/* A loop that uses the same names again and again leaves each once; where the table is crowded, some twice. */
static void left(struct timeline *t, bool session, struct span name, unsigned version)
{
	struct left_behind what = { .name = name, .version = (uint8_t)version, .session = session }, *l, **place;

	if (2 * t->n_left >= t->cap_left)
		grow_left(t);
	place = left_place(t, &what);
	if (place && *place)
		return;
	l = region_alloc(&t->region, sizeof(*l));
	*l = what;
	l->name = region_copy(&t->region, name);
	l->next = session ? t->left_sessions : t->left_topics;
	*(session ? &t->left_sessions : &t->left_topics) = l;
	if (place)
		*place = l;
	t->n_left++;
}

void leave_session(struct timeline *t, const struct actor_state *a)
{
	if (a->client_id.len)
		left(t, true, a->client_id, a->version);
}

static void note_sent(struct timeline *t, struct actor_state *a, const struct packet *p)
{
	switch (p->type) {
	case CONNECT:
		a->client_id = region_copy(&t->region, p->client_id);
		a->session_kept = a->version == MQTT_5 ? property_number(p->properties, PROP_session_expiry_interval, 0) > 0
		                                        : !(p->connect_flags & CONNECT_CLEAN_START);
		if (a->session_kept)
			leave_session(t, a);
		if (p->connect_flags & CONNECT_WILL_RETAIN && p->will_topic.len)
			left(t, false, p->will_topic, a->version);
		break;
	case PUBLISH:
		if (p->flags & PUBLISH_RETAIN && p->payload.len && p->topic.len)
			left(t, false, p->topic, a->version);
		if (publish_qos(p))
			owe(a, p->packet_id);
		break;
	case SUBSCRIBE: case UNSUBSCRIBE: case PUBREL:
		owe(a, p->packet_id);
		break;
	case PINGREQ:
		a->pings_owed++;
		break;
	default:
		break;
	}
}

/* Give whole packets to the monitor and to the actor's books before they are written. */
static void account(struct timeline *t, struct actor_state *a, struct span bytes)
{
	while (bytes.len) {
		struct frame frame = { 0 };
		struct finding finding;
		struct packet packet;

		t->n_sent++;
		if (frame_next(bytes.at, bytes.len, &frame, &finding) != FRAME_OK) {
			monitor_misbehaved(&a->conn.monitor);
			finding_dues_sent(a, NULL);
			finding_offences_unframed(a);
			return;
		}
		if (frame.first >> 4 == CONNECT) {
			a->offence.connects = a->n_connects;	/* if it is an offence, it is the last of them */
			a->n_connects += a->n_connects < 255;
		}
		bool readable = decode(bytes.at, frame.size, a->version, &packet, &finding) == CODEC_OK;
		monitor_sent(&a->conn.monitor, bytes.at, frame.size, readable ? &packet : NULL);
		if (readable)
			note_sent(t, a, &packet);
		if (t->finding) {
			finding_offences_sent(a, bytes.at, &frame, readable ? &packet : NULL, &finding);
			finding_sent(a, readable ? &packet : NULL);
		}
		if (readable && t->capture)
			capture_sent(a, &packet);
		bytes.at += frame.size;
		bytes.len -= frame.size;
	}
}

static bool put(struct timeline *t, struct strand *s, struct actor_state *a, const struct step *step, struct span bytes)
{
	uint64_t piece = 0, every = 0;

	if (step && step->pieces && !eval_number(t, s, step->pieces, &piece))
		return false;
	if (step && step->every && !eval_number(t, s, step->every, &every))
		return false;
	if (step && step->frame >= WS_CLOSE && bytes.len > WS_CONTROL_MAX) {
		give_up(t, VERDICT_ERROR, step, "a control frame of %zu bytes: at most %d may be in it", bytes.len, WS_CONTROL_MAX);
		return false;
	}
	record(t, EVENT_SENT, a, bytes);
	if (step && step->frame == WS_TEXT)
		monitor_misbehaved(&a->conn.monitor);
	if (!step || !step->frame) {
		account(t, a, bytes);
		conn_send(&a->conn, bytes, (size_t)piece, every);
	} else {
		conn_send_frame(&a->conn, step->frame, bytes);
	}
	return !t->over;
}

/* The id where a broker would look for it, whatever the lengths say. */
static bool find_id(struct span packet, uint16_t *id)
{
	struct reader r = reader_over(packet);
	uint8_t first = rd_u8(&r);
	unsigned n = 1;

	while (rd_u8(&r) & 0x80 && n++ < 4)
		;
	if (first >> 4 == PUBLISH && first & 6)
		rd_bytes(&r, rd_u16(&r));
	else if (first >> 4 < PUBACK || first >> 4 > UNSUBACK)
		return false;
	*id = rd_u16(&r);
	return !r.why;
}

/* Of several packets written at once the first that cannot be read is the wrong one, or else the last. */
static struct offence offence_in(const struct actor_state *a, struct span bytes)
{
	struct offence o = { 0 };
	struct frame frame = { 0 };
	struct finding finding;
	struct packet packet;

	while (bytes.len) {
		o = (struct offence){ .type = bytes.at[0] >> 4 };
		o.has_id = find_id(bytes, &o.packet_id);
		if (frame_next(bytes.at, bytes.len, &frame, &finding) != FRAME_OK ||
		    decode(bytes.at, frame.size, a->version, &packet, &finding) != CODEC_OK)
			break;
		bytes.at += frame.size;
		bytes.len -= frame.size;
	}
	return o;
}

static bool ready_to_send(struct timeline *t, struct actor_state *a, const struct step *step)
{
	bool opens = step_sends(step) == CONNECT;

	if (t->finding && step->kind != STEP_CONNECTS)
		t->finding->stimulated |= step->kind == STEP_SEND || step->kind == STEP_BYTES;

	if (!a->ever_opened || ((a->conn.end || a->conn.finished) && opens))
		actor_open(t, a);
	if (t->over)
		return false;
	if (a->conn.end == END_OURS) {
		give_up(t, VERDICT_ERROR, step, "%s has no connection: only `opens` or a CONNECT opens it again", t->script->actors[a->number].name);
		return false;
	}
	return true;
}

bool send_step(struct timeline *t, struct strand *s, const struct step *step, struct writer *together)
{
	struct actor_state *a = &t->actors[step->actor];
	struct builder b;

	if (!ready_to_send(t, a, step))
		return false;
	arena_reset(t->stage->scratch);
	if (!build(t, a, s, step, &b))
		return false;
	if (t->capture)
		capture_limit(a, step, &b);
	struct writer w = writer_to(t->stage->packet, t->stage->packet_size);
	enum status status = builder_encode(&b, &w);
	if (status == CODEC_BAD) {
		give_up(t, VERDICT_ERROR, step, "the packet cannot be padded to %zu bytes", b.size);
		return false;
	}
	if (status == CODEC_LIMIT || !wr_fits(&w))
		return too_large(t, step);
	if (t->capture && !capture_limit_size(a, step, &b.packet, wr_span(&w).len))
		return false;
	s->packet_id = b.packet.packet_id;
	if (step->illegal)
		a->offence = offence_in(a, wr_span(&w));
	s->qos = (uint8_t)(b.packet.type == PUBLISH ? publish_qos(&b.packet) : 0);
	if (together) {
		wr_bytes(together, wr_span(&w));
		return true;
	}
	return put(t, s, a, step, wr_span(&w));
}

bool send_bytes(struct timeline *t, struct strand *s, const struct step *step)
{
	struct actor_state *a = &t->actors[step->actor];
	struct value v;

	if (!ready_to_send(t, a, step))
		return false;
	arena_reset(t->stage->scratch);
	if (!eval(t, s, step->value, &v))
		return false;
	if (!step->frame || step->illegal)
		a->offence = offence_in(a, v.bytes);
	return put(t, s, a, step, v.bytes);
}

/* ---- several packets in one write ---- */

struct together {
	struct writer w;
	struct actor_state *actor;
};

static bool gather(struct timeline *t, struct strand *s, const struct step *step, struct together *all)
{
	for (; step; step = step->next) {
		all->actor = &t->actors[step->actor];
		if (step->kind == STEP_BYTES) {
			struct value v;

			if (!ready_to_send(t, all->actor, step))
				return false;
			arena_reset(t->stage->scratch);
			if (!eval(t, s, step->value, &v))
				return false;
			wr_bytes(&all->w, v.bytes);
			all->actor->offence = offence_in(all->actor, v.bytes);
		} else if (!send_step(t, s, step, &all->w)) {
			return false;
		}
		if (!wr_fits(&all->w))
			return too_large(t, step);
	}
	return true;
}

bool send_together(struct timeline *t, struct strand *s, const struct step *step)
{
	uint8_t *room = malloc(SCRATCH_SIZE);
	struct together all = { .w = writer_to(room, SCRATCH_SIZE) };

	if (!room)
		abort();
	bool sent = gather(t, s, step->children, &all) && (!all.actor || put(t, s, all.actor, step, wr_span(&all.w)));
	free(room);
	return sent;
}

bool send_packet(struct timeline *t, struct actor_state *a, enum packet_type type, uint16_t packet_id)
{
	uint8_t room[16];
	struct writer w = writer_to(room, sizeof(room));
	struct packet p = { .version = a->version, .type = (uint8_t)type, .packet_id = packet_id, .flags = type == PUBREL ? 2 : 0 };

	encode(&p, NULL, &w);
	return put(t, NULL, a, NULL, wr_span(&w));
}

#include "harness/play.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Sending: steps become packets, and connections are opened and listened to. */

enum { MAX_INBOX = 20000, MAX_INBOX_BYTES = 32 << 20 };

static struct actor_state *actor_of_conn(struct conn *c)
{
	return (struct actor_state *)((char *)c - offsetof(struct actor_state, conn));
}

void record(struct timeline *t, enum event_kind kind, const struct actor_state *a, struct span bytes)
{
	t->active_ns = t->stage->loop->now_ns;
	if (t->stage->keep_transcripts)
		result_event(t->result, t->stage->loop->now_ns, kind, a ? a->number : NO_ACTOR, a ? a->version : 0, bytes);
}

/* ---- what the connection says ---- */

static void on_opened(struct conn *c)
{
	struct actor_state *a = actor_of_conn(c);

	if (conn_idle(c))	/* else what was sent says as much */
		record(a->timeline, EVENT_OPENED, a, span_text(""));
	timeline_wake(a->timeline);
}

static void on_connack(struct actor_state *a, const struct packet *packet)
{
	struct value assigned;

	if (packet->reason)
		return;
	a->connected = true;
	if (a->version == MQTT_5) {
		if (property_find(packet->properties, PROP_assigned_client_identifier, &assigned))
			a->client_id = region_copy(&a->timeline->region, assigned.bytes);
		if (property_number(packet->properties, PROP_session_expiry_interval, 0))
			a->session_kept = true;
	}
}

static void on_packet(struct conn *c, const uint8_t *bytes, size_t len, const struct packet *packet)
{
	struct actor_state *a = actor_of_conn(c);
	struct timeline *t = a->timeline;

	if (t->over)
		return;
	record(t, EVENT_RECEIVED, a, span_of(bytes, len));
	if (!packet) {
		give_up(t, VERDICT_FAIL, NULL, "what came cannot be read");	/* the monitor has said why */
		return;
	}
	if (packet->type == CONNACK)
		on_connack(a, packet);
	if (packet->type == PINGRESP) {
		if (!a->pings_owed && a->probes_owed) {
			a->probes_owed--;
			timeline_wake(t);
			return;
		}
		if (a->pings_owed)
			a->pings_owed--;
	}
	if (a->n_in >= MAX_INBOX || a->in_bytes + len > MAX_INBOX_BYTES) {
		give_up(t, VERDICT_INCONCLUSIVE, NULL, "the target floods: %u packets (%zu bytes) wait that no step asked for", a->n_in, a->in_bytes);
		return;
	}
	inbox_put(a, packet->type, bytes, len, packet);
	timeline_wake(t);
}

static void on_ended(struct conn *c, enum conn_end how)
{
	struct actor_state *a = actor_of_conn(c);
	struct timeline *t = a->timeline;
	char text[160];

	if (t->over)
		return;
	conn_end_text(c, text, sizeof(text));
	record(t, EVENT_ENDED, a, span_text(text));
	a->connected = false;
	a->ended = true;
	if (how == END_REFUSED) {
		t->result->target_gone = true;
		give_up(t, VERDICT_INCONCLUSIVE, NULL, "the target is gone: %s", text);
		return;
	}
	if (how == END_GARBAGE) {
		give_up(t, VERDICT_FAIL, NULL, "%s", text);	/* by the rule that the monitor named */
		return;
	}
	if (how == END_TOO_LARGE) {
		give_up(t, VERDICT_INCONCLUSIVE, NULL, "%s", text);
		return;
	}
	inbox_put(a, 0, NULL, 0, NULL);
	timeline_wake(t);
}

static void on_sent(struct conn *c)
{
	timeline_wake(actor_of_conn(c)->timeline);
}

const struct conn_events actor_events = { on_opened, on_packet, on_ended, on_sent };

void actor_open(struct timeline *t, struct actor_state *a)
{
	if (a->ever_opened)
		conn_close(&a->conn, false);
	inbox_clear(a);
	a->connected = a->ended = false;
	a->offence = (struct offence){ 0 };
	a->ever_opened = true;
	int error = conn_open(&a->conn, t->stage->loop, t->stage->address, &actor_events, &t->stage->limits, t->stage->world, t->log);
	if (error) {
		t->result->target_gone = true;
		give_up(t, VERDICT_INCONCLUSIVE, NULL, "could not connect: %s", strerror(-error));
	}
}

/* ---- a fresh connection that asks whether the target still serves ---- */

static void prober_opened(struct conn *c) { (void)c; }
static void prober_sent(struct conn *c) { (void)c; }

static struct timeline *timeline_of_prober(struct conn *c)
{
	return ((struct prober *)((char *)c - offsetof(struct prober, conn)))->timeline;
}

static void prober_packet(struct conn *c, const uint8_t *bytes, size_t len, const struct packet *packet)
{
	struct timeline *t = timeline_of_prober(c);

	(void)bytes, (void)len;
	if (packet && t->probe_state == 1)
		t->probe_state = packet->type == CONNACK ? 2 : 3;
	timeline_wake(t);
}

static void prober_ended(struct conn *c, enum conn_end how)
{
	struct timeline *t = timeline_of_prober(c);

	if (how == END_REFUSED)
		t->result->target_gone = true;
	if (t->probe_state == 1)
		t->probe_state = 3;
	timeline_wake(t);
}

static const struct conn_events prober_events = { prober_opened, prober_packet, prober_ended, prober_sent };

void probe_end(struct timeline *t)
{
	if (t->prober)
		conn_close(&t->prober->conn, false);
	free(t->prober);
	t->prober = NULL;
}

void probe_target(struct timeline *t)
{
	uint8_t room[256];
	char id[40];
	struct writer w = writer_to(room, sizeof(room));
	struct arena arena;
	uint8_t arena_room[512];
	struct builder b;

	if (t->probe_state)
		return;
	t->probe_state = 1;
	probe_end(t);
	t->prober = calloc(1, sizeof(*t->prober));
	if (!t->prober)
		abort();
	t->prober->timeline = t;
	if (conn_open(&t->prober->conn, t->stage->loop, t->stage->address, &prober_events, &t->stage->limits, t->stage->world, t->log)) {
		t->probe_state = 3;
		return;
	}
	arena_init(&arena, arena_room, sizeof(arena_room));
	builder_start(&b, CONNECT, t->script->version, &arena);
	snprintf(id, sizeof(id), "%sZ", t->name);
	b.packet.client_id = span_text(id);
	b.packet.keep_alive = 60;
	b.packet.connect_flags = CONNECT_CLEAN_START;
	if (t->stage->user_name.at) {
		b.packet.connect_flags |= CONNECT_USER_NAME;
		b.packet.user_name = t->stage->user_name;
	}
	if (t->stage->password.at) {
		b.packet.connect_flags |= CONNECT_PASSWORD;
		b.packet.password = t->stage->password;
	}
	if (encode(&b.packet, NULL, &w) == CODEC_OK && wr_fits(&w)) {
		monitor_sent(&t->prober->conn.monitor, room, w.len, &b.packet);
		conn_send(&t->prober->conn, wr_span(&w), 0, 0);
	}
}

/* ---- building ---- */

uint16_t next_packet_id(struct actor_state *a)
{
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

static bool set(struct timeline *t, const struct step *step, struct builder *b, const struct assign *as, const struct value *v)
{
	enum status status = as->kind == ASSIGN_AGAIN ? builder_again(b, as->field, v) : builder_set(b, as->field, v);

	if (status == CODEC_OK)
		return true;
	if (status == CODEC_LIMIT)
		return too_large(t, step);
	give_up(t, VERDICT_ERROR, step, "the value for %s is not of its kind or out of its range", as->field->name);
	return false;
}

/* A length told falsely: as raw bytes, or as a number to be written in its shortest form. */
static bool false_length(struct timeline *t, const struct value *v, struct span *place)
{
	if (v->kind == VALUE_BYTES) {
		*place = v->bytes;
		return true;
	}
	uint8_t *room = arena_take(t->stage->scratch, 4);
	if (!room)
		return false;
	struct writer w = writer_to(room, 4);
	wr_varint(&w, v->number > VARINT_MAX ? VARINT_MAX : (uint32_t)v->number);
	*place = wr_span(&w);
	return true;
}

static bool apply(struct timeline *t, const struct strand *s, const struct step *step, struct builder *b, const struct assign *as)
{
	struct value v = { .kind = VALUE_ABSENT };

	if (as->kind == ASSIGN_OMIT) {
		for (size_t i = 0; i < sizeof(b->lies.omit) / sizeof(*b->lies.omit); i++)
			if (!b->lies.omit[i]) {
				b->lies.omit[i] = as->field;
				break;
			}
		return true;
	}
	if (as->kind == ASSIGN_ENDS_AFTER) {
		b->lies.ends_after = as->field;
		return true;
	}
	if (as->value && as->value->kind == EXPR_LIST) {
		for (uint32_t i = 0; i < as->value->n_items; i++)
			if (!eval(t, s, as->value->items[i], &v) || !set(t, step, b, as, &v))
				return false;
		return true;
	}
	if (as->value && !eval(t, s, as->value, &v))
		return false;
	switch (as->kind) {
	case ASSIGN_REMAINING_LENGTH:     return false_length(t, &v, &b->lies.remaining_length);
	case ASSIGN_PROPERTY_LENGTH:      return false_length(t, &v, &b->lies.property_length);
	case ASSIGN_WILL_PROPERTY_LENGTH: return false_length(t, &v, &b->lies.will_property_length);
	case ASSIGN_TRAILING:             b->lies.trailing = v.bytes; return true;
	case ASSIGN_SIZE:                 b->size = v.number; return true;
	case ASSIGN_RAW_PROPERTY:         return builder_raw_property(b, false, v.bytes) == CODEC_OK || too_large(t, step);
	case ASSIGN_RAW_WILL_PROPERTY:    return builder_raw_property(b, true, v.bytes) == CODEC_OK || too_large(t, step);
	default:                          return set(t, step, b, as, &v);
	}
}

static bool set_named(struct builder *b, const char *name, const struct value *v)
{
	const struct field *field = field_find(b->packet.type, span_text(name));

	return field && builder_set(b, field, v) == CODEC_OK;
}

static bool names(const struct step *step, const char *field)
{
	for (uint32_t i = 0; i < step->n_assigns; i++)
		if (step->assigns[i].field && step->assigns[i].kind == ASSIGN_FIELD && !strcmp(step->assigns[i].field->name, field))
			return true;
	return false;
}

static void defaults(struct timeline *t, struct actor_state *a, const struct step *step, struct builder *b)
{
	struct value one = { .kind = VALUE_NUMBER, .number = 1 };
	struct value text = { .kind = VALUE_BYTES };

	switch (b->packet.type) {
	case CONNECT: {
		char *id = arena_take(t->stage->scratch, 32);

		if (!id)
			break;
		snprintf(id, 32, "%s%c", t->name, a->number < 26 ? 'a' + a->number : 'A' + a->number - 26);
		set_named(b, "clean_start", &one);
		set_named(b, "keep_alive", &(struct value){ .kind = VALUE_NUMBER, .number = 60 });
		text.bytes = span_text(id);
		set_named(b, "client_id", &text);
		if (t->stage->user_name.at && !names(step, "user_name")) {
			text.bytes = t->stage->user_name;
			set_named(b, "user_name", &text);
		}
		if (t->stage->password.at && !names(step, "password")) {
			text.bytes = t->stage->password;
			set_named(b, "password", &text);
		}
		break;
	}
	case PUBLISH:
		text.bytes = span_text(t->name);
		set_named(b, "topic", &text);
		break;
	default:
		break;
	}
}

static bool add_filters(struct timeline *t, const struct strand *s, const struct step *step, struct builder *b)
{
	const struct field *list = field_find(b->packet.type, span_text("filters"));

	for (uint32_t i = 0; i < step->n_filters; i++) {
		const struct filter_expr *f = &step->filters[i];
		struct value v, option;
		uint64_t options = 0;

		if (!eval(t, s, f->filter, &v))
			return false;
		for (uint32_t k = 0; k < f->n_options; k++) {
			if (!eval(t, s, f->options[k].value, &option))
				return false;
			const struct field *field = f->options[k].field;
			if (field->kind == BITS)
				options |= (option.number & ((1u << field->width) - 1)) << field->shift;
			else
				options = option.number;	/* the whole byte */
		}
		v = (struct value){ .kind = VALUE_FILTER, .bytes = v.bytes, .number = options };
		if (builder_set(b, list, &v) != CODEC_OK)
			return too_large(t, step);
	}
	return true;
}

static bool needs_id(const struct packet *p)
{
	return p->type == SUBSCRIBE || p->type == UNSUBSCRIBE || (p->type == PUBLISH && publish_qos(p));
}

static enum packet_type sent_type(const struct step *step)
{
	switch (step->kind) {
	case STEP_CONNECTS:     return CONNECT;
	case STEP_SUBSCRIBES:   return SUBSCRIBE;
	case STEP_UNSUBSCRIBES: return UNSUBSCRIBE;
	case STEP_PUBLISHES:    return PUBLISH;
	case STEP_PINGS:        return PINGREQ;
	case STEP_DISCONNECTS:  return DISCONNECT;
	default:                return step->type;
	}
}

static bool build(struct timeline *t, struct actor_state *a, const struct strand *s, const struct step *step, struct builder *b)
{
	enum packet_type type = sent_type(step);

	builder_start(b, type, a->version, t->stage->scratch);
	defaults(t, a, step, b);
	if (type == CONNECT || type == AUTH) {
		const struct actor *actor = &t->script->actors[a->number];

		for (uint32_t i = 0; i < actor->n_connect; i++) {
			bool is_method = actor->connect[i].field && actor->connect[i].field->property == PROP_authentication_method;

			if ((type == CONNECT || is_method) && !apply(t, s, step, b, &actor->connect[i]))
				return false;
		}
	}
	for (uint32_t i = 0; i < step->n_assigns; i++)
		if (!apply(t, s, step, b, &step->assigns[i]))
			return false;
	if (!add_filters(t, s, step, b))
		return false;
	if (needs_id(&b->packet) && !b->packet.packet_id && !names(step, "packet_id"))
		b->packet.packet_id = next_packet_id(a);
	return true;
}

/* ---- what a send means for the actor ---- */

static void left(struct timeline *t, struct span topic, unsigned version)
{
	struct left_topic *l = region_alloc(&t->region, sizeof(*l));

	*l = (struct left_topic){ t->left_topics, region_copy(&t->region, topic), (uint8_t)version };
	t->left_topics = l;
}

static void note_sent(struct timeline *t, struct actor_state *a, const struct packet *p)
{
	switch (p->type) {
	case CONNECT:
		a->client_id = region_copy(&t->region, p->client_id);
		a->session_kept |= a->version == MQTT_5 ? property_number(p->properties, PROP_session_expiry_interval, 0) > 0
		                                        : !(p->connect_flags & CONNECT_CLEAN_START);
		if (p->connect_flags & CONNECT_WILL_RETAIN && p->will_topic.len)
			left(t, p->will_topic, a->version);
		break;
	case PUBLISH:
		if (p->flags & PUBLISH_RETAIN && p->payload.len && p->topic.len)
			left(t, p->topic, a->version);
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

		if (frame_next(bytes.at, bytes.len, &frame, &finding) != FRAME_OK) {
			monitor_misbehaved(&a->conn.monitor);
			return;
		}
		bool readable = decode(bytes.at, frame.size, a->version, &packet, &finding) == CODEC_OK;
		monitor_sent(&a->conn.monitor, bytes.at, frame.size, readable ? &packet : NULL);
		if (readable)
			note_sent(t, a, &packet);
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
	record(t, EVENT_SENT, a, bytes);
	account(t, a, bytes);
	conn_send(&a->conn, bytes, (size_t)piece, every);
	return !t->over;
}

static bool ready_to_send(struct timeline *t, struct actor_state *a, const struct step *step)
{
	bool opens = sent_type(step) == CONNECT;

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
	struct writer w = writer_to(t->stage->packet, t->stage->packet_size);
	enum status status = builder_encode(&b, &w);
	if (status == CODEC_BAD) {
		give_up(t, VERDICT_ERROR, step, "the packet cannot be padded to %zu bytes", b.size);
		return false;
	}
	if (status == CODEC_LIMIT || !wr_fits(&w))
		return too_large(t, step);
	s->packet_id = b.packet.packet_id;
	if (step->illegal)
		a->offence = (struct offence){ .type = b.packet.type, .packet_id = b.packet.packet_id, .connected = a->connected };
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
	a->offence = (struct offence){ .type = v.bytes.len ? v.bytes.at[0] >> 4 : 0, .connected = a->connected };
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

			arena_reset(t->stage->scratch);
			if (!eval(t, s, step->value, &v))
				return false;
			wr_bytes(&all->w, v.bytes);
			all->actor->offence = (struct offence){ .type = v.bytes.len ? v.bytes.at[0] >> 4 : 0, .connected = all->actor->connected };
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

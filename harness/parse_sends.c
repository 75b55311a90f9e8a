#include "harness/parse.h"

/*
 * Sends, tried without a broker: the packet is put together, with samples for what only a run knows, and judged as the
 * monitor would judge it. A sample proves nothing: what it makes wrong is not reported.
 */

enum { ROOM = 1 << 18, SAMPLE = 0xffff };

/* ---- a packet with samples for what is not constant ---- */

struct trial {
	struct builder builder;
	struct arena arena;
	uint8_t *filler;		/* SAMPLE bytes of 'x' */
	uint8_t *wire;			/* ROOM bytes */
	struct frame frame;
	enum frame_status framed;
	size_t len;
	bool limit;			/* too large to try */
};

static struct span join(struct trial *t, const struct expr *expr);

static struct span sample_bytes(struct trial *t, const struct expr *expr)
{
	uint64_t n;

	switch (expr->kind) {
	case EXPR_BYTES:
		return expr->bytes;
	case EXPR_TOPIC:
		return span_text("mqassay");
	case EXPR_TEMPLATE:
		return join(t, expr);
	case EXPR_FILL: case EXPR_RANDOM: case EXPR_STAMP:
		n = expr->left->kind == EXPR_NUMBER ? expr->left->number : 1;
		return span_of(t->filler, n < SAMPLE ? (size_t)n : SAMPLE);
	default:
		return span_text("1");
	}
}

static struct span join(struct trial *t, const struct expr *expr)
{
	size_t len = 0;
	uint8_t *at;

	for (uint32_t i = 0; i < expr->n_items; i++)
		len += sample_bytes(t, expr->items[i]).len;
	at = arena_take(&t->arena, len + 1);
	if (!at) {
		t->limit = true;
		return (struct span){ 0 };
	}
	len = 0;
	for (uint32_t i = 0; i < expr->n_items; i++) {
		struct span s = sample_bytes(t, expr->items[i]);

		if (s.len)
			memcpy(at + len, s.at, s.len);
		len += s.len;
	}
	return span_of(at, len);
}

static bool takes_number(const struct field *field)
{
	return field->kind != STR && field->kind != BIN && field->kind != REST && field->kind != PAIR;
}

static struct value sample(struct trial *t, const struct expr *expr, const struct field *field)
{
	if (expr->kind == EXPR_ABSENT)
		return (struct value){ .kind = VALUE_ABSENT };
	if (expr->kind == EXPR_NUMBER)
		return (struct value){ .kind = VALUE_NUMBER, .number = expr->number };
	if (expr->kind == EXPR_PAIR)
		return (struct value){ .kind = VALUE_PAIR, .bytes = sample_bytes(t, expr->left), .second = sample_bytes(t, expr->right) };
	if (field && takes_number(field) && expr->kind != EXPR_BYTES)
		return (struct value){ .kind = VALUE_NUMBER, .number = 1 };
	return (struct value){ .kind = VALUE_BYTES, .bytes = sample_bytes(t, expr) };
}

static const struct assign *assigned(const struct assign *assigns, uint32_t n, const char *field)
{
	for (uint32_t i = 0; i < n; i++)
		if (assigns[i].kind == ASSIGN_FIELD && !strcmp(assigns[i].field->name, field))
			return &assigns[i];
	return NULL;
}

static enum status set_field(struct trial *t, const struct assign *a)
{
	enum status status = CODEC_OK;
	struct value value;

	if (a->value->kind == EXPR_LIST) {
		for (uint32_t i = 0; i < a->value->n_items && status == CODEC_OK; i++) {
			value = sample(t, a->value->items[i], a->field);
			status = builder_set(&t->builder, a->field, &value);
		}
		return status;
	}
	value = sample(t, a->value, a->field);
	return a->kind == ASSIGN_AGAIN ? builder_again(&t->builder, a->field, &value) : builder_set(&t->builder, a->field, &value);
}

/* A length given as a number is written in its shortest form. */
static struct span length_bytes(struct trial *t, const struct expr *value)
{
	struct writer w;
	uint8_t *room;

	if (value->kind != EXPR_NUMBER)
		return sample_bytes(t, value);
	room = arena_take(&t->arena, 4);
	if (!room) {
		t->limit = true;
		return (struct span){ 0 };
	}
	w = writer_to(room, 4);
	wr_varint(&w, (uint32_t)value->number);
	return wr_span(&w);
}

static enum status apply(struct trial *t, const struct assign *a)
{
	struct builder *b = &t->builder;

	switch (a->kind) {
	case ASSIGN_FIELD: case ASSIGN_AGAIN:
		return set_field(t, a);
	case ASSIGN_OMIT:
		for (size_t i = 0; i < sizeof b->lies.omit / sizeof *b->lies.omit; i++)
			if (!b->lies.omit[i]) {
				b->lies.omit[i] = a->field;
				return CODEC_OK;
			}
		return CODEC_BAD;
	case ASSIGN_ENDS_AFTER:
		b->lies.ends_after = a->field;
		return CODEC_OK;
	case ASSIGN_REMAINING_LENGTH:
		b->lies.remaining_length = length_bytes(t, a->value);
		return CODEC_OK;
	case ASSIGN_PROPERTY_LENGTH:
		b->lies.property_length = length_bytes(t, a->value);
		return CODEC_OK;
	case ASSIGN_WILL_PROPERTY_LENGTH:
		b->lies.will_property_length = length_bytes(t, a->value);
		return CODEC_OK;
	case ASSIGN_TRAILING:
		b->lies.trailing = sample_bytes(t, a->value);
		return CODEC_OK;
	case ASSIGN_RAW_PROPERTY: case ASSIGN_RAW_WILL_PROPERTY:
		return builder_raw_property(b, a->kind == ASSIGN_RAW_WILL_PROPERTY, sample_bytes(t, a->value));
	case ASSIGN_SIZE:
		b->size = a->value->kind == EXPR_NUMBER && a->value->number < ROOM ? (size_t)a->value->number : 0;
		return CODEC_OK;
	}
	return CODEC_BAD;
}

static void set_default(struct trial *t, const struct step *step, const char *name, struct value value)
{
	const struct field *field = field_find((enum packet_type)step->type, span_text(name));

	if (field && !assigned(step->assigns, step->n_assigns, name))
		builder_set(&t->builder, field, &value);
}

/* Then each CONNECT has a user name and a password, unless it says otherwise. */
static bool needs_login(const struct parser *p)
{
	for (uint32_t i = 0; i < p->n_needs; i++)
		if (!strcmp(p->needs[i].name, "login"))
			return true;
	return false;
}

/* What a send leaves out and the engine puts in; but what a finding sends is all there. */
static void set_defaults(struct parser *p, struct trial *t, const struct step *step)
{
	bool bare = p->kind == FILE_FINDING && step->kind == STEP_SEND;
	const struct actor *actor = &p->actors[step->actor];
	const struct value one = { .kind = VALUE_NUMBER, .number = 1 };

	if (step->type == CONNECT && bare) {
		for (uint32_t i = 0; i < actor->n_connect; i++)
			apply(t, &actor->connect[i]);
	} else if (step->type == CONNECT) {
		set_default(t, step, "clean_start", one);
		set_default(t, step, "keep_alive", (struct value){ .kind = VALUE_NUMBER, .number = 60 });
		set_default(t, step, "client_id", (struct value){ .kind = VALUE_BYTES, .bytes = span_text("mqassay") });
		if (needs_login(p)) {
			set_default(t, step, "user_name", (struct value){ .kind = VALUE_BYTES, .bytes = span_text("mqassay") });
			set_default(t, step, "password", (struct value){ .kind = VALUE_BYTES, .bytes = span_text("mqassay") });
		}
		for (uint32_t i = 0; i < actor->n_connect; i++)
			apply(t, &actor->connect[i]);
	} else if (step->type == AUTH) {
		const struct assign *method = assigned(actor->connect, actor->n_connect, "authentication_method");

		if (method && !assigned(step->assigns, step->n_assigns, "authentication_method"))
			apply(t, method);
	} else if (bare) {
		return;
	} else if (step->type == PUBLISH) {
		set_default(t, step, "topic", (struct value){ .kind = VALUE_BYTES, .bytes = span_text("mqassay") });
	} else if (step->type == SUBSCRIBE || step->type == UNSUBSCRIBE) {
		set_default(t, step, "packet_id", one);
	}
}

static enum status add_filter(struct trial *t, const struct step *step, const struct filter_expr *filter)
{
	const struct field *list = field_find((enum packet_type)step->type, span_text("filters"));
	struct value value = { .kind = VALUE_FILTER, .bytes = sample_bytes(t, filter->filter) };

	for (uint32_t i = 0; i < filter->n_options; i++) {
		const struct assign *o = &filter->options[i];
		uint64_t n = o->value->kind == EXPR_NUMBER ? o->value->number : 1;

		if (!strcmp(o->field->name, "options"))
			value.number = n;
		else
			value.number = (value.number & ~(uint64_t)(((1u << o->field->width) - 1) << o->field->shift)) | n << o->field->shift;
	}
	return list ? builder_set(&t->builder, list, &value) : CODEC_LIMIT;
}

static bool bad_value(struct parser *p, const struct assign *a)
{
	if (!a->value || !expr_constant(a->value))
		return true;
	return fail_at(p, a->value->at, "this value cannot be written as %s", a->field ? a->field->name : "that");
}

/* The packet as it would be sent; false when it was reported as impossible. */
static bool try_packet(struct parser *p, struct trial *t, const struct step *step)
{
	struct writer w = writer_to(t->wire, ROOM);
	enum status status;
	struct finding finding;

	builder_start(&t->builder, (enum packet_type)step->type, (enum version)p->actors[step->actor].version, &t->arena);
	set_defaults(p, t, step);
	for (uint32_t i = 0; i < step->n_assigns; i++) {
		status = apply(t, &step->assigns[i]);
		if (status == CODEC_BAD && !bad_value(p, &step->assigns[i]))
			return false;
		t->limit |= status == CODEC_LIMIT;
	}
	for (uint32_t i = 0; i < step->n_filters; i++)
		t->limit |= add_filter(t, step, &step->filters[i]) != CODEC_OK;
	if (step->type == PUBLISH && publish_qos(&t->builder.packet) && !(p->kind == FILE_FINDING && step->kind == STEP_SEND))
		set_default(t, step, "packet_id", (struct value){ .kind = VALUE_NUMBER, .number = 1 });
	status = t->limit ? CODEC_LIMIT : builder_encode(&t->builder, &w);
	if (status == CODEC_BAD && t->builder.size)
		return fail_at(p, step->at, "this packet cannot be padded to %zu bytes", t->builder.size);
	t->limit |= status != CODEC_OK || !wr_fits(&w);
	t->len = w.len;
	if (!t->limit)
		t->framed = frame_next(t->wire, t->len, &t->frame, &finding);
	return true;
}

/* Whether anything is wrong with the bytes by themselves. */
static bool judge(struct trial *t, enum version version, struct finding *finding)
{
	struct packet packet;

	if (frame_next(t->wire, t->len, &t->frame, finding) == FRAME_BAD)
		return false;
	if (t->framed == FRAME_MORE || t->frame.size != t->len) {
		*finding = (struct finding){ .rule = RULE_TRUNCATED, .version = (uint8_t)version, .field = "remaining_length",
		                             .why = "is not the packet's length" };
		return false;
	}
	if (t->frame.overlong) {
		*finding = (struct finding){ .rule = RULE_OVERLONG, .version = (uint8_t)version, .field = "remaining_length",
		                             .why = "is not in its shortest form" };
		return false;
	}
	return decode(t->wire, t->len, version, &packet, finding) == CODEC_OK && check(&packet, FROM_CLIENT, finding) == CODEC_OK;
}

/* ---- a send that is wrong by itself ---- */

/* What only the flow can make wrong may carry '!' without being wrong by itself. */
static bool flow_decides(const struct assign *a)
{
	static const char *const names[] = {
		"packet_id", "dup", "qos", "retain", "topic", "topic_alias", "client_id", "reason", "session_expiry_interval",
		"authentication_method", "authentication_data", "subscription_identifier", "will.qos", "will.retain", "clean_start",
	};

	for (size_t i = 0; a->field && i < sizeof names / sizeof *names; i++)
		if (!strcmp(a->field->name, names[i]))
			return true;
	return false;
}

static void warn_needless(struct parser *p, const struct step *step)
{
	for (uint32_t i = 0; i < step->n_assigns; i++)
		if (step->assigns[i].illegal && flow_decides(&step->assigns[i]))
			return;
	for (uint32_t i = 0; i < step->n_assigns; i++)
		if (step->assigns[i].illegal) {
			warn_at(p, step->assigns[i].at, "nothing is wrong with this packet; take the `!` out");
			return;
		}
}

static const struct assign *part_of(const struct step *step, const char *field)
{
	const struct assign *a = field ? assigned(step->assigns, step->n_assigns, field) : NULL;

	for (uint32_t i = 0; !a && field && i < step->n_filters; i++)
		a = assigned(step->filters[i].options, step->filters[i].n_options, field);
	return a;
}

static void report_wrong(struct parser *p, const struct step *step, const struct finding *finding)
{
	const struct assign *a = part_of(step, finding->field);
	unsigned version = p->actors[step->actor].version;
	const char *name = packet_name((enum packet_type)step->type);

	if (a && !expr_constant(a->value) && a->value->kind != EXPR_TEMPLATE && a->value->kind != EXPR_LIST && a->value->kind != EXPR_PAIR)
		return;		/* a sample proves nothing */
	if (a)
		fail_at(p, a->at, "%s %s [%s:%s]; write `!%s` if that is meant", a->field->name, finding->why, version_name(version),
		        rule_id(finding->rule, (enum version)version), a->field->name);
	else
		fail_at(p, step->at, "this %s is wrong: %s%s%s [%s:%s]; write `-> !%s` if that is meant", name,
		        finding->field ? finding->field : "", finding->field ? " " : "", finding->why, version_name(version),
		        rule_id(finding->rule, (enum version)version), name);
}

static bool trial_start(struct parser *p, struct trial *t)
{
	if (!p->room) {
		p->room = region_alloc(&p->scratch, 3 * ROOM + SAMPLE);
		memset(p->room + 3 * ROOM, 'x', SAMPLE);
	}
	*t = (struct trial){ .wire = p->room, .filler = p->room + 3 * ROOM };
	arena_init(&t->arena, p->room + ROOM, 2 * ROOM);
	return true;
}

void check_send(struct parser *p, const struct step *step)
{
	struct finding finding;
	struct trial t;

	if (p->kind == FILE_FAULT || step->frame || !trial_start(p, &t) || !try_packet(p, &t, step) || t.limit)
		return;
	if (step->kind == STEP_SEND && t.framed == FRAME_MORE && !p->captured && p->kind != FILE_FINDING)
		p->waiting[step->actor] = step;
	if (judge(&t, (enum version)p->actors[step->actor].version, &finding)) {
		if (p->kind != FILE_FINDING)	/* what a mutation left legal may still say where it was */
			warn_needless(p, step);
	} else if (!step->illegal) {
		report_wrong(p, step, &finding);
	}
}

void check_bytes(struct parser *p, const struct step *step)
{
	struct finding finding;
	struct frame frame;
	size_t at = 0;

	if (step->value->kind != EXPR_BYTES || step->frame || p->captured || p->kind == FILE_FINDING)
		return;
	while (at < step->value->bytes.len) {
		enum frame_status status = frame_next(step->value->bytes.at + at, step->value->bytes.len - at, &frame, &finding);

		if (status == FRAME_MORE)
			p->waiting[step->actor] = step;
		if (status != FRAME_OK)
			return;
		at += frame.size;
	}
}

/* [a false length that leaves the broker waiting owes no reaction] */
bool check_reaction(struct parser *p, const struct step *step)
{
	const struct step *sent = p->captured ? NULL : p->waiting[step->actor];

	if (step->kind == STEP_CLOSED && sent && !step->within)
		return fail_at(p, step->at, "the packet of line %u is not whole, so the broker waits for the rest and owes no reaction; "
		               "send it, or say `within D` where a time limit ends the connection", sent->at.line);
	return true;
}

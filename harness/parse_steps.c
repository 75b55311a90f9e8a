#include "harness/parse.h"

#include "codec/ws.h"

/* Steps, one line each. */

struct step *step_new(struct parser *p, enum step_kind kind, struct place at)
{
	struct step *step = region_alloc(p->region, sizeof *step);

	if (++p->n_steps > MAX_STEPS) {
		fail_at(p, at, "more than %d steps in one test", MAX_STEPS);
		return NULL;
	}
	step->kind = kind;
	step->at = at;
	step->of = step->bind_moment = step->slot = -1;
	return step;
}

/* ---- actors ---- */

static bool parse_actors(struct parser *p, struct step *step)
{
	do {
		const struct token *name = now(p);
		int known;
		uint16_t number;

		if (name->kind != TOKEN_WORD)
			return expected(p, "an actor's name");
		if (p->role && !span_is(name->text, p->role->name))
			return not_this_role(p, name);
		take(p);
		known = find_actor(p, name->text);
		if (known < 0 && !new_actor(p, name, &number))
			return false;
		if (known >= 0)
			number = (uint16_t)known;
		if (p->captured) {
			step->actor = number;
			return !token_is(now(p), '|') || fail_at(p, place_of(now(p)), "`a|b` does not stand in a capture: a packet was seen on one connection");
		}
		if (step->actors & 1u << number)
			return fail_at(p, place_of(name), "actor `%s` stands twice", shown(name->text));
		if (!step->actors)
			step->actor = number;
		step->actors |= 1u << number;
	} while (take_sign_if(p, '|'));
	return true;
}

/* ---- packets ---- */

static bool parse_packet(struct parser *p, uint8_t *type, unsigned version)
{
	struct nearest nearest = { .word = now(p)->text };
	const struct token *name = now(p);

	if (name->kind != TOKEN_WORD)
		return expected(p, "a packet such as PUBLISH");
	*type = (uint8_t)packet_type_named(name->text);
	if (!*type) {
		for (unsigned i = CONNECT; i < N_PACKET_TYPES; i++)
			nearest_try(&nearest, packet_name((enum packet_type)i));
		return fail_at(p, place_of(name), "unknown packet `%s`%s", shown(name->text), did_you_mean(&nearest));
	}
	take(p);
	if (*type == AUTH && version != MQTT_5)
		return fail_at(p, place_of(name), "AUTH exists in 5 only, not in %s", version_name(version));
	return true;
}

static void take_parts(struct step *step, const struct parts *parts)
{
	step->assigns = parts->assigns;
	step->n_assigns = parts->n_assigns;
	step->filters = parts->filters;
	step->n_filters = parts->n_filters;
	step->matches = parts->matches;
	step->n_matches = parts->n_matches;
	step->illegal |= parts->illegal;
}

static bool starts_with(const struct expr *value, const char *text)
{
	if (value->kind == EXPR_TEMPLATE && value->n_items)
		value = value->items[0];
	return value->kind == EXPR_BYTES && value->bytes.len >= strlen(text) && !memcmp(value->bytes.at, text, strlen(text));
}

static void note_shared(struct parser *p, const struct step *step)
{
	for (uint32_t i = 0; i < step->n_filters && !p->captured; i++)
		if (p->actors[step->actor].version == MQTT_5 && starts_with(step->filters[i].filter, "$share/"))
			p->shared[step->actor] = true;
		else
			p->plain[step->actor] = true;
}

static bool parse_bytes(struct parser *p, struct step *step)
{
	step->kind = STEP_BYTES;
	step->illegal = true;
	step->value = parse_value(p, &(struct target){ .version = p->version, .sending = true });
	return step->value && (step->value->kind != EXPR_NUMBER || fail_at(p, step->value->at, "expected bytes such as hex\"c0 00\""));
}

static bool parse_send(struct parser *p, struct step *step, struct parts *parts)
{
	unsigned version = p->actors[step->actor].version;

	if (take_word_if(p, "bytes"))
		return parse_bytes(p, step);
	step->kind = STEP_SEND;
	step->illegal = take_sign_if(p, '!');
	if (!parse_packet(p, &step->type, version))
		return false;
	if (p->kind == FILE_FAULT ? !parse_matches(p, step->type, version, parts) : !parse_assigns(p, step->type, version, parts))
		return false;
	take_parts(step, parts);
	note_shared(p, step);
	return true;
}

static bool moment_behind_packet(struct parser *p, struct step *step)
{
	if (!take_word_if(p, "as"))
		return true;
	if (!bind_name(p, now(p), NAME_MOMENT, &step->bind_moment))
		return false;
	take(p);
	return true;
}

static bool sent_by_broker(unsigned type, unsigned version)
{
	return type != CONNECT && type != SUBSCRIBE && type != UNSUBSCRIBE && type != PINGREQ &&
	       (version == MQTT_5 || type != DISCONNECT);
}

static bool parse_closed(struct parser *p, struct step *step)
{
	unsigned version = p->actors[step->actor].version;
	struct target target = { .field = field_find(DISCONNECT, span_text("reason")), .type = DISCONNECT, .version = MQTT_5 };
	const struct pattern *reason;
	bool dropped = false;

	step->kind = STEP_CLOSED;
	for (;;) {
		if (take_word_if(p, "or")) {
			if (!take_word_if(p, "nacked"))
				return expected(p, "`nacked`");
			step->or_nacked = true;
			continue;
		}
		if (!take_word_if(p, "reason"))
			return true;
		take_sign_if(p, '=');
		reason = parse_pattern(p, &target, &dropped);
		if (!reason)
			return false;
		if (reason->kind == PATTERN_EQUAL && reason->value->kind == EXPR_NUMBER && reason->value->number < 0x80)
			return fail_at(p, reason->at, "a broker that ends the connection says why with a reason of 0x80 or more");
		if (version == MQTT_5)
			step->closed_reason = reason;
	}
}

static bool parse_take(struct parser *p, struct step *step, struct parts *parts)
{
	unsigned version = p->actors[step->actor].version;
	const struct token *name = now(p);

	if (take_word_if(p, "closed"))
		return parse_closed(p, step);
	if (take_word_if(p, "nothing")) {
		step->kind = STEP_NOTHING;
		return !take_word_if(p, "for") || (step->duration = parse_duration(p));
	}
	step->kind = STEP_EXPECT;
	if (token_is(name, '!'))
		return fail_at(p, place_of(name), "`!` marks what we send; an expectation has none");
	if (!parse_packet(p, &step->type, version))
		return false;
	if (p->kind != FILE_FAULT && !sent_by_broker(step->type, version))
		return fail_at(p, place_of(name), "no broker sends %s in %s", packet_name((enum packet_type)step->type),
		               version_name(version));
	if (!moment_behind_packet(p, step) || !parse_matches(p, step->type, version, parts))
		return false;
	take_parts(step, parts);
	return true;
}

/* ---- set-up steps ---- */

static const struct verb {
	const char *name;
	enum step_kind kind;
	uint8_t sends, gets;
} verbs[] = {
	{ "connects",		STEP_CONNECTS,		CONNECT,	CONNACK },
	{ "subscribes",		STEP_SUBSCRIBES,	SUBSCRIBE,	SUBACK },
	{ "unsubscribes",	STEP_UNSUBSCRIBES,	UNSUBSCRIBE,	UNSUBACK },
	{ "publishes",		STEP_PUBLISHES,		PUBLISH,	PUBACK },
	{ "pings",		STEP_PINGS,		PINGREQ,	0 },
	{ "disconnects",	STEP_DISCONNECTS,	DISCONNECT,	0 },
};

static unsigned publish_answer(const struct parts *parts)
{
	for (uint32_t i = 0; i < parts->n_assigns; i++)
		if (parts->assigns[i].kind == ASSIGN_FIELD && !strcmp(parts->assigns[i].field->name, "qos") &&
		    parts->assigns[i].value->kind == EXPR_NUMBER)
			return parts->assigns[i].value->number == 2 ? PUBREC : parts->assigns[i].value->number ? PUBACK : 0;
	for (uint32_t i = 0; i < parts->n_assigns; i++)
		if (parts->assigns[i].kind == ASSIGN_FIELD && !strcmp(parts->assigns[i].field->name, "qos"))
			return PUBACK;	/* known when it is played */
	return 0;
}

static bool parse_exchange(struct parser *p, const struct verb *verb, struct step *step, struct parts *parts)
{
	unsigned version = p->actors[step->actor].version, gets = verb->gets;
	struct place at;
	uint32_t from;

	step->kind = verb->kind;
	step->type = verb->sends;
	if (!parse_assigns(p, verb->sends, version, parts))
		return false;
	if (parts->illegal)
		return fail_at(p, step->at, "`%s` sets up and must be legal; write `-> %s` for a wrong packet", verb->name,
		               packet_name((enum packet_type)verb->sends));
	if ((verb->sends == SUBSCRIBE || verb->sends == UNSUBSCRIBE) && !parts->n_filters)
		return expected(p, "the filters, `(\"a/b\" qos=1)`");
	at = place_of(now(p));
	if (take_word_if(p, "gets")) {
		if (gets == PUBACK)
			gets = publish_answer(parts);
		if (!gets)
			return fail_at(p, at, "nothing comes back that `gets` could judge");
		from = p->at;
		if (!parse_matches(p, gets, version, parts))
			return false;
		if (p->at == from)
			return expected(p, "a field behind `gets`");
	}
	take_parts(step, parts);
	note_shared(p, step);
	return true;
}

static bool parse_reads(struct parser *p, struct step *step)
{
	const struct token *t = now(p);

	step->kind = STEP_READS;
	if (take_word_if(p, "nothing"))
		return true;
	if (take_word_if(p, "freely")) {
		step->rate = UINT64_MAX;
		return true;
	}
	if (t->kind != TOKEN_NUMBER || t->unit != UNIT_RATE || !t->number)
		return expected(p, "`nothing`, `freely` or a rate such as 1k/s");
	step->rate = take(p)->number;
	return true;
}

static bool unknown_verb(struct parser *p)
{
	static const char *const others[] = { "receives", "opens", "drops", "closes", "reads", "settles", "answers" };
	size_t n = sizeof others / sizeof *others - (p->kind == FILE_FINDING ? 0 : 2);
	struct nearest nearest = { .word = now(p)->text };

	if (now(p)->kind != TOKEN_WORD)
		return expected(p, "`->`, `<-` or a verb such as connects");
	for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
		nearest_try(&nearest, verbs[i].name);
	for (size_t i = 0; i < n; i++)
		nearest_try(&nearest, others[i]);
	return fail_at(p, place_of(now(p)), "unknown verb `%s`; expected `->`, `<-` or a verb such as connects%s", shown(now(p)->text),
	               did_you_mean(&nearest));
}

/* Those that a fuzzer writes, who knows no better than to wait for whatever is owed. */
static bool parse_of_finding(struct parser *p, struct step *step)
{
	bool settles = token_word(now(p), "settles");

	if (p->kind != FILE_FINDING)
		return fail_at(p, place_of(now(p)), settles ? "`settles` stands in findings only; say what is to come, `%s <- PUBACK`, and it is waited for"
		               : "`answers` stands in findings only; `%s receives` acknowledges what it takes", p->actors[step->actor].name);
	take(p);
	step->kind = settles ? STEP_SETTLES : STEP_ANSWERS;
	return true;
}

static bool parse_verb(struct parser *p, struct step *step, struct parts *parts)
{
	if (take_word_if(p, "receives")) {
		step->kind = STEP_RECEIVES;
		step->type = PUBLISH;
		if (!moment_behind_packet(p, step) || !parse_matches(p, PUBLISH, p->actors[step->actor].version, parts))
			return false;
		take_parts(step, parts);
		return true;
	}
	if (step->actors & (step->actors - 1))
		return fail_at(p, place_of(now(p)), "several actors can only `receives`");
	if (now(p)->kind == TOKEN_SEND) {
		take(p);
		return parse_send(p, step, parts);
	}
	if (now(p)->kind == TOKEN_TAKE) {
		take(p);
		return parse_take(p, step, parts);
	}
	for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
		if (take_word_if(p, verbs[i].name))
			return parse_exchange(p, &verbs[i], step, parts);
	if (take_word_if(p, "reads"))
		return parse_reads(p, step);
	if (token_word(now(p), "settles") || token_word(now(p), "answers"))
		return parse_of_finding(p, step);
	step->kind = token_word(now(p), "opens") ? STEP_OPENS : token_word(now(p), "drops") ? STEP_DROPS :
	             token_word(now(p), "closes") ? STEP_CLOSES : STEP_BLOCK;
	if (step->kind == STEP_BLOCK)
		return unknown_verb(p);
	take(p);
	return true;
}

/* ---- what follows a step: time, pieces, moments ---- */

static bool waits(const struct step *step)
{
	return step->kind == STEP_EXPECT || step->kind == STEP_RECEIVES || step->kind == STEP_CLOSED ||
	       (step->kind >= STEP_CONNECTS && step->kind <= STEP_DISCONNECTS);
}

static bool parse_of(struct parser *p, struct step *step)
{
	const struct bound_name *name;
	const struct token *t = now(p);

	if (!step->within && !step->after)
		return fail_at(p, place_of(t), "`of` stands behind `within D` or `after D`");
	if (!waits(step))
		return fail_at(p, place_of(t), "the time of this step counts from when it begins; take `of` out");
	if (t->kind != TOKEN_NAME)
		return expected(p, "a moment such as `$cut`");
	name = find_name(p, t->text);
	if (!name)
		return fail_at(p, place_of(t), "`$%s` is not bound here", shown(t->text));
	if (name->kind != NAME_MOMENT)
		return fail_at(p, place_of(t), "`$%s` is a value; expected a moment, bound by `a drops as $cut`", shown(t->text));
	take(p);
	step->of = (int32_t)name->slot;
	return true;
}

static bool parse_in_flight(struct parser *p, struct step *step)
{
	if (p->kind != FILE_WORKLOAD)
		return fail_at(p, step->at, "`in flight` stands in workloads only; a scenario waits for each exchange");
	if (step->kind != STEP_PUBLISHES)
		return fail_at(p, step->at, "`in flight` stands behind `publishes`");
	if (step->n_matches)
		return fail_at(p, step->at, "nobody waits for an exchange in flight, so that `gets` has nothing to look at");
	if (!(step->in_flight = parse_count(p, "how many exchanges may be open")))
		return false;
	if (step->in_flight->kind == EXPR_NUMBER && (!step->in_flight->number || step->in_flight->number > MAX_IN_FLIGHT))
		return fail_at(p, step->in_flight->at, "1 to %d exchanges are in flight", MAX_IN_FLIGHT);
	return true;
}

static bool parse_pieces(struct parser *p, struct step *step)
{
	if (take_word_if(p, "flight"))
		return parse_in_flight(p, step);
	if (!take_word_if(p, "pieces"))
		return expected(p, "`pieces of N`");
	if (step->kind != STEP_SEND && step->kind != STEP_BYTES && step->kind != STEP_TOGETHER)
		return fail_at(p, step->at, "only a send is cut in pieces");
	if (!take_word_if(p, "of"))
		return expected(p, "`of`");
	step->pieces = parse_count(p, "a number of bytes");
	if (!step->pieces)
		return false;
	if (step->pieces->kind == EXPR_NUMBER && !step->pieces->number)
		return fail_at(p, step->pieces->at, "pieces have at least one byte");
	return !take_word_if(p, "every") || (step->every = parse_duration(p));
}

/* !frame=text, frame=ping, frame=pong */
static bool parse_frame(struct parser *p, struct step *step)
{
	static const struct { const char *name; enum ws_opcode opcode; } kinds[] = { { "text", WS_TEXT }, { "ping", WS_PING }, { "pong", WS_PONG } };
	struct place at = place_of(now(p));
	bool illegal = take_sign_if(p, '!');

	take(p);
	if (step->kind != STEP_SEND && step->kind != STEP_BYTES)
		return fail_at(p, at, "`frame` stands behind a send");
	if (p->actors[step->actor].way != WAY_WS && p->actors[step->actor].way != WAY_WSS)
		return fail_at(p, at, "`frame` is about WebSocket: `actor %s transport=ws` says that it speaks it", p->actors[step->actor].name);
	if (!need_sign(p, '='))
		return false;
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
		if (take_word_if(p, kinds[i].name))
			step->frame = (uint8_t)kinds[i].opcode;
	if (!step->frame)
		return expected(p, "text, ping or pong");
	if ((step->frame == WS_TEXT) != illegal)
		return fail_at(p, at, illegal ? "a control frame may come at any time; take the `!` out" : "MQTT travels in binary frames [MQTT-6.0.0-1]; write `!frame=text` if that is meant");
	if (step->frame != WS_TEXT && step->kind != STEP_BYTES)
		return fail_at(p, at, "a packet does not travel in a control frame; send `bytes`");
	step->illegal |= illegal;
	return true;
}

static bool parse_moment(struct parser *p, struct step *step)
{
	if (step->bind_moment >= 0)
		return fail_at(p, place_of(now(p)), "this step's moment has a name already");
	if (!bind_name(p, now(p), NAME_MOMENT, &step->bind_moment))
		return false;
	take(p);
	return true;
}

static bool parse_tail(struct parser *p, struct step *step)
{
	for (;;) {
		struct place at = place_of(now(p));

		if (take_word_if(p, "within") || token_word(now(p), "after")) {
			bool after = take_word_if(p, "after");
			const struct expr **duration = after ? &step->after : &step->within;

			if (!waits(step) && !((step->kind == STEP_TARGET_LIVES || step->kind == STEP_SETTLES) && !after))
				return fail_at(p, at, "`%s` stands behind a step that waits for the broker", after ? "after" : "within");
			if (step->in_flight)
				return fail_at(p, at, "nobody waits for an exchange in flight; take `%s` out", after ? "after" : "within");
			if (*duration)
				return fail_at(p, at, "`%s` stands twice", after ? "after" : "within");
			if (!(*duration = parse_duration(p)))
				return false;
			if (step->within && step->after && step->within->kind == EXPR_NUMBER && step->after->kind == EXPR_NUMBER &&
			    step->within->number <= step->after->number)
				return fail_at(p, at, "nothing can come `after` this time and `within` that one");
		} else if (take_word_if(p, "of")) {
			if (!parse_of(p, step))
				return false;
		} else if (take_word_if(p, "in")) {
			if (!parse_pieces(p, step))
				return false;
		} else if (at_frame(p)) {
			if (!parse_frame(p, step))
				return false;
		} else if (take_word_if(p, "as")) {
			if (!parse_moment(p, step))
				return false;
		} else {
			return true;
		}
	}
}

/* ---- steps without an actor ---- */

static bool parse_lives(struct parser *p, struct step *step)
{
	step->kind = STEP_TARGET_LIVES;
	if (!take_word_if(p, "lives"))
		return expected(p, "`lives`");
	for (;;) {
		if (take_word_if(p, "within")) {
			if (!(step->within = parse_duration(p)))
				return false;
		} else if (take_word_if(p, "grows")) {
			if (!need_sign(p, '<'))
				return false;
			if (now(p)->kind != TOKEN_NUMBER || now(p)->unit == UNIT_TIME || now(p)->unit == UNIT_RATE || !now(p)->number)
				return expected(p, "a size such as 64M");
			step->grows = take(p)->number;
		} else if (take_word_if(p, "busy")) {
			if (!need_sign(p, '<'))
				return false;
			if (now(p)->kind != TOKEN_NUMBER || now(p)->unit != UNIT_TIME || !now(p)->number)
				return expected(p, "how much CPU time it may use in a second, such as 500ms");
			step->busy = take(p)->number;
		} else {
			return true;
		}
	}
}

static bool parse_said(struct parser *p, struct step *step, enum step_kind kind)
{
	step->kind = kind;
	return parse_string(p, "a text in quotes", &step->text);
}

static bool in_scenarios_only(const struct parser *p)
{
	static const char *const words[] = { "warn", "skip", "unordered", "either", "maybe", "repeat" };

	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		if (token_word(now(p), words[i]) && ahead(p, 1)->kind != TOKEN_SEND && ahead(p, 1)->kind != TOKEN_TAKE)
			return true;
	return token_word(now(p), "target") && token_word(ahead(p, 1), "lives");
}

/* A step that begins with a word of the language: 1 parsed, 0 failed, -1 it is something else. */
static int parse_keyword(struct parser *p, struct step *step)
{
	uint32_t from = p->at;

	if (p->role && !belongs_in_role(p, now(p)))
		return 0;
	if (p->kind == FILE_FINDING && not_in_finding(p, now(p)))
		return 0;
	if (p->captured && in_scenarios_only(p))
		return fail_at(p, place_of(now(p)), "`%s` does not stand in a capture: what was seen is one step after the other", shown(now(p)->text));
	if (take_word_if(p, "wait")) {
		step->kind = STEP_WAIT;
		return (step->duration = parse_duration(p)) != NULL;
	}
	if (take_word_if(p, "note"))
		return parse_said(p, step, STEP_NOTE);
	if (take_word_if(p, "warn"))
		return parse_said(p, step, STEP_WARN);
	if (take_word_if(p, "skip"))
		return parse_said(p, step, STEP_SKIP);
	if (token_word(now(p), "target") && token_word(ahead(p, 1), "lives")) {
		take(p);
		return parse_lives(p, step);
	}
	step->kind = token_word(now(p), "unordered") ? STEP_UNORDERED : token_word(now(p), "either") ? STEP_EITHER :
	             token_word(now(p), "maybe") ? STEP_MAYBE : token_word(now(p), "repeat") ? STEP_REPEAT :
	             token_word(now(p), "together") ? STEP_TOGETHER : STEP_BLOCK;
	if (step->kind == STEP_BLOCK)
		return -1;
	take(p);
	step->text = text_between(p, from, p->at);
	return step->kind == STEP_UNORDERED ? parse_unordered(p, step) : step->kind == STEP_EITHER ? parse_either(p, step) :
	       step->kind == STEP_MAYBE ? parse_maybe(p, step) : step->kind == STEP_REPEAT ? parse_repeat(p, step, from) :
	       parse_together(p, step);
}

static bool late_header(struct parser *p)
{
	if (!is_header_word(now(p)) || ahead(p, 1)->kind == TOKEN_SEND || ahead(p, 1)->kind == TOKEN_TAKE)
		return false;
	fail_at(p, place_of(now(p)), "`%s` belongs in the header, before the first step", shown(now(p)->text));
	return true;
}

static bool check_actor_step(struct parser *p, const struct step *step)
{
	bool exchange = step->kind >= STEP_CONNECTS && step->kind <= STEP_DISCONNECTS;

	if (read_again(p))
		return true;
	if (!p->captured && p->kind != FILE_FINDING && (step->kind == STEP_SEND || step->kind == STEP_BYTES || step->kind == STEP_CLOSES || step->kind == STEP_DROPS || exchange))
		p->waiting[step->actor] = NULL;
	if (step->kind == STEP_SEND || exchange)
		check_send(p, step);
	if (step->kind == STEP_BYTES)
		check_bytes(p, step);
	return track(p, step) && check_reaction(p, step);
}

struct step *parse_step(struct parser *p)
{
	struct parts parts = { .bind_moment = -1 };
	const struct token *first = now(p);
	struct step *step;
	uint32_t from = p->at;
	int keyword;

	if (late_header(p))
		return NULL;
	if (parse_foreign(p, &step))
		return step;
	step = step_new(p, STEP_BLOCK, place_of(first));
	if (!step)
		return NULL;
	step->actor = (uint16_t)(p->role ? p->role - p->roles : 0);
	keyword = parse_keyword(p, step);
	if (keyword == 0)
		return NULL;
	if (keyword < 0 && (!parse_actors(p, step) || !parse_verb(p, step, &parts)))
		return NULL;
	if (!parse_tail(p, step))
		return NULL;
	if (!step->text)
		step->text = text_between(p, from, p->at);
	if (keyword < 0 && !check_actor_step(p, step))
		return NULL;
	if (step->kind != STEP_MAYBE && !parse_marks(p, step, keyword < 0 ? &parts : NULL))
		return NULL;
	return has_memory(p, step->at) ? step : NULL;
}

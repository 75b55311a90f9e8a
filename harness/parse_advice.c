#include "harness/parse.h"

#include "codec/topic.h"

/* What is legal in a workload and hardly meant. */

/* ---- walks ---- */

static bool any(const struct step *s, bool (*is)(const struct step *))
{
	for (; s; s = s->next)
		if (is(s) || any(s->children, is))
			return true;
	return false;
}

static bool is_loop(const struct step *s)
{
	return s->kind == STEP_EVERY || s->kind == STEP_FOREVER || s->kind == STEP_REPEAT;
}

static bool is_subscribe(const struct step *s)
{
	return s->kind == STEP_SUBSCRIBES || (s->kind == STEP_SEND && s->type == SUBSCRIBE);
}

static bool is_publish(const struct step *s)
{
	return s->kind == STEP_PUBLISHES || (s->kind == STEP_SEND && s->type == PUBLISH);
}

static const struct expr *assigned(const struct assign *assigns, uint32_t n, const char *field)
{
	for (uint32_t i = 0; i < n; i++)
		if (assigns[i].kind == ASSIGN_FIELD && !strcmp(assigns[i].field->name, field))
			return assigns[i].value;
	return NULL;
}

/* ---- one role ---- */

/* In a loop: one that is waited for once is no matter. */
static void check_pings(struct parser *p, const struct step *s, bool loop)
{
	for (; s; s = s->next) {
		const struct expr *qos = assigned(s->assigns, s->n_assigns, "qos");

		if (s->kind == STEP_WHENEVER)
			continue;
		if (loop && s->kind == STEP_PUBLISHES && !s->in_flight && (!qos || (qos->kind == EXPR_NUMBER && !qos->number)))
			warn_at(p, s->at, "each of these waits for a ping, as QoS 0 has no answer; `in flight 1` goes on at once");
		check_pings(p, s->children, loop || is_loop(s));
	}
}

static bool subscribes_above_0(const struct step *s)
{
	for (uint32_t i = 0; is_subscribe(s) && i < s->n_filters; i++) {
		const struct expr *qos = assigned(s->filters[i].options, s->filters[i].n_options, "qos");

		if (qos && qos->kind == EXPR_NUMBER && qos->number)
			return true;
	}
	return false;
}

/* Takes deliveries, or has its own mind about them. */
static bool minds_deliveries(const struct step *s)
{
	return s->kind == STEP_RECEIVES || s->kind == STEP_READS || s->kind == STEP_BYTES || (s->kind == STEP_EXPECT && s->type == PUBLISH) ||
	       (s->kind == STEP_SEND && (s->type == PUBACK || s->type == PUBREC));
}

static bool is_constant(const struct expr *e)
{
	if (e->kind != EXPR_TEMPLATE)
		return e->kind == EXPR_BYTES || e->kind == EXPR_NUMBER || e->kind == EXPR_TOPIC;
	for (uint32_t i = 0; i < e->n_items; i++)
		if (!is_constant(e->items[i]))
			return false;
	return true;
}

static void check_client_ids(struct parser *p, const struct role *role, const struct step *s)
{
	for (; s; s = s->next) {
		const struct expr *id = assigned(s->assigns, s->n_assigns, "client_id");

		if (s->type == CONNECT && id && is_constant(id) && !(id->kind == EXPR_BYTES && !id->bytes.len))
			warn_at(p, id->at, "all %llu clients have this id, so that each takes over the one before it; write \"...$(n)\", or leave client_id out",
			        (unsigned long long)role->count->number);
		check_client_ids(p, role, s->children);
	}
}

void check_role(struct parser *p, const struct role *role)
{
	check_order(p, role->steps);
	check_pings(p, role->steps, false);
	if (any(role->steps, subscribes_above_0) && !any(role->steps, minds_deliveries))
		warn_at(p, role->at, "role `%s` subscribes with QoS above 0 and acknowledges nothing, so that the broker soon stops sending; "
		        "`whenever %s receives { }` takes what comes", role->name, role->name);
	if (role->count->number > 1)
		check_client_ids(p, role, role->steps);
}

/* ---- what is sent before who wants it is there ---- */

/* A topic or filter with "1" for whatever the run knows; false: it does not fit. */
static bool sample(const struct expr *e, char *text, size_t size, size_t *n)
{
	struct span s = e->kind == EXPR_BYTES ? e->bytes : span_text("1");

	if (e->kind == EXPR_TEMPLATE) {
		for (uint32_t i = 0; i < e->n_items; i++)
			if (!sample(e->items[i], text, size, n))
				return false;
		return true;
	}
	if (s.len > size - *n)
		return false;
	if (s.len)
		memcpy(text + *n, s.at, s.len);
	*n += s.len;
	return true;
}

static bool may_match(const struct expr *filter, const struct expr *topic)
{
	static const struct expr own = { .kind = EXPR_TOPIC };
	char filter_text[256], topic_text[256];
	size_t n_filter = 0, n_topic = 0;
	struct span wanted, group;

	if (!sample(filter, filter_text, sizeof filter_text, &n_filter) || !sample(topic ? topic : &own, topic_text, sizeof topic_text, &n_topic))
		return false;
	wanted = span_of(filter_text, n_filter);
	if (share_split(wanted, &group, &wanted) && !share_valid(span_of(filter_text, n_filter)))
		return false;
	return topic_filter_valid(wanted) && topic_name_valid(span_of(topic_text, n_topic)) && topic_matches(wanted, span_of(topic_text, n_topic));
}

static bool wants(const struct step *s, const struct expr *topic)
{
	for (; s; s = s->next) {
		for (uint32_t i = 0; is_subscribe(s) && i < s->n_filters; i++)
			if (may_match(s->filters[i].filter, topic))
				return true;
		if (wants(s->children, topic))
			return true;
	}
	return false;
}

static bool meet_somewhere(const struct parser *p, uint32_t a, uint32_t b)
{
	for (uint32_t i = 0; i < p->n_meetings; i++)
		if (p->meetings[i].roles & 1u << a && p->meetings[i].roles & 1u << b)
			return true;
	return false;
}

static bool has_stamp(const struct expr *e)
{
	if (!e)
		return false;
	for (uint32_t i = 0; i < e->n_items; i++)
		if (has_stamp(e->items[i]))
			return true;
	return e->kind == EXPR_STAMP || e->kind == EXPR_VAR;	/* bound: what came may have had one */
}

/* What one role sends in loops and another hears, without saying which message it is. */
static void check_stamps(struct parser *p, const struct step *s, bool loop)
{
	for (; s; s = s->next) {
		for (uint32_t b = 0; loop && is_publish(s) && !has_stamp(assigned(s->assigns, s->n_assigns, "payload")) && b < p->n_roles; b++)
			if (wants(p->roles[b].steps, assigned(s->assigns, s->n_assigns, "topic"))) {
				warn_at(p, s->at, "which of these are lost, doubled or late can only be told with `payload=stamp(N)`");
				break;
			}
		const struct expr *will = assigned(s->assigns, s->n_assigns, "will.payload");
		if (will && will->kind == EXPR_STAMP)
			warn_at(p, s->at, "the stamp of a will tells nothing: the broker decides whether and when it is sent; wills are counted as `foreign`");
		check_stamps(p, s->children, loop || is_loop(s));
	}
}

/* Messages of role `a` in loops that another role subscribes to without having met it. */
static void check_early(struct parser *p, uint32_t a, const struct step *s, bool loop)
{
	for (; s; s = s->next) {
		const struct expr *topic = assigned(s->assigns, s->n_assigns, "topic");

		if (s->kind == STEP_WHENEVER)
			continue;
		for (uint32_t b = 0; loop && is_publish(s) && !assigned(s->assigns, s->n_assigns, "retain") && b < p->n_roles; b++)
			if (b != a && p->roles[b].count->number && !meet_somewhere(p, a, b) && wants(p->roles[b].steps, topic)) {
				warn_at(p, s->at, "what is sent before `%s` has subscribed goes nowhere; `meet \"ready\"` in both roles waits until all are there",
				        p->roles[b].name);
				break;
			}
		check_early(p, a, s->children, loop || is_loop(s));
	}
}

/* A name that one role has, and another nearly. */
static void check_meetings(struct parser *p)
{
	for (uint32_t i = 0; i < p->n_meetings; i++) {
		struct nearest nearest = { .word = span_text(p->meetings[i].name) };

		if (p->meetings[i].roles & (p->meetings[i].roles - 1))
			continue;
		for (uint32_t k = 0; k < p->n_meetings; k++)
			if (k != i && p->meetings[k].roles != p->meetings[i].roles)
				nearest_try(&nearest, p->meetings[k].name);
		if (nearest.best)
			warn_at(p, p->meetings[i].at, "only one role meets here%s", did_you_mean(&nearest));
	}
}

void check_workload(struct parser *p)
{
	uint64_t n_clients = 0;

	if (p->failed)
		return;
	if (!p->n_roles) {
		fail_at(p, place_of(&p->all.at[0]), "there are no roles; a workload's steps stand in `role NAME x N { }`");
		return;
	}
	for (uint32_t i = 0; i < p->n_roles; i++) {
		n_clients += p->roles[i].count->number;
		if (p->picked[i].line && !p->roles[i].count->number)
			fail_at(p, p->picked[i], "role `%s` has no clients to pick from", p->roles[i].name);
	}
	if (!n_clients)
		fail_at(p, p->roles[0].count->at, "there are no clients in any role");
	for (uint32_t i = 0; i < p->n_roles; i++)
		check_early(p, i, p->roles[i].steps, false);
	for (uint32_t i = 0; i < p->n_roles; i++)
		check_stamps(p, p->roles[i].steps, false);
	check_meetings(p);
}

#include "pcap/scenario_preface.h"

#include <stdio.h>
#include <stdlib.h>

#include "codec/topic.h"
#include "harness/console.h"

enum { KEPT_BYTES = 64 * 1024 };

void preface_settle(struct preface *p)
{
	if (p->before.len < KEPT_BYTES)
		return;
	spool_put(&p->spool, p->before.at, p->before.len);
	p->before.len = 0;
}

/* ---- versions ---- */

void preface_version(struct preface *p, const struct conversation *c, enum version version)
{
	if (c->number >= p->cap_versions) {
		p->cap_versions = 2 * c->number + 64;
		p->versions = realloc(p->versions, p->cap_versions);
		if (!p->versions)
			abort();
	}
	while (p->n_versions <= c->number)
		p->versions[p->n_versions++] = 0;
	p->versions[c->number] = (uint8_t)version;
}

static const char *version_text(enum version version)
{
	return version == MQTT_3_1 ? "3.1" : version == MQTT_5 ? "5" : "3.1.1";
}

/* The one that most conversations speak. */
static enum version usual_version(const struct preface *p)
{
	uint32_t n[MQTT_5 + 1] = { 0 };
	enum version most = MQTT_3_1;

	for (uint32_t i = 1; i < p->n_versions; i++)
		n[p->versions[i]]++;
	for (enum version v = MQTT_3_1; v <= MQTT_5; v++)
		if (n[v] >= n[most])
			most = v;
	return most;
}

/* ---- what the capture lacks ---- */

enum { FILTERS_AT_ONCE = 1000 };	/* a SUBSCRIBE is to fit in what brokers take */

/* Filters with wildcards, as far as they are looked at: what others they bring need not be subscribed by itself. */
struct wider {
	struct string *of[64];
	uint32_t n;
};

static struct wider wider_of(const struct strings *filters)
{
	struct wider wider = { .n = 0 };

	for (uint32_t i = 0; i < filters->n && wider.n < sizeof(wider.of) / sizeof(*wider.of); i++) {
		struct span filter = string_span(&filters->list[i]);

		if (!topic_name_valid(filter) && topic_filter_valid(filter))
			wider.of[wider.n++] = &filters->list[i];
	}
	return wider;
}

/* A topic that a wider filter of the list brings needs none of its own; that gets its QoS. */
static bool is_covered(const struct wider *wider, const struct string *topic)
{
	if (!topic_name_valid(string_span(topic)))
		return false;
	for (uint32_t i = 0; i < wider->n; i++) {
		if (!topic_matches(string_span(wider->of[i]), string_span(topic)))
			continue;
		if (wider->of[i]->number < topic->number)
			wider->of[i]->number = topic->number;
		return true;
	}
	return false;
}

static void write_filters(struct line *line, const char *name, const struct strings *filters)
{
	struct wider wider = wider_of(filters);
	uint32_t n = 0;

	for (uint32_t i = 0; i < filters->n; i++)
		if (is_covered(&wider, &filters->list[i]))
			filters->list[i].covered = true;
	for (uint32_t i = 0; i < filters->n; i++) {
		if (filters->list[i].covered)
			continue;
		if (n % FILTERS_AT_ONCE)
			line_text(line, ", ");
		else
			line_format(line, "%s%s subscribes (", n ? ")\n" : "", name);
		n++;
		line_string(line, string_span(&filters->list[i]));
		if (filters->list[i].number)
			line_format(line, " qos=%u", filters->list[i].number);
	}
	if (n)
		line_text(line, ")\n");
}

void preface_joined(struct preface *p, const struct conversation *c, struct strings *lacking)
{
	char name[24];

	snprintf(name, sizeof(name), "c%u", c->number);
	line_format(&p->before, "%s connects   # not in the capture: it was open already\n", name);
	write_filters(&p->before, name, lacking);
	preface_settle(p);
}

void preface_session(struct preface *p, const struct conversation *c, struct span client_id, uint32_t session_expiry_interval, struct strings *lacking)
{
	char name[24];

	snprintf(name, sizeof(name), "before%u", c->number);
	p->resumed = realloc(p->resumed, (p->n_resumed + 1) * sizeof(*p->resumed));
	if (!p->resumed)
		abort();
	p->resumed[p->n_resumed++] = c->number;
	line_format(&p->before, "%s connects client_id=", name);
	line_string(&p->before, client_id);
	line_text(&p->before, " clean_start=0");
	if (p->versions[c->number] == MQTT_5)
		line_format(&p->before, " session_expiry_interval=%u", session_expiry_interval);
	line_text(&p->before, "   # not in the capture: its session was there already\n");
	write_filters(&p->before, name, lacking);
	line_format(&p->before, "%s disconnects\n", name);
	preface_settle(p);
}

/* ---- the head ---- */

void preface_write(struct preface *p, const char *title, struct out *out)
{
	enum version usual = usual_version(p);
	struct line line = { 0 };

	if (!p->n_versions)
		return;
	line_text(&line, "capture ");
	line_string(&line, span_text(utf8_valid(span_text(title)) ? title : console_safe(title)));
	out_bytes(out, line.at, line.len);
	free(line.at);
	out_format(out, "\nmqtt    %s\n", version_text(usual));
	for (uint32_t i = 1; i < p->n_versions; i++)
		if (p->versions[i] && p->versions[i] != usual)
			out_format(out, "actor   c%u mqtt=%s\n", i, version_text(p->versions[i]));
	for (uint32_t i = 0; i < p->n_resumed; i++)
		if (p->versions[p->resumed[i]] != usual)
			out_format(out, "actor   before%u mqtt=%s\n", p->resumed[i], version_text(p->versions[p->resumed[i]]));
	out_byte(out, '\n');
	if (p->seeds)
		out_text(out, "seed connects   # publishes what was not captured\n");
	spool_copy(&p->spool, out);
	out_bytes(out, p->before.at, p->before.len);
}

void preface_release(struct preface *p)
{
	spool_release(&p->spool);
	free(p->before.at);
	free(p->versions);
	free(p->resumed);
	*p = (struct preface){ 0 };
}

#include <stdlib.h>

#include "codec/fields.h"
#include "codec/topic.h"
#include "pcap/scenario_lines.h"
#include "pcap/scenario_memory.h"
#include "pcap/scenario_preface.h"
#include "pcap/spool.h"
#include "pcap/views.h"

/*
 * --format scenario: the capture as a file in the notation that `replay` plays against another broker. Each connection is an
 * actor. What the capture shows stands in its order; what it lacks and a replay needs (connections that were already open,
 * subscriptions, retained messages, messages of publishers that were not captured) is added by verbs.
 *
 * What has to be added before the first step is known at the end only, so that the steps wait in a temporary file.
 */

enum {
	SLOW_NS = 2000000000,		/* a pause after which a step says how long it may take elsewhere */
	ALL_BYTES = 12 << 20,		/* that conversations and sessions remember, in all */
};

struct scenario_writer {
	struct observer observer;
	struct out *out;
	struct view_options options;
	const char *title;
	struct spool body;
	struct line line;
	struct preface preface;
	struct published *published;
	struct strings clients;		/* client ids whose sessions the capture shows from their start */
	struct strings sessions;	/* of client ids: number is an index of kept */
	struct named_ids *kept;		/* the ids that a session leaves open; as many as sessions.cap at most */
	uint32_t n_kept;
	size_t room;
	uint32_t n_names;
	uint64_t start_ns;
	bool has_steps;
	struct endpoint brokers[MAX_BROKERS];
	uint32_t n_brokers;
};

struct role {				/* what is known of a conversation */
	struct named_ids ids;
	struct strings filters;		/* subscribed in the capture */
	struct strings lacking;		/* delivered without a subscription that was seen; number: the highest QoS */
	struct span client_id;		/* of CONNECT, in `clients` */
	uint64_t last_ns;		/* of its last step */
	uint32_t session_expiry_interval;
	bool resumed;			/* a session from before the capture */
	bool clean;
	bool closed;
	uint8_t version;		/* of its first packet that stands in a step: an actor has one */
	bool begun;			/* a step of it stands in the file */
	bool lost;			/* something of the client's, before that */
	bool joined;			/* its CONNECT is not in the capture, or was not to be shown */
	bool greeted;			/* it sent one, or what may have been meant as one */
};

static struct scenario_writer *writer_of(struct observer *o)
{
	return (struct scenario_writer *)o;
}

static struct role *role_of(const struct scenario_writer *s, const struct conversation *c)
{
	return c->of[s->observer.slot];
}

/* ---- lines ---- */

static void put_line(struct scenario_writer *s)
{
	line_text(&s->line, "\n");
	spool_put(&s->body, s->line.at, s->line.len);
	s->line.len = 0;
}

static void put_time(struct scenario_writer *s, const struct when *when)
{
	uint64_t since = when->time_ns > s->start_ns ? when->time_ns - s->start_ns : 0;

	line_format(&s->line, "   # %llu.%06llu f%llu", (unsigned long long)(since / 1000000000),
	            (unsigned long long)(since % 1000000000 / 1000), (unsigned long long)when->frame);
}

/* The end of an expectation: where the capture had to wait, so may a replay. */
static void put_patience(struct scenario_writer *s, struct role *r, const struct when *when)
{
	if (r->last_ns && when->time_ns > r->last_ns + SLOW_NS)
		line_format(&s->line, " within %llus", (unsigned long long)((when->time_ns - r->last_ns) * 3 / 2 / 1000000000 + 1));
}

static void step_done(struct scenario_writer *s, struct role *r, const struct when *when)
{
	put_time(s, when);
	put_line(s);
	r->last_ns = when->time_ns;
}

/*
 * Before a step of the connection: one that does not begin with what its client sent first lacks that. A client that sends something else
 * than CONNECT is left as it is: that it was not one is what the capture shows.
 */
static void begin(struct scenario_writer *s, const struct conversation *c, struct role *r, const struct seen_packet *sent)
{
	if (!r->begun)
		r->joined = !c->from_start || !sent || (!(sent->status == CODEC_OK && sent->packet.type == CONNECT) && (c->version_known || r->lost));
	r->begun = s->has_steps = true;
}

/* An actor has one version. What was read by another, because another CONNECT or the rest showed that it is that, cannot be a step of it. */
static bool is_of_its_version(struct role *r, const struct packet *p)
{
	if (!r->version)
		r->version = p->version;
	return r->version == p->version;
}

/* ---- conversations ---- */

static void started(struct observer *o, const struct when *when)
{
	writer_of(o)->start_ns = when->time_ns;
}

static void opened(struct observer *o, struct conversation *c, const struct when *when)
{
	struct scenario_writer *s = writer_of(o);
	struct role *r = calloc(1, sizeof(*r));

	(void)when;
	if (!r)
		abort();
	r->ids.room = r->filters.room = r->lacking.room = &s->room;
	c->of[o->slot] = r;
	preface_version(&s->preface, c, c->version);
}

/* The names that a session's open ids have go with it to its next connection. */
static void keep_ids(struct scenario_writer *s, struct role *r)
{
	struct string *of = r->client_id.len ? strings_find(&s->sessions, r->client_id) : NULL;

	if (!r->ids.n || !r->client_id.len)
		return;
	if (!of && !(of = strings_add(&s->sessions, r->client_id, s->n_kept)))
		return;
	if (of->number == s->n_kept) {
		s->kept = realloc(s->kept, (s->n_kept + 1) * sizeof(*s->kept));
		if (!s->kept)
			abort();
		s->kept[s->n_kept++] = (struct named_ids){ .room = &s->room };
	}
	named_release(&s->kept[of->number]);
	s->kept[of->number] = r->ids;
	r->ids = (struct named_ids){ .room = &s->room };
}

static void resume_ids(struct scenario_writer *s, struct role *r)
{
	struct string *of = r->client_id.len ? strings_find(&s->sessions, r->client_id) : NULL;

	if (!of)
		return;
	named_release(&r->ids);
	r->ids = s->kept[of->number];
	s->kept[of->number] = (struct named_ids){ .room = &s->room };
}

static void note_broker(struct scenario_writer *s, const struct endpoint *broker)
{
	for (uint32_t i = 0; i < s->n_brokers; i++)
		if (endpoint_equal(&s->brokers[i], broker))
			return;
	if (s->n_brokers < MAX_BROKERS)
		s->brokers[s->n_brokers++] = *broker;
}

size_t scenario_brokers(const struct observer *scenario, const struct endpoint **brokers)
{
	const struct scenario_writer *s = (const struct scenario_writer *)scenario;

	*brokers = s->brokers;
	return s->n_brokers;
}

static void ended(struct observer *o, struct conversation *c, enum conversation_end how, const struct when *when)
{
	struct scenario_writer *s = writer_of(o);
	struct role *r = role_of(s, c);

	(void)how, (void)when;
	if (r->begun)
		note_broker(s, &c->broker);
	preface_version(&s->preface, c, r->version ? (enum version)r->version : c->version);
	if (r->joined)
		preface_joined(&s->preface, c, &r->lacking);
	else if (r->resumed)
		preface_session(&s->preface, c, r->client_id, r->session_expiry_interval, &r->lacking);
	keep_ids(s, r);
	named_release(&r->ids);
	strings_release(&r->filters);
	strings_release(&r->lacking);
	free(r);
	c->of[o->slot] = NULL;
}

/* ---- what the client sent ---- */

static void note_subscribe(struct role *r, const struct packet *p)
{
	struct filter_walk walk = filters_of(p);
	struct span filter, group, inner;
	uint8_t options;

	while (filter_next(&walk, &filter, &options)) {
		if (share_split(filter, &group, &inner))
			filter = inner;
		if (!strings_find(&r->filters, filter))
			strings_add(&r->filters, filter, 0);
	}
}

/* A filter that is given back was held: where it was taken was not captured. */
static void note_unsubscribe(const struct conversation *c, struct role *r, const struct packet *p)
{
	struct filter_walk walk = filters_of(p);
	struct span filter;
	uint8_t options;

	while (filter_next(&walk, &filter, &options))
		if ((!c->from_start || r->resumed) && !strings_find(&r->filters, filter) && !strings_find(&r->lacking, filter))
			strings_add(&r->lacking, filter, 0);
}

static void note_connect(struct scenario_writer *s, const struct conversation *c, struct role *r, const struct packet *p)
{
	struct string *id = strings_find(&s->clients, p->client_id);

	r->clean = p->connect_flags & CONNECT_CLEAN_START;
	r->resumed = !r->clean && p->client_id.len && !id;	/* unless CONNACK says that there is none */
	if (!id && p->client_id.len)
		id = strings_add(&s->clients, p->client_id, c->number);
	if (id)
		r->client_id = span_of(id->at, id->len);
	r->session_expiry_interval = (uint32_t)property_number(p->properties, PROP_session_expiry_interval, 0);
	if (p->connect_flags & CONNECT_WILL)
		published_add(s->published, p->will_topic, p->will_payload,
		              p->connect_flags & CONNECT_WILL_RETAIN ? PUBLISHED | PUBLISHED_RETAINED : PUBLISHED);
}

/* The name of the broker's id that the client answers; 0: the id is the client's own. */
static bool answers_broker(enum packet_type type)
{
	return type == PUBACK || type == PUBREC || type == PUBCOMP;
}

static void sent(struct scenario_writer *s, const struct seen_packet *seen, struct role *r)
{
	const struct packet *p = &seen->packet;
	uint32_t number = seen->conversation->number, name = 0;
	struct finding finding;
	bool legal = seen->status == CODEC_OK && check(p, FROM_CLIENT, &finding) == CODEC_OK;

	if (seen->status == CODEC_OK && answers_broker((enum packet_type)p->type) && !(name = named_find(&r->ids, p->packet_id)))
		line_text(&s->line, "# ");	/* what it answers is not in the capture, so its id will be another */
	else if (legal && !is_of_its_version(r, p))
		line_text(&s->line, "# of another version: ");
	else
		begin(s, seen->conversation, r, seen);
	line_format(&s->line, "c%u -> ", number);
	line_send(&s->line, seen, name, s->options.secrets);
	step_done(s, r, &seen->when);
	r->greeted = r->greeted || seen->status != CODEC_OK || p->type == CONNECT;
	if (!legal)
		return;			/* no broker makes anything of it */
	if (p->type == CONNECT)
		note_connect(s, seen->conversation, r, p);
	else if (p->type == SUBSCRIBE)
		note_subscribe(r, p);
	else if (p->type == UNSUBSCRIBE)
		note_unsubscribe(seen->conversation, r, p);
	else if (p->type == PUBLISH && seen->topic.at)
		published_add(s->published, seen->topic, p->payload, p->flags & PUBLISH_RETAIN && p->payload.len ? PUBLISHED | PUBLISHED_RETAINED : PUBLISHED);
	else if (p->type == PUBACK || p->type == PUBCOMP || (p->type == PUBREC && p->reason >= 0x80))
		named_remove(&r->ids, p->packet_id);
}

/* ---- what the broker sent ---- */

static bool is_subscribed(const struct role *r, struct span topic)
{
	for (uint32_t i = 0; i < r->filters.n; i++) {
		struct span filter = string_span(&r->filters.list[i]);

		if (topic_filter_valid(filter) && topic_matches(filter, topic))
			return true;
	}
	return false;
}

static void publish_words(struct line *line, const struct seen_packet *seen, const char *more)
{
	line_text(line, "seed publishes topic=");
	line_string(line, seen->topic);
	if (publish_qos(&seen->packet))
		line_format(line, " qos=%u", publish_qos(&seen->packet));
	line_text(line, more);
	line_text(line, " payload=");
	line_string(line, seen->packet.payload);
}

/* The message came from somebody: if nobody in the capture published it, the file must. */
static void provide(struct scenario_writer *s, const struct seen_packet *seen)
{
	bool retained = seen->packet.flags & PUBLISH_RETAIN;
	unsigned how = published_find(s->published, seen->topic, seen->packet.payload);

	if (retained ? how & PUBLISHED_RETAINED : how)
		return;
	s->preface.seeds = true;
	published_add(s->published, seen->topic, seen->packet.payload, retained ? PUBLISHED | PUBLISHED_RETAINED : PUBLISHED);
	if (retained) {
		publish_words(&s->preface.before, seen, " retain");
		line_text(&s->preface.before, "   # not in the capture\n");
		preface_settle(&s->preface);
	} else {
		publish_words(&s->line, seen, "");
		line_text(&s->line, "   # not in the capture");
		put_line(s);
	}
}

static void need_subscription(const struct conversation *c, struct role *r, const struct seen_packet *seen)
{
	struct string *lacking;

	if ((c->from_start && !r->resumed) || is_subscribed(r, seen->topic))
		return;
	lacking = strings_find(&r->lacking, seen->topic);
	if (!lacking)
		lacking = strings_add(&r->lacking, seen->topic, 0);
	if (lacking && lacking->number < publish_qos(&seen->packet))
		lacking->number = publish_qos(&seen->packet);
}

/* The name that the delivery's id has or gets. A message sent again keeps its id, and so its name. */
static uint32_t name_delivery(struct scenario_writer *s, struct role *r, const struct packet *p, bool *binds)
{
	uint32_t name = p->flags & PUBLISH_DUP ? named_find(&r->ids, p->packet_id) : 0;

	*binds = !name;
	if (!name) {
		name = ++s->n_names;
		named_add(&r->ids, p->packet_id, name);
	}
	return name;
}

/* Packets that no other broker will repeat, or whose counterpart is not in the capture: shown, not expected. */
static const char *not_expected(const struct seen_packet *seen, struct role *r, uint32_t name)
{
	const struct packet *p = &seen->packet;
	struct finding finding;

	if (seen->status != CODEC_OK)
		return "unreadable";
	if (check(p, FROM_SERVER, &finding) != CODEC_OK)
		return finding.why;
	if (!line_fits(p))
		return "too long for a step";
	if (p->type == PUBLISH && !seen->topic.at)
		return "its topic alias is not in the capture";
	if (p->type == PUBLISH && seen->topic.len && seen->topic.at[0] == '$')
		return "the broker's own";
	if (p->type == CONNACK && !r->greeted)
		return "its CONNECT is not in the capture";
	if (p->type == PUBREL && !name)
		return "its PUBLISH is not in the capture";
	return is_of_its_version(r, p) ? NULL : "of another version";
}

static void received(struct scenario_writer *s, const struct seen_packet *seen, struct role *r)
{
	const struct packet *p = &seen->packet;
	uint32_t name = seen->status == CODEC_OK && p->type == PUBREL ? named_find(&r->ids, p->packet_id) : 0;
	const char *why = not_expected(seen, r, name);
	struct value id;
	bool binds = false;

	if (!why)
		begin(s, seen->conversation, r, NULL);
	if (!why && p->type == PUBLISH) {
		if (publish_qos(p))
			name = name_delivery(s, r, p, &binds);
		need_subscription(seen->conversation, r, seen);
		provide(s, seen);
	}
	if (!why && p->type == CONNACK) {
		if (p->ack_flags & 1)
			resume_ids(s, r);
		else
			r->resumed = false;
		name = property_find(p->properties, PROP_assigned_client_identifier, &id) ? ++s->n_names : 0;
	}
	if (why)
		line_text(&s->line, "# ");
	line_format(&s->line, "c%u <- ", seen->conversation->number);
	if (seen->status != CODEC_OK)
		line_send(&s->line, seen, 0, false);
	else if (why)
		line_packet(&s->line, p, FROM_SERVER);
	else
		line_expect(&s->line, seen, name, binds);
	if (!why)
		put_patience(s, r, &seen->when);
	else
		line_format(&s->line, "   # %s", why);
	step_done(s, r, &seen->when);
}

static void packet(struct observer *o, const struct seen_packet *seen)
{
	struct scenario_writer *s = writer_of(o);
	struct role *r = role_of(s, seen->conversation);

	if (seen->from == FROM_CLIENT)
		sent(s, seen, r);
	else
		received(s, seen, r);
}

/* ---- the rest ---- */

static void hole(struct observer *o, struct conversation *c, const struct hole *hole)
{
	struct scenario_writer *s = writer_of(o);
	const char *who = hole->from == FROM_CLIENT ? "client" : "broker";
	struct role *r = role_of(s, c);

	r->lost = r->lost || hole->from == FROM_CLIENT;
	line_format(&s->line, "# c%u: ", c->number);
	if (hole->bytes)
		line_format(&s->line, "%llu bytes of the %s are missing here", (unsigned long long)hole->bytes, who);
	else
		line_format(&s->line, "the %s's bytes are not whole here", who);
	put_time(s, &hole->when);
	put_line(s);
}

static void closed(struct observer *o, struct conversation *c, enum sender from, bool reset, const struct when *when)
{
	struct scenario_writer *s = writer_of(o);
	struct role *r = role_of(s, c);

	if (r->closed)
		return;			/* the other side follows */
	r->closed = true;
	begin(s, c, r, NULL);
	if (from == FROM_CLIENT) {
		line_format(&s->line, "c%u %s", c->number, reset ? "drops" : "closes");
	} else {
		line_format(&s->line, "c%u <- closed", c->number);
		put_patience(s, r, when);
	}
	step_done(s, r, when);
}

static void finish(struct observer *o, const struct when *when)
{
	struct scenario_writer *s = writer_of(o);

	(void)when;
	preface_write(&s->preface, s->title, s->out);
	if (s->preface.n_versions && !s->has_steps)
		out_text(s->out, "note \"nothing in the capture can be played\"\n");
	spool_copy(&s->body, s->out);
}

static void scenario_free_observer(struct observer *o)
{
	struct scenario_writer *s = writer_of(o);

	for (uint32_t i = 0; i < s->n_kept; i++)
		named_release(&s->kept[i]);
	free(s->kept);
	strings_release(&s->clients);
	strings_release(&s->sessions);
	published_free(s->published);
	free(s->line.at);
	preface_release(&s->preface);
	spool_release(&s->body);
	free(s);
}

static const struct observer_ops ops = {
	.started = started, .opened = opened, .packet = packet, .hole = hole, .closed = closed, .ended = ended, .finish = finish, .free = scenario_free_observer,
};

struct observer *scenario_new(struct out *out, const struct view_options *options, const char *title)
{
	struct scenario_writer *s = calloc(1, sizeof(*s));

	if (!s)
		abort();
	s->observer.ops = &ops;
	s->out = out;
	s->options = *options;
	s->title = title;
	s->room = ALL_BYTES;
	s->clients.room = s->sessions.room = &s->room;
	s->published = published_new();
	return &s->observer;
}

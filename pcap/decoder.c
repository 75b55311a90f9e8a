#include "pcap/decoder.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "pcap/detect.h"

/* One connection that may be MQTT: between TCP's events and the observers. */
struct link {
	struct mqtt_listener listener;
	struct decoder *decoder;
	struct flow *flow;
	struct stage *stage;
	struct detected detected;
	struct talk *talk;		/* the conversation, while there is one */
	bool was_mqtt, spoke;		/* somebody sent anything */
	bool judged;			/* who waits for its verdict was told */
	enum conversation_end how;
	bool likely;
};

struct talk {
	struct conversation conversation;
	bool introduced;
	uint64_t frame;			/* in which the last packet was complete */
	uint32_t n_in_frame;
};

struct decoder {
	struct decoder_options options;
	struct keylog *keylog;
	struct tls_shared *tls;
	struct ip *ip;
	struct tcp *tcp;
	struct observer *observers[MAX_OBSERVERS];
	unsigned n_observers;
	struct when last;
	bool is_segment;		/* the record given last is one of TCP */
	void (*verdict)(void *owner, uint32_t stream, bool mqtt);
	void *verdict_owner;
	struct decoder_counts counts;
	size_t kept;			/* by the MQTT stages of all connections */
};

#define TELL(decoder, event, ...) do { \
	for (unsigned i_ = 0; i_ < (decoder)->n_observers; i_++) { \
		struct observer *o_ = (decoder)->observers[i_]; \
		if (o_->ops->event) \
			o_->ops->event(o_, __VA_ARGS__); \
	} \
} while (0)

/* ---- what the MQTT stage tells ---- */

static struct link *link_of(struct mqtt_listener *l)
{
	return (struct link *)l;
}

static struct conversation *conversation_opened(struct mqtt_listener *l, const struct when *when)
{
	struct link *link = link_of(l);
	struct talk *talk = calloc(1, sizeof(*talk));

	(void)when;
	assert(!link->talk);
	if (!talk)
		return NULL;
	link->talk = talk;
	link->was_mqtt = true;
	talk->conversation.number = ++link->decoder->counts.conversations;
	talk->conversation.stream = link->flow->number;
	talk->conversation.first = link->flow->first;
	return &talk->conversation;
}

static void pronounce(struct link *link, bool mqtt)
{
	struct decoder *d = link->decoder;

	if (!link->judged && d->verdict)
		d->verdict(d->verdict_owner, link->flow->number, mqtt);
	link->judged = true;
}

static void conversation_introduced(struct mqtt_listener *l, struct conversation *c, const struct when *when)
{
	link_of(l)->talk->introduced = true;
	pronounce(link_of(l), true);
	TELL(link_of(l)->decoder, opened, c, when);
}

static void packet_seen(struct mqtt_listener *l, struct seen_packet *packet)
{
	struct link *link = link_of(l);
	struct talk *talk = link->talk;

	if (talk->frame != packet->when.frame) {
		talk->frame = packet->when.frame;
		talk->n_in_frame = 0;
	}
	packet->nth = talk->n_in_frame++;
	link->decoder->counts.packets++;
	TELL(link->decoder, packet, packet);
}

static void hole_seen(struct mqtt_listener *l, struct conversation *c, const struct hole *hole)
{
	struct decoder *d = link_of(l)->decoder;

	d->counts.holes++;
	d->counts.hole_bytes += hole->why == HOLE_UNFINISHED ? hole->skipped : hole->bytes + hole->skipped;	/* what never came is not missing */
	TELL(d, hole, c, hole);
}

static void side_closed(struct mqtt_listener *l, struct conversation *c, enum sender from, bool reset, const struct when *when)
{
	TELL(link_of(l)->decoder, closed, c, from, reset, when);
}

static void conversation_ended(struct mqtt_listener *l, struct conversation *c, const struct when *when)
{
	struct link *link = link_of(l);

	if (link->talk->introduced)
		TELL(link->decoder, ended, c, link->how, when);
	free(link->talk);
	link->talk = NULL;
}

static const struct mqtt_listener listener = {
	conversation_opened, conversation_introduced, packet_seen, hole_seen, side_closed, conversation_ended,
};

/* ---- what TCP tells ---- */

static bool is_port(const struct decoder_options *options, uint16_t port)
{
	for (size_t i = 0; i < options->n_ports; i++)
		if (options->ports[i] == port)
			return true;
	return false;
}

/* Ports that are registered for MQTT, or that brokers commonly listen on. */
static bool is_likely_port(uint16_t port)
{
	return port == 1883 || port == 8883 || port == 8083 || port == 8084 || port == 9001;
}

static void flow_opened(void *context, struct flow *flow)
{
	(void)context, (void)flow;	/* who never says anything costs nothing here */
}

/* Made when somebody speaks. NULL: there is no memory, and nothing more will be heard of it. */
static struct link *link_for(struct decoder *d, struct flow *flow)
{
	struct link *link = flow->owner ? flow->owner : calloc(1, sizeof(*link));

	if (!link)
		tcp_ignore(flow);
	if (!link || flow->owner)
		return link;
	link->listener = listener;
	link->decoder = d;
	link->flow = flow;
	link->how = ENDED_WITH_CAPTURE;
	flow->owner = link;
	for (int i = 0; i < 2; i++)
		link->likely = link->likely || is_likely_port(flow->ends[i].port);
	struct mqtt_options options = {
		.decoder = &d->options, .likely = link->likely, .from_start = flow->seen_start, .first = flow->first, .kept = &d->kept,
		.ends = { flow->ends[0], flow->ends[1] },
		.forced = is_port(&d->options, flow->ends[0].port) || is_port(&d->options, flow->ends[1].port),
	};
	link->stage = detect_stage_new(&link->listener, &options, d->tls, &link->detected);
	if (!link->stage)
		tcp_ignore(flow);
	return link;
}

static void flow_bytes(void *context, struct flow *flow, unsigned end, struct span bytes, const struct when *when)
{
	struct link *link = link_for(context, flow);

	if (!link || !link->stage)
		return;
	link->spoke = true;
	link->stage->ops->bytes(link->stage, end, bytes, when);
	if (link->detected.gave_up) {
		tcp_ignore(flow);
		pronounce(link, false);
	}
}

static void flow_hole(void *context, struct flow *flow, unsigned end, uint64_t len, enum tcp_why why, const struct when *when)
{
	static const enum hole_why whys[] = { [TCP_LOST] = HOLE_LOST, [TCP_CUT] = HOLE_CUT, [TCP_NO_ROOM] = HOLE_NO_ROOM,
	                                      [TCP_UNFINISHED] = HOLE_UNFINISHED };
	struct link *link = link_for(context, flow);

	if (link && link->stage)
		link->stage->ops->hole(link->stage, end, len, whys[why], when);
}

static void flow_noted(void *context, struct flow *flow, unsigned end, enum tcp_note note, uint32_t len, const struct when *when)
{
	(void)context, (void)flow, (void)end, (void)note, (void)len, (void)when;
}

static void flow_finished(void *context, struct flow *flow, unsigned end, enum tcp_how how, const struct when *when)
{
	struct link *link = flow->owner;

	(void)context;
	if (link && link->stage)
		link->stage->ops->closed(link->stage, end, how == TCP_WAS_RESET, when);
}

static void count_reason(struct decoder_counts *counts, const char *why)
{
	for (size_t i = 0; i < sizeof(counts->reasons) / sizeof(*counts->reasons); i++) {
		struct decoder_reason *r = &counts->reasons[i];

		if (!r->n)
			snprintf(r->text, sizeof(r->text), "%s", why);
		if (!strcmp(r->text, why)) {
			r->n++;
			return;
		}
	}
}

static void count_ended(struct decoder *d, const struct link *link)
{
	const struct tls_notes *tls = &link->detected.tls_notes;

	if (link->was_mqtt)
		return;
	if (link->detected.tls && !tls->readable) {
		d->counts.encrypted++;
		if (tls->why_not)
			count_reason(&d->counts, tls->why_not);
		d->counts.encrypted_likely_mqtt += link->likely || !strncmp(tls->alpn, "mqtt", 4);
	} else {
		d->counts.other += link->spoke;
	}
}

static void flow_ended(void *context, struct flow *flow, enum tcp_how how, const struct when *when)
{
	static const enum conversation_end ends[] = {
		[TCP_FINISHED] = ENDED_BY_FIN, [TCP_WAS_RESET] = ENDED_BY_RESET, [TCP_REPLACED] = ENDED_REPLACED,
		[TCP_FORGOTTEN] = ENDED_FORGOTTEN, [TCP_CAPTURE_ENDED] = ENDED_WITH_CAPTURE,
	};
	struct decoder *d = context;
	struct link *link = flow->owner;

	if (!link) {
		if (d->verdict)
			d->verdict(d->verdict_owner, flow->number, false);
		return;
	}
	link->how = ends[how];
	if (link->stage)
		link->stage->ops->ended(link->stage, when);	/* it may find out only now that it was MQTT */
	count_ended(d, link);
	pronounce(link, false);
	free(link->talk);
	free(link);
	flow->owner = NULL;
}

static const struct tcp_events events = { flow_opened, flow_bytes, flow_hole, flow_noted, flow_finished, flow_ended };

/* ---- the decoder ---- */

struct decoder *decoder_new(const struct decoder_options *options)
{
	struct decoder *d = calloc(1, sizeof(*d));

	if (!d)
		return NULL;
	if (options)
		d->options = *options;
	d->keylog = keylog_new();
	d->tls = d->keylog ? tls_shared_new(d->keylog) : NULL;
	d->ip = ip_new(0);
	d->tcp = tcp_new(&d->options.tcp, &events, d);
	if (d->tls && d->ip && d->tcp)
		return d;
	decoder_free(d);
	return NULL;
}

void decoder_observe(struct decoder *d, struct observer *observer)
{
	assert(d->n_observers < MAX_OBSERVERS);
	observer->slot = d->n_observers;
	d->observers[d->n_observers++] = observer;
}

bool decoder_keylog(struct decoder *d, struct span text)
{
	return keylog_add(d->keylog, text) > 0;
}

void decoder_record(struct decoder *d, const struct record *record)
{
	struct segment segment;

	if (!d->counts.frames++)
		TELL(d, started, &record->when);
	d->last = record->when;
	d->is_segment = ip_read(d->ip, record, &segment) == IP_SEGMENT;
	if (d->is_segment)
		tcp_segment(d->tcp, &segment);
}

void decoder_frame(const struct decoder *d, struct decoder_frame *frame)
{
	frame->stream = d->is_segment ? tcp_stream(d->tcp) : TCP_NO_STREAM;
	frame->fragmented = ip_fragmented(d->ip);
}

void decoder_on_verdict(struct decoder *d, void (*verdict)(void *owner, uint32_t stream, bool mqtt), void *owner)
{
	d->verdict = verdict;
	d->verdict_owner = owner;
}

void decoder_idle(struct decoder *d, uint64_t now_ns)
{
	tcp_idle(d->tcp, now_ns);
	for (unsigned i = 0; i < d->n_observers; i++)
		if (d->observers[i]->ops->flush)
			d->observers[i]->ops->flush(d->observers[i]);
}

void decoder_finish(struct decoder *d)
{
	tcp_end(d->tcp, &d->last);
	TELL(d, finish, &d->last);
}

void decoder_counts(const struct decoder *d, struct decoder_counts *counts)
{
	*counts = d->counts;
}

const struct ip_counts *decoder_ip_counts(const struct decoder *d)
{
	return ip_counts(d->ip);
}

const struct tcp_counts *decoder_tcp_counts(const struct decoder *d)
{
	return tcp_counts(d->tcp);
}

void decoder_free(struct decoder *d)
{
	if (!d)
		return;
	if (d->tcp)
		tcp_free(d->tcp);
	if (d->ip)
		ip_free(d->ip);
	tls_shared_free(d->tls);
	keylog_free(d->keylog);
	free(d);
}

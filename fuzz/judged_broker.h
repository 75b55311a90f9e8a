#ifndef FUZZ_JUDGED_BROKER_H
#define FUZZ_JUDGED_BROKER_H

#include <stdlib.h>
#include <string.h>

#include "codec/codec.h"
#include "fuzz/must.h"
#include "fuzz/target.h"
#include "harness/dues.h"
#include "harness/monitor.h"
#include "harness/offences.h"
#include "reference-broker/broker.h"

/*
 * The broker as it stands behind a server, on virtual time, from the moment that a transport is open, so that no state arises that no client can reach; with clients whose
 * monitors judge every byte that it sends: a reference broker that breaks a rule is as wrong as one that crashes. What is counted as memory is held to the truth, and to its bound.
 */

enum { N_ENDS = 8, FLOWS_KNOWN = 16 };

#ifndef OWN				/* allocations of ours, where others are made to fail */
#define OWN(function) function
#endif

struct end {				/* the client's end of a connection */
	struct link *link;		/* NULL: there is none */
	struct monitor monitor;		/* open as long as there is one */
	bool reading, done;		/* done: DISCONNECT came, or a CONNACK that refuses */
	uint8_t *begun;			/* what the client has sent of a packet that is not whole yet */
	size_t len, cap, sent;		/* sent: all that it sent since it was opened */
	bool garbled;			/* what it sends is no packets any more */
	struct offences offences;
	uint16_t flows[FLOWS_KNOWN];	/* ids of PUBRECs; what does not fit is forgotten */
	unsigned n_flows;
};

static struct judged {
	struct broker *broker;
	struct monitor_world *world;
	struct monitor_log log;
	uint64_t now_ns;
	size_t max_memory;
	struct dues *dues;		/* told of every packet; NULL: what subscribers are owed is not judged */
	bool bounded;			/* little may be kept, or it is permitted at one time and not at another: only what must not come is judged */
	bool starved;			/* allocations fail: what can be counted is not known to be */
	struct end ends[N_ENDS];
	/* NULL, or told of every packet that can be read. */
	void (*sent)(unsigned end, const struct packet *packet);
	void (*received)(unsigned end, const struct packet *packet);
} judged;

uint64_t fuzz_packets;

static void judged_violated(void *owner, struct monitor *monitor, const struct violation *violation)
{
	(void)owner;
	fprintf(stderr, "connection %td: %d:%s: %s\n", (struct end *)((char *)monitor - offsetof(struct end, monitor)) - judged.ends, violation->version,
	        violation->clause, violation->text);
	__builtin_trap();
}

static void judged_owes(const struct due_breach *breach)
{
	fprintf(stderr, "connection %u: %d:%s: %s\n", breach->client, breach->version, breach->clause, breach->text);
	__builtin_trap();
}

/* ---- what the broker sends ---- */

static void note_due(struct end *e, const struct packet *p)
{
	struct span topic = { 0 };
	struct due_breach breach;

	if (p->type == PUBLISH && !monitor_topic(&e->monitor, p, &topic))
		topic = (struct span){ 0 };
	dues_time(judged.dues, judged.now_ns);
	if (!dues_received(judged.dues, (unsigned)(e - judged.ends), p, topic, &breach) && (!judged.bounded || dues_is_misrouted(breach.clause)))
		judged_owes(&breach);
}

/* A flow whose PUBREC came on this connection is not unknown until PUBCOMP ends it. */
static void check_flows(struct end *e, const struct packet *p)
{
	unsigned i = 0;

	if (p->type != PUBREC && p->type != PUBCOMP)
		return;
	while (i < e->n_flows && e->flows[i] != p->packet_id)
		i++;
	if (p->type == PUBREC && p->reason < 0x80 && i == e->n_flows && i < FLOWS_KNOWN) {
		e->flows[e->n_flows++] = p->packet_id;
	} else if (p->type == PUBCOMP && i < e->n_flows) {
		MUST(p->reason != 0x92);	/* Packet Identifier not found */
		e->flows[i] = e->flows[--e->n_flows];
	}
}

static void judge_offences(struct end *e, const struct packet *p)
{
	struct offence_breach breach;

	MUST(offences_received(&e->offences, p, &breach) ||
	     (fprintf(stderr, "connection %td: %d:%s: %s\n", e - judged.ends, breach.version, breach.clause, breach.text), false));
}

static void judge_packet(struct end *e, struct span bytes, const struct frame *frame)
{
	struct packet p;

	fuzz_packets++;
	MUST(!e->done);			/* also where our side broke a rule, so that the monitor says nothing */
	/* A packet that is not all there yet may have been refused for what is there. */
	if (e->len && (bytes.at[0] >> 4 == DISCONNECT || bytes.at[0] >> 4 == CONNACK))
		monitor_misbehaved(&e->monitor);
	MUST(monitor_received(&e->monitor, bytes.at, bytes.len, frame, &p) == CODEC_OK);
	e->done = p.type == DISCONNECT || (p.type == CONNACK && p.reason);
	if (judged.dues)
		note_due(e, &p);
	judge_offences(e, &p);
	check_flows(e, &p);
	if (judged.received)
		judged.received((unsigned)(e - judged.ends), &p);
}

static void take_output(struct end *e)
{
	struct span out;

	while (e->link && (out = link_output(e->link)).len) {
		struct frame frame;
		struct finding finding;

		for (size_t at = 0; at < out.len; at += frame.size) {
			MUST(frame_next(out.at + at, out.len - at, &frame, &finding) == FRAME_OK);
			judge_packet(e, span_of(out.at + at, frame.size), &frame);
		}
		link_sent(judged.broker, e->link, out.len, judged.now_ns);
	}
}

static void forget_begun(struct end *e)
{
	e->len = 0;
	e->garbled = false;
}

static void lose(struct end *e, enum due_end how)
{
	if (!e->link)
		return;
	monitor_close(&e->monitor);
	if (judged.dues)
		dues_ended(judged.dues, (unsigned)(e - judged.ends), how);
	broker_forget(judged.broker, e->link, judged.now_ns);
	e->link = NULL;
	forget_begun(e);
}

/* All that the broker wants is done; clients that read have read. */
static void settle(void)
{
	struct link *link;

	while ((link = broker_ready(judged.broker))) {
		struct end *e = link_owner(link);

		MUST(e->link == link);
		if (e->reading)
			take_output(e);
		if (link_closing(link) && !link_output(link).len)
			lose(e, DUES_CLOSED);
	}
}

/* All that was due is done: who broke a rule that ends connections is not served any more. */
static void check_offenders(void)
{
	for (struct end *e = judged.ends; e < judged.ends + N_ENDS; e++)
		MUST(!e->link || !e->offences.why || judged.starved || link_paused(e->link) || link_closing(e->link) ||
		     (fprintf(stderr, "connection %td goes on: %s\n", e - judged.ends, e->offences.why), false));
}

static void check_memory(void)
{
	struct broker_stats stats;
	size_t counted = broker_count_memory(judged.broker);

	broker_stats(judged.broker, &stats);
	MUST(stats.memory <= judged.max_memory && (stats.memory == counted || (judged.starved && !counted)));
}

/* ---- what clients do ---- */

static void open_end(struct end *e)
{
	lose(e, DUES_LOST);
	e->link = broker_accept(judged.broker, e, judged.now_ns);
	if (!e->link)
		return;
	e->reading = true;
	e->done = false;
	e->sent = 0;
	offences_open(&e->offences);
	e->n_flows = 0;
	monitor_open(&e->monitor, judged.world, &judged.log);
}

static void tell_sent(struct end *e, const uint8_t *bytes, const struct frame *frame)
{
	struct packet p;
	struct finding finding;
	bool readable = decode(bytes, frame->size, monitor_version(&e->monitor), &p, &finding) == CODEC_OK;

	fuzz_packets++;
	offences_sent(&e->offences, bytes, frame, readable ? &p : NULL, &finding);
	monitor_sent(&e->monitor, bytes, frame->size, readable ? &p : NULL);
	if (judged.dues) {
		dues_time(judged.dues, judged.now_ns);
		if (readable)
			dues_sent(judged.dues, (unsigned)(e - judged.ends), &p, !monitor_is_lenient(&e->monitor));
		else
			dues_sent_unreadable(judged.dues, (unsigned)(e - judged.ends), bytes[0] >> 4);
	}
	if (readable && judged.sent)
		judged.sent((unsigned)(e - judged.ends), &p);
}

static void begin(struct end *e, const uint8_t *bytes, size_t len)
{
	if (e->len + len > e->cap) {
		e->cap = 2 * (e->len + len);
		MUST((e->begun = OWN(realloc)(e->begun, e->cap)));
	}
	if (len)
		memcpy(e->begun + e->len, bytes, len);
	e->len += len;
}

/* The monitor is told first, packet by packet, as they become whole. True: one has, or it is no packet. */
static bool tell(struct end *e, const uint8_t *bytes, size_t len)
{
	struct frame frame;
	struct finding finding;
	enum frame_status status = FRAME_MORE;
	size_t taken = 0;

	if (e->garbled)
		return true;
	if (e->len) {
		begin(e, bytes, len);
		bytes = e->begun;
		len = e->len;
	}
	while (taken < len && (status = frame_next(bytes + taken, len - taken, &frame, &finding)) == FRAME_OK) {
		tell_sent(e, bytes + taken, &frame);
		taken += frame.size;
	}
	if (taken < len && status == FRAME_BAD) {
		e->garbled = true;
		offences_unframed(&e->offences);
		monitor_misbehaved(&e->monitor);
		if (judged.dues)
			dues_sent(judged.dues, (unsigned)(e - judged.ends), NULL, false);
	}
	if (bytes == e->begun) {
		e->len -= taken;
		memmove(e->begun, e->begun + taken, e->len);
	} else {
		begin(e, bytes + taken, len - taken);
	}
	return taken || e->garbled;
}

/* Once, in one piece, from room of its own, so that reading past it is seen. As long as no packet is whole it costs what was sent, not what was announced; but for a will, where it ends the connection. */
static void send_piece(struct end *e, const uint8_t *bytes, size_t len)
{
	struct broker_stats before, after;
	uint8_t *exact;
	bool whole;

	if (!e->link || !len)
		return;
	e->sent += len;
	whole = tell(e, bytes, len);
	MUST((exact = OWN(malloc)(len)));
	memcpy(exact, bytes, len);
	broker_stats(judged.broker, &before);
	broker_receive(judged.broker, e->link, exact, len, judged.now_ns);
	broker_stats(judged.broker, &after);
	MUST(whole || link_closing(e->link) || after.memory <= before.memory + 4 * e->sent + 4096);
	free(exact);
}

static void wait_for(uint64_t ns)
{
	uint64_t end = judged.now_ns + ns;

	while (broker_deadline(judged.broker) <= end) {
		uint64_t due = broker_deadline(judged.broker);

		judged.now_ns = due > judged.now_ns ? due : judged.now_ns;
		broker_tick(judged.broker, judged.now_ns);
		settle();
	}
	judged.now_ns = end;
	check_offenders();
}

/* ---- the broker's configuration ---- */

/* An Authentication Method of two steps: a name, then "y". */
static enum authenticated ask(void *users, void *state, struct span data, struct span *answer, struct span *user_name)
{
	uint8_t *name = state;

	(void)users;
	if (!name[0]) {
		if (!data.len)
			return AUTHENTICATION_WRONG;
		name[0] = 1;
		name[1] = data.at[0];
		*answer = span_text("sure?");
		return AUTHENTICATION_GOES_ON;
	}
	*user_name = span_of(name + 1, 1);
	return span_is(data, "y") ? AUTHENTICATION_RIGHT : AUTHENTICATION_WRONG;
}

/* What is denied changes as time passes. */
static bool may(void *rules, struct span user_name, struct span client_id, enum act act, struct span topic)
{
	(void)rules, (void)user_name;
	MUST(client_id.at && topic.at);
	return (judged.now_ns / 1000000000 + topic.len + act) % 4;
}

static const struct authentication asking = { { (const uint8_t *)"A", 1 }, 2, ask };

static struct broker_config configured(unsigned limits)
{
	struct broker_config config;

	broker_defaults(&config);
	config.seed = 1;
	config.authentication = &asking;
	config.max_sessions = 20;
	config.max_subscriptions_per_session = limits & 2 ? 50 : 1000;
	config.max_queued_per_session = 20;
	config.max_retained = 20;
	config.max_output = limits & 1 ? 200 : 1 << 16;
	config.max_memory = limits & 2 ? 40000 : 1 << 24;
	config.receive_maximum = limits & 4 ? 2 : 65535;
	config.maximum_packet_size = limits & 8 ? 200 : 1 << 20;
	config.work_at_once = limits & 4 ? 5 : 2000;
	config.maximum_qos = limits & 16 ? 1 : 2;
	config.retain_available = config.wildcard_available = config.shared_available = !(limits & 32);
	config.server_keep_alive = limits & 64 ? 10 : 0;
	config.may = limits & 64 ? may : NULL;
	config.session_expiry_maximum = limits & 128 ? 20 : UINT32_MAX;
	return config;
}

/* ---- a life ---- */

static bool judged_start(unsigned limits)
{
	struct broker_config config = configured(limits);

	judged.now_ns = 1;
	judged.max_memory = config.max_memory;
	judged.log.violated = judged_violated;
	judged.broker = broker_new(&config, judged.now_ns);
	judged.world = monitor_world_new();
	if (judged.broker && judged.world) {
		monitor_world_subscriptions_are_ours(judged.world, true);
		return true;
	}
	broker_free(judged.broker);
	monitor_world_free(judged.world);
	return false;
}

static void judged_end(void)
{
	struct broker_stats stats;

	check_memory();
	broker_shutdown(judged.broker, judged.now_ns);
	settle();
	for (struct end *e = judged.ends; e < judged.ends + N_ENDS; e++)
		lose(e, DUES_LOST);
	check_memory();
	broker_stats(judged.broker, &stats);
	MUST(stats.links == 0);
	broker_free(judged.broker);
	monitor_world_free(judged.world);
}

#endif

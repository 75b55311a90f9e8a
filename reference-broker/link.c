#include "reference-broker/broken.h"
#include "reference-broker/internal.h"

#include <stdlib.h>

#define CONNECT_SIZE_MAX (1u << 20)	/* before we know the client, no packet may make us keep more */

/* ---- out ---- */

/* At most this many bytes: the parts of its own length, and all that is fixed. */
static size_t size_bound(const struct packet *p)
{
	return 64 + p->topic.len + p->payload.len + p->properties.len + p->list.len;
}

size_t link_buffer_cost(const struct buffer *b)
{
	return b->cap > BUFFER_FREE ? heap_size(b->cap) : 0;
}

bool link_reserve(struct link *link, struct buffer *b, size_t more)
{
	struct buffer grown;
	size_t cost;

	if (b->at && b->cap - b->start - b->len >= more)
		return true;
	grown.cap = buffer_cap_for(b, more);
	cost = link_buffer_cost(&grown) - link_buffer_cost(b);
	if (grown.cap == SIZE_MAX || !memory_take(link->broker, cost))
		return false;
	if (buffer_reserve(b, more))
		return true;
	memory_give(link->broker, cost);
	return false;
}

static void input_release(struct link *link)
{
	memory_give(link->broker, link_buffer_cost(&link->in));
	buffer_release(&link->in);
}

static void output_begin(struct link *link)
{
	struct broker *b = link->broker;

	if (!link->out.at && b->n_spare && memory_take(b, link_buffer_cost(&b->spare[b->n_spare - 1])))
		link->out = b->spare[--b->n_spare];
}

static void output_done(struct link *link)
{
	struct broker *b = link->broker;

	memory_give(b, link_buffer_cost(&link->out));
	if (link->out.at && link->out.cap <= SPARE_SIZE_MAX && b->n_spare < N_SPARE) {
		link->out.start = link->out.len = 0;
		b->spare[b->n_spare++] = link->out;
		link->out = (struct buffer){ 0 };
	} else {
		buffer_release(&link->out);
	}
}

bool link_has_room(struct link *link, size_t size)
{
	output_begin(link);
	return link_reserve(link, &link->out, size);
}

static bool send_with(struct link *link, const struct packet *packet, const struct lies *lies)
{
	struct buffer *out = &link->out;
	struct writer w;

	output_begin(link);
	if (!link_reserve(link, out, size_bound(packet))) {
		link_starved(link);
		return false;
	}
	w = writer_to(out->at + out->start + out->len, out->cap - out->start - out->len);
	if (encode(packet, lies, &w) != CODEC_OK || !wr_fits(&w))
		return false;
	/* [5 MQTT-3.1.2-24] */
	if (w.len > link->maximum_packet_size && !broken(link, PACKET_SIZE_IGNORED))
		return false;
	out->len += w.len;
	link_ready(link);
	return true;
}

static bool send_broken(struct link *link, struct packet *packet)
{
	struct lies lies = { 0 };

	return !sent_by_fault(link, packet, &lies) || send_with(link, packet, &lies);
}

bool link_send(struct link *link, struct packet *packet)
{
	if (link->lost)
		return true;
	packet->version = link->version;
	return link->broker->broken ? send_broken(link, packet) : send_with(link, packet, NULL);
}

/*
 * [5 MQTT-3.1.2-29] CONNACK and DISCONNECT may always say why, others only where the client did not decline it;
 * [5 MQTT-3.2.2-19] and its kin: never beyond the client's Maximum Packet Size.
 */
bool link_answer(struct link *link, struct packet *packet, const char *why)
{
	uint8_t room[256];
	struct writer w = writer_to(room, sizeof(room));
	bool asked = packet->type == CONNACK || packet->type == DISCONNECT || link->problem_information;
	struct span properties = packet->properties;

	if (!why || link->version != MQTT_5 || !asked || properties.len > sizeof(room) / 2)
		return link_send(link, packet);
	wr_bytes(&w, properties);
	property_write_bytes(&w, PROP_reason_string, span_text(why));
	if (wr_fits(&w)) {
		uint8_t written = packet->written;

		packet->properties = wr_span(&w);
		packet->written = WRITTEN_REASON | WRITTEN_PROPERTIES;
		if (link_send(link, packet))
			return true;
		packet->properties = properties;
		packet->written = written;
	}
	return link_send(link, packet);
}

struct span link_output(const struct link *link)
{
	return span_of(link->out.at ? link->out.at + link->out.start : NULL, link->out.len);
}

void link_sent(struct broker *broker, struct link *link, size_t n, uint64_t now_ns)
{
	broker->now_ns = now_ns;
	if (link_paused(link))		/* it reads, and what it says meanwhile we do not hear */
		link->heard_ns = now_ns;
	link->out.start += n;
	link->out.len -= n;
	if (!link->out.len)
		output_done(link);
	if (link->state == CONNECTED)
		deliver_pump(link);
}

bool link_paused(const struct link *link)
{
	return link->state != CLOSING && (link->held || link->out.len > INPUT_PAUSED_AT);
}

bool link_closing(const struct link *link)
{
	return link->state == CLOSING && !link->mute;
}

/* ---- the end ---- */

void aliases_release(struct broker *broker, struct span *aliases, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		memory_give(broker, aliases[i].len + sizeof(*aliases));
		free((void *)aliases[i].at);
	}
	free(aliases);
}

void link_release_buffers(struct link *link)
{
	aliases_release(link->broker, link->aliases, link->n_aliases);
	link->aliases = NULL;
	link->n_aliases = 0;
	aliases_release(link->broker, link->out_aliases, link->n_out_aliases);
	link->out_aliases = NULL;
	link->n_out_aliases = 0;
	exchange_release(link);
	input_release(link);
	memory_give(link->broker, link_buffer_cost(&link->out));
	buffer_release(&link->out);
}

void link_end(struct link *link, bool publish_will)
{
	struct broker *b = link->broker;
	struct session *s = link->session;

	if (link->state == CLOSING)
		return;
	link->state = CLOSING;
	deadline_stop(&b->deadlines, &link->deadline);
	deadline_stop(&b->deadlines, &link->work);
	exchange_release(link);
	link->session = NULL;
	if (s) {
		aliases_kept_by_fault(link, s);
		if (!will_wanted(link, s, publish_will)) {	/* [MQTT-3.14.4-3] */
			message_unref(b, s->will);
			s->will = NULL;
		}
		session_disconnected(s);
	}
	link_ready(link);
}

void link_fail(struct link *link, unsigned reason, const char *why)
{
	struct packet bye = { .type = DISCONNECT, .reason = (uint8_t)reason, .written = WRITTEN_REASON };

	/* [5 MQTT-3.14.0-1] no DISCONNECT before a CONNACK that accepts */
	if (link->state == CONNECTED && link->version == MQTT_5)
		link_answer(link, &bye, why);
	failed_by_fault(link);
	link_end(link, true);
}

void link_starved(struct link *link)
{
	if (link->state == CLOSING)
		return;
	link->starved = true;
	deadline_set(&link->broker->deadlines, &link->work, link->broker->now_ns);
}

void link_timed_out(struct link *link)
{
	if (broken(link, KEEP_ALIVE_NOT_ENFORCED))
		return;
	if (link->session && broken(link, NO_WILL_ON_TIMEOUT)) {
		message_unref(link->broker, link->session->will);
		link->session->will = NULL;
	}
	link_fail(link, 0x8d, "nothing came for one and a half times the keep alive");
}

/* ---- in ---- */

static void handle_second_connect(struct link *link, const struct packet *packet)
{
	(void)packet;
	link_fail(link, 0x82, "a second CONNECT");	/* [MQTT-3.1.0-2] */
}

static void handle_ping(struct link *link, const struct packet *packet)
{
	struct packet answer = { .type = PINGRESP };

	(void)packet;
	link_send(link, &answer);
}

static void handle_disconnect(struct link *link, const struct packet *packet)
{
	struct session *s = link->session;
	struct value expiry;

	if (link->version == MQTT_5 && property_find(packet->properties, PROP_session_expiry_interval, &expiry)) {
		if (link->expiry_was_zero && expiry.number) {
			link_fail(link, 0x82, "CONNECT said Session Expiry Interval 0");
			return;
		}
		if (!broken(link, DISCONNECT_EXPIRY_IGNORED))
			s->expiry_interval = expiry.number < link->broker->config.session_expiry_maximum ?
			                     (uint32_t)expiry.number : link->broker->config.session_expiry_maximum;
	}
	if (broken(link, SERVE_AFTER_DISCONNECT))
		return;
	/* [5 MQTT-3.1.2-8] any other code than 0 leaves the will due */
	link_end(link, link->version == MQTT_5 && packet->reason && !broken(link, DISCONNECT_BY_ERROR_KEEPS_WILL));
	link->mute = broken(link, OPEN_AFTER_DISCONNECT);
}

static void handle_servers_own(struct link *link, const struct packet *packet)
{
	(void)packet;
	link_fail(link, 0x82, "a packet that only a server sends");
}

static void (*const handlers[N_PACKET_TYPES])(struct link *link, const struct packet *packet) = {
	[CONNECT] = handle_second_connect,
	[CONNACK] = handle_servers_own,
	[PUBLISH] = handle_publish,
	[PUBACK] = handle_ack,
	[PUBREC] = handle_ack,
	[PUBREL] = handle_ack,
	[PUBCOMP] = handle_ack,
	[SUBSCRIBE] = handle_subscribe,
	[SUBACK] = handle_servers_own,
	[UNSUBSCRIBE] = handle_unsubscribe,
	[UNSUBACK] = handle_servers_own,
	[PINGREQ] = handle_ping,
	[PINGRESP] = handle_servers_own,
	[DISCONNECT] = handle_disconnect,
	[AUTH] = handle_auth,
};

/* [5 MQTT-1.5.5-1] what only the framing shows, then the packet by itself */
bool form_allowed(const struct packet *packet, bool overlong, struct finding *finding)
{
	if (overlong && packet->version == MQTT_5) {
		*finding = (struct finding){ .rule = RULE_OVERLONG, .version = MQTT_5, .why = "overlong Remaining Length" };
		return false;
	}
	return check(packet, FROM_CLIENT, finding) == CODEC_OK;
}

static void handle(struct link *link, struct span bytes, bool overlong)
{
	struct packet packet;
	struct finding finding;
	enum received_as as = TAKEN;

	if (link->state == AWAITING_CONNECT) {
		if (bytes.at[0] >> 4 == CONNECT)
			handle_connect(link, bytes, overlong);
		else if (!unconnected_by_fault(link, bytes))
			link_end(link, true);		/* [MQTT-3.1.0-1] */
		return;
	}
	if (link->state == AUTHENTICATING) {
		handle_authenticating(link, bytes, overlong);
		return;
	}
	if (decode(bytes.at, bytes.len, link->version, &packet, &finding) != CODEC_OK)
		as = received_by_fault(link, bytes, NULL, &finding);
	else if (!form_allowed(&packet, overlong, &finding))
		as = received_by_fault(link, bytes, &packet, &finding);
	else if (link->broker->broken)
		as = received_by_fault(link, bytes, &packet, NULL);
	if (as == PASSED_OVER)
		return;
	if (as == REFUSED) {	/* whatever else is wrong with it, a second CONNECT is one too many */
		link_fail(link, bytes.at[0] >> 4 == CONNECT ? 0x82 : reason_for(&finding), finding.why);
		return;
	}
	if (packet.type != PINGREQ || !broken(link, KEEP_ALIVE_IGNORES_PINGS))
		link->heard_ns = link->broker->now_ns;
	handlers[packet.type](link, &packet);
}

/* The rest has its turn later; until then the client is not read from. */
static void hold(struct link *link)
{
	link->held = true;
	deadline_set(&link->broker->deadlines, &link->work, link->broker->now_ns + 1);
	link_ready(link);
}

/* Takes whole packets off the front, as many as that work allows; returns how many bytes they were. */
static size_t handle_whole(struct link *link, struct span bytes, uint64_t work)
{
	const struct broker_config *config = &link->broker->config;
	uint64_t begun = link->broker->work;
	bool at_once = work <= config->work_at_once;
	size_t taken = 0;

	while (taken < bytes.len && link->state != CLOSING) {
		uint32_t most = link->state < CONNECTED && config->maximum_packet_size > CONNECT_SIZE_MAX ?
		                CONNECT_SIZE_MAX : config->maximum_packet_size;
		struct frame frame;
		struct finding finding;
		enum frame_status status = frame_next(bytes.at + taken, bytes.len - taken, &frame, &finding);

		if (status == FRAME_BAD && unreadable_by_fault(link, TAKE_FIVE_BYTES)) {
			taken = bytes.len;
		} else if (status == FRAME_BAD) {
			link_fail(link, reason_for(&finding), finding.why);
		} else if (frame.size > most && !broken(link, SIZE_NOT_ENFORCED)) {
			link_fail(link, 0x95, "larger than the Maximum Packet Size");
		} else if (status == FRAME_OK && (link->broker->work - begun >= work ||
		           (at_once && (link->heavy || frame.size > LARGE_PACKET(link->broker))))) {
			hold(link);
			break;
		} else if (status == FRAME_OK) {
			bool first = link->state == AWAITING_CONNECT;
			uint64_t before = link->broker->work += 1 + frame.size / 64;

			if (taken || !link->in.len || first || !broken(link, PIECES_LOST))
				handle(link, span_of(bytes.at + taken, frame.size), frame.overlong);
			link->heavy = link->broker->work - before > config->work_at_once;
			taken = first && broken(link, FORGET_PIPELINED) ? bytes.len : taken + frame.size;
		} else {
			break;
		}
		/* who asks without reading the answers is let go */
		if (link->state == CONNECTED && link->out.len / 2 > config->max_output) {
			memory_give(link->broker, link_buffer_cost(&link->out));
			buffer_release(&link->out);
			link_end(link, true);
		}
	}
	return taken;
}

/* Keeps what is not a whole packet yet, within the bound on all memory. */
static bool keep_rest(struct link *link, struct span rest)
{
	if (rest.len && !(link_reserve(link, &link->in, rest.len) && buffer_append(&link->in, rest)))
		return false;
	if (!link->in.len)
		input_release(link);
	return true;
}

static void handle_input(struct link *link, uint64_t work)
{
	size_t taken = handle_whole(link, span_of(link->in.at + link->in.start, link->in.len), work);

	link->in.start += taken;
	link->in.len -= taken;
	if (link->state == CLOSING || !link->in.len)
		input_release(link);
}

void broker_receive(struct broker *broker, struct link *link, const uint8_t *bytes, size_t len, uint64_t now_ns)
{
	struct span rest = { bytes, len };

	broker->now_ns = now_ns;
	if (link->state == CLOSING || link->lost)
		return;
	if (!link->in.len) {
		size_t taken = handle_whole(link, rest, broker->config.work_at_once);

		rest = span_of(bytes + taken, len - taken);
		if (link->state != CLOSING && !keep_rest(link, rest))
			link_fail(link, 0x97, "out of memory");
	} else if (!keep_rest(link, rest)) {
		link_fail(link, 0x97, "out of memory");
	} else if (!link->held) {
		handle_input(link, broker->config.work_at_once);
	}
	if (link->state == CLOSING)
		input_release(link);
}

void link_work(struct link *link)
{
	if (link->starved) {
		link_fail(link, 0x97, "out of memory");
		input_release(link);
		return;
	}
	if (link->held) {
		link->held = false;
		handle_input(link, WORK_A_TURN(link->broker));
		link_ready(link);	/* it may be read from again */
	}
	if (link->state == CONNECTED && link->session->wanted)
		retained_send(link);
}

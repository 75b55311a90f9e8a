#include <stdlib.h>

#include "pcap/json.h"
#include "pcap/packet_json.h"
#include "pcap/views.h"

/*
 * One JSON object a line for each packet and each event, as docs/decode.schema.json describes it. This is what large captures
 * are turned into, so the way of an ordinary packet is a few copies: what is the same for all packets of a conversation
 * is kept as text.
 */

enum {
	FIXED = 512,			/* more than all of an object's members of bounded length take at a time */
	HEAD = 2048,			/* a conversation's members, if its client id has at most MAX_KEPT_ID bytes */
	MAX_KEPT_ID = 200,
	MAX_HEADS = 4 * 1024 * 1024,	/* bytes of text kept in all; the rest is written anew each time */
};

struct head {			/* the members that tell which conversation, as text, and what they were made of */
	struct span client_id;
	uint8_t version, via;
	bool version_known, roles_known;
	uint32_t len;
	uint8_t text[];
};

struct json {
	struct observer observer;
	struct out *out;
	bool secrets, live, begun;
	uint64_t base_ns;
	uint64_t second;		/* since 1970, which epoch[0..epoch_len) says */
	uint8_t epoch[24];
	uint8_t epoch_len;
	size_t head_bytes;
	uint64_t packets, conversations, holes;
};

static const char *const version_names[] = { [MQTT_3_1] = "3.1", [MQTT_3_1_1] = "3.1.1", [MQTT_5] = "5" };
static const char *const side_names[] = { [FROM_CLIENT] = "client", [FROM_SERVER] = "broker" };

/* ---- which conversation ---- */

static void key_endpoint(struct out *out, const char *name, const struct endpoint *e)
{
	char text[ENDPOINT_TEXT];

	json_key_text(out, name, endpoint_print(e, text));
}

static void write_head(struct out *out, const struct conversation *c)
{
	static const char *const ways[] = { [VIA_TCP] = "tcp", [VIA_TLS] = "tls", [VIA_WS] = "ws", [VIA_WSS] = "wss" };

	json_key_number(out, "connection", c->number);
	json_key_number(out, "stream", c->stream);
	if (c->client_id.at)
		json_bytes(out, "client", c->client_id);
	else
		OUT_LITERAL(out, ",\"client\":null");
	json_key_text(out, "version", version_names[c->version]);
	json_key_bool(out, "version_known", c->version_known);
	json_key_text(out, "way", ways[c->via]);
	key_endpoint(out, "client_address", &c->client);
	key_endpoint(out, "broker_address", &c->broker);
	json_key_bool(out, "roles_known", c->roles_known);
}

static bool still_so(const struct head *head, const struct conversation *c)
{
	return head->client_id.at == c->client_id.at && head->client_id.len == c->client_id.len && head->version == c->version &&
	       head->via == c->via && head->version_known == c->version_known && head->roles_known == c->roles_known;
}

static void drop_head(struct json *j, struct conversation *c)
{
	struct head *head = c->of[j->observer.slot];

	if (head)
		j->head_bytes -= sizeof(*head) + head->len;
	free(head);
	c->of[j->observer.slot] = NULL;
}

static void make_head(struct json *j, struct conversation *c)
{
	struct out *out = j->out;
	size_t from;

	drop_head(j, c);
	if (c->client_id.len > MAX_KEPT_ID) {
		write_head(out, c);
		return;
	}
	out_room(out, HEAD);		/* so that it lies in one piece */
	from = out->len;
	write_head(out, c);
	size_t len = out->len - from, size = sizeof(struct head) + len;
	if (size > MAX_HEADS - j->head_bytes)
		return;
	struct head *head = malloc(size);
	if (!head)
		return;
	*head = (struct head){ c->client_id, (uint8_t)c->version, (uint8_t)c->via, c->version_known, c->roles_known, (uint32_t)len };
	memcpy(head->text, out->room + from, len);
	c->of[j->observer.slot] = head;
	j->head_bytes += size;
}

static inline void head(struct json *j, struct conversation *c)
{
	const struct head *kept = c->of[j->observer.slot];

	if (kept && still_so(kept, c))
		out_small(j->out, kept->text, kept->len);
	else
		make_head(j, c);
}

/* ---- when ---- */

static void begin(struct json *j, const struct when *first)
{
	if (j->begun)
		return;
	j->begun = true;
	j->base_ns = first ? first->time_ns : 0;
	OUT_LITERAL(j->out, "{\"kind\":\"capture\",\"schema\":{\"name\":\"mqassay-decode\",\"version\":1},\"epoch\":");
	if (first) {
		OUT_LITERAL(j->out, "\"");
		json_seconds(j->out, (int64_t)first->time_ns);
		OUT_LITERAL(j->out, "\"}\n");
	} else {
		OUT_LITERAL(j->out, "null}\n");
	}
}

/* Most packets are of the same second as the one before. */
static uint8_t *put_epoch(struct json *j, uint8_t *p, uint64_t time_ns)
{
	uint64_t second = time_ns / 1000000000;
	uint32_t part = (uint32_t)(time_ns % 1000000000);

	if (second != j->second || !j->epoch_len) {
		uint8_t *end = json_put_number(j->epoch, second);

		*end++ = '.';
		j->epoch_len = (uint8_t)(end - j->epoch);
		j->second = second;
	}
	memcpy(p, j->epoch, sizeof(j->epoch));
	p += j->epoch_len;
	for (int i = 8; i >= 0; i--, part /= 10)
		p[i] = (uint8_t)('0' + part % 10);
	return p + 9;
}

static uint8_t *put_when(struct json *j, uint8_t *p, const struct when *when)
{
	p = JSON_PUT(p, ",\"time\":");
	p = json_put_seconds(p, (int64_t)(when->time_ns - j->base_ns));
	p = JSON_PUT(p, ",\"epoch\":\"");
	p = put_epoch(j, p, when->time_ns);
	return JSON_PUT(p, "\"");
}

/* {"kind":"KIND","frame":...: what all but packets begin with. */
static void event(struct json *j, const char *kind, struct conversation *c, const struct when *when)
{
	begin(j, when);
	OUT_LITERAL(j->out, "{\"kind\":\"");
	out_text(j->out, kind);
	OUT_LITERAL(j->out, "\",\"frame\":");
	out_number(j->out, when->frame);
	uint8_t *from = out_room(j->out, FIXED);
	out_wrote(j->out, (size_t)(put_when(j, from, when) - from));
	if (c)
		head(j, c);
}

static void end_line(struct json *j, const struct when *when)
{
	OUT_LITERAL(j->out, "}\n");
	if (j->live)
		out_show(j->out, when->time_ns);
}

/* ---- packets ---- */

static void packet(struct observer *o, const struct seen_packet *seen)
{
	struct json *j = (struct json *)o;
	struct out *out = j->out;
	unsigned type = seen->frame.first >> 4;
	uint8_t *from, *p;

	begin(j, &seen->when);
	j->packets++;
	p = from = out_room(out, FIXED);
	p = JSON_PUT(p, "{\"kind\":\"packet\",\"frame\":");
	p = json_put_number(p, seen->when.frame);
	p = JSON_PUT(p, ",\"first_frame\":");
	p = json_put_number(p, seen->first.frame);
	p = put_when(j, p, &seen->when);
	out_wrote(out, (size_t)(p - from));
	head(j, seen->conversation);
	p = from = out_room(out, FIXED);
	p = seen->from == FROM_CLIENT ? JSON_PUT(p, ",\"from\":\"client\"") : JSON_PUT(p, ",\"from\":\"broker\"");
	p = seen->sure ? JSON_PUT(p, ",\"sure\":true") : JSON_PUT(p, ",\"sure\":false");
	p = JSON_PUT(p, ",\"confidence\":");
	p = json_put_number(p, seen->confidence);
	p = JSON_PUT(p, ",\"type\":\"");
	const char *name = type ? packet_name(type) : "RESERVED";
	size_t len = strlen(name);
	memcpy(p, name, len);
	p = JSON_PUT(p + len, "\",\"size\":");
	p = json_put_number(p, seen->bytes.len);
	p = JSON_PUT(p, ",\"remaining_length\":");
	p = json_put_number(p, seen->bytes.len - seen->frame.header_size);
	p = JSON_PUT(p, ",\"flags\":");
	p = json_put_number(p, seen->frame.first & 0xf);
	if (seen->frame.overlong)
		p = JSON_PUT(p, ",\"overlong\":true");
	out_wrote(out, (size_t)(p - from));
	packet_json(out, seen, j->secrets);
	end_line(j, &seen->when);
}

/* ---- events ---- */

static void started(struct observer *o, const struct when *when)
{
	begin((struct json *)o, when);
}

static void opened(struct observer *o, struct conversation *c, const struct when *when)
{
	struct json *j = (struct json *)o;

	j->conversations++;
	event(j, "opened", c, when);
	json_key_bool(j->out, "from_start", c->from_start);
	end_line(j, when);
}

static void hole(struct observer *o, struct conversation *c, const struct hole *hole)
{
	static const char *const whys[] = {
		[HOLE_LOST] = "lost", [HOLE_CUT] = "cut", [HOLE_NO_ROOM] = "no_room", [HOLE_UNFINISHED] = "unfinished",
		[HOLE_UNREADABLE] = "unreadable", [HOLE_ENCRYPTED] = "encrypted",
	};
	struct json *j = (struct json *)o;

	j->holes++;
	event(j, "hole", c, &hole->when);
	json_key_text(j->out, "from", side_names[hole->from]);
	json_key_text(j->out, "why", whys[hole->why]);
	if (hole->bytes || hole->why == HOLE_UNREADABLE)
		json_key_number(j->out, "bytes", hole->bytes);
	else
		OUT_LITERAL(j->out, ",\"bytes\":null");
	json_key_number(j->out, "skipped", hole->skipped);
	end_line(j, &hole->when);
}

static void closed(struct observer *o, struct conversation *c, enum sender from, bool reset, const struct when *when)
{
	struct json *j = (struct json *)o;

	event(j, "closed", c, when);
	json_key_text(j->out, "from", side_names[from]);
	json_key_bool(j->out, "reset", reset);
	end_line(j, when);
}

static void ended(struct observer *o, struct conversation *c, enum conversation_end how, const struct when *when)
{
	static const char *const hows[] = {
		[ENDED_BY_FIN] = "fin", [ENDED_BY_RESET] = "reset", [ENDED_REPLACED] = "replaced", [ENDED_FORGOTTEN] = "forgotten",
		[ENDED_WITH_CAPTURE] = "capture_ended",
	};
	struct json *j = (struct json *)o;

	event(j, "ended", c, when);
	json_key_text(j->out, "how", hows[how]);
	end_line(j, when);
	drop_head(j, c);
}

static void flush(struct observer *o)
{
	out_flush(((struct json *)o)->out);
}

static void finish(struct observer *o, const struct when *when)
{
	struct json *j = (struct json *)o;

	begin(j, NULL);
	event(j, "finished", NULL, when);
	json_key_number(j->out, "packets", j->packets);
	json_key_number(j->out, "conversations", j->conversations);
	json_key_number(j->out, "holes", j->holes);
	OUT_LITERAL(j->out, "}\n");
	out_flush(j->out);
}

static void json_free(struct observer *o)
{
	free(o);
}

struct observer *packets_json_new(struct out *out, const struct view_options *options)
{
	static const struct observer_ops ops = { started, opened, packet, hole, closed, ended, flush, finish, json_free };
	struct json *j = calloc(1, sizeof(*j));

	if (!j)
		return NULL;
	j->observer.ops = &ops;
	j->out = out;
	j->secrets = options->secrets;
	j->live = options->live;
	return &j->observer;
}

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "codec/fields.h"
#include "codec/text.h"
#include "harness/console.h"
#include "pcap/json.h"
#include "pcap/label.h"
#include "pcap/mask.h"
#include "pcap/packet_map.h"
#include "pcap/shorten.h"
#include "pcap/views.h"

/* A line for each packet, in the notation, and for each event: what an engineer reads. */

enum {
	MAX_LINE = 2000,		/* of a packet's own text */
	MAX_PAYLOAD = 120,		/* bytes of it */
	MAX_BAD = 48,			/* of a packet that cannot be read */
};

struct text {
	struct observer observer;
	struct out *out;
	struct view_options options;
	bool color, begun;
	bool nanoseconds;		/* the capture has them */
	uint64_t base_ns;
	unsigned frame_width;
	struct labels labels;
	char comments[640];		/* of the line being made */
	size_t comments_len;
	char room[MAX_LINE + 16];
};

/* ---- when ---- */

static void notice_time(struct text *t, const struct when *when)
{
	if (!t->begun) {
		t->begun = true;
		t->base_ns = when->time_ns;
	}
	t->nanoseconds = t->nanoseconds || when->time_ns % 1000;
}

static void put_when(struct text *t, const struct when *when)
{
	uint8_t digits[JSON_SECONDS], frame[1 + JSON_NUMBER] = "f";

	notice_time(t, when);
	int len = (int)(json_put_seconds(digits, (int64_t)(when->time_ns - t->base_ns)) - digits) - (t->nanoseconds ? 0 : 3);
	unsigned n = (unsigned)(json_put_number(frame + 1, when->frame) - frame);
	if (n > t->frame_width)
		t->frame_width = n;
	for (int pad = len; pad < (t->nanoseconds ? 13 : 10); pad++)
		OUT_LITERAL(t->out, " ");
	out_small(t->out, digits, (size_t)len);
	for (unsigned pad = n; pad < t->frame_width + 2; pad++)
		OUT_LITERAL(t->out, " ");
	out_small(t->out, frame, n);
	OUT_LITERAL(t->out, "  ");
}

/* ---- who ---- */

static void put_label(struct text *t, const struct label *label)
{
	if (!label)
		return;
	out_small(t->out, label->text, label->len);
	for (unsigned pad = label->columns; pad < t->labels.width; pad++)
		OUT_LITERAL(t->out, " ");
}

/* ---- remarks ---- */

static void style(struct text *t, enum console_style style)
{
	if (t->color)
		out_text(t->out, console_style(stdout, style));
}

__attribute__((format(printf, 2, 3)))
static void remark(struct text *t, const char *format, ...)
{
	size_t left = sizeof(t->comments) - t->comments_len;
	va_list args;

	if (t->comments_len && left > 2) {
		memcpy(t->comments + t->comments_len, "; ", 2);
		t->comments_len += 2;
		left -= 2;
	}
	va_start(args, format);
	int n = vsnprintf(t->comments + t->comments_len, left, format, args);
	va_end(args);
	t->comments_len += n < 0 ? 0 : (size_t)n < left ? (size_t)n : left - 1;
}

static void remark_string(struct text *t, const char *before, struct span s)
{
	struct span shown = shorten(s, MAX_PAYLOAD);
	char room[MAX_PAYLOAD * 4 + 8];
	struct writer w = writer_to(room, sizeof(room));

	text_print_string(shown, &w);
	if (wr_fits(&w))
		remark(t, "%s%.*s%s", before, (int)w.len, room, shown.len < s.len ? "..." : "");
}

static void end_line(struct text *t, const struct when *when)
{
	if (t->comments_len) {
		style(t, STYLE_DIM);
		OUT_LITERAL(t->out, "    # ");
		out_bytes(t->out, t->comments, t->comments_len);
		style(t, STYLE_PLAIN);
	}
	t->comments_len = 0;
	OUT_LITERAL(t->out, "\n");
	if (t->options.live)
		out_show(t->out, when->time_ns);
}

/* 1,448 */
static const char *counted(uint64_t n, char room[32])
{
	char digits[24];
	int len = snprintf(digits, sizeof(digits), "%llu", (unsigned long long)n), to = 0;

	for (int i = 0; i < len; i++) {
		if (i && (len - i) % 3 == 0)
			room[to++] = ',';
		room[to++] = digits[i];
	}
	room[to] = 0;
	return room;
}

/* ---- packets ---- */

static void remark_length(struct text *t, const char *what, struct span shown, struct span whole)
{
	char a[32], b[32];

	if (shown.len < whole.len)
		remark(t, "%s: %s of %s bytes", what, counted(shown.len, a), counted(whole.len, b));
}

/* The list with *** in place of what is secret; the caller frees it. */
static uint8_t *conceal(struct span *list)
{
	struct property_walk walk = properties_of(*list);
	struct property p;
	struct value value;

	if (!property_find(*list, PROP_authentication_data, &value))
		return NULL;
	uint8_t *copy = malloc(2 * list->len + 8);
	struct writer w = writer_to(copy, copy ? 2 * list->len + 8 : 0);
	while (property_next(&walk, &p)) {
		if (mask_property(p.id))
			property_write_bytes(&w, p.id, span_text("***"));
		else
			wr_bytes(&w, span_of(p.at, p.size));
	}
	*list = wr_span(&w);
	return copy;
}

static void put_readable(struct text *t, const struct seen_packet *seen)
{
	struct packet p = seen->packet;
	struct writer w = writer_to(t->room, MAX_LINE);
	uint8_t *copy = t->options.secrets ? NULL : conceal(&p.properties);
	char a[32];

	p.payload = shorten(p.payload, MAX_PAYLOAD);
	p.will_payload = shorten(p.will_payload, MAX_PAYLOAD);
	if (!t->options.secrets && p.password.len)
		p.password = span_text("***");
	packet_print(&p, seen->from, &w);
	free(copy);
	if (!wr_fits(&w)) {
		remark(t, "%s more bytes of text", counted(w.len - MAX_LINE, a));
		w.len = MAX_LINE;
		while (w.len && (t->room[w.len - 1] & 0xc0) == 0x80)	/* no half character */
			w.len--;
		w.len -= w.len > 0;
		memcpy(t->room + w.len, "...", 3);
		w.len += 3;
	}
	out_bytes(t->out, t->room, w.len);
	if (p.type == PUBLISH && !p.topic.len && property_number(p.properties, PROP_topic_alias, 0)) {
		if (seen->topic.len)
			remark_string(t, "topic ", seen->topic);
		else
			remark(t, "which topic was not seen");
	}
	remark_length(t, "payload", p.payload, seen->packet.payload);
	remark_length(t, "will.payload", p.will_payload, seen->packet.will_payload);
	if (seen->frame.overlong)
		remark(t, "the remaining length takes more bytes than it needs");
}

/* Who does not speak 5 cannot say so in it: the CONNACK that a client of 5 then gets has the form of 3.1.1. */
static void remark_connack(struct text *t, const struct seen_packet *seen)
{
	const uint8_t *at = seen->bytes.at;

	if (seen->conversation->version != MQTT_5 || seen->bytes.len != 4 || at[0] != CONNACK << 4)
		return;
	const char *name = reason_name(CONNACK, MQTT_3_1_1, at[3]);
	if (name && at[3])
		remark(t, "in MQTT 3.1.1 it would say %s", name);
}

static void put_unreadable(struct text *t, const struct seen_packet *seen)
{
	static const char digits[] = "0123456789abcdef";
	const struct finding *f = &seen->finding;
	char rule[64], b[32];
	struct writer w = writer_to(rule, sizeof(rule));
	struct masked masked;

	finding_rule(f, &w);
	mask_bytes(&masked, seen, t->options.secrets);
	size_t n = masked.bytes.len < MAX_BAD ? masked.bytes.len : MAX_BAD;
	style(t, STYLE_RED);
	OUT_LITERAL(t->out, "bytes hex\"");
	for (size_t i = 0; i < n; i++) {
		bool hidden = masked.copy && masked.bytes.at[i] == '*' && masked.n_masked;
		char byte[3] = { ' ', hidden ? '*' : digits[masked.bytes.at[i] >> 4], hidden ? '*' : digits[masked.bytes.at[i] & 15] };

		out_small(t->out, byte + !i, 3 - !i);
	}
	OUT_LITERAL(t->out, "\"");
	style(t, STYLE_PLAIN);
	mask_release(&masked);
	remark(t, "%s is unreadable [%.*s] %s%sat byte %u: %s", seen->frame.first >> 4 ? packet_name(seen->frame.first >> 4) : "it",
	       (int)(wr_fits(&w) ? w.len : w.cap), rule, f->field ? f->field : "", f->field ? " " : "", f->offset, f->why ? f->why : rule_asks(f->rule));
	if (n < seen->bytes.len)
		remark(t, "%zu of %s bytes", n, counted(seen->bytes.len, b));
	remark_connack(t, seen);
}

static const char *version_name(unsigned version)
{
	return version == MQTT_5 ? "5" : version == MQTT_3_1 ? "3.1" : "3.1.1";
}

/* What changed since the last line of this conversation. */
static void remark_conversation(struct text *t, struct label *label, const struct conversation *c)
{
	if (!label)
		return;
	if (!label->explained)
		remark(t, "c%u", c->number);
	label->explained = true;
	if (label->version != c->version || label->version_known != c->version_known)
		if (!c->version_known || label->version != c->version)
			remark(t, "read as MQTT %s from here%s", version_name(c->version), c->version_known ? "" : " (inferred)");
	label->version = (uint8_t)c->version;
	label->version_known = c->version_known;
}

static void packet(struct observer *o, const struct seen_packet *seen)
{
	struct text *t = (struct text *)o;
	struct conversation *c = seen->conversation;
	struct label *label = label_of(&t->labels, &c->of[t->observer.slot], c);

	put_when(t, &seen->when);
	put_label(t, label);
	style(t, seen->from == FROM_CLIENT ? STYLE_CYAN : STYLE_GREEN);
	out_text(t->out, seen->from == FROM_CLIENT ? " -> " : " <- ");
	style(t, STYLE_PLAIN);
	if (seen->status == CODEC_OK)
		put_readable(t, seen);
	else
		put_unreadable(t, seen);
	remark_conversation(t, label, c);
	if (!seen->sure)
		remark(t, "%u %% sure", seen->confidence);
	end_line(t, &seen->when);
	if (t->options.verbose) {
		style(t, STYLE_DIM);
		packet_map(t->out, seen, t->options.secrets, "            ");
		style(t, STYLE_PLAIN);
	}
}

/* ---- events ---- */

static void event(struct text *t, struct conversation *c, const struct when *when)
{
	put_when(t, when);
	put_label(t, label_of(&t->labels, &c->of[t->observer.slot], c));
	OUT_LITERAL(t->out, " -- ");
}

static const char *side(enum sender from)
{
	return from == FROM_CLIENT ? "the client" : "the broker";
}

static void started(struct observer *o, const struct when *when)
{
	notice_time((struct text *)o, when);
}

/* Said under its number, which tells it from others with the same client id. */
static void opened(struct observer *o, struct conversation *c, const struct when *when)
{
	static const char *const ways[] = { [VIA_TCP] = "tcp", [VIA_TLS] = "tls", [VIA_WS] = "ws", [VIA_WSS] = "wss" };
	struct text *t = (struct text *)o;
	char client[ENDPOINT_TEXT], broker[ENDPOINT_TEXT], number[LABEL];
	struct label *label = label_of(&t->labels, &c->of[t->observer.slot], c), by_number = { 0 };

	by_number.len = by_number.columns = (uint8_t)snprintf(number, sizeof(number), "c%u", c->number);
	memcpy(by_number.text, number, by_number.len);
	put_when(t, when);
	put_label(t, &by_number);
	out_format(t->out, " -- %s: %s -> %s, %s, stream %u", c->from_start ? "opened" : "joined in mid-stream",
	           endpoint_print(&c->client, client), endpoint_print(&c->broker, broker), ways[c->via], c->stream);
	if (!c->roles_known)
		remark(t, "which end is the client is inferred");
	if (!c->version_known)
		remark(t, "read as MQTT %s (inferred)", version_name(c->version));
	if (label && c->client_id.at) {
		remark(t, "called %.*s", (int)label->len, label->text);
		label->explained = true;
	}
	end_line(t, when);
}

/* Bytes that are there, and belong to nothing that could be shown. */
static void passed_over(struct text *t, const struct hole *hole)
{
	static const char *const whys[] = {
		[HOLE_LOST] = "behind what was lost", [HOLE_CUT] = "behind what was cut", [HOLE_ENCRYPTED] = "behind what is encrypted",
		[HOLE_NO_ROOM] = "in a packet larger than --max-packet, or behind what there was no room for",
	};
	char a[32];

	if (hole->why == HOLE_UNREADABLE)
		out_format(t->out, hole->skipped + hole->bytes == 1 ? "%s byte of %s is no MQTT, passed over" : "%s bytes of %s are no MQTT, passed over",
		           counted(hole->skipped + hole->bytes, a), side(hole->from));
	else if (hole->why == HOLE_UNFINISHED)
		out_format(t->out, hole->skipped == 1 ? "a packet of %s is unfinished: %s byte of it came" : "a packet of %s is unfinished: %s bytes of it came",
		           side(hole->from), counted(hole->skipped, a));
	else
		out_format(t->out, hole->skipped == 1 ? "%s byte of %s is passed over (%s)" : "%s bytes of %s are passed over (%s)",
		           counted(hole->skipped, a), side(hole->from), whys[hole->why]);
}

static void missing(struct text *t, const struct hole *hole)
{
	static const char *const whys[] = {
		[HOLE_LOST] = "lost", [HOLE_CUT] = "cut by the snap length", [HOLE_NO_ROOM] = "no room to wait for them",
		[HOLE_UNFINISHED] = "they never came", [HOLE_ENCRYPTED] = "encrypted, without keys",
	};
	char a[32];

	if (!hole->bytes)
		out_format(t->out, "bytes of %s are missing here (%s), it is not known how many", side(hole->from), whys[hole->why]);
	else
		out_format(t->out, hole->bytes == 1 ? "%s byte of %s is missing here (%s)" : "%s bytes of %s are missing here (%s)",
		           counted(hole->bytes, a), side(hole->from), whys[hole->why]);
	if (hole->skipped)
		out_format(t->out, ", %s more passed over to the next packet", counted(hole->skipped, a));
}

static void hole(struct observer *o, struct conversation *c, const struct hole *hole)
{
	struct text *t = (struct text *)o;
	char a[32];

	event(t, c, &hole->when);
	style(t, STYLE_YELLOW);
	if (hole->why == HOLE_UNREADABLE || (hole->skipped && (!hole->bytes || hole->why == HOLE_UNFINISHED)))
		passed_over(t, hole);
	else
		missing(t, hole);
	if (hole->why == HOLE_UNFINISHED && hole->skipped && hole->bytes)
		out_format(t->out, ", %s did not", counted(hole->bytes, a));
	style(t, STYLE_PLAIN);
	end_line(t, &hole->when);
}

static void closed(struct observer *o, struct conversation *c, enum sender from, bool reset, const struct when *when)
{
	struct text *t = (struct text *)o;
	struct label *label = label_of(&t->labels, &c->of[t->observer.slot], c);

	if (label)
		label->closed[from == FROM_SERVER] = true;
	event(t, c, when);
	out_format(t->out, reset ? "%s reset the connection" : "%s closed (FIN)", side(from));
	end_line(t, when);
}

static void ended(struct observer *o, struct conversation *c, enum conversation_end how, const struct when *when)
{
	static const char *const hows[] = {
		[ENDED_REPLACED] = "over: its ports are used anew", [ENDED_FORGOTTEN] = "silent for too long, forgotten",
		[ENDED_WITH_CAPTURE] = "still open when the capture ends",
	};
	struct text *t = (struct text *)o;
	const struct label *label = c->of[t->observer.slot];

	if (how != ENDED_BY_FIN && how != ENDED_BY_RESET) {	/* else who closed it was said */
		event(t, c, when);
		if (how == ENDED_WITH_CAPTURE && label && (label->closed[0] || label->closed[1]))
			out_format(t->out, "%s has not closed when the capture ends", side(label->closed[0] ? FROM_SERVER : FROM_CLIENT));
		else
			out_text(t->out, hows[how]);
		end_line(t, when);
	}
	label_free(c->of[t->observer.slot]);
	c->of[t->observer.slot] = NULL;
}

static void flush(struct observer *o)
{
	out_flush(((struct text *)o)->out);
}

static void finish(struct observer *o, const struct when *when)
{
	(void)when;
	flush(o);
}

static void text_free(struct observer *o)
{
	labels_release(&((struct text *)o)->labels);
	free(o);
}

struct observer *packets_text_new(struct out *out, const struct view_options *options)
{
	static const struct observer_ops ops = { started, opened, packet, hole, closed, ended, flush, finish, text_free };
	struct text *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->observer.ops = &ops;
	t->out = out;
	t->options = *options;
	t->color = out->fd == STDOUT_FILENO && *console_style(stdout, STYLE_BOLD);
	t->frame_width = 4;
	labels_init(&t->labels);
	return &t->observer;
}

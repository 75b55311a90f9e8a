#include "pcap/detect.h"

#include <stdlib.h>

enum {
	KEPT = 4096,			/* bytes, while they may still become any of several things */
	MANY = 64,			/* pieces of them */
	TRIED = 256 * 1024,
	ALL_KEPT = 8 << 20,		/* by all connections: then it is decided at once */
};

struct piece {
	unsigned end;
	size_t len;			/* of its bytes in `kept`, in turn */
	struct when when;
};

struct detector {
	struct stage stage;
	struct stage *above;		/* NULL: not decided */
	struct stage *mqtt;		/* the MQTT stage that this one made */
	struct mqtt_listener *listener;
	struct mqtt_options options;
	struct tls_shared *tls;
	struct detected *detected;
	bool inside_tls;
	uint32_t tries;			/* bytes that a WebSocket joined midway may still take until there is MQTT in it */
	struct held {			/* only while undecided */
		struct piece pieces[MANY];
		unsigned n_pieces;
		size_t len;
		uint8_t bytes[KEPT];
	} *held;
};

static struct stage *detector_new(struct mqtt_listener *listener, const struct mqtt_options *options, struct tls_shared *tls,
                                  struct detected *detected, bool inside_tls);

/* ---- the first bytes of an end ---- */

/* A frame of a WebSocket that was joined midway: its header fits the bytes to their end, and its payload begins as MQTT does. */
static bool is_websocket_frame(struct span bytes)
{
	size_t head = 2;

	if (bytes.len < 4 || (bytes.at[0] != 0x82 && bytes.at[0] != 0x81))
		return false;
	bool masked = bytes.at[1] & 0x80;
	uint64_t len = bytes.at[1] & 0x7f;
	if (len == 126)
		head = 4, len = (uint64_t)bytes.at[2] << 8 | bytes.at[3];
	else if (len == 127)
		return false;
	const uint8_t *mask = bytes.at + head;
	head += masked ? 4 : 0;
	if (len < 2 || bytes.len < head + 2 || head + len != bytes.len)
		return false;
	uint8_t first = bytes.at[head] ^ (masked ? mask[0] : 0), second = bytes.at[head + 1] ^ (masked ? mask[1] : 0);
	return first >> 4 && (second & 0x80 || second + 2u <= len);
}

/*
 * Whole frames of a client, whatever part of a packet they hold: the bytes are one after the other to their end, each masked. No MQTT packet
 * looks like it but a SUBSCRIBE of 128 bytes and more, which is then no frame that ends where the segment does.
 */
static bool are_client_frames(struct span bytes)
{
	while (bytes.len) {
		size_t head = 6, len = bytes.len > 1 ? bytes.at[1] & 0x7f : 0;

		if (bytes.len < head || bytes.at[0] & 0x74 || (bytes.at[0] & 3) == 3 || !(bytes.at[1] & 0x80) || len == 127)
			return false;		/* reserved bits, opcodes that there are not, a server's, or more than a segment holds */
		if (len == 126) {
			head += 2;
			len = (size_t)bytes.at[2] << 8 | bytes.at[3];
		}
		if (bytes.len < head + len)
			return false;
		bytes.at += head + len;
		bytes.len -= head + len;
	}
	return true;
}

/* A record of a TLS connection that was joined midway: nobody can read it, but it is not MQTT. Its first byte is no packet's in either version. */
static bool is_tls_record(struct span bytes)
{
	return bytes.len >= 5 && bytes.at[0] >= 0x14 && bytes.at[0] <= 0x17 && bytes.at[1] == 3 && bytes.at[2] <= 4 && bytes.at[3] <= 0x41;
}

enum what { UNDECIDED, IS_TLS, IS_WEBSOCKET, MAY_BE_MQTT };

static enum what look(const struct detector *d, struct span first)
{
	int tls = d->inside_tls ? 0 : tls_looks_like(first), ws = ws_looks_like(first), mqtt = mqtt_looks_like(first);

	if (mqtt == 1)
		return MAY_BE_MQTT;
	if (tls == 1 || (!d->options.from_start && !d->inside_tls && is_tls_record(first)))
		return IS_TLS;
	if (ws == 1)
		return IS_WEBSOCKET;
	if (tls < 0 || ws < 0 || (mqtt < 0 && d->options.from_start))
		return UNDECIDED;
	if (!d->options.from_start && is_websocket_frame(first))
		return IS_WEBSOCKET;
	return MAY_BE_MQTT;
}

/* ---- what is put above ---- */

/* A stage owns what is above it; one that could not be made does not. */
static struct stage *placed(struct stage *made, struct stage *above)
{
	if (!made)
		above->ops->ended(above, &(struct when){ 0 });
	return made;
}

static struct stage *mqtt_above(struct detector *d)
{
	d->detected->mqtt = true;
	return d->mqtt = mqtt_stage_new(d->listener, &d->options);
}

static struct stage *websocket_above(struct detector *d)
{
	d->options.via = d->inside_tls ? VIA_WSS : VIA_WS;
	d->detected->websocket = true;
	d->detected->ws_notes.kept = d->options.kept;
	return mqtt_above(d) ? placed(ws_stage_new(d->mqtt, &d->detected->ws_notes), d->mqtt) : NULL;
}

/* Joined midway, what MQTT could not be made of shows itself as a WebSocket. */
static void turn_to_websocket(struct detector *d, const struct when *when)
{
	mqtt_stage_give_up(d->mqtt);
	d->above->ops->ended(d->above, when);
	d->above = websocket_above(d);
	d->tries = TRIED;
	if (!d->above)
		d->detected->gave_up = true;
}

static struct stage *tls_above(struct detector *d)
{
	struct mqtt_options options = d->options;

	options.via = VIA_TLS;
	d->detected->tls = true;
	struct stage *inner = detector_new(d->listener, &options, d->tls, d->detected, true);
	return inner ? placed(tls_stage_new(d->tls, inner, &d->detected->tls_notes), inner) : NULL;
}

static void release(struct detector *d, struct held *held)
{
	if (held && d->options.kept)
		*d->options.kept -= sizeof(*held);
	free(held);
}

/* What was found is read from its first byte. */
static void decide(struct detector *d, enum what what)
{
	struct held *held = d->held;
	const uint8_t *from = held ? held->bytes : NULL;

	d->above = what == IS_TLS ? tls_above(d) : what == IS_WEBSOCKET ? websocket_above(d) : mqtt_above(d);
	d->held = NULL;
	if (!d->above)
		d->detected->gave_up = true;
	for (unsigned i = 0; held && d->above && i < held->n_pieces; i++) {
		d->above->ops->bytes(d->above, held->pieces[i].end, span_of(from, held->pieces[i].len), &held->pieces[i].when);
		from += held->pieces[i].len;
	}
	release(d, held);
}

/* The held bytes of that end in one row, with more behind them; in room, of KEPT bytes. */
static struct span first_bytes(const struct held *held, unsigned end, struct span more, uint8_t *room)
{
	size_t len = 0;
	const uint8_t *from = held ? held->bytes : NULL;

	for (unsigned i = 0; held && i < held->n_pieces; from += held->pieces[i++].len)
		if (held->pieces[i].end == end) {
			memcpy(room + len, from, held->pieces[i].len);
			len += held->pieces[i].len;
		}
	if (!len)
		return more;
	if (more.len > KEPT - len)
		more.len = KEPT - len;
	memcpy(room + len, more.at, more.len);
	return span_of(room, len + more.len);
}

static bool hold(struct detector *d, unsigned end, struct span bytes, const struct when *when)
{
	size_t *kept = d->options.kept;

	if (!d->held && (!kept || *kept + sizeof(*d->held) <= ALL_KEPT)) {
		d->held = calloc(1, sizeof(*d->held));
		if (d->held && kept)
			*kept += sizeof(*d->held);
	}
	struct held *held = d->held;
	if (!held || bytes.len > KEPT - held->len)
		return false;
	struct piece *last = held->n_pieces == MANY ? &held->pieces[MANY - 1] : NULL;
	if (last && last->end != end)
		return false;
	memcpy(held->bytes + held->len, bytes.at, bytes.len);
	held->len += bytes.len;
	if (last)			/* a request head in many segments: in which of them a byte of it came matters to nobody */
		last->len += bytes.len, last->when = *when;
	else
		held->pieces[held->n_pieces++] = (struct piece){ end, bytes.len, *when };
	return true;
}

/* ---- the stage ---- */

/* Joined midway, and not seen to be MQTT so far. */
static bool is_open_question(const struct detector *d)
{
	return d->mqtt && !d->options.from_start && !mqtt_stage_is_open(d->mqtt);
}

static void take_bytes(struct stage *stage, unsigned end, struct span bytes, const struct when *when)
{
	struct detector *d = (struct detector *)stage;
	uint8_t room[KEPT];

	if (!d->above && !d->detected->gave_up) {
		/* [MQTT-3.1.0-1] the client speaks first: what a server greets with is not MQTT, but the layer above says so */
		enum what what = look(d, first_bytes(d->held, end, bytes, room));

		if (what == UNDECIDED && hold(d, end, bytes, when))
			return;
		decide(d, what);
	}
	if (!d->above)
		return;
	if (is_open_question(d) && !d->detected->websocket && are_client_frames(bytes))
		turn_to_websocket(d, when);
	if (!d->above)
		return;
	d->above->ops->bytes(d->above, end, bytes, when);
	if (is_open_question(d) && d->detected->websocket && bytes.len >= d->tries)
		d->detected->gave_up = true;
	else if (d->mqtt && mqtt_stage_gave_up(d->mqtt))
		d->detected->gave_up = true;
	d->tries -= bytes.len < d->tries ? (uint32_t)bytes.len : 0;
}

static void take_hole(struct stage *stage, unsigned end, uint64_t len, enum hole_why why, const struct when *when)
{
	struct detector *d = (struct detector *)stage;

	if (!d->above && !d->held)		/* nothing was lost of what had been begun */
		d->options.from_start = false;
	else if (!d->above)
		decide(d, MAY_BE_MQTT);
	if (d->above)
		d->above->ops->hole(d->above, end, len, why, when);
}

static void take_closed(struct stage *stage, unsigned end, bool reset, const struct when *when)
{
	struct detector *d = (struct detector *)stage;

	if (!d->above && d->held)
		decide(d, MAY_BE_MQTT);
	if (d->above)
		d->above->ops->closed(d->above, end, reset, when);
}

static void take_end(struct stage *stage, const struct when *when)
{
	struct detector *d = (struct detector *)stage;

	if (!d->above && d->held)
		decide(d, MAY_BE_MQTT);
	if (d->above)
		d->above->ops->ended(d->above, when);
	release(d, d->held);
	free(d);
}

static const struct stage_ops ops = { take_bytes, take_hole, take_closed, take_end };

static struct stage *detector_new(struct mqtt_listener *listener, const struct mqtt_options *options, struct tls_shared *tls,
                                  struct detected *detected, bool inside_tls)
{
	struct detector *d = calloc(1, sizeof(*d));

	if (!d)
		return NULL;
	d->stage.ops = &ops;
	d->listener = listener;
	d->options = *options;
	d->tls = tls;
	d->detected = detected;
	d->inside_tls = inside_tls;
	d->tries = TRIED;
	return &d->stage;
}

struct stage *detect_stage_new(struct mqtt_listener *listener, const struct mqtt_options *options,
                               struct tls_shared *tls, struct detected *detected)
{
	return detector_new(listener, options, tls, detected, false);
}

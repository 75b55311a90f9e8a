#include "fuzz/network/player_internal.h"

#include <stdlib.h>

#include "codec/fields.h"

/* What leaves: names and user put in, the monitor told, the state kept, and what was done taken down. */

/* ---- what becomes of the bytes ---- */

static bool takes_user(const struct client *c, const uint8_t *bytes, const struct frame *frame, struct packet *packet)
{
	struct finding finding;

	return frame->first >> 4 == CONNECT && !frame->overlong && decode(bytes, frame->size, (enum version)c->version, packet, &finding) == CODEC_OK &&
	       !(packet->connect_flags & CONNECT_USER_NAME);
}

/* Every CONNECT that names no user gets ours; those that cannot be read stay as they are, and so does all behind what cannot be framed. */
static struct span dress(struct client *c, struct span bytes)
{
	const struct player_options *options = &c->play->player->options;
	size_t more = options->user_name.len + options->password.len + 16, at = 0, n = 0;
	struct frame frame = { 0 };
	struct finding finding;
	struct packet packet;

	if (!options->user_name.at || c->part || c->astray)
		return bytes;
	for (size_t i = 0; i < bytes.len && frame_next(bytes.at + i, bytes.len - i, &frame, &finding) == FRAME_OK; i += frame.size)
		n += takes_user(c, bytes.at + i, &frame, &packet);
	if (!n)
		return bytes;
	struct writer w = writer_to(room_for(&c->play->player->dressed, bytes.len + n * more), bytes.len + n * more);
	for (; at < bytes.len && frame_next(bytes.at + at, bytes.len - at, &frame, &finding) == FRAME_OK; at += frame.size) {
		size_t len = w.len;

		if (takes_user(c, bytes.at + at, &frame, &packet)) {
			packet.connect_flags |= CONNECT_USER_NAME;
			packet.user_name = options->user_name;
			if (options->password.at) {
				packet.connect_flags |= CONNECT_PASSWORD;
				packet.password = options->password;
			}
			if (encode(&packet, NULL, &w) == CODEC_OK && wr_fits(&w))
				continue;
			w.len = len;
		}
		wr_bytes(&w, span_of(bytes.at + at, frame.size));
	}
	wr_bytes(&w, span_of(bytes.at + at, bytes.len - at));
	return wr_fits(&w) ? wr_span(&w) : bytes;
}

/* ---- who is told ---- */

void client_stirs(struct client *c)
{
	struct play *p = c->play;

	p->last_client = (uint8_t)(c - p->clients);
	c->active_ns = p->stirred_ns = p->player->options.loop->now_ns;
	c->sent_at = p->stirred_at = ++p->clock;
}

/* A whole packet; packet is NULL when it cannot be read. Or what can be none: not framed. */
static void tell(struct client *c, const uint8_t *bytes, size_t len, bool framed, const struct packet *packet)
{
	struct play *p = c->play;

	p->played.n_sent++;
	c->last_sent = packet ? packet->type : UNREADABLE;
	monitor_sent(&c->conn.monitor, bytes, len, packet);
	if (packet && !client_answers(c, packet))
		monitor_misbehaved(&c->conn.monitor);
	if (p->judges_dues) {
		dues_time(p->dues, p->player->options.loop->now_ns);
		if (packet || !framed)
			dues_sent(p->dues, number_of(c), packet, !monitor_is_lenient(&c->conn.monitor));
		else
			dues_sent_unreadable(p->dues, number_of(c), bytes[0] >> 4);
	}
	p->last_client = (uint8_t)(c - p->clients);
	c->sent_at = ++p->clock;
	c->active_ns = p->player->options.loop->now_ns;
	switch (packet ? (enum packet_type)packet->type : N_PACKET_TYPES) {
	case CONNECT:
		play_note_id(p, packet->client_id);
		client_stirs(c);
		break;
	case PUBLISH:
	case PUBREL:
	case DISCONNECT:
	case N_PACKET_TYPES:
		client_stirs(c);
		break;
	default:
		break;
	}
	if (!packet)
		return;
	steered_sent(&c->steered, packet);
	client_asked(c, packet);
}

static void tell_packet(struct client *c, const uint8_t *bytes, const struct frame *frame)
{
	struct finding finding;
	struct packet packet;
	bool readable = decode(bytes, frame->size, (enum version)c->version, &packet, &finding) == CODEC_OK;

	if (readable && packet.type == CONNECT && !c->has_connected) {
		c->has_connected = true;
		c->version = packet.version;
	}
	offences_sent(&c->offences, bytes, frame, readable ? &packet : NULL, &finding);
	tell(c, bytes, frame->size, true, readable ? &packet : NULL);
}

/* Returns how much of it were whole packets; behind what cannot be framed nothing is one. */
static size_t tell_whole(struct client *c, struct span bytes)
{
	size_t at = 0;
	struct frame frame = { 0 };
	struct finding finding;

	while (at < bytes.len) {
		switch (frame_next(bytes.at + at, bytes.len - at, &frame, &finding)) {
		case FRAME_OK:
			tell_packet(c, bytes.at + at, &frame);
			at += frame.size;
			break;
		case FRAME_BAD:
			c->astray = true;
			offences_unframed(&c->offences);
			tell(c, bytes.at + at, bytes.len - at, false, NULL);
			return bytes.len;
		case FRAME_MORE:
			return at;
		}
	}
	return at;
}

static void keep_part(struct client *c, struct span bytes)
{
	uint8_t *part = bytes.len ? malloc(bytes.len) : NULL;

	if (bytes.len && !part)
		abort();
	if (part)
		memcpy(part, bytes.at, bytes.len);
	free(c->part);
	c->part = part;
	c->part_len = (uint32_t)bytes.len;
	c->part_told = false;
}

static void tell_bytes(struct client *c, struct span bytes)
{
	if (c->astray) {
		tell(c, bytes.at, bytes.len, false, NULL);
		return;
	}
	if (c->part) {
		bool told = c->part_told;
		uint8_t *joined = realloc(c->part, c->part_len + bytes.len);

		if (!joined)
			abort();
		memcpy(joined + c->part_len, bytes.at, bytes.len);
		c->part = joined;
		c->part_len += (uint32_t)bytes.len;
		size_t used = tell_whole(c, span_of(c->part, c->part_len));
		if (used)
			keep_part(c, span_of(c->part + used, c->part_len - used));
		else
			c->part_told = told;
		return;
	}
	size_t used = tell_whole(c, bytes);
	if (used < bytes.len)
		keep_part(c, span_of(bytes.at + used, bytes.len - used));
}

/*
 * A right target says nothing to half a packet, but what is wrong in its first half it may answer before the second comes. Which of the two it is cannot be
 * told here; so for the monitor it is an offence to leave it at half for a while.
 */
void play_tell_parts(struct play *p)
{
	for (struct client *c = p->clients; c < p->clients + MOVES_CLIENTS; c++)
		if (c->part && !c->part_told && client_lives(c)) {
			c->part_told = true;
			tell(c, c->part, c->part_len, false, NULL);
		}
}

void client_forget_part(struct client *c)
{
	free(c->part);
	c->part = NULL;
	c->part_len = 0;
}

void client_send(struct client *c, size_t len, size_t piece)
{
	struct player *player = c->play->player;
	struct span bytes;

	moves_rename(player->bytes.at, len, c->play->name);
	bytes = dress(c, span_of(player->bytes.at, len));
	tell_bytes(c, bytes);
	conn_send(&c->conn, bytes, piece, 0);
}

/* ---- what was done ---- */

/* The case's own name becomes the one that stands for any. */
static void unname(uint8_t *bytes, size_t len, const char *name)
{
	uint8_t *end = bytes + len, *at = bytes;

	while ((at = memmem(at, (size_t)(end - at), name, MOVES_NAME_LEN))) {
		memcpy(at, MOVES_NAME, MOVES_NAME_LEN);
		at += MOVES_NAME_LEN;
	}
}

void play_did(struct play *p, const struct move *move, struct span bytes, bool named)
{
	struct moves *did = p->did;
	struct move done = *move;

	if (!did)
		return;
	if (did->n == MOVES_MAX || !moves_keep(did, bytes, &done.bytes)) {
		p->did = NULL;		/* what follows would be another case */
		return;
	}
	if (named && done.bytes.len)
		unname(did->room + (done.bytes.at - did->room), done.bytes.len, p->name);
	moves_insert(did, did->n, done);
}

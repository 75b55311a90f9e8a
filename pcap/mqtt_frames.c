#include "pcap/mqtt_parts.h"

#include <assert.h>

/* From bytes in order to packets, while it is known where they begin. */

enum { HEAD_MOST = 5 };			/* bytes of a fixed header; one that is wrong is seen to be with its fifth */

void mqtt_tell_hole(struct mqtt_stage *s, unsigned end, enum hole_why why, uint64_t bytes, uint64_t skipped, const struct when *when)
{
	struct hole hole = { .from = sender_of(s, end), .why = why, .bytes = bytes, .skipped = skipped, .when = *when };

	s->conversation->holed = true;
	mqtt_introduce(s, when);
	s->listener->hole(s->listener, s->conversation, &hole);
}

/* ---- one packet ---- */

/* What the other end sent may still wait to be recognised as what this acknowledges: cause before effect. */
static void confirm(struct mqtt_stage *s, unsigned end, const struct seen_packet *seen)
{
	unsigned type = seen->packet.type;
	struct lane *other = &s->lanes[!end];

	if (seen->status == CODEC_OK && other->seek && other->len && !other->replaying &&
	    (type == PUBACK || type == PUBREC || type == PUBCOMP || type == SUBACK || type == UNSUBACK))
		mqtt_seek_confirmed(s, !end, seen->packet.packet_id);
}

static bool from_either(unsigned type)
{
	return type >= PUBLISH && type <= PUBCOMP;
}

bool mqtt_take(struct mqtt_stage *s, unsigned end, struct span bytes, const struct frame *frame, const struct when *first, const struct when *when)
{
	struct lane *lane = &s->lanes[end];
	struct seen_packet seen;

	seen.status = decode(bytes.at, bytes.len, (enum version)s->version, &seen.packet, &seen.finding);
	if (seen.status != CODEC_OK || !lane->sure || !version_settled(s) || !(s->roles_known || from_either(frame->first >> 4))) {
		if (!mqtt_weigh(s, end, bytes, &seen))
			return false;
	} else {
		lane->bad_in_a_row = 0;
	}
	if (s->lanes[!end].seek)
		confirm(s, end, &seen);
	mqtt_learn(s, end, &seen);
	if (!s->introduced)
		mqtt_introduce(s, when);
	seen.conversation = s->conversation;
	seen.from = sender_of(s, end);
	seen.when = *when;
	seen.first = *first;
	seen.nth = 0;
	seen.bytes = bytes;
	seen.frame = *frame;
	seen.sure = lane->sure;
	seen.confidence = lane->sure ? 100 : lane->bits > 49 ? 99 : (uint8_t)(50 + lane->bits);
	s->listener->packet(s->listener, &seen);
	return true;
}

/* ---- pieces ---- */

/* What follows is no packet, or not the one that it should be: the next is sought. */
static size_t astray(struct mqtt_stage *s, unsigned end, struct span bytes, const struct when *when)
{
	struct lane *lane = &s->lanes[end];

	mqtt_seek(s, end, HOLE_UNREADABLE);
	size_t taken = mqtt_seek_bytes(s, end, bytes, when);
	if (lane->seek && !lane->replaying)
		mqtt_seek_tell(s, end, when);
	return taken;
}

/*
 * A remaining length that goes on behind its fourth byte: certainly a packet's beginning, and certainly wrong. It is told as a packet of what
 * there is of it; where it would have ended nobody knows. False: it is not certain.
 */
static bool unframed(struct mqtt_stage *s, unsigned end, struct span head, const struct finding *finding, const struct when *first, const struct when *when)
{
	struct lane *lane = &s->lanes[end];

	if (!lane->sure || !s->roles_known)
		return false;
	mqtt_introduce(s, when);
	struct seen_packet seen = {
		.conversation = s->conversation, .from = sender_of(s, end), .when = *when, .first = *first, .bytes = head,
		.frame = { .first = head.at[0], .header_size = (uint8_t)head.len, .size = head.len },
		.status = CODEC_BAD, .finding = *finding, .sure = true, .confidence = 100,
	};
	seen.finding.version = (uint8_t)s->version;
	s->listener->packet(s->listener, &seen);
	return true;
}

/* The same when it was collected. */
static void collected_astray(struct mqtt_stage *s, unsigned end, const struct when *when)
{
	struct lane *lane = &s->lanes[end], held = *lane;

	lane->buf = NULL;
	lane->len = lane->cap = lane->size = 0;
	size_t taken = astray(s, end, span_of(held.buf, held.len), when);
	mqtt_read(s, end, span_of(held.buf + taken, held.len - taken), when);
	mqtt_give_back(s, &held);
}

/* What is passed over is counted as it comes: what a length announces may never come. */
static void tell_passed(struct mqtt_stage *s, unsigned end, const struct when *when)
{
	struct lane *lane = &s->lanes[end];
	uint64_t passed = lane->passed;

	lane->passed = 0;
	if (passed)
		mqtt_tell_hole(s, end, (enum hole_why)lane->why, 0, passed, when);
}

static size_t pass_bytes(struct mqtt_stage *s, unsigned end, size_t len, const struct when *when)
{
	struct lane *lane = &s->lanes[end];
	size_t n = lane->pass < len ? (size_t)lane->pass : len;

	lane->pass -= n;
	lane->passed += n;
	if (!lane->pass)
		tell_passed(s, end, when);
	return n;
}

/* A packet that will not be shown: too large, or there is no room for it. */
static void pass_over(struct mqtt_stage *s, unsigned end, size_t size, size_t here, const struct when *when)
{
	struct lane *lane = &s->lanes[end];

	mqtt_tell_hole(s, end, HOLE_NO_ROOM, 0, here, when);
	mqtt_alias_forget(s, &lane->aliases);	/* it may have set one */
	lane->pass = size - here;
	lane->why = HOLE_NO_ROOM;
	mqtt_give_back(s, lane);
}

/* Where the place is not certain, it is not waited for the end of what cannot be a packet. */
static bool may_go_on(const struct mqtt_stage *s, unsigned end, struct span begun)
{
	const struct lane *lane = &s->lanes[end];
	struct sight sight;

	return lane->sure || lane->bits >= BITS_FOUND + BITS_BAD || mqtt_look(s, end, begun, &sight) != LOOK_DEAD;
}

/* More of a packet whose beginning is in lane->buf; how many bytes were taken. */
static size_t collect(struct mqtt_stage *s, unsigned end, struct span bytes, const struct when *when)
{
	struct lane *lane = &s->lanes[end];
	struct frame frame;
	struct finding finding;
	size_t taken = 0;

	if (when->frame > lane->latest.frame)
		lane->latest = *when;
	lane->latest.crossed = when->crossed;
	while (!lane->size && taken < bytes.len) {	/* the length itself was cut */
		lane->buf[lane->len++] = bytes.at[taken++];
		if (frame_next(lane->buf, lane->len, &frame, &finding) == FRAME_BAD) {
			if (!unframed(s, end, span_of(lane->buf, lane->len), &finding, &lane->first, when)) {
				collected_astray(s, end, when);
				return taken;
			}
			mqtt_give_back(s, lane);
			mqtt_seek(s, end, HOLE_UNREADABLE);
			return taken;
		}
		if (frame.size && frame.size > s->max_packet) {
			size_t size = frame.size, here = lane->len;

			if (lane->sure)
				pass_over(s, end, size, here, when);
			else
				collected_astray(s, end, when);
			return taken;
		}
		lane->size = (uint32_t)frame.size;
		if (!may_go_on(s, end, span_of(lane->buf, lane->len))) {
			collected_astray(s, end, when);
			return taken;
		}
	}
	if (!lane->size)
		return taken;
	size_t n = lane->size - lane->len < bytes.len - taken ? lane->size - lane->len : bytes.len - taken;
	if (!mqtt_reserve(s, lane, lane->len + n)) {
		pass_over(s, end, lane->size, lane->len, when);
		return taken;
	}
	if (n)
		memcpy(lane->buf + lane->len, bytes.at + taken, n);
	lane->len += (uint32_t)n;
	taken += n;
	if (lane->len < lane->size)
		return taken;
	enum frame_status status = frame_next(lane->buf, lane->len, &frame, &finding);
	assert(status == FRAME_OK);
	if (mqtt_take(s, end, span_of(lane->buf, frame.size), &frame, &lane->first, &lane->latest))
		mqtt_give_back(s, lane);
	else
		collected_astray(s, end, when);
	return taken;
}

/* At a packet's beginning; how many bytes were taken. */
static size_t begin(struct mqtt_stage *s, unsigned end, struct span bytes, const struct when *when)
{
	struct lane *lane = &s->lanes[end];
	struct frame frame;
	struct finding finding;

	switch (frame_next(bytes.at, bytes.len, &frame, &finding)) {
	case FRAME_OK:
		if (frame.size <= s->max_packet) {
			if (mqtt_take(s, end, span_of(bytes.at, frame.size), &frame, when, when))
				return frame.size;
			return astray(s, end, bytes, when);
		}
		/* fall through */
	case FRAME_MORE:
		if (frame.size && frame.size > s->max_packet) {
			size_t here = frame.size < bytes.len ? frame.size : bytes.len;

			if (!lane->sure)
				return astray(s, end, bytes, when);
			pass_over(s, end, frame.size, here, when);
			return here;
		}
		if (!may_go_on(s, end, bytes))
			return astray(s, end, bytes, when);
		if (!mqtt_reserve(s, lane, bytes.len < 8 ? 8 : bytes.len)) {
			if (frame.size)
				pass_over(s, end, frame.size, bytes.len, when);
			else
				mqtt_gap(s, end, bytes.len, HOLE_NO_ROOM, when);
			return bytes.len;
		}
		memcpy(lane->buf, bytes.at, bytes.len);
		lane->len = (uint32_t)bytes.len;
		lane->size = (uint32_t)frame.size;
		lane->first = lane->latest = *when;
		return bytes.len;
	default:
		if (!unframed(s, end, span_of(bytes.at, HEAD_MOST), &finding, when, when))
			return astray(s, end, bytes, when);
		mqtt_seek(s, end, HOLE_UNREADABLE);
		return HEAD_MOST;
	}
}

void mqtt_read(struct mqtt_stage *s, unsigned end, struct span bytes, const struct when *when)
{
	struct lane *lane = &s->lanes[end];

	while (bytes.len) {
		size_t n;

		if (lane->seek)
			n = mqtt_seek_bytes(s, end, bytes, when);
		else if (lane->pass)
			n = pass_bytes(s, end, bytes.len, when);
		else if (lane->len)
			n = collect(s, end, bytes, when);
		else
			n = begin(s, end, bytes, when);
		bytes.at += n;
		bytes.len -= n;
	}
}

/* ---- what is missing ---- */

void mqtt_gap(struct mqtt_stage *s, unsigned end, uint64_t len, enum hole_why why, const struct when *when)
{
	struct lane *lane = &s->lanes[end];

	if (lane->seek)
		mqtt_seek_last(s, end, when);
	if (lane->seek) {
		mqtt_tell_hole(s, end, why, len, 0, when);
		lane->why = (uint8_t)why;
		return;
	}
	if (len && len <= lane->pass) {
		lane->pass -= len;
		if (!lane->pass)
			tell_passed(s, end, when);
		mqtt_tell_hole(s, end, why, len, 0, when);
		return;
	}
	if (len && lane->size && len <= lane->size - lane->len) {
		/* all of it lies in one packet, whose end is known */
		if (!mqtt_learn_part(s, end, span_of(lane->buf, lane->len)))
			mqtt_alias_forget(s, &lane->aliases);
		lane->pass = lane->size - lane->len - len;
		lane->why = (uint8_t)why;
		mqtt_tell_hole(s, end, why, len, lane->len, when);
		mqtt_give_back(s, lane);
		return;
	}
	size_t skipped = lane->len;
	tell_passed(s, end, when);
	mqtt_give_back(s, lane);
	mqtt_seek(s, end, why);
	mqtt_tell_hole(s, end, why, len, skipped, when);
}

void mqtt_finish(struct mqtt_stage *s, unsigned end, const struct when *when)
{
	struct lane *lane = &s->lanes[end];

	if (lane->seek)
		mqtt_seek_last(s, end, when);
	tell_passed(s, end, when);
	if (lane->len) {
		bool holed = s->conversation->holed;

		mqtt_tell_hole(s, end, HOLE_UNFINISHED, lane->size ? lane->size - lane->len : 0, lane->len, when);
		s->conversation->holed = holed;		/* nothing follows on it */
	}
	mqtt_give_back(s, lane);
}

#include <stdlib.h>

#include "pcap/tls_internal.h"

enum {
	CREDIT_EACH = 64,		/* for a byte: what may be decrypted in vain */
	CREDIT_MOST = 1 << 26,
};

static size_t n_kept(const struct tls_side *side)
{
	return side->kept_end - side->kept_from;
}

static void drop_kept(struct tls *t, struct tls_side *side)
{
	t->shared->room += side->kept_cap;
	free(side->kept);
	side->kept = NULL;
	side->kept_cap = side->kept_from = side->kept_end = 0;
}

void tls_records_release(struct tls *t, unsigned end)
{
	drop_kept(t, &t->sides[end]);
	tls_messages_lost(t, end);
}

/* Nothing of this end can be read any more. */
static void make_deaf(struct tls *t, unsigned end, enum hole_why why, const struct when *when)
{
	struct tls_side *side = &t->sides[end];

	tls_owe(t, end, side->at, why, when);
	side->owed.sought = true;
	tls_owed_tell(t, end);
	side->deaf = true;
	drop_kept(t, side);
}

/* ---- headers ---- */

static size_t record_len(const uint8_t *header)
{
	return TLS_HEADER + (size_t)(header[3] << 8 | header[4]);
}

static bool is_header(const uint8_t *h)
{
	return h[0] >= TLS_CHANGE_CIPHER_SPEC && h[0] <= TLS_HEARTBEAT && h[1] == 3 && h[2] <= 4 && record_len(h) <= TLS_RECORD_MOST &&
	       record_len(h) > TLS_HEADER;
}

int tls_looks_like(struct span bytes)
{
	static const uint8_t from[] = { TLS_HANDSHAKE, 3, 0 }, to[] = { TLS_HANDSHAKE, 3, 4 };

	for (size_t i = 0; i < sizeof(from) && i < bytes.len; i++)
		if (bytes.at[i] < from[i] || bytes.at[i] > to[i])
			return 0;
	if (bytes.len <= TLS_HEADER)
		return -1;
	return is_header(bytes.at) && (bytes.at[TLS_HEADER] == 1 || bytes.at[TLS_HEADER] == 2);
}

/* A record that holds a hello, from its first byte. */
static bool is_hello(const struct tls *t, unsigned end, struct span record)
{
	const uint8_t *m = record.at + TLS_HEADER;

	if (record.len < TLS_HEADER + 4 + 2 + TLS_RANDOM || record.at[0] != TLS_HANDSHAKE || m[4] != 3 || m[1])
		return false;
	return (m[0] == 1 && !t->notes->client_hello) || (m[0] == 2 && !t->notes->server_hello && !tls_is_client(t, end));
}

/* ---- records that are not encrypted, or seem so ---- */

/* Behind a hole in a handshake: only what says itself what it is, or authenticates, is believed. */
static enum tls_outcome take_unsure(struct tls *t, unsigned end, struct span record, uint64_t from, const struct when *when)
{
	struct tls_side *side = &t->sides[end];
	bool found = is_hello(t, end, record);

	if (found) {
		tls_messages_lost(t, end);
		side->messages.lost = false;
		side->seeking = side->unsure = false;
		tls_messages_read(t, end, span_of(record.at + TLS_HEADER, record.len - TLS_HEADER), when);
		return TLS_TAKEN;
	}
	if (t->suite && !t->is_13 && (record.at[0] == TLS_HANDSHAKE || record.at[0] == TLS_APPLICATION_DATA)) {
		bool seeking = side->seeking;
		enum tls_outcome outcome;

		side->epoch = side->generation = EPOCH_TRAFFIC;
		side->seeking = true;		/* so that it is no loss if it does not authenticate */
		outcome = tls_sealed_read(t, end, record, from, when);
		if (outcome == TLS_TAKEN)
			return outcome;
		side->epoch = side->generation = EPOCH_PLAIN;
		side->seeking = seeking;
		if (outcome == TLS_WAIT)
			return outcome;
	}
	return side->seeking ? TLS_NO_RECORD : TLS_TAKEN;
}

static enum tls_outcome take_plain(struct tls *t, unsigned end, struct span record, uint64_t from, const struct when *when)
{
	struct tls_side *side = &t->sides[end];
	struct span payload = span_of(record.at + TLS_HEADER, record.len - TLS_HEADER);

	switch ((enum tls_content)record.at[0]) {
	case TLS_CHANGE_CIPHER_SPEC:
		if (t->suite && !t->is_13 && payload.len == 1) {
			side->epoch = side->generation = EPOCH_TRAFFIC;
			side->seeking = false;
			tls_messages_lost(t, end);
			side->messages.lost = false;
			return TLS_TAKEN;
		}
		break;
	case TLS_HANDSHAKE:
		if (side->unsure)
			return take_unsure(t, end, record, from, when);
		tls_messages_read(t, end, payload, when);
		return TLS_TAKEN;
	case TLS_ALERT:
		if (!side->seeking)
			tls_alert_read(t, payload);
		break;
	case TLS_APPLICATION_DATA:
		if (side->unsure && t->suite)
			return take_unsure(t, end, record, from, when);
		if (side->seeking)
			break;
		if (t->early_offered && tls_is_client(t, end))
			t->early_seen = true;
		else
			tls_give_up(t, !t->notes->client_hello ? "its ClientHello was not captured"
			               : !t->notes->server_hello ? "its ServerHello was not captured" : "application data before its handshake is over", when);
		return TLS_TAKEN;
	case TLS_HEARTBEAT:
		break;
	}
	return side->seeking ? TLS_NO_RECORD : TLS_TAKEN;
}

static enum tls_outcome take_record(struct tls *t, unsigned end, struct span record, uint64_t from, const struct when *when)
{
	struct tls_side *side = &t->sides[end];
	enum tls_content type = record.at[0];

	if (side->epoch == EPOCH_PLAIN)
		return take_plain(t, end, record, from, when);
	if (t->is_13 && type != TLS_APPLICATION_DATA) {
		/* [RFC 8446, 5] a ChangeCipherSpec means nothing; an alert is not encrypted where its sender has no keys yet */
		if (type == TLS_ALERT && side->epoch == EPOCH_HANDSHAKE && !side->authentic && !side->seeking)
			tls_alert_read(t, span_of(record.at + TLS_HEADER, record.len - TLS_HEADER));
		return side->seeking ? TLS_NO_RECORD : TLS_TAKEN;
	}
	return tls_sealed_read(t, end, record, from, when);
}

/* ---- where records begin ---- */

/* Room for len bytes in all. */
static bool keep_room(struct tls *t, struct tls_side *side, size_t len)
{
	if (side->kept_from && side->kept_from + len > side->kept_cap) {
		memmove(side->kept, side->kept + side->kept_from, n_kept(side));
		side->kept_end -= side->kept_from;
		side->kept_from = 0;
	}
	if (len <= side->kept_cap)
		return true;
	uint8_t *kept = len - side->kept_cap <= t->shared->room ? realloc(side->kept, len) : NULL;
	if (!kept)
		return false;
	t->shared->room -= len - side->kept_cap;
	side->kept = kept;
	side->kept_cap = len;
	return true;
}

/* Moves bytes from *from to what is kept, until that is len long. False: there is no room. */
static bool keep(struct tls *t, struct tls_side *side, struct span *from, size_t len, const struct when *when)
{
	size_t n = len - n_kept(side);

	if (n > from->len)
		n = from->len;
	if (!n)
		return true;
	if (!keep_room(t, side, len))
		return false;
	memcpy(side->kept + side->kept_end, from->at, n);
	side->kept_end += n;
	side->kept_when = *when;
	from->at += n;
	from->len -= n;
	return true;
}

static void leave_kept(struct tls *t, struct tls_side *side, size_t n)
{
	side->kept_from += n;
	side->at += n;
	if (side->kept_from == side->kept_end)
		drop_kept(t, side);
}

static void begin_seeking(struct tls *t, unsigned end)
{
	struct tls_side *side = &t->sides[end];

	side->seeking = side->unsure = true;
	side->owed.sought = true;
	tls_messages_lost(t, end);
}

/* No record begins where one should. */
static void no_header(struct tls *t, unsigned end, const struct when *when)
{
	struct tls_side *side = &t->sides[end];

	if (!t->notes->client_hello && !t->notes->server_hello) {
		tls_give_up(t, "it is not TLS after all", when);
	} else if (!t->suite) {
		tls_give_up(t, "its handshake holds what is no TLS record", when);
	} else {
		tls_owe(t, end, side->at, HOLE_UNREADABLE, when);
		side->owed.exact = false;
		begin_seeking(t, end);
	}
}

/* Seeking: the first place in what is kept where a record may begin, to its front. */
static void seek(struct tls *t, struct tls_side *side)
{
	while (n_kept(side)) {
		const uint8_t *at = side->kept + side->kept_from;

		if (n_kept(side) >= TLS_HEADER ? is_header(at) && at[2] == 3 : at[0] >= TLS_CHANGE_CIPHER_SPEC && at[0] <= TLS_HEARTBEAT)
			return;
		leave_kept(t, side, 1);
	}
}

/* Reads one record that is kept whole, or makes a step towards it. False: more bytes are needed, or the secret. */
static bool step_kept(struct tls *t, unsigned end, struct span *bytes, const struct when *when)
{
	struct tls_side *side = &t->sides[end];

	if (!keep(t, side, bytes, side->seeking ? TLS_RECORD_MOST : n_kept(side) < TLS_HEADER ? TLS_HEADER : n_kept(side), when)) {
		make_deaf(t, end, HOLE_NO_ROOM, when);
		return false;
	}
	if (side->seeking)
		seek(t, side);
	if (n_kept(side) < TLS_HEADER)
		return side->seeking && bytes->len;
	const uint8_t *at = side->kept + side->kept_from;
	if (!is_header(at)) {
		no_header(t, end, when);
		return true;
	}
	size_t len = record_len(at);
	if (!keep(t, side, bytes, n_kept(side) > len ? n_kept(side) : len, when)) {
		make_deaf(t, end, HOLE_NO_ROOM, when);
		return false;
	}
	if (n_kept(side) < len)
		return false;
	struct when whole = side->kept_when;
	switch (take_record(t, end, span_of(side->kept + side->kept_from, len), side->at, &whole)) {
	case TLS_TAKEN:
		leave_kept(t, side, len);
		return true;
	case TLS_NO_RECORD:
		leave_kept(t, side, 1);
		return true;
	case TLS_WAIT:
		t->blocked = true;
		t->blocked_end = end;
		return false;
	}
	return false;
}

/* The same of bytes of which none has to be kept. */
static bool step_in_place(struct tls *t, unsigned end, struct span *bytes, const struct when *when)
{
	struct tls_side *side = &t->sides[end];
	size_t len = bytes->len >= TLS_HEADER && is_header(bytes->at) ? record_len(bytes->at) : 0;

	if (!len || len > bytes->len)
		return step_kept(t, end, bytes, when);
	if (take_record(t, end, span_of(bytes->at, len), side->at, when) == TLS_WAIT) {
		t->blocked = true;
		t->blocked_end = end;
		return false;
	}
	side->at += len;
	bytes->at += len;
	bytes->len -= len;
	return true;
}

/* The rest of a record of which a part is missing. */
static void pass_over(struct tls_side *side, struct span *bytes)
{
	size_t n = bytes->len < side->passing ? bytes->len : side->passing;

	side->passing -= (uint32_t)n;
	side->at += n;
	bytes->at += n;
	bytes->len -= n;
}

size_t tls_records_read(struct tls *t, unsigned end, struct span bytes, const struct when *when)
{
	struct tls_side *side = &t->sides[end];
	size_t all = bytes.len;
	bool going = true;

	t->blocked = false;
	side->credit += CREDIT_EACH * (uint64_t)all;
	if (side->credit > CREDIT_MOST)
		side->credit = CREDIT_MOST;
	while (going && !side->deaf && !t->gave_up && (bytes.len || n_kept(side))) {
		if (side->passing && !bytes.len)
			break;
		if (side->passing)
			pass_over(side, &bytes);
		else
			going = n_kept(side) || side->seeking ? step_kept(t, end, &bytes, when) : step_in_place(t, end, &bytes, when);
	}
	return t->blocked ? all - bytes.len : all;
}

/* How much is still to come of the record of which the beginning is kept; 0: that is not known. */
static size_t left_of_kept(const struct tls_side *side)
{
	if (side->seeking || n_kept(side) < TLS_HEADER)
		return 0;
	const uint8_t *at = side->kept + side->kept_from;
	return is_header(at) ? record_len(at) - n_kept(side) : 0;
}

void tls_records_hole(struct tls *t, unsigned end, uint64_t len, enum hole_why why, const struct when *when)
{
	struct tls_side *side = &t->sides[end];
	size_t kept = n_kept(side), left = left_of_kept(side);

	if (side->deaf)
		return;
	if (len && len <= side->passing) {	/* more of a record that is missing already */
		side->passing -= (uint32_t)len;
		side->at += len;
		return;
	}
	len -= len ? side->passing : 0;
	side->at += side->passing;
	side->passing = 0;
	tls_owe(t, end, side->at, why, when);
	side->owed.exact &= len != 0;
	side->unsure = true;
	if (side->epoch == EPOCH_PLAIN && left && side->kept[side->kept_from] == TLS_HANDSHAKE)
		tls_messages_read(t, end, span_of(side->kept + side->kept_from + TLS_HEADER, kept - TLS_HEADER), when);
	tls_messages_lost(t, end);
	drop_kept(t, side);
	side->at += kept + len;
	if (len && len <= left) {
		side->passing = (uint32_t)(left - len);
		tls_owe_record(t, end, kept + left);
	} else {
		begin_seeking(t, end);
	}
}

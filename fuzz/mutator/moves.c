#include "fuzz/mutator/moves.h"

#include <assert.h>

/* What follows a move's first byte. */
enum { HAS_VALUE = 1, HAS_LENGTH = 2, HAS_LONG_LENGTH = 4 };

static const uint8_t form[32] = {	/* by kind; those that are not are passed over */
	[MOVE_SEND] = HAS_LENGTH,
	[MOVE_SEND_LONG] = HAS_LONG_LENGTH,
	[MOVE_WAIT] = HAS_VALUE,
	[MOVE_LIMITS] = HAS_VALUE,
	[MOVE_ANSWER] = HAS_VALUE,
	[MOVE_STEER] = HAS_VALUE,
	[MOVE_SEND_CUT] = HAS_VALUE | HAS_LONG_LENGTH,
	[MOVE_PAUSE] = HAS_VALUE,
};
_Static_assert(N_MOVE_KINDS <= sizeof(form), "a kind has five bits");

static inline uint8_t next_byte(const uint8_t **at, const uint8_t *end)
{
	return *at < end ? *(*at)++ : 0;
}

void moves_read(struct moves *moves, struct span bytes)
{
	const uint8_t *at = bytes.at, *end = bytes.len ? at + bytes.len : at;

	moves->n = moves->used = 0;
	while (at < end && moves->n < MOVES_MAX) {
		uint8_t first = *at++;
		uint8_t kind = (uint8_t)((first & 7) | (first >> 6) << 3);
		struct move *move = &moves->at[moves->n];
		size_t len = 0;

		if (kind >= N_MOVE_KINDS)
			continue;
		*move = (struct move){ .kind = kind, .client = first >> 3 & 7 };
		if (form[kind] & HAS_VALUE)
			move->value = next_byte(&at, end);
		if (kind == MOVE_SEND_CUT && !move->value)
			move->value = 1;	/* nobody writes pieces of nothing */
		if (form[kind] & HAS_LONG_LENGTH)
			len = (size_t)next_byte(&at, end) << 8;
		if (form[kind] & (HAS_LENGTH | HAS_LONG_LENGTH))
			len |= next_byte(&at, end);
		if (len > (size_t)(end - at))
			len = (size_t)(end - at);
		if (len)
			move->bytes = span_of(at, len);
		at += len;
		moves->n++;
	}
}

static void write_move(struct writer *w, uint8_t kind, const struct move *move, struct span bytes)
{
	wr_u8(w, (kind & 7u) | (move->client & 7u) << 3 | (kind >> 3 & 3u) << 6);
	if (form[kind] & HAS_VALUE)
		wr_u8(w, move->value);
	if (form[kind] & HAS_LENGTH)
		wr_u8(w, (unsigned)bytes.len);
	if (form[kind] & HAS_LONG_LENGTH)
		wr_u16(w, (unsigned)bytes.len);
	if (form[kind] & (HAS_LENGTH | HAS_LONG_LENGTH))
		wr_bytes(w, bytes);
}

void moves_write(const struct moves *moves, struct writer *w)
{
	for (uint32_t i = 0; i < moves->n; i++) {
		const struct move *move = &moves->at[i];
		struct span left = move->bytes;
		uint8_t kind = move->kind == MOVE_SEND && left.len > UINT8_MAX ? MOVE_SEND_LONG : move->kind;

		assert(kind < N_MOVE_KINDS);
		for (; left.len > UINT16_MAX; left = span_of(left.at + UINT16_MAX, left.len - UINT16_MAX))
			write_move(w, kind, move, span_of(left.at, UINT16_MAX));
		write_move(w, kind, move, left);
	}
}

bool moves_keep(struct moves *moves, struct span bytes, struct span *span)
{
	*span = (struct span){ 0 };
	if (bytes.len > sizeof(moves->room) - moves->used)
		return false;
	if (!bytes.len)
		return true;
	memcpy(moves->room + moves->used, bytes.at, bytes.len);
	*span = span_of(moves->room + moves->used, bytes.len);
	moves->used += (uint32_t)bytes.len;
	return true;
}

bool moves_copy(struct moves *to, const struct moves *from)
{
	to->used = 0;
	for (to->n = 0; to->n < from->n; to->n++) {
		struct move *move = &to->at[to->n];

		*move = from->at[to->n];
		if (!moves_keep(to, move->bytes, &move->bytes))
			return false;
	}
	return true;
}

bool moves_insert(struct moves *moves, uint32_t at, struct move move)
{
	assert(at <= moves->n);
	if (moves->n == MOVES_MAX)
		return false;
	memmove(&moves->at[at + 1], &moves->at[at], (moves->n - at) * sizeof(moves->at[0]));
	moves->at[at] = move;
	moves->n++;
	return true;
}

void moves_remove(struct moves *moves, uint32_t at, uint32_t n)
{
	assert(at <= moves->n);
	if (n > moves->n - at)
		n = moves->n - at;
	memmove(&moves->at[at], &moves->at[at + n], (moves->n - at - n) * sizeof(moves->at[0]));
	moves->n -= n;
}

static bool in_room(const struct moves *moves, const struct move *move)
{
	uintptr_t at = (uintptr_t)move->bytes.at, room = (uintptr_t)moves->room;

	return move->bytes.len && at >= room && at - room < sizeof(moves->room);
}

/* Which moves borrow from the room, by where their bytes begin. */
static uint32_t borrowers(const struct moves *moves, uint8_t order[static MOVES_MAX])
{
	uint32_t n = 0;

	_Static_assert(MOVES_MAX <= UINT8_MAX + 1, "a move's number fits a byte");
	for (uint32_t i = 0; i < moves->n; i++) {
		uint32_t to = n;

		if (!in_room(moves, &moves->at[i]))
			continue;
		for (; to && moves->at[order[to - 1]].bytes.at > moves->at[i].bytes.at; to--)
			order[to] = order[to - 1];
		order[to] = (uint8_t)i;
		n++;
	}
	return n;
}

void moves_compact(struct moves *moves)
{
	uint8_t order[MOVES_MAX];
	uint32_t n = borrowers(moves, order), used = 0, end = 0;	/* end: up to where, of the old places, bytes are moved already */

	/* Several may share bytes: what is common to them is moved once, and stays common. */
	for (uint32_t i = 0; i < n; i++) {
		struct move *move = &moves->at[order[i]];
		uint32_t from = (uint32_t)(move->bytes.at - moves->room), past = from + (uint32_t)move->bytes.len;
		uint32_t shared = from < end ? end - from : 0;

		if (past > end) {
			memmove(moves->room + used, moves->room + from + shared, past - from - shared);
			used += past - from - shared;
			end = past;
		}
		move->bytes.at = moves->room + used - (end - from);
	}
	moves->used = used;
}

/* The first bytes from move number `at` on that its client sends: they may be in pieces. */
static size_t begins_with(const struct moves *moves, uint32_t at, uint32_t before, uint8_t *head, size_t cap)
{
	uint8_t client = moves->at[at].client;
	size_t len = 0;

	for (; at < before && len < cap; at++) {
		const struct move *move = &moves->at[at];
		size_t n = move->bytes.len < cap - len ? move->bytes.len : cap - len;

		if (move->client != client || !move_sends(move) || !n)
			continue;
		memcpy(head + len, move->bytes.at, n);
		len += n;
	}
	return len;
}

/* CONNECT's level, which stands behind the protocol's name; 0: it cannot be read. */
static uint8_t level_of(const uint8_t *head, size_t len)
{
	size_t at = 1;

	if (len < 2 || head[0] >> 4 != CONNECT)
		return 0;
	for (; at < len && at < 4 && head[at] & 0x80; at++)
		;
	at++;
	if (at + 2 > len)
		return 0;
	at += 2 + ((size_t)head[at] << 8 | head[at + 1]);
	return at < len ? head[at] : 0;
}

enum version moves_version(const struct moves *moves, uint32_t at, uint8_t client)
{
	uint32_t before = at < moves->n ? at : moves->n;

	for (uint32_t i = before; i--; ) {
		const struct move *move = &moves->at[i];
		uint8_t head[32], level;

		if (move->client != client)
			continue;
		if (move->kind == MOVE_OPEN)
			break;
		if (!move_sends(move) || !move->bytes.len || move->bytes.at[0] >> 4 != CONNECT)
			continue;
		level = level_of(head, begins_with(moves, i, before, head, sizeof(head)));
		if (level >= MQTT_3_1 && level <= MQTT_5)
			return level;
	}
	return MQTT_3_1_1;
}

void moves_rename(uint8_t *bytes, size_t len, const char name[static MOVES_NAME_LEN])
{
	uint8_t *at = bytes;

	while (len >= MOVES_NAME_LEN && (at = memmem(bytes, len, MOVES_NAME, MOVES_NAME_LEN))) {
		memcpy(at, name, MOVES_NAME_LEN);
		len -= (size_t)(at + MOVES_NAME_LEN - bytes);
		bytes = at + MOVES_NAME_LEN;
	}
}

void moves_name(char name[static MOVES_NAME_LEN + 1], uint64_t number)
{
	memcpy(name, MOVES_NAME, MOVES_NAME_LEN + 1);
	for (size_t i = MOVES_NAME_LEN; i-- > 2; number /= 36)
		name[i] = "0123456789abcdefghijklmnopqrstuvwxyz"[number % 36];
}

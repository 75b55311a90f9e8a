#include "fuzz/mutator/anomalies.h"

/* Other values for what stands in a field: numbers at and past what is allowed, strings that a careful reader refuses. */

#define N(table) (sizeof(table) / sizeof(*(table)))

static uint64_t most_of(enum kind kind)
{
	switch (kind) {
	case U8:     return 0xff;
	case U16:    return 0xffff;
	case VARINT: return VARINT_MAX;
	default:     return 0xffffffff;
	}
}

static uint64_t a_limit(struct random *random, uint64_t most)
{
	static const uint32_t limits[] = {
		0, 1, 2, 3, 0x7f, 0x80, 0xff, 0x100, 0x3fff, 0x4000, 0x7fff, 0x8000, 0xfffe, 0xffff, 0x10000, 0x1fffff, 0x200000, VARINT_MAX - 1,
		VARINT_MAX, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff,
	};
	size_t n = N(limits);

	if (one_in(random, 3))
		return most - random_below(random, 2);
	while (limits[n - 1] > most)
		n--;
	return limits[random_below(random, n)];
}

static bool past_range(struct edit *edit, enum limit limit, uint64_t most, uint64_t *number)
{
	switch (limit) {
	case BOOL:    *number = 2 + random_below(edit->random, most - 1); return most > 1;
	case QOS:     *number = 3; return true;
	case NONZERO: *number = 0; return true;
	default:      return false;
	}
}

bool edit_number(struct edit *edit, enum kind kind, enum limit limit, uint64_t *number)
{
	struct random *random = edit->random;
	uint64_t most = most_of(kind), before = *number;

	switch (random_below(random, 6)) {
	case 0:
		edit->kind = ANOMALY_VALUE_NEAR;
		*number += random_below(random, 2) ? 1 + random_below(random, 3) : most - random_below(random, 3);
		*number %= most + 1;
		break;
	case 1:
		edit->kind = ANOMALY_VALUE_DRAWN;
		*number = random_below(random, most + 1);
		break;
	case 2:
		edit->kind = ANOMALY_BITS_FLIPPED;
		do
			*number ^= UINT64_C(1) << random_below(random, 32);
		while (random_below(random, 2));
		*number &= most;
		break;
	case 3:
		edit->kind = ANOMALY_VALUE_PAST_RANGE;
		if (past_range(edit, limit, most, number))
			break;
		/* fall through */
	default:
		edit->kind = ANOMALY_VALUE_AT_LIMIT;
		*number = a_limit(random, most);
	}
	return *number != before;
}

bool edit_reason(struct edit *edit, uint64_t *code)
{
	static const uint8_t codes[] = {
#define X(code, name, in, by) code,
		REASONS(X)
		RETURN_CODES(X)
#undef X
	};
	uint64_t before = *code;

	*code = one_in(edit->random, 4) ? random_below(edit->random, 256) : codes[random_below(edit->random, N(codes))];
	if (reason_listed(edit->packet.type, edit->packet.version, (unsigned)*code, edit->from))
		edit->kind = ANOMALY_VALUE_DRAWN;
	else
		edit->kind = memchr(codes, (int)*code, sizeof(codes)) ? ANOMALY_REASON_FOREIGN : ANOMALY_REASON_UNKNOWN;
	return *code != before;
}

/* ---- strings ---- */

static const struct piece {
	enum anomaly_kind kind;
	struct span bytes;
} pieces[] = {
#define P(kind, text) { ANOMALY_##kind, { (const uint8_t *)text, sizeof(text) - 1 } }
	P(STRING_NUL, "\0"),
	P(STRING_SURROGATE, "\xed\xa0\x80"), P(STRING_SURROGATE, "\xed\xbf\xbf"), P(STRING_SURROGATE, "\xed\xa0\x80\xed\xb0\x80"),
	P(STRING_OVERLONG, "\xc0\x80"), P(STRING_OVERLONG, "\xc0\xaf"), P(STRING_OVERLONG, "\xe0\x80\xaf"), P(STRING_OVERLONG, "\xf0\x80\x80\xaf"),
	P(STRING_NOT_UTF8, "\xff"), P(STRING_NOT_UTF8, "\x80"), P(STRING_NOT_UTF8, "\xc3"), P(STRING_NOT_UTF8, "\xe2\x82"),
	P(STRING_NOT_UTF8, "\xf0\x9f\x90"), P(STRING_NOT_UTF8, "\xf4\x90\x80\x80"), P(STRING_NOT_UTF8, "\xf8\x88\x80\x80\x80"),
	P(STRING_CONTROL, "\x01"), P(STRING_CONTROL, "\x1f"), P(STRING_CONTROL, "\x7f"), P(STRING_CONTROL, "\xc2\x85"), P(STRING_CONTROL, "\xef\xbf\xbe"),
	P(STRING_CONTROL, "\xef\xbf\xbf"), P(STRING_CONTROL, "\xef\xb7\x90"), P(STRING_CONTROL, "\xf4\x8f\xbf\xbf"), P(STRING_CONTROL, "\xef\xbb\xbf"),
}, topic_pieces[] = {
	P(TOPIC_WILDCARD, "+"), P(TOPIC_WILDCARD, "#"), P(TOPIC_WILDCARD, "/#"), P(TOPIC_WILDCARD, "/+"), P(TOPIC_WILDCARD, "#/"), P(TOPIC_WILDCARD, "+/+"),
	P(TOPIC_WILDCARD, "/+/"), P(TOPIC_WILDCARD, "##"), P(TOPIC_LEVELS, "/"), P(TOPIC_LEVELS, "//"),
}, prefixes[] = {
	P(TOPIC_DOLLAR, "$"), P(TOPIC_DOLLAR, "$SYS/"), P(TOPIC_DOLLAR, "$SYS"), P(TOPIC_DOLLAR, "$CONTROL/"), P(TOPIC_DOLLAR, "/$SYS/"), P(TOPIC_DOLLAR, "$$"),
	P(TOPIC_SHARE, "$share"), P(TOPIC_SHARE, "$share/"), P(TOPIC_SHARE, "$share//"), P(TOPIC_SHARE, "$share/g"), P(TOPIC_SHARE, "$share/g/"),
	P(TOPIC_SHARE, "$share/g/$share/h/"), P(TOPIC_SHARE, "$share/+/"), P(TOPIC_SHARE, "$share/#/"), P(TOPIC_SHARE, "$share/g+h/"),
	P(TOPIC_SHARE, "$share/g/$SYS/"), P(TOPIC_SHARE, "$share/g//"), P(TOPIC_SHARE, "$SHARE/g/"), P(TOPIC_SHARE, "$share/\xff/"), P(TOPIC_SHARE, "$queue/"),
#undef P
};

static bool put_in(struct edit *edit, const struct piece *piece, size_t at, struct span *text)
{
	size_t len = text->len + piece->bytes.len;
	uint8_t *room;

	if (len > 65535 || piece->bytes.len > edit->room || !(room = arena_take(edit->arena, len)))
		return false;
	if (at)
		memcpy(room, text->at, at);
	memcpy(room + at, piece->bytes.at, piece->bytes.len);
	if (text->len > at)
		memcpy(room + at + piece->bytes.len, text->at + at, text->len - at);
	edit->kind = piece->kind;
	*text = span_of(room, len);
	return true;
}

/* At its beginning, its end or in the middle. */
static size_t a_place(struct random *random, size_t len)
{
	switch (random_below(random, 3)) {
	case 0:  return 0;
	case 1:  return len;
	default: return random_below(random, len + 1);
	}
}

/* Filled up to len by itself, or by `by` where it is empty. */
static bool stretch(struct edit *edit, size_t len, const char *by, struct span *text)
{
	size_t have = text->len;
	uint8_t *room;

	if (len <= have || len - have > edit->room || !(room = arena_take(edit->arena, len)))
		return false;
	if (have)
		memcpy(room, text->at, have);
	for (size_t n = strlen(by); have < len;) {
		size_t some = have - text->len ? have - text->len : n;

		if (some > len - have)
			some = len - have;
		memcpy(room + have, have == text->len ? (const uint8_t *)by : room + text->len, some);
		have += some;
	}
	*text = span_of(room, len);
	return true;
}

static size_t most_len(const struct edit *edit, struct span text)
{
	return edit->room < 65535 - text.len ? text.len + edit->room : 65535;
}

/* By something, or by what brings the variable length around it to where it takes another byte. */
static size_t a_length(struct edit *edit, size_t before, size_t by)
{
	static const uint16_t limits[] = { 127, 128, 16383, 16384 };
	size_t limit = limits[random_below(edit->random, one_in(edit->random, 8) ? N(limits) : 2)];

	return one_in(edit->random, 3) && limit > edit->around + before ? limit - edit->around : before + 1 + random_below(edit->random, by);
}

static bool longer(struct edit *edit, struct span *text, size_t by)
{
	bool longest = one_in(edit->random, 8);

	if (text->len > 65535)
		return false;
	edit->kind = longest ? ANOMALY_STRING_LONGEST : ANOMALY_STRING_LONG;
	return stretch(edit, longest ? most_len(edit, *text) : a_length(edit, text->len, by), "a", text);
}

static bool many_levels(struct edit *edit, struct span *text)
{
	static const char *const levels[] = { "/", "a/", "/a", "+/", "/+", "/$SYS" };
	size_t n = one_in(edit->random, 4) ? 65535 : 2 + random_below(edit->random, one_in(edit->random, 2) ? 10 : 300);
	size_t most = text->len > 65535 ? 0 : most_len(edit, *text);

	if (n > most || text->len + n > most)
		n = most - (text->len < most ? text->len : most);
	edit->kind = ANOMALY_TOPIC_LEVELS;
	return stretch(edit, text->len + n, levels[random_below(edit->random, N(levels))], text);
}

static bool changed(struct edit *edit, struct span *bytes)
{
	struct span copy = arena_copy(edit->arena, *bytes);
	uint8_t *at = (uint8_t *)copy.at;

	if (!copy.len)
		return false;
	do {
		size_t i = random_below(edit->random, copy.len);

		at[i] ^= (uint8_t)(1u << random_below(edit->random, 8));
	} while (one_in(edit->random, 2));
	*bytes = copy;
	return true;
}

bool edit_text(struct edit *edit, bool topic, struct span *text)
{
	static const struct span letter = { (const uint8_t *)"a", 1 };
	const struct piece *piece;
	struct random *random = edit->random;
	size_t before = text->len;

	if (topic && one_in(random, 2))
		switch (random_below(random, 4)) {
		case 0:
			return many_levels(edit, text);
		case 1:
			return put_in(edit, &prefixes[random_below(random, N(prefixes))], 0, text);
		default:
			piece = &topic_pieces[random_below(random, N(topic_pieces))];
			return put_in(edit, piece, a_place(random, text->len), text);
		}
	switch (random_below(random, 8)) {
	case 0:
		edit->kind = ANOMALY_STRING_EMPTIED;
		text->len = 0;
		return before;
	case 1:
		edit->kind = ANOMALY_STRING_CUT;
		text->len = random_below(random, before + 1);
		return text->len != before;
	case 2:
		edit->kind = ANOMALY_STRING_DOUBLED;
		return before && before <= 32767 && put_in(edit, &(struct piece){ ANOMALY_STRING_DOUBLED, *text }, before, text);
	case 3:
		return longer(edit, text, one_in(random, 2) ? 40 : 2000);
	case 4:
		edit->kind = ANOMALY_STRING_CHANGED;
		return before ? changed(edit, text) : put_in(edit, &(struct piece){ ANOMALY_STRING_CHANGED, letter }, 0, text);
	default:
		piece = &pieces[random_below(random, N(pieces))];
		return put_in(edit, piece, a_place(random, text->len), text);
	}
}

bool edit_bytes(struct edit *edit, struct span *bytes)
{
	struct random *random = edit->random;
	size_t before = bytes->len, len;

	switch (random_below(random, 5)) {
	case 0:
		edit->kind = ANOMALY_BYTES_EMPTIED;
		bytes->len = 0;
		return before;
	case 1:
		edit->kind = ANOMALY_BYTES_DOUBLED;
		return before && before <= 32767 && put_in(edit, &(struct piece){ ANOMALY_BYTES_DOUBLED, *bytes }, before, bytes);
	case 2:
		edit->kind = ANOMALY_BYTES_LONG;
		len = one_in(random, 8) ? before + edit->room : a_length(edit, before, 4000);
		return len <= 65535 && stretch(edit, len, one_in(random, 2) ? "\xff" : "x", bytes);
	case 3:
		len = 1 + random_below(random, 5);
		return put_in(edit, &(struct piece){ ANOMALY_BYTES_CHANGED, span_of("\0\xff\x80\r\n", len) }, a_place(random, before), bytes);
	default:
		edit->kind = ANOMALY_BYTES_CHANGED;
		return changed(edit, bytes);
	}
}

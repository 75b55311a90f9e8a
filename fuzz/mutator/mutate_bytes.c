#include "fuzz/mutator/anomalies.h"

#include "fuzz/mutator/words.h"

/* Bytes as bytes: what no table knows of. */

enum { LONGEST_PIECE = 64 };

static size_t insert(uint8_t *bytes, size_t len, size_t cap, size_t at, struct span what)
{
	if (what.len > cap - len)
		what.len = cap - len;
	memmove(bytes + at + what.len, bytes + at, len - at);
	memcpy(bytes + at, what.at, what.len);
	return len + what.len;
}

static size_t insert_some(uint8_t *bytes, size_t len, size_t cap, size_t at, struct random *random)
{
	uint8_t piece[LONGEST_PIECE];
	size_t n = 1 + random_below(random, one_in(random, 4) ? sizeof(piece) : 4);

	for (size_t i = 0; i < n; i++)
		piece[i] = (uint8_t)random_next(random);
	return insert(bytes, len, cap, at, span_of(piece, n));
}

static size_t repeat(uint8_t *bytes, size_t len, size_t cap, size_t at, struct random *random)
{
	uint8_t piece[LONGEST_PIECE];
	size_t most = len - at < sizeof(piece) ? len - at : sizeof(piece), n = 1 + random_below(random, most), times = 1;

	memcpy(piece, bytes + at, n);
	if (one_in(random, 4))
		times += random_below(random, 30);
	while (times--)
		len = insert(bytes, len, cap, at, span_of(piece, n));
	return len;
}

static size_t cut_out(uint8_t *bytes, size_t len, size_t at, struct random *random)
{
	size_t most = one_in(random, 4) ? len - at : 4, n = 1 + random_below(random, most);

	if (n > len - at)
		n = len - at;
	memmove(bytes + at, bytes + at + n, len - at - n);
	return len - n;
}

static void move(uint8_t *bytes, size_t len, size_t at, struct random *random)
{
	uint8_t piece[LONGEST_PIECE];
	size_t most = len - at < sizeof(piece) ? len - at : sizeof(piece), n = 1 + random_below(random, most), to = random_below(random, len - n + 1);

	memcpy(piece, bytes + at, n);
	memmove(bytes + at, bytes + at + n, len - at - n);
	memmove(bytes + to + n, bytes + to, len - n - to);
	memcpy(bytes + to, piece, n);
}

/* One, two or four bytes become a number at a limit, or near to what they were. */
static void number(uint8_t *bytes, size_t len, size_t at, struct random *random)
{
	static const uint32_t limits[] = { 0, 1, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0x8000, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff };
	size_t width = (size_t)1 << random_below(random, 3);
	uint32_t value = limits[random_below(random, sizeof(limits) / sizeof(*limits))];

	if (width > len - at)
		width = 1;
	if (one_in(random, 2)) {
		value = 0;
		for (size_t i = 0; i < width; i++)
			value = value << 8 | bytes[at + i];
		value += (uint32_t)random_below(random, 33) - 16;
	}
	for (size_t i = width; i--; value >>= 8)
		bytes[at + i] = (uint8_t)value;
}

static struct span some_word(struct random *random)
{
	const struct word *word;

	do
		word = &words[random_below(random, n_words)];
	while (!word->len);
	return span_of(word->bytes, word->len);
}

size_t mutate_bytes(uint8_t *bytes, size_t len, size_t cap, struct random *random, struct anomaly *anomaly)
{
	enum anomaly_kind kind = ANOMALY_RAW_FLIPPED + (unsigned)random_below(random, ANOMALY_RAW_WORD - ANOMALY_RAW_FLIPPED + 1);
	size_t at, n;
	struct span word;

	len = len < cap ? len : cap;
	if (!cap) {
		anomaly_end(anomaly, &(struct writer){ 0 });
		return 0;
	}
	if (!len)
		kind = one_in(random, 2) ? ANOMALY_RAW_INSERTED : ANOMALY_RAW_WORD;
	else if (len == cap && kind == ANOMALY_RAW_INSERTED)
		kind = ANOMALY_RAW_CHANGED;
	at = random_below(random, len + (kind == ANOMALY_RAW_INSERTED || kind == ANOMALY_RAW_WORD));
	struct writer path = anomaly_begin(anomaly, kind);
	wr_text(&path, "byte ");
	path_number(&path, (uint32_t)at);
	anomaly_end(anomaly, &path);
	switch (kind) {
	case ANOMALY_RAW_FLIPPED:
		bytes[at] ^= (uint8_t)(1u << random_below(random, 8));
		return len;
	case ANOMALY_RAW_CHANGED:
		bytes[at] ^= (uint8_t)(1 + random_below(random, 255));
		return len;
	case ANOMALY_RAW_INSERTED:
		return insert_some(bytes, len, cap, at, random);
	case ANOMALY_RAW_REMOVED:
		return cut_out(bytes, len, at, random);
	case ANOMALY_RAW_REPEATED:
		return repeat(bytes, len, cap, at, random);
	case ANOMALY_RAW_MOVED:
		move(bytes, len, at, random);
		return len;
	case ANOMALY_RAW_NUMBER:
		number(bytes, len, at, random);
		return len;
	default:
		word = some_word(random);
		if (one_in(random, 2))
			return insert(bytes, len, cap, at, word);
		n = word.len < len - at ? word.len : len - at;	/* over what is there */
		memcpy(bytes + at, word.at, n);
		return n < word.len ? insert(bytes, len, cap, at + n, span_of(word.at + n, word.len - n)) : len;
	}
}

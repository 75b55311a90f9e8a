#include "pcap/keylog.h"

#include <stdlib.h>
#include <sys/random.h>

enum { RANDOM_LEN = 32, FIRST_CAP = 256 };

struct line {
	uint8_t random[RANDOM_LEN];
	uint8_t secret[KEYLOG_SECRET_MAX];
	uint8_t len;			/* of secret */
	uint8_t label;
	uint32_t next;			/* in its bucket, 1 + index; 0: the last */
};

struct keylog {
	uint64_t key[RANDOM_LEN / 8];	/* of the hash: whoever wrote the file does not know it */
	struct line *lines;		/* a ring once there are KEYLOG_MOST */
	uint32_t *buckets;		/* cap of them, a power of two: 1 + index */
	size_t n, cap, oldest;		/* oldest: once it is full */
	uint64_t taken;
	size_t rejected;
};

struct keylog *keylog_new(void)
{
	struct keylog *k = calloc(1, sizeof(*k));

	if (k && getrandom(k->key, sizeof(k->key), 0) != sizeof(k->key)) {
		free(k);
		return NULL;
	}
	return k;
}

void keylog_free(struct keylog *k)
{
	if (!k)
		return;
	free(k->lines);
	free(k->buckets);
	free(k);
}

size_t keylog_rejected(const struct keylog *k)
{
	return k->rejected;
}

uint64_t keylog_taken(const struct keylog *k)
{
	return k->taken;
}

/* ---- the table ---- */

static uint32_t *bucket_of(const struct keylog *k, const uint8_t random[RANDOM_LEN], unsigned label)
{
	uint64_t sum = label;

	for (size_t i = 0; i < RANDOM_LEN / 8; i++) {
		uint64_t word;

		memcpy(&word, random + 8 * i, 8);
		sum = (sum ^ word ^ k->key[i]) * UINT64_C(0x9e3779b97f4a7c15);
		sum ^= sum >> 29;
	}
	return &k->buckets[(sum ^ sum >> 32) & (k->cap - 1)];
}

static struct line *find(const struct keylog *k, const uint8_t random[RANDOM_LEN], unsigned label)
{
	if (!k->cap)
		return NULL;
	for (uint32_t i = *bucket_of(k, random, label); i; i = k->lines[i - 1].next) {
		struct line *line = &k->lines[i - 1];

		if (line->label == label && !memcmp(line->random, random, RANDOM_LEN))
			return line;
	}
	return NULL;
}

bool keylog_find(const struct keylog *k, const uint8_t client_random[RANDOM_LEN], enum keylog_label label, struct span *secret)
{
	const struct line *line = find(k, client_random, label);

	if (line)
		*secret = span_of(line->secret, line->len);
	return line;
}

static void link_line(struct keylog *k, size_t i)
{
	uint32_t *bucket = bucket_of(k, k->lines[i].random, k->lines[i].label);

	k->lines[i].next = *bucket;
	*bucket = (uint32_t)i + 1;
}

static void unlink_line(struct keylog *k, size_t i)
{
	uint32_t *from = bucket_of(k, k->lines[i].random, k->lines[i].label);

	while (*from != i + 1)
		from = &k->lines[*from - 1].next;
	*from = k->lines[i].next;
}

static bool grow(struct keylog *k)
{
	size_t cap = k->cap ? 2 * k->cap : FIRST_CAP;
	uint32_t *buckets = calloc(cap, sizeof(*buckets));
	struct line *lines = buckets ? realloc(k->lines, cap * sizeof(*lines)) : NULL;

	if (!lines) {
		free(buckets);
		return false;
	}
	free(k->buckets);
	k->buckets = buckets;
	k->lines = lines;
	k->cap = cap;
	for (size_t i = 0; i < k->n; i++)
		link_line(k, i);
	return true;
}

/* Returns whether there was room. */
static bool put(struct keylog *k, const struct line *new)
{
	struct line *line = find(k, new->random, new->label);
	size_t at = k->n;

	if (line) {		/* the later one counts */
		memcpy(line->secret, new->secret, sizeof(line->secret));
		line->len = new->len;
		return true;
	}
	if (k->n == k->cap && k->cap < KEYLOG_MOST)
		(void)grow(k);		/* without memory the oldest goes sooner */
	if (!k->cap)
		return false;
	if (k->n == k->cap) {
		at = k->oldest;
		k->oldest = (k->oldest + 1) % k->cap;
		unlink_line(k, at);
	} else {
		k->n++;
	}
	k->lines[at] = *new;
	link_line(k, at);
	return true;
}

/* ---- its lines ---- */

static const char *const labels[] = {
	[KEYLOG_MASTER] = "CLIENT_RANDOM",
	[KEYLOG_CLIENT_HANDSHAKE] = "CLIENT_HANDSHAKE_TRAFFIC_SECRET",
	[KEYLOG_SERVER_HANDSHAKE] = "SERVER_HANDSHAKE_TRAFFIC_SECRET",
	[KEYLOG_CLIENT_TRAFFIC] = "CLIENT_TRAFFIC_SECRET_0",
	[KEYLOG_SERVER_TRAFFIC] = "SERVER_TRAFFIC_SECRET_0",
	/* Lines of a key log as well, of no use here. */
	"CLIENT_EARLY_TRAFFIC_SECRET", "EARLY_EXPORTER_MASTER_SECRET", "EARLY_EXPORTER_SECRET", "EXPORTER_SECRET",
	"ECH_SECRET", "ECH_CONFIG", "RSA",
};

enum { N_LABELS = sizeof(labels) / sizeof(*labels) };

static int digit(uint8_t c)
{
	return c >= '0' && c <= '9' ? c - '0' : (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (c | 0x20) - 'a' + 10 : -1;
}

/* Bytes in hexadecimal, from 1 to cap of them. Returns how many; 0: it is something else. */
static size_t read_hex(struct span text, uint8_t *bytes, size_t cap)
{
	if (text.len % 2 || text.len / 2 > cap)
		return 0;
	for (size_t i = 0; i < text.len / 2; i++) {
		int high = digit(text.at[2 * i]), low = digit(text.at[2 * i + 1]);

		if (high < 0 || low < 0)
			return 0;
		bytes[i] = (uint8_t)(high << 4 | low);
	}
	return text.len / 2;
}

/* The next word; *text goes on behind it. */
static struct span next_word(struct span *text)
{
	while (text->len && (*text->at == ' ' || *text->at == '\t'))
		text->at++, text->len--;
	struct span word = { text->at, 0 };
	while (text->len && *text->at != ' ' && *text->at != '\t')
		text->at++, text->len--, word.len++;
	return word;
}

/* 1: a secret was taken; 0: nothing in it for us; -1: no line of a key log. */
static int take_line(struct keylog *k, struct span text)
{
	struct line line = { 0 };
	unsigned label = 0;

	while (text.len && (text.at[text.len - 1] == '\r' || text.at[text.len - 1] == ' '))
		text.len--;
	if (!text.len || *text.at == '#')
		return 0;
	struct span first = next_word(&text), random = next_word(&text), secret = next_word(&text);
	while (label < N_LABELS && !span_is(first, labels[label]))
		label++;
	if (label >= N_KEYLOG_LABELS)
		return label < N_LABELS ? 0 : -1;
	line.label = (uint8_t)label;
	line.len = (uint8_t)read_hex(secret, line.secret, sizeof(line.secret));
	if (read_hex(random, line.random, RANDOM_LEN) != RANDOM_LEN || !line.len || next_word(&text).len)
		return -1;
	if (!put(k, &line))
		return 0;
	k->taken++;
	return 1;
}

size_t keylog_add(struct keylog *k, struct span text)
{
	size_t taken = 0;

	while (text.len) {
		const uint8_t *newline = memchr(text.at, '\n', text.len);
		size_t len = newline ? (size_t)(newline - text.at) : text.len;
		int outcome = take_line(k, span_of(text.at, len));

		taken += outcome > 0;
		k->rejected += outcome < 0;
		len += newline != NULL;
		text.at += len;
		text.len -= len;
	}
	return taken;
}

#include <assert.h>
#include <stdlib.h>

#include "codec/text.h"
#include "fuzz/network/finding_internal.h"

/* One packet in the notation, proven to be the very bytes. */

enum {
	MOST_PARTS = 1000,	/* elements of lists and properties: what has more is no reading matter */
	FILLER = 30,		/* bytes from which on fill(N) is shorter to read */
};

/* Tokens, about: a packet with its fields, and what each element takes, "k":"v" most. */
static uint32_t cost(uint32_t n_parts)
{
	return 24 + 3 * n_parts;
}

static uint32_t count_parts(const struct packet *p)
{
	struct property_walk walks[2] = { properties_of(p->properties), properties_of(p->will_properties) };
	struct filter_walk filters = filters_of(p);
	struct property property;
	struct span filter;
	uint8_t options;
	uint32_t n = 0;

	for (unsigned i = 0; i < 2; i++)
		while (property_next(&walks[i], &property))
			n++;
	if (p->type == SUBACK || p->type == UNSUBACK)
		return n + (uint32_t)p->list.len;
	while ((p->type == SUBSCRIBE || p->type == UNSUBSCRIBE) && filter_next(&filters, &filter, &options))
		n++;
	return n;
}

/* What packet_print() cannot know: the remaining length takes more bytes than it needs. */
static void print_length(struct span bytes, const struct frame *frame, struct writer *w)
{
	if (!frame->overlong)
		return;
	wr_text(w, " !remaining_length=");
	text_print_hex(span_of(bytes.at + 1, frame->header_size - 1u), w);
}

static bool is_these(struct span text, enum version version, struct span bytes)
{
	size_t room = 8 * (text.len + bytes.len) + 4096;
	uint8_t *at = malloc(room), *wire = malloc(bytes.len + 1);
	struct writer w = writer_to(wire, bytes.len + 1);
	struct arena arena;
	struct builder b;
	struct fault fault;

	assert(at && wire);
	arena_init(&arena, at, room);
	bool same = packet_parse(text, version, &arena, &b, &fault) == CODEC_OK && builder_encode(&b, &w) == CODEC_OK &&
	            wr_fits(&w) && span_equal(wr_span(&w), bytes);
	free(at);
	free(wire);
	return same;
}

/* The length of the filler that a string in quotes is; 0: it is another. */
static size_t filler(const char *quoted, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (quoted[i] != (char)('a' + i % 26))
			return 0;
	return len >= FILLER ? len : 0;
}

/* Long fillers by their length. In place: the text becomes shorter. */
static void put_fillers(char *text)
{
	char *to = text;

	for (const char *at = text; *at;) {
		size_t len = 1;

		if (*at != '"') {
			*to++ = *at++;
			continue;
		}
		while (at[len] && at[len] != '"')
			len += at[len] == '\\' && at[len + 1] ? 2 : 1;
		size_t n = filler(at + 1, len - 1);

		len += at[len] == '"';
		if (n && (at == text || at[-1] != 'x')) {
			to += sprintf(to, "fill(%zu)", n);
		} else {
			memmove(to, at, len);
			to += len;
		}
		at += len;
	}
	*to = '\0';
}

static void print(const struct packet *p, struct span bytes, const struct frame *frame, bool again, struct writer *w)
{
	struct finding finding;
	/* One that is marked as a whole is not marked twice. */
	bool marked = check(p, FROM_CLIENT, &finding) != CODEC_OK;

	if (again && !marked)
		wr_u8(w, '!');
	packet_print(p, FROM_CLIENT, w);
	print_length(bytes, frame, w);
}

char *finding_packet(struct span bytes, enum version version, bool again, uint32_t *budget)
{
	struct frame frame;
	struct finding finding;
	struct packet p;
	struct writer w = writer_to(NULL, 0);

	if (frame_next(bytes.at, bytes.len, &frame, &finding) != FRAME_OK || frame.size != bytes.len ||
	    decode(bytes.at, bytes.len, version, &p, &finding) != CODEC_OK)
		return NULL;
	uint32_t n_parts = count_parts(&p);
	if (n_parts > MOST_PARTS || cost(n_parts) > *budget)
		return NULL;
	print(&p, bytes, &frame, again, &w);
	char *text = malloc(w.len + 1);
	assert(text);
	w = writer_to(text, w.len);
	print(&p, bytes, &frame, again, &w);
	text[w.len] = '\0';
	if (!is_these(wr_span(&w), version, bytes)) {
		free(text);
		return NULL;
	}
	put_fillers(text);
	*budget -= cost(n_parts);
	return text;
}

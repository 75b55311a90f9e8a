#include "pcap/label.h"

#include <stdio.h>
#include <stdlib.h>

#include "codec/text.h"
#include "pcap/shorten.h"

enum {
	MAX_ID = 40,			/* bytes of a client id that are shown */
	MOST_ALIGNED = 23,		/* longer names stand out of the column */
	MAX_IDS = 1 << 16,		/* client ids known as taken; beyond, every name has its connection's */
	MAX_STEPS = 64,			/* taken to look for one: ids may be chosen so that their hashes meet */
};

void labels_init(struct labels *l)
{
	*l = (struct labels){ .width = 6 };
}

void labels_release(struct labels *l)
{
	free(l->ids);
	l->ids = NULL;
}

static uint64_t hash_of(struct span s)
{
	uint64_t h = 0xcbf29ce484222325u;

	for (size_t i = 0; i < s.len; i++)
		h = (h ^ s.at[i]) * 0x100000001b3u;
	h = (h ^ h >> 32) * 0x9e3779b97f4a7c15u;
	return h ? h : 1;
}

/* Whether no conversation had that id before; it is taken from now on. A rare mistake costs a longer name. */
static bool take_id(struct labels *l, struct span id)
{
	uint64_t h = hash_of(id);

	if (!l->ids)
		l->ids = calloc(2 * MAX_IDS, sizeof(*l->ids));
	if (!l->ids)
		return false;
	for (size_t step = 0; step < MAX_STEPS && l->n_ids < MAX_IDS; step++) {
		uint64_t *place = &l->ids[(h + step) % (2 * MAX_IDS)];

		if (*place == h)
			return false;
		if (!*place) {
			l->n_ids++;
			*place = h;
			return true;
		}
	}
	return false;
}

/* c7, or .../c7: as we call conversations. */
static bool like_ours(struct span id)
{
	const uint8_t *slash = memrchr(id.at, '/', id.len), *at = slash ? slash + 1 : id.at, *end = id.at + id.len;

	if (end - at < 2 || *at++ != 'c')
		return false;
	while (at < end && *at >= '0' && *at <= '9')
		at++;
	return at == end;
}

/* An id that can stand without quotes: no blank, nothing to escape, and no name that we give. */
static bool is_bare(struct span id)
{
	for (size_t i = 0; i < id.len; i++)
		if (id.at[i] <= ' ' || id.at[i] > '~' || strchr("\"\\#", id.at[i]))
			return false;
	return id.len && !like_ours(id);
}

/* Its client id; with its number behind it where another conversation had that id before, and alone where there is none to show. */
static void name(struct labels *l, struct label *label, const struct conversation *c)
{
	struct span id = c->client_id, shown = shorten(id, MAX_ID);
	char room[LABEL - 16];
	struct writer w = writer_to(room, sizeof(room));

	label->client_id = id;
	label->explained = !id.at;
	if (id.at && is_bare(id))
		wr_bytes(&w, shown);
	else if (id.at)
		text_print_string(shown, &w);
	if (shown.len < id.len)
		wr_text(&w, "...");
	if (!wr_fits(&w))		/* escapes take room, too */
		w.len = 0;
	if (w.len && take_id(l, id))
		label->len = (uint8_t)snprintf(label->text, LABEL, "%.*s", (int)w.len, room);
	else
		label->len = (uint8_t)snprintf(label->text, LABEL, "%.*s%sc%u", (int)w.len, room, w.len ? "/" : "", c->number);
	label->columns = 0;
	for (size_t i = 0; i < label->len; i++)
		label->columns += (label->text[i] & 0xc0) != 0x80;
	if (label->columns > l->width && label->columns <= MOST_ALIGNED)
		l->width = label->columns;
}

struct label *label_of(struct labels *l, void **own, const struct conversation *c)
{
	struct label *label = *own;

	if (!label) {
		label = *own = calloc(1, sizeof(*label));
		if (!label)
			return NULL;
		label->version = (uint8_t)c->version;
		label->version_known = c->version_known;
		name(l, label, c);
	} else if (label->client_id.at != c->client_id.at || label->client_id.len != c->client_id.len) {
		name(l, label, c);
	}
	return label;
}

void label_free(struct label *label)
{
	free(label);
}

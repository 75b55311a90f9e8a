#include <stdio.h>

#include "pcap/connections.h"
#include "pcap/rows.h"

/* Which connections carry the most, behind all their rows. */

static uint64_t measure(const struct connection *c, unsigned by)
{
	return by & 1 ? c->bytes[by >> 1] : c->packets[by >> 1];
}

/* Of two that are equal the one that came first. */
static bool is_before(uint64_t n, uint32_t number, const struct ranked *other)
{
	return n > other->n || (n == other->n && number < other->number);
}

void ranks_add(struct connection_ranks *ranks, const struct connection *c)
{
	for (unsigned by = 0; by < RANKED_BY; by++) {
		struct ranked *list = ranks->by[by];
		uint64_t n = measure(c, by);
		unsigned at = MOST_RANKED;

		while (n && at && is_before(n, c->number, &list[at - 1]))
			at--;
		if (!n || at == MOST_RANKED)
			continue;
		memmove(list + at + 1, list + at, (MOST_RANKED - 1 - at) * sizeof(*list));
		list[at] = (struct ranked){ .n = n, .number = c->number, .named = c->client_id };
		if (c->client_id) {
			list[at].len = (uint8_t)whole_characters(span_of(c->client_id, c->client_id_len), sizeof(list[at].client_id));
			memcpy(list[at].client_id, c->client_id, list[at].len);
		}
	}
}

static void fill(void *owner, size_t row, struct cells *cells)
{
	const struct connection_ranks *ranks = owner;
	char id[CELL], quantity[QUANTITY];

	for (unsigned by = 0; by < RANKED_BY; by++) {
		const struct ranked *one = &ranks->by[by][row];

		if (!one->n) {
			snprintf(cells->text[by], CELL, "-");
			continue;
		}
		if (by & 1)
			print_bytes(one->n, quantity);
		else
			snprintf(quantity, sizeof(quantity), "%llu", (unsigned long long)one->n);
		cell_text(id, one->named ? span_of(one->client_id, one->len) : (struct span){ 0 }, "-");
		snprintf(cells->text[by], CELL, "%s c%u %.80s", quantity, one->number, id);
	}
}

void ranks_print(struct out *out, struct connection_ranks *ranks)
{
	static const struct column columns[RANKED_BY] = {
		{ "MOST PACKETS SENT", false, 28 }, { "MOST BYTES SENT", false, 28 }, { "MOST PACKETS RECEIVED", false, 28 }, { "MOST BYTES RECEIVED", false, 28 },
	};

	out_byte(out, '\n');
	table_print(out, &(struct table){ columns, RANKED_BY, MOST_RANKED, fill, ranks, NULL });
}

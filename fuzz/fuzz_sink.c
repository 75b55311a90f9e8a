#include <stdlib.h>
#include <string.h>

#include "fuzz/must.h"
#include "harness/load/sink_internal.h"

/*
 * What a client says to the null sink, in pieces as the first byte has them: answers and counts are the same as when it comes at once, and what is left over
 * is less than the sink waits for.
 */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t room[2][SINK_OUT];

struct heard {
	struct loop loop;
	struct sink sink;
	struct sink_conn conn;
	bool ended;
};

static void hear(struct heard *h, uint8_t *out, const uint8_t *data, size_t size, size_t piece)
{
	size_t at = 0, here = 0;

	*h = (struct heard){ .sink = { .options = { .flood = 5, .flood_qos = 2, .reflect = true }, .out = out }, .conn.sink = &h->sink };
	loop_init(&h->loop, true);
	h->sink.loop = &h->loop;
	h->sink.last_flooding = &h->sink.flooding;
	while (here < size && !h->ended) {
		here = size - here > piece ? here + piece : size;
		uint8_t *exact = malloc(here - at);		/* so that reading past it is seen */
		memcpy(exact, data + at, here - at);
		ssize_t used = sink_parse(&h->conn, exact, here - at);
		free(exact);
		MUST(h->sink.out_len <= SINK_OUT);
		if (used < 0)
			h->ended = true;
		else {
			MUST((size_t)used <= here - at);
			at += (size_t)used;
			MUST(here - at < SINK_WHOLE);
		}
	}
	if (h->conn.message)
		MUST(h->conn.id_at < h->conn.message_len);
	free(h->conn.message);
	loop_release(&h->loop);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct heard whole, pieces;

	if (size < 2 || size > SINK_IN)
		return 0;
	hear(&whole, room[0], data + 1, size - 1, size);
	hear(&pieces, room[1], data + 1, size - 1, 1 + (size_t)data[0] * data[0]);
	MUST(whole.ended == pieces.ended);
	MUST(!memcmp(&whole.sink.counts, &pieces.sink.counts, sizeof(whole.sink.counts)));
	MUST(whole.sink.out_len == pieces.sink.out_len);
	MUST(!memcmp(room[0], room[1], whole.sink.out_len));
	return 0;
}

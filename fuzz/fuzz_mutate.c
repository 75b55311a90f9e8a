#include <stdlib.h>

#include "codec/codec.h"
#include "fuzz/must.h"
#include "fuzz/mutator/anomalies.h"
#include "fuzz/mutator/engine.h"
#include "fuzz/mutator/mutate.h"
#include "fuzz/target.h"

/*
 * A number and any bytes, taken for a case, mutated by that number: what comes of it is a case, stays within its bounds, is what it reads back as, and the same number makes the same of it.
 * Unless a mutation lies of lengths its packets are framed as they are long. The bytes are mutated as inputs of every shape as well.
 */
enum { N_MUTATIONS = 4, MOST = 4096 };

static struct moves moves, again, back;
static uint8_t written[MOVES_MAX * (UINT16_MAX + 4)];

static void well_formed(const struct moves *m)
{
	MUST(m->n <= MOVES_MAX && m->used <= MOVES_BYTES);
	for (uint32_t i = 0; i < m->n; i++) {
		const struct move *move = &m->at[i];

		MUST(move->kind < N_MOVE_KINDS && move->client < MOVES_CLIENTS && move->bytes.len <= UINT16_MAX);
		MUST(move_sends(move) || !move->bytes.len);
	}
}

static bool same_moves(const struct moves *a, const struct moves *b)
{
	if (a->n != b->n)
		return false;
	for (uint32_t i = 0; i < a->n; i++) {
		const struct move *x = &a->at[i], *y = &b->at[i];

		if (x->kind != y->kind || x->client != y->client || x->value != y->value || !span_equal(x->bytes, y->bytes))
			return false;
	}
	return true;
}

static void reads_back(struct moves *m)
{
	struct writer w = writer_to(written, sizeof(written));

	for (uint32_t i = 0; i < m->n; i++)	/* a longer SEND is written as another kind */
		if (m->at[i].kind == MOVE_SEND && m->at[i].bytes.len > UINT8_MAX)
			m->at[i].kind = MOVE_SEND_LONG;
	moves_write(m, &w);
	MUST(wr_fits(&w));
	moves_read(&back, wr_span(&w));
	MUST(same_moves(m, &back));
}

static void told(const struct anomaly *anomaly)
{
	size_t i = 0;

	while (anomaly_name(i) && strcmp(anomaly_name(i), anomaly->name))
		i++;
	MUST(anomaly_name(i) && *anomaly->path && memchr(anomaly->path, 0, sizeof(anomaly->path)));
	for (const char *at = anomaly->path; *at; at++)
		MUST((uint8_t)*at >= ' ' && (uint8_t)*at < 0x7f);
}

static void mutate_case(uint64_t seed, struct span bytes)
{
	struct random random, same;
	struct anomaly anomaly = { .name = "" }, other = { .name = "" };

	random_seed(&random, seed);
	random_seed(&same, seed);
	moves_read(&moves, bytes);
	moves_read(&again, bytes);
	for (unsigned i = 0; i < N_MUTATIONS; i++) {
		mutate_moves(&moves, i & 1 ? &again : NULL, &random, &anomaly);
		well_formed(&moves);
		if (!i) {
			mutate_moves(&again, NULL, &same, &other);
			MUST(same_moves(&moves, &again) && !strcmp(anomaly.name, other.name) && !strcmp(anomaly.path, other.path));
		}
		if (*anomaly.name)
			told(&anomaly);
	}
	reads_back(&moves);
}

/* frame_next() knows nothing of how encode() counts. */
static void mutate_sent(const struct move *move, enum version version, struct random *random)
{
	static uint8_t scratch[1 << 17], room[1 << 17];
	struct writer w = writer_to(room, sizeof(room));
	struct anomaly anomaly;
	struct finding finding;
	struct frame frame;
	struct arena arena;

	if (frame_next(move->bytes.at, move->bytes.len, &frame, &finding) != FRAME_OK)
		return;
	arena_init(&arena, scratch, sizeof(scratch));
	if (mutate_packet(span_of(move->bytes.at, frame.size), version, FROM_CLIENT, random, &arena, &w, &anomaly) && !anomaly_lies(&anomaly) &&
	    strcmp(anomaly.name, "overlong length"))
		MUST(frame_next(room, w.len, &frame, &finding) == FRAME_OK && frame.size == w.len);
}

static void mutate_packets(uint64_t seed, struct span bytes)
{
	struct random random;

	random_seed(&random, seed);
	moves_read(&moves, bytes);
	for (unsigned i = 0; moves.n && i < N_MUTATIONS; i++) {
		uint32_t at = (uint32_t)random_below(&random, moves.n);

		if (move_sends(&moves.at[at]) && moves.at[at].bytes.len)
			mutate_sent(&moves.at[at], moves_version(&moves, at, moves.at[at].client), &random);
	}
}

/* In room of exactly its size. */
static void mutate_as_input(uint64_t seed, struct span bytes)
{
	struct random random;
	size_t len = bytes.len < MOST ? bytes.len : MOST, cap, made;
	uint8_t *input, *crossed;

	random_seed(&random, seed);
	cap = len + random_below(&random, 100);
	input = malloc(cap ? cap : 1);
	crossed = malloc(cap ? cap : 1);
	for (unsigned shape = 0; input && crossed && shape < N_ENGINE_SHAPES; shape++) {
		if (len)
			memcpy(input, bytes.at, len);
		made = mutate_input(shape, input, len, cap, &random);
		MUST(made <= cap);
		MUST(cross_inputs(shape, span_of(input, made), span_of(bytes.at, len), crossed, cap, &random) <= cap);
	}
	free(input);
	free(crossed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint64_t seed = 0;

	if (size < sizeof(seed))
		return 0;
	memcpy(&seed, data, sizeof(seed));
	mutate_case(seed, span_of(data + sizeof(seed), size - sizeof(seed)));
	mutate_packets(seed, span_of(data + sizeof(seed), size - sizeof(seed)));
	mutate_as_input(seed, span_of(data + sizeof(seed), size - sizeof(seed)));
	return 0;
}

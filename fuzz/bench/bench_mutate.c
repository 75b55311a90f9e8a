#include <stdio.h>
#include <time.h>

#include "codec/codec.h"
#include "fuzz/mutator/engine.h"
#include "fuzz/mutator/mutate.h"

/* What one mutation costs: of a sequence, as the campaign and libFuzzer do it, of a packet, of a stream. */

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static struct moves seed, moves;

/* Six clients who connect, subscribe and publish. */
static void make_seed(struct random *random)
{
	static uint8_t room[1 << 16], bytes[1 << 16];
	static const uint8_t types[] = { CONNECT, SUBSCRIBE, PUBLISH, PUBLISH, PUBREL, PINGREQ };

	for (uint8_t client = 0; client < 6; client++) {
		moves_insert(&seed, seed.n, (struct move){ .kind = MOVE_OPEN, .client = client });
		for (size_t i = 0; i < sizeof(types); i++) {
			struct move move = { .kind = MOVE_SEND, .client = client };
			struct writer w = writer_to(bytes, sizeof(bytes));
			struct arena arena;
			struct packet p;

			arena_init(&arena, room, sizeof(room));
			if (generate(types[i], MQTT_5, FROM_CLIENT, random, &arena, &p) == CODEC_OK && encode(&p, NULL, &w) == CODEC_OK && w.len < 256 &&
			    moves_keep(&seed, wr_span(&w), &move.bytes))
				moves_insert(&seed, seed.n, move);
		}
	}
}

static void report(const char *what, double began, unsigned n)
{
	double took = now() - began;

	printf("%-44s %8.2f us\n", what, took / n * 1e6);
}

int main(void)
{
	enum { N = 200000 };
	static uint8_t input[1 << 14], mutated[1 << 14], scratch[1 << 17];
	struct writer w = writer_to(input, sizeof(input));
	struct random random;
	struct arena arena;
	struct anomaly anomaly;
	double began;

	random_seed(&random, 1);
	make_seed(&random);
	moves_write(&seed, &w);
	printf("a case of %u moves, %zu bytes\n", seed.n, w.len);

	began = now();
	for (unsigned i = 0; i < N; i++)
		moves_copy(&moves, &seed);
	report("moves_copy", began, N);
	began = now();
	for (unsigned i = 0; i < N; i++) {
		moves_copy(&moves, &seed);
		mutate_moves(&moves, &seed, &random, &anomaly);
	}
	report("moves_copy and mutate_moves", began, N);
	began = now();
	for (unsigned i = 0; i < N; i++) {
		memcpy(mutated, input, w.len);
		mutate_input(ENGINE_MOVES, mutated, w.len, 4096, &random);
	}
	report("mutate_input, moves", began, N);

	const struct span packet = seed.at[1].bytes;
	arena_init(&arena, scratch, sizeof(scratch));
	began = now();
	for (unsigned i = 0; i < N; i++) {
		struct writer to = writer_to(mutated, 4096);

		mutate_packet(packet, MQTT_5, FROM_CLIENT, &random, &arena, &to, &anomaly);
	}
	report("mutate_packet, CONNECT", began, N);
	began = now();
	size_t len = 0;
	for (unsigned i = 0; i < N; i++) {
		if (i % 8 == 0)
			for (uint32_t k = len = 0; k < seed.n && len < 600; len += seed.at[k++].bytes.len)
				if (seed.at[k].bytes.len)
					memcpy(mutated + len, seed.at[k].bytes.at, seed.at[k].bytes.len);
		len = mutate_stream(mutated, len, 4096, MQTT_5, FROM_CLIENT, &random);
	}
	report("mutate_stream, 600 bytes", began, N);
	return 0;
}

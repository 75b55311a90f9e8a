#ifndef LOAD_SAMPLE_H
#define LOAD_SAMPLE_H

#include <string.h>

#include "harness/load/control.h"

/* A run as it could have been, the same each time: two roles, a stall, losses, a broken rule, and texts that mean harm. Given. */

#define SAMPLE_HARM "<script>alert('1')</script> \"&amp;\" ]]> \\ \x1b[2J"

static inline uint64_t sample_random(uint64_t *state, uint64_t below)
{
	*state = *state * 6364136223846793005u + 1442695040888963407u;
	return (*state >> 33) % below;
}

/* A second of it: latencies of 200 us to 1 ms, a few of 40 ms; in the fourth second the broker stood still. */
static inline void sample_second(struct tally *t, uint64_t s, bool publishes, uint64_t *random)
{
	for (unsigned i = 0; i < 500; i++) {
		uint64_t due = s * 1000000000 + i * 2000000, late = s == 3 ? 900000000 - (uint64_t)i * 1800000 : sample_random(random, 20000);
		uint64_t took = 200000 + sample_random(random, 800000) + (sample_random(random, 200) ? 0 : 40000000);

		if (publishes) {
			tally_time(t, TIME_ACK, due, due + late, due + late + took);
			tally_time(t, TIME_LATENESS, due, due, due + late);
			tally_count(t, COUNT_sent);
			tally_count(t, COUNT_acknowledged);
		} else {
			tally_time(t, TIME_DELIVERY, due, due + late, due + late + took + 50000);
			tally_count(t, COUNT_delivered);
		}
		tally_count(t, publishes ? COUNT_packets_sent : COUNT_packets_received);
	}
	if (s < 2)
		for (unsigned i = 0; i < (publishes ? 100 : 2); i++) {
			tally_time(t, TIME_CONNECT, 0, 10000, 500000 + sample_random(random, 3000000));
			tally_count(t, COUNT_started);
			tally_count(t, COUNT_connected);
		}
}

static inline struct figures *sample_figures(uint64_t seconds)
{
	static const char *const names[2] = { "sensor", "collector" };
	struct figures *f = figures_new();
	uint64_t random = 1;

	f->workload = "load/fan-in.scn";
	f->title = "Telemetry from many sensors <&> " SAMPLE_HARM;
	f->target = "localhost:1883";
	f->mqtt = "5";
	f->version = "0.1.0";
	f->command = "mqassay load fan-in localhost:1883 -D sensors=200";
	f->began = "2026-11-21T18:33:57Z";
	f->began_unix_ns = UINT64_C(1795285237000000000);
	f->seed = 7;
	f->n_shards = 1;
	f->n_merged = 1;
	f->duration_ns = seconds * 1000000000;
	f->steady_ns = seconds > 1 ? 1500000000 : 0;
	f->active = 204;

	for (unsigned r = 0; r < 2; r++) {
		struct figures_role *role = FIGURES_APPEND(f, roles);

		role->name = names[r];
		role->clients = r ? 4 : 200;
	}
	for (unsigned r = 0; r < 2; r++)
		for (uint64_t s = 0; s < seconds; s++) {
			struct tally *t = figures_second(&f->roles[r], s * 1000000000);

			sample_second(t, s, !r, &random);
			tally_add(&f->roles[r].total, t);
		}
	f->roles[1].total.counts[COUNT_owed] = 500 * seconds;
	f->roles[1].total.counts[COUNT_delivered] -= 3;
	f->roles[1].total.counts[COUNT_lost] = 3;

	*FIGURES_APPEND(f, meetings) = (struct figures_meeting){ "ready", 204, 203, 1, true };
	*FIGURES_APPEND(f, reasons) = (struct figures_reason){ "sensor", "CONNACK: Not authorized " SAMPLE_HARM, COUNT_refused, false, 1 };
	*FIGURES_APPEND(f, losses) = (struct figures_loss){ "collector", "sensor", LOST_TAKEN_OVER, "DISCONNECT 0x8e " SAMPLE_HARM, 3 };
	return f;
}

#endif

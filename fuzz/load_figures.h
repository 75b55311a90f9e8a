#ifndef FUZZ_LOAD_FIGURES_H
#define FUZZ_LOAD_FIGURES_H

#include <stdlib.h>
#include <string.h>

#include "fuzz/figures_written.h"

/* What holds of the figures of each run, whatever the workload and the broker were. */

static uint64_t sum_of_losses(const struct figures *f)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < f->n_losses; i++) {
		MUST(f->losses[i].n && f->losses[i].cause < N_LOSS_CAUSES);
		sum += f->losses[i].n;
	}
	return sum;
}

static void judge_role(const struct figures_role *role)
{
	const uint64_t *n = role->total.counts;
	uint64_t seconds[N_COUNTERS] = { 0 };

	MUST(n[COUNT_finished] + n[COUNT_stopped] <= n[COUNT_started] && n[COUNT_started] <= role->clients);
	MUST(n[COUNT_resumed] <= n[COUNT_connected] && n[COUNT_ended] <= n[COUNT_connected] + n[COUNT_packets_sent]);
	MUST(n[COUNT_acknowledged] <= n[COUNT_sent] && n[COUNT_refused_messages] <= n[COUNT_acknowledged] && n[COUNT_late] <= n[COUNT_sent]);
	MUST(n[COUNT_acknowledged] + n[COUNT_unacknowledged] <= n[COUNT_sent]);
	MUST(n[COUNT_early] <= n[COUNT_delivered] && n[COUNT_reordered] <= n[COUNT_delivered] && n[COUNT_lost] <= n[COUNT_owed]);
	MUST(n[COUNT_delivered] + n[COUNT_duplicated] + n[COUNT_copies] + n[COUNT_returned] + n[COUNT_foreign] <= n[COUNT_packets_received]);
	MUST(n[COUNT_packets_received] * 2 <= n[COUNT_bytes_received] && n[COUNT_packets_sent] * 2 <= n[COUNT_bytes_sent]);
	for (int i = 0; i < N_TIMINGS; i++)
		MUST(i == TIME_LATENESS || role->total.timings[i].count == role->total.uncorrected[i].count);
	MUST(role->total.timings[TIME_CONNECT].count == n[COUNT_connected] && role->total.timings[TIME_LATENESS].count <= n[COUNT_sent]);
	MUST(role->total.timings[TIME_DELIVERY].count <= n[COUNT_delivered] + n[COUNT_returned]);
	for (uint32_t i = 0; i < role->n_seconds; i++)
		for (int k = 0; k < N_COUNTERS; k++)
			seconds[k] += role->seconds[i].tally.counts[k];
	for (int k = 0; k < N_COUNTERS; k++)
		MUST(seconds[k] == n[k] || k == COUNT_owed || k == COUNT_lost);
}

static void judge_figures(const struct figures *f)
{
	uint64_t lost = 0;

	for (uint32_t i = 0; i < f->n_roles; i++) {
		judge_role(&f->roles[i]);
		lost += f->roles[i].total.counts[COUNT_lost];
	}
	MUST(sum_of_losses(f) == lost && !f->untracked);
}

static void write_html(FILE *out, const struct figures *f)
{
	figures_html(out, &f, 1);
}

static void write_figures(const struct figures *f)
{
	struct fault fault;
	char *text = written(write_json, f), *same;
	struct figures *again = figures_read(span_text(text), &fault);

	MUST(again);
	same = written(write_json, again);
	MUST(!strcmp(text, same) && figures_exit_code(f) == figures_exit_code(again));
	free(text);
	free(same);
	figures_free(again);
	free(written(figures_print, f));
	free(written(write_html, f));
}

#endif

#include "harness/load/figures.h"

#include <inttypes.h>

#include "harness/escape.h"
#include "harness/units.h"

void figures_print(FILE *out, const struct figures *figures)
{
	if (figures->unable) {
		fputs("unable: ", out);
		escape_text(out, figures->unable);
		fputc('\n', out);
		return;
	}
	for (uint32_t i = 0; i < figures->n_roles; i++) {
		const struct figures_role *role = &figures->roles[i];

		escape_text(out, role->name);
		fprintf(out, "  %" PRIu64 " clients\n", role->clients);
		for (unsigned c = 0; c < N_COUNTERS; c++)
			if (role->total.counts[c])
				fprintf(out, "  %-18s %16" PRIu64 "\n", counter_rows[c].name, role->total.counts[c]);
		for (unsigned t = 0; t < N_TIMINGS; t++) {
			const struct hdr *h = &role->total.timings[t];

			if (h->count)
				fprintf(out, "  %-18s p50 %.3f ms  p99 %.3f ms  max %.3f ms\n", timing_names[t], (double)hdr_quantile(h, 500000) / 1e6,
				        (double)hdr_quantile(h, 990000) / 1e6, (double)h->max / 1e6);
		}
	}
	if (figures->why) {
		fputs("ended before its time: ", out);
		escape_text(out, figures->why);
		fputc('\n', out);
	}
}

#include "harness/load/figures.h"

#include <stdlib.h>
#include <string.h>

#include "harness/load/hdr_log.h"

/* "sensor.ack" or "sensor.ack.uncorrected". A result that was read may have any name for a role, a tag may not. */
static const char *tag_of(const struct figures_role *role, unsigned timing, bool uncorrected, char buf[160])
{
	snprintf(buf, 160, "%.100s.%s%s", role->name, timing_names[timing], uncorrected ? ".uncorrected" : "");
	for (char *at = buf; *at; at++)
		if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-", *at))
			*at = '_';
	return buf;
}

static void put_interval(FILE *out, const struct figures_role *role, const struct tally *t, uint64_t at_ns, uint64_t length_ns)
{
	char tag[160];

	for (unsigned i = 0; i < N_TIMINGS; i++)
		for (unsigned uncorrected = 0; uncorrected < 2; uncorrected++) {
			const struct hdr *h = uncorrected ? &t->uncorrected[i] : &t->timings[i];

			if (h->count && !hdr_log_write(out, tag_of(role, i, uncorrected, tag), at_ns, length_ns, h))
				abort();
		}
}

/* What the whole run has and its seconds have not, when there are none. */
static bool has_no_seconds(const struct figures *figures)
{
	for (uint32_t i = 0; i < figures->n_roles; i++)
		if (figures->roles[i].n_seconds)
			return false;
	return true;
}

/* In the order of time, whichever role it is. */
static void put_seconds(FILE *out, const struct figures *figures)
{
	uint32_t *next = calloc(figures->n_roles, sizeof(*next));

	if (!next)
		abort();
	for (;;) {
		const struct figures_second *first = NULL;
		uint32_t whose = 0;

		for (uint32_t i = 0; i < figures->n_roles; i++) {
			const struct figures_role *role = &figures->roles[i];

			if (next[i] < role->n_seconds && (!first || role->seconds[next[i]].at < first->at)) {
				first = &role->seconds[next[i]];
				whose = i;
			}
		}
		if (!first)
			break;
		put_interval(out, &figures->roles[whose], &first->tally, first->at, figures->roles[whose].interval_ns);
		next[whose]++;
	}
	free(next);
}

void figures_hdr_log(FILE *out, const struct figures *figures)
{
	hdr_log_begin(out, figures->began_unix_ns);
	if (!has_no_seconds(figures))
		put_seconds(out, figures);
	for (uint32_t i = 0; has_no_seconds(figures) && i < figures->n_roles; i++)
		put_interval(out, &figures->roles[i], &figures->roles[i].total, 0, figures->duration_ns);
}

void figures_percentiles(FILE *out, const struct figures *figures)
{
	char tag[160];
	bool first = true;

	for (uint32_t r = 0; r < figures->n_roles; r++) {
		const struct figures_role *role = &figures->roles[r];

		for (unsigned i = 0; i < 2 * N_TIMINGS; i++) {
			const struct hdr *h = i % 2 ? &role->total.uncorrected[i / 2] : &role->total.timings[i / 2];

			if (!h->count)
				continue;
			fprintf(out, "%s#[%s]\n", first ? "" : "\n", tag_of(role, i / 2, i % 2, tag));
			hdr_print_percentiles(out, h);
			first = false;
		}
	}
}

#include "harness/load/figures.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "harness/escape.h"
#include "harness/load/hdr_log.h"

/*
 * One document, described by harness/docs/load.schema.json: what figures_read() takes back without loss. Durations are nanoseconds, and
 * percentiles stand beside each histogram for whoever reads it with jq.
 */

enum { SCHEMA_VERSION = 1 };

static void text(FILE *out, const char *name, const char *value)
{
	fprintf(out, ", \"%s\": ", name);
	escape_json(out, value);
}

static void whole(FILE *out, const char *name, uint64_t value)
{
	fprintf(out, ", \"%s\": %" PRIu64, name, value);
}

static void flag(FILE *out, const char *name, bool value)
{
	fprintf(out, ", \"%s\": %s", name, value ? "true" : "false");
}

/* With as many digits as give the same double again; what is no number is null. */
static void real(FILE *out, const char *name, double value)
{
	char digits[40] = "null";

	for (int n = 15; n <= 17 && isfinite(value); n++) {
		snprintf(digits, sizeof(digits), "%.*g", n, value);
		if (strtod(digits, NULL) == value)
			break;
	}
	fprintf(out, ", \"%s\": %s", name, digits);
}

/* ---- tallies ---- */

static void put_histogram(FILE *out, const struct hdr *h)
{
	static const struct { const char *name; uint32_t per_million; } quantiles[] = {
		{ "p50_ns", 500000 }, { "p90_ns", 900000 }, { "p99_ns", 990000 }, { "p99_9_ns", 999000 }, { "p99_99_ns", 999900 },
	};
	char *payload = hdr_payload(h);

	if (!payload)
		abort();
	fprintf(out, "{\"count\": %" PRIu64, h->count);
	whole(out, "over", h->over);
	whole(out, "min_ns", h->min);
	fprintf(out, ", \"mean_ns\": %.1f", hdr_mean(h));
	for (size_t i = 0; i < sizeof(quantiles) / sizeof(quantiles[0]); i++)
		whole(out, quantiles[i].name, hdr_quantile(h, quantiles[i].per_million));
	whole(out, "max_ns", h->max);
	fprintf(out, ", \"hdr\": \"%s\"}", payload);
	free(payload);
}

/* Those that have counted something. */
static void put_histograms(FILE *out, const char *name, const struct hdr hdrs[N_TIMINGS])
{
	bool first = true;

	fprintf(out, ", \"%s\": {", name);
	for (unsigned i = 0; i < N_TIMINGS; i++) {
		if (!hdrs[i].count)
			continue;
		fprintf(out, "%s\"%s\": ", first ? "" : ", ", timing_names[i]);
		put_histogram(out, &hdrs[i]);
		first = false;
	}
	fputc('}', out);
}

/* all: those that are 0 as well. */
static void put_tally(FILE *out, const struct tally *t, bool all)
{
	bool first = true;

	fputs(", \"counts\": {", out);
	for (unsigned i = 0; i < N_COUNTERS; i++) {
		if (!t->counts[i] && !all)
			continue;
		fprintf(out, "%s\"%s\": %" PRIu64, first ? "" : ", ", counter_rows[i].name, t->counts[i]);
		first = false;
	}
	fputc('}', out);
	put_histograms(out, "timings", t->timings);
	put_histograms(out, "uncorrected", t->uncorrected);
}

static void put_role(FILE *out, const struct figures *figures, const struct figures_role *role)
{
	fputs("\n    {\"name\": ", out);
	escape_json(out, role->name);
	whole(out, "clients", role->clients);
	fprintf(out, ", \"sent_per_s\": %.3f, \"delivered_per_s\": %.3f", figures_rate(figures, role, COUNT_sent), figures_rate(figures, role, COUNT_delivered));
	real(out, "lateness_share", role->lateness_share);
	put_tally(out, &role->total, true);
	whole(out, "interval_ns", role->interval_ns);
	fputs(",\n     \"seconds\": [", out);
	for (uint32_t i = 0; i < role->n_seconds; i++) {
		fprintf(out, "%s\n      {\"at_ns\": %" PRIu64, i ? "," : "", role->seconds[i].at);
		put_tally(out, &role->seconds[i].tally, false);
		fputc('}', out);
	}
	fputs("]}", out);
}

/* ---- lists ---- */

/* Begins a list, then each of its objects. */
static void list(FILE *out, const char *name)
{
	fprintf(out, ",\n  \"%s\": [", name);
}

static void object(FILE *out, uint32_t i, const char *name, const char *value)
{
	fprintf(out, "%s\n    {\"%s\": ", i ? "," : "", name);
	escape_json(out, value);
}

static void put_lists(FILE *out, const struct figures *f)
{
	list(out, "reasons");
	for (uint32_t i = 0; i < f->n_reasons; i++) {
		object(out, i, "role", f->reasons[i].role);
		text(out, "counter", counter_rows[f->reasons[i].counter].name);
		flag(out, "judged", f->reasons[i].judged);
		whole(out, "n", f->reasons[i].n);
		text(out, "text", f->reasons[i].text);
		fputc('}', out);
	}
	fputc(']', out);
	list(out, "losses");
	for (uint32_t i = 0; i < f->n_losses; i++) {
		object(out, i, "subscriber", f->losses[i].subscriber);
		text(out, "publisher", f->losses[i].publisher);
		text(out, "cause", loss_names[f->losses[i].cause]);
		whole(out, "n", f->losses[i].n);
		text(out, "evidence", f->losses[i].evidence);
		fputc('}', out);
	}
	fputc(']', out);
	list(out, "publishers");
	for (uint32_t i = 0; i < f->n_publishers; i++) {
		const struct publisher_account *p = &f->publishers[i];

		object(out, i, "role", f->roles[p->role].name);
		whole(out, "client", p->client);
		whole(out, "sent", p->sent);
		whole(out, "owed", p->owed);
		whole(out, "delivered", p->delivered);
		whole(out, "lost", p->lost);
		whole(out, "duplicated", p->duplicated);
		whole(out, "reordered", p->reordered);
		fputc('}', out);
	}
	fputc(']', out);
	list(out, "meetings");
	for (uint32_t i = 0; i < f->n_meetings; i++) {
		object(out, i, "name", f->meetings[i].name);
		whole(out, "expected", f->meetings[i].expected);
		whole(out, "arrived", f->meetings[i].arrived);
		whole(out, "gone", f->meetings[i].gone);
		flag(out, "held", f->meetings[i].held);
		fputc('}', out);
	}
	fputc(']', out);
	list(out, "expectations");
	for (uint32_t i = 0; i < f->n_expectations; i++) {
		object(out, i, "text", f->expectations[i].text);
		real(out, "value", f->expectations[i].value);
		flag(out, "known", f->expectations[i].known);
		flag(out, "met", f->expectations[i].met);
		fputc('}', out);
	}
	fputc(']', out);
	list(out, "notes");
	for (uint32_t i = 0; i < f->n_notes; i++) {
		fputs(i ? ", " : "", out);
		escape_json(out, f->notes[i]);
	}
	fputc(']', out);
}

/* ---- the document ---- */

static void put_shards(FILE *out, const struct figures *f)
{
	fprintf(out, ",\n  \"shards\": {\"of\": %u, \"merged\": %u, \"played\": [", f->n_shards > 1 ? f->n_shards : 1, f->n_merged > 1 ? f->n_merged : 1);
	for (unsigned i = 0; i < (f->n_merged > 1 ? f->n_merged : 1); i++)
		fprintf(out, "%s%u", i ? ", " : "", f->shards ? f->shards[i] : f->shard);
	fputs("]}", out);
}

static void put_cost(FILE *out, const struct figures *f)
{
	fprintf(out, ",\n  \"cpu\": {\"tool_ns\": %" PRIu64 ", \"threads\": %u", f->cpu.tool_ns, f->cpu.threads);
	real(out, "busiest", f->cpu.busiest);
	fputs(", \"broker\": ", out);
	if (f->cpu.broker_known) {
		fputs("{\"name\": ", out);
		escape_json(out, f->cpu.broker);
		whole(out, "ns", f->cpu.broker_ns);
		fputc('}', out);
	} else {
		fputs("null", out);
	}
	fputs("},\n  \"calibration\": ", out);
	if (f->calibration.known) {
		fprintf(out, "{\"threads\": 1");
		real(out, "rate", f->calibration.rate);
		real(out, "cost_ns", f->calibration.cost_ns);
		fputc('}', out);
	} else {
		fputs("null", out);
	}
	fputs(",\n  \"broker_drops\": ", out);
	if (f->drops.known) {
		fprintf(out, "{\"n\": %" PRIu64, f->drops.n);
		text(out, "topic", f->drops.topic);
		fputc('}', out);
	} else {
		fputs("null", out);
	}
	fputs(",\n  \"limited_by\": ", out);
	escape_json(out, limited_names[f->limited_by]);
	text(out, "limit", f->limit);
}

static void put_head(FILE *out, const struct figures *f)
{
	fprintf(out, "{\n  \"schema\": {\"name\": \"mqassay-load\", \"version\": %d},\n  \"tool\": {\"name\": \"mqassay\"", SCHEMA_VERSION);
	text(out, "version", f->version);
	fputs("},\n  \"command\": ", out);
	escape_json(out, f->command);
	fprintf(out, ",\n  \"exit_code\": %d,\n  \"unable\": ", figures_exit_code(f));
	escape_json(out, f->unable);
	fputs(",\n  \"why\": ", out);
	escape_json(out, f->why);
	fputs(",\n  \"workload\": {\"file\": ", out);
	escape_json(out, f->workload);
	text(out, "title", f->title);
	text(out, "mqtt", f->mqtt);
	fputs("},\n  \"target\": ", out);
	escape_json(out, f->target);
	fputs(",\n  \"began\": ", out);
	escape_json(out, f->began);
	whole(out, "began_unix_ns", f->began_unix_ns);
	whole(out, "duration_ns", f->duration_ns);
	whole(out, "steady_ns", f->steady_ns);
	whole(out, "drain_ns", f->drain_ns);
	fprintf(out, ",\n  \"seed\": %" PRIu64, f->seed);
	put_shards(out, f);
	fprintf(out, ",\n  \"judged_packets\": %" PRIu64, f->judged_packets);
	whole(out, "untracked", f->untracked);
	whole(out, "publishers_afflicted", f->n_publishers_afflicted);
	whole(out, "target_connects_per_s", f->target_connects_per_s);
}

bool figures_json(FILE *out, const struct figures *figures)
{
	put_head(out, figures);
	put_cost(out, figures);
	put_lists(out, figures);
	list(out, "roles");
	for (uint32_t i = 0; i < figures->n_roles; i++) {
		fputs(i ? "," : "", out);
		put_role(out, figures, &figures->roles[i]);
	}
	fputs("]\n}\n", out);
	return !ferror(out);
}

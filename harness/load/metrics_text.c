#include "harness/load/metrics.h"

#include <inttypes.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "harness/escape.h"
#include "harness/load/control.h"

/* A text as the value of a label: our escapes of foreign bytes have backslashes, which are doubled as JSON doubles them. */
static void put_label(FILE *out, const char *text)
{
	escape_json(out, text ? text : "");
}

static void put_head(FILE *out, const char *name, const char *type, const char *help)
{
	fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void put_role_value(FILE *out, const char *name, const struct figures_role *role, uint64_t value)
{
	fprintf(out, "%s{role=", name);
	put_label(out, role->name);
	fprintf(out, "} %" PRIu64 "\n", value);
}

/* ---- the run ---- */

static void put_run(FILE *out, const struct figures *f)
{
	static const char *const phases[] = { [PHASE_RAMP] = "ramp", [PHASE_STEADY] = "steady", [PHASE_DRAIN] = "drain" };

	put_head(out, "mqassay_load_info", "gauge", "What is played, and where.");
	fputs("mqassay_load_info{version=", out);
	put_label(out, f->version);
	fputs(",workload=", out);
	put_label(out, f->workload);
	fputs(",target=", out);
	put_label(out, f->target);
	fputs(",mqtt=", out);
	put_label(out, f->mqtt);
	fprintf(out, ",shard=\"%u\",shards=\"%u\"} 1\n", f->shard, f->n_shards);
	put_head(out, "mqassay_load_start_time_seconds", "gauge", "Time 0 of the run, since 1970.");
	fprintf(out, "mqassay_load_start_time_seconds %.3f\n", (double)f->began_unix_ns / 1e9);
	put_head(out, "mqassay_load_elapsed_seconds", "gauge", "How long it has run.");
	fprintf(out, "mqassay_load_elapsed_seconds %.3f\n", (double)f->duration_ns / 1e9);
	put_head(out, "mqassay_load_phase", "gauge", "1 for the phase that it is in: clients begin, all of them are there, what is under way may still come.");
	for (unsigned i = 0; i < sizeof(phases) / sizeof(*phases); i++)
		fprintf(out, "mqassay_load_phase{phase=\"%s\"} %d\n", phases[i], phase_of(f) == (enum phase)i);
	put_head(out, "mqassay_load_connections", "gauge", "Clients that are connected.");
	fprintf(out, "mqassay_load_connections %" PRIu64 "\n", f->active);
}

static void put_meetings(FILE *out, const struct figures *f)
{
	static const char *const names[] = { "expected", "arrived", "gone", "held" };
	static const char *const helps[] = {
		"Clients that are to come to the meeting.", "Clients that have come.", "Clients that stopped before they came, and are not waited for.", "1 once it was held.",
	};

	for (unsigned what = 0; f->n_meetings && what < 4; what++) {
		char name[60];

		snprintf(name, sizeof(name), "mqassay_load_meeting_%s", names[what]);
		put_head(out, name, "gauge", helps[what]);
		for (uint32_t i = 0; i < f->n_meetings; i++) {
			const struct figures_meeting *m = &f->meetings[i];

			fprintf(out, "%s{meeting=", name);
			put_label(out, m->name);
			fprintf(out, "} %" PRIu64 "\n", what == 0 ? m->expected : what == 1 ? m->arrived : what == 2 ? m->gone : (uint64_t)m->held);
		}
	}
}

/* ---- roles ---- */

static void put_counters(FILE *out, const struct figures *f)
{
	put_head(out, "mqassay_load_clients_planned", "gauge", "Clients of the role in this run.");
	for (uint32_t i = 0; i < f->n_roles; i++)
		put_role_value(out, "mqassay_load_clients_planned", &f->roles[i], f->roles[i].clients);
	for (unsigned c = 0; c < N_COUNTERS; c++) {
		char name[60];

		snprintf(name, sizeof(name), "mqassay_load_%s_total", counter_rows[c].name);
		put_head(out, name, "counter", counter_rows[c].meaning);
		for (uint32_t i = 0; i < f->n_roles; i++)
			put_role_value(out, name, &f->roles[i], f->roles[i].total.counts[c]);
	}
}

static const struct {
	uint64_t ns;
	const char *text;
} bounds[] = {
	{ 10000, "0.00001" }, { 25000, "0.000025" }, { 50000, "0.00005" }, { 100000, "0.0001" }, { 250000, "0.00025" }, { 500000, "0.0005" },
	{ 1000000, "0.001" }, { 2500000, "0.0025" }, { 5000000, "0.005" }, { 10000000, "0.01" }, { 25000000, "0.025" }, { 50000000, "0.05" },
	{ 100000000, "0.1" }, { 250000000, "0.25" }, { 500000000, "0.5" }, { 1000000000, "1" }, { 2500000000, "2.5" }, { 5000000000, "5" },
	{ 10000000000, "10" }, { 25000000000, "25" }, { 60000000000, "60" },
};

enum { N_BOUNDS = sizeof(bounds) / sizeof(*bounds) };

/*
 * A bucket of ours belongs to a bound when it begins there or before: one that goes beyond does so by 0.1 % at most.
 * The sum is taken by the middles of buckets, in the same order each time, so that it never goes down.
 */
static void put_histogram(FILE *out, const char *name, const struct figures_role *role, const struct hdr *h)
{
	uint64_t count = 0;
	unsigned b = 0;
	double sum = 0;

	for (unsigned i = 0; i <= N_BOUNDS; i++) {
		for (; b < HDR_BUCKETS && (i == N_BOUNDS || hdr_bucket_low(b) <= bounds[i].ns); b++) {
			uint64_t n = hdr_bucket_count(h, b);

			count += n;
			sum += (double)n * ((double)hdr_bucket_low(b) + (double)hdr_bucket_high(b)) / 2e9;
		}
		fprintf(out, "%s_bucket{role=", name);
		put_label(out, role->name);
		fprintf(out, ",le=\"%s\"} %" PRIu64 "\n", i < N_BOUNDS ? bounds[i].text : "+Inf", count);
	}
	fprintf(out, "%s_sum{role=", name);
	put_label(out, role->name);
	fprintf(out, "} %.9g\n", sum);
	fprintf(out, "%s_count{role=", name);
	put_label(out, role->name);
	fprintf(out, "} %" PRIu64 "\n", count);
}

/* Of the roles that have such timings at all; the others would be zeros without end. */
static void put_timing(FILE *out, const struct figures *f, enum timing timing, bool uncorrected)
{
	static const char *const helps[N_TIMINGS] = {
		[TIME_CONNECT]  = "Until CONNACK",
		[TIME_ACK]      = "Of a PUBLISH until PUBACK or PUBCOMP",
		[TIME_DELIVERY] = "Of a message until it was delivered",
		[TIME_LATENESS] = "Of the tool itself: until a message was handed over",
		[TIME_PLAY]     = "Of a whole scenario, from its first step to its last",
	};
	bool told = false;
	char name[80], help[160];

	snprintf(name, sizeof(name), "mqassay_load_%s%s_seconds", timing_names[timing], uncorrected ? "_uncorrected" : "");
	snprintf(help, sizeof(help), "%s, from when it was %s.", helps[timing], uncorrected ? "begun" : "due");
	for (uint32_t i = 0; i < f->n_roles; i++) {
		const struct hdr *h = uncorrected ? &f->roles[i].total.uncorrected[timing] : &f->roles[i].total.timings[timing];

		if (!h->count)
			continue;
		if (!told)
			put_head(out, name, "histogram", help);
		told = true;
		put_histogram(out, name, &f->roles[i], h);
	}
}

/* ---- this process ---- */

static double process_start(void)
{
	static double start;
	struct timespec now, real;

	if (!start && clock_gettime(CLOCK_REALTIME, &real) == 0 && clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now) == 0) {
		FILE *stat = fopen("/proc/self/stat", "re");
		unsigned long long ticks = 0;
		struct timespec boot;

		/* The name, in parentheses, is ours and has none. */
		if (stat && fscanf(stat, "%*d %*s %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu", &ticks) == 1 &&
		    clock_gettime(CLOCK_BOOTTIME, &boot) == 0)
			start = (double)real.tv_sec + (double)real.tv_nsec / 1e9 - ((double)boot.tv_sec + (double)boot.tv_nsec / 1e9) + (double)ticks / (double)sysconf(_SC_CLK_TCK);
		if (stat)
			fclose(stat);
	}
	return start;
}

static void put_process(FILE *out, const struct figures *f)
{
	struct cost cost;
	struct rlimit limit;

	if (f->cpu.broker_known) {
		put_head(out, "mqassay_load_broker_cpu_seconds_total", "counter", "CPU that the broker took since time 0, where it runs on this machine.");
		fprintf(out, "mqassay_load_broker_cpu_seconds_total %.9f\n", (double)f->cpu.broker_ns / 1e9);
	}
	if (cost_of(getpid(), &cost)) {
		put_head(out, "process_cpu_seconds_total", "counter", "CPU that this program took, user and system.");
		fprintf(out, "process_cpu_seconds_total %.9f\n", (double)cost.cpu_ns / 1e9);
		put_head(out, "process_resident_memory_bytes", "gauge", "Resident memory of this program.");
		fprintf(out, "process_resident_memory_bytes %" PRIu64 "\n", cost.rss_bytes);
	}
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY) {
		put_head(out, "process_max_fds", "gauge", "Files that this program may open.");
		fprintf(out, "process_max_fds %" PRIu64 "\n", (uint64_t)limit.rlim_cur);
	}
	put_head(out, "process_start_time_seconds", "gauge", "When this program was started, since 1970.");
	fprintf(out, "process_start_time_seconds %.2f\n", process_start());
}

void metrics_write(FILE *out, const struct figures *f)
{
	put_run(out, f);
	put_meetings(out, f);
	put_counters(out, f);
	for (unsigned t = 0; t < N_TIMINGS; t++) {
		put_timing(out, f, (enum timing)t, false);
		if (t != TIME_LATENESS)
			put_timing(out, f, (enum timing)t, true);
	}
	put_process(out, f);
}

#include "harness/load/figures.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "harness/escape.h"
#include "harness/load/wording.h"

/* The summary that a run ends with: for a terminal of 100 columns. Whatever stands in it that was not ours is escaped. */

enum { WIDTH = 100, INDENT = 13 };

/* ---- lines ---- */

/* Items of a line, parted by commas; a line that is full goes on below its first item. */
struct items {
	FILE *out;
	const char *label;
	size_t column;			/* 0: nothing yet */
};

static void item(struct items *items, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void item(struct items *items, const char *format, ...)
{
	char text[400], safe[WIDTH - INDENT];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	escape_bytes(text, strlen(text), safe, sizeof(safe));
	size_t len = strlen(safe);
	bool full = items->column + 2 + len >= WIDTH;
	if (!items->column)
		fprintf(items->out, "%-*s%s", INDENT, items->label, safe);
	else if (full)
		fprintf(items->out, ",\n%*s%s", INDENT, "", safe);
	else
		fprintf(items->out, ", %s", safe);
	items->column = !items->column || full ? INDENT + len : items->column + 2 + len;
}

static void end(struct items *items)
{
	if (items->column)
		fputc('\n', items->out);
	items->column = 0;
}

/* How much of a text that is too long for a line may stand in it: no character is cut. */
static size_t whole_characters(const char *text, size_t most)
{
	while (most > 1 && ((uint8_t)text[most] & 0xc0) == 0x80)
		most--;
	return most;
}

/* Foreign text behind a label, broken between words where a line is full. */
static void paragraph(FILE *out, const char *label, const char *text)
{
	enum { ROOM = WIDTH - INDENT };
	char safe[1000];
	size_t used = 0;

	if (escape_bytes(text, strlen(text), safe, sizeof(safe)) >= sizeof(safe))
		strcpy(safe + strlen(safe) - 3, "...");
	fprintf(out, "%-*s", INDENT, label);
	for (const char *at = safe; *at;) {
		size_t word = strcspn(at, " ");

		if (used && used + 1 + word > ROOM) {
			fprintf(out, "\n%*s", INDENT, "");
			used = 0;
		}
		if (word > ROOM)
			word = whole_characters(at, ROOM);
		fprintf(out, "%s%.*s", used ? " " : "", (int)word, at);
		used += word + (used > 0);
		at += word + (at[word] == ' ');
	}
	fputc('\n', out);
}

/* ---- a role ---- */

/* "packets sent" of "packets_sent". */
static const char *spaced(const char *name, char *buf, size_t cap)
{
	snprintf(buf, cap, "%s", name);
	for (char *at = buf; (at = strchr(at, '_'));)
		*at = ' ';
	return buf;
}

/* Those that are not 0 of that kind, in counters.def's words; sent and delivered with their rate. */
static void put_counters(FILE *out, const struct figures *f, const struct figures_role *role, enum counter_of whose, const char *label)
{
	struct items items = { .out = out, .label = label };

	for (unsigned c = 0; c < N_COUNTERS; c++) {
		uint64_t n = role->total.counts[c];
		char name[40];

		if (!n || counter_rows[c].whose != whose)
			continue;
		spaced(counter_rows[c].name, name, sizeof(name));
		if ((c == COUNT_sent || c == COUNT_delivered) && figures_rated_ns(f, NULL))
			item(&items, "%s %s (%s/s)", name, say_count(n), say_rate(figures_rate(f, role, (enum counter)c)));
		else if (c == COUNT_finished && role->total.timings[TIME_PLAY].count && figures_rated_ns(f, NULL))
			item(&items, "%s %s (%s/s)", name, say_count(n), say_rate(figures_rate(f, role, COUNT_finished)));
		else if (c == COUNT_late)
			item(&items, "sent more than 1 ms late %s (%s)", say_count(n), say_share(role->lateness_share));
		else if (c == COUNT_lost && role->total.counts[COUNT_owed])
			item(&items, "%s %s (%s)", name, say_count(n), say_share((double)n / (double)role->total.counts[COUNT_owed]));
		else if (c == COUNT_bytes_sent || c == COUNT_bytes_received)
			item(&items, "%s %s", name, say_bytes(n));
		else
			item(&items, "%s %s", name, say_count(n));
	}
	end(&items);
}

/* In milliseconds, seven characters. */
static const char *ms(uint64_t ns, char buf[16])
{
	double value = (double)ns / 1e6;

	snprintf(buf, 16, "%.*f", value < 9.9995 ? 3 : value < 99.995 ? 2 : value < 99999.5 ? 1 : 0, value);
	return buf;
}

static void put_quantiles(FILE *out, const struct hdr *h)
{
	static const uint32_t columns[] = { 500000, 900000, 990000, 999000 };
	char buf[16];

	for (size_t i = 0; i < sizeof(columns) / sizeof(columns[0]); i++)
		fprintf(out, "%8s", ms(hdr_quantile(h, columns[i]), buf));
	fprintf(out, "%9s", ms(h->max, buf));
}

static void put_timings(FILE *out, const struct tally *t)
{
	static const char columns[] = "     p50     p90     p99   p99.9      max";
	bool begun = false;

	for (unsigned i = 0; i < N_TIMINGS; i++) {
		if (!t->timings[i].count || (i == TIME_LATENESS && !t->timings[i].max))		/* nothing was sent by a schedule */
			continue;
		if (!begun)
			fprintf(out, "\n  %-11s%-41s  %s\n  %-11s%s  %s\n", "ms", "     from when it was due", "     uncorrected: from when it was begun", "", columns, columns);
		begun = true;
		fprintf(out, "  %-11s", timing_names[i]);
		put_quantiles(out, &t->timings[i]);
		if (t->uncorrected[i].count) {
			fputs("  ", out);
			put_quantiles(out, &t->uncorrected[i]);
		}
		fputc('\n', out);
	}
}

static void put_role(FILE *out, const struct figures *f, const struct figures_role *role)
{
	fputc('\n', out);
	escape_text(out, role->name);
	fprintf(out, ", %s client%s\n", say_count(role->clients), role->clients == 1 ? "" : "s");
	put_counters(out, f, role, OF_CLIENT, "  clients");
	put_counters(out, f, role, OF_PUBLISHER, "  publishes");
	put_counters(out, f, role, OF_SUBSCRIBER, "  receives");
	put_counters(out, f, role, OF_WIRE, "  wire");
	put_timings(out, &role->total);
}

/* ---- lists ---- */

static void put_losses(FILE *out, const struct figures *f)
{
	char line[600], cause[40];

	if (f->n_losses)
		fputs("\nlost\n", out);
	for (uint32_t i = 0; i < f->n_losses; i++) {
		const struct figures_loss *loss = &f->losses[i];

		snprintf(line, sizeof(line), "%s to %s: %s%s%s", loss->publisher, loss->subscriber, spaced(loss_names[loss->cause], cause, sizeof(cause)),
		         *loss->evidence ? ", " : "", loss->evidence);
		char label[32];
		snprintf(label, sizeof(label), "%11s  ", say_count(loss->n));
		paragraph(out, label, line);
	}
	if (f->n_publishers_afflicted)
		fprintf(out, "%s%*s%s publisher%s had messages lost, duplicated or reordered: JSON has their list\n", f->n_losses ? "" : "\n", INDENT, "", say_count(f->n_publishers_afflicted),
		        f->n_publishers_afflicted == 1 ? "" : "s");
}

static void put_reasons(FILE *out, const struct figures *f)
{
	enum { SHOWN = 20 };
	char line[1000], label[32], counter[40];

	if (f->n_reasons)
		fputs("\nreasons\n", out);
	for (uint32_t i = 0; i < f->n_reasons && i < SHOWN; i++) {
		const struct figures_reason *reason = &f->reasons[i];

		snprintf(label, sizeof(label), "%11s  ", say_count(reason->n));
		snprintf(line, sizeof(line), "%s: %s (%s%s)", reason->role, reason->text, spaced(counter_rows[reason->counter].name, counter, sizeof(counter)),
		         reason->counter == COUNT_violations && reason->n > 1 ? " of this rule; the first is told" : "");
		paragraph(out, label, line);
	}
	if (f->n_reasons > SHOWN)
		fprintf(out, "%*s%u more in the JSON report\n", INDENT, "", f->n_reasons - SHOWN);
}

static void put_meetings(FILE *out, const struct figures *f)
{
	char line[300];

	for (uint32_t i = 0; i < f->n_meetings; i++) {
		const struct figures_meeting *m = &f->meetings[i];

		if (m->held)
			continue;
		snprintf(line, sizeof(line), "\"%s\" was not held: %s of %s came, %s gone for good", m->name, say_count(m->arrived), say_count(m->expected), say_count(m->gone));
		paragraph(out, "meeting", line);
	}
}

static void put_expectations(FILE *out, const struct figures *f)
{
	char line[400], number[40];

	if (f->n_expectations)
		fputs("\nexpected\n", out);
	for (uint32_t i = 0; i < f->n_expectations; i++) {
		const struct figures_expectation *judged = &f->expectations[i];
		struct expectation e;
		struct fault fault;
		const char *unit = expectation_parse(judged->text, &e, &fault) ? expectation_unit(&e) : "";

		snprintf(number, sizeof(number), "%.*f", judged->value == (double)(int64_t)judged->value ? 0 : 3, judged->value);
		if (judged->known)
			snprintf(line, sizeof(line), "%s: it was %s%s", judged->text, number, unit);
		else
			snprintf(line, sizeof(line), "%s: this run has no such figure", judged->text);
		paragraph(out, judged->met ? "  met" : "  MISSED", line);
	}
}

/* ---- the whole ---- */

/* When what happened, and of which time the rates are. */
static void put_times(FILE *out, const struct figures *f)
{
	uint64_t connected = figures_count(f, NULL, COUNT_connected), from_ns, ns = figures_rated_ns(f, &from_ns);
	struct items times = { .out = out, .label = "time" };

	if (!f->duration_ns)
		return;
	item(&times, "%s", say_ns(f->duration_ns));
	if (!connected && !figures_count(f, NULL, COUNT_finished))
		;						/* nobody was ready for anything */
	else if (f->steady_ns > 1 && connected >= 100 && connected == figures_count(f, NULL, COUNT_started))
		item(&times, "ready after %s (%s connects/s)", say_ns(f->steady_ns), say_rate((double)connected * 1e9 / (double)f->steady_ns));
	else if (f->steady_ns)
		item(&times, "ready %s%s", f->steady_ns == 1 ? "at once" : "after ", f->steady_ns == 1 ? "" : say_ns(f->steady_ns));
	if (f->drain_ns)
		item(&times, "drain from %s", say_ns(f->drain_ns));
	if (ns)
		item(&times, "rates over %s from %s", say_ns(ns), say_ns(from_ns));
	end(&times);
}

static void put_head(FILE *out, const struct figures *f)
{
	struct items run = { .out = out, .label = "run" };

	if (f->title || f->workload)
		paragraph(out, "workload", f->title ? f->title : f->workload);
	if (f->target)
		paragraph(out, "target", f->target);
	if (!f->duration_ns)
		return;
	if (f->began)
		item(&run, "%s", f->began);
	if (f->mqtt)
		item(&run, "MQTT %s", f->mqtt);
	item(&run, "seed %" PRIu64, f->seed);
	if (f->n_shards > 1 && f->n_merged <= 1)
		item(&run, "shard %u of %u", f->shard, f->n_shards);
	else if (f->n_shards > 1)
		item(&run, "%u of %u shards", f->n_merged, f->n_shards);
	else if (f->n_merged > 1)
		item(&run, "%u runs together", f->n_merged);
	end(&run);
	put_times(out, f);
}

static void put_cost(FILE *out, const struct figures *f)
{
	uint64_t messages = figures_messages(f, NULL);
	struct items tool = { .out = out, .label = "tool" }, broker = { .out = out, .label = "broker" };

	if (f->cpu.threads) {
		item(&tool, "%s of CPU in %u thread%s", say_ns(f->cpu.tool_ns), f->cpu.threads, f->cpu.threads == 1 ? "" : "s");
		item(&tool, "%sbusy for %s of the %s", f->cpu.threads == 1 ? "" : "the busiest ", say_share(f->cpu.busiest), figures_rated_ns(f, NULL) ? "steady time" : "run");
		if (messages)
			item(&tool, "%.2f us for each message with all else (connecting, idling)", (double)f->cpu.tool_ns / (double)messages / 1e3);
		if (f->calibration.known)
			item(&tool, "without a broker %s/s at %.2f us", say_rate(f->calibration.rate), f->calibration.cost_ns / 1e3);
	}
	end(&tool);
	if (f->cpu.broker_known) {
		item(&broker, "%s", f->cpu.broker ? f->cpu.broker : "?");
		item(&broker, "%s of CPU", say_ns(f->cpu.broker_ns));
		item(&broker, "%s of a core", say_share(figures_broker_share(f)));
		if (messages)
			item(&broker, "%.2f us for each message", (double)f->cpu.broker_ns / (double)messages / 1e3);
	}
	if (f->drops.known && f->drops.n)
		item(&broker, "%s dropped, as %s says", say_count(f->drops.n), f->drops.topic ? f->drops.topic : "it");
	end(&broker);
}

/* Who was at his limit. */
static void put_limit(FILE *out, const struct figures *f)
{
	static const char *const words[N_LIMITS] = {
		[LIMITED_BY_NOTHING] = "nobody was at his limit", [LIMITED_BY_TARGET] = "the target was at its limit",
		[LIMITED_BY_TOOL] = "this tool was at its limit: the figures say little about the broker",
		[LIMITED_BY_SCRIPT] = "the workload was at its limit",
		[LIMITED_BY_MACHINE] = "this machine was at its limit", [LIMITED_UNKNOWN] = "not known",
	};
	char line[500];

	if (f->limited_by == LIMITED_UNKNOWN && !(f->limit && *f->limit))
		return;
	snprintf(line, sizeof(line), "%s%s%s", words[f->limited_by], f->limit && *f->limit ? ": " : "", f->limit ? f->limit : "");
	paragraph(out, "limit", line);
}

static void put_end(FILE *out, const struct figures *f)
{
	uint64_t broken = figures_count(f, NULL, COUNT_violations);
	char line[200];

	if (broken > 1)
		snprintf(line, sizeof(line), "%s packets judged, rules broken %s times: see reasons", say_count(f->judged_packets), say_count(broken));
	else
		snprintf(line, sizeof(line), "%s packets judged, %s rule broken", say_count(f->judged_packets), broken ? "1" : "no");
	paragraph(out, "monitor", line);
	if (f->untracked) {
		snprintf(line, sizeof(line), "%s messages were sent without account, for want of memory: nothing is known of their delivery", say_count(f->untracked));
		paragraph(out, "note", line);
	}
	for (uint32_t i = 0; i < f->n_notes; i++)
		paragraph(out, "note", f->notes[i]);
	put_meetings(out, f);
	if (f->why)
		paragraph(out, "ended early", f->why);
	if (f->unable)
		paragraph(out, "unable", f->unable);
}

void figures_print(FILE *out, const struct figures *figures)
{
	put_head(out, figures);
	if (figures->unable && !figures->duration_ns) {
		put_expectations(out, figures);
		paragraph(out, "unable", figures->unable);
		return;
	}
	for (uint32_t i = 0; i < figures->n_roles; i++)
		if (figures->roles[i].clients)
			put_role(out, figures, &figures->roles[i]);
	put_losses(out, figures);
	put_reasons(out, figures);
	put_expectations(out, figures);
	fputc('\n', out);
	put_cost(out, figures);
	put_limit(out, figures);
	put_end(out, figures);
}

#include <inttypes.h>
#include <string.h>

#include "harness/load/html_chart.h"
#include "harness/load/html_page.h"
#include "harness/load/wording.h"

/*
 * One page that needs nothing but itself: tables for whoever reads or searches, plots for whoever looks, and several
 * runs column by column, their plots on the same scales.
 */

enum { MOST_PUBLISHERS = 50, MOST_REASONS = 200 };

static const char style[] =
	":root{--back:#fff;--text:#1b1b1b;--soft:#5c5c5c;--line:#d8d8d8;--band:#f4f5f7;--good:#0b6b2f;--bad:#a8071a;color-scheme:light dark}\n"
	"@media screen and (prefers-color-scheme:dark){:root{--back:#14171a;--text:#e6e6e6;--soft:#a3a8ad;--line:#353a40;--band:#1d2125;--good:#5fd38d;--bad:#ff8a80}}\n"
	"*{box-sizing:border-box}body{margin:0 auto;padding:1.2rem;max-width:1500px;background:var(--back);color:var(--text);font:15px/1.45 system-ui,sans-serif}\n"
	"h1{font-size:1.5rem;margin:0 0 .3rem}h2{font-size:1.2rem;margin:2rem 0 .6rem;border-bottom:2px solid var(--line)}\n"
	".soft{color:var(--soft)}.good{color:var(--good);font-weight:600}.bad{color:var(--bad);font-weight:600}code{font-size:.9em;overflow-wrap:anywhere}\n"
	".wide{overflow-x:auto}table{border-collapse:collapse;margin:.3rem 0 1rem;font-variant-numeric:tabular-nums}caption{text-align:left;color:var(--soft);padding:.2rem 0}\n"
	"th,td{padding:.22rem .7rem;border-bottom:1px solid var(--line);text-align:right;vertical-align:top;white-space:nowrap}th{font-weight:600}thead th{background:var(--band);vertical-align:bottom}\n"
	"th.w,td.w{text-align:left;white-space:normal;overflow-wrap:break-word;max-width:70ch}tbody th{text-align:left;font-weight:400}tbody tr:hover{background:var(--band)}\n"
	".plots{display:grid;gap:.5rem 1.5rem;grid-template-columns:repeat(auto-fit,minmax(min(100%,420px),1fr))}\n"
	"@media print{body{max-width:none;padding:0;font-size:11px}h2{break-after:avoid}tr{break-inside:avoid}.wide{overflow:visible}thead{display:table-header-group}}\n";

/* ---- words ---- */

static const char *verdict(const struct figures *f, const char **class)
{
	int code = figures_exit_code(f);

	*class = code ? "bad" : "good";
	if (f->unable)
		return "could not be played";
	if (code == 1)
		return f->why ? "ended before its time, and not as it should be" : "played, but not as it should be";
	if (code)
		return f->why ? "ended before its time" : "played, but clients were refused or stopped";
	return f->n_expectations ? "played to its end, every expectation met" : "played to its end";
}

static const char *limit_words(enum limited_by limited_by)
{
	switch (limited_by) {
	case LIMITED_BY_NOTHING: return "nobody: the schedule was kept";
	case LIMITED_BY_TARGET:  return "the target";
	case LIMITED_BY_TOOL:    return "this tool: the figures say little about the target";
	case LIMITED_BY_SCRIPT:  return "the workload: its clients waited for answers";
	case LIMITED_BY_MACHINE: return "this machine: other programs had its processors";
	case LIMITED_UNKNOWN:
	case N_LIMITS:           break;
	}
	return "unknown";
}

static const char *const cause_words[N_LOSS_CAUSES] = {
	[LOST_SUBSCRIBER_AWAY]  = "the subscriber was away, and its session not kept",
	[LOST_SUBSCRIBER_LEFT]  = "the subscriber left with messages under way",
	[LOST_TAKEN_OVER]       = "the subscriber's session was taken over",
	[LOST_DISCONNECTED]     = "the broker ended the subscriber's connection",
	[LOST_PUBLISHER_GONE]   = "the publisher's connection was cut",
	[LOST_OUR_QUEUE]        = "still in our own queue",
	[LOST_SUBSCRIBER_SLOW]  = "the subscriber reads slowly, as its steps say",
	[LOST_BROKER_DROPPED]   = "dropped by the broker, as it says itself",
	[LOST_UNKNOWN]          = "unknown",
};

/* ---- what came of it ---- */

/* A row of the summary: what is said of each run, in plain words. "" for nothing. */

static void tell_target(const struct figures *f, char *text, size_t cap)
{
	snprintf(text, cap, "%s", f->target ? f->target : "");
}

static void tell_mqtt(const struct figures *f, char *text, size_t cap)
{
	snprintf(text, cap, "%s", f->mqtt ? f->mqtt : "");
}

static void tell_began(const struct figures *f, char *text, size_t cap)
{
	snprintf(text, cap, "%s", f->began ? f->began : "");
}

static void tell_duration(const struct figures *f, char *text, size_t cap)
{
	snprintf(text, cap, "%s%s%s%s%s", say_ns(f->duration_ns), f->steady_ns ? ", steady from " : "", f->steady_ns ? say_ns(f->steady_ns) : "",
	         f->drain_ns ? ", drain from " : "", f->drain_ns ? say_ns(f->drain_ns) : "");
}

static void tell_seed(const struct figures *f, char *text, size_t cap)
{
	snprintf(text, cap, "%" PRIu64, f->seed);
}

/* Of one process: in all, as a part of a core, and for each message that was sent or delivered. */
static size_t tell_cpu(const struct figures *f, uint64_t ns, char *text, size_t cap)
{
	uint64_t messages = figures_messages(f, NULL);

	return (size_t)snprintf(text, cap, "%s, %s of a core%s%s", say_ns(ns), say_share(f->duration_ns ? (double)ns / (double)f->duration_ns : 0), messages ? ", per message " : "",
	                        messages ? say_ns(ns / messages) : "");
}

static void tell_tool(const struct figures *f, char *text, size_t cap)
{
	size_t len = tell_cpu(f, f->cpu.tool_ns, text, cap);

	snprintf(text + len, cap - len, " (%u thread%s; the busiest for %s of the steady time)", f->cpu.threads, f->cpu.threads == 1 ? "" : "s", say_share(f->cpu.busiest));
}

static void tell_broker(const struct figures *f, char *text, size_t cap)
{
	size_t len;

	if (!f->cpu.broker_known) {
		snprintf(text, cap, "unknown: it is not on this machine, or not ours to see");
		return;
	}
	len = tell_cpu(f, f->cpu.broker_ns, text, cap);
	if (f->cpu.broker)
		snprintf(text + len, cap - len, " (%s)", f->cpu.broker);
}

static void tell_calibration(const struct figures *f, char *text, size_t cap)
{
	if (f->calibration.known)
		snprintf(text, cap, "%s messages a second, %s each", say_rate(f->calibration.rate), say_ns(f->calibration.cost_ns > 0 ? (uint64_t)f->calibration.cost_ns : 0));
}

static void tell_drops(const struct figures *f, char *text, size_t cap)
{
	if (f->drops.known)
		snprintf(text, cap, "%s (%s)", say_count(f->drops.n), f->drops.topic ? f->drops.topic : "");
}

static void tell_untracked(const struct figures *f, char *text, size_t cap)
{
	if (f->untracked)
		snprintf(text, cap, "%s", say_count(f->untracked));
}

static void tell_judged(const struct figures *f, char *text, size_t cap)
{
	snprintf(text, cap, "%s", say_count(f->judged_packets));
}

static void tell_connects(const struct figures *f, char *text, size_t cap)
{
	if (f->target_connects_per_s)
		snprintf(text, cap, "%s", say_count(f->target_connects_per_s));
}

static void tell_shards(const struct figures *f, char *text, size_t cap)
{
	if (f->n_merged > 1)
		snprintf(text, cap, "%u merged", f->n_merged);
	else if (f->n_shards > 1)
		snprintf(text, cap, "%u of %u", f->shard, f->n_shards);
}

static void tell_version(const struct figures *f, char *text, size_t cap)
{
	snprintf(text, cap, "%s", f->version ? f->version : "");
}

static const struct {
	const char *name;
	void (*tell)(const struct figures *f, char *text, size_t cap);
} summary[] = {
	{ "Played against", tell_target },
	{ "MQTT", tell_mqtt },
	{ "Began", tell_began },
	{ "Took", tell_duration },
	{ "Seed", tell_seed },
	{ "Shard", tell_shards },
	{ "CPU of this tool", tell_tool },
	{ "CPU of the broker", tell_broker },
	{ "This tool against the null sink", tell_calibration },
	{ "Dropped by the broker, as it says", tell_drops },
	{ "Messages without account", tell_untracked },
	{ "Packets judged by the monitor", tell_judged },
	{ "Most connects in a second", tell_connects },
	{ "Version of mqassay", tell_version },
};

static void put_outcomes(struct html_page *p)
{
	html_row(p, "Outcome");
	for (size_t i = 0; i < p->n; i++) {
		const struct figures *f = p->runs[i];
		const char *class, *outcome = verdict(f, &class);

		fprintf(p->out, "<td class=\"w\"><span class=\"%s\">%s</span>", class, outcome);
		if (f->unable || f->why)
			fputs(": ", p->out);
		html_text(p, f->unable ? f->unable : f->why);
		fputs("</td>", p->out);
	}
	html_row_ends(p);
}

static void put_limits(struct html_page *p)
{
	html_row(p, "Limited by");
	for (size_t i = 0; i < p->n; i++) {
		const struct figures *f = p->runs[i];
		bool more = f->limit && *f->limit;

		fputs("<td class=\"w\">", p->out);
		html_text(p, limit_words(f->limited_by));
		fputs(more ? "<br/><span class=\"soft\">" : "", p->out);
		html_text(p, f->limit);
		fputs(more ? "</span></td>" : "</td>", p->out);
	}
	html_row_ends(p);
}

static void put_summary(struct html_page *p)
{
	html_table(p, "What was played, and what came of it");
	html_head(p, "", true);
	html_run_heads(p, true);
	html_body(p);
	put_outcomes(p);
	put_limits(p);
	for (size_t r = 0; r < sizeof(summary) / sizeof(*summary); r++) {
		char text[400];
		bool any = false;

		for (size_t i = 0; i < p->n; i++) {
			*text = 0;
			summary[r].tell(p->runs[i], text, sizeof(text));
			any |= *text != 0;
		}
		if (!any)
			continue;
		html_row(p, summary[r].name);
		for (size_t i = 0; i < p->n; i++) {
			*text = 0;
			summary[r].tell(p->runs[i], text, sizeof(text));
			html_words(p, text);
		}
		html_row_ends(p);
	}
	html_table_ends(p);
}

static void put_notes(struct html_page *p)
{
	bool any = false;

	for (size_t i = 0; i < p->n; i++)
		for (uint32_t k = 0; k < p->runs[i]->n_notes; k++) {
			fputs(any ? "<li>" : "<ul>\n<li>", p->out);
			any = true;
			if (p->n > 1) {
				html_run(p, i);
				fputs(": ", p->out);
			}
			html_text(p, p->runs[i]->notes[k]);
			fputs("</li>\n", p->out);
		}
	fputs(any ? "</ul>\n" : "", p->out);
}

static void put_expectations(struct html_page *p)
{
	uint32_t n = 0;
	char text[40];

	for (size_t i = 0; i < p->n; i++)
		n += p->runs[i]->n_expectations;
	if (!n)
		return;
	fputs("<h2>Expectations</h2>\n", p->out);
	html_table(p, "What was expected with --expect; durations in ms");
	html_run_head(p);
	html_head(p, "Expected", true);
	html_head(p, "Was", false);
	html_head(p, "", true);
	html_body(p);
	for (size_t i = 0; i < p->n; i++)
		for (uint32_t k = 0; k < p->runs[i]->n_expectations; k++) {
			const struct figures_expectation *e = &p->runs[i]->expectations[k];

			html_row(p, NULL);
			html_run_cell(p, i);
			html_words(p, e->text);
			snprintf(text, sizeof(text), "%.6g", e->value);
			html_cell(p, e->known ? text : "");
			fprintf(p->out, "<td class=\"w %s\">%s</td>", e->met ? "good" : "bad", e->met ? "met" : e->known ? "missed" : "missed: there is no such figure in this run");
			html_row_ends(p);
		}
	html_table_ends(p);
}

/* ---- roles ---- */

/* Each that any run has, once, in the order of the first that has it. */
static void put_roles(struct html_page *p)
{
	for (size_t i = 0; i < p->n; i++)
		for (uint32_t r = 0; r < p->runs[i]->n_roles; r++) {
			const char *name = p->runs[i]->roles[r].name;
			bool known = false;

			for (size_t k = 0; k < i; k++)
				known |= html_role_in(p->runs[k], name) != NULL;
			if (!known && html_role_in(p->runs[i], name) == &p->runs[i]->roles[r])
				html_role(p, name);
		}
}

/* ---- what went wrong ---- */

static void put_losses(struct html_page *p)
{
	uint32_t n = 0;

	for (size_t i = 0; i < p->n; i++)
		n += p->runs[i]->n_losses;
	if (!n)
		return;
	fputs("<h2>Losses by cause</h2>\n", p->out);
	html_table(p, "Owed, and not delivered when the drain was over");
	html_run_head(p);
	html_head(p, "Lost", false);
	html_head(p, "Subscriber", true);
	html_head(p, "Publisher", true);
	html_head(p, "Cause", true);
	html_head(p, "Evidence", true);
	html_body(p);
	for (size_t i = 0; i < p->n; i++)
		for (uint32_t k = 0; k < p->runs[i]->n_losses; k++) {
			const struct figures_loss *loss = &p->runs[i]->losses[k];

			html_row(p, NULL);
			html_run_cell(p, i);
			html_cell(p, say_count(loss->n));
			html_words(p, loss->subscriber);
			html_words(p, loss->publisher);
			html_words(p, loss->cause < N_LOSS_CAUSES ? cause_words[loss->cause] : "unknown");
			html_words(p, loss->evidence);
			html_row_ends(p);
		}
	html_table_ends(p);
}

static void put_publishers(struct html_page *p)
{
	uint32_t n = 0;

	for (size_t i = 0; i < p->n; i++)
		n += p->runs[i]->n_publishers;
	if (!n)
		return;
	fputs("<h2>Publishers that something happened to</h2>\n", p->out);
	html_table(p, "Those whose messages were lost, duplicated or reordered, the most lost first");
	html_run_head(p);
	html_head(p, "Publisher", true);
	html_head(p, "$n", false);
	html_head(p, "sent", false);
	html_head(p, "owed", false);
	html_head(p, "delivered", false);
	html_head(p, "lost", false);
	html_head(p, "duplicated", false);
	html_head(p, "reordered", false);
	html_body(p);
	for (size_t i = 0; i < p->n; i++) {
		const struct figures *f = p->runs[i];
		uint32_t shown = f->n_publishers < MOST_PUBLISHERS ? f->n_publishers : MOST_PUBLISHERS;

		for (uint32_t k = 0; k < shown; k++) {
			const struct publisher_account *a = &f->publishers[k];
			const uint64_t values[] = { a->client, a->sent, a->owed, a->delivered, a->lost, a->duplicated, a->reordered };

			html_row(p, NULL);
			html_run_cell(p, i);
			html_words(p, a->role < f->n_roles ? f->roles[a->role].name : "");
			for (size_t v = 0; v < sizeof(values) / sizeof(*values); v++)
				html_cell(p, say_count(values[v]));
			html_row_ends(p);
		}
		if (f->n_publishers_afflicted > shown)
			fprintf(p->out, "<tr><td class=\"w soft\" colspan=\"%d\">and %s more</td></tr>\n", 8 + (p->n > 1), say_count(f->n_publishers_afflicted - shown));
	}
	html_table_ends(p);
}

static void put_reasons(struct html_page *p)
{
	uint32_t n = 0;

	for (size_t i = 0; i < p->n; i++)
		n += p->runs[i]->n_reasons;
	if (!n)
		return;
	fputs("<h2>Refusals, failures and broken rules</h2>\n", p->out);
	html_table(p, "How often, and in which words");
	html_run_head(p);
	html_head(p, "Times", false);
	html_head(p, "Role", true);
	html_head(p, "Counted as", true);
	html_head(p, "Reason", true);
	html_body(p);
	for (size_t i = 0; i < p->n; i++) {
		const struct figures *f = p->runs[i];

		for (uint32_t k = 0; k < f->n_reasons && k < MOST_REASONS; k++) {
			const struct figures_reason *reason = &f->reasons[k];

			html_row(p, NULL);
			html_run_cell(p, i);
			html_cell(p, say_count(reason->n));
			html_words(p, reason->role);
			html_words(p, reason->counter < N_COUNTERS ? counter_rows[reason->counter].name : "");
			fprintf(p->out, "<td class=\"w%s\">", reason->judged ? " bad" : "");
			html_text(p, reason->text);
			fputs("</td>", p->out);
			html_row_ends(p);
		}
		if (f->n_reasons > MOST_REASONS)
			fprintf(p->out, "<tr><td class=\"w soft\" colspan=\"%d\">and %s more</td></tr>\n", 4 + (p->n > 1), say_count(f->n_reasons - MOST_REASONS));
	}
	html_table_ends(p);
}

static void put_meetings(struct html_page *p)
{
	uint32_t n = 0;

	for (size_t i = 0; i < p->n; i++)
		n += p->runs[i]->n_meetings;
	if (!n)
		return;
	fputs("<h2>Meetings</h2>\n", p->out);
	html_table(p, "Where clients waited for each other");
	html_run_head(p);
	html_head(p, "Meeting", true);
	html_head(p, "expected", false);
	html_head(p, "came", false);
	html_head(p, "gone before", false);
	html_head(p, "", true);
	html_body(p);
	for (size_t i = 0; i < p->n; i++)
		for (uint32_t k = 0; k < p->runs[i]->n_meetings; k++) {
			const struct figures_meeting *m = &p->runs[i]->meetings[k];

			html_row(p, NULL);
			html_run_cell(p, i);
			html_words(p, m->name);
			html_cell(p, say_count(m->expected));
			html_cell(p, say_count(m->arrived));
			html_cell(p, say_count(m->gone));
			fprintf(p->out, "<td class=\"w %s\">%s</td>", m->held ? "good" : "bad", m->held ? "held" : "not held");
			html_row_ends(p);
		}
	html_table_ends(p);
}

/* ---- the page ---- */

static void put_commands(struct html_page *p)
{
	fputs("<h2>How to repeat it</h2>\n", p->out);
	for (size_t i = 0; i < p->n; i++)
		if (p->runs[i]->command) {
			fputs("<p><code>", p->out);
			html_text(p, p->runs[i]->command);
			fputs("</code></p>\n", p->out);
		}
}

void figures_html(FILE *out, const struct figures *const *results, size_t n)
{
	struct html_page p = { .out = out, .runs = results, .n = n };
	const char *title = n && results[0]->title && *results[0]->title ? results[0]->title : n ? results[0]->workload : NULL;

	fputs("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n"
	      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\"/>\n"
	      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n<title>", out);
	html_text(&p, title);
	fprintf(out, " - mqassay load</title>\n<style>\n%s%s</style>\n</head>\n<body>\n<header>\n<h1>", style, html_chart_style);
	html_text(&p, title);
	fputs("</h1>\n<p class=\"soft\">", out);
	html_text(&p, n ? results[0]->workload : NULL);
	if (n > 1)
		fprintf(out, ", %zu runs side by side", n);
	fputs("</p>\n</header>\n<main>\n", out);
	put_summary(&p);
	put_notes(&p);
	put_expectations(&p);
	put_roles(&p);
	put_losses(&p);
	put_publishers(&p);
	put_reasons(&p);
	put_meetings(&p);
	put_commands(&p);
	fputs("</main>\n</body>\n</html>\n", out);
}

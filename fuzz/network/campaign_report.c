#include <stdio.h>
#include <string.h>

#include "fuzz/network/campaign_internal.h"
#include "harness/console.h"
#include "harness/report.h"

/* What a campaign says: how the target is before it, how it goes, what it found. */

enum { SEEN = 200 };

/* "1:02:03" */
static const char *clock_text(uint64_t ns, char *buf, size_t cap)
{
	unsigned long long s = ns / 1000000000u;

	if (s >= 3600)
		snprintf(buf, cap, "%llu:%02llu:%02llu", s / 3600, s / 60 % 60, s % 60);
	else
		snprintf(buf, cap, "%llu:%02llu", s / 60, s % 60);
	return buf;
}

/* "1 finding", "2 findings": in turn one of few rooms. */
static const char *count(uint64_t n, const char *of)
{
	static char rooms[8][48];
	static unsigned next;
	char *room = rooms[next++ % 8];

	snprintf(room, sizeof(rooms[0]), "%llu %s%s", (unsigned long long)n, of, n == 1 ? "" : "s");
	return room;
}

static const char *size(uint64_t bytes, char *buf, size_t cap)
{
	if (bytes >= 10 << 20)
		snprintf(buf, cap, "%.0f MB", (double)bytes / (1 << 20));
	else
		snprintf(buf, cap, "%.1f MB", (double)bytes / (1 << 20));
	return buf;
}

void campaign_began(const struct campaign *c)
{
	const struct warden_baseline *b = warden_baseline(c->warden);
	char rss[32], versions[32] = "";

	if (c->o->quiet)
		return;
	for (unsigned v = MQTT_3_1; v <= MQTT_5; v++)
		if (b->versions & 1u << v)
			snprintf(versions + strlen(versions), sizeof(versions) - strlen(versions), "%s%s", versions[0] ? " " : "", version_text(v));
	fprintf(stderr, "%s: serves %s; a whole exchange takes %.2f ms, 99 of 100 at most %.2f ms", console_safe(c->o->label), versions, (double)b->p50_ns / 1e6,
	        (double)b->p99_ns / 1e6);
	if (b->rss)
		fprintf(stderr, "; %s resident", size(b->rss, rss, sizeof(rss)));
	if (b->n_leaks)
		fprintf(stderr, "; %s without our doing, passed over", count(b->n_leaks, "leak"));
	fprintf(stderr, "\n%zu conversations to begin with; seed %llu\n", c->seeds.n, (unsigned long long)c->o->seed);
	if (!b->rss)
		fprintf(stderr, "its process is not known: memory, CPU and the way it dies are not looked at (--exec CMD or --pid N)\n");
}

void campaign_progress(struct campaign *c)
{
	uint64_t now = campaign_now(c);
	char time[32];

	if (now > c->shown_ns + 900000000u) {
		c->per_s = (double)(c->result->cases - c->shown_cases) * 1e9 / (double)(now - c->shown_ns);
		c->shown_cases = c->result->cases;
		c->shown_ns = now;
	}
	if (c->o->quiet || !console_has_progress())
		return;
	console_progress("%s  %s, %.0f a second  %s  %u kept  %s  %s", clock_text(now, time, sizeof(time)), count(c->result->cases, "case"), c->per_s,
	                 count(c->result->states, "answer"), c->result->kept, count(warden_restarts(c->warden), "restart"), count(c->result->n_buckets, "finding"));
}

static FILE *out_of(const struct campaign *c)
{
	return c->o->tells_to ? c->o->tells_to : stdout;
}

void campaign_found(const struct campaign *c, const struct bucket_count *b, const char *title)
{
	FILE *out = out_of(c);
	char time[32];

	console_print(out, "%s%s%s  %s\n", console_style(out, STYLE_RED), oracle_names[b->symptom.oracle], console_style(out, STYLE_PLAIN), title);
	console_print(out, "  bucket   %s\n", b->symptom.bucket);
	console_print(out, "  seen     %.*s%s\n", SEEN, b->symptom.text, strlen(b->symptom.text) > SEEN ? "..." : "");	/* report.txt has all of it */
	console_print(out, "  case     %llu, after %s; %s on %s; ", (unsigned long long)b->first_case, clock_text(b->first_ns, time, sizeof(time)),
	              count(b->n_packets, "packet"), count(b->n_clients, "connection"));
	if (b->of)
		fprintf(out, "shows %u of %u\n", b->shows, b->of);
	else
		fputs("a guess: the target was gone before it could be tried\n", out);
	if (b->path[0])
		console_print(out, "  again    mqassay replay %s %s\n", console_safe(b->path), c->o->reach);
	fflush(out);
}

void campaign_unconfirmed(const struct campaign *c, const struct symptom *symptom)
{
	console_progress("%s", "");
	if (!c->o->quiet)
		fprintf(stderr, "passed over, it did not show again: %s\n", symptom->text);
}

void campaign_ended(const struct campaign *c)
{
	const struct campaign_result *r = c->result;
	double s = (double)r->for_ns / 1e9;
	FILE *out = out_of(c);
	uint64_t hits = 0;
	char time[32], rest[32];

	console_progress("%s", "");
	for (size_t i = 0; i < r->n_buckets; i++) {
		hits += r->buckets[i].hits;
		console_print(out, "%8llu %s  %s\n", (unsigned long long)r->buckets[i].hits, r->buckets[i].hits == 1 ? "hit " : "hits", r->buckets[i].symptom.bucket);
	}
	if (r->ended[0])
		console_print(out, "ended early: %s\n", r->ended);
	console_print(out, "%s, %s in %s: %.0f cases a second; %s seen, %s kept; %s of triage, %s\n", count(r->cases, "case"), count(r->packets, "packet"),
	              clock_text(r->for_ns, time, sizeof(time)), s > 0 ? (double)r->cases / s : 0, count(r->states, "answer"), count(r->kept, "case"),
	              clock_text(r->triage_ns, rest, sizeof(rest)), count(r->restarts, "restart"));
	console_print(out, "%s, %s", count(r->n_buckets, "finding"), count(hits, "hit"));
	console_print(out, r->n_buckets ? "; see %s\n" : "\n", console_safe(c->o->folder));
}

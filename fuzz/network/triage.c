#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fuzz/network/campaign_internal.h"
#include "fuzz/network/finding.h"
#include "fuzz/network/janitor.h"
#include "harness/console.h"
#include "harness/dues.h"
#include "harness/pcap_writer.h"
#include "harness/report.h"

/* From a symptom and its suspects to a finding: the least that shows it, how often, and the files that tell it. */

enum { AT_HAND = 320 };			/* suspects that are held as moves at once */
enum { LINGERS = 4 };			/* half seconds: timers of the protocol count seconds */
#define SECOND UINT64_C(1000000000)

struct inquiry {
	struct campaign *c;
	const struct suspicion *suspicion;
	const struct case_id *ids;
	size_t n;
	struct moves *least, *did;
	struct minimised minimised;
	bool shown;
	struct symptom told;
	bool lets_go;			/* nobody is served for a while, but not for as long as a campaign waits */
	bool lingers;			/* the cases leave what they leave, and wait for what comes of it */
};

/*
 * With what cleared up behind it: that may be what brought it out. A rule is broken before; and where memory is looked at, it is cleared up behind each case anyhow.
 */
static void make_case(struct inquiry *q, size_t i, struct moves *moves)
{
	enum oracle oracle = q->suspicion->symptom.oracle;

	cases_make(q->c->cases, q->ids[i], moves, NULL);
	if (q->lingers)
		janitor_leave(moves, LINGERS);
	else if (oracle != ORACLE_RULE && oracle != ORACLE_MEMORY && !q->suspicion->symptom.held)
		janitor_join(moves);
}

static void make(void *context, size_t i, struct moves *moves)
{
	make_case(context, i, moves);
}

static bool shows(struct inquiry *q, size_t from, size_t n)
{
	struct inquiry part = { .c = q->c, .suspicion = q->suspicion, .ids = q->ids + from, .n = n };
	struct symptom symptom;

	return range_try(&q->c->range, &(struct source){ make, &part, n }, &symptom) && symptom.oracle != ORACLE_NONE;
}

/* The later half, or the earlier, where it shows by itself. False: neither does. */
static bool halve(struct inquiry *q)
{
	size_t half = q->n / 2;

	if (shows(q, q->n - half, half)) {
		q->ids += q->n - half;
		q->n = half;
		return true;
	}
	if (!shows(q, 0, q->n - half))
		return false;
	q->n -= half;
	return true;
}

/* As many as can be held at once, the latest that do. */
static bool choose_held(struct inquiry *q)
{
	size_t n;

	if (q->n <= RANGE_HELD)
		return true;
	for (size_t end = q->n; end && !campaign_interrupted(); end -= n) {
		n = end < RANGE_HELD ? end : RANGE_HELD;
		if (shows(q, end - n, n)) {
			q->ids += end - n;
			q->n = n;
			return true;
		}
	}
	return false;
}

/* Of those that were connected when it showed it has to be one: what many take together each may take by right. */
static bool narrow_held(struct inquiry *q)
{
	bool found = choose_held(q);

	while (found && q->n > 1 && !campaign_interrupted())
		found = halve(q);
	q->minimised.of = !found;
	return found;
}

/* Of thousands, those that suffice: a few of the last, where those do; else halves, as long as one does. */
static void narrow(struct inquiry *q)
{
	for (size_t few = AT_HAND / 8; few < q->n && !campaign_interrupted(); few *= 4)
		if (shows(q, q->n - few, few)) {
			q->ids += q->n - few;
			q->n = few;
		}
	while (q->n > AT_HAND / 8 && !campaign_interrupted() && halve(q))
		;
	if (q->n > AT_HAND) {
		q->ids += q->n - AT_HAND;
		q->n = AT_HAND;
	}
}

static void find_least(struct inquiry *q)
{
	const struct moves *cases[AT_HAND];
	struct moves *made = malloc(q->n * sizeof(*made));

	if (!made)
		abort();
	for (size_t i = 0; i < q->n; i++) {
		make_case(q, i, &made[i]);
		cases[i] = &made[i];
	}
	q->shown = minimise(&q->c->range.trial, cases, q->n, &q->suspicion->symptom, q->least, &q->minimised);
	free(made);
}

/* Once more, to be written down: what was really sent, byte for byte. */
static void record(struct inquiry *q, char *pcap, size_t cap)
{
	const struct moves *one[] = { q->least };
	struct pcap_file *file;
	struct pcap_writer *writer;
	struct symptom symptom;

	snprintf(pcap, cap, "%s/.wire.pcapng", q->c->o->folder);
	file = pcap_file_create(pcap);
	if (!file) {
		console_error("write %s: %s", console_safe(pcap), strerror(errno));
		pcap[0] = '\0';
	}
	writer = file ? pcap_writer_new(pcap_file_output(file)) : NULL;
	if (writer)
		pcap_writer_target(writer, q->c->o->label, pcap_epoch_ns(false));
	q->did->n = q->did->used = 0;
	q->c->range.trial.run(&q->c->range.trial, one, 1, writer ? pcap_writer_tap(writer) : NULL, q->did, &symptom);
	loop_settle(&q->c->loop);
	pcap_writer_free(writer);
	int error = file ? pcap_file_close(file) : 0;
	if (error)
		console_error("write %s: %s", console_safe(pcap), strerror(error));
}

static unsigned count_packets(const struct moves *moves, unsigned *n_clients)
{
	unsigned n = 0, clients = 0;

	for (uint32_t i = 0; i < moves->n; i++) {
		n += move_sends(&moves->at[i]) || moves->at[i].kind == MOVE_ANSWER;
		clients |= 1u << (moves->at[i].client & 7);
	}
	*n_clients = (unsigned)__builtin_popcount(clients);
	return n;
}

/* The command line that plays the case as it was before it was made smaller. Given. */
static char *command_of(const struct campaign *c, const char *lineage)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		abort();
	fprintf(out, "mqassay fuzz --seed %llu --case %s ", (unsigned long long)c->o->seed, lineage);
	if (c->o->versions)
		fprintf(out, "--mqtt %s ", version_text((unsigned)__builtin_ctz(c->o->versions)));
	if (c->o->valid_only)
		fputs("--valid ", out);
	fputs(c->o->reach, out);
	if (fclose(out))
		abort();
	return text;
}

/* Whether it does not serve anybody for as long as a campaign waits: trials in haste know that no better than of who lets others wait for half a second. */
static bool hangs_on(struct inquiry *q)
{
	const struct moves *one[] = { q->least };
	struct range *range = &q->c->range;
	struct symptom before = range->sought, symptom;

	range->sought = (struct symptom){ .oracle = ORACLE_LIVENESS, .bucket = "liveness" };
	warden_haste(range->warden, false);
	range->spoilt = true;
	bool shows = range->trial.run(&range->trial, one, 1, NULL, NULL, &symptom) && symptom.oracle == ORACLE_LIVENESS;
	warden_haste(range->warden, true);
	if (shows)
		q->told = symptom;
	else
		range->sought = before;
	return shows;
}

static void call_it(struct inquiry *q)
{
	const struct symptom *symptom = &q->suspicion->symptom;
	bool stalls = symptom->oracle == ORACLE_LATENCY && symptom->held;

	q->told = *symptom;
	if ((stalls || symptom->oracle == ORACLE_LIVENESS) && q->shown && !campaign_interrupted() && !hangs_on(q))
		q->told.held = q->lets_go = true;
}

static void write_down(struct inquiry *q, struct bucket_count *bucket, const char *pcap)
{
	struct campaign *c = q->c;
	const struct suspicion *s = q->suspicion;
	struct case_origin origin;
	static struct moves unused;
	char *command, title[240], name[MOVES_NAME_LEN + 1];
	const struct moves *moves = q->did->n ? q->did : q->least;
	bool memory = s->symptom.oracle == ORACLE_MEMORY && !s->symptom.held;

	cases_make(c->cases, q->ids[q->n - 1], &unused, &origin);
	moves_name(name, q->ids[q->n - 1].number);
	command = command_of(c, origin.lineage);
	struct finding_file finding = {
		.symptom = &q->told, .moves = moves, .lineage = origin.lineage, .seed = c->o->seed, .anomaly = &origin.anomaly, .seed_name = origin.seed_name,
		.minimised = q->minimised, .target = c->o->label, .command = command, .grows = s->symptom.held ? c->o->target.grows : c->range.grows, .repeats = memory ? c->range.repeats : 1,
		.within_ns = q->told.oracle == ORACLE_LATENCY ? 50 * warden_baseline(c->warden)->p99_ns : q->lets_go ? warden_hasty_ns(c->warden) : c->o->target.timeout_ns,
		.bystander_version = c->range.version,
	};
	memcpy(finding.name, name, sizeof(name));
	int error = finding_keep(c->o->folder, &finding, pcap[0] ? pcap : NULL, bucket->path, sizeof(bucket->path));
	if (error)
		console_error("write %s: %s", console_safe(bucket->path), strerror(-error));
	if (error)
		bucket->path[0] = '\0';
	finding_title(&finding, title, sizeof(title));
	bucket->shows = q->minimised.shows;
	bucket->of = q->minimised.of;
	bucket->n_packets = count_packets(moves, &bucket->n_clients);
	campaign_found(c, bucket, title);
	free(command);
}

static struct bucket_count *add_bucket(struct campaign *c, const struct suspicion *s)
{
	struct campaign_result *r = c->result;

	r->buckets = realloc(r->buckets, (r->n_buckets + 1) * sizeof(*r->buckets));
	if (!r->buckets)
		abort();
	r->buckets[r->n_buckets] = (struct bucket_count){ .symptom = s->symptom, .hits = 1, .first_case = s->ids[s->n - 1].number, .first_ns = s->at_ns };
	return &r->buckets[r->n_buckets++];
}

/* What shows in no trial may be some timer's doing, behind the end of all connections. */
static bool may_be_late(const struct inquiry *q)
{
	enum oracle oracle = q->suspicion->symptom.oracle;

	return !q->shown && q->minimised.of && !campaign_interrupted() && (oracle == ORACLE_DEATH || oracle == ORACLE_SANITIZER) &&
	       strncmp(q->suspicion->symptom.bucket, "sanitizer leak", 14);
}

static bool is_missing(const struct symptom *symptom)
{
	return symptom->oracle == ORACLE_RULE && dues_judges(symptom->version, symptom->clause);
}

/* Each trial waits for what does not come: as many of them take longer. */
static uint64_t time_for(const struct inquiry *q)
{
	return q->c->o->triage_s * SECOND * (is_missing(&q->suspicion->symptom) ? 5 : 3) / 3;
}

/*
 * A busy machine, or what clients may leave behind by right, looks like this once: what is told of time, of size, or of something that did not come, has to show in a trial. What was
 * seen to come needs none.
 */
static bool is_chance(const struct inquiry *q)
{
	const struct symptom *symptom = &q->suspicion->symptom;
	bool late = symptom->oracle == ORACLE_LATENCY || !strcmp(symptom->bucket, "bystander late");
	bool missing = is_missing(symptom);
	bool of_a_sort = late || missing || symptom->computes || symptom->oracle == ORACLE_MEMORY || symptom->oracle == ORACLE_CPU;

	if (!of_a_sort || !q->minimised.of || campaign_interrupted())
		return false;
	return !q->shown || (missing && !q->minimised.shows);
}

void triage(struct campaign *c, const struct suspicion *s)
{
	struct inquiry q = { .c = c, .suspicion = s, .ids = s->ids, .n = s->n, .least = malloc(sizeof(*q.least)), .did = malloc(sizeof(*q.did)) };
	struct bucket_count *bucket = add_bucket(c, s);
	uint64_t began_ns = clock_now(&c->loop.clock);
	char pcap[PATH_MAX] = "";

	if (!q.least || !q.did)
		abort();
	q.least->n = q.did->n = 0;
	if (console_has_progress())
		console_progress("%s: looking for the least that shows it", s->symptom.bucket);
	range_seek(&c->range, &s->symptom);
	bool one = !s->symptom.held || narrow_held(&q);
	if (!s->symptom.held && q.n > AT_HAND)
		narrow(&q);
	/* Which of thousands it is takes as long as it takes to play them: without that there is nothing to make smaller. */
	c->range.trial.give_up_ns = clock_now(&c->loop.clock) + time_for(&q);
	if (one)
		find_least(&q);
	if (may_be_late(&q)) {
		q.lingers = true;
		c->range.trial.give_up_ns = clock_now(&c->loop.clock) + time_for(&q);
		find_least(&q);
	}
	if (is_chance(&q)) {
		range_done(&c->range);
		c->result->n_buckets--;
		struct unconfirmed *u = campaign_unconfirmed_of(c, &s->symptom);

		if (u) {
			u->n++;
			u->took_ns += clock_now(&c->loop.clock) - began_ns;
		}
		campaign_unconfirmed(c, &s->symptom);
	} else {
		call_it(&q);
		bucket->symptom = q.told;
		record(&q, pcap, sizeof(pcap));
		range_done(&c->range);
		write_down(&q, bucket, pcap);
	}
	if (pcap[0])
		unlink(pcap);
	free(q.least);
	free(q.did);
}

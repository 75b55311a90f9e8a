#include "harness/load/figures.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "harness/escape.h"
#include "harness/load/wording.h"

static const char *copy(struct figures *to, const char *text)
{
	return text ? figures_say(to, "%s", text) : NULL;
}

static bool same_text(const char *a, const char *b)
{
	return a == b || (a && b && !strcmp(a, b));
}

/* ---- whether they go together ---- */

static unsigned n_merged(const struct figures *figures)
{
	return figures->n_merged > 1 ? figures->n_merged : 1;
}

static unsigned shard_of(const struct figures *figures, unsigned i)
{
	return figures->shards ? figures->shards[i] : figures->shard;
}

static bool refuse(struct fault *fault, const char *format, ...) __attribute__((format(printf, 2, 3)));
static bool refuse(struct fault *fault, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(fault->text, sizeof(fault->text), format, args);
	va_end(args);
	return false;
}

/* "they are of different workloads: A and B"; what stands in a result may be anybody's. */
static bool differ(struct fault *fault, const char *what, const char *a, const char *b)
{
	char x[80] = "?", y[80] = "?";

	if (a)
		escape_bytes(a, strlen(a), x, sizeof(x));
	if (b)
		escape_bytes(b, strlen(b), y, sizeof(y));
	return refuse(fault, "%s: %s and %s", what, x, y);
}

static bool go_together(const struct figures *to, const struct figures *from, struct fault *fault)
{
	*fault = (struct fault){ 0 };
	if (!same_text(to->workload, from->workload))
		return differ(fault, "they are of different workloads", to->workload, from->workload);
	if (!same_text(to->title, from->title))
		return differ(fault, "the workload has changed between them", to->title, from->title);
	if (!same_text(to->mqtt, from->mqtt))
		return differ(fault, "they are of different versions of MQTT", to->mqtt, from->mqtt);
	if ((to->n_shards > 1 || from->n_shards > 1) && to->n_shards != from->n_shards)
		return refuse(fault, "one was played in %u shards, the other in %u", to->n_shards ? to->n_shards : 1, from->n_shards ? from->n_shards : 1);
	for (unsigned i = 0; to->n_shards > 1 && i < n_merged(to); i++)
		for (unsigned k = 0; k < n_merged(from); k++)
			if (shard_of(to, i) == shard_of(from, k))
				return refuse(fault, "shard %u of %u is in both", shard_of(to, i), to->n_shards);
	if (to->n_shards <= 1 && to->began_unix_ns == from->began_unix_ns && to->seed == from->seed && same_text(to->target, from->target))
		return refuse(fault, "both are the same run: same beginning, seed and target");
	return true;
}

/* ---- times ---- */

/*
 * The second of the day's clock that time 0 is nearest to: shards' seconds are laid over each other by it, in
 * whatever order they are joined.
 */
static uint64_t clock_second(const struct figures *figures)
{
	return (figures->began_unix_ns + 500000000) / 1000000000;
}

static void move_seconds(struct figures_role *role, uint64_t by_ns)
{
	struct figures_role moved = { .interval_ns = role->interval_ns };

	for (uint32_t i = 0; i < role->n_seconds; i++) {
		tally_add(figures_second(&moved, role->seconds[i].at + by_ns), &role->seconds[i].tally);
		tally_release(&role->seconds[i].tally);
	}
	free(role->seconds);
	role->seconds = moved.seconds;
	role->n_seconds = moved.n_seconds;
	role->interval_ns = moved.interval_ns;
}

/* Time 0 becomes the earlier of both. Returns by how much from's seconds are later than to's, once that is done. */
static uint64_t agree_on_time_0(struct figures *to, const struct figures *from)
{
	uint64_t ours = clock_second(to), theirs = clock_second(from), earlier = to->began_unix_ns > from->began_unix_ns ? to->began_unix_ns - from->began_unix_ns : 0;

	if (to->n_shards > 1 && (earlier > 1000000000 || from->began_unix_ns > to->began_unix_ns + 1000000000))
		figures_note(to, "the shards did not begin together (--start-at): what is said by the second is not one run's");
	if (!earlier)
		return (theirs > ours ? theirs - ours : 0) * 1000000000;
	if (ours > theirs)
		for (uint32_t i = 0; i < to->n_roles; i++)
			move_seconds(&to->roles[i], (ours - theirs) * 1000000000);
	to->steady_ns += to->steady_ns ? earlier : 0;
	to->drain_ns += to->drain_ns ? earlier : 0;
	to->duration_ns += earlier;
	to->began_unix_ns = from->began_unix_ns;
	to->began = copy(to, from->began);
	return 0;
}

/* Steady is when all are: from the last that became so to the first whose loops ended. */
static void join_times(struct figures *to, const struct figures *from)
{
	uint64_t late = from->began_unix_ns - to->began_unix_ns;
	uint64_t end = from->duration_ns + late, steady = from->steady_ns + late, drain = from->drain_ns + late;

	to->duration_ns = end > to->duration_ns ? end : to->duration_ns;
	to->steady_ns = !to->steady_ns || !from->steady_ns ? 0 : steady > to->steady_ns ? steady : to->steady_ns;
	to->drain_ns = !to->drain_ns || !from->drain_ns ? 0 : drain < to->drain_ns ? drain : to->drain_ns;
}

/* ---- roles ---- */

static struct figures_role *role_in(struct figures *to, const struct figures_role *like)
{
	for (uint32_t i = 0; i < to->n_roles; i++)
		if (!strcmp(to->roles[i].name, like->name))
			return &to->roles[i];
	struct figures_role *role = FIGURES_APPEND(to, roles);
	role->name = copy(to, like->name);
	return role;
}

/* Arrays that figures_append() did not make are copied before they grow. */
static void adopt_roles(struct figures *to)
{
	struct figures_role *old = to->roles;
	uint32_t n = to->n_roles;

	to->roles = NULL;
	to->n_roles = 0;
	for (uint32_t i = 0; i < n; i++)
		*FIGURES_APPEND(to, roles) = old[i];
}

static void join_roles(struct figures *to, const struct figures *from, uint64_t later_ns)
{
	adopt_roles(to);
	for (uint32_t i = 0; i < from->n_roles; i++) {
		const struct figures_role *theirs = &from->roles[i];
		struct figures_role *role = role_in(to, theirs);

		role->clients += theirs->clients;
		tally_add(&role->total, &theirs->total);
		for (uint32_t k = 0; k < theirs->n_seconds; k++)
			tally_add(figures_second(role, theirs->seconds[k].at + later_ns), &theirs->seconds[k].tally);
		role->lateness_share = role->total.counts[COUNT_sent] ? (double)role->total.counts[COUNT_late] / (double)role->total.counts[COUNT_sent] : 0;
	}
}

/* ---- lists: what is the same is added, else appended ---- */

static int most_reasons_first(const void *a, const void *b)
{
	const struct figures_reason *x = a, *y = b;

	return x->n != y->n ? (x->n < y->n) - (x->n > y->n) : strcmp(x->text, y->text) ? strcmp(x->text, y->text) : strcmp(x->role, y->role);
}

static void join_reasons(struct figures *to, const struct figures *from)
{
	struct figures_reason *old = to->reasons;
	uint32_t n = to->n_reasons;

	to->reasons = NULL;
	to->n_reasons = 0;
	for (uint32_t i = 0; i < n + from->n_reasons; i++) {
		const struct figures_reason *reason = i < n ? &old[i] : &from->reasons[i - n];
		uint32_t k = 0;

		while (k < to->n_reasons && !(to->reasons[k].counter == reason->counter && to->reasons[k].judged == reason->judged &&
		                              same_text(to->reasons[k].role, reason->role) && is_same_reason(reason->counter, to->reasons[k].text, reason->text)))
			k++;
		if (k < to->n_reasons)
			to->reasons[k].n += reason->n;
		else
			*FIGURES_APPEND(to, reasons) = (struct figures_reason){ copy(to, reason->role), copy(to, reason->text), reason->counter, reason->judged, reason->n };
	}
	if (to->n_reasons)
		qsort(to->reasons, to->n_reasons, sizeof(*to->reasons), most_reasons_first);
}

static int most_losses_first(const void *a, const void *b)
{
	const struct figures_loss *x = a, *y = b;

	return x->n != y->n ? (x->n < y->n) - (x->n > y->n) : (int)x->cause - (int)y->cause;
}

static void join_losses(struct figures *to, const struct figures *from)
{
	struct figures_loss *old = to->losses;
	uint32_t n = to->n_losses;

	to->losses = NULL;
	to->n_losses = 0;
	for (uint32_t i = 0; i < n + from->n_losses; i++) {
		const struct figures_loss *loss = i < n ? &old[i] : &from->losses[i - n];
		uint32_t k = 0;

		while (k < to->n_losses && !(to->losses[k].cause == loss->cause && same_text(to->losses[k].subscriber, loss->subscriber) &&
		                             same_text(to->losses[k].publisher, loss->publisher) && same_text(to->losses[k].evidence, loss->evidence)))
			k++;
		if (k < to->n_losses)
			to->losses[k].n += loss->n;
		else
			*FIGURES_APPEND(to, losses) = (struct figures_loss){ copy(to, loss->subscriber), copy(to, loss->publisher), loss->cause, copy(to, loss->evidence), loss->n };
	}
	if (to->n_losses)
		qsort(to->losses, to->n_losses, sizeof(*to->losses), most_losses_first);
}

static int most_lost_first(const void *a, const void *b)
{
	const struct publisher_account *x = a, *y = b;

	if (x->lost != y->lost)
		return (x->lost < y->lost) - (x->lost > y->lost);
	return x->role != y->role ? (int)x->role - (int)y->role : (x->client > y->client) - (x->client < y->client);
}

/* A client is in one shard only. Roles are joined before, so that theirs have a number here. */
static void join_publishers(struct figures *to, const struct figures *from)
{
	enum { MOST = 1000 };		/* as struct reckoning keeps */
	uint32_t n = to->n_publishers;
	struct publisher_account *all = region_alloc(&to->region, (n + (size_t)from->n_publishers) * sizeof(*all));

	if (n)
		memcpy(all, to->publishers, n * sizeof(*all));
	for (uint32_t i = 0; i < from->n_publishers; i++) {
		all[n] = from->publishers[i];
		all[n++].role = (uint16_t)(role_in(to, &from->roles[from->publishers[i].role]) - to->roles);
	}
	if (n)
		qsort(all, n, sizeof(*all), most_lost_first);
	to->publishers = all;
	to->n_publishers = n < MOST ? n : MOST;
	to->n_publishers_afflicted += from->n_publishers_afflicted;
}

static void join_meetings(struct figures *to, const struct figures *from)
{
	struct figures_meeting *old = to->meetings;
	uint32_t n = to->n_meetings;

	to->meetings = NULL;
	to->n_meetings = 0;
	for (uint32_t i = 0; i < n + from->n_meetings; i++) {
		const struct figures_meeting *meeting = i < n ? &old[i] : &from->meetings[i - n];
		uint32_t k = 0;

		while (k < to->n_meetings && strcmp(to->meetings[k].name, meeting->name))
			k++;
		if (k == to->n_meetings) {
			*FIGURES_APPEND(to, meetings) = *meeting;
			to->meetings[k].name = copy(to, meeting->name);
			continue;
		}
		to->meetings[k].expected += meeting->expected;
		to->meetings[k].arrived += meeting->arrived;
		to->meetings[k].gone += meeting->gone;
		to->meetings[k].held &= meeting->held;
	}
}

/* What was asked of any of them is asked of all of them together. */
static void judge_anew(struct figures *to, const struct figures *from)
{
	struct figures_expectation *old = to->expectations;
	uint32_t n = to->n_expectations;

	to->expectations = NULL;
	to->n_expectations = 0;
	for (uint32_t i = 0; i < n + from->n_expectations; i++) {
		const char *text = i < n ? old[i].text : from->expectations[i - n].text;
		struct expectation expectation;
		struct fault fault;
		uint32_t k = 0;

		while (k < to->n_expectations && strcmp(to->expectations[k].text, text))
			k++;
		if (k < to->n_expectations)
			continue;
		if (expectation_parse(text, &expectation, &fault))
			expectation_judge(&expectation, to);
		else
			*FIGURES_APPEND(to, expectations) = (struct figures_expectation){ .text = copy(to, text) };
	}
}

/* ---- the rest ---- */

static void join_cpu(struct figures *to, const struct figures *from)
{
	struct figures_cpu *ours = &to->cpu;
	const struct figures_cpu *theirs = &from->cpu;
	bool same = ours->broker_known && theirs->broker_known && same_text(ours->broker, theirs->broker) && same_text(to->target, from->target);

	ours->tool_ns += theirs->tool_ns;
	ours->threads += theirs->threads;
	ours->busiest = theirs->busiest > ours->busiest ? theirs->busiest : ours->busiest;
	if (same) {
		ours->broker_ns = theirs->broker_ns > ours->broker_ns ? theirs->broker_ns : ours->broker_ns;
	} else if (theirs->broker_known) {
		ours->broker = ours->broker_known ? figures_say(to, "%s, %s", ours->broker, theirs->broker) : copy(to, theirs->broker);
		ours->broker_ns += theirs->broker_ns;
		ours->broker_known = true;
	}
	if (from->calibration.known && (!to->calibration.known || from->calibration.rate < to->calibration.rate))
		to->calibration = from->calibration;
}

static void join_drops(struct figures *to, const struct figures *from)
{
	if (!from->drops.known)
		return;
	if (!to->drops.known)
		to->drops = (struct broker_drops){ true, from->drops.n, copy(to, from->drops.topic) };
	else if (!same_text(to->target, from->target))
		to->drops.n += from->drops.n;
	else if (from->drops.n > to->drops.n)
		to->drops.n = from->drops.n;
}

static const char *in_shard(struct figures *to, const struct figures *from, const char *text)
{
	return from->n_shards > 1 && n_merged(from) == 1 ? figures_say(to, "shard %u: %s", from->shard, text) : copy(to, text);
}

/* The tool's own limit spoils all, whoever else was at his. */
static unsigned weight(enum limited_by limit)
{
	static const unsigned weights[N_LIMITS] = {
		[LIMITED_BY_NOTHING] = 1, [LIMITED_UNKNOWN] = 2, [LIMITED_BY_SCRIPT] = 3, [LIMITED_BY_TARGET] = 4, [LIMITED_BY_MACHINE] = 5, [LIMITED_BY_TOOL] = 6,
	};

	return weights[limit];
}

static void join_words(struct figures *to, const struct figures *from)
{
	if (from->limited_by < N_LIMITS && weight(from->limited_by) > weight(to->limited_by)) {
		to->limited_by = from->limited_by;
		to->limit = from->limit && *from->limit ? in_shard(to, from, from->limit) : "";
	}
	if (to->why && n_merged(to) == 1)
		to->why = in_shard(to, to, to->why);
	if (to->unable && n_merged(to) == 1)
		to->unable = in_shard(to, to, to->unable);
	if (from->why && !to->why)
		to->why = in_shard(to, from, from->why);
	if (from->unable && !to->unable)
		to->unable = in_shard(to, from, from->unable);
	for (uint32_t i = 0; i < from->n_notes; i++)
		figures_note(to, from->notes[i]);
	if (!same_text(to->version, from->version))
		figures_note(to, "not all of them are of the same version of mqassay");
	if (to->target && from->target && !strstr(to->target, from->target))
		to->target = figures_say(to, "%s, %s", to->target, from->target);
}

static int by_number(const void *a, const void *b)
{
	unsigned x = *(const unsigned *)a, y = *(const unsigned *)b;

	return (x > y) - (x < y);
}

static void join_shards(struct figures *to, const struct figures *from)
{
	unsigned n = n_merged(to), m = n_merged(from);
	unsigned *shards = region_alloc(&to->region, (n + m) * sizeof(*shards));

	for (unsigned i = 0; i < n + m; i++)
		shards[i] = i < n ? shard_of(to, i) : shard_of(from, i - n);
	qsort(shards, n + m, sizeof(*shards), by_number);
	to->shards = shards;
	to->n_merged = n + m;
}

static int by_time(const void *a, const void *b)
{
	uint64_t x = ((const struct figures_second *)a)->at, y = ((const struct figures_second *)b)->at;

	return (x > y) - (x < y);
}

static uint64_t best_second(const struct figures *figures)
{
	uint64_t best = 0;

	for (uint32_t r = 0; r < figures->n_roles; r++)
		for (uint32_t i = 0; i < figures->roles[r].n_seconds; i++) {
			uint64_t n = 0;

			for (uint32_t k = 0; k < figures->n_roles; k++) {
				const struct figures_role *role = &figures->roles[k];
				const struct figures_second *second = !role->n_seconds ? NULL :
					bsearch(&figures->roles[r].seconds[i], role->seconds, role->n_seconds, sizeof(*second), by_time);

				n += second ? second->tally.counts[COUNT_connected] * 1000000000 / role->interval_ns : 0;
			}
			best = n > best ? n : best;
		}
	return best;
}

bool figures_merge(struct figures *to, const struct figures *from, struct fault *fault)
{
	if (!go_together(to, from, fault))
		return false;
	uint64_t later_ns = agree_on_time_0(to, from);
	join_times(to, from);
	join_roles(to, from, later_ns);
	join_reasons(to, from);
	join_losses(to, from);
	join_publishers(to, from);
	join_meetings(to, from);
	join_cpu(to, from);
	join_drops(to, from);
	to->untracked += from->untracked;
	to->judged_packets += from->judged_packets;
	join_words(to, from);
	join_shards(to, from);
	uint64_t best = best_second(to), most = to->target_connects_per_s > from->target_connects_per_s ? to->target_connects_per_s : from->target_connects_per_s;
	to->target_connects_per_s = best > most ? best : most;
	judge_anew(to, from);
	return true;
}

#include "harness/load/figures.h"

#include <inttypes.h>
#include <json-c/json.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>

#include "harness/load/hdr_log.h"

/*
 * A result that may be anybody's. It is read whole or not at all; members that are not known are passed over, so that a later version may
 * add some. The first thing that is wrong is said with its place in the document, "roles[2].counts.sent".
 */

#define MOST_COUNTED (1ull << 53)	/* sums of many of them are far from 2^64 */
#define LATEST_NS (1ull << 62)

enum { MAX_DEPTH = 12, MAX_SECONDS = 600, MAX_LISTED = 20000 };

struct reading {
	struct figures *figures;
	struct fault *fault;
	bool failed;			/* whatever is read from then on is nothing */
};

/* A value and where it stands: names what is wrong with it. */
struct place {
	const struct place *in;
	const char *name;		/* of a member; NULL: it is an element */
	size_t index;
	json_object *value;		/* NULL: not there, or null */
};

/* ---- what is wrong ---- */

static size_t put_path(const struct place *place, char *out, size_t cap)
{
	size_t len = place->in ? put_path(place->in, out, cap) : 0;
	int n = !place->in ? 0 :
		place->name ? snprintf(out + len, cap - len, "%s%s", len ? "." : "", place->name) : snprintf(out + len, cap - len, "[%zu]", place->index);

	len += (size_t)n;
	return len < cap ? len : cap - 1;
}

static void wrong(struct reading *r, const struct place *place, const char *format, ...) __attribute__((format(printf, 3, 4)));
static void wrong(struct reading *r, const struct place *place, const char *format, ...)
{
	va_list args;
	char path[100] = "";

	if (r->failed)
		return;
	r->failed = true;
	put_path(place, path, sizeof(path));
	int n = *path ? snprintf(r->fault->text, sizeof(r->fault->text), "%s: ", path) : 0;
	va_start(args, format);
	vsnprintf(r->fault->text + n, sizeof(r->fault->text) - (size_t)n, format, args);
	va_end(args);
}

/* ---- values ---- */

static struct place member(const struct place *in, const char *name)
{
	json_object *value = NULL;

	if (in->value && json_object_is_type(in->value, json_type_object))
		json_object_object_get_ex(in->value, name, &value);
	return (struct place){ .in = in, .name = name, .value = value };
}

static struct place element(const struct place *in, size_t i)
{
	return (struct place){ .in = in, .index = i, .value = json_object_array_get_idx(in->value, i) };
}

static bool is(struct reading *r, const struct place *place, enum json_type type, const char *expected)
{
	if (place->value && json_object_is_type(place->value, type))
		return true;
	wrong(r, place, "expected %s", expected);
	return false;
}

static size_t n_elements(struct reading *r, const struct place *place)
{
	return is(r, place, json_type_array, "a list") ? json_object_array_length(place->value) : 0;
}

static uint64_t read_whole(struct reading *r, const struct place *place, uint64_t most)
{
	if (!is(r, place, json_type_int, "a whole number"))
		return 0;
	uint64_t value = json_object_get_uint64(place->value);
	/* what is less than 0 or more than 64 bits comes back as the nearest that is not */
	if (json_object_get_int64(place->value) < 0 || value > most) {
		wrong(r, place, "expected a whole number from 0 to %" PRIu64, most);
		return 0;
	}
	return value;
}

static uint64_t whole(struct reading *r, const struct place *in, const char *name, uint64_t most)
{
	struct place place = member(in, name);

	return read_whole(r, &place, most);
}

static double real(struct reading *r, const struct place *in, const char *name)
{
	struct place place = member(in, name);

	if (!place.value)		/* null: it was no number */
		return 0;
	if (!json_object_is_type(place.value, json_type_double) && !json_object_is_type(place.value, json_type_int)) {
		wrong(r, &place, "expected a number");
		return 0;
	}
	double value = json_object_get_double(place.value);
	return isfinite(value) ? value : 0;
}

static bool flag(struct reading *r, const struct place *in, const char *name)
{
	struct place place = member(in, name);

	return is(r, &place, json_type_boolean, "true or false") && json_object_get_boolean(place.value);
}

/* NULL where it is null. */
static const char *maybe_text(struct reading *r, const struct place *in, const char *name)
{
	struct place place = member(in, name);

	if (!place.value || !is(r, &place, json_type_string, "a text"))
		return NULL;
	return region_string(&r->figures->region, span_of(json_object_get_string(place.value), (size_t)json_object_get_string_len(place.value)));
}

static const char *text(struct reading *r, const struct place *in, const char *name)
{
	struct place place = member(in, name);

	return is(r, &place, json_type_string, "a text") ? maybe_text(r, in, name) : "";
}

/* Which of the names it is; n: none of them. */
static unsigned one_of(struct reading *r, const struct place *place, const char *const *names)
{
	unsigned i = 0;

	if (!is(r, place, json_type_string, "a text"))
		return 0;
	while (names[i] && strcmp(names[i], json_object_get_string(place->value)))
		i++;
	if (names[i])
		return i;
	wrong(r, place, "expected one of those that this version knows");
	return 0;
}

/* ---- tallies ---- */

static unsigned counter_of(struct reading *r, const struct place *place, const char *name)
{
	for (unsigned i = 0; i < N_COUNTERS; i++)
		if (!strcmp(counter_rows[i].name, name))
			return i;
	wrong(r, place, "expected the name of a counter");
	return 0;
}

/* Counters that this version does not know are passed over. */
static void read_counts(struct reading *r, const struct place *in, uint64_t counts[N_COUNTERS])
{
	struct place place = member(in, "counts");

	if (!is(r, &place, json_type_object, "an object"))
		return;
	for (unsigned i = 0; i < N_COUNTERS && !r->failed; i++)
		if (json_object_object_get_ex(place.value, counter_rows[i].name, NULL))
			counts[i] = whole(r, &place, counter_rows[i].name, MOST_COUNTED);
}

/* What a payload does not hold stands beside it, and has to fit. */
static void read_histogram(struct reading *r, const struct place *place, struct hdr *h)
{
	struct place payload = member(place, "hdr");
	uint64_t count = whole(r, place, "count", MOST_COUNTED), over = whole(r, place, "over", MOST_COUNTED);
	uint64_t min = whole(r, place, "min_ns", UINT64_MAX), max = whole(r, place, "max_ns", UINT64_MAX);
	const char *why;

	if (r->failed || !is(r, &payload, json_type_string, "a text"))
		return;
	if (!hdr_add_payload(h, span_of(json_object_get_string(payload.value), (size_t)json_object_get_string_len(payload.value)), &why)) {
		wrong(r, &payload, "the histogram %s", why);
		return;
	}
	bool ends_fit = !h->count ? !min && !max :
		min <= max && hdr_bucket(min > HDR_HIGHEST ? HDR_HIGHEST : min) == hdr_bucket(h->min) &&
		hdr_bucket(max > HDR_HIGHEST ? HDR_HIGHEST : max) == hdr_bucket(h->max > HDR_HIGHEST ? HDR_HIGHEST : h->max);
	if (h->count != count || over > hdr_bucket_count(h, hdr_bucket(HDR_HIGHEST)) || !ends_fit) {
		wrong(r, place, "expected count, over, min_ns and max_ns to be those of its hdr");
		return;
	}
	h->over = over;
	h->min = min;
	h->max = max;
}

static void read_histograms(struct reading *r, const struct place *in, const char *name, struct hdr hdrs[N_TIMINGS])
{
	struct place place = member(in, name);

	if (!is(r, &place, json_type_object, "an object"))
		return;
	for (unsigned i = 0; i < N_TIMINGS && !r->failed; i++) {
		struct place one = member(&place, timing_names[i]);

		if (one.value && is(r, &one, json_type_object, "an object"))
			read_histogram(r, &one, &hdrs[i]);
	}
}

static void read_tally(struct reading *r, const struct place *in, struct tally *t)
{
	read_counts(r, in, t->counts);
	read_histograms(r, in, "timings", t->timings);
	read_histograms(r, in, "uncorrected", t->uncorrected);
}

/* ---- roles ---- */

static void read_seconds(struct reading *r, const struct place *in, struct figures_role *role)
{
	struct place seconds = member(in, "seconds"), interval = member(in, "interval_ns");
	size_t n = n_elements(r, &seconds);
	uint64_t least = 0;

	role->interval_ns = read_whole(r, &interval, LATEST_NS);
	if (n > MAX_SECONDS)
		wrong(r, &seconds, "expected at most %d", MAX_SECONDS);
	if (n && (!role->interval_ns || role->interval_ns % 1000000000 || (role->interval_ns / 1000000000 & (role->interval_ns / 1000000000 - 1))))
		wrong(r, &interval, "expected a second, or two, four, eight ... of them");
	for (size_t i = 0; i < n && !r->failed; i++) {
		struct place second = element(&seconds, i), at = member(&second, "at_ns");
		uint64_t at_ns = read_whole(r, &at, LATEST_NS);

		if (!r->failed && (at_ns < least || at_ns % role->interval_ns))
			wrong(r, &at, "expected a multiple of interval_ns, behind the one before");
		if (r->failed)
			return;
		least = at_ns + 1;
		read_tally(r, &second, figures_second(role, at_ns));
	}
}

static void read_role(struct reading *r, const struct place *at)
{
	struct figures *f = r->figures;
	const char *name = text(r, at, "name");

	if (!r->failed && figures_role(f, name))
		wrong(r, at, "this role stands there twice");
	struct figures_role *role = FIGURES_APPEND(f, roles);
	role->name = name;
	role->clients = whole(r, at, "clients", MOST_COUNTED);
	role->lateness_share = real(r, at, "lateness_share");
	read_tally(r, at, &role->total);
	if (!r->failed)
		read_seconds(r, at, role);
}

/* ---- lists ---- */

static void each(struct reading *r, const struct place *document, const char *name, void (*read)(struct reading *r, const struct place *at))
{
	struct place all = member(document, name);
	size_t n = n_elements(r, &all);

	if (n > MAX_LISTED)
		wrong(r, &all, "expected at most %d", MAX_LISTED);
	for (size_t i = 0; i < n && !r->failed; i++) {
		struct place at = element(&all, i);

		read(r, &at);
	}
}

static void read_reason(struct reading *r, const struct place *at)
{
	struct figures_reason *one = FIGURES_APPEND(r->figures, reasons);
	struct place counter = member(at, "counter");

	one->role = text(r, at, "role");
	one->text = text(r, at, "text");
	one->counter = counter_of(r, &counter, text(r, at, "counter"));
	one->judged = flag(r, at, "judged");
	one->n = whole(r, at, "n", MOST_COUNTED);
}

static void read_loss(struct reading *r, const struct place *at)
{
	struct figures_loss *one = FIGURES_APPEND(r->figures, losses);
	struct place cause = member(at, "cause");

	one->subscriber = text(r, at, "subscriber");
	one->publisher = text(r, at, "publisher");
	one->cause = one_of(r, &cause, loss_names);
	one->evidence = text(r, at, "evidence");
	one->n = whole(r, at, "n", MOST_COUNTED);
}

static void read_publisher(struct reading *r, const struct place *at)
{
	struct publisher_account *one = FIGURES_APPEND(r->figures, publishers);
	struct place name = member(at, "role");
	const struct figures_role *role = figures_role(r->figures, text(r, at, "role"));

	if (!role)
		wrong(r, &name, "expected one of the roles");
	one->role = role ? (uint16_t)(role - r->figures->roles) : 0;
	one->client = (uint32_t)whole(r, at, "client", UINT32_MAX);
	one->sent = whole(r, at, "sent", MOST_COUNTED);
	one->owed = whole(r, at, "owed", MOST_COUNTED);
	one->delivered = whole(r, at, "delivered", MOST_COUNTED);
	one->lost = whole(r, at, "lost", MOST_COUNTED);
	one->duplicated = whole(r, at, "duplicated", MOST_COUNTED);
	one->reordered = whole(r, at, "reordered", MOST_COUNTED);
}

static void read_meeting(struct reading *r, const struct place *at)
{
	struct figures_meeting *one = FIGURES_APPEND(r->figures, meetings);

	one->name = text(r, at, "name");
	one->expected = whole(r, at, "expected", MOST_COUNTED);
	one->arrived = whole(r, at, "arrived", MOST_COUNTED);
	one->gone = whole(r, at, "gone", MOST_COUNTED);
	one->held = flag(r, at, "held");
}

static void read_expectation(struct reading *r, const struct place *at)
{
	struct figures_expectation *one = FIGURES_APPEND(r->figures, expectations);

	one->text = text(r, at, "text");
	one->value = real(r, at, "value");
	one->known = flag(r, at, "known");
	one->met = flag(r, at, "met");
}

static void read_note(struct reading *r, const struct place *at)
{
	if (is(r, at, json_type_string, "a text"))
		figures_note(r->figures, json_object_get_string(at->value));
}

static void read_lists(struct reading *r, const struct place *document)
{
	each(r, document, "roles", read_role);
	each(r, document, "reasons", read_reason);
	each(r, document, "losses", read_loss);
	each(r, document, "publishers", read_publisher);
	each(r, document, "meetings", read_meeting);
	each(r, document, "expectations", read_expectation);
	each(r, document, "notes", read_note);
}

/* ---- the document ---- */

static void read_shards(struct reading *r, const struct place *document)
{
	struct place shards = member(document, "shards"), played = member(&shards, "played");
	size_t n = n_elements(r, &played);

	r->figures->n_shards = (unsigned)whole(r, &shards, "of", UINT16_MAX);
	if (n != whole(r, &shards, "merged", UINT16_MAX) || !n || !r->figures->n_shards)
		wrong(r, &shards, "expected as many played as merged, and one of one at least");
	if (r->failed)
		return;
	unsigned *list = region_alloc(&r->figures->region, n * sizeof(*list));
	for (size_t i = 0; i < n; i++) {
		struct place one = element(&played, i);

		list[i] = (unsigned)read_whole(r, &one, r->figures->n_shards - 1);
	}
	r->figures->shard = list[0];
	r->figures->shards = n > 1 ? list : NULL;
	r->figures->n_merged = (unsigned)n;
}

static void read_cost(struct reading *r, const struct place *document)
{
	struct figures *f = r->figures;
	struct place cpu = member(document, "cpu"), broker = member(&cpu, "broker");
	struct place calibration = member(document, "calibration"), drops = member(document, "broker_drops"), limit = member(document, "limited_by");

	f->cpu.tool_ns = whole(r, &cpu, "tool_ns", LATEST_NS);
	f->cpu.threads = (unsigned)whole(r, &cpu, "threads", UINT16_MAX);
	f->cpu.busiest = real(r, &cpu, "busiest");
	if ((f->cpu.broker_known = broker.value)) {
		f->cpu.broker = text(r, &broker, "name");
		f->cpu.broker_ns = whole(r, &broker, "ns", LATEST_NS);
	}
	if ((f->calibration.known = calibration.value)) {
		f->calibration.rate = real(r, &calibration, "rate");
		f->calibration.cost_ns = real(r, &calibration, "cost_ns");
	}
	if ((f->drops.known = drops.value)) {
		f->drops.n = whole(r, &drops, "n", MOST_COUNTED);
		f->drops.topic = text(r, &drops, "topic");
	}
	f->limited_by = one_of(r, &limit, limited_names);
	f->limit = text(r, document, "limit");
}

static void read_head(struct reading *r, const struct place *document)
{
	struct figures *f = r->figures;
	struct place tool = member(document, "tool"), workload = member(document, "workload");

	f->version = maybe_text(r, &tool, "version");
	f->command = maybe_text(r, document, "command");
	f->unable = maybe_text(r, document, "unable");
	f->why = maybe_text(r, document, "why");
	f->workload = maybe_text(r, &workload, "file");
	f->title = maybe_text(r, &workload, "title");
	f->mqtt = maybe_text(r, &workload, "mqtt");
	f->target = maybe_text(r, document, "target");
	f->began = maybe_text(r, document, "began");
	f->began_unix_ns = whole(r, document, "began_unix_ns", LATEST_NS);
	f->duration_ns = whole(r, document, "duration_ns", LATEST_NS);
	f->steady_ns = whole(r, document, "steady_ns", LATEST_NS);
	f->drain_ns = whole(r, document, "drain_ns", LATEST_NS);
	f->seed = whole(r, document, "seed", UINT64_MAX);
	f->judged_packets = whole(r, document, "judged_packets", MOST_COUNTED);
	f->untracked = whole(r, document, "untracked", MOST_COUNTED);
	f->n_publishers_afflicted = whole(r, document, "publishers_afflicted", MOST_COUNTED);
	f->target_connects_per_s = whole(r, document, "target_connects_per_s", MOST_COUNTED);
}

static void read_document(struct reading *r, const struct place *document)
{
	static void (*const parts[])(struct reading *r, const struct place *document) = {
		read_head, read_shards, read_cost, read_lists,
	};
	struct place schema = member(document, "schema");

	const char *name = text(r, &schema, "name");
	if (!r->failed && strcmp(name, "mqassay-load"))
		wrong(r, document, "this is no result of `mqassay load`");
	if (!r->failed && whole(r, &schema, "version", UINT16_MAX) != 1)
		wrong(r, document, "it is of another version than this program can read");
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]) && !r->failed; i++)
		parts[i](r, document);
}

static json_object *parse(struct span json, struct fault *fault)
{
	struct json_tokener *tokener = json_tokener_new_ex(MAX_DEPTH);

	if (!tokener)
		abort();
	json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
	json_object *document = json.len > INT32_MAX ? NULL : json_tokener_parse_ex(tokener, (const char *)json.at, (int)json.len);
	enum json_tokener_error error = json_tokener_get_error(tokener);
	size_t end = json_tokener_get_parse_end(tokener);
	json_tokener_free(tokener);
	if (document)
		return document;
	if (json.len > INT32_MAX) {
		snprintf(fault->text, sizeof(fault->text), "it is larger than 2 GB");
		return NULL;
	}
	*fault = (struct fault){ .line = 1, .column = 1 };
	for (size_t i = 0; i < end && i < json.len; i++) {
		fault->line += json.at[i] == '\n';
		fault->column = json.at[i] == '\n' ? 1 : fault->column + 1;
	}
	snprintf(fault->text, sizeof(fault->text), "expected JSON: %s", error == json_tokener_continue ? "it ends too early" :
	         error == json_tokener_success ? "this is null" : json_tokener_error_desc(error));
	return NULL;
}

struct figures *figures_read(struct span json, struct fault *fault)
{
	*fault = (struct fault){ 0 };
	json_object *document = parse(json, fault);
	if (!document)
		return NULL;

	struct reading r = { .figures = figures_new(), .fault = fault };
	struct place top = { .value = document };
	read_document(&r, &top);
	json_object_put(document);
	if (!r.failed)
		return r.figures;
	figures_free(r.figures);
	return NULL;
}

#include "fuzz/hostile_broker.h"
#include "fuzz/load_figures.h"
#include "harness/load/run_internal.h"

/*
 * The load engine against a broker that does what the input says, on simulated time. Whatever that is: the run comes to its end in its time, what is counted goes
 * together, each lost message has its cause, and the result can be written in every form and read again.
 *
 * The first byte is how it is played, the rest the broker's (hostile_broker.h).
 */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { HOW_WORKLOAD = 1, HOW_3_1_1 = 2, HOW_WHOLE = 4, HOW_THREADS = 8, HOW_SPLIT = 16, HOW_ONLOOKER = 32 };

#define MS UINT64_C(1000000)
#define RUN_TAG 0x6d71u
#define LONGEST_NS (600000 * MS)	/* of simulated time: onlookers wait, meetings are waited for */

static const char reporting[] =
	"workload \"reports, commands and answers\"\n"
	"mqtt %s\n"
	"role listener x 3 {\n"
	"	again after 100ms..400ms {\n"
	"		whenever listener receives topic~\"$(topic)/+/t\" { }\n"
	"		whenever listener receives topic=\"$(topic)/cmd/$(n)\" payload as $p { listener publishes topic=\"$(topic)/rsp/$(n)\" qos=1 payload=$p }\n"
	"		listener connects %s\n"
	"		listener subscribes (\"$(topic)/+/t\" qos=2, \"$(topic)/0/#\" qos=1, \"$(topic)/cmd/$(n)\" qos=1)\n"
	"		meet \"ready\"\n"
	"		every 600ms {\n"
	"			listener unsubscribes (\"$(topic)/0/#\")\n"
	"			listener subscribes (\"$(topic)/0/#\" qos=1)\n"
	"		}\n"
	"		listener disconnects\n"
	"	}\n"
	"}\n"
	"role reporter x 2 over 100ms {\n"
	"	reporter connects keep_alive=1\n"
	"	meet \"ready\"\n"
	"	every 100ms {\n"
	"		reporter publishes topic=\"$(topic)/$(n)/t\" qos=0 payload=stamp(32) in flight 2\n"
	"		reporter publishes topic=\"$(topic)/$(n)/t\" qos=1 payload=stamp(40) in flight 2\n"
	"		reporter publishes topic=\"$(topic)/$(n)/t\" qos=2 retain payload=stamp(16) in flight 3\n"
	"	}\n"
	"}\n"
	"role commander x 1 {\n"
	"	whenever commander receives topic~\"$(topic)/rsp/+\" { }\n"
	"	commander connects\n"
	"	commander subscribes (\"$(topic)/rsp/+\" qos=1)\n"
	"	meet \"ready\"\n"
	"	every 200ms { commander publishes topic=\"$(topic)/cmd/$(pick(listener))\" qos=1 payload=stamp(32) in flight 5 }\n"
	"}\n";

static const char coming_back[] =
	"workload \"shared work, sessions that are come back to\"\n"
	"mqtt %s\n"
	"role worker x 3 {\n"
	"	again after 50ms..100ms {\n"
	"		worker connects clean_start=0 %s\n"
	"		worker subscribes (\"$share/w/$(topic)/j/+\" qos=2)\n"
	"		meet \"ready\"\n"
	"		forever { worker receives topic~\"$(topic)/j/+\" within 500ms }\n"
	"	}\n"
	"}\n"
	"role producer x 2 {\n"
	"	again after 50ms..100ms {\n"
	"		producer connects clean_start=0 %s\n"
	"		meet \"ready\"\n"
	"		every 250ms {\n"
	"			repeat 3 { producer publishes topic=\"$(topic)/j/$(n)\" qos=2 payload=stamp(32) in flight 4 }\n"
	"			producer publishes topic=\"$(topic)/j/$(n)\" qos=1 payload=stamp(32)\n"
	"			producer publishes topic=\"$(topic)/j/$(n)\" payload=\"not ours\"\n"
	"		}\n"
	"		producer disconnects\n"
	"		producer <- closed\n"
	"	}\n"
	"}\n"
	"role guest x 1 {\n"
	"	repeat 8 {\n"
	"		guest connects\n"
	"		guest publishes topic=\"$(topic)/j/guest\" qos=2 payload=stamp(32)\n"
	"		guest disconnects\n"
	"	}\n"
	"}\n";

static const struct script *workload(unsigned which, bool is_5)
{
	static struct scenario *parsed[2][2];
	static struct diagnostics found;
	struct scenario **s = &parsed[which][is_5];
	char text[4096];

	if (!*s) {
		snprintf(text, sizeof(text), which ? coming_back : reporting, is_5 ? "5" : "3.1.1",
		         which ? is_5 ? "session_expiry_interval=100 receive_maximum=3" : "" :
		         is_5 ? "clean_start=0 session_expiry_interval=100 topic_alias_maximum=3 receive_maximum=4 keep_alive=2" : "clean_start=0",
		         is_5 ? "session_expiry_interval=100" : "");
		*s = scenario_parse("fuzz.scn", span_text(text), NULL, 0, &found);
		if (!*s)
			fprintf(stderr, "%u:%u: %s\n", found.list[0].at.line, found.list[0].at.column, found.list[0].text);
		MUST(*s);
	}
	return (*s)->scripts;
}

/* ---- what must go together ---- */

/* The figures do not show all of a reckoning. */
static void judge_reckoning(struct run *r)
{
	struct ledger *ledgers[2];
	struct tally tallies[MAX_ACTORS] = { 0 };
	const struct figures *f = r->figures;
	uint64_t owed = 0, lost = 0, delivered = 0, returned = 0;

	for (unsigned i = 0; i < r->n_workers; i++)
		ledgers[i] = engine_ledger(r->workers[i].engine);
	struct reckoning *reckoning = reckon(ledgers, r->n_workers, r->audience, &f->drops, tallies, f->n_roles);
	for (uint32_t i = 0; i < f->n_roles; i++) {
		owed += tallies[i].counts[COUNT_owed];
		lost += tallies[i].counts[COUNT_lost];
		delivered += f->roles[i].total.counts[COUNT_delivered];
		returned += f->roles[i].total.counts[COUNT_returned];
		MUST(tallies[i].counts[COUNT_lost] == f->roles[i].total.counts[COUNT_lost]);	/* reckoned twice, it is the same */
		tally_release(&tallies[i]);
	}
	owed += reckoning->unowed + reckoning->shared_excess;
	MUST(owed - lost >= delivered && owed - lost <= delivered + returned);	/* echoes are owed, and returned */
	reckoning_free(reckoning);
}

/* ---- playing ---- */

static struct timer longest;

static void on_longest(struct timer *timer, struct loop *loop)
{
	(void)timer, (void)loop;
	MUST(!"it came to an end");
}

static void on_idle(struct engine *engine, void *context)
{
	struct run *r = context;
	unsigned n = 0;

	for (unsigned i = 0; i < r->n_workers; i++) {
		if (r->workers[i].engine == engine)
			atomic_store(&r->workers[i].over, true);
		n += atomic_load(&r->workers[i].over);
	}
	if (n == r->n_workers)
		loop_stop(r->o->loop);
}

static void on_told(void *context)
{
	(void)context;
}

/* As run_load() does, but for its knocking, and so that more of it can be seen. */
static void play_engines(struct run *r, unsigned how)
{
	const struct run_options *o = r->o;

	r->start_ns = o->loop->now_ns;
	r->audience = audience_new(o->plan->n_roles);
	r->course = course_new(o->plan, r->start_ns, true);
	gather_roles(r);
	if (how & HOW_ONLOOKER)
		r->onlooker = onlooker_new(o->loop, o->address, o->plan->script->version, "onlooker", o->plan->user_name, o->plan->password, 1000 * MS, on_told, r);
	for (unsigned i = 0; i < r->n_workers; i++)
		r->workers[i].engine = engine_new(o->loop, &(struct engine_options){
			.plan = o->plan, .course = r->course, .audience = r->audience, .address = o->address, .thread = i, .n_threads = r->n_workers,
			.run = RUN_TAG, .max_pending = 3, .idle = on_idle, .context = r,
		});
	loop_run(o->loop);
	MUST(course_phase(r->course) == PHASE_OVER);
	r->figures->duration_ns = run_time(r);
	r->figures->steady_ns = course_steady_ns(r->course);
	r->figures->drain_ns = course_drain_ns(r->course);
	if (r->onlooker)
		onlooker_drops(r->onlooker, &r->figures->drops);
	gather_all(r);
	judge_limits(r);
	judge_reckoning(r);
	for (unsigned i = 0; i < r->n_workers; i++)
		engine_free(r->workers[i].engine);
	onlooker_free(r->onlooker);
	course_free(r->course);
	audience_free(r->audience);
}

static void play(const struct run_options *options, struct figures *f, unsigned how)
{
	struct worker workers[2] = { 0 };
	struct run r = { .o = options, .figures = f, .workers = workers, .n_workers = options->threads, .simulated = true, .over.fd = -1 };

	f->workload = "fuzz.scn";
	f->title = f->target = f->command = "";
	f->mqtt = "5";
	f->version = "0";
	f->began = "2026-11-21T18:33:57Z";
	if (how & HOW_WHOLE)
		run_load(options, f);
	else
		play_engines(&r, how);
}

/* One in sixteen, by nothing that a fuzzer could prefer. */
static bool is_chosen(const uint8_t *data, size_t size)
{
	uint32_t hash = 2166136261;

	for (size_t i = 0; i < size; i++)
		hash = (hash ^ data[i]) * 16777619;
	return !(hash >> 28);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct loop loop;
	struct fault fault;
	unsigned how = size ? data[0] : 0;
	struct plan plan = { .name = "f", .seed = 1, .n_shards = 1, .for_ns = 500 * MS, .drain_ns = 200 * MS, .timeout_ns = 400 * MS,
	                     .meet_patience_ns = 1500 * MS };
	struct address address = { .kind = ADDRESS_MEMORY, .service = &hostile.service };

	if (size > 4096)
		return 0;
	MUST(loop_init(&loop, true) == 0);
	hostile_start(&loop, (struct input){ data + (size > 0), data + size }, how & HOW_SPLIT ? 1 : 0);
	longest = (struct timer){ .fire = on_longest };
	loop_timer(&loop, &longest, loop.now_ns + LONGEST_NS);
	MUST(plan_make(&plan, workload(how & HOW_WORKLOAD, !(how & HOW_3_1_1)), NULL, &fault));
	struct figures *f = figures_new();
	play(&(struct run_options){ .loop = &loop, .plan = &plan, .address = &address, .threads = how & HOW_THREADS ? 2 : 1, .leave = true }, f, how);
	loop_timer_stop(&loop, &longest);
	hostile_stop();
	loop_settle(&loop);
	loop_release(&loop);
	judge_figures(f);
	if (is_chosen(data, size))		/* it costs more than all the rest */
		write_figures(f);
	figures_free(f);
	plan_release(&plan);
	return 0;
}

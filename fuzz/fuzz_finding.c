#include <stdlib.h>
#include <string.h>

#include "fuzz/must.h"
#include "fuzz/network/finding.h"
#include "harness/script.h"

/*
 * Three bytes, then moves in their binary form. Whatever they are, the finding that they make is a file that parses, without an error or a warning; and minimised under a predicate that is
 * as good as random they still show, and have not grown.
 */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { TEXT_ROOM = 1 << 20, LONGEST = 1 << 14 };

/* ---- as a file ---- */

static const struct {
	enum oracle oracle;
	const char *bucket, *text, *clause;
} symptoms[] = {
	{ ORACLE_DEATH, "death signal 11", "the process ended by signal 11", "" },
	{ ORACLE_SANITIZER, "sanitizer heap-buffer-overflow read_topic<loop", "heap-buffer-overflow\n\x1b[2J $(no) \"quoted\" \xff", "" },
	{ ORACLE_LIVENESS, "liveness", "", "" },
	{ ORACLE_LATENCY, "latency", "", "" },
	{ ORACLE_MEMORY, "memory", "", "" },
	{ ORACLE_CPU, "cpu", "", "" },
	{ ORACLE_RULE, "rule 5:MQTT-3.3.1-2 PUBLISH", "", "MQTT-3.3.1-2" },
	{ ORACLE_BYSTANDER, "bystander lost", "", "" },
};

static struct finding_file finding_of(const uint8_t *how, const struct moves *moves, struct symptom *symptom)
{
	static const struct anomaly anomaly = { "value past its range", "2 c1 PUBLISH.topic_alias" };
	size_t which = how[0] % (sizeof(symptoms) / sizeof(*symptoms));

	*symptom = (struct symptom){ .oracle = symptoms[which].oracle, .version = how[1] & 1 ? MQTT_5 : MQTT_3_1_1 };
	snprintf(symptom->bucket, sizeof(symptom->bucket), "%s", symptoms[which].bucket);
	snprintf(symptom->text, sizeof(symptom->text), "%s", symptoms[which].text);
	snprintf(symptom->clause, sizeof(symptom->clause), "%s", symptoms[which].clause);
	return (struct finding_file){
		.symptom = symptom, .moves = moves, .name = "fz000abc", .lineage = "1/2", .anomaly = &anomaly, .seed_name = "a seed", .target = "a target", .command = "--case 1/2",
		.minimised = { 10, 10, 100, how[1] & 2 }, .repeats = how[1] & 4 ? 100 : 1, .bystander_version = MQTT_3_1 + how[1] / 8 % 3,
	};
}

static void parses(struct span text)
{
	static struct diagnostics diagnostics;
	struct scenario *scenario;

	memset(&diagnostics, 0, sizeof(diagnostics));
	scenario = scenario_parse("finding.scn", text, NULL, 0, &diagnostics);
	for (uint32_t i = 0; i < diagnostics.n; i++)
		fprintf(stderr, "%u:%u: %s\n", diagnostics.list[i].at.line, diagnostics.list[i].at.column, diagnostics.list[i].text);
	if (diagnostics.n)
		fwrite(text.at, 1, text.len, stderr);
	MUST(scenario && !diagnostics.n);
	scenario_free(scenario);
}

static void write_down(const uint8_t *how, const struct moves *moves)
{
	static char room[TEXT_ROOM];
	struct symptom symptom;
	struct finding_file finding = finding_of(how, moves, &symptom);
	FILE *out = fmemopen(room, sizeof(room), "w");

	MUST(out);
	finding_write(out, &finding);
	fflush(out);
	long len = ftell(out);
	MUST(len > 0 && len < TEXT_ROOM);
	fclose(out);
	for (long i = 0; i < len; i++)
		MUST((uint8_t)room[i] >= ' ' ? room[i] != 0x7f : room[i] == '\n');
	parses(span_of(room, (size_t)len));
	out = fmemopen(room, sizeof(room), "w");
	MUST(out);
	finding_hex(out, &finding);
	fclose(out);
}

/* ---- made smaller ---- */

struct dice {
	struct trial trial;
	const struct moves *start;
	uint64_t seed;
};

static uint64_t hash_of(const struct moves *moves, uint64_t hash)
{
	for (uint32_t i = 0; i < moves->n; i++) {
		const struct move *m = &moves->at[i];

		hash = (hash ^ m->kind ^ (uint64_t)m->client << 8 ^ (uint64_t)m->value << 16 ^ (uint64_t)m->bytes.len << 24) * UINT64_C(0x9e3779b97f4a7c15);
		for (size_t k = 0; k < m->bytes.len; k++)
			hash = (hash ^ m->bytes.at[k]) * UINT64_C(0x100000001b3);
		hash ^= hash >> 29;
	}
	return hash;
}

/* Half of all cases show it, and that which it began with. */
static bool shows(const struct dice *dice, const struct moves *moves)
{
	return hash_of(moves, dice->seed) & 0x100 || hash_of(moves, 0) == hash_of(dice->start, 0);
}

static bool run(struct trial *trial, const struct moves *const *cases, size_t n, struct tap *tap, struct moves *did, struct symptom *symptom)
{
	struct dice *dice = (struct dice *)trial;

	(void)tap;
	trial->n_run++;
	*symptom = (struct symptom){ .oracle = shows(dice, cases[n - 1]) ? ORACLE_DEATH : ORACLE_NONE };
	if (did)
		moves_copy(did, cases[n - 1]);
	return true;
}

static uint64_t now_ns(struct trial *trial)
{
	return trial->n_run;
}

struct extent {
	unsigned n_packets, n_others, clients;
};

/* In packets: a write of several is as many, one that is cut is one more for each cut. */
static struct extent extent_of(const struct moves *moves)
{
	struct extent e = { 0 };

	for (uint32_t i = 0; i < moves->n; i++) {
		struct span left = moves->at[i].bytes;
		struct frame frame;
		struct finding finding;

		e.clients |= 1u << moves->at[i].client;
		if (!move_sends(&moves->at[i])) {
			e.n_others += moves->at[i].kind != MOVE_AWAIT;
			continue;
		}
		while (left.len && frame_next(left.at, left.len, &frame, &finding) == FRAME_OK) {
			left = span_of(left.at + frame.size, left.len - frame.size);
			e.n_packets++;
		}
		e.n_packets += left.len || !moves->at[i].bytes.len;
	}
	return e;
}

static void make_small(const uint8_t *how, const struct moves *moves)
{
	static struct moves least;
	const struct symptom death = { .oracle = ORACLE_DEATH };
	struct dice dice = { .trial = { .run = run, .give_up_ns = 400, .now_ns = now_ns }, .start = moves, .seed = how[2] };
	struct minimised result;
	struct extent before = extent_of(moves), after;

	MUST(minimise(&dice.trial, (const struct moves *[]){ moves }, 1, &death, &least, &result));
	after = extent_of(&least);
	MUST(result.n_trials == dice.trial.n_run && result.n_trials <= 440);
	MUST(result.shows && result.shows == result.of);
	MUST(shows(&dice, &least));
	MUST(after.n_packets <= before.n_packets && after.n_others <= before.n_others);
	MUST(__builtin_popcount(after.clients) <= __builtin_popcount(before.clients));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct moves moves;

	if (size < 3 || size > LONGEST)
		return 0;
	moves_read(&moves, span_of(data + 3, size - 3));
	write_down(data, &moves);
	if (moves.n)
		make_small(data, &moves);
	return 0;
}

#include "fuzz/network/finding.h"

#include <assert.h>
#include <stdlib.h>

#include "codec/text.h"
#include "fuzz/network/finding_internal.h"
#include "harness/dues.h"
#include "harness/escape.h"
#include "harness/offences.h"
#include "harness/script.h"
#include "harness/units.h"

/* ---- texts ---- */

const char *finding_line(const char *text, char *out, size_t cap)
{
	if (escape_needless(text) && strlen(text) < cap)
		return text;
	escape_bytes(text, strlen(text), out, cap);
	return out;
}

static void put_quoted(FILE *out, const char *text)
{
	char room[1024];
	struct writer w = writer_to(room, sizeof(room));

	text_print_string(span_text(text), &w);
	assert(wr_fits(&w));
	fwrite(room, 1, w.len, out);
}

static const char *version_text(unsigned version)
{
	return version == MQTT_3_1 ? "3.1" : version == MQTT_3_1_1 ? "3.1.1" : "5";
}

static const char *duration(uint64_t ns, char room[static 32])
{
	return units_print_duration(ns, room, 32);
}

/* ---- the header ---- */

static void put_origin(FILE *out, const struct finding_file *f)
{
	char room[1000], path[400];

	fprintf(out, "# %s\n", finding_line(f->symptom->text[0] ? f->symptom->text : f->symptom->bucket, room, sizeof(room)));
	if (f->seed_name || f->anomaly) {
		fputs("# made", out);
		if (f->seed_name)
			fprintf(out, " from %s", finding_line(f->seed_name, room, sizeof(room)));
		if (f->anomaly && f->anomaly->name[0])
			fprintf(out, " by: %s", finding_line(f->anomaly->name, room, sizeof(room)));
		if (f->anomaly && f->anomaly->path[0])
			fprintf(out, " (%s)", finding_line(f->anomaly->path, path, sizeof(path)));
		fputc('\n', out);
	}
	if (!f->minimised.of)
		fputs("# a guess: the last case before it was seen; the target was gone before that could be tried\n", out);
	else if (!f->minimised.complete)
		fputs("# not the least: the time for making it smaller was over first\n", out);
	fputs("# mqassay replay finding.scn TARGET\n", out);
	if (f->command && *f->command)
		fprintf(out, "# %s\n", finding_line(f->command, room, sizeof(room)));
	if (f->target && *f->target)
		fprintf(out, "# seen with %s\n", finding_line(f->target, room, sizeof(room)));
}

/* The clause stands in 3.1.1's table for 3.1 too, where it has no name of its own. */
static void put_watches(FILE *out, const struct symptom *symptom)
{
	const struct clause *clause = clause_find((enum version)symptom->version, span_text(symptom->clause));

	if (clause)
		fprintf(out, "watches %s %s\n", version_text(clause->version), clause->id);
	else
		fprintf(out, "note \"no table has the rule that was broken\"\n");
}

static bool has_bystander(const struct finding_file *f)
{
	return f->symptom->oracle == ORACLE_BYSTANDER || f->symptom->oracle == ORACLE_LATENCY;
}

static void put_header(FILE *out, const struct finding_file *f, const struct cast *cast)
{
	char title[200], lineage[200];

	finding_title(f, title, sizeof(title));
	fputs("finding ", out);
	put_quoted(out, title);
	fprintf(out, "    # case %s, seed %llu, replays %u of %u, oracle: %s\n",
	        f->lineage && *f->lineage ? finding_line(f->lineage, lineage, sizeof(lineage)) : "-", (unsigned long long)f->seed,
	        f->minimised.shows, f->minimised.of, oracle_names[f->symptom->oracle % N_ORACLES]);
	put_origin(out, f);
	fprintf(out, "mqtt %s\n", version_text(cast->version));
	if (has_bystander(f) && f->bystander_version && f->bystander_version != cast->version)
		fprintf(out, "actor by mqtt=%s\n", version_text(f->bystander_version));
	for (uint32_t i = 0; i < cast->n; i++)
		if (cast->actors[i].version != cast->version)
			fprintf(out, "actor %c mqtt=%s\n", (int)('a' + i), version_text(cast->actors[i].version));
	if (f->symptom->oracle == ORACLE_RULE)
		put_watches(out, f->symptom);
	fputc('\n', out);
}

/* ---- the bystander ---- */

static void publish_line(const struct finding_file *f, unsigned number, char line[static 120])
{
	snprintf(line, 120, "by publishes topic=\"by/%s\" qos=1 payload=\"%u\"", f->name, number);
}

/* Where in the stimulus it publishes: in the middle of it, not often. */
static unsigned put_bystander(const struct finding_file *f, struct lines *lines, size_t n)
{
	char line[120];
	unsigned number = 0;

	if (n > 5) {
		publish_line(f, 2, line);
		lines_insert(lines, 2 * n / 3, line);
		number++;
	}
	if (n > 1) {
		publish_line(f, 1, line);
		lines_insert(lines, n / 3 ? n / 3 : 1, line);
		number++;
	}
	return number;
}

static void judge_bystander(FILE *out, const struct finding_file *f, unsigned n)
{
	char line[120], within[32];

	publish_line(f, n + 1, line);
	fprintf(out, "%s\n", line);
	for (unsigned i = 1; i <= n + 1; i++)
		fprintf(out, "by receives topic=\"by/%s\" payload=\"%u\" within %s\n", f->name, i,
		        duration(f->within_ns ? f->within_ns : UINT64_C(2000000000), within));
	fputs("by <- nothing\n", out);
}

/* ---- what shows it ---- */

#define LEAST_LATENCY_NS UINT64_C(250000000)	/* a busy machine is no symptom */

static uint64_t latency(const struct finding_file *f)
{
	if (f->symptom->held)
		return LEAST_LATENCY_NS;
	return f->within_ns > LEAST_LATENCY_NS ? f->within_ns : LEAST_LATENCY_NS;
}

static void put_judges(FILE *out, const struct finding_file *f, bool nothing, unsigned n_published)
{
	char text[32];

	switch (f->symptom->oracle) {
	case ORACLE_LATENCY:
		fputs("by -> PINGREQ\n", out);
		fprintf(out, "by <- PINGRESP within %s\n", duration(latency(f), text));
		break;
	case ORACLE_BYSTANDER:
		judge_bystander(out, f, n_published);
		return;
	case ORACLE_RULE:
		if (!nothing)	/* else all has come when the pings are answered */
			return;
		break;
	default:
		break;
	}
	fputs("target lives", out);
	if (f->symptom->oracle == ORACLE_LIVENESS && f->within_ns)
		fprintf(out, " within %s", duration(f->within_ns, text));
	if (f->symptom->oracle == ORACLE_LATENCY)
		fprintf(out, " within %s", duration(latency(f), text));
	if (f->symptom->oracle == ORACLE_MEMORY)
		fprintf(out, " grows<%s", units_print_size(f->grows ? f->grows : 64 << 20, text, sizeof(text)));
	if (f->symptom->oracle == ORACLE_CPU)
		fputs(" busy<500ms", out);
	fputc('\n', out);
}

/* ---- all of it ---- */

/* A copy with the finding's name. */
static struct moves *named(const struct finding_file *f)
{
	struct moves *m = malloc(sizeof(*m));

	assert(m);
	moves_copy(m, f->moves);
	if (strlen(f->name) == MOVES_NAME_LEN)
		for (uint32_t i = 0; i < m->n; i++)
			if (m->at[i].bytes.len)
				moves_rename(m->room + (m->at[i].bytes.at - m->room), m->at[i].bytes.len, f->name);
	return m;
}

static void put_stimulus(FILE *out, const struct finding_file *f, const struct lines *lines)
{
	if (f->repeats > 1)
		fprintf(out, "repeat %u {\n", f->repeats);
	lines_write(out, lines, f->repeats > 1 ? "    " : "");
	if (f->repeats > 1)
		fputs("}\n", out);
}

/* What may be owed to a client, and whether he is served on, is judged behind the last step: he is to be there still. */
static bool is_judged_last(const struct symptom *symptom)
{
	enum version version = (enum version)symptom->version;

	return symptom->oracle == ORACLE_RULE && (dues_judges(version, symptom->clause) || offences_judge(version, symptom->clause));
}

void finding_write(FILE *out, const struct finding_file *f)
{
	struct moves *m = named(f);
	struct lines lines = { 0 };
	struct cast cast;
	size_t n_stimulus;
	unsigned n_published = 0;

	finding_cast(m, f->symptom->oracle == ORACLE_RULE ? f->symptom->version : 0, &cast);
	/* What is kept or computed for a client is judged behind the last step as well: it is to be there still. */
	finding_steps(m, &cast, f->symptom->oracle == ORACLE_RULE, f->symptom->held || is_judged_last(f->symptom), &lines, &n_stimulus);
	put_header(out, f, &cast);
	if (has_bystander(f))
		fputs("by connects\n", out);
	/* Whoever makes others wait is not waited for. */
	while (f->symptom->held && (f->symptom->oracle == ORACLE_LATENCY || f->symptom->oracle == ORACLE_LIVENESS) && lines.n > n_stimulus)
		free(lines.at[--lines.n]);
	if (f->symptom->oracle == ORACLE_BYSTANDER) {
		fprintf(out, "by subscribes (\"by/%s\" qos=1)\n", f->name);
		n_published = f->repeats > 1 ? 0 : put_bystander(f, &lines, n_stimulus);
	}
	put_stimulus(out, f, &lines);
	put_judges(out, f, !lines.n, n_published);
	lines_free(&lines);
	free(m);
}

/* ---- for other tools ---- */

static void put_hex(FILE *out, struct span bytes)
{
	for (size_t i = 0; i < bytes.len; i++)
		fprintf(out, "%02x%s", bytes.at[i], i + 1 == bytes.len || i % 32 == 31 ? "\n" : " ");
}

void finding_hex(FILE *out, const struct finding_file *f)
{
	struct moves *m = named(f);

	fputs("# What each connection sends, a packet a line; for the order among them and for waits see finding.scn. To send one:\n"
	      "# (sed -n '/^# c0$/,/^# c/{/^#/!p}' wire.hex | xxd -r -p; sleep 1) | nc localhost 1883 | xxd\n", out);
	for (uint8_t client = 0; client < MOVES_CLIENTS; client++) {
		bool open = false;
		unsigned n = 0;

		for (uint32_t i = 0; i < m->n; i++) {
			const struct move *move = &m->at[i];

			if (move->client % MOVES_CLIENTS != client)
				continue;
			if (move->kind == MOVE_OPEN) {
				n++;
				fprintf(out, n > 1 ? "# c%u, connection %u\n" : "# c%u\n", client, n);
				open = true;
			}
			if (move->kind == MOVE_DROP)
				open = false;
			if (open && (move_sends(move) || move->kind == MOVE_ANSWER))
				put_hex(out, move->bytes);
		}
	}
	free(m);
}

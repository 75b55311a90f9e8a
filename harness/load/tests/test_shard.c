#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "harness/load/shard.h"

/* ---- which part ---- */

static const char *environment;		/* "NAME=VALUE NAME=VALUE" */

static char *get(const char *name)
{
	static char values[4][64];
	static unsigned turn;
	size_t len = strlen(name);

	for (const char *at = environment; at && *at; at += strcspn(at, " "), at += strspn(at, " "))
		if (!strncmp(at, name, len) && at[len] == '=') {
			char *value = values[turn++ % 4];
			size_t n = strcspn(at + len + 1, " ");

			memcpy(value, at + len + 1, n);
			value[n] = 0;
			return value;
		}
	return NULL;
}

static const struct shard_row {
	const char *name, *environment, *option;
	uint64_t n_given;
	unsigned number, n;		/* n 0: a mistake, whose text has `says` in it */
	const char *says;
} shard_rows[] = {
	{ "nothing is said", "", NULL, 0, 0, 1, NULL },
	{ "--shard", "", "3/4", 0, 3, 4, NULL },
	{ "--shard wins", "JOB_COMPLETION_INDEX=1 JOB_COMPLETIONS=2", "3/4", 0, 3, 4, NULL },
	{ "--shard, not below N", "", "4/4", 0, 0, 0, "from 0 to N - 1" },
	{ "--shard, of none", "", "0/0", 0, 0, 0, "from 0 to N - 1" },
	{ "--shard, rubbish", "", "1of4", 0, 0, 0, "expected I/N" },
	{ "--shard, rubbish behind it", "", "1/4x", 0, 0, 0, "expected I/N" },
	{ "--shard, a sign", "", "-1/4", 0, 0, 0, "expected I/N" },
	{ "--shard, nothing", "", "", 0, 0, 0, "expected I/N" },
	{ "--shard and --shards", "", "1/4", 4, 0, 0, "no --shards" },
	{ "--shards alone", "", NULL, 4, 0, 0, "--shard I/N" },
	{ "--shards 1", "", NULL, 1, 0, 1, NULL },
	{ "Kubernetes", "JOB_COMPLETION_INDEX=2 JOB_COMPLETIONS=8", NULL, 0, 2, 8, NULL },
	{ "Kubernetes, --shards", "JOB_COMPLETION_INDEX=2", NULL, 4, 2, 4, NULL },
	{ "Kubernetes, of how many?", "JOB_COMPLETION_INDEX=2", NULL, 0, 0, 0, "--shards N" },
	{ "Kubernetes, too many pods", "JOB_COMPLETION_INDEX=4", NULL, 4, 0, 0, "none of 4" },
	{ "Slurm", "SLURM_ARRAY_TASK_ID=3 SLURM_ARRAY_TASK_COUNT=4 SLURM_ARRAY_TASK_MIN=0", NULL, 0, 3, 4, NULL },
	{ "Slurm, from 1", "SLURM_ARRAY_TASK_ID=1 SLURM_ARRAY_TASK_COUNT=4 SLURM_ARRAY_TASK_MIN=1", NULL, 0, 0, 4, NULL },
	{ "Slurm, by steps", "SLURM_ARRAY_TASK_ID=16 SLURM_ARRAY_TASK_COUNT=4 SLURM_ARRAY_TASK_MIN=4 SLURM_ARRAY_TASK_STEP=4", NULL, 0, 3, 4, NULL },
	{ "Slurm, below its least", "SLURM_ARRAY_TASK_ID=1 SLURM_ARRAY_TASK_COUNT=4 SLURM_ARRAY_TASK_MIN=2", NULL, 0, 0, 0, "none of 4" },
	{ "Slurm, an empty array", "SLURM_ARRAY_TASK_ID= SLURM_ARRAY_TASK_COUNT=", NULL, 0, 0, 1, NULL },
	{ "Open MPI", "OMPI_COMM_WORLD_RANK=0 OMPI_COMM_WORLD_SIZE=16", NULL, 0, 0, 16, NULL },
	{ "Open MPI, rubbish", "OMPI_COMM_WORLD_RANK=x OMPI_COMM_WORLD_SIZE=16", NULL, 0, 0, 0, "expected a number" },
	{ "parallel", "PARALLEL_SEQ=4", NULL, 4, 3, 4, NULL },
	{ "parallel, of other things", "PARALLEL_SEQ=4", NULL, 0, 0, 1, NULL },
	{ "parallel, too many", "PARALLEL_SEQ=5", NULL, 4, 0, 0, "none of 4" },
	{ "parallel, not from 0", "PARALLEL_SEQ=0", NULL, 4, 0, 0, "none of 4" },
};

static void chooses(void **state)
{
	const struct shard_row *row = *state;
	struct fault fault;
	struct shard shard;

	environment = row->environment;
	bool chosen = shard_choose(row->option, row->n_given, get, &shard, &fault);
	assert_int_equal(chosen, row->n != 0);
	if (chosen) {
		assert_int_equal(shard.number, row->number);
		assert_int_equal(shard.n, row->n);
	} else {
		assert_non_null(strstr(fault.text, row->says));
		assert_null(strchr(fault.text, '\n'));
	}
}

/* ---- when ---- */

#define NOW 1795286000000000000u	/* 2026-11-21T18:33:20Z */

static const struct time_row {
	const char *text;
	uint64_t ns;			/* 0: a mistake, whose text has `says` in it */
	const char *says;
} time_rows[] = {
	{ "+10s", NOW + 10000000000u, NULL },
	{ "+0", NOW, NULL },
	{ "1795286001", 1795286001000000000u, NULL },
	{ "1795286001.25", 1795286001250000000u, NULL },
	{ "2026-11-21T18:33:57Z", 1795286037000000000u, NULL },
	{ "2026-11-21 18:33:57z", 1795286037000000000u, NULL },
	{ "2026-11-21T18:33:57.000000001Z", 1795286037000000001u, NULL },
	{ "2026-11-21T19:33:57+01:00", 1795286037000000000u, NULL },
	{ "2026-11-21T15:03:57-0330", 1795286037000000000u, NULL },
	{ "2026-11-21T18:33:57", 0, "no zone" },
	{ "2026-11-21T18:33:57+1", 0, "expected" },
	{ "2026-11-21T18:33:57Zulu", 0, "expected" },
	{ "2026-11-21", 0, "expected" },
	{ "1795285999", 0, "1.0 s ago" },
	{ "2026-11-21T18:33:00Z", 0, "20.0 s ago" },
	{ "+10", 0, "expected" },
	{ "10s", 0, "expected" },
	{ "1795286001.", 0, "expected" },
	{ "soon", 0, "expected" },
	{ "", 0, "expected" },
	{ "99999999999", 0, "expected" },
};

static void starts(void **state)
{
	const struct time_row *row = *state;
	struct fault fault;
	uint64_t ns;
	bool read = start_at_parse(row->text, NOW, &ns, &fault);

	assert_int_equal(read, row->ns != 0);
	if (read)
		assert_int_equal(ns, row->ns);
	else
		assert_non_null(strstr(fault.text, row->says));
}

enum { N_SHARDS = sizeof(shard_rows) / sizeof(*shard_rows), N_TIMES = sizeof(time_rows) / sizeof(*time_rows) };

int main(void)
{
	static struct CMUnitTest tests[N_SHARDS + N_TIMES];

	for (size_t i = 0; i < N_SHARDS; i++)
		tests[i] = (struct CMUnitTest){ .name = shard_rows[i].name, .test_func = chooses, .initial_state = (void *)&shard_rows[i] };
	for (size_t i = 0; i < N_TIMES; i++)
		tests[N_SHARDS + i] = (struct CMUnitTest){ .name = time_rows[i].text, .test_func = starts, .initial_state = (void *)&time_rows[i] };
	return cmocka_run_group_tests(tests, NULL, NULL);
}

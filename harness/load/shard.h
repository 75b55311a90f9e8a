#ifndef LOAD_SHARD_H
#define LOAD_SHARD_H

#include <stdbool.h>
#include <stdint.h>

#include "codec/fault.h"

/* Which part of a workload this process plays, and when it begins: what lets many of them play one together. */

struct shard {
	unsigned number, n;		/* 0 of 1: all of it */
	const char *from;		/* what said so: "--shard", "JOB_COMPLETION_INDEX", NULL: nothing */
};

/*
 * option: --shard's I/N, from 0; NULL: not given. n_given: --shards, of how many; 0: not given. Without --shard the
 * number is what whoever started many of us says in the environment:
 *   JOB_COMPLETION_INDEX        of JOB_COMPLETIONS, or of --shards: Kubernetes tells an Indexed Job's pods their number only
 *   SLURM_ARRAY_TASK_ID         less SLURM_ARRAY_TASK_MIN, by SLURM_ARRAY_TASK_STEP, of SLURM_ARRAY_TASK_COUNT
 *   OMPI_COMM_WORLD_RANK        of OMPI_COMM_WORLD_SIZE
 *   PARALLEL_SEQ                from 1, of --shards; without it GNU parallel may be playing different things
 * The first that is set counts. get: getenv(). False: fault->text is one line.
 */
bool shard_choose(const char *option, uint64_t n_given, char *(*get)(const char *name), struct shard *shard, struct fault *fault);

enum { MAX_SHARDS = 100000 };

/*
 * --start-at: seconds since 1970 ("1795280400", "1795280400.5"), a time with its zone ("2026-11-21T18:33:57Z",
 * "2026-11-21 19:33:57.25+01:00"), or so long from now ("+10s"). A time that is over is an error: the others have
 * begun. False: fault->text is one line.
 */
bool start_at_parse(const char *text, uint64_t now_unix_ns, uint64_t *unix_ns, struct fault *fault);

#endif

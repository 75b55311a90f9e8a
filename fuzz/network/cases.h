#ifndef FUZZ_NETWORK_CASES_H
#define FUZZ_NETWORK_CASES_H

#include "codec/fault.h"
#include "fuzz/mutator/mutate.h"
#include "fuzz/mutator/seeds.h"

/*
 * Cases by number. Case N is made from its number, the campaign's seed and its parent alone: the first ones are the seeds as they stand, the others mutations of
 * a seed that their number draws, or of a case that was kept. So a lineage, "88213/5120" (the case, its parent, and so on up to one whose parent is a seed), tells all of it.
 */
struct cases;

enum { CASE_NO_PARENT = UINT32_MAX, LINEAGE_MAX = 24, LINEAGE_TEXT = LINEAGE_MAX * 21 };

struct case_id {
	uint64_t number;		/* from 1 */
	uint32_t parent;		/* place among those kept; CASE_NO_PARENT: a seed */
};

/* How a case came to be. */
struct case_origin {
	const char *seed_name;
	struct anomaly anomaly;		/* of its last mutation; name "" for a seed as it stands */
	char lineage[LINEAGE_TEXT];
	uint8_t version;		/* of the seed */
	bool offends;			/* as struct seed; a mutation always may */
};

/* Given; seeds borrowed. versions: as given to seeds_make(). valid_only: seeds that do not offend, as they stand, again and again. */
struct cases *cases_new(const struct seeds *seeds, uint64_t seed, bool valid_only);
void cases_free(struct cases *cases);

/* The next one: a number more, and a parent among those kept or none, as the campaign's own dice say. */
struct case_id cases_next(struct cases *cases);

/* Makes it. Bytes lie in *moves or are borrowed from the cases. origin may be NULL. */
void cases_make(struct cases *cases, struct case_id id, struct moves *moves, struct case_origin *origin);

/* Its answers were new: it may become a parent. Bounded. */
void cases_keep(struct cases *cases, struct case_id id);
size_t cases_kept(const struct cases *cases);

/* Whether it is one: numbers, each made before those it led to. False: fault->text says what was expected. */
bool case_lineage_check(const char *lineage, struct fault *fault);

/* --case: each step of the lineage kept in turn. False: as above. */
bool cases_find(struct cases *cases, const char *lineage, struct case_id *id, struct fault *fault);

#endif

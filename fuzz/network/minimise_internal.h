#ifndef FUZZ_NETWORK_MINIMISE_INTERNAL_H
#define FUZZ_NETWORK_MINIMISE_INTERNAL_H

#include "codec/build.h"
#include "fuzz/network/minimise.h"
#include "harness/region.h"

/* How minimise() is divided among minimise_*.c; nothing outside includes this. */

enum {
	TRIED = 1 << 13,		/* candidates remembered; when they are that many, it is long over */
	EDIT_ROOM = 1 << 19,		/* to put packets together in: several of any length */
};

struct search {
	struct trial *trial;
	const struct symptom *wanted;
	struct moves *best;		/* shows, as far as is known */
	struct moves *candidate;	/* what search_try() asks about */
	struct moves *did;		/* of the last trial that showed */
	uint64_t tried[TRIED];		/* hashes, open addressing; 0 is none */
	uint32_t n_tried;
	unsigned n_trials, tries;	/* tries: trials per candidate at most */
	uint64_t began_ns, show_ns;	/* show_ns: what the trials that showed took, in all: a target that died is started anew */
	unsigned n_shown;
	uint64_t stop_ns;		/* no further candidate; what is left is for the last ten trials */
	bool over;			/* stop_ns is past, or the target is gone */
	bool lost;			/* the target cannot be had any more */
	bool apart;			/* it shows in several cases, which could not be made one */
	bool changed;			/* something was adopted since this was last cleared */
	struct arena arena;		/* of EDIT_ROOM: packets that are edited */
	struct moves *start;		/* what it began with, and how often in ten that showed */
	unsigned start_shows;
	struct moves *spare[2];		/* for whoever needs some */
};

/* ---- minimise.c ---- */

/* One trial of these cases: whether it shows. `did` may be NULL. */
bool search_shows(struct search *s, const struct moves *const *cases, size_t n, struct moves *did);

/* The candidate, made a copy of the best: to be altered, then tried. */
struct moves *search_begin(struct search *s);

/* Whether the candidate shows; then it is the best. One that was tried before is not tried again. */
bool search_try(struct search *s);

/*
 * Takes away as much as goes of n things: half of them, quarters, each, until none goes. without() makes the candidate that lacks things
 * [from, from + n) of those that the best has, and tries it. Returns how many are left. all: begins with all of them at once.
 */
uint32_t search_reduce(struct search *s, uint32_t n, bool all, bool (*without)(struct search *s, void *context, uint32_t from, uint32_t n), void *context);

/* ---- minimise_cases.c ---- */

/* Cases that show together, made one, which is the best then. False: they are several that cannot be one; s->apart is set. */
bool search_join(struct search *s, const struct moves *const *cases, size_t n);

/* ---- minimise_moves.c ---- */

void search_normalise(struct search *s);	/* cuts mended, one packet a move */
void search_moves(struct search *s);		/* ends, clients, connections, moves */
void search_single_moves(struct search *s);	/* each once more */
void search_waits(struct search *s);		/* those of half seconds that are not needed: trials are quick without them */
void search_pauses(struct search *s);
void renumber_clients(struct moves *moves);	/* in order of appearance */

/* A move and the AWAITs behind it go together. Where each begins; the one behind the last is m->n. Returns how many. */
uint32_t moves_units(const struct moves *m, uint32_t starts[static MOVES_MAX + 1]);

/* The best with AWAITs where another client goes on, with none, or behind every packet that is answered: which shows most reliably. Sets shows and of. */
void search_settle(struct search *s, struct minimised *result);

/* ---- minimise_packets.c ---- */

void search_packets(struct search *s);

typedef bool (*packet_edit)(struct search *s, struct packet *p, const void *how);	/* false: nothing to be done; what it needs lies in s->arena */
/* Alters the packet of move i. False: there is none, or it stays as it was, so also when it would break a rule that it did not break before. */
bool packet_alter(struct search *s, struct moves *m, uint32_t i, packet_edit change, const void *how);

/* Whether the broker answers a packet of that kind. */
bool packet_is_answered(struct span bytes, enum version version);

/* ---- minimise_strings.c ---- */

void search_strings(struct search *s);

#endif

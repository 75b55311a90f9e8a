#ifndef LOAD_LEDGER_INTERNAL_H
#define LOAD_LEDGER_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "harness/load/ledger.h"
#include "harness/load/ledger_had.h"
#include "harness/load/reckon.h"

/* The inside of ledgers and of their audience, for audience.c, ledger*.c and reckon*.c. */

/* ---- audience.c ---- */

enum { FOR_EVER = UINT32_MAX };		/* grant.left */

/*
 * A client's subscription from one epoch to another. Those that have ended are kept: what was sent meanwhile is still owed. Things refer to
 * each other by their place in an array, 0 for none.
 */
struct grant {
	uint32_t client, node, group;	/* group 0: its own, not shared */
	uint32_t joined, left;
	uint32_t next;			/* of the same node and group, newest first */
	uint32_t next_of_client;	/* among those in force, or among those that have ended, the last to end first */
	uint16_t role;
	bool no_local;
};

struct node {				/* of the trie of filters: one level */
	uint32_t parent;
	uint32_t text, text_len;	/* of the level: in `texts` */
	uint32_t plus, hash;		/* the children "+" and "#"; others are found by `children` */
	uint32_t grants, groups;
	uint32_t changed;		/* epoch in which a grant of the filter that ends here began or ended */
};

struct group {
	uint32_t node, next;		/* next of the node's */
	uint32_t name, name_len;
	uint32_t grants;
	uint16_t role;			/* of its first member */
};

struct client_grants {
	uint32_t live, ended;
};

#define ARRAY(type) struct { type *at; size_t n, cap; }
#define PUSH(array, ...) do { \
	(array).at = ranges_grow((array).at, (array).n + 1, &(array).cap, sizeof(*(array).at)); \
	(array).at[(array).n] = __VA_ARGS__; \
	(array).n++; \
} while (0)

enum { TOPICS_IN_BLOCK = 4096, TOPIC_BLOCKS = (1 << 24) / TOPICS_IN_BLOCK };

struct topic_block {
	_Atomic uint32_t hashes[TOPICS_IN_BLOCK];
};

struct topic_directory {
	_Atomic(struct topic_block *) blocks[TOPIC_BLOCKS];
};

struct audience {
	pthread_mutex_t lock;		/* for all but what is atomic */
	_Atomic uint32_t epoch;
	uint32_t n_roles;
	ARRAY(struct grant) grants;
	ARRAY(struct node) nodes;	/* [1] is the root */
	ARRAY(struct group) groups;
	ARRAY(char) texts;
	uint32_t *children;		/* open addressing, by parent and level: nodes */
	uint32_t n_children, children_mask;
	ARRAY(struct client_grants) clients[256];	/* by thread, then index */
	ARRAY(uint32_t) matched;	/* what audience_match() found: nodes with grants or groups */
	ARRAY(struct place) places;	/* ... and where it has still to look */
	_Atomic(struct topic_directory *) topics[256];	/* hash of each stream's topic, by thread */
};

struct place {
	uint32_t node;
	uint32_t at;			/* in the topic; behind its end + 1: all levels are taken */
};

/* The nodes whose filters match, in audience->matched. The lock is held, or all threads have ended. */
void audience_match(struct audience *audience, struct span topic);
/* The last epoch in which the answer for that topic changed. */
uint32_t audience_changed(struct audience *audience, struct span topic);
/* By how many filters of its own, and in how many groups, that client was to have what was sent then: at any time since. */
void audience_allows(struct audience *audience, uint32_t client, struct span topic, uint32_t epoch, unsigned *own, unsigned *groups);
/* Whether some subscription of that client to that topic was in force then. */
bool audience_had(struct audience *audience, uint32_t client, struct span topic, uint32_t epoch);

/* The group whose member that client is, and always was, by all that it has and had to do with the topic; 0: there is none such. */
uint32_t audience_sole_group(struct audience *audience, uint32_t client, struct span topic);

/* Of the topic that a stream has: from the stream's thread, before anything is sent. */
void audience_topic_is(struct audience *audience, uint32_t stream, uint32_t hash);
uint32_t audience_topic(const struct audience *audience, uint32_t stream);	/* 0: there is no such stream */

/* Never 0. */
static inline uint32_t topic_hash(struct span topic)
{
	uint64_t h = topic.len * UINT64_C(0x9e3779b97f4a7c15), word;
	const uint8_t *at = topic.at;
	size_t left = topic.len;

	for (; left >= 8; at += 8, left -= 8) {
		memcpy(&word, at, 8);
		h = (h ^ word) * UINT64_C(0xd6e8feb86659fd93);
		h ^= h >> 32;
	}
	if (left) {
		word = 0;
		memcpy(&word, at, left);
		h = (h ^ word) * UINT64_C(0xd6e8feb86659fd93);
		h ^= h >> 32;
	}
	h *= UINT64_C(0x9e3779b97f4a7c15);
	return (uint32_t)(h >> 32) | 1;
}

/* ---- ledger.c ---- */

#define STREAM_UNTRACKED UINT32_MAX	/* in stamps, of what is sent without account */
#define STREAM_RETURNED (UINT32_MAX - 1)	/* in pairs: what came back on one topic */
enum { MAX_STREAMS = (1 << 24) - 2 };

/* From that number on the audience was as in that epoch. */
struct scene {
	uint32_t number, epoch;
};

struct stream {
	uint32_t id;
	uint32_t next;			/* its next message's number: so many were sent */
	uint32_t epoch;			/* of the last one sent */
	uint32_t first_epoch;		/* of message 0; `scenes` are what came later */
	struct scene *scenes;
	uint32_t n_scenes, cap_scenes;
	uint32_t refused;		/* which of the ledger's; 0: none */
	uint32_t earlier;		/* what it was before its numbers were used up: that one's number + 1; 0: nothing */
	uint8_t *topic;
	uint32_t client;
	uint32_t sent_ms;		/* the last one */
	uint16_t role, topic_len;
	uint8_t qos;
	bool echo;
};

struct pair {				/* of a subscriber and a stream; of a subscriber and a topic on which stamps come back */
	uint32_t stream;		/* STREAM_RETURNED: of a topic */
	uint32_t topic;			/* its hash */
	union {
		struct had had;
		uint64_t returned;
	};
};

struct subscriber {
	struct listener who;
	uint32_t n, cap;		/* of `pairs`: cap 1 is `one` */
	uint32_t last;			/* the one of the last arrival */
	uint32_t places_mask;
	uint32_t *places;		/* by stream and topic: NULL while there is one pair */
	struct pair *pairs;
	struct pair one;
	struct subscriber *next;
};

struct trouble {
	uint32_t client;
	uint32_t ms;
	uint16_t cause, text;
};

struct stranded {
	uint32_t stream, from, to;
	uint16_t cause, text;
};

/*
 * What members of a shared group have had of a stream long ago, together: which is all of it, so that it takes no
 * room, where each one's share is full of holes and would grow as long as the run lasts. Who had which is forgotten.
 */
struct settled {
	uint32_t group, stream;
	struct had had;
	uint64_t excess;		/* that two had */
};

struct evidence {
	uint16_t cause;
	char *text;
};

struct ledger {
	struct audience *audience;
	struct pool *pool;
	struct tally *tallies;
	uint32_t run, n_roles;
	uint32_t first_id;		/* thread << 24 */
	uint32_t numbers_end;		/* of a stream's numbers; less in tests */
	size_t max_streams;
	ARRAY(struct stream *) streams;
	uint32_t *places;		/* streams' numbers + 1 by hash: open addressing */
	uint32_t places_mask, n_places;
	struct subscriber *subscribers;
	ARRAY(struct trouble) troubles;
	ARRAY(struct stranded) stranded;
	ARRAY(struct evidence) evidence;
	ARRAY(struct ranges) refused;
	ARRAY(struct settled) settled;
	uint32_t settle_at;		/* the weight at which a pair settles the older half; less in tests */
	uint64_t untracked, untracked_had;
};

/* The messages of that stream that were sent in epochs [joined, left). */
struct range stream_range(const struct stream *stream, uint32_t joined, uint32_t left);

/* ledger_arrive.c: NULL when it has none. */
struct pair *subscriber_pair(const struct subscriber *subscriber, uint32_t stream, uint32_t topic);

#endif

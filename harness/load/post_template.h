#ifndef LOAD_POST_TEMPLATE_H
#define LOAD_POST_TEMPLATE_H

#include "harness/load/plan.h"
#include "harness/region.h"

/* What can be known of a PUBLISH step's packets before there are any. Of posts.c. */

enum { MAX_PLACES = 8 };		/* in a topic that are filled in each time */

enum place_kind {
	PLACE_CLIENT,			/* $n */
	PLACE_PICK,			/* which: role */
	PLACE_COLUMN,			/* which: of the role's fleet */
	PLACE_VALUE,			/* which: in values */
};

struct post_place {
	struct span before;		/* what stands in front of it */
	enum place_kind kind;
	uint32_t which;
};

enum post_payload {
	PAYLOAD_CONSTANT,		/* bytes */
	PAYLOAD_STAMP,			/* bytes, of which the first stamp_size() are the stamp's place */
	PAYLOAD_RANDOM,			/* as many as `bytes` has */
	PAYLOAD_VALUE,			/* the last of values */
};

struct post {
	const struct step *step;
	uint8_t number;			/* in its role, from 1; posts.c gives it where is_clients, to the first 255 */
	uint8_t first, qos;
	bool is_clients;		/* the topic: a client has always the same */
	bool is_foreign;		/* text in it that may be anything: it is to be looked at each time */
	uint8_t payload;		/* enum post_payload */
	uint8_t n_places, n_values;
	size_t constant_len;		/* of the topic without its places */
	struct span behind;		/* what stands behind its last place */
	struct span properties;		/* with their length; nothing below 5 */
	struct span bytes;
	struct post_place places[MAX_PLACES];
	const struct expr *values[MAX_PLACES + 1];	/* to be evaluated each time */
};

enum { POST_ROOM = 2 << 20 };		/* to work in, half of it for what is constant in a packet; larger ones are built one by one */

/*
 * In the region. NULL: its packets differ in more than topic and payload, or are not what check() approves of; each
 * is to be built by itself.
 */
struct post *post_template(struct region *region, const struct plan *plan, uint32_t role, const struct step *step, uint8_t room[POST_ROOM]);

#endif

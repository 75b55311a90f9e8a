#ifndef LOAD_RECKON_INTERNAL_H
#define LOAD_RECKON_INTERNAL_H

#include "harness/load/ledger_internal.h"

/* The inside of a reckoning, for reckon*.c. */

struct proof {				/* a trouble, or messages that may not have left, with its words */
	uint32_t key;			/* client, or stream */
	uint32_t from, to;		/* of a trouble: when, and again; else the numbers */
	enum loss_cause cause;
	const char *text;
};

struct claim {				/* what one grant makes due of a stream */
	uint32_t client, group;
	uint32_t from, to;
	uint16_t role;
	bool cut;			/* by the grant's end: more was sent behind */
};

struct debt {				/* what one subscriber is owed of a stream, or a shared group */
	const struct stream *stream;
	uint16_t role;
	const struct claim *claims;
	size_t n_claims;
};

struct reckoner {
	struct audience *audience;
	struct ledger *by_thread[256];
	struct subscriber **subscribers[256];	/* by thread and index */
	uint32_t n_subscribers[256];
	ARRAY(struct publisher_account) accounts[256];
	ARRAY(struct proof) troubles, stranded;
	struct tally *tallies;
	ARRAY(struct loss) losses;
	size_t last_loss;
	ARRAY(struct claim) own, shares;
	struct ranges owed, had, lost;	/* scratch */
	char dropped[200];		/* what the broker says */
	uint64_t delivered, due, missing, excess;	/* of streams: all deliveries, owed, lost, to groups beyond one each */
};

/* ---- reckon.c ---- */

struct subscriber *client_subscriber(const struct reckoner *r, uint32_t client);	/* NULL: it had nothing */
const struct had *client_had(const struct reckoner *r, uint32_t client, const struct stream *stream);	/* never NULL */
struct publisher_account *account_of(struct reckoner *r, const struct stream *stream);
/* What the claims come to, without what was refused, into `owed`. */
void claims_owed(const struct reckoner *r, const struct stream *stream, const struct claim *claims, size_t n, struct ranges *owed);
/* r->own and r->shares of that stream, in order: by client; by group, then client. */
void make_claims(struct reckoner *r, const struct stream *stream);
size_t claims_of_client(const struct claim *claims, size_t n);	/* how many at the begin are of one client and group */
size_t own_claims(const struct reckoner *r, uint32_t client, const struct claim **claims);	/* how many; 0: *claims is not set */
void count_owed(struct reckoner *r, const struct stream *stream, uint16_t role, uint64_t n);

/* ---- reckon_groups.c ---- */

/* What shared groups are owed of a stream, and which of it they had. After make_claims(). */
void reckon_groups(struct reckoner *r, const struct stream *stream);

/* ---- reckon_echo.c ---- */

void reckon_echoes(struct reckoner *r, struct ledger *const *ledgers, size_t n);

/* ---- reckon_blame.c ---- */

void blame_prepare(struct reckoner *r, struct ledger *const *ledgers, size_t n);
/* The numbers of one subscriber, or of a group's members: each of them had none of these. Counts them as lost. */
void blame(struct reckoner *r, const struct debt *debt, const struct ranges *lost);
void blame_echoes(struct reckoner *r, const struct stream *stream, uint32_t client, uint16_t role, uint64_t n);
void blame_broker(struct reckoner *r, const struct broker_drops *drops);

#endif

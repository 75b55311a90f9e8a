#ifndef LOAD_RECKON_H
#define LOAD_RECKON_H

#include "harness/load/ledger.h"

/*
 * When all is over: the ledgers of all threads put together. owed and lost are counted into the roles' tallies, and
 * each loss has a cause where one is proven.
 */

struct loss {
	uint16_t subscriber_role, publisher_role;
	enum loss_cause cause;
	uint64_t n;
	const char *evidence;		/* one line; the reckoning's; "" for none */
};

struct publisher_account {		/* of one that something happened to */
	uint16_t role;
	uint32_t client;		/* as in struct listener */
	uint64_t sent, owed, delivered, lost, duplicated, reordered;
};

struct reckoning {
	struct loss *losses;		/* largest first */
	uint32_t n_losses;
	struct publisher_account *publishers;	/* those with lost, duplicated or reordered messages: the most lost first, at most 1000 */
	uint32_t n_publishers;
	uint64_t n_publishers_afflicted;	/* how many there are in all */
	uint64_t untracked;		/* sent without account, for want of streams: nothing is known of their delivery */
	uint64_t shared_excess;		/* deliveries to shared groups beyond one for each message */
	uint64_t unowed;		/* deliveries that were owed to nobody: sent before the grant or after the subscription's end, or refused. delivered = owed - lost + unowed + shared_excess + untracked ones */
};

/* What the broker itself says it dropped during the run, as the difference of a $SYS counter. */
struct broker_drops {
	bool known;
	uint64_t n;
	const char *topic;		/* "$SYS/broker/publish/messages/dropped" */
};

/*
 * Of a shared group whose members are of several roles, the role of the first is the subscriber's. The sum of the losses is the sum of the roles' `lost`, always. A cause is named by what
 * is nearest to the message: its publisher's trouble, its subscriber's, that its subscriber left with messages under way. What is then unexplained the broker may have dropped, if it says so; and if it says that it
 * dropped more than that, what would have been laid to a subscriber's leaving.
 *
 * Given; to be freed. The threads have ended. Counts owed and lost into tallies[role], which are those of the whole run. */
struct reckoning *reckon(struct ledger *const *ledgers, size_t n, struct audience *audience, const struct broker_drops *drops, struct tally *tallies, uint32_t n_roles);
void reckoning_free(struct reckoning *reckoning);

#endif

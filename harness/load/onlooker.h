#ifndef LOAD_ONLOOKER_H
#define LOAD_ONLOOKER_H

#include "harness/load/reckon.h"
#include "harness/transport.h"

/*
 * A connection of our own beside those of a workload: it comes first, so that a target that nobody can reach is told
 * in one line and not by thousands of clients; it sees whether the target still serves; and it listens to what the
 * broker says of messages that it dropped ($SYS, where there is one). Nothing of it is counted.
 */
struct onlooker;

enum onlooker_state {
	ONLOOKER_ASKS,			/* no answer yet */
	ONLOOKER_SERVED,		/* CONNACK accepted */
	ONLOOKER_REFUSED,		/* CONNACK refused, or the broker closed without a word, as it may do with those it does not know: it is there */
	ONLOOKER_UNREACHABLE,		/* no connection, no answer in time, or no MQTT */
	ONLOOKER_GONE,			/* it was served, and the connection has ended */
};

/*
 * Connects at once. told() is called from the loop whenever the state changes. What is given is borrowed, client_id
 * copied. NULL: errno says why.
 */
struct onlooker *onlooker_new(struct loop *loop, const struct address *address, uint8_t version, const char *client_id, struct span user_name, struct span password,
                              uint64_t timeout_ns, void (*told)(void *context), void *context);
void onlooker_free(struct onlooker *o);		/* of NULL: nothing; may be called from told() */

enum onlooker_state onlooker_state(const struct onlooker *o);
const char *onlooker_why(const struct onlooker *o);	/* one line, for all but ASKS and SERVED */
bool onlooker_speaks(const struct onlooker *o);	/* false: it was refused as it does not serve that version of MQTT */

/* What the broker says it has dropped since the first that was heard; known: it says so at all. */
void onlooker_drops(const struct onlooker *o, struct broker_drops *drops);

/*
 * Brokers tell these figures every few seconds only. From now on onlooker_is_fresh() is false until all of them have
 * been told once more; where the broker has none, or the connection is gone, it is true. told() says when.
 */
void onlooker_refresh(struct onlooker *o);
bool onlooker_is_fresh(const struct onlooker *o);

#endif

#ifndef FUZZ_NETWORK_BYSTANDER_H
#define FUZZ_NETWORK_BYSTANDER_H

#include "codec/span.h"
#include "fuzz/network/symptom.h"
#include "harness/loop.h"
#include "harness/transport.h"

/*
 * Two clients who mind their own business: one publishes numbered messages (QoS 1) to a topic that nobody can guess, the other gets them. They must not notice what
 * happens beside them: their connections stay open, every message comes once, in order, unaltered, within `within_ns`, and nothing else comes.
 */
struct bystander;

/*
 * Given. version: one that the target serves. Connects and subscribes in the background, then publishes a message every_ns. noticed() is called once, from the loop; then it rests. It may free
 * the bystander. What keeps this fair: a message that is sent again with DUP before 5 is no second one; while our own loop could not run no time passes; a target that answers nothing
 * at all is late, and has lost nothing yet; of what it grants no better than QoS 0 it may lose some.
 */
struct bystander *bystander_new(struct loop *loop, const struct address *address, struct span user_name, struct span password, uint8_t version,
                                uint64_t every_ns, uint64_t within_ns, void (*noticed)(void *context, const struct symptom *symptom), void *context);
void bystander_free(struct bystander *bystander);

/*
 * Publishes one more message (once it has subscribed: right after bystander_new() this waits until it is there to be harmed) and runs the loop until all have been received, or it has noticed
 * something; false: the latter, in *symptom.
 */
bool bystander_settle(struct bystander *bystander, struct symptom *symptom);

/* Its topic and filter; borrowed, as long as it lives. */
const char *bystander_topic(const struct bystander *bystander);

#endif

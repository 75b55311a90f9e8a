#ifndef FUZZ_NETWORK_BYSTANDER_H
#define FUZZ_NETWORK_BYSTANDER_H

#include "fuzz/network/symptom.h"
#include "codec/span.h"
#include "harness/loop.h"
#include "harness/transport.h"

/*
 * Two clients who mind their own business: one publishes numbered messages (QoS 1) to a topic that nobody can guess, the other gets them. They must not notice what
 * happens beside them: their connections stay open, every message comes once, in order, unaltered, within `within_ns`, and nothing else comes.
 */
struct bystander;

/* Given. version: one that the target serves. noticed() is called once, from the loop; then it rests. */
struct bystander *bystander_new(struct loop *loop, const struct address *address, struct span user_name, struct span password, uint8_t version,
                                uint64_t every_ns, uint64_t within_ns, void (*noticed)(void *context, const struct symptom *symptom), void *context);
void bystander_free(struct bystander *bystander);

/* Runs the loop until all that was published so far has been received, or it has noticed something; false: the latter, in *symptom. */
bool bystander_settle(struct bystander *bystander, struct symptom *symptom);

/* For findings: its topic and filter as they stand in one. */
const char *bystander_topic(const struct bystander *bystander);

#endif

#ifndef HARNESS_BUILD_STEP_H
#define HARNESS_BUILD_STEP_H

#include "harness/eval.h"

/* The packet that a sending or set-up step stands for. */

enum packet_type step_sends(const struct step *step);		/* 0: it sends none */

/*
 * After builder_start() and the caller's defaults: the actor's fields for each of its CONNECTs and AUTHs, then all that scope->step says. The
 * packet id is what the step names, else untouched. False: the scope has failed.
 */
bool step_fields(struct scope *scope, const struct actor *actor, struct builder *b);

bool step_says(const struct step *step, const char *field);	/* whether it gives the field a value */
bool step_says_scram(const struct step *step);
bool packet_needs_id(const struct packet *packet);

#endif

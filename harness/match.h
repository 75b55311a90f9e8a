#ifndef HARNESS_MATCH_H
#define HARNESS_MATCH_H

#include "harness/eval.h"

/* Whether what came is what a step expects. */

/* Of all matches; if not, *missed is the first that does not fit, or NULL where something could not be evaluated (scope->failed). Binds nothing. */
bool match_packet(struct scope *scope, const struct match *matches, uint32_t n, const struct packet *packet, const struct match **missed);
bool match_value(struct scope *scope, const struct pattern *pattern, const struct value *value);

/* Why it does not fit: "reason: expected 0, received Not_authorized". Returns text, cut at cap. */
char *match_why(struct scope *scope, const struct match *missed, const struct packet *packet, char *text, size_t cap);

/* The nth value that a packet has for the field; a packet cut short before its reason says 0. False: none, *value is absent. */
bool match_get(const struct packet *packet, const struct field *field, size_t nth, struct value *value);

#endif

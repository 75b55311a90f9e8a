#ifndef HARNESS_HELLO_H
#define HARNESS_HELLO_H

#include "codec/codec.h"

/*
 * A plain CONNECT for whoever only wants to be let in (probes, cleaning up, waiting for a target): clean start, keep
 * alive 60 s, the credentials where there are any (.at NULL: none). Written to w; the same as a packet in *packet, which
 * borrows the spans.
 */
void hello(enum version version, struct span client_id, struct span user_name, struct span password,
           struct packet *packet, struct writer *w);

#endif

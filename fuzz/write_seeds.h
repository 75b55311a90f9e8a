#ifndef FUZZ_WRITE_SEEDS_H
#define FUZZ_WRITE_SEEDS_H

#include "codec/codec.h"

/* Once: FOLDER/target/HASH, the name being the hash of what is in it, as libFuzzer names its own. */
void write_input(const char *target, struct span bytes);

/* For fuzz_text and fuzz_websocket: out of the tables, right and wrong in every way that they tell of; and of a packet that was sent. */
void write_texts(void);
void write_as_text(enum sender from, enum version version, struct span packet);
void write_websockets(void);
void write_as_frames(enum sender from, struct span packet);	/* once for each type */

#endif

#ifndef HARNESS_CAPTURE_SCRIPT_H
#define HARNESS_CAPTURE_SCRIPT_H

#include "harness/script.h"

/*
 * The steps of a capture. There may be millions: each is checked once, when the file is parsed, and then kept as its place in the
 * text, to be read again when it is played. It costs its text and 16 bytes.
 */

enum {
	MAX_CAPTURE_TEXT = 256 << 20,
	MAX_CAPTURE_STEPS = 1 << 22,
	MAX_CAPTURE_NAMES = 1 << 22,
	MAX_CAPTURE_ACTORS = 65535,
	NOBODY = 65535,
};

#define NO_STEP UINT32_MAX

enum capture_part {
	PART_SEND,		/* a -> PACKET, and opens, reads */
	PART_END,		/* a drops, closes */
	PART_EXCHANGE,		/* a verb: sends, and waits for what answers */
	PART_ANSWER,		/* a <- CONNACK AUTH PUBACK PUBREC PUBCOMP SUBACK UNSUBACK PINGRESP */
	PART_DELIVERY,		/* a <- what the broker begins by itself: PUBLISH PUBREL DISCONNECT closed; a receives */
	PART_REMARK,		/* wait and note, of nobody */
};

struct capture_step {
	uint32_t at;		/* in the text */
	uint32_t line;
	uint32_t next;		/* of the same actor; NO_STEP */
	uint16_t actor;		/* or NOBODY */
	uint8_t part;
};

/* Where a name is bound. */
struct capture_name {
	uint32_t at, len, line;
};

struct capture_script {
	const struct capture_step *steps;
	const uint32_t *first;			/* step of each actor, and of nobody at [n_actors]; NO_STEP */
	const struct capture_name *names;	/* by slot */
	uint32_t n_steps, n_names;
};

/*
 * Reads steps again. scenario->text must stand where it stood when it was parsed, or hold the same bytes. A step lies in *region
 * and names actors and slots of the script; it is the same one that was checked. One reader at a time for each thread.
 */
struct capture_reader;
struct capture_reader *capture_reader_new(const struct script *script);		/* given */
const struct step *capture_read(struct capture_reader *reader, uint32_t number, struct region *region);
void capture_reader_free(struct capture_reader *reader);

#endif

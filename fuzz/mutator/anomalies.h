#ifndef FUZZ_MUTATOR_ANOMALIES_H
#define FUZZ_MUTATOR_ANOMALIES_H

#include "fuzz/mutator/mutate.h"

/* All anomalies, once: what is counted, listed and printed. false: the frame is right, remaining length and all; true: it may be false. */
#define ANOMALIES(X) \
	/* numbers */ \
	X(VALUE_AT_LIMIT,      false, "value at its limit") \
	X(VALUE_PAST_RANGE,    false, "value past its range") \
	X(VALUE_NEAR,          false, "value off by a little") \
	X(VALUE_DRAWN,         false, "value at random") \
	X(BITS_FLIPPED,        false, "bits flipped") \
	X(FLAG_CHANGED,        false, "flag changed") \
	X(FLAGS_RESERVED,      false, "reserved flags set") \
	X(FLAG_ALONE,          false, "flag without its fields") \
	X(REASON_FOREIGN,      false, "reason of another packet") \
	X(REASON_UNKNOWN,      false, "reason that nobody knows") \
	X(ID_ZERO,             false, "packet id 0") \
	X(ID_IN_USE,           false, "packet id in use") \
	X(ID_UNKNOWN,          false, "packet id unknown") \
	/* strings and bytes */ \
	X(STRING_EMPTIED,      false, "string emptied") \
	X(STRING_CUT,          false, "string cut") \
	X(STRING_DOUBLED,      false, "string doubled") \
	X(STRING_LONG,         false, "string long") \
	X(STRING_LONGEST,      false, "string as long as can be") \
	X(STRING_CHANGED,      false, "character changed") \
	X(STRING_NUL,          false, "NUL in a string") \
	X(STRING_CONTROL,      false, "control character in a string") \
	X(STRING_SURROGATE,    false, "surrogate in a string") \
	X(STRING_OVERLONG,     false, "overlong UTF-8") \
	X(STRING_NOT_UTF8,     false, "not UTF-8") \
	X(TOPIC_WILDCARD,      false, "wildcard put in") \
	X(TOPIC_DOLLAR,        false, "$ topic") \
	X(TOPIC_LEVELS,        false, "many levels") \
	X(TOPIC_SHARE,         false, "$share, odd") \
	X(BYTES_EMPTIED,       false, "bytes emptied") \
	X(BYTES_CHANGED,       false, "bytes changed") \
	X(BYTES_DOUBLED,       false, "bytes doubled") \
	X(BYTES_LONG,          false, "bytes, many of them") \
	X(SIZE_AT_BOUNDARY,    false, "size at a boundary") \
	/* properties */ \
	X(PROPERTY_ADDED,      false, "property added") \
	X(PROPERTY_MISPLACED,  false, "property out of place") \
	X(PROPERTY_REMOVED,    false, "property removed") \
	X(PROPERTY_REPEATED,   false, "property repeated") \
	X(PROPERTIES_MANY,     false, "property, hundreds of it") \
	X(PROPERTY_UNKNOWN,    false, "unknown property") \
	X(PROPERTY_CUT,        false, "property cut") \
	X(PROPERTY_WRONG_KIND, false, "property of another type") \
	X(PROPERTIES_TURNED,   false, "properties in another order") \
	X(PROPERTIES_EMPTIED,  false, "properties emptied") \
	X(VARINT_LONG,         false, "variable byte integer too long") \
	/* filters and codes */ \
	X(LIST_EMPTIED,        false, "list emptied") \
	X(ELEMENT_REMOVED,     false, "element removed") \
	X(ELEMENT_REPEATED,    false, "element repeated") \
	X(ELEMENT_ADDED,       false, "element added") \
	X(LIST_LONG,           false, "list of hundreds") \
	X(OPTIONS_CHANGED,     false, "subscription options changed") \
	/* the packet */ \
	X(TYPE_CHANGED,        false, "packet type changed") \
	X(VERSION_CHANGED,     false, "protocol version changed") \
	X(FIELD_ADDED,         false, "field added") \
	X(FIELD_OMITTED,       false, "field omitted") \
	X(ENDS_EARLY,          false, "packet ends early") \
	X(TRAILING,            false, "trailing bytes") \
	X(FLAG_FALSE,          false, "flag against its fields") \
	X(STRING_LENGTH_FALSE, false, "length of a string lies") \
	X(PROPERTY_LENGTH_FALSE, false, "property length lies") \
	X(REMAINING_LENGTH_FALSE, true, "remaining length lies") \
	X(LENGTH_OVERLONG,     false, "overlong length") \
	X(PACKET_CUT,          true,  "packet cut off") \
	/* bytes that are no packet, or as if they were none */ \
	X(RAW_FLIPPED,         true,  "bit flipped") \
	X(RAW_CHANGED,         true,  "byte changed") \
	X(RAW_INSERTED,        true,  "bytes inserted") \
	X(RAW_REMOVED,         true,  "bytes removed") \
	X(RAW_REPEATED,        true,  "bytes repeated") \
	X(RAW_MOVED,           true,  "bytes moved") \
	X(RAW_NUMBER,          true,  "bytes made a limit") \
	X(RAW_WORD,            true,  "word put in") \
	/* order */ \
	X(MOVE_REMOVED,        false, "move removed") \
	X(MOVES_REMOVED,       false, "moves removed") \
	X(MOVE_REPEATED,       false, "move repeated") \
	X(MOVE_REPEATED_MUCH,  false, "move repeated much") \
	X(MOVES_REPEATED,      false, "moves repeated") \
	X(REPEATED_ANEW,       false, "repeated with other names and ids") \
	X(MOVES_SWAPPED,       false, "moves swapped") \
	X(MOVE_ELSEWHERE,      false, "move moved") \
	X(PACKET_ADDED,        false, "packet added") \
	X(PACKET_OF_OTHER,     false, "packet from another case") \
	X(SPLICED,             false, "moves from another case") \
	X(SPLICED_TAIL,        false, "ends as another case") \
	X(BESIDE_OTHER,        false, "another case beside it") \
	/* timing */ \
	X(PAUSE_ADDED,         false, "pause added") \
	X(WAIT_ADDED,          false, "wait added") \
	X(PAUSES_REMOVED,      false, "nothing waited for") \
	X(AWAIT_ADDED,         false, "answer awaited") \
	X(WRITE_CUT,           false, "write cut in pieces") \
	X(WRITES_JOINED,       false, "writes joined") \
	X(WRITE_CROWDED,       false, "packet repeated in one write") \
	/* connections */ \
	X(TAKEOVER,            false, "takeover in between") \
	X(DROPPED,             false, "dropped in the middle") \
	X(CLOSED,              false, "closed in the middle") \
	X(READER_STOPS,        false, "reader stops") \
	X(GIVEN_AWAY,          false, "moves given to another client") \
	X(CLIENT_DOUBLED,      false, "client doubled") \
	X(CLIENT_ADDED,        false, "client added") \
	X(WILL_BETWEEN,        false, "will in between") \
	X(RECONNECT,           false, "reconnects to its session") \
	X(SHARED,              false, "subscriptions shared") \
	X(RETAINED_CROSS,      false, "retained messages cross") \
	X(SESSION_KEPT,        false, "session kept") \
	X(DEEPENED,            false, "topic of many levels, twice") \
	X(ALIAS_USED,          false, "topic named by an alias") \
	X(NEAR_PACKET_SIZE,    false, "size near Maximum Packet Size") \
	/* sessions */ \
	X(KEEP_ALIVE_AT_LIMIT, false, "keep alive at a limit") \
	X(EXPIRY_AT_LIMIT,     false, "session expiry at a limit") \
	X(STRAY_ANSWER,        false, "answer that nobody waits for") \
	X(SENT_AGAIN,          false, "exchange begun again") \
	X(WINDOW_NARROWED,     false, "more than a window takes") \
	/* routes */ \
	X(WILL_WATCHED,        false, "will that somebody watches") \
	X(RETAINED_NEAR,       false, "retained near each other") \
	/* steered */ \
	X(STEERED,             false, "steered by its state") \
	X(ANSWERED,            false, "answer put in") \
	X(ANSWERED_WRONG,      false, "wrong answer put in") \
	X(ANSWER_CHANGED,      false, "answer changed") \
	X(LIMITS_CHANGED,      false, "limits changed")

enum anomaly_kind {
#define X(id, lies, name) ANOMALY_##id,
	ANOMALIES(X)
#undef X
	N_ANOMALIES
};

/* Sets the name and begins the path; anomaly may be NULL. The writer is where the path goes on: end it with anomaly_end(). */
struct writer anomaly_begin(struct anomaly *anomaly, enum anomaly_kind kind);
void anomaly_end(struct anomaly *anomaly, const struct writer *path);
void path_number(struct writer *path, uint32_t number);

/* Whether the frame that it leaves may be false: its lengths no longer say where packets end. */
bool anomaly_lies(const struct anomaly *anomaly);

/* ---- values, in mutate_value.c ---- */

/* One packet under the knife. What it is made of borrows from the bytes that were read and from the arena. */
struct edit {
	struct packet packet;
	struct lies lies;
	struct random *random;
	struct arena *arena;
	enum sender from;
	size_t room;			/* it may be so much longer */
	size_t around;			/* what the variable length around a string counts besides that string */
	const struct row *false_length;	/* the length of this string is altered when all is written */
	uint8_t flip_first, flip_connect_flags;	/* flipped when all is written, fields as they are */
	size_t cut;			/* taken off its end when all is written */
	bool fills;			/* the payload makes the PUBLISH as large as wanted: */
	size_t size;			/* in all; 0: a boundary */
	/* what was done, and to what */
	enum anomaly_kind kind;
	const struct field *field;
	const char *part;		/* where it is no field: "remaining_length"; NULL */
	int32_t nth;			/* of a list; -1 */
};

static inline bool one_in(struct random *random, unsigned n)
{
	return random_below(random, n) == 0;
}

/* Each sets edit->kind and gives another value; false: this one cannot be had. */
bool edit_number(struct edit *edit, enum kind kind, enum limit limit, uint64_t *number);
bool edit_reason(struct edit *edit, uint64_t *code);
bool edit_text(struct edit *edit, bool topic, struct span *text);
bool edit_bytes(struct edit *edit, struct span *bytes);

/* The PUBLISH with a payload that makes it `size` bytes in all. False: it is none, cannot be, or is so already. */
bool mutate_publish_size(struct span bytes, enum version version, size_t size, struct arena *arena, struct writer *w);

/* ---- lists, in mutate_lists.c ---- */

bool edit_properties(struct edit *edit, const struct field *list);	/* `properties` or `will.properties` */
bool edit_elements(struct edit *edit, const struct field *list);	/* filters and codes */

#endif

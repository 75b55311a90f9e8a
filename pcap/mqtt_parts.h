#ifndef PCAP_MQTT_PARTS_H
#define PCAP_MQTT_PARTS_H

#include "pcap/mqtt_stage.h"

/* What the files of the MQTT stage share; nobody else includes it. */

enum {
	WAIT_BYTES = 8192,		/* kept of each end until it is known whether this is MQTT */
	WAIT_LIKELY = 256 * 1024,	/* then given up, on one of MQTT's ports, where a window slides so far */
	SEEK_WINDOW = 32 * 1024,	/* in which the next packet is sought */
	MAX_MARKS = 256,
	MAX_CANDIDATES = 24,
	ALIAS_BYTES = 64 * 1024,	/* of topics that one direction's aliases stand for */
	ALL_BYTES = 12 << 20,		/* beside two packets of the largest size: what all stages together may hold */
	DEFAULT_MAX_PACKET = 1 << 20,
};

/*
 * Evidence is counted in bits: that bytes which are no packet look like this one by chance is taken to be 2 to the minus so many.
 */
enum {
	BITS_FOUND = 26,		/* a packet's beginning behind a hole, at the beginning of a segment */
	BITS_FOUND_LAST = 20,		/* when no more will come to be judged by */
	BITS_BY_CONNECT = 18,		/* a connection's first bytes, on one of MQTT's ports */
	BITS_LIKELY = 26,		/* midway, on one of MQTT's ports */
	BITS_ANYWHERE = 48,		/* midway, on any other */
	BITS_SURE = 80,			/* then there is no doubt left where packets begin */
	BITS_CONFIRMED = 10,		/* its packet id is acknowledged */
	BITS_BAD = 30,			/* what a packet that breaks a rule takes away */
};

enum mark_kind { MARK_BYTES, MARK_HOLE, MARK_CLOSED, MARK_RESET };

struct mark {			/* something that came in, while it could not be judged yet */
	uint32_t at;			/* where in the lane's buffer */
	uint32_t nth;			/* its place in what came from both ends */
	uint8_t kind, why;
	uint64_t missing;
	struct when when;
};

struct marks {
	struct mark *at;
	uint32_t n, cap;
};

struct candidate {		/* an offset at which a packet may begin, and those that follow on it */
	uint32_t start, next;		/* next: the first byte that has not been judged */
	uint16_t bits, ahead;		/* of packets that are whole; of the one that begins at next */
	bool at_segment;
};

struct seek {
	struct marks marks;
	uint32_t scanned;		/* offsets before it are judged */
	uint32_t n;
	uint64_t tried, dropped;	/* offsets ever judged; bytes no longer in the window */
	uint64_t told;			/* of those passed over, told as a hole already */
	bool cut;			/* the window does not end where a piece ends */
	struct candidate live[MAX_CANDIDATES];
};

struct alias {
	uint16_t alias, len;		/* 0: free */
	uint8_t *topic;
};

struct aliases {
	struct alias *slots;
	uint32_t n, cap;		/* cap: a power of 2 */
	size_t bytes;
};

enum { N_TOPICS = 16, N_IDS = 8 };

struct lane {			/* one direction */
	uint8_t *buf;			/* of a packet that is not whole, or the window, or what waits */
	uint32_t len, cap;
	uint32_t size;			/* of the packet being collected, 0: its length is not whole */
	bool started;			/* something of this end came, be it a hole */
	bool whole;			/* while waiting: nothing was missed from the connection's first byte on */
	bool sure;
	bool fresh;			/* joined midway, and no packet of this end was found yet */
	bool replaying;			/* what was in the window is being read: search on when that is done */
	uint8_t bad_in_a_row;
	uint8_t why;			/* enum hole_why: of the search, or of what is passed over */
	uint16_t bits, counted;		/* evidence for the place; of which for packets not yet read */
	struct when first;		/* of the packet being collected */
	struct when latest;		/* of its pieces so far: where segments came in another order that is not the last one's */
	uint64_t pass;			/* so many bytes more belong to a packet that is passed over */
	uint64_t passed;		/* of it, and not told yet */
	struct seek *seek;		/* not NULL: it is not known where packets begin */
	struct aliases aliases;
	uint16_t topics[N_TOPICS];	/* seen lately: evidence, behind a hole */
	uint16_t ids[N_IDS];		/* that wait for an answer from the other end */
};

struct mqtt_stage {
	struct stage stage;
	struct mqtt_listener *listener;
	struct mqtt_options options;
	uint32_t max_packet;
	struct conversation *conversation;
	bool gave_up;
	bool forced_by_version;		/* options say the version */
	bool version_known;		/* a CONNECT said it */
	bool roles_known;
	uint8_t version, client;	/* as taken at the moment; client: an end */
	int16_t lean;			/* bits for 5, against 3.1.1 */
	size_t kept;			/* when the options name no other place to count */
	uint32_t nth;
	bool introduced;
	uint64_t passed[2];		/* bytes that waited and were let go */
	struct marks waiting[2];
	uint8_t *client_id;
	struct lane lanes[2];
};

static inline enum sender sender_of(const struct mqtt_stage *s, unsigned end)
{
	return end == s->client ? FROM_CLIENT : FROM_SERVER;
}

static inline bool version_settled(const struct mqtt_stage *s)
{
	return s->version_known || s->forced_by_version || s->lean >= 40 || s->lean <= -40;
}

/* ---- mqtt_room.c: memory, counted ---- */

/* Room for n bytes in all; false when there is none to be had. */
bool mqtt_reserve(struct mqtt_stage *s, struct lane *lane, size_t n);
void mqtt_give_back(struct mqtt_stage *s, struct lane *lane);
/* n more bytes may be held. */
bool mqtt_hold(struct mqtt_stage *s, size_t n);
void mqtt_let_go(struct mqtt_stage *s, size_t n);
struct mark *mqtt_mark(struct mqtt_stage *s, struct marks *marks);	/* one more, not filled in; NULL: no room */
void mqtt_free_marks(struct mqtt_stage *s, struct marks *marks);

/* ---- mqtt_alias.c ---- */

/* What an alias stands for from now on; without room for it, it stands for nothing known. */
void mqtt_alias_set(struct mqtt_stage *s, struct aliases *aliases, unsigned alias, struct span topic);
struct span mqtt_alias_find(const struct aliases *aliases, unsigned alias);	/* .at NULL: not known */
void mqtt_alias_forget(struct mqtt_stage *s, struct aliases *aliases);

/* ---- mqtt_infer.c ---- */

enum look { LOOK_DEAD, LOOK_WAIT, LOOK_WHOLE };

struct sight {
	size_t size;			/* LOOK_WHOLE */
	unsigned bits;			/* also of what is there of one that is not whole */
};

/* Whether a legal packet may begin here; lane and other may be NULL, else what was seen before counts. */
enum look mqtt_look_as(struct span bytes, enum version version, enum sender from, uint32_t max_packet,
                       const struct lane *lane, const struct lane *other, struct sight *sight);
/* The same by what is held to be so in this conversation, and by what else is possible. */
enum look mqtt_look(const struct mqtt_stage *s, unsigned end, struct span bytes, struct sight *sight);

/*
 * Judge a packet where version, roles or the place are not certain: what it says about these is taken in, and the packet
 * decoded by what is held now. False: it is none, as far as can be said.
 */
bool mqtt_weigh(struct mqtt_stage *s, unsigned end, struct span bytes, struct seen_packet *seen);

/* What the packet tells for later: topics and ids, who and which version, aliases; fills in seen->topic. */
void mqtt_learn(struct mqtt_stage *s, unsigned end, struct seen_packet *seen);
/* The beginning of a PUBLISH, the rest of which is lost. False: it cannot be said which alias it sets. */
bool mqtt_learn_part(struct mqtt_stage *s, unsigned end, struct span part);
uint16_t mqtt_topic_hash(struct span topic);

/* ---- mqtt_frames.c ---- */

void mqtt_read(struct mqtt_stage *s, unsigned end, struct span bytes, const struct when *when);
void mqtt_gap(struct mqtt_stage *s, unsigned end, uint64_t len, enum hole_why why, const struct when *when);
void mqtt_finish(struct mqtt_stage *s, unsigned end, const struct when *when);	/* no more will come */
/* One whole packet; false: it is none. */
bool mqtt_take(struct mqtt_stage *s, unsigned end, struct span bytes, const struct frame *frame, const struct when *first, const struct when *when);
void mqtt_tell_hole(struct mqtt_stage *s, unsigned end, enum hole_why why, uint64_t bytes, uint64_t skipped, const struct when *when);

/* ---- mqtt_resync.c ---- */

/* It is not known any more where packets begin. */
void mqtt_seek(struct mqtt_stage *s, unsigned end, enum hole_why why);
/* While seeking. Takes all bytes, or so many of them, when the place was found. */
size_t mqtt_seek_bytes(struct mqtt_stage *s, unsigned end, struct span bytes, const struct when *when);
/* What is passed over so far is told. */
void mqtt_seek_tell(struct mqtt_stage *s, unsigned end, const struct when *when);
/* What is there is all there is: it is judged by that. Still seeking, with nothing in the window, if nothing was found. */
void mqtt_seek_last(struct mqtt_stage *s, unsigned end, const struct when *when);
/* The other end has acknowledged a packet of that id: one in the window that has it is more likely one. */
void mqtt_seek_confirmed(struct mqtt_stage *s, unsigned end, unsigned id);
void mqtt_seek_free(struct mqtt_stage *s, unsigned end);

/* ---- mqtt_detect.c ---- */

void mqtt_wait(struct mqtt_stage *s, unsigned end, struct span bytes, const struct when *when);
void mqtt_wait_mark(struct mqtt_stage *s, unsigned end, enum mark_kind kind, uint64_t missing, enum hole_why why, const struct when *when);
void mqtt_wait_last(struct mqtt_stage *s, const struct when *when);	/* the connection is over */
unsigned mqtt_client_by_ports(const struct mqtt_stage *s);

/* ---- mqtt_stage.c ---- */

enum why_open { BY_CONNECT /* or something much like it */, BY_EVIDENCE, BY_ORDER };

/* It is MQTT: what waited is read. */
void mqtt_open(struct mqtt_stage *s, unsigned client, enum version version, enum why_open why, const struct when *when);
void mqtt_give_up(struct mqtt_stage *s);
void mqtt_set_client(struct mqtt_stage *s, unsigned end, bool known);
/* Before anything is told of the conversation; what is known of it is filled in. */
void mqtt_introduce(struct mqtt_stage *s, const struct when *when);
void mqtt_close(struct mqtt_stage *s, unsigned end, bool reset, const struct when *when);

#endif

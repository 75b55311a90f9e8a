#ifndef FUZZ_NETWORK_PLAYER_INTERNAL_H
#define FUZZ_NETWORK_PLAYER_INTERNAL_H

#include "fuzz/mutator/steer.h"
#include "fuzz/network/player.h"
#include "harness/conn.h"
#include "harness/dues.h"
#include "harness/offences.h"

/* What the files of the player share; nobody else includes this. */

enum { ASKED = 8, HEARD = 32, CLIENT_IDS = 16, CLIENT_ID_LEN = 63, MOST_ANSWERS = 64, MOST_LATE = 4, MOST_PROVEN = 64 };

/* client.last_sent and what came, beside the packet types. */
enum { NOTHING = 0, UNREADABLE = N_PACKET_TYPES, ENDED, SILENCE };

struct client {
	struct conn conn;
	struct play *play;
	struct steered steered;
	struct offences offences;
	struct asked { uint64_t sent_ns; uint16_t packet_id; uint8_t type; } asked[ASKED];	/* unanswered, to be timed; type 0: free */
	struct heard { uint16_t packet_id; uint8_t answer; } heard[HEARD];	/* theirs not acknowledged: by which type they are to be; 0: free */
	uint8_t next_heard;
	uint8_t *part;			/* of ours: bytes that are not a whole packet yet; NULL */
	uint32_t part_len;
	uint32_t sent_at, heard_at;	/* play.clock when it last sent something, and when it last heard something */
	uint64_t active_ns;		/* of the later of the two */
	uint8_t version, last_sent;
	bool pending;			/* the target has not been heard yet: it may not even have accepted the connection */
	bool has_connected;		/* a CONNECT that can be read was sent */
	bool must_end;			/* the target has said that it will end the connection */
	bool astray;			/* what we send cannot be framed any more */
	bool part_told;			/* to the monitor, as an offence */
	bool given_up;			/* patience is over: what it waits for is not waited for any more */
};

struct play {
	struct player *player;
	struct play *next, *prev;	/* among those under way, or the idle */
	struct play *next_ready;
	const struct moves *moves;
	struct moves *did;
	struct tap *tap;
	void (*done)(void *context, const struct played *played);
	void *context;
	struct timer timer;
	uint64_t begun_ns, wait_ns;	/* of the case; since when this move is waited for */
	uint32_t at;			/* the move */
	uint32_t clock, stirred_at;	/* counts what is sent; when something was that others may notice */
	uint64_t stirred_ns;
	uint8_t n_late, n_ids, last_client;
	uint8_t n_pinged;		/* rounds of pings at its end */
	bool pinged_all;		/* there are no more of them */
	bool queued, waiting, held;
	struct dues *dues;		/* what its clients are owed; NULL before the first case that has it judged */
	uint64_t owed_since_ns;		/* the moves are over, and something is; 0 */
	bool judges_dues, asked_last;	/* whoever waits was asked whether all has come */
	char name[MOVES_NAME_LEN + 1];
	struct client *accused;		/* whose packet the symptom is about, until it is known which packet that is; NULL */
	struct { uint8_t len; uint8_t at[CLIENT_ID_LEN]; } ids[CLIENT_IDS];	/* whose sessions the monitor is to forget */
	struct played played;
	struct client clients[MOVES_CLIENTS];
};

struct room {
	uint8_t *at;
	size_t cap;
};

struct player {
	struct player_options options;
	struct monitor_world *world;
	struct monitor_log log;
	struct conn_limits limits;
	struct task task, reaper;
	struct play *busy, *idle;
	struct play *ready, **last_ready;
	size_t n_busy, n_ready, n_held;
	unsigned n_pending;		/* clients that are */
	uint64_t answer_ns;		/* smoothed: how long the target takes to answer */
	struct known_offence { const char *clause; uint8_t version; } proven[MOST_PROVEN];	/* the target goes on serving behind them */
	unsigned n_proven;
	struct room bytes, dressed;
	bool closed, holds;
};

static inline bool client_lives(const struct client *c)
{
	return c->conn.transport && !c->conn.end;
}

static inline void client_is_heard(struct client *c)
{
	c->play->player->n_pending -= c->pending;
	c->pending = false;
}

uint8_t *room_for(struct room *room, size_t len);
void play_wake(struct play *p);

static inline unsigned number_of(const struct client *c)
{
	return (unsigned)(c - c->play->clients);
}

void play_sends_made(struct play *p, struct client *c, const struct move *move, const struct writer *w);
void play_pings(struct client *c);
bool client_serves(const struct client *c);	/* it is connected, reads, and has been answered all the while */

/* ---- player_dues.c ---- */

/* All that is owed has come, or it is known that it has not. False: *deadline_ns is until when it may. */
bool play_dues_settled(struct play *p, uint64_t *deadline_ns);

/* ---- player_breach.c: what is no matter of the monitor ---- */

void play_breach(struct client *c, uint8_t version, const char *clause, enum packet_type type, const char *text);
void play_note_offence(struct client *c, const struct packet *packet);		/* it came: does it say that an offence was taken? */
/* Whoever must be gone and is not was asked whether he is served. False: *deadline_ns is until when. */
bool play_offences_settled(struct play *p, uint64_t *deadline_ns);

/* ---- player_send.c ---- */

/* bytes lie in player.bytes: they are given the case's names, and its user, told to the monitor, and sent. piece as conn_send()'s. */
void client_send(struct client *c, size_t len, size_t piece);
void client_stirs(struct client *c);		/* it did something that others may notice */
void play_tell_parts(struct play *p);		/* somebody else's turn: packets that are only half sent are offences */
/* Takes down what was done. bytes as sent, or as they stood; names is whether they have the case's names. */
void play_did(struct play *p, const struct move *move, struct span bytes, bool named);
void client_forget_part(struct client *c);

/* ---- player_answer.c ---- */

extern const struct conn_events client_events;
void play_answer(struct play *p, const struct client *c, unsigned came, unsigned how);	/* one more of played.answers */
void play_violated(void *owner, struct monitor *monitor, const struct violation *violation);	/* monitor_log.violated; owner is the player */
void client_asked(struct client *c, const struct packet *packet);
void play_note_id(struct play *p, struct span client_id);
bool client_answers(struct client *c, const struct packet *packet);	/* an acknowledgement of what has come, or none at all */

#endif

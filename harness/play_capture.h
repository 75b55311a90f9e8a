#ifndef HARNESS_PLAY_CAPTURE_H
#define HARNESS_PLAY_CAPTURE_H

#include "harness/capture_script.h"
#include "harness/order.h"
#include "harness/play.h"

/*
 * Playing a capture, shared by play_capture.c and capture_*.c and by nobody else.
 *
 * Each actor goes through its own steps. What was seen is not what a broker must do: a step that does not come out as it was
 * captured is noted, and its actor goes on. What matters is that what caused something comes before it again. So
 *
 * - sends go out in the order of the file, as far as their actors have come to them;
 * - a send waits until every answer that stands before it in the file (CONNACK AUTH PUBACK PUBREC PUBCOMP SUBACK UNSUBACK PINGRESP, and
 *   the exchange of a verb), whosever it is, was taken or did not come in time, and until every client that left before it has left:
 *   for one who is gone a broker queues, wills, forgets;
 * - a delivery (PUBLISH, PUBREL, DISCONNECT), and the end of a connection, holds up its own actor only. Where a broker delivers later than
 *   the one that was captured, that must not stop those without whom it would never deliver: an actor that has waited for HELD_SHARE
 *   of the time-out is adrift, and nobody waits for its answers until it has caught up. The time of a delivery counts from when all
 *   sends before it are out, for one of them may cause it;
 * - patience halves with each arrival in a row that did not come, so that a broker which delivers nothing does not take an hour; and
 *   after NEARLY deliveries in a row that were only nearly what was captured, the next such one is taken at once.
 *
 * None of this can stand still: what is first in the file of all that waits has nothing to wait for but the broker, and time.
 */

enum { HELD_SHARE = 20, MAX_HALVINGS = 12, NEARLY = 3 };

enum player_state {
	PLAYER_LOOKS,		/* at its step, which may wait for something */
	PLAYER_READY,		/* its step acts, when its turn comes */
	PLAYER_WAITS,		/* for an arrival, or its step's time */
	PLAYER_SENDS,		/* until its writes are out, or the broker has closed too */
	PLAYER_DONE,
};

struct player {				/* an actor's way through its steps; the last one plays those of nobody */
	struct capture_play *play;
	struct actor_state *actor;	/* NULL: nobody */
	struct player *next_woken;
	const struct step *step;	/* NULL: not read yet */
	uint32_t number;		/* of its step; NO_STEP: it is done */
	uint32_t answer;		/* the first from there on that others wait for; NO_STEP */
	uint32_t send;			/* the first from there on that acts; NO_STEP */
	uint8_t state;
	uint8_t phase;			/* of an exchange, of `receives`, of leaving */
	bool woken;
	bool adrift;
	bool timeless;			/* it waits for a delivery before which something is still to be sent: its time does not run */
	bool late;			/* its time is up: what is nearly what was captured will do */
	uint8_t n_missed[2];		/* in a row: answers, deliveries */
	uint8_t n_nearly;		/* deliveries in a row that were only nearly what was captured */
	bool gone;			/* said that its connection is */
	uint32_t n_dropped;		/* packets that came when nothing could take them any more, beside those in the inbox */
	uint64_t due_ns, held_ns;	/* its time is up; it is adrift, and takes what is nearly what was captured */
	struct timer timer;
	struct strand strand;		/* what eval() and send_step() work with */
	struct region region;		/* its step lies here */
	struct span *aliases;		/* the broker's topics, by alias; in the timeline's region */
	uint32_t cap_aliases;
};

struct capture_play {
	struct timeline *timeline;
	const struct capture_script *capture;
	struct capture_reader *reader;
	struct player *players;		/* n_actors + 1 */
	struct player *woken, **last_woken;
	struct order ready;		/* steps that act, of who has come to one */
	struct order answers;		/* steps that hold up others, of who is not adrift */
	struct order sends;		/* the next step of each that acts */
	struct order timeless;		/* steps whose time does not run yet */
	uint32_t n_left;		/* players that are not done */
	uint32_t n_refused;		/* connections */
	bool settling, asked;		/* all is played: what comes now was not captured; is the target still there? */
	struct replayed *replayed;
};

/* capture_take.c. True: the step is done, well or not. */
bool capture_take(struct player *pl);		/* what has come by now */
void capture_expired(struct player *pl);	/* it did not come */
bool capture_begin_exchange(struct player *pl);	/* false: it waits */
void capture_unasked(struct player *pl);	/* what is left in the inbox is counted and goes */
int64_t capture_unbound(const struct player *pl, const struct step *step);	/* the slot of a name that a send needs and nobody bound; -1 */
uint64_t capture_key(struct span topic, struct span payload);

/* capture_act.c */
void capture_act(struct player *pl);			/* its turn has come */
void capture_leave(struct player *pl);			/* goes on with `drops` or `closes` */
void capture_pass_over(struct player *pl);		/* a step that its connection is no more for */
bool capture_is_gone(const struct player *pl);		/* its connection */

/* capture_note.c */
void capture_differs(struct player *pl, const char *expected, const char *received, const char *because);
void capture_notes(struct player *pl, const char *format, ...) __attribute__((format(printf, 2, 3)));
const char *capture_said(const struct player *pl);	/* its step, but for what a CONNECT holds, which may be secret */
const char *capture_survives(struct timeline *t);	/* the timeline goes on: what would have ended it, as a text; NULL: nothing did */

/* play_capture.c */
void capture_advance(struct player *pl);		/* the step is done */
void capture_waits(struct player *pl);			/* for an arrival */
void capture_rests(struct player *pl, enum player_state state, uint64_t due_ns);
const struct step *capture_step(struct player *pl);	/* reads it, if it is not read yet */
uint64_t capture_patience(struct player *pl);		/* how long for the step at hand */
uint64_t capture_held_time(const struct timeline *t);	/* how long others wait for who is held up */

#endif

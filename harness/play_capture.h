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
 * - so it may be with the actor itself: one that owes the broker something, an acknowledgement or PUBREL, leaves a PUBLISH open after
 *   that time, or when another actor is adrift, and goes on. What names what the delivery binds goes with it. Acknowledgements pass it;
 *   an own PUBLISH is held behind it, for an answer is not to overtake its request; other sends wait, unless the actor still owes something;
 * - where the target's Receive Maximum is used up, a PUBLISH waits; if a PUBREL of the actor's own may free it, it is held in the same
 *   way, with all that follows upon it, and acknowledgements go ahead;
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
	PLAYER_HELD,		/* until the target's Receive Maximum has room */
	PLAYER_DONE,
};

struct own_alias {			/* what the client's alias stands for */
	struct span topic;		/* in the timeline's region */
	bool told;			/* to the target */
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
	struct aside *asides;		/* oldest first */
	uint16_t n_asides, n_held;	/* of them, PUBLISHes that are still held */
	uint32_t n_unreleased, n_unacknowledged;	/* QoS 2 messages sent without PUBREL; deliveries that came */
	struct own_alias *own_aliases;
	uint32_t cap_own_aliases;
	uint8_t *kept_back;		/* bits of packet ids whose PUBLISH was not sent, or with less QoS; NULL: none */
	uint8_t noted;			/* limits, once each */
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
	struct order held;		/* PUBLISHes that were held, until their turn comes */
	struct order openable;		/* of them those that may be left open */
	uint32_t n_left;		/* players that are not done, and what they have put aside */
	uint32_t n_refused;		/* connections */
	bool stuck;			/* somebody has gone adrift */
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

void capture_says_gone(struct player *pl);		/* that its connection is; once */
void capture_send_aside(struct player *pl);		/* its step, that was put aside, as a send without a turn */

/* capture_aside.c */
void capture_asides(struct player *pl);			/* as far as they go */
void capture_asides_free(struct player *pl);
bool capture_put_aside(struct player *pl);		/* true: its step belongs to what was put aside */
bool capture_passes(const struct player *pl);		/* its step, which sends, what was put aside */
bool capture_has_open(const struct player *pl);		/* a delivery */
bool capture_is_ack(const struct step *step);		/* or PINGREQ: it frees, and changes nothing */
bool capture_may_leave_open(const struct player *pl);	/* its step */
void capture_leave_open(struct player *pl);		/* and goes on */
bool capture_may_hold(const struct player *pl);		/* its step, a PUBLISH for which there is no room; false: it waits in its place */
void capture_hold(struct player *pl);			/* the caller goes on */
uint32_t capture_aside_send(const struct player *pl);	/* the first that is held; NO_STEP */
uint32_t capture_aside_answer(const struct player *pl);	/* the first that belongs to one, and that others wait for; NO_STEP */

/* capture_limits.c */
bool capture_owes(const struct player *pl);		/* the target may wait for it */
bool capture_has_room(const struct player *pl, const struct step *step);	/* a PUBLISH, in the target's Receive Maximum */
void capture_no_room(struct player *pl);		/* and there was none in its step's time */
bool capture_cannot_come(const struct player *pl);	/* its step: its PUBLISH was kept back, or lowered */
bool capture_is_passed_over(const struct player *pl, const struct packet *packet);	/* it answers one that was lowered */
bool capture_is_lower(struct player *pl);		/* its step follows upon a delivery that came with less QoS, and is done therewith */
bool capture_follows(const struct step *step);		/* upon a PUBLISH of the client */
uint16_t capture_step_id(const struct step *step);	/* the packet id that the file says; 0: none */
void capture_forget_limits(struct player *pl);		/* another connection begins */

/* capture_note.c */
void capture_differs(struct player *pl, const char *expected, const char *received, const char *because);
void capture_notes(struct player *pl, const char *format, ...) __attribute__((format(printf, 2, 3)));
const char *capture_said(const struct player *pl);	/* its step, but for what a CONNECT holds, which may be secret */
const char *capture_survives(struct timeline *t);	/* the timeline goes on: what would have ended it, as a text; NULL: nothing did */

/* play_capture.c; arrivals: capture_arrive.c */
void capture_advance(struct player *pl);		/* the step is done */
void capture_waits(struct player *pl);			/* for an arrival */
void capture_rests(struct player *pl, enum player_state state, uint64_t due_ns);
const struct step *capture_step(struct player *pl);	/* reads it, if it is not read yet */
uint64_t capture_patience(struct player *pl);		/* how long for the step at hand */
uint64_t capture_held_time(const struct timeline *t);	/* how long others wait for who is held up */

#endif

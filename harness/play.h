#ifndef HARNESS_PLAY_H
#define HARNESS_PLAY_H

#include "codec/generate.h"
#include "harness/arrival.h"
#include "harness/build_step.h"
#include "harness/claimant.h"
#include "harness/dues.h"
#include "harness/offences.h"
#include "harness/timeline.h"

/* The inside of a timeline, shared by play*.c and by nobody else. */

struct breach {
	const char *clause, *text;
	uint8_t version;
};

struct prober {
	struct conn conn;
	struct timeline *timeline;
};

/* One question at a time: an answer is good for every strand that asked before it came. */
enum probe_state { PROBE_NONE, PROBE_ASKED, PROBE_SERVED, PROBE_FAILED };

/* ---- the inbox ---- */

enum { MAX_INBOX = 20000, MAX_INBOX_BYTES = 32 << 20 };

struct arrival {
	struct arrival *next;
	uint64_t at_ns;
	uint8_t kind, type;	/* type 0: the end of the connection */
	uint16_t packet_id;
	uint32_t len;
	uint64_t key;		/* of a capture's delivery: of its topic and payload */
	struct span topic;	/* of one that names it by an alias, in a capture; in the timeline's region */
	uint8_t bytes[];
};

/* ---- actors ---- */

struct open_id {		/* answers we are owed, by packet id */
	uint16_t packet_id, owed;
};

struct actor_state {
	struct conn conn;
	struct timeline *timeline;
	uint16_t number;
	uint8_t version;
	bool connected;			/* CONNACK accepted on this connection */
	bool ever_opened;
	bool session_kept;		/* the session of its last CONNECT may outlive the connection */
	bool ended;			/* the end stands in, or was taken from, the inbox of this connection */
	uint16_t last_id;		/* packet ids are given in order from 1 */
	uint16_t pings_owed, probes_owed;	/* PINGRESPs the scenario and the engine wait for */
	uint16_t n_in, n_of[N_ARRIVAL_KINDS];	/* in the inbox */
	uint32_t in_bytes;
	struct arrival *in, **last_in;
	struct open_id *open;
	uint32_t n_open, cap_open;
	uint64_t last_step_ns;		/* when its previous step was done */
	struct span client_id;		/* of its last CONNECT, or assigned; in the timeline's region */
	struct offence {		/* the last packet sent that was wrong on purpose, as it stands on the wire */
		uint8_t type;		/* 0: none */
		bool has_id;
		uint16_t packet_id;
		uint8_t connects;	/* of a CONNECT: how many went before it on the connection */
	} offence;
	struct claimant *claimant;	/* what its scram() stands for; NULL before the first */
	uint8_t n_connects, n_connacks;	/* on this connection; they stop at 255 */
	struct seen {			/* deliveries taken on this connection: 3.1.1 may send them again */
		uint16_t packet_id;
		uint64_t hash;
	} *seen;
	uint32_t n_seen, cap_seen;
};

/* ---- strands ---- */

enum { MAX_DEPTH = 32 };

enum strand_state {
	STRAND_RUNS,
	STRAND_WAITS,		/* for an arrival: want */
	STRAND_SLEEPS,		/* until due_ns */
	STRAND_SENDS,		/* until its actor's writes are out */
	STRAND_JOINS,		/* until its children are done */
	STRAND_DONE,
};

struct want {
	uint32_t actors;	/* bits */
	uint8_t kind;
	bool has_id;
	uint16_t packet_id;
};

struct mismatch {		/* why an arrival is not what a step expects */
	const char *expected, *received, *because;
	bool judged;		/* false: part of a set-up exchange */
	const char *oracle;	/* of a finding: what it shows by; NULL: the step itself */
};

/* What the engine has to know of a kind of step. */
struct step_trait {
	bool acts;			/* an actor's: `wait`, `note` and blocks are steps of nobody */
	bool takes;			/* is offered arrivals; `closed` and `nothing` look at what is left */
	bool judges;			/* its arrival; of an exchange only what stands behind `gets` is judged */
};

extern const struct step_trait step_traits[STEP_ANSWERS + 1];

/* A line of control. A timeline has one; unordered, either and maybe add others for a while. */
struct strand {
	struct strand *next;		/* all of a timeline, in the order in which arrivals are offered */
	struct strand *parent;
	const struct step *step;
	bool single;			/* ends after the step it began with */
	bool is_maybe, is_arm, chosen;
	bool moving;			/* strand_run() is at work on it: who completes its group need not */
	uint8_t state;
	uint8_t phase;			/* within an exchange */
	uint8_t depth;
	uint8_t probing;		/* its time is up and the target is asked whether it still serves: 1 by a ping, 2 afresh */
	uint8_t qos;			/* of the exchange */
	uint16_t packet_id;		/* of the exchange */
	bool connected;			/* of `closed`: it began after CONNACK */
	bool lingers;			/* its time was up, but the target is slow: it has the stage's patience now */
	uint16_t taken_by;		/* which actor's arrival the exchange goes on with */
	uint32_t n_children;
	struct want want;
	uint64_t base_ns, due_ns;	/* within, after and the time-out count from base */
	uint64_t patience_ns;		/* what the stage's patience adds to due_ns where the target is slow */
	uint64_t asked_ns;		/* when probing began */
	size_t unsent;			/* of its actor, when it began to wait for its writes */
	struct frame_of_step {		/* a block it is in; of a loop, which turn: the loop's name is looked up here */
		const struct step *owner;
		uint32_t turn, end;
	} *frames;
	uint8_t floor;			/* so many of the frames are its parent's: a `maybe` may outlive it */
	uint8_t cap_frames;
};

struct slot {
	bool bound;
	uint8_t came_with;		/* in a capture, of a delivery's packet id: 1 + the QoS it came with */
	struct value value;		/* bytes in the timeline's region */
};

struct left_behind {
	struct left_behind *next;
	struct span name;		/* topic, or client id */
	uint8_t version;
	bool session;
};

/* ---- findings ---- */

struct finding_client {
	uint16_t due[N_PACKET_TYPES];	/* answers that it has not got */
	bool end_due;			/* the connection's end is the answer */
	uint32_t heard_at;		/* among all that clients sent and got */
	uint64_t sent_ns;
	bool flooded;
	struct unanswered {		/* deliveries, and releases: qos 0; oldest first */
		uint16_t packet_id;
		uint8_t qos;
	} *unanswered;
	uint32_t n_unanswered, cap_unanswered;
	struct offences offences;	/* of its connection */
};

struct finding_play {
	struct timeline *timeline;
	struct finding_client *clients;
	struct shown {			/* what shows; the weightiest, of them the first */
		const char *oracle;	/* "death"; NULL: nothing yet */
		const char *rule;
		uint8_t version;	/* of the rule */
		struct place at;
		const char *expected, *received, *because;
	} shown;
	struct clause_seen {		/* broken, and not watched */
		struct clause_seen *next;
		const char *clause;
	} *seen;
	uint16_t keep_alive;		/* that `connects` asks for: who waits beside long pauses is not to be thrown out */
	uint32_t takers;		/* actors that some step takes arrivals of; of others none are kept */
	uint32_t unfit;			/* actors whose set-up failed before anything was sent that could harm */
	uint32_t said_gone;		/* actors whose connection is, and that was said */
	bool stimulated;		/* a step has sent something */
	bool judges, lives;		/* something beside memory and CPU time; `target lives` stands in it */
	bool unseen, unjudged;		/* memory and CPU time; some other step that judges */
	bool aborted, asking;
	bool lingers, quiet, lingered;
	struct dues *dues;		/* where a rule of those is watched; NULL */
	uint64_t owed_since_ns;		/* all is played, and something is owed; 0 */
	bool asked_last;		/* whoever waits for it was asked whether all has come */
	bool judges_offences;		/* a rule of those is watched */
	struct timer linger;
	unsigned n_notes;
	uint32_t n_passed_over;
	uint32_t n_told, stirred_at;	/* packets sent and got by all; the last one sent */
	uint64_t stirred_ns;
};

/* play_dues.c: what a finding's actors are owed as subscribers, where it watches for that. */
void finding_dues_new(struct timeline *t);
void answer_unanswered(struct timeline *t, struct actor_state *a);	/* play_finding.c: it acknowledges all that it has not */
void finding_dues_sent(struct actor_state *a, const struct packet *p);	/* NULL: it cannot be read */
void finding_dues_arrived(struct actor_state *a, const struct packet *p);
void finding_dues_ended(struct actor_state *a, enum due_end how);
bool finding_dues_settled(struct timeline *t);	/* false: it may come yet */

/* play_offences.c: whether the target serves its actors although it must not, where it watches for that. */
void finding_offences_new(struct timeline *t);
void finding_offences_sent(struct actor_state *a, const uint8_t *bytes, const struct frame *frame, const struct packet *p, const struct finding *unreadable);
void finding_offences_unframed(struct actor_state *a);
void finding_offences_arrived(struct actor_state *a, const struct packet *p);
bool finding_offences_settled(struct timeline *t);	/* false: it may show yet */

/* How far a fresh exchange went. */
enum exchange_reached { REACHED_NOTHING, REACHED_CONNACK, REACHED_SUBACK, REACHED_ACKNOWLEDGEMENT, REACHED_DELIVERY };

struct timeline {
	const struct stage *stage;
	const struct script *script;
	struct result *result;
	void (*ended)(struct timeline *t, void *owner);
	void *owner;
	char name[24];
	struct span topic;		/* $topic: the name */
	uint64_t seed;			/* of the next random value */
	struct actor_state *actors;
	struct slot *slots;
	struct strand *strands;		/* the main one is last */
	struct strand main;
	uint32_t n_strands, n_done, n_maybes;	/* in the list, beside the main one; of them done, and `maybe` */
	struct timer timer;
	struct task task, reaper;
	struct monitor_log *log;	/* its own, or the stage's */
	struct tap *tap;		/* NULL: nobody */
	struct region region;
	struct prober *prober;		/* a fresh connection that asks whether the target still serves; NULL until then */
	uint8_t probe_state;		/* enum probe_state */
	const struct actor_state *offered;	/* whose arrival is looked at, for what is expected of scram() */
	const struct breach *breach;	/* the first violation that the monitor saw; NULL: none */
	bool over, end_reported;
	bool look;			/* some strand waits for more than an arrival: for writes, a ping, the end, or nothing */
	uint64_t stamps, active_ns;
	uint64_t n_opened, n_sent, n_received;	/* connections, packets */
	size_t in_bytes;			/* in all inboxes */
	struct capture_play *capture;		/* plays the script, which is a capture; NULL: strands do */
	struct finding_play *finding;		/* the script is one; NULL */
	uint32_t judged, failed, warned;	/* bits of script->cites */
	struct exchange *exchange;		/* on a fresh connection, for `target lives`; NULL: none */
	enum exchange_reached exchange_wanted;
	struct health *health;			/* as it was asked last */
	const char *reported_before;		/* by a sanitizer, when the test began */
	const char *not_served;			/* why the fresh exchange did not come about */
	unsigned n_news;			/* times that it was asked after the death of it */
	uint64_t grown_from;			/* the target's size when the test began */
	struct usage busy_from;			/* what it had used when it was to be idle */
	struct left_behind *left_topics, *left_sessions;	/* in the target, for whoever clears up */
	struct left_behind **left;		/* both, by hash */
	uint32_t n_left, cap_left;
};

static inline uint64_t now(const struct timeline *t)
{
	return t->stage->loop->now_ns;
}

#define FOREVER_NS (UINT64_C(1) << 61)	/* what a scenario computes may be anything */

/* A deadline of ns when the target is prompt. */
static inline uint64_t slackened(const struct timeline *t, uint64_t ns)
{
	double deadline = (double)ns * t->stage->slack;

	return deadline < (double)FOREVER_NS ? (uint64_t)deadline : FOREVER_NS;
}

/* The same when it is slow. */
static inline uint64_t stretched(const struct timeline *t, uint64_t ns)
{
	double deadline = (double)ns * t->stage->slack, usual = (double)t->stage->timeout_ns * t->stage->slack;

	/* A rule's own long interval needs no more patience than an answer does: what is slow is the machine. */
	deadline += (t->stage->patience - 1) * (deadline < usual ? deadline : usual);
	return deadline < (double)FOREVER_NS ? (uint64_t)deadline : FOREVER_NS;
}

/* play_value.c */
struct play_scope {
	struct scope scope;		/* first */
	struct timeline *timeline;
	const struct strand *strand;
};

struct play_scope play_scope(struct timeline *t, const struct strand *s, const struct step *step);
bool eval(struct timeline *t, const struct strand *s, const struct expr *e, struct value *value);	/* false: the timeline is over */
bool eval_number(struct timeline *t, const struct strand *s, const struct expr *e, uint64_t *number);
void bind_slot(struct timeline *t, int32_t slot, const struct value *value);
/* Whether the packet fits the matches; if not, *mismatch says why. Binds nothing. */
bool packet_fits(struct timeline *t, const struct strand *s, const struct match *matches, uint32_t n,
                 const struct packet *packet, struct mismatch *mismatch);
void packet_bind(struct timeline *t, const struct match *matches, uint32_t n, const struct packet *packet);
bool reason_fits(struct timeline *t, const struct strand *s, const struct pattern *pattern, unsigned reason);
const char *packet_text(struct timeline *t, const struct packet *packet, enum sender from);

/* play_scram.c */
/* The value of a scram() in this step; false: the timeline is over. */
bool eval_scram(struct timeline *t, struct actor_state *a, const struct step *step, const struct expr *e,
                const struct packet *packet, struct value *value);
/* Whether the server says what it must; if not, *why. */
bool scram_fits(const struct timeline *t, const struct value *v, const char **why);
void scram_received(struct actor_state *a, const struct packet *packet);

/* play_actor.c, play_send.c */
bool send_step(struct timeline *t, struct strand *s, const struct step *step, struct writer *together);
bool send_packet(struct timeline *t, struct actor_state *a, enum packet_type type, uint16_t packet_id);	/* a plain one */
bool send_bytes(struct timeline *t, struct strand *s, const struct step *step);
bool send_together(struct timeline *t, struct strand *s, const struct step *step);
void actor_open(struct timeline *t, struct actor_state *a);
void actor_connack(struct actor_state *a, const struct packet *packet);
void record(struct timeline *t, enum event_kind kind, const struct actor_state *a, struct span bytes);	/* in the transcript */
extern const struct conn_events actor_events;
void leave_session(struct timeline *t, const struct actor_state *a);	/* of its client id: it may live on */
void probe_target(struct timeline *t);
void probe_end(struct timeline *t);
void timeline_due(struct timeline *t, uint64_t due_ns);

/* play_exchange.c: one at a time; the end of it wakes the timeline. */
void exchange_start(struct timeline *t, enum exchange_reached wanted, uint64_t ns);
bool exchange_over(const struct timeline *t, enum exchange_reached *reached, const char **how);	/* false: not yet, or there is none */
void exchange_end(struct timeline *t);
void timeline_tap_conn(struct timeline *t, struct conn *c, const char *name);	/* play_actor.c */

/* play_lives.c */
void lives_prepare(struct timeline *t);				/* when the test begins */
void begin_target_lives(struct timeline *t, struct strand *s);
void check_lives(struct timeline *t, struct strand *s);
void lives_expired(struct timeline *t, struct strand *s);

/* play_finding.c */
void finding_new(struct timeline *t);
void finding_free(struct timeline *t);
void finding_start(struct timeline *t);
bool finding_may_begin(struct timeline *t);
bool finding_may_end(struct timeline *t);
void finding_finish(struct timeline *t);
bool finding_passes_over(struct timeline *t, const struct step *step);
bool finding_goes_on(struct timeline *t);
uint64_t finding_patience(const struct timeline *t);		/* of a step that sets up */
void finding_expired(struct timeline *t, struct strand *s);
void finding_failed(struct timeline *t, const struct step *step, const struct mismatch *m);
void finding_violated(struct actor_state *a, const struct violation *v);
void finding_opens(struct actor_state *a);
void finding_sent(struct actor_state *a, const struct packet *packet);
bool finding_arrived(struct actor_state *a, const struct packet *packet);
void begin_settles(struct timeline *t, struct strand *s);
void check_settled(struct timeline *t, struct strand *s);
void begin_answers(struct timeline *t, struct strand *s);

/* play_inbox.c */
struct arrival *inbox_put(struct actor_state *a, enum packet_type type, const uint8_t *bytes, size_t len, const struct packet *packet);
void inbox_clear(struct actor_state *a);
void inbox_take(struct actor_state *a, struct arrival *arrival);	/* frees it */
bool arrival_decode(const struct actor_state *a, const struct arrival *arrival, struct packet *packet);
void owe(struct actor_state *a, uint16_t packet_id);
bool owed(const struct actor_state *a, uint16_t packet_id);
void settle(struct actor_state *a, uint16_t packet_id);
bool seen_before(struct actor_state *a, const struct packet *packet);
void remember_seen(struct actor_state *a, const struct packet *packet);

/* play_judge.c */
void judge_passed(struct timeline *t, const struct step *step);
void judge_failed(struct timeline *t, const struct strand *s, const struct step *step, const struct mismatch *mismatch);
void judge_undetected(struct timeline *t, const struct step *step, const char *how);
void judge_violation(void *owner, struct monitor *monitor, const struct violation *violation);
void give_up(struct timeline *t, enum verdict verdict, const struct step *step, const char *format, ...) __attribute__((format(printf, 4, 5)));
void finish(struct timeline *t);

/* play_step.c, play_offer.c, play_silence.c */
const char *duration_text(struct timeline *t, uint64_t ns);
bool misfit(struct timeline *t, struct mismatch *m, const struct packet *packet, const struct arrival *in,
            const struct actor_state *a, bool judged, const char *because);	/* fills in m; false */
bool too_early(struct timeline *t, const struct strand *s, const struct arrival *in, const char **because);
void strand_begin_step(struct timeline *t, struct strand *s);
/* Without a mismatch to fill in no text is made: most strands of an `unordered` are offered what is not theirs. */
bool strand_offer(struct timeline *t, struct strand *s, struct actor_state *a, const struct arrival *arrival,
                  const struct packet *packet, struct mismatch *mismatch);
void strand_accept(struct timeline *t, struct strand *s, struct actor_state *a, struct arrival *arrival, const struct packet *packet);
void step_done(struct timeline *t, struct strand *s);
void want_expired(struct timeline *t, struct strand *s);	/* its time is up: asks the target, later gives up */
void check_probe(struct timeline *t, struct strand *s);		/* has the target answered? */
const char *what_was_awaited(const struct strand *s);		/* "PUBACK" */
uint64_t closing_time(const struct timeline *t, bool connected);	/* how long `closed` waits when it does not say */
void check_closed(struct timeline *t, struct strand *s);
void check_nothing(struct timeline *t, struct strand *s);
void wait_arrival(struct timeline *t, struct strand *s, uint32_t actors, enum arrival_kind kind, int32_t packet_id);
void strand_rests(struct timeline *t, struct strand *s, enum strand_state state, uint64_t due_ns);

/* play.c, play_strand.c */
void written_expired(struct timeline *t, struct strand *s);	/* play_step.c: the writes take long */
void timeline_on_timer(struct timer *timer, struct loop *loop);
void timeline_on_task(struct task *task, struct loop *loop);
void strand_choose_arm(struct timeline *t, struct strand *s);	/* the first arrival has chosen: the other arms are not played */
bool waits_for(const struct strand *s, const struct actor_state *a, const struct arrival *in);	/* for one of its kind, or with its id */
struct strand *strand_open_arm(struct timeline *t, struct strand *s);	/* the arm around s that another may yet be chosen over; NULL */
void strand_end(struct timeline *t, struct strand *s);
void strands_sweep(struct timeline *t);				/* frees those that are done */
void poll_strands(struct timeline *t);
void strand_run(struct timeline *t, struct strand *s);
void strand_cancel(struct timeline *t, struct strand *s);
void timeline_wake(struct timeline *t);

/*
 * play_capture.c, capture_*.c: instead of strands. What an actor's connection says wakes it; what would end another
 * timeline is a note in this one.
 */
struct capture_play *capture_play_new(struct timeline *t);
void capture_play_free(struct timeline *t);
void capture_go(struct timeline *t);				/* from the timeline's task */
void capture_wake(struct actor_state *a);
void capture_arrived(struct actor_state *a, const uint8_t *bytes, size_t len, const struct packet *packet);	/* packet NULL: it cannot be read */
void capture_sent(struct actor_state *a, const struct packet *packet);
/* capture_limits.c: fits what is built into the target's limits; false: what is encoded is not to be sent, and that is said. */
void capture_limit(struct actor_state *a, const struct step *step, struct builder *b);
bool capture_limit_size(struct actor_state *a, const struct step *step, const struct packet *packet, size_t size);
void capture_violated(struct timeline *t, const struct actor_state *a, const struct violation *v);
void capture_finish(struct timeline *t);			/* its verdict, and what it came to */

#endif

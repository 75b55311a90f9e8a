#ifndef FUZZ_NETWORK_HEALTH_H
#define FUZZ_NETWORK_HEALTH_H

#include "codec/wire.h"
#include "harness/conn.h"

/*
 * A visit: a valid exchange on a fresh connection, by a client that was never there, about a topic that nobody can guess. What a target that is well answers at once, whatever others have done to it.
 */
enum health_manner {
	HEALTH_DELIVERY,	/* CONNECT, SUBSCRIBE, PUBLISH at QoS 1 to itself, its acknowledgement and its delivery, DISCONNECT */
	HEALTH_PING,		/* CONNECT, PINGREQ, DISCONNECT: for targets that let us neither publish nor subscribe */
};

enum health_end {
	HEALTH_WELL,
	HEALTH_REFUSED,		/* no connection */
	HEALTH_CLOSED,		/* ended by the target before all was answered */
	HEALTH_SILENT,		/* not all was answered in time */
	HEALTH_UNSERVED,	/* CONNACK says no: the version, or these credentials */
	HEALTH_DENIED,		/* SUBACK or PUBACK says no, or nothing was delivered though the message was acknowledged */
	HEALTH_ODD,		/* what came is no MQTT */
};

/* Whom to visit, and as who. Borrowed by its visits. */
struct health {
	struct loop *loop;
	const struct address *address;
	struct span user_name, password;
	struct conn_limits limits;
	struct monitor_world *world;
	struct monitor_log log;		/* what rules are broken is not judged here */
	uint32_t secret;		/* in our client ids */
	uint64_t n_visits;
};

void health_init(struct health *health, struct loop *loop, const struct address *address, struct span user_name, struct span password);
void health_release(struct health *health);		/* when all visits are over */

struct visit {
	/* How it went, when done() is called. */
	enum health_end end;
	enum version version;
	enum health_manner manner;
	uint64_t began_ns, took_ns;	/* from the connect to the last answer */
	bool connected;			/* CONNACK said yes */
	char trouble[240];		/* one line; "" when HEALTH_WELL */

	/* ours */
	struct health *health;
	struct conn conn;
	struct timer timer;
	struct task task;
	void (*done)(struct visit *visit, void *context);
	void *context;
	uint8_t step;
	bool acknowledged, delivered, over;
	char client_id[24], topic[32];
};

/*
 * done() comes from the loop, never from in here; the visit may be started again in it. Its storage must live until a later round of the loop than the one in which it was dropped or done: see loop_settle(). Started only
 * when zeroed, done or dropped.
 */
void visit_start(struct visit *visit, struct health *health, enum version version, enum health_manner manner, uint64_t within_ns,
                 void (*done)(struct visit *visit, void *context), void *context);
void visit_drop(struct visit *visit);			/* done() is not called; harmless when none is under way */

/*
 * Whether it answers at all: visits, until one has gone well. Another is begun beside the first when that waits for long, and one that was refused or closed is tried again; the verdict falls when
 * within_ns are over, or at once when there is a good one.
 */
enum { INQUIRY_VISITS = 2 };

struct inquiry {
	bool well;
	uint64_t took_ns;		/* of the good visit */
	char trouble[300];		/* of the last that failed */

	/* ours */
	struct health *health;
	enum version version;
	enum health_manner manner;
	uint64_t give_up_ns, within_ns;
	struct visit visits[INQUIRY_VISITS];
	bool busy[INQUIRY_VISITS], under_way;
	struct timer timer;
	void (*done)(struct inquiry *inquiry, void *context);
	void *context;
};

void inquiry_start(struct inquiry *inquiry, struct health *health, enum version version, enum health_manner manner, uint64_t within_ns,
                   void (*done)(struct inquiry *inquiry, void *context), void *context);
void inquiry_drop(struct inquiry *inquiry);

#endif

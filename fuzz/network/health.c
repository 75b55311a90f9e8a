#include "fuzz/network/health.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "codec/build.h"
#include "codec/fields.h"
#include "harness/hello.h"
#include "harness/names.h"

#define LEAVE_NS UINT64_C(200000000)	/* for the target to close after DISCONNECT */
#define AGAIN_NS UINT64_C(50000000)
#define SECOND_PART 5			/* of the time, after which a second one is begun */

enum { CONNECTING, SUBSCRIBING, PUBLISHING, PINGING, LEAVING };

static const char *const awaited[] = { "CONNACK", "SUBACK", "PUBACK", "PINGRESP" };

enum { SUBSCRIBE_ID = 1, PUBLISH_ID = 2 };

static uint64_t random_number(void)
{
	uint64_t number = 0;

	while (getrandom(&number, sizeof(number), 0) != sizeof(number))
		;
	return number;
}

/* ---- whom ---- */

static void ignore(void *owner, struct monitor *monitor, const struct violation *violation)
{
	(void)owner, (void)monitor, (void)violation;
}

void health_init(struct health *health, struct loop *loop, const struct address *address, struct span user_name, struct span password)
{
	*health = (struct health){ .loop = loop, .address = address, .user_name = user_name, .password = password, .limits.max_packet = 1 << 20 };
	health->log.violated = ignore;
	health->secret = (uint32_t)random_number();
	health->world = monitor_world_new();
	if (!health->world)
		abort();
}

void health_release(struct health *health)
{
	monitor_world_free(health->world);
	health->world = NULL;
}

/* ---- the end of a visit ---- */

static void finish(struct visit *visit, enum health_end end)
{
	if (visit->over)
		return;
	visit->over = true;
	visit->end = end;
	if (end == HEALTH_WELL)
		visit->trouble[0] = '\0';
	loop_timer_stop(visit->health->loop, &visit->timer);
	loop_post(visit->health->loop, &visit->task);
}

static void close_it(struct visit *visit)
{
	loop_timer_stop(visit->health->loop, &visit->timer);
	conn_close(&visit->conn, true);
	monitor_world_forget(visit->health->world, span_text(visit->client_id));
}

static void on_task(struct task *task, struct loop *loop)
{
	struct visit *visit = (struct visit *)((char *)task - offsetof(struct visit, task));
	void (*done)(struct visit *visit, void *context) = visit->done;

	(void)loop;
	if (!done || !visit->over)	/* dropped meanwhile, and perhaps begun again */
		return;
	close_it(visit);
	visit->done = NULL;
	done(visit, visit->context);
}

static void fail(struct visit *visit, enum health_end end, const char *what, const char *why)
{
	snprintf(visit->trouble, sizeof(visit->trouble), "%s%s%s", what, *why ? ": " : "", why);
	finish(visit, end);
}

static void on_timer(struct timer *timer, struct loop *loop)
{
	struct visit *visit = (struct visit *)((char *)timer - offsetof(struct visit, timer));
	char what[80], waited[32];

	(void)loop;
	if (visit->step == LEAVING) {
		finish(visit, HEALTH_WELL);
		return;
	}
	snprintf(waited, sizeof(waited), "%.3g s", (double)(visit->health->loop->now_ns - visit->began_ns) / 1e9);
	if (visit->step == PUBLISHING && visit->acknowledged) {
		fail(visit, HEALTH_DENIED, "a message that was acknowledged is not delivered to its own subscriber", "");
		return;
	}
	snprintf(what, sizeof(what), "no %s within %s", !visit->conn.open ? "connection" : awaited[visit->step], waited);
	fail(visit, HEALTH_SILENT, what, "");
}

/* ---- its course ---- */

static void send_packet(struct visit *visit, const struct packet *packet)
{
	uint8_t room[512];
	struct writer w = writer_to(room, sizeof(room));

	encode(packet, NULL, &w);
	monitor_sent(&visit->conn.monitor, room, w.len, packet);
	conn_send(&visit->conn, wr_span(&w), 0, 0);
}

static struct packet a_packet(const struct visit *visit, enum packet_type type)
{
	struct arena none;
	struct builder b;

	arena_init(&none, NULL, 0);
	builder_start(&b, type, visit->version, &none);
	return b.packet;
}

static void connect_it(struct visit *visit)
{
	const struct health *health = visit->health;
	struct writer w = writer_to(NULL, 0);
	struct packet packet;

	hello(visit->version, span_text(visit->client_id), health->user_name, health->password, &packet, &w);
	uint8_t *room = malloc(w.len);
	if (!room)
		abort();
	w = writer_to(room, w.len);
	encode(&packet, NULL, &w);
	monitor_sent(&visit->conn.monitor, room, w.len, &packet);
	conn_send(&visit->conn, wr_span(&w), 0, 0);
	free(room);
}

static void subscribe(struct visit *visit)
{
	struct packet packet = a_packet(visit, SUBSCRIBE);
	uint8_t room[64];
	struct writer list = writer_to(room, sizeof(room));

	wr_binary(&list, span_text(visit->topic));
	wr_u8(&list, 1);
	packet.packet_id = SUBSCRIBE_ID;
	packet.list = wr_span(&list);
	visit->step = SUBSCRIBING;
	send_packet(visit, &packet);
}

/* What it says is its own name: nobody else's message can be taken for it. */
static void publish(struct visit *visit)
{
	struct packet packet = a_packet(visit, PUBLISH);

	packet.topic = span_text(visit->topic);
	packet.payload = span_text(visit->client_id);
	if (visit->version < MQTT_5 || monitor_in_force(&visit->conn.monitor, PROP_maximum_qos) > 0) {
		packet.flags = 1 << PUBLISH_QOS_SHIFT;
		packet.packet_id = PUBLISH_ID;
	} else {
		visit->acknowledged = true;
	}
	visit->step = PUBLISHING;
	send_packet(visit, &packet);
}

static void begin(struct visit *visit)
{
	struct packet packet = a_packet(visit, PINGREQ);

	visit->connected = true;
	if (visit->manner == HEALTH_DELIVERY) {
		subscribe(visit);
	} else {
		visit->step = PINGING;
		send_packet(visit, &packet);
	}
}

static void leave(struct visit *visit)
{
	struct packet packet = a_packet(visit, DISCONNECT);

	visit->took_ns = clock_now(&visit->health->loop->clock) - visit->began_ns;
	visit->step = LEAVING;
	send_packet(visit, &packet);
	loop_timer(visit->health->loop, &visit->timer, visit->health->loop->now_ns + LEAVE_NS);
}

static void refused(struct visit *visit, enum health_end end, const struct packet *packet, unsigned reason)
{
	char what[120];
	const char *name = reason_name(packet->type, packet->version, reason);

	snprintf(what, sizeof(what), "%s with reason 0x%02x%s%s", packet_name(packet->type), reason, name ? " " : "", name ? name : "");
	fail(visit, end, what, "");
}

static void on_publish(struct visit *visit, const struct packet *packet)
{
	struct packet ack = a_packet(visit, PUBACK);

	if (!span_is(packet->topic, visit->topic) || !span_is(packet->payload, visit->client_id))
		return;
	if (publish_qos(packet) == 1) {
		ack.packet_id = packet->packet_id;
		send_packet(visit, &ack);
	}
	visit->delivered = true;
}

static void on_packet(struct conn *c, const uint8_t *bytes, size_t len, const struct packet *packet)
{
	struct visit *visit = (struct visit *)((char *)c - offsetof(struct visit, conn));

	(void)bytes, (void)len;
	if (!packet || visit->over || visit->step == LEAVING)
		return;
	if (packet->type == CONNACK && visit->step == CONNECTING) {
		if (packet->reason)
			refused(visit, HEALTH_UNSERVED, packet, packet->reason);
		else
			begin(visit);
	} else if (packet->type == SUBACK && visit->step == SUBSCRIBING) {
		if (packet->list.len && *packet->list.at >= 0x80)
			refused(visit, HEALTH_DENIED, packet, *packet->list.at);
		else
			publish(visit);
	} else if (packet->type == PUBACK && visit->step == PUBLISHING && packet->packet_id == PUBLISH_ID) {
		if (packet->reason >= 0x80)
			refused(visit, HEALTH_DENIED, packet, packet->reason);
		visit->acknowledged = true;
	} else if (packet->type == PUBLISH && visit->step == PUBLISHING) {
		on_publish(visit, packet);
	} else if (packet->type == DISCONNECT) {
		refused(visit, visit->step == CONNECTING ? HEALTH_UNSERVED : HEALTH_CLOSED, packet, packet->reason);
	}
	if (visit->over)
		return;
	if ((visit->step == PUBLISHING && visit->acknowledged && visit->delivered) || (visit->step == PINGING && packet->type == PINGRESP))
		leave(visit);
}

static void on_opened(struct conn *c) { (void)c; }
static void on_sent(struct conn *c) { (void)c; }

static void on_ended(struct conn *c, enum conn_end how)
{
	struct visit *visit = (struct visit *)((char *)c - offsetof(struct visit, conn));
	char what[64], why[160];

	if (visit->step == LEAVING) {
		finish(visit, HEALTH_WELL);
		return;
	}
	conn_end_text(c, why, sizeof(why));
	snprintf(what, sizeof(what), how == END_REFUSED ? "no connection" : "awaiting %s", awaited[visit->step]);
	fail(visit, how == END_REFUSED ? HEALTH_REFUSED : how == END_GARBAGE || how == END_TOO_LARGE ? HEALTH_ODD : HEALTH_CLOSED, what, why);
}

static const struct conn_events events = { on_opened, on_packet, on_ended, on_sent };

void visit_start(struct visit *visit, struct health *health, enum version version, enum health_manner manner, uint64_t within_ns,
                 void (*done)(struct visit *visit, void *context), void *context)
{
	visit->health = health;
	visit->version = version;
	visit->manner = manner;
	visit->done = done;
	visit->context = context;
	visit->step = CONNECTING;
	visit->connected = visit->acknowledged = visit->delivered = visit->over = false;
	visit->took_ns = 0;
	visit->trouble[0] = '\0';
	visit->timer.fire = on_timer;
	visit->task.run = on_task;
	snprintf(visit->client_id, sizeof(visit->client_id), "mqw%08x%06llx", health->secret, (unsigned long long)(++health->n_visits & 0xffffff));
	snprintf(visit->topic, sizeof(visit->topic), "mqassay/%016llx", (unsigned long long)random_number());
	visit->began_ns = clock_now(&health->loop->clock);
	loop_timer(health->loop, &visit->timer, visit->began_ns + within_ns);
	int error = conn_open(&visit->conn, health->loop, health->address, &events, &health->limits, health->world, &health->log);
	if (error) {
		fail(visit, HEALTH_REFUSED, "no connection", transport_strerror(-error));
		return;
	}
	connect_it(visit);
}

void visit_drop(struct visit *visit)
{
	if (!visit->done)
		return;
	close_it(visit);
	visit->done = NULL;
}

/* ---- an inquiry ---- */

static void conclude(struct inquiry *inquiry, bool well)
{
	void (*done)(struct inquiry *inquiry, void *context) = inquiry->done;

	inquiry_drop(inquiry);
	inquiry->well = well;
	done(inquiry, inquiry->context);
}

static void on_visit(struct visit *visit, void *context)
{
	struct inquiry *inquiry = context;

	inquiry->busy[visit - inquiry->visits] = false;
	if (visit->end == HEALTH_WELL) {
		inquiry->took_ns = visit->took_ns;
		conclude(inquiry, true);
		return;
	}
	snprintf(inquiry->trouble, sizeof(inquiry->trouble), "%s", visit->trouble);
	if (inquiry->health->loop->now_ns < inquiry->give_up_ns)	/* or the timer comes in this round */
		loop_timer(inquiry->health->loop, &inquiry->timer, inquiry->health->loop->now_ns + AGAIN_NS);
}

static void next_visit(struct inquiry *inquiry)
{
	uint64_t now = inquiry->health->loop->now_ns;
	size_t i = 0;

	while (i < INQUIRY_VISITS && inquiry->busy[i])
		i++;
	if (i < INQUIRY_VISITS) {
		inquiry->busy[i] = true;
		visit_start(&inquiry->visits[i], inquiry->health, inquiry->version, inquiry->manner, inquiry->give_up_ns + inquiry->within_ns - now, on_visit, inquiry);
	}
	now += inquiry->within_ns / SECOND_PART;
	loop_timer(inquiry->health->loop, &inquiry->timer, now < inquiry->give_up_ns ? now : inquiry->give_up_ns);
}

/* Visits get more time than we have: here the verdict falls, after whatever is ready in this round has been read. */
static void on_inquiry_timer(struct timer *timer, struct loop *loop)
{
	struct inquiry *inquiry = (struct inquiry *)((char *)timer - offsetof(struct inquiry, timer));

	if (loop->now_ns < inquiry->give_up_ns) {
		next_visit(inquiry);
		return;
	}
	for (size_t i = 0; i < INQUIRY_VISITS; i++) {
		const struct visit *visit = &inquiry->visits[i];

		if (inquiry->busy[i] && visit->step == LEAVING) {
			inquiry->took_ns = visit->took_ns;
			conclude(inquiry, true);
			return;
		}
		if (inquiry->busy[i] && !visit->over)
			snprintf(inquiry->trouble, sizeof(inquiry->trouble), "no %s", visit->conn.open ? awaited[visit->step] : "connection");
	}
	conclude(inquiry, false);
}

void inquiry_start(struct inquiry *inquiry, struct health *health, enum version version, enum health_manner manner, uint64_t within_ns,
                   void (*done)(struct inquiry *inquiry, void *context), void *context)
{
	inquiry->health = health;
	inquiry->version = version;
	inquiry->manner = manner;
	inquiry->within_ns = within_ns;
	inquiry->give_up_ns = clock_now(&health->loop->clock) + within_ns;
	inquiry->trouble[0] = '\0';
	inquiry->well = false;
	inquiry->took_ns = 0;
	inquiry->under_way = true;
	inquiry->timer.fire = on_inquiry_timer;
	inquiry->done = done;
	inquiry->context = context;
	memset(inquiry->busy, 0, sizeof(inquiry->busy));
	next_visit(inquiry);
}

void inquiry_drop(struct inquiry *inquiry)
{
	if (!inquiry->under_way)
		return;
	inquiry->under_way = false;
	loop_timer_stop(inquiry->health->loop, &inquiry->timer);
	for (size_t i = 0; i < INQUIRY_VISITS; i++)
		visit_drop(&inquiry->visits[i]);
}

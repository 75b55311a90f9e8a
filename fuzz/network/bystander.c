#include "fuzz/network/bystander.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "codec/fields.h"
#include "harness/conn.h"
#include "harness/escape.h"
#include "harness/hello.h"

enum {
	MOST_OPEN = 32,		/* messages that have not come; no more are published until one has */
	TOKEN = 16, PAYLOAD = 80, ROOM = 1024,
	MAX_PACKET = 1 << 20,
	PATIENCE = 2,		/* what is overdue is lost, or late, when it has not come in that many times the time it may take */
	MOST_MISSED = 4,	/* in a row, where QoS 0 allows it */
};

static const uint64_t ms = 1000000, ping_ns = 15000000000, gap_ns = 300000000;

/* One of the two. */
struct party {
	struct conn conn;		/* first */
	struct bystander *bystander;
	const char *name;		/* for people */
	bool subscribes, ready, owes_ping;
	uint64_t sent_ns;		/* when it sent something last */
};

struct message {
	uint64_t number, sent_ns;
	bool acknowledged, came;
};

struct bystander {
	struct loop *loop;
	struct party publisher, subscriber;
	struct conn_limits limits;
	struct monitor_world *world;
	struct monitor_log log;		/* what the monitor says is the player's matter: here only what a bystander would notice himself */
	uint8_t version, qos, granted;	/* of what it publishes; of its subscription */
	uint64_t every_ns, within_ns, began_ns;
	uint64_t n_sent, next;		/* numbers of messages: the next to publish; the next that is to come */
	uint16_t packet_id;
	struct message open[MOST_OPEN];	/* by number % MOST_OPEN: [next, n_sent) */
	struct timer beat;		/* publishes, pings, looks at what is due */
	uint64_t beat_ns;		/* when it was to fire: later, nobody was here to see what came */
	uint64_t publish_ns;		/* when the next message is due */
	uint64_t lost_ns;		/* a later one has come before the next: when that one is lost rather than out of order; 0: none has */
	unsigned n_missed;
	bool rests, settling;
	struct symptom symptom;
	struct task tell, reaper;
	void (*noticed)(void *context, const struct symptom *symptom);
	void *context;
	char topic[TOKEN + 8], token[TOKEN + 1], ids[2][TOKEN + 4];
};

/* ---- noticing ---- */

static void tell(struct task *task, struct loop *loop)
{
	struct bystander *b = (struct bystander *)((char *)task - offsetof(struct bystander, tell));

	(void)loop;
	if (b->noticed)
		b->noticed(b->context, &b->symptom);
}

/* Told from a task of its own: whoever hears of it may free the bystander. */
static void __attribute__((format(printf, 3, 4))) notice(struct bystander *b, const char *what, const char *format, ...)
{
	va_list arguments;
	int len;

	if (b->rests)
		return;
	b->rests = true;
	b->symptom = (struct symptom){ .oracle = ORACLE_BYSTANDER, .version = b->version };
	snprintf(b->symptom.bucket, sizeof(b->symptom.bucket), "bystander %s", what);
	len = snprintf(b->symptom.text, sizeof(b->symptom.text), "bystander %s: ", what);
	va_start(arguments, format);
	vsnprintf(b->symptom.text + len, sizeof(b->symptom.text) - (size_t)len, format, arguments);
	va_end(arguments);
	loop_timer_stop(b->loop, &b->beat);
	loop_post(b->loop, &b->tell);
	if (b->settling)
		loop_stop(b->loop);
}

/* Foreign bytes, as much as fits a line. */
static const char *quoted(struct span s, char *text, size_t cap)
{
	escape_bytes(s.at, s.len, text, cap);
	return text;
}

/* ---- sending ---- */

static void send_packet(struct party *party, const struct packet *packet)
{
	uint8_t room[ROOM];
	struct writer w = writer_to(room, sizeof(room));

	if (encode(packet, NULL, &w) != CODEC_OK || !wr_fits(&w))
		abort();
	monitor_sent(&party->conn.monitor, room, w.len, packet);
	conn_send(&party->conn, wr_span(&w), 0, 0);
	party->sent_ns = party->bystander->loop->now_ns;
}

static void send_plain(struct party *party, enum packet_type type, uint16_t packet_id)
{
	send_packet(party, &(struct packet){ .version = party->bystander->version, .type = (uint8_t)type, .packet_id = packet_id });
}

static void subscribe(struct party *party)
{
	struct bystander *b = party->bystander;
	uint8_t room[TOKEN + 16];
	struct writer w = writer_to(room, sizeof(room));

	wr_binary(&w, span_text(b->topic));
	wr_u8(&w, 1);
	send_packet(party, &(struct packet){ .version = b->version, .type = SUBSCRIBE, .flags = 2, .packet_id = 1, .list = wr_span(&w) });
}

static struct message *message_at(struct bystander *b, uint64_t number)
{
	return &b->open[number % MOST_OPEN];
}

static struct span payload_of(const struct bystander *b, uint64_t number, char text[static PAYLOAD])
{
	return span_of(text, (size_t)snprintf(text, PAYLOAD, "%s %" PRIu64 " minds its own business", b->token, number));
}

/* Ids follow the numbers: those that are open are apart by less than a round. */
static uint16_t id_of(uint64_t number)
{
	return (uint16_t)(1 + number % 65535);
}

static void publish(struct bystander *b)
{
	char payload[PAYLOAD];
	struct packet p = {
		.version = b->version, .type = PUBLISH, .flags = (uint8_t)(b->qos << PUBLISH_QOS_SHIFT), .topic = span_text(b->topic),
		.payload = payload_of(b, b->n_sent, payload), .packet_id = b->qos ? id_of(b->n_sent) : 0,
	};

	*message_at(b, b->n_sent) = (struct message){ b->n_sent, b->loop->now_ns, false, false };
	b->n_sent++;
	send_packet(&b->publisher, &p);
}

/* ---- what is due ---- */

static bool is_ready(const struct bystander *b)
{
	return b->publisher.ready && b->subscriber.ready;
}

static bool is_settled(const struct bystander *b)
{
	return is_ready(b) && b->next == b->n_sent && b->n_sent;
}

static void settle_if_done(struct bystander *b)
{
	if (b->settling && is_settled(b))
		loop_stop(b->loop);
}

/* The loop was kept from running: for so long nothing that came could be seen, and nobody is to blame but us. */
static void excuse(struct bystander *b)
{
	uint64_t now = b->loop->now_ns, lost;

	if (!b->beat_ns || now < b->beat_ns + 2 * ms)
		return;
	lost = now - b->beat_ns;
	b->began_ns += lost;
	b->lost_ns += b->lost_ns ? lost : 0;
	for (uint64_t number = b->next; number < b->n_sent; number++)
		message_at(b, number)->sent_ns += lost;
	b->beat_ns = now;
}

/* At QoS 0 some may be. */
static bool may_be_lost(const struct bystander *b)
{
	return !b->qos || !b->granted;
}

/* The oldest that has not come, long after it was due. */
static void give_up(struct bystander *b, const struct message *m)
{
	if (may_be_lost(b) && ++b->n_missed < MOST_MISSED) {
		b->next++;
		settle_if_done(b);
	} else if (m->acknowledged || may_be_lost(b)) {
		notice(b, "lost", "message %" PRIu64 "%s has not come within %" PRIu64 " ms", m->number, m->acknowledged ? ", acknowledged to its publisher," : "",
		       PATIENCE * b->within_ns / ms);
	} else {
		notice(b, "late", "neither message %" PRIu64 " nor its acknowledgement has come within %" PRIu64 " ms", m->number, PATIENCE * b->within_ns / ms);
	}
}

static void look(struct bystander *b)
{
	uint64_t now = b->loop->now_ns;
	const struct message *oldest = message_at(b, b->next);

	if (!is_ready(b)) {
		if (now > b->began_ns + PATIENCE * b->within_ns)
			notice(b, "late", "its two clients could not connect and subscribe within %" PRIu64 " ms", PATIENCE * b->within_ns / ms);
		return;
	}
	if (b->lost_ns && now > b->lost_ns)
		notice(b, "lost", "message %" PRIu64 " never came, though a later one did", b->next);
	else if (b->next < b->n_sent && now > oldest->sent_ns + PATIENCE * b->within_ns)
		give_up(b, oldest);
}

static uint64_t ping_after_ns(const struct party *party)
{
	uint64_t keep_alive = monitor_in_force(&party->conn.monitor, PROP_server_keep_alive);

	return keep_alive && keep_alive < 45 ? keep_alive * 1000 * ms / 3 : ping_ns;
}

static void ping(struct party *party)
{
	if (!party->ready || party->owes_ping || party->bystander->loop->now_ns < party->sent_ns + ping_after_ns(party))
		return;
	party->owes_ping = true;
	send_plain(party, PINGREQ, 0);
}

static void set_beat(struct bystander *b)
{
	uint64_t period = b->every_ns < b->within_ns / 4 ? b->every_ns : b->within_ns / 4;

	b->beat_ns = b->loop->now_ns + (period < ms ? ms : period > 250 * ms ? 250 * ms : period);
	loop_timer(b->loop, &b->beat, b->beat_ns);
}

static void on_beat(struct timer *timer, struct loop *loop)
{
	struct bystander *b = (struct bystander *)((char *)timer - offsetof(struct bystander, beat));

	excuse(b);
	look(b);
	if (b->rests)
		return;
	if (is_ready(b) && loop->now_ns >= b->publish_ns && b->n_sent - b->next < MOST_OPEN) {
		publish(b);
		b->publish_ns = loop->now_ns + b->every_ns;
	}
	ping(&b->publisher);
	ping(&b->subscriber);
	set_beat(b);
}

/* ---- what comes ---- */

/* A message of ours, by its payload; false: it is none, or not as it was sent. */
static bool number_of(const struct bystander *b, struct span payload, uint64_t *number)
{
	char text[PAYLOAD] = "", expected[PAYLOAD];

	if (payload.len >= sizeof(text) || payload.len < TOKEN + 2 || memcmp(payload.at, b->token, TOKEN))
		return false;
	memcpy(text, payload.at, payload.len);
	*number = strtoull(text + TOKEN + 1, NULL, 10);
	return span_equal(payload, payload_of(b, *number, expected));
}

static void on_foreign(struct bystander *b, const struct packet *p)
{
	char topic[120], payload[160];
	bool ours = memmem(p->payload.at, p->payload.len, b->token, TOKEN) || (span_is(p->topic, b->topic) && p->payload.len > 10 &&
	            memmem(p->payload.at, p->payload.len, "minds its own", 13));

	quoted(p->topic, topic, sizeof(topic));
	quoted(p->payload, payload, sizeof(payload));
	notice(b, ours ? "altered" : "stranger", "a message came that it %s: topic \"%s\", payload of %zu bytes \"%s\"",
	       ours ? "had published otherwise" : "had not published", topic, p->payload.len, payload);
}

/* How the next message differs from what was asked for, beside its bytes; NULL: it does not. */
static const char *difference(const struct bystander *b, const struct packet *p)
{
	if (p->flags & PUBLISH_RETAIN)
		return "with RETAIN 1";
	if (publish_qos(p) != (b->qos < b->granted ? b->qos : b->granted))
		return "at another QoS";
	if (p->properties.len)
		return "with properties";
	return NULL;
}

/* It has come, and so have all before it. */
static void came_in_order(struct bystander *b, uint64_t number)
{
	struct message *m = message_at(b, number);
	uint64_t took = b->loop->now_ns - m->sent_ns;

	m->came = true;
	b->next = number + 1;
	b->n_missed = 0;
	if (b->lost_ns)
		notice(b, "disordered", "message %" PRIu64 " came behind a later one", number);
	else if (took > b->within_ns)
		notice(b, "late", "message %" PRIu64 " came after %" PRIu64 " ms, more than %" PRIu64 " ms", number, took / ms, b->within_ns / ms);
	settle_if_done(b);
}

/* One that is to come before it has not: whether it still will shows. */
static void came_early(struct bystander *b, uint64_t number)
{
	message_at(b, number)->came = true;
	if (may_be_lost(b)) {
		b->next = number;
		came_in_order(b, number);
	} else if (!b->lost_ns) {
		b->lost_ns = b->loop->now_ns + (b->within_ns < gap_ns ? b->within_ns : gap_ns);
	}
}

static void on_message(struct bystander *b, const struct packet *p)
{
	bool again = p->flags & PUBLISH_DUP && b->version != MQTT_5;	/* which may be sent again at any time */
	const char *how;
	uint64_t number;

	if (publish_qos(p) == 1)
		send_plain(&b->subscriber, PUBACK, p->packet_id);
	if (!span_is(p->topic, b->topic) || !number_of(b, p->payload, &number) || number >= b->n_sent) {
		on_foreign(b, p);
		return;
	}
	if ((how = difference(b, p)))
		notice(b, "altered", "message %" PRIu64 " came %s", number, how);
	else if (number == b->next)
		came_in_order(b, number);
	else if (number > b->next && !message_at(b, number)->came)
		came_early(b, number);
	else if (!message_at(b, number)->came && message_at(b, number)->number == number)	/* passed over, where some may be lost */
		notice(b, "disordered", "message %" PRIu64 " came behind a later one", number);
	else if (!again)
		notice(b, "doubled", "message %" PRIu64 " came a second time", number);
}

static void on_connack(struct party *party, const struct packet *p)
{
	struct bystander *b = party->bystander;

	if (p->reason) {
		notice(b, "closed", "the %s was refused with 0x%02x", party->name, p->reason);
		return;
	}
	if (party->subscribes) {
		subscribe(party);
		return;
	}
	party->ready = true;
	if (b->version == MQTT_5 && property_number(p->properties, PROP_maximum_qos, 2) == 0)
		b->qos = 0;
}

static void on_suback(struct party *party, const struct packet *p)
{
	struct bystander *b = party->bystander;

	if (!p->list.len || p->list.at[0] > 1) {
		notice(b, "lost", "its subscription was refused with 0x%02x", p->list.len ? p->list.at[0] : 0);
		return;
	}
	b->granted = p->list.at[0];
	party->ready = true;
}

static void on_puback(struct bystander *b, const struct packet *p)
{
	for (uint64_t number = b->next; number < b->n_sent; number++)
		if (id_of(number) == p->packet_id)
			message_at(b, number)->acknowledged = true;
	if (p->reason >= 0x80)
		notice(b, "lost", "a message was refused with 0x%02x", p->reason);
}

static void on_opened(struct conn *c)
{
	(void)c;
}

static void on_sent(struct conn *c)
{
	(void)c;
}

static void on_packet(struct conn *c, const uint8_t *bytes, size_t len, const struct packet *packet)
{
	struct party *party = (struct party *)c;
	struct bystander *b = party->bystander;

	if (b->rests)
		return;
	excuse(b);
	if (!packet) {
		char text[100];

		notice(b, "altered", "what the %s got cannot be read: %zu bytes \"%s\"", party->name, len, quoted(span_of(bytes, len < 40 ? len : 40), text, sizeof(text)));
		return;
	}
	switch (packet->type) {
	case CONNACK:
		on_connack(party, packet);
		break;
	case SUBACK:
		on_suback(party, packet);
		break;
	case PUBACK:
		on_puback(b, packet);
		break;
	case PINGRESP:
		party->owes_ping = false;
		break;
	case PUBLISH:
		if (party->subscribes)
			on_message(b, packet);
		else
			on_foreign(b, packet);
		break;
	case DISCONNECT:
		notice(b, "closed", "the %s was disconnected with 0x%02x", party->name, packet->reason);
		break;
	default:
		notice(b, "stranger", "the %s got %s, which belongs to nothing that it sent", party->name, packet_name(packet->type));
		break;
	}
}

static void on_ended(struct conn *c, enum conn_end how)
{
	struct party *party = (struct party *)c;
	char text[160];

	conn_end_text(c, text, sizeof(text));
	notice(party->bystander, how == END_GARBAGE ? "altered" : "closed", "the connection of the %s: %s", party->name, text);
}

static const struct conn_events events = { on_opened, on_packet, on_ended, on_sent };

/* ---- life ---- */

static void ignore(void *owner, struct monitor *monitor, const struct violation *violation)
{
	(void)owner, (void)monitor, (void)violation;
}

/* What nobody can guess. */
static void make_token(char *token)
{
	uint64_t random[2];

	if (getrandom(random, sizeof(random), 0) != sizeof(random))
		abort();
	for (size_t i = 0; i < TOKEN; i++, random[i / 9] /= 36)
		token[i] = "0123456789abcdefghijklmnopqrstuvwxyz"[random[i / 9] % 36];
	token[TOKEN] = '\0';
}

static void enter(struct party *party, const struct address *address, const char *client_id, struct span user_name, struct span password)
{
	struct bystander *b = party->bystander;
	uint8_t room[65536 * 2 + 256];
	struct writer w = writer_to(room, sizeof(room));
	struct packet packet;
	int error = conn_open(&party->conn, b->loop, address, &events, &b->limits, b->world, &b->log);

	if (error) {
		party->conn.transport = NULL;
		notice(b, "closed", "the %s could not connect: %s", party->name, transport_strerror(-error));
		return;
	}
	hello(b->version, span_text(client_id), user_name, password, &packet, &w);
	monitor_sent(&party->conn.monitor, room, w.len, &packet);
	conn_send(&party->conn, wr_span(&w), 0, 0);
	party->sent_ns = b->loop->now_ns;
}

static void reap(struct task *task, struct loop *loop)
{
	struct bystander *b = (struct bystander *)((char *)task - offsetof(struct bystander, reaper));

	(void)loop;
	monitor_world_free(b->world);
	free(b);
}

struct bystander *bystander_new(struct loop *loop, const struct address *address, struct span user_name, struct span password, uint8_t version,
                                uint64_t every_ns, uint64_t within_ns, void (*noticed)(void *context, const struct symptom *symptom), void *context)
{
	struct bystander *b = calloc(1, sizeof(*b));

	if (!b)
		abort();
	*b = (struct bystander){
		.loop = loop, .limits = { .max_packet = MAX_PACKET }, .world = monitor_world_new(), .log.violated = ignore, .version = version, .qos = 1, .every_ns = every_ns,
		.within_ns = within_ns, .began_ns = loop->now_ns, .beat.fire = on_beat, .tell.run = tell, .reaper.run = reap, .noticed = noticed, .context = context,
		.publisher = { .bystander = b, .name = "publisher" }, .subscriber = { .bystander = b, .name = "subscriber", .subscribes = true },
	};
	if (!b->world)
		abort();
	make_token(b->token);
	snprintf(b->topic, sizeof(b->topic), "by/%s", b->token);
	snprintf(b->ids[0], sizeof(b->ids[0]), "by%sp", b->token);
	snprintf(b->ids[1], sizeof(b->ids[1]), "by%ss", b->token);
	set_beat(b);
	enter(&b->publisher, address, b->ids[0], user_name, password);
	enter(&b->subscriber, address, b->ids[1], user_name, password);
	return b;
}

void bystander_free(struct bystander *b)
{
	if (!b)
		return;
	b->rests = true;
	b->noticed = NULL;	/* a task may be posted still */
	loop_timer_stop(b->loop, &b->beat);
	conn_close(&b->publisher.conn, false);
	conn_close(&b->subscriber.conn, false);
	loop_reap(b->loop, &b->reaper);
}

bool bystander_settle(struct bystander *b, struct symptom *symptom)
{
	uint64_t sent = b->n_sent;

	excuse(b);
	b->settling = true;
	b->publish_ns = b->loop->now_ns;	/* one more, at once */
	if (!b->rests && is_ready(b) && b->n_sent - b->next < MOST_OPEN) {
		publish(b);
		b->publish_ns = b->loop->now_ns + b->every_ns;
	}
	while (!b->rests && (b->n_sent == sent || !is_settled(b)))
		if (!loop_run(b->loop) && !b->rests)
			notice(b, "closed", "nothing is left to happen");
	b->settling = false;
	*symptom = b->rests ? b->symptom : (struct symptom){ 0 };
	return !b->rests;
}

const char *bystander_topic(const struct bystander *b)
{
	return b->topic;
}

#include <stdlib.h>
#include <string.h>

#include "codec/codec.h"
#include "reference-broker/broker.h"

/*
 * The broker as it stands behind a server: the input is a list of connections, bytes on them and passing
 * time, from the moment the transport is open, so no state arises that no client can reach. All it sends is
 * decoded and checked: a reference broker that breaks a rule is as wrong as one that crashes.
 *
 * An action is one byte, 3 bits what and 3 bits on which connection, and what follows it.
 */
enum { ACT_OPEN, ACT_SEND, ACT_SEND_LONG, ACT_LOSE, ACT_WAIT, ACT_STOP_READING, ACT_READ, ACT_LIMITS };

#define N_LINKS 8

struct input {
	const uint8_t *at;
	size_t len;
};

struct end {				/* the client's end of a connection */
	struct link *link;
	uint8_t version;		/* by its first CONNECT: how the broker's packets are to be read */
	bool reading, connected, done;
	uint8_t *out;			/* what came and was not a whole packet yet */
	size_t len;
	size_t head_len;
	uint8_t head[4096];		/* its first bytes, for the version; inputs are not longer */
};

static struct end ends[N_LINKS];
static struct broker *broker;
static uint64_t now_ns;
static size_t max_memory;

static uint8_t next_byte(struct input *in)
{
	uint8_t byte = in->len ? *in->at : 0;

	in->at += in->len != 0;
	in->len -= in->len != 0;
	return byte;
}

static void trap_unless(bool fine)
{
	if (!fine)
		__builtin_trap();
}

/* The level in CONNECT says how the answers read; a level that the broker does not serve is refused in 3.1.1's form. */
static uint8_t version_of(const struct end *e)
{
	struct frame frame;
	struct finding finding;
	size_t at;

	if (frame_next(e->head, e->head_len, &frame, &finding) == FRAME_BAD || e->head_len < 2)
		return MQTT_3_1_1;
	at = frame.header_size;
	if (at + 1 >= e->head_len)
		return MQTT_3_1_1;
	at += 2u + (size_t)(e->head[at] << 8 | e->head[at + 1]);
	return at < e->head_len && (e->head[at] == MQTT_5 || e->head[at] == MQTT_3_1) ? e->head[at] : MQTT_3_1_1;
}

static void check_packet(struct end *e, struct span bytes)
{
	struct packet p;
	struct finding finding;
	uint8_t version = version_of(e);

	trap_unless(!e->done);			/* [5 MQTT-3.14.4-1] nothing behind our DISCONNECT */
	trap_unless(decode(bytes.at, bytes.len, version, &p, &finding) == CODEC_OK);
	trap_unless(check(&p, FROM_SERVER, &finding) == CODEC_OK);
	if (p.type != AUTH)			/* [MQTT-3.2.0-1] first and once; in 5 AUTH may come before it */
		trap_unless(e->connected != (p.type == CONNACK));
	if (p.type == CONNACK)
		e->connected = true;
	e->done = p.type == DISCONNECT || (p.type == CONNACK && p.reason);
}

static void check_output(struct end *e)
{
	size_t taken = 0;
	struct frame frame;
	struct finding finding;
	enum frame_status status = FRAME_MORE;

	while (taken < e->len && (status = frame_next(e->out + taken, e->len - taken, &frame, &finding)) == FRAME_OK) {
		trap_unless(!frame.overlong);
		check_packet(e, span_of(e->out + taken, frame.size));
		taken += frame.size;
	}
	trap_unless(status != FRAME_BAD);
	e->len -= taken;
	memmove(e->out, e->out + taken, e->len);
}

static void read_output(struct end *e)
{
	struct span out;

	while (e->link && (out = link_output(e->link)).len) {
		uint8_t *grown = realloc(e->out, e->len + out.len);
		size_t n = out.len;

		if (!grown)
			return;
		memcpy(grown + e->len, out.at, n);
		e->out = grown;
		e->len += n;
		link_sent(broker, e->link, n, now_ns);
		check_output(e);
	}
}

/* What clients have it keep is counted right, and within its bound. */
static void check_memory(void)
{
	struct broker_stats stats;

	broker_stats(broker, &stats);
	trap_unless(stats.memory <= max_memory && stats.memory == broker_count_memory(broker));
}

static void settle(void)
{
	struct link *link;

	while ((link = broker_ready(broker))) {
		struct end *e = link_owner(link);

		if (e->reading)
			read_output(e);
		if (link_closing(link) && !link_output(link).len) {
			trap_unless(e->len == 0);
			broker_forget(broker, link, now_ns);
			e->link = NULL;
		}
	}
	check_memory();
}

static void lose(struct end *e)
{
	if (e->link)
		broker_forget(broker, e->link, now_ns);
	free(e->out);
	memset(e, 0, offsetof(struct end, head));
}

static void open_end(struct end *e)
{
	lose(e);
	e->link = broker_accept(broker, e, now_ns);
	e->reading = true;
}

static void send_bytes(struct end *e, struct input *in, size_t len)
{
	if (len > in->len)
		len = in->len;
	if (e->link) {
		size_t head = len < sizeof(e->head) - e->head_len ? len : sizeof(e->head) - e->head_len;

		memcpy(e->head + e->head_len, in->at, head);
		e->head_len += head;
		broker_receive(broker, e->link, in->at, len, now_ns);
	}
	in->at += len;
	in->len -= len;
}

static void wait_for(uint64_t ns)
{
	uint64_t end = now_ns + ns;

	while (broker_deadline(broker) <= end) {
		uint64_t due = broker_deadline(broker);

		now_ns = due > now_ns ? due : now_ns;
		broker_tick(broker, now_ns);
		settle();
	}
	now_ns = end;
}

/* An Authentication Method of two steps: a name, then "y". */
static enum authenticated ask(void *users, void *state, struct span data, struct span *answer, struct span *user_name)
{
	uint8_t *name = state;

	(void)users;
	if (!name[0]) {
		if (!data.len)
			return AUTHENTICATION_WRONG;
		name[0] = 1;
		name[1] = data.at[0];
		*answer = span_text("sure?");
		return AUTHENTICATION_GOES_ON;
	}
	*user_name = span_of(name + 1, 1);
	return span_is(data, "y") ? AUTHENTICATION_RIGHT : AUTHENTICATION_WRONG;
}

/* What is denied changes as time passes. */
static bool may(void *rules, struct span user_name, struct span client_id, enum act act, struct span topic)
{
	(void)rules, (void)user_name;
	trap_unless(client_id.at && topic.at);
	return (now_ns / 1000000000 + topic.len + act) % 4;
}

static const struct authentication asking = { { (const uint8_t *)"A", 1 }, 2, ask };

static void start(unsigned limits)
{
	struct broker_config config;

	broker_defaults(&config);
	config.seed = 1;
	config.authentication = &asking;
	config.max_sessions = 20;
	config.max_subscriptions_per_session = 50;
	config.max_queued_per_session = 20;
	config.max_retained = 20;
	config.max_output = limits & 1 ? 200 : 1 << 16;
	max_memory = config.max_memory = limits & 2 ? 40000 : 1 << 22;
	config.receive_maximum = limits & 4 ? 2 : 65535;
	config.maximum_packet_size = limits & 8 ? 200 : 1 << 20;
	config.work_at_once = limits & 4 ? 5 : 2000;
	config.maximum_qos = limits & 16 ? 1 : 2;
	config.retain_available = config.wildcard_available = config.shared_available = !(limits & 32);
	config.server_keep_alive = limits & 64 ? 10 : 0;
	config.may = limits & 64 ? may : NULL;
	config.session_expiry_maximum = limits & 128 ? 20 : UINT32_MAX;
	now_ns = 1;
	broker = broker_new(&config, now_ns);
}

static void act(struct input *in)
{
	uint8_t action = next_byte(in);
	struct end *e = &ends[action >> 3 & 7];
	size_t len;

	switch (action & 7) {
	case ACT_OPEN:
		open_end(e);
		break;
	case ACT_SEND:
		send_bytes(e, in, next_byte(in));
		break;
	case ACT_SEND_LONG:
		len = (size_t)next_byte(in) << 8;
		send_bytes(e, in, len | next_byte(in));
		break;
	case ACT_LOSE:
		lose(e);
		break;
	case ACT_WAIT:
		wait_for(next_byte(in) * UINT64_C(500000000));
		break;
	case ACT_STOP_READING:
		e->reading = false;
		break;
	case ACT_READ:
		e->reading = true;
		read_output(e);
		break;
	case ACT_LIMITS:		/* means something at the front only */
		next_byte(in);
		break;
	}
	settle();
	wait_for(1);			/* a turn for what could not be done at once */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	struct broker_stats stats;

	start(size > 1 && (data[0] & 7) == ACT_LIMITS ? data[1] : 0);
	if (!broker)
		return 0;
	while (in.len)
		act(&in);
	broker_shutdown(broker, now_ns);
	settle();
	for (unsigned i = 0; i < N_LINKS; i++)
		lose(&ends[i]);
	broker_stats(broker, &stats);
	trap_unless(stats.links == 0 && stats.memory == broker_count_memory(broker));
	broker_free(broker);
	return 0;
}

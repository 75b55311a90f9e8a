#include <errno.h>

#include "codec/bench/bench.h"
#include "codec/codec.h"
#include "codec/fields.h"
#include "reference-broker/bench/brokers.h"

/*
 * Messages a second of the broker and of Mosquitto, with one client in one run, turn about. A message is in flight
 * until the subscriber has it and its publisher an acknowledgement where its QoS has one; so a broker that loses one
 * stops here. The figure to compare across machines is the broker's CPU time per message.
 */

enum { PAYLOAD = 64, ROUNDS = 5, MAX_PUBLISHERS = 50, N_QOS = 3 };

#define ROUND_NS 300000000u

static const struct load {		/* many packets to a read, and one */
	const char *name;
	unsigned publishers, window;
} loads[] = {
	{ "4 publishers, 100 in flight each", 4, 100 },
	{ "50 publishers, 1 in flight each", MAX_PUBLISHERS, 1 },
};

enum { N_LOADS = sizeof(loads) / sizeof(loads[0]) };

struct side {				/* a connection: a publisher, or the subscriber */
	struct transport *transport;
	struct bench *bench;
	uint8_t packet[128];		/* a publisher's message, but for its packet id */
	size_t packet_len, id_at;
	uint64_t sent, acknowledged, delivered;
	uint16_t last_id;
	bool ready;			/* CONNACK, and for the subscriber SUBACK, have come */
	size_t in_len, out_len;
	uint8_t in[1 << 16], out[1 << 16];
};

struct bench {
	struct loop *loop;
	struct broker_process broker;
	struct side publishers[MAX_PUBLISHERS], subscriber;
	const struct load *load;
	struct task fill;
	struct timer limit;
	unsigned qos;
	bool running;			/* its round: what trickles in later must not end the other's */
	uint64_t until_ns;		/* new messages are sent until then; those in flight are awaited */
	double rate[ROUNDS], cpu_ns, messages;
};

/* ---- writing ---- */

static void flush_side(struct side *s)
{
	ssize_t n;

	if (!s->out_len)
		return;
	n = s->transport->ops->send(s->transport, s->out, s->out_len);
	if (n == -EAGAIN)
		return;
	if (n < 0)
		brokers_give_up(s->bench->broker.name, strerror((int)-n));
	s->out_len -= (size_t)n;
	memmove(s->out, s->out + n, s->out_len);
}

static void put(struct side *s, const void *bytes, size_t len)
{
	if (len > sizeof(s->out) - s->out_len)
		brokers_give_up(s->bench->broker.name, "does not read what it is sent");
	memcpy(s->out + s->out_len, bytes, len);
	s->out_len += len;
}

static void put_packet(struct side *s, struct packet *p)
{
	uint8_t room[256];
	struct writer w = writer_to(room, sizeof(room));

	p->version = MQTT_3_1_1;
	if (encode(p, NULL, &w) != CODEC_OK)
		abort();
	put(s, room, w.len);
}

static void put_answer(struct side *s, unsigned first, const uint8_t *id)
{
	const uint8_t answer[] = { (uint8_t)first, 2, id[0], id[1] };

	put(s, answer, sizeof(answer));
}

static uint64_t done(const struct side *s)
{
	return s->bench->qos && s->acknowledged < s->delivered ? s->acknowledged : s->delivered;
}

static void publish(struct side *s)
{
	while (s->sent - done(s) < s->bench->load->window) {
		if (s->bench->qos) {
			if (!++s->last_id)
				s->last_id = 1;
			s->packet[s->id_at] = (uint8_t)(s->last_id >> 8);
			s->packet[s->id_at + 1] = (uint8_t)s->last_id;
		}
		put(s, s->packet, s->packet_len);
		s->sent++;
	}
}

/* Once a round of the loop: all that may be sent by now, in one send a connection. */
static void fill(struct task *task, struct loop *loop)
{
	struct bench *b = (struct bench *)((char *)task - offsetof(struct bench, fill));
	bool over = loop->now_ns >= b->until_ns, settled = true;

	for (unsigned i = 0; i < MAX_PUBLISHERS; i++) {
		struct side *s = &b->publishers[i];

		if (!over && i < b->load->publishers)
			publish(s);
		flush_side(s);
		settled &= s->ready && !s->out_len && s->sent == done(s);
	}
	flush_side(&b->subscriber);
	if (b->running && over && settled && b->subscriber.ready && !b->subscriber.out_len) {
		b->running = false;
		loop_stop(loop);
	}
}

/* ---- reading ---- */

static void take(struct side *s, const struct frame *frame, const uint8_t *body)
{
	struct bench *b = s->bench;
	unsigned qos = frame->first >> 1 & 3;
	size_t topic_len;

	switch (frame->first >> 4) {
	case CONNACK:
		s->ready = s != &b->subscriber;
		break;
	case SUBACK:
		s->ready = true;
		break;
	case PUBLISH:				/* bench/N, of publisher N - '0' */
		topic_len = (size_t)(body[0] << 8 | body[1]);
		b->publishers[(body[1 + topic_len] - '0') % MAX_PUBLISHERS].delivered++;
		if (qos)
			put_answer(s, qos == 1 ? 0x40 : 0x50, body + 2 + topic_len);
		break;
	case PUBREC:
		put_answer(s, 0x62, body);
		break;
	case PUBREL:
		put_answer(s, 0x70, body);
		break;
	case PUBACK:
	case PUBCOMP:
		s->acknowledged++;
		break;
	default:
		brokers_give_up(b->broker.name, "sent what nobody asked for");
	}
}

static void read_in(struct side *s)
{
	ssize_t n = s->transport->ops->recv(s->transport, s->in + s->in_len, sizeof(s->in) - s->in_len);
	struct frame frame;
	struct finding finding;
	size_t at = 0;

	if (n == -EAGAIN)
		return;
	if (n <= 0)
		brokers_give_up(s->bench->broker.name, n ? strerror((int)-n) : "closed a connection");
	s->in_len += (size_t)n;
	for (; frame_next(s->in + at, s->in_len - at, &frame, &finding) == FRAME_OK; at += frame.size)
		take(s, &frame, s->in + at + frame.header_size);
	s->in_len -= at;
	memmove(s->in, s->in + at, s->in_len);
}

static void happened(struct transport *t, unsigned events)
{
	struct side *s = t->owner;

	if (events & TRANSPORT_FAILED)
		brokers_give_up(s->bench->broker.name, transport_strerror(t->error));
	if (events & TRANSPORT_READABLE)
		read_in(s);
	loop_post(t->loop, &s->bench->fill);
}

/* ---- one round ---- */

static void too_late(struct timer *timer, struct loop *loop)
{
	struct bench *b = (struct bench *)((char *)timer - offsetof(struct bench, limit));

	(void)loop;
	brokers_give_up(b->broker.name, "lost a message, or took 5 s over it");
}

/* Sends for so long, then awaits what is in flight; returns how many were delivered. */
static double run_for(struct bench *b, uint64_t ns)
{
	uint64_t before = 0, after = 0;

	for (unsigned i = 0; i < MAX_PUBLISHERS; i++)
		before += b->publishers[i].delivered;
	b->loop->now_ns = clock_now(&b->loop->clock);
	b->until_ns = b->loop->now_ns + ns;
	b->running = true;
	loop_timer(b->loop, &b->limit, b->until_ns + UINT64_C(5000000000));
	loop_post(b->loop, &b->fill);
	loop_run(b->loop);
	loop_timer_stop(b->loop, &b->limit);
	for (unsigned i = 0; i < MAX_PUBLISHERS; i++)
		after += b->publishers[i].delivered;
	return (double)(after - before);
}

static void prepare(struct bench *b, const struct load *load, unsigned qos)
{
	static const uint8_t payload[PAYLOAD];

	b->load = load;
	b->qos = qos;
	for (unsigned i = 0; i < MAX_PUBLISHERS; i++) {
		struct side *s = &b->publishers[i];
		struct writer w = writer_to(s->packet, sizeof(s->packet));
		char topic[] = "bench/N";
		struct packet p = {
			.version = MQTT_3_1_1, .type = PUBLISH, .flags = (uint8_t)(qos << PUBLISH_QOS_SHIFT), .packet_id = 1,
			.payload = span_of(payload, sizeof(payload)),
		};

		topic[6] = (char)('0' + i);
		p.topic = span_text(topic);
		if (encode(&p, NULL, &w) != CODEC_OK || !wr_fits(&w))
			abort();
		s->packet_len = w.len;
		s->id_at = w.len - PAYLOAD - 2;
		s->acknowledged = s->delivered;		/* none was counted at QoS 0 */
	}
}

static void play_round(struct bench *b, unsigned round)
{
	double n, cpu, from;

	if (!round)
		run_for(b, ROUND_NS / 8);
	cpu = brokers_cpu_ns(&b->broker);
	from = bench_ns();
	n = run_for(b, ROUND_NS);
	b->rate[round] = n / (bench_ns() - from) * 1e9;
	b->cpu_ns += brokers_cpu_ns(&b->broker) - cpu;
	b->messages += n;
}

/* ---- all of it ---- */

static void open_side(struct bench *b, struct side *s, const char *id)
{
	struct packet connect = {
		.type = CONNECT, .protocol_name = span_text("MQTT"), .protocol_version = MQTT_3_1_1, .client_id = span_text(id),
		.connect_flags = CONNECT_CLEAN_START,
	};

	s->bench = b;
	put_packet(s, &connect);
	s->transport = transport_connect(b->loop, &b->broker.address, happened, s);
	if (!s->transport)
		brokers_give_up(b->broker.name, strerror(errno));
}

static void open_all(struct bench *b)
{
	struct packet subscribe = { .type = SUBSCRIBE, .flags = 2, .packet_id = 1, .list = span_of("\0\7bench/+\2", 10) };

	b->load = loads;
	b->fill.run = fill;
	b->limit.fire = too_late;
	open_side(b, &b->subscriber, "subscriber");
	put_packet(&b->subscriber, &subscribe);
	for (unsigned i = 0; i < MAX_PUBLISHERS; i++) {
		char id[16];

		snprintf(id, sizeof(id), "publisher%u", i);
		open_side(b, &b->publishers[i], id);
	}
	run_for(b, 0);
}

static void close_all(struct bench *b)
{
	for (unsigned i = 0; i < MAX_PUBLISHERS; i++)
		b->publishers[i].transport->ops->close(b->publishers[i].transport, false);
	b->subscriber.transport->ops->close(b->subscriber.transport, false);
	brokers_stop(&b->broker);
}

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double report(struct bench *b)
{
	char what[96];

	qsort(b->rate, ROUNDS, sizeof(*b->rate), ascending);
	snprintf(what, sizeof(what), "QoS %u, %s", b->qos, b->broker.name);
	bench_figure(what, b->rate[ROUNDS / 2] / 1e3, "thousand messages/s", "(%.0f to %.0f), %.2f us of its CPU a message",
	             b->rate[0] / 1e3, b->rate[ROUNDS - 1] / 1e3, b->cpu_ns / b->messages / 1e3);
	return b->rate[ROUNDS / 2];
}

static void report_ratio(const struct bench *ours, const struct bench *other, double rates)
{
	char what[96];

	snprintf(what, sizeof(what), "QoS %u, ours beside Mosquitto", ours->qos);
	bench_figure(what, rates, "times its rate", "at %.2f times its CPU a message",
	             ours->cpu_ns / ours->messages / (other->cpu_ns / other->messages));
}

/* Turn about, so that whatever else the machine does meets both. */
static void play_load(struct bench *benches, unsigned n, const struct load *load, unsigned qos)
{
	double rate[N_BROKERS] = { 0 };

	for (unsigned i = 0; i < n; i++) {
		benches[i].cpu_ns = benches[i].messages = 0;
		prepare(&benches[i], load, qos);
	}
	for (unsigned round = 0; round < ROUNDS; round++)
		for (unsigned i = 0; i < n; i++)
			play_round(&benches[i], round);
	for (unsigned i = 0; i < n; i++)
		rate[i] = report(&benches[i]);
	if (n == N_BROKERS)
		report_ratio(&benches[OURS], &benches[MOSQUITTO], rate[OURS] / rate[MOSQUITTO]);
}

int main(void)
{
	static struct bench benches[N_BROKERS];
	struct loop loop;
	unsigned n = 1;

	if (loop_init(&loop, false))
		return 3;
	benches[OURS].loop = benches[MOSQUITTO].loop = &loop;
	brokers_start_ours(&benches[OURS].broker, &loop);
	if (brokers_start_mosquitto(&benches[MOSQUITTO].broker, &loop))
		n = N_BROKERS;
	else
		printf("mosquitto is not installed: nothing to set beside ours\n");
	for (unsigned i = 0; i < n; i++)
		open_all(&benches[i]);
	for (unsigned l = 0; l < N_LOADS; l++) {
		printf("%s, 1 subscriber, %d bytes, over tcp; median of %d rounds\n", loads[l].name, PAYLOAD, ROUNDS);
		for (unsigned qos = 0; qos < N_QOS; qos++)
			play_load(benches, n, &loads[l], qos);
	}
	for (unsigned i = 0; i < n; i++)
		close_all(&benches[i]);
	loop_settle(&loop);
	loop_release(&loop);
	return 0;
}

/*
 * make_capture FILE [N_PACKETS [REPEATS]]: a capture like that of a busy broker, the same to the last byte each time: 2000 connections
 * of MQTT 3.1.1 and 5, QoS 0 to 2, deliveries to subscribers, topic aliases, pings, acknowledgements of TCP, some segments sent
 * again or captured in the wrong order, connections that close and open anew. 1500000 packets make 200 MB.
 * FILE - is standard output. Repeats are the same conversations again, later and from other ports.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "codec/writer.h"
#include "pcap/out.h"

enum { N_CLIENTS = 2000, PER_SUBSCRIBER = 10, QUEUE = 4096, LAG = 40, PACKET_MOST = 512, FRAME_MOST = 16 + 54 + 3 * PACKET_MOST };
enum { FIN = 1, SYN = 2, PSH = 8, ACK = 16 };

struct client {
	uint16_t port;
	bool open;
	unsigned opened;		/* how many times: what is due of an earlier connection is void */
	uint32_t seq[2], acked[2];	/* of client and broker */
	uint16_t packet_id[2];
	bool alias_set;
};

struct due {			/* a packet that answers, or delivers */
	unsigned client, opened, from, len;
	uint8_t bytes[PACKET_MOST];
};

static struct maker {
	struct out out;
	uint64_t random, time_us;
	struct client clients[N_CLIENTS];
	struct due queue[QUEUE];
	unsigned first_due, n_due;
	uint64_t n_packets, n_frames;
	uint8_t kept[FRAME_MOST];	/* a frame that comes behind the next */
	size_t kept_len;
	unsigned repeat;
} m;

static uint32_t below(uint32_t n)
{
	m.random ^= m.random << 13;
	m.random ^= m.random >> 7;
	m.random ^= m.random << 17;
	return (uint32_t)(m.random >> 32) % n;
}

/* ---- frames ---- */

static void put16(uint8_t *p, unsigned v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static void put32(uint8_t *p, uint32_t v)
{
	put16(p, v >> 16);
	put16(p + 2, v & 0xffff);
}

static void set_checksum(uint8_t *ip)
{
	uint32_t sum = 0;

	for (int i = 0; i < 20; i += 2)
		sum += (uint32_t)ip[i] << 8 | ip[i + 1];
	sum = (sum & 0xffff) + (sum >> 16);
	put16(ip + 10, ~(sum + (sum >> 16)) & 0xffff);
}

static size_t build_frame(uint8_t *p, const struct client *c, unsigned from, unsigned flags, const void *bytes, size_t len)
{
	static const uint8_t ethernet[14] = { 2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0 };
	uint32_t header[4] = { (uint32_t)(m.time_us / 1000000), (uint32_t)(m.time_us % 1000000), (uint32_t)(54 + len), (uint32_t)(54 + len) };
	uint32_t n = (uint32_t)(c - m.clients), address[2] = { 0x0a010000 + n, 0x0a000001 };
	uint8_t *ip = p + 16 + sizeof(ethernet), *tcp = ip + 20;

	memcpy(p, header, 16);
	memcpy(p + 16, ethernet, sizeof(ethernet));
	memset(ip, 0, 40);
	ip[0] = 0x45;
	put16(ip + 2, (unsigned)(40 + len));
	put16(ip + 4, m.n_frames & 0xffff);
	ip[6] = 0x40;
	ip[8] = 64;
	ip[9] = 6;
	put32(ip + 12, address[from]);
	put32(ip + 16, address[!from]);
	set_checksum(ip);
	put16(tcp, from ? 1883 : c->port);
	put16(tcp + 2, from ? c->port : 1883);
	put32(tcp + 4, c->seq[from]);
	put32(tcp + 8, flags & ACK ? c->seq[!from] : 0);
	tcp[12] = 0x50;
	tcp[13] = (uint8_t)flags;
	put16(tcp + 14, 502);
	if (len)
		memcpy(tcp + 20, bytes, len);
	return 70 + len;
}

static void write_frame(const uint8_t *frame, size_t len)
{
	out_bytes(&m.out, frame, len);
	m.n_frames++;
}

/* From the client (0) or the broker (1); some are captured late, some sent again. */
static void segment(struct client *c, unsigned from, unsigned flags, const void *bytes, size_t len)
{
	uint8_t frame[FRAME_MOST];
	size_t size;
	unsigned luck = len ? below(200) : 100;

	m.time_us += 5 + below(40);
	size = build_frame(frame, c, from, flags, bytes, len);
	if (luck == 0 && !m.kept_len) {
		memcpy(m.kept, frame, size);
		m.kept_len = size;
	} else {
		write_frame(frame, size);
		if (luck == 1)
			write_frame(frame, size);
		if (m.kept_len)
			write_frame(m.kept, m.kept_len);
		m.kept_len = 0;
	}
	c->seq[from] += (uint32_t)len + ((flags & (SYN | FIN)) != 0);
	c->acked[from] = c->seq[!from];
}

static void send_bytes(struct client *c, unsigned from, const void *bytes, size_t len)
{
	segment(c, from, PSH | ACK, bytes, len);
	if (below(16) == 0)
		segment(c, !from, ACK, NULL, 0);
}

/* ---- packets ---- */

static bool is_5(const struct client *c)
{
	return (c - m.clients) % 3 == 0;
}

static size_t finish(uint8_t *bytes, const struct writer *w, uint8_t first)
{
	size_t body = w->len, head = body < 128 ? 2 : 3;

	memmove(bytes + head, bytes, body);
	bytes[0] = first;
	bytes[1] = (uint8_t)(body < 128 ? body : (body & 127) | 128);
	if (body >= 128)
		bytes[2] = (uint8_t)(body >> 7);
	m.n_packets++;
	return body + head;
}

static void put_string(struct writer *w, const char *s)
{
	wr_u16(w, (uint16_t)strlen(s));
	wr_bytes(w, span_text(s));
}

static void topic_of(unsigned client, char room[64])
{
	snprintf(room, 64, "plant/%u/line/%u/sensor/%u", client / 400, client / PER_SUBSCRIBER, client);
}

static size_t publish(uint8_t *bytes, struct client *c, unsigned from, unsigned source, unsigned qos, bool alias, const uint8_t *payload, size_t len)
{
	struct writer w = writer_to(bytes, PACKET_MOST);
	char topic[64];

	topic_of(source, topic);
	put_string(&w, alias && c->alias_set ? "" : topic);
	if (qos) {
		if (!++c->packet_id[from])
			c->packet_id[from] = 1;
		wr_u16(&w, c->packet_id[from]);
	}
	if (is_5(c)) {
		wr_u8(&w, alias ? 3 : qos ? 5 : 0);
		if (alias) {
			wr_u8(&w, 0x23);
			wr_u16(&w, 1);
			c->alias_set = true;
		} else if (qos) {
			wr_u8(&w, 0x02);
			wr_u32(&w, 3600);
		}
	}
	wr_bytes(&w, span_of(payload, len));
	return finish(bytes, &w, (uint8_t)(0x30 | qos << 1));
}

static struct due *put_due(struct client *c, unsigned from)
{
	struct due *d = &m.queue[(m.first_due + m.n_due) % QUEUE];

	if (m.n_due == QUEUE)
		abort();
	m.n_due++;
	d->client = (unsigned)(c - m.clients);
	d->opened = c->opened;
	d->from = from;
	return d;
}

static void put_ack(struct client *c, unsigned from, uint8_t first, const uint8_t packet_id[2])
{
	struct due *d = put_due(c, from);

	memcpy(d->bytes, (uint8_t[]){ first, 2, packet_id[0], packet_id[1] }, 4);
	d->len = 4;
	m.n_packets++;
}

static void answer(struct client *c, const struct due *d)
{
	const uint8_t *b = d->bytes;
	size_t head = b[1] & 128 ? 3 : 2, topic = (size_t)b[head] << 8 | b[head + 1];

	switch (b[0]) {
	case 0x32: put_ack(c, !d->from, 0x40, b + head + 2 + topic); break;
	case 0x34: put_ack(c, !d->from, 0x50, b + head + 2 + topic); break;
	case 0x50: put_ack(c, !d->from, 0x62, b + 2); break;
	case 0x62: put_ack(c, !d->from, 0x70, b + 2); break;
	case 0xc0:
		memcpy(put_due(c, 1)->bytes, (uint8_t[]){ 0xd0, 0 }, 2);
		m.queue[(m.first_due + m.n_due - 1) % QUEUE].len = 2;
		m.n_packets++;
		break;
	}
}

static void send_due(void)
{
	struct due d = m.queue[m.first_due];
	struct client *c = &m.clients[d.client];

	m.first_due = (m.first_due + 1) % QUEUE;
	m.n_due--;
	if (!c->open || c->opened != d.opened) {
		m.n_packets--;
		return;
	}
	send_bytes(c, d.from, d.bytes, d.len);
	answer(c, &d);
}

static void connect_client(struct client *c)
{
	unsigned n = (unsigned)(c - m.clients);
	uint8_t bytes[PACKET_MOST];
	struct writer w = writer_to(bytes, sizeof(bytes));
	char text[64];

	c->open = true;
	c->opened++;
	c->port = (uint16_t)(10000 + (c->opened * 37 + m.repeat * 4001) % 50000);
	c->seq[0] = below(UINT32_MAX);
	c->seq[1] = below(UINT32_MAX);
	c->packet_id[0] = c->packet_id[1] = 0;
	c->alias_set = false;
	segment(c, 0, SYN, NULL, 0);
	segment(c, 1, SYN | ACK, NULL, 0);
	segment(c, 0, ACK, NULL, 0);
	put_string(&w, "MQTT");
	wr_bytes(&w, span_of((uint8_t[]){ is_5(c) ? 5 : 4, 2, 0, 60, 0 }, is_5(c) ? 5 : 4));
	snprintf(text, sizeof(text), "device-%04u", n);
	put_string(&w, text);
	send_bytes(c, 0, bytes, finish(bytes, &w, 0x10));
	w = writer_to(bytes, sizeof(bytes));
	wr_bytes(&w, is_5(c) ? span_of("\0\0\3\x22\0\x10", 6) : span_of("\0\0", 2));
	send_bytes(c, 1, bytes, finish(bytes, &w, 0x20));
	if (n % PER_SUBSCRIBER)
		return;
	snprintf(text, sizeof(text), "plant/+/line/%u/#", n / PER_SUBSCRIBER);
	w = writer_to(bytes, sizeof(bytes));
	wr_u16(&w, ++c->packet_id[0]);
	if (is_5(c))
		wr_u8(&w, 0);
	put_string(&w, text);
	wr_u8(&w, 1);
	send_bytes(c, 0, bytes, finish(bytes, &w, 0x82));
	w = writer_to(bytes, sizeof(bytes));
	wr_bytes(&w, is_5(c) ? span_of("\0\1\0\1", 4) : span_of("\0\1\1", 3));
	send_bytes(c, 1, bytes, finish(bytes, &w, 0x90));
}

static void disconnect_client(struct client *c)
{
	m.n_packets++;
	segment(c, 0, PSH | ACK, "\xe0\0", 2);
	segment(c, 0, FIN | ACK, NULL, 0);
	segment(c, 1, FIN | ACK, NULL, 0);
	segment(c, 0, ACK, NULL, 0);
	c->open = false;
}

static size_t fill(uint8_t *payload)
{
	size_t len = 20 + below(below(8) ? 71 : 131);

	snprintf((char *)payload, 160, "{\"sensor\":%u,\"value\":%u.%u,\"at\":%llu,\"unit\":\"C\",\"comment\":\"", below(2000), below(90), below(100),
	         (unsigned long long)(m.time_us / 1000));
	for (size_t i = strlen((char *)payload); i < len; i++)
		payload[i] = (uint8_t)('a' + i % 26);
	return len;
}

/* What a client does of its own accord. */
static void act(void)
{
	unsigned n = below(N_CLIENTS), qos = below(10), luck = below(1000);
	struct client *c = &m.clients[n], *s = &m.clients[n / PER_SUBSCRIBER * PER_SUBSCRIBER];
	uint8_t payload[160], bytes[3 * PACKET_MOST];
	size_t len, total;
	bool alias = is_5(c) && n % 2;

	if (luck == 0)
		disconnect_client(c);
	if (!c->open) {
		connect_client(c);
		return;
	}
	qos = qos < 6 ? 0 : qos < 9 ? 1 : 2;
	if (luck < 15) {
		struct due ping = { .from = 0, .bytes = { 0xc0, 0 }, .len = 2 };

		m.n_packets++;
		send_bytes(c, 0, ping.bytes, ping.len);
		answer(c, &ping);
		return;
	}
	len = fill(payload);
	total = publish(bytes, c, 0, n, qos, alias, payload, len);
	while (qos == 0 && below(10) == 0 && total < 2 * PACKET_MOST)	/* several in a segment */
		total += publish(bytes + total, c, 0, n, 0, alias, payload, len);
	send_bytes(c, 0, bytes, total);
	if (qos) {
		struct due sent = { .from = 0, .len = (unsigned)total };

		memcpy(sent.bytes, bytes, total);
		answer(c, &sent);
	}
	if (s->open && n % 4) {
		struct due *d = put_due(s, 1);

		d->len = (unsigned)publish(d->bytes, s, 1, n, qos ? 1 : 0, false, payload, len);
	}
}

static void make(uint64_t n_packets)
{
	uint64_t until = m.n_packets + n_packets;
	uint8_t payload[160], bytes[PACKET_MOST];

	m.random = UINT64_C(88172645463325252);
	for (unsigned i = 0; i < N_CLIENTS && m.n_packets + 2 * N_CLIENTS < until; i++)
		connect_client(&m.clients[i]);
	while (m.n_packets + N_CLIENTS + 10 + m.n_due < until) {
		if (m.n_due > LAG)
			send_due();
		else
			act();
	}
	while (m.n_due)
		send_due();
	for (unsigned i = 0; i < N_CLIENTS; i++) {
		struct client *c = &m.clients[i];

		if (c->open && m.n_packets < until)
			disconnect_client(c);
	}
	if (m.n_packets < until)
		connect_client(&m.clients[1]);
	while (m.n_packets + 1 < until)
		send_bytes(&m.clients[1], 0, bytes, publish(bytes, &m.clients[1], 0, 1, 0, false, payload, fill(payload)));
	for (unsigned i = 0; i < N_CLIENTS; i++)
		if (m.clients[i].open)
			disconnect_client(&m.clients[i]);
	if (m.kept_len)
		write_frame(m.kept, m.kept_len);
	m.kept_len = 0;
}

static void write_header(void)
{
	struct {
		uint32_t magic;
		uint16_t major, minor;
		uint32_t zone, accuracy, snap_length, link_type;
	} header = { 0xa1b2c3d4, 2, 4, 0, 0, 262144, 1 };

	out_bytes(&m.out, &header, sizeof(header));
}

int main(int argc, char **argv)
{
	uint64_t n_packets = argc > 2 ? strtoull(argv[2], NULL, 10) : 1500000;
	unsigned repeats = argc > 3 ? (unsigned)strtoul(argv[3], NULL, 10) : 1;
	int fd;

	if (argc < 2 || argc > 4 || n_packets < 10 || repeats < 1) {
		fprintf(stderr, "usage: make_capture FILE [N_PACKETS [REPEATS]]\n");
		return 2;
	}
	fd = strcmp(argv[1], "-") == 0 ? STDOUT_FILENO : open(argv[1], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0 || !out_init(&m.out, fd)) {
		perror(argv[1]);
		return 3;
	}
	m.time_us = UINT64_C(1700000000000000);
	write_header();
	for (m.repeat = 0; m.repeat < repeats && !m.out.error; m.repeat++)
		make(n_packets);
	fprintf(stderr, "%llu packets in %llu frames, %.1f MB\n", (unsigned long long)m.n_packets, (unsigned long long)m.n_frames, (double)m.out.written / 1e6);
	return out_release(&m.out) ? 3 : 0;
}

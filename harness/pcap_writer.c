#include "harness/pcap_writer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "harness/escape.h"

enum {
	SEGMENT = 1460,			/* of an Ethernet's 1500 */
	UNACKED = 64 * 1024,		/* then the other side acknowledges: far below the window that we announce */
	WINDOW_SHIFT = 7,
	TEXT = 600,			/* of a comment or a name */
	BLOCK = 256 + TEXT + SEGMENT,
	BROKER_NET = 0xc0000200,	/* 192.0.2.0/24: for documentation */
	CLIENT_NET = 0x0a000001,
	FIRST_PORT = 49152, N_PORTS = 16384,
	MQTT_PORT = 1883,
};

enum { FIN = 1, SYN = 2, RST = 4, PSH = 8, ACK = 16 };

enum block_type { SECTION_HEADER = 0x0a0d0d0a, INTERFACE = 1, ENHANCED_PACKET = 6 };
enum option { OPT_END_OF_OPTIONS = 0, OPT_COMMENT = 1, IF_NAME = 2, SHB_USERAPPL = 4, IF_TSRESOL = 9 };
enum { LINK_RAW = 101, NANOSECONDS = 9 };

struct pcap_writer {
	struct tap tap;
	struct pcap_output *output;
	uint64_t epoch_ns;
	uint32_t n_targets, n_connections;
};

struct side {
	uint32_t ip, next, acked;	/* next: the sequence number of its next byte; acked: up to where the other side said so */
	uint16_t port, n_packets;
	bool finished;
};

struct flow {
	struct tapped tapped;
	struct pcap_writer *writer;
	struct side side[2];		/* by enum tap_side */
	uint32_t interface;
	bool opened;
};

/* ---- blocks ---- */

struct block {
	size_t len;
	uint8_t room[BLOCK];
};

static void put_le16(struct block *b, uint16_t v)
{
	b->room[b->len++] = (uint8_t)v;
	b->room[b->len++] = (uint8_t)(v >> 8);
}

static void put_le32(struct block *b, uint32_t v)
{
	put_le16(b, (uint16_t)v);
	put_le16(b, (uint16_t)(v >> 16));
}

static void put_be16(struct block *b, uint16_t v)
{
	b->room[b->len++] = (uint8_t)(v >> 8);
	b->room[b->len++] = (uint8_t)v;
}

static void put_be32(struct block *b, uint32_t v)
{
	put_be16(b, (uint16_t)(v >> 16));
	put_be16(b, (uint16_t)v);
}

static void put_bytes(struct block *b, const void *bytes, size_t len)
{
	if (len)
		memcpy(b->room + b->len, bytes, len);
	b->len += len;
}

static void pad(struct block *b)
{
	while (b->len % 4)
		b->room[b->len++] = 0;
}

static void put_option(struct block *b, enum option option, const void *bytes, size_t len)
{
	put_le16(b, (uint16_t)option);
	put_le16(b, (uint16_t)len);
	put_bytes(b, bytes, len);
	pad(b);
}

/* Names are of files and labels: anything. A reader expects UTF-8, and shows it in a terminal. */
static void put_text(struct block *b, enum option option, const char *text)
{
	char safe[TEXT];
	size_t len = escape_bytes(text, strlen(text), safe, sizeof(safe));

	put_option(b, option, safe, len < sizeof(safe) ? len : strlen(safe));
}

static void begin(struct block *b, enum block_type type)
{
	b->len = 0;
	put_le32(b, type);
	put_le32(b, 0);			/* its length: end() */
}

static void end(struct pcap_writer *w, struct block *b)
{
	size_t len = b->len + 4;

	b->len = 4;
	put_le32(b, (uint32_t)len);
	b->len = len - 4;
	put_le32(b, (uint32_t)len);
	w->output->write(w->output, b->room, b->len);
}

void pcap_writer_target(struct pcap_writer *w, const char *label, uint64_t epoch_ns)
{
	static const uint8_t resolution = NANOSECONDS;
	struct block b;

	w->epoch_ns = epoch_ns;
	w->n_targets++;
	begin(&b, INTERFACE);
	put_le16(&b, LINK_RAW);
	put_le16(&b, 0);
	put_le32(&b, 65535);
	put_text(&b, IF_NAME, label);
	put_option(&b, IF_TSRESOL, &resolution, 1);
	put_option(&b, OPT_END_OF_OPTIONS, NULL, 0);
	end(w, &b);
}

uint64_t pcap_epoch_ns(bool simulated)
{
	struct timespec wall, monotonic;

	if (simulated)
		return UINT64_C(1577836800) * 1000000000u;	/* 2020-01-01 */
	clock_gettime(CLOCK_REALTIME, &wall);
	clock_gettime(CLOCK_MONOTONIC, &monotonic);
	return ((uint64_t)wall.tv_sec - (uint64_t)monotonic.tv_sec) * 1000000000u + (uint64_t)wall.tv_nsec - (uint64_t)monotonic.tv_nsec;
}

/* ---- packets ---- */

static uint32_t sum_up(const uint8_t *bytes, size_t len, uint32_t sum)
{
	for (; len > 1; bytes += 2, len -= 2)
		sum += (uint32_t)bytes[0] << 8 | bytes[1];
	return len ? sum + ((uint32_t)bytes[0] << 8) : sum;
}

static void set_checksum(uint8_t *at, uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	at[0] = (uint8_t)(~sum >> 8);
	at[1] = (uint8_t)~sum;
}

static void put_ip(struct block *b, struct side *from, const struct side *to, size_t tcp_len)
{
	uint8_t *start = b->room + b->len;

	put_be16(b, 0x4500);
	put_be16(b, (uint16_t)(20 + tcp_len));
	put_be16(b, from->n_packets++);
	put_be16(b, 0x4000);		/* do not fragment */
	put_be16(b, 64 << 8 | 6);	/* hops, TCP */
	put_be16(b, 0);
	put_be32(b, from->ip);
	put_be32(b, to->ip);
	set_checksum(start + 10, sum_up(start, 20, 0));
}

static void put_tcp(struct block *b, const struct side *from, const struct side *to, unsigned flags, struct span payload)
{
	static const uint8_t options[] = { 2, 4, SEGMENT >> 8, SEGMENT & 0xff, 1, 3, 3, WINDOW_SHIFT };
	size_t head = flags & SYN ? 20 + sizeof(options) : 20;
	uint8_t *start = b->room + b->len;

	put_be16(b, from->port);
	put_be16(b, to->port);
	put_be32(b, from->next);
	put_be32(b, flags & ACK ? to->next : 0);
	put_be16(b, (uint16_t)(head / 4 << 12 | flags));
	put_be16(b, 65535);
	put_be32(b, 0);			/* checksum, urgent */
	if (flags & SYN)
		put_bytes(b, options, sizeof(options));
	put_bytes(b, payload.at, payload.len);
	/* The pseudo header: both addresses, the protocol, the length. */
	uint32_t sum = sum_up(start, head + payload.len, sum_up(start - 8, 8, 6 + (uint32_t)(head + payload.len)));
	set_checksum(start + 16, sum);
}

static void put_packet(struct flow *f, uint64_t now_ns, enum tap_side from, unsigned flags, struct span payload, const char *comment)
{
	struct side *a = &f->side[from], *z = &f->side[!from];
	uint64_t at_ns = f->writer->epoch_ns + now_ns;
	size_t tcp_len = (flags & SYN ? 28 : 20) + payload.len;
	struct block b;

	begin(&b, ENHANCED_PACKET);
	put_le32(&b, f->interface);
	put_le32(&b, (uint32_t)(at_ns >> 32));
	put_le32(&b, (uint32_t)at_ns);
	put_le32(&b, (uint32_t)(20 + tcp_len));
	put_le32(&b, (uint32_t)(20 + tcp_len));
	put_ip(&b, a, z, tcp_len);
	put_tcp(&b, a, z, flags, payload);
	pad(&b);
	if (comment) {
		put_text(&b, OPT_COMMENT, comment);
		put_option(&b, OPT_END_OF_OPTIONS, NULL, 0);
	}
	end(f->writer, &b);
	a->next += (uint32_t)payload.len + !!(flags & (SYN | FIN));
	a->finished |= flags & FIN;
	if (flags & ACK)
		z->acked = z->next;
}

static void put_bare(struct flow *f, uint64_t now_ns, enum tap_side from, unsigned flags)
{
	put_packet(f, now_ns, from, flags, (struct span){ 0 }, NULL);
}

/* ---- connections ---- */

static void on_opened(struct tapped *tapped, uint64_t now_ns)
{
	struct flow *f = (struct flow *)tapped;

	f->opened = true;
	put_bare(f, now_ns, TAP_BROKER, SYN | ACK);
	put_bare(f, now_ns, TAP_CLIENT, ACK);
}

static void on_bytes(struct tapped *tapped, uint64_t now_ns, enum tap_side from, struct span bytes)
{
	struct flow *f = (struct flow *)tapped;

	while (bytes.len) {
		size_t len = bytes.len < SEGMENT ? bytes.len : SEGMENT;

		put_packet(f, now_ns, from, len == bytes.len ? ACK | PSH : ACK, span_of(bytes.at, len), NULL);
		bytes.at += len;
		bytes.len -= len;
		if (f->side[from].next - f->side[from].acked >= UNACKED)
			put_bare(f, now_ns, !from, ACK);
	}
}

static void put_fin(struct flow *f, uint64_t now_ns, enum tap_side from)
{
	if (f->side[from].finished)
		return;
	put_bare(f, now_ns, from, FIN | ACK);
}

static void on_finished(struct tapped *tapped, uint64_t now_ns)
{
	struct flow *f = (struct flow *)tapped;

	if (f->side[TAP_CLIENT].finished)
		return;
	put_fin(f, now_ns, TAP_CLIENT);
	put_bare(f, now_ns, TAP_BROKER, ACK);
}

/* What the broker does after our close is not seen, and so not written: it only acknowledges. */
static void on_ended(struct tapped *tapped, uint64_t now_ns, enum tap_end how)
{
	struct flow *f = (struct flow *)tapped;

	if (f->opened) {
		switch (how) {
		case TAP_CLOSED:
			on_finished(tapped, now_ns);
			break;
		case TAP_DROPPED:
			put_bare(f, now_ns, TAP_CLIENT, RST | ACK);
			break;
		case TAP_BROKER_CLOSED:
			put_fin(f, now_ns, TAP_BROKER);
			if (f->side[TAP_CLIENT].finished) {
				put_bare(f, now_ns, TAP_CLIENT, ACK);
			} else {
				put_fin(f, now_ns, TAP_CLIENT);
				put_bare(f, now_ns, TAP_BROKER, ACK);
			}
			break;
		case TAP_BROKER_RESET:
			put_bare(f, now_ns, TAP_BROKER, RST | ACK);
			break;
		case TAP_REFUSED: case TAP_LOST:
			break;
		}
	} else if (how == TAP_REFUSED) {
		f->side[TAP_BROKER].next = 0;
		put_bare(f, now_ns, TAP_BROKER, RST | ACK);
	}
	free(f);
}

static const struct tap_ops flow_ops = { on_opened, on_bytes, on_finished, on_ended };

static struct tapped *connecting(struct tap *tap, uint64_t now_ns, const char *who)
{
	struct pcap_writer *w = (struct pcap_writer *)tap;
	struct flow *f = calloc(1, sizeof(*f));
	uint32_t n = w->n_connections++;	/* of the whole run */

	if (!f)
		abort();
	f->tapped.ops = &flow_ops;
	f->writer = w;
	f->interface = w->n_targets - 1;
	f->side[TAP_CLIENT] = (struct side){
		.ip = CLIENT_NET + n / N_PORTS % 0xfffffe, .port = (uint16_t)(FIRST_PORT + n % N_PORTS), .next = (n + 1) * 0x9e3779b1u,
	};
	f->side[TAP_BROKER] = (struct side){ .ip = BROKER_NET + 1 + f->interface % 254, .port = MQTT_PORT, .next = (n + 1) * 0x85ebca6bu };
	put_packet(f, now_ns, TAP_CLIENT, SYN, (struct span){ 0 }, who);
	return &f->tapped;
}

struct pcap_writer *pcap_writer_new(struct pcap_output *output)
{
	struct pcap_writer *w = calloc(1, sizeof(*w));
	struct block b;

	if (!w)
		abort();
	w->tap.connecting = connecting;
	w->output = output;
	begin(&b, SECTION_HEADER);
	put_le32(&b, 0x1a2b3c4d);
	put_le32(&b, 1);		/* version 1.0 */
	put_le32(&b, 0xffffffff);	/* the section's length: not known */
	put_le32(&b, 0xffffffff);
	put_text(&b, OPT_COMMENT, "MQTT as it was sent and received; TCP and IP around it are made up");
	put_text(&b, SHB_USERAPPL, "mqassay " MQASSAY_VERSION);
	put_option(&b, OPT_END_OF_OPTIONS, NULL, 0);
	end(w, &b);
	return w;
}

struct tap *pcap_writer_tap(struct pcap_writer *w)
{
	return &w->tap;
}

void pcap_writer_free(struct pcap_writer *w)
{
	free(w);
}

/* ---- to a file ---- */

struct pcap_file {
	struct pcap_output output;
	FILE *stream;
	int error;
};

static void write_file(struct pcap_output *output, const void *bytes, size_t len)
{
	struct pcap_file *f = (struct pcap_file *)output;

	if (!f->error && fwrite(bytes, 1, len, f->stream) != len)
		f->error = errno ? errno : EIO;
}

struct pcap_file *pcap_file_create(const char *path)
{
	FILE *stream = fopen(path, "wbe");

	if (!stream)
		return NULL;
	struct pcap_file *f = calloc(1, sizeof(*f));
	if (!f)
		abort();
	f->output.write = write_file;
	f->stream = stream;
	setvbuf(stream, NULL, _IOFBF, 64 * 1024);
	return f;
}

struct pcap_output *pcap_file_output(struct pcap_file *f)
{
	return &f->output;
}

int pcap_file_close(struct pcap_file *f)
{
	int error = f->error;

	if (fclose(f->stream) && !error)
		error = errno;
	free(f);
	return error;
}

#include "harness/conn.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/websocket.h"

enum { READ_SIZE = 64 * 1024, RATION_NS = 10000000, MAX_ROUNDS = 16, MAX_RATION = 1 << 30 };

struct out {
	struct out *next;
	size_t len, done, piece;
	uint64_t every_ns, not_before_ns;
	const uint8_t *shown;		/* to taps: the bytes, or behind them a copy in which the password is masked; NULL: nothing */
	uint8_t opcode;			/* of the WebSocket frame; 0: as usual */
	uint8_t bytes[];
};

struct pace {
	struct conn *conn;
	struct timer write, read;	/* the next piece; the next ration */
	uint64_t rate, left;		/* of reading, bytes per second; of this ration */
	uint64_t random;		/* the next length, of pieces cut at random */
};

static void on_transport(struct transport *t, unsigned events);
static void write_out(struct conn *c);
static void read_in(struct conn *c);

static void *must(void *p)
{
	if (!p)
		abort();	/* out of memory: nothing here can go on without */
	return p;
}

static void on_write_timer(struct timer *timer, struct loop *loop)
{
	(void)loop;
	write_out(((struct pace *)((char *)timer - offsetof(struct pace, write)))->conn);
}

/* Of some RATION_NS; of a rate so low that this is less than a byte, one byte. */
static uint64_t ration_of(const struct pace *pace)
{
	uint64_t bytes = pace->rate / (1000000000u / RATION_NS);

	return bytes ? bytes < MAX_RATION ? bytes : MAX_RATION : 1;
}

static void on_read_timer(struct timer *timer, struct loop *loop)
{
	struct pace *pace = (struct pace *)((char *)timer - offsetof(struct pace, read));
	struct conn *c = pace->conn;

	(void)loop;
	pace->left = ration_of(pace);
	c->transport->ops->pause(c->transport, false);
	if (c->open)
		read_in(c);
}

static struct pace *pace_of(struct conn *c)
{
	if (!c->pace) {
		c->pace = must(malloc(sizeof(*c->pace)));
		*c->pace = (struct pace){
			.conn = c, .write.fire = on_write_timer, .read.fire = on_read_timer, .rate = UINT64_MAX, .random = c->limits->split_seed | 1,
		};
	}
	return c->pace;
}

int conn_open(struct conn *c, struct loop *loop, const struct address *address, const struct conn_events *events,
              const struct conn_limits *limits, struct monitor_world *world, struct monitor_log *log)
{
	*c = (struct conn){ .loop = loop, .events = events, .limits = limits };
	c->last_out = &c->out;
	if (address->layers.websocket && !address->layers.protocol)
		c->websocket = "mqtt";
	monitor_open(&c->monitor, world, log);
	c->transport = transport_connect(loop, address, on_transport, c);
	if (!c->transport) {
		int error = errno ? errno : ENOMEM;

		monitor_close(&c->monitor);
		c->end = END_REFUSED;
		c->error = error;
		return -error;
	}
	return 0;
}

/* ---- who sees it ---- */

void conn_tap(struct conn *c, struct tap *tap, const char *who)
{
	for (; tap; tap = tap->next) {
		struct tapped *tapped = tap->connecting(tap, c->loop->now_ns, who);

		tapped->next = c->taps;
		c->taps = tapped;
	}
}

static void tap_bytes(const struct conn *c, enum tap_side from, const uint8_t *bytes, size_t len)
{
	for (struct tapped *t = c->taps; t; t = t->next)
		t->ops->bytes(t, c->loop->now_ns, from, span_of(bytes, len));
}

static enum tap_end tap_end_of(const struct conn *c, bool reset)
{
	switch ((enum conn_end)c->end) {
	case END_FIN:     return TAP_BROKER_CLOSED;
	case END_RESET:   return c->error == ECONNRESET || c->error == EPIPE ? TAP_BROKER_RESET : TAP_LOST;
	case END_REFUSED: return c->error == ECONNREFUSED ? TAP_REFUSED : TAP_LOST;
	default:          return reset ? TAP_DROPPED : TAP_CLOSED;
	}
}

static void untap(struct conn *c, bool reset)
{
	struct tapped *next, *t = c->taps;

	c->taps = NULL;
	for (; t; t = next) {
		next = t->next;
		t->ops->ended(t, c->loop->now_ns, tap_end_of(c, reset));
	}
}

/* ---- ending ---- */

static void drop_output(struct conn *c)
{
	while (c->out) {
		struct out *o = c->out;

		c->out = o->next;
		free(o);
	}
	c->last_out = &c->out;
	c->unsent = 0;
}

static void release(struct conn *c, bool reset)
{
	if (c->transport) {
		c->transport->ops->close(c->transport, reset);
		c->transport = NULL;
		monitor_close(&c->monitor);
	}
	if (c->taps)
		untap(c, reset);
	if (c->pace) {
		loop_timer_stop(c->loop, &c->pace->write);
		loop_timer_stop(c->loop, &c->pace->read);
		free(c->pace);
		c->pace = NULL;
	}
	drop_output(c);
	free(c->in);
	c->in = NULL;
	c->in_len = c->in_cap = 0;
}

static void end(struct conn *c, enum conn_end how)
{
	if (c->end)
		return;
	c->end = (uint8_t)how;
	if (c->transport && ws_sent_text(c->transport))
		monitor_text_frame(&c->monitor);
	release(c, how == END_GARBAGE || how == END_TOO_LARGE);
	c->events->ended(c, how);
}

/* ---- writing ---- */

/* As transport_ops.send. shown: what taps see of it; NULL: nothing. */
static ssize_t put(struct conn *c, const uint8_t *bytes, const uint8_t *shown, size_t len)
{
	ssize_t n = c->transport->ops->send(c->transport, bytes, len);

	if (n > 0 && shown && c->taps)
		tap_bytes(c, TAP_CLIENT, shown, (size_t)n);
	return n;
}

/* The secret with its length in front, wherever it stands: a CONNECT may be wrong on purpose, and not be told apart from what follows. */
static void mask(uint8_t *at, size_t len, struct span secret)
{
	const uint8_t *end = at + len;

	while ((at = memmem(at, (size_t)(end - at), secret.at, secret.len))) {
		if (len - (size_t)(end - at) >= 2 && at[-2] == secret.len >> 8 && at[-1] == (secret.len & 0xff))
			memset(at, '*', secret.len);
		at++;
	}
}

/* What taps see of what is sent. Given; NULL: the bytes as they are. */
static uint8_t *masked(const struct conn *c, struct span bytes)
{
	struct span secret = c->limits->secret, left = bytes;
	struct frame frame = { 0 };
	struct finding finding;

	if (!c->taps || !(secret.len || c->limits->masks_all))
		return NULL;
	while (left.len && left.at[0] >> 4 != CONNECT && frame_next(left.at, left.len, &frame, &finding) == FRAME_OK) {
		left.at += frame.size;
		left.len -= frame.size;
	}
	if (!left.len || left.at[0] >> 4 != CONNECT)
		return NULL;
	uint8_t *copy = must(malloc(bytes.len));
	memcpy(copy, bytes.at, bytes.len);
	if (secret.len)
		mask(copy + (left.at - bytes.at), left.len, secret);
	struct packet packet;
	if (c->limits->masks_all && frame_next(left.at, left.len, &frame, &finding) == FRAME_OK &&
	    decode(left.at, frame.size, MQTT_3_1_1, &packet, &finding) == CODEC_OK && packet.password.len)
		memset(copy + (packet.password.at - bytes.at), '*', packet.password.len);
	return copy;
}

static void put_end(struct conn *c)
{
	c->transport->ops->finish(c->transport);
	for (struct tapped *t = c->taps; t; t = t->next)
		t->ops->finished(t, c->loop->now_ns);
}

static size_t next_piece(struct conn *c, const struct out *o)
{
	size_t left = o->len - o->done, piece = o->piece;

	if (o->opcode)
		return left;
	if (!piece)
		piece = c->limits->split;
	if (piece == SPLIT_RANDOM) {
		struct pace *pace = pace_of(c);

		pace->random = pace->random * 6364136223846793005u + 1442695040888963407u;
		piece = 1 + (pace->random >> 33) % (left < 64 ? left : 64);
	}
	return piece && piece < left ? piece : left;
}

static void write_out(struct conn *c)
{
	bool had = c->out != NULL;

	while (c->open && c->out) {
		struct out *o = c->out;

		if (o->not_before_ns > c->loop->now_ns) {
			loop_timer(c->loop, &pace_of(c)->write, o->not_before_ns);
			return;
		}
		size_t want = next_piece(c, o);
		if (o->opcode)
			ws_next_frame(c->transport, (enum ws_opcode)o->opcode);
		ssize_t n = put(c, o->bytes + o->done, o->shown ? o->shown + o->done : NULL, want);
		if (n == -EAGAIN)
			return;
		if (n < 0) {
			/* What the broker said before it ended is still to be read: the reading side ends the connection. */
			drop_output(c);
			c->error = (int)-n;
			break;
		}
		o->done += (size_t)n;
		c->unsent -= (size_t)n;
		if (o->every_ns)
			o->not_before_ns = c->loop->now_ns + o->every_ns;
		if (o->done == o->len) {
			c->out = o->next;
			if (!c->out)
				c->last_out = &c->out;
			free(o);
		}
	}
	if (had && !c->out) {
		if (c->finished)
			put_end(c);
		c->events->sent(c);
	}
}

static struct out *queue(struct conn *c, struct span bytes, const uint8_t *shown)
{
	struct out *o = must(malloc(sizeof(*o) + bytes.len * (shown ? 2 : 1)));

	*o = (struct out){ .len = bytes.len, .shown = o->bytes + (shown ? bytes.len : 0) };
	if (bytes.len)
		memcpy(o->bytes, bytes.at, bytes.len);
	if (shown)
		memcpy(o->bytes + bytes.len, shown, bytes.len);
	*c->last_out = o;
	c->last_out = &o->next;
	c->unsent += bytes.len;
	return o;
}

bool conn_send(struct conn *c, struct span bytes, size_t piece, uint64_t every_ns)
{
	ssize_t n = 0;

	if (c->end || !c->transport || c->finished)
		return false;
	if (!bytes.len)
		return true;
	uint8_t *shown = masked(c, bytes);
	/* The usual case needs no copy: nothing waits, nothing is to be cut, and the transport takes all of it. */
	if (c->open && !c->out && !piece && !c->limits->split) {
		n = put(c, bytes.at, shown ? shown : bytes.at, bytes.len);
		if (n < 0 && n != -EAGAIN)
			c->error = (int)-n;
	}
	if (n >= 0 || n == -EAGAIN) {
		size_t done = n > 0 ? (size_t)n : 0;

		if (done < bytes.len) {
			struct out *o = queue(c, span_of(bytes.at + done, bytes.len - done), shown ? shown + done : NULL);

			o->piece = piece;
			o->every_ns = every_ns;
			if (c->open && c->out == o && (piece || c->limits->split))
				write_out(c);
		}
	}
	free(shown);
	return true;
}

bool conn_send_frame(struct conn *c, unsigned opcode, struct span bytes)
{
	if (c->end || !c->transport || c->finished)
		return false;

	struct out *o = queue(c, bytes, NULL);
	o->opcode = (uint8_t)opcode;
	if (opcode >= WS_CLOSE)
		o->shown = NULL;
	if (c->open && c->out == o)
		write_out(c);
	return true;
}

bool conn_idle(const struct conn *c)
{
	return !c->out;
}

/* ---- reading ---- */

/* What else may answer on that port: the answer of a server that takes our CONNECT for a mistake of its own protocol. */
static int other_protocol(const struct conn *c, const uint8_t *bytes, size_t len)
{
	if (c->heard)
		return 0;
	if (len >= 3 && bytes[0] == 0x15 && bytes[1] == 3 && bytes[2] <= 4)
		return transport_error("it speaks TLS on this port: try tls:// or wss://");
	if (len >= 5 && !memcmp(bytes, "HTTP/", 5))
		return transport_error("it speaks HTTP on this port: try ws:// or wss://");
	return 0;
}

/* Hands over every whole packet in bytes[0..len); returns how much was used up. */
static size_t deliver(struct conn *c, const uint8_t *bytes, size_t len)
{
	size_t used = 0;
	int other = other_protocol(c, bytes, len);

	if (other) {
		c->error = other;
		end(c, END_GARBAGE);
		return 0;
	}
	while (used < len && !c->end) {
		struct frame frame = { 0 };
		struct finding finding;
		struct packet packet;

		switch (frame_next(bytes + used, len - used, &frame, &finding)) {
		case FRAME_MORE:
			if (frame.size > c->limits->max_packet)
				end(c, END_TOO_LARGE);
			return used;
		case FRAME_BAD:
			monitor_bad_frame(&c->monitor, &finding);
			end(c, END_GARBAGE);
			return used;
		case FRAME_OK:
			break;
		}
		if (frame.size > c->limits->max_packet) {
			end(c, END_TOO_LARGE);
			return used;
		}
		c->heard = true;
		if (c->websocket && c->transport) {
			monitor_subprotocol(&c->monitor, ws_protocol(c->transport));
			c->websocket = NULL;
		}
		enum status status = monitor_received(&c->monitor, bytes + used, frame.size, &frame, &packet);
		used += frame.size;
		c->events->packet(c, bytes + used - frame.size, frame.size, status == CODEC_OK ? &packet : NULL);
	}
	return used;
}

static void keep(struct conn *c, const uint8_t *bytes, size_t len)
{
	size_t need = c->in_len + len;

	if (need > c->in_cap) {
		size_t cap = c->in_cap ? c->in_cap : 256;

		while (cap < need)
			cap *= 2;
		c->in = must(realloc(c->in, cap));
		c->in_cap = (uint32_t)cap;
	}
	memcpy(c->in + c->in_len, bytes, len);
	c->in_len += (uint32_t)len;
}

static void take(struct conn *c, const uint8_t *bytes, size_t len)
{
	if (!c->in_len) {
		size_t used = deliver(c, bytes, len);

		if (!c->end && used < len)
			keep(c, bytes + used, len - used);
		return;
	}
	keep(c, bytes, len);
	/* The owner may end the connection, and so free c->in, from inside: work on our own hold of it. */
	uint8_t *in = c->in;
	size_t have = c->in_len;
	uint32_t cap = c->in_cap;

	c->in = NULL;
	c->in_len = c->in_cap = 0;
	size_t used = deliver(c, in, have);
	if (c->end || used == have) {
		free(in);
		return;
	}
	memmove(in, in + used, have - used);
	c->in = in;
	c->in_len = (uint32_t)(have - used);
	c->in_cap = cap;
}

static void read_in(struct conn *c)
{
	static _Thread_local uint8_t room[READ_SIZE];
	/* A flood must not starve the rest of the loop: what is left makes it READABLE again. */
	for (int round = 0; c->transport && round < MAX_ROUNDS; round++) {
		struct pace *pace = c->pace && c->pace->rate != UINT64_MAX ? c->pace : NULL;
		size_t want = pace && pace->left < sizeof(room) ? (size_t)pace->left : sizeof(room);

		if (pace && !pace->left) {
			c->transport->ops->pause(c->transport, true);
			if (pace->rate && !pace->read.slot)
				loop_timer(c->loop, &pace->read, c->loop->now_ns + ration_of(pace) * 1000000000u / pace->rate);
			return;
		}
		ssize_t n = c->transport->ops->recv(c->transport, room, want);
		if (n == -EAGAIN)
			return;
		if (n <= 0) {
			if (n < 0)
				c->error = (int)-n;
			end(c, n < 0 ? END_RESET : END_FIN);
			return;
		}
		if (pace)
			pace->left -= (uint64_t)n;
		if (c->taps)
			tap_bytes(c, TAP_BROKER, room, (size_t)n);
		take(c, room, (size_t)n);
	}
}

void conn_read_rate(struct conn *c, uint64_t bytes_per_second)
{
	if (c->end || !c->transport || (!c->pace && bytes_per_second == UINT64_MAX))
		return;
	struct pace *pace = pace_of(c);
	bool read = pace->rate;
	pace->rate = bytes_per_second;
	pace->left = 0;
	for (struct tapped *t = c->taps; t && read != (bytes_per_second != 0); t = t->next)
		if (t->ops->reads)
			t->ops->reads(t, c->loop->now_ns, !read);
	loop_timer_stop(c->loop, &pace->read);
	if (bytes_per_second && bytes_per_second != UINT64_MAX)
		loop_timer(c->loop, &pace->read, c->loop->now_ns);
	c->transport->ops->pause(c->transport, bytes_per_second != UINT64_MAX);
}

bool conn_reads(const struct conn *c)
{
	return !c->pace || c->pace->rate;
}

static void on_transport(struct transport *t, unsigned events)
{
	struct conn *c = t->owner;

	if (events & TRANSPORT_FAILED) {
		c->error = t->error;
		end(c, END_REFUSED);
		return;
	}
	if (events & TRANSPORT_OPEN) {
		c->open = true;
		for (struct tapped *tapped = c->taps; tapped; tapped = tapped->next)
			tapped->ops->opened(tapped, c->loop->now_ns);
		c->events->opened(c);
	}
	if (events & TRANSPORT_OPEN && !c->end && !c->out && c->finished)
		put_end(c);
	if (events & (TRANSPORT_OPEN | TRANSPORT_WRITABLE) && !c->end)
		write_out(c);
	if (events & TRANSPORT_READABLE && !c->end)
		read_in(c);
}

void conn_finish(struct conn *c)
{
	if (c->end || !c->transport || c->finished)
		return;
	c->finished = true;
	if (!c->out && c->open)
		put_end(c);
}

void conn_close(struct conn *c, bool reset)
{
	if (!c->end)
		c->end = END_OURS;
	if (c->loop)
		release(c, reset);
}

void conn_end_text(const struct conn *c, char *text, size_t cap)
{
	switch ((enum conn_end)c->end) {
	case END_NONE:      snprintf(text, cap, "open"); break;
	case END_FIN:       snprintf(text, cap, "closed by the broker (FIN)"); break;
	case END_RESET:     snprintf(text, cap, "closed by the broker (%s)", c->error == ECONNRESET ? "RST" : transport_strerror(c->error)); break;
	case END_REFUSED:   snprintf(text, cap, "could not connect: %s", transport_strerror(c->error)); break;
	case END_OURS:      snprintf(text, cap, "closed by us"); break;
	case END_GARBAGE:   snprintf(text, cap, "%s", c->error ? transport_strerror(c->error) : "what the broker sent cannot be framed"); break;
	case END_TOO_LARGE: snprintf(text, cap, "the broker announced a packet larger than the %zu bytes we take", c->limits->max_packet); break;
	}
}

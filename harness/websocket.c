#include "harness/websocket.h"

#include <assert.h>
#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "codec/http.h"
#include "harness/layer.h"

/* There is one of these per client: the reader is most of it. */
struct websocket {
	struct layer l;			/* first */
	struct ws_reader reader;
	uint8_t *in;			/* the handshake, and what came behind it; NULL later */
	size_t in_at, in_len;
	char *request;			/* a client's, until the transport below opens */
	char accept[WS_ACCEPT_LEN];	/* that a client expects */
	char protocol[24];
	uint8_t opcode;			/* of the next send */
	uint8_t broken;			/* enum layer_fault */
	bool client, close_sent, sent_text;
};

enum { SCRATCH = 32 * 1024, PAYLOAD_MAX = SCRATCH - WS_HEAD_MAX, SERVER_PAYLOAD_MAX = 8 * 1024, PONGS_MAX = 4 * 1024, ROUNDS_MAX = 16 };

static const struct transport_ops ws_ops;

static struct websocket *ws_of(struct transport *t)
{
	return (struct websocket *)t;
}

static struct websocket *ws_of_layer(const struct layer *l)
{
	return (struct websocket *)l;
}

/* ---- the handshake's secrets ---- */

static void base64(char *out, const uint8_t *bytes, int len)
{
	unsigned char text[64];
	int n = EVP_EncodeBlock(text, bytes, len);

	memcpy(out, text, (size_t)n);
}

/* RFC 6455, 4.2.2: proves that the server speaks WebSocket, and nothing else. */
static void accept_for(const uint8_t key[WS_KEY_LEN], char accept[WS_ACCEPT_LEN])
{
	static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
	uint8_t text[WS_KEY_LEN + sizeof(guid) - 1], digest[EVP_MAX_MD_SIZE];
	unsigned len;

	memcpy(text, key, WS_KEY_LEN);
	memcpy(text + WS_KEY_LEN, guid, sizeof(guid) - 1);
	if (!EVP_Digest(text, sizeof(text), digest, &len, EVP_sha1(), NULL))
		abort();
	base64(accept, digest, 20);
}

/* Masks must be unforeseeable to a proxy's attacker, not to us: one seed a thread will do. */
static uint32_t next_random(void)
{
	static _Thread_local uint64_t state;

	if (!state && getrandom(&state, sizeof(state), 0) != sizeof(state))
		abort();
	uint64_t z = state += UINT64_C(0x9e3779b97f4a7c15);
	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return (uint32_t)((z ^ z >> 31) >> 32);
}

/* ---- sending ---- */

/* One frame of at most PAYLOAD_MAX, whole: sent, or kept where the transport below is slow. 0 or negative errno. */
static int put_frame(struct websocket *w, enum ws_opcode opcode, const void *bytes, size_t len)
{
	static _Thread_local uint8_t scratch[SCRATCH];
	uint8_t head[WS_HEAD_MAX], mask[4];
	uint32_t random = w->client ? next_random() : 0;
	size_t n;

	memcpy(mask, &random, 4);
	n = ws_head(head, opcode, true, len, w->client ? mask : NULL);
	memcpy(scratch, head, n);
	if (len)
		memcpy(scratch + n, bytes, len);
	if (w->client)
		ws_mask(scratch + n, len, mask, 0);
	return layer_put(&w->l, scratch, n + len);
}

static void send_close(struct websocket *w, unsigned code, const char *why)
{
	uint8_t payload[WS_CONTROL_MAX];
	struct writer out = writer_to(payload, sizeof(payload));

	if (w->close_sent || !(w->l.t.state & LAYER_OPEN))
		return;
	w->close_sent = true;
	if (code) {
		wr_u16(&out, code);
		wr_text(&out, why);
	}
	put_frame(w, WS_CLOSE, payload, out.len < sizeof(payload) ? out.len : sizeof(payload));
}

static ssize_t ws_send(struct transport *t, const void *bytes, size_t len)
{
	struct websocket *w = ws_of(t);
	enum ws_opcode opcode = (enum ws_opcode)w->opcode;
	size_t done = 0;
	int error;

	assert(!(t->state & LAYER_CLOSED));
	if (!(t->state & LAYER_OPEN) && t->state & LAYER_ENDED)
		return -ENOTCONN;
	if (!(t->state & LAYER_OPEN)) {
		t->state |= LAYER_WANTS_ROOM;
		return -EAGAIN;
	}
	if (w->close_sent)
		return -EPIPE;
	if (w->l.out && (error = layer_flush(&w->l))) {
		t->state |= error == -EAGAIN ? LAYER_WANTS_ROOM : 0;
		return error;
	}
	w->opcode = WS_BINARY;
	if (w->broken & WS_SENDS_TEXT)
		opcode = WS_TEXT;
	do {
		size_t most = w->client ? PAYLOAD_MAX : SERVER_PAYLOAD_MAX, n = len - done < most ? len - done : most;

		error = put_frame(w, opcode, (const uint8_t *)bytes + done, n);
		if (error)
			return error;
		done += n;
	} while (done < len && !w->l.out);
	if (done < len)
		t->state |= LAYER_WANTS_ROOM;
	return (ssize_t)done;
}

/* ---- the handshake ---- */

/* What the handshake brought is used up. */
static void drop_input(struct websocket *w)
{
	if (w->in_at < w->in_len)
		return;
	free(w->in);
	w->in = NULL;
	w->in_at = w->in_len = 0;
}

/* What the server is, if not one of WebSocket, and what to do about it. */
static void refused(struct websocket *w, const struct ws_response *response, const char *why)
{
	char reason[80] = "", location[200] = "";

	if (response->reason.len)
		snprintf(reason, sizeof(reason), " %.*s", (int)(response->reason.len < 60 ? response->reason.len : 60), (const char *)response->reason.at);
	if (response->location.len)
		snprintf(location, sizeof(location), "%.*s", (int)(response->location.len < 160 ? response->location.len : 160), (const char *)response->location.at);
	if (*location)
		layer_fail(&w->l, transport_error("the server answers HTTP %u%s: its WebSocket is elsewhere; try %s", response->status, reason, location));
	else if (response->status == 404 || response->status == 426 || response->status == 400)
		layer_fail(&w->l, transport_error("the server answers HTTP %u%s: is this the path of its WebSocket?", response->status, reason));
	else if (response->status == 401 || response->status == 403)
		layer_fail(&w->l, transport_error("the server answers HTTP %u%s: it wants to know who asks before WebSocket, which no MQTT client can say", response->status, reason));
	else if (response->status && response->status != 101)
		layer_fail(&w->l, transport_error("the server answers HTTP %u%s instead of WebSocket", response->status, reason));
	else
		layer_fail(&w->l, transport_error("no WebSocket: %s", why));
}

static void client_shakes(struct websocket *w, const struct http_head *head)
{
	struct ws_response response;
	const char *why = ws_response_read(head, w->accept, &response);

	if (why) {
		refused(w, &response, why);
		return;
	}
	if (response.protocol.len)
		snprintf(w->protocol, sizeof(w->protocol), "%.*s", (int)(response.protocol.len < 23 ? response.protocol.len : 23), (const char *)response.protocol.at);
	drop_input(w);
	layer_opened(&w->l);
}

static void server_refuses(struct websocket *w, unsigned status, const char *why)
{
	uint8_t text[512];
	struct writer out = writer_to(text, sizeof(text));

	http_refusal_write(&out, status, why);
	layer_put(&w->l, text, out.len < sizeof(text) ? out.len : sizeof(text));
	layer_fail(&w->l, transport_error("no WebSocket: %s", why));
}

static void server_shakes(struct websocket *w, const struct http_head *head)
{
	struct ws_request request;
	const char *why;
	unsigned status = ws_request_read(head, &request, &why);
	char accept[WS_ACCEPT_LEN];
	uint8_t text[256];
	struct writer out = writer_to(text, sizeof(text));

	if (!status && request.offers_any && !request.offers_mqtt) {	/* [MQTT-6.0.0-3] */
		status = 400;
		why = "expected the subprotocol mqtt among those offered";
	}
	if (status) {
		server_refuses(w, status, why);
		return;
	}
	accept_for(request.key.at, accept);
	strcpy(w->protocol, w->broken & WS_SELECTS_OTHER ? "mqttv3.1" : request.offers_mqtt && !(w->broken & WS_SELECTS_NONE) ? "mqtt" : "");	/* [MQTT-6.0.0-4] */
	ws_response_write(&out, accept, w->protocol);
	if (layer_put(&w->l, text, out.len)) {
		layer_fail(&w->l, EPIPE);
		return;
	}
	drop_input(w);
	layer_opened(&w->l);
}

/* Reads the peer's head, and a little of what follows; what that is stays in w->in. */
static void shake(struct websocket *w)
{
	struct layer *l = &w->l;
	struct http_head head;
	const char *why;

	while (!(l->t.state & (LAYER_OPEN | LAYER_ENDED | LAYER_CLOSED))) {
		if (!w->in && !(w->in = malloc(WS_HANDSHAKE_MAX)))
			abort();
		if (w->in_len == WS_HANDSHAKE_MAX) {
			if (w->client)
				layer_fail(l, transport_error("no WebSocket: the HTTP answer has more than %d bytes before its end", WS_HANDSHAKE_MAX));
			else
				server_refuses(w, 431, "the request is too large");
			return;
		}
		ssize_t n = l->below->ops->recv(l->below, w->in + w->in_len, WS_HANDSHAKE_MAX - w->in_len);
		if (n == -EAGAIN)
			return;
		if (n <= 0) {
			layer_fail(l, n && n != -ECONNRESET ? (int)-n : transport_error("the %s", w->client
			           ? "server ended the connection instead of answering the WebSocket request: is this a WebSocket port?"
			           : "client ended the connection before its WebSocket request"));
			return;
		}
		w->in_len += (size_t)n;
		switch (http_next(w->in, w->in_len, &head, &why)) {
		case FRAME_MORE:
			continue;
		case FRAME_BAD:
			if (w->client)
				layer_fail(l, transport_error("the server does not answer the WebSocket request in HTTP: %s", why));
			else
				server_refuses(w, 400, why);
			return;
		case FRAME_OK:
			w->in_at = head.size;
			if (w->client)
				client_shakes(w, &head);
			else
				server_shakes(w, &head);
		}
	}
}

/* ---- receiving ---- */

static bool ws_waits(const struct layer *l)
{
	const struct websocket *w = ws_of_layer(l);

	return l->t.state & LAYER_OPEN && w->in_at < w->in_len;
}

static void on_control(struct websocket *w, const struct ws_got *got)
{
	/* Who sends pings and does not read is not answered to the end of memory. A failure shows at the next send or read. */
	if (got->opcode == WS_PING && w->l.out_len < PONGS_MAX && !w->close_sent)
		put_frame(w, WS_PONG, got->bytes.at, got->bytes.len);
	if (got->opcode != WS_CLOSE)
		return;
	send_close(w, got->code, "");
	layer_ended(&w->l, 0);
}

static void on_bad(struct websocket *w, const struct ws_got *got)
{
	w->sent_text = got->not_binary;
	send_close(w, got->code, got->why);
	layer_ended(&w->l, transport_error("no WebSocket: %s", got->why));
}

/* [MQTT-6.0.0-2] broken: the packet that is all of these bytes, or their first; else nothing. */
static struct span one_packet(struct span bytes)
{
	struct frame frame;
	struct finding finding;

	return frame_next(bytes.at, bytes.len, &frame, &finding) == FRAME_OK ? span_of(bytes.at, frame.size) : span_of(bytes.at, 0);
}

/* Takes the frames off bytes[0..len): their payload moves to the front, its size is returned. */
static size_t unframe(struct websocket *w, uint8_t *bytes, size_t len)
{
	size_t at = 0, out = 0;

	while (at < len && !(w->l.t.state & LAYER_ENDED)) {
		struct ws_got got;
		size_t used;
		enum ws_event event = ws_read(&w->reader, bytes + at, len - at, &used, &got);

		at += used;
		if (event == WS_DATA && w->broken & WS_ALIGNS)
			got.bytes = one_packet(got.bytes);
		if (event == WS_DATA) {
			memmove(bytes + out, got.bytes.at, got.bytes.len);
			out += got.bytes.len;
		} else if (event == WS_CONTROL) {
			on_control(w, &got);
		} else if (event == WS_BAD) {
			on_bad(w, &got);
		}
	}
	return out;
}

/* What came behind the handshake, or else from below. */
static ssize_t raw(struct websocket *w, uint8_t *bytes, size_t len)
{
	size_t left = w->in_len - w->in_at;

	if (!w->in)
		return w->l.below->ops->recv(w->l.below, bytes, len);
	if (len > left)
		len = left;
	memcpy(bytes, w->in + w->in_at, len);
	w->in_at += len;
	drop_input(w);
	return (ssize_t)len;
}

static ssize_t ws_recv(struct transport *t, void *bytes, size_t len)
{
	struct websocket *w = ws_of(t);

	assert(!(t->state & LAYER_CLOSED));
	for (int round = 0; !(t->state & LAYER_ENDED); round++) {
		if (!(t->state & LAYER_OPEN))
			return -EAGAIN;
		if (round == ROUNDS_MAX) {		/* a flood of pings must not starve the rest of the loop */
			layer_look(&w->l);
			return -EAGAIN;
		}
		ssize_t n = raw(w, bytes, len);
		if (n == -EAGAIN)
			return -EAGAIN;
		if (n <= 0)
			return layer_end(&w->l, (int)-n);
		size_t out = unframe(w, bytes, (size_t)n);
		if (out) {
			layer_look(&w->l);	/* the end, met behind these bytes */
			return (ssize_t)out;
		}
	}
	return layer_end(&w->l, t->error);
}

/* ---- events ---- */

static void on_below(struct transport *below, unsigned events)
{
	struct layer *l = below->owner;
	struct websocket *w = ws_of_layer(l);

	if (events & TRANSPORT_FAILED) {
		layer_failed_below(l);
		return;
	}
	if (events & TRANSPORT_OPEN && w->request) {
		layer_put(l, (const uint8_t *)w->request, strlen(w->request));
		free(w->request);
		w->request = NULL;
	}
	/* An error is told as room: the next send says what it is. */
	if (events & TRANSPORT_WRITABLE && layer_flush(l) != -EAGAIN && (l->t.state & (LAYER_OPEN | LAYER_WANTS_ROOM)) == (LAYER_OPEN | LAYER_WANTS_ROOM)) {
		l->t.state &= ~(unsigned)LAYER_WANTS_ROOM;
		l->t.event(&l->t, TRANSPORT_WRITABLE);
		if (l->t.state & LAYER_CLOSED)
			return;
	}
	if (!(events & TRANSPORT_READABLE))
		return;
	if (!(l->t.state & LAYER_OPEN)) {
		shake(w);
		return;
	}
	if (!(l->t.state & (LAYER_PAUSED | LAYER_TOLD_END)))
		l->t.event(&l->t, TRANSPORT_READABLE);
}

/* ---- its end ---- */

static void ws_finish(struct transport *t)
{
	struct websocket *w = ws_of(t);

	send_close(w, WS_NORMAL, "");
	t->state |= LAYER_FINISH;
	if (t->state & LAYER_OPEN)
		layer_flush(&w->l);
	else if (w->l.accepted)			/* it has waited for long enough */
		w->l.below->ops->finish(w->l.below);
}

static void ws_close(struct transport *t, bool reset)
{
	struct websocket *w = ws_of(t);

	if (!(t->state & LAYER_CLOSED) && !reset && !w->l.out)
		send_close(w, WS_NORMAL, "");
	layer_close(&w->l, reset);
}

static void ws_release(struct layer *l)
{
	struct websocket *w = ws_of_layer(l);

	free(w->in);
	free(w->request);
	w->in = NULL;
	w->request = NULL;
}

static const struct transport_ops ws_ops = {
	.send = ws_send,
	.recv = ws_recv,
	.pause = layer_pause,
	.finish = ws_finish,
	.close = ws_close,
};

/* ---- making them ---- */

static struct websocket *ws_new(struct transport *below, bool client)
{
	struct websocket *w = calloc(1, sizeof(*w));

	if (!w) {
		below->ops->close(below, true);
		return NULL;
	}
	layer_init(&w->l, below, &ws_ops, on_below);
	w->l.waits = ws_waits;
	w->l.release = ws_release;
	w->l.accepted = !client;
	w->client = client;
	w->opcode = WS_BINARY;
	w->reader.from_client = !client;
	return w;
}

struct transport *ws_client(struct transport *below, const struct ws_settings *settings)
{
	struct websocket *w = ws_new(below, true);
	struct writer out = writer_to(NULL, 0);
	uint8_t nonce[16];
	char key[WS_KEY_LEN];

	if (!w)
		return NULL;
	for (int i = 0; i < 4; i++) {
		uint32_t random = next_random();

		memcpy(nonce + 4 * i, &random, 4);
	}
	base64(key, nonce, sizeof(nonce));
	accept_for((const uint8_t *)key, w->accept);
	ws_request_write(&out, settings->host, settings->path, key, settings->protocol);
	w->request = malloc(out.len + 1);
	if (!w->request)
		abort();
	out = writer_to(w->request, out.len);
	ws_request_write(&out, settings->host, settings->path, key, settings->protocol);
	w->request[out.len] = 0;
	return &w->l.t;
}

struct transport *ws_server(struct transport *below, unsigned broken)
{
	struct websocket *w = ws_new(below, false);

	if (!w)
		return NULL;
	w->broken = (uint8_t)broken;
	w->reader.takes_text = broken & WS_TAKES_TEXT;
	return &w->l.t;
}

/* ---- what a WebSocket has beside ---- */

bool ws_next_frame(struct transport *t, enum ws_opcode opcode)
{
	if (t->ops != &ws_ops)
		return false;
	ws_of(t)->opcode = (uint8_t)opcode;
	return true;
}

const char *ws_protocol(const struct transport *t)
{
	return t->ops == &ws_ops && t->state & LAYER_OPEN ? ((const struct websocket *)t)->protocol : NULL;
}

const struct transport *ws_below(const struct transport *t)
{
	return t->ops == &ws_ops ? ((const struct websocket *)t)->l.below : NULL;
}

bool ws_sent_text(const struct transport *t)
{
	return t->ops == &ws_ops && ((const struct websocket *)t)->sent_text;
}

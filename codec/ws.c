#include "codec/ws.h"

#include "codec/topic.h"

void ws_mask(uint8_t *bytes, size_t len, const uint8_t mask[4], uint64_t from)
{
	uint8_t turned[8];
	uint64_t eight, word;
	size_t i = 0;

	for (unsigned k = 0; k < 8; k++)
		turned[k] = mask[(from + k) & 3];
	memcpy(&eight, turned, 8);
	for (; len - i >= 8; i += 8) {
		memcpy(&word, bytes + i, 8);
		word ^= eight;
		memcpy(bytes + i, &word, 8);
	}
	for (; i < len; i++)
		bytes[i] ^= turned[i & 7];
}

size_t ws_head(uint8_t head[WS_HEAD_MAX], enum ws_opcode opcode, bool fin, uint64_t len, const uint8_t mask[4])
{
	struct writer w = writer_to(head, WS_HEAD_MAX);
	unsigned masked = mask ? 0x80 : 0;

	wr_u8(&w, (fin ? 0x80u : 0) | (unsigned)opcode);
	if (len < 126) {
		wr_u8(&w, masked | (unsigned)len);
	} else if (len < 65536) {
		wr_u8(&w, masked | 126);
		wr_u16(&w, (unsigned)len);
	} else {
		wr_u8(&w, masked | 127);
		wr_u32(&w, (uint32_t)(len >> 32));
		wr_u32(&w, (uint32_t)len);
	}
	if (mask)
		wr_bytes(&w, span_of(mask, 4));
	return w.len;
}

/* ---- reading ---- */

static enum ws_event refuse(struct ws_reader *r, struct ws_got *got, unsigned code, const char *why)
{
	r->refused = true;
	*got = (struct ws_got){ .opcode = (enum ws_opcode)(r->head[0] & 0xf), .code = (uint16_t)code, .why = why };
	return WS_BAD;
}

static size_t head_size(const uint8_t head[2])
{
	unsigned len = head[1] & 0x7f;

	return 2 + (len == 126 ? 2u : len == 127 ? 8u : 0) + (head[1] & 0x80 ? 4u : 0);
}

/* What its first two bytes allow already: said before the rest of the head is waited for. NULL: well so far. */
static const char *wrong_start(const struct ws_reader *r)
{
	unsigned opcode = r->head[0] & 0xf, len = r->head[1] & 0x7f;
	bool fin = r->head[0] & 0x80, masked = r->head[1] & 0x80;

	if (r->head[0] & 0x70)
		return "a reserved bit is set and no extension was agreed on";
	if (opcode > WS_PONG || (opcode > WS_BINARY && opcode < WS_CLOSE))
		return "an opcode that is reserved";
	if (masked != r->from_client)
		return masked ? "a masked frame from the server" : "a frame without mask from the client";
	if (opcode >= WS_CLOSE && !fin)
		return "a control frame in fragments";
	if (opcode >= WS_CLOSE && len > WS_CONTROL_MAX)
		return "a control frame of more than 125 bytes";
	if (opcode == WS_CONTINUATION && !r->in_message)
		return "a continuation of no message";
	if (opcode && opcode < WS_CLOSE && r->in_message)
		return "a new message before the last fragment of the one before";
	return NULL;
}

static uint64_t payload_len(const uint8_t *head, const char **why)
{
	unsigned short_len = head[1] & 0x7f, n = short_len == 126 ? 2 : short_len == 127 ? 8 : 0;
	uint64_t len = n ? 0 : short_len;

	for (unsigned i = 0; i < n; i++)
		len = len << 8 | head[2 + i];
	if ((n == 2 && len < 126) || (n == 8 && len < 65536))
		*why = "a length in more bytes than it needs";
	if (len >> 63)
		*why = "a length with its highest bit set";
	return len;
}

/* The head is whole. */
static const char *begin_payload(struct ws_reader *r)
{
	unsigned opcode = r->head[0] & 0xf;
	const char *why = NULL;

	r->left = payload_len(r->head, &why);
	r->done = 0;
	r->fin = r->head[0] & 0x80;
	if (r->from_client)
		memcpy(r->mask, r->head + r->n_head - 4, 4);
	if (opcode < WS_CLOSE) {
		if (opcode)
			r->opcode = (uint8_t)opcode;
		r->in_message = !r->fin;
	}
	r->n_control = 0;
	r->in_payload = true;
	return why;
}

static bool code_may_be_sent(unsigned code)
{
	return (code >= 1000 && code <= 1014 && code != 1004 && code != 1005 && code != 1006) || (code >= 3000 && code < 5000);
}

static enum ws_event control(struct ws_reader *r, struct ws_got *got)
{
	unsigned opcode = r->head[0] & 0xf;

	r->in_payload = false;
	r->n_head = 0;
	*got = (struct ws_got){ .opcode = (enum ws_opcode)opcode, .bytes = span_of(r->control, r->n_control) };
	if (opcode != WS_CLOSE || !r->n_control)
		return WS_CONTROL;
	if (r->n_control == 1)
		return refuse(r, got, WS_PROTOCOL_ERROR, "a Close frame with half a code");
	unsigned code = (unsigned)(r->control[0] << 8 | r->control[1]);
	if (!code_may_be_sent(code))
		return refuse(r, got, WS_PROTOCOL_ERROR, "a Close frame with a code that is never sent");
	if (!utf8_valid(span_of(r->control + 2, r->n_control - 2u)))
		return refuse(r, got, WS_PROTOCOL_ERROR, "a Close frame whose reason is not UTF-8");
	got->code = (uint16_t)code;
	return WS_CONTROL;
}

/* Takes bytes of the head until it is whole; the number taken. */
static size_t take_head(struct ws_reader *r, const uint8_t *bytes, size_t len)
{
	size_t used = 0, need = r->n_head < 2 ? 2 : head_size(r->head);

	for (; used < len && r->n_head < need; used++)
		r->head[r->n_head++] = bytes[used];
	return used;
}

/* WS_MORE: the head goes on behind what there is; WS_DATA: it is whole and allowed. */
static enum ws_event read_head(struct ws_reader *r, const uint8_t *bytes, size_t len, size_t *used, struct ws_got *got)
{
	const char *why;

	if (r->n_head < 2) {
		*used += take_head(r, bytes + *used, len - *used);
		if (r->n_head < 2)
			return WS_MORE;
		if ((why = wrong_start(r)))
			return refuse(r, got, WS_PROTOCOL_ERROR, why);
		if ((r->head[0] & 0xf) == WS_TEXT && !r->takes_text) {
			refuse(r, got, WS_UNSUPPORTED, "a text frame: MQTT travels in binary frames only");
			got->not_binary = true;
			return WS_BAD;
		}
	}
	*used += take_head(r, bytes + *used, len - *used);
	if (r->n_head < head_size(r->head))
		return WS_MORE;
	if ((why = begin_payload(r)))
		return refuse(r, got, WS_PROTOCOL_ERROR, why);
	return WS_DATA;
}

enum ws_event ws_read(struct ws_reader *r, uint8_t *bytes, size_t len, size_t *used, struct ws_got *got)
{
	*used = 0;
	if (r->refused)
		return refuse(r, got, WS_PROTOCOL_ERROR, "it was refused before");
	for (;;) {
		if (!r->in_payload) {
			enum ws_event head = read_head(r, bytes, len, used, got);

			if (head != WS_DATA)
				return head;
		}
		size_t n = len - *used < r->left ? len - *used : (size_t)r->left;
		uint8_t *at = bytes + *used;
		bool is_control = (r->head[0] & 0xf) >= WS_CLOSE;

		if (n && r->from_client)
			ws_mask(at, n, r->mask, r->done);
		*used += n;
		r->done += n;
		r->left -= n;
		if (is_control) {
			if (n)
				memcpy(r->control + r->n_control, at, n);
			r->n_control += (uint8_t)n;
			return r->left ? WS_MORE : control(r, got);
		}
		if (!r->left) {
			r->in_payload = false;
			r->n_head = 0;
		}
		if (n) {
			*got = (struct ws_got){ .opcode = (enum ws_opcode)r->opcode, .bytes = span_of(at, n) };
			return WS_DATA;
		}
		if (*used == len)
			return WS_MORE;
	}
}

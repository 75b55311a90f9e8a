#include "codec/http.h"

/* ---- heads ---- */

enum frame_status http_next(const uint8_t *buf, size_t len, struct http_head *head, const char **why)
{
	size_t line = 0, first = 0;

	for (size_t i = 0; i < len; i++) {
		if (i >= HTTP_HEAD_MAX) {
			*why = "more than 8192 bytes of HTTP head";
			return FRAME_BAD;
		}
		if (buf[i] != '\n') {
			/* [RFC 9112, 2.2] no bare CR; and a binary protocol on this port shows here */
			if ((buf[i] < ' ' && buf[i] != '\t' && buf[i] != '\r') || (i && buf[i - 1] == '\r')) {
				*why = "bytes that are no HTTP head";
				return FRAME_BAD;
			}
			continue;
		}
		size_t end = i && buf[i - 1] == '\r' ? i - 1 : i;

		if (!first) {
			head->start = span_of(buf, end);
			first = i + 1;
		} else if (end == line) {
			head->fields = span_of(buf + first, line - first);
			head->size = i + 1;
			return FRAME_OK;
		}
		line = i + 1;
	}
	return FRAME_MORE;
}

static uint8_t lower(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? (uint8_t)(c | 0x20) : c;
}

static bool same(struct span s, const char *text)
{
	size_t len = strlen(text);

	if (s.len != len)
		return false;
	for (size_t i = 0; i < len; i++)
		if (lower(s.at[i]) != lower((uint8_t)text[i]))
			return false;
	return true;
}

static bool is_space(uint8_t c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

static struct span trimmed(struct span s)
{
	while (s.len && is_space(s.at[s.len - 1]))
		s.len--;
	while (s.len && is_space(*s.at)) {
		s.at++;
		s.len--;
	}
	return s;
}

/* Cuts the text before the next c, or all of it, off the front of *s. */
static struct span cut(struct span *s, uint8_t c)
{
	const uint8_t *at = s->len ? memchr(s->at, c, s->len) : NULL;
	struct span front = { s->at, at ? (size_t)(at - s->at) : s->len };

	*s = at ? (struct span){ at + 1, s->len - front.len - 1 } : (struct span){ 0 };
	return front;
}

bool http_field(const struct http_head *head, const char *name, unsigned nth, struct span *value)
{
	struct span rest = head->fields;

	while (rest.len) {
		struct span line = cut(&rest, '\n'), key = cut(&line, ':');

		if (same(key, name) && nth-- == 0) {
			*value = trimmed(line);
			return true;
		}
	}
	return false;
}

bool http_has_token(const struct http_head *head, const char *name, const char *token)
{
	struct span list;

	for (unsigned n = 0; http_field(head, name, n, &list); n++)
		while (list.len)
			if (same(trimmed(cut(&list, ',')), token))
				return true;
	return false;
}

/* ---- the client's ---- */

static bool is_key(struct span key)
{
	if (key.len != WS_KEY_LEN || key.at[22] != '=' || key.at[23] != '=')
		return false;
	for (unsigned i = 0; i < 22; i++)
		if (!((lower(key.at[i]) >= 'a' && lower(key.at[i]) <= 'z') || (key.at[i] >= '0' && key.at[i] <= '9') ||
		      key.at[i] == '+' || key.at[i] == '/'))
			return false;
	return true;
}

unsigned ws_request_read(const struct http_head *head, struct ws_request *request, const char **why)
{
	struct span rest = head->start, method = cut(&rest, ' '), version, again;

	*request = (struct ws_request){ .path = cut(&rest, ' ') };
	version = rest;
	*why = NULL;
	if (!span_is(version, "HTTP/1.1"))
		return *why = "expected HTTP/1.1", version.len > 5 && !memcmp(version.at, "HTTP/", 5) ? 505 : 400;
	if (!span_is(method, "GET"))
		return *why = "expected GET", 405;
	if (!request->path.len || *request->path.at != '/')
		return *why = "expected a path that begins with /", 400;
	if (!http_has_token(head, "Upgrade", "websocket") || !http_has_token(head, "Connection", "upgrade"))
		return *why = "expected a WebSocket: Upgrade: websocket, Connection: Upgrade", 426;
	if (!http_field(head, "Host", 0, &request->host) || http_field(head, "Host", 1, &again))
		return *why = "expected the field Host, once", 400;	/* [RFC 9112, 3.2] */
	if (!http_has_token(head, "Sec-WebSocket-Version", "13"))
		return *why = "expected Sec-WebSocket-Version: 13", 426;
	if (!http_field(head, "Sec-WebSocket-Key", 0, &request->key) || !is_key(request->key) || http_field(head, "Sec-WebSocket-Key", 1, &again))
		return *why = "expected Sec-WebSocket-Key, 16 bytes in base64", 400;
	struct span list;
	request->offers_any = http_field(head, "Sec-WebSocket-Protocol", 0, &list);
	request->offers_mqtt = http_has_token(head, "Sec-WebSocket-Protocol", "mqtt");
	return 0;
}

static void wr_field(struct writer *w, const char *name, const char *value)
{
	wr_text(w, name);
	wr_text(w, ": ");
	wr_text(w, value);
	wr_text(w, "\r\n");
}

void ws_request_write(struct writer *w, const char *host, const char *path, const char key[WS_KEY_LEN], const char *protocol)
{
	wr_text(w, "GET ");
	wr_text(w, path);
	wr_text(w, " HTTP/1.1\r\n");
	wr_field(w, "Host", host);
	wr_field(w, "Upgrade", "websocket");
	wr_field(w, "Connection", "Upgrade");
	wr_text(w, "Sec-WebSocket-Key: ");
	wr_bytes(w, span_of(key, WS_KEY_LEN));
	wr_text(w, "\r\n");
	if (*protocol)
		wr_field(w, "Sec-WebSocket-Protocol", protocol);
	wr_field(w, "Sec-WebSocket-Version", "13");
	wr_text(w, "\r\n");
}

/* ---- the server's ---- */

const char *ws_response_read(const struct http_head *head, const char accept[WS_ACCEPT_LEN], struct ws_response *response)
{
	struct span rest = head->start, version = cut(&rest, ' '), status = cut(&rest, ' '), value;

	*response = (struct ws_response){ .reason = rest };
	if (version.len < 5 || memcmp(version.at, "HTTP/", 5))
		return "the answer is no HTTP";
	if (status.len != 3)
		return "the answer has no status";
	for (unsigned i = 0; i < 3; i++) {
		if (status.at[i] < '0' || status.at[i] > '9')
			return response->status = 0, "the answer has no status";
		response->status = response->status * 10 + (status.at[i] - '0');
	}
	http_field(head, "Location", 0, &response->location);
	if (response->status != 101)
		return "the server did not switch to WebSocket";
	if (!http_has_token(head, "Upgrade", "websocket") || !http_has_token(head, "Connection", "upgrade"))
		return "101 without Upgrade: websocket and Connection: Upgrade";
	if (!http_field(head, "Sec-WebSocket-Accept", 0, &value) || !span_equal(value, span_of(accept, WS_ACCEPT_LEN)))
		return "101 with a wrong Sec-WebSocket-Accept";
	if (http_field(head, "Sec-WebSocket-Extensions", 0, &value) && value.len)
		return "101 with an extension that was not offered";
	http_field(head, "Sec-WebSocket-Protocol", 0, &response->protocol);
	return NULL;
}

void ws_response_write(struct writer *w, const char accept[WS_ACCEPT_LEN], const char *protocol)
{
	wr_text(w, "HTTP/1.1 101 Switching Protocols\r\n");
	wr_field(w, "Upgrade", "websocket");
	wr_field(w, "Connection", "Upgrade");
	wr_text(w, "Sec-WebSocket-Accept: ");
	wr_bytes(w, span_of(accept, WS_ACCEPT_LEN));
	wr_text(w, "\r\n");
	if (*protocol)
		wr_field(w, "Sec-WebSocket-Protocol", protocol);
	wr_text(w, "\r\n");
}

static const char *reason_phrase(unsigned status)
{
	switch (status) {
	case 400: return "400 Bad Request";
	case 404: return "404 Not Found";
	case 405: return "405 Method Not Allowed";
	case 426: return "426 Upgrade Required";
	case 431: return "431 Request Header Fields Too Large";
	case 505: return "505 HTTP Version Not Supported";
	default:  return "500 Internal Server Error";
	}
}

static void wr_number(struct writer *w, size_t n)
{
	if (n >= 10)
		wr_number(w, n / 10);
	wr_u8(w, '0' + (unsigned)(n % 10));
}

void http_refusal_write(struct writer *w, unsigned status, const char *why)
{
	wr_text(w, "HTTP/1.1 ");
	wr_text(w, reason_phrase(status));
	wr_text(w, "\r\n");
	if (status == 405)
		wr_field(w, "Allow", "GET");
	if (status == 426) {
		wr_field(w, "Upgrade", "websocket");
		wr_field(w, "Sec-WebSocket-Version", "13");
	}
	wr_field(w, "Connection", "close");
	wr_field(w, "Content-Type", "text/plain");
	wr_text(w, "Content-Length: ");
	wr_number(w, strlen(why) + 1);
	wr_text(w, "\r\n\r\n");
	wr_text(w, why);
	wr_text(w, "\n");
}

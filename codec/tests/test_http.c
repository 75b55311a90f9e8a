#include "codec/http.h"
#include "codec/tests/whole.h"

#include <stdio.h>

#define KEY "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define UPGRADE "Upgrade: websocket\r\nConnection: Upgrade\r\n"
#define ASK "GET /mqtt HTTP/1.1\r\nHost: h\r\n" UPGRADE KEY
#define ACCEPT "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
#define ANSWER "HTTP/1.1 101 Switching Protocols\r\n" UPGRADE "Sec-WebSocket-Accept: " ACCEPT "\r\n"

/* What a server makes of a request: 0 or the status it refuses with; -1: no HTTP head at all, -2: not all there yet. */
static const struct request {
	const char *name, *text;
	int status;
	bool offers_mqtt;
} requests[] = {
	{ "the RFC's, with mqtt", ASK "Sec-WebSocket-Protocol: mqtt\r\nSec-WebSocket-Version: 13\r\n\r\n", 0, true },
	{ "without subprotocol", ASK "Sec-WebSocket-Version: 13\r\n\r\n", 0, false },
	{ "mqtt among others", ASK "Sec-WebSocket-Protocol: mqttv3.1, mqtt\r\nSec-WebSocket-Version: 13\r\n\r\n", 0, true },
	{ "mqtt in a second field", ASK "Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Protocol: mqtt\r\nSec-WebSocket-Version: 13\r\n\r\n", 0, true },
	{ "another name that begins so", ASK "Sec-WebSocket-Protocol: mqttv3.1\r\nSec-WebSocket-Version: 13\r\n\r\n", 0, false },
	{ "as Firefox says it", "GET / HTTP/1.1\r\nHost: h\r\nUPGRADE: WebSocket\r\nConnection: keep-alive, Upgrade\r\n" KEY "Sec-WebSocket-Version: 13\r\n\r\n", 0, false },
	{ "lines that end in LF alone", "GET / HTTP/1.1\nHost: h\nUpgrade: websocket\nConnection: Upgrade\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\nSec-WebSocket-Version: 13\n\n", 0, false },
	{ "spaces around values", "GET / HTTP/1.1\r\nHost:h\r\nUpgrade:  websocket \r\nConnection:\tUpgrade\r\n" KEY "Sec-WebSocket-Version:13\r\n\r\n", 0, false },
	{ "half of it", ASK, -2, false },
	{ "its last byte is missing", ASK "\r", -2, false },
	{ "POST", "POST / HTTP/1.1\r\nHost: h\r\n" UPGRADE KEY "Sec-WebSocket-Version: 13\r\n\r\n", 405, false },
	{ "HTTP/1.0", "GET / HTTP/1.0\r\nHost: h\r\n" UPGRADE KEY "Sec-WebSocket-Version: 13\r\n\r\n", 505, false },
	{ "no HTTP", "GET /\r\n\r\n", 400, false },
	{ "no path", "GET  HTTP/1.1\r\nHost: h\r\n\r\n", 400, false },
	{ "a page", "GET / HTTP/1.1\r\nHost: h\r\n\r\n", 426, false },
	{ "no Connection", "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n" KEY "Sec-WebSocket-Version: 13\r\n\r\n", 426, false },
	{ "no Host", "GET / HTTP/1.1\r\n" UPGRADE KEY "Sec-WebSocket-Version: 13\r\n\r\n", 400, false },
	{ "two Hosts", ASK "Host: other\r\nSec-WebSocket-Version: 13\r\n\r\n", 400, false },
	{ "two keys", ASK KEY "Sec-WebSocket-Version: 13\r\n\r\n", 400, false },
	{ "version 8", ASK "Sec-WebSocket-Version: 8\r\n\r\n", 426, false },
	{ "no key", "GET / HTTP/1.1\r\nHost: h\r\n" UPGRADE "Sec-WebSocket-Version: 13\r\n\r\n", 400, false },
	{ "a short key", "GET / HTTP/1.1\r\nHost: h\r\n" UPGRADE "Sec-WebSocket-Key: abc=\r\nSec-WebSocket-Version: 13\r\n\r\n", 400, false },
	{ "an MQTT CONNECT", "\x10\x0c", -1, false },
	{ "a bare CR", "GET / HTTP/1.1\rHost: h\r\n\r\n", -1, false },
	{ "a control character", "GET / HTTP/1.1\r\nHost: \x01\r\n\r\n", -1, false },
};

/* What a client makes of an answer: NULL, or a part of what is wrong. */
static const struct answer {
	const char *name, *text, *wrong;
	unsigned status;
	const char *protocol;
} answers[] = {
	{ "the RFC's", ANSWER "Sec-WebSocket-Protocol: mqtt\r\n\r\n", NULL, 101, "mqtt" },
	{ "no subprotocol", ANSWER "\r\n", NULL, 101, NULL },
	{ "another subprotocol", ANSWER "Sec-WebSocket-Protocol: chat\r\n\r\n", NULL, 101, "chat" },
	{ "a wrong accept", "HTTP/1.1 101 x\r\n" UPGRADE "Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n", "wrong Sec-WebSocket-Accept", 101, NULL },
	{ "no accept", "HTTP/1.1 101 x\r\n" UPGRADE "\r\n", "wrong Sec-WebSocket-Accept", 101, NULL },
	{ "no upgrade", "HTTP/1.1 101 x\r\n\r\n", "101 without Upgrade", 101, NULL },
	{ "an extension", ANSWER "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n", "an extension that was not offered", 101, NULL },
	{ "404", "HTTP/1.1 404 Not Found\r\n\r\n", "did not switch", 404, NULL },
	{ "301", "HTTP/1.1 301 Moved\r\nLocation: /x\r\n\r\n", "did not switch", 301, NULL },
	{ "no phrase", "HTTP/1.1 500\r\n\r\n", "did not switch", 500, NULL },
	{ "no number", "HTTP/1.1 ok\r\n\r\n", "no status", 0, NULL },
	{ "a letter in the number", "HTTP/1.1 1x1 a\r\n\r\n", "no status", 0, NULL },
	{ "no HTTP", "SSH-2.0-x\r\n\r\n", "no HTTP", 0, NULL },
};

static struct guard guard;

static enum frame_status head_of(const char *text, size_t len, struct http_head *head)
{
	const char *why = NULL;
	enum frame_status status = http_next(guard_copy(&guard, (const uint8_t *)text, len), len, head, &why);

	assert_int_equal(why != NULL, status == FRAME_BAD);
	return status;
}

static void server_says(void **state)
{
	const struct request *row = *state;
	size_t len = strlen(row->text);
	struct ws_request request;
	struct http_head head;
	const char *why;

	for (size_t cut = 0; cut < len && row->status >= 0; cut++)
		assert_int_equal(head_of(row->text, cut, &head), FRAME_MORE);
	switch (head_of(row->text, len, &head)) {
	case FRAME_MORE:
		assert_int_equal(row->status, -2);
		return;
	case FRAME_BAD:
		assert_int_equal(row->status, -1);
		return;
	case FRAME_OK:
		assert_int_equal(head.size, len);
		assert_int_equal(ws_request_read(&head, &request, &why), row->status);
		assert_int_equal(why != NULL, row->status != 0);
		if (!row->status)
			assert_int_equal(request.offers_mqtt, row->offers_mqtt);
	}
}

static void client_says(void **state)
{
	const struct answer *row = *state;
	struct ws_response response;
	struct http_head head;
	const char *wrong;

	assert_int_equal(head_of(row->text, strlen(row->text), &head), FRAME_OK);
	wrong = ws_response_read(&head, ACCEPT, &response);
	if (row->wrong) {
		assert_non_null(wrong);
		assert_non_null(strstr(wrong, row->wrong));
	} else {
		assert_null(wrong);
		assert_int_equal(response.protocol.len, row->protocol ? strlen(row->protocol) : 0);
		if (row->protocol)
			assert_memory_equal(response.protocol.at, row->protocol, response.protocol.len);
	}
	assert_int_equal(response.status, row->status);
}

static void both_ends_understand_each_other(void **state)
{
	uint8_t text[1024];
	struct writer w = writer_to(text, sizeof text);
	struct ws_response response;
	struct ws_request request;
	struct http_head head;
	const char *why;

	(void)state;
	ws_request_write(&w, "host:8080", "/a?b", "dGhlIHNhbXBsZSBub25jZQ==", "mqtt");
	assert_int_equal(http_next(text, w.len, &head, &why), FRAME_OK);
	assert_int_equal(ws_request_read(&head, &request, &why), 0);
	assert_true(request.offers_mqtt && span_is(request.path, "/a?b") && span_is(request.host, "host:8080"));
	w = writer_to(text, sizeof text);
	ws_response_write(&w, ACCEPT, "mqtt");
	assert_int_equal(http_next(text, w.len, &head, &why), FRAME_OK);
	assert_null(ws_response_read(&head, ACCEPT, &response));
	w = writer_to(text, sizeof text);
	http_refusal_write(&w, 426, "expected a WebSocket");
	assert_int_equal(http_next(text, w.len, &head, &why), FRAME_OK);
	assert_non_null(ws_response_read(&head, ACCEPT, &response));
	assert_int_equal(response.status, 426);
	assert_string_equal((w.at[w.len] = 0, (char *)text + head.size), "expected a WebSocket\n");
}

static void heads_are_bounded(void **state)
{
	static uint8_t text[3 * HTTP_HEAD_MAX];
	struct http_head head;
	const char *why;

	(void)state;
	memset(text, 'x', sizeof text);
	assert_int_equal(http_next(text, HTTP_HEAD_MAX, &head, &why), FRAME_MORE);
	assert_int_equal(http_next(text, HTTP_HEAD_MAX + 1, &head, &why), FRAME_BAD);
}

int main(void)
{
	static struct CMUnitTest tests[sizeof requests / sizeof *requests + sizeof answers / sizeof *answers + 2];
	size_t n = 0;

	for (size_t i = 0; i < sizeof requests / sizeof *requests; i++)
		tests[n++] = (struct CMUnitTest){ .name = requests[i].name, .test_func = server_says, .initial_state = (void *)&requests[i] };
	for (size_t i = 0; i < sizeof answers / sizeof *answers; i++)
		tests[n++] = (struct CMUnitTest){ .name = answers[i].name, .test_func = client_says, .initial_state = (void *)&answers[i] };
	tests[n++] = (struct CMUnitTest)cmocka_unit_test(both_ends_understand_each_other);
	tests[n++] = (struct CMUnitTest)cmocka_unit_test(heads_are_bounded);
	guard = guard_new(4096);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

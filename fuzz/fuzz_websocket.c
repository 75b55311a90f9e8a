#include <stdlib.h>

#include "codec/http.h"
#include "codec/ws.h"
#include "fuzz/must.h"

/*
 * Any bytes as a WebSocket's: the first says which side they come from and how they are cut; the rest is an HTTP head and
 * frames behind it, or frames alone. What comes out must not depend on where the stream was cut.
 */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MOST = 1 << 16 };

struct sum {			/* of all that came: data, control frames and the end */
	uint64_t hash;
	size_t data, controls;
	bool bad;
};

static void add(struct sum *sum, const uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		sum->hash = (sum->hash ^ bytes[i]) * UINT64_C(0x100000001b3);
}

static void take(struct sum *sum, enum ws_event event, const struct ws_got *got)
{
	uint8_t mark[2] = { (uint8_t)event, (uint8_t)got->opcode };

	if (event == WS_DATA) {
		MUST(got->bytes.len);
		sum->data += got->bytes.len;
	} else {
		sum->controls++;
		add(sum, mark, 2);
	}
	if (event == WS_BAD) {
		MUST(got->why && got->code);
		sum->bad = true;
	} else {
		MUST(event == WS_DATA || got->bytes.len <= WS_CONTROL_MAX);
		add(sum, got->bytes.at, got->bytes.len);
	}
}

static struct sum read_frames(const uint8_t *data, size_t size, bool from_client, bool takes_text, size_t piece)
{
	struct ws_reader r = { .from_client = from_client, .takes_text = takes_text };
	struct sum sum = { 0 };

	for (size_t at = 0; at < size && !sum.bad;) {
		size_t n = size - at < piece ? size - at : piece;
		uint8_t *exact = malloc(n);		/* reading past a piece is seen */
		size_t done = 0;

		if (!exact)
			abort();
		memcpy(exact, data + at, n);
		while (done < n && !sum.bad) {
			struct ws_got got;
			size_t used;
			enum ws_event event = ws_read(&r, exact + done, n - done, &used, &got);

			MUST(used <= n - done && (used || event == WS_BAD || event == WS_CONTROL));
			if (event != WS_MORE)
				take(&sum, event, &got);
			else
				MUST(used == n - done);
			done += used;
		}
		free(exact);
		at += n;
	}
	return sum;
}

static void judge_request(const struct ws_request *request)
{
	static const char accept[] = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
	char path[HTTP_HEAD_MAX + 1], host[HTTP_HEAD_MAX + 1], text[3 * HTTP_HEAD_MAX];
	const char *protocol = request->offers_mqtt ? "mqtt" : "", *why;
	struct writer w = writer_to(text, sizeof(text));
	struct http_head head;
	struct ws_request again;
	struct ws_response response;

	MUST(request->key.len == WS_KEY_LEN && request->path.len && request->path.len < sizeof(path) && request->host.len < sizeof(host));
	snprintf(path, sizeof(path), "%.*s", (int)request->path.len, (const char *)request->path.at);
	snprintf(host, sizeof(host), "%.*s", (int)request->host.len, (const char *)request->host.at);
	if (strlen(path) != request->path.len || strlen(host) != request->host.len)
		return;		/* a 0 in it: nothing that we would ask for */
	ws_request_write(&w, host, path, (const char *)request->key.at, protocol);
	MUST(wr_fits(&w));
	if (w.len > HTTP_HEAD_MAX)
		return;
	MUST(http_next((uint8_t *)text, w.len, &head, &why) == FRAME_OK && head.size == w.len && !ws_request_read(&head, &again, &why));
	MUST(span_equal(again.path, request->path) && span_equal(again.host, request->host) && span_equal(again.key, request->key));
	MUST(again.offers_mqtt == request->offers_mqtt);
	w = writer_to(text, sizeof(text));
	ws_response_write(&w, accept, protocol);
	MUST(http_next((uint8_t *)text, w.len, &head, &why) == FRAME_OK && !ws_response_read(&head, accept, &response));
	MUST(response.status == 101 && (response.protocol.at != NULL) == request->offers_mqtt);
}

/* As a frame of ours, and read again. */
static void framed(const uint8_t *data, size_t size, unsigned how)
{
	static const uint8_t mask[4] = { 0x9a, 0, 0xff, 0x31 };
	struct ws_reader r = { .from_client = how & 1 };
	uint8_t *frame = malloc(WS_HEAD_MAX + size);
	size_t head = 0, at = 0, told = 0, used;
	struct ws_got got;

	if (!frame)
		abort();
	head = ws_head(frame, WS_BINARY, true, size, how & 1 ? mask : NULL);
	MUST(head <= WS_HEAD_MAX);
	memcpy(frame + head, data, size);
	if (how & 1)
		ws_mask(frame + head, size, mask, 0);
	while (at < head + size) {
		enum ws_event event = ws_read(&r, frame + at, head + size - at, &used, &got);

		MUST(event == WS_DATA || event == WS_MORE);
		MUST(event == WS_MORE || (got.bytes.len <= size - told && !memcmp(got.bytes.at, data + told, got.bytes.len)));
		told += event == WS_DATA ? got.bytes.len : 0;
		at += used;
	}
	MUST(told == size);
	free(frame);
}

static void judge_head(const struct http_head *head)
{
	struct ws_request request;
	struct ws_response response;
	const char *why = NULL;
	uint8_t text[1024];
	struct writer w = writer_to(text, sizeof(text));
	unsigned status = ws_request_read(head, &request, &why);

	MUST((status != 0) == (why != NULL));
	if (status) {
		struct http_head again;

		http_refusal_write(&w, status, why);
		MUST(wr_fits(&w) && http_next(text, w.len, &again, &why) == FRAME_OK);
		MUST(ws_response_read(&again, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", &response) && response.status == status);
	} else {
		judge_request(&request);
	}
	why = ws_response_read(head, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", &response);
	MUST(why || response.status == 101);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct http_head head = { 0 };
	const char *why = NULL;

	if (!size || size > MOST)
		return 0;
	unsigned how = *data++;
	size--;
	enum frame_status status = http_next(data, size, &head, &why);
	MUST((status == FRAME_BAD) == (why != NULL));
	if (status == FRAME_OK) {
		MUST(head.size <= size && head.start.len + head.fields.len <= head.size);
		judge_head(&head);
		data += head.size;
		size -= head.size;
	}
	if (!size)
		return 0;
	struct sum whole = read_frames(data, size, how & 1, how & 2, size), cut = read_frames(data, size, how & 1, how & 2, 1 + (how >> 2));

	framed(data, size, how);
	MUST(whole.hash == cut.hash && whole.data == cut.data && whole.controls == cut.controls && whole.bad == cut.bad);
	return 0;
}

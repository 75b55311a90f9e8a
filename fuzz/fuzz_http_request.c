#include "fuzz/must.h"
#include "harness/load/http_request.h"

/* What a client sends to the page of metrics. Bytes that come one after another are judged as those that come at once. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void inside(struct span s, const uint8_t *data, size_t size)
{
	MUST(!s.len || (s.at >= data && s.at + s.len <= data + size));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct http_request whole, part;
	size_t used = http_request_read(data, size, &whole), n = 0;

	MUST(used <= size && used <= HTTP_REQUEST_MAX && (used || size < HTTP_REQUEST_MAX));
	inside(whole.method, data, size);
	inside(whole.path, data, size);
	if (used && !whole.status)
		MUST(whole.method.len && used >= whole.method.len + whole.path.len + sizeof(" HTTP/1.0"));
	for (size_t len = 0; len <= size && len <= HTTP_REQUEST_MAX && !n; len += size > 512 ? 97 : 1)
		n = http_request_read(data, len, &part);
	if (n) {
		MUST(n == used && part.status == whole.status);
		MUST(span_equal(part.method, whole.method) && span_equal(part.path, whole.path));
	}
	return 0;
}

#include "harness/load/http_request.h"

#include <string.h>

enum { TARGET_MAX = 2048 };

static bool is_token(struct span s)
{
	static const char others[] = "!#$%&'*+-.^_`|~";

	for (size_t i = 0; i < s.len; i++) {
		uint8_t c = s.at[i];

		if (!((c | 0x20) >= 'a' && (c | 0x20) <= 'z') && !(c >= '0' && c <= '9') && (!c || !strchr(others, c)))
			return false;
	}
	return s.len > 0;
}

static bool is_visible(struct span s)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.at[i] <= ' ' || s.at[i] >= 0x7f)
			return false;
	return s.len > 0;
}

/* Cuts what stands before the first such byte off *from, and the byte; false: there is none. */
static bool cut(struct span *from, char at, struct span *piece)
{
	const uint8_t *end = from->len ? memchr(from->at, at, from->len) : NULL;

	if (!end)
		return false;
	*piece = span_of(from->at, (size_t)(end - from->at));
	*from = span_of(end + 1, from->len - piece->len - 1);
	return true;
}

/* METHOD TARGET HTTP/1.x */
static unsigned read_request_line(struct span line, struct http_request *request, bool *needs_host)
{
	struct span target;

	if (!cut(&line, ' ', &request->method) || !is_token(request->method) || !cut(&line, ' ', &target) || !is_visible(target))
		return 400;
	if (line.len != 8 || memcmp(line.at, "HTTP/", 5) != 0 || line.at[5] < '0' || line.at[5] > '9' || line.at[6] != '.' || line.at[7] < '0' || line.at[7] > '9')
		return 400;
	if (line.at[5] != '1')
		return 505;
	if (target.len > TARGET_MAX)
		return 414;
	*needs_host = line.at[7] != '0';
	if (!cut(&target, '?', &request->path))
		request->path = target;
	return 0;
}

/* Name: value. A line that begins with a space would go on with the one before: RFC 9112 lets us refuse it. */
static unsigned read_header(struct span line, unsigned *hosts)
{
	struct span name;

	if (!cut(&line, ':', &name) || !is_token(name))
		return 400;
	for (size_t i = 0; i < line.len; i++)
		if ((line.at[i] < ' ' && line.at[i] != '\t') || line.at[i] == 0x7f)
			return 400;
	if (name.len == 4 && (name.at[0] | 0x20) == 'h' && (name.at[1] | 0x20) == 'o' && (name.at[2] | 0x20) == 's' && (name.at[3] | 0x20) == 't')
		++*hosts;
	return 0;
}

size_t http_request_read(const uint8_t *bytes, size_t len, struct http_request *request)
{
	struct span rest = span_of(bytes, len < HTTP_REQUEST_MAX ? len : HTTP_REQUEST_MAX), line;
	bool needs_host = false, first = true;
	unsigned hosts = 0;

	*request = (struct http_request){ .status = 0 };
	while (cut(&rest, '\n', &line)) {
		size_t used = (size_t)(rest.at - bytes);

		if (line.len && line.at[line.len - 1] == '\r')
			line.len--;
		if (first)
			request->status = read_request_line(line, request, &needs_host);
		else if (line.len)
			request->status = read_header(line, &hosts);
		else
			request->status = hosts > 1 || (needs_host && !hosts) ? 400 : 0;
		if (request->status || (!first && !line.len))
			return used;
		first = false;
	}
	if (len < HTTP_REQUEST_MAX)
		return 0;
	request->status = first ? 414 : 431;
	return HTTP_REQUEST_MAX;
}

#ifndef LOAD_HTTP_REQUEST_H
#define LOAD_HTTP_REQUEST_H

#include "codec/span.h"

/* What an HTTP client asks for, as far as a server of one page has to know. */
struct http_request {
	struct span method, path;	/* path without what follows "?"; borrowed */
	unsigned status;		/* 0: well-formed; else what to refuse it with: 400, 414, 431, 505 */
};

enum { HTTP_REQUEST_MAX = 8192 };	/* bytes of a request without its body */

/*
 * Looks at bytes[0..len), which begins with a request. Bytes of it when it is whole, or when it is clear that it
 * cannot be answered (status then says so); 0: more are needed, which is never the case from HTTP_REQUEST_MAX on. A
 * body, if there is one, is not looked at.
 */
size_t http_request_read(const uint8_t *bytes, size_t len, struct http_request *request);

#endif

#ifndef CODEC_HTTP_H
#define CODEC_HTTP_H

#include "codec/codec.h"

/* As much of HTTP/1.1 as opening a WebSocket takes (RFC 6455, 4): one head each way, no body. */

enum { HTTP_HEAD_MAX = 8192, WS_KEY_LEN = 24, WS_ACCEPT_LEN = 28 };

struct http_head {
	struct span start, fields;	/* the first line without its end; the lines below */
	size_t size;			/* with the empty line */
};

/*
 * FRAME_OK    *head borrows from buf and is head->size bytes long.
 * FRAME_MORE  it goes on.
 * FRAME_BAD   no HTTP head: *why (static).
 */
enum frame_status http_next(const uint8_t *buf, size_t len, struct http_head *head, const char **why);

/* The value of the nth field of that name, from 0, without spaces around; false: there is none. */
bool http_field(const struct http_head *head, const char *name, unsigned nth, struct span *value);

/* Whether the comma-separated lists of that name hold the token, in any case. */
bool http_has_token(const struct http_head *head, const char *name, const char *token);

struct ws_request {
	struct span path, host, key;
	bool offers_mqtt, offers_any;	/* subprotocols */
};

/* 0, or the status to refuse it with and *why (static). The path and the subprotocol are for the caller to judge. */
unsigned ws_request_read(const struct http_head *head, struct ws_request *request, const char **why);

/* protocol "" offers none. */
void ws_request_write(struct writer *w, const char *host, const char *path, const char key[WS_KEY_LEN], const char *protocol);

struct ws_response {
	unsigned status;
	struct span reason, location;	/* location: of a redirection */
	struct span protocol;		/* at NULL: none was selected */
};

/* NULL when the connection is a WebSocket now, else what is wrong (static); response->status is 0 when it is no HTTP. */
const char *ws_response_read(const struct http_head *head, const char accept[WS_ACCEPT_LEN], struct ws_response *response);

/* protocol "" selects none. */
void ws_response_write(struct writer *w, const char accept[WS_ACCEPT_LEN], const char *protocol);
/* A refusal, with the reason as its text. */
void http_refusal_write(struct writer *w, unsigned status, const char *why);

#endif

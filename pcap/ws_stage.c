#include "pcap/ws_parts.h"

#include <stdlib.h>

#include "harness/escape.h"

/* ---- room ---- */

void *ws_take_room(struct ws_stage *s, size_t size)
{
	size_t *kept = s->notes->kept;

	if (kept && *kept + size > WS_ALL_BYTES)
		return NULL;
	void *room = calloc(1, size);
	if (room && kept)
		*kept += size;
	return room;
}

void ws_give_room(struct ws_stage *s, void *room, size_t size)
{
	if (room && s->notes->kept)
		*s->notes->kept -= size;
	free(room);
}

static void forget_head(struct ws_stage *s, struct ws_lane *lane)
{
	ws_give_room(s, lane->head, HTTP_HEAD_MAX + 1);
	lane->head = NULL;
	lane->head_len = 0;
}

/* ---- what it is ---- */

int ws_looks_like(struct span bytes)
{
	struct http_head head = { 0 };
	const char *why;
	size_t n = bytes.len < 5 ? bytes.len : 5, line = 0;

	if (n && memcmp(bytes.at, "GET /", n))
		return 0;
	if (n < 5)
		return -1;
	enum frame_status status = http_next(bytes.at, bytes.len, &head, &why);
	if (status == FRAME_BAD)
		return 0;
	if (status == FRAME_MORE) {	/* the lines that are whole */
		for (size_t i = 0; i < bytes.len; i++)
			if (bytes.at[i] == '\n')
				line = i + 1;
		head.fields = span_of(bytes.at, line);
	}
	if (http_has_token(&head, "Upgrade", "websocket"))
		return 1;
	return status == FRAME_OK ? 0 : -1;
}

/* ---- frames ---- */

/* It is not known any more where frames begin. */
static void lose(struct ws_stage *s, unsigned end, uint64_t len, enum hole_why why, const struct when *when)
{
	struct ws_lane *lane = &s->lanes[end];

	forget_head(s, lane);
	ws_give_room(s, lane->window, sizeof(*lane->window));
	lane->window = NULL;
	lane->phase = WS_SEEK;
	s->above->ops->hole(s->above, end, len, why, when);
}

/* What a frame's opcode must be for the reader to take it as the first that it sees. */
static void begin_frames(struct ws_stage *s, unsigned end, unsigned first_byte)
{
	struct ws_lane *lane = &s->lanes[end];

	lane->phase = WS_FRAMES;
	lane->reader = (struct ws_reader){ .from_client = end == s->notes->client_end, .takes_text = true };
	if ((first_byte & 0xf) == WS_CONTINUATION) {
		lane->reader.in_message = true;
		lane->reader.opcode = WS_BINARY;
	}
}

/* Frames from where the last ended, or from within one. Returns how much was read: less than all when it is no frame. */
static size_t read_frames(struct ws_stage *s, unsigned end, struct span bytes, const struct when *when)
{
	struct ws_lane *lane = &s->lanes[end];
	uint8_t scratch[WS_SCRATCH];
	size_t done = 0;

	while (done < bytes.len && !s->refused) {
		size_t n = bytes.len - done < sizeof(scratch) ? bytes.len - done : sizeof(scratch), at = 0;

		memcpy(scratch, bytes.at + done, n);
		while (at < n) {
			struct ws_got got;
			size_t used;
			enum ws_event event = ws_read(&lane->reader, scratch + at, n - at, &used, &got);

			at += used;
			if (event == WS_DATA)
				s->above->ops->bytes(s->above, end, got.bytes, when);
			else if (event == WS_MORE)
				break;
			else if (event == WS_BAD && !lane->reader.in_payload && !lane->reader.n_head)
				lane->reader.refused = false;	/* a whole Close, wrong in its code or reason only */
			else if (event == WS_BAD) {
				lose(s, end, 0, HOLE_UNREADABLE, when);
				return done + at;
			}
		}
		done += n;
	}
	return bytes.len;
}

/* Reads what was found in the window. */
static void read_window(struct ws_stage *s, unsigned end, uint32_t from)
{
	struct ws_lane *lane = &s->lanes[end];
	struct ws_window *w = lane->window;

	lane->window = NULL;
	if (!s->client_known) {
		s->client_known = true;
		s->notes->client_end = w->bytes[from + 1] & 0x80 ? end : !end;
	}
	begin_frames(s, end, w->bytes[from]);
	for (uint32_t i = 0; i < w->n && lane->phase == WS_FRAMES; i++) {
		uint32_t at = w->pieces[i].at < from ? from : w->pieces[i].at, to = i + 1 < w->n ? w->pieces[i + 1].at : w->len;

		if (at < to)
			read_frames(s, end, span_of(w->bytes + at, to - at), &w->pieces[i].when);
	}
	ws_give_room(s, w, sizeof(*w));
}

static size_t seek(struct ws_stage *s, unsigned end, struct span bytes, const struct when *when)
{
	uint32_t from;
	size_t n = bytes.len < WS_WINDOW / 2 ? bytes.len : WS_WINDOW / 2;

	if (ws_seek(s, end, span_of(bytes.at, n), when, &from))
		read_window(s, end, from);
	return n;
}

/* ---- heads ---- */

static void read_request(struct ws_stage *s, unsigned end, const struct http_head *head)
{
	struct ws_request request;
	const char *why;

	ws_request_read(head, &request, &why);	/* wrong ones are upgrades too: the answer tells */
	s->client_known = true;
	s->notes->client_end = end;
	s->notes->offers_mqtt = http_has_token(head, "Sec-WebSocket-Protocol", "mqtt");
	escape_bytes(request.path.at ? (const char *)request.path.at : "", request.path.len, s->notes->path, sizeof(s->notes->path));
	if (s->lanes[!end].phase == WS_BEGIN)
		s->lanes[!end].phase = WS_HEAD;
}

static void read_response(struct ws_stage *s, const struct http_head *head)
{
	struct ws_response response;

	ws_response_read(head, "                            ", &response);
	s->notes->upgraded = response.status == 101;
	s->notes->selects_mqtt = http_has_token(head, "Sec-WebSocket-Protocol", "mqtt");
	s->refused = response.status != 101;
}

static size_t read_head(struct ws_stage *s, unsigned end, struct span bytes, const struct when *when)
{
	struct ws_lane *lane = &s->lanes[end];
	struct http_head head;
	const char *why;
	size_t room = HTTP_HEAD_MAX + 1 - lane->head_len, n = bytes.len < room ? bytes.len : room, before = lane->head_len;

	if (!lane->head)
		lane->head = ws_take_room(s, HTTP_HEAD_MAX + 1);
	if (!lane->head) {
		lose(s, end, 0, HOLE_NO_ROOM, when);
		return 0;
	}
	memcpy(lane->head + before, bytes.at, n);
	lane->head_len += (uint32_t)n;
	switch (http_next(lane->head, lane->head_len, &head, &why)) {
	case FRAME_MORE:
		if (lane->head_len <= HTTP_HEAD_MAX)
			return n;
		/* fall through */
	case FRAME_BAD:
		lose(s, end, 0, HOLE_UNREADABLE, when);
		return before ? n : 0;		/* the frames may begin right here */
	case FRAME_OK:
		break;
	}
	n = head.size - before;
	if (s->client_known && end != s->notes->client_end)
		read_response(s, &head);
	else
		read_request(s, end, &head);
	forget_head(s, lane);
	begin_frames(s, end, WS_BINARY);
	return n;
}

/* The first bytes of an end: a head, or frames of a connection joined midway. */
static void begin(struct ws_stage *s, unsigned end, struct span bytes)
{
	size_t n = bytes.len < 5 ? bytes.len : 5;

	s->lanes[end].phase = !memcmp(bytes.at, "GET /", n) || !memcmp(bytes.at, "HTTP/", n) ? WS_HEAD : WS_SEEK;
	if (s->lanes[end].phase == WS_HEAD && bytes.at[0] == 'H' && !s->client_known) {
		s->client_known = true;
		s->notes->client_end = !end;
	}
}

/* ---- the stage ---- */

static void take_bytes(struct stage *stage, unsigned end, struct span bytes, const struct when *when)
{
	struct ws_stage *s = (struct ws_stage *)stage;

	while (bytes.len && !s->refused) {
		size_t n = 0;

		switch (s->lanes[end].phase) {
		case WS_BEGIN:  begin(s, end, bytes); break;
		case WS_HEAD:   n = read_head(s, end, bytes, when); break;
		case WS_FRAMES: n = read_frames(s, end, bytes, when); break;
		case WS_SEEK:   n = seek(s, end, bytes, when); break;
		}
		bytes.at += n;
		bytes.len -= n;
	}
}

static void take_hole(struct stage *stage, unsigned end, uint64_t len, enum hole_why why, const struct when *when)
{
	struct ws_stage *s = (struct ws_stage *)stage;
	struct ws_lane *lane = &s->lanes[end];
	struct ws_reader *r = &lane->reader;

	if (s->refused)
		return;
	if (lane->phase != WS_FRAMES || !r->in_payload || !len || len > r->left) {
		lose(s, end, 0, why, when);
		return;
	}
	r->left -= len;
	r->done += len;
	if ((r->head[0] & 0xf) < WS_CLOSE)
		s->above->ops->hole(s->above, end, len, why, when);
	if (!r->left) {
		r->in_payload = false;
		r->n_head = 0;
	}
}

static void take_closed(struct stage *stage, unsigned end, bool reset, const struct when *when)
{
	struct ws_stage *s = (struct ws_stage *)stage;

	s->above->ops->closed(s->above, end, reset, when);
}

static void take_end(struct stage *stage, const struct when *when)
{
	struct ws_stage *s = (struct ws_stage *)stage;

	for (unsigned end = 0; end < 2; end++) {
		forget_head(s, &s->lanes[end]);
		ws_give_room(s, s->lanes[end].window, sizeof(*s->lanes[end].window));
	}
	s->above->ops->ended(s->above, when);
	free(s);
}

static const struct stage_ops ops = { take_bytes, take_hole, take_closed, take_end };

struct stage *ws_stage_new(struct stage *above, struct ws_notes *notes)
{
	struct ws_stage *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->stage.ops = &ops;
	s->above = above;
	s->notes = notes;
	return &s->stage;
}

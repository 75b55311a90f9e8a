#include <assert.h>
#include <stdarg.h>
#include <stdlib.h>

#include "codec/text.h"
#include "fuzz/network/finding_internal.h"
#include "harness/units.h"

/* Moves as steps. */

/* ---- lines ---- */

static void put_line(struct lines *lines, size_t at, char *text)
{
	if (lines->n == lines->cap) {
		lines->cap = lines->cap ? 2 * lines->cap : 64;
		lines->at = realloc(lines->at, lines->cap * sizeof(*lines->at));
		assert(lines->at);
	}
	memmove(&lines->at[at + 1], &lines->at[at], (lines->n - at) * sizeof(*lines->at));
	lines->at[at] = text;
	lines->n++;
}

void lines_add(struct lines *lines, const char *format, ...)
{
	char *text = NULL;
	va_list args;

	va_start(args, format);
	int len = vasprintf(&text, format, args);
	va_end(args);
	assert(len >= 0);
	put_line(lines, lines->n, text);
}

void lines_insert(struct lines *lines, size_t at, const char *text)
{
	char *copy = strdup(text);

	assert(copy && at <= lines->n);
	put_line(lines, at, copy);
}

void lines_free(struct lines *lines)
{
	for (size_t i = 0; i < lines->n; i++)
		free(lines->at[i]);
	free(lines->at);
	*lines = (struct lines){ 0 };
}

static bool same_lines(const struct lines *lines, size_t a, size_t b, size_t n)
{
	if (b + n > lines->n)
		return false;
	for (size_t i = 0; i < n; i++)
		if (strcmp(lines->at[a + i], lines->at[b + i]))
			return false;
	return true;
}

/* How often the `period` lines from i on stand one after the other. */
static size_t turns(const struct lines *lines, size_t i, size_t period)
{
	size_t n = 1;

	while (same_lines(lines, i, i + n * period, period))
		n++;
	return n;
}

void lines_write(FILE *out, const struct lines *lines, const char *indent)
{
	for (size_t i = 0; i < lines->n;) {
		size_t period = 1, n = turns(lines, i, 1);

		while (n < 3 && period < 8)
			n = turns(lines, i, ++period);
		if (n < 3)
			period = n = 1;
		if (n > 1)
			fprintf(out, "%srepeat %zu {\n", indent, n);
		for (size_t k = 0; k < period; k++)
			fprintf(out, "%s%s%s\n", indent, n > 1 ? "    " : "", lines->at[i + k]);
		if (n > 1)
			fprintf(out, "%s}\n", indent);
		i += n * period;
	}
}

/* ---- who plays what ---- */

/* Of the connection that begins at move i. */
static uint8_t version_of(const struct moves *m, uint32_t i, uint8_t otherwise)
{
	uint8_t client = m->at[i].client;
	struct packet p;
	struct finding finding;

	for (uint32_t k = i + 1; k < m->n && !(m->at[k].client == client && m->at[k].kind == MOVE_OPEN); k++) {
		const struct move *at = &m->at[k];
		struct frame frame;

		if (at->client == client && move_sends(at) && frame_next(at->bytes.at, at->bytes.len, &frame, &finding) == FRAME_OK &&
		    at->bytes.at[0] >> 4 == CONNECT && decode(at->bytes.at, frame.size, MQTT_3_1_1, &p, &finding) == CODEC_OK)
			return p.version;
	}
	return otherwise;
}

static int8_t actor_of(struct cast *cast, uint8_t client, uint8_t version)
{
	for (uint32_t k = 0; k < cast->n; k++)
		if (cast->actors[k].client == client && cast->actors[k].version == version)
			return (int8_t)k;
	assert(cast->n < MAX_CAST);
	cast->actors[cast->n].client = client;
	cast->actors[cast->n].version = version;
	return (int8_t)cast->n++;
}

void finding_cast(const struct moves *m, uint8_t version, struct cast *cast)
{
	int8_t now[MOVES_CLIENTS];
	uint8_t usual = 0;

	*cast = (struct cast){ .n = 0 };
	memset(now, -1, sizeof(now));
	for (uint32_t i = 0; i < m->n && !usual; i++)
		if (m->at[i].kind == MOVE_OPEN)
			usual = version_of(m, i, 0);
	if (!usual)
		usual = version ? version : MQTT_3_1_1;
	for (uint32_t i = 0; i < m->n; i++) {
		uint8_t kind = m->at[i].kind, client = m->at[i].client % MOVES_CLIENTS;

		if (kind == MOVE_OPEN)
			now[client] = actor_of(cast, client, version_of(m, i, now[client] >= 0 ? cast->actors[now[client]].version : usual));
		cast->of[i] = kind == MOVE_LIMITS || kind == MOVE_STEER ? -1 : now[client];
		if (kind == MOVE_DROP)	/* until it opens again */
			now[client] = -1;
	}
	cast->version = version ? version : cast->n ? cast->actors[0].version : usual;
}

/* ---- steps ---- */

struct teller {
	const struct moves *m;
	const struct cast *cast;
	struct lines *lines;
	uint32_t budget;
	struct {
		bool open, connect_sent, reads_not, unanswered;
	} state[MAX_CAST];
};

static char letter(int actor)
{
	return (char)('a' + actor);
}

/* What bytes seem to be that are no packet of the notation: a comment. */
static void describe(struct span bytes, enum version version, char *text, size_t cap)
{
	struct frame frame = { 0 };
	struct finding finding = { 0 };
	struct packet p;
	enum frame_status status = frame_next(bytes.at, bytes.len, &frame, &finding);
	const char *name = bytes.len && bytes.at[0] >> 4 ? packet_name((enum packet_type)(bytes.at[0] >> 4)) : "packet type 0";

	*text = '\0';
	if (status == FRAME_MORE)
		snprintf(text, cap, "    # %s, not whole", name);
	else if (status == FRAME_BAD)
		snprintf(text, cap, "    # %s: %s", name, finding.why);
	else if (decode(bytes.at, frame.size, version, &p, &finding) != CODEC_OK)
		snprintf(text, cap, "    # %s: %s%s%s%s", name, finding.field ? finding.field : "", finding.field ? " " : "", finding.why,
		         frame.size < bytes.len ? ", and more" : "");
	else if (frame.size < bytes.len)
		snprintf(text, cap, "    # %s, and more", name);
	else if (p.version != version)
		snprintf(text, cap, "    # %s of %s", name, p.version == MQTT_5 ? "5" : p.version == MQTT_3_1_1 ? "3.1.1" : "3.1");
	else
		snprintf(text, cap, "    # %s, with much in it", name);
}

static char *hex_text(struct span bytes)
{
	struct writer w = writer_to(NULL, 0);

	text_print_hex(bytes, &w);
	char *text = malloc(w.len + 1);
	assert(text);
	w = writer_to(text, w.len);
	text_print_hex(bytes, &w);
	text[w.len] = '\0';
	return text;
}

/* Several whole packets in one write, all of which can be said. NULL: not so. */
static char *together(struct span bytes, enum version version, char who, bool connect_sent, uint32_t *budget)
{
	char *all = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&all, &len);
	bool well = true;

	assert(out);
	fputs("together {", out);
	for (unsigned n = 0; bytes.len && well; n++) {
		struct frame frame;
		struct finding finding;

		well = frame_next(bytes.at, bytes.len, &frame, &finding) == FRAME_OK;
		if (!well)
			break;
		bool connect = bytes.at[0] >> 4 == CONNECT;
		char *text = finding_packet(span_of(bytes.at, frame.size), version, connect && connect_sent, budget);

		well = text;
		if (text)
			fprintf(out, "%s %c -> %s", n ? ";" : "", who, text);
		free(text);
		connect_sent |= connect;
		bytes = span_of(bytes.at + frame.size, bytes.len - frame.size);
	}
	fputs(" }", out);
	fclose(out);
	if (well)
		return all;
	free(all);
	return NULL;
}

static bool is_connect(struct span bytes)
{
	return bytes.len && bytes.at[0] >> 4 == CONNECT;
}

static bool is_plain_connect(struct span bytes, enum version version)
{
	struct finding finding;
	struct packet p;

	return is_connect(bytes) && decode(bytes.at, bytes.len, version, &p, &finding) == CODEC_OK && p.version == version &&
	       check(&p, FROM_CLIENT, &finding) == CODEC_OK;
}

static void tell_send(struct teller *t, uint32_t i)
{
	const struct move *move = &t->m->at[i];
	int actor = t->cast->of[i];
	enum version version = (enum version)t->cast->actors[actor].version;
	bool again = is_connect(move->bytes) && t->state[actor].connect_sent;
	char *text = finding_packet(move->bytes, version, again, &t->budget), *many = NULL, pieces[32] = "", comment[300] = "";
	struct frame frame;
	struct finding finding;

	if (!move->bytes.len)
		return;
	if (move->kind == MOVE_SEND_CUT)
		snprintf(pieces, sizeof(pieces), " in pieces of %u", move->value ? move->value : 1);
	if (!text && frame_next(move->bytes.at, move->bytes.len, &frame, &finding) == FRAME_OK && frame.size < move->bytes.len)
		many = together(move->bytes, version, letter(actor), t->state[actor].connect_sent, &t->budget);
	if (text) {
		lines_add(t->lines, "%c -> %s%s", letter(actor), text, pieces);
	} else if (many) {
		lines_add(t->lines, "%s%s", many, pieces);
	} else {
		char *hex = hex_text(move->bytes);

		describe(move->bytes, version, comment, sizeof(comment));
		lines_add(t->lines, "%c -> bytes %s%s%s", letter(actor), hex, pieces, comment);
		free(hex);
	}
	free(text);
	free(many);
	t->state[actor].connect_sent |= is_connect(move->bytes);
	t->state[actor].unanswered = true;
}

/* The client may have a connection of another actor: see struct cast. */
static void drop_others(struct teller *t, int actor)
{
	for (uint32_t k = 0; k < t->cast->n; k++)
		if (t->cast->actors[k].client == t->cast->actors[actor].client && t->state[k].open) {
			lines_add(t->lines, "%c drops", letter((int)k));
			t->state[k].open = false;
		}
}

static void tell_open(struct teller *t, uint32_t i)
{
	const struct moves *m = t->m;
	int actor = t->cast->of[i];
	bool connects = i + 1 < m->n && t->cast->of[i + 1] == actor && move_sends(&m->at[i + 1]) && m->at[i + 1].bytes.len &&
	                is_plain_connect(m->at[i + 1].bytes, (enum version)t->cast->actors[actor].version);

	drop_others(t, actor);
	if (connects) {		/* a CONNECT opens; but only one that the notation can say */
		uint32_t budget = t->budget;
		char *text = finding_packet(m->at[i + 1].bytes, (enum version)t->cast->actors[actor].version, false, &budget);

		connects = text;
		free(text);
	}
	if (!connects)
		lines_add(t->lines, "%c opens", letter(actor));
	memset(&t->state[actor], 0, sizeof(t->state[actor]));
	t->state[actor].open = true;
}

static void tell_pause(struct teller *t, uint64_t ns)
{
	char text[32];

	if (ns)
		lines_add(t->lines, "wait %s", units_print_duration(ns, text, sizeof(text)));
}

static void tell(struct teller *t, uint32_t i)
{
	const struct move *move = &t->m->at[i];
	int actor = t->cast->of[i];
	char who = letter(actor);

	if (move->kind == MOVE_WAIT || move->kind == MOVE_PAUSE) {
		tell_pause(t, move->value * (move->kind == MOVE_WAIT ? UINT64_C(500000000) : UINT64_C(100000)));
		return;
	}
	if (move->kind == MOVE_OPEN) {
		tell_open(t, i);
		return;
	}
	if (actor < 0 || !t->state[actor].open)
		return;
	switch ((enum move_kind)move->kind) {
	case MOVE_SEND: case MOVE_SEND_LONG: case MOVE_SEND_CUT:
		tell_send(t, i);
		break;
	case MOVE_DROP:
		lines_add(t->lines, "%c drops", who);
		t->state[actor].open = false;
		break;
	case MOVE_CLOSE:
		lines_add(t->lines, "%c closes", who);
		break;
	case MOVE_STOP_READING: case MOVE_READ:
		t->state[actor].reads_not = move->kind == MOVE_STOP_READING;
		lines_add(t->lines, "%c reads %s", who, t->state[actor].reads_not ? "nothing" : "freely");
		break;
	case MOVE_AWAIT:
		lines_add(t->lines, "%c settles", who);
		t->state[actor].unanswered = false;
		break;
	case MOVE_ANSWER:
		lines_add(t->lines, "%c answers", who);
		break;
	default:
		break;
	}
}

static uint32_t who_serves(const struct teller *t)
{
	uint32_t some = 0;

	for (uint32_t k = 0; k < t->cast->n; k++)
		if (t->state[k].open && t->state[k].connect_sent && !t->state[k].reads_not)
			some |= UINT32_C(1) << k;
	return some;
}

static void tell_pings(struct teller *t, uint32_t actors)
{
	for (uint32_t k = 0; k < t->cast->n; k++)
		if (actors & UINT32_C(1) << k) {
			lines_add(t->lines, "%c -> PINGREQ", letter((int)k));
			lines_add(t->lines, "%c settles", letter((int)k));
		}
}

/* As players do at the end: they wait until all is answered, ask whether all has come, and drop what is open; stays: not whom something may be owed. */
static void tell_end(struct teller *t, bool asks, bool stays)
{
	bool unanswered = false;

	for (uint32_t k = 0; k < t->cast->n; k++)
		if (t->state[k].open && t->state[k].unanswered && !t->state[k].reads_not && !(asks && t->state[k].connect_sent)) {
			lines_add(t->lines, "%c settles", letter((int)k));
			unanswered = true;
		}
	if (unanswered)		/* what has no answer is to be read before the connection is gone */
		lines_add(t->lines, "wait 20ms");
	if (asks) {
		uint32_t all = who_serves(t);

		tell_pings(t, all);	/* and once more who was asked before others: what they sent may have come since */
		tell_pings(t, all & ~(all ? UINT32_C(1) << (31 - __builtin_clz(all)) : 0));
	}
	for (uint32_t k = 0; !stays && k < t->cast->n; k++)
		if (t->state[k].open)
			lines_add(t->lines, "%c drops", letter((int)k));
}

void finding_steps(const struct moves *m, const struct cast *cast, bool asks, bool stays, struct lines *lines, size_t *n_stimulus)
{
	struct teller t = { .m = m, .cast = cast, .lines = lines, .budget = FINDING_BUDGET };

	for (uint32_t i = 0; i < m->n; i++)
		tell(&t, i);
	*n_stimulus = lines->n;
	tell_end(&t, asks, stays);
}

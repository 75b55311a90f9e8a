#include <stdlib.h>

#include "fuzz/must.h"
#include "pcap/mqtt_stage.h"
#include "pcap/ws_stage.h"

/*
 * Two byte streams as a capture has them: cut anywhere, with holes, from the start or midway, with a WebSocket or without. Every
 * packet that is told must be there, behind the one before; memory must stay within its bound and be given back.
 *
 * The first two bytes choose how; then pieces: a byte for what it is and whose, one for its length, and its bytes.
 */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MOST = 1 << 16, MOST_RUNS = 4096, KEPT_MOST = 1 << 20 };

struct stream {			/* what one end has sent, hole by hole */
	uint8_t bytes[MOST];
	size_t len;
	size_t runs[MOST_RUNS], n_runs;	/* where each hole is */
	size_t told;			/* everything before it was told, or passed over */
};

struct bench {
	struct mqtt_listener listener;
	struct stage tap;		/* between the WebSocket, if there is one, and MQTT */
	struct stage *mqtt;
	struct conversation *conversation;
	bool introduced, ended;
	size_t kept;
	uint64_t frame, last[2];
	struct stream streams[2];
};

/* ---- the listener ---- */

static struct conversation *opened(struct mqtt_listener *l, const struct when *when)
{
	struct bench *b = (struct bench *)l;

	(void)when;
	MUST(!b->conversation && !b->ended);
	b->conversation = calloc(1, sizeof(*b->conversation));
	MUST(b->conversation);
	return b->conversation;
}

static void introduced(struct mqtt_listener *l, struct conversation *c, const struct when *when)
{
	struct bench *b = (struct bench *)l;

	(void)when;
	MUST(c == b->conversation && !b->introduced);
	MUST(c->version >= MQTT_3_1 && c->version <= MQTT_5);
	b->introduced = true;
}

/* Where the packet stands in what its end sent: not across a hole, not before what was told. */
static bool is_there(struct stream *s, struct span packet)
{
	for (size_t i = 0; i <= s->n_runs; i++) {
		size_t from = i ? s->runs[i - 1] : 0, to = i < s->n_runs ? s->runs[i] : s->len;
		const uint8_t *at;

		if (from < s->told)
			from = s->told;
		if (from >= to || to - from < packet.len || !(at = memmem(s->bytes + from, to - from, packet.at, packet.len)))
			continue;
		s->told = (size_t)(at - s->bytes) + packet.len;
		return true;
	}
	return false;
}

static void packet(struct mqtt_listener *l, struct seen_packet *p)
{
	struct bench *b = (struct bench *)l;
	struct packet again;
	struct finding finding;
	unsigned end = p->conversation->client.port == 1 ? 0 : 1;

	MUST(p->conversation == b->conversation && b->introduced);
	if (p->from == FROM_SERVER)
		end = !end;
	MUST(p->bytes.len >= 2 && p->bytes.len == p->frame.size);
	MUST(is_there(&b->streams[end], p->bytes));
	MUST(p->first.frame <= p->when.frame && p->when.frame <= b->frame && p->when.frame >= b->last[end]);
	b->last[end] = p->when.frame;
	MUST(p->sure ? p->confidence == 100 : p->confidence < 100);
	if (p->status == CODEC_OK) {
		MUST(decode(p->bytes.at, p->bytes.len, (enum version)p->packet.version, &again, &finding) == CODEC_OK);
		MUST(p->packet.type != PUBLISH || p->topic.at || p->packet.version == MQTT_5);
	} else {
		MUST(p->finding.why && p->finding.offset <= p->bytes.len);
	}
}

static void hole(struct mqtt_listener *l, struct conversation *c, const struct hole *h)
{
	struct bench *b = (struct bench *)l;

	MUST(c == b->conversation && b->introduced);
	MUST(c->holed);
	MUST(h->skipped <= UINT64_C(1) << 40);
}

static void closed(struct mqtt_listener *l, struct conversation *c, enum sender from, bool reset, const struct when *when)
{
	struct bench *b = (struct bench *)l;

	(void)from, (void)reset, (void)when;
	MUST(c == b->conversation && b->introduced);
}

static void ended(struct mqtt_listener *l, struct conversation *c, const struct when *when)
{
	struct bench *b = (struct bench *)l;
	uint8_t sum = 0;

	(void)when;
	MUST(c == b->conversation && b->introduced && !b->ended);
	for (size_t i = 0; i < c->client_id.len; i++)
		sum ^= c->client_id.at[i];	/* still readable */
	b->ended = true;
	c->number = sum;
	free(c);
	b->conversation = NULL;
}

/* ---- the tap ---- */

static struct bench *bench_of(struct stage *tap)
{
	return (struct bench *)((char *)tap - offsetof(struct bench, tap));
}

static void tap_bytes(struct stage *tap, unsigned end, struct span bytes, const struct when *when)
{
	struct bench *b = bench_of(tap);
	struct stream *s = &b->streams[end];

	MUST(bytes.len <= MOST - s->len);
	memcpy(s->bytes + s->len, bytes.at, bytes.len);
	s->len += bytes.len;
	b->mqtt->ops->bytes(b->mqtt, end, bytes, when);
	MUST(b->kept <= KEPT_MOST);
}

static void tap_hole(struct stage *tap, unsigned end, uint64_t len, enum hole_why why, const struct when *when)
{
	struct bench *b = bench_of(tap);
	struct stream *s = &b->streams[end];

	if (s->n_runs < MOST_RUNS)
		s->runs[s->n_runs++] = s->len;
	b->mqtt->ops->hole(b->mqtt, end, len, why, when);
}

static void tap_closed(struct stage *tap, unsigned end, bool reset, const struct when *when)
{
	struct bench *b = bench_of(tap);

	b->mqtt->ops->closed(b->mqtt, end, reset, when);
}

static void tap_ended(struct stage *tap, const struct when *when)
{
	struct bench *b = bench_of(tap);

	b->mqtt->ops->ended(b->mqtt, when);
	b->mqtt = NULL;
}

static const struct stage_ops tap_ops = { tap_bytes, tap_hole, tap_closed, tap_ended };

/* ---- one input ---- */

static void feed(struct bench *b, struct stage *bottom, const uint8_t *data, size_t size)
{
	bool over[2] = { false };

	while (size >= 2) {
		unsigned what = data[0], len = data[1], end = what & 1;
		struct when when = { .frame = ++b->frame };

		data += 2;
		size -= 2;
		if (over[end])
			continue;
		if (what & 2)
			len *= 8;
		switch (what >> 2 & 15) {
		case 0: case 1:
			bottom->ops->hole(bottom, end, what & 0x40 ? 0 : len, HOLE_LOST, &when);
			break;
		case 2:
			bottom->ops->closed(bottom, end, what & 0x40, &when);
			over[end] = true;
			break;
		default: {
			if (len > size)
				len = (unsigned)size;
			uint8_t *exact = malloc(len ? len : 1);	/* reading past it is seen */

			MUST(exact);
			memcpy(exact, data, len);
			bottom->ops->bytes(bottom, end, span_of(exact, len), &when);
			free(exact);
			data += len;
			size -= len;
		}
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct bench bench;
	struct bench *b = &bench;

	if (size < 2 || size > MOST)
		return 0;
	unsigned how = data[0];
	struct decoder_options decoder = { .max_packet = data[1] & 8 ? 100 : 0, .version = data[1] & 4 ? MQTT_5 : data[1] & 2 ? MQTT_3_1_1 : 0 };
	struct mqtt_options options = {
		.decoder = &decoder, .forced = how & 1, .likely = how & 2, .from_start = how & 4, .kept = &b->kept,
		.ends = { { .port = 1 }, { .port = 2 } },
	};
	struct ws_notes notes = { .kept = &b->kept };

	for (unsigned end = 0; end < 2; end++) {
		b->streams[end].len = b->streams[end].n_runs = b->streams[end].told = 0;
		b->last[end] = 0;
	}
	b->listener = (struct mqtt_listener){ opened, introduced, packet, hole, closed, ended };
	b->tap.ops = &tap_ops;
	b->introduced = b->ended = false;
	b->frame = 0;
	b->mqtt = mqtt_stage_new(&b->listener, &options);
	struct stage *bottom = how & 16 ? ws_stage_new(&b->tap, &notes) : &b->tap;
	MUST(b->mqtt && bottom);
	feed(b, bottom, data + 2, size - 2);
	bottom->ops->ended(bottom, &(struct when){ .frame = ++b->frame });
	MUST(!b->mqtt && !b->conversation && b->kept == 0);
	return 0;
}

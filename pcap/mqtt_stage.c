#include "pcap/mqtt_stage.h"

#include <stdlib.h>

struct side {
	uint8_t *bytes;
	size_t len, cap;
	struct when first;
};

struct mqtt {
	struct stage stage;
	struct mqtt_listener *listener;
	struct mqtt_options options;
	struct conversation *c;
	struct side side[2];
	unsigned client;
	bool gave_up;
};

int mqtt_looks_like(struct span b)
{
	if (b.len < 2)
		return b.len && b.at[0] != 0x10 ? 0 : -1;
	if (b.at[0] != 0x10)
		return 0;
	size_t i = 1;
	while (i < 5 && i < b.len && b.at[i] & 0x80)
		i++;
	i++;
	if (b.len < i + 6)
		return -1;
	return !memcmp(b.at + i, "\0\4MQTT", 6) || !memcmp(b.at + i, "\0\6MQIs", 6);
}

static void take_bytes(struct stage *stage, unsigned end, struct span bytes, const struct when *when)
{
	struct mqtt *m = (struct mqtt *)stage;
	struct side *s = &m->side[end];

	if (m->gave_up)
		return;
	s->bytes = realloc(s->bytes, s->len + bytes.len);
	if (!s->bytes)
		abort();
	if (!s->len)
		s->first = *when;
	memcpy(s->bytes + s->len, bytes.at, bytes.len);
	s->len += bytes.len;
	while (s->len) {
		struct seen_packet p = { .when = *when, .first = s->first, .sure = true, .confidence = 100 };
		if (frame_next(s->bytes, s->len, &p.frame, &p.finding) != FRAME_OK)
			return;
		p.bytes = span_of(s->bytes, p.frame.size);
		p.status = decode(s->bytes, p.frame.size, m->c ? m->c->version : MQTT_3_1_1, &p.packet, &p.finding);
		if (!m->c) {
			if (p.status != CODEC_OK || p.packet.type != CONNECT || !(m->c = m->listener->opened(m->listener, when))) {
				m->gave_up = true;
				return;
			}
			m->client = end;
			m->c->version = p.packet.version;
			m->c->version_known = m->c->from_start = m->c->roles_known = true;
			m->c->client = m->options.ends[end];
			m->c->broker = m->options.ends[!end];
			m->c->via = m->options.via;
			uint8_t *id = malloc(p.packet.client_id.len + 1);
			memcpy(id, p.packet.client_id.at, p.packet.client_id.len);
			m->c->client_id = span_of(id, p.packet.client_id.len);
			m->listener->introduced(m->listener, m->c, when);
		}
		p.from = end == m->client ? FROM_CLIENT : FROM_SERVER;
		p.conversation = m->c;
		p.topic = p.packet.topic;
		m->listener->packet(m->listener, &p);
		memmove(s->bytes, s->bytes + p.frame.size, s->len -= p.frame.size);
		s->first = *when;
	}
}

static void take_hole(struct stage *stage, unsigned end, uint64_t len, enum hole_why why, const struct when *when)
{
	(void)stage, (void)end, (void)len, (void)why, (void)when;
}

static void take_closed(struct stage *stage, unsigned end, bool reset, const struct when *when)
{
	struct mqtt *m = (struct mqtt *)stage;

	if (m->c)
		m->listener->closed(m->listener, m->c, end == m->client ? FROM_CLIENT : FROM_SERVER, reset, when);
}

static void take_end(struct stage *stage, const struct when *when)
{
	struct mqtt *m = (struct mqtt *)stage;

	if (m->c) {
		uint8_t *id = (uint8_t *)m->c->client_id.at;
		m->listener->ended(m->listener, m->c, when);
		free(id);
	}
	free(m->side[0].bytes);
	free(m->side[1].bytes);
	free(m);
}

static const struct stage_ops ops = { take_bytes, take_hole, take_closed, take_end };

struct stage *mqtt_stage_new(struct mqtt_listener *listener, const struct mqtt_options *options)
{
	struct mqtt *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	m->stage.ops = &ops;
	m->listener = listener;
	m->options = *options;
	return &m->stage;
}

bool mqtt_stage_gave_up(const struct stage *stage)
{
	return ((const struct mqtt *)stage)->gave_up;
}

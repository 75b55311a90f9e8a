#include "fuzz/network/finding_internal.h"

/* A finding's title: what showed, and after what; no more than the moves tell. */

/* ---- what showed ---- */

static void put(struct writer *w, const char *text)
{
	wr_text(w, text);
}

static void put_number(struct writer *w, unsigned n)
{
	char digits[16];

	snprintf(digits, sizeof(digits), "%u", n);
	wr_text(w, digits);
}

/* The bucket's own words, without the outer frames, the first letter large. */
static void put_bucket(struct writer *w, const struct symptom *s)
{
	size_t len = strcspn(s->bucket, "<");

	if (len && *s->bucket >= 'a' && *s->bucket <= 'z')
		wr_u8(w, (unsigned)(*s->bucket - 'a' + 'A'));
	else if (len)
		wr_u8(w, (uint8_t)*s->bucket);
	if (len > 1)
		wr_bytes(w, span_of(s->bucket + 1, len - 1));
}

static void put_symptom(struct writer *w, const struct symptom *s)
{
	switch (s->oracle) {
	case ORACLE_DEATH:     put(w, "Death"); break;
	case ORACLE_LIVENESS:  put(w, "No service"); break;
	case ORACLE_LATENCY:   put(w, "Slow answers"); break;
	case ORACLE_MEMORY:    put(w, "Memory that stays taken"); break;
	case ORACLE_CPU:       put(w, "Busy without being asked"); break;
	case ORACLE_BYSTANDER: put(w, "A bystander noticed"); break;
	case ORACLE_RULE:
		put(w, "Rule ");
		put(w, s->version == MQTT_3_1 ? "3.1:" : s->version == MQTT_3_1_1 ? "3.1.1:" : "5:");
		put(w, s->clause);
		put(w, " broken");
		break;
	default:
		put_bucket(w, s);
	}
	if (s->oracle == ORACLE_BYSTANDER && !strncmp(s->bucket, "bystander ", 10)) {
		put(w, " (");
		put(w, s->bucket + 10);
		put(w, ")");
	}
}

/* ---- after what ---- */

struct client_view {
	bool open, connected;
	struct span client_id;
	uint16_t qos2[16];		/* ids of its flows that are open */
	uint32_t n_qos2;
};

struct view {
	struct client_view clients[MOVES_CLIENTS];
	unsigned n_clients, n_packets;
	unsigned counts[N_PACKET_TYPES];	/* of those that are no plain CONNECT */
	unsigned n_told;			/* their sum */
	bool takeover, in_flow;
	char last[120], before[120];		/* the last packet, and the last but one of another type */
	uint8_t last_type;
};

static unsigned count_filters(const struct packet *p)
{
	struct filter_walk walk = filters_of(p);
	struct span filter;
	uint8_t options;
	unsigned n = 0;

	while (filter_next(&walk, &filter, &options))
		n++;
	return n;
}

/* The first two kinds of property; of one that stands often how often. */
static void put_properties(struct writer *w, struct span list, bool will)
{
	struct property_walk walk = properties_of(list);
	struct property p;
	unsigned counts[PROPERTY_ID_MAX + 1] = { 0 }, n = 0;

	while (property_next(&walk, &p))
		counts[p.id]++;
	for (unsigned id = 0; id <= PROPERTY_ID_MAX && n < 2; id++) {
		if (!counts[id])
			continue;
		put(w, n++ ? " and " : " with ");
		if (counts[id] > 1) {
			put_number(w, counts[id]);
			put(w, " x ");
		}
		put(w, field_of_property(id, will)->name);
	}
}

static bool is_flow_open(const struct client_view *c, uint16_t id)
{
	for (uint32_t i = 0; i < c->n_qos2; i++)
		if (c->qos2[i] == id)
			return true;
	return false;
}

static void put_details(struct writer *w, const struct packet *p, const struct client_view *c)
{
	char text[80];

	switch (p->type) {
	case PUBLISH:
		if (publish_qos(p)) {
			snprintf(text, sizeof(text), " of QoS %u", publish_qos(p));
			put(w, text);
		}
		if (p->payload.len > 100 || p->topic.len > 100) {
			bool topic = p->topic.len > p->payload.len;

			snprintf(text, sizeof(text), " with %s of %zu bytes", topic ? "a topic" : "a payload", topic ? p->topic.len : p->payload.len);
			put(w, text);
		}
		break;
	case SUBSCRIBE: case UNSUBSCRIBE:
		if (count_filters(p) != 1) {
			snprintf(text, sizeof(text), " with %u filters", count_filters(p));
			put(w, text);
		}
		break;
	case PUBREL:
		if (!is_flow_open(c, p->packet_id))
			put(w, " with an unknown id");
		break;
	case CONNECT:
		if (p->connect_flags & CONNECT_WILL)
			put(w, " with a will");
		break;
	default:
		break;
	}
	put_properties(w, p->properties, false);
	put_properties(w, p->will_properties, true);
}

static void put_offence(struct writer *w, const struct packet *p)
{
	struct finding finding;

	if (check(p, FROM_CLIENT, &finding) == CODEC_OK)
		return;
	put(w, " (wrong");
	if (finding.field) {
		put(w, " ");
		put(w, finding.field);
	}
	put(w, ")");
}

static void note_flow(struct client_view *c, const struct packet *p)
{
	if (p->type == PUBLISH && publish_qos(p) == 2 && !is_flow_open(c, p->packet_id) && c->n_qos2 < 16)
		c->qos2[c->n_qos2++] = p->packet_id;
	for (uint32_t i = 0; p->type == PUBREL && i < c->n_qos2; i++)
		if (c->qos2[i] == p->packet_id)
			c->qos2[i--] = c->qos2[--c->n_qos2];
}

/* Whether it takes over what another has open. */
static bool note_connect(struct view *v, struct client_view *c, const struct packet *p)
{
	bool takes_over = false;

	for (struct client_view *other = v->clients; other < v->clients + MOVES_CLIENTS; other++)
		if (other != c && other->open && other->connected && p->client_id.len && span_equal(other->client_id, p->client_id)) {
			v->takeover = true;	/* the story begins with it */
			v->in_flow = other->n_qos2 > 0;
			v->n_told = v->last_type = 0;
			memset(v->counts, 0, sizeof(v->counts));
			memcpy(c->qos2, other->qos2, sizeof(c->qos2));
			c->n_qos2 = other->n_qos2;
			other->connected = false;
			takes_over = true;
		}
	c->connected = true;
	c->client_id = p->client_id;
	return takes_over;
}

static void tell(struct view *v, unsigned type, const char *text)
{
	if (v->last_type && v->last_type != type)
		memcpy(v->before, v->last, sizeof(v->before));
	snprintf(v->last, sizeof(v->last), "%s", text);
	v->last_type = (uint8_t)type;
	v->counts[type]++;
	v->n_told++;
}

/* A CONNECT that is as usual sets up: it is not told. */
static bool is_usual(const struct packet *p, bool again)
{
	struct finding finding;

	return p->type == CONNECT && !again && !(p->connect_flags & CONNECT_WILL) && !p->properties.len && check(p, FROM_CLIENT, &finding) == CODEC_OK;
}

static void look_at(struct view *v, const struct moves *m, uint32_t i, struct span bytes)
{
	struct client_view *c = &v->clients[m->at[i].client % MOVES_CLIENTS];
	enum version version = moves_version(m, i, m->at[i].client);
	struct finding finding;
	struct packet p;
	char text[120];
	struct writer w = writer_to(text, sizeof(text) - 1);
	unsigned type = bytes.at[0] >> 4;

	v->n_packets++;
	if (decode(bytes.at, bytes.len, version, &p, &finding) != CODEC_OK) {
		put(&w, type ? packet_name((enum packet_type)type) : "a packet of type 0");
		put(&w, " that cannot be read");
		text[w.len < w.cap ? w.len : w.cap] = '\0';
		tell(v, type, text);
		return;
	}
	bool again = c->connected, usual = is_usual(&p, again);

	if (p.type == CONNECT && note_connect(v, c, &p))
		usual = true;
	put(&w, p.type == CONNECT && again ? "a second CONNECT" : packet_name((enum packet_type)p.type));
	put_details(&w, &p, c);
	put_offence(&w, &p);
	text[w.len < w.cap ? w.len : w.cap] = '\0';
	note_flow(c, &p);
	if (!usual)
		tell(v, p.type, text);
}

static void look(struct view *v, const struct moves *m)
{
	unsigned seen = 0;

	for (uint32_t i = 0; i < m->n; i++) {
		struct client_view *c = &v->clients[m->at[i].client % MOVES_CLIENTS];
		struct span left = m->at[i].bytes;
		struct frame frame;
		struct finding finding;

		if (m->at[i].kind == MOVE_OPEN) {
			*c = (struct client_view){ .open = true };
			seen |= 1u << m->at[i].client % MOVES_CLIENTS;
		}
		if (m->at[i].kind == MOVE_DROP || m->at[i].kind == MOVE_CLOSE)
			c->open = false;
		if (!move_sends(&m->at[i]) || !c->open)
			continue;
		for (; left.len && frame_next(left.at, left.len, &frame, &finding) == FRAME_OK; left = span_of(left.at + frame.size, left.len - frame.size))
			look_at(v, m, i, span_of(left.at, frame.size));
		if (left.len)
			tell(v, left.at[0] >> 4, "bytes that are no whole packet");
	}
	for (; seen; seen &= seen - 1)
		v->n_clients++;
}

static void put_stimulus(struct writer *w, const struct view *v)
{
	unsigned n_types = 0;

	for (unsigned type = 0; type < N_PACKET_TYPES; type++)
		n_types += v->counts[type] > 0;
	if (v->takeover) {
		put(w, " after a takeover");
		if (v->in_flow)
			put(w, " inside an open QoS 2 flow");
		if (v->n_told)
			put(w, ", then ");
	} else if (v->n_told) {
		put(w, v->n_told == 1 ? " by " : " after ");
	} else if (v->n_packets) {
		put(w, " after CONNECT");
	} else {
		put(w, " after connections without a packet");
	}
	if (n_types == 2) {
		put(w, v->before);
		put(w, ", then ");
	}
	if (v->n_told)
		put(w, v->last);
	if (n_types == 1 && v->n_told > 1) {
		put(w, " sent ");
		put_number(w, v->n_told);
		put(w, " times");
	} else if (n_types > 2) {
		put(w, ", the last of ");
		put_number(w, v->n_packets);
		put(w, " packets");
	}
	if (v->n_clients > 1) {
		put(w, ", ");
		put_number(w, v->n_clients);
		put(w, " clients");
	}
}

void finding_title(const struct finding_file *f, char *title, size_t cap)
{
	char text[400], shown[400];
	struct writer w = writer_to(text, sizeof(text) - 1);
	struct view v = { .n_clients = 0 };

	look(&v, f->moves);
	put_symptom(&w, f->symptom);
	put_stimulus(&w, &v);
	text[w.len < w.cap ? w.len : w.cap] = '\0';
	size_t len = (size_t)snprintf(title, cap, "%s", finding_line(text, shown, sizeof(shown)));
	while (len >= cap && strlen(title) && title[strlen(title) - 1] & 0x80)	/* no half of a character */
		title[strlen(title) - 1] = '\0';
}

#include "harness/tests/puppet.h"

#include <errno.h>
#include <stdlib.h>

#include "codec/codec.h"

struct puppet {
	struct service service;
	struct loop *loop;
	const struct puppet_row *rows;
	unsigned applied[64];
	struct string *strings;
};

struct string {			/* one connection */
	struct string *next;
	struct puppet *puppet;
	struct transport *t;
	struct timer timer;
	struct task reaper;
	const struct puppet_row *later, *flood;
	uint8_t in[70000];
	size_t len;
	uint8_t version;
	bool deaf;
};

static const struct puppet_row *part;

static void say(struct string *s, const char *hex)
{
	uint8_t bytes[4096];
	size_t n = 0;

	for (; hex && *hex; hex++) {
		char two[3] = { hex[0], hex[1], 0 };

		if (*hex == ' ')
			continue;
		bytes[n++] = (uint8_t)strtoul(two, NULL, 16);
		hex++;
	}
	if (n)
		s->t->ops->send(s->t, bytes, n);
}

static void reap(struct task *task, struct loop *loop)
{
	(void)loop;
	free((char *)task - offsetof(struct string, reaper));
}

static void cut(struct string *s, bool reset)
{
	struct string **at = &s->puppet->strings;

	while (*at != s)
		at = &(*at)->next;
	*at = s->next;
	loop_timer_stop(s->puppet->loop, &s->timer);
	s->t->ops->close(s->t, reset);
	s->t = NULL;
	s->reaper.run = reap;
	loop_reap(s->puppet->loop, &s->reaper);
}

static void answer(struct string *s, const struct packet *p)
{
	struct packet a = { .version = s->version, .packet_id = p->packet_id };
	uint8_t room[4096], codes[1024];
	struct writer w = writer_to(room, sizeof(room));
	struct filter_walk walk = filters_of(p);
	struct span filter;
	uint8_t options;

	switch (p->type) {
	case CONNECT:     a.type = CONNACK; break;
	case PUBLISH:
		if (!publish_qos(p))
			return;
		a.type = publish_qos(p) == 1 ? PUBACK : PUBREC;
		break;
	case PUBREC:      a.type = PUBREL; a.flags = 2; break;
	case PUBREL:      a.type = PUBCOMP; break;
	case SUBSCRIBE: case UNSUBSCRIBE:
		a.type = p->type == SUBSCRIBE ? SUBACK : UNSUBACK;
		a.list.at = codes;
		while (filter_next(&walk, &filter, &options))
			codes[a.list.len++] = options & 3;
		break;
	case PINGREQ:     a.type = PINGRESP; break;
	default: return;
	}
	encode(&a, NULL, &w);
	s->t->ops->send(s->t, room, w.len);
}

/* False: the connection is gone. */
static bool act(struct string *s, unsigned type, const struct packet *p)
{
	struct puppet *puppet = s->puppet;

	for (unsigned i = 0; puppet->rows && puppet->rows[i].act != PUPPET_END; i++) {
		const struct puppet_row *row = &puppet->rows[i];

		if (row->on != type || (row->times && puppet->applied[i] >= row->times))
			continue;
		puppet->applied[i]++;
		switch (row->act) {
		case PUPPET_SAY:   say(s, row->hex); return true;
		case PUPPET_ALSO:  answer(s, p); say(s, row->hex); return true;
		case PUPPET_LATER: s->later = row; loop_timer(puppet->loop, &s->timer, puppet->loop->now_ns + row->ms * UINT64_C(1000000)); return true;
		case PUPPET_FLOOD: s->flood = row; loop_timer(puppet->loop, &s->timer, puppet->loop->now_ns); return true;
		case PUPPET_CLOSE: say(s, row->hex); cut(s, false); return false;
		case PUPPET_DEAF:  answer(s, p); s->t->ops->pause(s->t, true); s->deaf = true; return true;
		case PUPPET_RESET: cut(s, true); return false;
		case PUPPET_END: break;
		}
	}
	if (p)
		answer(s, p);
	return true;
}

static void on_event(struct transport *t, unsigned events)
{
	struct string *s = t->owner;

	if (!(events & TRANSPORT_READABLE) || s->deaf)
		return;
	while (!s->deaf) {
		ssize_t n = t->ops->recv(t, s->in + s->len, sizeof(s->in) - s->len);

		if (n == -EAGAIN)
			return;
		if (n <= 0) {
			cut(s, false);
			return;
		}
		s->len += (size_t)n;
		struct frame frame;
		struct finding finding;
		while (frame_next(s->in, s->len, &frame, &finding) == FRAME_OK) {
			struct packet p;
			bool readable = decode(s->in, frame.size, s->version, &p, &finding) == CODEC_OK;

			if (readable && p.type == CONNECT)
				s->version = p.version;
			if (!act(s, s->in[0] >> 4, readable ? &p : NULL))
				return;
			s->len -= frame.size;
			memmove(s->in, s->in + frame.size, s->len);
		}
	}
}

static void on_timer(struct timer *timer, struct loop *loop)
{
	struct string *s = (struct string *)((char *)timer - offsetof(struct string, timer));

	if (s->later)
		say(s, s->later->hex);
	s->later = NULL;
	if (s->flood) {
		for (int i = 0; i < 100; i++)
			say(s, s->flood->hex);
		loop_timer(loop, &s->timer, loop->now_ns + 1000);
	}
}

static void accepted(struct service *service, struct transport *t)
{
	struct puppet *puppet = (struct puppet *)((char *)service - offsetof(struct puppet, service));
	struct string *s = calloc(1, sizeof(*s));

	if (!s)
		abort();
	*s = (struct string){ .next = puppet->strings, .puppet = puppet, .t = t, .version = MQTT_3_1_1, .timer.fire = on_timer };
	puppet->strings = s;
	t->owner = s;
	t->event = on_event;
	act(s, 0, NULL);
}

void puppet_play(const struct puppet_row *rows)
{
	part = rows;
}

static void *start(struct loop *loop, const struct need *needs, size_t n_needs, const unsigned *faults, size_t n_faults,
                   uint64_t seed, struct local_service *service, const char **why)
{
	struct puppet *puppet = calloc(1, sizeof(*puppet));

	(void)needs, (void)n_needs, (void)faults, (void)n_faults, (void)seed, (void)why;
	if (!puppet)
		abort();
	puppet->service.accepted = accepted;
	puppet->loop = loop;
	puppet->rows = part;
	service->services[WAY_TCP] = &puppet->service;
	return puppet;
}

static void stop(void *broker)
{
	struct puppet *puppet = broker;

	while (puppet->strings)
		cut(puppet->strings, true);
	loop_settle(puppet->loop);
	free(puppet);
}

static bool no_fault(size_t number, struct local_fault *fault)
{
	(void)number, (void)fault;
	return false;
}

static int no_faults(const char *text, unsigned *numbers, size_t cap)
{
	(void)text, (void)numbers, (void)cap;
	return 0;
}

const struct local_broker puppet_broker = { .start = start, .stop = stop, .fault = no_fault, .faults_named = no_faults };

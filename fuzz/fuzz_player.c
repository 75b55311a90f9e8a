#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "codec/codec.h"
#include "codec/fields.h"
#include "fuzz/input.h"
#include "fuzz/must.h"
#include "fuzz/network/player.h"

/*
 * The player against a broker that says whatever the input says, on simulated time: its cases come to their end in their time, once, and what is told of them goes together.
 *
 * The first byte says how it is played, the next two how many bytes are the case's moves, in big endian; the rest is the broker's: for each packet that comes one byte says how
 * it is answered. Behind the input's end all is answered rightly, as far as one can who routes nothing.
 */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { HOW_WEBSOCKET = 1, HOW_SPLIT = 2, HOW_USER = 4, HOW_TWICE = 8, HOW_ABANDON = 16, HOW_SLOW = 32 };
enum { PEERS = 16, LATER = 16, MOST_READ = 4096, MOST_SAID = 1 << 16 };

#define MS UINT64_C(1000000)
#define PATIENCE_NS (50 * MS)
#define LONGEST_NS (2000 * MS)

struct peer {
	struct transport *t;		/* NULL: this place is free */
	size_t len;
	unsigned serial;
	uint8_t version;
	uint8_t in[MOST_READ];
};

struct later {
	struct timer timer;		/* .fire NULL: this place is free */
	struct peer *peer;
	unsigned serial;
	size_t len;
	uint8_t bytes[64];
};

static struct loop loop;
static struct service service;
static struct input in;
static struct peer peers[PEERS];
static struct later later[LATER];
static unsigned n_accepted, refuses;
static size_t n_said;

/* ---- the broker ---- */

static void hang_up(struct peer *p, bool reset)
{
	if (p->t)
		p->t->ops->close(p->t, reset);
	p->t = NULL;
}

static void say(struct peer *p, const uint8_t *bytes, size_t len)
{
	n_said += len;
	if (n_said > MOST_SAID)			/* it ends, whatever the input repeats */
		hang_up(p, true);
	while (p->t && len) {
		ssize_t n = p->t->ops->send(p->t, bytes, len);

		if (n <= 0) {
			hang_up(p, true);
			return;
		}
		bytes += n;
		len -= (size_t)n;
	}
}

static void on_later(struct timer *timer, struct loop *l)
{
	struct later *what = (struct later *)((char *)timer - offsetof(struct later, timer));

	(void)l;
	what->timer.fire = NULL;
	if (what->peer->serial == what->serial)
		say(what->peer, what->bytes, what->len);
}

static void say_later(struct peer *p, const uint8_t *bytes, size_t len)
{
	uint64_t delay_ns = take(&in) * MS;

	for (struct later *what = later; what < later + LATER; what++)
		if (!what->timer.fire) {
			*what = (struct later){ .timer.fire = on_later, .peer = p, .serial = p->serial, .len = len < sizeof(what->bytes) ? len : sizeof(what->bytes) };
			memcpy(what->bytes, bytes, what->len);
			loop_timer(&loop, &what->timer, loop.now_ns + delay_ns);
			return;
		}
}

/* 0: nothing answers it. */
static size_t write_answer(const struct peer *p, const struct packet *packet, unsigned reason, uint8_t *room, size_t cap)
{
	static const uint8_t answers[N_PACKET_TYPES] = {
		[CONNECT] = CONNACK, [PUBREC] = PUBREL, [PUBREL] = PUBCOMP, [SUBSCRIBE] = SUBACK, [UNSUBSCRIBE] = UNSUBACK, [PINGREQ] = PINGRESP,
	};
	struct packet answer = { .version = p->version, .type = answers[packet->type], .packet_id = packet->packet_id, .reason = (uint8_t)reason };
	struct filter_walk walk = filters_of(packet);
	struct writer w = writer_to(room, cap);
	struct span filter;
	uint8_t codes[64], options;

	if (packet->type == PUBLISH && publish_qos(packet))
		answer.type = publish_qos(packet) == 1 ? PUBACK : PUBREC;
	if (!answer.type)
		return 0;
	if (answer.type == PUBREL)
		answer.flags = 2;
	if (reason && p->version == MQTT_5)
		answer.written = WRITTEN_REASON;
	for (size_t n = 0; n < sizeof(codes) && filter_next(&walk, &filter, &options); n++) {
		codes[n] = (uint8_t)reason;
		answer.list = span_of(codes, answer.type == SUBACK || p->version == MQTT_5 ? n + 1 : 0);
	}
	return encode(&answer, NULL, &w) == CODEC_OK && wr_fits(&w) ? w.len : 0;
}

/* Bytes of the input, which may be any packet or a part of one, to this or another client. */
static void say_input(struct peer *p)
{
	unsigned how = take(&in);
	size_t len = how & 0x3f;

	if (how & 0x80)
		p = &peers[how & 7];
	len = len < left(&in) ? len : left(&in);
	in.at += len;
	say(p, in.at - len, len);
}

static void answer(struct peer *p, const struct packet *packet)
{
	uint8_t bytes[128];
	unsigned how = take(&in);
	size_t len = write_answer(p, packet, (how & 0xf) == 1 ? take(&in) : 0, bytes, sizeof(bytes));

	switch (how & 0xf) {
	case 2:
		break;
	case 3:
		say(p, bytes, len);
		say(p, bytes, len);
		break;
	case 4:
		say_later(p, bytes, len);
		break;
	case 5:
		say_input(p);
		break;
	case 6:
		say(p, bytes, len);
		say_input(p);
		break;
	case 7:
		if (len)
			bytes[take(&in) % len] ^= (uint8_t)(1 << (how >> 4 & 7));
		say(p, bytes, len);
		break;
	case 8:
		hang_up(p, how & 0x10);
		break;
	case 9:
		say(p, bytes, len);
		if (p->t)
			p->t->ops->finish(p->t);
		break;
	case 10:
		p->t->ops->pause(p->t, true);
		break;
	case 11:
		refuses = how >> 4;
		say(p, bytes, len);
		break;
	default:
		say(p, bytes, len);
	}
}

/* What cannot be read has its byte of the input too: it is answered as PINGREQ is. */
static void read_packets(struct peer *p)
{
	size_t taken = 0;
	struct frame frame;
	struct finding finding;
	enum frame_status status = FRAME_MORE;

	while (p->t && (status = frame_next(p->in + taken, p->len - taken, &frame, &finding)) == FRAME_OK) {
		struct packet packet;

		if (decode(p->in + taken, frame.size, (enum version)p->version, &packet, &finding) != CODEC_OK)
			packet = (struct packet){ .type = PINGREQ };
		if (packet.type == CONNECT)
			p->version = packet.version;
		taken += frame.size;
		answer(p, &packet);
	}
	if (status == FRAME_BAD || (taken == 0 && p->len == sizeof(p->in)))
		p->len = taken = 0;
	p->len -= taken;
	memmove(p->in, p->in + taken, p->len);
}

static void on_peer(struct transport *t, unsigned events)
{
	struct peer *p = t->owner;

	while (events & TRANSPORT_READABLE && p->t == t) {
		ssize_t n = t->ops->recv(t, p->in + p->len, sizeof(p->in) - p->len);

		if (n == -EAGAIN)
			return;
		if (n <= 0) {
			hang_up(p, false);
			return;
		}
		p->len += (size_t)n;
		read_packets(p);
	}
}

static void on_accepted(struct service *s, struct transport *t)
{
	struct peer *p = peers;

	(void)s;
	while (p < peers + PEERS && p->t)
		p++;
	if (refuses || p == peers + PEERS) {
		refuses -= refuses > 0;
		t->ops->close(t, true);
		return;
	}
	*p = (struct peer){ .t = t, .serial = ++n_accepted, .version = MQTT_3_1_1 };
	t->event = on_peer;
	t->owner = p;
}

/* ---- the cases ---- */

static struct moves moves, did;
static uint64_t most_ns;
static unsigned n_playing;

/* Each move waits for patience at most, be it for two reasons in turn; a connection, the first that does not open, for longer. */
static uint64_t longest(void)
{
	uint64_t ns = 2 * (moves.n + 1) * PATIENCE_NS + 1500 * MS;

	for (uint32_t i = 0; i < moves.n; i++)
		if (moves.at[i].kind == MOVE_WAIT || moves.at[i].kind == MOVE_PAUSE)
			ns += LONGEST_NS;
	return ns;
}

static void judge(const struct played *played)
{
	bool shows = played->symptom.oracle == ORACLE_RULE;

	MUST(shows || played->symptom.oracle == ORACLE_NONE);
	MUST(shows == (played->symptom.bucket[0] != '\0'));
	MUST(shows == (played->symptom.clause[0] != '\0') && shows == (played->symptom.text[0] != '\0'));
	MUST(played->n_answers <= sizeof(played->answers) / sizeof(*played->answers));
	for (unsigned i = 1; i < played->n_answers; i++)
		MUST(played->answers[i - 1] < played->answers[i]);
	MUST(played->took_ns <= most_ns);
	MUST(played->slowest_ns <= played->took_ns);
}

static void on_done(void *context, const struct played *played)
{
	unsigned *serial = context;

	MUST(played->number == *serial);
	judge(played);
	if (!--n_playing)
		loop_stop(&loop);
}

static void on_abandon(struct timer *timer, struct loop *l)
{
	(void)timer;
	loop_stop(l);
}

static void judge_did(void)
{
	MUST(did.n <= moves.n);
	for (uint32_t i = 0; i < did.n; i++) {
		const struct move *move = &did.at[i];

		MUST(move->kind != MOVE_STEER && move->kind != MOVE_LIMITS);
		MUST(move->kind != MOVE_ANSWER || (move->value % N_ANSWERS == ANSWER_RIGHT && move->bytes.len));
		MUST(!move_sends(move) || move->bytes.len);
		MUST(!move->bytes.len || (move->bytes.at >= did.room && move->bytes.at + move->bytes.len <= did.room + did.used));
	}
}

static void play(unsigned how)
{
	struct address address = { .kind = ADDRESS_MEMORY, .service = &service };
	struct player_options options = { .loop = &loop, .address = &address, .patience_ns = PATIENCE_NS, .longest_wait_ns = LONGEST_NS };
	struct timer abandon = { .fire = on_abandon };
	unsigned numbers[2] = { 1, 2 };

	address.layers.websocket = service.layers.websocket = how & HOW_WEBSOCKET;
	service.options.split_seed = how & HOW_SPLIT ? 7 : 0;
	service.options.delay_ns = how & HOW_SLOW ? 20 * MS : 0;
	if (how & HOW_USER) {
		options.user_name = span_text("user");
		options.password = span_text("password");
	}
	struct player *player = player_new(&options);
	for (unsigned i = 0; i < (how & HOW_TWICE ? 2 : 1); i++) {
		n_playing++;
		player_play(player, &moves, numbers[i], NULL, i ? NULL : &did, on_done, &numbers[i]);
	}
	if (how & HOW_ABANDON)
		loop_timer(&loop, &abandon, loop.now_ns + (how >> 6) * 25 * MS);
	loop_run(&loop);
	MUST(how & HOW_ABANDON || (!n_playing && !player_busy(player)));
	loop_timer_stop(&loop, &abandon);
	player_free(player);
	judge_did();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input head = { data, data + size };
	unsigned how = take(&head);
	size_t len = take(&head) << 8;

	len |= take(&head);
	len = len < left(&head) ? len : left(&head);
	moves_read(&moves, span_of(head.at, len));
	most_ns = longest();
	in = (struct input){ head.at + len, head.end };
	service = (struct service){ .accepted = on_accepted };
	memset(peers, 0, sizeof(peers));
	n_accepted = refuses = n_playing = 0;
	n_said = 0;
	loop_init(&loop, true);
	play(how);
	for (struct peer *p = peers; p < peers + PEERS; p++)
		hang_up(p, true);
	for (struct later *what = later; what < later + LATER; what++) {
		loop_timer_stop(&loop, &what->timer);
		what->timer.fire = NULL;
	}
	loop_settle(&loop);
	loop_release(&loop);
	return 0;
}

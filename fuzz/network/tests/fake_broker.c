/*
 * A broker on TCP that does what it should, for the reference broker does it behind it, until somebody sends what it waits for; then it does one thing that an
 * oracle of `mqassay fuzz` is there to see. For tests of the oracles, the campaign and of what is written of its findings.
 *
 *	fake_broker --port N --when TRIGGER --does WHAT
 *
 * Ends in order on SIGTERM.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "codec/codec.h"
#include "codec/fields.h"
#include "reference-broker/server.h"

enum { LATE_NS = 250000000, GROWS = 64 << 10, MOST_QUEUED = 1 << 22 };

enum trigger { WHEN_NEVER, WHEN_ALIAS, WHEN_TOPIC, WHEN_TAKEOVER, WHEN_UNSUBSCRIBE, WHEN_CONNECTED, WHEN_TWICE };
enum deed {
	DOES_NOTHING, DOES_ABORT, DOES_EXIT, DOES_OVERRUN, DOES_HANG, DOES_ANSWER_LATE, DOES_GROW, DOES_LEAK, DOES_SPIN, DOES_BREAK, DOES_BREAK_FORM, DOES_DROP, DOES_DOUBLE, DOES_CLOSE,
	DOES_REPORT,
};

static const struct word {
	const char *name;
	int what;
	const char *says;
} triggers[] = {
	{ "never", WHEN_NEVER, "nothing" },
	{ "alias", WHEN_ALIAS, "a PUBLISH with topic alias 65535" },
	{ "topic", WHEN_TOPIC, "a PUBLISH to a topic with \"zz\" in it" },
	{ "takeover", WHEN_TAKEOVER, "a CONNECT with a client id that another connection has" },
	{ "unsubscribe", WHEN_UNSUBSCRIBE, "an UNSUBSCRIBE behind a PUBLISH of QoS 2 on one connection" },
	{ "connected", WHEN_CONNECTED, "a second CONNECT on one connection" },
	{ "qos2", WHEN_TWICE, "a PUBLISH of QoS 2 behind a CONNECT" },
}, acts[] = {
	{ "nothing", DOES_NOTHING, "goes on" },
	{ "aborts", DOES_ABORT, "dies of SIGABRT" },
	{ "exits", DOES_EXIT, "exits with 7" },
	{ "overruns", DOES_OVERRUN, "reads past the end of a block: dies of it where AddressSanitizer is built in" },
	{ "hangs", DOES_HANG, "does nothing any more" },
	{ "late", DOES_ANSWER_LATE, "answers everybody 250 ms late from then on" },
	{ "grows", DOES_GROW, "keeps another 64 KiB" },
	{ "leaks", DOES_LEAK, "forgets a block, which LeakSanitizer tells at the end" },
	{ "spins", DOES_SPIN, "computes all the time, and serves" },
	{ "breaks", DOES_BREAK, "acknowledges an id that is not in use, on another connection too" },
	{ "malforms", DOES_BREAK_FORM, "sends a SUBACK with reserved flags set" },
	{ "drops", DOES_DROP, "loses the next delivery to everybody else" },
	{ "doubles", DOES_DOUBLE, "makes the next delivery to everybody else twice" },
	{ "closes", DOES_CLOSE, "closes all other connections" },
	{ "reports", DOES_REPORT, "writes a report of AddressSanitizer, and goes on" },
};

enum { N_TRIGGERS = sizeof(triggers) / sizeof(triggers[0]), N_ACTS = sizeof(acts) / sizeof(acts[0]) };

struct queue {			/* bytes that wait to be written */
	uint8_t *at;
	size_t len, cap;
};

struct relay {			/* a client's connection, and the one behind it to the broker */
	struct fake *fake;
	struct relay *next;
	struct transport *client, *broker;
	struct queue to_client, to_broker;
	struct queue from_client, from_broker;	/* of an unfinished packet */
	struct timer later;			/* when what is late is written */
	struct task reaper;
	uint8_t version;
	uint64_t client_id;			/* its hash; 0 before CONNECT */
	bool greeted, published, dead, broker_closed;
	bool drops, doubles;			/* the next delivery to it */
};

struct fake {
	struct loop loop;
	struct server *server;
	struct address inside;
	struct relay *relays;
	int when, does;
	bool late, spins;
	struct task spin;
	struct watch stop;
	void **kept;
	size_t n_kept;
};

static void *must(void *p)
{
	if (!p)
		abort();
	return p;
}

static void queue_put(struct queue *q, const void *bytes, size_t len)
{
	if (q->len + len > q->cap) {
		q->cap = (q->len + len) * 2;
		q->at = must(realloc(q->at, q->cap));
	}
	memcpy(q->at + q->len, bytes, len);
	q->len += len;
}

static void queue_take(struct queue *q, size_t len)
{
	q->len -= len;
	memmove(q->at, q->at + len, q->len);
}

/* ---- relays ---- */

static void reap(struct task *task, struct loop *loop)
{
	struct relay *r = (struct relay *)((char *)task - offsetof(struct relay, reaper));

	(void)loop;
	free(r->to_client.at);
	free(r->to_broker.at);
	free(r->from_client.at);
	free(r->from_broker.at);
	free(r);
}

static void end(struct relay *r, bool reset)
{
	struct relay **at = &r->fake->relays;

	if (r->dead)
		return;
	r->dead = true;
	while (*at != r)
		at = &(*at)->next;
	*at = r->next;
	loop_timer_stop(&r->fake->loop, &r->later);
	r->client->ops->close(r->client, reset);
	r->broker->ops->close(r->broker, reset);
	r->reaper.run = reap;
	loop_reap(&r->fake->loop, &r->reaper);
}

/* False: the connection has failed. */
static bool flush(struct transport *t, struct queue *q)
{
	while (q->len) {
		ssize_t n = t->ops->send(t, q->at, q->len);

		if (n == -EAGAIN)
			return true;
		if (n < 0)
			return false;
		queue_take(q, (size_t)n);
	}
	return true;
}

static void flush_client(struct relay *r)
{
	if (r->fake->late && r->to_client.len && !r->later.slot)
		loop_timer(&r->fake->loop, &r->later, r->fake->loop.now_ns + LATE_NS);
	else if (!r->fake->late && !flush(r->client, &r->to_client))
		end(r, true);
}

static void on_later(struct timer *timer, struct loop *loop)
{
	struct relay *r = (struct relay *)((char *)timer - offsetof(struct relay, later));

	(void)loop;
	if (!flush(r->client, &r->to_client) || (r->broker_closed && !r->to_client.len))
		end(r, false);
}

/* ---- what it does ---- */

static void spin(struct task *task, struct loop *loop)
{
	struct fake *f = (struct fake *)((char *)task - offsetof(struct fake, spin));

	if (f->spins)
		loop_post(loop, task);
}

static void write_report(void)
{
	const char *options = getenv("ASAN_OPTIONS"), *at = options ? strstr(options, "log_path=") : NULL;
	char path[4096];
	FILE *out = NULL;

	if (at) {
		snprintf(path, sizeof(path), "%.*s.%d", (int)strcspn(at + 9, ":"), at + 9, (int)getpid());
		out = fopen(path, "a");
	}
	fprintf(out ? out : stderr,
	        "=================================================================\n"
	        "==%d==ERROR: AddressSanitizer: heap-buffer-overflow on address 0x602000000011 at pc 0x55d0c0de1234 bp 0x7ffc0ffee000 sp 0x7ffc0ffedff8\n"
	        "READ of size 1 at 0x602000000011 thread T0\n"
	        "    #0 0x55d0c0de1233 in read_alias /src/fake/alias.c:41\n"
	        "    #1 0x55d0c0de2244 in handle_publish /src/fake/publish.c:102\n"
	        "    #2 0x55d0c0de3255 in main /src/fake/main.c:7\n"
	        "SUMMARY: AddressSanitizer: heap-buffer-overflow /src/fake/alias.c:41 in read_alias\n", (int)getpid());
	if (out)
		fclose(out);
	fflush(stderr);
}

static void say(struct relay *r, const char *bytes, size_t len)
{
	queue_put(&r->to_client, bytes, len);
}

static void close_others(struct fake *f, const struct relay *but)
{
	struct relay *next;

	for (struct relay *r = f->relays; r; r = next) {
		next = r->next;
		if (r != but)
			end(r, false);
	}
}

static int overrun(void)
{
	volatile char *block = must(malloc(8));
	volatile size_t at = 8;
	int byte = block[at];

	free((void *)block);
	return byte;
}

static void grow(struct fake *f)
{
	char *block = must(malloc(GROWS));

	memset(block, 1 + (int)f->n_kept, GROWS);
	f->kept = must(realloc(f->kept, (f->n_kept + 1) * sizeof(*f->kept)));
	f->kept[f->n_kept++] = block;
}

static void __attribute__((noinline)) leak(void)
{
	void *volatile block = must(malloc(1000));

	memset(block, 1, 1000);
	block = NULL;
}

static void act(struct relay *r)
{
	struct fake *f = r->fake;

	switch ((enum deed)f->does) {
	case DOES_NOTHING:     break;
	case DOES_ABORT:       abort();
	case DOES_EXIT:        _exit(7);
	case DOES_OVERRUN:     if (overrun() == 1000) puts("never"); break;
	case DOES_HANG:        for (;;) pause();
	case DOES_ANSWER_LATE: f->late = true; break;
	case DOES_GROW:        grow(f); break;
	case DOES_LEAK:        leak(); break;
	case DOES_SPIN:        f->spins = true; loop_post(&f->loop, &f->spin); break;
	case DOES_BREAK:
		for (struct relay *to = f->relays; to; to = to->next)	/* whoever offends is not judged by more than form */
			say(to, "\x40\x02\x77\x77", 4);
		break;
	case DOES_BREAK_FORM:  say(r, "\x93\x03\x00\x01\x00", 5); break;
	case DOES_DROP: case DOES_DOUBLE:
		for (struct relay *to = f->relays; to; to = to->next)
			*(f->does == DOES_DROP ? &to->drops : &to->doubles) = to != r;
		break;
	case DOES_CLOSE:       close_others(f, r); break;
	case DOES_REPORT:      write_report(); break;
	}
}

/* ---- what it waits for ---- */

static uint64_t hash_of(struct span s)
{
	uint64_t hash = 0xcbf29ce484222325u;

	for (size_t i = 0; i < s.len; i++)
		hash = (hash ^ s.at[i]) * 0x100000001b3u;
	return hash | 1;
}

static bool is_taken(const struct relay *r, uint64_t client_id)
{
	for (const struct relay *other = r->fake->relays; other; other = other->next)
		if (other != r && other->client_id == client_id)
			return true;
	return false;
}

static bool is_it(struct relay *r, const struct packet *p)
{
	uint64_t id;
	bool again;

	switch ((enum trigger)r->fake->when) {
	case WHEN_NEVER:
		return false;
	case WHEN_ALIAS:
		return p->type == PUBLISH && property_number(p->properties, PROP_topic_alias, 0) == 65535;
	case WHEN_TOPIC:
		return p->type == PUBLISH && memmem(p->topic.at, p->topic.len, "zz", 2);
	case WHEN_TWICE:
		return p->type == PUBLISH && publish_qos(p) == 2 && r->greeted;
	case WHEN_UNSUBSCRIBE:
		r->published |= p->type == PUBLISH && publish_qos(p) == 2;
		return p->type == UNSUBSCRIBE && r->published;
	case WHEN_TAKEOVER: case WHEN_CONNECTED:
		if (p->type != CONNECT || !p->client_id.len)
			return false;
		id = hash_of(p->client_id);
		again = r->client_id;
		r->client_id = id;
		return r->fake->when == WHEN_CONNECTED ? again : is_taken(r, id);
	}
	return false;
}

static void look_at_client(struct relay *r)
{
	struct frame frame;
	struct finding finding;
	struct packet packet;

	while (!r->dead && frame_next(r->from_client.at, r->from_client.len, &frame, &finding) == FRAME_OK) {
		if (decode(r->from_client.at, frame.size, r->version, &packet, &finding) == CODEC_OK) {
			if (packet.type == CONNECT) {
				r->version = packet.version;
				r->greeted = true;
			}
			if (is_it(r, &packet))
				act(r);
		}
		queue_take(&r->from_client, frame.size);
	}
	if (r->from_client.len > MOST_QUEUED)
		r->from_client.len = 0;
}

/* Whole packets of the broker, for some are dropped or doubled. */
static void look_at_broker(struct relay *r)
{
	struct frame frame;
	struct finding finding;

	while (frame_next(r->from_broker.at, r->from_broker.len, &frame, &finding) == FRAME_OK) {
		bool delivery = frame.first >> 4 == PUBLISH;

		for (int i = delivery && r->drops ? 2 : delivery && r->doubles ? 0 : 1; i < 2; i++)
			queue_put(&r->to_client, r->from_broker.at, frame.size);
		if (delivery)
			r->drops = r->doubles = false;
		queue_take(&r->from_broker, frame.size);
	}
}

/* ---- bytes ---- */

static void on_client(struct transport *t, unsigned events)
{
	static uint8_t room[65536];
	struct relay *r = t->owner;
	ssize_t n;

	if (events & TRANSPORT_WRITABLE)
		flush_client(r);
	if (r->dead || !(events & TRANSPORT_READABLE))
		return;
	n = t->ops->recv(t, room, sizeof(room));
	if (n == -EAGAIN)
		return;
	if (n < 0) {
		end(r, true);
		return;
	}
	if (n == 0) {
		r->broker->ops->finish(r->broker);
		return;
	}
	queue_put(&r->from_client, room, (size_t)n);
	look_at_client(r);
	if (r->dead)
		return;
	queue_put(&r->to_broker, room, (size_t)n);
	if (!flush(r->broker, &r->to_broker))
		end(r, true);
}

static void on_broker(struct transport *t, unsigned events)
{
	static uint8_t room[65536];
	struct relay *r = t->owner;
	ssize_t n;

	if (events & (TRANSPORT_OPEN | TRANSPORT_WRITABLE) && !flush(r->broker, &r->to_broker)) {
		end(r, true);
		return;
	}
	if (!(events & TRANSPORT_READABLE))
		return;
	n = t->ops->recv(t, room, sizeof(room));
	if (n == -EAGAIN)
		return;
	if (n > 0) {
		queue_put(&r->from_broker, room, (size_t)n);
		look_at_broker(r);
	}
	flush_client(r);
	if (n > 0 || r->dead)
		return;
	r->broker_closed = true;
	if (!r->to_client.len || n < 0)
		end(r, n < 0);
}

static void accepted(void *context, struct transport *t)
{
	struct fake *f = context;
	struct relay *r = must(calloc(1, sizeof(*r)));

	*r = (struct relay){ .fake = f, .next = f->relays, .client = t, .version = MQTT_3_1_1, .later.fire = on_later };
	f->relays = r;
	t->owner = r;
	t->event = on_client;
	r->broker = must(transport_connect(&f->loop, &f->inside, on_broker, r));
}

/* ---- the program ---- */

static void on_stop(struct watch *watch, unsigned events, struct loop *loop)
{
	struct signalfd_siginfo info;

	(void)events;
	if (read(watch->fd, &info, sizeof(info)) > 0)
		loop_stop(loop);
}

static void watch_signals(struct fake *f)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	f->stop = (struct watch){ .fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC), .ready = on_stop };
	if (f->stop.fd < 0 || loop_watch(&f->loop, &f->stop, EPOLLIN))
		abort();
}

static int named(const struct word *words, size_t n, const char *name)
{
	for (size_t i = 0; name && i < n; i++)
		if (!strcmp(words[i].name, name))
			return words[i].what;
	return -1;
}

static int usage(void)
{
	fputs("usage: fake_broker --port N --when TRIGGER --does WHAT\n\nTRIGGER:\n", stderr);
	for (size_t i = 0; i < N_TRIGGERS; i++)
		fprintf(stderr, "  %-12s %s\n", triggers[i].name, triggers[i].says);
	fputs("WHAT:\n", stderr);
	for (size_t i = 0; i < N_ACTS; i++)
		fprintf(stderr, "  %-12s %s\n", acts[i].name, acts[i].says);
	return 2;
}

/* False: something is missing or unknown. */
static bool read_options(struct fake *f, struct address *address, int argc, char **argv)
{
	static const struct option options[] = { { "port", required_argument, NULL, 'p' }, { "when", required_argument, NULL, 'w' }, { "does", required_argument, NULL, 'd' }, { 0 } };
	int option;

	f->when = f->does = -1;
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1)
		switch (option) {
		case 'p': address->port = (unsigned)strtoul(optarg, NULL, 10); break;
		case 'w': f->when = named(triggers, N_TRIGGERS, optarg); break;
		case 'd': f->does = named(acts, N_ACTS, optarg); break;
		default:  return false;
		}
	return optind == argc && f->when >= 0 && f->does >= 0 && address->port > 0 && address->port < 65536;
}

int main(int argc, char **argv)
{
	static struct fake f = { .spin.run = spin };
	struct address address = { .kind = ADDRESS_TCP, .host = "127.0.0.1" };
	struct broker_config config;
	struct listener *listener;

	if (!read_options(&f, &address, argc, argv))
		return usage();
	if (loop_init(&f.loop, false))
		abort();
	watch_signals(&f);
	broker_defaults(&config);
	f.server = must(server_new(&f.loop, &config));
	f.inside = (struct address){ .kind = ADDRESS_MEMORY, .service = server_service(f.server, WAY_TCP, NULL) };
	listener = transport_listen(&f.loop, &address, accepted, &f);
	if (!listener) {
		fprintf(stderr, "fake_broker: listen on port %u: %s\n", address.port, strerror(errno));
		return 3;
	}
	loop_run(&f.loop);
	listener_free(listener);
	close_others(&f, NULL);
	server_free(f.server);
	f.spins = false;
	loop_settle(&f.loop);
	loop_unwatch(&f.loop, &f.stop);
	for (size_t i = 0; i < f.n_kept; i++)
		free(f.kept[i]);
	free(f.kept);
	loop_release(&f.loop);
	return 0;
}

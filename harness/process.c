#include "harness/process.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "harness/child.h"
#include "harness/conn.h"
#include "harness/console.h"
#include "harness/escape.h"
#include "harness/hello.h"
#include "harness/target.h"
#include "harness/usage.h"

enum { RETRY_NS = 20000000, ATTEMPT_NS = 2000000000, HUNG_GRACE_NS = 500000000, LAST_LINES = 3 };

static const char *const port_words[N_WAYS] = { "{port}", "{tls_port}", "{ws_port}", "{ws_port}" };

enum knocking { KNOCK_NOT, KNOCK_SOON, KNOCK_ASKED };

struct process {
	struct child child;
	struct loop *loop;
	struct address *address;
	const char *command;
	uint64_t start_timeout_ns, give_up_ns;
	void (*event)(void *context, enum process_event event, const char *how);
	void *context;
	struct conn conn;		/* asks whether it serves yet */
	struct conn_limits limits;
	struct monitor_world *world;
	struct monitor_log log;
	struct timer timer;
	struct task task;
	struct span user_name, password;
	enum knocking knocking;
	unsigned n_knocks;
	bool served, answered, shut;	/* of this start; shut: some knock was met with a close or "unavailable" and no more */
	char fault[260];
	char hung[300];			/* why process_kill() ends it; empty: it does not */
	bool ending;			/* by process_end() */
	char trouble[300];		/* of the last knock */
};

/* ---- does it serve yet? ---- */

static void ignore(void *owner, struct monitor *monitor, const struct violation *violation)
{
	(void)owner, (void)monitor, (void)violation;
}

static struct process *of_conn(struct conn *c)
{
	return (struct process *)((char *)c - offsetof(struct process, conn));
}

static void on_opened(struct conn *c) { (void)c; }
static void on_sent(struct conn *c) { (void)c; }

static void on_packet(struct conn *c, const uint8_t *bytes, size_t len, const struct packet *packet)
{
	struct process *p = of_conn(c);

	(void)bytes, (void)len;
	/* Any packet at all: what it says is for the probe to judge. But who is unavailable may still be starting. */
	if (packet && packet->type == CONNACK && packet->reason == (packet->version == MQTT_5 ? 0x88 : 3))
		p->shut = true;
	else
		p->answered = true;
	loop_post(p->loop, &p->task);
}

static void on_ended(struct conn *c, enum conn_end how)
{
	struct process *p = of_conn(c);

	/* Closed without a word: it does not speak this version, or a proxy has nobody behind it yet. */
	snprintf(p->trouble, sizeof(p->trouble), "%s", c->error ? transport_strerror(c->error) : "");
	p->shut |= c->open && (how == END_FIN || how == END_RESET);
	p->answered |= how == END_GARBAGE || how == END_TOO_LARGE;
	loop_post(p->loop, &p->task);
}

static const struct conn_events events = { on_opened, on_packet, on_ended, on_sent };

static void knock_timer(struct process *p, uint64_t after_ns)
{
	uint64_t due_ns = p->loop->now_ns + after_ns;

	loop_timer(p->loop, &p->timer, due_ns < p->give_up_ns ? due_ns : p->give_up_ns);
}

static void knock(struct process *p)
{
	static const enum version versions[] = { MQTT_3_1_1, MQTT_5, MQTT_3_1 };
	uint8_t room[2 * 65536 + 64];
	struct writer w = writer_to(room, sizeof(room));
	struct packet packet;

	p->knocking = KNOCK_ASKED;
	knock_timer(p, ATTEMPT_NS);
	if (conn_open(&p->conn, p->loop, p->address, &events, &p->limits, p->world, &p->log)) {
		loop_post(p->loop, &p->task);
		return;
	}
	hello(versions[p->n_knocks++ % 3], span_text("mqassayStart"), p->user_name, p->password, &packet, &w);
	monitor_sent(&p->conn.monitor, room, w.len, &packet);
	conn_send(&p->conn, wr_span(&w), 0, 0);
}

static void knock_soon(struct process *p)
{
	conn_close(&p->conn, false);
	p->knocking = KNOCK_SOON;
	knock_timer(p, RETRY_NS);
}

static void stop_knocking(struct process *p)
{
	conn_close(&p->conn, false);
	loop_timer_stop(p->loop, &p->timer);
	p->knocking = KNOCK_NOT;
}

static void on_task(struct task *task, struct loop *loop)
{
	struct process *p = (struct process *)((char *)task - offsetof(struct process, task));
	char how[800], seconds[32], url[300];

	(void)loop;
	if (p->fault[0]) {
		p->event(p->context, PROCESS_STARTED_NOT, p->fault);
		return;
	}
	if (p->knocking != KNOCK_ASKED)
		return;
	if (p->answered || (p->shut && p->loop->now_ns >= p->give_up_ns)) {
		stop_knocking(p);
		p->served = true;		/* or is there, at least: the probe tells what it does instead */
		p->event(p->context, PROCESS_READY, "");
	} else if (p->loop->now_ns >= p->give_up_ns) {
		stop_knocking(p);
		snprintf(seconds, sizeof(seconds), "%.3g s", (double)p->start_timeout_ns / 1e9);
		snprintf(how, sizeof(how), "--exec: the target answered no CONNECT on %s within %s (--start-timeout)%s%s; does CMD use %s?",
		         address_print(p->address, url, sizeof(url)), seconds, p->trouble[0] ? ": " : "", p->trouble, port_words[way_of(&p->address->layers)]);
		p->event(p->context, PROCESS_STARTED_NOT, how);
	} else {
		knock_soon(p);
	}
}

static void on_timer(struct timer *timer, struct loop *loop)
{
	struct process *p = (struct process *)((char *)timer - offsetof(struct process, timer));

	(void)loop;
	if (p->knocking == KNOCK_SOON)
		knock(p);
	else if (p->knocking == KNOCK_ASKED)
		loop_post(p->loop, &p->task);
}

/* ---- life ---- */

static void on_child_ended(struct child *child, void *context)
{
	struct process *p = context;
	bool hung = p->hung[0];
	char how[400], said[400], safe[800], text[1500];
	bool served = p->served;

	stop_knocking(p);
	p->served = false;
	if (p->hung[0])
		snprintf(how, sizeof(how), "hung and was killed (%s)", p->hung);
	else
		child_how(child, how, sizeof(how));
	if (!served && !child->signal && !child->exit_status)	/* a daemon does this, and is out of our hands then */
		snprintf(how + strlen(how), sizeof(how) - strlen(how), " (CMD must stay in the foreground)");
	size_t len = child_output(child, LAST_LINES, said, sizeof(said));
	escape_bytes(said, len, safe, sizeof(safe));
	if (served)
		snprintf(text, sizeof(text), "%s%s%s", how, len ? "; it last said: " : "", safe);
	else
		snprintf(text, sizeof(text), "--exec: the target %s before it answered a CONNECT%s%s", how, len ? "; it said: " : "", safe);
	bool killed = p->ending || (served && child->outside && !hung);
	p->hung[0] = '\0';
	p->ending = false;
	p->event(p->context, killed ? PROCESS_KILLED : served ? PROCESS_DIED : PROCESS_STARTED_NOT, text);
}

struct process *process_new(struct loop *loop, const char *command, uint64_t start_timeout_ns, struct span user_name,
                            struct span password, struct address *address,
                            void (*event)(void *context, enum process_event event, const char *how), void *context)
{
	struct process *p = calloc(1, sizeof(*p));
	struct fault fault = { 0 };

	if (!p)
		abort();
	p->loop = loop;
	p->address = address;
	p->start_timeout_ns = start_timeout_ns;
	p->user_name = user_name;
	p->password = password;
	p->event = event;
	p->context = context;
	p->timer.fire = on_timer;
	p->task.run = on_task;
	p->log.violated = ignore;
	p->limits.max_packet = 1 << 20;
	p->world = monitor_world_new();
	if (!p->world)
		abort();
	p->conn.loop = loop;		/* never opened yet: conn_close() is harmless */
	p->conn.end = END_OURS;
	if (!child_init(&p->child, loop, command, on_child_ended, p, &fault))
		snprintf(p->fault, sizeof(p->fault), "--exec: %s", fault.text);
	p->command = command;
	process_way(p, way_of(&address->layers), address);
	return p;
}

bool process_way(const struct process *p, enum way way, struct address *address)
{
	const unsigned ports[N_WAYS] = { p->child.port, p->child.tls_port, p->child.ws_port, p->child.ws_port };

	address->kind = ADDRESS_TCP;
	address->port = ports[way];
	strcpy(address->host, address->layers.tls ? "localhost" : "127.0.0.1");	/* the name that such certificates are made for */
	return strstr(p->command, port_words[way]);
}

void process_start(struct process *p)
{
	int error = p->fault[0] ? 0 : child_start(&p->child);

	if (error)
		snprintf(p->fault, sizeof(p->fault), "--exec: start: %s", strerror(-error));
	if (p->fault[0]) {
		loop_post(p->loop, &p->task);
		return;
	}
	p->give_up_ns = p->loop->now_ns + p->start_timeout_ns;
	p->n_knocks = 0;
	p->answered = p->shut = false;
	knock_soon(p);
}

void process_kill(struct process *p, const char *why)
{
	snprintf(p->hung, sizeof(p->hung), "%s", why);
	child_stop(&p->child, HUNG_GRACE_NS);
}

void process_end(struct process *p, uint64_t grace_ns)
{
	p->ending = p->child.runs;
	stop_knocking(p);
	child_stop(&p->child, grace_ns);
}

struct child *process_child(struct process *p)
{
	return &p->child;
}

void process_restart(struct process *p)
{
	process_start(p);
}

bool process_lives(void *process, uint64_t *rss)
{
	struct process *p = process;
	struct usage usage;

	if (rss)
		*rss = p->child.pid && usage_of((struct subject){ p->child.pid, true }, &usage) ? usage.rss : 0;	/* the leader may be only the shell that CMD runs in */
	return p->child.runs;
}

bool process_listens(const struct process *p)
{
	struct sockaddr_in name = { .sin_family = AF_INET, .sin_port = htons((uint16_t)p->address->port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	bool refused = fd >= 0 && connect(fd, (struct sockaddr *)&name, sizeof(name)) < 0 && errno == ECONNREFUSED;

	if (fd >= 0)
		close(fd);
	return !refused;
}

void process_free(struct process *p)
{
	if (!p)
		return;
	stop_knocking(p);
	child_release(&p->child);
	loop_settle(p->loop);
	monitor_world_free(p->world);
	free(p);
}

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "codec/bench/bench.h"
#include "fuzz/network/player.h"
#include "harness/process.h"

/*
 * Short conversations a second against the Mosquitto that is installed here: CONNECT, SUBSCRIBE, PUBLISH and its delivery, PINGREQ, and DISCONNECT or a reset. Beside it what that costs this
 * process: the target should be the limit.
 */

#define SECOND_NS UINT64_C(1000000000)
#define ROUND_NS (SECOND_NS * 3 / 2)

static struct loop loop;
static struct process *target;
static struct player *player;
static struct moves moves;
static uint64_t n_done, n_wrong, next_number;
static bool ready, over;

static void send_packet(const uint8_t *bytes, size_t len)
{
	struct move move = { .kind = MOVE_SEND };

	if (!moves_keep(&moves, span_of(bytes, len), &move.bytes))
		exit(3);
	moves_insert(&moves, moves.n, move);
	moves_insert(&moves, moves.n, (struct move){ .kind = MOVE_AWAIT });
}

/* qos of the PUBLISH and its delivery. */
static void make_session(unsigned qos, bool disconnects)
{
	static const uint8_t connect[] = "\x10\x14\0\4MQTT\4\2\0\x3c\0\x08" MOVES_NAME, pingreq[] = { 0xc0, 0 }, disconnect[] = { 0xe0, 0 };
	uint8_t subscribe[] = "\x82\x0d\0\1\0\x08" MOVES_NAME "\0", publish[] = "\x30\x10\0\x08" MOVES_NAME "\0\1data";

	moves.n = moves.used = 0;
	subscribe[14] = (uint8_t)qos;
	moves_insert(&moves, 0, (struct move){ .kind = MOVE_OPEN });
	send_packet(connect, sizeof(connect) - 1);
	send_packet(subscribe, 15);
	if (qos) {
		publish[0] = 0x32;
		send_packet(publish, 18);
		moves_insert(&moves, moves.n, (struct move){ .kind = MOVE_ANSWER });
	} else {
		publish[1] = 14;
		memmove(publish + 12, publish + 14, 4);
		send_packet(publish, 16);
	}
	send_packet(pingreq, 2);
	if (disconnects)
		send_packet(disconnect, 2);
}

static void play_next(void);

static void on_done(void *context, const struct played *played)
{
	(void)context;
	n_done++;
	if (played->n_unanswered || played->n_refused || played->symptom.oracle != ORACLE_NONE || played->n_received < 4) {
		n_wrong++;
		if (n_wrong < 4)
			fprintf(stderr, "bench_player: %u sent, %u received, %u unanswered, %u refused; %s\n", played->n_sent, played->n_received,
			        played->n_unanswered, played->n_refused, played->symptom.text);
	}
	if (!over)
		play_next();
	else if (!player_busy(player))
		loop_stop(&loop);
}

static void play_next(void)
{
	player_play(player, &moves, next_number++, NULL, NULL, on_done, NULL);
}

static void on_time(struct timer *timer, struct loop *l)
{
	(void)timer, (void)l;
	over = true;
}

static double cpu_ns(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1e9 + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) * 1e3;
}

static void measure(const char *how, const struct address *address, unsigned jobs)
{
	struct timer timer = { .fire = on_time };
	double used = cpu_ns(), start = bench_ns();
	char what[80];

	n_done = n_wrong = 0;
	over = false;
	player = player_new(&(struct player_options){ .loop = &loop, .address = address, .patience_ns = SECOND_NS, .longest_wait_ns = SECOND_NS });
	loop_timer(&loop, &timer, loop.now_ns + ROUND_NS);
	while (jobs > player_busy(player))
		play_next();
	snprintf(what, sizeof(what), "sessions of 5 packets, %s, %u at once", how, jobs);
	loop_run(&loop);
	double took = bench_ns() - start;
	used = cpu_ns() - used;
	bench_figure(what, (double)n_done / took * 1e9, "/s", "%.0f us of our CPU each, %.0f %% of a core%s", used / 1e3 / (double)(n_done ? n_done : 1), 100 * used / took,
	             n_wrong ? "; SOME WENT WRONG" : "");
	player_free(player);
	loop_settle(&loop);
}

static void on_event(void *context, enum process_event event, const char *how)
{
	(void)context;
	ready = event == PROCESS_READY;
	if (!ready)
		printf("bench_player: skipped: %s\n", how);
	loop_stop(&loop);
}

int main(void)
{
	static const unsigned jobs[] = { 1, 8, 64 };
	struct address address = { .kind = ADDRESS_TCP, .host = "127.0.0.1" };

	if (system("command -v mosquitto >/dev/null 2>&1")) {
		puts("bench_player: skipped: there is no mosquitto");
		return 0;
	}
	loop_init(&loop, false);
	target = process_new(&loop, "exec mosquitto -p {port} >/dev/null 2>&1", 10 * SECOND_NS, (struct span){ 0 }, (struct span){ 0 }, &address, on_event, NULL);
	process_start(target);
	loop_run(&loop);
	for (unsigned i = 0; ready && i < 3; i++) {
		make_session(0, false);
		measure("QoS 0, reset", &address, jobs[i]);
		make_session(0, true);
		measure("QoS 0, DISCONNECT", &address, jobs[i]);
		make_session(1, false);
		measure("QoS 1, reset", &address, jobs[i]);
	}
	process_free(target);
	loop_settle(&loop);
	loop_release(&loop);
	return 0;
}

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness/load/control.h"

/* What this program reaches on this machine, when the broker does nothing at all: the same engine against the null sink, on loopback. */

enum { CLIENTS = 10, WINDOW = 20 };
#define SECOND_NS 1000000000u

static bool wrong(struct fault *fault, const char *format, ...) __attribute__((format(printf, 2, 3)));
static bool wrong(struct fault *fault, const char *format, ...)
{
	va_list args;

	*fault = (struct fault){ 0 };
	va_start(args, format);
	vsnprintf(fault->text, sizeof(fault->text), format, args);
	va_end(args);
	return false;
}

/* ---- the sink, in a process of its own ---- */

static void serve(int tell)
{
	struct sink_options options = { .listen = { .kind = ADDRESS_TCP, .host = "127.0.0.1" } };
	struct fault fault;
	struct loop loop;
	unsigned port;

	signal(SIGINT, SIG_IGN);		/* of the terminal: who began it ends it */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (loop_init(&loop, false))
		_exit(1);
	struct sink *sink = sink_new(&loop, &options, &fault);
	if (!sink)
		_exit(1);
	port = sink_port(sink);
	if (write(tell, &port, sizeof(port)) != sizeof(port))
		_exit(1);
	loop_run(&loop);
	_exit(0);
}

static pid_t start_sink(unsigned *port, struct fault *fault)
{
	int ends[2];
	pid_t pid;

	if (pipe(ends) || (pid = fork()) < 0) {
		wrong(fault, "calibration: %s", strerror(errno));
		return -1;
	}
	if (!pid) {
		close(ends[0]);
		serve(ends[1]);
	}
	close(ends[1]);
	ssize_t got = read(ends[0], port, sizeof(*port));
	close(ends[0]);
	if (got == sizeof(*port))
		return pid;
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	wrong(fault, "calibration: the sink could not listen on loopback");
	return -1;
}

/* ---- the workload ---- */

static struct scenario *write_workload(unsigned qos, size_t payload, struct fault *fault)
{
	static struct diagnostics found;
	char text[400];

	snprintf(text, sizeof(text), "workload \"Calibration\"\nmqtt 3.1.1\nrole c x %d {\n\tc connects\n\tmeet \"ready\"\n"
	         "\tforever { c publishes topic=\"calibration/$(n)\" qos=%u payload=stamp(%zu) in flight %d }\n}\n", CLIENTS, qos, payload < 32 ? 32 : payload, WINDOW);
	struct scenario *scenario = scenario_parse("calibration.scn", span_text(text), NULL, 0, &found);
	if (!scenario)
		wrong(fault, "calibration: %s", found.n ? found.list[0].text : "its workload cannot be read");
	return scenario;
}

static bool play(const struct scenario *scenario, unsigned port, struct figures *figures, struct fault *fault)
{
	struct plan plan = { .name = "lcal", .seed = 1, .n_shards = 1, .for_ns = SECOND_NS, .drain_ns = SECOND_NS / 2, .timeout_ns = 5 * (uint64_t)SECOND_NS,
	                     .meet_patience_ns = 5 * (uint64_t)SECOND_NS };
	struct address address = { .kind = ADDRESS_TCP, .host = "127.0.0.1", .port = port };
	struct loop loop;
	int error = loop_init(&loop, false);
	bool played = false;

	if (error)
		return wrong(fault, "calibration: event loop: %s", strerror(-error));
	figures->target = "sink";
	if (plan_make(&plan, &scenario->scripts[0], NULL, fault)) {
		played = run_load(&(struct run_options){ .loop = &loop, .plan = &plan, .address = &address, .threads = 1, .leave = true }, figures);
		if (!played || figures->why)
			played = wrong(fault, "calibration: %s", played ? figures->why : figures->unable);
	}
	plan_release(&plan);
	loop_settle(&loop);
	loop_release(&loop);
	return played;
}

bool calibrate(unsigned qos, size_t payload, struct figures_calibration *calibration, struct fault *fault)
{
	struct scenario *scenario = write_workload(qos, payload, fault);
	struct figures *figures = figures_new();
	unsigned port;
	pid_t pid = scenario ? start_sink(&port, fault) : -1;
	bool played = false;

	if (pid > 0) {
		played = play(scenario, port, figures, fault);
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
	if (played) {
		uint64_t sent = figures->roles[0].total.counts[COUNT_sent], ns = figures->drain_ns - figures->steady_ns;

		calibration->known = sent && figures->drain_ns > figures->steady_ns;
		calibration->rate = ns ? (double)sent * 1e9 / (double)ns : 0;
		calibration->cost_ns = sent ? (double)figures->cpu.tool_ns / (double)sent : 0;
	}
	figures_free(figures);
	scenario_free(scenario);
	return played;
}

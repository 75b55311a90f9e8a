#ifndef LOAD_TESTS_SAMPLE_RESULT_H
#define LOAD_TESTS_SAMPLE_RESULT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "harness/load/figures.h"

/* A result that has something of everything, for tests of what is made of results. */

enum { S = 1000000000, MS = 1000000, US = 1000 };

/* ---- what they are of ---- */

static inline struct figures_role *add_role(struct figures *f, const char *name, uint64_t clients)
{
	struct figures_role *role = FIGURES_APPEND(f, roles);

	role->name = figures_say(f, "%s", name);
	role->clients = clients;
	return role;
}

static inline void count(struct figures_role *role, uint64_t second, enum counter counter, uint64_t n)
{
	role->total.counts[counter] += n;
	figures_second(role, second * S)->counts[counter] += n;
}

static inline void timed(struct figures_role *role, uint64_t second, enum timing timing, uint64_t due, uint64_t begun, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		tally_time(&role->total, timing, 0, begun, due + i * 1000);
		tally_time(figures_second(role, second * S), timing, 0, begun, due + i * 1000);
	}
}

/* A run of 7 s of which the middle is steady, with something of everything. */
static inline struct figures *sample(void)
{
	struct figures *f = figures_new();
	struct figures_role *sensor = add_role(f, "sensor", 1000), *collector = add_role(f, "collector", 2);

	f->workload = "scenarios/load/fan-in.scn";
	f->title = "Telemetry of many sensors into few collectors";
	f->target = "localhost:1883";
	f->mqtt = "5";
	f->version = "0.1.0";
	f->command = "mqassay load fan-in localhost:1883 --for 4s --expect 'collector.delivery.p99<5ms'";
	f->began = "2026-11-21T18:33:57Z";
	f->began_unix_ns = 1795286037250000000;
	f->seed = 42;
	f->duration_ns = 7 * (uint64_t)S;
	f->steady_ns = S;
	f->drain_ns = 5 * (uint64_t)S;
	count(&f->roles[0], 0, COUNT_started, 1000);
	count(&f->roles[0], 0, COUNT_connected, 999);
	count(&f->roles[0], 1, COUNT_connected, 2);
	count(&f->roles[0], 0, COUNT_refused, 1);
	count(&f->roles[0], 1, COUNT_retried, 2);
	count(&f->roles[0], 3, COUNT_ended, 1);
	count(&f->roles[1], 0, COUNT_started, 2);
	count(&f->roles[1], 0, COUNT_connected, 2);
	sensor = &f->roles[0];
	collector = &f->roles[1];
	for (uint64_t s = 1; s < 5; s++) {
		count(sensor, s, COUNT_sent, 1000);
		count(sensor, s, COUNT_acknowledged, 999);
		count(sensor, s, COUNT_packets_sent, 2000);
		count(sensor, s, COUNT_bytes_sent, 280000);
		count(collector, s, COUNT_delivered, 998);
		timed(sensor, s, TIME_ACK, 300 * US, 200 * US, 100);
		timed(sensor, s, TIME_LATENESS, 20 * US, 0, 100);
		timed(collector, s, TIME_DELIVERY, s == 3 ? 120 * MS : 700 * US, 100 * US, 90);
	}
	count(sensor, 4, COUNT_late, 7);
	count(sensor, 5, COUNT_unacknowledged, 4);
	count(collector, 6, COUNT_owed, 4000);
	count(collector, 6, COUNT_lost, 8);
	count(collector, 4, COUNT_violations, 1);
	timed(sensor, 0, TIME_CONNECT, 2 * MS, 1 * MS, 50);
	sensor->lateness_share = 7 / 4000.0;

	*FIGURES_APPEND(f, reasons) = (struct figures_reason){ "sensor", "CONNACK Server_busy", COUNT_refused, false, 1 };
	*FIGURES_APPEND(f, reasons) = (struct figures_reason){ "collector", "a PUBACK for packet_id 7, which is not open", COUNT_violations, true, 1 };
	*FIGURES_APPEND(f, losses) = (struct figures_loss){ "collector", "sensor", LOST_BROKER_DROPPED, "$SYS/broker/publish/messages/dropped rose by 6", 6 };
	*FIGURES_APPEND(f, losses) = (struct figures_loss){ "collector", "sensor", LOST_UNKNOWN, "", 2 };
	*FIGURES_APPEND(f, publishers) = (struct publisher_account){ 0, 17, 4, 4, 1, 3, 0, 0 };
	*FIGURES_APPEND(f, publishers) = (struct publisher_account){ 0, 4, 4, 4, 3, 1, 0, 0 };
	f->n_publishers_afflicted = 6;
	*FIGURES_APPEND(f, meetings) = (struct figures_meeting){ "ready", 1002, 1002, 0, true };
	*FIGURES_APPEND(f, meetings) = (struct figures_meeting){ "later", 1002, 1001, 1, false };
	f->cpu = (struct figures_cpu){ .tool_ns = 12 * MS, .threads = 2, .busiest = 0.031, .broker_known = true, .broker_ns = 6650 * (uint64_t)MS,
	                               .broker = "mosquitto (pid 4711)" };
	f->calibration = (struct figures_calibration){ true, 3100000, 231.5 };
	f->drops = (struct broker_drops){ true, 6, "$SYS/broker/publish/messages/dropped" };
	f->limited_by = LIMITED_BY_TARGET;
	f->limit = "its process had 95 % of a core";
	f->judged_packets = 16003;
	f->target_connects_per_s = 1001;
	figures_note(f, "the target is on this machine: it shares its cores with this tool");

	static const char *const expected[] = { "collector.delivery.p99<5ms", "all.lost==0", "sensor.rate>=1k/s", "nobody.sent>0" };
	for (size_t i = 0; i < 4; i++) {
		struct expectation e;
		struct fault fault;

		assert_true(expectation_parse(expected[i], &e, &fault));
		expectation_judge(&e, f);
	}
	return f;
}

/* ---- as text ---- */

/* Not inlined: gcc 12 would take the text for the pointer that open_memstream() keeps. */
__attribute__((noinline, unused)) static char *written(void (*write)(FILE *out, const struct figures *f), const struct figures *f)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	write(out, f);
	assert_int_equal(fclose(out), 0);
	return text;
}

static inline void write_json(FILE *out, const struct figures *f)
{
	assert_true(figures_json(out, f));
}

static inline char *as_json(const struct figures *f)
{
	return written(write_json, f);
}

static inline struct figures *reread(const struct figures *f)
{
	struct fault fault = { 0 };
	char *text = as_json(f);
	struct figures *read = figures_read(span_text(text), &fault);

	if (!read)
		fail_msg("%u:%u: %s", fault.line, fault.column, fault.text);
	free(text);
	return read;
}

static inline void assert_same_result(const struct figures *a, const struct figures *b)
{
	char *x = as_json(a), *y = as_json(b);

	assert_string_equal(x, y);
	free(x);
	free(y);
}

#endif

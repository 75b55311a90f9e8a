#include "codec/tests/whole.h"
#include "pcap/capture_internal.h"
#include "pcap/pcapng_flows.h"

#include <stdio.h>
#include <stdlib.h>

/*
 * What goes into a capture of MQTT connections only, with verdicts given by hand. Frame n of stream s holds n and s. What was
 * written is read back by our own reader, which is tested by bytes written by hand.
 */

enum { MB = 1 << 20 };

static FILE *file;
static struct out out;
static struct pcapng_flows *flows;

static int begin(void **state)
{
	(void)state;
	file = tmpfile();
	assert_non_null(file);
	assert_true(out_init(&out, fileno(file)));
	flows = pcapng_flows_new(&out);
	return 0;
}

static int end(void **state)
{
	(void)state;
	pcapng_flows_free(flows);
	free(out.room);
	fclose(file);
	return 0;
}

static uint32_t frame_number;

struct frame_made {
	int64_t stream;
	uint64_t fragmented, time_ns;
	size_t len;
	uint32_t interface, link_type, cut;
	const char *name;
};

static void give(struct frame_made m)
{
	static uint8_t bytes[3 * MB];
	size_t len = m.len ? m.len : 8;
	uint32_t stream = (uint32_t)m.stream;

	frame_number++;
	memcpy(bytes, &frame_number, 4);
	memcpy(bytes + 4, &stream, 4);
	struct record r = { .when = { frame_number, m.time_ns }, .link_type = m.link_type ? m.link_type : 1, .interface = m.interface,
	                    .interface_name = m.name, .bytes = span_of(bytes, len), .original_len = (uint32_t)len + m.cut };
	pcapng_flows_frame(flows, &r, &(struct decoder_frame){ m.stream, m.fragmented });
}

static char told[8000];

static void take_secrets(void *owner, struct span text)
{
	(void)owner;
	snprintf(told + strlen(told), sizeof(told) - strlen(told), "<%.*s>", (int)text.len, (const char *)text.at);
}

/* FRAME/STREAM@INTERFACE/LINKTYPE[=NAME]:TIME[+CUT] */
static const char *written(void)
{
	struct capture_error error;
	struct record r;
	enum capture_status status;

	pcapng_flows_finish(flows);
	out_flush(&out);
	size_t size = (size_t)out.written;
	uint8_t *bytes = malloc(size);
	assert_non_null(bytes);
	rewind(file);
	assert_int_equal(fread(bytes, 1, size, file), size);
	struct capture *c = capture_of_source(source_of_memory(span_of(bytes, size), &error), &error);
	assert_non_null(c);
	told[0] = '\0';
	capture_on_secrets(c, take_secrets, NULL);
	while ((status = capture_next(c, &r, &error)) == CAPTURE_RECORD) {
		uint32_t n, stream;

		memcpy(&n, r.bytes.at, 4);
		memcpy(&stream, r.bytes.at + 4, 4);
		snprintf(told + strlen(told), sizeof(told) - strlen(told), "%s%u/%d@%u/%u%s%s:%llu", *told ? " " : "", n, (int)stream, r.interface, r.link_type,
		         r.interface_name ? "=" : "", r.interface_name ? r.interface_name : "", (unsigned long long)r.when.time_ns);
		if (r.original_len > r.bytes.len)
			snprintf(told + strlen(told), sizeof(told) - strlen(told), "+%zu", r.original_len - r.bytes.len);
	}
	assert_int_equal(status, CAPTURE_END);
	capture_close(c);
	free(bytes);
	frame_number = 0;
	return told;
}

static void nothing_at_all(void **state)
{
	(void)state;
	give((struct frame_made){ TCP_NO_STREAM });
	give((struct frame_made){ 0 });
	assert_string_equal(written(), "");
	assert_int_equal(pcapng_flows_left_out(flows), 1);
}

static void learned_before(void **state)
{
	(void)state;
	for (uint32_t s = 0; s < 100000; s++)
		pcapng_flows_verdict(flows, s, s % 99991 == 7);
	for (int64_t s = 0; s < 100000; s++)
		give((struct frame_made){ s, .time_ns = 5 });
	assert_string_equal(written(), "8/7@0/1:5 99999/99998@0/1:5");
	assert_int_equal(pcapng_flows_written(flows), 2);
	assert_int_equal(pcapng_flows_left_out(flows), 0);
}

static void waits_in_order(void **state)
{
	(void)state;
	give((struct frame_made){ 1 });
	give((struct frame_made){ 2 });
	give((struct frame_made){ 3 });
	pcapng_flows_verdict(flows, 3, true);
	give((struct frame_made){ 3 });
	give((struct frame_made){ TCP_NO_STREAM });
	pcapng_flows_verdict(flows, 2, false);
	give((struct frame_made){ 2 });
	give((struct frame_made){ 1 });
	assert_int_equal(pcapng_flows_written(flows), 0);
	pcapng_flows_verdict(flows, 1, true);
	give((struct frame_made){ 4 });
	assert_int_equal(pcapng_flows_written(flows), 4);
	pcapng_flows_verdict(flows, 4, true);
	assert_string_equal(written(), "1/1@0/1:0 3/3@0/1:0 4/3@0/1:0 7/1@0/1:0 8/4@0/1:0");
	assert_int_equal(pcapng_flows_left_out(flows), 0);
}

static void interfaces_keep_their_names(void **state)
{
	(void)state;
	give((struct frame_made){ 1, .interface = 0, .name = "eth0" });	/* waits */
	give((struct frame_made){ 1, .interface = 1, .name = "a name" });
	give((struct frame_made){ 1, .interface = 2 });
	pcapng_flows_verdict(flows, 1, true);
	give((struct frame_made){ 1, .interface = 0, .name = "eth0" });
	give((struct frame_made){ 1, .interface = 4, .link_type = 101, .name = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123" });
	assert_string_equal(written(), "1/1@0/1=eth0:0 2/1@1/1=a name:0 3/1@2/1:0 4/1@0/1=eth0:0 "
	                               "5/1@3/101=0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde:0");
}

static void as_captured(void **state)
{
	(void)state;
	pcapng_flows_verdict(flows, 0, true);
	give((struct frame_made){ 0, .interface = 5, .link_type = 113, .time_ns = UINT64_C(1700000000123456789), .cut = 7 });
	give((struct frame_made){ 0, .interface = 2, .link_type = 1, .time_ns = 1, .len = 9 });
	give((struct frame_made){ 0, .interface = 5, .link_type = 113, .time_ns = 2, .len = 10 });
	give((struct frame_made){ 0, .interface = 5 + 4096, .link_type = 276, .time_ns = 3, .len = 11 });
	give((struct frame_made){ 0, .interface = 5, .link_type = 113, .time_ns = 4, .len = 12 });
	assert_string_equal(written(), "1/0@0/113:1700000000123456789+7 2/0@1/1:1 3/0@0/113:2 4/0@2/276:3 5/0@3/113:4");
}

static void secrets(void **state)
{
	(void)state;
	pcapng_flows_verdict(flows, 0, true);
	pcapng_flows_secrets(flows, span_text("one\n"));
	give((struct frame_made){ 0 });
	pcapng_flows_secrets(flows, span_text(""));
	pcapng_flows_secrets(flows, span_text("and two\n"));
	give((struct frame_made){ 0 });
	assert_string_equal(written(), "<one\n> 1/0@0/1:0<and two\n> 2/0@0/1:0");
}

/* A fragment's connection is known with the last one of its packet. */
static void fragments(void **state)
{
	(void)state;
	pcapng_flows_verdict(flows, 0, true);
	pcapng_flows_verdict(flows, 1, false);
	give((struct frame_made){ TCP_NO_STREAM, .fragmented = 1 });
	give((struct frame_made){ TCP_NO_STREAM, .fragmented = 2 });
	give((struct frame_made){ 0 });
	give((struct frame_made){ TCP_NO_STREAM, .fragmented = 1 });
	give((struct frame_made){ TCP_NO_STREAM, .fragmented = 3 });
	give((struct frame_made){ 1, .fragmented = 2 });
	give((struct frame_made){ 0, .fragmented = 1 });
	give((struct frame_made){ 0 });
	assert_string_equal(written(), "1/-1@0/1:0 3/0@0/1:0 4/-1@0/1:0 7/0@0/1:0 8/0@0/1:0");
	assert_int_equal(pcapng_flows_left_out(flows), 1);
}

static void waits_so_long(void **state)
{
	(void)state;
	give((struct frame_made){ 1, .time_ns = 1000 });
	give((struct frame_made){ 2, .time_ns = 1000 });
	pcapng_flows_verdict(flows, 2, true);
	pcapng_flows_idle(flows, UINT64_C(10000001000));
	assert_int_equal(pcapng_flows_written(flows), 0);
	pcapng_flows_idle(flows, UINT64_C(10000001001));
	assert_int_equal(pcapng_flows_written(flows), 1);
	pcapng_flows_verdict(flows, 1, true);
	assert_string_equal(written(), "2/2@0/1:1000");
	assert_int_equal(pcapng_flows_left_out(flows), 1);
}

/* However much comes: what is decided is written, in order, and what waits makes way, the oldest first. */
static void waits_in_bounds(void **state)
{
	unsigned random = (unsigned)(uintptr_t)*state;
	uint64_t n_mqtt = 0, last = 0;
	struct capture_error error;
	struct record r;

	pcapng_flows_verdict(flows, 1, true);
	for (int i = 0; i < 3000; i++) {
		random = random * 1103515245u + 12345u;
		bool mqtt = random >> 16 & 1;
		size_t len = 8 + (random >> 8) % (*state == (void *)1 ? 200000 : 9000);

		give((struct frame_made){ mqtt ? 1 : 2, .len = len });
		n_mqtt += mqtt;
	}
	give((struct frame_made){ 1, .len = 3 * MB });
	n_mqtt++;
	pcapng_flows_finish(flows);
	out_flush(&out);
	assert_int_equal(pcapng_flows_written(flows), n_mqtt);
	assert_int_equal(pcapng_flows_left_out(flows), 3001 - n_mqtt);
	uint8_t *bytes = malloc(out.written);
	assert_non_null(bytes);
	rewind(file);
	assert_int_equal(fread(bytes, 1, out.written, file), out.written);
	struct capture *c = capture_of_source(source_of_memory(span_of(bytes, out.written), &error), &error);
	while (capture_next(c, &r, &error) == CAPTURE_RECORD) {
		uint32_t n, stream;

		memcpy(&n, r.bytes.at, 4);
		memcpy(&stream, r.bytes.at + 4, 4);
		assert_true(n > last && stream == 1);
		last = n;
		n_mqtt--;
	}
	assert_int_equal(n_mqtt, 0);
	capture_close(c);
	free(bytes);
	frame_number = 0;
}

int main(void)
{
	static const struct { const char *name; CMUnitTestFunction run; uintptr_t seed; } all[] = {
		{ "nothing at all", nothing_at_all, 0 }, { "learned before", learned_before, 0 }, { "waits in order", waits_in_order, 0 }, { "as captured", as_captured, 0 },
		{ "interfaces keep their names", interfaces_keep_their_names, 0 },
		{ "secrets", secrets, 0 }, { "fragments", fragments, 0 }, { "waits so long", waits_so_long, 0 }, { "waits in bounds, large frames", waits_in_bounds, 1 },
		{ "waits in bounds", waits_in_bounds, 2 }, { "waits in bounds, otherwise", waits_in_bounds, 3 },
	};
	enum { N = sizeof(all) / sizeof(all[0]) };
	struct CMUnitTest tests[N];

	for (size_t i = 0; i < N; i++)
		tests[i] = (struct CMUnitTest){ .name = all[i].name, .test_func = all[i].run, .setup_func = begin, .teardown_func = end, .initial_state = (void *)all[i].seed };
	return cmocka_run_group_tests(tests, NULL, NULL);
}

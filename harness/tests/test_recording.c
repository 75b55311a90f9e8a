#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "harness/artifacts.h"
#include "harness/escape.h"
#include "harness/pcap_writer.h"
#include "harness/recording.h"

/* A recording holds what a capture file of the same connection holds, however large, and whatever others do beside it. */

enum { N = 20 };

struct memory {
	struct pcap_output output;
	uint8_t *bytes;
	size_t len;
};

static void write_memory(struct pcap_output *output, const void *bytes, size_t len)
{
	struct memory *m = (struct memory *)output;

	m->bytes = realloc(m->bytes, m->len + len);
	assert_non_null(m->bytes);
	memcpy(m->bytes + m->len, bytes, len);
	m->len += len;
}

static struct memory copy_of(struct recording *g)
{
	struct memory m = { .bytes = NULL };
	FILE *out = open_memstream((char **)&m.bytes, &m.len);

	assert_non_null(out);
	assert_int_equal(recording_copy(g, out), 0);
	fclose(out);
	return m;
}

static struct tapped *join(struct tap *tap)
{
	struct tapped *t = tap->connecting(tap, 1, "who");

	t->ops->opened(t, 2);
	return t;
}

static void says(struct tapped *t, size_t turn, size_t which)
{
	uint8_t bytes[5000];

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * (which + 3) + turn);
	t->ops->bytes(t, 3 + turn, turn & 1 ? TAP_CLIENT : TAP_BROKER, span_of(bytes, sizeof(bytes)));
}

/* The same into a writer of its own. */
static struct memory expected(size_t which, size_t n_turns)
{
	struct memory m = { .output.write = write_memory };
	struct pcap_writer *w = pcap_writer_new(&m.output);

	pcap_writer_target(w, "there", 7);
	struct tapped *t = join(pcap_writer_tap(w));
	for (size_t turn = 0; turn < n_turns; turn++)
		says(t, turn, which);
	t->ops->ended(t, 9999, TAP_CLOSED);
	pcap_writer_free(w);
	return m;
}

static void side_by_side(void **state)
{
	struct recorder *r = recorder_new("/tmp");
	struct recording *g[N];
	struct tapped *t[N];

	(void)state;
	recorder_target(r, "there", 7);
	for (int round = 0; round < 2; round++) {	/* the second uses the room that the first gave back */
		for (size_t i = 0; i < N; i++) {
			g[i] = recording_new(r, NULL);
			t[i] = join(recording_tap(g[i]));
		}
		for (size_t turn = 0; turn < 10 * N; turn++)
			for (size_t i = 0; i < N; i++)
				if (turn < 10 * i)
					says(t[i], turn, i);
		for (size_t i = 0; i < N; i++) {
			t[i]->ops->ended(t[i], 9999, TAP_CLOSED);
			struct memory is = copy_of(g[i]), should = expected(i, 10 * i);

			assert_int_equal(is.len, should.len);
			assert_memory_equal(is.bytes, should.bytes, is.len);
			assert_false(recording_cut(g[i]));
			free(is.bytes);
			free(should.bytes);
			if (i % 2)
				recording_free(g[i]);
		}
		for (size_t i = 0; i < N; i += 2)
			recording_free(g[i]);
	}
	recorder_free(r);
}

static void no_end(void **state)
{
	struct recorder *r = recorder_new("/tmp");
	uint8_t *bytes = calloc(1, 1 << 20);

	(void)state;
	assert_non_null(bytes);
	recorder_target(r, "there", 7);
	struct recording *g = recording_new(r, NULL);
	struct tapped *t = join(recording_tap(g));
	for (int i = 0; i < 80; i++)
		t->ops->bytes(t, 3, TAP_BROKER, span_of(bytes, 1 << 20));
	t->ops->ended(t, 4, TAP_CLOSED);
	struct memory m = copy_of(g);
	assert_true(recording_cut(g));
	assert_in_range(m.len, RECORDING_MAX, RECORDING_MAX + 65536);
	free(m.bytes);
	recording_free(g);
	recorder_free(r);
	free(bytes);
}

static void nowhere_to_spool(void **state)
{
	struct recorder *r = recorder_new("/nonexistent");
	uint8_t bytes[100000] = { 0 };
	char *text;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	(void)state;
	recorder_target(r, "there", 7);
	struct recording *g = recording_new(r, NULL);
	struct tapped *t = join(recording_tap(g));
	t->ops->bytes(t, 3, TAP_BROKER, span_of(bytes, sizeof(bytes)));
	t->ops->ended(t, 4, TAP_CLOSED);
	assert_int_equal(recording_copy(g, out), ENOENT);
	fclose(out);
	free(text);
	recording_free(g);
	recorder_free(r);
}

/* ---- names ---- */

static const struct { const char *file, *path; } paths[] = {
	{ "common/qos/qos2.scn", "scenario/common/qos/qos2.scn" },
	{ "/tmp/x/y.scn", "scenario/y.scn" },
	{ "../../etc/y.scn", "scenario/y.scn" },
	{ "./y.scn", "scenario/y.scn" },
	{ "a//b.scn", "scenario/a/b.scn" },
	{ "a/.hidden", NULL },
	{ "a/..", NULL },
	{ "..", NULL },
	{ "a\033[31m/\n.scn", NULL },
};

static bool is_safe(const char *name)
{
	return name[0] != '.' && name[0] && !name[strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-+=,")];
}

static void scenario_paths(void **state)
{
	char path[2048], deep[3000], *part, *rest;

	(void)state;
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		artifacts_scenario(paths[i].file, path, sizeof(path));
		if (paths[i].path)
			assert_string_equal(path, paths[i].path);
		for (part = strtok_r(path, "/", &rest); part; part = strtok_r(NULL, "/", &rest))
			assert_true(is_safe(part));
	}
	for (size_t i = 0; i < sizeof(deep) - 1; i++)
		deep[i] = i % 2 ? '/' : 'a';
	deep[sizeof(deep) - 1] = 0;
	assert_true(strlen(artifacts_scenario(deep, path, sizeof(path))) < sizeof(path));
}

static void folder_names(void **state)
{
	static const char *const ids[] = { "common/qos/a.scn", "a.scn#../../x", "a.scn#.", "a.scn#\033]0;x\007", "a.scn#b c/1", "../../../../etc", "a.scn#\xe2\x80\xae" };
	char names[sizeof(ids) / sizeof(ids[0])][ESCAPE_FILE_NAME], id[9000];
	struct script script = { .version = MQTT_5 };
	struct outcome o = { .script = &script };

	(void)state;
	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		script.id = ids[i];
		artifacts_name(&o, "localhost:1883", names[i]);
		assert_true(is_safe(names[i]));
		for (size_t k = 0; k < i; k++)
			assert_string_not_equal(names[i], names[k]);
	}
	memset(id, 'x', sizeof(id) - 1);
	id[sizeof(id) - 1] = 0;
	script.id = id;
	assert_true(is_safe(artifacts_name(&o, "l", names[0])));
	assert_true(strlen(names[0]) < ESCAPE_FILE_NAME);
	o.repetition = 1;
	script.id = "a.scn";
	assert_string_equal(artifacts_name(&o, "there", names[0]), "a.scn.mqtt5.there.turn2");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(side_by_side),
		cmocka_unit_test(no_end),
		cmocka_unit_test(nowhere_to_spool),
		cmocka_unit_test(scenario_paths),
		cmocka_unit_test(folder_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

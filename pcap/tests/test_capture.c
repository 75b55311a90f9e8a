#include "codec/tests/whole.h"
#include "pcap/capture.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

/*
 * Captures as files, in every classic form; packed; and as pipes, in which the records come one by one. Written by hand
 * from the man page pcap-savefile(5).
 */

struct form {
	const char *name;
	uint32_t magic;
	bool big;			/* endian */
	bool nanoseconds, patched;
};

static const struct form forms[] = {
	{ "microseconds, little endian", 0xa1b2c3d4, false, false, false },
	{ "microseconds, big endian", 0xa1b2c3d4, true, false, false },
	{ "nanoseconds, little endian", 0xa1b23c4d, false, true, false },
	{ "nanoseconds, big endian", 0xa1b23c4d, true, true, false },
	{ "patched, little endian", 0xa1b2cd34, false, false, true },
	{ "patched, big endian", 0xa1b2cd34, true, false, true },
};
enum { N_FORMS = sizeof(forms) / sizeof(forms[0]), N_RECORDS = 5 };

struct file {
	size_t len, at[N_RECORDS + 1];	/* where records begin */
	uint8_t bytes[4096];
};

static void put(struct file *f, bool big, uint64_t v, int n)
{
	for (int i = 0; i < n; i++)
		f->bytes[f->len + (size_t)(big ? n - 1 - i : i)] = (uint8_t)(v >> 8 * i);
	f->len += (size_t)n;
}

/* Record i: 10 * i bytes i, 3 of them beyond the snap length where i is odd, at (4000000000 + i) s and i units. */
static const struct file *file_of(const struct form *form, unsigned link_type)
{
	static struct file f;
	bool big = form->big;

	f.len = 0;
	put(&f, big, form->magic, 4), put(&f, big, 2, 2), put(&f, big, 4, 2), put(&f, big, 0, 8), put(&f, big, 65535, 4), put(&f, big, link_type, 4);
	for (uint32_t i = 0; i < N_RECORDS; i++) {
		f.at[i] = f.len;
		put(&f, big, 4000000000 + i, 4), put(&f, big, i, 4), put(&f, big, 10 * i, 4), put(&f, big, 10 * i + (i & 1 ? 3 : 0), 4);
		if (form->patched)
			put(&f, big, 0, 8);		/* interface index, protocol, packet type */
		memset(f.bytes + f.len, (int)i, 10 * i);
		f.len += 10 * i;
	}
	f.at[N_RECORDS] = f.len;
	return &f;
}

static char path[] = "/tmp/test_capture.XXXXXX";

static struct capture *open_bytes(const void *bytes, size_t len, struct capture_error *error)
{
	FILE *f = fopen(path, "wb");

	assert_non_null(f);
	assert_int_equal(fwrite(bytes, 1, len, f), len);
	assert_int_equal(fclose(f), 0);
	return capture_open_file(path, error);
}

static void assert_record(const struct record *r, uint32_t i, bool nanoseconds)
{
	assert_int_equal(r->when.frame, i + 1);
	assert_int_equal(r->when.time_ns, (4000000000 + i) * UINT64_C(1000000000) + i * (nanoseconds ? 1 : 1000));
	assert_int_equal(r->bytes.len, 10 * i);
	assert_int_equal(r->original_len, 10 * i + (i & 1 ? 3 : 0));
	for (size_t k = 0; k < r->bytes.len; k++)
		assert_int_equal(r->bytes.at[k], i);
}

/* n records, then the end; or one line with this in it. */
static void assert_reads(struct capture *c, uint32_t n, bool nanoseconds, const char *broken)
{
	struct capture_error why = { 0 };
	struct record r;
	enum capture_status status;
	uint64_t bytes = 0;

	assert_non_null(c);
	for (uint32_t i = 0; i < n; i++) {
		while ((status = capture_next(c, &r, &why)) == CAPTURE_IDLE)
			;
		assert_int_equal(status, CAPTURE_RECORD);
		assert_record(&r, i, nanoseconds);
		bytes += r.bytes.len;
	}
	assert_int_equal(capture_bytes(c), bytes);
	while ((status = capture_next(c, &r, &why)) == CAPTURE_IDLE)
		;
	assert_int_equal(status, broken ? CAPTURE_BROKEN : CAPTURE_END);
	if (broken) {
		if (!strstr(why.text, broken))
			fail_msg("\"%s\" is not in \"%s\"", broken, why.text);
		assert_null(strchr(why.text, '\n'));
	}
	assert_int_equal(capture_next(c, &r, &why), CAPTURE_END);
	capture_close(c);
}

static void every_form_cut_anywhere(void **state)
{
	const struct form *form = *state;
	const struct file *f = file_of(form, 1);
	struct capture_error error;
	char line[80];

	assert_reads(open_bytes(f->bytes, f->len, &error), N_RECORDS, form->nanoseconds, NULL);
	for (size_t cut = 0; cut < f->len; cut++) {
		struct capture *c = open_bytes(f->bytes, cut, &error);
		uint32_t whole = 0;

		if (cut < 24) {
			assert_null(c);
			assert_true(*error.text && error.world && !strchr(error.text, '\n'));
			continue;
		}
		while (f->at[whole + 1] <= cut)
			whole++;
		snprintf(line, sizeof(line), "frame %u at byte %zu: the last record is cut", whole + 1, f->at[whole]);
		assert_reads(c, whole, form->nanoseconds, f->at[whole] == cut ? NULL : line);
	}
}

static void what_is_no_capture(void **state)
{
	static const struct { const char *bytes, *why; } rows[] = {
		{ "", "is empty" }, { "abc", "is no capture: it has 3 bytes" }, { "GET / HTTP/1.1\r\n", "is neither pcap nor pcapng: it begins with \"GET / HT\"" },
		{ "\x1b[2J0000", "begins with \"\\x1b[2J0000\"" }, { "BZh91AY", "bzip2 -dc" }, { "\xfd" "7zXZ", "xz -dc" }, { "\x04\x22\x4d\x18" "abc", "lz4 -dc" },
		{ "\x1f\x8b\x08x", "the gzip data is corrupt" }, { "\x1f\x8b", "ends early" }, { "\x28\xb5\x2f\xfd\x08" "aaaaaaaaaaaaaaaaaaaa", "the zstd data is corrupt" }, { "\x28\xb5\x2f\xfd", "ends early" },
	};
	struct capture_error error;
	struct file f = *file_of(&forms[0], 1);

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_null(open_bytes(rows[i].bytes, strlen(rows[i].bytes), &error));
		if (!strstr(error.text, rows[i].why))
			fail_msg("row %zu: %s", i, error.text);
		assert_true(error.world && !error.usage && !strpbrk(error.text, "\n\x1b"));
	}
	f.bytes[4] = 9;							/* a version that nobody has written */
	assert_null(open_bytes(f.bytes, f.len, &error));
	assert_non_null(strstr(error.text, "version"));
	assert_null(capture_open_file("/nonexistent/file", &error));
	assert_string_equal(error.text, "open: No such file or directory");
	assert_null(capture_open_file("/tmp", &error));
	assert_string_equal(error.text, "is a folder");
}

/* libpcap's own words, with the place. */
static void an_absurd_record(void **state)
{
	struct file f = *file_of(&forms[0], 1);
	struct capture_error error;

	(void)state;
	memset(f.bytes + f.at[2] + 8, 0x7f, 4);
	assert_reads(open_bytes(f.bytes, f.len, &error), 2, false, "frame 3 at byte 66: invalid packet capture length 2139062143");
}

/* ---- packed ---- */

static size_t gzip_of(const uint8_t *bytes, size_t len, uint8_t *to, size_t cap)
{
	z_stream z = { .next_in = (uint8_t *)bytes, .avail_in = (unsigned)len, .next_out = to, .avail_out = (unsigned)cap };

	assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY), Z_OK);
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	deflateEnd(&z);
	return cap - z.avail_out;
}

static size_t zstd_of(const uint8_t *bytes, size_t len, uint8_t *to, size_t cap)
{
	size_t n = ZSTD_compress(to, cap, bytes, len, 3);

	assert_false(ZSTD_isError(n));
	return n;
}

static void packed(void **state)
{
	bool zstd = *state;
	size_t (*pack)(const uint8_t *, size_t, uint8_t *, size_t) = zstd ? zstd_of : gzip_of;
	const struct file *f = file_of(&forms[0], 1);
	uint8_t room[4096];
	struct capture_error error;
	size_t first, len;

	/* In one piece, and in members that follow one another, as from `cat a.gz b.gz`. */
	first = pack(f->bytes, f->len, room, sizeof(room));
	assert_reads(open_bytes(room, first, &error), N_RECORDS, false, NULL);
	first = pack(f->bytes, 50, room, sizeof(room));
	len = first + pack(f->bytes + 50, f->len - 50, room + first, sizeof(room) - first);
	assert_reads(open_bytes(room, len, &error), N_RECORDS, false, NULL);
	if (!zstd)
		assert_reads((memset(room + len, 0, 100), open_bytes(room, len + 100, &error)), N_RECORDS, false, NULL);

	for (size_t cut = 0; cut < len; cut++) {
		struct capture *c = open_bytes(room, cut, &error);
		struct record r;
		enum capture_status status;
		uint32_t n = 0;

		if (!c) {
			assert_true(*error.text);
			continue;
		}
		while ((status = capture_next(c, &r, &error)) == CAPTURE_RECORD)
			assert_record(&r, n++, false);
		/* Only where the first member ends nothing is missing of what was packed, and the record there is cut. */
		assert_int_equal(status, CAPTURE_BROKEN);
		assert_non_null(strstr(error.text, cut == first ? "the last record is cut" : "the compressed data ends early: the file is cut"));
		capture_close(c);
	}
}

/* What gzip's own check finds wrong is told behind what could be read. */
static void corrupt_gzip(void **state)
{
	const struct file *f = file_of(&forms[0], 1);
	uint8_t room[4096];
	struct capture_error error;
	size_t len = gzip_of(f->bytes, f->len, room, sizeof(room));

	(void)state;
	assert_true(len > 3);
	room[len - 3] ^= 0x55;
	assert_reads(open_bytes(room, len, &error), N_RECORDS, false, "the gzip data is corrupt: incorrect length check");
}

static void a_window_too_large(void **state)
{
	static const uint8_t head[] = { 0x28, 0xb5, 0x2f, 0xfd, 0x00, (27 - 10) << 3, 0x01, 0x00, 0x00 };	/* RFC 8878: 128 MiB */
	struct capture_error error;

	(void)state;
	assert_null(open_bytes(head, sizeof(head), &error));
	assert_non_null(strstr(error.text, "zstd -dc --long=31"));
}

/* ---- filters ---- */

static size_t put_tcp(uint8_t *to, unsigned port)
{
	uint8_t bytes[] = { 0x45, 0, 0, 40, 0, 1, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 0xc0, 0, (uint8_t)(port >> 8), (uint8_t)port,
	                    0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 0xff, 0xff, 0, 0, 0, 0 };

	memcpy(to, bytes, sizeof(bytes));
	return sizeof(bytes);
}

static const struct file *filterable(bool ng)
{
	static struct file f;

	f.len = 0;
	if (ng) {
		put(&f, false, 0x0a0d0d0a, 4), put(&f, false, 28, 4), put(&f, false, 0x1a2b3c4d, 4), put(&f, false, 1, 4), put(&f, false, UINT64_MAX, 8), put(&f, false, 28, 4);
		for (int i = 0; i < 3; i++)		/* raw, Ethernet, and one that no filter makes sense of */
			put(&f, false, 1, 4), put(&f, false, 20, 4), put(&f, false, i == 0 ? 101 : i == 1 ? 1 : 264, 4), put(&f, false, 0, 4), put(&f, false, 20, 4);
	} else {
		put(&f, false, 0xa1b2c3d4, 4), put(&f, false, 2, 2), put(&f, false, 4, 2), put(&f, false, 0, 8), put(&f, false, 65535, 4), put(&f, false, 101, 4);
	}
	for (unsigned i = 0; i < 6; i++) {
		size_t ether = ng && i % 3 == 1 ? 14 : 0;

		if (ng)
			put(&f, false, 6, 4), put(&f, false, 32 + 40 + (ether ? 16 : 0), 4), put(&f, false, i % 3, 4), put(&f, false, 0, 8);
		else
			put(&f, false, 1, 4), put(&f, false, 0, 4);
		put(&f, false, 40 + ether, 4), put(&f, false, 40 + ether, 4);
		if (ether)
			put(&f, true, 0, 8), put(&f, true, 0, 4), put(&f, true, 0x800, 2);
		f.len += put_tcp(f.bytes + f.len, i < 3 ? 1883 : 80);
		if (ng)
			put(&f, false, 0, ether ? 2 : 0), put(&f, false, 32 + 40 + (ether ? 16 : 0), 4);
	}
	return &f;
}

static void filters(void **state)
{
	bool ng = *state;
	const struct file *f = filterable(ng);
	struct capture_error error;
	struct capture *c = open_bytes(f->bytes, f->len, &error);
	struct record r;

	assert_true(capture_filter(c, "tcp port 80", &error));
	assert_int_equal(capture_next(c, &r, &error), CAPTURE_RECORD);
	assert_int_equal(r.when.frame, 4);
	assert_int_equal(r.link_type, 101);
	assert_int_equal(capture_next(c, &r, &error), CAPTURE_RECORD);
	assert_int_equal(r.when.frame, 5);
	if (!ng) {
		assert_int_equal(capture_next(c, &r, &error), CAPTURE_RECORD);
		assert_int_equal(r.when.frame, 6);
	}
	assert_int_equal(capture_next(c, &r, &error), CAPTURE_END);
	capture_close(c);

	c = open_bytes(f->bytes, f->len, &error);
	assert_false(capture_filter(c, "tcp prot 80", &error));
	assert_true(error.usage && !error.world && strstr(error.text, "filter \"tcp prot 80\": "));
	capture_close(c);
}

/* ---- twice ---- */

static void again(void **state)
{
	const struct file *f = file_of(&forms[0], 1);
	uint8_t room[4096];
	struct capture_error error;
	struct capture *c;
	struct record r;
	size_t len = (uintptr_t)*state == 1 ? gzip_of(f->bytes, f->len, room, sizeof(room)) : (uintptr_t)*state == 2 ? zstd_of(f->bytes, f->len, room, sizeof(room)) : 0;

	c = len ? open_bytes(room, len, &error) : open_bytes(f->bytes, f->len, &error);
	for (int stop = 0; stop <= N_RECORDS + 1; stop++) {		/* from wherever it is */
		for (int i = 0; i < stop; i++)
			assert_int_equal(capture_next(c, &r, &error), i < N_RECORDS ? CAPTURE_RECORD : CAPTURE_END);
		assert_true(capture_rewind(c));
	}
	assert_reads(c, N_RECORDS, false, NULL);

	f = filterable(true);
	c = open_bytes(f->bytes, f->len, &error);
	assert_true(capture_filter(c, "tcp port 80", &error));
	for (int i = 0; i < 3; i++) {
		assert_int_equal(capture_next(c, &r, &error), CAPTURE_RECORD);
		assert_int_equal(r.when.frame, 4);
		assert_true(capture_rewind(c));
	}
	capture_close(c);
}

/* ---- pipes ---- */

static uint64_t clock_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* A record that was written whole is given although no more comes; in between the capture says that nothing does, and its clock goes on. */
static void a_pipe(void **state)
{
	const struct file *f = file_of(*state, 1);
	int pipes[2], saved = dup(STDIN_FILENO);
	struct capture_error error;
	struct record r;

	assert_int_equal(pipe(pipes), 0);
	dup2(pipes[0], STDIN_FILENO);
	close(pipes[0]);
	assert_int_equal(write(pipes[1], f->bytes, 24), 24);
	struct capture *c = capture_open_file("-", &error);
	assert_non_null(c);
	assert_int_equal(capture_next(c, &r, &error), CAPTURE_IDLE);
	assert_false(capture_rewind(c));
	for (uint32_t i = 0; i < N_RECORDS; i++) {
		size_t n = f->at[i + 1] - f->at[i];

		assert_int_equal(write(pipes[1], f->bytes + f->at[i], n), n);
		assert_int_equal(capture_next(c, &r, &error), CAPTURE_RECORD);
		assert_record(&r, i, false);
		uint64_t last = r.when.time_ns, before = clock_ns();
		assert_int_equal(capture_next(c, &r, &error), CAPTURE_IDLE);
		assert_int_equal(capture_next(c, &r, &error), CAPTURE_IDLE);
		assert_true(r.when.time_ns > last && r.when.time_ns <= last + clock_ns() - before);
	}
	capture_stop(c);
	assert_int_equal(capture_next(c, &r, &error), CAPTURE_END);
	capture_close(c);
	close(pipes[1]);
	dup2(saved, STDIN_FILENO);
	close(saved);
}

/* Stopped by a signal while it waits within a record: it ends soon, and nothing is said of a cut. */
static struct capture *waiting;

static void stop_waiting(int number)
{
	(void)number;
	capture_stop(waiting);
}

static void stopped_in_a_record(void **state)
{
	const struct file *f = file_of(&forms[0], 1);
	int pipes[2], saved = dup(STDIN_FILENO);
	struct capture_error error;
	struct record r;

	(void)state;
	assert_int_equal(pipe(pipes), 0);
	dup2(pipes[0], STDIN_FILENO);
	close(pipes[0]);
	assert_int_equal(write(pipes[1], f->bytes, 30), 30);
	waiting = capture_open_file("-", &error);
	assert_non_null(waiting);
	struct sigaction action = { .sa_handler = stop_waiting, .sa_flags = SA_RESTART }, old;
	sigaction(SIGALRM, &action, &old);
	alarm(1);
	assert_int_equal(capture_next(waiting, &r, &error), CAPTURE_END);
	sigaction(SIGALRM, &old, NULL);
	capture_close(waiting);
	close(pipes[1]);
	dup2(saved, STDIN_FILENO);
	close(saved);
}

int main(void)
{
	static const struct CMUnitTest others[] = {
		cmocka_unit_test(what_is_no_capture), cmocka_unit_test(an_absurd_record), cmocka_unit_test(a_window_too_large), cmocka_unit_test(stopped_in_a_record), cmocka_unit_test(corrupt_gzip),
		{ .name = "gzip", .test_func = packed, .initial_state = (void *)0 },
		{ .name = "zstd", .test_func = packed, .initial_state = (void *)1 },
		{ .name = "again", .test_func = again, .initial_state = (void *)0 },
		{ .name = "again, gzip", .test_func = again, .initial_state = (void *)1 },
		{ .name = "again, zstd", .test_func = again, .initial_state = (void *)2 },
		{ .name = "a filter of pcap", .test_func = filters, .initial_state = (void *)0 },
		{ .name = "a filter of pcapng", .test_func = filters, .initial_state = (void *)1 },
		{ .name = "a pipe", .test_func = a_pipe, .initial_state = (void *)&forms[0] },
		{ .name = "a pipe, patched, big endian", .test_func = a_pipe, .initial_state = (void *)&forms[5] },
	};
	enum { N_OTHERS = sizeof(others) / sizeof(others[0]) };
	struct CMUnitTest tests[N_FORMS + N_OTHERS];
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	close(fd);
	for (size_t i = 0; i < N_FORMS; i++)
		tests[i] = (struct CMUnitTest){ .name = forms[i].name, .test_func = every_form_cut_anywhere, .initial_state = (void *)&forms[i] };
	memcpy(tests + N_FORMS, others, sizeof(others));
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	unlink(path);
	return failed;
}

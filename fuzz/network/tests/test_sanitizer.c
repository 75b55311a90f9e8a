#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fuzz/network/sanitizer.h"

#define FOLDER "fuzz/network/tests/reports/"

enum { MOST = 3, ROOM = 16 << 10 };

/*
 * What compilers, valgrind, libc and run-time libraries really wrote about small programs with these bugs (those of musl, and of Rust before 1.73, by their documented form).
 */
static const struct row {
	const char *file;
	const char *reports[MOST + 1];		/* "kind | frames" */
	bool last_words;			/* all of them */
} rows[] = {
	{ "asan-clang-badfree", { "bad-free | handle<main" } },
	{ "asan-clang-coloured", { "heap-use-after-free | read_topic<handle<main" } },
	{ "asan-clang-deep", { "stack-overflow | parse_list" } },
	{ "asan-clang-global", { "global-buffer-overflow | handle<main" } },
	{ "asan-clang-huge", { "allocation-size-too-big | handle<main" } },
	{ "asan-clang-inline", { "heap-buffer-overflow | level<handle<main" } },
	{ "asan-clang-leak", { "leak | make<handle<main", "leak | add_client<handle<main" } },
	{ "asan-clang-over", { "heap-buffer-overflow | read_topic<handle<main" } },
	{ "asan-clang-overlap", { "memcpy-param-overlap | handle<main" } },
	{ "asan-clang-uaf", { "heap-use-after-free | read_topic<handle<main" } },
	{ "asan-clang-unsymbolised", { "heap-buffer-overflow | asan-clang+0xe0a5b<asan-clang+0xe03de<asan-clang+0xdff96" } },
	{ "asan-cxx-clang-call", { "heap-buffer-overflow | Call::operator()<main" } },
	{ "asan-cxx-clang-template", { "heap-buffer-overflow | mqtt::peek<mqtt::Session::handle<main" } },
	{ "asan-cxx-gcc-leak", { "leak | main" } },
	{ "asan-cxx-gcc-template", { "heap-buffer-overflow | peek<mqtt::Session::handle<main" } },
	{ "asan-gcc-coloured", { "heap-use-after-free | read_topic<handle<main" } },
	{ "asan-gcc-double", { "double-free | handle<main" } },
	{ "asan-gcc-leak", { "leak | make<handle<main", "leak | add_client<handle<main" } },
	{ "asan-gcc-negative", { "negative-size-param | handle<main" } },
	{ "asan-gcc-null", { "SEGV | read_topic<handle<main" } },
	{ "asan-gcc-over", { "heap-buffer-overflow | read_topic<handle<main" } },
	{ "asan-gcc-stack", { "stack-buffer-overflow | read_topic<handle<main" } },
	{ "asan-gcc-uaf", { "heap-use-after-free | read_topic<handle<main" } },
	{ "asan-gcc-unsymbolised", { "heap-buffer-overflow | asan-gcc+0x2325<asan-gcc+0x27e4<asan-gcc+0x309d" } },
	{ "asan-stripped-leak", { "leak | asan-stripped+0x2541<asan-stripped+0x29dc<asan-stripped+0x309d",
	                          "leak | asan-stripped+0x2598<asan-stripped+0x29fa<asan-stripped+0x309d" } },
	{ "both-clang-nullmember", { "member access within null pointer | handle<main", "SEGV | handle<main" } },
	{ "both-gcc-index", { "index out of bounds | handle<main", "load of address with insufficient space | handle<main", "global-buffer-overflow | handle<main" } },
	{ "lsan-gcc-leak", { "leak | make", "leak | add_client" } },
	{ "msan-null", { "SEGV | read_topic<handle<main" } },
	{ "msan-uninit", { "use-of-uninitialized-value | handle<main" } },
	{ "tsan-clang-race", { "data race | session_touch<worker" } },
	{ "tsan-gcc-race", { "data race | session_touch<worker" } },
	{ "tsan-gcc-uaf", { "heap-use-after-free | read_topic<handle<main" } },
	{ "tsan-unsymbolised", { "data race | tsan-clang+0xd0b19<tsan-clang+0xd0b55" } },
	{ "ubsan-clang-misaligned", { "load of misaligned address | bug.c:42" } },
	{ "ubsan-clang-shift", { "shift exponent is too large | bug.c:40" } },
	{ "ubsan-gcc-index", { "index out of bounds | bug.c:39", "load of address with insufficient space | bug.c:39" } },
	{ "ubsan-stack-clang-overflow", { "signed integer overflow | handle<main" } },
	{ "ubsan-stack-gcc-overflow", { "signed integer overflow | handle<main" } },
	{ "ubsan-unsymbolised", { "signed integer overflow | ubsan-clang+0x2f901<ubsan-clang+0x2ee77<ubsan-clang+0x6430" } },
	{ "valgrind-badfree", { "Invalid free() | handle<main" } },
	{ "valgrind-leak", { "leak | make<handle<main", "leak | add_client<handle<main" } },
	{ "valgrind-null", { "Invalid read | read_topic<handle<main", "SIGSEGV | read_topic<handle<main" } },
	{ "valgrind-over", { "Invalid read | read_topic<handle<main", "Invalid read | read_topic<handle<main" } },
	{ "valgrind-uninit", { "Conditional jump or move depends on | handle<main" } },
	{ "assert-cxx", { "assertion | packet.cc:mqtt::take" }, true },
	{ "assert-glibc", { "assertion | bug.c:handle" }, true },
	{ "assert-musl", { "assertion | packet.c:take_packet" }, true },
	{ "cxx-throw", { "uncaught std::length_error | " }, true },
	{ "glibc-double", { "free(): double free detected in tcache | " }, true },
	{ "glibc-smash", { "*** stack smashing detected *** | " }, true },
	{ "glibc-top", { "malloc(): corrupted top size | " }, true },
	{ "go-deep", { "fatal error: stack overflow | main.deep" }, true },
	{ "go-index", { "panic: index out of range | main.(*Server).handle<main.main" }, true },
	{ "go-nil", { "panic: invalid memory address or nil pointer | main.(*Server).handle<main.main" }, true },
	{ "go-own", { "panic: client gone | main.main.func1" }, true },
	{ "rust-index", { "panic index out of bounds | main.rs:1" }, true },
	{ "rust-old", { "panic index out of bounds | main.rs:1" }, true },
	{ "rust-thread", { "panic called `Option::unwrap()` on a `None` | main.rs:2" }, true },
};
enum { N_ROWS = sizeof(rows) / sizeof(rows[0]) };

static const char before[] =
	"1700000000: New client connected from 127.0.0.1:36952 as c1 (p2, c1, k60).\n"
	"1700000000: Error in poll: SUMMARY of errors: 0\n"
	"== section ==\n"
	"info: runtime error: none; #0 connections, panic: false\n";
static const char after[] = "1700000001: Client c1 disconnected.\n#1 of 3 listeners closed\n";

static size_t read_file(const char *name, char *text)
{
	char path[200];
	size_t len;
	FILE *f;

	snprintf(path, sizeof(path), FOLDER "%s.txt", name);
	f = fopen(path, "r");
	if (!f)
		fail_msg("%s: cannot be read: run me from the source tree's root", path);
	len = fread(text, 1, ROOM, f);
	fclose(f);
	assert_true(len && len < ROOM);
	return len;
}

static void expect(struct span log, const struct row *row)
{
	struct sanitizer_report report;
	char told[300];
	size_t at = 0, n = 0;

	while (sanitizer_next(log, &at, &report)) {
		snprintf(told, sizeof(told), "%s | %s", report.kind, report.frames);
		if (n == MOST || !row->reports[n])
			fail_msg("%s: one too many: %s", row->file, told);
		assert_string_equal(told, row->reports[n]);
		assert_int_equal(report.last_words, row->last_words);
		n++;
	}
	assert_int_equal(at, log.len);
	if (row->reports[n])
		fail_msg("%s: not found: %s", row->file, row->reports[n]);
}

static void reads(void **state)
{
	const struct row *row = *state;
	char text[ROOM];
	size_t len = read_file(row->file, text);

	expect(span_of(text, len), row);
}

/* In a log, and with the line ends that some loggers make. */
static void reads_among_others(void **state)
{
	const struct row *row = *state;
	char text[ROOM], log[3 * ROOM];
	size_t len = read_file(row->file, text), n;

	n = (size_t)snprintf(log, sizeof(log), "%s%.*s%s", before, (int)len, text, after);
	expect(span_of(log, n), row);
	n = (size_t)snprintf(log, sizeof(log), "%s", before);
	for (size_t i = 0; i < len; i++) {
		if (text[i] == '\n')
			log[n++] = '\r';
		log[n++] = text[i];
	}
	expect(span_of(log, n), row);
}

/* However much of it has been written yet: what is called whole is the same in the end. */
static void grows(void **state)
{
	const struct row *row = *state;
	struct sanitizer_report first, last;
	char text[ROOM];
	size_t len = read_file(row->file, text), at = 0;

	assert_true(sanitizer_next(span_of(text, len), &at, &last));
	for (size_t cut = 0; cut < len; cut += 7) {
		at = 0;
		if (!sanitizer_next(span_of(text, cut), &at, &first) || first.end != REPORT_ENDS || text[cut - 1] != '\n')
			continue;
		assert_string_equal(first.kind, last.kind);
		assert_string_equal(first.frames, last.frames);
	}
}

static void is_still_being_written(void **state)
{
	static const char summary[] = "SUMMARY: ";
	struct sanitizer_report report;
	char text[ROOM];
	size_t len = read_file("asan-gcc-over", text), at = 0;
	const char *end = memmem(text, len, summary, strlen(summary));

	(void)state;
	assert_true(sanitizer_next(span_of(text, (size_t)(end - text)), &at, &report));
	assert_int_equal(report.end, REPORT_GOES_ON);
	at = 0;
	assert_true(sanitizer_next(span_of(text, len), &at, &report));
	assert_int_equal(report.end, REPORT_ENDS);
	assert_true(report.text.at + report.text.len > (const uint8_t *)end);
}

static void nothing_in_a_log(void **state)
{
	static const char log[] =
		"1700000000: mosquitto version 2.0.11 starting\n"
		"2026-11-21 12:00:00 [error] runtime error: connection closed\n"
		"panic: mode off\n"
		"fatal error: cannot open config\n"
		"==1==LeakSanitizer has encountered a fatal error.\n"
		"==7== Memcheck, a memory error detector\n==7== \n==7== HEAP SUMMARY:\n==7==     in use at exit: 0 bytes in 0 blocks\n"
		"==7== 64 bytes in 1 blocks are still reachable in loss record 1 of 1\n==7==    at 0x48: malloc (vg_replace_malloc.c:381)\n==7==    by 0x1: main (x.c:1)\n==7== \n"
		"SUMMARY: AddressSanitizer: 5 byte(s) leaked in 1 allocation(s).\n"
		"Indirect leak of 24 byte(s) in 1 object(s) allocated from:\n    #0 0x1 in f x.c:1\n"
		"thread pool of 4 panicked at nothing\n"
		"client 'thread 'x' panicked at y' connected\n";
	struct sanitizer_report report;
	size_t at = 0;

	(void)state;
	if (sanitizer_next(span_of(log, strlen(log)), &at, &report))
		fail_msg("%s %s", report.kind, report.frames);
	assert_int_equal(at, strlen(log));
}

/* A circle of objects that point at one another has no direct leak. */
static void a_circle_leaks(void **state)
{
	static const char log[] =
		"==9==ERROR: LeakSanitizer: detected memory leaks\n\n"
		"Indirect leak of 24 byte(s) in 1 object(s) allocated from:\n    #0 0x1 in calloc (/lib/libasan.so.8+0xb)\n    #1 0x2 in mosquitto__calloc /src/memory.c:9\n    #2 0x3 in add_client /src/c.c:1:2\n    #3 0x4 in main /src/c.c:9:2\n\n"
		"Indirect leak of 4 byte(s) in 1 object(s) allocated from:\n    #0 0x1 in calloc (/lib/libasan.so.8+0xb)\n    #1 0x2 in other /src/memory.c:9\n\n"
		"SUMMARY: AddressSanitizer: 28 byte(s) leaked in 2 allocation(s).\n";
	struct sanitizer_report report;
	size_t at = 0;

	(void)state;
	assert_true(sanitizer_next(span_of(log, strlen(log)), &at, &report));
	assert_string_equal(report.kind, "leak");
	assert_string_equal(report.frames, "add_client<main");
	assert_false(sanitizer_next(span_of(log, strlen(log)), &at, &report));
}

/* Where the stack ran out is chance; how the compiler has split a function is, from build to build. */
static void chance_is_left_out(void **state)
{
	static const char *const logs[] = {
		"==9==ERROR: AddressSanitizer: stack-overflow on address 0x7f (pc 0x1)\n    #0 0x1 in leaf a.c:1\n    #1 0x1 in parse a.c:1\n    #2 0x2 in list a.c:2\n    #3 0x1 in parse a.c:3\n    #4 0x2 in list a.c:2\nSUMMARY: AddressSanitizer: x\n",
		"==9==ERROR: AddressSanitizer: stack-overflow on address 0x7e (pc 0x1)\n    #0 0x2 in list.part.0 a.c:2\n    #1 0x1 in parse.constprop.0 a.c:3\n    #2 0x2 in list.part.0 a.c:2\n    #3 0x1 in parse.constprop.0 a.c:3\nSUMMARY: AddressSanitizer: x\n",
	};
	struct sanitizer_report report;

	(void)state;
	for (size_t i = 0; i < sizeof(logs) / sizeof(*logs); i++) {
		size_t at = 0;

		assert_true(sanitizer_next(span_of(logs[i], strlen(logs[i])), &at, &report));
		assert_string_equal(report.frames, "list<parse");
	}
}

int main(void)
{
	static const struct CMUnitTest others[] = {
		cmocka_unit_test(is_still_being_written), cmocka_unit_test(nothing_in_a_log), cmocka_unit_test(a_circle_leaks), cmocka_unit_test(chance_is_left_out),
	};
	enum { N_OTHERS = sizeof(others) / sizeof(others[0]) };
	static struct CMUnitTest tests[3 * N_ROWS + N_OTHERS];

	for (size_t i = 0; i < N_ROWS; i++) {
		tests[3 * i] = (struct CMUnitTest){ .name = rows[i].file, .test_func = reads, .initial_state = (void *)&rows[i] };
		tests[3 * i + 1] = (struct CMUnitTest){ .name = rows[i].file, .test_func = reads_among_others, .initial_state = (void *)&rows[i] };
		tests[3 * i + 2] = (struct CMUnitTest){ .name = rows[i].file, .test_func = grows, .initial_state = (void *)&rows[i] };
	}
	memcpy(tests + 3 * N_ROWS, others, sizeof(others));
	return cmocka_run_group_tests_name("sanitizer", tests, NULL, NULL);
}

#include "fuzz/network/sanitizer.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "fuzz/network/frames.h"

/* ---- lines ---- */

enum { LINE = 1000, GO_LINES = 40 };

/* Reading on line by line; a copy of it looks ahead. */
struct scan {
	struct span log;
	size_t begin, at;		/* of this line; of the next */
	bool whole;			/* it ends with a newline */
	char line[LINE];		/* without colours and carriage returns, cut */
};

/* The next line. False: there is none. */
static bool next_line(struct scan *scan)
{
	const uint8_t *s = scan->log.at + scan->at, *end, *newline;
	size_t len = 0;

	if (scan->at >= scan->log.len)
		return false;
	newline = memchr(s, '\n', scan->log.len - scan->at);
	end = newline ? newline : scan->log.at + scan->log.len;
	scan->begin = scan->at;
	scan->at = (size_t)(end - scan->log.at) + !!newline;
	scan->whole = newline;
	while (s < end && len + 1 < LINE) {
		if (*s == 0x1b && s + 1 < end && s[1] == '[') {
			for (s += 2; s < end && !isalpha(*s); s++)
				;
			s += s < end;
		} else if (*s == '\r' || !*s) {
			s++;
		} else {
			scan->line[len++] = (char)*s++;
		}
	}
	scan->line[len] = '\0';
	return true;
}

static bool begins(const char *line, const char *with)
{
	return strncmp(line, with, strlen(with)) == 0;
}

static bool is_blank(const char *line)
{
	return !line[strspn(line, " \t")];
}

/* ---- kinds ---- */

/* Without what differs from one time to the next: words that are numbers or addresses; up to any of the stops. */
static void normalise(const char *text, const char *const *stops, char *kind, size_t cap)
{
	size_t len = strlen(text), n = 0;

	for (; stops && *stops; stops++) {
		const char *stop = strstr(text, *stops);

		if (stop && stop > text && (size_t)(stop - text) < len)
			len = (size_t)(stop - text);
	}
	for (const char *at = text, *end = text + len; at < end;) {
		size_t word = strcspn(at, " \t");

		if (word > (size_t)(end - at))
			word = (size_t)(end - at);
		bool number = isdigit((unsigned char)*at) || (*at == '-' && isdigit((unsigned char)at[1])) || (*at == '[' && isdigit((unsigned char)at[1]));
		if (n + word + 2 > cap)
			break;
		if (word && !number)
			n += (size_t)snprintf(kind + n, cap - n, "%s%.*s", n ? " " : "", (int)word, at);
		at += word;
		at += at < end;
	}
	kind[n] = '\0';
}

static void finish(struct sanitizer_report *report, const struct scan *scan, size_t begin, size_t end, enum sanitizer_end how)
{
	report->text = span_of(scan->log.at + begin, end - begin);
	report->end = how;
}

/* ---- AddressSanitizer and its kin ---- */

/* "==7==ERROR: AddressSanitizer: ", "WARNING: ThreadSanitizer: ": what follows; NULL: no such line. */
static const char *behind_header(const char *line)
{
	static const char *const headers[] = {
		"ERROR: AddressSanitizer: ", "ERROR: HWAddressSanitizer: ", "ERROR: MemorySanitizer: ", "ERROR: ThreadSanitizer: ", "ERROR: UndefinedBehaviorSanitizer: ", "ERROR: LeakSanitizer: ",
		"WARNING: MemorySanitizer: ", "WARNING: ThreadSanitizer: ",
	};

	for (size_t i = 0; i < sizeof(headers) / sizeof(*headers); i++) {
		const char *at = strstr(line, headers[i]);

		if (at)
			return at + strlen(headers[i]);
	}
	return NULL;
}

static bool is_summary(const char *line)
{
	return begins(line, "SUMMARY: ") && strstr(line, "Sanitizer: ");
}

static bool is_detected_leaks(const char *line)
{
	const char *text = behind_header(line);

	return text && begins(text, "detected memory leaks");
}

static void name_kind(const char *text, char *kind, size_t cap)
{
	static const struct { const char *begins, *kind; } known[] = {
		{ "attempting double-free", "double-free" },
		{ "attempting free on address", "bad-free" },
		{ "requested allocation size", "allocation-size-too-big" },
		{ "allocator is out of memory", "out-of-memory" },
		{ "SEGV ", "SEGV" }, { "ABRT ", "ABRT" }, { "FPE ", "FPE" }, { "BUS ", "BUS" }, { "ILL ", "ILL" }, { "TRAP ", "TRAP" },
	};
	static const char *const stops[] = { " on ", " (", ":", NULL };

	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++) {
		if (begins(text, known[i].begins)) {
			snprintf(kind, cap, "%s", known[i].kind);
			return;
		}
	}
	normalise(text, stops, kind, cap);
}

/* Up to its summary, which it has unless that is switched off; two stacks of it, if there are. */
static void read_stacks(struct scan *scan, size_t begin, struct frames stacks[2], struct sanitizer_report *report)
{
	struct scan ahead = *scan;
	int stack = -1;

	while (next_line(&ahead)) {
		const char *line = ahead.line;

		if (behind_header(line)) {
			finish(report, scan, begin, ahead.begin, REPORT_ENDS);
			return;
		}
		*scan = ahead;
		if (is_summary(line) || strstr(line, "==ABORTING")) {
			finish(report, scan, begin, scan->at, scan->whole ? REPORT_ENDS : REPORT_GOES_ON);
			return;
		}
		stack += begins(line + strspn(line, " "), "#0 ");
		if (stack >= 0 && stack < 2)
			frames_add_sanitizer(&stacks[stack], line);
	}
	finish(report, scan, begin, scan->at, REPORT_GOES_ON);
}

static bool read_error(struct scan *scan, struct sanitizer_report *report)
{
	const char *text = behind_header(scan->line);

	if (!text || is_detected_leaks(scan->line))
		return false;
	struct frames stacks[2] = { 0 };
	size_t begin = scan->begin;
	name_kind(text, report->kind, sizeof(report->kind));
	read_stacks(scan, begin, stacks, report);
	if (begins(report->kind, "data race"))
		frames_text_of_two(&stacks[0], &stacks[1], report->frames, sizeof(report->frames));
	else
		frames_text(&stacks[0], strcmp(report->kind, "stack-overflow") == 0, report->frames, sizeof(report->frames));
	return true;
}

/* The sanitizer's own assertion: it met what it cannot explain. */
static bool read_own_failure(struct scan *scan, struct sanitizer_report *report)
{
	if (!strstr(scan->line, "Sanitizer: CHECK failed: ") && !strstr(scan->line, "Sanitizer CHECK failed: "))
		return false;
	struct frames stacks[2] = { 0 };
	size_t begin = scan->begin;
	snprintf(report->kind, sizeof(report->kind), "CHECK failed");
	read_stacks(scan, begin, stacks, report);
	frames_text(&stacks[0], false, report->frames, sizeof(report->frames));
	return true;
}

/* ---- LeakSanitizer ---- */

static void read_leak_stack(struct scan *scan, size_t begin, struct sanitizer_report *report)
{
	struct scan ahead = *scan;
	struct frames stack = { 0 };
	bool more;

	while ((more = next_line(&ahead)) && frames_add_sanitizer(&stack, ahead.line))
		*scan = ahead;
	snprintf(report->kind, sizeof(report->kind), "leak");
	frames_text(&stack, false, report->frames, sizeof(report->frames));
	finish(report, scan, begin, scan->at, more && scan->whole ? REPORT_ENDS : REPORT_GOES_ON);
}

/* Direct ones come first in a report; where its first is none, all hangs together in a circle, and that stands for it. */
static bool read_leak(struct scan *scan, struct sanitizer_report *report)
{
	size_t begin = scan->begin;

	if (begins(scan->line, "Direct leak of ")) {
		read_leak_stack(scan, begin, report);
		return true;
	}
	if (!is_detected_leaks(scan->line))
		return false;
	struct scan ahead = *scan;
	while (next_line(&ahead) && !behind_header(ahead.line) && !is_summary(ahead.line)) {
		if (begins(ahead.line, "Direct leak of "))
			return false;		/* to be met in a moment */
		if (!begins(ahead.line, "Indirect leak of "))
			continue;
		*scan = ahead;
		read_leak_stack(scan, begin, report);
		return true;
	}
	return false;
}

/* ---- UndefinedBehaviorSanitizer ---- */

static const char *base_name(const char *path, size_t len)
{
	const char *at = path + len;

	while (at > path && at[-1] != '/')
		at--;
	return at;
}

/* "src/packet.c:12:3": "packet.c:12" */
static void take_place(const char *place, size_t len, char *text, size_t cap)
{
	const char *base = base_name(place, len), *end = place + len, *colon = memchr(base, ':', (size_t)(end - base));
	size_t digits = colon ? strspn(colon + 1, "0123456789") : 0;

	snprintf(text, cap, "%.*s", (int)(digits ? colon + 1 + digits - base : end - base), base);
}

static bool read_undefined(struct scan *scan, struct sanitizer_report *report)
{
	static const char *const stops[] = { ":", ",", " for ", " of type", " in type", " through pointer", NULL };
	static const char mark[] = ": runtime error: ";
	const char *at = strstr(scan->line, mark);
	size_t begin = scan->begin;
	enum sanitizer_end end = REPORT_MAY_GO_ON;
	char place[sizeof(report->frames)];

	/* A place stands in front of it, other than in Go's "panic: runtime error: ". */
	if (!at || at == scan->line || (!isdigit((unsigned char)at[-1]) && at[-1] != '>'))
		return false;
	struct scan ahead = *scan;
	struct frames stack = { 0 };
	normalise(at + strlen(mark), stops, report->kind, sizeof(report->kind));
	take_place(scan->line, (size_t)(at - scan->line), place, sizeof(place));
	while (next_line(&ahead)) {
		if (behind_header(ahead.line) || strstr(ahead.line, mark)) {
			end = REPORT_ENDS;
			break;
		}
		if (is_summary(ahead.line)) {
			*scan = ahead;
			end = scan->whole ? REPORT_ENDS : REPORT_MAY_GO_ON;
			break;
		}
		/* The memory that it points at may be shown in between. */
		if (!frames_add_sanitizer(&stack, ahead.line) && ahead.line[0] != ' ' && !strstr(ahead.line, ": note: ") && !is_blank(ahead.line)) {
			end = REPORT_ENDS;
			break;
		}
		*scan = ahead;
	}
	frames_text(&stack, false, report->frames, sizeof(report->frames));
	if (!*report->frames)
		snprintf(report->frames, sizeof(report->frames), "%s", place);
	finish(report, scan, begin, scan->at, end);
	return true;
}

/* ---- valgrind ---- */

/* Behind "==7== "; NULL: no line of its. */
static const char *behind_pid(const char *line)
{
	size_t digits = begins(line, "==") ? strspn(line + 2, "0123456789") : 0;

	return digits && begins(line + 2 + digits, "== ") ? line + 2 + digits + 3 : NULL;
}

/* Neither memory that is still pointed at, nor what is lost with something else. */
static bool is_lesser_leak(const char *text)
{
	return strstr(text, " in loss record ") && !strstr(text, " definitely lost ");
}

static bool is_valgrind_header(const struct scan *scan)
{
	const char *text = behind_pid(scan->line), *next;

	if (!text || *text == ' ' || !*text)
		return false;
	if (begins(text, "Process terminating with default action of signal "))
		return true;
	struct scan ahead = *scan;
	return next_line(&ahead) && (next = behind_pid(ahead.line)) && begins(next, "   at 0x");
}

static bool read_valgrind(struct scan *scan, struct sanitizer_report *report)
{
	static const char *const stops[] = { " of size ", " (", "/", " delete", ":", NULL };
	const char *text = behind_pid(scan->line);
	size_t begin = scan->begin;
	enum sanitizer_end end = REPORT_MAY_GO_ON;
	bool stacked = false, ended = false;

	if (!text || !is_valgrind_header(scan) || is_lesser_leak(text))
		return false;
	struct scan ahead = *scan;
	struct frames stack = { 0 };
	if (strstr(text, " definitely lost "))
		snprintf(report->kind, sizeof(report->kind), "leak");
	else if (begins(text, "Process terminating"))
		snprintf(report->kind, sizeof(report->kind), "%.*s", (int)strcspn(strrchr(text, ' ') + 1 + 1, ")"), strrchr(text, ' ') + 1 + 1);
	else
		normalise(text, stops, report->kind, sizeof(report->kind));
	while (next_line(&ahead) && (text = behind_pid(ahead.line))) {
		bool frame = !ended && frames_add_valgrind(&stack, ahead.line);

		if (is_blank(text)) {
			end = REPORT_ENDS;
			break;
		}
		stacked |= frame;
		ended |= stacked && !frame;	/* where the memory was allocated or freed */
		*scan = ahead;
	}
	frames_text(&stack, false, report->frames, sizeof(report->frames));
	finish(report, scan, begin, scan->at, end);
	return true;
}

/* ---- last words ---- */

static bool one_line(const struct scan *scan, struct sanitizer_report *report)
{
	report->last_words = true;
	finish(report, scan, scan->begin, scan->at, REPORT_ENDS);
	return true;
}

static bool read_glibc(struct scan *scan, struct sanitizer_report *report)
{
	static const char *const words[] = {
		"*** stack smashing detected ***", "*** buffer overflow detected ***", "*** %n in writable segment detected ***", "*** invalid %N$ use detected ***",
		"*** longjmp causes uninitialized stack frame ***", "*** bit out of range 0 - FD_SETSIZE on fd_set ***", "free(): ", "malloc(): ", "realloc(): ", "calloc(): ", "munmap_chunk(): ", "mremap_chunk(): ",
		"malloc_consolidate(): ", "corrupted size vs. prev_size", "corrupted double-linked list", "double free or corruption", "tcache_thread_shutdown(): ", "sysmalloc: Assertion", "Fatal glibc error: ",
		"malloc: ",
	};
	static const char *const stops[] = { ": terminated", NULL };

	for (size_t i = 0; i + 1 < sizeof(words) / sizeof(*words); i++) {
		if (!begins(scan->line, words[i]))
			continue;
		normalise(scan->line, stops, report->kind, sizeof(report->kind));
		return one_line(scan, report);
	}
	return false;
}

/* The last word of "static void ns::f(int)" before its arguments. */
static void take_function(const char *text, size_t len, char *name, size_t cap)
{
	const char *open = memchr(text, '(', len), *at;

	len = open ? (size_t)(open - text) : len;
	for (at = text + len; at > text && at[-1] != ' '; at--)
		;
	snprintf(name, cap, "%.*s", (int)(text + len - at), at);
}

/* Where `what` stands last in from..to; NULL. */
static const char *last_of(const char *from, const char *to, const char *what)
{
	size_t len = strlen(what);

	for (const char *at = to - len; to - from >= (ptrdiff_t)len && at >= from; at--)
		if (memcmp(at, what, len) == 0)
			return at;
	return NULL;
}

/* glibc: "broker: src/packet.c:12: take: Assertion `len' failed."; musl: "Assertion failed: len (src/packet.c: take: 12)" */
static bool read_assertion(struct scan *scan, struct sanitizer_report *report)
{
	static const char glibc[] = ": Assertion `", musl[] = "Assertion failed: ";
	const char *line = scan->line, *mark = strstr(line, glibc), *function, *file, *end;
	char name[80];

	if (mark && strstr(mark, "' failed") && (function = last_of(line, mark, ": ")) && (end = last_of(line, function, ":"))) {
		file = last_of(line, end, ": ") ? last_of(line, end, ": ") + 2 : line;
		take_function(function + 2, (size_t)(mark - function - 2), name, sizeof(name));
	} else if (begins(line, musl) && (file = strrchr(line, '(')) && (end = strstr(++file, ": "))) {
		take_function(end + 2, strcspn(end + 2, ":"), name, sizeof(name));
	} else {
		return false;
	}
	file = base_name(file, (size_t)(end - file));
	snprintf(report->frames, sizeof(report->frames), "%.*s:%s", (int)(end - file), file, name);
	snprintf(report->kind, sizeof(report->kind), "assertion");
	return one_line(scan, report);
}

static bool read_terminate(struct scan *scan, struct sanitizer_report *report)
{
	static const char mark[] = "terminate called after throwing an instance of '";

	if (!begins(scan->line, mark) && strcmp(scan->line, "terminate called without an active exception") != 0)
		return false;
	if (begins(scan->line, mark))
		snprintf(report->kind, sizeof(report->kind), "uncaught %.*s", (int)strcspn(scan->line + strlen(mark), "'"), scan->line + strlen(mark));
	else
		snprintf(report->kind, sizeof(report->kind), "terminate");
	return one_line(scan, report);
}

/* "panic: runtime error: index out of range [5] with length 3", then "goroutine 1 [running]:" and pairs of lines. */
static bool read_go(struct scan *scan, struct sanitizer_report *report)
{
	static const char *const stops[] = { " with length", " with capacity", NULL };
	static const char runtime[] = "panic: runtime error: ";
	size_t begin = scan->begin;
	bool running = false;
	char text[LINE + 8];

	if (!begins(scan->line, "panic: ") && !begins(scan->line, "fatal error: "))
		return false;
	struct scan ahead = *scan;
	struct frames stack = { 0 };
	for (unsigned i = 0; i < GO_LINES && !running && next_line(&ahead); i++)
		running = begins(ahead.line, "goroutine ") && strstr(ahead.line, " [");
	if (!running)
		return false;
	snprintf(text, sizeof(text), "%s%s", begins(scan->line, runtime) ? "panic: " : "", scan->line + (begins(scan->line, runtime) ? strlen(runtime) : 0));
	normalise(text, stops, report->kind, sizeof(report->kind));
	*scan = ahead;
	while (next_line(&ahead)) {		/* a function, and below it, indented, its place */
		struct scan below = ahead;

		if (!next_line(&below) || below.line[0] != '\t')
			break;
		if (!begins(ahead.line, "created by "))
			frames_add_go(&stack, ahead.line);
		*scan = ahead = below;
	}
	frames_text(&stack, strstr(report->kind, "stack overflow"), report->frames, sizeof(report->frames));
	report->last_words = true;
	finish(report, scan, begin, scan->at, REPORT_MAY_GO_ON);
	return true;
}

/* "thread 'main' panicked at src/main.rs:4:5:" and its message below; before Rust 1.73 "thread 'main' panicked at 'message', src/main.rs:4:5". */
static bool read_rust(struct scan *scan, struct sanitizer_report *report)
{
	static const char *const stops[] = { ": ", NULL };
	static const char mark[] = " panicked at ";
	const char *at = begins(scan->line, "thread '") ? strstr(scan->line, mark) : NULL, *message, *place;
	size_t begin = scan->begin, len;
	char text[LINE];

	if (!at)
		return false;
	struct scan ahead = *scan;
	at += strlen(mark);
	len = strlen(at);
	if (*at == '\'') {
		place = strrchr(at, ' ');
		if (!place || place - at < 3)
			return false;
		snprintf(text, sizeof(text), "panic %.*s", (int)(place - at - 3), at + 1);
		take_place(place + 1, strlen(place + 1), report->frames, sizeof(report->frames));
	} else {
		take_place(at, len - (len && at[len - 1] == ':'), report->frames, sizeof(report->frames));
		message = next_line(&ahead) ? ahead.line : "";
		snprintf(text, sizeof(text), "panic %.900s", message);
		if (*message)
			*scan = ahead;
	}
	normalise(text, stops, report->kind, sizeof(report->kind));
	report->last_words = true;
	finish(report, scan, begin, scan->at, REPORT_ENDS);
	return true;
}

/* ---- all of them ---- */

bool sanitizer_next(struct span log, size_t *at, struct sanitizer_report *report)
{
	static bool (*const readers[])(struct scan *scan, struct sanitizer_report *report) = {
		read_error, read_leak, read_undefined, read_own_failure, read_valgrind, read_glibc, read_assertion, read_terminate, read_go, read_rust,
	};
	struct scan scan;

	scan.log = log;
	scan.at = *at;
	memset(report, 0, sizeof(*report));
	while (next_line(&scan)) {
		for (size_t i = 0; i < sizeof(readers) / sizeof(*readers); i++) {
			if (readers[i](&scan, report)) {
				*at = scan.at;
				return true;
			}
		}
	}
	*at = log.len;
	return false;
}

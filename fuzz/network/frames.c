#include "fuzz/network/frames.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "codec/span.h"

enum { TOP = 3 };

/* ---- whose is it? ---- */

/* Functions of libc, of sanitizers and of what starts a program, as they are called in stacks. */
static const char *const not_ours[] = {
	"abort", "raise", "gsignal", "_start", "clone", "clone3", "start_thread", "malloc", "calloc", "realloc", "free", "reallocarray", "posix_memalign", "aligned_alloc", "memalign",
	"valloc", "pvalloc", "cfree", "malloc_usable_size", "strdup", "strndup", "asprintf", "vasprintf", "printf_common", "scanf_common", "memcpy", "memmove", "memset", "memcmp", "memchr", "memrchr", "memmem",
	"mempcpy", "bcmp", "bzero", "strlen", "strnlen", "strcpy", "strncpy", "strcat", "strncat", "strcmp", "strncmp", "strcasecmp", "strncasecmp", "strchr", "strrchr", "strstr", "strcasestr", "strspn", "strcspn",
	"strpbrk", "strtok", "strtok_r", "strsep", "strtol", "strtoll", "strtoul", "atoi", "atol", "stpcpy", "sprintf", "snprintf", "vsprintf", "vsnprintf", "printf", "fprintf", "vfprintf", "puts", "fputs", "fwrite", "fread",
	"fgets", "fopen", "read", "readv", "write", "writev", "recv", "recvfrom", "recvmsg", "send", "sendto", "sendmsg", "pread", "pwrite", "getaddrinfo", "qsort", "internal_fault", "rust_begin_unwind", "???",
};

static const char *const not_our_prefixes[] = {
	"__interceptor_", "___interceptor_", "__asan", "__sanitizer", "__ubsan", "__msan", "__tsan", "__lsan", "__hwasan", "__interception", "__GI_", "__libc_", "__assert", "__pthread_", "pthread_", "__fortify_",
	"__stack_chk_", "operator new", "operator delete", "std::", "__gnu_cxx::", "__cxx", "asan_thread_start", "asan_start_thread", "runtime.", "panic(", "gopanic", "core::", "alloc::", "__memcpy_", "__memmove_", "__memset_", "__strlen_",
};

/* In what follows a name: a file or a module. */
static const char *const not_our_places[] = {
	"/libasan.so", "/libubsan.so", "/liblsan.so", "/libtsan.so", "/libmsan.so", "/libhwasan.so", "/libc.so", "/libc-2", "/libpthread", "/ld-linux", "/ld-musl", "/libstdc++.so", "/libgcc_s.so", "/vgpreload_",
	"vg_replace_malloc.c", "vg_replace_strmem.c", "libsanitizer/", "compiler-rt/", "/sysdeps/", "./malloc/", "./stdlib/", "./nptl/", "./string/", "./assert/", "./debug/", "./csu/", "sanitizer_common",
};

/* A program's own allocator: it is not what went wrong, as long as something called it. */
static const char *const allocator_endings[] = { "malloc", "calloc", "realloc", "strdup", "strndup", "memdup", "_free", "_alloc", "_zalloc" };

static bool ends_with(const char *name, const char *ending)
{
	size_t len = strlen(name), n = strlen(ending);

	return len >= n && strcmp(name + len - n, ending) == 0;
}

static bool is_ours(const char *name, const char *place)
{
	for (size_t i = 0; i < sizeof(not_ours) / sizeof(*not_ours); i++)
		if (strcmp(name, not_ours[i]) == 0)
			return false;
	for (size_t i = 0; i < sizeof(not_our_prefixes) / sizeof(*not_our_prefixes); i++)
		if (strncmp(name, not_our_prefixes[i], strlen(not_our_prefixes[i])) == 0)
			return false;
	for (size_t i = 0; i < sizeof(not_our_places) / sizeof(*not_our_places); i++)
		if (strstr(place, not_our_places[i]))
			return false;
	return true;
}

static bool is_allocator(const char *name)
{
	for (size_t i = 0; i < sizeof(allocator_endings) / sizeof(*allocator_endings); i++)
		if (ends_with(name, allocator_endings[i]))
			return true;
	return false;
}

static void add(struct frames *frames, const char *name, const char *place)
{
	if (frames->n_seen < TOP)
		snprintf(frames->others[frames->n_seen], FRAME_NAME, "%s", name);
	frames->n_seen++;
	if (frames->n < MOST_FRAMES && *name && is_ours(name, place))
		snprintf(frames->names[frames->n++], FRAME_NAME, "%s", name);
}

/* ---- names ---- */

/* ".constprop.0", ".isra.0", ".part.3", ".cold", ".llvm.12345": how it was compiled this time. Rust's "::h0123456789abcdef" likewise. */
static void strip_clone(char *name)
{
	static const char *const clones[] = { ".constprop.", ".isra.", ".part.", ".cold", ".llvm.", ".lto_priv.", ".localalias" };
	size_t len;

	for (size_t i = 0; i < sizeof(clones) / sizeof(*clones); i++) {
		char *at = strstr(name, clones[i]);

		if (at && at > name)
			*at = '\0';
	}
	len = strlen(name);
	if (len > 19 && strncmp(name + len - 19, "::h", 3) == 0 && strspn(name + len - 16, "0123456789abcdef") == 16)
		name[len - 19] = '\0';
}

/* "packet.c:12" or "packet.c:12:3": what stands behind a name, up to a space. */
static bool is_place(const char *at)
{
	size_t len = strcspn(at, " "), digits = 0;

	if (*at == '/' || *at == '(' || *at == '<')
		return true;
	while (digits < len && isdigit((unsigned char)at[len - 1 - digits]))
		digits++;
	return digits && digits + 1 < len && at[len - 1 - digits] == ':' && at[len - 2 - digits] != ':';
}

/* Appends as much of it as there is room for. */
static void put(char *name, size_t cap, const char *text, size_t n)
{
	size_t len = strlen(name);

	snprintf(name + len, cap - len, "%.*s", (int)n, text);
}

static const char *behind_arguments(const char *s)
{
	size_t depth = 0;

	for (; *s; s++) {
		depth += *s == '(';
		if (*s == ')' && --depth == 0)
			return s + 1;
	}
	return s;
}

/*
 * The function's name at `s`, before a place or the line's end: without arguments, those of templates neither, and without the type that stands in front where a template returns it. What is behind it.
 */
static const char *take_name(const char *s, char *name, size_t cap)
{
	static const char anonymous[] = "(anonymous namespace)::", call[] = "operator()";
	size_t depth = 0;

	*name = '\0';
	while (*s) {
		bool is_operator = ends_with(name, "operator");

		if (!depth && strncmp(s, anonymous, strlen(anonymous)) == 0) {
			s += strlen(anonymous);
		} else if (!depth && strncmp(s, call, strlen(call)) == 0) {
			put(name, cap, call, strlen(call));
			s += strlen(call);
		} else if (!depth && *s == '(') {
			return *name && s[-1] != ' ' ? behind_arguments(s) : s;
		} else if (!depth && *s == ' ' && !is_operator) {
			if (!s[1] || is_place(s + 1))
				return s;
			*name = '\0';
			s++;
		} else {
			depth += *s == '<' && *name && !is_operator;
			if (!depth)
				put(name, cap, s, 1);
			depth -= *s == '>' && depth;
			s++;
		}
	}
	return s;
}

/* "(/usr/bin/broker+0x1234)": "broker+0x1234", the same wherever it was loaded. */
static bool take_module(const char *place, char *name, size_t cap)
{
	const char *open = strchr(place, '('), *plus = open ? strrchr(open, '+') : NULL, *base;
	size_t digits;

	if (!plus || strncmp(plus, "+0x", 3) != 0)
		return false;
	digits = strspn(plus + 3, "0123456789abcdef");
	for (base = plus; base > open + 1 && base[-1] != '/'; base--)
		;
	snprintf(name, cap, "%.*s", (int)(plus + 3 + digits - base), base);
	return true;
}

bool frames_add_sanitizer(struct frames *frames, const char *line)
{
	char name[200] = "";
	const char *at = line + strspn(line, " \t");
	size_t digits;

	if (*at != '#' || !(digits = strspn(at + 1, "0123456789")) || at[1 + digits] != ' ')
		return false;
	at += 1 + digits;
	at += strspn(at, " ");
	if (strncmp(at, "0x", 2) == 0) {
		at += strcspn(at, " ");
		at += strspn(at, " ");
		if (strncmp(at, "in ", 3) == 0)
			at += 3;
	}
	const char *place = at;
	if (*at != '(' || strncmp(at, "(anonymous", 10) == 0)
		place = take_name(at, name, sizeof(name));
	strip_clone(name);
	if (!*name || strcmp(name, "<null>") == 0)
		take_module(place, name, sizeof(name));
	add(frames, name, place);
	return true;
}

bool frames_add_valgrind(struct frames *frames, const char *line)
{
	char name[200] = "";
	const char *at = strstr(line, "    at 0x"), *place;

	if (!at)
		at = strstr(line, "    by 0x");
	if (!at || !(at = strstr(at, ": ")))
		return false;
	place = take_name(at + 2, name, sizeof(name));
	strip_clone(name);
	add(frames, name, place);
	return true;
}

void frames_add_go(struct frames *frames, const char *line)
{
	char name[200];
	const char *end = strrchr(line, '(');

	snprintf(name, sizeof(name), "%.*s", end ? (int)(end - line) : (int)strlen(line), line);
	if (strcmp(name, "panic") != 0 && strncmp(name, "runtime/", 8) != 0)
		add(frames, name, "");
}

/* ---- as text ---- */

static void append(char *text, size_t cap, const char *name)
{
	size_t len = strlen(text);

	snprintf(text + len, cap - len, "%s%s", len ? "<" : "", name);
}

static unsigned count(const struct frames *frames, const char *name)
{
	unsigned n = 0;

	for (unsigned i = 0; i < frames->n; i++)
		n += strcmp(frames->names[i], name) == 0;
	return n;
}

/* The next in the alphabet of those that recur. */
static const char *recurring_after(const struct frames *frames, const char *name)
{
	const char *next = NULL;

	for (unsigned i = 0; i < frames->n; i++)
		if (strcmp(frames->names[i], name) > 0 && (!next || strcmp(frames->names[i], next) < 0) && count(frames, frames->names[i]) > 1)
			next = frames->names[i];
	return next;
}

void frames_text(const struct frames *frames, bool recursion, char *text, size_t cap)
{
	const char *name = "";
	unsigned first = 0;

	*text = '\0';
	for (unsigned i = 0; recursion && i < TOP && (name = recurring_after(frames, name)); i++)
		append(text, cap, name);
	if (*text)
		return;
	while (first < frames->n && is_allocator(frames->names[first]))
		first++;
	if (first == frames->n)
		first = 0;
	for (unsigned i = first; i < frames->n && i < first + TOP; i++)
		append(text, cap, frames->names[i]);
	for (unsigned i = 0; !frames->n && i < frames->n_seen && i < TOP; i++)
		if (*frames->others[i])
			append(text, cap, frames->others[i]);
}

void frames_text_of_two(const struct frames *a, const struct frames *b, char *text, size_t cap)
{
	const char *x = a->n ? a->names[0] : a->others[0], *y = b->n ? b->names[0] : b->others[0];
	bool swap = strcmp(x, y) > 0;

	*text = '\0';
	append(text, cap, swap ? y : x);
	append(text, cap, swap ? x : y);
}

#include "fuzz/network/warden_internal.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness/escape.h"

/*
 * Sanitizers write where log_path says, one file for each process; what was told otherwise, valgrind, glibc and assert() write to stderr, which we read as well.
 */
#define FILE_PREFIX "report."
#define MAY_GO_ON_NS (200 * MS)		/* nothing has come for that long: it is whole */
#define STACK_NS (2000 * MS)		/* its stack may follow: symbols are looked up first, for long on a busy machine */
#define WORDS_NS (1000 * MS)		/* last words are followed by death */
#define GOES_ON_NS (10000 * MS)		/* its end is to come, but symbols are looked up at leisure */
#define MOST_NS (60000 * MS)		/* other words may come all the time */

enum { MOST_READ = 1 << 20, TAIL = 2 * KEPT_OUTPUT, OVERLAP = 8 << 10 };

/* ---- the environment ---- */

/* Options are parted by colons or spaces; the value may be in quotes. */
static bool has_option(const char *options, const char *name)
{
	size_t len = strlen(name);

	for (const char *at = options; (at = strstr(at, name)); at += len)
		if ((at == options || strchr(": ,\t\n", at[-1])) && at[len] == '=')
			return true;
	return false;
}

/* Ours in front, so that a later one of the user's wins; but reports must be where we look, hence log_path behind. */
static void add_options(struct warden *w, const char *variable, const char *const *ours)
{
	const char *users = getenv(variable);
	char *value = NULL;
	size_t size;
	FILE *f = open_memstream(&value, &size);

	if (!f)
		abort();
	for (; *ours; ours++) {
		char name[64];

		snprintf(name, sizeof(name), "%.*s", (int)strcspn(*ours, "="), *ours);
		if (!users || !has_option(users, name))
			fprintf(f, "%s:", *ours);
	}
	if (users && *users)
		fprintf(f, "%s:", users);
	if (*w->reports.folder)
		fprintf(f, "log_path='%s/report'", w->reports.folder);
	fclose(f);
	if (!value)
		abort();
	child_environment(process_child(w->process), variable, value);
	free(value);
}

void reports_init(struct warden *w, const char *folder)
{
	static const char *const address[] = { "print_stacktrace=1", "quarantine_size_mb=1", "allocator_release_to_os_interval_ms=500", "handle_abort=1", NULL };
	static const char *const others[] = { "print_stacktrace=1", "handle_abort=1", NULL };
	static const char *const leak[] = { NULL };
	char absolute[PATH_MAX];

	/* Absolute, since the command may go elsewhere before it starts what reports. A quote in the path could not be written. */
	if (realpath(folder, absolute) && !strchr(absolute, '\'') && strlen(absolute) + sizeof("/.reports-XXXXXX") <= sizeof(w->reports.folder)) {
		sprintf(w->reports.folder, "%s/.reports-XXXXXX", absolute);
		if (!mkdtemp(w->reports.folder))
			w->reports.folder[0] = '\0';
	}
	add_options(w, "ASAN_OPTIONS", address);
	add_options(w, "UBSAN_OPTIONS", others);
	add_options(w, "LSAN_OPTIONS", leak);
	add_options(w, "MSAN_OPTIONS", others);
	add_options(w, "TSAN_OPTIONS", others);
	w->reports.tail = malloc(TAIL);
	if (!w->reports.tail)
		abort();
	reports_forget(w);
}

void reports_release(struct warden *w)
{
	if (w->reports.tail)
		reports_forget(w);
	if (*w->reports.folder)
		rmdir(w->reports.folder);
	free(w->reports.tail);
	w->reports.tail = NULL;
}

/* ---- symptoms ---- */

static bool is_known(const struct reports *r, const struct sanitizer_report *report)
{
	for (unsigned i = 0; i < r->n_known; i++)
		if (strcmp(r->known[i].kind, report->kind) == 0 && strcmp(r->known[i].frames, report->frames) == 0)
			return true;
	return false;
}

void reports_know(struct warden *w, const struct sanitizer_report *report)
{
	struct reports *r = &w->reports;

	if (r->n_known == MOST_KNOWN)
		return;
	memcpy(r->known[r->n_known].kind, report->kind, sizeof(report->kind));
	memcpy(r->known[r->n_known++].frames, report->frames, sizeof(report->frames));
}

void reports_symptom(const struct sanitizer_report *report, struct symptom *symptom)
{
	size_t len = report->text.len < sizeof(symptom->detail) ? report->text.len : sizeof(symptom->detail) - 1;
	char bucket[sizeof(report->kind) + sizeof(report->frames) + 16], safe[4 * sizeof(bucket)];

	snprintf(bucket, sizeof(bucket), "sanitizer %s%s%s", report->kind, *report->frames ? " " : "", report->frames);
	escape_bytes(bucket, strlen(bucket), safe, sizeof(safe));
	warden_symptom(symptom, ORACLE_SANITIZER, safe, "reported: %s", safe + strlen("sanitizer "));
	memcpy(symptom->detail, report->text.at, len);
	symptom->detail[len] = '\0';
}

/* ---- looking ---- */

static bool has_stack(const struct sanitizer_report *report)
{
	return memmem(report->text.at, report->text.len, "#0 ", 3) || memmem(report->text.at, report->text.len, "   at 0x", 8);
}

static bool is_whole(const struct source *source, const struct sanitizer_report *report, uint64_t now)
{
	uint64_t quiet_ns = now - source->changed_ns;

	if (report->last_words)
		return quiet_ns >= WORDS_NS || now - source->began_ns >= GOES_ON_NS;
	switch (report->end) {
	case REPORT_ENDS:       return true;
	case REPORT_MAY_GO_ON:  return quiet_ns >= (has_stack(report) ? MAY_GO_ON_NS : STACK_NS) || now - source->began_ns >= GOES_ON_NS;
	case REPORT_GOES_ON:    break;
	}
	return quiet_ns >= GOES_ON_NS || now - source->began_ns >= MOST_NS;
}

/* The new reports in text; *taken: how much of it need not be looked at again. False: one is not whole yet. */
static bool take(struct warden *w, struct source *source, struct span text, bool over, size_t *taken,
                 void (*found)(struct warden *w, const struct sanitizer_report *report))
{
	struct sanitizer_report report;
	uint64_t now = clock_now(&w->loop->clock);
	size_t at = 0;

	*taken = 0;
	while (sanitizer_next(text, &at, &report)) {
		if (!source->began_ns)
			source->began_ns = now;
		if (!over && !is_whole(source, &report, now))
			return false;
		source->began_ns = 0;
		*taken = at;
		if (!is_known(&w->reports, &report))
			found(w, &report);
	}
	return true;
}

static struct source *source_named(struct reports *r, const char *name)
{
	for (size_t i = 0; i < MOST_FILES; i++) {
		if (strcmp(r->files[i].name, name) == 0)
			return &r->files[i];
		if (r->files[i].name[0] == '\0') {
			snprintf(r->files[i].name, sizeof(r->files[i].name), "%s", name);
			return &r->files[i];
		}
	}
	return NULL;
}

static bool look_at_file(struct warden *w, const char *name, bool over, void (*found)(struct warden *w, const struct sanitizer_report *report))
{
	struct source *source = strlen(name) < sizeof(source->name) ? source_named(&w->reports, name) : NULL;
	char path[sizeof(w->reports.folder) + 300], *text;
	size_t taken, len = 0;
	struct stat st;
	ssize_t n;

	snprintf(path, sizeof(path), "%s/%s", w->reports.folder, name);
	int fd = source ? open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW) : -1;
	if (fd < 0)
		return true;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || (size_t)st.st_size <= source->taken) {
		close(fd);
		return true;
	}
	if ((size_t)st.st_size != source->size) {
		source->size = (size_t)st.st_size;
		source->changed_ns = clock_now(&w->loop->clock);
	}
	text = malloc(MOST_READ);
	if (!text)
		abort();
	while (len < MOST_READ && (n = pread(fd, text + len, MOST_READ - len, (off_t)(source->taken + len))) > 0)
		len += (size_t)n;
	close(fd);
	bool whole = take(w, source, span_of(text, len), over, &taken, found);
	source->taken += taken;
	free(text);
	return whole;
}

static bool look_at_files(struct warden *w, bool over, void (*found)(struct warden *w, const struct sanitizer_report *report))
{
	DIR *folder = *w->reports.folder ? opendir(w->reports.folder) : NULL;
	struct dirent *entry;
	bool whole = true;

	while (folder && (entry = readdir(folder)))
		if (strncmp(entry->d_name, FILE_PREFIX, strlen(FILE_PREFIX)) == 0)
			whole &= look_at_file(w, entry->d_name, over, found);
	if (folder)
		closedir(folder);
	return whole;
}

static void drop_front(struct reports *r, size_t n)
{
	r->tail_len -= n;
	memmove(r->tail, r->tail + n, r->tail_len);
}

/* Of what nothing was to be taken the end is kept: a report may have begun in it. */
static bool look_at_output(struct warden *w, bool over, void (*found)(struct warden *w, const struct sanitizer_report *report))
{
	struct reports *r = &w->reports;
	size_t n, taken;
	bool whole;

	n = child_output_since(process_child(w->process), &r->output_read, r->tail + r->tail_len, TAIL - r->tail_len);
	if (n)
		r->output.changed_ns = clock_now(&w->loop->clock);
	else if (!over && !r->output.began_ns)
		return true;
	r->tail_len += n;
	whole = take(w, &r->output, span_of(r->tail, r->tail_len), over, &taken, found);
	drop_front(r, taken);
	if (whole && r->tail_len > OVERLAP)
		drop_front(r, r->tail_len - OVERLAP);
	else if (r->tail_len > KEPT_OUTPUT)
		drop_front(r, r->tail_len - KEPT_OUTPUT);
	return whole;
}

bool reports_look(struct warden *w, bool over, void (*found)(struct warden *w, const struct sanitizer_report *report))
{
	bool whole;

	if (!w->process)
		return true;
	whole = look_at_files(w, over, found);
	return look_at_output(w, over, found) && whole;
}

void reports_forget(struct warden *w)
{
	DIR *folder = *w->reports.folder ? opendir(w->reports.folder) : NULL;
	char path[sizeof(w->reports.folder) + 300];
	struct dirent *entry;

	while (folder && (entry = readdir(folder))) {
		if (strncmp(entry->d_name, FILE_PREFIX, strlen(FILE_PREFIX)) != 0)
			continue;
		snprintf(path, sizeof(path), "%s/%s", w->reports.folder, entry->d_name);
		unlink(path);
	}
	if (folder)
		closedir(folder);
	memset(w->reports.files, 0, sizeof(w->reports.files));
	w->reports.output = (struct source){ 0 };
	w->reports.tail_len = w->reports.output_read = 0;
}

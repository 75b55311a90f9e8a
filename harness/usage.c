#include "harness/usage.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "harness/load/procfs.h"

enum {
	MOST_PROCESSES = 4096,		/* on this machine that are looked at: a bound, not a measure */
	WAITS = 9,			/* see usage_wanted() */
};

struct one {
	pid_t pid, parent, group;
	uint64_t rss, began;
	bool ours;
};

/* pid (name) state ppid pgrp ... starttime vsize rss: the name may hold anything, parentheses too. False: gone, or a zombie. */
static bool read_one(const char *pid, struct one *one)
{
	char path[64], text[1024];
	const char *behind_name;
	unsigned long long began, pages;
	char state;
	int parent, group;

	snprintf(path, sizeof(path), "/proc/%.20s/stat", pid);
	if (!procfs_text("", path, text, sizeof(text)) || !(behind_name = strrchr(text, ')')))
		return false;
	if (sscanf(behind_name, ") %c %d %d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu %*u %llu", &state, &parent, &group, &began, &pages) != 5)
		return false;
	*one = (struct one){ .pid = atoi(pid), .parent = parent, .group = group, .rss = pages * (uint64_t)sysconf(_SC_PAGESIZE), .began = began };
	return state != 'Z' && state != 'X';
}

static size_t read_all(struct one *all, size_t cap)
{
	DIR *folder = opendir("/proc");
	struct dirent *entry;
	size_t n = 0;

	while (folder && n < cap && (entry = readdir(folder)))
		if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9' && read_one(entry->d_name, &all[n]))
			n++;
	if (folder)
		closedir(folder);
	return n;
}

static bool parent_is_ours(const struct one *all, size_t n, pid_t parent)
{
	for (size_t i = 0; i < n; i++)
		if (all[i].ours && all[i].pid == parent)
			return true;
	return false;
}

/* Those of the subject, moved to the front. */
static size_t select_ours(struct one *all, size_t n, struct subject subject)
{
	size_t ours = 0;
	bool more = true;

	for (size_t i = 0; i < n; i++)
		all[i].ours = subject.group ? all[i].group == subject.pid : all[i].pid == subject.pid;
	while (more && !subject.group) {
		more = false;
		for (size_t i = 0; i < n; i++) {
			if (all[i].ours || !parent_is_ours(all, n, all[i].parent))
				continue;
			all[i].ours = more = true;
		}
	}
	for (size_t i = 0; i < n; i++)
		if (all[i].ours)
			all[ours++] = all[i];
	return ours;
}

/* Finer than the ticks of /proc. */
static uint64_t cpu_ns(pid_t pid)
{
	clockid_t id;
	struct timespec t;

	if (clock_getcpuclockid(pid, &id) != 0 || clock_gettime(id, &t) < 0)
		return 0;
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Of its threads that live: time on a core, time in which they waited for one, times that they got one. */
static uint64_t waited_ns(pid_t pid)
{
	char path[320], text[128];
	unsigned long long waited;
	uint64_t sum = 0;
	struct dirent *thread;
	DIR *folder;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	folder = opendir(path);
	while (folder && (thread = readdir(folder))) {
		snprintf(path, sizeof(path), "/proc/%d/task/%s/schedstat", pid, thread->d_name);
		if (thread->d_name[0] != '.' && procfs_text("", path, text, sizeof(text)) && sscanf(text, "%*u %llu", &waited) == 1)
			sum += waited;
	}
	if (folder)
		closedir(folder);
	return sum;
}

static int by_size(const void *a, const void *b)
{
	const struct one *x = a, *y = b;

	return (x->rss < y->rss) - (x->rss > y->rss);
}

/* Given; NULL where there is nobody. */
static struct one *members(struct subject subject, size_t *n)
{
	struct one *all;

	*n = 0;
	if (subject.pid <= 0)
		return NULL;
	all = malloc(MOST_PROCESSES * sizeof(*all));
	if (!all)
		abort();
	*n = select_ours(all, read_all(all, MOST_PROCESSES), subject);
	return all;
}

size_t usage_members(struct subject subject, pid_t *pids, size_t cap)
{
	size_t n;
	struct one *ours = members(subject, &n);

	if (n)
		qsort(ours, n, sizeof(*ours), by_size);
	if (n > cap)
		n = cap;
	for (size_t i = 0; i < n; i++)
		pids[i] = ours[i].pid;
	free(ours);
	return n;
}

bool usage_of(struct subject subject, struct usage *usage)
{
	size_t n;
	struct one *ours = members(subject, &n);

	*usage = (struct usage){ .n = (unsigned)n };
	for (size_t i = 0; i < n; i++) {
		usage->rss += ours[i].rss;
		usage->cpu_ns += cpu_ns(ours[i].pid);
		usage->waited_ns += waited_ns(ours[i].pid);
		if (ours[i].pid == subject.pid)
			usage->began = ours[i].began;
	}
	free(ours);
	return n;
}

uint64_t usage_wanted(const struct usage *before, const struct usage *after)
{
	uint64_t used = after->cpu_ns > before->cpu_ns ? after->cpu_ns - before->cpu_ns : 0;		/* less: some of them have ended */
	uint64_t waited = after->waited_ns > before->waited_ns ? after->waited_ns - before->waited_ns : 0;

	return used + (waited < WAITS * used ? waited : WAITS * used);
}

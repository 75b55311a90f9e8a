#include "fuzz/network/resources.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "harness/load/procfs.h"

enum { MOST_PROCESSES = 4096 };		/* on this machine that are looked at: a bound, not a measure */

#define HUGE_MAPPING (UINT64_C(256) << 30)

struct one {
	pid_t pid, parent, group;
	uint64_t rss;
	bool ours;
};

/* pid (name) state ppid pgrp ... rss: the name may hold anything, parentheses too. False: gone, or a zombie. */
static bool read_one(const char *pid, struct one *one)
{
	char path[64], text[1024];
	const char *behind_name;
	unsigned long long pages;
	char state;
	int parent, group;

	snprintf(path, sizeof(path), "/proc/%.20s/stat", pid);
	if (!procfs_text("", path, text, sizeof(text)) || !(behind_name = strrchr(text, ')')))
		return false;
	if (sscanf(behind_name, ") %c %d %d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %*u %*u %llu", &state, &parent, &group, &pages) != 4)
		return false;
	*one = (struct one){ .pid = atoi(pid), .parent = parent, .group = group, .rss = pages * (uint64_t)sysconf(_SC_PAGESIZE) };
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

static uint64_t cpu_of(pid_t pid)
{
	clockid_t id;
	struct timespec t;

	if (clock_getcpuclockid(pid, &id) != 0 || clock_gettime(id, &t) < 0)
		return 0;
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

bool resources_of(struct subject subject, struct resources *resources)
{
	size_t n;
	struct one *ours = members(subject, &n);

	*resources = (struct resources){ .n = (unsigned)n };
	for (size_t i = 0; i < n; i++) {
		resources->rss += ours[i].rss;
		resources->cpu_ns += cpu_of(ours[i].pid);
	}
	free(ours);
	return n;
}

/* Of all its threads: time on a core, time that it waited for one, and how often. */
static uint64_t waited_ns(pid_t pid)
{
	char path[80], text[128];
	unsigned long long waited;
	struct dirent *thread;
	uint64_t sum = 0;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	DIR *threads = opendir(path);
	while (threads && (thread = readdir(threads))) {
		snprintf(path, sizeof(path), "/proc/%d/task/%.20s/schedstat", pid, thread->d_name);
		if (thread->d_name[0] != '.' && procfs_text("", path, text, sizeof(text)) && sscanf(text, "%*u %llu", &waited) == 1)
			sum += waited;
	}
	if (threads)
		closedir(threads);
	return sum;
}

uint64_t resources_waited_ns(struct subject subject)
{
	size_t n;
	struct one *ours = members(subject, &n);
	uint64_t sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += waited_ns(ours[i].pid);
	free(ours);
	return sum;
}

/* A line of maps: "7fff8000-10007fff8000 rw-p 00000000 00:00 0    /path". */
static bool tells_of_sanitizer(const char *line)
{
	unsigned long long from, to;

	if (strstr(line, "/libasan.so") || strstr(line, "/liblsan.so") || strstr(line, "/libhwasan.so") || strstr(line, "/vgpreload_"))
		return true;
	return sscanf(line, "%llx-%llx", &from, &to) == 2 && to > from && to - from >= HUGE_MAPPING;
}

static bool sanitized(pid_t pid)
{
	char path[64], line[512];
	bool found = false;
	FILE *maps;

	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	maps = procfs_open("", path);
	while (maps && !found && fgets(line, sizeof(line), maps))
		found = tells_of_sanitizer(line);
	if (maps)
		fclose(maps);
	return found;
}

bool resources_sanitized(struct subject subject)
{
	size_t n;
	struct one *ours = members(subject, &n);
	bool found = false;

	for (size_t i = 0; i < n && !found; i++)
		found = sanitized(ours[i].pid);
	free(ours);
	return found;
}

void resources_name(struct subject subject, char *name, size_t cap)
{
	size_t n;
	struct one *ours = members(subject, &n), *largest = ours;
	char link[64], path[512];
	ssize_t len;

	*name = '\0';
	for (size_t i = 1; i < n; i++)
		if (ours[i].rss > largest->rss)
			largest = &ours[i];
	if (n) {
		snprintf(link, sizeof(link), "/proc/%d/exe", largest->pid);
		len = readlink(link, path, sizeof(path) - 1);
		path[len > 0 ? len : 0] = '\0';
		snprintf(name, cap, "%s", strrchr(path, '/') ? strrchr(path, '/') + 1 : "");
	}
	free(ours);
}

uint64_t resources_oom_kills(void)
{
	uint64_t n = 0;

	procfs_line("", "/proc/vmstat", "oom_kill ", &n);
	return n;
}

#include "harness/usage.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Finer than the ticks of /proc. */
static uint64_t cpu_ns(pid_t pid)
{
	struct timespec t;
	clockid_t id;

	if (clock_getcpuclockid(pid, &id) || clock_gettime(id, &t))
		return 0;
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* proc(5): state, its group, and what follows the name, which may hold anything. */
static bool read_stat(const char *pid, pid_t *group, struct usage *usage)
{
	unsigned long long began, pages;
	char path[64], line[1024], *behind_name, state;
	long of_group;

	snprintf(path, sizeof(path), "/proc/%.20s/stat", pid);
	FILE *f = fopen(path, "r");
	if (!f)
		return false;
	bool read = fgets(line, sizeof(line), f);
	fclose(f);
	behind_name = read ? strrchr(line, ')') : NULL;
	if (!behind_name || sscanf(behind_name, ") %c %*d %ld %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu %*u %llu",
	                           &state, &of_group, &began, &pages) != 4 || state == 'Z' || state == 'X')
		return false;
	*group = (pid_t)of_group;
	*usage = (struct usage){
		.rss = pages * (uint64_t)sysconf(_SC_PAGESIZE), .cpu_ns = cpu_ns((pid_t)atol(pid)), .began = began,
	};
	return true;
}

bool usage_of_process(pid_t pid, struct usage *usage)
{
	char name[24];
	pid_t group;

	snprintf(name, sizeof(name), "%ld", (long)pid);
	return read_stat(name, &group, usage);
}

bool usage_of_group(pid_t group, struct usage *usage)
{
	struct dirent *one;
	struct usage of_one;
	DIR *all = opendir("/proc");
	pid_t its;
	bool any = false;

	*usage = (struct usage){ 0 };
	while (all && (one = readdir(all))) {
		if (one->d_name[0] < '1' || one->d_name[0] > '9' || !read_stat(one->d_name, &its, &of_one) || its != group)
			continue;
		usage->rss += of_one.rss;
		usage->cpu_ns += of_one.cpu_ns;
		any = true;
	}
	if (all)
		closedir(all);
	return any;
}

#include "fuzz/network/resources.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "harness/load/procfs.h"

enum { MOST_MEMBERS = 64 };

#define HUGE_MAPPING (UINT64_C(256) << 30)

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
	pid_t pids[MOST_MEMBERS];
	size_t n = usage_members(subject, pids, MOST_MEMBERS);
	bool found = false;

	for (size_t i = 0; i < n && !found; i++)
		found = sanitized(pids[i]);
	return found;
}

void resources_name(struct subject subject, char *name, size_t cap)
{
	char link[64], path[512];
	ssize_t len;
	pid_t largest;

	*name = '\0';
	if (!usage_members(subject, &largest, 1))
		return;
	snprintf(link, sizeof(link), "/proc/%d/exe", largest);
	len = readlink(link, path, sizeof(path) - 1);
	path[len > 0 ? len : 0] = '\0';
	snprintf(name, cap, "%s", strrchr(path, '/') ? strrchr(path, '/') + 1 : "");
}

uint64_t resources_oom_kills(void)
{
	uint64_t n = 0;

	procfs_line("", "/proc/vmstat", "oom_kill ", &n);
	return n;
}

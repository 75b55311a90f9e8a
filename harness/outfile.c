#include "harness/outfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char *copied(const char *text)
{
	char *copy = strdup(text);

	if (!copy)
		abort();
	return copy;
}

static void forget(struct outfile *file)
{
	free(file->path);
	free(file->temporary);
	*file = (struct outfile){ 0 };
}

static int failed(struct outfile *file, int error)
{
	forget(file);
	return -error;
}

/* mkstemp() gives 0600; a report is as readable as anything else that its owner writes. */
static int make_temporary(struct outfile *file, mode_t mode)
{
	size_t size = strlen(file->path) + sizeof(".XXXXXX");
	char *name = malloc(size);

	if (!name)
		abort();
	snprintf(name, size, "%s.XXXXXX", file->path);
	int fd = mkstemp(name);
	if (fd < 0 || fchmod(fd, mode)) {
		int error = errno;

		if (fd >= 0) {
			unlink(name);
			close(fd);
		}
		free(name);
		errno = error;
		return -1;
	}
	file->temporary = name;
	return fd;
}

static mode_t usual_mode(void)
{
	mode_t mask = umask(0);

	umask(mask);
	return 0666 & ~mask;
}

int outfile_open(struct outfile *file, const char *path)
{
	struct stat st;
	bool exists = stat(path, &st) == 0;
	int fd;

	*file = (struct outfile){ 0 };
	if (!exists && errno != ENOENT)
		return -errno;
	if (exists && S_ISDIR(st.st_mode))
		return -EISDIR;
	if (!*path)
		return -ENOENT;
	file->path = exists ? realpath(path, NULL) : copied(path);
	if (!file->path)
		return failed(file, errno);
	if (exists && !S_ISREG(st.st_mode))
		fd = open(path, O_WRONLY | O_CLOEXEC);
	else if (exists && access(path, W_OK))
		return failed(file, errno);
	else
		fd = make_temporary(file, exists ? st.st_mode & 0777 : usual_mode());
	if (fd < 0)
		return failed(file, errno);
	file->stream = fdopen(fd, "w");
	if (!file->stream)
		abort();
	return 0;
}

int outfile_close(struct outfile *file)
{
	int error = ferror(file->stream) ? EIO : 0;

	errno = 0;
	if (fclose(file->stream) && !error)
		error = errno ? errno : EIO;
	if (!error && file->temporary && rename(file->temporary, file->path))
		error = errno;
	if (error && file->temporary)
		unlink(file->temporary);
	return failed(file, error);
}

int outfile_check(const char *path)
{
	struct outfile file;
	struct stat st;

	/* To open a pipe could wait for its reader. */
	if (stat(path, &st) == 0 && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
		return access(path, W_OK) ? -errno : 0;
	int error = outfile_open(&file, path);
	if (error)
		return error;
	fclose(file.stream);
	if (file.temporary)
		unlink(file.temporary);
	forget(&file);
	return 0;
}

/*
 * The main that needs no fuzzer: plays inputs through a target, every file named and every file in the folders named.
 * replay_NAME [-r TIMES] PATH...   with -r all of them so often, and then what a second of the processor does.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "fuzz/target.h"

static struct input_file {
	uint8_t *data;
	size_t size;
} *inputs;
static size_t n_inputs;

static void die(const char *path)
{
	fprintf(stderr, "%s: %s\n", path, strerror(errno));
	exit(3);
}

static void *must_have(void *room)
{
	if (!room)
		die("replay");
	return room;
}

static void read_file(const char *path, size_t size)
{
	uint8_t *data = must_have(malloc(size + 1));	/* something even for nothing */
	FILE *f = fopen(path, "rb");

	if (!f || fread(data, 1, size, f) != size)
		die(path);
	fclose(f);
	inputs = must_have(realloc(inputs, (n_inputs + 1) * sizeof(*inputs)));
	inputs[n_inputs++] = (struct input_file){ data, size };
}

static void read_path(const char *path)
{
	struct stat st;
	struct dirent **entries;
	int n;

	if (stat(path, &st) < 0)
		die(path);
	if (!S_ISDIR(st.st_mode)) {
		read_file(path, (size_t)st.st_size);
		return;
	}
	n = scandir(path, &entries, NULL, alphasort);
	if (n < 0)
		die(path);
	for (int i = 0; i < n; i++) {
		char below[4096];

		if (entries[i]->d_name[0] != '.' &&
		    snprintf(below, sizeof(below), "%s/%s", path, entries[i]->d_name) < (int)sizeof(below))
			read_path(below);
		free(entries[i]);
	}
	free(entries);
}

static void play(const struct input_file *input)
{
	uint8_t *data = must_have(malloc(input->size ? input->size : 1));	/* of the exact size, so that a sanitizer sees the first byte too far */

	if (input->size)
		memcpy(data, input->data, input->size);
	LLVMFuzzerTestOneInput(data, input->size);
	free(data);
}

static double processor_time(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

int main(int argc, char **argv)
{
	long times = 0;
	int first = 1;

	if (argc > 2 && !strcmp(argv[1], "-r") && (times = strtol(argv[2], NULL, 10)) > 0)
		first = 3;
	for (int i = first; i < argc; i++)
		read_path(argv[i]);
	double start = processor_time();
	for (long n = 0; n < times || n == 0; n++)
		for (size_t i = 0; i < n_inputs; i++)
			play(&inputs[i]);
	double seconds = processor_time() - start;

	printf("%s: %zu inputs\n", argv[0], n_inputs);
	if (times && seconds > 0) {
		printf("  %.0f inputs/s of one core\n", (double)times * (double)n_inputs / seconds);
		if (&fuzz_packets && n_inputs)
			printf("  %.1f packets per input, %.0f packets/s of one core\n", (double)fuzz_packets / ((double)times * (double)n_inputs),
			       (double)fuzz_packets / seconds);
	}
	for (size_t i = 0; i < n_inputs; i++)
		free(inputs[i].data);
	free(inputs);
	return n_inputs ? 0 : 3;
}

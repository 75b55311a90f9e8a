#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuzz/network/finding_internal.h"
#include "harness/artifacts.h"
#include "harness/escape.h"
#include "harness/outfile.h"

/* A folder of findings. */

enum { MAX_REPORT = 1 << 16 };

static char *join(const char *folder, const char *name)
{
	char *path = NULL;
	int len = asprintf(&path, "%s/%s", folder, name);

	assert(len >= 0);
	return path;
}

/* "death signal 11" is death-signal-11; what a file name cannot hold is told apart by a hash. */
static char *folder_of(const char *folder, const struct symptom *symptom)
{
	char words[sizeof(symptom->bucket)], name[ESCAPE_FILE_NAME];

	snprintf(words, sizeof(words), "%s", symptom->bucket);
	for (char *at = words; *at; at++)
		if (*at == ' ')
			*at = '-';
	return join(folder, escape_file_name(words, name));
}

/* ---- files ---- */

static int write_file(const char *path, const struct finding_file *f, void (*write)(FILE *out, const struct finding_file *f))
{
	struct outfile file;
	int error = outfile_open(&file, path);

	if (error < 0)
		return error;
	write(file.stream, f);
	return outfile_close(&file);
}

static int copy_file(const char *from, const char *to)
{
	char block[1 << 14];
	struct outfile file;
	size_t n;
	FILE *in = fopen(from, "rbe");
	int error = in ? outfile_open(&file, to) : -errno;

	if (error < 0) {
		if (in)
			fclose(in);
		return error;
	}
	while ((n = fread(block, 1, sizeof(block), in)))
		fwrite(block, 1, n, file.stream);
	bool failed = ferror(in);
	fclose(in);
	error = outfile_close(&file);
	return failed ? -EIO : error;
}

/* ---- the report ---- */

static void put_lines(FILE *out, const char *text)
{
	while (*text) {
		size_t len = strcspn(text, "\n");

		fputs("    ", out);
		escape_text_n(out, text, len);
		fputc('\n', out);
		text += len + (text[len] == '\n');
	}
}

static void put_row(FILE *out, const char *name, const char *text)
{
	if (!text || !*text)
		return;
	fprintf(out, "%-9s ", name);
	escape_text(out, text);
	fputc('\n', out);
}

static const char *plural(unsigned n)
{
	return n == 1 ? "" : "s";
}

static void write_report(FILE *out, const struct finding_file *f)
{
	unsigned n_packets = 0, clients = 0;
	char title[200], number[32];

	for (uint32_t i = 0; i < f->moves->n; i++) {
		n_packets += move_sends(&f->moves->at[i]);
		clients |= 1u << f->moves->at[i].client % MOVES_CLIENTS;
	}
	finding_title(f, title, sizeof(title));
	put_row(out, "title", title);
	put_row(out, "bucket", f->symptom->bucket);
	fputs("hits      1\n", out);
	put_row(out, "oracle", oracle_names[f->symptom->oracle % N_ORACLES]);
	put_row(out, "seen", f->symptom->text);
	put_row(out, "target", f->target);
	put_row(out, "case", f->lineage);
	snprintf(number, sizeof(number), "%llu", (unsigned long long)f->seed);
	put_row(out, "seed", number);
	put_row(out, "made from", f->seed_name);
	put_row(out, "by", f->anomaly ? f->anomaly->name : NULL);
	put_row(out, "at", f->anomaly ? f->anomaly->path : NULL);
	if (f->minimised.of)
		fprintf(out, "shows     %u of %u\n", f->minimised.shows, f->minimised.of);
	else
		fputs("shows     not tried: the target was gone; the last case before it was seen is a guess\n", out);
	int n_clients = __builtin_popcount(clients);
	fprintf(out, "least     %u packet%s of %d client%s, after %u trial%s%s\n", n_packets, plural(n_packets), n_clients, plural((unsigned)n_clients), f->minimised.n_trials,
	        plural(f->minimised.n_trials),
	        f->minimised.complete ? "" : "; the time was over before it could be made smaller");
	put_row(out, "again", f->command);
	if (f->symptom->detail[0]) {
		fputs("\n", out);
		put_lines(out, f->symptom->detail);
	}
}

/* One more in the line "hits N". What somebody else wrote there, or took away, stays as it is. */
static int count_hit(const char *path)
{
	static const char row[] = "\nhits ";
	char *text = malloc(MAX_REPORT + 1), *hits, *end;
	FILE *in = fopen(path, "rbe");
	struct outfile file;
	int error = in ? 0 : -errno;

	assert(text);
	size_t len = in ? fread(text, 1, MAX_REPORT, in) : 0;
	if (in && ferror(in))
		error = -EIO;
	if (in)
		fclose(in);
	text[len] = '\0';
	hits = error || len == MAX_REPORT ? NULL : strstr(text, row);
	if (hits && !error) {
		unsigned long long n = strtoull(hits + strlen(row), &end, 10);

		error = *end == '\n' ? outfile_open(&file, path) : 1;
		if (!error) {
			fprintf(file.stream, "%.*s%s     %llu%s", (int)(hits - text), text, row, n + 1, end);
			error = outfile_close(&file);
		}
	}
	free(text);
	return error < 0 && error != -ENOENT ? error : 0;
}

/* ---- a finding ---- */

static int keep_first(const char *folder, const struct finding_file *f, const char *pcap_from, char **at)
{
	struct {
		const char *name;
		void (*write)(FILE *out, const struct finding_file *f);
	} files[] = { { "wire.hex", finding_hex }, { "report.txt", write_report }, { "finding.scn", finding_write } };
	int error = 0;

	if (mkdir(folder, 0777) < 0 && errno != EEXIST)
		return -errno;
	if (pcap_from) {
		free(*at);
		*at = join(folder, "wire.pcapng");
		error = copy_file(pcap_from, *at);
	}
	/* finding.scn is the last: where it stands, all does. */
	for (size_t i = 0; i < sizeof(files) / sizeof(*files) && !error; i++) {
		free(*at);
		*at = join(folder, files[i].name);
		error = write_file(*at, f, files[i].write);
	}
	return error;
}

int finding_keep(const char *folder, const struct finding_file *f, const char *pcap_from, char *path, size_t cap)
{
	char *bucket = folder_of(folder, f->symptom), *at = strdup(folder), *report = join(bucket, "report.txt"), *finding = join(bucket, "finding.scn");
	int error;

	assert(at);
	error = artifacts_prepare(folder);
	if (!error && access(finding, F_OK) == 0) {
		error = count_hit(report);
		snprintf(path, cap, "%s", error ? report : finding);
	} else {
		if (!error) {
			free(at);
			at = strdup(bucket);
			assert(at);
			error = keep_first(bucket, f, pcap_from, &at);
		}
		snprintf(path, cap, "%s", at);
	}
	free(bucket);
	free(at);
	free(report);
	free(finding);
	return error;
}

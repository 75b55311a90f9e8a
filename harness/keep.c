#include "harness/keep.h"

#include <errno.h>
#include <string.h>

#include "harness/artifacts.h"
#include "harness/cli.h"
#include "harness/conform_options.h"
#include "harness/console.h"
#include "harness/pcap_writer.h"
#include "harness/recording.h"

static const struct conform_options *const conf = &conform_options;

static struct pcap_file *file;
static struct pcap_writer *writer;
static struct recorder *recorder;
static unsigned n_folders;
static int artifacts_error;		/* negative errno */

static int unwritable(const char *path, int error)
{
	console_error("write %s: %s", console_safe(path), strerror(error));
	return EXIT_UNABLE;
}

int keep_open(struct conduct_options *o)
{
	int error = conf->artifacts ? artifacts_prepare(conf->artifacts) : 0;

	if (error)
		return unwritable(conf->artifacts, -error);
	if (conf->pcap && !(file = pcap_file_create(conf->pcap)))
		return unwritable(conf->pcap, errno);
	if (file) {
		writer = pcap_writer_new(pcap_file_output(file));
		o->tap = pcap_writer_tap(writer);
	}
	if (conf->artifacts)
		o->recorder = recorder = recorder_new(conf->artifacts);
	return 0;
}

void keep_target(const char *label, bool simulated)
{
	uint64_t epoch_ns = pcap_epoch_ns(simulated);

	if (writer)
		pcap_writer_target(writer, label, epoch_ns);
	if (recorder)
		recorder_target(recorder, label, epoch_ns);
}

void keep_connections(const struct run *run, const struct run_target *target, const char *name)
{
	struct replay_file how;
	char failed[4096];

	if (!recorder || artifacts_error)
		return;
	conform_keep(&how, name);
	artifacts_error = artifacts_write(conf->artifacts, run, target, &how, conform_password_file(), &n_folders, failed, sizeof(failed));
	if (artifacts_error)
		unwritable(failed, -artifacts_error);
	replay_release(&how);
}

int keep_close(int code)
{
	bool whole = !artifacts_error;

	if (file) {
		pcap_writer_free(writer);
		int error = pcap_file_close(file);
		if (error)
			console_error("write %s: %s; what was captured is not whole", console_safe(conf->pcap), strerror(error));
		whole &= !error;
	}
	if (n_folders && !conf->quiet)
		console_print(stderr, "%u %s in %s\n", n_folders, n_folders == 1 ? "folder" : "folders", console_safe(conf->artifacts));
	recorder_free(recorder);
	return whole || code != EXIT_PASS ? code : EXIT_UNABLE;
}

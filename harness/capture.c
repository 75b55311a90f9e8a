#include "harness/capture.h"

#include <errno.h>
#include <string.h>

#include "harness/cli.h"
#include "harness/conform_options.h"
#include "harness/console.h"
#include "harness/pcap_writer.h"

static const struct conform_options *const conf = &conform_options;

static struct pcap_file *file;
static struct pcap_writer *writer;

int capture_open(struct conduct_options *o)
{
	if (!conf->pcap)
		return 0;
	if (!(file = pcap_file_create(conf->pcap))) {
		console_error("write %s: %s", console_safe(conf->pcap), strerror(errno));
		return EXIT_UNABLE;
	}
	writer = pcap_writer_new(pcap_file_output(file));
	o->tap = pcap_writer_tap(writer);
	return 0;
}

void capture_target(const char *label, bool simulated)
{
	if (writer)
		pcap_writer_target(writer, label, pcap_epoch_ns(simulated));
}

int capture_close(int code)
{
	if (!file)
		return code;
	pcap_writer_free(writer);
	int error = pcap_file_close(file);
	if (!error)
		return code;
	console_error("write %s: %s; what was captured is not whole", console_safe(conf->pcap), strerror(error));
	return code == EXIT_PASS ? EXIT_UNABLE : code;
}

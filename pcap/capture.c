#include "pcap/capture.h"

#include <pcap/pcap.h>
#include <stdio.h>
#include <stdlib.h>

struct capture {
	pcap_t *pcap;
	uint64_t frame, bytes;
	bool ended;
};

struct capture *capture_open_file(const char *path, struct capture_error *error)
{
	char why[PCAP_ERRBUF_SIZE];
	pcap_t *pcap = pcap_open_offline_with_tstamp_precision(path, PCAP_TSTAMP_PRECISION_NANO, why);
	struct capture *c;

	*error = (struct capture_error){ .world = true };
	if (!pcap) {
		snprintf(error->text, sizeof(error->text), "%.200s", why);
		return NULL;
	}
	c = calloc(1, sizeof(*c));
	if (!c)
		abort();
	c->pcap = pcap;
	return c;
}

enum capture_status capture_next(struct capture *c, struct record *record, struct capture_error *why)
{
	struct pcap_pkthdr *head;
	const u_char *bytes;
	int got = c->ended ? PCAP_ERROR_BREAK : pcap_next_ex(c->pcap, &head, &bytes);

	if (got != 1) {
		c->ended = true;
		if (got == PCAP_ERROR_BREAK)
			return CAPTURE_END;
		snprintf(why->text, sizeof(why->text), "%s", pcap_geterr(c->pcap));
		return CAPTURE_BROKEN;
	}
	*record = (struct record){
		.when = { ++c->frame, (uint64_t)head->ts.tv_sec * 1000000000u + (uint64_t)head->ts.tv_usec },
		.link_type = (uint32_t)pcap_datalink(c->pcap),
		.bytes = span_of(bytes, head->caplen), .original_len = head->len,
	};
	c->bytes += head->caplen;
	return CAPTURE_RECORD;
}

void capture_close(struct capture *c)
{
	if (!c)
		return;
	pcap_close(c->pcap);
	free(c);
}

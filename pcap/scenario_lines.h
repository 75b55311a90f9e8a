#ifndef PCAP_SCENARIO_LINES_H
#define PCAP_SCENARIO_LINES_H

#include "pcap/conversation.h"

/* Packets as steps of a `capture` file: text in a buffer of the writer's own, which grows. */

struct line {			/* zeroed to begin with; release with free(line.at) */
	uint8_t *at;
	size_t len, cap;
};

void line_text(struct line *line, const char *text);
void line_format(struct line *line, const char *format, ...) __attribute__((format(printf, 2, 3)));	/* up to 500 bytes */
void line_string(struct line *line, struct span s);	/* quoted */
void line_packet(struct line *line, const struct packet *packet, enum sender from);	/* as codec/text.h */

/* Whether it can be written as one step: a file's may have so many words and signs, and no packet that means anything comes near it. */
bool line_fits(const struct packet *packet);

/*
 * What stands behind `->`: the packet as it was, but for the fields that are the broker's to choose: name is the number of the
 * name that stands for the broker's packet id, 0 for none. A password is left out unless `secrets`.
 * One that the standard forbids, or that does not fit, is written as its bytes.
 */
void line_send(struct line *line, const struct seen_packet *seen, uint32_t name, bool secrets);

/*
 * What stands behind `<-`: what another broker should do too, whatever its ids, limits and defaults. name as above, bound
 * by a PUBLISH when `binds`; of CONNACK the name that the assigned client identifier gets.
 */
void line_expect(struct line *line, const struct seen_packet *seen, uint32_t name, bool binds);

#endif

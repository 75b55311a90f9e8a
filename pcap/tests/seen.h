#ifndef PCAP_TESTS_SEEN_H
#define PCAP_TESTS_SEEN_H

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "pcap/out.h"
#include "pcap/views.h"

/* Observers without a decoder: packets as they would be seen, and what is written of them. */

static inline struct when seen_at(uint64_t frame, uint64_t ns)
{
	return (struct when){ frame, UINT64_C(1700000000000000000) + ns };
}

static inline struct conversation seen_conversation(uint32_t number, enum version version)
{
	return (struct conversation){
		.number = number, .stream = number + 6, .client = { 4, { 10, 0, 0, 1 }, 50000 }, .broker = { 6, { [15] = 1 }, 1883 },
		.version = version, .version_known = true, .from_start = true, .roles_known = true, .first = seen_at(1, 0),
	};
}

/* Bytes that frame_next() takes as one whole packet; a PUBLISH's topic is as if there were no alias. */
static inline struct seen_packet seen_packet(struct conversation *c, enum sender from, struct span bytes, struct when when)
{
	struct seen_packet seen = { .conversation = c, .from = from, .when = when, .first = when, .bytes = bytes, .sure = true, .confidence = 100 };
	struct finding finding;
	enum frame_status framed = frame_next(bytes.at, bytes.len, &seen.frame, &finding);

	assert(framed == FRAME_OK && seen.frame.size == bytes.len);
	seen.status = decode(bytes.at, bytes.len, c->version, &seen.packet, &seen.finding);
	if (seen.status == CODEC_OK && seen.packet.type == PUBLISH && seen.packet.topic.len)
		seen.topic = seen.packet.topic;
	return seen;
}

/* An out whose bytes can be asked for. */
struct paper {
	struct out out;
	char *text;
};

static inline void paper_init(struct paper *paper)
{
	int fd = memfd_create("paper", MFD_CLOEXEC);

	assert(fd >= 0 && out_init(&paper->out, fd));
	paper->text = NULL;
}

/* What was written since the last time; valid until the next. */
static inline const char *paper_take(struct paper *paper)
{
	out_flush(&paper->out);
	off_t len = lseek(paper->out.fd, 0, SEEK_CUR);

	assert(!paper->out.error && len >= 0);
	free(paper->text);
	paper->text = calloc(1, (size_t)len + 1);
	assert(paper->text && pread(paper->out.fd, paper->text, (size_t)len, 0) == len);
	assert(ftruncate(paper->out.fd, 0) == 0 && lseek(paper->out.fd, 0, SEEK_SET) == 0);
	return paper->text;
}

static inline void paper_release(struct paper *paper)
{
	int fd = paper->out.fd;

	out_release(&paper->out);
	close(fd);
	free(paper->text);
}

#endif

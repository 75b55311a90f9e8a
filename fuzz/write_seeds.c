/* Writes what seeds.h makes, and the scenarios themselves, as corpora: FOLDER/TARGET/HASH, for the targets that take them. */
#include <errno.h>
#include <fcntl.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuzz/mutator/recorded.h"
#include "fuzz/mutator/seeds.h"
#include "fuzz/write_seeds.h"
#include "harness/embedded.h"

enum { EXIT_UNABLE = 3, MOST_STREAM = 4096, MOST_TEXT = 16384, PIECE = 255 };

/* fuzz_stream.c: the stream is seen from its start, in the version that its CONNECT says; what is in a piece. */
enum { FROM_START = 4, PIECE_BYTES = 3 << 2 };

static const char *folder;
static unsigned long n_written;

static void die(const char *path)
{
	fprintf(stderr, "%s: %s\n", path, strerror(errno));
	exit(EXIT_UNABLE);
}

static void make_folder(const char *target)
{
	char path[4096];

	snprintf(path, sizeof(path), "%s/%s", folder, target);
	if (mkdir(path, 0777) < 0 && errno != EEXIST)
		die(path);
}

void write_input(const char *target, struct span bytes)
{
	unsigned char hash[SHA_DIGEST_LENGTH];
	char path[4096];
	int len = snprintf(path, sizeof(path), "%s/%s/", folder, target), fd;

	SHA1(bytes.at, bytes.len, hash);
	for (size_t i = 0; i < sizeof(hash) && len + 3 < (int)sizeof(path); i++)
		len += snprintf(path + len, sizeof(path) - (size_t)len, "%02x", hash[i]);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	if (fd < 0 && errno == EEXIST)
		return;
	if (fd < 0 || write(fd, bytes.at, bytes.len) != (ssize_t)bytes.len || close(fd) < 0)
		die(path);
	n_written++;
}

/* ---- packets, and both ends' streams ---- */

struct packets {
	struct packet_sink sink;	/* first */
	uint8_t room[MOST_STREAM];
	struct writer stream;		/* of the conversation's first client; one that has grown past its room is not written */
};

static void finish_stream(struct packets *p)
{
	if (p->stream.len > 2 && wr_fits(&p->stream))
		write_input("stream", wr_span(&p->stream));
}

static void on_began(struct packet_sink *sink)
{
	struct packets *p = (struct packets *)sink;

	finish_stream(p);
	p->stream = writer_to(p->room, sizeof(p->room));
	wr_u8(&p->stream, FROM_START);
	wr_u8(&p->stream, 0);
}

static void on_packet(struct packet_sink *sink, uint8_t client, enum sender from, enum version version, struct span bytes)
{
	struct packets *p = (struct packets *)sink;

	if (bytes.len <= MOST_STREAM) {
		write_input("decode", bytes);
		write_as_text(from, version, bytes);
		write_as_frames(from, bytes);
	}
	while (client == 0 && bytes.len) {
		struct span piece = span_of(bytes.at, bytes.len < PIECE ? bytes.len : PIECE);

		wr_u8(&p->stream, PIECE_BYTES | (from == FROM_SERVER));
		wr_u8(&p->stream, (unsigned)piece.len);
		wr_bytes(&p->stream, piece);
		bytes = span_of(bytes.at + piece.len, bytes.len - piece.len);
	}
}

/* A case, and the number that its mutation draws from. */
static void write_mutations(const struct seeds *seeds)
{
	static uint8_t room[8 + (1 << 16)];

	for (size_t i = 0; i < seeds->n; i += 8) {
		struct writer w = writer_to(room, sizeof(room));

		wr_u32(&w, (uint32_t)i);
		wr_u32(&w, (uint32_t)~i);
		wr_bytes(&w, seeds->at[i].bytes);
		if (wr_fits(&w))
			write_input("mutate", wr_span(&w));
	}
}

static void write_scenarios(void)
{
	for (const struct embedded *e = embedded; e->name; e++) {
		size_t len = strlen(e->name);

		if (len > 4 && !strcmp(e->name + len - 4, ".scn") && e->end - e->start <= MOST_TEXT)
			write_input("scenario", span_of(e->start, (size_t)(e->end - e->start)));
	}
}

int main(int argc, char **argv)
{
	static struct packets packets = { .sink = { on_began, on_packet } };
	static const char *const targets[] = { "broker", "decode", "mutate", "scenario", "stream", "text", "websocket" };
	struct seeds seeds;

	if (argc != 2) {
		fprintf(stderr, "usage: %s FOLDER; writes FOLDER/TARGET/HASH\n", argv[0]);
		return 2;
	}
	folder = argv[1];
	if (mkdir(folder, 0777) < 0 && errno != EEXIST)
		die(folder);
	for (size_t i = 0; i < sizeof(targets) / sizeof(*targets); i++)
		make_folder(targets[i]);
	if (!seeds_make_telling(&seeds, 1u << MQTT_3_1 | 1u << MQTT_3_1_1 | 1u << MQTT_5, &packets.sink))
		return EXIT_UNABLE;
	finish_stream(&packets);
	for (size_t i = 0; i < seeds.n; i++)
		write_input("broker", seeds.at[i].bytes);
	write_mutations(&seeds);
	seeds_release(&seeds);
	write_texts();
	write_websockets();
	write_scenarios();
	printf("%s: %lu inputs\n", folder, n_written);
	return 0;
}

#include "pcap/source.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

enum {
	PIECE = 256 * 1024,		/* read at once: a few records' processing fits between, and it stays in the cache */
	ROOM = SOURCE_MOST + PIECE,	/* only what a record needs of it is ever touched */
	WINDOW_LOG = 25,		/* zstd's window, 32 MiB: the largest that fits in the memory we promise; zstd makes larger ones with --ultra or --long only */
	STOP_MS = 100,
};

enum packing { PLAIN, GZIP, ZSTD };

struct reading {
	struct source source;
	int fd;				/* -1: memory */
	volatile sig_atomic_t stopped;
	off_t start;			/* where the file's first byte is */
	struct span memory;
	enum packing packing;
	uint8_t *packed_room;
	struct span packed;		/* what came compressed and waits to be unpacked */
	bool packed_ended, between;	/* no more comes; a member or frame has ended, and the next has not begun */
	z_stream gzip;
	ZSTD_DStream *zstd;
	uint8_t *room;
};

static struct reading *reading_of(struct source *s)
{
	return (struct reading *)s;
}

/* ---- what comes in ---- */

__attribute__((format(printf, 2, 3)))
static void fail(struct reading *r, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(r->source.failure, sizeof(r->source.failure), format, args);
	va_end(args);
}

static bool wait_readable(struct reading *r, int wait_ms)
{
	struct pollfd p = { .fd = r->fd, .events = POLLIN };

	return poll(&p, 1, wait_ms) > 0;
}

/* At least one byte; 0 at the end, also when stopped or failed. */
static size_t read_raw(struct reading *r, uint8_t *to, size_t cap)
{
	while (r->fd >= 0 && !r->stopped) {
		if (r->source.may_wait && !wait_readable(r, STOP_MS))
			continue;
		ssize_t n = read(r->fd, to, cap);
		if (n >= 0)
			return (size_t)n;
		if (errno != EINTR && errno != EAGAIN) {
			fail(r, "read: %s", strerror(errno));
			break;
		}
	}
	return 0;
}

static bool refill_packed(struct reading *r)
{
	if (r->packed.len)
		return true;
	size_t n = r->packed_ended ? 0 : read_raw(r, r->packed_room, PIECE);
	r->packed_ended = !n;
	if (n)
		r->packed = span_of(r->packed_room, n);
	return n;
}

/* ---- unpacking: some bytes; 0 at the end ---- */

static void fail_early(struct reading *r)
{
	if (!*r->source.failure && !r->stopped)
		fail(r, "the compressed data ends early: the file is cut");
}

static size_t unpack_gzip(struct reading *r, uint8_t *to, size_t cap)
{
	z_stream *z = &r->gzip;

	z->next_out = to;
	z->avail_out = (unsigned)cap;
	while (z->avail_out == cap) {
		if (!refill_packed(r)) {
			if (!r->between)
				fail_early(r);
			return 0;
		}
		if (r->between) {
			if (*r->packed.at != 0x1f)	/* padding behind the last member, which gzip passes over too */
				return 0;
			inflateReset(z);
			r->between = false;
		}
		z->next_in = (uint8_t *)r->packed.at;
		z->avail_in = (unsigned)r->packed.len;
		int got = inflate(z, Z_NO_FLUSH);
		r->packed = span_of(z->next_in, z->avail_in);
		r->between = got == Z_STREAM_END;
		if (got != Z_OK && got != Z_STREAM_END && got != Z_BUF_ERROR) {
			fail(r, "the gzip data is corrupt: %s", z->msg ? z->msg : zError(got));
			break;
		}
	}
	return cap - z->avail_out;
}

static size_t unpack_zstd(struct reading *r, uint8_t *to, size_t cap)
{
	ZSTD_outBuffer out = { to, cap, 0 };

	while (!out.pos) {
		bool flushed = !refill_packed(r);
		ZSTD_inBuffer in = { r->packed.at, r->packed.len, 0 };
		size_t got = flushed && r->between ? 0 : ZSTD_decompressStream(r->zstd, &out, &in);

		r->packed = span_of(r->packed.at + in.pos, r->packed.len - in.pos);
		if (ZSTD_isError(got)) {
			if (ZSTD_getErrorCode(got) == ZSTD_error_frameParameter_windowTooLarge)
				fail(r, "needs a zstd window of more than %d MiB: unpack it with `zstd -dc --long=31` and decode -", 1 << (WINDOW_LOG - 20));
			else
				fail(r, "the zstd data is corrupt: %s", ZSTD_getErrorName(got));
			break;
		}
		r->between = !got;
		if (flushed && !out.pos) {
			if (!r->between)
				fail_early(r);
			break;
		}
	}
	return out.pos;
}

static size_t read_some(struct reading *r, uint8_t *to, size_t cap)
{
	switch (r->packing) {
	case GZIP: return unpack_gzip(r, to, cap);
	case ZSTD: return unpack_zstd(r, to, cap);
	case PLAIN: break;
	}
	return read_raw(r, to, cap);
}

bool source_fill(struct source *s, size_t n)
{
	struct reading *r = reading_of(s);
	size_t here = (size_t)(s->end - s->at);

	if (s->ended || n > SOURCE_MOST)
		return false;
	if (here && s->at != r->room)
		memmove(r->room, s->at, here);
	s->at = r->room;
	while (here < n && !s->ended) {
		size_t got = *s->failure || r->stopped ? 0 : read_some(r, r->room + here, PIECE);

		s->ended = !got;
		here += got;
	}
	s->end = s->at + here;
	return here >= n;
}

bool source_skip(struct source *s, uint64_t n)
{
	for (;;) {
		size_t here = (size_t)(s->end - s->at), piece = here < n ? here : (size_t)n;

		source_take(s, piece);
		n -= piece;
		if (!n || !source_need(s, 1))
			return !n;
	}
}

bool source_idle(struct source *s, int wait_ms)
{
	struct reading *r = reading_of(s);

	return s->at == s->end && r->source.may_wait && !s->ended && !r->packed.len && !wait_readable(r, wait_ms);
}

/* ---- opening ---- */

static bool begins(const struct source *s, const char *magic, size_t len)
{
	return (size_t)(s->end - s->at) >= len && !memcmp(s->at, magic, len);
}

static bool is_zstd(const struct source *s)
{
	if (begins(s, "\x28\xb5\x2f\xfd", 4))
		return true;
	/* Frames that carry no data may stand before the first one that does, as pzstd writes them. */
	return s->end - s->at >= 4 && (s->at[0] & 0xf0) == 0x50 && !memcmp(s->at + 1, "\x2a\x4d\x18", 3);
}

/* What came first is packed: it goes where packed bytes wait. Memory is unpacked from where it is. */
static bool unpack_from_here(struct reading *r, enum packing packing)
{
	struct source *s = &r->source;

	r->packed = span_of(s->at, (size_t)(s->end - s->at));
	if (r->fd >= 0) {
		r->packed_room = malloc(2 * PIECE);	/* the first piece may be a second one behind less than a magic */
		if (!r->packed_room)
			return false;
		memcpy(r->packed_room, r->packed.at, r->packed.len);
		r->packed.at = r->packed_room;
	}
	if (packing == GZIP && inflateInit2(&r->gzip, 16 + MAX_WBITS) != Z_OK)
		return false;
	r->packing = packing;
	if (packing == ZSTD) {
		r->zstd = ZSTD_createDStream();
		if (!r->zstd || ZSTD_isError(ZSTD_DCtx_setParameter(r->zstd, ZSTD_d_windowLogMax, WINDOW_LOG)))
			return false;
	}
	if (!r->room)
		r->room = malloc(ROOM);
	r->packed_ended = s->ended;
	s->at = s->end = r->room;
	s->ended = false;
	s->compressed = true;
	return r->room;
}

static bool recognise(struct reading *r, struct capture_error *error)
{
	static const struct { const char *magic; size_t len; const char *name; } others[] = {
		{ "BZh", 3, "bzip2" }, { "\xfd" "7zX", 4, "xz" }, { "\x04\x22\x4d\x18", 4, "lz4" },
	};
	struct source *s = &r->source;

	source_need(s, 4);
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		if (begins(s, others[i].magic, others[i].len)) {
			snprintf(error->text, sizeof(error->text), "is compressed by %s: unpack it first, as in `%s -dc FILE | mqassay decode -`",
			         others[i].name, others[i].name);
			return false;
		}
	enum packing packing = begins(s, "\x1f\x8b", 2) ? GZIP : is_zstd(s) ? ZSTD : PLAIN;
	if (packing == PLAIN || unpack_from_here(r, packing))
		return true;
	snprintf(error->text, sizeof(error->text), "unpack: out of memory");
	return false;
}

/* From the first byte on. */
static bool begin(struct reading *r, struct capture_error *error)
{
	struct source *s = &r->source;

	s->offset = 0;
	s->compressed = false;
	s->failure[0] = '\0';
	s->ended = r->fd < 0;
	if (s->ended) {			/* memory: all of it is here */
		s->at = r->memory.at;
		s->end = s->at + r->memory.len;
	} else {
		if (!r->room)
			r->room = malloc(ROOM);
		s->at = s->end = r->room;
	}
	if (s->ended || r->room)
		return recognise(r, error);
	snprintf(error->text, sizeof(error->text), "out of memory");
	return false;
}

static void end_unpacking(struct reading *r)
{
	if (r->packing == GZIP)
		inflateEnd(&r->gzip);
	ZSTD_freeDStream(r->zstd);
	free(r->packed_room);
	r->gzip = (z_stream){ 0 };
	r->zstd = NULL;
	r->packed_room = NULL;
	r->packed = (struct span){ 0 };
	r->packing = PLAIN;
	r->between = false;
}

static struct source *opened(struct reading *r, struct capture_error *error)
{
	if (begin(r, error))
		return &r->source;
	source_close(&r->source);
	return NULL;
}

static int open_path(const char *path, struct capture_error *error)
{
	struct stat st;
	int fd = !strcmp(path, "-") ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || fstat(fd, &st) < 0) {
		snprintf(error->text, sizeof(error->text), "open: %s", strerror(errno));
		return -1;
	}
	if (S_ISDIR(st.st_mode)) {
		snprintf(error->text, sizeof(error->text), "is a folder");
		close(fd);
		return -1;
	}
	return fd;
}

struct source *source_open(const char *path, struct capture_error *error)
{
	struct reading *r;
	struct stat st;

	*error = (struct capture_error){ .world = true };
	int fd = open_path(path, error);
	if (fd < 0)
		return NULL;
	r = calloc(1, sizeof(*r));
	if (!r)
		abort();
	r->fd = fd;
	r->source.may_wait = fstat(fd, &st) < 0 || !S_ISREG(st.st_mode);
	r->start = lseek(fd, 0, SEEK_CUR);
	return opened(r, error);
}

struct source *source_of_memory(struct span bytes, struct capture_error *error)
{
	struct reading *r = calloc(1, sizeof(*r));

	*error = (struct capture_error){ .world = true };
	if (!r)
		abort();
	r->fd = -1;
	r->memory = bytes.len ? bytes : span_text("");
	return opened(r, error);
}

bool source_rewind(struct source *s)
{
	struct reading *r = reading_of(s);
	struct capture_error error;

	if (r->fd >= 0 && (r->source.may_wait || lseek(r->fd, r->start, SEEK_SET) < 0))
		return false;
	end_unpacking(r);
	if (begin(r, &error))
		return true;
	fail(r, "%.150s", error.text);
	return false;
}

void source_stop(struct source *s)
{
	reading_of(s)->stopped = 1;
}

void source_close(struct source *s)
{
	struct reading *r = reading_of(s);

	if (!s)
		return;
	if (r->fd > STDIN_FILENO)
		close(r->fd);
	end_unpacking(r);
	free(r->room);
	free(r);
}

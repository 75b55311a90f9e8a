#include "harness/recording.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness/pcap_writer.h"

enum { SLOT = 64 * 1024, MAX_SLOTS = RECORDING_MAX / SLOT };

struct recorder {
	const char *folder;
	char *label;
	uint64_t epoch_ns;
	int spool;			/* -1 until it is needed */
	uint32_t n_slots;		/* that the spool has */
	uint32_t *unused;		/* those that nobody holds */
	size_t n_unused, cap_unused;
};

struct recording {
	struct pcap_output output;
	struct recorder *recorder;
	struct pcap_writer *writer;
	uint8_t *room;			/* what comes behind the slots */
	size_t len, cap;
	uint32_t *slots;		/* of the spool, each full */
	size_t n_slots, cap_slots;
	int error;
	bool cut;
};

static void *must(void *p)
{
	if (!p)
		abort();
	return p;
}

static void append(uint32_t **list, size_t *n, size_t *cap, uint32_t value)
{
	if (*n == *cap) {
		*cap = *cap ? *cap * 2 : 16;
		*list = must(realloc(*list, *cap * sizeof(**list)));
	}
	(*list)[(*n)++] = value;
}

/* ---- the spool ---- */

static int make_spool(struct recorder *r)
{
	char name[4096];
	int fd = open(r->folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	if (fd >= 0)
		return fd;
	if ((size_t)snprintf(name, sizeof(name), "%s/.spool.XXXXXX", r->folder) >= sizeof(name)) {	/* not every file system can do without a name */
		errno = ENAMETOOLONG;
		return -1;
	}
	fd = mkostemp(name, O_CLOEXEC);
	if (fd >= 0)
		unlink(name);
	return fd;
}

/* 0 or a positive errno. */
static int write_slot(struct recorder *r, uint32_t slot, const uint8_t *bytes)
{
	for (size_t done = 0; done < SLOT;) {
		ssize_t n = pwrite(r->spool, bytes + done, SLOT - done, (off_t)slot * SLOT + (off_t)done);

		if (n < 0 && errno != EINTR)
			return errno;
		done += n > 0 ? (size_t)n : 0;
	}
	return 0;
}

static int read_slot(struct recorder *r, uint32_t slot, uint8_t *bytes)
{
	for (size_t done = 0; done < SLOT;) {
		ssize_t n = pread(r->spool, bytes + done, SLOT - done, (off_t)slot * SLOT + (off_t)done);

		if (n == 0)
			return EIO;
		if (n < 0 && errno != EINTR)
			return errno;
		done += n > 0 ? (size_t)n : 0;
	}
	return 0;
}

/* The room is full: it becomes a slot, and is empty. */
static void spool(struct recording *g)
{
	struct recorder *r = g->recorder;

	if (r->spool < 0 && (r->spool = make_spool(r)) < 0) {
		g->error = errno;
		return;
	}
	uint32_t slot = r->n_unused ? r->unused[--r->n_unused] : r->n_slots++;
	append(&g->slots, &g->n_slots, &g->cap_slots, slot);
	g->error = write_slot(r, slot, g->room);
	g->len = 0;
}

static void keep(struct pcap_output *output, const void *bytes, size_t len)
{
	struct recording *g = (struct recording *)output;
	const uint8_t *at = bytes;

	/* Whole blocks or none: what is kept can be read. */
	g->cut |= g->n_slots >= MAX_SLOTS;
	if (g->cut)
		return;
	while (len && !g->error) {
		size_t n = len < SLOT - g->len ? len : SLOT - g->len;

		if (g->len + n > g->cap) {
			size_t cap = g->cap ? g->cap : 1024;

			while (cap < g->len + n)
				cap *= 2;
			g->room = must(realloc(g->room, cap));
			g->cap = cap;
		}
		memcpy(g->room + g->len, at, n);
		g->len += n;
		at += n;
		len -= n;
		if (g->len == SLOT)
			spool(g);
	}
}

/* ---- lives ---- */

struct recorder *recorder_new(const char *folder)
{
	struct recorder *r = must(calloc(1, sizeof(*r)));

	r->folder = folder;
	r->spool = -1;
	return r;
}

void recorder_target(struct recorder *r, const char *label, uint64_t epoch_ns)
{
	free(r->label);
	r->label = must(strdup(label));
	r->epoch_ns = epoch_ns;
}

void recorder_free(struct recorder *r)
{
	if (!r)
		return;
	if (r->spool >= 0)
		close(r->spool);
	free(r->label);
	free(r->unused);
	free(r);
}

struct recording *recording_new(struct recorder *recorder, struct tap *next)
{
	struct recording *g = must(calloc(1, sizeof(*g)));

	g->output.write = keep;
	g->recorder = recorder;
	g->writer = pcap_writer_new(&g->output);
	pcap_writer_target(g->writer, recorder->label, recorder->epoch_ns);
	recording_tap(g)->next = next;
	return g;
}

struct tap *recording_tap(struct recording *g)
{
	return pcap_writer_tap(g->writer);
}

void recording_free(struct recording *g)
{
	if (!g)
		return;
	for (size_t i = 0; i < g->n_slots; i++)
		append(&g->recorder->unused, &g->recorder->n_unused, &g->recorder->cap_unused, g->slots[i]);
	pcap_writer_free(g->writer);
	free(g->room);
	free(g->slots);
	free(g);
}

int recording_copy(struct recording *g, FILE *out)
{
	uint8_t bytes[SLOT];
	int error = g->error;

	for (size_t i = 0; i < g->n_slots && !error; i++) {
		error = read_slot(g->recorder, g->slots[i], bytes);
		if (!error)
			fwrite(bytes, 1, SLOT, out);
	}
	if (!error)
		fwrite(g->room, 1, g->len, out);
	return error;
}

bool recording_cut(const struct recording *g)
{
	return g->cut;
}

#include "pcap/capture.h"

#include <pcap/pcap.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "harness/escape.h"
#include "pcap/capture_internal.h"
#include "pcap/pcapng_reader.h"

/*
 * The kinds of captures behind one front: classic pcap files, which libpcap reads through a FILE of ours; pcapng, by our own
 * reader; and interfaces. Filters are libpcap's for all of them.
 */

enum { MAX_FILTERS = 64, MAX_FRAME = 262144, FILE_ROOM = 64 * 1024 };

static const uint32_t PATCHED = 0xa1b2cd34;	/* the magic of files with longer heads of records, as some kernels' tcpdump wrote them */

enum { RAW = 101, RAW_BSD = 12, RAW_OPENBSD = 14 };	/* link type RAW, and what DLT_RAW is on some systems */

struct filter {				/* compiled for one link type */
	uint32_t link_type;
	bool fits;			/* it could be compiled */
	struct bpf_program program;
};

struct capture {
	struct source *source;		/* a file's */
	FILE *file;			/* classic: source, for libpcap */
	char *file_room;
	uint64_t offset;		/* of the next record */
	uint32_t record_head;		/* bytes before a record's own */
	pcap_t *pcap;			/* classic and live */
	struct pcapng *ng;
	bool live, ended;
	char name[INTERFACE_NAME];	/* of the interface, live */
	volatile sig_atomic_t stopped;
	struct when last;		/* of the record before */
	uint64_t idle_since_ns;		/* by the clock of here; 0: a record was read last */
	uint64_t bytes;
	void (*secrets)(void *owner, struct span text);
	void *secrets_owner;
	char *filter;
	struct filter filters[MAX_FILTERS];
	size_t n_filters;
};

void capture_error_set(struct capture_error *error, const char *format, ...)
{
	char text[400];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	text[strcspn(text, "\n")] = '\0';
	escape_bytes(text, strlen(text), error->text, sizeof(error->text));
}

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* ---- opening ---- */

/* As much as is here, and only then what has to be waited for. */
static ssize_t cookie_read(void *cookie, char *to, size_t n)
{
	struct source *s = cookie;

	if (s->at == s->end && !source_need(s, 1))
		return 0;
	if (n > (size_t)(s->end - s->at))
		n = (size_t)(s->end - s->at);
	memcpy(to, s->at, n);
	source_take(s, n);
	return (ssize_t)n;
}

/* No more than what ftello() has to know. */
static int cookie_seek(void *cookie, off64_t *position, int whence)
{
	const struct source *s = cookie;

	if (*position || whence != SEEK_CUR)
		return -1;
	*position = (off64_t)s->offset;
	return 0;
}

static bool is_classic(const struct source *s)
{
	static const uint32_t magics[] = { 0xa1b2c3d4, 0xa1b23c4d, 0xa1b2cd34, 0xa12b3c4d };	/* microseconds, nanoseconds, PATCHED, and Navtel's */
	uint32_t magic;

	memcpy(&magic, s->at, sizeof(magic));
	for (size_t i = 0; i < sizeof(magics) / sizeof(magics[0]); i++)
		if (magic == magics[i] || magic == __builtin_bswap32(magics[i]))
			return true;
	return false;
}

static bool open_classic(struct capture *c, struct capture_error *error)
{
	char why[PCAP_ERRBUF_SIZE];
	uint32_t magic;

	memcpy(&magic, c->source->at, sizeof(magic));
	c->record_head = magic == PATCHED || magic == __builtin_bswap32(PATCHED) ? 24 : 16;
	c->offset = 24;
	c->file = fopencookie(c->source, "r", (cookie_io_functions_t){ .read = cookie_read, .seek = cookie_seek });
	c->file_room = malloc(FILE_ROOM);
	if (!c->file || !c->file_room)
		abort();
	setvbuf(c->file, c->file_room, _IOFBF, FILE_ROOM);
	c->pcap = pcap_fopen_offline_with_tstamp_precision(c->file, PCAP_TSTAMP_PRECISION_NANO, why);
	if (c->pcap)
		return true;
	if (*c->source->failure)
		capture_error_set(error, "%s", c->source->failure);
	else if (c->source->ended && c->source->at == c->source->end)
		capture_error_set(error, "is cut within the file header, at byte %llu", (unsigned long long)c->source->offset);
	else
		capture_error_set(error, "%s", why);
	return false;
}

static bool recognise(struct capture *c, struct capture_error *error)
{
	struct source *s = c->source;
	char first[40];

	if (!source_need(s, 4)) {
		if (*s->failure)
			capture_error_set(error, "%s", s->failure);
		else
			capture_error_set(error, s->at == s->end ? "is empty" : "is no capture: it has %td bytes", s->end - s->at);
		return false;
	}
	if (!memcmp(s->at, "\x0a\x0d\x0d\x0a", 4)) {
		c->ng = pcapng_new(s);
		return true;
	}
	if (is_classic(s))
		return open_classic(c, error);
	escape_bytes(s->at, (size_t)(s->end - s->at) < 8 ? (size_t)(s->end - s->at) : 8, first, sizeof(first));
	snprintf(error->text, sizeof(error->text), "is neither pcap nor pcapng: it begins with \"%s\"", first);
	return false;
}

struct capture *capture_of_source(struct source *source, struct capture_error *error)
{
	struct capture *c = calloc(1, sizeof(*c));

	*error = (struct capture_error){ .world = true };
	if (!c)
		abort();
	c->source = source;
	if (recognise(c, error))
		return c;
	capture_close(c);
	return NULL;
}

struct capture *capture_open_file(const char *path, struct capture_error *error)
{
	struct source *source = source_open(path, error);

	return source ? capture_of_source(source, error) : NULL;
}

struct capture *capture_open_live(const char *interface, const char *filter, uint32_t snaplen, struct capture_error *error)
{
	struct capture *c = calloc(1, sizeof(*c));

	*error = (struct capture_error){ .world = true };
	if (!c)
		abort();
	c->live = true;
	snprintf(c->name, sizeof(c->name), "%s", interface);
	c->pcap = live_open(interface, filter, snaplen, error);
	if (c->pcap)
		return c;
	capture_close(c);
	return NULL;
}

void capture_on_secrets(struct capture *c, void (*secrets)(void *owner, struct span text), void *owner)
{
	c->secrets = secrets;
	c->secrets_owner = owner;
	if (c->ng)
		pcapng_on_secrets(c->ng, secrets, owner);
}

static void close_readers(struct capture *c)
{
	if (c->pcap)
		pcap_close(c->pcap);		/* and the file */
	else if (c->file)
		fclose(c->file);
	pcapng_free(c->ng);
	free(c->file_room);
	c->pcap = NULL;
	c->file = NULL;
	c->file_room = NULL;
	c->ng = NULL;
}

bool capture_rewind(struct capture *c)
{
	struct capture_error error;

	if (c->live || !source_rewind(c->source))
		return false;
	close_readers(c);
	c->ended = !recognise(c, &error);
	if (c->ended)
		return false;
	capture_on_secrets(c, c->secrets, c->secrets_owner);
	c->last = (struct when){ 0 };
	c->idle_since_ns = c->bytes = 0;
	return true;
}

/* ---- filters ---- */

static int dlt_of(uint32_t link_type)
{
	return link_type == RAW ? DLT_RAW : (int)link_type;
}

static bool compile(const char *text, uint32_t link_type, struct bpf_program *program, struct capture_error *error)
{
	pcap_t *dead = pcap_open_dead(dlt_of(link_type), MAX_FRAME);
	bool fits;

	if (!dead)
		abort();
	fits = !pcap_compile(dead, program, text, 1, PCAP_NETMASK_UNKNOWN);
	if (!fits) {
		capture_error_set(error, "filter \"%s\": %s", text, pcap_geterr(dead));
		error->usage = true;
		error->world = false;
	}
	pcap_close(dead);
	return fits;
}

/*
 * The filter as it is for a link type; compiled once. One that has no meaning there (`ether host` in raw IP) matches nothing of
 * it: a foreign interface in a file must not keep the others from being read.
 */
static const struct filter *filter_for(struct capture *c, uint32_t link_type, struct capture_error *error)
{
	static const struct filter nothing = { 0 };

	for (size_t i = 0; i < c->n_filters; i++)
		if (c->filters[i].link_type == link_type)
			return &c->filters[i];
	if (c->n_filters == MAX_FILTERS)
		return &nothing;
	struct filter *f = &c->filters[c->n_filters++];
	f->link_type = link_type;
	f->fits = compile(c->filter, link_type, &f->program, error);
	return f;
}

static uint32_t classic_link_type(const struct capture *c)
{
	int dlt = pcap_datalink(c->pcap);

	return dlt == RAW_BSD || dlt == RAW_OPENBSD ? RAW : (uint32_t)dlt;
}

bool capture_filter(struct capture *c, const char *text, struct capture_error *error)
{
	static const uint32_t usual[] = { DLT_EN10MB, DLT_LINUX_SLL, RAW };

	*error = (struct capture_error){ 0 };
	c->filter = strdup(text);
	if (!c->filter)
		abort();
	if (c->pcap)
		return filter_for(c, classic_link_type(c), error)->fits;
	/* Which link types will come nobody knows yet: it must make sense for one that is usual. */
	for (size_t i = 0; i < sizeof(usual) / sizeof(usual[0]); i++) {
		struct capture_error here = { 0 };
		struct bpf_program program;

		if (compile(text, usual[i], &program, &here)) {
			pcap_freecode(&program);
			return true;
		}
		if (!i)
			*error = here;
	}
	return false;
}

static bool passes(struct capture *c, const struct record *record)
{
	struct capture_error error;
	const struct filter *f = filter_for(c, record->link_type, &error);
	struct pcap_pkthdr head = { .caplen = (bpf_u_int32)record->bytes.len, .len = record->original_len };

	return f->fits && pcap_offline_filter(&f->program, &head, record->bytes.at);
}

/* ---- reading ---- */

static enum capture_status classic_broken(struct capture *c, struct capture_error *why)
{
	struct source *s = c->source;
	unsigned long long frame = c->last.frame + 1, at = c->offset;

	*why = (struct capture_error){ .world = true };
	if (*s->failure)
		capture_error_set(why, "frame %llu at byte %llu: %s", frame, at, s->failure);
	else if (s->ended && s->at == s->end)
		capture_error_set(why, "frame %llu at byte %llu: the last record is cut", frame, at);
	else
		capture_error_set(why, "frame %llu at byte %llu: %s", frame, at, pcap_geterr(c->pcap));
	return CAPTURE_BROKEN;
}

static void take(struct capture *c, const struct pcap_pkthdr *head, const uint8_t *bytes, struct record *record)
{
	/* Seconds are unsigned in the file, and signed in libpcap. */
	uint64_t seconds = c->live ? (uint64_t)head->ts.tv_sec : (uint32_t)head->ts.tv_sec;

	c->last.frame++;
	c->last.time_ns = seconds * 1000000000u + (uint64_t)head->ts.tv_usec;
	*record = (struct record){
		.when = c->last, .link_type = classic_link_type(c), .interface_name = c->live ? c->name : NULL,
		.bytes = span_of(bytes, head->caplen), .original_len = head->len > head->caplen ? head->len : head->caplen,
	};
}

static enum capture_status next_classic(struct capture *c, struct record *record, struct capture_error *why)
{
	struct source *s = c->source;
	struct pcap_pkthdr *head;
	const u_char *bytes;

	/* Nothing is here: neither in the source, nor of what the FILE took of it. */
	if (s->may_wait && s->at == s->end && (uint64_t)ftello(c->file) == s->offset && source_idle(s, IDLE_MS))
		return CAPTURE_IDLE;
	int got = pcap_next_ex(c->pcap, &head, &bytes);
	if (got == 1) {
		take(c, head, bytes, record);
		c->offset += c->record_head + head->caplen;
		return CAPTURE_RECORD;
	}
	if (got == PCAP_ERROR_BREAK && !*s->failure)
		return CAPTURE_END;
	return classic_broken(c, why);
}

static enum capture_status next_live(struct capture *c, struct record *record, struct capture_error *why)
{
	struct pcap_pkthdr *head;
	const u_char *bytes;
	int got = pcap_next_ex(c->pcap, &head, &bytes);

	if (!got && live_wait(c->pcap))
		got = pcap_next_ex(c->pcap, &head, &bytes);
	if (!got)
		return CAPTURE_IDLE;
	if (got == 1) {
		take(c, head, bytes, record);
		return CAPTURE_RECORD;
	}
	*why = (struct capture_error){ .world = true };
	capture_error_set(why, "%s", pcap_geterr(c->pcap));
	return CAPTURE_BROKEN;
}

/* A pipe's clock is that of its packets, which may be of another year: it goes on from the last of them. */
static uint64_t now_of(const struct capture *c)
{
	if (c->live)
		return clock_ns(CLOCK_REALTIME);
	return c->last.time_ns + (c->idle_since_ns ? clock_ns(CLOCK_MONOTONIC) - c->idle_since_ns : 0);
}

static enum capture_status next_any(struct capture *c, struct record *record, struct capture_error *why)
{
	enum capture_status status;

	if (c->live)
		status = next_live(c, record, why);
	else if (c->ng)
		status = pcapng_next(c->ng, IDLE_MS, record, why);
	else
		status = next_classic(c, record, why);
	if (status == CAPTURE_RECORD) {
		c->last = record->when;
		c->idle_since_ns = 0;
	} else if (status == CAPTURE_IDLE) {
		*record = (struct record){ .when = { c->last.frame, now_of(c) } };
		if (!c->idle_since_ns)
			c->idle_since_ns = clock_ns(CLOCK_MONOTONIC);
	}
	return status;
}

enum capture_status capture_next(struct capture *c, struct record *record, struct capture_error *why)
{
	while (!c->ended && !c->stopped) {
		enum capture_status status = next_any(c, record, why);

		if (status == CAPTURE_RECORD && c->filter && !passes(c, record))
			continue;
		if (status == CAPTURE_RECORD)
			c->bytes += record->bytes.len;
		c->ended = status == CAPTURE_BROKEN || status == CAPTURE_END;
		return c->stopped && c->ended ? CAPTURE_END : status;
	}
	return CAPTURE_END;
}

/* ---- the rest ---- */

uint64_t capture_dropped(const struct capture *c)
{
	struct pcap_stat stat;

	return c->live && !pcap_stats(c->pcap, &stat) ? stat.ps_drop : 0;
}

uint64_t capture_bytes(const struct capture *c)
{
	return c->bytes;
}

void capture_stop(struct capture *c)
{
	c->stopped = 1;
	if (c->source)
		source_stop(c->source);
}

void capture_close(struct capture *c)
{
	if (!c)
		return;
	close_readers(c);
	for (size_t i = 0; i < c->n_filters; i++)
		if (c->filters[i].fits)
			pcap_freecode(&c->filters[i].program);
	source_close(c->source);
	free(c->filter);
	free(c);
}

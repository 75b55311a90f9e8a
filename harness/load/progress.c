#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "harness/console.h"
#include "harness/load/control.h"
#include "harness/load/wording.h"

enum { MAX_ROLES = 64, LINE = 240, ROLE_COLUMNS = 14 };

#define PLAIN_EVERY_NS UINT64_C(10000000000)
#define SECOND_NS UINT64_C(1000000000)

struct progress {
	bool quiet, terminal;
	/* What stood when rates were told last. */
	uint64_t told_ns;
	uint64_t sent[MAX_ROLES], delivered[MAX_ROLES];
	/* Of plain lines. */
	bool told;
	enum phase phase;
	uint32_t held;			/* meetings */
};

struct progress *progress_new(bool quiet)
{
	struct progress *p = calloc(1, sizeof(*p));

	if (!p)
		abort();
	p->quiet = quiet;
	p->terminal = console_has_progress();
	return p;
}

/* ---- what is told ---- */

struct row {				/* of a role */
	const struct figures_role *role;
	uint64_t there;			/* clients that have begun and were not stopped: one that is at its end may still be sent something */
	double sent, delivered;		/* a second */
	uint64_t ack_p99, delivery_p99;	/* in the last second; 0: there was none */
};

/* The last interval, if it is of now. */
static const struct tally *last_second(const struct figures *f, const struct figures_role *role)
{
	const struct figures_second *last = role->n_seconds ? &role->seconds[role->n_seconds - 1] : NULL;

	return last && last->at + role->interval_ns + SECOND_NS + SECOND_NS / 2 > f->duration_ns ? &last->tally : NULL;
}

/* Rates are of the time since they were told last. */
static struct row row_of(struct progress *p, const struct figures *f, uint32_t number)
{
	const struct figures_role *role = &f->roles[number];
	const uint64_t *counts = role->total.counts;
	const struct tally *last = last_second(f, role);
	double passed = f->duration_ns > p->told_ns ? (double)(f->duration_ns - p->told_ns) / 1e9 : 0;
	struct row row = { .role = role, .there = counts[COUNT_started] > counts[COUNT_stopped] ? counts[COUNT_started] - counts[COUNT_stopped] : 0 };

	if (row.there > role->clients)		/* who plays a scenario begins anew when it has ended */
		row.there = role->clients;
	if (passed > 0) {
		row.sent = (double)(counts[COUNT_sent] - p->sent[number]) / passed;
		row.delivered = (double)(counts[COUNT_delivered] - p->delivered[number]) / passed;
	}
	if (last) {
		row.ack_p99 = hdr_quantile(&last->timings[TIME_ACK], 990000);
		row.delivery_p99 = hdr_quantile(&last->timings[TIME_DELIVERY], 990000);
	}
	p->sent[number] = counts[COUNT_sent];
	p->delivered[number] = counts[COUNT_delivered];
	return row;
}

static uint32_t meetings_held(const struct figures *f)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < f->n_meetings; i++)
		n += f->meetings[i].held;
	return n;
}

/* "12:34, steady"; "0:07, waits for 17 of 10,000 at "ready"". */
static void say_state(const struct figures *f, char *text, size_t cap)
{
	static const char *const phases[] = { [PHASE_RAMP] = "clients begin", [PHASE_STEADY] = "steady", [PHASE_DRAIN] = "drain" };
	uint64_t s = f->duration_ns / SECOND_NS;
	const struct figures_meeting *waits = NULL;
	int len = s < 3600 ? snprintf(text, cap, "%" PRIu64 ":%02" PRIu64 ", ", s / 60, s % 60)
	                   : snprintf(text, cap, "%" PRIu64 ":%02" PRIu64 ":%02" PRIu64 ", ", s / 3600, s / 60 % 60, s % 60);

	for (uint32_t i = 0; i < f->n_meetings && !waits && !f->drain_ns; i++)
		if (!f->meetings[i].held && f->meetings[i].expected > f->meetings[i].arrived + f->meetings[i].gone)
			waits = &f->meetings[i];
	if (waits)
		snprintf(text + len, cap - (size_t)len, "waits for %s of %s at \"%s\"", say_count(waits->expected - waits->arrived - waits->gone), say_count(waits->expected),
		         console_safe(waits->name));
	else
		snprintf(text + len, cap - (size_t)len, "%s", phases[phase_of(f)]);
}

static const char *or_none(bool there, const char *text)
{
	return there ? text : "-";
}

/* What went wrong with the role beside losses and refusals; false: nothing. */
static bool say_trouble(const struct figures_role *role, char *text, size_t cap)
{
	static const struct {
		enum counter counter;
		const char *one, *many;
	} rows[] = {
		{ COUNT_violations, "broken rule", "broken rules" },
		{ COUNT_ended, "connection ended", "connections ended" },
		{ COUNT_stopped, "client stopped", "clients stopped" },
		{ COUNT_refused_messages, "message refused", "messages refused" },
		{ COUNT_duplicated, "duplicate", "duplicates" },
		{ COUNT_reordered, "out of order", "out of order" },
	};
	size_t len = (size_t)snprintf(text, cap, "%s", role->name), begin = len;

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		uint64_t n = role->total.counts[rows[i].counter];

		if (n && len < cap)
			len += (size_t)snprintf(text + len, cap - len, "%s %s %s", len > begin ? "," : ":", say_count(n), n == 1 ? rows[i].one : rows[i].many);
	}
	return len > begin;
}

/* ---- a table on a terminal ---- */

struct table {
	char texts[2 * MAX_ROLES + 4][LINE];
	struct console_line lines[2 * MAX_ROLES + 4];
	size_t n;
};

static void add(struct table *t, enum console_style style, const char *format, ...) __attribute__((format(printf, 3, 4)));

static void add(struct table *t, enum console_style style, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(t->texts[t->n], LINE, format, args);
	va_end(args);
	t->lines[t->n] = (struct console_line){ t->texts[t->n], style };
	t->n++;
}

/*
 * The first and the latter columns must be seen however narrow it is: what a narrow terminal has no room for is left
 * out, the least important first.
 */
struct layout {
	bool p99, trouble;
};

static void add_row(struct table *t, const struct layout *layout, const struct row *row)
{
	const uint64_t *counts = row->role->total.counts;
	bool sends = counts[COUNT_sent], receives = counts[COUNT_delivered] || counts[COUNT_owed];
	char clients[40], line[LINE];
	int len;

	snprintf(clients, sizeof(clients), "%s/%s", say_count(row->there), say_count(row->role->clients));
	len = snprintf(line, sizeof(line), "%-*.*s %15s %10s %11s", ROLE_COLUMNS, ROLE_COLUMNS, row->role->name, clients, or_none(sends, say_rate(row->sent)),
	               or_none(receives, say_rate(row->delivered)));
	if (layout->p99)
		len += snprintf(line + len, sizeof(line) - (size_t)len, " %9s %12s", or_none(row->ack_p99, say_ns(row->ack_p99)), or_none(row->delivery_p99, say_ns(row->delivery_p99)));
	if (layout->trouble)
		snprintf(line + len, sizeof(line) - (size_t)len, " %9s %9s", or_none(counts[COUNT_lost], say_count(counts[COUNT_lost])),
		         or_none(counts[COUNT_refused], say_count(counts[COUNT_refused])));
	add(t, STYLE_PLAIN, "%s", line);
}

static void draw(struct progress *p, const struct figures *f)
{
	static struct table t;		/* 30 kB are much for a stack */
	char text[LINE];
	unsigned columns, rows;
	uint32_t n = f->n_roles < MAX_ROLES ? f->n_roles : MAX_ROLES, room;
	struct layout layout;

	console_room(&columns, &rows);
	layout = (struct layout){ .p99 = columns >= 76, .trouble = columns >= 96 };
	t.n = 0;
	say_state(f, text, sizeof(text));
	add(&t, STYLE_BOLD, "%s, %s connected", text, say_count(f->active));
	add(&t, STYLE_DIM, "%-*s %15s %10s %11s%s%s", ROLE_COLUMNS, "role", "clients", "sent/s", "delivered/s", layout.p99 ? "   ack p99 delivery p99" : "",
	    layout.trouble ? "      lost   refused" : "");
	room = rows > 3 ? rows - 3 : 1;
	for (uint32_t i = 0; i < n; i++) {
		struct row row = row_of(p, f, i);

		if (i < room && row.role->clients)
			add_row(&t, &layout, &row);
	}
	if (f->n_roles > (n < room ? n : room))
		add(&t, STYLE_DIM, "and %s more roles", say_count(f->n_roles - (n < room ? n : room)));
	for (uint32_t i = 0; i < n && t.n < rows; i++)
		if (say_trouble(&f->roles[i], text, sizeof(text)))
			add(&t, f->roles[i].total.counts[COUNT_violations] ? STYLE_RED : STYLE_YELLOW, "%s", text);
	console_progress_lines(t.lines, t.n);
}

/* ---- lines elsewhere ---- */

static void print_role(const struct row *row, bool first)
{
	const uint64_t *counts = row->role->total.counts;
	char trouble[LINE];

	fprintf(stderr, "%s %s %s/%s clients", first ? ":" : ";", row->role->name, say_count(row->there), say_count(row->role->clients));
	if (counts[COUNT_sent])
		fprintf(stderr, ", %s sent/s", say_rate(row->sent));
	if (row->ack_p99)
		fprintf(stderr, ", ack p99 %s", say_ns(row->ack_p99));
	if (counts[COUNT_delivered])
		fprintf(stderr, ", %s delivered/s", say_rate(row->delivered));
	if (row->delivery_p99)
		fprintf(stderr, ", delivery p99 %s", say_ns(row->delivery_p99));
	if (counts[COUNT_lost])
		fprintf(stderr, ", %s lost", say_count(counts[COUNT_lost]));
	if (counts[COUNT_refused])
		fprintf(stderr, ", %s refused", say_count(counts[COUNT_refused]));
	if (say_trouble(row->role, trouble, sizeof(trouble)))
		fprintf(stderr, ", %s", trouble + strlen(row->role->name) + 2);
}

static void print_line(struct progress *p, const struct figures *f)
{
	enum { FEW = 8 };
	char text[LINE];
	uint32_t n = 0, others = 0;

	say_state(f, text, sizeof(text));
	console_print(stderr, "%s, %s connected", text, say_count(f->active));
	for (uint32_t i = 0; i < f->n_roles && i < MAX_ROLES; i++) {
		struct row row = row_of(p, f, i);

		if (row.role->clients && n < FEW)
			print_role(&row, n++ == 0);
		else
			others += row.role->clients > 0;
	}
	for (uint32_t i = MAX_ROLES; i < f->n_roles; i++)
		others += f->roles[i].clients > 0;
	if (others)
		fprintf(stderr, "; and %s more roles", say_count(others));
	putc('\n', stderr);
	fflush(stderr);
}

static bool is_news(const struct progress *p, const struct figures *f)
{
	return !p->told || p->phase != phase_of(f) || p->held != meetings_held(f) || f->duration_ns >= p->told_ns + PLAIN_EVERY_NS;
}

void progress_show(struct progress *p, const struct figures *so_far)
{
	if (p->quiet || (!p->terminal && !is_news(p, so_far)))
		return;
	if (p->terminal)
		draw(p, so_far);
	else
		print_line(p, so_far);
	p->told = true;
	p->phase = phase_of(so_far);
	p->held = meetings_held(so_far);
	p->told_ns = so_far->duration_ns;
}

void progress_end(struct progress *p)
{
	if (p && p->terminal && !p->quiet)
		console_progress_lines(NULL, 0);
	free(p);
}

#include "harness/load/metrics.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "harness/load/control.h"
#include "harness/load/http_request.h"

/*
 * A server of one page. A request is answered and the connection ended; who is slow, asks for much or comes in crowds
 * is cut off, so that no client of it can do more to the run than read.
 */

enum { MOST_CLIENTS = 32, MOST_DISCARDED = 65536 };

#define PATIENCE_NS UINT64_C(10000000000)

struct scraper {			/* somebody who asks */
	struct scraper *next;
	struct metrics *metrics;
	struct transport *transport;
	struct timer patience;
	struct task reap;
	size_t n_in;
	char *out;			/* the answer; NULL while it is asked for */
	size_t n_out, done;
	size_t discarded;		/* what came behind the request */
	bool finished, ended;		/* we will send no more; it will not */
	uint8_t in[HTTP_REQUEST_MAX];
};

struct metrics {
	struct loop *loop;
	struct listener *listener;
	struct scraper *scrapers;
	unsigned n_scrapers;
	char *text;
	size_t len;
	struct task reap;
};

static void out_of_memory(void)
{
	fputs("mqassay: out of memory\n", stderr);
	abort();
}

/* ---- one who asks ---- */

static void scraper_reap(struct task *task, struct loop *loop)
{
	struct scraper *s = (struct scraper *)((char *)task - offsetof(struct scraper, reap));

	(void)loop;
	free(s->out);
	free(s);
}

static void leave(struct scraper *s, bool reset)
{
	struct scraper **at = &s->metrics->scrapers;

	while (*at != s)
		at = &(*at)->next;
	*at = s->next;
	s->metrics->n_scrapers--;
	loop_timer_stop(s->metrics->loop, &s->patience);
	s->transport->ops->close(s->transport, reset);
	loop_reap(s->metrics->loop, &s->reap);
}

static void too_slow(struct timer *timer, struct loop *loop)
{
	(void)loop;
	leave((struct scraper *)((char *)timer - offsetof(struct scraper, patience)), true);
}

static const char *phrase(unsigned status)
{
	switch (status) {
	case 200: return "OK";
	case 404: return "Not Found";
	case 405: return "Method Not Allowed";
	case 414: return "URI Too Long";
	case 431: return "Request Header Fields Too Large";
	case 505: return "HTTP Version Not Supported";
	default:  return "Bad Request";
	}
}

static void answer(struct scraper *s, const struct http_request *request)
{
	static const char page[] = "/metrics";
	bool head = span_is(request->method, "HEAD"), found = span_is(request->path, page);
	unsigned status = request->status ? request->status : !head && !span_is(request->method, "GET") ? 405 : found ? 200 : 404;
	const struct metrics *m = s->metrics;
	char line[80];
	const char *body = status == 200 ? m->text : line;
	size_t len = status == 200 ? m->len : (size_t)snprintf(line, sizeof(line), "%u %s%s\n", status, phrase(status), status == 404 ? ": what there is is /metrics" : "");
	FILE *out = open_memstream(&s->out, &s->n_out);

	if (!out)
		out_of_memory();
	fprintf(out, "HTTP/1.1 %u %s\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\nContent-Length: %zu\r\nCache-Control: no-store\r\n%sConnection: close\r\n\r\n",
	        status, phrase(status), len, status == 405 ? "Allow: GET, HEAD\r\n" : "");
	if (!head || request->status)
		fwrite(body, 1, len, out);
	if (fclose(out) != 0)
		out_of_memory();
}

/* False: it has left. */
static bool write_some(struct scraper *s)
{
	while (s->done < s->n_out) {
		ssize_t n = s->transport->ops->send(s->transport, s->out + s->done, s->n_out - s->done);

		if (n == -EAGAIN)
			return true;
		if (n < 0) {
			leave(s, true);
			return false;
		}
		s->done += (size_t)n;
	}
	if (s->ended) {
		leave(s, false);
		return false;
	}
	if (!s->finished)
		s->transport->ops->finish(s->transport);
	s->finished = true;
	return true;
}

/* What comes behind a request is read all the same: closing on it would reset the connection, and the answer be lost. */
static void discard(struct scraper *s)
{
	uint8_t nowhere[4096];

	for (;;) {
		ssize_t n = s->transport->ops->recv(s->transport, nowhere, sizeof(nowhere));

		if (n == -EAGAIN || s->ended)
			return;
		s->ended = n == 0;	/* it may still wait for the answer */
		s->discarded += n > 0 ? (size_t)n : 0;
		if (n < 0 || (s->ended && s->finished) || s->discarded > MOST_DISCARDED) {
			leave(s, !s->ended);
			return;
		}
	}
}

static void read_some(struct scraper *s)
{
	struct http_request request;
	ssize_t n = s->transport->ops->recv(s->transport, s->in + s->n_in, sizeof(s->in) - s->n_in);

	if (n == -EAGAIN)
		return;
	if (n <= 0) {
		leave(s, n < 0);
		return;
	}
	s->n_in += (size_t)n;
	if (http_request_read(s->in, s->n_in, &request)) {
		answer(s, &request);
		if (write_some(s))
			discard(s);
	}
}

static void scraper_event(struct transport *t, unsigned events)
{
	struct scraper *s = t->owner;

	if (events & TRANSPORT_FAILED) {
		leave(s, true);
		return;
	}
	if ((events & TRANSPORT_WRITABLE) && s->out && !write_some(s))
		return;
	if (!(events & TRANSPORT_READABLE))
		return;
	if (s->out)
		discard(s);
	else
		read_some(s);
}

static void scraper_comes(void *context, struct transport *t)
{
	struct metrics *m = context;
	struct scraper *s = m->n_scrapers < MOST_CLIENTS ? calloc(1, sizeof(*s)) : NULL;

	if (!s) {
		t->ops->close(t, true);
		return;
	}
	*s = (struct scraper){ .next = m->scrapers, .metrics = m, .transport = t, .patience.fire = too_slow, .reap.run = scraper_reap };
	m->scrapers = s;
	m->n_scrapers++;
	t->event = scraper_event;
	t->owner = s;
	loop_timer(m->loop, &s->patience, m->loop->now_ns + PATIENCE_NS);
}

/* ---- the server ---- */

static bool where(const char *listen, struct address *address, struct fault *fault)
{
	bool port_alone = *listen && !listen[strspn(listen, "0123456789")];
	const char *host_end = *listen == '[' ? strchr(listen, ']') : listen;
	char url[300];

	if (strlen(listen) > 280 || strchr(listen, '/') || (!port_alone && (!host_end || !strchr(host_end, ':')))) {
		*fault = (struct fault){ 0 };
		snprintf(fault->text, sizeof(fault->text), "expected PORT or HOST:PORT to listen at for metrics, such as 9100 or 0.0.0.0:9100");
		return false;
	}
	snprintf(url, sizeof(url), "tcp://%s%s", port_alone ? "127.0.0.1:" : "", listen);
	return address_parse(url, ADDRESS_TO_LISTEN, address, fault);
}

struct metrics *metrics_new(struct loop *loop, const char *listen, struct fault *fault)
{
	struct metrics *m;
	struct address address;

	if (!where(listen, &address, fault))
		return NULL;
	m = calloc(1, sizeof(*m));
	if (!m)
		out_of_memory();
	m->loop = loop;
	m->listener = transport_listen(loop, &address, scraper_comes, m);
	if (!m->listener) {
		*fault = (struct fault){ 0 };
		snprintf(fault->text, sizeof(fault->text), "cannot listen at %.120s: %s", listen, transport_strerror(errno));
		free(m);
		return NULL;
	}
	m->text = strdup("# The run has not begun.\n");
	if (!m->text)
		out_of_memory();
	m->len = strlen(m->text);
	return m;
}

unsigned metrics_port(const struct metrics *m)
{
	return listener_port(m->listener);
}

void metrics_show(struct metrics *m, const struct figures *so_far)
{
	FILE *out;

	free(m->text);
	out = open_memstream(&m->text, &m->len);
	if (!out)
		out_of_memory();
	metrics_write(out, so_far);
	if (fclose(out) != 0)
		out_of_memory();
}

static void metrics_reap(struct task *task, struct loop *loop)
{
	struct metrics *m = (struct metrics *)((char *)task - offsetof(struct metrics, reap));

	(void)loop;
	free(m->text);
	free(m);
}

void metrics_free(struct metrics *m)
{
	if (!m)
		return;
	listener_free(m->listener);
	while (m->scrapers)
		leave(m->scrapers, true);
	m->reap.run = metrics_reap;
	loop_reap(m->loop, &m->reap);
}

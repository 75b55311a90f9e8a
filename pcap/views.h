#ifndef PCAP_VIEWS_H
#define PCAP_VIEWS_H

#include <stdbool.h>

#include "pcap/conversation.h"
#include "pcap/out.h"

/*
 * The observers that `decode` shows things with. Each is given (view_free() frees it), and writes to an out that the caller
 * owns. All are bounded in memory: what passes a bound is counted and said at the end.
 */

struct where;

struct view_options {
	bool json;
	bool verbose;			/* packets as text: the fields over a hex dump; --check: all clauses */
	bool clauses;			/* --check: the table lists also what held, and what was not observable */
	bool secrets;			/* passwords and authentication data are shown; else masked */
	bool live;
	const struct where *where;	/* deliveries only: the messages to show, by their PUBLISH; borrowed; NULL: all */
};

/* The JSON is as docs/decode.schema.json says: a line for each packet and event. */
struct observer *packets_text_new(struct out *out, const struct view_options *options);
struct observer *packets_json_new(struct out *out, const struct view_options *options);
struct observer *scenario_new(struct out *out, const struct view_options *options, const char *title);
/* When all conversations have ended: the brokers of what it has written, which a replay would take for one. Borrowed; how many are known, at most MAX_BROKERS. */
enum { MAX_BROKERS = 16 };
size_t scenario_brokers(const struct observer *scenario, const struct endpoint **brokers);

struct observer *connections_view_new(struct out *out, const struct view_options *options);
struct observer *qos_view_new(struct out *out, const struct view_options *options);
struct observer *topics_view_new(struct out *out, const struct view_options *options);
struct observer *deliveries_view_new(struct out *out, const struct view_options *options);
uint64_t deliveries_view_matched(const struct observer *view);	/* PUBLISH packets of clients for which `where` holds; without it all */

/* --check: violations as they are seen (in text beside the packets when `inline_notes`), the table of clauses at the end when `table`. */
struct check;
struct observer *check_new(struct out *out, const struct view_options *options, bool inline_notes, bool table);
unsigned long check_violations(const struct observer *check);

void view_free(struct observer *observer);	/* harmless with NULL */

#endif

#include "pcap/summary.h"

#include <stdio.h>

#include "harness/console.h"

static const char *plural(uint64_t n)
{
	return n == 1 ? "" : "s";
}

/* "12,345,678"; four at a time. */
static const char *grouped(uint64_t n)
{
	static char rooms[4][28];
	static unsigned turn;
	char *room = rooms[turn++ % 4], digits[24];
	int len = snprintf(digits, sizeof(digits), "%llu", (unsigned long long)n), out = 0;

	for (int i = 0; i < len; i++) {
		if (i && (len - i) % 3 == 0)
			room[out++] = ',';
		room[out++] = digits[i];
	}
	room[out] = 0;
	return room;
}

static void print_reasons(const struct decoder_counts *c)
{
	enum { MOST = sizeof(c->reasons) / sizeof(*c->reasons) };

	for (int i = 0; i < MOST && c->reasons[i].n; i++)
		if (c->reasons[i].n == c->encrypted)
			console_print(stderr, "%s", c->reasons[i].text);
		else
			console_print(stderr, "%s%s (%s)", i ? ", " : "", c->reasons[i].text, grouped(c->reasons[i].n));
}

static void print_connections(const struct decoder_counts *c, bool keylog)
{
	if (c->encrypted) {
		console_print(stderr, "  %s connection%s encrypted and cannot be read%s: ", grouped(c->encrypted), c->encrypted == 1 ? " is" : "s are",
		              c->encrypted_likely_mqtt ? c->encrypted_likely_mqtt == c->encrypted ? ", by their ports MQTT" : ", some of them by their ports MQTT" : "");
		print_reasons(c);
		console_print(stderr, "; %s\n", keylog ? "the key log has no secrets that fit" : "--keylog FILE gives the secrets of client or server");
	}
	if (c->other)
		console_print(stderr, "  %s other connection%s no MQTT\n", grouped(c->other), c->other == 1 ? " carries" : "s carry");
}

static void print_losses(const struct decoder_counts *c, const struct ip_counts *ip, const struct tcp_counts *tcp, uint64_t dropped)
{
	if (c->holes)
		console_print(stderr, "  %s hole%s: %s bytes of MQTT are missing or unreadable\n", grouped(c->holes), plural(c->holes), grouped(c->hole_bytes));
	if (dropped)
		console_print(stderr, "  %s frame%s dropped by the kernel before we could read them\n", grouped(dropped), dropped == 1 ? " was" : "s were");
	if (tcp->noted[TCP_CONTRADICTED])
		console_print(stderr, "  %s segment%s sent again with other bytes than before: the first ones count\n",
		              grouped(tcp->noted[TCP_CONTRADICTED]), tcp->noted[TCP_CONTRADICTED] == 1 ? " was" : "s were");
	if (ip->copies)
		console_print(stderr, "  %s frame%s copies of another, seen on a second interface\n", grouped(ip->copies), ip->copies == 1 ? " is a" : "s are");
	if (ip->fragments_lost)
		console_print(stderr, "  %s IP packet%s fragments that are not in the capture\n", grouped(ip->fragments_lost), ip->fragments_lost == 1 ? " has" : "s have");
	if (ip->bad)
		console_print(stderr, "  %s frame%s cut or wrong in an IP or TCP header\n", grouped(ip->bad), ip->bad == 1 ? " is" : "s are");
	if (ip->unknown_link)
		console_print(stderr, "  %s frame%s of a link type that is not read (%u)\n", grouped(ip->unknown_link),
		              ip->unknown_link == 1 ? " is" : "s are", ip->unknown_link_type);
}

void summary_print(const struct decoder *decoder, uint64_t dropped, const uint64_t *matched, bool keylog)
{
	struct decoder_counts c;

	decoder_counts(decoder, &c);
	console_print(stderr, "%s frame%s: %s MQTT packet%s in %s conversation%s\n", grouped(c.frames), plural(c.frames),
	              grouped(c.packets), plural(c.packets), grouped(c.conversations), plural(c.conversations));
	if (matched)
		console_print(stderr, "  %s packet%s --where\n", grouped(*matched), *matched == 1 ? " matches" : "s match");
	print_connections(&c, keylog);
	print_losses(&c, decoder_ip_counts(decoder), decoder_tcp_counts(decoder), dropped);
}

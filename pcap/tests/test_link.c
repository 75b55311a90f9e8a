#include "codec/tests/whole.h"
#include "pcap/link.h"

/* Link layers, by hand: 802.3, 802.1Q and 802.1ad, and the LINKTYPE_ pages of tcpdump.org. Behind each stands the byte 45. */

#define MACS "021122334455 020000000001 "
#define SLL(type, protocol) type " 0001 0006 020000000001 0000 " protocol " "
#define SLL2(protocol, interface, type) protocol " 0000 " interface " 0001 " type " 06 020000000001 0000 "

static const struct row {
	const char *name;
	uint32_t link_type;
	const char *hex;
	enum link_status status;
	uint32_t before;
} rows[] = {
	{ "Ethernet, IPv4", 1, MACS "0800 45", LINK_IP, 14 },
	{ "Ethernet, IPv6", 1, MACS "86dd 45", LINK_IP, 14 },
	{ "Ethernet, ARP", 1, MACS "0806 45", LINK_OTHER, 0 },
	{ "Ethernet, a length of 802.3", 1, MACS "0026 42 42 03 45", LINK_OTHER, 0 },
	{ "802.1Q", 1, MACS "8100 0064 0800 45", LINK_IP, 18 },
	{ "802.1Q with a priority", 1, MACS "8100 e064 86dd 45", LINK_IP, 18 },
	{ "802.1ad and 802.1Q", 1, MACS "88a8 0064 8100 00c8 0800 45", LINK_IP, 22 },
	{ "QinQ as it was", 1, MACS "9100 0064 8100 00c8 0800 45", LINK_IP, 22 },
	{ "three tags", 1, MACS "88a8 0064 8100 00c8 8100 0001 86dd 45", LINK_IP, 26 },
	{ "eight tags", 1, MACS "8100 0001 8100 0001 8100 0001 8100 0001 8100 0001 8100 0001 8100 0001 8100 0001 0800 45", LINK_IP, 46 },
	{ "nine tags", 1, MACS "8100 0001 8100 0001 8100 0001 8100 0001 8100 0001 8100 0001 8100 0001 8100 0001 8100 0001 0800 45", LINK_OTHER, 0 },
	{ "a tag before ARP", 1, MACS "8100 0064 0806 45", LINK_OTHER, 0 },
	{ "cooked, IPv4", 113, SLL("0000", "0800") "45", LINK_IP, 16 },
	{ "cooked, IPv6, outgoing", 113, SLL("0004", "86dd") "45", LINK_IP, 16 },
	{ "cooked, a tag", 113, SLL("0000", "8100") "0064 0800 45", LINK_IP, 20 },
	{ "cooked, 802.2", 113, SLL("0000", "0004") "45", LINK_OTHER, 0 },
	{ "cooked v2, IPv4", 276, SLL2("0800", "00000003", "00") "45", LINK_IP, 20 },
	{ "cooked v2, IPv6", 276, SLL2("86dd", "00000003", "04") "45", LINK_IP, 20 },
	{ "cooked v2, two tags", 276, SLL2("88a8", "00000003", "04") "0064 8100 0001 0800 45", LINK_IP, 28 },
	{ "cooked v2, ARP", 276, SLL2("0806", "00000003", "00") "45", LINK_OTHER, 0 },
	{ "raw", 101, "45", LINK_IP, 0 },
	{ "raw, as BSD numbers it", 12, "45", LINK_IP, 0 },
	{ "raw, as OpenBSD numbers it", 14, "45", LINK_IP, 0 },
	{ "IPv4", 228, "45", LINK_IP, 0 },
	{ "IPv6", 229, "45", LINK_IP, 0 },
	{ "NULL, little endian", 0, "02000000 45", LINK_IP, 4 },
	{ "NULL, big endian", 0, "00000002 45", LINK_IP, 4 },
	{ "NULL, IPv6 of Linux", 0, "0a000000 45", LINK_IP, 4 },
	{ "NULL, IPv6 of NetBSD", 0, "00000018 45", LINK_IP, 4 },
	{ "NULL, IPv6 of FreeBSD", 0, "1c000000 45", LINK_IP, 4 },
	{ "NULL, IPv6 of Darwin", 0, "1e000000 45", LINK_IP, 4 },
	{ "NULL, AppleTalk", 0, "10000000 45", LINK_OTHER, 0 },
	{ "LOOP", 108, "00000002 45", LINK_IP, 4 },
	{ "LOOP, the wrong way round", 108, "1c000000 45", LINK_IP, 4 },
	{ "802.11", 105, "45", LINK_UNKNOWN, 0 },
};
enum { N_ROWS = sizeof(rows) / sizeof(rows[0]) };

static struct guard guard;

static void finds_ip(void **state)
{
	const struct row *row = *state;
	uint8_t bytes[128];
	size_t len = bytes_of_hex(row->hex, bytes, sizeof(bytes));
	struct link_ip ip = { 0 };

	assert_int_equal(link_read(row->link_type, span_of(guard_copy(&guard, bytes, len), len), &ip), row->status);
	if (row->status != LINK_IP)
		return;
	assert_int_equal(ip.before, row->before);
	assert_int_equal(ip.bytes.len, 1);
	assert_int_equal(ip.bytes.at[0], 0x45);
	for (size_t cut = 0; cut < len - 1; cut++) {
		enum link_status status = link_read(row->link_type, span_of(guard_copy(&guard, bytes, cut), cut), &ip);

		assert_int_equal(status, row->before ? LINK_BAD : LINK_IP);
	}
}

static uint32_t place_of(uint32_t link_type, const char *hex)
{
	uint8_t bytes[128];
	size_t len = bytes_of_hex(hex, bytes, sizeof(bytes));
	struct link_ip ip;

	assert_int_equal(link_read(link_type, span_of(bytes, len), &ip), LINK_IP);
	return ip.place;
}

static void tells_places_apart(void **state)
{
	(void)state;
	assert_int_equal(place_of(1, MACS "0800 45"), place_of(1, MACS "86dd 45"));
	assert_int_not_equal(place_of(1, MACS "0800 45"), place_of(1, MACS "8100 0000 0800 45"));
	assert_int_not_equal(place_of(1, MACS "8100 0001 0800 45"), place_of(1, MACS "8100 0002 0800 45"));
	assert_int_equal(place_of(1, MACS "8100 0001 0800 45"), place_of(1, MACS "8100 e001 0800 45"));
	assert_int_not_equal(place_of(1, MACS "88a8 0001 8100 0002 0800 45"), place_of(1, MACS "88a8 0002 8100 0001 0800 45"));
	assert_int_not_equal(place_of(113, SLL("0000", "0800") "45"), place_of(113, SLL("0004", "0800") "45"));
	assert_int_not_equal(place_of(276, SLL2("0800", "00000002", "00") "45"), place_of(276, SLL2("0800", "00000003", "00") "45"));
	assert_int_not_equal(place_of(276, SLL2("0800", "00000002", "00") "45"), place_of(276, SLL2("0800", "00000002", "04") "45"));
}

int main(void)
{
	struct CMUnitTest tests[N_ROWS + 1];

	guard = guard_new(4096);
	for (size_t i = 0; i < N_ROWS; i++)
		tests[i] = (struct CMUnitTest){ .name = rows[i].name, .test_func = finds_ip, .initial_state = (void *)&rows[i] };
	tests[N_ROWS] = (struct CMUnitTest){ .name = "places", .test_func = tells_places_apart };
	return cmocka_run_group_tests(tests, NULL, NULL);
}

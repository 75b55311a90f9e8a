#ifndef PCAP_PACKET_MAP_H
#define PCAP_PACKET_MAP_H

#include "pcap/conversation.h"
#include "pcap/out.h"

/*
 * A packet as hex with a field map, a row for each field and for each 8 bytes of it: offset, bytes, the field's name in the notation, its value.
 * Every byte is named; of long fields the first 512 bytes are shown, and how many are left. Secrets stand as **.
 */
void packet_map(struct out *out, const struct seen_packet *seen, bool secrets, const char *indent);

#endif

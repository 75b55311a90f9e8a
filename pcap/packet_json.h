#ifndef PCAP_PACKET_JSON_H
#define PCAP_PACKET_JSON_H

#include "pcap/conversation.h"
#include "pcap/out.h"

/*
 * What a packet says, as members of a JSON object that has others before: each with its comma in front. One that cannot be read: why,
 * and its bytes. Without secrets passwords and authentication data are null, or '*' among the bytes.
 */
void packet_json(struct out *out, const struct seen_packet *seen, bool secrets);

#endif

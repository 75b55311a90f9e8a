#ifndef PCAP_SUMMARY_H
#define PCAP_SUMMARY_H

#include "pcap/decoder.h"

/*
 * What a run of `decode` read, and what it could not: a line, and one for each thing that is not as it should be. To stderr.
 * matched: packets for which --where holds; NULL without it. keylog: --keylog was given.
 */
void summary_print(const struct decoder *decoder, uint64_t dropped_by_kernel, const uint64_t *matched, bool keylog);

#endif

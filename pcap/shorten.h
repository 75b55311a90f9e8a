#ifndef PCAP_SHORTEN_H
#define PCAP_SHORTEN_H

#include "codec/span.h"

/*
 * What a line shows of bytes that may be a megabyte: at most `most` of them, whole characters where they are UTF-8; a third
 * where they are not, since a byte then takes three columns. The same span where it is short enough.
 */
struct span shorten(struct span bytes, size_t most);

#endif

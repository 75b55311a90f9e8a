#include "pcap/shorten.h"

#include "codec/topic.h"

struct span shorten(struct span bytes, size_t most)
{
	size_t len = most;

	if (bytes.len <= most / 3)
		return bytes;
	if (!utf8_valid(bytes))
		return span_of(bytes.at, most / 3);
	if (bytes.len <= most)
		return bytes;
	while (len && (bytes.at[len] & 0xc0) == 0x80)
		len--;
	return span_of(bytes.at, len);
}

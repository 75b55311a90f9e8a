#ifndef CODEC_TOPIC_H
#define CODEC_TOPIC_H

#include "codec/span.h"

/* Well-formed UTF-8 without surrogates; U+0000 is asked for apart. [3.1.1 MQTT-1.5.3-1] [5 MQTT-1.5.4-1] */
bool utf8_valid(struct span s);
bool has_nul(struct span s);

/* At least one character, no wildcard, no U+0000. Assumes nothing about UTF-8. */
bool topic_name_valid(struct span topic);

/* At least one character, '#' alone in the last level, '+' alone in its level, no U+0000. */
bool topic_filter_valid(struct span filter);

/*
 * Whether a valid filter matches a topic name, byte for byte. Linear in their
 * lengths, without recursion. A leading wildcard does not match a topic that
 * begins with '$'. [MQTT-4.7.2-1]
 */
bool topic_matches(struct span filter, struct span topic);

/*
 * "$share/NAME/FILTER" in two. False when the filter does not begin with "$share/";
 * then nothing is written. A true result with an empty or wildcarded *group, or an
 * invalid *filter, is a bad shared filter, which share_valid() tells.
 */
bool share_split(struct span shared, struct span *group, struct span *filter);
bool share_valid(struct span shared);

#endif

#include "pcap/mask.h"

#include <stdlib.h>

#include "codec/fields.h"

enum { MAX_PARTS = 256 };	/* what lies behind so many is secret as a whole */

bool mask_part(enum packet_type type, const struct part *part)
{
	if (type != CONNECT && type != CONNACK && type != AUTH)
		return part->field && mask_property(part->field->property);
	if (part->field)
		return mask_property(part->field->property) || !strcmp(part->name, "password");
	return !strcmp(part->name, "unreadable") || !strcmp(part->name, "trailing");
}

void mask_bytes(struct masked *masked, const struct seen_packet *seen, bool secrets)
{
	struct span bytes = seen->bytes;
	struct part parts[MAX_PARTS];
	enum packet_type type = seen->frame.first >> 4;

	*masked = (struct masked){ .bytes = bytes };
	if (secrets || !bytes.len)
		return;
	size_t n = layout(bytes.at, bytes.len, seen->finding.version, parts, MAX_PARTS);
	if (n > MAX_PARTS) {
		n = MAX_PARTS;
		parts[n - 1].len = (uint32_t)(bytes.len - parts[n - 1].offset);
		parts[n - 1].field = NULL;
		parts[n - 1].name = "unreadable";
	}
	for (size_t i = 0; i < n; i++) {
		if (!mask_part(type, &parts[i]))
			continue;
		if (!masked->copy) {
			masked->copy = malloc(bytes.len);
			if (!masked->copy) {
				masked->bytes = span_of(bytes.at, 0);
				return;
			}
			memcpy(masked->copy, bytes.at, bytes.len);
			masked->bytes.at = masked->copy;
		}
		memset(masked->copy + parts[i].offset, '*', parts[i].len);
		masked->n_masked += parts[i].len;
	}
}

void mask_release(struct masked *masked)
{
	free(masked->copy);
	masked->copy = NULL;
}

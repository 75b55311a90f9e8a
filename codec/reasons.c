#include "codec/fields.h"

/* Reason codes of 5 and return codes before it, by name and by packet. */

struct reason {
	uint8_t code, by, since;
	const char *name;
	uint32_t carried;
};

static const struct reason reasons[] = {
#define X(code, name, carried, by) { code, by, MQTT_5, #name, carried },
	REASONS(X)
#undef X
};

static const struct reason return_codes[] = {
#define X(code, name, carried, since) { code, FROM_SERVER, since, #name, carried },
	RETURN_CODES(X)
#undef X
};

static const struct reason *table(enum version version, size_t *n)
{
	*n = version == MQTT_5 ? sizeof(reasons) / sizeof(*reasons) : sizeof(return_codes) / sizeof(*return_codes);
	return version == MQTT_5 ? reasons : return_codes;
}

const char *reason_name(enum packet_type type, enum version version, unsigned code)
{
	size_t n;
	const struct reason *r = table(version, &n);

	for (; n--; r++)
		if (r->code == code && r->carried & ON(type))
			return r->name;
	return NULL;
}

static bool same_name(struct span name, const char *known)
{
	for (size_t i = 0; i < name.len; i++, known++)
		if (!*known || (name.at[i] != (uint8_t)*known && !(name.at[i] == '-' && *known == '_')))
			return false;
	return !*known;
}

int reason_code(enum packet_type type, enum version version, struct span name)
{
	size_t n;
	const struct reason *r = table(version, &n);
	int code = -1;

	for (; n--; r++)
		if (r->carried & ON(type) && same_name(name, r->name))
			return r->code;
	/* Success is what 0 is called anywhere, beside the packet's own name for it. */
	if (same_name(name, "Success") && reason_name(type, version, 0))
		code = 0;
	return code;
}

bool reason_listed(enum packet_type type, enum version version, unsigned code, enum sender from)
{
	size_t n;
	const struct reason *r = table(version, &n);

	for (; n--; r++)
		if (r->code == code && r->carried & ON(type) && r->by & from && version >= r->since)
			return true;
	return false;
}

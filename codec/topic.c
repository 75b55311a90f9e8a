#include "codec/topic.h"

bool utf8_valid(struct span s)
{
	const uint8_t *p = s.at, *end = s.len ? s.at + s.len : s.at;

	while (p < end) {
		uint64_t eight;

		while (end - p >= 8) {		/* most text is ASCII */
			memcpy(&eight, p, 8);
			if (eight & 0x8080808080808080u)
				break;
			p += 8;
		}
		if (p == end)
			break;
		if (end - p < 8 && s.len >= 8) {	/* what is left, together with what went before */
			memcpy(&eight, end - 8, 8);
			if (!(eight & 0x8080808080808080u))
				break;
		}
		uint8_t c = *p++;
		if (c < 0x80)
			continue;
		int more = c >= 0xc2 && c <= 0xdf ? 1 : (c & 0xf0) == 0xe0 ? 2 : c >= 0xf0 && c <= 0xf4 ? 3 : 0;
		if (!more || end - p < more)
			return false;
		/* overlong forms, surrogates, and what lies past U+10FFFF show in the second byte */
		if ((c == 0xe0 && p[0] < 0xa0) || (c == 0xed && p[0] > 0x9f) || (c == 0xf0 && p[0] < 0x90) || (c == 0xf4 && p[0] > 0x8f))
			return false;
		while (more--)
			if ((*p++ & 0xc0) != 0x80)
				return false;
	}
	return true;
}

bool has_nul(struct span s)
{
	return s.len && memchr(s.at, 0, s.len);
}

/* What names never hold, and filters only in their places. */
static inline bool special(uint8_t c)
{
	return c <= '+' && (c == '+' || c == '#' || !c);	/* one comparison for most */
}

/* Whether one of eight bytes is `byte`. */
static inline bool one_is(uint64_t eight, uint8_t byte)
{
	uint64_t x = eight ^ 0x0101010101010101u * byte;

	return (x - 0x0101010101010101u) & ~x & 0x8080808080808080u;
}

static inline bool one_is_special(const uint8_t *at)
{
	uint64_t eight;

	memcpy(&eight, at, 8);
	return one_is(eight, 0) || one_is(eight, '+') || one_is(eight, '#');
}

bool topic_name_valid(struct span topic)
{
	size_t i = 0;

	if (!topic.len)
		return false;
	for (; topic.len - i >= 8; i += 8)
		if (one_is_special(topic.at + i))
			return false;
	if (i)		/* the rest, together with what went before */
		return !one_is_special(topic.at + topic.len - 8);
	for (; i < topic.len; i++)
		if (special(topic.at[i]))
			return false;
	return true;
}

bool topic_filter_valid(struct span f)
{
	if (!f.len)
		return false;
	for (size_t i = 0; i < f.len; i++) {
		if (!special(f.at[i]))
			continue;
		bool starts = i == 0 || f.at[i - 1] == '/', last = i + 1 == f.len;
		if (!f.at[i] || !starts || (!last && (f.at[i] == '#' || f.at[i + 1] != '/')))
			return false;
	}
	return true;
}

bool topic_matches(struct span filter, struct span topic)
{
	const uint8_t *f = filter.at, *fe = f + filter.len, *t = topic.at, *te = t + topic.len;

	if (!filter.len || !topic.len || (*t == '$' && (*f == '#' || *f == '+')))
		return false;
	while (f < fe) {
		if (*f == '#')
			return true;
		if (*f == '+') {
			f++;
			while (t < te && *t != '/')
				t++;
		} else {
			while (f < fe && *f != '/' && t < te && *t == *f)
				f++, t++;
			if (f < fe && *f != '/')
				return false;
		}
		/* both are at the end of a level */
		if (t == te)
			return f == fe || (fe - f == 2 && f[0] == '/' && f[1] == '#');
		if (*t != '/' || f == fe)
			return false;
		f++, t++;
		if (f == fe)
			return t == te;
	}
	return t == te;
}

bool share_split(struct span shared, struct span *group, struct span *filter)
{
	static const char prefix[] = "$share/";
	const size_t n = sizeof(prefix) - 1;

	if (shared.len < n || memcmp(shared.at, prefix, n))
		return false;
	const uint8_t *from = shared.at + n, *end = shared.at + shared.len, *slash = from;
	while (slash < end && *slash != '/')
		slash++;
	*group = span_of(from, (size_t)(slash - from));
	*filter = slash < end ? span_of(slash + 1, (size_t)(end - slash - 1)) : span_of(end, 0);
	return true;
}

bool share_valid(struct span shared)
{
	struct span group, filter;

	if (!share_split(shared, &group, &filter) || !group.len)
		return false;
	for (size_t i = 0; i < group.len; i++)
		if (special(group.at[i]))
			return false;
	return topic_filter_valid(filter);
}

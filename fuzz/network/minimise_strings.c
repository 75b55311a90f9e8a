#include "codec/table.h"
#include "fuzz/network/minimise_internal.h"
#include "harness/eval.h"

/*
 * Topics, filters, client ids, payloads and the rest: a string that stands in several packets stands there for a reason, and is shortened in
 * all of them at once. The run's name in it stays, so that plays do not meet.
 */

enum { STRINGS = 64 };

struct strings {
	struct span at[STRINGS];	/* in the best; copied, since it changes */
	uint32_t n;
	struct region *region;
};

struct substitution {
	struct span from, to;		/* from.at NULL: all topics and filters that have the name */
	bool ids;			/* client ids too */
	struct strings *collect;	/* instead */
};

static const uint8_t *name_in(struct span s)
{
	return s.len >= MOVES_NAME_LEN ? memmem(s.at, s.len, MOVES_NAME, MOVES_NAME_LEN) : NULL;
}

static void collect(struct strings *strings, struct span s)
{
	if (s.len < 2 || strings->n == STRINGS)
		return;
	for (uint32_t i = 0; i < strings->n; i++)
		if (span_equal(strings->at[i], s))
			return;
	strings->at[strings->n++] = region_copy(strings->region, s);
}

/* What takes the place of s in that field. */
static struct span in_place(const struct substitution *sub, const struct field *f, struct span s)
{
	if (sub->collect) {
		collect(sub->collect, s);
		return s;
	}
	if (sub->from.at)
		return span_equal(sub->from, s) ? sub->to : s;
	bool topic = f->kind == FILTERS || f->kind == TOPICS || f->limit == TOPIC_NAME || f->limit == TOPIC_NAME_OR_ALIAS;
	return (topic || (sub->ids && f->kind == STR)) && s.len > MOVES_NAME_LEN && name_in(s) ? sub->to : s;
}

static bool map_properties(struct search *s, struct span *list, bool will, const struct substitution *sub)
{
	struct property_walk walk = properties_of(*list);
	struct property p;
	uint8_t *room = arena_take(&s->arena, MOVES_BYTES);
	struct writer w = writer_to(room, room ? MOVES_BYTES : 0);
	bool changed = false;

	while (property_next(&walk, &p)) {
		const struct field *f = field_of_property(p.id, will);
		struct value v = p.value;

		if (v.kind != VALUE_NUMBER) {
			v.bytes = in_place(sub, f, v.bytes);
			if (v.kind == VALUE_PAIR)
				v.second = in_place(sub, f, v.second);
		}
		if (span_equal(v.bytes, p.value.bytes) && span_equal(v.second, p.value.second)) {
			wr_bytes(&w, span_of(p.at, p.size));
		} else {
			property_write(&w, p.id, &v);
			changed = true;
		}
	}
	if (changed && room && wr_fits(&w))
		*list = wr_span(&w);
	return changed;
}

static bool map_filters(struct search *s, struct packet *p, const struct field *f, const struct substitution *sub)
{
	struct filter_walk walk = filters_of(p);
	uint8_t *room = arena_take(&s->arena, MOVES_BYTES);
	struct writer w = writer_to(room, room ? MOVES_BYTES : 0);
	struct span filter;
	uint8_t options;
	bool changed = false;

	while (filter_next(&walk, &filter, &options)) {
		struct span other = in_place(sub, f, filter);

		changed |= !span_equal(other, filter);
		wr_binary(&w, other);
		if (p->type == SUBSCRIBE)
			wr_u8(&w, options);
	}
	if (changed && room && wr_fits(&w))
		p->list = wr_span(&w);
	return changed;
}

/* As an edit: see packet_alter(). */
static bool map_strings(struct search *s, struct packet *p, const void *how)
{
	const struct substitution *sub = how;
	bool changed = false;

	for (const struct row *row = rows_of((enum packet_type)p->type); row->field; row++) {
		const struct field *f = row->field;
		struct span *at = member_of(p, f), to;

		if (!row_there(row, p) || f->member == offsetof(struct packet, protocol_name))
			continue;
		switch (f->kind) {
		case STR: case BIN: case REST:
			to = in_place(sub, f, *at);
			changed |= !span_equal(to, *at);
			*at = to;
			break;
		case PROPS:
			changed |= map_properties(s, at, f->will, sub);
			break;
		case FILTERS: case TOPICS:
			changed |= map_filters(s, p, f, sub);
			break;
		default:
			break;
		}
	}
	return changed;
}

static bool substitute(struct search *s, const struct substitution *sub)
{
	struct moves *m = search_begin(s);
	bool changed = false;

	for (uint32_t i = 0; i < m->n; i++)
		changed |= packet_alter(s, m, i, map_strings, sub);
	return changed && search_try(s);
}

static bool replace(struct search *s, struct span *string, struct span by)
{
	struct substitution sub = { .from = *string, .to = by };

	if (span_equal(*string, by) || !substitute(s, &sub))
		return false;
	*string = by;
	return true;
}

static bool is_filler(struct span s)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.at[i] != 'a' + i % 26)
			return false;
	return true;
}

/* The shortest beginning that will do, by halves; exactly where it is short enough for people to care. */
static void shorten(struct search *s, struct span *string, size_t least)
{
	size_t low = least;

	while (string->len > low + 1 && string->len - low > string->len / 64 && !s->over) {
		size_t middle = low + (string->len - low) / 2;

		if (!replace(s, string, span_of(string->at, middle)))
			low = middle;
	}
}

static void shrink_string(struct search *s, struct span string, struct region *region)
{
	const uint8_t *name = name_in(string);
	size_t least = name ? (size_t)(name - string.at) + MOVES_NAME_LEN : 0;

	if (replace(s, &string, name ? span_text(MOVES_NAME) : span_of(string.at, 0)))
		return;
	if (!name && string.len >= 16 && !is_filler(string)) {
		uint8_t *filler = region_alloc(region, string.len);

		fill_pattern(filler, string.len, 0);
		replace(s, &string, span_of(filler, string.len));
	}
	if (string.len > (name ? least : 8))
		shorten(s, &string, least);
}

static void collect_all(struct search *s, struct strings *strings)
{
	const struct substitution sub = { .collect = strings };
	struct moves *m = search_begin(s);

	for (uint32_t i = 0; i < m->n; i++)
		packet_alter(s, m, i, map_strings, &sub);
}

void search_strings(struct search *s)
{
	struct region region = { 0 };
	struct strings strings = { .region = &region };
	struct substitution named = { .to = span_text(MOVES_NAME), .ids = true };

	if (!substitute(s, &named)) {
		named.ids = false;
		substitute(s, &named);
	}
	collect_all(s, &strings);
	for (uint32_t i = 0; i < strings.n && !s->over; i++)
		shrink_string(s, strings.at[i], &region);
	region_release(&region);
}

#include "reference-broker/acl.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "codec/topic.h"
#include "reference-broker/text_file.h"

/* In a compiled filter, in place of %u and %c: no line has control characters. */
enum { MARK_USER = 1, MARK_CLIENT = 2 };

enum who { EVERYBODY, ANONYMOUS, ONE_USER };

struct rule {
	unsigned line;			/* rules are asked in this order */
	enum who who;
	uint8_t acts;			/* enum act, several */
	bool allow;
	bool has_user, has_client;	/* marks in the filter */
	struct span user, filter;	/* in acl->bytes */
};

struct range {
	const struct rule *at, *end;
};

struct acl {
	struct rule *rules;		/* everybody's, who named no user's, then each user's by name; by line in each */
	size_t n;
	struct range everybody, anonymous, users;
	uint8_t *bytes;
	unsigned line_about_user;
};

/* ---- matching ---- */

/* Whose rights are asked for, as a filter's marks see them. */
struct asker {
	struct span user, client;
	bool user_fits, client_fits;	/* they can stand for themselves and for nothing else */
};

static bool fits_in_a_level(struct span name)
{
	return name.len && !memchr(name.at, '+', name.len) && !memchr(name.at, '#', name.len) && !memchr(name.at, '/', name.len) &&
	       !memchr(name.at, 0, name.len);
}

struct levels {
	struct span left;
	bool done;
};

static bool level_next(struct levels *l, struct span *level)
{
	const uint8_t *slash = l->left.len ? memchr(l->left.at, '/', l->left.len) : NULL;

	if (l->done)
		return false;
	l->done = !slash;
	*level = slash ? span_of(l->left.at, (size_t)(slash - l->left.at)) : l->left;
	if (slash)
		l->left = span_of(slash + 1, l->left.len - level->len - 1);
	return true;
}

static bool level_is(struct span level, char wildcard)
{
	return level.len == 1 && level.at[0] == wildcard;
}

static bool begins_with_dollar(struct span level)
{
	return level.len && level.at[0] == '$';
}

static bool level_unknown(struct span level, const struct asker *asker)
{
	return level.len && ((!asker->user_fits && memchr(level.at, MARK_USER, level.len)) ||
	                     (!asker->client_fits && memchr(level.at, MARK_CLIENT, level.len)));
}

/* One way from the left: what a mark stands for is known, so nothing has to be tried. */
static bool level_equal(struct span rule, struct span level, const struct asker *asker)
{
	for (size_t i = 0; i < rule.len; i++) {
		struct span part = span_of(rule.at + i, 1);

		if (asker && rule.at[i] == MARK_USER)
			part = asker->user;
		else if (asker && rule.at[i] == MARK_CLIENT)
			part = asker->client;
		if (part.len > level.len || memcmp(part.at, level.at, part.len))
			return false;
		level = span_of(level.at + part.len, level.len - part.len);
	}
	return !level.len;
}

/*
 * Whether the filter of a rule matches every topic that the other one matches, or, with `any`, one of them. A topic matches
 * itself alone. Without an asker, marks are characters.
 */
static bool matches(struct span filter, struct span other, const struct asker *asker, bool any)
{
	struct levels ours = { .left = filter }, theirs = { .left = other };
	struct span a = { 0 }, b = { 0 };

	for (bool first = true;; first = false) {
		bool more_a = level_next(&ours, &a), more_b = level_next(&theirs, &b);
		bool rest_a = more_a && level_is(a, '#'), rest_b = more_b && level_is(b, '#');

		if (!more_a || !more_b)		/* "a/#" matches "a" as well */
			return more_a == more_b || rest_a || (any && rest_b);
		/* [MQTT-4.7.2-1] on either side; and nobody becomes the server by calling himself $SYS */
		if (first && begins_with_dollar(a) != begins_with_dollar(b))
			return false;
		if (rest_a)
			return true;
		if (asker && level_unknown(a, asker))
			return any;
		if (rest_b)
			return any;
		if (level_is(a, '+') || (any && level_is(b, '+')))
			continue;
		if (level_is(b, '+') || !level_equal(a, b, asker))
			return false;
	}
}

static bool decides(const struct rule *rule, const struct asker *asker, enum act act, struct span topic)
{
	if (!(rule->acts & act))
		return false;
	if (rule->allow && ((rule->has_user && !asker->user_fits) || (rule->has_client && !asker->client_fits)))
		return false;
	return matches(rule->filter, topic, asker, !rule->allow);
}

/* ---- whose rules ---- */

static int compare_names(struct span a, struct span b)
{
	size_t len = a.len < b.len ? a.len : b.len;
	int order = len ? memcmp(a.at, b.at, len) : 0;

	return order ? order : (a.len > b.len) - (a.len < b.len);
}

static int by_who_and_line(const void *a, const void *b)
{
	const struct rule *x = a, *y = b;
	int order = (x->who > y->who) - (x->who < y->who);

	if (!order)
		order = compare_names(x->user, y->user);
	return order ? order : (x->line > y->line) - (x->line < y->line);
}

static struct range rules_of(const struct acl *acl, struct span user)
{
	const struct rule *low = acl->users.at, *high = acl->users.end, *end;

	while (low < high) {
		const struct rule *middle = low + (high - low) / 2;

		if (compare_names(middle->user, user) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	for (end = low; end < acl->users.end && span_equal(end->user, user); end++)
		;
	return (struct range){ low, end };
}

bool acl_may(const struct acl *acl, struct span user, struct span client_id, enum act act, struct span topic)
{
	const struct asker asker = { user, client_id, fits_in_a_level(user), fits_in_a_level(client_id) };
	struct range all = acl->everybody, own = user.at ? rules_of(acl, user) : acl->anonymous;

	while (all.at < all.end || own.at < own.end) {
		bool from_own = all.at == all.end || (own.at < own.end && own.at->line < all.at->line);
		const struct rule *rule = from_own ? own.at++ : all.at++;

		if (decides(rule, &asker, act, topic))
			return rule->allow;
	}
	return false;
}

unsigned acl_line_about_user(const struct acl *acl)
{
	return acl->line_about_user;
}

/* ---- reading ---- */

struct reading {
	struct acl *acl;
	struct fault *fault;
	struct span line;		/* without its end */
	size_t at;			/* in the line */
	size_t cap, bytes_len;
};

struct word {
	struct span text;		/* in acl->bytes, without quotes */
	size_t at;			/* where it begins in the line */
	bool quoted;
};

static bool wrong(struct reading *r, size_t at, const char *format, ...) __attribute__((format(printf, 3, 4)));
static bool wrong(struct reading *r, size_t at, const char *format, ...)
{
	va_list args;

	r->fault->column = (unsigned)at + 1;
	va_start(args, format);
	vsnprintf(r->fault->text, sizeof(r->fault->text), format, args);
	va_end(args);
	return false;
}

static bool is_blank(uint8_t c)
{
	return c == ' ' || c == '\t';
}

static void skip_blanks(struct reading *r)
{
	while (r->at < r->line.len && is_blank(r->line.at[r->at]))
		r->at++;
}

/* The next word; empty and not quoted at the end of the line. */
static bool take_word(struct reading *r, struct word *word)
{
	uint8_t *to = r->acl->bytes + r->bytes_len;

	skip_blanks(r);
	*word = (struct word){ .text = { to, 0 }, .at = r->at };
	word->quoted = r->at < r->line.len && r->line.at[r->at] == '"';
	r->at += word->quoted;
	for (;; r->at++) {
		if (r->at == r->line.len) {
			if (word->quoted)
				return wrong(r, word->at, "the quotation mark that stands here is not closed");
			break;
		}
		if (word->quoted ? r->line.at[r->at] == '"' : is_blank(r->line.at[r->at]))
			break;
		if (word->quoted && r->line.at[r->at] == '\\' && ++r->at < r->line.len &&
		    r->line.at[r->at] != '"' && r->line.at[r->at] != '\\')
			return wrong(r, r->at - 1, "expected \\\" or \\\\ in quotes");
		if (r->at < r->line.len)
			to[word->text.len++] = r->line.at[r->at];
		else
			r->at--;
	}
	r->at += word->quoted;
	if (word->quoted && r->at < r->line.len && !is_blank(r->line.at[r->at]))
		return wrong(r, r->at, "expected a blank behind the quotation mark");
	r->bytes_len += word->text.len;
	return true;
}

static bool word_is(const struct word *word, const char *text)
{
	return !word->quoted && span_is(word->text, text);
}

/* Puts marks in place of %u and %c, where the word stands. */
static bool compile_filter(struct reading *r, const struct word *word, struct rule *rule)
{
	uint8_t *bytes = (uint8_t *)word->text.at;	/* in acl->bytes, which is ours */
	size_t len = 0;

	if (!topic_filter_valid(word->text))
		return wrong(r, word->at, "expected a topic filter: + stands alone in its level, # alone in the last one");
	if (word->text.len > 7 && !memcmp(word->text.at, "$share/", 7))
		return wrong(r, word->at, "rules are about the filter behind $share/NAME/: write that one");
	for (size_t i = 0; i < word->text.len; i++, len++) {
		uint8_t c = bytes[i];

		if (c == '%') {
			c = ++i < word->text.len ? bytes[i] : 0;
			if (c != 'u' && c != 'c' && c != '%')
				return wrong(r, word->at, "expected %%u (user name), %%c (client id) or %%%% (a percent sign) where a %% stands");
			rule->has_user |= c == 'u';
			rule->has_client |= c == 'c';
			c = c == 'u' ? MARK_USER : c == 'c' ? MARK_CLIENT : c;
		}
		bytes[len] = c;
	}
	rule->filter = span_of(bytes, len);
	return true;
}

static bool take_who(struct reading *r, struct rule *rule)
{
	struct word word, name;

	if (!take_word(r, &word))
		return false;
	if (!word.quoted && !word.text.len)
		return true;
	if (word_is(&word, "anonymous")) {
		rule->who = ANONYMOUS;
	} else if (word_is(&word, "user")) {
		rule->who = ONE_USER;
		if (!take_word(r, &name))
			return false;
		if (!name.text.len)
			return wrong(r, name.at, "expected a user's name");
		rule->user = name.text;
	} else {
		return wrong(r, word.at, "expected `user NAME`, `anonymous` or the end of the line; quote a filter that has blanks");
	}
	if (!take_word(r, &word))
		return false;
	return (!word.quoted && !word.text.len) || wrong(r, word.at, "expected the end of the line");
}

static bool take_rule(struct reading *r, struct rule *rule)
{
	struct word word;

	if (!take_word(r, &word))
		return false;
	if (!word_is(&word, "allow") && !word_is(&word, "deny"))
		return wrong(r, word.at, "expected allow or deny");
	rule->allow = word_is(&word, "allow");
	if (!take_word(r, &word))
		return false;
	rule->acts = word_is(&word, "publish") ? ACT_PUBLISH : word_is(&word, "subscribe") ? ACT_SUBSCRIBE :
	             word_is(&word, "both") ? ACT_PUBLISH | ACT_SUBSCRIBE : 0;
	if (!rule->acts)
		return wrong(r, word.at, "expected publish, subscribe or both");
	if (!take_word(r, &word))
		return false;
	if (!word.text.len)
		return wrong(r, word.at, "expected a topic filter such as sensors/+/state or home/%%u/#");
	return compile_filter(r, &word, rule) && take_who(r, rule);
}

static bool check_text(struct reading *r)
{
	if (r->line.len > ACL_LINE_MAX)
		return wrong(r, ACL_LINE_MAX, "longer than %d bytes", ACL_LINE_MAX);
	for (size_t i = 0; i < r->line.len; i++)
		if ((r->line.at[i] < ' ' && r->line.at[i] != '\t') || r->line.at[i] == 0x7f)
			return wrong(r, i, "a control character; expected text");
	return utf8_valid(r->line) || wrong(r, 0, "not UTF-8, as topics are");
}

static bool read_line(struct reading *r)
{
	struct acl *acl = r->acl;
	struct rule rule = { .line = r->fault->line };

	r->at = 0;
	if (!check_text(r))
		return false;
	skip_blanks(r);
	if (r->at == r->line.len || r->line.at[r->at] == '#')
		return true;
	if (!take_rule(r, &rule))
		return false;
	if (acl->n == ACL_RULES_MAX)
		return wrong(r, 0, "more than %d rules", ACL_RULES_MAX);
	if (acl->n == r->cap) {
		r->cap = r->cap ? 2 * r->cap : 16;
		acl->rules = realloc(acl->rules, r->cap * sizeof(*acl->rules));
		if (!acl->rules)
			abort();
	}
	acl->rules[acl->n++] = rule;
	if (!acl->line_about_user && (rule.who == ONE_USER || rule.has_user))
		acl->line_about_user = rule.line;
	return true;
}

static bool read_lines(struct reading *r, struct span text)
{
	while (text.len) {
		const uint8_t *end = memchr(text.at, '\n', text.len);
		size_t len = end ? (size_t)(end - text.at) : text.len;

		r->fault->line++;
		r->line = span_of(text.at, len);
		if (len && text.at[len - 1] == '\r')
			r->line.len--;
		if (!read_line(r))
			return false;
		len += end != NULL;
		text = span_of(text.at + len, text.len - len);
	}
	return true;
}

/* Whether the earlier rule decides all that the later one could. */
static bool forestalls(const struct rule *earlier, const struct rule *later)
{
	if (later->acts & ~earlier->acts)
		return false;
	if (earlier->who != EVERYBODY && (earlier->who != later->who || !span_equal(earlier->user, later->user)))
		return false;
	if (!later->allow && (later->has_user || later->has_client))	/* it decides more for a name that does not fit */
		return false;
	/* A filter that is asked for may meet what a deny names and reach beyond the allow above it: only # has nothing beyond. */
	if (earlier->allow && !later->allow && later->acts & ACT_SUBSCRIBE && !span_is(earlier->filter, "#"))
		return false;
	return matches(earlier->filter, later->filter, NULL, false);
}

static bool all_count(struct reading *r)
{
	const struct acl *acl = r->acl;

	for (size_t i = 1; i < acl->n; i++)
		for (size_t k = 0; k < i; k++)
			if (forestalls(&acl->rules[k], &acl->rules[i])) {
				r->fault->line = acl->rules[i].line;
				return wrong(r, 0, "line %u decides first whatever this rule is about: put this one above it, or leave it out",
				             acl->rules[k].line);
			}
	return true;
}

static void sort_rules(struct acl *acl)
{
	const struct rule *end, *at = acl->rules;

	if (!acl->n)
		return;
	end = at + acl->n;
	qsort(acl->rules, acl->n, sizeof(*acl->rules), by_who_and_line);
	for (acl->everybody.at = at; at < end && at->who == EVERYBODY; at++)
		;
	acl->everybody.end = acl->anonymous.at = at;
	for (; at < end && at->who == ANONYMOUS; at++)
		;
	acl->anonymous.end = acl->users.at = at;
	acl->users.end = end;
}

struct acl *acl_parse(struct span text, struct fault *fault)
{
	struct acl *acl = calloc(1, sizeof(*acl));
	struct reading r = { .acl = acl, .fault = fault };

	*fault = (struct fault){ 0 };
	if (!acl)
		abort();
	acl->bytes = malloc(text.len + 1);	/* what a rule keeps is no longer than its line */
	if (!acl->bytes)
		abort();
	if (read_lines(&r, text) && all_count(&r)) {
		sort_rules(acl);
		*fault = (struct fault){ 0 };
		return acl;
	}
	acl_free(acl);
	return NULL;
}

struct acl *acl_read(const char *path, struct fault *fault)
{
	struct span text;
	struct acl *acl;

	if (!text_file_read(path, ACL_FILE_MAX, &text, fault))
		return NULL;
	acl = acl_parse(text, fault);
	free((void *)text.at);
	return acl;
}

void acl_free(struct acl *acl)
{
	if (!acl)
		return;
	free(acl->rules);
	free(acl->bytes);
	free(acl);
}

void acl_replace(struct acl *acl, struct acl *fresh)
{
	struct acl old = *acl;

	*acl = *fresh;		/* its ranges point into its rules, which stay where they are */
	*fresh = old;
	acl_free(fresh);
}

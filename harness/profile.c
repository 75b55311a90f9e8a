#include "harness/profile.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/fields.h"
#include "harness/cli.h"
#include "harness/console.h"
#include "harness/units.h"

/* One line, while it is read. */
struct entry {
	struct profile *profile;
	const char *path;
	unsigned line, column;		/* of the value */
	const char *value, *comment;	/* comment: NULL for none */
	struct fault *fault;
};

static bool wrong(struct fault *fault, unsigned line, unsigned column, const char *format, ...) __attribute__((format(printf, 4, 5)));
static bool wrong(struct fault *fault, unsigned line, unsigned column, const char *format, ...)
{
	va_list args;

	*fault = (struct fault){ .line = line, .column = column };
	va_start(args, format);
	vsnprintf(fault->text, sizeof(fault->text), format, args);
	va_end(args);
	return false;
}

/* Shown in a message: never long. */
static const char *shown(const char *text)
{
	char cut[41];

	snprintf(cut, sizeof(cut), "%s", text);
	return console_safe(cut);
}

/* ---- capabilities ---- */

enum { MAX_CAPABILITIES = 64 };

const char *const *capability_names(void)
{
	static const char *names[MAX_CAPABILITIES + 1] = { "tls", "websocket", "auth", "login", "denied_publish", "denied_subscribe" };
	const struct field *field;
	size_t n = 6;

	for (size_t i = 0; (field = field_at(CONNACK, MQTT_5, i)) && n < MAX_CAPABILITIES; i++)
		if (field->property)
			names[n++] = field->name;
	return names;
}

bool capability_known(const char *text, char *hint, size_t cap)
{
	const char *const *names = capability_names();
	char name[64];

	snprintf(name, sizeof(name), "%.*s", (int)strcspn(text, "<>="), text);
	*hint = '\0';
	for (size_t i = 0; names[i]; i++)
		if (!strcmp(names[i], name))
			return true;
	if (cli_nearest(name, names))
		snprintf(hint, cap, "; did you mean %s?", cli_nearest(name, names));
	return false;
}

/* ---- keys ---- */

static bool take_text(const struct entry *e, const char **to)
{
	*to = region_string(&e->profile->region, span_text(e->value));
	return true;
}

static bool take_name(const struct entry *e)
{
	if (e->value[strspn(e->value, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")] || strlen(e->value) > 60)
		return wrong(e->fault, e->line, e->column, "expected at most 60 letters, digits and . _ -, found '%s'", shown(e->value));
	return take_text(e, &e->profile->name);
}

static bool take_user(const struct entry *e)
{
	return take_text(e, &e->profile->user);
}

static bool take_password_file(const struct entry *e)
{
	const char *slash = strrchr(e->path, '/');
	char path[PROFILE_MAX_LINE + 4096];

	if (*e->value == '/' || !slash)
		return take_text(e, &e->profile->password_file);
	if (slash - e->path >= 4096)
		return wrong(e->fault, e->line, e->column, "the profile's own path is too long for a file beside it");
	snprintf(path, sizeof(path), "%.*s/%s", (int)(slash - e->path), e->path, e->value);
	e->profile->password_file = region_string(&e->profile->region, span_text(path));
	return true;
}

static bool take_timer_tolerance(const struct entry *e)
{
	if (!units_duration(e->value, &e->profile->timer_tolerance_ns))
		return wrong(e->fault, e->line, e->column, "expected %s, found '%s'", units_duration_form, shown(e->value));
	if (e->profile->timer_tolerance_ns > 3600 * UINT64_C(1000000000))
		return wrong(e->fault, e->line, e->column, "expected at most 1h, found '%s'", shown(e->value));
	return true;
}

static bool take_without(const struct entry *e)
{
	struct profile *p = e->profile;
	char hint[80], by[PROFILE_MAX_LINE + 600];

	if (!capability_known(e->value, hint, sizeof(hint)))
		return wrong(e->fault, e->line, e->column, "unknown capability '%s'; expected what CONNACK announces, or tls, websocket, auth, login%s",
		             shown(e->value), hint);
	if (p->n_without == PROFILE_MAX_WITHOUT)
		return wrong(e->fault, e->line, 1, "more than %d capabilities", PROFILE_MAX_WITHOUT);
	snprintf(by, sizeof(by), "%.400s:%u%s%s", console_safe(e->path), e->line, e->comment ? ": " : "", e->comment ? e->comment : "");
	p->without = realloc(p->without, (p->n_without + 1) * sizeof(*p->without));
	if (!p->without)
		abort();
	p->without[p->n_without++] = (struct absent){ region_string(&p->region, span_text(e->value)), region_string(&p->region, span_text(by)) };
	return true;
}

/* publish LEVEL/#: one level, so that a filter with + in its place fits what is denied. */
static bool take_denies(const struct entry *e)
{
	size_t word = strcspn(e->value, " \t");
	const char *filter = e->value + word + strspn(e->value + word, " \t");
	size_t level = strcspn(filter, "/");
	bool publish = word == 7 && !strncmp(e->value, "publish", word), subscribe = word == 9 && !strncmp(e->value, "subscribe", word);
	const char **to = publish ? &e->profile->denied_publish : &e->profile->denied_subscribe;

	if (!publish && !subscribe)
		return wrong(e->fault, e->line, e->column, "expected publish or subscribe, found '%s'", shown(e->value));
	if (!level || strcmp(filter + level, "/#") || strspn(filter, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") != level)
		return wrong(e->fault, e->line, e->column + (unsigned)(filter - e->value),
		             "expected one level of letters, digits, _ and -, and /#, such as locked/#: the tests have topics of their own below it");
	if (*to)
		return wrong(e->fault, e->line, e->column, "denies %s stands twice", publish ? "publish" : "subscribe");
	*to = region_string(&e->profile->region, span_of(filter, level));
	return true;
}

static const struct key {
	const char *name;
	bool (*take)(const struct entry *entry);
	bool repeats;
} keys[] = {
	{ "name", take_name, false },
	{ "without", take_without, true },
	{ "user", take_user, false },
	{ "password-file", take_password_file, false },
	{ "timer-tolerance", take_timer_tolerance, false },
	{ "denies", take_denies, true },
};
enum { N_KEYS = sizeof(keys) / sizeof(*keys) };

static bool unknown_key(const struct entry *e, unsigned column, const char *name)
{
	const char *names[N_KEYS + 1] = { NULL }, *near;

	for (size_t i = 0; i < N_KEYS; i++)
		names[i] = keys[i].name;
	near = cli_nearest(name, names);
	return wrong(e->fault, e->line, column, "unknown key '%s'; %s%s%s", shown(name),
	             near ? "did you mean " : "expected name, without, user, password-file, timer-tolerance or denies", near ? near : "", near ? "?" : "");
}

/* ---- lines ---- */

static char *skip_blanks(char *text)
{
	return text + strspn(text, " \t");
}

static void cut_blanks(char *text)
{
	size_t len = strlen(text);

	while (len && (text[len - 1] == ' ' || text[len - 1] == '\t' || text[len - 1] == '\r'))
		text[--len] = '\0';
}

/* Ends text before its comment; returns what the comment says, or NULL. */
static char *cut_comment(char *text)
{
	for (char *at = text; *at; at++)
		if (*at == '#' && (at == text || at[-1] == ' ' || at[-1] == '\t')) {
			*at = '\0';
			at = skip_blanks(at + 1);
			cut_blanks(at);
			return *at ? at : NULL;
		}
	return NULL;
}

static bool take_line(struct entry *e, char *text, bool seen[N_KEYS])
{
	char *key, *value;

	e->comment = cut_comment(text);
	cut_blanks(text);
	key = skip_blanks(text);
	if (!*key)
		return true;
	unsigned column = (unsigned)(key - text) + 1;
	value = key + strcspn(key, " \t");
	if (*value)
		*value++ = '\0';
	value = skip_blanks(value);
	e->value = value;
	e->column = (unsigned)(value - text) + 1;
	for (size_t i = 0; i < N_KEYS; i++) {
		if (strcmp(keys[i].name, key))
			continue;
		if (!*value)
			return wrong(e->fault, e->line, e->column, "expected a value behind %s", key);
		if (seen[i] && !keys[i].repeats)
			return wrong(e->fault, e->line, column, "%s stands twice", key);
		seen[i] = true;
		return keys[i].take(e);
	}
	return unknown_key(e, column, key);
}

static bool check_text(struct span line, unsigned number, struct fault *fault)
{
	for (size_t i = 0; i < line.len && i < PROFILE_MAX_LINE; i++)
		if ((line.at[i] < 0x20 && line.at[i] != '\t' && line.at[i] != '\r') || line.at[i] == 0x7f)
			return wrong(fault, number, (unsigned)i + 1, "a control character; expected text");
	if (line.len > PROFILE_MAX_LINE)
		return wrong(fault, number, PROFILE_MAX_LINE + 1, "a line of more than %d bytes", PROFILE_MAX_LINE);
	return true;
}

bool profile_parse(struct profile *profile, const char *path, struct span text, struct fault *fault)
{
	struct entry e = { .profile = profile, .path = path, .fault = fault };
	bool seen[N_KEYS] = { false };
	char line[PROFILE_MAX_LINE + 1];

	if (text.len > PROFILE_MAX_FILE)
		return wrong(fault, 1, 1, "a file of more than %d KB", PROFILE_MAX_FILE >> 10);
	for (e.line = 1; text.len; e.line++) {
		const uint8_t *end = memchr(text.at, '\n', text.len);
		size_t len = end ? (size_t)(end - text.at) : text.len;

		if (!check_text(span_of(text.at, len), e.line, fault))
			return false;
		memcpy(line, text.at, len);
		line[len] = '\0';
		if (!take_line(&e, line, seen))
			return false;
		len += end != NULL;
		text = span_of(text.at + len, text.len - len);
	}
	return true;
}

int profile_read(struct profile *profile, const char *path)
{
	char text[PROFILE_MAX_FILE + 1];
	FILE *f = fopen(path, "rb");
	size_t len = f ? fread(text, 1, sizeof(text), f) : 0;
	struct fault fault;
	int status = 0;

	if (!f || ferror(f)) {
		console_error("read %s: %s", console_safe(path), strerror(errno));
		status = EXIT_UNABLE;
	} else if (!profile_parse(profile, path, span_of(text, len), &fault)) {
		console_error("%s:%u:%u: %s", console_safe(path), fault.line, fault.column, fault.text);
		status = EXIT_USAGE;
	}
	if (f)
		fclose(f);
	return status;
}

void profile_release(struct profile *profile)
{
	free(profile->without);
	region_release(&profile->region);
	*profile = (struct profile){ 0 };
}

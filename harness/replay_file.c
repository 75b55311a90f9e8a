#include "harness/replay_file.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "harness/cli.h"
#include "harness/console.h"

const char *const replay_option_names[] = { "define", "without", "broker", "break", "real", "transport", "also", "user", "split", "timeout", "timer-tolerance", "slack", "seed", NULL };

const char *const replay_tls_names[] = { "ca", "cert", "key", "insecure", "alpn", NULL };

static const char *const versions[] = { "3.1", "3.1.1", "5", NULL };

/* ---- reading ---- */

struct reading {
	struct replay_file *file;
	struct fault *fault;
	uint32_t line;
};

static bool wrong(struct reading *r, const char *format, ...) __attribute__((format(printf, 2, 3)));
static bool wrong(struct reading *r, const char *format, ...)
{
	va_list args;

	*r->fault = (struct fault){ .line = r->line };
	va_start(args, format);
	vsnprintf(r->fault->text, sizeof(r->fault->text), format, args);
	va_end(args);
	return false;
}

static int digit(uint8_t c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The bytes that a value stands for, as a string: NUL is not among them. */
static bool unescape(struct reading *r, struct span text, const char **value)
{
	char *out = region_string(&r->file->region, text);

	*value = out;
	for (size_t i = 0; i < text.len; i++) {
		int c = text.at[i];

		if (c < ' ' || c > '~')
			return wrong(r, "expected printable ASCII, and \\xHH for other bytes");
		if (c == '\\' && i + 1 < text.len && text.at[i + 1] == '\\') {
			i++;
		} else if (c == '\\') {
			int high = i + 3 < text.len && text.at[i + 1] == 'x' ? digit(text.at[i + 2]) : -1;
			int low = high < 0 ? -1 : digit(text.at[i + 3]);

			c = low < 0 ? 0 : high << 4 | low;
			if (!c)
				return wrong(r, "expected \\\\ or \\xHH behind a backslash, and not \\x00");
			i += 3;
		}
		*out++ = (char)c;
	}
	*out = 0;
	return true;
}

/* "a/b/c": below the folder wherever it is, whatever the names are. */
static bool is_below(const char *path)
{
	for (;;) {
		size_t len = strcspn(path, "/");

		if (!len || (len == 1 && path[0] == '.') || (len == 2 && path[0] == '.' && path[1] == '.'))
			return false;
		if (!path[len])
			return true;
		path += len + 1;
	}
}

static bool among(const char *name, const char *const *names)
{
	for (; *names; names++)
		if (!strcmp(*names, name))
			return true;
	return false;
}

static bool are_tls_names(const char *text)
{
	char word[16];
	size_t len;

	for (; (len = strcspn(text, " ")); text += len + (text[len] == ' ')) {
		if (len >= sizeof(word))
			return false;
		memcpy(word, text, len);
		word[len] = '\0';
		if (!among(word, replay_tls_names))
			return false;
	}
	return !*text;
}

static bool once(struct reading *r, const char **member, const char *key, const char *value)
{
	if (*member)
		return wrong(r, "%s stands here a second time", key);
	*member = value;
	return true;
}

static bool take_option(struct reading *r, const char *key, const char *value)
{
	struct replay_file *f = r->file;

	if (!among(key, replay_option_names))
		return wrong(r, "unknown key %s", console_safe(key));
	if (!strcmp(key, "real") != !value)
		return wrong(r, value ? "%s takes no value" : "expected %s=VALUE", key);
	replay_add_option(f, key, value);
	return true;
}

static bool take(struct reading *r, const char *key, const char *value)
{
	struct replay_file *f = r->file;

	if (!strcmp(key, "password") && !value) {
		f->password = true;
		return true;
	}
	if (!value)
		return take_option(r, key, value);
	if (!strcmp(key, "scenario")) {
		if (!is_below(value))
			return wrong(r, "scenario: expected a path below the folder, without .. and without / in front");
		return once(r, &f->scenario, key, value);
	}
	if (!strcmp(key, "mqtt")) {
		if (!among(value, versions))
			return wrong(r, "mqtt: expected 3.1, 3.1.1 or 5");
		return once(r, &f->version, key, value);
	}
	if (!strcmp(key, "tls")) {
		if (!are_tls_names(value))
			return wrong(r, "tls: expected some of ca cert key insecure alpn");
		return once(r, &f->tls, key, value);
	}
	if (!strcmp(key, "case"))
		return once(r, &f->case_name, key, value);
	if (!strcmp(key, "target"))
		return once(r, &f->target, key, value);
	if (!strcmp(key, "exec"))
		return once(r, &f->exec, key, value);
	return take_option(r, key, value);
}

static bool read_line(struct reading *r, struct span line)
{
	const uint8_t *equals = line.len ? memchr(line.at, '=', line.len) : NULL;
	size_t len = equals ? (size_t)(equals - line.at) : line.len;
	const char *value = NULL;

	if (!line.len || line.at[0] == '#')
		return true;
	if (equals && !unescape(r, span_of(equals + 1, line.len - len - 1), &value))
		return false;
	if (memchr(line.at, 0, len))
		return wrong(r, "expected KEY=VALUE");
	return take(r, region_string(&r->file->region, span_of(line.at, len)), value);
}

bool replay_parse(struct replay_file *file, struct span text, struct fault *fault)
{
	struct reading r = { .file = file, .fault = fault };

	*file = (struct replay_file){ 0 };
	if (text.len > REPLAY_MAX_FILE)
		return wrong(&r, "larger than %d kB", REPLAY_MAX_FILE / 1024);
	while (text.len) {
		const uint8_t *newline = memchr(text.at, '\n', text.len);
		size_t len = newline ? (size_t)(newline - text.at) : text.len;

		r.line++;
		if (!read_line(&r, span_of(text.at, len)))
			return false;
		len += newline != NULL;
		text.at += len;
		text.len -= len;
	}
	r.line = 0;
	if (!file->scenario || !file->version)
		return wrong(&r, "expected a line %s", file->scenario ? "mqtt=VERSION" : "scenario=PATH");
	if (file->target && file->exec)
		return wrong(&r, "target and exec exclude each other");
	return true;
}

void replay_add_option(struct replay_file *file, const char *name, const char *value)
{
	if (file->n_options == file->cap_options) {
		file->cap_options = file->cap_options ? file->cap_options * 2 : 16;
		file->options = realloc(file->options, file->cap_options * sizeof(*file->options));
		if (!file->options)
			abort();
	}
	file->options[file->n_options++] = (struct replay_option){ name, value };
}

void replay_release(struct replay_file *file)
{
	free(file->options);
	region_release(&file->region);
	*file = (struct replay_file){ 0 };
}

/* ---- writing ---- */

static void put(FILE *out, const char *key, const char *value)
{
	if (!value)
		return;
	fprintf(out, "%s=", key);
	for (; *value; value++) {
		uint8_t c = (uint8_t)*value;

		if (c == '\\')
			fputs("\\\\", out);
		else if (c < ' ' || c > '~')
			fprintf(out, "\\x%02x", c);
		else
			fputc(c, out);
	}
	fputc('\n', out);
}

void replay_write(FILE *out, const struct replay_file *file)
{
	put(out, "scenario", file->scenario);
	put(out, "case", file->case_name);
	put(out, "mqtt", file->version);
	put(out, "target", file->target);
	put(out, "exec", file->exec);
	if (file->password)
		fputs("password\n", out);
	put(out, "tls", file->tls);
	for (size_t i = 0; i < file->n_options; i++)
		if (file->options[i].value)
			put(out, file->options[i].name, file->options[i].value);
		else
			fprintf(out, "%s\n", file->options[i].name);
}

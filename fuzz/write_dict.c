/* Writes dictionaries for fuzzers: mqtt.dict out of the tables of the wire, scenario.dict out of the tables and the parser's own words. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/fields.h"
#include "fuzz/mutator/words.h"

enum { EXIT_USAGE = 2, EXIT_UNABLE = 3, MOST_WORDS = 1024, LONGEST = 64 };

static void write_mqtt(void)
{
	unsigned before = 0x100;

	printf("# What MQTT packets are made of: a row for each packet type, property and reason code of codec/wire.h, names of the protocol, topics,\n"
	       "# integers at their limits. For libFuzzer (-dict=fuzz/mqtt.dict) and AFL++ (-x fuzz/mqtt.dict). Written by `make fuzz-dict`.\n");
	for (size_t i = 0; i < n_words; i++) {
		const struct word *word = &words[i];

		if (word->group) {
			printf("\n# %s\n", word->group);
			before = 0x100;
			continue;
		}
		if (word->len == 1 && word->bytes[0] == before)	/* another name of the same code, or the same of another sender */
			continue;
		before = word->len == 1 ? word->bytes[0] : 0x100;
		for (const char *at = word->name; *at; at++)
			putchar(tolower((unsigned char)*at));
		printf("=\"");
		for (unsigned k = 0; k < word->len; k++)
			printf("\\x%02x", word->bytes[k]);
		printf("\"\n");
	}
}

/* ---- the notation ---- */

static char found[MOST_WORDS][LONGEST];
static size_t n_found;

static void find(const char *word, size_t len, const char *suffix)
{
	char *to = found[n_found];

	if (n_found == MOST_WORDS || len + strlen(suffix) >= LONGEST)
		return;
	memcpy(to, word, len);
	strcpy(to + len, suffix);
	for (size_t i = 0; i < n_found; i++)
		if (!strcmp(found[i], to))
			return;
	n_found++;
}

/* Words in quotes, as the parser compares with them: lower case, with no other characters than these. */
static void find_words(const char *text)
{
	for (const char *at = text; (at = strchr(at, '"')); at++) {
		size_t len = strspn(at + 1, "abcdefghijklmnopqrstuvwxyz_");

		if (len > 1 && at[1 + len] == '"')
			find(at + 1, len, "");
	}
}

static int by_name(const void *a, const void *b)
{
	return strcmp(a, b);
}

static void write_group(const char *name)
{
	printf("\n# %s\n", name);
	qsort(found, n_found, sizeof(found[0]), by_name);
	for (size_t i = 0; i < n_found; i++)
		printf("\"%s\"\n", found[i]);
	n_found = 0;
}

static int read_words(const char *path)
{
	static char text[1 << 18];
	FILE *f = fopen(path, "r");
	size_t len;

	if (!f) {
		fprintf(stderr, "write_dict: %s: %s\n", path, strerror(errno));
		return -1;
	}
	len = fread(text, 1, sizeof(text) - 1, f);
	fclose(f);
	text[len] = '\0';
	find_words(text);
	return 0;
}

static void write_tables(void)
{
	static const char *const codes[] = {
#define X(code, name, in, by) #name,
		REASONS(X)
#undef X
	};
	const struct field *f;

	for (unsigned type = CONNECT; type < N_PACKET_TYPES; type++)
		find(packet_name(type), strlen(packet_name(type)), "");
	write_group("packets");
	for (unsigned type = CONNECT; type < N_PACKET_TYPES; type++)
		for (size_t i = 0; (f = field_at(type, MQTT_5, i)); i++)
			find(f->name, strlen(f->name), "=");
	write_group("fields");
	for (size_t i = 0; i < sizeof(codes) / sizeof(*codes); i++)
		find(codes[i], strlen(codes[i]), "");
	write_group("reasons");
}

static void write_signs(void)
{
	static const char *const signs[] = {
		"->", "<-", "..", ">=", "<=", "!=", "!", "!again", "!omit=", "!ends_after=", "$topic", "$client", "$(", "${", "$n", "hex\\\"", "3.1.1", "3.1", "10ms",
		"1s", "1s..2s", "64k", "in flight", "pick(", "fill(", "stamp(", "property[", "with \\\"f.csv\\\"", "{", "}", "[", "]", "#", "busy<", "grows<", "target lives",
	};

	printf("\n# signs and values\n");
	for (size_t i = 0; i < sizeof(signs) / sizeof(*signs); i++)
		printf("\"%s\"\n", signs[i]);
}

static int write_scenario(int n, char **parsers)
{
	for (int i = 0; i < n; i++)
		if (read_words(parsers[i]) < 0)
			return EXIT_UNABLE;
	printf("# What the notation is made of: the parser's words, and packets, fields and reasons of the tables. For libFuzzer (-dict=fuzz/scenario.dict)\n"
	       "# and AFL++ (-x fuzz/scenario.dict). Written by `make fuzz-dict`.\n");
	write_group("words");
	write_tables();
	write_signs();
	return 0;
}

int main(int argc, char **argv)
{
	int result = 0;

	if (argc == 2 && !strcmp(argv[1], "mqtt")) {
		write_mqtt();
	} else if (argc > 2 && !strcmp(argv[1], "scenario")) {
		result = write_scenario(argc - 2, argv + 2);
	} else {
		fprintf(stderr, "usage: write_dict mqtt | scenario PARSER.c...\n");
		return EXIT_USAGE;
	}
	if (fflush(stdout) || ferror(stdout)) {
		fprintf(stderr, "write_dict: write: %s\n", strerror(errno));
		return EXIT_UNABLE;
	}
	return result;
}

#include <stdlib.h>

#include "harness/load/hdr_log.h"
#include "harness/load/tests/random_times.h"

/*
 * For hdr_log.sh.
 * hdr_tool write SEED          a log of random times on stdout: 20 intervals without a tag, of each tag as many
 * hdr_tool percentiles [TAG]   of all intervals of that tag in the log on stdin, as text
 */

static int write_log(uint64_t seed)
{
	static const char *const tags[] = { "", "robot.ack", "robot.ack.uncorrected", "one-value", "empty" };

	hdr_log_begin(stdout, 1763750037123456789);
	for (unsigned i = 0; i < 20; i++)
		for (unsigned t = 0; t < sizeof(tags) / sizeof(tags[0]); t++) {
			struct hdr h = { 0 };

			if (t == 3)
				hdr_record_n(&h, 40 * 1000 * 1000, 1 + i);
			for (unsigned k = 0; t < 3 && k < 50 * i; k++)
				hdr_record_n(&h, random_time(&seed) % HDR_HIGHEST, random_u64(&seed) % 100 ? 1 : 100000);
			hdr_log_write(stdout, tags[t], i * 1000000000ull, 1000000000, &h);
			hdr_release(&h);
		}
	return 0;
}

static int print_percentiles(const char *tag)
{
	static uint8_t text[1 << 20];
	struct span left = span_of(text, fread(text, 1, sizeof(text), stdin));
	struct hdr_line line;
	struct hdr all = { 0 };
	struct fault fault;

	for (;;) {
		struct hdr h = { 0 };

		switch (hdr_log_read(&left, &line, &h, &fault)) {
		case HDR_LINE_END:
			hdr_print_percentiles(stdout, &all);
			hdr_release(&all);
			return 0;
		case HDR_LINE_BAD:
			fprintf(stderr, "hdr_tool: %s\n", fault.text);
			return 1;
		case HDR_LINE_INTERVAL:
			if (span_is(line.tag, tag))
				hdr_add(&all, &h);
			break;
		case HDR_LINE_OTHER:
			break;
		}
		hdr_release(&h);
	}
}

int main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "write"))
		return write_log(strtoull(argv[2], NULL, 10));
	if (argc >= 2 && !strcmp(argv[1], "percentiles"))
		return print_percentiles(argc > 2 ? argv[2] : "");
	fputs("usage: hdr_tool write SEED | percentiles [TAG]\n", stderr);
	return 2;
}

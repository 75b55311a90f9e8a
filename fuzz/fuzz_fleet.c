#include <string.h>

#include "fuzz/must.h"
#include "harness/load/plan.h"

/* A CSV file of strangers: refused at a place in it, in one line, or a table of values without zero bytes, found again by their columns' names. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void refused(const struct fault *fault, size_t size)
{
	MUST(fault->line && fault->line <= size + 1 && fault->column && fault->column <= size + 2 && *fault->text);
	for (const char *at = fault->text; *at; at++)
		MUST((uint8_t)*at >= ' ' && *at != 0x7f);
}

static void look_up(const struct fleet *fleet, size_t size)
{
	unsigned n = 0;
	size_t total = 0;

	while (fleet_name(fleet, n))
		n++;
	MUST(n > 0 && fleet_rows(fleet) > 0);
	for (unsigned i = 0; i < n; i++)
		MUST(!*fleet_name(fleet, i) || fleet_column(fleet, span_text(fleet_name(fleet, i))) == (int)i);
	for (uint32_t row = 0; row < fleet_rows(fleet); row++)
		for (unsigned i = 0; i < n; i++) {
			struct span value = fleet_value(fleet, row, i);

			MUST(!value.len || !memchr(value.at, 0, value.len));
			total += value.len + 1;		/* and what separated it */
		}
	MUST(total <= size + 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fault fault = { 0 };
	struct fleet *fleet = fleet_parse(span_of(data, size), &fault);

	if (fleet)
		look_up(fleet, size);
	else
		refused(&fault, size);
	fleet_free(fleet);
	return 0;
}

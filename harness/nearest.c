#include "harness/nearest.h"

#include <string.h>

/* Insertions, deletions, other letters and swapped neighbours between a and b; case does not count. */
static unsigned distance(struct span a, const char *b, unsigned limit)
{
	unsigned rows[3][64];
	size_t n = strlen(b);

	if (a.len >= 64 || n >= 64)
		return limit + 1;
	for (unsigned j = 0; j <= n; j++)
		rows[0][j] = j;
	for (unsigned i = 1; i <= a.len; i++) {
		unsigned *before = rows[(i + 1) % 3], *above = rows[(i - 1) % 3], *here = rows[i % 3];

		here[0] = i;
		for (unsigned j = 1; j <= n; j++) {
			unsigned other = above[j - 1] + ((a.at[i - 1] | 0x20) != (b[j - 1] | 0x20));
			unsigned one = (above[j] < here[j - 1] ? above[j] : here[j - 1]) + 1;

			here[j] = other < one ? other : one;
			if (i > 1 && j > 1 && a.at[i - 1] == (uint8_t)b[j - 2] && a.at[i - 2] == (uint8_t)b[j - 1] && before[j - 2] + 1 < here[j])
				here[j] = before[j - 2] + 1;
		}
	}
	return rows[a.len % 3][n];
}

void nearest_try(struct nearest *nearest, const char *name)
{
	unsigned limit = nearest->word.len < 4 ? 1 : nearest->word.len < 7 ? 2 : 3;
	unsigned d = distance(nearest->word, name, limit);

	if (d <= limit && (!nearest->best || d < nearest->distance)) {
		nearest->best = name;
		nearest->distance = d;
	}
}

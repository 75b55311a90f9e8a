#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "reference-broker/users.h"

/*
 * A users file, whatever it holds: reading ends, with users or with a fault that has a place in the file. What was read
 * lets in nobody who gives no password: a key is derived for the first name only, for that is slow on purpose.
 */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_fault(const struct fault *fault, const uint8_t *data, size_t size)
{
	unsigned lines = 1;

	for (size_t i = 0; i < size; i++)
		lines += data[i] == '\n';
	assert(fault->line && fault->line <= lines);
	assert(fault->column && fault->column <= size + 1);
	assert(*fault->text);
	for (const char *c = fault->text; *c; c++)
		assert((uint8_t)*c >= ' ' && (uint8_t)*c < 0x7f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fault fault;
	struct users *users;

	if (size > 1 << 16)
		return 0;
	users = users_parse(span_of(data, size), &fault);
	if (!users) {
		check_fault(&fault, data, size);
		return 0;
	}
	if (size && size % 64 == 0) {		/* now and then */
		const uint8_t *end = memchr(data, ':', size);

		assert(users_login(users, span_of(data, end ? (size_t)(end - data) : 0), span_text("\x01 no password of a corpus"), 0) == LOGIN_WRONG);
	}
	users_free(users);
	return 0;
}

/*
 * AFL++'s main: one process plays many inputs, which come by shared memory. Each is copied to a block of its own size: behind the shared one is room in which nothing would be
 * seen. AFL_USE_LSAN looks for leaks after every input, which AFL++ with the address sanitizer does not.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fuzz/target.h"

#ifndef __AFL_LEAK_CHECK
#define __AFL_LEAK_CHECK() ((void)0)
#endif

__AFL_FUZZ_INIT();

int main(void)
{
	__AFL_INIT();
	const uint8_t *input = __AFL_FUZZ_TESTCASE_BUF;

	while (__AFL_LOOP(10000)) {
		size_t size = (size_t)__AFL_FUZZ_TESTCASE_LEN;
		uint8_t *data = malloc(size ? size : 1);

		if (!data)
			return 3;
		if (size)
			memcpy(data, input, size);
		LLVMFuzzerTestOneInput(data, size);
		free(data);
		__AFL_LEAK_CHECK();
	}
	return 0;
}

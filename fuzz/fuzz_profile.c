#include <assert.h>
#include <string.h>

#include "harness/profile.h"

/* A file of strangers: whatever it holds, reading ends, with values that are within their bounds or with a fault that has a place. */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_text(const char *text)
{
	for (; text && *text; text++)
		assert((uint8_t)*text >= ' ' && *text != 0x7f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct profile profile = { 0 };
	struct fault fault;
	char hint[80];

	if (profile_parse(&profile, "folder/fuzz.profile", span_of(data, size), &fault)) {
		assert(!profile.name || strlen(profile.name) <= 60);
		assert(!profile.password_file || !strncmp(profile.password_file, "folder/", 7) || *profile.password_file == '/');
		assert(profile.timer_tolerance_ns <= 3600 * UINT64_C(1000000000));
	} else {
		assert(fault.line && fault.column && fault.column <= PROFILE_MAX_LINE + 1);
		check_text(fault.text);
	}
	assert(profile.n_without <= PROFILE_MAX_WITHOUT);
	for (size_t i = 0; i < profile.n_without; i++) {
		assert(capability_known(profile.without[i].capability, hint, sizeof(hint)));
		assert(!strncmp(profile.without[i].by, "folder/fuzz.profile:", 20));
	}
	profile_release(&profile);
	return 0;
}

#ifndef HARNESS_PROFILE_H
#define HARNESS_PROFILE_H

#include <stdint.h>

#include "codec/fault.h"
#include "harness/probe.h"
#include "harness/region.h"

/*
 * What is known of a target before it is asked. A file has one `key value` a line; a # that begins a line or follows a
 * blank begins a comment; empty lines are passed over.
 *
 *   name NAME                its label in reports and in --known
 *   without CAPABILITY       what it documents as absent, by CONNACK's names, as in a scenario's `needs`; repeatable.
 *                            The comment behind it is given as evidence where a test is skipped for it
 *   user NAME                user name given in every CONNECT
 *   password-file FILE       whose first line is the password; relative to the profile's folder
 *   timer-tolerance D        how much later than the standard says it may act: its timers are checked only so often.
 *                            Added to the time of every step that says `within`, and to nothing else
 *   denies publish LEVEL/#   what its access list denies to who logs in as we do, or names no user where we have none: topics
 *   denies subscribe LEVEL/# below that level, for scenarios that need denied_publish or denied_subscribe. All else is allowed
 */
struct profile {		/* all zero: empty */
	const char *name, *user, *password_file;	/* NULL: not given */
	uint64_t timer_tolerance_ns;
	const char *denied_publish, *denied_subscribe;	/* the level; NULL: not given */
	struct absent *without;
	size_t n_without;
	struct region region;	/* holds all of it */
};

enum { PROFILE_MAX_FILE = 64 << 10, PROFILE_MAX_LINE = 1000, PROFILE_MAX_WITHOUT = 256 };

/*
 * text may be anything at all; path is for messages and for what is relative to it. False: *fault says where it is wrong and what
 * was expected; the profile must be released all the same.
 */
bool profile_parse(struct profile *profile, const char *path, struct span text, struct fault *fault);

/* The same from a file. 0, EXIT_USAGE or EXIT_UNABLE after one line on stderr. */
int profile_read(struct profile *profile, const char *path);

void profile_release(struct profile *profile);

/* What a scenario can need, by name; ends with NULL. */
const char *const *capability_names(void);

/*
 * "maximum_qos", "maximum_qos>=2", "login": something that a scenario can need. False: hint[cap] is "" or "; did you mean X?".
 */
bool capability_known(const char *text, char *hint, size_t cap);

#endif

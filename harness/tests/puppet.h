#ifndef HARNESS_TESTS_PUPPET_H
#define HARNESS_TESTS_PUPPET_H

#include "harness/local.h"

/*
 * A broker on strings, for tests of the engine: it answers each packet as a broker would that has no
 * subscribers, unless a row of its part says what it does instead. In memory, on the engine's own loop.
 */
enum puppet_act {
	PUPPET_END,		/* closes the list */
	PUPPET_SAY,		/* sends hex (which may be "") in place of the answer */
	PUPPET_ALSO,		/* sends hex behind the answer */
	PUPPET_CLOSE,		/* sends hex, then FIN */
	PUPPET_RESET,
	PUPPET_FLOOD,		/* sends hex again and again, as long as it is read */
	PUPPET_LATER,		/* sends hex after `ms` */
	PUPPET_DEAF,		/* answers, and reads no more on this connection */
};

struct puppet_row {
	enum puppet_act act;
	uint8_t on;		/* packet type; 0: as soon as the connection is there */
	const char *hex;
	unsigned ms;
	unsigned times;		/* how often in the run's whole life the row applies; 0: always */
};

/* The part that the next target started by puppet_broker plays; rows end with PUPPET_END. */
void puppet_play(const struct puppet_row *rows);

extern const struct local_broker puppet_broker;

#endif

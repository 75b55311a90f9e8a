#ifndef LOAD_OFFERS_H
#define LOAD_OFFERS_H

#include "harness/probe.h"

/* What the target offers, asked before thousands ask for it in vain. */
struct offers_question {
	struct loop *loop;
	const struct address *address;
	const char *user_name, *password;	/* NULL: none */
	uint64_t timeout_ns;
	unsigned versions;			/* bits 1 << enum version */
	struct methods methods;			/* of their needs */
	const char *name;			/* of the connections' client ids: at most 20 of 0-9a-zA-Z */
};

/* Runs the loop until it is answered. False: a signal came first. */
bool offers_ask(const struct offers_question *question, struct offers *offers);

#endif

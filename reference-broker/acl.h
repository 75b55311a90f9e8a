#ifndef REFERENCE_BROKER_ACL_H
#define REFERENCE_BROKER_ACL_H

#include <stdbool.h>

#include "codec/fault.h"
#include "codec/span.h"
#include "reference-broker/broker.h"

/*
 * Who may publish and subscribe to what. A line of the file is a rule:
 *
 *	allow|deny  publish|subscribe|both  FILTER  [user NAME | anonymous]
 *
 * From the top, the first rule that decides is the answer; what none decides is denied. A rule is about everybody, or
 * about the user of that name, or about who names no user. Blank lines, and lines that begin with #, are passed over. A
 * FILTER or NAME with blanks stands in "quotes", in which \" and \\ are those characters.
 *
 * A topic is decided by the first rule whose filter matches it. A subscription's filter is decided by the first `allow`
 * that matches every topic it can match, or the first `deny` that matches one of them: who asks for more than he may
 * read is refused, rather than granted less than he was told. It is judged without its $share/NAME/.
 *
 * In a filter %u is the user name, %c the client id, %% a percent sign. A name that is empty, or has + # / or NUL in it,
 * could mean other levels than its own: no `allow` with it decides anything, and a `deny` with it decides whatever
 * stands in its place and below. Topics that begin with $ are matched only by filters that begin so themselves.
 *
 * A rule that can never decide, since one above it always does, is a mistake: it would say something else than it does.
 */
enum {
	ACL_RULES_MAX = 4096,
	ACL_LINE_MAX = 4096,		/* bytes */
	ACL_FILE_MAX = 4 << 20,
};

struct acl;

/* Given; NULL with what is wrong and where. Borrows nothing. */
struct acl *acl_parse(struct span text, struct fault *fault);

/* The same from a file. A fault of the file itself has line 0: fault->text then says what failed. */
struct acl *acl_read(const char *path, struct fault *fault);

void acl_free(struct acl *acl);		/* NULL is harmless */

/* From now on it has the rules of fresh, which is taken. */
void acl_replace(struct acl *acl, struct acl *fresh);

/* The first line whose rule is about a user, by `user` or %u: it says something only where logins are checked. 0: none. */
unsigned acl_line_about_user(const struct acl *acl);

/* user_name at NULL: none was named. Linear in the rules that concern this user and their lengths. */
bool acl_may(const struct acl *acl, struct span user_name, struct span client_id, enum act act, struct span topic);

#endif

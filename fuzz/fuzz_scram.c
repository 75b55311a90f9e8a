#include <assert.h>
#include <string.h>

#include "harness/claimant.h"
#include "reference-broker/scram.h"

/*
 * SCRAM-SHA-256 from both ends. The input is lines, the first byte of which says what they are:
 *	s	a client's messages to the server: whatever they are, nobody is let in without the password
 *	c	a server's challenge and last word to the client: it believes neither
 *	b	a user name and a nonce, with which both sides come to the same end
 */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char one_user[] =		/* password: pencil */
	"user:SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=\n";

static struct span line(struct span *rest)
{
	const uint8_t *end = rest->len ? memchr(rest->at, '\n', rest->len) : NULL;
	struct span all = *rest, found = { all.at, end ? (size_t)(end - all.at) : all.len };

	*rest = span_of(all.at + found.len + (end != NULL), all.len - found.len - (end != NULL));
	return found;
}

static void to_server(struct span messages, struct users *users)
{
	struct scram s = { 0 };
	struct span answer = { 0 }, user = { 0 };
	enum authenticated how;

	do {
		how = scram_sha_256.step(users, &s, line(&messages), &answer, &user);
		assert(how != AUTHENTICATION_RIGHT);	/* our nonce is another one each time */
		if (how == AUTHENTICATION_GOES_ON)
			assert(answer.len > 2 && answer.len < SCRAM_SERVER_FIRST_MAX && !memcmp(answer.at, "r=", 2));
	} while (messages.len);
}

static void to_client(struct span messages)
{
	static struct claimant c;
	uint8_t room[2 * CLAIMANT_CHALLENGE_MAX];
	struct writer w = writer_to(room, sizeof(room));
	struct span challenge = line(&messages);

	claimant_first(&c, span_text("user"), span_text("pencil"), span_text("rOprNGfwEbeRWgbNEkqO"), &w);
	assert(claimant_check(&c, challenge));
	claimant_challenged(&c, challenge);
	if (claimant_check(&c, challenge) || !memchr(challenge.at, ',', challenge.len) || challenge.len < 7 ||
	    memcmp(challenge.at + challenge.len - 7, ",i=4096", 7) != 0)	/* others may take their time */
		return;
	w = writer_to(room, sizeof(room));
	assert(!claimant_final(&c, false, &w));
	assert(wr_fits(&w));
	claimant_check(&c, messages);
	assert(claimant_check(&c, span_text("v=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")));
}

static void between(struct span input, struct users *users)
{
	static struct claimant c;
	uint8_t room[2 * CLAIMANT_CHALLENGE_MAX];
	struct writer w = writer_to(room, sizeof(room));
	struct span name = line(&input), nonce = line(&input), answer = { 0 }, user = { 0 };
	bool known = span_is(name, "user");
	struct scram s = { 0 };

	if (!name.len || name.len > USERS_NAME_MAX || memchr(name.at, 0, name.len) || !nonce.len || nonce.len > CLAIMANT_NONCE)
		return;
	for (size_t i = 0; i < nonce.len; i++)
		if (nonce.at[i] < 0x21 || nonce.at[i] > 0x7e || nonce.at[i] == ',')
			return;
	claimant_first(&c, name, span_text("pencil"), nonce, &w);
	assert(scram_sha_256.step(users, &s, wr_span(&w), &answer, &user) == AUTHENTICATION_GOES_ON);
	assert(span_equal(scram_name(&s), name));
	claimant_challenged(&c, answer);
	assert(!claimant_check(&c, answer));
	if (!known && name.at[0] & 1)		/* a key for each name that nobody has would take long */
		return;
	w = writer_to(room, sizeof(room));
	assert(!claimant_final(&c, false, &w));
	assert(scram_sha_256.step(users, &s, wr_span(&w), &answer, &user) == (known ? AUTHENTICATION_RIGHT : AUTHENTICATION_WRONG));
	assert(span_equal(user, name));
	assert(!known || !claimant_check(&c, answer));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct users *users;
	struct fault fault;

	if (!users)
		users = users_parse(span_text(one_user), &fault);
	if (!size || size > 1 << 14)
		return 0;
	switch (data[0]) {
	case 's': to_server(span_of(data + 1, size - 1), users); break;
	case 'c': to_client(span_of(data + 1, size - 1)); break;
	case 'b': between(span_of(data + 1, size - 1), users); break;
	}
	return 0;
}

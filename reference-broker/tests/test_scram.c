#include "reference-broker/tests/driver.h"
#include "reference-broker/scram.h"

/* SCRAM-SHA-256 by itself, with the messages of RFC 7677 section 3; then as the broker's Authentication Method. */

#define NONCE "rOprNGfwEbeRWgbNEkqO"
#define OURS "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
#define FIRST "n,,n=user,r=" NONCE
#define CHALLENGE "r=" NONCE OURS ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
#define FINAL "c=biws,r=" NONCE OURS
#define PROOF ",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
#define SIGNATURE "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="

static const char users_file[] =	/* password: pencil, of both */
	"user:SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=\n"
	"a,b=c:SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=\n";

static struct users *users;
static struct world w;
static struct client a, b;

static int open_users(void **state)
{
	struct fault fault;

	(void)state;
	users = users_parse(span_text(users_file), &fault);
	return users ? 0 : -1;
}

static int close_users(void **state)
{
	(void)state;
	users_free(users);
	return 0;
}

static void challenge(struct scram *s)
{
	struct verifier v;

	assert_true(scram_client_first(s, span_text(FIRST)));
	assert_true(span_is(scram_name(s), "user"));
	users_verifier(users, scram_name(s), &v);
	assert_true(v.known);
	assert_true(span_is(scram_server_first(s, &v, span_text(OURS)), CHALLENGE));
}

static void goes_as_the_rfc_shows(void **state)
{
	struct scram s = { 0 };
	struct span signature = { 0 };

	(void)state;
	challenge(&s);
	assert_true(scram_client_final(&s, span_text(FINAL PROOF), &signature));
	assert_true(span_is(signature, SIGNATURE));
	assert_false(scram_client_final(&s, span_text(FINAL PROOF), &signature));	/* only once */
	assert_false(scram_client_first(&s, span_text(FIRST)));
}

static const struct first {
	const char *name, *message, *user;	/* user NULL: refused */
} firsts[] = {
	{ "escapes in the name", "n,,n=a=2Cb=3Dc,r=x", "a,b=c" },
	{ "a client that would bind the channel", "y,,n=user,r=x", "user" },
	{ "an extension behind the nonce", "n,,n=user,r=x,z=anything", "user" },
	{ "a channel bound", "p=tls-unique,,n=user,r=x", NULL },
	{ "for somebody else", "n,a=other,n=user,r=x", NULL },
	{ "a mandatory extension in front", "n,,m=x,n=user,r=x", NULL },
	{ "a mandatory extension behind", "n,,n=user,r=x,m=x", NULL },
	{ "no header", "n=user,r=x", NULL },
	{ "half a header", "n,", NULL },
	{ "a header alone", "n,,", NULL },
	{ "an empty name", "n,,n=,r=x", NULL },
	{ "no name", "n,,r=x", NULL },
	{ "no nonce", "n,,n=user", NULL },
	{ "an empty nonce", "n,,n=user,r=", NULL },
	{ "a blank in the nonce", "n,,n=user,r=x y", NULL },
	{ "an escape in lower case", "n,,n=a=2cb,r=x", NULL },
	{ "an escape cut short", "n,,n=a=2,r=x", NULL },
	{ "an escape of another character", "n,,n=a=41,r=x", NULL },
	{ "a comma behind the nonce", "n,,n=user,r=x,", NULL },
	{ "an attribute without value", "n,,n=user,r=x,z=", NULL },
	{ "a digit for an attribute", "n,,n=user,r=x,1=2", NULL },
	{ "another order", "n,,r=x,n=user", NULL },
	{ "nothing", "", NULL },
};

#define N_FIRSTS (sizeof(firsts) / sizeof(*firsts))

static void first(void **state)
{
	const struct first *row = *state;
	struct scram s = { 0 };

	assert_int_equal(scram_client_first(&s, span_text(row->message)), row->user != NULL);
	if (row->user)
		assert_true(span_is(scram_name(&s), row->user));
	else
		assert_false(scram_client_first(&s, span_text(FIRST)));		/* no second try */
}

static const struct final {
	const char *name, *message;
} finals[] = {
	{ "a wrong proof", FINAL ",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVU=" },
	{ "a proof cut short", FINAL ",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7An" },
	{ "a proof that is no base64", FINAL ",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7And*Q=" },
	{ "no proof", FINAL },
	{ "a proof alone", PROOF },
	{ "the proof in front", "p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=,c=biws,r=" NONCE OURS },
	{ "something behind the proof", FINAL PROOF ",z=x" },
	{ "an extension that was not signed", FINAL ",z=x" PROOF },
	{ "another header", "c=eSws,r=" NONCE OURS PROOF },
	{ "no header", "r=" NONCE OURS PROOF },
	{ "the client's nonce alone", "c=biws,r=" NONCE PROOF },
	{ "another nonce", "c=biws,r=" NONCE OURS "x" PROOF },
	{ "the first message again", FIRST },
	{ "nothing", "" },
};

#define N_FINALS (sizeof(finals) / sizeof(*finals))

static void final(void **state)
{
	const struct final *row = *state;
	struct scram s = { 0 };
	struct span signature;

	open_users(NULL);
	challenge(&s);
	assert_false(scram_client_final(&s, span_text(row->message), &signature));
	assert_false(scram_client_final(&s, span_text(FINAL PROOF), &signature));	/* no second try */
	close_users(NULL);
}

static void messages_are_bounded(void **state)
{
	char text[SCRAM_MESSAGE_MAX + 2];
	struct scram s = { 0 };
	struct span signature;
	struct verifier v;

	(void)state;
	memset(text, 'x', sizeof(text));
	memcpy(text, "n,,n=user,r=", 12);
	assert_true(scram_client_first(&s, span_of(text, 12 + SCRAM_NONCE_MAX)));
	users_verifier(users, scram_name(&s), &v);
	assert_true(scram_server_first(&s, &v, span_text("0123456789abcdef0123456789abcdef")).len < SCRAM_SERVER_FIRST_MAX);
	assert_false(scram_client_final(&s, span_of(text, sizeof(text)), &signature));
	s = (struct scram){ 0 };
	assert_false(scram_client_first(&s, span_of(text, 13 + SCRAM_NONCE_MAX)));
	memcpy(text, "n,,n=u,r=x,z=", 13);
	s = (struct scram){ 0 };
	assert_true(scram_client_first(&s, span_of(text, SCRAM_MESSAGE_MAX)));
	s = (struct scram){ 0 };
	assert_false(scram_client_first(&s, span_of(text, SCRAM_MESSAGE_MAX + 1)));
	memset(text, 'x', sizeof(text));
	memcpy(text, "n,,n=", 5);
	memcpy(text + 5 + USERS_NAME_MAX, ",r=x", 4);
	s = (struct scram){ 0 };
	assert_true(scram_client_first(&s, span_of(text, 9 + USERS_NAME_MAX)));
	memcpy(text + 6 + USERS_NAME_MAX, ",r=x", 4);
	text[5 + USERS_NAME_MAX] = 'x';
	s = (struct scram){ 0 };
	assert_false(scram_client_first(&s, span_of(text, 10 + USERS_NAME_MAX)));
}

/* Nobody can tell from the challenge whether there is such a user, not even when the broker is started anew. */
static void unknown_users_have_verifiers_too(void **state)
{
	struct users *again, *none;
	struct verifier v, same, other;
	struct fault fault;

	(void)state;
	again = users_parse(span_text(users_file), &fault);
	none = users_parse(span_text(""), &fault);
	users_verifier(users, span_text("nobody"), &v);
	users_verifier(again, span_text("nobody"), &same);
	users_verifier(users, span_text("nobody2"), &other);
	assert_false(v.known);
	assert_int_equal(v.iterations, 4096);
	assert_int_equal(v.salt_len, 16);
	assert_memory_equal(v.salt, same.salt, v.salt_len);
	assert_memory_not_equal(v.salt, other.salt, v.salt_len);
	assert_memory_not_equal(v.stored_key, other.stored_key, USERS_KEY);
	users_verifier(none, span_text("nobody"), &v);
	assert_int_equal(v.iterations, 4096);
	assert_memory_not_equal(v.salt, same.salt, v.salt_len);
	users_free(again);
	users_free(none);
}

static void nonces_differ(void **state)
{
	char first_one[USERS_NONCE + 1], second[USERS_NONCE + 1];

	(void)state;
	users_nonce(users, first_one);
	users_nonce(users, second);
	assert_int_equal(strlen(first_one), USERS_NONCE);
	assert_string_not_equal(first_one, second);
	users_foretell(users, 7);
	users_nonce(users, first_one);
	users_foretell(users, 7);
	users_nonce(users, second);
	assert_string_equal(first_one, second);
}

/* ---- in the broker: a method of two steps, whose data is NAME, then "yes" ---- */

struct asked {
	bool begun;
	char name[8];
	size_t len;
};

static enum authenticated ask(void *of, void *state, struct span data, struct span *answer, struct span *user_name)
{
	struct asked *x = state;

	assert_ptr_equal(of, &a);
	if (!x->begun) {
		x->begun = true;
		if (!data.len || data.len > sizeof(x->name))
			return AUTHENTICATION_WRONG;
		memcpy(x->name, data.at, x->len = data.len);
		*answer = span_text("really?");
		return AUTHENTICATION_GOES_ON;
	}
	*user_name = span_of(x->name, x->len);
	*answer = span_text("welcome");
	return span_is(data, "yes") ? AUTHENTICATION_RIGHT : AUTHENTICATION_WRONG;
}

static const struct authentication asking = { { (const uint8_t *)"ASK", 3 }, sizeof(struct asked), ask };

static int open_world(void **state)
{
	(void)state;
	world_open(&w);
	w.config.authentication = &asking;
	w.config.users = &a;
	world_start(&w);
	return 0;
}

static int close_world(void **state)
{
	struct broker_stats stats;

	(void)state;
	broker_stats(w.broker, &stats);
	assert_int_equal(broker_count_memory(w.broker), stats.memory);
	world_close(&w);
	return 0;
}

static struct span properties(struct writer *room, const char *method, const char *data)
{
	if (method)
		property_write_bytes(room, PROP_authentication_method, span_text(method));
	if (data)
		property_write_bytes(room, PROP_authentication_data, span_text(data));
	return wr_span(room);
}

static void asks(struct client *c, const char *id, uint32_t size, const char *method, const char *data)
{
	uint8_t room[128];
	struct writer list = writer_to(room, sizeof(room));
	struct packet p = {
		.type = CONNECT, .protocol_version = MQTT_5, .protocol_name = span_text("MQTT"), .client_id = span_text(id),
		.connect_flags = CONNECT_CLEAN_START,
	};

	client_open(&w, c, MQTT_5);
	if (size)
		property_write_number(&list, PROP_maximum_packet_size, size);
	p.properties = properties(&list, method, data);
	send_packet(c, &p);
}

static void auth(struct client *c, unsigned reason, const char *method, const char *data)
{
	uint8_t room[128];
	struct writer list = writer_to(room, sizeof(room));
	struct packet p = { .type = AUTH, .reason = (uint8_t)reason, .written = WRITTEN_REASON | WRITTEN_PROPERTIES };

	p.properties = properties(&list, method, data);
	send_packet(c, &p);
}

static void told(struct client *c, enum packet_type type, unsigned reason, const char *data)
{
	struct packet p = expect(c, type);
	struct value v;

	assert_int_equal(p.reason, reason);
	assert_true(property_find(p.properties, PROP_authentication_method, &v));
	assert_true(span_is(v.bytes, "ASK"));
	assert_true(property_find(p.properties, PROP_authentication_data, &v));
	assert_true(span_is(v.bytes, data));
}

static void refused(struct client *c, enum packet_type type, unsigned reason)
{
	assert_int_equal(expect(c, type).reason, reason);
	expect_nothing(c);
	expect_closed(c);
	client_drop(c);
}

static void is_let_in(struct client *c, const char *id, const char *name)
{
	asks(c, id, 0, "ASK", name);
	told(c, AUTH, 0x18, "really?");
	auth(c, 0x18, "ASK", "yes");
	told(c, CONNACK, 0, "welcome");
}

static void exchange(void **state)
{
	(void)state;
	is_let_in(&a, "a", "alice");
	subscribes(&a, "t", 0);
	auth(&a, 0x19, "ASK", "alice");
	publish(&a, "t", "meanwhile", 0, 0);
	told(&a, AUTH, 0x18, "really?");
	expect_message(&a, "meanwhile", 0);
	auth(&a, 0x18, "ASK", "yes");
	told(&a, AUTH, 0, "welcome");
	publish(&a, "t", "later", 0, 0);
	expect_message(&a, "later", 0);
}

/* Whoever has a session is asked again as the same user; who is another one gets neither it nor its client id. */
static void user_stays_the_same(void **state)
{
	(void)state;
	is_let_in(&a, "a", "alice");
	asks(&b, "a", 0, "ASK", "bob");
	told(&b, AUTH, 0x18, "really?");
	expect_nothing(&a);			/* not before it is proved */
	auth(&b, 0x18, "ASK", "yes");
	refused(&b, CONNACK, 0x85);
	auth(&a, 0x19, "ASK", "bob");
	told(&a, AUTH, 0x18, "really?");
	auth(&a, 0x18, "ASK", "yes");
	refused(&a, DISCONNECT, 0x87);
}

static char asked_about[16];

static bool may(void *rules, struct span user_name, struct span client_id, enum act act, struct span topic)
{
	(void)rules, (void)client_id, (void)topic;
	snprintf(asked_about, sizeof(asked_about), "%.*s", (int)user_name.len, user_name.at ? (const char *)user_name.at : "");
	return act == ACT_SUBSCRIBE;
}

/* What a client may do is asked of the user who was authenticated. */
static void rights_are_the_users(void **state)
{
	(void)state;
	world_close(&w);
	w.config.may = may;
	world_start(&w);
	is_let_in(&a, "a", "alice");
	subscribes(&a, "t", 0);
	assert_string_equal(asked_about, "alice");
	publish(&a, "t", "denied", 0, 0);
	expect_nothing(&a);
}

static void refusals(void **state)
{
	(void)state;
	asks(&a, "a", 0, "ASK2", "alice");
	refused(&a, CONNACK, 0x8c);
	asks(&a, "a", 0, "ASK", NULL);
	refused(&a, CONNACK, 0x87);
	asks(&a, "a", 0, "ASK", "alice");
	expect(&a, AUTH);
	auth(&a, 0x18, "ASK", "no");
	refused(&a, CONNACK, 0x87);
	asks(&a, "a", 0, "ASK", "alice");
	expect(&a, AUTH);
	auth(&a, 0x18, "ASK2", "yes");
	refused(&a, CONNACK, 0x82);
	asks(&a, "a", 0, "ASK", "alice");
	expect(&a, AUTH);
	auth(&a, 0x19, "ASK", "yes");
	refused(&a, CONNACK, 0x82);
	asks(&a, "a", 0, "ASK", "alice");
	expect(&a, AUTH);
	acks(&a, PINGREQ, 0);
	refused(&a, CONNACK, 0x82);
	asks(&a, "a", 0, "ASK", "alice");
	expect(&a, AUTH);
	disconnects(&a, 0);
	expect_nothing(&a);
	expect_closed(&a);
	client_drop(&a);
	asks(&a, "a", 20, "ASK", "alice");	/* an AUTH of that size */
	assert_int_equal(expect(&a, AUTH).reason, 0x18);
	client_drop(&a);
	asks(&a, "a", 19, "ASK", "alice");
	refused(&a, CONNACK, 0x95);
}

static void later_refusals(void **state)
{
	(void)state;
	is_let_in(&a, "a", "alice");
	auth(&a, 0x18, "ASK", "yes");		/* goes on with nothing */
	refused(&a, DISCONNECT, 0x82);
	is_let_in(&a, "a", "alice");
	auth(&a, 0x19, "ASK", "alice");
	expect(&a, AUTH);
	auth(&a, 0x19, "ASK", "alice");
	refused(&a, DISCONNECT, 0x82);
	is_let_in(&a, "a", "alice");
	auth(&a, 0x19, "ASK2", "alice");
	refused(&a, DISCONNECT, 0x82);
	is_let_in(&a, "a", "alice");
	auth(&a, 0x19, "ASK", "alice");
	expect(&a, AUTH);
	auth(&a, 0x18, "ASK", "no");
	refused(&a, DISCONNECT, 0x87);
	connects(&w, &b, MQTT_5, (struct terms){ .id = "b" });
	auth(&b, 0x19, "ASK", "alice");		/* named no method */
	refused(&b, DISCONNECT, 0x82);
}

/* An exchange has as long as a CONNECT has, and what it keeps is counted. */
static void exchanges_are_bounded(void **state)
{
	struct broker_stats before, during, after;

	(void)state;
	broker_stats(w.broker, &before);
	asks(&a, "a", 0, "ASK", "alice");
	expect(&a, AUTH);
	broker_stats(w.broker, &during);
	assert_true(during.memory > before.memory);
	assert_int_equal(broker_count_memory(w.broker), during.memory);
	pass(&w, w.config.connect_timeout_ns);
	expect_nothing(&a);
	expect_closed(&a);
	client_drop(&a);
	broker_stats(w.broker, &after);
	assert_int_equal(after.memory, before.memory);
	asks(&a, "a", 0, "ASK", "alice");
	expect(&a, AUTH);			/* and is given back when the broker ends */
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, open_users, close_users)
#define IN_BROKER(f) cmocka_unit_test_setup_teardown(f, open_world, close_world)

int main(void)
{
	struct CMUnitTest tests[10 + N_FIRSTS + N_FINALS] = {
		TEST(goes_as_the_rfc_shows), TEST(messages_are_bounded), TEST(unknown_users_have_verifiers_too), TEST(nonces_differ),
		IN_BROKER(exchange), IN_BROKER(user_stays_the_same), IN_BROKER(rights_are_the_users), IN_BROKER(refusals), IN_BROKER(later_refusals), IN_BROKER(exchanges_are_bounded),
	};

	for (size_t i = 0; i < N_FIRSTS; i++)
		tests[10 + i] = (struct CMUnitTest){ .name = firsts[i].name, .test_func = first, .initial_state = (void *)&firsts[i] };
	for (size_t i = 0; i < N_FINALS; i++)
		tests[10 + N_FIRSTS + i] = (struct CMUnitTest){ .name = finals[i].name, .test_func = final, .initial_state = (void *)&finals[i] };
	return cmocka_run_group_tests_name("reference-broker SCRAM", tests, NULL, NULL);
}

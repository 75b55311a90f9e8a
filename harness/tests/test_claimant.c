#include "harness/claimant.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* The client's side of SCRAM-SHA-256, with the messages of RFC 7677 section 3. */

#define NONCE "rOprNGfwEbeRWgbNEkqO"
#define BOTH NONCE "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
#define SALT "W22ZaJ0SNY7soEsUEjb6gQ=="
#define SIGNATURE "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="

static uint8_t room[8192];

static struct writer out(void)
{
	return writer_to(room, sizeof(room));
}

static void begin(struct claimant *c, const char *user_name, const char *password)
{
	struct writer w = out();

	c->phase = CLAIMANT_IDLE;
	claimant_first(c, span_text(user_name), span_text(password), span_text(NONCE), &w);
}

static void goes_as_the_rfc_shows(void **state)
{
	struct claimant c;
	struct writer w = out();

	(void)state;
	c.phase = CLAIMANT_IDLE;
	claimant_first(&c, span_text("user"), span_text("pencil"), span_text(NONCE), &w);
	assert_true(span_is(wr_span(&w), "n,,n=user,r=" NONCE));
	for (int again = 0; again < 2; again++) {	/* the second time the derived key is remembered */
		begin(&c, "user", "pencil");
		claimant_challenged(&c, span_text("r=" BOTH ",s=" SALT ",i=4096"));
		assert_null(claimant_check(&c, span_text("r=" BOTH ",s=" SALT ",i=4096")));
		w = out();
		assert_null(claimant_final(&c, false, &w));
		assert_true(span_is(wr_span(&w), "c=biws,r=" BOTH ",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="));
		assert_null(claimant_check(&c, span_text(SIGNATURE)));
		assert_null(claimant_check(&c, span_text(SIGNATURE ",z=extension")));
		assert_non_null(claimant_check(&c, span_text("v=7rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")));
		assert_non_null(claimant_check(&c, span_text("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4")));
		assert_non_null(claimant_check(&c, span_text("e=invalid-proof")));
		assert_non_null(claimant_check(&c, span_text("")));
	}
}

/* Another password, salt or count of iterations is derived anew, whatever is remembered. */
static void derives_from_all_it_is_given(void **state)
{
	static const struct {
		const char *password, *challenge;
	} rows[] = {
		{ "pencil", "r=" BOTH ",s=" SALT ",i=4096" }, { "pencil2", "r=" BOTH ",s=" SALT ",i=4096" },
		{ "", "r=" BOTH ",s=" SALT ",i=4096" }, { "pencil", "r=" BOTH ",s=c2FsdA==,i=4096" }, { "pencil", "r=" BOTH ",s=" SALT ",i=4097" },
	};
	enum { N = sizeof(rows) / sizeof(*rows) };
	uint8_t signatures[N][32];

	(void)state;
	for (int i = 0; i < N; i++) {
		struct claimant c;
		struct writer w = out();

		begin(&c, "user", rows[i].password);
		claimant_challenged(&c, span_text(rows[i].challenge));
		assert_null(claimant_final(&c, false, &w));
		memcpy(signatures[i], c.signature, sizeof(c.signature));
		for (int k = 0; k < i; k++)
			assert_memory_not_equal(signatures[i], signatures[k], sizeof(c.signature));
	}
}

static void spoils_the_proof_only(void **state)
{
	struct claimant c;
	struct writer w = out();
	char right[512];

	(void)state;
	begin(&c, "user", "pencil");
	claimant_challenged(&c, span_text("r=" BOTH ",s=" SALT ",i=4096"));
	assert_null(claimant_final(&c, true, &w));
	assert_true(w.len < sizeof(right));
	memcpy(right, room, w.len);
	right[w.len] = 0;
	assert_non_null(strstr(right, "c=biws,r=" BOTH ",p="));
	assert_null(strstr(right, "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="));
	assert_null(claimant_check(&c, span_text(SIGNATURE)));
}

static void escapes_names(void **state)
{
	struct claimant c;
	struct writer w = out();

	(void)state;
	claimant_first(&c, span_text("a,b=c"), span_text(""), span_text("x"), &w);
	assert_true(span_is(wr_span(&w), "n,,n=a=2Cb=3Dc,r=x"));
	memset(room + 4096, ',', CLAIMANT_NAME_MAX);
	w = writer_to(room, 4096);
	claimant_first(&c, span_of(room + 4096, CLAIMANT_NAME_MAX), span_text(""), span_text("0123456789abcdefghijklmn"), &w);
	assert_true(wr_fits(&w));
}

static const struct row {
	const char *challenge, *says;
} rows[] = {
	{ "", "expected a challenge" },
	{ "r=" BOTH, "expected a challenge" },
	{ "r=" BOTH ",s=" SALT, "expected a challenge" },
	{ "s=" SALT ",r=" BOTH ",i=4096", "expected a challenge" },
	{ "m=x,r=" BOTH ",s=" SALT ",i=4096", "expected a challenge" },
	{ "r=another,s=" SALT ",i=4096", "does not begin with ours" },
	{ "r=rOpr,s=" SALT ",i=4096", "does not begin with ours" },
	{ "r=" NONCE ",s=" SALT ",i=4096", "adds nothing" },
	{ "r=" BOTH ",s=W22*,i=4096", "base64" },
	{ "r=" BOTH ",s=W22,i=4096", "base64" },
	{ "r=" BOTH ",s====,i=4096", "base64" },
	{ "r=" BOTH ",s=" SALT ",i=0", "no iterations" },
	{ "r=" BOTH ",s=" SALT ",i=-1", "not a number" },
	{ "r=" BOTH ",s=" SALT ",i=1000001", "more than 1000000" },
	{ "r=" BOTH ",s=" SALT ",i=18446744073709551617", "more than 1000000" },
};

#define N_ROWS (sizeof(rows) / sizeof(*rows))

static void sees_what_is_wrong(void **state)
{
	const struct row *row = *state;
	struct claimant c;
	struct writer w = out();
	const char *why;

	begin(&c, "user", "pencil");
	assert_non_null(claimant_check(&c, span_text(row->challenge)));	/* nothing has come yet */
	claimant_challenged(&c, span_text(row->challenge));
	why = claimant_check(&c, span_text(row->challenge));
	if (!why || !strstr(why, row->says))
		fail_msg("%s: expected ...%s..., got %s", row->challenge, row->says, why ? why : "nothing");
	assert_string_equal(claimant_final(&c, false, &w), why);
	assert_int_equal(w.len, 0);
}

int main(void)
{
	struct CMUnitTest tests[4 + N_ROWS] = {
		cmocka_unit_test(goes_as_the_rfc_shows), cmocka_unit_test(derives_from_all_it_is_given),
		cmocka_unit_test(spoils_the_proof_only), cmocka_unit_test(escapes_names),
	};

	for (size_t i = 0; i < N_ROWS; i++)
		tests[4 + i] = (struct CMUnitTest){ .name = rows[i].challenge, .test_func = sees_what_is_wrong, .initial_state = (void *)&rows[i] };
	return cmocka_run_group_tests_name("claimant", tests, NULL, NULL);
}

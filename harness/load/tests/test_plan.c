#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "harness/load/plan.h"

/* What is made of a workload: how many, who plays whom, what is kept. */

#define HEAD "workload \"w\"\nmqtt 5\n"

static char folder[] = "/tmp/plan-XXXXXX";

static struct scenario *parse(const char *text)
{
	static struct diagnostics found;
	struct scenario *s = scenario_parse("w.scn", span_text(text), NULL, 0, &found);

	if (!s)
		fail_msg("%u:%u: %s", found.list[0].at.line, found.list[0].at.column, found.list[0].text);
	return s;
}

/* Every client is played by one shard, in order, and those of equal share by the same one. */
static void clients_are_shared_out(void **state)
{
	struct scenario *s = parse(HEAD "role few x 7 over 3s { few connects }\nrole many x 1000 { many connects }\n");
	static const unsigned shards[] = { 1, 2, 3, 7 };

	(void)state;
	for (size_t k = 0; k < sizeof shards / sizeof *shards; k++) {
		uint64_t next[2] = { 0, 0 };

		for (unsigned i = 0; i < shards[k]; i++) {
			struct plan plan = { .shard = i, .n_shards = shards[k] };
			struct fault fault;

			assert_true(plan_make(&plan, s->scripts, NULL, &fault));
			assert_int_equal(plan.n_roles, 2);
			assert_int_equal(plan.roles[0].over_ns, 3000000000);
			for (unsigned r = 0; r < 2; r++) {
				const struct plan_role *role = &plan.roles[r];

				assert_int_equal(role->first, next[r]);
				assert_true(role->first < role->end);
				for (uint64_t n = role->first; n < role->end; n++)
					assert_int_equal(n * shards[k] / role->n, i);
				next[r] = role->end;
			}
			plan_release(&plan);
		}
		assert_int_equal(next[0], 7);
		assert_int_equal(next[1], 1000);
	}
	scenario_free(s);
}

static const struct { const char *steps, *keeps; } kept[] = {		/* D R A P C, by enum arrival_kind */
	{ "r connects; r publishes qos=1; r pings; r disconnects", "" },
	{ "whenever r receives { }; whenever r <- PUBREL { }; r connects", "" },
	{ "r connects; r receives", "D" },
	{ "r connects; repeat 2 { r <- PUBLISH payload=\"x\" }", "D" },
	{ "again after 1s..2s { r connects; every 1s { r <- PUBREL packet_id as $p; r -> PUBCOMP packet_id=$p } }", "R" },
	{ "r connects; r -> PINGREQ; r <- PINGRESP; r -> UNSUBSCRIBE (\"x\") packet_id=1; r <- UNSUBACK packet_id=1", "AP" },
	{ "r connects; r <- closed", "C" },
	{ "r connects; r <- nothing for 1s", "DRAPC" },
};

static void what_a_later_step_awaits_is_kept(void **state)
{
	(void)state;
	for (size_t k = 0; k < sizeof kept / sizeof *kept; k++) {
		struct plan plan = { .n_shards = 1 };
		struct fault fault;
		struct scenario *s;
		char text[512], found[N_ARRIVAL_KINDS + 1] = "";
		size_t n = 0;

		snprintf(text, sizeof text, HEAD "role r x 1 { %s }", kept[k].steps);
		s = parse(text);
		assert_true(plan_make(&plan, s->scripts, NULL, &fault));
		for (unsigned i = 0; i < N_ARRIVAL_KINDS; i++)
			if (plan.roles[0].keeps[i])
				found[n++] = "DRAPC"[i];
		assert_string_equal(found, kept[k].keeps);
		plan_release(&plan);
		scenario_free(s);
	}
}

static const struct { const char *roles, *csv, *says; } faults[] = {
	{ "role r x 1 { r connects }", NULL, "3:10: role `r` has 1 client for 2 shards: each shard needs one at least" },
	{ "role a x 10000000 { a connects }\nrole b x 10000000 { b connects }\nrole c x 10000000 { c connects }\nrole d x 10000000 { d connects }", NULL,
	  "6:6: with role `d` there are 20000000 clients for this process, which plays 16777215 at most: --shard I/N shares them out" },
	{ "role r x 3 with \"f.csv\" { r connects client_id=$id }", "id\n1\n2\n", "3:10: role `r` has 3 clients, and f.csv rows for 2" },
	{ "role r x 2 with \"f.csv\" {\n r connects client_id=$clientid }", "id,client_id\n1,2\n3,4\n", "4:23: f.csv has no column `clientid`; did you mean `client_id`?" },
	{ "role r x 2 with \"f.csv\" {\n r connects client_id=$xyz }", "id,client_id\n1,2\n3,4\n", "4:23: `$xyz` is neither bound here nor a column of f.csv" },
	{ "role r x 2 with \"f.csv\" {\n r connects client_id=$id }", "id;user_name\n1;2\n3;4\n", "4:23: f.csv has no column `id`: its values are to be separated by `,`" },
	{ "role r x 2 with \"f.csv\" { r connects client_id=$id }", "id,x\n1\n", "3:6: f.csv:2:1: this row has 1 value, the first has 2" },
	{ "role r x 2 with \"g.csv\" { r connects client_id=$id }", "id\n1\n2\n", "3:6: read g.csv: No such file or directory" },
	{ "role a x 2 with \"f.csv\" { a connects client_id=$id }\nrole b x 2 with \"f.csv\" { b connects client_id=$idd }", "id\n1\n2\n", "4:48: f.csv has no column `idd`; did you mean `id`?" },
};

static void write_csv(const char *text)
{
	char path[256];
	FILE *f;

	snprintf(path, sizeof path, "%s/f.csv", folder);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void faults_have_their_place(void **state)
{
	(void)state;
	for (size_t k = 0; k < sizeof faults / sizeof *faults; k++) {
		struct plan plan = { .shard = 1, .n_shards = 2 };
		struct fault fault;
		struct scenario *s;
		char text[512], said[512];

		snprintf(text, sizeof text, HEAD "%s", faults[k].roles);
		if (faults[k].csv)
			write_csv(faults[k].csv);
		s = parse(text);
		assert_false(plan_make(&plan, s->scripts, folder, &fault));
		snprintf(said, sizeof said, "%u:%u: %s", fault.line, fault.column, fault.text);
		assert_string_equal(said, faults[k].says);
		assert_null(plan.roles);
		scenario_free(s);
	}
}

static void roles_share_a_file(void **state)
{
	struct scenario *s = parse(HEAD "role a x 2 with \"f.csv\" { a connects client_id=$id }\nrole b x 3 with \"f.csv\" { b connects client_id=\"b-$(id)\" }");
	struct plan plan = { .n_shards = 1 };
	struct fault fault;

	(void)state;
	write_csv("id\nx\ny\nz\n");
	assert_true(plan_make(&plan, s->scripts, folder, &fault));
	assert_ptr_equal(plan.roles[0].fleet, plan.roles[1].fleet);
	assert_true(span_is(fleet_value(plan.roles[1].fleet, 2, 0), "z"));
	plan_release(&plan);
	assert_false(plan_make(&plan, s->scripts, NULL, &fault));
	assert_string_equal(fault.text, "f.csv: a workload that is no file of its own reads no other");
	scenario_free(s);
}

static int make_folder(void **state)
{
	(void)state;
	return !mkdtemp(folder);
}

static int remove_folder(void **state)
{
	char path[256];

	(void)state;
	snprintf(path, sizeof path, "%s/f.csv", folder);
	unlink(path);
	return rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(clients_are_shared_out),
		cmocka_unit_test(what_a_later_step_awaits_is_kept),
		cmocka_unit_test(faults_have_their_place),
		cmocka_unit_test(roles_share_a_file),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}

#include "harness/load/load_target.h"

#include <stdio.h>
#include <string.h>

#include "harness/console.h"
#include "harness/load/load_options.h"
#include "harness/target.h"
#include "harness/tls_options.h"

/*
 * The network of a rehearsal: a millisecond each way, and room for so much on its way. Without it a broker that
 * answers at once would have a flood go on without time ever passing.
 */
enum { REHEARSAL_DELAY_NS = 1000000, REHEARSAL_ROOM = 16 << 10 };

static const struct load_options *const o = &load_options;
static const struct local_broker *built_in;

void load_use(const struct local_broker *broker)
{
	built_in = broker;
}

static int choose_url(struct load_target *t, const char *url)
{
	struct target target;
	struct fault fault;
	int code;

	if (!target_parse(url, &target, &fault))
		return cli_usage(&load_command, "%s", fault.text);
	if (target.address.layers.tls && !(target.address.layers.context = tls_from_options(&load_command, &code)))
		return code;
	snprintf(t->label, sizeof(t->label), "%s", target.label);
	t->address = target.address;
	return 0;
}

static int choose_exec(struct load_target *t)
{
	const char *command = o->exec + strspn(o->exec, " \t\n'\""), *slash;
	int len = (int)strcspn(command, " \t\n'\"");
	int code;

	snprintf(t->label, sizeof(t->label), "%.*s", len > 80 ? 80 : len, command);
	if ((slash = strrchr(t->label, '/')))
		memmove(t->label, slash + 1, strlen(slash));
	t->address.layers = (struct layers){ .tls = o->way & WAY_TLS, .websocket = o->way & WAY_WS };
	if (o->way & WAY_TLS && !(t->address.layers.context = tls_from_options(&load_command, &code)))
		return code;
	return 0;
}

int load_target_choose(struct load_target *t, const char *url)
{
	*t = (struct load_target){ .user_name = o->user, .password = o->password };
	if (url)
		return choose_url(t, url);
	if (o->exec)
		return choose_exec(t);
	t->simulated = true;
	t->local = built_in;
	snprintf(t->label, sizeof(t->label), "the built-in broker%s%s", o->broker ? ", " : "", o->broker ? o->broker : "");
	return o->broker ? built_in->configure(o->broker) : 0;
}

/* ---- the built-in broker ---- */

static int read_faults(const struct local_broker *local, unsigned faults[LOCAL_MAX_FAULTS], size_t *n)
{
	*n = 0;
	for (size_t i = 0; i < o->broken.n; i++) {
		int found = local->faults_named(o->broken.at[i], faults + *n, LOCAL_MAX_FAULTS - *n);

		if (!found)
			return cli_usage(&load_command, "--break %s: no such fault; `mqassay broker --break list` lists them", console_safe(o->broken.at[i]));
		if (found < 0)
			return cli_usage(&load_command, "--break %s: exists in several versions; write 3.1.1:%s or 5:%s", console_safe(o->broken.at[i]),
			                 console_safe(o->broken.at[i]), console_safe(o->broken.at[i]));
		*n += (size_t)found;
	}
	return 0;
}

static int open_local(struct load_target *t, const struct need *needs, size_t n_needs)
{
	unsigned faults[LOCAL_MAX_FAULTS];
	struct local_service service = { 0 };
	const char *why = NULL;
	size_t n;
	int code = read_faults(t->local, faults, &n);

	if (code)
		return code;
	t->broker = t->local->start(t->loop, needs, n_needs, faults, n, o->seed, &service, &why);
	if (!t->broker || !service.services[o->way]) {
		console_error("the built-in broker: %s", why ? why : "it cannot be reached that way");
		return EXIT_UNABLE;
	}
	service.services[o->way]->options.delay_ns = REHEARSAL_DELAY_NS;
	service.services[o->way]->options.room = REHEARSAL_ROOM;
	t->address = (struct address){ .kind = ADDRESS_MEMORY, .service = service.services[o->way],
	                               .layers = { .tls = o->way & WAY_TLS, .websocket = o->way & WAY_WS, .context = service.tls } };
	if (!t->user_name) {
		t->user_name = service.user_name;
		t->password = service.password;
	}
	return 0;
}

/* ---- one that we start ---- */

/* It comes escaped, and reports escape what they hold: between lines stands what survives that. */
static void part_lines(char *text)
{
	for (char *at = text; (at = strstr(at, "\\n"));)
		memcpy(at, "; ", 2);
}

static void on_event(void *context, enum process_event event, const char *how)
{
	struct load_target *t = context;

	snprintf(t->how, sizeof(t->how), "%s", how ? how : "");
	part_lines(t->how);
	if (event == PROCESS_READY)
		t->state = TARGET_SERVES;
	else if (t->state == TARGET_STARTS)
		t->state = TARGET_NOT;
	else if (!t->died)
		t->died = t->how;
	loop_stop(t->loop);
}

static int open_process(struct load_target *t)
{
	struct span user = t->user_name ? span_text(t->user_name) : (struct span){ 0 }, password = t->password ? span_text(t->password) : (struct span){ 0 };

	t->process = process_new(t->loop, o->exec, o->start_timeout_ns, user, password, &t->address, on_event, t);
	process_start(t->process);
	while (t->state == TARGET_STARTS && !run_interrupted())
		if (!loop_run(t->loop))
			break;
	if (t->state == TARGET_SERVES)
		return 0;
	console_error("%s: %s", t->label, t->how[0] ? t->how : "interrupted before it served");
	return EXIT_UNABLE;
}

int load_target_open(struct load_target *t, struct loop *loop, const struct need *needs, size_t n_needs)
{
	t->loop = loop;
	return t->local ? open_local(t, needs, n_needs) : o->exec ? open_process(t) : 0;
}

void load_target_close(struct load_target *t)
{
	process_free(t->process);
	t->process = NULL;
	if (t->broker)
		t->local->stop(t->broker);
	t->broker = NULL;
}

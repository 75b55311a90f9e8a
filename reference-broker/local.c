#include "reference-broker/local.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "harness/cli.h"
#include "harness/console.h"
#include "harness/tls.h"
#include "reference-broker/broker_options.h"
#include "reference-broker/faults.h"
#include "reference-broker/scram.h"
#include "reference-broker/server.h"

/*
 * The reference broker as a target in this process: configured so that it offers what a test needs, or as one of the
 * configurations below, or as options say.
 */

struct instance {
	struct server *server;
	struct access access;
	uint64_t broken[FAULT_WORDS];
};

static const struct configuration {
	const char *name, *options;
	bool login;			/* it asks for the built-in users' passwords */
} configurations[] = {
	/* before 5 a server cannot say what it lacks or how much it takes, so these serve 5 only */
	{ "limited", "--mqtt 5 --maximum-qos 1 --no-retain --no-wildcard --no-shared --no-subscription-identifiers --no-empty-client-id", false },
	{ "qos-0", "--mqtt 5 --maximum-qos 0 --topic-alias-maximum 65535 --response-information replies", false },
	{ "narrow", "--mqtt 5 --receive-maximum 1 --topic-alias-maximum 0 --maximum-packet-size 2k --server-keep-alive 30s --session-expiry-maximum 30s", false },
	{ "only-3.1.1", "--mqtt 3.1.1", false },
	{ "users", "", true },
};

#define N_CONFIGURATIONS (sizeof(configurations) / sizeof(*configurations))

/* Two, so that one can try what is the other's. Scenarios know the second as their default for `other_user`. */
static const char built_in_users[] =
	"assayer:SCRAM-SHA-256$4096:bXFhc3NheSBidWlsdC1pbg==$ZtP5j8/TtsyMWbouRncLvPJWUpOnyRRISVfY4DFo+lw=:Qff5K/pA3BqmW+WWW366IMdAgPfXBbqDixJLiYSyLLo=\n"
	"refiner:SCRAM-SHA-256$4096:bXFhc3NheSBidWlsdC1pbg==$x8dBQnZQUvx0DO9Ntos8api+dTLQJJqpxxeiiAk0YwY=:1pt8wC4t8hGbVllyvQPEfQBQP+JH9xE40f44G+siO8o=\n";
/* Scenarios know the first two names as their defaults for `denied_publish` and `denied_subscribe`. */
static const char built_in_rules[] =
	"deny   publish    locked/#\n"
	"deny   subscribe  hidden/#\n"
	"allow  both       #\n";
static const char user_name[] = "assayer", password[] = "touchstone";

static const struct command rows_only = { .name = "broker", .options = broker_option_rows };
static const struct configuration *chosen;	/* NULL: as the needs ask */
static struct configuration as_options_say;

/* The value nearest to what is offered that meets the need. */
static bool meet(const struct need *need, uint64_t *value, uint64_t most)
{
	uint64_t n = need->number;

	switch (need->op) {
	case PATTERN_EQUAL:    *value = n; break;
	case PATTERN_AT_LEAST: *value = *value < n ? n : *value; break;
	case PATTERN_MORE:     *value = *value <= n ? n + 1 : *value; break;
	case PATTERN_AT_MOST:  *value = *value > n ? n : *value; break;
	case PATTERN_LESS:     *value = *value >= n && n ? n - 1 : *value; break;
	default:               *value = *value ? *value : 1; break;
	}
	return *value <= most;
}

struct knob {
	const char *name;
	uint64_t *value, most;
};

static bool meet_needs(struct broker_config *c, bool *login, bool *denies, const struct need *needs, size_t n, const char **why)
{
	uint64_t qos = c->maximum_qos, retain = 1, wildcard = 1, shared = 1, identifiers = 1, receive = c->receive_maximum,
	         size = c->maximum_packet_size, aliases = c->topic_alias_maximum, keep_alive = 0, expiry = c->session_expiry_maximum,
	         asks = 0, information = 0, layers = 1, denied = 0;
	const struct knob knobs[] = {
		{ "maximum_qos", &qos, 2 }, { "retain_available", &retain, 1 }, { "wildcard_subscription_available", &wildcard, 1 },
		{ "shared_subscription_available", &shared, 1 }, { "subscription_identifier_available", &identifiers, 1 },
		{ "receive_maximum", &receive, 65535 }, { "maximum_packet_size", &size, size }, { "topic_alias_maximum", &aliases, 65535 },
		{ "server_keep_alive", &keep_alive, 65535 }, { "session_expiry_interval", &expiry, UINT32_MAX },
		{ "login", &asks, 1 }, { "response_information", &information, 1 }, { "tls", &layers, 1 }, { "websocket", &layers, 1 },
		{ "denied_publish", &denied, 1 }, { "denied_subscribe", &denied, 1 },
	};

	for (size_t i = 0; i < n; i++) {
		bool known = false;

		if (!strcmp(needs[i].name, "auth") && needs[i].string && span_is(scram_sha_256.method, needs[i].string)) {
			known = true;
			asks = 1;
		}
		for (size_t k = 0; k < sizeof(knobs) / sizeof(*knobs); k++)
			if (!strcmp(needs[i].name, knobs[k].name)) {
				known = true;
				if (!meet(&needs[i], knobs[k].value, knobs[k].most)) {
					*why = "the built-in broker cannot offer that much";
					return false;
				}
			}
		if (!known) {
			*why = "the built-in broker does not offer this yet in process";
			return false;
		}
	}
	c->maximum_qos = (uint8_t)qos;
	c->retain_available = retain;
	c->wildcard_available = wildcard;
	c->shared_available = shared;
	c->subscription_identifiers_available = identifiers;
	c->receive_maximum = (uint16_t)receive;
	c->maximum_packet_size = (uint32_t)size;
	c->topic_alias_maximum = (uint16_t)aliases;
	c->server_keep_alive = (uint16_t)keep_alive;
	c->session_expiry_maximum = (uint32_t)expiry;
	if (information)
		c->response_information = span_text("replies");
	*login = asks;
	*denies = denied;
	return true;
}

static enum login check_login(void *users, struct span name, struct span given, uint64_t now_ns)
{
	return users_login(users, name, given, now_ns);
}

static bool may(void *rules, struct span user, struct span client_id, enum act act, struct span topic)
{
	return acl_may(rules, user, client_id, act, topic);
}

static void add_rules(struct broker_config *c)
{
	static struct acl *shared;	/* by all instances of the process */
	struct fault fault;

	if (!shared)
		shared = acl_parse(span_text(built_in_rules), &fault);
	if (!shared)
		abort();
	c->rules = shared;
	c->may = may;
}

static void add_users(struct broker_config *c)
{
	static struct users *shared;	/* likewise: what they remember makes many runs cheap */
	struct fault fault;

	if (!shared)
		shared = users_parse(span_text(built_in_users), &fault);
	if (!shared)
		abort();
	users_foretell(shared, c->seed);
	c->users = shared;
	c->login = check_login;
	c->authentication = &scram_sha_256;
}

/* False: *why says what cannot be had. */
static bool configure_instance(struct instance *in, struct broker_config *c, const struct need *needs, size_t n, const char **why)
{
	bool login = chosen && chosen->login, denies = false;

	if (!chosen && !meet_needs(c, &login, &denies, needs, n, why))
		return false;
	if (chosen && broker_options_apply(&rows_only, c, &in->access) != EXIT_PASS) {
		*why = "its options cannot be applied";		/* they could be, when they were read: a file has gone */
		return false;
	}
	if (login)
		add_users(c);
	if (denies)
		add_rules(c);
	return true;
}

/* One authority, made up when the first broker starts, is trusted by all clients of this process. */
static void offer_ways(struct server *server, struct local_service *service)
{
	static struct tls_context *client, *serving;

	if (!client && !tls_contexts_for_us(&client, &serving))
		abort();
	for (unsigned way = 0; way < N_WAYS; way++)
		service->services[way] = server_service(server, (enum way)way, way & WAY_TLS ? serving : NULL);
	service->tls = client;
}

static void *start(struct loop *loop, const struct need *needs, size_t n_needs, const unsigned *faults, size_t n_faults,
                   uint64_t seed, struct local_service *service, const char **why)
{
	struct instance *in = calloc(1, sizeof(*in));
	struct broker_config config;

	if (!in)
		abort();
	broker_defaults(&config);
	config.seed = seed;
	for (size_t i = 0; i < n_faults; i++)
		in->broken[faults[i] / 64] |= (uint64_t)1 << faults[i] % 64;
	config.broken = n_faults ? in->broken : NULL;
	if (!configure_instance(in, &config, needs, n_needs, why)) {
		access_release(&in->access);
		free(in);
		return NULL;
	}
	in->server = server_new(loop, &config);
	if (!in->server)
		abort();
	offer_ways(in->server, service);
	if (config.login && !broker_options.users) {
		service->user_name = user_name;
		service->password = password;
	}
	service->denies = config.may && !in->access.acl;
	return in;
}

static void stop(void *broker)
{
	struct instance *in = broker;

	server_free(in->server);
	access_release(&in->access);
	free(in);
}

static_assert(LOCAL_MAX_FAULTS == FAULT_WORDS * 64, "the harness has room for every row");

static bool fault(size_t number, struct local_fault *f)
{
	if (number >= n_fault_rows)
		return false;
	*f = (struct local_fault){ fault_rows[number].rule, fault_rows[number].name, fault_rows[number].breaks };
	return true;
}

static int named(const char *text, unsigned *numbers, size_t cap)
{
	uint64_t broken[FAULT_WORDS] = { 0 };
	int found = faults_named(span_text(text), broken);
	size_t n = 0;

	if (found <= 0)
		return found;
	for (unsigned i = 0; i < n_fault_rows && n < cap; i++)
		if (fault_set(broken, i))
			numbers[n++] = i;
	return (int)n;
}

/* ---- configurations ---- */

static bool configuration(size_t number, struct local_configuration *c)
{
	if (number >= N_CONFIGURATIONS)
		return false;
	*c = (struct local_configuration){ configurations[number].name, configurations[number].options };
	if (configurations[number].login)
		c->options = "--users FILE, of two users of its own";
	return true;
}

static const struct configuration *named_configuration(const char *name)
{
	for (size_t i = 0; i < N_CONFIGURATIONS; i++)
		if (!strcmp(configurations[i].name, name))
			return &configurations[i];
	return NULL;
}

/* Cut at blanks; the words live until the next are cut, for options borrow from them. */
static char **cut(const char *text)
{
	static char *copy, **words;
	size_t n = 0;

	free(copy);
	free(words);
	copy = strdup(text);
	words = calloc(strlen(text) + 1, sizeof(*words));
	if (!copy || !words)
		abort();
	for (char *word = strtok(copy, " \t"); word; word = strtok(NULL, " \t"))
		words[n++] = word;
	return words;
}

static int configure(const char *text)
{
	struct broker_config trial;
	struct access access;
	int code;

	broker_options_reset();
	chosen = NULL;
	if (!text)
		return EXIT_PASS;
	chosen = named_configuration(text);
	if (!chosen && *text != '-') {
		console_error("--broker %s: no such configuration; `mqassay conform --broker list` lists them", console_safe(text));
		return EXIT_USAGE;
	}
	if (!chosen) {
		as_options_say = (struct configuration){ "options", text, false };
		chosen = &as_options_say;
	}
	code = cli_set(&rows_only, cut(chosen->options));
	if (code != EXIT_PASS)
		return code;
	broker_defaults(&trial);
	code = broker_options_apply(&rows_only, &trial, &access);
	access_release(&access);
	return code;
}

const struct local_broker reference_broker = {
	.start = start, .stop = stop, .configure = configure, .configuration = configuration, .fault = fault, .faults_named = named,
};

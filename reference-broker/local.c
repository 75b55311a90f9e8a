#include "reference-broker/local.h"

#include <stdlib.h>
#include <string.h>

#include "reference-broker/faults.h"
#include "reference-broker/server.h"

/* The reference broker as a target in this process: configured so that it offers what a test needs. */

struct instance {
	struct server *server;
	uint64_t broken[FAULT_WORDS];
};

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

static bool configure(struct broker_config *c, const struct need *needs, size_t n, const char **why)
{
	uint64_t qos = c->maximum_qos, retain = 1, wildcard = 1, shared = 1, identifiers = 1, receive = c->receive_maximum,
	         size = c->maximum_packet_size, aliases = c->topic_alias_maximum, keep_alive = 0, expiry = c->session_expiry_maximum;
	const struct knob knobs[] = {
		{ "maximum_qos", &qos, 2 }, { "retain_available", &retain, 1 }, { "wildcard_subscription_available", &wildcard, 1 },
		{ "shared_subscription_available", &shared, 1 }, { "subscription_identifier_available", &identifiers, 1 },
		{ "receive_maximum", &receive, 65535 }, { "maximum_packet_size", &size, size }, { "topic_alias_maximum", &aliases, 65535 },
		{ "server_keep_alive", &keep_alive, 65535 }, { "session_expiry_interval", &expiry, UINT32_MAX },
	};

	for (size_t i = 0; i < n; i++) {
		bool known = false;

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
	return true;
}

static void *start(struct loop *loop, const struct need *needs, size_t n_needs, const unsigned *faults, size_t n_faults,
                   uint64_t seed, struct service **service, const char **why)
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
	if (!configure(&config, needs, n_needs, why)) {
		free(in);
		return NULL;
	}
	in->server = server_new(loop, &config);
	if (!in->server)
		abort();
	*service = server_service(in->server);
	return in;
}

static void stop(void *broker)
{
	struct instance *in = broker;

	server_free(in->server);
	free(in);
}

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

const struct local_broker reference_broker = { start, stop, fault, named };

#include "reference-broker/broker_options.h"

#include <stdio.h>
#include <string.h>

#include "codec/wire.h"
#include "harness/console.h"
#include "reference-broker/scram.h"

static const char *const version_names[] = { "all", "3.1", "3.1.1", "5", NULL };

#define BY_DEFAULT { .maximum_qos = 2, .receive_maximum = 65535, .maximum_packet_size = VARINT_MAX + 5u, .topic_alias_maximum = 32 }

struct broker_options broker_options = BY_DEFAULT;

const struct cli_option broker_option_rows[] = {
	OPT_HEADING("Who may use it"),
	OPT_STRING(0, "users", broker_options.users, "FILE", "only who is in this file, with the password whose verifier stands there"),
	OPT_STRING(0, "acl", broker_options.acl, "FILE", "and may publish and subscribe only as this file allows: allow|deny publish|subscribe|both FILTER [user NAME | anonymous]"),
	OPT_HEADING("What it offers, as CONNACK can announce"),
	OPT_ENUM(0, "mqtt", broker_options.version, version_names, "protocol version that is served"),
	OPT_COUNT(0, "maximum-qos", broker_options.maximum_qos, 0, 2, "N", "highest QoS"),
	OPT_FLAG(0, "no-retain", broker_options.no_retain, "no retained messages"),
	OPT_COUNT(0, "receive-maximum", broker_options.receive_maximum, 1, 65535, "N", "QoS 1 and 2 messages a client may have open"),
	OPT_SIZE(0, "maximum-packet-size", broker_options.maximum_packet_size, "SIZE", "largest packet taken"),
	OPT_COUNT(0, "topic-alias-maximum", broker_options.topic_alias_maximum, 0, 65535, "N", "topic aliases a client may use"),
	OPT_DURATION(0, "server-keep-alive", broker_options.server_keep_alive_ns, "D", "in 5: in place of the client's keep alive"),
	OPT_DURATION(0, "session-expiry-maximum", broker_options.session_expiry_maximum_ns, "D",
	             "sessions are kept no longer (0: as long as clients wish)"),
	OPT_FLAG(0, "no-wildcard", broker_options.no_wildcard, "no wildcard subscriptions"),
	OPT_FLAG(0, "no-shared", broker_options.no_shared, "no shared subscriptions"),
	OPT_FLAG(0, "no-subscription-identifiers", broker_options.no_subscription_identifiers, "no subscription identifiers"),
	OPT_FLAG(0, "no-empty-client-id", broker_options.no_empty_client_id, "do not assign client ids"),
	OPT_STRING(0, "response-information", broker_options.response_information, "TEXT", "in 5: given to clients that ask for it"),
	OPT_STRING(0, "redirect", broker_options.redirect, "HOST[:PORT]", "send every client there: 5 says 0x9C and where, 3.1.1 that nobody serves here"),
	OPT_STRING(0, "redirect-for-good", broker_options.redirect_for_good, "HOST[:PORT]", "the same with 0x9D: it has moved"),
	OPT_STRING(0, "successor", broker_options.successor, "HOST[:PORT]", "send clients of 5 there when it is stopped, by DISCONNECT 0x9C"),
	OPT_END
};

void broker_options_reset(void)
{
	broker_options = (struct broker_options)BY_DEFAULT;
}

static uint32_t seconds(uint64_t ns, uint32_t most)
{
	uint64_t s = (ns + 999999999) / 1000000000;

	return s < most ? (uint32_t)s : most;
}

/* What CONNACK is to carry: a text as the standard has them, and bounded. */
static bool is_text(const char *text)
{
	size_t len = strlen(text);

	for (size_t i = 0; i < len; i++)
		if (text[i] < ' ' || text[i] > '~')
			return false;
	return len && len <= BROKER_TEXT_MAX;
}

static bool is_host(const char *text)
{
	return is_text(text) && !text[strcspn(text, "/ ")];
}

static int apply_texts(const struct command *command, struct broker_config *c)
{
	const struct broker_options *o = &broker_options;
	const char *redirect = o->redirect ? o->redirect : o->redirect_for_good;

	if (o->redirect && o->redirect_for_good)
		return cli_usage(command, "--redirect and --redirect-for-good: only one of them");
	if (o->response_information && !is_text(o->response_information))
		return cli_usage(command, "--response-information: expected 1 to %d printable characters of ASCII", BROKER_TEXT_MAX);
	if (redirect && !is_host(redirect))
		return cli_usage(command, "--redirect: expected HOST or HOST:PORT, as a client is to read it");
	if (o->successor && !is_host(o->successor))
		return cli_usage(command, "--successor: expected HOST or HOST:PORT, as a client is to read it");
	if (o->response_information)
		c->response_information = span_text(o->response_information);
	if (redirect)
		c->redirect = span_text(redirect);
	c->redirect_for_good = o->redirect_for_good;
	if (o->successor)
		c->successor = span_text(o->successor);
	return EXIT_PASS;
}

static enum login check_login(void *users, struct span user_name, struct span password, uint64_t now_ns)
{
	return users_login(users, user_name, password, now_ns);
}

static bool may(void *rules, struct span user_name, struct span client_id, enum act act, struct span topic)
{
	return acl_may(rules, user_name, client_id, act, topic);
}

static int file_wrong(const struct command *command, const char *option, const char *path, const struct fault *fault)
{
	if (!fault->line) {
		fprintf(stderr, "mqassay %s: --%s %s: %s\n", command->name, option, console_safe(path), fault->text);
		return EXIT_UNABLE;
	}
	console_error("%s:%u:%u: %s", console_safe(path), fault->line, fault->column, fault->text);
	return EXIT_USAGE;
}

/* A rule about a user protects nothing where everybody may call himself so. */
static bool users_are_known(const struct access *access, struct fault *fault)
{
	unsigned line = access->acl && !access->users && !access->identities ? acl_line_about_user(access->acl) : 0;

	if (line) {
		*fault = (struct fault){ .line = line, .column = 1 };
		snprintf(fault->text, sizeof(fault->text), "a rule about a user, but anybody can take any name: check them by --users FILE or --identity certificate");
	}
	return !line;
}

static int access_read(const struct command *command, struct access *access, bool identities)
{
	const struct broker_options *o = &broker_options;
	struct fault fault;

	*access = (struct access){ .identities = identities };
	if (o->users && !(access->users = users_read(o->users, &fault)))
		return file_wrong(command, "users", o->users, &fault);
	if (o->acl && (!(access->acl = acl_read(o->acl, &fault)) || !users_are_known(access, &fault)))
		return file_wrong(command, "acl", o->acl, &fault);
	return EXIT_PASS;
}

int access_read_again(const struct command *command, struct access *access)
{
	struct access fresh;
	int code = access_read(command, &fresh, access->identities);

	if (code == EXIT_PASS && access->users) {
		users_replace(access->users, fresh.users);
		fresh.users = NULL;
	}
	if (code == EXIT_PASS && access->acl) {
		acl_replace(access->acl, fresh.acl);
		fresh.acl = NULL;
	}
	access_release(&fresh);
	return code;
}

void access_release(struct access *access)
{
	users_free(access->users);
	acl_free(access->acl);
	*access = (struct access){ 0 };
}

static int apply_access(const struct command *command, struct broker_config *c, struct access *access)
{
	int code = access_read(command, access, c->identities);

	if (access->users) {
		c->users = access->users;
		c->login = check_login;
		c->authentication = &scram_sha_256;
	}
	if (access->acl) {
		c->rules = access->acl;
		c->may = may;
	}
	return code;
}

int broker_options_apply(const struct command *command, struct broker_config *c, struct access *access)
{
	static const uint8_t versions[] = {
		1 << MQTT_3_1 | 1 << MQTT_3_1_1 | 1 << MQTT_5, 1 << MQTT_3_1, 1 << MQTT_3_1_1, 1 << MQTT_5,
	};
	const struct broker_options *o = &broker_options;
	int code;

	*access = (struct access){ 0 };
	if (!o->maximum_packet_size)
		return cli_usage(command, "--maximum-packet-size 0 would refuse every packet");
	code = apply_texts(command, c);
	if (code != EXIT_PASS)
		return code;
	c->versions = versions[o->version];
	c->maximum_qos = (uint8_t)o->maximum_qos;
	c->retain_available = !o->no_retain;
	c->wildcard_available = !o->no_wildcard;
	c->shared_available = !o->no_shared;
	c->subscription_identifiers_available = !o->no_subscription_identifiers;
	c->empty_client_id = !o->no_empty_client_id;
	c->receive_maximum = (uint16_t)o->receive_maximum;
	if (o->maximum_packet_size < c->maximum_packet_size)
		c->maximum_packet_size = (uint32_t)o->maximum_packet_size;
	c->topic_alias_maximum = (uint16_t)o->topic_alias_maximum;
	c->server_keep_alive = (uint16_t)seconds(o->server_keep_alive_ns, 65535);
	if (o->session_expiry_maximum_ns)
		c->session_expiry_maximum = seconds(o->session_expiry_maximum_ns, UINT32_MAX);
	return apply_access(command, c, access);
}

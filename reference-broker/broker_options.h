#ifndef REFERENCE_BROKER_BROKER_OPTIONS_H
#define REFERENCE_BROKER_BROKER_OPTIONS_H

#include "harness/cli.h"
#include "reference-broker/acl.h"
#include "reference-broker/broker.h"
#include "reference-broker/users.h"

/*
 * What the broker offers and to whom, as options say it: one table for the command and for the broker that `conform`
 * starts in its own process, so that the same words mean the same in both.
 */
struct broker_options {
	uint64_t maximum_qos, receive_maximum, maximum_packet_size, topic_alias_maximum, server_keep_alive_ns;
	uint64_t session_expiry_maximum_ns;
	bool no_retain, no_wildcard, no_shared, no_subscription_identifiers, no_empty_client_id;
	int version;
	const char *response_information, *redirect, *redirect_for_good, *successor, *users, *acl;
};

extern struct broker_options broker_options;	/* what parsing sets */
extern const struct cli_option broker_option_rows[];

/* As if no option had been given yet. */
void broker_options_reset(void);

/* What --users and --acl name, as it was read; NULL: not given. */
struct access {
	struct users *users;
	struct acl *acl;
	bool identities;		/* something else says who the clients are, too */
};

/*
 * Writes them into a configuration that broker_defaults() has filled. 0, or EXIT_USAGE or EXIT_UNABLE after one line
 * on stderr. *access is given, to be released in either case; it and the options' texts must outlive the broker.
 */
int broker_options_apply(const struct command *command, struct broker_config *config, struct access *access);

/* Reads its files again. 0, or as above: then nothing has changed. */
int access_read_again(const struct command *command, struct access *access);

void access_release(struct access *access);

#endif

#ifndef REFERENCE_BROKER_CMD_BROKER_H
#define REFERENCE_BROKER_CMD_BROKER_H

/* `mqassay broker`, for the table in harness/main.c. */
extern const struct command cmd_broker;

#endif

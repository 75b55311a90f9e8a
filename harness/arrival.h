#ifndef HARNESS_ARRIVAL_H
#define HARNESS_ARRIVAL_H

#include "codec/wire.h"

/* What comes to a client, by which steps wait for it. */
enum arrival_kind {		/* no order is asked between kinds */
	DELIVERY,		/* PUBLISH */
	RELEASE,		/* PUBREL */
	ANSWER,			/* PUBACK PUBREC PUBCOMP SUBACK UNSUBACK */
	PONG,			/* PINGRESP */
	CONNECTION,		/* CONNACK AUTH DISCONNECT, and the end */
	N_ARRIVAL_KINDS
};

enum arrival_kind arrival_kind_of(enum packet_type type);

#endif

#ifndef CODEC_PACKET_H
#define CODEC_PACKET_H

#include "codec/span.h"
#include "codec/wire.h"

/*
 * What a packet says, legal or not. One flat struct for all types: a member means
 * the same in every packet that has it, and is zero in the others.
 *
 * A decoded packet borrows all its spans from the buffer it was decoded from. A
 * packet to be encoded borrows them from whoever filled it in. Lists stay wire
 * bytes and are walked in place (codec/fields.h): they need no room.
 */
struct packet {
	uint8_t version;		/* enum version: the rules it is read and written by */
	uint8_t type;			/* enum packet_type */
	uint8_t flags;			/* low four bits of the first byte; see publish_qos() */
	uint8_t connect_flags;		/* CONNECT */
	uint8_t protocol_version;	/* CONNECT: as written, whatever it is */
	uint8_t ack_flags;		/* CONNACK: bit 0 is Session Present; 3.1: reserved */
	uint8_t reason;			/* reason or return code; 0 when not written */
	uint8_t written;		/* which of the parts that may be left out are there: WRITTEN_* */
	uint16_t keep_alive;		/* CONNECT, seconds */
	uint16_t packet_id;
	uint8_t property_length_size, will_property_length_size;	/* 5: bytes that these lengths take on the wire
					 * where they are not the fewest possible; 0 for the fewest */
	struct span protocol_name, client_id, will_topic, will_payload, user_name, password;	/* CONNECT */
	struct span topic, payload;	/* PUBLISH */
	struct span properties;		/* 5: the list without its length */
	struct span will_properties;	/* 5, CONNECT */
	struct span list;		/* SUBSCRIBE, UNSUBSCRIBE: filters; SUBACK, UNSUBACK: codes */
};

enum {	/* packet.written */
	/* 5: acknowledgements, DISCONNECT and AUTH may end before these */
	WRITTEN_REASON = 1,
	WRITTEN_PROPERTIES = 2,		/* the property length is there, be it 0 */
	/* 3.1: a CONNECT may end before these although their flags are set */
	LEFT_OUT_USER_NAME = 4,
	LEFT_OUT_PASSWORD = 8,
};

enum {	/* packet.flags of PUBLISH */
	PUBLISH_RETAIN = 0x1,
	PUBLISH_QOS_SHIFT = 1,
	PUBLISH_DUP = 0x8,
};

enum {	/* packet.connect_flags */
	CONNECT_RESERVED = 0x01,
	CONNECT_CLEAN_START = 0x02,
	CONNECT_WILL = 0x04,
	CONNECT_WILL_QOS_SHIFT = 3,
	CONNECT_WILL_QOS = 0x18,
	CONNECT_WILL_RETAIN = 0x20,
	CONNECT_PASSWORD = 0x40,
	CONNECT_USER_NAME = 0x80,
};

enum {	/* the options byte of SUBSCRIBE; below 5 only the QoS */
	SUBSCRIBE_QOS = 0x03,
	SUBSCRIBE_NO_LOCAL = 0x04,
	SUBSCRIBE_RETAIN_AS_PUBLISHED = 0x08,
	SUBSCRIBE_RETAIN_HANDLING_SHIFT = 4,
	SUBSCRIBE_RETAIN_HANDLING = 0x30,
	SUBSCRIBE_RESERVED = 0xc0,
};

static inline unsigned publish_qos(const struct packet *p)
{
	return p->flags >> PUBLISH_QOS_SHIFT & 3;
}

static inline unsigned will_qos(const struct packet *p)
{
	return p->connect_flags >> CONNECT_WILL_QOS_SHIFT & 3;
}

/* "PUBLISH"; "packet type 0" for 0 and for AUTH's number in a version that has no AUTH the caller knows. Static. */
const char *packet_name(enum packet_type type);

/* The type a name stands for, 0 if none. Case counts. */
enum packet_type packet_type_named(struct span name);

#endif

#ifndef CODEC_WIRE_H
#define CODEC_WIRE_H

#include <stdint.h>

/*
 * The facts of the wire, each written once. Decode, encode, check, print, parse,
 * compare, layout and generate walk these rows; a new property or reason code is
 * one row here and nothing else.
 */

enum version {			/* as in CONNECT's Protocol Version */
	MQTT_3_1 = 3,
	MQTT_3_1_1 = 4,
	MQTT_5 = 5,
};

#define VARINT_MAX 268435455u

enum sender { FROM_CLIENT = 1, FROM_SERVER = 2, FROM_EITHER = 3 };

/*      name        number flags sent by      since */
#define PACKETS(X) \
	X(CONNECT,      1, 0x0, FROM_CLIENT, MQTT_3_1) \
	X(CONNACK,      2, 0x0, FROM_SERVER, MQTT_3_1) \
	X(PUBLISH,      3, 0x0, FROM_EITHER, MQTT_3_1)	/* flags are DUP, QoS, RETAIN */ \
	X(PUBACK,       4, 0x0, FROM_EITHER, MQTT_3_1) \
	X(PUBREC,       5, 0x0, FROM_EITHER, MQTT_3_1) \
	X(PUBREL,       6, 0x2, FROM_EITHER, MQTT_3_1) \
	X(PUBCOMP,      7, 0x0, FROM_EITHER, MQTT_3_1) \
	X(SUBSCRIBE,    8, 0x2, FROM_CLIENT, MQTT_3_1) \
	X(SUBACK,       9, 0x0, FROM_SERVER, MQTT_3_1) \
	X(UNSUBSCRIBE, 10, 0x2, FROM_CLIENT, MQTT_3_1) \
	X(UNSUBACK,    11, 0x0, FROM_SERVER, MQTT_3_1) \
	X(PINGREQ,     12, 0x0, FROM_CLIENT, MQTT_3_1) \
	X(PINGRESP,    13, 0x0, FROM_SERVER, MQTT_3_1) \
	X(DISCONNECT,  14, 0x0, FROM_EITHER, MQTT_3_1)	/* from a server in 5 only */ \
	X(AUTH,        15, 0x0, FROM_EITHER, MQTT_5)

enum packet_type {
#define X(name, number, flags, sender, since) name = number,
	PACKETS(X)
#undef X
	N_PACKET_TYPES
};

/* How a field is written. */
enum kind {
	BITS,			/* part of a byte that is a field of its own */
	U8, U16, U32, VARINT,
	STR, BIN,		/* two bytes of length, then the bytes; STR is UTF-8 */
	PAIR,			/* two STR */
	PROPS,			/* VARINT length, then properties */
	REST,			/* all that is left */
	FILTERS,		/* SUBSCRIBE: (STR filter, U8 options)..., all that is left */
	TOPICS,			/* UNSUBSCRIBE: STR filter..., all that is left */
	CODES,			/* SUBACK, UNSUBACK: U8 reason..., all that is left */
};

/* What a value must be beside its form; check judges by it and generate obeys it. */
enum limit {
	ANY,
	NONZERO,
	BOOL,			/* 0 or 1 */
	TOPIC_NAME,		/* not empty, no wildcards, no U+0000 */
	TOPIC_NAME_OR_ALIAS,	/* may be empty where a topic alias stands in for it */
	QOS,			/* 0, 1, 2 */
	REASON,			/* listed for the packet in REASONS */
};

#define ON(packet) (1u << (packet))
#define WILL 0			/* packet type 0 is reserved, so its bit can stand for the will's own list */
#define EVERYWHERE (ON(CONNECT) | ON(CONNACK) | ON(PUBLISH) | ON(PUBACK) | ON(PUBREC) | ON(PUBREL) | ON(PUBCOMP) | \
                    ON(SUBSCRIBE) | ON(SUBACK) | ON(UNSUBSCRIBE) | ON(UNSUBACK) | ON(DISCONNECT) | ON(AUTH) | ON(WILL))
#define ACKS (ON(PUBACK) | ON(PUBREC) | ON(PUBREL) | ON(PUBCOMP) | ON(SUBACK) | ON(UNSUBACK))

/*      id    name                                kind    carried by                              limit */
#define PROPERTIES(X) \
	X(0x01, payload_format_indicator,           U8,     ON(PUBLISH) | ON(WILL),                 BOOL) \
	X(0x02, message_expiry_interval,            U32,    ON(PUBLISH) | ON(WILL),                 ANY) \
	X(0x03, content_type,                       STR,    ON(PUBLISH) | ON(WILL),                 ANY) \
	X(0x08, response_topic,                     STR,    ON(PUBLISH) | ON(WILL),                 TOPIC_NAME) \
	X(0x09, correlation_data,                   BIN,    ON(PUBLISH) | ON(WILL),                 ANY) \
	X(0x0b, subscription_identifier,            VARINT, ON(PUBLISH) | ON(SUBSCRIBE),            NONZERO) \
	X(0x11, session_expiry_interval,            U32,    ON(CONNECT) | ON(CONNACK) | ON(DISCONNECT), ANY) \
	X(0x12, assigned_client_identifier,         STR,    ON(CONNACK),                            ANY) \
	X(0x13, server_keep_alive,                  U16,    ON(CONNACK),                            ANY) \
	X(0x15, authentication_method,              STR,    ON(CONNECT) | ON(CONNACK) | ON(AUTH),   ANY) \
	X(0x16, authentication_data,                BIN,    ON(CONNECT) | ON(CONNACK) | ON(AUTH),   ANY) \
	X(0x17, request_problem_information,        U8,     ON(CONNECT),                            BOOL) \
	X(0x18, will_delay_interval,                U32,    ON(WILL),                               ANY) \
	X(0x19, request_response_information,       U8,     ON(CONNECT),                            BOOL) \
	X(0x1a, response_information,               STR,    ON(CONNACK),                            ANY) \
	X(0x1c, server_reference,                   STR,    ON(CONNACK) | ON(DISCONNECT),           ANY) \
	X(0x1f, reason_string,                      STR,    ON(CONNACK) | ACKS | ON(DISCONNECT) | ON(AUTH), ANY) \
	X(0x21, receive_maximum,                    U16,    ON(CONNECT) | ON(CONNACK),              NONZERO) \
	X(0x22, topic_alias_maximum,                U16,    ON(CONNECT) | ON(CONNACK),              ANY) \
	X(0x23, topic_alias,                        U16,    ON(PUBLISH),                            NONZERO) \
	X(0x24, maximum_qos,                        U8,     ON(CONNACK),                            BOOL) \
	X(0x25, retain_available,                   U8,     ON(CONNACK),                            BOOL) \
	X(0x26, user_property,                      PAIR,   EVERYWHERE,                             ANY) \
	X(0x27, maximum_packet_size,                U32,    ON(CONNECT) | ON(CONNACK),              NONZERO) \
	X(0x28, wildcard_subscription_available,    U8,     ON(CONNACK),                            BOOL) \
	X(0x29, subscription_identifier_available,  U8,     ON(CONNACK),                            BOOL) \
	X(0x2a, shared_subscription_available,      U8,     ON(CONNACK),                            BOOL)

enum property_id {
#define X(id, name, kind, carried, limit) PROP_##name = id,
	PROPERTIES(X)
#undef X
	PROPERTY_ID_PAST, PROPERTY_ID_MAX = PROPERTY_ID_PAST - 1	/* the rows are in the order of their ids */
};

/*
 * Reason codes of 5, with the standard's names, and who may send them in which
 * packet. One code may have several names; the first row that fits the packet is
 * the one printed.
 */
/*      code  name                            in                                                             by */
#define REASONS(X) \
	X(0x00, Normal_disconnection,           ON(DISCONNECT),                                                FROM_EITHER) \
	X(0x00, Granted_QoS_0,                  ON(SUBACK),                                                    FROM_SERVER) \
	X(0x00, Success,                        ON(CONNACK) | ON(PUBACK) | ON(PUBREC) | ON(PUBREL) | ON(PUBCOMP) | ON(UNSUBACK), FROM_EITHER) \
	X(0x00, Success,                        ON(AUTH),                                                      FROM_SERVER) \
	X(0x01, Granted_QoS_1,                  ON(SUBACK),                                                    FROM_SERVER) \
	X(0x02, Granted_QoS_2,                  ON(SUBACK),                                                    FROM_SERVER) \
	X(0x04, Disconnect_with_Will_Message,   ON(DISCONNECT),                                                FROM_CLIENT) \
	X(0x10, No_matching_subscribers,        ON(PUBACK) | ON(PUBREC),                                       FROM_SERVER) \
	X(0x11, No_subscription_existed,        ON(UNSUBACK),                                                  FROM_SERVER) \
	X(0x18, Continue_authentication,        ON(AUTH),                                                      FROM_EITHER) \
	X(0x19, Re_authenticate,                ON(AUTH),                                                      FROM_CLIENT) \
	X(0x80, Unspecified_error,              ON(CONNACK) | ON(PUBACK) | ON(PUBREC) | ON(SUBACK) | ON(UNSUBACK) | ON(DISCONNECT), FROM_EITHER) \
	X(0x81, Malformed_Packet,               ON(CONNACK) | ON(DISCONNECT),                                  FROM_EITHER) \
	X(0x82, Protocol_Error,                 ON(CONNACK) | ON(DISCONNECT),                                  FROM_EITHER) \
	X(0x83, Implementation_specific_error,  ON(CONNACK) | ON(PUBACK) | ON(PUBREC) | ON(SUBACK) | ON(UNSUBACK) | ON(DISCONNECT), FROM_EITHER) \
	X(0x84, Unsupported_Protocol_Version,   ON(CONNACK),                                                   FROM_SERVER) \
	X(0x85, Client_Identifier_not_valid,    ON(CONNACK),                                                   FROM_SERVER) \
	X(0x86, Bad_User_Name_or_Password,      ON(CONNACK),                                                   FROM_SERVER) \
	X(0x87, Not_authorized,                 ON(CONNACK) | ON(PUBACK) | ON(PUBREC) | ON(SUBACK) | ON(UNSUBACK), FROM_EITHER) \
	X(0x87, Not_authorized,                 ON(DISCONNECT),                                                FROM_SERVER) \
	X(0x88, Server_unavailable,             ON(CONNACK),                                                   FROM_SERVER) \
	X(0x89, Server_busy,                    ON(CONNACK) | ON(DISCONNECT),                                  FROM_SERVER) \
	X(0x8a, Banned,                         ON(CONNACK),                                                   FROM_SERVER) \
	X(0x8b, Server_shutting_down,           ON(DISCONNECT),                                                FROM_SERVER) \
	X(0x8c, Bad_authentication_method,      ON(CONNACK) | ON(DISCONNECT),                                  FROM_SERVER) \
	X(0x8d, Keep_Alive_timeout,             ON(DISCONNECT),                                                FROM_SERVER) \
	X(0x8e, Session_taken_over,             ON(DISCONNECT),                                                FROM_SERVER) \
	X(0x8f, Topic_Filter_invalid,           ON(SUBACK) | ON(UNSUBACK) | ON(DISCONNECT),                    FROM_SERVER) \
	X(0x90, Topic_Name_invalid,             ON(CONNACK) | ON(PUBACK) | ON(PUBREC) | ON(DISCONNECT),        FROM_EITHER) \
	X(0x91, Packet_Identifier_in_use,       ON(PUBACK) | ON(PUBREC) | ON(SUBACK) | ON(UNSUBACK),           FROM_EITHER) \
	X(0x92, Packet_Identifier_not_found,    ON(PUBREL) | ON(PUBCOMP),                                      FROM_EITHER) \
	X(0x93, Receive_Maximum_exceeded,       ON(DISCONNECT),                                                FROM_EITHER) \
	X(0x94, Topic_Alias_invalid,            ON(DISCONNECT),                                                FROM_EITHER) \
	X(0x95, Packet_too_large,               ON(CONNACK) | ON(DISCONNECT),                                  FROM_EITHER) \
	X(0x96, Message_rate_too_high,          ON(DISCONNECT),                                                FROM_EITHER) \
	X(0x97, Quota_exceeded,                 ON(CONNACK) | ON(PUBACK) | ON(PUBREC) | ON(SUBACK) | ON(DISCONNECT), FROM_EITHER) \
	X(0x98, Administrative_action,          ON(DISCONNECT),                                                FROM_EITHER) \
	X(0x99, Payload_format_invalid,         ON(CONNACK) | ON(PUBACK) | ON(PUBREC) | ON(DISCONNECT),        FROM_EITHER) \
	X(0x9a, Retain_not_supported,           ON(CONNACK) | ON(DISCONNECT),                                  FROM_SERVER) \
	X(0x9b, QoS_not_supported,              ON(CONNACK) | ON(DISCONNECT),                                  FROM_SERVER) \
	X(0x9c, Use_another_server,             ON(CONNACK) | ON(DISCONNECT),                                  FROM_SERVER) \
	X(0x9d, Server_moved,                   ON(CONNACK) | ON(DISCONNECT),                                  FROM_SERVER) \
	X(0x9e, Shared_Subscriptions_not_supported, ON(SUBACK) | ON(DISCONNECT),                               FROM_SERVER) \
	X(0x9f, Connection_rate_exceeded,       ON(CONNACK) | ON(DISCONNECT),                                  FROM_SERVER) \
	X(0xa0, Maximum_connect_time,           ON(DISCONNECT),                                                FROM_SERVER) \
	X(0xa1, Subscription_Identifiers_not_supported, ON(SUBACK) | ON(DISCONNECT),                           FROM_SERVER) \
	X(0xa2, Wildcard_Subscriptions_not_supported, ON(SUBACK) | ON(DISCONNECT),                             FROM_SERVER)

/* Return codes of 3.1 and 3.1.1. The names shared with REASONS let one scenario name either version's code. */
/*      code  name                            in            since */
#define RETURN_CODES(X) \
	X(0x00, Success,                        ON(CONNACK), MQTT_3_1) \
	X(0x01, Unsupported_Protocol_Version,   ON(CONNACK), MQTT_3_1) \
	X(0x02, Client_Identifier_not_valid,    ON(CONNACK), MQTT_3_1) \
	X(0x03, Server_unavailable,             ON(CONNACK), MQTT_3_1) \
	X(0x04, Bad_User_Name_or_Password,      ON(CONNACK), MQTT_3_1) \
	X(0x05, Not_authorized,                 ON(CONNACK), MQTT_3_1) \
	X(0x00, Granted_QoS_0,                  ON(SUBACK),  MQTT_3_1) \
	X(0x01, Granted_QoS_1,                  ON(SUBACK),  MQTT_3_1) \
	X(0x02, Granted_QoS_2,                  ON(SUBACK),  MQTT_3_1) \
	X(0x80, Unspecified_error,              ON(SUBACK),  MQTT_3_1_1)

#endif

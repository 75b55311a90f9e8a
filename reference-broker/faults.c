#include "reference-broker/faults.h"

#include <assert.h>

#include "reference-broker/effects.h"

#define V311(id, name, effect, breaks) { "3.1.1:" id, name, breaks, effect },
#define V31(id, name, effect, breaks) { "3.1:" id, name, breaks, effect },
#define V5(id, name, effect, breaks) { "5:" id, name, breaks, effect },
#define BOTH(id_311, id_5, name, effect, breaks) V311(id_311, name, effect, breaks) V5(id_5, name, effect, breaks)

const struct fault_row fault_rows[] = {
	/* CONNECT */
	BOTH("MQTT-3.1.0-1", "MQTT-3.1.0-1", "", ANSWER_UNCONNECTED, "answers PINGREQ before CONNECT")
	BOTH("MQTT-3.1.0-2", "MQTT-3.1.0-2", "", IGNORE_SECOND_CONNECT, "passes over a second CONNECT")
	V5("MQTT-3.2.0-2", "", WELCOME_SECOND_CONNECT, "answers a second CONNECT with a second CONNACK")
	BOTH("MQTT-3.1.2-1", "MQTT-3.1.2-1", "", SERVE_ANY_NAME, "serves any protocol name")
	BOTH("MQTT-3.1.2-2", "MQTT-3.1.2-2", "", SERVE_ANY_LEVEL, "serves any protocol level as this version")
	BOTH("MQTT-3.1.2-3", "MQTT-3.1.2-3", "", TAKE_CONNECT_RESERVED, "serves a CONNECT whose reserved flag is set")
	BOTH("MQTT-3.1.4-1", "MQTT-3.1.4-1", "", WELCOME_BAD_CONNECT, "answers a malformed CONNECT with CONNACK 0 and stays")
	BOTH("MQTT-3.1.3-5", "MQTT-3.1.3-5", "", REFUSE_LONG_ID, "refuses client ids of 23 bytes")
	BOTH("MQTT-3.1.3-5", "MQTT-3.1.3-5", "short", REFUSE_SHORT_ID, "refuses client ids of one byte")
	BOTH("MQTT-3.1.4-4", "MQTT-3.1.4-5", "keep-alive", REFUSE_KEEP_ALIVE, "refuses the Keep Alives 0 and 65535")
	BOTH("MQTT-3.1.4-4", "MQTT-3.1.4-5", "will", REFUSE_WILL, "refuses clients that have a will")
	BOTH("MQTT-3.1.4-4", "MQTT-3.1.4-5", "session", REFUSE_KEPT_SESSION, "refuses clients that do not ask for a clean start")
	BOTH("pipelined", "pipelined", "", FORGET_PIPELINED, "forgets what came in one piece with CONNECT")
	V311("MQTT-3.1.3-6", "", ASSIGNED_ID_SAME, "gives every client without an id the same one")
	V5("MQTT-3.1.3-6", "", ASSIGNED_ID_SAME, "gives every client without an id the same one")
	V311("MQTT-3.1.3-8", "", TAKE_EMPTY_ID, "serves an empty client id with CleanSession 0")
	V5("MQTT-3.1.3-7", "", ASSIGNED_ID_NOT_USED, "announces an assigned client id but uses another")
	V5("MQTT-3.2.2-16", "", ASSIGNED_ID_HIDDEN, "leaves out the Assigned Client Identifier")
	BOTH("MQTT-3.1.3-2", "MQTT-3.1.3-2", "", IDS_FOLDED, "takes client ids that differ in case for one")
	BOTH("MQTT-3.1.4-2", "MQTT-3.1.4-3", "", TAKEOVER_NOT_DONE, "lets the earlier connection of a client id live on")
	BOTH("MQTT-3.1.4-5", "MQTT-3.1.4-6", "", SERVE_AFTER_REFUSAL, "processes what follows a refused CONNECT")
	V5("MQTT-4.12.0-1", "", ANY_AUTHENTICATION, "accepts any Authentication Method")
	V5("MQTT-4.12.0-6", "", METHOD_UNASKED, "names an Authentication Method in CONNACK unasked")
	V5("MQTT-4.12.0-7", "", PLAIN_AUTH_IGNORED, "passes over AUTH from a client without a method")

	V311("MQTT-3.1.2-13", "", TAKE_WILL_QOS_WITHOUT_WILL, "serves a CONNECT with a will QoS but no will")
	V5("MQTT-3.1.2-11", "", TAKE_WILL_QOS_WITHOUT_WILL, "serves a CONNECT with a will QoS but no will")
	V311("MQTT-3.1.2-14", "", TAKE_WILL_QOS_3, "serves a CONNECT with will QoS 3")
	V5("MQTT-3.1.2-12", "accepted", TAKE_WILL_QOS_3, "serves a CONNECT with will QoS 3")
	V311("MQTT-3.1.2-15", "", TAKE_WILL_RETAIN_WITHOUT_WILL, "serves a CONNECT with will retain but no will")
	V5("MQTT-3.1.2-13", "", TAKE_WILL_RETAIN_WITHOUT_WILL, "serves a CONNECT with will retain but no will")
	V311("MQTT-3.1.2-22", "", TAKE_PASSWORD_WITHOUT_USER, "serves a CONNECT with a password but no user name")
	BOTH("MQTT-3.1.3-3", "MQTT-3.1.3-3", "", TAKE_NO_CLIENT_ID, "serves a CONNECT that ends before its client id")
	BOTH("MQTT-3.1.2-9", "MQTT-3.1.2-9", "", TAKE_NO_WILL_FIELDS, "serves a CONNECT that ends before its will")
	BOTH("MQTT-3.1.2-19", "MQTT-3.1.2-17", "", TAKE_NO_USER_NAME, "serves a CONNECT that ends before its user name")
	BOTH("MQTT-3.1.2-21", "MQTT-3.1.2-19", "", TAKE_NO_PASSWORD, "serves a CONNECT that ends before its password")
	V311("MQTT-3.1.4-1", "name", TAKE_NO_LEVEL, "waits for more when a CONNECT ends before its protocol level")
	V5("auth-data-without-method", "", TAKE_AUTH_DATA, "serves a CONNECT with Authentication Data but no method")
	BOTH("MQTT-3.1.3-4", "MQTT-3.1.3-4", "", TAKE_ID_UTF8, "serves a client id that is not UTF-8")
	BOTH("MQTT-3.1.3-10", "MQTT-3.1.3-11", "", TAKE_WILL_TOPIC_UTF8, "takes a will topic that is not UTF-8")
	BOTH("MQTT-3.1.3-11", "MQTT-3.1.3-12", "", TAKE_USER_NAME_UTF8, "takes a user name that is not UTF-8")
	BOTH("MQTT-4.7.1-1", "MQTT-4.7.0-1", "", TAKE_WILL_TOPIC_WILDCARD, "takes a will topic with wildcards")

	/* CONNACK */
	BOTH("MQTT-3.2.0-1", "MQTT-3.2.0-1", "", CONNACK_LATE, "sends what is queued for a resumed session before CONNACK")
	BOTH("MQTT-3.2.2-1", "MQTT-3.2.2-2", "", PRESENT_WHEN_CLEAN, "says Session Present to a clean start")
	BOTH("MQTT-3.2.2-2", "MQTT-3.2.2-3", "", PRESENT_NEVER, "never says Session Present")
	BOTH("MQTT-3.2.2-3", "MQTT-3.2.2-3", "new", PRESENT_WHEN_NEW, "says Session Present where nothing was stored")
	BOTH("MQTT-3.2.2-4", "MQTT-3.2.2-6", "", REFUSAL_PRESENT, "says Session Present in a refusal")
	BOTH("MQTT-3.2.2-5", "MQTT-3.2.2-7", "", REFUSAL_KEEPS_OPEN, "keeps the connection after refusing a CONNECT")
	V311("connack-flags", "", CONNACK_RESERVED_FLAG, "sets a reserved flag in CONNACK")
	V311("MQTT-3.2.2-6", "", CONNACK_CODE_UNLISTED, "refuses with a return code that is not listed")
	V5("MQTT-3.2.2-1", "", CONNACK_RESERVED_FLAG, "sets a reserved flag in CONNACK")
	V5("MQTT-3.2.2-8", "", CONNACK_CODE_UNLISTED, "refuses with a CONNACK code that is not listed")
	V5("MQTT-3.1.2-28", "", RESPONSE_INFO_UNASKED, "sends Response Information unasked")
	V5("response-information", "", RESPONSE_INFO_UNASKED, "sends Response Information unasked")
	V5("server-reference", "", REFERENCE_MISPLACED, "names another server in every refusal")
	BOTH("authentication-closes", "MQTT-3.1.4-2", "open", REFUSAL_KEEPS_OPEN, "keeps the connection after refusing a login")
	BOTH("authentication-closes", "MQTT-3.1.4-2", "accepted", ANY_LOGIN, "takes any user name with any password")
	BOTH("session-owner", "session-owner", "", SESSION_OF_ANYBODY, "lets another user take over a session")

	/* sessions */
	BOTH("MQTT-3.1.2-4", "MQTT-3.1.2-5", "", SUBSCRIPTIONS_LOST, "resumes a session without its subscriptions")
	BOTH("MQTT-3.1.2-5", "MQTT-4.5.0-1", "offline", OFFLINE_LOST, "stores nothing for sessions without a connection")
	BOTH("MQTT-3.1.2-6", "MQTT-3.1.2-4", "", CLEAN_START_IGNORED, "resumes the session although a clean start was asked for")
	BOTH("MQTT-3.1.4-3", "MQTT-3.1.4-4", "", CLEAN_START_IGNORED, "resumes the session although a clean start was asked for")
	V5("session-expiry-default", "", EXPIRY_NEVER_BY_DEFAULT, "takes an absent Session Expiry Interval for never")
	V5("session-expiry-disconnect", "", EXPIRY_RAISED, "lets DISCONNECT raise a Session Expiry Interval of 0")
	V5("assigned-client-identifier", "", ASSIGNED_ID_NOT_USED, "announces an assigned client id but uses another")
	BOTH("MQTT-4.1.0-1", "MQTT-3.1.2-23", "", SESSION_LOST, "forgets every session with its connection")
	V311("MQTT-3.1.2-7", "", RETAINED_LOST_WITH_SESSION, "drops a client's retained messages with its session")
	V5("MQTT-4.1.0-2", "", SESSION_NEVER_EXPIRES, "keeps sessions past their Session Expiry Interval")
	V5("MQTT-4.1.0-2", "disconnect", DISCONNECT_EXPIRY_IGNORED, "ignores the Session Expiry Interval of DISCONNECT")

	/* wills */
	BOTH("MQTT-3.1.2-8", "MQTT-3.1.2-8", "", WILL_NOT_SENT, "never publishes a will")
	BOTH("MQTT-3.1.2-8", "MQTT-3.1.2-8", "timeout", NO_WILL_ON_TIMEOUT, "publishes no will when the keep alive ends a connection")
	BOTH("MQTT-3.1.2-10", "MQTT-3.1.2-10", "", WILL_REPEATED, "publishes a will again when the next connection ends")
	V311("MQTT-3.1.2-8", "qos", WILL_QOS0, "publishes wills at QoS 0")
	V5("MQTT-3.1.2-12", "", WILL_QOS0, "publishes wills at QoS 0")
	BOTH("MQTT-3.1.2-16", "MQTT-3.1.2-14", "", WILL_RETAINED, "retains wills that are not to be retained")
	BOTH("MQTT-3.1.2-17", "MQTT-3.1.2-15", "", WILL_NOT_RETAINED, "does not retain wills that are to be retained")
	BOTH("MQTT-3.14.4-3", "MQTT-3.14.4-3", "", WILL_AFTER_DISCONNECT, "publishes the will although the client disconnected")
	V5("MQTT-3.1.2-7", "", WILL_NOT_SENT, "never publishes a will")
	V5("MQTT-3.2.2-12", "", TAKE_WILL_QOS_3, "serves a CONNECT whose will is above the Maximum QoS")
	V5("will-reason-codes", "", DISCONNECT_BY_ERROR_KEEPS_WILL, "discards the will at a DISCONNECT with a code other than 0")
	V5("MQTT-3.1.2-8", "early", WILL_DELAY_IGNORED, "publishes a will before its delay is over")
	V5("MQTT-3.1.2-8", "late", WILL_WAITS_FOR_DELAY_ONLY, "holds back a will when its session ends before its delay")
	V5("MQTT-3.1.2-8", "0x04", DISCONNECT_BY_ERROR_KEEPS_WILL, "discards the will at a DISCONNECT with a code other than 0")
	V5("MQTT-3.1.3-9", "", WILL_DESPITE_RETURN, "publishes a delayed will although the client came back")
	V5("MQTT-3.1.3-10", "", WILL_USER_PROPERTIES_REVERSED, "reverses the User Properties of wills")

	/* keep alive */
	BOTH("MQTT-3.1.2-24", "MQTT-3.1.2-22", "", KEEP_ALIVE_NOT_ENFORCED, "never closes a silent connection")
	BOTH("MQTT-3.1.2-24", "MQTT-3.1.2-22", "pings", KEEP_ALIVE_IGNORES_PINGS, "does not count PINGREQ as a sign of life")
	V5("MQTT-3.1.2-21", "", KEEP_ALIVE_OF_CLIENT, "announces a Server Keep Alive and keeps to the client's")
	V5("server-keep-alive", "", KEEP_ALIVE_OF_CLIENT, "announces a Server Keep Alive and keeps to the client's")
	V5("MQTT-3.2.2-21", "", KEEP_ALIVE_OF_CLIENT, "announces a Server Keep Alive and keeps to the client's")
	V5("MQTT-3.2.2-22", "", KEEP_ALIVE_ZERO_ENFORCED, "takes Keep Alive 0 for 5 seconds")

	/* fixed header, encoding */
	BOTH("MQTT-3.6.1-1", "MQTT-3.6.1-1", "sent", PUBREL_FLAGS_ZERO, "sends PUBREL with flags 0000")
	BOTH("MQTT-2.2.2-1", "MQTT-2.1.3-1", "PINGRESP", PINGRESP_FLAGGED, "sends PINGRESP with flags 0001")
	BOTH("MQTT-2.2.2-2", "MQTT-2.1.3-1", "accepted", TAKE_FLAGS, "takes packets with wrong reserved flags")
	BOTH("MQTT-1.5.3-1", "MQTT-1.5.4-1", "", TAKE_UTF8, "takes ill-formed UTF-8")
	BOTH("MQTT-1.5.3-2", "MQTT-1.5.4-2", "", TAKE_NUL, "takes U+0000 in strings")
	BOTH("MQTT-1.5.3-3", "MQTT-1.5.4-3", "", TOPIC_BOM_STRIPPED, "strips U+FEFF from the front of topics it delivers")
	V5("MQTT-1.5.5-1", "", LENGTH_OVERLONG, "sends PINGRESP with an overlong Remaining Length")
	V5("property-length", "SUBACK", PROPERTIES_LEFT_OUT, "leaves out the Property Length of an empty list in SUBACK")
	BOTH("remaining-length", "remaining-length", "", TAKE_FIVE_BYTES, "passes over a Remaining Length of more than four bytes")
	BOTH("direction", "direction", "", ERRORS_IGNORED, "passes over packets that only a server may send")
	BOTH("MQTT-4.8.0-1", "MQTT-4.13.1-1", "", ERRORS_IGNORED, "passes over packets that only a server may send")

	/* packet ids */
	BOTH("MQTT-2.3.1-1", "MQTT-2.2.1-4", "zero", PUBLISH_ID_ZERO, "delivers under packet id 0")
	V311("MQTT-2.3.1-1", "accepted", TAKE_ID_ZERO, "takes packet id 0")
	V5("MQTT-2.2.1-3", "", TAKE_ID_ZERO, "takes packet id 0")
	BOTH("MQTT-2.3.1-4", "MQTT-2.2.1-4", "", PUBLISH_ID_CONSTANT, "delivers everything under packet id 1")
	BOTH("MQTT-2.3.1-5", "MQTT-2.2.1-2", "", PUBLISH_ID_AT_QOS0, "writes a packet id into QoS 0 deliveries")
	BOTH("MQTT-2.3.1-6", "MQTT-2.2.1-5", "", ACK_ID_WRONG, "acknowledges PUBLISH under the next packet id")
	BOTH("MQTT-2.3.1-7", "MQTT-2.2.1-6", "", UNSUBACK_ID_WRONG, "answers UNSUBSCRIBE under the next packet id")

	/* PUBLISH */
	BOTH("MQTT-3.3.1-1", "MQTT-3.3.1-1", "", DUP_MISSING, "delivers again without DUP")
	BOTH("MQTT-3.3.1-2", "MQTT-3.3.1-2", "", DUP_AT_QOS0, "sets DUP in QoS 0 deliveries")
	BOTH("MQTT-4.3.1-1", "MQTT-4.3.1-1", "", DUP_AT_QOS0, "sets DUP in QoS 0 deliveries")
	V5("MQTT-4.3.2-2", "", DUP_COPIED, "copies the publisher's DUP into deliveries")
	V5("MQTT-4.3.3-2", "", DUP_COPIED, "copies the publisher's DUP into deliveries")
	BOTH("payload-size", "payload-size", "", PAYLOAD_CUT, "cuts payloads at 512 bytes")
	BOTH("MQTT-3.3.1-3", "MQTT-3.3.1-3", "", DUP_COPIED, "copies the publisher's DUP into deliveries")
	BOTH("MQTT-3.3.1-4", "MQTT-3.3.1-4", "", TAKE_QOS_3, "passes over PUBLISH with QoS 3")
	BOTH("MQTT-3.3.2-1", "MQTT-3.3.2-1", "", TAKE_TOPIC_UTF8, "takes a PUBLISH whose topic is not valid UTF-8")
	BOTH("MQTT-3.3.2-2", "MQTT-3.3.2-2", "", TAKE_TOPIC_WILDCARD, "forwards a PUBLISH whose topic has wildcards")
	BOTH("MQTT-3.3.2-3", "MQTT-3.3.2-3", "", TOPIC_ALTERED, "delivers under a topic that the filter does not match")
	BOTH("MQTT-3.3.4-1", "MQTT-3.3.4-1", "", PUBACK_FOR_QOS2, "answers QoS 2 with PUBACK")
	BOTH("MQTT-3.3.5-1", "MQTT-3.3.4-2", "", OVERLAP_LOWEST, "delivers at the lowest QoS of overlapping subscriptions")
	V5("MQTT-3.3.4-3", "", IDENTIFIERS_DROPPED, "leaves out Subscription Identifiers")
	V5("subscription-identifier-replaced", "", IDENTIFIER_KEPT, "keeps the Subscription Identifier of a repeated filter")
	V5("MQTT-3.3.4-4", "", OVERLAP_FIRST_IDENTIFIER, "sends one of several Subscription Identifiers")
	V5("MQTT-3.3.4-6", "", FOREIGN_IDENTIFIER_TAKEN, "takes a PUBLISH with a Subscription Identifier")

	/* retained messages */
	BOTH("MQTT-3.3.1-5", "MQTT-3.3.1-5", "", RETAIN_NOT_STORED, "stores no retained messages")
	BOTH("MQTT-3.3.1-5", "MQTT-3.3.1-5", "first", RETAIN_FIRST_KEPT, "keeps the first retained message of a topic")
	V311("MQTT-3.3.1-5", "qos", RETAINED_QOS0, "forgets the QoS of retained messages")
	BOTH("MQTT-3.3.1-6", "MQTT-3.3.1-9", "", RETAIN_NOT_SENT, "sends no retained messages to new subscriptions")
	BOTH("MQTT-3.3.1-8", "MQTT-3.3.1-9", "flag", RETAINED_FLAG_CLEARED, "sends retained messages with RETAIN 0")
	BOTH("MQTT-3.3.1-9", "MQTT-3.3.1-12", "", LIVE_RETAIN_KEPT, "forwards live messages with the publisher's RETAIN")
	BOTH("MQTT-3.3.1-10", "MQTT-3.3.1-6", "", EMPTY_RETAIN_KEEPS, "does not erase a retained message by an empty one")
	BOTH("MQTT-3.3.1-10", "MQTT-3.3.1-6", "forward", EMPTY_RETAIN_NOT_FORWARDED, "does not forward an empty retained message")
	BOTH("MQTT-3.3.1-11", "MQTT-3.3.1-7", "", EMPTY_RETAIN_STORED, "stores empty retained messages")
	BOTH("MQTT-3.3.1-12", "MQTT-3.3.1-8", "", LIVE_STORED, "retains messages that came with RETAIN 0")
	BOTH("MQTT-3.3.1-12", "MQTT-3.3.1-8", "clears", LIVE_CLEARS, "erases a retained message by one with RETAIN 0")
	V311("MQTT-3.3.1-7", "", QOS0_KEEPS_OLD, "keeps the old retained message when a QoS 0 one comes")
	V5("MQTT-3.3.1-10", "", RETAIN_ONCE_IGNORED, "treats Retain Handling 1 as 0")
	V5("MQTT-3.3.1-11", "", RETAIN_NEVER_IGNORED, "treats Retain Handling 2 as 0")
	V5("shared-no-retained", "", SHARED_RETAINED, "sends retained messages to new shared subscriptions")
	V5("MQTT-3.3.1-13", "", RETAIN_AS_PUBLISHED_IGNORED, "clears RETAIN despite Retain As Published")

	/* QoS flows with publishers */
	BOTH("MQTT-4.3.2-2", "MQTT-4.3.2-4", "", NO_PUBACK, "sends no PUBACK")
	BOTH("MQTT-4.3.2-2", "MQTT-4.3.2-5", "again", QOS1_ID_REMEMBERED, "takes a QoS 1 id used again for a repetition")
	BOTH("MQTT-4.3.3-2", "MQTT-4.3.3-10", "", QOS2_DELIVERED_TWICE, "delivers a repeated QoS 2 PUBLISH twice")
	BOTH("MQTT-4.3.3-2", "MQTT-4.3.3-8", "PUBREC", NO_PUBREC, "sends no PUBREC")
	BOTH("MQTT-4.3.3-2", "MQTT-4.3.3-11", "PUBCOMP", NO_PUBCOMP, "sends no PUBCOMP")
	BOTH("MQTT-4.3.3-2", "MQTT-4.3.3-12", "again", QOS2_ID_KEPT, "takes a QoS 2 id used again for a repetition")
	BOTH("MQTT-4.1.0-1", "MQTT-4.3.3-10", "resumed", QOS2_FORGOTTEN_ON_DROP, "forgets open QoS 2 ids when the connection ends")

	/* QoS flows with subscribers */
	BOTH("MQTT-4.3.3-1", "MQTT-4.3.3-4", "", NO_PUBREL, "answers no PUBREC")
	BOTH("MQTT-4.3.3-1", "MQTT-4.3.3-6", "again", RELEASED_PUBLISHED_AGAIN, "resends the PUBLISH although PUBREL was sent")
	BOTH("MQTT-4.4.0-1", "MQTT-4.4.0-1", "", NOTHING_RESENT, "resends nothing to a resumed session")
	BOTH("MQTT-4.4.0-1", "MQTT-4.4.0-1", "id", RESENT_UNDER_NEW_ID, "resends under new packet ids")
	BOTH("MQTT-4.4.0-1", "MQTT-4.3.3-5", "PUBREL", PUBREL_NOT_RESENT, "does not resend PUBREL")
	V5("MQTT-4.4.0-1", "live", RESENT_WHILE_CONNECTED, "resends unacknowledged messages at every PINGREQ")
	V5("MQTT-4.4.0-2", "", REFUSED_RESENT, "resends what was answered with 0x80 or more")
	V5("MQTT-4.3.3-7", "", STARTED_EXPIRES, "lets messages expire whose delivery has begun")
	BOTH("MQTT-4.5.0-1", "MQTT-4.5.0-1", "", LAST_SUBSCRIBER_ONLY, "delivers to one of several subscribers")
	BOTH("MQTT-4.6.0-6", "MQTT-4.6.0-5", "", ORDER_SWAPPED, "delivers queued messages last in, first out")
	BOTH("MQTT-4.6.0-6", "MQTT-4.6.0-5", "resent", RESENT_REVERSED, "resends in reverse order")

	/* SUBSCRIBE, SUBACK */
	BOTH("MQTT-3.8.1-1", "MQTT-3.8.1-1", "", TAKE_SUBSCRIBE_FLAGS, "takes SUBSCRIBE with wrong flags")
	BOTH("MQTT-3.8.3-3", "MQTT-3.8.3-2", "", TAKE_SUBSCRIBE_EMPTY, "passes over SUBSCRIBE without filters")
	BOTH("MQTT-3.8.3-4", "MQTT-3.8.3-5", "", TAKE_SUBSCRIBE_OPTIONS, "takes reserved bits in SUBSCRIBE's options")
	BOTH("MQTT-3.8.4-1", "MQTT-3.8.4-1", "", NO_SUBACK, "sends no SUBACK")
	BOTH("MQTT-3.8.4-2", "MQTT-3.8.4-2", "", SUBACK_ID_WRONG, "answers SUBSCRIBE under the next packet id")
	BOTH("MQTT-3.8.4-3", "MQTT-3.8.4-3", "", SUBSCRIPTION_ADDED, "adds a repeated filter as a second subscription")
	BOTH("MQTT-3.8.4-3", "MQTT-3.8.4-4", "retained", RETAIN_NOT_RESENT, "does not resend retained messages for a repeated filter")
	BOTH("MQTT-3.8.4-3", "MQTT-3.8.4-3", "kept", SUBSCRIPTION_NOT_REPLACED, "keeps the old options of a repeated filter")
	BOTH("MQTT-3.8.4-4", "MQTT-3.8.4-5", "", FIRST_FILTER_ONLY, "subscribes the first of several filters only")
	BOTH("MQTT-3.8.4-5", "MQTT-3.8.4-6", "", CODES_SHORT, "sends a code too few in SUBACK")
	BOTH("MQTT-3.8.4-6", "MQTT-3.8.4-8", "", QOS_OF_PUBLISHER, "delivers at the publisher's QoS whatever was granted")
	BOTH("MQTT-3.8.4-6", "MQTT-3.8.4-8", "raised", QOS_OF_SUBSCRIPTION, "delivers at the granted QoS whatever was published")
	BOTH("MQTT-3.8.4-6", "MQTT-3.8.4-8", "lowered", QOS0_ONLY, "delivers everything at QoS 0")
	V5("MQTT-3.8.4-7", "", SUBACK_GRANTS_MORE, "grants QoS 2 whatever was asked for")
	BOTH("MQTT-3.9.3-1", "MQTT-3.9.3-1", "", CODES_REVERSED, "sends the codes of SUBACK in reverse order")
	BOTH("MQTT-3.9.3-2", "MQTT-3.9.3-2", "", SUBACK_CODE_UNLISTED, "sends 0x42 in SUBACK")
	V5("MQTT-3.8.3-3", "", NO_LOCAL_IGNORED, "ignores No Local")
	V5("MQTT-3.8.3-4", "", TAKE_SHARED_NO_LOCAL, "takes No Local on a shared subscription")

	/* UNSUBSCRIBE, UNSUBACK, PINGREQ, DISCONNECT, AUTH */
	BOTH("MQTT-3.10.1-1", "MQTT-3.10.1-1", "", TAKE_UNSUBSCRIBE_FLAGS, "takes UNSUBSCRIBE with wrong flags")
	BOTH("MQTT-3.10.3-2", "MQTT-3.10.3-2", "", TAKE_UNSUBSCRIBE_EMPTY, "passes over UNSUBSCRIBE without filters")
	BOTH("MQTT-3.10.4-1", "MQTT-3.10.4-1", "", UNSUBSCRIBE_ALL, "deletes all subscriptions at any UNSUBSCRIBE")
	BOTH("MQTT-3.10.4-1", "MQTT-3.10.4-1", "match", UNSUBSCRIBE_BY_MATCH, "deletes subscriptions that the filter covers")
	BOTH("MQTT-3.10.4-2", "MQTT-3.10.4-2", "", UNSUBSCRIBE_IGNORED, "answers UNSUBSCRIBE without deleting")
	BOTH("MQTT-3.10.4-3", "MQTT-3.10.4-3", "", UNSUBSCRIBE_DROPS_STARTED, "drops deliveries under way at UNSUBSCRIBE")
	BOTH("MQTT-3.10.4-4", "MQTT-3.10.4-4", "", NO_UNSUBACK, "sends no UNSUBACK")
	BOTH("MQTT-3.10.4-5", "MQTT-3.10.4-5", "", NO_UNSUBACK_FOR_NOTHING, "sends no UNSUBACK when nothing was deleted")
	BOTH("MQTT-3.10.4-6", "MQTT-3.10.4-6", "", UNSUBSCRIBE_FIRST_ONLY, "deletes the first of several filters only")
	V5("MQTT-3.11.3-1", "", UNSUBACK_REVERSED, "sends the codes of UNSUBACK in reverse order")
	V5("MQTT-3.11.3-2", "", UNSUBACK_CODE_UNLISTED, "sends 0x42 in UNSUBACK")
	BOTH("MQTT-3.12.4-1", "MQTT-3.12.4-1", "", NO_PINGRESP, "sends no PINGRESP")
	BOTH("MQTT-3.6.1-1", "MQTT-3.6.1-1", "", TAKE_PUBREL_FLAGS, "takes PUBREL with wrong flags")
	BOTH("MQTT-3.14.1-1", "MQTT-3.14.1-1", "", TAKE_DISCONNECT_FLAGS, "takes DISCONNECT with wrong flags")
	V311("MQTT-3.14.4-2", "", SERVE_AFTER_DISCONNECT, "processes what follows DISCONNECT")
	BOTH("close-after-disconnect", "close-after-disconnect", "", OPEN_AFTER_DISCONNECT, "does not close after DISCONNECT")
	V5("MQTT-3.1.2-30", "", TAKEN_BEFORE_CONNACK, "passes over what an authenticating client may not send yet")
	V5("MQTT-4.12.0-2", "", AUTH_CODE_EARLY_SUCCESS, "challenges with AUTH 0x00")
	V5("MQTT-4.12.0-3", "", ANY_AUTH_CODE, "takes AUTH with any code for an answer to its challenge")
	V5("MQTT-4.12.0-4", "", ANY_PROOF, "takes any proof")
	V5("MQTT-4.12.0-4", "open", REFUSAL_KEEPS_OPEN, "keeps the connection after refusing an authentication")
	V5("MQTT-3.1.4-2", "proof", ANY_PROOF, "takes any proof")
	V5("MQTT-4.12.0-5", "", METHOD_LEFT_OUT, "leaves the Authentication Method out of CONNACK")
	V5("MQTT-4.12.0-5", "AUTH", METHOD_RENAMED, "names another Authentication Method in AUTH")
	V5("MQTT-4.12.0-5", "taken", METHOD_CHANGE_TAKEN, "takes AUTH with any Authentication Method")
	V5("MQTT-4.12.1-1", "", METHOD_CHANGE_TAKEN, "takes AUTH with any Authentication Method")
	V5("MQTT-4.12.1-1", "refused", NO_REAUTHENTICATION, "fails every re-authentication")
	V5("MQTT-4.12.1-1", "stray", STRAY_AUTH_IGNORED, "passes over AUTH that continues nothing")
	V5("MQTT-4.12.1-2", "", ANY_PROOF, "takes any proof")
	V5("MQTT-4.12.1-2", "open", DISCONNECT_KEEPS_OPEN, "keeps the connection after its own DISCONNECT")
	V5("scram", "", NONCE_OF_OTHERS, "challenges with a nonce that does not begin with the client's")
	V5("scram", "signature", SIGNATURE_WRONG, "proves itself by a wrong signature")
	V5("re-authentication-flow", "", REAUTHENTICATION_STOPS_FLOW, "passes over what a client publishes while it re-authenticates")
	V5("MQTT-3.15.2-1", "AUTH", AUTH_CODE_UNLISTED, "sends AUTH with code 0x01")
	V5("MQTT-3.15.2-1", "taken", ANY_AUTH_CODE, "takes AUTH with any code for an answer to its challenge")
	V5("MQTT-3.15.2-2", "", EXCESS_REASON + AUTH, "makes AUTH larger than the client takes by a Reason String")
	V5("MQTT-3.15.2-3", "", EXCESS_PAIR + AUTH, "makes AUTH larger than the client takes by a User Property")
	V5("MQTT-3.15.2-1", "", PLAIN_AUTH_IGNORED, "passes over AUTH from a client without a method")
	V5("auth-method-missing", "", PLAIN_AUTH_IGNORED, "passes over AUTH from a client without a method")
	V5("MQTT-3.15.1-1", "", TAKE_AUTH_FLAGS, "passes over AUTH with wrong flags")

	BOTH("MQTT-3.8.3-1", "MQTT-3.8.3-1", "", TAKE_FILTER_UTF8, "grants filters that are not UTF-8")
	BOTH("MQTT-3.10.3-1", "MQTT-3.10.3-1", "", TAKE_UNSUBSCRIBE_UTF8, "answers UNSUBSCRIBE for filters that are not UTF-8")
	BOTH("packet-type-forbidden", "packet-type-forbidden", "", TAKE_PACKET_TYPE, "passes over packets of type 0")
	BOTH("truncated", "truncated", "", TAKE_TRUNCATED, "takes packets that end within a field")
	BOTH("trailing-bytes", "trailing-bytes", "", TAKE_TRAILING, "takes packets that go on behind their last field")

	/* what 5 forbids without a number */
	V5("property-unknown", "", TAKE_PROPERTY_UNKNOWN, "passes over packets with unknown properties")
	V5("property-misplaced", "", TAKE_PROPERTY_MISPLACED, "takes properties in packets that may not carry them")
	V5("property-repeated", "", TAKE_PROPERTY_REPEATED, "takes properties that stand twice")
	V5("property-value", "", TAKE_PROPERTY_VALUE, "takes property values out of range")
	V5("subscribe-qos-3", "", TAKE_SUBSCRIBE_QOS_3, "answers a SUBSCRIBE that asks for QoS 3")
	V5("retain-handling-3", "", TAKE_RETAIN_HANDLING_3, "answers a SUBSCRIBE with Retain Handling 3")
	V5("reason-listed", "", TAKE_UNTABLED_ACK_CODE, "takes acknowledgements with codes that are not listed")
	V5("MQTT-1.5.5-1", "accepted", TAKE_OVERLONG, "takes overlong Variable Byte Integers")
	V5("MQTT-1.5.7-1", "", TAKE_PAIR_UTF8, "takes User Properties that are not UTF-8")
	V5("MQTT-3.3.2-13", "", TAKE_RESPONSE_TOPIC_UTF8, "takes a Response Topic that is not UTF-8")
	V5("MQTT-3.3.2-14", "", TAKE_RESPONSE_TOPIC_WILDCARD, "takes a Response Topic with wildcards")
	V5("MQTT-3.3.2-19", "", TAKE_CONTENT_TYPE_UTF8, "takes a Content Type that is not UTF-8")

	/* topics */
	BOTH("MQTT-4.7.1-2", "MQTT-4.7.1-1", "", TAKE_HASH, "grants filters with a misplaced #")
	BOTH("MQTT-4.7.1-2", "MQTT-4.7.1-1", "parent", PARENT_NOT_MATCHED, "does not match a/# with a")
	BOTH("MQTT-4.7.1-3", "MQTT-4.7.1-2", "", TAKE_PLUS, "grants filters with a misplaced +")
	BOTH("MQTT-4.7.1-3", "MQTT-4.7.1-2", "empty", EMPTY_LEVEL_NOT_MATCHED, "does not match + with an empty level")
	BOTH("filter-matching", "filter-matching", "", HASH_ONE_LEVEL, "matches # with one level only")
	BOTH("MQTT-4.7.2-1", "MQTT-4.7.2-1", "", DOLLAR_MATCHED, "matches a leading wildcard with topics that begin with $")
	BOTH("MQTT-4.7.3-1", "MQTT-4.7.3-1", "", TAKE_EMPTY_TOPIC, "takes empty topics and filters")
	BOTH("MQTT-4.7.3-2", "MQTT-4.7.3-2", "", TAKE_TOPIC_NUL, "takes U+0000 in topics")
	BOTH("MQTT-4.7.3-4", "MQTT-4.7.3-4", "", CASE_FOLDED, "puts another character for each capital before it matches")
	BOTH("MQTT-4.7.3-4", "MQTT-4.7.3-4", "slashes", SLASHES_FILLED, "puts a character into empty levels before it matches")

	/* reason codes and properties of what is sent in 5 */
	V5("MQTT-3.4.2-1", "", PUBACK_CODE_UNLISTED, "sends PUBACK with code 0x01")
	V5("MQTT-3.5.2-1", "", PUBREC_CODE_UNLISTED, "sends PUBREC with code 0x01")
	V5("MQTT-3.6.2-1", "", PUBREL_CODE_UNLISTED, "sends PUBREL with code 0x01")
	V5("MQTT-3.7.2-1", "", PUBCOMP_CODE_UNLISTED, "sends PUBCOMP with code 0x01")
	V5("MQTT-3.14.0-1", "", DISCONNECT_BEFORE_CONNACK, "sends DISCONNECT where CONNACK should refuse")
	V5("MQTT-3.14.2-1", "", DISCONNECT_CODE_CLIENTS, "sends DISCONNECT with code 0x04")
	V5("MQTT-3.14.2-2", "", DISCONNECT_WITH_EXPIRY, "sends a Session Expiry Interval in DISCONNECT")
	V5("MQTT-3.14.4-1", "", SENDS_AFTER_DISCONNECT, "sends PINGRESP after its own DISCONNECT")
	V5("MQTT-3.14.4-2", "", DISCONNECT_KEEPS_OPEN, "keeps the connection after its own DISCONNECT")
	V5("MQTT-3.1.2-29", "", REASON_STRING_UNASKED, "sends Reason String in acknowledgements despite Request Problem Information 0")
	V5("MQTT-3.3.2-4", "", FORMAT_DROPPED, "drops the Payload Format Indicator")
	V5("MQTT-3.3.2-15", "", RESPONSE_TOPIC_ALTERED, "alters the Response Topic")
	V5("MQTT-3.3.2-16", "", CORRELATION_ALTERED, "alters the Correlation Data")
	V5("MQTT-3.3.2-17", "", USER_PROPERTY_DROPPED, "drops the first User Property")
	V5("MQTT-3.3.2-18", "", USER_PROPERTIES_REVERSED, "reverses the User Properties")
	V5("MQTT-3.3.2-20", "", CONTENT_TYPE_ALTERED, "alters the Content Type")
	V5("MQTT-3.3.2-5", "", MESSAGE_NEVER_EXPIRES, "delivers messages that have expired")
	V5("MQTT-3.3.2-6", "", EXPIRY_NOT_DECREMENTED, "forwards the Message Expiry Interval as received")

	/* aliases, flow control, sizes */
	V5("MQTT-3.1.2-26", "", ALIAS_ABOVE_MAXIMUM, "uses a Topic Alias above the client's maximum")
	V5("MQTT-3.1.2-27", "", ALIAS_UNASKED, "uses Topic Alias 1 for a client that takes none")
	V5("MQTT-3.3.2-7", "", ALIASES_CARRIED_OVER, "keeps a session's Topic Aliases for its next connection")
	V5("MQTT-3.3.2-8", "", TAKE_ALIAS_ZERO, "passes over a PUBLISH with Topic Alias 0")
	V5("MQTT-3.3.2-8", "sent", ALIAS_ZERO_SENT, "sends Topic Alias 0")
	V5("MQTT-3.2.2-17", "", EXCESS_ALIAS_TAKEN, "takes Topic Aliases above its maximum")
	V5("MQTT-3.2.2-18", "", EXCESS_ALIAS_TAKEN, "takes Topic Aliases though it announced none")
	V5("topic-alias-unknown", "", TAKE_UNKNOWN_ALIAS, "takes a Topic Alias that was not mapped, with the empty topic")
	V5("MQTT-3.3.2-9", "", EXCESS_ALIAS_TAKEN, "takes Topic Aliases above its maximum")
	V5("MQTT-3.3.2-12", "", ALIAS_NOT_REMAPPED, "does not let a Topic Alias be mapped anew")
	V5("MQTT-3.3.4-7", "", QUOTA_NOT_ENFORCED, "does not enforce its Receive Maximum")
	V5("MQTT-3.3.4-9", "", WINDOW_IGNORED, "ignores the client's Receive Maximum")
	V5("MQTT-4.9.0-2", "", WINDOW_NOT_COUNTED_ON_RESUME, "does not count resent messages against the Receive Maximum")
	V5("MQTT-4.9.0-3", "", WINDOW_STOPS_ALL, "answers nothing while the client's Receive Maximum is used up")
	V5("MQTT-3.1.2-24", "", PACKET_SIZE_IGNORED, "ignores the client's Maximum Packet Size")
	V5("MQTT-3.1.2-25", "", TOO_LARGE_BLOCKS, "lets a message that is too large hold a place in the window")
	V5("MQTT-3.2.2-15", "", SIZE_NOT_ENFORCED, "takes packets above its own Maximum Packet Size")

	/* shared subscriptions */
	V5("MQTT-4.8.2-1", "", TAKE_SHARE_NAME, "grants $share filters without a proper share name")
	V5("MQTT-4.8.2-2", "", TAKE_SHARE_FORM, "grants $share filters without a filter or with a wildcard in the name")
	V5("MQTT-4.8.2-3", "", SHARED_QOS_OF_FIRST, "delivers shared messages at the QoS of the group's first member")
	V5("shared-one-member", "", SHARED_TO_ALL, "delivers to every member of a shared subscription")
	V5("shared-leave", "", UNSUBSCRIBE_IGNORED, "answers UNSUBSCRIBE without deleting")
	V5("shared-reassign", "", SHARED_NOT_PASSED_ON, "loses what a member left unacknowledged with its session")
	V5("subscription-identifier-shared", "", SHARED_IDENTIFIER_OF_FIRST, "sends the Subscription Identifier of the group's first member")
	V5("MQTT-4.8.2-4", "", NOTHING_RESENT, "resends nothing to a resumed session")
	V5("MQTT-4.8.2-5", "", SHARED_BEGUN_PASSED_ON, "gives a QoS 2 message that was begun to another member when the session ends")
	V5("MQTT-4.8.2-6", "", SHARED_REFUSED_PASSED_ON, "gives what one member refused to another")

	/* what is switched off; explanations beyond the client's size */
	V5("MQTT-3.2.2-9", "", QOS_2_REFUSED, "refuses QoS 2 without having announced it")
	V5("MQTT-3.2.2-10", "", SUBSCRIBE_QOS_REFUSED, "refuses filters that ask for more than the Maximum QoS")
	V5("MQTT-3.2.2-11", "", QOS_EXCESS_TAKEN, "takes messages above its Maximum QoS")
	V5("MQTT-3.2.2-13", "", WILL_RETAIN_TAKEN, "takes wills that are to be retained though it retains nothing")
	V5("MQTT-3.2.2-14", "", RETAIN_EXCESS_TAKEN, "takes messages that are to be retained though it retains nothing")
	V5("feature-refused", "", FEATURES_TAKEN, "grants subscriptions of a kind that it announced as not available")
	V311("MQTT-3.8.3-2", "", WILDCARDS_IN_VAIN, "grants filters with wildcards and matches none")
	V5("maximum-packet-size", "", SIZE_NOT_ENFORCED, "takes packets above its own Maximum Packet Size")
	V5("MQTT-3.2.2-19", "", EXCESS_REASON + CONNACK, "makes CONNACK larger than the client takes by a Reason String")
	V5("MQTT-3.2.2-20", "", EXCESS_PAIR + CONNACK, "makes CONNACK larger than the client takes by a User Property")
	V5("MQTT-3.4.2-2", "", EXCESS_REASON + PUBACK, "makes PUBACK larger than the client takes by a Reason String")
	V5("MQTT-3.4.2-3", "", EXCESS_PAIR + PUBACK, "makes PUBACK larger than the client takes by a User Property")
	V5("MQTT-3.5.2-2", "", EXCESS_REASON + PUBREC, "makes PUBREC larger than the client takes by a Reason String")
	V5("MQTT-3.5.2-3", "", EXCESS_PAIR + PUBREC, "makes PUBREC larger than the client takes by a User Property")
	V5("MQTT-3.6.2-2", "", EXCESS_REASON + PUBREL, "makes PUBREL larger than the client takes by a Reason String")
	V5("MQTT-3.6.2-3", "", EXCESS_PAIR + PUBREL, "makes PUBREL larger than the client takes by a User Property")
	V5("MQTT-3.7.2-2", "", EXCESS_REASON + PUBCOMP, "makes PUBCOMP larger than the client takes by a Reason String")
	V5("MQTT-3.7.2-3", "", EXCESS_PAIR + PUBCOMP, "makes PUBCOMP larger than the client takes by a User Property")
	V5("MQTT-3.9.2-1", "", EXCESS_REASON + SUBACK, "makes SUBACK larger than the client takes by a Reason String")
	V5("MQTT-3.9.2-2", "", EXCESS_PAIR + SUBACK, "makes SUBACK larger than the client takes by a User Property")
	V5("MQTT-3.11.2-1", "", EXCESS_REASON + UNSUBACK, "makes UNSUBACK larger than the client takes by a Reason String")
	V5("MQTT-3.11.2-2", "", EXCESS_PAIR + UNSUBACK, "makes UNSUBACK larger than the client takes by a User Property")
	V5("MQTT-3.14.2-3", "", EXCESS_REASON + DISCONNECT, "makes DISCONNECT larger than the client takes by a Reason String")
	V5("MQTT-3.14.2-4", "", EXCESS_PAIR + DISCONNECT, "makes DISCONNECT larger than the client takes by a User Property")

	/* beside their neighbours: clauses that say again, or more narrowly, what one above says */
	V5("MQTT-2.2.2-1", "", PROPERTIES_LEFT_OUT, "leaves out the Property Length of an empty list in SUBACK")
	V5("MQTT-3.1.2-6", "", SESSION_LOST, "creates no session that outlives its connection")
	V311("MQTT-3.1.2-11", "", WELCOME_BAD_CONNECT, "answers a malformed CONNECT with CONNACK 0 and stays")
	V311("MQTT-3.1.2-12", "", WILL_REPEATED, "publishes a will again when the next connection ends")
	BOTH("MQTT-3.1.2-18", "MQTT-3.1.2-16", "", WELCOME_BAD_CONNECT, "answers a malformed CONNECT with CONNACK 0 and stays")
	BOTH("MQTT-3.1.2-20", "MQTT-3.1.2-18", "", WELCOME_BAD_CONNECT, "answers a malformed CONNECT with CONNACK 0 and stays")
	BOTH("MQTT-3.1.3-1", "MQTT-3.1.3-1", "", WILL_NOT_SENT, "finds no will in a CONNECT that has all fields")
	V311("MQTT-3.1.3-7", "", TAKE_EMPTY_ID, "serves an empty client id with CleanSession 0")
	BOTH("MQTT-3.1.3-9", "MQTT-3.1.3-8", "", REFUSE_ODD_ID_OPEN, "refuses client ids outside the guaranteed set and keeps the connection")
	V5("MQTT-3.3.2-11", "", ALIAS_ABOVE_MAXIMUM, "uses a Topic Alias above the client's maximum")
	V5("MQTT-3.3.4-5", "", COPIES_SHARE_IDENTIFIER, "sends a copy for each overlapping subscription, all with the same identifier")
	V5("MQTT-3.3.4-10", "", WINDOW_STOPS_ALL, "answers nothing while the client's Receive Maximum is used up")
	BOTH("MQTT-4.1.0-2", "MQTT-4.1.0-1", "open", SESSION_FORGOTTEN_OPEN, "forgets the session when nothing comes for a second")
	BOTH("MQTT-7.1.1-1", "MQTT-4.2.0-1", "", PIECES_LOST, "loses packets that come in more than one piece")
	BOTH("split-packets", "split-packets", "", PIECES_LOST, "loses packets that come in more than one piece")
	BOTH("MQTT-4.3.2-1", "MQTT-4.3.2-1", "", PUBLISH_ID_CONSTANT, "delivers everything under packet id 1")
	V5("MQTT-4.3.2-3", "", NOTHING_RESENT, "resends nothing to a resumed session")
	V5("MQTT-4.3.3-1", "", PUBLISH_ID_CONSTANT, "delivers everything under packet id 1")
	V5("MQTT-4.3.3-3", "", NOTHING_RESENT, "resends nothing to a resumed session")
	V5("MQTT-4.3.3-9", "", REFUSED_ID_KEPT, "takes a QoS 2 id that it refused for a repetition")
	V5("MQTT-4.3.3-13", "", NO_PUBCOMP, "sends no PUBCOMP")
	BOTH("MQTT-4.6.0-5", "MQTT-4.6.0-6", "", LIVE_ORDER_SWAPPED, "delivers two messages in reverse order")
	BOTH("MQTT-4.6.0-6", "MQTT-4.6.0-5", "live", LIVE_ORDER_SWAPPED, "delivers two messages in reverse order")
	V5("MQTT-4.9.0-1", "", WINDOW_ONE_LESS, "takes a Receive Maximum of 1 for 0")
	V5("receive-maximum-reset", "", QUOTA_CARRIED_OVER, "counts what was open on the last connection twice on the next")
	V5("MQTT-4.13.2-1", "", OPEN_AFTER_DISCONNECT, "does not close after DISCONNECT")
	V5("topic-alias-use", "", ALIAS_NOT_REMAPPED, "does not let a Topic Alias be mapped anew")
	V5("no-local-session", "", NO_LOCAL_IGNORED, "ignores No Local")
	V5("server-reference", "accepted", REFERENCE_UNASKED, "sends a Server Reference where it accepts")
	V5("will-properties", "", CONTENT_TYPE_ALTERED, "alters the Content Type")
	V5("will-properties", "expiry", WILL_EXPIRY_DROPPED, "publishes wills without their Message Expiry Interval")
	V5("message-expiry-default", "", EXPIRY_INVENTED, "gives messages an expiry that their publisher did not")
	BOTH("will-prompt", "will-prompt", "", WILL_LATE, "publishes every will ten seconds late")
	BOTH("mixed-versions", "mixed-versions", "", VERSIONS_APART, "delivers nothing to clients of another version")
	V5("short-acks", "", SHORT_ACKS_IGNORED, "passes over acknowledgements that end behind their packet id")
	BOTH("other-clients", "other-clients", "", ERROR_ENDS_OTHERS, "ends the connections of clients with a like id when one breaks a rule")
	BOTH("no-connect", "no-connect", "", CONNECT_AWAITED, "waits for CONNECT for ever")
	V311("MQTT-7.0.0-2", "", NO_PUBACK, "sends PUBACK to nobody who does not ask by an extension of its own")

	/* authorisation */
	V311("MQTT-3.3.5-2", "", DENIED_UNANSWERED, "neither acknowledges what a client may not publish nor closes")
	V5("MQTT-4.3.2-4", "denied", DENIED_UNANSWERED, "does not answer a QoS 1 PUBLISH that is denied")
	V5("MQTT-4.3.3-8", "denied", DENIED_UNANSWERED, "does not answer a QoS 2 PUBLISH that is denied")
	BOTH("denied-publish", "denied-publish", "", DENIED_DELIVERED, "delivers what its sender may not publish")
	BOTH("denied-publish", "denied-publish", "retained", DENIED_RETAINED, "retains what its sender may not publish")
	BOTH("denied-will", "denied-will", "", DENIED_WILL_SENT, "takes and publishes a will that its client may not publish")
	BOTH("denied-subscribe", "denied-subscribe", "", DENIED_GRANTED, "grants any filter")
	BOTH("denied-subscribe", "denied-subscribe", "wide", DENIED_BY_NAME_ONLY, "grants any filter with wildcards")
	BOTH("denied-subscribe", "denied-subscribe", "kept", DENIED_SUBSCRIBED, "refuses a filter and sends what fits it")
	BOTH("denied-subscribe", "denied-subscribe", "retained", DENIED_RETAINED_SENT, "refuses a filter and sends what is retained there")
	V5("denied-subscribe", "shared", DENIED_SHARED_GRANTED, "grants any shared subscription")

	/* 3.1 */
	V31("protocol-name", "", ANY_LEVEL_3_1, "serves MQIsdp with any version")
	V31("client-id-length", "", ANY_ID_3_1, "serves client ids of any length")
	V31("connack-reserved", "", PRESENT_IN_3_1, "says Session Present in the reserved byte")
	V31("suback-codes", "", FAILURE_CODE_IN_3_1, "answers a filter with 0x80")
	V31("dup-flags", "", DUP_PASSED_OVER_3_1, "passes over SUBSCRIBE, UNSUBSCRIBE and PUBREL that carry DUP")

	/* WebSocket */
	BOTH("MQTT-6.0.0-1", "MQTT-6.0.0-1", "", TAKE_TEXT_FRAMES, "takes WebSocket text frames for binary ones")
	BOTH("MQTT-6.0.0-1", "MQTT-6.0.0-1", "sent", SEND_TEXT_FRAMES, "sends WebSocket text frames")
	BOTH("MQTT-6.0.0-2", "MQTT-6.0.0-2", "", ALIGN_FRAMES, "takes each WebSocket frame for one packet")
	BOTH("MQTT-6.0.0-4", "MQTT-6.0.0-4", "", SELECT_OTHER_PROTOCOL, "selects another subprotocol than mqtt")
	BOTH("MQTT-6.0.0-4", "MQTT-6.0.0-4", "none", SELECT_NO_PROTOCOL, "selects no subprotocol")
};

const size_t n_fault_rows = sizeof(fault_rows) / sizeof(*fault_rows);

static_assert(sizeof(fault_rows) / sizeof(*fault_rows) <= FAULT_WORDS * 64, "faults_named() has a bit for every row");

/* What stands behind the version in a row's rule: "MQTT-3.3.1-2". */
static struct span bare_rule(const char *rule)
{
	const char *colon = strchr(rule, ':');

	return span_text(colon ? colon + 1 : rule);
}

int faults_named(struct span text, uint64_t broken[FAULT_WORDS])
{
	const uint8_t *slash = text.len ? memchr(text.at, '/', text.len) : NULL;
	bool with_version = text.len && memchr(text.at, ':', text.len);
	struct span rule = { text.at, slash ? (size_t)(slash - text.at) : text.len };
	struct span name = slash ? span_of(slash + 1, text.len - rule.len - 1) : (struct span){ 0 };
	const char *version = NULL;
	int n = 0;

	for (int pass = 0; pass < 2; pass++) {		/* look whether it is one version's, then set */
		for (size_t i = 0; i < n_fault_rows; i++) {
			const struct fault_row *row = &fault_rows[i];

			if (!(with_version ? span_is(rule, row->rule) : span_equal(rule, bare_rule(row->rule))))
				continue;
			if (slash && !span_is(name, row->name))
				continue;
			if (version && version[0] != row->rule[0])
				return -1;
			version = row->rule;
			if (pass) {
				broken[i / 64] |= UINT64_C(1) << i % 64;
				n++;
			}
		}
	}
	return n;
}

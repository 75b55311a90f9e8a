#include "reference-broker/internal.h"

/*
 * The reason code of 5 that answers a packet which breaks a rule: the standard's own where it
 * names one. What has no row is a Malformed Packet.
 */
static const uint8_t reasons[N_RULES] = {
	[RULE_DIRECTION] = 0x82,
	[RULE_PROTOCOL_NAME] = 0x84,
	[RULE_PROTOCOL_VERSION] = 0x84,
	[RULE_TOPIC_WILDCARD] = 0x90,
	[RULE_TOPIC_EMPTY] = 0x82,
	[RULE_WILL_TOPIC_WILDCARD] = 0x90,
	[RULE_PACKET_ID_ZERO] = 0x82,
	[RULE_ALIAS_ZERO] = 0x94,
	[RULE_RESPONSE_TOPIC_WILDCARD] = 0x82,
	[RULE_CLIENT_SUBSCRIPTION_ID] = 0x82,
	[RULE_PUBACK_CODE] = 0x82,
	[RULE_PUBREC_CODE] = 0x82,
	[RULE_PUBREL_CODE] = 0x82,
	[RULE_PUBCOMP_CODE] = 0x82,
	[RULE_DISCONNECT_CODE] = 0x82,
	[RULE_AUTH_CODE] = 0x82,
	[RULE_SUBSCRIBE_EMPTY] = 0x82,
	[RULE_UNSUBSCRIBE_EMPTY] = 0x82,
	[RULE_FILTER_HASH] = 0x8f,
	[RULE_FILTER_PLUS] = 0x8f,
	[RULE_SHARE_NAME] = 0x8f,
	[RULE_SHARE_FORM] = 0x8f,
	[RULE_SHARED_NO_LOCAL] = 0x82,
	[RULE_SUBSCRIBE_QOS_3] = 0x82,
	[RULE_RETAIN_HANDLING_3] = 0x82,
	[RULE_PROPERTY_REPEATED] = 0x82,
	[RULE_PROPERTY_VALUE] = 0x82,
	[RULE_DATA_WITHOUT_METHOD] = 0x82,
	[RULE_AUTH_WITHOUT_METHOD] = 0x82,
};

unsigned reason_for(const struct finding *finding)
{
	return reasons[finding->rule] ? reasons[finding->rule] : 0x81;
}

/* talk HOST PORT: what Eclipse Paho's C client says for the captures here: MQTT 5, a will, QoS 0 to 2, a subscription of its own. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <MQTTClient.h>

static void must(int rc, const char *what)
{
	if (rc < 0 || rc >= 0x80) {
		fprintf(stderr, "%s: %d\n", what, rc);
		exit(1);
	}
}

int main(int argc, char **argv)
{
	char url[128];
	MQTTClient client;
	MQTTClient_createOptions create = MQTTClient_createOptions_initializer;
	MQTTClient_connectOptions connect = MQTTClient_connectOptions_initializer5;
	MQTTClient_willOptions will = MQTTClient_willOptions_initializer;
	MQTTProperties none = MQTTProperties_initializer, with = MQTTProperties_initializer;
	MQTTProperty expiry = { .identifier = MQTTPROPERTY_CODE_MESSAGE_EXPIRY_INTERVAL, .value.integer4 = 30 };

	if (argc != 3)
		return 2;
	create.MQTTVersion = MQTTVERSION_5;
	snprintf(url, sizeof(url), "tcp://%s:%s", argv[1], argv[2]);
	must(MQTTClient_createWithOptions(&client, url, "paho-c", MQTTCLIENT_PERSISTENCE_NONE, NULL, &create), "create");
	will.topicName = "gone/paho-c";
	will.message = "over";
	will.qos = 2;
	connect.will = &will;
	connect.cleanstart = 1;
	connect.keepAliveInterval = 17;
	must(MQTTClient_connect5(client, &connect, &none, &none).reasonCode, "connect");
	must(MQTTClient_subscribe5(client, "paho/c/#", 2, NULL, NULL).reasonCode, "subscribe");
	MQTTProperties_add(&with, &expiry);
	for (int qos = 0; qos < 3; qos++) {
		MQTTClient_message message = MQTTClient_message_initializer, *got = NULL;
		MQTTClient_deliveryToken token;
		char *topic = NULL;
		int len;

		message.payload = "from C";
		message.payloadlen = 6;
		message.qos = qos;
		message.properties = with;
		must(MQTTClient_publishMessage5(client, "paho/c/hello", &message, &token).reasonCode, "publish");
		must(MQTTClient_receive(client, &topic, &len, &got, 5000), "receive");
		if (!got)
			return 1;
		MQTTClient_freeMessage(&got);
		MQTTClient_free(topic);
	}
	must(MQTTClient_unsubscribe5(client, "paho/c/#", NULL).reasonCode, "unsubscribe");
	must(MQTTClient_disconnect5(client, 1000, MQTTREASONCODE_SUCCESS, NULL), "disconnect");
	MQTTClient_destroy(&client);
	return 0;
}

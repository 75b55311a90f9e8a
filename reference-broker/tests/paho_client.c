/*
 * A client made of Paho C's synchronous API, for interop.sh: somebody else's idea of MQTT, against our broker.
 *
 *   paho_client PORT VERSION pub TOPIC QOS RETAIN      the payload is all of stdin
 *   paho_client PORT VERSION sub FILTER QOS N [ID]     with ID the session is kept; N = 0: subscribes and goes
 *   paho_client PORT VERSION will TOPIC QOS PAYLOAD    stays connected until it is killed
 *
 * VERSION is 3.1, 3.1.1 or 5. Prints `connected SESSION_PRESENT`, `subscribed GRANTED_QOS`, and for each arrival
 * `message QOS RETAIN TOPIC LENGTH PAYLOAD`, a line each. paho_client.py is the same in Python.
 */
#include <MQTTClient.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { DEADLINE_MS = 10000, ROOM = 1 << 20 };

static void need(int rc, const char *what)
{
	if (rc == MQTTCLIENT_SUCCESS)
		return;
	fprintf(stderr, "paho_client: %s: %d (%s)\n", what, rc, MQTTClient_strerror(rc) ? MQTTClient_strerror(rc) : "?");
	exit(1);
}

static int version_of(const char *name)
{
	return !strcmp(name, "5") ? MQTTVERSION_5 : !strcmp(name, "3.1") ? MQTTVERSION_3_1 : MQTTVERSION_3_1_1;
}

static MQTTClient make_client(const char *port, int version, const char *id)
{
	MQTTClient_createOptions options = MQTTClient_createOptions_initializer;
	MQTTClient client;
	char url[64];

	options.MQTTVersion = version;
	snprintf(url, sizeof(url), "tcp://127.0.0.1:%s", port);
	need(MQTTClient_createWithOptions(&client, url, id, MQTTCLIENT_PERSISTENCE_NONE, NULL, &options), "create");
	return client;
}

static void connect_it(MQTTClient client, int version, int keep, MQTTClient_willOptions *will)
{
	MQTTClient_connectOptions v3 = MQTTClient_connectOptions_initializer;
	MQTTClient_connectOptions v5 = MQTTClient_connectOptions_initializer5;
	MQTTClient_connectOptions *options = version == MQTTVERSION_5 ? &v5 : &v3;

	options->MQTTVersion = version;
	options->keepAliveInterval = 60;
	options->connectTimeout = DEADLINE_MS / 1000;
	options->will = will;
	if (version == MQTTVERSION_5) {
		MQTTProperties properties = MQTTProperties_initializer;
		MQTTProperty expiry = { .identifier = MQTTPROPERTY_CODE_SESSION_EXPIRY_INTERVAL, .value.integer4 = 300 };

		options->cleansession = 0;
		options->cleanstart = !keep;
		if (keep)
			MQTTProperties_add(&properties, &expiry);
		MQTTResponse response = MQTTClient_connect5(client, options, &properties, NULL);
		need(response.reasonCode, "connect");
		printf("connected %d\n", v5.returned.sessionPresent);
		MQTTResponse_free(response);
		MQTTProperties_free(&properties);
	} else {
		options->cleansession = !keep;
		need(MQTTClient_connect(client, options), "connect");
		printf("connected %d\n", options->returned.sessionPresent);
	}
}

static void publish(MQTTClient client, int version, const char *topic, int qos, int retain)
{
	static char payload[ROOM];
	MQTTClient_message message = MQTTClient_message_initializer;
	MQTTClient_deliveryToken token;

	message.payload = payload;
	message.payloadlen = (int)fread(payload, 1, sizeof(payload), stdin);
	message.qos = qos;
	message.retained = retain;
	if (version == MQTTVERSION_5) {
		MQTTResponse response = MQTTClient_publishMessage5(client, topic, &message, &token);

		need(response.reasonCode, "publish");
		MQTTResponse_free(response);
	} else {
		need(MQTTClient_publishMessage(client, topic, &message, &token), "publish");
	}
	need(MQTTClient_waitForCompletion(client, token, DEADLINE_MS), "wait for the acknowledgement");
}

static void subscribe(MQTTClient client, int version, const char *filter, int qos)
{
	int granted;

	if (version == MQTTVERSION_5) {
		MQTTResponse response = MQTTClient_subscribe5(client, filter, qos, NULL, NULL);

		granted = (int)response.reasonCode;
		MQTTResponse_free(response);
	} else {
		granted = MQTTClient_subscribe(client, filter, qos);
		granted = granted == MQTTCLIENT_SUCCESS ? qos : granted;
	}
	if (granted < 0 || granted > 2)
		need(granted, "subscribe");
	printf("subscribed %d\n", granted);
}

static void receive(MQTTClient client)
{
	MQTTClient_message *message = NULL;
	char *topic = NULL;
	int len;
	int rc = MQTTClient_receive(client, &topic, &len, &message, DEADLINE_MS);

	need(rc == MQTTCLIENT_TOPICNAME_TRUNCATED ? 0 : rc, "receive");
	if (!message) {
		fprintf(stderr, "paho_client: nothing came within %d ms\n", DEADLINE_MS);
		exit(1);
	}
	printf("message %d %d %s %d ", message->qos, message->retained, topic, message->payloadlen);
	fwrite(message->payload, 1, (size_t)message->payloadlen, stdout);
	putchar('\n');
	MQTTClient_freeMessage(&message);
	MQTTClient_free(topic);
}

int main(int argc, char **argv)
{
	if (argc < 7)
		return 2;
	int version = version_of(argv[2]);
	const char *verb = argv[3], *topic = argv[4];
	int qos = atoi(argv[5]);
	char id[24];

	setvbuf(stdout, NULL, _IOLBF, 0);
	snprintf(id, sizeof(id), "pahoC%ld", (long)getpid());
	MQTTClient client = make_client(argv[1], version, argc > 7 ? argv[7] : id);
	if (!strcmp(verb, "will")) {
		MQTTClient_willOptions will = MQTTClient_willOptions_initializer;

		will.topicName = topic;
		will.message = argv[6];
		will.qos = qos;
		connect_it(client, version, 0, &will);
		for (;;)
			pause();
	}
	connect_it(client, version, argc > 7, NULL);
	if (!strcmp(verb, "pub")) {
		publish(client, version, topic, qos, atoi(argv[6]));
	} else {
		subscribe(client, version, topic, qos);
		for (int n = atoi(argv[6]); n > 0; n--)
			receive(client);
	}
	need(MQTTClient_disconnect(client, DEADLINE_MS), "disconnect");
	MQTTClient_destroy(&client);
	return 0;
}

"""The client of paho_client.c in Paho Python; same command line, same output."""
import os
import queue
import sys

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

DEADLINE = 10
VERSIONS = {"3.1": mqtt.MQTTv31, "3.1.1": mqtt.MQTTv311, "5": mqtt.MQTTv5}


def main(port, version, verb, topic, qos, last, client_id=None):
    v5, qos, events = version == "5", int(qos), queue.Queue()
    kept = {} if v5 else {"clean_session": client_id is None}
    client = mqtt.Client(client_id or "pahoPy%d" % os.getpid(), protocol=VERSIONS[version], **kept)

    def await_(kind):
        while True:
            event = events.get(timeout=DEADLINE)
            if event[0] == kind:
                return event[1:]
            if event[0] == "disconnected":
                sys.exit("paho_client.py: disconnected, waiting for %s: %s" % (kind, event[1]))

    client.on_connect = lambda c, u, flags, rc, properties=None: events.put(("connected", flags["session present"], rc))
    client.on_subscribe = lambda c, u, mid, granted, properties=None: events.put(("subscribed", granted[0]))
    client.on_message = lambda c, u, m: events.put(("message", m))
    client.on_disconnect = lambda c, u, rc, properties=None: events.put(("disconnected", rc))
    if verb == "will":
        client.will_set(topic, last, qos)
    start = {}
    if v5:
        start = {"clean_start": client_id is None, "properties": Properties(PacketTypes.CONNECT)}
        if client_id:
            start["properties"].SessionExpiryInterval = 300
    client.connect("127.0.0.1", int(port), 60, **start)
    client.loop_start()
    present, rc = await_("connected")
    if rc != 0:
        sys.exit("paho_client.py: connect: %s" % rc)
    print("connected %d" % present, flush=True)
    if verb == "will":
        client._thread.join()
    elif verb == "pub":
        sent = client.publish(topic, sys.stdin.buffer.read(), qos, last == "1")
        sent.wait_for_publish(DEADLINE)
        if not sent.is_published():
            sys.exit("paho_client.py: publish: not acknowledged")
    else:
        client.subscribe(topic, qos)
        arrived = []
        while True:        # a resumed session's messages may come before SUBACK
            event = events.get(timeout=DEADLINE)
            if event[0] == "message":
                arrived.append(event[1])
            elif event[0] == "subscribed":
                print("subscribed %d" % (event[1].value if v5 else event[1]), flush=True)
                break
        for i in range(int(last)):
            m = arrived.pop(0) if arrived else await_("message")[0]
            sys.stdout.buffer.write(b"message %d %d %s %d %s\n" % (m.qos, m.retain, m.topic.encode(), len(m.payload), m.payload))
            sys.stdout.buffer.flush()
    client.on_disconnect = None
    client.disconnect()
    client._thread.join()


main(*sys.argv[1:])

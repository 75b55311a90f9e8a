"""A third program that counts: subscribes with Paho, and tells how many messages came, and how many of them twice.

count_paho.py tcp|tls|ws|wss HOST PORT QOS FILTER END: prints "ready" when subscribed, and both counts when a message comes on topic END,
which is not counted.
"""
import sys
import threading

import paho.mqtt.client as mqtt

transport, host, port, qos, topic, end = sys.argv[1:]
ready, over = threading.Event(), threading.Event()
seen, count, again = set(), 0, 0


def on_message(_client, _userdata, message):
    global count, again
    if message.topic == end:
        over.set()
        return
    key = (message.topic, bytes(message.payload))
    count += 1
    again += key in seen
    seen.add(key)


client = mqtt.Client(transport="websockets" if transport in ("ws", "wss") else "tcp")
client.on_connect = lambda c, *_: c.subscribe(topic, int(qos))
client.on_subscribe = lambda *_: ready.set()
client.on_message = on_message
if transport in ("tls", "wss"):
    client.tls_set(cert_reqs=0)
    client.tls_insecure_set(True)
client.connect(host, int(port))
client.loop_start()
if not ready.wait(20):
    sys.exit("count_paho: no SUBACK within 20 s")
print("ready", flush=True)
if not over.wait(60):
    sys.exit(f"count_paho: {count} messages, and the last did not come within 60 s")
print(count, again, flush=True)

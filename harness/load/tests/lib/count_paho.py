"""A third program that counts: subscribes with Paho, and tells how many messages came, by QoS, and how many of them twice.

count_paho.py tcp|tls|ws|wss HOST PORT QOS FILTER: prints "ready" when subscribed, and the counts when its input ends.
"""
import sys
import threading

import paho.mqtt.client as mqtt

transport, host, port, qos, topic = sys.argv[1:]
ready = threading.Event()
seen, count, again = set(), 0, 0


def on_message(_client, _userdata, message):
    global count, again
    key = (message.topic, bytes(message.payload))
    count += 1
    again += key in seen
    seen.add(key)


client = mqtt.Client(transport="websockets" if transport in ("ws", "wss") else "tcp")
client.on_connect = lambda c, *_: c.subscribe(topic, int(qos))
client.on_subscribe = lambda *_: ready.set()
client.on_message = on_message
client.max_inflight_messages_set(1000)
if transport in ("tls", "wss"):
    client.tls_set(cert_reqs=0)
    client.tls_insecure_set(True)
client.connect(host, int(port))
client.loop_start()
if not ready.wait(20):
    sys.exit("count_paho: no SUBACK within 20 s")
print("ready", flush=True)
sys.stdin.read()
print(count, again, flush=True)

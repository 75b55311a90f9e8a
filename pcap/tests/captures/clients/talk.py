"""talk.py WHAT PORT [CA]: what Eclipse Paho's Python client (1.6.1) says for the captures here."""
import sys
import threading

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties


def client(name, protocol, websocket=False, ca=None, tls12=False):
    c = mqtt.Client(name, protocol=protocol, transport="websockets" if websocket else "tcp")
    if ca:
        import ssl
        context = ssl.create_default_context(cafile=ca)    # writes SSLKEYLOGFILE
        if tls12:
            context.maximum_version = ssl.TLSVersion.TLSv1_2
        c.tls_set_context(context)
    c.connected, c.subscribed, c.got = threading.Event(), threading.Event(), threading.Semaphore(0)
    c.on_connect = lambda *a: c.connected.set()
    c.on_subscribe = lambda *a: c.subscribed.set()
    c.on_message = lambda *a: c.got.release()
    return c


def begin(c, port, **how):
    c.connect("localhost", port, **how)
    c.loop_start()
    assert c.connected.wait(5)
    return c


def end(c, **how):
    c.disconnect(**how)
    c.loop_stop()


def itself(what, port, ca):
    """One client on both ends of every message: the ids of its messages and of the broker's are the same numbers."""
    c = begin(client("itself", mqtt.MQTTv311, what == "ws", ca, what == "tls12"), port, keepalive=30)
    c.subscribe([("self/#", 2), ("other/+", 0)])
    assert c.subscribed.wait(5)
    for i in range(4):
        c.publish("self/%d" % i, "message %d" % i, qos=2)
        c.publish("self/%d/once more" % i, bytes(range(i, 20 + i)), qos=1)
        c.publish("other/x", "", qos=0)
    for i in range(12):
        assert c.got.acquire(timeout=5)
    c.unsubscribe("other/+")
    c.publish("self/kept", "kept", qos=1, retain=True).wait_for_publish(5)
    c.publish("self/kept", "", qos=1, retain=True).wait_for_publish(5)
    for i in range(2):
        assert c.got.acquire(timeout=5)
    end(c)


def properties(packet, **values):
    p = Properties(packet)
    for name, value in values.items():
        setattr(p, name, value)
    return p


def version_5(what, port, ca):
    """Every property that this client can send, and topic aliases."""
    c = client("five", mqtt.MQTTv5)
    c.username_pw_set("user", "secret")
    c.will_set("gone/five", b"\x00\x01will", qos=1, retain=True, properties=properties(
        PacketTypes.WILLMESSAGE, WillDelayInterval=3, PayloadFormatIndicator=0, MessageExpiryInterval=60, ContentType="bytes",
        ResponseTopic="answer/will", CorrelationData=b"\x00\xff", UserProperty=[("a", "1"), ("a", "2")]))
    begin(c, port, keepalive=20, clean_start=True, properties=properties(
        PacketTypes.CONNECT, SessionExpiryInterval=120, ReceiveMaximum=10, MaximumPacketSize=100000, TopicAliasMaximum=5,
        RequestResponseInformation=1, RequestProblemInformation=1, UserProperty=("client", "paho")))
    c.subscribe("five/#", options=mqtt.SubscribeOptions(qos=2, noLocal=False, retainAsPublished=True, retainHandling=1),
                properties=properties(PacketTypes.SUBSCRIBE, SubscriptionIdentifier=268435455, UserProperty=("s", "\u20ac")))
    assert c.subscribed.wait(5)
    c.subscribed.clear()
    c.subscribe([("five/over/+", mqtt.SubscribeOptions(qos=1, retainHandling=2)), ("$share/group/shared", mqtt.SubscribeOptions(qos=0))],
                properties=properties(PacketTypes.SUBSCRIBE, SubscriptionIdentifier=7))
    assert c.subscribed.wait(5)
    alias = properties(PacketTypes.PUBLISH, TopicAlias=1)
    c.publish("five/a long topic that is worth an alias", "first", qos=0, properties=alias)
    c.publish("", "second, by alias", qos=1, properties=alias)
    c.publish("five/over/there", "full", qos=2, properties=properties(
        PacketTypes.PUBLISH, PayloadFormatIndicator=1, MessageExpiryInterval=4294967295, ContentType="text/plain", ResponseTopic="answer/here",
        CorrelationData=bytes(range(8)), UserProperty=[("k", "v"), ("k", "v"), ("", "")]))
    c.publish("", "third, by alias", qos=2, properties=alias)
    c.publish("nobody/listens", "x", qos=1)
    for i in range(4):
        assert c.got.acquire(timeout=5)
    c.unsubscribe(["five/#", "never/was"], properties=properties(PacketTypes.UNSUBSCRIBE, UserProperty=("u", "1")))
    c.publish("five/last", "x", qos=2).wait_for_publish(5)
    end(c, reasoncode=mqtt.ReasonCodes(PacketTypes.DISCONNECT, identifier=4), properties=properties(
        PacketTypes.DISCONNECT, SessionExpiryInterval=0, UserProperty=("bye", "bye")))


def large(what, port, ca):
    """2.1 MB: a Remaining Length of four bytes."""
    c = begin(client("large", mqtt.MQTTv311), port)
    c.subscribe("large", 1)
    assert c.subscribed.wait(5)
    c.publish("large", b"0123456789abcdef" * 131250, qos=1)
    assert c.got.acquire(timeout=10)
    c.publish("large", "small", qos=0)
    assert c.got.acquire(timeout=5)
    end(c)


{"itself": itself, "ws": itself, "tls12": itself, "version5": version_5, "large": large}[sys.argv[1]](sys.argv[1], int(sys.argv[2]), (sys.argv + [None])[3])

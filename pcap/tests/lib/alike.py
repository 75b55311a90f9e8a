#!/usr/bin/env python3
"""alike.py [--limits] ORIGINAL.jsonl REPLAYED.jsonl: whether a replay carried the packets of the capture it was made of.

Both are `mqassay decode --format json --secrets`. Every conversation of the original must be found again in the replay,
each at most once. The client's packets must be the same, in the same order. Of the broker's, deliveries may come in any
order; the answers keep theirs. What a broker chooses is not compared: its packet ids (but the client must answer with the
same ones as it was sent), CONNACK's and other properties of its own, reason 0x10, DUP, and when a delivery comes among answers.
The replay may have more conversations (what the capture lacks is added) and, where the capture began in mid-stream, more packets
before the first. With --limits the replay's broker had others than the original's: topics are compared instead of aliases, and the
client's PUBRELs apart from its messages, and the answers kind by kind, since a message may have waited. Prints what differs; exit 1 then."""
import json
import sys

ADDRESS = {"kind", "frame", "first_frame", "time", "epoch", "connection", "stream", "client", "version", "version_known", "way",
           "client_address", "broker_address", "roles_known", "from", "sure", "confidence", "size", "remaining_length", "flags",
           "property_length", "resolved_topic"}
LIMITS = "--limits" in sys.argv[1:]
THROUGH = {"payload_format_indicator", "content_type", "response_topic", "correlation_data", "correlation_data_base64",
           "user_property", "subscription_identifier"}


def conversations(path):
    found = {}
    for line in open(path, encoding="utf-8"):
        o = json.loads(line)
        if o["kind"] == "opened":
            found[o["connection"]] = {"client": [], "broker": [], "name": o.get("client"), "whole": o["from_start"]}
        elif o["kind"] == "packet":
            found[o["connection"]][o["from"]].append(o)
            found[o["connection"]].setdefault("all", []).append(o)
    return [found[n] for n in sorted(found)]


def renumbered(packets):
    """The broker's packet ids, in the order in which they first stand in a PUBLISH: 1, 2, ..."""
    names, n = {}, 0
    for p in packets:
        if p["from"] == "broker" and p["type"] == "PUBLISH" and p.get("packet_id"):
            if not (p.get("dup") and p["packet_id"] in names):
                n += 1
                names[p["packet_id"]] = (n, delivery(p))
            yield p, names[p["packet_id"]]
        elif (p["from"] == "client") == (p["type"] in ("PUBACK", "PUBREC", "PUBCOMP")) and p["type"] in ("PUBACK", "PUBREC", "PUBREL", "PUBCOMP"):
            yield p, names.get(p["packet_id"])
        else:
            yield p, None


def delivery(p):
    kept = {k: v for k, v in p.items() if k in THROUGH or k in ("qos", "retain", "payload", "payload_base64")}
    kept["topic"] = p.get("resolved_topic", p.get("topic"))
    return json.dumps(kept, sort_keys=True)


def sides(conversation):
    client, deliveries, answers = [], [], []
    for p, broker_id in renumbered(conversation.get("all", [])):
        q = {k: v for k, v in p.items() if k not in ADDRESS}
        if broker_id:
            q["packet_id"] = broker_id[1]          # the message stands for its id
        elif LIMITS and p["type"] == "PUBLISH":
            q["topic"] = p.get("resolved_topic", p["topic"])
            for key in ("topic_alias", "topic_by_alias"):
                q.pop(key, None)
        if p["from"] == "client":
            # Answers to deliveries come in the order of the deliveries, which is the broker's
            (client if not broker_id else deliveries).append(json.dumps(q, sort_keys=True))
        elif p["type"] == "PUBLISH":
            if not (p.get("resolved_topic", p.get("topic")) or "").startswith("$SYS/"):
                deliveries.append(delivery(p))
        elif p["type"] == "PUBREL":
            deliveries.append(json.dumps(["PUBREL", q["packet_id"]]))
        else:
            answers.append(json.dumps([p["type"], p.get("packet_id"), 0 if p.get("reason") == 0x10 else p.get("reason"), p.get("reasons"),
                                       p.get("session_present")]))
    if LIMITS:
        client.sort(key=lambda row: '"type": "PUBREL"' in row)
        answers.sort(key=lambda row: json.loads(row)[0])
    return client, sorted(deliveries), answers


def tail(whole, rows, n):
    return rows if whole else rows[max(0, len(rows) - n):]


def differences(a, b):
    was, now = sides(a), sides(b)
    for what, x, y in zip(("client's packets", "deliveries", "broker's answers"), was, now):
        y = tail(a["whole"], y, len(x)) if what != "deliveries" else y
        if x != y:
            missing = [row for row in x if row not in y]
            more = [row for row in y if row not in x]
            yield "%s: %d, now %d; missing %s; more %s" % (what, len(x), len(y), missing[:3], more[:3])


def main():
    original, replayed = map(conversations, [a for a in sys.argv[1:] if a != "--limits"])
    if not original:
        print("nothing in the original")
        return 1
    bad = 0
    for number, a in enumerate(original, 1):
        best = None
        for b in replayed:
            found = list(differences(a, b))
            same_name = 0 if b["name"] == a["name"] else 1
            if best is None or (len(found), same_name) < best[0]:
                best = ((len(found), same_name), b, found)
        if best is None or best[2]:
            bad += 1
            print("c%d (%s) is not in the replay; nearest: %s" % (number, a["name"], best and best[2]))
        else:
            replayed.remove(best[1])
    packets = sum(len(a.get("all", [])) for a in original)
    print("%d conversations, %d packets, %d conversations differ" % (len(original), packets, bad))
    return 1 if bad else 0


sys.exit(main())

#include "pcap/check_internal.h"

#include <stdio.h>
#include <stdlib.h>

#include "codec/reader.h"
#include "codec/text.h"

/*
 * --check: both sides of each conversation are judged by the clauses of the standard, the broker by the monitor, the client
 * by its counterpart. Nothing is asserted that a packet not in the capture could explain: behind a hole, or where the
 * beginning is missing, only the form of packets is judged; a session that was not seen whole is unknown, and so is one whose
 * client came by another port of the same broker in between, maybe unseen.
 */

enum {
	BROKER_ROOM = 12 << 20,		/* bytes that sessions may take, of each judge */
	CLIENT_ROOM = 8 << 20,
	MOST_SESSIONS = 100000,
	LIKELY = 60,			/* percent */
	MAX_NAME = 16,			/* bytes of a protocol's name in a note */
	N_PORTS = 1 << 16,		/* client ids whose last port is remembered: a power of two */
};

struct judged {				/* one conversation */
	struct monitor broker;
	struct client_monitor client;
	uint64_t realm;
	bool begun;			/* a packet was seen */
	bool whole;			/* nothing is missing so far, from its CONNECT on */
	bool formless;			/* not even by which version its packets are to be read is known */
	bool foreign;			/* its CONNECT is of a protocol that has other rules */
	bool answered;			/* by the broker, then */
	struct unasked *unasked;	/* NULL: nothing came that no subscription asks for */
};

struct port_of {
	uint64_t key;			/* of broker's address and client id */
	uint32_t strangers;		/* connections joined midway until then: any of them may have been that client's */
	uint16_t port;
};

/* ---- violations ---- */

/* A packet of a conversation whose version is only inferred may be right by another. */
static bool fits_another_version(const struct seen_packet *seen)
{
	static const enum version versions[] = { MQTT_3_1, MQTT_3_1_1, MQTT_5 };
	struct packet packet;
	struct finding finding;

	for (size_t i = 0; i < sizeof(versions) / sizeof(*versions); i++)
		if (decode(seen->bytes.at, seen->bytes.len, versions[i], &packet, &finding) == CODEC_OK &&
		    check(&packet, seen->from, &finding) == CODEC_OK)
			return true;
	return false;
}

static void violated(struct check *check, enum sender side, const struct violation *found)
{
	const struct clause *clause = clause_find((enum version)found->version, span_text(found->clause));
	struct judged *j = check->judged;
	struct violation violation = *found;

	if (j->formless && strcmp(found->clause, "MQTT-3.1.0-1") != 0 && check->packet && fits_another_version(check->packet))
		return;			/* not so that CONNECT comes first: it does in all */
	check->broken = true;
	check->violations++;
	if (clause)
		violation.version = clause->version;	/* 3.1 is judged by 3.1.1's clauses, but for its own */
	check_tally(check, side, (enum version)violation.version, violation.clause, check->when.frame);
	check_report(check, side, &violation, !check->excuses ? 0 : side == FROM_CLIENT ? FROM_SERVER : FROM_CLIENT);
	check->excuses = false;
}

/* The monitor speaks as the client's tester, "our PUBREC": here it is somebody else's. */
static void as_bystander(const char *text, char *to, size_t cap)
{
	static const struct {
		const char *ours, *theirs;
	} words[] = { { " of ours", " of the client's" }, { " our ", " the client's " } };
	size_t len = 0;

	while (*text && len + 1 < cap) {
		size_t i = 0;

		while (i < sizeof(words) / sizeof(*words) && strncmp(text, words[i].ours, strlen(words[i].ours)) != 0)
			i++;
		if (i == sizeof(words) / sizeof(*words)) {
			to[len++] = *text++;
			continue;
		}
		len += (size_t)snprintf(to + len, cap - len, "%s", words[i].theirs);
		text += strlen(words[i].ours);
	}
	to[len < cap ? len : cap - 1] = 0;
}

static void broker_violated(void *owner, struct monitor *monitor, const struct violation *violation)
{
	struct violation v = *violation;
	char text[512];

	(void)monitor;
	as_bystander(violation->text, text, sizeof(text));
	v.text = text;
	violated(owner, FROM_SERVER, &v);
}

static void broker_sent_unasked(void *owner, struct monitor *monitor, struct span topic)
{
	struct check *check = owner;

	(void)monitor;
	if (check->packet)
		unasked_count(&check->judged->unasked, topic, &check->when);
}

static void client_violated(void *owner, struct client_monitor *client, const struct violation *violation)
{
	(void)client;
	violated(owner, FROM_CLIENT, violation);
}

/* ---- conversations ---- */

static uint64_t realm_of(const struct endpoint *broker, bool with_port)
{
	uint8_t bytes[19] = { broker->family };

	memcpy(bytes + 1, broker->address, 16);
	if (with_port) {
		bytes[17] = (uint8_t)(broker->port >> 8);
		bytes[18] = (uint8_t)broker->port;
	}
	return monitor_hash_bytes(span_of(bytes, sizeof(bytes)));
}

static void lose(struct judged *j)
{
	j->whole = false;
	monitor_misbehaved(&j->broker);
	client_excuse(&j->client);
}

static void on_opened(struct observer *o, struct conversation *c, const struct when *when)
{
	struct check *check = (struct check *)o;
	struct judged *j = calloc(1, sizeof(*j));

	(void)when;
	c->of[o->slot] = j;
	if (!j)
		return;			/* it is not judged */
	j->realm = realm_of(&c->broker, true);
	j->whole = c->from_start && c->roles_known;
	j->formless = !c->version_known;
	monitor_open(&j->broker, check->brokers, &check->broker_log);
	client_open(&j->client, check->clients, &check->client_log);
	j->client.realm = j->realm;
	j->client.version = (uint8_t)c->version;	/* until CONNECT says */
	monitor_realm(&j->broker, j->realm);
	if (j->whole)
		return;
	check->strangers++;
	monitor_assume(&j->broker, c->version);
	client_assume(&j->client, c->version);
}

/* A client that has come by another port since, or by a connection whose CONNECT is missing, may have used its session unseen. */
static void notice_port(struct check *check, struct judged *j, const struct seen_packet *seen)
{
	const struct endpoint *broker = &seen->conversation->broker;
	uint64_t key = monitor_key_of(realm_of(broker, false), seen->packet.client_id);
	struct port_of *known = &check->ports[key & (N_PORTS - 1)];

	if (known->key == key && known->port == broker->port && known->strangers == check->strangers)
		return;
	*known = (struct port_of){ key, check->strangers, broker->port };
	monitor_world_distrust(check->brokers, j->realm, seen->packet.client_id);
	client_world_distrust(check->clients, j->realm, seen->packet.client_id);
}

static void judge_client(struct check *check, struct judged *j, const struct seen_packet *seen)
{
	const struct packet *packet = seen->status == CODEC_OK ? &seen->packet : NULL;
	struct client_packet sent = {
		.bytes = seen->bytes, .frame = &seen->frame, .packet = packet, .finding = &seen->finding,
		.began_ns = seen->first.time_ns, .time_ns = seen->when.time_ns, .crossed = seen->first.crossed,
	};

	if (packet && packet->type == CONNECT && packet->client_id.len && !j->foreign)
		notice_port(check, j, seen);
	monitor_sent(&j->broker, seen->bytes.at, seen->bytes.len, packet);
	if (j->foreign) {
		monitor_misbehaved(&j->broker);
		return;
	}
	client_sent(&j->client, &sent);
	if (check->broken)
		monitor_misbehaved(&j->broker);
}

static void judge_broker(struct check *check, struct judged *j, const struct seen_packet *seen)
{
	struct packet packet;

	if (monitor_received(&j->broker, seen->bytes.at, seen->bytes.len, &seen->frame, &packet) == CODEC_OK && !check->broken)
		client_received(&j->client, &packet, seen->when.time_ns);
	else
		client_excuse(&j->client);
}

/*
 * CONNECT of another protocol, or another version of it than the three: no fault of the client's, whatever the server has to do
 * about it [MQTT-3.1.2-1, 3.1.2-2]. A wrong name beside a level of which the standard asks the name of the client too
 * is one [5:MQTT-3.1.2-1, 3.1:protocol-name]. The highest bit of the level is a bridge's.
 */
static bool is_foreign(const struct seen_packet *seen, struct span *name, unsigned *level)
{
	struct reader r = reader_over(seen->bytes);

	if (seen->from != FROM_CLIENT || seen->bytes.len <= seen->frame.header_size || seen->bytes.at[0] >> 4 != CONNECT)
		return false;
	rd_bytes(&r, seen->frame.header_size);
	*name = rd_binary(&r);
	*level = rd_u8(&r);
	if (r.why)
		return false;		/* it has not even these */
	if (span_is(*name, "MQIsdp"))
		return (*level & 0x7f) != MQTT_3_1;
	if (span_is(*name, "MQTT"))
		return (*level & 0x7f) < MQTT_3_1 || (*level & 0x7f) > MQTT_5;
	return *level != MQTT_3_1 && *level != MQTT_5;
}

static void notice_foreign(struct check *check, struct judged *j, const struct seen_packet *seen)
{
	char shown[MAX_NAME * 8 + 8], text[320];
	struct writer w = writer_to(shown, sizeof(shown));
	struct span name;
	unsigned level;

	if (j->begun || !seen->sure || !is_foreign(seen, &name, &level))
		return;
	j->foreign = true;
	client_excuse(&j->client);
	check->conversation = seen->conversation;
	check->when = seen->when;
	text_print_string((struct span){ name.at, name.len < MAX_NAME ? name.len : MAX_NAME }, &w);
	snprintf(text, sizeof(text), "CONNECT with protocol name %.*s%s and level %u, which is none of MQTT 3.1, 3.1.1 and 5: "
	         "the client is not judged, and of the broker only the first answer", (int)(wr_fits(&w) ? w.len : sizeof(shown)), shown,
	         name.len > MAX_NAME ? "..." : "", level);
	check_note(check, text);
}

/*
 * The first bytes of a connection, sent by who opened it, that are a packet but no CONNECT: that they are a packet is never sure,
 * but either they are none, or the rule is broken.
 */
static bool begins_wrong(const struct judged *j, const struct seen_packet *seen)
{
	return !j->begun && j->whole && seen->from == FROM_CLIENT && seen->status == CODEC_OK && seen->packet.type != CONNECT &&
	       seen->confidence >= LIKELY;
}

static void on_packet(struct observer *o, const struct seen_packet *seen)
{
	struct check *check = (struct check *)o;
	struct judged *j = seen->conversation->of[o->slot];

	check->unjudged += !j || !seen->sure;
	if (!j)
		return;
	if (!seen->sure && !begins_wrong(j, seen))
		lose(j);
	notice_foreign(check, j, seen);
	j->begun = true;
	if (j->foreign && j->answered)
		return;
	j->answered = seen->from == FROM_SERVER;
	if (!seen->sure && !j->whole)
		return;
	check->judged = j;
	check->conversation = seen->conversation;
	check->packet = seen;
	check->when = seen->when;
	check->broken = false;
	check->excuses = seen->from == FROM_CLIENT ? !monitor_is_lenient(&j->broker) : !client_is_excused(&j->client);
	j->formless = !seen->conversation->version_known;
	check->seen[seen->conversation->version == MQTT_5] = true;
	check->seen_3_1 |= seen->conversation->version == MQTT_3_1;
	if (seen->from == FROM_CLIENT)
		judge_client(check, j, seen);
	else
		judge_broker(check, j, seen);
	check->judged = NULL;
}

static void on_hole(struct observer *o, struct conversation *c, const struct hole *hole)
{
	struct judged *j = c->of[o->slot];

	(void)hole;
	if (j)
		lose(j);
}

static void on_closed(struct observer *o, struct conversation *c, enum sender from, bool reset, const struct when *when)
{
	struct check *check = (struct check *)o;
	struct judged *j = c->of[o->slot];

	if (!j || reset)
		return;
	check->judged = j;
	check->conversation = c;
	check->packet = NULL;
	check->when = *when;
	check->broken = check->excuses = false;
	client_hung_up(&j->client, from, when->time_ns);
	check->judged = NULL;
}

static void on_ended(struct observer *o, struct conversation *c, enum conversation_end how, const struct when *when)
{
	struct check *check = (struct check *)o;
	struct judged *j = c->of[o->slot];

	if (!j)
		return;
	if (c->holed || (how != ENDED_BY_FIN && how != ENDED_BY_RESET))
		lose(j);		/* what became of its session, nobody saw */
	check->judged = j;
	check->conversation = c;
	check->packet = NULL;
	check->when = *when;
	unasked_say(check, j->unasked, c->version);
	client_close(&j->client, j->whole);
	monitor_close(&j->broker);
	check->judged = NULL;
	free(j);
	c->of[o->slot] = NULL;
}

static void on_finish(struct observer *o, const struct when *when)
{
	struct check *check = (struct check *)o;

	(void)when;
	if (check->table)
		check_table(check);
}

static void on_started(struct observer *o, const struct when *when)
{
	struct check *check = (struct check *)o;

	check->base_ns = when->time_ns;
}

/* ---- the observer ---- */

static void on_free(struct observer *o)
{
	struct check *check = (struct check *)o;

	monitor_world_free(check->brokers);
	client_world_free(check->clients);
	free(check->tallies[0]);
	free(check->tallies[1]);
	free(check->ports);
	free(check);
}

struct observer *check_new(struct out *out, const struct view_options *options, bool inline_notes, bool table)
{
	static const struct observer_ops ops = {
		.started = on_started, .opened = on_opened, .packet = on_packet, .hole = on_hole, .closed = on_closed,
		.ended = on_ended, .finish = on_finish, .free = on_free,
	};
	struct check *check = calloc(1, sizeof(*check));

	if (!check)
		abort();
	check->observer.ops = &ops;
	check->out = out;
	check->options = *options;
	check->inline_notes = inline_notes;
	check->table = table;
	check->brokers = monitor_world_new();
	check->clients = client_world_new(CLIENT_ROOM, MOST_SESSIONS);
	check->ports = calloc(N_PORTS, sizeof(*check->ports));
	if (!check->brokers || !check->clients || !check->ports)
		abort();
	monitor_world_bound(check->brokers, BROKER_ROOM, MOST_SESSIONS);
	check->broker_log = (struct monitor_log){ .violated = broker_violated, .unasked = broker_sent_unasked, .owner = check };
	check->client_log = (struct client_log){ .violated = client_violated, .owner = check };
	return &check->observer;
}

unsigned long check_violations(const struct observer *o)
{
	return ((const struct check *)o)->violations;
}

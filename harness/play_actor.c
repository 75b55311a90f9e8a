#include "harness/play.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/hello.h"

/* Actors' connections: what they say goes to the inbox and the transcript; and the prober that asks whether anybody serves. */

static struct actor_state *actor_of_conn(struct conn *c)
{
	return (struct actor_state *)((char *)c - offsetof(struct actor_state, conn));
}

void record(struct timeline *t, enum event_kind kind, const struct actor_state *a, struct span bytes)
{
	t->active_ns = t->stage->loop->now_ns;
	if (t->stage->keep_transcripts)
		result_event(t->result, t->stage->loop->now_ns, kind, a ? a->number : NO_ACTOR, a ? a->version : 0, bytes);
}

/* ---- what the connection says ---- */

static void on_opened(struct conn *c)
{
	struct actor_state *a = actor_of_conn(c);

	if (a->timeline->capture)
		capture_wake(a);
	if (conn_idle(c))	/* else what was sent says as much */
		record(a->timeline, EVENT_OPENED, a, span_text(""));
	timeline_wake(a->timeline);
}

void actor_connack(struct actor_state *a, const struct packet *packet)
{
	struct value assigned;

	a->n_connacks += a->n_connacks < 255;
	if (packet->reason)
		return;
	a->connected = true;
	if (a->version == MQTT_5) {
		if (property_find(packet->properties, PROP_assigned_client_identifier, &assigned))
			a->client_id = region_copy(&a->timeline->region, assigned.bytes);
		if (property_number(packet->properties, PROP_session_expiry_interval, 0))
			a->session_kept = true;
		if (a->session_kept)
			leave_session(a->timeline, a);
	}
}

static void on_packet(struct conn *c, const uint8_t *bytes, size_t len, const struct packet *packet)
{
	struct actor_state *a = actor_of_conn(c);
	struct timeline *t = a->timeline;

	if (t->over)
		return;
	record(t, EVENT_RECEIVED, a, span_of(bytes, len));
	t->n_received++;
	if (t->capture) {
		capture_arrived(a, bytes, len, packet);
		return;
	}
	if (t->finding && !finding_arrived(a, packet)) {
		timeline_wake(t);
		return;
	}
	if (!packet) {
		give_up(t, VERDICT_FAIL, NULL, "what came cannot be read");	/* the monitor has said why */
		return;
	}
	if (packet->type == CONNACK)
		actor_connack(a, packet);
	scram_received(a, packet);
	if (packet->type == PINGRESP) {
		if (!a->pings_owed && a->probes_owed) {
			a->probes_owed--;
			timeline_wake(t);
			return;
		}
		if (a->pings_owed)
			a->pings_owed--;
	}
	if (a->n_in >= MAX_INBOX || a->in_bytes + len > MAX_INBOX_BYTES) {
		give_up(t, VERDICT_INCONCLUSIVE, NULL, "the target floods: %u packets (%u bytes) wait that no step asked for", a->n_in, a->in_bytes);
		return;
	}
	inbox_put(a, packet->type, bytes, len, packet);
	timeline_wake(t);
}

static void on_ended(struct conn *c, enum conn_end how)
{
	struct actor_state *a = actor_of_conn(c);
	struct timeline *t = a->timeline;
	char text[160];

	if (t->over)
		return;
	conn_end_text(c, text, sizeof(text));
	record(t, EVENT_ENDED, a, span_text(text));
	a->connected = false;
	a->ended = true;
	finding_dues_ended(a, how == END_FIN ? DUES_CLOSED : DUES_BROKEN);
	if (t->capture) {
		inbox_put(a, 0, NULL, 0, NULL);
		capture_wake(a);
		return;
	}
	if (t->finding) {
		inbox_put(a, 0, NULL, 0, NULL);
		timeline_wake(t);
		return;
	}
	if (how == END_REFUSED) {
		t->result->target_gone = true;
		give_up(t, VERDICT_INCONCLUSIVE, NULL, "the target is gone: %s", text);
		return;
	}
	if (how == END_GARBAGE) {
		give_up(t, VERDICT_FAIL, NULL, "%s", text);	/* by the rule that the monitor named */
		return;
	}
	if (how == END_TOO_LARGE) {
		give_up(t, VERDICT_INCONCLUSIVE, NULL, "%s", text);
		return;
	}
	inbox_put(a, 0, NULL, 0, NULL);
	timeline_wake(t);
}

static void on_sent(struct conn *c)
{
	struct actor_state *a = actor_of_conn(c);

	if (a->timeline->capture)
		capture_wake(a);
	else
		timeline_wake(a->timeline);
}

const struct conn_events actor_events = { on_opened, on_packet, on_ended, on_sent };

/* "common/qos/qos2.scn#1, MQTT 5, sub" */
void timeline_tap_conn(struct timeline *t, struct conn *c, const char *name)
{
	static const char *const versions[] = { [MQTT_3_1] = "3.1", [MQTT_3_1_1] = "3.1.1", [MQTT_5] = "5" };
	char who[500];

	if (!t->tap)
		return;
	snprintf(who, sizeof(who), "%.400s, MQTT %s, %.60s", t->script->id, versions[t->script->version], name);
	conn_tap(c, t->tap, who);
}

void actor_open(struct timeline *t, struct actor_state *a)
{
	if (a->ever_opened)
		conn_close(&a->conn, false);
	inbox_clear(a);
	a->connected = a->ended = false;
	a->offence = (struct offence){ 0 };
	a->n_connects = a->n_connacks = 0;
	a->ever_opened = true;
	t->n_opened++;
	if (t->finding)
		finding_opens(a);
	unsigned way = t->script->actors[a->number].way;
	const struct address *address = way < N_WAYS ? t->stage->ways[way] : t->stage->address;
	int error = conn_open(&a->conn, t->stage->loop, address, &actor_events, &t->stage->limits, t->stage->world, t->log);
	if (error) {
		t->result->target_gone = true;
		give_up(t, VERDICT_INCONCLUSIVE, NULL, "could not connect: %s", transport_strerror(-error));
		return;
	}
	timeline_tap_conn(t, &a->conn, t->script->actors[a->number].name);
}

/* ---- a fresh connection that asks whether the target still serves ---- */

static void prober_opened(struct conn *c) { (void)c; }
static void prober_sent(struct conn *c) { (void)c; }

static struct timeline *timeline_of_prober(struct conn *c)
{
	return ((struct prober *)((char *)c - offsetof(struct prober, conn)))->timeline;
}

static void prober_packet(struct conn *c, const uint8_t *bytes, size_t len, const struct packet *packet)
{
	struct timeline *t = timeline_of_prober(c);

	(void)bytes, (void)len;
	if (packet && t->probe_state == PROBE_ASKED)
		t->probe_state = packet->type == CONNACK && !packet->reason ? PROBE_SERVED : PROBE_FAILED;
	timeline_wake(t);
}

static void prober_ended(struct conn *c, enum conn_end how)
{
	struct timeline *t = timeline_of_prober(c);

	if (how == END_REFUSED)
		t->result->target_gone = true;
	if (t->probe_state == PROBE_ASKED)
		t->probe_state = PROBE_FAILED;
	timeline_wake(t);
}

static const struct conn_events prober_events = { prober_opened, prober_packet, prober_ended, prober_sent };

void probe_end(struct timeline *t)
{
	if (t->prober)
		conn_close(&t->prober->conn, false);
	free(t->prober);
	t->prober = NULL;
}

void probe_target(struct timeline *t)
{
	uint8_t room[65536 * 2 + 256];
	struct writer w = writer_to(room, sizeof(room));
	struct packet packet;
	char id[40];

	if (t->probe_state != PROBE_NONE)
		return;
	t->probe_state = PROBE_ASKED;
	probe_end(t);
	t->prober = calloc(1, sizeof(*t->prober));
	if (!t->prober)
		abort();
	t->prober->timeline = t;
	if (conn_open(&t->prober->conn, t->stage->loop, t->stage->address, &prober_events, &t->stage->limits, t->stage->world, t->log)) {
		t->probe_state = PROBE_FAILED;
		return;
	}
	timeline_tap_conn(t, &t->prober->conn, "is the target still there?");
	snprintf(id, sizeof(id), "%sZ", t->name);
	hello(t->script->version, span_text(id), t->stage->user_name, t->stage->password, &packet, &w);
	monitor_sent(&t->prober->conn.monitor, room, w.len, &packet);
	conn_send(&t->prober->conn, wr_span(&w), 0, 0);
}

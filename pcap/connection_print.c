#include "pcap/connections.h"

#include <stdio.h>

#include "codec/fields.h"
#include "harness/report.h"
#include "pcap/rows.h"

static const char *const vias[] = { [VIA_TCP] = "tcp", [VIA_TLS] = "tls", [VIA_WS] = "ws", [VIA_WSS] = "wss" };

static const struct how {
	const char *name, *text;
} hows[] = {
	[IS_OPEN]         = { "open", "open" },
	[BY_DISCONNECT]   = { "disconnect", "DISCONNECT" },
	[BY_REFUSAL]      = { "refused", "refused" },
	[BY_FIN]          = { "fin", "FIN" },
	[BY_RESET]        = { "reset", "reset" },
	[BY_KEEP_ALIVE]   = { "keep_alive_expired", "keep alive" },
	[BY_TAKEOVER]     = { "taken_over", "taken over" },
	[BY_PORTS_REUSED] = { "ports_reused", "ports used anew" },
	[BY_SILENCE]      = { "forgotten", "silent for long" },
	[BY_CAPTURE_END]  = { "capture_ended", "the capture" },
};

const char *connection_how(enum how_ended how)
{
	return hows[how].name;
}

/* The packet that says why, and its code. False when no packet does. */
static bool reason_of(const struct connection *c, enum packet_type *type, unsigned *code)
{
	*type = c->how == BY_REFUSAL ? CONNACK : DISCONNECT;
	*code = c->how == BY_REFUSAL ? c->connack_reason : c->disconnect_reasons[c->who == FROM_SERVER];
	return c->how == BY_REFUSAL || (c->version == MQTT_5 && !c->derived && (c->how == BY_DISCONNECT || c->how == BY_TAKEOVER || c->how == BY_KEEP_ALIVE));
}

static struct span client_id_of(const struct connection *c)
{
	return c->client_id ? span_of(c->client_id, c->client_id_len) : (struct span){ 0 };
}

/* ---- text ---- */

static const struct column columns[] = {
	{ "NAME", false, 0 }, { "OPENED", true, 0 }, { "CLIENT ID", false, 22 }, { "MQTT", false, 0 }, { "KEEP", true, 0 }, { "SENT  BYTES", true, 0 },
	{ "RECEIVED  BYTES", true, 0 }, { "LASTED", true, 0 }, { "ENDED BY", false, 0 },
};
enum { N_COLUMNS = sizeof(columns) / sizeof(columns[0]) };
static const unsigned widths[N_COLUMNS] = { 5, 12, 22, 6, 5, 13, 15, 6, 20 };

void connection_heading(struct out *out)
{
	struct cells cells = { 0 };

	for (unsigned i = 0; i < N_COLUMNS; i++)
		snprintf(cells.text[i], CELL, "%s", columns[i].title);
	cells_print(out, columns, N_COLUMNS, widths, &cells);
}

static void fill(const struct connection *c, uint64_t start_ns, struct cells *cells)
{
	char quantity[QUANTITY];

	snprintf(cells->text[0], CELL, "c%u", c->number);
	print_since(start_ns, c->opened.time_ns, cells->text[1]);
	cell_text(cells->text[2], client_id_of(c), "-");
	snprintf(cells->text[3], CELL, "%s%s", version_text(c->version), c->version_known ? "" : "?");
	if (!c->connect.frame)
		snprintf(cells->text[4], CELL, "-");
	else
		snprintf(cells->text[4], CELL, "%u", c->has_server_keep_alive ? c->server_keep_alive : c->keep_alive);
	for (unsigned i = 0; i < 2; i++)
		snprintf(cells->text[5 + i], CELL, "%llu %6s", (unsigned long long)c->packets[i], print_bytes(c->bytes[i], quantity));
	snprintf(cells->text[7], CELL, "%s", print_duration(elapsed(c->opened.time_ns, c->last.time_ns), quantity));
	if (c->who)
		snprintf(cells->text[8], CELL, "%s, %s", c->who == FROM_SERVER ? "broker" : "client", hows[c->how].text);
	else
		snprintf(cells->text[8], CELL, "%s", hows[c->how].text);
}

static void print_ends(struct out *out, const struct connection *c)
{
	char client[ENDPOINT_TEXT], broker[ENDPOINT_TEXT], room[QUANTITY];

	out_format(out, "       %s %s -> %s, frame %llu", vias[c->via], endpoint_print(&c->client, client), endpoint_print(&c->broker, broker),
	           (unsigned long long)c->opened.frame);
	if (!c->connect.frame)
		out_text(out, c->from_start ? "; no CONNECT" : "; CONNECT not captured");
	else if (c->connack.frame)
		out_format(out, "; CONNACK after %s", print_duration(elapsed(c->connect.time_ns, c->connack.time_ns), room));
	else if (c->unreadable_connack)
		out_format(out, "; CONNACK unreadable, frame %llu", (unsigned long long)c->unreadable_connack);
	else
		OUT_LITERAL(out, "; no CONNACK");
	if (c->session_present)
		OUT_LITERAL(out, ", session present");
	if (c->assigned)
		OUT_LITERAL(out, ", client id assigned");
	out_byte(out, '\n');
}

static void print_connect(struct out *out, const struct connection *c)
{
	bool user = c->connect_flags & CONNECT_USER_NAME, password = c->connect_flags & CONNECT_PASSWORD, clean = c->connect_flags & CONNECT_CLEAN_START;

	if (!c->connect.frame)
		return;
	out_format(out, "       %s", clean ? c->version == MQTT_5 ? "clean start" : "clean session" : c->version == MQTT_5 ? "no clean start" : "no clean session");
	if (c->has_expiry)
		out_format(out, ", session expiry %u s", c->expiry);
	if (c->has_server_expiry && !(c->has_expiry && c->server_expiry == c->expiry))
		out_format(out, c->has_expiry ? " (by the broker %u s)" : ", session expiry by the broker %u s", c->server_expiry);
	if (user || password)
		out_format(out, ", with %s%s%s", user ? "user name" : "", user && password ? " and " : "", password ? "password" : "");
	if (c->has_server_keep_alive && c->server_keep_alive != c->keep_alive)
		out_format(out, "; keep alive %u s asked, %u s by the broker", c->keep_alive, c->server_keep_alive);
	out_byte(out, '\n');
}

static void print_will(struct out *out, const struct connection *c)
{
	if (!(c->connect_flags & CONNECT_WILL))
		return;
	out_format(out, "       will qos %u%s", (c->connect_flags & CONNECT_WILL_QOS) >> CONNECT_WILL_QOS_SHIFT,
	           c->connect_flags & CONNECT_WILL_RETAIN ? " retain" : "");
	if (c->will_delay)
		out_format(out, " delay %u s", c->will_delay);
	out_format(out, ", %u byte%s: ", c->will_payload_len, c->will_payload_len == 1 ? "" : "s");
	if (c->will_topic)
		out_escaped(out, span_of(c->will_topic, c->will_topic_len));
	out_byte(out, '\n');
}

static void print_subscription(struct out *out, const struct connection *c, const struct subscription_seen *s)
{
	unsigned asked = s->options & SUBSCRIBE_QOS;
	const char *name = reason_name(SUBACK, c->version, s->granted);

	out_format(out, "       subscribed qos %u%s%s", asked, c->version == MQTT_5 && s->options & SUBSCRIBE_NO_LOCAL ? " no_local" : "",
	           c->version == MQTT_5 && s->options & SUBSCRIBE_RETAIN_AS_PUBLISHED ? " retain_as_published" : "");
	if (s->granted == UNANSWERED)
		out_text(out, s->waits ? " unanswered" : " not granted");
	else if (s->granted >= 0x80)
		out_format(out, " refused, %s", name ? name : "unknown code");
	else if (s->granted != asked)
		out_format(out, " granted %u", s->granted);
	out_text(out, s->ended ? ", unsubscribed: " : s->ends ? ", UNSUBSCRIBE unanswered: " : ": ");
	out_escaped(out, span_of(s->filter, s->len));
	out_byte(out, '\n');
}

static void print_reason(struct out *out, const struct connection *c)
{
	enum packet_type type;
	unsigned code;
	char silence[QUANTITY];

	if (reason_of(c, &type, &code)) {
		const char *name = reason_name(type, c->version, code);

		if (name)
			out_format(out, "       %s %s, frame %llu", packet_name(type), name, (unsigned long long)c->ended.frame);
		else
			out_format(out, "       %s 0x%02x, frame %llu", packet_name(type), code, (unsigned long long)c->ended.frame);
		if (c->taken_by)
			out_format(out, ", taken over by c%u", c->taken_by);
		out_byte(out, '\n');
	} else if (c->how == BY_TAKEOVER) {
		out_format(out, "       c%u came with the same client id in frame %llu, then the broker closed this one\n", c->taken_by,
		           (unsigned long long)c->taken_at.frame);
	} else if (c->how == BY_KEEP_ALIVE) {
		print_duration(elapsed(c->last_from_client.time_ns, c->ended.time_ns), silence);
		out_format(out, "       nothing came from the client for %s, then the broker closed the connection\n", silence);
	}
}

void connection_print(struct out *out, const struct connection *c, uint64_t start_ns)
{
	struct cells cells = { 0 };

	fill(c, start_ns, &cells);
	cells_print(out, columns, N_COLUMNS, widths, &cells);
	print_ends(out, c);
	print_connect(out, c);
	print_will(out, c);
	for (const struct subscription_seen *s = c->subscriptions; s; s = s->next)
		print_subscription(out, c, s);
	if (c->n_subscriptions > c->n_listed)
		out_format(out, "       and %u more subscriptions\n", c->n_subscriptions - c->n_listed);
	if (c->holes)
		out_format(out, "       %u hole%s: %llu bytes missing, %llu passed over\n", c->holes, c->holes == 1 ? "" : "s",
		           (unsigned long long)c->missing, (unsigned long long)c->skipped);
	print_reason(out, c);
}

/* ---- JSON ---- */

static void json_connect(struct json *j, const struct connection *c)
{
	if (!c->connect.frame) {
		json_null(j, "connect");
		return;
	}
	json_open(j, "connect", '{');
	json_when(j, "at", &c->connect);
	json_flag(j, "clean_start", c->connect_flags & CONNECT_CLEAN_START);
	json_number(j, "keep_alive", c->keep_alive);
	if (c->has_expiry)
		json_number(j, "session_expiry_interval", c->expiry);
	json_flag(j, "user_name", c->connect_flags & CONNECT_USER_NAME);
	json_flag(j, "password", c->connect_flags & CONNECT_PASSWORD);
	if (c->connect_flags & CONNECT_WILL) {
		json_open(j, "will", '{');
		json_text(j, "topic", c->will_topic ? span_of(c->will_topic, c->will_topic_len) : (struct span){ 0 });
		json_number(j, "qos", (c->connect_flags & CONNECT_WILL_QOS) >> CONNECT_WILL_QOS_SHIFT);
		json_flag(j, "retain", c->connect_flags & CONNECT_WILL_RETAIN);
		json_number(j, "delay_interval", c->will_delay);
		json_number(j, "payload_bytes", c->will_payload_len);
		json_close(j, '}');
	}
	json_close(j, '}');
}

static void json_connack(struct json *j, const struct connection *c)
{
	if (!c->connack.frame) {
		json_null(j, "connack");
		return;
	}
	json_open(j, "connack", '{');
	json_when(j, "at", &c->connack);
	if (c->connect.frame)
		json_duration(j, "after", elapsed(c->connect.time_ns, c->connack.time_ns));
	json_number(j, "reason", c->connack_reason);
	json_word(j, "reason_name", reason_name(CONNACK, c->version, c->connack_reason));
	json_flag(j, "session_present", c->session_present);
	if (c->has_server_keep_alive)
		json_number(j, "server_keep_alive", c->server_keep_alive);
	if (c->has_server_expiry)
		json_number(j, "session_expiry_interval", c->server_expiry);
	json_flag(j, "client_id_assigned", c->assigned);
	json_close(j, '}');
}

static void json_subscriptions(struct json *j, const struct connection *c)
{
	json_open(j, "subscriptions", '[');
	for (const struct subscription_seen *s = c->subscriptions; s; s = s->next) {
		json_open(j, NULL, '{');
		json_text(j, "filter", span_of(s->filter, s->len));
		json_number(j, "qos", s->options & SUBSCRIBE_QOS);
		if (s->granted == UNANSWERED)
			json_null(j, "code");
		else
			json_number(j, "code", s->granted);
		json_flag(j, "granted", s->granted < 0x80);
		json_flag(j, "no_local", c->version == MQTT_5 && s->options & SUBSCRIBE_NO_LOCAL);
		json_flag(j, "retain_as_published", c->version == MQTT_5 && s->options & SUBSCRIBE_RETAIN_AS_PUBLISHED);
		json_flag(j, "unsubscribed", s->ended);
		json_close(j, '}');
	}
	json_close(j, ']');
	json_number(j, "subscriptions_seen", c->n_subscriptions);
}

static void json_ended(struct json *j, const struct connection *c)
{
	enum packet_type type;
	unsigned code;

	json_open(j, "ended", '{');
	json_word(j, "how", hows[c->how].name);
	json_word(j, "by", c->who == FROM_SERVER ? "broker" : c->who == FROM_CLIENT ? "client" : NULL);
	json_flag(j, "derived", c->derived);
	json_when(j, "at", &c->ended);
	if (reason_of(c, &type, &code)) {
		json_number(j, "reason", code);
		json_word(j, "reason_name", reason_name(type, c->version, code));
	}
	if (c->how == BY_TAKEOVER && c->taken_by)
		json_number(j, "taken_over_by", c->taken_by);
	for (unsigned i = 0; i < 2; i++)
		if (c->closes[i].frame)
			json_when(j, i ? c->resets[i] ? "broker_reset" : "broker_fin" : c->resets[i] ? "client_reset" : "client_fin", &c->closes[i]);
	json_close(j, '}');
}

void connection_json(struct out *out, const struct connection *c, uint64_t start_ns)
{
	char text[ENDPOINT_TEXT];
	struct json j;

	json_begin(&j, out, "connection", start_ns);
	json_number(&j, "connection", c->number);
	json_number(&j, "stream", c->stream);
	json_text(&j, "client", client_id_of(c));
	json_word(&j, "client_address", endpoint_print(&c->client, text));
	json_word(&j, "broker_address", endpoint_print(&c->broker, text));
	json_word(&j, "way", vias[c->via]);
	json_word(&j, "version", version_text(c->version));
	json_flag(&j, "version_known", c->version_known);
	json_flag(&j, "from_start", c->from_start);
	json_when(&j, "opened", &c->opened);
	json_duration(&j, "lasted", elapsed(c->opened.time_ns, c->last.time_ns));
	json_connect(&j, c);
	json_connack(&j, c);
	for (unsigned i = 0; i < 2; i++) {
		json_open(&j, i ? "received" : "sent", '{');
		json_number(&j, "packets", c->packets[i]);
		json_number(&j, "bytes", c->bytes[i]);
		json_close(&j, '}');
	}
	json_subscriptions(&j, c);
	json_open(&j, "holes", '{');
	json_number(&j, "count", c->holes);
	json_number(&j, "missing_bytes", c->missing);
	json_number(&j, "passed_over_bytes", c->skipped);
	json_close(&j, '}');
	json_ended(&j, c);
	json_end(&j);
}

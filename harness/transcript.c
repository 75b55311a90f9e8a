#include "harness/transcript.h"

#include "codec/text.h"
#include "harness/escape.h"

enum { MAX_LINE = 700, MAX_LINES = 200 };

static struct span concealed;
static bool conceals_all;

void transcript_conceal(const char *password)
{
	concealed = password ? span_text(password) : (struct span){ 0 };
}

void transcript_conceal_all(bool conceal)
{
	conceals_all = conceal;
}

/* Of a short one every byte would look suspicious; it is looked for where it goes. */
static bool holds_password(struct span bytes)
{
	return concealed.len && bytes.len && (concealed.len > 3 || bytes.at[0] >> 4 == CONNECT) &&
	       memmem(bytes.at, bytes.len, concealed.at, concealed.len);
}

/*
 * A proof, or a server's signature, lets who sees the exchange try passwords one by one: of the data of SCRAM what stands
 * behind p= or v= is left out. Written to room, as the packet's properties.
 */
static void conceal_proof(struct packet *packet, struct writer *room)
{
	struct property_walk walk = properties_of(packet->properties);
	struct property p;

	while (property_next(&walk, &p)) {
		const uint8_t *at = p.value.bytes.at;
		size_t len = p.value.bytes.len, shown = len;
		char text[MAX_LINE];

		for (size_t i = 0; p.id == PROP_authentication_data && i + 1 < len && shown == len; i++)
			if ((i == 0 || at[i - 1] == ',') && (at[i] == 'p' || at[i] == 'v') && at[i + 1] == '=')
				shown = i + 2;
		if (shown < len && shown + 3 < sizeof(text)) {
			memcpy(text, at, shown);
			memcpy(text + shown, "***", 3);
			property_write_bytes(room, p.id, span_of(text, shown + 3));
		} else {
			wr_bytes(room, span_of(p.at, p.size));
		}
	}
	packet->properties = wr_span(room);	/* none, where there is no room for so many */
}

static void print_packet(FILE *out, const struct event *e, struct span bytes, bool whole)
{
	enum sender from = e->kind == EVENT_SENT ? FROM_CLIENT : FROM_SERVER;
	char room[MAX_LINE + 8];
	uint8_t list[4096];
	struct writer w = writer_to(room, MAX_LINE), properties = writer_to(list, sizeof(list));
	struct packet packet;
	struct finding finding;

	if (whole && decode(bytes.at, bytes.len, e->version, &packet, &finding) == CODEC_OK) {
		if (packet.type == CONNECT && packet.password.len && (conceals_all || (concealed.len && span_equal(packet.password, concealed))))
			packet.password = span_text("***");
		if ((conceals_all || concealed.len) && packet.version == MQTT_5 && (packet.type == AUTH || packet.type == CONNACK))
			conceal_proof(&packet, &properties);
		packet_print(&packet, from, &w);
	} else if (holds_password(bytes)) {
		wr_text(&w, "bytes, the password among them");
	} else {
		wr_text(&w, "bytes ");
		text_print_hex(bytes, &w);
	}
	fwrite(room, 1, w.len < w.cap ? w.len : w.cap, out);
	if (w.len > w.cap)
		fputs("...", out);
}

static void print_bytes(FILE *out, const struct event *e, const char *head)
{
	struct span left = { e->bytes, e->len };

	do {
		struct frame frame = { 0 };
		struct finding finding;
		bool whole = frame_next(left.at, left.len, &frame, &finding) == FRAME_OK;
		struct span one = { left.at, whole ? frame.size : left.len };

		fputs(head, out);
		print_packet(out, e, one, whole);
		if (!whole && e->whole > e->len)
			fprintf(out, " (%u bytes in all)", e->whole);
		fputc('\n', out);
		left.at += one.len;
		left.len -= one.len;
	} while (left.len);
}

static void print_text(FILE *out, const struct event *e, const char *head)
{
	fputs(head, out);
	escape_text_n(out, (const char *)e->bytes, e->len);
	fputc('\n', out);
}

void transcript_print(FILE *out, const struct script *script, const struct result *result, const char *indent)
{
	unsigned lines = 0, width = 0;

	for (uint32_t i = 0; i < script->n_actors; i++)
		if (strlen(script->actors[i].name) > width)
			width = (unsigned)strlen(script->actors[i].name);
	for (const struct event *e = result->events; e; e = e->next) {
		const char *actor = e->actor < script->n_actors ? script->actors[e->actor].name : "";
		char head[160];

		if (++lines > MAX_LINES && !script->capture) {
			fprintf(out, "%s... (more)\n", indent);
			break;
		}
		snprintf(head, sizeof(head), "%s%9.6f  %-*s %s ", indent, (double)e->at_ns / 1e9, (int)width, actor,
		         e->kind == EVENT_SENT ? "->" : e->kind == EVENT_RECEIVED ? "<-" : "--");
		if (e->kind == EVENT_SENT || e->kind == EVENT_RECEIVED)
			print_bytes(out, e, head);
		else if (e->kind == EVENT_OPENED)
			fprintf(out, "%sconnected\n", head);
		else
			print_text(out, e, head);
	}
	if (result->events_cut)
		fprintf(out, "%s... (the transcript was longer than what is kept%s)\n", indent, script->capture ? "; --pcap FILE keeps all" : "");
}

/* Seeds made of single packets: as text, and as WebSocket frames. */
#include <string.h>

#include "codec/http.h"
#include "codec/text.h"
#include "codec/ws.h"
#include "fuzz/write_seeds.h"

enum { MOST = 4000, N_TYPES = 16 };

/* ---- text ---- */

static void write_text(enum version version, struct span text)
{
	char room[1 + MOST];
	struct writer w = writer_to(room, sizeof(room));

	wr_u8(&w, version - MQTT_3_1);
	wr_bytes(&w, text);
	if (wr_fits(&w))
		write_input("text", wr_span(&w));
}

/* All that a field may be given, and what it may not: one text for each, once for each kind of field. */
static void write_values(enum packet_type type, enum version version, const struct field *field, uint32_t *written)
{
	static const char *const values[] = {
		"", "=1", "=0", "=255", "=65535", "=268435456", "=99999999999999999999", "=0x80", "=0x", "=0x8g", "=1s", "=2kB", "=3x", "=4kB/s", "=5..6", "=\"\"", "=\"a/b\"",
		"=\"k\":\"v\"", "=[\"k\":\"v\" \"k\":\"v\"]", "=[1 2]", "=[1", "=hex\"\"", "=hex\"01\"", "=hex\"0102\"", "=hex\"01020304\"", "=hex\"0\"", "=hex\"01", "=absent", "=Success",
		"=Not_authorized", "=nonsense", "=\"open", "=\"\\q\"", "=\"\\\"\\\\\\n\\t\\x00\\u{10ffff}\"", "=\"\\u{d800}\"", "=\"\\x0\"", "=\"\\$(1)\"", "=\"$(1 + 2)\"", "=\"\x01\"", "=\"\xff\"",
		"=$name", "=$", "=", "=\xe2\x82\xac", "=1 !again KEY=1 KEY=absent", "=\"a\" KEY=absent", "=hex\"00\" !KEY", "=\"k\":\"v\" KEY=absent", "=1\n;\n", "=1\nPINGREQ",
	};
	char text[256];

	for (size_t i = 0; i < sizeof(values) / sizeof(*values); i++) {
		struct writer w = writer_to(text, sizeof(text));
		const char *again = values[i], *key;

		wr_text(&w, packet_name(type));
		wr_text(&w, " ");
		wr_text(&w, field->name);
		for (; (key = strstr(again, "KEY")); again = key + 3) {
			wr_bytes(&w, span_of(again, (size_t)(key - again)));
			wr_text(&w, field->name);
		}
		wr_text(&w, again);
		if (wr_fits(&w))
			write_text(version, wr_span(&w));
	}
	*written |= 1u << field->kind;
}

/* What is no field: lies, filters and their options, and what is no packet. */
static void write_lies(void)
{
	static const char *const texts[] = {
		"CONNECT !omit=client_id !omit=keep_alive !omit=protocol_name !omit=protocol_version !omit=connect_flags", "CONNECT !omit=nothing", "CONNECT !omit=client_id client_id=\"x\"",
		"CONNECT !ends_after=keep_alive", "CONNECT !ends_after", "CONNECT will.property=hex\"01 00\" will.topic=\"t\" !will.property_length=3", "CONNECT !will.property_length=hex\"80 00\"",
		"PUBLISH topic=\"a\" !remaining_length=1", "PUBLISH topic=\"a\" !remaining_length=300000000", "PUBLISH topic=\"a\" !remaining_length=hex\"ff ff ff ff\"", "PUBLISH !property_length=7",
		"PUBLISH topic=\"a\" property_length=0", "PUBACK packet_id=1 property_length=0", "PUBACK packet_id=1 !property_length=hex\"80 00\"", "PUBLISH !property=hex\"7f\"", "PUBLISH !property=7",
		"PUBLISH topic=\"a\" !trailing=hex\"00\"", "PUBLISH topic=\"a\" !trailing=$(x)", "PUBLISH topic=\"a\" payload=\"b\" size=100", "PUBLISH topic=\"a\" size=131", "PUBLISH topic=\"a\" size=3",
		"PUBLISH size=1s", "PUBLISH size=999999999", "PUBLISH size=200000000", "PUBACK packet_id=1 reason=0 size=20", "PUBACK packet_id=1 size=70000", "PUBACK packet_id=1 size=65550", "PUBACK packet_id=1 size=6", "PINGREQ size=20", "SUBSCRIBE packet_id=1 (\"a\" qos=1 no_local, \"b\" retain_handling=2 retain_as_published) size=66000",
		"SUBSCRIBE packet_id=1 (\"a\" options=255)", "SUBSCRIBE packet_id=1 (\"a\" options=256)", "SUBSCRIBE packet_id=1 (\"a\" qos=4)", "SUBSCRIBE packet_id=1 (\"a\" qos=x)", "SUBSCRIBE (\"a\" topic)", "SUBSCRIBE (\"a\" nonsense)",
		"SUBSCRIBE (\"a\" 1)", "SUBSCRIBE (1)", "SUBSCRIBE (\"a\"", "SUBSCRIBE (\"a\" hex\"00\")", "SUBSCRIBE (\"a\" !qos=3,)", "SUBSCRIBE (\"a\" \"b\")", "SUBSCRIBE (\"a\") filters=absent", "SUBSCRIBE ()", "UNSUBSCRIBE packet_id=1 (\"a\", \"b\")",
		"UNSUBSCRIBE (\"a\" qos=1)", "PUBLISH (\"a\")", "SUBACK packet_id=1 reason=[0 1 Not_authorized 256]", "UNSUBACK packet_id=1 reason=[0 17] reason=absent", "CONNECT flags=1 flags=absent connect_flags=0xff connect_flags=absent", "", "PUBLISHED", "7",
		"! PUBLISH", "publish topic=\"a\"", "PUBLISH nonsense=1", "PUBLISH 7", "PUBLISH !again", "PUBLISH !again nonsense", "PUBLISH topic", "PINGREQ -> <- >= <= .. # a comment", "PINGREQ\n# a comment\n", "\xef\xbb\xbfPINGREQ",
		"PINGREQ ((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((", "PINGREQ 3.1.1 $( 1 + 2 * 3 / 4 % 5 - 6 )", "PINGREQ `", "PINGREQ hex", "PINGREQ 1.5.", "PINGREQ a.b-c.",
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
		for (enum version version = MQTT_3_1; version <= MQTT_5; version++)
			write_text(version, span_text(texts[i]));
	for (unsigned room = 0x10; room < 0x100; room += 0x20) {	/* and where the arena is small */
		char text[] = " CONNECT client_id=\"c\" user_property=[\"k\":\"v\" \"k\":\"v\"] will.topic=\"a/b\" will.user_property=\"key\":\"value\" size=90";

		text[0] = (char)(room + 2);
		write_input("text", span_text(text));
		char subscribe[] = " SUBSCRIBE packet_id=1 (\"a\" qos=1, \"b\", \"c\") property=hex\"26 00 01 6b 00 01 76\" !property_length=7";
		subscribe[0] = (char)(room + 2);
		write_input("text", span_text(subscribe));
	}
}

void write_texts(void)
{
	uint32_t written = 0;

	for (unsigned type = CONNECT; type < N_TYPES; type++)
		for (enum version version = MQTT_5; version >= MQTT_3_1; version--) {
			const struct field *field;

			for (size_t i = 0; (field = field_at(type, version, i)); i++)
				if (!(written & 1u << field->kind) || (field->limit == REASON && version == MQTT_5))
					write_values(type, version, field, &written);
		}
	write_lies();
}

void write_as_text(enum sender from, enum version version, struct span bytes)
{
	char text[MOST];
	struct writer w = writer_to(text, sizeof(text));
	struct packet p;
	struct finding finding;

	if (decode(bytes.at, bytes.len, version, &p, &finding) != CODEC_OK)
		return;
	packet_print(&p, from, &w);
	if (wr_fits(&w))
		write_text(p.version, wr_span(&w));
}

/* ---- WebSocket ---- */

static const char key[] = "dGhlIHNhbXBsZSBub25jZQ==", accept[] = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
static const uint8_t mask[4] = { 1, 2, 3, 4 };

/* fuzz_websocket.c: whose bytes they are, and behind that in pieces of how many. */
enum { OF_CLIENT = 1, PIECE_OF_8 = 7 << 2 };

static void begin(struct writer *w, enum sender from)
{
	wr_u8(w, PIECE_OF_8 | (from == FROM_CLIENT ? OF_CLIENT : 0));
}

static void write_frame(struct writer *w, enum sender from, enum ws_opcode opcode, bool fin, struct span payload)
{
	uint8_t head[WS_HEAD_MAX];
	size_t size = ws_head(head, opcode, fin, payload.len, from == FROM_CLIENT ? mask : NULL);

	wr_bytes(w, span_of(head, size));
	for (size_t i = 0; i < payload.len; i++)
		wr_u8(w, payload.at[i] ^ (from == FROM_CLIENT ? mask[i % 4] : 0u));
}

/* A connection that opens and has one packet: in one frame, and in two with a Ping between them. */
void write_as_frames(enum sender from, struct span packet)
{
	static bool written[2][N_TYPES];
	char room[MOST];
	struct writer w = writer_to(room, sizeof(room));
	size_t half = packet.len / 2;

	if (packet.len < 2 || packet.len > MOST / 4 || written[from == FROM_CLIENT][packet.at[0] >> 4])
		return;
	written[from == FROM_CLIENT][packet.at[0] >> 4] = true;
	begin(&w, from);
	if (from == FROM_CLIENT)
		ws_request_write(&w, "broker:8080", "/mqtt", key, "mqtt");
	else
		ws_response_write(&w, accept, "mqtt");
	write_frame(&w, from, WS_BINARY, true, packet);
	write_frame(&w, from, WS_BINARY, false, span_of(packet.at, half));
	write_frame(&w, from, WS_PING, true, span_text("hi"));
	write_frame(&w, from, WS_CONTINUATION, true, span_of(packet.at + half, packet.len - half));
	write_frame(&w, from, WS_CLOSE, true, span_text("\x03\xe8" "bye"));
	write_input("websocket", wr_span(&w));
}

static void write_heads(void)
{
	static const char *const heads[] = {
		"GET /mqtt HTTP/1.0\r\n\r\n", "GET /mqtt FTP/1.1\r\n\r\n", "POST /mqtt HTTP/1.1\r\n\r\n", "GET mqtt HTTP/1.1\r\n\r\n", "GET /mqtt HTTP/1.1\r\nHost: b\r\n\r\n", "GET / HTTP/1.1\nUpgrade: WebSocket\nConnection: keep-alive, upgrade\n\n",
		"GET / HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nHost: b\r\n\r\n", "GET / HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nHost: b\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: short\r\n\r\n",
		"GET / HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nHost: b\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: other, mqttv3.1\r\n\r\n",
		"HTTP/1.1 404 Not Found\r\n\r\n", "HTTP/1.1 301 Moved\r\nLocation: http://b/\r\n\r\n", "HTTP/1.1 x01 No\r\n\r\n", "HTTP/1.1 12\r\n\r\n", "FTP/1.1 101\r\n\r\n", "HTTP/1.1 101 Yes\r\n\r\n",
		"HTTP/1.1 101 Yes\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: no\r\n\r\n",
		"HTTP/1.1 101 Yes\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n",
		"GET / HTTP/1.1\r\nHost : b\r\n\r\n", "GET / HTTP/1.1\r\n folded\r\n\r\n", "GET / HTTP/1.1\r\n: b\r\n\r\n", "GET / HTTP/1.1\r\nno colon\r\n\r\n", "GET / HTTP/1.1\r\nHost: b", "\x16\x03\x01", "GET / HTTP/1.1\rHost: b\r\n\r\n", "\r\n\r\n",
	};
	char room[HTTP_HEAD_MAX + 64];

	for (size_t i = 0; i < sizeof(heads) / sizeof(*heads); i++) {
		struct writer w = writer_to(room, sizeof(room));

		begin(&w, *heads[i] == 'H' ? FROM_SERVER : FROM_CLIENT);
		wr_text(&w, heads[i]);
		write_input("websocket", wr_span(&w));
	}
	memset(room, 'a', sizeof(room));	/* a head without an end */
	memcpy(room, "\x01GET /", 6);
	write_input("websocket", span_of(room, sizeof(room)));
}

static void write_strange_frames(void)
{
	static const struct { unsigned opcode; const char *payload; size_t len; } frames[] = {
		{ WS_CLOSE, "", 0 }, { WS_CLOSE, "x", 1 }, { WS_CLOSE, "\x03\xe9", 2 }, { WS_CLOSE, "\x03\xed", 2 }, { WS_CLOSE, "\x0b\xb8", 2 }, { WS_CLOSE, "\x03\xe8\xff", 3 }, { WS_PONG, "a", 1 },
		{ WS_TEXT, "a", 1 }, { WS_CONTINUATION, "a", 1 }, { 3, "a", 1 }, { 11, "a", 1 }, { WS_BINARY | 0x40, "a", 1 }, { WS_BINARY, "", 0 },
	};
	static uint8_t zeros[70000];
	static char room[80000];

	for (size_t i = 0; i < sizeof(frames) / sizeof(*frames); i++)
		for (enum sender from = FROM_CLIENT; from <= FROM_SERVER; from++) {
			struct writer w = writer_to(room, sizeof(room));

			begin(&w, from);
			write_frame(&w, from, frames[i].opcode, true, span_of(frames[i].payload, frames[i].len));
			write_input("websocket", wr_span(&w));
			room[0] ^= OF_CLIENT;	/* masked by whoever must not, and not by whoever must */
			write_input("websocket", wr_span(&w));
		}
	static const size_t sizes[] = { 125, 126, 300 };
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++)
		for (unsigned opcode = WS_BINARY; opcode <= WS_PING; opcode += WS_PING - WS_BINARY) {
			struct writer w = writer_to(room, sizeof(room));

			begin(&w, FROM_SERVER);
			write_frame(&w, FROM_SERVER, opcode, true, span_of(zeros, sizes[i]));
			write_frame(&w, FROM_SERVER, opcode, false, span_of(zeros, 1));
			write_frame(&w, FROM_SERVER, WS_BINARY, true, span_of(zeros, 1));
			write_input("websocket", wr_span(&w));
		}
	write_input("websocket", span_of("\x00\x82\x7f\x80\0\0\0\0\0\0\0", 11));
	write_input("websocket", span_of("\x00\x82\x7f\0\0\0\0\0\0\0\1a", 12));
	write_input("websocket", span_of("\x00\x82\x7e\0\1a", 6));
	struct writer w = writer_to(room, sizeof(room));
	begin(&w, FROM_CLIENT);
	write_frame(&w, FROM_CLIENT, WS_BINARY, true, span_of(zeros, 65000));
	write_input("websocket", wr_span(&w));
}

void write_websockets(void)
{
	write_heads();
	write_strange_frames();
}

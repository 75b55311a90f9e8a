#include <fcntl.h>

#include "codec/topic.h"
#include "fuzz/must.h"
#include "pcap/views.h"

/*
 * Packets as text, as hex with a field map, and as JSON: the first byte is the version, the direction and whether secrets are shown, the
 * rest packets one after the other, legal or not. Each is one line, of whole characters, without a control character; and secrets stay secret.
 */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MOST = 16384 };		/* so that what is written stays in the buffer to be looked at */

static struct out out;

static void look(bool lines)
{
	unsigned n = 0;

	for (size_t i = 0; i < out.len; i++) {
		n += out.room[i] == '\n';
		MUST(out.room[i] == '\n' || (out.room[i] >= ' ' && out.room[i] != 0x7f));
	}
	MUST(out.len && out.room[out.len - 1] == '\n' && (lines || n == 1) && utf8_valid(span_of(out.room, out.len)));
	out.len = 0;
}

static void show(const struct view_options *how, struct observer *(*make)(struct out *out, const struct view_options *how), struct conversation *c,
                 const struct seen_packet *seen)
{
	struct observer *o = make(&out, how);

	if (!o)
		return;
	o->ops->started(o, &seen->when);
	out.len = 0;
	o->ops->packet(o, seen);
	look(how->verbose);
	o->ops->ended(o, c, ENDED_BY_FIN, &seen->when);
	out.len = 0;
	view_free(o);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct finding finding;
	struct seen_packet seen = { .when = { 7, 1700000000123456789 }, .first = { 7, 1700000000123456789 }, .confidence = 85 };

	if (!size || size > MOST)
		return 0;
	if (!out.room && !out_init(&out, open("/dev/null", O_WRONLY)))
		return 0;
	unsigned how = *data++;
	struct conversation c = { .number = 1, .client = { .family = 4 }, .broker = { .family = 6 }, .version = MQTT_3_1 + how % 3 };
	struct view_options options = { .secrets = how & 0x80, .verbose = how & 0x40 };
	seen.conversation = &c;
	seen.from = how & 0x20 ? FROM_CLIENT : FROM_SERVER;
	for (size--; size && frame_next(data, size, &seen.frame, &finding) == FRAME_OK; data += seen.frame.size, size -= seen.frame.size) {
		seen.bytes = span_of(data, seen.frame.size);
		seen.status = decode(data, seen.frame.size, c.version, &seen.packet, &seen.finding);
		if (seen.status == CODEC_OK) {
			c.version = seen.packet.version;
			if (seen.packet.type == CONNECT)
				c.client_id = seen.packet.client_id;
			seen.topic = seen.packet.topic;
		}
		show(&options, packets_text_new, &c, &seen);
		options.verbose = false;
		show(&options, packets_json_new, &c, &seen);
	}
	return 0;
}

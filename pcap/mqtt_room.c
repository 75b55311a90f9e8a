#include "pcap/mqtt_parts.h"

#include <stdlib.h>

/* Memory of the MQTT stages: whatever grows is counted, and ends at a limit. */

static size_t *counter(struct mqtt_stage *s)
{
	return s->options.kept ? s->options.kept : &s->kept;
}

bool mqtt_hold(struct mqtt_stage *s, size_t n)
{
	size_t most = ALL_BYTES + 2 * (size_t)s->max_packet;

	if (*counter(s) + n > most)
		return false;
	*counter(s) += n;
	return true;
}

void mqtt_let_go(struct mqtt_stage *s, size_t n)
{
	*counter(s) -= n;
}

bool mqtt_reserve(struct mqtt_stage *s, struct lane *lane, size_t n)
{
	size_t cap = lane->cap ? lane->cap : 128;

	if (n <= lane->cap)
		return true;
	while (cap < n)
		cap *= 2;
	if (!mqtt_hold(s, cap - lane->cap))
		return false;
	uint8_t *buf = realloc(lane->buf, cap);
	if (!buf) {
		mqtt_let_go(s, cap - lane->cap);
		return false;
	}
	lane->buf = buf;
	lane->cap = (uint32_t)cap;
	return true;
}

void mqtt_give_back(struct mqtt_stage *s, struct lane *lane)
{
	mqtt_let_go(s, lane->cap);
	free(lane->buf);
	lane->buf = NULL;
	lane->len = lane->cap = lane->size = 0;
}

struct mark *mqtt_mark(struct mqtt_stage *s, struct marks *marks)
{
	if (marks->n == marks->cap) {
		uint32_t cap = marks->cap ? 2 * marks->cap : 8;

		if (cap > MAX_MARKS || !mqtt_hold(s, (cap - marks->cap) * sizeof(*marks->at)))
			return NULL;
		struct mark *at = realloc(marks->at, cap * sizeof(*at));
		if (!at) {
			mqtt_let_go(s, (cap - marks->cap) * sizeof(*at));
			return NULL;
		}
		marks->at = at;
		marks->cap = cap;
	}
	return &marks->at[marks->n++];
}

void mqtt_free_marks(struct mqtt_stage *s, struct marks *marks)
{
	mqtt_let_go(s, marks->cap * sizeof(*marks->at));
	free(marks->at);
	*marks = (struct marks){ 0 };
}

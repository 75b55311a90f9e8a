#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "codec/topic.h"
#include "fuzz/frames.h"
#include "fuzz/json_line.h"
#include "harness/capture_script.h"
#include "pcap/capture_internal.h"
#include "pcap/decoder.h"
#include "pcap/views.h"
#include "pcap/where.h"

/*
 * Any bytes as a capture, through all of `decode`: every observer is told things in the order that pcap/conversation.h promises, each
 * writes the same whether others watch or not, lines are whole, JSON is JSON, and what the writer of `capture` files makes of it is one.
 *
 * The first four bytes choose: the options below; which observer is tried alone, and whether all others are, too, or those beside it; the
 * filter, the title, and whether the table of clauses is written; and of a capture made of frames.h's records (else the rest is a file) the
 * family.
 */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { HOW_FRAMES = 1, HOW_SMALL = 2, HOW_SECRETS = 4, HOW_VERBOSE = 8, HOW_LIVE = 16, HOW_PORT = 32, HOW_VERSION_SHIFT = 6 };

enum {
	MOST = 1 << 15,
	MOST_UNPACKED = 1 << 18,	/* of what a few bytes can be unpacked to; and records that hold nothing */
	MOST_RECORDS = 5000,
	MOST_STREAMS = MOST_RECORDS,
	MOST_WRITTEN = 32 << 20,	/* by one observer */
};

enum writes { TEXT, JSON, SCENARIO };

struct output {
	struct observer *(*make)(struct out *out, const struct view_options *how);
	enum writes writes;
	bool verbose, filtered;
};

static const char *const titles[] = { "a.pcap", "say \"x\"\n.pcap", "\xff\\u{0}", "$(x) $topic" };
static const char *title;
static bool table;			/* the check's clauses: they cost more than all the rest */

static struct observer *scenario(struct out *out, const struct view_options *how)
{
	return scenario_new(out, how, title);
}

static struct observer *check_whole(struct out *out, const struct view_options *how)
{
	return check_new(out, how, true, table);
}

static struct observer *check_notes(struct out *out, const struct view_options *how)
{
	return check_new(out, how, false, false);
}

enum { N_KINDS = 21, EACH_TIME = MAX_OBSERVERS - 1 };

static const struct output kinds[N_KINDS] = {
	{ packets_text_new, TEXT }, { packets_text_new, TEXT, true }, { packets_json_new, JSON }, { packets_json_new, JSON, true },
	{ connections_view_new, TEXT }, { connections_view_new, JSON }, { qos_view_new, TEXT }, { qos_view_new, JSON },
	{ topics_view_new, TEXT }, { topics_view_new, JSON }, { deliveries_view_new, TEXT }, { deliveries_view_new, JSON },
	{ check_whole, TEXT }, { check_whole, JSON }, { check_notes, TEXT }, { scenario, SCENARIO },
	{ scenario, SCENARIO, false, true }, { packets_text_new, TEXT, false, true }, { packets_json_new, JSON, false, true },
	{ connections_view_new, TEXT, false, true }, { deliveries_view_new, JSON, false, true },
};

/* ---- what is promised to observers ---- */

struct known {				/* of one conversation */
	struct conversation *c;
	bool closed[2];
	uint64_t last;			/* frame of its last event */
};

struct judge {
	struct observer observer;
	bool started, finished;
	uint32_t n_open, numbers;
	uint64_t frame, packets, holes, hole_bytes;
	uint8_t verdicts[MOST_STREAMS];	/* 1: not MQTT, 2: MQTT; 0: nothing was said */
	bool spoken[MOST_STREAMS];	/* a conversation was opened */
};

static volatile uint8_t read_sum;

static struct judge *judge_of(struct observer *o)
{
	return (struct judge *)o;
}

static void judge_when(const struct judge *j, const struct when *when)
{
	MUST(j->started && !j->finished && when->frame && when->frame <= j->frame);
}

static struct known *judge_known(const struct judge *j, const struct conversation *c)
{
	struct known *known = c->of[j->observer.slot];

	MUST(known && known->c == c);
	MUST(c->version >= MQTT_3_1 && c->version <= MQTT_5);
	return known;
}

static void judge_started(struct observer *o, const struct when *when)
{
	MUST(!judge_of(o)->started && when->frame == judge_of(o)->frame);
	judge_of(o)->started = true;
}

static void judge_opened(struct observer *o, struct conversation *c, const struct when *when)
{
	struct judge *j = judge_of(o);
	struct known *known = calloc(1, sizeof(*known));

	MUST(known && !c->of[o->slot]);
	judge_when(j, when);
	MUST(c->number > 0 && c->first.frame <= when->frame);
	MUST(c->stream < MOST_STREAMS && j->verdicts[c->stream] == 2);
	MUST(!j->spoken[c->stream]);
	j->spoken[c->stream] = true;
	j->n_open++;
	if (c->number > j->numbers)
		j->numbers = c->number;
	known->c = c;
	c->of[o->slot] = known;
}

static void judge_packet(struct observer *o, const struct seen_packet *p)
{
	struct judge *j = judge_of(o);
	uint8_t sum = 0;

	judge_when(j, &p->when);
	judge_known(j, p->conversation);
	MUST(p->from == FROM_CLIENT || p->from == FROM_SERVER);
	MUST(p->first.frame && p->first.frame <= p->when.frame && p->bytes.len >= 2 && p->bytes.len == p->frame.size);
	MUST(p->sure ? p->confidence == 100 : p->confidence < 100);
	for (size_t i = 0; i < p->bytes.len; i++)
		sum ^= p->bytes.at[i];
	for (size_t i = 0; i < p->conversation->client_id.len; i++)
		sum ^= p->conversation->client_id.at[i];
	read_sum = sum;			/* all of it can be read */
	j->packets++;
	MUST(p->status == CODEC_OK || p->finding.why);
}

static void judge_hole(struct observer *o, struct conversation *c, const struct hole *hole)
{
	struct judge *j = judge_of(o);

	judge_when(j, &hole->when);
	judge_known(j, c);
	MUST(c->holed && hole->why <= HOLE_ENCRYPTED);
	j->holes++;
	j->hole_bytes += (hole->why == HOLE_UNFINISHED ? 0 : hole->bytes) + hole->skipped;
}

static void judge_closed(struct observer *o, struct conversation *c, enum sender from, bool reset, const struct when *when)
{
	struct known *known = judge_known(judge_of(o), c);

	(void)reset, (void)from;
	judge_when(judge_of(o), when);
	MUST(!(known->closed[0] && known->closed[1]));
	known->closed[known->closed[0]] = true;
}

static void judge_ended(struct observer *o, struct conversation *c, enum conversation_end how, const struct when *when)
{
	judge_when(judge_of(o), when);
	MUST(how <= ENDED_WITH_CAPTURE);
	free(judge_known(judge_of(o), c));
	c->of[o->slot] = NULL;
	judge_of(o)->n_open--;
}

static void judge_finish(struct observer *o, const struct when *when)
{
	(void)when;
	MUST(!judge_of(o)->finished && !judge_of(o)->n_open);
	judge_of(o)->finished = true;
}

static const struct observer_ops judge_ops = {
	.started = judge_started, .opened = judge_opened, .packet = judge_packet, .hole = judge_hole, .closed = judge_closed, .ended = judge_ended,
	.finish = judge_finish,
};

static void take_verdict(void *owner, uint32_t stream, bool mqtt)
{
	struct judge *j = owner;

	MUST(stream < MOST_STREAMS && !j->verdicts[stream]);
	j->verdicts[stream] = mqtt ? 2 : 1;
}

/* ---- one capture, once ---- */

struct play {
	unsigned how;
	struct input in;
	bool v6;
	const struct where *where;
	struct decoder *decoder;
	struct judge *judge;
};

static void give_record(void *context, const struct record *record)
{
	struct play *play = context;
	struct decoder_frame frame;

	if (record->when.frame > MOST_RECORDS)
		return;
	MUST(record->when.frame > play->judge->frame);
	play->judge->frame = record->when.frame;
	decoder_record(play->decoder, record);
	decoder_frame(play->decoder, &frame);
	MUST(frame.stream < (int64_t)decoder_tcp_counts(play->decoder)->flows);
}

static void give_idle(void *context, uint64_t now_ns)
{
	decoder_idle(((struct play *)context)->decoder, now_ns);
}

static void take_secrets(void *owner, struct span text)
{
	decoder_keylog(((struct play *)owner)->decoder, text);
}

static void play_file(struct play *play)
{
	struct capture_error error;
	struct source *source = source_of_memory(span_of(play->in.at, left(&play->in)), &error);
	struct capture *c = source ? capture_of_source(source, &error) : NULL;
	struct record record;

	if (!c)
		return;
	capture_on_secrets(c, take_secrets, play);
	for (int i = 0; i < MOST_RECORDS && capture_bytes(c) < MOST_UNPACKED && capture_next(c, &record, &error) == CAPTURE_RECORD; i++)
		give_record(play, &record);
	capture_close(c);
}

static struct observer *make(const struct output *kind, struct out *out, const struct play *play)
{
	struct view_options how = { .json = kind->writes == JSON, .verbose = kind->verbose || play->how & HOW_VERBOSE,
	                            .secrets = play->how & HOW_SECRETS, .live = play->how & HOW_LIVE };
	struct observer *o = kind->make(out, &how), *filtered = kind->filtered && o ? where_observer_new(play->where, o) : o;

	MUST(filtered);
	return filtered;
}

static void judge_counts(const struct play *play)
{
	const struct tcp_counts *tcp = decoder_tcp_counts(play->decoder);
	const struct judge *j = play->judge;
	struct decoder_counts counts;

	decoder_counts(play->decoder, &counts);
	MUST(j->finished && counts.packets == j->packets && counts.holes == j->holes && counts.hole_bytes == j->hole_bytes);
	MUST(counts.conversations >= j->numbers && (!counts.frames || j->started));
	MUST(!tcp->flows_now && !tcp->bytes_now && (!(play->how & HOW_SMALL) || (tcp->bytes_most <= 8192 && tcp->flows_most <= 16)));
	for (uint32_t i = 0; i < tcp->flows && i < MOST_STREAMS; i++)
		MUST(j->verdicts[i] && (j->verdicts[i] == 2) == j->spoken[i]);
}

/* The observers of the kinds named, and the judge among them. */
static void play_once(struct play *play, const struct output *const *which, struct out *const *outs, unsigned n)
{
	static const uint16_t ports[] = { 40004 };
	static const enum version versions[] = { 0, MQTT_3_1, MQTT_3_1_1, MQTT_5 };
	static struct judge judge;
	struct decoder_options options = { .version = versions[play->how >> HOW_VERSION_SHIFT], .ports = ports, .n_ports = play->how & HOW_PORT ? 1 : 0 };
	struct observer *observers[EACH_TIME];

	if (play->how & HOW_SMALL) {
		options.tcp = (struct tcp_limits){ 4096, 8192, 16, UINT64_C(10000000000) };
		options.max_packet = 1024;
	}
	judge = (struct judge){ .observer = { .ops = &judge_ops } };
	play->judge = &judge;
	play->decoder = decoder_new(&options);
	MUST(play->decoder);
	decoder_on_verdict(play->decoder, take_verdict, &judge);
	for (unsigned i = 0; i < n; i++) {
		if (i == n / 2)
			decoder_observe(play->decoder, &judge.observer);
		observers[i] = make(which[i], outs[i], play);
		decoder_observe(play->decoder, observers[i]);
	}
	if (play->how & HOW_FRAMES) {
		struct frames frames = { .frame = give_record, .idle = give_idle, .context = play, .v6 = play->v6 };

		frames_play(&frames, play->in);
	} else {
		play_file(play);
	}
	decoder_finish(play->decoder);
	judge_counts(play);
	for (unsigned i = 0; i < n; i++)
		view_free(observers[i]);
	decoder_free(play->decoder);
}

/* ---- what was written ---- */

static struct span written(struct out *out)
{
	struct stat st;
	void *at;

	out_flush(out);
	MUST(!out->error && fstat(out->fd, &st) == 0 && (uint64_t)st.st_size == out->written && st.st_size < MOST_WRITTEN);
	if (!st.st_size)
		return span_text("");
	at = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, out->fd, 0);
	MUST(at != MAP_FAILED);
	return span_of(at, (size_t)st.st_size);
}

static void forget(struct span text)
{
	if (text.len)
		munmap((void *)text.at, text.len);
}

static void blank(struct out *out)
{
	MUST(ftruncate(out->fd, 0) == 0 && lseek(out->fd, 0, SEEK_SET) == 0);
	out->written = out->shown_ns = out->len = 0;
}

static void look_at_lines(struct span text, enum writes writes)
{
	const uint8_t *at = text.at, *end = text.at + text.len, *newline;

	MUST(utf8_valid(text));
	for (size_t i = 0; i < text.len; i++)
		MUST(at[i] == '\n' || (at[i] >= ' ' && at[i] != 0x7f));
	for (; at < end; at = newline + 1) {
		newline = memchr(at, '\n', (size_t)(end - at));
		MUST(newline);
		if (writes == JSON)
			json_line(span_of(at, (size_t)(newline - at)));
	}
}

/* A file that is played: it is accepted as it is, and its steps can be read again. */
static void look_at_scenario(struct span text)
{
	static struct diagnostics found;
	struct scenario *s;

	if (!text.len)
		return;
	s = scenario_parse("fuzz.scn", text, NULL, 0, &found);
	if (!s)
		fprintf(stderr, "%u:%u: %s\n%.*s", found.list[0].at.line, found.list[0].at.column, found.list[0].text, (int)text.len, text.at);
	MUST(s && s->n_scripts == 1 && s->scripts[0].capture);
	scenario_free(s);
}

static void look(struct out *out, enum writes writes)
{
	struct span text = written(out);

	look_at_lines(text, writes);
	if (writes == SCENARIO)
		look_at_scenario(text);
	forget(text);
}

static void compare(struct out *a, struct out *b)
{
	struct span one = written(a), other = written(b);

	MUST(span_equal(one, other));
	forget(one);
	forget(other);
}

/* ---- one input ---- */

static struct out outs[N_KINDS], outs_alone[1];

static bool set_up(struct out *list, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (!out_init(&list[i], memfd_create("written", MFD_CLOEXEC)) || list[i].fd < 0)
			return false;
	return true;
}

static const struct where *filter(unsigned choice)
{
	static const char *const texts[] = {
		"type==PUBLISH", "from==broker", "qos==2", "topic~\"a/#\" || type==SUBACK", "frame>10", "client==\"a\" || unreadable",
		"packet_id==1 && !sure", "type==PUBACK || type==PUBREL || type==CONNACK",
	};
	static struct where *parsed[8];
	struct fault fault;

	choice %= 8;
	if (!parsed[choice])
		parsed[choice] = where_parse(span_text(texts[choice]), &fault);
	return parsed[choice];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct output *which[EACH_TIME];
	struct out *to[EACH_TIME];

	if (size < 5 || size > MOST || (!outs[0].room && !(set_up(outs, N_KINDS) && set_up(outs_alone, 1))))
		return 0;
	struct play play = { .how = data[0], .in = { data + 4, data + size }, .v6 = data[3] & 1, .where = filter(data[2]) };

	title = titles[data[2] >> 3 & 3];
	table = data[2] & 0x20;
	unsigned alone = (data[1] & 0x7f) % N_KINDS;
	for (unsigned from = 0; from < N_KINDS; from += EACH_TIME) {
		if (!(data[1] & 0x80) && from != alone - alone % EACH_TIME)
			continue;
		for (unsigned i = 0; i < EACH_TIME; i++) {
			which[i] = &kinds[from + i];
			to[i] = &outs[from + i];
			blank(to[i]);
		}
		play_once(&play, which, to, EACH_TIME);
		for (unsigned i = 0; i < EACH_TIME; i++)
			look(to[i], which[i]->writes);
	}
	which[0] = &kinds[alone];
	to[0] = &outs_alone[0];
	blank(to[0]);
	play_once(&play, which, to, 1);
	compare(&outs[alone], to[0]);
	return 0;
}

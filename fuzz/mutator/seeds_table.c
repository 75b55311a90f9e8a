#include "fuzz/mutator/seeds_table.h"

#include <assert.h>
#include <stdio.h>

#include "codec/fields.h"

enum { TEXT = 4096, WORDS = 200, MOST_VALUES = 300 };

struct table {
	void (*take)(void *context, const char *name, const struct script *script);
	void *context;
	enum version version;
};

static const char *const version_names[] = { [MQTT_3_1] = "3.1", [MQTT_3_1_1] = "3.1.1", [MQTT_5] = "5" };

/* ---- the conversations: $F is where the field stands, $E what it leads to; in 5 $S is a session that lasts, $R a window of one, $X a message that expires at once ---- */

static const char on_connect[] =
	"a -> CONNECT $F\n"
	"a <- CONNACK\n"
	"a subscribes (\"$(topic)/#\" qos=1)\n"
	"a publishes topic=\"$(topic)/a\" qos=1 payload=\"x\"\n"
	"a receives\n"
	"a disconnects\n"
	"b connects\n"
	"b publishes topic=\"$(topic)/a\" qos=1 payload=\"while away\"\n"
	"a -> CONNECT $F\n"
	"a <- CONNACK\n"
	"maybe a receives\n"
	"a pings\n";

static const char on_will[] =
	"w connects\n"
	"w subscribes (\"$(topic)/#\" qos=2)\n"
	"a -> CONNECT $F\n"
	"a <- CONNACK\n"
	"a drops\n"
	"maybe w receives\n"
	"$E\n"
	"w publishes topic=\"$(topic)/will\" qos=1 retain payload=\"\"\n"
	"w disconnects\n";

static const char on_publish[] =
	"s connects\n"
	"s subscribes (\"$(topic)/#\" qos=2)\n"
	"a connects\n"
	"a -> PUBLISH $F\n"
	"$E\n"
	"s receives\n"
	"late connects\n"
	"late subscribes (\"$(topic)/#\" qos=1)\n"
	"maybe late receives\n"
	"late pings\n"
	"a publishes topic=\"$(topic)/a\" qos=1 retain payload=\"\"\n";

static const char on_alias[] =
	"s connects\n"
	"s subscribes (\"$(topic)/#\" qos=2)\n"
	"a connects\n"
	"a -> PUBLISH $F\n"
	"a <- PUBACK packet_id=1\n"
	"a -> PUBLISH topic=\"\" $F\n"
	"s receives\n"
	"s receives\n"
	"a -> PUBLISH topic=\"$(topic)/another\" $F\n"
	"s receives\n";

static const char on_subscribe[] =
	"p connects\n"
	"p publishes topic=\"$(topic)/a\" qos=1 retain payload=\"kept\"\n"
	"a connects\n"
	"a -> SUBSCRIBE $F\n"
	"a <- SUBACK\n"
	"maybe a receives\n"
	"a pings\n"
	"a publishes topic=\"$(topic)/a\" qos=2 payload=\"x\"\n"
	"maybe a receives\n"
	"a pings\n"
	"a -> UNSUBSCRIBE packet_id=77 (\"$(topic)/#\")\n"
	"a <- UNSUBACK packet_id=77\n"
	"p publishes topic=\"$(topic)/a\" qos=1 retain payload=\"\"\n";

static const char on_unsubscribe[] =
	"a connects\n"
	"a subscribes (\"$(topic)/#\" qos=1, \"$(topic)/a\" qos=2)\n"
	"a -> UNSUBSCRIBE $F\n"
	"a <- UNSUBACK\n"
	"a publishes topic=\"$(topic)/a\" qos=1 payload=\"x\"\n"
	"maybe a receives\n"
	"a pings\n"
	"a disconnects\n";

static const char on_puback[] =
	"a connects\n"
	"a subscribes ($topic qos=1)\n"
	"a publishes qos=1 payload=\"x\"\n"
	"a <- PUBLISH packet_id as $p\n"
	"a -> PUBACK packet_id=$p $F\n"
	"a publishes qos=1 payload=\"y\"\n"
	"a receives\n"
	"a disconnects\n";

static const char on_pubrec[] =
	"a connects\n"
	"a subscribes ($topic qos=2)\n"
	"a publishes qos=2 payload=\"x\"\n"
	"a <- PUBLISH packet_id as $p\n"
	"a -> PUBREC packet_id=$p $F\n"
	"either {\n"
	"a <- PUBREL packet_id=$p\n"
	"a -> PUBCOMP packet_id=$p\n"
	"} or {\n"
	"a <- nothing for 100ms\n"
	"}\n"
	"a pings\n";

static const char on_pubrel[] =
	"s connects\n"
	"s subscribes ($topic qos=2)\n"
	"a connects\n"
	"a -> PUBLISH qos=2 packet_id=5 payload=\"x\"\n"
	"a <- PUBREC packet_id=5\n"
	"a -> PUBREL packet_id=5 $F\n"
	"a <- PUBCOMP packet_id=5\n"
	"s receives\n";

static const char on_pubcomp[] =
	"a connects\n"
	"a subscribes ($topic qos=2)\n"
	"a publishes qos=2 payload=\"x\"\n"
	"a <- PUBLISH packet_id as $p\n"
	"a -> PUBREC packet_id=$p\n"
	"a <- PUBREL packet_id=$p\n"
	"a -> PUBCOMP packet_id=$p $F\n"
	"a publishes qos=2 payload=\"y\"\n"
	"a receives\n";

static const char on_pingreq[] =
	"a connects\n"
	"a -> PINGREQ\n"
	"a <- PINGRESP\n"
	"together { a -> PINGREQ; a -> PINGREQ }\n"
	"a <- PINGRESP\n"
	"a <- PINGRESP\n";

static const char on_disconnect[] =
	"w connects\n"
	"w subscribes (\"$(topic)/#\" qos=1)\n"
	"a connects client_id=\"$(topic)x\" clean_start=0 $S will.topic=\"$(topic)/will\" will.payload=\"gone\" will.qos=1\n"
	"a subscribes (\"$(topic)/a\" qos=1)\n"
	"a -> DISCONNECT $F\n"
	"a <- closed\n"
	"maybe w receives\n"
	"w pings\n"
	"w publishes topic=\"$(topic)/a\" qos=1 payload=\"while away\"\n"
	"maybe w receives\n"
	"w pings\n"
	"a -> CONNECT client_id=\"$(topic)x\" clean_start=0\n"
	"a <- CONNACK\n"
	"maybe a receives\n"
	"a pings\n";

static const char on_auth[] =
	"a -> CONNECT authentication_method=\"SCRAM-SHA-256\" authentication_data=scram()\n"
	"a <- AUTH\n"
	"a -> AUTH reason=0x18 authentication_method=\"SCRAM-SHA-256\" authentication_data=scram()\n"
	"a <- CONNACK\n"
	"a -> AUTH $F\n"
	"a <- AUTH\n"
	"a -> AUTH reason=0x18 authentication_method=\"SCRAM-SHA-256\" authentication_data=scram()\n"
	"a <- AUTH\n"
	"a pings\n";

static const char on_reading[] =
	"s connects\n"
	"s subscribes (\"$(topic)/#\" qos=2)\n"
	"s reads nothing\n"
	"a connects\n"
	"repeat 12 { a publishes topic=\"$(topic)/a\" $F payload=fill(300) }\n"
	"s reads freely\n"
	"repeat 12 { s receives }\n";

/* What waits behind a full window, expires there, and goes on when it opens. */
static const char on_window[] =
	"a connects client_id=\"$(topic)x\" $R\n"
	"a subscribes ($topic $F)\n"
	"a publishes $F payload=\"1\"\n"
	"a publishes $F payload=\"2\" $X\n"
	"a publishes $F payload=\"3\"\n"
	"maybe a receives payload=\"1\"\n"
	"maybe a receives payload=\"2\"\n"
	"maybe a receives payload=\"3\"\n"
	"a pings\n"
	"a disconnects\n";

/* What was under way is acknowledged on the next connection: at once, as if nothing had been in between, and again when it has come again. */
static const char on_resumption[] =
	"a connects client_id=\"$(topic)x\" clean_start=0 $S $R\n"
	"a subscribes ($topic $F)\n"
	"a publishes $F payload=\"1\"\n"
	"a publishes $F payload=\"2\" $X\n"
	"a publishes $F payload=\"3\"\n"
	"a <- PUBLISH payload=\"1\" packet_id as $p\n"
	"a drops\n"
	"a -> CONNECT client_id=\"$(topic)x\" clean_start=0 keep_alive=60 $S $R\n"
	"a -> $E packet_id=$p\n"
	"a <- CONNACK\n"
	"maybe a receives payload=\"1\"\n"
	"maybe a receives payload=\"2\"\n"
	"maybe a receives payload=\"3\"\n"
	"a pings\n"
	"a disconnects\n";

/* What each packet says beside the field in question, which replaces one of the same name. */
static const struct base {
	enum packet_type type;
	const char *words, *conversation, *needs;
} bases[] = {
	{ CONNECT, "client_id=\"$(topic)x\" keep_alive=60", on_connect, "" },
	{ PUBLISH, "topic=\"$(topic)/a\" qos=1 packet_id=1 payload=\"x\"", on_publish, "" },
	{ SUBSCRIBE, "packet_id=1", on_subscribe, "" },
	{ UNSUBSCRIBE, "packet_id=1", on_unsubscribe, "" },
	{ PUBACK, "", on_puback, "" },
	{ PUBREC, "", on_pubrec, "" },
	{ PUBREL, "", on_pubrel, "" },
	{ PUBCOMP, "", on_pubcomp, "" },
	{ PINGREQ, "", on_pingreq, "" },
	{ DISCONNECT, "", on_disconnect, "" },
	{ AUTH, "reason=0x19 authentication_method=\"SCRAM-SHA-256\" authentication_data=scram()", on_auth, "auth=SCRAM-SHA-256" },
};

static const char will_words[] = "client_id=\"$(topic)x\" keep_alive=60 will.topic=\"$(topic)/will\" will.payload=\"gone\" will.qos=1";

/* ---- values ---- */

static const char *const by_name[][6] = {	/* a field's name, and what it is to be */
	{ "client_id", "\"\"", "\"$(topic)-23-characters-\"", "\"$(topic)/+/#\"" },
	{ "keep_alive", "0", "1", "65535" },
	{ "payload", "\"\"", "fill(300)", "hex\"00 ff c0 80\"" },
	{ "will.payload", "\"\"", "fill(300)" },
	{ "topic", "\"$(topic)/a/b/c\"", "\"$(topic)/\"", "\"$(topic)//\u00e9\"" },
	{ "will.delay_interval", "0", "1" },
	{ "authentication_method", "\"SCRAM-SHA-256\"" },
	{ "authentication_data", "scram()" },
	{ "session_expiry_interval", "0", "10", "4294967295" },
	{ "maximum_packet_size", "100", "4294967295" },
	{ "message_expiry_interval", "0", "10", "4294967295" },
	{ "user_name", "\"user\"", "\"\"" },
	{ "password", "hex\"00 01\"" },
	{ "packet_id", "2", "65535" },
	{ "retain_handling", "0", "1", "2", "3" },
};

struct values {
	char at[MOST_VALUES][40];
	size_t n;
};

static void add_value(struct values *v, const char *format, unsigned long number)
{
	assert(v->n < MOST_VALUES);
	snprintf(v->at[v->n++], sizeof(v->at[0]), format, number);
}

static void add_numbers(struct values *v, enum limit limit, unsigned long most)
{
	if (limit == BOOL || limit == QOS) {
		for (unsigned long i = 0; i <= (limit == QOS ? 2u : 1u); i++)
			add_value(v, "%lu", i);
		return;
	}
	add_value(v, "%lu", limit == NONZERO);
	add_value(v, "%lu", 10);
	add_value(v, "%lu", most);
}

static void values_of(const struct field *field, enum packet_type type, enum version version, struct values *v)
{
	v->n = 0;
	for (size_t i = 0; i < sizeof(by_name) / sizeof(by_name[0]); i++)
		if (!strcmp(by_name[i][0], field->name)) {
			for (size_t k = 1; k < 6 && by_name[i][k]; k++)
				snprintf(v->at[v->n++], sizeof(v->at[0]), "%s", by_name[i][k]);
			return;
		}
	switch (field->kind) {
	case BITS:
		add_numbers(v, field->limit, 0);
		break;
	case U8:
		for (unsigned code = 0; field->limit == REASON && code < 256; code++)
			if (reason_listed(type, version, code, FROM_CLIENT))
				add_value(v, "0x%02lx", code);
		if (field->limit != REASON)
			add_numbers(v, field->limit, 255);
		break;
	case U16:    add_numbers(v, field->limit, 65535); break;
	case U32:    add_numbers(v, field->limit, 4294967295); break;
	case VARINT: add_numbers(v, field->limit, VARINT_MAX); break;
	case STR:    add_value(v, field->limit == ANY ? "\"text\"" : "\"$(topic)/r\"", 0); break;
	case BIN:    add_value(v, "hex\"00 01 ff\"", 0); break;
	case PAIR:   add_value(v, "[\"k\":\"v\" \"k\":\"\"]", 0); break;
	default:     break;
	}
}

/* ---- putting together ---- */

static void put(char *text, size_t *len, const char *s, size_t n)
{
	assert(*len + n < TEXT);
	memcpy(text + *len, s, n);
	*len += n;
	text[*len] = '\0';
}

/* The words but for those that name this field, or what goes with it only. */
static void put_words(char *text, size_t *len, const char *words, const char *but, const char *nor)
{
	while (*words) {
		size_t n = strcspn(words, " ");

		if ((strncmp(words, but, strlen(but)) || words[strlen(but)] != '=') && (!*nor || strncmp(words, nor, strlen(nor)))) {
			put(text, len, words, n);
			put(text, len, " ", 1);
		}
		words += n + (words[n] == ' ');
	}
}

static void put_in_5(const struct table *t, char *text, size_t *len, const char *s)
{
	if (t->version == MQTT_5)
		put(text, len, s, strlen(s));
}

/* False: it is no scenario. */
static bool scenario(const struct table *t, const char *title, const char *needs, const char *conversation, const char *fields, const char *expects)
{
	static struct diagnostics found;
	struct scenario *made;
	char text[TEXT], name[WORDS + 20];
	size_t len = (size_t)snprintf(text, sizeof(text), "scenario \"a table's\"\nmqtt %s\nwatches %s MQTT-3.12.4-1\n%s%s\n", version_names[t->version],
	                              t->version == MQTT_5 ? "5" : "3.1.1", *needs ? "needs " : "", needs);

	for (const char *at = conversation; *at; ) {
		if (!strncmp(at, "$F", 2))
			put(text, &len, fields, strlen(fields));
		else if (!strncmp(at, "$E", 2))
			put(text, &len, expects, strlen(expects));
		else if (!strncmp(at, "$S", 2))
			put_in_5(t, text, &len, "session_expiry_interval=10");
		else if (!strncmp(at, "$R", 2))
			put_in_5(t, text, &len, "receive_maximum=1");
		else if (!strncmp(at, "$X", 2))
			put_in_5(t, text, &len, "message_expiry_interval=0");
		else
			put(text, &len, at, 1);
		at += at[0] == '$' && strchr("FESRX", at[1]) ? 2 : 1;
	}
	made = scenario_parse("table", span_of(text, len), NULL, 0, &found);
	if (!made)
		return false;
	snprintf(name, sizeof(name), "table: %s in %s", title, version_names[t->version]);
	t->take(t->context, name, &made->scripts[0]);
	scenario_free(made);
	return true;
}

static const char *answer_to(const char *qos)
{
	return *qos == '0' ? "a pings" : *qos == '2' ? "a <- PUBREC packet_id=1\na -> PUBREL packet_id=1\na <- PUBCOMP packet_id=1" : "a <- PUBACK";
}

/* Part of a filter. */
static bool is_option(enum packet_type type, const struct field *field)
{
	return field && type == SUBSCRIBE && !field->property && strcmp(field->name, "packet_id");
}

/* One value of one field; NULL: the packet as it is without. mark: "!" where a client may not send it so. */
static bool one_value(const struct table *t, const struct base *base, const struct field *field, const char *value, const char *mark)
{
	bool will = field && field->will, alias = field && field->property == PROP_topic_alias;
	const char *name = field ? field->name : "", *conversation = will || (field && !strncmp(name, "will.", 5)) ? on_will : base->conversation;
	bool delays = will && field->property == PROP_will_delay_interval;
	const char *expects = conversation != on_will ? answer_to(!strcmp(name, "qos") ? value : "1") : delays ? "wait 1200ms" : "w pings";
	const char *option;
	char fields[TEXT] = "", title[WORDS], own[WORDS] = "", needs[WORDS];
	size_t len = 0;

	if (field)
		snprintf(own, sizeof(own), "%s%s=%s", mark, name, value);
	option = is_option(base->type, field) ? own : base->type == SUBSCRIBE ? "qos=1" : "";
	put_words(fields, &len, conversation == on_will ? will_words : base->words, name, !strcmp(name, "qos") && *value == '0' ? "packet_id" : "");
	if (delays)
		put(fields, &len, "session_expiry_interval=10 ", 27);
	if (!strcmp(name, "password") && t->version != MQTT_5)
		put(fields, &len, "user_name=\"user\" ", 17);
	if (!is_option(base->type, field))
		put(fields, &len, own, strlen(own));
	if (base->type == SUBSCRIBE || base->type == UNSUBSCRIBE)
		len += (size_t)snprintf(fields + len, sizeof(fields) - len, " (\"$(topic)/#\"%s%s)", base->type == SUBSCRIBE ? " " : "", option);
	snprintf(title, sizeof(title), "%s%s%s", packet_name(base->type), field ? " " : "", own);
	snprintf(needs, sizeof(needs), alias ? "topic_alias_maximum>=%s" : "%s", alias ? value : base->needs);
	return scenario(t, title, needs, alias ? on_alias : conversation, fields, expects);
}

static void add_one(const struct table *t, const struct base *base, const struct field *field, const char *value)
{
	bool added = one_value(t, base, field, value, "") || one_value(t, base, field, value, "!");

	assert(added);
}

static void add(const struct table *t, const char *title, const char *conversation, const char *fields, const char *expects)
{
	bool added = scenario(t, title, "", conversation, fields, expects);

	assert(added);
}

/* Filters are no fields of a packet. */
static void filters(const struct table *t)
{
	static const char *const forms[] = {	/* the last in 5 only */
		"\"$(topic)/+\" qos=1", "\"+/a/$(topic)\" qos=1", "\"$(topic)/a\" qos=1, \"$(topic)/#\" qos=2",
		"\"$(topic)/+/#\" qos=1, \"$(topic)/a\" qos=0, \"$(topic)/a\" qos=1", "\"$share/g/$(topic)/#\" qos=1",
	};
	size_t n = sizeof(forms) / sizeof(forms[0]) - (t->version != MQTT_5);

	for (size_t i = 0; i < n; i++) {
		char fields[WORDS], title[WORDS];

		snprintf(fields, sizeof(fields), "packet_id=1 (%s)", forms[i]);
		snprintf(title, sizeof(title), "SUBSCRIBE (%s)", forms[i]);
		add(t, title, on_subscribe, fields, "");
	}
}

/* Set by what stands beside them, or to nothing that another field does not say; ids that must be those of what is answered; and the first step of every AUTH. */
static bool passed_over(const struct field *field, enum packet_type type)
{
	static const char *const names[] = { "flags", "protocol_name", "protocol_version", "connect_flags", "will.flag", "properties", "will.properties", "filters", "options" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (!strcmp(field->name, names[i]))
			return true;
	if (!strcmp(field->name, "packet_id"))
		return type != PUBLISH && type != SUBSCRIBE && type != UNSUBSCRIBE;
	return type == CONNECT && (field->property == PROP_authentication_method || field->property == PROP_authentication_data);
}

void table_scripts(enum version version, void (*take)(void *context, const char *name, const struct script *script), void *context)
{
	struct table t = { take, context, version };
	struct values values;

	for (size_t i = 0; i < sizeof(bases) / sizeof(bases[0]); i++) {
		const struct base *base = &bases[i];
		const struct field *field;

		if (base->type == AUTH && version != MQTT_5)
			continue;
		add_one(&t, base, NULL, "");
		for (size_t k = 0; (field = field_at(base->type, version, k)); k++) {
			if (passed_over(field, base->type))
				continue;
			values_of(field, base->type, version, &values);
			for (size_t m = 0; m < values.n; m++)
				add_one(&t, base, field, values.at[m]);
		}
	}
	filters(&t);
	for (unsigned qos = 0; qos < 3; qos++) {
		char fields[WORDS], title[WORDS];

		snprintf(fields, sizeof(fields), "qos=%u", qos);
		snprintf(title, sizeof(title), "reading stops, qos=%u", qos);
		add(&t, title, on_reading, fields, "");
		if (!qos)
			continue;
		snprintf(title, sizeof(title), "a full window, qos=%u", qos);
		add(&t, title, on_window, fields, "");
		snprintf(title, sizeof(title), "a session with some under way, qos=%u", qos);
		add(&t, title, on_resumption, fields, qos == 1 ? "PUBACK" : "PUBREC");
	}
}

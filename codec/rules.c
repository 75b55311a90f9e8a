#include "codec/finding.h"

static const struct {
	const char *id_311, *id_5, *asks;
} rules[N_RULES] = {
#define X(name, id_311_, id_5_, asks_) [RULE_##name] = { id_311_, id_5_, asks_ },
#include "codec/rules.def"
};

const char *rule_id(enum rule rule, enum version version)
{
	const char *id = version == MQTT_5 ? rules[rule].id_5 : rules[rule].id_311;

	return id ? id : version == MQTT_5 ? rules[rule].id_311 : rules[rule].id_5;
}

const char *rule_asks(enum rule rule)
{
	return rules[rule].asks;
}

void finding_rule(const struct finding *finding, struct writer *w)
{
	const char *id = rule_id(finding->rule, finding->version);

	wr_text(w, finding->version == MQTT_5 ? "5:" : finding->rule >= RULE_PROTOCOL_NAME_3_1 ? "3.1:" : "3.1.1:");
	wr_text(w, id);
}

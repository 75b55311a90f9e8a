#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "codec/topic.h"
#include "reference-broker/acl.h"

/*
 * An access list, whatever it holds: reading ends, with rules or with a fault that has a place in the file. What was read
 * keeps its word: who may subscribe to a filter may read each topic that it matches, and nobody gets more by a name
 * that is a wildcard.
 *
 * The input is user name, client id, topic and filter, a line each, and the list.
 */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_fault(const struct fault *fault, struct span text)
{
	unsigned lines = 1;

	for (size_t i = 0; i < text.len; i++)
		lines += text.at[i] == '\n';
	assert(fault->line && fault->line <= lines);
	assert(fault->column && fault->column <= text.len + 1);
	assert(*fault->text);
	for (const char *c = fault->text; *c; c++)
		assert((uint8_t)*c >= ' ' && (uint8_t)*c < 0x7f);
}

static struct span take_line(struct span *text)
{
	const uint8_t *end = text->len ? memchr(text->at, '\n', text->len) : NULL;
	struct span line = { text->at, end ? (size_t)(end - text->at) : text->len };
	size_t used = line.len + (end != NULL);

	*text = span_of(text->at + used, text->len - used);
	return line;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span text = { data, size };
	struct span user = take_line(&text), client = take_line(&text), topic = take_line(&text), filter = take_line(&text);
	struct fault fault;
	struct acl *acl;

	if (size > 8192)
		return 0;
	acl = acl_parse(text, &fault);
	if (!acl) {
		check_fault(&fault, text);
		return 0;
	}
	bool may_read = acl_may(acl, user, client, ACT_SUBSCRIBE, topic), may_subscribe = acl_may(acl, user, client, ACT_SUBSCRIBE, filter);

	if (topic_name_valid(topic) && topic_filter_valid(filter) && topic_matches(filter, topic) && may_subscribe)
		assert(may_read);
	acl_may(acl, user, client, ACT_PUBLISH, topic);
	acl_may(acl, (struct span){ 0 }, client, ACT_PUBLISH, topic);
	acl_free(acl);
	return 0;
}

#include <stdio.h>
#include <stdlib.h>
#include <openssl/ssl.h>

#include "codec/reader.h"
#include "harness/escape.h"
#include "pcap/tls_internal.h"

enum message_type { CLIENT_HELLO = 1, SERVER_HELLO = 2, ENCRYPTED_EXTENSIONS = 8, FINISHED = 20, KEY_UPDATE = 24 };
enum extension { SERVER_NAME = 0, ALPN = 16, EARLY_DATA = 42, SUPPORTED_VERSIONS = 43 };
enum { MESSAGE_MOST = 16384 };	/* of one that is looked at */

/* [RFC 8446, 4.1.3] the random of a ServerHello that is a HelloRetryRequest */
static const uint8_t retry_random[TLS_RANDOM] = {
	0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91,
	0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
};

static struct reader sub_u16(struct reader *r)
{
	uint16_t len = rd_u16(r);

	return r->why ? (struct reader){ 0 } : rd_sub(r, len);
}

static struct reader sub_u8(struct reader *r)
{
	uint8_t len = rd_u8(r);

	return r->why ? (struct reader){ 0 } : rd_sub(r, len);
}

/* ---- extensions ---- */

static void note_alpn(struct tls *t, struct reader body)
{
	struct reader names = sub_u16(&body), first = sub_u8(&names);

	if (!names.why && rd_left(&first))
		escape_bytes(first.pos, rd_left(&first), t->notes->alpn, sizeof(t->notes->alpn));
}

static void note_server_name(struct tls *t, struct reader body)
{
	struct reader list = sub_u16(&body);
	uint8_t type = rd_u8(&list);
	struct reader name = sub_u16(&list);

	if (!list.why && type == 0)
		escape_bytes(name.pos, rd_left(&name), t->notes->server_name, sizeof(t->notes->server_name));
}

struct extensions {
	bool early_data;
	uint16_t version;		/* ServerHello's selected one; 0: not there */
};

static struct extensions read_extensions(struct tls *t, struct reader *r, enum message_type in)
{
	struct extensions seen = { 0 };
	struct reader list = sub_u16(r);

	while (rd_left(&list)) {
		uint16_t type = rd_u16(&list);
		struct reader body = sub_u16(&list);

		if (list.why)
			break;
		if (type == ALPN)
			note_alpn(t, body);
		else if (type == SERVER_NAME && in == CLIENT_HELLO)
			note_server_name(t, body);
		else if (type == EARLY_DATA)
			seen.early_data = true;
		else if (type == SUPPORTED_VERSIONS && in == SERVER_HELLO)
			seen.version = rd_u16(&body);
	}
	return seen;
}

/* ---- messages ---- */

static void client_hello(struct tls *t, unsigned end, struct reader r, const struct when *when)
{
	if (t->notes->client_hello && !tls_is_client(t, end)) {
		tls_give_up(t, "both ends send a ClientHello", when);
		return;
	}
	if (t->suite)			/* encrypted: a renegotiation begins, and is named when keys change */
		return;
	rd_u16(&r);			/* legacy_version */
	struct span random = rd_bytes(&r, TLS_RANDOM);
	sub_u8(&r);			/* session id */
	sub_u16(&r);			/* cipher suites */
	sub_u8(&r);			/* compression methods */
	if (r.why) {
		tls_give_up(t, "its ClientHello is malformed", when);
		return;
	}
	memcpy(t->client_random, random.at, TLS_RANDOM);
	t->notes->client_hello = true;
	t->notes->client_end = end;
	t->early_offered = read_extensions(t, &r, CLIENT_HELLO).early_data;
}

static void begin_epoch(struct tls_side *side, enum tls_epoch epoch)
{
	side->epoch = epoch;
	side->generation = epoch;
	side->keyed = side->passed = false;
	side->seq = 0;
}

static void server_hello(struct tls *t, unsigned end, struct reader r, const struct when *when)
{
	if (t->suite)
		return;
	uint16_t version = rd_u16(&r);
	struct span random = rd_bytes(&r, TLS_RANDOM);
	sub_u8(&r);
	uint16_t suite = rd_u16(&r);
	uint8_t compression = rd_u8(&r);
	if (r.why || (t->notes->client_hello && tls_is_client(t, end))) {
		tls_give_up(t, "its ServerHello is malformed", when);
		return;
	}
	if (!memcmp(random.at, retry_random, TLS_RANDOM)) {
		t->early_offered = false;	/* the client must not go on with it */
		return;
	}
	if (!t->notes->client_hello)
		t->notes->client_end = !end;
	t->notes->server_hello = true;
	struct extensions seen = read_extensions(t, &r, SERVER_HELLO);
	version = seen.version ? seen.version : version;
	const struct tls_suite *found = tls_suite_find(suite);
	memcpy(t->server_random, random.at, TLS_RANDOM);
	t->is_13 = version == 0x0304;
	if (version != 0x0303 && version != 0x0304)
		tls_give_up(t, tls_version_unread(version, t->notes->room), when);
	else if (!found || found->is_13 != t->is_13)
		tls_give_up(t, tls_suite_unread(suite, t->notes->room), when);
	else if (compression)
		tls_give_up(t, "TLS compression is not read", when);
	else if (!t->notes->client_hello)
		tls_give_up(t, "its ClientHello was not captured", when);
	else
		t->suite = found;
	if (t->suite && t->is_13) {
		begin_epoch(&t->sides[0], EPOCH_HANDSHAKE);
		begin_epoch(&t->sides[1], EPOCH_HANDSHAKE);
	}
}

static void key_update(struct tls *t, unsigned end, const struct when *when)
{
	struct tls_side *side = &t->sides[end];
	struct tls_keys next;

	if (!tls_keys_update(t->suite, &side->keys, &next)) {
		tls_give_up(t, "OpenSSL cannot derive its keys", when);
		return;
	}
	side->keys = next;
	side->seq = 0;
	side->generation++;
}

static void message(struct tls *t, unsigned end, enum message_type type, struct span body, const struct when *when)
{
	struct tls_side *side = &t->sides[end];
	struct reader r = reader_over(body);

	if (type == CLIENT_HELLO) {
		client_hello(t, end, r, when);
	} else if (type == SERVER_HELLO) {
		server_hello(t, end, r, when);
	} else if (type == ENCRYPTED_EXTENSIONS && side->epoch == EPOCH_HANDSHAKE) {
		bool accepted = read_extensions(t, &r, type).early_data;

		if (accepted && t->early_seen)	/* it was application data */
			t->above->ops->hole(t->above, !end, 0, HOLE_ENCRYPTED, when);
	} else if (type == FINISHED && side->epoch == EPOCH_HANDSHAKE) {
		begin_epoch(side, EPOCH_TRAFFIC);
	} else if (type == KEY_UPDATE && t->is_13 && side->epoch == EPOCH_TRAFFIC && body.len == 1) {
		key_update(t, end, when);
	}
}

static bool is_looked_at(enum message_type type)
{
	return type == CLIENT_HELLO || type == SERVER_HELLO || type == ENCRYPTED_EXTENSIONS || type == FINISHED || type == KEY_UPDATE;
}

static void forget(struct tls *t, struct tls_messages *m)
{
	if (m->body)
		t->shared->room += MESSAGE_MOST;
	free(m->body);
	m->body = NULL;
	m->len = m->left = m->n_head = 0;
}

void tls_messages_lost(struct tls *t, unsigned end)
{
	forget(t, &t->sides[end].messages);
	t->sides[end].messages.lost = true;
}

/* A part of a message's body: some of it is still to come, or it is the last of several. */
static void gather(struct tls *t, struct tls_messages *m, struct span part)
{
	if (!m->body && !m->len && is_looked_at(m->head[0]) && part.len + m->left <= MESSAGE_MOST && t->shared->room >= MESSAGE_MOST) {
		m->body = malloc(part.len + m->left);
		if (m->body)
			t->shared->room -= MESSAGE_MOST;
	}
	if (m->body)
		memcpy(m->body + m->len, part.at, part.len);
	m->len += (uint32_t)part.len;
}

void tls_messages_read(struct tls *t, unsigned end, struct span bytes, const struct when *when)
{
	struct tls_messages *m = &t->sides[end].messages;

	if (m->lost)
		return;
	while (bytes.len && !t->gave_up) {
		if (m->n_head < sizeof(m->head)) {
			m->head[m->n_head++] = *bytes.at++;
			bytes.len--;
			m->left = (uint32_t)m->head[1] << 16 | (uint32_t)m->head[2] << 8 | m->head[3];
			if (m->n_head < sizeof(m->head) || m->left)
				continue;
		}
		struct span part = { bytes.at, bytes.len < m->left ? bytes.len : m->left };
		bytes.at += part.len;
		bytes.len -= part.len;
		m->left -= (uint32_t)part.len;
		if (m->len || m->left)
			gather(t, m, part);
		if (m->left)
			break;
		if (m->body)
			part = span_of(m->body, m->len);
		if (m->body || !m->len)
			message(t, end, m->head[0], part, when);
		forget(t, m);
	}
}

void tls_alert_read(struct tls *t, struct span alert)
{
	enum { CLOSE_NOTIFY = 0, USER_CANCELED = 90, NO_RENEGOTIATION = 100 };

	if (alert.len != 2 || t->notes->readable || alert.at[1] == CLOSE_NOTIFY || alert.at[1] == USER_CANCELED || alert.at[1] == NO_RENEGOTIATION)
		return;
	snprintf(t->notes->room, sizeof(t->notes->room), "its handshake failed: alert %u, %s", alert.at[1], SSL_alert_desc_string_long(alert.at[1]));
	t->notes->why_not = t->notes->room;
}

#include "pcap/tls_internal.h"

enum {
	TRIES = 64,			/* numbers of records that may be missing where nobody knows how many bytes are */
	TRIES_MOST = 1024,		/* and where that is known */
	TRY_COST = 256,			/* of one, in bytes, beside those decrypted */
};

/* A record as it is tried with several keys and numbers. */
struct sealed {
	struct span additional;		/* but for the number and length in TLS 1.2 */
	struct span body;		/* ciphertext and tag */
	uint64_t nonce;			/* the explicit one of TLS 1.2 */
	enum tls_content type;
	uint8_t *plain;
	size_t len;			/* of plain */
};

static void put_u64(uint8_t *to, uint64_t value)
{
	for (unsigned i = 0; i < 8; i++)
		to[i] = (uint8_t)(value >> (56 - 8 * i));
}

static uint64_t get_u64(const uint8_t *from)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < 8; i++)
		value = value << 8 | from[i];
	return value;
}

static size_t overhead(const struct tls *t)
{
	const struct tls_aead_facts *aead = &tls_aeads[t->suite->aead];

	return TLS_HEADER + aead->tag_len + (t->is_13 ? 1 : aead->explicit_nonce);
}

static bool try_number(struct tls *t, const struct tls_keys *keys, uint64_t seq, const struct sealed *s)
{
	const struct tls_aead_facts *aead = &tls_aeads[t->suite->aead];
	uint8_t nonce[TLS_NONCE], additional[13];
	struct span aad = s->additional;

	memcpy(nonce, keys->iv, TLS_NONCE);
	if (!t->is_13 && aead->explicit_nonce) {
		put_u64(nonce + 4, s->nonce);		/* [RFC 5288, 3] */
	} else {
		uint8_t number[8];

		put_u64(number, seq);			/* [RFC 8446, 5.3; RFC 7905, 2] */
		for (unsigned i = 0; i < 8; i++)
			nonce[4 + i] ^= number[i];
	}
	if (!t->is_13) {				/* [RFC 5246, 6.2.3.3] */
		put_u64(additional, seq);
		memcpy(additional + 8, s->additional.at, 3);
		additional[11] = (uint8_t)(s->len >> 8);
		additional[12] = (uint8_t)s->len;
		aad = span_of(additional, sizeof(additional));
	}
	return tls_open(t->shared, t->suite->aead, keys->key, nonce, aad, s->body, s->plain);
}

/* Numbers from first on, n at most. Each costs, and who has nothing left stops: a hostile capture is read in linear time. */
static bool try_numbers(struct tls *t, struct tls_side *side, const struct tls_keys *keys, uint64_t first, uint64_t n, const struct sealed *s, uint64_t *seq)
{
	for (uint64_t i = 0; i < n; i++) {
		if (side->credit < s->body.len + TRY_COST)
			return false;
		side->credit -= s->body.len + TRY_COST;
		*seq = first + i;
		if (try_number(t, keys, *seq, s))
			return true;
	}
	return false;
}

/* ---- keys ---- */

/* The keys of the side's epoch, from the key log. */
static bool install(struct tls *t, unsigned end, enum tls_epoch epoch, struct tls_keys *keys, bool *fit)
{
	bool client = tls_is_client(t, end);
	enum keylog_label label = !t->is_13 ? KEYLOG_MASTER
	                        : epoch == EPOCH_HANDSHAKE ? (client ? KEYLOG_CLIENT_HANDSHAKE : KEYLOG_SERVER_HANDSHAKE)
	                                                   : (client ? KEYLOG_CLIENT_TRAFFIC : KEYLOG_SERVER_TRAFFIC);
	struct span secret;

	if (!keylog_find(t->shared->keylog, t->client_random, label, &secret))
		return false;
	*fit = t->is_13 ? tls_keys_13(t->suite, secret, keys)
	                : tls_keys_12(t->suite, secret, t->client_random, t->server_random, client, keys);
	return true;
}

static enum tls_outcome key_side(struct tls *t, unsigned end, const struct when *when)
{
	struct tls_side *side = &t->sides[end];
	bool fit = false;

	if (side->keyed)
		return TLS_TAKEN;
	side->keyed = install(t, end, side->epoch, &side->keys, &fit);
	if (!side->keyed && t->impatient && side->epoch == EPOCH_HANDSHAKE) {
		/* What only the handshake's secret could read is passed over. */
		side->keyed = install(t, end, EPOCH_TRAFFIC, &side->keys, &fit);
		if (side->keyed) {
			side->epoch = side->generation = EPOCH_TRAFFIC;
			side->unsure = true;
		}
	}
	if (side->keyed && fit)
		return TLS_TAKEN;
	if (side->keyed)
		tls_give_up(t, "its secret in the key log has the wrong length", when);
	else if (t->impatient)
		tls_give_up(t, "no keys", when);
	return t->gave_up ? TLS_TAKEN : TLS_WAIT;
}

/* The keys that follow the present ones, should a record that said so be missing. */
static bool next_keys(struct tls *t, unsigned end, struct tls_keys *keys)
{
	struct tls_side *side = &t->sides[end];
	bool fit = false;

	if (!t->is_13)
		return false;
	if (side->epoch == EPOCH_HANDSHAKE)
		return install(t, end, EPOCH_TRAFFIC, keys, &fit) && fit;
	return tls_keys_update(t->suite, &side->keys, keys);
}

/* ---- what is missing ---- */

void tls_owe(struct tls *t, unsigned end, uint64_t from, enum hole_why why, const struct when *when)
{
	struct tls_side *side = &t->sides[end];

	if (!side->owed.owed)
		side->owed = (struct tls_owed){
			.owed = true, .exact = !side->adrift, .why = why, .when = *when, .from = from, .seq = side->seq, .generation = side->generation,
		};
}

void tls_owe_record(struct tls *t, unsigned end, size_t len)
{
	enum { KEY_UPDATE_LEN = 5 };
	struct tls_owed *owed = &t->sides[end].owed;

	owed->records++;
	owed->doubtful |= t->suite && t->is_13 && len == overhead(t) + KEY_UPDATE_LEN;
}

static void tell(struct tls *t, unsigned end, uint64_t bytes)
{
	struct tls_side *side = &t->sides[end];

	t->above->ops->hole(t->above, end, bytes, side->owed.why, &side->owed.when);
}

/* Content of records that are missing, from all of their bytes; 0: it cannot be said, as some may hold no application data. */
static uint64_t content(const struct tls *t, const struct tls_side *side, uint64_t bytes, uint64_t records)
{
	const struct tls_owed *owed = &side->owed;
	bool data = side->passed && owed->generation == side->generation && owed->exact && !side->padded;

	return data && t->suite && bytes > records * overhead(t) ? bytes - records * overhead(t) : 0;
}

void tls_owed_tell(struct tls *t, unsigned end)
{
	struct tls_side *side = &t->sides[end];

	if (!side->owed.owed)
		return;
	side->owed.owed = false;
	if (side->owed.sought || side->owed.doubtful) {
		side->adrift = true;
		tell(t, end, 0);
	} else {
		tell(t, end, content(t, side, side->at + side->passing - side->owed.from, side->owed.records));
		side->seq += side->owed.records;
	}
}

/* A record was read, with this number, that begins at `from`: so is known what was missing before it. */
static void settle(struct tls *t, unsigned end, uint64_t from, uint64_t seq)
{
	struct tls_side *side = &t->sides[end];
	struct tls_owed *owed = &side->owed;
	uint64_t handshake = t->is_13 ? 0 : 1;		/* of the numbers under the traffic keys: Finished in 1.2 */

	if (!owed->owed)
		return;
	owed->owed = false;
	if (side->epoch != EPOCH_TRAFFIC)
		owed->owed = true;			/* application data may yet turn out to be missing */
	else if (side->generation == EPOCH_TRAFFIC && !side->passed && seq <= handshake)
		return;					/* nothing of it was */
	else if (owed->generation == side->generation && seq == owed->seq)
		return;
	else
		tell(t, end, owed->generation == side->generation ? content(t, side, from - owed->from, seq - owed->seq) : 0);
}

/* ---- one record ---- */

/* Behind missing records: the number is sought forward, then under the next keys. */
static bool find_number(struct tls *t, unsigned end, const struct sealed *s, uint64_t *seq)
{
	struct tls_side *side = &t->sides[end];
	const struct tls_owed *owed = &side->owed;
	uint64_t n = TRIES, missing = side->at - owed->from;
	struct tls_keys next;

	if (owed->owed && owed->exact && missing / overhead(t) + 2 > n)
		n = missing / overhead(t) + 2 < TRIES_MOST ? missing / overhead(t) + 2 : TRIES_MOST;
	/* Most write the explicit nonce as a counter: then it tells how many are missing. */
	if (!t->is_13 && tls_aeads[t->suite->aead].explicit_nonce && side->authentic && s->nonce > side->last_nonce &&
	    try_numbers(t, side, &side->keys, side->seq + (s->nonce - side->last_nonce) - 1, 1, s, seq))
		return true;
	if (try_numbers(t, side, &side->keys, side->seq + 1, n - 1, s, seq))
		return true;
	if (!next_keys(t, end, &next) || !try_numbers(t, side, &next, 0, n, s, seq))
		return false;
	side->keys = next;
	side->epoch = EPOCH_TRAFFIC;
	side->generation++;
	return true;
}

static bool prepare(const struct tls *t, struct span record, struct sealed *s, uint8_t *plain)
{
	const struct tls_aead_facts *aead = &tls_aeads[t->suite->aead];
	size_t explicit_nonce = t->is_13 ? 0 : aead->explicit_nonce, head = TLS_HEADER + explicit_nonce;

	if (record.len < head + aead->tag_len)
		return false;
	s->additional = span_of(record.at, TLS_HEADER);
	s->type = record.at[0];
	s->nonce = explicit_nonce ? get_u64(record.at + TLS_HEADER) : 0;
	s->body = span_of(record.at + head, record.len - head);
	s->plain = plain;
	s->len = s->body.len - aead->tag_len;
	return true;
}

/* [RFC 8446, 5.2] the content's type stands behind it, and padding of zeros behind that */
static bool unwrap(struct tls_side *side, struct sealed *s)
{
	size_t len = s->len;

	while (len && !s->plain[len - 1])
		len--;
	if (!len)
		return false;
	side->padded |= len != s->len;
	s->type = s->plain[len - 1];
	s->len = len - 1;
	return true;
}

static void pass_up(struct tls *t, unsigned end, struct span bytes, const struct when *when)
{
	struct tls_side *side = &t->sides[end];

	if (!bytes.len)
		return;
	tls_owed_tell(t, !end);		/* what may have caused this is missing */
	side->passed = true;
	t->notes->readable = true;
	t->notes->why_not = NULL;
	t->above->ops->bytes(t->above, end, bytes, when);
}

static void take_content(struct tls *t, unsigned end, const struct sealed *s, const struct when *when)
{
	struct span bytes = span_of(s->plain, s->len);

	if (s->type == TLS_APPLICATION_DATA)
		pass_up(t, end, bytes, when);
	else if (s->type == TLS_HANDSHAKE)
		tls_messages_read(t, end, bytes, when);
	else if (s->type == TLS_ALERT)
		tls_alert_read(t, bytes);
	else if (s->type == TLS_CHANGE_CIPHER_SPEC && !t->is_13)
		tls_give_up(t, "its keys were renegotiated, which is not read", when);
}

/* Early data, under keys of its own, goes before the first record that the handshake's keys read. */
static bool may_be_early(const struct tls *t, unsigned end)
{
	const struct tls_side *side = &t->sides[end];

	return t->early_offered && side->epoch == EPOCH_HANDSHAKE && tls_is_client(t, end) && !side->unsure && !side->authentic;
}

/* A record, and none that can be read. */
static void pass_over(struct tls *t, unsigned end, size_t record_len, uint64_t from, const struct when *when)
{
	struct tls_side *side = &t->sides[end];

	if (!side->authentic && !t->notes->readable)
		t->notes->why_not = "its keys in the key log do not fit";
	tls_owe(t, end, from, HOLE_ENCRYPTED, when);
	tls_owe_record(t, end, record_len);
	side->unsure = true;
	tls_messages_lost(t, end);
}

enum tls_outcome tls_sealed_read(struct tls *t, unsigned end, struct span record, uint64_t from, const struct when *when)
{
	struct tls_side *side = &t->sides[end];
	uint8_t plain[TLS_PAYLOAD_MOST];
	struct sealed s = { 0 };
	uint64_t seq = side->seq;
	enum tls_outcome outcome = key_side(t, end, when);

	if (outcome != TLS_TAKEN || t->gave_up)
		return outcome;
	bool found = prepare(t, record, &s, plain) && try_number(t, &side->keys, seq, &s);
	if (!found && may_be_early(t, end)) {
		t->early_seen = true;
		return TLS_TAKEN;
	}
	if (!found && !(s.plain && find_number(t, end, &s, &seq))) {
		if (side->seeking)
			return TLS_NO_RECORD;
		pass_over(t, end, record.len, from, when);
		return TLS_TAKEN;
	}
	side->authentic = true;
	side->seeking = side->unsure = side->adrift = false;
	settle(t, end, from, seq);
	side->seq = seq + 1;
	side->last_nonce = s.nonce;
	if (side->epoch == EPOCH_TRAFFIC && side->messages.lost) {
		tls_messages_lost(t, end);
		side->messages.lost = false;	/* what comes now begins anew: hardly any of it is longer than a record */
	}
	if (!t->is_13 || unwrap(side, &s))
		take_content(t, end, &s, when);
	return TLS_TAKEN;
}

#ifndef PCAP_TLS_INTERNAL_H
#define PCAP_TLS_INTERNAL_H

#include <openssl/evp.h>

#include "pcap/tls_stage.h"

/* What the parts of the TLS stage share. RFC 5246 (1.2), RFC 8446 (1.3); presentation language and names are theirs. */

enum {
	TLS_HEADER = 5,
	TLS_PAYLOAD_MOST = 16384 + 2048,
	TLS_RECORD_MOST = TLS_HEADER + TLS_PAYLOAD_MOST,
	TLS_RANDOM = 32,
	TLS_NONCE = 12,
	TLS_KEY_MOST = 32,
	TLS_SECRET_MOST = KEYLOG_SECRET_MAX,
};

enum tls_content { TLS_CHANGE_CIPHER_SPEC = 20, TLS_ALERT = 21, TLS_HANDSHAKE = 22, TLS_APPLICATION_DATA = 23, TLS_HEARTBEAT = 24 };

/* ---- cipher suites: tls_suites.c ---- */

enum tls_aead { AES_128_GCM, AES_256_GCM, AES_128_CCM, AES_256_CCM, AES_128_CCM_8, AES_256_CCM_8, CHACHA20_POLY1305, N_TLS_AEADS };

struct tls_aead_facts {
	const char *name;		/* OpenSSL's */
	uint8_t key_len, tag_len;
	uint8_t explicit_nonce;		/* bytes of it in a record of TLS 1.2; the others come from the key block */
	bool ccm;
};

extern const struct tls_aead_facts tls_aeads[N_TLS_AEADS];

struct tls_suite {
	uint16_t id;
	uint8_t aead;
	uint8_t hash_len;		/* of the key derivation: 32 SHA-256, 48 SHA-384 */
	bool is_13;
};

const struct tls_suite *tls_suite_find(uint16_t id);		/* NULL: it is not read */
const char *tls_suite_unread(uint16_t id, char room[96]);	/* why, in a line */
const char *tls_version_unread(uint16_t version, char room[96]);

/* ---- keys: tls_keys.c ---- */

struct tls_keys {		/* of one direction, for as long as they are used */
	uint8_t secret[TLS_SECRET_MOST];	/* TLS 1.3 */
	uint8_t key[TLS_KEY_MOST], iv[TLS_NONCE];
};

struct tls_shared {
	const struct keylog *keylog;
	struct tls_cipher {
		EVP_CIPHER_CTX *context;
		uint8_t key[TLS_KEY_MOST];
		bool keyed;
	} ciphers[N_TLS_AEADS];
	size_t room;			/* bytes that may still be kept in all */
};

bool tls_keys_12(const struct tls_suite *suite, struct span master, const uint8_t client_random[TLS_RANDOM], const uint8_t server_random[TLS_RANDOM],
                 bool of_client, struct tls_keys *keys);
bool tls_keys_13(const struct tls_suite *suite, struct span secret, struct tls_keys *keys);
bool tls_keys_update(const struct tls_suite *suite, const struct tls_keys *keys, struct tls_keys *next);

/* sealed: ciphertext and tag. Writes sealed.len less the tag to plain, which means nothing when it returns false: not authentic. */
bool tls_open(struct tls_shared *shared, enum tls_aead aead, const uint8_t *key, const uint8_t nonce[TLS_NONCE], struct span additional,
              struct span sealed, uint8_t *plain);

/* ---- a connection ---- */

enum tls_epoch { EPOCH_PLAIN, EPOCH_HANDSHAKE /* TLS 1.3 */, EPOCH_TRAFFIC };

struct tls_messages {		/* the handshake messages of one end, from records cut anywhere */
	uint8_t head[4];
	uint8_t n_head;
	bool lost;			/* something is missing: where the next message begins is not known */
	uint8_t *body;			/* of one that is not whole in its record */
	uint32_t len;			/* of body so far */
	uint32_t left;			/* of the message still to come */
};

/* Records that are missing upwards, and of which nobody has been told yet: the next one that is read tells how many they were. */
struct tls_owed {
	bool owed, exact;		/* exact: the length is known of all that is missing */
	bool sought;			/* but not where its records began */
	bool doubtful;			/* one of them may be a KeyUpdate, from its length */
	enum hole_why why;
	struct when when;
	uint64_t from;			/* where in the stream the first of them begins */
	uint64_t seq;			/* its number */
	uint64_t records;		/* unless sought: how many */
	unsigned generation;
};

struct tls_side {
	/* records */
	uint8_t *kept;			/* bytes that are no whole record yet, or wait; NULL when there are none */
	size_t kept_cap, kept_from, kept_end;
	struct when kept_when;		/* of its last byte */
	uint64_t at;			/* where in the stream kept begins, or else what comes next */
	uint32_t passing;		/* bytes to come of a record of which a part was lost */
	bool seeking;			/* where the next record begins is not known */
	bool deaf;			/* it cannot be read any more */
	struct tls_owed owed;
	uint64_t credit;		/* bytes that may be decrypted in vain */
	/* protection */
	enum tls_epoch epoch;
	bool keyed, unsure;		/* unsure: records are missing, the next one's number is to be found */
	bool adrift;			/* so many are missing that nobody can say how many, and this was told */
	bool authentic, passed;		/* a record was decrypted; application data was passed up under these keys */
	bool padded;			/* TLS 1.3 records of it have padding */
	struct tls_keys keys;
	uint64_t seq;
	uint64_t last_nonce;		/* TLS 1.2: the explicit one of the record before seq */
	unsigned generation;		/* of keys: 0 none, 1 handshake, 2 traffic, 3... after key updates */
	struct tls_messages messages;
};

struct waiting;

struct tls {
	struct stage stage;
	struct stage *above;
	struct tls_shared *shared;
	struct tls_notes *notes;
	const struct tls_suite *suite;	/* NULL until ServerHello */
	bool is_13;
	bool early_offered;		/* by ClientHello */
	bool early_seen;		/* records that may be early data */
	bool gave_up;
	bool blocked;			/* at a record whose secret is not in the key log yet, */
	unsigned blocked_end;		/* of this end, */
	uint64_t blocked_taken;		/* which had so many then */
	bool impatient;			/* there is no waiting any more */
	uint8_t client_random[TLS_RANDOM], server_random[TLS_RANDOM];
	struct tls_side sides[2];
	struct waiting *first, **last;	/* what came since, in order */
	size_t held;			/* by those */
};

/* why is static or in notes->room. Application data that was read before stays what it is. */
void tls_give_up(struct tls *t, const char *why, const struct when *when);
bool tls_is_client(const struct tls *t, unsigned end);

/* ---- tls_handshake.c ---- */

/* The handshake messages in the payload of one record, or in its first part. */
void tls_messages_read(struct tls *t, unsigned end, struct span bytes, const struct when *when);
void tls_messages_lost(struct tls *t, unsigned end);	/* what comes next of them does not continue what was */
void tls_alert_read(struct tls *t, struct span alert);

/* ---- tls_sealed.c ---- */

enum tls_outcome {
	TLS_TAKEN,			/* read, or passed over and noted */
	TLS_WAIT,			/* its secret is not there yet */
	TLS_NO_RECORD,			/* while seeking: it does not authenticate, so it is none */
};

/* An encrypted record: decrypted, and what it holds done. from: where in the stream it begins. */
enum tls_outcome tls_sealed_read(struct tls *t, unsigned end, struct span record, uint64_t from, const struct when *when);
/* A record of this end is missing, or was not authentic; it begins at `from`. */
void tls_owe(struct tls *t, unsigned end, uint64_t from, enum hole_why why, const struct when *when);
void tls_owe_record(struct tls *t, unsigned end, size_t len);	/* one more, of this length with its header, where nothing is sought */
void tls_owed_tell(struct tls *t, unsigned end);	/* now, if there is something */

/* ---- tls_records.c ---- */

/* Reads as much as can be; returns how much. The rest, and t->blocked is set, when a record has to wait for its secret. */
size_t tls_records_read(struct tls *t, unsigned end, struct span bytes, const struct when *when);
void tls_records_hole(struct tls *t, unsigned end, uint64_t len, enum hole_why why, const struct when *when);
void tls_records_release(struct tls *t, unsigned end);

#endif

#include <stdio.h>

#include "pcap/tls_internal.h"

const struct tls_aead_facts tls_aeads[N_TLS_AEADS] = {
	[AES_128_GCM] = { "AES-128-GCM", 16, 16, 8, false },
	[AES_256_GCM] = { "AES-256-GCM", 32, 16, 8, false },
	[AES_128_CCM] = { "AES-128-CCM", 16, 16, 8, true },
	[AES_256_CCM] = { "AES-256-CCM", 32, 16, 8, true },
	[AES_128_CCM_8] = { "AES-128-CCM", 16, 8, 8, true },
	[AES_256_CCM_8] = { "AES-256-CCM", 32, 8, 8, true },
	[CHACHA20_POLY1305] = { "ChaCha20-Poly1305", 32, 16, 0, false },
};

/* Where the registry has the suites of TLS 1.2 in rows of the same cipher: ids from, step, to (RFC 5288, 5289, 5487, 6655, 7251, 7905, 8442). */
static const struct row {
	uint16_t from, step, to;
	uint8_t aead, hash_len;
} rows[] = {
	{ 0x009c, 2, 0x00ac, AES_128_GCM, 32 },
	{ 0x009d, 2, 0x00ad, AES_256_GCM, 48 },
	{ 0xc02b, 2, 0xc031, AES_128_GCM, 32 },
	{ 0xc02c, 2, 0xc032, AES_256_GCM, 48 },
	{ 0xd001, 1, 0xd001, AES_128_GCM, 32 },
	{ 0xd002, 1, 0xd002, AES_256_GCM, 48 },
	{ 0xc09c, 2, 0xc09e, AES_128_CCM, 32 },
	{ 0xc09d, 2, 0xc09f, AES_256_CCM, 32 },
	{ 0xc0a0, 2, 0xc0a2, AES_128_CCM_8, 32 },
	{ 0xc0a1, 2, 0xc0a3, AES_256_CCM_8, 32 },
	{ 0xc0a4, 2, 0xc0a6, AES_128_CCM, 32 },
	{ 0xc0a5, 2, 0xc0a7, AES_256_CCM, 32 },
	{ 0xc0a8, 2, 0xc0aa, AES_128_CCM_8, 32 },
	{ 0xc0a9, 2, 0xc0ab, AES_256_CCM_8, 32 },
	{ 0xc0ac, 1, 0xc0ac, AES_128_CCM, 32 },
	{ 0xc0ad, 1, 0xc0ad, AES_256_CCM, 32 },
	{ 0xc0ae, 1, 0xc0ae, AES_128_CCM_8, 32 },
	{ 0xc0af, 1, 0xc0af, AES_256_CCM_8, 32 },
	{ 0xd003, 1, 0xd003, AES_128_CCM_8, 32 },
	{ 0xd005, 1, 0xd005, AES_128_CCM, 32 },
	{ 0xcca8, 1, 0xccae, CHACHA20_POLY1305, 32 },
};

static const struct tls_suite suites_13[] = {
	{ 0x1301, AES_128_GCM, 32, true },
	{ 0x1302, AES_256_GCM, 48, true },
	{ 0x1303, CHACHA20_POLY1305, 32, true },
	{ 0x1304, AES_128_CCM, 32, true },
	{ 0x1305, AES_128_CCM_8, 32, true },
};

/* What is the same of all of one cipher in TLS 1.2; their key exchanges do not matter here. */
static const struct tls_suite suites_12[N_TLS_AEADS] = {
	[AES_128_GCM] = { 0, AES_128_GCM, 32, false },
	[AES_256_GCM] = { 0, AES_256_GCM, 48, false },
	[AES_128_CCM] = { 0, AES_128_CCM, 32, false },
	[AES_256_CCM] = { 0, AES_256_CCM, 32, false },
	[AES_128_CCM_8] = { 0, AES_128_CCM_8, 32, false },
	[AES_256_CCM_8] = { 0, AES_256_CCM_8, 32, false },
	[CHACHA20_POLY1305] = { 0, CHACHA20_POLY1305, 32, false },
};

const struct tls_suite *tls_suite_find(uint16_t id)
{
	for (size_t i = 0; i < sizeof(suites_13) / sizeof(*suites_13); i++)
		if (suites_13[i].id == id)
			return &suites_13[i];
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		if (id >= rows[i].from && id <= rows[i].to && (id - rows[i].from) % rows[i].step == 0)
			return &suites_12[rows[i].aead];
	return NULL;
}

/* Those that are not read and still met: CBC, and what has no encryption at all. */
static const struct name {
	uint16_t id;
	const char *name;
} names[] = {
	{ 0x0005, "RSA_WITH_RC4_128_SHA" },
	{ 0x000a, "RSA_WITH_3DES_EDE_CBC_SHA" },
	{ 0x002f, "RSA_WITH_AES_128_CBC_SHA" },
	{ 0x0033, "DHE_RSA_WITH_AES_128_CBC_SHA" },
	{ 0x0035, "RSA_WITH_AES_256_CBC_SHA" },
	{ 0x0039, "DHE_RSA_WITH_AES_256_CBC_SHA" },
	{ 0x003b, "RSA_WITH_NULL_SHA256" },
	{ 0x003c, "RSA_WITH_AES_128_CBC_SHA256" },
	{ 0x003d, "RSA_WITH_AES_256_CBC_SHA256" },
	{ 0x0067, "DHE_RSA_WITH_AES_128_CBC_SHA256" },
	{ 0x006b, "DHE_RSA_WITH_AES_256_CBC_SHA256" },
	{ 0x008c, "PSK_WITH_AES_128_CBC_SHA" },
	{ 0x008d, "PSK_WITH_AES_256_CBC_SHA" },
	{ 0x00ae, "PSK_WITH_AES_128_CBC_SHA256" },
	{ 0x00af, "PSK_WITH_AES_256_CBC_SHA384" },
	{ 0xc009, "ECDHE_ECDSA_WITH_AES_128_CBC_SHA" },
	{ 0xc00a, "ECDHE_ECDSA_WITH_AES_256_CBC_SHA" },
	{ 0xc013, "ECDHE_RSA_WITH_AES_128_CBC_SHA" },
	{ 0xc014, "ECDHE_RSA_WITH_AES_256_CBC_SHA" },
	{ 0xc023, "ECDHE_ECDSA_WITH_AES_128_CBC_SHA256" },
	{ 0xc024, "ECDHE_ECDSA_WITH_AES_256_CBC_SHA384" },
	{ 0xc027, "ECDHE_RSA_WITH_AES_128_CBC_SHA256" },
	{ 0xc028, "ECDHE_RSA_WITH_AES_256_CBC_SHA384" },
	{ 0xc035, "ECDHE_PSK_WITH_AES_128_CBC_SHA" },
	{ 0xc036, "ECDHE_PSK_WITH_AES_256_CBC_SHA" },
	{ 0xc037, "ECDHE_PSK_WITH_AES_128_CBC_SHA256" },
	{ 0xc038, "ECDHE_PSK_WITH_AES_256_CBC_SHA384" },
};

const char *tls_suite_unread(uint16_t id, char room[96])
{
	const char *name = NULL;

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (names[i].id == id)
			name = names[i].name;
	snprintf(room, 96, name ? "cipher suite 0x%04x (TLS_%s) is not read" : "cipher suite 0x%04x is not read", id, name);
	return room;
}

const char *tls_version_unread(uint16_t version, char room[96])
{
	if (version >= 0x0301 && version <= 0x0302)
		snprintf(room, 96, "TLS 1.%d is not read", version - 0x0301);
	else if (version == 0x0300)
		return "SSL 3.0 is not read";
	else
		snprintf(room, 96, "TLS version 0x%04x is not read", version);
	return room;
}

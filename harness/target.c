#include "harness/target.h"

#include <arpa/inet.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/un.h>

#include "codec/span.h"
#include "harness/console.h"

enum { MQTT_PORT = 1883, TLS_PORT = 8883, HTTP_PORT = 80, HTTPS_PORT = 443 };

#define LABEL_CHARACTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"

static bool wrong(struct fault *fault, const char *format, ...) __attribute__((format(printf, 2, 3)));
static bool wrong(struct fault *fault, const char *format, ...)
{
	va_list args;

	*fault = (struct fault){ 0 };
	va_start(args, format);
	vsnprintf(fault->text, sizeof(fault->text), format, args);
	va_end(args);
	return false;
}

/* ---- pieces ---- */

/* text[0..len) is a decimal port and nothing else. */
static bool read_port(struct span text, enum address_use use, unsigned *port)
{
	unsigned value = 0;

	if (!text.len || text.len > 5)
		return false;
	for (size_t i = 0; i < text.len; i++) {
		if (text.at[i] < '0' || text.at[i] > '9')
			return false;
		value = 10 * value + (text.at[i] - '0');
	}
	*port = value;
	return value <= 65535 && (value || use == ADDRESS_TO_LISTEN);
}

static bool is_ipv6(const char *host)
{
	struct in6_addr number;
	char bare[INET6_ADDRSTRLEN];
	size_t len = strcspn(host, "%");	/* fe80::1%eth0 */

	if (len >= sizeof(bare))
		return false;
	memcpy(bare, host, len);
	bare[len] = '\0';
	return inet_pton(AF_INET6, bare, &number) == 1;
}

static bool is_host_name(const char *host)
{
	for (; *host; host++)
		if (strchr(" \t/\\@?#[]\"'", *host) || (unsigned char)*host < ' ' || *host == 0x7f)
			return false;
	return true;
}

/* ---- tcp ---- */

/* Splits host[:port] at the colon; *port_text.at is NULL when there is none. */
static bool split(const char *text, struct span *host, struct span *port, bool *bracketed, struct fault *fault)
{
	const char *end = text + strlen(text), *colon;

	*bracketed = *text == '[';
	*port = (struct span){ 0 };
	if (*bracketed) {
		const char *close = strchr(text, ']');

		if (!close)
			return wrong(fault, "expected a closing ] in %s", console_safe(text));
		if (close[1] && close[1] != ':')
			return wrong(fault, "expected :PORT behind ] in %s", console_safe(text));
		*host = span_of(text + 1, (size_t)(close - text - 1));
		if (close[1])
			*port = span_of(close + 2, (size_t)(end - close - 2));
		return true;
	}
	colon = strchr(text, ':');
	if (colon && strchr(colon + 1, ':'))
		return wrong(fault, "expected an IPv6 address in brackets, as in [::1]:1883, not %s", console_safe(text));
	*host = span_of(text, (size_t)((colon ? colon : end) - text));
	if (colon)
		*port = span_of(colon + 1, (size_t)(end - colon - 1));
	return true;
}

static bool parse_host_port(const char *text, enum address_use use, struct address *address, struct fault *fault)
{
	struct span host = { 0 }, port = { 0 };
	bool bracketed;

	if (!split(text, &host, &port, &bracketed, fault))
		return false;
	if (!host.len)
		return wrong(fault, "expected a host, as in localhost:1883%s", *text ? "" : ", not nothing");
	if (host.len >= sizeof(address->host))
		return wrong(fault, "the host has %zu characters; at most %zu can be", host.len, sizeof(address->host) - 1);
	address->kind = ADDRESS_TCP;
	memcpy(address->host, host.at, host.len);
	address->host[host.len] = '\0';
	if (bracketed && !is_ipv6(address->host))
		return wrong(fault, "expected an IPv6 address in the brackets, not %s", console_safe(address->host));
	if (!bracketed && !is_host_name(address->host))
		return wrong(fault, "expected host[:port], not %s", console_safe(text));
	if (!address->port)
		address->port = MQTT_PORT;
	if (port.at && !read_port(port, use, &address->port))
		return wrong(fault, "expected a port from %d to 65535 behind the colon in %s", use == ADDRESS_TO_CONNECT, console_safe(text));
	return true;
}

/* What stands between the scheme and the path: host[:port]. */
static bool parse_authority(const char *text, size_t len, enum address_use use, struct address *address, struct fault *fault)
{
	char rest[300];

	if (len >= sizeof(rest))
		return wrong(fault, "the host is too long");
	if (memchr(text, '@', len))
		return wrong(fault, "credentials do not go into the URL: use --user and --password-file");
	memcpy(rest, text, len);
	rest[len] = '\0';
	return parse_host_port(rest, use, address, fault);
}

static bool parse_tcp(const char *text, enum address_use use, struct address *address, struct fault *fault)
{
	size_t len = strcspn(text, "/");

	if (text[len] && text[len + 1])		/* tcp://host/ is how many programs print it */
		return wrong(fault, "expected nothing behind the port: only ws and wss have a path");
	return parse_authority(text, len, use, address, fault);
}

static bool parse_tls(const char *text, enum address_use use, struct address *address, struct fault *fault)
{
	address->port = TLS_PORT;
	address->layers.tls = true;
	return parse_tcp(text, use, address, fault);
}

static bool parse_ws(const char *text, enum address_use use, struct address *address, struct fault *fault)
{
	size_t len = strcspn(text, "/");
	const char *path = text + len;

	if (strlen(path) >= sizeof(address->layers.path))
		return wrong(fault, "the path has %zu characters; at most %zu can be", strlen(path), sizeof(address->layers.path) - 1);
	for (const char *c = path; *c; c++)
		if (*c <= ' ' || *c > '~' || *c == '#')
			return wrong(fault, "expected a path without spaces, # and bytes beyond ASCII (write them as %%xx), not %s", console_safe(path));
	if (use == ADDRESS_TO_LISTEN && path[0] && path[1])
		return wrong(fault, "expected nothing behind the port: this server takes every path");
	strcpy(address->layers.path, path[0] && path[1] ? path : "");
	address->layers.websocket = true;
	if (!address->port)
		address->port = HTTP_PORT;
	return parse_authority(text, len, use, address, fault);
}

static bool parse_wss(const char *text, enum address_use use, struct address *address, struct fault *fault)
{
	address->port = HTTPS_PORT;
	address->layers.tls = true;
	return parse_ws(text, use, address, fault);
}

/* ---- unix ---- */

static bool parse_unix(const char *path, enum address_use use, struct address *address, struct fault *fault)
{
	(void)use;
	if (strncmp(path, "//", 2) == 0)
		path += 2;			/* unix:///path is the same */
	if (*path != '/')
		return wrong(fault, "expected an absolute path, as in unix:/run/broker.sock");
	if (strlen(path) >= sizeof(((struct sockaddr_un *)0)->sun_path))
		return wrong(fault, "the path of a unix socket can have %zu characters, not %zu",
		             sizeof(((struct sockaddr_un *)0)->sun_path) - 1, strlen(path));
	address->kind = ADDRESS_UNIX;
	strcpy(address->host, path);
	return true;
}

/* ---- */

static const struct scheme {
	const char *prefix;
	bool (*parse)(const char *rest, enum address_use use, struct address *address, struct fault *fault);
} schemes[] = {
	{ "tcp://", parse_tcp }, { "mqtt://", parse_tcp }, { "tls://", parse_tls }, { "mqtts://", parse_tls }, { "ssl://", parse_tls },
	{ "ws://", parse_ws }, { "wss://", parse_wss }, { "unix:", parse_unix },
};

bool address_parse(const char *url, enum address_use use, struct address *address, struct fault *fault)
{
	memset(address, 0, sizeof(*address));
	for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++)
		if (strncasecmp(url, schemes[i].prefix, strlen(schemes[i].prefix)) == 0)
			return schemes[i].parse(url + strlen(schemes[i].prefix), use, address, fault);
	if (strstr(url, "://"))
		return wrong(fault, "expected tcp://, tls://, ws:// or wss://host:port, unix:/path or host:port, not %s", console_safe(url));
	return parse_host_port(url, use, address, fault);
}

bool target_parse(const char *text, struct target *target, struct fault *fault)
{
	size_t len = strcspn(text, "=:/[");
	char *label = target->label;

	memset(target, 0, sizeof(*target));
	if (text[len] == '=') {
		if (!len || strspn(text, LABEL_CHARACTERS) < len)
			return wrong(fault, "expected a label of letters, digits and . _ - before the =, not %s", console_safe(text));
		if (len > 64)
			return wrong(fault, "the label has %zu characters; at most 64 can be", len);
		memcpy(label, text, len);
		text += len + 1;
	}
	if (!address_parse(text, ADDRESS_TO_CONNECT, &target->address, fault))
		return false;
	if (!*label && target->address.kind == ADDRESS_UNIX)
		snprintf(label, sizeof(target->label), "%s", target->address.host);
	else if (!*label)
		snprintf(label, sizeof(target->label), strchr(target->address.host, ':') ? "[%s]:%u" : "%s:%u",
		         target->address.host, target->address.port);
	return true;
}

static const char *scheme_of(const struct layers *layers)
{
	return layers->websocket ? layers->tls ? "wss" : "ws" : layers->tls ? "tls" : "tcp";
}

char *address_print(const struct address *address, char *buf, size_t cap)
{
	if (address->kind == ADDRESS_UNIX)
		snprintf(buf, cap, "unix:%s", address->host);
	else if (address->kind == ADDRESS_MEMORY)
		snprintf(buf, cap, "in process");
	else
		snprintf(buf, cap, strchr(address->host, ':') ? "%s://[%s]:%u%s" : "%s://%s:%u%s", scheme_of(&address->layers), address->host,
		         address->port, address->layers.path);
	return buf;
}

bool address_is_loopback(const struct address *address)
{
	struct in_addr v4;

	if (address->kind != ADDRESS_TCP)
		return true;
	if (inet_pton(AF_INET, address->host, &v4) == 1)
		return ntohl(v4.s_addr) >> 24 == 127;
	return strcasecmp(address->host, "localhost") == 0 || strcmp(address->host, "::1") == 0;
}

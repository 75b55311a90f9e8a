#include "harness/hello.h"

#include "codec/build.h"

void hello(enum version version, struct span client_id, struct span user_name, struct span password,
           struct packet *packet, struct writer *w)
{
	struct arena none;
	struct builder b;

	arena_init(&none, NULL, 0);
	builder_start(&b, CONNECT, version, &none);
	*packet = b.packet;
	packet->client_id = client_id;
	packet->keep_alive = 60;
	packet->connect_flags = CONNECT_CLEAN_START;
	if (user_name.at) {
		packet->connect_flags |= CONNECT_USER_NAME;
		packet->user_name = user_name;
	}
	if (password.at) {
		packet->connect_flags |= CONNECT_PASSWORD;
		packet->password = password;
	}
	encode(packet, NULL, w);
}

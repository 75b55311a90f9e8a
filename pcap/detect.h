#ifndef PCAP_DETECT_H
#define PCAP_DETECT_H

#include "pcap/mqtt_stage.h"
#include "pcap/stage.h"
#include "pcap/tls_stage.h"
#include "pcap/ws_stage.h"

/*
 * The stage at the bottom of a connection, and again inside TLS: keeps the first bytes until they show what it is (TLS, a WebSocket, or what
 * may be MQTT), puts the fitting stage above itself and passes everything on.
 */

struct detected {		/* of one connection; the owner's, zeroed, and there as long as its stages */
	bool tls, websocket, mqtt, gave_up;	/* which were put on; nothing will come of it */
	struct tls_notes tls_notes;
	struct ws_notes ws_notes;
};

/* options is copied, tls borrowed as long as the stage lives; forced, likely, from_start and via are those of the connection itself. Given, ends as stages do; NULL when memory is short. */
struct stage *detect_stage_new(struct mqtt_listener *listener, const struct mqtt_options *options,
                               struct tls_shared *tls, struct detected *detected);

#endif

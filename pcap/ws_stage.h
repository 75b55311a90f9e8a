#ifndef PCAP_WS_STAGE_H
#define PCAP_WS_STAGE_H

#include "pcap/stage.h"

/*
 * A WebSocket from its upgrade request on: the payload of data frames of both directions goes to `above`, in whatever frames it came.
 * A connection joined midway is read from the first plausible frame header. Behind a hole the next plausible header is sought.
 */

struct ws_notes {
	bool upgraded;			/* answered 101 */
	bool offers_mqtt, selects_mqtt;
	char path[128];			/* escaped, cut; "" when not seen */
	unsigned client_end;
};

/* Whether these first bytes begin a WebSocket upgrade (a GET ... HTTP/1.1 head): yes 1, no 0 (also another HTTP request, when the head is whole), more needed -1. */
int ws_looks_like(struct span bytes);

struct stage *ws_stage_new(struct stage *above, struct ws_notes *notes);	/* notes borrowed as long as the stage lives */

#endif

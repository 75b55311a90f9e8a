#ifndef PCAP_WS_STAGE_H
#define PCAP_WS_STAGE_H

#include "pcap/stage.h"

/*
 * A WebSocket from its upgrade request on: the payload of data frames of both directions goes to `above`, in whatever frames it came.
 * A connection joined midway is read from the first plausible frame header. A hole inside a frame's payload whose length is known is passed
 * up as it is; behind another, and behind what is no frame, a hole of unknown length is, and the next plausible header is sought.
 * When the upgrade is refused, nothing more is passed up. Text frames, though MQTT may not use them, are read as binary ones.
 */

struct ws_notes {
	bool upgraded;			/* answered 101 */
	bool offers_mqtt, selects_mqtt;
	char path[32];			/* escaped, cut; "" when not seen */
	unsigned client_end;
	size_t *kept;			/* set by the caller: where the bytes that stages keep are counted, as in mqtt_options; may be NULL */
};

/*
 * Whether these first bytes begin a WebSocket upgrade (a GET ... HTTP/1.1 head): yes 1, as soon as its field Upgrade is there; no 0
 * (also another HTTP request, when the head is whole); more needed -1.
 */
int ws_looks_like(struct span bytes);

struct stage *ws_stage_new(struct stage *above, struct ws_notes *notes);	/* notes borrowed as long as the stage lives */

#endif

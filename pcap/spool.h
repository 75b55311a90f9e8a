#ifndef PCAP_SPOOL_H
#define PCAP_SPOOL_H

#include <stdio.h>

#include "pcap/out.h"

/* Output that has to wait until something else was written: in a temporary file, whatever its length. */
struct spool {			/* zeroed is empty */
	FILE *file;
	int error;			/* errno of the first thing that went wrong; nothing is put behind it */
};

void spool_put(struct spool *spool, const void *bytes, size_t len);
void spool_copy(struct spool *spool, struct out *out);	/* all of it; out->error when it was not all there */
void spool_release(struct spool *spool);

#endif

/* Until their own files are here. */
#include "pcap/ws_stage.h"
#include "pcap/views.h"
#include <stdlib.h>
#define W /* delete your lines when you land the real ones */
W int ws_looks_like(struct span b) { (void)b; return 0; }
W struct stage *ws_stage_new(struct stage *s, struct ws_notes *n) { (void)s, (void)n; return NULL; }

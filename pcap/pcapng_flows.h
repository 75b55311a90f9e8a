#ifndef PCAP_PCAPNG_FLOWS_H
#define PCAP_PCAPNG_FLOWS_H

#include "pcap/capture.h"
#include "pcap/decoder.h"
#include "pcap/out.h"

/*
 * `--format pcapng`: of a capture only the frames of MQTT connections, as they were captured and in their order: bytes,
 * original lengths, times to the nanosecond, link types, and which interface with its name; and the key logs that the capture brought along.
 * Copies of a packet (IP_COPY) and what is not TCP are left out.
 *
 * What a connection carries is known only some frames after its first:
 *
 *   A file is read twice. First all is decoded, and the verdicts are learned:
 *       flows = pcapng_flows_new(out);
 *       decoder_on_verdict(decoder, pcapng_flows_verdict, flows);
 *       for each record: decoder_record(decoder, &record);
 *       decoder_finish(decoder);
 *   then, after capture_rewind(), with a new decoder (whose verdicts nobody has to hear), from here on as below.
 *
 *   A pipe or an interface: one pass, with decoder_on_verdict() as above. Frames of connections that are not decided wait, and all
 *   behind them: at most 16 MiB, and 10 s of the capture's time. Then those that are still not decided are left out, and counted.
 *
 *       for each record: decoder_record(decoder, &record); decoder_frame(decoder, &frame); pcapng_flows_frame(flows, &record, &frame);
 *       secrets: pcapng_flows_secrets(flows, text)
 *       idle: decoder_idle(decoder, now), pcapng_flows_idle(flows, now), out_flush(out)
 *       at the end: decoder_finish(decoder), pcapng_flows_finish(flows)
 */
struct pcapng_flows;

struct pcapng_flows *pcapng_flows_new(struct out *out);	/* given; out is borrowed. Nothing is written before the first frame or secret */
void pcapng_flows_verdict(void *flows, uint32_t stream, bool mqtt);
void pcapng_flows_frame(struct pcapng_flows *flows, const struct record *record, const struct decoder_frame *frame);
void pcapng_flows_secrets(struct pcapng_flows *flows, struct span text);
void pcapng_flows_idle(struct pcapng_flows *flows, uint64_t now_ns);
void pcapng_flows_finish(struct pcapng_flows *flows);	/* what still waits is written, or left out. A file without any frame is one too */
uint64_t pcapng_flows_written(const struct pcapng_flows *flows);	/* frames */
uint64_t pcapng_flows_left_out(const struct pcapng_flows *flows);	/* frames that could not wait until their connection was decided */
void pcapng_flows_free(struct pcapng_flows *flows);	/* harmless with NULL */

#endif

/* Our frames read by wslay, and wslay's by us: another reading of RFC 6455 than the one both halves of ws.c have. */
#include "codec/tests/whole.h"
#include "codec/ws.h"

#include <stdio.h>
#include <stdlib.h>
#include <wslay/wslay.h>

static uint8_t wire[200000];
static size_t n_wire, at_wire;

static ssize_t wslay_writes(const uint8_t *data, size_t len, int flags, void *user)
{
	(void)flags, (void)user;
	assert_true(len <= sizeof wire - n_wire);
	memcpy(wire + n_wire, data, len);
	n_wire += len;
	return (ssize_t)len;
}

static ssize_t wslay_reads(uint8_t *buf, size_t len, int flags, void *user)
{
	(void)flags, (void)user;
	if (len > n_wire - at_wire)
		len = n_wire - at_wire;
	memcpy(buf, wire + at_wire, len);
	at_wire += len;
	return (ssize_t)len;
}

static int wslay_masks(uint8_t *buf, size_t len, void *user)
{
	(void)user;
	for (size_t i = 0; i < len; i++)
		buf[i] = (uint8_t)rand();
	return 0;
}

static const struct wslay_frame_callbacks callbacks = { wslay_writes, wslay_reads, wslay_masks };
static const size_t lens[] = { 0, 1, 2, 125, 126, 127, 65535, 65536, 100000 };
#define N_LENS (sizeof lens / sizeof *lens)

static uint8_t payload[100000];

static void wslay_reads_ours(void **state)
{
	static const uint8_t mask[4] = { 0xa1, 0x02, 0xff, 0x77 };
	wslay_frame_context_ptr ctx;

	(void)state;
	assert_int_equal(wslay_frame_context_init(&ctx, &callbacks, NULL), 0);
	for (size_t i = 0; i < 2 * N_LENS; i++) {
		size_t len = lens[i / 2], done = 0;
		struct wslay_frame_iocb io;

		at_wire = 0;
		n_wire = ws_head(wire, WS_BINARY, true, len, i & 1 ? mask : NULL);
		memcpy(wire + n_wire, payload, len);
		if (i & 1)
			ws_mask(wire + n_wire, len, mask, 0);
		n_wire += len;
		do {
			memset(&io, 0, sizeof io);
			assert_true(wslay_frame_recv(ctx, &io) >= 0);
			assert_int_equal(io.fin, 1);
			assert_int_equal(io.opcode, WS_BINARY);
			assert_int_equal(io.mask, i & 1);
			assert_int_equal(io.payload_length, len);
			assert_memory_equal(io.data, payload + done, io.data_length);
			done += io.data_length;
		} while (done < len);
		assert_int_equal(at_wire, n_wire);
	}
	wslay_frame_context_free(ctx);
}

static void we_read_wslays(void **state)
{
	wslay_frame_context_ptr ctx;

	(void)state;
	for (size_t i = 0; i < 2 * N_LENS; i++) {
		size_t len = lens[i / 2], done = 0;
		struct wslay_frame_iocb io = { .fin = 1, .opcode = WS_BINARY, .payload_length = len, .mask = i & 1, .data = payload, .data_length = len };
		struct ws_reader r = { .from_client = i & 1 };

		n_wire = 0;
		assert_int_equal(wslay_frame_context_init(&ctx, &callbacks, NULL), 0);
		do {
			ssize_t n = wslay_frame_send(ctx, &io);

			assert_true(n >= 0);
			io.data += n;
			io.data_length -= (size_t)n;
		} while (io.data_length);
		for (size_t at = 0, used; at < n_wire; at += used) {
			size_t piece = 1 + (size_t)rand() % 5000, left = n_wire - at;
			struct ws_got got;
			enum ws_event event = ws_read(&r, wire + at, left < piece ? left : piece, &used, &got);

			assert_int_not_equal(event, WS_BAD);
			if (event == WS_DATA) {
				assert_memory_equal(got.bytes.at, payload + done, got.bytes.len);
				done += got.bytes.len;
			}
		}
		assert_int_equal(done, len);
		wslay_frame_context_free(ctx);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = { cmocka_unit_test(wslay_reads_ours), cmocka_unit_test(we_read_wslays) };

	srand(1);
	for (size_t i = 0; i < sizeof payload; i++)
		payload[i] = (uint8_t)rand();
	return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "pcap/spool.h"

#include <errno.h>

void spool_put(struct spool *s, const void *bytes, size_t len)
{
	if (s->error || !len)
		return;
	if (!s->file)
		s->file = tmpfile();
	if (!s->file || fwrite(bytes, 1, len, s->file) != len)
		s->error = errno;
}

void spool_copy(struct spool *s, struct out *out)
{
	char room[16384];
	size_t n;

	if (s->file && !s->error) {
		rewind(s->file);
		while ((n = fread(room, 1, sizeof(room), s->file)) > 0)
			out_bytes(out, room, n);
		s->error = ferror(s->file) ? EIO : 0;
	}
	if (s->error && !out->error)
		out->error = s->error;
}

void spool_release(struct spool *s)
{
	if (s->file)
		fclose(s->file);
	s->file = NULL;
}

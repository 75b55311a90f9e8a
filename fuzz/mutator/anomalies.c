#include "fuzz/mutator/anomalies.h"

static const struct {
	const char *name;
	bool lies;
} anomalies[N_ANOMALIES] = {
#define X(id, lies_, name_) [ANOMALY_##id] = { name_, lies_ },
	ANOMALIES(X)
#undef X
};

#define X(id, lies, text) _Static_assert(sizeof(text) <= sizeof(((struct anomaly *)0)->name), "fits");
ANOMALIES(X)
#undef X

const char *anomaly_name(size_t i)
{
	return i < N_ANOMALIES ? anomalies[i].name : NULL;
}

struct writer anomaly_begin(struct anomaly *anomaly, enum anomaly_kind kind)
{
	if (!anomaly)
		return writer_to(NULL, 0);
	strcpy(anomaly->name, anomalies[kind].name);
	return writer_to(anomaly->path, sizeof(anomaly->path) - 1);
}

void anomaly_end(struct anomaly *anomaly, const struct writer *path)
{
	if (anomaly)
		anomaly->path[path->len < path->cap ? path->len : path->cap] = '\0';
}

void path_number(struct writer *path, uint32_t number)
{
	char digits[10];
	size_t n = sizeof(digits);

	do
		digits[--n] = (char)('0' + number % 10);
	while (number /= 10);
	wr_bytes(path, span_of(digits + n, sizeof(digits) - n));
}

bool anomaly_lies(const struct anomaly *anomaly)
{
	for (size_t i = 0; i < N_ANOMALIES; i++)
		if (!strcmp(anomaly->name, anomalies[i].name))
			return anomalies[i].lies;
	return false;
}

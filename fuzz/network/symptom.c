#include "fuzz/network/symptom.h"

const char *const oracle_names[N_ORACLES] = {
	[ORACLE_NONE] = "none",
	[ORACLE_DEATH] = "death",
	[ORACLE_SANITIZER] = "sanitizer",
	[ORACLE_LIVENESS] = "liveness",
	[ORACLE_LATENCY] = "latency",
	[ORACLE_MEMORY] = "memory",
	[ORACLE_CPU] = "cpu",
	[ORACLE_RULE] = "rule",
	[ORACLE_BYSTANDER] = "bystander",
};

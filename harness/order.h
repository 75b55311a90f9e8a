#ifndef HARNESS_ORDER_H
#define HARNESS_ORDER_H

#include <stdint.h>

/* The smallest key of many, whichever of them change: a tournament. */
struct order {
	uint32_t *keys;			/* a heap's shape: each is the smaller of the two below it */
	uint32_t leaves;
};

#define ORDER_NONE UINT32_MAX		/* the key of who takes no part; at first of all */

void order_init(struct order *order, uint32_t n);
void order_release(struct order *order);
void order_set(struct order *order, uint32_t who, uint32_t key);	/* in time that grows with the logarithm of n */
uint32_t order_least(const struct order *order);			/* ORDER_NONE: nobody takes part */

#endif

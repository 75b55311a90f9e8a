#include "harness/order.h"

#include <stdlib.h>
#include <string.h>

void order_init(struct order *o, uint32_t n)
{
	o->leaves = 1;
	while (o->leaves < n)
		o->leaves *= 2;
	o->keys = malloc(2 * (size_t)o->leaves * sizeof(*o->keys));
	if (!o->keys)
		abort();
	memset(o->keys, 0xff, 2 * (size_t)o->leaves * sizeof(*o->keys));	/* ORDER_NONE */
}

void order_set(struct order *o, uint32_t i, uint32_t key)
{
	i += o->leaves;
	o->keys[i] = key;
	for (i /= 2; i; i /= 2) {
		uint32_t left = o->keys[2 * i], right = o->keys[2 * i + 1], least = left < right ? left : right;

		if (o->keys[i] == least)
			break;
		o->keys[i] = least;
	}
}

uint32_t order_least(const struct order *o)
{
	return o->keys[1];
}

void order_release(struct order *o)
{
	free(o->keys);
	o->keys = NULL;
}

#include "pcap/views.h"

void view_free(struct observer *observer)
{
	if (observer && observer->ops->free)
		observer->ops->free(observer);
}

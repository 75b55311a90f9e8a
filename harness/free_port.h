#ifndef HARNESS_FREE_PORT_H
#define HARNESS_FREE_PORT_H

/*
 * A TCP port that nobody has, for a program of somebody else to bind later. It is not one of those that the kernel gives to outgoing
 * connections: of these, thousands come and go while brokers start, and one of them would have the port for a moment. As long as it
 * is held no other process that asks here gets it.
 */
struct free_port {
	unsigned port;
	int held;		/* a descriptor; -1: not held */
};

int free_port_take(struct free_port *port);		/* 0 or negative errno */
void free_port_release(struct free_port *port);		/* harmless when it is not held */

#endif

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <net/if.h>
#include <pcap/pcap.h>
#include <poll.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "pcap/capture_internal.h"

/*
 * Capturing from an interface. Whoever may do that may do much else, and what follows reads bytes of strangers: once the socket is
 * open, every privilege goes.
 */

enum {
	RING_BYTES = 8 << 20,		/* the kernel's, mapped: counts as our memory */
	BLOCK_MS = 20,			/* the kernel hands over what it has after this, full or not */
	LAST_CAPABILITY = 63,
	NOBODY = 65534,
};

/* ---- privileges ---- */

static bool id_from(const char *name, unsigned long *id)
{
	const char *text = getenv(name);
	char *end;

	if (!text || *text < '0' || *text > '9')
		return false;
	errno = 0;
	*id = strtoul(text, &end, 10);
	return !errno && !*end && *id && *id < UINT32_MAX;
}

/* Whom root becomes: who called sudo, else nobody. */
static void choose_user(uid_t *uid, gid_t *gid)
{
	unsigned long u, g;
	const struct passwd *nobody;

	if (id_from("SUDO_UID", &u) && id_from("SUDO_GID", &g)) {
		*uid = (uid_t)u;
		*gid = (gid_t)g;
		return;
	}
	nobody = getpwnam("nobody");
	*uid = nobody ? nobody->pw_uid : NOBODY;
	*gid = nobody ? nobody->pw_gid : NOBODY;
}

static bool drop_root(void)
{
	uid_t uid;
	gid_t gid;

	choose_user(&uid, &gid);
	return !setgroups(0, NULL) && !setresgid(gid, gid, gid) && !setresuid(uid, uid, uid) && setuid(0) < 0;
}

static bool drop_capabilities(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = { 0 };

	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	return !syscall(SYS_capset, &head, none);
}

static bool drop_privileges(struct capture_error *error)
{
	/* Only who has CAP_SETPCAP may; without, no new privileges and no capabilities are as good. */
	for (unsigned long i = 0; i <= LAST_CAPABILITY; i++)
		prctl(PR_CAPBSET_DROP, i, 0, 0, 0);
	if ((geteuid() && getuid()) || drop_root())
		if (drop_capabilities() && !prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
			return true;
	capture_error_set(error, "the privileges that capturing needs could not be given up: %s", strerror(errno));
	return false;
}

/* ---- opening ---- */

/* Those there are, as far as they fit; false: interface is one of them. */
static bool is_unknown(const char *interface, char *names, size_t cap)
{
	char why[PCAP_ERRBUF_SIZE];
	pcap_if_t *all = NULL;
	bool found = if_nametoindex(interface) != 0;
	size_t len = 0;

	names[0] = '\0';
	if (pcap_findalldevs(&all, why) < 0)
		return false;
	for (const pcap_if_t *i = all; i && !found; i = i->next) {
		found = !strcmp(i->name, interface);
		/* Network interfaces, and what libpcap makes up of all of them; not USB, D-Bus or Bluetooth. */
		if ((if_nametoindex(i->name) || !strcmp(i->name, "any")) && len + strlen(i->name) + 3 < cap)
			len += (size_t)snprintf(names + len, cap - len, "%s%s", len ? ", " : "", i->name);
	}
	pcap_freealldevs(all);
	return !found;
}

static bool activate(pcap_t *pcap, const char *interface, struct capture_error *error)
{
	int got = pcap_activate(pcap);

	if (got >= 0)
		return true;
	if (got == PCAP_ERROR_PERM_DENIED || got == PCAP_ERROR_PROMISC_PERM_DENIED)
		capture_error_set(error, "no permission to capture: run as root, or `sudo setcap cap_net_raw+ep` the program");
	else if (got == PCAP_ERROR_IFACE_NOT_UP)
		capture_error_set(error, "the interface is down: `ip link set %s up`", interface);
	else
		capture_error_set(error, "%s", *pcap_geterr(pcap) ? pcap_geterr(pcap) : pcap_statustostr(got));
	return false;
}

static bool set_filter(pcap_t *pcap, const char *text, struct capture_error *error)
{
	struct bpf_program program;
	bool fits = pcap_compile(pcap, &program, text, 1, PCAP_NETMASK_UNKNOWN) == 0;
	bool set = fits && pcap_setfilter(pcap, &program) == 0;

	if (!set)
		capture_error_set(error, "filter \"%s\": %s", text, pcap_geterr(pcap));
	error->usage = !fits;
	error->world = fits;
	if (fits)
		pcap_freecode(&program);
	return set;
}

/* What an interface that works has beyond being open. */
static bool settle(pcap_t *pcap, const char *filter, struct capture_error *error)
{
	char why[PCAP_ERRBUF_SIZE];

	if (pcap_datalink(pcap) == DLT_LINUX_SLL)
		pcap_set_datalink(pcap, DLT_LINUX_SLL2);	/* it says on which interface a packet was seen */
	if (filter && !set_filter(pcap, filter, error))
		return false;
	if (pcap_setnonblock(pcap, 1, why) == 0)
		return true;
	capture_error_set(error, "%s", why);
	return false;
}

struct pcap *live_open(const char *interface, const char *filter, uint32_t snaplen, struct capture_error *error)
{
	char why[PCAP_ERRBUF_SIZE], names[160];
	pcap_t *pcap;

	if (is_unknown(interface, names, sizeof(names))) {
		capture_error_set(error, "no such interface; there are: %s", names);
		return NULL;
	}
	pcap = pcap_create(interface, why);
	if (!pcap) {
		capture_error_set(error, "%s", why);
		return NULL;
	}
	pcap_set_snaplen(pcap, (int)snaplen);
	pcap_set_promisc(pcap, strcmp(interface, "any") != 0);
	pcap_set_timeout(pcap, BLOCK_MS);
	pcap_set_buffer_size(pcap, RING_BYTES);
	pcap_set_tstamp_precision(pcap, PCAP_TSTAMP_PRECISION_NANO);
	if (activate(pcap, interface, error) && settle(pcap, filter, error) && drop_privileges(error))
		return pcap;
	pcap_close(pcap);
	return NULL;
}

bool live_wait(struct pcap *pcap)
{
	struct pollfd p = { .fd = pcap_get_selectable_fd(pcap), .events = POLLIN };

	return poll(&p, 1, IDLE_MS) > 0;
}

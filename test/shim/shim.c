/*
 * shim.c
 *	  Preloaded into a test server (LD_PRELOAD): names resolve, and the host is
 *	  called, as a test wants.
 *
 * ACT_SHIM_HOSTS	"name=address,..."; an address may be HANG or HANG:SECONDS
 *					(sleeps, whatever signals come, then fails; 3600 without
 *					a number) or FAIL (no such host). An address may be given
 *					several times for one name: all of them, in that order.
 * ACT_SHIM_HOSTS_FILE	the same from a file, read at each call, so that it
 *					can change while the server runs; comes before the above
 * ACT_SHIM_EPOLL_FILE	while this file is there, the next socket of the network
 *					that is to be watched by epoll_ctl() is not (ENOSPC), and
 *					the file goes
 * ACT_SHIM_HOSTNAME	what gethostname() answers
 * ACT_SHIM_HOSTNAME_FILE	the same from a file, read at each call
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MAX_LIST 4096
#define HANG_SECONDS 3600

typedef int (*GetAddrInfo) (const char *, const char *, const struct addrinfo *, struct addrinfo **);
typedef int (*GetHostName) (char *, size_t);

/* First line of the file that the variable names; false if there is none. */
static int
read_setting(const char *variable, char *into, size_t size)
{
	const char *path = getenv(variable);
	FILE	   *file = path ? fopen(path, "re") : NULL;
	int			found;

	if (file == NULL)
		return 0;
	found = fgets(into, size, file) != NULL;
	fclose(file);
	if (found)
		into[strcspn(into, "\r\n")] = '\0';
	return found;
}

static void
hang(const char *seconds)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += *seconds == ':' ? atol(seconds + 1) : HANG_SECONDS;
	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR);
}

/* Adds what one address resolves to at the end of the list. */
static int
add_address(GetAddrInfo real, const char *address, const char *service,
			const struct addrinfo *hints, struct addrinfo **list)
{
	struct addrinfo numeric = {0};
	struct addrinfo *more;
	int			error;

	if (hints)
		numeric = *hints;
	numeric.ai_flags = (numeric.ai_flags | AI_NUMERICHOST) & ~AI_ADDRCONFIG;
	error = real(address, service, &numeric, &more);
	if (error == EAI_ADDRFAMILY || (error == EAI_NONAME && *list))
		return 0;				/* the other family was asked for */
	if (error != 0)
		return error;
	while (*list)
		list = &(*list)->ai_next;
	*list = more;
	return 0;
}

/* 1: the name isn't listed; else *error is the outcome. */
static int
resolve_listed(GetAddrInfo real, char *hosts, const char *node, const char *service,
			   const struct addrinfo *hints, struct addrinfo **list, int *error)
{
	char	   *rest;
	int			unlisted = 1;

	*error = 0;
	for (char *item = strtok_r(hosts, ",", &rest); item && *error == 0; item = strtok_r(NULL, ",", &rest))
	{
		char	   *address = strchr(item, '=');

		if (address == NULL)
			continue;
		*address++ = '\0';
		if (strcasecmp(item, node) != 0)
			continue;
		unlisted = 0;
		if (strncmp(address, "HANG", 4) == 0)
		{
			hang(address + 4);
			*error = EAI_AGAIN;
		}
		else if (strcmp(address, "FAIL") == 0)
			*error = EAI_NONAME;
		else
			*error = add_address(real, address, service, hints, list);
	}
	return unlisted;
}

int
getaddrinfo(const char *restrict node, const char *restrict service,
			const struct addrinfo *restrict hints, struct addrinfo **restrict result)
{
	GetAddrInfo real = (GetAddrInfo) dlsym(RTLD_NEXT, "getaddrinfo");
	const char *variable = getenv("ACT_SHIM_HOSTS");
	struct addrinfo *list = NULL;
	char		hosts[MAX_LIST];
	int			error;
	int			unlisted = 1;

	if (node && read_setting("ACT_SHIM_HOSTS_FILE", hosts, sizeof(hosts)))
		unlisted = resolve_listed(real, hosts, node, service, hints, &list, &error);
	if (node && unlisted && variable)
	{
		snprintf(hosts, sizeof(hosts), "%s", variable);
		unlisted = resolve_listed(real, hosts, node, service, hints, &list, &error);
	}
	if (unlisted)
		return real(node, service, hints, result);
	if (error == 0 && list == NULL)
		error = EAI_NONAME;
	if (error != 0 && list)
		freeaddrinfo(list);
	if (error == 0)
		*result = list;
	return error;
}

int
gethostname(char *name, size_t len)
{
	GetHostName real = (GetHostName) dlsym(RTLD_NEXT, "gethostname");
	const char *variable = getenv("ACT_SHIM_HOSTNAME");
	char		from_file[MAX_LIST];

	if (read_setting("ACT_SHIM_HOSTNAME_FILE", from_file, sizeof(from_file)))
		variable = from_file;
	if (variable == NULL)
		return real(name, len);
	if (strlen(variable) >= len)
	{
		errno = ENAMETOOLONG;
		return -1;
	}
	strcpy(name, variable);
	return 0;
}

typedef int (*EpollCtl) (int, int, int, struct epoll_event *);

int
epoll_ctl(int epoll_fd, int op, int fd, struct epoll_event *event)
{
	EpollCtl	real = (EpollCtl) dlsym(RTLD_NEXT, "epoll_ctl");
	const char *path = getenv("ACT_SHIM_EPOLL_FILE");
	struct sockaddr_storage name;
	socklen_t	len = sizeof(name);

	if (path != NULL && op != EPOLL_CTL_DEL &&
		getsockname(fd, (struct sockaddr *) &name, &len) == 0 && name.ss_family == AF_INET &&
		unlink(path) == 0)
	{
		errno = ENOSPC;
		return -1;
	}
	return real(epoll_fd, op, fd, event);
}

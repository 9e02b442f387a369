/*-------------------------------------------------------------------------
 *
 * http_lookup.c
 *	  Host names to addresses, without ever waiting for it.
 *
 * getaddrinfo() can hang for minutes and cannot be interrupted.  libcurl runs
 * it in a thread for each transfer and, unless CURLOPT_QUICK_EXIT is there
 * (7.87) and set, joins that thread when the transfer is taken away, which
 * would make a cancel wait for the name server.  So names are looked up here:
 * one detached thread for each name in use, whatever number of requests wait
 * for it.  Its job is malloc'ed and belongs to the loop until the lookup ends
 * or the loop gives it up; then to the thread, which frees it whenever
 * getaddrinfo() comes back.  libcurl gets the addresses by CURLOPT_RESOLVE,
 * tries them as it would its own (both families, RFC 8305), and never looks a
 * name up itself.  A process has at most MAX_LOOKUPS such threads; beyond that
 * a name counts as not found.
 *
 * Threads run with all signals blocked and touch nothing but their job: no
 * memory context, no server function.  All jobs share one lock.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include "address.h"
#include "http_private.h"

/* Lookups under way or given up but not yet back, in this process. */
#define MAX_LOOKUPS		16

/* As long as libcurl would. */
#define NAME_LIFETIME_US	INT64CONST(60000000)

/* More addresses are not tried in a connect timeout anyway. */
#define MAX_ADDRESSES	16

struct HttpLookup
{
	char		host[HTTP_MAX_HOST + 1];
	int			wake_fd;		/* written to under the lock, unless given up */
	bool		done;
	bool		given_up;
	int			error;			/* EAI_... */
	struct addrinfo *result;
};

static pthread_mutex_t lookup_lock = PTHREAD_MUTEX_INITIALIZER;
static int	lookups = 0;

static bool lookup_start(HttpLoop *loop, HttpName *name, int64 now_us,
						 const char **problem);
static void *lookup_main(void *arg);
static void lookup_free(HttpLookup *lookup);
static void lookup_give_up(HttpName *name);
static void name_learn(HttpLoop *loop, HttpName *name, int64 now_us);
static char *name_resolve_entry(const HttpName *name, const struct addrinfo *result);
static void name_failed(HttpLoop *loop, HttpName *name, int64 now_us,
						HttpTransport transport, const char *problem);
static HttpTransport lookup_outcome(int error);

/*
 * act_lookup_name returns the entry for host and port, which lives as long as
 * the loop; NULL where memory is short.
 */
HttpName *
act_lookup_name(HttpLoop *loop, const char *host, int port)
{
	dlist_iter	iter;
	HttpName   *name;

	dlist_foreach(iter, &loop->names)
	{
		name = dlist_container(HttpName, node, iter.cur);
		if (name->port == port && pg_strcasecmp(name->host, host) == 0)
			return name;
	}
	name = calloc(1, sizeof(HttpName));
	if (name == NULL || (name->host = strdup(host)) == NULL)
	{
		free(name);
		return NULL;
	}
	name->port = port;
	dlist_push_tail(&loop->names, &name->node);
	return name;
}

/*
 * act_lookup_want sees to it that the name's addresses will be known: false
 * and *problem where that cannot be.  Old addresses serve until new ones are
 * there: a name server that is down for a while does not stop what works.
 */
bool
act_lookup_want(HttpLoop *loop, HttpName *name, int64 now_us, const char **problem)
{
	if (name->lookup != NULL ||
		(name->resolve != NULL && now_us < name->expires_us))
		return true;
	return lookup_start(loop, name, now_us, problem) || name->resolve != NULL;
}

/* act_lookup_settle takes in what lookups found, and gives up the late ones. */
void
act_lookup_settle(HttpLoop *loop, int64 now_us)
{
	dlist_iter	iter;

	dlist_foreach(iter, &loop->names)
	{
		HttpName   *name = dlist_container(HttpName, node, iter.cur);
		bool		done;

		if (name->lookup == NULL)
			continue;
		pthread_mutex_lock(&lookup_lock);
		done = name->lookup->done;
		pthread_mutex_unlock(&lookup_lock);
		if (done)
			name_learn(loop, name, now_us);
		else if (now_us >= name->deadline_us)
		{
			lookup_give_up(name);
			name_failed(loop, name, now_us, HTTP_UNREACHED, "the name server did not answer in time");
		}
	}
}

/* act_lookup_deadline returns when act_lookup_settle is due, or -1. */
int64
act_lookup_deadline(HttpLoop *loop)
{
	int64		deadline = -1;
	dlist_iter	iter;

	dlist_foreach(iter, &loop->names)
	{
		HttpName   *name = dlist_container(HttpName, node, iter.cur);

		if (name->lookup != NULL &&
			(deadline < 0 || name->deadline_us < deadline))
			deadline = name->deadline_us;
	}
	return deadline;
}

/* act_lookup_forget makes the next request look the name up again. */
void
act_lookup_forget(HttpName *name)
{
	name->expires_us = 0;
}

/* act_lookup_free frees all names; lookups under way are given up. */
void
act_lookup_free(HttpLoop *loop)
{
	while (!dlist_is_empty(&loop->names))
	{
		HttpName   *name = dlist_container(HttpName, node,
										   dlist_pop_head_node(&loop->names));

		if (name->lookup != NULL)
			lookup_give_up(name);
		free(name->resolve);
		free(name->host);
		free(name);
	}
}

/* lookup_start starts the thread, which inherits that all signals are blocked. */
static bool
lookup_start(HttpLoop *loop, HttpName *name, int64 now_us, const char **problem)
{
	HttpLookup *lookup;
	pthread_attr_t attributes;
	pthread_t	thread;
	sigset_t	all;
	sigset_t	saved;
	bool		room;
	int			error;

	*problem = "out of memory";
	lookup = calloc(1, sizeof(HttpLookup));
	if (lookup == NULL)
		return false;
	strlcpy(lookup->host, name->host, sizeof(lookup->host));
	lookup->wake_fd = loop->wake_fd;

	pthread_mutex_lock(&lookup_lock);
	room = lookups < MAX_LOOKUPS;
	if (room)
		lookups++;
	pthread_mutex_unlock(&lookup_lock);
	if (!room)
	{
		free(lookup);
		*problem = "too many earlier lookups still wait for the name server";
		return false;
	}

	error = pthread_attr_init(&attributes);
	if (error == 0)
	{
		sigfillset(&all);
		pthread_sigmask(SIG_SETMASK, &all, &saved);
		(void) pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
		error = pthread_create(&thread, &attributes, lookup_main, lookup);
		pthread_sigmask(SIG_SETMASK, &saved, NULL);
		(void) pthread_attr_destroy(&attributes);
	}
	if (error != 0)
	{
		pthread_mutex_lock(&lookup_lock);
		lookups--;
		pthread_mutex_unlock(&lookup_lock);
		free(lookup);
		*problem = "could not start a thread";
		return false;
	}
	name->lookup = lookup;
	name->deadline_us = now_us + loop->policy.connect_timeout_ms * INT64CONST(1000);
	return true;
}

/* lookup_main is the thread. */
static void *
lookup_main(void *arg)
{
	HttpLookup *lookup = arg;
	struct addrinfo hints = {.ai_family = AF_UNSPEC,.ai_socktype = SOCK_STREAM};
	struct addrinfo *result = NULL;
	int			error = getaddrinfo(lookup->host, NULL, &hints, &result);
	bool		given_up;

	pthread_mutex_lock(&lookup_lock);
	lookups--;
	lookup->error = error;
	lookup->result = error == 0 ? result : NULL;
	lookup->done = true;
	given_up = lookup->given_up;
	if (!given_up)
	{
		uint64		one = 1;

		/* Cannot fail: the counter of an eventfd does not overflow by this. */
		if (write(lookup->wake_fd, &one, sizeof(one)) < 0)
			(void) 0;
	}
	pthread_mutex_unlock(&lookup_lock);
	if (given_up)
		lookup_free(lookup);
	return NULL;
}

static void
lookup_free(HttpLookup *lookup)
{
	if (lookup->result != NULL)
		freeaddrinfo(lookup->result);
	free(lookup);
}

/* lookup_give_up leaves the lookup to its thread, if that still runs. */
static void
lookup_give_up(HttpName *name)
{
	HttpLookup *lookup = name->lookup;
	bool		done;

	name->lookup = NULL;
	pthread_mutex_lock(&lookup_lock);
	done = lookup->done;
	lookup->given_up = true;
	pthread_mutex_unlock(&lookup_lock);
	if (done)
		lookup_free(lookup);
}

/* name_learn takes in what a lookup found. */
static void
name_learn(HttpLoop *loop, HttpName *name, int64 now_us)
{
	HttpLookup *lookup = name->lookup;
	char	   *resolve = NULL;

	name->lookup = NULL;
	if (lookup->error == 0)
		resolve = name_resolve_entry(name, lookup->result);
	if (resolve != NULL)
	{
		free(name->resolve);
		name->resolve = resolve;
		name->expires_us = now_us + NAME_LIFETIME_US;
	}
	else
		name_failed(loop, name, now_us, lookup_outcome(lookup->error), lookup->error != 0 ?
					gai_strerror(lookup->error) : "no usable address");
	lookup_free(lookup);
}

/*
 * lookup_outcome tells a name that the name server knows not to exist, which
 * somebody has to mend, from one that nobody could say anything about now.
 */
static HttpTransport
lookup_outcome(int error)
{
	switch (error)
	{
		case 0:					/* but no address of a kind that we can use */
		case EAI_NONAME:
#ifdef EAI_NODATA
		case EAI_NODATA:
#endif
#ifdef EAI_ADDRFAMILY
		case EAI_ADDRFAMILY:
#endif
			return HTTP_UNRESOLVED;
		default:
			return HTTP_UNREACHED;
	}
}

/* name_resolve_entry writes what CURLOPT_RESOLVE takes; NULL: no address. */
static char *
name_resolve_entry(const HttpName *name, const struct addrinfo *result)
{
	size_t		size = strlen(name->host) + 16 + MAX_ADDRESSES * (ADDRESS_TEXT_SIZE + 3);
	char	   *entry = malloc(size);
	size_t		len;
	int			addresses = 0;

	if (entry == NULL)
		return NULL;
	len = snprintf(entry, size, "%s:%d:", name->host, name->port);
	for (; result != NULL && addresses < MAX_ADDRESSES; result = result->ai_next)
	{
		char		text[ADDRESS_TEXT_SIZE];
		bool		v6 = result->ai_family == AF_INET6;

		if (!v6 && result->ai_family != AF_INET)
			continue;
		act_address_text(result->ai_addr, text, sizeof(text));
		len += snprintf(entry + len, size - len, "%s%s%s%s",
						addresses > 0 ? "," : "",
						v6 ? "[" : "", text, v6 ? "]" : "");
		addresses++;
	}
	if (addresses == 0)
	{
		free(entry);
		return NULL;
	}
	return entry;
}

/*
 * name_failed: without addresses all requests that wait for the name end.
 * Old addresses serve another while.
 */
static void
name_failed(HttpLoop *loop, HttpName *name, int64 now_us, HttpTransport transport,
			const char *problem)
{
	dlist_mutable_iter iter;

	name->expires_us = now_us + NAME_LIFETIME_US;
	if (name->resolve != NULL)
		return;
	dlist_foreach_modify(iter, &loop->waiting)
	{
		HttpTransfer *transfer = dlist_container(HttpTransfer, node, iter.cur);

		if (transfer->name != name)
			continue;
		act_transfer_decide(transfer, transport,
							"could not resolve host name \"%s\": %s",
							name->host, problem);
		act_http_finish(transfer);
	}
}

/*-------------------------------------------------------------------------
 *
 * http_private.h
 *	  What the files of the network layer share: http.c (the loop),
 *	  http_transfer.c (one request at libcurl), http_lookup.c (host names),
 *	  http_response.c (the answer as callers see it).
 *
 * Everything reached from a libcurl callback or a lookup thread is malloc'ed
 * and freed by act_http_loop_destroy(); functions here neither throw nor
 * palloc unless they say so.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_HTTP_PRIVATE_H
#define ACT_HTTP_PRIVATE_H

#include <curl/curl.h>
#include <sys/socket.h>

#include "http.h"
#include "lib/ilist.h"
#include "storage/latch.h"

/* All header lines of one answer; servers in use send less than 10 kB. */
#define HTTP_MAX_HEADER_BYTES	(64 * 1024)

/* The longest host name. */
#define HTTP_MAX_HOST	253

/* Bytes of an answer, in malloc'ed memory. */
typedef struct HttpBuffer
{
	char	   *data;
	size_t		len;
	size_t		size;
} HttpBuffer;

typedef struct HttpLookup HttpLookup;

/* A host name in use, and what is known of its addresses. */
typedef struct HttpName
{
	dlist_node	node;			/* in HttpLoop.names */
	char	   *host;
	int			port;
	char	   *resolve;		/* "host:port:address,..." or NULL */
	int64		expires_us;		/* when to look it up again */
	HttpLookup *lookup;			/* under way, or NULL */
	int64		deadline_us;	/* when to give it up */
} HttpName;

/* One request, from act_http_send() until act_http_next() took its answer. */
typedef struct HttpTransfer
{
	dlist_node	node;			/* in one of the loop's lists */
	HttpLoop   *loop;
	void	   *owner;

	/* The request */
	const char *method;
	CURLU	   *url;
	bool		https;
	char	   *host;			/* of the URL, without brackets */
	int			port;
	const char *peer;			/* who is connected to: host, or the proxy's */
	int			peer_port;
	HttpName   *name;			/* of the peer; NULL where it is an address */
	struct curl_slist *headers;
	const char *body;			/* the caller's */
	size_t		body_len;
	bool		repeatable;		/* may be sent again on a fresh connection */

	/* How far it came */
	CURL	   *easy;			/* only while libcurl has it */
	struct curl_slist *resolve;
	int64		started_us;
	int64		finished_us;
	int			sends;			/* how often its first byte may have left */
	int			sockets;		/* opened for it */
	struct sockaddr_storage refused;	/* an address we may not connect to */
	bool		too_large;
	bool		headers_too_large;
	bool		out_of_memory;
	bool		repeat_refused;

	/* What came of it */
	bool		decided;		/* transport and problem were set by us */
	bool		listable;		/* an entry in allowed_hosts would do */
	HttpTransport transport;
	char		problem[512];
	CURLcode	result;
	char		curl_problem[CURL_ERROR_SIZE];
	long		status;
	HttpBuffer	headers_in;
	HttpBuffer	body_in;
} HttpTransfer;

struct HttpLoop
{
	HttpPolicy	policy;			/* strings are ours */
	char	   *proxy_host;		/* NULL: no proxy */
	int			proxy_port;
	bool		closed;
	MemoryContextCallback on_reset;

	WaitEventSet *events;		/* latch, postmaster, epoll_fd */
	int			epoll_fd;		/* libcurl's sockets, and wake_fd */
	int			wake_fd;		/* eventfd: a lookup ended */
	int			fds;			/* accounted for with fd.c */

	CURLM	   *multi;
	bool		multi_failed;	/* must be made anew */
	int64		timer_us;		/* when libcurl wants to be called; -1: never */
	CURL	  **spares;			/* reset easy handles */
	int			n_spares;
	int			spares_size;

	dlist_head	names;
	dlist_head	waiting;		/* for a place or an address, first come first */
	dlist_head	running;		/* at libcurl */
	dlist_head	finished;		/* to be taken by act_http_next() */
	int			n_waiting;
	int			n_running;
	int			n_finished;
};

/* Monotonic. */
extern int64 act_http_now_us(void);

/* Ends a transfer that libcurl does not have (any more). */
extern void act_http_finish(HttpTransfer *transfer);

/* http_transfer.c */
extern HttpTransfer *act_transfer_create(HttpLoop *loop,
										 const HttpRequest *request, void *owner);
extern bool act_transfer_start(HttpTransfer *transfer);
extern void act_transfer_stop(HttpTransfer *transfer, CURLcode result);
extern void act_transfer_free(HttpTransfer *transfer);
extern void act_transfer_decide(HttpTransfer *transfer, HttpTransport transport,
								const char *format,...) pg_attribute_printf(3, 4);

/* http_lookup.c */
extern HttpName *act_lookup_name(HttpLoop *loop, const char *host, int port);
extern bool act_lookup_want(HttpLoop *loop, HttpName *name, int64 now_us,
							const char **problem);
extern void act_lookup_settle(HttpLoop *loop, int64 now_us);
extern int64 act_lookup_deadline(HttpLoop *loop);
extern void act_lookup_forget(HttpName *name);
extern void act_lookup_free(HttpLoop *loop);

/* http_response.c; allocates in the current memory context, and may throw */
extern HttpResponse *act_response_create(const HttpTransfer *transfer);

#endif							/* ACT_HTTP_PRIVATE_H */

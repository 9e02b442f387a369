/*-------------------------------------------------------------------------
 *
 * http.h
 *	  HTTP requests under way on one event loop (design decision 5).
 *
 * No transaction is assumed and none is touched: callers close theirs first.
 * Includes neither curl nor anything of the database.  Everything that must
 * outlive an error is released by act_http_loop_destroy(), which a caller
 * runs in its PG_FINALLY and which never throws.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_HTTP_H
#define ACT_HTTP_H

#include "nodes/pg_list.h"

typedef struct HttpHeader
{
	char	   *name;
	char	   *value;
} HttpHeader;

/* Made by the connector engine, in the caller's memory context. */
typedef struct HttpRequest
{
	const char *method;
	char	   *url;
	List	   *headers;		/* of HttpHeader * */
	char	   *body;			/* NULL: no body; kept until the answer */
	size_t		body_len;
	char	   *packed;			/* the body as it goes out, compressed; NULL: as it is */
	size_t		packed_len;
	bool		at_most_once;	/* never repeated on a fresh connection, whatever it says */
} HttpRequest;

/* The bytes that go out; NULL: none. */
static inline const char *
act_http_sent_body(const HttpRequest *request, size_t *len)
{
	bool		packed = request->packed != NULL;

	*len = packed ? request->packed_len : request->body != NULL ? request->body_len : 0;
	return packed ? request->packed : request->body;
}

/* How to reach one destination: the same for all its requests. */
typedef struct HttpPolicy
{
	int			connect_timeout_ms;
	int			timeout_ms;		/* the whole request */
	size_t		max_response_bytes; /* decoded body; headers have their own cap */
	int			max_connections;
	const char *ca_file;		/* NULL: the system's */
	const char *client_cert_file;
	const char *client_key_file;
	const char *proxy;			/* NULL: none, whatever the environment says */
	const char *allowed_hosts;	/* pg_activate.allowed_hosts */
} HttpPolicy;

/* What came of the transport; the answer itself is the connector's to read. */
typedef enum HttpTransport
{
	HTTP_ANSWERED,				/* a whole answer is there */
	HTTP_FORBIDDEN,				/* address or scheme not allowed: nothing sent */
	HTTP_UNRESOLVED,			/* there is no such name: nothing sent */
	HTTP_UNREACHED,				/* no connection, or nobody who knows the name: nothing sent */
	HTTP_UNTRUSTED,				/* TLS failed: nothing sent */
	HTTP_LOST,					/* may have been applied: reset, timeout, cut-off answer */
	HTTP_TOO_LARGE				/* the answer exceeded max_response_bytes: may have been applied */
} HttpTransport;
#define HTTP_TRANSPORT_COUNT (HTTP_TOO_LARGE + 1)

typedef struct HttpResponse
{
	HttpTransport transport;
	char	   *problem;		/* in words, for any but HTTP_ANSWERED */
	char	   *hint;			/* what to type, where there is something */
	int			status;			/* 0 where none arrived */
	bool		repeated;		/* sent twice: the first may have been applied */
	List	   *headers;		/* of HttpHeader * */
	char	   *body;			/* NUL-terminated; never NULL */
	size_t		body_len;
	double		duration_ms;
} HttpResponse;

typedef struct HttpLoop HttpLoop;

/*
 * act_http_loop_create: in the current memory context.  Throws where file
 * descriptors or memory are short.
 */
extern HttpLoop *act_http_loop_create(const HttpPolicy *policy);

/* Never throws. Whatever is in flight is dropped; safe to call twice. */
extern void act_http_loop_destroy(HttpLoop *loop);

/*
 * Takes a request; owner comes back with its answer.  It goes out during the
 * next act_http_wait(), for which a timeout of 0 will do.
 */
extern void act_http_send(HttpLoop *loop, const HttpRequest *request, void *owner);

/*
 * Waits until an answer arrived, the latch was set or timeout_ms passed (-1:
 * no limit; 0: only look).  Serves interrupts, so it throws on cancel, and
 * exits when the postmaster dies.
 */
extern void act_http_wait(HttpLoop *loop, long timeout_ms);

/*
 * The next finished request, or NULL.  The response is allocated in the
 * current memory context.
 */
extern HttpResponse *act_http_next(HttpLoop *loop, void **owner);

/* Value of a response header by its case-insensitive name, or NULL. */
extern const char *act_http_header(const HttpResponse *response, const char *name);

/* How a header says when; HTTP_TIME_AUTO tells them apart by their size. */
typedef enum HttpTimeForm
{
	HTTP_TIME_AUTO,
	HTTP_TIME_DELTA_S,
	HTTP_TIME_DELTA_MS,
	HTTP_TIME_EPOCH_S,
	HTTP_TIME_EPOCH_MS,
	HTTP_TIME_DATE
} HttpTimeForm;

/* Nobody is left alone for longer because of one header; then it is asked again. */
#define HTTP_MAX_WAIT_MS (24 * 60 * 60 * 1000)

/*
 * http_time.c: milliseconds from now_ms (Unix time in milliseconds) until what
 * a header's value says: 0 to HTTP_MAX_WAIT_MS, -1 where it says nothing
 * usable.
 */
extern int64 act_http_time_wait(const char *value, HttpTimeForm form, int64 now_ms);

/* How much is left, by a header's value; -1 where it does not say. */
extern int64 act_http_time_remaining(const char *value);

#endif							/* ACT_HTTP_H */

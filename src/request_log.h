/*-------------------------------------------------------------------------
 *
 * request_log.h
 *	  The request debugger: what was sent and answered, as option log says.
 *
 * A request is taken when its answer was read, outside of transactions
 * (request_log.c), and written down with whatever else is
 * (request_log_write.c): never in a transaction of its own.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_REQUEST_LOG_H
#define ACT_REQUEST_LOG_H

#include "run.h"

/* Of a run; those after them are only counted, so that a broken destination fills no disk. */
#define REQUEST_LOG_MAX_FAILED 100

/* A request and what came of it. */
typedef struct RequestTaken
{
	const HttpRequest *request; /* before its credentials were put on */
	TimestampTz at;				/* when it went out */
	Row *const *rows;
	int			nrows;
	int64		rows_sent;		/* more than nrows where it carries rows that do not differ */
	int			attempt;
	const HttpResponse *response;	/* NULL: the run ended before */
	const ConnectorAnswer *answer;	/* redacted; NULL with the response */
	bool		accepted;		/* nothing to complain of */
} RequestTaken;

/* One that waits to be written down: UTF-8, masked and cut. */
typedef struct LoggedRequest
{
	MemoryContext context;		/* of all of it, this included */
	int64	   *id;				/* where its number goes once it is written; or NULL */
	RequestTaken taken;			/* of which only numbers are left */
	int64		run_id;
	const char *method;
	char	   *url;
	char	   *request_headers;	/* JSON object */
	char	   *request_body;	/* NULL: it had none */
	int64		request_bytes;
	bool		request_cut;
	int			http_status;
	char	   *response_headers;	/* NULL: no answer arrived */
	char	   *response_body;
	int64		response_bytes;
	double		duration_ms;	/* below 0: not known */
	char	   *ops;
	const char *class;
	char	   *problem;
} LoggedRequest;

typedef struct RequestLog
{
	MemoryContext context;
	List	   *waiting;		/* of LoggedRequest */
	size_t		bytes;			/* they take */
	TimestampTz since;			/* the first of them was taken; of the process's own clock */
	int64		numbers[REQUEST_LOG_MAX_FAILED];	/* of those that rows name */
	int			failed;			/* taken in this run, those written down included */
	int64		unlogged;		/* failed and not taken */
	int64		trimmed_after;	/* requests since old ones were last removed */
} RequestLog;

/*
 * Takes what option log wants taken; throws only for lack of memory.  Returns
 * id, which is where its number goes when it is written down, or NULL, where
 * it is not taken and never will be.
 */
extern int64 *act_request_log_take(Run *run, const RequestTaken *taken, int64 *id);

/* Room for a number, for as long as the run: NULL where there are enough. */
extern int64 *act_request_log_number(Run *run);

/* Something waits that should not wait for more answers: it is much, or old. */
extern bool act_request_log_due(const Run *run);

/*
 * request_log_write.c: writes down what waits, in the current transaction and
 * before the rows that name it; and after its commit forgets it.
 */
extern void act_request_log_write(Run *run);
extern void act_request_log_written(Run *run);

/* The run ends: the same, and what is too old or too much of its sync goes. */
extern void act_request_log_finish(Run *run);

/* How long requests are kept ends here. */
extern TimestampTz act_request_log_horizon(void);

#endif							/* ACT_REQUEST_LOG_H */

/*
 * conn.h
 *	  A connection of the test destination and the request on it.  The way of
 *	  a request: wire.c reads it, webhook.c or control.c answers it,
 *	  destination.c writes the answer and waits for the next.
 */
#ifndef CONN_H
#define CONN_H

#include <stdint.h>

#include "json.h"
#include "script.h"

#define MAX_HEAD_BYTES (1024 * 1024)
#define NEVER INT64_MAX

typedef enum ConnState
{
	CONN_HEAD,					/* reading a request line and headers */
	CONN_BODY,
	CONN_WAIT,					/* the answer is due later, or never */
	CONN_WRITE,
	CONN_ENDLESS				/* writing for ever */
} ConnState;

/* A request line and its headers, as read. */
typedef struct Request
{
	char	   *method;
	char	   *path;			/* with the query */
	Buf			headers;		/* JSON object, names in lower case */
	char	   *authorization;
	char	   *idempotency_key;
	size_t		content_length;
	bool		chunked;
	bool		close;
	Buf			body;
	size_t		chunk_left;		/* of the chunk being read */
	bool		chunk_data;		/* in a chunk, not between two */
	bool		chunk_trailer;	/* after the last one */
} Request;

typedef struct Conn
{
	int			fd;
	long		id;
	ConnState	state;
	Buf			in;
	Buf			out;
	size_t		sent;
	bool		close_after;
	bool		reset;			/* close by RST */
	bool		stale;			/* the next request finds it gone */
	bool		counted;		/* has sent a request of its own */
	bool		busy;			/* a request is unanswered */
	uint32_t	events;			/* that epoll watches for */

	Request		request;
	long		seq;			/* in the log */
	Behaviour  *behaviour;
	bool		evaluated;
	int			status;			/* from evaluating the rows */
	Buf			results;		/* elements of the results array */
	long		nresults;
	bool		is_lookup;		/* results are records */
	Buf			body;			/* of the answer, where it is made at once */
	bool		raw;			/* results are the whole body */
	const char *content_type;	/* of that; NULL: JSON */
	int64_t		due;
	struct Conn *next;
	struct Conn *prev;
} Conn;

typedef struct Config
{
	bool		idempotency;
	char	   *require_auth;
	long		delay_ms;
	long		max_rows;
	bool		log;
	long		job_polls;		/* so often a job is still being worked on */
	char	   *job_state;		/* its state then; NULL: done */
	long		page_rows;		/* results on a page; 0: all of them */
	bool		careless;		/* says yes without looking: for benchmarks */
} Config;

typedef struct Stats
{
	long		requests;
	long		rows;
	long		connections;
	long		open;
	long		busy;
	long		max_busy;
	long		faults;			/* requests that the script had a behaviour for */
	long		repeats;		/* rows that were there already, just so */
} Stats;

extern Config config;
extern Stats stats;

/* destination.c */
extern int64_t now_us(void);
extern void set_busy(Conn *conn, bool busy);
extern void conn_close(Conn *conn);
extern const char *reason(int status);
extern void send_out(Conn *conn);
extern void start_endless(Conn *conn);
extern void answer_plain(Conn *conn, int status, const char *type, const Buf *body);
extern void answer_error(Conn *conn, int status, const char *text);
extern void refuse(Conn *conn, int status, const char *text);

/* wire.c */
extern int hex_digit(char c);
extern char *url_decode(const char *text, size_t len);
extern void process(Conn *conn);

/* webhook.c */
extern void count_request(Conn *conn);
extern void handle_request(Conn *conn);
extern void answer(Conn *conn);
extern bool evaluate_row(Conn *conn, const char *object, Span row, bool apply);

/* jobs.c */
extern void job_request(Conn *conn, bool apply);
extern void jobs_json(Buf *out);
extern void jobs_forget(void);

/* lookup.c */
extern void look_up(Conn *conn, const char *object, Span lookup);
extern bool crm(Conn *conn, const char *object, Span body, bool apply);

/* control.c */
extern void control(Conn *conn);
extern void reset_everything(void);

#endif

/*
 * destination.c
 *	  The test destination: an HTTP/1.1 server on 127.0.0.1 that keeps records,
 *	  answers by script and logs each request.  One thread, one epoll.
 *
 * It speaks the webhook contract: POST /{object} with rows, answered row by
 * row.  Paths that begin with /_ control it (see README.md beside this file).
 * It must outlive whatever a client sends: what it can't read is answered
 * with a 4xx and the connection is closed.
 *
 * usage: destination [--die-with-parent] [PORT]	prints "PORT n"
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "log.h"
#include "script.h"
#include "store.h"

#define BACKLOG 1024
#define MAX_HEAD_BYTES (1024 * 1024)
#define MAX_HEADERS 200
#define MAX_BODY_BYTES (1024UL * 1024 * 1024)
#define MAX_CHUNK_LINE 1024
#define READ_BYTES 65536
#define MIN_PORT 10000			/* five digits, so that masking keeps the width */
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
	int64_t		due;
	struct Conn *next;
	struct Conn *prev;
} Conn;

static struct Config
{
	bool		idempotency;
	char	   *require_auth;
	long		delay_ms;
	long		max_rows;
	bool		log;
}			config = {.log = true};

static struct Stats
{
	long		requests;
	long		rows;
	long		connections;
	long		open;
	long		busy;
	long		max_busy;
}			stats;

static int	epoll_fd;
static int	listen_fd;
static Conn *conns;
static long last_connection;
static volatile sig_atomic_t stop;

static void process(Conn *conn);
static void flush_out(Conn *conn);

/*
 * ---- small things ----
 */

static int64_t
now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t) t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The caller frees it. */
static char *
url_decode(const char *text, size_t len)
{
	char	   *plain = xmalloc(len + 1);
	size_t		n = 0;

	for (size_t i = 0; i < len; i++)
	{
		if (text[i] == '%' && i + 2 < len && hex_digit(text[i + 1]) >= 0 && hex_digit(text[i + 2]) >= 0)
		{
			plain[n] = hex_digit(text[i + 1]) * 16 + hex_digit(text[i + 2]);
			n += plain[n] != '\0';
			i += 2;
		}
		else
			plain[n++] = text[i];
	}
	plain[n] = '\0';
	return plain;
}

/* A parameter of the query, NULL if it isn't there; the caller frees it. */
static char *
query_value(const char *path, const char *name)
{
	const char *p = strchr(path, '?');
	size_t		len = strlen(name);

	while (p)
	{
		p++;
		if (strncmp(p, name, len) == 0 && p[len] == '=')
			return url_decode(p + len + 1, strcspn(p + len + 1, "&"));
		p = strchr(p, '&');
	}
	return NULL;
}

static long
query_long(const char *path, const char *name)
{
	char	   *text = query_value(path, name);
	long		value = text ? strtol(text, NULL, 10) : 0;

	free(text);
	return value;
}

/*
 * ---- connections ----
 */

static void
watch(Conn *conn, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.ptr = conn};

	if (conn->events == events)
		return;
	epoll_ctl(epoll_fd, conn->events ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, conn->fd, &event);
	conn->events = events;
}

static void
set_busy(Conn *conn, bool busy)
{
	if (conn->busy == busy)
		return;
	conn->busy = busy;
	stats.busy += busy ? 1 : -1;
	if (stats.busy > stats.max_busy)
		stats.max_busy = stats.busy;
}

/* Forgets the request: the connection is ready for another. */
static void
forget_request(Conn *conn)
{
	set_busy(conn, false);
	free(conn->request.method);
	free(conn->request.path);
	buf_free(&conn->request.headers);
	free(conn->request.authorization);
	free(conn->request.idempotency_key);
	buf_free(&conn->request.body);
	memset(&conn->request, 0, sizeof(conn->request));
	script_release(conn->behaviour);
	conn->behaviour = NULL;
	conn->seq = 0;
	conn->evaluated = false;
	conn->status = 0;
	conn->nresults = 0;
	buf_free(&conn->results);
	conn->state = CONN_HEAD;
}

/* Closes the socket; conn stays until the events at hand are done. */
static void
conn_close(Conn *conn)
{
	struct linger linger = {1, 0};

	if (conn->fd < 0)
		return;
	if (conn->reset)
		setsockopt(conn->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	close(conn->fd);
	conn->fd = -1;
	stats.open -= conn->counted;
	forget_request(conn);
}

static void
free_closed_conns(void)
{
	Conn	   *next;

	for (Conn *conn = conns; conn; conn = next)
	{
		next = conn->next;
		if (conn->fd >= 0)
			continue;
		if (conn->prev)
			conn->prev->next = next;
		else
			conns = next;
		if (next)
			next->prev = conn->prev;
		buf_free(&conn->in);
		buf_free(&conn->out);
		free(conn);
	}
}

static void
accept_conns(void)
{
	int			fd;

	while ((fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0)
	{
		Conn	   *conn = xmalloc(sizeof(Conn));

		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int) {1}, sizeof(int));
		conn->fd = fd;
		conn->id = ++last_connection;
		conn->next = conns;
		if (conns)
			conns->prev = conn;
		conns = conn;
		watch(conn, EPOLLIN);
	}
}

/*
 * ---- answers ----
 */

static const char *
reason(int status)
{
	return status < 300 ? "OK" : status < 400 ? "Redirect" : status < 500 ? "Refused" : "Failed";
}

static void
send_out(Conn *conn)
{
	conn->state = CONN_WRITE;
	flush_out(conn);
}

static void
answer_plain(Conn *conn, int status, const char *type, const Buf *body)
{
	LogEntry   *entry = log_find(conn->seq);

	if (entry)
		entry->status = status;
	buf_format(&conn->out, "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n\r\n",
			   status, reason(status), type, body->len);
	buf_add(&conn->out, body->at, body->len);
	send_out(conn);
}

static void
answer_error(Conn *conn, int status, const char *text)
{
	Buf			body = {0};

	buf_text(&body, "{\"error\":");
	buf_json_string(&body, text, strlen(text));
	buf_text(&body, "}");
	answer_plain(conn, status, "application/json", &body);
	buf_free(&body);
}

/* What can't be read as HTTP: say so and hang up. */
static void
refuse(Conn *conn, int status, const char *text)
{
	conn->close_after = true;
	answer_error(conn, status, text);
}

static void
results_body(Buf *body, const Conn *conn, ResultsKind kind)
{
	static const char extra[] = "{\"status\":\"accepted\"}";
	const char *results = conn->results.at ? conn->results.at : "";
	const char *second;

	if (kind == RESULTS_NONE)
		buf_text(body, "{\"ok\":true}");
	else if (kind == RESULTS_NULL)
		buf_text(body, "{\"results\":null}");
	else if (kind == RESULTS_HTML)
		buf_text(body, "<html><body>Maintenance</body></html>");
	else if (kind == RESULTS_UNKNOWN)
	{
		buf_text(body, "{\"results\":[");
		for (long i = 0; i < conn->nresults; i++)
			buf_format(body, "%s{\"status\":\"marvellous\"}", i ? "," : "");
		buf_text(body, "]}");
	}
	else if (kind == RESULTS_SHORT)
	{
		second = strstr(results, ",\n");
		buf_format(body, "{\"results\":[%s]}", second ? second + 2 : "");
	}
	else if (kind == RESULTS_LONG)
		buf_format(body, "{\"results\":[%s%s%s]}", results, *results ? "," : "", extra);
	else
	{
		buf_format(body, "{\"results\":[%s]}", results);
		if (kind == RESULTS_CUT)
			body->len -= 2 + body->len / 3;
	}
}

static void
answer_body(Buf *body, const Conn *conn, const Behaviour *behaviour, int status)
{
	if (behaviour && behaviour->gzip.len > 0)
		buf_add(body, behaviour->gzip.at, behaviour->gzip.len);
	else if (behaviour && behaviour->body)
		buf_text(body, behaviour->body);
	else if (status >= 300)
		buf_format(body, "{\"error\":\"status %d\"}", status);
	else if (strcmp(conn->request.method, "POST") != 0)
		buf_text(body, "{\"ok\":true}");
	else
		results_body(body, conn, behaviour ? behaviour->results : RESULTS_RIGHT);
}

static void
answer_head(Buf *out, const Behaviour *behaviour, int status, size_t body_len)
{
	bool		html = behaviour && behaviour->results == RESULTS_HTML;

	buf_format(out, "HTTP/1.1 %d %s\r\n", status, reason(status));
	if (behaviour)
		buf_add(out, behaviour->headers.at, behaviour->headers.len);
	if (behaviour == NULL || !behaviour->content_type)
		buf_format(out, "Content-Type: %s\r\n", html ? "text/html" : "application/json");
	if (behaviour && behaviour->gzip.len > 0)
		buf_text(out, "Content-Encoding: gzip\r\n");
	if (behaviour && behaviour->header_bytes > 0)
	{
		buf_text(out, "X-Filler: ");
		buf_reserve(out, behaviour->header_bytes);
		memset(out->at + out->len, 'x', behaviour->header_bytes);
		out->len += behaviour->header_bytes;
		buf_text(out, "\r\n");
	}
	if (behaviour && (behaviour->chunked_bad || behaviour->endless))
		buf_text(out, "Transfer-Encoding: chunked\r\n");
	else if (behaviour && behaviour->content_length >= 0)
		buf_format(out, "Content-Length: %ld\r\n", behaviour->content_length);
	else if (status != 204)
		buf_format(out, "Content-Length: %zu\r\n", body_len);
	buf_text(out, "\r\n");
}

/* Whether the whole batch is refused before its rows are looked at. */
static bool
body_refused(Conn *conn, Span rows, long nrows)
{
	if (rows.at == NULL || *rows.at != '[')
		conn->status = 400;
	else if (config.max_rows > 0 && nrows > config.max_rows)
		conn->status = 413;
	return conn->status != 0;
}

static void
add_result(Conn *conn, const char *status, const char *id, const char *error, int retry)
{
	Buf		   *out = &conn->results;

	buf_format(out, "%s{\"status\":", conn->nresults++ ? ",\n" : "");
	buf_json_string(out, status, strlen(status));
	if (id)
	{
		buf_text(out, ",\"id\":");
		buf_json_string(out, id, strlen(id));
	}
	if (error)
	{
		buf_text(out, ",\"error\":");
		buf_json_string(out, error, strlen(error));
	}
	if (retry >= 0)
		buf_format(out, ",\"retry\":%s", retry ? "true" : "false");
	buf_text(out, "}");
}

static bool
apply_row(Conn *conn, const char *object, const char *op, const char *key, Span row)
{
	Span		fields = json_get(row, "fields");
	Record	   *record;
	const char *problem = store_apply(op, object, key, fields, &record);

	if (problem == NULL)
	{
		stats.rows++;
		add_result(conn, "accepted", record ? record->external_id : NULL, NULL, -1);
	}
	else if (strcmp(problem, "absent") == 0)
		add_result(conn, "absent", NULL, NULL, -1);
	else
		add_result(conn, "rejected", NULL, problem, 0);
	return problem == NULL;
}

/*
 * One row's part of the answer, and of the records unless apply is false.
 * false: the row was turned away.
 */
static bool
evaluate_row(Conn *conn, const char *object, Span row, bool apply)
{
	const RowRule *rule = script_row_rule(conn->behaviour, row);
	char	   *op = json_text(json_get(row, "op"));
	char	   *change_id = json_text(json_get(row, "change_id"));
	Span		key_span = json_get(row, "key");
	Buf			key = {0};
	Record	   *record;
	bool		accepted = false;

	if (key_span.at)
		json_canonical(&key, key_span);
	if (rule)
		add_result(conn, rule->status ? rule->status : "rejected", NULL,
				   rule->error ? rule->error : "rejected by script", rule->retry);
	else if (op == NULL || key.at == NULL)
		add_result(conn, "rejected", NULL, "a row has op and key", 0);
	else if (!apply || (config.idempotency && change_id && store_token_known(change_id)))
	{
		record = store_find(object, key.at);
		add_result(conn, "accepted", record ? record->external_id : NULL, NULL, -1);
		accepted = true;
	}
	else
	{
		accepted = apply_row(conn, object, op, key.at, row);
		if (accepted && config.idempotency && change_id)
			store_token_add(change_id);
	}
	free(op);
	free(change_id);
	buf_free(&key);
	return accepted;
}

/* Looks at the rows once: fills in status and results. */
static void
evaluate(Conn *conn, bool apply)
{
	Request    *request = &conn->request;
	Span		body = json_parse(request->body.at, request->body.len);
	Span		rows = json_get(body, "rows");
	LogEntry   *entry = log_find(conn->seq);
	JsonIter	iter = json_iter(rows);
	Span		name;
	Span		row;
	long		nrows = 0;
	bool		all = apply;
	char	   *object;

	conn->evaluated = true;
	if (strcmp(request->method, "POST") != 0)
		return;
	while (json_next(&iter, &name, &row))
		nrows++;
	if (entry)
		entry->rows = nrows;
	if (body_refused(conn, rows, nrows))
		return;
	if (config.idempotency && request->idempotency_key && store_token_known(request->idempotency_key))
		apply = false;
	object = url_decode(request->path + 1, strcspn(request->path + 1, "?"));
	iter = json_iter(rows);
	while (json_next(&iter, &name, &row))
		all &= evaluate_row(conn, object, row, apply);
	if (all && config.idempotency && request->idempotency_key)
		store_token_add(request->idempotency_key);
	free(object);
}

static void
start_endless(Conn *conn)
{
	conn->state = CONN_ENDLESS;
	flush_out(conn);
}

/* The answer to a request for the destination (not for its control). */
static void
answer(Conn *conn)
{
	Behaviour  *behaviour = conn->behaviour;
	LogEntry   *entry = log_find(conn->seq);
	Buf			body = {0};
	int			status;

	if (!conn->evaluated)
		evaluate(conn, behaviour && behaviour->apply == APPLY_AFTER);
	if (behaviour && behaviour->close == CLOSE_AFTER)
	{
		conn->reset = behaviour->reset;
		conn_close(conn);
		return;
	}
	status = behaviour && behaviour->status ? behaviour->status : conn->status ? conn->status : 200;
	if (entry)
		entry->status = status;
	answer_body(&body, conn, behaviour, status);
	answer_head(&conn->out, behaviour, status, body.len);
	if (behaviour && behaviour->chunked_bad)
		buf_text(&conn->out, "zz\r\nnot a chunk\r\n");
	else if (behaviour && behaviour->close == CLOSE_MID)
		buf_add(&conn->out, body.at, body.len / 2);
	else if (status != 204 && !(behaviour && behaviour->endless))
		buf_add(&conn->out, body.at, body.len);
	buf_free(&body);
	if (behaviour && (behaviour->close == CLOSE_MID || behaviour->chunked_bad || behaviour->content_length >= 0))
		conn->close_after = true;
	if (behaviour)
		conn->reset = behaviour->reset;
	if (behaviour && behaviour->endless)
		start_endless(conn);
	else
		send_out(conn);
}

/*
 * ---- control ----
 */

static void
records_json(Buf *out, const char *object)
{
	size_t		n;
	Record	  **list = store_list(object, &n);

	buf_text(out, "[");
	for (size_t i = 0; i < n; i++)
	{
		buf_text(out, i ? ",\n{\"object\":" : "{\"object\":");
		buf_json_string(out, list[i]->object, strlen(list[i]->object));
		buf_format(out, ",\"key\":%s,\"fields\":%s,\"external_id\":\"%s\",\"archived\":%s,\"writes\":%ld}",
				   list[i]->key, list[i]->fields, list[i]->external_id,
				   list[i]->archived ? "true" : "false", list[i]->writes);
	}
	buf_text(out, "]");
	free(list);
}

static void
record_lines(Buf *out, const char *object)
{
	size_t		n;
	Record	  **list = store_list(object, &n);

	for (size_t i = 0; i < n; i++)
		buf_format(out, "%s%s%s %s%s\n", object ? "" : list[i]->object, object ? "" : " ",
				   list[i]->key, list[i]->fields, list[i]->archived ? " archived" : "");
	free(list);
}

static void
reset_everything(void)
{
	store_reset();
	log_reset();
	script_reset();
	free(config.require_auth);
	config = (struct Config) {.log = true};
	stats.requests = stats.rows = stats.connections = 0;
	stats.max_busy = stats.busy;
}

/* NULL, or what is wrong (the caller frees it). */
static char *
set_config(Span object)
{
	JsonIter	iter = json_iter(object);
	char	   *problem = NULL;
	Span		name;
	Span		value;

	if (object.at == NULL || *object.at != '{')
		return strdup("a configuration is a JSON object");
	while (problem == NULL && json_next(&iter, &name, &value))
	{
		if (json_is(name, "idempotency"))
			config.idempotency = json_true(value);
		else if (json_is(name, "require_auth"))
		{
			free(config.require_auth);
			config.require_auth = *value.at == '"' ? json_text(value) : NULL;
		}
		else if (json_is(name, "delay_ms"))
			config.delay_ms = json_long(value, 0);
		else if (json_is(name, "max_rows"))
			config.max_rows = json_long(value, 0);
		else if (json_is(name, "log"))
			config.log = json_true(value);
		else if (asprintf(&problem, "unknown setting %.*s", (int) name.len, name.at) < 0)
			abort();
	}
	return problem;
}

static void
stats_json(Buf *out)
{
	buf_format(out, "{\"requests\":%ld,\"rows\":%ld,\"connections\":%ld,\"open\":%ld,\"busy\":%ld,\"max_busy\":%ld}",
			   stats.requests, stats.rows, stats.connections, stats.open, stats.busy, stats.max_busy);
}

/* false: no such control path. */
static bool
control_get(const char *path, const char *name, size_t len, Buf *out)
{
	char	   *object = query_value(path, "object");
	long		since = query_long(path, "since");
	bool		known = true;

#define IS(text) (len == strlen(text) && memcmp(name, text, len) == 0)
	if (IS("/_records"))
		records_json(out, object);
	else if (IS("/_requests"))
		log_json(out, since);
	else if (IS("/_stats"))
		stats_json(out);
	else if (IS("/_text/records"))
		record_lines(out, object);
	else if (IS("/_text/requests"))
		log_lines(out, since);
	else if (IS("/_text/rows"))
		log_row_lines(out, since, object);
	else
		known = false;
	free(object);
	return known;
}

static bool
control_post(const char *path, const char *name, size_t len, const Buf *body, char **problem)
{
	Span		value = json_parse(body->at, body->len);

	if (IS("/_reset"))
		reset_everything();
	else if (IS("/_script"))
		*problem = script_set(value, query_long(path, "append") != 0);
	else if (IS("/_config"))
		*problem = set_config(value);
	else
		return false;
	return true;
#undef IS
}

static void
control(Conn *conn)
{
	Request    *request = &conn->request;
	size_t		len = strcspn(request->path, "?");
	bool		text = strncmp(request->path, "/_text/", 7) == 0;
	char	   *problem = NULL;
	Buf			out = {0};
	bool		known;

	if (strcmp(request->method, "POST") == 0)
		known = control_post(request->path, request->path, len, &request->body, &problem);
	else
		known = control_get(request->path, request->path, len, &out);
	if (!known)
		answer_error(conn, 404, "no such control path");
	else if (problem)
		answer_error(conn, 400, problem);
	else
		answer_plain(conn, 200, text ? "text/plain" : "application/json", &out);
	free(problem);
	buf_free(&out);
}

/*
 * ---- a complete request ----
 */

static bool
applies_at_once(const Behaviour *behaviour)
{
	if (behaviour == NULL)
		return true;
	if (behaviour->apply != APPLY_DEFAULT)
		return behaviour->apply == APPLY_BEFORE;
	return !behaviour->hang && (behaviour->status == 0 || behaviour->status < 300);
}

static void
count_request(Conn *conn)
{
	stats.requests++;
	if (!conn->counted)
	{
		conn->counted = true;
		stats.connections++;
		stats.open++;
	}
	set_busy(conn, true);
	if (config.log)
		conn->seq = log_add(conn->request.method, conn->request.path, conn->id, now_us() / 1e6,
							&conn->request.headers, &conn->request.body);
}

static void
handle_request(Conn *conn)
{
	Request    *request = &conn->request;
	Behaviour  *behaviour;
	long		delay;

	if (request->close)
		conn->close_after = true;
	if (strncmp(request->path, "/_", 2) == 0)
	{
		control(conn);
		return;
	}
	count_request(conn);
	if (config.require_auth &&
		(request->authorization == NULL || strcmp(request->authorization, config.require_auth) != 0))
	{
		answer_error(conn, 401, "who are you?");
		return;
	}
	behaviour = conn->behaviour = script_take(request->method, request->path, &request->body);
	if (behaviour && behaviour->close == CLOSE_BEFORE)
	{
		conn->reset = behaviour->reset;
		conn_close(conn);
		return;
	}
	if (applies_at_once(behaviour))
		evaluate(conn, true);
	delay = behaviour && behaviour->delay_ms ? behaviour->delay_ms : config.delay_ms;
	if (delay > 0 || (behaviour && behaviour->hang))
	{
		conn->state = CONN_WAIT;
		conn->due = behaviour && behaviour->hang ? NEVER : now_us() + delay * 1000;
	}
	else
		answer(conn);
}

/*
 * ---- reading HTTP ----
 */

typedef struct Header
{
	char	   *name;			/* lower case */
	char	   *value;
} Header;

/* One header line; false if it isn't one. */
static bool
read_header(Header *header, const char *line, size_t len)
{
	const char *colon = memchr(line, ':', len);
	size_t		name_len = colon ? colon - line : 0;

	if (name_len == 0 || memchr(line, '\0', len) || memchr(line, ' ', name_len))
		return false;
	header->name = xstrndup(line, name_len);
	for (char *p = header->name; *p; p++)
		if (*p >= 'A' && *p <= 'Z')
			*p |= 0x20;
	for (colon++; colon < line + len && (*colon == ' ' || *colon == '\t'); colon++);
	while (len > 0 && line + len > colon && (line[len - 1] == ' ' || line[len - 1] == '\t'))
		len--;
	header->value = xstrndup(colon, line + len - colon);
	return true;
}

/* Headers as a JSON object; those of one name are joined by commas. */
static void
headers_json(Buf *out, const Header *headers, int n)
{
	buf_text(out, "{");
	for (int i = 0; i < n; i++)
	{
		Buf			value = {0};
		bool		seen = false;

		for (int j = 0; j < i; j++)
			seen |= strcmp(headers[j].name, headers[i].name) == 0;
		if (seen)
			continue;
		for (int j = i; j < n; j++)
			if (strcmp(headers[j].name, headers[i].name) == 0)
				buf_format(&value, "%s%s", j > i ? ", " : "", headers[j].value);
		buf_text(out, out->len > 1 ? "," : "");
		buf_json_string(out, headers[i].name, strlen(headers[i].name));
		buf_text(out, ":");
		buf_json_string(out, value.at, value.len);
		buf_free(&value);
	}
	buf_text(out, "}");
}

/* What the server itself needs to know; 0, or the status of the refusal. */
static int
read_special(Conn *conn, const Header *header)
{
	Request    *request = &conn->request;

	if (strcmp(header->name, "content-length") == 0)
	{
		char	   *end;

		errno = 0;
		request->content_length = strtoul(header->value, &end, 10);
		if (errno || *end || end == header->value || *header->value == '-' || *header->value == '+')
			return 400;
		if (request->content_length > MAX_BODY_BYTES)
			return 413;
	}
	else if (strcmp(header->name, "transfer-encoding") == 0)
	{
		if (strcasecmp(header->value, "chunked") != 0)
			return 501;
		request->chunked = true;
	}
	else if (strcmp(header->name, "connection") == 0)
		request->close |= strcasecmp(header->value, "close") == 0;
	else if (strcmp(header->name, "authorization") == 0 && request->authorization == NULL)
		request->authorization = strdup(header->value);
	else if (strcmp(header->name, "idempotency-key") == 0 && request->idempotency_key == NULL)
		request->idempotency_key = strdup(header->value);
	return 0;
}

/* "METHOD /path HTTP/1.x" */
static bool
read_request_line(Request *request, const char *line, size_t len)
{
	const char *space = memchr(line, ' ', len);
	const char *second = space ? memchr(space + 1, ' ', line + len - space - 1) : NULL;

	if (second == NULL || memchr(line, '\0', len) || space[1] != '/' || space == line ||
		line + len - second != 9 || memcmp(second, " HTTP/1.", 8) != 0)
		return false;
	request->method = xstrndup(line, space - line);
	request->path = xstrndup(space + 1, second - space - 1);
	request->close = second[8] == '0';
	return true;
}

/* Lines of the head after the first; 0, or the status of the refusal. */
static int
read_headers(Conn *conn, const char *line, const char *end, bool *expects)
{
	Header		headers[MAX_HEADERS];
	int			n = 0;
	int			status = 0;

	while (status == 0 && line < end)
	{
		const char *line_stop = memmem(line, end - line, "\r\n", 2);

		if (n == MAX_HEADERS)
			status = 431;
		else if (!read_header(&headers[n], line, line_stop - line))
			status = 400;
		else
		{
			*expects |= strcmp(headers[n].name, "expect") == 0;
			status = read_special(conn, &headers[n++]);
		}
		line = line_stop + 2;
	}
	headers_json(&conn->request.headers, headers, n);
	while (n > 0)
	{
		free(headers[--n].name);
		free(headers[n].value);
	}
	return status;
}

/* false: more bytes are needed, or the connection is done for. */
static bool
read_head(Conn *conn)
{
	const char *end = conn->in.len ? memmem(conn->in.at, conn->in.len, "\r\n\r\n", 4) : NULL;
	const char *line_end;
	bool		expects = false;
	int			status;

	if (end == NULL)
	{
		if (conn->in.len > MAX_HEAD_BYTES)
			refuse(conn, 431, "head too large");
		return false;
	}
	line_end = memmem(conn->in.at, conn->in.len, "\r\n", 2);
	if (!read_request_line(&conn->request, conn->in.at, line_end - conn->in.at))
	{
		refuse(conn, 400, "no request line");
		return false;
	}
	status = read_headers(conn, line_end + 2, end + 2, &expects);
	if (status != 0)
	{
		refuse(conn, status, "bad header");
		return false;
	}
	buf_consume(&conn->in, end + 4 - conn->in.at);
	conn->state = CONN_BODY;
	if (expects && conn->in.len == 0 && write(conn->fd, "HTTP/1.1 100 Continue\r\n\r\n", 25) != 25)
	{
		conn_close(conn);
		return false;
	}
	return true;
}

/* Whether the script closes the connection before the body is read. */
static bool
closed_before_body(Conn *conn)
{
	if (strncmp(conn->request.path, "/_", 2) == 0)
		return false;
	conn->behaviour = script_take(conn->request.method, conn->request.path, NULL);
	if (conn->behaviour == NULL)
		return false;
	count_request(conn);
	conn->reset = conn->behaviour->reset;
	conn_close(conn);
	return true;
}

/* A line "hex[;extension]" at p: its size, -1 if it isn't one. */
static long
chunk_size(const char *p, const char *end)
{
	long		size = 0;
	int			digits = 0;

	for (; p < end && hex_digit(*p) >= 0; p++)
	{
		size = size * 16 + hex_digit(*p);
		if (++digits > 8)
			return -1;
	}
	return digits > 0 && (p == end || *p == ';' || *p == ' ') ? size : -1;
}

/* Takes what has come of a chunked body; 1: complete, 0: not yet, -1: broken. */
static int
read_chunks(Conn *conn)
{
	Request    *request = &conn->request;
	const char *p = conn->in.at;
	const char *end = p + conn->in.len;
	int			result = 0;

	while (p < end && result == 0)
	{
		const char *line_stop;

		if (request->chunk_data && request->chunk_left > 0)
		{
			size_t		n = (size_t) (end - p) < request->chunk_left ? (size_t) (end - p) : request->chunk_left;

			buf_add(&request->body, p, n);
			request->chunk_left -= n;
			p += n;
			continue;
		}
		line_stop = memmem(p, end - p, "\r\n", 2);
		if (line_stop == NULL)
		{
			result = end - p > MAX_CHUNK_LINE ? -1 : 0;
			break;
		}
		if (request->chunk_trailer)
			result = line_stop == p ? 1 : 0;
		else if (request->chunk_data)
		{
			result = line_stop == p ? 0 : -1;
			request->chunk_data = false;
		}
		else
		{
			long		size = chunk_size(p, line_stop);

			if (size < 0 || request->body.len + size > MAX_BODY_BYTES)
				result = -1;
			request->chunk_trailer = size == 0;
			request->chunk_data = size > 0;
			request->chunk_left = size > 0 ? size : 0;
		}
		p = line_stop + 2;
	}
	buf_consume(&conn->in, p - conn->in.at);
	return result;
}

static bool
read_body(Conn *conn)
{
	Request    *request = &conn->request;
	int			result;

	if (request->chunked)
	{
		result = read_chunks(conn);
		if (result < 0)
			refuse(conn, 400, "bad chunk");
		return result > 0;
	}
	if (conn->in.len < request->content_length)
		return false;
	buf_add(&request->body, conn->in.at, request->content_length);
	buf_consume(&conn->in, request->content_length);
	return true;
}

/* Goes on with what was read, until more is needed. */
static void
process(Conn *conn)
{
	while (conn->fd >= 0)
	{
		if (conn->state == CONN_HEAD && conn->in.len > 0 && read_head(conn))
		{
			if (closed_before_body(conn))
				return;
		}
		if (conn->fd < 0 || conn->state != CONN_BODY || !read_body(conn))
			return;
		handle_request(conn);
		if (conn->fd < 0 || conn->state != CONN_HEAD)
			return;
	}
}

/*
 * ---- the loop ----
 */

static void
refill_endless(Conn *conn)
{
	static char filler[READ_BYTES];

	memset(filler, ' ', sizeof(filler));
	conn->out.len = 0;
	conn->sent = 0;
	buf_format(&conn->out, "%x\r\n", READ_BYTES);
	buf_add(&conn->out, filler, sizeof(filler));
	buf_text(&conn->out, "\r\n");
}

static void
flush_out(Conn *conn)
{
	while (conn->sent < conn->out.len)
	{
		ssize_t		n = send(conn->fd, conn->out.at + conn->sent, conn->out.len - conn->sent, MSG_NOSIGNAL);

		if (n < 0 && errno == EAGAIN)
		{
			watch(conn, EPOLLIN | EPOLLOUT);
			return;
		}
		if (n <= 0)
		{
			conn_close(conn);
			return;
		}
		conn->sent += n;
	}
	if (conn->state == CONN_ENDLESS)
	{
		refill_endless(conn);	/* for the next turn, so that others get theirs */
		watch(conn, EPOLLIN | EPOLLOUT);
		return;
	}
	buf_free(&conn->out);
	conn->sent = 0;
	watch(conn, EPOLLIN);
	if (conn->close_after)
		conn_close(conn);
	else
		forget_request(conn);
}

static void
read_in(Conn *conn)
{
	ssize_t		n;

	buf_reserve(&conn->in, READ_BYTES);
	n = recv(conn->fd, conn->in.at + conn->in.len, READ_BYTES, 0);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0 || (conn->state >= CONN_WAIT && conn->in.len + n > MAX_HEAD_BYTES))
	{
		conn_close(conn);
		return;
	}
	conn->in.len += n;
	conn->in.at[conn->in.len] = '\0';
	process(conn);
}

static void
conn_event(Conn *conn, uint32_t events)
{
	if (conn->fd >= 0 && (events & EPOLLOUT))
	{
		flush_out(conn);
		if (conn->fd >= 0 && conn->state == CONN_HEAD)
			process(conn);
	}
	if (conn->fd >= 0 && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
		read_in(conn);
}

/* Answers what is due; milliseconds to the next, -1 if there is none. */
static int
run_due(void)
{
	int64_t		now = now_us();
	int64_t		next = NEVER;

	for (Conn *conn = conns; conn; conn = conn->next)
	{
		if (conn->fd < 0 || conn->state != CONN_WAIT)
			continue;
		if (conn->due <= now)
		{
			answer(conn);
			process(conn);
		}
		if (conn->fd >= 0 && conn->state == CONN_WAIT && conn->due < next)
			next = conn->due;
	}
	return next == NEVER ? -1 : next <= now ? 0 : (int) ((next - now + 999) / 1000);
}

static int
listen_on(int port)
{
	for (;;)
	{
		struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
		socklen_t	len = sizeof(address);
		int			fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

		address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int) {1}, sizeof(int));
		if (bind(fd, (struct sockaddr *) &address, sizeof(address)) < 0 || listen(fd, BACKLOG) < 0 ||
			getsockname(fd, (struct sockaddr *) &address, &len) < 0)
		{
			perror("destination");
			exit(1);
		}
		if (port != 0 || ntohs(address.sin_port) >= MIN_PORT)
		{
			printf("PORT %d\n", ntohs(address.sin_port));
			fflush(stdout);
			return fd;
		}
		close(fd);
	}
}

static void
on_signal(int signo)
{
	stop = signo;
}

static void
free_everything(void)
{
	for (Conn *conn = conns; conn; conn = conn->next)
		conn_close(conn);
	free_closed_conns();
	reset_everything();
	close(listen_fd);
	close(epoll_fd);
}

int
main(int argc, char **argv)
{
	struct sigaction action = {.sa_handler = on_signal};	/* no SA_RESTART: epoll_wait returns */
	struct epoll_event events[256];
	int			port = 0;

	for (int i = 1; i < argc; i++)
	{
		if (strcmp(argv[i], "--die-with-parent") == 0)
			prctl(PR_SET_PDEATHSIG, SIGTERM);
		else
			port = atoi(argv[i]);
	}
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	listen_fd = listen_on(port);
	epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listen_fd, &(struct epoll_event) {.events = EPOLLIN, .data.ptr = NULL});

	while (!stop)
	{
		int			wait = run_due();
		int			n;

		free_closed_conns();
		n = epoll_wait(epoll_fd, events, 256, wait);
		for (int i = 0; i < n; i++)
		{
			if (events[i].data.ptr == NULL)
				accept_conns();
			else
				conn_event(events[i].data.ptr, events[i].events);
		}
	}
	free_everything();
	return 0;
}

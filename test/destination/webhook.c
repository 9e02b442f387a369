/*
 * webhook.c
 *	  The webhook contract: applies a request's rows to the records and
 *	  answers them, or does what the script says instead.
 */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "conn.h"
#include "log.h"
#include "store.h"

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
	else if (conn->is_lookup)
		buf_format(body, "{\"records\":[%s]}", results);
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
	else if (conn->body.len > 0 && status == conn->status)
		buf_add(body, conn->body.at, conn->body.len);
	else if (status >= 300)
		buf_format(body, "{\"error\":\"status %d\"}", status);
	else if (conn->raw)
		buf_text(body, conn->results.at ? conn->results.at : "{}");
	else if (strcmp(conn->request.method, "POST") != 0)
		buf_text(body, "{\"ok\":true}");
	else
		results_body(body, conn, behaviour ? behaviour->results : RESULTS_RIGHT);
}

static void
answer_head(Buf *out, const Conn *conn, const Behaviour *behaviour, int status, size_t body_len)
{
	bool		html = behaviour && behaviour->results == RESULTS_HTML;

	buf_format(out, "HTTP/1.1 %d %s\r\n", status, reason(status));
	if (behaviour)
		buf_add(out, behaviour->headers.at, behaviour->headers.len);
	if (behaviour == NULL || !behaviour->content_type)
		buf_format(out, "Content-Type: %s\r\n", html ? "text/html" : conn->content_type ? conn->content_type : "application/json");
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
	Record	   *record = store_find(object, key);
	char	   *before = record ? strdup(record->fields) : NULL;
	bool		archived = record && record->archived;
	const char *problem = store_apply(op, object, key, fields, &record);

	if (problem ? before == NULL && strcmp(problem, "absent") == 0 :
		before && record && archived == record->archived && strcmp(before, record->fields) == 0)
		stats.repeats++;
	free(before);
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
bool
evaluate_row(Conn *conn, const char *object, Span row, bool apply)
{
	const RowRule *rule = script_row_rule(conn->behaviour, row);
	char	   *op = json_text(json_get(row, "op"));
	char	   *change_id = json_text(json_get(row, "change_id"));
	char	   *external_id = json_text(json_get(row, "external_id"));
	Span		key_span = json_get(row, "key");
	Buf			key = {0};
	Record	   *record;
	bool		accepted = false;

	if (key_span.at)
		json_canonical(&key, key_span);
	if (external_id && key.at && store_find(object, key.at) == NULL)
	{
		record = store_find_id(object, external_id);
		if (record)
		{
			buf_free(&key);
			buf_text(&key, record->key);
		}
	}
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
		stats.repeats += apply;
	}
	else
	{
		accepted = apply_row(conn, object, op, key.at, row);
		if (accepted && config.idempotency && change_id)
			store_token_add(change_id);
	}
	free(op);
	free(change_id);
	free(external_id);
	buf_free(&key);
	return accepted;
}

/* The object is these rows from now on; ids tell in which order they came. */
static void
replace_object(const char *object, Span rows)
{
	JsonIter	iter = json_iter(rows);
	Record	   *record;
	Span		name;
	Span		row;

	store_forget(object);
	while (json_next(&iter, &name, &row))
	{
		Buf			key = {0};

		json_canonical(&key, json_get(row, "key"));
		store_apply("upsert", object, key.at, json_get(row, "fields"), &record);
		stats.rows++;
		buf_free(&key);
	}
}

static bool
is_replace(Span body)
{
	char	   *op = json_text(json_get(body, "op"));
	bool		is = op && strcmp(op, "replace") == 0;

	free(op);
	return is;
}

/* Looks at the rows once: fills in status and results. */
static void
evaluate(Conn *conn, bool apply)
{
	Request    *request = &conn->request;
	Span		body = json_parse(request->body.at, request->body.len);
	Span		rows = json_get(body, "rows");
	Span		lookup = json_get(body, "lookup");
	LogEntry   *entry = log_find(conn->seq);
	JsonIter	iter = json_iter(rows);
	Span		name;
	Span		row;
	long		nrows = 0;
	bool		all = apply;
	char	   *object;

	conn->evaluated = true;
	if (strcmp(request->path, "/jobs") == 0 || strncmp(request->path, "/jobs/", 6) == 0)
	{
		job_request(conn, apply);
		return;
	}
	if (strcmp(request->method, "POST") != 0)
		return;
	if (lookup.at)
	{
		object = url_decode(request->path + 1, strcspn(request->path + 1, "?/"));
		look_up(conn, object, lookup);
		free(object);
		return;
	}
	object = url_decode(request->path + 1, strcspn(request->path + 1, "?/"));
	if (crm(conn, object, body, apply))
	{
		if (conn->status == 0)
			conn->status = 200;
		free(object);
		return;
	}
	free(object);
	while (json_next(&iter, &name, &row))
		nrows++;
	if (entry)
		entry->rows = nrows;
	if (body_refused(conn, rows, nrows))
		return;
	if (apply && config.idempotency && request->idempotency_key && store_token_known(request->idempotency_key))
	{
		apply = false;
		stats.repeats += nrows;
	}
	object = url_decode(request->path + 1, strcspn(request->path + 1, "?"));
	iter = json_iter(rows);
	if (is_replace(body))
	{
		if (apply)
			replace_object(object, rows);
	}
	else
		while (json_next(&iter, &name, &row))
			all &= evaluate_row(conn, object, row, apply);
	if (all && config.idempotency && request->idempotency_key)
		store_token_add(request->idempotency_key);
	free(object);
}

/* The answer to a request for the destination (not for its control). */
void
answer(Conn *conn)
{
	Behaviour  *behaviour = conn->behaviour;
	LogEntry   *entry = log_find(conn->seq);
	Buf			body = {0};
	int			status;

	if (!conn->evaluated)
		evaluate(conn, behaviour && (behaviour->apply == APPLY_AFTER || behaviour->apply == APPLY_LATE));
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
	answer_head(&conn->out, conn, behaviour, status, body.len);
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
	{
		conn->reset = behaviour->reset;
		conn->stale = behaviour->close == CLOSE_NEXT;
	}
	if (behaviour && behaviour->endless)
		start_endless(conn);
	else
		send_out(conn);
}

static bool
applies_at_once(const Behaviour *behaviour)
{
	if (behaviour == NULL)
		return true;
	if (behaviour->apply != APPLY_DEFAULT)
		return behaviour->apply == APPLY_BEFORE;
	return !behaviour->hang && (behaviour->status == 0 || behaviour->status < 300);
}

void
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

void
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
	if (config.careless)
	{
		buf_text(&conn->out, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok");
		send_out(conn);
		return;
	}
	behaviour = conn->behaviour = script_take(request->method, request->path, &request->body);
	stats.faults += behaviour != NULL;
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

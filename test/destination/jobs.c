/*
 * jobs.c
 *	  Jobs: rows are handed over in steps, and who wants to know what became
 *	  of them asks later.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conn.h"
#include "log.h"

typedef struct Job
{
	long		id;
	char	   *object;
	const char *state;			/* open, working, aborted */
	char	   *rows;			/* what was uploaded; NULL: nothing was */
	long		nrows;
	char	  **results;		/* JSON objects, once it was begun */
	long		polls;			/* answered with working since then */
	struct Job *next;
} Job;

static Job *jobs;
static long last_id;

static Job *
find(long id)
{
	for (Job *job = jobs; job; job = job->next)
	{
		if (job->id == id)
			return job;
	}
	return NULL;
}

/* {"key": ..., and what the webhook says of the row} */
static char *
result_of(Conn *conn, const Job *job, Span row)
{
	Buf			result = {0};
	Buf			before = conn->results;
	Span		key = json_get(row, "key");
	char	   *text;

	memset(&conn->results, 0, sizeof(Buf));
	conn->nresults = 0;
	(void) evaluate_row(conn, job->object, row, true);
	buf_text(&result, "{\"key\":");
	buf_span(&result, key);
	buf_format(&result, ",%s", conn->results.at + 1);
	buf_free(&conn->results);
	conn->results = before;
	text = xstrndup(result.at, result.len);
	buf_free(&result);
	return text;
}

/* Its rows are applied; who asks is told later. */
static void
begin(Conn *conn, Job *job)
{
	Span		rows = job->rows ? json_parse(job->rows, strlen(job->rows)) : (Span) {0};
	JsonIter	iter = json_iter(rows);
	Span		name;
	Span		row;

	job->state = "working";
	while (json_next(&iter, &name, &row))
		job->nrows++;
	job->results = xmalloc(sizeof(char *) * (job->nrows + 1));
	job->nrows = 0;
	iter = json_iter(rows);
	while (json_next(&iter, &name, &row))
		job->results[job->nrows++] = result_of(conn, job, row);
}

static void
take_rows(Conn *conn, Job *job, Span rows)
{
	LogEntry   *entry = log_find(conn->seq);
	JsonIter	iter = json_iter(rows);
	Span		name;
	Span		row;

	job->rows = xstrndup(rows.at, rows.len);
	while (entry && json_next(&iter, &name, &row))
		entry->rows++;
}

static const char *
state_of(Job *job)
{
	if (strcmp(job->state, "working") != 0 || job->polls < config.job_polls)
		return job->state;
	return config.job_state ? config.job_state : "done";
}

static void
add_results(Buf *out, const Job *job, long from, long to)
{
	buf_text(out, "[");
	for (long i = from; i < to; i++)
		buf_format(out, "%s%s", i > from ? "," : "", job->results[i]);
	buf_text(out, "]");
}

static void
tell(Conn *conn, Job *job)
{
	Buf		   *out = &conn->results;
	const char *state = state_of(job);

	buf_format(out, "{\"id\":\"j%ld\",\"state\":\"%s\"", job->id, state);
	if (strcmp(state, "done") == 0)
	{
		buf_text(out, ",\"results\":");
		add_results(out, job, 0, job->nrows);
	}
	else if (strcmp(state, "working") != 0)
		buf_format(out, ",\"message\":\"the job is %s\"", state);
	buf_text(out, "}");
}

static long
query_number(const char *path, const char *name)
{
	const char *at = strstr(path, name);

	return at ? strtol(at + strlen(name), NULL, 10) : 0;
}

/* {"results": [...], "next": path}, from parameter "from" or that member of the body */
static void
tell_results(Conn *conn, const Job *job, Span body)
{
	Buf		   *out = &conn->results;
	char	   *cursor = json_text(json_get(body, "from"));
	long		from = cursor ? strtol(cursor, NULL, 10) : query_number(conn->request.path, "from=");
	long		size = config.page_rows > 0 ? config.page_rows : job->nrows;
	long		to = from + size < job->nrows ? from + size : job->nrows;

	free(cursor);
	buf_text(out, "{\"results\":");
	add_results(out, job, from < job->nrows ? from : job->nrows, to);
	if (to < job->nrows)
		buf_format(out, ",\"next\":\"/jobs/j%ld/results?from=%ld\",\"cursor\":\"%ld\"", job->id, to, to);
	buf_text(out, "}");
}

static void
tell_csv(Conn *conn, const Job *job)
{
	Buf		   *out = &conn->results;

	conn->content_type = "text/csv";
	buf_text(out, "key,status,error\r\n");
	for (long i = 0; i < job->nrows; i++)
	{
		Span		result = json_parse(job->results[i], strlen(job->results[i]));
		char	   *status = json_text(json_get(result, "status"));
		char	   *error = json_text(json_get(result, "error"));
		JsonIter	key = json_iter(json_get(result, "key"));
		Span		name;
		Span		value;
		char	   *text = json_next(&key, &name, &value) ? json_text(value) : NULL;

		buf_format(out, "%s,%s,\"%s\"\r\n", text ? text : "", status, error ? error : "");
		free(status);
		free(error);
		free(text);
	}
}

static void
make(Conn *conn, Span body)
{
	Job		   *job = xmalloc(sizeof(Job));
	Span		rows = json_get(body, "rows");

	memset(job, 0, sizeof(Job));
	job->id = ++last_id;
	job->object = json_text(json_get(body, "object"));
	if (job->object == NULL)
		job->object = strdup("jobs");
	job->state = "open";
	job->next = jobs;
	jobs = job;
	if (rows.at)
	{
		take_rows(conn, job, rows);
		begin(conn, job);
	}
	tell(conn, job);
}

static void
change(Conn *conn, Job *job, Span body)
{
	Span		state = json_get(body, "state");

	if (strcmp(job->state, "open") != 0)
		conn->status = 400;
	else if (state.at && json_is(state, "aborted"))
		job->state = "aborted";
	else
		begin(conn, job);
	tell(conn, job);
}

/* /jobs, /jobs/{id}, /jobs/{id}/rows, /jobs/{id}/results, /jobs/{id}/csv */
void
job_request(Conn *conn, bool apply)
{
	const Request *request = &conn->request;
	Span		body = json_parse(request->body.at ? request->body.at : "", request->body.len);
	const char *rest = request->path + strlen("/jobs");
	char	   *end;
	Job		   *job;

	conn->raw = true;
	if (*rest == '\0')
	{
		if (apply && strcmp(request->method, "POST") == 0)
			make(conn, body);
		return;
	}
	job = strncmp(rest, "/j", 2) == 0 ? find(strtol(rest + 2, &end, 10)) : NULL;
	if (job == NULL)
	{
		conn->status = 404;
		return;
	}
	if (strcmp(end, "/rows") == 0)
	{
		if (job->rows || strcmp(job->state, "open") != 0)
			conn->status = 409;
		else if (apply)
			take_rows(conn, job, json_get(body, "rows"));
	}
	else if (strncmp(end, "/results", 8) == 0 && job->results)
		tell_results(conn, job, body);
	else if (strcmp(end, "/csv") == 0 && job->results)
		tell_csv(conn, job);
	else if (strcmp(request->method, "PATCH") == 0)
	{
		if (apply)
			change(conn, job, body);
	}
	else
	{
		tell(conn, job);
		job->polls += strcmp(job->state, "working") == 0;
	}
	if (conn->results.len == 0 && conn->status == 0)
		buf_text(&conn->results, "{}");
}

/* [{"id", "object", "state"}], the newest first */
void
jobs_json(Buf *out)
{
	buf_text(out, "[");
	for (Job *job = jobs; job; job = job->next)
		buf_format(out, "%s{\"id\":\"j%ld\",\"object\":\"%s\",\"state\":\"%s\",\"rows\":%ld}", job == jobs ? "" : ",\n",
				   job->id, job->object, state_of(job), job->nrows);
	buf_text(out, "]");
}

/* All of them, or all but their number: they have vanished. */
void
jobs_forget(void)
{
	while (jobs)
	{
		Job		   *job = jobs;

		jobs = job->next;
		for (long i = 0; i < job->nrows; i++)
			free(job->results[i]);
		free(job->results);
		free(job->rows);
		free(job->object);
		free(job);
	}
}

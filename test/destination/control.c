/*
 * control.c
 *	  Requests on paths that begin with /_: what the test destination holds
 *	  and was asked, and what it shall do next.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conn.h"
#include "log.h"
#include "store.h"

Config		config = {.log = true};
Stats		stats;

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

void
reset_everything(void)
{
	store_reset();
	log_reset();
	script_reset();
	free(config.require_auth);
	free(config.job_state);
	jobs_forget();
	config = (Config) {.log = true};
	stats.requests = stats.rows = stats.connections = stats.faults = stats.repeats = 0;
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
		else if (json_is(name, "job_polls"))
			config.job_polls = json_long(value, 0);
		else if (json_is(name, "page_rows"))
			config.page_rows = json_long(value, 0);
		else if (json_is(name, "job_state"))
		{
			free(config.job_state);
			config.job_state = *value.at == '"' ? json_text(value) : NULL;
		}
		else if (json_is(name, "forget_jobs"))
			jobs_forget();
		else if (json_is(name, "careless"))
			config.careless = json_true(value);
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
	buf_format(out, "{\"requests\":%ld,\"rows\":%ld,\"connections\":%ld,\"open\":%ld,\"busy\":%ld,\"max_busy\":%ld,"
			   "\"faults\":%ld,\"repeats\":%ld}",
			   stats.requests, stats.rows, stats.connections, stats.open, stats.busy, stats.max_busy,
			   stats.faults, stats.repeats);
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
	else if (IS("/_jobs"))
		jobs_json(out);
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

void
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

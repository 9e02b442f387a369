/*
 * crm.c
 *	  A service that makes ids: creates, refuses duplicates, updates and
 *	  deletes by id, and writes documents by their revisions.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conn.h"
#include "store.h"

static long made;

/* The record whose field has this value, letters of either case alike. */
static Record *
find_by_field(const char *object, const char *field, const char *wanted)
{
	size_t		n;
	Record	  **list = store_list(object, &n);
	Record	   *found = NULL;

	for (size_t i = 0; i < n && found == NULL; i++)
	{
		char	   *text = json_text(json_get(json_parse(list[i]->fields, strlen(list[i]->fields)), field));

		if (text && strcasecmp(text, wanted) == 0)
			found = list[i];
		free(text);
	}
	free(list);
	return found;
}

static void
say_id(Conn *conn, int status, const Record *record)
{
	conn->status = status;
	buf_format(&conn->body, "{\"id\":\"%s\",\"rev\":\"%ld\"}", record->external_id, record->writes);
}

static void
say_error(Conn *conn, int status, const char *error, const Record *told)
{
	conn->status = status;
	buf_format(&conn->body, "{\"error\":\"%s\"", error);
	if (told)
		buf_format(&conn->body, ",\"existing\":\"%s\"", told->external_id);
	buf_text(&conn->body, "}");
}

static void
create(Conn *conn, const char *object, Span body)
{
	char	   *unique = json_text(json_get(body, "unique"));
	Span		fields = json_get(body, "fields");
	char	   *wanted = unique ? json_text(json_get(fields, unique)) : NULL;
	Record	   *record = wanted ? find_by_field(object, unique, wanted) : NULL;
	char		key[50];

	if (record)
		say_error(conn, 409, "exists", json_true(json_get(body, "silent")) ? NULL : record);
	else
	{
		snprintf(key, sizeof(key), "{\"made\":%ld}", ++made);
		store_apply("upsert", object, key, fields, &record);
		stats.rows++;
		say_id(conn, 201, record);
	}
	free(unique);
	free(wanted);
}

static void
change(Conn *conn, const char *object, const char *op, Span body)
{
	char	   *id = json_text(json_get(body, "id"));
	Record	   *record = id ? store_find_id(object, id) : NULL;

	if (record == NULL)
		say_error(conn, 404, "no such record", NULL);
	else
	{
		char	   *key = strdup(record->key);

		store_apply(op, object, key, json_get(body, "fields"), &record);
		stats.rows++;
		if (record)
			say_id(conn, 200, record);
		else
		{
			conn->status = 200;
			buf_text(&conn->body, "{}");
		}
		free(key);
	}
	free(id);
}

/* Of a document that is there the revision must be right, of another one there must be none. */
static void
put_document(Conn *conn, const char *object, Span row)
{
	char	   *rev = json_text(json_get(row, "rev"));
	Buf			key = {0};
	Record	   *record;
	char		current[30];

	json_canonical(&key, json_get(row, "key"));
	record = store_find(object, key.at);
	snprintf(current, sizeof(current), "%ld", record ? record->writes : 0);
	if (record ? rev == NULL || strcmp(rev, current) != 0 : rev != NULL)
		buf_format(&conn->body, "%s{\"error\":\"conflict\",\"reason\":\"Document update conflict.\"}", conn->nresults++ ? "," : "");
	else
	{
		store_apply("upsert", object, key.at, json_get(row, "fields"), &record);
		stats.rows++;
		buf_format(&conn->body, "%s{\"ok\":true,\"id\":\"%s\",\"rev\":\"%ld\"}", conn->nresults++ ? "," : "",
				   record->external_id, record->writes);
	}
	buf_free(&key);
	free(rev);
}

/* true: the request was one of these, and is answered by conn->body. */
bool
crm(Conn *conn, const char *object, Span body, bool apply)
{
	char	   *what = json_text(json_get(body, "crm"));
	JsonIter	iter = json_iter(json_get(body, "documents"));
	Span		name;
	Span		row;

	if (what == NULL)
		return false;
	if (!apply)
		buf_text(&conn->body, "{}");
	else if (strcmp(what, "create") == 0)
		create(conn, object, body);
	else if (strcmp(what, "put") == 0)
	{
		buf_text(&conn->body, "[");
		while (json_next(&iter, &name, &row))
			put_document(conn, object, row);
		buf_text(&conn->body, "]");
	}
	else
		change(conn, object, what, body);
	free(what);
	return true;
}

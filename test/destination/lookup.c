/*
 * lookup.c
 *	  Which records there are: answers for who asks before sending.
 */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>

#include "conn.h"
#include "store.h"

/* The field's value as text, however it is written. */
static char *
field_text(const Record *record, const char *field)
{
	return json_text(json_get(json_parse(record->fields, strlen(record->fields)), field));
}

static void
add_record(Conn *conn, const Record *record)
{
	Buf		   *out = &conn->results;

	buf_format(out, "%s{\"id\":\"%s\",\"rev\":\"%ld\",\"key\":%s,\"fields\":%s}", conn->nresults++ ? ",\n" : "",
			   record->external_id, record->writes, record->key, record->fields);
}

static long
add_matching(Conn *conn, Record **list, char **texts, size_t n, const char *wanted)
{
	long		found = 0;

	for (size_t i = 0; i < n; i++)
	{
		if (texts[i] == NULL || strcasecmp(texts[i], wanted) != 0)
			continue;
		add_record(conn, list[i]);
		found++;
	}
	return found;
}

/* Letters of either case are the same here, as they are to many a service. */
void
look_up(Conn *conn, const char *object, Span lookup)
{
	char	   *field = json_text(json_get(lookup, "field"));
	bool		each = json_true(json_get(lookup, "each"));
	size_t		n;
	Record	  **list = store_list(object, &n);
	char	  **texts = calloc(n + 1, sizeof(char *));
	JsonIter	iter = json_iter(json_get(lookup, "values"));
	Span		name;
	Span		value;

	conn->is_lookup = true;
	for (size_t i = 0; field && i < n; i++)
		texts[i] = field_text(list[i], field);
	while (json_next(&iter, &name, &value))
	{
		char	   *wanted = json_text(value);
		long		found = wanted ? add_matching(conn, list, texts, n, wanted) : 0;

		if (each && found == 0)
			buf_text(&conn->results, conn->nresults++ ? ",null" : "null");
		free(wanted);
	}
	for (size_t i = 0; i < n; i++)
		free(texts[i]);
	free(texts);
	free(list);
	free(field);
}

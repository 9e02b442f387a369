/*
 * log.c
 *	  The log of requests, see log.h.  Bodies are kept up to a total, so that
 *	  a benchmark doesn't fill the memory; the entries always are.
 */
#include <stdlib.h>
#include <string.h>

#include "log.h"

#define MAX_BODY_BYTES (256UL * 1024 * 1024)

static LogEntry *entries;
static size_t nentries;
static size_t capacity;
static size_t body_bytes;
static long last_seq;			/* goes on after a reset, so that a number means one request */

long
log_add(const char *method, const char *path, long connection, double time,
		Buf *headers, const Buf *body)
{
	LogEntry   *entry;

	if (nentries == capacity)
		entries = realloc(entries, (capacity = capacity * 2 + 64) * sizeof(LogEntry));
	if (entries == NULL)
		abort();
	entry = &entries[nentries++];
	memset(entry, 0, sizeof(*entry));
	entry->seq = ++last_seq;
	entry->connection = connection;
	entry->time = time;
	entry->method = strdup(method);
	entry->path = strdup(path);
	entry->headers = *headers;
	memset(headers, 0, sizeof(*headers));
	if (body_bytes + body->len <= MAX_BODY_BYTES)
	{
		buf_add(&entry->body, body->at, body->len);
		body_bytes += body->len;
	}
	return entry->seq;
}

LogEntry *
log_find(long seq)
{
	long		first = last_seq - (long) nentries + 1;

	return seq >= first && seq <= last_seq && nentries > 0 ? &entries[seq - first] : NULL;
}

void
log_json(Buf *out, long since)
{
	bool		first = true;

	buf_text(out, "[");
	for (size_t i = 0; i < nentries; i++)
	{
		LogEntry   *entry = &entries[i];

		if (entry->seq <= since)
			continue;
		buf_format(out, "%s{\"seq\":%ld,\"connection\":%ld,\"time\":%.6f,\"ended\":%.6f,\"status\":%d,\"rows\":%ld,\"method\":",
				   first ? "" : ",\n", entry->seq, entry->connection, entry->time, entry->ended, entry->status, entry->rows);
		buf_json_string(out, entry->method, strlen(entry->method));
		buf_text(out, ",\"path\":");
		buf_json_string(out, entry->path, strlen(entry->path));
		buf_format(out, ",\"headers\":%s,\"body\":", entry->headers.at);
		buf_json_string(out, entry->body.at, entry->body.len);
		buf_text(out, "}");
		first = false;
	}
	buf_text(out, "]");
}

void
log_lines(Buf *out, long since)
{
	for (size_t i = 0; i < nentries; i++)
		if (entries[i].seq > since)
			buf_format(out, "%s %s %d, rows: %ld\n", entries[i].method, entries[i].path,
					   entries[i].status, entries[i].rows);
}

/* Rows as they came: operation, key, fields; ids differ from run to run. */
void
log_row_lines(Buf *out, long since, const char *object)
{
	for (size_t i = 0; i < nentries; i++)
	{
		JsonIter	iter = json_iter(json_get(json_parse(entries[i].body.at, entries[i].body.len), "rows"));
		Span		name;
		Span		row;

		if (entries[i].seq <= since || (object && strcmp(entries[i].path + 1, object) != 0))
			continue;
		while (json_next(&iter, &name, &row))
		{
			char	   *op = json_text(json_get(row, "op"));
			Span		key = json_get(row, "key");
			Span		fields = json_get(row, "fields");

			buf_format(out, "%s ", op ? op : "?");
			if (key.at)
				json_canonical(out, key);
			buf_text(out, fields.at ? " " : "");
			buf_span(out, fields);
			buf_text(out, "\n");
			free(op);
		}
	}
}

void
log_reset(void)
{
	for (size_t i = 0; i < nentries; i++)
	{
		free(entries[i].method);
		free(entries[i].path);
		buf_free(&entries[i].headers);
		buf_free(&entries[i].body);
	}
	free(entries);
	entries = NULL;
	nentries = capacity = body_bytes = 0;
}

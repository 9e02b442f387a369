/*-------------------------------------------------------------------------
 *
 * request_mask.c
 *	  A request as it goes out, with its credentials masked.
 *
 * For people: preview_requests() and the view requests.  Needs no transaction.
 * No secret comes near it: what is made of secrets (base64, signatures) is
 * told from the rest by making it twice, of two that are none.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "request_mask.h"

static const char *
one_secret(void *arg, const char *name)
{
	return act_destination_secret(arg, name) == NULL ? NULL : ACT_REQUEST_ONE_SECRET;
}

static const char *
other_secret(void *arg, const char *name)
{
	return act_destination_secret(arg, name) == NULL ? NULL : ACT_REQUEST_OTHER_SECRET;
}

/* From the last of these letters before the first difference: Basic ********, v1,******** */
static char *
mask_difference(const char *one, const char *other, const char *letters)
{
	int			start = 0;

	if (strcmp(one, other) == 0)
		return pstrdup(one);
	for (int i = 0; one[i] != '\0' && one[i] == other[i]; i++)
	{
		if (strchr(letters, one[i]) != NULL)
			start = i + 1;
	}
	return psprintf("%.*s" ACT_REQUEST_MASK, start, one);
}

/* Where the string ends that a place in JSON is in: at its quote, or at the end of all. */
static size_t
string_end(const char *json, size_t len, size_t at)
{
	while (at < len && json[at] != '"')
		at += json[at] == '\\' ? 2 : 1;
	return Min(at, len);
}

/* Credentials in a body are strings within JSON: {"routing_key": "********"} */
static void
mask_body(HttpRequest *request, const HttpRequest *other)
{
	StringInfoData masked;
	size_t		a = 0;
	size_t		b = 0;
	int			start = 0;		/* of the string that a is in, in what is masked */

	if (request->body == NULL || other->body == NULL ||
		(request->body_len == other->body_len && memcmp(request->body, other->body, request->body_len) == 0))
		return;
	initStringInfo(&masked);
	while (a < request->body_len && b < other->body_len)
	{
		if (request->body[a] == other->body[b])
		{
			appendStringInfoCharMacro(&masked, request->body[a]);
			if (request->body[a] == '"')
				start = masked.len;
			a++;
			b++;
			continue;
		}
		masked.len = start;
		appendStringInfoString(&masked, ACT_REQUEST_MASK);
		a = string_end(request->body, request->body_len, a);
		b = string_end(other->body, other->body_len, b);
	}
	request->body = masked.data;
	request->body_len = masked.len;
}

/* Credentials may take the place of a header that is there: not in the original. */
static List *
copy_headers(List *copies, const List *headers)
{
	ListCell   *cell;

	foreach(cell, headers)
	{
		HttpHeader *copy = palloc(sizeof(HttpHeader));

		*copy = *(const HttpHeader *) lfirst(cell);
		copies = lappend(copies, copy);
	}
	return copies;
}

static HttpRequest
authorize(const Run *run, const HttpRequest *bare, int64 now_s,
		  const char *(*secret) (void *arg, const char *name))
{
	HttpRequest request = *bare;
	ConnectorScope scope = run->scope;

	scope.secret = secret;
	scope.token = act_connector_sample_token(run->destination->connector, &run->scope,
											 secret == one_secret ? ACT_REQUEST_ONE_SECRET : ACT_REQUEST_OTHER_SECRET);
	request.headers = copy_headers(copy_headers(NIL, bare->headers), run->destination->extra_headers);
	act_connector_authorize(run->destination->connector, &scope, &request, now_s);
	return request;
}

void
act_request_mask(HttpRequest *request, const HttpRequest *other)
{
	List	   *headers = NIL;
	ListCell   *a;
	ListCell   *b;

	request->url = mask_difference(request->url, other->url, "/?&=");
	mask_body(request, other);
	forboth(a, request->headers, b, other->headers)
	{
		const HttpHeader *header = lfirst(a);
		HttpHeader *masked = palloc(sizeof(HttpHeader));

		masked->name = header->name;
		masked->value = mask_difference(header->value, ((HttpHeader *) lfirst(b))->value, " ,");
		headers = lappend(headers, masked);
	}
	request->headers = headers;
}

HttpRequest
act_request_masked(const Run *run, const HttpRequest *bare, int64 now_s)
{
	HttpRequest request = authorize(run, bare, now_s, one_secret);
	HttpRequest other = authorize(run, bare, now_s, other_secret);

	act_request_mask(&request, &other);
	return request;
}

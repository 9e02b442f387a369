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

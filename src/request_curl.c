/*-------------------------------------------------------------------------
 *
 * request_curl.c
 *	  SQL-callable: a logged request as a curl command.
 *
 * Pure.  Of what the view requests has, so secrets stand as asterisks.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"

#include "curl_command.h"

PG_FUNCTION_INFO_V1(act_request_curl);

/* Members whose values are strings; of the others a request has none. */
static List *
read_headers(Jsonb *jsonb)
{
	JsonbIterator *iterator = JsonbIteratorInit(&jsonb->root);
	JsonbIteratorToken token;
	JsonbValue	value;
	List	   *headers = NIL;
	char	   *name = NULL;

	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		HttpHeader *header;

		if (token == WJB_KEY)
			name = pnstrdup(value.val.string.val, value.val.string.len);
		if (token != WJB_VALUE || value.type != jbvString || name == NULL)
			continue;
		header = palloc(sizeof(HttpHeader));
		header->name = name;
		header->value = pnstrdup(value.val.string.val, value.val.string.len);
		headers = lappend(headers, header);
	}
	return headers;
}

/* activate.request_curl(headers jsonb, method text, url text, body text); NULL where something is missing */
Datum
act_request_curl(PG_FUNCTION_ARGS)
{
	HttpRequest request = {0};

	if (PG_ARGISNULL(1) || PG_ARGISNULL(2))
		PG_RETURN_NULL();
	request.method = text_to_cstring(PG_GETARG_TEXT_PP(1));
	request.url = text_to_cstring(PG_GETARG_TEXT_PP(2));
	if (!PG_ARGISNULL(0) && JB_ROOT_IS_OBJECT(PG_GETARG_JSONB_P(0)))
		request.headers = read_headers(PG_GETARG_JSONB_P(0));
	if (!PG_ARGISNULL(3))
	{
		request.body = text_to_cstring(PG_GETARG_TEXT_PP(3));
		request.body_len = strlen(request.body);
	}
	PG_RETURN_TEXT_P(cstring_to_text(act_curl_command(&request)));
}

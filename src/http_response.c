/*-------------------------------------------------------------------------
 *
 * http_response.c
 *	  What came of a request, as callers see it: the kind of outcome, in
 *	  words, and the answer's parts.
 *
 * Allocates in the current memory context and may throw where memory is
 * short; the transfer is only read.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "address.h"
#include "http_private.h"

static void response_classify(HttpResponse *response, const HttpTransfer *transfer);
static HttpTransport transport_before_request(const HttpTransfer *transfer);
static char *forbidden_problem(const HttpTransfer *transfer);
static char *listing_hint(const HttpTransfer *transfer);
static List *headers_read(const HttpBuffer *buffer);

/* act_response_create makes the response of a finished transfer. */
HttpResponse *
act_response_create(const HttpTransfer *transfer)
{
	HttpResponse *response = palloc0(sizeof(HttpResponse));

	response_classify(response, transfer);
	response->status = (int) transfer->status;
	response->repeated = transfer->sends > 1;
	response->duration_ms = (transfer->finished_us - transfer->started_us) / 1000.0;
	response->headers = headers_read(&transfer->headers_in);
	if (response->transport == HTTP_ANSWERED)
		response->body_len = transfer->body_in.len;
	response->body = palloc(response->body_len + 1);
	if (response->body_len > 0)
		memcpy(response->body, transfer->body_in.data, response->body_len);
	response->body[response->body_len] = '\0';
	return response;
}

const char *
act_http_header(const HttpResponse *response, const char *name)
{
	ListCell   *lc;

	foreach(lc, response->headers)
	{
		HttpHeader *header = lfirst(lc);

		if (pg_strcasecmp(header->name, name) == 0)
			return header->value;
	}
	return NULL;
}

/*
 * response_classify says how far the request came.  The order matters: only
 * what is certain not to have been sent counts as such.
 */
static void
response_classify(HttpResponse *response, const HttpTransfer *transfer)
{
	const char *words = transfer->curl_problem[0] != '\0' ?
		transfer->curl_problem : curl_easy_strerror(transfer->result);

	if (transfer->decided)
	{
		response->transport = transfer->transport;
		response->problem = pstrdup(transfer->problem);
		if (transfer->listable)
			response->hint = listing_hint(transfer);
	}
	else if (transfer->headers_too_large)
	{
		response->transport = HTTP_TOO_LARGE;
		response->problem = psprintf("the answer has more than %d kB of headers",
									 HTTP_MAX_HEADER_BYTES / 1024);
	}
	else if (transfer->too_large || transfer->result == CURLE_FILESIZE_EXCEEDED)
	{
		response->transport = HTTP_TOO_LARGE;
		response->problem = psprintf("the answer has more than %zu bytes",
									 transfer->loop->policy.max_response_bytes);
	}
	else if (transfer->result == CURLE_OK)
		response->transport = HTTP_ANSWERED;
	else if (transfer->sends > 0)
	{
		response->transport = HTTP_LOST;
		if (transfer->repeat_refused)
			response->problem = pstrdup("the server closed the connection without an answer");
		else if (transfer->out_of_memory)
			response->problem = pstrdup("out of memory for the answer");
		else if (transfer->result == CURLE_OUT_OF_MEMORY)
			/* libcurl says so too where one header line is too long for it. */
			response->problem = pstrdup("no whole answer: out of memory, or a header line of more than 100 kB");
		else
			response->problem = psprintf("no whole answer: %s", words);
	}
	else
	{
		response->transport = transport_before_request(transfer);
		if (response->transport == HTTP_FORBIDDEN)
		{
			response->problem = forbidden_problem(transfer);
			response->hint = listing_hint(transfer);
		}
		else
			response->problem = psprintf("%s \"%s\": %s",
										 transfer->loop->proxy_host != NULL ? "proxy" : "host",
										 transfer->peer, words);
	}
}

/* transport_before_request: libcurl failed, and nothing was sent. */
static HttpTransport
transport_before_request(const HttpTransfer *transfer)
{
	/* One address allowed is enough; then it is no longer about the others. */
	if (transfer->refused.ss_family != 0 && transfer->sockets == 0)
		return HTTP_FORBIDDEN;
	switch (transfer->result)
	{
		case CURLE_COULDNT_RESOLVE_HOST:
		case CURLE_COULDNT_RESOLVE_PROXY:
			return HTTP_UNRESOLVED;

		case CURLE_SSL_CONNECT_ERROR:
			/* The other end left in the middle: a network fault, not trust. */
			if (strncmp(transfer->curl_problem, "OpenSSL SSL_connect: ", 21) == 0)
				return HTTP_UNREACHED;
			return HTTP_UNTRUSTED;

		case CURLE_PEER_FAILED_VERIFICATION:
		case CURLE_SSL_CACERT_BADFILE:
		case CURLE_SSL_CERTPROBLEM:
		case CURLE_SSL_CIPHER:
		case CURLE_SSL_CRL_BADFILE:
		case CURLE_SSL_ENGINE_NOTFOUND:
		case CURLE_SSL_ENGINE_SETFAILED:
		case CURLE_SSL_INVALIDCERTSTATUS:
		case CURLE_SSL_ISSUER_ERROR:
		case CURLE_SSL_PINNEDPUBKEYNOTMATCH:
			return HTTP_UNTRUSTED;

		default:
			return HTTP_UNREACHED;
	}
}

static char *
forbidden_problem(const HttpTransfer *transfer)
{
	const struct sockaddr *address = (const struct sockaddr *) &transfer->refused;
	const char *kind = act_address_kind(address);
	const char *what = transfer->loop->proxy_host != NULL ? "proxy" : "host";
	char		text[ADDRESS_TEXT_SIZE];

	act_address_text(address, text, sizeof(text));
	if (transfer->name == NULL)
		return psprintf("%s \"%s\" is a %s address", what, transfer->peer, kind);
	return psprintf("%s \"%s\" resolves to %s address %s",
					what, transfer->peer, kind, text);
}

/* listing_hint is the line to type; the list was checked to need no quoting. */
static char *
listing_hint(const HttpTransfer *transfer)
{
	const char *list = transfer->loop->policy.allowed_hosts;
	bool		empty = list == NULL || list[strspn(list, " \t,")] == '\0';

	return psprintf("A superuser can allow it: LOAD 'pg_activate'; ALTER SYSTEM SET pg_activate.allowed_hosts = '%s%s%s'; "
					"SELECT pg_reload_conf();",
					empty ? "" : list, empty ? "" : ",", transfer->peer);
}

/*
 * headers_read splits header lines.  What has a blank before its colon is no
 * header: a status line, or the obsolete continuation of the line before.
 */
static List *
headers_read(const HttpBuffer *buffer)
{
	List	   *headers = NIL;
	const char *line = buffer->data;
	const char *end = buffer->data + buffer->len;

	while (line < end)
	{
		const char *newline = memchr(line, '\n', end - line);
		const char *stop = newline != NULL ? newline : end;
		const char *colon = memchr(line, ':', stop - line);

		if (colon != NULL && colon > line &&
			memchr(line, '\0', stop - line) == NULL &&
			memchr(line, ' ', colon - line) == NULL &&
			memchr(line, '\t', colon - line) == NULL)
		{
			HttpHeader *header = palloc(sizeof(HttpHeader));
			const char *value = colon + 1;
			const char *value_end = stop;

			while (value < value_end && (*value == ' ' || *value == '\t'))
				value++;
			while (value_end > value && strchr(" \t\r", value_end[-1]) != NULL)
				value_end--;
			header->name = pnstrdup(line, colon - line);
			header->value = pnstrdup(value, value_end - value);
			headers = lappend(headers, header);
		}
		line = stop + 1;
	}
	return headers;
}

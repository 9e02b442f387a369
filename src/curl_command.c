/*-------------------------------------------------------------------------
 *
 * curl_command.c
 *	  A request as a command that a person can run.
 *
 * Every word that comes from outside is quoted for the shell, whatever is in
 * it: nothing of a row or an option is ever read as shell or as an option of
 * curl.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "lib/stringinfo.h"

#include "curl_command.h"

/* Linux takes no argument of 128 kB; a longer body goes through a pipe. */
#define MAX_ARGUMENT 100000

/* Whether a terminal would do something else than show it. */
static bool
has_control(const char *text)
{
	for (const unsigned char *c = (const unsigned char *) text; *c != '\0'; c++)
	{
		if ((*c < 0x20 && *c != '\n') || *c == 0x7f)
			return true;
	}
	return false;
}

/* 'text', or $'text' where control characters have to be written out. */
static void
append_quoted(StringInfo buf, const char *text)
{
	if (!has_control(text))
	{
		appendStringInfoChar(buf, '\'');
		for (; *text != '\0'; text++)
		{
			if (*text == '\'')
				appendStringInfoString(buf, "'\\''");
			else
				appendStringInfoChar(buf, *text);
		}
		appendStringInfoChar(buf, '\'');
		return;
	}
	appendStringInfoString(buf, "$'");
	for (const unsigned char *c = (const unsigned char *) text; *c != '\0'; c++)
	{
		if (*c == '\'' || *c == '\\')
			appendStringInfo(buf, "\\%c", *c);
		else if (*c < 0x20 || *c == 0x7f)
			appendStringInfo(buf, "\\%03o", *c);
		else
			appendStringInfoChar(buf, (char) *c);
	}
	appendStringInfoChar(buf, '\'');
}

/* The body is shown as it is before it is compressed. */
static bool
is_packed(const HttpRequest *request)
{
	ListCell   *cell;

	foreach(cell, request->headers)
	{
		const HttpHeader *header = lfirst(cell);

		if (pg_strcasecmp(header->name, "Content-Encoding") == 0)
			return pg_strcasecmp(header->value, "gzip") == 0;
	}
	return false;
}

char *
act_curl_command(const HttpRequest *request)
{
	bool		packed = request->body != NULL && is_packed(request);
	bool		piped = packed || (request->body != NULL && request->body_len > MAX_ARGUMENT);
	StringInfoData buf;
	ListCell   *cell;

	initStringInfo(&buf);
	if (piped)
	{
		appendStringInfoString(&buf, "printf %s ");
		append_quoted(&buf, request->body);
		appendStringInfoString(&buf, packed ? " | gzip --stdout | " : " | ");
	}
	appendStringInfoString(&buf, "curl --request ");
	append_quoted(&buf, request->method);
	/* Brackets and braces in an address are its own. */
	appendStringInfoString(&buf, strpbrk(request->url, "[]{}") != NULL ? " --globoff --url " : " --url ");
	append_quoted(&buf, request->url);
	foreach(cell, request->headers)
	{
		const HttpHeader *header = lfirst(cell);

		/* curl would leave out a header that ends in a colon. */
		appendStringInfoString(&buf, " --header ");
		append_quoted(&buf, header->value[0] == '\0' ? psprintf("%s;", header->name) :
					  psprintf("%s: %s", header->name, header->value));
	}
	if (piped)
		appendStringInfoString(&buf, " --data-binary @-");
	else if (request->body != NULL)
	{
		appendStringInfoString(&buf, " --data-raw ");
		append_quoted(&buf, request->body);
	}
	return buf.data;
}

/*-------------------------------------------------------------------------
 *
 * server_text.c
 *	  Text between the server's encoding and UTF-8.
 *
 * Messages and names, as they go into what is told of a row.  Inside a
 * transaction: a conversion is looked up.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "mb/pg_wchar.h"

#include "json_text.h"
#include "server_text.h"

char *
act_server_text_utf8(const char *text)
{
	int			encoding = GetDatabaseEncoding();
	size_t		len = strlen(text);
	StringInfoData buf;
	Oid			function;

	initStringInfo(&buf);
	if (encoding == PG_UTF8 || encoding == PG_SQL_ASCII)
	{
		act_utf8_append(&buf, text, len);
		return buf.data;
	}
	function = FindDefaultConversionProc(encoding, PG_UTF8);
	if (!OidIsValid(function))
		return pstrdup("?");
	enlargeStringInfo(&buf, len * MAX_CONVERSION_GROWTH + 1);
	(void) pg_do_encoding_conversion_buf(function, encoding, PG_UTF8, (unsigned char *) text, len,
										 (unsigned char *) buf.data, buf.maxlen, true);
	return buf.data;
}

char *
act_server_text_clip(const char *utf8, size_t limit)
{
	size_t		len = strlen(utf8);

	if (len <= limit)
		return pstrdup(utf8);
	return psprintf("%.*s\xe2\x80\xa6", (int) act_utf8_clip(utf8, len, limit), utf8);
}

/* append: what stands for the character that the encoding lacks. */
static char *
to_server(const char *utf8, void (*append) (StringInfo buf, const char *character))
{
	size_t		len = strlen(utf8);
	Oid			proc;
	StringInfoData out;
	size_t		used = 0;

	if (GetDatabaseEncoding() == PG_UTF8 || GetDatabaseEncoding() == PG_SQL_ASCII)
		return pstrdup(utf8);
	proc = FindDefaultConversionProc(PG_UTF8, GetDatabaseEncoding());
	if (!OidIsValid(proc))
		return pstrdup("?");
	initStringInfo(&out);
	while (used < len)
	{
		enlargeStringInfo(&out, (int) ((len - used) * MAX_CONVERSION_GROWTH + 1));
		used += pg_do_encoding_conversion_buf(proc, PG_UTF8, GetDatabaseEncoding(),
											  (unsigned char *) utf8 + used, len - used,
											  (unsigned char *) out.data + out.len, out.maxlen - out.len, true);
		out.len += strlen(out.data + out.len);
		if (used < len)
		{
			append(&out, utf8 + used);
			used += pg_encoding_mblen(PG_UTF8, utf8 + used);
		}
	}
	return out.data;
}

static void
append_question(StringInfo buf, const char *character)
{
	appendStringInfoChar(buf, '?');
}

static void
append_code(StringInfo buf, const char *character)
{
	appendStringInfo(buf, "\\u%04x", (unsigned int) utf8_to_unicode((const unsigned char *) character));
}

char *
act_text_to_server(const char *utf8)
{
	return to_server(utf8, append_question);
}

char *
act_text_to_server_escaped(const char *utf8)
{
	return to_server(utf8, append_code);
}

char *
act_text_to_server_exact(const char *utf8)
{
	char	   *text;

	if (utf8 == NULL)
		return NULL;
	text = act_text_to_server(utf8);
	return strcmp(pg_server_to_any(text, strlen(text), PG_UTF8), utf8) == 0 ? text : NULL;
}

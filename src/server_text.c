/*-------------------------------------------------------------------------
 *
 * server_text.c
 *	  Text in the server's encoding, for those that want UTF-8.
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

/*-------------------------------------------------------------------------
 *
 * server_text.c
 *	  Text of a stranger, always UTF-8, in the server's encoding.
 *
 * Inside a transaction, since conversions are found in the catalogs; in the
 * current memory context.  Throws nothing for what the encoding lacks.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "mb/pg_wchar.h"

#include "server_text.h"

char *
act_text_to_server(const char *utf8)
{
	size_t		len = strlen(utf8);
	Oid			proc;
	unsigned char *out;
	size_t		used = 0;
	size_t		written = 0;
	size_t		capacity = len * MAX_CONVERSION_GROWTH + 1;

	if (GetDatabaseEncoding() == PG_UTF8 || GetDatabaseEncoding() == PG_SQL_ASCII)
		return pstrdup(utf8);
	proc = FindDefaultConversionProc(PG_UTF8, GetDatabaseEncoding());
	if (!OidIsValid(proc))
		return pstrdup("?");
	out = palloc(capacity);
	while (used < len)
	{
		int			done = pg_do_encoding_conversion_buf(proc, PG_UTF8, GetDatabaseEncoding(),
														 (unsigned char *) utf8 + used, len - used,
														 out + written, capacity - written, true);

		used += done;
		written += strlen((char *) out + written);
		if (used < len)
		{
			used += pg_encoding_mblen(PG_UTF8, utf8 + used);
			out[written++] = '?';
			out[written] = '\0';
		}
	}
	return (char *) out;
}

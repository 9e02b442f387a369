/*-------------------------------------------------------------------------
 *
 * retry.c
 *	  Rows whose back-off has ended, as the keys of a run.
 *
 * A run of a few keys costs next to nothing where one of the whole model may
 * be due only tomorrow.  That these rows may be sent is decided by the diff,
 * as for all others: nobody forces them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "fault.h"
#include "identity.h"
#include "retry.h"
#include "transaction.h"

/* Of either kind; the rest follows in the next run. */
#define MAX_RETRIED 10000

/*
 * The object that views show.  Types that nobody but their own cast prints as
 * more than a scalar go as the text that they read.
 */
static char *
key_object(const Sync *sync)
{
	StringInfoData buf;

	initStringInfo(&buf);
	appendStringInfoString(&buf, "jsonb_build_object(");
	for (int i = 0; i < sync->nkeys; i++)
	{
		Oid			type = getBaseType(get_atttype(sync->table_oid, get_attnum(sync->table_oid, sync->key[i])));
		bool		is_shown = type == JSONBOID || type_is_rowtype(type) || OidIsValid(get_element_type(type));
		const char *column = quote_identifier(sync->key[i]);

		appendStringInfo(&buf, "%s%s, ", i > 0 ? ", " : "", quote_literal_cstr(sync->key[i]));
		if (is_shown)
			appendStringInfo(&buf, "to_jsonb(s.%s)", column);
		else
			appendStringInfo(&buf, "CASE WHEN jsonb_typeof(to_jsonb(s.%s)) IN ('object', 'array')"
							 " THEN to_jsonb(s.%s::text) ELSE to_jsonb(s.%s) END", column, column, column);
	}
	appendStringInfoChar(&buf, ')');
	return buf.data;
}

/*
 * Unqualified, since pg_catalog alone is searched.  That a row is not accepted
 * is said, too, since there is an index of those.  That a lost request is over
 * may have been so for long: such rows come last, and say nothing of whether
 * there are more to be tried than a run takes.
 */
static char *
retry_sql(const Sync *sync)
{
	const char *table = act_sync_table_name(sync);

	return psprintf("SELECT COALESCE((SELECT jsonb_agg(d.k) FROM (SELECT %s AS k FROM %s AS s"
					" WHERE s.activate_state <> 'accepted'"
					" AND (s.activate_next_attempt_at <= $1 OR s.activate_late_until <= $1 OR s.activate_state = 'waiting')"
					" AND s.activate_muted_at IS NULL"
					" ORDER BY s.activate_state = 'waiting' DESC, s.activate_next_attempt_at LIMIT %d) AS d), '[]')::text,"
					" count(*) FILTER (WHERE t.activate_next_attempt_at <= $1),"
					" LEAST(min(t.activate_next_attempt_at) FILTER (WHERE t.activate_next_attempt_at > $1),"
					" min(t.activate_late_until) FILTER (WHERE t.activate_late_until > $1)),"
					" count(*) FILTER (WHERE t.activate_state = 'waiting')"
					" FROM %s AS t WHERE t.activate_state <> 'accepted' AND t.activate_muted_at IS NULL",
					key_object(sync), table, 2 * MAX_RETRIED, table);
}

Jsonb *
act_retry_keys(const Sync *sync, TimestampTz *next)
{
	TimestampTz now = act_now();
	Identity	identity;
	SqlArgument args[] = {{TIMESTAMPTZOID, TimestampTzGetDatum(now), false}};
	Jsonb	   *keys = NULL;
	bool		isnull;
	Datum		first;

	act_identity_owner(&identity, sync->owner, NULL, NULL);
	(void) act_sync_table_open(sync, AccessShareLock, false);
	act_sql(SPI_OK_SELECT, retry_sql(sync), lengthof(args), args);
	first = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 3, &isnull);
	*next = isnull ? 0 : DatumGetTimestampTz(first);
	if (act_sql_int64(0, 4) <= MAX_RETRIED)
	{
		keys = DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(act_sql_text(0, 1))));
		if (act_sql_int64(0, 2) + act_sql_int64(0, 4) > 2 * MAX_RETRIED)
			*next = now;
	}
	act_identity_leave(&identity);
	return keys;
}

/*-------------------------------------------------------------------------
 *
 * event.c
 *	  Changes of state as rows of activate.event, and NOTIFY pg_activate.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "commands/async.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/json.h"

#include "event.h"
#include "identity.h"
#include "transaction.h"

/* Bytes; those of ours are shorter. */
#define MAX_COUNTS 1000

/*
 * Anybody may listen: ids, names and numbers only.  The longest names stay far
 * below the limit of a notification (8000 bytes).
 */
static void
notify(int64 event_id, const char *kind, const char *sync, const char *destination, int64 run_id, const char *counts)
{
	StringInfoData payload;

	initStringInfo(&payload);
	appendStringInfo(&payload, "{\"event_id\": " INT64_FORMAT ", \"kind\": ", event_id);
	escape_json(&payload, kind);
	if (sync != NULL)
	{
		appendStringInfoString(&payload, ", \"sync\": ");
		escape_json(&payload, sync);
	}
	else if (destination != NULL)
	{
		appendStringInfoString(&payload, ", \"destination\": ");
		escape_json(&payload, destination);
	}
	if (run_id != 0)
		appendStringInfo(&payload, ", \"run_id\": " INT64_FORMAT, run_id);
	if (counts != NULL && strlen(counts) < MAX_COUNTS)
		appendStringInfo(&payload, ", \"counts\": %s", counts);
	appendStringInfoChar(&payload, '}');
	Async_Notify("pg_activate", payload.data);
	pfree(payload.data);
}

static void
record(const char *kind, const char *severity, int64 sync_id, const char *sync, const char *destination,
	   int64 run_id, const char *message, const char *details)
{
	Identity	identity;
	SqlArgument args[] = {
		SQL_TEXT(kind),
		SQL_TEXT(severity),
		{INT8OID, Int64GetDatum(sync_id), sync_id == 0},
		SQL_TEXT(sync),
		SQL_TEXT(destination),
		{INT8OID, Int64GetDatum(run_id), run_id == 0},
		SQL_TEXT(message),
		SQL_TEXT(details),
	};

	act_identity_extension(&identity);
	act_sql(SPI_OK_INSERT_RETURNING,
			"INSERT INTO activate.event (kind, severity, sync_id, sync, destination, run_id, message, details)"
			" VALUES ($1, $2, $3, $4, $5, $6, $7, $8::pg_catalog.jsonb) RETURNING event_id,"
			" (SELECT pg_catalog.jsonb_object_agg(d.key, d.value) FILTER (WHERE pg_catalog.jsonb_typeof(d.value) = 'number')"
			" FROM pg_catalog.jsonb_each(details) AS d)::pg_catalog.text",
			lengthof(args), args);
	notify(act_sql_int64(0, 1), kind, sync, destination, run_id, act_sql_text(0, 2));
	act_identity_leave(&identity);
}

void
act_event_record(const char *kind, const char *severity, const Sync *sync,
				 int64 run_id, const char *message, const char *details)
{
	record(kind, severity, sync ? sync->sync_id : 0, sync ? sync->name : NULL,
		   sync ? sync->destination : NULL, run_id, message, details);
}

void
act_event_record_destination(const char *kind, const char *severity, const char *destination,
							 int64 run_id, const char *message, const char *details)
{
	record(kind, severity, 0, NULL, destination, run_id, message, details);
}

/*-------------------------------------------------------------------------
 *
 * send_row.c
 *	  SQL-callable: CALL activate.send_row(), one row for real.
 *
 * A run of its one key, with everything that a run has: claims, settling, the
 * guards, a row in activate.run.  A row that was accepted as it is goes once
 * more, so that there is something to see; where the mode sends no accepted
 * key again, it does not.  What is shown are the requests as the request log
 * would keep them: credentials are masked.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/portal.h"

#include "definition.h"
#include "key_argument.h"
#include "named_row.h"
#include "request_log.h"
#include "run.h"
#include "server_text.h"
#include "transaction.h"

PG_FUNCTION_INFO_V1(act_send_row);

#define EXAMPLE "CALL activate.send_row('customer_health', '42');"

/* It counts as changed, whatever was accepted of it. */
static void
forget_sent(Sync *sync, Jsonb *keys)
{
	NamedRows	rows;
	StringInfoData sql;

	act_named_rows_enter(&rows, sync, keys);
	initStringInfo(&sql);
	appendStringInfo(&sql, "UPDATE %s AS s SET activate_fingerprint = NULL, activate_field_hashes = NULL",
					 act_sync_table_name(sync));
	act_named_rows_append_keys(&sql, &rows);
	appendStringInfoString(&sql, " WHERE s.activate_fingerprint IS NOT NULL AND s.activate_state = 'accepted'"
						   " AND s.activate_muted_at IS NULL AND ");
	act_named_rows_append_match(&sql, &rows);
	act_sql(SPI_OK_UPDATE, sql.data, 1, (SqlArgument[]) {{JSONBOID, JsonbPGetDatum(rows.keys), false}});
	act_named_rows_leave(&rows);
}

static const char *
outcome_name(const Run *run)
{
	static const struct
	{
		RowOutcome	outcome;
		const char *name;
	}			names[] = {
		{ROW_ACCEPTED, "accepted"}, {ROW_REJECTED, "rejected"}, {ROW_REFUSED, "refused"},
		{ROW_ABSENT, "absent"}, {ROW_DOUBT, "doubt"}, {ROW_UNKNOWN, "unknown"}, {ROW_WAITING, "waiting"},
		{ROW_SKIPPED, "skipped"}, {ROW_HELD_OUT, "held_out"}, {ROW_DELAYED, "delayed"}
	};

	if (run->diff.counts.invalid > 0)
		return "invalid";
	for (int i = 0; i < lengthof(names); i++)
	{
		if (run->counts.outcomes[names[i].outcome] > 0)
			return names[i].name;
	}
	return "not sent";
}

static void
append_text(StringInfo buf, const char *name, const char *utf8)
{
	appendStringInfo(buf, ", \"%s\": ", name);
	if (utf8 == NULL)
		appendStringInfoString(buf, "null");
	else
		escape_json(buf, act_text_to_server_escaped(utf8));
}

/* A JSON object of ours, in UTF-8. */
static void
append_object(StringInfo buf, const char *name, const char *utf8)
{
	appendStringInfo(buf, ", \"%s\": %s", name, utf8 == NULL ? "null" : act_text_to_server(utf8));
}

static void
append_exchange(StringInfo buf, const LoggedRequest *logged)
{
	appendStringInfoString(buf, "{\"method\": ");
	escape_json(buf, logged->method);
	append_text(buf, "url", logged->url);
	append_object(buf, "headers", logged->request_headers);
	append_text(buf, "body", logged->request_body);
	appendStringInfo(buf, ", \"status\": %d", logged->http_status);
	append_object(buf, "response_headers", logged->response_headers);
	append_text(buf, "response_body", logged->response_body);
	if (logged->duration_ms >= 0)
		appendStringInfo(buf, ", \"duration_ms\": %.0f", logged->duration_ms);
	append_text(buf, "class", logged->class);
	append_text(buf, "problem", logged->problem);
	appendStringInfoChar(buf, '}');
}

static char *
exchange_json(const Run *run, RunStatus status)
{
	StringInfoData buf;
	ListCell   *cell;

	initStringInfo(&buf);
	appendStringInfo(&buf, "{\"run_id\": " INT64_FORMAT ", \"status\": \"%s\", \"outcome\": \"%s\"",
					 run->run_id, act_run_status_name(status), outcome_name(run));
	append_text(&buf, "problem", run->stop.set ? run->stop.message :
				run->diff.invalid != NIL ? ((InvalidRow *) linitial(run->diff.invalid))->message : NULL);
	appendStringInfoString(&buf, ", \"requests\": [");
	foreach(cell, run->exchanges)
	{
		if (cell != list_head(run->exchanges))
			appendStringInfoString(&buf, ", ");
		append_exchange(&buf, lfirst(cell));
	}
	appendStringInfoString(&buf, "]}");
	return buf.data;
}

/* JSON in the server's encoding, in the memory context parent. */
static char *
send_row(const char *name, Jsonb *key, MemoryContext parent)
{
	Run		   *run = act_run_create(parent, false);
	MemoryContext caller = MemoryContextSwitchTo(run->context);
	RunStatus	status;
	char	   *exchange;

	run->keeps_exchanges = true;
	run->keys = act_key_argument_one(key);
	act_transaction_commit(true);
	act_transaction_writable();
	act_run_sync_lock(run, name);
	forget_sent(run->sync, run->keys);
	(void) act_run_perform(run, &status);
	act_run_sync_report(run, status, WARNING);
	if (run->exchanges == NIL)
		ereport(NOTICE,
				(errmsg("nothing was sent of row %s of sync \"%s\"", JsonbToCString(NULL, &key->root, VARSIZE(key)), name),
				 errhint("SELECT explanation FROM activate.explain_row(%s, %s);", quote_literal_cstr(name),
						 quote_literal_cstr(JsonbToCString(NULL, &key->root, VARSIZE(key))))));
	MemoryContextSwitchTo(parent);
	exchange = exchange_json(run, status);
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(run->context);
	return exchange;
}

/* CALL activate.send_row(name text, key jsonb, INOUT exchange jsonb) */
Datum
act_send_row(PG_FUNCTION_ARGS)
{
	MemoryContext parent = PortalContext != NULL ? PortalContext : TopMemoryContext;
	MemoryContext caller = CurrentMemoryContext;
	TupleDesc	desc;
	Datum		values[1];
	bool		nulls[1] = {false};
	char	   *name;
	Jsonb	   *key;
	char	   *exchange;

	act_run_sync_require_primary();
	act_run_sync_require_own(fcinfo, "send_row");
	act_require_argument(PG_ARGISNULL(0), "name", EXAMPLE);
	act_require_argument(PG_ARGISNULL(1), "key", EXAMPLE);
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "send_row returns a row");
	desc = BlessTupleDesc(desc);
	MemoryContextSwitchTo(parent);
	name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	key = DatumGetJsonbPCopy(PG_GETARG_DATUM(1));
	if (SPI_connect_ext(SPI_OPT_NONATOMIC) != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
	exchange = send_row(name, key, parent);
	SPI_finish();
	MemoryContextSwitchTo(caller);
	values[0] = DirectFunctionCall1(jsonb_in, CStringGetDatum(exchange));
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(desc, values, nulls)));
}

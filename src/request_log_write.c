/*-------------------------------------------------------------------------
 *
 * request_log_write.c
 *	  The request debugger: rows of activate.request.
 *
 * As the extension, inside transactions that the caller commits: with the
 * rows that a request settled, or with the end of its run.  The texts are
 * UTF-8 when they come here, and become the server's.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "fault.h"
#include "identity.h"
#include "request_log.h"
#include "server_text.h"
#include "settings.h"
#include "transaction.h"

/* What a sync has at most: requests that failed, and others. */
#define MAX_FAILED_OF_SYNC 1000
#define MAX_OTHERS_OF_SYNC 10000

/* Removed at a time, and how many requests later again. */
#define TRIM_ROWS 1000

static char *
body_text(const char *body)
{
	return body != NULL ? act_text_to_server_escaped(body) : NULL;
}

static char *
other_text(const char *text)
{
	return text != NULL ? act_text_to_server(text) : NULL;
}

static int64
insert(const Run *run, const LoggedRequest *logged)
{
	int64		request_id;
	SqlArgument args[] = {
		SQL_INT8(run->sync->sync_id),
		SQL_INT8(logged->run_id),
		{TIMESTAMPTZOID, TimestampTzGetDatum(logged->taken.at), false},
		SQL_TEXT(logged->method),
		SQL_TEXT(other_text(logged->url)),
		SQL_TEXT(other_text(logged->request_headers)),
		SQL_TEXT(body_text(logged->request_body)),
		SQL_INT8(logged->request_bytes),
		SQL_BOOL(logged->request_cut),
		{INT4OID, Int32GetDatum(logged->http_status), logged->http_status == 0},
		SQL_TEXT(other_text(logged->response_headers)),
		SQL_TEXT(body_text(logged->response_body)),
		{INT8OID, Int64GetDatum(logged->response_bytes), logged->response_headers == NULL},
		SQL_INT8(logged->taken.rows_sent),
		SQL_INT4(logged->taken.attempt),
		{FLOAT8OID, Float8GetDatum(logged->duration_ms / 1000), logged->duration_ms < 0},
		SQL_TEXT(logged->ops),
		SQL_TEXT(logged->class),
		SQL_TEXT(other_text(logged->problem)),
		SQL_BOOL(!logged->taken.accepted),
	};

	act_sql(SPI_OK_INSERT_RETURNING,
			"INSERT INTO activate.request (sync_id, run_id, at, method, url, request_headers, request_body,"
			" request_bytes, request_cut, http_status, response_headers, response_body, response_bytes, rows,"
			" attempt, duration, ops, class, problem, failed)"
			" VALUES ($1, $2, $3, $4, $5, $6::pg_catalog.jsonb, $7, $8, $9, $10, $11::pg_catalog.jsonb, $12, $13,"
			" $14, $15, pg_catalog.make_interval(secs => $16), $17, $18, $19, $20) RETURNING request_id",
			lengthof(args), args);
	request_id = act_sql_int64(0, 1);
	SPI_freetuptable(SPI_tuptable);
	return request_id;
}

TimestampTz
act_request_log_horizon(void)
{
	return act_now() - (TimestampTz) act_request_log_retention * USECS_PER_MINUTE;
}

/* The oldest of this sync that are too old, and those beyond the newest so many. */
static void
trim(const Run *run)
{
	SqlArgument args[] = {
		SQL_INT8(run->sync->sync_id),
		{TIMESTAMPTZOID, TimestampTzGetDatum(act_request_log_horizon()), false},
		SQL_INT4(TRIM_ROWS),
		SQL_INT4(MAX_FAILED_OF_SYNC),
		SQL_INT4(MAX_OTHERS_OF_SYNC),
	};

	act_sql(SPI_OK_DELETE,
			"DELETE FROM activate.request WHERE request_id = ANY (ARRAY("
			" SELECT o.request_id FROM ((SELECT r.request_id, r.at FROM activate.request AS r"
			"   WHERE r.sync_id = $1 AND r.failed ORDER BY r.request_id LIMIT $3)"
			"  UNION ALL (SELECT r.request_id, r.at FROM activate.request AS r"
			"   WHERE r.sync_id = $1 AND NOT r.failed ORDER BY r.request_id LIMIT $3)) AS o WHERE o.at < $2"
			" UNION ALL (SELECT r.request_id FROM activate.request AS r WHERE r.sync_id = $1 AND r.failed"
			"  ORDER BY r.request_id DESC OFFSET $4 LIMIT $3)"
			" UNION ALL (SELECT r.request_id FROM activate.request AS r WHERE r.sync_id = $1 AND NOT r.failed"
			"  ORDER BY r.request_id DESC OFFSET $5 LIMIT $3)))", lengthof(args), args);
}

/* Twice, when the transaction of the first time failed: then with new numbers. */
void
act_request_log_write(Run *run)
{
	RequestLog *log = run->log;
	MemoryContext context;
	MemoryContext caller;
	Identity	identity;
	ListCell   *cell;

	if (log == NULL || log->waiting == NIL)
		return;
	context = AllocSetContextCreate(CurrentMemoryContext, "pg_activate request", ALLOCSET_DEFAULT_SIZES);
	caller = MemoryContextSwitchTo(context);
	act_identity_extension(&identity);
	foreach(cell, log->waiting)
	{
		const LoggedRequest *logged = lfirst(cell);
		int64		request_id = insert(run, logged);

		if (logged->id != NULL)
			*logged->id = request_id;
		MemoryContextReset(context);
	}
	log->trimmed_after += list_length(log->waiting);
	if (log->trimmed_after >= TRIM_ROWS)
	{
		trim(run);
		log->trimmed_after = 0;
	}
	act_identity_leave(&identity);
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(context);
}

void
act_request_log_written(Run *run)
{
	RequestLog *log = run->log;

	if (log == NULL || log->waiting == NIL)
		return;
	MemoryContextReset(log->context);
	log->waiting = NIL;
	log->bytes = 0;
}

void
act_request_log_finish(Run *run)
{
	Identity	identity;
	int64		unlogged = run->log != NULL ? run->log->unlogged : 0;
	SqlArgument args[] = {SQL_INT8(run->run_id), SQL_INT8(unlogged)};

	act_request_log_write(run);
	/* Where a scheduler comes by, that does it for runs that have nothing to tell. */
	if (run->in_worker && run->log == NULL)
		return;
	act_identity_extension(&identity);
	trim(run);
	if (unlogged > 0)
		act_sql(SPI_OK_UPDATE, "UPDATE activate.run SET requests_unlogged = $2 WHERE run_id = $1",
				lengthof(args), args);
	act_identity_leave(&identity);
}

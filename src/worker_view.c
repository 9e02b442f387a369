/*-------------------------------------------------------------------------
 *
 * worker_view.c
 *	  Launcher, schedulers and run workers: behind the view workers.
 *
 * Read from shared memory at once, then told.  Members of pg_monitor see
 * all; others the runs of syncs that they own, in their own database.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_class.h"
#include "fmgr.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "shared_state.h"
#include "wakeup.h"

PG_FUNCTION_INFO_V1(act_worker_rows);
PG_FUNCTION_INFO_V1(act_worker_problem);

#define WORKER_COLUMNS 7

#define WAITS_FOR_PROCESS "waiting for a worker process: raise max_worker_processes"
#define WAITS_FOR_TURN "waiting for another run to end: raise pg_activate.max_workers"

typedef struct WorkerRow
{
	int			pid;
	const char *kind;
	Oid			database;
	const char *sync;
	const char *state;
	TimestampTz started_at;
	const char *last_error;
} WorkerRow;

/*
 * As another database may have written it, in its own encoding, and cut at
 * any byte: what is no character in this one's is shown as a question mark.
 */
static Datum
text_of_any_database(const char *text)
{
	int			left = strlen(text);
	StringInfoData buf;

	initStringInfo(&buf);
	while (left > 0)
	{
		int			valid = pg_encoding_verifymbstr(GetDatabaseEncoding(), text, left);

		appendBinaryStringInfo(&buf, text, valid);
		if (valid < left)
			appendStringInfoChar(&buf, '?');
		valid = Min(valid + 1, left);
		text += valid;
		left -= valid;
	}
	return CStringGetTextDatum(buf.data);
}

static void
put(ReturnSetInfo *result, const WorkerRow *row)
{
	Datum		values[WORKER_COLUMNS];
	bool		nulls[WORKER_COLUMNS] = {false};

	values[0] = Int32GetDatum(row->pid);
	nulls[0] = row->pid == 0;
	values[1] = CStringGetTextDatum(row->kind);
	values[2] = ObjectIdGetDatum(row->database);
	nulls[2] = !OidIsValid(row->database);
	values[3] = row->sync ? text_of_any_database(row->sync) : (Datum) 0;
	nulls[3] = row->sync == NULL;
	values[4] = CStringGetTextDatum(row->state);
	values[5] = TimestampTzGetDatum(row->started_at);
	nulls[5] = row->pid == 0;
	values[6] = row->last_error[0] ? text_of_any_database(row->last_error) : (Datum) 0;
	nulls[6] = row->last_error[0] == '\0';
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/* NULL: there is nothing to say of it. */
static const char *
scheduler_state(const DatabaseEntry *entry, bool short_of_processes)
{
	switch (entry->state)
	{
		case DATABASE_STARTING:
			return "starting";
		case DATABASE_RUNNING:
			return entry->leave ? "leaving" : "running";
		case DATABASE_NEW:
		case DATABASE_IDLE:
		case DATABASE_BACKOFF:
			if (entry->wanted_since != 0 && short_of_processes)
				return WAITS_FOR_PROCESS;
			if (entry->state == DATABASE_BACKOFF)
				return "failed";
			return entry->problem[0] != '\0' ? "stopped" : NULL;
		case DATABASE_FREE:
		case DATABASE_ABSENT:
			break;
	}
	return NULL;
}

static const char *
run_state(const RunSlot *slot, bool short_of_processes)
{
	switch (slot->state)
	{
		case SLOT_REQUESTED:
			return short_of_processes ? WAITS_FOR_PROCESS : WAITS_FOR_TURN;
		case SLOT_STARTING:
			return "starting";
		case SLOT_RUNNING:
			return slot->leave || slot->cancel ? "leaving" : "running";
		case SLOT_BACKOFF:
			return "failed";
		case SLOT_FREE:
			break;
	}
	return NULL;
}

/* By the owner of the sync's table, as everywhere. */
static bool
owns(const RunSlot *slot)
{
	Oid			schema = get_namespace_oid("activate_data", true);
	Oid			table = OidIsValid(schema) ? get_relname_relid(slot->sync_name, schema) : InvalidOid;
	HeapTuple	tuple;
	bool		answer = false;

	if (slot->database != MyDatabaseId || !OidIsValid(table))
		return false;
	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(table));
	if (HeapTupleIsValid(tuple))
	{
		answer = has_privs_of_role(GetUserId(), ((Form_pg_class) GETSTRUCT(tuple))->relowner);
		ReleaseSysCache(tuple);
	}
	return answer;
}

static void
put_schedulers(ReturnSetInfo *result, const SharedState *shared)
{
	if (shared->launcher_pid != 0)
	{
		WorkerRow	row = {shared->launcher_pid, "launcher", InvalidOid, NULL, "running",
		shared->launcher_started_at, ""};

		put(result, &row);
	}
	for (int i = 0; i < ACT_MAX_DATABASES; i++)
	{
		const DatabaseEntry *entry = &shared->databases[i];
		const char *state = scheduler_state(entry, shared->short_since != 0);
		WorkerRow	row = {entry->pid, "scheduler", entry->database, NULL, state,
		entry->changed_at, entry->problem};

		if (state != NULL)
			put(result, &row);
	}
}

Datum
act_worker_rows(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	bool		monitor = has_privs_of_role(GetUserId(), ROLE_PG_MONITOR);
	SharedState *shared;

	act_compat_materialize(fcinfo);
	if (act_shared == NULL)
		return (Datum) 0;
	shared = palloc(sizeof(SharedState));
	LWLockAcquire(&act_shared->lock, LW_SHARED);
	memcpy(shared, act_shared, sizeof(SharedState));
	LWLockRelease(&act_shared->lock);

	if (monitor)
		put_schedulers(result, shared);
	for (int i = 0; i < ACT_MAX_RUNS; i++)
	{
		const RunSlot *slot = &shared->runs[i];
		const char *state = run_state(slot, shared->short_since != 0);
		WorkerRow	row = {slot->pid, "run", slot->database, slot->sync_name, state,
		slot->started_at, slot->problem};

		if (state != NULL && !slot->in_session && (monitor || owns(slot)))
			put(result, &row);
	}
	pfree(shared);
	return (Datum) 0;
}

/* activate.worker_problem() */
Datum
act_worker_problem(PG_FUNCTION_ARGS)
{
	const char *hint;
	const char *problem = act_workers_problem(&hint);

	if (problem == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(problem));
}

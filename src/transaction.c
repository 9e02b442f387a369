/*-------------------------------------------------------------------------
 *
 * transaction.c
 *	  Transactions of a run, and SQL inside them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "nodes/parsenodes.h"
#include "pgstat.h"
#include "storage/condition_variable.h"
#include "storage/lwlock.h"
#include "storage/proc.h"
#include "tcop/pquery.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/portal.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"
#include "utils/wait_event.h"

#include "identity.h"
#include "transaction.h"

/* A lock that is not to be had at once is held by somebody who goes on for a while. */
#define PROBE_PATIENCE_MS 10

/* Of the one run that a process can have under way. */
static bool in_worker = false;
static bool shut_out = false;
static Oid	extension = InvalidOid;

void
act_transaction_open(bool worker)
{
	in_worker = worker;
	shut_out = false;
	extension = InvalidOid;
}

bool
act_transaction_shut_out(void)
{
	return shut_out;
}

/*
 * Before any other lock: the extension is there, the same one as when the run
 * began, and stays until the transaction ends.
 */
static void
pass_door(void)
{
	Oid			found = act_extension_lock(in_worker);
	bool		first = !OidIsValid(extension);

	if (first)
		extension = found;
	if (OidIsValid(found) && found == extension)
		return;
	shut_out = true;
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 first ? errmsg("extension \"pg_activate\" is not installed in this database") :
			 errmsg("extension \"pg_activate\" was dropped while it was used"),
			 errhint("CREATE EXTENSION pg_activate;")));
}

/* A worker has a transaction only from here until it commits. */
static void
begin(bool read_only)
{
	MemoryContext caller = CurrentMemoryContext;
	bool		begins = in_worker && !IsTransactionState();

	if (begins)
	{
		SetCurrentStatementStartTimestamp();
		StartTransactionCommand();
		if (SPI_connect() != SPI_OK_CONNECT)
			elog(ERROR, "could not connect to SPI");
		MemoryContextSwitchTo(caller);
	}
	XactIsoLevel = XACT_READ_COMMITTED;
	XactReadOnly = read_only;
	pass_door();
	/* Statements take newer ones, but want to have one below: in a CALL the portal's. */
	if (begins)
		PushActiveSnapshot(GetTransactionSnapshot());
}

static void
commit(void)
{
	MemoryContext caller = CurrentMemoryContext;

	if (!in_worker)
	{
		SPI_commit();
		InvalidateCatalogSnapshot();
		return;
	}
	PopActiveSnapshot();
	if (SPI_finish() != SPI_OK_FINISH)
		elog(ERROR, "not connected to SPI");
	CommitTransactionCommand();
	MemoryContextSwitchTo(caller);
	(void) pgstat_report_stat(false);
}

/*
 * A standby that is gone must not keep runs, workers or a shutdown waiting:
 * what a promoted one has to know is asked for apart (standby.h).
 */
void
act_transaction_local(bool synchronous)
{
	(void) set_config_option("synchronous_commit", synchronous ? "local" : "off",
							 PGC_USERSET, PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0, false);
}

/*
 * After it, nothing may hold back VACUUM or DDL.  That is checked at run
 * time and not by Assert, which packaged servers leave out.
 */
void
act_transaction_commit(bool synchronous)
{
	act_transaction_local(synchronous);
	commit();

	if (TransactionIdIsValid(MyProc->xmin) || ActiveSnapshotSet())
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("a snapshot is still held between two transactions of a run")));
}

void
act_transaction_rollback(void)
{
	MemoryContext caller = CurrentMemoryContext;

	if (in_worker)
	{
		/* There may have been none: then this is all that an error leaves. */
		LWLockReleaseAll();
		ConditionVariableCancelSleep();
		pgstat_report_wait_end();
		AbortOutOfAnyTransaction();
		MemoryContextSwitchTo(caller);
		return;
	}

	/*
	 * Functions of the model that failed left their connections behind.  To
	 * finish one is to return to the context in which it was opened, which is
	 * the failed statement's and gone with the next one.
	 */
	while (!SPI_inside_nonatomic_context())
	{
		if (SPI_finish() != SPI_OK_FINISH)
			elog(ERROR, "not connected to SPI");
	}
	MemoryContextSwitchTo(caller);

	/* And statements their snapshots, which SPI_rollback() would wonder at. */
	while (ActiveSnapshotSet() &&
		   (ActivePortal == NULL || GetActiveSnapshot() != ActivePortal->portalSnapshot))
		PopActiveSnapshot();

	SPI_rollback();
	MemoryContextSwitchTo(caller);
}

/* Set before the transaction's first snapshot; the next one starts afresh. */
void
act_transaction_writable(void)
{
	begin(false);
}

/*
 * The caller takes the snapshot that all of it is read with, once what it
 * reads is locked: for an older one a table filled anew meanwhile is empty.
 */
void
act_transaction_read_only(void)
{
	begin(true);
}

/* The abort of a transaction or subtransaction puts it back as it was. */
bool
act_transaction_forbid_writes(void)
{
	bool		before = XactReadOnly;

	XactReadOnly = true;
	return before;
}

void
act_transaction_allow_writes(bool before)
{
	XactReadOnly = before;
}

/* What a function of somebody's raises is his, whatever SQLSTATE he gives it. */
static bool
is_raised(const ErrorData *error)
{
	return error->funcname != NULL && strcmp(error->funcname, "exec_stmt_raise") == 0;
}

/* In a subtransaction; what it raised, or NULL. */
static ErrorData *
attempt(void (*work) (void *arg), void *arg)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData  *volatile error = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		work(arg);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		/* In any case: a CALL cannot roll back what is open within. */
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	return error;
}

/*
 * A cancel, a shutdown or a lack of memory is nobody's failure to pass over.
 */
ErrorData *
act_transaction_attempt(void (*work) (void *arg), void *arg)
{
	ErrorData  *error = attempt(work, arg);

	if (error != NULL && !is_raised(error))
	{
		int			category = ERRCODE_TO_CATEGORY(error->sqlerrcode);

		if (category == ERRCODE_OPERATOR_INTERVENTION || category == ERRCODE_INSUFFICIENT_RESOURCES)
			ReThrowError(error);
	}
	return error;
}

bool
act_transaction_try(void (*work) (void *arg), void *arg)
{
	ErrorData  *error = act_transaction_attempt(work, arg);

	if (error != NULL)
		FreeErrorData(error);
	return error == NULL;
}

ErrorData *
act_transaction_probe(void (*work) (void *arg), void *arg)
{
	int			patience = act_identity_patience(PROBE_PATIENCE_MS);
	ErrorData  *error = attempt(work, arg);

	(void) act_identity_patience(patience);
	if (error != NULL && !is_raised(error) &&
		ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_OPERATOR_INTERVENTION)
		ReThrowError(error);
	return error;
}

bool
act_transaction_locked_out(const ErrorData *error)
{
	return error->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE && !is_raised(error);
}

void
act_transaction_rehearse(void (*work) (void *arg), void *arg)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;

	if (RecoveryInProgress())
		ereport(ERROR,
				(errcode(ERRCODE_READ_ONLY_SQL_TRANSACTION),
				 errmsg("what would change cannot be found out on a standby"),
				 errhint("Do it on the primary, or on a copy of it that is not one.")));
	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	/* Its end puts this back. */
	XactReadOnly = false;
	PG_TRY();
	{
		work(arg);
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		/* What an error leaves open within, the session would be in from now on. */
		RollbackAndReleaseCurrentSubTransaction();
		ReThrowError(error);
	}
	PG_END_TRY();
	RollbackAndReleaseCurrentSubTransaction();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
}

bool
act_transaction_is_own(FunctionCallInfo fcinfo)
{
	CallContext *call = (CallContext *) fcinfo->context;

	return call != NULL && IsA(call, CallContext) && !call->atomic && !IsSubTransaction();
}

/* A plan that is kept (options: of its cursor), or one for this once. */
static uint64
run_sql(SPIPlanPtr *plan, int options, int expected, const char *sql, int nargs, const SqlArgument *args)
{
	MemoryContext caller = CurrentMemoryContext;
	Oid		   *types = palloc(sizeof(Oid) * Max(nargs, 1));
	Datum	   *values = palloc(sizeof(Datum) * Max(nargs, 1));
	char	   *nulls = palloc(Max(nargs, 1));
	int			result;

	for (int i = 0; i < nargs; i++)
	{
		types[i] = args[i].type;
		values[i] = args[i].value;
		nulls[i] = args[i].isnull ? 'n' : ' ';
	}

	if (plan != NULL && *plan == NULL)
	{
		SPIPlanPtr	made = SPI_prepare_cursor(sql, nargs, types, options);

		if (made == NULL || SPI_keepplan(made) != 0)
			elog(ERROR, "could not prepare: %s", sql);
		*plan = made;
	}
	result = plan != NULL ? SPI_execute_plan(*plan, values, nulls, false, 0) :
		SPI_execute_with_args(sql, nargs, types, values, nulls, false, 0);

	/* SPI would leave the caller in its own context, which lives as long as the run. */
	MemoryContextSwitchTo(caller);
	if (result != expected)
		elog(ERROR, "unexpected result %s of: %s", SPI_result_code_string(result), sql);

	pfree(types);
	pfree(values);
	pfree(nulls);
	return SPI_processed;
}

uint64
act_sql(int expected, const char *sql, int nargs, const SqlArgument *args)
{
	return run_sql(NULL, 0, expected, sql, nargs, args);
}

uint64
act_sql_kept(SPIPlanPtr *plan, int options, int expected, const char *sql, int nargs, const SqlArgument *args)
{
	return run_sql(plan, options, expected, sql, nargs, args);
}

static Datum
result_value(uint64 row, int column, bool *isnull)
{
	if (SPI_tuptable == NULL || row >= SPI_tuptable->numvals)
		elog(ERROR, "row " UINT64_FORMAT " of an SPI result does not exist", row);
	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column, isnull);
}

char *
act_sql_text(uint64 row, int column)
{
	if (SPI_tuptable == NULL || row >= SPI_tuptable->numvals)
		elog(ERROR, "row " UINT64_FORMAT " of an SPI result does not exist", row);
	return SPI_getvalue(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column);
}

int64
act_sql_int64(uint64 row, int column)
{
	bool		isnull;
	Datum		value = result_value(row, column, &isnull);

	if (isnull)
		return 0;
	switch (SPI_gettypeid(SPI_tuptable->tupdesc, column))
	{
		case INT8OID:
			return DatumGetInt64(value);
		case INT4OID:
			return DatumGetInt32(value);
		case OIDOID:
			return DatumGetObjectId(value);
		default:
			elog(ERROR, "column %d of an SPI result is no integer", column);
	}
	return 0;
}

bool
act_sql_bool(uint64 row, int column)
{
	bool		isnull;
	Datum		value = result_value(row, column, &isnull);

	return !isnull && DatumGetBool(value);
}

/*-------------------------------------------------------------------------
 *
 * catalog_sync.c
 *	  SQL-callable: CALL activate.check_sync(), which asks the destination
 *	  whether a sync can work there.
 *
 * As refresh_destination() for the sync's object, and whose account it is;
 * then everything that is wrong, in warnings and as JSON.  Commits as it goes,
 * and changes nothing but what is known of the destination.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/portal.h"

#include "account.h"
#include "catalog.h"
#include "definition.h"
#include "destination_state.h"
#include "server_text.h"
#include "transaction.h"

PG_FUNCTION_INFO_V1(act_check_sync);

typedef struct SyncCheck
{
	const char *name;
	Sync	   *sync;
	List	   *problems;		/* of CatalogProblem */
} SyncCheck;

static void
add(SyncCheck *check, char *problem, char *hint)
{
	CatalogProblem *found = palloc0(sizeof(CatalogProblem));

	found->is_error = true;
	found->problem = problem;
	found->hint = hint;
	check->problems = lappend(check->problems, found);
}

static void
load_sync(SyncCheck *check)
{
	act_transaction_writable();
	check->sync = act_sync_load(check->name, false);
	act_transaction_commit(false);
}

/* Scopes that are missing, and an account that is not the one that is wanted. */
static void
note_account(SyncCheck *check, const Destination *destination, const ConnectorAccount *account)
{
	char	   *problem = act_account_problem(destination, account);
	ListCell   *cell;

	if (problem != NULL)
		add(check, act_text_to_server(problem),
			psprintf("ALTER SERVER %s OPTIONS (SET account %s); if it is this one",
					 quote_identifier(destination->name), quote_literal_cstr(act_text_to_server(account->id))));
	foreach(cell, account->missing)
		add(check, psprintf("the credentials of %s lack scope \"%s\"", destination->name, act_text_to_server(lfirst(cell))),
			pstrdup("Grant it there, and store the new credentials."));
}

static void
check_account(SyncCheck *check)
{
	const Sync *sync = check->sync;
	Destination *destination;
	ConnectorAccount account = {0};
	char	   *volatile problem = NULL;

	act_transaction_writable();
	act_require_sending_host(sync->destination);
	act_destination_state_require_unpaused(sync->destination);
	destination = act_destination_load_object(sync->destination, sync->owner, sync->object, true);
	act_transaction_commit(false);
	PG_TRY();
	{
		if (act_connector_tells_account(destination->connector))
			problem = act_account_ask(destination, &account);
	}
	PG_CATCH();
	{
		act_destination_wipe(destination);
		PG_RE_THROW();
	}
	PG_END_TRY();
	act_destination_wipe(destination);
	if (problem != NULL)
		add(check, psprintf("%s does not say whose the credentials are: %s", sync->destination, act_text_to_server(problem)),
			psprintf("SELECT * FROM activate.check_destination(%s);", quote_literal_cstr(sync->destination)));
	else if (account.id != NULL)
		note_account(check, destination, &account);
}

static void
check_fields(SyncCheck *check)
{
	const Sync *sync = check->sync;
	char	   *problem = sync->object == NULL ? NULL :
		act_catalog_refresh_fields(sync->destination, sync->owner, sync->object);
	Destination *destination;
	Model	   *model;

	if (problem != NULL)
		add(check, psprintf("%s does not tell the fields of %s: %s", sync->destination, sync->object,
							act_text_to_server(problem)),
			psprintf("SELECT * FROM activate.objects(%s);", quote_literal_cstr(sync->destination)));
	act_transaction_writable();
	check->sync = act_sync_load(check->name, false);
	destination = act_destination_load_object(check->sync->destination, check->sync->owner, check->sync->object, false);
	model = act_model_resolve(check->sync);
	check->problems = list_concat(check->problems, act_catalog_problems(check->sync, model, destination->connector));
	act_transaction_commit(false);
}

static Datum
problems_json(const List *problems)
{
	StringInfoData buf;
	ListCell   *cell;

	initStringInfo(&buf);
	foreach(cell, problems)
	{
		const CatalogProblem *problem = lfirst(cell);
		const char *texts[] = {problem->field, problem->problem, problem->hint};
		static const char *const names[] = {"field", "problem", "hint"};

		appendStringInfo(&buf, "%s{\"severity\": \"%s\"", buf.len == 0 ? "[" : ", ",
						 problem->is_error ? "error" : "warning");
		for (int i = 0; i < lengthof(texts); i++)
		{
			appendStringInfo(&buf, ", \"%s\": ", names[i]);
			if (texts[i] != NULL)
				escape_json(&buf, texts[i]);
			else
				appendStringInfoString(&buf, "null");
		}
		appendStringInfoChar(&buf, '}');
	}
	appendStringInfoString(&buf, buf.len == 0 ? "[]" : "]");
	return DirectFunctionCall1(jsonb_in, CStringGetDatum(buf.data));
}

static Datum
check_sync(SyncCheck *check)
{
	SyncOptions lenient;

	load_sync(check);
	check_account(check);
	check_fields(check);
	/* Option strict makes errors of what a definition says, not of a question. */
	lenient = check->sync->options;
	check->sync->options.strict = false;
	act_catalog_report(check->sync, check->problems);
	check->sync->options = lenient;
	if (check->problems == NIL)
		ereport(NOTICE,
				(errmsg("sync \"%s\": nothing wrong was found in destination \"%s\"", check->name,
						check->sync->destination)));
	return problems_json(check->problems);
}

/* CALL activate.check_sync(name text, INOUT problems jsonb) */
Datum
act_check_sync(PG_FUNCTION_ARGS)
{
	MemoryContext parent = PortalContext != NULL ? PortalContext : TopMemoryContext;
	MemoryContext caller = CurrentMemoryContext;
	SyncCheck	check = {0};
	TupleDesc	desc;
	Datum		values[1];
	bool		nulls[1] = {false};
	MemoryContext context;

	act_catalog_require_own_transactions(fcinfo, "check_sync");
	act_require_argument(PG_ARGISNULL(0), "name", "CALL activate.check_sync('customer_health');");
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "check_sync returns a row");
	desc = BlessTupleDesc(desc);
	context = AllocSetContextCreate(parent, "pg_activate check", ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(context);
	check.name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	if (SPI_connect_ext(SPI_OPT_NONATOMIC) != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
	MemoryContextSwitchTo(context);
	act_transaction_open(false);
	act_transaction_commit(true);
	values[0] = check_sync(&check);
	SPI_finish();
	MemoryContextSwitchTo(caller);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(desc, values, nulls)));
}

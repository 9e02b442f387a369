/*-------------------------------------------------------------------------
 *
 * catalog_refresh.c
 *	  SQL-callable: CALL activate.refresh_destination(), which asks a
 *	  destination for its objects and fields.
 *
 * A procedure, since it commits as it goes: nothing of the database is held
 * while the destination is waited for, and what one answer told is kept
 * whatever becomes of the next.  Whoever may use the destination may ask it,
 * with the credentials that his syncs would have.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/portal.h"

#include "catalog.h"
#include "definition.h"
#include "destination_state.h"
#include "identity.h"
#include "server_text.h"
#include "settings.h"
#include "transaction.h"

PG_FUNCTION_INFO_V1(act_refresh_destination);

#define EXAMPLE "CALL activate.refresh_destination('crm');"

typedef struct Refresh
{
	const char *name;			/* of the destination */
	Oid			role;			/* whose credentials are used */
	Destination *destination;	/* loaded for an object, or for none */
	StringInfoData told;		/* fields by object, for the notice */
	int			objects;		/* -1: they cannot be asked for */
} Refresh;

/* In a transaction; as the syncs of the current user would have it. */
static void
load(Refresh *refresh, const char *object)
{
	act_transaction_writable();
	act_require_sending_host(refresh->name);
	act_destination_state_require_unpaused(refresh->name);
	refresh->destination = object == NULL ? act_destination_load(refresh->name, refresh->role, true) :
		act_destination_load_object(refresh->name, refresh->role, object, true);
	act_transaction_commit(false);
}

static void
unload(Refresh *refresh)
{
	if (refresh->destination != NULL)
		act_destination_wipe(refresh->destination);
	refresh->destination = NULL;
}

static void
refresh_objects(Refresh *refresh)
{
	char	   *problem = NULL;
	List	   *objects;

	load(refresh, NULL);
	refresh->objects = -1;
	if (act_connector_discover_count(refresh->destination->connector) == 0)
	{
		unload(refresh);
		return;
	}
	objects = act_catalog_ask(refresh->destination, NULL, NULL, &problem);
	unload(refresh);
	if (problem != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_ERROR),
				 errmsg("destination \"%s\" does not tell its objects", refresh->name),
				 errdetail_internal("%s", act_text_to_server(problem)),
				 errhint("What it told before is kept.")));
	act_transaction_writable();
	act_catalog_store_objects(refresh->name, objects);
	act_transaction_commit(true);
	refresh->objects = list_length(objects);
}

/* NULL, or why they are not told; *count: how many there are, -1: they cannot be asked for. */
static char *
refresh_fields(Refresh *refresh, const char *object, int *count)
{
	bool		has_unique = false;
	char	   *problem = NULL;
	List	   *fields;

	*count = -1;
	load(refresh, object);
	if (!act_connector_discovers_fields(refresh->destination->connector))
	{
		unload(refresh);
		return NULL;
	}
	fields = act_catalog_ask(refresh->destination, object, &has_unique, &problem);
	unload(refresh);
	act_transaction_writable();
	if (problem != NULL)
		act_catalog_store_failure(refresh->name, object, problem);
	else
		act_catalog_store_fields(refresh->name, object, fields, has_unique);
	act_transaction_commit(true);
	*count = list_length(fields);
	return problem;
}

char *
act_catalog_refresh_fields(const char *destination, Oid role, const char *object)
{
	Refresh		refresh = {.name = destination,.role = role};
	char	   *problem = NULL;
	int			count;

	PG_TRY();
	{
		problem = refresh_fields(&refresh, object, &count);
	}
	PG_CATCH();
	{
		unload(&refresh);
		PG_RE_THROW();
	}
	PG_END_TRY();
	return problem;
}

/* Objects of syncs, and those that the caller names (List of char *). */
static List *
wanted_objects(const char *destination, List *named)
{
	MemoryContext context = CurrentMemoryContext;
	SqlArgument args[] = {SQL_TEXT(destination)};
	Identity	identity;
	List	   *objects = list_copy(named);
	uint64		count;

	act_transaction_writable();
	act_identity_extension(&identity);
	count = act_sql(SPI_OK_SELECT, "SELECT DISTINCT object FROM activate.sync"
					" WHERE destination = $1 AND object IS NOT NULL ORDER BY object", lengthof(args), args);
	for (uint64 row = 0; row < count; row++)
	{
		MemoryContext caller = MemoryContextSwitchTo(context);
		char	   *object = act_sql_text(row, 1);
		ListCell   *cell;
		bool		there = false;

		foreach(cell, named)
			there = there || strcmp(lfirst(cell), object) == 0;
		if (!there)
			objects = lappend(objects, object);
		MemoryContextSwitchTo(caller);
	}
	act_identity_leave(&identity);
	act_transaction_commit(false);
	return objects;
}

static void
tell(const Refresh *refresh)
{
	char	   *objects = refresh->objects < 0 ? pstrdup("its objects cannot be asked for") :
		psprintf("%d objects", refresh->objects);

	ereport(NOTICE,
			(errmsg("destination \"%s\": %s%s%s", refresh->name, objects,
					refresh->told.len > 0 ? "; fields of " : "", refresh->told.data),
			 errhint("SELECT * FROM activate.objects(%s);", quote_literal_cstr(refresh->name))));
}

static void
refresh_all(Refresh *refresh, List *named)
{
	ListCell   *cell;

	initStringInfo(&refresh->told);
	refresh_objects(refresh);
	foreach(cell, wanted_objects(refresh->name, named))
	{
		const char *object = lfirst(cell);
		int			count;
		char	   *problem = refresh_fields(refresh, object, &count);

		if (problem != NULL)
			ereport(WARNING,
					(errcode(ERRCODE_WARNING),
					 errmsg("destination \"%s\" does not tell the fields of object \"%s\"", refresh->name, object),
					 errdetail_internal("%s", act_text_to_server(problem))));
		else if (count >= 0)
			appendStringInfo(&refresh->told, "%s%s (%d)", refresh->told.len > 0 ? ", " : "", object, count);
	}
	tell(refresh);
}

static void
refresh_and_wipe(Refresh *refresh, List *named)
{
	PG_TRY();
	{
		refresh_all(refresh, named);
	}
	PG_CATCH();
	{
		unload(refresh);
		PG_RE_THROW();
	}
	PG_END_TRY();
}

static List *
read_names(ArrayType *array)
{
	Datum	   *names;
	bool	   *nulls;
	int			count;
	List	   *list = NIL;

	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &names, &nulls, &count);
	for (int i = 0; i < count; i++)
	{
		if (nulls[i])
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("the name of an object must not be null"),
					 errhint("CALL activate.refresh_destination('crm', '{contacts}');")));
		list = lappend(list, TextDatumGetCString(names[i]));
	}
	return list;
}

void
act_catalog_require_own_transactions(FunctionCallInfo fcinfo, const char *procedure)
{
	if (RecoveryInProgress())
		ereport(ERROR,
				(errcode(ERRCODE_READ_ONLY_SQL_TRANSACTION),
				 errmsg("a standby does not ask destinations"),
				 errhint("Call %s on the primary.", procedure)));
	if (!act_transaction_is_own(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				 errmsg("%s cannot be called inside a transaction block", procedure),
				 errdetail("It commits as it goes, so that nothing of the database is held while the destination is waited for."),
				 errhint("Call it by itself with autocommit (in psql outside BEGIN, in psycopg with autocommit = True).")));
}

/* CALL activate.refresh_destination(destination text, objects text[]) */
Datum
act_refresh_destination(PG_FUNCTION_ARGS)
{
	MemoryContext parent = PortalContext != NULL ? PortalContext : TopMemoryContext;
	MemoryContext context;
	MemoryContext caller;
	Refresh		refresh = {.role = GetUserId()};
	List	   *named;

	act_catalog_require_own_transactions(fcinfo, "refresh_destination");
	act_require_argument(PG_ARGISNULL(0), "destination", EXAMPLE);
	context = AllocSetContextCreate(parent, "pg_activate refresh", ALLOCSET_DEFAULT_SIZES);
	caller = MemoryContextSwitchTo(context);
	refresh.name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	named = PG_ARGISNULL(1) ? NIL : read_names(PG_GETARG_ARRAYTYPE_P(1));
	if (SPI_connect_ext(SPI_OPT_NONATOMIC) != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
	MemoryContextSwitchTo(context);
	act_transaction_open(false);
	act_transaction_commit(true);
	refresh_and_wipe(&refresh, named);
	SPI_finish();
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(context);
	PG_RETURN_VOID();
}

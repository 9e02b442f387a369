/*-------------------------------------------------------------------------
 *
 * connector_definition.c
 *	  SQL-callable: create_connector(), alter_connector(), drop_connector().
 *
 * In the caller's transaction, with its commit; for administrators: who says
 * what a connector does says where data and credentials go.  A document is
 * stored only when it compiles and every destination and sync that uses it
 * works as well as before.  Runs under way go on with what they compiled.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_foreign_data_wrapper.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "foreign/foreign.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/json.h"

#include "compat.h"
#include "definition.h"
#include "destination.h"
#include "event.h"
#include "identity.h"
#include "nearest.h"
#include "registry.h"
#include "transaction.h"

/* Names in messages; the rest is counted. */
#define MAX_NAMED 10

PG_FUNCTION_INFO_V1(act_create_connector);
PG_FUNCTION_INFO_V1(act_alter_connector);
PG_FUNCTION_INFO_V1(act_drop_connector);

/* The connector $1 and those that extend it, however far away. */
#define USES \
	"WITH RECURSIVE uses (name) AS (SELECT $1::pg_catalog.text UNION SELECT c.name FROM activate.connector AS c" \
	" JOIN uses AS u ON c.spec ->> 'extends' = u.name)"

#define SELECT_EXTENDING USES " SELECT u.name FROM uses AS u WHERE u.name <> $1 ORDER BY u.name"

#define SERVERS_OF_USES \
	USES ", servers (name, owner) AS (SELECT s.srvname::pg_catalog.text, s.srvowner" \
	" FROM pg_catalog.pg_foreign_server AS s" \
	" JOIN pg_catalog.pg_foreign_data_wrapper AS w ON w.oid = s.srvfdw AND w.fdwname = 'activate'" \
	" CROSS JOIN LATERAL pg_catalog.pg_options_to_table(s.srvoptions) AS o" \
	" JOIN uses AS u ON u.name = o.option_value WHERE o.option_name = 'connector')"

#define SELECT_SERVERS SERVERS_OF_USES " SELECT s.name, s.owner FROM servers AS s ORDER BY s.name"
#define SELECT_SYNCS \
	SERVERS_OF_USES " SELECT y.name, y.sync_id FROM activate.sync AS y" \
	" WHERE y.destination IN (SELECT s.name FROM servers AS s) ORDER BY y.name"

/* Something that goes by the document, and whether it did so before. */
typedef struct Dependent
{
	char	   *name;
	Oid			owner;			/* of a destination */
	int64		sync_id;		/* of a sync; 0: it is none */
	bool		is_connector;
	bool		worked;
	ErrorData  *error;			/* with the new document */
} Dependent;

typedef struct Dependents
{
	List	   *connectors;		/* of Dependent */
	List	   *servers;
	List	   *syncs;
} Dependents;

static List *
find_dependents(const char *sql, const char *name, bool are_connectors, bool are_syncs)
{
	MemoryContext context = CurrentMemoryContext;
	Identity	identity;
	SqlArgument args[] = {SQL_TEXT(name)};
	List	   *found = NIL;
	uint64		count;
	MemoryContext inside;

	act_identity_extension(&identity);
	count = act_sql(SPI_OK_SELECT, sql, lengthof(args), args);
	inside = MemoryContextSwitchTo(context);
	for (uint64 i = 0; i < count; i++)
	{
		Dependent  *dependent = palloc0(sizeof(Dependent));

		CHECK_FOR_INTERRUPTS();
		dependent->name = act_sql_text(i, 1);
		dependent->is_connector = are_connectors;
		if (are_syncs)
			dependent->sync_id = act_sql_int64(i, 2);
		else if (!are_connectors)
			dependent->owner = (Oid) act_sql_int64(i, 2);
		found = lappend(found, dependent);
	}
	MemoryContextSwitchTo(inside);
	act_identity_leave(&identity);
	return found;
}

static void
find_all(const char *name, Dependents *dependents)
{
	dependents->connectors = find_dependents(SELECT_EXTENDING, name, true, false);
	dependents->servers = find_dependents(SELECT_SERVERS, name, false, false);
	dependents->syncs = find_dependents(SELECT_SYNCS, name, false, true);
}

/* "a, b and 3 more" */
static char *
list_names(const List *dependents)
{
	StringInfoData buf;
	ListCell   *cell;

	initStringInfo(&buf);
	foreach(cell, dependents)
	{
		if (foreach_current_index(cell) == MAX_NAMED)
		{
			appendStringInfo(&buf, " and %d more", list_length(dependents) - MAX_NAMED);
			break;
		}
		appendStringInfo(&buf, "%s\"%s\"", buf.len > 0 ? ", " : "", ((Dependent *) lfirst(cell))->name);
	}
	return buf.data;
}

/* ----------------------------------------------------------------
 *		Who may, and what it may be called
 * ----------------------------------------------------------------
 */

static void
require_administrator(const char *what)
{
	Oid			wrapper = get_foreign_data_wrapper_oid("activate", false);

	if (act_compat_wrapper_aclcheck(wrapper, GetUserId(), ACL_USAGE) != ACLCHECK_OK)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to %s a connector", what),
				 errdetail("A connector says where data and credentials go: it is for those who may make destinations."),
				 errhint("GRANT USAGE ON FOREIGN DATA WRAPPER activate TO %s;",
						 quote_identifier(GetUserNameFromId(GetUserId(), false)))));
}

/* What another role's destination sends, and where, is for that role to say. */
static void
require_owned(const char *name, const Dependents *dependents)
{
	ListCell   *cell;

	foreach(cell, dependents->servers)
	{
		const Dependent *server = lfirst(cell);

		if (!has_privs_of_role(GetUserId(), server->owner))
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					 errmsg("connector \"%s\" is used by destination \"%s\" of role \"%s\"",
							name, server->name, GetUserNameFromId(server->owner, false)),
					 errdetail("Its data and credentials would go where the new document says."),
					 errhint("%s", act_membership_hint(server->owner))));
	}
}

static void
check_name(const char *name)
{
	size_t		len = strlen(name);

	if (len >= NAMEDATALEN)
		ereport(ERROR,
				(errcode(ERRCODE_NAME_TOO_LONG),
				 errmsg("the name of connector \"%s\" is too long", name),
				 errdetail("It has %zu bytes, and can have %d.", len, NAMEDATALEN - 1),
				 errhint("Take a shorter name.")));
	if (len == 0 || name[0] < 'a' || name[0] > 'z' ||
		strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") != len)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_NAME),
				 errmsg("\"%s\" cannot be the name of a connector", name),
				 errdetail("It has lower-case letters, digits and underscores, and begins with a letter."),
				 errhint("name => 'acme_planning'")));
}

/* ----------------------------------------------------------------
 *		Documents
 * ----------------------------------------------------------------
 */

/* 42704 where there is none, 55000 where it came with the extension. */
static void
require_own(const char *name, const char *what)
{
	Identity	identity;
	SqlArgument args[] = {SQL_TEXT(name)};
	bool		builtin;

	act_identity_extension(&identity);
	if (act_sql(SPI_OK_SELECT, "SELECT c.builtin FROM activate.connector AS c WHERE c.name = $1 FOR UPDATE",
				lengthof(args), args) == 0)
	{
		act_identity_leave(&identity);
		(void) act_registry_connector(name);	/* says what is near */
		elog(ERROR, "connector \"%s\" appeared just now", name);
	}
	builtin = act_sql_bool(0, 1);
	act_identity_leave(&identity);
	if (builtin)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("connector \"%s\" came with the extension and cannot be %s", name, what),
				 errhint("Make one of your own from it: SELECT activate.create_connector('my_%s', '{\"extends\": \"%s\", ...}');",
						 name, name)));
}

static const char *
event_message(const char *name, const char *what)
{
	return psprintf("connector \"%s\" was %s by %s", name, what, GetUserNameFromId(GetUserId(), false));
}

static const char *
event_details(const char *name, const Dependents *dependents)
{
	StringInfoData details;

	initStringInfo(&details);
	appendStringInfoString(&details, "{\"connector\": ");
	escape_json(&details, name);
	appendStringInfo(&details, ", \"destinations\": %d, \"syncs\": %d}",
					 list_length(dependents->servers), list_length(dependents->syncs));
	return details.data;
}

/* activate.create_connector(name text, spec json) */
Datum
act_create_connector(PG_FUNCTION_ARGS)
{
	static const char hint[] = "SELECT activate.create_connector('acme_planning', '{\"operations\": {...}}');";
	Dependents	none = {0};
	Identity	identity;
	SqlArgument args[2] = {{TEXTOID}, {JSONOID}};
	char	   *name;
	bool		made;

	act_require_argument(PG_ARGISNULL(0), "name", hint);
	act_require_argument(PG_ARGISNULL(1), "spec", hint);
	name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	require_administrator("create");
	check_name(name);
	SPI_connect();
	args[0].value = PG_GETARG_DATUM(0);
	args[1].value = PG_GETARG_DATUM(1);
	act_identity_extension(&identity);
	made = act_sql(SPI_OK_INSERT, "INSERT INTO activate.connector (name, spec) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING",
				   lengthof(args), args) > 0;
	act_identity_leave(&identity);
	if (!made)
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("connector \"%s\" already exists", name),
				 errhint("Take another name, or give it another document: SELECT activate.alter_connector(%s, ...);",
						 quote_literal_cstr(name))));
	(void) act_registry_connector(name);
	act_event_record("connector_created", "info", NULL, 0, event_message(name, "created"), event_details(name, &none));
	SPI_finish();
	PG_RETURN_VOID();
}

/* ----------------------------------------------------------------
 *		What uses a document
 * ----------------------------------------------------------------
 */

/* Whatever is checked when it is defined; of a sync its whole definition. */
static void
check_dependent(void *arg)
{
	const Dependent *dependent = arg;
	DefinitionInput nothing = {0};
	Sync	   *sync;

	if (dependent->is_connector)
		(void) act_registry_connector(dependent->name);
	else if (dependent->sync_id == 0)
		act_destination_wipe(act_destination_load(dependent->name, dependent->owner, false));
	else
	{
		sync = act_sync_load_by_id(dependent->sync_id);
		if (sync != NULL)
			(void) act_definition_apply(sync, &nothing);
	}
}

/* Those that worked before and do not any more. */
static List *
check_all(const Dependents *dependents, bool before)
{
	List	   *const lists[] = {dependents->connectors, dependents->servers, dependents->syncs};
	List	   *broken = NIL;
	ListCell   *cell;

	for (int i = 0; i < lengthof(lists); i++)
	{
		foreach(cell, lists[i])
		{
			Dependent  *dependent = lfirst(cell);

			CHECK_FOR_INTERRUPTS();
			if (!before && !dependent->worked)
				continue;
			dependent->error = act_transaction_attempt(check_dependent, dependent);
			if (before)
				dependent->worked = dependent->error == NULL;
			else if (dependent->error != NULL)
				broken = lappend(broken, dependent);
		}
	}
	return broken;
}

static void
refuse_broken(const char *name, const List *broken)
{
	const Dependent *first = linitial(broken);

	ereport(ERROR,
			(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
			 errmsg("with this document of connector \"%s\" would no longer work: %s", name, list_names(broken)),
			 errdetail("%s \"%s\": %s", first->is_connector ? "Connector" : first->sync_id == 0 ? "Destination" : "Sync",
					   first->name, first->error->message),
			 errhint("Alter or drop them first, or keep this document and give the new one a name of its own.")));
}

/* Its table is the caller's: nobody else sees the document before the commit. */
static void
store(FunctionCallInfo fcinfo)
{
	Identity	identity;
	SqlArgument args[] = {
		{TEXTOID, PG_GETARG_DATUM(0), false},
		{JSONOID, PG_GETARG_DATUM(1), false}
	};

	act_identity_extension(&identity);
	act_sql(SPI_OK_UPDATE, "UPDATE activate.connector SET spec = $2 WHERE name = $1", lengthof(args), args);
	act_identity_leave(&identity);
}

/* activate.alter_connector(name text, spec json) */
Datum
act_alter_connector(PG_FUNCTION_ARGS)
{
	static const char hint[] = "SELECT activate.alter_connector('acme_planning', '{\"operations\": {...}}');";
	Dependents	dependents;
	List	   *broken;
	char	   *name;

	act_require_argument(PG_ARGISNULL(0), "name", hint);
	act_require_argument(PG_ARGISNULL(1), "spec", hint);
	name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	require_administrator("alter");
	SPI_connect();
	require_own(name, "altered");
	find_all(name, &dependents);
	require_owned(name, &dependents);
	(void) check_all(&dependents, true);
	store(fcinfo);
	(void) act_registry_connector(name);
	broken = check_all(&dependents, false);
	if (broken != NIL)
		refuse_broken(name, broken);
	act_event_record("connector_altered", "info", NULL, 0, event_message(name, "altered"), event_details(name, &dependents));
	if (dependents.syncs != NIL)
		ereport(NOTICE,
				(errmsg_plural("%d sync goes by connector \"%s\": %s", "%d syncs go by connector \"%s\": %s",
							   list_length(dependents.syncs), list_length(dependents.syncs), name,
							   list_names(dependents.syncs)),
				 errdetail("Their next runs take the new document; runs under way end with the one they began with. "
						   "Rows that were accepted are not sent again for it."),
				 errhint("What they would send now: SELECT * FROM activate.preview_requests(%s);",
						 quote_literal_cstr(((Dependent *) linitial(dependents.syncs))->name))));
	SPI_finish();
	PG_RETURN_VOID();
}

static void
refuse_used(const char *name, const Dependents *dependents)
{
	StringInfoData detail;

	if (dependents->servers == NIL && dependents->connectors == NIL)
		return;
	initStringInfo(&detail);
	if (dependents->servers != NIL)
		appendStringInfo(&detail, "Destinations: %s.", list_names(dependents->servers));
	if (dependents->connectors != NIL)
		appendStringInfo(&detail, "%sConnectors that extend it: %s.", detail.len > 0 ? " " : "",
						 list_names(dependents->connectors));
	ereport(ERROR,
			(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
			 errmsg("connector \"%s\" cannot be dropped because it is used", name),
			 errdetail_internal("%s", detail.data),
			 dependents->servers != NIL ?
			 errhint("DROP SERVER %s; first.", quote_identifier(((Dependent *) linitial(dependents->servers))->name)) :
			 errhint("SELECT activate.drop_connector(%s); first.",
					 quote_literal_cstr(((Dependent *) linitial(dependents->connectors))->name))));
}

/* activate.drop_connector(name text, missing_ok boolean) */
Datum
act_drop_connector(PG_FUNCTION_ARGS)
{
	static const char hint[] = "SELECT activate.drop_connector('acme_planning');";
	Dependents	dependents;
	Identity	identity;
	SqlArgument args[] = {{TEXTOID}};
	char	   *name;

	act_require_argument(PG_ARGISNULL(0), "name", hint);
	act_require_argument(PG_ARGISNULL(1), "missing_ok", hint);
	name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	require_administrator("drop");
	if (PG_GETARG_BOOL(1) && act_registry_spec(name) == NULL)
	{
		ereport(NOTICE,
				(errmsg("connector \"%s\" does not exist, skipping", name)));
		PG_RETURN_VOID();
	}
	SPI_connect();
	require_own(name, "dropped");
	find_all(name, &dependents);
	refuse_used(name, &dependents);
	args[0].value = PG_GETARG_DATUM(0);
	act_identity_extension(&identity);
	act_sql(SPI_OK_DELETE, "DELETE FROM activate.connector WHERE name = $1", lengthof(args), args);
	act_identity_leave(&identity);
	act_event_record("connector_dropped", "info", NULL, 0, event_message(name, "dropped"), event_details(name, &dependents));
	SPI_finish();
	PG_RETURN_VOID();
}

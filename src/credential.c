/*-------------------------------------------------------------------------
 *
 * credential.c
 *	  Which host a stored credential was stored for.
 *
 * The owner of a server chooses its base_url, but may not read the user
 * mappings of others.  So that he cannot have their secrets sent to a host of
 * his own, each mapping with secrets is bound to the scheme, host and port
 * that its server had when the mapping was made (activate.credential):
 *
 * - An event trigger binds when a mapping is created or gets its first
 *   secret, and refuses ALTER SERVER where it would move secrets to another
 *   host.  act_destination_load() compares again, so that nothing is lost
 *   where the trigger was off.
 * - Rows are keyed by OIDs: renaming the server, giving it to another owner
 *   or making another one of the old name moves no credential.
 * - Only CREATE USER MAPPING replaces a binding, for then all secrets are
 *   new.  ALTER USER MAPPING does not, since a server's owner may alter the
 *   mappings of others; IF NOT EXISTS on an existing one is no command that
 *   the trigger hears of.  A mapping that lost its last secret loses its row.
 * - A mapping without a row is bound to the host its server has now.  That
 *   is sound only if the host did not change since the secrets were stored,
 *   so every ALTER SERVER first binds what is still unbound (pg_upgrade
 *   carries rows that mean nothing in the new cluster, which the system
 *   identifier tells; a mapping can have been made with event triggers off,
 *   which takes a superuser).  Where the host was not known before (a server
 *   whose connector came later) and is known after, the change is refused.
 * - The functions can be called by anybody and give him nothing: the one at
 *   a command's end sees only commands that this very session runs, and the
 *   other binds what every use would bind.
 *
 * In a sandbox (confirm_cluster) a destination is closed, by name, and with it
 * all secrets that came along.  It opens when its owner alters the server or
 * sets a mapping; the secrets of its other mappings then stay closed, each for
 * itself (activate.credential.closed), until it is set, too.  Who may only use
 * the server and sets a mapping of his own opens that one and no more.  ALTER
 * USER MAPPING counts where it sets or adds an option, whatever the value.
 *
 * Rows of dropped mappings are cleaned up when another one is made; an OID
 * used again meets CREATE USER MAPPING first.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/reloptions.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_foreign_server.h"
#include "catalog/pg_type.h"
#include "catalog/pg_user_mapping.h"
#include "fmgr.h"
#include "foreign/foreign.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "tcop/deparse_utility.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "cluster.h"
#include "catalog.h"
#include "credential.h"
#include "destination.h"
#include "fault.h"
#include "identity.h"
#include "stored_secret.h"
#include "transaction.h"
#include "wakeup.h"

/* The recorded host of a mapping; $1 mapping, $2 server, $3 system identifier. */
#define SELECT_HOST \
	"SELECT host FROM activate.credential" \
	" WHERE mapping_oid = $1 AND server_oid = $2 AND system_identifier = $3"

/* $5: whether a row that holds here is replaced. */
#define BIND \
	"INSERT INTO activate.credential AS c (mapping_oid, server_oid, system_identifier, host)" \
	" VALUES ($1, $2, $3, $4) ON CONFLICT (mapping_oid) DO UPDATE SET" \
	" server_oid = excluded.server_oid, system_identifier = excluded.system_identifier," \
	" host = excluded.host, closed = NULL" \
	" WHERE $5 OR c.server_oid <> excluded.server_oid" \
	" OR c.system_identifier <> excluded.system_identifier"

#define FORGET \
	"DELETE FROM activate.credential WHERE mapping_oid = $1"

/* Rows that others hold are theirs to clean up: DDL of users must not wait. */
#define CLEAN_UP \
	"DELETE FROM activate.credential WHERE mapping_oid = ANY (ARRAY(" \
	" SELECT c.mapping_oid FROM activate.credential c" \
	" WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_user_mapping m" \
	"  WHERE m.oid = c.mapping_oid AND m.umserver = c.server_oid)" \
	" FOR UPDATE OF c SKIP LOCKED))"

/*
 * Mappings with secrets on servers of ours and the hosts they are bound to;
 * $1 system identifier, $2 one server, or null for all.
 */
#define SELECT_CREDENTIALS \
	"SELECT m.oid, m.umuser, m.umserver, c.host" \
	" FROM pg_catalog.pg_foreign_data_wrapper w" \
	" JOIN pg_catalog.pg_foreign_server s ON s.srvfdw = w.oid" \
	" JOIN pg_catalog.pg_user_mapping m ON m.umserver = s.oid" \
	" LEFT JOIN activate.credential c ON c.mapping_oid = m.oid" \
	"  AND c.server_oid = m.umserver AND c.system_identifier = $1" \
	" WHERE w.fdwname = 'activate' AND m.umoptions IS NOT NULL" \
	"  AND ($2 IS NULL OR s.oid = $2)"

/* The same for one mapping, with secrets or without; $1 mapping. */
#define SELECT_MAPPING \
	"SELECT m.umserver, m.umoptions IS NOT NULL" \
	" FROM pg_catalog.pg_user_mapping m" \
	" JOIN pg_catalog.pg_foreign_server s ON s.oid = m.umserver" \
	" JOIN pg_catalog.pg_foreign_data_wrapper w ON w.oid = s.srvfdw" \
	" WHERE m.oid = $1 AND w.fdwname = 'activate'"

/* Whether a destination, and a credential of it, is closed; null: the credential says nothing. */
#define SELECT_CLOSED \
	"SELECT COALESCE((SELECT d.closed FROM activate.destination_state AS d WHERE d.destination = $1), false)," \
	" (SELECT c.closed FROM activate.credential AS c WHERE c.mapping_oid = $2 AND c.server_oid = $3" \
	" AND c.system_identifier = $4)"

/* What came along stays closed when the destination as a whole does not. */
#define CLOSE_EACH \
	"UPDATE activate.credential SET closed = true" \
	" WHERE server_oid = $1 AND system_identifier = $2 AND closed IS NULL"
#define OPEN_DESTINATION \
	"UPDATE activate.destination_state SET closed = false WHERE destination = $1"
#define OPEN_CREDENTIAL \
	"UPDATE activate.credential SET closed = false WHERE mapping_oid = $1"

/* Its runs failed for that, and would be tried again only after a while. */
#define RETRY_NOW \
	"UPDATE activate.sync_state SET retry_at = $2 WHERE retry_at > $2 AND NOT retry_rows" \
	" AND sync_id IN (SELECT s.sync_id FROM activate.sync AS s WHERE s.destination = $1)"

#define RENAME_DESTINATION \
	"UPDATE activate.destination_state SET destination = $2 WHERE destination = $1"
#define RENAME_JOBS \
	"UPDATE activate.job SET destination = $2 WHERE destination = $1"
#define FORGET_DESTINATION \
	"DELETE FROM activate.destination_state WHERE destination = $1"

#define SELECT_COMMANDS \
	"SELECT objid, classid, command FROM pg_catalog.pg_event_trigger_ddl_commands()" \
	" WHERE classid IN ('pg_catalog.pg_foreign_server'::pg_catalog.regclass," \
	" 'pg_catalog.pg_user_mapping'::pg_catalog.regclass)"

#define SQL_OID(v) {OIDOID, ObjectIdGetDatum(v), false}

PG_FUNCTION_INFO_V1(act_credential_bind_all);
PG_FUNCTION_INFO_V1(act_credential_follow);

static void
enter(Identity *identity)
{
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
	act_identity_extension(identity);
}

static void
leave(const Identity *identity)
{
	act_identity_leave((Identity *) identity);
	SPI_finish();
}

static void
bind(Oid mapping, Oid server, const char *origin, bool replace)
{
	SqlArgument args[] = {
		SQL_OID(mapping), SQL_OID(server), SQL_INT8(act_system_identifier()),
		SQL_TEXT(origin), SQL_BOOL(replace)
	};

	act_sql(SPI_OK_INSERT, BIND, lengthof(args), args);
}

static void
forget(Oid mapping)
{
	SqlArgument args[] = {SQL_OID(mapping)};

	act_sql(SPI_OK_DELETE, FORGET, lengthof(args), args);
}

/* What can be typed to store the credential anew. */
static char *
renew_hint(Oid role, const char *server)
{
	char	   *user = OidIsValid(role) ? pstrdup(quote_identifier(MappingUserName(role))) : "PUBLIC";

	return psprintf("Drop the user mapping, change the server, and store the credential for its new host: DROP USER MAPPING FOR %s SERVER %s;",
					user, quote_identifier(server));
}

void
act_credential_check(const Credential *credential, bool may_bind)
{
	MemoryContext context = CurrentMemoryContext;
	Identity	identity;
	char	   *host = NULL;
	SqlArgument args[] = {
		SQL_OID(credential->mapping), SQL_OID(credential->server),
		SQL_INT8(act_system_identifier())
	};

	enter(&identity);
	if (act_sql(SPI_OK_SELECT, SELECT_HOST, lengthof(args), args) == 1)
		host = MemoryContextStrdup(context, act_sql_text(0, 1));
	else if (may_bind && !XactReadOnly && !RecoveryInProgress())
		bind(credential->mapping, credential->server, credential->origin, false);
	leave(&identity);

	if (host != NULL && strcmp(host, credential->origin) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION),
				 errmsg("credentials of destination \"%s\" were stored for another host", credential->destination),
				 errdetail("They were stored for %s; base_url now leads to %s.", host, credential->origin),
				 errhint("%s", renew_hint(credential->role, credential->destination))));
}

/* An option that opens it, for the hint; NULL: it has no credentials to set. */
void
act_credential_require_open(const Credential *credential, const char *option)
{
	const char *server = quote_identifier(credential->destination);
	Identity	identity;
	bool		whole;
	bool		closed;
	SqlArgument args[] = {
		SQL_TEXT(credential->destination), SQL_OID(option != NULL ? credential->mapping : InvalidOid),
		SQL_OID(credential->server), SQL_INT8(act_system_identifier())
	};

	enter(&identity);
	(void) act_sql(SPI_OK_SELECT, SELECT_CLOSED, lengthof(args), args);
	closed = whole = act_sql_bool(0, 1);
	if (SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2) != NULL)
		closed = act_sql_bool(0, 2);
	leave(&identity);

	if (!closed)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 whole ? errmsg("destination \"%s\" is closed: this server is a sandbox", credential->destination) :
			 errmsg("credentials of destination \"%s\" are closed: this server is a sandbox", credential->destination),
			 errdetail("Since confirm_cluster('sandbox') it is used only with what was set here."),
			 option != NULL ?
			 errhint("ALTER USER MAPPING FOR %s SERVER %s OPTIONS (SET %s '...'); for another host drop the mapping, change the server and create it again.",
					 OidIsValid(credential->role) ? quote_identifier(MappingUserName(credential->role)) : "PUBLIC",
					 server, option) :
			 errhint("Its owner opens it: ALTER SERVER %s OPTIONS (SET base_url 'https://...');", server)));
}

/* Binds what is still unbound, on all servers of ours whose host is known. */
static void
bind_all(void)
{
	SqlArgument args[] = {SQL_INT8(act_system_identifier()), {OIDOID, 0, true}};
	uint64		n = act_sql(SPI_OK_SELECT, SELECT_CREDENTIALS " AND c.host IS NULL", lengthof(args), args);
	Oid		   *mappings = palloc(sizeof(Oid) * (n + 1));
	Oid		   *servers = palloc(sizeof(Oid) * (n + 1));

	for (uint64 i = 0; i < n; i++)
	{
		mappings[i] = (Oid) act_sql_int64(i, 1);
		servers[i] = (Oid) act_sql_int64(i, 3);
	}
	for (uint64 i = 0; i < n; i++)
	{
		char	   *origin = act_destination_origin(GetForeignServer(servers[i])->options);

		if (origin != NULL)
			bind(mappings[i], servers[i], origin, false);
	}
}

/* Before ALTER SERVER. */
Datum
act_credential_bind_all(PG_FUNCTION_ARGS)
{
	Identity	identity;

	enter(&identity);
	bind_all();
	leave(&identity);
	PG_RETURN_VOID();
}

void
act_credential_open(const ForeignServer *server, Oid mapping, Oid user)
{
	SqlArgument args[] = {
		SQL_TEXT(server->servername), SQL_OID(mapping),
		SQL_OID(server->serverid), SQL_INT8(act_system_identifier())
	};
	SqlArgument retry[] = {args[0], {TIMESTAMPTZOID, TimestampTzGetDatum(act_now()), false}};
	bool		whole;

	(void) act_sql(SPI_OK_SELECT, SELECT_CLOSED, lengthof(args), args);
	whole = act_sql_bool(0, 1);
	if (!whole && !act_sql_bool(0, 2))
		return;
	/* Runs that end lock the state of their sync before that of the destination. */
	act_sql(SPI_OK_UPDATE, RETRY_NOW, lengthof(retry), retry);
	if (whole && has_privs_of_role(user, server->owner))
	{
		bind_all();
		act_sql(SPI_OK_UPDATE, CLOSE_EACH, 2, &args[2]);
		act_stored_secrets_close(server->servername);
		act_sql(SPI_OK_UPDATE, OPEN_DESTINATION, 1, args);
	}
	act_sql(SPI_OK_UPDATE, OPEN_CREDENTIAL, 1, &args[1]);
	act_wake_at_commit();
}

/* Whether a command sets or adds an option; one that is only dropped sets nothing. */
static bool
sets_options(const Node *command)
{
	List	   *options = NIL;
	ListCell   *cell;

	if (IsA(command, CreateUserMappingStmt))
		options = ((const CreateUserMappingStmt *) command)->options;
	else if (IsA(command, AlterUserMappingStmt))
		options = ((const AlterUserMappingStmt *) command)->options;
	else if (IsA(command, AlterForeignServerStmt))
		return ((const AlterForeignServerStmt *) command)->options != NIL;
	foreach(cell, options)
	{
		if (((const DefElem *) lfirst(cell))->defaction != DEFELEM_DROP)
			return true;
	}
	return false;
}

/* A mapping was made or altered. */
static void
follow_mapping(Oid mapping, const Node *command, Oid user)
{
	bool		created = IsA(command, CreateUserMappingStmt);
	SqlArgument args[] = {SQL_OID(mapping)};
	char	   *origin = NULL;
	Oid			server;

	if (act_sql(SPI_OK_SELECT, SELECT_MAPPING, lengthof(args), args) != 1)
		return;					/* of another wrapper */
	server = (Oid) act_sql_int64(0, 1);
	if (act_sql_bool(0, 2))
		origin = act_destination_origin(GetForeignServer(server)->options);
	else
		forget(mapping);

	if (origin != NULL)
		bind(mapping, server, origin, created);
	else if (created)
		forget(mapping);
	if (created)
		act_sql(SPI_OK_DELETE, CLEAN_UP, 0, NULL);
	if (sets_options(command))
		act_credential_open(GetForeignServer(server), mapping, user);
}

/* What is known of a destination by its name goes along with it. */
static void
follow_rename(const RenameStmt *rename)
{
	SqlArgument args[] = {SQL_TEXT(strVal(rename->object)), SQL_TEXT(rename->newname)};

	act_sql(SPI_OK_DELETE, FORGET_DESTINATION, 1, &args[1]);
	act_sql(SPI_OK_UPDATE, RENAME_DESTINATION, lengthof(args), args);
	act_sql(SPI_OK_UPDATE, RENAME_JOBS, lengthof(args), args);
	act_stored_secrets_rename(strVal(rename->object), rename->newname);
	act_catalog_rename(strVal(rename->object), rename->newname);
}

/* A server was altered, and no secret moved by it. */
static void
follow_options(Oid oid, const Node *command, Oid user)
{
	const ForeignServer *server = GetForeignServer(oid);

	if (strcmp(GetForeignDataWrapper(server->fdwid)->fdwname, "activate") != 0)
		return;
	if (IsA(command, RenameStmt))
		follow_rename((const RenameStmt *) command);
	else if (sets_options(command))
		act_credential_open(server, InvalidOid, user);
}

/* The same of what set_secret() stored. */
static Datum *
stored_elsewhere(const ForeignServer *server, const char *origin, MemoryContext context)
{
	char	   *host = act_stored_secret_other_host(server->serverid, origin);
	MemoryContext caller;
	Datum	   *refusal;

	if (host == NULL)
		return NULL;
	caller = MemoryContextSwitchTo(context);
	refusal = palloc(sizeof(Datum) * 2);
	refusal[0] = CStringGetTextDatum(psprintf("server \"%s\" has credentials that were stored for %s",
											  server->servername, host));
	refusal[1] = CStringGetTextDatum(psprintf("Remove them, change the server, and store them for its new host: SELECT activate.set_secret(%s, '...', NULL);",
											  quote_literal_cstr(server->servername)));
	MemoryContextSwitchTo(caller);
	return refusal;
}

/* A server was altered: {message, hint} where that moves secrets, else NULL. */
static Datum *
follow_server(Oid oid, MemoryContext context)
{
	SqlArgument args[] = {SQL_INT8(act_system_identifier()), SQL_OID(oid)};
	uint64		n = act_sql(SPI_OK_SELECT, SELECT_CREDENTIALS, lengthof(args), args);
	ForeignServer *server = GetForeignServer(oid);
	char	   *origin;

	if (strcmp(GetForeignDataWrapper(server->fdwid)->fdwname, "activate") != 0)
		return NULL;
	origin = act_destination_origin(server->options);
	for (uint64 i = 0; origin != NULL && i < n; i++)
	{
		char	   *host = act_sql_text(i, 4);

		if (host == NULL || strcmp(host, origin) != 0)
		{
			MemoryContext caller = MemoryContextSwitchTo(context);
			Datum	   *refusal = palloc(sizeof(Datum) * 2);

			refusal[0] = CStringGetTextDatum(psprintf("server \"%s\" has credentials that were stored for %s",
													  server->servername,
													  host != NULL ? host : "a host that is not known any more"));
			refusal[1] = CStringGetTextDatum(renew_hint((Oid) act_sql_int64(i, 2), server->servername));
			MemoryContextSwitchTo(caller);
			return refusal;
		}
	}
	return origin == NULL ? NULL : stored_elsewhere(server, origin, context);
}

/*
 * At the end of the commands that make or change servers and mappings.  What
 * it refuses it returns as {message, hint}, so that its caller can tell a
 * refusal from a library that is not there.
 */
Datum
act_credential_follow(PG_FUNCTION_ARGS)
{
	MemoryContext context = CurrentMemoryContext;
	Identity	identity;
	Datum	   *refusal = NULL;
	uint64		n;
	SPITupleTable *commands;

	enter(&identity);
	n = act_sql(SPI_OK_SELECT, SELECT_COMMANDS, 0, NULL);
	commands = SPI_tuptable;
	for (uint64 i = 0; refusal == NULL && i < n; i++)
	{
		Oid			object;
		Oid			class;
		const Node *command;
		bool		isnull;

		SPI_tuptable = commands;
		object = (Oid) act_sql_int64(i, 1);
		class = (Oid) act_sql_int64(i, 2);
		command = ((CollectedCommand *) DatumGetPointer(SPI_getbinval(commands->vals[i], commands->tupdesc,
																	  3, &isnull)))->parsetree;
		if (class == UserMappingRelationId)
			follow_mapping(object, command, identity.user);
		else
			refusal = follow_server(object, context);
		if (class == ForeignServerRelationId && refusal == NULL)
			follow_options(object, command, identity.user);
	}
	leave(&identity);

	if (refusal == NULL)
		PG_RETURN_NULL();
	PG_RETURN_ARRAYTYPE_P(construct_array(refusal, 2, TEXTOID, -1, false, TYPALIGN_INT));
}

/*-------------------------------------------------------------------------
 *
 * stored_secret.c
 *	  Secrets of destinations that the database keeps, sealed.
 *
 * Two kinds of rows in activate.secret: what set_secret() stored, which
 * stands for the server as a mapping FOR PUBLIC does, and what a destination
 * gave in place of a value, a refresh token, which stands for whoever has
 * that value in his mapping (column replaces, a digest of it).
 *
 * A value is sealed with a key outside of the database (key_file.c), bound to
 * its id, its name, and the host that it was stored for: rows that are swapped
 * or altered do not open, and no value goes to another host.  Rows know their
 * server by OIDs, in this database of this cluster; those of another, from a
 * dump, belong to the server of their destination's name, and are made this
 * cluster's own when they are first used.
 *
 * Called inside transactions, in any identity.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <openssl/evp.h>

#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "foreign/foreign.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/uuid.h"

#include "cluster.h"
#include "identity.h"
#include "key_file.h"
#include "option.h"
#include "registry.h"
#include "stored_secret.h"
#include "transaction.h"

#define MAX_SECRET_BYTES (64 * 1024)

/* $1 server, $2 database, $3 system identifier, $4 the server's name */
#define IS_HERE "s.server_oid = $1 AND s.database_oid = $2 AND s.system_identifier = $3"
#define IS_FROM_A_DUMP \
	"s.destination = $4 AND (s.database_oid <> $2 OR s.system_identifier <> $3)"

#define SELECT_SECRETS \
	"SELECT s.secret_id::pg_catalog.text, s.name, s.replaces, s.host, s.key_id, s.sealed, s.closed, " IS_HERE \
	" FROM activate.secret AS s WHERE (" IS_HERE ") OR (" IS_FROM_A_DUMP ")" \
	" ORDER BY 8 DESC, s.changed_at DESC, s.secret_id"

/* What is here already is newer. */
#define ADOPT \
	"UPDATE activate.secret AS s SET server_oid = $1, database_oid = $2, system_identifier = $3" \
	" WHERE " IS_FROM_A_DUMP " AND NOT EXISTS (SELECT FROM activate.secret AS o WHERE o.server_oid = $1" \
	" AND o.database_oid = $2 AND o.system_identifier = $3 AND o.name = s.name AND o.replaces = s.replaces)"

/* $5 name, $6 replaces; null: all of that name */
#define DELETE_SECRETS \
	"DELETE FROM activate.secret AS s WHERE ((" IS_HERE ") OR (" IS_FROM_A_DUMP ")) AND s.name = $5" \
	" AND ($6 IS NULL OR s.replaces = $6)"

#define INSERT_SECRET \
	"INSERT INTO activate.secret (server_oid, database_oid, system_identifier, destination, name, replaces," \
	" secret_id, host, key_id, sealed, closed, changed_at)" \
	" VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, false, pg_catalog.now())"

#define UPDATE_SECRET \
	"UPDATE activate.secret SET key_id = $2, sealed = $3, changed_at = pg_catalog.now() WHERE secret_id = $1"

/* One, or all where it is null. */
#define SELECT_ALL \
	"SELECT secret_id::pg_catalog.text, name, replaces, host, key_id, sealed, destination" \
	" FROM activate.secret WHERE $1 IS NULL OR secret_id = $1 FOR UPDATE"

#define SELECT_OTHER_HOST \
	"SELECT host FROM activate.secret WHERE server_oid = $1 AND database_oid = $2 AND system_identifier = $3" \
	" AND host <> $4"

#define RENAME "UPDATE activate.secret SET destination = $2 WHERE destination = $1"
#define CLOSE "UPDATE activate.secret SET closed = true WHERE destination = $1"

/* $1 database, $2 system identifier */
#define CLEAN_UP \
	"DELETE FROM activate.secret AS s WHERE CASE WHEN s.database_oid = $1 AND s.system_identifier = $2" \
	" THEN NOT EXISTS (SELECT FROM pg_catalog.pg_foreign_server AS f WHERE f.oid = s.server_oid)" \
	" ELSE NOT EXISTS (SELECT FROM pg_catalog.pg_foreign_server AS f WHERE f.srvname = s.destination) END"

#define SQL_OID(v) {OIDOID, ObjectIdGetDatum(v), false}
#define SQL_BYTES(v, len) {BYTEAOID, PointerGetDatum(cstring_to_text_with_len((const char *) (v), len)), false}
#define SQL_SERVER(oid, name) SQL_OID(oid), SQL_OID(MyDatabaseId), SQL_INT8(act_system_identifier()), SQL_TEXT(name)

PG_FUNCTION_INFO_V1(act_set_secret);
PG_FUNCTION_INFO_V1(act_rotate_key);

/* A row of the table, outside of SPI's memory. */
typedef struct SecretRow
{
	StoredSecret secret;
	char	   *host;
	bytea	   *replaces;
	bytea	   *key_id;
	bytea	   *sealed;
	bool		closed;
	bool		is_here;
} SecretRow;

static void
enter(Identity *identity)
{
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
	act_identity_extension(identity);
}

static void
leave(Identity *identity)
{
	act_identity_leave(identity);
	SPI_finish();
}

/* ----------------------------------------------------------------
 *		Sealing
 * ----------------------------------------------------------------
 */

/* What a value is bound to: swapped between rows, or in a row that was altered, it does not open. */
static StringInfoData
bound_to(const char *id, const char *name, const char *host, const bytea *replaces)
{
	StringInfoData bound;

	initStringInfo(&bound);
	appendBinaryStringInfo(&bound, "pg_activate secret 1", 21);
	appendBinaryStringInfo(&bound, id, (int) strlen(id) + 1);
	appendBinaryStringInfo(&bound, name, (int) strlen(name) + 1);
	appendBinaryStringInfo(&bound, host, (int) strlen(host) + 1);
	appendBinaryStringInfo(&bound, VARDATA_ANY(replaces), (int) VARSIZE_ANY_EXHDR(replaces));
	return bound;
}

static bytea *
seal(const KeyRing *ring, const SecretRow *row, const char *value)
{
	StringInfoData bound = bound_to(row->secret.id, row->secret.name, row->host, row->replaces);
	StringInfoData sealed;
	uint8		nonce[SEALED_NONCE_LEN];

	if (!pg_strong_random(nonce, sizeof(nonce)))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not make random numbers")));
	initStringInfo(&sealed);
	act_sealed_make(ring->keys[0], nonce, bound.data, bound.len, value, strlen(value), &sealed);
	return (bytea *) cstring_to_text_with_len(sealed.data, sealed.len);
}

static bytea *
key_id(const KeyRing *ring)
{
	uint8		id[SEALED_KEY_ID_LEN];

	act_sealed_key_id(ring->keys[0], id);
	return (bytea *) cstring_to_text_with_len((const char *) id, sizeof(id));
}

static char *
unseal(const KeyRing *ring, const SecretRow *row, const char *destination)
{
	StringInfoData bound = bound_to(row->secret.id, row->secret.name, row->host, row->replaces);
	StringInfoData value;

	initStringInfo(&value);
	for (int i = 0; i < ring->nkeys; i++)
	{
		uint8		id[SEALED_KEY_ID_LEN];

		act_sealed_key_id(ring->keys[i], id);
		if (VARSIZE_ANY_EXHDR(row->key_id) != sizeof(id) || memcmp(VARDATA_ANY(row->key_id), id, sizeof(id)) != 0)
			continue;
		if (act_sealed_open(ring->keys[i], bound.data, bound.len, VARDATA_ANY(row->sealed),
							VARSIZE_ANY_EXHDR(row->sealed), &value))
			return value.data;
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("secret \"%s\" of destination \"%s\" is not as it was stored", row->secret.name, destination),
				 errdetail("Its row of activate.secret was altered."),
				 errhint("SELECT activate.set_secret(%s, %s, '...');", quote_literal_cstr(destination),
						 quote_literal_cstr(row->secret.name))));
	}
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("secret \"%s\" of destination \"%s\" was stored with another key", row->secret.name, destination),
			 errdetail("pg_activate.key_file does not have it."),
			 errhint("Add that key to the file, as a line behind the first, or store the secret again: SELECT activate.set_secret(%s, %s, '...');",
					 quote_literal_cstr(destination), quote_literal_cstr(row->secret.name))));
}

/* ----------------------------------------------------------------
 *		Reading
 * ----------------------------------------------------------------
 */

static bytea *
bytes_of(uint64 row, int column)
{
	bool		isnull;
	Datum		value = SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column, &isnull);

	return isnull ? (bytea *) cstring_to_text("") : DatumGetByteaPCopy(value);
}

/* Columns as SELECT_ALL has them first; the lists are in the given context. */
static SecretRow *
read_row(uint64 i, MemoryContext context)
{
	MemoryContext caller = MemoryContextSwitchTo(context);
	SecretRow  *row = palloc0(sizeof(SecretRow));

	row->secret.id = act_sql_text(i, 1);
	row->secret.name = act_sql_text(i, 2);
	row->replaces = bytes_of(i, 3);
	row->host = act_sql_text(i, 4);
	row->key_id = bytes_of(i, 5);
	row->sealed = bytes_of(i, 6);
	row->secret.by_mapping = VARSIZE_ANY_EXHDR(row->replaces) == STORED_REPLACES_LEN;
	if (row->secret.by_mapping)
		memcpy(row->secret.replaces, VARDATA_ANY(row->replaces), STORED_REPLACES_LEN);
	MemoryContextSwitchTo(caller);
	return row;
}

static void
check_row(const Credential *credential, const SecretRow *row)
{
	const char *hint = psprintf("SELECT activate.set_secret(%s, %s, '...');",
								quote_literal_cstr(credential->destination), quote_literal_cstr(row->secret.name));

	if (strcmp(row->host, credential->origin) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION),
				 errmsg("credentials of destination \"%s\" were stored for another host", credential->destination),
				 errdetail("Secret \"%s\" was stored for %s; the destination now leads to %s.", row->secret.name,
						   row->host, credential->origin),
				 errhint("Store it for the new host: %s", hint)));
	if (row->closed)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("credentials of destination \"%s\" are closed: this server is a sandbox", credential->destination),
				 errdetail("Since confirm_cluster('sandbox') it is used only with what was set here."),
				 errhint("%s", hint)));
}

/* The same name and origin may be there from here and from a dump: the first counts. */
static bool
is_listed(List *rows, const SecretRow *row)
{
	ListCell   *cell;

	foreach(cell, rows)
	{
		const SecretRow *other = lfirst(cell);

		if (strcmp(other->secret.name, row->secret.name) == 0 &&
			other->secret.by_mapping == row->secret.by_mapping &&
			memcmp(other->secret.replaces, row->secret.replaces, STORED_REPLACES_LEN) == 0)
			return true;
	}
	return false;
}

static List *
read_rows(const Credential *credential, bool adopt)
{
	MemoryContext context = CurrentMemoryContext;
	SqlArgument args[] = {SQL_SERVER(credential->server, credential->destination)};
	Identity	identity;
	List	   *rows = NIL;
	bool		any_from_a_dump = false;
	uint64		n;

	enter(&identity);
	n = act_sql(SPI_OK_SELECT, SELECT_SECRETS, lengthof(args), args);
	for (uint64 i = 0; i < n; i++)
	{
		SecretRow  *row = read_row(i, context);

		row->closed = act_sql_bool(i, 7);
		row->is_here = act_sql_bool(i, 8);
		any_from_a_dump = any_from_a_dump || !row->is_here;
		if (!is_listed(rows, row))
		{
			MemoryContext caller = MemoryContextSwitchTo(context);

			rows = lappend(rows, row);
			MemoryContextSwitchTo(caller);
		}
	}
	if (any_from_a_dump && adopt && !XactReadOnly && !RecoveryInProgress())
		act_sql(SPI_OK_UPDATE, ADOPT, lengthof(args), args);
	leave(&identity);
	return rows;
}

List *
act_stored_secrets(const Credential *credential, bool values)
{
	List	   *rows = read_rows(credential, values);
	List	   *secrets = NIL;
	KeyRing		ring;
	ListCell   *cell;

	if (rows != NIL && values)
		act_key_file_read(&ring, psprintf("the secrets that are stored for destination \"%s\"", credential->destination));
	foreach(cell, rows)
	{
		SecretRow  *row = lfirst(cell);

		if (values)
		{
			check_row(credential, row);
			row->secret.value = unseal(&ring, row, credential->destination);
		}
		secrets = lappend(secrets, &row->secret);
	}
	if (rows != NIL && values)
		act_key_file_wipe(&ring);
	return secrets;
}

void
act_stored_secret_replaces(const char *name, const char *value, uint8 *replaces)
{
	char	   *text = psprintf("pg_activate replaces %s %s", name, value);
	unsigned char hash[EVP_MAX_MD_SIZE];

	if (EVP_Digest(text, strlen(text), hash, NULL, EVP_sha256(), NULL) != 1)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR), errmsg("SHA-256 is not available")));
	explicit_bzero(text, strlen(text));
	pfree(text);
	memcpy(replaces, hash, STORED_REPLACES_LEN);
}

/* ----------------------------------------------------------------
 *		Writing
 * ----------------------------------------------------------------
 */

void
act_stored_secret_require_key(const char *destination)
{
	KeyRing		ring;

	act_key_file_read(&ring, psprintf("the refresh tokens that destination \"%s\" gives in place of those it was given", destination));
	act_key_file_wipe(&ring);
}

/* In place of those of its name that replace the same. */
static void
store(const KeyRing *ring, Oid server, const char *destination, SecretRow *row, const char *value, bool all_of_name)
{
	pg_uuid_t	id;
	SqlArgument args[] = {
		SQL_SERVER(server, destination), SQL_TEXT(row->secret.name),
		{BYTEAOID, PointerGetDatum(row->replaces), all_of_name},
		{UUIDOID, UUIDPGetDatum(&id), false}, SQL_TEXT(row->host),
		{BYTEAOID, (Datum) 0, false}, {BYTEAOID, (Datum) 0, false}
	};

	act_sql(SPI_OK_DELETE, DELETE_SECRETS, 6, args);
	if (!pg_strong_random(&id, sizeof(id)))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not make random numbers")));
	row->secret.id = DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(&id)));
	args[5].isnull = false;
	args[8].value = PointerGetDatum(key_id(ring));
	args[9].value = PointerGetDatum(seal(ring, row, value));
	act_sql(SPI_OK_INSERT, INSERT_SECRET, lengthof(args), args);
}

/* False: it is not there any more; somebody has set another one. */
static bool
replace_stored(const KeyRing *ring, const char *id, const char *value)
{
	SqlArgument which[] = {{UUIDOID, DirectFunctionCall1(uuid_in, CStringGetDatum(id)), false}};
	SecretRow  *row;

	if (act_sql(SPI_OK_SELECT, SELECT_ALL, 1, which) != 1)
		return false;
	row = read_row(0, CurrentMemoryContext);
	{
		SqlArgument args[] = {
			which[0], {BYTEAOID, PointerGetDatum(key_id(ring)), false},
			{BYTEAOID, PointerGetDatum(seal(ring, row, value)), false}
		};

		return act_sql(SPI_OK_UPDATE, UPDATE_SECRET, lengthof(args), args) == 1;
	}
}

void
act_stored_secret_keep(const Destination *destination, const char *name, const char *value)
{
	const char *identity_text = act_destination_secret_identity(unconstify(Destination *, destination), name);
	SecretRow	row = {.host = destination->origin};
	uint8		replaces[STORED_REPLACES_LEN];
	Identity	identity;
	KeyRing		ring;

	act_key_file_read(&ring, "a new refresh token");
	enter(&identity);
	if (identity_text != NULL && *identity_text == DESTINATION_STORED)
		(void) replace_stored(&ring, identity_text + 1, value);
	else
	{
		act_stored_secret_replaces(name, identity_text + 1, replaces);
		row.secret.name = pstrdup(name);
		row.replaces = (bytea *) cstring_to_text_with_len((const char *) replaces, sizeof(replaces));
		store(&ring, destination->server_oid, destination->name, &row, value, false);
	}
	leave(&identity);
	act_key_file_wipe(&ring);
}

/* ----------------------------------------------------------------
 *		Servers that change
 * ----------------------------------------------------------------
 */

/* Within SPI, as the extension. */
char *
act_stored_secret_other_host(Oid server, const char *origin)
{
	SqlArgument args[] = {SQL_SERVER(server, origin)};

	return act_sql(SPI_OK_SELECT, SELECT_OTHER_HOST, lengthof(args), args) == 0 ? NULL : act_sql_text(0, 1);
}

void
act_stored_secrets_rename(const char *from, const char *to)
{
	SqlArgument args[] = {SQL_TEXT(from), SQL_TEXT(to)};

	act_sql(SPI_OK_UPDATE, RENAME, lengthof(args), args);
}

void
act_stored_secrets_close(const char *destination)
{
	SqlArgument args[] = {SQL_TEXT(destination)};

	act_sql(SPI_OK_UPDATE, CLOSE, lengthof(args), args);
}

void
act_stored_secrets_clean_up(void)
{
	SqlArgument args[] = {SQL_OID(MyDatabaseId), SQL_INT8(act_system_identifier())};

	act_sql(SPI_OK_DELETE, CLEAN_UP, lengthof(args), args);
}

/* ----------------------------------------------------------------
 *		set_secret(), rotate_key()
 * ----------------------------------------------------------------
 */

static char *
needed_argument(FunctionCallInfo fcinfo, int n, const char *name, const char *hint)
{
	if (PG_ARGISNULL(n))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s must not be null", name),
				 errhint("%s", hint)));
	return text_to_cstring(PG_GETARG_TEXT_PP(n));
}

/* The owner decides; whoever may only use the server has a mapping of his own. */
static ForeignServer *
owned_server(const char *destination)
{
	ForeignServer *server = act_destination_server(destination, GetUserId());

	if (!has_privs_of_role(GetUserId(), server->owner))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be owner of server \"%s\" to store its secrets", destination),
				 errhint("%s", act_membership_hint(server->owner))));
	return server;
}

static void
check_name(const ForeignServer *server, const char *name)
{
	const char *connector = act_option_get(server->options, "connector");
	const char *const *known = connector == NULL ? NULL :
		act_connector_secrets(act_registry_connector(connector));
	StringInfoData list;

	initStringInfo(&list);
	for (; known != NULL && *known != NULL; known++)
	{
		if (strcmp(*known, name) == 0)
			return;
		appendStringInfo(&list, "%s%s", list.len > 0 ? ", " : "", *known);
	}
	ereport(ERROR,
			(errcode(ERRCODE_FDW_INVALID_OPTION_NAME),
			 errmsg("connector \"%s\" of destination \"%s\" takes no \"%s\"", connector ? connector : "", server->servername, name),
			 list.len > 0 ? errhint("It takes: %s.", list.data) : errhint("It takes no secrets.")));
}

/* Two places for one secret are one too many. */
static void
check_mapping(const ForeignServer *server, const char *name)
{
	const char *set = act_destination_public_secret(server->serverid, name);

	if (set != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("destination \"%s\" has its \"%s\" in a user mapping", server->servername, name),
				 errhint("ALTER USER MAPPING FOR PUBLIC SERVER %s OPTIONS (DROP %s); then store it.",
						 quote_identifier(server->servername), set)));
}

static char *
checked_value(FunctionCallInfo fcinfo)
{
	char	   *value = text_to_cstring(PG_GETARG_TEXT_PP(2));

	value = pg_server_to_any(value, strlen(value), PG_UTF8);
	if (*value == '\0' || strlen(value) > MAX_SECRET_BYTES)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg(*value == '\0' ? "a secret must not be empty" : "the secret is too long"),
				 errdetail("It has up to %d bytes.", MAX_SECRET_BYTES),
				 errhint("NULL removes it.")));
	return value;
}

static void
set_secret(const ForeignServer *server, const char *name, const char *value)
{
	SecretRow	row = {.secret = {.name = pstrdup(name)},.replaces = (bytea *) cstring_to_text("")};
	Identity	identity;
	KeyRing		ring;

	row.host = act_destination_origin(server->options);
	if (row.host == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_OPTION_NAME_NOT_FOUND),
				 errmsg("destination \"%s\" has no address that a secret could be stored for", server->servername),
				 errhint("ALTER SERVER %s OPTIONS (ADD base_url 'https://...');", quote_identifier(server->servername))));
	act_key_file_read(&ring, "secrets that are stored in the database");
	enter(&identity);
	act_credential_open(server, InvalidOid, identity.user);
	store(&ring, server->serverid, server->servername, &row, value, true);
	leave(&identity);
	act_key_file_wipe(&ring);
}

static void
remove_secret(const ForeignServer *server, const char *name)
{
	SqlArgument args[] = {
		SQL_SERVER(server->serverid, server->servername), SQL_TEXT(name), {BYTEAOID, (Datum) 0, true}
	};
	Identity	identity;
	uint64		n;

	enter(&identity);
	n = act_sql(SPI_OK_DELETE, DELETE_SECRETS, lengthof(args), args);
	leave(&identity);
	if (n == 0)
		ereport(NOTICE, (errmsg("destination \"%s\" has no stored secret \"%s\"", server->servername, name)));
}

Datum
act_set_secret(PG_FUNCTION_ARGS)
{
	char	   *destination = needed_argument(fcinfo, 0, "destination", "SELECT destination FROM activate.destinations;");
	char	   *name = needed_argument(fcinfo, 1, "name", "The name of a secret, such as 'refresh_token'.");
	ForeignServer *server;

	PreventCommandIfReadOnly("set_secret()");
	server = owned_server(destination);
	if (PG_ARGISNULL(2))
	{
		remove_secret(server, name);
		PG_RETURN_VOID();
	}
	check_name(server, name);
	check_mapping(server, name);
	set_secret(server, name, checked_value(fcinfo));
	PG_RETURN_VOID();
}

/* All of it in one transaction: until it commits, the old key opens everything. */
Datum
act_rotate_key(PG_FUNCTION_ARGS)
{
	Identity	identity;
	KeyRing		ring;
	SqlArgument all = {UUIDOID, (Datum) 0, true};
	List	   *rows = NIL;
	List	   *destinations = NIL;
	ListCell   *cell;
	ListCell   *named;
	bytea	   *id;
	uint64		n;
	int64		sealed = 0;

	if (!superuser())
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be superuser to seal secrets with another key"),
				 errhint("The key is the server's: ask who keeps pg_activate.key_file.")));
	PreventCommandIfReadOnly("rotate_key()");
	act_key_file_read(&ring, "secrets that are stored in the database");
	id = key_id(&ring);
	enter(&identity);
	n = act_sql(SPI_OK_SELECT, SELECT_ALL, 1, &all);
	for (uint64 i = 0; i < n; i++)
	{
		rows = lappend(rows, read_row(i, CurrentMemoryContext));
		destinations = lappend(destinations, act_sql_text(i, 7));
	}
	forboth(cell, rows, named, destinations)
	{
		SecretRow  *row = lfirst(cell);
		char	   *value;

		CHECK_FOR_INTERRUPTS();
		if (VARSIZE_ANY_EXHDR(row->key_id) == VARSIZE_ANY_EXHDR(id) &&
			memcmp(VARDATA_ANY(row->key_id), VARDATA_ANY(id), VARSIZE_ANY_EXHDR(id)) == 0)
			continue;
		value = unseal(&ring, row, lfirst(named));
		sealed += replace_stored(&ring, row->secret.id, value);
		explicit_bzero(value, strlen(value));
	}
	leave(&identity);
	act_key_file_wipe(&ring);
	PG_RETURN_INT64(sealed);
}

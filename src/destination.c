/*-------------------------------------------------------------------------
 *
 * destination.c
 *	  A destination: a foreign server, its options and credentials.
 *
 * act_destination_load() is called inside a transaction, in any identity:
 * catalogs are read through their caches, whatever search_path is, and all
 * rights are those of the role it is given.  What it returns lives in the
 * caller's memory context and may be used outside any transaction.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/reloptions.h"
#include "catalog/pg_foreign_server.h"
#include "catalog/pg_user_mapping.h"
#include "commands/defrem.h"
#include "foreign/foreign.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

#include "compat.h"
#include "credential.h"
#include "destination.h"
#include "registry.h"
#include "option.h"
#include "schedule.h"
#include "secret.h"
#include "settings.h"
#include "stored_secret.h"
#include "url.h"

#define DEFAULT_TIMEOUT_MS (30 * 1000)
#define DEFAULT_CONNECT_TIMEOUT_MS (10 * 1000)
#define MASK "********"

static char *
to_utf8(const char *text)
{
	return pg_server_to_any(text, strlen(text), PG_UTF8);
}

static HttpHeader *
make_pair(const char *name, char *value)
{
	HttpHeader *pair = palloc(sizeof(HttpHeader));

	pair->name = pstrdup(name);
	pair->value = value;
	return pair;
}

static const char *
find_value(List *pairs, const char *name)
{
	ListCell   *cell;

	foreach(cell, pairs)
	{
		HttpHeader *pair = lfirst(cell);

		if (strcmp(pair->name, name) == 0)
			return pair->value;
	}
	return NULL;
}

const char *
act_destination_option(void *arg, const char *name)
{
	return find_value(((Destination *) arg)->options, name);
}

const char *
act_destination_secret(void *arg, const char *name)
{
	return find_value(((Destination *) arg)->secrets, name);
}

/* Of secrets without one, their value tells them. */
const char *
act_destination_secret_identity(void *arg, const char *name)
{
	const char *identity = find_value(((Destination *) arg)->secret_identities, name);

	return identity != NULL ? identity : act_destination_secret(arg, name);
}

void
act_destination_replace_secret(Destination *destination, const char *name, const char *value)
{
	MemoryContext caller = MemoryContextSwitchTo(GetMemoryChunkContext(destination));
	List	   *secrets = NIL;
	ListCell   *cell;

	foreach(cell, destination->secrets)
	{
		const HttpHeader *secret = lfirst(cell);

		secrets = lappend(secrets, make_pair(secret->name, pstrdup(strcmp(secret->name, name) == 0 ? value : secret->value)));
	}
	if (strcmp(act_destination_secret(destination, name), value) != 0)
		destination->old_secrets = lappend(destination->old_secrets, destination->secrets);
	destination->secrets = secrets;
	MemoryContextSwitchTo(caller);
}

ForeignServer *
act_destination_server(const char *name, Oid role)
{
	ForeignServer *server = GetForeignServerByName(name, true);
	char	   *wrapper;

	if (server == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("destination \"%s\" does not exist", name),
				 errhint("SELECT destination FROM activate.destinations; or CREATE SERVER %s FOREIGN DATA WRAPPER activate OPTIONS (connector '...');",
						 quote_identifier(name))));
	wrapper = GetForeignDataWrapper(server->fdwid)->fdwname;
	if (strcmp(wrapper, "activate") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("server \"%s\" is not a destination", name),
				 errdetail("It belongs to foreign-data wrapper \"%s\".", wrapper),
				 errhint("A destination is made by CREATE SERVER ... FOREIGN DATA WRAPPER activate OPTIONS (connector '...');")));
	if (act_compat_server_aclcheck(server->serverid, role, ACL_USAGE) != ACLCHECK_OK)
	{
		char	   *user = GetUserNameFromId(role, false);

		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("role \"%s\" may not use destination \"%s\"", user, name),
				 errhint("GRANT USAGE ON FOREIGN SERVER %s TO %s;",
						 quote_identifier(name), quote_identifier(user))));
	}
	return server;
}

/*
 * Server options, the connector's defaults for those that are not set, and
 * base_url: the option, else the connector's own; NULL where neither says.
 */
static void
collect_options(Destination *destination)
{
	const ConnectorOption *own = NULL;
	ConnectorScope scope = {.option = act_destination_option, .arg = destination};
	ListCell   *cell;

	foreach(cell, destination->server_options)
	{
		DefElem    *option = lfirst(cell);

		destination->options = lappend(destination->options,
									   make_pair(option->defname, to_utf8(defGetString(option))));
	}
	if (destination->connector != NULL)
		own = act_connector_options(destination->connector);
	for (; own != NULL && own->name != NULL; own++)
	{
		if (own->default_value != NULL && find_value(destination->options, own->name) == NULL)
			destination->options = lappend(destination->options,
										   make_pair(own->name, pstrdup(own->default_value)));
	}

	destination->base_url = destination->connector != NULL ?
		act_connector_base_url(destination->connector, &scope) :
		(char *) find_value(destination->options, "base_url");
}

static void
require_base_url(const Destination *destination)
{
	/* A token's answer is yet to say. */
	if (destination->base_url == NULL && destination->connector != NULL &&
		act_connector_token_leads(destination->connector))
		return;
	if (destination->base_url == NULL || act_url_problem(destination->base_url) != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_OPTION_NAME_NOT_FOUND),
				 errmsg("destination \"%s\" has no base_url to send to", destination->name),
				 destination->base_url ?
				 errdetail("\"%s\": %s.", destination->base_url, act_url_problem(destination->base_url)) : 0,
				 errhint("ALTER SERVER %s OPTIONS (ADD base_url 'https://...');",
						 quote_identifier(destination->name))));
}

/* Where its secrets go: to base_url, and where tokens come from; NULL where that is not known. */
static char *
origins(Destination *destination)
{
	ConnectorScope scope = {.option = act_destination_option, .arg = destination};
	char	   *base = destination->base_url == NULL ? NULL : act_url_origin(destination->base_url);
	List	   *others = destination->connector == NULL ? NIL :
		act_connector_token_origins(destination->connector, &scope);
	StringInfoData text;
	ListCell   *cell;

	initStringInfo(&text);
	if (base != NULL)
		appendStringInfoString(&text, base);
	foreach(cell, others)
	{
		const char *other = lfirst(cell);

		if (base == NULL || strcmp(base, other) != 0)
			appendStringInfo(&text, "%s%s", text.len > 0 ? ", " : "", other);
	}
	return text.len > 0 ? text.data : NULL;
}

char *
act_destination_origin(List *server_options)
{
	Destination destination = {.server_options = server_options};
	const char *connector = act_option_get(server_options, "connector");
	char	   *spec = NULL;

	/* The document is asked only where the options do not say it all. */
	if (connector != NULL)
		spec = act_registry_spec(connector);
	if (spec != NULL && (act_option_get(server_options, "base_url") == NULL || strstr(spec, "token_url") != NULL))
		destination.connector = act_connector_compile(connector, spec);
	collect_options(&destination);
	return origins(&destination);
}

/* The mapping of the role, else PUBLIC's; its options in *options. */
static bool
find_mapping(Oid role, Oid server, Credential *credential, List **options)
{
	HeapTuple	tuple;
	Datum		value;
	bool		isnull;

	*options = NIL;
	credential->role = role;
	tuple = SearchSysCache2(USERMAPPINGUSERSERVER, ObjectIdGetDatum(role), ObjectIdGetDatum(server));
	if (!HeapTupleIsValid(tuple))
	{
		credential->role = InvalidOid;
		tuple = SearchSysCache2(USERMAPPINGUSERSERVER, ObjectIdGetDatum(InvalidOid), ObjectIdGetDatum(server));
	}
	if (!HeapTupleIsValid(tuple))
		return false;

	credential->mapping = ((Form_pg_user_mapping) GETSTRUCT(tuple))->oid;
	value = SysCacheGetAttr(USERMAPPINGUSERSERVER, tuple, Anum_pg_user_mapping_umoptions, &isnull);
	if (!isnull)
		*options = untransformRelOptions(value);
	ReleaseSysCache(tuple);
	return true;
}

const char *
act_destination_public_secret(Oid server, const char *name)
{
	Credential	credential = {0};
	char	   *in_file = psprintf("%s_file", name);
	List	   *options;

	if (!find_mapping(InvalidOid, server, &credential, &options))
		return NULL;
	return act_option_get(options, name) != NULL ? name : act_option_get(options, in_file) != NULL ? in_file : NULL;
}

static char *
secret_list(const Connector *connector)
{
	const char *const *known = act_connector_secrets(connector);
	StringInfoData buf;

	initStringInfo(&buf);
	for (int i = 0; known != NULL && known[i] != NULL; i++)
		appendStringInfo(&buf, "%s%s", i > 0 ? ", " : "", known[i]);
	return buf.len > 0 ? buf.data : NULL;
}

/* The mapping's option, checked by now, as the secret it stands for. */
static void
add_secret(Destination *destination, DefElem *option, bool need_secrets)
{
	const char *const *known = act_connector_secrets(destination->connector);
	char	   *name = pstrdup(option->defname);
	bool		is_file = strlen(name) > 5 && strcmp(name + strlen(name) - 5, "_file") == 0;
	char	   *value = defGetString(option);
	bool		found = false;

	if (is_file)
		name[strlen(name) - 5] = '\0';
	for (int i = 0; known != NULL && known[i] != NULL; i++)
		found = found || strcmp(known[i], name) == 0;
	if (!found)
	{
		char	   *list = secret_list(destination->connector);

		ereport(ERROR,
				(errcode(ERRCODE_FDW_INVALID_OPTION_NAME),
				 errmsg("connector \"%s\" of destination \"%s\" takes no \"%s\"",
						destination->connector_name, destination->name, name),
				 list ? errhint("It takes: %s.", list) :
				 errhint("It takes no secrets.")));
	}

	if (!need_secrets)
		value = pstrdup(MASK);
	else if (is_file)
		value = act_secret_read(value);
	else
		value = to_utf8(value);
	destination->secrets = lappend(destination->secrets, make_pair(name, value));
	destination->secret_identities =
		lappend(destination->secret_identities, make_pair(name, psprintf("%c%s", DESTINATION_MAPPED, value)));
}

/* What set_secret() stored stands for the server: who has a mapping of his own has that alone. */
static void
add_stored(Destination *destination, const StoredSecret *stored)
{
	if (act_destination_secret(destination, stored->name) != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("destination \"%s\" has its \"%s\" twice: stored, and in a user mapping", destination->name, stored->name),
				 errhint("SELECT activate.set_secret(%s, %s, NULL); or drop the option of the user mapping.",
						 quote_literal_cstr(destination->name), quote_literal_cstr(stored->name))));
	destination->secrets = lappend(destination->secrets,
								   make_pair(stored->name, stored->value != NULL ? stored->value : pstrdup(MASK)));
	destination->secret_identities =
		lappend(destination->secret_identities, make_pair(stored->name, psprintf("%c%s", DESTINATION_STORED, stored->id)));
}

/* A value that came in place of the one in the mapping, as long as that is there. */
static void
follow_rotation(Destination *destination, const StoredSecret *stored)
{
	const char *value = act_destination_secret(destination, stored->name);
	uint8		replaces[STORED_REPLACES_LEN];
	ListCell   *cell;

	if (value == NULL || stored->value == NULL)
		return;
	act_stored_secret_replaces(stored->name, value, replaces);
	if (memcmp(replaces, stored->replaces, STORED_REPLACES_LEN) != 0)
		return;
	foreach(cell, destination->secrets)
	{
		HttpHeader *secret = lfirst(cell);

		if (strcmp(secret->name, stored->name) == 0)
			secret->value = stored->value;
	}
}

static void
add_stored_secrets(Destination *destination, const Credential *credential, bool need_secrets)
{
	List	   *all = act_stored_secrets(credential, need_secrets);
	ListCell   *cell;

	/* Those of mappings first: they are known by their values. */
	foreach(cell, all)
	{
		const StoredSecret *stored = lfirst(cell);

		if (stored->by_mapping)
			follow_rotation(destination, stored);
	}
	foreach(cell, all)
	{
		const StoredSecret *stored = lfirst(cell);

		if (!stored->by_mapping && !OidIsValid(credential->role))
			add_stored(destination, stored);
	}
}

/* credential is NULL where the role has none at all. */
static void
report_secret_problem(const Destination *destination, Oid role,
					  const Credential *credential, const char *problem)
{
	const char *const *known = act_connector_secrets(destination->connector);
	const char *server = quote_identifier(destination->name);

	if (credential == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("destination \"%s\" has no credentials for role \"%s\"",
						destination->name, GetUserNameFromId(role, false)),
				 errdetail_internal("%s", problem),
				 errhint("CREATE USER MAPPING FOR PUBLIC SERVER %s OPTIONS (%s '...');", server,
						 known != NULL && known[0] != NULL ? known[0] : "...")));
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION),
			 errmsg("credentials of destination \"%s\" cannot be used", destination->name),
			 errdetail_internal("%s", problem),
			 errhint("ALTER USER MAPPING FOR %s SERVER %s OPTIONS (...); connector \"%s\" takes: %s.",
					 OidIsValid(credential->role) ? quote_identifier(MappingUserName(credential->role)) : "PUBLIC",
					 server, destination->connector_name, secret_list(destination->connector))));
}

static void
collect_secrets(Destination *destination, Oid role, bool need_secrets)
{
	OptionCheck check = {
		.connector = destination->connector,
		.role = destination->server_owner,
		.destination = destination->name
	};
	Credential	credential = {
		.server = destination->server_oid,
		.destination = destination->name,
		.origin = destination->origin
	};
	ConnectorScope scope = {
		.option = act_destination_option,
		.secret = act_destination_secret,
		.arg = destination
	};
	List	   *options;
	bool		mapped = find_mapping(role, destination->server_oid, &credential, &options);
	char	   *problem;
	ListCell   *cell;

	act_option_check_mapping(options, &check);
	if (need_secrets)
		act_credential_require_open(&credential, options != NIL ? ((DefElem *) linitial(options))->defname : NULL);
	if (options != NIL)
		act_credential_check(&credential, need_secrets);
	foreach(cell, options)
		add_secret(destination, lfirst(cell), need_secrets);
	add_stored_secrets(destination, &credential, need_secrets);

	problem = act_connector_secret_problem(destination->connector, &scope);
	if (problem != NULL)
		report_secret_problem(destination, role, (mapped && options != NIL) || destination->secrets != NIL ? &credential : NULL, problem);
}

static char *
file_option(const Destination *destination, const char *name, bool private, bool read)
{
	const char *file = act_option_get(destination->server_options, name);

	return file != NULL && read ? act_secret_path(file, private) : NULL;
}

static void
fill_policy(Destination *destination, bool files)
{
	List	   *options = destination->server_options;
	HttpPolicy *policy = &destination->policy;
	const char *proxy = act_option_get(options, "proxy");

	policy->timeout_ms = act_option_duration(options, "timeout", DEFAULT_TIMEOUT_MS);
	policy->connect_timeout_ms = act_option_duration(options, "connect_timeout",
													 DEFAULT_CONNECT_TIMEOUT_MS);
	policy->max_response_bytes = act_max_response_bytes;
	policy->max_connections = destination->concurrency;
	policy->ca_file = file_option(destination, "ca_file", false, files);
	policy->client_cert_file = file_option(destination, "client_cert_file", false, files);
	policy->client_key_file = file_option(destination, "client_key_file", true, files);
	policy->proxy = proxy != NULL ? pstrdup(proxy) : NULL;
	policy->allowed_hosts = act_allowed_hosts != NULL ? pstrdup(act_allowed_hosts) : "";
}

/* What the user says holds, be it more or less than the connector's own. */
static void
fill_rate(Destination *destination)
{
	const ConnectorRate *own = act_connector_rate(destination->connector);
	const char *text = act_option_get(destination->server_options, "rate_limit");
	RateLimit  *rate = &destination->rate;

	if (text != NULL)
		(void) act_rate_limit_parse(text, rate);
	else
	{
		rate->day_requests = own->day_requests;
		if (own->requests > 0 && own->per_ms > 0)
			rate->windows[rate->nwindows++] = (RateWindow) {own->requests, own->per_ms * INT64CONST(1000)};
	}
}

/* Option time_zone, else what the document says, else UTC. */
static void
fill_zone(Destination *destination)
{
	const char *name = act_option_get(destination->server_options, "time_zone");

	if (name == NULL)
		name = act_connector_time_zone(destination->connector);
	if (name == NULL)
		name = "UTC";
	destination->zone = act_schedule_zone(name);
	if (destination->zone == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("connector \"%s\" names time zone \"%s\", which is not known here",
						destination->connector_name, name),
				 errhint("ALTER SERVER %s OPTIONS (ADD time_zone 'Europe/Paris'); names are those of pg_timezone_names.",
						 quote_identifier(destination->name))));
}

static char *
redact(void *destination, const char *text)
{
	return act_destination_redact(destination, text);
}

/* Production data must not go out of a staging server, nor the reverse. */
static void
require_environment(const Destination *destination)
{
	const char *wanted = act_option_get(destination->server_options, "environment");

	if (wanted == NULL || act_environment == NULL || act_environment[0] == '\0' ||
		strcmp(wanted, act_environment) == 0)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("destination \"%s\" belongs to another environment", destination->name),
			 errdetail("It belongs to \"%s\", and this server to \"%s\".", wanted, act_environment),
			 errhint("Make a destination of its own for this environment, or ALTER SERVER %s OPTIONS (SET environment %s);",
					 quote_identifier(destination->name), quote_literal_cstr(act_environment))));
}

/* object: of a sync, which may have none. */
static Destination *
load(const char *name, Oid role, bool of_sync, const char *object, bool need_secrets)
{
	ForeignServer *server = act_destination_server(name, role);
	const char *connector = act_option_get(server->options, "connector");
	Destination *destination = palloc0(sizeof(Destination));
	OptionCheck check = {.role = server->owner, .destination = name};

	destination->server_oid = server->serverid;
	destination->server_owner = server->owner;
	destination->name = pstrdup(name);
	destination->server_options = server->options;
	if (connector != NULL)		/* else the check says so */
	{
		destination->connector_name = pstrdup(connector);
		destination->connector = of_sync ? act_registry_connector_object(connector, object) :
			act_registry_connector(connector);
	}
	check.connector = destination->connector;
	act_option_check_server(server->options, &check);
	if (need_secrets)
		require_environment(destination);

	collect_options(destination);
	require_base_url(destination);
	destination->origin = origins(destination);
	if (destination->origin == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_OPTION_NAME_NOT_FOUND),
				 errmsg("destination \"%s\" has no address that its credentials go to", destination->name),
				 errdetail("Its connector asks for a token first, and where is not known."),
				 errhint("SELECT * FROM activate.connectors WHERE connector = %s;", quote_literal_cstr(destination->connector_name))));
	destination->extra_headers = act_option_headers(server->options);
	destination->batch_size = act_option_integer(server->options, "batch_size", 0);
	destination->concurrency = Min(act_max_in_flight,
								   act_option_integer(server->options, "concurrency",
													  act_connector_concurrency(destination->connector)));
	fill_rate(destination);
	fill_policy(destination, need_secrets);
	fill_zone(destination);
	collect_secrets(destination, role, need_secrets);
	act_connector_set_redactor(destination->connector, redact, destination);
	return destination;
}

Destination *
act_destination_load(const char *name, Oid role, bool need_secrets)
{
	return load(name, role, false, NULL, need_secrets);
}

Destination *
act_destination_load_object(const char *name, Oid role, const char *object, bool need_secrets)
{
	return load(name, role, true, object, need_secrets);
}

static void
require_listed(const Destination *destination, const char *option, const char *what, const char *value)
{
	if (act_option_lists(destination->server_options, option, value))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 value ? errmsg("destination \"%s\" does not allow %s \"%s\"", destination->name, what, value) :
			 errmsg("destination \"%s\" does not allow syncs without %s", destination->name, what),
			 errdetail("Its option %s says: %s.", option,
					   act_option_get(destination->server_options, option)),
			 errhint("The server's owner decides: ALTER SERVER %s OPTIONS (SET %s '...');",
					 quote_identifier(destination->name), option)));
}

void
act_destination_require_allowed(const Destination *destination, const char *object,
								const char *mode, const char *on_removed)
{
	require_listed(destination, "allow_objects", "object", object);
	require_listed(destination, "allow_modes", "mode", mode);
	if (strcmp(on_removed, "ignore") != 0)	/* does nothing to anything */
		require_listed(destination, "allow_removed", "on_removed", on_removed);
}

static void
wipe(List *secrets)
{
	ListCell   *cell;

	foreach(cell, secrets)
	{
		HttpHeader *secret = lfirst(cell);

		explicit_bzero(secret->value, strlen(secret->value));
	}
}

void
act_destination_wipe(Destination *destination)
{
	ListCell   *cell;

	wipe(destination->secrets);
	wipe(destination->token);
	wipe(destination->secret_identities);
	foreach(cell, destination->token_secrets)
		wipe(lfirst(cell));
	foreach(cell, destination->old_secrets)
		wipe(lfirst(cell));
}

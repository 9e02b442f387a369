/*-------------------------------------------------------------------------
 *
 * option.c
 *	  Options of destinations (servers) and credentials (user mappings).
 *
 * The validator of foreign-data wrapper "activate", and the same checks for
 * act_destination_load().  Works inside a transaction, in the identity of
 * whoever runs the DDL, and reads nothing but connectors' documents.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/reloptions.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_foreign_server.h"
#include "catalog/pg_user_mapping.h"
#include "commands/defrem.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/jsonb.h"
#include "utils/varlena.h"

#include "connector_discover.h"
#include "duration.h"
#include "registry.h"
#include "nearest.h"
#include "option.h"
#include "rate_limit.h"
#include "schedule.h"
#include "url.h"

/* Where an option belongs, and what is special about it. */
#define OF_MAPPING		0x01	/* of user mappings; else of servers */
#define PRIVILEGED		0x02	/* for those who may read files of the server */
#define LATER			0x04	/* known, and refused by this version */
#define WORDS			0x08	/* a list of names, separated by commas */
#define MULTILINE		0x10	/* may hold line ends */
#define ZONE			0x20	/* the name of a time zone */

typedef struct OptionRule
{
	const char *name;
	OptionKind	kind;
	int			flags;
	int			min;			/* of integers; of durations in milliseconds */
	int			max;
	const char *const *words;	/* what a list may name; NULL: anything */
} OptionRule;

static const char *const mode_words[] = {
	"upsert", "insert", "update", "mirror", "append", "replace", NULL
};

static const char *const removed_words[] = {
	"ignore", "delete", "archive", "clear", "update", "remove", NULL
};

#define SECRET(name, flags) \
	{name, OPTION_TEXT, OF_MAPPING | (flags)}, \
	{name "_file", OPTION_FILE, OF_MAPPING | PRIVILEGED}

static const OptionRule rules[] = {
	{"connector", OPTION_TEXT},
	{"base_url", OPTION_URL},
	{"rate_limit", OPTION_RATE},
	{"concurrency", OPTION_INTEGER, 0, 1, 256},
	{"batch_size", OPTION_INTEGER, 0, 1, 100000},
	{"timeout", OPTION_DURATION, 0, 10, ACT_HOUR_MS},
	{"connect_timeout", OPTION_DURATION, 0, 10, ACT_HOUR_MS},
	{"ca_file", OPTION_FILE, PRIVILEGED},
	{"client_cert_file", OPTION_FILE, PRIVILEGED},
	{"client_key_file", OPTION_FILE, PRIVILEGED},
	{"proxy", OPTION_URL, PRIVILEGED},
	{"headers", OPTION_JSON},
	{"account", OPTION_TEXT},
	{"environment", OPTION_TEXT},
	{"time_zone", OPTION_TEXT, ZONE},
	{"allow_objects", OPTION_TEXT, WORDS},
	{"allow_modes", OPTION_TEXT, WORDS, 0, 0, mode_words},
	{"allow_removed", OPTION_TEXT, WORDS, 0, 0, removed_words},
	{"max_rows_per_run", OPTION_INTEGER, LATER},
	{"require_approval", OPTION_BOOLEAN, LATER},
	SECRET("access_token", 0),
	SECRET("api_key", 0),
	SECRET("username", 0),
	SECRET("password", 0),
	SECRET("client_id", 0),
	SECRET("client_secret", 0),
	SECRET("refresh_token", 0),
	SECRET("private_key", MULTILINE),
	SECRET("signing_secret", 0),
	SECRET("bearer_token", 0),
	SECRET("access_key_id", 0),
	SECRET("secret_access_key", 0),
	SECRET("session_token", 0),
};

/* Headers that the engine sets itself, and those that carry credentials. */
static const char *const engine_headers[] = {
	"host", "content-length", "content-type", "content-encoding", "transfer-encoding",
	"connection", "expect", "te", "trailer", "upgrade", "keep-alive", NULL
};

static const char *const secret_headers[] = {
	"authorization", "proxy-authorization", "cookie", "x-api-key", "api-key", "x-auth-token", NULL
};

PG_FUNCTION_INFO_V1(act_option_validator);

static const OptionRule *
find_rule(const char *name)
{
	for (int i = 0; i < lengthof(rules); i++)
	{
		if (strcmp(rules[i].name, name) == 0)
			return &rules[i];
	}
	return NULL;
}

const char *const *
act_option_secrets(void)
{
	static const char *names[lengthof(rules) + 1];
	int			n = 0;

	for (int i = 0; i < lengthof(rules); i++)
	{
		if ((rules[i].flags & OF_MAPPING) != 0 && rules[i].kind != OPTION_FILE)
			names[n++] = rules[i].name;
	}
	names[n] = NULL;
	return names;
}

const char *
act_option_get(List *options, const char *name)
{
	ListCell   *cell;

	foreach(cell, options)
	{
		DefElem    *option = lfirst(cell);

		if (strcmp(option->defname, name) == 0)
			return defGetString(option);
	}
	return NULL;
}

static void
report_value(const char *name, const char *problem, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_FDW_INVALID_ATTRIBUTE_VALUE),
			 errmsg("invalid value for option \"%s\": %s", name, problem),
			 hint ? errhint("%s", hint) : 0));
}

/* Control characters would end a header, or hide in a log. */
static bool
has_control(const char *value, bool multiline)
{
	for (const unsigned char *c = (const unsigned char *) value; *c != '\0'; c++)
	{
		if ((*c < ' ' || *c == 0x7f) && !(multiline && strchr("\r\n\t", *c) != NULL))
			return true;
	}
	return false;
}

static bool
parse_integer(const char *value, int *number)
{
	char	   *end;
	long		parsed;

	if (value[0] < '0' || value[0] > '9')
		return false;
	errno = 0;
	parsed = strtol(value, &end, 10);
	if (errno != 0 || *end != '\0' || parsed > PG_INT32_MAX)
		return false;
	*number = (int) parsed;
	return true;
}

int
act_option_integer(List *options, const char *name, int fallback)
{
	const char *value = act_option_get(options, name);
	int			number;

	return value != NULL && parse_integer(value, &number) ? number : fallback;
}

int
act_option_duration(List *options, const char *name, int fallback_ms)
{
	const char *value = act_option_get(options, name);
	int			ms;

	return value != NULL && act_duration_parse(value, &ms) ? ms : fallback_ms;
}

static void
check_words(const char *name, const char *value, const char *const *words)
{
	List	   *names;
	ListCell   *cell;

	if (!SplitGUCList(pstrdup(value), ',', &names) || names == NIL)
		report_value(name, "not a list of names, separated by commas", NULL);
	foreach(cell, names)
	{
		const char *word = lfirst(cell);
		bool		found = words == NULL;

		for (int i = 0; !found && words[i] != NULL; i++)
			found = strcmp(words[i], word) == 0;
		if (!found)
		{
			const char *nearest = act_nearest_name(word, words);

			report_value(name, psprintf("unknown name \"%s\"", word),
						 nearest ? psprintf("Perhaps you meant \"%s\".", nearest) :
						 psprintf("Known are: %s, %s, %s, %s, %s, %s.", words[0], words[1],
								  words[2], words[3], words[4], words[5]));
		}
	}
}

bool
act_option_lists(List *options, const char *name, const char *value)
{
	const char *list = act_option_get(options, name);
	List	   *names;
	ListCell   *cell;

	if (list == NULL)
		return true;
	if (value == NULL || !SplitGUCList(pstrdup(list), ',', &names))
		return false;
	foreach(cell, names)
	{
		if (strcmp(lfirst(cell), value) == 0)
			return true;
	}
	return false;
}

static bool
name_in(const char *name, const char *const *names)
{
	for (int i = 0; names[i] != NULL; i++)
	{
		if (pg_strcasecmp(name, names[i]) == 0)
			return true;
	}
	return false;
}

static void
check_header(const char *name, const char *value)
{
	if (name[0] == '\0' ||
		strspn(name, "!#$%&'*+-.^_`|~0123456789"
			   "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") != strlen(name))
		report_value("headers", psprintf("\"%s\" cannot be the name of a header", name), NULL);
	if (name_in(name, engine_headers))
		report_value("headers", psprintf("\"%s\" is set by the engine", name), NULL);
	if (name_in(name, secret_headers))
		report_value("headers", psprintf("\"%s\" carries credentials, and everybody can read the options of a server", name),
					 "CREATE USER MAPPING FOR PUBLIC SERVER ... OPTIONS (...);");
	if (has_control(value, false))
		report_value("headers", psprintf("the value of \"%s\" contains control characters", name), NULL);
}

static void
headers_context(void *arg)
{
	errcontext("option \"headers\"");
}

/* JSON object of strings to HttpHeaders; ERROR for anything else. */
static List *
parse_headers(const char *value)
{
	ErrorContextCallback context = {.callback = headers_context, .previous = error_context_stack};
	Jsonb	   *json;
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue	element;
	HttpHeader *header = NULL;
	List	   *headers = NIL;

	error_context_stack = &context;
	json = DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(value)));
	error_context_stack = context.previous;

	if (!JB_ROOT_IS_OBJECT(json))
		report_value("headers", "not a JSON object", "{\"X-Team\": \"analytics\"}");
	iterator = JsonbIteratorInit(&json->root);
	while ((token = JsonbIteratorNext(&iterator, &element, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
		{
			header = palloc0(sizeof(HttpHeader));
			header->name = pnstrdup(element.val.string.val, element.val.string.len);
		}
		else if (token == WJB_VALUE)
		{
			if (element.type != jbvString)
				report_value("headers", psprintf("the value of \"%s\" is not a string", header->name), NULL);
			header->value = pnstrdup(element.val.string.val, element.val.string.len);
			check_header(header->name, header->value);
			header->value = pg_server_to_any(header->value, strlen(header->value), PG_UTF8);
			headers = lappend(headers, header);
		}
	}
	return headers;
}

List *
act_option_headers(List *options)
{
	const char *value = act_option_get(options, "headers");

	return value == NULL ? NIL : parse_headers(value);
}

/* The same word for word at DDL and at use: secret.c checks where it leads. */
static void
check_file_name(const char *name, const char *value)
{
	static const char *const hint = "Name the file relative to pg_activate.secrets_directory, as in 'crm/token'.";

	if (value[0] == '/')
		report_value(name, "the path is absolute", hint);
	if (strncmp(value, "../", 3) == 0 || strstr(value, "/../") != NULL || strcmp(value, "..") == 0 ||
		(strlen(value) >= 3 && strcmp(value + strlen(value) - 3, "/..") == 0))
		report_value(name, "the path contains \"..\"", hint);
}

/* One of the values that the connector names, where it names any. */
static void
check_own_value(const ConnectorOption *own, const char *value)
{
	StringInfoData known;

	if (own->values == NULL)
		return;
	initStringInfo(&known);
	for (int i = 0; own->values[i] != NULL; i++)
	{
		if (strcmp(own->values[i], value) == 0)
			return;
		appendStringInfo(&known, "%s\"%s\"", i == 0 ? "" : ", ", own->values[i]);
	}
	report_value(own->name, psprintf("unknown value \"%s\"", value), psprintf("Known are: %s.", known.data));
}

static void
check_range(const char *name, bool valid, int number, const OptionRule *rule,
			const char *problem, const char *hint)
{
	if (!valid)
		report_value(name, problem, hint);
	if (rule == NULL)
		return;
	if (number < rule->min || number > rule->max)
		report_value(name, "out of range",
					 rule->kind == OPTION_DURATION ?
					 psprintf("From '%d ms' to '%d seconds'.", rule->min, rule->max / 1000) :
					 psprintf("From %d to %d.", rule->min, rule->max));
}

/* rule is NULL for an option of a connector's own. */
static void
check_value(const char *name, OptionKind kind, const OptionRule *rule, const char *value)
{
	const char *problem;
	int			number = 0;
	bool		valid;

	if (value[0] == '\0')
		report_value(name, "it is empty", "Leave the option out, or DROP it.");
	if (kind != OPTION_JSON &&
		has_control(value, rule != NULL && (rule->flags & MULTILINE) != 0))
		report_value(name, "it contains control characters", NULL);

	switch (kind)
	{
		case OPTION_TEXT:
			if (rule != NULL && (rule->flags & WORDS) != 0)
				check_words(name, value, rule->words);
			if (rule != NULL && (rule->flags & ZONE) != 0 && act_schedule_zone(value) == NULL)
				report_value(name, psprintf("\"%s\" is no name of a time zone", value),
							 "A name is Europe/Paris: SELECT name FROM pg_timezone_names;");
			break;
		case OPTION_URL:
			problem = act_url_problem(value);
			if (problem != NULL)
				report_value(name, problem, "A URL as in 'https://api.example.com/v1'.");
			break;
		case OPTION_HOST:
			problem = act_url_host_problem(value);
			if (problem != NULL)
				report_value(name, problem, "A host as in 'api.example.com'.");
			break;
		case OPTION_LABEL:
			if (!act_url_is_label(value))
				report_value(name, psprintf("\"%s\" is not one part of a host's name", value),
							 "Only letters, digits and hyphens, as 'acme' of https://acme.example.com.");
			break;
		case OPTION_INTEGER:
			valid = parse_integer(value, &number);
			check_range(name, valid, number, rule,
						psprintf("\"%s\" is not a whole number", value), NULL);
			break;
		case OPTION_DURATION:
			valid = act_duration_parse(value, &number);
			check_range(name, valid, number, rule,
						psprintf("\"%s\" is not a duration", value), "'30 seconds', '500 ms' or '2 min'.");
			break;
		case OPTION_BOOLEAN:
			if (!parse_bool(value, &valid))
				report_value(name, psprintf("\"%s\" is not a boolean", value), "'on' or 'off'.");
			break;
		case OPTION_JSON:
			if (rule != NULL)
				(void) parse_headers(value);
			else
				(void) DirectFunctionCall1(jsonb_in, CStringGetDatum(value));
			break;
		case OPTION_FILE:
			check_file_name(name, value);
			break;
		case OPTION_RATE:
			problem = act_rate_limit_parse(value, NULL);
			if (problem != NULL)
				report_value(name, problem, RATE_LIMIT_EXAMPLES);
			break;
	}
}

/*
 * A file of the server or a proxy: whoever names it makes the server read or
 * reach what he himself could not.  Without this, USAGE on the wrapper would
 * be enough to send another team's token to a server of one's own.
 */
static void
require_privilege(const char *name, const OptionCheck *check)
{
	const char *role;

	if (superuser_arg(check->role) || has_privs_of_role(check->role, ROLE_PG_READ_SERVER_FILES))
		return;
	role = quote_identifier(GetUserNameFromId(check->role, false));
	if (check->destination == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to set option \"%s\"", name),
				 errdetail("It is for superusers and members of pg_read_server_files."),
				 errhint("Let one of them own the server and set it, and: GRANT USAGE ON FOREIGN SERVER ... TO %s;", role)));
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("option \"%s\" of destination \"%s\" may not be used", name, check->destination),
			 errdetail("The server's owner %s is neither a superuser nor a member of pg_read_server_files.", role),
			 errhint("Let one of them own it: ALTER SERVER %s OWNER TO ...;", quote_identifier(check->destination))));
}

static void
report_secret_in_server(const char *name)
{
	ereport(ERROR,
			(errcode(ERRCODE_FDW_INVALID_OPTION_NAME),
			 errmsg("option \"%s\" is a secret and belongs to a user mapping", name),
			 errdetail("Everybody can read the options of a server."),
			 errhint("CREATE USER MAPPING FOR PUBLIC SERVER ... OPTIONS (%s '...');", name)));
}

/* Names that may stand on a server, or on a mapping, for the hint. */
static const char **
known_names(bool mapping, const ConnectorOption *own)
{
	int			n = 0;
	int			total = lengthof(rules) + 1;
	const char **names;

	for (const ConnectorOption *o = own; o != NULL && o->name != NULL; o++)
		total++;
	names = palloc0(sizeof(char *) * total);
	for (int i = 0; i < lengthof(rules); i++)
	{
		if (((rules[i].flags & OF_MAPPING) != 0) == mapping && (rules[i].flags & LATER) == 0)
			names[n++] = rules[i].name;
	}
	for (const ConnectorOption *o = own; o != NULL && o->name != NULL; o++)
	{
		if (find_rule(o->name) == NULL)
			names[n++] = o->name;
	}
	return names;
}

static char *
joined(const char *const *names)
{
	StringInfoData buf;

	initStringInfo(&buf);
	for (int i = 0; names[i] != NULL; i++)
		appendStringInfo(&buf, "%s%s", i > 0 ? ", " : "", names[i]);
	return buf.data;
}

static void
report_unknown(const char *name, bool mapping, const ConnectorOption *own)
{
	const char **names = known_names(mapping, own);
	const char *nearest = act_nearest_name(name, names);

	/* A secret nearly spelled right must not look like an option nearly so. */
	if (nearest == NULL && !mapping)
	{
		const char *secret = act_nearest_name(name, act_option_secrets());

		if (secret != NULL)
			ereport(ERROR,
					(errcode(ERRCODE_FDW_INVALID_OPTION_NAME),
					 errmsg("unknown option \"%s\"", name),
					 errhint("Perhaps you meant \"%s\", of a user mapping: CREATE USER MAPPING FOR PUBLIC SERVER ... OPTIONS (%s '...');",
							 secret, secret)));
	}
	ereport(ERROR,
			(errcode(ERRCODE_FDW_INVALID_OPTION_NAME),
			 errmsg("unknown option \"%s\"", name),
			 nearest ? errhint("Perhaps you meant \"%s\".", nearest) :
			 errhint("Known are: %s.", joined(mapping ? act_option_secrets() : names))));
}

static const ConnectorOption *
find_own(const ConnectorOption *own, const char *name)
{
	for (; own != NULL && own->name != NULL; own++)
	{
		if (strcmp(own->name, name) == 0)
			return own;
	}
	return NULL;
}

static void
report_missing(const char *name, const char *connector)
{
	ereport(ERROR,
			(errcode(ERRCODE_FDW_OPTION_NAME_NOT_FOUND),
			 connector ? errmsg("option \"%s\" is required by connector \"%s\"", name, connector) :
			 errmsg("option \"%s\" is required", name),
			 errhint("... OPTIONS (%s '...')%s", name,
					 connector ? "" : "; SELECT connector, title FROM activate.connectors;")));
}

void
act_option_check_server(List *options, const OptionCheck *check)
{
	const ConnectorOption *own = check->connector ? act_connector_options(check->connector) : NULL;
	const char *connector = act_option_get(options, "connector");
	ListCell   *cell;

	if (connector == NULL)
	{
		static const char *const wanted[] = {"connector", NULL};

		foreach(cell, options)
		{
			const char *name = ((DefElem *) lfirst(cell))->defname;

			if (find_rule(name) == NULL && act_nearest_name(name, wanted) != NULL)
				report_unknown(name, false, NULL);
		}
		report_missing("connector", NULL);
	}

	foreach(cell, options)
	{
		DefElem    *option = lfirst(cell);
		const char *name = option->defname;
		const OptionRule *rule = find_rule(name);
		const ConnectorOption *mine = rule == NULL ? find_own(own, name) : NULL;

		if (rule != NULL && (rule->flags & OF_MAPPING) != 0)
			report_secret_in_server(name);
		if (rule != NULL && (rule->flags & LATER) != 0)
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("option \"%s\" is not supported by this version of pg_activate", name),
					 errhint("Leave it out.")));
		if (rule != NULL && (rule->flags & PRIVILEGED) != 0)
			require_privilege(name, check);
		if (mine != NULL && mine->kind == OPTION_FILE)
			require_privilege(name, check);
		if (rule != NULL)
			check_value(name, rule->kind, rule, defGetString(option));
		else if (mine != NULL)
		{
			check_value(name, mine->kind, NULL, defGetString(option));
			check_own_value(mine, defGetString(option));
		}
		else if (check->connector != NULL)
			report_unknown(name, false, own);
	}

	if (check->connector != NULL && act_option_get(options, "account") != NULL &&
		!act_connector_tells_account(check->connector))
		ereport(ERROR,
				(errcode(ERRCODE_FDW_INVALID_OPTION_NAME),
				 errmsg("option \"account\" goes with connectors that can tell whose the credentials are, and \"%s\" cannot",
						connector),
				 errhint("Leave it out, or DROP it.")));
	for (; own != NULL && own->name != NULL; own++)
	{
		if (own->required && own->default_value == NULL && act_option_get(options, own->name) == NULL)
			report_missing(own->name, connector);
	}
}

void
act_option_check_mapping(List *options, const OptionCheck *check)
{
	ListCell   *cell;

	foreach(cell, options)
	{
		DefElem    *option = lfirst(cell);
		const char *name = option->defname;
		const OptionRule *rule = find_rule(name);

		if (rule == NULL)
			report_unknown(name, true, NULL);
		if ((rule->flags & OF_MAPPING) == 0)
			ereport(ERROR,
					(errcode(ERRCODE_FDW_INVALID_OPTION_NAME),
					 errmsg("option \"%s\" belongs to the server, not to a user mapping", name),
					 errhint("ALTER SERVER ... OPTIONS (%s '...');", name)));
		if ((rule->flags & PRIVILEGED) != 0)
			require_privilege(name, check);
		if (rule->kind != OPTION_FILE && act_option_get(options, psprintf("%s_file", name)) != NULL)
			ereport(ERROR,
					(errcode(ERRCODE_FDW_INVALID_OPTION_NAME),
					 errmsg("options \"%s\" and \"%s_file\" exclude each other", name, name),
					 errhint("Leave one of them out, or DROP it.")));
		check_value(name, rule->kind, rule, defGetString(option));
	}
}

/*
 * While a dump is restored or a cluster upgraded, connectors come after the
 * servers that name them: what needs a connector's document is then left to
 * those who use the server.  Anybody can turn check_function_bodies off, so
 * nothing else is.
 */
Datum
act_option_validator(PG_FUNCTION_ARGS)
{
	List	   *options = untransformRelOptions(PG_GETARG_DATUM(0));
	bool		restoring = !check_function_bodies || IsBinaryUpgrade;
	OptionCheck check = {.role = GetUserId()};
	const char *connector;

	switch (PG_GETARG_OID(1))
	{
		case ForeignServerRelationId:
			connector = act_option_get(options, "connector");
			if (connector != NULL && !restoring)
				check.connector = act_registry_connector(connector);
			act_option_check_server(options, &check);
			break;
		case UserMappingRelationId:
			act_option_check_mapping(options, &check);
			break;
		default:
			if (options != NIL)
				ereport(ERROR,
						(errcode(ERRCODE_FDW_INVALID_OPTION_NAME),
						 errmsg("unknown option \"%s\"", ((DefElem *) linitial(options))->defname),
						 errdetail("Servers and user mappings of foreign-data wrapper \"activate\" have options, nothing else."),
						 errhint("CREATE SERVER ... FOREIGN DATA WRAPPER activate OPTIONS (connector '...');")));
	}
	PG_RETURN_VOID();
}

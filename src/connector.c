/*-------------------------------------------------------------------------
 *
 * connector.c
 *	  Compiling a connector's document, and what it says about itself.
 *
 * Called once per run, inside or outside a transaction.  The connector is
 * allocated in the current memory context and lives as long as that; the
 * document's tree is gone when act_connector_compile() returns or throws.
 * Every member of the document is known here or refused: 22023 for what
 * means nothing, 0A000 for what this version does not do.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"

#include "connector_private.h"

#define SPEC_VERSION 1
#define MAX_SPEC_VERSION 1000000
#define MAX_BATCH_ROWS 1000000
#define MAX_BATCH_BYTES (512 * 1024 * 1024)

static const char *const document_members[] = {
	"name", "spec_version", "title", "documentation", "extends", "takes_key", "match", "concurrency", "rate", "time_zone", "base_url",
	"headers", "options", "secrets", "auth", "reason", "rules", "types", "check", "account", "limits", "discover", "objects", "operations", NULL
};

static const char *const option_members[] = {"kind", "required", "default", "values", NULL};
static const char *const check_members[] = {"request", "fails", "rules", NULL};

static const char *const operation_members[] = {
	"like", "mix", "idempotent", "irreversible", "append", "batch", "request", "row", "lines", "answer", "absent",
	"accepted_codes", "remember", "rules", "needs", "lookup", "missing", "by_id", "large", "steps", "poll", "results",
	"abort", "prepare", NULL
};

/* Of the variant for rows whose id is known, and of that for large runs. */
static const char *const by_id_members[] = {
	"mix", "idempotent", "batch", "request", "row", "lines", "answer", "absent", "accepted_codes", "remember", "rules",
	"steps", "poll", "results", "abort", NULL
};
static const char *const large_members[] = {
	"from_rows", "nulls", "idempotent", "batch", "request", "answer", "absent", "accepted_codes", "remember", "rules", "needs",
	"lookup", "missing", "by_id", "steps", "poll", "results", "abort", NULL
};
static const char *const batch_members[] = {
	"max_rows", "default_rows", "max_bytes", "max_row_bytes", "unique", "by", NULL
};
static const char *const unique_names[] = {"match", NULL};

static const char *const absent_names[] = {"absent", "accepted", "match", NULL};

/* In the order of OptionKind. */
static const char *const option_kinds[] = {
	"text", "url", "host", "label", "integer", "duration", "rate", "boolean", "json", "file", NULL
};
StaticAssertDecl(lengthof(option_kinds) == OPTION_FILE + 2, "every kind of option has its name");

/* The one vocabulary for secrets (design 2.1). */
static const char *const secret_names[] = {
	"access_token", "api_key", "username", "password", "client_id", "client_secret",
	"refresh_token", "private_key", "signing_secret", "bearer_token",
	"access_key_id", "secret_access_key", "session_token", NULL
};

/* The transport's own: a document that sets them would break the framing. */
static const char *const transport_headers[] = {
	"Host", "Content-Length", "Transfer-Encoding", "Connection", "Expect", "Upgrade", "TE",
	"Trailer", "Keep-Alive", NULL
};

static Connector *compile_document(Document *document, const char *object);
static const ConnectorOption *compile_options(const Document *document, const cJSON *options);
static const char *const *compile_secrets(const Document *document, const cJSON *secrets);
static void compile_check(const Document *document, const cJSON *check, Connector *connector);
static Operation *compile_operation(const Document *document, const cJSON *at, RowOp op, Connector *connector);
static void compile_request_part(const Document *document, const cJSON *at, const cJSON *like, Connector *connector,
								 Operation *operation);
static void compile_by_id(const Document *document, const cJSON *holder, Connector *connector, Operation *operation);
static void compile_large(const Document *document, const cJSON *holder, Connector *connector, Operation *operation);
static void compile_absent(const Document *document, const cJSON *holder, bool is_by_id, Operation *operation);
static Operation *compile_unit(const Document *document, const cJSON *at, const cJSON *like,
							   const Connector *connector, Operation *operation);

static Connector *
compile(const char *name, const char *spec, const char *object, bool needed, ConnectorProblem *problem_at)
{
	Document	document = {.connector = name,.problem = problem_at};
	Connector  *volatile connector = NULL;
	char	   *problem;

	document.root = act_json_parse(spec, strlen(spec), JSON_DOCUMENT, &problem);
	if (document.root == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("connector \"%s\": the document cannot be read", name),
				 errdetail("As JSON, %s.", problem)));
	PG_TRY();
	{
		if (needed && object == NULL)
			act_objects_require(&document);
		connector = compile_document(&document, object);
	}
	PG_FINALLY();
	{
		cJSON_Delete(unconstify(cJSON *, document.root));
	}
	PG_END_TRY();
	return connector;
}

Connector *
act_connector_compile(const char *name, const char *spec)
{
	return compile(name, spec, NULL, false, NULL);
}

Connector *
act_connector_compile_object(const char *name, const char *spec, const char *object)
{
	return compile(name, spec, object, true, NULL);
}

Connector *
act_connector_check(const char *name, const char *spec, ConnectorProblem *problem)
{
	return compile(name, spec, NULL, false, problem);
}

const ConnectorOperation *
act_connector_operation(const Connector *connector, RowOp op)
{
	const Operation *operation = connector->operations[op];

	return operation == NULL ? NULL : &operation->public;
}

bool
act_connector_takes_key(const Connector *connector)
{
	return connector->takes_key;
}

const Filter *const *
act_connector_match_compare(const Connector *connector)
{
	return connector->match_compare;
}

const char *
act_connector_time_zone(const Connector *connector)
{
	return connector->time_zone;
}

const ConnectorOption *
act_connector_options(const Connector *connector)
{
	return connector->options;
}

const char *const *
act_connector_secrets(const Connector *connector)
{
	return connector->secrets;
}

void
act_connector_set_redactor(Connector *connector, char *(*redact) (void *arg, const char *text), void *arg)
{
	connector->redact = redact;
	connector->redact_arg = arg;
}

static Connector *
compile_document(Document *document, const char *object)
{
	const cJSON *root = document->root;
	Connector  *connector = palloc0(sizeof(Connector));
	char	   *name;

	act_document_check(document, root, document_members, NULL);
	if (act_document_member(root, "extends") != NULL)
		act_document_error(document, act_document_member(root, "extends"), NULL,
						   "\"extends\" that was not followed");
	if (act_document_int(document, root, "spec_version", 1, MAX_SPEC_VERSION, SPEC_VERSION) != SPEC_VERSION)
		act_document_unsupported(document, act_document_member(root, "spec_version"), "this version");
	name = act_document_string(document, root, "name");
	if (name != NULL && strcmp(name, document->connector) != 0)
		act_document_error(document, act_document_member(root, "name"), NULL,
						   "another name, \"%s\",", name);

	connector->name = pstrdup(document->connector);
	document->connector = connector->name;
	(void) act_document_string(document, root, "title");
	(void) act_document_string(document, root, "documentation");
	connector->takes_key = act_document_bool(document, root, "takes_key", false);
	act_object_compile_document_match(document, act_document_member(root, "match"), connector);
	act_value_forms_compile(document, act_document_member(root, "types"), &connector->forms);
	connector->time_zone = act_document_string(document, root, "time_zone");
	act_rate_compile(document, connector);
	document->options = connector->options =
		compile_options(document, act_document_member(root, "options"));
	document->secrets = connector->secrets =
		compile_secrets(document, act_document_array(document, root, "secrets"));
	connector->base_url = act_template_compile_member(document, root, "base_url", 0);
	connector->headers = act_connector_compile_named(document, root, "headers", 0);
	act_auth_compile(document, act_document_array(document, root, "auth"), connector);
	if (act_document_member(root, "reason") != NULL)
		connector->reason = act_rules_compile_reason(document, act_document_member(root, "reason"));
	act_rules_compile(document, act_document_array(document, root, "rules"), &connector->rules);
	compile_check(document, act_document_member(root, "check"), connector);
	act_account_compile(document, act_document_member(root, "account"), connector);
	act_limits_compile(document, connector);
	act_discover_compile(document, act_document_member(root, "discover"), false, connector);
	act_objects_compile(document, object, connector);
	return connector;
}

static bool
is_identifier(const char *name)
{
	size_t		len = strlen(name);

	return len > 0 && len < NAMEDATALEN && strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") == len;
}

static bool
is_one_of(const char *name, const char *const *names)
{
	for (; *names != NULL; names++)
	{
		if (pg_strcasecmp(*names, name) == 0)
			return true;
	}
	return false;
}

/* {"eu": "track-eu"}: what is written, and what it means to templates */
static void
compile_option_values(const Document *document, const cJSON *option, ConnectorOption *compiled)
{
	const cJSON *at = act_document_member(option, "values");
	const char **values;
	const char **meanings;
	int			n = 0;

	if (at == NULL)
		return;
	if (!cJSON_IsObject(at) || at->child == NULL)
		act_document_error(document, at, "As in {\"us\": \"api\", \"eu\": \"api-eu\"}.", "an object of texts is expected");
	if (compiled->kind != OPTION_TEXT)
		act_document_error(document, at, NULL, "\"values\", which belong to options of kind \"text\",");
	values = palloc0((cJSON_GetArraySize(at) + 1) * sizeof(char *));
	meanings = palloc0((cJSON_GetArraySize(at) + 1) * sizeof(char *));
	for (const cJSON *value = at->child; value != NULL; value = value->next, n++)
	{
		if (!cJSON_IsString(value))
			act_document_error(document, value, NULL, "a string is expected");
		values[n] = pstrdup(value->string);
		meanings[n] = pstrdup(value->valuestring);
	}
	compiled->values = values;
	compiled->meanings = meanings;
	if (compiled->default_value != NULL && !is_one_of(compiled->default_value, values))
		act_document_unknown(document, act_document_member(option, "default"), "value", compiled->default_value, values);
}

static const ConnectorOption *
compile_options(const Document *document, const cJSON *options)
{
	int			n = options == NULL ? 0 : cJSON_GetArraySize(options);
	ConnectorOption *all = palloc0((n + 1) * sizeof(ConnectorOption));
	ConnectorOption *compiled = all;

	if (options != NULL && !cJSON_IsObject(options))
		act_document_error(document, options, NULL, "an object is expected");
	for (const cJSON *option = options == NULL ? NULL : options->child; option != NULL; option = option->next)
	{
		if (!is_identifier(option->string))
			act_document_error(document, option, NULL, "an option whose name is no plain identifier");
		if (is_one_of(option->string, secret_names))
			act_document_error(document, option, "Name it in \"secrets\".",
							   "a secret as an option, which everybody can read,");
		if (act_document_member(options, option->string) != option)
			act_document_error(document, option, NULL, "option \"%s\" given twice", option->string);
		act_document_check(document, option, option_members, NULL);
		compiled->name = pstrdup(option->string);
		compiled->kind = (OptionKind) act_document_choice(document, option, "kind", option_kinds, NULL, OPTION_TEXT);
		compiled->required = act_document_bool(document, option, "required", false);
		compiled->default_value = act_document_string(document, option, "default");
		compile_option_values(document, option, compiled);
		compiled++;
	}
	return all;
}

static const char *const *
compile_secrets(const Document *document, const cJSON *secrets)
{
	const char **names = palloc0(((secrets == NULL ? 0 : cJSON_GetArraySize(secrets)) + 1) * sizeof(char *));
	int			n = 0;

	for (const cJSON *secret = secrets == NULL ? NULL : secrets->child; secret != NULL; secret = secret->next)
	{
		if (!cJSON_IsString(secret))
			act_document_error(document, secret, NULL, "a string is expected");
		if (!is_identifier(secret->valuestring) || !is_one_of(secret->valuestring, secret_names))
			act_document_unknown(document, secret, "secret", secret->valuestring, secret_names);
		if (is_one_of(secret->valuestring, names))
			act_document_error(document, secret, NULL, "secret \"%s\" given twice", secret->valuestring);
		names[n++] = pstrdup(secret->valuestring);
	}
	return names;
}

static bool
is_header_name(const char *name)
{
	size_t		len = strlen(name);

	return len > 0 && strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
							 "0123456789!#$%&'*+-.^_`|~") == len;
}

/* An object of headers or query parameters, by the member's name. */
NamedTemplates
act_connector_compile_named(const Document *document, const cJSON *object, const char *name, int place)
{
	const cJSON *members = act_document_member(object, name);
	bool		are_headers = strcmp(name, "headers") == 0;
	bool		in_query = strcmp(name, "query") == 0;
	NamedTemplates compiled = {0};

	if (members == NULL)
		return compiled;
	if (!cJSON_IsObject(members))
		act_document_error(document, members, NULL, "an object is expected");
	compiled.items = palloc0((cJSON_GetArraySize(members) + 1) * sizeof(NamedTemplate));
	for (const cJSON *member = members->child; member != NULL; member = member->next)
	{
		NamedTemplate *item = &compiled.items[compiled.count];

		CHECK_FOR_INTERRUPTS();
		if (!cJSON_IsString(member))
			act_document_error(document, member, NULL, "a string is expected");
		if (are_headers && !is_header_name(member->string))
			act_document_error(document, member, NULL, "malformed header name");
		if (are_headers && is_one_of(member->string, transport_headers))
			act_document_error(document, member, NULL, "header \"%s\", which the transport sets,", member->string);
		for (int i = 0; i < compiled.count; i++)
		{
			if (pg_strcasecmp(compiled.items[i].name, member->string) == 0)
				act_document_error(document, member, NULL, "member \"%s\" given twice", member->string);
		}
		item->name = pstrdup(member->string);
		item->of_match = in_query && strcmp(member->string, "$match") == 0;
		if (item->of_match && (place & TEMPLATE_IN_ROW) == 0)
			act_document_error(document, member, "Let \"max_rows\" be 1.", "\"$match\" in a request that is not of one row");
		item->value = act_template_compile_text(document, member, member->valuestring, strlen(member->valuestring),
												place | (item->of_match ? TEMPLATE_IN_WRAP : 0));
		compiled.count++;
	}
	return compiled;
}

static void
compile_check(const Document *document, const cJSON *check, Connector *connector)
{
	if (check == NULL)
		return;
	act_document_check(document, check, check_members, NULL);
	connector->check = act_connector_compile_request(document, act_document_need(document, check, "request"), 0);
	connector->check_fails = act_rules_compile_statuses(document, check, "fails");
	act_rules_compile(document, act_document_array(document, check, "rules"), &connector->check_rules);
}

/* Whether a member or a text of the tree is this word; trees are as deep as act_json_parse() lets them be. */
static bool
says(const cJSON *tree, const char *word)
{
	if ((tree->string != NULL && strcmp(tree->string, word) == 0) ||
		(cJSON_IsString(tree) && strcmp(tree->valuestring, word) == 0))
		return true;
	for (const cJSON *child = tree->child; child != NULL; child = child->next)
	{
		if (says(child, word))
			return true;
	}
	return false;
}

void
act_connector_compile_operations(Document *document, const cJSON *operations, Connector *connector)
{
	const char *names[ROW_OP_COUNT + 1] = {0};
	int			nnames = 0;
	bool		any = false;

	for (int op = ROW_OP_NONE + 1; op < ROW_OP_COUNT; op++)
	{
		if (act_row_op_sent((RowOp) op) == (RowOp) op)
			names[nnames++] = act_row_op_name((RowOp) op);
	}
	names[nnames++] = "lookup";
	act_document_check(document, operations, names, NULL);
	document->operations = operations;
	connector->lookup = NULL;
	memset(connector->operations, 0, sizeof(connector->operations));
	for (const cJSON *at = operations->child; at != NULL; at = at->next)
	{
		RowOp		op = act_row_op_parse(at->string);
		Operation  *operation;

		if (op == ROW_OP_NONE)
		{
			connector->lookup = act_lookup_compile(document, at, connector->match_compare);
			continue;
		}
		any = true;

		act_document_check(document, at, operation_members, NULL);
		operation = compile_operation(document, at, op, connector);
		connector->operations[op] = operation;
	}
	if (!any)
		act_document_error(document, operations, NULL, "no operation");
	for (int op = ROW_OP_NONE + 1; op < ROW_OP_COUNT; op++)
		connector->operations[op] = connector->operations[act_row_op_sent((RowOp) op)];
	act_flow_check(document, operations, connector);
	connector->finds = connector->lookup != NULL || says(document->root, "found");
}

/* A member of the operation, or of the one it is like. */
static const cJSON *
operation_holder(const cJSON *at, const cJSON *like, const char *name)
{
	return like == NULL || act_document_member(at, name) != NULL ? at : like;
}

static const cJSON *
find_like(const Document *document, const cJSON *at)
{
	char	   *name = act_document_string(document, at, "like");
	const cJSON *like;

	if (name == NULL)
		return NULL;
	like = act_document_member(document->operations, name);
	if (like == NULL || like == at || !cJSON_IsObject(like) || act_document_member(like, "like") != NULL)
		act_document_error(document, act_document_member(at, "like"),
						   "It names an operation beside it that is described in full.",
						   "nothing to be like");
	return like;
}

/* The first operation, in the order of the document, that has this mix. */
static const Operation *
find_owner(const Connector *connector, const char *mix)
{
	ListCell   *cell;

	foreach(cell, connector->owners)
	{
		const Operation *other = lfirst(cell);

		if (mix != NULL && strcmp(other->public.mix, mix) == 0)
			return other;
	}
	return NULL;
}

/* What answers mean; of the operation whose request it is. */
static void
compile_answer(const Document *document, const cJSON *at, const cJSON *like, const Connector *connector,
			   Operation *operation)
{
	const cJSON *answer = act_document_member(operation_holder(at, like, "answer"), "answer");

	operation->answer = act_shape_compile(document, answer, connector->match_compare);
	if ((operation->answer->external_id != NULL || operation->answer->remember.count > 0) && operation->public.max_rows > 1)
		act_document_error(document, answer, NULL, "the id of one record in an answer for several rows");
	act_rules_compile(document, act_document_array(document, operation_holder(at, like, "rules"), "rules"),
					  &operation->rules);
}

static Operation *
compile_operation(const Document *document, const cJSON *at, RowOp op, Connector *connector)
{
	const cJSON *like = find_like(document, at);
	Operation  *operation = palloc0(sizeof(Operation));
	ConnectorOperation *public = &operation->public;

	public->op = op;
	if (op == ROW_OP_REPLACE)
		return compile_unit(document, at, like, connector, operation);
	if (act_document_member(at, "prepare") != NULL)
		act_document_error(document, act_document_member(at, "prepare"), NULL, "\"prepare\", which belongs to \"replace\",");
	public->mix = act_document_string(document, operation_holder(at, like, "mix"), "mix");
	public->idempotent = act_document_bool(document, operation_holder(at, like, "idempotent"), "idempotent", false);
	public->irreversible = act_document_bool(document, operation_holder(at, like, "irreversible"), "irreversible", false);
	public->append = act_document_bool(document, operation_holder(at, like, "append"), "append", false);
	if (public->append && act_document_member(at, "append") != NULL && op != ROW_OP_UPSERT)
		act_document_error(document, act_document_member(at, "append"), NULL, "\"append\", which belongs to \"upsert\",");
	compile_absent(document, operation_holder(at, like, "absent"), false, operation);
	act_flow_compile(document, &(FlowHolders) {
		operation_holder(at, like, "needs"), operation_holder(at, like, "lookup"), operation_holder(at, like, "missing")
	}, &operation->flow);
	compile_request_part(document, at, like, connector, operation);
	compile_by_id(document, operation_holder(at, like, "by_id"), connector, operation);
	compile_large(document, operation_holder(at, like, "large"), connector, operation);
	return operation;
}

/* An operation of its own, for rows whose external id is known. */
static void
compile_by_id(const Document *document, const cJSON *holder, Connector *connector, Operation *operation)
{
	const cJSON *at = act_document_member(holder, "by_id");
	Operation  *by_id;

	if (at == NULL)
		return;
	act_document_check(document, at, by_id_members, NULL);
	by_id = palloc0(sizeof(Operation));
	by_id->public = (ConnectorOperation) {.op = operation->public.op,.irreversible = operation->public.irreversible};
	by_id->public.mix = act_document_string(document, at, "mix");
	by_id->public.idempotent = act_document_bool(document, at, "idempotent", operation->public.idempotent);
	compile_absent(document, at, true, by_id);
	compile_request_part(document, at, NULL, connector, by_id);
	operation->by_id = by_id;
}

/* The same for runs with many rows. */
static void
compile_large(const Document *document, const cJSON *holder, Connector *connector, Operation *operation)
{
	const cJSON *at = act_document_member(holder, "large");
	Operation  *large;

	if (at == NULL)
		return;
	act_document_check(document, at, large_members, NULL);
	large = palloc0(sizeof(Operation));
	large->public = (ConnectorOperation) {.op = operation->public.op,.irreversible = operation->public.irreversible};
	large->public.idempotent = act_document_bool(document, at, "idempotent", operation->public.idempotent);
	compile_absent(document, at, false, large);
	act_flow_compile(document, &(FlowHolders) {at, at, at}, &large->flow);
	compile_request_part(document, at, NULL, connector, large);
	compile_by_id(document, at, connector, large);
	operation->large_from = act_flow_compile_large(document, at);
	large->clears = act_document_bool(document, at, "nulls", true) ? NULL : operation;
	operation->large = large;
}

static void
compile_absent(const Document *document, const cJSON *holder, bool is_by_id, Operation *operation)
{
	int			absent = act_document_choice(document, holder, "absent", absent_names, NULL, 0);

	operation->absent_is_match = absent == 2;
	operation->absent = absent == 1 ? ROW_ACCEPTED : ROW_ABSENT;
	if (operation->absent_is_match && !is_by_id)
		act_document_error(document, act_document_member(holder, "absent"), "\"match\" is for \"by_id\".",
						   "an operation by match that goes by match when the record is gone");
}

/* How its rows are sent: as another one of its mix, or by a request of its own. */
static void
compile_request_part(const Document *document, const cJSON *at, const cJSON *like, Connector *connector,
					 Operation *operation)
{
	ConnectorOperation *public = &operation->public;
	const cJSON *holder;

	operation->accepted_codes = act_shape_compile_codes(document, operation_holder(at, like, "accepted_codes"),
														"accepted_codes", ROW_ACCEPTED);
	operation->remember = act_shape_compile_remember(document, operation_holder(at, like, "remember"), "remember");
	operation->owner = find_owner(connector, public->mix);
	if (operation->owner != NULL)
	{
		for (int i = 0; i < 5; i++)
		{
			static const char *const names[] = {"batch", "request", "answer", "rules", "steps"};
			const char *name = names[i];

			if (act_document_member(at, name) != NULL)
				act_document_error(document, act_document_member(at, name), NULL,
								   "\"%s\", which belongs to the first operation of a mix,", name);
		}
		public->max_rows = operation->owner->public.max_rows;
		public->default_rows = operation->owner->public.default_rows;
		public->max_bytes = operation->owner->public.max_bytes;
		public->max_row_bytes = operation->owner->public.max_row_bytes;
		public->unique_match = operation->owner->public.unique_match;
		public->by = operation->owner->public.by;
		operation->row = act_request_compile_row(document, at, operation->owner->request, public->op);
		return;
	}

	act_request_refuse_row(document, at);
	operation->owner = operation;
	holder = operation_holder(at, like, "batch");
	act_connector_compile_batch(document, act_document_member(holder, "batch"), public);
	holder = operation_holder(at, like, "request");
	operation->job = act_job_compile(document, at, like, public->max_rows, connector->match_compare, operation,
									 &operation->request);
	if (operation->job != NULL)
		connector->jobs = lappend(connector->jobs, unconstify(struct JobPlan *, operation->job));
	else
		operation->request = act_connector_compile_request(document, act_document_need(document, holder, "request"),
														   public->max_rows);
	act_request_check_takes(document, at, operation->request, public->op);
	compile_answer(document, at, like, connector, operation);
	if (public->mix != NULL)
		connector->owners = lappend(connector->owners, operation);
}

/*
 * The whole model in one request: nothing shares it, the same request twice is
 * as good as once, and the answer is one for all rows.
 */
static Operation *
compile_unit(const Document *document, const cJSON *at, const cJSON *like, const Connector *connector,
			 Operation *operation)
{
	static const char *const refused[] = {"mix", "idempotent", "append", "row", "lines", "absent", "accepted_codes", "remember"};
	ConnectorOperation *public = &operation->public;
	const cJSON *holder = operation_holder(at, like, "batch");
	const cJSON *batch = act_document_member(holder, "batch");

	for (int i = 0; i < lengthof(refused); i++)
	{
		if (act_document_member(at, refused[i]) != NULL)
			act_document_error(document, act_document_member(at, refused[i]), NULL,
							   "\"%s\", which operation \"replace\" does not have,", refused[i]);
	}
	if (act_document_member(operation_holder(at, like, "steps"), "steps") != NULL)
		act_document_unsupported(document, act_document_member(operation_holder(at, like, "steps"), "steps"),
								 "steps of operation \"replace\"");
	public->idempotent = true;
	public->irreversible = act_document_bool(document, operation_holder(at, like, "irreversible"), "irreversible", false);
	operation->owner = operation;
	act_connector_compile_batch(document, batch, public);
	if (batch == NULL || act_document_member(batch, "max_rows") == NULL)
		public->max_rows = MAX_BATCH_ROWS;
	if (act_document_member(at, "prepare") != NULL)
		operation->prepare = act_job_compile_prepare(document, act_document_member(at, "prepare"), operation);
	holder = operation_holder(at, like, "request");
	operation->request = act_connector_compile_request(document, act_document_need(document, holder, "request"), MAX_BATCH_ROWS);
	compile_answer(document, at, like, connector, operation);
	if (operation->answer->by != BY_NONE)
		act_document_error(document, act_document_member(operation_holder(at, like, "answer"), "answer"), NULL,
						   "results for single rows of a unit");
	return operation;
}

void
act_connector_compile_batch(const Document *document, const cJSON *batch, ConnectorOperation *operation)
{
	operation->max_rows = operation->default_rows = 1;
	if (batch == NULL)
		return;
	act_document_check(document, batch, batch_members, NULL);
	operation->max_rows = act_document_int(document, batch, "max_rows", 1, MAX_BATCH_ROWS, 1);
	operation->default_rows = act_document_int(document, batch, "default_rows", 1, operation->max_rows,
											   operation->max_rows);
	operation->max_bytes = act_document_int(document, batch, "max_bytes", 1, MAX_BATCH_BYTES, 0);
	operation->max_row_bytes = act_document_int(document, batch, "max_row_bytes", 1, MAX_BATCH_BYTES, 0);
	operation->unique_match = act_document_choice(document, batch, "unique", unique_names, NULL, -1) == 0;
	operation->by = act_document_string(document, batch, "by");
	if (operation->by != NULL && *operation->by == '\0')
		act_document_error(document, act_document_member(batch, "by"), NULL, "the name of a field is expected");
}

/*-------------------------------------------------------------------------
 *
 * connector_auth.c
 *	  Credentials: which secrets choose them, and how they get into a request.
 *
 * A document lists the ways to authorize; the first whose "when" names a
 * secret that is set is taken.  Authorizing replaces the headers of an
 * earlier try.  Secrets are copied into headers and nowhere else; messages
 * name them and never show them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "aws_signature.h"
#include "connector_private.h"
#include "connector_token.h"
#include "filter.h"
#include "url.h"

/* How receivers tell a repeated request from a new one. */
#define IDEMPOTENCY_HEADER "Idempotency-Key"

/* In the order of AuthKind. */
static const char *const auth_names[] = {
	"none", "bearer", "basic", "headers", "query", "body", "hmac", "url", "aws_sigv4", "oauth2", "token_request", NULL
};
StaticAssertDecl(lengthof(auth_names) == AUTH_TOKEN_REQUEST + 2, "every kind of auth has its name");

/* The members of each kind. */
static const char *const none_members[] = {"when", "kind", NULL};
static const char *const bearer_members[] = {"when", "kind", "token", NULL};
static const char *const basic_members[] = {"when", "kind", "username", "password", NULL};
static const char *const headers_members[] = {"when", "kind", "headers", NULL};
static const char *const query_members[] = {"when", "kind", "query", NULL};
static const char *const body_members[] = {"when", "kind", "members", NULL};
static const char *const hmac_members[] = {"when", "kind", "algorithm", "key", "payload", "headers", NULL};
static const char *const url_members[] = {"when", "kind", "path", NULL};
static const char *const aws_members[] = {
	"when", "kind", "service", "region", "access_key", "secret_key", "session_token", NULL
};

static const char *const *const kind_members[] = {
	[AUTH_NONE] = none_members,
	[AUTH_BEARER] = bearer_members,
	[AUTH_BASIC] = basic_members,
	[AUTH_HEADERS] = headers_members,
	[AUTH_QUERY] = query_members,
	[AUTH_BODY] = body_members,
	[AUTH_HMAC] = hmac_members,
	[AUTH_URL] = url_members,
	[AUTH_AWS_SIGV4] = aws_members,
	[AUTH_OAUTH2] = act_token_oauth2_members,
	[AUTH_TOKEN_REQUEST] = act_token_request_members,
};

static const char *const algorithms[] = {"sha256", "sha512", NULL};

/* Members whose secrets need not be set: without them the member is left out. */
static const char *const spare_members[] = {"session_token", NULL};

static void compile_auth(const Document *document, const cJSON *at, Auth *auth);
static void compile_kind(const Document *document, const cJSON *at, Auth *auth);
static char *auth_problem(const Auth *auth, const ConnectorScope *scope);
static void authorize_basic(const Connector *connector, const Auth *auth, TemplateInput *input, HttpRequest *request);
static void authorize_query(const Auth *auth, TemplateInput *input, HttpRequest *request);
static void authorize_body(const Connector *connector, const Auth *auth, TemplateInput *input, HttpRequest *request);
static void authorize_url(const Connector *connector, const Auth *auth, TemplateInput *input, HttpRequest *request);
static void authorize_hmac(const Connector *connector, const Auth *auth, TemplateInput *input,
						   HttpRequest *request, int64 now_s);
static void authorize_aws(const Connector *connector, const Auth *auth, TemplateInput *input,
						  HttpRequest *request, int64 now_s);

void
act_auth_compile(const Document *document, const cJSON *auths, Connector *connector)
{
	if (auths == NULL)
		return;
	connector->auths = palloc0((cJSON_GetArraySize(auths) + 1) * sizeof(Auth));
	for (const cJSON *at = auths->child; at != NULL; at = at->next)
		compile_auth(document, at, &connector->auths[connector->nauths++]);
}

static const Template *
needed_template(const Document *document, const cJSON *at, const char *name)
{
	act_document_need(document, at, name);
	return act_template_compile_member(document, at, name, TEMPLATE_IN_AUTH);
}

/* NULL: it is "", as of APIs whose key is the user. */
static const Template *
optional_password(const Document *document, const cJSON *at)
{
	const cJSON *password = act_document_need(document, at, "password");

	return cJSON_IsString(password) && *password->valuestring == '\0' ? NULL : needed_template(document, at, "password");
}

static bool
is_listed(const char *const *names, const char *name)
{
	for (; names != NULL && *names != NULL; names++)
	{
		if (strcmp(*names, name) == 0)
			return true;
	}
	return false;
}

/* Whether a string within the value has {{secret.name...}} in it. */
static bool
names_secret(const cJSON *value, const char *secret, bool spare)
{
	char	   *path = psprintf("secret.%s", secret);
	const char *at = cJSON_IsString(value) ? value->valuestring : "";

	while ((at = strstr(at, path)) != NULL)
	{
		at += strlen(path);
		if (strspn(at, "abcdefghijklmnopqrstuvwxyz0123456789_") == 0)
			return true;
	}
	for (const cJSON *member = value->child; member != NULL; member = member->next)
	{
		bool		skipped = member->string != NULL && is_listed(spare_members, member->string);

		if ((!skipped || spare) && names_secret(member, secret, spare))
			return true;
	}
	return false;
}

static const char *const *
named_secrets(const Document *document, const cJSON *at, const char *when, bool spare)
{
	const char **names;
	int			n = 0;

	for (const char *const *secret = document->secrets; secret != NULL && *secret != NULL; secret++)
		n++;
	names = palloc0((n + 1) * sizeof(char *));
	n = 0;
	for (const char *const *secret = document->secrets; secret != NULL && *secret != NULL; secret++)
	{
		if ((when != NULL && strcmp(when, *secret) == 0) || names_secret(at, *secret, spare))
			names[n++] = *secret;
	}
	return names;
}

static void
compile_auth(const Document *document, const cJSON *at, Auth *auth)
{
	if (!cJSON_IsObject(at))
		act_document_error(document, at, NULL, "an object is expected");
	act_document_need(document, at, "kind");
	auth->kind = (AuthKind) act_document_choice(document, at, "kind", auth_names, NULL, 0);
	act_document_check(document, at, kind_members[auth->kind], NULL);
	auth->when = act_document_string(document, at, "when");
	if (auth->when != NULL && !is_listed(document->secrets, auth->when))
		act_document_unknown(document, act_document_member(at, "when"), "secret", auth->when, document->secrets);
	if (auth->when == NULL && at->next != NULL)
		act_document_error(document, at, NULL, "credentials without \"when\" before others");
	auth->secrets = named_secrets(document, at, auth->when, false);
	auth->spare_secrets = named_secrets(document, at, auth->when, true);
	compile_kind(document, at, auth);
}

static NamedTemplates
needed_named(const Document *document, const cJSON *at, const char *name, int place)
{
	NamedTemplates named;

	act_document_need(document, at, name);
	named = act_connector_compile_named(document, at, name, place);
	if (named.count == 0)
		act_document_error(document, act_document_member(at, name), NULL, "nothing to authorize with");
	return named;
}

static const Template *
needed_members(const Document *document, const cJSON *at)
{
	const cJSON *members = act_document_need(document, at, "members");
	Template   *rows;
	const Template *template;

	if (!cJSON_IsObject(members) || members->child == NULL)
		act_document_error(document, members, NULL, "an object with members is expected");
	template = act_template_compile_json(document, members, TEMPLATE_IN_AUTH, &rows);
	if (rows != NULL)
		act_document_error(document, members, NULL, "\"$rows\" in credentials");
	return template;
}

static void
compile_kind(const Document *document, const cJSON *at, Auth *auth)
{
	switch (auth->kind)
	{
		case AUTH_NONE:
			break;
		case AUTH_BEARER:
			auth->token = needed_template(document, at, "token");
			break;
		case AUTH_BASIC:
			auth->username = needed_template(document, at, "username");
			auth->password = optional_password(document, at);
			break;
		case AUTH_HEADERS:
			auth->headers = needed_named(document, at, "headers", TEMPLATE_IN_AUTH);
			break;
		case AUTH_QUERY:
			auth->query = needed_named(document, at, "query", TEMPLATE_IN_AUTH | TEMPLATE_IN_URL);
			break;
		case AUTH_BODY:
			auth->members = needed_members(document, at);
			break;
		case AUTH_HMAC:
			auth->sha512 = act_document_choice(document, at, "algorithm", algorithms, NULL, 0) == 1;
			auth->key = needed_template(document, at, "key");
			auth->payload = needed_template(document, at, "payload");
			auth->headers = needed_named(document, at, "headers", TEMPLATE_IN_AUTH);
			break;
		case AUTH_URL:
			auth->path = needed_template(document, at, "path");
			break;
		case AUTH_AWS_SIGV4:
			auth->service = needed_template(document, at, "service");
			auth->region = needed_template(document, at, "region");
			auth->access_key = needed_template(document, at, "access_key");
			auth->secret_key = needed_template(document, at, "secret_key");
			auth->session_token = act_template_compile_member(document, at, "session_token", TEMPLATE_IN_AUTH);
			break;
		case AUTH_OAUTH2:
			auth->source = act_token_compile_oauth2(document, at);
			break;
		case AUTH_TOKEN_REQUEST:
			auth->source = act_token_compile_request(document, at);
			break;
	}
}

static bool
is_set(const ConnectorScope *scope, const char *secret)
{
	return scope->secret(scope->arg, secret) != NULL;
}

const Auth *
act_auth_choose(const Connector *connector, const ConnectorScope *scope)
{
	for (int i = 0; i < connector->nauths; i++)
	{
		const Auth *auth = &connector->auths[i];

		if (auth->when == NULL || is_set(scope, auth->when))
			return auth;
	}
	return NULL;
}

/* a, b or c */
static char *
alternatives(const Connector *connector)
{
	StringInfoData list;

	initStringInfo(&list);
	for (int i = 0; i < connector->nauths; i++)
		appendStringInfo(&list, "%s\"%s\"",
						 i == 0 ? "" : i == connector->nauths - 1 ? " or " : ", ",
						 connector->auths[i].when);
	return list.data;
}

char *
act_connector_secret_problem(const Connector *connector, const ConnectorScope *scope)
{
	const Auth *chosen = act_auth_choose(connector, scope);

	if (connector->nauths == 0)
		return NULL;
	if (chosen == NULL)
		return psprintf("no secret is set: connector \"%s\" needs %s", connector->name, alternatives(connector));

	for (const char *const *secret = connector->secrets; *secret != NULL; secret++)
	{
		bool		needed = is_listed(chosen->secrets, *secret);

		if (needed && !is_set(scope, *secret))
			return chosen->when == NULL ? psprintf("secret \"%s\" is not set", *secret) :
				psprintf("secret \"%s\" is set without \"%s\"", chosen->when, *secret);
		if (is_listed(chosen->spare_secrets, *secret) || !is_set(scope, *secret))
			continue;
		for (int i = 0; i < connector->nauths; i++)
		{
			const Auth *other = &connector->auths[i];

			if (other->when == NULL || !is_listed(other->spare_secrets, *secret))
				continue;
			if (chosen->when == NULL)
				return psprintf("secret \"%s\" is set without \"%s\"", *secret, other->when);
			return psprintf("secrets \"%s\" and \"%s\" exclude each other: drop \"%s\" to go on with \"%s\"",
							chosen->when, *secret, *secret, chosen->when);
		}
	}
	return auth_problem(chosen, scope);
}

/* What is wrong with the text of a template that goes into a header; NULL: nothing. */
static const char *
header_problem(const Template *template, TemplateInput *input, StringInfo text)
{
	const char *problem;

	resetStringInfo(text);
	if (act_template_render_text(template, input, text) != TEMPLATE_DONE)
		return "is malformed";
	problem = act_request_value_problem(text->data, text->len);
	return problem == NULL && text->len == 0 ? "is empty" : problem;
}

/* The one that a sentence about its credentials names. */
static const char *
main_secret(const Auth *auth)
{
	return auth->when != NULL ? auth->when : auth->secrets[0] != NULL ? auth->secrets[0] : "none";
}

/* What is wrong with the values themselves, without showing any. */
static char *
auth_problem(const Auth *auth, const ConnectorScope *scope)
{
	const Template *const in_headers[] = {
		auth->token, auth->username, auth->password, auth->access_key, auth->session_token
	};
	TemplateInput input = {.scope = scope};
	StringInfoData text;
	const char *problem = NULL;

	initStringInfo(&text);
	for (int i = 0; i < lengthof(in_headers); i++)
	{
		if (in_headers[i] == NULL)
			continue;
		if (in_headers[i] == auth->session_token &&
			act_template_render_text(auth->session_token, &input, &text) == TEMPLATE_MISSING)
			continue;
		problem = header_problem(in_headers[i], &input, &text);
		if (problem == NULL && in_headers[i] == auth->username && strchr(text.data, ':') != NULL)
			problem = "has a colon in it, which would end it";
		if (problem != NULL)
			return psprintf("the value of secret \"%s\" %s",
							in_headers[i] == auth->password ? "password" : main_secret(auth), problem);
	}
	for (int i = 0; auth->kind == AUTH_HEADERS && i < auth->headers.count && problem == NULL; i++)
		problem = header_problem(auth->headers.items[i].value, &input, &text);
	if (problem != NULL)
		return psprintf("the value of secret \"%s\" %s", main_secret(auth), problem);
	resetStringInfo(&text);
	if (auth->key != NULL &&
		(act_template_render_text(auth->key, &input, &text) != TEMPLATE_DONE || text.len == 0))
		return psprintf("the value of secret \"%s\" is no signing key", main_secret(auth));
	resetStringInfo(&text);
	if (auth->path != NULL)
	{
		problem = act_template_render_text(auth->path, &input, &text) == TEMPLATE_DONE ?
			act_url_suffix_problem(text.data) : "is malformed";
		if (problem != NULL)
			return psprintf("the value of secret \"%s\" %s", main_secret(auth), problem);
	}
	return auth->source == NULL ? NULL : act_token_secret_problem(auth->source, scope);
}

void
act_auth_text(const Template *template, TemplateInput *input, StringInfo out)
{
	TemplateResult result = act_template_render_text(template, input, out);

	if (result != TEMPLATE_DONE)
		act_template_fail(template, input, result);
}

void
act_connector_authorize(const Connector *connector, const ConnectorScope *scope,
						HttpRequest *request, int64 now_s)
{
	const Auth *auth = act_auth_choose(connector, scope);
	TemplateInput input = {.scope = scope};
	StringInfoData value;

	if (auth == NULL)
		return;
	switch (auth->kind)
	{
		case AUTH_NONE:
			break;
		case AUTH_BEARER:
			initStringInfo(&value);
			appendStringInfoString(&value, "Bearer ");
			act_auth_text(auth->token, &input, &value);
			act_request_set_header(connector->name, request, "Authorization", value.data);
			break;
		case AUTH_BASIC:
			authorize_basic(connector, auth, &input, request);
			break;
		case AUTH_HEADERS:
			act_request_add_headers(connector, &auth->headers, &input, request);
			break;
		case AUTH_QUERY:
			authorize_query(auth, &input, request);
			break;
		case AUTH_BODY:
			authorize_body(connector, auth, &input, request);
			break;
		case AUTH_HMAC:
			authorize_hmac(connector, auth, &input, request, now_s);
			break;
		case AUTH_URL:
			authorize_url(connector, auth, &input, request);
			break;
		case AUTH_AWS_SIGV4:
			authorize_aws(connector, auth, &input, request, now_s);
			break;
		case AUTH_OAUTH2:
		case AUTH_TOKEN_REQUEST:
			act_token_authorize(connector, auth->source, &input, request);
			break;
	}
}

/* Parameters behind those of the request; their values are escaped by their templates. */
static void
authorize_query(const Auth *auth, TemplateInput *input, HttpRequest *request)
{
	StringInfoData url;

	initStringInfo(&url);
	appendStringInfoString(&url, request->url);
	for (int i = 0; i < auth->query.count; i++)
	{
		const NamedTemplate *item = &auth->query.items[i];

		appendStringInfo(&url, "%c%s=", strchr(url.data, '?') != NULL ? '&' : '?', item->name);
		act_auth_text(item->value, input, &url);
	}
	request->url = url.data;
}

/* Members in front of those of the body, which is JSON of our own making. */
static void
authorize_body(const Connector *connector, const Auth *auth, TemplateInput *input, HttpRequest *request)
{
	const char *type = act_request_header(request, "Content-Type");
	StringInfoData body;

	if (request->body == NULL || request->body_len < 2 || request->body[0] != '{' ||
		act_request_header(request, "Content-Encoding") != NULL ||
		type == NULL || strstr(type, "json") == NULL || strstr(type, "ndjson") != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("connector \"%s\": its credentials are members of a JSON object, and the body of %s %s is none",
						connector->name, request->method, request->url)));
	initStringInfo(&body);
	enlargeStringInfo(&body, (int) Min(request->body_len + 512, ACT_JSON_MAX_BYTES));
	act_template_render_json(auth->members, input, &body);
	body.data[--body.len] = '\0';	/* its closing brace */
	if (body.len > 1 && request->body[1] != '}')
		appendStringInfoChar(&body, ',');
	appendBinaryStringInfo(&body, request->body + 1, (int) request->body_len - 1);
	request->body = body.data;
	request->body_len = body.len;
}

/*
 * A hook whose address is its secret: the secret, as it was given, between
 * the path of the request and its query.  It can name neither another host
 * nor a path above.
 */
static void
authorize_url(const Connector *connector, const Auth *auth, TemplateInput *input, HttpRequest *request)
{
	size_t		path_len = strcspn(request->url, "?");
	const char *query = request->url + path_len;
	StringInfoData path;
	StringInfoData url;
	bool		only_query;		/* the path stays as it is, to its last slash */

	initStringInfo(&path);
	act_auth_text(auth->path, input, &path);
	if (act_url_suffix_problem(path.data) != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("connector \"%s\": the secret that ends the address %s", connector->name,
						act_url_suffix_problem(path.data))));
	only_query = *path.data == '?';
	while (!only_query && path_len > 0 && request->url[path_len - 1] == '/')
		path_len--;
	initStringInfo(&url);
	appendBinaryStringInfo(&url, request->url, (int) path_len);
	appendStringInfo(&url, "%s%s", only_query ? "" : "/", path.data + strspn(path.data, "/"));
	if (*query != '\0')
		appendStringInfo(&url, "%c%s", strchr(path.data, '?') != NULL ? '&' : '?', query + 1);
	request->url = url.data;
}

static void
authorize_basic(const Connector *connector, const Auth *auth, TemplateInput *input, HttpRequest *request)
{
	StringInfoData pair;
	StringInfoData value;

	initStringInfo(&pair);
	act_auth_text(auth->username, input, &pair);
	appendStringInfoChar(&pair, ':');
	if (auth->password != NULL)
		act_auth_text(auth->password, input, &pair);
	initStringInfo(&value);
	appendStringInfoString(&value, "Basic ");
	act_base64_append(&value, pair.data, pair.len);
	act_request_set_header(connector->name, request, "Authorization", value.data);
}

/* The id of a message: that of its rows, or for a check one of its own. */
static const char *
message_id(const HttpRequest *request, const char *time)
{
	const char *id = act_request_header(request, IDEMPOTENCY_HEADER);

	return id != NULL ? id : psprintf("check_%s", time);
}

static void
authorize_hmac(const Connector *connector, const Auth *auth, TemplateInput *input,
			   HttpRequest *request, int64 now_s)
{
	unsigned char signature[EVP_MAX_MD_SIZE];
	unsigned int signature_len = 0;
	char	   *time = psprintf(INT64_FORMAT, now_s);
	TemplateMessage message = {.id = message_id(request, time),.time = time};
	StringInfoData key;
	StringInfoData payload;

	message.body = act_http_sent_body(request, &message.body_len);
	if (message.body == NULL)
		message.body = "";
	input->message = &message;
	initStringInfo(&key);
	initStringInfo(&payload);
	act_auth_text(auth->key, input, &key);
	act_auth_text(auth->payload, input, &payload);
	if (HMAC(auth->sha512 ? EVP_sha512() : EVP_sha256(), key.data, key.len, (unsigned char *) payload.data, payload.len,
			 signature, &signature_len) == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR), errmsg("HMAC is not available")));
	pfree(payload.data);		/* as large as the body */
	message.signature = signature;
	message.signature_len = signature_len;
	act_request_add_headers(connector, &auth->headers, input, request);
}

static char *
text_of(const Template *template, TemplateInput *input)
{
	StringInfoData text;

	initStringInfo(&text);
	act_auth_text(template, input, &text);
	return text.data;
}

static List *
add_header(List *headers, const char *name, const char *value)
{
	HttpHeader *header = palloc(sizeof(HttpHeader));

	header->name = pstrdup(name);
	header->value = pstrdup(value);
	return lappend(headers, header);
}

/* Host, what the body is, and all that is AWS's own; what a proxy may change is not signed. */
static void
authorize_aws(const Connector *connector, const Auth *auth, TemplateInput *input,
			  HttpRequest *request, int64 now_s)
{
	AwsSigning	signing = {
		.service = text_of(auth->service, input),
		.region = text_of(auth->region, input),
		.access_key = text_of(auth->access_key, input),
		.secret_key = text_of(auth->secret_key, input),
		.time = act_aws_time(now_s)
	};
	List	   *headers = add_header(NIL, "host", act_aws_host(request->url));
	ListCell   *cell;
	StringInfoData token;

	act_request_set_header(connector->name, request, "x-amz-date", signing.time);
	act_request_set_header(connector->name, request, "x-amz-content-sha256", act_aws_body_hash(request));
	initStringInfo(&token);
	if (auth->session_token != NULL &&
		act_template_render_text(auth->session_token, input, &token) == TEMPLATE_DONE)
		act_request_set_header(connector->name, request, "x-amz-security-token", token.data);
	foreach(cell, request->headers)
	{
		const HttpHeader *header = lfirst(cell);

		if (pg_strcasecmp(header->name, "Content-Type") == 0 || pg_strncasecmp(header->name, "x-amz-", 6) == 0)
			headers = add_header(headers, header->name, header->value);
	}
	act_request_set_header(connector->name, request, "Authorization",
						   act_aws_signature(&signing, request, headers));
}

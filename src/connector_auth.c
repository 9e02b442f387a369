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

#include "connector_private.h"
#include "filter.h"
#include "url.h"

/* How receivers tell a repeated request from a new one. */
#define IDEMPOTENCY_HEADER "Idempotency-Key"

/* In the order of AuthKind. */
static const char *const auth_names[] = {"none", "bearer", "basic", "hmac", "url", NULL};
static const char *const later_auth_names[] = {"header", "oauth2", "token_request", "sigv4", "jwt", NULL};

/* The members of each kind. */
static const char *const none_members[] = {"when", "kind", NULL};
static const char *const bearer_members[] = {"when", "kind", "token", NULL};
static const char *const basic_members[] = {"when", "kind", "username", "password", NULL};
static const char *const hmac_members[] = {"when", "kind", "key", "payload", "headers", NULL};

static const char *const url_members[] = {"when", "kind", "path", NULL};

static const char *const *const kind_members[] = {
	[AUTH_NONE] = none_members,
	[AUTH_BEARER] = bearer_members,
	[AUTH_BASIC] = basic_members,
	[AUTH_HMAC] = hmac_members,
	[AUTH_URL] = url_members,
};

static void compile_auth(const Document *document, const cJSON *at, Auth *auth);
static bool auth_names_secret(const Auth *auth, const char *secret);
static const Auth *choose_auth(const Connector *connector, const ConnectorScope *scope);
static char *auth_problem(const Auth *auth, const ConnectorScope *scope);
static void authorize_basic(const Connector *connector, const Auth *auth, TemplateInput *input, HttpRequest *request);
static void authorize_url(const Connector *connector, const Auth *auth, TemplateInput *input, HttpRequest *request);
static void authorize_hmac(const Connector *connector, const Auth *auth, TemplateInput *input,
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

static void
compile_auth(const Document *document, const cJSON *at, Auth *auth)
{
	bool		declared = false;

	if (!cJSON_IsObject(at))
		act_document_error(document, at, NULL, "an object is expected");
	act_document_need(document, at, "kind");
	auth->kind = (AuthKind) act_document_choice(document, at, "kind", auth_names, later_auth_names, 0);
	act_document_check(document, at, kind_members[auth->kind], NULL);
	auth->when = act_document_string(document, at, "when");
	for (const char *const *secret = document->secrets; auth->when != NULL && *secret != NULL; secret++)
		declared |= strcmp(*secret, auth->when) == 0;
	if (auth->when != NULL && !declared)
		act_document_unknown(document, act_document_member(at, "when"), "secret", auth->when, document->secrets);
	if (auth->when == NULL && at->next != NULL)
		act_document_error(document, at, NULL, "credentials without \"when\" before others");

	switch (auth->kind)
	{
		case AUTH_NONE:
			break;
		case AUTH_BEARER:
			auth->token = needed_template(document, at, "token");
			break;
		case AUTH_BASIC:
			auth->username = needed_template(document, at, "username");
			auth->password = needed_template(document, at, "password");
			break;
		case AUTH_HMAC:
			auth->key = needed_template(document, at, "key");
			auth->payload = needed_template(document, at, "payload");
			act_document_need(document, at, "headers");
			auth->headers = act_connector_compile_named(document, at, "headers", TEMPLATE_IN_AUTH);
			break;
		case AUTH_URL:
			auth->path = needed_template(document, at, "path");
			break;
	}
}

static bool
auth_names_secret(const Auth *auth, const char *secret)
{
	const Template *const templates[] = {auth->token, auth->username, auth->password, auth->key, auth->payload,
	auth->path};

	if (auth->when != NULL && strcmp(auth->when, secret) == 0)
		return true;
	for (int i = 0; i < lengthof(templates); i++)
	{
		if (templates[i] != NULL && act_template_names_secret(templates[i], secret))
			return true;
	}
	return false;
}

static bool
is_set(const ConnectorScope *scope, const char *secret)
{
	return scope->secret(scope->arg, secret) != NULL;
}

static const Auth *
choose_auth(const Connector *connector, const ConnectorScope *scope)
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
	const Auth *chosen = choose_auth(connector, scope);

	if (connector->nauths == 0)
		return NULL;
	if (chosen == NULL)
		return psprintf("no secret is set: connector \"%s\" needs %s", connector->name, alternatives(connector));

	for (const char *const *secret = connector->secrets; *secret != NULL; secret++)
	{
		bool		named = auth_names_secret(chosen, *secret);

		if (named && !is_set(scope, *secret))
			return psprintf("secret \"%s\" is set without \"%s\"", chosen->when, *secret);
		if (named || !is_set(scope, *secret))
			continue;
		for (int i = 0; i < connector->nauths; i++)
		{
			const Auth *other = &connector->auths[i];

			if (other->when == NULL || !auth_names_secret(other, *secret))
				continue;
			if (chosen->when == NULL)
				return psprintf("secret \"%s\" is set without \"%s\"", *secret, other->when);
			return psprintf("secrets \"%s\" and \"%s\" exclude each other: drop \"%s\" to go on with \"%s\"",
							chosen->when, *secret, *secret, chosen->when);
		}
	}
	return auth_problem(chosen, scope);
}

/* What is wrong with the values themselves, without showing any. */
static char *
auth_problem(const Auth *auth, const ConnectorScope *scope)
{
	const Template *const in_headers[] = {auth->token, auth->username, auth->password};
	TemplateInput input = {.scope = scope};
	StringInfoData text;

	initStringInfo(&text);
	for (int i = 0; i < lengthof(in_headers); i++)
	{
		const char *problem;

		if (in_headers[i] == NULL)
			continue;
		resetStringInfo(&text);
		if (act_template_render_text(in_headers[i], &input, &text) != TEMPLATE_DONE)
			return psprintf("the value of secret \"%s\" is malformed", auth->when);
		problem = act_request_value_problem(text.data, text.len);
		if (problem == NULL && text.len == 0)
			problem = "is empty";
		if (problem == NULL && in_headers[i] == auth->username && strchr(text.data, ':') != NULL)
			problem = "has a colon in it, which would end it";
		if (problem != NULL)
			return psprintf("the value of secret \"%s\" %s",
							in_headers[i] == auth->password ? "password" : auth->when, problem);
	}
	resetStringInfo(&text);
	if (auth->key != NULL &&
		(act_template_render_text(auth->key, &input, &text) != TEMPLATE_DONE || text.len == 0))
		return psprintf("the value of secret \"%s\" is no signing key", auth->when);
	resetStringInfo(&text);
	if (auth->path != NULL)
	{
		const char *problem = act_template_render_text(auth->path, &input, &text) == TEMPLATE_DONE ?
			act_url_suffix_problem(text.data) : "is malformed";

		if (problem != NULL)
			return psprintf("the value of secret \"%s\" %s", auth->when, problem);
	}
	return NULL;
}

/* Appends the text; throws where there is none. */
static void
need_text(const Template *template, TemplateInput *input, StringInfo out)
{
	TemplateResult result = act_template_render_text(template, input, out);

	if (result != TEMPLATE_DONE)
		act_template_fail(template, input, result);
}

void
act_connector_authorize(const Connector *connector, const ConnectorScope *scope,
						HttpRequest *request, int64 now_s)
{
	const Auth *auth = choose_auth(connector, scope);
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
			need_text(auth->token, &input, &value);
			act_request_set_header(connector->name, request, "Authorization", value.data);
			break;
		case AUTH_BASIC:
			authorize_basic(connector, auth, &input, request);
			break;
		case AUTH_HMAC:
			authorize_hmac(connector, auth, &input, request, now_s);
			break;
		case AUTH_URL:
			authorize_url(connector, auth, &input, request);
			break;
	}
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

	initStringInfo(&path);
	need_text(auth->path, input, &path);
	if (act_url_suffix_problem(path.data) != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("connector \"%s\": the secret that ends the address %s", connector->name,
						act_url_suffix_problem(path.data))));
	while (path_len > 0 && request->url[path_len - 1] == '/')
		path_len--;
	initStringInfo(&url);
	appendBinaryStringInfo(&url, request->url, (int) path_len);
	appendStringInfo(&url, "/%s", path.data + strspn(path.data, "/"));
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
	need_text(auth->username, input, &pair);
	appendStringInfoChar(&pair, ':');
	need_text(auth->password, input, &pair);
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
	need_text(auth->key, input, &key);
	need_text(auth->payload, input, &payload);
	if (HMAC(EVP_sha256(), key.data, key.len, (unsigned char *) payload.data, payload.len,
			 signature, &signature_len) == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR), errmsg("HMAC-SHA-256 is not available")));
	pfree(payload.data);		/* as large as the body */
	message.signature = signature;
	message.signature_len = signature_len;
	act_request_add_headers(connector, &auth->headers, input, request);
}

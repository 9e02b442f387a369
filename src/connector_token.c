/*-------------------------------------------------------------------------
 *
 * connector_token.c
 *	  Tokens that credentials are exchanged for: kinds "oauth2" and
 *	  "token_request" of a document's auth, how they are asked for and used.
 *
 * Compiled with the document, in its memory context.  Requests and what
 * their answers say are allocated in the current one; neither database nor
 * network is touched.  Values of secrets and tokens stand in requests and
 * in what is returned, and in no message.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <openssl/evp.h>

#include "connector_token.h"
#include "json_text.h"
#include "url.h"

#define JWT_DEFAULT_TTL_MS (5 * 60 * 1000)
#define JWT_MAX_TTL_MS (24 * 60 * 60 * 1000)

const char *const act_token_oauth2_members[] = {
	"when", "kind", "grant", "token_url", "client_auth", "client_id", "client_secret", "refresh_token", "rotates",
	"scope", "audience", "extra", "keep", "ttl", "jwt", "header", NULL
};
const char *const act_token_request_members[] = {
	"when", "kind", "request", "token", "expires_in", "ttl", "keep", "header", NULL
};

static const char *const jwt_members[] = {"algorithm", "key", "header", "claims", "ttl", NULL};
static const char *const jwt_algorithms[] = {"RS256", NULL};
static const char *const grant_names[] = {"client_credentials", "refresh_token", "jwt_bearer", NULL};
static const char *const client_auths[] = {"body", "basic", NULL};

/* Of each grant: what is not its own. */
static const char *const foreign_members[][4] = {
	[GRANT_CLIENT_CREDENTIALS] = {"refresh_token", "rotates", "jwt", NULL},
	[GRANT_REFRESH_TOKEN] = {"jwt", NULL},
	[GRANT_JWT_BEARER] = {"refresh_token", "rotates", NULL},
};

/* ----------------------------------------------------------------
 *		Compiling
 * ----------------------------------------------------------------
 */

static const Template *
needed(const Document *document, const cJSON *at, const char *name, int place)
{
	act_document_need(document, at, name);
	return act_template_compile_member(document, at, name, place);
}

static const Template *
compile_object(const Document *document, const cJSON *at, const char *name)
{
	const cJSON *object = act_document_member(at, name);
	Template   *rows;
	const Template *template;

	if (object == NULL)
		return NULL;
	if (!cJSON_IsObject(object))
		act_document_error(document, object, NULL, "an object is expected");
	template = act_template_compile_json(document, object, TEMPLATE_IN_AUTH, &rows);
	if (rows != NULL)
		act_document_error(document, object, NULL, "\"$rows\" in credentials");
	return template;
}

/* "Name: template" */
static void
compile_header(const Document *document, const cJSON *at, TokenSource *source)
{
	static const char standard[] = "Authorization: Bearer {{token.access_token}}";
	const cJSON *member = act_document_member(at, "header");
	char	   *text = act_document_string(document, at, "header");
	const char *value;
	size_t		name_len;

	if (text == NULL)
		text = pstrdup(standard);
	name_len = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-.^_`|~");
	value = text + name_len;
	if (name_len == 0 || *value != ':' || value[1 + strspn(value + 1, " ")] == '\0')
		act_document_error(document, member, "Such as \"Authorization: Bearer {{token.access_token}}\".",
						   "no header with its value");
	value += 1 + strspn(value + 1, " ");
	source->header_name = pnstrdup(text, name_len);
	if (strstr(value, "token.access_token") == NULL)
		act_document_error(document, member, NULL, "a header without {{token.access_token}}");
	source->header = act_template_compile_text(document, member == NULL ? at : member, value, strlen(value),
											   TEMPLATE_IN_AUTH);
}

/* What is called so, or goes where the token goes, is nobody else's business. */
static bool
sounds_secret(const char *name, const char *header)
{
	static const char *const words[] = {"token", "secret", "password", "key", "session", "signature", "jwt"};

	for (int i = 0; i < lengthof(words); i++)
	{
		if (strstr(name, words[i]) != NULL)
			return true;
	}
	return header != NULL && strstr(header, psprintf("token.%s", name)) != NULL;
}

static void
compile_kept(const Document *document, const cJSON *at, TokenSource *source)
{
	const cJSON *keep = act_document_member(at, "keep");
	const char *header = act_document_string(document, at, "header");

	if (keep != NULL && !cJSON_IsObject(keep))
		act_document_error(document, keep, NULL, "an object is expected");
	source->kept = palloc0(((keep == NULL ? 0 : cJSON_GetArraySize(keep)) + 1) * sizeof(KeptValue));
	for (const cJSON *member = keep == NULL ? NULL : keep->child; member != NULL; member = member->next)
	{
		KeptValue  *kept = &source->kept[source->nkept++];

		if (strcmp(member->string, "access_token") == 0)
			act_document_error(document, member, NULL, "\"access_token\", which is kept anyway,");
		if (*member->string == '\0' || strspn(member->string, "abcdefghijklmnopqrstuvwxyz0123456789_") != strlen(member->string))
			act_document_error(document, member, NULL, "a name that is no plain identifier");
		if (act_document_member(keep, member->string) != member)
			act_document_error(document, member, NULL, "member \"%s\" given twice", member->string);
		kept->name = pstrdup(member->string);
		kept->at = act_document_pointer(document, keep, member->string);
		kept->is_secret = sounds_secret(kept->name, header);
	}
}

static void
compile_jwt(const Document *document, const cJSON *at, TokenSource *source)
{
	const cJSON *jwt = act_document_need(document, at, "jwt");

	act_document_check(document, jwt, jwt_members, NULL);
	(void) act_document_choice(document, jwt, "algorithm", jwt_algorithms, NULL, 0);
	source->jwt_key = needed(document, jwt, "key", TEMPLATE_IN_AUTH);
	source->jwt_header = compile_object(document, jwt, "header");
	act_document_need(document, jwt, "claims");
	source->jwt_claims = compile_object(document, jwt, "claims");
	source->jwt_ttl_ms = act_rate_compile_duration(document, jwt, "ttl", 1000, JWT_DEFAULT_TTL_MS);
	if (source->jwt_ttl_ms > JWT_MAX_TTL_MS)
		act_document_error(document, act_document_member(jwt, "ttl"), NULL, "a time of more than a day");
}

/* The one secret that a template is, so that another value can be kept in its place. */
static const char *
whole_secret(const Document *document, const cJSON *at, const Template *template)
{
	for (const char *const *secret = document->secrets; secret != NULL && *secret != NULL; secret++)
	{
		if (act_template_is_optional(template) && act_template_names_secret(template, *secret))
			return *secret;
	}
	act_document_error(document, act_document_member(at, "refresh_token"), "Such as \"{{secret.refresh_token}}\".",
					   "no single secret");
}

const TokenSource *
act_token_compile_oauth2(const Document *document, const cJSON *at)
{
	TokenSource *source = palloc0(sizeof(TokenSource));

	act_document_need(document, at, "grant");
	source->grant = (TokenGrant) act_document_choice(document, at, "grant", grant_names, NULL, 0);
	for (const char *const *foreign = foreign_members[source->grant]; *foreign != NULL; foreign++)
	{
		if (act_document_member(at, *foreign) != NULL)
			act_document_error(document, act_document_member(at, *foreign), NULL,
							   "\"%s\", which grant \"%s\" does not have,", *foreign, grant_names[source->grant]);
	}
	source->url = needed(document, at, "token_url", 0);
	source->basic = act_document_choice(document, at, "client_auth", client_auths, NULL, 0) == 1;
	if (source->grant == GRANT_CLIENT_CREDENTIALS || source->basic)
	{
		act_document_need(document, at, "client_id");
		act_document_need(document, at, "client_secret");
	}
	source->client_id = act_template_compile_member(document, at, "client_id", TEMPLATE_IN_AUTH);
	source->client_secret = act_template_compile_member(document, at, "client_secret", TEMPLATE_IN_AUTH);
	if (source->grant == GRANT_REFRESH_TOKEN)
	{
		source->refresh_token = needed(document, at, "refresh_token", TEMPLATE_IN_AUTH);
		source->refresh_secret = whole_secret(document, at, source->refresh_token);
		source->rotates = act_document_bool(document, at, "rotates", true);
	}
	if (source->grant == GRANT_JWT_BEARER)
		compile_jwt(document, at, source);
	source->scope = act_template_compile_member(document, at, "scope", TEMPLATE_IN_AUTH);
	source->audience = act_template_compile_member(document, at, "audience", TEMPLATE_IN_AUTH);
	source->extra = act_connector_compile_named(document, at, "extra", TEMPLATE_IN_AUTH);
	source->ttl_ms = act_rate_compile_duration(document, at, "ttl", 1000, 0);
	source->token = act_json_pointer_compile("/access_token");
	source->expires_in = act_json_pointer_compile("/expires_in");
	compile_kept(document, at, source);
	compile_header(document, at, source);
	return source;
}

const TokenSource *
act_token_compile_request(const Document *document, const cJSON *at)
{
	TokenSource *source = palloc0(sizeof(TokenSource));

	source->is_request = true;
	source->request = act_connector_compile_request(document, act_document_need(document, at, "request"),
													REQUEST_FOR_TOKEN);
	act_document_need(document, at, "token");
	source->token = act_document_pointer(document, at, "token");
	source->expires_in = act_document_pointer(document, at, "expires_in");
	source->ttl_ms = act_rate_compile_duration(document, at, "ttl", 1000, 0);
	compile_kept(document, at, source);
	compile_header(document, at, source);
	return source;
}

/* ----------------------------------------------------------------
 *		Asking
 * ----------------------------------------------------------------
 */

static char *
text_of(const Template *template, const ConnectorScope *scope)
{
	TemplateInput input = {.scope = scope};
	StringInfoData text;

	initStringInfo(&text);
	act_auth_text(template, &input, &text);
	return text.data;
}

/* NULL where there is none, of a template that may drop out. */
static char *
spare_text(const Template *template, const ConnectorScope *scope)
{
	TemplateInput input = {.scope = scope};
	StringInfoData text;

	if (template == NULL)
		return NULL;
	initStringInfo(&text);
	return act_template_render_text(template, &input, &text) == TEMPLATE_DONE ? text.data : NULL;
}

static void
append_form_encoded(StringInfo buf, const char *text)
{
	for (; *text != '\0'; text++)
	{
		unsigned char c = (unsigned char) *text;

		if (act_url_unreserved(c))
			appendStringInfoChar(buf, (char) c);
		else
			appendStringInfo(buf, "%%%02X", c);
	}
}

/* value NULL: it drops out */
static void
append_parameter(StringInfo body, const char *name, const char *value)
{
	if (value == NULL)
		return;
	if (body->len > 0)
		appendStringInfoChar(body, '&');
	append_form_encoded(body, name);
	appendStringInfoChar(body, '=');
	append_form_encoded(body, value);
}

/* {"a":1} and {"b":2} become {"a":1,"b":2}; either may be NULL. */
static char *
join_objects(const char *first, const char *second)
{
	if (second == NULL || strcmp(second, "{}") == 0)
		return pstrdup(first == NULL ? "{}" : first);
	if (first == NULL || strcmp(first, "{}") == 0)
		return pstrdup(second);
	return psprintf("%.*s,%s", (int) strlen(first) - 1, first, second + 1);
}

static char *
json_of(const Template *template, const ConnectorScope *scope)
{
	TemplateInput input = {.scope = scope};
	StringInfoData text;

	if (template == NULL)
		return NULL;
	initStringInfo(&text);
	act_template_render_json(template, &input, &text);
	return text.data;
}

static bool
has_member(const char *object, const char *name)
{
	const char *value;
	size_t		len;

	return act_json_find_member(object, strlen(object), name, &value, &len);
}

/* What the document says of the claims, and when they hold. */
static char *
claims_at(const TokenSource *source, const ConnectorScope *scope, int64 now_s)
{
	char	   *claims = json_of(source->jwt_claims, scope);

	if (!has_member(claims, "iat"))
		claims = join_objects(claims, psprintf("{\"iat\":" INT64_FORMAT "}", now_s));
	if (!has_member(claims, "exp"))
		claims = join_objects(claims, psprintf("{\"exp\":" INT64_FORMAT "}", now_s + source->jwt_ttl_ms / 1000));
	return claims;
}

static char *
assertion(const Connector *connector, const TokenSource *source, const ConnectorScope *scope, int64 now_s)
{
	const char *problem = NULL;
	char	   *header = join_objects("{\"alg\":\"RS256\",\"typ\":\"JWT\"}", json_of(source->jwt_header, scope));
	char	   *jwt = act_jwt_sign(header, claims_at(source, scope, now_s), text_of(source->jwt_key, scope), &problem);

	if (jwt == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION),
				 errmsg("connector \"%s\": the key that its tokens are signed with %s", connector->name, problem)));
	return jwt;
}

static void
append_grant(const Connector *connector, const TokenSource *source, const ConnectorScope *scope, int64 now_s,
			 StringInfo body)
{
	switch (source->grant)
	{
		case GRANT_CLIENT_CREDENTIALS:
			append_parameter(body, "grant_type", "client_credentials");
			break;
		case GRANT_REFRESH_TOKEN:
			append_parameter(body, "grant_type", "refresh_token");
			append_parameter(body, "refresh_token", text_of(source->refresh_token, scope));
			break;
		case GRANT_JWT_BEARER:
			append_parameter(body, "grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer");
			append_parameter(body, "assertion", now_s < 0 ? json_of(source->jwt_claims, scope) :
							 assertion(connector, source, scope, now_s));
			break;
	}
}

/* Both parts are escaped before they are joined (RFC 6749, 2.3.1). */
static void
set_basic(const Connector *connector, const TokenSource *source, const ConnectorScope *scope, HttpRequest *request)
{
	StringInfoData pair;
	StringInfoData value;

	initStringInfo(&pair);
	append_form_encoded(&pair, text_of(source->client_id, scope));
	appendStringInfoChar(&pair, ':');
	append_form_encoded(&pair, text_of(source->client_secret, scope));
	initStringInfo(&value);
	appendStringInfoString(&value, "Basic ");
	act_base64_append(&value, pair.data, pair.len);
	act_request_set_header(connector->name, request, "Authorization", value.data);
}

/* now_s < 0: without a signature that carries the time. */
static void
render_oauth2(const Connector *connector, const TokenSource *source, const ConnectorScope *scope, int64 now_s,
			  HttpRequest *request)
{
	StringInfoData body;

	memset(request, 0, sizeof(HttpRequest));
	request->method = "POST";
	request->url = text_of(source->url, scope);
	if (act_url_problem(request->url) != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_INVALID_ATTRIBUTE_VALUE),
				 errmsg("connector \"%s\": tokens cannot be asked for at \"%s\": %s", connector->name,
						request->url, act_url_problem(request->url))));
	initStringInfo(&body);
	append_grant(connector, source, scope, now_s, &body);
	if (source->basic)
		set_basic(connector, source, scope, request);
	else
	{
		append_parameter(&body, "client_id", spare_text(source->client_id, scope));
		append_parameter(&body, "client_secret", spare_text(source->client_secret, scope));
	}
	append_parameter(&body, "scope", spare_text(source->scope, scope));
	append_parameter(&body, "audience", spare_text(source->audience, scope));
	for (int i = 0; i < source->extra.count; i++)
		append_parameter(&body, source->extra.items[i].name, spare_text(source->extra.items[i].value, scope));
	request->body = body.data;
	request->body_len = body.len;
	request->at_most_once = source->rotates;
	act_request_set_header(connector->name, request, "Content-Type", "application/x-www-form-urlencoded");
	act_request_set_header(connector->name, request, "Accept", "application/json");
}

static void
render_request(const Connector *connector, const TokenSource *source, const ConnectorScope *scope, int64 now_s,
			   HttpRequest *request)
{
	TemplateInput input = {.scope = scope};

	if (source->is_request)
		act_request_render(connector, source->request, &input, 0, request);
	else
		render_oauth2(connector, source, scope, now_s, request);
}

pg_noinline const TokenSource *
act_token_source(const Connector *connector, const ConnectorScope *scope)
{
	const Auth *auth = act_auth_choose(connector, scope);

	return auth == NULL ? NULL : auth->source;
}

bool
act_connector_needs_token(const Connector *connector, const ConnectorScope *scope)
{
	return act_token_source(connector, scope) != NULL;
}

List *
act_connector_sample_token(const Connector *connector, const ConnectorScope *scope, const char *value)
{
	const TokenSource *source = act_token_source(connector, scope);
	List	   *values = NIL;
	const char *open = "token.example";

	if (source == NULL)
		return NIL;
	/* What is no secret may be an address, and is one that nobody has. */
	if (connector->base_url != NULL && act_template_is_optional(connector->base_url))
		open = "https://token.example";
	values = act_token_add_value(values, "access_token", value);
	for (int i = 0; i < source->nkept; i++)
		values = act_token_add_value(values, source->kept[i].name, source->kept[i].is_secret ? value : open);
	return values;
}

const char *
act_connector_rotating_secret(const Connector *connector, const ConnectorScope *scope)
{
	const TokenSource *source = act_token_source(connector, scope);

	return source != NULL && source->rotates ? source->refresh_secret : NULL;
}

void
act_connector_render_token(const Connector *connector, const ConnectorScope *scope, int64 now_s, HttpRequest *request)
{
	render_request(connector, act_token_source(connector, scope), scope, now_s, request);
}

/* The request that would be made, but for the time in it. */
void
act_connector_token_digest(const Connector *connector, const ConnectorScope *scope, uint8 *digest)
{
	const TokenSource *source = act_token_source(connector, scope);
	HttpRequest request;
	StringInfoData text;
	ListCell   *cell;

	render_request(connector, source, scope, -1, &request);
	initStringInfo(&text);
	appendStringInfo(&text, "%s %s %s\n", connector->name, request.method, request.url);
	foreach(cell, request.headers)
	{
		const HttpHeader *header = lfirst(cell);

		appendStringInfo(&text, "%s: %s\n", header->name, header->value);
	}
	if (source->jwt_key != NULL)
		appendStringInfo(&text, "%s\n", text_of(source->jwt_key, scope));
	if (request.body != NULL)
		appendBinaryStringInfo(&text, request.body, (int) request.body_len);
	if (EVP_Digest(text.data, text.len, digest, NULL, EVP_sha256(), NULL) != 1)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR), errmsg("SHA-256 is not available")));
	explicit_bzero(text.data, text.len);
}

List *
act_connector_token_origins(const Connector *connector, const ConnectorScope *scope)
{
	List	   *origins = NIL;

	for (int i = 0; i < connector->nauths; i++)
	{
		const TokenSource *source = connector->auths[i].source;
		char	   *url = source == NULL || source->is_request ? NULL : spare_text(source->url, scope);
		char	   *origin = url == NULL ? NULL : act_url_origin(url);
		bool		known = origin == NULL;
		ListCell   *cell;

		foreach(cell, origins)
			known = known || strcmp(lfirst(cell), origin) == 0;
		if (!known)
			origins = lappend(origins, origin);
	}
	return origins;
}

/* ----------------------------------------------------------------
 *		Its use
 * ----------------------------------------------------------------
 */

void
act_token_authorize(const Connector *connector, const TokenSource *source, TemplateInput *input, HttpRequest *request)
{
	StringInfoData value;

	initStringInfo(&value);
	act_auth_text(source->header, input, &value);
	act_request_set_header(connector->name, request, source->header_name, value.data);
}

char *
act_token_secret_problem(const TokenSource *source, const ConnectorScope *scope)
{
	char	   *key = spare_text(source->jwt_key, scope);
	const char *problem = NULL;

	/* A definition knows secrets only as asterisks. */
	if (key == NULL || strcmp(key, "********") == 0)
		return NULL;
	if (act_jwt_sign("{}", "{}", key, &problem) == NULL)
		return psprintf("the value of the secret that tokens are signed with %s", problem);
	return NULL;
}

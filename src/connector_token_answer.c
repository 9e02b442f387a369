/*-------------------------------------------------------------------------
 *
 * connector_token_answer.c
 *	  What the answer of a token endpoint says.
 *
 * Called by token.c for each answer.  All that is returned is in the current
 * memory context, the JSON tree is gone.  Throws for want of memory only: an
 * answer of any kind has a token, or words for why it has none.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "connector_token.h"
#include "json_text.h"

/* All that is kept of one answer; servers refuse larger headers anyway. */
#define TOKEN_MAX_BYTES ACT_TOKEN_MAX_BYTES
/* No answer makes a token last longer. */
#define TOKEN_MAX_SECONDS (366 * 24 * 60 * 60)
/* It is asked for anew so long before its end, or at half of its time. */
#define TOKEN_MARGIN_SECONDS 60
#define REASON_MAX_BYTES 400

List *
act_token_add_value(List *values, const char *name, const char *value)
{
	HttpHeader *kept = palloc(sizeof(HttpHeader));

	kept->name = pstrdup(name);
	kept->value = pstrdup(value);
	return lappend(values, kept);
}

static char *
text_at(const JsonPointer *pointer, const cJSON *root)
{
	const cJSON *value = pointer == NULL ? NULL : act_json_pointer_resolve(pointer, root);

	return value == NULL ? NULL : act_json_scalar_text(value);
}

/* What an answer says of why: as OAuth has it, as many others do, or as it stands. */
static char *
answer_reason(const Connector *connector, const cJSON *root)
{
	static const char *const pointers[] = {
		"/error_description", "/error/message", "/message", "/errors/0/message", "/error"
	};

	for (int i = 0; root != NULL && i < lengthof(pointers); i++)
	{
		char	   *text = text_at(act_json_pointer_compile(pointers[i]), root);

		/* Secrets go first: a part of one is none that could be found. */
		if (text != NULL && *text != '\0')
			return act_answer_words(connector, text, REASON_MAX_BYTES);
	}
	return NULL;
}

static char *
safe_text(char *text)
{
	StringInfoData safe;

	if (text == NULL)
		return NULL;
	initStringInfo(&safe);
	act_utf8_append(&safe, text, strlen(text));
	return safe.data;
}

static void
refuse(const Connector *connector, const HttpResponse *response, const cJSON *root, ConnectorToken *token)
{
	char	   *code = root == NULL ? NULL : text_at(act_json_pointer_compile("/error"), root);
	char	   *reason = safe_text(answer_reason(connector, root));

	if (code != NULL && (strlen(code) > 64 || act_request_value_problem(code, strlen(code)) != NULL))
		code = NULL;
	token->later = response->status == 429 || response->status == 408 || response->status >= 500;
	token->code = code;
	token->problem = reason == NULL || (code != NULL && strcmp(code, reason) == 0) ?
		psprintf("the token endpoint answered %d%s%s", response->status, code ? " " : "", code ? code : "") :
		psprintf("the token endpoint answered %d%s%s: %s", response->status, code ? " " : "", code ? code : "", reason);
}

static bool
keep_value(ConnectorToken *token, const char *name, char *value, bool is_secret, size_t *bytes)
{
	*bytes += strlen(name) + strlen(value) + 2;
	if (*value == '\0' || act_request_value_problem(value, strlen(value)) != NULL)
		token->problem = psprintf("the token endpoint's answer has a value of \"%s\" that cannot be used", name);
	else if (*bytes > TOKEN_MAX_BYTES)
		token->problem = psprintf("the token endpoint's answer has more than %d bytes to keep", TOKEN_MAX_BYTES);
	if (token->problem != NULL)
		return false;
	token->values = act_token_add_value(token->values, name, value);
	if (is_secret)
		token->secrets = lappend(token->secrets, llast(token->values));
	return true;
}

/* Seconds that it lasts, by its answer; 0: it does not say. */
static int64
seconds_left(const TokenSource *source, const cJSON *root)
{
	char	   *text = text_at(source->expires_in, root);
	char	   *end;
	double		seconds;

	if (text == NULL || *text == '\0')
		return source->ttl_ms / 1000;
	seconds = strtod(text, &end);
	if (*end != '\0' || !(seconds >= 1))
		return source->ttl_ms / 1000;
	return (int64) Min(seconds, TOKEN_MAX_SECONDS);
}

static void
read_values(const TokenSource *source, const cJSON *root, int64 now_s, ConnectorToken *token)
{
	const cJSON *value = act_json_pointer_resolve(source->token, root);
	size_t		bytes = 0;
	int64		seconds;

	if (value == NULL || !(cJSON_IsString(value) || cJSON_IsNumber(value)))
	{
		token->problem = psprintf("the token endpoint's answer has no token at %s", source->token->text);
		return;
	}
	if (!keep_value(token, "access_token", act_json_scalar_text(value), true, &bytes))
		return;
	for (int i = 0; i < source->nkept; i++)
	{
		char	   *text = text_at(source->kept[i].at, root);

		if (text != NULL && !keep_value(token, source->kept[i].name, text, source->kept[i].is_secret, &bytes))
			return;
	}
	seconds = seconds_left(source, root);
	if (seconds > 0)
		token->expires_s = now_s + Max(seconds - TOKEN_MARGIN_SECONDS, (seconds + 1) / 2);
	if (source->grant == GRANT_REFRESH_TOKEN && !source->is_request)
		token->refresh_token = text_at(act_json_pointer_compile("/refresh_token"), root);
	if (token->refresh_token != NULL && (strlen(token->refresh_token) > TOKEN_MAX_BYTES ||
										 *token->refresh_token == '\0'))
		token->problem = "the token endpoint's answer has a refresh token that cannot be used";
}

void
act_connector_read_token(const Connector *connector, const ConnectorScope *scope, const HttpResponse *response,
						 int64 now_s, ConnectorToken *token)
{
	const TokenSource *source = act_token_source(connector, scope);
	cJSON	   *volatile root = NULL;
	char	   *problem = NULL;

	memset(token, 0, sizeof(ConnectorToken));
	if (response->transport != HTTP_ANSWERED)
	{
		token->problem = psprintf("the token endpoint cannot be asked: %s", response->problem);
		token->hint = response->hint;
		token->later = response->transport != HTTP_FORBIDDEN && response->transport != HTTP_UNTRUSTED &&
			response->transport != HTTP_TOO_LARGE;
		return;
	}
	PG_TRY();
	{
		root = act_json_parse(response->body, response->body_len, JSON_ANSWER, &problem);
		if (response->status < 200 || response->status > 299)
			refuse(connector, response, root, token);
		else if (root == NULL)
			token->problem = psprintf("the token endpoint's answer cannot be read: as JSON, %s", problem);
		else
			read_values(source, root, now_s, token);
		/* Some say no with a yes. */
		if (token->problem != NULL && !token->code && response->status < 300 && root != NULL &&
			text_at(act_json_pointer_compile("/error"), root) != NULL)
			refuse(connector, response, root, token);
	}
	PG_FINALLY();
	{
		cJSON_Delete(root);
	}
	PG_END_TRY();
}

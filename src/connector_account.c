/*-------------------------------------------------------------------------
 *
 * connector_account.c
 *	  Whose account the credentials are of: section "account" of a document.
 *
 * Compiled with the document, rendered and read for check_destination() and
 * at the beginning of runs whose destination pins its account.  Touches
 * neither database nor network; allocates in the current memory context.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "connector_discover.h"
#include "connector_path.h"
#include "connector_private.h"
#include "json_text.h"

#define MAX_TEXT 500
#define MAX_SCOPES 1000

static const char *const account_members[] = {"request", "id", "name", "environment", "scopes", "needs", NULL};
static const char *const environment_members[] = {"at", "map", NULL};

struct AccountSection
{
	const RequestTemplate *request;
	const Path *id;
	const Template *id_text;	/* in place of id: said without looking */
	const Path *name;
	const Path *environment;
	int			nmapped;
	char	  **theirs;			/* of its environments, */
	char	  **ours;			/* and what they are called here */
	const Path *scopes;
	List	   *needs;			/* of char * */
};

/* Where it stands in the answer, or {"text": what it is}. */
static void
compile_id(const Document *document, const cJSON *at, struct AccountSection *section)
{
	static const char *const members[] = {"text", NULL};

	if (!cJSON_IsObject(at))
	{
		section->id = act_path_compile(document, at);
		return;
	}
	act_document_check(document, at, members, NULL);
	act_document_need(document, at, "text");
	section->id_text = act_template_compile_member(document, at, "text", 0);
}

static void
compile_environment(const Document *document, const cJSON *at, struct AccountSection *section)
{
	const cJSON *map;

	if (at == NULL)
		return;
	if (cJSON_IsString(at))
	{
		section->environment = act_path_compile(document, at);
		return;
	}
	act_document_check(document, at, environment_members, NULL);
	section->environment = act_path_compile(document, act_document_need(document, at, "at"));
	map = act_document_need(document, at, "map");
	if (!cJSON_IsObject(map))
		act_document_error(document, map, NULL, "an object is expected");
	section->theirs = palloc0(sizeof(char *) * Max(1, cJSON_GetArraySize(map)));
	section->ours = palloc0(sizeof(char *) * Max(1, cJSON_GetArraySize(map)));
	for (const cJSON *one = map->child; one != NULL; one = one->next)
	{
		if (!cJSON_IsString(one))
			act_document_error(document, one, NULL, "a string is expected");
		section->theirs[section->nmapped] = pstrdup(one->string);
		section->ours[section->nmapped++] = pstrdup(one->valuestring);
	}
}

void
act_account_compile(const Document *document, const cJSON *at, Connector *connector)
{
	struct AccountSection *section;
	const cJSON *needs;

	if (at == NULL)
		return;
	act_document_check(document, at, account_members, NULL);
	section = palloc0(sizeof(struct AccountSection));
	section->request = act_connector_compile_request(document, act_document_need(document, at, "request"), 0);
	compile_id(document, act_document_need(document, at, "id"), section);
	section->name = act_path_compile_member(document, at, "name");
	compile_environment(document, act_document_member(at, "environment"), section);
	section->scopes = act_path_compile_member(document, at, "scopes");
	needs = act_document_array(document, at, "needs");
	if (needs != NULL && section->scopes == NULL)
		act_document_error(document, needs, NULL, "\"needs\" without \"scopes\"");
	for (const cJSON *one = needs == NULL ? NULL : needs->child; one != NULL; one = one->next)
	{
		if (!cJSON_IsString(one))
			act_document_error(document, one, NULL, "a string is expected");
		section->needs = lappend(section->needs, pstrdup(one->valuestring));
	}
	connector->account = section;
}

bool
act_connector_tells_account(const Connector *connector)
{
	return connector->account != NULL;
}

void
act_connector_render_account(const Connector *connector, const ConnectorScope *scope, HttpRequest *request)
{
	TemplateInput input = {.scope = scope};

	act_request_render(connector, connector->account->request, &input, 0, request);
}

typedef struct AccountReading
{
	const Connector *connector;
	const ConnectorScope *scope;
	ConnectorAccount *account;
} AccountReading;

static char *
text_at(const AccountReading *reading, const Path *path, const cJSON *root)
{
	const Connector *connector = reading->connector;
	char	   *text = act_path_text(path, reading->scope, root);

	if (text == NULL)
		return NULL;
	if (connector->redact != NULL)
		text = connector->redact(connector->redact_arg, text);
	if (strlen(text) > MAX_TEXT)
		text[act_utf8_clip(text, strlen(text), MAX_TEXT)] = '\0';
	return text;
}

static char *
account_id(const AccountReading *reading, const cJSON *root)
{
	const struct AccountSection *section = reading->connector->account;
	TemplateInput input = {.scope = reading->scope};
	StringInfoData text;

	if (section->id_text == NULL)
		return text_at(reading, section->id, root);
	initStringInfo(&text);
	return act_template_render_text(section->id_text, &input, &text) == TEMPLATE_DONE ? text.data : NULL;
}

/* An array of them, or text of words. */
static List *
read_scopes(const AccountReading *reading, const Path *path, const cJSON *root)
{
	const Connector *connector = reading->connector;
	List	   *scopes = NIL;
	ListCell   *cell;

	foreach(cell, act_path_find(path, reading->scope, root))
	{
		const cJSON *place = lfirst(cell);

		for (const cJSON *one = cJSON_IsArray(place) ? place->child : place; one != NULL;
			 one = cJSON_IsArray(place) ? one->next : NULL)
		{
			char	   *next = !cJSON_IsString(one) ? NULL : connector->redact == NULL ? pstrdup(one->valuestring) :
				connector->redact(connector->redact_arg, one->valuestring);

			while (next != NULL && list_length(scopes) < MAX_SCOPES)
			{
				char	   *word = next + strspn(next, " ,\t\r\n");
				size_t		len = strcspn(word, " ,\t\r\n");

				if (len == 0)
					break;
				scopes = lappend(scopes, pnstrdup(word, Min(len, MAX_TEXT)));
				next = word + len;
			}
		}
	}
	return scopes;
}

static bool
has_scope(const List *scopes, const char *wanted)
{
	ListCell   *cell;

	foreach(cell, scopes)
	{
		if (strcmp(lfirst(cell), wanted) == 0)
			return true;
	}
	return false;
}

static void
read_account(const cJSON *root, const char *problem, ConnectorAnswer *answer, void *arg)
{
	AccountReading *reading = arg;
	const Connector *connector = reading->connector;
	const struct AccountSection *section = connector->account;
	ConnectorAccount *account = reading->account;
	ListCell   *cell;

	account->id = account_id(reading, root);
	if (account->id == NULL)
	{
		answer->verdict = VERDICT_CONFIGURATION;
		answer->message = psprintf("HTTP %d, but %s", answer->http_status,
								   root == NULL ? problem : "the answer does not say which account it is");
		return;
	}
	account->name = text_at(reading, section->name, root);
	account->environment = text_at(reading, section->environment, root);
	for (int i = 0; account->environment != NULL && i < section->nmapped; i++)
	{
		if (strcmp(section->theirs[i], account->environment) == 0)
		{
			account->environment = pstrdup(section->ours[i]);
			break;
		}
	}
	account->has_scopes = section->scopes != NULL;
	account->scopes = read_scopes(reading, section->scopes, root);
	foreach(cell, section->needs)
	{
		if (!has_scope(account->scopes, lfirst(cell)))
			account->missing = lappend(account->missing, pstrdup(lfirst(cell)));
	}
}

void
act_connector_read_account(const Connector *connector, const ConnectorScope *scope,
						   const HttpResponse *response, int64 now_ms,
						   ConnectorAnswer *answer, ConnectorAccount *account)
{
	AccountReading reading = {.connector = connector,.scope = scope,.account = account};

	memset(account, 0, sizeof(ConnectorAccount));
	act_answer_read(connector, response, now_ms, read_account, &reading, answer);
}

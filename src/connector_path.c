/*-------------------------------------------------------------------------
 *
 * connector_path.c
 *	  Places in an answer that a JSON pointer alone cannot name.
 *
 * Compiled with a document (22023 by its JSON pointer), followed outside of
 * transactions; an answer can make it neither throw nor take long: it is
 * walked once for each "*", down to the depth that answers can have.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"

#include "connector_path.h"

typedef struct PathToken
{
	const char *name;			/* of a member; NULL: it is one of the others */
	const Template *template;	/* makes the name; NULL: each member */
} PathToken;

struct Path
{
	int			ntokens;
	PathToken  *tokens;
};

const Path *
act_path_compile(const Document *document, const cJSON *at)
{
	JsonPointer *pointer = cJSON_IsString(at) ? act_json_pointer_compile(at->valuestring) : NULL;
	Path	   *path;

	if (pointer == NULL)
		act_document_error(document, at,
						   "A JSON pointer is empty or begins with \"/\"; here \"*\" stands for each member.",
						   cJSON_IsString(at) ? "malformed JSON pointer" : "a JSON pointer is expected");
	path = palloc0(sizeof(Path));
	path->ntokens = pointer->ntokens;
	path->tokens = palloc0(sizeof(PathToken) * Max(1, pointer->ntokens));
	for (int i = 0; i < pointer->ntokens; i++)
	{
		const char *token = pointer->tokens[i];

		if (strstr(token, "{{") != NULL)
			path->tokens[i].template = act_template_compile_text(document, at, token, strlen(token), 0);
		else if (strcmp(token, "*") != 0)
			path->tokens[i].name = token;
	}
	return path;
}

const Path *
act_path_compile_member(const Document *document, const cJSON *object, const char *name)
{
	const cJSON *member = act_document_member(object, name);

	return member == NULL ? NULL : act_path_compile(document, member);
}

/* A walk along a path; ends early where only the first is wanted. */
typedef struct PathWalk
{
	const Path *path;
	TemplateInput input;
	bool		first;
	List	   *found;
} PathWalk;

static char *
token_name(PathWalk *walk, const PathToken *token)
{
	StringInfoData name;

	initStringInfo(&name);
	return act_template_render_text(token->template, &walk->input, &name) == TEMPLATE_DONE ? name.data : NULL;
}

static void
follow(PathWalk *walk, int depth, const cJSON *value)
{
	const PathToken *token = &walk->path->tokens[depth];

	if (value == NULL || (walk->first && walk->found != NIL))
		return;
	if (depth == walk->path->ntokens)
	{
		walk->found = lappend(walk->found, unconstify(cJSON *, value));
		return;
	}
	if (token->name != NULL || token->template != NULL)
	{
		JsonPointer pointer = {.ntokens = 1};
		char	   *name = token->template != NULL ? token_name(walk, token) : unconstify(char *, token->name);

		pointer.tokens = &name;
		if (name != NULL)
			follow(walk, depth + 1, act_json_pointer_resolve(&pointer, value));
		return;
	}
	for (const cJSON *member = value->child; member != NULL; member = member->next)
	{
		CHECK_FOR_INTERRUPTS();
		follow(walk, depth + 1, member);
	}
}

static List *
find(const Path *path, const ConnectorScope *scope, const cJSON *root, bool first)
{
	PathWalk	walk = {.path = path,.input = {.scope = scope},.first = first};

	if (path != NULL)
		follow(&walk, 0, root);
	return walk.found;
}

List *
act_path_find(const Path *path, const ConnectorScope *scope, const cJSON *root)
{
	return find(path, scope, root, false);
}

const cJSON *
act_path_first(const Path *path, const ConnectorScope *scope, const cJSON *root)
{
	List	   *found = find(path, scope, root, true);

	return found == NIL ? NULL : linitial(found);
}

char *
act_path_text(const Path *path, const ConnectorScope *scope, const cJSON *root)
{
	const cJSON *value = act_path_first(path, scope, root);
	char	   *text = value == NULL ? NULL : act_json_scalar_text(value);

	if (text == NULL && cJSON_IsBool(value))
		text = pstrdup(cJSON_IsTrue(value) ? "true" : "false");
	return text == NULL || *text == '\0' ? NULL : text;
}

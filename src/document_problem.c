/*-------------------------------------------------------------------------
 *
 * document_problem.c
 *	  All that is wrong with a connector's document, not just the first.
 *
 * A document that extends another is looked at with all of it.  Compiling stops at the first error.  So what it names is taken out of the
 * document, and the rest is compiled again, until nothing is wrong with it
 * any more; an error that may well come of what was taken out is not told.
 * Each round takes something out, so that there is an end.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"

#include "document_problem.h"
#include "registry.h"
#include "transaction.h"

/* More of them at once help nobody. */
#define MAX_PROBLEMS 50
#define MAX_ROUNDS 200

/* An element that was taken out of an array: later ones have moved up. */
typedef struct Removal
{
	char	   *array;			/* pointer in the document as it was given */
	int			index;
} Removal;

typedef struct Search
{
	const char *name;
	cJSON	   *document;		/* what is left of it */
	char	   *text;
	ConnectorProblem problem;	/* of the last round */
	List	   *removed;		/* of char *: pointers in the document as it was given */
	List	   *moved;			/* of Removal, in ascending order within an array */
	List	   *found;
} Search;

static void
compile(void *arg)
{
	Search	   *search = arg;

	(void) act_connector_check(search->name, act_registry_extend(search->name, search->text), &search->problem);
}

char *
act_connector_bare_message(const char *name, const char *message)
{
	char	   *prefix = psprintf("connector \"%s\": ", name);

	return pstrdup(message + (strncmp(message, prefix, strlen(prefix)) == 0 ? strlen(prefix) : 0));
}

/* Where the element stood before others were taken out. */
static int
original_index(const Search *search, const char *array, int index)
{
	ListCell   *cell;

	foreach(cell, search->moved)
	{
		const Removal *removal = lfirst(cell);

		if (strcmp(removal->array, array) == 0 && removal->index <= index)
			index++;
	}
	return index;
}

/* A pointer into what is left as one into the document as it was given. */
static char *
original_pointer(const Search *search, const char *pointer)
{
	const cJSON *at = search->document;
	StringInfoData original;

	initStringInfo(&original);
	while (*pointer == '/')
	{
		size_t		len = strcspn(pointer + 1, "/");
		char	   *token = pnstrdup(pointer + 1, len);
		JsonPointer *step = act_json_pointer_compile(psprintf("/%s", token));

		if (cJSON_IsArray(at))
			appendStringInfo(&original, "/%d", original_index(search, original.data, atoi(token)));
		else
			appendStringInfo(&original, "/%s", token);
		at = step == NULL || at == NULL ? NULL : act_json_pointer_resolve(step, at);
		pointer += len + 1;
	}
	return original.data;
}

static cJSON *
find_parent(cJSON *tree, const cJSON *item)
{
	cJSON	   *parent;

	for (cJSON *child = tree->child; child != NULL; child = child->next)
	{
		if (child == item)
			return tree;
		parent = find_parent(child, item);
		if (parent != NULL)
			return parent;
	}
	return NULL;
}

static void
note_moved(Search *search, const char *original)
{
	Removal    *removal = palloc(sizeof(Removal));
	const char *last = strrchr(original, '/');
	int			place = 0;
	ListCell   *cell;

	removal->array = pnstrdup(original, last - original);
	removal->index = atoi(last + 1);
	foreach(cell, search->moved)
	{
		if (((Removal *) lfirst(cell))->index < removal->index)
			place = foreach_current_index(cell) + 1;
	}
	search->moved = list_insert_nth(search->moved, place, removal);
}

/* false: there is no such place, or it is all of the document. */
static bool
take_out(Search *search, const char *pointer, const char *original)
{
	JsonPointer *compiled = act_json_pointer_compile(pointer);
	const cJSON *item = compiled == NULL ? NULL : act_json_pointer_resolve(compiled, search->document);
	cJSON	   *parent = item == NULL ? NULL : find_parent(search->document, item);

	if (parent == NULL)
		return false;
	if (cJSON_IsArray(parent))
		note_moved(search, original);
	cJSON_Delete(cJSON_DetachItemViaPointer(parent, unconstify(cJSON *, item)));
	search->removed = lappend(search->removed, pstrdup(original));
	return true;
}

/* Something within it was taken out, or what it names may have been. */
static bool
may_follow(const Search *search, const char *original, const char *what)
{
	size_t		len = strlen(original);
	ListCell   *cell;

	foreach(cell, search->removed)
	{
		const char *removed = lfirst(cell);

		if (strncmp(removed, original, len) == 0 && removed[len] == '/')
			return true;
		if (len > 5 && strcmp(original + len - 5, "/like") == 0 && strncmp(removed, "/operations/", 12) == 0)
			return true;
		if (strncmp(removed, "/options/", 9) == 0 && strchr(removed + 9, '/') == NULL &&
			strstr(what, removed + 9) != NULL)
			return true;
	}
	return false;
}

static void
add_problem(Search *search, const char *original, const ErrorData *error)
{
	FoundProblem *problem = palloc0(sizeof(FoundProblem));

	problem->pointer = original == NULL ? NULL : pstrdup(original);
	if (search->problem.what != NULL)
		problem->message = pstrdup(search->problem.what);
	else if (error->detail != NULL)
		problem->message = psprintf("%s: %s", act_connector_bare_message(search->name, error->message), error->detail);
	else
		problem->message = act_connector_bare_message(search->name, error->message);
	problem->hint = error->hint == NULL ? NULL : pstrdup(error->hint);
	search->found = lappend(search->found, problem);
}

List *
act_connector_problems(const char *name, cJSON *document)
{
	Search		search = {.name = name,.document = document};

	for (int round = 0; round < MAX_ROUNDS && list_length(search.found) < MAX_PROBLEMS; round++)
	{
		StringInfoData text;
		ErrorData  *error;
		char	   *original;

		CHECK_FOR_INTERRUPTS();
		initStringInfo(&text);
		act_json_append(&text, document, 0);
		search.text = text.data;
		search.problem = (ConnectorProblem) {0};
		error = act_transaction_attempt(compile, &search);
		pfree(text.data);
		if (error == NULL)
			break;
		if (search.problem.pointer == NULL)
		{
			if (search.found == NIL)
				add_problem(&search, cJSON_GetObjectItemCaseSensitive(document, "extends") == NULL ? NULL : "/extends", error);
			break;
		}
		original = original_pointer(&search, search.problem.pointer);
		if (!may_follow(&search, original, search.problem.what))
			add_problem(&search, original, error);
		if (!take_out(&search, search.problem.pointer, original))
			break;
	}
	return search.found;
}

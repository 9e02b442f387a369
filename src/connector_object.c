/*-------------------------------------------------------------------------
 *
 * connector_object.c
 *	  Section "objects" of a document, compiled.
 *
 * A connector is compiled for the object of a sync, or for none: then every
 * object is checked and can be listed.  A document without objects is one
 * object without a pattern.  Called by connector.c while a document is
 * compiled; allocates in the current memory context, throws what document.h
 * throws.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"

#include "connector_private.h"
#include "nearest.h"

#define MAX_OBJECTS 1000

static const char *const object_members[] = {
	"object", "title", "kind", "match", "takes_key", "key_fields", "fields", "more_fields", "any_of", "types",
	"discover", "operations", "rules", "reason", NULL
};

static const char *const match_members[] = {"fields", "default", "compare", "any", "id", NULL};
static const char *const document_match_members[] = {"compare", NULL};

/* In the order of ObjectKind. */
static const char *const kind_names[] = {"record", "membership", "association", "event", "file", NULL};
StaticAssertDecl(lengthof(kind_names) == OBJECT_KIND_COUNT + 1, "every kind of object has its name");

const char *
act_object_kind_name(ObjectKind kind)
{
	return kind_names[kind];
}

const ConnectorObject *const *
act_connector_objects(const Connector *connector)
{
	return (const ConnectorObject *const *) connector->objects;
}

const ConnectorObject *
act_connector_object(const Connector *connector)
{
	return connector->object;
}

List *
act_connector_object_parts(const Connector *connector)
{
	return connector->object_parts;
}

const ValueForms *
act_connector_value_forms(const Connector *connector)
{
	return &connector->forms;
}

/* ----------------------------------------------------------------
 *		How its records are found
 * ----------------------------------------------------------------
 */

/* ["trim", "lower"]: filters that make text of text; fallback where nothing is said. */
static const Filter **
compile_compare(const Document *document, const cJSON *match, const Filter **fallback)
{
	const cJSON *names = match == NULL ? NULL : act_document_array(document, match, "compare");
	const Filter **compare;
	int			count = 0;

	if (names == NULL && fallback != NULL)
		return fallback;
	compare = palloc0(((names == NULL ? 0 : cJSON_GetArraySize(names)) + 1) * sizeof(Filter *));
	for (const cJSON *at = names == NULL ? NULL : names->child; at != NULL; at = at->next)
	{
		const Filter *filter;

		if (!cJSON_IsString(at))
			act_document_error(document, at, NULL, "a string is expected");
		filter = act_filter_find(at->valuestring);
		if (filter == NULL)
			act_document_unknown(document, at, "filter", at->valuestring, act_filter_names());
		if (filter->takes_argument != FILTER_ALONE || filter->wants_json || filter->makes_bytes)
			act_document_error(document, at, "Such as \"trim\" and \"lower\".",
							   "filter \"%s\", which makes no text of text,", at->valuestring);
		compare[count++] = filter;
	}
	return compare;
}

void
act_object_compile_document_match(const Document *document, const cJSON *match, Connector *connector)
{
	if (match != NULL)
		act_document_check(document, match, document_match_members, NULL);
	connector->match_compare = compile_compare(document, match, NULL);
}

/* Names of fields, each its own and not empty; NULL-ended. */
static const char **
compile_names(const Document *document, const cJSON *names, int *count)
{
	const char **compiled = palloc0((cJSON_GetArraySize(names) + 1) * sizeof(char *));
	int			n = 0;

	if (names->child == NULL)
		act_document_error(document, names, NULL, "an empty list");
	for (const cJSON *at = names->child; at != NULL; at = at->next)
	{
		CHECK_FOR_INTERRUPTS();
		if (!cJSON_IsString(at) || *at->valuestring == '\0')
			act_document_error(document, at, NULL, "the name of a field is expected");
		for (int i = 0; i < n; i++)
		{
			if (strcmp(compiled[i], at->valuestring) == 0)
				act_document_error(document, at, NULL, "field \"%s\" given twice", at->valuestring);
		}
		compiled[n++] = pstrdup(at->valuestring);
	}
	*count = n;
	return compiled;
}

/* One field, or an array of those that are one together. */
static ObjectMatch
compile_one_match(const Document *document, const cJSON *at)
{
	ObjectMatch match = {.nfields = 1};

	if (cJSON_IsArray(at))
		match.fields = compile_names(document, at, &match.nfields);
	else
	{
		if (!cJSON_IsString(at) || *at->valuestring == '\0')
			act_document_error(document, at, NULL, "the name of a field, or an array of them, is expected");
		match.fields = palloc(sizeof(char *));
		match.fields[0] = pstrdup(at->valuestring);
	}
	return match;
}

bool
act_object_same_match(const ObjectMatch *a, const ObjectMatch *b)
{
	if (a->nfields != b->nfields)
		return false;
	for (int i = 0; i < a->nfields; i++)
	{
		bool		found = false;

		for (int j = 0; j < b->nfields; j++)
			found = found || strcmp(a->fields[i], b->fields[j]) == 0;
		if (!found)
			return false;
	}
	return true;
}

static void
compile_match(const Document *document, const cJSON *match, ConnectorObject *object)
{
	const cJSON *fields;
	const cJSON *chosen;

	if (match == NULL)
		return;
	act_document_check(document, match, match_members, NULL);
	object->match_any = act_document_bool(document, match, "any", false);
	object->match_id = act_document_string(document, match, "id");
	fields = act_document_array(document, match, "fields");
	object->matches = palloc0(((fields == NULL ? 0 : cJSON_GetArraySize(fields)) + 1) * sizeof(ObjectMatch));
	for (const cJSON *at = fields == NULL ? NULL : fields->child; at != NULL; at = at->next)
		object->matches[object->nmatches++] = compile_one_match(document, at);
	if (fields != NULL && object->nmatches == 0)
		act_document_error(document, fields, NULL, "an empty list");

	chosen = act_document_member(match, "default");
	if (chosen == NULL)
	{
		if (object->nmatches == 1 && !object->match_any)
			object->match_default = &object->matches[0];
		return;
	}
	object->matches[object->nmatches] = compile_one_match(document, chosen);
	for (int i = 0; i < object->nmatches && object->match_default == NULL; i++)
	{
		if (act_object_same_match(&object->matches[i], &object->matches[object->nmatches]))
			object->match_default = &object->matches[i];
	}
	if (object->match_default == NULL && !object->match_any)
		act_document_error(document, chosen, "It is one of \"fields\".", "a default that records are not matched by");
	if (object->match_default == NULL)
		object->match_default = &object->matches[object->nmatches];
}

/* ----------------------------------------------------------------
 *		What can be asked
 * ----------------------------------------------------------------
 */

/*
 * What a sync asks for, by the operation that does it: an upsert may do for
 * an insert, and of memberships and associations an upsert is an add.
 */
static void
fill_operations(Connector *connector, ConnectorObject *object)
{
	const Operation **operations = connector->operations;
	bool		links = object->kind == OBJECT_MEMBERSHIP || object->kind == OBJECT_ASSOCIATION;

	if (operations[ROW_OP_INSERT] == NULL && operations[ROW_OP_UPSERT] != NULL &&
		operations[ROW_OP_UPSERT]->public.append)
		operations[ROW_OP_INSERT] = operations[ROW_OP_UPSERT];
	if (links && operations[ROW_OP_UPSERT] == NULL)
		operations[ROW_OP_UPSERT] = operations[ROW_OP_ADD];
	if (links && operations[ROW_OP_ADD] == NULL)
		operations[ROW_OP_ADD] = operations[ROW_OP_UPSERT];
	for (int op = ROW_OP_NONE + 1; op < ROW_OP_COUNT; op++)
		object->operations[op] = operations[op] == NULL ? NULL : &operations[op]->public;
}

/* The object's own before those of the document, which are compiled. */
static void
compile_rules(const Document *document, const cJSON *rules, Connector *connector)
{
	AnswerRules common = connector->rules;
	AnswerRules own = {0};
	AnswerRules *all = &connector->rules;

	if (rules == NULL)
		return;
	act_rules_compile(document, rules, &own);
	all->items = palloc0((own.count + common.count + 1) * sizeof(AnswerRule));
	if (own.count > 0)
		memcpy(all->items, own.items, own.count * sizeof(AnswerRule));
	if (common.count > 0)
		memcpy(all->items + own.count, common.items, common.count * sizeof(AnswerRule));
	all->count = own.count + common.count;
}

static const char *
compile_pattern(const Document *document, const cJSON *at)
{
	const char *problem;
	char	   *pattern;

	act_document_need(document, at, "object");
	pattern = act_document_string(document, at, "object");
	problem = act_object_pattern_problem(pattern);
	if (problem != NULL)
		act_document_error(document, act_document_member(at, "object"),
						   "Such as \"contacts\", \"lists/{list}/members\" or \"files/{path...}\".", "%s", problem);
	for (const cJSON *other = at->prev; other->next != NULL; other = other->prev)
	{
		const cJSON *name = act_document_member(other, "object");

		if (cJSON_IsString(name) && strcmp(name->valuestring, pattern) == 0)
			act_document_error(document, act_document_member(at, "object"), NULL,
							   "object \"%s\" given twice", pattern);
	}
	return pattern;
}

/* What is known of an object, without its operations. */
static ConnectorObject *
compile_description(const Document *document, const cJSON *at, Connector *connector)
{
	ConnectorObject *object = palloc0(sizeof(ConnectorObject));
	const cJSON *match = act_document_member(at, "match");
	const cJSON *key_fields;
	const cJSON *any_of;
	bool		links;
	int			nkeys;

	act_document_check(document, at, object_members, NULL);
	object->pattern = compile_pattern(document, at);
	object->title = act_document_string(document, at, "title");
	object->kind = (ObjectKind) act_document_choice(document, at, "kind", kind_names, NULL, OBJECT_RECORD);
	object->takes_key = act_document_bool(document, at, "takes_key", connector->takes_key);
	compile_match(document, match, object);
	object->match_compare = compile_compare(document, match, connector->match_compare);

	links = object->kind == OBJECT_MEMBERSHIP || object->kind == OBJECT_ASSOCIATION;
	key_fields = act_document_array(document, at, "key_fields");
	if (links && key_fields == NULL && object->nmatches == 0 && !object->takes_key)
		act_document_error(document, at, "They are the fields that make the row; where it may be one of several, \"match\" has them.",
						   "a %s without \"key_fields\"", kind_names[object->kind]);
	if (!links && key_fields != NULL)
		act_document_error(document, key_fields, "A record is found by \"match\".",
						   "\"key_fields\", which belongs to memberships and associations,");
	if (key_fields != NULL)
		object->key_fields = compile_names(document, key_fields, &nkeys);
	act_object_compile_fields(document, at, object);
	object->more_fields = act_document_bool(document, at, "more_fields", !links);
	any_of = act_document_array(document, at, "any_of");
	if (any_of != NULL)
		object->any_of = compile_names(document, any_of, &nkeys);
	if (!object->more_fields && object->nfields == 0 && !links)
		act_document_error(document, act_document_member(at, "more_fields"), "List them in \"fields\".",
						   "an object without fields");
	return object;
}

/* The object at, and all that its requests need, put into connector. */
static void
compile_object(Document *document, const cJSON *at, Connector *connector)
{
	const cJSON *operations = act_document_member(at, "operations");
	const cJSON *reason;
	ConnectorObject *object;

	object = compile_description(document, at, connector);
	connector->takes_key = object->takes_key;
	connector->match_compare = object->match_compare;
	act_value_forms_compile(document, act_document_member(at, "types"), &connector->forms);
	reason = act_document_member(at, "reason");
	if (reason != NULL)
		connector->reason = act_rules_compile_reason(document, reason);
	compile_rules(document, act_document_array(document, at, "rules"), connector);
	/* Memberships and associations have no fields of their own but those that make them. */
	if (object->kind == OBJECT_MEMBERSHIP || object->kind == OBJECT_ASSOCIATION)
		connector->field_list = NULL;
	act_discover_compile(document, act_document_member(at, "discover"), true, connector);
	if (operations == NULL)
		operations = act_document_member(document->root, "operations");
	if (operations == NULL)
		act_document_error(document, at, "Give them here, or for all objects in \"operations\" of the document.",
						   "an object without operations");
	act_connector_compile_operations(document, operations, connector);
	fill_operations(connector, object);
	connector->object = object;
}

/* ----------------------------------------------------------------
 *		Which one it is
 * ----------------------------------------------------------------
 */

/* Contacts ("contacts"), Members of a list ("lists/{list}/members") */
static char *
list_objects(const cJSON *objects)
{
	StringInfoData buf;
	int			count = 0;

	initStringInfo(&buf);
	for (const cJSON *at = objects->child; at != NULL; at = at->next)
	{
		const cJSON *name = act_document_member(at, "object");
		const cJSON *title = act_document_member(at, "title");

		if (!cJSON_IsString(name))
			continue;
		if (count++ == 40)
		{
			appendStringInfoString(&buf, ", ...");
			break;
		}
		appendStringInfoString(&buf, count > 1 ? ", " : "");
		if (cJSON_IsString(title))
			appendStringInfo(&buf, "%s (\"%s\")", title->valuestring, name->valuestring);
		else
			appendStringInfo(&buf, "\"%s\"", name->valuestring);
	}
	return buf.data;
}

static const char *
nearest_object(const cJSON *objects, const char *wanted)
{
	const char **names = palloc0((cJSON_GetArraySize(objects) + 1) * sizeof(char *));
	const char *nearest;
	int			n = 0;

	for (const cJSON *at = objects->child; at != NULL; at = at->next)
	{
		const cJSON *name = act_document_member(at, "object");

		if (cJSON_IsString(name))
			names[n++] = name->valuestring;
	}
	nearest = act_nearest_name(wanted, names);
	if (nearest == NULL && n == 1)
		nearest = names[0];
	/* A pattern is seldom near by its letters, but begins the same. */
	for (int i = 0; i < n && nearest == NULL; i++)
	{
		size_t		len = strcspn(names[i], "{");

		if (names[i][len] == '{' && len > 0 && strncmp(names[i], wanted, len) == 0)
			nearest = names[i];
	}
	return nearest;
}

/*
 * Of a sync; wanted NULL: it names none.  Object names are a user's words, in
 * an error of his own: 22023 with all that there are.
 */
static void
report_misfit(const Document *document, const cJSON *objects, const char *wanted)
{
	const char *nearest = nearest_object(objects, wanted == NULL ? "" : wanted);

	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 wanted != NULL ?
			 errmsg("connector \"%s\" has no object \"%s\"", document->connector, wanted) :
			 errmsg("connector \"%s\" needs an object to send to", document->connector),
			 errdetail("Its objects are: %s.", list_objects(objects)),
			 nearest == NULL ? errhint("object => names one of them.") :
			 strchr(nearest, '{') != NULL ?
			 errhint("object => '%s', with a name in place of what stands in braces.", nearest) :
			 errhint("object => '%s'.", nearest)));
}

static const cJSON *
find_object(const Document *document, const cJSON *objects, const char *wanted, List **parts)
{
	for (const cJSON *at = objects->child; at != NULL; at = at->next)
	{
		if (!cJSON_IsObject(at))
			act_document_error(document, at, NULL, "an object is expected");
		if (act_object_fits(compile_pattern(document, at), wanted, parts))
			return at;
	}
	return NULL;
}

static void
compile_all(Document *document, const cJSON *objects, Connector *connector)
{
	int			n = 0;

	connector->objects = palloc0((cJSON_GetArraySize(objects) + 1) * sizeof(ConnectorObject *));
	for (const cJSON *at = objects->child; at != NULL; at = at->next)
	{
		Connector	one = *connector;

		compile_object(document, at, &one);
		connector->objects[n++] = unconstify(ConnectorObject *, one.object);
	}
	if (act_document_member(document->root, "operations") != NULL)
	{
		Connector	one = *connector;

		act_connector_compile_operations(document, act_document_member(document->root, "operations"), &one);
	}
}

void
act_objects_compile(Document *document, const char *wanted, Connector *connector)
{
	const cJSON *objects = act_document_array(document, document->root, "objects");
	const cJSON *at;

	if (objects == NULL)
	{
		ConnectorObject *object = palloc0(sizeof(ConnectorObject));

		object->takes_key = connector->takes_key;
		object->match_compare = connector->match_compare;
		object->more_fields = true;
		act_connector_compile_operations(document, act_document_need(document, document->root, "operations"), connector);
		fill_operations(connector, object);
		connector->object = object;
		return;
	}
	if (objects->child == NULL)
		act_document_error(document, objects, "Leave it out where any text is an object.", "an empty list");
	if (cJSON_GetArraySize(objects) > MAX_OBJECTS)
		act_document_error(document, objects, NULL, "more than %d objects", MAX_OBJECTS);
	if (wanted == NULL)
	{
		compile_all(document, objects, connector);
		return;
	}
	at = find_object(document, objects, wanted, &connector->object_parts);
	if (at == NULL)
		report_misfit(document, objects, wanted);
	compile_object(document, at, connector);
}

void
act_objects_require(const Document *document)
{
	const cJSON *objects = act_document_array(document, document->root, "objects");

	if (objects != NULL && objects->child != NULL)
		report_misfit(document, objects, NULL);
}

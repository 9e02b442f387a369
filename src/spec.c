/*-------------------------------------------------------------------------
 *
 * spec.c
 *	  Reading a spec: from a JSON document to the arguments of its syncs.
 *
 * Called by apply() and nobody else, as the caller, in a transaction and in
 * the current memory context; reads no table but pg_authid.  What is wrong is
 * an error with the JSON pointer of its place, so that it is found in a file
 * of a thousand lines.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"

#include "nearest.h"
#include "schedule.h"
#include "spec.h"
#include "spec_variables.h"

static const char *const root_members[] = {"syncs", "defaults", NULL};

static const char *const sync_members[] = {
	"name", "model", "key", "destination", "object", "match", "mapping", "mode", "on_removed",
	"schedule", "after", "owner", "options", "search_path", "time_zone", "paused", "pause_reason", NULL
};

static void
refuse(const char *pointer, const char *what, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("spec at %s: %s", pointer[0] != '\0' ? pointer : "the top", what),
			 hint != NULL ? errhint("%s", hint) : 0));
}

/* Names of an object must be among the known ones. */
static void
check_members(JsonbContainer *object, const char *pointer, const char *const *known)
{
	JsonbIterator *iterator = JsonbIteratorInit(object);
	JsonbIteratorToken token;
	JsonbValue	value;

	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		StringInfoData list;
		const char *nearest;
		char	   *name;
		bool		found = false;

		if (token != WJB_KEY)
			continue;
		name = pnstrdup(value.val.string.val, value.val.string.len);
		initStringInfo(&list);
		for (int i = 0; known[i] != NULL; i++)
		{
			found = found || strcmp(known[i], name) == 0;
			appendStringInfo(&list, "%s\"%s\"", i > 0 ? ", " : "", known[i]);
		}
		if (found)
			continue;
		nearest = act_nearest_name(name, known);
		refuse(pointer, psprintf("unknown member \"%s\"", name),
			   nearest ? psprintf("Perhaps you meant \"%s\".", nearest) :
			   psprintf("Its members are %s.", list.data));
	}
}

/* ----------------------------------------------------------------
 *		Members of a sync
 * ----------------------------------------------------------------
 */

/* A sync, and below it what the document says of all of them. */
typedef struct Layer
{
	JsonbContainer *own;
	JsonbContainer *defaults;	/* or NULL */
	const char *pointer;
} Layer;

static JsonbValue *
find_member(JsonbContainer *object, const char *name)
{
	return object != NULL ? getKeyJsonValueFromContainer(object, name, strlen(name), NULL) : NULL;
}

/* NULL where neither has it; a null is as good as nothing, and hides the default. */
static JsonbValue *
find(const Layer *layer, const char *name)
{
	JsonbValue *value = find_member(layer->own, name);

	if (value == NULL)
		value = find_member(layer->defaults, name);
	return value != NULL && value->type == jbvNull ? NULL : value;
}

static void
refuse_value(const Layer *layer, const char *name, const char *wanted)
{
	refuse(act_spec_pointer(layer->pointer, name), psprintf("it must be %s", wanted), NULL);
}

static char *
string_text(const JsonbValue *value)
{
	return pnstrdup(value->val.string.val, value->val.string.len);
}

/* NULL where it is left out. */
static char *
text_member(const Layer *layer, const char *name)
{
	JsonbValue *value = find(layer, name);

	if (value == NULL)
		return NULL;
	if (value->type != jbvString)
		refuse_value(layer, name, "text");
	return string_text(value);
}

static bool
is_container(const JsonbValue *value, bool array)
{
	return value->type == jbvBinary &&
		(array ? JsonContainerIsArray(value->val.binary.data) : JsonContainerIsObject(value->val.binary.data));
}

/* A list of names: an array of them as they are, or SQL as in create_sync(). */
static char *
names_member(const Layer *layer, const char *name)
{
	JsonbValue *value = find(layer, name);
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue	element;
	StringInfoData buf;

	if (value == NULL || value->type == jbvString)
		return text_member(layer, name);
	if (!is_container(value, true))
		refuse_value(layer, name, "text, or an array of names");
	initStringInfo(&buf);
	iterator = JsonbIteratorInit(value->val.binary.data);
	while ((token = JsonbIteratorNext(&iterator, &element, true)) != WJB_DONE)
	{
		if (token != WJB_ELEM)
			continue;
		if (element.type != jbvString)
			refuse_value(layer, name, "an array of names");
		appendStringInfo(&buf, "%s%s", buf.len > 0 ? ", " : "", quote_identifier(string_text(&element)));
	}
	return buf.data;
}

/* A select list or JSON in a string, or an object as it is. */
static char *
mapping_member(const Layer *layer)
{
	JsonbValue *value = find(layer, "mapping");

	if (value == NULL || value->type == jbvString)
		return text_member(layer, "mapping");
	if (!is_container(value, false))
		refuse_value(layer, "mapping", "text, or an object");
	return JsonbToCString(NULL, value->val.binary.data, value->val.binary.len);
}

static bool
boolean_member(const Layer *layer, const char *name, bool *given)
{
	JsonbValue *value = find(layer, name);

	*given = value != NULL;
	if (value == NULL)
		return false;
	if (value->type != jbvBool)
		refuse_value(layer, name, "true or false");
	return value->val.boolean;
}

static void
push_members(JsonbParseState **state, JsonbValue *object)
{
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue	value;

	if (object == NULL)
		return;
	iterator = JsonbIteratorInit(object->val.binary.data);
	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY || token == WJB_VALUE)
			pushJsonbValue(state, token, &value);
	}
}

/* Those of the sync over those of all: a member given twice is the last one. */
static Jsonb *
options_member(const Layer *layer)
{
	JsonbValue *own = find_member(layer->own, "options");
	JsonbValue *defaults = find_member(layer->defaults, "options");
	JsonbParseState *state = NULL;

	if (own != NULL && own->type == jbvNull)
		own = defaults = NULL;
	if (defaults != NULL && defaults->type == jbvNull)
		defaults = NULL;
	if ((own != NULL && !is_container(own, false)) || (defaults != NULL && !is_container(defaults, false)))
		refuse_value(layer, "options", "an object");
	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	push_members(&state, defaults);
	push_members(&state, own);
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}

static Oid
owner_member(const Layer *layer)
{
	char	   *name = text_member(layer, "owner");
	Oid			owner;

	if (name == NULL)
		return InvalidOid;
	owner = get_role_oid(name, true);
	if (!OidIsValid(owner))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("spec at %s: role \"%s\" does not exist", act_spec_pointer(layer->pointer, "owner"), name),
				 errhint("CREATE ROLE %s NOLOGIN; or name another owner, perhaps by a variable: \"owner\": \"${owner}\".",
						 quote_identifier(name))));
	return owner;
}

/* "schedule", or "after" with the names of syncs; either hides both defaults. */
static char *
schedule_member(const Layer *layer)
{
	Layer		level = *layer;
	JsonbValue *after;
	char	   *schedule;

	if (find_member(layer->own, "schedule") != NULL || find_member(layer->own, "after") != NULL)
		level.defaults = NULL;
	after = find(&level, "after");
	schedule = text_member(&level, "schedule");
	if (after == NULL)
		return schedule != NULL ? schedule : "manual";
	if (schedule != NULL)
		refuse(act_spec_pointer(layer->pointer, "after"), "a sync with a schedule runs by it",
			   "Leave out \"schedule\", or \"after\".");
	return psprintf("after %s", names_member(&level, "after"));
}

/* Syncs whose external ids the text asks for: external_id('accounts', account_id). */
static List *
find_mentions(List *mentions, const char *text)
{
	while (text != NULL && (text = strstr(text, "external_id")) != NULL)
	{
		StringInfoData name;
		const char *end;

		text += strlen("external_id");
		if (text[strspn(text, " \t\r\n")] != '(')
			continue;
		text = strchr(text, '\'');
		if (text == NULL)
			break;
		end = strchr(++text, '\'');
		if (end == NULL)
			break;
		initStringInfo(&name);
		appendBinaryStringInfo(&name, text, end - text);
		mentions = lappend(mentions, name.data);
	}
	return mentions;
}

static SpecSync *
read_sync(char *name, JsonbContainer *own, JsonbContainer *defaults, const char *pointer)
{
	SpecSync   *sync = palloc0(sizeof(SpecSync));
	DefinitionInput *input = &sync->input;
	Layer		layer = {own, defaults, pointer};
	const char *const needed[] = {"model", "key", "destination"};

	check_members(own, pointer, sync_members);
	for (int i = 0; i < lengthof(needed); i++)
	{
		if (find(&layer, needed[i]) == NULL)
			refuse(pointer, psprintf("member \"%s\" is missing", needed[i]),
				   "A sync has at least a model, a key and a destination.");
	}
	sync->pointer = pstrdup(pointer);
	input->name = name;
	input->model = text_member(&layer, "model");
	input->key = names_member(&layer, "key");
	input->destination = text_member(&layer, "destination");
	input->object = text_member(&layer, "object");
	input->match = names_member(&layer, "match");
	input->mapping = mapping_member(&layer);
	input->mode = text_member(&layer, "mode");
	if (input->mode == NULL)
		input->mode = "upsert";
	input->on_removed = text_member(&layer, "on_removed");
	input->schedule = schedule_member(&layer);
	input->owner = owner_member(&layer);
	input->options = options_member(&layer);
	sync->search_path = text_member(&layer, "search_path");
	sync->time_zone = text_member(&layer, "time_zone");
	sync->paused = boolean_member(&layer, "paused", &sync->has_paused);
	sync->pause_reason = text_member(&layer, "pause_reason");
	if (sync->pause_reason != NULL && !sync->paused)
		refuse(act_spec_pointer(pointer, "pause_reason"), "the sync is not paused", "\"paused\": true");
	sync->mentions = find_mentions(find_mentions(NIL, input->model), input->mapping);
	return sync;
}

/* ----------------------------------------------------------------
 *		All of them
 * ----------------------------------------------------------------
 */

static SpecSync *
find_sync(List *syncs, const char *name)
{
	ListCell   *cell;

	foreach(cell, syncs)
	{
		if (strcmp(((SpecSync *) lfirst(cell))->input.name, name) == 0)
			return lfirst(cell);
	}
	return NULL;
}

static List *
add_sync(List *syncs, char *name, JsonbValue *own, JsonbContainer *defaults, const char *pointer)
{
	SpecSync   *other;

	if (!is_container(own, false))
		refuse(pointer, "a sync must be an object", NULL);
	other = find_sync(syncs, name);
	if (other != NULL)
		refuse(pointer, psprintf("sync \"%s\" is there already, at %s", name, other->pointer), NULL);
	return lappend(syncs, read_sync(name, own->val.binary.data, defaults, pointer));
}

/* {"name": {...}, ...} */
static List *
read_object(JsonbContainer *object, JsonbContainer *defaults, const char *pointer)
{
	JsonbIterator *iterator = JsonbIteratorInit(object);
	JsonbIteratorToken token;
	JsonbValue	value;
	List	   *syncs = NIL;
	char	   *name = NULL;
	char	   *place = NULL;

	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		CHECK_FOR_INTERRUPTS();
		if (token == WJB_KEY)
		{
			name = string_text(&value);
			place = act_spec_pointer(pointer, name);
		}
		else if (token == WJB_VALUE)
		{
			if (is_container(&value, false) && find_member(value.val.binary.data, "name") != NULL)
				refuse(act_spec_pointer(place, "name"), "the sync has a name already",
					   "Leave out \"name\", or make \"syncs\" an array.");
			syncs = add_sync(syncs, name, &value, defaults, place);
		}
	}
	return syncs;
}

static List *
read_array(JsonbContainer *array, JsonbContainer *defaults, const char *pointer)
{
	JsonbIterator *iterator = JsonbIteratorInit(array);
	JsonbIteratorToken token;
	JsonbValue	value;
	List	   *syncs = NIL;
	int			i = 0;

	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		char	   *place = psprintf("%s/%d", pointer, i);
		JsonbValue *name;

		CHECK_FOR_INTERRUPTS();
		if (token != WJB_ELEM)
			continue;
		i++;
		if (!is_container(&value, false))
			refuse(place, "a sync must be an object", NULL);
		name = find_member(value.val.binary.data, "name");
		if (name == NULL || name->type != jbvString)
			refuse(place, "member \"name\" is missing", "In an array each sync has a name, which is text.");
		syncs = add_sync(syncs, string_text(name), &value, defaults, place);
	}
	return syncs;
}

static JsonbContainer *
read_defaults(JsonbContainer *root)
{
	JsonbValue *defaults = find_member(root, "defaults");

	if (defaults == NULL || defaults->type == jbvNull)
		return NULL;
	if (!is_container(defaults, false))
		refuse("/defaults", "it must be an object", NULL);
	check_members(defaults->val.binary.data, "/defaults", sync_members);
	if (find_member(defaults->val.binary.data, "name") != NULL)
		refuse("/defaults/name", "a name is of one sync", NULL);
	return defaults->val.binary.data;
}

static List *
read_root(Jsonb *spec)
{
	JsonbValue *syncs;

	if (JB_ROOT_IS_ARRAY(spec) && !JB_ROOT_IS_SCALAR(spec))
		return read_array(&spec->root, NULL, "");
	if (!JB_ROOT_IS_OBJECT(spec))
		refuse("", "it must be an object", "{\"syncs\": {\"customer_health\": {\"model\": ...}}}");
	check_members(&spec->root, "", root_members);
	syncs = find_member(&spec->root, "syncs");
	if (syncs == NULL)
		refuse("", "member \"syncs\" is missing", "{\"syncs\": {\"customer_health\": {\"model\": ...}}}");
	if (is_container(syncs, true))
		return read_array(syncs->val.binary.data, read_defaults(&spec->root), "/syncs");
	if (!is_container(syncs, false))
		refuse("/syncs", "it must be an object, or an array of objects", NULL);
	return read_object(syncs->val.binary.data, read_defaults(&spec->root), "/syncs");
}

/* ----------------------------------------------------------------
 *		Their order
 * ----------------------------------------------------------------
 */

static bool
is_waiting(const List *names, List *rest, const SpecSync *sync)
{
	ListCell   *cell;

	foreach(cell, names)
	{
		SpecSync   *other = find_sync(rest, lfirst(cell));

		if (other != NULL && other != sync)
			return true;
	}
	return false;
}

/* Of those that are left the first that waits for none of them; mentions bind less. */
static SpecSync *
next_in_order(List *rest)
{
	ListCell   *cell;
	SpecSync   *second = NULL;
	StringInfoData names;

	initStringInfo(&names);
	foreach(cell, rest)
	{
		SpecSync   *sync = lfirst(cell);

		CHECK_FOR_INTERRUPTS();
		appendStringInfo(&names, "%s\"%s\"", names.len > 0 ? ", " : "", sync->input.name);
		if (is_waiting(sync->after, rest, sync))
			continue;
		if (!is_waiting(sync->mentions, rest, sync))
			return sync;
		if (second == NULL)
			second = sync;
	}
	if (second == NULL)
		refuse("/syncs", psprintf("among %s some would run after themselves", names.data),
			   "Give one of them a time: \"schedule\": \"15 minutes\".");
	return second;
}

List *
act_spec_read(Jsonb *spec, Jsonb *vars)
{
	List	   *rest = read_root(act_spec_substitute(spec, vars));
	List	   *ordered = NIL;
	ListCell   *cell;

	foreach(cell, rest)
	{
		SpecSync   *sync = lfirst(cell);

		/* What is no schedule is told later, with its sync. */
		if (strncmp(sync->input.schedule, "after ", 6) == 0)
			sync->after = act_schedule_parse(sync->input.schedule, "UTC")->after;
	}
	while (rest != NIL)
	{
		SpecSync   *next = next_in_order(rest);

		ordered = lappend(ordered, next);
		rest = list_delete_ptr(rest, next);
	}
	return ordered;
}

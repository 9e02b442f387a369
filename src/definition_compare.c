/*-------------------------------------------------------------------------
 *
 * definition_compare.c
 *	  What a definition says, argument by argument, and where two differ.
 *
 * Called by whoever writes a definition down (export) or compares one with
 * what is stored (alter_sync, create_sync to replace, apply), inside a
 * transaction with SPI connected, in the current memory context.  What is
 * compared is what an argument means, not how it was written.  Throws where a
 * definition is no longer valid.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "nodes/nodes.h"
#include "nodes/parsenodes.h"
#include "utils/builtins.h"
#include "utils/json.h"

#include "definition.h"
#include "mapping.h"
#include "schedule.h"

/* As JSON, or null. */
static char *
json_text(const char *text)
{
	StringInfoData buf;

	if (text == NULL)
		return "null";
	initStringInfo(&buf);
	escape_json(&buf, text);
	return buf.data;
}

static char *
json_identifiers(int count, char **names)
{
	return json_text(count > 0 ? act_identifier_join(count, names) : NULL);
}

static char *
json_owner(const Sync *sync)
{
	return json_text(OidIsValid(sync->owner) ? GetUserNameFromId(sync->owner, false) : NULL);
}

static const char *const argument_names[DEFINITION_ARGUMENT_COUNT] = {
	[ARGUMENT_MODEL] = "model",
	[ARGUMENT_KEY] = "key",
	[ARGUMENT_DESTINATION] = "destination",
	[ARGUMENT_OBJECT] = "object",
	[ARGUMENT_MATCH] = "match",
	[ARGUMENT_MAPPING] = "mapping",
	[ARGUMENT_MODE] = "mode",
	[ARGUMENT_ON_REMOVED] = "on_removed",
	[ARGUMENT_SCHEDULE] = "schedule",
	[ARGUMENT_OWNER] = "owner",
	[ARGUMENT_OPTIONS] = "options",
	[ARGUMENT_SEARCH_PATH] = "search_path",
	[ARGUMENT_TIME_ZONE] = "time_zone"
};

const char *
act_definition_argument_name(DefinitionArgument argument)
{
	return argument_names[argument];
}

char *
act_definition_argument_json(const Sync *sync, DefinitionArgument argument)
{
	switch (argument)
	{
		case ARGUMENT_MODEL:
			return json_text(sync->model);
		case ARGUMENT_KEY:
			return json_identifiers(sync->nkeys, sync->key);
		case ARGUMENT_DESTINATION:
			return json_text(sync->destination);
		case ARGUMENT_OBJECT:
			return json_text(sync->object);
		case ARGUMENT_MATCH:
			return json_identifiers(sync->nmatch, sync->match);
		case ARGUMENT_MAPPING:
			return json_text(sync->mapping);
		case ARGUMENT_MODE:
			return json_text(act_sync_mode_name(sync->mode));
		case ARGUMENT_ON_REMOVED:
			return json_text(act_on_removed_name(sync->on_removed));
		case ARGUMENT_SCHEDULE:
			return json_text(sync->schedule);
		case ARGUMENT_OWNER:
			return json_owner(sync);
		case ARGUMENT_OPTIONS:
			return act_sync_options_set(sync);
		case ARGUMENT_SEARCH_PATH:
			return json_text(sync->search_path);
		case ARGUMENT_TIME_ZONE:
			return json_text(sync->time_zone);
	}
	return NULL;
}

bool
act_definition_argument_is_default(const Sync *sync, DefinitionArgument argument)
{
	switch (argument)
	{
		case ARGUMENT_OBJECT:
			return sync->object == NULL;
		case ARGUMENT_MATCH:
			return sync->nmatch == 0;
		case ARGUMENT_MODE:
			return sync->mode == MODE_UPSERT;
		case ARGUMENT_ON_REMOVED:
			return sync->on_removed == REMOVED_IGNORE && sync->mode != MODE_MIRROR;
		case ARGUMENT_SCHEDULE:
			return act_schedule_is_manual(sync->schedule);
		case ARGUMENT_OPTIONS:
			return strcmp(act_sync_options_set(sync), "{}") == 0;
		default:
			return false;
	}
}

static bool
is_same(const Sync *old, const Sync *new, DefinitionArgument argument)
{
	if (argument == ARGUMENT_OPTIONS)
		return act_sync_options_same(old, new);
	if (argument == ARGUMENT_MAPPING)
		return strcmp(act_mapping_compact(old->mapping), act_mapping_compact(new->mapping)) == 0;
	return strcmp(act_definition_argument_json(old, argument),
				  act_definition_argument_json(new, argument)) == 0;
}

List *
act_definition_changes(const Sync *old, const Sync *new)
{
	List	   *changes = NIL;

	for (int i = 0; i < DEFINITION_ARGUMENT_COUNT; i++)
	{
		DefinitionChange *change;

		if (is_same(old, new, (DefinitionArgument) i))
			continue;
		change = palloc(sizeof(DefinitionChange));
		change->name = argument_names[i];
		change->old = act_definition_argument_json(old, (DefinitionArgument) i);
		change->new = act_definition_argument_json(new, (DefinitionArgument) i);
		changes = lappend(changes, change);
	}
	return changes;
}

/*
 * Who defines a sync again does so in a session of another role or tool, with
 * another search_path.  Where every name means the same in it, the definition
 * is the same, and keeps the one that it has.
 */
void
act_definition_keep_search_path(const Sync *old, Sync *new, const Model *new_model)
{
	Model	   *old_model;

	if (strcmp(old->search_path, new->search_path) == 0 || strcmp(old->model, new->model) != 0 ||
		!is_same(old, new, ARGUMENT_MAPPING) || new->options.removed_mapping != NULL ||
		new->options.insert_mapping != NULL)
		return;
	old_model = act_definition_try_resolve(old);
	if (old_model != NULL && equal(old_model->query, new_model->query))
		new->search_path = old->search_path;
}

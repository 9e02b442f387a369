/*-------------------------------------------------------------------------
 *
 * definition_object.c
 *	  A definition against what the connector knows of its object: modes,
 *	  removals and fields.
 *
 * Called by definition_check.c as the caller, inside a transaction with SPI
 * connected; the destination is loaded for the sync's object.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/jsonb.h"

#include "definition_object.h"
#include "mapping.h"
#include "nearest.h"
#include "server_text.h"

/* ----------------------------------------------------------------
 *		Modes and removals
 * ----------------------------------------------------------------
 */

static bool
serves(const ConnectorObject *object, RowOp op)
{
	return object->operations[op] != NULL && !object->operations[op]->irreversible;
}

bool
act_object_serves_removal(const ConnectorObject *object, OnRemoved on_removed)
{
	if (on_removed == REMOVED_IGNORE)
		return true;
	return object->kind != OBJECT_EVENT && serves(object, act_on_removed_op(on_removed)) &&
		serves(object, act_sync_mode_op(MODE_MIRROR, on_removed));
}

bool
act_object_serves_mode(const ConnectorObject *object, SyncMode mode)
{
	if (object->kind == OBJECT_EVENT && mode != MODE_INSERT && mode != MODE_APPEND)
		return false;
	if (mode != MODE_MIRROR)
		return serves(object, act_sync_mode_op(mode, REMOVED_IGNORE));
	for (OnRemoved choice = REMOVED_IGNORE + 1; choice < ON_REMOVED_COUNT; choice++)
	{
		if (act_object_serves_removal(object, choice))
			return true;
	}
	return false;
}

/* What on_removed can be: 'delete', 'clear' or 'ignore'. */
static char *
removal_choices(const ConnectorObject *object)
{
	StringInfoData buf;

	initStringInfo(&buf);
	for (OnRemoved choice = REMOVED_IGNORE + 1; choice < ON_REMOVED_COUNT; choice++)
	{
		if (act_object_serves_removal(object, choice))
			appendStringInfo(&buf, "%s'%s'", buf.len > 0 ? ", " : "", act_on_removed_name(choice));
	}
	appendStringInfo(&buf, "%s'ignore'", buf.len > 0 ? " or " : "");
	return buf.data;
}

/* NULL: there is none. */
static char *
mode_choices(const ConnectorObject *object)
{
	StringInfoData buf;

	initStringInfo(&buf);
	for (SyncMode mode = MODE_UPSERT; mode < SYNC_MODE_COUNT; mode++)
	{
		if (act_object_serves_mode(object, mode))
			appendStringInfo(&buf, "%s'%s'", buf.len > 0 ? " or " : "", act_sync_mode_name(mode));
	}
	return buf.len > 0 ? buf.data : NULL;
}

char *
act_definition_object_title(const Sync *sync, const ConnectorObject *object)
{
	return object->title != NULL ? act_text_to_server(object->title) :
		sync->object != NULL ? psprintf("\"%s\"", sync->object) : pstrdup("its records");
}

static void
report_missing(const Sync *sync, const Destination *destination, const ConnectorObject *object, bool of_mode,
			   RowOp op)
{
	const char *what = of_mode ? "mode" : "on_removed";
	const char *name = of_mode ? act_sync_mode_name(sync->mode) : act_on_removed_name(sync->on_removed);
	const char *choices = of_mode ? mode_choices(object) : removal_choices(object);
	const char *own = object->pattern == NULL ? "" : psprintf(" for %s", act_definition_object_title(sync, object));

	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 object->kind == OBJECT_EVENT ?
			 errmsg("%s \"%s\" is not possible: object \"%s\" of connector \"%s\" takes events, each of them once",
					what, name, sync->object, destination->connector_name) :
			 object->operations[op] == NULL ?
			 errmsg("%s \"%s\" is not possible: connector \"%s\" has no operation \"%s\"%s",
					what, name, destination->connector_name, act_row_op_sent_name(op), own) :
			 errmsg("%s \"%s\" is not possible: operation \"%s\" of connector \"%s\"%s cannot be undone",
					what, name, act_row_op_sent_name(op), destination->connector_name, own),
			 choices == NULL ? 0 : errhint("%s => %s.", what, choices)));
}

/* Of a row that left a list, what is meant is that its record leaves it, too. */
static void
default_removal(Sync *sync, const ConnectorObject *object)
{
	if ((object->kind != OBJECT_MEMBERSHIP && object->kind != OBJECT_ASSOCIATION) ||
		!act_object_serves_removal(object, REMOVED_REMOVE))
		return;
	sync->on_removed = REMOVED_REMOVE;
	act_sync_options_parse(DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(sync->options_text))),
						   sync->on_removed, &sync->options);
}

void
act_definition_apply_object(Sync *sync, const DefinitionInput *input, bool was_mirror,
							const Destination *destination)
{
	const ConnectorObject *object = act_connector_object(destination->connector);
	RowOp		wanted[2];

	if (sync->mode == MODE_MIRROR && !was_mirror && input->on_removed == NULL)
		default_removal(sync, object);
	if (sync->mode == MODE_MIRROR && !was_mirror && input->on_removed == NULL && sync->on_removed == REMOVED_IGNORE &&
		object->kind != OBJECT_EVENT)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("mirror needs on_removed: what shall happen in %s to a record%s%s that left the model?",
						sync->destination, sync->object ? " of " : "", sync->object ? sync->object : ""),
				 errhint("on_removed => %s.", removal_choices(object))));
	wanted[0] = act_sync_mode_op(sync->mode, sync->on_removed);
	wanted[1] = act_on_removed_op(sync->on_removed);
	if (object->kind == OBJECT_EVENT && !act_object_serves_mode(object, sync->mode))
		report_missing(sync, destination, object, true, wanted[0]);
	if (wanted[1] != ROW_OP_NONE && !serves(object, wanted[1]))
		report_missing(sync, destination, object, false, wanted[1]);
	if (!serves(object, wanted[0]))
		report_missing(sync, destination, object, true, wanted[0]);
}

/* ----------------------------------------------------------------
 *		Fields
 * ----------------------------------------------------------------
 */

int
act_definition_find_field(const Mapping *mapping, const char *utf8)
{
	for (int i = 0; i < act_mapping_nfields(mapping); i++)
	{
		if (strcmp(act_server_text_utf8(act_mapping_field_name(mapping, i)), utf8) == 0)
			return i;
	}
	return -1;
}

static bool
is_match(const Sync *sync, const char *name)
{
	for (int i = 0; i < sync->nmatch; i++)
	{
		if (strcmp(sync->match[i], name) == 0)
			return true;
	}
	return false;
}

/* Names of fields that the object is known to have, each once. */
static const char **
known_fields(const ConnectorObject *object)
{
	int			most = object->nfields;
	const char **names;
	int			n = 0;

	for (int i = 0; i < object->nmatches; i++)
		most += object->matches[i].nfields;
	for (int i = 0; object->key_fields != NULL && object->key_fields[i] != NULL; i++)
		most++;
	names = palloc0(sizeof(char *) * (most + 1));
	for (int i = 0; object->key_fields != NULL && object->key_fields[i] != NULL; i++)
		names[n++] = object->key_fields[i];
	for (int i = 0; i < object->nfields; i++)
		names[n++] = object->fields[i].name;
	for (int i = 0; i < object->nmatches; i++)
	{
		for (int j = 0; j < object->matches[i].nfields; j++)
			names[n++] = object->matches[i].fields[j];
	}
	most = 0;
	for (int i = 0; i < n; i++)
	{
		bool		twice = false;

		for (int j = 0; j < most; j++)
			twice = twice || strcmp(names[i], names[j]) == 0;
		if (!twice)
			names[most++] = names[i];
	}
	names[most] = NULL;
	return names;
}

static char *
list_names(const char *const *names)
{
	StringInfoData buf;

	initStringInfo(&buf);
	for (int i = 0; names[i] != NULL; i++)
	{
		if (i == 60)
		{
			appendStringInfoString(&buf, ", ...");
			break;
		}
		appendStringInfo(&buf, "%s%s", i > 0 ? ", " : "", act_text_to_server(names[i]));
	}
	return buf.data;
}

static bool
is_listed(const char *const *names, const char *name)
{
	for (; *names != NULL; names++)
	{
		if (strcmp(*names, name) == 0)
			return true;
	}
	return false;
}

static void
check_field(const Sync *sync, const char *name, const char *const *known, const ConnectorObject *object)
{
	char	   *utf8 = act_server_text_utf8(name);
	const ObjectField *field = act_object_field(object, utf8);

	if (field != NULL && !field->writable && !is_match(sync, name))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("mapping field \"%s\" of sync \"%s\" cannot be written in %s", name, sync->name, sync->destination),
				 errdetail("It is read-only in %s.", act_definition_object_title(sync, object)),
				 errhint("Leave it out of the mapping, or match by it.")));
	if (!object->more_fields && !is_listed(known, utf8))
	{
		const char *nearest = act_nearest_name(utf8, known);

		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("mapping field \"%s\" of sync \"%s\" is no field of %s in %s", name, sync->name,
						act_definition_object_title(sync, object), sync->destination),
				 errdetail("Its fields are: %s.", list_names(known)),
				 nearest != NULL ? errhint("Perhaps you meant \"%s\".", act_text_to_server(nearest)) :
				 errhint("Leave it out of the mapping.")));
	}
}

/* Of memberships and associations: what makes the row. */
static void
check_key_fields(const Sync *sync, const Mapping *mapping, const ConnectorObject *object)
{
	for (int i = 0; object->key_fields != NULL && object->key_fields[i] != NULL; i++)
	{
		const char *name = act_text_to_server(object->key_fields[i]);

		if (act_definition_find_field(mapping, object->key_fields[i]) < 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("sync \"%s\" does not map \"%s\", which makes a row of %s", sync->name, name,
							act_definition_object_title(sync, object)),
					 errdetail("Each %s is made of: %s.", act_object_kind_name(object->kind),
							   list_names(object->key_fields)),
					 errhint("Add it to the mapping: ... AS %s.", quote_identifier(name))));
	}
}

/* What the rows of a request share they must have, those that left the model, too. */
static void
check_batch_field(const Sync *sync, const Mapping *mapping, const ConnectorObject *object)
{
	const ConnectorOperation *sent = object->operations[act_sync_mode_op(sync->mode, sync->on_removed)];
	const ConnectorOperation *removed = object->operations[act_on_removed_op(sync->on_removed)];
	const char *name;

	if (sent != NULL && sent->by != NULL && act_definition_find_field(mapping, sent->by) < 0)
	{
		name = act_text_to_server(sent->by);
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("sync \"%s\" does not map \"%s\", of which all rows of a request have one value",
						sync->name, name),
				 errhint("Add it to the mapping: ... AS %s.", quote_identifier(name))));
	}
	if (removed == NULL || removed->by == NULL)
		return;
	name = act_text_to_server(removed->by);
	if (object->takes_key || !is_match(sync, name))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("on_removed \"%s\" is not possible: rows that left the model have no \"%s\"",
						act_on_removed_name(sync->on_removed), name),
				 errdetail("All rows of a request have one value of it; of a row that left only the key and the match are known."),
				 errhint("on_removed => 'ignore'%s.", object->takes_key ? "" : ", or match by it, too")));
}

void
act_definition_check_fields(const Sync *sync, const Mapping *mapping, const Destination *destination)
{
	const ConnectorObject *object = act_connector_object(destination->connector);
	const char **known = known_fields(object);

	for (int i = 0; i < act_mapping_nfields(mapping); i++)
		check_field(sync, act_mapping_field_name(mapping, i), known, object);
	check_key_fields(sync, mapping, object);
	check_batch_field(sync, mapping, object);
}

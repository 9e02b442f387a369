/*-------------------------------------------------------------------------
 *
 * field_types.c
 *	  Types of a sync's fields as they were last sent, to say what changed.
 *
 * A column of a model that gets another type can make every row another one,
 * though nobody changed a value.  Fingerprints cannot tell why they differ, so
 * the types are kept beside the sync's state, as JSON: the path of the field in
 * the payload, what people call it, its type, and what of that enters the
 * fingerprint.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/json.h"

#include "field_types.h"
#include "identity.h"
#include "mapping.h"
#include "transaction.h"

static char *
types_json(const Model *model)
{
	StringInfoData buf;

	initStringInfo(&buf);
	appendStringInfoChar(&buf, '{');
	for (int i = 0; i < model->nleaves; i++)
	{
		const char *parts[] = {
			act_mapping_leaf_label(model->mapping, i),
			model->leaf_type_names[i],
			act_value_type_signature(model->leaf_values[i]),
		};

		appendStringInfoString(&buf, i > 0 ? ", " : "");
		escape_json(&buf, act_mapping_leaf_path(model->mapping, i));
		for (int j = 0; j < lengthof(parts); j++)
		{
			appendStringInfoString(&buf, j > 0 ? ", " : ": [");
			escape_json(&buf, parts[j]);
		}
		appendStringInfoChar(&buf, ']');
	}
	appendStringInfoChar(&buf, '}');
	return buf.data;
}

void
act_field_types_store(const Model *model)
{
	Identity	identity;
	SqlArgument args[] = {SQL_INT8(model->sync->sync_id), SQL_TEXT(types_json(model))};

	act_identity_extension(&identity);
	act_sql(SPI_OK_UPDATE,
			"UPDATE activate.sync_state SET field_types = $2::pg_catalog.jsonb WHERE sync_id = $1"
			" AND field_types IS DISTINCT FROM $2::pg_catalog.jsonb", lengthof(args), args);
	act_identity_leave(&identity);
}

char *
act_field_types_change(const Model *model)
{
	MemoryContext context = CurrentMemoryContext;
	Identity	identity;
	SqlArgument args[] = {SQL_INT8(model->sync->sync_id), SQL_TEXT(types_json(model))};
	char	   *change = NULL;
	uint64		count;

	act_identity_extension(&identity);
	count = act_sql(SPI_OK_SELECT,
					"SELECT n.value ->> 0, o.value ->> 1, n.value ->> 1"
					" FROM activate.sync_state AS t, pg_catalog.jsonb_each(t.field_types) AS o,"
					" pg_catalog.jsonb_each($2::pg_catalog.jsonb) AS n"
					" WHERE t.sync_id = $1 AND n.key = o.key AND n.value ->> 2 <> o.value ->> 2 ORDER BY n.key",
					lengthof(args), args);
	if (count > 0)
	{
		MemoryContext caller = MemoryContextSwitchTo(context);

		change = psprintf("type of field \"%s\" changed from %s to %s%s", act_sql_text(0, 1),
						  act_sql_text(0, 2), act_sql_text(0, 3),
						  count > 1 ? psprintf(", and of " UINT64_FORMAT " more", count - 1) : "");
		MemoryContextSwitchTo(caller);
	}
	act_identity_leave(&identity);
	return change;
}

/*-------------------------------------------------------------------------
 *
 * named_row.c
 *	  Rows of a sync that a person names, to steer them.
 *
 * Called by the functions that do so (row_retry.c, row_mute.c, row_settle.c),
 * in the caller's transaction with SPI connected.  Only the sync's own table
 * is asked: it works while the model does not.  Throws 22023 for keys that are
 * none, 42704 for those that the table does not have, 55P03 where a run is
 * writing one of them and waits for the caller.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "diff_query.h"
#include "fault.h"
#include "key_argument.h"
#include "named_row.h"
#include "sync_state.h"
#include "transaction.h"
#include "wakeup.h"

/* Less than deadlock_timeout by default, so that it is the caller who gives way. */
#define PATIENCE "500ms"

static Oid
key_type(const Sync *sync, int column)
{
	AttrNumber	attnum = get_attnum(sync->table_oid, sync->key[column]);

	if (attnum <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("table %s of sync \"%s\" has no key column \"%s\"",
						act_sync_table_name(sync), sync->name, sync->key[column]),
				 errhint("Only the extension changes this table. %s", act_sync_table_hint(sync))));
	return get_atttype(sync->table_oid, attnum);
}

void
act_named_rows_enter(NamedRows *rows, Sync *sync, Jsonb *keys)
{
	Model		model = {.sync = sync};

	memset(rows, 0, sizeof(*rows));
	rows->sync = sync;
	rows->now = act_now();
	if (keys != NULL)
		act_key_argument_check(sync, keys);
	(void) act_sync_table_open(sync, RowExclusiveLock, false);
	act_identity_owner(&rows->identity, sync->owner, NULL, NULL);
	act_identity_set("lock_timeout", PATIENCE);
	if (keys == NULL)
		return;
	/* All that reading keys takes. */
	model.key_types = palloc(sizeof(Oid) * sync->nkeys);
	for (int i = 0; i < sync->nkeys; i++)
		model.key_types[i] = key_type(sync, i);
	rows->keys = act_key_argument_read(&model, keys);
}

void
act_named_rows_leave(NamedRows *rows)
{
	act_identity_leave(&rows->identity);
}

void
act_named_rows_append_keys(StringInfo buf, const NamedRows *rows)
{
	const Sync *sync = rows->sync;

	appendStringInfoString(buf, " FROM (SELECT j.n");
	for (int i = 0; i < sync->nkeys; i++)
		appendStringInfo(buf, ", (j.o ->> %s)::%s AS k%d", quote_literal_cstr(sync->key[i]),
						 format_type_extended(key_type(sync, i), -1,
											  FORMAT_TYPE_TYPEMOD_GIVEN | FORMAT_TYPE_FORCE_QUALIFY), i + 1);
	appendStringInfoString(buf, " FROM jsonb_array_elements($1) WITH ORDINALITY AS j(o, n)) AS w");
}

void
act_named_rows_append_match(StringInfo buf, const NamedRows *rows)
{
	const Sync *sync = rows->sync;

	for (int i = 0; i < sync->nkeys; i++)
	{
		appendStringInfo(buf, "%ss.%s", i > 0 ? " AND " : "", quote_identifier(sync->key[i]));
		act_diff_query_append_equality(buf, key_type(sync, i));
		appendStringInfo(buf, "w.k%d", i + 1);
	}
}

void
act_named_rows_append_columns(StringInfo buf, const NamedRows *rows)
{
	for (int i = 0; i < rows->sync->nkeys; i++)
		appendStringInfo(buf, "%s%s", i > 0 ? ", " : "", quote_identifier(rows->sync->key[i]));
}

/* {"a": .., "b": ..} of what was named */
static void
append_key_object(StringInfo buf, const Sync *sync)
{
	appendStringInfoString(buf, "jsonb_build_object(");
	for (int i = 0; i < sync->nkeys; i++)
		appendStringInfo(buf, "%s%s, w.k%d", i > 0 ? ", " : "", quote_literal_cstr(sync->key[i]), i + 1);
	appendStringInfoString(buf, ")::text");
}

static void
refuse_unknown(const Sync *sync, const char *key)
{
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("sync \"%s\" has not sent a row with key %s", sync->name, key),
			 errhint("SELECT * FROM activate.explain_row(%s, %s);",
					 quote_literal_cstr(sync->name), quote_literal_cstr(key))));
}

NamedRow *
act_named_rows_look(const NamedRows *rows, bool missing_ok, int *count)
{
	SqlArgument args[] = {{JSONBOID, JsonbPGetDatum(rows->keys), false}};
	NamedRow   *found;
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfoString(&sql, "SELECT ");
	append_key_object(&sql, rows->sync);
	appendStringInfoString(&sql, ", s.activate_state, s.activate_in_doubt, s.activate_muted_at IS NOT NULL,"
						   " s.activate_tried IS NOT NULL AND s.activate_op IS NOT NULL, s.activate_op");
	act_named_rows_append_keys(&sql, rows);
	appendStringInfo(&sql, " LEFT JOIN %s AS s ON ", act_sync_table_name(rows->sync));
	act_named_rows_append_match(&sql, rows);
	appendStringInfoString(&sql, " ORDER BY w.n");
	*count = (int) act_sql(SPI_OK_SELECT, sql.data, lengthof(args), args);
	found = palloc0(sizeof(NamedRow) * Max(*count, 1));
	for (int i = 0; i < *count; i++)
	{
		char	   *state = act_sql_text(i, 2);
		char	   *op = act_sql_text(i, 6);

		found[i].key = act_sql_text(i, 1);
		found[i].exists = state != NULL;
		if (!found[i].exists && !missing_ok)
			refuse_unknown(rows->sync, found[i].key);
		if (!found[i].exists)
			continue;
		found[i].state = act_state_parse(state, strlen(state));
		found[i].in_doubt = act_sql_bool(i, 3);
		found[i].muted = act_sql_bool(i, 4);
		found[i].has_tried = act_sql_bool(i, 5);
		found[i].tried_op = op != NULL ? act_row_op_parse(op) : ROW_OP_NONE;
	}
	return found;
}

void
act_named_rows_tell_next(const Sync *sync)
{
	const char *hint;
	const char *problem = act_workers_problem(&hint);
	bool		scheduled = act_sync_state_retry_rows(sync);

	if (sync->paused)
		ereport(NOTICE,
				(errmsg("sync \"%s\" is paused: the rows go once it is resumed", sync->name),
				 errhint("SELECT activate.resume_sync(%s);", quote_literal_cstr(sync->name))));
	else if (!scheduled)
		ereport(NOTICE,
				(errmsg("sync \"%s\" runs only when called: the rows go with its next run", sync->name),
				 errhint("CALL activate.run_sync(%s);", quote_literal_cstr(sync->name))));
	else if (problem != NULL)
		ereport(NOTICE,
				(errmsg("%s: the rows go with the next run", problem),
				 errhint("CALL activate.run_sync(%s);", quote_literal_cstr(sync->name))));
}

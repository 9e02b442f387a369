/*-------------------------------------------------------------------------
 *
 * snapshot.c
 *	  The table of a sync in activate_data: what its destination accepted.
 *
 * The table is created as the extension's owner, since nobody else may create
 * in that schema, and altered (renamed, given away, dropped) as that owner,
 * too: these statements run no code of the table's.  Its rows are only
 * touched as the sync's owner.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "catalog/index.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "diff_careful.h"
#include "diff_query.h"
#include "fault.h"
#include "identity.h"
#include "snapshot.h"
#include "transaction.h"

static const char engine_columns[] =
"activate_external_id pg_catalog.text,"
" activate_state pg_catalog.text NOT NULL DEFAULT 'accepted',"
" activate_accepted_at pg_catalog.timestamptz,"
" activate_fingerprint pg_catalog.uuid,"
" activate_in_doubt pg_catalog.bool NOT NULL DEFAULT false,"
" activate_tried pg_catalog.uuid,"
" activate_op pg_catalog.text,"
" activate_change_id pg_catalog.uuid,"
" activate_attempts pg_catalog.int4 NOT NULL DEFAULT 0,"
" activate_first_at pg_catalog.timestamptz,"
" activate_last_at pg_catalog.timestamptz,"
" activate_next_attempt_at pg_catalog.timestamptz,"
" activate_http_status pg_catalog.int4,"
" activate_code pg_catalog.text,"
" activate_message pg_catalog.text,"
" activate_request_id pg_catalog.int8,"
" activate_missing_since pg_catalog.timestamptz,"
" activate_late_until pg_catalog.timestamptz,"
" activate_muted_at pg_catalog.timestamptz,"
" activate_muted_by pg_catalog.text,"
" activate_muted_reason pg_catalog.text,"
" activate_field_hashes pg_catalog.text,"
" activate_payload pg_catalog.json,"
" activate_remembered pg_catalog.json";

static const struct
{
	const char *column;
	const char *comment;
}			column_comments[] =
{
	{"activate_external_id", "the destination's id of the record; null: it told none"},
	{"activate_remembered", "what else the connector remembers of the record, such as its revision; null: nothing"},
	{"activate_state", "accepted, rejected, refused, absent, doubt, unknown, waiting, leaving, left, removed, skipped or gone"},
	{"activate_accepted_at", "when the destination last accepted the row, or a baseline took it for accepted; null: never, or nothing of it is left there"},
	{"activate_fingerprint", "digest of the mapped values that the destination has; null: not known"},
	{"activate_in_doubt", "an answer was lost: what the destination has is not certain"},
	{"activate_tried", "digest of the version last tried and not accepted; null: none"},
	{"activate_op", "operation last tried and not accepted; null: none"},
	{"activate_change_id", "id that this version was sent with, and is again while nothing else was; null: none"},
	{"activate_attempts", "how often the destination said no to this version; 0: never"},
	{"activate_first_at", "when the row was first not accepted, since it last was; null: it was not tried since"},
	{"activate_last_at", "when the row was last tried and not accepted; null: it was not"},
	{"activate_next_attempt_at", "when the row, as it is, may go again; null: with the next run, or not before it changes"},
	{"activate_http_status", "status of the HTTP answer to what was last tried; null: there was none"},
	{"activate_code", "the destination's word for the reason; null: none given"},
	{"activate_message", "the reason as a sentence, mostly the destination's own; null: none given"},
	{"activate_request_id", "number of the request that decided it, in the view requests; null: none did, or it is not logged"},
	{"activate_field_hashes", "option changed_fields_only: a digest of each field that the destination has; null: not kept, or not known"},
	{"activate_payload", "option keep_payload: what the destination last accepted; null: not kept, or not known"},
	{"activate_late_until", "until when a request of the row whose answer was lost may still be applied: no other version goes before; null: none was lost"},
	{"activate_muted_at", "when mute_row() was called for the row; null: it is not muted"},
	{"activate_muted_by", "who muted it"},
	{"activate_muted_reason", "why; null: not said"},
	{"activate_missing_since", "when a run first missed the row in the model; null: it is there, or nobody waits for remove_after"},
};

/* All rows of a key have one fingerprint; one whose mapping raises has none. */
#define HAVING_ONE_VERSION \
	" HAVING pg_catalog.count(DISTINCT m.fp) OPERATOR(pg_catalog.=) 1" \
	" AND pg_catalog.count(m.fp) OPERATOR(pg_catalog.=) pg_catalog.count(*)"

static void
utility(const char *sql)
{
	act_sql(SPI_OK_UTILITY, sql, 0, NULL);
}

static void
comment_column(const char *table, const char *column, const char *comment)
{
	utility(psprintf("COMMENT ON COLUMN %s.%s IS %s", table, quote_identifier(column),
					 quote_literal_cstr(comment)));
}

/*
 * Without length or precision, which may grow in the model; with a collation
 * where it is not the type's own.
 */
static void
append_key_column(StringInfo buf, const char *name, Oid type, Oid collation)
{
	appendStringInfoString(buf, quote_identifier(name));
	act_diff_query_append_type(buf, type, collation);
	appendStringInfoString(buf, " NOT NULL, ");
}

static void
refuse_existing(const char *sync_name, const char *name)
{
	Oid			relation = get_relname_relid(name, get_namespace_oid("activate_data", false));
	Oid			table;

	if (!OidIsValid(relation))
		return;
	table = IndexGetRelation(relation, true);
	ereport(ERROR,
			(errcode(ERRCODE_DUPLICATE_TABLE),
			 errmsg("sync \"%s\" cannot have its table: activate_data.%s exists already", sync_name,
					quote_identifier(name)),
			 errdetail("It belongs to no sync, as after a restore without data."),
			 errhint("DROP TABLE activate_data.%s;",
					 quote_identifier(get_rel_name(OidIsValid(table) ? table : relation)))));
}

/*
 * What was restored without its definition (pg_dump --schema-only, or one
 * table) stands where the table, or an index named after the sync's number,
 * is to be.
 */
static void
refuse_left_over(const Sync *sync)
{
	refuse_existing(sync->name, sync->name);
	refuse_existing(sync->name, psprintf("activate_key_" INT64_FORMAT, sync->sync_id));
	refuse_existing(sync->name, psprintf("activate_pending_" INT64_FORMAT, sync->sync_id));
}

void
act_snapshot_create(const Sync *sync, const Model *model, Oid owner)
{
	StringInfoData buf;
	Identity	identity;
	char	   *table = act_sync_table_name(sync);

	refuse_left_over(sync);
	initStringInfo(&buf);
	appendStringInfo(&buf, "CREATE TABLE %s (", table);
	for (int i = 0; i < sync->nkeys; i++)
		append_key_column(&buf, sync->key[i], model->key_types[i], model->key_collations[i]);
	appendStringInfo(&buf, "%s, CONSTRAINT activate_key_" INT64_FORMAT " PRIMARY KEY (",
					 engine_columns, sync->sync_id);
	for (int i = 0; i < sync->nkeys; i++)
		appendStringInfo(&buf, "%s%s", i > 0 ? ", " : "", quote_identifier(sync->key[i]));
	/* Room on each page: an update of a fingerprint stays on it. */
	appendStringInfoString(&buf, ")) WITH (fillfactor = 90)");

	act_identity_extension(&identity);
	utility(buf.data);
	utility(psprintf("CREATE INDEX activate_pending_" INT64_FORMAT " ON %s (activate_state)"
					 " WHERE activate_state OPERATOR(pg_catalog.<>) 'accepted'", sync->sync_id, table));
	utility(psprintf("COMMENT ON TABLE %s IS %s", table,
					 quote_literal_cstr(psprintf("what the destination of sync \"%s\" accepted; changed by pg_activate only",
												 sync->name))));
	for (int i = 0; i < lengthof(column_comments); i++)
		comment_column(table, column_comments[i].column, column_comments[i].comment);
	for (int i = 0; i < sync->nkeys; i++)
		comment_column(table, sync->key[i], "column of the sync's key, as in its model");
	utility(psprintf("ALTER TABLE %s OWNER TO %s", table,
					 quote_identifier(GetUserNameFromId(owner, false))));
	act_identity_leave(&identity);
}

static void
alter(const Sync *sync, const char *format_tail)
{
	Identity	identity;

	(void) act_sync_table_open(sync, AccessExclusiveLock, false);
	act_identity_extension(&identity);
	utility(psprintf("ALTER TABLE %s %s", act_sync_table_name(sync), format_tail));
	act_identity_leave(&identity);
}

/* What writes its rows anew evaluates the checks that the owner may have put there. */
static void
alter_rows(const Sync *sync, const char *format_tail)
{
	Identity	identity;

	(void) act_sync_table_open(sync, AccessExclusiveLock, false);
	act_identity_owner(&identity, sync->owner, NULL, NULL);
	utility(psprintf("ALTER TABLE %s %s", act_sync_table_name(sync), format_tail));
	act_identity_leave(&identity);
}

/* Whether every value of one type is, as text, a value of the other: an equal one. */
static bool
widens(Oid from, Oid to)
{
	switch (from)
	{
		case INT2OID:
			return to == INT4OID || to == INT8OID || to == NUMERICOID;
		case INT4OID:
			return to == INT8OID || to == NUMERICOID;
		case INT8OID:
			return to == NUMERICOID;
		case VARCHAROID:
			return to == TEXTOID;
		case TEXTOID:
			return to == VARCHAROID;
		default:
			return false;
	}
}

bool
act_snapshot_check_key(const Sync *sync, const Model *model)
{
	bool		same = true;

	for (int i = 0; i < sync->nkeys; i++)
	{
		AttrNumber	attnum = get_attnum(sync->table_oid, sync->key[i]);
		Oid			type = attnum > 0 ? get_atttype(sync->table_oid, attnum) : InvalidOid;

		if (!OidIsValid(type) || type == model->key_types[i])
			continue;
		same = false;
		if (!widens(type, model->key_types[i]))
			ereport(ERROR,
					(errcode(ERRCODE_DATATYPE_MISMATCH),
					 errmsg("key column \"%s\" of sync \"%s\" has type %s now, and its table has %s",
							sync->key[i], sync->name, format_type_be(model->key_types[i]), format_type_be(type)),
					 errhint("Let the model cast it to %s, or have the table made anew, and every row sent again: SELECT activate.reset_sync(%s, 'resend');",
							 format_type_be(type), quote_literal_cstr(sync->name))));
	}
	return same;
}

void
act_snapshot_widen_key(const Sync *sync, const Model *model)
{
	for (int i = 0; i < sync->nkeys; i++)
	{
		if (get_atttype(sync->table_oid, get_attnum(sync->table_oid, sync->key[i])) != model->key_types[i])
			alter_rows(sync, psprintf("ALTER COLUMN %s TYPE %s", quote_identifier(sync->key[i]),
								   format_type_be_qualified(model->key_types[i])));
	}
}

/* The table may be gone already, or be something else by now: only a table goes. */
void
act_snapshot_drop(const Sync *sync)
{
	Identity	identity;

	if (!OidIsValid(sync->table_oid))
		return;
	LockRelationOid(sync->table_oid, AccessExclusiveLock);
	if (get_rel_relkind(sync->table_oid) != RELKIND_RELATION)
		return;
	act_identity_extension(&identity);
	utility(psprintf("DROP TABLE %s", act_sync_table_name(sync)));
	act_identity_leave(&identity);
}

void
act_snapshot_rename(const Sync *sync, const char *new_name)
{
	refuse_existing(new_name, new_name);
	alter(sync, psprintf("RENAME TO %s", quote_identifier(new_name)));
}

void
act_snapshot_give(const Sync *sync, Oid new_owner)
{
	alter(sync, psprintf("OWNER TO %s", quote_identifier(GetUserNameFromId(new_owner, false))));
}

void
act_snapshot_rename_key(const Sync *sync, int nkeys, char **new_key)
{
	if (nkeys != sync->nkeys)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the key of sync \"%s\" has %d columns and cannot become one of %d",
						sync->name, sync->nkeys, nkeys),
				 errhint("A column of the key can be renamed; for another key drop the sync and create it again.")));
	for (int i = 0; i < nkeys; i++)
	{
		if (strcmp(sync->key[i], new_key[i]) != 0)
			alter(sync, psprintf("RENAME COLUMN %s TO %s", quote_identifier(sync->key[i]),
								 quote_identifier(new_key[i])));
	}
}

void
act_snapshot_forget(const Sync *sync, bool moved)
{
	Identity	identity;
	SqlArgument id[] = {SQL_INT8(sync->sync_id)};
	SqlArgument late[] = {{TIMESTAMPTZOID, TimestampTzGetDatum(act_now()), moved}};

	(void) act_sync_table_open(sync, RowExclusiveLock, false);
	act_identity_owner(&identity, sync->owner, NULL, NULL);
	/* What a person muted stays so, and what a lost request may still overtake goes on waiting for it. */
	act_sql(SPI_OK_DELETE, psprintf("DELETE FROM %s WHERE activate_muted_at IS NULL"
									" AND (activate_late_until > $1) IS NOT TRUE", act_sync_table_name(sync)),
			lengthof(late), late);
	act_sql(SPI_OK_UPDATE, psprintf("UPDATE %s SET activate_state = 'gone',"
									" activate_late_until = CASE WHEN $1 IS NOT NULL THEN activate_late_until END,"
									" activate_external_id = NULL, activate_remembered = NULL," ACT_SNAPSHOT_NOTHING_THERE, act_sync_table_name(sync)),
			lengthof(late), late);
	act_identity_leave(&identity);

	/* What a run that died left in doubt was sent to what is forgotten now. */
	act_identity_extension(&identity);
	act_sql(SPI_OK_DELETE, "DELETE FROM activate.claim WHERE sync_id = $1", 1, id);
	act_sql(SPI_OK_DELETE, "DELETE FROM activate.job WHERE sync_id = $1", 1, id);
	act_sql(SPI_OK_DELETE, "DELETE FROM activate.invalid_row WHERE sync_id = $1", 1, id);
	act_identity_leave(&identity);
}

static void
append_keys(StringInfo buf, const Sync *sync)
{
	for (int i = 0; i < sync->nkeys; i++)
		appendStringInfo(buf, "%s%s", i > 0 ? ", " : "", quote_identifier(sync->key[i]));
}

static void
append_key_numbers(StringInfo buf, const Sync *sync)
{
	for (int i = 1; i <= sync->nkeys; i++)
		appendStringInfo(buf, "%sm.k%d", i > 1 ? ", " : "", i);
}

typedef struct Rewrite
{
	const Sync *sync;
	int64		rows;			/* written */
} Rewrite;

static void
write_baseline(const Model *const *models, void *arg)
{
	Rewrite    *rewrite = arg;
	const Sync *sync = rewrite->sync;
	const Model *model = models[0];
	StringInfoData buf;
	char	   *table = act_sync_table_name(sync);
	SqlArgument now[] = {{TIMESTAMPTZOID, TimestampTzGetDatum(act_now()), false}};

	initStringInfo(&buf);
	appendStringInfo(&buf, "DELETE FROM %s AS s WHERE NOT EXISTS (SELECT 1 FROM ", table);
	act_diff_query_append_model(&buf, model, false);
	appendStringInfoString(&buf, " AS m WHERE ");
	act_diff_query_append_key_match(&buf, model, "m", "s", true);
	appendStringInfoString(&buf, ") AND s.activate_muted_at IS NULL");
	act_sql(SPI_OK_DELETE, buf.data, 0, NULL);
	/* Those that are muted are taken for what the model makes of them, below. */
	act_sql(SPI_OK_UPDATE, psprintf("UPDATE %s SET activate_state = 'gone', activate_late_until = NULL,"
									ACT_SNAPSHOT_NOTHING_THERE " WHERE activate_muted_at IS NOT NULL", table), 0, NULL);

	resetStringInfo(&buf);
	appendStringInfo(&buf, "INSERT INTO %s AS s (", table);
	append_keys(&buf, sync);
	appendStringInfoString(&buf, ", activate_fingerprint, activate_accepted_at) SELECT ");
	for (int i = 1; i <= sync->nkeys; i++)
		appendStringInfo(&buf, "m.k%d, ", i);
	appendStringInfoString(&buf, "pg_catalog.min(m.fp::pg_catalog.text)::pg_catalog.uuid, $1 FROM ");
	act_diff_query_append_model(&buf, model, false);
	appendStringInfoString(&buf, " AS m WHERE ");
	for (int i = 1; i <= sync->nkeys; i++)
		appendStringInfo(&buf, "%sm.k%d IS NOT NULL", i > 1 ? " AND " : "", i);
	appendStringInfoString(&buf, " GROUP BY ");
	append_key_numbers(&buf, sync);
	appendStringInfoString(&buf, HAVING_ONE_VERSION " ON CONFLICT (");
	append_keys(&buf, sync);
	appendStringInfoString(&buf, ") DO UPDATE SET activate_fingerprint = EXCLUDED.activate_fingerprint,"
						   " activate_accepted_at = COALESCE(s.activate_accepted_at, EXCLUDED.activate_accepted_at),"
						   " activate_state = 'accepted', activate_in_doubt = false, activate_tried = NULL,"
						   " activate_op = NULL, activate_change_id = NULL, activate_attempts = 0,"
						   " activate_first_at = NULL, activate_last_at = NULL, activate_next_attempt_at = NULL,"
						   " activate_http_status = NULL, activate_code = NULL, activate_message = NULL,"
						   " activate_missing_since = NULL, activate_field_hashes = NULL, activate_payload = NULL");
	rewrite->rows = act_sql(SPI_OK_INSERT, buf.data, 1, now);
}

/*
 * Rows that cannot be sent (null or differing duplicate keys, a mapping that
 * raises) are left out: the next run names them.  External ids that are known
 * stay.
 */
int64
act_snapshot_baseline(const Sync *sync, const Model *model)
{
	Rewrite		rewrite = {sync, 0};
	Identity	identity;

	(void) act_sync_table_open(sync, RowExclusiveLock, false);
	act_identity_owner(&identity, sync->owner, sync->search_path, sync->time_zone);
	act_diff_carefully(&model, 1, NULL, write_baseline, &rewrite);
	act_identity_leave(&identity);
	return rewrite.rows;
}

/* Digests of fields are of what was sent; what counts as sent has others. */
static void
write_carried_over(const Model *const *models, void *arg)
{
	Rewrite    *rewrite = arg;
	const Sync *sync = rewrite->sync;
	StringInfoData buf;

	initStringInfo(&buf);
	appendStringInfo(&buf, "UPDATE %s AS s SET activate_fingerprint = n.fp, activate_field_hashes = NULL FROM ",
					 act_sync_table_name(sync));
	act_diff_query_append_model(&buf, models[0], false);
	appendStringInfoString(&buf, " AS o, (SELECT ");
	append_key_numbers(&buf, sync);
	appendStringInfoString(&buf, ", pg_catalog.min(m.fp::pg_catalog.text)::pg_catalog.uuid AS fp FROM ");
	act_diff_query_append_model(&buf, models[1], false);
	appendStringInfoString(&buf, " AS m GROUP BY ");
	append_key_numbers(&buf, sync);
	/* Of rows with one key and different values nobody knows which was sent. */
	appendStringInfoString(&buf, HAVING_ONE_VERSION ") AS n WHERE ");
	act_diff_query_append_key_match(&buf, models[0], "o", "s", true);
	appendStringInfoString(&buf, " AND ");
	act_diff_query_append_key_match(&buf, models[1], "n", "s", true);
	appendStringInfoString(&buf, " AND o.fp OPERATOR(pg_catalog.=) s.activate_fingerprint");
	rewrite->rows = act_sql(SPI_OK_UPDATE, buf.data, 0, NULL);
}

int64
act_snapshot_carry_over(const Sync *sync, const Model *old_model, const Model *new_model)
{
	const Model *const models[] = {old_model, new_model};
	Rewrite		rewrite = {sync, 0};
	Identity	identity;

	(void) act_sync_table_open(sync, RowExclusiveLock, false);
	act_identity_owner(&identity, sync->owner, sync->search_path, sync->time_zone);
	act_diff_carefully(models, lengthof(models), NULL, write_carried_over, &rewrite);
	act_identity_leave(&identity);
	return rewrite.rows;
}

bool
act_snapshot_keeps_less(const Sync *old, const Sync *new)
{
	return (old->options.keep_payload && !new->options.keep_payload) ||
		(old->options.changed_fields_only && !new->options.changed_fields_only);
}

void
act_snapshot_keep_less(const Sync *sync, const Sync *new)
{
	Identity	identity;
	SqlArgument args[] = {SQL_BOOL(new->options.keep_payload), SQL_BOOL(new->options.changed_fields_only)};

	(void) act_sync_table_open(sync, RowExclusiveLock, false);
	act_identity_owner(&identity, sync->owner, NULL, NULL);
	act_sql(SPI_OK_UPDATE, psprintf("UPDATE %s SET activate_payload = CASE WHEN $1 THEN activate_payload END,"
									" activate_field_hashes = CASE WHEN $2 THEN activate_field_hashes END"
									" WHERE (activate_payload IS NOT NULL AND NOT $1)"
									" OR (activate_field_hashes IS NOT NULL AND NOT $2)",
									act_sync_table_name(sync)), lengthof(args), args);
	act_identity_leave(&identity);
}

void
act_snapshot_resend_all(const Sync *sync)
{
	Identity	identity;

	(void) act_sync_table_open(sync, RowExclusiveLock, false);
	act_identity_owner(&identity, sync->owner, NULL, NULL);
	act_sql(SPI_OK_UPDATE, psprintf("UPDATE %s SET activate_fingerprint = NULL, activate_field_hashes = NULL"
									" WHERE activate_fingerprint IS NOT NULL",
									act_sync_table_name(sync)), 0, NULL);
	act_identity_leave(&identity);
}

/*
 * Attempts and the change_id go, too: another version may have been sent
 * since.  A row that left stays so, one on its way out keeps its time.  Mode
 * insert sends no accepted key again, so nobody can have done so; and what
 * waits for a person goes on waiting.
 */
int64
act_snapshot_doubt(const Sync *sync, const char *reason)
{
	Identity	identity;
	int64		rows;
	SqlArgument args[] = {
		SQL_TEXT(reason),
		{TIMESTAMPTZOID, TimestampTzGetDatum(act_now()), false},
		SQL_BOOL(sync->mode == MODE_INSERT || sync->mode == MODE_APPEND),
	};

	(void) act_sync_table_open(sync, RowExclusiveLock, false);
	act_identity_owner(&identity, sync->owner, NULL, NULL);
	rows = act_sql(SPI_OK_UPDATE,
				   psprintf("UPDATE %s SET activate_in_doubt = true, activate_fingerprint = NULL, activate_field_hashes = NULL,"
							" activate_state = CASE WHEN activate_state IN ('left', 'leaving') THEN activate_state ELSE 'doubt' END,"
							" activate_tried = NULL, activate_op = NULL, activate_change_id = NULL, activate_attempts = 0,"
							" activate_first_at = COALESCE(activate_first_at, $2), activate_last_at = COALESCE(activate_last_at, $2),"
							" activate_next_attempt_at = NULL, activate_http_status = NULL, activate_code = NULL,"
							" activate_message = $1"
							" WHERE activate_state <> 'unknown' AND NOT ($3 AND activate_accepted_at IS NOT NULL AND NOT activate_in_doubt)",
							act_sync_table_name(sync)), lengthof(args), args);
	act_identity_leave(&identity);
	return rows;
}

/*-------------------------------------------------------------------------
 *
 * claim.c
 *	  Batches whose request may be under way: rows of activate.claim.
 *
 * Written before the first byte goes out, gone when the answer is settled;
 * what a run that died left there says which rows are in doubt.  Rows of the
 * extension's with keys as text, so that no code of a user runs as it.
 * Called inside transactions that the caller commits, with SPI connected;
 * enters and leaves the extension's identity.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/uuid.h"

#include "column.h"
#include "fault.h"
#include "identity.h"
#include "job.h"
#include "settle.h"
#include "transaction.h"
#include "unit.h"

/* As the extension. */
static int64
insert_claim(const Sync *sync, int64 run_id, const ClaimWrite *claim, int timeout_ms)
{
	static SPIPlanPtr plan = NULL;
	int			nrows = claim->nrows;
	Column		ops = act_column_make(TEXTOID, nrows);
	Column		keys = act_column_make(TEXTOID, nrows * sync->nkeys);
	Column		fingerprints = act_column_make(UUIDOID, nrows);
	Column		change_ids = act_column_make(UUIDOID, nrows);
	Column		once = act_column_make(BOOLOID, nrows);
	int64		claim_id;

	for (int i = 0; i < nrows; i++)
	{
		const Row  *row = claim->rows[i];

		act_column_add_text(&ops, act_row_op_name(row->op));
		for (int k = 0; k < sync->nkeys; k++)
			act_column_add_text(&keys, row->key_values[k]);
		act_column_add_digest(&fingerprints, row->fingerprint, false);
		act_column_add_digest(&change_ids, row->change_id, false);
		act_column_add(&once, BoolGetDatum(row->at_most_once), false);
	}
	{
		SqlArgument args[] = {SQL_INT8(sync->sync_id), SQL_INT8(run_id),
			act_column_argument(&ops), act_column_argument(&keys),
		act_column_argument(&fingerprints), act_column_argument(&change_ids), act_column_argument(&once),
		SQL_INT4(timeout_ms)};

		act_sql_kept(&plan, CURSOR_OPT_GENERIC_PLAN, SPI_OK_INSERT_RETURNING,
					 "INSERT INTO activate.claim (sync_id, run_id, ops, key_values, fingerprints, change_ids, once, timeout_ms)"
					 " VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING claim_id", lengthof(args), args);
	}
	claim_id = act_sql_int64(0, 1);
	/* One for each batch: they would pile up until the run's end. */
	SPI_freetuptable(SPI_tuptable);
	return claim_id;
}

/* As the extension.  The table grows while nobody removes what is dead: its size is looked at each time. */
static void
remove_claims(const int64 *ids, int count)
{
	static SPIPlanPtr plan = NULL;
	Column		column = act_column_make(INT8OID, count);

	if (count == 0)
		return;
	for (int i = 0; i < count; i++)
		act_column_add(&column, Int64GetDatum(ids[i]), false);
	{
		SqlArgument args[] = {act_column_argument(&column)};

		act_sql_kept(&plan, CURSOR_OPT_CUSTOM_PLAN, SPI_OK_DELETE,
					 "DELETE FROM activate.claim WHERE claim_id = ANY ($1)", 1, args);
	}
}

void
act_claim_write(const Sync *sync, int64 run_id, const ClaimWrite *writes, int nwrites,
				const int64 *removed, int nremoved, int timeout_ms)
{
	Identity	identity;

	if (nwrites == 0 && nremoved == 0)
		return;
#ifdef ACT_TEST
	if (act_fault_late_off)
		timeout_ms = 0;
#endif
	act_identity_extension(&identity);
	for (int i = 0; i < nwrites; i++)
		*writes[i].id = insert_claim(sync, run_id, &writes[i], timeout_ms);
	remove_claims(removed, nremoved);
	act_identity_leave(&identity);
}

/* The rows of one claim, as rows whose answer was lost; without those of which a job says more. */
static List *
claim_rows(uint64 result_row, int nkeys, int late_ms, const JobKeys *jobs)
{
	List	   *rows = NIL;
	static const Oid types[] = {TEXTOID, TEXTOID, UUIDOID, UUIDOID, BOOLOID};
	Datum	   *elements[lengthof(types)];
	int			counts[lengthof(types)];

	for (int i = 0; i < lengthof(types); i++)
	{
		bool		isnull;
		Datum		value = SPI_getbinval(SPI_tuptable->vals[result_row], SPI_tuptable->tupdesc, 2 + i, &isnull);
		int16		len;
		bool		byval;
		char		align;

		if (isnull)
			return NIL;
		get_typlenbyvalalign(types[i], &len, &byval, &align);
		deconstruct_array(DatumGetArrayTypePCopy(value), types[i], len, byval, align,
						  &elements[i], NULL, &counts[i]);
	}
	for (int n = 0; n < counts[0]; n++)
	{
		SettledRow *settled = palloc0(sizeof(SettledRow));
		Row		   *row = palloc0(sizeof(Row));

		if ((n + 1) * nkeys > counts[1] || n >= counts[2] || n >= counts[3])
			break;
		row->op = act_row_op_parse(TextDatumGetCString(elements[0][n]));
		row->nkeys = nkeys;
		row->key_values = palloc(sizeof(char *) * nkeys);
		for (int k = 0; k < nkeys; k++)
			row->key_values[k] = TextDatumGetCString(elements[1][n * nkeys + k]);
		if (act_job_knows(jobs, row->key_values))
			continue;
		memcpy(row->fingerprint, DatumGetUUIDP(elements[2][n])->data, ACT_DIGEST_LEN);
		memcpy(row->change_id, DatumGetUUIDP(elements[3][n])->data, ACT_DIGEST_LEN);
		/* As it was when it was sent: the definition may be another by now. */
		row->at_most_once = n < counts[4] && DatumGetBool(elements[4][n]);
		row->outcome = row->at_most_once ? ROW_UNKNOWN : ROW_DOUBT;
		row->message = "the run ended before an answer arrived";
		settled->row = row;
		settled->uncertain = true;
		settled->late_ms = late_ms;
		rows = lappend(rows, settled);
	}
	return rows;
}

int64
act_claim_recover(const Sync *sync, Settler *settler)
{
	SqlArgument args[] = {SQL_INT8(sync->sync_id)};
	Identity	identity;
	List	   *claims = NIL;
	int64	   *ids;
	uint64		count;
	int64		unknown = 0;
	int			late_ms = 0;
	JobKeys    *jobs = act_job_recover(sync);
	ListCell   *cell;

	act_identity_extension(&identity);
	count = act_sql(SPI_OK_SELECT,
					"SELECT claim_id, ops, key_values, fingerprints, change_ids, once, timeout_ms"
					" FROM activate.claim WHERE sync_id = $1 ORDER BY claim_id", 1, args);
	ids = palloc(sizeof(int64) * Max(count, 1));
	for (uint64 i = 0; i < count; i++)
	{
		ids[i] = act_sql_int64(i, 1);
		late_ms = Max(late_ms, (int) act_sql_int64(i, 7));
		claims = lappend(claims, claim_rows(i, sync->nkeys, (int) act_sql_int64(i, 7), jobs));
	}
	act_identity_leave(&identity);

	/* In their order: the version tried last is the one remembered. */
	foreach(cell, claims)
	{
		ListCell   *row;

		foreach(row, (List *) lfirst(cell))
			unknown += ((SettledRow *) lfirst(row))->row->outcome == ROW_UNKNOWN;
		act_settler_rows(settler, lfirst(cell));
	}
	act_claim_write(sync, 0, NULL, 0, ids, count, 0);
	if (count > 0 && sync->mode == MODE_REPLACE)
		act_unit_lost(sync, late_ms);
	return unknown;
}

/*-------------------------------------------------------------------------
 *
 * match_collision.c
 *	  What becomes of rows whose match another key has, too.
 *
 * None of them is sent, since the destination would take them for one record.
 * At the end of a diff, inside it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "executor/executor.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "json_text.h"
#include "match_private.h"
#include "server_text.h"
#include "settle.h"
#include "transaction.h"

/* Of a value, in a message. */
#define MAX_SHOWN 60

/* email "a@example.com", country "FR" */
static void
append_match(StringInfo buf, const Match *match, const Row *row)
{
	for (int i = 0; i < match->nfields; i++)
	{
		const char *value;
		size_t		len;

		if (act_json_find_member(row->fields, strlen(row->fields), match->names[i], &value, &len))
			appendStringInfo(buf, "%s%s %s", i > 0 ? ", " : "", match->names[i],
							 act_server_text_clip(pnstrdup(value, len), MAX_SHOWN));
	}
}

static char *
collision_message(const Match *match, const MatchEntry *entry, const Row *row)
{
	StringInfoData buf;
	bool		is_first = strcmp(entry->first, row->key) == 0;

	initStringInfo(&buf);
	appendStringInfo(&buf, "keys %s and %s%s have the same match: ", row->key,
					 is_first ? entry->second : entry->first, entry->more ? " and others" : "");
	append_match(&buf, match, row);
	return buf.data;
}

static InvalidRow *
invalid_row(const char *key, const char *message, int64 place)
{
	InvalidRow *invalid = palloc(sizeof(InvalidRow));

	invalid->key = pstrdup(key);
	invalid->code = "match_collision";
	invalid->message = pstrdup(message);
	invalid->place = place;
	return invalid;
}

/* No longer to be sent. */
static void
uncount(DiffState *state, const Row *row)
{
	DiffCounts *counts = &state->diff->counts;

	counts->to_send--;
	counts->invalid++;
	if (row->cause == ROW_ADDED)
		counts->added--;
	else
	{
		counts->changed--;
		if (!row->in_doubt)
			counts->changed_certain--;
	}
	if (row->attempts == 0)
		act_diff_digest_row(state->diff->digest, row, true);
	if (state->watched != NULL)
		state->watched->code = "match_collision";
}

/* False: it was there already. */
static bool
take_key(HTAB *taken, const char *key)
{
	uint8		digest[ACT_DIGEST_LEN];
	bool		found;

	act_digest(key, strlen(key), digest);
	(void) hash_search(taken, digest, HASH_ENTER, &found);
	return !found;
}

/*
 * The store once more without them; the list of invalid rows gets them in
 * their places.  Keys that are dealt with are no others any more.
 */
static void
take_out(MatchScan *scan, HTAB *taken)
{
	DiffState  *state = scan->state;
	Diff	   *diff = state->diff;
	Tuplestorestate *rows = tuplestore_begin_heap(false, true, Max(work_mem / 8, 64));
	List	   *invalid = NIL;
	ListCell   *cell = list_head(diff->invalid);
	int64		index = 0;
	int64		kept = 0;
	MemoryContext context = CurrentMemoryContext;
	Row		   *row;

	tuplestore_set_eflags(rows, EXEC_FLAG_REWIND);
	tuplestore_rescan(diff->rows);
	for (;;)
	{
		uint8		digest[ACT_DIGEST_LEN];
		MatchEntry *entry = NULL;

		CHECK_FOR_INTERRUPTS();
		MemoryContextSwitchTo(scan->row_context);
		MemoryContextReset(scan->row_context);
		row = act_diff_next(diff);
		while (cell != NULL && (row == NULL || ((InvalidRow *) lfirst(cell))->place <= index))
		{
			MemoryContextSwitchTo(context);
			((InvalidRow *) lfirst(cell))->place = kept;
			invalid = lappend(invalid, lfirst(cell));
			cell = lnext(diff->invalid, cell);
			MemoryContextSwitchTo(scan->row_context);
		}
		if (row == NULL)
			break;
		index++;
		if (scan->collisions != NULL && act_match_digest(scan->match, row, digest))
			entry = hash_search(scan->collisions, digest, HASH_FIND, NULL);
		if (entry == NULL)
		{
			kept++;
			if (state->keep_rows == 0 || kept <= state->keep_rows)
				act_diff_store(diff, rows, row->op, row);
			continue;
		}
		uncount(state, row);
		(void) take_key(taken, row->key);
		MemoryContextSwitchTo(context);
		if (state->watched != NULL)
			state->watched->problem = collision_message(scan->match, entry, row);
		if (list_length(invalid) < MAX_INVALID_EXAMPLES)
			invalid = lappend(invalid, invalid_row(row->key, collision_message(scan->match, entry, row), kept));
	}
	MemoryContextSwitchTo(context);
	tuplestore_end(diff->rows);
	diff->rows = rows;
	diff->invalid = list_truncate(invalid, MAX_INVALID_EXAMPLES);
}

/* [key, key] of those that are not taken; how many. */
static Jsonb *
rest_of_others(const MatchScan *scan, HTAB *taken, List **rest)
{
	StringInfoData buf;
	ListCell   *cell;

	initStringInfo(&buf);
	appendStringInfoChar(&buf, '[');
	*rest = NIL;
	foreach(cell, scan->others)
	{
		MatchKey   *other = lfirst(cell);

		if (!take_key(taken, other->key))
			continue;
		appendStringInfo(&buf, "%s%s", *rest != NIL ? ", " : "", act_text_to_server(other->key));
		*rest = lappend(*rest, other);
	}
	appendStringInfoChar(&buf, ']');
	return *rest == NIL ? NULL : DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(buf.data)));
}

typedef struct Lookup
{
	const Model *model;
	Jsonb	   *keys;
	int64		unchanged;
} Lookup;

static void
look_up(void *arg)
{
	Lookup	   *lookup = arg;

	lookup->unchanged = act_diff_unchanged(lookup->model, lookup->keys);
}

/*
 * Rows that are not sent, with the match of one that is not sent therefore:
 * those that would be unchanged are invalid.  Others (in back-off, say) stay
 * what they are.  Of more than MAX_OTHERS the rest is taken to be unchanged.
 */
static void
count_others(MatchScan *scan, HTAB *taken, const Model *whole)
{
	Diff	   *diff = scan->state->diff;
	List	   *rest;
	Lookup		lookup = {.model = whole,.keys = rest_of_others(scan, taken, &rest)};
	ListCell   *cell;

	if (lookup.keys == NULL)
		return;
	if (!act_transaction_try(look_up, &lookup))
		lookup.unchanged = list_length(rest);
	for (cell = list_head(rest);
		 cell != NULL && lookup.unchanged == list_length(rest) && list_length(diff->invalid) < MAX_INVALID_EXAMPLES;
		 cell = lnext(rest, cell))
	{
		const MatchKey *other = lfirst(cell);
		const MatchEntry *entry = hash_search(scan->collisions, other->digest, HASH_FIND, NULL);
		const char *second = strcmp(entry->first, other->key) == 0 ? entry->second : entry->first;

		diff->invalid = lappend(diff->invalid,
								invalid_row(other->key, psprintf("keys %s and %s%s have the same match", other->key,
																 second, entry->more ? " and others" : ""),
											diff->counts.to_send));
	}
	lookup.unchanged = Min(lookup.unchanged + scan->nothers - list_length(scan->others), diff->counts.unchanged);
	diff->counts.unchanged -= lookup.unchanged;
	diff->counts.invalid += lookup.unchanged;
}

void
act_match_take_out(MatchScan *scan, const Model *whole)
{
	HTAB	   *taken = act_match_table("pg_activate keys taken out", ACT_DIGEST_LEN, CurrentMemoryContext);

	take_out(scan, taken);
	/* Of named keys nobody asks what others are. */
	if (scan->collisions != NULL && scan->state->keys == NULL)
		count_others(scan, taken, whole);
	hash_destroy(taken);
}

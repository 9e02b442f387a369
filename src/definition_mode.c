/*-------------------------------------------------------------------------
 *
 * definition_mode.c
 *	  What mode, on_removed, first_run and removed_mapping must say together.
 *
 * Called by create_sync() and alter_sync() as the caller, inside a
 * transaction with SPI connected.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/builtins.h"

#include "definition.h"
#include "identity.h"
#include "model.h"
#include "transaction.h"

static void
check_first_run(const Sync *sync)
{
	const SyncOptions *options = &sync->options;

	if (sync->mode == MODE_APPEND && (!options->first_run_named || options->first_run == FIRST_RUN_LINK))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 options->first_run_named ?
				 errmsg("mode \"append\" cannot have first_run \"link\"") :
				 errmsg("mode \"append\" needs option first_run: what shall become of the rows that are there already?"),
				 errdetail("Each key is sent once and never again, so what the first run does cannot be undone."),
				 errhint("options => '{\"first_run\": \"send\"}' sends them all, '{\"first_run\": \"baseline\"}' takes them as sent and sends what comes after them.")));
}

void
act_definition_check_mode(const Sync *sync)
{
	check_first_run(sync);
	if (sync->on_removed == REMOVED_UPDATE && sync->options.removed_mapping == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("on_removed \"update\" needs option removed_mapping: what shall the record of a row that left be set to?"),
				 errhint("options => '{\"removed_mapping\": {\"active\": false}}', or as a select list: '{\"removed_mapping\": \"false AS active\"}'.")));
	if (sync->on_removed != REMOVED_UPDATE && sync->options.removed_mapping != NULL)
		ereport(NOTICE,
				(errmsg("option removed_mapping of sync \"%s\" has no effect: on_removed is \"%s\"",
						sync->name, act_on_removed_name(sync->on_removed)),
				 errhint("on_removed => 'update' sends it for rows that left the model.")));
}

void
act_definition_check_removed_match(const Sync *sync)
{
	Mapping    *removed;

	if (sync->on_removed != REMOVED_UPDATE)
		return;
	removed = act_mapping_parse_part(sync->options.removed_mapping);
	for (int i = 0; i < sync->nmatch; i++)
	{
		for (int j = 0; j < act_mapping_nfields(removed); j++)
		{
			if (strcmp(act_mapping_field_name(removed, j), sync->match[i]) == 0)
				ereport(ERROR,
						(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						 errmsg("removed_mapping field \"%s\" is what the record of sync \"%s\" is matched by",
								sync->match[i], sync->name),
						 errdetail("The match fields are sent as they are, so that the record is found."),
						 errhint("Leave it out of removed_mapping.")));
		}
	}
}

static int64
count_rows(const Sync *sync, const char *which)
{
	Identity	identity;
	int64		count;

	act_identity_owner(&identity, sync->owner, NULL, NULL);
	act_sync_table_open(sync, AccessShareLock, false);
	act_sql(SPI_OK_SELECT,
			psprintf("SELECT pg_catalog.count(*) FROM %s WHERE %s", act_sync_table_name(sync), which), 0, NULL);
	count = act_sql_int64(0, 1);
	act_identity_leave(&identity);
	return count;
}

void
act_definition_tell_past(const Sync *old, const Sync *new)
{
	const char *old_mapping = old->options.removed_mapping;
	const char *new_mapping = new->options.removed_mapping;
	bool		same_mapping = old_mapping == NULL || new_mapping == NULL ?
		old_mapping == new_mapping : strcmp(old_mapping, new_mapping) == 0;
	int64		removed;

	if (new->options.first_run_named && !new->first_run_pending &&
		(!old->options.first_run_named || old->options.first_run != new->options.first_run))
		ereport(NOTICE,
				(errmsg("option first_run of sync \"%s\" has no effect: its first run was made", new->name),
				 errhint("To take today's rows as sent: SELECT activate.reset_sync(%s, 'baseline');",
						 quote_literal_cstr(new->name))));
	if (new->on_removed == REMOVED_IGNORE ||
		(new->on_removed == old->on_removed && (new->on_removed != REMOVED_UPDATE || same_mapping)))
		return;
	removed = count_rows(old, "activate_state OPERATOR(pg_catalog.=) 'removed'");
	if (removed > 0)
		ereport(NOTICE,
				(errmsg(INT64_FORMAT " rows of sync \"%s\" that left the model before are removed already and stay as they are",
						removed, new->name),
				 errdetail("What was sent for them is not sent again; the change is for rows that leave from now on.")));
}

void
act_definition_refuse_muted(const Sync *old, const Sync *new)
{
	int64		muted;

	if (new->mode != MODE_REPLACE || old->mode == MODE_REPLACE)
		return;
	muted = count_rows(old, "activate_muted_at IS NOT NULL");
	if (muted > 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg_plural("sync \"%s\" has %lld muted row, and mode replace sends all rows or none",
							   "sync \"%s\" has %lld muted rows, and mode replace sends all rows or none",
							   muted, new->name, (long long) muted),
				 errhint("Leave what is not to be sent out of the model, and unmute the others: SELECT activate.unmute_row(%s, ...);",
						 quote_literal_cstr(new->name))));
}

void
act_definition_tell_baseline(const Sync *sync)
{
	ereport(NOTICE,
			(errmsg("the next run of sync \"%s\" will take the rows as they are then as sent", sync->name),
			 errdetail("Option first_run is baseline: what changes after that is sent."),
			 errhint("To send them all: SELECT activate.reset_sync(%s, 'resend');",
					 quote_literal_cstr(sync->name))));
}

/* moved: what was accepted is forgotten, since it was accepted somewhere else. */
bool
act_definition_sends_again(const Sync *new, bool moved, bool resend_all)
{
	if (moved && new->options.first_run == FIRST_RUN_BASELINE)
	{
		act_definition_tell_baseline(new);
		return false;
	}
	if (moved || (new->mode != MODE_INSERT && new->mode != MODE_APPEND))
		return true;
	if (resend_all)
		ereport(NOTICE,
				(errmsg("mode %s of sync \"%s\" sends no accepted row again, whatever resend says",
						act_sync_mode_name(new->mode), new->name),
				 errhint("To send every row again: SELECT activate.reset_sync(%s, 'resend');",
						 quote_literal_cstr(new->name))));
	return false;
}

/*-------------------------------------------------------------------------
 *
 * link_settle.c
 *	  The transactions of a first run that links.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fault.h"
#include "identity.h"
#include "link.h"
#include "reference.h"
#include "request_log.h"
#include "transaction.h"

/* In the run's memory; UTF-8, as the destination told them. */
List *
act_link_known_ids(Run *run)
{
	const Sync *sync = run->sync;
	Identity	identity;
	MemoryContext caller;
	List	   *ids = NIL;
	uint64		count;

	act_transaction_writable();
	act_identity_owner(&identity, sync->owner, NULL, NULL);
	(void) act_sync_table_open(sync, AccessShareLock, false);
	count = act_sql(SPI_OK_SELECT,
					psprintf("SELECT activate_external_id FROM %s WHERE activate_external_id IS NOT NULL"
							 " AND activate_state OPERATOR(pg_catalog.<>) ALL (ARRAY['left', 'removed', 'gone'])",
							 act_sync_table_name(sync)), 0, NULL);
	caller = MemoryContextSwitchTo(run->context);
	for (uint64 i = 0; i < count; i++)
		ids = lappend(ids, act_sql_text(i, 1));
	MemoryContextSwitchTo(caller);
	act_identity_leave(&identity);
	act_transaction_commit(false);
	return ids;
}

bool
act_link_settle(Run *run, List *rows)
{
	act_transaction_writable();
	if (!act_settler_lock(run->settler))
	{
		act_transaction_commit(false);
		return false;
	}
	act_request_log_write(run);
	act_settler_rows(run->settler, rows);
	act_reference_note_ids(run->sync);
	act_transaction_commit(true);
	act_request_log_written(run);
	run->ids_noted = true;
	ACT_FAULT("after_link");
	return true;
}

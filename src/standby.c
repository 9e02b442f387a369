/*-------------------------------------------------------------------------
 *
 * standby.c
 *	  Whether the synchronous standbys have what was committed here.
 *
 * A commit that waits for a standby can wait for ever, swallows the cancel
 * that ends its wait, and must not be waited for while answers come in.  So
 * the engine commits locally (act_transaction_commit()), and asks here where
 * it matters: before a request is sent whose claim a promoted standby must
 * know of.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "replication/syncrep.h"
#include "replication/walsender.h"
#include "replication/walsender_private.h"
#include "storage/lwlock.h"

#include "standby.h"

/* Which of the positions that standbys report is waited for; -1: none. */
static int
wait_mode(void)
{
	if (max_wal_senders == 0 || SyncRepStandbyNames == NULL || SyncRepStandbyNames[0] == '\0')
		return -1;
	switch (synchronous_commit)
	{
		case SYNCHRONOUS_COMMIT_REMOTE_WRITE:
			return SYNC_REP_WAIT_WRITE;
		case SYNCHRONOUS_COMMIT_REMOTE_FLUSH:
			return SYNC_REP_WAIT_FLUSH;
		case SYNCHRONOUS_COMMIT_REMOTE_APPLY:
			return SYNC_REP_WAIT_APPLY;
		default:
			return -1;
	}
}

bool
act_standby_has_commit(void)
{
	int			mode = wait_mode();
	bool		has;

	if (mode < 0)
		return true;
	LWLockAcquire(SyncRepLock, LW_SHARED);
	has = WalSndCtl->lsn[mode] >= XactLastCommitEnd;
	LWLockRelease(SyncRepLock);
	return has;
}

const char *
act_standby_names(void)
{
	return SyncRepStandbyNames;
}

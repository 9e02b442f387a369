/*-------------------------------------------------------------------------
 *
 * run_lock.c
 *	  One run of a sync at a time.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/lock.h"

#include "compat.h"
#include "run_lock.h"

/* Advisory locks of SQL have the classes 1 and 2. */
#define RUN_LOCK_CLASS 0xAC71

static void
set_tag(LOCKTAG *tag, int64 sync_id)
{
	SET_LOCKTAG_ADVISORY(*tag, MyDatabaseId, (uint32) (sync_id >> 32), (uint32) sync_id, RUN_LOCK_CLASS);
}

/* A second acquisition by the same session would succeed: it is refused, too. */
bool
act_run_lock_acquire(int64 sync_id)
{
	LOCKTAG		tag;

	if (act_run_lock_held(sync_id))
		return false;
	set_tag(&tag, sync_id);
	return LockAcquire(&tag, ExclusiveLock, true, true) != LOCKACQUIRE_NOT_AVAIL;
}

void
act_run_lock_release(int64 sync_id)
{
	LOCKTAG		tag;

	set_tag(&tag, sync_id);
	if (act_compat_lock_held(&tag, ExclusiveLock))
		(void) LockRelease(&tag, ExclusiveLock, true);
}

bool
act_run_lock_held(int64 sync_id)
{
	LOCKTAG		tag;

	set_tag(&tag, sync_id);
	return act_compat_lock_held(&tag, ExclusiveLock);
}

/*
 * As pg_locks finds it: GetLockConflicts() would pass over a worker, which
 * holds the lock without a transaction.
 */
int
act_run_lock_holder(int64 sync_id)
{
	LOCKTAG		tag;
	LockData   *data;
	int			pid = 0;

	if (act_run_lock_held(sync_id))
		return MyProcPid;
	set_tag(&tag, sync_id);
	data = GetLockStatusData();
	for (int i = 0; i < data->nelements && pid == 0; i++)
	{
		const LockInstanceData *lock = &data->locks[i];

		if (memcmp(&lock->locktag, &tag, sizeof(LOCKTAG)) == 0 &&
			(lock->holdMask & LOCKBIT_ON(ExclusiveLock)) != 0)
			pid = lock->pid;
	}
	return pid;
}

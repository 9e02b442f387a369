/*-------------------------------------------------------------------------
 *
 * scheduler.c
 *	  One process for a database with something due: asks for its runs.
 *
 * Looks, asks the launcher for a worker for each sync that is due, and sleeps
 * until the next one is or somebody wakes it.  What is due stands in tables
 * and what was asked for in shared memory, so that it can end at any time: an
 * error ends it, and the launcher starts another one.  It leaves when asked
 * to, when the extension is gone, and when nothing has been due for a while,
 * at once when it only came to see.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_database.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "utils/acl.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "fault.h"
#include "housekeeping.h"
#include "settings.h"
#include "sync_state.h"
#include "worker.h"

/* Between two passes, however often it is woken. */
#define PASS_PAUSE (100 * INT64CONST(1000))

/* When more is due than may be asked for at a time. */
#define REFUSED_PAUSE USECS_PER_SEC

/* It leaves when nothing has been due for so long. */
#define IDLE_LIMIT (5 * USECS_PER_MINUTE)

/* And comes back all the same, for the sake of what grows old. */
#define IDLE_INTERVAL USECS_PER_DAY

/* Times are compared with the clock so often. */
#define CHECK_INTERVAL USECS_PER_HOUR

/* Syncs looked at in one pass; more than may wait in shared memory. */
#define PASS_LIMIT (4 * ACT_MAX_REQUESTED)

/* Until it is asked for again that came to no run, doubling. */
#define VAIN_PAUSE (200 * INT64CONST(1000))
#define VAIN_LIMIT USECS_PER_MINUTE

/*
 * What was asked for and how often since the sync last ran: somebody else may
 * hold what a run needs, or there is something about the sync that ends its
 * worker before it has a run to write that into.
 */
typedef struct Asked
{
	int64		sync_id;		/* hash key */
	int64		last_run_id;
	TimestampTz retry_at;
	int			times;
	TimestampTz again_at;		/* further away than the limit: the clock went back */
} Asked;

typedef struct Scheduler
{
	MemoryContext pass;			/* reset with each */
	HTAB	   *asked;
	TimestampTz checked_at;		/* 0: not yet */
	TimestampTz busy_at;		/* something was due or under way */
	TimestampTz wait_until;
	TimestampTz next_due;
} Scheduler;

static void
scheduler_init(Scheduler *scheduler)
{
	HASHCTL		control = {.keysize = sizeof(int64), .entrysize = sizeof(Asked), .hcxt = TopMemoryContext};

	memset(scheduler, 0, sizeof(Scheduler));
	scheduler->pass = AllocSetContextCreate(TopMemoryContext, "pg_activate pass", ALLOCSET_DEFAULT_SIZES);
	scheduler->asked = hash_create("pg_activate asked", 64, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	scheduler->busy_at = act_now();
	if (act_scheduler_only_looks())
		scheduler->busy_at -= IDLE_LIMIT;
}

/* ----------------------------------------------------------------
 *		Asking
 * ----------------------------------------------------------------
 */

/* Limits on connections count workers of the role, too. */
static bool
may_connect(Oid role)
{
	HeapTuple	tuple = SearchSysCache1(AUTHOID, ObjectIdGetDatum(role));
	bool		may = false;

	if (HeapTupleIsValid(tuple))
	{
		Form_pg_authid authid = (Form_pg_authid) GETSTRUCT(tuple);

		may = authid->rolcanlogin && authid->rolconnlimit < 0;
		ReleaseSysCache(tuple);
	}
	if (!may || act_compat_database_aclcheck(MyDatabaseId, role, ACL_CONNECT) != ACLCHECK_OK)
		return false;
	tuple = SearchSysCache1(DATABASEOID, ObjectIdGetDatum(MyDatabaseId));
	may = HeapTupleIsValid(tuple) && ((Form_pg_database) GETSTRUCT(tuple))->datconnlimit < 0;
	if (HeapTupleIsValid(tuple))
		ReleaseSysCache(tuple);
	return may;
}

/* The slot of a worker that did not come up; *again: when it may be asked for. */
static bool
worker_failed(int64 sync_id, TimestampTz *again)
{
	RunSlot    *slot;
	bool		failed;

	LWLockAcquire(&act_shared->lock, LW_SHARED);
	slot = act_run_slot_find(MyDatabaseId, sync_id);
	failed = slot != NULL && slot->state == SLOT_BACKOFF;
	if (failed)
		*again = act_now() + Max(slot->retry_at - GetCurrentTimestamp(), 0);
	LWLockRelease(&act_shared->lock);
	return failed;
}

static void
wait_no_longer_than(Scheduler *scheduler, TimestampTz until)
{
	scheduler->wait_until = Min(scheduler->wait_until, until);
}

/*
 * Those asked for in vain wait, however many and urgent they are, while others
 * are asked for.  An end of the pause further away than a pause is long was
 * left behind by the clock.
 */
static bool
may_ask(const DueSync *due, void *arg)
{
	Scheduler  *scheduler = arg;
	Asked	   *asked = hash_search(scheduler->asked, &due->sync_id, HASH_FIND, NULL);
	TimestampTz now = act_now();
	TimestampTz again = 0;

	if (asked != NULL && asked->last_run_id == due->last_run_id && asked->retry_at == due->retry_at &&
		asked->again_at <= now + VAIN_LIMIT)
		again = asked->again_at;
	if (again <= now)
		(void) worker_failed(due->sync_id, &again);
	/* By the clock as it is now: a back-off that is over ends at this very moment. */
	if (again <= act_now())
		return true;
	scheduler->next_due = Min(scheduler->next_due, again);
	return false;
}

static void
ask(Scheduler *scheduler, const DueSync *due, TimestampTz now)
{
	bool		found;
	Asked	   *asked = hash_search(scheduler->asked, &due->sync_id, HASH_ENTER, &found);
	TimestampTz pause = VAIN_PAUSE;
	TimestampTz again;
	bool		failed = worker_failed(due->sync_id, &again);

	if (!found || asked->last_run_id != due->last_run_id || asked->retry_at != due->retry_at ||
		asked->again_at > now + VAIN_LIMIT)
	{
		asked->last_run_id = due->last_run_id;
		asked->retry_at = due->retry_at;
		asked->times = 0;
	}
	if (!act_run_request(due->sync_id, due->name, failed ? InvalidOid : due->owner, due->server,
						 due->priority, due->due_at))
	{
		wait_no_longer_than(scheduler, now + REFUSED_PAUSE);
		return;
	}
	ACT_FAULT("run_requested");
	for (int i = 0; i < asked->times && pause < VAIN_LIMIT; i++)
		pause *= 2;
	asked->times++;
	asked->again_at = now + Min(pause, VAIN_LIMIT);
}

/* What is not due any more needs no memory of having been asked for. */
static void
forget_asked(Scheduler *scheduler, const List *due, TimestampTz now)
{
	HASH_SEQ_STATUS status;
	Asked	   *asked;

	if (due != NIL)
		return;
	hash_seq_init(&status, scheduler->asked);
	while ((asked = hash_seq_search(&status)) != NULL)
	{
		if (asked->again_at <= now)
			(void) hash_search(scheduler->asked, &asked->sync_id, HASH_REMOVE, NULL);
	}
}

/* Asked for or under way in this database, in whatever process. */
static bool
runs_under_way(void)
{
	bool		found = false;

	LWLockAcquire(&act_shared->lock, LW_SHARED);
	for (int i = 0; i < ACT_MAX_RUNS && !found; i++)
		found = act_shared->runs[i].state != SLOT_FREE && act_shared->runs[i].database == MyDatabaseId;
	LWLockRelease(&act_shared->lock);
	return found;
}

/* ----------------------------------------------------------------
 *		A pass
 * ----------------------------------------------------------------
 */

/* In the pass's transaction; what is due, with the role to connect as for the owner. */
static List *
look(Scheduler *scheduler, TimestampTz now)
{
	List	   *due;
	ListCell   *cell;

	if (scheduler->checked_at == 0 || now - scheduler->checked_at >= CHECK_INTERVAL ||
		now < scheduler->checked_at)
	{
		act_sync_state_check();
		scheduler->checked_at = now;
	}
	(void) act_sync_state_recover();
	due = act_sync_state_due(now, PASS_LIMIT, may_ask, scheduler, &scheduler->next_due);
	foreach(cell, due)
	{
		DueSync    *sync = lfirst(cell);

		if (!may_connect(sync->owner))
			sync->owner = InvalidOid;
	}
	return due;
}

/* Asks only once what it saw and wrote is committed.  False: leave. */
static bool
pass(Scheduler *scheduler)
{
	TimestampTz now = act_now();
	MemoryContext caller;
	List	   *due;
	ListCell   *cell;

	act_scheduler_take_wake();
	if (!act_worker_begin())
		return false;
	act_worker_activity("looking for syncs that are due");
	caller = MemoryContextSwitchTo(scheduler->pass);
	due = look(scheduler, now);
	MemoryContextSwitchTo(caller);
	ACT_FAULT("scheduler_looking");
	act_worker_commit();
	ACT_FAULT("scheduler_looked");

	scheduler->wait_until = scheduler->next_due;
	foreach(cell, due)
		ask(scheduler, lfirst(cell), now);
	forget_asked(scheduler, due, now);
	if (due != NIL || runs_under_way())
		scheduler->busy_at = now;
	act_scheduler_publish(due != NIL ? now : Min(scheduler->next_due, now + IDLE_INTERVAL));
	MemoryContextReset(scheduler->pass);
	return true;
}

/* Before long it will be needed again, or has been needed of late. */
static bool
is_needed(const Scheduler *scheduler, TimestampTz now)
{
	return now < scheduler->busy_at || now - scheduler->busy_at < IDLE_LIMIT ||
		scheduler->next_due - now <= (TimestampTz) act_naptime * 1000;
}

/* Whoever wakes it gets an answer at once, but not many times a second. */
static void
wait_for_work(Scheduler *scheduler, TimestampTz passed_at)
{
	static uint32 wait_event = 0;

	/* A lock that the pass waited for has used up the latch of what was said meanwhile. */
	if (!act_scheduler_told())
		(void) act_worker_wait(scheduler->wait_until, "PgActivateScheduler", &wait_event);
	while (!act_worker_asked_to_leave())
	{
		TimestampTz now = GetCurrentTimestamp();

		if (now < passed_at || now >= passed_at + PASS_PAUSE)
			return;
		(void) act_worker_wait(act_now() + PASS_PAUSE - (now - passed_at), "PgActivateScheduler", &wait_event);
	}
}

void
act_scheduler_main(Datum arg)
{
	Scheduler	scheduler;
	DatabaseEntry *entry;

	act_worker_signals();
	entry = act_scheduler_attach(arg);
	if (entry == NULL)
		proc_exit(0);
	act_worker_connect(entry->database, InvalidOid);
	scheduler_init(&scheduler);

	while (!act_worker_asked_to_leave())
	{
		TimestampTz passed_at = GetCurrentTimestamp();

		if (!pass(&scheduler))
			break;
		if (act_housekeeping_step())
			scheduler.wait_until = 0;
		else if (!is_needed(&scheduler, act_now()))
			break;
		wait_for_work(&scheduler, passed_at);
	}
	proc_exit(0);
}

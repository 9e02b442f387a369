/*-------------------------------------------------------------------------
 *
 * launcher_queue.c
 *	  Who is started next: one queue for schedulers and runs.
 *
 * A pass first brings the entries up to date (dead starts, excluded
 * databases, who is wanted), then starts the oldest want, again and again,
 * until none is left or a process cannot be had.  In the latter case
 * schedulers make room: their requests stay in the slots, so that even one
 * process is enough for everybody to get on.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "destination_limit.h"
#include "fault.h"
#include "launcher.h"
#include "settings.h"
#include "worker.h"

/* A worker that was registered attaches within it, or counts as failed. */
#define START_DEADLINE (10 * USECS_PER_SEC)

/* How long a scheduler may stay while others wait for a process. */
#define QUANTUM USECS_PER_SEC

/* Processes that ended a moment ago are not free yet: nobody leaves for that. */
#define MOMENT (100 * INT64CONST(1000))

/* A shortage that lasts no longer is not worth a line: processes end all the time. */
#define SHORTAGE (10 * USECS_PER_SEC)

/* How long a failed run's slot is remembered when nobody asks for it. */
#define FORGET_FAILURE (10 * 60 * USECS_PER_SEC)

/* Of this process: who it registered.  NULL: not by us, or not any more. */
static BackgroundWorkerHandle *schedulers[ACT_MAX_DATABASES];
static BackgroundWorkerHandle *workers[ACT_MAX_RUNS];

static void
forget_handle(BackgroundWorkerHandle **handle)
{
	if (*handle != NULL)
		pfree(*handle);
	*handle = NULL;
}

/* NULL: it may still come; else why it will not. */
static const char *
start_problem(BackgroundWorkerHandle *handle, TimestampTz registered_at, TimestampTz now)
{
	pid_t		pid;

	if (handle != NULL && GetBackgroundWorkerPid(handle, &pid) == BGWH_STOPPED)
		return "its process ended before it began to work";
	if (now - registered_at < START_DEADLINE && now >= registered_at)
		return NULL;
	if (handle != NULL)
		TerminateBackgroundWorker(handle);
	return "its process did not start within 10 seconds";
}

static void
check_scheduler_start(int index, TimestampTz now)
{
	DatabaseEntry *entry = &act_shared->databases[index];
	const char *problem = start_problem(schedulers[index], entry->changed_at, now);

	if (problem == NULL)
		return;
	forget_handle(&schedulers[index]);
	entry->generation++;
	entry->state = DATABASE_BACKOFF;
	entry->changed_at = now;
	entry->failures++;
	entry->retry_at = now + act_backoff(entry->failures);
	strlcpy(entry->problem, problem, ACT_PROBLEM_SIZE);
}

static void
check_run_start(int index, TimestampTz now)
{
	RunSlot    *slot = &act_shared->runs[index];
	const char *problem = start_problem(workers[index], slot->changed_at, now);

	if (problem == NULL)
		return;
	forget_handle(&workers[index]);
	slot->generation++;
	slot->state = SLOT_BACKOFF;
	slot->changed_at = now;
	slot->failures++;
	slot->retry_at = now + act_backoff(slot->failures);
	strlcpy(slot->problem, problem, ACT_PROBLEM_SIZE);
	act_run_slot_failed(slot);
}

static bool
served(Oid oid)
{
	KnownDatabase *database = act_launcher_database(oid);

	return database != NULL && database->serve;
}

/* It is not to be served, or not now: whoever is in it leaves. */
static void
give_up_database(DatabaseEntry *entry)
{
	if (entry->state == DATABASE_STARTING || entry->state == DATABASE_RUNNING)
		act_database_leave(entry);
	else
		entry->state = DATABASE_FREE;
	act_database_runs_leave(entry->database);
}

/* Looked into, and without the extension: it needs no entry. */
static void
settle_absent(DatabaseEntry *entry)
{
	if (entry->wake)
	{
		entry->state = DATABASE_NEW;
		return;
	}
	act_launcher_database(entry->database)->absent = true;
	entry->state = DATABASE_FREE;
}

static bool
scheduler_wanted(const DatabaseEntry *entry, TimestampTz now)
{
	if (!act_enabled || act_database_blocked(entry->database))
		return false;
	switch (entry->state)
	{
		case DATABASE_NEW:
			return true;
		case DATABASE_IDLE:
			return entry->wake || !entry->looked || entry->next_due <= act_now();
		case DATABASE_BACKOFF:
			return entry->retry_at <= now || now < entry->changed_at;
		case DATABASE_FREE:
		case DATABASE_ABSENT:
		case DATABASE_STARTING:
		case DATABASE_RUNNING:
			break;
	}
	return false;
}

static void
refresh_database(int index, TimestampTz now)
{
	DatabaseEntry *entry = &act_shared->databases[index];

	if (entry->state == DATABASE_STARTING)
		check_scheduler_start(index, now);
	if (!served(entry->database))
	{
		give_up_database(entry);
		return;
	}
	if (entry->state == DATABASE_ABSENT)
		settle_absent(entry);
	if (!act_enabled)
		act_database_leave(entry);
	if (!scheduler_wanted(entry, now))
		entry->wanted_since = 0;
	else if (entry->wanted_since == 0)
		entry->wanted_since = now;
}

static void
refresh_run(int index, TimestampTz now)
{
	RunSlot    *slot = &act_shared->runs[index];

	switch (slot->state)
	{
		case SLOT_STARTING:
			check_run_start(index, now);
			break;
		case SLOT_REQUESTED:
			if (!act_enabled || !served(slot->database))
				slot->state = SLOT_FREE;
			break;
		case SLOT_BACKOFF:
			if (!served(slot->database) || now - slot->retry_at > FORGET_FAILURE || now < slot->changed_at)
				slot->state = SLOT_FREE;
			break;
		case SLOT_FREE:
		case SLOT_RUNNING:
			break;
	}
}

/* The scheduler that has been wanted longest. */
static DatabaseEntry *
oldest_database(TimestampTz now)
{
	DatabaseEntry *oldest = NULL;
	bool		looking = false;

	/* Databases nobody waits for are looked into one after the other. */
	for (int i = 0; i < ACT_MAX_DATABASES; i++)
	{
		DatabaseEntry *entry = &act_shared->databases[i];

		if ((entry->state == DATABASE_STARTING || entry->state == DATABASE_RUNNING) &&
			!entry->looked && now - entry->changed_at < START_DEADLINE)
			looking = true;
	}
	for (int i = 0; i < ACT_MAX_DATABASES; i++)
	{
		DatabaseEntry *entry = &act_shared->databases[i];

		if (entry->state == DATABASE_FREE || entry->wanted_since == 0)
			continue;
		if (looking && !entry->looked && !entry->wake)
			continue;
		if (oldest == NULL || entry->wanted_since < oldest->wanted_since)
			oldest = entry;
	}
	return oldest;
}

static int
runs_under_way(Oid database)	/* InvalidOid: of all */
{
	int			count = 0;

	for (int i = 0; i < ACT_MAX_RUNS; i++)
	{
		RunSlot    *slot = &act_shared->runs[i];

		if ((slot->state == SLOT_STARTING || slot->state == SLOT_RUNNING) && !slot->in_session &&
			(database == InvalidOid || slot->database == database))
			count++;
	}
	return count;
}

/* Destinations that would want a worker besides a slot's: 0, 1, or 2 for more. */
static int
other_destinations(const RunSlot *slot)
{
	const RunSlot *first = NULL;
	int			count = 0;

	for (int i = 0; i < ACT_MAX_RUNS && count < 2; i++)
	{
		const RunSlot *other = &act_shared->runs[i];

		if (other->state == SLOT_FREE || other->in_session ||
			(other->database == slot->database && other->server == slot->server))
			continue;
		if (first != NULL && other->database == first->database && other->server == first->server)
			continue;
		first = other;
		count++;
	}
	return Max(count, Min(act_limit_others(slot->database, slot->server), 2));
}

/*
 * One destination does not get all workers, however many of its syncs are due,
 * nor do two: while they wait for it, nobody else could begin.  Each has its
 * first run where a worker is free; a further one leaves some free, unless
 * nobody else is there to begin.
 */
static bool
leaves_room(const RunSlot *slot)
{
	int			left = act_max_workers - 1 - runs_under_way(InvalidOid);

	if (left >= 2 || act_max_workers == 1 || !OidIsValid(slot->server))
		return true;
	for (int i = 0; i < ACT_MAX_RUNS; i++)
	{
		const RunSlot *other = &act_shared->runs[i];

		if ((other->state == SLOT_STARTING || other->state == SLOT_RUNNING) && !other->in_session &&
			other->database == slot->database && other->server == slot->server)
			return left >= other_destinations(slot);
	}
	return true;
}

static bool
grantable(const RunSlot *slot)
{
	return slot->state == SLOT_REQUESTED && !act_database_blocked(slot->database) && leaves_room(slot);
}

/*
 * The database with the fewest runs, then the one that waits longest; in it
 * the most important run, then the one due first.
 */
static RunSlot *
next_run(TimestampTz *waiting_since)
{
	RunSlot    *oldest = NULL;
	RunSlot    *first = NULL;
	int			fewest = 0;

	if (runs_under_way(InvalidOid) >= act_max_workers)
		return NULL;
	for (int i = 0; i < ACT_MAX_RUNS; i++)
	{
		RunSlot    *slot = &act_shared->runs[i];
		int			runs;

		if (!grantable(slot))
			continue;
		runs = runs_under_way(slot->database);
		if (oldest == NULL || runs < fewest ||
			(runs == fewest && slot->changed_at < oldest->changed_at))
		{
			oldest = slot;
			fewest = runs;
		}
	}
	if (oldest == NULL)
		return NULL;
	*waiting_since = oldest->changed_at;
	for (int i = 0; i < ACT_MAX_RUNS; i++)
	{
		RunSlot    *slot = &act_shared->runs[i];

		if (!grantable(slot) || slot->database != oldest->database)
			continue;
		if (first == NULL || slot->priority > first->priority ||
			(slot->priority == first->priority && slot->due_at < first->due_at))
			first = slot;
	}
	return first;
}

static bool
register_worker(const char *kind, const char *function, const char *what,
				int index, uint32 generation, BackgroundWorkerHandle **handle)
{
	BackgroundWorker worker = {0};
	MemoryContext caller = MemoryContextSwitchTo(TopMemoryContext);
	bool		registered;

	forget_handle(handle);
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	worker.bgw_notify_pid = MyProcPid;
	worker.bgw_main_arg = Int32GetDatum(index);
	memcpy(worker.bgw_extra, &generation, sizeof(generation));
	strlcpy(worker.bgw_library_name, "pg_activate", BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, function, BGW_MAXLEN);
	snprintf(worker.bgw_type, BGW_MAXLEN, "pg_activate %s", kind);
	snprintf(worker.bgw_name, BGW_MAXLEN, "pg_activate %s %s", kind, what);
	ACT_FAULT("before_register");
	registered = RegisterDynamicBackgroundWorker(&worker, handle);
	MemoryContextSwitchTo(caller);
	ACT_FAULT("after_register");
	if (!registered)
		*handle = NULL;
	return registered;
}

/* With the lock held, which is let go meanwhile; false: no process is free. */
static bool
start_scheduler(DatabaseEntry *entry, TimestampTz now)
{
	int			index = entry - act_shared->databases;
	DatabaseEntry before = *entry;
	NameData	name = act_launcher_database(entry->database)->name;
	bool		started;

	entry->state = DATABASE_STARTING;
	entry->generation++;
	entry->changed_at = now;
	entry->wanted_since = 0;
	entry->leave = false;
	LWLockRelease(&act_shared->lock);
	started = register_worker("scheduler", "act_scheduler_main", NameStr(name),
							  index, before.generation + 1, &schedulers[index]);
	LWLockAcquire(&act_shared->lock, LW_EXCLUSIVE);
	if (!started)
	{
		entry->state = before.state;
		entry->changed_at = before.changed_at;
		entry->wanted_since = before.wanted_since;
	}
	return started;
}

static bool
start_run(RunSlot *slot, TimestampTz now)
{
	int			index = slot - act_shared->runs;
	uint32		generation = ++slot->generation;
	TimestampTz asked_at = slot->changed_at;
	char		name[NAMEDATALEN];
	bool		started;

	strlcpy(name, slot->sync_name, NAMEDATALEN);
	slot->state = SLOT_STARTING;
	slot->changed_at = now;
	slot->leave = slot->cancel = false;
	LWLockRelease(&act_shared->lock);
	started = register_worker("run", "act_run_worker_main", name, index, generation, &workers[index]);
	LWLockAcquire(&act_shared->lock, LW_EXCLUSIVE);
	if (!started)
	{
		/* Nobody wants it any more when the database is needed without us. */
		slot->state = slot->leave ? SLOT_FREE : SLOT_REQUESTED;
		slot->changed_at = asked_at;
	}
	return started;
}

/* Starts who is wanted, oldest first.  False: somebody waits for a process. */
static bool
start_wanted(TimestampTz now)
{
	for (int i = 0; i < ACT_MAX_DATABASES + ACT_MAX_RUNS; i++)
	{
		TimestampTz waiting_since = 0;
		DatabaseEntry *entry = oldest_database(now);
		RunSlot    *slot = next_run(&waiting_since);

		if (entry == NULL && slot == NULL)
			return true;
		if (slot == NULL || (entry != NULL && entry->wanted_since <= waiting_since))
		{
			if (!start_scheduler(entry, now))
				return false;
		}
		else if (!start_run(slot, now))
			return false;
	}
	return true;
}

static bool
has_requests(Oid database)
{
	for (int i = 0; i < ACT_MAX_RUNS; i++)
	{
		if (act_shared->runs[i].state == SLOT_REQUESTED && act_shared->runs[i].database == database)
			return true;
	}
	return false;
}

static int
count_waiting(void)
{
	int			waiting = 0;
	int			requested = 0;

	for (int i = 0; i < ACT_MAX_DATABASES; i++)
	{
		if (act_shared->databases[i].state != DATABASE_FREE && act_shared->databases[i].wanted_since != 0)
			waiting++;
	}
	for (int i = 0; i < ACT_MAX_RUNS; i++)
	{
		if (grantable(&act_shared->runs[i]))
			requested++;
	}
	return waiting + Max(Min(requested, act_max_workers - runs_under_way(InvalidOid)), 0);
}

/* As many schedulers leave as are waited for: those that have done their work. */
static void
make_room(TimestampTz now)
{
	int			wanted = count_waiting();

	for (int i = 0; i < ACT_MAX_DATABASES; i++)
	{
		if (act_shared->databases[i].state == DATABASE_RUNNING && act_shared->databases[i].leave)
			wanted--;
	}
	for (int i = 0; i < ACT_MAX_DATABASES && wanted > 0; i++)
	{
		DatabaseEntry *entry = &act_shared->databases[i];

		if (entry->state != DATABASE_RUNNING || entry->leave)
			continue;
		if (has_requests(entry->database) || now - entry->changed_at >= QUANTUM)
		{
			act_database_leave(entry);
			wanted--;
		}
	}
}

/* When something will have to be done although nobody says so. */
static TimestampTz
next_pass(TimestampTz now)
{
	TimestampTz next = now + act_naptime * INT64CONST(1000);
	TimestampTz due_clock = act_now();

	if (act_shared->short_since != 0)
		next = Min(next, now + (now - act_shared->short_since < MOMENT ? MOMENT : QUANTUM));
	for (int i = 0; i < ACT_MAX_DATABASES; i++)
	{
		DatabaseEntry *entry = &act_shared->databases[i];

		if (entry->state == DATABASE_STARTING)
			next = Min(next, entry->changed_at + START_DEADLINE);
		else if (entry->state == DATABASE_BACKOFF && entry->retry_at > now)
			next = Min(next, entry->retry_at);
		else if (entry->state == DATABASE_RUNNING && !entry->looked)
			next = Min(next, now + QUANTUM);
		else if (entry->state == DATABASE_IDLE && entry->next_due != PG_INT64_MAX && entry->next_due > due_clock)
			next = Min(next, now + (entry->next_due - due_clock));
	}
	for (int i = 0; i < ACT_MAX_RUNS; i++)
	{
		if (act_shared->runs[i].state == SLOT_STARTING)
			next = Min(next, act_shared->runs[i].changed_at + START_DEADLINE);
	}
	for (int i = 0; i < ACT_MAX_BLOCKS; i++)
	{
		if (act_shared->blocks[i].pid != 0)
			next = Min(next, now + QUANTUM);
	}
	return next;
}

/* Keeps since when processes are short; how many wait, when it is time to say so. */
static int
note_shortage(bool enough, TimestampTz now)
{
	static TimestampTz said = 0;	/* the shortage that was spoken of, by its beginning */

	if (enough)
		act_shared->short_since = 0;
	else if (act_shared->short_since == 0)
		act_shared->short_since = now;
	else if (said != act_shared->short_since && now - act_shared->short_since >= SHORTAGE)
	{
		said = act_shared->short_since;
		return count_waiting();
	}
	return 0;
}

TimestampTz
act_launcher_pass(void)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz next;
	bool		enough;
	int			waiting;

	LWLockAcquire(&act_shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < ACT_MAX_DATABASES; i++)
	{
		if (act_shared->databases[i].state != DATABASE_FREE)
			refresh_database(i, now);
	}
	for (int i = 0; i < ACT_MAX_RUNS; i++)
		refresh_run(i, now);

	enough = start_wanted(now);
	waiting = note_shortage(enough, now);
	if (!enough && now - act_shared->short_since >= MOMENT)
		make_room(now);
	next = next_pass(now);
	LWLockRelease(&act_shared->lock);

	if (waiting > 0)
		act_log_limited(LOG, "pg_activate: %d wait for a worker process: raise max_worker_processes", waiting);
	return next;
}

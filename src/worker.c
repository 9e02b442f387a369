/*-------------------------------------------------------------------------
 *
 * worker.c
 *	  What launcher, schedulers and run workers have in common.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "commands/extension.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "fault.h"
#include "identity.h"
#include "settings.h"
#include "transaction.h"
#include "version.h"
#include "worker.h"

/* A process that lived so long was in good health. */
#define HEALTHY (60 * USECS_PER_SEC)

/* While somebody drops or alters the extension. */
#define DOOR_PAUSE_MS 1000

/* One of the two in a scheduler or run worker; as they were registered. */
static DatabaseEntry *my_entry = NULL;
static bool only_looks = false;
static RunSlot *my_slot = NULL;
static uint32 my_generation;

/* What it was started or woken for has not been answered by act_scheduler_publish() yet. */
static bool unanswered = true;

static Oid	my_extension = InvalidOid;
static bool extension_absent = false;
static char problem[ACT_PROBLEM_SIZE] = "";
static char last_error[ACT_PROBLEM_SIZE] = "";

static emit_log_hook_type next_log_hook = NULL;
static bool writing_limited = false;

/*
 * Whether one more line may be written now.  If so, says how many were left
 * out since the last one.
 */
static bool
log_allowed(int64 *left_out)
{
	TimestampTz now = GetCurrentTimestamp();
	bool		allowed = false;

	LWLockAcquire(&act_shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < ACT_LOG_LINES && !allowed; i++)
	{
		TimestampTz at = act_shared->logged_at[i];

		if (at == 0 || now - at >= USECS_PER_MINUTE || now < at)
		{
			act_shared->logged_at[i] = now;
			allowed = true;
		}
	}
	*left_out = act_shared->log_left_out;
	act_shared->log_left_out = allowed ? 0 : *left_out + 1;
	LWLockRelease(&act_shared->lock);
	return allowed;
}

/*
 * All that this process would say in the log of warnings and errors.  What
 * it was that ended it, the entry or slot will tell.
 */
static void
limit_log(ErrorData *edata)
{
	int64		left_out;

	if (edata->elevel >= ERROR && edata->message != NULL)
		strlcpy(last_error, edata->message, ACT_PROBLEM_SIZE);
	if (edata->elevel >= WARNING && edata->elevel < PANIC && !writing_limited &&
		edata->output_to_server && MyProc != NULL && !LWLockHeldByMe(&act_shared->lock))
	{
		if (edata->sqlerrcode == ERRCODE_ADMIN_SHUTDOWN || !log_allowed(&left_out))
			edata->output_to_server = false;
		else if (left_out > 0 && edata->context == NULL)
			edata->context = psprintf("after " INT64_FORMAT " lines of pg_activate that were left out", left_out);
	}
	if (next_log_hook)
		next_log_hook(edata);
}

/*
 * The postmaster writes a line for each worker that ends with an error, which
 * ours have said themselves, or not at all.  Those that it restarts by
 * itself must end with one.
 */
static void
end_quietly(int code, Datum arg)
{
	if (code != 0)
		proc_exit(0);
}

void
act_worker_signals(void)
{
	next_log_hook = emit_log_hook;
	emit_log_hook = limit_log;
	if (MyBgworkerEntry->bgw_restart_time == BGW_NEVER_RESTART)
		on_proc_exit(end_quietly, (Datum) 0);

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGINT, StatementCancelHandler);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
}

void
act_log_limited(int elevel, const char *format,...)
{
	int64		left_out;
	char		text[1024];
	va_list		args;

	if (!log_allowed(&left_out))
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	writing_limited = true;
	ereport(elevel,
			(errmsg_internal("%s", text),
			 left_out > 0 ? errdetail(INT64_FORMAT " lines of pg_activate were left out before.", left_out) : 0));
	writing_limited = false;
}

static uint32
registered_generation(void)
{
	uint32		generation;

	memcpy(&generation, MyBgworkerEntry->bgw_extra, sizeof(generation));
	return generation;
}

/* Why it ended, for who looks at the view workers. */
static const char *
end_problem(void)
{
	if (problem[0] != '\0')
		return problem;
	return last_error[0] != '\0' ? last_error : "its process ended with an error";
}

/*
 * After this process counts no more among those of its database: registered
 * before it connected.
 */
static void
scheduler_ends(int code, Datum arg)
{
	TimestampTz now = GetCurrentTimestamp();
	DatabaseEntry *entry = my_entry;

	LWLockReleaseAll();
	LWLockAcquire(&act_shared->lock, LW_EXCLUSIVE);
	if (entry->generation == my_generation && entry->pid == MyProcPid)
	{
		entry->pid = 0;
		if (now - entry->changed_at >= HEALTHY)
			entry->failures = 0;
		if (code != 0 && !entry->leave)
		{
			entry->state = DATABASE_BACKOFF;
			entry->failures++;
			entry->retry_at = now + act_backoff(entry->failures);
			strlcpy(entry->problem, end_problem(), ACT_PROBLEM_SIZE);
		}
		else
		{
			entry->state = extension_absent ? DATABASE_ABSENT : DATABASE_IDLE;
			entry->failures = 0;
			/* Asked to leave between taking a wake and looking: that is for another one. */
			if (unanswered && !extension_absent)
				entry->wake = true;
			strlcpy(entry->problem, problem, ACT_PROBLEM_SIZE);
		}
		entry->changed_at = now;
		act_wake_launcher();
	}
	LWLockRelease(&act_shared->lock);
}

DatabaseEntry *
act_scheduler_attach(Datum arg)
{
	DatabaseEntry *entry = &act_shared->databases[DatumGetInt32(arg)];
	bool		late;

	ACT_FAULT("before_attach");
	my_generation = registered_generation();
	LWLockAcquire(&act_shared->lock, LW_EXCLUSIVE);
	late = entry->state != DATABASE_STARTING || entry->generation != my_generation;
	if (!late)
	{
		entry->changed_at = GetCurrentTimestamp();
		if (entry->leave || act_database_blocked(entry->database))
		{
			/* Needed without us since it was registered. */
			entry->state = DATABASE_IDLE;
			entry->wake = true;
			late = true;
		}
		else
		{
			/* One of before has said when it would be needed. */
			only_looks = !entry->looked && !entry->wake && entry->next_due != PG_INT64_MAX;
			entry->state = DATABASE_RUNNING;
			entry->pid = MyProcPid;
			entry->proc = act_compat_my_proc();
			entry->wake = false;
		}
	}
	LWLockRelease(&act_shared->lock);
	if (late)
		return NULL;
	my_entry = entry;
	on_shmem_exit(scheduler_ends, (Datum) 0);
	return entry;
}

bool
act_scheduler_only_looks(void)
{
	return only_looks;
}

static void
run_worker_ends(int code, Datum arg)
{
	TimestampTz now = GetCurrentTimestamp();
	RunSlot    *slot = my_slot;

	LWLockReleaseAll();
	LWLockAcquire(&act_shared->lock, LW_EXCLUSIVE);
	/* A run that was written down has its own way of being tried again. */
	if (slot->generation == my_generation && slot->pid == MyProcPid &&
		code != 0 && slot->run_id == 0 && !slot->leave && !slot->cancel)
	{
		slot->state = SLOT_BACKOFF;
		slot->pid = 0;
		slot->changed_at = now;
		slot->failures++;
		slot->retry_at = now + act_backoff(slot->failures);
		strlcpy(slot->problem, end_problem(), ACT_PROBLEM_SIZE);
		act_run_slot_failed(slot);
		act_wake_launcher();
	}
	LWLockRelease(&act_shared->lock);
	act_run_slot_release(slot);
}

RunSlot *
act_run_slot_attach(Datum arg)
{
	RunSlot    *slot = &act_shared->runs[DatumGetInt32(arg)];
	bool		late;

	ACT_FAULT("before_attach");
	my_generation = registered_generation();
	LWLockAcquire(&act_shared->lock, LW_EXCLUSIVE);
	late = slot->state != SLOT_STARTING || slot->generation != my_generation;
	if (!late && (slot->leave || slot->cancel || act_database_blocked(slot->database)))
	{
		slot->state = SLOT_FREE;
		act_wake_launcher();
		late = true;
	}
	if (!late)
	{
		slot->state = SLOT_RUNNING;
		slot->pid = MyProcPid;
		slot->proc = act_compat_my_proc();
		slot->changed_at = slot->started_at = GetCurrentTimestamp();
	}
	LWLockRelease(&act_shared->lock);
	if (late)
		return NULL;
	my_slot = slot;
	on_shmem_exit(run_worker_ends, (Datum) 0);
	return slot;
}

/*
 * ALTER ROLE and ALTER DATABASE may have set any of them, to stop or to
 * mislead a worker.  Those of other versions are passed over.
 */
static const struct
{
	const char *name;
	const char *value;
}			fixed_settings[] =
{
	{"role", "none"},
	{"statement_timeout", "0"},
	{"lock_timeout", "0"},
	{"idle_in_transaction_session_timeout", "0"},
	{"idle_session_timeout", "0"},
	{"transaction_timeout", "0"},
	{"default_transaction_read_only", "off"},
	{"default_transaction_isolation", "read committed"},
	{"default_transaction_deferrable", "off"},
	{"search_path", "pg_catalog, pg_temp"},
	{"session_replication_role", "origin"},
	{"restrict_nonsystem_relation_kind", ""},
	{"row_security", "on"},
	{"exit_on_error", "off"},
	{"check_function_bodies", "on"},
	{"client_min_messages", "notice"},
};

static void
fix_settings(const char *application_name)
{
	for (int i = 0; i < lengthof(fixed_settings); i++)
	{
		if (GetConfigOption(fixed_settings[i].name, true, false) != NULL)
			SetConfigOption(fixed_settings[i].name, fixed_settings[i].value, PGC_SUSET, PGC_S_OVERRIDE);
	}
	SetConfigOption("application_name", application_name, PGC_USERSET, PGC_S_OVERRIDE);
}

void
act_worker_connect(Oid database, Oid role)
{
	BackgroundWorkerInitializeConnectionByOid(database, role, 0);

	StartTransactionCommand();
	SetConfigOption("session_authorization", GetUserNameFromId(GetAuthenticatedUserId(), false),
					PGC_SUSET, PGC_S_OVERRIDE);
	fix_settings(MyBgworkerEntry->bgw_type);
	CommitTransactionCommand();
}

bool
act_worker_asked_to_leave(void)
{
	bool		leave;

	LWLockAcquire(&act_shared->lock, LW_SHARED);
	leave = my_slot != NULL ? my_slot->leave : my_entry->leave;
	LWLockRelease(&act_shared->lock);
	return leave;
}

void
act_scheduler_take_wake(void)
{
	LWLockAcquire(&act_shared->lock, LW_EXCLUSIVE);
	unanswered = unanswered || my_entry->wake;
	my_entry->wake = false;
	LWLockRelease(&act_shared->lock);
}

bool
act_scheduler_told(void)
{
	bool		told;

	LWLockAcquire(&act_shared->lock, LW_SHARED);
	told = my_entry->wake || my_entry->leave;
	LWLockRelease(&act_shared->lock);
	return told;
}

void
act_scheduler_publish(TimestampTz next_due)
{
	LWLockAcquire(&act_shared->lock, LW_EXCLUSIVE);
	unanswered = false;
	my_entry->next_due = next_due;
	LWLockRelease(&act_shared->lock);
}

/* The database has been looked into: others may be. */
static void
note_looked(void)
{
	static bool noted = false;

	if (my_entry == NULL || noted)
		return;
	LWLockAcquire(&act_shared->lock, LW_EXCLUSIVE);
	my_entry->looked = true;
	my_entry->problem[0] = '\0';
	act_wake_launcher();
	noted = true;
	LWLockRelease(&act_shared->lock);
}

/* The schema is of another version than the library: until they agree we wait. */
static bool
version_fits(void)
{
	char	   *version;

	if (SPI_execute("SELECT e.extversion FROM pg_catalog.pg_extension AS e"
					" WHERE e.extname OPERATOR(pg_catalog.=) 'pg_activate'", true, 1) != SPI_OK_SELECT ||
		SPI_processed != 1)
		elog(ERROR, "the version of pg_activate could not be read");
	version = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
	if (strcmp(version, ACT_VERSION) == 0)
		return true;
	snprintf(problem, ACT_PROBLEM_SIZE,
			 "the extension is of version %s, the library of version %s: ALTER EXTENSION pg_activate UPDATE, or restart",
			 version, ACT_VERSION);
	return false;
}

typedef enum Door
{
	DOOR_OPEN,
	DOOR_BUSY,					/* somebody drops or alters the extension */
	DOOR_CLOSED
} Door;

static Door
try_door(void)
{
	Oid			extension = act_extension_lock(true);

	if (!OidIsValid(extension))
	{
		if (OidIsValid(get_extension_oid("pg_activate", true)))
			return DOOR_BUSY;
		extension_absent = true;
		return DOOR_CLOSED;
	}
	if (!OidIsValid(my_extension))
		my_extension = extension;
	/* Dropped and created anew: that is for other workers. */
	return extension == my_extension ? DOOR_OPEN : DOOR_CLOSED;
}

bool
act_worker_begin(void)
{
	static uint32 wait_event = 0;

	for (;;)
	{
		Door		door = DOOR_CLOSED;

		CHECK_FOR_INTERRUPTS();
		if (act_worker_asked_to_leave())
			return false;

		SetCurrentStatementStartTimestamp();
		StartTransactionCommand();
		door = try_door();
		if (door == DOOR_OPEN)
		{
			if (SPI_connect() != SPI_OK_CONNECT)
				elog(ERROR, "could not connect to SPI");
			PushActiveSnapshot(GetTransactionSnapshot());
			if (version_fits())
			{
				note_looked();
				return true;
			}
			SPI_finish();
			PopActiveSnapshot();
			if (my_entry != NULL)
				act_scheduler_publish(PG_INT64_MAX);
			door = DOOR_CLOSED;
		}
		CommitTransactionCommand();
		note_looked();
		if (door == DOOR_CLOSED)
			return false;

		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, DOOR_PAUSE_MS,
						 act_compat_wait_event(&wait_event, "PgActivateExtension"));
		ResetLatch(MyLatch);
	}
}

void
act_worker_commit(void)
{
	act_transaction_local(true);
	SPI_finish();
	PopActiveSnapshot();
	CommitTransactionCommand();
	pgstat_report_stat(true);
	pgstat_report_activity(STATE_IDLE, NULL);
}

void
act_worker_activity(const char *text)
{
	pgstat_report_activity(text != NULL ? STATE_RUNNING : STATE_IDLE, text);
}

bool
act_worker_wait(TimestampTz until, const char *name, uint32 *kept)
{
	TimestampTz now = act_now();
	int64		wait = act_naptime;
	bool		reloaded = false;

	/* Rounded up: not to wake a little too early, again and again. */
	if (until <= now)
		wait = 0;
	else if (until - now < wait * 1000)
		wait = (until - now + 999) / 1000;
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, (long) wait,
					 act_compat_wait_event(kept, name));
	ResetLatch(MyLatch);
	QueryCancelPending = false; /* there is nothing to cancel */
	CHECK_FOR_INTERRUPTS();
	if (ConfigReloadPending)
	{
		ConfigReloadPending = false;
		ProcessConfigFile(PGC_SIGHUP);
		reloaded = true;
	}
	return reloaded;
}

/*-------------------------------------------------------------------------
 *
 * run.h
 *	  One run of a sync: lock, resolve, diff, guard, deliver, settle, finish.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_RUN_H
#define ACT_RUN_H

#include "destination.h"
#include "diff.h"
#include "fmgr.h"
#include "settle.h"
#include "shared_state.h"
#include "unit.h"

#define ERRCODE_ACTIVATE_FAILED MAKE_SQLSTATE('P','A','0','0','1')
#define ERRCODE_ACTIVATE_HELD MAKE_SQLSTATE('P','A','0','0','2')
#define ERRCODE_ACTIVATE_CANCELLED MAKE_SQLSTATE('P','A','0','0','3')
#define ERRCODE_ACTIVATE_PARTIAL MAKE_SQLSTATE('0','1','P','A','1')

typedef enum RunStatus
{
	RUN_SUCCEEDED,
	RUN_PARTIAL,
	RUN_FAILED,
	RUN_HELD,
	RUN_SUPERSEDED,
	RUN_POSTPONED,
	RUN_CANCELLED,
	RUN_INTERRUPTED
} RunStatus;

extern const char *act_run_status_name(RunStatus status);

typedef enum RunCause
{
	CAUSE_MANUAL,
	CAUSE_SCHEDULE,
	CAUSE_RETRY,
	CAUSE_AFTER
} RunCause;

extern const char *act_run_cause_name(RunCause cause);

/* Why a run ends other than by having done everything. */
typedef struct RunStop
{
	bool		set;
	RunStatus	status;
	char	   *message;
	char	   *detail;			/* or NULL */
	char	   *told;			/* of the detail, to all who share the destination; NULL: all of it */
	char	   *hint;			/* or NULL */
} RunStop;

/* What delivery counts; with the diff's counts it makes the run's sums. */
typedef struct RunCounts
{
	int64		outcomes[ROW_OUTCOME_COUNT];
	int64		first_accepted; /* rows that the destination did not have */
	int64		removals_accepted;
	int64		untried;		/* rows to send that delivery never came to */
	int64		parked;			/* rows that were refused for the last time that is tried */
	int64		requests;
	int64		retries;
	int64		bytes_sent;
} RunCounts;

typedef struct Run
{
	int64		run_id;
	TimestampTz started_at;
	Sync	   *sync;
	Destination *destination;
	Model	   *model;
	ConnectorScope scope;
	Settler    *settler;
	Diff		diff;
	struct RequestLog *log;		/* NULL: nothing to log yet */
	bool		keeps_exchanges;	/* whoever made it wants to see all requests and answers, */
	List	   *exchanges;		/* of LoggedRequest: they */
	struct Canary *canary;		/* NULL: none */
	bool		canary_pending; /* one was refused, and nobody has said what then */
	bool		canary_passed;
	bool		canary_held;
	bool		approved;		/* a person has approved what this run sends */
	Unit	   *unit;			/* mode replace: what goes is this, not the diff's rows one by one */
	int64		max_rows;
	Jsonb	   *keys;			/* or NULL */
	RunCause	cause;
	bool		in_worker;		/* not a session's CALL */
	bool		retry_rows;		/* only rows whose back-off ended: they become keys, not forced */
	int64		missed;			/* planned starts that this run stands for, besides its own */
	TimestampTz rows_retry_at;	/* first end of a back-off among the rows seen; 0: none */
	bool		marked;			/* what the diff found without sending stands in the sync's table */
	bool		ids_noted;		/* that rows got what others may wait for */
	bool		recorded;		/* its row says that it began, or how it ended */
	bool		held_again;		/* as the whole run before, which nobody approved */
	bool		unreachable;	/* it failed because the destination gave no proper answer */
	TimestampTz throttled_until;	/* it ended because the destination wants to be left alone until then; 0: not */
	bool		tries_destination;	/* whether it works again is not known: others wait for what this run finds */
	bool		destination_paused; /* it ended because somebody paused the destination */
	uint32		destination_changes;	/* act_destination_changes() when it last looked */
	RunSlot    *slot;			/* or NULL */
	TimestampTz titled_at;		/* pg_stat_activity was last told */
	RunCounts	counts;
	RunStop		stop;
	TimestampTz deadline;		/* 0: none */
	int			told_rows;		/* in a request, as the destination tells; 0: it did not */
	bool		has_jobs;		/* earlier runs left some to the destination */
	List	   *jobs;			/* of Job (job.h): an earlier run left them to the destination */
	bool		resuming;		/* they are asked for; nothing was compared yet */
	bool		only_jobs;		/* it was made for them alone */
	TimestampTz job_due_at;		/* a job that was put by is to be asked for then; 0: there is none */
	RunCounts	resumed;		/* what came of them; added to the rest at the end */
	int64		resumed_causes[ROW_REMOVED + 1];	/* their rows, by cause */
	struct Delivery *delivery;	/* NULL: nothing under way */
	struct Limit *limit;		/* what the destination can take; NULL: nothing was sent yet */
	bool		resolving;		/* an error now is about the model or the destination */
	bool		reading;		/* an error now may be the model's */
	struct ModelProblem *model_problem; /* the run ended because its model cannot be read; or NULL */
	MemoryContext context;		/* everything of the run; a child of the caller's */
} Run;

/*
 * A run about to be made, in a memory context of its own below parent.  The
 * caller fills in what it knows, begins a writable transaction, in it loads
 * and locks the sync (run->sync) and takes the run lock, and performs it.
 * One at a time in a process.
 */
extern Run *act_run_create(MemoryContext parent, bool in_worker);

/*
 * All of it, and lets go of the run lock.  False: nothing was to be done
 * (workers only).  Errors are written down, and go on.
 */
extern bool act_run_perform(Run *run, RunStatus *status);

/*
 * run_sync.c: what procedures that make a run have in common.  The sync and
 * its run lock, in a writable transaction; how the run ended, in a notice, a
 * warning, or where it failed at the level failed.
 */
extern void act_run_sync_require_primary(void);
extern void act_run_sync_require_own(FunctionCallInfo fcinfo, const char *procedure);
extern void act_run_sync_lock(Run *run, const char *name);
extern void act_run_sync_report(const Run *run, RunStatus status, int failed);

/*
 * Whether somebody or its own time limit wants it to end: then run->stop is
 * set.  Between any two steps, outside of locks; needs no transaction.
 */
extern void act_run_poll(Run *run);

/* queue.c: ends the run of a sync, 0: whichever it is.  False: none is under way. */
extern bool act_run_cancel(int64 sync_id, int64 run_id);

extern void act_run_stop(Run *run, RunStatus status, const char *message,
						 const char *detail, const char *hint);

/*
 * A writable transaction with the sync's table locked, and in it what the
 * caller writes there.  False: the run is to end first, and none is open.
 */
extern bool act_run_begin_settling(Run *run);

/* The stage that compares; run_first.c: the one before it. */
extern void act_run_diff(Run *run);
extern void act_run_first(Run *run);

/*
 * run_read.c: does work, which is one transaction that reads the model; again,
 * from its beginning, as long as somebody else has locked what it reads.  May
 * return with run->stop set.
 */
extern void act_run_reading(Run *run, void (*work) (Run *run));

/* What templates may name besides the row: sync, destination and run_id are known. */
extern void act_run_scope(Run *run);

/* Of the rows seen, the first whose back-off ends; 0: none is in one. */
extern void act_run_note_retry(Run *run, TimestampTz at);

/*
 * guard.c: sets run->stop when what the diff found must not go out unseen.
 * The other one only says why it must not, or NULL.
 */
extern void act_guard_check(Run *run);
extern char *act_guard_problem(const Run *run, char **detail);
extern char *act_guard_invalid_examples(const Run *run);	/* NULL: there are none */
extern int64 act_guard_limit(const GuardLimit *limit, int64 base, bool *applies);

/* ledger.c: the run's own records; each commits nothing itself. */
extern void act_ledger_start(Run *run);
extern void act_ledger_finish(Run *run, RunStatus status, const char *message,
							  const char *detail, const char *hint);
extern void act_ledger_invalid_rows(Run *run);
extern void act_ledger_first_run_done(Run *run);	/* what option first_run says */
extern bool act_ledger_approved(Run *run);
extern bool act_ledger_canary_pending(const Run *run);
extern void act_ledger_supersede(Run *run, bool approved);
extern bool act_ledger_check_sums(const Run *run);

#endif							/* ACT_RUN_H */

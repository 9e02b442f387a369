/*-------------------------------------------------------------------------
 *
 * worker.h
 *	  What launcher, schedulers and run workers have in common.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_WORKER_H
#define ACT_WORKER_H

#include "datatype/timestamp.h"
#include "fmgr.h"
#include "shared_state.h"

extern PGDLLEXPORT void act_launcher_main(Datum arg);
extern PGDLLEXPORT void act_scheduler_main(Datum arg);
extern PGDLLEXPORT void act_run_worker_main(Datum arg);

/*
 * Called first.  Handlers and unblocked signals: terminate, cancel and reload
 * as in a backend; from here on the process's warnings and errors in the
 * server's log are among those of act_log_limited(), and the postmaster
 * writes none when it ends.
 */
extern void act_worker_signals(void);

/*
 * The process finds the entry or slot it was started for (its argument and
 * bgw_extra say which), notes its pid there and has it given back when it
 * ends.  NULL: it came too late, and should end quietly.
 */
extern DatabaseEntry *act_scheduler_attach(Datum arg);
extern RunSlot *act_run_slot_attach(Datum arg);

/*
 * Nobody woke this scheduler, and one before it had nothing more to do: it
 * came to see whether new settings change that.
 */
extern bool act_scheduler_only_looks(void);

/*
 * Connects; role InvalidOid: as the bootstrap superuser.  Afterwards no
 * setting of the role or the database that could stop or mislead a worker
 * holds any more (timeouts, read only, isolation, role, search_path ...).
 */
extern void act_worker_connect(Oid database, Oid role);

/* The scheduler or run worker is asked to leave, or to look again. */
extern bool act_worker_asked_to_leave(void);

/* The scheduler begins a pass: whoever wakes it from now on is not forgotten. */
extern void act_scheduler_take_wake(void);

/* It was woken since, or asked to leave. */
extern bool act_scheduler_told(void);

/*
 * When this database's scheduler will be needed next: stays for the launcher
 * when it leaves.  PG_INT64_MAX: not before somebody wakes it.
 */
extern void act_scheduler_publish(TimestampTz next_due);

/*
 * A transaction of a worker, with SPI connected and a snapshot.  False: the
 * extension is not there (any more), or not of this library's version, or
 * this worker is asked to leave, and no transaction was begun: leave quietly.
 * While somebody drops or alters the extension it waits, holding nothing.
 */
extern bool act_worker_begin(void);
extern void act_worker_commit(void);	/* reports statistics, too */

/* pg_stat_activity: "idle", or what it does. NULL text: idle. */
extern void act_worker_activity(const char *text);

/*
 * Until then (by act_now()), or a latch, at most naptime; the latch is reset,
 * interrupts are taken, a cancel is forgotten (nothing is under way), and the
 * configuration is read again if asked for (then true).  name: of the wait
 * event from 17 on.
 */
extern bool act_worker_wait(TimestampTz until, const char *name, uint32 *kept);

/*
 * A line in the server's log, but of all of these together at most two a
 * minute in the whole cluster; the next line says how many were left out.
 */
extern void act_log_limited(int elevel, const char *format, ...) pg_attribute_printf(2, 3);

#endif							/* ACT_WORKER_H */

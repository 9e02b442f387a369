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

/* Handlers and unblocked signals: terminate, cancel and reload as in a backend. */
extern void act_worker_signals(void);

/*
 * The process finds the entry or slot it was started for (its argument and
 * bgw_extra say which), notes its pid there and has it given back when it
 * ends.  NULL: it came too late, and should end quietly.
 */
extern DatabaseEntry *act_scheduler_attach(Datum arg);
extern RunSlot *act_run_slot_attach(Datum arg);

/*
 * Connects; role InvalidOid: as the bootstrap superuser.  Afterwards no
 * setting of the role or the database that could stop or mislead a worker
 * holds any more (timeouts, read only, isolation, role, search_path ...).
 */
extern void act_worker_connect(Oid database, Oid role);

/*
 * A transaction of a worker, with SPI connected.  False: the extension is not
 * there (any more), or not of this library's version, and no transaction was
 * begun: leave quietly.
 */
extern bool act_worker_begin(void);
extern void act_worker_commit(void);	/* reports statistics, too */

/* pg_stat_activity: "idle", or what it does. NULL text: idle. */
extern void act_worker_activity(const char *text);

/* Until then, or a latch, at most naptime; name: of the wait event from 17 on. */
extern void act_worker_wait(TimestampTz until, const char *name, uint32 *kept);

/*
 * A line in the server's log, but of all of these together at most two a
 * minute in the whole cluster; the next line says how many were left out.
 */
extern void act_log_limited(int elevel, const char *format, ...) pg_attribute_printf(2, 3);

#endif							/* ACT_WORKER_H */

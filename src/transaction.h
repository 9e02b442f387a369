/*-------------------------------------------------------------------------
 *
 * transaction.h
 *	  Transactions of a run, and SQL inside them.
 *
 * A run is made of short transactions: in a CALL by SPI's transaction
 * control (an empty transaction stays open in between), in a background
 * worker by transaction commands (none is open in between).  A CALL connects
 * SPI once, around it all; in a worker each transaction does.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_TRANSACTION_H
#define ACT_TRANSACTION_H

#include "executor/spi.h"

/*
 * A run begins, in a background worker or in a CALL.  From now on each of its
 * transactions first passes the door (act_extension_lock()): when the
 * extension is not there, or is another one than in the first of them, ERROR
 * 42704, and act_transaction_shut_out() is true.  A worker should then leave
 * quietly: there is nobody to tell.
 */
extern void act_transaction_open(bool worker);
extern bool act_transaction_shut_out(void);

/*
 * Commits and leaves no snapshot, xid or relation lock behind.  synchronous:
 * flushed to disk here; otherwise the flush is left to later.  No standby is
 * waited for (standby.h).
 */
extern void act_transaction_commit(bool synchronous);

/* The same of a transaction that somebody else commits. */
extern void act_transaction_local(bool synchronous);

/*
 * After an error, in PG_CATCH with the error copied and flushed: drops
 * connections to SPI that the error left behind above ours, and rolls back.
 */
extern void act_transaction_rollback(void);

/*
 * READ COMMITTED and writable, whatever the session's defaults are; begins a
 * transaction where none is open.
 */
extern void act_transaction_writable(void);

/* READ COMMITTED and READ ONLY: nothing that the model calls may write. */
extern void act_transaction_read_only(void);

/*
 * The same inside somebody else's transaction, until the end of a function;
 * an error ends it, too.  What the first returns goes to the second.
 */
extern bool act_transaction_forbid_writes(void);
extern void act_transaction_allow_writes(bool before);

/* Whether a procedure may commit: not in a block, a function or an EXCEPTION clause. */
extern bool act_transaction_is_own(FunctionCallInfo fcinfo);

/*
 * Does it in a subtransaction; false: it failed and left nothing behind.
 * Inside a transaction with SPI connected; nothing of it commits.  A cancel,
 * a shutdown and a lack of memory go on as errors.
 */
extern bool act_transaction_try(void (*work) (void *arg), void *arg);

/* The same with the error, in the current memory context; NULL: it is done. */
extern ErrorData *act_transaction_attempt(void (*work) (void *arg), void *arg);

/*
 * The same for who has locks that others want, and must not fail himself: no
 * lock is waited for, and any error but a cancel is returned (NULL: it is
 * done), copied into the current memory context.
 */
extern ErrorData *act_transaction_probe(void (*work) (void *arg), void *arg);

/* Whether it failed for somebody's lock. */
extern bool act_transaction_locked_out(const ErrorData *error);

/*
 * Does it in a subtransaction that is rolled back in any case, so that it can
 * write in a READ ONLY transaction, too.  Errors go on.
 */
extern void act_transaction_rehearse(void (*work) (void *arg), void *arg);

/*
 * One statement of ours with arguments; nulls may be NULL.  Throws unless
 * SPI answers with what was expected.
 */
typedef struct SqlArgument
{
	Oid			type;
	Datum		value;
	bool		isnull;
} SqlArgument;

extern uint64 act_sql(int expected, const char *sql, int nargs, const SqlArgument *args);

/*
 * The same for what a run does again and again: its plan is made once and
 * kept in *plan, NULL at first, until SPI_freeplan() or the end of the
 * process.  It follows what it reads, and whoever runs it is asked for his
 * rights each time.  options: CURSOR_OPT_GENERIC_PLAN where the best plan is
 * the same for any arguments and sizes, CURSOR_OPT_CUSTOM_PLAN where not.
 */
extern uint64 act_sql_kept(SPIPlanPtr *plan, int options, int expected, const char *sql, int nargs,
						   const SqlArgument *args);

/* Values of the current SPI_tuptable, copied into the current context. */
extern char *act_sql_text(uint64 row, int column);	/* NULL for null */
extern int64 act_sql_int64(uint64 row, int column); /* 0 for null */
extern bool act_sql_bool(uint64 row, int column);	/* false for null */

#define SQL_TEXT(v)		{TEXTOID, (v) ? CStringGetTextDatum(v) : (Datum) 0, (v) == NULL}
#define SQL_INT8(v)		{INT8OID, Int64GetDatum(v), false}
#define SQL_INT4(v)		{INT4OID, Int32GetDatum(v), false}
#define SQL_BOOL(v)		{BOOLOID, BoolGetDatum(v), false}

#endif							/* ACT_TRANSACTION_H */

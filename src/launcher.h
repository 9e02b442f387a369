/*-------------------------------------------------------------------------
 *
 * launcher.h
 *	  The process that starts all others.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_LAUNCHER_H
#define ACT_LAUNCHER_H

#include "shared_state.h"

/* While the library is preloaded: the postmaster will keep a launcher. */
extern void act_launcher_register(void);

/*
 * launcher_queue.c: one pass over entries and slots: who is wanted is started
 * as far as there are processes, oldest first.  Returns when to make the next
 * pass if nothing happens before.  Only the launcher, outside transactions.
 */
extern TimestampTz act_launcher_pass(void);

/* The databases as pg_database last had them; launcher.c. */
typedef struct KnownDatabase
{
	Oid			oid;			/* hash key */
	NameData	name;
	bool		serve;			/* it is there, takes connections, and is among pg_activate.databases */
	bool		absent;			/* looked into: without the extension; it has no entry */
} KnownDatabase;

/* NULL: there is none. */
extern KnownDatabase *act_launcher_database(Oid oid);

#endif							/* ACT_LAUNCHER_H */

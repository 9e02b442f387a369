/*-------------------------------------------------------------------------
 *
 * destination_limit_private.h
 *	  What is known of each destination: shared by destination_limit.c (who
 *	  may send, and when) and destination_limit_table.c (the table, its view).
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_DESTINATION_LIMIT_PRIVATE_H
#define ACT_DESTINATION_LIMIT_PRIVATE_H

#include "pgtime.h"
#include "storage/lwlock.h"

#include "destination_limit.h"
#include "shared_state.h"

/* Durations: bucket i holds those up to 2 ^ (i / 4) milliseconds. */
#define LIMIT_BUCKETS 88

typedef enum Breaker
{
	BREAKER_CLOSED,
	BREAKER_OPEN				/* half-open while a probe is under way */
} Breaker;

/* A pace (rate_limit.h), and when the next request of it would be due if none went at once. */
typedef struct LimitPace
{
	int64		interval_us;
	int64		burst;
	TimestampTz due_at;
} LimitPace;

typedef struct LimitEntry
{
	Oid			database;		/* InvalidOid: free */
	Oid			server;
	TimestampTz used_at;
	int			first_user;		/* index in users; -1: nobody is attached */

	/* as its options are */
	RateLimit	rate;
	int			concurrency;

	LimitPace	paces[RATE_MAX_WINDOWS];
	int			in_flight;
	int			allowed;		/* requests at a time while they come back gradually; 0: all */
	int64		turns;			/* given so far */
	int64		day_used;
	TimestampTz day_ends_at;	/* by act_now(), as the next two; 0: not known yet */
	TimestampTz throttled_until;

	Breaker		breaker;
	TimestampTz opened_at;
	int			prober;			/* index in users; -1: none */
	int			failures;		/* in a row */
	TimestampTz failing_since;	/* the first of them */

	/* since the server started */
	int64		requests;
	int64		retries;
	int64		throttled;
	int64		failed;
	uint32		durations;		/* in the buckets, together */
	uint32		buckets[LIMIT_BUCKETS];
} LimitEntry;

/* A run that sends to a destination. */
typedef struct LimitUser
{
	int			entry;			/* index; -1: free */
	int			next;			/* user of the same entry; -1: the last */
	int			proc;			/* whose latch to set; -1: nobody's */
	int			priority;
	TimestampTz began_at;
	int			in_flight;
	bool		waiting;		/* has asked, and would go */
	bool		coming;			/* will ask again in a moment: nothing that is less urgent goes before */
	TimestampTz woken_at;		/* told that it may be its turn; 0: not */
	int64		turn;			/* the last it got; 0: none yet */
} LimitUser;

typedef struct LimitTable
{
	LWLock		lock;			/* of the shared one */
	int			nentries;
	int			nusers;
	LimitUser  *users;
	LimitEntry *entries;
} LimitTable;

struct Limit
{
	LimitTable *table;			/* NULL: not attached */
	int			user;
	int			entry;
	pg_tz	   *zone;			/* of the account; NULL: UTC */
	TimestampTz day_ends_at;	/* of the day that it last looked at */
	int64		day_used;		/* by this process, and not written down yet */
	LimitReason reason;
	bool		coming;			/* as last told */
};

/* The table to use, and the entry of a destination in it, free user included; locks nothing after. */
extern LimitTable *act_limit_table_shared(void);	/* NULL without preload */
extern LimitTable *act_limit_table_private(void);
extern void act_limit_table_lock(LimitTable *table);
extern void act_limit_table_unlock(LimitTable *table);

/* With the lock held; -1: there is none, and none can be made. */
extern int	act_limit_table_find(const LimitTable *table, Oid database, Oid server);
extern int	act_limit_table_entry(LimitTable *table, Oid database, Oid server);
extern int	act_limit_table_user(LimitTable *table);

extern void act_limit_note_duration(LimitEntry *entry, double duration_ms);

#endif							/* ACT_DESTINATION_LIMIT_PRIVATE_H */

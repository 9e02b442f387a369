/*-------------------------------------------------------------------------
 *
 * destination_limit.h
 *	  What a destination can take, shared by all that send to it: rate,
 *	  requests at a time, pauses that it asks for, and whether it is down.
 *
 * With shared_preload_libraries one entry in shared memory for each
 * destination, used by workers and sessions of all databases alike; without,
 * the same code over memory of the process, which then limits only itself.
 *
 * A process asks before each request and tells when it is over.  Who has to
 * wait is woken by its latch when its turn may have come.  Of those who wait
 * for one destination the run of the highest priority goes first; equal ones
 * take turns.
 *
 * No transaction is needed for any of it, and nothing here throws (attaching
 * may for want of memory).  Includes neither SPI nor curl.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_DESTINATION_LIMIT_H
#define ACT_DESTINATION_LIMIT_H

#include "datatype/timestamp.h"

#include "destination.h"

typedef struct Limit Limit;

/* What became of a request, as far as it says something of the destination. */
typedef enum LimitResult
{
	LIMIT_OK,
	LIMIT_REFUSED,				/* answered, if only to say no */
	LIMIT_THROTTLED,			/* it asks to be left alone for a while */
	LIMIT_FAILED,				/* not reached, lost, or no proper answer */
	LIMIT_UNCLEAR				/* failed, perhaps because of what was asked */
} LimitResult;

/* Why a request must wait; the names are for the view progress. */
typedef enum LimitReason
{
	LIMIT_NOTHING,
	LIMIT_RATE,
	LIMIT_QUOTA,				/* of the day is used up */
	LIMIT_CONCURRENCY,
	LIMIT_PAUSE,				/* that it asked for */
	LIMIT_DOWN					/* somebody is finding out whether it still is */
} LimitReason;

extern const char *act_limit_reason_name(LimitReason reason);	/* NULL for LIMIT_NOTHING */

/*
 * Begins to count for this process, one run at a time.  began_at (by
 * act_now()) is when the run began: where the destination is found down, runs
 * that began before end, and later ones may try.
 */
extern Limit *act_limit_attach(const Destination *destination, int priority, TimestampTz began_at);
extern void act_limit_detach(Limit *limit); /* NULL is fine */

/*
 * 0: one request may go now, and is counted as under way until
 * act_limit_leave().  Else milliseconds after which to ask again at the
 * latest; the process's latch is set when it may be worth while before.
 */
extern int64 act_limit_enter(Limit *limit);
/* It would send more as soon as one of its own is over: keeps its turn. */
extern void act_limit_want(Limit *limit);

/*
 * Whether it will ask again as soon as an answer is written down: until then
 * what is less urgent does not take the place.
 */
extern void act_limit_coming(Limit *limit, bool coming);

extern LimitReason act_limit_reason(const Limit *limit);	/* why the last one had to wait */

/* again: the request is one that was made before. */
extern void act_limit_again(Limit *limit);
extern void act_limit_leave(Limit *limit, LimitResult result, double duration_ms);

/* All that are under way are dropped without an answer. */
extern void act_limit_drop(Limit *limit);

/* Nobody sends anything to it before that time (by act_now()). */
extern void act_limit_throttle(Limit *limit, TimestampTz until);

/*
 * Until when (by act_now()) nothing goes out: the pause that it asked for, or
 * midnight where the quota of the day is used.  0: nothing holds it back.
 */
extern TimestampTz act_limit_held_until(Limit *limit, LimitReason *reason);

/* Somebody found it down, and this run is not one that may try whether it still is. */
extern bool act_limit_down(const Limit *limit);

/* This run has found it down by all that it tried. */
extern void act_limit_found_down(Limit *limit);

/*
 * Somebody has asked the destination, and it answers: nobody waits any longer
 * because it was down, or asked to be left alone.
 */
extern void act_limit_forgive(Oid server);

/*
 * Requests of this process that count towards the quota of the day that ends
 * then, and are not written down yet; false: there is no quota.  Who has
 * transactions writes them down (destination_quota.c).
 */
extern bool act_limit_day(const Limit *limit, int64 *used, TimestampTz *ends_at);
extern void act_limit_day_kept(Limit *limit, int64 used);

/* shared_state.c: asks for memory, and sets it up. */
extern Size act_limit_memory(void);
extern void act_limit_set_up(void);

/* launcher_queue.c: how many other destinations than this one there were since the server started. */
extern int	act_limit_others(Oid database, Oid server);

/* What the view destinations shows. */
typedef struct LimitView
{
	const char *breaker;
	TimestampTz throttled_until;	/* 0: not */
	int			in_flight;
	int64		requests;
	int64		retries;
	int64		throttled;
	int64		failed;
	double		p95_ms;			/* -1: no request was answered */
	int64		day_used;		/* -1: it has no quota of the day */
} LimitView;

/* False: nothing is known of it, or the library was not preloaded. */
extern bool act_limit_view(Oid server, LimitView *view);

#endif							/* ACT_DESTINATION_LIMIT_H */

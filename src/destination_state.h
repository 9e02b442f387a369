/*-------------------------------------------------------------------------
 *
 * destination_state.h
 *	  What keeps a destination's runs back: it is down, throttled or paused.
 *
 * As the extension, inside a transaction with SPI connected that the caller
 * commits, but where it says otherwise.  Whoever locks a row of
 * activate.sync_state, too, locks that first, or skips it when it is locked.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_DESTINATION_STATE_H
#define ACT_DESTINATION_STATE_H

#include "run.h"

/* The most important one: what is said of the runs that it keeps back. */
typedef enum DestinationBar
{
	DESTINATION_OPEN,
	DESTINATION_DOWN,			/* it did not answer as it should */
	DESTINATION_THROTTLED,		/* it said until when it wants to be left alone */
	DESTINATION_PAUSED			/* somebody called pause_destination() */
} DestinationBar;

typedef struct DestinationState
{
	DestinationBar bar;
	TimestampTz until;			/* no run of a worker before; 0: none is kept back; PG_INT64_MAX: until somebody resumes it */
	bool		on_trial;		/* open again, and nobody knows yet whether it works: one run tries */
} DestinationState;

/* Columns of activate.destination_state AS d, and what they mean now. */
#define DESTINATION_STATE_COLUMNS \
	" d.paused_at IS NOT NULL, d.throttled_until, d.down_since IS NOT NULL, d.probe_at"
extern DestinationState act_destination_state_read(uint64 row, int column, TimestampTz now);

/* How long to leave a destination alone that was found down so many times in a row. */
extern TimestampTz act_destination_state_pause(int failures);

/*
 * A run of a worker is about to begin.  Where the state that it returns is on
 * trial the run is the one that tries, and the others leave the destination
 * alone for a while.
 */
extern DestinationState act_destination_state_enter(const char *destination, TimestampTz now);

/*
 * What a run that ends, in a worker or a session, found its destination to be;
 * and one that tries, as soon as answers came to its first batch.
 */
extern void act_destination_state_report(const Run *run, RunStatus status);
extern void act_destination_state_came_through(Run *run);

/* What probe_destination() found: it answers as it should.  Connects SPI itself. */
extern void act_destination_state_probed(const char *destination);

/*
 * A run is under way, and its destination may have been paused meanwhile:
 * then run->stop is set.  The first one in a transaction of the caller's, the
 * other one in one of its own: outside of any, as for act_run_poll().
 */
extern void act_destination_state_look(Run *run);
extern void act_destination_state_poll(Run *run);

/* ERROR 55000 when it is paused: a session's CALL is about to begin. */
extern void act_destination_state_require_unpaused(const char *destination);

/* destination_control.c: its syncs that wait to be tried again need not any longer, and workers are told. */
extern void act_destination_go_on(const char *destination);

/* What is said of a run that cannot be made now. */
extern char *act_destination_state_message(DestinationBar bar, const char *destination);

/* Times further away than any pause is long, since the clock went back, are set anew. */
extern void act_destination_state_check(TimestampTz now);

#endif							/* ACT_DESTINATION_STATE_H */

/*-------------------------------------------------------------------------
 *
 * event.h
 *	  Changes of state as rows of activate.event, and NOTIFY pg_activate.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_EVENT_H
#define ACT_EVENT_H

#include "sync.h"

/*
 * Records one event in the current transaction (SPI connected) and notifies.
 * message may quote keys and values; the notification never does, but it has
 * the numbers that are members of details.  sync NULL and run_id 0: none.
 * details: JSON text or NULL.
 */
extern void act_event_record(const char *kind, const char *severity, const Sync *sync,
							 int64 run_id, const char *message, const char *details);

/* The same of a destination, whichever of its syncs found it so. */
extern void act_event_record_destination(const char *kind, const char *severity, const char *destination,
										 int64 run_id, const char *message, const char *details);

#endif							/* ACT_EVENT_H */

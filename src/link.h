/*-------------------------------------------------------------------------
 *
 * link.h
 *	  Option first_run link: records that a destination has already become
 *	  those of the rows.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_LINK_H
#define ACT_LINK_H

#include "http.h"
#include "run.h"

/* What became of the rows that were looked up. */
typedef struct LinkCounts
{
	int64		same;			/* their records have what they would be sent */
	int64		different;
	int64		none;			/* they have no record */
	int64		unclear;		/* several have, or another row has their record */
} LinkCounts;

/*
 * Looks up the rows in run->diff.rows that no record is known of, and writes
 * down what was found, committing as it goes.  Called as act_deliver() is,
 * with nothing of the database held; leaves run->diff.rows read.  Sets
 * run->stop where the destination cannot be asked.
 */
extern void act_link(Run *run, LinkCounts *counts);

/*
 * link_settle.c: its transactions.  Ids in use by rows of the sync (List of
 * char *); false: the sync's table is locked, try again later.
 */
extern List *act_link_known_ids(Run *run);
extern bool act_link_settle(Run *run, List *rows);

#endif							/* ACT_LINK_H */

/*-------------------------------------------------------------------------
 *
 * standby.h
 *	  Whether the synchronous standbys have what was committed here.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_STANDBY_H
#define ACT_STANDBY_H

/*
 * Whether the last commit of this process is where the session's
 * synchronous_commit and synchronous_standby_names want it to be.  True at
 * once where they want nothing.  Outside of transactions, too; never waits or
 * throws.
 */
extern bool act_standby_has_commit(void);

/* What synchronous_standby_names says, to be told to people. */
extern const char *act_standby_names(void);

#endif							/* ACT_STANDBY_H */
